/* SPDX-License-Identifier: MIT
 *
 * Which trace belongs to which process. A process has its trace mapped, so /proc/PID/maps names it; what a name leads to is
 * believed only when its header tells of this very process. Without that (no permission, the process is gone) the folder of a
 * known trace is searched.
 */
#ifndef PINW_REPORTS_LIVE_FIND_H
#define PINW_REPORTS_LIVE_FIND_H

#include <stdbool.h>
#include <sys/types.h>

#include "reports/live.h"

/* Opens the trace of a process. Returns 0; -ESRCH: there is no such process; -ENOMSG: it has no trace mapped, so it is not
 * recorded; -EACCES: its memory map may not be read, or its trace; -ENOENT: the trace was deleted or cannot be reached from
 * here; or another -errno. */
int pinw_live_open_pid(pid_t pid, struct pinw_live **ret_live);

/* The pid that a word of the command line names, 0 when it is none. */
pid_t pinw_live_parse_pid(const char *word);

/* Says on stderr why the process named `word` has no trace to look at, for an error of pinw_live_open_pid(). */
void pinw_live_say_pid(const char *command, const char *word, int error);

/* Opens what comes after an image that ended: the next image of the same process (exec); else, in the same folder, the newest
 * trace of a running process of the same program name and user that started later. Returns 0, -ENOENT when there is none, or
 * another -errno. */
int pinw_live_find_next(const struct pinw_live *l, struct pinw_live **ret_next);

/* Opens the trace of the process that forked this one, in the same folder. Returns as above. */
int pinw_live_find_parent(const struct pinw_live *l, struct pinw_live **ret_parent);

/* Hands over each recorded process whose memory map may be read, in order of pid: `live` is the callback's to free. */
typedef void (*pinw_live_fn)(void *arg, struct pinw_live *live);
void pinw_live_each(pinw_live_fn fn, void *arg);

#endif
