// SPDX-License-Identifier: MIT
//
// Shows: what runs in a thread after its start routine: destructors of thread-specific keys, in all their rounds,
// and of thread_local objects, which pin, release, name and create.
//   keys            threads that return, exit and are cancelled      keys main    the main thread leaves by pthread_exit
// Fact: "sets".
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <atomic>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>

static std::atomic<int> destroyed, rounds, sets;
static pthread_key_t key;

static void *nothing(void *arg)
{
	return arg;
}

static void pin_name_create()
{
	pthread_t t;

	wander_pin(nullptr);
	sets++;
	CHECK(pthread_setname_np(pthread_self(), "late") == 0);
	CHECK(pthread_create(&t, nullptr, nothing, nullptr) == 0);
	CHECK(pthread_join(t, nullptr) == 0);
	wander_release(nullptr);
	sets++;
}

struct Late {
	int value = 1;
	~Late()
	{
		pin_name_create();
		destroyed++;
	}
};

static thread_local Late late;

// Sets itself again: called once more, up to PTHREAD_DESTRUCTOR_ITERATIONS times.
static void on_key(void *value)
{
	pin_name_create();
	rounds++;
	CHECK(pthread_setspecific(key, value) == 0);
}

static void *ends(void *arg)
{
	CHECK(late.value == 1);
	CHECK(pthread_setspecific(key, &key) == 0);
	if (arg && std::strcmp(static_cast<char *>(arg), "exit") == 0)
		pthread_exit(nullptr);
	if (arg) {
		pthread_cancel(pthread_self());
		pthread_testcancel();
	}
	return arg;
}

static char how_exit[] = "exit", how_cancel[] = "cancel";

static void say()
{
	std::printf("%d objects, %d rounds\n", destroyed.load(), rounds.load());
	say_fact("sets", sets.load());
}

int main(int argc, char **)
{
	char *hows[] = {nullptr, how_exit, how_cancel};

	target_cpu(1);
	CHECK(pthread_key_create(&key, on_key) == 0);
	for (char *how : hows) {
		pthread_t t;

		CHECK(pthread_create(&t, nullptr, ends, how) == 0);
		CHECK(pthread_join(t, nullptr) == 0);
	}
	CHECK(destroyed == 3 && rounds == 3 * PTHREAD_DESTRUCTOR_ITERATIONS);
	if (argc > 1) {
		CHECK(late.value == 1);
		CHECK(pthread_setspecific(key, &key) == 0);
		std::atexit(say);
		pthread_exit(nullptr);
	}
	say();
	return 0;
}
