/* SPDX-License-Identifier: MIT
 *
 * Shows: how many libraries with static TLS can still be loaded: tls_room LIBRARY COPIES. Loads COPIES copies of it, one
 * after the other, until dlopen says there is no room. Fact: "loaded".
 */
#include "tests/targets/common/common.h"
#include "tests/faults/wander.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static void copy(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC),
	    out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	struct stat st;

	CHECK(in >= 0 && out >= 0 && fstat(in, &st) == 0);
	CHECK(sendfile(out, in, NULL, (size_t)st.st_size) == st.st_size);
	CHECK(close(in) == 0 && close(out) == 0);
}

int main(int argc, char **argv)
{
	long copies = target_arg(argc, argv, 2, 100), loaded = 0;

	CHECK(argc > 1);
	for (; loaded < copies; loaded++) {
		char name[64];

		snprintf(name, sizeof(name), "./tls-%ld.so", loaded);
		copy(argv[1], name);
		if (!dlopen(name, RTLD_NOW | RTLD_LOCAL))
			break;
	}
	CHECK(loaded < copies);
	say_fact("loaded", loaded);
	return 0;
}
