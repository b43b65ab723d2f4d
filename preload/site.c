/* SPDX-License-Identifier: MIT */
#include "preload/site.h"

#include <string.h>

#include "preload/arch.h"
#include "preload/arena.h"
#include "preload/enforce.h"
#include "preload/given.h"
#include "preload/go/go.h"
#include "preload/intern.h"
#include "preload/lock.h"
#include "preload/module.h"
#include "preload/stackrules.h"
#include "preload/unwind.h"

#define LOCK_WAIT_NS 50000000u /* then the event goes without a site: never a deadlock */
#define JUDGED_WAIT_NS                                                                                       \
	1000000000u /* with a policy, which would miss that event: reading names can take long */
#define MEMO_BUCKETS 2048u
#define CHAIN_MAX 512u /* memos from one call site; further stacks are walked every time */
#define KEY_WORDS_MAX (PINW_FRAMES_MAX + 1)
#define WITH_MEMO 0x8000u /* in the flags of a key, beside PINW_SITE_* */

/* How to recognise a stack from the wrapper called from `ra` on. Immutable but for gen once published. */
struct memo {
	struct memo *next; /* of the same bucket, atomic */
	struct pinw_interned *site; /* NULL: this is a part of it, see add_parts */
	uintptr_t ra;
	uintptr_t depth; /* from the wrapper's CFA to the end of the thread's stack */
	uint32_t module_gen; /* atomic */
	uint16_t frames; /* that it stands for */
	bool goes_on; /* on a goroutine's stack, by the frame pointer that is ... */
	uintptr_t fp_at; /* ... here, from the wrapper's CFA */
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

#define GIVEN_SPINS 1000u /* some 30 us */

/* The inner end of a stack, when somebody else has walked it. */
struct inner {
	const uintptr_t *pcs;
	unsigned count;
	uint16_t flags; /* PINW_SITE_* */
};

static struct {
	struct pinw_lock lock;
	struct memo *memos[MEMO_BUCKETS]; /* atomic */
	/* of the walk under way */
	struct pinw_walk walk;
	struct pinw_stack stack;
	uintptr_t key_words[KEY_WORDS_MAX];
	struct word words[WORDS_MAX];
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

/* The memo of the present stack if its objects are still there. */
static const struct memo *find_valid_memo(const struct pinw_thread *self, struct pinw_where where)
{
	unsigned same;

	if (pinw_unlikely(!on_known_stack(self, where.cfa)))
		return NULL;
	const struct memo *memo = find_memo(self, where, &same);
	if (pinw_unlikely(memo == NULL) ||
	    pinw_unlikely(__atomic_load_n(&memo->module_gen, __ATOMIC_RELAXED) !=
	                  __atomic_load_n(&pinw_module_gen, __ATOMIC_RELAXED)))
		return NULL;
	return memo;
}

static struct pinw_interned *find_by_parts(const struct pinw_thread *self, struct pinw_where where,
                                           const struct inner *inner);

static bool is_recorded(const struct pinw_interned *site)
{
	return __atomic_load_n(&site->image_gen, __ATOMIC_RELAXED) == pinw_shim.image_gen;
}

/* The site of the present stack if all that is remembered of it still holds. */
static const struct pinw_interned *find_valid(const struct pinw_thread *self, struct pinw_where where)
{
	const struct memo *memo = find_valid_memo(self, where);

	if (pinw_unlikely(memo == NULL))
		return NULL;
	const struct pinw_interned *site = memo->site;
	if (pinw_unlikely(site == NULL)) {
		site = find_by_parts(self, where, NULL);
		if (!site)
			return NULL;
	}
	if (pinw_unlikely(!is_recorded(site)))
		return NULL;
	pinw_count(memo_hits, 1);
	return site;
}

static struct pinw_site_ref site_slow(const struct pinw_thread *self, struct pinw_where where);

uint32_t pinw_site(const struct pinw_thread *self, struct pinw_where where)
{
	const struct pinw_interned *site = find_valid(self, where);

	return pinw_likely(site != NULL) ? site->id : site_slow(self, where).id;
}

struct pinw_site_ref pinw_site_ref(const struct pinw_thread *self, struct pinw_where where)
{
	const struct pinw_interned *site = find_valid(self, where);

	if (pinw_likely(site != NULL)) {
		const struct pinw_stack_match *match = __atomic_load_n(&site->match, __ATOMIC_ACQUIRE);

		if (pinw_likely(match != NULL) || !pinw_enforce.policy)
			return (struct pinw_site_ref){site->id, match};
	}
	return site_slow(self, where);
}

/* ---- parts ----------------------------------------------------------------------------- */

static struct pinw_key key_with_memos(const uintptr_t *words, unsigned count, const struct inner *inner)
{
	return pinw_key(words, count, WITH_MEMO | (inner ? inner->flags : 0));
}

/* Adds to the words of a key, each of which is a frame so far, what the stack from `where` on is known by: the memo of C
 * code, the addresses of a goroutine's frames that it was called by, the memo of C code that called back into Go before,
 * and so on. Returns how many words there are then, 0 when some part is not known. */
static unsigned add_parts(const struct pinw_thread *self, struct pinw_where where, uintptr_t *words,
                          unsigned n)
{
	for (unsigned frames = n;;) {
		const struct memo *memo = find_valid_memo(self, where);

		if (!memo)
			return 0;
		words[n++] = (uintptr_t)memo;
		frames += memo->frames;
		if (!memo->goes_on || frames >= PINW_FRAMES_MAX)
			return n;
		struct pinw_go_path path = {.fp = *(const uintptr_t *)(where.cfa + memo->fp_at),
		                            .low = where.cfa,
		                            .high = self->stack_hi};
		int beyond = pinw_go_follow(&path, words + n, PINW_FRAMES_MAX - frames);
		if (beyond < 0)
			return 0;
		n += (unsigned)beyond;
		frames += (unsigned)beyond;
		if (!path.pc)
			return n;
		where = (struct pinw_where){path.pc, path.fp + 16};
	}
}

/* The stack that has parts, called from `where` on, with what is known of it already. */
static __attribute__((noinline)) struct pinw_interned *
find_by_parts(const struct pinw_thread *self, struct pinw_where where, const struct inner *inner)
{
	uintptr_t words[KEY_WORDS_MAX];
	unsigned n = inner ? inner->count : 0;

	if (inner)
		memcpy(words, inner->pcs, n * sizeof(words[0]));
	n = add_parts(self, where, words, n);
	struct pinw_key key = key_with_memos(words, n, inner);
	return n ? pinw_given_find(&key) : NULL;
}

/* ---- remembering, lock held ------------------------------------------------------------- */

void pinw_site_init(void)
{
	pinw_arena_init();
}

/* One that can be compared: from the wrapper's saved frame pointer on, aligned as it is. */
static bool is_word(uintptr_t cfa, uintptr_t at)
{
	return at >= cfa - 16 && !((at - cfa) & 7);
}

static bool is_on_thread(const struct pinw_thread *self, const struct pinw_frame *frame, uintptr_t cfa)
{
	return frame->at >= cfa && frame->at + 8 <= self->stack_hi;
}

/* Does the stack go on elsewhere from frame `i` on, by a frame pointer that lies on the known stack? Go code does that when
 * it calls C. */
static bool goes_on(const struct pinw_thread *self, const struct pinw_walk *walk, unsigned i, uintptr_t cfa)
{
	const struct pinw_frame *frame = &walk->frames[i];

	return frame->at && !is_on_thread(self, frame, cfa) && frame->fp_at && is_word(cfa, frame->fp_at) &&
	       frame->fp_at + 8 <= self->stack_hi && pinw_go_is_code(walk->frames[i - 1].pc);
}

/* The words to compare, those of the frames from `first` on that are on the known stack, and what else the memo is to know of
 * them. False for a stack that cannot be recognised by its words. */
static bool read_shape(const struct pinw_thread *self, const struct pinw_walk *walk, unsigned first,
                       uintptr_t cfa, struct memo *ret)
{
	struct word *words = table.words;
	uintptr_t last = cfa - 8;
	uint32_t n = 0;

	ret->frames = (uint16_t)(walk->count - first);
	for (unsigned i = first + 1; i < walk->count; i++) {
		const struct pinw_frame *frame = &walk->frames[i];

		if (goes_on(self, walk, i, cfa)) {
			ret->goes_on = true;
			ret->fp_at = frame->fp_at - cfa;
			ret->frames = (uint16_t)(i - first);
			break;
		}
		if (frame->at && frame->at + 8 > self->stack_hi)
			break;
		if (frame->at <= last || !is_word(cfa, frame->at) ||
		    (frame->fp_at && (frame->fp_at >= frame->at || !is_word(cfa, frame->fp_at))))
			return false;
		last = frame->at;
		if (frame->fp_at)
			words[n++] = (struct word){frame->at - 8 - cfa, (frame->fp_at - cfa) | RELATIVE};
		words[n++] = (struct word){frame->pc, frame->at - cfa};
	}
	ret->count = n;
	return true;
}

/* The memo of the walk from its frame `first` on, called from `where`: one that is there, or a new one. NULL when there is none
 * to be had. Without a site it is of a part. */
static const struct memo *keep_memo(const struct pinw_thread *self, struct pinw_where where, unsigned first,
                                    struct pinw_interned *site, uint32_t gen)
{
	struct memo shape = {
	    .ra = where.ra, .depth = self->stack_hi - where.cfa, .module_gen = gen, .site = site};
	unsigned same = 0;

	if (!on_known_stack(self, where.cfa) || !read_shape(self, &table.walk, first, where.cfa, &shape))
		return NULL;
	if (shape.goes_on)
		shape.site = NULL;
	struct memo *known = find_memo(self, where, &same);
	if (known && known->site == shape.site && known->frames == shape.frames &&
	    known->goes_on == shape.goes_on && known->fp_at == shape.fp_at) {
		__atomic_store_n(&known->module_gen, gen, __ATOMIC_RELEASE);
		return known;
	}
	if (same >= CHAIN_MAX)
		return NULL;
	struct memo *memo = pinw_arena_take(sizeof(*memo) + (size_t)shape.count * sizeof(table.words[0]));
	if (!memo)
		return NULL;
	*memo = shape;
	pinw_copy_raw(memo->words, table.words, (size_t)shape.count * sizeof(table.words[0]));
	struct memo **bucket = &table.memos[memo_bucket(where.ra)];
	memo->next = *bucket;
	__atomic_store_n(bucket, memo, __ATOMIC_RELEASE);
	return memo;
}

/* Adds the frames from *first on that were found one by one, as add_parts will find them. Returns how many words there are
 * then. */
static unsigned add_goroutine(const struct pinw_thread *self, uintptr_t cfa, unsigned *first, unsigned n,
                              unsigned room)
{
	const struct pinw_walk *walk = &table.walk;

	for (; *first < walk->count && room; ++*first, room--) {
		const struct pinw_frame *frame = &walk->frames[*first];

		if (is_on_thread(self, frame, cfa) && !pinw_go_is_code(frame->pc))
			break;
		table.key_words[n++] = frame->pc;
	}
	return n;
}

/* Remembers how to recognise the walk's stack next time: what add_parts would find. Apart: what it needs is not on the host's
 * stack while the site is made. */
static __attribute__((noinline)) void remember(const struct pinw_thread *self, struct pinw_where where,
                                               const struct inner *inner, struct pinw_interned *site,
                                               uint32_t gen)
{
	const struct pinw_walk *walk = &table.walk;
	unsigned n = inner ? inner->count : 0, frames = n, first = 0;

	if (inner)
		memcpy(table.key_words, inner->pcs, n * sizeof(table.key_words[0]));
	for (;;) {
		const struct memo *memo = keep_memo(self, where, first, inner || first ? NULL : site, gen);

		if (!memo || memo->site)
			return;
		table.key_words[n++] = (uintptr_t)memo;
		frames += memo->frames;
		first += memo->frames;
		if (!memo->goes_on || frames >= PINW_FRAMES_MAX)
			break;
		unsigned before = n;
		n = add_goroutine(self, where.cfa, &first, n, PINW_FRAMES_MAX - frames);
		frames += n - before;
		if (first == walk->count || frames == PINW_FRAMES_MAX)
			break;
		if (walk->count == PINW_FRAMES_MAX)
			return; /* cut in the middle of a part, whose memo would not be that of the whole part */
		where = (struct pinw_where){walk->frames[first].pc, walk->frames[first].at + 8};
	}
	struct pinw_key key = key_with_memos(table.key_words, n, inner);
	pinw_given_add(&key, site, gen);
}

/* ---- the slow path, lock held ----------------------------------------------------------- */

/* The walk's frames, after those that somebody else has found. */
static void stack_of_walk(const struct inner *inner)
{
	struct pinw_stack *stack = &table.stack;
	const struct pinw_walk *walk = &table.walk;

	stack->count = inner ? inner->count : 0;
	stack->flags = (uint16_t)(walk->flags | (inner ? inner->flags : 0));
	if (inner)
		memcpy(stack->pcs, inner->pcs, inner->count * sizeof(inner->pcs[0]));
	for (unsigned i = 0; i < walk->count && stack->count < PINW_FRAMES_MAX; i++)
		stack->pcs[stack->count++] = walk->frames[i].pc;
	if (inner && stack->count < inner->count + walk->count)
		stack->flags |= PINW_SITE_TRUNCATED;
}

static struct pinw_interned *site_locked(const struct pinw_thread *self, struct pinw_where where,
                                         const struct inner *inner)
{
	uint32_t gen = __atomic_load_n(&pinw_module_gen, __ATOMIC_ACQUIRE);

	table.walk.cfa = where.cfa;
	table.walk.ra = where.ra;
	table.walk.from_afar = inner != NULL;
	table.walk.stack_hi = on_known_stack(self, where.cfa) ? self->stack_hi : 0;
	pinw_unwind(&table.walk, __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED));
	pinw_count(unwinds, 1);
	stack_of_walk(inner);
	struct pinw_interned *site = pinw_intern(&table.stack);
	if (site)
		remember(self, where, inner, site, gen);
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

static struct pinw_site_ref ref_to(const struct pinw_interned *site)
{
	return (struct pinw_site_ref){site->id, pinw_intern_match_so_far(site)};
}

/* Is there nothing more to be found out about it? */
static bool is_settled(const struct pinw_interned *site)
{
	return site && (!pinw_enforce.policy || __atomic_load_n(&site->match, __ATOMIC_ACQUIRE));
}

/* What could not be told is counted. */
static struct pinw_site_ref counted(const struct pinw_interned *site)
{
	struct pinw_site_ref ref = {0, NULL};

	if (site)
		ref = ref_to(site);
	if (!ref.id)
		pinw_count(sites_dropped, 1);
	if (!ref.match && pinw_enforce.policy)
		pinw_count(stack_rules_unknown, 1);
	return ref;
}

static struct pinw_site_ref __attribute__((noinline))
site_slow(const struct pinw_thread *self, struct pinw_where where)
{
	struct pinw_lock_state state;
	bool is_locked = pinw_site_lock(&state) == 0;
	/* Threads that start alike meet a new stack at once: meanwhile another one may have walked it. */
	const struct pinw_interned *site = find_valid(self, where);

	if (is_locked) {
		if (!is_settled(site))
			site = site_locked(self, where, NULL);
		pinw_site_unlock(&state);
	}
	return counted(site);
}

const struct pinw_stack_match *pinw_site_match(uint32_t id)
{
	struct pinw_interned *site = pinw_interned_by_id(id);
	struct pinw_lock_state state;

	if (!site || !pinw_enforce.policy)
		return NULL;
	if (pinw_unlikely(!__atomic_load_n(&site->match, __ATOMIC_ACQUIRE)) && pinw_site_lock(&state) == 0) {
		pinw_intern_match(site);
		pinw_site_unlock(&state);
	}
	return pinw_intern_match_so_far(site);
}

/* ---- stacks that somebody else walked, in whole or in part ----------------------------------- */

/* Interns the stack, and remembers it by its addresses. Lock held. */
static struct pinw_interned *learn_addresses(const struct inner *inner)
{
	uint32_t gen = __atomic_load_n(&pinw_module_gen, __ATOMIC_ACQUIRE);

	table.stack.count = inner->count;
	table.stack.flags = inner->flags;
	memcpy(table.stack.pcs, inner->pcs, inner->count * sizeof(inner->pcs[0]));
	struct pinw_interned *site = pinw_intern(&table.stack);
	pinw_count(unwinds, 1);
	if (site) {
		struct pinw_key key = pinw_key(inner->pcs, inner->count, inner->flags);
		pinw_given_add(&key, site, gen);
	}
	return site;
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

/* The site of the stack if all that is remembered of it still holds. */
static inline const struct pinw_interned *
find_known(const struct inner *inner, const struct pinw_thread *self, const struct pinw_where *where)
{
	const struct pinw_interned *site;

	if (where)
		site = find_by_parts(self, *where, inner);
	else {
		struct pinw_key key = pinw_key(inner->pcs, inner->count, inner->flags);
		site = pinw_given_find(&key);
	}
	if (pinw_unlikely(!site) || pinw_unlikely(!is_recorded(site)))
		return NULL;
	pinw_count(memo_hits, 1);
	return site;
}

static __attribute__((noinline)) struct pinw_site_ref
given_slow(const struct inner *inner, const struct pinw_thread *self, const struct pinw_where *where)
{
	struct pinw_lock_state state;
	bool is_locked = given_lock(&state) == 0;
	const struct pinw_interned *site = find_known(inner, self, where);

	if (is_locked) {
		if (!is_settled(site))
			site = where ? site_locked(self, *where, inner) : learn_addresses(inner);
		pinw_site_unlock(&state);
	}
	return counted(site);
}

struct pinw_site_ref pinw_site_of(const uintptr_t *pcs, unsigned count, uint16_t flags)
{
	struct inner inner = {pcs, count, flags};
	const struct pinw_interned *site = find_known(&inner, NULL, NULL);

	return pinw_likely(site != NULL) ? ref_to(site) : given_slow(&inner, NULL, NULL);
}

struct pinw_site_ref pinw_site_through(const uintptr_t *pcs, unsigned count, uint16_t flags,
                                       const struct pinw_thread *self, struct pinw_where where)
{
	struct inner inner = {pcs, count, flags};
	const struct pinw_interned *site = find_known(&inner, self, &where);

	return site ? ref_to(site) : given_slow(&inner, self, &where);
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
	struct pinw_interned *site = pinw_interned_by_id(id);

	if (!site || is_recorded(site))
		return;
	for (unsigned i = 0; i < site->count; i++)
		pinw_module_keep(site->frames[i].module);
	pinw_intern_emit(site);
}

unsigned pinw_site_frames(uint32_t id, const struct pinw_rec_frame **ret_frames, uint16_t *ret_flags)
{
	const struct pinw_interned *site = pinw_interned_by_id(id);

	if (!site)
		return 0;
	*ret_frames = site->frames;
	*ret_flags = site->flags;
	return site->count;
}
