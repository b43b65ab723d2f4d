/* SPDX-License-Identifier: MIT
 *
 * Recorded pasts put before policies. Sites of the traces are in this very program, so that functions have names.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reports/check.h"
#include "reports/rehearse.h"
#include "tests/trace_builder.h"

#define SECOND UINT64_C(1000000000)
#define ALL 0xfu /* the builder's baseline: CPUs 0-3 */

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

void replay_handle_request(void);
void replay_worker_main(void);

__attribute__((noinline)) void replay_handle_request(void)
{
	__asm__ volatile("nop; nop; nop; nop");
}

__attribute__((noinline)) void replay_worker_main(void)
{
	__asm__ volatile("nop; nop; nop; nop");
}

enum { SITE_HANDLER = 1, SITE_WORKER = 2, SITE_PLUGIN = 3 };

static struct pinw_builder past;
static struct pinw_rehearsal result;
static const struct pinw_policy *policy;
static struct pinw_policy_error wrong;
static char path[] = "/tmp/pinw-replay-XXXXXX";

static void start_past(void)
{
	char self[512];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	uint64_t handler = (uint64_t)((const char *)replay_handle_request - __ehdr_start) + 2;
	uint64_t worker = (uint64_t)((const char *)replay_worker_main - __ehdr_start) + 2;
	uint64_t plugin = 0x1000;

	cr_assert_gt(len, 0);
	self[len] = '\0';
	pinw_builder_init(&past, 1);
	pinw_builder_module(&past, 1, self);
	pinw_builder_module(&past, 2, "/opt/plugins/libplugin.so.3");
	pinw_builder_site(&past, SITE_HANDLER, 1, &handler, 1, 0);
	pinw_builder_site(&past, SITE_WORKER, 1, &worker, 1, 0);
	pinw_builder_site(&past, SITE_PLUGIN, 2, &plugin, 1, 0);
}

static void remove_past(void)
{
	unlink(path);
}

TestSuite(policy_replay, .init = start_past, .fini = remove_past);

/* ---- helpers -------------------------------------------------------------------------------- */

/* A thread of main's that lives from `from` on. */
static void thread_at(uint64_t from, uint32_t thread, uint32_t site)
{
	pinw_builder_create(&past, from, 1, site, thread, 0);
	pinw_builder_start(&past, from + 1000, thread, PINW_ORIGIN_NONE, 0, 0, ALL);
}

/* Ends the past after `ns` and puts it before a policy. The results live as long as the test's process. */
static void judge_until(uint64_t ns, const char *text)
{
	struct pinw_policy_host host;
	struct pinw_model *m;
	struct pinw_stacks *stacks;
	size_t size = pinw_policy_memory_needed(strlen(text), 1);
	struct pinw_policy_memory memory = {.bytes = malloc(size), .size = size};
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
	pinw_builder_end(&past, PINW_END_EXIT, 0, ns);
	cr_assert_eq(pinw_builder_write(&past, path), 0);
	cr_assert_eq(pinw_model_new(&m), 0);
	cr_assert_eq(pinw_model_add(m, path), 0);
	cr_assert_eq(pinw_model_finish(m), 0);
	cr_assert_eq(m->process_count, 1u);
	cr_assert_eq(m->processes[0]->error, 0);
	cr_assert_eq(pinw_stacks_open(&stacks), 0);
	pinw_rehearsal_host(m->processes[0], &host);
	cr_assert_eq(pinw_policy_parse(text, strlen(text), "test.ini", &host, &memory, &policy, &wrong), 0,
	             "line %u: %s: %s", wrong.line, wrong.key, wrong.text);
	cr_assert_eq(pinw_rehearsal_init(&result, policy->rule_count), 0);
	cr_assert_eq(pinw_rehearse(&result, policy, m->processes[0], stacks), 0);
	pinw_stacks_free(stacks);
}

static void judge(const char *text)
{
	judge_until(100 * SECOND, text);
}

static const struct pinw_rule_tally *tally_of(const char *label)
{
	for (uint32_t i = 0; i < policy->rule_count; i++)
		if (strcmp(policy->rules[i].label, label) == 0)
			return &result.tally[i];
	cr_assert_fail("no rule %s", label);
	return NULL;
}

static void expect(const char *label, uint64_t violations)
{
	cr_expect_eq(tally_of(label)->violations, violations, "%s: %lu violations", label,
	             (unsigned long)tally_of(label)->violations);
}

static const struct pinw_finding *first_finding(void)
{
	cr_assert_gt(result.findings.count, 0u);
	return pinw_table_at(&result.findings, 0);
}

/* ---- pins -------------------------------------------------------------------------------------- */

Test(policy_replay, finds_pins_by_a_function_on_their_stack)
{
	thread_at(SECOND, 2, SITE_WORKER);
	pinw_builder_pin(&past, 2 * SECOND, 2, 2, SITE_HANDLER, PINW_EFFECT_OPEN, 0x2);
	pinw_builder_pin(&past, 3 * SECOND, 2, 2, SITE_HANDLER, PINW_EFFECT_RELEASE, ALL);
	pinw_builder_pin(&past, 4 * SECOND, 2, 2, SITE_HANDLER, PINW_EFFECT_OPEN, 0x4);
	pinw_builder_pin(&past, 5 * SECOND, 1, 1, SITE_WORKER, PINW_EFFECT_OPEN, 0x1);
	judge("[ban \"handlers\"]\nfunction = replay_handle*\n[ban \"others\"]\nfunction = nobody\n");
	expect("ban:handlers", 2);
	expect("ban:others", 0);
	cr_expect_eq(tally_of("ban:others")->matched, 0u);
	const struct pinw_finding *f = first_finding();
	cr_expect_eq(result.findings.count, 1u, "one stack, one finding");
	cr_expect_eq(f->count, 2u);
	cr_expect_eq(f->site, (uint32_t)SITE_HANDLER);
	cr_expect_eq(f->threads[0], 2u);
	cr_expect_eq(f->first_ns, 2 * SECOND);
	cr_expect_eq(f->attempt, PINW_ATTEMPT_PIN);
	cr_expect_eq(result.pins, 3u, "a release is no attempt");
}

Test(policy_replay, finds_pins_by_module_call_and_cpus)
{
	thread_at(SECOND, 2, SITE_WORKER);
	pinw_builder_pin(&past, 2 * SECOND, 1, 2, SITE_PLUGIN, PINW_EFFECT_OPEN, 0x2);
	pinw_builder_pin(&past, 3 * SECOND, 1, 1, SITE_WORKER, PINW_EFFECT_OPEN, 0x8);
	judge("[ban \"plugins\"]\nmodule = libplugin.so.*\ncpus = 1\naction = log\n"
	      "[ban \"cross\"]\ncall = cross\n[ban \"cpu 3\"]\ncpus = 3\n");
	expect("ban:plugins", 1);
	expect("ban:cross", 0); /* the first in the file spoke */
	expect("ban:cpu 3", 1);
}

Test(policy_replay, leaves_failed_calls_alone)
{
	pinw_builder_pin_failed(&past, SECOND, 1, SITE_HANDLER, 22);
	judge("[ban \"all\"]\nfunction = *\n");
	expect("ban:all", 0);
	cr_expect_eq(result.pins, 0u);
}

Test(policy_replay, knows_the_name_a_thread_had_at_that_time)
{
	thread_at(SECOND, 2, SITE_WORKER);
	pinw_builder_pin(&past, 2 * SECOND, 2, 2, SITE_WORKER, PINW_EFFECT_OPEN, 0x2);
	pinw_builder_pin(&past, 3 * SECOND, 2, 2, SITE_WORKER, PINW_EFFECT_RELEASE, ALL);
	pinw_builder_name(&past, 4 * SECOND, 2, 2, "worker-1");
	pinw_builder_pin(&past, 5 * SECOND, 2, 2, SITE_WORKER, PINW_EFFECT_OPEN, 0x2);
	judge("[allow \"workers\"]\nthread_name = worker-*\n[ban \"all\"]\nfunction = *\n");
	expect("ban:all", 1);
	cr_expect_eq(tally_of("allow:workers")->matched, 1u);
}

Test(policy_replay, counts_rates_for_each_site)
{
	for (uint64_t i = 0; i < 6; i++) {
		uint64_t at = SECOND + i * 100000000;
		uint32_t site = i % 2 ? SITE_HANDLER : SITE_WORKER;
		pinw_builder_pin(&past, at, 1, 1, site, PINW_EFFECT_OPEN, 0x1);
		pinw_builder_pin(&past, at + 1000, 1, 1, site, PINW_EFFECT_RELEASE, ALL);
	}
	judge("[ban \"two\"]\nsite_rate = 2/s\n");
	expect("ban:two", 2); /* the third of each */
}

Test(policy_replay, counts_pins_against_their_limits)
{
	thread_at(SECOND, 2, SITE_WORKER);
	thread_at(SECOND, 3, SITE_WORKER);
	pinw_builder_pin(&past, 2 * SECOND, 2, 2, SITE_WORKER, PINW_EFFECT_OPEN, 0x2);
	pinw_builder_pin(&past, 3 * SECOND, 3, 3, SITE_WORKER, PINW_EFFECT_OPEN, 0x2); /* booked twice */
	pinw_builder_pin(&past, 4 * SECOND, 3, 3, SITE_WORKER, PINW_EFFECT_RELEASE, ALL);
	pinw_builder_pin(&past, 5 * SECOND, 1, 1, SITE_WORKER, PINW_EFFECT_OPEN, 0x4);
	judge("[caps]\nmax_pinned_per_cpu = 1\nmax_pinned = 2\nmax_pinned_warn_at = 2\n");
	expect("caps:max_pinned_per_cpu", 1);
	expect("caps:max_pinned", 0);
	expect("caps:max_pinned_warn_at", 1); /* at 5 s: at 3 s the other limit spoke */
}

/* ---- threads --------------------------------------------------------------------------------------- */

Test(policy_replay, counts_the_living_in_the_order_of_time)
{
	thread_at(1 * SECOND, 2, SITE_WORKER);
	thread_at(3 * SECOND, 3, SITE_WORKER); /* written before the end of 2, which was earlier */
	pinw_builder_exit(&past, 2 * SECOND, 2, PINW_EXIT_RETURN, ALL);
	thread_at(4 * SECOND, 4, SITE_HANDLER);
	judge("[caps]\nmax_threads = 2\nmax_threads_warn_at = 2\n");
	expect("caps:max_threads", 1);
	expect("caps:max_threads_warn_at", 2);
	for (size_t i = 0; i < result.findings.count; i++) {
		const struct pinw_finding *f = pinw_table_at(&result.findings, i);
		if (f->limit != 2 || f->value != 3)
			continue;
		cr_expect_eq(f->threads[0], 4u);
		cr_expect_eq(f->site, (uint32_t)SITE_HANDLER);
		return;
	}
	cr_assert_fail("no finding with the third thread alive");
}

Test(policy_replay, takes_cpus_from_the_trace)
{
	for (uint32_t i = 2; i <= 5; i++)
		thread_at(i * SECOND, i, SITE_WORKER);
	judge("[caps]\nmax_threads = cpus\n"); /* 4 */
	expect("caps:max_threads", 1);
}

Test(policy_replay, counts_creations_in_a_time)
{
	for (uint32_t i = 0; i < 4; i++)
		thread_at(SECOND + i * 1000000, 2 + i, SITE_WORKER);
	thread_at(50 * SECOND, 6, SITE_WORKER);
	judge("[caps]\nthread_rate = 3/s\n");
	expect("caps:thread_rate", 1);
}

Test(policy_replay, judges_the_mask_a_thread_is_born_with)
{
	pinw_builder_pin(&past, SECOND, 1, 1, SITE_WORKER, PINW_EFFECT_OPEN, 0x2);
	pinw_builder_create(&past, 2 * SECOND, 1, SITE_HANDLER, 2, 0);
	pinw_builder_start(&past, 2 * SECOND + 1000, 2, PINW_ORIGIN_INHERITED, SITE_WORKER, 1, 0x2);
	judge("[ban \"passed on\"]\ncall = inherit\nfunction = replay_handle*\naction = log\n"
	      "[leak]\ninherited = reset\n");
	expect("ban:passed on", 1);
	expect("leak:inherited", 1);
}

/* ---- leaks ------------------------------------------------------------------------------------------- */

Test(policy_replay, finds_and_suppresses_ends_with_a_pin)
{
	thread_at(SECOND, 2, SITE_WORKER);
	thread_at(SECOND, 3, SITE_WORKER);
	pinw_builder_pin(&past, 2 * SECOND, 2, 2, SITE_HANDLER, PINW_EFFECT_OPEN, 0x2);
	pinw_builder_pin(&past, 2 * SECOND, 3, 3, SITE_PLUGIN, PINW_EFFECT_OPEN, 0x4);
	pinw_builder_exit_pinned(&past, 3 * SECOND, 2, PINW_ORIGIN_SELF, SITE_HANDLER, 2, SECOND);
	pinw_builder_exit_pinned(&past, 3 * SECOND, 3, PINW_ORIGIN_SELF, SITE_PLUGIN, 3, SECOND);
	pinw_builder_join(&past, 4 * SECOND, 1, 2);
	pinw_builder_join(&past, 4 * SECOND, 1, 3);
	judge("[leak]\nexit_while_pinned = log\n[suppress \"plugins\"]\nmodule = libplugin*\n"
	      "[suppress \"unused\"]\nthread_name = nobody\n");
	expect("leak:exit_while_pinned", 1);
	cr_expect_eq(tally_of("suppress:plugins")->matched, 1u);
	cr_expect_eq(tally_of("suppress:unused")->matched, 0u);
	cr_expect_eq(result.suppressed, 1u);
	cr_expect_eq(first_finding()->leak, 1 + PINW_PLEAK_EXIT_WHILE_PINNED);
}

Test(policy_replay, lets_a_suppression_expire_by_the_day_of_the_trace)
{
	past.header.start_real_ns = UINT64_C(1700000000) * SECOND; /* 2023-11-14 */
	thread_at(SECOND, 2, SITE_WORKER);
	pinw_builder_pin(&past, 2 * SECOND, 2, 2, SITE_HANDLER, PINW_EFFECT_OPEN, 0x2);
	pinw_builder_exit_pinned(&past, 3 * SECOND, 2, PINW_ORIGIN_SELF, SITE_HANDLER, 2, SECOND);
	pinw_builder_join(&past, 4 * SECOND, 1, 2);
	judge("[leak]\nexit_while_pinned = log\n"
	      "[suppress \"old\"]\nfunction = replay_*\nthread_name = *\nexpires = 2023-11-13\n"
	      "[suppress \"now\"]\nfunction = replay_*\nexpires = 2023-11-14\n");
	expect("leak:exit_while_pinned", 0);
	cr_expect_eq(tally_of("suppress:old")->matched, 0u);
	cr_expect_eq(tally_of("suppress:now")->matched, 1u);
}

Test(policy_replay, takes_a_declared_worker_for_no_leak)
{
	thread_at(SECOND, 2, SITE_WORKER);
	thread_at(SECOND, 3, SITE_WORKER);
	pinw_builder_name(&past, 2 * SECOND, 2, 2, "worker-1");
	pinw_builder_pin(&past, 3 * SECOND, 2, 2, SITE_WORKER, PINW_EFFECT_OPEN, 0x2);
	pinw_builder_pin(&past, 3 * SECOND, 3, 3, SITE_WORKER, PINW_EFFECT_OPEN, 0x4);
	pinw_builder_slot(&past, 2, PINW_SLOT_RUNNING, 0x2)->pin_depth = 1;
	pinw_builder_slot(&past, 3, PINW_SLOT_RUNNING, 0x4)->pin_depth = 1;
	judge("[allow \"workers\"]\nthread_name = worker-*\n[leak]\npinned_at_end = log\n");
	expect("leak:pinned_at_end", 1);
	cr_expect_eq(first_finding()->threads[0], 3u);
}

Test(policy_replay, gives_a_thread_its_grace_to_be_joined)
{
	for (uint32_t i = 2; i <= 5; i++) {
		thread_at(SECOND, i, SITE_WORKER);
		pinw_builder_exit(&past, (i == 5 ? 99 : 2) * SECOND, i, PINW_EXIT_RETURN, ALL);
	}
	pinw_builder_join(&past, 6 * SECOND, 1, 2);
	pinw_builder_join(&past, 8 * SECOND, 1, 3); /* too late */
	judge("[leak]\nunjoined = log\ngrace = 5s\n"); /* 5 ended a second before the program */
	expect("leak:unjoined", 2);
}

Test(policy_replay, lets_threads_be_joined_until_the_end_without_a_grace)
{
	for (uint32_t i = 2; i <= 3; i++) {
		thread_at(SECOND, i, SITE_WORKER);
		pinw_builder_exit(&past, 2 * SECOND, i, PINW_EXIT_RETURN, ALL);
	}
	pinw_builder_join(&past, 90 * SECOND, 1, 2);
	judge("[leak]\nunjoined = log\ngrace = 0s\n");
	expect("leak:unjoined", 1);
	cr_expect_eq(first_finding()->threads[0], 3u);
}

/* ---- require ---------------------------------------------------------------------------------------------- */

Test(policy_replay, asks_for_pins_in_time)
{
	for (uint32_t i = 2; i <= 5; i++)
		thread_at(SECOND, i, SITE_WORKER);
	pinw_builder_pin(&past, SECOND + 1000000, 2, 2, SITE_WORKER, PINW_EFFECT_OPEN, 0x2);
	pinw_builder_pin(&past, 9 * SECOND, 3, 3, SITE_WORKER, PINW_EFFECT_OPEN, 0x4); /* too late */
	pinw_builder_exit(&past, SECOND + 2000000, 4, PINW_EXIT_RETURN, ALL); /* never lived to */
	pinw_builder_pin(&past, 20 * SECOND, 2, 2, SITE_WORKER, PINW_EFFECT_RELEASE, ALL);
	pinw_builder_exit(&past, 21 * SECOND, 2, PINW_EXIT_RETURN, ALL); /* in good order */
	judge("[require \"workers\"]\ncreated_by = replay_worker*\nwithin = 2s\n");
	expect("require:workers", 2); /* 3 and 5 */
	cr_expect_eq(first_finding()->first_ns, 3 * SECOND + 1000);
}

/* ---- Go locks ------------------------------------------------------------------------------------------------ */

Test(policy_replay, finds_go_locks_by_a_function_on_their_stack)
{
	thread_at(SECOND, 2, SITE_WORKER);
	pinw_builder_golock(&past, 2 * SECOND, 2, 18, SITE_HANDLER);
	pinw_builder_gounlock(&past, 3 * SECOND, 2, 18, SITE_HANDLER, SITE_HANDLER, SECOND);
	pinw_builder_golock(&past, 4 * SECOND, 2, 18, SITE_WORKER);
	pinw_builder_gounlock(&past, 5 * SECOND, 2, 18, SITE_WORKER, SITE_WORKER, SECOND);
	pinw_builder_pin(&past, 6 * SECOND, 2, 2, SITE_HANDLER, PINW_EFFECT_OPEN, 0x2);
	judge("[ban \"go\"]\nfunction = replay_handle*\ncall = golock\naction = log\n"
	      "[ban \"both\"]\nfunction = replay_handle*\n[ban \"cpu\"]\nkind = cpu\n");
	expect("ban:go", 1);
	expect("ban:both", 1); /* the pin */
	expect("ban:cpu", 0); /* an earlier rule spoke */
	const struct pinw_finding *f = first_finding();
	cr_expect(f->attempt == PINW_ATTEMPT_LOCK && f->site == SITE_HANDLER && f->threads[0] == 2);
	cr_expect_eq(result.golocks, 2u);
}

Test(policy_replay, names_a_thread_once_however_often_it_locks)
{
	thread_at(SECOND, 2, SITE_WORKER);
	thread_at(SECOND, 3, SITE_WORKER);
	for (uint64_t i = 1; i < 5; i++) {
		pinw_builder_golock(&past, 2 * i * SECOND, i == 4 ? 3 : 2, 18, SITE_HANDLER);
		pinw_builder_gounlock(&past, (2 * i + 1) * SECOND, i == 4 ? 3 : 2, 18, SITE_HANDLER,
		                      SITE_HANDLER, SECOND);
	}
	judge("[ban \"go\"]\nfunction = replay_handle*\ncall = golock\naction = log\n");
	expect("ban:go", 4);
	const struct pinw_finding *f = first_finding();
	cr_expect(f->threads[0] == 2 && f->threads[1] == 3 && f->threads[2] == 0);
}

Test(policy_replay, a_denied_lock_has_no_error_to_return)
{
	struct pinw_rule both = {.action = PINW_ACTION_DENY, .error = EPERM};
	struct pinw_check_finding f = {.rule = &both, .attempt = PINW_ATTEMPT_LOCK};

	cr_expect_str_eq(pinw_check_outcome(&f), "would be denied");
	f.spared = true;
	cr_expect_str_eq(pinw_check_outcome(&f), "would be denied with deny_golocks = yes, else logged");
	f.done = PINW_DONE_DENIED;
	cr_expect_str_eq(pinw_check_outcome(&f), "was denied");
	f.attempt = PINW_ATTEMPT_PIN;
	cr_expect_str_eq(pinw_check_outcome(&f), "was denied with EPERM");
}

Test(policy_replay, counts_a_thread_with_both_kinds_of_pins_once)
{
	for (uint32_t i = 2; i <= 3; i++)
		thread_at(SECOND, i, SITE_WORKER);
	pinw_builder_golock(&past, 2 * SECOND, 2, 18, SITE_WORKER);
	pinw_builder_pin(&past, 3 * SECOND, 2, 2, SITE_WORKER, PINW_EFFECT_OPEN, 0x2);
	pinw_builder_gounlock(&past, 4 * SECOND, 2, 18, SITE_WORKER, SITE_WORKER, 2 * SECOND);
	pinw_builder_golock(&past, 5 * SECOND, 3, 19, SITE_WORKER); /* the second thread, and one too many */
	pinw_builder_pin(&past, 6 * SECOND, 2, 2, SITE_WORKER, PINW_EFFECT_RELEASE, ALL);
	pinw_builder_gounlock(&past, 7 * SECOND, 3, 19, SITE_WORKER, SITE_WORKER, 2 * SECOND);
	pinw_builder_golock(&past, 8 * SECOND, 3, 19, SITE_WORKER); /* the only one now */
	judge("[caps]\nmax_pinned = 1\n");
	expect("caps:max_pinned", 1);
	cr_expect_eq(first_finding()->first_ns, 5 * SECOND);
	cr_expect_eq(first_finding()->value, 2u);
}

Test(policy_replay, gives_an_allowed_lock_its_place_back)
{
	for (uint32_t i = 2; i <= 3; i++)
		thread_at(SECOND, i, SITE_WORKER);
	pinw_builder_golock(&past, 2 * SECOND, 2, 18, SITE_WORKER);
	pinw_builder_golock(&past, 3 * SECOND, 3, 19, SITE_WORKER); /* no place left */
	pinw_builder_godestroyed(&past, 4 * SECOND, 2, 18, SITE_WORKER, 2 * SECOND);
	pinw_builder_gounlock(&past, 5 * SECOND, 3, 19, SITE_WORKER, 0, 0);
	pinw_builder_golock(&past, 6 * SECOND, 3, 19, SITE_WORKER);
	judge("[allow \"one\"]\nfunction = replay_worker*\nmax = 1\n[ban \"others\"]\nkind = go\naction = "
	      "log\n");
	expect("ban:others", 1);
	cr_expect_eq(first_finding()->first_ns, 3 * SECOND);
}

Test(policy_replay, finds_go_locks_that_leak)
{
	for (uint32_t i = 2; i <= 6; i++)
		thread_at(SECOND, i, SITE_WORKER);
	pinw_builder_golock(&past, 2 * SECOND, 2, 18, SITE_HANDLER);
	pinw_builder_godestroyed(&past, 3 * SECOND, 2, 18, SITE_HANDLER, SECOND);
	pinw_builder_golock(&past, 2 * SECOND, 3, 19, SITE_WORKER);
	pinw_builder_gounlock(&past, 3 * SECOND, 3, 19, SITE_WORKER, SITE_WORKER,
	                      SECOND); /* as it should be */
	pinw_builder_golock(&past, 2 * SECOND, 4, 20, SITE_WORKER);
	pinw_builder_gounlock(&past, 3 * SECOND, 4, 20, SITE_WORKER, SITE_HANDLER,
	                      SECOND); /* by another function */
	pinw_builder_goheld(&past, pinw_builder_slot(&past, 5, PINW_SLOT_RUNNING, ALL), 2 * SECOND, 21,
	                    SITE_PLUGIN, 2);
	pinw_builder_goheld(&past, pinw_builder_slot(&past, 6, PINW_SLOT_RUNNING, ALL), 2 * SECOND, 22,
	                    SITE_WORKER, 1);
	judge("[leak]\nexit_while_pinned = log\npinned_at_end = log\nunbalanced = log\n"
	      "[allow \"workers\"]\nfunction = replay_worker*\nkind = go\n");
	expect("leak:exit_while_pinned", 1);
	expect("leak:unbalanced", 2); /* 4, and 5, which is locked twice */
	expect("leak:pinned_at_end", 1); /* 5; 6 is declared */
}

Test(policy_replay, asks_for_a_lock_of_the_right_kind)
{
	for (uint32_t i = 2; i <= 4; i++)
		thread_at(SECOND, i, SITE_WORKER);
	pinw_builder_golock(&past, 2 * SECOND, 2, 18, SITE_WORKER);
	pinw_builder_pin(&past, 2 * SECOND, 3, 3, SITE_WORKER, PINW_EFFECT_OPEN, 0x2);
	judge("[require \"go\"]\ncreated_by = replay_worker*\nkind = go\nwithin = 2s\n"
	      "[require \"any\"]\ncreated_by = replay_worker*\nwithin = 2s\n");
	expect("require:go", 2); /* 3 and 4 */
	expect("require:any", 1); /* 4 */
}

Test(policy_replay, leaves_the_template_thread_out_of_limits)
{
	pinw_builder_create(&past, SECOND, 1, SITE_WORKER, 2, PINW_THREAD_TEMPLATE);
	pinw_builder_start(&past, SECOND + 1, 2, PINW_ORIGIN_NONE, 0, 0, ALL);
	thread_at(2 * SECOND, 3, SITE_WORKER);
	thread_at(3 * SECOND, 4, SITE_WORKER);
	judge("[caps]\nmax_threads = 2\nmax_threads_action = log\n");
	expect("caps:max_threads", 1); /* main and 3, then 4 */
	cr_expect_eq(first_finding()->first_ns, 3 * SECOND);
}

/* ---- what it says about itself ------------------------------------------------------------------------------ */

Test(policy_replay, knows_what_an_enforcing_policy_left_out)
{
	past.live.counters.affinity_denied = 3;
	past.live.counters.threads_denied = 2;
	judge("[caps]\nmax_threads = 100\n");
	cr_expect_eq(result.denied, 5u);
	cr_expect_eq(result.processes, 1u);
}
