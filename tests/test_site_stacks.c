/* SPDX-License-Identifier: MIT
 *
 * Stacks that are not the one a thread was given (coroutines, signal handlers), and those of many threads.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/site_rig.h"

TestSuite(site_stacks, .init = make_hosts, .fini = pinw_rig_done);

/* ---- other stacks ---------------------------------------------------------------------- */

#define COROUTINE_BYTES (256u << 10)

static struct {
	ucontext_t out, in;
	struct asked asked;
	unsigned depth;
} coroutine;

static void run_coroutine(void)
{
	for (;;) {
		host_recurse(coroutine.depth, ask, &coroutine.asked);
		swapcontext(&coroutine.in, &coroutine.out);
	}
}

static void make_coroutine(char *stack)
{
	cr_assert_eq(getcontext(&coroutine.in), 0);
	coroutine.in.uc_stack.ss_sp = stack;
	coroutine.in.uc_stack.ss_size = COROUTINE_BYTES;
	makecontext(&coroutine.in, run_coroutine, 0);
}

static struct asked ask_in_coroutine(unsigned depth)
{
	coroutine.depth = depth;
	cr_assert_eq(swapcontext(&coroutine.out, &coroutine.in), 0);
	return coroutine.asked;
}

Test(site_stacks, walks_coroutines_every_time_and_gets_them_right)
{
	char *stack = mmap(NULL, COROUTINE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(stack, MAP_FAILED);
	make_coroutine(stack);
	struct asked first = ask_in_coroutine(5);
	for (unsigned i = 0; i < 3; i++) {
		struct asked a = ask_in_coroutine(5);

		cr_expect_eq(a.id, first.id);
		cr_expect_eq(a.unwinds, 1, "its stack has no known end");
	}
	struct asked other = ask_in_coroutine(9);
	cr_expect_neq(other.id, first.id);
	cr_expect_eq(count_function(first.id, "host_recurse"), 5);
	cr_expect_eq(count_function(other.id, "host_recurse"), 9);
	cr_expect_eq(ask_in_coroutine(5).id, first.id);
}

/* A coroutine's stack may be a part of the thread's: the memo may help, but must not mistake it. */
Test(site_stacks, tells_coroutines_on_the_threads_own_stack_apart)
{
	char stack[COROUTINE_BYTES] __attribute__((aligned(16)));
	uint32_t ids[30] = {0};

	make_coroutine(stack);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned depth = 1; depth < 30; depth++) {
			struct asked a = ask_in_coroutine(depth);

			cr_assert(round == 0 || ids[depth] == a.id);
			cr_assert_eq(count_function(a.id, "host_recurse"), depth);
			ids[depth] = a.id;
		}
}

static struct asked in_handler;

static void handle(int number)
{
	(void)number;
	host_right(ask, &in_handler);
}

static int raise_signal(void *arg)
{
	(void)arg;
	return raise(SIGUSR1);
}

static void expect_cut_at_the_signal(uint32_t id)
{
	const struct pinw_rec_frame *frames;
	uint16_t flags;
	unsigned count = frames_of(id, &frames, &flags);

	cr_expect(flags & PINW_SITE_SIGNAL);
	cr_expect_not(flags & PINW_SITE_TRUNCATED);
	cr_expect_eq(count_function(id, "host_right"), 1);
	cr_expect_eq(count_function(id, "host_recurse"), 0, "where a handler came is chance");
	cr_expect_leq(count, 4);
}

Test(site_stacks, ends_a_handlers_stack_where_the_signal_came)
{
	signal(SIGUSR1, handle);
	host_recurse(3, raise_signal, NULL);
	uint32_t first = in_handler.id;
	expect_cut_at_the_signal(first);
	host_recurse(8, raise_signal, NULL);
	cr_expect_eq(in_handler.id, first, "from elsewhere it is the same site");
	host_recurse(8, raise_signal, NULL);
	cr_expect_eq(in_handler.id, first);
}

Test(site_stacks, ends_a_handlers_stack_on_its_own_stack_too)
{
	static char alternative[64 << 10];
	stack_t stack = {.ss_sp = alternative, .ss_size = sizeof(alternative)};
	struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};

	cr_assert_eq(sigaltstack(&stack, NULL), 0);
	cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
	host_recurse(3, raise_signal, NULL);
	uint32_t first = in_handler.id;
	expect_cut_at_the_signal(first);
	host_recurse(8, raise_signal, NULL);
	cr_expect_eq(in_handler.id, first);
	cr_expect_eq(in_handler.unwinds, 1);
}

/* ---- threads ------------------------------------------------------------------------------- */

static void *ask_in_thread(void *arg)
{
	host_recurse(6, ask, arg);
	return arg;
}

Test(site_stacks, knows_a_stack_again_in_another_thread)
{
	struct asked first, second;

	pinw_rig_join(pinw_rig_spawn(ask_in_thread, &first, NULL));
	pinw_rig_join(pinw_rig_spawn(ask_in_thread, &second, NULL));
	cr_expect_eq(first.unwinds, 1);
	cr_expect_eq(second.unwinds, 0, "on a stack of its own");
	cr_expect_eq(second.id, first.id);
	cr_expect_eq(count_function(first.id, "pinw_trampoline"), 0, "the shim's own frames are left out");
}

#define DEPTHS 40u

static uint32_t found[8][DEPTHS + 1];

static void *ask_all_depths(void *arg)
{
	for (unsigned round = 0; round < 20; round++)
		for (unsigned depth = 1; depth <= DEPTHS; depth++) {
			struct asked a;
			uint32_t *mine = &((uint32_t *)arg)[depth];

			host_recurse(depth, ask, &a);
			if (*mine && *mine != a.id)
				return NULL;
			*mine = a.id;
		}
	return arg;
}

Test(site_stacks, gives_eight_threads_the_same_ids)
{
	struct pinw_thread *threads[8];

	for (unsigned i = 0; i < 8; i++)
		threads[i] = pinw_rig_spawn(ask_all_depths, found[i], NULL);
	for (unsigned i = 0; i < 8; i++)
		cr_expect_not_null(pinw_rig_join(threads[i]), "one stack had two ids");
	for (unsigned depth = 1; depth <= DEPTHS; depth++)
		for (unsigned i = 0; i < 8; i++) {
			cr_assert_neq(found[i][depth], 0);
			cr_assert_eq(found[i][depth], found[0][depth]);
			cr_assert_neq(found[i][depth], found[0][depth - 1]);
		}
	cr_expect_eq(counters()->sites, DEPTHS);
}

/* A plain thread, whose stack nobody told: always walked, always right. */
static void *ask_unknown(void *arg)
{
	pinw_enter();
	host_recurse(6, ask, arg);
	host_recurse(6, ask, (struct asked *)arg + 1);
	return NULL;
}

Test(site_stacks, walks_a_stack_whose_bounds_nobody_told)
{
	struct asked asked[2];
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, ask_unknown, asked), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_expect_eq(asked[1].unwinds, 1);
	cr_expect_eq(asked[1].id, asked[0].id);
	cr_expect_eq(count_function(asked[0].id, "host_recurse"), 6);
}
