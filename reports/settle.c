/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "reports/model_private.h"

/* ---- slots ------------------------------------------------------------------------ */

/* The slot is the newest word on a thread's pin, unless the thread's end was recorded: then it may only not
 * have been given back yet. */
static void take_pin(struct pinw_replay *c, struct pinw_thread *t, const struct pinw_slot *slot)
{
	if (t->exited && slot->state != PINW_SLOT_EXITED)
		return;
	if (slot->pin_depth == 0) {
		pinw_history_pin(c->p, t, PINW_SPAN_UNSEEN, PINW_TIME_UNKNOWN);
		t->pin = (struct pinw_pin){0};
		return;
	}
	/* Its times are read apart from those of the records. */
	bool same =
	    t->pin.depth && t->pin.site == slot->pin_site && t->pin.origin == (uint8_t)slot->pin_origin;
	if (!same)
		pinw_history_pin(c->p, t, PINW_SPAN_UNSEEN, PINW_TIME_UNKNOWN);
	struct pinw_pin_site *s = pinw_replay_pin_site(c, slot->pin_site, (uint8_t)slot->pin_origin);
	if (s && s->opened == 0)
		s->opened = 1; /* its event was dropped */
	t->pin =
	    (struct pinw_pin){.since_ns = slot->pin_since_ns,
	                      .site = slot->pin_site,
	                      .by = slot->pin_by,
	                      .mask = same ? t->pin.mask : t->mask,
	                      .depth = slot->pin_depth > UINT16_MAX ? UINT16_MAX : (uint16_t)slot->pin_depth,
	                      .origin = (uint8_t)slot->pin_origin};
	if (slot->pin_origin == PINW_ORIGIN_INHERITED && !t->inherited) {
		t->inherited = true;
		t->inherited_site = slot->pin_site;
	}
}

static void take_times(struct pinw_thread *t, const struct pinw_slot *slot)
{
	if (t->created_ns == PINW_TIME_UNKNOWN && slot->creator)
		t->created_ns = slot->create_ns;
	if (t->started_ns == PINW_TIME_UNKNOWN && slot->state >= PINW_SLOT_RUNNING)
		t->started_ns = slot->start_ns;
	if (slot->state != PINW_SLOT_EXITED)
		return;
	if (!t->exited) {
		t->ended_ns = slot->exit_ns;
		t->how = slot->exit_how == PINW_EXIT_RETURN         ? PINW_THOW_RETURN
		         : slot->exit_how == PINW_EXIT_PTHREAD_EXIT ? PINW_THOW_PTHREAD_EXIT
		         : slot->exit_how == PINW_EXIT_CANCEL       ? PINW_THOW_CANCEL
		                                                    : PINW_THOW_UNKNOWN;
	}
	t->exited = true;
}

/* Where no end was recorded, a process is known to have lived at least this long. */
static void note_time(struct pinw_process *p, uint64_t time_ns)
{
	if (time_ns > p->last_event_ns)
		p->last_event_ns = time_ns;
}

void pinw_replay_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	struct pinw_replay *c = arg;
	struct pinw_thread *t = pinw_replay_thread(c, slot->thread);

	if (!t)
		return;
	t->slot = true;
	t->flags |= slot->flags;
	t->mask = pinw_replay_mask(c, mask);
	if (slot->tid)
		t->tid = slot->tid;
	if (slot->creator)
		t->creator = slot->creator;
	if (slot->create_site)
		t->create_site = slot->create_site;
	if (slot->name[0])
		memcpy(t->name, slot->name, sizeof(t->name));
	if (slot->pins_opened > t->pins_opened)
		t->pins_opened = slot->pins_opened;
	if (slot->affinity_calls > t->affinity_calls)
		t->affinity_calls = slot->affinity_calls;
	take_pin(c, t, slot);
	take_times(t, slot);
	pinw_replay_golock_slot(c, slot);
	pinw_history_slot(c->p, slot);
	note_time(c->p, slot->create_ns);
	note_time(c->p, slot->start_ns);
	note_time(c->p, slot->exit_ns);
	note_time(c->p, slot->pin_since_ns);
}

/* ---- after the end is known ------------------------------------------------------- */

static uint8_t end_with_process(const struct pinw_process *p)
{
	switch (p->how) {
	case PINW_HOW_EXIT:
	case PINW_HOW_EXEC:
		return PINW_THOW_PROCESS_END;
	case PINW_HOW_SIGNAL:
	case PINW_HOW_VIOLENT:
		return PINW_THOW_KILLED;
	default:
		return PINW_THOW_ALIVE;
	}
}

static void settle_thread(struct pinw_process *p, struct pinw_thread *t)
{
	/* A live thread has a slot, unless the file had no room for it. */
	if (!t->exited && !t->slot && p->live.counters.slots_unfiled == 0 && t->id != 1) {
		t->exited = true;
		t->how = PINW_THOW_UNKNOWN;
	}
	if (!t->exited)
		t->how = end_with_process(p);
	uint64_t end = t->exited && t->ended_ns != PINW_TIME_UNKNOWN ? t->ended_ns : p->duration_ns;
	pinw_golock_held_until(p, t, end);
	if (t->pin.depth && !t->pin.held_ns)
		t->pin.held_ns = pinw_since(end, t->pin.since_ns);
	pinw_history_pin(p, t, t->exited ? PINW_SPAN_THREAD_ENDED : PINW_SPAN_OPEN,
	                 t->exited ? t->ended_ns : p->duration_ns);
	if (t->exited)
		return;
	if (!t->pin.depth)
		return;
	p->inherited_open += t->pin.origin == PINW_ORIGIN_INHERITED;
	struct pinw_pin_site *s = pinw_table_find(&p->pin_sites, (uint64_t)t->pin.site << 8 | t->pin.origin);
	if (s) {
		s->open++;
		pinw_replay_book_hold(s, t->pin.held_ns);
	}
}

void pinw_settle(struct pinw_process *p)
{
	for (size_t i = 0; i < p->threads.count; i++)
		settle_thread(p, pinw_table_at(&p->threads, i));
	for (size_t i = 0; i < p->pin_sites.count; i++) {
		struct pinw_pin_site *s = pinw_table_at(&p->pin_sites, i);
		uint64_t least = s->released + s->lost + s->open;
		s->opened = s->opened > least ? s->opened : least;
	}
}
