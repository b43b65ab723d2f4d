/* SPDX-License-Identifier: MIT
 *
 * A database as a document: SQLite writes all over its file, so it cannot go through a stream.
 */
#ifndef PINW_REPORTS_DATABASE_H
#define PINW_REPORTS_DATABASE_H

#include "reports/export.h"
#include "reports/output.h"

#define PINW_DATABASE_NO_FILE                                                                                \
	(-ESPIPE) /* the output is a terminal, a pipe, a device, or a file with something in it */

/* Writes the database to an open output: in its place, where that is a file to be; else, an empty file opened by somebody else (a
 * shell's `> FILE`), it is made in $TMPDIR and copied. Returns 0, PINW_DATABASE_NO_FILE, -ENOMEM or -errno. */
int pinw_database_write(const struct pinw_model *m, struct pinw_stacks *stacks,
                        const struct pinw_output *out);

#endif
