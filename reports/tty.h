/* SPDX-License-Identifier: MIT
 *
 * The terminal of an interactive command: the alternate screen, keys without Enter, its size; and the terminal as it was before, at
 * every end: return, exit, a signal, a crash, Ctrl-Z until it goes on. Only plain escape sequences that every terminal and
 * multiplexer of the last decades knows. There is one terminal.
 */
#ifndef PINW_REPORTS_TTY_H
#define PINW_REPORTS_TTY_H

#include <stddef.h>
#include <stdint.h>

/* Takes the terminal on standard input and output. Returns 0, -ENOTTY when one of them is none, -ENOTSUP when it cannot be drawn on
 * (TERM is not set, or "dumb"), or another -errno. Signals that end or stop the program act within pinw_tty_wait() from then on. */
int pinw_tty_open(void);

/* Gives it back. May be called more than once, and by signal handlers. */
void pinw_tty_close(void);

/* 80 x 24 when the terminal does not say. */
void pinw_tty_size(unsigned *ret_columns, unsigned *ret_rows);

/* Writes all of it. Returns 0 or -errno. */
int pinw_tty_write(const char *text, size_t len);

enum pinw_key { /* beside bytes */
	        PINW_KEY_NONE = 256, /* the time is over */
	        PINW_KEY_REDRAW, /* another size, or the program goes on after a stop */
	        PINW_KEY_STOP, /* a signal ends the program, or the terminal is gone */
	        PINW_KEY_UP,
	        PINW_KEY_DOWN,
	        PINW_KEY_PAGE_UP,
	        PINW_KEY_PAGE_DOWN,
	        PINW_KEY_HOME,
	        PINW_KEY_END,
	        PINW_KEY_ESCAPE,
};

/* Waits for a key until `until_ns` (CLOCK_MONOTONIC). */
int pinw_tty_wait(uint64_t until_ns);

/* The signal behind PINW_KEY_STOP, 0 when there was none. */
int pinw_tty_signal(void);

#endif
