/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/keys.h"
#include "tests/policy_text.h"

#define CORPUS "tests/fuzz/corpus/policy"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- every key ------------------------------------------------------------------------------- */

/* Each key with a value it takes and one it refuses; `with` is what else its section needs. */
static const struct key_case {
	enum pinw_section section;
	const char *key, *good, *bad;
	const char *with;
} key_cases[] = {
    {PINW_SECTION_POLICY, "version", "1", "2", ""},
    {PINW_SECTION_POLICY, "mode", "enforce", "enforced", ""},
    {PINW_SECTION_POLICY, "pin_width", "1", "0", ""},
    {PINW_SECTION_POLICY, "log", "stderr", "\"stderr\"", ""},
    {PINW_SECTION_POLICY, "deny_golocks", "yes", "true", ""},
    {PINW_SECTION_POLICY, "on_invalid", "continue", "ignore", ""},
    {PINW_SECTION_CAPS, "max_threads", "512", "0", ""},
    {PINW_SECTION_CAPS, "max_threads_action", "deny", "reset", "max_threads = 5\n"},
    {PINW_SECTION_CAPS, "max_threads_warn_at", "4", "0", "max_threads = 5\n"},
    {PINW_SECTION_CAPS, "max_pinned", "cpus-2", "cpus-5", ""},
    {PINW_SECTION_CAPS, "max_pinned_action", "log", "off", "max_pinned = 5\n"},
    {PINW_SECTION_CAPS, "max_pinned_warn_at", "4", "four", "max_pinned = 5\n"},
    {PINW_SECTION_CAPS, "max_pinned_per_cpu", "1", "0", ""},
    {PINW_SECTION_CAPS, "max_pinned_per_cpu_action", "crash", "kill", "max_pinned_per_cpu = 2\n"},
    {PINW_SECTION_CAPS, "max_pinned_per_cpu_warn_at", "1", "-1", "max_pinned_per_cpu = 2\n"},
    {PINW_SECTION_CAPS, "reserve_cpus", "0,2-3", "3-2", ""},
    {PINW_SECTION_CAPS, "reserve_cpus_action", "log", "reset", "reserve_cpus = 0\n"},
    {PINW_SECTION_CAPS, "thread_rate", "100/10s", "100", ""},
    {PINW_SECTION_CAPS, "thread_rate_action", "crash", "none", "thread_rate = 9/s\n"},
    {PINW_SECTION_CAPS, "thread_rate_warn_at", "5/s", "5", "thread_rate = 9/s\n"},
    {PINW_SECTION_BAN, "function", "HttpServer::handle*", "\"f\"", ""},
    {PINW_SECTION_BAN, "module", "libfoo.so*", "\"m\"", ""},
    {PINW_SECTION_BAN, "thread_name", "worker-*", "sixteen-letters-", ""},
    {PINW_SECTION_BAN, "created_by", "net/http.(*conn).serve", "\"f\"", ""},
    {PINW_SECTION_BAN, "call", "attr, inherit", "clone", ""},
    {PINW_SECTION_BAN, "cpus", "0-3,7", "8", ""},
    {PINW_SECTION_BAN, "site_rate", "10/s", "0/s", ""},
    {PINW_SECTION_BAN, "churn_rate", "600/m", "600/min", ""},
    {PINW_SECTION_BAN, "short_lived", "250ms", "250", "churn_rate = 1/s\n"},
    {PINW_SECTION_BAN, "kind", "cpu", "thread", ""},
    {PINW_SECTION_BAN, "action", "crash", "off", ""},
    {PINW_SECTION_BAN, "errno", "EAGAIN", "11", ""},
    {PINW_SECTION_BAN, "after", "5s", "0s", ""},
    {PINW_SECTION_BAN, "message", "use the queue", "\"use the queue\"", ""},
    {PINW_SECTION_ALLOW, "function", "main", "\"main\"", ""},
    {PINW_SECTION_ALLOW, "module", "/usr/lib/*", "\"m\"", ""},
    {PINW_SECTION_ALLOW, "thread_name", "w?", "????????????????", ""},
    {PINW_SECTION_ALLOW, "created_by", "main", "\"main\"", ""},
    {PINW_SECTION_ALLOW, "call", "golock", "golock,", ""},
    {PINW_SECTION_ALLOW, "cpus", "7", "a", ""},
    {PINW_SECTION_ALLOW, "kind", "go", "Go", ""},
    {PINW_SECTION_ALLOW, "after", "2m", "2", ""},
    {PINW_SECTION_ALLOW, "max", "cpus*2", "0", ""},
    {PINW_SECTION_REQUIRE, "function", "worker_main", "\"f\"", ""},
    {PINW_SECTION_REQUIRE, "thread_name", "w*", "sixteen-letters*-", ""},
    {PINW_SECTION_REQUIRE, "created_by", "main", "\"f\"", ""},
    {PINW_SECTION_REQUIRE, "pinned", "no", "false", "thread_name = w\n"},
    {PINW_SECTION_REQUIRE, "kind", "go", "golock", "thread_name = w\n"},
    {PINW_SECTION_REQUIRE, "cpus", "2-3", "2--3", "thread_name = w\n"},
    {PINW_SECTION_REQUIRE, "within", "1h", "1d", "thread_name = w\n"},
    {PINW_SECTION_REQUIRE, "action", "crash", "deny", "thread_name = w\n"},
    {PINW_SECTION_REQUIRE, "message", "pin it", "\"pin it\"", "thread_name = w\n"},
    {PINW_SECTION_LEAK, "exit_while_pinned", "log", "deny", ""},
    {PINW_SECTION_LEAK, "pinned_idle", "crash", "reset", ""},
    {PINW_SECTION_LEAK, "idle_after", "100us", "0s", "pinned_idle = log\n"},
    {PINW_SECTION_LEAK, "pinned_at_end", "off", "no", ""},
    {PINW_SECTION_LEAK, "unjoined", "log", "warn", ""},
    {PINW_SECTION_LEAK, "grace", "0s", "s", "unjoined = log\n"},
    {PINW_SECTION_LEAK, "inherited", "reset", "crash", ""},
    {PINW_SECTION_LEAK, "unbalanced", "log", "1", ""},
    {PINW_SECTION_LEAK, "growth", "log", "reset", ""},
    {PINW_SECTION_SUPPRESS, "leak", "growth, unjoined", "leaks", ""},
    {PINW_SECTION_SUPPRESS, "function", "f", "\"f\"", ""},
    {PINW_SECTION_SUPPRESS, "module", "m", "\"m\"", ""},
    {PINW_SECTION_SUPPRESS, "thread_name", "t", "ttttttttttttttttt", ""},
    {PINW_SECTION_SUPPRESS, "created_by", "c", "\"c\"", ""},
    {PINW_SECTION_SUPPRESS, "reason", "known since 2019", "\"known\"", "leak = growth\n"},
    {PINW_SECTION_SUPPRESS, "expires", "2027-03-31", "2027-02-29", "leak = growth\n"},
};

static void key_text(const struct key_case *c, const char *value, char buf[256])
{
	const struct pinw_section_row *row = &pinw_sections[c->section];

	snprintf(buf, 256, "[%s%s]\n%s%s = %s\n", row->name, row->is_named ? " \"n\"" : "", c->with, c->key,
	         value);
}

Test(policy_parse, every_key_takes_a_good_value)
{
	for (unsigned i = 0; i < COUNT(key_cases); i++) {
		char text[256];
		key_text(&key_cases[i], key_cases[i].good, text);
		text_policy(text);
	}
}

Test(policy_parse, every_key_refuses_a_bad_value_at_its_line_and_says_what_it_expects)
{
	for (unsigned i = 0; i < COUNT(key_cases); i++) {
		const struct key_case *c = &key_cases[i];
		const struct pinw_key *key = pinw_key_find(c->section, c->key);
		char text[256];
		key_text(c, c->bad, text);
		cr_assert_not_null(key, "%s", c->key);
		text_refused(text, *c->with ? 3 : 2, c->key, key->expected);
		text_refused(text, *c->with ? 3 : 2, c->key, c->bad);
	}
}

Test(policy_parse, the_cases_above_are_every_key_of_every_section)
{
	unsigned keys = 0;

	for (unsigned i = 0; i < pinw_key_count; i++)
		keys += (unsigned)__builtin_popcount(pinw_keys[i].sections);
	cr_assert_eq(keys, COUNT(key_cases));
	for (unsigned i = 0; i < COUNT(key_cases); i++)
		for (unsigned j = 0; j < i; j++)
			cr_assert(key_cases[i].section != key_cases[j].section ||
			          strcmp(key_cases[i].key, key_cases[j].key) != 0);
}

Test(policy_parse, every_key_says_what_it_is_for)
{
	for (unsigned i = 0; i < pinw_key_count; i++) {
		const struct pinw_key *key = &pinw_keys[i];
		cr_assert(key->expected && key->meaning && key->fallback, "%s", key->name);
		cr_assert(*key->expected && *key->meaning && *key->fallback, "%s", key->name);
	}
}

Test(policy_parse, a_value_given_twice_is_refused_unless_it_makes_a_list)
{
	for (unsigned i = 0; i < COUNT(key_cases); i++) {
		const struct key_case *c = &key_cases[i];
		const struct pinw_key *key = pinw_key_find(c->section, c->key);
		char text[256], twice[512];
		key_text(c, c->good, text);
		snprintf(twice, sizeof(twice), "%s%s = %s\n", text, c->key, c->good);
		if (key->is_list && key->type == PINW_TYPE_GLOB)
			text_policy(twice);
		else
			text_refused(twice, *c->with ? 4 : 3, c->key, "given twice");
	}
}

/* ---- wrong lines ---------------------------------------------------------------------------------- */

static const struct wrong {
	const char *text;
	uint32_t line;
	const char *key, *part;
} wrongs[] = {
    {"[ban \"x\"]\nactoin = deny\n", 2, "actoin", "unknown key 'actoin'; did you mean 'action'?"},
    {"[leak]\nidle_afer = 1s\n", 2, "idle_afer", "did you mean 'idle_after'?"},
    {"[caps]\nmax_thread = 1\n", 2, "max_thread", "did you mean 'max_threads'?"},
    {"[caps]\nmax-threads = 1\n", 2, "max-threads", "did you mean 'max_threads'?"},
    {"[ban \"x\"]\nfunc = f\n", 2, "func", "did you mean 'function'?"},
    {"[ban \"x\"]\nACTION = deny\n", 2, "ACTION", "did you mean 'action'?"},
    {"[policy]\ncolour = red\n", 2, "colour",
     "unknown key 'colour'; [policy] has version, mode, pin_width, log, deny_golocks, on_invalid"},
    {"[ban \"x\"]\ngrace = 1s\n", 2, "grace", "not a key of [ban], but of [leak]"},
    {"[baan \"x\"]\n", 1, "[baan \"x\"]", "did you mean [ban \"name\"]?"},
    {"[Policy]\n", 1, "[Policy]", "did you mean [policy]?"},
    {"[quota]\n", 1, "[quota]", "sections are policy, caps, ban, allow, require, leak and suppress"},
    {"[]\n", 1, "[]", "unknown section"},
    {"[ban]\naction = log\n", 1, "[ban]", "expected a name in quotes: [ban \"name\"]"},
    {"[ban x]\n", 1, "[ban x]", "expected a name in quotes: [ban \"name\"]"},
    {"[ban \"x]\n", 1, "[ban \"x]", "expected a name in quotes"},
    {"[ban x\"]\n", 1, "[ban x\"]", "expected a name in quotes"},
    {"[ban \"]\n", 1, "[ban \"]", "expected a name in quotes"},
    {"[ban \"\"]\n", 1, "[ban \"\"]", "1 to 64 bytes"},
    {"[ban \"a\"b\"]\n", 1, "[ban \"a\"b\"]", "holds no quote"},
    {"[ban \" a\"]\n", 1, "[ban \" a\"]", "nor ends with a blank"},
    {"[ban \"a ;b\"]\n", 1, "[ban \"a ;b\"]", "no ';'"},
    {"[policy \"x\"]\n", 1, "[policy \"x\"]", "expected [policy], which has no name"},
    {"[leak\n", 1, "[leak", "] is missing"},
    {"[leak] growth = log\n", 1, "[leak]", "text behind the heading's ]"},
    {"[ban \"a]b\"]\n", 1, "[ban \"a]", "text behind the heading's ]"},
    {"[leak] # why\n", 1, "[leak]", "begins with ' ;'"},
    {"[policy]\n[policy]\n", 2, "[policy]", "given twice; first at line 1"},
    {"[caps]\n[leak]\n[caps]\n", 3, "[caps]", "first at line 1"},
    {"[leak]\n\n[leak]\n", 3, "[leak]", "first at line 1"},
    {"[ban \"a\"]\ncall = attr\n[ban \"b\"]\ncall = cross\n[ban \"a\"]\n", 5, "[ban \"a\"]",
     "first at line 1"},
    {"mode = audit\n", 1, "mode", "before the first [section]"},
    {"[leak]\n  growth = log\n", 2, "", "indented"},
    {"[leak]\ngrowth = log\n\tunjoined = log\n", 3, "", "indented"},
    {"[leak]\ngrowth = log\n ; fine\n # fine\n  [caps]\n", 5, "", "indented"},
    {"[leak]\ngrowth\n", 2, "growth", "expected [section], or key = value"},
    {"[leak]\ngrowth: log\n", 2, "growth", "a ':' where '=' was expected"},
    {"[ban \"x\"]\nfunction: a::b = c\n", 2, "function", "a ':' where '=' was expected"},
    {"[leak]\n= log\n", 2, "", "a key is missing"},
    {"[leak]\ngrowth =\n", 2, "growth", "the value is missing"},
    {"[leak]\ngrowth = \t \n", 2, "growth", "the value is missing"},
    {"[leak]\ngrowth = ; log\n", 2, "growth", "the value is missing"},
    {"[leak]\ngrowth ; = log\n", 2, "growth", "expected [section], or key = value"},
    {"[leak]\ngrowth = log # all of them\n", 2, "growth", "' ;'"},
    {"[leak]\ngrowth = #log\n", 2, "growth", "'#' in the value"},
    {"[leak]\ngrowth = lo\rg\n", 2, "", "control character"},
    {"[leak]\ngrowth = log\n; \x1b[31m\n", 3, "", "control character"},
    {"[leak]\ngrowth = lgo\n", 2, "growth", "did you mean 'log'?"},
    {"[leak]\ninherited = crash\n", 2, "inherited", "cannot be done here; expected log, reset or off"},
    {"[require \"r\"]\nthread_name = w\naction = deny\n", 3, "action", "expected log or crash"},
    {"[caps]\nmax_threads = 0\n", 2, "max_threads", "the least is 1 (the main thread counts)"},
    {"[caps]\nmax_threads = cpus-4\n", 2, "max_threads",
     "0 here, as the process may use 4 CPUs; the least is 1"},
    {"[caps]\nreserve_cpus = 9\n", 2, "reserve_cpus", "CPU 9 is not on this machine, which has 0-7"},
    {"[ban \"x\"]\ncpus = 0-127\n", 2, "cpus", "CPU 8 is not on this machine"},
    {"[ban \"x\"]\ncpus = 0,128\n", 2, "cpus", "at '128' a CPU beyond 127"},
    {"[ban \"x\"]\ncall = attr\ncall = cross, attr\n", 3, "call", "'attr' is given twice"},
    {"[policy]\nversion = 2\n", 2, "version", "a version this Pinwarden does not know; expected 1"},
    {"[ban \"x\"]\naction = log\nerrno = EPRM\naction = log\n", 3, "errno", "did you mean 'EPERM'?"},
};

Test(policy_parse, wrong_lines_are_refused_with_line_and_key)
{
	for (unsigned i = 0; i < COUNT(wrongs); i++)
		text_refused(wrongs[i].text, wrongs[i].line, wrongs[i].key, wrongs[i].part);
}

Test(policy_parse, the_first_of_several_errors_is_the_one_said)
{
	text_refused("[ban \"x\"]\nshort_lived = 1s\n[leak]\ngrowth = no\n", 2, "short_lived", "churn_rate");
	text_refused("[leak]\ngrowth = no\n[nonsense]\n", 2, "growth", "'no'");
}

Test(policy_parse, a_nul_is_refused_wherever_it_is)
{
	static const char *const texts[] = {"\0[leak]\n", "[le\0ak]\n", "; \0\n", "[leak]\ngrowth = log\0\n"};
	static const size_t lens[] = {8, 8, 4, 21};
	static const uint32_t lines[] = {1, 1, 1, 2};

	for (unsigned i = 0; i < COUNT(texts); i++) {
		const struct pinw_policy *policy;
		struct pinw_policy_error error;
		cr_assert_eq(text_parse(texts[i], lens[i], &policy, &error), -EINVAL);
		cr_assert_eq(error.line, lines[i]);
		cr_assert_str_eq(error.text, "a NUL byte; a policy is text");
	}
}

/* A [ban] whose message makes a line of `len` bytes. */
static void long_line(size_t len, const char *end, char *buf, size_t size)
{
	size_t at = (size_t)snprintf(buf, size, "[ban \"x\"]\nmessage = ");
	size_t start = strlen("[ban \"x\"]\n");

	while (at - start < len)
		buf[at++] = 'm';
	snprintf(buf + at, size - at, "%s", end);
}

Test(policy_parse, a_line_of_1000_bytes_is_kept_whole_and_one_of_1001_refused)
{
	static const char *const ends[] = {"", "\n", "\r\n", "\nkind = cpu\n"};
	char text[1200];

	for (unsigned i = 0; i < COUNT(ends); i++) {
		long_line(PINW_POLICY_LINE_MAX, ends[i], text, sizeof(text));
		const char *message = text_rule(text, "ban:x")->message;
		cr_assert_eq(strlen(message), PINW_POLICY_LINE_MAX - strlen("message = "));
		cr_assert_eq(strspn(message, "m"), strlen(message));
		long_line(PINW_POLICY_LINE_MAX + 1, ends[i], text, sizeof(text));
		text_refused(text, 2, "", "a line of 1001 bytes; the longest may have 1000");
	}
}

Test(policy_parse, a_text_of_over_a_mebibyte_is_refused)
{
	static char text[PINW_POLICY_BYTES_MAX + 1];
	size_t len = sizeof(text);
	const struct pinw_policy *policy;
	struct pinw_policy_error error;

	memset(text, '\n', len);
	cr_assert_eq(text_parse(text, len, &policy, &error), -EINVAL);
	cr_assert_eq(error.line, 0);
	cr_assert(strstr(error.text, "1048577 bytes"));
	cr_assert_eq(text_parse(text, len - 1, &policy, &error), 0);
	cr_assert_eq(policy->rule_count, 0);
}

/* `count` bans with different names. */
static const char *many_bans(unsigned count)
{
	static char text[(PINW_POLICY_RULES_MAX + 1) * 48];
	char *p = text;

	for (unsigned i = 0; i < count; i++)
		p += sprintf(p, "[ban \"%u\"]\nfunction = f%u\n", i, i);
	return text;
}

Test(policy_parse, as_many_rules_as_ids_allow_and_no_more)
{
	const char *text = many_bans(PINW_POLICY_RULES_MAX);
	const struct pinw_policy *policy = text_policy(text);

	cr_assert_eq(policy->rule_count, PINW_POLICY_RULES_MAX);
	cr_assert_str_eq(policy->rules[4095].label, "ban:4095");
	cr_assert_str_eq(policy->rules[4095].functions.text[0], "f4095");
	text_refused(many_bans(PINW_POLICY_RULES_MAX + 1), 2 * PINW_POLICY_RULES_MAX + 1, "",
	             "more than 4096 rules");
}

Test(policy_parse, names_of_rules_have_up_to_64_bytes)
{
	char text[128], name[66] = "";

	memset(name, 'n', 64);
	snprintf(text, sizeof(text), "[ban \"%s\"]\n", name);
	cr_assert_str_eq(text_policy(text)->rules[0].name, name);
	name[64] = 'n';
	snprintf(text, sizeof(text), "[ban \"%s\"]\n", name);
	const struct pinw_policy *policy;
	struct pinw_policy_error error;
	cr_assert_eq(text_parse(text, strlen(text), &policy, &error), -EINVAL);
	cr_assert_eq(error.line, 1);
	cr_assert_eq(strlen(error.key), sizeof(error.key) - 1, "a long heading is cut");
	cr_assert_str_eq(error.text, "expected a name of 1 to 64 bytes");
}

/* ---- what a text may look like ---------------------------------------------------------------------- */

Test(policy_parse, an_empty_text_is_a_policy_without_rules_and_says_so)
{
	static const char *const texts[] = {"",           "\n\n",         "; nothing\n",
	                                    "[policy]\n", "\xef\xbb\xbf", "[caps]\n[leak]\n"};

	for (unsigned i = 0; i < COUNT(texts); i++) {
		const struct pinw_policy *policy = text_policy(texts[i]);
		cr_assert_eq(policy->rule_count, 0);
		cr_assert_eq(policy->mode, PINW_MODE_AUDIT);
		cr_assert_eq(policy->warning_count, 1);
		cr_assert(strstr(policy->warnings[0].text, "no rules"));
	}
}

Test(policy_parse, comments_blanks_line_ends_and_byte_order_mark_change_nothing)
{
	static const char *const texts[] = {
	    "[ban \"x\"]\nfunction = a b\naction = log",
	    "\xef\xbb\xbf[ban \"x\"]\r\nfunction = a b\r\naction = log\r\n",
	    "[ban \"x\"] ; why\nfunction=a b\t; why\naction\t=\tlog  \n",
	    "[ ban  \"x\" ]\t\nfunction   =   a b ;; action = deny\naction = log\n",
	};

	for (unsigned i = 0; i < COUNT(texts); i++) {
		const struct pinw_rule *rule = text_rule(texts[i], "ban:x");
		cr_assert_eq(rule->line, 1);
		cr_assert_eq(rule->functions.count, 1);
		cr_assert_str_eq(rule->functions.text[0], "a b");
		cr_assert_eq(rule->action, PINW_ACTION_LOG);
	}
}

Test(policy_parse, a_byte_order_mark_is_for_the_first_line_only)
{
	text_refused("[leak]\n\xef\xbb\xbf[caps]\n", 2, "\xef\xbb\xbf[caps]", "expected [section]");
}

Test(policy_parse, names_of_functions_are_kept_as_they_are)
{
	static const char *const names[] = {"*Handler",
	                                    "HttpServer::handle*",
	                                    "net/http.(*conn).serve",
	                                    "a=b",
	                                    "operator new(unsigned long)",
	                                    "foo;bar",
	                                    "C#",
	                                    "std::operator==",
	                                    "<T as core::ops::Fn>::call",
	                                    "[x]",
	                                    "f\"g"};
	char text[512] = "[ban \"x\"]\n";

	for (unsigned i = 0; i < COUNT(names); i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "function = %s\n", names[i]);
	const struct pinw_strings *functions = &text_rule(text, "ban:x")->functions;
	cr_assert_eq(functions->count, COUNT(names));
	for (unsigned i = 0; i < COUNT(names); i++)
		cr_assert_str_eq(functions->text[i], names[i]);
}

Test(policy_parse, repeated_keys_make_lists_in_their_order)
{
	const struct pinw_rule *rule = text_rule(
	    "[ban \"x\"]\nfunction = f1\nmodule = m1\nthread_name = t1\nfunction = f2\ncreated_by = c1\n"
	    "call = attr\nmodule = m2\nfunction = f3\ncall = cross,inherit\n",
	    "ban:x");

	cr_assert_eq(rule->functions.count, 3);
	cr_assert_str_eq(rule->functions.text[2], "f3");
	cr_assert_eq(rule->modules.count, 2);
	cr_assert_str_eq(rule->modules.text[1], "m2");
	cr_assert_eq(rule->thread_names.count, 1);
	cr_assert_eq(rule->created_by.count, 1);
	cr_assert_str_eq(rule->created_by.text[0], "c1");
	cr_assert_eq(rule->calls, PINW_CALLS_ATTR | PINW_CALLS_CROSS | PINW_CALLS_INHERIT);
}

Test(policy_parse, one_name_may_be_used_in_each_kind_of_section)
{
	const struct pinw_policy *policy =
	    text_policy("[ban \"x\"]\ncall = attr\n[allow \"x\"]\ncall = cross\n"
	                "[require \"x\"]\nthread_name = x\n[suppress \"x\"]\nleak = growth\n");

	cr_assert_eq(policy->rule_count, 4);
	cr_assert_str_eq(policy->rules[0].label, "ban:x");
	cr_assert_str_eq(policy->rules[3].label, "suppress:x");
}

/* ---- around the parser --------------------------------------------------------------------------------------- */

Test(policy_parse, an_error_is_printed_with_what_is_known_of_it)
{
	char buf[64];
	struct pinw_policy_error e = {.line = 7, .key = "mode", .text = "what"};

	cr_assert_eq(pinw_policy_error_print(buf, sizeof(buf), "a.ini", &e), strlen("a.ini:7: mode: what"));
	cr_assert_str_eq(buf, "a.ini:7: mode: what");
	e.key[0] = '\0';
	pinw_policy_error_print(buf, sizeof(buf), "a.ini", &e);
	cr_assert_str_eq(buf, "a.ini:7: what");
	e.line = 0;
	pinw_policy_error_print(buf, sizeof(buf), "a.ini", &e);
	cr_assert_str_eq(buf, "a.ini: what");
	pinw_policy_error_print(buf, sizeof(buf), NULL, &e);
	cr_assert_str_eq(buf, "what");
	cr_assert_eq(pinw_policy_error_print(buf, 5, "a.ini", &e), 4);
	cr_assert_str_eq(buf, "a.in");
}

Test(policy_parse, only_a_file_nobody_else_can_change_is_trusted)
{
	static const struct {
		mode_t mode;
		uid_t owner;
		off_t size;
		const char *part; /* NULL = trusted */
	} cases[] = {
	    {S_IFREG | 0644, 1000, 10, NULL},
	    {S_IFREG | 0600, 0, 10, NULL},
	    {S_IFREG | 0444, 1000, 0, NULL},
	    {S_IFREG | 0644, 1001, 10, "another user"},
	    {S_IFREG | 0666, 1000, 10, "writable by other users; chmod go-w"},
	    {S_IFREG | 0664, 1000, 10, "writable by its group; chmod go-w"},
	    {S_IFREG | 0644, 1000, PINW_POLICY_BYTES_MAX, NULL},
	    {S_IFREG | 0644, 1000, (off_t)PINW_POLICY_BYTES_MAX + 1, "larger than 1 MiB"},
	    {S_IFDIR | 0755, 1000, 10, "directory"},
	    {S_IFIFO | 0600, 1000, 0, "not a regular file"},
	    {S_IFCHR | 0600, 0, 0, "not a regular file"},
	};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		struct stat st = {
		    .st_mode = cases[i].mode, .st_uid = cases[i].owner, .st_size = cases[i].size};
		const char *wrong = pinw_policy_distrust(&st, 1000);
		cr_assert_eq(!wrong, !cases[i].part, "case %u: %s", i, wrong);
		cr_assert(!wrong || strstr(wrong, cases[i].part), "case %u: %s", i, wrong);
	}
}

Test(policy_parse, an_invalid_policy_stops_a_program_unless_it_surely_audits)
{
	static const struct {
		const char *text;
		enum pinw_mode mode;
		bool stops;
	} cases[] = {
	    {"", 0, true},
	    {"", PINW_MODE_AUDIT, false},
	    {"", PINW_MODE_ENFORCE, true},
	    {"[policy]\nmode = audit\n[x]\n", 0, false},
	    {"[policy]\nmode = enforce\n[x]\n", 0, true},
	    {"[policy]\nmode = enforce\n[x]\n", PINW_MODE_AUDIT, false},
	    {"[policy]\nmode = audit\n[x]\n", PINW_MODE_ENFORCE, true},
	    {"[policy]\nmode = enforced\n", 0, true},
	    {"[policy]\nmode = audit\nmode = enforce\n", 0, true},
	    {"[policy]\nmdoe = enforce\n", 0, true},
	    {"[policy]\nversion = 9\n", 0, false},
	    {"[x]\nmode = audit\n", 0, true},
	    {"mode = audit\n", 0, true},
	    {"[policy]\r\nmode=audit ; soon enforce\r\n[x]\r\n", 0, false},
	    {"[policy]\n  mode = enforce\n", 0, true},
	    {"[policy]\nmode = enforce\non_invalid = continue\n[x]\n", 0, false},
	    {"[policy]\nmode = audit\non_invalid = stop\n[x]\n", 0, true},
	    {"[policy]\non_invalid = stop\n[x]\n", PINW_MODE_AUDIT, true},
	    {"[policy]\non_invalid = continue\n[x]\n", PINW_MODE_ENFORCE, false},
	    {"[policy]\non_invalid = continue\non_invalid = stop\n", 0, true},
	    {"[policy]\non_invalid = contine\nmode = enforce\n", 0, true},
	};

	for (unsigned i = 0; i < COUNT(cases); i++)
		cr_assert_eq(pinw_policy_invalid_stops(cases[i].text, strlen(cases[i].text), cases[i].mode),
		             cases[i].stops, "case %u: %s", i, cases[i].text);
}

Test(policy_parse, words_of_the_file_are_the_names_of_things)
{
	cr_assert_str_eq(pinw_action_name(PINW_ACTION_NONE), "none");
	cr_assert_str_eq(pinw_action_name(PINW_ACTION_RESET), "reset");
	cr_assert_str_eq(pinw_action_name((enum pinw_action)9), "?");
	cr_assert_str_eq(pinw_section_name(PINW_SECTION_SUPPRESS), "suppress");
	cr_assert_str_eq(pinw_section_name((enum pinw_section)0), "?");
	cr_assert_str_eq(pinw_policy_leak_name(PINW_PLEAK_PINNED_IDLE), "pinned_idle");
	cr_assert_str_eq(pinw_policy_leak_name(PINW_PLEAK_GROWTH), "growth");
	cr_assert_str_eq(pinw_mode_name(PINW_MODE_ENFORCE), "enforce");
}

/* ---- what a fuzzer found worth keeping -------------------------------------------------------------------------- */

static size_t read_file(const char *name, char *buf, size_t size)
{
	char path[512];

	snprintf(path, sizeof(path), CORPUS "/%s", name);
	FILE *f = fopen(path, "r");
	cr_assert_not_null(f, "%s", path);
	size_t len = fread(buf, 1, size, f);
	fclose(f);
	return len;
}

Test(policy_parse, each_text_of_the_fuzzers_corpus_is_a_policy_or_is_refused)
{
	static char text[65536];
	unsigned valid = 0, refused = 0;
	DIR *dir = opendir(CORPUS);

	cr_assert_not_null(dir);
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (e->d_name[0] == '.')
			continue;
		const struct pinw_policy *policy;
		struct pinw_policy_error error;
		int r = text_parse(text, read_file(e->d_name, text, sizeof(text)), &policy, &error);
		cr_assert(r == 0 || r == -EINVAL, "%s: %d", e->d_name, r);
		valid += r == 0;
		refused += r < 0;
		for (uint32_t i = 0; r == 0 && i < policy->rule_count; i++) {
			char words[4096];
			cr_assert(pinw_policy_explain(policy, &policy->rules[i], words, sizeof(words)) > 0);
		}
	}
	closedir(dir);
	cr_assert(valid >= 10 && refused >= 10, "%u valid, %u refused", valid, refused);
}
