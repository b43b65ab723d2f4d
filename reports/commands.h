/* SPDX-License-Identifier: MIT
 *
 * The commands of the program. Each takes its own name as argv[0], reads its options with getopt_long and
 * returns the exit status: 0 clean, 1 findings, 2 usage, 3 unreadable trace; `run` the status of the
 * program it ran, or 125, 126, 127 as env(1) does.
 */
#ifndef PINW_REPORTS_COMMANDS_H
#define PINW_REPORTS_COMMANDS_H

#define PINW_EXIT_USAGE 2
#define PINW_EXIT_RUN_FAILED 125

int pinw_cmd_run(int argc, char **argv);
int pinw_cmd_report(int argc, char **argv);
int pinw_cmd_check(int argc, char **argv);
int pinw_cmd_top(int argc, char **argv);
int pinw_cmd_metrics(int argc, char **argv);
int pinw_cmd_diff(int argc, char **argv);
int pinw_cmd_policy(int argc, char **argv);
int pinw_cmd_info(int argc, char **argv);
int pinw_cmd_verify(int argc, char **argv);
int pinw_cmd_recover(int argc, char **argv);

#endif
