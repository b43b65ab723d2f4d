/* SPDX-License-Identifier: MIT
 *
 * The verdict step in the way of an event: asks policy/match.c before the real call,
 * and afterwards writes down what came of it. With no policy every call here is one
 * branch, made by the caller: `if (pinw_enforce.policy)`.
 *
 *     trial = pinw_enforce_pin(...)      before the call: judged, counters reserved
 *     trial.denied? → the call is not made, the caller gets trial.error
 *     pinw_enforce_settle(&trial, …)     after it: kept or withdrawn, recorded, logged
 *
 * A crash never returns. Nothing here allocates, waits for a lock that a handler could
 * hold, or touches errno.
 */
#ifndef PINW_ENFORCE_H
#define PINW_ENFORCE_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/match.h"
#include "preload/shim.h"
#include "preload/site.h"

struct pinw_enforce {
	const struct pinw_policy *policy; /* NULL: none; set before the shim is ON, then constant */
	bool enforcing; /* mode, PINWARDEN_MODE heeded */
	struct pinw_policy_state state; /* of this image */
};

extern struct pinw_enforce pinw_enforce;

/* Reads the policy that PINWARDEN_POLICY names. Called once, by init, before the first trace is made; does not return when
 * the policy is invalid and says so, or says nothing but would enforce: the program ends with status 2 before main. */
void pinw_enforce_load(void);

/* Writes the policy and its rules into the trace just opened and starts counting anew: each image. */
void pinw_enforce_start_image(void);

/* One attempt under way. */
struct pinw_trial {
	bool judged; /* else everything below is unset, and settle does nothing */
	bool denied;
	bool reset;
	uint8_t attempt; /* enum pinw_attempted */
	int error; /* when denied: what the caller gets */
	uint32_t site;
	uint32_t target; /* start sequence, 0 unknown */
	struct pinw_verdict verdict;
	struct pinw_hold held, hold;
};

#endif
