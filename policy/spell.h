/* SPDX-License-Identifier: MIT
 *
 * How a function's symbol can be spelled in a policy: as the compiler wrote it, without
 * the suffix of a clone (".constprop.0"), and demangled (C++, Rust) with and without
 * parameters. Pure, no malloc; the demangler is libiberty's, which needs up to 100 KiB of stack for the
 * longest names it takes: call it on a large stack.
 */
#ifndef PINW_POLICY_SPELL_H
#define PINW_POLICY_SPELL_H

#include <stddef.h>

#define PINW_SPELLINGS_MAX 4u

/* Fills `ret` with the spellings of `symbol`, different from each other, the symbol itself first; texts are in `buf`. What
 * does not fit is left out. Returns how many. */
unsigned pinw_spell(const char *symbol, char *buf, size_t size, const char *ret[PINW_SPELLINGS_MAX]);

#endif
