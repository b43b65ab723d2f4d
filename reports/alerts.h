/* SPDX-License-Identifier: MIT
 *
 * Alerting rules for Prometheus about thread counts, leaks and violations, on the
 * metrics that Pinwarden gives. Limits are those of a policy where it has them, else
 * defaults that the file itself explains.
 */
#ifndef PINW_REPORTS_ALERTS_H
#define PINW_REPORTS_ALERTS_H

#include <stdio.h>

#include "policy/policy.h"

/* Writes the rules as YAML. `policy` may be NULL; `cpus` is what its limits in terms of CPUs were counted with. Returns 0, -ENOMEM
 * or -errno of writing; the stream stays open. */
int pinw_alerts_print(const struct pinw_policy *policy, unsigned cpus, FILE *out);

#endif
