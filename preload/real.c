/* SPDX-License-Identifier: MIT */
#include "preload/real.h"

#include <dlfcn.h>

struct pinw_real pinw_real;
long (*pinw_real_syscall)(long, ...);
int (*pinw_real_clone)(int (*)(void *), void *, int, void *, ...);

/* The next definition after ours. Without a version first: another preload or a sanitizer behind us defines the
 * name without one, and asking for the C library's would pass it by (a thread that ThreadSanitizer did not see
 * made crashes). On the C library we know neither call fails with a message, which it would allocate. */
static void *next_symbol(const char *name, const char *version)
{
	void *p = dlsym(RTLD_NEXT, name);

	return p ? p : dlvsym(RTLD_NEXT, name, version);
}

unsigned pinw_real_resolve(unsigned *ret_first)
{
	unsigned missing = 0, index = 0, first = 0;

#define X(type, name, version, params)                                                                       \
	*(void **)&pinw_real.name = next_symbol(#name, version);                                             \
	if (!pinw_real.name && !missing++)                                                                   \
		first = index;                                                                               \
	index++;
	PINW_INTERPOSED(X)
#undef X
	*(void **)&pinw_real_syscall = next_symbol("syscall", "GLIBC_2.2.5");
	*(void **)&pinw_real_clone = next_symbol("clone", "GLIBC_2.2.5");
	if (missing && ret_first)
		*ret_first = first;
	return missing;
}
