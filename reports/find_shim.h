/* SPDX-License-Identifier: MIT
 *
 * Where libpinwarden.so is, and how LD_PRELOAD names it.
 */
#ifndef PINW_REPORTS_FIND_SHIM_H
#define PINW_REPORTS_FIND_SHIM_H

#include <stddef.h>

/* Finds the shim for a program in `program_dir`: beside it, else in ../lib from there, else in
 * `installed_dir`. `ret_path` is absolute and the caller's. Returns 0, -ENOMEM, -ENOENT (nowhere), -EINVAL
 * (its path cannot stand in LD_PRELOAD) or -ENOEXEC (the file found is no shared library); `why` then says
 * what to do. */
int pinw_find_shim(const char *program_dir, const char *installed_dir, char **ret_path, char *why,
                   size_t why_len);

/* The directory of the running program, the caller's to free. Returns 0 or -errno. */
int pinw_find_own_dir(char **ret_dir);

/* The value for LD_PRELOAD: the shim first, then what was there, without the shim. NULL: out of memory. */
char *pinw_preload_value(const char *shim, const char *existing);

#endif
