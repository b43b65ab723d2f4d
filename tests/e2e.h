/* SPDX-License-Identifier: MIT
 *
 * End-to-end tests: run a program bare and under `pinwarden run`, compare, then ask the report.
 * One scene per test (each Criterion test is a process of its own). Every function ends the
 * test, as failed or skipped, when it cannot do what it says; none returns an error.
 *
 * Commands are written as one string, split at spaces; "@name" stands for the target program
 * of that name, "%d" alone or inside a word for the scene's directory.
 */
#ifndef PINW_TESTS_E2E_H
#define PINW_TESTS_E2E_H

#include <stddef.h>
#include <sys/types.h>

#define E2E_TEXT_BYTES 65536

struct e2e_result {
	int status; /* 0..255 as exited, 128 + N when killed by signal N */
	char out[E2E_TEXT_BYTES]; /* NUL terminated, cut when longer */
	char err[E2E_TEXT_BYTES];
};

/* What `pinwarden` itself is called in commands: "@@ run ...", the program just built. */
#define E2E_PINWARDEN "@@"

/* The scene's directory: empty at first, removed by e2e_done. Traces go to its folder "t". */
const char *e2e_dir(void);
const char *e2e_traces(void);

/* Removes the scene's directory; for every suite's .fini. */
void e2e_done(void);

/* Runs a command to its end (60 s at most, then the test fails) and keeps what it wrote. */
void e2e_run(struct e2e_result *ret, const char *command);

/* The same, and fails the test unless it ends with `status`. */
const struct e2e_result *e2e_status(int status, const char *command);

/* Starts a command with its stdout on a pipe; *ret_out is the pipe's end, the caller closes it. */
pid_t e2e_start(const char *command, int *ret_out);

/* Runs the command bare, then under `pinwarden run -q -o <traces>/ --`: same status, stdout and
 * stderr. A program that says (status 77) this machine cannot show its behaviour skips the test.
 * Returns the bare run. */
const struct e2e_result *e2e_same(const char *command);

/* As e2e_same, but stderr may differ. */
const struct e2e_result *e2e_same_output(const char *command);

/* The JSON report of all traces satisfies a jq expression. The report is made at the first call and kept. */
void e2e_true(const char *expression);

/* Forgets the kept report and reads the traces again. */
void e2e_reread(void);

/* The one trace file whose name contains `part` (NULL: any); fails the test when there is none. The
 * string lives until the next call. */
const char *e2e_trace(const char *part);

/* Number of trace files. */
int e2e_trace_count(void);

/* Writes a file: `path` as it is, or when it is relative in the scene's directory. */
void e2e_write(const char *path, const char *text);

/* `text` holds `part`. */
void e2e_has(const char *text, const char *part);

/* The command ends with `status`, and says `why` on stderr. */
void e2e_refuses(int status, const char *command, const char *why);

/* Skips the test with `reason` unless `condition` holds. */
void e2e_needs(int condition, const char *reason);

#endif
