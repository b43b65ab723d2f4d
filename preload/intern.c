/* SPDX-License-Identifier: MIT */
#include "preload/intern.h"

#include <string.h>

#include "preload/arch.h"
#include "preload/arena.h"
#include "preload/enforce.h"
#include "preload/go/go.h"
#include "preload/module.h"
#include "preload/stackrules.h"
#include "preload/trace.h"
#include "preload/unwind.h"

#define SITE_BUCKETS 4096u
#define CHUNK_SITES 256u
#define CHUNKS 4096u /* more sites than the arena can hold */

static struct {
	struct pinw_interned *sites[SITE_BUCKETS]; /* atomic */
	struct pinw_interned **chunks[CHUNKS]; /* by id: atomic, and so is what they hold */
	uint32_t last_id;
} interned;

/* ---- by id ----------------------------------------------------------------------------- */

struct pinw_interned *pinw_interned_by_id(uint32_t id)
{
	uint32_t index = id - 1;

	if (!id || index / CHUNK_SITES >= CHUNKS)
		return NULL;
	struct pinw_interned **chunk =
	    __atomic_load_n(&interned.chunks[index / CHUNK_SITES], __ATOMIC_ACQUIRE);
	return chunk ? __atomic_load_n(&chunk[index % CHUNK_SITES], __ATOMIC_ACQUIRE) : NULL;
}

/* The place of the next site, or NULL without memory. Lock held. */
static struct pinw_interned **next_place(void)
{
	uint32_t index = interned.last_id;

	if (index / CHUNK_SITES >= CHUNKS)
		return NULL;
	struct pinw_interned ***chunk = &interned.chunks[index / CHUNK_SITES];
	if (!*chunk)
		__atomic_store_n(chunk, pinw_arena_take(CHUNK_SITES * sizeof(struct pinw_interned *)),
		                 __ATOMIC_RELEASE);
	return *chunk ? &(*chunk)[index % CHUNK_SITES] : NULL;
}

/* ---- frames ------------------------------------------------------------------------------- */

/* Module and offset of each frame; returns their hash. */
static uint64_t resolve(const struct pinw_stack *stack, struct pinw_rec_frame *frames)
{
	uint64_t hash = stack->flags;

	for (unsigned i = 0; i < stack->count; i++) {
		uint64_t offset;

		frames[i].module = pinw_module_of(stack->pcs[i], &offset);
		frames[i].offset_low = (uint32_t)offset;
		frames[i].offset_high = (uint32_t)(offset >> 32);
		hash = (hash ^ offset ^ (uint64_t)frames[i].module << 48) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	return hash;
}

static struct pinw_interned *find_site(uint64_t hash, const struct pinw_stack *stack,
                                       const struct pinw_rec_frame *frames)
{
	struct pinw_interned *site = interned.sites[hash % SITE_BUCKETS];

	for (; site; site = site->next)
		if (site->hash == hash && site->count == stack->count && site->flags == stack->flags &&
		    memcmp(site->frames, frames, stack->count * sizeof(*frames)) == 0)
			return site;
	return NULL;
}

static struct pinw_interned *add_site(uint64_t hash, const struct pinw_stack *stack,
                                      const struct pinw_rec_frame *frames)
{
	size_t frames_bytes = stack->count * sizeof(*frames);
	struct pinw_interned **place = next_place();
	struct pinw_interned *site = place ? pinw_arena_take(sizeof(*site) + frames_bytes) : NULL;

	if (!site)
		return NULL;
	*site = (struct pinw_interned){.hash = hash, .count = (uint16_t)stack->count, .flags = stack->flags};
	site->id = ++interned.last_id;
	pinw_copy_raw(site->frames, frames, frames_bytes);
	site->next = interned.sites[hash % SITE_BUCKETS];
	__atomic_store_n(place, site, __ATOMIC_RELEASE);
	__atomic_store_n(&interned.sites[hash % SITE_BUCKETS], site, __ATOMIC_RELEASE);
	return site;
}

void pinw_intern_match(struct pinw_interned *site)
{
	bool final;

	if (!pinw_enforce.policy || site->match)
		return;
	const struct pinw_stack_match *match =
	    pinw_stackrules_of(site->frames, site->count, site->so_far, &final);
	if (match)
		__atomic_store_n(final ? &site->match : &site->so_far, match, __ATOMIC_RELEASE);
}

const struct pinw_stack_match *pinw_intern_match_so_far(const struct pinw_interned *site)
{
	const struct pinw_stack_match *match = __atomic_load_n(&site->match, __ATOMIC_ACQUIRE);

	return match ? match : __atomic_load_n(&site->so_far, __ATOMIC_ACQUIRE);
}

bool pinw_intern_is_free(uint32_t id)
{
	const struct pinw_interned *site = pinw_interned_by_id(id);
	const struct pinw_stack_match *match = site ? __atomic_load_n(&site->match, __ATOMIC_ACQUIRE) : NULL;

	return match && match->rule_count == 0;
}

void pinw_intern_emit(struct pinw_interned *site)
{
	struct pinw_rec_site record = {.id = site->id, .frames = site->count, .flags = site->flags};

	pinw_count(sites, 1);
	if (pinw_trace_meta(PINW_REC_SITE, &record, sizeof(record), site->frames,
	                    site->count * sizeof(site->frames[0])) < 0)
		pinw_count(sites_dropped, 1);
	else
		pinw_go_names(site->frames, site->count);
	__atomic_store_n(&site->image_gen, pinw_shim.image_gen, __ATOMIC_RELEASE);
}

struct resolution {
	const struct pinw_stack *stack;
	struct pinw_rec_frame *frames;
	uint64_t hash;
};

static void run_resolve(void *arg)
{
	struct resolution *resolution = arg;

	resolution->hash = resolve(resolution->stack, resolution->frames);
}

/* From the host's stack if there is no other. */
static uint64_t resolve_apart(const struct pinw_stack *stack, struct pinw_rec_frame *frames)
{
	struct resolution resolution = {.stack = stack, .frames = frames};

	if (!pinw_on_private_stack(run_resolve, &resolution))
		run_resolve(&resolution);
	return resolution.hash;
}

struct pinw_interned *pinw_intern(const struct pinw_stack *stack)
{
	static struct pinw_rec_frame frames[PINW_FRAMES_MAX]; /* off the stack: it may be small */
	uint64_t hash = resolve_apart(stack, frames);
	struct pinw_interned *site = find_site(hash, stack, frames);

	if (!site)
		site = add_site(hash, stack, frames);
	if (!site)
		return NULL;
	if (site->image_gen != pinw_shim.image_gen)
		pinw_intern_emit(site);
	pinw_intern_match(site);
	return site;
}
