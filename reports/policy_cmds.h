/* SPDX-License-Identifier: MIT
 *
 * The commands below `pinwarden policy`. Each takes its own name as argv[0] and returns the exit status.
 */
#ifndef PINW_REPORTS_POLICY_CMDS_H
#define PINW_REPORTS_POLICY_CMDS_H

#define PINW_POLICY_CLEAN 0
#define PINW_POLICY_FINDINGS 1
#define PINW_POLICY_BAD 2 /* usage, or a policy that is not valid */
#define PINW_POLICY_UNREADABLE 3 /* a trace */

int pinw_policy_lint(int argc, char **argv);
int pinw_policy_explain_cmd(int argc, char **argv);
int pinw_policy_test(int argc, char **argv);
int pinw_policy_alerts(int argc, char **argv);

/* Says how an option was misused; returns PINW_POLICY_BAD. `option` is what getopt_long returned (':' or '?'). */
int pinw_policy_usage(const char *command, int option, char **argv, const char *options);

#endif
