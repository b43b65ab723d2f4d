/* SPDX-License-Identifier: MIT
 *
 * Shared by the files that build the model and by nothing else.
 *
 * model.c   traces in, processes out; who ended how; accessors
 * replay.c  the records of one trace → threads, sites, pins
 * golocks.c locks of threads by Go
 * rates.c   how often pins and locks begin, and pinned threads come and go
 * names.c   what the sites of pins and locks are called, and what follows from it
 * violations.c  the policy: its rules, what they did, violations in groups
 * replay_rows.c  the rows these are booked in
 * settle.c  live slots, and what follows from how the process ended
 * borrow.c  stacks a fork child knows from its parent
 * census.c  the kernel's threads against ours
 * tree.c    which process is whose child, and which image came after which
 * leaks.c   leaks out of threads
 * growth.c  do live threads rise steadily
 * history.c every pin, lock and violation, where that is asked for
 */
#ifndef PINW_REPORTS_MODEL_PRIVATE_H
#define PINW_REPORTS_MODEL_PRIVATE_H

#include <sys/types.h>

#include "reports/history.h"
#include "reports/model.h"

/* Records come nearly in the order of time, and any of them may be missing: dropped, damaged or in flight.
 * So each is booked for what it says, and nothing is taken for granted that another one would have said. */
struct pinw_replay {
	struct pinw_process *p;
	bool out_of_memory;
	bool main_renamed;
	struct pinw_thread *last_thread; /* found last: events come in runs of one thread */
};

/* Fills the process from its trace. Returns 0, -ENOMEM, or -errno of reading; what came before an error is kept. */
int pinw_replay(struct pinw_process *p, struct pinw_reader *r);

/* The same bit by bit: begin, then records in any order. `c` is the argument of all that follows. */
void pinw_replay_begin(struct pinw_replay *c, struct pinw_process *p);
void pinw_replay_record(void *arg, const struct pinw_read_record *rec);

/* Frees it and all it holds. Accepts NULL. */
void pinw_process_free(struct pinw_process *p);

/* How and when it ended, by its live page. Returns false when that has no end. */
bool pinw_process_take_end(struct pinw_process *p);

/* A live slot, booked over what the records said. `arg` is the struct pinw_replay. */
void pinw_replay_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask);

/* What a policy left in the trace. */
void pinw_replay_policy(struct pinw_replay *c, const struct pinw_read_record *rec);
void pinw_replay_rule(struct pinw_replay *c, const struct pinw_read_record *rec);
void pinw_replay_violation(struct pinw_replay *c, const struct pinw_rec_violation *rec, const uint64_t *mask);

/* A rule's cell, after all records. `arg` is the struct pinw_replay. */
void pinw_replay_rule_cell(void *arg, const struct pinw_rule_cell *cell);

/* Rows: found or made. NULL (mask: 0) for id 0, which means "unknown", and when out of memory, which is remembered. */
struct pinw_thread *pinw_replay_thread(struct pinw_replay *c, uint32_t id);
struct pinw_site *pinw_replay_site(struct pinw_replay *c, uint32_t id, uint32_t use);
struct pinw_pin_site *pinw_replay_pin_site(struct pinw_replay *c, uint32_t site, uint8_t origin);
uint32_t pinw_replay_mask(struct pinw_replay *c, const uint64_t *mask);

/* Gives a site its stack: at most PINW_FRAMES_MAX frames. Returns 0 or -ENOMEM. */
int pinw_frames_append(struct pinw_process *p, struct pinw_site *s, const struct pinw_rec_frame *frames,
                       size_t count);

/* Pins. `pin.since_ns` is the time of the change; a depth of 0 counts as 1 in an open pin. */
void pinw_replay_open_pin(struct pinw_replay *c, struct pinw_thread *t, struct pinw_pin pin);
void pinw_replay_release_pin(struct pinw_replay *c, struct pinw_thread *t, uint64_t now);
void pinw_replay_effect(struct pinw_replay *c, struct pinw_thread *t, unsigned effect, struct pinw_pin pin);
void pinw_replay_book_hold(struct pinw_pin_site *s, uint64_t held_ns);

/* A pin or a Go lock begins, at a site that may be 0. `on_main`: for the main thread, or by the main goroutine. */
void pinw_replay_opening(struct pinw_replay *c, uint32_t site, uint32_t thread, bool on_main,
                         uint64_t time_ns);

/* Accepts NULL. */
void pinw_site_names_free(struct pinw_site_names *n);

/* Needs settled threads. Returns 0 or -ENOMEM. */
int pinw_rates_settle(struct pinw_process *p);

/* Go locks. Open ones come from the slots, after all events. What threads without one have is pinw_no_golock: a thread that
 * has one is rare where there are a million. */
extern const struct pinw_golock pinw_no_golock;
void pinw_replay_golock(struct pinw_replay *c, const struct pinw_rec_golock *rec);
void pinw_replay_golock_slot(struct pinw_replay *c, const struct pinw_slot *slot);
int pinw_golocks_settle(struct pinw_process *p);

/* The lock that a thread has, if it has one, is held on CPUs of its own. */
void pinw_replay_golock_on_cpus(struct pinw_replay *c, const struct pinw_thread *t);

/* How long a lock that was not unlocked had been held at `end_ns`. */
void pinw_golock_held_until(struct pinw_process *p, const struct pinw_thread *t, uint64_t end_ns);

/* Single pins, locks and violations; each does nothing in a process without a history. `pin`: the pin that `t` has, when there
 * is one, ends. */
int pinw_history_new(struct pinw_process *p);
void pinw_history_free(struct pinw_process *p);
void pinw_history_pin(struct pinw_process *p, const struct pinw_thread *t, enum pinw_span_end end,
                      uint64_t end_ns);
void pinw_history_move(struct pinw_process *p, const struct pinw_thread *t, uint64_t now_ns);
void pinw_history_golock(struct pinw_process *p, const struct pinw_rec_golock *rec);
void pinw_history_slot(struct pinw_process *p, const struct pinw_slot *slot);
void pinw_history_violation(struct pinw_process *p, const struct pinw_rec_violation *rec, uint32_t mask);

/* After pinw_settle(): what is still open, and all in order. Returns 0 or -ENOMEM. */
int pinw_history_settle(struct pinw_process *p);

/* Once how and duration are known: how the remaining threads ended, hold times, what is open. */
void pinw_settle(struct pinw_process *p);

/* Once all is read: counts without a cell, and the groups in order. Returns 0 or -ENOMEM. */
int pinw_violations_settle(struct pinw_process *p);
void pinw_violations_free(struct pinw_process *p);

/* Links parents, children and images, and puts the processes in tree order. */
int pinw_tree_build(struct pinw_model *m);

/* Which threads the kernel lists, asked around the reading of a trace without a recorded end. `begin` also tells
 * whether the process is alive; `end` frees what `begin` took and fills the process's census. */
struct pinw_census {
	pid_t pid;
	uint32_t *tids;
	size_t count;
};

void pinw_census_begin(struct pinw_census *c, struct pinw_process *p);
void pinw_census_end(struct pinw_census *c, struct pinw_process *p);

/* A fork child goes on with its parent's numbers for stacks and modules, but writes only those it meets again:
 * takes the others it refers to from its parent, which must have been settled. Returns 0 or -ENOMEM. */
int pinw_borrow_sites(struct pinw_process *p);

/* Needs settled threads. */
void pinw_growth_judge(struct pinw_process *p);

/* Needs settled threads and growth. Returns 0 or -ENOMEM. */
int pinw_leaks_derive(struct pinw_process *p);

/* One that was found later: adds and counts it. Returns 0 or -ENOMEM. */
int pinw_leaks_add(struct pinw_process *p, const struct pinw_leak *leak);

#endif
