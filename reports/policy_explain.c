/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/keys.h"
#include "reports/policy_cmds.h"
#include "reports/policy_file.h"
#include "reports/say.h"
#include "reports/term.h"

#define WORDS_BYTES 16384u
#define NEAR_MAX 3u

static const char help_text[] =
    "Usage: pinwarden policy explain [RULE] FILE\n"
    "       pinwarden policy explain [RULE] -p FILE\n"
    "       pinwarden policy explain KEY\n"
    "\n"
    "Says in words what a rule matches and what then happens. A RULE is its label\n"
    "(ban:NAME, caps:max_threads), its name, its key, or a line of the file; without\n"
    "one, every rule is explained. Without a FILE, a KEY or a section of the format\n"
    "is explained.\n"
    "\n"
    "  -p, --policy=FILE  the policy\n"
    "  -h, --help         this text\n"
    "\n"
    "Example: pinwarden policy explain caps:max_threads staging.ini\n"
    "\n"
    "Exit status: 0 explained; 2 no such rule or key, the policy is not valid, or\n"
    "wrong usage.\n";

/* ---- rules ---------------------------------------------------------------------------- */

static void explain_rule(struct pinw_term *t, const struct pinw_policy *p, const struct pinw_rule *rule)
{
	char *words = malloc(WORDS_BYTES);

	if (!words) {
		t->out_of_memory = true;
		return;
	}
	size_t len = pinw_policy_explain(p, rule, words, WORDS_BYTES);
	pinw_term_put_foreign(t, words, len);
	pinw_term_end(t, 2, PINW_STYLE_PLAIN);
	free(words);
}

static bool is_line(const char *word, unsigned long *ret_line)
{
	char *end;

	errno = 0;
	*ret_line = strtoul(word, &end, 10);
	return isdigit((unsigned char)word[0]) && !*end && !errno;
}

/* A line stands for the rule that it is a part of: the last one that begins at or before it. */
static const struct pinw_rule *rule_at_line(const struct pinw_policy *p, unsigned long line)
{
	const struct pinw_rule *found = NULL;

	for (uint32_t i = 0; i < p->rule_count; i++)
		if (p->rules[i].line <= line && (!found || p->rules[i].line >= found->line))
			found = &p->rules[i];
	return found;
}

/* A name may stand in several sections: every rule of that name or label. Returns how many. */
static unsigned explain_named(struct pinw_term *t, const struct pinw_policy *p, const char *word)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < p->rule_count; i++) {
		const struct pinw_rule *rule = &p->rules[i];
		if (strcmp(rule->label, word) == 0 || strcmp(rule->name, word) == 0) {
			explain_rule(t, p, rule);
			count++;
		}
	}
	return count;
}

static const struct pinw_rule *nearest_rule(const struct pinw_policy *p, const char *word, const bool *passed)
{
	const char **words = calloc(2 * (size_t)p->rule_count + 1, sizeof(*words));
	const struct pinw_rule *found = NULL;
	unsigned count = 0;

	for (uint32_t i = 0; words && i < p->rule_count; i++)
		if (!passed[i]) {
			words[count++] = p->rules[i].label;
			words[count++] = p->rules[i].name;
		}
	const char *nearest = words ? pinw_word_nearest(words, count, word) : NULL;
	for (uint32_t i = 0; nearest && i < p->rule_count && !found; i++)
		if (!passed[i] && (p->rules[i].label == nearest || p->rules[i].name == nearest))
			found = &p->rules[i];
	free(words);
	return found;
}

static void complain_unknown(const struct pinw_policy *p, const char *word)
{
	bool *passed = calloc(p->rule_count + 1, sizeof(*passed));
	char near[512];
	size_t len = 0;

	for (unsigned i = 0; passed && i < NEAR_MAX && len < sizeof(near); i++) {
		const struct pinw_rule *rule = nearest_rule(p, word, passed);
		if (!rule)
			break;
		passed[rule - p->rules] = true;
		len += (size_t)snprintf(near + len, sizeof(near) - len, "%s%s", len ? ", " : "", rule->label);
	}
	free(passed);
	if (len)
		pinw_say("policy explain: %s has no rule '%s'; the nearest: %s", p->path, word, near);
	else
		pinw_say("policy explain: %s has no rule '%s'; to read them all, type: pinwarden policy "
		         "explain %s",
		         p->path, word, p->path);
}

/* `lines`: of the file. */
static int explain_in(struct pinw_term *t, const struct pinw_policy *p, const char *word, unsigned long lines)
{
	unsigned long line;

	for (uint32_t i = 0; !word && i < p->rule_count; i++)
		explain_rule(t, p, &p->rules[i]);
	if (!word && !p->rule_count)
		pinw_term_line(t, 0, PINW_STYLE_PLAIN, "The policy has no rules.");
	if (!word || explain_named(t, p, word))
		return PINW_POLICY_CLEAN;
	const struct pinw_rule *rule = is_line(word, &line) && line <= lines ? rule_at_line(p, line) : NULL;
	if (rule) {
		explain_rule(t, p, rule);
		return PINW_POLICY_CLEAN;
	}
	complain_unknown(p, word);
	return PINW_POLICY_BAD;
}

/* ---- the format ------------------------------------------------------------------------- */

static void explain_key_of(struct pinw_term *t, enum pinw_section section, const struct pinw_key *key)
{
	pinw_term_put(t, "%s in %s%s", key->name, pinw_sections[section].form,
	              key->is_list ? " (may be repeated)" : "");
	pinw_term_end(t, 2, PINW_STYLE_HEADING);
	pinw_term_put(t, "  %c%s. Expects %s. Without it: %s.", toupper((unsigned char)key->meaning[0]),
	              key->meaning + 1, key->expected, key->fallback);
	pinw_term_end(t, 2, PINW_STYLE_PLAIN);
}

static void explain_section(struct pinw_term *t, enum pinw_section section)
{
	pinw_term_line(t, 2, PINW_STYLE_HEADING, "%s: %s", pinw_sections[section].form,
	               pinw_sections[section].meaning);
	for (unsigned i = 0; i < pinw_key_count; i++)
		if (pinw_keys[i].sections & 1u << section)
			pinw_term_line(t, 30, PINW_STYLE_PLAIN, "  %-26s  %s", pinw_keys[i].name,
			               pinw_keys[i].meaning);
}

/* Is `word` one of the words of `text`? */
static bool has_word(const char *text, const char *word)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at++)
		if ((at == text || !strchr(letters, at[-1])) && (!at[len] || !strchr(letters, at[len])))
			return true;
	return false;
}

/* The first key that may have `word` for a value, such as call for golock; NULL when there is none. */
static const char *key_of_value(const char *word)
{
	for (unsigned i = 0; *word && i < pinw_key_count; i++)
		if (has_word(pinw_keys[i].expected, word))
			return pinw_keys[i].name;
	return NULL;
}

static int complain_no_key(const char *word)
{
	const char *nearest = pinw_section_nearest(word), *key = key_of_value(word);
	char quoted[128];

	for (enum pinw_section s = PINW_SECTION_POLICY; !nearest && s <= PINW_SECTION_SUPPRESS; s++)
		nearest = pinw_key_nearest(s, word);
	pinw_say_quote(word, quoted, sizeof(quoted));
	if (key)
		pinw_say("policy explain: '%s' is no key of a policy but a word for values; type: pinwarden "
		         "policy explain %s",
		         word, key);
	else if (nearest)
		pinw_say("policy explain: '%s' is no key of a policy; did you mean %s?", word, nearest);
	else
		pinw_say("policy explain: '%s' is no key of a policy; all are in: man 5 pinwarden-policy",
		         word);
	pinw_say("policy explain: is it a rule? Then type: pinwarden policy explain %s FILE", quoted);
	return PINW_POLICY_BAD;
}

/* A section may be written as in a file: [caps] */
static enum pinw_section section_of(const char *word)
{
	char name[PINW_WORD_MAX] = "";

	if (sscanf(word, "[%31[a-z]", name) == 1 && word[strlen(word) - 1] == ']')
		return pinw_section_find(name);
	return pinw_section_find(word);
}

static int explain_word(struct pinw_term *t, const char *word)
{
	enum pinw_section named = section_of(word);
	unsigned count = named != 0;

	if (named)
		explain_section(t, named);
	for (enum pinw_section s = PINW_SECTION_POLICY; s <= PINW_SECTION_SUPPRESS; s++) {
		const struct pinw_key *key = pinw_key_find(s, word);
		if (key)
			explain_key_of(t, s, key);
		count += key != NULL;
	}
	return count ? PINW_POLICY_CLEAN : complain_no_key(word);
}

static unsigned long lines_of(const struct pinw_policy_file *file)
{
	unsigned long lines = 0;

	for (size_t i = 0; i < file->len; i++)
		lines += file->text[i] == '\n' || i + 1 == file->len;
	return lines;
}

/* ---- the command ------------------------------------------------------------------------- */

static int explain_file(struct pinw_term *t, const char *path, const char *word)
{
	struct pinw_policy_here here;
	struct pinw_policy_file file;
	struct pinw_policy_parsed parsed = {0};
	struct pinw_policy_error wrong = {0};
	int status = PINW_POLICY_BAD;

	pinw_policy_here(&here);
	int error = pinw_policy_file_read(&file, path, &wrong);
	if (error == 0)
		error = pinw_policy_file_parse(&file, &here.host, &parsed, &wrong);
	if (error == 0)
		status = explain_in(t, parsed.policy, word, lines_of(&file));
	else if (wrong.text[0])
		pinw_policy_file_complain(path, &wrong);
	else
		pinw_say("policy explain: %s: %s", path, strerror(-error));
	pinw_policy_parsed_done(&parsed);
	pinw_policy_file_done(&file);
	return status;
}

/* One word alone is the file when there is one of that name, else a key. */
static int explain_words(struct pinw_term *t, int count, char **words, const char *path)
{
	if (path && count <= 1)
		return explain_file(t, path, count ? words[0] : NULL);
	if (!path && count == 2)
		return explain_file(t, words[1], words[0]);
	if (!path && count == 1) {
		bool known = section_of(words[0]) || pinw_key_home(words[0]);
		if (!known && access(words[0], F_OK) == 0)
			return explain_file(t, words[0], NULL);
		return explain_word(t, words[0]);
	}
	pinw_say("policy explain: name a policy, a rule and a policy, or a key; type: pinwarden policy "
	         "explain FILE; "
	         "see: pinwarden policy explain --help");
	return PINW_POLICY_BAD;
}

int pinw_policy_explain_cmd(int argc, char **argv)
{
	static const struct option options[] = {
	    {"policy", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct pinw_term term;
	const char *path = NULL;
	int option;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":p:h", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(help_text, stdout);
			return fflush(stdout) == 0 ? PINW_POLICY_CLEAN : PINW_POLICY_BAD;
		}
		if (option != 'p')
			return pinw_policy_usage("explain", option, argv, "-p and -h");
		path = optarg;
	}
	pinw_term_init(&term, stdout, false);
	int status = explain_words(&term, argc - optind, argv + optind, path);
	int error = pinw_term_done(&term);
	if (error < 0)
		pinw_say("policy explain: standard output: %s", strerror(-error));
	return error < 0 ? PINW_POLICY_BAD : status;
}
