/* SPDX-License-Identifier: MIT
 *
 * Shows: a library that pins, loaded, unloaded and loaded again, with other libraries mapped in
 * between, so that the same addresses mean something else. dlopen_pin [ROUNDS]
 */
#include "tests/targets/common/common.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void library_path(char *path, size_t len)
{
	ssize_t n = readlink("/proc/self/exe", path, len - 1);

	CHECK(n > 0);
	path[n] = '\0';
	dirname(path);
	n = (ssize_t)strlen(path);
	snprintf(path + n, len - (size_t)n, "/libpinner.so");
}

static void one_round(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	int (*pin)(int), (*release)(const cpu_set_t *), (*thread)(void);

	CHECK(library != NULL);
	*(void **)&pin = dlsym(library, "pinner_pin");
	*(void **)&release = dlsym(library, "pinner_release");
	*(void **)&thread = dlsym(library, "pinner_thread");
	CHECK(pin && release && thread);
	CHECK(pin(target_cpu(0)) == 0);
	CHECK(release(target_all_cpus()) == 0);
	CHECK(thread() == 0);
	CHECK(dlclose(library) == 0);
	CHECK(dlopen(path, RTLD_NOW | RTLD_NOLOAD) == NULL);
}

int main(int argc, char **argv)
{
	long rounds = target_arg(argc, argv, 1, 3);
	char path[PATH_MAX + 32];

	target_cpu(1);
	library_path(path, sizeof(path));
	for (long i = 0; i < rounds; i++) {
		void *between = i % 2 ? dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL) : NULL;

		one_round(path);
		if (between)
			dlclose(between);
	}
	printf("%ld loads\n", rounds);
	return 0;
}
