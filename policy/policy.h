/* SPDX-License-Identifier: MIT
 *
 * A policy: INI text in, rules out. Pure: no I/O, no clock, no globals, no malloc;
 * everything lives in memory that the caller gives, so the shim and the command use
 * the same code. What each section and key means: pinwarden-policy(5).
 *
 *     text ──pinw_policy_parse──► struct pinw_policy (rules in file order)
 *     attempt + counters ──policy/match.h──► verdict (action, rule, line)
 *
 * A policy is immutable once parsed. What changes while a program runs (windows of the
 * rate detectors, counters of open pins) is a struct pinw_policy_state, policy/match.h.
 */
#ifndef PINW_POLICY_POLICY_H
#define PINW_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define PINW_POLICY_BYTES_MAX (1u << 20) /* longest policy text */
#define PINW_POLICY_LINE_MAX 1000u /* longest line, in bytes, without its end */
#define PINW_POLICY_RULES_MAX 4096u
#define PINW_POLICY_MESSAGE_BYTES 512u

enum pinw_mode {
	PINW_MODE_AUDIT = 1, /* verdicts are recorded as what would have been done */
	PINW_MODE_ENFORCE = 2,
};

/* Weakest first. */
enum pinw_action {
	PINW_ACTION_NONE = 0, /* no rule speaks against it; also `off` */
	PINW_ACTION_LOG = 1,
	PINW_ACTION_DENY = 2, /* the call is not made */
	PINW_ACTION_RESET = 3, /* inherited pins only: the thread gets the baseline mask */
	PINW_ACTION_CRASH = 4, /* say which limit and every thread's stacks, then abort */
};

enum pinw_section {
	PINW_SECTION_POLICY = 1,
	PINW_SECTION_CAPS = 2,
	PINW_SECTION_BAN = 3,
	PINW_SECTION_ALLOW = 4,
	PINW_SECTION_REQUIRE = 5,
	PINW_SECTION_LEAK = 6,
	PINW_SECTION_SUPPRESS = 7,
};

/* Kinds of leaks, as [leak] and [suppress] name them. */
enum pinw_policy_leak {
	PINW_PLEAK_EXIT_WHILE_PINNED = 0,
	PINW_PLEAK_PINNED_IDLE = 1,
	PINW_PLEAK_PINNED_AT_END = 2,
	PINW_PLEAK_UNJOINED = 3,
	PINW_PLEAK_INHERITED = 4,
	PINW_PLEAK_UNBALANCED = 5, /* Go locks only */
	PINW_PLEAK_GROWTH = 6,
	PINW_PLEAKS = 7,
};

/* The limits of [caps]. */
enum pinw_cap {
	PINW_CAP_MAX_THREADS = 0, /* live threads, the main one included */
	PINW_CAP_MAX_PINNED = 1, /* threads with an open pin */
	PINW_CAP_MAX_PINNED_PER_CPU =
	    2, /* of a mask of k CPUs: threads pinned inside it <= k times the limit */
	PINW_CAP_RESERVE_CPUS = 3, /* CPUs that no pin may hold */
	PINW_CAP_THREAD_RATE = 4, /* creations */
	PINW_CAPS = 5,
};

/* What `call =` names; an attempt can be several at once (a cross pthread_setaffinity). */
#define PINW_CALLS_SETAFFINITY 0x1u /* sched_setaffinity, also through syscall() */
#define PINW_CALLS_PTHREAD_SETAFFINITY 0x2u
#define PINW_CALLS_ATTR 0x4u /* pthread_create with an attribute that carries a mask */
#define PINW_CALLS_CROSS 0x8u /* on another thread of the process */
#define PINW_CALLS_INHERIT                                                                                   \
	0x10u /* a thread created by a pinned one; a fork cannot be denied any more: [leak] inherited */
#define PINW_CALLS_GOLOCK 0x20u /* runtime.LockOSThread */
#define PINW_CALLS_RAW                                                                                       \
	0x40u /* a raw system call seen in Go; an attempt has PINW_CALLS_SETAFFINITY as well, whose rules are about it too */

#define PINW_KINDS_CPU 0x1u
#define PINW_KINDS_GO 0x2u

/* "N events in window_ns"; count 0 = not given. */
struct pinw_rate {
	uint64_t count;
	uint64_t window_ns;
};

/* A list of strings, as repeated keys make it. */
struct pinw_strings {
	const char *const *text;
	uint32_t count;
};

/* One rule: a named section ([ban], [allow], [require], [suppress]), a limit of [caps], its *_warn_at, or a key of
 * [leak]. A field that its section or the file does not give is zero. */
struct pinw_rule {
	uint16_t id; /* 1, 2, ... in file order over all sections */
	uint8_t section; /* enum pinw_section */
	uint8_t action; /* enum pinw_action */
	uint32_t line; /* of the section's heading, or of the key for [caps] and [leak] */
	const char
	    *name; /* of a named section; else the key ("max_threads", "max_threads_warn_at", "inherited") */
	const char *label; /* how reports call it: "ban:NAME", "caps:max_threads", "leak:inherited" */
	const char *message; /* NULL: none */
	int error; /* errno of a deny */

	/* predicates: all given ones must hold, of a list any */
	struct pinw_strings functions; /* some frame's function */
	struct pinw_strings modules; /* its object; with `functions`: that same frame's */
	struct pinw_strings thread_names; /* of the thread that is or would be pinned */
	struct pinw_strings created_by; /* some function on the stack that created that thread */
	uint32_t calls; /* PINW_CALLS_*, 0 = any */
	uint32_t kinds; /* PINW_KINDS_*, 0 = any */
	const uint64_t *
	    cpus; /* NULL = any; mask_words words. ban: the mask holds one of these; allow and require: it holds
	                         no others; caps reserve_cpus: the reserved ones */
	uint64_t after_ns; /* the rule sleeps this long from image start */

	struct pinw_rate rate; /* site_rate of a ban; thread_rate of [caps] */
	struct pinw_rate churn; /* churn_rate of a ban */
	uint64_t short_lived_ns;
	uint64_t limit; /* caps: most; *_warn_at: from here on; allow: most open pins at once, 0 = no limit */
	uint8_t cap; /* enum pinw_cap, section CAPS */
	bool is_warning; /* a *_warn_at */
	bool pinned; /* require: pinned = yes (else no); with `kinds`: by a pin of that kind */
	uint64_t within_ns; /* require */
	uint8_t leak; /* enum pinw_policy_leak, section LEAK */
	uint32_t leaks; /* suppress: 1 << enum pinw_policy_leak, 0 = every kind */
	uint64_t time_ns; /* leak: idle_after, grace */
	const char *reason; /* suppress; NULL: none */
	uint32_t expires; /* suppress: yyyymmdd, the last day it holds; 0 = never */
	bool expired;
};

/* Something lint shows, and run as a line: true but not an error. A note is for some programs only, those of Go: which
 * the policy is for is not written in it, so lint counts no finding, and run, which sees the program, says it by itself. */
struct pinw_policy_warning {
	uint32_t line;
	bool is_note;
	const char *text;
};

/* Rule ids, ascending. */
struct pinw_rule_ids {
	const uint16_t *id;
	uint32_t count;
};

/* A rule of [allow] or [ban] that no stack is asked about (no function, no module), as its quick test: most of such rules
 * are dismissed by one look at this. */
struct pinw_loose_rule {
	uint64_t rejects; /* PINW_LOOSE_*: what an attempt must not have */
	uint16_t id;
};

#define PINW_LOOSE_INITIALS 48u /* bits 0..47: first characters of thread names, modulo this */
#define PINW_LOOSE_CALLS_SHIFT                                                                               \
	48u /* bits 48..53: a call, by its bit in PINW_CALLS_*; 54..59: that call and cross; a raw one shows as setaffinity */
#define PINW_LOOSE_CALLS 6u
#define PINW_LOOSE_KINDS_SHIFT 60u /* bits 60, 61: PINW_KINDS_* */
#define PINW_LOOSE_NO_CREATOR (UINT64_C(1) << 62) /* the stack that created the thread is not known */

/* Where the verdict looks, so that rules which cannot match cost nothing. Made by pinw_policy_index, policy/match.h. */
struct pinw_policy_index {
	const struct pinw_loose_rule *loose_allows, *loose_bans; /* in file order */
	uint32_t loose_allow_count, loose_ban_count;
	/* By first character of the thread's name, modulo PINW_LOOSE_INITIALS: PINW_CALLS_* of the loose rules that may match; [1] with, [0]
	 * without those that ask who created the thread. */
	uint8_t loose_calls[2][PINW_LOOSE_INITIALS];
	bool caps_pins; /* some limit on pins */
	bool
	    counts_pins; /* what pins hold of the counters matters: a limit on their number, or an [allow] with max */
	struct pinw_rule_ids stacked; /* rules with function or module */
	struct pinw_rule_ids created; /* rules with created_by */
	struct pinw_rule_ids allows; /* all [allow] */
	struct pinw_rule_ids requires; /* all [require] */
	struct pinw_rule_ids suppresses; /* all [suppress] that have not expired */
	struct pinw_rule_ids churns; /* [ban] with churn_rate */
};

struct pinw_policy {
	const char *path; /* as the caller gave it, for messages */
	enum pinw_mode mode;
	uint32_t
	    pin_width; /* only masks of at most this many CPUs count as pins; 0 = every mask that is a pin */
	const char *log; /* NULL not given; "stderr" or a file */
	bool on_invalid_given; /* what the shim does with an invalid policy; default: by mode */
	bool on_invalid_stop;
	bool deny_golocks; /* a Go lock may be denied; else what a rule would deny of them is only recorded */
	unsigned mask_words;
	const struct pinw_rule *rules; /* rules[id - 1] */
	uint32_t rule_count;
	uint16_t caps[PINW_CAPS]; /* rule ids, 0 = no such limit */
	uint16_t warns[PINW_CAPS]; /* of the *_warn_at */
	uint16_t leaks[PINW_PLEAKS]; /* rule ids; 0 = not asked for, or off */
	const struct pinw_policy_warning *warnings;
	uint32_t warning_count;
	/* What has to be watched at all. */
	bool judges_pins; /* some ban, allow, or cap on pins */
	bool judges_threads; /* max_threads or thread_rate */
	bool judges_births; /* a rule on attr or inherit pins can match, or [leak] inherited is set */
	bool needs_creator; /* some rule has created_by */
	bool needs_churn;
	bool needs_require;
	bool needs_watch; /* a rule about time: pinned_idle, unjoined, growth, or require with within */
	uint64_t hash; /* FNV-1a of the text */
	struct pinw_policy_index index;
};

/* What of this machine and day a policy is held against. */
struct pinw_policy_host {
	const uint64_t *baseline; /* the mask of the process to audit: what `cpus` counts in "cpus-2" */
	const uint64_t *present; /* CPUs this machine has; NULL = do not check */
	unsigned mask_words;
	uint32_t today; /* yyyymmdd; 0 = expiry is not checked */
};

/* The first thing wrong with a policy. */
struct pinw_policy_error {
	uint32_t line; /* 1..; 0 = the file as a whole */
	char key[64]; /* the key or "[section]", "" when none */
	char text[PINW_POLICY_MESSAGE_BYTES]; /* what is wrong, what was expected, the nearest known word */
};

/* Memory for one policy: everything parsed points into it and it must outlive the policy. */
struct pinw_policy_memory {
	char *bytes;
	size_t size;
	size_t used;
};

/* How much memory is always enough for a text of `len` bytes on masks of `mask_words` words. */
size_t pinw_policy_memory_needed(size_t len, unsigned mask_words);

/* Parses a whole text. `path` is kept (copied) for messages. Returns 0, -EINVAL (*ret_error says what is wrong; *ret_policy
 * untouched) or -ENOMEM (the memory is too small). */
int pinw_policy_parse(const char *text, size_t len, const char *path, const struct pinw_policy_host *host,
                      struct pinw_policy_memory *memory, const struct pinw_policy **ret_policy,
                      struct pinw_policy_error *ret_error);

/* What an invalid text says about itself, as far as it can be read: mode and on_invalid of its [policy] section. Should a
 * program whose policy this is be stopped? `mode` is the mode asked for from outside, 0 = none: an enforcing policy stops, an
 * auditing one goes on; on_invalid overrides; when nothing can be read the answer is to stop. */
bool pinw_policy_invalid_stops(const char *text, size_t len, enum pinw_mode mode);

/* Writes "path:line: key: text" (without the parts that are not known), NUL terminated. Returns its length. */
size_t pinw_policy_error_print(char *buf, size_t size, const char *path, const struct pinw_policy_error *e);

/* May this file be obeyed by a process of user `uid`? Returns NULL, or what is wrong with it and what to do, as a static
 * phrase ("is writable by other users; chmod go-w"). It must be a regular file, owned by that user or root, writable by nobody
 * else, of at most PINW_POLICY_BYTES_MAX bytes. */
const char *pinw_policy_distrust(const struct stat *st, uid_t uid);

/* Words: "log", "deny", ...; "ban", ...; "exit_while_pinned", ... Never NULL. */
const char *pinw_action_name(enum pinw_action action);
const char *pinw_section_name(enum pinw_section section);
const char *pinw_policy_leak_name(enum pinw_policy_leak leak);
const char *pinw_mode_name(enum pinw_mode mode);

/* Can the rule speak about an attempt to lock a goroutine to its thread? Bans, allows and max_pinned. */
bool pinw_rule_is_on_golocks(const struct pinw_rule *rule);

/* Does it ask for them by name: call = golock, alone or among others, or kind = go? */
bool pinw_rule_names_golocks(const struct pinw_rule *rule);

/* The same, or a leak or a requirement that is about them? */
bool pinw_rule_is_about_golocks(const struct pinw_rule *rule);

/* About Go locks and nothing else? */
bool pinw_rule_is_golocks_only(const struct pinw_rule *rule);

/* Would it deny Go locks, but for deny_golocks, which the policy does not say? Then they are recorded as would-be denials,
 * also under enforce, while CPU pins that the rule covers are denied. */
bool pinw_rule_spares_golocks(const struct pinw_policy *policy, const struct pinw_rule *rule);

/* Must Go locks be seen for the rule to be enforced: does it deny them, or crash at one or at a leak of one? */
bool pinw_rule_acts_on_golocks(const struct pinw_policy *policy, const struct pinw_rule *rule);

/* Says in words what a rule matches and what then happens, one sentence or a few, without a final newline. Returns the
 * length written (cut to size - 1). */
size_t pinw_policy_explain(const struct pinw_policy *policy, const struct pinw_rule *rule, char *buf,
                           size_t size);

#endif
