/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/mask.h"
#include "preload/image.h"
#include "preload/ledger.h"
#include "preload/life.h"
#include "preload/process.h"
#include "preload/proc.h"
#include "preload/registry.h"
#include "tests/rig.h"

TestSuite(life, .fini = pinw_rig_done);

static void setup(void)
{
	pinw_rig_image(NULL);
}

TestSuite(life_image, .init = setup, .fini = pinw_rig_done);

/* The records of one type, and the last of them. */
struct found {
	uint8_t type;
	uint32_t thread; /* 0 = any */
	unsigned count;
	union {
		struct pinw_event event;
		struct pinw_rec_start start;
		struct pinw_rec_exit exit;
		struct pinw_rec_adopt adopt;
		struct pinw_rec_external external;
	};
	uint64_t mask;
};

static void find_record(void *arg, const struct pinw_read_record *rec)
{
	struct found *found = arg;

	if (rec->type != found->type || (found->thread && rec->event->thread != found->thread))
		return;
	found->count++;
	memcpy(&found->event, rec->payload, 40 < sizeof(*rec->adopt) ? sizeof(*rec->adopt) : 40);
	found->mask = rec->mask_count ? rec->masks[rec->mask_count > 1] : 0;
}

static struct found find(uint8_t type, uint32_t thread)
{
	struct found found = {.type = type, .thread = thread};
	struct pinw_rig_seen seen;

	pinw_rig_read(find_record, NULL, &found, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	return found;
}

static void needs_two_cpus(void)
{
	if (pinw_mask_width(pinw_shim.baseline, pinw_shim.mask_words) < 2)
		cr_skip_test("needs two CPUs");
}

/* The lowest CPU of the baseline alone, set behind the shim's back: no wrapper is linked here. */
static uint64_t pin_unseen(pid_t tid)
{
	uint64_t one = pinw_shim.baseline[0] & -pinw_shim.baseline[0];
	cpu_set_t set;

	CPU_ZERO(&set);
	memcpy(&set, &one, sizeof(one));
	cr_assert_eq(sched_setaffinity(tid, sizeof(set), &set), 0);
	return one;
}

/* ---- start and end -------------------------------------------------------------------------- */

Test(life_image, begins_with_the_main_thread)
{
	const struct pinw_slot *slot = pinw_tls.thread->slot;
	struct found start = find(PINW_REC_THREAD_START, 1);

	cr_expect_eq(slot->thread, 1);
	cr_expect_eq(slot->tid, (uint32_t)getpid());
	cr_expect_eq(slot->flags, PINW_THREAD_MAIN);
	cr_expect_eq(slot->state, PINW_SLOT_RUNNING);
	cr_expect_eq(slot->pin_depth, 0, "the baseline is no pin");
	cr_expect_eq(counters()->threads_live, 1);
	cr_expect_eq(counters()->threads_peak, 1);
	cr_expect_eq(start.count, 1);
	cr_expect_eq(start.start.tid, (uint32_t)getpid());
	cr_expect_eq(start.mask, pinw_shim.baseline[0]);
}

static void *give_back(void *arg)
{
	return arg;
}

static void *leave_by_exit(void *arg)
{
	pinw_tls.exit_called = 1; /* as the pthread_exit wrapper does */
	pthread_exit(arg);
}

static void *leave_deep(void *arg)
{
	char room[2000];

	__asm__ volatile("" : : "r"(room) : "memory");
	return leave_by_exit(arg);
}

static void *be_cancelled(void *arg)
{
	pthread_cancel(pthread_self());
	pthread_testcancel();
	return arg;
}

Test(life_image, tells_how_a_thread_ended)
{
	static const struct {
		void *(*routine)(void *);
		enum pinw_exit how;
		bool cancelled;
	} cases[] = {
	    {give_back, PINW_EXIT_RETURN, false},
	    {leave_by_exit, PINW_EXIT_PTHREAD_EXIT, false},
	    {leave_deep, PINW_EXIT_PTHREAD_EXIT, false},
	    {be_cancelled, PINW_EXIT_CANCEL, true},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int value;
		struct pinw_thread *t = pinw_rig_spawn(cases[i].routine, &value, NULL);
		uint32_t seq = t->slot->thread;
		void *result = pinw_rig_join(t);

		cr_expect_eq(result, cases[i].cancelled ? PTHREAD_CANCELED : &value, "case %u", i);
		struct found end = find(PINW_REC_THREAD_EXIT, seq);
		cr_expect_eq(end.count, 1, "case %u", i);
		cr_expect_eq(end.exit.how, cases[i].how, "case %u", i);
		cr_expect_eq(end.exit.origin, PINW_ORIGIN_NONE);
		cr_expect_eq(t->slot->state, PINW_SLOT_FREE, "all three let go");
	}
	cr_expect_eq(counters()->threads_exited, 4);
	cr_expect_eq(counters()->threads_live, 1);
	cr_expect_eq(counters()->threads_peak, 2);
}

static void *look_at_self(void *arg)
{
	const struct pinw_thread *t = pinw_tls.thread;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	return pinw_tls.trampolined && t->slot->tid == (uint32_t)gettid() &&
	               t->slot->state == PINW_SLOT_RUNNING && pthread_equal(*t->out, pthread_self()) &&
	               pinw_registry_by_handle(pthread_self()) == t &&
	               pinw_registry_by_tid((uint32_t)gettid()) == t && here > t->stack_lo &&
	               here < t->stack_hi && t->stack_hi - t->stack_lo <= (size_t)arg
	           ? arg
	           : NULL;
}

Test(life_image, knows_a_thread_before_its_routine_runs)
{
	static const size_t sizes[] = {64 << 10, 1 << 20, 8 << 20};
	pthread_attr_t attr;

	for (unsigned i = 0; i < 3; i++) {
		pthread_attr_init(&attr);
		cr_assert_eq(pthread_attr_setstacksize(&attr, sizes[i]), 0);
		struct pinw_thread *t = pinw_rig_spawn(look_at_self, (void *)(sizes[i] + 4096), &attr);
		cr_expect_not_null(pinw_rig_join(t), "%zu bytes of stack", sizes[i]);
	}
}

Test(life_image, books_an_end_once)
{
	pinw_life_end(PINW_EXIT_PTHREAD_EXIT); /* main leaves, others go on */
	pinw_life_end(PINW_EXIT_RETURN);
	cr_expect_eq(counters()->threads_exited, 1);
	cr_expect_eq(find(PINW_REC_THREAD_EXIT, 1).count, 1);
	/* What it does later finds a thread that is nobody's. */
	cr_expect_neq(pinw_tls.thread, NULL);
	cr_expect_eq(pinw_tls.ended, 1);
	cr_expect_eq(pinw_tls.thread->slot->thread, 0);
}

/* ---- pins that no call made -------------------------------------------------------------------- */

static void *pin_unseen_and_end(void *arg)
{
	pin_unseen(0);
	return arg;
}

Test(life_image, finds_a_pin_from_outside_at_the_end_of_the_thread)
{
	needs_two_cpus();
	struct pinw_thread *t = pinw_rig_spawn(pin_unseen_and_end, NULL, NULL);
	uint32_t seq = t->slot->thread;

	pinw_rig_join(t);
	struct found pin = find(PINW_REC_PIN_EXTERNAL, seq), end = find(PINW_REC_THREAD_EXIT, seq);
	cr_expect_eq(pin.count, 1);
	cr_expect_eq(pin.external.seen_at, PINW_SEEN_EXIT);
	cr_expect_eq(pin.external.effect, PINW_EFFECT_OPEN);
	cr_expect_eq(pinw_mask_width(&pin.mask, 1), 1);
	cr_expect_eq(end.exit.origin, PINW_ORIGIN_EXTERNAL);
	cr_expect_eq(counters()->affinity_external, 1);
	cr_expect_eq(counters()->pins_external, 1);
	cr_expect_eq(counters()->pins_lost, 1);
	cr_expect_eq(counters()->leaks_exit_while_pinned, 1);
	pinw_rig_balance();
}

Test(life_image, gives_a_thread_its_creators_pin)
{
	needs_two_cpus();
	struct pinw_thread *self = pinw_tls.thread;
	const struct pinw_pinner by = {.origin = PINW_ORIGIN_SELF, .site = 5, .by = 1};
	uint64_t before[PINW_MASK_WORDS_MAX], one[PINW_MASK_WORDS_MAX] = {0};

	one[0] = pin_unseen(0); /* by a call that is booked, then */
	pinw_ledger_set(self, 1, one, by, 1, before);
	struct pinw_thread *t = pinw_rig_spawn(give_back, NULL, NULL);
	uint32_t seq = t->slot->thread;
	pinw_rig_join(t);
	struct found start = find(PINW_REC_THREAD_START, seq);
	cr_expect_eq(start.start.origin, PINW_ORIGIN_INHERITED);
	cr_expect_eq(start.start.e.site, 5);
	cr_expect_eq(start.start.pin_by, 1);
	cr_expect_eq(start.mask, one[0]);
	cr_expect_eq(counters()->pins_inherited, 1);
	cr_expect_eq(counters()->leaks_inherited, 1);
	cr_expect_eq(counters()->affinity_external, 0, "the creator's pin explains it");
	pinw_rig_balance();
}

/* ---- handing the pthread_t over ------------------------------------------------------------------ */

#define HANDED 5000u

static struct {
	struct pinw_thread *thread;
	pthread_t out;
	uint32_t arrived;
} handed[HANDED];
static uint32_t not_yet_written;

static void hand_over(unsigned index)
{
	(void)index;
	for (unsigned i = 0; i < HANDED; i++) {
		__atomic_fetch_add(&handed[i].arrived, 1, __ATOMIC_ACQ_REL);
		for (unsigned spins = 0; __atomic_load_n(&handed[i].arrived, __ATOMIC_ACQUIRE) < 2; spins++)
			if (spins % 1000 == 999)
				sched_yield();
		pinw_life_hand_over(handed[i].thread);
		if (__atomic_load_n(&handed[i].out, __ATOMIC_RELAXED) != handed[i].thread->handle)
			__atomic_fetch_add(&not_yet_written, 1, __ATOMIC_RELAXED);
	}
}

/* Creator and thread at once: neither goes on before the caller of pthread_create has its pthread_t. */
Test(life, hands_the_handle_over_before_either_goes_on)
{
	pinw_rig_bench_small();
	for (unsigned i = 0; i < HANDED; i++) {
		handed[i].thread = pinw_registry_take();
		handed[i].thread->handle = (pthread_t)(i + 1) * 4096;
		handed[i].thread->out = &handed[i].out;
	}
	pinw_rig_together(2, hand_over);
	cr_expect_eq(not_yet_written, 0);
	for (unsigned i = 0; i < HANDED; i++)
		cr_assert_eq(pinw_registry_by_handle((pthread_t)(i + 1) * 4096), handed[i].thread);
}

/* ---- adoption ---------------------------------------------------------------------------------------- */

static pthread_barrier_t met;

static void *meet_shim(void *arg)
{
	pthread_setname_np(pthread_self(), "stranger");
	*(struct pinw_thread **)arg = pinw_enter();
	pthread_barrier_wait(&met);
	pthread_barrier_wait(&met);
	return NULL;
}

Test(life_image, adopts_a_thread_on_first_contact)
{
	struct pinw_thread *stranger = NULL;
	pthread_t thread;

	pthread_barrier_init(&met, NULL, 2);
	cr_assert_eq(pthread_create(&thread, NULL, meet_shim, &stranger), 0);
	pthread_barrier_wait(&met);
	cr_assert_not_null(stranger);
	uint32_t seq = stranger->slot->thread;
	cr_expect_eq(stranger->slot->flags, PINW_THREAD_ADOPTED);
	cr_expect_eq(stranger->slot->state, PINW_SLOT_RUNNING);
	cr_expect_str_eq(stranger->slot->name, "stranger");
	cr_expect_eq(pinw_registry_by_handle(thread), stranger);
	cr_expect_eq(counters()->threads_adopted, 1);
	cr_expect_eq(counters()->threads_created, 0);
	cr_expect_eq(counters()->threads_live, 2);
	struct found adopted = find(PINW_REC_THREAD_ADOPT, seq);
	cr_expect_eq(adopted.count, 1);
	cr_expect_str_eq(adopted.adopt.name, "stranger");
	cr_expect_eq(adopted.mask, pinw_shim.baseline[0]);
	pthread_barrier_wait(&met);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	/* It has no trampoline, but its end is noticed. */
	cr_expect_eq(counters()->threads_exited, 1);
	cr_expect_eq(counters()->threads_live, 1);
	cr_expect_eq(stranger->slot->state, PINW_SLOT_FREE);
	cr_expect_eq(find(PINW_REC_THREAD_EXIT, seq).count, 1);
}

static void *wait_unmet(void *arg)
{
	*(uint32_t *)arg = (uint32_t)gettid();
	pthread_barrier_wait(&met);
	pthread_barrier_wait(&met);
	return NULL;
}

static unsigned threads_of_kernel(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned count = 0;

	while (readdir(d))
		count++;
	closedir(d);
	return count - 2;
}

Test(life_image, takes_a_census_of_threads_nobody_saw)
{
	enum { COUNT = 12 };
	pthread_t threads[COUNT];
	uint32_t tids[COUNT];

	pthread_barrier_init(&met, NULL, COUNT + 1);
	for (unsigned i = 0; i < COUNT; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, wait_unmet, &tids[i]), 0);
	pthread_barrier_wait(&met);
	unsigned in_kernel = threads_of_kernel();
	pinw_life_census();
	cr_expect_eq(pinw_shim.live->census_kernel, in_kernel);
	cr_expect_eq(pinw_shim.live->census_seen, 1, "main alone was known");
	cr_expect_eq(counters()->threads_adopted, in_kernel - 1);
	for (unsigned i = 0; i < COUNT; i++) {
		struct pinw_thread *t = pinw_registry_by_tid(tids[i]);

		cr_assert_not_null(t);
		cr_expect_eq(t->slot->flags, PINW_THREAD_ADOPTED | PINW_THREAD_CENSUS);
	}
	pinw_life_census();
	cr_expect_eq(pinw_shim.live->census_seen, in_kernel, "now all are");
	cr_expect_eq(counters()->threads_adopted, in_kernel - 1);
	pthread_barrier_wait(&met);
	for (unsigned i = 0; i < COUNT; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	pinw_life_census();
	cr_expect_eq(counters()->threads_exited, COUNT, "they are gone and nobody else told");
	cr_expect_eq(counters()->threads_live, in_kernel - COUNT);
}

Test(life_image, finds_pins_from_outside_at_a_census)
{
	needs_two_cpus();
	pthread_t thread;
	uint32_t tid = 0;

	pthread_barrier_init(&met, NULL, 2);
	cr_assert_eq(pthread_create(&thread, NULL, wait_unmet, &tid), 0);
	pthread_barrier_wait(&met);
	pinw_life_census();
	uint64_t one = pin_unseen((pid_t)tid);
	pinw_life_census();
	pinw_life_census();
	struct found pin = find(PINW_REC_PIN_EXTERNAL, 0);
	cr_expect_eq(pin.count, 1, "once");
	cr_expect_eq(pin.external.tid, tid);
	cr_expect_eq(pin.external.seen_at, PINW_SEEN_CENSUS);
	cr_expect_eq(pin.mask, one);
	cr_expect_eq(counters()->pins_open, 1);
	pthread_barrier_wait(&met);
	pthread_join(thread, NULL);
	pinw_life_census();
	cr_expect_eq(counters()->pins_lost, 1);
	pinw_rig_balance();
}

/* Somebody is between the call and its booking: what the kernel says is theirs to book. */
Test(life_image, leaves_a_change_under_way_to_its_caller)
{
	needs_two_cpus();
	struct pinw_thread *self = pinw_tls.thread;

	pin_unseen(0);
	self->changing++;
	pinw_life_census();
	cr_expect_eq(counters()->affinity_external, 0);
	self->changing--;
	pinw_life_census();
	cr_expect_eq(counters()->affinity_external, 1);
}

Test(life_image, takes_no_census_of_a_sealed_target)
{
	pinw_shim.sealed = true;
	pinw_life_census();
	cr_expect_eq(pinw_shim.live->census_kernel, 0);
	pinw_shim.sealed = false;
}

static void census_again_and_again(unsigned index)
{
	(void)index;
	for (unsigned i = 0; i < 20; i++)
		pinw_life_census();
}

Test(life_image, takes_one_census_at_a_time)
{
	pinw_rig_together(4, census_again_and_again);
	pinw_life_census();
	cr_expect_eq(pinw_shim.live->census_kernel, threads_of_kernel());
	cr_expect_leq(counters()->threads_adopted, 4 + threads_of_kernel());
	cr_expect_eq(counters()->threads_live, threads_of_kernel());
}

/* ---- images --------------------------------------------------------------------------------------------- */

Test(life_image, says_how_the_image_ended)
{
	struct pinw_rig_seen seen;

	pinw_image_end(PINW_END_EXIT, 3);
	pinw_rig_read(NULL, NULL, NULL, &seen);
	cr_expect_eq(seen.live.end_how, PINW_END_EXIT);
	cr_expect_eq(seen.live.end_status, 3);
	cr_expect_gt(seen.live.end_ns, 0);
	cr_expect_gt(seen.live.census_kernel, 0, "with a census");
	pinw_image_resume(); /* an exec that failed */
	pinw_rig_read(NULL, NULL, NULL, &seen);
	cr_expect_eq(seen.live.end_how, PINW_END_NONE);
}

Test(life_image, is_not_ended_by_a_vfork_child)
{
	pinw_vfork_child();
	pinw_vfork_child(); /* which vforks itself */
	pinw_image_end(PINW_END_EXIT, 0);
	cr_expect_eq(pinw_shim.live->end_how, PINW_END_NONE);
	pinw_vfork_parent(1);
	pinw_image_end(PINW_END_EXIT, 0);
	cr_expect_eq(pinw_shim.live->end_how, PINW_END_NONE);
	pinw_vfork_parent(1);
	errno = 0;
	pinw_vfork_parent(-EAGAIN); /* no child came of that one */
	cr_expect_eq(errno, EAGAIN);
	pinw_image_end(PINW_END_EXIT, 0);
	cr_expect_eq(pinw_shim.live->end_how, PINW_END_EXIT);
}

/* The only other trace in the scratch directory. */
static const char *other_trace(void)
{
	DIR *d = opendir(pinw_rig_dir());
	struct dirent *entry;
	const char *path = NULL;

	while ((entry = readdir(d)))
		if (strstr(entry->d_name, ".pwt") &&
		    strcmp(pinw_rig_path(entry->d_name), pinw_rig_trace()) != 0) {
			cr_assert_null(path, "more than two traces");
			path = pinw_rig_path(entry->d_name);
		}
	closedir(d);
	cr_assert_not_null(path);
	return path;
}

static pid_t fork_and_record(void)
{
	pid_t pid = fork(); /* pinw_construct had pinw_child_init called in the child */

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		pinw_image_end(PINW_END_EXIT, 7);
		_exit(7);
	}
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	return pid;
}

Test(life_image, gives_a_fork_child_a_trace_of_its_own)
{
	struct pinw_rig_seen parent, child;
	uint64_t written = counters()->events_written;
	pid_t pid = fork_and_record();

	pinw_rig_read(NULL, NULL, NULL, &parent);
	pinw_rig_read_from(other_trace(), NULL, NULL, NULL, &child);
	cr_expect_eq(child.problems, 0, "%s", child.problem);
	cr_expect_eq(child.header.image, PINW_IMAGE_FORK);
	cr_expect_eq(child.header.self.pid, (uint32_t)pid);
	cr_expect_eq(memcmp(&child.header.parent, &parent.header.self, sizeof(parent.header.self)), 0);
	cr_expect(memcmp(child.header.self.nonce, parent.header.self.nonce, 16));
	cr_expect_eq(child.live.end_status, 7);
	cr_expect_eq(child.slots, 1);
	cr_expect_eq(child.live.counters.threads_live, 1);
	cr_expect_eq(parent.live.end_how, PINW_END_NONE, "the child wrote nothing of it");
	cr_expect_eq(parent.live.counters.events_written, written);
}

Test(life_image, gives_a_fork_child_its_parents_pin_and_baseline)
{
	needs_two_cpus();
	const struct pinw_pinner by = {.origin = PINW_ORIGIN_SELF, .site = 0, .by = 1};
	uint64_t before[PINW_MASK_WORDS_MAX], one[PINW_MASK_WORDS_MAX] = {0};
	struct pinw_rig_seen child;

	one[0] = pin_unseen(0);
	pinw_ledger_set(pinw_tls.thread, 1, one, by, 1, before);
	fork_and_record();
	pinw_rig_read_from(other_trace(), NULL, NULL, NULL, &child);
	cr_expect_eq(child.header.baseline[0], pinw_shim.baseline[0],
	             "not the narrower mask it was born with");
	cr_expect_eq(child.live.counters.pins_inherited, 1);
	cr_expect_eq(child.live.counters.pins_open, 1);
	cr_expect_eq(child.live.counters.affinity_external, 0);
	cr_expect_eq(child.records[PINW_REC_THREAD_START], 1);
}

/* ---- getting ready ------------------------------------------------------------------------------------------ */

static void enter(unsigned index)
{
	(void)index;
	pinw_enter();
}

Test(life, gets_ready_once_whoever_comes_first)
{
	setenv("PINWARDEN_OUTPUT", pinw_rig_path("once.%n.pwt"), 1);
	pinw_rig_together(8, enter);
	cr_expect_eq(pinw_shim.status, PINW_STATUS_ON);
	cr_expect_eq(access(pinw_rig_path("once.1.pwt"), F_OK), 0);
	cr_expect_eq(access(pinw_rig_path("once.2.pwt"), F_OK), -1);
	struct pinw_rig_seen seen;
	pinw_rig_read_from(pinw_rig_path("once.1.pwt"), NULL, NULL, NULL, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	cr_expect_eq(seen.live.counters.threads_adopted, 7, "one of the eight was taken for the main thread");
}

/* What pinw_construct says on stderr when it cannot record. */
static void start_off(const char *output, char *said, size_t size)
{
	int real = dup(2), file = open(pinw_rig_path("stderr"), O_RDWR | O_CREAT | O_TRUNC, 0600);

	setenv("PINWARDEN_OUTPUT", output, 1);
	dup2(file, 2);
	pinw_ensure_init();
	dup2(real, 2);
	ssize_t n = pread(file, said, size - 1, 0);
	said[n > 0 ? n : 0] = '\0';
}

Test(life, says_once_that_recording_is_off_and_why)
{
	char said[4096], expected[512];
	unsigned before = pinw_rig_descriptors();

	start_off(pinw_rig_path("missing/x\033.pwt"), said, sizeof(said));
	snprintf(expected, sizeof(expected),
	         "pinwarden: recording is off: cannot create %s/missing/x?.pwt: No such file or directory\n",
	         pinw_rig_dir());
	cr_expect_str_eq(said, expected);
	cr_expect_eq(pinw_shim.status, PINW_STATUS_OFF);
	cr_expect_null(pinw_enter());
	cr_expect_null(pinw_enter());
	pinw_life_end(PINW_EXIT_RETURN); /* and nothing that follows does harm */
	cr_expect_eq(pinw_rig_descriptors(), before + 2, "dup and file of the test alone");
}

Test(life, is_silently_off_for_children_not_to_be_followed)
{
	char said[256];

	setenv("PINWARDEN_FOLLOW", "0", 1);
	setenv("PINWARDEN_ROOT", "1", 1);
	start_off(pinw_rig_path("x.pwt"), said, sizeof(said));
	cr_expect_str_eq(said, "");
	cr_expect_eq(pinw_shim.status, PINW_STATUS_OFF);
	cr_expect_eq(access(pinw_rig_path("x.pwt"), F_OK), -1);
}
