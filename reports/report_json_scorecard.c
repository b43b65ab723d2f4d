/* SPDX-License-Identifier: MIT
 *
 * "scorecard" of a process: the checklists, capacity and advice.
 */
#include "reports/advice.h"
#include "reports/json_private.h"
#include "reports/scorecard.h"

static void put_item(struct pinw_json *j, const struct pinw_card_item *item)
{
	static const char *const answers[] = {
	    [PINW_ANSWER_NO] = "fail", [PINW_ANSWER_YES] = "pass", [PINW_ANSWER_UNKNOWN] = "not observable"};

	pinw_json_begin_line_object(j, NULL);
	pinw_json_text(j, "item", item->key);
	pinw_json_text(j, "checklist", item->review ? "review" : "service");
	pinw_json_text(j, "title", item->title);
	pinw_json_text(j, "answer", answers[item->evidence.answer]);
	pinw_json_text(j, "evidence", item->evidence.text);
	pinw_json_end_object(j);
}

static void put_items(struct pinw_json *j, const struct pinw_scorecard *card)
{
	pinw_json_number(j, "passed", card->passed);
	pinw_json_number(j, "failed", card->failed);
	pinw_json_number(j, "not_observable", card->unseen);
	pinw_json_begin_array(j, "items");
	for (size_t i = 0; i < PINW_CARD_ITEMS; i++)
		put_item(j, &card->items[i]);
	pinw_json_end_array(j);
}

static void put_capacity(struct pinw_json *j, const struct pinw_capacity *c)
{
	pinw_json_begin_line_object(j, "capacity");
	pinw_json_number(j, "cpus", c->cpus);
	pinw_json_number(j, "pinned_peak", c->pinned);
	pinw_json_number(j, "cpus_pinned_to", c->taken);
	pinw_json_number(j, "cpus_used", c->used);
	pinw_json_number(j, "cpus_left", c->left);
	pinw_json_number(j, "cpus_left_busy", c->left_busy);
	pinw_json_known(j, "threads_expected_min", c->expected_min, c->is_go);
	pinw_json_known(j, "threads_expected_max", c->expected_max, c->is_go);
	pinw_json_number(j, "threads_steady", c->steady);
	pinw_json_number(j, "threads_peak", c->peak);
	pinw_json_bool(j, "complete", !c->gap);
	pinw_json_end_object(j);
}

static void put_advice(struct pinw_json *j, const struct pinw_advice *a)
{
	pinw_json_begin_line_object(j, NULL);
	pinw_json_text(j, "advice", pinw_advice_name(a->kind));
	pinw_json_text(j, "what", a->what);
	pinw_json_text(j, "cure", a->cure);
	pinw_json_known(j, "site", a->site ? a->site->id : 0, a->site != NULL);
	pinw_json_end_object(j);
}

int pinw_json_scorecard(struct pinw_json *j, const struct pinw_process *p)
{
	struct pinw_capacity capacity;
	struct pinw_scorecard card;
	struct pinw_advices advices;
	int error = pinw_capacity_of(p, &capacity);

	if (error == 0)
		error = pinw_scorecard_of(p, &capacity, &card);
	if (error == 0)
		error = pinw_advices_of(p, &capacity, &advices);
	if (error)
		return error;
	pinw_json_begin_object(j, "scorecard");
	put_items(j, &card);
	put_capacity(j, &capacity);
	pinw_json_begin_array(j, "advice");
	for (unsigned i = 0; i < advices.count; i++)
		put_advice(j, &advices.list[i]);
	pinw_json_end_array(j);
	pinw_json_end_object(j);
	return 0;
}
