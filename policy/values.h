/* SPDX-License-Identifier: MIT
 *
 * Values of policy keys: text in, numbers out. Each function returns 0, or -EINVAL with
 * the result untouched and in `why` (started by the caller) what is wrong, when more can be
 * said than that the text was not understood. Blanks around a value are gone already.
 */
#ifndef PINW_POLICY_VALUES_H
#define PINW_POLICY_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/policy.h"
#include "policy/phrase.h"

#define PINW_COUNT_MAX UINT64_C(1000000000)
#define PINW_RATE_COUNT_MAX UINT64_C(1000000) /* what a rate detector's window can count, */
#define PINW_RATE_WINDOW_MAX_NS (UINT64_C(3600) * 1000000000) /* and how long it can be */
#define PINW_DURATION_MAX_NS (UINT64_C(8760) * 3600 * 1000000000) /* a year */

/* "8", "cpus", "cpus-2", "cpus*2", "cpus+4"; `cpus` is what the word stands for. At least `least`. */
int pinw_value_count(const char *text, uint64_t cpus, uint64_t least, uint64_t *ret, struct pinw_phrase *why);

/* "250ms": us, ms, s, m, h. At least `least` nanoseconds. */
int pinw_value_duration(const char *text, uint64_t least, uint64_t *ret_ns, struct pinw_phrase *why);

/* "10/s", "100/10s": at least one in a window. */
int pinw_value_rate(const char *text, struct pinw_rate *ret, struct pinw_phrase *why);

/* "0-3,8": CPUs of this host, when it says which it has. `ret_mask` has host->mask_words words. */
int pinw_value_cpus(const char *text, const struct pinw_policy_host *host, uint64_t *ret_mask,
                    struct pinw_phrase *why);

/* One of the actions in `allowed` (bits by enum pinw_action). */
int pinw_value_action(const char *text, uint32_t allowed, uint8_t *ret, struct pinw_phrase *why);

/* Comma lists of calls and of leaks, as bits. A word given twice, or already in *ret, is an error. */
int pinw_value_calls(const char *text, uint32_t *ret, struct pinw_phrase *why);
int pinw_value_leaks(const char *text, uint32_t *ret, struct pinw_phrase *why);

int pinw_value_kind(const char *text, uint32_t *ret, struct pinw_phrase *why);
int pinw_value_mode(const char *text, uint32_t *ret, struct pinw_phrase *why);
int pinw_value_stop(const char *text, bool *ret, struct pinw_phrase *why);
int pinw_value_yes_no(const char *text, bool *ret, struct pinw_phrase *why);

/* "EPERM". */
int pinw_value_errno(const char *text, int *ret, struct pinw_phrase *why);

/* The name of an error that pinw_value_errno knows, or NULL. */
const char *pinw_errno_name(int error);

/* "2027-03-31" as 20270331. */
int pinw_value_date(const char *text, uint32_t *ret, struct pinw_phrase *why);

#endif
