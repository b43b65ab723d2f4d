/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reports/kept_names.h"
#include "reports/model_private.h"

/* ---- thread records -------------------------------------------------------------- */

static void on_create(struct pinw_replay *c, const struct pinw_rec_create *rec)
{
	struct pinw_site *site = pinw_replay_site(c, rec->e.site, PINW_USE_CREATE);
	struct pinw_thread *t = rec->error ? NULL : pinw_replay_thread(c, rec->new_thread);

	if (!t)
		return;
	if (site)
		site->created++;
	t->created_ns = rec->e.time_ns;
	t->creator = rec->e.thread;
	t->create_site = rec->e.site;
	t->flags |= rec->flags & (PINW_THREAD_BORN_DETACHED | PINW_THREAD_THRD | PINW_THREAD_ATTR_AFFINITY);
	if (rec->flags & PINW_THREAD_BORN_DETACHED)
		t->flags |= PINW_THREAD_DETACHED;
	/* The kernel gives a new thread its creator's name. */
	const struct pinw_thread *creator = pinw_replay_thread(c, rec->e.thread);
	if (creator && !t->name[0])
		memcpy(t->name, creator->name, sizeof(t->name));
}

static void on_start(struct pinw_replay *c, const struct pinw_rec_start *rec, const uint64_t *mask)
{
	struct pinw_thread *t = pinw_replay_thread(c, rec->e.thread);

	if (!t)
		return;
	t->tid = rec->tid;
	t->started_ns = rec->e.time_ns;
	t->mask = pinw_replay_mask(c, mask);
	if (rec->origin == PINW_ORIGIN_NONE || t->pin.depth)
		return;
	pinw_replay_open_pin(c, t,
	                     (struct pinw_pin){.since_ns = rec->e.time_ns,
	                                       .site = rec->e.site,
	                                       .by = rec->pin_by,
	                                       .depth = 1,
	                                       .origin = (uint8_t)rec->origin});
	if (rec->origin == PINW_ORIGIN_BORN)
		pinw_replay_opening(c, t->create_site ? t->create_site : rec->e.site, t->id, false,
		                    rec->e.time_ns);
	if (rec->origin == PINW_ORIGIN_INHERITED) {
		t->inherited = true;
		t->inherited_site = rec->e.site;
	}
}

static void on_exit_record(struct pinw_replay *c, const struct pinw_rec_exit *rec, const uint64_t *mask)
{
	struct pinw_thread *t = pinw_replay_thread(c, rec->e.thread);

	if (!t)
		return;
	t->exited = true;
	t->ended_ns = rec->e.time_ns;
	t->mask = pinw_replay_mask(c, mask);
	t->how = rec->how == PINW_EXIT_RETURN         ? PINW_THOW_RETURN
	         : rec->how == PINW_EXIT_PTHREAD_EXIT ? PINW_THOW_PTHREAD_EXIT
	         : rec->how == PINW_EXIT_CANCEL       ? PINW_THOW_CANCEL
	                                              : PINW_THOW_UNKNOWN;
	if (rec->create_site)
		t->create_site = rec->create_site;
	if (rec->origin == PINW_ORIGIN_NONE) {
		pinw_replay_release_pin(c, t, rec->e.time_ns); /* its release was not recorded */
		return;
	}
	struct pinw_pin pin = {.since_ns = pinw_since(rec->e.time_ns, rec->held_ns),
	                       .held_ns = rec->held_ns,
	                       .site = rec->e.site,
	                       .by = rec->pin_by,
	                       .depth = rec->depth > UINT16_MAX ? UINT16_MAX : (uint16_t)rec->depth,
	                       .origin = (uint8_t)rec->origin};
	if (t->pin.depth == 0)
		pinw_replay_open_pin(c, t, pin);
	if (pin.depth == 0)
		pin.depth = 1;
	pin.mask = t->pin.mask;
	t->pin = pin;
	struct pinw_pin_site *s = pinw_replay_pin_site(c, pin.site, pin.origin);
	if (s) {
		s->lost++;
		pinw_replay_book_hold(s, rec->held_ns);
	}
}

static void count_other(struct pinw_replay *c, uint32_t site)
{
	struct pinw_site *s = pinw_replay_site(c, site, PINW_USE_OTHER);

	if (s)
		s->others++;
}

static void on_join(struct pinw_replay *c, const struct pinw_rec_join *rec)
{
	struct pinw_thread *t = pinw_replay_thread(c, rec->target);

	count_other(c, rec->e.site);
	if (!t)
		return;
	t->joined = true;
	t->joined_by = rec->e.thread;
}

static void on_detach(struct pinw_replay *c, const struct pinw_rec_join *rec)
{
	struct pinw_thread *t = pinw_replay_thread(c, rec->target);

	count_other(c, rec->e.site);
	if (t)
		t->flags |= PINW_THREAD_DETACHED;
}

static void on_name(struct pinw_replay *c, const struct pinw_rec_name *rec)
{
	struct pinw_thread *t = pinw_replay_thread(c, rec->target);

	if (!t)
		return;
	memcpy(t->name, rec->name, sizeof(t->name));
	if (t->id == 1)
		c->main_renamed = true;
}

static void on_adopt(struct pinw_replay *c, const struct pinw_rec_adopt *rec, const uint64_t *mask)
{
	struct pinw_thread *t = pinw_replay_thread(c, rec->e.thread);

	if (!t)
		return;
	t->tid = rec->tid;
	t->flags |= PINW_THREAD_ADOPTED | (rec->flags & PINW_THREAD_CENSUS);
	t->started_ns = rec->e.time_ns;
	t->mask = pinw_replay_mask(c, mask);
	memcpy(t->name, rec->name, sizeof(t->name));
}

/* ---- affinity records ------------------------------------------------------------- */

static void on_affinity(struct pinw_replay *c, const struct pinw_rec_affinity *rec, const uint64_t *masks)
{
	bool opens = !rec->error && rec->effect == PINW_EFFECT_OPEN;
	struct pinw_site *site = pinw_replay_site(c, rec->e.site, opens ? PINW_USE_PIN : PINW_USE_AFFINITY);

	if (site) {
		site->calls++;
		site->failed += rec->error != 0;
		site->pins += opens;
		site->raw = site->raw || rec->call == PINW_CALL_RAW;
	}
	if (opens)
		pinw_replay_opening(c, rec->e.site, rec->target, rec->target == 1, rec->e.time_ns);
	struct pinw_thread *t = rec->error ? NULL : pinw_replay_thread(c, rec->target);
	if (!t)
		return;
	t->affinity_calls++;
	t->mask = pinw_replay_mask(c, masks + c->p->header.mask_words);
	pinw_replay_effect(c, t, rec->effect,
	                   (struct pinw_pin){.since_ns = rec->e.time_ns,
	                                     .site = rec->e.site,
	                                     .by = rec->e.thread,
	                                     .depth = rec->depth,
	                                     .origin = rec->relation == PINW_REL_SELF ? PINW_ORIGIN_SELF
	                                                                              : PINW_ORIGIN_CROSS});
}

static void on_external(struct pinw_replay *c, const struct pinw_rec_external *rec, const uint64_t *masks)
{
	struct pinw_thread *t = pinw_replay_thread(c, rec->e.thread);

	if (!t)
		return;
	t->mask = pinw_replay_mask(c, masks + c->p->header.mask_words);
	pinw_replay_effect(c, t, rec->effect,
	                   (struct pinw_pin){.since_ns = rec->e.time_ns,
	                                     .depth = rec->depth,
	                                     .origin = PINW_ORIGIN_EXTERNAL});
}

/* ---- other records ---------------------------------------------------------------- */

/* `len` bytes up to the first NUL. NULL when out of memory. */
static char *copy_text(struct pinw_replay *c, const char *text, size_t len)
{
	char *copy = strndup(text, len);

	if (!copy)
		c->out_of_memory = true;
	return copy;
}

static void on_exec(struct pinw_replay *c, const struct pinw_rec_exec *rec, const char *path, size_t len)
{
	struct pinw_process *p = c->p;

	count_other(c, rec->e.site);
	if (!(rec->flags & PINW_EXEC_UNFOLLOWED) || (rec->flags & PINW_EXEC_FAILED) ||
	    p->unfollowed_count == PINW_EXECS_MAX)
		return;
	p->unfollowed[p->unfollowed_count] = copy_text(c, path, len);
	p->unfollowed_count += p->unfollowed[p->unfollowed_count] != NULL;
}

static void on_note(struct pinw_replay *c, const struct pinw_rec_note *rec)
{
	struct pinw_process *p = c->p;

	for (size_t i = 0; i < p->note_count; i++)
		if (p->notes[i].code == rec->code && p->notes[i].arg == rec->arg) {
			p->notes[i].count++;
			return;
		}
	if (p->note_count < PINW_NOTES_MAX)
		p->notes[p->note_count++] =
		    (struct pinw_noted){.code = rec->code, .arg = rec->arg, .count = 1};
}

static void on_module(struct pinw_replay *c, const struct pinw_read_record *rec)
{
	bool new;
	struct pinw_module *m = pinw_table_get(&c->p->modules, rec->module->id, &new);

	if (!m) {
		c->out_of_memory = true;
		return;
	}
	if (!new)
		return;
	m->id = rec->module->id;
	m->build_id_len = (uint8_t)rec->module->build_id_len;
	memcpy(m->build_id, rec->module->build_id, sizeof(m->build_id));
	if (rec->module->start >= rec->module->base && rec->module->end > rec->module->start) {
		m->start = rec->module->start - rec->module->base;
		m->end = rec->module->end - rec->module->base;
	}
	m->path = copy_text(c, rec->text, rec->text_len);
}

static void on_site(struct pinw_replay *c, const struct pinw_read_record *rec)
{
	struct pinw_site *s = pinw_replay_site(c, rec->site->id, 0);

	if (!s || s->known)
		return;
	if (pinw_frames_append(c->p, s, rec->frames, rec->site->frames) < 0) {
		c->out_of_memory = true;
		return;
	}
	s->known = true;
	s->flags = rec->site->flags;
}

void pinw_replay_record(void *arg, const struct pinw_read_record *rec)
{
	struct pinw_replay *c = arg;

	if (rec->type < PINW_REC_MODULE && rec->event->time_ns > c->p->last_event_ns)
		c->p->last_event_ns = rec->event->time_ns;
	switch (rec->type) {
	case PINW_REC_THREAD_CREATE:
		on_create(c, rec->create);
		break;
	case PINW_REC_THREAD_START:
		on_start(c, rec->start, rec->masks);
		break;
	case PINW_REC_THREAD_EXIT:
		on_exit_record(c, rec->exit, rec->masks);
		break;
	case PINW_REC_THREAD_JOIN:
		on_join(c, rec->join);
		break;
	case PINW_REC_THREAD_DETACH:
		on_detach(c, rec->join);
		break;
	case PINW_REC_THREAD_NAME:
		on_name(c, rec->name);
		break;
	case PINW_REC_THREAD_ADOPT:
		on_adopt(c, rec->adopt, rec->masks);
		break;
	case PINW_REC_AFFINITY:
		on_affinity(c, rec->affinity, rec->masks);
		break;
	case PINW_REC_PIN_EXTERNAL:
		on_external(c, rec->external, rec->masks);
		break;
	case PINW_REC_EXEC:
		on_exec(c, rec->exec, rec->text, rec->text_len);
		break;
	case PINW_REC_NOTE:
		on_note(c, rec->note);
		break;
	case PINW_REC_MODULE:
		on_module(c, rec);
		break;
	case PINW_REC_SITE:
		on_site(c, rec);
		break;
	case PINW_REC_FUNCTION:
		c->out_of_memory |= pinw_kept_names_add(c->p, rec) < 0;
		break;
	case PINW_REC_VIOLATION:
		count_other(c, rec->event->site);
		pinw_replay_violation(c, rec->violation, rec->masks);
		break;
	case PINW_REC_GOLOCK:
		pinw_replay_golock(c, rec->golock);
		break;
	case PINW_REC_POLICY:
		pinw_replay_policy(c, rec);
		break;
	case PINW_REC_RULE:
		pinw_replay_rule(c, rec);
		break;
	default:
		break;
	}
}

/* ---- the whole -------------------------------------------------------------------- */

/* Threads created before anybody was named carry the name the process started with. */
static void name_threads(struct pinw_replay *c)
{
	const struct pinw_thread *main_thread = pinw_table_find(&c->p->threads, 1);
	const struct pinw_trace_header *h = &c->p->header;
	char name[PINW_NAME_BYTES] = "";

	if (main_thread && !c->main_renamed)
		memcpy(name, main_thread->name, sizeof(name));
	if (!name[0]) {
		const char *slash = memrchr(h->exe, '/', h->exe_len);
		const char *base = slash ? slash + 1 : h->exe;
		size_t len = (size_t)(h->exe + h->exe_len - base);
		memcpy(name, base, len < sizeof(name) ? len : sizeof(name) - 1);
	}
	for (size_t i = 0; i < c->p->threads.count; i++) {
		struct pinw_thread *t = pinw_table_at(&c->p->threads, i);
		if (!t->name[0])
			memcpy(t->name, name, sizeof(t->name));
	}
}

void pinw_replay_begin(struct pinw_replay *c, struct pinw_process *p)
{
	*c = (struct pinw_replay){.p = p};
	pinw_table_init(&p->threads, sizeof(struct pinw_thread));
	pinw_table_init(&p->locks, sizeof(struct pinw_golock));
	pinw_table_init(&p->sites, sizeof(struct pinw_site));
	pinw_table_init(&p->modules, sizeof(struct pinw_module));
	pinw_table_init(&p->kept_names, sizeof(struct pinw_kept_name));
	pinw_table_init(&p->pin_sites, sizeof(struct pinw_pin_site));
	pinw_table_init(&p->golock_sites, sizeof(struct pinw_golock_site));
	pinw_table_init(&p->masks, (1 + p->header.mask_words) * sizeof(uint64_t));
	pinw_table_init(&p->rules, sizeof(struct pinw_rule_row));
	pinw_table_init(&p->violation_groups, sizeof(struct pinw_violation));
}

int pinw_replay(struct pinw_process *p, struct pinw_reader *r)
{
	struct pinw_replay c;

	pinw_replay_begin(&c, p);
	pinw_replay_thread(&c, 1);
	int error = pinw_reader_walk(r, pinw_replay_record, pinw_replay_slot, &c);
	int rules_error = pinw_reader_rules(r, pinw_replay_rule_cell, &c);
	name_threads(&c);
	return c.out_of_memory ? -ENOMEM : error < 0 ? error : rules_error;
}
