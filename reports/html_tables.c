/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mask.h"
#include "reports/advice.h"
#include "reports/creations.h"
#include "reports/html_private.h"
#include "reports/markup.h"
#include "reports/text_private.h"

/* ---- parts of tables -------------------------------------------------------------------- */

/* Columns of numbers are headed "#...". */
static void begin_table(struct pinw_html *h, const char *name, const char *title, const char *const *heads)
{
	fprintf(h->out, "<div class=\"list\"><h3>%s</h3>\n<table class=\"%s\"><thead><tr>", title, name);
	for (; *heads; heads++)
		fprintf(h->out,
		        **heads == '#' ? "<th scope=\"col\" class=\"n\">%s</th>"
		                       : "<th scope=\"col\">%s</th>",
		        *heads + (**heads == '#'));
	fputs("</tr></thead><tbody>\n", h->out);
}

static void end_table(struct pinw_html *h, size_t shown, size_t count)
{
	fputs("</tbody></table>\n", h->out);
	if (count > shown)
		fprintf(h->out,
		        "<p class=\"cut\">%s more rows are not in this page (--top 0 puts all into it; -f "
		        "json has them)</p>\n",
		        pinw_text_count(count - shown));
	fputs("</div>\n", h->out);
}

static void put_number(struct pinw_html *h, const char *text)
{
	fprintf(h->out, "<td class=\"n\">%s</td>", text);
}

static void put_cell(struct pinw_html *h, const char *text)
{
	fputs("<td>", h->out);
	pinw_html_put(h, text);
	fputs("</td>", h->out);
}

static size_t rows_of(const struct pinw_html *h, size_t count)
{
	return count < h->top ? count : h->top;
}

/* ---- stacks -------------------------------------------------------------------------------- */

static void put_frame(struct pinw_html *h, const struct pinw_frame *f)
{
	char text[PINW_EXPORT_TEXT];
	const char *reason = pinw_stacks_reason(f);

	pinw_export_frame(f, text);
	fputs("<li><code>", h->out);
	pinw_html_put(h, text);
	fputs("</code>", h->out);
	if (f->file) {
		fputs(" <span class=\"at\">", h->out);
		pinw_html_put(h, f->file);
		if (f->line)
			fprintf(h->out, ":%u", f->line);
		fputs("</span>", h->out);
	}
	fputs(" <span class=\"in\">", h->out);
	pinw_html_put(h, f->inlined ? "inlined" : f->module ? pinw_base_name(f->module) : "");
	if (reason)
		fprintf(h->out, ", %s", reason);
	fputs("</span></li>\n", h->out);
}

/* A stack that unfolds: who did it and who called that, then all. */
static void put_stack(struct pinw_html *h, const struct pinw_process *p, const char *title, uint32_t id)
{
	const struct pinw_site *site = pinw_process_site(p, id);
	struct pinw_stack stack = {.count = 0};
	char text[PINW_EXPORT_TEXT];

	if (site && site->known)
		pinw_stacks_read(h->stacks, p, site, &stack);
	if (!stack.count) {
		fprintf(h->out, "<div class=\"none\">%s: %s</div>", title,
		        id == 0 ? "no call was seen" : "the stack is not in the trace");
		return;
	}
	pinw_stacks_label(stack.frames, stack.count, text, PINW_STACK_LABEL_BYTES);
	fprintf(h->out, "<details class=\"stack\"><summary>%s <code>", title);
	pinw_html_put(h, text);
	fprintf(h->out, "</code></summary><ol start=\"0\">\n");
	for (unsigned i = 0; i < stack.count; i++)
		put_frame(h, &stack.frames[i]);
	fputs("</ol>", h->out);
	if (site->flags & PINW_SITE_TRUNCATED)
		fputs("<p class=\"cut\">the stack goes on</p>", h->out);
	fputs("</details>", h->out);
}

static void put_threads(struct pinw_html *h, const struct pinw_process *p, const uint32_t *threads,
                        size_t room, uint64_t count)
{
	fputs("<td>", h->out);
	for (size_t i = 0; i < room && threads[i]; i++) {
		fputs(i ? ", " : "", h->out);
		pinw_html_thread(h, p, threads[i]);
	}
	fputs(count > room && threads[room - 1] ? ", …</td>" : "</td>", h->out);
}

/* ---- advice --------------------------------------------------------------------------------- */

static int put_advice(struct pinw_html *h, const struct pinw_process *p)
{
	struct pinw_capacity capacity;
	struct pinw_advices advices = {.count = 0};
	int error = pinw_capacity_of(p, &capacity);

	if (error == 0)
		error = pinw_advices_of(p, &capacity, &advices);
	if (error || !advices.count)
		return error;
	fputs("<h3>Advice</h3>\n<ul class=\"advice\">\n", h->out);
	for (unsigned i = 0; i < advices.count; i++) {
		const struct pinw_advice *a = &advices.list[i];
		fputs("<li><b>", h->out);
		pinw_html_put(h, a->what);
		fputs("</b><br>", h->out);
		pinw_html_put(h, a->cure);
		if (a->site)
			put_stack(h, p, "look at", a->site->id);
		fputs("</li>\n", h->out);
	}
	fputs("</ul>\n", h->out);
	return 0;
}

/* ---- leaks ----------------------------------------------------------------------------------- */

static void put_held(struct pinw_html *h, const struct pinw_leak *l)
{
	if (l->held_min_ns > l->held_max_ns || l->held_max_ns == 0)
		put_number(h, "");
	else
		put_number(h, pinw_text_duration(l->held_max_ns));
}

static void put_leak(struct pinw_html *h, const struct pinw_process *p, const struct pinw_leak *l)
{
	bool golock = l->origin == PINW_ORIGIN_GOLOCK;

	fputs("<tr>", h->out);
	put_cell(h, pinw_leak_kind_name((enum pinw_leak_kind)l->kind));
	put_number(h, pinw_text_count(l->count));
	put_cell(h, golock ? "Go lock" : l->origin ? pinw_origin_name(l->origin) : "");
	put_held(h, l);
	put_threads(h, p, l->threads, PINW_LEAK_EXAMPLES, l->count);
	fputs("<td>", h->out);
	if (l->origin && l->origin != PINW_ORIGIN_BORN)
		put_stack(h, p, golock ? "locked at" : "pinned at", l->pin_site);
	for (uint32_t i = 0; i < l->creator_count && i < 2; i++)
		put_stack(h, p, "created at", l->creators[i].site);
	fputs("</td></tr>\n", h->out);
}

static void put_leaks(struct pinw_html *h, const struct pinw_process *p)
{
	static const char *const heads[] = {"leak",    "#count", "pin", "#longest hold",
	                                    "threads", "stacks", NULL};
	size_t rows = rows_of(h, p->leak_count);

	if (!rows)
		return;
	begin_table(h, "leaks", "Leaks", heads);
	for (size_t i = 0; i < rows; i++)
		put_leak(h, p, &p->leaks[i]);
	end_table(h, rows, p->leak_count);
}

/* ---- violations --------------------------------------------------------------------------------- */

static const char *outcome(const struct pinw_violation *v)
{
	static const char *const words[] = {[PINW_DONE_LOGGED] = "logged",
	                                    [PINW_DONE_DENIED] = "denied",
	                                    [PINW_DONE_RESET] = "reset",
	                                    [PINW_DONE_CRASHED] = "crashed",
	                                    [PINW_DONE_FAILED] = "not reset"};
	static char would[32];

	if (v->done == PINW_DONE_WOULD) {
		snprintf(would, sizeof(would), "would %s", pinw_action_name((enum pinw_action)v->action));
		return would;
	}
	return v->done < sizeof(words) / sizeof(words[0]) && words[v->done] ? words[v->done] : "";
}

static void put_violation(struct pinw_html *h, const struct pinw_process *p, const struct pinw_violation *v)
{
	const struct pinw_rule_row *rule = pinw_process_rule(p, v->rule);

	fputs("<tr>", h->out);
	put_cell(h, rule && rule->label ? rule->label : "");
	put_number(h, pinw_text_count(v->count));
	put_cell(h, pinw_attempt_words(v->attempt));
	put_cell(h, outcome(v));
	put_number(h, v->value ? pinw_text_count(v->value) : "");
	put_number(h, v->value ? pinw_text_count(v->limit) : "");
	put_threads(h, p, v->threads, PINW_VIOLATION_EXAMPLES, v->count);
	fputs("<td>", h->out);
	put_stack(h, p, "at", v->site);
	fputs("</td></tr>\n", h->out);
}

static void put_violations(struct pinw_html *h, const struct pinw_process *p)
{
	static const char *const heads[] = {"rule",   "#count",  "attempt", "outcome", "#counted",
	                                    "#limit", "threads", "stack",   NULL};
	size_t rows = rows_of(h, p->violation_count);

	if (!rows)
		return;
	begin_table(h, "violations", "Violations", heads);
	for (size_t i = 0; i < rows; i++)
		put_violation(h, p, &p->violations[i]);
	end_table(h, rows, p->violation_count);
}

/* ---- pins and Go locks ------------------------------------------------------------------------------ */

static void put_holds(struct pinw_html *h, uint64_t count, uint64_t sum_ns, uint64_t max_ns)
{
	put_number(h, count ? pinw_text_duration(sum_ns / count) : "");
	put_number(h, count ? pinw_text_duration(max_ns) : "");
}

static void put_pins(struct pinw_html *h, const struct pinw_process *p)
{
	static const char *const heads[] = {"#opened",  "#released", "#left",  "#open", "#mean hold",
	                                    "#longest", "origin",    "pinned", NULL};
	size_t rows = rows_of(h, p->pin_sites.count);

	if (!rows)
		return;
	begin_table(h, "pins", "Pins by site", heads);
	for (size_t i = 0; i < rows; i++) {
		const struct pinw_pin_site *s = &p->sorted_pin_sites[i];

		fputs("<tr>", h->out);
		put_number(h, pinw_text_count(s->opened));
		put_number(h, pinw_text_count(s->released));
		put_number(h, pinw_text_count(s->lost));
		put_number(h, pinw_text_count(s->open));
		put_holds(h, s->held_count, s->held_sum_ns, s->held_max_ns);
		put_cell(h, pinw_origin_name(s->origin));
		fputs("<td>", h->out);
		put_stack(h, p, s->origin == PINW_ORIGIN_BORN ? "created with a mask at" : "pinned at",
		          s->site);
		fputs("</td></tr>\n", h->out);
	}
	end_table(h, rows, p->pin_sites.count);
}

static void put_golocks(struct pinw_html *h, const struct pinw_process *p)
{
	static const char *const heads[] = {"#locked",  "#unlocked", "#destroyed", "#open", "#mean hold",
	                                    "#longest", "#depth",    "locked",     NULL};
	size_t rows = rows_of(h, p->golock_sites.count);

	if (!rows)
		return;
	begin_table(h, "golocks", "Go locks by site", heads);
	for (size_t i = 0; i < rows; i++) {
		const struct pinw_golock_site *s = &p->sorted_golock_sites[i];

		fputs("<tr>", h->out);
		put_number(h, pinw_text_count(s->locked));
		put_number(h, pinw_text_count(s->unlocked));
		put_number(h, pinw_text_count(s->destroyed));
		put_number(h, pinw_text_count(s->open));
		put_holds(h, s->held_count, s->held_sum_ns, s->held_max_ns);
		put_number(h, pinw_text_count(s->depth_max));
		fputs("<td>", h->out);
		put_stack(h, p, "locked at", s->site);
		fputs("</td></tr>\n", h->out);
	}
	end_table(h, rows, p->golock_sites.count);
}

/* ---- churn ---------------------------------------------------------------------------------------- */

static void put_churn(struct pinw_html *h, const struct pinw_process *p, const struct pinw_creations *c,
                      uint64_t most)
{
	char rate[PINW_CREATIONS_RATE_BYTES];

	pinw_creations_rate(p, c, rate);
	fputs("<tr>", h->out);
	fprintf(h->out, "<td class=\"n\">%s<span class=\"bar\" style=\"width:%.1f%%\"></span></td>",
	        pinw_text_count(c->created), 100.0 * (double)c->created / (double)most);
	put_number(h, rate);
	put_number(h, pinw_text_count(c->created - c->ended));
	put_number(h, c->ended ? pinw_text_duration(c->lived_ns / c->ended) : "");
	put_number(h, pinw_text_count(c->short_lived));
	fputs("<td>", h->out);
	put_stack(h, p, "created at", c->site);
	fputs("</td></tr>\n", h->out);
}

static int put_creations(struct pinw_html *h, const struct pinw_process *p)
{
	static const char *const heads[] = {
	    "#created", "#a second", "#without an end", "#mean life", "#shorter than 1 s", "created", NULL};
	struct pinw_creations *list;
	size_t count;
	int error = pinw_creations_of(p, &list, &count);

	if (error == 0 && count) {
		size_t rows = rows_of(h, count);
		begin_table(h, "churn", "Churn by creation site", heads);
		for (size_t i = 0; i < rows; i++)
			put_churn(h, p, &list[i], list[0].created);
		end_table(h, rows, count);
	}
	free(list);
	return error;
}

/* ---- threads ---------------------------------------------------------------------------------------- */

static void put_thread_row(struct pinw_html *h, const struct pinw_process *p, const struct pinw_thread *t)
{
	const uint64_t *mask = pinw_process_mask(p, t->mask);
	const char *how = pinw_thread_how_name((enum pinw_thread_how)t->how);
	uint64_t end = t->ended_ns != PINW_TIME_UNKNOWN ? t->ended_ns : p->duration_ns;
	char cpus[256] = "";

	if (mask)
		pinw_mask_print(cpus, sizeof(cpus), mask, p->header.mask_words);
	fputs("<tr>", h->out);
	put_number(h, pinw_text_count(t->id));
	fprintf(h->out, "<td class=\"n\">%" PRIu32 "</td>", t->tid);
	fputs("<td>", h->out);
	pinw_markup_bytes(h->out, t->name, strnlen(t->name, sizeof(t->name)));
	fputs("</td>", h->out);
	put_number(h, t->started_ns != PINW_TIME_UNKNOWN ? pinw_text_duration(t->started_ns) : "");
	put_number(h, t->started_ns != PINW_TIME_UNKNOWN ? pinw_text_duration(pinw_since(end, t->started_ns))
	                                                 : "");
	put_cell(h, how ? how : "alive");
	put_cell(h, cpus);
	put_cell(h, t->pin.depth ? pinw_origin_name(t->pin.origin) : "");
	put_number(h, pinw_text_count(t->pins_opened));
	fputs("</tr>\n", h->out);
}

static void put_thread_list(struct pinw_html *h, const struct pinw_process *p)
{
	static const char *const heads[] = {"#id", "#tid", "name",     "#started",     "#lived",
	                                    "end", "CPUs", "open pin", "#pins opened", NULL};
	size_t rows = rows_of(h, p->threads.count);

	fputs("<details class=\"threads\"><summary>Threads</summary>\n", h->out);
	begin_table(h, "threads", "Threads", heads);
	for (size_t i = 0; i < rows; i++)
		put_thread_row(h, p, pinw_table_at(&p->threads, i));
	end_table(h, rows, p->threads.count);
	fputs("</details>\n", h->out);
}

int pinw_html_tables(struct pinw_html *h, const struct pinw_process *p)
{
	put_leaks(h, p);
	put_violations(h, p);
	int error = put_advice(h, p);
	put_pins(h, p);
	put_golocks(h, p);
	if (error == 0)
		error = put_creations(h, p);
	put_thread_list(h, p);
	return error;
}
