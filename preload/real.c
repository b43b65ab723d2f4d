/* SPDX-License-Identifier: MIT */
#include "preload/real.h"

#include <dlfcn.h>

struct pinw_real pinw_real;
long (*pinw_real_syscall)(long, ...);
int (*pinw_real_clone)(int (*)(void *), void *, int, void *, ...);

/* The next definition after ours. The version keeps dlvsym from ever failing
 * with a message, which it would allocate, on the C library we know; an older or
 * newer one may still know the name under another version. */
static void *next_symbol(const char *name, const char *version)
{
	void *p = dlvsym(RTLD_NEXT, name, version);

	return p ? p : dlsym(RTLD_NEXT, name);
}

unsigned pinw_real_resolve(unsigned *ret_first)
{
	unsigned missing = 0, index = 0, first = 0;

#define X(type, name, version, params)                                                                        \
	*(void **)&pinw_real.name = next_symbol(#name, version);                                              \
	if (!pinw_real.name && !missing++)                                                                    \
		first = index;                                                                                \
	index++;
	PINW_INTERPOSED(X)
#undef X
	*(void **)&pinw_real_syscall = next_symbol("syscall", "GLIBC_2.2.5");
	*(void **)&pinw_real_clone = next_symbol("clone", "GLIBC_2.2.5");
	if (missing && ret_first)
		*ret_first = first;
	return missing;
}
