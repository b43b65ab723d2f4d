/* SPDX-License-Identifier: MIT
 *
 * inih splits lines into keys and values and strips comments. What it would let pass in
 * silence is refused by the reader that hands it the lines: headings it cuts after 49
 * bytes, indented keys it takes for continuations, ':' it takes for '=', text behind a
 * heading, NUL, overlong lines. Only this file knows inih.
 */
#include <errno.h>
#include <ini.h>
#include <string.h>

#include "policy/draft.h"
#include "policy/mask.h"
#include "policy/match.h"
#include "policy/values.h"

#define NAME_MAX_BYTES 64u /* of a rule */
#define PATH_MAX_BYTES 4096u
#define UNNAMED_RULES 16u /* most rules that [caps] and [leak] make: 5 limits, 4 warnings, 7 leaks */
#define HEADING_MIN 8u /* [ban"a"], the shortest that makes a rule */
#define WARNINGS_PER_RULE 3u
#define WARNING_MAX 256u
#define DEFAULT_TIME_NS UINT64_C(10000000000)
#define DEFAULT_SHORT_LIVED_NS UINT64_C(1000000000)

/* ---- memory ----------------------------------------------------------------------------------- */

static size_t rules_of(size_t headings)
{
	size_t rules = headings + UNNAMED_RULES;

	return rules < PINW_POLICY_RULES_MAX ? rules : PINW_POLICY_RULES_MAX;
}

size_t pinw_policy_memory_needed(size_t len, unsigned mask_words)
{
	const size_t warning =
	    sizeof(struct pinw_draft_warning) + sizeof(struct pinw_policy_warning) + WARNING_MAX;
	const size_t rule = sizeof(struct pinw_rule) + sizeof(uint32_t) + NAME_MAX_BYTES + 32 +
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

static const char *copy_text(struct pinw_draft *d, const char *text, size_t len)
{
	char *copy = pinw_draft_alloc(d, len + 1, 1);

	if (copy)
		memcpy(copy, text, len);
	return copy;
}

/* ---- errors and warnings ------------------------------------------------------------------------ */

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

static void fail(struct pinw_draft *d, const char *key, const char *text)
{
	struct pinw_phrase t = pinw_draft_fail(d, d->line, key);

	pinw_phrase_add(&t, "%s", text);
}

void pinw_draft_warn(struct pinw_draft *d, uint32_t line, const char *text)
{
	struct pinw_draft_warning *w = pinw_draft_alloc(d, sizeof(*w), _Alignof(struct pinw_draft_warning));

	if (!w)
		return;
	w->warning = (struct pinw_policy_warning){.line = line, .text = copy_text(d, text, strlen(text))};
	*d->warnings_end = w;
	d->warnings_end = &w->next;
	d->warning_count++;
}

uint32_t pinw_draft_line(const struct pinw_draft *d, const char *key)
{
	const struct pinw_key *row = pinw_key_find(d->section, key);

	return row ? d->key_lines[row - pinw_keys] : 0;
}

/* ---- rules ---------------------------------------------------------------------------------------- */

static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash;
}

/* A new rule, labelled "section:name". */
static struct pinw_rule *open_rule(struct pinw_draft *d, const char *name)
{
	char label[NAME_MAX_BYTES + 16];
	struct pinw_phrase t = pinw_phrase_start(label, sizeof(label));

	if (d->rule_count == d->rule_max) {
		t = pinw_draft_fail(d, d->line, "");
		pinw_phrase_add(&t, "more than %u rules", PINW_POLICY_RULES_MAX);
		return NULL;
	}
	pinw_phrase_add(&t, "%s:%s", pinw_section_name(d->section), name);
	struct pinw_rule *rule = &d->rules[d->rule_count];
	rule->label = copy_text(d, label, t.len);
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
static void close_section(struct pinw_draft *d)
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

/* ---- headings ---------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void trim(const char **text, size_t *len)
{
	while (*len && is_blank(**text))
		++*text, --*len;
	while (*len && is_blank((*text)[*len - 1]))
		--*len;
}

static void open_section(struct pinw_draft *d, enum pinw_section section, const char *key, const char *name)
{
	close_section(d);
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
		d->rule = open_rule(d, name);
	} else {
		d->section_lines[section] = d->line;
	}
}

static void fail_unknown_section(struct pinw_draft *d, const char *key, const char *word)
{
	const char *nearest = pinw_section_nearest(word);
	struct pinw_phrase t = pinw_draft_fail(d, d->line, key);

	pinw_phrase_add(&t, "unknown section '%s'", word);
	if (nearest)
		pinw_phrase_add(&t, "; did you mean %s?", pinw_sections[pinw_section_find(nearest)].form);
	else
		pinw_phrase_add(&t, "; sections are policy, caps, ban, allow, require, leak and suppress");
}

/* The quoted name in a heading, copied. Says what is wrong and returns false when it cannot be one. */
static bool read_name(struct pinw_draft *d, const char *key, const struct pinw_section_row *row,
                      const char *text, size_t len, char name[NAME_MAX_BYTES + 1])
{
	struct pinw_phrase t;

	if (!row->is_named && !len)
		return true;
	if (!row->is_named || len < 2 || text[0] != '"' || text[len - 1] != '"') {
		t = pinw_draft_fail(d, d->line, key);
		pinw_phrase_add(
		    &t, row->is_named ? "expected a name in quotes: %s" : "expected %s, which has no name",
		    row->form);
		return false;
	}
	text++, len -= 2;
	if (!len || len > NAME_MAX_BYTES) {
		t = pinw_draft_fail(d, d->line, key);
		pinw_phrase_add(&t, "expected a name of 1 to %u bytes", NAME_MAX_BYTES);
		return false;
	}
	if (memchr(text, '"', len) || memchr(text, ';', len) || is_blank(text[0]) ||
	    is_blank(text[len - 1])) {
		fail(d, key, "a name holds no quote and no ';', and neither begins nor ends with a blank");
		return false;
	}
	memcpy(name, text, len);
	name[len] = '\0';
	return true;
}

/* What is between the brackets. */
static void read_heading(struct pinw_draft *d, const char *key, const char *text, size_t len)
{
	char word[PINW_WORD_MAX + 2], name[NAME_MAX_BYTES + 1] = "";
	size_t n = 0;

	trim(&text, &len);
	while (n < len && !is_blank(text[n]) && text[n] != '"')
		n++;
	size_t kept = n < sizeof(word) ? n : sizeof(word) - 1;
	memcpy(word, text, kept);
	word[kept] = '\0';
	enum pinw_section section = pinw_section_find(word);
	if (!section) {
		fail_unknown_section(d, key, word);
		return;
	}
	text += n, len -= n;
	trim(&text, &len);
	if (read_name(d, key, &pinw_sections[section], text, len, name))
		open_section(d, section, key, name);
}

static void take_heading(struct pinw_draft *d, const char *line, size_t len)
{
	char key[sizeof(d->error->key)];
	const char *close = memchr(line, ']', len);
	size_t kept = close ? (size_t)(close - line) + 1 : len;

	kept = kept < sizeof(key) ? kept : sizeof(key) - 1;
	memcpy(key, line, kept);
	key[kept] = '\0';
	if (!close) {
		fail(d, key, "the heading's ] is missing");
		return;
	}
	const char *rest = close + 1;
	size_t rest_len = (size_t)(line + len - rest);
	bool blank = rest_len && is_blank(*rest);
	trim(&rest, &rest_len);
	if (rest_len && (!blank || *rest != ';')) {
		fail(d, key,
		     *rest == '#' ? "a comment behind a heading begins with ' ;'"
		                  : "text behind the heading's ]; a name holds no ']', and keys have "
		                    "lines of their own");
		return;
	}
	read_heading(d, key, line + 1, (size_t)(close - line) - 1);
}

/* ---- lines --------------------------------------------------------------------------------------------- */

/* Where an inline comment as inih knows it begins: ';' after a blank. */
static size_t comment_at(const char *line, size_t len, char mark)
{
	for (size_t i = 1; i < len; i++)
		if (line[i] == mark && is_blank(line[i - 1]))
			return i;
	return len;
}

/* A line that must be "key = value" in the eyes of inih as in ours. */
static void check_key_line(struct pinw_draft *d, const char *line, size_t len)
{
	char key[sizeof(d->error->key)];
	size_t code = comment_at(line, len, ';');
	const char *equals = memchr(line, '=', code), *colon = memchr(line, ':', code);
	size_t kept = equals ? (size_t)(equals - line) : code;

	if (colon && (size_t)(colon - line) < kept)
		kept = (size_t)(colon - line);
	const char *word = line;
	trim(&word, &kept);
	kept = kept < sizeof(key) ? kept : sizeof(key) - 1;
	memcpy(key, word, kept);
	key[kept] = '\0';
	if (!equals || (colon && colon < equals)) {
		fail(d, key,
		     colon ? "a ':' where '=' was expected: key = value"
		           : "expected [section], or key = value");
		return;
	}
	if (equals == line) {
		fail(d, "", "a key is missing before '='");
		return;
	}
	const char *value = equals + 1;
	size_t value_len = (size_t)(line + code - value);
	trim(&value, &value_len);
	if (!value_len || *value == ';')
		fail(d, key, "the value is missing");
	else if (*value == '#' || comment_at(value, value_len, '#') < value_len)
		fail(d, key,
		     "a '#' in the value; a comment behind a value begins with ' ;', or has its own line");
}

static void check_bytes(struct pinw_draft *d, const char *line, size_t len)
{
	if (memchr(line, '\0', len)) {
		fail(d, "", "a NUL byte; a policy is text");
		return;
	}
	if (len > PINW_POLICY_LINE_MAX) {
		struct pinw_phrase t = pinw_draft_fail(d, d->line, "");
		pinw_phrase_add(&t, "a line of %lu bytes; the longest may have %u", (unsigned long)len,
		                PINW_POLICY_LINE_MAX);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f) {
			fail(d, "", "a control character; a policy is text");
			return;
		}
	}
}

/* Looks at a line before inih does. */
static void check_line(struct pinw_draft *d, const char *line, size_t len)
{
	size_t indent = 0;

	check_bytes(d, line, len);
	while (indent < len && is_blank(line[indent]))
		indent++;
	if (d->failed || indent == len || line[indent] == ';' || line[indent] == '#')
		return;
	if (indent)
		fail(d, "", "an indented line; keys and headings begin in the first column");
	else if (line[0] == '[')
		take_heading(d, line, len);
	else
		check_key_line(d, line, len);
}

/* The reader inih pulls lines through. */
static char *read_line(char *str, int num, void *stream)
{
	struct pinw_draft *d = stream;

	if (d->failed || d->at == d->end)
		return NULL;
	const char *line = d->at;
	const char *newline = memchr(line, '\n', (size_t)(d->end - line));
	size_t len = (size_t)((newline ? newline : d->end) - line);
	d->at = newline ? newline + 1 : d->end;
	d->line++;
	if (len && line[len - 1] == '\r')
		len--;
	check_line(d, line, len);
	if (d->failed || len >= (size_t)num)
		return NULL;
	memcpy(str, line, len);
	str[len] = '\0';
	return str;
}

/* ---- values ---------------------------------------------------------------------------------------------- */

static int read_text(struct pinw_draft *d, const char *value, const char **ret, struct pinw_phrase *why)
{
	size_t len = strlen(value);

	if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
		pinw_phrase_add(why, "quotes would be part of it; leave them out");
		return -EINVAL;
	}
	*ret = copy_text(d, value, len);
	return 0;
}

static int read_glob(struct pinw_draft *d, const struct pinw_key *key, const char *value,
                     struct pinw_phrase *why)
{
	const char *text;
	int r = read_text(d, value, &text, why);

	if (r < 0)
		return r;
	if (!strcmp(key->name, "thread_name") && !pinw_check_thread_name(value, why))
		return -EINVAL;
	struct pinw_draft_string *s = pinw_draft_alloc(d, sizeof(*s), _Alignof(struct pinw_draft_string));
	if (s) {
		s->text = text;
		*d->list_ends[key->part] = s;
		d->list_ends[key->part] = &s->next;
	}
	return 0;
}

static int read_cpus(struct pinw_draft *d, const char *value, const uint64_t **ret, struct pinw_phrase *why)
{
	uint64_t *mask = pinw_draft_alloc(d, d->host->mask_words * sizeof(*mask), _Alignof(uint64_t));

	*ret = mask;
	return mask ? pinw_value_cpus(value, d->host, mask, why) : 0;
}

static int read_version(const char *value, struct pinw_phrase *why)
{
	if (!strcmp(value, "1"))
		return 0;
	pinw_phrase_add(why, "a version this Pinwarden does not know");
	return -EINVAL;
}

static int read_count(struct pinw_draft *d, const struct pinw_key *key, const char *value, uint64_t *ret,
                      struct pinw_phrase *why)
{
	unsigned cpus = pinw_mask_width(d->host->baseline, d->host->mask_words);
	int r = pinw_value_count(value, cpus, key->least, ret, why);

	if (r < 0 && why->len && !strncmp(key->name, "max_threads", strlen("max_threads")))
		pinw_phrase_add(why, " (the main thread counts)");
	return r;
}

static int read_width(struct pinw_draft *d, const struct pinw_key *key, const char *value, uint32_t *ret,
                      struct pinw_phrase *why)
{
	uint64_t width;
	int r = read_count(d, key, value, &width, why);

	if (r == 0)
		*ret = (uint32_t)width;
	return r;
}

static int read_value(struct pinw_draft *d, const struct pinw_key *key, const char *value, void *field,
                      struct pinw_phrase *why)
{
	switch ((enum pinw_type)key->type) {
	case PINW_TYPE_VERSION:
		return read_version(value, why);
	case PINW_TYPE_MODE:
		return pinw_value_mode(value, field, why);
	case PINW_TYPE_STOP:
		return pinw_value_stop(value, field, why);
	case PINW_TYPE_TEXT:
		return read_text(d, value, field, why);
	case PINW_TYPE_GLOB:
		return read_glob(d, key, value, why);
	case PINW_TYPE_COUNT:
		return read_count(d, key, value, field, why);
	case PINW_TYPE_WIDTH:
		return read_width(d, key, value, field, why);
	case PINW_TYPE_RATE:
		return pinw_value_rate(value, field, why);
	case PINW_TYPE_DURATION:
		return pinw_value_duration(value, key->least, field, why);
	case PINW_TYPE_CPUS:
		return read_cpus(d, value, field, why);
	case PINW_TYPE_ACTION:
		return pinw_value_action(value, key->actions, field, why);
	case PINW_TYPE_CALLS:
		return pinw_value_calls(value, field, why);
	case PINW_TYPE_KIND:
		return pinw_value_kind(value, field, why);
	case PINW_TYPE_LEAKS:
		return pinw_value_leaks(value, field, why);
	case PINW_TYPE_ERRNO:
		return pinw_value_errno(value, field, why);
	case PINW_TYPE_YES_NO:
		return pinw_value_yes_no(value, field, why);
	case PINW_TYPE_DATE:
		return pinw_value_date(value, field, why);
	}
	return -EINVAL;
}

/* The field of a limit's own rule. */
static void *open_cap(struct pinw_draft *d, const struct pinw_key *key)
{
	struct pinw_rule *rule = open_rule(d, key->name);

	if (!rule)
		return NULL;
	rule->cap = key->part;
	rule->is_warning = key->place == PINW_PLACE_CAP_WARNING;
	if (key->type == PINW_TYPE_RATE)
		return &rule->rate;
	return key->type == PINW_TYPE_CPUS ? (void *)&rule->cpus : (void *)&rule->limit;
}

/* Where a key's value goes; NULL when there is no room for it. */
static void *field_of(struct pinw_draft *d, const struct pinw_key *key)
{
	switch ((enum pinw_place)key->place) {
	case PINW_PLACE_POLICY:
		return (char *)d->policy + key->offset;
	case PINW_PLACE_RULE:
		return (char *)d->rule + key->offset;
	case PINW_PLACE_CAP:
	case PINW_PLACE_CAP_WARNING:
		return open_cap(d, key);
	case PINW_PLACE_CAP_ACTION:
		return &d->cap_actions[key->part];
	case PINW_PLACE_LEAK:
		return &d->leak_action;
	case PINW_PLACE_LEAK_TIME:
		return &d->leak_times[key->part];
	}
	return NULL;
}

static void open_leak(struct pinw_draft *d, const struct pinw_key *key)
{
	struct pinw_rule *rule = d->leak_action ? open_rule(d, key->name) : NULL;

	if (!rule)
		return;
	rule->leak = key->part;
	rule->action = d->leak_action;
}

/* ---- keys -------------------------------------------------------------------------------------------------- */

static void fail_unknown_key(struct pinw_draft *d, const char *name)
{
	enum pinw_section home = pinw_key_home(name);
	const char *nearest = home ? NULL : pinw_key_nearest(d->section, name);
	struct pinw_phrase t = pinw_draft_fail(d, d->line, name);

	if (home) {
		pinw_phrase_add(&t, "not a key of [%s], but of [%s]", pinw_section_name(d->section),
		                pinw_section_name(home));
		return;
	}
	pinw_phrase_add(&t, "unknown key '%s'", name);
	if (nearest) {
		pinw_phrase_add(&t, "; did you mean '%s'?", nearest);
		return;
	}
	pinw_phrase_add(&t, "; [%s] has ", pinw_section_name(d->section));
	const char *comma = "";
	for (unsigned i = 0; i < pinw_key_count; i++) {
		if (!(pinw_keys[i].sections >> d->section & 1))
			continue;
		pinw_phrase_add(&t, "%s%s", comma, pinw_keys[i].name);
		comma = ", ";
	}
}

static void fail_value(struct pinw_draft *d, const struct pinw_key *key, const char *value, const char *why)
{
	struct pinw_phrase t = pinw_draft_fail(d, d->line, key->name);

	if (*why)
		pinw_phrase_add(&t, "'%s': %s; expected %s", value, why, key->expected);
	else
		pinw_phrase_add(&t, "'%s' is not understood; expected %s", value, key->expected);
}

static void take_key(struct pinw_draft *d, const char *name, const char *value)
{
	const struct pinw_key *key = pinw_key_find(d->section, name);
	char buf[256];
	struct pinw_phrase why = pinw_phrase_start(buf, sizeof(buf));

	if (!key) {
		fail_unknown_key(d, name);
		return;
	}
	uint32_t *line = &d->key_lines[key - pinw_keys];
	if (*line && !key->is_list) {
		struct pinw_phrase t = pinw_draft_fail(d, d->line, name);
		pinw_phrase_add(&t, "given twice; first at line %u", *line);
		return;
	}
	if (!*line)
		*line = d->line;
	void *field = field_of(d, key);
	if (!field)
		return;
	if (read_value(d, key, value, field, &why) < 0)
		fail_value(d, key, value, buf);
	if (key->place == PINW_PLACE_LEAK)
		open_leak(d, key);
	if (key->type == PINW_TYPE_STOP)
		d->policy->on_invalid_given = true;
}

/* What inih found. The section it says is not used: it may be cut. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
	struct pinw_draft *d = user;

	(void)section;
	if (d->failed || !name || !value)
		return !d->failed;
	if (!d->section)
		fail(d, name, "a key before the first [section]");
	else
		take_key(d, name, value);
	return !d->failed;
}

static void read_all(struct pinw_draft *d)
{
	/* Debian builds inih with these as variables. The values are always the same, so that two parsers at once do not
	 * disturb each other. A line fits its buffer on the stack; continuations and blanks before keys do not exist. */
	ini_use_stack = true;
	ini_max_line = PINW_POLICY_LINE_MAX + 3;
	ini_allow_multiline = false;
	ini_allow_no_value = false;
	ini_allow_bom = false;
	ini_stop_on_first_error = true;
	int r = ini_parse_stream(read_line, d, on_key, d);
	if (r != 0 && !d->failed)
		fail(d, "", "expected [section], or key = value");
	close_section(d);
}

/* ---- the whole ------------------------------------------------------------------------------------------------ */

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

static void start(struct pinw_draft *d, size_t len, const char *path)
{
	size_t path_len = strlen(path);

	d->policy = pinw_draft_alloc(d, sizeof(*d->policy), _Alignof(struct pinw_policy));
	d->rule_max = (uint32_t)rules_of(count_headings(d->at, len));
	d->rules = pinw_draft_alloc(d, d->rule_max * sizeof(*d->rules), _Alignof(struct pinw_rule));
	d->name_hashes = pinw_draft_alloc(d, d->rule_max * sizeof(uint32_t), _Alignof(uint32_t));
	if (d->failed)
		return;
	*d->policy = (struct pinw_policy){
	    .path = copy_text(d, path, path_len < PATH_MAX_BYTES ? path_len : PATH_MAX_BYTES - 1),
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

static void finish(struct pinw_draft *d)
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

int pinw_policy_parse(const char *text, size_t len, const char *path, const struct pinw_policy_host *host,
                      struct pinw_policy_memory *memory, const struct pinw_policy **ret_policy,
                      struct pinw_policy_error *ret_error)
{
	size_t used = memory->used;
	struct pinw_draft d = {
	    .host = host, .memory = memory, .at = text, .end = text + len, .error = ret_error};

	if (len > PINW_POLICY_BYTES_MAX) {
		struct pinw_phrase t = pinw_draft_fail(&d, 0, "");
		pinw_phrase_add(&t, "%lu bytes; a policy has at most %u", (unsigned long)len,
		                PINW_POLICY_BYTES_MAX);
		return d.failed;
	}
	start(&d, len, path);
	if (!d.failed)
		read_all(&d);
	if (!d.failed)
		finish(&d);
	if (d.failed) {
		memory->used = used;
		return d.failed;
	}
	*ret_policy = d.policy;
	return 0;
}
