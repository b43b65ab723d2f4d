/* SPDX-License-Identifier: MIT
 *
 * How a function's symbol can be spelled in a policy: as the compiler wrote it, without
 * the suffix of a clone (".constprop.0"), and demangled (C++, Rust) with and without
 * parameters. Names of Go's ("net/http.(*conn).serve.func1"): a closure as the function it is written in, without the
 * package's path ("http.(*conn).serve"), without the package ("(*conn).serve"), and the function alone ("serve");
 * those of the runtime, which are on every stack, only as they are. Pure, no malloc; the demangler is libiberty's, which on the worst of the names that it is given needs nearly
 * PINW_SPELL_STACK bytes of stack (430 for each byte of nested pointers): call it on a large one.
 */
#ifndef PINW_POLICY_SPELL_H
#define PINW_POLICY_SPELL_H

#include <stddef.h>

#define PINW_SPELLINGS_MAX 5u
#define PINW_SPELL_STACK (448u << 10)

/* Fills `ret` with the spellings of `symbol`, different from each other, the symbol itself first; texts are in `buf`. What
 * does not fit is left out, as are the demangled forms of symbols over 1,024 bytes and of Rust names outside ASCII. Returns how many. */
unsigned pinw_spell(const char *symbol, char *buf, size_t size, const char *ret[PINW_SPELLINGS_MAX]);

#endif
