/* SPDX-License-Identifier: MIT
 *
 * Function names inside the host, for log lines and for what a policy says of
 * functions: reads an object's symbol tables from its file (.symtab and .dynsym; when it has no
 * .symtab, that of its separate debug file) and Go's own table of functions, without allocation.
 * Every offset in a file is checked. Names are raw (mangled), without the version that linkers
 * append ("@@GLIBC_2.34").
 */
#ifndef PINW_ELFSYM_H
#define PINW_ELFSYM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PINW_BUILD_ID_MAX 32u

/* Copies the name of the function that covers `address` (relative to the load bias) in the object at `path`, cut to
 * size - 1 bytes, and its distance from the function's start. Of several names a global one is preferred: it is what
 * its author called it. Returns 0 or -errno (-ENOENT: no symbol covers it). */
int pinw_elfsym_name(const char *path, uint64_t address, char *name, size_t size, uint64_t *ret_offset);

/* A question about one address of an object. */
struct pinw_elfsym_ask {
	uint64_t address; /* in: relative to the load bias */
	uint32_t key; /* in: the asker's own */
	bool found; /* out: some function covers the address; ... */
	uint64_t start; /* ... out: where the nearest one starts */
};

/* One name of the function that an ask found: `len` bytes, no NUL after them. */
typedef void pinw_elfsym_fn(void *arg, const struct pinw_elfsym_ask *ask, const char *name, size_t len,
                            bool is_global);

/* An object's file, and the build id that it must have: `build_id_len` 0 = any. */
struct pinw_elfsym_object {
	const char *path;
	const uint8_t *build_id;
	unsigned build_id_len;
};

/* Answers many asks (which it sorts by address) in one reading of the object: calls `fn` for every name that starts where
 * the nearest function covering the address does, so aliases too; a name in both tables comes twice. Returns 0 or
 * -errno: -ESTALE when the file is another build than the object, else what kept it from being read. A file
 * without symbols answers nothing, and that is 0. */
int pinw_elfsym_each(const struct pinw_elfsym_object *object, struct pinw_elfsym_ask *asks, unsigned count,
                     pinw_elfsym_fn *fn, void *arg);

/* Opens Go's own table in the file at `path` and calls `fn` once with it, whose names are there until it returns. Returns 0 or
 * -errno (-ENOENT: there is none). */
struct pinw_goelf;
int pinw_elfsym_go(const char *path, void (*fn)(struct pinw_goelf *go, void *arg), void *arg);

/* The GNU build id in a segment or section of notes. Returns its length (cut to PINW_BUILD_ID_MAX), 0 if none. */
unsigned pinw_elfsym_build_id(const char *notes, size_t bytes, uint8_t ret_id[PINW_BUILD_ID_MAX]);

/* Where separate debug files are: "/usr/lib/debug". Tests have one of their own. */
extern const char *pinw_elfsym_debug_root;

#endif
