/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/spell.h"

static char buf[8192];

/* Spelled as these, in this order, and nothing else. */
static const struct {
	const char *symbol;
	const char *spellings[PINW_SPELLINGS_MAX];
} cases[] = {
    {"", {""}},
    {"main", {"main"}},
    {"worker_main.constprop.0", {"worker_main.constprop.0", "worker_main"}},
    {"f.isra.0.cold", {"f.isra.0.cold", "f"}},
    {"f.part.12", {"f.part.12", "f"}},
    {"f.cold", {"f.cold", "f"}},
    {"f.cold.3", {"f.cold.3", "f"}},
    {"f.lto_priv.0", {"f.lto_priv.0", "f"}},
    {"f.llvm.1234567890", {"f.llvm.1234567890", "f"}},
    {"f._omp_fn.0", {"f._omp_fn.0", "f"}},
    {"f.localalias", {"f.localalias", "f"}},
    {"f() [clone .cold]", {"f() [clone .cold]", "f()"}},
    {"pthread_create@@GLIBC_2.34", {"pthread_create@@GLIBC_2.34", "pthread_create"}},
    /* not suffixes */
    {"f.1", {"f.1"}},
    {"f.part.1x", {"f.part.1x", "part.1x"}},
    {"f.colder", {"f.colder", "colder"}},
    {".cold", {".cold"}},
    /* Go */
    {"main.worker", {"main.worker", "worker"}},
    {"net/http.(*conn).serve", {"net/http.(*conn).serve", "http.(*conn).serve", "(*conn).serve", "serve"}},
    {"net/http.HandlerFunc.ServeHTTP",
     {"net/http.HandlerFunc.ServeHTTP", "http.HandlerFunc.ServeHTTP", "HandlerFunc.ServeHTTP", "ServeHTTP"}},
    {"main.(*server).pinHandler.func1",
     {"main.(*server).pinHandler.func1", "main.(*server).pinHandler", "(*server).pinHandler", "pinHandler"}},
    {"example.org/a.b/c.Run.func2.1",
     {"example.org/a.b/c.Run.func2.1", "example.org/a.b/c.Run", "c.Run", "Run"}},
    {"main.Map[go.shape.int,example.org/x.T].func1",
     {"main.Map[go.shape.int,example.org/x.T].func1", "main.Map[go.shape.int,example.org/x.T]",
      "Map[go.shape.int,example.org/x.T]"}},
    {"main.(*T[...]).m-fm", {"main.(*T[...]).m-fm", "main.(*T[...]).m", "(*T[...]).m", "m"}},
    {"main.f.gowrap1", {"main.f.gowrap1", "main.f", "f"}},
    {"main.init.0", {"main.init.0", "init.0"}},
    {"runtime.goexit", {"runtime.goexit"}},
    /* not mangled, though another language's scheme might take it */
    {"_start", {"_start"}},
    {"_Zebra", {"_Zebra"}},
    {"_D3foo3barFZv", {"_D3foo3barFZv"}},
    /* C++ */
    {"_Z3foov", {"_Z3foov", "foo()", "foo"}},
    {"_ZN10HttpServer13handleRequestEi",
     {"_ZN10HttpServer13handleRequestEi", "HttpServer::handleRequest(int)", "HttpServer::handleRequest"}},
    {"_ZN10HttpServer13handleRequestEi.isra.0",
     {"_ZN10HttpServer13handleRequestEi.isra.0", "_ZN10HttpServer13handleRequestEi",
      "HttpServer::handleRequest(int)", "HttpServer::handleRequest"}},
    {"_Z3addIiET_S0_S0_", {"_Z3addIiET_S0_S0_", "int add<int>(int, int)", "add<int>"}},
    {"_ZN12_GLOBAL__N_17handlerEv",
     {"_ZN12_GLOBAL__N_17handlerEv", "(anonymous namespace)::handler()", "(anonymous namespace)::handler"}},
    {"_ZNK5Queue5emptyEv", {"_ZNK5Queue5emptyEv", "Queue::empty() const", "Queue::empty"}},
    {"_ZZ4mainENKUlvE_clEv",
     {"_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const", "main::{lambda()#1}::operator()"}},
    /* Rust, old and new, without the hash */
    {"_ZN4http6server6handle17h0123456789abcdefE",
     {"_ZN4http6server6handle17h0123456789abcdefE", "http::server::handle"}},
    {"_ZN4http6server6handle17h0123456789abcdefE.llvm.123",
     {"_ZN4http6server6handle17h0123456789abcdefE.llvm.123", "_ZN4http6server6handle17h0123456789abcdefE",
      "http::server::handle"}},
    {"_RNvNtCs1234_4http6server6handle", {"_RNvNtCs1234_4http6server6handle", "http::server::handle"}},
    {"_RINvCs1234_4http3getjE", {"_RINvCs1234_4http3getjE", "http::get::<usize>"}},
    /* A name outside ASCII: http::g\u00f6del, which the demangler would need memory for. */
    {"_RNvCs1234_4httpu8gdel_5qa", {"_RNvCs1234_4httpu8gdel_5qa"}},
};

Test(spell, gives_every_name_that_a_policy_may_use)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *ret[PINW_SPELLINGS_MAX];
		unsigned want = 0;

		while (want < PINW_SPELLINGS_MAX && cases[i].spellings[want])
			want++;
		unsigned n = pinw_spell(cases[i].symbol, buf, sizeof(buf), ret);
		cr_expect_eq(n, want, "%s has %u spellings, not %u", cases[i].symbol, n, want);
		cr_expect_eq(ret[0], cases[i].symbol, "the symbol itself comes first");
		for (unsigned k = 1; k < n && k < want; k++)
			cr_expect_str_eq(ret[k], cases[i].spellings[k], "%s", cases[i].symbol);
	}
}

/* Whatever the room, what is given is whole, and nothing is written behind. */
Test(spell, leaves_out_what_does_not_fit)
{
	const char *symbol = "_ZN10HttpServer13handleRequestEi.isra.0";
	const char *all[PINW_SPELLINGS_MAX], *some[PINW_SPELLINGS_MAX];
	char small[128];
	unsigned least = PINW_SPELLINGS_MAX, most = 0;

	cr_assert_eq(pinw_spell(symbol, buf, sizeof(buf), all), 4);
	for (size_t size = 0; size <= sizeof(small); size++) {
		memset(small, '#', sizeof(small));
		unsigned n = pinw_spell(symbol, small, size, some);

		for (unsigned k = 0; k < n; k++) {
			bool whole = false;

			for (unsigned a = 0; a < 4; a++)
				whole |= strcmp(some[k], all[a]) == 0;
			cr_expect(whole, "%s in %zu bytes", some[k], size);
		}
		for (size_t b = size; b < sizeof(small); b++)
			cr_assert_eq(small[b], '#', "wrote behind %zu bytes", size);
		least = n < least ? n : least;
		most = n > most ? n : most;
	}
	cr_expect_eq(least, 1);
	cr_expect_eq(most, 4);
}

/* A few hundred bytes whose text would have 2^60: each template has the one before it as both of its arguments. */
Test(spell, an_endless_name_ends_with_the_buffer)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char symbol[1024] = "_Z1f1aIiiE";
	const char *ret[PINW_SPELLINGS_MAX];

	for (unsigned i = 0; i < 60; i++) {
		char before[8] = {digits[i / 36], digits[i % 36], 0}, next[32];
		const char *id = i < 36 ? before + 1 : before;

		snprintf(next, sizeof(next), "S_IS%s_S%s_E", id, id);
		strcat(symbol, next);
		if (i == 2)
			cr_assert_eq(pinw_spell(symbol, buf, sizeof(buf), ret), 3, "%s", symbol);
	}
	cr_assert_eq(pinw_spell(symbol, buf, sizeof(buf), ret), 2);
	cr_expect_str_eq(ret[1], "f");
}

/* ---- room on the stack ------------------------------------------------------------------------------------ */

static const char *deep_symbol;

static void *spell_it(void *arg)
{
	const char *ret[PINW_SPELLINGS_MAX];
	static char text[65536];

	(void)arg;
	return (void *)(uintptr_t)pinw_spell(deep_symbol, text, sizeof(text), ret);
}

/* On a stack of `size` bytes; returns how much of it was used. */
static size_t stack_used(const char *symbol, size_t size)
{
	pthread_attr_t attr;
	pthread_t thread;
	unsigned char *stack = aligned_alloc(4096, size);
	size_t untouched = 0;

	cr_assert_not_null(stack);
	memset(stack, 0xa5, size);
	deep_symbol = symbol;
	pthread_attr_init(&attr);
	cr_assert_eq(pthread_attr_setstack(&attr, stack, size), 0);
	cr_assert_eq(pthread_create(&thread, &attr, spell_it, NULL), 0);
	pthread_join(thread, NULL);
	while (untouched < size && stack[untouched] == 0xa5)
		untouched++;
	free(stack);
	return size - untouched;
}

/* `unit` repeated between `head` and `tail`, up to `len` bytes in all. */
static const char *repeated(const char *head, const char *unit, const char *tail, size_t len)
{
	static char symbol[8192];

	strcpy(symbol, head);
	while (strlen(symbol) + strlen(unit) + strlen(tail) <= len)
		strcat(symbol, unit);
	return strcat(symbol, tail);
}

Test(spell, no_name_needs_more_stack_than_promised)
{
	static const struct {
		const char *head, *unit, *tail;
	} shapes[] = {
	    {"_Z1f", "P", "i"},      {"_Z1f", "PF", "vvE"},     {"_ZN", "1a", "E"},
	    {"_Z1fI", "1aI", "i"},   {"_Z1f", "M1aF", "vvE"},   {"_Z1fIX", "ng", "Li1EE"},
	    {"_RNvC1a1b", "R", "u"}, {"_RINvC1a1b", "R", "uE"}, {"_RINvC1a1b", "T", "E"},
	    {"_Z1fDT", "cl", "EE"},  {"_Z1f", "A1_", "i"},      {"_Z1fIJ", "i", "EE"},
	};
	static const size_t lengths[] = {100, 500, 1000, 1024, 1025, 4000};
	size_t most = 0;

	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			const char *symbol =
			    repeated(shapes[s].head, shapes[s].unit, shapes[s].tail, lengths[l]);
			size_t used = stack_used(symbol, 4 << 20);

			most = used > most ? used : most;
		}
	cr_expect_leq(most, PINW_SPELL_STACK, "%zu bytes", most);
	cr_expect_gt(most, PINW_SPELL_STACK / 2, "these names are not the worst");
}
