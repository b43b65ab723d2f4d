/* SPDX-License-Identifier: MIT
 *
 * Tests of what is watched while it runs: tests/targets/live_scene.c under `pinwarden run`, told what to do; and a terminal (tmux)
 * to look at a command in. Every function ends the test, as failed or skipped, when it cannot do what it says.
 */
#ifndef PINW_TESTS_LIVE_RIG_H
#define PINW_TESTS_LIVE_RIG_H

#include <sys/types.h>

/* Starts the scene with so many idlers and spinners and waits until they are pinned; `options` go to `pinwarden run`. Returns the
 * pid of the program itself. */
pid_t live_start(const char *options, int idlers, int spinners);

/* Tells it a word of live_scene and waits until that is done; "exec", "crash" and "quit" are not waited for. */
void live_tell(const char *word);

/* Waits until `pinwarden run` has ended. Returns its status. */
int live_end(void);

/* Everything that was started is ended; for every suite's .fini, before e2e_done. */
void live_done(void);

/* A new terminal of that size with a shell in it; skips the test where tmux is not installed. */
void live_terminal(int columns, int rows);

/* Types keys as `tmux send-keys` names them: "q", "C-c", "Enter". */
void live_keys(const char *keys);

/* Types a command and Enter; "@@" and "%d" as in e2e.h, "%p" is the scene's pid. */
void live_type(const char *command);

void live_resize(int columns, int rows);

/* What the terminal shows now, a line each, NUL terminated; valid until the next call. */
const char *live_screen(void);

/* Waits until the screen has `text` (or has not), 30 s at most, then the test fails. Returns the screen. */
const char *live_await(const char *text);
const char *live_await_gone(const char *text);

/* The screen's line that holds `text`, without its newline; valid until the next call. */
const char *live_line(const char *text);

#endif
