/* SPDX-License-Identifier: MIT
 *
 * The programs of tests/go, as tests/go/build has made them of every Go that it found.
 */
#ifndef PINW_TESTS_GO_PROGRAMS_H
#define PINW_TESTS_GO_PROGRAMS_H

/* Calls fn for each NAME-VERSION and NAME-VERSION-pie, the scene's traces emptied before. Skips the test when there are none. */
void each_go_program(const char *name, void (*fn)(const char *program, const char *arguments),
                     const char *arguments);

/* What a program of them says that it did. */
struct go_said {
	unsigned locks, nested, unlocks, lost;
};

/* What goes before `pinwarden run`: nothing, or "env NAME=VALUE". */
extern const char *go_environment;

struct go_said run_go_audited(const char *program, const char *arguments);

/* Twenty runs, each of which says the same, and each of which is counted so. */
void expect_exact_golocks(const char *program, const char *arguments);

#endif
