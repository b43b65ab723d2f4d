/* SPDX-License-Identifier: MIT */
#include "policy/draft.h"

#include <errno.h>
#include <string.h>

#include "policy/mask.h"
#include "policy/match.h"

#define PATH_MAX_BYTES 4096u
#define UNNAMED_RULES 16u /* most rules that [caps] and [leak] make: 5 limits, 4 warnings, 7 leaks */
#define HEADING_MIN 8u /* [ban"a"], the shortest that makes a rule */
#define WARNINGS_PER_RULE 3u
#define WARNING_MAX 256u
#define DEFAULT_TIME_NS UINT64_C(10000000000)
#define DEFAULT_SHORT_LIVED_NS UINT64_C(1000000000)

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t rules_of(size_t headings)
{
	size_t rules = headings + UNNAMED_RULES;

	return rules < PINW_POLICY_RULES_MAX ? rules : PINW_POLICY_RULES_MAX;
}

size_t pinw_policy_memory_needed(size_t len, unsigned mask_words)
{
	const size_t warning =
	    sizeof(struct pinw_draft_warning) + sizeof(struct pinw_policy_warning) + WARNING_MAX;
	const size_t rule = sizeof(struct pinw_rule) + sizeof(uint32_t) + PINW_RULE_NAME_MAX + 32 +
	                    mask_words * sizeof(uint64_t) + WARNINGS_PER_RULE * warning;

	/* The shortest line that makes a list entry has 9 bytes ("module=x" and its end); it takes up to 40. */
	size_t rules = rules_of(len / (HEADING_MIN + 1) + 1);
	return sizeof(struct pinw_policy) + PATH_MAX_BYTES + 4 * warning + 256 + len * 5 + rules * rule +
	       pinw_policy_index_bytes((uint32_t)rules);
}

void *pinw_draft_alloc(struct pinw_draft *d, size_t size, size_t align)
{
	struct pinw_policy_memory *m = d->memory;
	size_t pad = -((uintptr_t)m->bytes + m->used) & (align - 1);

	if (d->failed)
		return NULL;
	if (m->size - m->used < pad || m->size - m->used - pad < size) {
		d->failed = -ENOMEM;
		return NULL;
	}
	void *p = m->bytes + m->used + pad;
	m->used += pad + size;
	return memset(p, 0, size);
}

const char *pinw_draft_copy(struct pinw_draft *d, const char *text, size_t len)
{
	char *copy = pinw_draft_alloc(d, len + 1, 1);

	if (copy)
		memcpy(copy, text, len);
	return copy;
}

/* ---- errors and warnings --------------------------------------------------------------------- */

struct pinw_phrase pinw_draft_fail(struct pinw_draft *d, uint32_t line, const char *key)
{
	if (d->failed)
		return pinw_phrase_start(NULL, 0);
	d->failed = -EINVAL;
	d->error->line = line;
	struct pinw_phrase t = pinw_phrase_start(d->error->key, sizeof(d->error->key));
	pinw_phrase_add(&t, "%s", key);
	return pinw_phrase_start(d->error->text, sizeof(d->error->text));
}

void pinw_draft_say(struct pinw_draft *d, const char *key, const char *text)
{
	struct pinw_phrase t = pinw_draft_fail(d, d->line, key);

	pinw_phrase_add(&t, "%s", text);
}

static void keep_warning(struct pinw_draft *d, uint32_t line, bool is_note, const char *text)
{
	struct pinw_draft_warning *w = pinw_draft_alloc(d, sizeof(*w), _Alignof(struct pinw_draft_warning));

	if (!w)
		return;
	w->warning = (struct pinw_policy_warning){
	    .line = line, .is_note = is_note, .text = pinw_draft_copy(d, text, strlen(text))};
	*d->warnings_end = w;
	d->warnings_end = &w->next;
	d->warning_count++;
}

void pinw_draft_warn(struct pinw_draft *d, uint32_t line, const char *text)
{
	keep_warning(d, line, false, text);
}

void pinw_draft_note(struct pinw_draft *d, uint32_t line, const char *text)
{
	keep_warning(d, line, true, text);
}

uint32_t pinw_draft_line(const struct pinw_draft *d, const char *key)
{
	const struct pinw_key *row = pinw_key_find(d->section, key);

	return row ? d->key_lines[row - pinw_keys] : 0;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash;
}

/* A new rule, labelled "section:name". */
struct pinw_rule *pinw_draft_open_rule(struct pinw_draft *d, const char *name)
{
	char label[PINW_RULE_NAME_MAX + 16];
	struct pinw_phrase t = pinw_phrase_start(label, sizeof(label));

	if (d->rule_count == d->rule_max) {
		t = pinw_draft_fail(d, d->line, "");
		pinw_phrase_add(&t, "more than %u rules", PINW_POLICY_RULES_MAX);
		return NULL;
	}
	pinw_phrase_add(&t, "%s:%s", pinw_section_name(d->section), name);
	struct pinw_rule *rule = &d->rules[d->rule_count];
	rule->label = pinw_draft_copy(d, label, t.len);
	if (!rule->label)
		return NULL;
	rule->name = strchr(rule->label, ':') + 1;
	rule->section = (uint8_t)d->section;
	rule->line = d->line;
	d->name_hashes[d->rule_count++] = hash_name(name);
	rule->id = (uint16_t)d->rule_count;
	return rule;
}

static const struct pinw_rule *find_named(const struct pinw_draft *d, const char *name)
{
	uint32_t hash = hash_name(name);

	for (uint32_t i = 0; i < d->rule_count; i++)
		if (d->name_hashes[i] == hash && d->rules[i].section == d->section &&
		    !strcmp(d->rules[i].name, name))
			return &d->rules[i];
	return NULL;
}

/* The lists of the section's rule, each in one piece. */
static void close_lists(struct pinw_draft *d)
{
	struct pinw_strings *strings = &d->rule->functions;

	for (unsigned i = 0; i < PINW_LISTS; i++) {
		uint32_t count = 0;
		for (const struct pinw_draft_string *s = d->lists[i]; s; s = s->next)
			count++;
		if (!count)
			continue;
		const char **text = pinw_draft_alloc(d, count * sizeof(*text), _Alignof(const char *));
		if (!text)
			return;
		strings[i] = (struct pinw_strings){.text = text, .count = count};
		for (const struct pinw_draft_string *s = d->lists[i]; s; s = s->next)
			*text++ = s->text;
	}
}

_Static_assert(offsetof(struct pinw_rule, created_by) ==
                   offsetof(struct pinw_rule, functions) + 3 * sizeof(struct pinw_strings),
               "the lists of a rule follow each other");

static void fill_named(struct pinw_draft *d)
{
	struct pinw_rule *rule = d->rule;

	if (rule->section == PINW_SECTION_BAN) {
		if (!pinw_draft_line(d, "action"))
			rule->action = PINW_ACTION_DENY;
		if (rule->action == PINW_ACTION_DENY && !rule->error)
			rule->error = EPERM;
		if (rule->churn.count && !rule->short_lived_ns)
			rule->short_lived_ns = DEFAULT_SHORT_LIVED_NS;
	}
	if (rule->section == PINW_SECTION_REQUIRE) {
		if (!pinw_draft_line(d, "action"))
			rule->action = PINW_ACTION_LOG;
		if (!pinw_draft_line(d, "pinned"))
			rule->pinned = true;
	}
	if (rule->section == PINW_SECTION_SUPPRESS)
		rule->expired = rule->expires && d->host->today > rule->expires;
}

static void fill_cap(struct pinw_draft *d, struct pinw_rule *rule)
{
	bool on_threads = rule->cap == PINW_CAP_MAX_THREADS || rule->cap == PINW_CAP_THREAD_RATE;
	uint8_t asked = d->cap_actions[rule->cap];

	if (rule->is_warning)
		rule->action = PINW_ACTION_LOG;
	else if (asked)
		rule->action = asked;
	else
		rule->action = rule->cap == PINW_CAP_MAX_THREADS ? PINW_ACTION_CRASH : PINW_ACTION_DENY;
	if (rule->action == PINW_ACTION_DENY)
		rule->error = on_threads ? EAGAIN : EPERM;
	(rule->is_warning ? d->policy->warns : d->policy->caps)[rule->cap] = rule->id;
}

static void fill_leak(struct pinw_draft *d, struct pinw_rule *rule)
{
	bool timed = rule->leak == PINW_PLEAK_PINNED_IDLE || rule->leak == PINW_PLEAK_UNJOINED;
	const char *key = rule->leak == PINW_PLEAK_PINNED_IDLE ? "idle_after" : "grace";

	if (timed)
		rule->time_ns = pinw_draft_line(d, key) ? d->leak_times[rule->leak] : DEFAULT_TIME_NS;
	d->policy->leaks[rule->leak] = rule->id;
}

/* The section is complete: defaults, then what contradicts. */
void pinw_draft_close_section(struct pinw_draft *d)
{
	if (d->failed || !d->section)
		return;
	if (d->rule) {
		close_lists(d);
		fill_named(d);
	}
	for (uint32_t i = 0; i < d->rule_count; i++) {
		if (d->section == PINW_SECTION_CAPS && d->rules[i].section == PINW_SECTION_CAPS)
			fill_cap(d, &d->rules[i]);
		if (d->section == PINW_SECTION_LEAK && d->rules[i].section == PINW_SECTION_LEAK)
			fill_leak(d, &d->rules[i]);
	}
	pinw_check_section(d);
}

/* ---- sections -------------------------------------------------------------------------------- */

void pinw_draft_open_section(struct pinw_draft *d, enum pinw_section section, const char *key,
                             const char *name)
{
	pinw_draft_close_section(d);
	d->section = section;
	d->section_line = d->line;
	d->rule = NULL;
	memset(d->key_lines, 0, sizeof(d->key_lines));
	for (unsigned i = 0; i < PINW_LISTS; i++) {
		d->lists[i] = NULL;
		d->list_ends[i] = &d->lists[i];
	}
	uint32_t first = d->section_lines[section];
	if (pinw_sections[section].is_named) {
		const struct pinw_rule *other = find_named(d, name);
		first = other ? other->line : 0;
	}
	if (first) {
		struct pinw_phrase t = pinw_draft_fail(d, d->line, key);
		pinw_phrase_add(&t, "given twice; first at line %u", first);
	} else if (pinw_sections[section].is_named) {
		d->rule = pinw_draft_open_rule(d, name);
	} else {
		d->section_lines[section] = d->line;
	}
}

/* ---- the whole ------------------------------------------------------------------------------- */

static uint64_t hash_text(const char *text, size_t len)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
	return hash;
}

static size_t count_headings(const char *text, size_t len)
{
	size_t count = 0;

	for (const char *p = text, *end = text + len; p < end; p++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *stop = newline ? newline : end;
		if (*p == '[' && (size_t)(stop - p) >= HEADING_MIN)
			count++;
		p = stop;
	}
	return count;
}

void pinw_draft_start(struct pinw_draft *d, size_t len, const char *path)
{
	size_t path_len = strlen(path);

	d->policy = pinw_draft_alloc(d, sizeof(*d->policy), _Alignof(struct pinw_policy));
	d->rule_max = (uint32_t)rules_of(count_headings(d->at, len));
	d->rules = pinw_draft_alloc(d, d->rule_max * sizeof(*d->rules), _Alignof(struct pinw_rule));
	d->name_hashes = pinw_draft_alloc(d, d->rule_max * sizeof(uint32_t), _Alignof(uint32_t));
	if (d->failed)
		return;
	*d->policy = (struct pinw_policy){
	    .path = pinw_draft_copy(d, path, path_len < PATH_MAX_BYTES ? path_len : PATH_MAX_BYTES - 1),
	    .mode = PINW_MODE_AUDIT,
	    .mask_words = d->host->mask_words,
	    .rules = d->rules,
	    .hash = hash_text(d->at, len),
	};
	d->warnings_end = &d->warnings;
	if (len >= 3 && !memcmp(d->at, "\xef\xbb\xbf", 3))
		d->at += 3;
}

static bool is_on_births(const struct pinw_rule *rule)
{
	return (!rule->calls || rule->calls & (PINW_CALLS_ATTR | PINW_CALLS_INHERIT)) &&
	       rule->kinds != PINW_KINDS_GO;
}

/* What this rule makes necessary. */
static void note_needs(struct pinw_policy *p, const struct pinw_rule *rule)
{
	bool on_pins = rule->section == PINW_SECTION_BAN || rule->section == PINW_SECTION_ALLOW;

	if (rule->section == PINW_SECTION_CAPS) {
		bool on_threads = rule->cap == PINW_CAP_MAX_THREADS || rule->cap == PINW_CAP_THREAD_RATE;
		p->judges_threads |= on_threads;
		on_pins = !on_threads;
	}
	p->judges_pins |= on_pins;
	p->judges_births |= (on_pins && is_on_births(rule)) ||
	                    (rule->section == PINW_SECTION_LEAK && rule->leak == PINW_PLEAK_INHERITED);
	p->needs_creator |= rule->created_by.count != 0;
	p->needs_churn |= rule->churn.count != 0;
	p->needs_require |= rule->section == PINW_SECTION_REQUIRE;
	p->needs_watch |= rule->section == PINW_SECTION_REQUIRE && rule->within_ns;
	p->needs_watch |= rule->section == PINW_SECTION_LEAK &&
	                  (rule->leak == PINW_PLEAK_PINNED_IDLE || rule->leak == PINW_PLEAK_UNJOINED ||
	                   rule->leak == PINW_PLEAK_GROWTH);
}

void pinw_draft_finish(struct pinw_draft *d)
{
	pinw_check_rules(d);
	struct pinw_policy_warning *warnings =
	    pinw_draft_alloc(d, d->warning_count * sizeof(*warnings), _Alignof(struct pinw_policy_warning));
	if (!warnings)
		return;
	d->policy->warnings = warnings;
	d->policy->warning_count = d->warning_count;
	for (const struct pinw_draft_warning *w = d->warnings; w; w = w->next)
		*warnings++ = w->warning;
	d->policy->rule_count = d->rule_count;
	for (uint32_t i = 0; i < d->rule_count; i++)
		note_needs(d->policy, &d->rules[i]);
	d->failed = pinw_policy_index(d->policy, d->memory);
}
