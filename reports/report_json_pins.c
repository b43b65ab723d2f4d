/* SPDX-License-Identifier: MIT */
#include "reports/evidence.h"
#include "reports/json_private.h"

/* ---- Go locks -------------------------------------------------------------------------- */

void pinw_json_golocks(struct pinw_json *j, const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;

	pinw_json_begin_line_object(j, "golocks");
	pinw_json_number(j, "locks", n->golocks);
	pinw_json_number(j, "unlocks", n->gounlocks);
	pinw_json_number(j, "max_depth", n->golock_max_depth);
	pinw_json_number(j, "nested", n->golocks_nested);
	pinw_json_number(j, "open", n->golocks_open);
	pinw_json_number(j, "destroyed", n->golocks_lost);
	pinw_json_number(j, "denied", n->golocks_denied);
	pinw_json_number(j, "runtime", n->golocks_runtime);
	pinw_json_bool(j, "covered", n->golocks_covered != 0);
	pinw_json_end_object(j);
}

static void put_unlocks(struct pinw_json *j, const struct pinw_golock_site *s)
{
	pinw_json_begin_line_array(j, "unlock_sites");
	for (uint32_t i = 0; i < s->unlock_sites; i++) {
		pinw_json_begin_line_object(j, NULL);
		pinw_json_number(j, "site", s->unlocks[i].site);
		pinw_json_number(j, "count", s->unlocks[i].count);
		pinw_json_end_object(j);
	}
	pinw_json_end_array(j);
}

static void put_golock_site(struct pinw_json *j, const struct pinw_golock_site *s)
{
	bool held = s->held_count != 0;

	pinw_json_begin_line_object(j, NULL);
	pinw_json_known(j, "site", s->site, s->site != 0);
	pinw_json_number(j, "locks", s->locked);
	pinw_json_number(j, "unlocks", s->unlocked);
	pinw_json_number(j, "destroyed", s->destroyed);
	pinw_json_number(j, "open", s->open);
	pinw_json_number(j, "max_depth", s->depth_max);
	pinw_json_number(j, "on_cpus", s->on_cpus);
	pinw_json_known(j, "held_mean_ns", held ? s->held_sum_ns / s->held_count : 0, held);
	pinw_json_known(j, "held_max_ns", s->held_max_ns, held);
	pinw_json_known(j, "held_total_ns", s->held_sum_ns, held);
	pinw_json_number(j, "unlocks_unseen", s->unlocked_unseen);
	put_unlocks(j, s);
	pinw_json_end_object(j);
}

void pinw_json_golock_list(struct pinw_json *j, const struct pinw_process *p)
{
	pinw_json_begin_array(j, "golock_list");
	for (size_t i = 0; i < p->golock_sites.count; i++)
		put_golock_site(j, &p->sorted_golock_sites[i]);
	pinw_json_end_array(j);
}

void pinw_json_golock(struct pinw_json *j, const struct pinw_golock *lock)
{
	if (lock->depth == 0) {
		pinw_json_null(j, "golock");
		return;
	}
	pinw_json_begin_object(j, "golock");
	pinw_json_number(j, "goroutine", lock->goid);
	pinw_json_known(j, "site", lock->site, lock->site != 0);
	pinw_json_number(j, "since_ns", lock->since_ns);
	pinw_json_number(j, "depth", lock->depth);
	pinw_json_number(j, "held_ns", lock->held_ns);
	pinw_json_bool(j, "on_cpus", lock->on_cpus);
	pinw_json_bool(j, "destroyed", lock->destroyed);
	pinw_json_end_object(j);
}

/* ---- leaks of Go locks that only names show ---------------------------------------------------- */

void pinw_json_unbalanced(struct pinw_json *j, const struct pinw_process *p)
{
	pinw_json_begin_array(j, "unbalanced_list");
	for (size_t i = 0; i < p->leak_count; i++) {
		const struct pinw_leak *l = &p->leaks[i];

		if (l->kind != PINW_LEAK_UNBALANCED)
			continue;
		pinw_json_begin_line_object(j, NULL);
		pinw_json_known(j, "site", l->pin_site, l->pin_site != 0);
		pinw_json_known(j, "unlock_site", l->unlock_site, l->unlock_site != 0);
		pinw_json_number(j, "count", l->count);
		pinw_json_known(j, "max_depth", l->depth_max, l->depth_max != 0);
		pinw_json_end_object(j);
	}
	pinw_json_end_array(j);
}

/* ---- evidence -------------------------------------------------------------------------------- */

static void put_name(struct pinw_json *j, const char *key, const char *name)
{
	if (name)
		pinw_json_text(j, key, name);
	else
		pinw_json_null(j, key);
}

static void put_request_site(struct pinw_json *j, const struct pinw_request_site *s)
{
	const struct pinw_site_names *n = s->site->names;

	pinw_json_begin_line_object(j, NULL);
	pinw_json_number(j, "site", s->site->id);
	pinw_json_text(j, "kind", s->golock ? "golock" : "pin");
	pinw_json_number(j, "opened", s->site->rate.count);
	pinw_json_number(j, "repeated", s->site->rate.repeats);
	pinw_json_number(j, "peak_per_s", s->site->rate.peak);
	pinw_json_number(j, "destroyed", s->destroyed);
	pinw_json_bool(j, "by_stack", s->by_stack);
	pinw_json_bool(j, "by_rate", s->by_rate);
	put_name(j, "function", n ? n->function : NULL);
	put_name(j, "handler", n ? n->handler : NULL);
	pinw_json_end_object(j);
}

static void put_per_request(struct pinw_json *j, const struct pinw_process *p,
                            const struct pinw_per_request *r)
{
	pinw_json_begin_object(j, "per_request");
	pinw_json_text(j, "answer", pinw_answer_words(r->answer));
	pinw_json_text(j, "by_stack", pinw_answer_words(r->by_stack));
	pinw_json_text(j, "by_rate", pinw_answer_words(r->by_rate));
	pinw_json_text(j, "by_churn", pinw_answer_words(r->by_churn));
	pinw_json_begin_array(j, "not_observable");
	for (unsigned i = 0; i < r->unknown_count; i++)
		pinw_json_text(j, NULL, r->unknown[i]);
	pinw_json_end_array(j);
	pinw_json_begin_line_object(j, "churn");
	pinw_json_number(j, "threads", p->churn.count);
	pinw_json_number(j, "peak_per_s", p->churn.peak);
	pinw_json_number(j, "locked", p->churn.locked);
	pinw_json_number(j, "replaced", p->churn.replaced);
	pinw_json_end_object(j);
	pinw_json_begin_array(j, "sites");
	for (size_t i = 0; i < r->site_count; i++)
		put_request_site(j, &r->sites[i]);
	pinw_json_end_array(j);
	put_name(j, "cure", r->answer == PINW_ANSWER_YES ? PINW_PER_REQUEST_CURE : NULL);
	pinw_json_end_object(j);
}

static void put_evidence(struct pinw_json *j, const char *item, const struct pinw_evidence *e)
{
	pinw_json_begin_line_object(j, NULL);
	pinw_json_text(j, "item", item);
	pinw_json_text(j, "answer",
	               e->answer == PINW_ANSWER_YES  ? "pass"
	               : e->answer == PINW_ANSWER_NO ? "fail"
	                                             : pinw_answer_words(e->answer));
	pinw_json_text(j, "evidence", e->text);
	pinw_json_end_object(j);
}

int pinw_json_evidence(struct pinw_json *j, const struct pinw_process *p)
{
	struct pinw_per_request requests;
	struct pinw_evidence paired, encapsulated;
	int error = pinw_evidence_per_request(p, &requests);

	if (error < 0)
		return error;
	pinw_evidence_paired(p, &paired);
	pinw_evidence_encapsulated(p, &requests, &encapsulated);
	put_per_request(j, p, &requests);
	pinw_json_begin_array(j, "evidence");
	put_evidence(j, "locks-paired", &paired);
	put_evidence(j, "pinned-by-workers", &encapsulated);
	pinw_json_end_array(j);
	pinw_per_request_done(&requests);
	return 0;
}
