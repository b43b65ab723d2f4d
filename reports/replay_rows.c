/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reports/model_private.h"

/* ---- rows ------------------------------------------------------------------------ */

/* Returns NULL for thread 0 (not a known thread) and when out of memory. */
struct pinw_thread *pinw_replay_thread(struct pinw_replay *c, uint32_t id)
{
	bool new;

	if (id == 0)
		return NULL;
	if (c->last_thread && c->last_thread->id == id)
		return c->last_thread;
	struct pinw_thread *t = pinw_table_get(&c->p->threads, id, &new);
	if (!t) {
		c->out_of_memory = true;
		return NULL;
	}
	if (new) {
		t->id = id;
		t->flags = id == 1 ? PINW_THREAD_MAIN : 0;
		t->created_ns = t->started_ns = t->ended_ns = PINW_TIME_UNKNOWN;
		t->lock = &pinw_no_golock;
	}
	return c->last_thread = t;
}

/* Returns NULL for site 0 and when out of memory. */
struct pinw_site *pinw_replay_site(struct pinw_replay *c, uint32_t id, uint32_t use)
{
	bool new;

	if (id == 0)
		return NULL;
	struct pinw_site *s = pinw_table_get(&c->p->sites, id, &new);
	if (!s) {
		c->out_of_memory = true;
		return NULL;
	}
	s->id = id;
	s->uses |= use;
	return s;
}

struct pinw_pin_site *pinw_replay_pin_site(struct pinw_replay *c, uint32_t site, uint8_t origin)
{
	bool new;
	struct pinw_pin_site *s = pinw_table_get(&c->p->pin_sites, (uint64_t)site << 8 | origin, &new);

	if (!s) {
		c->out_of_memory = true;
		return NULL;
	}
	s->site = site;
	s->origin = origin;
	return s;
}

/* Number of an equal mask kept once, 0 when out of memory. Another mask with the same hash takes the next key. */
uint32_t pinw_replay_mask(struct pinw_replay *c, const uint64_t *mask)
{
	uint32_t words = c->p->header.mask_words;

	for (uint64_t key = pinw_table_hash(mask, words * sizeof(*mask));; key++) {
		bool new;
		uint64_t *row = pinw_table_get(&c->p->masks, key, &new);
		if (!row) {
			c->out_of_memory = true;
			return 0;
		}
		if (new) {
			memcpy(row + 1, mask, words * sizeof(*mask));
			row[0] = c->p->masks.count;
		}
		if (memcmp(row + 1, mask, words * sizeof(*mask)) == 0)
			return (uint32_t)row[0];
	}
}

int pinw_frames_append(struct pinw_process *p, struct pinw_site *s, const struct pinw_rec_frame *frames,
                       size_t count)
{
	if (count == 0)
		return 0;
	if (p->frame_count > UINT32_MAX - PINW_FRAMES_MAX)
		return -ENOMEM;
	if (p->frame_count + count > p->frame_room) {
		size_t room = p->frame_room ? p->frame_room * 2 : 256;
		struct pinw_rec_frame *grown = realloc(p->frames, room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		p->frames = grown;
		p->frame_room = room;
	}
	memcpy(p->frames + p->frame_count, frames, count * sizeof(*frames));
	s->first_frame = (uint32_t)p->frame_count;
	s->frame_count = (uint16_t)count;
	p->frame_count += count;
	return 0;
}

/* ---- pins ------------------------------------------------------------------------ */

uint64_t pinw_since(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

void pinw_replay_book_hold(struct pinw_pin_site *s, uint64_t held_ns)
{
	if (held_ns > s->held_max_ns)
		s->held_max_ns = held_ns;
	s->held_sum_ns += held_ns;
	s->held_count++;
}

void pinw_replay_open_pin(struct pinw_replay *c, struct pinw_thread *t, struct pinw_pin pin)
{
	struct pinw_pin_site *s = pinw_replay_pin_site(c, pin.site, pin.origin);

	if (pin.depth == 0)
		pin.depth = 1;
	pin.mask = t->mask;
	pinw_history_pin(c->p, t, PINW_SPAN_UNSEEN, PINW_TIME_UNKNOWN);
	t->pin = pin;
	t->pins_opened++;
	pinw_replay_golock_on_cpus(c, t);
	if (s)
		s->opened++;
}

void pinw_replay_release_pin(struct pinw_replay *c, struct pinw_thread *t, uint64_t now)
{
	if (t->pin.depth == 0)
		return;
	struct pinw_pin_site *s = pinw_replay_pin_site(c, t->pin.site, t->pin.origin);
	if (s) {
		s->released++;
		pinw_replay_book_hold(s, pinw_since(now, t->pin.since_ns));
	}
	pinw_history_pin(c->p, t, PINW_SPAN_RELEASED, now);
	t->pin = (struct pinw_pin){0};
}

void pinw_replay_effect(struct pinw_replay *c, struct pinw_thread *t, unsigned effect, struct pinw_pin pin)
{
	switch (effect) {
	case PINW_EFFECT_OPEN:
		pinw_replay_open_pin(c, t, pin);
		break;
	case PINW_EFFECT_NARROW:
	case PINW_EFFECT_MOVE:
		if (t->pin.depth == 0)
			pinw_replay_open_pin(c, t, pin); /* its opening was not recorded */
		else if (pin.depth)
			t->pin.depth = pin.depth;
		pinw_history_move(c->p, t, pin.since_ns);
		break;
	case PINW_EFFECT_RELEASE:
		pinw_replay_release_pin(c, t, pin.since_ns);
		break;
	default:
		break;
	}
}
