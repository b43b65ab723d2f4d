/* SPDX-License-Identifier: MIT
 *
 * The life of threads: start, end, adoption, census. What the kernel says at
 * these moments is the truth the ledger is held against.
 */
#ifndef PINW_LIFE_H
#define PINW_LIFE_H

#include <stdint.h>

#include "preload/shim.h"

/* What the trampoline is to call. */
struct pinw_start {
	void *routine;
	void *arg;
};

/* Called by pinw_trampoline in the new thread, first. `cfa` bounds its stack. */
struct pinw_start pinw_thread_begin(struct pinw_thread *thread, uintptr_t cfa);

/* Called by pinw_trampoline when the start routine returned; gives back `result`. */
void *pinw_thread_return(void *result);

/* Personality routine of pinw_trampoline's frame (Itanium C++ ABI: Exception Handling, 1.6.1). */
int pinw_trampoline_personality(int version, int actions, uint64_t exception_class, void *exception,
                                void *context);

/* Writes *thread->out before anybody can rely on it: called by the creator and by the new thread, whoever is first does
 * it, neither goes on before it is done. */
void pinw_life_hand_over(struct pinw_thread *thread);

/* Books the end of the calling thread, once. */
void pinw_life_end(enum pinw_exit how);

/* Books the end of another thread that is gone without a trace of how, unless it is booked. */
void pinw_life_end_unseen(struct pinw_thread *thread, uint64_t now_ns);

/* Has the calling thread's end noticed by its thread-specific data, as well. */
void pinw_life_watch_end(void);

/* The main thread of a new image. With `inherit`, a fork child: the thread that forked, as it was. */
struct pinw_thread_copy {
	uintptr_t stack_hi, stack_lo;
	char name[PINW_NAME_BYTES];
	uint32_t pin_depth, pin_site;
	uint64_t mask[PINW_MASK_WORDS_MAX];
};
void pinw_life_main(const struct pinw_thread_copy *inherit);

/* Adopts the calling thread, which nobody saw created. NULL without memory. */
struct pinw_thread *pinw_life_adopt_self(void);

/* Adopts a thread that somebody names by its tid, unless it may be one of ours that is just starting or ending: NULL then. */
struct pinw_thread *pinw_life_adopt_named(uint32_t tid);

/* Compares the ledger with every task the kernel lists: adopts the unknown, books masks that changed from
 * outside, ends adopted threads that are gone. */
void pinw_life_census(void);

/* Once, by init: how ends of adopted threads are noticed. */
void pinw_life_init(void);

#endif
