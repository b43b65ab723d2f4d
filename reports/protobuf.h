/* SPDX-License-Identifier: MIT
 *
 * Writes messages in the protocol buffers' wire format. Fields that are 0 or empty are left out, as proto3 has it, but for
 * elements of a repeated field. What does not fit into memory is remembered in `failed`, and the rest ignored.
 */
#ifndef PINW_REPORTS_PROTOBUF_H
#define PINW_REPORTS_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message, or several one after another. All zero is empty. */
struct pinw_pb {
	unsigned char *bytes;
	size_t len, room;
	bool failed;
};

/* Empties it and keeps the memory; frees it. */
void pinw_pb_reset(struct pinw_pb *pb);
void pinw_pb_done(struct pinw_pb *pb);

void pinw_pb_number(struct pinw_pb *pb, unsigned field, uint64_t value);
void pinw_pb_numbers(struct pinw_pb *pb, unsigned field, const uint64_t *values, size_t count);

/* Elements of a repeated field: also when empty. */
void pinw_pb_text(struct pinw_pb *pb, unsigned field, const char *text);
void pinw_pb_element(struct pinw_pb *pb, unsigned field, uint64_t value);
void pinw_pb_message(struct pinw_pb *pb, unsigned field, const struct pinw_pb *inner);

#endif
