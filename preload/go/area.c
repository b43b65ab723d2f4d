/* SPDX-License-Identifier: MIT
 *
 * The stacks that hooks run on, one for each live thread of a Go program: a goroutine's own may have no room for a
 * record's journey, and thread-local storage of that size would be taken from the host's static block. They come from the kernel in
 * chunks, each with a guard page below, and are used again when their thread ended. Only touched pages cost memory.
 */
#include <sys/mman.h>

#include "preload/arch.h"
#include "preload/go/go.h"
#include "preload/trace.h"

#define AREA_BYTES (64u << 10)
#define GUARD_BYTES 4096u
#define CHUNK_AREAS 32u
#define CHUNKS 4096u

__thread struct pinw_go_area *pinw_go_area;

static struct {
	char *chunks[CHUNKS]; /* atomic */
	uint32_t used; /* atomic: areas handed out for the first time */
	bool lacking; /* atomic: somebody got none, and that was noted */
	uint8_t ready[CHUNKS * CHUNK_AREAS / 8]; /* atomic, a bit for each: its memory is there */
	uint64_t
	    free; /* atomic: a change counter in the high half, number + 1 of the first free area in the low one */
} areas;

_Static_assert(sizeof(struct pinw_go_area) <= PINW_GO_AREA_HEAD, "the area's head is above the stack");
_Static_assert(offsetof(struct pinw_go_area, busy) == PINW_GO_AREA_BUSY, "as hook_x86_64.S has it");
_Static_assert(offsetof(struct pinw_go_area, host_rsp) == PINW_GO_AREA_RSP, "as hook_x86_64.S has it");

static struct pinw_go_area *area_at(uint32_t number)
{
	char *chunk = __atomic_load_n(&areas.chunks[number / CHUNK_AREAS], __ATOMIC_ACQUIRE);

	return (struct pinw_go_area *)(chunk + (size_t)(number % CHUNK_AREAS + 1) * AREA_BYTES -
	                               PINW_GO_AREA_HEAD);
}

static char *map_chunk(void)
{
	long p = pinw_sys6(SYS_mmap, 0, (size_t)CHUNK_AREAS * AREA_BYTES, PROT_NONE,
	                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p < 0 && p > -4096 ? NULL : (char *)p;
}

/* The chunk of a new area; two that come at once both map it, and one gives its copy back. */
static bool has_chunk(uint32_t number)
{
	char **place = &areas.chunks[number / CHUNK_AREAS], *none = NULL;

	if (__atomic_load_n(place, __ATOMIC_ACQUIRE))
		return true;
	char *chunk = map_chunk();
	if (!chunk)
		return false;
	if (!__atomic_compare_exchange_n(place, &none, chunk, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		pinw_sys2(SYS_munmap, chunk, (size_t)CHUNK_AREAS * AREA_BYTES);
	return true;
}

/* Hooks of this thread will pass by. */
static struct pinw_go_area *no_area(void)
{
	if (!__atomic_exchange_n(&areas.lacking, true, __ATOMIC_RELAXED))
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_GO_STACK, 0);
	return NULL;
}

static struct pinw_go_area *new_area(void)
{
	uint32_t number = __atomic_fetch_add(&areas.used, 1, __ATOMIC_RELAXED);

	if (number >= CHUNKS * CHUNK_AREAS) {
		__atomic_fetch_sub(&areas.used, 1, __ATOMIC_RELAXED);
		return no_area();
	}
	if (!has_chunk(number))
		return no_area();
	struct pinw_go_area *area = area_at(number);
	char *end = (char *)area + PINW_GO_AREA_HEAD;
	if (pinw_sys3(SYS_mprotect, end - AREA_BYTES + GUARD_BYTES, AREA_BYTES - GUARD_BYTES,
	              PROT_READ | PROT_WRITE) < 0)
		return no_area();
	area->number = number;
	__atomic_fetch_or(&areas.ready[number / 8], (uint8_t)(1u << number % 8), __ATOMIC_RELEASE);
	return area;
}

struct pinw_go_area *pinw_go_area_take(void)
{
	uint64_t free = __atomic_load_n(&areas.free, __ATOMIC_ACQUIRE);

	while ((uint32_t)free) {
		struct pinw_go_area *area = area_at((uint32_t)free - 1);
		uint64_t rest =
		    ((free >> 32) + 1) << 32 | __atomic_load_n(&area->next_free, __ATOMIC_RELAXED);

		if (__atomic_compare_exchange_n(&areas.free, &free, rest, false, __ATOMIC_ACQ_REL,
		                                __ATOMIC_ACQUIRE)) {
			uint32_t number = area->number;
			*area = (struct pinw_go_area){.number = number};
			return area;
		}
	}
	return new_area();
}

void pinw_go_area_give(struct pinw_go_area *area)
{
	uint64_t free = __atomic_load_n(&areas.free, __ATOMIC_ACQUIRE), all;

	do {
		__atomic_store_n(&area->next_free, (uint32_t)free, __ATOMIC_RELAXED);
		all = ((free >> 32) + 1) << 32 | (area->number + 1);
	} while (
	    !__atomic_compare_exchange_n(&areas.free, &free, all, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

uint32_t pinw_go_missed, pinw_go_first_busy;

struct pinw_go_area *pinw_go_area_first(void)
{
	uint32_t missed = __atomic_exchange_n(&pinw_go_missed, 0, __ATOMIC_RELAXED);

	/* Not in a thread whose end is booked: nobody would give the area back. */
	if (!pinw_enter() || pinw_tls.ended)
		return NULL;
	if (missed)
		pinw_count(events_dropped, missed);
	pinw_go_area = pinw_go_area_take();
	return pinw_go_area;
}

void pinw_go_area_each(void (*fn)(struct pinw_go_area *, void *), void *arg)
{
	uint32_t used = __atomic_load_n(&areas.used, __ATOMIC_ACQUIRE);

	for (uint32_t number = 0; number < used && number < CHUNKS * CHUNK_AREAS; number++)
		if (__atomic_load_n(&areas.ready[number / 8], __ATOMIC_ACQUIRE) & 1u << number % 8)
			fn(area_at(number), arg);
}
