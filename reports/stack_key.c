/* SPDX-License-Identifier: MIT */
#include "reports/stack_key.h"

#include <string.h>

#include "reports/report.h"

#define PRIME UINT64_C(0x100000001b3)

/* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/): the same in every run and on every machine. */
uint64_t pinw_key_bytes(uint64_t key, const void *data, size_t len)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++)
		key = (key ^ bytes[i]) * PRIME;
	return (key ^ 0xff) * PRIME; /* no byte of UTF-8 */
}

uint64_t pinw_key_text(uint64_t key, const char *text)
{
	return pinw_key_bytes(key, text, strlen(text));
}

uint64_t pinw_key_frames(uint64_t key, const struct pinw_frame *frames, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct pinw_frame *f = &frames[i];

		key = pinw_key_text(key, f->function ? f->function
		                         : f->module ? pinw_base_name(f->module)
		                                     : "generated code");
	}
	return key;
}
