/* SPDX-License-Identifier: MIT
 *
 * What a process's charts are drawn from. Times are microseconds from its start; reports/html/page.js reads this and nothing else:
 *
 *     {"name", "end", "live": [...], "pinned": [...], "cap": n|null,
 *      "cpus": [[cpu, [threads at once ...]]], "masks": ["0-3", ...],
 *      "lanes": [[id, name, begin, end, leaked]], "left_out": lanes not here, "apart": gaps not shown,
 *      "blocks": [[lane, begin, end, go lock 0|1, count, mask, leaked]], "marks": [[lane, at, rule]]}
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/html_private.h"
#include "reports/json.h"
#include "reports/timeline.h"

#define LANES_MAX 500u
#define MARKS_MAX 2000u

struct lane {
	uint32_t number;
	const struct pinw_thread *thread;
};

/* ---- lanes ------------------------------------------------------------------------------- */

/* Those worth a look come first: leaked, then pinned, then the others. Of more than there is room for, some of the whole run. */
static unsigned interest(const struct pinw_thread *t)
{
	if (t->pin.depth || t->lock->depth)
		return 0;
	return t->pins_opened || t->golocks ? 1 : 2;
}

static int by_id(const void *x, const void *y)
{
	const struct pinw_thread *a = *(const struct pinw_thread *const *)x,
	                         *b = *(const struct pinw_thread *const *)y;

	return (a->id > b->id) - (a->id < b->id);
}

/* Returns 0 or -ENOMEM. */
static int choose_lanes(const struct pinw_process *p, struct pinw_table *lanes)
{
	const struct pinw_thread *chosen[LANES_MAX] = {NULL};
	size_t count = 0;

	for (unsigned level = 0; level < 3; level++) {
		size_t room = LANES_MAX - count, of_level = 0, nth = 0, taken = 0;
		for (size_t i = 0; i < p->threads.count; i++)
			of_level += interest(pinw_table_at(&p->threads, i)) == level;
		if (room > of_level)
			room = of_level;
		for (size_t i = 0; i < p->threads.count && taken < room; i++) {
			const struct pinw_thread *t = pinw_table_at(&p->threads, i);
			if (interest(t) == level && nth++ * room / of_level >= taken)
				chosen[count + taken++] = t;
		}
		count += taken;
	}
	qsort(chosen, count, sizeof(void *), by_id);
	for (size_t i = 0; i < count; i++) {
		struct lane *lane = pinw_table_get(lanes, chosen[i]->id, NULL);
		if (!lane)
			return -ENOMEM;
		*lane = (struct lane){.number = (uint32_t)i, .thread = chosen[i]};
	}
	return 0;
}

static void put_lanes(struct pinw_json *j, const struct pinw_process *p, const struct pinw_table *lanes)
{
	pinw_json_begin_array(j, "lanes");
	for (size_t i = 0; i < lanes->count; i++) {
		const struct pinw_thread *t = ((const struct lane *)pinw_table_at(lanes, i))->thread;
		uint64_t begin = t->id == 1 || t->started_ns == PINW_TIME_UNKNOWN ? 0 : t->started_ns;
		uint64_t end = t->ended_ns == PINW_TIME_UNKNOWN ? p->duration_ns : t->ended_ns;

		pinw_json_begin_line_array(j, NULL);
		pinw_json_number(j, NULL, t->id);
		pinw_json_bytes(j, NULL, t->name, strnlen(t->name, sizeof(t->name)));
		pinw_json_number(j, NULL, begin / 1000);
		pinw_json_number(j, NULL, end / 1000);
		pinw_json_number(j, NULL, interest(t) == 0);
		pinw_json_end_array(j);
	}
	pinw_json_end_array(j);
	pinw_json_number(j, "left_out", p->threads.count - lanes->count);
}

/* ---- what is on them ------------------------------------------------------------------------ */

static void put_block(struct pinw_json *j, const struct pinw_block *b, const struct pinw_table *lanes)
{
	const struct lane *lane = pinw_table_find(lanes, b->thread);

	pinw_json_begin_line_array(j, NULL);
	pinw_json_number(j, NULL, lane->number);
	pinw_json_number(j, NULL, b->begin_ns / 1000);
	pinw_json_number(j, NULL, (b->end_ns + 999) / 1000);
	pinw_json_number(j, NULL, b->golock);
	pinw_json_number(j, NULL, b->count);
	pinw_json_number(j, NULL, b->mask);
	pinw_json_number(j, NULL, b->leaked);
	pinw_json_end_array(j);
}

static int put_blocks(struct pinw_html *h, struct pinw_json *j, const struct pinw_process *p,
                      const struct pinw_table *lanes)
{
	struct pinw_blocks blocks;
	int error = pinw_blocks_make(p, lanes, h->blocks, &blocks);

	if (error < 0)
		return error;
	pinw_json_number(j, "apart", blocks.apart_ns / 1000);
	pinw_json_begin_line_array(j, "blocks");
	for (size_t i = 0; i < blocks.count; i++)
		put_block(j, &blocks.blocks[i], lanes);
	pinw_json_end_array(j);
	free(blocks.blocks);
	return 0;
}

static void put_marks(struct pinw_json *j, const struct pinw_process *p, const struct pinw_table *lanes)
{
	size_t put = 0;

	pinw_json_begin_line_array(j, "marks");
	for (size_t i = 0; i < p->history->violation_count && put < MARKS_MAX; i++) {
		const struct pinw_single_violation *v = &p->history->violations[i];
		const struct lane *lane = pinw_table_find(lanes, v->target ? v->target : v->thread);
		const struct pinw_rule_row *rule = pinw_process_rule(p, v->rule);

		if (!lane)
			continue;
		pinw_json_begin_array(j, NULL);
		pinw_json_number(j, NULL, lane->number);
		pinw_json_number(j, NULL, v->time_ns / 1000);
		pinw_json_text(j, NULL, rule && rule->label ? rule->label : "");
		pinw_json_end_array(j);
		put++;
	}
	pinw_json_end_array(j);
}

static void put_masks(struct pinw_json *j, const struct pinw_process *p)
{
	char text[256];

	pinw_json_begin_array(j, "masks"); /* numbers of masks start at 1 */
	pinw_json_text(j, NULL, "");
	for (uint32_t mask = 1; mask <= p->masks.count; mask++) {
		size_t len =
		    pinw_mask_print(text, sizeof(text), pinw_process_mask(p, mask), p->header.mask_words);
		pinw_json_bytes(j, NULL, text, len);
	}
	pinw_json_end_array(j);
}

/* ---- counts over time ------------------------------------------------------------------------- */

static void put_points(struct pinw_json *j, const char *key, const uint32_t points[PINW_TIMELINE_POINTS])
{
	pinw_json_begin_line_array(j, key);
	for (size_t i = 0; i < PINW_TIMELINE_POINTS; i++)
		pinw_json_number(j, NULL, points[i]);
	pinw_json_end_array(j);
}

/* The trace names the rules of its policy, not their limits; a violation tells it. */
static uint64_t cap_of(const struct pinw_process *p)
{
	for (size_t i = 0; i < p->violation_count; i++) {
		const struct pinw_rule_row *rule = pinw_process_rule(p, p->violations[i].rule);
		if (rule && rule->label && strcmp(rule->label, "caps:max_threads") == 0)
			return p->violations[i].limit;
	}
	return 0;
}

static int put_timeline(struct pinw_json *j, const struct pinw_process *p)
{
	struct pinw_timeline t;
	int error = pinw_timeline_make(p, &t);

	if (error == 0) {
		pinw_json_number(j, "end", (t.end_ns + 999) / 1000);
		put_points(j, "live", t.live);
		put_points(j, "pinned", t.pinned);
		pinw_json_begin_array(j, "cpus");
		for (size_t i = 0; i < t.cpu_count; i++) {
			pinw_json_begin_line_array(j, NULL);
			pinw_json_number(j, NULL, t.cpus[i].cpu);
			put_points(j, NULL, t.cpus[i].pinned);
			pinw_json_end_array(j);
		}
		pinw_json_end_array(j);
	}
	pinw_timeline_done(&t);
	return error;
}

int pinw_html_data(struct pinw_html *h, const struct pinw_process *p, struct pinw_json *j)
{
	struct pinw_table lanes;
	uint64_t cap = cap_of(p);

	pinw_table_init(&lanes, sizeof(struct lane));
	int error = choose_lanes(p, &lanes);
	pinw_json_begin_object(j, NULL);
	if (cap)
		pinw_json_number(j, "cap", cap);
	else
		pinw_json_null(j, "cap");
	if (error == 0)
		error = put_timeline(j, p);
	put_masks(j, p);
	put_lanes(j, p, &lanes);
	if (error == 0)
		error = put_blocks(h, j, p, &lanes);
	put_marks(j, p, &lanes);
	pinw_json_end_object(j);
	pinw_table_done(&lanes);
	return error;
}
