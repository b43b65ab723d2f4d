/* SPDX-License-Identifier: MIT
 *
 * What traces say, put together: processes as a tree. Nothing here prints or
 * symbolises.
 *
 *     pinw_model_new → pinw_model_add for each trace → pinw_model_finish → read the fields
 */
#ifndef PINW_REPORTS_MODEL_H
#define PINW_REPORTS_MODEL_H

#include "reports/process.h"

/* A file that was read as a trace. */
struct pinw_file_row {
	uint64_t device;
	uint64_t inode;
};

struct pinw_model {
	struct pinw_process **processes; /* finished: in tree order, parents first; then unreadable ones */
	size_t process_count;
	bool damaged; /* some trace was unreadable or had a problem */
	bool with_history; /* set before the first trace: pins, locks and violations are kept (history.h) */
	struct pinw_table files; /* inodes read so far: a trace named twice counts once */
};

/* Returns 0 or -ENOMEM. */
int pinw_model_new(struct pinw_model **ret_model);
void pinw_model_free(struct pinw_model *m);

/* Reads one trace. An unreadable one is added too, with `error` set; one that was added before, by whatever
 * path, is not added again. Returns 0 or -ENOMEM. */
int pinw_model_add(struct pinw_model *m, const char *path);

/* Was the file at `path` read as a trace? */
bool pinw_model_holds(const struct pinw_model *m, const char *path);

/* Adds every *.pwt directly inside a directory, in name order. Returns how many there are, or -errno. */
int pinw_model_add_directory(struct pinw_model *m, const char *path);

/* Is this what a trace in a directory is called? */
bool pinw_is_trace_name(const char *name);

/* Links processes, classifies ends (asking /proc for those without one), derives leaks. Call once,
 * after the last trace. Returns 0 or -ENOMEM. */
int pinw_model_finish(struct pinw_model *m);

#endif
