/* SPDX-License-Identifier: MIT
 *
 * The programs of tests/go, as tests/go/build has made them of every Go that it found.
 */
#ifndef PINW_TESTS_GO_PROGRAMS_H
#define PINW_TESTS_GO_PROGRAMS_H

/* Calls fn for each NAME-VERSION and NAME-VERSION-pie, the scene's traces emptied before. Skips the test when there are none. */
void each_go_program(const char *name, void (*fn)(const char *program, const char *arguments),
                     const char *arguments);

#endif
