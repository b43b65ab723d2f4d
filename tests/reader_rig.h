/* SPDX-License-Identifier: MIT
 *
 * Traces in memory for tests of the reader, and what it delivers of them. What cannot be opened
 * or put in memory fails the test.
 */
#ifndef PINW_TESTS_READER_RIG_H
#define PINW_TESTS_READER_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reports/reader.h"
#include "tests/trace_builder.h"

/* What a walk delivered. */
struct seen {
	unsigned records[256];
	unsigned all;
	unsigned slots;
	unsigned rules;
	uint64_t violations; /* in the cells of all rules */
	uint64_t mask_sum; /* first words of every mask */
	unsigned frames;
	char text[PINW_PATH_MAX + 1]; /* last path */
	bool meta_before_event;
	bool meta_before_slot;
	bool slot_before_event;
};

/* For pinw_reader_walk: each books in a struct seen what it is shown. */
void see_record(void *arg, const struct pinw_read_record *rec);
void see_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask);

/* A story with every record type in it, on two-word masks. */
void tell_every_record(struct pinw_builder *b);

/* A reader of an image, or NULL and the reader's error. The caller frees it. */
struct pinw_reader *open_bytes(const void *data, size_t bytes, int *ret_error);

/* Reads an image; returns how many problems it had, of which the first goes to `first`. `tally` and
 * `first` may be NULL. */
uint64_t walk_bytes(const void *data, size_t bytes, struct seen *seen, struct pinw_reader_tally *tally,
                    struct pinw_problem *first);

/* Where the first segment of a kind starts in an image. */
size_t segment_at(const unsigned char *image, size_t bytes, uint32_t kind);

#endif
