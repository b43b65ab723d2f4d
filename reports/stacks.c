/* SPDX-License-Identifier: MIT */
#include "reports/stacks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/jitmap.h"
#include "reports/kept_names.h"
#include "reports/report.h"
#include "reports/symbols.h"

#define INLINED_MAX 16u /* calls inlined into one another at one address */

/* A process's map of generated code, once it was looked for. */
struct generated {
	bool asked;
	struct pinw_jitmap *map; /* NULL: none */
};

struct pinw_stacks {
	struct pinw_symbols *symbols;
	struct pinw_table generated; /* struct generated, by process */
};

int pinw_stacks_open(struct pinw_stacks **ret_stacks)
{
	struct pinw_stacks *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	int error = pinw_symbols_open(&s->symbols);
	if (error < 0) {
		free(s);
		return error;
	}
	pinw_table_init(&s->generated, sizeof(struct generated));
	*ret_stacks = s;
	return 0;
}

void pinw_stacks_free(struct pinw_stacks *s)
{
	if (!s)
		return;
	pinw_symbols_free(s->symbols);
	for (size_t i = 0; i < s->generated.count; i++)
		pinw_jitmap_free(((struct generated *)pinw_table_at(&s->generated, i))->map);
	pinw_table_done(&s->generated);
	free(s);
}

/* A frame in no module. */
static void resolve_generated(struct pinw_stacks *s, const struct pinw_process *p, struct pinw_frame *frame)
{
	const struct pinw_trace_header *h = &p->header;
	const uint64_t who[] = {h->self.pid, h->start_real_ns}; /* where it is kept may be another's later */
	struct generated *g = pinw_table_get(&s->generated, pinw_table_hash(who, sizeof(who)), NULL);

	if (!g)
		return;
	if (!g->asked)
		pinw_jitmap_open(p, &g->map);
	g->asked = true;
	frame->function =
	    g->map ? pinw_jitmap_find(g->map, frame->offset - 1, &frame->function_offset) : NULL;
	if (!frame->function)
		return;
	frame->function_offset++; /* no symbols: rules do not see generated code */
	frame->error = 0;
}

/* As the program called them itself. False: it told nothing about this frame. */
static bool hand_out_kept(const struct pinw_process *p, const struct pinw_module *m, struct pinw_frame *frame,
                          pinw_frame_fn fn, void *arg)
{
	const struct pinw_kept_name *n = p ? pinw_kept_names_find(p, m->id, frame->offset, 0) : NULL;

	if (!n)
		return false;
	frame->error = 0;
	for (unsigned depth = 1; n; depth++) {
		frame->function = n->function;
		frame->function_offset = n->distance;
		frame->file = n->file;
		frame->line = n->line;
		frame->inlined = n->inlined;
		frame->symbols = n->inlined ? NULL : n->function;
		fn(arg, frame);
		n = n->inlined ? pinw_kept_names_find(p, m->id, frame->offset, depth) : NULL;
	}
	return true;
}

/* Offsets are return addresses: the call is one byte before, and belongs to the caller even where the function
 * ends with it. */
static void resolve_in_module(struct pinw_stacks *s, const struct pinw_process *p,
                              const struct pinw_module *m, struct pinw_frame *frame, pinw_frame_fn fn,
                              void *arg)
{
	struct pinw_symbol_frame found[INLINED_MAX];
	size_t count = 0;

	frame->module = m->path;
	frame->in = m;
	frame->error = pinw_symbols_lookup(s->symbols, m->path, m->build_id, m->build_id_len,
	                                   frame->offset - 1, found, INLINED_MAX, &count);
	if (frame->error < 0) {
		if (!hand_out_kept(p, m, frame, fn, arg))
			fn(arg, frame);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		frame->function = found[i].function;
		frame->function_offset = found[i].function_offset + 1;
		frame->file = found[i].file;
		frame->line = found[i].line;
		frame->inlined = found[i].inlined;
		frame->symbols = found[i].symbols;
		fn(arg, frame);
	}
}

void pinw_stacks_resolve(struct pinw_stacks *s, const struct pinw_process *p, const struct pinw_site *site,
                         pinw_frame_fn fn, void *arg)
{
	for (size_t i = 0; i < site->frame_count; i++) {
		const struct pinw_rec_frame *rec = &p->frames[site->first_frame + i];
		const struct pinw_module *m = rec->module ? pinw_process_module(p, rec->module) : NULL;
		struct pinw_frame frame = {
		    .offset = pinw_frame_offset(rec), .at = (unsigned)i, .error = -ENODATA};
		if (m && m->path)
			resolve_in_module(s, p, m, &frame, fn, arg);
		else {
			if (!rec->module)
				resolve_generated(s, p, &frame);
			fn(arg, &frame);
		}
	}
}

static void keep_frame(void *arg, const struct pinw_frame *f)
{
	struct pinw_stack *s = arg;

	if (s->count < PINW_STACK_FRAMES)
		s->frames[s->count++] = *f;
	else
		s->left_out++;
}

static bool is_run_up(const struct pinw_frame *f)
{
	static const char *const names[] = {"start_thread",
	                                    "clone",
	                                    "__clone",
	                                    "clone3",
	                                    "__clone3",
	                                    "__libc_start_call_main",
	                                    "__libc_start_main",
	                                    "__libc_start_main_impl",
	                                    "_start",
	                                    "runtime.goexit",
	                                    "runtime.goexit.abi0"};

	for (size_t i = 0; f->function && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(f->function, names[i]) == 0)
			return true;
	return false;
}

/* Below libc's start is the program's _start, whose name may have been stripped. */
void pinw_stacks_read(struct pinw_stacks *s, const struct pinw_process *p, const struct pinw_site *site,
                      struct pinw_stack *ret_stack)
{
	ret_stack->count = ret_stack->left_out = 0;
	pinw_stacks_resolve(s, p, site, keep_frame, ret_stack);
	if (ret_stack->count > 2 && is_run_up(&ret_stack->frames[ret_stack->count - 2]))
		ret_stack->count--;
	while (ret_stack->count > 1 && is_run_up(&ret_stack->frames[ret_stack->count - 1]))
		ret_stack->count--;
}

/* ---- in short ------------------------------------------------------------------------------- */

static bool begins(const struct pinw_frame *f, const char *with)
{
	return f->function && strncmp(f->function, with, strlen(with)) == 0;
}

/* What says nothing: how a Go program gets into C to create a thread, a method value's way to its method. */
static bool is_go_glue(const struct pinw_frame *f)
{
	size_t len = f->function ? strlen(f->function) : 0;

	return begins(f, "_cgo_") || begins(f, "runtime.asmcgocall") ||
	       (len > 3 && strcmp(f->function + len - 3, "-fm") == 0);
}

static void put_label(char *text, size_t size, const struct pinw_frame *f)
{
	if (f->function)
		snprintf(text, size, "%s", f->function);
	else if (f->module)
		snprintf(text, size, "%.200s+0x%" PRIx64, pinw_base_name(f->module), f->offset);
	else
		snprintf(text, size, "[generated code]");
}

/* Returns how many functions it named. */
static unsigned label(const struct pinw_frame *frames, unsigned count, bool of_runtime, char *text,
                      size_t size)
{
	size_t len = 0;
	unsigned named = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < count && named < 2 && len + 4 < size; i++) {
		const struct pinw_frame *f = &frames[i];
		if (is_go_glue(f) || (begins(f, "runtime.") && !of_runtime))
			continue;
		if (named++)
			len += (size_t)snprintf(text + len, size - len, " < ");
		put_label(text + len, size - len, f);
		len += strlen(text + len);
	}
	return named;
}

void pinw_stacks_label(const struct pinw_frame *frames, unsigned count, char *text, size_t size)
{
	if (label(frames, count, false, text, size) == 0 && label(frames, count, true, text, size) == 0 &&
	    count)
		put_label(text, size, &frames[0]);
}

void pinw_stacks_address(struct pinw_stacks *s, const struct pinw_module *m, uint64_t offset,
                         pinw_frame_fn fn, void *arg)
{
	struct pinw_frame frame = {.offset = offset + 1, .error = -ENODATA};

	if (m->path)
		resolve_in_module(s, NULL, m, &frame, fn, arg);
}

const char *pinw_stacks_reason(const struct pinw_frame *frame)
{
	if (!frame->module)
		return frame->function ? "generated code" : "in no module: generated code";
	switch (frame->error) {
	case -ENOENT:
		return frame->module[0] == '[' ? NULL : "the file is gone";
	case -ESTALE:
		return "the file changed since";
	default:
		return NULL;
	}
}
