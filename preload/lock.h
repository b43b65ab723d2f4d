/* SPDX-License-Identifier: MIT
 *
 * The shim's only lock: for slow paths (first-seen stacks, growth of the file).
 * It is taken with all signals blocked, so no handler can meet it in its own
 * thread, and nobody waits for it without bound: a caller that gets -EBUSY does
 * without. A fork child whose parent held it gets it back broken: see `broken`.
 */
#ifndef PINW_LOCK_H
#define PINW_LOCK_H

#include <stdbool.h>
#include <stdint.h>

struct pinw_lock {
	uint32_t held; /* atomic */
};

/* The signals that were blocked before, to be put back. */
struct pinw_lock_state {
	uint64_t sigmask;
	bool masked;
};

/* Blocks all signals and takes the lock, waiting at most `wait_ns`. Returns 0, or -EBUSY with signals as before.
 * After the target sealed itself (seccomp) it makes no system call: it is tried once, with signals as they are. */
int pinw_lock_take(struct pinw_lock *lock, uint64_t wait_ns, struct pinw_lock_state *ret_state);
void pinw_lock_give(struct pinw_lock *lock, const struct pinw_lock_state *state);

/* Frees the lock in a fork child. Returns whether somebody held it: what it guards may be half done. */
bool pinw_lock_reset(struct pinw_lock *lock);

#endif
