/* SPDX-License-Identifier: MIT
 *
 * The trace's file by its name: no descriptor of ours stays open in a host, which may close and reuse any number. errno is never
 * touched.
 */
#ifndef PINW_TRACE_FILE_H
#define PINW_TRACE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/trace_format.h"

#define PINW_TRACE_HIGH_FD 512 /* programs do not count on numbers from here on */
#define PINW_TRACE_PIECE (64u << 10) /* written at once */

struct pinw_trace_file {
	char path[PINW_PATH_MAX];
	uint64_t dev, ino; /* what must stand there */
};

/* Is this descriptor open on our file? Asked again before each use: the program may close and reuse any number. */
bool pinw_trace_file_is(const struct pinw_trace_file *file, int fd);

/* Writes zeros over [from, from + bytes): space is taken now, or the error is told now. Returns 0 or -errno. Writing beats
 * posix_fallocate here: the pages it leaves in the cache make the later write faults six times cheaper. */
int pinw_trace_file_write_zeros(const struct pinw_trace_file *file, int fd, uint64_t from, uint64_t bytes);

/* Opens the file again, on a number that programs do not count on. Returns a descriptor or -errno. Whether another file
 * stands in its place is asked first: afterwards a descriptor that is not ours is one the program put there. */
int pinw_trace_file_reopen(const struct pinw_trace_file *file);

#endif
