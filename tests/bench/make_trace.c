/* SPDX-License-Identifier: MIT
 *
 * Writes a trace with COUNT events, to time reports on:
 *
 *   make_trace threads|lives|creates|pins|sites|lanes COUNT FILE [PROGRAM]
 *
 * threads: each created, started, exited pinned or not, and joined: four events a thread
 * lives:   each created and exited: two events a thread
 * creates: nothing but threads created and never seen again: the most memory COUNT events can ask for
 * pins:    eight threads that pin and release themselves by turns
 * sites:   the same at 10,000 stacks, where the others have 200
 * lanes:   500 threads that pin and release themselves by turns
 *
 * Stacks have 16 frames, in PROGRAM or in one that there is not.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/trace_builder.h"

#define SITES 200u
#define MANY_SITES 10000u

static void add_sites(struct pinw_builder *b, uint32_t count, const char *program)
{
	pinw_builder_module(b, 1, program);
	for (uint32_t id = 1; id <= count; id++) {
		uint64_t offsets[16];
		for (unsigned i = 0; i < 16; i++)
			offsets[i] = 0x1000 + id * 0x10 + i * 0x1000;
		pinw_builder_site(b, id, 1, offsets, 16, 0);
	}
}

static void tell_threads(struct pinw_builder *b, unsigned long events)
{
	for (uint32_t i = 0; i < events / 4; i++) {
		uint64_t now = (uint64_t)i * 10000;
		uint32_t thread = i + 2, site = 1 + i % SITES;
		pinw_builder_create(b, now, 1, site, thread, 0);
		if (i % 10 == 0) {
			pinw_builder_start(b, now + 2000, thread, PINW_ORIGIN_BORN, site, 1, 1);
			pinw_builder_exit_pinned(b, now + 5000, thread, PINW_ORIGIN_BORN, site, 1, 3000);
		} else {
			pinw_builder_start(b, now + 2000, thread, PINW_ORIGIN_NONE, 0, 0, 0xf);
			pinw_builder_exit(b, now + 5000, thread, PINW_EXIT_RETURN, 0xf);
		}
		pinw_builder_join(b, now + 8000, 1, thread);
	}
}

static void tell_pins(struct pinw_builder *b, unsigned long events, uint32_t sites)
{
	for (uint32_t i = 0; i < events; i++) {
		uint32_t thread = 1 + i / 2 % 8;
		pinw_builder_pin(b, (uint64_t)i * 1000, thread, thread, 1 + i / 2 % sites,
		                 i % 2 ? PINW_EFFECT_RELEASE : PINW_EFFECT_OPEN,
		                 i % 2 ? 0xf : 1u << i / 2 % 4);
	}
}

static void tell_lanes(struct pinw_builder *b, unsigned long events)
{
	for (uint32_t thread = 2; thread <= 501; thread++) {
		pinw_builder_create(b, thread, 1, 1 + thread % SITES, thread, 0);
		pinw_builder_start(b, thread + 1u, thread, PINW_ORIGIN_NONE, 0, 0, 0xf);
	}
	for (uint32_t i = 0; i < events; i++) {
		uint32_t turn = i / 1000, thread = 2 + i / 2 % 500;
		pinw_builder_pin(b, (uint64_t)turn * 10000000 + thread * 10000 + i % 2 * 5000000, thread,
		                 thread, 1 + thread % SITES, i % 2 ? PINW_EFFECT_RELEASE : PINW_EFFECT_OPEN,
		                 i % 2 ? 0xf : 1u << thread % 4);
	}
}

static void tell_lives(struct pinw_builder *b, unsigned long events)
{
	for (uint32_t i = 0; i < events / 2; i++) {
		pinw_builder_create(b, (uint64_t)i * 10000, 1, 1 + i % SITES, i + 2, 0);
		pinw_builder_exit(b, (uint64_t)i * 10000 + 5000, i + 2, PINW_EXIT_RETURN, 0xf);
	}
}

static void tell_creates(struct pinw_builder *b, unsigned long events)
{
	for (uint32_t i = 0; i < events; i++)
		pinw_builder_create(b, (uint64_t)i * 1000, 1, 1 + i % SITES, i + 2, 0);
}

static int tell(struct pinw_builder *b, const char *kind, unsigned long events)
{
	if (strcmp(kind, "threads") == 0)
		tell_threads(b, events);
	else if (strcmp(kind, "lives") == 0)
		tell_lives(b, events);
	else if (strcmp(kind, "creates") == 0)
		tell_creates(b, events);
	else if (strcmp(kind, "pins") == 0)
		tell_pins(b, events, SITES);
	else if (strcmp(kind, "sites") == 0)
		tell_pins(b, events, MANY_SITES);
	else if (strcmp(kind, "lanes") == 0)
		tell_lanes(b, events);
	else
		return -EINVAL;
	return 0;
}

int main(int argc, char **argv)
{
	struct pinw_builder b;
	unsigned long events = argc >= 4 && argc <= 5 ? strtoul(argv[2], NULL, 10) : 0;

	pinw_builder_init(&b, 1);
	if (events == 0 || tell(&b, argv[1], events) < 0) {
		fprintf(stderr, "usage: %s threads|lives|creates|pins|sites|lanes COUNT FILE [PROGRAM]\n",
		        argv[0]);
		return 2;
	}
	add_sites(&b, strcmp(argv[1], "sites") == 0 ? MANY_SITES : SITES,
	          argc > 4 ? argv[4] : "/usr/bin/story");
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 0xf);
	pinw_builder_end(&b, PINW_END_EXIT, 0, (uint64_t)events * 10000);
	int error = pinw_builder_write(&b, argv[3]);
	if (error < 0)
		fprintf(stderr, "%s: %s\n", argv[3], strerror(-error));
	pinw_builder_done(&b);
	return error < 0;
}
