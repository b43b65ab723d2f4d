/* SPDX-License-Identifier: MIT
 *
 * Affinity calls that Go code makes itself, by golang.org/x/sys/unix or syscall.RawSyscall: seen at Syscall6, and from there
 * on like any other. Whoever comes here may be on a goroutine's stack or on the M's own, may have given up its P
 * (runtime.entersyscall, which needs nothing of ours), and may be the child of a clone that shares the memory for a while.
 */
#include "preload/arch.h"
#include "preload/go/go.h"
#include "preload/process.h"

long pinw_go_raw(uint32_t pid, size_t cpusetsize, const void *mask, const struct pinw_go_call *call,
                 uintptr_t rbp, uintptr_t g)
{
	struct pinw_go_regs regs = {.pc = call->caller, .rbp = rbp, .g = g};
	struct pinw_thread *self = pinw_enter();

	if (!self)
		return pinw_sys3(SYS_sched_setaffinity, pid, cpusetsize, mask);
	return pinw_raw_setaffinity(self, pinw_go_site(pinw_go.patches[call->patch].runtime, &regs), pid,
	                            cpusetsize, mask);
}
