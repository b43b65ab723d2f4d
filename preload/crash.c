/* SPDX-License-Identifier: MIT
 *
 * The crash action: the report of a fatal error as Go's runtime gives it, and the abort.
 */
#include <signal.h>
#include <string.h>

#include "preload/arch.h"
#include "preload/log.h"
#include "preload/proc.h"
#include "preload/process.h"
#include "preload/registry.h"
#include "preload/site.h"
#include "preload/violation.h"

#define GROUPS_MAX 1024u /* a power of two */
#define NAMED 6u /* threads named in a group */

/* Threads with the same stacks. */
struct group {
	const struct pinw_slot *first;
	uint32_t create_site, pin_site, golock_site;
	uint32_t count;
	const struct pinw_slot *threads[NAMED];
};

static struct dump {
	struct group table[GROUPS_MAX];
	uint32_t used;
	uint32_t alive;
	uint32_t others; /* threads of groups that found no place */
} * dump; /* mapped when it is wanted */

static struct group *find_group(const struct group *like)
{
	uint32_t place =
	    (like->create_site * 31u + like->pin_site * 2654435761u + like->golock_site * 40503u) %
	    GROUPS_MAX;

	for (uint32_t i = 0; i < GROUPS_MAX; i++) {
		struct group *group = &dump->table[(place + i) % GROUPS_MAX];

		if (!group->count ||
		    (group->create_site == like->create_site && group->pin_site == like->pin_site &&
		     group->golock_site == like->golock_site))
			return group;
	}
	return NULL;
}

static void collect(struct pinw_thread *thread, void *unused)
{
	const struct pinw_slot *slot = thread->slot;
	struct group its = {.first = slot,
	                    .create_site = slot->create_site,
	                    .pin_site = slot->pin_depth ? slot->pin_site : 0,
	                    .golock_site = slot->golock_depth ? slot->golock_site : 0};

	(void)unused;
	if (slot->state == PINW_SLOT_EXITED)
		return;
	dump->alive++;
	struct group *group = find_group(&its);
	if (!group) {
		dump->others++;
		return;
	}
	if (!group->count)
		*group = its;
	if (group->count < NAMED)
		group->threads[group->count] = slot;
	group->count++;
}

static void put_group(struct pinw_logtext *text, const struct group *group, uint64_t now_ns)
{
	pinw_logtext_number(text, group->count);
	pinw_logtext_put(text, group->count == 1 ? " thread: " : " threads: ");
	for (uint32_t i = 0; i < group->count && i < NAMED; i++) {
		pinw_logtext_put(text, i ? ", #" : "#");
		pinw_logtext_number(text, group->threads[i]->thread);
		pinw_logtext_put(text, " \"");
		pinw_logtext_escaped(text, group->threads[i]->name, sizeof(group->threads[i]->name));
		pinw_logtext_put(text, "\"");
	}
	pinw_logtext_put(text, group->count > NAMED ? ", ..." : "");
	pinw_logtext_put(text, group->pin_site ? ": pinned" : ": not pinned");
	pinw_logtext_put(text, group->golock_site ? ", locked by a goroutine\n" : "\n");
	pinw_logtext_pin(text, group->first, now_ns);
	pinw_logtext_put(text, "\n");
}

static void put_threads(struct pinw_log_block *block, uint64_t now_ns)
{
	pinw_registry_each(collect, NULL);
	pinw_logtext_put(block->text, "pinwarden: all ");
	pinw_logtext_number(block->text, dump->alive);
	pinw_logtext_put(block->text, " threads alive, by their stacks:\n");
	for (uint32_t i = 0; i < GROUPS_MAX; i++) {
		if (!dump->table[i].count)
			continue;
		put_group(block->text, &dump->table[i], now_ns);
		pinw_log_report_flush(block);
	}
	if (dump->others) {
		pinw_logtext_put(block->text, "and ");
		pinw_logtext_number(block->text, dump->others);
		pinw_logtext_put(block->text, " threads with yet other stacks: see the trace\n");
		pinw_log_report_flush(block);
	}
}

static void report(const struct pinw_violation *v)
{
	struct pinw_log_block block;

	pinw_log_report_begin(&block);
	pinw_logtext_put(block.text, "pinwarden: fatal: ");
	pinw_violation_describe(block.text, v);
	pinw_violation_stacks(block.text, v);
	pinw_logtext_put(block.text, "\n");
	pinw_log_report_flush(&block);
	dump = pinw_proc_map(sizeof(*dump));
	if (dump)
		put_threads(&block, v->now_ns);
	pinw_logtext_put(block.text, "pinwarden: aborted\n");
	pinw_log_report_flush(&block);
}

static void __attribute__((noreturn)) wait_for_the_end(void)
{
	struct {
		int64_t sec, nsec;
	} nap = {0, 1000000};

	for (;;)
		if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED) ||
		    pinw_sys2(SYS_nanosleep, &nap, 0) < 0)
			pinw_sys0(SYS_sched_yield);
}

/* Past the program's own handler, if it has one: the state it would clean up is what the core is for. */
static void __attribute__((noreturn)) abort_now(void)
{
	struct {
		void *handler;
		uint64_t flags;
		void *restorer;
		uint64_t mask;
	} action = {0};
	uint64_t abrt = UINT64_C(1) << (SIGABRT - 1);

	pinw_sys4(SYS_rt_sigaction, SIGABRT, &action, 0, sizeof(abrt));
	pinw_sys4(SYS_rt_sigprocmask, SIG_UNBLOCK, &abrt, 0, sizeof(abrt));
	pinw_sys3(SYS_tgkill, pinw_proc_pid(), pinw_proc_tid(), SIGABRT);
	for (;;) /* a tracer swallowed it, or a filter forbids it */
		pinw_sys1(SYS_exit_group, 128 + SIGABRT);
}

static uint64_t crashing; /* atomic: image << 32 | tid */

void pinw_violation_await_crash(void)
{
	uint64_t seen = __atomic_load_n(&crashing, __ATOMIC_RELAXED);

	if (pinw_unlikely(seen) && seen >> 32 == pinw_shim.image_gen && (uint32_t)seen != pinw_tls.tid)
		wait_for_the_end();
}

/* Two threads may pass their limits at once: one report, for which the other waits, and with it the process. A fork child of
 * that moment has its own, by its image. */
static void take_turn(void)
{
	uint64_t seen = __atomic_load_n(&crashing, __ATOMIC_RELAXED);

	do {
		if (seen >> 32 != pinw_shim.image_gen)
			continue;
		if ((uint32_t)seen == pinw_tls.tid)
			abort_now(); /* a handler's limit, in the middle of the report */
		wait_for_the_end();
	} while (!__atomic_compare_exchange_n(&crashing, &seen,
	                                      (uint64_t)pinw_shim.image_gen << 32 | pinw_tls.tid, false,
	                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

void pinw_violation_crash(const struct pinw_violation *v)
{
	uint64_t all = ~UINT64_C(0);

	/* A handler that passes a limit as well would wait for this very thread. */
	if (!__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		pinw_sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, 0, sizeof(all));
	take_turn();
	pinw_violation_book(v);
	report(v);
	pinw_image_end(PINW_END_SIGNAL, SIGABRT);
	abort_now();
}
