/* SPDX-License-Identifier: MIT */
#include "tests/trace_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "preload/trace.h"

void bench(unsigned words, uint64_t max_bytes)
{
	uint64_t baseline[PINW_MASK_WORDS_MAX];

	memset(baseline, 0xff, sizeof(baseline));
	pinw_rig_bench(words, baseline, max_bytes);
}

void write_notes(uint32_t first, uint32_t count)
{
	struct pinw_rec_note note = {.e = {.thread = 1}, .code = PINW_NOTE_CHROOT};

	for (uint32_t i = 0; i < count; i++) {
		note.e.site = first + i;
		pinw_trace_event(PINW_REC_NOTE, &note, sizeof(note), NULL, 0);
	}
}

uint64_t write_until_dropped(void)
{
	uint64_t attempts = 0;

	while (!counters()->events_dropped) {
		write_notes((uint32_t)attempts, 1);
		cr_assert_lt(attempts++, 10000000, "nothing is ever dropped");
	}
	return attempts;
}

void read_all(struct pinw_rig_seen *seen)
{
	pinw_rig_read(NULL, NULL, NULL, seen);
	cr_expect_eq(seen->problems, 0, "%s", seen->problem);
}

int open_new(const char *name, uint64_t max_bytes)
{
	static struct pinw_trace_setup setup;
	struct pinw_trace_live *live = NULL;

	memset(&setup, 0, sizeof(setup));
	snprintf(setup.path, sizeof(setup.path), "%s", pinw_rig_path(name));
	setup.fd = open(setup.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	cr_assert_geq(setup.fd, 0);
	setup.max_bytes = max_bytes;
	setup.header.mask_words = 1;
	int r = pinw_trace_open(&setup, &live);
	cr_expect_eq(live == NULL, r < 0);
	cr_expect_eq(fcntl(setup.fd, F_GETFD), -1, "the descriptor is consumed in any case");
	return r;
}
