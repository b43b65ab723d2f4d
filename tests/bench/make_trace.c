/* SPDX-License-Identifier: MIT
 *
 * Writes a trace with COUNT events, to time reports on:
 *
 *   make_trace threads|pins|creates|lanes COUNT FILE
 *
 * threads: each created, started, exited pinned or not, and joined: four events a thread
 * pins:    eight threads that pin and release themselves by turns
 * lanes:   500 threads that pin and release themselves by turns
 * creates: nothing but threads created and never seen again: the most memory COUNT events can ask for
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/trace_builder.h"

#define SITES 200u

static void add_sites(struct pinw_builder *b)
{
	pinw_builder_module(b, 1, "/usr/bin/story");
	for (uint32_t id = 1; id <= SITES; id++) {
		uint64_t offsets[16];
		for (unsigned i = 0; i < 16; i++)
			offsets[i] = 0x1000 + id * 0x100 + i * 0x10;
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

static void tell_pins(struct pinw_builder *b, unsigned long events)
{
	for (uint32_t i = 0; i < events; i++) {
		uint32_t thread = 1 + i / 2 % 8;
		pinw_builder_pin(b, (uint64_t)i * 1000, thread, thread, 1 + i / 2 % SITES,
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

static void tell_creates(struct pinw_builder *b, unsigned long events)
{
	for (uint32_t i = 0; i < events; i++)
		pinw_builder_create(b, (uint64_t)i * 1000, 1, 1 + i % SITES, i + 2, 0);
}

int main(int argc, char **argv)
{
	struct pinw_builder b;
	unsigned long events = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;

	if (events == 0) {
		fprintf(stderr, "usage: %s threads|pins|creates|lanes COUNT FILE\n", argv[0]);
		return 2;
	}
	pinw_builder_init(&b, 1);
	add_sites(&b);
	if (strcmp(argv[1], "pins") == 0)
		tell_pins(&b, events);
	else if (strcmp(argv[1], "creates") == 0)
		tell_creates(&b, events);
	else if (strcmp(argv[1], "lanes") == 0)
		tell_lanes(&b, events);
	else
		tell_threads(&b, events);
	pinw_builder_slot(&b, 1, PINW_SLOT_RUNNING, 0xf);
	pinw_builder_end(&b, PINW_END_EXIT, 0, (uint64_t)events * 10000);
	int error = pinw_builder_write(&b, argv[3]);
	if (error < 0)
		fprintf(stderr, "%s: %s\n", argv[3], strerror(-error));
	pinw_builder_done(&b);
	return error < 0;
}
