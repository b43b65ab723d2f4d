/* SPDX-License-Identifier: MIT */
#include "preload/life.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/prctl.h>

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/enforce.h"
#include "preload/go/go.h"
#include "preload/ledger.h"
#include "preload/log.h"
#include "preload/proc.h"
#include "preload/real.h"
#include "preload/registry.h"
#include "preload/site.h"
#include "preload/trace.h"

enum { OUT_NEW, OUT_WRITING, OUT_WRITING_WAITED, OUT_DONE }; /* pinw_thread.out_state */

#define UA_CLEANUP_PHASE 2 /* _Unwind_Action */
#define URC_CONTINUE_UNWIND 8 /* _Unwind_Reason_Code */
#define RECENT_ENDS 256u
#define CENSUS_RETRIES 50u
#define CENSUS_UNKNOWN_MAX 1024u

/* What a thread is to itself once its end is booked: its own struct may serve another thread by then. */
static struct pinw_slot ended_slot;
static uint64_t ended_mask[PINW_MASK_WORDS_MAX];
static struct pinw_thread ended_thread = {.slot = &ended_slot, .mask = ended_mask};

static pthread_key_t watch_key;
static bool watch_key_made;
static bool clockid_has_tid; /* pthread_getcpuclockid was seen to encode the kernel's tid */
static uint32_t recent_ends[RECENT_ENDS]; /* tids that ended but may still be listed, atomic */
static uint32_t recent_next;

static struct {
	uint32_t number;
	uint32_t kernel, seen;
	uint32_t own_tid;
	bool own_listed;
	uint32_t unstarted; /* slots whose thread has not reached its start routine */
	uint32_t unknown[CENSUS_UNKNOWN_MAX];
	uint32_t unknown_count;
	uint32_t busy; /* atomic */
} census;

/* ---- truth ------------------------------------------------------------------------ */

static bool is_sealed(void)
{
	return __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED);
}

/* The kernel's tid of a pthread_t that is not finished: glibc's clock ids hold it, as
 * ~tid << 3 | 6 (make_thread_cpuclock, include/linux/posix-timers.h). Saves a system call. */
static uint32_t tid_of_handle(pthread_t handle)
{
	clockid_t clock;

	if (clockid_has_tid && pinw_real.pthread_getcpuclockid(handle, &clock) == 0)
		return (uint32_t) ~(clock >> 3);
	return pinw_proc_tid();
}

static void record_external(const struct pinw_thread *thread, struct pinw_booking booking,
                            enum pinw_seen_at seen_at, const uint64_t *masks, uint64_t now_ns)
{
	struct pinw_rec_external record = {
	    .e = {.time_ns = now_ns, .thread = thread->slot->thread},
	    .tid = thread->slot->tid,
	    .seen_at = (uint8_t)seen_at,
	    .effect = (uint8_t)booking.effect,
	    .depth = (uint16_t)booking.depth,
	};

	pinw_count(affinity_external, 1);
	pinw_trace_event(PINW_REC_PIN_EXTERNAL, &record, sizeof(record), masks, 16u * pinw_shim.mask_words);
}

/* Holds the ledger's mask of a thread against the kernel's; a difference that no call of ours explains is an
 * external change. Leaves the kernel's mask in `ret_mask`. */
static void verify_mask(struct pinw_thread *thread, uint32_t tid, enum pinw_seen_at seen_at, uint64_t now_ns,
                        uint64_t *ret_mask)
{
	unsigned words = pinw_shim.mask_words;
	uint64_t masks[2 * words];

	if (is_sealed() || pinw_proc_affinity(tid, ret_mask, words) < 0) {
		pinw_mask_copy(ret_mask, thread->mask, words);
		return;
	}
	if (pinw_mask_equal(ret_mask, thread->mask, words))
		return;
	/* Somebody is between the call and its booking: theirs. Else look again, now that it may be booked. */
	if (__atomic_load_n(&thread->changing, __ATOMIC_ACQUIRE))
		return;
	if (pinw_proc_affinity(tid, ret_mask, words) < 0 || pinw_mask_equal(ret_mask, thread->mask, words))
		return;
	struct pinw_pinner outside = {.origin = PINW_ORIGIN_EXTERNAL};
	struct pinw_booking booking =
	    pinw_ledger_set(thread, thread->slot->thread, ret_mask, outside, now_ns, masks);
	pinw_mask_copy(masks + words, ret_mask, words);
	if (!booking.contended)
		record_external(thread, booking, seen_at, masks, now_ns);
}

/* ---- start ------------------------------------------------------------------------- */

void pinw_life_hand_over(struct pinw_thread *thread)
{
	uint32_t state = OUT_NEW;

	if (__atomic_compare_exchange_n(&thread->out_state, &state, OUT_WRITING, false, __ATOMIC_ACQUIRE,
	                                __ATOMIC_ACQUIRE)) {
		pinw_registry_set_handle(thread, thread->handle);
		*thread->out = thread->handle;
		if (__atomic_exchange_n(&thread->out_state, OUT_DONE, __ATOMIC_RELEASE) == OUT_WRITING_WAITED)
			pinw_sys3(SYS_futex, &thread->out_state, FUTEX_WAKE_PRIVATE, 1);
		return;
	}
	/* Sleeping, not spinning: the writer may have the lower real-time priority. */
	while (state != OUT_DONE) {
		if (state == OUT_WRITING_WAITED ||
		    __atomic_compare_exchange_n(&thread->out_state, &state, OUT_WRITING_WAITED, false,
		                                __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
			pinw_sys4(SYS_futex, &thread->out_state, FUTEX_WAIT_PRIVATE, OUT_WRITING_WAITED, 0);
		state = __atomic_load_n(&thread->out_state, __ATOMIC_ACQUIRE);
	}
}

static void record_start(const struct pinw_thread *thread, const uint64_t *mask, uint64_t now_ns)
{
	const struct pinw_slot *slot = thread->slot;
	struct pinw_rec_start record = {
	    .e = {.time_ns = now_ns, .thread = slot->thread, .site = slot->pin_depth ? slot->pin_site : 0},
	    .tid = slot->tid,
	    .origin = slot->pin_depth ? (uint16_t)slot->pin_origin : 0,
	    .pin_by = slot->pin_depth ? slot->pin_by : 0,
	};

	pinw_trace_event(PINW_REC_THREAD_START, &record, sizeof(record), mask, 8u * pinw_shim.mask_words);
}

struct pinw_start pinw_thread_begin(struct pinw_thread *thread, uintptr_t cfa)
{
	struct pinw_slot *slot = thread->slot;
	uint64_t mask[pinw_shim.mask_words];
	struct pinw_start start = {(void *)thread->start, thread->arg};

	pinw_tls = (struct pinw_tls){.thread = thread, .seq = slot->thread, .trampolined = 1};
	pinw_life_hand_over(thread);
	pinw_tls.tid = tid_of_handle(thread->handle);
	/* The creator left the size there. The thread's own struct, at `handle`, is less than a page from the top of its stack
	 * (glibc's nptl/allocatestack.c): this bound never lies below the stack. */
	thread->stack_lo = (uintptr_t)thread->handle + 4096 - thread->stack_lo;
	thread->stack_hi = cfa;
	pinw_registry_set_tid(thread, pinw_tls.tid);
	uint64_t now = pinw_now();
	if (thread->birth_origin == PINW_ORIGIN_BORN && !is_sealed())
		pinw_proc_affinity(0, thread->mask, pinw_shim.mask_words);
	if (pinw_unlikely(thread->ruled.inherit_rule))
		pinw_enforce_birth(thread, now);
	pinw_ledger_birth(thread, slot->thread, now);
	verify_mask(thread, 0, PINW_SEEN_START, now, mask);
	slot->start_ns = now;
	__atomic_store_n(&slot->state, PINW_SLOT_RUNNING, __ATOMIC_RELEASE);
	record_start(thread, mask, now);
	pinw_go_thread_begin();
	return start;
}

/* ---- end --------------------------------------------------------------------------- */

static void record_exit(const struct pinw_thread *thread, enum pinw_exit how, const uint64_t *mask,
                        uint64_t now_ns)
{
	const struct pinw_slot *slot = thread->slot;
	struct pinw_rec_exit record = {
	    .e = {.time_ns = now_ns, .thread = slot->thread},
	    .how = (uint16_t)how,
	    .create_site = slot->create_site,
	};

	if (slot->pin_depth) {
		record.e.site = slot->pin_site;
		record.origin = (uint16_t)slot->pin_origin;
		record.depth = slot->pin_depth;
		record.held_ns = now_ns - slot->pin_since_ns;
		record.pin_by = slot->pin_by;
	}
	pinw_trace_event(PINW_REC_THREAD_EXIT, &record, sizeof(record), mask, 8u * pinw_shim.mask_words);
}

/* Books the end of `thread`, which may not be used after this. */
static void end_thread(struct pinw_thread *thread, enum pinw_exit how, const uint64_t *mask, uint64_t now_ns)
{
	struct pinw_slot *slot = thread->slot;

	record_exit(thread, how, mask, now_ns);
	bool told = pinw_unlikely(pinw_enforce.policy != NULL) && pinw_enforce_thread_end(thread, now_ns);
	if (!told && slot->pin_depth && slot->pin_origin != PINW_ORIGIN_INHERITED)
		pinw_log_leak("exit-while-pinned", slot, now_ns);
	uint32_t place = __atomic_fetch_add(&recent_next, 1, __ATOMIC_RELAXED) % RECENT_ENDS;
	__atomic_store_n(&recent_ends[place], slot->tid, __ATOMIC_RELAXED);
	pinw_ledger_end(thread, how, now_ns);
	pinw_registry_let_go(thread, PINW_LIFE_ENDED);
}

void pinw_life_end(enum pinw_exit how)
{
	struct pinw_thread *thread = pinw_tls.thread ? pinw_enter() : NULL; /* which notices a fork */
	uint64_t mask[pinw_shim.mask_words + 1];

	if (!thread || pinw_tls.ended)
		return;
	uint64_t now = pinw_now();
	verify_mask(thread, 0, PINW_SEEN_EXIT, now, mask);
	pinw_go_thread_end(now);
	pinw_tls.ended = 1;
	pinw_tls.thread = &ended_thread;
	end_thread(thread, how, mask, now);
}

void *pinw_thread_return(void *result)
{
	pinw_life_end(PINW_EXIT_RETURN);
	return result;
}

int pinw_trampoline_personality(int version, int actions, uint64_t exception_class, void *exception,
                                void *context)
{
	(void)version, (void)exception_class, (void)exception, (void)context;
	if (actions & UA_CLEANUP_PHASE)
		pinw_life_end(pinw_tls.exit_called ? PINW_EXIT_PTHREAD_EXIT : PINW_EXIT_CANCEL);
	return URC_CONTINUE_UNWIND;
}

void pinw_life_end_unseen(struct pinw_thread *thread, uint64_t now_ns)
{
	if (__atomic_load_n(&thread->slot->state, __ATOMIC_ACQUIRE) != PINW_SLOT_EXITED)
		end_thread(thread, PINW_EXIT_UNKNOWN, thread->mask, now_ns);
}

/* Destructor of the key that threads set whose end no trampoline may see. */
static void watched_end(void *unused)
{
	(void)unused;
	pinw_life_end(pinw_tls.exit_called ? PINW_EXIT_PTHREAD_EXIT : PINW_EXIT_UNKNOWN);
}

void pinw_life_watch_end(void)
{
	if (watch_key_made)
		pthread_setspecific(watch_key, &watch_key);
}

void pinw_life_init(void)
{
	clockid_t clock;

	watch_key_made = pthread_key_create(&watch_key, watched_end) == 0;
	clockid_has_tid = pinw_real.pthread_getcpuclockid &&
	                  pinw_real.pthread_getcpuclockid(pthread_self(), &clock) == 0 &&
	                  (uint32_t) ~(clock >> 3) == pinw_proc_tid();
}

/* ---- main, adoption ------------------------------------------------------------------ */

static void read_name(uint32_t tid, char *name)
{
	char path[48], text[32];
	size_t n = pinw_put(path, sizeof(path), 0, "/proc/self/task/");

	n = pinw_put_number(path, sizeof(path), n, tid);
	pinw_put(path, sizeof(path), n, "/comm");
	long len = pinw_proc_read(path, text, sizeof(text));
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0)
		pinw_put_bytes(name, PINW_NAME_BYTES, 0, text, (size_t)len);
}

/* The pin a fork child finds itself with: its creator's, seen from the parent's baseline. */
static void inherit_pin(struct pinw_thread *thread, const struct pinw_thread_copy *from)
{
	pinw_mask_copy(thread->mask, from->mask, pinw_shim.mask_words);
	memcpy(thread->slot->name, from->name, sizeof(thread->slot->name));
	thread->stack_hi = from->stack_hi;
	thread->stack_lo = from->stack_lo;
	thread->birth_origin = from->pin_depth ? PINW_ORIGIN_INHERITED : PINW_ORIGIN_NONE;
	thread->birth_site = from->pin_site;
	if (from->pin_depth)
		pinw_site_keep(from->pin_site);
	if (from->pin_depth && pinw_enforce.policy && pinw_enforce_fork(thread, from->pin_site))
		thread->birth_origin = PINW_ORIGIN_NONE;
	pinw_ledger_birth(thread, thread->slot->thread, 0);
}

void pinw_life_main(const struct pinw_thread_copy *inherit)
{
	struct pinw_thread *thread = pinw_registry_take();
	uint64_t mask[pinw_shim.mask_words];

	if (!thread)
		return;
	thread->life = PINW_LIFE_RELEASED | PINW_LIFE_CREATOR;
	thread->slot->flags = PINW_THREAD_MAIN;
	pinw_registry_set_handle(thread, pthread_self());
	pinw_tls = (struct pinw_tls){.thread = thread,
	                             .seq = thread->slot->thread,
	                             .tid = pinw_proc_tid(),
	                             .starting = pinw_tls.starting};
	pinw_registry_set_tid(thread, pinw_tls.tid);
	pinw_mask_copy(thread->mask, pinw_shim.baseline, pinw_shim.mask_words);
	if (inherit)
		inherit_pin(thread, inherit);
	else
		pinw_sys2(SYS_prctl, PR_GET_NAME, thread->slot->name);
	thread->slot->state = PINW_SLOT_RUNNING;
	pinw_mask_copy(ended_mask, pinw_shim.baseline, pinw_shim.mask_words);
	census.busy = 0;
	pinw_ledger_peak(pinw_ledger_live());
	verify_mask(thread, 0, PINW_SEEN_IMAGE, 0, mask);
	record_start(thread, mask, 0);
}

/* Whose pin explains the mask of a thread that nobody saw created? Any pinned thread on just that mask. */
struct giver {
	const uint64_t *mask;
	const struct pinw_thread *found;
};

static void consider_giver(struct pinw_thread *thread, void *arg)
{
	struct giver *giver = arg;

	if (!giver->found && thread->slot->pin_depth &&
	    pinw_mask_equal(thread->mask, giver->mask, pinw_shim.mask_words))
		giver->found = thread;
}

/* Makes a thread known whose mask and tid are set; books the pin it was found with. */
static void adopt(struct pinw_thread *thread, uint32_t flags)
{
	struct pinw_slot *slot = thread->slot;
	struct giver giver = {.mask = thread->mask};
	uint64_t now = pinw_now();

	pinw_registry_each(consider_giver, &giver);
	thread->birth_origin = giver.found ? PINW_ORIGIN_INHERITED : PINW_ORIGIN_EXTERNAL;
	thread->birth_site = giver.found ? giver.found->slot->pin_site : 0;
	thread->birth_by = giver.found ? giver.found->slot->thread : 0;
	thread->life = PINW_LIFE_RELEASED | PINW_LIFE_CREATOR;
	slot->flags = PINW_THREAD_ADOPTED | flags;
	slot->create_ns = slot->start_ns = now;
	pinw_count(threads_adopted, 1);
	pinw_ledger_peak(pinw_ledger_live());
	pinw_ledger_birth(thread, slot->thread, now);
	struct pinw_rec_adopt record = {
	    .e = {.time_ns = now, .thread = slot->thread}, .tid = slot->tid, .flags = flags};
	memcpy(record.name, slot->name, sizeof(record.name));
	pinw_trace_event(PINW_REC_THREAD_ADOPT, &record, sizeof(record), thread->mask,
	                 8u * pinw_shim.mask_words);
	__atomic_store_n(&slot->state, PINW_SLOT_RUNNING, __ATOMIC_RELEASE);
}

/* A thread of this process becomes known by its tid, its calls will find it. NULL without memory. */
static struct pinw_thread *adopt_tid(uint32_t tid, uint32_t flags)
{
	struct pinw_thread *thread = pinw_registry_take();

	if (!thread)
		return NULL;
	if (pinw_proc_affinity(tid, thread->mask, pinw_shim.mask_words) < 0)
		pinw_mask_copy(thread->mask, pinw_shim.baseline, pinw_shim.mask_words);
	read_name(tid, thread->slot->name);
	pinw_registry_set_tid(thread, tid);
	adopt(thread, flags);
	return thread;
}

struct pinw_thread *pinw_life_adopt_self(void)
{
	uint32_t tid = pinw_proc_tid();
	struct pinw_thread *thread = pinw_registry_starting(pthread_self());

	/* A signal handler came before the start routine: no stranger, only early. */
	if (thread) {
		pinw_registry_set_tid(thread, tid);
		pinw_tls.thread = thread;
		pinw_tls.seq = thread->slot->thread;
		pinw_tls.tid = tid;
		return thread;
	}
	thread = pinw_registry_by_tid(tid);
	if (!thread)
		thread = adopt_tid(tid, 0);
	if (!thread)
		return NULL;
	pinw_registry_set_handle(thread, pthread_self());
	pinw_tls.thread = thread;
	pinw_tls.seq = thread->slot->thread;
	pinw_tls.tid = tid;
	pinw_life_watch_end();
	return thread;
}

/* ---- census --------------------------------------------------------------------------- */

static bool has_ended(uint32_t tid)
{
	for (unsigned i = 0; i < RECENT_ENDS; i++)
		if (__atomic_load_n(&recent_ends[i], __ATOMIC_RELAXED) == tid)
			return true;
	return pinw_proc_is_exiting(tid);
}

static void count_unstarted(struct pinw_thread *thread, void *count)
{
	*(uint32_t *)count += __atomic_load_n(&thread->slot->state, __ATOMIC_RELAXED) == PINW_SLOT_CREATED;
}

struct pinw_thread *pinw_life_adopt_named(uint32_t tid)
{
	uint32_t unstarted = 0;

	pinw_registry_each(count_unstarted, &unstarted);
	return unstarted || has_ended(tid) || is_sealed() ? NULL : adopt_tid(tid, 0);
}

static void meet_task(uint32_t tid, void *unused)
{
	struct pinw_thread *thread = pinw_registry_by_tid(tid);

	(void)unused;
	census.own_listed = census.own_listed || tid == census.own_tid;
	if (thread) {
		thread->census = census.number;
		census.seen++;
	} else if (has_ended(tid)) {
		return; /* on its way out: the ledger is ahead of the kernel's list */
	} else if (census.unknown_count < CENSUS_UNKNOWN_MAX)
		census.unknown[census.unknown_count++] = tid;
	census.kernel++;
}

/* Lists tasks until every one is known, or no unknown one can be a thread that is just starting. Returns
 * how many there are, or -errno; -ESRCH when /proc speaks of another pid namespace, where tids mean others. */
static long list_tasks(void)
{
	struct {
		int64_t sec, nsec;
	} pause = {0, 200000};
	long listed = 0;

	for (unsigned i = 0; i < CENSUS_RETRIES; i++) {
		census.number++;
		census.own_listed = false;
		census.own_tid = pinw_proc_tid();
		census.kernel = census.seen = census.unknown_count = census.unstarted = 0;
		listed = pinw_proc_each_task(meet_task, NULL);
		if (listed >= 0 && !census.own_listed)
			return -ESRCH;
		pinw_registry_each(count_unstarted, &census.unstarted);
		if (listed < 0 || !census.unknown_count || (!census.unstarted && i))
			break;
		pinw_sys2(SYS_nanosleep, &pause, 0);
	}
	return listed;
}

static void check_thread(struct pinw_thread *thread, void *arg)
{
	struct pinw_slot *slot = thread->slot;
	uint64_t now = *(uint64_t *)arg, mask[pinw_shim.mask_words];

	if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != PINW_SLOT_RUNNING)
		return;
	if (thread->census == census.number)
		verify_mask(thread, slot->tid, PINW_SEEN_CENSUS, now, mask);
	else if (has_ended(slot->tid)) /* adopted, or left by a raw exit */
		pinw_life_end_unseen(thread, now);
}

void pinw_life_census(void)
{
	uint64_t now = pinw_now();

	if (is_sealed() || __atomic_exchange_n(&census.busy, 1, __ATOMIC_ACQUIRE))
		return;
	long listed = list_tasks();
	if (listed < 0) {
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_CENSUS_FAILED, (uint32_t)-listed);
	} else {
		pinw_registry_each(check_thread, &now);
		/* The oldest are listed first; the newest may be threads that are still starting. */
		for (uint32_t i = 0; i + census.unstarted < census.unknown_count; i++)
			adopt_tid(census.unknown[i], PINW_THREAD_CENSUS);
		pinw_shim.live->census_kernel = census.kernel;
		pinw_shim.live->census_seen = census.seen;
		pinw_shim.live->census_ns = now;
	}
	__atomic_store_n(&census.busy, 0, __ATOMIC_RELEASE);
}
