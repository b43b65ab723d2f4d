/* SPDX-License-Identifier: MIT
 *
 * One process image as its trace tells it: threads, pins, leaks, sites, and how it
 * ended, in the words of the project's semantics. Filled by the model; everybody
 * else only reads.
 *
 * Totals are in the live page and exact even when events were dropped; details
 * come from live slots and events. Strings may hold any byte: escape them when
 * printing.
 */
#ifndef PINW_REPORTS_PROCESS_H
#define PINW_REPORTS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"
#include "preload/trace_format.h"
#include "reports/reader.h"
#include "reports/table.h"

#define PINW_TIME_UNKNOWN UINT64_MAX

/* How a process image ended. */
enum pinw_how {
	PINW_HOW_EXIT, /* end_status: exit status */
	PINW_HOW_SIGNAL, /* end_status: signal */
	PINW_HOW_EXEC, /* the next image took its place */
	PINW_HOW_VIOLENT, /* no end recorded and the process is gone: SIGKILL, raw exit_group, power */
	PINW_HOW_RUNNING,
};

/* How a thread ended. */
enum pinw_thread_how {
	PINW_THOW_ALIVE, /* and its process too */
	PINW_THOW_RETURN,
	PINW_THOW_PTHREAD_EXIT,
	PINW_THOW_CANCEL,
	PINW_THOW_PROCESS_END, /* its process exited or was replaced by exec */
	PINW_THOW_KILLED, /* its process ended by a signal or violently */
	PINW_THOW_UNKNOWN, /* ended unseen */
};

enum pinw_leak_kind {
	PINW_LEAK_EXIT_WHILE_PINNED,
	PINW_LEAK_PINNED_AT_END,
	PINW_LEAK_UNJOINED,
	PINW_LEAK_INHERITED,
	PINW_LEAK_GROWTH,
	PINW_LEAK_UNBALANCED,
	PINW_LEAK_KINDS,
};

/* An open pin. Site and `by` are 0 when unknown; `origin` is enum pinw_origin. */
struct pinw_pin {
	uint64_t since_ns;
	uint64_t held_ns; /* up to the end of the thread or process, or to now */
	uint32_t site;
	uint32_t by; /* thread id of who set it */
	uint32_t mask; /* it was opened with, for pinw_process_mask(), 0 unknown */
	uint16_t depth; /* 0 = no open pin */
	uint8_t origin;
};

/* A Go lock. Site is 0 when unknown. */
struct pinw_golock {
	uint64_t since_ns;
	uint64_t held_ns; /* up to its end, the end of the process, or to now */
	uint64_t goid; /* goroutine */
	uint32_t site;
	uint32_t depth; /* 0 = no lock */
	bool on_cpus; /* its thread was pinned to CPUs, too, at some time while it was held */
	bool destroyed; /* its goroutine ended with it; else it is open */
};

/* Times are since image start; PINW_TIME_UNKNOWN when not seen. */
struct pinw_thread {
	uint32_t id; /* start sequence, 1 = main */
	uint32_t tid; /* 0 when it never started */
	uint64_t created_ns;
	uint64_t started_ns;
	uint64_t ended_ns; /* its own end; unknown when it lived to the end of the process */
	struct pinw_pin pin; /* open now, or when it ended */
	const struct pinw_golock *lock; /* likewise; never NULL */
	uint32_t creator; /* thread id, 0 unknown */
	uint32_t create_site;
	uint32_t joined_by; /* thread id, 0 = not joined or not known by whom */
	uint32_t inherited_site; /* the creator's pin it started with, when `inherited` */
	uint32_t mask; /* for pinw_process_mask(), 0 unknown */
	uint32_t pins_opened;
	uint32_t golocks; /* taken over its life */
	uint32_t affinity_calls; /* successful ones with this thread as target */
	uint32_t flags; /* PINW_THREAD_* */
	uint8_t how; /* enum pinw_thread_how */
	bool joined : 1;
	bool slot : 1; /* its live slot is in the file: state, pin and name are exact */
	bool exited : 1; /* ended before its process */
	bool inherited : 1; /* started on a mask that its creator's pin gave it */
	char name[PINW_NAME_BYTES]; /* NUL padded */
};

/* What a site was used for; a site can have several uses. */
#define PINW_USE_CREATE 0x1u
#define PINW_USE_PIN 0x2u
#define PINW_USE_AFFINITY 0x4u
#define PINW_USE_OTHER 0x8u
#define PINW_USE_GOLOCK 0x10u
#define PINW_USE_GOUNLOCK 0x20u

/* How often something happened, from the events. */
struct pinw_rate_seen {
	uint64_t count;
	uint64_t peak; /* most within any second */
	uint64_t first_ns, last_ns;
	uint64_t on_main; /* part of count: for the main thread, or by the main goroutine */
	uint64_t repeats; /* part of count: by a thread that had done it here before */
	uint64_t repeats_peak;
	uint64_t repeats_seconds; /* seconds of the clock in which there were PINW_RATE_HIGH of them */
};

#define PINW_RATE_HIGH 10u /* a second */

/* What a stack is called: functions, their closures being theirs (functions.h). NULL where there is no name. */
struct pinw_site_names {
	char *function; /* the innermost one that is no part of a runtime or of the C library */
	char *handler; /* the innermost one that handles requests (functions.h) */
	bool unnamed; /* some frame that could be a handler has no name, or the stack is not all there */
};

/* An interned stack. */
struct pinw_site {
	uint32_t id;
	uint32_t first_frame; /* in pinw_process.frames */
	uint16_t frame_count;
	uint16_t flags; /* PINW_SITE_* */
	uint32_t uses; /* PINW_USE_* */
	bool known; /* its record was read; else only its id is known */
	bool raw; /* some affinity call here was a raw system call of Go's */
	uint64_t created; /* threads created here */
	uint64_t pins; /* pins opened by calls here */
	uint64_t calls; /* affinity calls made here, failed ones included */
	uint64_t failed; /* of these, failed */
	uint64_t others; /* other events here */
	uint64_t golocks; /* Go locks taken here */
	struct pinw_rate_seen rate; /* of pins opened and Go locks taken here */
	struct pinw_site_names
	    *names; /* only where pins and Go locks begin and end, and once pinw_names_give() was called */
};

/* Pins of one origin opened at one site, from the events. Site 0: no call seen. */
struct pinw_pin_site {
	uint32_t site;
	uint8_t origin; /* enum pinw_origin */
	uint64_t opened;
	uint64_t released;
	uint64_t lost; /* their thread ended with them open */
	uint64_t open; /* when the process ended, or now */
	uint64_t held_max_ns; /* of the closed and the open ones */
	uint64_t held_sum_ns;
	uint64_t held_count;
};

#define PINW_LEAK_EXAMPLES 3u
#define PINW_LEAK_CREATORS 8u
#define PINW_UNLOCK_SITES 8u

/* Where Go locks of one site were undone. */
struct pinw_golock_unlocks {
	uint32_t site;
	uint32_t example; /* the first thread */
	uint64_t count;
};

/* Go locks taken at one site, from the events; open ones from the slots. Site 0: not known. */
struct pinw_golock_site {
	uint32_t site;
	uint32_t depth_max;
	uint64_t locked;
	uint64_t unlocked;
	uint64_t destroyed; /* their goroutine ended with them, and the thread too */
	uint64_t open; /* when the process ended, or now */
	uint64_t
	    held_min_ns; /* of those that are open or whose end was seen; above held_max_ns when there is none */
	uint64_t held_max_ns;
	uint64_t held_sum_ns;
	uint64_t held_count;
	uint64_t lost_min_ns; /* of the destroyed ones */
	uint64_t lost_max_ns;
	uint32_t lost_depth, open_depth; /* the deepest of the destroyed, and of the open ones */
	uint64_t open_since_ns; /* the oldest of the open ones */
	uint64_t on_cpus; /* locks whose thread was pinned to CPUs, too, at some time while they were held */
	struct pinw_golock_unlocks unlocks[PINW_UNLOCK_SITES]; /* where, in the order of their first */
	uint32_t unlock_sites; /* of these in use */
	uint64_t unlocked_unseen; /* part of unlocked: nobody saw where */
	uint64_t unlocked_elsewhere; /* part of unlocked: at yet other sites */
	uint32_t destroyed_threads[PINW_LEAK_EXAMPLES]; /* ids of the first ones, 0 = none */
	uint32_t open_threads[PINW_LEAK_EXAMPLES];
};

struct pinw_leak_creator {
	uint32_t site;
	uint64_t count;
};

/* Leaks with the same kind and stack: that of the pin where the kind has one and a call was seen, else that of the
 * thread's creation. */
struct pinw_leak {
	uint8_t kind; /* enum pinw_leak_kind */
	uint8_t origin; /* enum pinw_origin of the pin, 0 when the kind has none */
	uint32_t pin_site; /* 0 when the kind has none, or no call was seen */
	uint32_t unlock_site; /* unbalanced: where the Go lock was undone, 0 = it was not */
	uint64_t count;
	struct pinw_leak_creator creators[PINW_LEAK_CREATORS]; /* where the threads came from, most first */
	uint32_t creator_count; /* of these in use */
	uint64_t created_elsewhere; /* leaks of threads created at yet other sites */
	uint64_t held_min_ns; /* above held_max_ns when no hold time is known */
	uint64_t held_max_ns;
	uint32_t depth_max;
	uint32_t threads[PINW_LEAK_EXAMPLES]; /* ids of the first ones, 0 = none */
};

/* One rule of the policy. Where its cell was read, counts are exact, also when events were dropped; else they are what the
 * events tell. */
struct pinw_rule_row {
	uint32_t id;
	uint32_t line; /* in the policy file; 0 when its record was not read */
	char *label; /* "ban:NAME", ...; "rule 3" when its record was not read */
	uint8_t section; /* enum pinw_section; 0 when its record was not read */
	uint8_t action; /* enum pinw_action */
	bool counted; /* its cell was read */
	uint64_t matched; /* times its predicates held; suppress: leaks it suppressed */
	uint64_t violations; /* found inside the process, with those found by `pinwarden run` in watched */
	uint64_t done; /* of these violations, carried out: denied, reset, crashed */
	uint64_t watched; /* found by `pinwarden run`: rules about time */
	uint64_t last_ns; /* of either kind; PINW_TIME_UNKNOWN when none */
	uint32_t last_thread;
	uint64_t told; /* violations whose records were read */
};

#define PINW_VIOLATION_EXAMPLES 3u

/* Violations of one rule at one stack that came to the same, from the events. */
struct pinw_violation {
	uint32_t rule;
	uint32_t site; /* 0 = no call was seen */
	uint8_t attempt; /* enum pinw_attempted */
	uint8_t done; /* enum pinw_done */
	uint8_t action; /* enum pinw_action */
	uint8_t leak; /* 1 + enum pinw_policy_leak, 0 = no leak */
	uint64_t count;
	uint32_t threads[PINW_VIOLATION_EXAMPLES]; /* the first ones it was about, or that acted; 0 = none */
	bool more_threads; /* than these */
	uint64_t first_ns, last_ns;
	uint64_t value; /* the largest that was counted against the limit, 0 = nothing */
	uint64_t limit; /* then */
	uint32_t mask; /* of the first one, for pinw_process_mask(); 0 = none */
	bool masks_differ;
	uint32_t error; /* errno that the caller was given, 0 */
};

/* The policy an image ran under. */
struct pinw_ran_under {
	char *path; /* NULL when its record was not read */
	uint64_t hash; /* of its text */
	uint32_t mode; /* enum pinw_mode; 0 when its record was not read */
	uint32_t rules; /* as many as its record names */
};

struct pinw_module {
	uint32_t id;
	uint8_t build_id_len;
	uint8_t build_id[32];
	uint64_t start, end; /* addresses it occupies, from its load address; 0 unknown */
	char *path; /* NUL terminated; an inner NUL of the record cuts it */
};

struct pinw_noted {
	uint32_t code; /* enum pinw_note */
	uint32_t arg;
	uint64_t count;
};

#define PINW_EXECS_MAX 16u /* the first ones are kept */
#define PINW_NOTES_MAX 32u

/* Live threads over the run (growth.c says when they grow). */
struct pinw_growth {
	bool judged; /* false: the run was too short, or not all events are there */
	bool found;
	uint64_t first; /* least alive in the first window after the warm-up */
	uint64_t last; /* least alive in the last window */
	uint64_t since_ns; /* end of the warm-up */
};

#define PINW_SHORT_LIVED_NS UINT64_C(1000000000)

/* Threads that were pinned or locked and ended within PINW_SHORT_LIVED_NS of their start. */
struct pinw_churn {
	uint64_t count;
	uint64_t peak; /* most ends within any second */
	uint64_t locked; /* part of count: ended with a Go lock */
	uint64_t
	    replaced; /* part of count: started when another had ended; a pool's threads all start before */
	uint64_t replaced_peak;
	uint64_t replaced_seconds; /* seconds of the clock in which PINW_RATE_HIGH of them ended */
};

/* One trace: one image of one process. */
struct pinw_process {
	char *path; /* of the trace */
	int error; /* 0, else why nothing could be read (pinw_reader_strerror); then only path and error hold */
	struct pinw_trace_header header;
	struct pinw_trace_live live;
	struct pinw_problem problems[PINW_PROBLEMS_MAX];
	uint64_t problem_count; /* all of them; > 0 means damaged */
	struct pinw_reader_tally tally;

	enum pinw_how how;
	uint32_t end_status; /* exit status or signal */
	uint64_t duration_ns; /* to the end; to the last thing recorded when violent; to now when running */
	bool blind; /* its live page is not there: no count, no live state, no end */
	bool elsewhere; /* recorded on another machine or before a reboot: whether it runs cannot be told */

	/* Tree, set by pinw_model_finish(). */
	struct pinw_process *parent; /* NULL: not among these traces */
	struct pinw_process *children; /* in order of start */
	struct pinw_process *sibling;
	bool by_exec; /* parent is the earlier image of this same process */
	bool with_siblings; /* other traces of its session are here; only asked when its next image is not */
	uint32_t tree_depth; /* 0 for a root */
	uint32_t order; /* in which it was added */

	struct pinw_table threads; /* struct pinw_thread, by id */
	struct pinw_table locks; /* struct pinw_golock, by thread: those that ever had one */
	struct pinw_table sites; /* struct pinw_site, by id */
	struct pinw_table modules; /* struct pinw_module, by id */
	struct pinw_table kept_names; /* struct pinw_kept_name (kept_names.h) */
	struct pinw_table pin_sites; /* struct pinw_pin_site, by site and origin */
	struct pinw_pin_site *sorted_pin_sites; /* the same, most opened first: pin_sites.count of them */
	struct pinw_table golock_sites; /* struct pinw_golock_site, by site */
	struct pinw_golock_site
	    *sorted_golock_sites; /* the same, most locked first: golock_sites.count of them */
	struct pinw_opening *openings; /* while the model is built: pins and Go locks, by site and time */
	size_t opening_count, opening_room;
	struct pinw_churn churn;
	struct pinw_rec_frame *frames;
	size_t frame_count;
	size_t frame_room;
	struct pinw_table masks; /* uint64_t[header.mask_words] each, interned; see pinw_process_mask() */
	struct pinw_leak *leaks; /* by kind, then most frequent first */
	size_t leak_count;
	uint64_t leaks_of[PINW_LEAK_KINDS];
	struct pinw_growth growth;
	bool has_policy; /* else the following are empty */
	struct pinw_ran_under policy;
	struct pinw_table rules; /* struct pinw_rule_row, by id */
	uint64_t uncounted_rules; /* those whose cell is missing */
	struct pinw_table violation_groups; /* while the model is built */
	struct pinw_violation *violations; /* most severe first, then most frequent */
	size_t violation_count;
	struct pinw_noted notes[PINW_NOTES_MAX];
	size_t note_count;
	char *unfollowed[PINW_EXECS_MAX]; /* programs exec started without the preload */
	size_t unfollowed_count;
	uint64_t last_event_ns;
	struct pinw_history *history; /* reports/history.h; NULL unless the model is one with_history */
	uint64_t inherited_open; /* part of the pins open at the end, on threads whose slot is in the file */

	/* The kernel's threads against ours: the shim's last census, or for a running process one taken now. */
	uint64_t read_ns; /* CLOCK_MONOTONIC when the trace had been read */
	bool alive; /* /proc still had the process when its trace was read */
	bool census; /* one was taken */
	uint32_t kernel_threads;
	uint32_t seen_threads;
};

/* Returns NULL when unknown. */
const struct pinw_thread *pinw_process_thread(const struct pinw_process *p, uint32_t id);
const struct pinw_site *pinw_process_site(const struct pinw_process *p, uint32_t id);
const struct pinw_module *pinw_process_module(const struct pinw_process *p, uint32_t id);
const uint64_t *pinw_process_mask(const struct pinw_process *p, uint32_t mask);

/* Successful thread starts nobody joined or detached, the living included. */
uint64_t pinw_process_unjoined(const struct pinw_process *p);

/* The image that took its place by exec; NULL when it is not among the traces. */
const struct pinw_process *pinw_process_next_image(const struct pinw_process *p);

/* Pins never released: open now plus those whose thread ended with them. */
uint64_t pinw_process_open_at_end(const struct pinw_process *p);

/* It ended, and neither were its pins taken over by a next image nor may they still be released. */
bool pinw_process_ended_for_good(const struct pinw_process *p);

/* Leaks that are threads, of a finished model: it ended and was neither joined nor detached; it lives and came while
 * their number grew. */
bool pinw_thread_unjoined(const struct pinw_process *p, const struct pinw_thread *t);
bool pinw_thread_in_growth(const struct pinw_process *p, const struct pinw_thread *t);

/* Leaks of every kind. */
uint64_t pinw_process_leaks(const struct pinw_process *p);

/* Is this a stack that Go locks were taken at? */
bool pinw_process_is_golock(const struct pinw_process *p, uint32_t site);

/* Does it run Go some of whose locks of threads, or all of them, went by unseen, or may have? */
bool pinw_process_misses_golocks(const struct pinw_process *p);

/* Returns NULL when unknown. */
const struct pinw_rule_row *pinw_process_rule(const struct pinw_process *p, uint32_t id);

/* Violations of one rule, and of all rules; those that `pinwarden run` found included. Of all there can be more than of each:
 * the process counts them, too, and cells of rules can be lost. */
uint64_t pinw_rule_violations(const struct pinw_rule_row *rule);
uint64_t pinw_process_violations(const struct pinw_process *p);

/* now - then, 0 when then is later: counts and times of a trace need not agree. */
uint64_t pinw_since(uint64_t now, uint64_t then);

/* CLOCK_MONOTONIC, which the times of a trace are on; see header.start_mono_ns. */
uint64_t pinw_monotonic_ns(void);

/* "exit-while-pinned", ... */
const char *pinw_leak_kind_name(enum pinw_leak_kind kind);

#endif
