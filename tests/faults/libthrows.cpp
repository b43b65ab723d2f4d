// SPDX-License-Identifier: MIT
//
// C++ for a program that has none until it loads this: throws, and unwinds by pthread_exit and cancellation.
#include "tests/targets/common/common.h"

#include <cstring>
#include <mutex>
#include <pthread.h>
#include <stdexcept>
#include <string>

extern "C" const char *throw_and_unwind();

static std::string trail;
static std::mutex mutex;

struct Marks {
	char mark;
	~Marks()
	{
		trail += mark;
	}
};

__attribute__((noinline)) static void throws(int depth)
{
	Marks m{'d'};
	if (depth == 0)
		throw std::runtime_error("thrown");
	throws(depth - 1);
}

static void *exits(void *arg)
{
	std::lock_guard<std::mutex> guard(mutex);
	Marks m{'e'};
	pthread_exit(arg);
}

static void *is_cancelled(void *arg)
{
	std::lock_guard<std::mutex> guard(mutex);
	Marks m{'c'};
	pthread_cancel(pthread_self());
	pthread_testcancel();
	return arg;
}

static void run(void *(*start)(void *))
{
	pthread_t t;

	CHECK(pthread_create(&t, nullptr, start, nullptr) == 0);
	CHECK(pthread_join(t, nullptr) == 0);
	CHECK(mutex.try_lock()); // the guard was destroyed
	mutex.unlock();
}

const char *throw_and_unwind()
{
	trail.clear();
	try {
		throws(3);
	} catch (const std::exception &e) {
		CHECK(std::strcmp(e.what(), "thrown") == 0);
		trail += '!';
	}
	run(exits);
	run(is_cancelled);
	return trail.c_str();
}
