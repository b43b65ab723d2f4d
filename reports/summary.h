/* SPDX-License-Identifier: MIT
 *
 * What `pinwarden run` says at the end, on stderr: three to six lines of figures and the next command to
 * type.
 */
#ifndef PINW_REPORTS_SUMMARY_H
#define PINW_REPORTS_SUMMARY_H

#include <stdbool.h>

#include "policy/policy.h"
#include "reports/session.h"

struct pinw_summary_options {
	const char *directory; /* that holds the traces */
	const char *cwd; /* where the user stands */
	bool policy; /* the run had one: then a trace that knows of none is told */
	bool
	    policy_on_golocks; /* with rules on Go locks: then a trace that has none for another reason than that there were none */
	bool quiet; /* says nothing: only finds the worst */
	bool verbose; /* a line for each process and each note on coverage, too */
};

/* What a run's exit status may depend on. */
struct pinw_summary_result {
	enum pinw_action
	    worst; /* the strongest action of a rule that was broken in some process; NONE when none was */
	bool unjudged; /* in some process it cannot be told whether the policy was kept */
};

/* Reads the traces and prints. Needs at least one trace. Returns 0 or -ENOMEM. */
int pinw_summary_print(const struct pinw_traces *traces, const struct pinw_summary_options *options,
                       struct pinw_summary_result *ret_result);

/* The command that shows these traces, as it can be typed; the caller's to free. NULL when out of memory. */
char *pinw_summary_command(const struct pinw_traces *traces, const char *directory, const char *cwd);

#endif
