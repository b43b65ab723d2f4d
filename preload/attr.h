/* SPDX-License-Identifier: MIT
 *
 * Thread attributes: which mask a thread will be born with, where that mask was
 * decided, and how large its stack can be.
 */
#ifndef PINW_ATTR_H
#define PINW_ATTR_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The mask that threads made with `attr` (NULL: the process's default) are born with. False when it carries none. */
bool pinw_attr_mask(const pthread_attr_t *attr, uint64_t *ret_mask);

/* The site of the pthread_attr_setaffinity_np call that put `mask` there, 0 when it is not remembered. */
uint32_t pinw_attr_site(const pthread_attr_t *attr, const uint64_t *mask);

/* Bytes of stack that threads made with `attr` get, as far as the attribute says. */
size_t pinw_attr_stack(const pthread_attr_t *attr);

#endif
