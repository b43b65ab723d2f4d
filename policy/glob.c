/* SPDX-License-Identifier: MIT */
#include "policy/match.h"

/* The end of the character that starts at `text`: a `?` takes a whole UTF-8 sequence, as Go and Rust names can have. */
static const char *after_character(const char *text)
{
	text++;
	while (((unsigned char)*text & 0xc0) == 0x80)
		text++;
	return text;
}

/* When a part after a `*` does not fit, only that last star can still help by taking one character more: an earlier star
 * taking more would merely leave less text for the same rest. So no stack of stars is kept, and the work is at most
 * length of glob times length of text. */
bool pinw_glob_match(const char *glob, const char *text)
{
	const char *after_star = NULL, *star_end = NULL;

	while (*text) {
		if (*glob == '*') {
			after_star = ++glob;
			star_end = text;
			if (!*glob)
				return true;
		} else if (*glob == '?') {
			glob++;
			text = after_character(text);
		} else if (*glob == *text) {
			glob++;
			text++;
		} else if (after_star) {
			glob = after_star;
			text = ++star_end;
		} else {
			return false;
		}
	}
	while (*glob == '*')
		glob++;
	return !*glob;
}
