/* SPDX-License-Identifier: MIT
 *
 * pinwarden policy test: recorded runs put before a policy, and what it would have said.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/policy_cmds.h"
#include "reports/say.h"
#include "reports/sysroot.h"
#include "reports/text_private.h"
#include "reports/trial.h"
#include "reports/usage.h"

static const char help_text[] =
    "Usage: pinwarden policy test TRACE... -p POLICY\n"
    "\n"
    "Replays recorded runs against a policy: what it would have logged, denied, reset\n"
    "or crashed, by rule, with stacks; which rules never matched, and which\n"
    "suppressions nothing needed. A TRACE may be a directory: every *.pwt in it is\n"
    "read. CPUs, baseline and day are those of the trace, not of this machine.\n"
    "\n"
    "  -p, --policy=FILE  the policy; its mode does not matter\n"
    "      --top=N        stacks of each rule, 0 for all (default 20)\n"
    "      --sysroot=DIR  look for programs and libraries below DIR\n"
    "  -h, --help         this text\n"
    "\n"
    "Example: pinwarden policy test traces/ -p staging.ini\n"
    "\n"
    "Exit status: 0 nothing would have fired; 1 something would; 2 wrong usage, or\n"
    "the policy is not valid; 3 a trace was unreadable.\n";

struct options {
	const char *policy;
	size_t top;
};

/* ---- words ------------------------------------------------------------------------------ */

static void put_foreign(struct pinw_text *t, const char *text)
{
	pinw_term_put_foreign(&t->term, text, strlen(text));
}

/* ---- findings ------------------------------------------------------------------------------ */

static void put_finding_threads(struct pinw_text *t, const struct pinw_finding *f)
{
	pinw_term_put(&t->term, f->threads[1] ? "; threads " : "; thread ");
	for (size_t i = 0; i < PINW_FINDING_THREADS && f->threads[i]; i++) {
		pinw_term_put(&t->term, "%s%" PRIu32 " ", i ? ", " : "", f->threads[i]);
		pinw_term_put_foreign(&t->term, f->names[i], strnlen(f->names[i], PINW_NAME_BYTES));
	}
	if (f->count > PINW_FINDING_THREADS && f->threads[PINW_FINDING_THREADS - 1])
		pinw_term_put(&t->term, ", ...");
}

static void print_finding(struct pinw_text *t, const struct pinw_trial *trial, const struct pinw_finding *f,
                          const struct pinw_rule *rule)
{
	size_t len;

	pinw_term_put(&t->term, "  %s x %s", pinw_text_count(f->count), pinw_attempt_words(f->attempt));
	if (trial->rehearsal.processes > 1) {
		const char *program = pinw_text_program(f->process, &len);
		pinw_term_put(&t->term, " in %" PRIu32 " ", f->process->header.self.pid);
		pinw_term_put_foreign(&t->term, program, len);
	}
	if (f->value)
		pinw_term_put(&t->term, "; %s%s counted, limit %s", f->count > 1 ? "up to " : "",
		              pinw_text_count(f->value), pinw_text_count(f->limit));
	if (f->threads[0])
		put_finding_threads(t, f);
	if (f->attempt == PINW_ATTEMPT_LOCK && pinw_rule_spares_golocks(trial->parsed.policy, rule))
		pinw_term_put(&t->term, "; not denied without deny_golocks = yes");
	pinw_term_put(&t->term, "; %s %s", f->count > 1 ? "from" : "at", pinw_text_duration(f->first_ns));
	pinw_term_end(&t->term, 6, PINW_STYLE_PLAIN);
	pinw_table_done(&t->shown);
	pinw_table_init(&t->shown, 1);
	pinw_text_stack(t, f->process,
	                pinw_trial_stack_title(rule, f->attempt, f->leak, f->threads[0],
	                                       pinw_process_is_golock(f->process, f->site)),
	                f->site);
}

static int by_count(const void *x, const void *y)
{
	const struct pinw_finding *a = *(const struct pinw_finding *const *)x;
	const struct pinw_finding *b = *(const struct pinw_finding *const *)y;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return (a->first_ns > b->first_ns) - (a->first_ns < b->first_ns);
}

static void print_rule(struct pinw_text *t, const struct pinw_trial *trial, const struct pinw_rule *rule)
{
	const struct pinw_table *all = &trial->rehearsal.findings;
	const struct pinw_finding **mine = calloc(all->count + 1, sizeof(void *));
	size_t count = 0;

	if (!mine) {
		t->term.out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < all->count; i++) {
		const struct pinw_finding *f = pinw_table_at(all, i);
		if (f->rule == rule->id)
			mine[count++] = f;
	}
	qsort(mine, count, sizeof(void *), by_count);
	pinw_term_end(&t->term, 0, PINW_STYLE_PLAIN);
	put_foreign(t, rule->label);
	pinw_term_put(&t->term, " (");
	put_foreign(t, pinw_base_name(trial->file.path));
	pinw_term_put(&t->term, ":%" PRIu32 "): %s %s", rule->line,
	              pinw_text_count(trial->rehearsal.tally[rule->id - 1].violations),
	              pinw_trial_would_be(rule));
	pinw_term_end(&t->term, 2, PINW_STYLE_BAD);
	size_t rows = pinw_text_rows(t, count);
	for (size_t i = 0; i < rows; i++)
		print_finding(t, trial, mine[i], rule);
	pinw_text_cut(t, rows, count, "stack of this rule", "stacks of this rule");
	free(mine);
}

/* Strongest action first, else as in the file. */
static void print_rules(struct pinw_text *t, const struct pinw_trial *trial)
{
	const struct pinw_policy *policy = trial->parsed.policy;

	for (unsigned action = PINW_ACTION_CRASH; action >= PINW_ACTION_LOG; action--)
		for (uint32_t i = 0; i < policy->rule_count; i++)
			if (policy->rules[i].action == action && trial->rehearsal.tally[i].violations)
				print_rule(t, trial, &policy->rules[i]);
}

/* ---- what was not seen, and what never happened ----------------------------------------------- */

struct limits {
	struct pinw_text *text;
	bool begun;
};

static void print_limit(void *arg, const char *text)
{
	struct limits *l = arg;
	struct pinw_term *term = &l->text->term;

	if (!l->begun) {
		pinw_term_end(term, 0, PINW_STYLE_PLAIN);
		pinw_term_line(term, 2, PINW_STYLE_HEADING, "What this test cannot tell");
		l->begun = true;
	}
	pinw_term_line(term, 4, PINW_STYLE_PLAIN, "  - %s", text);
}

static bool is_idle(const struct pinw_trial *trial, uint32_t i, bool suppressions)
{
	uint8_t section = trial->parsed.policy->rules[i].section;
	bool asked = suppressions ? section == PINW_SECTION_SUPPRESS
	                          : section == PINW_SECTION_BAN || section == PINW_SECTION_ALLOW ||
	                                section == PINW_SECTION_REQUIRE;

	return asked && !trial->rehearsal.tally[i].matched && !trial->rehearsal.tally[i].violations;
}

static void print_idle(struct pinw_text *t, const struct pinw_trial *trial, const char *title,
                       bool suppressions)
{
	const struct pinw_policy *policy = trial->parsed.policy;
	bool any = false;

	for (uint32_t i = 0; i < policy->rule_count; i++) {
		if (!is_idle(trial, i, suppressions))
			continue;
		if (!any)
			pinw_term_end(&t->term, 0, PINW_STYLE_PLAIN);
		pinw_term_put(&t->term, any ? ", " : "%s: ", title);
		any = true;
		put_foreign(t, policy->rules[i].label);
		pinw_term_put(&t->term, " (line %" PRIu32 ")", policy->rules[i].line);
	}
	if (any)
		pinw_term_end(&t->term, 2, PINW_STYLE_PLAIN);
}

/* ---- the document -------------------------------------------------------------------------------- */

static void print_verdict(struct pinw_text *t, const struct pinw_trial *trial)
{
	char counts[512];
	unsigned rules;
	uint64_t count = pinw_trial_violations(trial, &rules);

	put_foreign(t, pinw_base_name(trial->file.path));
	if (count)
		pinw_term_put(&t->term, ": %s by %s", pinw_text_counted(count, "violation", "violations"),
		              pinw_text_counted(rules, "rule", "rules"));
	else
		pinw_term_put(&t->term, ": nothing would have fired");
	pinw_term_end(&t->term, 2, count ? PINW_STYLE_BAD : PINW_STYLE_GOOD);
	pinw_trial_counts(trial, counts, sizeof(counts));
	pinw_term_put(&t->term, "  judged: %s", counts);
	pinw_term_end(&t->term, 4, PINW_STYLE_PLAIN);
}

static int print_trial(const struct pinw_trial *trial, size_t top)
{
	struct pinw_text t = {.stacks = trial->stacks, .model = trial->model, .top = top ? top : SIZE_MAX};

	pinw_term_init(&t.term, stdout, false);
	pinw_table_init(&t.shown, 1);
	print_verdict(&t, trial);
	print_rules(&t, trial);
	print_idle(&t, trial, "Rules that never matched", false);
	print_idle(&t, trial, "Suppressions that nothing needed", true);
	pinw_trial_limits(trial, print_limit, &(struct limits){.text = &t});
	pinw_table_done(&t.shown);
	return pinw_term_done(&t.term);
}

/* ---- the command ----------------------------------------------------------------------------------- */

static int try_policy(struct pinw_trial *t, const struct options *o, int count, char **paths)
{
	unsigned rules;
	int status = pinw_trial_run(t, "policy test", o->policy, count, paths);

	if (status)
		return status;
	int error = t->rehearsal.processes ? print_trial(t, o->top) : 0;
	if (error < 0) {
		pinw_say("policy test: standard output: %s", strerror(-error));
		return PINW_POLICY_BAD;
	}
	if (t->unreadable)
		return PINW_POLICY_UNREADABLE;
	return pinw_trial_violations(t, &rules) ? PINW_POLICY_FINDINGS : PINW_POLICY_CLEAN;
}

int pinw_policy_test(int argc, char **argv)
{
	enum { OPTION_TOP = UCHAR_MAX + 1, OPTION_SYSROOT };
	static const struct option options[] = {{"policy", required_argument, NULL, 'p'},
	                                        {"top", required_argument, NULL, OPTION_TOP},
	                                        {"sysroot", required_argument, NULL, OPTION_SYSROOT},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	struct options o = {.top = 20};
	struct pinw_trial t = {0};
	int option;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":p:h", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(help_text, stdout);
			return fflush(stdout) == 0 ? PINW_POLICY_CLEAN : PINW_POLICY_BAD;
		}
		if (option == 'p')
			o.policy = optarg;
		else if (option == OPTION_SYSROOT) {
			if (pinw_sysroot_set("policy test", optarg) < 0)
				return PINW_POLICY_BAD;
		} else if (option != OPTION_TOP)
			return pinw_policy_usage("test", option, argv, "-p, --top, --sysroot and -h");
		else if (pinw_usage_top("policy test", optarg, &o.top) < 0)
			return PINW_POLICY_BAD;
	}
	if (!o.policy || optind == argc) {
		pinw_say("policy test: no %s is named; type: pinwarden policy test TRACE -p POLICY",
		         o.policy ? "trace" : "policy");
		return PINW_POLICY_BAD;
	}
	pinw_sysroot_allow_servers(true);
	int status = try_policy(&t, &o, argc - optind, argv + optind);
	pinw_trial_done(&t);
	return status;
}
