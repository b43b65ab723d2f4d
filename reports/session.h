/* SPDX-License-Identifier: MIT
 *
 * One `pinwarden run`: a random number that all its traces carry, and those traces afterwards. The
 * parent knows better than a trace how its child ended, and writes that into it.
 */
#ifndef PINW_REPORTS_SESSION_H
#define PINW_REPORTS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reports/launch.h"

struct pinw_session {
	uint8_t id[16];
	char text[33]; /* the id in lower-case hexadecimal, as PINWARDEN_SESSION takes it */
};

/* The traces of a session in one directory. */
struct pinw_traces {
	char **paths; /* in order of name */
	size_t count, room;
	size_t foreign; /* other *.pwt files in that directory: not of this session */
	size_t root; /* index of the last image of the process that was started; `count` when it has none */
	bool root_execs; /* that image ended by exec: what came after it was not recorded */
};

/* Returns 0 or -errno of getrandom(2). */
int pinw_session_new(struct pinw_session *ret_session);

/* Finds the traces of a session. Returns 0, -ENOMEM, or -errno when the directory cannot be read. */
int pinw_session_find(const struct pinw_session *s, const char *directory, const struct pinw_outcome *outcome,
                      struct pinw_traces *ret_traces);
void pinw_traces_done(struct pinw_traces *t);

/* Writes how the program ended into the live page of its last image, when the shim has not, or has it
 * wrong: it cannot see a signal that kills, nor a raw exit_group. Returns 0 or -errno. */
int pinw_session_write_end(const struct pinw_traces *t, const struct pinw_outcome *outcome);

/* Removes an earlier trace so that its name can be used again. Returns 0 (also when there is no such
 * file), -EEXIST when the file is not a trace or not ours, -EBUSY when its process still runs, or -errno
 * of unlink(2). */
int pinw_session_clear(const char *path);

#endif
