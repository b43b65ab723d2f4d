/* SPDX-License-Identifier: MIT
 *
 * Where the files a trace names are looked for, by every lookup of the program: as they are named, or below a directory that
 * holds the root of another machine. Nothing below it leads out of it, whatever links it has.
 */
#ifndef PINW_REPORTS_SYSROOT_H
#define PINW_REPORTS_SYSROOT_H

#include <stdbool.h>

/* --sysroot=DIR of a command: for every lookup that begins after it. What is wrong with DIR is said on stderr, after `command`.
 * Returns 0 or -errno. */
int pinw_sysroot_set(const char *command, const char *dir);

/* NULL: there is none. An absolute path. */
const char *pinw_sysroot(void);

/* Commands that can wait for an answer: servers may be asked for what this machine lacks, if DEBUGINFOD_URLS names any. At first
 * they may not. */
void pinw_sysroot_allow_servers(bool allowed);
bool pinw_sysroot_servers(void);

/* Opens a file for reading, below the sysroot if there is one. Returns the descriptor or -errno. */
int pinw_sysroot_open_file(const char *path);

#endif
