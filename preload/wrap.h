/* SPDX-License-Identifier: MIT
 *
 * Shared by the wrap_*.c files. A wrapper keeps its function's contract: its way
 * to return errors, errno, cancellation and signal safety. Its body goes: enter, decide,
 * call the real function, save errno, record, restore errno, return.
 */
#ifndef PINW_WRAP_H
#define PINW_WRAP_H

#include <errno.h>

/* Wrappers are called by their exported names, from other objects: no header declares them. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* Exports the function under a versioned name: "name@@VERSION" is the default, "name@VERSION" an older one. Its
 * own name stays inside the shim. */
#define PINW_WRAPPER(versioned) __attribute__((visibility("default"), used, PINW_SYMVER(versioned)))

#ifdef __clang__ /* which only lints the shim: it does not know the attribute */
#	define PINW_SYMVER(versioned) used
#else
#	define PINW_SYMVER(versioned) symver(versioned)
#endif

/* The same function under an older version as well (one symbol holds one version). */
#define PINW_ALSO(function, tag, versioned)                                                                  \
	extern __typeof__(function) function##_##tag                                                         \
	    __attribute__((alias(#function), visibility("default"), used, PINW_SYMVER(versioned)))

/* What a function that this C library does not have returns. */
static inline int pinw_missing(void)
{
	errno = ENOSYS;
	return -1;
}

#endif
