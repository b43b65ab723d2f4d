/* SPDX-License-Identifier: MIT
 *
 * Shows: pins on the stacks of C++ methods: a class in a namespace, a template, a lambda in a handler. Prints what each
 * got (errno, 0 = done).
 */
#include "tests/targets/common/common.h"

#include <cerrno>
#include <cstdio>

namespace web
{
__attribute__((noinline)) static int pin_here()
{
	cpu_set_t one = target_one_cpu(target_cpu(0));
	int error = sched_setaffinity(0, sizeof(one), &one) == 0 ? 0 : errno;

	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	return error;
}

class HttpServer
{
      public:
	__attribute__((noinline)) int handleRequest(const char *path)
	{
		int error = pin_here();

		return path ? error : -1;
	}
};

template <typename T> struct Pool {
	__attribute__((noinline)) int run(T times)
	{
		int error = pin_here();

		return times ? error : -1;
	}
};

__attribute__((noinline)) static int serve()
{
	auto handler = [](int n) __attribute__((noinline))
	{
		int error = pin_here();

		return n ? error : -1;
	};

	return handler(1);
}
} // namespace web

int main()
{
	web::HttpServer server;
	web::Pool<long> pool;

	target_cpu(1);
	std::printf("method %d\n", server.handleRequest("/"));
	std::printf("template %d\n", pool.run(1));
	std::printf("lambda %d\n", web::serve());
	return 0;
}
