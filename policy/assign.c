/* SPDX-License-Identifier: MIT */
#include "policy/draft.h"

#include <errno.h>
#include <string.h>

#include "policy/mask.h"
#include "policy/values.h"

/* ---- values ---------------------------------------------------------------------------------- */

static int read_text(struct pinw_draft *d, const char *value, const char **ret, struct pinw_phrase *why)
{
	size_t len = strlen(value);

	if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
		pinw_phrase_add(why, "quotes would be part of it; leave them out");
		return -EINVAL;
	}
	*ret = pinw_draft_copy(d, value, len);
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
	struct pinw_rule *rule = pinw_draft_open_rule(d, key->name);

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
	struct pinw_rule *rule = d->leak_action ? pinw_draft_open_rule(d, key->name) : NULL;

	if (!rule)
		return;
	rule->leak = key->part;
	rule->action = d->leak_action;
}

/* ---- keys ------------------------------------------------------------------------------------ */

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

void pinw_draft_take_key(struct pinw_draft *d, const char *name, const char *value)
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
