/* SPDX-License-Identifier: MIT
 *
 * inih splits lines into keys and values and strips comments. What it would let pass in
 * silence is refused by the reader that hands it the lines: headings it cuts after 49
 * bytes, indented keys it takes for continuations, ':' it takes for '=', text behind a
 * heading, NUL, overlong lines. Only this file knows inih.
 */
#include "policy/draft.h"

#include <errno.h>
#include <ini.h>
#include <string.h>

/* ---- headings -------------------------------------------------------------------------------- */

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
                      const char *text, size_t len, char name[PINW_RULE_NAME_MAX + 1])
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
	if (!len || len > PINW_RULE_NAME_MAX) {
		t = pinw_draft_fail(d, d->line, key);
		pinw_phrase_add(&t, "expected a name of 1 to %u bytes", PINW_RULE_NAME_MAX);
		return false;
	}
	if (memchr(text, '"', len) || memchr(text, ';', len) || is_blank(text[0]) ||
	    is_blank(text[len - 1])) {
		pinw_draft_say(d, key,
		               "a name holds no quote and no ';', and neither begins nor ends with a blank");
		return false;
	}
	memcpy(name, text, len);
	name[len] = '\0';
	return true;
}

/* What is between the brackets. */
static void read_heading(struct pinw_draft *d, const char *key, const char *text, size_t len)
{
	char word[PINW_WORD_MAX + 2], name[PINW_RULE_NAME_MAX + 1] = "";
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
		pinw_draft_open_section(d, section, key, name);
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
		pinw_draft_say(d, key, "the heading's ] is missing");
		return;
	}
	const char *rest = close + 1;
	size_t rest_len = (size_t)(line + len - rest);
	bool blank = rest_len && is_blank(*rest);
	trim(&rest, &rest_len);
	if (rest_len && (!blank || *rest != ';')) {
		pinw_draft_say(d, key,
		               *rest == '#'
		                   ? "a comment behind a heading begins with ' ;'"
		                   : "text behind the heading's ]; a name holds no ']', and keys have "
		                     "lines of their own");
		return;
	}
	read_heading(d, key, line + 1, (size_t)(close - line) - 1);
}

/* ---- lines ----------------------------------------------------------------------------------- */

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
		pinw_draft_say(d, key,
		               colon ? "a ':' where '=' was expected: key = value"
		                     : "expected [section], or key = value");
		return;
	}
	if (equals == line) {
		pinw_draft_say(d, "", "a key is missing before '='");
		return;
	}
	const char *value = equals + 1;
	size_t value_len = (size_t)(line + code - value);
	trim(&value, &value_len);
	if (!value_len || *value == ';')
		pinw_draft_say(d, key, "the value is missing");
	else if (*value == '#' || comment_at(value, value_len, '#') < value_len)
		pinw_draft_say(
		    d, key,
		    "a '#' in the value; a comment behind a value begins with ' ;', or has its own line");
}

static void check_bytes(struct pinw_draft *d, const char *line, size_t len)
{
	if (memchr(line, '\0', len)) {
		pinw_draft_say(d, "", "a NUL byte; a policy is text");
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
			pinw_draft_say(d, "", "a control character; a policy is text");
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
		pinw_draft_say(d, "", "an indented line; keys and headings begin in the first column");
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

/* ---- inih ------------------------------------------------------------------------------------ */

/* What inih found. The section it says is not used: it may be cut. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
	struct pinw_draft *d = user;

	(void)section;
	if (d->failed || !name || !value)
		return !d->failed;
	if (!d->section)
		pinw_draft_say(d, name, "a key before the first [section]");
	else
		pinw_draft_take_key(d, name, value);
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
		pinw_draft_say(d, "", "expected [section], or key = value");
	pinw_draft_close_section(d);
}

/* ---- the whole ------------------------------------------------------------------------------- */

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
	pinw_draft_start(&d, len, path);
	if (!d.failed)
		read_all(&d);
	if (!d.failed)
		pinw_draft_finish(&d);
	if (d.failed) {
		memory->used = used;
		return d.failed;
	}
	*ret_policy = d.policy;
	return 0;
}
