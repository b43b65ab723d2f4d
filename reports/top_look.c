/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/mask.h"
#include "reports/ranges.h"
#include "reports/top.h"

#define KEPT_MAX 65536u

/* ---- life ---------------------------------------------------------------------------------------- */

/* Half of what this process may open, so that all else can be. */
static uint32_t most_kept(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	return limit.rlim_cur / 2 < KEPT_MAX ? (uint32_t)limit.rlim_cur / 2 : KEPT_MAX;
}

/* Threads that are not there any more. */
static void forget_tasks(struct pinw_top *t, struct pinw_table *tasks)
{
	for (size_t i = 0; i < tasks->count; i++) {
		const struct pinw_top_task *task = pinw_table_at(tasks, i);
		if (!task->times_fd)
			continue;
		close((int)(task->times_fd - 1));
		t->kept--;
	}
	pinw_table_done(tasks);
}

void pinw_top_start(struct pinw_top *t, struct pinw_live *live)
{
	struct pinw_stacks *stacks = t->stacks;
	bool all = t->all;

	t->stacks = NULL;
	pinw_top_done(t);
	*t = (struct pinw_top){.live = live, .stacks = stacks, .all = all, .kept_max = most_kept()};
	pinw_table_init(&t->tasks, sizeof(struct pinw_top_task));
	pinw_table_init(&t->next_tasks, sizeof(struct pinw_top_task));
}

void pinw_top_done(struct pinw_top *t)
{
	pinw_live_free(t->live);
	pinw_stacks_free(t->stacks);
	forget_tasks(t, &t->tasks);
	forget_tasks(t, &t->next_tasks);
	free(t->threads);
}

/* ---- threads --------------------------------------------------------------------------------------- */

static uint64_t held_since(const struct pinw_slot *slot)
{
	uint64_t pin = slot->pin_depth ? slot->pin_since_ns : UINT64_MAX;
	uint64_t lock = slot->golock_depth ? slot->golock_since_ns : UINT64_MAX;

	return pin < lock ? pin : lock;
}

static struct pinw_top_thread describe(const struct pinw_top *t, const struct pinw_slot *slot,
                                       const uint64_t *mask)
{
	struct pinw_top_thread row = {
	    .id = slot->thread,
	    .tid = slot->tid,
	    .ended = slot->state == PINW_SLOT_EXITED,
	    .pin_depth = slot->pin_depth,
	    .pin_origin = slot->pin_origin,
	    .golock_depth = slot->golock_depth,
	    .site = slot->pin_depth && slot->pin_site ? slot->pin_site
	            : slot->golock_depth              ? slot->golock_site
	            : slot->pin_depth                 ? 0
	                                              : slot->create_site,
	    .sleep = {.state = '?', .cpu = -1, .call = -1},
	};
	uint64_t since = held_since(slot);

	memcpy(row.name, slot->name, sizeof(row.name));
	if (since != UINT64_MAX)
		row.held_ns = pinw_since(t->live->now_ns, since);
	pinw_mask_print(row.cpus, sizeof(row.cpus), mask, t->live->process->header.mask_words);
	return row;
}

static void judge(struct pinw_top_thread *row)
{
	double idle = 1 - row->run - row->wait;

	if (row->ended)
		row->doing = PINW_DOING_ENDED;
	else if (!row->timed)
		row->doing = PINW_DOING_UNKNOWN;
	else if (row->wait >= row->run && row->wait >= idle)
		row->doing = PINW_DOING_WAITS;
	else
		row->doing = row->run >= idle ? PINW_DOING_BUSY : PINW_DOING_IDLE;
}

static double share(uint64_t part, uint64_t whole)
{
	double s = whole ? (double)part / (double)whole : 0;

	return s > 1 ? 1 : s;
}

/* Who did not run is where it was. */
static void recall(struct pinw_top_thread *row, const struct pinw_top_task *before,
                   struct pinw_top_task *next)
{
	next->sleep = before->sleep;
	next->migrations = before->migrations;
	next->migrations_known = before->migrations_known;
	next->detailed = before->detailed;
	row->detailed = before->detailed;
	row->sleep = before->sleep;
	row->migrations = before->migrations;
	row->migrations_known = before->migrations_known;
}

/* What opens a thread's times is kept: to open it costs more than to read it. */
static int read_times(struct pinw_top *t, uint32_t tid, struct pinw_top_task *before,
                      struct pinw_top_task *next, struct pinw_task_times *ret_times)
{
	int fd = -1;

	if (before && before->times_fd) {
		fd = (int)(before->times_fd - 1);
		before->times_fd = 0;
		t->kept--;
	} else if (next && t->kept < t->kept_max) {
		fd = pinw_task_times_open(t->live->task, tid);
	}
	if (fd < 0)
		return pinw_task_times(t->live->task, tid, ret_times);
	int error = pinw_task_times_read(fd, ret_times);
	if (error < 0 || !next || next->times_fd) {
		close(fd);
		return error < 0 ? pinw_task_times(t->live->task, tid, ret_times) : 0;
	}
	next->times_fd = (uint32_t)fd + 1;
	t->kept++;
	return 0;
}

/* At its first look a thread's shares are those of its life. */
static void measure(struct pinw_top *t, const struct pinw_slot *slot, struct pinw_top_thread *row)
{
	uint32_t tid = slot->tid ? pinw_live_tid(t->live, slot->tid) : 0;
	struct pinw_task_times now, then = {0};
	uint64_t span = pinw_since(t->live->now_ns, slot->start_ns);

	if (!tid)
		return;
	struct pinw_top_task *before = pinw_table_find(&t->tasks, slot->thread);
	struct pinw_top_task *next = pinw_table_get(&t->next_tasks, slot->thread, NULL);
	if (read_times(t, tid, before, next, &now) < 0)
		return;
	if (before) {
		then = before->times;
		span = t->span_ns;
	}
	if (next && before && now.exact && now.slices == before->times.slices &&
	    now.cpu_ns == before->times.cpu_ns)
		recall(row, before, next);
	if (next)
		next->times = now;
	row->timed = true;
	row->delays = now.exact;
	t->no_delays |= !now.exact;
	row->run = share(pinw_since(now.cpu_ns, then.cpu_ns), span);
	row->wait = share(pinw_since(now.delay_ns, then.delay_ns), span);
}

static void tally(struct pinw_top *t, const struct pinw_top_thread *row)
{
	if ((!row->pin_depth && !row->golock_depth) || row->ended)
		return;
	t->pinned++;
	t->busy += row->doing == PINW_DOING_BUSY;
	t->waits += row->doing == PINW_DOING_WAITS;
	t->idle += row->doing == PINW_DOING_IDLE;
}

static void on_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	struct pinw_top *t = arg;

	if (pinw_grow((void **)&t->threads, t->count, &t->room, sizeof(*t->threads)) < 0) {
		t->out_of_memory = true;
		return;
	}
	struct pinw_top_thread *row = &t->threads[t->count++];
	*row = describe(t, slot, mask);
	if (t->live->task >= 0 && !row->ended && (t->all || row->pin_depth || row->golock_depth))
		measure(t, slot, row);
	judge(row);
	tally(t, row);
}

static int look_at_threads(struct pinw_top *t)
{
	t->count = 0;
	t->pinned = t->busy = t->waits = t->idle = 0;
	t->no_delays = false;
	int error = pinw_reader_slots(t->live->reader, on_slot, t);
	forget_tasks(t, &t->tasks);
	t->tasks = t->next_tasks;
	pinw_table_init(&t->next_tasks, sizeof(struct pinw_top_task));
	return t->out_of_memory ? -ENOMEM : error;
}

/* ---- counts ---------------------------------------------------------------------------------------------- */

static struct pinw_top_counts counts_of(const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;
	uint64_t violations = 0;

	for (size_t i = 0; i < p->rules.count; i++) {
		const struct pinw_rule_row *rule = pinw_table_at(&p->rules, i);
		violations += pinw_rule_violations(rule);
	}
	return (struct pinw_top_counts){
	    .created = n->threads_created,
	    .ended = n->threads_exited,
	    .pins = n->pins_opened + n->golocks,
	    .calls = n->affinity_self + n->affinity_cross + n->affinity_other_process,
	    .violations = violations,
	};
}

static void take_creations(struct pinw_top *t)
{
	const struct pinw_histogram *h = &t->live->process->live.create_ns;

	t->create_span = (struct pinw_histogram){0};
	for (unsigned i = 0; i < PINW_HIST_BUCKETS; i++) {
		t->create_span.bucket[i] = pinw_since(h->bucket[i], t->create_then[i]);
		t->create_then[i] = h->bucket[i];
	}
}

/* The kernel counts a process's threads as links of its task folder, beside "." and "..". */
static uint32_t count_threads(const struct pinw_live *l)
{
	struct stat st;

	if (l->task < 0 || fstat(l->task, &st) < 0 || st.st_nlink < 3)
		return 0;
	return (uint32_t)st.st_nlink - 2;
}

int pinw_top_look(struct pinw_top *t)
{
	uint64_t before = t->look_ns, migrations;
	int error = pinw_live_look(t->live);

	t->first = before == 0;
	if (t->first && t->live->task >= 0)
		t->no_migrations =
		    pinw_task_migrations(t->live->task, (uint32_t)t->live->pid, &migrations) < 0;
	t->look_ns = pinw_monotonic_ns();
	t->span_ns = t->first ? t->live->now_ns : pinw_since(t->look_ns, before);
	t->then = t->now;
	t->now = counts_of(t->live->process);
	take_creations(t);
	t->kernel_threads = count_threads(t->live);
	int r = look_at_threads(t);
	return error < 0 ? error : r;
}

double pinw_top_rate(const struct pinw_top *t, uint64_t now, uint64_t then)
{
	return t->span_ns ? (double)pinw_since(now, then) * 1e9 / (double)t->span_ns : 0;
}

uint64_t pinw_top_quantile(const struct pinw_histogram *h, double q)
{
	uint64_t all = 0, below = 0;

	for (unsigned i = 0; i < PINW_HIST_BUCKETS; i++)
		all += h->bucket[i];
	for (unsigned i = 0; i < PINW_HIST_BUCKETS; i++) {
		below += h->bucket[i];
		if (below && (double)below >= q * (double)all)
			return UINT64_C(2) << i;
	}
	return 0;
}
