// SPDX-License-Identifier: MIT
//
// Shows: C++ and threads that end early. pthread_exit and cancellation unwind through destructors and
// catch (...), which must rethrow; exceptions are thrown and caught as usual.
//   cxx_unwind              all of these, status 0
//   cxx_unwind uncaught     an exception leaves a thread's start routine: terminate, SIGABRT
//   cxx_unwind noexcept     pthread_exit through a noexcept function: terminate, SIGABRT
#include "tests/targets/common/common.h"

#include <cstdio>
#include <cstring>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>

static std::string trail;

struct Marks {
	char mark;
	~Marks()
	{
		trail += mark;
	}
};

__attribute__((noinline)) static void leave(void *value)
{
	Marks inner{'i'};
	pthread_exit(value);
}

static void *exits(void *arg)
{
	Marks outer{'o'};
	try {
		leave(arg);
	} catch (...) {
		trail += 'c';
		throw;
	}
	return nullptr;
}

static void *is_cancelled(void *arg)
{
	Marks outer{'o'};
	pthread_cancel(pthread_self());
	try {
		pause();
	} catch (...) {
		trail += 'c';
		throw;
	}
	return arg;
}

static void *catches(void *arg)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));
	for (int i = 0; i < 3; i++) {
		try {
			Marks m{'m'};
			CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
			throw std::runtime_error("thrown while pinned");
		} catch (const std::exception &e) {
			CHECK(std::strcmp(e.what(), "thrown while pinned") == 0);
			CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
		}
	}
	return arg;
}

static void *throws(void *)
{
	throw std::logic_error("uncaught");
}

static void no_way_out() noexcept
{
	pthread_exit(nullptr);
}

static void *exits_through_noexcept(void *)
{
	no_way_out();
	return nullptr;
}

static void run(const char *what, void *(*start)(void *), void *arg, void *value)
{
	pthread_t t;
	void *got;

	trail.clear();
	CHECK(pthread_create(&t, nullptr, start, arg) == 0);
	CHECK(pthread_join(t, &got) == 0);
	CHECK(got == value);
	std::printf("%s: %s\n", what, trail.c_str());
}

int main(int argc, char **argv)
{
	int mark;

	target_cpu(1);
	if (argc > 1 && std::strcmp(argv[1], "uncaught") == 0)
		run("uncaught", throws, nullptr, nullptr);
	if (argc > 1 && std::strcmp(argv[1], "noexcept") == 0)
		run("noexcept", exits_through_noexcept, nullptr, nullptr);
	run("pthread_exit", exits, &mark, &mark);
	run("cancel", is_cancelled, nullptr, PTHREAD_CANCELED);
	run("caught", catches, &mark, &mark);
	std::thread([] { trail += 't'; }).join();
	std::printf("std::thread: %s\n", trail.c_str());
	return 0;
}
