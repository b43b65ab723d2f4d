/* SPDX-License-Identifier: MIT
 *
 * The threads of the process: one struct pinw_thread (private) and one slot (in the file,
 * as long as there is room) for each that lives or waits to be joined. Lock-free but for
 * growth; nothing is ever given back to the system. Found by pthread_t or by tid
 * through small hint tables whose answers are always checked.
 */
#ifndef PINW_REGISTRY_H
#define PINW_REGISTRY_H

#include <pthread.h>
#include <stdint.h>

#include "preload/shim.h"

/* Starts empty, on the slots of the trace just opened. Also in a fork child. Returns 0 or -ENOMEM. */
int pinw_registry_init(void);

/* Makes room for `count` threads at once, as far as there is memory. */
void pinw_registry_reserve(uint32_t count);

/* A fresh thread in state CREATED with a new start sequence, or NULL when there is no memory. */
struct pinw_thread *pinw_registry_take(void);

/* Gives the struct and its slot back; nobody may use them any more. */
void pinw_registry_give(struct pinw_thread *thread);

/* Sets one of PINW_LIFE_*; the caller that completes PINW_LIFE_OVER gives the thread back, so nobody may use
 * it after setting its own bit. */
void pinw_registry_let_go(struct pinw_thread *thread, uint32_t life_bit);

/* Makes a thread findable. */
void pinw_registry_set_handle(struct pinw_thread *thread, pthread_t handle);
void pinw_registry_set_tid(struct pinw_thread *thread, uint32_t tid);

/* NULL when no known thread has it. */
struct pinw_thread *pinw_registry_by_handle(pthread_t handle);
struct pinw_thread *pinw_registry_by_tid(uint32_t tid);

/* The created thread with this handle that has not reached its start routine, though nobody made it findable yet: only
 * the C library has told it its handle. Looks at every thread. */
struct pinw_thread *pinw_registry_starting(pthread_t handle);

/* Calls fn for each thread whose slot is not free. */
void pinw_registry_each(void (*fn)(struct pinw_thread *, void *), void *arg);

#endif
