/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "policy/match.h"

static const struct {
	const char *glob, *text;
	bool matches;
} cases[] = {
    {"", "", true},
    {"", "a", false},
    {"*", "", true},
    {"*", "anything", true},
    {"**", "", true},
    {"?", "", false},
    {"?", "a", true},
    {"?", "ab", false},
    {"abc", "abc", true},
    {"abc", "ab", false},
    {"abc", "abcd", false},
    {"a*c", "ac", true},
    {"a*c", "abbbc", true},
    {"a*c", "abbbcd", false},
    {"a?c", "abc", true},
    {"a?c", "ac", false},
    {"*a", "ba", true},
    {"*a", "ab", false},
    {"*ab", "aab", true},
    {"a*b*c", "a1b2b3c", true},
    {"a*b*c", "a1c2b3", false},
    {"*?", "", false},
    {"*?", "x", true},
    {"?*?", "x", false},
    {"*aab*", "aaaab", true},
    /* spellings of functions */
    {"*Handler", "RequestHandler", true},
    {"*Handler", "Handler", true},
    {"*Handler", "RequestHandlers", false},
    {"HttpServer::handle*", "HttpServer::handleRequest(int)", true},
    {"HttpServer::handle*", "ns::HttpServer::handleRequest(int)", false},
    {"net/http.(*conn).serve", "net/http.(*conn).serve", true},
    {"net/http.(*conn).serve", "net/http.(*conn).close", false},
    {"net/http.*", "net/http.(*conn).serve", true},
    {"std::vector<*>::push_back(*", "std::vector<int>::push_back(int const&)", true},
    {"operator*", "operator[](int)", true},
    /* all else itself */
    {"operator[]", "operator[]", true},
    {"operator[]", "operator]", false},
    {"[abc]", "a", false},
    {"[abc]", "[abc]", true},
    {"{a,b}", "a", false},
    {"\\*", "*", false},
    {"\\*", "\\anything", true},
    {"a.c", "abc", false},
    {"^a$", "a", false},
    {"Handler", "handler", false},
    /* a character is not a byte */
    {"?", "\xc3\xb6", true},
    {"gr?\xc3\x9f"
     "e",
     "gr\xc3\xb6\xc3\x9f"
     "e",
     true},
    {"??", "\xc3\xb6", false},
    {"?", "\xff", true}, /* not UTF-8: itself */
};

Test(glob, means_any_run_any_character_or_itself)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(pinw_glob_match(cases[i].glob, cases[i].text), cases[i].matches,
		             "\"%s\" on \"%s\"", cases[i].glob, cases[i].text);
}

/* Against the plainest definition there is, over all short globs and texts of a small alphabet. */
static bool plainly(const char *glob, const char *text)
{
	if (*glob == '*')
		return plainly(glob + 1, text) || (*text && plainly(glob, text + 1));
	if (!*glob || !*text)
		return *glob == *text;
	return (*glob == '?' || *glob == *text) && plainly(glob + 1, text + 1);
}

static void word(unsigned number, const char *alphabet, char *ret)
{
	unsigned n = (unsigned)strlen(alphabet) + 1;

	for (; number; number /= n)
		if (number % n)
			*ret++ = alphabet[number % n - 1];
	*ret = '\0';
}

Test(glob, agrees_with_its_definition_on_every_short_pattern)
{
	unsigned matched = 0;

	for (unsigned g = 0; g < 5 * 5 * 5 * 5 * 5; g++)
		for (unsigned t = 0; t < 3 * 3 * 3 * 3 * 3; t++) {
			char glob[6], text[6];

			word(g, "*?ab", glob);
			word(t, "ab", text);
			matched += plainly(glob, text);
			cr_assert_eq(pinw_glob_match(glob, text), plainly(glob, text), "\"%s\" on \"%s\"",
			             glob, text);
		}
	cr_assert_gt(matched, 10000u);
}

/* Exponential matching would take longer than the universe has; the runner's time limit says so. */
Test(glob, is_never_exponential)
{
	static char glob[4096], text[4096];

	for (unsigned i = 0; i < 998; i++)
		glob[i] = "a*"[i % 2];
	strcat(glob, "b");
	memset(text, 'a', sizeof(text) - 1);
	cr_assert_not(pinw_glob_match(glob, text));
	text[sizeof(text) - 2] = 'b';
	cr_assert(pinw_glob_match(glob, text));
	memset(glob, '*', sizeof(glob) - 1);
	cr_assert(pinw_glob_match(glob, text));
	memset(glob, 0, sizeof(glob));
	for (unsigned i = 0; i < 2000; i++)
		glob[i] = "*?"[i % 2];
	text[999] = '\0';
	cr_assert_not(pinw_glob_match(glob, text));
}
