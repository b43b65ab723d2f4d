/* SPDX-License-Identifier: MIT
 *
 * Readable names for C++ and Rust symbols.
 */
#ifndef PINW_REPORTS_DEMANGLE_H
#define PINW_REPORTS_DEMANGLE_H

/* Returns the readable form of a mangled C++ or Rust name, which the caller frees; NULL when the name is
 * not mangled, is too long to be worth it, or memory is short. Rust's hash suffix is left out. */
char *pinw_demangle(const char *name);

#endif
