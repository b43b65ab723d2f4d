/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "reports/top.h"

static const char *const order_names[PINW_ORDERS] = {
    [PINW_ORDER_RUN] = "run",   [PINW_ORDER_WAIT] = "wait", [PINW_ORDER_MIGRATIONS] = "migrations",
    [PINW_ORDER_HELD] = "held", [PINW_ORDER_TID] = "tid",   [PINW_ORDER_NAME] = "name",
};

const char *pinw_top_order_name(enum pinw_top_order order)
{
	return order_names[order];
}

bool pinw_top_order_parse(const char *name, enum pinw_top_order *ret_order)
{
	for (unsigned i = 0; i < PINW_ORDERS; i++)
		if (strcmp(name, order_names[i]) == 0) {
			*ret_order = (enum pinw_top_order)i;
			return true;
		}
	return false;
}

const char *pinw_top_doing_name(enum pinw_top_doing doing)
{
	switch (doing) {
	case PINW_DOING_BUSY:
		return "busy";
	case PINW_DOING_WAITS:
		return "waits";
	case PINW_DOING_IDLE:
		return "idle";
	case PINW_DOING_ENDED:
		return "ended";
	default:
		return "-";
	}
}

/* ---- choosing ------------------------------------------------------------------------------------- */

static bool is_wanted(const struct pinw_top_thread *thread, const struct pinw_top_choice *choice)
{
	bool pinned = (thread->pin_depth || thread->golock_depth) && !thread->ended;

	return (choice->all || pinned) &&
	       (!choice->filter[0] || memmem(thread->name, strnlen(thread->name, sizeof(thread->name)),
	                                     choice->filter, strlen(choice->filter)));
}

/* Most first; names and numbers in their own order. Equals by number, so that rows do not dance. */
static int compare(const struct pinw_top_thread *a, const struct pinw_top_thread *b,
                   enum pinw_top_order order)
{
	switch (order) {
	case PINW_ORDER_RUN:
		return (a->run < b->run) - (a->run > b->run);
	case PINW_ORDER_WAIT:
		return (a->wait < b->wait) - (a->wait > b->wait);
	case PINW_ORDER_MIGRATIONS:
		return (a->migrations < b->migrations) - (a->migrations > b->migrations);
	case PINW_ORDER_HELD:
		return (a->held_ns < b->held_ns) - (a->held_ns > b->held_ns);
	case PINW_ORDER_NAME:
		return strncmp(a->name, b->name, sizeof(a->name));
	default:
		return (a->tid > b->tid) - (a->tid < b->tid);
	}
}

static int by_choice(const void *x, const void *y, void *arg)
{
	const struct pinw_top_choice *choice = arg;
	const struct pinw_top_thread *a = x, *b = y;
	int order = compare(a, b, choice->order);

	if (order)
		return choice->reverse ? -order : order;
	return (a->id > b->id) - (a->id < b->id);
}

static void read_migrations(struct pinw_top *t, struct pinw_top_thread *thread)
{
	uint32_t tid = thread->tid && !thread->ended ? pinw_live_tid(t->live, thread->tid) : 0;

	if (t->no_migrations || thread->migrations_known || !tid)
		return;
	thread->migrations_known = pinw_task_migrations(t->live->task, tid, &thread->migrations) == 0;
}

size_t pinw_top_choose(struct pinw_top *t, const struct pinw_top_choice *choice)
{
	size_t count = 0;

	for (size_t i = 0; i < t->count; i++) {
		struct pinw_top_thread row = t->threads[i];
		if (!is_wanted(&row, choice))
			continue;
		t->threads[i] = t->threads[count];
		t->threads[count++] = row;
	}
	for (size_t i = 0; i < count && choice->order == PINW_ORDER_MIGRATIONS; i++)
		read_migrations(t, &t->threads[i]);
	if (count)
		qsort_r(t->threads, count, sizeof(*t->threads), by_choice, (void *)(uintptr_t)choice);
	return count;
}

void pinw_top_detail(struct pinw_top *t, struct pinw_top_thread *thread)
{
	uint32_t tid = thread->tid && !thread->ended ? pinw_live_tid(t->live, thread->tid) : 0;

	if (!tid || thread->detailed)
		return;
	read_migrations(t, thread);
	pinw_task_sleep(t->live->task, tid, &thread->sleep);
	struct pinw_top_task *task = pinw_table_find(&t->tasks, thread->id);
	if (!task)
		return;
	task->migrations = thread->migrations;
	task->migrations_known = thread->migrations_known;
	task->sleep = thread->sleep;
	task->detailed = thread->sleep.state == 'S';
}
