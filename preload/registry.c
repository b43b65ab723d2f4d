/* SPDX-License-Identifier: MIT */
#include "preload/registry.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "preload/arch.h"
#include "preload/lock.h"
#include "preload/proc.h"
#include "preload/trace.h"

#define CHUNKS_MAX 16u /* 63 + 128 + 256 ... about 4 million threads */
#define CHUNK_FIRST_GROWN 128u
#define HINTS 65536u /* power of two */
#define PROBES 8u /* neighbours tried before a hint is overwritten or a search goes through all */
#define GROW_WAIT_NS 100000000u
#define MADV_WIPEONFORK_ 18 /* Linux 4.14 */

/* `count` threads and their slots. Published by registry.capacity. */
struct chunk {
	uint32_t first, count;
	struct pinw_thread *threads;
	char *slots;
	bool filed; /* the slots are in the file */
};

static struct {
	struct chunk chunks[CHUNKS_MAX];
	uint32_t chunks_used;
	uint32_t capacity; /* atomic */
	uint32_t used; /* atomic: indices handed out at least once */
	uint32_t named; /* atomic: counts handles and tids given */
	uint64_t free; /* atomic: tag << 32 | index + 1 */
	struct pinw_lock lock;
	uint32_t *by_handle; /* HINTS entries, atomic: index + 1, only a hint */
	uint32_t *by_tid;
} registry;

static struct pinw_thread *at(uint32_t index)
{
	struct chunk *chunk = registry.chunks;

	while (index >= chunk->first + chunk->count)
		chunk++;
	return &chunk->threads[index - chunk->first];
}

/* ---- room ------------------------------------------------------------------------- */

/* The kernel empties these in a fork child, which has none of the threads they speak of. */
static uint32_t *map_hints(void)
{
	uint32_t *hints = pinw_proc_map(HINTS * sizeof(*hints));

	if (hints)
		pinw_sys3(SYS_madvise, hints, HINTS * sizeof(*hints), MADV_WIPEONFORK_);
	return hints;
}

static struct pinw_thread *map_threads(uint32_t count)
{
	return pinw_proc_map(count * sizeof(struct pinw_thread));
}

/* Adds room for `count` threads. Without slots in the file they live in private memory: the ledger stays right,
 * only nobody can read them there. Takes `threads` over, also when it fails. */
static bool add_chunk(uint32_t count, struct pinw_thread *threads, void *slots, bool filed)
{
	struct chunk *chunk = &registry.chunks[registry.chunks_used];

	if (threads && !slots)
		slots = pinw_proc_map(count * pinw_slot_bytes());
	if (!threads || !slots) {
		if (threads)
			pinw_sys2(SYS_munmap, threads, count * sizeof(*threads));
		return false;
	}
	*chunk = (struct chunk){
	    .first = registry.capacity, .count = count, .threads = threads, .slots = slots, .filed = filed};
	for (uint32_t i = 0; i < count; i++) {
		threads[i].index = chunk->first + i;
		threads[i].slot = (struct pinw_slot *)(chunk->slots + i * pinw_slot_bytes());
		threads[i].mask = (uint64_t *)(threads[i].slot + 1);
	}
	registry.chunks_used++;
	__atomic_store_n(&registry.capacity, chunk->first + count, __ATOMIC_RELEASE);
	return true;
}

/* The memory comes first: the file cannot give back what it grew by. */
static bool grow_locked(uint32_t full)
{
	uint32_t count = CHUNK_FIRST_GROWN << (registry.chunks_used - 1);
	struct pinw_thread *threads = registry.chunks_used < CHUNKS_MAX ? map_threads(count) : NULL;
	void *slots = NULL;

	if (!threads)
		return false;
	bool filed = pinw_trace_grow_slots(full, count, &slots) == 0;
	return add_chunk(count, threads, slots, filed);
}

/* Doubles the room unless somebody did meanwhile. */
static bool grow(uint32_t full)
{
	struct pinw_lock_state state;

	if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED) ||
	    pinw_lock_take(&registry.lock, GROW_WAIT_NS, &state) < 0)
		return false;
	bool ok = registry.capacity != full || grow_locked(full);
	pinw_lock_give(&registry.lock, &state);
	return ok;
}

int pinw_registry_init(void)
{
	uint32_t count;
	void *slots = pinw_trace_first_slots(&count);

	/* The parent's threads stay mapped in a fork child: it may return into a wrapper that a handler interrupted. */
	pinw_lock_reset(&registry.lock);
	registry.chunks_used = registry.capacity = registry.used = 0;
	registry.free = 0;
	if (!registry.by_handle)
		registry.by_handle = map_hints();
	if (!registry.by_tid)
		registry.by_tid = map_hints();
	return registry.by_handle && registry.by_tid && add_chunk(count, map_threads(count), slots, true)
	           ? 0
	           : -ENOMEM;
}

/* ---- taking and giving --------------------------------------------------------------- */

static struct pinw_thread *pop_free(void)
{
	uint64_t head = __atomic_load_n(&registry.free, __ATOMIC_ACQUIRE);

	while ((uint32_t)head) {
		struct pinw_thread *thread = at((uint32_t)head - 1);
		uint64_t next =
		    ((head >> 32) + 1) << 32 | __atomic_load_n(&thread->next_free, __ATOMIC_RELAXED);

		if (__atomic_compare_exchange_n(&registry.free, &head, next, true, __ATOMIC_ACQ_REL,
		                                __ATOMIC_ACQUIRE))
			return thread;
	}
	return NULL;
}

void pinw_registry_reserve(uint32_t count)
{
	uint32_t capacity;

	while ((capacity = __atomic_load_n(&registry.capacity, __ATOMIC_ACQUIRE)) < count)
		if (!grow(capacity))
			return;
}

static struct pinw_thread *pop_fresh(void)
{
	uint32_t used = __atomic_load_n(&registry.used, __ATOMIC_RELAXED);

	for (;;) {
		uint32_t capacity = __atomic_load_n(&registry.capacity, __ATOMIC_ACQUIRE);

		if (used >= capacity) {
			if (!grow(capacity))
				return NULL;
			used = __atomic_load_n(&registry.used, __ATOMIC_RELAXED);
			continue;
		}
		if (__atomic_compare_exchange_n(&registry.used, &used, used + 1, true, __ATOMIC_ACQ_REL,
		                                __ATOMIC_RELAXED))
			return at(used);
	}
}

static bool is_filed(const struct pinw_thread *thread)
{
	const struct chunk *chunk = registry.chunks;

	while (thread->index >= chunk->first + chunk->count)
		chunk++;
	return chunk->filed;
}

struct pinw_thread *pinw_registry_take(void)
{
	struct pinw_thread *thread = pop_free();

	if (!thread)
		thread = pop_fresh();
	if (!thread)
		return NULL;
	struct pinw_slot *slot = thread->slot;
	memset(slot, 0, sizeof(*slot));
	thread->life = thread->birth = thread->out_state = 0;
	thread->stack_hi = thread->stack_lo = 0;
	thread->handle = 0;
	thread->out = NULL;
	thread->census = 0;
	thread->image_gen = pinw_shim.image_gen;
	thread->birth_origin = thread->birth_site = thread->birth_by = 0;
	thread->pin_depth = thread->pin_site = 0;
	memset(&thread->ruled, 0, sizeof(thread->ruled));
	slot->thread = __atomic_fetch_add(&pinw_shim.live->next_thread, 1, __ATOMIC_RELAXED);
	if (!is_filed(thread))
		pinw_count(slots_unfiled, 1);
	__atomic_store_n(&slot->state, PINW_SLOT_CREATED, __ATOMIC_RELEASE);
	return thread;
}

void pinw_registry_give(struct pinw_thread *thread)
{
	uint64_t head = __atomic_load_n(&registry.free, __ATOMIC_RELAXED), next;

	__atomic_store_n(&thread->slot->state, PINW_SLOT_FREE, __ATOMIC_RELEASE);
	do {
		__atomic_store_n(&thread->next_free, (uint32_t)head, __ATOMIC_RELAXED);
		next = ((head >> 32) + 1) << 32 | (thread->index + 1);
	} while (!__atomic_compare_exchange_n(&registry.free, &head, next, true, __ATOMIC_ACQ_REL,
	                                      __ATOMIC_RELAXED));
}

void pinw_registry_let_go(struct pinw_thread *thread, uint32_t life_bit)
{
	uint32_t before = __atomic_fetch_or(&thread->life, life_bit, __ATOMIC_ACQ_REL);

	if (!(before & life_bit) && (before | life_bit) == PINW_LIFE_OVER)
		pinw_registry_give(thread);
}

/* ---- finding -------------------------------------------------------------------------- */

static unsigned handle_slot(pthread_t handle)
{
	return (unsigned)((handle >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 48);
}

_Static_assert(HINTS == 1u << (64 - 48), "the hint is the hash's top bits");

static bool is_free(const struct pinw_thread *thread)
{
	return __atomic_load_n(&thread->slot->state, __ATOMIC_ACQUIRE) == PINW_SLOT_FREE;
}

/* Leaves a hint in the first place near `start` that is empty or speaks of a freed thread. */
static void put_hint(uint32_t *hints, unsigned start, uint32_t index)
{
	for (unsigned i = 0; i < PROBES; i++) {
		uint32_t *place = &hints[(start + i) & (HINTS - 1)];
		uint32_t hint = __atomic_load_n(place, __ATOMIC_RELAXED);

		if ((!hint || hint == index + 1 || is_free(at(hint - 1))) &&
		    __atomic_compare_exchange_n(place, &hint, index + 1, false, __ATOMIC_RELEASE,
		                                __ATOMIC_RELAXED))
			return;
	}
	__atomic_store_n(&hints[start & (HINTS - 1)], index + 1, __ATOMIC_RELEASE);
}

void pinw_registry_set_handle(struct pinw_thread *thread, pthread_t handle)
{
	thread->handle = handle;
	thread->named = __atomic_add_fetch(&registry.named, 1, __ATOMIC_RELAXED);
	thread->slot->pthread = (uint64_t)handle;
	put_hint(registry.by_handle, handle_slot(handle), thread->index);
}

void pinw_registry_set_tid(struct pinw_thread *thread, uint32_t tid)
{
	thread->named = __atomic_add_fetch(&registry.named, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&thread->slot->tid, tid, __ATOMIC_RELEASE);
	put_hint(registry.by_tid, tid, thread->index);
}

static bool has_handle(const struct pinw_thread *thread, uint64_t handle)
{
	return !is_free(thread) && thread->handle == handle;
}

static bool has_tid(const struct pinw_thread *thread, uint64_t tid)
{
	uint32_t state = __atomic_load_n(&thread->slot->state, __ATOMIC_ACQUIRE);

	return (state == PINW_SLOT_RUNNING || state == PINW_SLOT_CREATED) &&
	       __atomic_load_n(&thread->slot->tid, __ATOMIC_RELAXED) == tid;
}

static struct pinw_thread *later(struct pinw_thread *a, struct pinw_thread *b)
{
	return a && (int32_t)(a->named - b->named) > 0 ? a : b;
}

/* The thread that was given this key last: a pthread_t is reused as soon as its joiner returned, which may be before
 * that joiner's wrapper has let go of the thread that had it. */
static struct pinw_thread *find(const uint32_t *hints, unsigned start, uint64_t key,
                                bool (*has)(const struct pinw_thread *, uint64_t))
{
	uint32_t used = __atomic_load_n(&registry.used, __ATOMIC_ACQUIRE);
	struct pinw_thread *last = NULL;
	bool full = true;

	for (unsigned i = 0; i < PROBES; i++) {
		uint32_t hint = __atomic_load_n(&hints[(start + i) & (HINTS - 1)], __ATOMIC_ACQUIRE);

		if (hint && hint <= used && has(at(hint - 1), key))
			last = later(last, at(hint - 1));
		full = full && hint;
	}
	/* A hint is only ever lost where all places were taken. */
	full = full && !last;
	for (uint32_t i = 0; full && i < used; i++)
		if (has(at(i), key))
			last = later(last, at(i));
	return last;
}

struct pinw_thread *pinw_registry_by_handle(pthread_t handle)
{
	return find(registry.by_handle, handle_slot(handle), handle, has_handle);
}

struct pinw_thread *pinw_registry_by_tid(uint32_t tid)
{
	return find(registry.by_tid, tid, tid, has_tid);
}

struct pinw_thread *pinw_registry_starting(pthread_t handle)
{
	uint32_t used = __atomic_load_n(&registry.used, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < used; i++) {
		struct pinw_thread *thread = at(i);

		if (__atomic_load_n(&thread->slot->state, __ATOMIC_ACQUIRE) == PINW_SLOT_CREATED &&
		    thread->handle == handle)
			return thread;
	}
	return NULL;
}

void pinw_registry_each(void (*fn)(struct pinw_thread *, void *), void *arg)
{
	uint32_t used = __atomic_load_n(&registry.used, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < used; i++) {
		struct pinw_thread *thread = at(i);

		if (__atomic_load_n(&thread->slot->state, __ATOMIC_ACQUIRE) != PINW_SLOT_FREE)
			fn(thread, arg);
	}
}
