/* SPDX-License-Identifier: MIT */
#include "policy/keys.h"

#include <string.h>

#define IN(section) (1u << PINW_SECTION_##section)
#define DO(action) (1u << PINW_ACTION_##action)
#define FIELD(name) .place = PINW_PLACE_RULE, .offset = offsetof(struct pinw_rule, name)
#define SETTING(name) .place = PINW_PLACE_POLICY, .offset = offsetof(struct pinw_policy, name)
#define LIST(number) .type = PINW_TYPE_GLOB, .place = PINW_PLACE_RULE, .part = (number), .is_list = true
#define LEAK(kind) .type = PINW_TYPE_ACTION, .place = PINW_PLACE_LEAK, .part = PINW_PLEAK_##kind
#define CAP(kind) .place = PINW_PLACE_CAP, .part = PINW_CAP_##kind
#define CAP_WARNING(kind) .place = PINW_PLACE_CAP_WARNING, .part = PINW_CAP_##kind
#define CAP_ACTION(kind)                                                                                     \
	.sections = IN(CAPS), .type = PINW_TYPE_ACTION, .place = PINW_PLACE_CAP_ACTION,                      \
	.part = PINW_CAP_##kind, .actions = DO(LOG) | DO(DENY) | DO(CRASH)

#define EXPECTED_COUNT "a number, such as 8, cpus, cpus-2, cpus*2 or cpus+4"
#define EXPECTED_RATE "a rate, such as 10/s, 100/10s or 600/m"
#define EXPECTED_DURATION "a number and its unit, such as 100us, 250ms, 5s, 2m or 1h"
#define EXPECTED_CPUS "a list of CPUs, such as 0-3,8"
#define EXPECTED_CAP_ACTION "log, deny or crash"
#define EXPECTED_LEAK_ACTION "log, crash or off"
#define EXPECTED_CALLS "one or more of setaffinity, pthread_setaffinity, attr, cross, inherit, golock, raw"

const struct pinw_section_row pinw_sections[] = {
    [PINW_SECTION_POLICY] = {"policy", false, "[policy]", "what holds for the whole file"},
    [PINW_SECTION_CAPS] = {"caps", false, "[caps]", "limits on threads and pins"},
    [PINW_SECTION_BAN] = {"ban", true, "[ban \"name\"]", "pins that must not be made"},
    [PINW_SECTION_ALLOW] = {"allow", true, "[allow \"name\"]", "pins that no ban and no cap may stop"},
    [PINW_SECTION_REQUIRE] = {"require", true, "[require \"name\"]",
                              "threads that must be pinned, or must not"},
    [PINW_SECTION_LEAK] = {"leak", false, "[leak]", "what is done about leaks of each kind"},
    [PINW_SECTION_SUPPRESS] = {"suppress", true, "[suppress \"name\"]",
                               "leaks that are known and counted only"},
};

#define SECTIONS (sizeof(pinw_sections) / sizeof(pinw_sections[0]))

/* In the order of the manual. */
const struct pinw_key pinw_keys[] = {
    {"version", IN(POLICY), PINW_TYPE_VERSION, .expected = "1",
     .meaning = "the version of this file's format", .fallback = "1"},
    {"mode", IN(POLICY), PINW_TYPE_MODE, SETTING(mode), .expected = "audit or enforce",
     .meaning = "whether verdicts are only recorded or also carried out", .fallback = "audit"},
    {"pin_width", IN(POLICY), PINW_TYPE_WIDTH, SETTING(pin_width), .least = 1, .expected = EXPECTED_COUNT,
     .meaning = "only masks of at most this many CPUs count as pins", .fallback = "every pin counts"},
    {"log", IN(POLICY), PINW_TYPE_TEXT, SETTING(log), .expected = "stderr or a file",
     .meaning = "where violations are written", .fallback = "under run: stderr; else nowhere"},
    {"deny_golocks", IN(POLICY), PINW_TYPE_YES_NO, SETTING(deny_golocks), .expected = "yes or no",
     .meaning =
         "whether runtime.LockOSThread may be denied: it then returns, and the goroutine is not locked",
     .fallback = "no: what a rule would deny of Go locks is only recorded"},
    {"on_invalid", IN(POLICY), PINW_TYPE_STOP, SETTING(on_invalid_stop), .expected = "stop or continue",
     .meaning = "what becomes of a program that finds this file invalid",
     .fallback = "enforce: stop; audit: continue"},

    {"max_threads", IN(CAPS), PINW_TYPE_COUNT, CAP(MAX_THREADS), .least = 1, .expected = EXPECTED_COUNT,
     .meaning = "most threads alive at once, the main one included", .fallback = "no limit"},
    {"max_threads_action", CAP_ACTION(MAX_THREADS), .expected = EXPECTED_CAP_ACTION,
     .meaning = "what is done at the thread that would exceed max_threads", .fallback = "crash"},
    {"max_threads_warn_at", IN(CAPS), PINW_TYPE_COUNT, CAP_WARNING(MAX_THREADS), .least = 1,
     .expected = EXPECTED_COUNT, .meaning = "threads alive at which a line is logged", .fallback = "never"},
    {"max_pinned", IN(CAPS), PINW_TYPE_COUNT, CAP(MAX_PINNED), .expected = EXPECTED_COUNT,
     .meaning = "most threads with an open pin or Go lock at once", .fallback = "no limit"},
    {"max_pinned_action", CAP_ACTION(MAX_PINNED), .expected = EXPECTED_CAP_ACTION,
     .meaning = "what is done at the pin that would exceed max_pinned", .fallback = "deny"},
    {"max_pinned_warn_at", IN(CAPS), PINW_TYPE_COUNT, CAP_WARNING(MAX_PINNED), .least = 1,
     .expected = EXPECTED_COUNT, .meaning = "pinned threads at which a line is logged", .fallback = "never"},
    {"max_pinned_per_cpu", IN(CAPS), PINW_TYPE_COUNT, CAP(MAX_PINNED_PER_CPU), .least = 1,
     .expected = EXPECTED_COUNT, .meaning = "most threads pinned inside a mask, for each of its CPUs",
     .fallback = "no limit"},
    {"max_pinned_per_cpu_action", CAP_ACTION(MAX_PINNED_PER_CPU), .expected = EXPECTED_CAP_ACTION,
     .meaning = "what is done at the pin that would exceed max_pinned_per_cpu", .fallback = "deny"},
    {"max_pinned_per_cpu_warn_at", IN(CAPS), PINW_TYPE_COUNT, CAP_WARNING(MAX_PINNED_PER_CPU), .least = 1,
     .expected = EXPECTED_COUNT, .meaning = "pins for each CPU at which a line is logged",
     .fallback = "never"},
    {"reserve_cpus", IN(CAPS), PINW_TYPE_CPUS, CAP(RESERVE_CPUS), .expected = EXPECTED_CPUS,
     .meaning = "CPUs that no pin may hold", .fallback = "none"},
    {"reserve_cpus_action", CAP_ACTION(RESERVE_CPUS), .expected = EXPECTED_CAP_ACTION,
     .meaning = "what is done at a pin that holds a reserved CPU", .fallback = "deny"},
    {"thread_rate", IN(CAPS), PINW_TYPE_RATE, CAP(THREAD_RATE), .least = 1, .expected = EXPECTED_RATE,
     .meaning = "most creations of threads in a time", .fallback = "no limit"},
    {"thread_rate_action", CAP_ACTION(THREAD_RATE), .expected = EXPECTED_CAP_ACTION,
     .meaning = "what is done at the creation that would exceed thread_rate", .fallback = "deny"},
    {"thread_rate_warn_at", IN(CAPS), PINW_TYPE_RATE, CAP_WARNING(THREAD_RATE), .least = 1,
     .expected = EXPECTED_RATE, .meaning = "creations in a time at which a line is logged",
     .fallback = "never"},

    {"function", IN(BAN) | IN(ALLOW) | IN(SUPPRESS), LIST(0), .expected = "a function's name, with * and ?",
     .meaning = "some function on the stack of the pin", .fallback = "any"},
    {"function", IN(REQUIRE), LIST(0), .expected = "a function's name, with * and ?",
     .meaning = "the thread's start routine, or a function on the stack that created it", .fallback = "any"},
    {"module", IN(BAN) | IN(ALLOW) | IN(SUPPRESS), LIST(1),
     .expected = "the path or the last component of a program or library, with * and ?",
     .meaning = "the program or library on the stack; with function: that function's", .fallback = "any"},
    {"thread_name", IN(BAN) | IN(ALLOW) | IN(REQUIRE) | IN(SUPPRESS), LIST(2),
     .expected = "a thread's name of at most 15 bytes, with * and ?", .meaning = "the name of the thread",
     .fallback = "any"},
    {"created_by", IN(BAN) | IN(ALLOW) | IN(REQUIRE) | IN(SUPPRESS), LIST(3),
     .expected = "a function's name, with * and ?",
     .meaning = "some function on the stack that created the thread", .fallback = "any"},
    {"call", IN(BAN) | IN(ALLOW), PINW_TYPE_CALLS, FIELD(calls), .is_list = true, .expected = EXPECTED_CALLS,
     .meaning = "how the pin is made", .fallback = "any"},
    {"cpus", IN(BAN), PINW_TYPE_CPUS, FIELD(cpus), .expected = EXPECTED_CPUS,
     .meaning = "pins whose mask holds one of these CPUs", .fallback = "any"},
    {"cpus", IN(ALLOW), PINW_TYPE_CPUS, FIELD(cpus), .expected = EXPECTED_CPUS,
     .meaning = "pins whose mask holds no other CPUs", .fallback = "any"},
    {"cpus", IN(REQUIRE), PINW_TYPE_CPUS, FIELD(cpus), .expected = EXPECTED_CPUS,
     .meaning = "the pin's mask may hold no other CPUs", .fallback = "any"},
    {"site_rate", IN(BAN), PINW_TYPE_RATE, FIELD(rate), .least = 1, .expected = EXPECTED_RATE,
     .meaning = "more pins than this from one stack", .fallback = "every pin"},
    {"churn_rate", IN(BAN), PINW_TYPE_RATE, FIELD(churn), .least = 1, .expected = EXPECTED_RATE,
     .meaning = "more threads than this that pin and soon end", .fallback = "every pin"},
    {"short_lived", IN(BAN), PINW_TYPE_DURATION, FIELD(short_lived_ns), .least = 1,
     .expected = EXPECTED_DURATION, .meaning = "what counts as soon for churn_rate", .fallback = "1s"},
    {"kind", IN(BAN) | IN(ALLOW), PINW_TYPE_KIND, FIELD(kinds), .expected = "cpu or go",
     .meaning = "CPU pins, or locks of goroutines to their thread", .fallback = "both"},
    {"kind", IN(REQUIRE), PINW_TYPE_KIND, FIELD(kinds), .expected = "cpu or go",
     .meaning = "by a CPU pin, or by the lock of a goroutine", .fallback = "either; with cpus a CPU pin"},
    {"action", IN(BAN), PINW_TYPE_ACTION, FIELD(action),
     .actions = DO(LOG) | DO(DENY) | DO(RESET) | DO(CRASH),
     .expected = "log, deny or crash, or with call = inherit alone: reset",
     .meaning = "what is done at a banned pin", .fallback = "deny"},
    {"errno", IN(BAN), PINW_TYPE_ERRNO, FIELD(error),
     .expected = "the name of an error, such as EPERM or EAGAIN",
     .meaning = "the error a denied call returns", .fallback = "EPERM"},
    {"after", IN(BAN) | IN(ALLOW), PINW_TYPE_DURATION, FIELD(after_ns), .least = 1,
     .expected = EXPECTED_DURATION, .meaning = "the rule sleeps this long from the program's start",
     .fallback = "holds from the start"},
    {"message", IN(BAN) | IN(REQUIRE), PINW_TYPE_TEXT, FIELD(message), .expected = "a text",
     .meaning = "what the log says with a violation", .fallback = "nothing"},
    {"max", IN(ALLOW), PINW_TYPE_COUNT, FIELD(limit), .least = 1, .expected = EXPECTED_COUNT,
     .meaning = "most open pins that the rule allows at once", .fallback = "no limit"},
    {"pinned", IN(REQUIRE), PINW_TYPE_YES_NO, FIELD(pinned), .expected = "yes or no",
     .meaning = "whether the threads must be pinned or must not be", .fallback = "yes"},
    {"within", IN(REQUIRE), PINW_TYPE_DURATION, FIELD(within_ns), .least = 1, .expected = EXPECTED_DURATION,
     .meaning = "how long after its start a thread may still be unpinned",
     .fallback = "judged at the thread's end"},
    {"action", IN(REQUIRE), PINW_TYPE_ACTION, FIELD(action), .actions = DO(LOG) | DO(CRASH),
     .expected = "log or crash", .meaning = "what is done about a thread that breaks the rule",
     .fallback = "log"},

    {"exit_while_pinned", IN(LEAK), LEAK(EXIT_WHILE_PINNED), .actions = DO(NONE) | DO(LOG) | DO(CRASH),
     .expected = EXPECTED_LEAK_ACTION, .meaning = "a thread ended with an open pin", .fallback = "off"},
    {"pinned_idle", IN(LEAK), LEAK(PINNED_IDLE), .actions = DO(NONE) | DO(LOG) | DO(CRASH),
     .expected = EXPECTED_LEAK_ACTION, .meaning = "a pinned thread used no CPU for idle_after",
     .fallback = "off"},
    {"idle_after", IN(LEAK), PINW_TYPE_DURATION, .place = PINW_PLACE_LEAK_TIME,
     .part = PINW_PLEAK_PINNED_IDLE, .least = 1, .expected = EXPECTED_DURATION,
     .meaning = "how long a pinned thread may use no CPU", .fallback = "10s"},
    {"pinned_at_end", IN(LEAK), LEAK(PINNED_AT_END), .actions = DO(NONE) | DO(LOG) | DO(CRASH),
     .expected = EXPECTED_LEAK_ACTION, .meaning = "the program ended with a pin open", .fallback = "off"},
    {"unjoined", IN(LEAK), LEAK(UNJOINED), .actions = DO(NONE) | DO(LOG) | DO(CRASH),
     .expected = EXPECTED_LEAK_ACTION,
     .meaning = "an ended thread was neither joined nor detached within grace", .fallback = "off"},
    {"grace", IN(LEAK), PINW_TYPE_DURATION, .place = PINW_PLACE_LEAK_TIME, .part = PINW_PLEAK_UNJOINED,
     .expected = EXPECTED_DURATION, .meaning = "how long an ended thread may stay unjoined",
     .fallback = "10s"},
    {"inherited", IN(LEAK), LEAK(INHERITED), .actions = DO(NONE) | DO(LOG) | DO(RESET),
     .expected = "log, reset or off", .meaning = "a thread runs on the mask that its creator's pin gave it",
     .fallback = "off"},
    {"unbalanced", IN(LEAK), LEAK(UNBALANCED), .actions = DO(NONE) | DO(LOG) | DO(CRASH),
     .expected = EXPECTED_LEAK_ACTION, .meaning = "a goroutine's locks and unlocks do not pair",
     .fallback = "off"},
    {"growth", IN(LEAK), LEAK(GROWTH), .actions = DO(NONE) | DO(LOG) | DO(CRASH),
     .expected = EXPECTED_LEAK_ACTION, .meaning = "live threads rise steadily over the run",
     .fallback = "off"},

    {"leak", IN(SUPPRESS), PINW_TYPE_LEAKS, FIELD(leaks), .is_list = true,
     .expected = "one or more of exit_while_pinned, pinned_idle, pinned_at_end, unjoined, inherited, "
                 "unbalanced, growth",
     .meaning = "the kinds of leaks that are suppressed", .fallback = "every kind"},
    {"reason", IN(SUPPRESS), PINW_TYPE_TEXT, FIELD(reason), .expected = "a text",
     .meaning = "why the leak is accepted, for the report", .fallback = "nothing"},
    {"expires", IN(SUPPRESS), PINW_TYPE_DATE, FIELD(expires), .expected = "a day, such as 2027-03-31",
     .meaning = "the last day the suppression holds", .fallback = "never"},
};

const unsigned pinw_key_count = sizeof(pinw_keys) / sizeof(pinw_keys[0]);
_Static_assert(sizeof(pinw_keys) / sizeof(pinw_keys[0]) <= PINW_KEYS_MAX, "a set of keys is one word");

enum pinw_section pinw_section_find(const char *name)
{
	for (unsigned i = 1; i < SECTIONS; i++)
		if (!strcmp(pinw_sections[i].name, name))
			return i;
	return 0;
}

const struct pinw_key *pinw_key_find(enum pinw_section section, const char *name)
{
	for (unsigned i = 0; i < pinw_key_count; i++)
		if (pinw_keys[i].sections & 1u << section && !strcmp(pinw_keys[i].name, name))
			return &pinw_keys[i];
	return NULL;
}

enum pinw_section pinw_key_home(const char *name)
{
	for (unsigned i = 1; i < SECTIONS; i++)
		if (pinw_key_find(i, name))
			return i;
	return 0;
}

/* ---- what was meant ------------------------------------------------------------------------- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Single characters to insert, remove, replace or swap with a neighbour to get from `a` to `b`; both are at most
 * PINW_WORD_MAX long. */
static unsigned distance(const char *a, const char *b)
{
	unsigned char rows[3][PINW_WORD_MAX + 1];
	unsigned char *before = rows[0], *above = rows[1], *row = rows[2];
	size_t columns = strlen(b);

	for (size_t j = 0; j <= columns; j++)
		row[j] = (unsigned char)j;
	for (size_t i = 1; a[i - 1]; i++) {
		unsigned char *spare = before;
		before = above, above = row, row = spare;
		row[0] = (unsigned char)i;
		for (size_t j = 1; j <= columns; j++) {
			unsigned cost = lower(a[i - 1]) != lower(b[j - 1]);
			unsigned d = least(least(above[j], row[j - 1]) + 1, above[j - 1] + cost);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
			    lower(a[i - 2]) == lower(b[j - 1]))
				d = least(d, before[j - 2] + 1u);
			row[j] = (unsigned char)d;
		}
	}
	return row[columns];
}

const char *pinw_word_nearest(const char *const *words, unsigned count, const char *word)
{
	const char *nearest = NULL;
	size_t len = strlen(word);
	/* One slip in a short word, three in a long one. */
	unsigned best = len <= 3 ? 2 : len <= 6 ? 3 : 4;

	if (!len || len > PINW_WORD_MAX)
		return NULL;
	for (unsigned i = 0; i < count; i++) {
		unsigned d = distance(word, words[i]);
		/* A word broken off is near, but not as near as one misspelt by a letter. */
		if (len >= 3 && !strncmp(words[i], word, len))
			d = least(d, 2);
		if (d < best) {
			best = d;
			nearest = words[i];
		}
	}
	return nearest;
}

const char *pinw_key_nearest(enum pinw_section section, const char *name)
{
	const char *words[PINW_KEYS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < pinw_key_count; i++)
		if (pinw_keys[i].sections & 1u << section)
			words[count++] = pinw_keys[i].name;
	return pinw_word_nearest(words, count, name);
}

const char *pinw_section_nearest(const char *name)
{
	const char *words[SECTIONS];

	for (unsigned i = 1; i < SECTIONS; i++)
		words[i - 1] = pinw_sections[i].name;
	return pinw_word_nearest(words, SECTIONS - 1, name);
}
