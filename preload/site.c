/* SPDX-License-Identifier: MIT */
#include "preload/site.h"

#include <string.h>

#include "preload/arch.h"
#include "preload/arena.h"
#include "preload/enforce.h"
#include "preload/lock.h"
#include "preload/module.h"
#include "preload/stackrules.h"
#include "preload/trace.h"
#include "preload/unwind.h"

#define LOCK_WAIT_NS 10000000u /* then the event goes without a site: never a deadlock */
#define JUDGED_WAIT_NS                                                                                       \
	1000000000u /* with a policy, which would miss that event: reading names can take long */
#define MEMO_BUCKETS 2048u
#define SITE_BUCKETS 4096u
#define CHAIN_MAX 512u /* memos from one call site; further stacks are walked every time */
#define CHUNK_SITES 256u
#define CHUNKS 4096u /* more sites than the arena can hold */

struct site {
	struct site *next; /* of the same bucket, atomic */
	uint64_t hash;
	uint32_t id;
	uint32_t image_gen; /* atomic: image whose trace holds its record */
	uint16_t count;
	uint16_t flags;
	const struct pinw_stack_match
	    *match; /* atomic: what it satisfies of the policy; NULL: not known for good */
	const struct pinw_stack_match *so_far; /* atomic: as far as it is known, while `match` is NULL */
	struct pinw_rec_frame frames[];
};

/* How to recognise a site on the stack of a wrapper called from `ra`. Immutable but for gen once published. */
struct memo {
	struct memo *next; /* of the same bucket, atomic */
	struct site *site;
	uintptr_t ra;
	uintptr_t depth; /* from the wrapper's CFA to the end of the thread's stack */
	uint32_t module_gen; /* atomic */
	uint32_t count;
	struct word {
		uintptr_t value;
		uintptr_t offset; /* from the wrapper's CFA, with RELATIVE or not */
	} words[];
};

/* Words are return addresses and, where a frame was found by one, frame pointers: only they tell how large a
 * frame of variable size is, and without them a return address left over from an earlier stack could stand
 * at the place remembered. They are kept relative to the wrapper's CFA. */
#define RELATIVE 1u
#define WORDS_MAX (2 * PINW_FRAMES_MAX)

/* A stack given by its addresses. Immutable but for gen once published. */
struct given {
	struct given *next; /* of the same bucket, atomic */
	struct site *site;
	uint64_t hash;
	uint32_t module_gen; /* atomic */
	uint16_t count;
	uint16_t flags;
	uintptr_t pcs[];
};

#define GIVEN_BUCKETS 1024u
#define GIVEN_SPINS 1000u /* some 30 us */
#define GIVEN_MAX 65536u /* further ones are looked up under the lock each time */

static struct {
	struct pinw_lock lock;
	struct given *given[GIVEN_BUCKETS]; /* atomic */
	uint32_t given_count;
	struct memo *memos[MEMO_BUCKETS]; /* atomic */
	struct site *sites[SITE_BUCKETS]; /* atomic */
	struct site **chunks[CHUNKS]; /* by id: atomic, and so is what they hold */
	uint32_t last_id;
	struct pinw_walk walk;
} table;

static unsigned memo_bucket(uintptr_t ra)
{
	return (unsigned)(ra * UINT64_C(0x9e3779b97f4a7c15) >> 53);
}

_Static_assert(MEMO_BUCKETS == 1u << (64 - 53), "the bucket is the hash's top bits");

/* ---- fast path -------------------------------------------------------------------- */

/* The same depth means that every word compared lies on the stack, and that what lies beyond its
 * end (the C library's start routine) is the same too. On a stack that does not match, a word may lie between the variables
 * of some frame, where the address sanitizer of the unit tests wants nobody to read. */
static __attribute__((no_sanitize("address"))) bool matches(const struct memo *memo, uintptr_t cfa,
                                                            uintptr_t stack_hi)
{
	if (memo->depth != stack_hi - cfa)
		return false;
	for (uint32_t i = 0; i < memo->count; i++) {
		uintptr_t relative = memo->words[i].offset & RELATIVE;

		if (*(const uintptr_t *)(cfa + memo->words[i].offset - relative) - (cfa & -relative) !=
		    memo->words[i].value)
			return false;
	}
	return true;
}

static bool on_known_stack(const struct pinw_thread *self, uintptr_t cfa)
{
	return cfa > self->stack_lo && cfa < self->stack_hi;
}

static struct memo *find_memo(const struct pinw_thread *self, struct pinw_where where, unsigned *ret_same)
{
	struct memo *memo = __atomic_load_n(&table.memos[memo_bucket(where.ra)], __ATOMIC_ACQUIRE);
	unsigned same = 0;

	for (; memo; memo = __atomic_load_n(&memo->next, __ATOMIC_ACQUIRE)) {
		if (memo->ra != where.ra)
			continue;
		if (matches(memo, where.cfa, self->stack_hi))
			return memo;
		same++;
	}
	*ret_same = same;
	return NULL;
}

/* The memo of the present stack if all it says still holds. */
static const struct memo *find_valid(const struct pinw_thread *self, struct pinw_where where)
{
	unsigned same;

	if (pinw_unlikely(!on_known_stack(self, where.cfa)))
		return NULL;
	const struct memo *memo = find_memo(self, where, &same);
	if (pinw_unlikely(memo == NULL) ||
	    pinw_unlikely(__atomic_load_n(&memo->module_gen, __ATOMIC_RELAXED) !=
	                  __atomic_load_n(&pinw_module_gen, __ATOMIC_RELAXED)) ||
	    pinw_unlikely(__atomic_load_n(&memo->site->image_gen, __ATOMIC_RELAXED) != pinw_shim.image_gen))
		return NULL;
	pinw_count(memo_hits, 1);
	return memo;
}

static struct pinw_site_ref site_slow(const struct pinw_thread *self, struct pinw_where where);

uint32_t pinw_site(const struct pinw_thread *self, struct pinw_where where)
{
	const struct memo *memo = find_valid(self, where);

	return pinw_likely(memo != NULL) ? memo->site->id : site_slow(self, where).id;
}

struct pinw_site_ref pinw_site_ref(const struct pinw_thread *self, struct pinw_where where)
{
	const struct memo *memo = find_valid(self, where);

	if (pinw_likely(memo != NULL)) {
		const struct pinw_stack_match *match = __atomic_load_n(&memo->site->match, __ATOMIC_ACQUIRE);

		if (pinw_likely(match != NULL) || !pinw_enforce.policy)
			return (struct pinw_site_ref){memo->site->id, match};
	}
	return site_slow(self, where);
}

/* ---- by id ----------------------------------------------------------------------------- */

static struct site *site_by_id(uint32_t id)
{
	uint32_t index = id - 1;

	if (!id || index / CHUNK_SITES >= CHUNKS)
		return NULL;
	struct site **chunk = __atomic_load_n(&table.chunks[index / CHUNK_SITES], __ATOMIC_ACQUIRE);
	return chunk ? __atomic_load_n(&chunk[index % CHUNK_SITES], __ATOMIC_ACQUIRE) : NULL;
}

/* The place of the next site, or NULL without memory. Lock held. */
static struct site **next_place(void)
{
	uint32_t index = table.last_id;

	if (index / CHUNK_SITES >= CHUNKS)
		return NULL;
	struct site ***chunk = &table.chunks[index / CHUNK_SITES];
	if (!*chunk)
		__atomic_store_n(chunk, pinw_arena_take(CHUNK_SITES * sizeof(struct site *)),
		                 __ATOMIC_RELEASE);
	return *chunk ? &(*chunk)[index % CHUNK_SITES] : NULL;
}

/* ---- interning, lock held ------------------------------------------------------------ */

void pinw_site_init(void)
{
	pinw_arena_init();
}

/* Module and offset of each frame of the walk; returns their hash. */
static uint64_t resolve(const struct pinw_walk *walk, struct pinw_rec_frame *frames)
{
	uint64_t hash = walk->flags;

	for (unsigned i = 0; i < walk->count; i++) {
		uint64_t offset;

		frames[i].module = pinw_module_of(walk->frames[i].pc, &offset);
		frames[i].offset_low = (uint32_t)offset;
		frames[i].offset_high = (uint32_t)(offset >> 32);
		hash = (hash ^ offset ^ (uint64_t)frames[i].module << 48) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	return hash;
}

static struct site *find_site(uint64_t hash, const struct pinw_walk *walk,
                              const struct pinw_rec_frame *frames)
{
	struct site *site = table.sites[hash % SITE_BUCKETS];

	for (; site; site = site->next)
		if (site->hash == hash && site->count == walk->count && site->flags == walk->flags &&
		    memcmp(site->frames, frames, walk->count * sizeof(*frames)) == 0)
			return site;
	return NULL;
}

static struct site *add_site(uint64_t hash, const struct pinw_walk *walk, const struct pinw_rec_frame *frames)
{
	size_t frames_bytes = walk->count * sizeof(*frames);
	struct site **place = next_place();
	struct site *site = place ? pinw_arena_take(sizeof(*site) + frames_bytes) : NULL;

	if (!site)
		return NULL;
	*site = (struct site){.hash = hash, .count = (uint16_t)walk->count, .flags = walk->flags};
	site->id = ++table.last_id;
	pinw_copy_raw(site->frames, frames, frames_bytes);
	site->next = table.sites[hash % SITE_BUCKETS];
	__atomic_store_n(place, site, __ATOMIC_RELEASE);
	__atomic_store_n(&table.sites[hash % SITE_BUCKETS], site, __ATOMIC_RELEASE);
	return site;
}

/* Finds what the site satisfies of the policy, unless that is known. */
static void match_site(struct site *site)
{
	bool final;

	if (!pinw_enforce.policy || site->match)
		return;
	const struct pinw_stack_match *match =
	    pinw_stackrules_of(site->frames, site->count, site->so_far, &final);
	if (match)
		__atomic_store_n(final ? &site->match : &site->so_far, match, __ATOMIC_RELEASE);
}

static const struct pinw_stack_match *match_so_far(const struct site *site)
{
	const struct pinw_stack_match *match = __atomic_load_n(&site->match, __ATOMIC_ACQUIRE);

	return match ? match : __atomic_load_n(&site->so_far, __ATOMIC_ACQUIRE);
}

static void emit(struct site *site)
{
	struct pinw_rec_site record = {.id = site->id, .frames = site->count, .flags = site->flags};

	pinw_count(sites, 1);
	if (pinw_trace_meta(PINW_REC_SITE, &record, sizeof(record), site->frames,
	                    site->count * sizeof(site->frames[0])) < 0)
		pinw_count(sites_dropped, 1);
	__atomic_store_n(&site->image_gen, pinw_shim.image_gen, __ATOMIC_RELEASE);
}

/* One that can be compared: from the wrapper's saved frame pointer on, aligned as it is. */
static bool is_word(const struct pinw_walk *walk, uintptr_t at)
{
	return at >= walk->cfa - 16 && !((at - walk->cfa) & 7);
}

/* The words to compare: those of the frames on the known stack. Returns their number, or -1 for a stack that cannot be
 * recognised by its words. */
static int memo_words(const struct pinw_thread *self, const struct pinw_walk *walk, struct word *words)
{
	uintptr_t last = walk->cfa - 8;
	int n = 0;

	for (unsigned i = 1; i < walk->count; i++) {
		const struct pinw_frame *frame = &walk->frames[i];

		if (frame->at && frame->at + 8 > self->stack_hi)
			break;
		if (frame->at <= last || !is_word(walk, frame->at) ||
		    (frame->fp_at && (frame->fp_at >= frame->at || !is_word(walk, frame->fp_at))))
			return -1;
		last = frame->at;
		if (frame->fp_at)
			words[n++] =
			    (struct word){frame->at - 8 - walk->cfa, (frame->fp_at - walk->cfa) | RELATIVE};
		words[n++] = (struct word){frame->pc, frame->at - walk->cfa};
	}
	return n;
}

/* Remembers how to recognise the site next time. */
static void add_memo(const struct pinw_thread *self, struct pinw_where where, struct site *site, uint32_t gen)
{
	static struct word words[WORDS_MAX]; /* off the stack: it may be small */
	unsigned same = 0;
	int count = on_known_stack(self, where.cfa) ? memo_words(self, &table.walk, words) : -1;

	if (count < 0)
		return;
	struct memo *known = find_memo(self, where, &same);
	if (known && known->site == site) {
		__atomic_store_n(&known->module_gen, gen, __ATOMIC_RELEASE);
		return;
	}
	if (same >= CHAIN_MAX)
		return;
	struct memo *memo = pinw_arena_take(sizeof(*memo) + (size_t)count * sizeof(words[0]));
	if (!memo)
		return;
	*memo = (struct memo){
	    .site = site,
	    .ra = where.ra,
	    .depth = self->stack_hi - where.cfa,
	    .module_gen = gen,
	    .count = (uint32_t)count,
	};
	pinw_copy_raw(memo->words, words, (size_t)count * sizeof(words[0]));
	struct memo **bucket = &table.memos[memo_bucket(where.ra)];
	memo->next = *bucket;
	__atomic_store_n(bucket, memo, __ATOMIC_RELEASE);
}

struct resolution {
	struct pinw_rec_frame *frames;
	uint64_t hash;
};

static void run_resolve(void *arg)
{
	struct resolution *resolution = arg;

	resolution->hash = resolve(&table.walk, resolution->frames);
}

/* Where the walk went, from the host's stack if there is no other. */
static uint64_t resolve_apart(struct pinw_rec_frame *frames)
{
	struct resolution resolution = {.frames = frames};

	if (!pinw_on_private_stack(run_resolve, &resolution))
		run_resolve(&resolution);
	return resolution.hash;
}

/* The site of table.walk, recorded in this image's trace; NULL without memory. */
static struct site *intern_walk(void)
{
	static struct pinw_rec_frame frames[PINW_FRAMES_MAX]; /* off the stack: it may be small */
	uint64_t hash = resolve_apart(frames);
	struct site *site = find_site(hash, &table.walk, frames);

	if (!site)
		site = add_site(hash, &table.walk, frames);
	if (!site)
		return NULL;
	if (site->image_gen != pinw_shim.image_gen)
		emit(site);
	match_site(site);
	return site;
}

static struct site *site_locked(const struct pinw_thread *self, struct pinw_where where)
{
	uint32_t gen = __atomic_load_n(&pinw_module_gen, __ATOMIC_ACQUIRE);

	table.walk.cfa = where.cfa;
	table.walk.ra = where.ra;
	table.walk.stack_hi = on_known_stack(self, where.cfa) ? self->stack_hi : 0;
	pinw_unwind(&table.walk, __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED));
	pinw_count(unwinds, 1);
	struct site *site = intern_walk();
	if (site)
		add_memo(self, where, site, gen);
	return site;
}

int pinw_site_lock(struct pinw_lock_state *ret_state)
{
	return pinw_lock_take(&table.lock, pinw_enforce.policy ? JUDGED_WAIT_NS : LOCK_WAIT_NS, ret_state);
}

int pinw_site_try_lock(struct pinw_lock_state *ret_state)
{
	return pinw_lock_take(&table.lock, 0, ret_state);
}

void pinw_site_unlock(const struct pinw_lock_state *state)
{
	pinw_lock_give(&table.lock, state);
}

/* What could not be told is counted. */
static struct pinw_site_ref counted(struct pinw_site_ref ref)
{
	if (!ref.id)
		pinw_count(sites_dropped, 1);
	if (!ref.match && pinw_enforce.policy)
		pinw_count(stack_rules_unknown, 1);
	return ref;
}

static struct pinw_site_ref __attribute__((noinline))
site_slow(const struct pinw_thread *self, struct pinw_where where)
{
	struct pinw_site_ref ref = {0, NULL};
	struct pinw_lock_state state;

	if (pinw_site_lock(&state) == 0) {
		const struct site *site = site_locked(self, where);

		if (site)
			ref = (struct pinw_site_ref){site->id, match_so_far(site)};
		pinw_site_unlock(&state);
	}
	return counted(ref);
}

const struct pinw_stack_match *pinw_site_match(uint32_t id)
{
	struct site *site = site_by_id(id);
	struct pinw_lock_state state;

	if (!site || !pinw_enforce.policy)
		return NULL;
	if (pinw_unlikely(!__atomic_load_n(&site->match, __ATOMIC_ACQUIRE)) && pinw_site_lock(&state) == 0) {
		match_site(site);
		pinw_site_unlock(&state);
	}
	return match_so_far(site);
}

/* ---- stacks given by their addresses ------------------------------------------------------ */

static uint64_t hash_pcs(const uintptr_t *pcs, unsigned count, uint16_t flags)
{
	uint64_t hash = flags;

	for (unsigned i = 0; i < count; i++) {
		hash = (hash ^ pcs[i]) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	return hash;
}

static struct given *find_given(uint64_t hash, const uintptr_t *pcs, unsigned count, uint16_t flags)
{
	struct given *given = __atomic_load_n(&table.given[hash % GIVEN_BUCKETS], __ATOMIC_ACQUIRE);

	for (; given; given = given->next)
		if (given->hash == hash && given->count == count && given->flags == flags &&
		    memcmp(given->pcs, pcs, count * sizeof(pcs[0])) == 0)
			return given;
	return NULL;
}

/* Interns the stack, and remembers it by its addresses. Lock held. */
static struct site *learn_given(uint64_t hash, const uintptr_t *pcs, unsigned count, uint16_t flags)
{
	uint32_t gen = __atomic_load_n(&pinw_module_gen, __ATOMIC_ACQUIRE);
	struct given *given = find_given(hash, pcs, count, flags);

	table.walk.count = count;
	table.walk.flags = flags;
	for (unsigned i = 0; i < count; i++)
		table.walk.frames[i] = (struct pinw_frame){.pc = pcs[i]};
	struct site *site = intern_walk();
	if (!site)
		return NULL;
	if (given && given->site == site) {
		__atomic_store_n(&given->module_gen, gen, __ATOMIC_RELEASE);
		return site;
	}
	given =
	    table.given_count < GIVEN_MAX ? pinw_arena_take(sizeof(*given) + count * sizeof(pcs[0])) : NULL;
	if (!given)
		return site;
	table.given_count++;
	*given = (struct given){
	    .site = site, .hash = hash, .module_gen = gen, .count = (uint16_t)count, .flags = flags};
	pinw_copy_raw(given->pcs, pcs, count * sizeof(pcs[0]));
	given->next = table.given[hash % GIVEN_BUCKETS];
	__atomic_store_n(&table.given[hash % GIVEN_BUCKETS], given, __ATOMIC_RELEASE);
	return site;
}

/* One that is known and all of it still holds. */
static const struct given *find_valid_given(uint64_t hash, const uintptr_t *pcs, unsigned count,
                                            uint16_t flags)
{
	const struct given *given = find_given(hash, pcs, count, flags);

	if (pinw_unlikely(!given) ||
	    pinw_unlikely(__atomic_load_n(&given->module_gen, __ATOMIC_RELAXED) !=
	                  __atomic_load_n(&pinw_module_gen, __ATOMIC_RELAXED)) ||
	    pinw_unlikely(__atomic_load_n(&given->site->image_gen, __ATOMIC_RELAXED) != pinw_shim.image_gen))
		return NULL;
	return given;
}

/* Others of its kind hold the lock for microseconds. Whoever holds it longer reads names, or was itself interrupted, and
 * may need this very processor. */
static int given_lock(struct pinw_lock_state *ret_state)
{
	for (unsigned spin = 0; spin < GIVEN_SPINS && __atomic_load_n(&table.lock.held, __ATOMIC_RELAXED);
	     spin++)
		pinw_pause();
	return pinw_site_lock(ret_state);
}

static __attribute__((noinline)) struct pinw_site_ref given_slow(uint64_t hash, const uintptr_t *pcs,
                                                                 unsigned count, uint16_t flags)
{
	struct pinw_site_ref ref = {0, NULL};
	struct pinw_lock_state state;

	if (given_lock(&state) == 0) {
		const struct site *site = learn_given(hash, pcs, count, flags);

		pinw_count(unwinds, 1);
		if (site)
			ref = (struct pinw_site_ref){site->id, match_so_far(site)};
		pinw_site_unlock(&state);
	}
	return counted(ref);
}

struct pinw_site_ref pinw_site_of(const uintptr_t *pcs, unsigned count, uint16_t flags)
{
	uint64_t hash = hash_pcs(pcs, count, flags);
	const struct given *given = find_valid_given(hash, pcs, count, flags);

	if (pinw_unlikely(!given))
		return given_slow(hash, pcs, count, flags);
	pinw_count(memo_hits, 1);
	return (struct pinw_site_ref){given->site->id, match_so_far(given->site)};
}

/* ---- fork, log -------------------------------------------------------------------------- */

void pinw_site_child(void)
{
	/* Somebody else was walking a stack while the process was copied: libunwind's own locks may be held for ever. */
	if (pinw_lock_reset(&table.lock))
		pinw_unwind_poison();
	pinw_stackrules_child();
}

void pinw_site_keep(uint32_t id)
{
	struct site *site = site_by_id(id);

	if (!site || site->image_gen == pinw_shim.image_gen)
		return;
	for (unsigned i = 0; i < site->count; i++)
		pinw_module_keep(site->frames[i].module);
	emit(site);
}

unsigned pinw_site_frames(uint32_t id, const struct pinw_rec_frame **ret_frames, uint16_t *ret_flags)
{
	const struct site *site = site_by_id(id);

	if (!site)
		return 0;
	*ret_frames = site->frames;
	*ret_flags = site->flags;
	return site->count;
}
