/* SPDX-License-Identifier: MIT
 *
 * What /proc says about a recorded process: does this very one still run, and
 * which threads has it. A process is the same only when boot, pid namespace, pid
 * and start time agree; a pid alone says nothing.
 */
#ifndef PINW_REPORTS_PROCFS_H
#define PINW_REPORTS_PROCFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "preload/trace_format.h"

/* Finds the process. `ret_pid` is its pid as seen from here, which differs from the recorded one when it lives
 * in another pid namespace. Returns 0, -ESRCH (gone; a zombie is gone) or -EXDEV (recorded on another
 * machine or before a reboot: nothing can be said). */
int pinw_procfs_find(const struct pinw_identity *id, pid_t *ret_pid);

/* The kernel tids of a process, ascending, as the process's own pid namespace numbers them.
 * `ret_tids` is the caller's to free. Returns 0 or -errno. */
int pinw_procfs_threads(pid_t pid, uint32_t **ret_tids, size_t *ret_count);

#endif
