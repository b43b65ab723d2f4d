/* SPDX-License-Identifier: MIT
 *
 * Shows: how a thread ends: return, pthread_exit, deferred and asynchronous cancellation. Cleanup
 * handlers and thread-specific destructors run, in libc's order, and the joiner gets the value.
 */
#include "tests/targets/common/common.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char trail[64];
static pthread_key_t key;
static int ready[2];

static void note(char c)
{
	trail[strlen(trail)] = c;
}

static void on_cleanup(void *arg)
{
	note(*(const char *)arg);
}

static void on_key(void *value)
{
	note(*(const char *)value);
}

static void *returns(void *arg)
{
	CHECK(pthread_setspecific(key, "k") == 0);
	pthread_cleanup_push(on_cleanup, "c");
	pthread_cleanup_pop(1);
	return arg;
}

__attribute__((noinline)) static void leave(void *value)
{
	pthread_cleanup_push(on_cleanup, "i");
	pthread_exit(value);
	pthread_cleanup_pop(0);
}

static void *exits(void *arg)
{
	CHECK(pthread_setspecific(key, "k") == 0);
	pthread_cleanup_push(on_cleanup, "o");
	leave(arg);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *is_cancelled(void *arg)
{
	int old;

	CHECK(pthread_setspecific(key, "k") == 0);
	if (arg)
		CHECK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old) == 0);
	pthread_cleanup_push(on_cleanup, "x");
	CHECK(write(ready[1], "r", 1) == 1);
	if (arg)
		for (;;)
			__asm__ volatile("pause");
	for (;;)
		pause();
	pthread_cleanup_pop(0);
	return NULL;
}

static void *cancelled_by_itself(void *arg)
{
	CHECK(pthread_cancel(pthread_self()) == 0);
	note('a'); /* deferred: it goes on to the next cancellation point */
	pthread_testcancel();
	return arg;
}

static void expect(const char *what, void *(*start)(void *), void *arg, bool cancel, void *value)
{
	pthread_t t;
	void *got;
	char byte;

	memset(trail, 0, sizeof(trail));
	CHECK(pthread_create(&t, NULL, start, arg) == 0);
	if (cancel) {
		CHECK(read(ready[0], &byte, 1) == 1);
		CHECK(pthread_cancel(t) == 0);
	}
	CHECK(pthread_join(t, &got) == 0);
	CHECK(got == value);
	printf("%s: %s\n", what, trail);
}

int main(void)
{
	int mark;

	CHECK(pipe(ready) == 0);
	CHECK(pthread_key_create(&key, on_key) == 0);
	expect("return", returns, &mark, false, &mark);
	expect("pthread_exit", exits, &mark, false, &mark);
	expect("cancelled", is_cancelled, NULL, true, PTHREAD_CANCELED);
	expect("cancelled at once", is_cancelled, &mark, true, PTHREAD_CANCELED);
	expect("cancelled by itself", cancelled_by_itself, &mark, false, PTHREAD_CANCELED);
	return 0;
}
