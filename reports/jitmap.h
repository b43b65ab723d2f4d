/* SPDX-License-Identifier: MIT
 *
 * Names of generated code, as what generated it wrote them: /tmp/perf-PID.map, a line "START SIZE NAME" for each function, numbers in
 * hex, the convention of perf(1) (tools/perf/Documentation/jit-interface.txt). Java writes it with
 * -XX:+DumpPerfMapAtExit, Node with --perf-basic-prof, .NET with DOTNET_PerfMapEnabled=1, Python with -X perf.
 *
 * A map is believed if it is a plain file of the process's own user (or root's), written since the process started, and
 * no later than a minute after its end: pids are used again.
 */
#ifndef PINW_REPORTS_JITMAP_H
#define PINW_REPORTS_JITMAP_H

#include "reports/process.h"

struct pinw_jitmap;

/* The map of a process, below the sysroot if there is one. Returns 0 with *ret_map NULL where there is none to be believed;
 * -ENOMEM. The caller frees it. */
int pinw_jitmap_open(const struct pinw_process *p, struct pinw_jitmap **ret_map);

/* Accepts NULL. */
void pinw_jitmap_free(struct pinw_jitmap *m);

/* The function that holds `address`, and how far into it that is. Of functions that were at one place in turn, the last.
 * NULL: none. The map owns the name. */
const char *pinw_jitmap_find(const struct pinw_jitmap *m, uint64_t address, uint64_t *ret_offset);

#endif
