// SPDX-License-Identifier: MIT
//
// Shows: C++ exceptions and threads. Carried from one thread to another (std::exception_ptr, std::future), thrown under a
// frame of the shim's, thrown in destructors of thread_local objects' users; ends that terminate the process.
//   cxx_threads                    all that ends well
//   cxx_threads uncaught | noexcept | joinable | swallowed     std::terminate and SIGABRT, each for its reason
#include "tests/targets/common/common.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <future>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

static std::string trail;

struct Marks {
	char mark;
	~Marks()
	{
		trail += mark;
	}
};

struct Pins {
	cpu_set_t one = target_one_cpu(target_cpu(0));
	Pins()
	{
		CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	}
	~Pins()
	{
		CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	}
};

static void carried_by_pointer()
{
	std::exception_ptr carried;

	std::thread([&] {
		try {
			Pins pins;
			throw std::out_of_range("carried");
		} catch (...) {
			carried = std::current_exception();
		}
	}).join();
	try {
		std::rethrow_exception(carried);
	} catch (const std::out_of_range &e) {
		std::printf("by pointer: %s\n", e.what());
	}
}

static void carried_by_future()
{
	std::vector<std::future<int>> results;

	for (int i = 0; i < 20; i++)
		results.push_back(std::async(std::launch::async, [i] {
			Pins pins;
			if (i % 2)
				throw std::runtime_error(std::to_string(i));
			return i;
		}));
	for (auto &result : results) {
		try {
			std::printf("%d ", result.get());
		} catch (const std::runtime_error &e) {
			std::printf("!%s ", e.what());
		}
	}
	std::printf("by future\n");
}

static void *exits_pinned(void *arg)
{
	Marks outer{'o'};
	Pins pins; // the release runs while pthread_exit unwinds
	try {
		Marks inner{'i'};
		pthread_exit(arg);
	} catch (...) {
		trail += 'c';
		throw;
	}
}

static void *is_cancelled_pinned(void *arg)
{
	Marks outer{'o'};
	Pins pins;
	pthread_cancel(pthread_self());
	try {
		Marks inner{'i'};
		pause();
	} catch (...) {
		trail += 'c';
		throw;
	}
	return arg;
}

static void *swallows_exit(void *arg)
{
	try {
		pthread_exit(arg);
	} catch (...) {
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

static void run(void *(*start)(void *))
{
	pthread_t t;

	trail.clear();
	CHECK(pthread_create(&t, nullptr, start, nullptr) == 0);
	CHECK(pthread_join(t, nullptr) == 0);
	std::printf("%s\n", trail.c_str());
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";

	target_cpu(1);
	if (std::strcmp(how, "uncaught") == 0)
		run(throws);
	if (std::strcmp(how, "noexcept") == 0)
		run(exits_through_noexcept);
	if (std::strcmp(how, "swallowed") == 0)
		run(swallows_exit);
	if (std::strcmp(how, "joinable") == 0)
		std::thread([] { pause(); });
	carried_by_pointer();
	carried_by_future();
	run(exits_pinned);
	run(is_cancelled_pinned);
	CHECK(target_mask_is(target_all_cpus()));
	return 0;
}
