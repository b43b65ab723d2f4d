/* SPDX-License-Identifier: MIT
 *
 * Where a command writes its document: standard output, or a file that is either written in full or left as it was.
 */
#ifndef PINW_REPORTS_OUTPUT_H
#define PINW_REPORTS_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

enum pinw_color { PINW_COLOR_AUTO, PINW_COLOR_ALWAYS, PINW_COLOR_NEVER };

struct pinw_output {
	FILE *file; /* to write to */
	char *path; /* of the file that will be there; NULL: standard output, or what is no regular file */
	char *temporary; /* beside it, until it is closed */
	bool made; /* the file at `path`, to have one behind a link: it goes when nothing is written */
};

/* Opens a document. `path` NULL: standard output. A regular file gets its content and its name when it is closed, and keeps the
 * rights it had; behind a symbolic link the file it names is written, also one that is not there yet. What is no regular file (a
 * terminal, a pipe, /dev/null), and the file that is standard output, is written to at once. Ended by a signal before it is closed,
 * nothing of it stays. A pipe that nobody reads, and a file that grows too large, are errors from here on, no signals. Returns 0,
 * -ENOMEM or -errno. */
int pinw_output_open(struct pinw_output *o, const char *path);

/* `error` is what came of writing, 0 or -errno: then nothing of the document stays in the file system. Returns it, or -errno of the
 * last steps. */
int pinw_output_close(struct pinw_output *o, int error);

/* As mkostemp(), of a file that is removed when a signal ends the process; one at a time, until pinw_output_forget(). `name` must stay
 * valid until then. Returns the descriptor or -errno. */
int pinw_output_temporary(char *name);
void pinw_output_forget(void);

/* A path of where a document for `path` (NULL: standard output) goes. */
const char *pinw_output_place(const char *path);

/* Would a document for `path` (NULL: standard output) take the place of this file, by whatever name? */
bool pinw_output_replaces(const char *path, const char *file);

/* Will a document that goes to `path` (NULL: standard output) be in colour? AUTO heeds the terminal and NO_COLOR. */
bool pinw_color_wanted(enum pinw_color color, const char *path);

#endif
