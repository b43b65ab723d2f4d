/* SPDX-License-Identifier: MIT */
#include "reports/events.h"

#include <string.h>

#include "reports/report.h"

struct each {
	const struct pinw_process *p;
	pinw_recorded_fn fn;
	void *arg;
	int result;
};

/* ---- words ------------------------------------------------------------------------------ */

/* Values of a trace may be any; `names` may have holes. */
static const char *name_of(const char *const *names, size_t count, unsigned value)
{
	return value < count && names[value] ? names[value] : "unknown";
}

#define NAME_OF(names, value) name_of(names, sizeof(names) / sizeof((names)[0]), value)

static const char *exit_name(unsigned how)
{
	static const char *const names[] = {
	    [PINW_EXIT_RETURN] = "return",
	    [PINW_EXIT_PTHREAD_EXIT] = "pthread_exit",
	    [PINW_EXIT_CANCEL] = "cancel",
	};

	return NAME_OF(names, how);
}

static const char *call_name(unsigned call)
{
	static const char *const names[] = {
	    [PINW_CALL_SETAFFINITY] = "sched_setaffinity",
	    [PINW_CALL_PTHREAD_SETAFFINITY] = "pthread_setaffinity_np",
	    [PINW_CALL_SYSCALL] = "syscall",
	    [PINW_CALL_RAW] = "raw",
	};

	return NAME_OF(names, call);
}

static const char *relation_name(unsigned relation)
{
	static const char *const names[] = {
	    [PINW_REL_SELF] = "self",
	    [PINW_REL_CROSS] = "cross",
	    [PINW_REL_OTHER_PROCESS] = "other-process",
	};

	return NAME_OF(names, relation);
}

static const char *effect_name(unsigned effect)
{
	static const char *const names[] = {
	    [PINW_EFFECT_NONE] = "none", [PINW_EFFECT_OPEN] = "open",       [PINW_EFFECT_NARROW] = "narrow",
	    [PINW_EFFECT_MOVE] = "move", [PINW_EFFECT_RELEASE] = "release",
	};

	return NAME_OF(names, effect);
}

static const char *seen_name(unsigned at)
{
	static const char *const names[] = {
	    [PINW_SEEN_START] = "start", [PINW_SEEN_EXIT] = "exit", [PINW_SEEN_CENSUS] = "census",
	    [PINW_SEEN_IMAGE] = "image", [PINW_SEEN_CALL] = "call",
	};

	return NAME_OF(names, at);
}

static const char *golock_name(unsigned kind)
{
	static const char *const names[] = {
	    [PINW_GOLOCK_LOCK] = "lock",
	    [PINW_GOLOCK_UNLOCK] = "unlock",
	    [PINW_GOLOCK_UNLOCK_UNSEEN] = "unlock-unseen",
	    [PINW_GOLOCK_DESTROYED] = "lock-destroyed",
	};

	return NAME_OF(names, kind);
}

static const char *origin_name(unsigned origin)
{
	return origin == PINW_ORIGIN_NONE ? NULL : pinw_origin_name(origin);
}

/* ---- one event -------------------------------------------------------------------------- */

static void tell_thread(struct pinw_recorded *e, const struct pinw_read_record *rec)
{
	switch (rec->type) {
	case PINW_REC_THREAD_CREATE:
		e->what = "thread-create";
		e->target = rec->create->new_thread;
		e->error = rec->create->error;
		e->took_ns = rec->create->latency_ns;
		break;
	case PINW_REC_THREAD_START:
		e->what = "thread-start";
		e->tid = rec->start->tid;
		e->origin = origin_name(rec->start->origin);
		break;
	case PINW_REC_THREAD_EXIT:
		e->what = "thread-exit";
		e->how = exit_name(rec->exit->how);
		e->origin = origin_name(rec->exit->origin);
		e->depth = rec->exit->depth;
		e->held_ns = rec->exit->held_ns;
		break;
	case PINW_REC_THREAD_ADOPT:
		e->what = "thread-adopt";
		e->tid = rec->adopt->tid;
		e->text = rec->adopt->name;
		e->text_len = strnlen(rec->adopt->name, PINW_NAME_BYTES);
		break;
	default:
		e->what = rec->type == PINW_REC_THREAD_JOIN ? "thread-join" : "thread-detach";
		e->target = rec->join->target;
		e->took_ns = rec->type == PINW_REC_THREAD_JOIN ? rec->join->waited_ns : 0;
		break;
	}
}

static void tell_affinity(struct pinw_recorded *e, const struct pinw_rec_affinity *rec)
{
	e->what = "affinity";
	e->target = rec->target;
	e->tid = rec->target_tid;
	e->error = rec->error;
	e->call = call_name(rec->call);
	e->relation = relation_name(rec->relation);
	e->effect = effect_name(rec->effect);
	e->depth = rec->depth;
	e->took_ns = rec->cost_ns;
}

static void tell_golock(struct pinw_recorded *e, const struct pinw_rec_golock *rec)
{
	e->what = golock_name(rec->kind);
	e->depth = rec->depth;
	e->goid = rec->goid;
	e->held_ns = rec->held_ns;
}

/* False: of a kind that is not told here. */
static bool tell(struct pinw_recorded *e, const struct pinw_read_record *rec)
{
	switch (rec->type) {
	case PINW_REC_AFFINITY:
		tell_affinity(e, rec->affinity);
		return true;
	case PINW_REC_PIN_EXTERNAL:
		e->what = "mask-changed";
		e->tid = rec->external->tid;
		e->how = seen_name(rec->external->seen_at);
		e->effect = effect_name(rec->external->effect);
		e->depth = rec->external->depth;
		return true;
	case PINW_REC_GOLOCK:
		tell_golock(e, rec->golock);
		return true;
	case PINW_REC_THREAD_NAME:
		e->what = "thread-name";
		e->target = rec->name->target;
		e->text = rec->name->name;
		e->text_len = strnlen(rec->name->name, PINW_NAME_BYTES);
		return true;
	case PINW_REC_EXEC:
		e->what = rec->exec->flags & PINW_EXEC_UNFOLLOWED ? "exec-unfollowed" : "exec";
		e->error = rec->exec->error;
		e->text = rec->text;
		e->text_len = rec->text_len;
		return true;
	case PINW_REC_NOTE:
		e->what = "note";
		e->code = rec->note->code;
		return true;
	case PINW_REC_VIOLATION:
		return false;
	default:
		tell_thread(e, rec);
		return true;
	}
}

/* Records with two masks have those before and after; one has just its own. */
static const uint64_t *mask_after(const struct pinw_process *p, const struct pinw_read_record *rec)
{
	if (rec->mask_count == 0)
		return NULL;
	return rec->masks + (rec->mask_count > 1 ? p->header.mask_words : 0);
}

/* A process that runs has gone on since its model was made. */
static bool came_later(const struct pinw_process *p, const struct pinw_read_record *rec)
{
	return p->how == PINW_HOW_RUNNING && rec->event->time_ns > p->last_event_ns;
}

static void on_record(void *arg, const struct pinw_read_record *rec)
{
	struct each *each = arg;

	if (each->result || rec->type >= PINW_REC_MODULE || came_later(each->p, rec))
		return;
	struct pinw_recorded e = {.time_ns = rec->event->time_ns,
	                          .thread = rec->event->thread,
	                          .site = rec->event->site,
	                          .mask = mask_after(each->p, rec)};
	if (tell(&e, rec))
		each->result = each->fn(each->arg, &e);
}

int pinw_events_each(const struct pinw_process *p, pinw_recorded_fn fn, void *arg)
{
	struct each each = {.p = p, .fn = fn, .arg = arg};
	struct pinw_reader *reader;
	int error = pinw_reader_open(p->path, &reader);

	if (error < 0)
		return error;
	error = pinw_reader_walk(reader, on_record, NULL, &each);
	pinw_reader_free(reader);
	return each.result ? each.result : error;
}
