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
};

/* Opens a document. `path` NULL: standard output. A regular file gets its content and its name when it is closed; what is none
 * (a terminal, a pipe, /dev/null) is written to at once. A pipe that nobody reads is an error from here on, no signal. Returns 0, -ENOMEM or -errno. */
int pinw_output_open(struct pinw_output *o, const char *path);

/* `error` is what came of writing, 0 or -errno: then nothing of the document stays in the file system. Returns it, or -errno of the
 * last steps. */
int pinw_output_close(struct pinw_output *o, int error);

/* Would a document for `path` (NULL: standard output) take the place of this file, by whatever name? */
bool pinw_output_replaces(const char *path, const char *file);

/* Will a document that goes to `path` (NULL: standard output) be in colour? AUTO heeds the terminal and NO_COLOR. */
bool pinw_color_wanted(enum pinw_color color, const char *path);

#endif
