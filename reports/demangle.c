/* SPDX-License-Identifier: MIT */
#include "reports/demangle.h"

#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>

/* A mangled name can grow exponentially; longer ones are shown as they are. */
#define MANGLED_MAX 4096u
#define READABLE_MAX 65536u

char *pinw_demangle(const char *name)
{
	char *readable;

	/* libiberty's "auto" would also take C names for those of Java, Ada or D. */
	if (strncmp(name, "_Z", 2) != 0 && strncmp(name, "_R", 2) != 0)
		return NULL;
	if (strnlen(name, MANGLED_MAX + 1) > MANGLED_MAX)
		return NULL;
	readable = rust_demangle(name, DMGL_PARAMS | DMGL_ANSI);
	if (!readable && name[1] == 'Z')
		readable = cplus_demangle_v3(name, DMGL_PARAMS | DMGL_ANSI);
	if (readable && strnlen(readable, READABLE_MAX + 1) > READABLE_MAX) {
		free(readable);
		readable = NULL;
	}
	return readable;
}
