/* SPDX-License-Identifier: MIT
 *
 * When live threads grow: the one rule for finished traces (growth.c) and for running programs (watch).
 */
#ifndef PINW_REPORTS_GROWTH_H
#define PINW_REPORTS_GROWTH_H

#include <stdbool.h>
#include <stdint.h>

#define PINW_GROWTH_WINDOWS 10u /* of equal length, over the whole run */
#define PINW_GROWTH_WARM_UP 2u /* the first ones, not looked at */
#define PINW_GROWTH_LEAST 8 /* threads between the first window looked at and the last */

/* Given the least number of threads alive in each window: is each one above the one before, by enough in all? */
bool pinw_growth_is_steady(const int64_t floor[PINW_GROWTH_WINDOWS]);

#endif
