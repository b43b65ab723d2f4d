/* SPDX-License-Identifier: MIT
 *
 * The verdict step in the way of an event: asks policy/match.c before the real call,
 * and afterwards writes down what came of it. With no policy every call here is one
 * branch, made by the caller: `if (pinw_unlikely(pinw_enforce.policy != NULL))`.
 *
 *     pinw_enforce_pin(&trial, …)       before the call: judged, counters reserved
 *     trial.denied? → the call is not made, the caller gets trial.error
 *     real call → ledger, which takes the trial's hold over → pinw_enforce_settle(&trial, …)
 *
 * A crash never returns. Nothing here allocates, waits for a lock that a handler could
 * hold, or touches errno.
 */
#ifndef PINW_ENFORCE_H
#define PINW_ENFORCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/match.h"
#include "preload/shim.h"
#include "preload/site.h"
#include "preload/violation.h"

struct pinw_enforce {
	const struct pinw_policy *policy; /* NULL: none; set before the shim is ON, then constant */
	/* What every call asks of the policy, together: on a fresh thread each line of cache counts. */
	bool asks_pins; /* some rule is about pins */
	bool asks_all; /* about each of them */
	bool holds; /* what a pin holds of the counters matters */
	bool times_idle; /* so does the CPU time at which it opened */
	bool asks_golocks; /* some rule is about Go locks */
	bool asks_each_golock; /* and not only about those whose stack satisfies it */
	bool caps_golocks; /* one limits their number */
	uint8_t loose_calls[2][PINW_LOOSE_INITIALS]; /* the policy's, of policy->index */
	bool enforcing; /* the policy's mode, PINWARDEN_MODE heeded */
	const uint64_t *present; /* CPUs this machine has; NULL unknown */
	struct pinw_policy_state state; /* of this image */
	uint64_t
	    exempt; /* atomic: live threads that rules on their number leave out (Go's template thread) */
	void *state_memory;
};

extern struct pinw_enforce pinw_enforce;

/* Reads the policy that PINWARDEN_POLICY names. Called once, by init, before the first trace is made; does not return when
 * the policy is invalid and is to be enforced, or nobody can tell: the program ends with status 2 before main. */
void pinw_enforce_load(void);

/* Recording is off for this image, so nothing is judged either. With a policy to be enforced, the program's first image ends
 * here, with status 125; a fork child, which cannot be undone, goes on with a loud line. */
void pinw_enforce_lost(bool first_image);

/* A Go runtime is here whose locks cannot be seen: a policy that must act on them ends the process. */
void pinw_enforce_golocks_unseen(void);

/* A fork child cannot make its trace, as in a chroot or under another user. Must it be judged all the same, with its counters in
 * memory that nobody reads? Then says so. */
bool pinw_enforce_unrecorded(int error);

/* Makes `policy` the one to ask; NULL: none. */
void pinw_enforce_use(const struct pinw_policy *policy);

/* Writes the policy and its rules into the trace just opened and starts counting anew: each image. */
void pinw_enforce_start_image(void);

/* One attempt under way. */
struct pinw_trial {
	/* All false at first; the rest is not set unless they say so. */
	bool sited; /* `site` is set */
	bool judged; /* all below is set */
	bool denied; /* the call is not to be made */
	bool holds; /* the hold is still the trial's: neither taken over nor given back */
	int error; /* when denied: what the caller gets */
	uint32_t image_gen; /* whose counters the hold is of */
	uint32_t reserved;
	struct pinw_hold held, hold; /* what the target's pin had, and has with this attempt */
	struct pinw_violation violation; /* verdict.action NONE: nothing to write down */
	struct pinw_site_ref site;
};

/* ---- affinity calls ------------------------------------------------------------------------- */

struct pinw_pin_request {
	struct pinw_thread *self;
	struct pinw_thread *target; /* a thread of this process whose ledger is open */
	uint32_t target_seq;
	uint32_t calls; /* PINW_CALLS_* */
	const void *user_mask; /* may be anything */
	size_t cpusetsize;
	struct pinw_where where;
	const struct pinw_site_ref *site; /* known already; NULL: that of `where` */
};

/* Judges a call that would pin a thread. `room`, of pinw_shim.mask_words words, keeps the mask until the trial is settled.
 * Returns false when the call is denied. A call that pins nobody, or that the kernel will refuse for its mask, is not judged. */
bool pinw_enforce_pin(struct pinw_trial *trial, const struct pinw_pin_request *request, uint64_t *room);

/* After the call: `happened` says whether it succeeded. */
void pinw_enforce_settle(struct pinw_trial *trial, struct pinw_thread *target, bool happened);

/* The ledger's part, under the slot's busy mark: the thread's pin is now `mask` (NULL: none). Takes the trial's hold
 * over if it fits. `trial` may be NULL. */
void pinw_enforce_hold(struct pinw_thread *thread, struct pinw_trial *trial, const uint64_t *mask);

/* Would a thread left on this mask be pinned, in the eyes of the kernel, the ledger and the policy? What the machine has
 * not got is taken away from it. */
bool pinw_enforce_is_judged(uint64_t *mask);

/* ---- threads --------------------------------------------------------------------------------- */

struct pinw_create_request {
	struct pinw_thread *self;
	struct pinw_site_ref site; /* of the creation */
	enum pinw_origin origin; /* of the pin it would be born with; NONE, BORN or INHERITED */
	uint32_t pin_site; /* where that was set */
	const uint64_t *mask; /* that it would be born on */
	bool is_template; /* Go's template thread: neither limits nor rates are about it */
};

/* What becomes of a thread about to be created. */
struct pinw_create_trial {
	bool denied;
	int error;
	uint64_t live; /* threads alive with it, when not denied: it is counted in */
	uint32_t image_gen; /* whose counters it is counted in */
	bool birth_judged, reset;
	bool is_exempt; /* from limits */
	struct pinw_hold birth_hold;
	uint16_t inherit_rule; /* verdict to be written down by the new thread, 0 = none */
	uint8_t inherit_leak; /* 1 + PINW_PLEAK_INHERITED, or 0 when a ban spoke */
};

/* Judges a creation and, unless it is denied, counts the thread in (instead of pinw_ledger_live). */
void pinw_enforce_create(struct pinw_create_trial *trial, const struct pinw_create_request *request);

/* The creation failed after all: gives back what its birth pin reserved. */
void pinw_enforce_uncreate(const struct pinw_create_trial *trial);

/* In the new thread, before its start routine and before its mask is looked at: carries out a reset, unless somebody gave the
 * thread a mask of its own before it ran. */
void pinw_enforce_birth(struct pinw_thread *thread, uint64_t now_ns);

/* The main thread of a fork child whose parent's thread was pinned at `pin_site`; `thread` has its mask and name. True: it
 * was reset to the baseline. */
bool pinw_enforce_fork(struct pinw_thread *thread, uint32_t pin_site);

/* At the thread's end, before the ledger closes. Returns true when a leak that it leaves is to be kept out of the log:
 * suppressed, or written down as a violation. */
bool pinw_enforce_thread_end(struct pinw_thread *thread, uint64_t now_ns);

/* At the image's end, for each thread that has a slot. The same return value. */
bool pinw_enforce_image_end(struct pinw_thread *thread, uint64_t now_ns);

#endif
