/* SPDX-License-Identifier: MIT
 *
 * From an interned stack to what each frame is called: the renderers' one way to
 * symbols.
 */
#ifndef PINW_REPORTS_STACKS_H
#define PINW_REPORTS_STACKS_H

#include "reports/model.h"

struct pinw_stacks;

/* Strings belong to the model or to the stacks object. */
struct pinw_frame {
	const char *module; /* path, NULL when the address is in no module (generated code) */
	uint64_t offset; /* return address, relative to the module's load address; else the address itself */
	const char *function; /* NULL when unknown */
	uint64_t
	    function_offset; /* of the return address from the function's start; meaningless when inlined */
	const char *file; /* NULL when unknown */
	unsigned line; /* 0 when unknown */
	bool inlined; /* into the function of the next frame */
	const char *symbols; /* its names as the compiler wrote them, one a line; NULL when unknown */
	const struct pinw_module *in; /* NULL when the address is in no module */
	unsigned at; /* number of the address in the stack: that of inlined calls is the same */
	int error; /* 0, or why the function is unknown: pinw_symbols_lookup()'s errors */
};

typedef void (*pinw_frame_fn)(void *arg, const struct pinw_frame *frame);

/* Returns 0 or -ENOMEM. */
int pinw_stacks_open(struct pinw_stacks **ret_stacks);

/* Accepts NULL. */
void pinw_stacks_free(struct pinw_stacks *s);

/* Hands out the frames of a site, innermost first, an inlined call before the function it was inlined into. */
void pinw_stacks_resolve(struct pinw_stacks *s, const struct pinw_process *p, const struct pinw_site *site,
                         pinw_frame_fn fn, void *arg);

#define PINW_STACK_FRAMES 320u

struct pinw_stack {
	struct pinw_frame frames[PINW_STACK_FRAMES];
	unsigned count;
	unsigned left_out; /* frames beyond these */
};

/* The frames of a site that are worth showing: without how libc gets to main and to a thread's function, and Go to a goroutine's, which is the same
 * below every stack and nobody's doing. */
void pinw_stacks_read(struct pinw_stacks *s, const struct pinw_process *p, const struct pinw_site *site,
                      struct pinw_stack *ret_stack);

/* Who did it and who called that, "setaffinity < start_worker": the innermost function is often one that all of a program's
 * pins, or creations, go through. Go's runtime is named only where there is nothing else. */
#define PINW_STACK_LABEL_BYTES 400u /* room enough for most */
void pinw_stacks_label(const struct pinw_frame *frames, unsigned count, char *text, size_t size);

/* Hands out the function of one address of a module, `offset` from its load address, in the same order. */
void pinw_stacks_address(struct pinw_stacks *s, const struct pinw_module *m, uint64_t offset,
                         pinw_frame_fn fn, void *arg);

/* "the file changed since", ... for an error of a frame; NULL when there is nothing to say. */
const char *pinw_stacks_reason(const struct pinw_frame *frame);

#endif
