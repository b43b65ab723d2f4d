/* SPDX-License-Identifier: MIT
 *
 * The host that asks which stack it is on, by call backs from functions of tests/targets/libhost.c, and what the frames of
 * an answer are. Suites have make_hosts and pinw_rig_done as their .init and .fini.
 */
#ifndef PINW_TESTS_SITE_RIG_H
#define PINW_TESTS_SITE_RIG_H

#include "preload/site.h"
#include "tests/rig.h"

typedef int host_fn(void *arg);

/* What a call back from the host found out. */
struct asked {
	uint32_t id;
	uintptr_t cfa; /* of the call: the stack lies above */
	uint64_t hits, unwinds; /* by this call */
};

/* The main program, and functions of libhost that call back. */
extern char program_path[PINW_PATH_MAX];
extern int (*host_without_cfi)(host_fn *, void *);
extern int (*host_left)(host_fn *, void *);
extern int (*host_right)(host_fn *, void *);
extern int (*host_recurse)(unsigned, host_fn *, void *);
extern int (*host_turns)(unsigned, unsigned, host_fn *, void *);
extern int (*host_alloca)(size_t, host_fn *, void *);
extern int (*host_twins)(unsigned, host_fn *, void *);

void make_hosts(void);

/* The wrapper: called by the host, asks which stack this is. `arg` is a struct asked. */
int ask(void *arg);

/* A site's frames; there must be some. */
unsigned frames_of(uint32_t id, const struct pinw_rec_frame **ret_frames, uint16_t *ret_flags);

uint64_t offset_of(const struct pinw_rec_frame *frame);

/* A frame's return address. */
uintptr_t pc_of(const struct pinw_rec_frame *frame);

/* How many frames of a site are in the function of that name. */
unsigned count_function(uint32_t id, const char *name);

#endif
