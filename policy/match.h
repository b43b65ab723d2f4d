/* SPDX-License-Identifier: MIT
 *
 * The verdict: transition + site + counters → action, rule, line. No I/O, no clock,
 * no lock, no allocation: the caller brings the time, the names and the memory. Counters
 * in struct pinw_policy_state are changed with atomic operations only, so any number of
 * threads and signal handlers may ask at once.
 *
 * Precedence (design, SEMANTICS): [allow] beats [ban] beats [caps]; among rules of one
 * kind the first in the file wins, whatever its action: behind a ban that only logs neither
 * later bans nor caps are asked, and what an allow grants is beyond the caps.
 */
#ifndef PINW_POLICY_MATCH_H
#define PINW_POLICY_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/policy.h"

/* ---- preparation ----------------------------------------------------------------------------- */

/* The parser's last step: fills policy->index from policy->rules, taking at most pinw_policy_index_bytes(rule_count)
 * bytes of `memory`. Returns 0 or -ENOMEM (nothing changed). Without it no rule of a named section ever matches. */
size_t pinw_policy_index_bytes(uint32_t rule_count);
int pinw_policy_index(struct pinw_policy *policy, struct pinw_policy_memory *memory);

/* ---- stacks: resolved once, cached with the site ------------------------------------------- */

/* Does a glob (`*` any run, `?` any one character, all else itself) match the whole of `text`? Linear in practice: never
 * exponential. */
bool pinw_glob_match(const char *glob, const char *text);

/* Which rules one frame satisfies: fills `rules` with the ids whose function and module predicates it satisfies, and
 * `creators` with the ids whose created_by it satisfies, each ascending; both have room for policy->rule_count. `names` are
 * the spellings of the frame's function (raw, demangled, ...; policy/spell.h) and of its aliases; `module` is the path of its
 * object, NULL when in none. A module predicate matches the path or its last component. Rules without a function or
 * module predicate are in neither list. */
void pinw_policy_frame(const struct pinw_policy *policy, const char *module, const char *const *names,
                       unsigned name_count, uint16_t *rules, unsigned *ret_rules, uint16_t *creators,
                       unsigned *ret_creators);

/* What a whole stack satisfies: the union over its frames, ascending, without repeats. The lists are the caller's. A
 * ban with site_rate and no stack predicate is satisfied by every stack and belongs into `rules` too
 * (pinw_policy_stack_always adds it), so that each site has its window. */
struct pinw_stack_match {
	const uint16_t *rules;
	const uint16_t *creators;
	uint64_t *
	    windows; /* parallel to `rules`: state of site_rate detectors, atomic, zero at first; NULL = none has one */
	uint16_t rule_count;
	uint16_t creator_count;
};

/* Merges `more` (ascending) into `set` (ascending, `count` long, room for policy->rule_count); returns the new count. */
unsigned pinw_policy_merge(uint16_t *set, unsigned count, const uint16_t *more, unsigned more_count);

/* Adds the rules that every stack satisfies and that keep state by site. Returns the new count. */
unsigned pinw_policy_stack_always(const struct pinw_policy *policy, uint16_t *set, unsigned count);

/* Does some rule of `match` (may be NULL) keep a site_rate window? */
bool pinw_policy_keeps_windows(const struct pinw_policy *policy, const uint16_t *rules, unsigned count);

/* ---- state ------------------------------------------------------------------------------------ */

#define PINW_MATCHED_STRIDE 8u /* words: a cell of the trace */

/* What changes while the program runs; zeroed memory is a fresh state. One for each process image. */
struct pinw_policy_state {
	uint64_t pinned; /* threads holding a pin that counts, and attempts under way */
	uint64_t thread_window; /* thread_rate */
	uint64_t *cpu_pins; /* [mask_words * 64]: single-CPU pins on each CPU, attempts under way included */
	struct pinw_rule_state {
		uint64_t window; /* of churn_rate; of thread_rate_warn_at */
		uint64_t churn_until_ns; /* tripped: pins that match are violations until then */
		uint64_t open; /* allow: open pins it granted */
		uint64_t
		    matched; /* times its predicates held, or its limit was passed (not max_threads, which is judged
		                     without a state) */
	} * rules; /* [rule_count], by id - 1 */
	uint64_t *
	    matched_too; /* NULL, or where `matched` is counted as well: a word for each rule, PINW_MATCHED_STRIDE apart */
};

/* Bytes of cpu_pins and rules together, and setting them up in zeroed memory of that size. */
size_t pinw_policy_state_bytes(const struct pinw_policy *policy);
void pinw_policy_state_init(struct pinw_policy_state *state, const struct pinw_policy *policy, void *zeroed);

/* Counts one event in a window of a rate detector. Returns how many the window holds now, this one included. The window
 * starts with its first event and is exact: of any number of threads, each gets a different number. */
uint64_t pinw_window_count(uint64_t *window, uint64_t now_ns, uint64_t window_ns);

/* ---- pins --------------------------------------------------------------------------------------- */

/* What an open pin holds of the counters. All zero: nothing. */
struct pinw_hold {
	uint16_t allow; /* rule that granted it */
	uint8_t pinned; /* counted among its thread's pins, and the thread in state->pinned */
	uint8_t reserved;
	uint32_t cpu; /* CPU + 1 when it is a single-CPU pin */
	/* Of a thread that may have a pin of each kind: where these are counted, attempts under way included (atomic), so that the
	 * thread counts once in state->pinned. NULL: there is no other pin. */
	uint32_t *pins;
};

/* An attempt to pin a thread, or to keep it pinned elsewhere. */
struct pinw_attempt {
	uint32_t calls; /* PINW_CALLS_*: every word that describes it */
	uint32_t kind; /* PINW_KINDS_CPU or _GO */
	const uint64_t *mask; /* the CPUs it would be left on, within the baseline; NULL for a Go lock */
	const char *thread_name; /* of the thread to be pinned; "" unknown */
	const struct pinw_stack_match *stack; /* of the call; NULL = satisfies no stack predicate */
	const struct pinw_stack_match
	    *second; /* another stack that may satisfy them instead (attr: where the mask was set); or NULL */
	const struct pinw_stack_match *creator; /* of the thread's creation; NULL unknown or main */
	uint64_t now_ns; /* since image start */
	uint64_t inside; /* other threads pinned inside `mask`, when pinw_policy_wants_inside() */
	struct pinw_hold held; /* what the thread's pin of this kind holds already */
};

struct pinw_verdict {
	enum pinw_action action; /* what the rule says; the mode is the caller's business */
	const struct pinw_rule *rule; /* NULL when action is NONE */
	uint64_t
	    value; /* what was counted against the rule's limit or rate, this attempt included; 0 = nothing */
	uint64_t limit;
};

/* Is this mask a pin in the eyes of the policy (pin_width)? `mask` must be one by the design's meaning already. */
bool pinw_policy_counts(const struct pinw_policy *policy, const uint64_t *mask);

/* Must `attempt.inside` be filled for this mask? (max_pinned_per_cpu, and more than one CPU) */
bool pinw_policy_wants_inside(const struct pinw_policy *policy, const uint64_t *mask);

/* False: no [allow] and no [ban] can match such an attempt. Two bytes answer for most calls under a policy of any length:
 * `loose_calls` is policy->index.loose_calls, or a copy where the caller has it at hand. */
bool pinw_policy_may_speak(const uint8_t (*loose_calls)[PINW_LOOSE_INITIALS], uint32_t calls,
                           const char *thread_name, const struct pinw_stack_match *stack,
                           const struct pinw_stack_match *creator);

/* Judges a pin that counts. *ret_hold is what the thread's pin would hold afterwards; what it does not hold yet is reserved
 * in the state. Then either pinw_policy_keep (the pin is there: what `held` had and it has no more is given back) or
 * pinw_policy_cancel (it did not come about). Exact under concurrency for single-CPU masks, max_pinned and `max`: never
 * exceeded, and refused below only while another attempt that is then cancelled was under way. (But for a thread that
 * locks while another one pins it: the second of the two is not held against max_pinned.) */
void pinw_policy_judge_pin(const struct pinw_policy *policy, struct pinw_policy_state *state,
                           const struct pinw_attempt *attempt, struct pinw_verdict *ret_verdict,
                           struct pinw_hold *ret_hold);
void pinw_policy_keep(struct pinw_policy_state *state, const struct pinw_hold *held,
                      const struct pinw_hold *now);
void pinw_policy_cancel(struct pinw_policy_state *state, const struct pinw_hold *held,
                        const struct pinw_hold *now);

/* The hold of a pin nobody judged (external, other_process) or of a thread that lost its pin (mask NULL): changes the
 * counters from `held` to it and returns it. */
struct pinw_hold pinw_policy_rehold(const struct pinw_policy *policy, struct pinw_policy_state *state,
                                    const struct pinw_hold *held, const uint64_t *mask);

/* ---- threads ------------------------------------------------------------------------------------ */

/* Judges a creation that would make `live` threads alive at once. Call it before each try to count the thread in, with
 * the number that this try would make. */
void pinw_policy_judge_threads(const struct pinw_policy *policy, uint64_t live,
                               struct pinw_verdict *ret_verdict);

/* Judges the creation's rate; once for each creation. thread_rate_warn_at is judged here too, in a window of its own: when
 * thread_rate does not speak, the verdict is that of the warning if its count has just been reached. */
void pinw_policy_judge_rate(const struct pinw_policy *policy, struct pinw_policy_state *state,
                            uint64_t now_ns, struct pinw_verdict *ret_verdict);

/* A *_warn_at of `cap` that `value` has just reached (equal, not beyond), or action NONE. Not for thread_rate. */
void pinw_policy_judge_warning(const struct pinw_policy *policy, enum pinw_cap cap, uint64_t value,
                               struct pinw_verdict *ret_verdict);

/* What a thread was. Of a Go lock all but `leaked` may stay zero when no Go lock was ever seen. */
struct pinw_thread_facts {
	const char *thread_name;
	const struct pinw_stack_match *creator; /* of its creation; NULL unknown */
	const struct pinw_stack_match *start; /* made of its start routine alone, or NULL */
	const struct pinw_stack_match *pin; /* of its pin: the open one or the last; NULL none or unknown */
	const uint64_t *mask; /* of its open pin; NULL: not pinned */
	uint64_t now_ns;
	uint64_t started_ns;
	bool has_pinned; /* it pinned itself or was pinned, ever */
	bool ended;
	bool is_golocked; /* a Go lock is open, or was at the thread's end */
	bool has_golocked; /* one was taken, ever */
	uint8_t leaked; /* a leak is of this: PINW_KINDS_GO its Go lock, else its pin */
	const struct pinw_stack_match
	    *golock; /* of its Go lock: the open one or the last; NULL none or unknown */
};

/* Judges the end of a thread against churn detectors: it pinned or locked, and lived shorter than short_lived. */
void pinw_policy_judge_churn(const struct pinw_policy *policy, struct pinw_policy_state *state,
                             const struct pinw_thread_facts *facts, struct pinw_verdict *ret_verdict);

/* Judges a thread against rule `id` if that is a [require]: NONE while it is fulfilled, cannot be decided yet (age below
 * `within`) or never will be (it ended younger than `within`). */
void pinw_policy_judge_require(const struct pinw_policy *policy, struct pinw_policy_state *state, uint16_t id,
                               const struct pinw_thread_facts *facts, struct pinw_verdict *ret_verdict);

/* Is this thread declared a long-lived pinned worker: an [allow] or a [require] pinned=yes speaks for its pin, or for its
 * Go lock where that is what leaked? Then pinned-at-end is no leak. */
bool pinw_policy_is_declared(const struct pinw_policy *policy, const struct pinw_thread_facts *facts);

/* ---- leaks ---------------------------------------------------------------------------------------- */

/* Judges a leak. A [suppress] that matches is counted in its rule state, returned in *ret_suppressed (else NULL) and
 * makes the action NONE. Suppressions are matched, and counted, also when no [leak] rule asks for the kind. */
void pinw_policy_judge_leak(const struct pinw_policy *policy, struct pinw_policy_state *state,
                            enum pinw_policy_leak kind, const struct pinw_thread_facts *facts,
                            struct pinw_verdict *ret_verdict, const struct pinw_rule **ret_suppressed);

#endif
