/* SPDX-License-Identifier: MIT */
#include "reports/history.h"

#include <errno.h>
#include <stdlib.h>

#include "policy/mask.h"
#include "reports/model_private.h"
#include "reports/ranges.h"

/* A Go lock that has begun. */
struct open_lock {
	uint64_t since_ns;
	uint64_t goid;
	uint32_t thread;
	uint32_t site;
	uint32_t depth;
	bool open;
	bool in_slot; /* the live slot says so too */
};

/* A pin that has another mask than it began with. */
struct moved_pin {
	uint64_t since_ns;
	uint32_t mask; /* 0: it is over */
};

int pinw_history_new(struct pinw_process *p)
{
	p->history = calloc(1, sizeof(*p->history));
	if (!p->history)
		return -ENOMEM;
	pinw_table_init(&p->history->locks, sizeof(struct open_lock));
	pinw_table_init(&p->history->moved, sizeof(struct moved_pin));
	return 0;
}

void pinw_history_free(struct pinw_process *p)
{
	if (!p->history)
		return;
	free(p->history->spans);
	free(p->history->stays);
	free(p->history->violations);
	pinw_table_done(&p->history->locks);
	pinw_table_done(&p->history->moved);
	free(p->history);
}

static void add_span(struct pinw_history *h, struct pinw_span span)
{
	if (pinw_grow((void **)&h->spans, h->span_count, &h->span_room, sizeof(*h->spans)) < 0)
		h->out_of_memory = true;
	else
		h->spans[h->span_count++] = span;
}

/* ---- pins of CPUs --------------------------------------------------------------------- */

static void add_stay(struct pinw_history *h, struct pinw_span stay)
{
	if (pinw_grow((void **)&h->stays, h->stay_count, &h->stay_room, sizeof(*h->stays)) < 0)
		h->out_of_memory = true;
	else
		h->stays[h->stay_count++] = stay;
}

static struct moved_pin *moved_pin(struct pinw_history *h, const struct pinw_thread *t)
{
	struct moved_pin *m = h->moved.count ? pinw_table_find(&h->moved, t->id) : NULL;

	return m && m->mask ? m : NULL;
}

static struct pinw_span span_of(const struct pinw_thread *t, enum pinw_span_end end, uint64_t end_ns)
{
	return (struct pinw_span){.begin_ns = t->pin.since_ns,
	                          .end_ns = end_ns,
	                          .thread = t->id,
	                          .site = t->pin.site,
	                          .by = t->pin.by,
	                          .mask = t->pin.mask,
	                          .depth = t->pin.depth,
	                          .origin = t->pin.origin,
	                          .end = (uint8_t)end};
}

/* From here on it is at another mask. */
static struct pinw_span stay_of(struct pinw_span pin, const struct moved_pin *m)
{
	if (m) {
		pin.begin_ns = m->since_ns;
		pin.mask = m->mask;
	}
	return pin;
}

void pinw_history_move(struct pinw_process *p, const struct pinw_thread *t, uint64_t now_ns)
{
	struct pinw_history *h = p->history;
	struct moved_pin *m = h && t->pin.depth ? moved_pin(h, t) : NULL;

	if (!h || !t->pin.depth || t->mask == (m ? m->mask : t->pin.mask))
		return;
	add_stay(h, stay_of(span_of(t, PINW_SPAN_RELEASED, now_ns), m));
	m = pinw_table_get(&h->moved, t->id, NULL);
	if (m)
		*m = (struct moved_pin){.since_ns = now_ns, .mask = t->mask};
	else
		h->out_of_memory = true;
}

void pinw_history_pin(struct pinw_process *p, const struct pinw_thread *t, enum pinw_span_end end,
                      uint64_t end_ns)
{
	struct pinw_history *h = p->history;

	if (!h || !t->pin.depth)
		return;
	struct moved_pin *m = moved_pin(h, t);
	struct pinw_span span = span_of(t, end, end_ns);
	if (m)
		add_stay(h, stay_of(span, m));
	span.moved = m != NULL;
	add_span(h, span);
	if (m)
		m->mask = 0;
}

size_t pinw_history_places(const struct pinw_history *h)
{
	return h->span_count + h->stay_count;
}

const struct pinw_span *pinw_history_place(const struct pinw_history *h, size_t at)
{
	if (at >= h->span_count)
		return &h->stays[at - h->span_count];
	return h->spans[at].moved || h->spans[at].origin == PINW_ORIGIN_GOLOCK ? NULL : &h->spans[at];
}

const struct pinw_span *pinw_history_stays(const struct pinw_history *h, const struct pinw_span *pin,
                                           size_t *ret_count)
{
	size_t lo = 0, hi = h->stay_count, end;

	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;
		const struct pinw_span *s = &h->stays[middle];
		if (s->thread < pin->thread || (s->thread == pin->thread && s->begin_ns < pin->begin_ns))
			lo = middle + 1;
		else
			hi = middle;
	}
	for (end = lo; end < h->stay_count && h->stays[end].thread == pin->thread &&
	               h->stays[end].begin_ns <= pin->end_ns;)
		end++;
	*ret_count = end - lo;
	return &h->stays[lo];
}

/* ---- Go locks -------------------------------------------------------------------------- */

static struct open_lock *lock_of(struct pinw_history *h, uint32_t thread)
{
	struct open_lock *lock = pinw_table_get(&h->locks, (uint64_t)thread + 1, NULL);

	if (lock)
		lock->thread = thread;
	else
		h->out_of_memory = true;
	return lock;
}

static void end_lock(struct pinw_history *h, struct open_lock *lock, enum pinw_span_end end, uint64_t end_ns)
{
	if (lock->open)
		add_span(h, (struct pinw_span){
		                .begin_ns = lock->since_ns,
		                .end_ns = end_ns,
		                .goid = lock->goid,
		                .thread = lock->thread,
		                .site = lock->site,
		                .depth = (uint16_t)(lock->depth > UINT16_MAX ? UINT16_MAX : lock->depth),
		                .origin = PINW_ORIGIN_GOLOCK,
		                .end = (uint8_t)end});
	lock->open = false;
}

static void lock_begins(struct pinw_history *h, struct open_lock *lock, const struct open_lock *now)
{
	end_lock(h, lock, PINW_SPAN_UNSEEN, PINW_TIME_UNKNOWN);
	*lock = *now;
	lock->open = true;
}

/* Its record has all of it, also when that of its beginning was dropped. */
static void lock_ends(struct pinw_history *h, const struct pinw_rec_golock *rec)
{
	bool lost = rec->kind == PINW_GOLOCK_DESTROYED;

	add_span(h, (struct pinw_span){.begin_ns = pinw_since(rec->e.time_ns, rec->held_ns),
	                               .end_ns = rec->flags & PINW_GOLOCK_UNTIMED ? PINW_TIME_UNKNOWN
	                                                                          : rec->e.time_ns,
	                               .goid = rec->goid,
	                               .thread = rec->e.thread,
	                               .site = rec->lock_site,
	                               .end_site = lost ? 0 : rec->e.site,
	                               .depth = (uint16_t)(rec->depth > UINT16_MAX ? UINT16_MAX : rec->depth),
	                               .origin = PINW_ORIGIN_GOLOCK,
	                               .end = lost ? PINW_SPAN_THREAD_ENDED : PINW_SPAN_RELEASED});
}

void pinw_history_golock(struct pinw_process *p, const struct pinw_rec_golock *rec)
{
	struct open_lock *lock = p->history ? lock_of(p->history, rec->e.thread) : NULL;
	bool begins = rec->kind == PINW_GOLOCK_LOCK;
	struct open_lock now = {.since_ns = begins ? rec->e.time_ns : PINW_TIME_UNKNOWN,
	                        .goid = rec->goid,
	                        .thread = rec->e.thread,
	                        .site = begins ? rec->e.site : rec->lock_site,
	                        .depth = rec->depth};

	if (!lock)
		return;
	if (begins) {
		lock_begins(p->history, lock, &now);
	} else if (rec->kind == PINW_GOLOCK_UNLOCK_UNSEEN) {
		if (!lock->open)
			lock_begins(p->history, lock, &now);
		end_lock(p->history, lock, PINW_SPAN_UNSEEN, PINW_TIME_UNKNOWN);
	} else {
		lock_ends(p->history, rec);
		lock->open = false;
	}
}

void pinw_history_slot(struct pinw_process *p, const struct pinw_slot *slot)
{
	struct open_lock *lock = p->history && slot->golock_depth ? lock_of(p->history, slot->thread) : NULL;

	if (!lock)
		return;
	if (!lock->open || lock->site != slot->golock_site || lock->goid != slot->golock_goid)
		lock_begins(p->history, lock,
		            &(struct open_lock){.since_ns = slot->golock_since_ns,
		                                .goid = slot->golock_goid,
		                                .thread = slot->thread,
		                                .site = slot->golock_site});
	lock->depth = slot->golock_depth;
	lock->in_slot = true;
}

/* ---- violations ------------------------------------------------------------------------ */

void pinw_history_violation(struct pinw_process *p, const struct pinw_rec_violation *rec, uint32_t mask)
{
	struct pinw_history *h = p->history;

	if (!h)
		return;
	if (pinw_grow((void **)&h->violations, h->violation_count, &h->violation_room,
	              sizeof(*h->violations)) < 0) {
		h->out_of_memory = true;
		return;
	}
	h->violations[h->violation_count++] = (struct pinw_single_violation){.time_ns = rec->e.time_ns,
	                                                                     .value = rec->value,
	                                                                     .limit = rec->limit,
	                                                                     .thread = rec->e.thread,
	                                                                     .target = rec->target,
	                                                                     .rule = rec->rule,
	                                                                     .site = rec->e.site,
	                                                                     .mask = mask,
	                                                                     .error = rec->error,
	                                                                     .action = rec->action,
	                                                                     .done = rec->done,
	                                                                     .attempt = rec->attempt,
	                                                                     .leak = rec->leak};
}

/* ---- the whole ------------------------------------------------------------------------- */

static int by_begin(const void *x, const void *y)
{
	const struct pinw_span *a = x, *b = y;

	if (a->begin_ns != b->begin_ns)
		return a->begin_ns < b->begin_ns ? -1 : 1;
	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	return (a->end_ns > b->end_ns) - (a->end_ns < b->end_ns);
}

static int by_thread(const void *x, const void *y)
{
	const struct pinw_span *a = x, *b = y;

	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	return by_begin(x, y);
}

static int by_time(const void *x, const void *y)
{
	const struct pinw_single_violation *a = x, *b = y;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return (a->thread > b->thread) - (a->thread < b->thread);
}

/* A site that only a slot or an end refers to has a row, too, so that whatever is named is there. */
static void have_site(struct pinw_process *p, uint32_t id)
{
	struct pinw_site *s = id ? pinw_table_get(&p->sites, id, NULL) : NULL;

	if (s)
		s->id = id;
	else if (id)
		p->history->out_of_memory = true;
}

static void have_sites(struct pinw_process *p)
{
	const struct pinw_history *h = p->history;

	for (size_t i = 0; i < h->span_count; i++) {
		have_site(p, h->spans[i].site);
		have_site(p, h->spans[i].end_site);
	}
	for (size_t i = 0; i < h->violation_count; i++)
		have_site(p, h->violations[i].site);
	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		have_site(p, t->create_site);
		have_site(p, t->inherited_site);
	}
}

int pinw_history_settle(struct pinw_process *p)
{
	struct pinw_history *h = p->history;

	if (!h)
		return 0;
	for (size_t i = 0; i < h->locks.count; i++) {
		struct open_lock *lock = pinw_table_at(&h->locks, i);
		end_lock(h, lock, lock->in_slot ? PINW_SPAN_OPEN : PINW_SPAN_UNSEEN,
		         lock->in_slot ? p->duration_ns : PINW_TIME_UNKNOWN);
	}
	have_sites(p);
	pinw_table_done(&h->locks);
	pinw_table_init(&h->locks, sizeof(struct open_lock));
	if (h->span_count)
		qsort(h->spans, h->span_count, sizeof(*h->spans), by_begin);
	if (h->stay_count)
		qsort(h->stays, h->stay_count, sizeof(*h->stays), by_thread);
	pinw_table_done(&h->moved);
	pinw_table_init(&h->moved, sizeof(struct moved_pin));
	if (h->violation_count)
		qsort(h->violations, h->violation_count, sizeof(*h->violations), by_time);
	return h->out_of_memory ? -ENOMEM : 0;
}

uint64_t pinw_span_held_ns(const struct pinw_span *s)
{
	if (s->begin_ns == PINW_TIME_UNKNOWN || s->end_ns == PINW_TIME_UNKNOWN)
		return 0;
	return pinw_since(s->end_ns, s->begin_ns);
}

const char *pinw_span_end_name(unsigned end)
{
	static const char *const names[] = {
	    [PINW_SPAN_RELEASED] = "released",
	    [PINW_SPAN_THREAD_ENDED] = "thread-end",
	    [PINW_SPAN_OPEN] = "open",
	    [PINW_SPAN_UNSEEN] = "unseen",
	};

	return names[end];
}
