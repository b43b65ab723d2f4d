/* SPDX-License-Identifier: MIT */
#include "reports/sqlite.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/utf8.h"

#define TEXT_MAX 8192u

struct pinw_sqlite {
	sqlite3 *handle;
	sqlite3_stmt **inserts;
	size_t count;
	sqlite3_stmt *row; /* being filled */
	int column;
	int error;
};

static int error_of(sqlite3 *handle, int code)
{
	int system = handle ? sqlite3_system_errno(handle) : 0;

	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	default:
		return system > 0 ? -system : -EIO;
	}
}

static void check(struct pinw_sqlite *db, int code)
{
	if (code != SQLITE_OK && db->error == 0)
		db->error = error_of(db->handle, code);
}

static void run(struct pinw_sqlite *db, const char *sql)
{
	if (db->error == 0)
		check(db, sqlite3_exec(db->handle, sql, NULL, NULL, NULL));
}

/* ---- begin and end ------------------------------------------------------------------------ */

static int columns_of(struct pinw_sqlite *db, const char *table)
{
	sqlite3_stmt *s = NULL;
	char sql[128];

	snprintf(sql, sizeof(sql), "SELECT * FROM %s", table);
	check(db, sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL));
	int columns = s ? sqlite3_column_count(s) : 0;
	sqlite3_finalize(s);
	return columns;
}

static sqlite3_stmt *prepare_insert(struct pinw_sqlite *db, const char *table)
{
	int columns = columns_of(db, table);
	sqlite3_stmt *s = NULL;
	char sql[512];
	int len = snprintf(sql, sizeof(sql), "INSERT INTO %s VALUES (?", table);

	for (int i = 1; i < columns; i++)
		len += snprintf(sql + len, sizeof(sql) - (size_t)len, ",?");
	snprintf(sql + len, sizeof(sql) - (size_t)len, ")");
	if (db->error == 0)
		check(db, sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL));
	return s;
}

/* Nobody else reads the file before it is whole, and nobody wants half of it after a crash. */
static const char setup[] =
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"
    "PRAGMA cache_size = -16384; BEGIN;";

int pinw_sqlite_open(const char *path, const char *schema, const char *const *tables, size_t count,
                     struct pinw_sqlite **ret_db)
{
	struct pinw_sqlite *db = calloc(1, sizeof(*db));

	if (!db)
		return -ENOMEM;
	/* One thread, and nobody asks what memory it takes. Too late for the second database, and as good. */
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	db->inserts = calloc(count, sizeof(sqlite3_stmt *));
	db->count = db->inserts ? count : 0;
	db->error = db->inserts ? 0 : -ENOMEM;
	check(db, sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
	run(db, setup);
	run(db, schema);
	for (size_t i = 0; i < db->count && db->error == 0; i++)
		db->inserts[i] = prepare_insert(db, tables[i]);
	if (db->error < 0)
		return pinw_sqlite_close(db, "", 0);
	*ret_db = db;
	return 0;
}

int pinw_sqlite_close(struct pinw_sqlite *db, const char *last, int error)
{
	for (size_t i = 0; i < db->count; i++)
		sqlite3_finalize(db->inserts[i]);
	if (error == 0) {
		run(db, last);
		run(db, "COMMIT");
	}
	int code = sqlite3_close(db->handle);
	if (db->error == 0)
		db->error = error_of(NULL, code);
	if (error == 0)
		error = db->error;
	free(db->inserts);
	free(db);
	return error;
}

int pinw_sqlite_error(const struct pinw_sqlite *db)
{
	return db->error;
}

/* ---- rows ----------------------------------------------------------------------------------- */

void pinw_sqlite_begin(struct pinw_sqlite *db, size_t table)
{
	db->row = db->inserts[table];
	db->column = 0;
}

void pinw_sqlite_end(struct pinw_sqlite *db)
{
	if (db->error < 0)
		return;
	check(db, sqlite3_step(db->row));
	sqlite3_reset(db->row);
	sqlite3_clear_bindings(db->row);
}

void pinw_sqlite_null(struct pinw_sqlite *db)
{
	db->column++; /* what is not bound is NULL */
}

void pinw_sqlite_number(struct pinw_sqlite *db, uint64_t value)
{
	check(db, sqlite3_bind_int64(db->row, ++db->column, value > INT64_MAX ? INT64_MAX : (int64_t)value));
}

void pinw_sqlite_some(struct pinw_sqlite *db, uint64_t value)
{
	if (value)
		pinw_sqlite_number(db, value);
	else
		pinw_sqlite_null(db);
}

void pinw_sqlite_word(struct pinw_sqlite *db, const char *word)
{
	db->column++;
	if (word)
		check(db, sqlite3_bind_text(db->row, db->column, word, -1, SQLITE_STATIC));
}

void pinw_sqlite_text(struct pinw_sqlite *db, const char *text, size_t len)
{
	char clean[TEXT_MAX];

	len = pinw_utf8_copy(clean, sizeof(clean), text, len, false);
	check(db, sqlite3_bind_text(db->row, ++db->column, clean, (int)len, SQLITE_TRANSIENT));
}
