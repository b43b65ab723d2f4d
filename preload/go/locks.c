/* SPDX-License-Identifier: MIT
 *
 * What a hook books: locks of threads by Go, on the thread that runs the hook. Only that thread writes here, so the
 * slot needs no mark; counters are atomic.
 *
 * Most locks come by pinw_go_quick: one not nested, of a known thread, from a stack that came by before, with room in the file and
 * no rule that may speak about it. Everything else is for pinw_go_hook. This file is compiled for general registers alone, and what pinw_go_quick calls is no
 * more than tests/shim_shape lets it: hook_x86_64.S says why.
 */
#include <errno.h>

#include "preload/clock.h"
#include "preload/enforce.h"
#include "preload/enforce_golock.h"
#include "preload/go/go.h"
#include "preload/image.h"
#include "preload/life.h"
#include "preload/log.h"
#include "preload/process.h"
#include "preload/trace.h"

#define OWNERS 1024u

/* So that the compiler sees whether a cell was taken. */
#define ALWAYS static inline __attribute__((always_inline))

/* Who locked an M last that is lent to threads of C's: a mark of the M in the high half, the thread's sequence in the low. Atomic.
 * Two Ms of one place only cost what is known of the one. */
static uint64_t owners[OWNERS];

static uint64_t word_at(uintptr_t at, uint32_t offset)
{
	return *(const uint64_t *)(at + offset);
}

/* m.lockedExt of a goroutine's thread: LockOSThread calls not undone. */
static uint32_t locked_ext(const struct pinw_go_runtime *runtime, uintptr_t g)
{
	return *(const uint32_t *)(word_at(g, PINW_GO_G_M) + runtime->layout.m_locked_ext);
}

/* m.lockedInt, which follows it: the runtime's own. */
static uint32_t locked_int(const struct pinw_go_runtime *runtime, uintptr_t g)
{
	return *(const uint32_t *)(word_at(g, PINW_GO_G_M) + runtime->layout.m_locked_ext + 4);
}

static uint64_t *owner_place(uintptr_t m)
{
	return &owners[(m >> 6) % OWNERS];
}

static uint64_t owner_of(const struct pinw_go_area *area)
{
	return (uint64_t)(uint32_t)(area->m >> 6) << 32 | area->seq;
}

/* m.lockedExt of the M that the open lock is of. */
static uint32_t ext_of(const struct pinw_go_area *area)
{
	return *(const uint32_t *)(area->m + area->runtime->layout.m_locked_ext);
}

/* Was the open lock undone where nobody saw it? An M lent to a thread of C's is never let go of, and may have served
 * another one since. */
static bool is_undone(const struct pinw_go_area *area)
{
	if (ext_of(area) == 0)
		return true;
	uint64_t owner = area->lent ? __atomic_load_n(owner_place(area->m), __ATOMIC_RELAXED) : 0;
	return owner >> 32 == owner_of(area) >> 32 && owner != owner_of(area);
}

/* ---- open and closed --------------------------------------------------------------------------- */

static void raise_max(uint64_t depth)
{
	uint64_t *max = &pinw_shim.live->counters.golock_max_depth;
	uint64_t seen = __atomic_load_n(max, __ATOMIC_RELAXED);

	while (seen < depth &&
	       !__atomic_compare_exchange_n(max, &seen, depth, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* Into the cell, if there is one, or, where nobody took one (NULL), like any other event. */
ALWAYS void record(const struct pinw_go_area *area, enum pinw_golock_kind kind, uint32_t depth, uint32_t site,
                   uint64_t now_ns, struct pinw_cell *const *cell)
{
	union {
		struct pinw_rec_golock golock;
		uint64_t words[sizeof(struct pinw_rec_golock) / 8];
	} record = {.golock = {
	                .e = {.time_ns = now_ns, .thread = area->seq, .site = site},
	                .kind = kind,
	                .depth = depth,
	                .goid = area->goid,
	                .held_ns = now_ns - area->since_ns,
	                .lock_site = area->site,
	                .flags = kind == PINW_GOLOCK_UNLOCK && pinw_config.untimed ? PINW_GOLOCK_UNTIMED : 0,
	            }};

	if (cell && *cell)
		pinw_trace_fill_cell(*cell, PINW_REC_GOLOCK, record.words, sizeof(record) / 8);
	else if (!cell)
		pinw_trace_event(PINW_REC_GOLOCK, &record, sizeof(record), NULL, 0);
}

ALWAYS void open_lock(struct pinw_thread *self, const struct pinw_go_runtime *runtime, uint32_t site,
                      uintptr_t g, struct pinw_cell *const *cell)
{
	struct pinw_go_area *area = pinw_go_area;
	struct pinw_slot *slot = self->slot;

	area->since_ns = slot->golock_since_ns = pinw_now();
	area->goid = slot->golock_goid = word_at(g, runtime->layout.g_goid);
	area->site = slot->golock_site = site;
	area->image_gen = pinw_shim.image_gen;
	area->runtime = runtime;
	area->m = word_at(g, PINW_GO_G_M);
	area->thread = self;
	area->seq = slot->thread;
	area->lent = locked_int(runtime, g) > 1;
	if (area->lent)
		__atomic_store_n(owner_place(area->m), owner_of(area), __ATOMIC_RELAXED);
	__atomic_store_n(&area->depth, 1, __ATOMIC_RELEASE);
	slot->golocks++;
	__atomic_store_n(&slot->golock_depth, 1, __ATOMIC_RELEASE);
	pinw_count(golocks, 1);
	raise_max(1);
	record(area, PINW_GOLOCK_LOCK, 1, site, area->since_ns, cell);
}

/* Whoever gets the depth of the open lock books its end: its own thread, or who ends the image. 0: there is none. */
static inline uint32_t take_depth(struct pinw_go_area *area)
{
	return __atomic_exchange_n(&area->depth, 0, __ATOMIC_ACQ_REL);
}

ALWAYS void book_end(const struct pinw_go_area *area, enum pinw_golock_kind kind, uint32_t depth,
                     uint32_t site, uint64_t now_ns, struct pinw_cell *const *cell)
{
	record(area, kind, depth, site, now_ns, cell);
	if (kind == PINW_GOLOCK_DESTROYED)
		pinw_count(golocks_lost, 1);
	else
		pinw_count(gounlocks, 1);
	__atomic_store_n(&area->thread->slot->golock_depth, 0, __ATOMIC_RELEASE);
}

/* What the end of the lock is to the policy, and to the log of leaks. The slot still has it open. */
static void judge_end(const struct pinw_go_area *area, enum pinw_golock_kind kind, uint32_t site,
                      uint64_t now_ns)
{
	struct pinw_thread *thread = area->thread;

	if (kind == PINW_GOLOCK_DESTROYED &&
	    (!pinw_enforce.policy || !pinw_enforce_golock_lost(thread, now_ns)))
		pinw_log_golock_leak("exit-while-pinned", ": M destroyed while locked", thread->slot, now_ns);
	if (!pinw_enforce.asks_golocks)
		return;
	if (kind == PINW_GOLOCK_UNLOCK)
		pinw_enforce_golock_unlock(thread, site, now_ns);
	pinw_enforce_golock_close(thread);
}

static void close_lock(struct pinw_go_area *area, enum pinw_golock_kind kind, uint32_t site, uint64_t now_ns)
{
	uint32_t depth = take_depth(area);

	if (!depth)
		return;
	judge_end(area, kind, site, now_ns);
	book_end(area, kind, depth, site, now_ns, NULL);
}

/* Now, or, if nobody wants to know how long locks are held, when this one was taken. */
static uint64_t unlock_time(const struct pinw_go_area *area)
{
	return pinw_unlikely(pinw_config.untimed) ? area->since_ns : pinw_now();
}

/* Locks of the parent's stay the parent's. */
static bool is_open(struct pinw_go_area *area)
{
	if (area->image_gen != pinw_shim.image_gen)
		area->depth = 0;
	return area->depth > 0;
}

/* The lock that os/signal takes is the runtime's own. */
static bool is_runtimes_own(const struct pinw_go_runtime *runtime, const struct pinw_go_regs *regs)
{
	return regs->pc > (uintptr_t)runtime->signal_lock && regs->pc <= (uintptr_t)runtime->signal_lock_end;
}

/* ---- the four patches, quick ---------------------------------------------------------------------- */

static int quick_lock(struct pinw_thread *self, const struct pinw_go_runtime *runtime,
                      const struct pinw_go_regs *regs)
{
	if (is_open(pinw_go_area) || locked_ext(runtime, regs->g) || is_runtimes_own(runtime, regs))
		return PINW_GO_LONG;
	uint32_t site = pinw_go_known_site(regs);
	struct pinw_cell *cell;
	if (!site || pinw_trace_take_cell(&cell) < 0)
		return PINW_GO_LONG;
	open_lock(self, runtime, site, regs->g, &cell);
	return PINW_GO_ON;
}

static int quick_unlock(const struct pinw_go_runtime *runtime, const struct pinw_go_regs *regs)
{
	struct pinw_go_area *area = pinw_go_area;

	if (!is_open(area) || locked_ext(runtime, regs->g))
		return PINW_GO_ON;
	uint32_t site = pinw_go_known_site(regs), depth = site ? take_depth(area) : 0;
	struct pinw_cell *cell;
	if (!depth)
		return PINW_GO_LONG;
	if (pinw_trace_take_cell(&cell) < 0) {
		/* Ours still: who looked meanwhile took it to be closed, as it will be. */
		__atomic_store_n(&area->depth, depth, __ATOMIC_RELEASE);
		return PINW_GO_LONG;
	}
	book_end(area, PINW_GOLOCK_UNLOCK, depth, site, unlock_time(area), &cell);
	return PINW_GO_ON;
}

int pinw_go_quick(const struct pinw_go_frame *frame, uintptr_t rbp, uintptr_t g)
{
	const struct pinw_go_patch *patch = &pinw_go.patches[frame->patch];
	struct pinw_go_regs regs = {.rbp = rbp, .g = g};
	struct pinw_thread *self = pinw_enter_known();

	if (pinw_unlikely(!self) || pinw_enforce.asks_each_golock || pinw_unlikely(pinw_go_area->missed))
		return PINW_GO_LONG;
	switch (patch->kind) {
	case PINW_GO_LOCK:
		regs.pc = frame->top[0];
		return quick_lock(self, patch->runtime, &regs);
	case PINW_GO_UNLOCK:
		regs.pc = patch->next;
		regs.ra = patch->frameless ? frame->top[0] : 0;
		return quick_unlock(patch->runtime, &regs);
	default:
		return PINW_GO_LONG;
	}
}

/* ---- and in full ---------------------------------------------------------------------------- */

/* Asks the policy. The runtime itself relies on its locks, and is never denied one. */
static bool may_lock(struct pinw_thread *self, const struct pinw_go_runtime *runtime,
                     const struct pinw_go_regs *regs, struct pinw_site_ref site)
{
	const struct pinw_golock_request request = {
	    .self = self, .site = site, .goid = word_at(regs->g, runtime->layout.g_goid)};

	if (pinw_enforce.policy->deny_golocks && pinw_go_is_runtime_code(runtime, regs->pc))
		return true;
	return pinw_enforce_golock(&request);
}

/* LockOSThread is about to count one more. */
static enum pinw_go_then on_lock(struct pinw_thread *self, const struct pinw_go_runtime *runtime,
                                 const struct pinw_go_regs *regs)
{
	struct pinw_go_area *area = pinw_go_area;
	uint32_t before = locked_ext(runtime, regs->g);

	if (is_runtimes_own(runtime, regs)) {
		pinw_count(golocks_runtime, 1);
		return PINW_GO_ON;
	}
	if (before) {
		pinw_count(golocks_nested, 1);
		raise_max(before + UINT64_C(1));
		if (is_open(area) && area->depth <= before)
			__atomic_store_n(&self->slot->golock_depth, area->depth = before + 1,
			                 __ATOMIC_RELEASE);
		return PINW_GO_ON;
	}
	if (is_open(area))
		close_lock(area, PINW_GOLOCK_UNLOCK_UNSEEN, 0, pinw_now());
	struct pinw_site_ref site = pinw_go_learn_site(runtime, regs);
	if (pinw_enforce.asks_golocks && !may_lock(self, runtime, regs, site))
		return PINW_GO_RETURN;
	open_lock(self, runtime, site.id, regs->g, NULL);
	if (pinw_enforce.asks_golocks)
		pinw_enforce_golocked(self);
	return PINW_GO_ON;
}

/* The goroutine and the thread are let go of: by UnlockOSThread, or by the runtime, which locks threads for itself. */
static void on_unlock(const struct pinw_go_runtime *runtime, const struct pinw_go_regs *regs)
{
	if (is_open(pinw_go_area) && !locked_ext(runtime, regs->g))
		close_lock(pinw_go_area, PINW_GOLOCK_UNLOCK, pinw_go_learn_site(runtime, regs).id,
		           unlock_time(pinw_go_area));
}

/* The M ends: an unlock that the runtime had still to finish was one. */
static void on_mexit(const struct pinw_go_runtime *runtime, uintptr_t g)
{
	if (is_open(pinw_go_area))
		close_lock(pinw_go_area,
		           locked_ext(runtime, g) ? PINW_GOLOCK_DESTROYED : PINW_GOLOCK_UNLOCK_UNSEEN, 0,
		           pinw_now());
}

/* Hooks that came while one was on the stack, in a signal handler, booked nothing. */
static void count_missed(void)
{
	uint32_t missed = __atomic_exchange_n(&pinw_go_area->missed, 0, __ATOMIC_RELAXED);

	if (pinw_unlikely(missed))
		pinw_count(events_dropped, missed);
}

static enum pinw_go_then hook(struct pinw_thread *self, const struct pinw_go_frame *frame, uintptr_t rbp,
                              uintptr_t g)
{
	const struct pinw_go_patch *patch = &pinw_go.patches[frame->patch];
	struct pinw_go_regs regs = {.rbp = rbp, .g = g};

	switch (patch->kind) {
	case PINW_GO_LOCK:
		regs.pc = frame->top[0];
		return on_lock(self, patch->runtime, &regs);
	case PINW_GO_UNLOCK:
		regs.pc = patch->next;
		regs.ra = patch->frameless ? frame->top[0] : 0;
		on_unlock(patch->runtime, &regs);
		break;
	case PINW_GO_MEXIT:
		on_mexit(patch->runtime, g);
		break;
	case PINW_GO_EXIT:
		pinw_image_end(PINW_END_EXIT, (uint32_t)frame->top[1] & 0xff);
		break;
	default:
		break;
	}
	return PINW_GO_ON;
}

enum pinw_go_then pinw_go_hook(const struct pinw_go_frame *frame, uintptr_t rbp, uintptr_t g)
{
	struct pinw_thread *self = pinw_enter();

	if (!self)
		return PINW_GO_ON;
	pinw_tls.hurried = 1;
	count_missed();
	enum pinw_go_then then = hook(self, frame, rbp, g);
	pinw_tls.hurried = 0;
	return then;
}

/* ---- threads ---------------------------------------------------------------------------------------- */

void pinw_go_thread_begin(void)
{
	if (pinw_unlikely(__atomic_load_n(&pinw_go.on, __ATOMIC_RELAXED)))
		pinw_go_area = pinw_go_area_take();
}

void pinw_go_thread_end(uint64_t now_ns)
{
	struct pinw_go_area *area = pinw_go_area;

	if (pinw_likely(!area))
		return;
	if (is_open(area))
		close_lock(area, is_undone(area) ? PINW_GOLOCK_UNLOCK_UNSEEN : PINW_GOLOCK_DESTROYED, 0,
		           now_ns);
	pinw_go_area = NULL;
	pinw_go_area_give(area);
}

/* What is open goes on, with the depth that it has now. */
static void end_lock(struct pinw_go_area *area, void *now_ns)
{
	if (!__atomic_load_n(&area->depth, __ATOMIC_ACQUIRE) || area->image_gen != pinw_shim.image_gen)
		return;
	if (is_undone(area))
		close_lock(area, PINW_GOLOCK_UNLOCK_UNSEEN, 0, *(uint64_t *)now_ns);
	else
		__atomic_store_n(&area->thread->slot->golock_depth, ext_of(area), __ATOMIC_RELEASE);
}

void pinw_go_image_end(uint64_t now_ns)
{
	if (pinw_unlikely(__atomic_load_n(&pinw_go.on, __ATOMIC_RELAXED)))
		pinw_go_area_each(end_lock, &now_ns);
}

uint64_t pinw_go_covered(void)
{
	return __atomic_load_n(&pinw_go.covered, __ATOMIC_RELAXED);
}
