/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/mask.h"
#include "preload/trace_format.h"
#include "reports/commands.h"
#include "reports/run_private.h"
#include "reports/say.h"
#include "reports/watch.h"

/* ---- reading it ------------------------------------------------------------------------------ */

static int fail_memory(void)
{
	pinw_say("out of memory");
	return PINW_EXIT_RUN_FAILED;
}

static int refuse(void)
{
	pinw_say("nothing was started, as the policy is wrong");
	return PINW_EXIT_USAGE;
}

/* Masks as long as the shim's: enough for every CPU that is possible here. */
static unsigned shim_mask_words(void)
{
	uint64_t mask[PINW_MASK_WORDS_MAX] = {0};
	char text[4096];
	unsigned words = PINW_MASK_WORDS_MAX;
	FILE *f = fopen("/sys/devices/system/cpu/possible", "re");
	bool read = f && fgets(text, sizeof(text), f);

	if (f)
		fclose(f);
	if (read)
		text[strcspn(text, "\n")] = '\0';
	if (!read || pinw_mask_parse(text, mask, words, NULL) < 0) {
		long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
		return bytes < 8 ? 1 : (unsigned)bytes / 8;
	}
	while (words > 1 && !mask[words - 1])
		words--;
	return words;
}

static int parse(struct pinw_run_policy *policy)
{
	struct pinw_policy_error wrong;
	struct pinw_policy_here here;
	int r;

	pinw_policy_here(&here);
	here.host.mask_words = shim_mask_words();
	r = pinw_policy_file_read(&policy->file, policy->name, &wrong);
	if (r == 0)
		r = pinw_policy_file_parse(&policy->file, &here.host, &policy->parsed, &wrong);
	if (r == 0)
		return 0;
	if (r == -ENOMEM)
		return fail_memory();
	pinw_policy_file_complain(policy->name, &wrong);
	return refuse();
}

/* The shim would refuse an unknown mode, too, but only in the program. */
static int choose_mode(struct pinw_run_plan *p)
{
	const char *exported = getenv("PINWARDEN_MODE");
	struct pinw_run_policy *policy = &p->policy;

	policy->mode = policy->parsed.policy->mode;
	if (p->opt.mode)
		policy->mode = p->opt.mode;
	else if (exported && strcmp(exported, "audit") == 0)
		policy->mode = PINW_MODE_AUDIT;
	else if (exported && strcmp(exported, "enforce") == 0)
		policy->mode = PINW_MODE_ENFORCE;
	else if (exported && *exported) {
		pinw_say("PINWARDEN_MODE: %s is no mode; expected audit or enforce", exported);
		return refuse();
	}
	return 0;
}

static void say_warnings(const struct pinw_run_policy *policy)
{
	const struct pinw_policy *parsed = policy->parsed.policy;

	for (uint32_t i = 0; i < parsed->warning_count; i++)
		if (!parsed->warnings[i].is_note)
			pinw_say("%s:%" PRIu32 ": warning: %s", policy->name, parsed->warnings[i].line,
			         parsed->warnings[i].text);
}

int pinw_run_policy_read(struct pinw_run_plan *p)
{
	const char *exported = getenv("PINWARDEN_POLICY"), *mode = getenv("PINWARDEN_MODE");
	struct pinw_run_policy *policy = &p->policy;
	int code;

	policy->name = p->opt.policy ? p->opt.policy : exported && *exported ? exported : NULL;
	if (!policy->name) {
		if (mode && *mode && !p->opt.quiet)
			pinw_say("PINWARDEN_MODE=%s means nothing without a policy; name one with -p FILE",
			         mode);
		return 0;
	}
	policy->path = pinw_pattern_absolute(policy->name, p->cwd);
	if (!policy->path)
		return fail_memory();
	if (strlen(policy->path) >= PINW_PATH_MAX) {
		pinw_say("%s: the path of a policy can have at most %u bytes", policy->path,
		         PINW_PATH_MAX - 1);
		return refuse();
	}
	if ((code = parse(policy)) || (code = choose_mode(p)))
		return code;
	if (p->opt.quiet)
		return 0;
	if (!p->opt.policy)
		pinw_say("the policy %s is used (%s), as PINWARDEN_POLICY names it", policy->path,
		         pinw_mode_name(policy->mode));
	say_warnings(policy);
	return 0;
}

/* ---- the program it is for ------------------------------------------------------------------- */

static bool denies_golocks(const struct pinw_policy *policy, const struct pinw_rule *rule)
{
	return rule->action == PINW_ACTION_DENY && pinw_rule_acts_on_golocks(policy, rule);
}

/* Of the rules that satisfy `is`: the first, and how many there are besides. NULL: none. */
static const struct pinw_rule *find_rule(const struct pinw_policy *policy,
                                         bool (*is)(const struct pinw_policy *, const struct pinw_rule *),
                                         char others[static 32])
{
	const struct pinw_rule *first = NULL;
	uint32_t more = 0;

	for (uint32_t i = 0; i < policy->rule_count; i++)
		if (is(policy, &policy->rules[i]) && first)
			more++;
		else if (is(policy, &policy->rules[i]))
			first = &policy->rules[i];
	others[0] = '\0';
	if (more)
		snprintf(others, 32, " (and %" PRIu32 " more)", more);
	return first;
}

/* Said where it takes effect: an auditing policy denies nothing. */
static void warn_of_golocks(const struct pinw_run_policy *policy)
{
	const struct pinw_policy *parsed = policy->parsed.policy;
	char others[32];

	if (policy->mode != PINW_MODE_ENFORCE)
		return;
	const struct pinw_rule *rule = find_rule(parsed, denies_golocks, others);
	if (rule)
		pinw_say(
		    "%s:%" PRIu32
		    ": [%s]%s: a denied runtime.LockOSThread returns and locks nothing: code that needs its "
		    "thread (thread-local state of C libraries, namespaces, OpenGL) goes wrong then",
		    policy->name, rule->line, rule->label, others);
	rule = find_rule(parsed, pinw_rule_spares_golocks, others);
	if (rule)
		pinw_say(
		    "%s:%" PRIu32
		    ": [%s]%s: CPU pins are denied, Go locks are only recorded as \"would deny\"; to deny "
		    "them, too, say deny_golocks = yes in [policy]",
		    policy->name, rule->line, rule->label, others);
}

static void warn_of_eagain(const struct pinw_run_policy *policy)
{
	static const enum pinw_cap caps[] = {PINW_CAP_MAX_THREADS, PINW_CAP_THREAD_RATE};
	const struct pinw_policy *parsed = policy->parsed.policy;

	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		uint16_t id = parsed->caps[caps[i]];
		if (id && parsed->rules[id - 1].action == PINW_ACTION_DENY)
			pinw_say("%s:%" PRIu32
			         ": %s: a Go program that is denied a thread (EAGAIN) tries 20 times, for "
			         "about 0.2 s, and then aborts",
			         policy->name, parsed->rules[id - 1].line, parsed->rules[id - 1].name);
	}
}

bool pinw_run_policy_is_on_golocks(const struct pinw_run_policy *policy)
{
	const struct pinw_policy *parsed = policy->name ? policy->parsed.policy : NULL;

	for (uint32_t i = 0; parsed && i < parsed->rule_count; i++)
		if (pinw_rule_is_about_golocks(&parsed->rules[i]))
			return true;
	return false;
}

void pinw_run_policy_warn_of_target(const struct pinw_run_policy *policy, const struct pinw_target *target)
{
	if (!policy->name || !target->go)
		return;
	warn_of_golocks(policy);
	warn_of_eagain(policy);
}

/* ---- handing it over ------------------------------------------------------------------------- */

const char *pinw_run_policy_log(const struct pinw_run_plan *p)
{
	const char *exported = getenv("PINWARDEN_LOG");

	if (!p->policy.name)
		return NULL;
	if (exported && *exported)
		return exported;
	return p->policy.parsed.policy->log ? p->policy.parsed.policy->log : "stderr";
}

/* The program reads the file itself. The log is left to it as well, unless --log was given: PINWARDEN_LOG would have leaks
 * described there, too, not violations alone. */
int pinw_run_policy_set_variables(struct pinw_run_plan *p)
{
	int r = 0;

	if (!p->policy.name)
		return 0;
	r = pinw_child_env_set(&p->env, "PINWARDEN_POLICY", p->policy.path);
	if (r == 0 && p->opt.mode)
		r = pinw_child_env_set(&p->env, "PINWARDEN_MODE", pinw_mode_name(p->opt.mode));
	return r;
}

int pinw_run_policy_watch(struct pinw_run_plan *p, struct pinw_launch *launch)
{
	const struct pinw_watch_options options = {.policy = p->policy.parsed.policy,
	                                           .policy_path = p->policy.path,
	                                           .enforcing = p->policy.mode == PINW_MODE_ENFORCE,
	                                           .session = &p->session,
	                                           .directory = p->pattern.directory,
	                                           .log = p->log,
	                                           .idle_stacks = p->opt.idle_stacks};

	if (!p->policy.name || !options.policy->needs_watch)
		return 0;
	int r = pinw_watch_new(&options, &p->policy.watch);
	if (r < 0)
		return r;
	launch->tick = pinw_watch_tick;
	launch->tick_arg = p->policy.watch;
	launch->tick_ns = PINW_WATCH_TICK_NS;
	return 0;
}

void pinw_run_policy_done(struct pinw_run_policy *policy)
{
	pinw_watch_free(policy->watch);
	pinw_policy_parsed_done(&policy->parsed);
	pinw_policy_file_done(&policy->file);
	free(policy->path);
	*policy = (struct pinw_run_policy){0};
}

bool pinw_run_is_breach(enum pinw_fail_on fail_on, enum pinw_action worst)
{
	return (fail_on == PINW_FAIL_ERROR && worst >= PINW_ACTION_DENY) ||
	       (fail_on == PINW_FAIL_WARNING && worst >= PINW_ACTION_LOG);
}
