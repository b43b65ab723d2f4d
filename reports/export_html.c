/* SPDX-License-Identifier: MIT
 *
 * One page for people: verdict, charts, tables, stacks that unfold. It needs no network and no other file, allows none
 * (Content-Security-Policy), and all but the charts and the filter works without a script.
 *
 * However many events there were, the page stays small: tables have `top` rows, lanes a bounded number of blocks, counts over time a
 * fixed number of points. Where something is left out, it says so.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "reports/html_private.h"
#include "reports/json.h"
#include "reports/markup.h"
#include "reports/text_private.h"

#define BLOCKS_MAX 20000u /* in all lanes of a page */
#define SECTIONS_MAX 40u

/* html/assets.S */
extern const char pinw_html_style[], pinw_html_style_end[];
extern const char pinw_html_script[], pinw_html_script_end[];
extern const char pinw_html_chart_style[], pinw_html_chart_style_end[];
extern const char pinw_html_chart_script[], pinw_html_chart_script_end[];

void pinw_html_put(struct pinw_html *h, const char *text)
{
	pinw_markup_text(h->out, text);
}

void pinw_html_thread(struct pinw_html *h, const struct pinw_process *p, uint32_t id)
{
	const struct pinw_thread *t = pinw_process_thread(p, id);

	fprintf(h->out, "%" PRIu32 " ", id);
	if (t)
		pinw_markup_bytes(h->out, t->name, strnlen(t->name, sizeof(t->name)));
}

static void put_asset(struct pinw_html *h, const char *start, const char *end)
{
	fwrite(start, 1, (size_t)(end - start), h->out);
	fputc('\n', h->out);
}

static void put_program(struct pinw_html *h, const struct pinw_process *p)
{
	size_t len;
	const char *program = pinw_text_program(p, &len);

	pinw_markup_bytes(h->out, program, len);
}

/* ---- head ---------------------------------------------------------------------------------- */

static void put_head(struct pinw_html *h)
{
	fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
	      "'unsafe-inline'; "
	      "script-src 'unsafe-inline'\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>Pinwarden report",
	      h->out);
	if (h->model->process_count && !h->model->processes[0]->error) {
		fputs(": ", h->out);
		put_program(h, h->model->processes[0]);
	}
	fputs("</title>\n<style>\n", h->out);
	put_asset(h, pinw_html_chart_style, pinw_html_chart_style_end);
	put_asset(h, pinw_html_style, pinw_html_style_end);
	fputs("</style></head>\n<body>\n", h->out);
}

/* The words of the text report, so that both say the same. */
static int put_verdict(struct pinw_html *h)
{
	char *text = NULL;
	size_t len;
	bool bad = false;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return -ENOMEM;
	int error = pinw_report_verdict(h->model, h->stacks, out, &bad);
	if (fclose(out) != 0)
		error = -ENOMEM;
	if (error == 0) {
		fprintf(h->out, "<header><h1>Pinwarden report</h1>\n<div id=\"verdict\" class=\"%s\">",
		        bad ? "bad" : "good");
		for (char *next = text, *line; (line = strsep(&next, "\n")) && *line;) {
			fputs("<p>", h->out);
			pinw_html_put(h, line);
			fputs("</p>\n", h->out);
		}
		fputs("</div></header>\n<p id=\"filter-box\" hidden><label>Filter rows <input id=\"filter\" "
		      "type=\"search\" "
		      "placeholder=\"function, thread, leak … (press /)\" autocomplete=\"off\"></label> "
		      "<button id=\"unfold\" type=\"button\">Unfold all stacks</button> <span id=\"matches\" "
		      "role=\"status\"></span></p>\n",
		      h->out);
	}
	free(text);
	return error;
}

/* ---- processes ---------------------------------------------------------------------------------- */

static bool has_a_story(const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;

	return pinw_process_leaks(p) || pinw_process_violations(p) || n->threads_created || n->pins_opened ||
	       n->golocks || n->events_dropped;
}

/* Processes that have a section, in the order of the tree: those with a leak or a violation before all. NULL when out of memory. */
static const struct pinw_process **choose(const struct pinw_html *h, size_t *ret_count)
{
	const struct pinw_model *m = h->model;
	const struct pinw_process **chosen = calloc(m->process_count + 1, sizeof(void *));
	bool *taken = calloc(m->process_count + 1, sizeof(*taken));
	size_t count = 0, most = h->top == SIZE_MAX ? SIZE_MAX : SECTIONS_MAX;

	for (unsigned level = 0; chosen && taken && level < 3; level++)
		for (size_t i = 0; i < m->process_count && count < most; i++) {
			const struct pinw_process *p = m->processes[i];
			bool leaks = !p->error && (pinw_process_leaks(p) || pinw_process_violations(p));

			if (p->error || taken[i] || (level == 0 && !leaks) ||
			    (level == 1 && !has_a_story(p)) || (level == 2 && count))
				continue;
			taken[i] = true;
			count++;
		}
	*ret_count = 0;
	for (size_t i = 0; chosen && taken && i < m->process_count; i++)
		if (taken[i])
			chosen[(*ret_count)++] = m->processes[i];
	free(taken);
	return chosen;
}

static void put_process_row(struct pinw_html *h, const struct pinw_process *p, bool linked)
{
	const struct pinw_counters *n = &p->live.counters;

	fprintf(h->out, "<tr><td style=\"padding-left:%uem\">",
	        1 + (p->tree_depth < 10 ? p->tree_depth : 10));
	if (linked)
		fprintf(h->out, "<a href=\"#p%" PRIu32 "\">", p->order);
	put_program(h, p);
	fprintf(h->out, "%s</td><td class=\"n\">%" PRIu32 "</td><td>%s</td>", linked ? "</a>" : "",
	        p->header.self.pid, pinw_text_end(p));
	fprintf(h->out,
	        "<td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td>"
	        "<td class=\"n\">%s</td></tr>\n",
	        pinw_text_lived(p), pinw_text_count(n->threads_created + n->threads_adopted),
	        pinw_text_count(n->pins_opened + n->golocks), pinw_text_count(pinw_process_leaks(p)),
	        pinw_text_count(pinw_process_violations(p)));
}

static void put_processes(struct pinw_html *h, const struct pinw_process **chosen, size_t count)
{
	size_t rows = 0, at = 0, readable = 0;
	size_t most = h->top == SIZE_MAX ? SIZE_MAX : 1000;

	fputs("<h2>Processes</h2>\n<div class=\"tree\" tabindex=\"0\" role=\"group\" "
	      "aria-label=\"Processes\"><table class=\"processes\"><thead><tr><th scope=\"col\">program</th>"
	      "<th scope=\"col\" class=\"n\">pid</th><th scope=\"col\">end</th>"
	      "<th scope=\"col\" class=\"n\">ran</th><th scope=\"col\" class=\"n\">threads</th>"
	      "<th scope=\"col\" class=\"n\">pins</th><th scope=\"col\" class=\"n\">leaks</th>"
	      "<th scope=\"col\" class=\"n\">violations</th></tr></thead>"
	      "<tbody>\n",
	      h->out);
	for (size_t i = 0; i < h->model->process_count; i++) {
		const struct pinw_process *p = h->model->processes[i];
		if (p->error)
			continue;
		bool linked = at < count && chosen[at] == p;
		at += linked;
		readable++;
		if (!linked && rows >= most)
			continue;
		put_process_row(h, p, linked);
		rows++;
	}
	fputs("</tbody></table></div>\n", h->out);
	if (readable > rows)
		fprintf(h->out, "<p class=\"cut\">%s more processes are not in this list</p>\n",
		        pinw_text_count(readable - rows));
	if (readable > count)
		fprintf(
		    h->out,
		    "<p class=\"cut\">%s have no section of their own in this page: name their trace</p>\n",
		    pinw_text_counted(readable - count, "process", "processes"));
}

static void put_unreadable(struct pinw_html *h)
{
	for (size_t i = 0; i < h->model->process_count; i++) {
		const struct pinw_process *p = h->model->processes[i];
		if (!p->error)
			continue;
		fputs("<p class=\"cut\">", h->out);
		pinw_html_put(h, p->path);
		fprintf(h->out, ": %s</p>\n", pinw_reader_strerror(p->error));
	}
}

/* ---- one process ------------------------------------------------------------------------------------ */

/* "  name      text", or under it more text. */
static void put_fact(struct pinw_html *h, const char *line, bool first)
{
	size_t len = strnlen(line, PINW_TEXT_FIELD), name = len;

	while (name && line[name - 1] == ' ')
		name--;
	if (name > 2)
		fprintf(h->out, "%s<dt>%.*s</dt><dd>", first ? "" : "</dd>\n", (int)name - 2, line + 2);
	else
		fputs("<br>", h->out);
	pinw_html_put(h, line + len);
}

/* The words of the text report, so that both say the same. */
static int put_facts(struct pinw_html *h, const struct pinw_process *p)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return -ENOMEM;
	int error = pinw_report_facts(h->model, h->stacks, p, out);
	if (fclose(out) != 0)
		error = -ENOMEM;
	fputs("<dl class=\"facts\">", h->out);
	for (char *next = text, *line; error == 0 && (line = strsep(&next, "\n")) && *line;)
		put_fact(h, line, line == text);
	fputs("</dd></dl>\n", h->out);
	free(text);
	return error;
}

static int put_charts(struct pinw_html *h, const struct pinw_process *p)
{
	struct pinw_json j;

	fputs("<div class=\"charts\"></div>\n<noscript><p class=\"cut\">Charts need a script; the tables do "
	      "not.</p></noscript>\n<script type=\"application/json\" class=\"data\">\n",
	      h->out);
	pinw_json_init(&j, h->out);
	j.in_markup = true;
	int error = pinw_html_data(h, p, &j);
	int write_error = pinw_json_done(&j);
	fputs("</script>\n", h->out);
	return error < 0 ? error : write_error;
}

static int put_section(struct pinw_html *h, const struct pinw_process *p)
{
	fprintf(h->out, "<section id=\"p%" PRIu32 "\"><h2>", p->order);
	put_program(h, p);
	fprintf(h->out, " <small>pid %" PRIu32 ", %s</small></h2>\n", p->header.self.pid, pinw_text_end(p));
	int error = put_facts(h, p);
	if (error == 0)
		error = put_charts(h, p);
	if (error == 0)
		error = pinw_html_tables(h, p);
	fputs("</section>\n", h->out);
	return error;
}

static int put_body(struct pinw_html *h)
{
	size_t count;
	const struct pinw_process **chosen = choose(h, &count);
	int error = chosen ? put_verdict(h) : -ENOMEM;

	if (error == 0) {
		h->blocks = BLOCKS_MAX / (count ? count : 1);
		put_unreadable(h);
		if (h->model->process_count > 1)
			put_processes(h, chosen, count);
	}
	for (size_t i = 0; error == 0 && i < count; i++)
		error = put_section(h, chosen[i]);
	free(chosen);
	return error;
}

int pinw_export_html(const struct pinw_model *m, struct pinw_stacks *stacks, size_t top, FILE *out)
{
	struct pinw_html h = {.out = out, .model = m, .stacks = stacks, .top = top ? top : SIZE_MAX};

	put_head(&h);
	int error = put_body(&h);
	fputs("<footer>pinwarden " PINW_VERSION "; charts by uPlot (MIT)</footer>\n<script>\n", out);
	put_asset(&h, pinw_html_chart_script, pinw_html_chart_script_end);
	put_asset(&h, pinw_html_script, pinw_html_script_end);
	fputs("</script></body></html>\n", out);
	errno = 0;
	if ((fflush(out) != 0 || ferror(out)) && error == 0)
		error = errno ? -errno : -EIO;
	return error;
}
