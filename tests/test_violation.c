/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/logtext.h"
#include "preload/trace.h"
#include "tests/rig_enforce.h"

typedef int host_fn(void *arg);

TestSuite(violation, .fini = pinw_rig_done);
TestSuite(crash_report, .fini = pinw_rig_done);

#define RULES                                                                                                \
	"[policy]\nmode = enforce\n"                                                                         \
	"[caps]\nmax_threads = 8\nmax_threads_warn_at = 4\nmax_pinned = 3\nmax_pinned_per_cpu = 1\n"         \
	"thread_rate = 5/s\n"                                                                                \
	"[ban \"handlers\"]\nthread_name = worker\naction = log\nmessage = give the work to a worker\n"      \
	"[ban \"often\"]\nthread_name = x\nsite_rate = 5/s\n"                                                \
	"[leak]\ninherited = reset\nunjoined = log\nexit_while_pinned = log\n"

/* A log file, and nothing but violations in it. */
static void start_with_log(void)
{
	static char setting[PATH_MAX + 32];
	const char *const settings[] = {setting, NULL};

	snprintf(setting, sizeof(setting), "PINWARDEN_LOG=%s", pinw_rig_path("log.txt"));
	pinw_rig_image(settings);
	pinw_rig_obey(RULES);
}

static const char *log_text(void)
{
	static char text[1 << 18];
	FILE *in = fopen(pinw_rig_path("log.txt"), "r");

	cr_assert_not_null(in, "no log");
	text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
	fclose(in);
	return text;
}

static unsigned count_of(const char *text, const char *what)
{
	unsigned count = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		count++;
	return count;
}

static __attribute__((noinline)) int ask(void *arg)
{
	*(uint32_t *)arg = pinw_site(pinw_tls.thread, PINW_WHERE());
	return 0;
}

/* The site of a call from host_left. */
static uint32_t site_of_left(void)
{
	uint32_t id = 0;

	((int (*)(host_fn *, void *))pinw_rig_host("libhost", "host_left"))(ask, &id);
	return id;
}

static const struct pinw_rule *rule(const char *label)
{
	return &pinw_enforce.policy->rules[pinw_rig_rule(label) - 1];
}

static const uint64_t two_cpus[PINW_MASK_WORDS_MAX] = {0x6};

/* Of thread #3, tid 4711, "worker", by the rule with this label. */
static struct pinw_violation by(const char *label, enum pinw_attempted attempt, enum pinw_done done)
{
	static struct pinw_slot slot = {.thread = 3, .tid = 4711, .name = "worker"};

	return (struct pinw_violation){
	    .verdict = {.action = (enum pinw_action)rule(label)->action, .rule = rule(label)},
	    .slot = &slot,
	    .mask = two_cpus,
	    .now_ns = 77,
	    .thread = 3,
	    .target = 3,
	    .attempt = (uint8_t)attempt,
	    .done = (uint8_t)done,
	};
}

/* ---- in the trace -------------------------------------------------------------------------------- */

struct described {
	unsigned policies, rules;
	char labels[16][64];
	struct pinw_rec_policy policy;
	char path[64];
};

static void see_description(void *arg, const struct pinw_read_record *record)
{
	struct described *described = arg;

	if (record->type == PINW_REC_POLICY) {
		described->policies++;
		described->policy = *record->policy;
		snprintf(described->path, sizeof(described->path), "%.*s", (int)record->text_len,
		         record->text);
	} else if (record->type == PINW_REC_RULE && described->rules++ < 16) {
		cr_assert_leq(record->rule->id, 16);
		snprintf(described->labels[record->rule->id - 1], sizeof(described->labels[0]), "%.*s",
		         (int)record->text_len, record->text);
	}
}

Test(violation, policy_and_rules_are_described_in_the_trace)
{
	struct described described = {.policies = 0};
	struct pinw_rig_seen seen;

	pinw_rig_bench_small();
	pinw_rig_obey(RULES);
	pinw_rig_read(see_description, NULL, &described, &seen);
	const struct pinw_policy *policy = pinw_enforce.policy;
	cr_expect_eq(described.policies, 1);
	cr_expect_str_eq(described.path, "test.ini");
	cr_expect_eq(described.policy.mode, PINW_MODE_ENFORCE);
	cr_expect_eq(described.policy.hash, policy->hash);
	cr_expect_eq(described.policy.rules, policy->rule_count);
	cr_expect_eq(described.rules, policy->rule_count);
	for (uint32_t i = 0; i < policy->rule_count; i++)
		cr_expect_str_eq(described.labels[i], policy->rules[i].label);
}

Test(violation, a_record_says_all_of_it)
{
	pinw_rig_bench_small();
	pinw_rig_obey(RULES);
	struct pinw_violation v = by("caps:max_pinned", PINW_ATTEMPT_PIN, PINW_DONE_DENIED);
	v.thread = 9;
	v.site = 5;
	v.error = EPERM;
	v.verdict.value = 4;
	v.verdict.limit = 3;
	pinw_violation_record(&v);
	struct pinw_rig_verdicts seen = pinw_rig_verdicts(NULL);
	cr_expect_eq(seen.count, 1);
	cr_expect_eq(seen.mask, 0x6);
	cr_expect_eq(seen.last.e.time_ns, 77);
	cr_expect_eq(seen.last.e.thread, 9);
	cr_expect_eq(seen.last.e.site, 5);
	cr_expect_eq(seen.last.rule, pinw_rig_rule("caps:max_pinned"));
	cr_expect_eq(seen.last.action, PINW_ACTION_DENY);
	cr_expect_eq(seen.last.done, PINW_DONE_DENIED);
	cr_expect_eq(seen.last.attempt, PINW_ATTEMPT_PIN);
	cr_expect_eq(seen.last.target, 3);
	cr_expect_eq(seen.last.error, EPERM);
	cr_expect_eq(seen.last.value, 4);
	cr_expect_eq(seen.last.limit, 3);
	cr_expect_eq(pinw_shim.live->counters.violations, 1);
}

Test(violation, a_cell_tells_what_was_done_from_what_was_not)
{
	static const enum pinw_done dones[] = {PINW_DONE_LOGGED, PINW_DONE_DENIED, PINW_DONE_RESET,
	                                       PINW_DONE_WOULD, PINW_DONE_FAILED};

	pinw_rig_bench_small();
	pinw_rig_obey(RULES);
	for (unsigned i = 0; i < 5; i++) {
		struct pinw_violation v = by("ban:handlers", PINW_ATTEMPT_PIN, dones[i]);

		v.now_ns = 100 + i;
		v.target = 10 + i;
		v.mask = NULL;
		pinw_violation_record(&v);
	}
	struct pinw_rule_cell cell = pinw_rig_cell("ban:handlers");
	cr_expect_eq(cell.violations, 5);
	cr_expect_eq(cell.done, 2);
	cr_expect_eq(cell.last_ns, 104);
	cr_expect_eq(cell.last_thread, 14);
	cr_expect_eq(pinw_rig_verdicts(NULL).mask, 0, "no mask is an empty one");
	cr_expect_eq(pinw_rig_cell("ban:often").violations, 0);
}

static void record_many(unsigned index)
{
	for (unsigned i = 0; i < 100; i++) {
		struct pinw_violation v = by("ban:handlers", PINW_ATTEMPT_PIN, PINW_DONE_DENIED);

		v.target = index;
		pinw_violation_record(&v);
	}
}

Test(violation, is_counted_exactly_by_64_threads)
{
	start_with_log();
	pinw_rig_together(64, record_many);
	struct pinw_rule_cell cell = pinw_rig_cell("ban:handlers");
	cr_expect_eq(cell.violations, 6400);
	cr_expect_eq(cell.done, 6400);
	cr_expect_eq(pinw_shim.live->counters.violations, 6400);
	cr_expect_eq(pinw_rig_verdicts(NULL).count, 6400);
	cr_expect_eq(pinw_shim.live->counters.logged + pinw_shim.live->counters.log_suppressed, 6400);
	cr_expect_eq(count_of(log_text(), "pinwarden: violation: "), pinw_shim.live->counters.logged);
}

/* A file that is full holds no cells and no records, but the process goes on being judged. */
Test(violation, goes_on_without_room_in_the_trace)
{
	const uint64_t baseline = 0xf;

	pinw_rig_bench(1, &baseline, 64 << 10);
	while (pinw_shim.live->counters.events_dropped == 0) {
		struct pinw_rec_note note = {.code = PINW_NOTE_CHROOT};

		pinw_trace_event(PINW_REC_NOTE, &note, sizeof(note), NULL, 0);
	}
	pinw_rig_obey(RULES);
	struct pinw_violation v = by("ban:handlers", PINW_ATTEMPT_PIN, PINW_DONE_DENIED);
	pinw_violation_record(&v);
	cr_expect_eq(pinw_shim.live->counters.violations, 1);
	cr_expect_eq(pinw_rig_verdicts(NULL).count, 0);
	cr_expect_not_null(pinw_enforce.state.matched_too, "the cells are in private memory");
}

/* ---- in words --------------------------------------------------------------------------------------- */

static const char *described(const struct pinw_violation *v)
{
	static char bytes[4096];
	struct pinw_logtext text = {.bytes = bytes, .size = sizeof(bytes)};

	memset(bytes, 0, sizeof(bytes));
	pinw_violation_describe(&text, v);
	return bytes;
}

static void expect_words(const struct pinw_violation *v, const char *first_line, const char *second_line)
{
	char expected[1024];

	snprintf(expected, sizeof(expected), "%s (test.ini:%u): %s\n  %s\n", v->verdict.rule->label,
	         v->verdict.rule->line, first_line, second_line);
	cr_expect_str_eq(described(v), expected);
}

static void bench(void)
{
	pinw_rig_bench_small();
	pinw_rig_obey(RULES);
	pinw_shim.pid = 42;
}

#define WORKER "thread \"worker\" (#3, tid 4711) of process 42"

Test(violation, says_what_was_attempted, .init = bench)
{
	struct pinw_violation v = by("caps:max_pinned", PINW_ATTEMPT_PIN, PINW_DONE_DENIED);

	v.error = EPERM;
	expect_words(&v, "denied with EPERM", WORKER " tried to pin itself to CPU 1,2");
	v.thread = 1;
	expect_words(&v, "denied with EPERM", WORKER " was to be pinned to CPU 1,2 by thread #1");
	v.attempt = PINW_ATTEMPT_CREATE;
	v.error = EAGAIN;
	expect_words(&v, "denied with EAGAIN", WORKER " tried to create a thread");
	v.attempt = PINW_ATTEMPT_BORN;
	v.error = 999;
	expect_words(&v, "denied with errno 999", WORKER " tried to create a thread pinned to CPU 1,2");
	v.attempt = PINW_ATTEMPT_INHERIT;
	v.done = PINW_DONE_RESET;
	expect_words(&v, "reset to the baseline mask", WORKER " was given its creator's mask, CPU 1,2");
	v.target = 0;
	expect_words(&v, "reset to the baseline mask",
	             WORKER " tried to pass its mask on to a new thread, CPU 1,2");
	v.attempt = PINW_ATTEMPT_RUN;
	v.done = PINW_DONE_LOGGED;
	expect_words(&v, "logged", WORKER " went on");
}

Test(violation, says_what_was_done, .init = bench)
{
	struct pinw_violation v = by("leak:inherited", PINW_ATTEMPT_EXIT, PINW_DONE_WOULD);

	expect_words(&v, "would reset (audit)", WORKER " ended");
	v.done = PINW_DONE_FAILED;
	expect_words(&v, "the reset failed", WORKER " ended");
	v.done = PINW_DONE_CRASHED;
	expect_words(&v, "the process is aborted", WORKER " ended");
	v = by("leak:exit_while_pinned", PINW_ATTEMPT_END, PINW_DONE_LOGGED);
	v.leak = 1 + PINW_PLEAK_EXIT_WHILE_PINNED;
	expect_words(&v, "logged", "exit_while_pinned: " WORKER " when the process ended");
}

Test(violation, says_which_limit_was_passed, .init = bench)
{
	static const struct {
		const char *label, *words;
	} cases[] = {
	    {"caps:max_threads", ": 9 threads alive with it, at most 8"},
	    {"caps:max_threads_warn_at", ": 9 threads alive with it, warned of at 8"},
	    {"caps:max_pinned", ": 9 pinned threads with it, at most 8"},
	    {"caps:max_pinned_per_cpu", ": 9 threads pinned there with it, at most 8"},
	    {"caps:thread_rate", ": 9 creations tried in the window, at most 8"},
	    {"ban:often", ": 9 events in the window, at most 8"},
	};
	char line[256];

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pinw_violation v = by(cases[i].label, PINW_ATTEMPT_EXIT, PINW_DONE_LOGGED);

		v.verdict.value = 9;
		v.verdict.limit = 8;
		snprintf(line, sizeof(line), WORKER " ended%s", cases[i].words);
		expect_words(&v, "logged", line);
	}
}

Test(violation, tells_the_rules_message_and_nothing_a_terminal_obeys, .init = bench)
{
	struct pinw_violation v = by("ban:handlers", PINW_ATTEMPT_EXIT, PINW_DONE_LOGGED);
	struct pinw_rule odd = *v.verdict.rule;

	expect_words(&v, "logged", WORKER " ended\n  give the work to a worker");
	odd.message = "a\033[31mb";
	odd.label = "ban:\a\x80";
	v.verdict.rule = &odd;
	cr_expect(strstr(described(&v), "ban:?? ("), "%s", described(&v));
	cr_expect(strstr(described(&v), "\n  a?[31mb\n"), "%s", described(&v));
}

/* ---- in the log --------------------------------------------------------------------------------------- */

Test(violation, the_log_has_a_block_with_both_stacks)
{
	start_with_log();
	struct pinw_violation v = by("ban:handlers", PINW_ATTEMPT_PIN, PINW_DONE_LOGGED);
	struct pinw_slot slot = *v.slot;
	slot.create_site = v.site = site_of_left();
	v.slot = &slot;
	pinw_violation_record(&v);
	const char *text = log_text();
	cr_expect_eq(strncmp(text, "pinwarden: violation: ban:handlers (test.ini:", 45), 0, "%s", text);
	const char *called = strstr(text, "  called at:\n    #0 host_call+0x"),
	           *created = strstr(text, "  created at:\n    #0 host_call+0x");
	cr_assert(called && created && called < created, "%s", text);
	cr_expect_eq(count_of(text, " host_left+0x"), 2);
	cr_expect_eq(count_of(text, "/targets/libhost.so)\n") > 3, 1);
	cr_expect_eq(text[strlen(text) - 1], '\n');
}

Test(violation, a_creation_has_the_stack_of_the_call_alone)
{
	start_with_log();
	struct pinw_violation v = by("caps:max_threads", PINW_ATTEMPT_CREATE, PINW_DONE_DENIED);
	v.site = site_of_left();
	v.target = 0;
	pinw_violation_record(&v);
	cr_expect_eq(count_of(log_text(), "  called at:\n"), 1);
	cr_expect_eq(count_of(log_text(), "created at"), 0, "%s", log_text());
}

Test(violation, what_repeats_is_held_back_and_counted)
{
	start_with_log();
	for (unsigned i = 0; i < 8; i++) {
		struct pinw_violation v = by("ban:handlers", PINW_ATTEMPT_PIN, PINW_DONE_LOGGED);

		pinw_violation_record(&v);
	}
	struct pinw_violation other = by("ban:often", PINW_ATTEMPT_PIN, PINW_DONE_DENIED);
	pinw_violation_record(&other);
	const char *text = log_text();
	cr_expect_eq(count_of(text, "violation: ban:handlers"), 5, "the first three, the 4th and the 8th");
	cr_expect(strstr(text, "  number 8 from this site, 3 not shown\n"), "%s", text);
	cr_expect_eq(count_of(text, "violation: ban:often"), 1);
	cr_expect_eq(pinw_shim.live->counters.log_suppressed, 3);
	cr_expect_eq(pinw_shim.live->counters.logged, 6);
	cr_expect_eq(pinw_rig_cell("ban:handlers").violations, 8, "but counted are all");
}

/* ---- the crash ------------------------------------------------------------------------------------------ */

static void crash_on(void)
{
	struct pinw_violation v = by("caps:max_threads", PINW_ATTEMPT_CREATE, PINW_DONE_CRASHED);

	v.slot = pinw_tls.thread->slot;
	v.thread = 1;
	v.target = 0;
	v.site = site_of_left();
	v.verdict.value = 9;
	v.verdict.limit = 8;
	pinw_violation_crash(&v);
}

/* Ten threads of one kind, one that is pinned, and the main one. */
static void crash_among_threads(void *unused)
{
	const uint64_t one[PINW_MASK_WORDS_MAX] = {0x1};
	uint32_t site;

	(void)unused;
	start_with_log();
	site = site_of_left();
	for (uint32_t i = 0; i < 11; i++) {
		struct pinw_slot *slot = pinw_rig_thread(5000 + i, i == 10 ? one : NULL)->slot;

		snprintf(slot->name, sizeof(slot->name), "w%u", i);
		slot->create_site = site;
		slot->pin_depth = i == 10;
		slot->pin_site = i == 10 ? site : 0;
		slot->pin_origin = PINW_ORIGIN_SELF;
	}
	crash_on();
}

static void expect_abort(int status, const char *text)
{
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x:\n%s", (unsigned)status,
	          text);
}

Test(crash_report, tells_the_limit_then_all_threads_by_their_stacks_then_aborts)
{
	const char *text;

	pinw_rig_dir();
	expect_abort(pinw_rig_child(crash_among_threads, NULL, &text), text);
	cr_expect_eq(strncmp(text, "pinwarden: fatal: caps:max_threads (test.ini:", 45), 0, "%s", text);
	cr_expect(strstr(text, ": the process is aborted\n"), "%s", text);
	cr_expect(strstr(text, ": 9 threads alive with it, at most 8\n"), "%s", text);
	cr_expect(strstr(text, "  called at:\n    #0 host_call+0x"), "%s", text);
	cr_expect(strstr(text, "pinwarden: all 12 threads alive, by their stacks:\n"), "%s", text);
	cr_expect(strstr(text,
	                 "10 threads: #2 \"w0\", #3 \"w1\", #4 \"w2\", #5 \"w3\", #6 \"w4\", #7 \"w5\", ...: "
	                 "not pinned\n  created at:\n    #0 host_call+0x"),
	          "%s", text);
	cr_expect(strstr(text, "1 thread: #12 \"w10\": pinned\n  pinned by itself to CPU 0, held "), "%s",
	          text);
	cr_expect(strstr(text, "  the main thread\n"), "%s", text);
	size_t len = strlen(text);
	cr_assert_gt(len, 19);
	cr_expect_str_eq(text + len - 19, "pinwarden: aborted\n");
	cr_expect_str_eq(log_text(), text, "the log has it too");
}

static void trace_of_crash(void *unused)
{
	(void)unused;
	pinw_rig_image(NULL);
	pinw_rig_obey(RULES);
	/* The one thing that a child of the test cannot be asked for: a name of its trace that the parent knows. */
	cr_assert_eq(rename(pinw_rig_trace(), pinw_rig_path("crashed.pwt")), 0);
	crash_on();
}

static void see_crash(void *arg, const struct pinw_read_record *record)
{
	if (record->type == PINW_REC_VIOLATION)
		*(struct pinw_rec_violation *)arg = *record->violation;
}

Test(crash_report, is_in_the_trace_with_the_end)
{
	struct pinw_rec_violation violation = {.rule = 0};
	struct pinw_rig_seen seen;
	const char *text;

	pinw_rig_dir();
	expect_abort(pinw_rig_child(trace_of_crash, NULL, &text), text);
	pinw_rig_read_from(pinw_rig_path("crashed.pwt"), see_crash, NULL, &violation, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	cr_expect_eq(seen.records[PINW_REC_VIOLATION], 1);
	cr_expect_eq(violation.done, PINW_DONE_CRASHED);
	cr_expect_eq(violation.value, 9);
	cr_expect_eq(seen.live.end_how, PINW_END_SIGNAL);
	cr_expect_eq(seen.live.end_status, SIGABRT);
	cr_expect_eq(seen.live.counters.violations, 1);
}

static void leave_quietly(int signal)
{
	_exit(signal);
}

static void crash_despite_all(void *unused)
{
	sigset_t abrt;

	(void)unused;
	start_with_log();
	signal(SIGABRT, leave_quietly);
	sigemptyset(&abrt);
	sigaddset(&abrt, SIGABRT);
	sigprocmask(SIG_BLOCK, &abrt, NULL);
	crash_on();
}

Test(crash_report, nobody_keeps_the_process_from_aborting)
{
	const char *text;

	pinw_rig_dir();
	expect_abort(pinw_rig_child(crash_despite_all, NULL, &text), text);
}

static void crash_in_many_kinds(void *unused)
{
	(void)unused;
	start_with_log();
	for (uint32_t i = 0; i < 1200; i++)
		pinw_rig_thread(5000 + i, NULL)->slot->create_site = 100000 + i;
	crash_on();
}

Test(crash_report, says_how_many_stacks_it_left_out)
{
	const char *text;

	pinw_rig_dir();
	expect_abort(pinw_rig_child(crash_in_many_kinds, NULL, &text), text);
	cr_expect(strstr(text, "pinwarden: all 1201 threads alive"), "%s", text);
	cr_expect(strstr(text, "\nand 177 threads with yet other stacks: see the trace\n"));
	cr_expect_eq(count_of(text, "1 thread: #"), 1024);
}

static void crash_together(unsigned index)
{
	struct pinw_thread thread = {.slot = &(struct pinw_slot){.thread = 100 + index}};

	pinw_tls = (struct pinw_tls){.thread = &thread, .seq = 100 + index, .tid = (uint32_t)gettid()};
	struct pinw_violation v = by("caps:max_threads", PINW_ATTEMPT_CREATE, PINW_DONE_CRASHED);
	pinw_violation_crash(&v);
}

static void crash_at_once(void *unused)
{
	(void)unused;
	start_with_log();
	pinw_rig_together(16, crash_together);
}

Test(crash_report, of_several_threads_at_once_is_one)
{
	const char *text;

	pinw_rig_dir();
	expect_abort(pinw_rig_child(crash_at_once, NULL, &text), text);
	cr_expect_eq(count_of(text, "pinwarden: fatal: "), 1, "%s", text);
	cr_expect_eq(count_of(text, "pinwarden: aborted\n"), 1, "%s", text);
}
