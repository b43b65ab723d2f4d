/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "policy/goname.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

Test(goname, knows_its_package_its_function_and_what_makes_it_a_closure)
{
	static const struct {
		const char *name, *package, *inside, *last, *beyond;
	} cases[] = {
	    {"main.f", "main.f", "f", "f", ""},
	    {"net/http.(*conn).serve", "http.(*conn).serve", "(*conn).serve", "serve", ""},
	    {"a/b.c/d.T.m.func1", "d.T.m.func1", "T.m.func1", "m.func1", ".func1"},
	    {"main.f.func1.2", "main.f.func1.2", "f.func1.2", "f.func1.2", ".func1.2"},
	    {"main.f.func1.f.func2", "main.f.func1.f.func2", "f.func1.f.func2", "f.func1.f.func2",
	     ".func1.f.func2"},
	    {"main.f.deferwrap1", "main.f.deferwrap1", "f.deferwrap1", "f.deferwrap1", ".deferwrap1"},
	    {"main.f.gowrap12", "main.f.gowrap12", "f.gowrap12", "f.gowrap12", ".gowrap12"},
	    {"main.f-range1", "main.f-range1", "f-range1", "f-range1", "-range1"},
	    {"main.(*T).func1", "main.(*T).func1", "(*T).func1", "func1", ""},
	    {"main.func1", "main.func1", "func1", "func1", ""},
	    {"main.f.function", "main.f.function", "f.function", "function", ""},
	    {"main.glob..func1", "main.glob..func1", "glob..func1", "func1", ""},
	    {"main.Map[example.org/x.T]", "main.Map[example.org/x.T]", "Map[example.org/x.T]",
	     "Map[example.org/x.T]", ""},
	};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		const char *name = cases[i].name;
		struct pinw_goname n;

		cr_assert(pinw_goname_split(name, &n), "%s", name);
		cr_expect_str_eq(name + n.package, cases[i].package);
		cr_expect_str_eq(name + n.inside, cases[i].inside);
		cr_expect_str_eq(name + n.last, cases[i].last);
		cr_expect_str_eq(name + n.end, cases[i].beyond);
	}
}

Test(goname, is_no_name_without_a_package)
{
	static const char *const names[] = {"",       "main", ".f",  "main.", "f.1",
	                                    "f.12.x", "a/b",  "f()", "[x.y]"};

	for (unsigned i = 0; i < COUNT(names); i++) {
		struct pinw_goname n;
		cr_expect_not(pinw_goname_split(names[i], &n), "%s", names[i]);
	}
}

Test(goname, closures_belong_to_their_function)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
	    {"main.f", "main.f", true},
	    {"main.f", "main.g", false},
	    {"main.f", "main.f.func1", true},
	    {"main.f.func2", "main.f.func1.1", true},
	    {"main.f.deferwrap1", "main.f.gowrap1", true},
	    {"main.f.func1", "main.g.func1", false},
	    {"main.f", "main.ff.func1", false},
	    {"main.(*T).m", "main.(*T).m.func1", true},
	    {"main.(*T).m", "main.(*U).m", false},
	    {"main.T.m.func1", "other.T.m.func1", false},
	    {"main.outer.inner.func1", "main.inner", true}, /* written in inner, which was inlined */
	    {"main.outer.inner.func1", "main.outer", false},
	    {"main.outer.inner", "main.inner", false}, /* a method */
	    {"main.glob..func1", "main.glob..func2", false},
	    {"thread_start", "thread_start", true},
	    {"thread_start", "main.f", false},
	};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		cr_expect_eq(pinw_goname_same(cases[i].a, cases[i].b), cases[i].same, "%s %s", cases[i].a,
		             cases[i].b);
		cr_expect_eq(pinw_goname_same(cases[i].b, cases[i].a), cases[i].same, "%s %s", cases[i].b,
		             cases[i].a);
	}
}

static bool pairs(const char *const lock[4], const char *const unlock[6])
{
	unsigned a = 0, b = 0;

	while (a < 4 && lock[a])
		a++;
	while (b < 6 && unlock[b])
		b++;
	return pinw_goname_pairs(lock, a, unlock, b);
}

Test(goname, locks_and_unlocks_pair_within_a_function)
{
	static const struct {
		const char *lock[4], *unlock[6];
		bool pair;
	} cases[] = {
	    {{"main.f", "main.main"}, {"main.f", "main.main"}, true},
	    {{"main.f", "main.main"}, {"main.g", "main.main"}, false},
	    {{"main.lock", "main.f"}, {"main.unlock", "main.f"}, false},
	    {{"main.f"}, {"runtime.UnlockOSThread", "main.f.deferwrap1", "main.f"}, true},
	    {{"main.f"}, {"runtime.UnlockOSThread", "runtime.deferreturn", "main.f"}, true},
	    /* deferred, and run by a panic in a function that f calls */
	    {{"main.f"},
	     {"runtime.UnlockOSThread", "runtime.gopanic", "main.g", "main.f", "main.main"},
	     true},
	    {{"main.f"}, {"runtime.UnlockOSThread", "runtime.Goexit", "main.g", "main.f"}, true},
	    {{"main.f"}, {"runtime.UnlockOSThread", "runtime.gopanic", "main.g", "main.h"}, false},
	    {{"main.f"}, {"main.g", "runtime.gopanic", "main.f"}, false}, /* a function of its own */
	    /* nothing is known */
	    {{"runtime.main"}, {"main.f"}, true},
	    {{NULL}, {"main.f"}, true},
	    {{"main.f"}, {NULL}, true},
	};

	for (unsigned i = 0; i < COUNT(cases); i++)
		cr_expect_eq(pairs(cases[i].lock, cases[i].unlock), cases[i].pair, "case %u", i);
}
