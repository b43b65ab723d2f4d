/* SPDX-License-Identifier: MIT
 *
 * What a command says when it is typed wrongly: one line on stderr that says what was expected, and where its help is.
 */
#ifndef PINW_REPORTS_USAGE_H
#define PINW_REPORTS_USAGE_H

#include <stddef.h>

#include "reports/output.h"

/* "pinwarden: COMMAND: TEXT; see: pinwarden COMMAND --help". Returns -EINVAL. */
int pinw_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Of an option that getopt_long did not take: `option` is what it returned (':' or '?'), `there_are` those that it takes. Returns
 * -EINVAL. */
int pinw_usage_option(const char *command, int option, char **argv, const char *there_are);

/* The value of --color. Returns 0, or -EINVAL, which is said. */
int pinw_usage_color(const char *command, const char *value, enum pinw_color *ret_color);

/* The value of --top: a number of rows, 0 for all. Returns 0, or -EINVAL, which is said. */
int pinw_usage_top(const char *command, const char *value, size_t *ret_top);

#endif
