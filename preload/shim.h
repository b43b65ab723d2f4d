/* SPDX-License-Identifier: MIT
 *
 * The shim's state: one per process, one per thread, and the way in for every
 * wrapper. Nothing here allocates, locks, or touches errno.
 *
 * A wrapper starts with pinw_enter(). NULL means "call straight through": the
 * shim is off, or not ready yet in the thread that is making it ready.
 */
#ifndef PINW_SHIM_H
#define PINW_SHIM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "policy/match.h"
#include "preload/trace_format.h"

#define pinw_likely(x) __builtin_expect(!!(x), 1)
#define pinw_unlikely(x) __builtin_expect(!!(x), 0)

enum pinw_status {
	PINW_STATUS_NEW = 0,
	PINW_STATUS_STARTING = 1, /* one thread is in pinw_ensure_init */
	PINW_STATUS_ON = 2,
	PINW_STATUS_OFF = 3, /* recording is off for good, calls go straight through */
};

/* Filled once by init and by pinw_child_init, then read only, but for the marked words. */
struct pinw_shim {
	int status; /* enum pinw_status, atomic */
	uint32_t pid;
	uint32_t mask_words;
	uint32_t image_gen; /* 1 for the first image, +1 in each fork child: stamps what was emitted */
	bool sealed; /* atomic: the target installed seccomp; no optional system call from now on */
	bool shared_vm; /* atomic: something runs in our memory under a tid of its own: ask the kernel */
	uint64_t start_mono_ns;
	uint64_t baseline[PINW_MASK_WORDS_MAX];
	volatile uint32_t *fork_canary; /* reads 0 in any fork child (MADV_WIPEONFORK), else image_gen */
	struct pinw_trace_live *live; /* the mapped counters; a private page while recording is off */
};

extern struct pinw_shim pinw_shim;

/* What the policy has to do with a thread; zero without one. */
struct pinw_ruled {
	const struct pinw_stack_match *created; /* rules its creation stack satisfies; NULL unknown */
	struct pinw_hold
	    hold; /* what its pin holds of the policy's counters; changed under the slot's busy mark */
	struct pinw_hold golock_hold; /* what its Go lock holds of them */
	uint32_t pins; /* atomic: its pins that count, of both kinds, and attempts under way */
	struct pinw_hold birth_hold; /* what its birth pin reserved, if that was judged */
	bool birth_judged;
	bool reset; /* to start on the baseline mask */
	uint8_t inherit_leak; /* as in struct pinw_create_trial */
	uint16_t inherit_rule; /* verdict on an inherited mask, for the new thread to write down; 0 = none */
	uint64_t pin_since_ns; /* of the pin that pin_cpu_ns is about */
	uint64_t pin_cpu_ns; /* CPU time it had used when its pin opened; with a pinned_idle rule */
	uint64_t golock_cpu_ns; /* when its Go lock was taken; likewise */
};

/* A thread as the shim sees it: host-private, never in the file. */
struct pinw_thread {
	struct pinw_slot *slot; /* live state in the file, or in private memory when the file is full */
	uint64_t *mask; /* the slot's mask, mask_words words */
	uint32_t index; /* of this struct and its slot */
	uint32_t next_free; /* index + 1 of the next free one */
	uint32_t life; /* atomic, PINW_LIFE_* */
	uint32_t birth; /* atomic: 0 until the inherited or born pin was booked */
	uint32_t changing; /* atomic: affinity calls on this thread made but not yet booked */
	uint32_t census; /* number of the last census that saw it */
	uint32_t
	    image_gen; /* whose thread it is: a fork child may return into a wrapper that works on its parent's */
	uint32_t
	    named; /* when its handle or tid was made findable: of two threads with one key the later owns it */
	uintptr_t stack_hi; /* 0 = stack bounds unknown */
	uintptr_t stack_lo;
	union {
		void *(*start)(void *);
		int (*start_thrd)(void *);
	};
	void *arg;
	pthread_t handle; /* written by the real pthread_create before the thread runs */
	pthread_t *out; /* the caller's place for it, not yet written */
	uint32_t out_state; /* atomic, PINW_OUT_*; a futex */
	uint32_t birth_origin; /* enum pinw_origin a pin present at birth would have */
	uint32_t birth_site;
	uint32_t birth_by;
	uint32_t
	    pin_depth; /* the slot's, once more: a fork child finds these as they were, the slot as the parent has it now */
	uint32_t pin_site;
	struct pinw_ruled ruled;
};

/* Who has let go of a thread's struct; the one that sets the last bit frees it. */
#define PINW_LIFE_ENDED 1u /* the thread itself */
#define PINW_LIFE_RELEASED 2u /* joined or detached, or never joinable */
#define PINW_LIFE_CREATOR 4u /* pthread_create is through with it */
#define PINW_LIFE_OVER 7u

/* 32 bytes of initial-exec TLS (a dynamic model would allocate on first use). */
struct pinw_tls {
	struct pinw_thread *thread; /* NULL: not met yet */
	uint32_t seq; /* its start sequence: valid even after the slot is given back */
	uint32_t tid;
	uint8_t ended; /* its end was recorded: later events are late */
	uint8_t exit_called; /* pthread_exit or thrd_exit was called */
	uint8_t in_vfork; /* vfork children, one in the other, that run on this thread's stack */
	uint8_t starting; /* inside pinw_ensure_init */
	uint8_t trampolined; /* its end is seen by pinw_trampoline */
	uint8_t hurried; /* in a hook that a whole program may be waiting for: wait for nobody long */
};

extern __thread struct pinw_tls pinw_tls __attribute__((tls_model("initial-exec")));

/* Makes the shim ready, once. Called by the constructor, or by the first wrapper when
 * that comes earlier. Returns with status ON or OFF, except in the thread that is in it. */
void pinw_ensure_init(void);

/* The rest of it, which may allocate: the clock, the unwinder, what to do at fork and exit. Called once, by the
 * constructor; `argv` bounds the main thread's stack. */
void pinw_construct(char **argv);

/* The child of a fork: starts its own trace. Safe to call in any fork child, async-signal-safe. */
void pinw_child_init(void);

/* Slow half of pinw_enter. */
struct pinw_thread *pinw_enter_slow(void);

/* The calling thread where all is ready and known, else NULL. */
static inline struct pinw_thread *pinw_enter_known(void)
{
	return pinw_likely(__atomic_load_n(&pinw_shim.status, __ATOMIC_ACQUIRE) == PINW_STATUS_ON) &&
	               pinw_likely(*pinw_shim.fork_canary)
	           ? pinw_tls.thread
	           : NULL;
}

/* The calling thread, adopted if nobody saw it created; NULL: call straight through. */
static inline struct pinw_thread *pinw_enter(void)
{
	struct pinw_thread *self = pinw_enter_known();

	return pinw_likely(self != NULL) ? self : pinw_enter_slow();
}

/* Does the calling code run in this process, on the thread its TLS names? False in a vfork
 * child and in anything else that borrows our memory. Asks the kernel, unless the target sealed itself. */
bool pinw_is_own_process(void);

/* Turns recording off for good and says why, once, on stderr: "pinwarden: recording is off: <why>: <error>". */
void pinw_off(const char *why, int error);

/* A counter of the live page. */
#define pinw_count(field, n) __atomic_fetch_add(&pinw_shim.live->counters.field, (n), __ATOMIC_RELAXED)
#define pinw_uncount(field, n) __atomic_fetch_sub(&pinw_shim.live->counters.field, (n), __ATOMIC_RELAXED)

#endif
