/* SPDX-License-Identifier: MIT
 *
 * Every example of pinwarden-policy(5) is parsed, every key of the format has one, and the rule it makes says what
 * the key asks for. The page is read from its source: `.\" example SECTION KEY` stands before each block.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/keys.h"
#include "policy/policy.h"

#define PAGE "reports/man/pinwarden-policy.5"
#define MARK ".\\\" example "
#define EXAMPLES_MAX 128u

struct example {
	char section[32], key[40];
	char text[1024];
};

static struct example examples[EXAMPLES_MAX];
static unsigned example_count;

/* ---- reading the page ------------------------------------------------------------------- */

static char *next_line(FILE *page, char *line, int size)
{
	char *read = fgets(line, size, page);

	if (read)
		line[strcspn(line, "\n")] = '\0';
	return read;
}

static void read_block(FILE *page, struct example *e)
{
	char line[256];
	size_t len = 0;

	cr_assert_not_null(next_line(page, line, sizeof(line)));
	cr_assert_eq(strncmp(line, ".Bd -literal", 12), 0, "after the mark of %s %s: %s", e->section, e->key,
	             line);
	while (next_line(page, line, sizeof(line)) && strcmp(line, ".Ed") != 0) {
		cr_assert(line[0] != '.' && line[0] != '\'' && !strchr(line, '\\'), "roff in an example: %s",
		          line);
		len += (size_t)snprintf(e->text + len, sizeof(e->text) - len, "%s\n", line);
		cr_assert_lt(len, sizeof(e->text));
	}
}

static void read_page(void)
{
	char line[256];
	FILE *page = fopen(PAGE, "re");

	cr_assert_not_null(page, "tests run in the project's root folder");
	while (next_line(page, line, sizeof(line))) {
		if (strncmp(line, MARK, strlen(MARK)) != 0)
			continue;
		cr_assert_lt(example_count, EXAMPLES_MAX);
		struct example *e = &examples[example_count++];
		cr_assert_geq(sscanf(line + strlen(MARK), "%31s %39s", e->section, e->key), 1);
		read_block(page, e);
	}
	fclose(page);
}

TestSuite(policy_man, .init = read_page);

/* ---- parsing ------------------------------------------------------------------------------ */

static const uint64_t four_cpus[1] = {0xf};
static struct pinw_policy_error wrong;

/* NULL when it is not valid; then `wrong` says why. */
static const struct pinw_policy *parse(const char *text)
{
	static const struct pinw_policy_host host = {
	    .baseline = four_cpus, .present = four_cpus, .mask_words = 1, .today = 20261121};
	size_t size = pinw_policy_memory_needed(strlen(text), 1);
	struct pinw_policy_memory memory = {.bytes = malloc(size),
	                                    .size = size}; /* gone with the test's process */
	const struct pinw_policy *policy = NULL;

	cr_assert_not_null(memory.bytes);
	pinw_policy_parse(text, strlen(text), "example.ini", &host, &memory, &policy, &wrong);
	return policy;
}

/* What all rules say, one a line. */
static const char *words_of(const struct pinw_policy *policy)
{
	static char words[8192];
	size_t len = 0;

	words[0] = '\0';
	for (uint32_t i = 0; i < policy->rule_count; i++) {
		len += pinw_policy_explain(policy, &policy->rules[i], words + len, sizeof(words) - len - 2);
		words[len++] = '\n';
		words[len] = '\0';
	}
	return words;
}

/* ---- every key ------------------------------------------------------------------------------ */

/* The example of a key in any of the sections it has the same meaning in. */
static const struct example *example_of(const struct pinw_key *key)
{
	for (unsigned i = 0; i < example_count; i++) {
		enum pinw_section section = pinw_section_find(examples[i].section);
		if (section && pinw_key_find(section, examples[i].key) == key)
			return &examples[i];
	}
	return NULL;
}

Test(policy_man, has_an_example_of_every_key)
{
	for (unsigned i = 0; i < pinw_key_count; i++)
		cr_expect_not_null(example_of(&pinw_keys[i]), "no example of %s (%s)", pinw_keys[i].name,
		                   pinw_keys[i].meaning);
}

Test(policy_man, has_examples_of_known_keys_only)
{
	cr_assert_gt(example_count, 50u);
	for (unsigned i = 0; i < example_count; i++) {
		const struct example *e = &examples[i];
		enum pinw_section section = pinw_section_find(e->section);
		if (strcmp(e->section, "file") == 0)
			continue;
		cr_expect(section && pinw_key_find(section, e->key), "[%s] has no key %s", e->section,
		          e->key);
		cr_expect(strstr(e->text, e->key), "the example of %s %s does not use it", e->section,
		          e->key);
	}
}

Test(policy_man, has_examples_that_are_valid_policies)
{
	for (unsigned i = 0; i < example_count; i++)
		cr_expect_not_null(parse(examples[i].text), "%s %s, line %u: %s: %s", examples[i].section,
		                   examples[i].key, wrong.line, wrong.key, wrong.text);
}

/* Takes a key's lines out of a text. */
static void without_key(const char *text, const char *key, char *ret)
{
	size_t len = strlen(key);

	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n") + 1;
		if (strncmp(line, key, len) != 0 || strncmp(line + len, " =", 2) != 0) {
			memcpy(ret, line, n);
			ret += n;
		}
		line += n;
	}
	*ret = '\0';
}

/* Without its line the example says something else, or is not valid any more. */
Test(policy_man, has_examples_whose_key_makes_a_difference)
{
	for (unsigned i = 0; i < example_count; i++) {
		const struct example *e = &examples[i];
		char rest[sizeof(e->text)], with[8192];
		if (pinw_section_find(e->section) <= PINW_SECTION_POLICY)
			continue; /* below */
		const struct pinw_policy *policy = parse(e->text);
		cr_assert_not_null(policy);
		snprintf(with, sizeof(with), "%s", words_of(policy));
		without_key(e->text, e->key, rest);
		cr_assert_lt(strlen(rest), strlen(e->text), "%s %s", e->section, e->key);
		policy = parse(rest);
		cr_expect(!policy || strcmp(with, words_of(policy)) != 0, "[%s] %s changes nothing: %s",
		          e->section, e->key, with);
	}
}

/* ---- what each key asks for ---------------------------------------------------------------- */

static const struct expected {
	const char *section, *key;
	const char *words; /* in the explanation of the example's rules */
} expectations[] = {
    {"caps", "max_threads", "at most 200 threads may be alive"},
    {"caps", "max_threads_action", "EAGAIN"},
    {"caps", "max_threads_warn_at", "150 threads are alive"},
    {"caps", "max_pinned", "at most 3 threads may hold an open pin"},
    {"caps", "max_pinned_action", "is made and logged"},
    {"caps", "max_pinned_warn_at", "when 2 threads"},
    {"caps", "max_pinned_per_cpu", "at most 1 thread may be pinned to one CPU"},
    {"caps", "max_pinned_per_cpu_action", "would crash"},
    {"caps", "max_pinned_per_cpu_warn_at", "2 threads are pinned to one CPU"},
    {"caps", "reserve_cpus", "no pin may hold CPU 0"},
    {"caps", "reserve_cpus_action", "is made and logged"},
    {"caps", "thread_rate", "at most 100 threads may be created in 10 s"},
    {"caps", "thread_rate_action", "is made and logged"},
    {"caps", "thread_rate_warn_at", "50 threads are created in 1 s"},
    {"ban", "function", "\"*Handler\" or \"net/http.(*conn).serve\""},
    {"ban", "module", "\"libplugin*.so\""},
    {"ban", "thread_name", "\"io-*\""},
    {"ban", "created_by", "\"accept_loop\""},
    {"ban", "call", "another thread"},
    {"ban", "cpus", "holds any of CPU 0"},
    {"ban", "site_rate", "more than 50 pins in 1 s"},
    {"ban", "churn_rate", "more than 20 threads in 1 s"},
    {"ban", "short_lived", "250 ms"},
    {"ban", "kind", "Go locks are not meant"},
    {"ban", "action", "would reset"},
    {"ban", "errno", "EAGAIN"},
    {"ban", "after", "30 s"},
    {"ban", "message", "give the work to a worker's queue"},
    {"allow", "cpus", "inside CPUs 0,1"},
    {"allow", "max", "At most 3 such pins"},
    {"require", "function", "\"worker_main\""},
    {"require", "pinned", "must not be pinned"},
    {"require", "kind", "by the lock of a goroutine"},
    {"require", "cpus", "1-3"},
    {"require", "within", "250 ms"},
    {"require", "action", "would crash"},
    {"require", "message", "a worker must own its CPU"},
    {"leak", "exit_while_pinned", "would crash"},
    {"leak", "pinned_idle", "10 s"},
    {"leak", "idle_after", "1 min"},
    {"leak", "pinned_at_end", "must not end with a pin open"},
    {"leak", "unjoined", "joined or detached within 10 s"},
    {"leak", "grace", "within 2 s"},
    {"leak", "inherited", "would reset"},
    {"leak", "unbalanced", "locks and unlocks must pair"},
    {"leak", "growth", "must not rise steadily"},
    {"suppress", "leak", "pinned_at_end"},
    {"suppress", "reason", "its pool lives until the end, bug 1234"},
    {"suppress", "expires", "2099-03-31"},
};

#define EXPECTATIONS (sizeof(expectations) / sizeof(expectations[0]))

static const struct example *find_example(const char *section, const char *key)
{
	for (unsigned i = 0; i < example_count; i++)
		if (strcmp(examples[i].section, section) == 0 && strcmp(examples[i].key, key) == 0)
			return &examples[i];
	return NULL;
}

Test(policy_man, has_examples_that_mean_what_they_say)
{
	for (size_t i = 0; i < EXPECTATIONS; i++) {
		const struct expected *x = &expectations[i];
		const struct example *e = find_example(x->section, x->key);
		cr_assert_not_null(e, "[%s] %s", x->section, x->key);
		const struct pinw_policy *policy = parse(e->text);
		cr_assert_not_null(policy);
		cr_expect_not_null(strstr(words_of(policy), x->words), "[%s] %s: no \"%s\" in: %s",
		                   x->section, x->key, x->words, words_of(policy));
	}
}

/* No key is left out of the table above, but for those of [policy]. */
Test(policy_man, is_held_against_the_meaning_of_every_key)
{
	for (unsigned i = 0; i < pinw_key_count; i++) {
		bool found = pinw_keys[i].sections & 1u << PINW_SECTION_POLICY;
		for (size_t x = 0; x < EXPECTATIONS && !found; x++)
			found = pinw_key_find(pinw_section_find(expectations[x].section),
			                      expectations[x].key) == &pinw_keys[i];
		cr_expect(found, "%s: %s", pinw_keys[i].name, pinw_keys[i].meaning);
	}
}

/* ---- [policy] ------------------------------------------------------------------------------------ */

static const struct pinw_policy *policy_of(const char *key)
{
	const struct example *e = find_example("policy", key);

	cr_assert_not_null(e, "%s", key);
	const struct pinw_policy *policy = parse(e->text);
	cr_assert_not_null(policy, "%s", key);
	return policy;
}

Test(policy_man, shows_the_settings_of_the_whole_file)
{
	cr_expect_eq(policy_of("mode")->mode, PINW_MODE_ENFORCE);
	cr_expect_eq(policy_of("version")->mode, PINW_MODE_AUDIT);
	cr_expect_null(parse("[policy]\nversion = 2\n"), "a version that is not known is refused");
	cr_expect_eq(policy_of("pin_width")->pin_width, 1u);
	cr_expect_eq(policy_of("mode")->pin_width, 0u);
	cr_expect_str_eq(policy_of("log")->log, "stderr");
	cr_expect_null(policy_of("mode")->log);
	cr_expect(policy_of("deny_golocks")->deny_golocks);
	cr_expect_not(policy_of("mode")->deny_golocks);
	cr_expect(policy_of("on_invalid")->on_invalid_given && policy_of("on_invalid")->on_invalid_stop);
	cr_expect_not(policy_of("mode")->on_invalid_given);
}

Test(policy_man, begins_with_a_policy_of_every_common_part)
{
	const struct example *e = NULL;

	for (unsigned i = 0; i < example_count && !e; i++)
		if (strcmp(examples[i].section, "file") == 0)
			e = &examples[i];
	cr_assert_not_null(e);
	const struct pinw_policy *policy = parse(e->text);
	cr_assert_not_null(policy, "line %u: %s: %s", wrong.line, wrong.key, wrong.text);
	cr_expect_eq(policy->warning_count, 0u);
	cr_expect_eq(policy->rule_count, 6u);
	cr_expect_eq(policy->mode, PINW_MODE_ENFORCE);
}
