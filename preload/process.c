/* SPDX-License-Identifier: MIT */
#include "preload/process.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/enforce.h"
#include "preload/enforce_golock.h"
#include "preload/go/go.h"
#include "preload/ledger.h"
#include "preload/life.h"
#include "preload/log.h"
#include "preload/proc.h"
#include "preload/registry.h"
#include "preload/trace.h"

#define SEALED_ROOM 4096u /* threads, as many again for those that ended and were not joined yet */
#define PINW_ENTRY_PEEK 512u /* of an LD_PRELOAD entry */

/* ---- the end of an image --------------------------------------------------------------- */

/* Its Go lock: to the policy, else to the log. */
static void judge_golock(struct pinw_thread *thread, uint64_t now_ns)
{
	if (!pinw_enforce.policy || !pinw_enforce_golock_end(thread, now_ns))
		pinw_log_golock_leak("pinned-at-end", " is locked when the process ends", thread->slot,
		                     now_ns);
}

/* What a thread leaves behind at the end: to the policy, else to the log. */
static void judge_thread(struct pinw_thread *thread, void *arg)
{
	const struct pinw_slot *slot = thread->slot;

	if (slot->state == PINW_SLOT_RUNNING && slot->golock_depth)
		judge_golock(thread, *(uint64_t *)arg);
	if (pinw_enforce.policy && pinw_enforce_image_end(thread, *(uint64_t *)arg))
		return;
	if (slot->state == PINW_SLOT_RUNNING && slot->pin_depth && slot->pin_origin != PINW_ORIGIN_INHERITED)
		pinw_log_leak("pinned-at-end", slot, *(uint64_t *)arg);
	else if (slot->state == PINW_SLOT_EXITED && !(slot->flags & PINW_THREAD_MAIN))
		pinw_log_leak("unjoined", slot, *(uint64_t *)arg);
}

void pinw_image_end(enum pinw_end how, uint32_t status)
{
	struct pinw_trace_live *live = pinw_shim.live;
	uint64_t now = pinw_now();
	static uint32_t gen_logged;

	if (!pinw_is_own_process())
		return;
	if (how == PINW_END_EXIT)
		pinw_violation_await_crash();
	pinw_ledger_peak(
	    live->counters.threads_live); /* a thread may end the process before its creator is told of it */
	pinw_life_census();
	pinw_go_image_end(now);
	if (how == PINW_END_EXIT &&
	    __atomic_exchange_n(&gen_logged, pinw_shim.image_gen, __ATOMIC_RELAXED) != pinw_shim.image_gen)
		pinw_registry_each(judge_thread, &now);
	live->end_status = status;
	live->end_ns = now;
	__atomic_store_n(&live->end_how, how, __ATOMIC_RELEASE);
}

void pinw_image_resume(void)
{
	__atomic_store_n(&pinw_shim.live->end_how, PINW_END_NONE, __ATOMIC_RELEASE);
}

/* ---- borrowed memory -------------------------------------------------------------------- */

void pinw_vfork_prepare(void)
{
	(void)pinw_enter();
}

void pinw_vfork_child(void)
{
	pinw_tls.in_vfork++; /* a vfork child may vfork */
}

void pinw_vfork_parent(long result)
{
	if (result < 0)
		errno = (int)-result; /* no child was there to mark */
	else
		pinw_tls.in_vfork--;
}

void pinw_clone_watch(int flags)
{
	if (pinw_enter())
		pinw_count(raw_clones, 1);
	/* Shared memory without a TLS of its own: its calls would look like ours. */
	if (flags & CLONE_VM)
		__atomic_store_n(&pinw_shim.shared_vm, true, __ATOMIC_RELAXED);
}

/* Afterwards nothing grows any more, and what has no slot is not counted. */
static void make_room(void)
{
	const struct pinw_policy *policy = pinw_enforce.policy;
	uint16_t id = policy ? policy->caps[PINW_CAP_MAX_THREADS] : 0;
	uint64_t most = id ? policy->rules[id - 1].limit : 0;

	if (id && !__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		pinw_registry_reserve(most < SEALED_ROOM / 2 ? 2 * (uint32_t)most + 64 : SEALED_ROOM);
}

bool pinw_may_seal(void)
{
	if (!pinw_enter() || !pinw_is_own_process())
		return false;
	make_room();
	return true;
}

void pinw_seal(void)
{
	if (!__atomic_exchange_n(&pinw_shim.sealed, true, __ATOMIC_RELAXED))
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_SECCOMP, 0);
}

/* A call that will seal, if the kernel takes it: the probes that ask for support pass no filter, or another operation. */
static bool is_sealing(long mode_or_operation, long filter)
{
	return mode_or_operation == SECCOMP_SET_MODE_STRICT ||
	       (mode_or_operation == SECCOMP_SET_MODE_FILTER && filter);
}

static void will_seal(long mode_or_operation, long filter)
{
	if (!is_sealing(mode_or_operation, filter) || !pinw_may_seal())
		return;
	if (mode_or_operation == SECCOMP_SET_MODE_STRICT)
		pinw_clock_stop(true);
	pinw_seal();
}

void pinw_syscall_watch(long nr, long a, long b, long c, long d)
{
	uint64_t flags;

	(void)d;
	switch (nr) {
	case SYS_clone:
		pinw_clone_watch((int)a);
		break;
	case SYS_clone3:
		if (pinw_proc_peek(&flags, (const void *)a, sizeof(flags)) ==
		    sizeof(flags)) /* struct clone_args starts with them */
			pinw_clone_watch((int)flags);
		break;
	case SYS_fork:
		pinw_clone_watch(0);
		break;
	case SYS_vfork:
		pinw_clone_watch(CLONE_VM);
		break;
	case SYS_seccomp:
		/* With flags or a filter the strict mode is refused: so libseccomp asks whether there is such a call. */
		if (a != SECCOMP_SET_MODE_STRICT || (!b && !c))
			will_seal(a, c);
		break;
	case SYS_prctl: /* its modes are one more than seccomp's operations */
		if (a == PR_SET_SECCOMP)
			will_seal(b - 1, c);
		break;
	case SYS_exit:
		if (pinw_enter() && !pinw_tls.in_vfork)
			pinw_life_end(PINW_EXIT_PTHREAD_EXIT);
		break;
	case SYS_exit_group:
		if (pinw_enter())
			pinw_image_end(PINW_END_EXIT, (uint32_t)a & 0xff);
		break;
	default:
		break;
	}
}

/* ---- exec --------------------------------------------------------------------------------- */

/* Read carefully: exec answers a bad pointer with EFAULT. */
static bool names_shim(const char *list)
{
	static const char name[] = "libpinwarden.so";
	char text[PINW_ENTRY_PEEK + 1];

	do {
		text[pinw_proc_peek(text, list, PINW_ENTRY_PEEK)] = '\0';
		if (strstr(text, name))
			return true;
		list += PINW_ENTRY_PEEK - sizeof(name); /* it may lie across the end */
	} while (strlen(text) == PINW_ENTRY_PEEK);
	return false;
}

bool pinw_env_unfollowed(char *const envp[])
{
	char text[12];
	const char *entry;

	for (; envp && pinw_proc_peek(&entry, envp, sizeof(entry)) == sizeof(entry) && entry; envp++) {
		text[pinw_proc_peek(text, entry, sizeof(text) - 1)] = '\0';
		if (strcmp(text, "LD_PRELOAD=") == 0)
			return !names_shim(entry);
	}
	return !__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED); /* sealed: nobody can tell */
}
