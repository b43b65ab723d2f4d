/* SPDX-License-Identifier: MIT
 *
 * Function names inside the host, for log lines only: reads an object's symbol table
 * from its file (.symtab, else .dynsym), without allocation. Every offset in the file is
 * checked. Names are raw (mangled); the `pinwarden` command demangles.
 */
#ifndef PINW_ELFSYM_H
#define PINW_ELFSYM_H

#include <stddef.h>
#include <stdint.h>

/* Copies the name of the function that covers `address` (relative to the load bias) in the object at `path`, cut to
 * size - 1 bytes, and its distance from the function's start. Returns 0 or -errno (-ENOENT: no symbol covers it). */
int pinw_elfsym_name(const char *path, uint64_t address, char *name, size_t size, uint64_t *ret_offset);

#endif
