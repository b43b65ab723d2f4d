/* SPDX-License-Identifier: MIT
 *
 * What `pinwarden run` says at the end, on stderr: three to five lines of figures and the next command to
 * type.
 */
#ifndef PINW_REPORTS_SUMMARY_H
#define PINW_REPORTS_SUMMARY_H

#include <stdbool.h>

#include "reports/session.h"

/* Reads the traces and prints. `directory` holds them, `cwd` is where the user stands; `verbose` adds a
 * line for each process and each note on coverage. Needs at least one trace. Returns 0 or -ENOMEM. */
int pinw_summary_print(const struct pinw_traces *traces, const char *directory, const char *cwd,
                       bool verbose);

/* The command that shows these traces, as it can be typed; the caller's to free. NULL when out of memory. */
char *pinw_summary_command(const struct pinw_traces *traces, const char *directory, const char *cwd);

#endif
