/* SPDX-License-Identifier: MIT
 *
 * The verdict about a Go lock, and what it leaves behind: what the lock holds of the policy's counters, and leaks.
 *
 *     LockOSThread, m.lockedExt is 0 → pinw_enforce_golock   before anything is counted. Denied: booked, nothing else happens
 *         → counted                  → pinw_enforce_golocked
 *     unlock, M destroyed, end of thread or image: closed by whoever is first → pinw_enforce_golock_close
 *
 * Called by hooks (go/locks.c), on the stack for hooks, with a goroutine that a stop-the-world may wait for. With no rule
 * about Go locks each is one branch, made by the caller. What a rule says about functions is known with the site: looked
 * up once for each stack, in the program's tables, while others that meet it wait (some ms). A violation writes its block
 * into the log, as a wrapper does. A crash never returns. Nothing allocates or touches errno.
 *
 * What a lock holds (max_pinned, an allow's max) is its thread's, taken by pinw_enforce_golock and given back by
 * pinw_enforce_golock_close: once each, as the caller closes each lock once. Locks of a fork child's parent are not closed in
 * the child, whose counters start anew.
 */
#ifndef PINW_ENFORCE_GOLOCK_H
#define PINW_ENFORCE_GOLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/shim.h"
#include "preload/site.h"

struct pinw_golock_request {
	struct pinw_thread *self;
	struct pinw_site_ref site; /* of the call */
	uint64_t goid;
};

/* May this lock be taken? False: LockOSThread is to return at once. Then the denial is recorded and counted. */
bool pinw_enforce_golock(const struct pinw_golock_request *request);

/* It was taken, and the slot says so: what rules about threads say. */
void pinw_enforce_golocked(struct pinw_thread *self);

/* It is no longer open: gives back what it held. */
void pinw_enforce_golock_close(struct pinw_thread *thread);

/* It is unlocked, at `unlock_site`. The slot still has it open. */
void pinw_enforce_golock_unlock(struct pinw_thread *thread, uint32_t unlock_site, uint64_t now_ns);

/* Its M is destroyed with it; the slot still has it open. True: suppressed, or a rule spoke, which keeps it out of the log. */
bool pinw_enforce_golock_lost(struct pinw_thread *thread, uint64_t now_ns);

/* The image ends while it is open. The same return value. */
bool pinw_enforce_golock_end(struct pinw_thread *thread, uint64_t now_ns);

#endif
