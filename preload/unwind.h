/* SPDX-License-Identifier: MIT
 *
 * Walks the calling thread's stack in full: the only file that knows libunwind.
 *
 * libunwind is opened with dlopen(RTLD_LOCAL) by the constructor and never linked:
 * as a DT_NEEDED its _Unwind_* symbols would take over the host's exception handling.
 * Its generic x86-64 library is used, on an address space of ours: every word it reads comes
 * through our accessor, and unwind tables are found with _dl_find_object. The local
 * one (libunwind.so.8) probes each stack page by writing to a pipe that it keeps; when the host
 * has closed or reused those descriptors, that writes into the host's files.
 *
 * It is entered only with the site lock held (so with signals blocked), on a private
 * stack. Where unwind information ends, frame pointers go on, and CFI is tried again
 * at each new frame.
 */
#ifndef PINW_UNWIND_H
#define PINW_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/trace_format.h"

struct pinw_frame {
	uintptr_t pc; /* return address */
	uintptr_t at; /* address of the stack word that holds it; 0 when not known */
	uintptr_t
	    fp_at; /* of the word that holds the frame pointer (at - 8) it was found by; 0: its inner frame's size says it */
};

struct pinw_walk {
	/* in */
	uintptr_t cfa; /* of the wrapper: the caller's stack pointer after the call */
	uintptr_t ra; /* the wrapper's return address */
	uintptr_t stack_hi; /* end of the known stack, 0 unknown */
	bool from_afar; /* the wrapper is not on the stack in use now: the walk starts at its caller */
	uintptr_t stack_lo; /* set by pinw_unwind: below it nothing of this walk lies */
	/* out: innermost first, frame 0 is `ra`; the shim's own frames left out */
	unsigned count;
	unsigned own; /* frames of the shim's, left out */
	uint16_t flags; /* PINW_SITE_* */
	struct pinw_frame frames[PINW_FRAMES_MAX];
};

/* Opens libunwind. Returns 0 or -ENOENT: then frame pointers alone are used. Constructor only. */
int pinw_unwind_open(void);

/* Fills the out half of `walk`. Needs the site lock, except when `fp_only`. The wrapper must keep its
 * frame pointer at cfa - 16. */
void pinw_unwind(struct pinw_walk *walk, bool fp_only);

/* Runs fn(arg) on the private stack (512 KiB), for other work that a host's stack may be too small for. False, and nothing
 * run, when there is none: before the constructor, or without memory. Needs the site lock. */
bool pinw_on_private_stack(void (*fn)(void *), void *arg);

/* libunwind may have been interrupted by a fork in another thread: never enter it again in this process. */
void pinw_unwind_poison(void);

#endif
