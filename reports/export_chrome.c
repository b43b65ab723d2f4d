/* SPDX-License-Identifier: MIT
 *
 * The Trace Event Format, as Perfetto, chrome://tracing and speedscope read it: a process for each process image, a lane
 * for each thread and one more for its Go locks. Promises that slices of a lane nest: what began before a thread's recorded
 * start, or whose end was not seen, is drawn from and to where that still holds, and says so in its arguments. Times
 * are microseconds with three decimals since the start of the first process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reports/export.h"
#include "reports/intern.h"
#include "reports/json_private.h"
#include "reports/ranges.h"
#include "reports/report.h"
#include "reports/utf8.h"

/* Lanes and processes have the kernel's numbers, but for the second that has the same one: those begin here, past any the
 * kernel gives out. Lanes of locks come after those. */
#define OWN_NUMBERS UINT64_C(4194304)
#define LOCK_LANES UINT64_C(2147483648)

/* A thread's life as it is drawn. */
struct life {
	uint64_t begin_ns, end_ns;
};

/* Of a thread with pins or locks: there can be a million of others, which need nothing kept. */
struct lane {
	struct life life; /* holds its pins */
	uint64_t next_pin, next_lock; /* while ends are looked for, from the last to the first */
	bool locks;
};

/* What counters do at a time: the time above, which of these in the lowest bits, so that a step is a number to sort. */
enum step { STEP_STARTED, STEP_ENDED, STEP_PINNED, STEP_RELEASED, STEP_LOCKED, STEP_UNLOCKED };
#define STEP_BITS 3u
#define STEP_LATEST (UINT64_MAX >> STEP_BITS) /* 73 years */

struct trace {
	struct pinw_json j;
	struct pinw_stacks *stacks;
	const struct pinw_process *p;
	uint64_t first_ns; /* start of the first process, on the clock that all have in common */
	bool one_boot; /* that is CLOCK_MONOTONIC */
	struct pinw_table pids; /* in use */
	uint64_t pid;
	uint64_t start_ns; /* of the process, since first_ns */
	struct pinw_table lanes; /* struct lane, by thread */
	struct pinw_table own; /* threads with a tid that one before them had */
	struct pinw_intern names; /* functions of sites */
	struct pinw_table sites; /* uint32_t, by site */
	uint64_t *ends; /* of spans, as they are drawn */
	uint64_t *steps;
	size_t step_count, step_room;
	int error;
};

/* ---- one event ----------------------------------------------------------------------------- */

static void begin(struct trace *t, const char *phase, const char *name, const char *category, uint64_t lane)
{
	pinw_json_begin_line_object(&t->j, NULL);
	pinw_json_text(&t->j, "ph", phase);
	pinw_json_text(&t->j, "name", name);
	if (category)
		pinw_json_text(&t->j, "cat", category);
	pinw_json_number(&t->j, "pid", t->pid);
	pinw_json_number(&t->j, "tid", lane);
}

static void put_time(struct trace *t, const char *key, uint64_t ns)
{
	pinw_json_thousandths(&t->j, key, ns);
}

static void begin_slice(struct trace *t, const char *name, const char *category, uint64_t lane,
                        uint64_t begin_ns, uint64_t end_ns)
{
	begin(t, "X", name, category, lane);
	put_time(t, "ts", t->start_ns + begin_ns);
	put_time(t, "dur", pinw_since(end_ns, begin_ns));
	pinw_json_begin_object(&t->j, "args");
}

static void begin_instant(struct trace *t, const char *name, const char *category, uint64_t lane,
                          uint64_t time_ns)
{
	begin(t, "i", name, category, lane);
	put_time(t, "ts", t->start_ns + time_ns);
	pinw_json_text(&t->j, "s", "t");
	pinw_json_begin_object(&t->j, "args");
}

static void end_arguments(struct trace *t)
{
	pinw_json_end_object(&t->j);
	pinw_json_end_object(&t->j);
}

static void put_metadata(struct trace *t, const char *what, uint64_t lane, const char *name)
{
	begin(t, "M", what, NULL, lane);
	pinw_json_begin_object(&t->j, "args");
	pinw_json_text(&t->j, "name", name);
	end_arguments(t);
}

static void put_order(struct trace *t, const char *what, uint64_t lane, uint64_t index)
{
	begin(t, "M", what, NULL, lane);
	pinw_json_begin_object(&t->j, "args");
	pinw_json_number(&t->j, "sort_index", index);
	end_arguments(t);
}

/* ---- names --------------------------------------------------------------------------------- */

static const char *resolve(struct trace *t, uint32_t id)
{
	const struct pinw_site *site = pinw_process_site(t->p, id);
	static char text[PINW_EXPORT_TEXT];
	struct pinw_stack stack = {.count = 0};

	if (site)
		pinw_stacks_read(t->stacks, t->p, site, &stack);
	if (stack.count == 0)
		return "(stack not recorded)";
	pinw_export_frame(&stack.frames[0], text);
	return text;
}

/* The innermost function of a site; NULL for none. */
static const char *function_of(struct trace *t, uint32_t id)
{
	bool new;
	uint32_t *name = id ? pinw_table_get(&t->sites, id, &new) : NULL;

	if (id && !name)
		t->error = -ENOMEM;
	if (!name)
		return NULL;
	if (new &&pinw_intern_get(&t->names, resolve(t, id), name) < 0) {
		t->error = -ENOMEM;
		return NULL;
	}
	return pinw_intern_text(&t->names, *name);
}

static void put_function(struct trace *t, const char *key, uint32_t site)
{
	const char *function = function_of(t, site);

	if (function)
		pinw_json_text(&t->j, key, function);
	else
		pinw_json_null(&t->j, key);
}

/* ---- lanes --------------------------------------------------------------------------------- */

/* `wanted`, or a number of its own when that is taken or 0. */
static uint64_t own_number(struct trace *t, struct pinw_table *taken, uint64_t wanted, uint64_t own)
{
	bool new = false;

	if (wanted && !pinw_table_get(taken, wanted, &new))
		t->error = -ENOMEM;
	return new ? wanted : OWN_NUMBERS + own;
}

/* Notes the threads that need a number of their own. */
static void number_lanes(struct trace *t)
{
	unsigned char *taken = calloc(OWN_NUMBERS / 8, 1);

	if (!taken)
		t->error = -ENOMEM;
	for (size_t i = 0; taken && i < t->p->threads.count; i++) {
		const struct pinw_thread *thread = pinw_table_at(&t->p->threads, i);
		uint32_t tid = thread->tid;
		bool free_tid = tid < OWN_NUMBERS && !(taken[tid / 8] & 1u << tid % 8);

		if (free_tid)
			taken[tid / 8] |= (unsigned char)(1u << tid % 8);
		else if (!pinw_table_get(&t->own, thread->id, NULL))
			t->error = -ENOMEM;
	}
	free(taken);
}

static uint64_t number_of(const struct trace *t, const struct pinw_thread *thread)
{
	bool own = thread->tid == 0 || pinw_table_find(&t->own, thread->id);

	return own ? OWN_NUMBERS + thread->id : thread->tid;
}

static struct lane *lane_of(struct trace *t, uint32_t thread)
{
	return pinw_table_find(&t->lanes, thread);
}

/* PINW_TIME_UNKNOWN to 0 when no time of it is known. */
static struct life recorded_life(const struct trace *t, const struct pinw_thread *thread)
{
	uint64_t begin_ns = thread->started_ns != PINW_TIME_UNKNOWN ? thread->started_ns : thread->created_ns;
	uint64_t end_ns = thread->exited ? thread->ended_ns : t->p->duration_ns;

	if (thread->flags & PINW_THREAD_MAIN)
		begin_ns = 0;
	if (begin_ns == PINW_TIME_UNKNOWN)
		begin_ns = end_ns;
	if (begin_ns == PINW_TIME_UNKNOWN)
		return (struct life){.begin_ns = PINW_TIME_UNKNOWN};
	if (end_ns == PINW_TIME_UNKNOWN || end_ns < begin_ns)
		end_ns = begin_ns;
	return (struct life){.begin_ns = begin_ns, .end_ns = end_ns};
}

static struct life life_of(struct trace *t, const struct pinw_thread *thread)
{
	const struct lane *lane = lane_of(t, thread->id);
	struct life life = lane ? lane->life : recorded_life(t, thread);

	if (life.begin_ns == PINW_TIME_UNKNOWN)
		return (struct life){0};
	return life;
}

/* Of the thread that has the span; NULL when it is not known. */
static struct lane *make_lane(struct trace *t, const struct pinw_span *s)
{
	const struct pinw_thread *thread = pinw_process_thread(t->p, s->thread);
	bool new;
	struct lane *lane = thread ? pinw_table_get(&t->lanes, s->thread, &new) : NULL;

	if (thread && !lane)
		t->error = -ENOMEM;
	if (lane && new)
		*lane = (struct lane){.life = recorded_life(t, thread),
		                      .next_pin = PINW_TIME_UNKNOWN,
		                      .next_lock = PINW_TIME_UNKNOWN};
	return lane;
}

static void stretch(struct lane *lane, const struct pinw_span *s)
{
	if (s->begin_ns == PINW_TIME_UNKNOWN)
		return;
	if (s->begin_ns < lane->life.begin_ns)
		lane->life.begin_ns = s->begin_ns;
	uint64_t end_ns = s->end_ns == PINW_TIME_UNKNOWN ? s->begin_ns : s->end_ns;
	if (end_ns > lane->life.end_ns)
		lane->life.end_ns = end_ns;
	lane->locks = lane->locks || s->origin == PINW_ORIGIN_GOLOCK;
}

static void find_ends(struct trace *t)
{
	const struct pinw_history *h = t->p->history;

	for (size_t i = 0; i < h->span_count; i++) {
		struct lane *lane = make_lane(t, &h->spans[i]);
		if (lane)
			stretch(lane, &h->spans[i]);
	}
	for (size_t i = h->span_count; i; i--) {
		const struct pinw_span *s = &h->spans[i - 1];
		struct lane *lane = lane_of(t, s->thread);
		if (!lane || s->begin_ns == PINW_TIME_UNKNOWN)
			continue;
		uint64_t *next = s->origin == PINW_ORIGIN_GOLOCK ? &lane->next_lock : &lane->next_pin;
		uint64_t end_ns = s->end_ns < lane->life.end_ns ? s->end_ns : lane->life.end_ns;
		t->ends[i - 1] = end_ns < *next ? end_ns : *next;
		*next = s->begin_ns;
	}
}

/* ---- threads -------------------------------------------------------------------------------- */

static void put_life(struct trace *t, const struct pinw_thread *thread)
{
	const char *how = pinw_thread_how_name(thread->how);
	struct life life = life_of(t, thread);

	begin_slice(t, "life", "thread", number_of(t, thread), life.begin_ns, life.end_ns);
	pinw_json_number(&t->j, "thread", thread->id);
	pinw_json_known(&t->j, "tid", thread->tid, thread->tid != 0);
	pinw_json_known(&t->j, "creator", thread->creator, thread->creator != 0);
	put_function(t, "created in", thread->create_site);
	pinw_json_text(&t->j, "end", how ? how : "alive");
	pinw_json_bool(&t->j, "adopted", thread->flags & PINW_THREAD_ADOPTED);
	end_arguments(t);
}

/* An arrow from its creator's lane to its own. It begins at an instant of that lane: Perfetto lets an arrow begin at the slice
 * of a lane that began last, which can be a pin that is long over. */
static void put_creation(struct trace *t, const struct pinw_thread *thread)
{
	const struct pinw_thread *creator = pinw_process_thread(t->p, thread->creator);
	uint64_t created_ns = thread->created_ns, begin_ns = life_of(t, thread).begin_ns;

	if (!creator || created_ns == PINW_TIME_UNKNOWN)
		return;
	begin_instant(t, "create", "create", number_of(t, creator), created_ns);
	pinw_json_number(&t->j, "thread", thread->id);
	put_function(t, "in", thread->create_site);
	end_arguments(t);
	/* Perfetto reads a text as a number in hexadecimal, and drops arrows that have another. */
	char id[32];
	snprintf(id, sizeof(id), "0x%llx%08x", (unsigned long long)t->pid, thread->id);
	begin(t, "s", "create", "create", number_of(t, creator));
	put_time(t, "ts", t->start_ns + created_ns);
	pinw_json_text(&t->j, "id", id);
	pinw_json_end_object(&t->j);
	begin(t, "f", "create", "create", number_of(t, thread));
	put_time(t, "ts", t->start_ns + (created_ns > begin_ns ? created_ns : begin_ns));
	pinw_json_text(&t->j, "bp", "e");
	pinw_json_text(&t->j, "id", id);
	pinw_json_end_object(&t->j);
}

static void put_thread(struct trace *t, const struct pinw_thread *thread)
{
	const struct lane *lane = lane_of(t, thread->id);
	char name[PINW_EXPORT_TEXT], locks[PINW_EXPORT_TEXT + 16];

	pinw_export_thread(thread->name, name);
	put_metadata(t, "thread_name", number_of(t, thread), name);
	put_order(t, "thread_sort_index", number_of(t, thread), UINT64_C(2) * thread->id);
	if (lane && lane->locks) {
		snprintf(locks, sizeof(locks), "%s: Go locks", name);
		put_metadata(t, "thread_name", LOCK_LANES + thread->id, locks);
		put_order(t, "thread_sort_index", LOCK_LANES + thread->id, UINT64_C(2) * thread->id + 1);
	}
	put_life(t, thread);
	put_creation(t, thread);
}

/* ---- pins and locks -------------------------------------------------------------------------- */

static void put_span(struct trace *t, size_t number)
{
	const struct pinw_span *s = &t->p->history->spans[number];
	const struct pinw_thread *thread = pinw_process_thread(t->p, s->thread);
	bool lock = s->origin == PINW_ORIGIN_GOLOCK;
	char mask[PINW_EXPORT_TEXT], name[PINW_EXPORT_TEXT + 8];

	if (!thread)
		return;
	uint64_t begin_ns = s->begin_ns == PINW_TIME_UNKNOWN ? life_of(t, thread).begin_ns : s->begin_ns;
	uint64_t end_ns = s->begin_ns == PINW_TIME_UNKNOWN ? begin_ns : t->ends[number];
	pinw_export_mask(t->p, s->mask, mask);
	snprintf(name, sizeof(name), "CPU %s", *mask ? mask : "?");
	begin_slice(t, lock ? "Go lock" : name, lock ? "lock" : "pin",
	            lock ? LOCK_LANES + s->thread : number_of(t, thread), begin_ns, end_ns);
	put_function(t, lock ? "locked in" : "pinned in", s->site);
	if (lock) {
		put_function(t, "unlocked in", s->end_site);
		pinw_json_known(&t->j, "goroutine", s->goid, s->goid != 0);
	} else {
		pinw_json_text(&t->j, "origin", pinw_origin_name(s->origin));
		pinw_json_known(&t->j, "by", s->by, s->by != 0);
		pinw_json_text(&t->j, "cpus", mask);
	}
	pinw_json_number(&t->j, "depth", s->depth);
	pinw_json_text(&t->j, "end", pinw_span_end_name(s->end));
	end_arguments(t);
}

/* ---- instants --------------------------------------------------------------------------------- */

static void put_violation(struct trace *t, const struct pinw_single_violation *v)
{
	const struct pinw_rule_row *rule = pinw_process_rule(t->p, v->rule);
	const struct pinw_thread *thread = pinw_process_thread(t->p, v->target ? v->target : v->thread);
	const char *name = rule && rule->label ? rule->label : "unknown rule";
	char label[PINW_EXPORT_TEXT];

	/* Perfetto refuses a file with an escape for half of a character, as JSON writes what is tricky and above U+FFFF. */
	pinw_utf8_copy(label, sizeof(label), name, SIZE_MAX, true);
	begin_instant(t, label, "violation", thread ? number_of(t, thread) : t->pid, v->time_ns);
	pinw_json_text(&t->j, "attempt", pinw_attempt_name(v->attempt));
	pinw_json_text(&t->j, "done", pinw_done_name(v->done));
	put_function(t, "in", v->site);
	end_arguments(t);
}

static void put_leak(void *arg, const struct pinw_leaked *leaked)
{
	struct trace *t = arg;
	bool known = leaked->time_ns != PINW_TIME_UNKNOWN;

	begin_instant(t, pinw_leak_kind_name(leaked->kind), "leak", number_of(t, leaked->thread),
	              known ? leaked->time_ns : life_of(t, leaked->thread).end_ns);
	put_function(t, leaked->origin ? "pinned in" : "created in", leaked->site);
	end_arguments(t);
}

/* ---- counters ---------------------------------------------------------------------------------- */

static void add_step(struct trace *t, uint64_t time_ns, enum step step)
{
	if (pinw_grow((void **)&t->steps, t->step_count, &t->step_room, sizeof(*t->steps)) < 0)
		t->error = -ENOMEM;
	else
		t->steps[t->step_count++] =
		    (time_ns < STEP_LATEST ? time_ns : STEP_LATEST) << STEP_BITS | step;
}

static int by_time(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return (a > b) - (a < b);
}

static void gather_steps(struct trace *t)
{
	const struct pinw_history *h = t->p->history;

	for (size_t i = 0; i < t->p->threads.count; i++) {
		const struct pinw_thread *thread = pinw_table_at(&t->p->threads, i);
		struct life life = life_of(t, thread);
		add_step(t, life.begin_ns, STEP_STARTED);
		if (thread->exited)
			add_step(t, life.end_ns, STEP_ENDED);
	}
	for (size_t i = 0; i < h->span_count; i++) {
		const struct pinw_span *s = &h->spans[i];
		bool lock = s->origin == PINW_ORIGIN_GOLOCK;
		if (s->begin_ns == PINW_TIME_UNKNOWN || !lane_of(t, s->thread))
			continue;
		add_step(t, s->begin_ns, lock ? STEP_LOCKED : STEP_PINNED);
		if (s->end != PINW_SPAN_OPEN)
			add_step(t, t->ends[i], lock ? STEP_UNLOCKED : STEP_RELEASED);
	}
	if (t->step_count)
		qsort(t->steps, t->step_count, sizeof(*t->steps), by_time);
}

/* `taken`: how often each step was, so far. */
static void put_counter(struct trace *t, uint64_t time_ns, const uint64_t *taken)
{
	begin(t, "C", "threads", NULL, t->pid);
	put_time(t, "ts", t->start_ns + time_ns);
	pinw_json_begin_object(&t->j, "args");
	pinw_json_number(&t->j, "alive", pinw_since(taken[STEP_STARTED], taken[STEP_ENDED]));
	pinw_json_number(&t->j, "pinned", pinw_since(taken[STEP_PINNED], taken[STEP_RELEASED]));
	pinw_json_number(&t->j, "locked by Go", pinw_since(taken[STEP_LOCKED], taken[STEP_UNLOCKED]));
	end_arguments(t);
}

static void put_counters(struct trace *t)
{
	uint64_t taken[1u << STEP_BITS] = {0};

	t->step_count = 0;
	gather_steps(t);
	for (size_t i = 0; i < t->step_count; i++) {
		uint64_t time_ns = t->steps[i] >> STEP_BITS;
		taken[t->steps[i] & ((1u << STEP_BITS) - 1)]++;
		if (i + 1 == t->step_count || t->steps[i + 1] >> STEP_BITS != time_ns)
			put_counter(t, time_ns, taken);
	}
}

/* ---- the whole ----------------------------------------------------------------------------------- */

static uint64_t start_of(const struct trace *t, const struct pinw_process *p)
{
	return t->one_boot ? p->header.start_mono_ns : p->header.start_real_ns;
}

/* Clocks since boot agree within one boot only. */
static void find_start(struct trace *t, const struct pinw_model *m)
{
	const struct pinw_process *first = NULL;

	t->one_boot = true;
	for (size_t i = 0; i < m->process_count; i++) {
		const struct pinw_process *p = m->processes[i];
		if (p->error)
			continue;
		first = first ? first : p;
		if (memcmp(p->header.self.boot_id, first->header.self.boot_id,
		           sizeof(p->header.self.boot_id)) != 0)
			t->one_boot = false;
	}
	t->first_ns = UINT64_MAX;
	for (size_t i = 0; i < m->process_count; i++)
		if (!m->processes[i]->error && start_of(t, m->processes[i]) < t->first_ns)
			t->first_ns = start_of(t, m->processes[i]);
}

static void put_process_name(struct trace *t, size_t order)
{
	char program[PINW_EXPORT_TEXT], name[PINW_EXPORT_TEXT + 64];

	pinw_export_program(t->p, program);
	snprintf(name, sizeof(name), "%s (pid %u)", program, t->p->header.self.pid);
	put_metadata(t, "process_name", t->pid, name);
	put_order(t, "process_sort_index", t->pid, order);
}

static int put_process(struct trace *t, size_t order)
{
	const struct pinw_history *h = t->p->history;

	t->pid = own_number(t, &t->pids, t->p->header.self.pid, order);
	t->start_ns = pinw_since(start_of(t, t->p), t->first_ns);
	t->ends = calloc(h->span_count + 1, sizeof(*t->ends));
	if (!t->ends)
		return -ENOMEM;
	number_lanes(t);
	find_ends(t);
	if (t->error < 0)
		return t->error;
	put_process_name(t, order);
	for (size_t i = 0; i < t->p->threads.count; i++)
		put_thread(t, pinw_table_at(&t->p->threads, i));
	for (size_t i = 0; i < h->span_count; i++)
		put_span(t, i);
	for (size_t i = 0; i < h->violation_count; i++)
		put_violation(t, &h->violations[i]);
	put_counters(t);
	int error = pinw_export_leaks(t->p, put_leak, t);
	return error < 0 ? error : t->error;
}

static void done_process(struct trace *t)
{
	free(t->ends);
	t->ends = NULL;
	pinw_table_done(&t->lanes);
	pinw_table_done(&t->own);
	pinw_table_done(&t->sites);
}

int pinw_export_chrome(const struct pinw_model *m, struct pinw_stacks *stacks, FILE *out)
{
	struct trace t = {.stacks = stacks};
	int error = 0;

	pinw_intern_init(&t.names);
	pinw_table_init(&t.pids, 1);
	find_start(&t, m);
	pinw_json_init(&t.j, out);
	pinw_json_begin_object(&t.j, NULL);
	pinw_json_text(&t.j, "displayTimeUnit", "ns");
	pinw_json_begin_array(&t.j, "traceEvents");
	for (size_t i = 0; error == 0 && i < m->process_count; i++) {
		t.p = m->processes[i];
		if (t.p->error)
			continue;
		pinw_table_init(&t.lanes, sizeof(struct lane));
		pinw_table_init(&t.own, 1);
		pinw_table_init(&t.sites, sizeof(uint32_t));
		error = put_process(&t, i);
		done_process(&t);
	}
	pinw_json_end_array(&t.j);
	pinw_json_begin_object(&t.j, "otherData");
	pinw_json_text(&t.j, "pinwarden", PINW_VERSION);
	pinw_json_end_object(&t.j);
	pinw_json_end_object(&t.j);
	int late = pinw_json_done(&t.j);
	free(t.steps);
	pinw_intern_done(&t.names);
	pinw_table_done(&t.pids);
	return error < 0 ? error : late;
}
