/* SPDX-License-Identifier: MIT
 *
 * Shared by the files of idle.h and by nothing else.
 *
 * idle.c         a thread's stack and registers, asleep or stopped; which object each frame is in
 * idle_unwind.c  frames out of the copy; the only one that knows libunwind's remote side
 */
#ifndef PINW_REPORTS_IDLE_PRIVATE_H
#define PINW_REPORTS_IDLE_PRIVATE_H

#include <stddef.h>

#include "reports/idle.h"

#define PINW_IDLE_REGISTERS 17u /* UNW_X86_64_RAX .. RIP */

struct mapping {
	uint64_t start, end, offset, inode;
	bool constant; /* cannot be written: its bytes are the file's */
	char *path;
};

/* One thread's stack on its way from the thread to the frames. */
struct snapshot {
	pid_t pid, tid;
	uint64_t reg[PINW_IDLE_REGISTERS];
	uint32_t known; /* registers, by bit */
	uint64_t base; /* where the copy began */
	size_t bytes;
	unsigned char *stack; /* STACK_PAGES pages */
	struct mapping *maps;
	size_t map_count, map_room;
	int error; /* of the stop */
	uint64_t stopped_ns;
};

/* What the unwinding process leaves behind. */
struct walk {
	bool done, truncated, no_library;
	unsigned count;
	uint64_t pc[PINW_IDLE_FRAMES];
};

/* Where `address` is mapped, NULL nowhere. */
const struct mapping *pinw_idle_mapping(const struct snapshot *s, uint64_t address);

/* Fills `walk`, which is memory shared with children, from the copy: in a process of its own, as a hostile object may
 * bring the unwinder down or keep it busy. Returns 0, -ELIBACC: there is no libunwind; -ENODATA: no frame; or -errno. */
int pinw_idle_unwind(struct snapshot *s, struct walk *walk);

uint64_t pinw_idle_now(void);
void pinw_idle_pause(long ns);

#endif
