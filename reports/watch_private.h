/* SPDX-License-Identifier: MIT
 *
 * Shared by the files of the watch and by nothing else.
 *
 * watch.c        which processes there are, and the tick
 * watch_trace.c  one trace of a living process: its slots, its live page, its rule cells
 * watch_judge.c  slots against rules
 * watch_names.c  which rules a stack satisfies; the frames behind a site
 * watch_log.c    blocks for the log
 * watch_state.c  what is remembered of a thread and of a process between two looks (pure)
 * watch_proc.c   what /proc says about a thread
 */
#ifndef PINW_REPORTS_WATCH_PRIVATE_H
#define PINW_REPORTS_WATCH_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "policy/match.h"
#include "reports/process.h"
#include "reports/stacks.h"
#include "reports/watch.h"
#include "reports/watch_state.h"

/* ---- watch_trace.c ------------------------------------------------------------------------------ */

/* Where the slots are. */
struct pinw_live_slots {
	uint64_t offset; /* of the first one in the file */
	uint64_t count;
	uint64_t before; /* slots in the segments before this one */
};

struct pinw_live_trace {
	int fd; /* read only */
	struct pinw_trace_header header;
	uint64_t scanned; /* segments up to here are known */
	struct pinw_live_slots *slots;
	size_t slots_count, slots_room;
	uint64_t rules_offset; /* of rule 1's cell, 0 = no table of rules yet */
	uint64_t rules_count; /* cells in it */
};

/* Takes `fd` over when it is a trace of this session with a sound header. Returns 0, -EAGAIN (nothing there yet: look
 * again), -ENOMSG (not one of ours, now and always) or another -errno. */
int pinw_live_trace_open(int fd, const uint8_t session[16], struct pinw_live_trace *ret_trace);
void pinw_live_done(struct pinw_live_trace *t);

/* Returns 0 or -errno (-ENODATA: the file ends before its live page). */
int pinw_live_page(const struct pinw_live_trace *t, struct pinw_trace_live *ret_live);

/* A slot in use that nobody is changing just now; `index` counts over all segments. Returns false to stop. */
typedef bool (*pinw_live_slot_fn)(void *arg, uint64_t index, const struct pinw_slot *slot,
                                  const uint64_t *mask);

/* Reads all slots. Returns 0 or -errno. */
int pinw_live_walk(struct pinw_live_trace *t, pinw_live_slot_fn fn, void *arg);

/* What the watch writes into a thread's slot, laid out as there. */
struct pinw_watch_mark {
	uint64_t told; /* PINW_TOLD_* */
	uint64_t idle_pin;
	uint32_t thread; /* whom it is about */
	uint32_t reserved;
};

/* Before a rule speaks that does so once about a thread: writes `mark`, which says so with `bit`, into the slot, and looks
 * whether the program said it itself at the same time. Returns 0: speak; -EALREADY: it did; -ESRCH: another thread has the
 * slot; or another -errno: nobody can tell. */
int pinw_live_claim(struct pinw_live_trace *t, uint64_t index, const struct pinw_watch_mark *mark,
                    uint64_t bit);

/* Counts a violation of rule `id` in its cell, or, with `matched`, a leak that the [suppress] of that id suppressed.
 * Returns 0, -ENOENT (there is no such cell) or -errno. */
int pinw_live_book(struct pinw_live_trace *t, uint16_t id, bool matched, uint32_t thread, uint64_t now_ns);

/* ---- watch_names.c ------------------------------------------------------------------------------ */

struct pinw_site_rules {
	bool resolved;
	struct pinw_stack_match match;
	uint16_t *ids; /* match's lists */
};

struct pinw_watched;

/* Names of one process. All zero: nothing read yet. */
struct pinw_watch_names {
	struct pinw_process *process; /* its sites, modules and frames, and nothing else */
	struct pinw_table extents; /* struct pinw_rec_module by id: where modules are mapped */
	struct pinw_table sites; /* struct pinw_site_rules, by site id */
	struct pinw_table functions; /* struct pinw_site_rules, by runtime address */
	uint64_t next_tick; /* the metadata is not read again before */
};

void pinw_watch_names_done(struct pinw_watch_names *n);

/* Which rules the stack of a site, or a single function, satisfies; NULL when that is not known. */
const struct pinw_stack_match *pinw_watch_site(struct pinw_watch *w, struct pinw_watched *p, uint32_t site);
const struct pinw_stack_match *pinw_watch_function(struct pinw_watch *w, struct pinw_watched *p,
                                                   uint64_t address);

/* Hands out the frames of a site. Returns whether it is known. */
bool pinw_watch_frames(struct pinw_watch *w, struct pinw_watched *p, uint32_t site, pinw_frame_fn fn,
                       void *arg, bool *ret_truncated);

/* ---- the whole ------------------------------------------------------------------------------------ */

/* What is remembered of the thread in a slot. */
struct pinw_watch_thread {
	struct pinw_watch_mark mark; /* mark.thread: its start sequence; another one: start anew */
	struct pinw_idle_state idle;
};

/* A process image. */
struct pinw_watched {
	struct pinw_watched *next;
	struct pinw_live_trace trace;
	struct pinw_trace_live live; /* as of this tick */
	pid_t pid; /* as seen from here */
	int pidfd; /* -1: the kernel has none */
	int task; /* its task folder, -1 none */
	bool other_tids; /* it numbers its threads differently (another pid namespace) */
	bool crashed; /* by us */
	bool killed; /* as that was not enough */
	uint64_t crash_ns; /* CLOCK_MONOTONIC */
	uint64_t now_ns; /* of this tick, since image start */
	struct pinw_watch_thread *threads; /* by slot */
	uint64_t thread_room;
	struct pinw_rise_state rise;
	struct pinw_policy_state state; /* of the verdicts made here */
	void *state_memory;
	struct pinw_table shown; /* uint64_t: how often, by rule and site */
	struct pinw_watch_names names;
};

struct pinw_watch {
	struct pinw_watch_options opt;
	struct pinw_watch_require {
		const struct pinw_rule *rule;
		unsigned nth; /* among all [require] rules */
	} * requires; /* those with `within` */
	size_t require_count;
	bool needs_stacks; /* some rule that is judged here asks for names */
	bool needs_slots;
	struct pinw_watched *processes;
	struct pinw_stacks *stacks; /* NULL until needed */
	struct pinw_table files; /* struct known_file of watch.c */
	uint64_t tick; /* number of this one */
	int64_t directory_ns; /* when the directory changed last, as of the last look */
	bool unsettled; /* some file there may still become a trace */
	bool log_failed;
	bool said_idle_unknown;
};

/* One process, one tick. */
void pinw_watch_judge(struct pinw_watch *w, struct pinw_watched *p);

/* A process that was crashed by us, at the time `mono_ns`: it may have caught the signal. */
void pinw_watch_see_crash_through(struct pinw_watch *w, struct pinw_watched *p, uint64_t mono_ns);

/* ---- watch_log.c ------------------------------------------------------------------------------------ */

/* What was found. */
struct pinw_finding {
	const struct pinw_rule *rule;
	int leak; /* enum pinw_policy_leak, -1 none */
	bool golock; /* of the thread's Go lock, not of its pin */
	const struct pinw_slot *slot; /* NULL: about the process */
	const uint64_t *mask;
	uint64_t for_ns; /* idle, ended, or alive for so long */
	uint64_t first, last; /* growth: least alive */
	bool crash; /* carried out */
};

/* Writes the block, within the limit for its rule and site. */
void pinw_watch_log(struct pinw_watch *w, struct pinw_watched *p, const struct pinw_finding *f);

/* Writes one line; nothing in it may come from outside. */
void pinw_watch_say(struct pinw_watch *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes every thread's creation and pin stacks: what comes before a crash. */
void pinw_watch_log_threads(struct pinw_watch *w, struct pinw_watched *p);

#endif
