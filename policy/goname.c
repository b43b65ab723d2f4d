/* SPDX-License-Identifier: MIT */
#include "policy/goname.h"

#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Behind a run of digits, of which there must be one; else NULL. */
static const char *after_digits(const char *text)
{
	if (!is_digit(*text))
		return NULL;
	while (is_digit(*text))
		text++;
	return text;
}

/* Behind the bracket that closes the one at `text`, or at the end. */
static const char *after_brackets(const char *text)
{
	unsigned depth = 0;

	for (; *text; text++) {
		depth += *text == '[' || *text == '(';
		if ((*text == ']' || *text == ')') && --depth == 0)
			return text + 1;
	}
	return text;
}

/* Does a suffix of the compiler's begin here? ".func1", ".func1.2", ".gowrap3", "-range1", "-fm" and the like. */
static bool is_suffix(const char *text)
{
	static const char *const words[] = {".func", ".gowrap", ".deferwrap", "-range"};
	const char *end;

	if (strcmp(text, "-fm") == 0)
		return true;
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i]);

		if (strncmp(text, words[i], len) == 0 && (end = after_digits(text + len)) &&
		    (!*end || *end == '.' || *end == '-'))
			return true;
	}
	return false;
}

/* Where the package's path ends: its last slash. Type parameters can hold paths of their own. */
static const char *last_of_path(const char *name)
{
	size_t len = strcspn(name, "[(");

	for (size_t i = len; i; i--)
		if (name[i - 1] == '/')
			return name + i;
	return name;
}

bool pinw_goname_split(const char *name, struct pinw_goname *ret)
{
	const char *package = last_of_path(name), *dot = package + strcspn(package, ".[(");

	if (*dot != '.' || dot == package || !dot[1] || is_digit(dot[1]))
		return false;
	const char *at = dot + 1, *last = at;
	/* A method may be called func1, and a closure outside any function is "glob..func1". */
	while (*at && !(at > dot + 1 && at[-1] != ')' && at[-1] != '.' && is_suffix(at))) {
		if (*at == '(' || *at == '[') {
			at = after_brackets(at);
			continue;
		}
		if (*at == '.' && at[1] && !is_digit(at[1])) /* "init.0" is one name */
			last = at + 1;
		at++;
	}
	*ret = (struct pinw_goname){
	    .package = (size_t)(package - name),
	    .inside = (size_t)(dot + 1 - name),
	    .last = (size_t)(last - name),
	    .end = (size_t)(at - name),
	};
	return true;
}

bool pinw_goname_is_runtime(const char *name)
{
	return strncmp(name, "runtime.", 8) == 0;
}

/* A closure in a function that was inlined is named after both: "main.outer.inner.func1" is a closure of main.inner. */
static bool is_written_in(const char *closure, const struct pinw_goname *c, const char *name,
                          const struct pinw_goname *n)
{
	size_t whole = c->end - c->inside, part = n->end - n->inside;

	return closure[c->end] && whole > part && c->inside == n->inside &&
	       closure[c->end - part - 1] == '.' && memcmp(closure, name, c->inside) == 0 &&
	       memcmp(closure + c->end - part, name + n->inside, part) == 0;
}

bool pinw_goname_same(const char *a, const char *b)
{
	struct pinw_goname x, y;

	if (!pinw_goname_split(a, &x) || !pinw_goname_split(b, &y))
		return strcmp(a, b) == 0;
	return (x.end == y.end && memcmp(a, b, x.end) == 0) || is_written_in(a, &x, b, &y) ||
	       is_written_in(b, &y, a, &x);
}

/* The first frame that is not the runtime's, or `count`. *ret_cut: a panic or Goexit lies between it and the call. */
static unsigned caller(const char *const *names, unsigned count, bool *ret_cut)
{
	unsigned i = 0;

	*ret_cut = false;
	for (; i < count && pinw_goname_is_runtime(names[i]); i++)
		*ret_cut |=
		    strcmp(names[i], "runtime.gopanic") == 0 || strcmp(names[i], "runtime.Goexit") == 0;
	return i;
}

bool pinw_goname_pairs(const char *const *lock, unsigned lock_count, const char *const *unlock,
                       unsigned unlock_count)
{
	bool cut;
	unsigned a = caller(lock, lock_count, &cut), b = caller(unlock, unlock_count, &cut);

	if (a == lock_count || b == unlock_count || pinw_goname_same(lock[a], unlock[b]))
		return true;
	while (cut && ++b < unlock_count)
		if (pinw_goname_same(lock[a], unlock[b]))
			return true;
	return false;
}
