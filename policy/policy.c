/* SPDX-License-Identifier: MIT */
#include "policy/policy.h"

#include <string.h>

#include "policy/keys.h"
#include "policy/phrase.h"

/* ---- names -------------------------------------------------------------------------------------- */

const char *pinw_action_name(enum pinw_action action)
{
	static const char *const names[] = {"none", "log", "deny", "reset", "crash"};

	return (unsigned)action <= PINW_ACTION_CRASH ? names[action] : "?";
}

const char *pinw_section_name(enum pinw_section section)
{
	return section && (unsigned)section <= PINW_SECTION_SUPPRESS ? pinw_sections[section].name : "?";
}

const char *pinw_mode_name(enum pinw_mode mode)
{
	return mode == PINW_MODE_AUDIT ? "audit" : mode == PINW_MODE_ENFORCE ? "enforce" : "?";
}

/* The key that is about one leak or one limit. */
static const char *key_name(enum pinw_place place, unsigned part)
{
	for (unsigned i = 0; i < pinw_key_count; i++)
		if (pinw_keys[i].place == place && pinw_keys[i].part == part)
			return pinw_keys[i].name;
	return "?";
}

const char *pinw_policy_leak_name(enum pinw_policy_leak leak)
{
	return key_name(PINW_PLACE_LEAK, leak);
}

/* ---- Go locks -------------------------------------------------------------------------------------- */

static bool is_on_attempts(const struct pinw_rule *rule)
{
	return rule->section == PINW_SECTION_BAN || rule->section == PINW_SECTION_ALLOW;
}

bool pinw_rule_is_on_golocks(const struct pinw_rule *rule)
{
	if (rule->section == PINW_SECTION_CAPS)
		return rule->cap == PINW_CAP_MAX_PINNED;
	return is_on_attempts(rule) && (!rule->calls || (rule->calls & PINW_CALLS_GOLOCK)) &&
	       rule->kinds != PINW_KINDS_CPU && !rule->cpus;
}

bool pinw_rule_names_golocks(const struct pinw_rule *rule)
{
	return is_on_attempts(rule) && pinw_rule_is_on_golocks(rule) &&
	       ((rule->calls & PINW_CALLS_GOLOCK) || rule->kinds == PINW_KINDS_GO);
}

bool pinw_rule_is_about_golocks(const struct pinw_rule *rule)
{
	return pinw_rule_names_golocks(rule) ||
	       (rule->section == PINW_SECTION_REQUIRE && rule->kinds == PINW_KINDS_GO) ||
	       (rule->section == PINW_SECTION_LEAK && rule->leak == PINW_PLEAK_UNBALANCED);
}

bool pinw_rule_is_golocks_only(const struct pinw_rule *rule)
{
	return is_on_attempts(rule) && (rule->calls == PINW_CALLS_GOLOCK || rule->kinds == PINW_KINDS_GO);
}

bool pinw_rule_spares_golocks(const struct pinw_policy *policy, const struct pinw_rule *rule)
{
	return !policy->deny_golocks && rule->action == PINW_ACTION_DENY && pinw_rule_is_on_golocks(rule);
}

bool pinw_rule_acts_on_golocks(const struct pinw_policy *policy, const struct pinw_rule *rule)
{
	bool crash = rule->action == PINW_ACTION_CRASH;

	if (rule->section == PINW_SECTION_LEAK)
		return crash &&
		       (rule->leak == PINW_PLEAK_EXIT_WHILE_PINNED ||
		        rule->leak == PINW_PLEAK_PINNED_AT_END || rule->leak == PINW_PLEAK_UNBALANCED);
	if (rule->section == PINW_SECTION_REQUIRE)
		return crash && rule->kinds == PINW_KINDS_GO;
	return pinw_rule_is_on_golocks(rule) &&
	       (crash || (rule->action == PINW_ACTION_DENY && policy->deny_golocks));
}

/* ---- errors --------------------------------------------------------------------------------------- */

size_t pinw_policy_error_print(char *buf, size_t size, const char *path, const struct pinw_policy_error *e)
{
	struct pinw_phrase t = pinw_phrase_start(buf, size);

	if (path && *path)
		pinw_phrase_add(&t, "%s:", path);
	if (e->line)
		pinw_phrase_add(&t, "%u:", e->line);
	if (t.len)
		pinw_phrase_add(&t, " ");
	if (*e->key)
		pinw_phrase_add(&t, "%s: ", e->key);
	pinw_phrase_add(&t, "%s", e->text);
	return t.len;
}

/* ---- may it be obeyed -------------------------------------------------------------------------------- */

const char *pinw_policy_distrust(const struct stat *st, uid_t uid)
{
	if (S_ISDIR(st->st_mode))
		return "is a directory; expected a file";
	if (!S_ISREG(st->st_mode))
		return "is not a regular file";
	if (st->st_uid != uid && st->st_uid != 0)
		return "belongs to another user; its owner must be root or the user whose program it governs";
	if (st->st_mode & S_IWOTH)
		return "is writable by other users; chmod go-w";
	if (st->st_mode & S_IWGRP)
		return "is writable by its group; chmod go-w";
	if (st->st_size > (off_t)PINW_POLICY_BYTES_MAX)
		return "is larger than 1 MiB, the most a policy may have";
	return NULL;
}

/* ---- an invalid one -------------------------------------------------------------------------------------- */

/* What could be read of [policy]. */
struct glimpse {
	bool section; /* there is one */
	bool audit, enforce, unknown_mode;
	bool stop, go_on;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **text, size_t *len)
{
	while (*len && is_space(**text))
		++*text, --*len;
	while (*len && is_space((*text)[*len - 1]))
		--*len;
}

static bool is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(text, word, len);
}

/* One "key = value" line of [policy]; a comment behind the value is not part of it. */
static void glimpse_key(struct glimpse *g, const char *line, size_t len)
{
	const char *equals = memchr(line, '=', len);

	if (!equals)
		return;
	const char *value = equals + 1;
	size_t key_len = (size_t)(equals - line), value_len = len - key_len - 1;
	const char *comment = memchr(value, ';', value_len);
	if (comment)
		value_len = (size_t)(comment - value);
	trim(&line, &key_len);
	trim(&value, &value_len);
	if (is_word(line, key_len, "on_invalid")) {
		g->stop |= is_word(value, value_len, "stop");
		g->go_on |= is_word(value, value_len, "continue");
	}
	if (!is_word(line, key_len, "mode"))
		return;
	bool audit = is_word(value, value_len, "audit"), enforce = is_word(value, value_len, "enforce");
	g->audit |= audit;
	g->enforce |= enforce;
	g->unknown_mode |= !audit && !enforce;
}

static struct glimpse glimpse(const char *text, size_t len)
{
	struct glimpse g = {0};
	bool inside = false;

	for (const char *p = text, *end = text + len; p < end;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p)), *line = p;
		size_t line_len = (size_t)((newline ? newline : end) - p);
		p += line_len + (newline != NULL);
		trim(&line, &line_len);
		if (line_len && *line == '[') {
			inside = line_len >= 8 && !memcmp(line, "[policy]", 8);
			g.section |= inside;
		} else if (inside) {
			glimpse_key(&g, line, line_len);
		}
	}
	return g;
}

bool pinw_policy_invalid_stops(const char *text, size_t len, enum pinw_mode mode)
{
	struct glimpse g = glimpse(text, len);

	if (g.stop || g.go_on)
		return g.stop;
	if (mode)
		return mode == PINW_MODE_ENFORCE;
	if (g.enforce || g.unknown_mode || !g.section)
		return true;
	/* A file without a mode audits; but a misspelt key may have asked for more. */
	return !g.audit && memmem(text, len, "enforce", strlen("enforce"));
}
