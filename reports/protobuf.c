/* SPDX-License-Identifier: MIT */
#include "reports/protobuf.h"

#include <stdlib.h>
#include <string.h>

enum wire { WIRE_VARINT = 0, WIRE_BYTES = 2 };

#define VARINT_MAX 10u

static bool reserve(struct pinw_pb *pb, size_t more)
{
	if (pb->failed)
		return false;
	if (pb->len + more <= pb->room)
		return true;
	size_t room = (pb->len + more) * 2;
	unsigned char *grown = realloc(pb->bytes, room);
	if (!grown) {
		pb->failed = true;
		return false;
	}
	pb->bytes = grown;
	pb->room = room;
	return true;
}

static void put_varint(struct pinw_pb *pb, uint64_t value)
{
	if (!reserve(pb, VARINT_MAX))
		return;
	for (; value >= 0x80; value >>= 7)
		pb->bytes[pb->len++] = (unsigned char)(value | 0x80);
	pb->bytes[pb->len++] = (unsigned char)value;
}

static void put_bytes(struct pinw_pb *pb, unsigned field, const void *bytes, size_t len)
{
	put_varint(pb, field << 3 | WIRE_BYTES);
	put_varint(pb, len);
	if (len == 0 || !reserve(pb, len))
		return;
	memcpy(pb->bytes + pb->len, bytes, len);
	pb->len += len;
}

void pinw_pb_reset(struct pinw_pb *pb)
{
	pb->len = 0;
}

void pinw_pb_done(struct pinw_pb *pb)
{
	free(pb->bytes);
	*pb = (struct pinw_pb){0};
}

void pinw_pb_element(struct pinw_pb *pb, unsigned field, uint64_t value)
{
	put_varint(pb, field << 3 | WIRE_VARINT);
	put_varint(pb, value);
}

void pinw_pb_number(struct pinw_pb *pb, unsigned field, uint64_t value)
{
	if (value)
		pinw_pb_element(pb, field, value);
}

static size_t varint_bytes(uint64_t value)
{
	size_t bytes = 1;

	while (value >>= 7)
		bytes++;
	return bytes;
}

void pinw_pb_numbers(struct pinw_pb *pb, unsigned field, const uint64_t *values, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += varint_bytes(values[i]);
	put_varint(pb, field << 3 | WIRE_BYTES);
	put_varint(pb, bytes);
	for (size_t i = 0; i < count; i++)
		put_varint(pb, values[i]);
}

void pinw_pb_text(struct pinw_pb *pb, unsigned field, const char *text)
{
	put_bytes(pb, field, text, strlen(text));
}

void pinw_pb_message(struct pinw_pb *pb, unsigned field, const struct pinw_pb *inner)
{
	pb->failed = pb->failed || inner->failed;
	put_bytes(pb, field, inner->bytes, inner->len);
}
