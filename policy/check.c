/* SPDX-License-Identifier: MIT
 *
 * Rules that can never match, and keys that contradict each other: what a policy says by
 * mistake. Everything here is true on every run of every program; what only may be a mistake is a
 * warning.
 */
#include "policy/draft.h"

#include <string.h>

#include "policy/mask.h"

#define THREAD_NAME_MAX 15u /* the kernel keeps that many bytes */

bool pinw_check_thread_name(const char *glob, struct pinw_phrase *why)
{
	unsigned needed = 0;

	for (const char *p = glob; *p; p++)
		needed += *p != '*';
	if (needed <= THREAD_NAME_MAX)
		return true;
	pinw_phrase_add(why, "can never match: it needs %u bytes, and the kernel keeps %u of a thread's name",
	                needed, THREAD_NAME_MAX);
	return false;
}

/* ---- one section ------------------------------------------------------------------------------- */

/* An error at a key of the section just read. */
static void fail_key(struct pinw_draft *d, const char *key, const char *text)
{
	struct pinw_phrase t = pinw_draft_fail(d, pinw_draft_line(d, key), key);

	pinw_phrase_add(&t, "%s", text);
}

/* An error of a named rule as a whole: at its heading. */
static struct pinw_phrase fail_rule(struct pinw_draft *d, const struct pinw_rule *rule)
{
	char heading[PINW_RULE_NAME_MAX + 32];
	struct pinw_phrase t = pinw_phrase_start(heading, sizeof(heading));

	pinw_phrase_add(&t, "[%s \"%s\"]", pinw_section_name(rule->section), rule->name);
	return pinw_draft_fail(d, rule->line, heading);
}

static bool given(const struct pinw_draft *d, const char *key)
{
	return pinw_draft_line(d, key) != 0;
}

/* Predicates that exclude each other, of bans and allows. */
static void check_kinds(struct pinw_draft *d)
{
	const struct pinw_rule *rule = d->rule;

	if (rule->calls == PINW_CALLS_GOLOCK && rule->kinds == PINW_KINDS_CPU)
		fail_key(d, "kind", "can never match: call = golock makes locks of kind go only");
	else if (rule->calls && !(rule->calls & PINW_CALLS_GOLOCK) && rule->kinds == PINW_KINDS_GO)
		fail_key(d, "kind", "can never match: locks of kind go are made by call = golock only");
	else if (rule->cpus && rule->kinds == PINW_KINDS_GO)
		fail_key(d, "cpus", "can never match: a lock of kind go has no CPUs");
	else if (rule->cpus && rule->calls == PINW_CALLS_GOLOCK)
		fail_key(d, "cpus", "can never match: call = golock has no CPUs");
}

static void check_ban(struct pinw_draft *d)
{
	const struct pinw_rule *rule = d->rule;

	check_kinds(d);
	if (given(d, "short_lived") && !given(d, "churn_rate"))
		fail_key(d, "short_lived", "means nothing without churn_rate");
	if (given(d, "errno") && rule->action != PINW_ACTION_DENY)
		fail_key(d, "errno", "means nothing without action = deny");
	if (given(d, "errno") && pinw_rule_is_golocks_only(rule))
		fail_key(d, "errno", "means nothing here: runtime.LockOSThread returns no error");
	if (rule->action == PINW_ACTION_RESET && rule->calls != PINW_CALLS_INHERIT)
		fail_key(d, "action",
		         "'reset' gives back a mask that was inherited; it needs call = inherit alone; "
		         "expected log, deny or "
		         "crash");
}

static void check_require(struct pinw_draft *d)
{
	const struct pinw_rule *rule = d->rule;

	if (!rule->thread_names.count && !rule->functions.count && !rule->created_by.count) {
		struct pinw_phrase t = fail_rule(d, rule);
		pinw_phrase_add(&t, "which threads? expected thread_name, function or created_by");
	}
	if (!rule->pinned && rule->cpus)
		fail_key(d, "cpus", "contradicts pinned = no");
	if (!rule->pinned && rule->within_ns)
		fail_key(d, "within", "contradicts pinned = no");
	if (rule->cpus && rule->kinds == PINW_KINDS_GO)
		fail_key(d, "cpus", "can never be fulfilled: a lock of kind go has no CPUs");
}

static void check_suppress(struct pinw_draft *d)
{
	const struct pinw_rule *rule = d->rule;

	if (rule->leaks || rule->functions.count || rule->modules.count || rule->thread_names.count ||
	    rule->created_by.count)
		return;
	struct pinw_phrase t = fail_rule(d, rule);
	pinw_phrase_add(
	    &t, "would suppress every leak; expected leak, function, module, thread_name or created_by");
}

/* The first key of the section, of one place and part. */
static const struct pinw_key *key_of(const struct pinw_draft *d, enum pinw_place place, unsigned part)
{
	for (unsigned i = 0; i < pinw_key_count; i++)
		if (pinw_keys[i].sections >> d->section & 1 && pinw_keys[i].place == place &&
		    pinw_keys[i].part == part)
			return &pinw_keys[i];
	return NULL;
}

static uint32_t line_of(const struct pinw_draft *d, const struct pinw_key *key)
{
	return key ? d->key_lines[key - pinw_keys] : 0;
}

/* The number of a limit, or of a rate counted in the same time; else 0. */
static uint64_t number_of(const struct pinw_rule *rule, const struct pinw_rule *other)
{
	if (rule->cap != PINW_CAP_THREAD_RATE)
		return rule->limit;
	return rule->rate.window_ns == other->rate.window_ns ? rule->rate.count : 0;
}

/* A warning comes before its limit. At the limit itself it still can: the last that is allowed. Beyond a limit that
 * only logs it comes, but late. */
static void check_warning(struct pinw_draft *d, const struct pinw_rule *cap, const struct pinw_rule *warn)
{
	uint64_t most = number_of(cap, warn), from = number_of(warn, cap);
	char text[192];
	struct pinw_phrase t = pinw_phrase_start(text, sizeof(text));

	if (from <= most)
		return;
	pinw_phrase_add(&t, "%lu is beyond %s (line %u), which is %lu", (unsigned long)from, cap->name,
	                cap->line, (unsigned long)most);
	if (cap->action == PINW_ACTION_LOG) {
		pinw_draft_warn(d, warn->line, text);
		return;
	}
	t = pinw_draft_fail(d, warn->line, warn->name);
	pinw_phrase_add(&t, "can never match: %s", text);
}

static void check_reserve(struct pinw_draft *d, const struct pinw_rule *rule)
{
	const struct pinw_policy_host *host = d->host;
	char list[96];

	if (!pinw_mask_subset(host->baseline, rule->cpus, host->mask_words))
		return;
	pinw_mask_print(list, sizeof(list), host->baseline, host->mask_words);
	struct pinw_phrase t = pinw_draft_fail(d, rule->line, rule->name);
	pinw_phrase_add(&t, "leaves no CPU to pins: the process may use %s", list);
}

static void check_caps(struct pinw_draft *d)
{
	for (unsigned cap = 0; cap < PINW_CAPS; cap++) {
		const struct pinw_key *limit = key_of(d, PINW_PLACE_CAP, cap);
		const struct pinw_key *others[] = {key_of(d, PINW_PLACE_CAP_ACTION, cap),
		                                   key_of(d, PINW_PLACE_CAP_WARNING, cap)};

		for (unsigned i = 0; i < 2 && !line_of(d, limit); i++) {
			if (!line_of(d, others[i]))
				continue;
			struct pinw_phrase t = pinw_draft_fail(d, line_of(d, others[i]), others[i]->name);
			pinw_phrase_add(&t, "means nothing without %s", limit->name);
		}
		uint16_t id = d->policy->caps[cap], warn = d->policy->warns[cap];
		if (id && warn)
			check_warning(d, &d->rules[id - 1], &d->rules[warn - 1]);
	}
	if (d->policy->caps[PINW_CAP_RESERVE_CPUS])
		check_reserve(d, &d->rules[d->policy->caps[PINW_CAP_RESERVE_CPUS] - 1]);
}

static void check_leak(struct pinw_draft *d)
{
	if (given(d, "idle_after") && !given(d, "pinned_idle"))
		fail_key(d, "idle_after", "means nothing without pinned_idle");
	if (given(d, "grace") && !given(d, "unjoined"))
		fail_key(d, "grace", "means nothing without unjoined");
}

void pinw_check_section(struct pinw_draft *d)
{
	if (d->failed)
		return;
	if (d->section == PINW_SECTION_BAN)
		check_ban(d);
	else if (d->section == PINW_SECTION_ALLOW)
		check_kinds(d);
	else if (d->section == PINW_SECTION_REQUIRE)
		check_require(d);
	else if (d->section == PINW_SECTION_SUPPRESS)
		check_suppress(d);
	else if (d->section == PINW_SECTION_CAPS)
		check_caps(d);
	else if (d->section == PINW_SECTION_LEAK)
		check_leak(d);
}

/* ---- one rule behind another ------------------------------------------------------------------------ */

static bool holds(const struct pinw_strings *list, const char *text)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (!strcmp(list->text[i], text))
			return true;
	return false;
}

/* Whatever satisfies `narrow` satisfies `wide`: it asks nothing, or has all of the other's globs. */
static bool covers_list(const struct pinw_strings *wide, const struct pinw_strings *narrow)
{
	if (!wide->count)
		return true;
	for (uint32_t i = 0; i < narrow->count; i++)
		if (!holds(wide, narrow->text[i]))
			return false;
	return narrow->count != 0;
}

static bool covers_bits(uint32_t wide, uint32_t narrow)
{
	return !wide || (narrow && !(narrow & ~wide));
}

static bool covers_calls(uint32_t wide, uint32_t narrow)
{
	return covers_bits(wide & PINW_CALLS_SETAFFINITY ? wide | PINW_CALLS_RAW : wide, narrow);
}

static bool covers_cpus(const struct pinw_draft *d, const struct pinw_rule *wide,
                        const struct pinw_rule *narrow)
{
	unsigned words = d->host->mask_words;

	if (!wide->cpus)
		return true;
	return narrow->cpus && narrow->section == wide->section &&
	       pinw_mask_subset(narrow->cpus, wide->cpus, words);
}

/* Does the first of two rules always answer for the second? */
static bool shadows(const struct pinw_draft *d, const struct pinw_rule *first, const struct pinw_rule *second)
{
	const struct pinw_strings *a = &first->functions, *b = &second->functions;

	if (first->limit || first->rate.count || first->churn.count || first->after_ns > second->after_ns)
		return false;
	if (first->expires && (!second->expires || second->expires > first->expires))
		return false;
	for (unsigned i = 0; i < PINW_LISTS; i++)
		if (!covers_list(&a[i], &b[i]))
			return false;
	return covers_calls(first->calls, second->calls) && covers_bits(first->kinds, second->kinds) &&
	       covers_bits(first->leaks, second->leaks) && covers_cpus(d, first, second);
}

/* Two bans of one rate on the same pins: the first always speaks. */
static bool repeats(const struct pinw_draft *d, const struct pinw_rule *first, const struct pinw_rule *second)
{
	if ((!first->rate.count && !first->churn.count) ||
	    memcmp(&first->rate, &second->rate, sizeof(first->rate)) != 0 ||
	    memcmp(&first->churn, &second->churn, sizeof(first->churn)) != 0 ||
	    first->short_lived_ns != second->short_lived_ns)
		return false;
	struct pinw_rule bare = *first;
	bare.rate.count = bare.churn.count = 0;
	return shadows(d, &bare, second);
}

/* Is `first` asked before `second`? An [allow] beats every [ban], wherever it is. */
static bool precedes(const struct pinw_rule *first, const struct pinw_rule *second)
{
	if (first->section == PINW_SECTION_ALLOW && second->section == PINW_SECTION_BAN)
		return true;
	return first->section == second->section && first->id < second->id;
}

static void check_shadowed(struct pinw_draft *d, const struct pinw_rule *rule)
{
	for (uint32_t i = 0; i < d->rule_count && !d->failed; i++) {
		const struct pinw_rule *other = &d->rules[i];
		if (!precedes(other, rule) || !(shadows(d, other, rule) || repeats(d, other, rule)))
			continue;
		struct pinw_phrase t = fail_rule(d, rule);
		pinw_phrase_add(&t, "can never match: line %u comes first ([%s \"%s\"])", other->line,
		                pinw_section_name(other->section), other->name);
	}
}

/* ---- warnings --------------------------------------------------------------------------------------- */

static bool is_bare(const struct pinw_rule *rule)
{
	return !rule->functions.count && !rule->modules.count && !rule->thread_names.count &&
	       !rule->created_by.count && !rule->calls && !rule->kinds && !rule->cpus && !rule->rate.count &&
	       !rule->churn.count;
}

static void warn_of(struct pinw_draft *d, const struct pinw_rule *rule)
{
	char text[192];
	struct pinw_phrase t = pinw_phrase_start(text, sizeof(text));

	if (rule->section == PINW_SECTION_BAN && is_bare(rule))
		pinw_draft_warn(d, rule->line, "this ban has no predicates: it bans every pin");
	if (rule->section == PINW_SECTION_ALLOW && is_bare(rule) && !rule->limit)
		pinw_draft_warn(d, rule->line, "this allow has no predicates: it lets every pin through");
	if (rule->calls & PINW_CALLS_GOLOCK || rule->kinds == PINW_KINDS_GO ||
	    (rule->section == PINW_SECTION_LEAK && rule->leak == PINW_PLEAK_UNBALANCED))
		pinw_draft_note(d, rule->line, "only Go programs lock goroutines to threads");
	if (rule->calls == PINW_CALLS_RAW)
		pinw_draft_note(d, rule->line, "raw system calls are seen in Go programs only");
	if (rule->section == PINW_SECTION_CAPS && rule->cap == PINW_CAP_MAX_THREADS &&
	    rule->action == PINW_ACTION_DENY)
		pinw_draft_note(d, rule->line, "a Go program aborts about 0.2 s after a denied thread");
	if (!rule->expired)
		return;
	pinw_phrase_add(&t, "this suppression expired after %u-%s%u-%s%u", rule->expires / 10000,
	                rule->expires / 100 % 100 < 10 ? "0" : "", rule->expires / 100 % 100,
	                rule->expires % 100 < 10 ? "0" : "", rule->expires % 100);
	pinw_draft_warn(d, rule->line, text);
}

/* Asked when all is read: [policy] may come last. */
static void check_deny(struct pinw_draft *d, const struct pinw_rule *rule)
{
	if (!pinw_rule_names_golocks(rule) || !pinw_rule_spares_golocks(d->policy, rule))
		return;
	struct pinw_phrase t = fail_rule(d, rule);
	pinw_phrase_add(&t, "it would deny Go locks, and a denied LockOSThread breaks programs that rely on "
	                    "thread-local C state; say deny_golocks = yes in [policy], or action = log");
}

void pinw_check_rules(struct pinw_draft *d)
{
	for (uint32_t i = 0; i < d->rule_count && !d->failed; i++) {
		const struct pinw_rule *rule = &d->rules[i];
		if (rule->section == PINW_SECTION_BAN || rule->section == PINW_SECTION_ALLOW ||
		    (rule->section == PINW_SECTION_SUPPRESS && !rule->expired))
			check_shadowed(d, rule);
		check_deny(d, rule);
		warn_of(d, rule);
	}
	if (!d->rule_count)
		pinw_draft_warn(d, 1, "no rules: nothing will ever be found");
}
