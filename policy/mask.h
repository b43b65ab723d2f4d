/* SPDX-License-Identifier: MIT
 *
 * CPU masks of any size, as arrays of 64-bit words; bit c of word c / 64 is CPU c.
 * Pure: no allocation, no errno, no limit but the caller's arrays. Every function
 * takes the number of words; `words` may be 0 unless said otherwise.
 */
#ifndef PINW_POLICY_MASK_H
#define PINW_POLICY_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies what the kernel would take from a caller's mask of `cpusetsize` bytes:
 * a longer one is cut, a shorter one is filled with zeros (sched_setaffinity(2),
 * "C library/kernel differences"). `src` is read byte by byte up to cpusetsize. */
void pinw_mask_load(uint64_t *dst, unsigned words, const void *src, size_t cpusetsize);

void pinw_mask_copy(uint64_t *dst, const uint64_t *src, unsigned words);
bool pinw_mask_equal(const uint64_t *a, const uint64_t *b, unsigned words);
bool pinw_mask_empty(const uint64_t *m, unsigned words);

/* Every CPU of `a` is in `b`. */
bool pinw_mask_subset(const uint64_t *a, const uint64_t *b, unsigned words);

/* Number of CPUs: the pin width. */
unsigned pinw_mask_width(const uint64_t *m, unsigned words);

/* 1 + the only CPU of a mask, 0 when it holds none or several. */
uint32_t pinw_mask_single(const uint64_t *m, unsigned words);

/* Is a thread on `mask` pinned, given the process's baseline? It is when the mask
 * does not cover the baseline; on a baseline of one CPU nothing is a pin. */
bool pinw_mask_is_pin(const uint64_t *mask, const uint64_t *baseline, unsigned words);

/* Writes a CPU list such as "0-3,8" ("none" when empty), always NUL terminated, cut with a
 * final "..." when `len` is too small. Returns the length written. Needs len >= 8. */
size_t pinw_mask_print(char *buf, size_t len, const uint64_t *m, unsigned words);

/* Reads a CPU list such as "0-3,8". Returns 0, -EINVAL (not a list, empty, reversed
 * range) or -ERANGE (a CPU that does not fit in `words`). `ret_mask` is untouched on error;
 * `ret_bad`, when not NULL, is set on error to the first character not understood. */
int pinw_mask_parse(const char *text, uint64_t *ret_mask, unsigned words, const char **ret_bad);

#endif
