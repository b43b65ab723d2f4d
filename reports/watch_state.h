/* SPDX-License-Identifier: MIT
 *
 * What the watch has to remember between two looks, and nothing else: pure, no clock, no I/O. Times are
 * nanoseconds of one clock that never goes back.
 */
#ifndef PINW_REPORTS_WATCH_STATE_H
#define PINW_REPORTS_WATCH_STATE_H

#include <stdbool.h>
#include <stdint.h>

/* ---- a pinned thread: does it run? ----------------------------------------------------------- */

/* All zero: nothing known yet. */
struct pinw_idle_state {
	uint64_t pin_ns; /* since when it holds the pin this is about; another pin starts anew */
	uint64_t cpu_ns; /* its CPU time at the last look */
	uint64_t since_ns; /* last time it was seen running, or first looked at */
	uint64_t due_ns; /* no need to look before */
	uint64_t looked_ns; /* time of the last look */
	uint64_t
	    stirred_ns; /* CPU time used since it was told, forgotten at PINW_STIR_NS in every idle_after_ns */
	bool known;
	bool told; /* idleness is news once, until the thread has worked again */
};

/* So much CPU time is no work, once a thread was told to be idle: to be stopped for its stack costs some, a wake-up for
 * nothing too, and a virtual machine charges for what another one took meanwhile. Before it is told, any is: nobody is
 * called idle that ran. */
#define PINW_STIR_NS UINT64_C(10000000)

/* Is it time to look at the thread's CPU time? A look costs system calls; a longer idle_after needs fewer. */
bool pinw_idle_is_due(const struct pinw_idle_state *s, uint64_t pin_ns, uint64_t now_ns);

/* Takes a look: `cpu_ns` is the thread's CPU time so far. Returns true when the thread has now been
 * idle for idle_after_ns, which was not told before. */
bool pinw_idle_look(struct pinw_idle_state *s, uint64_t pin_ns, uint64_t cpu_ns, uint64_t now_ns,
                    uint64_t idle_after_ns);

/* ---- growth of a process ----------------------------------------------------------------------- */

#define PINW_RISE_BUCKETS 40u
#define PINW_RISE_RUN_NS UINT64_C(10000000000) /* a shorter run is all start-up */

/* The least number of threads alive in each stretch of time since the first look. When there are too many
 * stretches, two become one: however long the run, the windows cover all of it. All zero: nothing known yet. */
struct pinw_rise_state {
	int64_t least[PINW_RISE_BUCKETS]; /* INT64_MAX: nobody looked */
	int64_t current; /* of the stretch under way */
	uint64_t start_ns;
	uint64_t width_ns; /* of a stretch; 0: not begun */
	unsigned count; /* complete stretches */
	bool told;
};

/* Takes a look. Returns true when the rule of growth (reports/growth.h) now holds of the whole run so far, which was
 * not told before; then *ret_first and *ret_last are the least alive after the warm-up and now. */
bool pinw_rise_look(struct pinw_rise_state *s, uint64_t now_ns, uint64_t alive, uint64_t *ret_first,
                    uint64_t *ret_last);

/* ---- how often one stack is shown ------------------------------------------------------------- */

/* Of `count` times so far: is this one shown? The first three, then each time the count doubles. */
bool pinw_watch_is_shown(uint64_t count);

/* How many of the first `count` were not. */
uint64_t pinw_watch_hidden(uint64_t count);

#endif
