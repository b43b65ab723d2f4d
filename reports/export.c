/* SPDX-License-Identifier: MIT */
#include "reports/export.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/report.h"
#include "reports/utf8.h"

const char *pinw_weight_name(enum pinw_weight weight)
{
	static const char *const names[PINW_WEIGHTS] = {
	    [PINW_WEIGHT_CREATIONS] = "creations", [PINW_WEIGHT_THREADS] = "threads",
	    [PINW_WEIGHT_PINS] = "pins",           [PINW_WEIGHT_HOLD] = "hold",
	    [PINW_WEIGHT_LEAKS] = "leaks",
	};

	return names[weight];
}

/* ---- processes -------------------------------------------------------------------------- */

int pinw_export_numbers(const struct pinw_model *m, struct pinw_table *ret_numbers)
{
	uint32_t number = 0;

	pinw_table_init(ret_numbers, sizeof(uint32_t));
	for (size_t i = 0; i < m->process_count; i++) {
		if (m->processes[i]->error)
			continue;
		uint32_t *row = pinw_table_get(ret_numbers, (uintptr_t)m->processes[i], NULL);
		if (!row)
			return -ENOMEM;
		*row = ++number;
	}
	return 0;
}

uint32_t pinw_export_number(const struct pinw_table *numbers, const struct pinw_process *p)
{
	const uint32_t *row = p ? pinw_table_find(numbers, (uintptr_t)p) : NULL;

	return row ? *row : 0;
}

/* ---- names ------------------------------------------------------------------------------ */

void pinw_export_frame(const struct pinw_frame *frame, char *buf)
{
	if (frame->function) {
		pinw_utf8_copy(buf, PINW_EXPORT_TEXT, frame->function, SIZE_MAX, true);
		return;
	}
	size_t len = 0;
	if (frame->module) {
		const char *base = pinw_base_name(frame->module);
		len = pinw_utf8_copy(buf, PINW_EXPORT_TEXT - 24, base, SIZE_MAX, true);
		buf[len++] = '+';
	}
	snprintf(buf + len, PINW_EXPORT_TEXT - len, "0x%" PRIx64, frame->offset);
}

void pinw_export_program(const struct pinw_process *p, char *buf)
{
	const char *slash = memrchr(p->header.exe, '/', p->header.exe_len);
	const char *base = slash ? slash + 1 : p->header.exe;

	pinw_utf8_copy(buf, PINW_EXPORT_TEXT, base, (size_t)(p->header.exe + p->header.exe_len - base), true);
}

void pinw_export_thread(const char name[PINW_NAME_BYTES], char *buf)
{
	pinw_utf8_copy(buf, PINW_EXPORT_TEXT, name, PINW_NAME_BYTES, true);
}

void pinw_export_mask(const struct pinw_process *p, uint32_t mask, char *buf)
{
	const uint64_t *words = pinw_process_mask(p, mask);

	buf[0] = '\0';
	if (words)
		pinw_mask_print(buf, PINW_EXPORT_TEXT, words, p->header.mask_words);
}

/* ---- leaks ------------------------------------------------------------------------------ */

static uint64_t lock_and_unlock(uint32_t site, uint32_t unlock_site)
{
	return (uint64_t)site << 32 | unlock_site;
}

/* The stacks of locks that were undone in another function. */
static int find_undone_elsewhere(const struct pinw_process *p, struct pinw_table *ret_pairs)
{
	pinw_table_init(ret_pairs, 1);
	for (size_t i = 0; i < p->leak_count; i++) {
		const struct pinw_leak *l = &p->leaks[i];
		if (l->kind != PINW_LEAK_UNBALANCED || !l->unlock_site)
			continue;
		if (!pinw_table_get(ret_pairs, lock_and_unlock(l->pin_site, l->unlock_site), NULL))
			return -ENOMEM;
	}
	return 0;
}

/* An inherited pin is a leak from the thread's start, however it ends. */
static void leaked_span(const struct pinw_process *p, const struct pinw_table *elsewhere,
                        const struct pinw_span *s, pinw_leaked_fn fn, void *arg)
{
	struct pinw_leaked leaked = {.thread = pinw_process_thread(p, s->thread),
	                             .span = s,
	                             .origin = s->origin,
	                             .site = s->site,
	                             .time_ns = s->end_ns};
	bool at_end = s->end == PINW_SPAN_OPEN && pinw_process_ended_for_good(p);
	bool lock = s->origin == PINW_ORIGIN_GOLOCK;

	if (s->origin == PINW_ORIGIN_INHERITED || !leaked.thread)
		return;
	if (s->end == PINW_SPAN_THREAD_ENDED || at_end) {
		leaked.kind = at_end ? PINW_LEAK_PINNED_AT_END : PINW_LEAK_EXIT_WHILE_PINNED;
		fn(arg, &leaked);
	}
	if (lock && ((at_end && s->depth > 1) ||
	             (s->end_site && pinw_table_find(elsewhere, lock_and_unlock(s->site, s->end_site))))) {
		leaked.kind = PINW_LEAK_UNBALANCED;
		fn(arg, &leaked);
	}
}

static void leaked_thread(const struct pinw_process *p, const struct pinw_thread *t, pinw_leaked_fn fn,
                          void *arg)
{
	struct pinw_leaked leaked = {.thread = t, .site = t->create_site};

	if (t->inherited)
		fn(arg, &(struct pinw_leaked){.kind = PINW_LEAK_INHERITED,
		                              .thread = t,
		                              .origin = PINW_ORIGIN_INHERITED,
		                              .site = t->inherited_site,
		                              .time_ns = t->started_ns});
	if (pinw_thread_unjoined(p, t)) {
		leaked.kind = PINW_LEAK_UNJOINED;
		leaked.time_ns = t->ended_ns;
		fn(arg, &leaked);
	}
	if (pinw_thread_in_growth(p, t)) {
		leaked.kind = PINW_LEAK_GROWTH;
		leaked.time_ns = t->created_ns;
		fn(arg, &leaked);
	}
}

int pinw_export_leaks(const struct pinw_process *p, pinw_leaked_fn fn, void *arg)
{
	struct pinw_table elsewhere;
	int error = find_undone_elsewhere(p, &elsewhere);

	for (size_t i = 0; error == 0 && i < p->history->span_count; i++)
		leaked_span(p, &elsewhere, &p->history->spans[i], fn, arg);
	for (size_t i = 0; error == 0 && i < p->threads.count; i++)
		leaked_thread(p, pinw_table_at(&p->threads, i), fn, arg);
	pinw_table_done(&elsewhere);
	return error;
}
