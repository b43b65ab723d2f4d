/* SPDX-License-Identifier: MIT
 *
 * `pinwarden run` called with arguments that start nothing, what it says on stderr, and files in
 * the folder of tests/report_rig.h for it to find.
 */
#ifndef PINW_TESTS_RUN_RIG_H
#define PINW_TESTS_RUN_RIG_H

#include <stddef.h>
#include <sys/types.h>

/* A file in the folder. */
void put(const char *name, const void *data, size_t len, mode_t mode);

/* What is written to stderr from listen_to_stderr() to heard() ends up in `said`. */
extern char said[8192];
void listen_to_stderr(void);
void heard(void);

/* Runs the command with `argc` arguments and keeps what it says. Returns its status. */
int refuse(int argc, ...);

/* The status is the expected one, and what was said is the command's and holds `words`. */
void expect_said(int code, int expected, const char *words);

#endif
