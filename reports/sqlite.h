/* SPDX-License-Identifier: MIT
 *
 * A new SQLite database, filled once, row by row. The one place that knows SQLite. The first error is kept, and what comes
 * after it is ignored.
 */
#ifndef PINW_REPORTS_SQLITE_H
#define PINW_REPORTS_SQLITE_H

#include <stddef.h>
#include <stdint.h>

struct pinw_sqlite;

/* Makes the tables of `schema` in an empty file; rows go to those in `tables`, by number. Returns 0, -ENOMEM or -errno. */
int pinw_sqlite_open(const char *path, const char *schema, const char *const *tables, size_t count,
                     struct pinw_sqlite **ret_db);

/* Runs `last` (indices), and makes all of it permanent, unless `error`; frees. Returns `error`, or what went wrong first. */
int pinw_sqlite_close(struct pinw_sqlite *db, const char *last, int error);

/* What went wrong so far: 0, -ENOMEM or -errno. */
int pinw_sqlite_error(const struct pinw_sqlite *db);

/* A row: begin, a value for each column in their order, end. */
void pinw_sqlite_begin(struct pinw_sqlite *db, size_t table);
void pinw_sqlite_end(struct pinw_sqlite *db);

void pinw_sqlite_null(struct pinw_sqlite *db);
void pinw_sqlite_number(struct pinw_sqlite *db, uint64_t value); /* at most INT64_MAX */
void pinw_sqlite_some(struct pinw_sqlite *db, uint64_t value); /* NULL for 0 */
void pinw_sqlite_word(struct pinw_sqlite *db, const char *word); /* that stays as it is; NULL for NULL */

/* Any text, up to a NUL; what is no UTF-8 is replaced. */
void pinw_sqlite_text(struct pinw_sqlite *db, const char *text, size_t len);

#endif
