/* SPDX-License-Identifier: MIT
 *
 * Places that open pins take: of threads (max_pinned), of CPUs (max_pinned_per_cpu) and
 * of an [allow] (max). Private to policy/.
 */
#ifndef PINW_POLICY_HOLD_H
#define PINW_POLICY_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/match.h"

/* What an attempt has taken, and the numbers that it got. */
struct pinw_reservation {
	struct pinw_hold hold;
	uint64_t pinned; /* threads with a pin, this one included; 0 = it had one already */
	uint64_t
	    on_cpu; /* single-CPU pins on its CPU, this one included; 0 = it was there already, or no single CPU */
};

/* Takes a place in an [allow]; false when `max` are taken. */
bool pinw_hold_allow(struct pinw_policy_state *state, const struct pinw_rule *rule);

/* Takes the places that the attempt needs and its thread does not hold yet. `allow`: what granted it, already taken. */
struct pinw_reservation pinw_hold_reserve(const struct pinw_policy *policy, struct pinw_policy_state *state,
                                          const struct pinw_attempt *attempt, uint16_t allow);

/* The [caps] on pins: the first in the file that this reservation goes beyond. *ret_verdict is untouched when none. */
void pinw_hold_judge(const struct pinw_policy *policy, struct pinw_policy_state *state,
                     const struct pinw_attempt *attempt, const struct pinw_reservation *reservation,
                     struct pinw_verdict *ret_verdict);

/* Are pins that match this ban violations now, by its churn_rate? (policy/detect.c) */
bool pinw_churn_tripped(const struct pinw_policy_state *state, const struct pinw_rule *rule, uint64_t now_ns);

#endif
