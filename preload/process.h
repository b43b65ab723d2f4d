/* SPDX-License-Identifier: MIT
 *
 * The life of process images: start, fork child, exec, end.
 */
#ifndef PINW_PROCESS_H
#define PINW_PROCESS_H

#include <stdint.h>

#include "preload/shim.h"
#include "preload/site.h"

/* Books the end of this image: a census, then how. Does nothing in a borrowed memory (vfork child). */
void pinw_image_end(enum pinw_end how, uint32_t status);

/* An exec that failed: the image goes on. */
void pinw_image_resume(void);

/* Before a vfork: the child must not be the first that wakes the shim in our memory. */
void pinw_vfork_prepare(void);

/* Bodies of the marks that pinw_entry_vfork sets around a vfork child. `result` is the kernel's. */
void pinw_vfork_child(void);
void pinw_vfork_parent(long result);

/* Would a seccomp call made now seal this process? Not that of a vfork child. Ask before the call. */
bool pinw_may_seal(void);

/* The target installed seccomp: no optional system call from now on. */
void pinw_seal(void);

/* Told before syscall() and clone() make calls that change who we are. */
void pinw_syscall_watch(long nr, long a, long b, long c, long d);
void pinw_clone_watch(int flags);

/* syscall(SYS_sched_setaffinity, ...), in wrap_affinity.c. */
long pinw_syscall_setaffinity(long nr, long pid, unsigned long cpusetsize, const void *mask);

/* Makes, or denies, and books a sched_setaffinity system call that would have gone past the C library, from a stack whose
 * site is known. Returns the kernel's result: >= 0, or -errno. Likewise. */
long pinw_raw_setaffinity(struct pinw_thread *self, struct pinw_site_ref site, uint32_t pid,
                          size_t cpusetsize, const void *mask);

/* Was the preload dropped from this environment? */
bool pinw_env_unfollowed(char *const envp[]);

#endif
