/* SPDX-License-Identifier: MIT
 *
 * Frame by frame, so that what stacks have in common is recorded once. Everything is read from the program's own memory, where
 * its tables are mapped from its file; only what a bound leaves out has to be looked for in the file when the trace is read.
 */
#include <string.h>

#include "preload/arch.h"
#include "preload/arena.h"
#include "preload/go/go.h"
#include "preload/module.h"
#include "preload/shim.h"
#include "preload/trace.h"
#include "preload/unwind.h"

#define BUCKETS 512u
#define FRAMES_NAMED_MAX 8192u /* they are kept in the arena, where stacks have to find room as well */
#define DEPTH_MAX 16u /* of calls inlined into one another */

/* A frame whose function is in a trace. */
struct named {
	struct named *next;
	uint64_t offset;
	uint32_t module;
	uint32_t image_gen; /* image whose trace has it */
};

static struct {
	struct named **buckets;
	unsigned count;
	char text[2 * PINW_PATH_MAX]; /* of one record; off the stack */
} names;

/* ---- frames met before ------------------------------------------------------------------------- */

/* Is this frame to be named now? It is taken for named then. */
static bool is_fresh(const struct pinw_rec_frame *frame)
{
	uint64_t offset = pinw_frame_offset(frame);
	struct named **bucket = &names.buckets[(offset ^ frame->module) % BUCKETS], *n = *bucket;

	while (n && (n->offset != offset || n->module != frame->module))
		n = n->next;
	if (!n && names.count < FRAMES_NAMED_MAX)
		n = pinw_arena_take(sizeof(*n));
	if (!n || n->image_gen == pinw_shim.image_gen)
		return false;
	if (!n->image_gen) {
		*n = (struct named){.next = *bucket, .offset = offset, .module = frame->module};
		*bucket = n;
		names.count++;
	}
	n->image_gen = pinw_shim.image_gen;
	return true;
}

/* ---- names ------------------------------------------------------------------------------------- */

/* The innermost call inlined at an instruction, as pinw_goelf_inlined finds it in a file. */
static bool find_inlined(const struct pinw_go_runtime *r, uint64_t i, uint64_t distance,
                         struct pinw_pclntab_call *ret)
{
	uint64_t offset;

	if (!pinw_pclntab_inlined(&r->table, i, distance, &offset))
		return false;
	for (unsigned c = 0; c < PINW_PCLNTAB_PLACES; c++)
		if (r->calls[c].start && offset < r->calls[c].bytes &&
		    pinw_pclntab_call(&r->table, i, r->calls[c].start + offset, r->calls[c].bytes - offset,
		                      ret))
			return true;
	return false;
}

static size_t cut(size_t len)
{
	return len < PINW_PATH_MAX ? len : PINW_PATH_MAX;
}

static void emit(struct pinw_rec_function *record, const char *name, size_t name_len,
                 const struct pinw_pclntab_place *place)
{
	record->line = place->file ? place->line : 0;
	record->name_len = (uint16_t)cut(name_len);
	record->file_len = (uint16_t)(place->file ? cut(place->file_len) : 0);
	pinw_copy_raw(names.text, name, record->name_len);
	pinw_copy_raw(names.text + record->name_len, place->file, record->file_len);
	pinw_trace_meta(PINW_REC_FUNCTION, record, sizeof(*record), names.text,
	                (size_t)record->name_len + record->file_len);
}

/* The function around a call, and what was inlined there: innermost first. */
static void name_frame(const struct pinw_go_runtime *r, const struct pinw_rec_frame *frame, uintptr_t call)
{
	struct pinw_rec_function record = {.module = frame->module, .offset = pinw_frame_offset(frame)};
	uint64_t i;
	size_t len;

	if (!pinw_pclntab_find(&r->table, call, &i))
		return;
	const char *name = pinw_pclntab_name(&r->table, i, &len);
	uint64_t distance = call - pinw_pclntab_entry(&r->table, i);
	struct pinw_pclntab_call inlined = {.distance = distance};
	bool more = name;
	record.distance = (uint32_t)distance + 1;
	for (; more && record.depth < DEPTH_MAX; record.depth++) {
		struct pinw_pclntab_place place = pinw_pclntab_place(&r->table, i, inlined.distance);

		more = find_inlined(r, i, inlined.distance, &inlined);
		record.flags = more ? PINW_FUNCTION_INLINED : 0;
		emit(&record, more ? inlined.name : name, more ? inlined.name_len : len, &place);
	}
}

/* ---- stacks ------------------------------------------------------------------------------------ */

struct job {
	const struct pinw_rec_frame *frames;
	unsigned count;
};

static void run(void *arg)
{
	const struct job *job = arg;

	for (unsigned i = 0; i < job->count; i++) {
		uintptr_t pc = pinw_module_address(job->frames[i].module, pinw_frame_offset(&job->frames[i]));
		const struct pinw_go_runtime *r = pc ? pinw_go_runtime_at(pc - 1) : NULL;

		if (r && is_fresh(&job->frames[i]))
			name_frame(r, &job->frames[i], pc - 1);
	}
}

void pinw_go_names(const struct pinw_rec_frame *frames, unsigned count)
{
	struct job job = {frames, count};

	if (pinw_likely(!__atomic_load_n(&pinw_go.runtime_count, __ATOMIC_ACQUIRE)))
		return;
	if (!names.buckets)
		names.buckets = pinw_arena_take(BUCKETS * sizeof(struct named *));
	if (names.buckets)
		pinw_on_private_stack(run, &job);
}
