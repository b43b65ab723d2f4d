/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "reports/text_private.h"
#include "reports/top.h"
#include "reports/utf8.h"

#define HINT_ROWS 1u
#define RULES_SHOWN 3u

/* A screen being drawn: lines are put together in `term` and written cut to its width. */
struct screen {
	struct pinw_term term;
	struct pinw_top *top;
	const struct pinw_top_view *view;
	unsigned line; /* written so far */
};

/* ---- lines ----------------------------------------------------------------------------------------- */

/* Bytes of the line that fit its width. */
static size_t fitting(const struct screen *s)
{
	const char *text = s->term.line;
	unsigned used = 0;
	size_t at = 0;

	while (s->view->columns && at < s->term.len) {
		uint32_t code = 0;
		size_t n = pinw_utf8_next(text + at, s->term.len - at, &code);
		used += n ? pinw_utf8_columns(code) : 1;
		if (used > s->view->columns)
			return at;
		at += n ? n : 1;
	}
	return s->term.len;
}

static const char *code_of(enum pinw_style style)
{
	switch (style) {
	case PINW_STYLE_HEADING:
		return "\033[7m";
	case PINW_STYLE_GOOD:
		return "\033[32m";
	case PINW_STYLE_BAD:
		return "\033[1;31m";
	case PINW_STYLE_DIM:
		return "\033[2m";
	default:
		return "";
	}
}

/* In a terminal what was there is cleared as it is written over, so that nothing flickers; no newline ends the last line. */
static void end(struct screen *s, enum pinw_style style)
{
	FILE *out = s->term.out;
	bool limited = s->view->rows != 0;

	if (limited && style == PINW_STYLE_HEADING) /* a bar, also without colours */
		pinw_term_pad(&s->term, s->view->columns);
	size_t len = fitting(s);
	while (!limited && len && s->term.line[len - 1] == ' ')
		len--;
	bool coded = s->view->color || (limited && style == PINW_STYLE_HEADING);
	if (limited && s->line >= s->view->rows) {
		s->term.len = 0;
		return;
	}
	if (limited && s->line)
		fputs("\r\n", out);
	if (coded)
		fputs(code_of(style), out);
	if (len)
		fwrite(s->term.line, 1, len, out);
	if (coded)
		fputs("\033[0m", out);
	fputs(limited ? "\033[K" : "\n", out);
	s->term.len = 0;
	s->line++;
}

static bool is_wide(const struct screen *s, unsigned columns)
{
	return s->view->columns == 0 || s->view->columns >= columns;
}

static unsigned lines_left(const struct screen *s)
{
	if (s->view->rows == 0)
		return UINT32_MAX;
	return s->line + HINT_ROWS < s->view->rows ? s->view->rows - s->line - HINT_ROWS : 0;
}

/* ---- the head --------------------------------------------------------------------------------------- */

static void put_rate(struct screen *s, uint64_t now, uint64_t then)
{
	double rate = pinw_top_rate(s->top, now, then);

	pinw_term_put(&s->term, rate < 1000 ? " (%.1f/s)" : " (%.0f/s)", rate);
}

static void draw_title(struct screen *s)
{
	const struct pinw_live *l = s->top->live;
	const struct pinw_process *p = l->process;
	bool running = p->how == PINW_HOW_RUNNING;
	size_t len;
	const char *program = pinw_text_program(p, &len);

	pinw_term_put(&s->term, "pinwarden top - ");
	pinw_term_put_foreign(&s->term, program, len < 40 ? len : 40);
	pinw_term_put(&s->term, " %u ", l->pid > 0 ? (unsigned)l->pid : p->header.self.pid);
	if (p->elsewhere && running)
		pinw_term_put(&s->term, "recorded on another machine, or before a reboot");
	else if (running)
		pinw_term_put(&s->term, "up %s", pinw_text_duration(l->now_ns));
	else
		pinw_term_put(&s->term, "ENDED: %s after %s", pinw_text_end(p), pinw_text_lived(p));
	if (s->view->rows && running)
		pinw_term_put(&s->term, s->view->paused ? ", paused" : ", every %g s", s->view->delay_s);
	if (s->top->first && running && !p->elsewhere)
		pinw_term_put(&s->term, " (means since its start)");
	end(s, running ? PINW_STYLE_PLAIN : PINW_STYLE_BAD);
}

static void draw_threads(struct screen *s)
{
	const struct pinw_counters *n = &s->top->live->process->live.counters;

	pinw_term_put(&s->term, "threads  %" PRIu64 " alive, peak %" PRIu64, n->threads_live,
	              n->threads_peak);
	if (s->top->kernel_threads && s->top->kernel_threads != n->threads_live)
		pinw_term_put(&s->term, ", kernel %" PRIu32, s->top->kernel_threads);
	pinw_term_put(&s->term, "; created %" PRIu64, n->threads_created);
	put_rate(s, s->top->now.created, s->top->then.created);
	pinw_term_put(&s->term, "; ended %" PRIu64, n->threads_exited);
	put_rate(s, s->top->now.ended, s->top->then.ended);
	end(s, PINW_STYLE_PLAIN);
}

static void draw_pins(struct screen *s)
{
	const struct pinw_counters *n = &s->top->live->process->live.counters;

	pinw_term_put(&s->term, "pins     %" PRIu64 " CPU, %" PRIu64 " Go; opened %" PRIu64, n->pins_open,
	              n->golocks_open, s->top->now.pins);
	put_rate(s, s->top->now.pins, s->top->then.pins);
	pinw_term_put(&s->term, "; calls %" PRIu64, s->top->now.calls);
	put_rate(s, s->top->now.calls, s->top->then.calls);
	uint64_t leaked = n->leaks_exit_while_pinned + n->golocks_lost;
	if (leaked)
		pinw_term_put(&s->term, "; LEAKED %" PRIu64, leaked);
	end(s, leaked ? PINW_STYLE_BAD : PINW_STYLE_PLAIN);
}

static void put_quantiles(struct screen *s, const struct pinw_histogram *h)
{
	uint64_t half = pinw_top_quantile(h, 0.5);

	if (half)
		pinw_term_put(&s->term, "p50 <%s p99 <%s", pinw_text_duration(half),
		              pinw_text_duration(pinw_top_quantile(h, 0.99)));
	else
		pinw_term_put(&s->term, "none");
}

static void draw_latency(struct screen *s)
{
	const struct pinw_trace_live *live = &s->top->live->process->live;

	pinw_term_put(&s->term, "create   ");
	put_quantiles(s, &live->create_ns);
	if (!s->top->first) {
		pinw_term_put(&s->term, "; now ");
		put_quantiles(s, &s->top->create_span);
	}
	if (is_wide(s, 100)) {
		pinw_term_put(&s->term, "; affinity calls ");
		put_quantiles(s, &live->affinity_ns);
	}
	end(s, PINW_STYLE_PLAIN);
}

static void draw_pinned(struct screen *s)
{
	const struct pinw_top *t = s->top;

	pinw_term_put(&s->term, "pinned   %u threads: %u busy, %u waiting for a CPU, %u idle", t->pinned,
	              t->busy, t->waits, t->idle);
	if (t->no_delays)
		pinw_term_put(&s->term, "; no run delays (kernel without schedstat)");
	if (t->no_migrations && is_wide(s, 100))
		pinw_term_put(&s->term, "; no migrations (kernel without /proc/PID/sched)");
	end(s, t->waits ? PINW_STYLE_BAD : PINW_STYLE_PLAIN);
}

/* ---- rules ---------------------------------------------------------------------------------------------- */

static const struct pinw_rule_row *latest_before(const struct pinw_table *rules,
                                                 const struct pinw_rule_row *shown)
{
	const struct pinw_rule_row *best = NULL;

	for (size_t i = 0; i < rules->count; i++) {
		const struct pinw_rule_row *r = pinw_table_at(rules, i);
		if (!pinw_rule_violations(r) || r->last_ns == PINW_TIME_UNKNOWN)
			continue;
		if (shown &&
		    (r->last_ns > shown->last_ns || (r->last_ns == shown->last_ns && r->id <= shown->id)))
			continue;
		if (!best || r->last_ns > best->last_ns)
			best = r;
	}
	return best;
}

static void draw_violation(struct screen *s, const struct pinw_rule_row *rule)
{
	const char *label = rule->label ? rule->label : "?";

	pinw_term_put(&s->term, "  %s ago  ",
	              pinw_text_duration(pinw_since(s->top->live->now_ns, rule->last_ns)));
	pinw_term_put_foreign(&s->term, label, strlen(label));
	pinw_term_put(&s->term, " (line %u), %" PRIu64 " times, %s", rule->line, pinw_rule_violations(rule),
	              pinw_action_name((enum pinw_action)rule->action));
	if (rule->action > PINW_ACTION_LOG)
		pinw_term_put(&s->term, " (done %" PRIu64 ")", rule->done);
	if (rule->last_thread)
		pinw_term_put(&s->term, ", thread %u", rule->last_thread);
	end(s, PINW_STYLE_BAD);
}

/* The rules that were broken last, last first. */
static void draw_policy(struct screen *s)
{
	const struct pinw_process *p = s->top->live->process;
	const struct pinw_rule_row *rule = NULL;
	size_t max = s->view->rows == 0 ? SIZE_MAX : s->view->rows >= 20 ? RULES_SHOWN : 1;

	if (!p->has_policy)
		return;
	pinw_term_put(&s->term, "policy   %s ", pinw_text_mode(p));
	if (p->policy.path)
		pinw_term_put_foreign(&s->term, pinw_base_name(p->policy.path),
		                      strlen(pinw_base_name(p->policy.path)));
	pinw_term_put(&s->term, "; violations %" PRIu64, s->top->now.violations);
	put_rate(s, s->top->now.violations, s->top->then.violations);
	end(s, PINW_STYLE_PLAIN);
	for (size_t i = 0; i < max && (rule = latest_before(&p->rules, rule)) != NULL; i++)
		draw_violation(s, rule);
}

/* ---- the table ------------------------------------------------------------------------------------------- */

enum column {
	COL_ID,
	COL_TID,
	COL_NAME,
	COL_PIN,
	COL_CPUS,
	COL_HELD,
	COL_RUN,
	COL_WAIT,
	COL_STATE,
	COL_MIGR,
	COL_IN,
	COL_AT,
	COLUMNS
};

static const struct {
	const char *title;
	unsigned width;
	unsigned from; /* it is there in terminals of at least so many columns */
	bool right;
} columns[COLUMNS] = {
    [COL_ID] = {"ID", 5, 88, true},       [COL_TID] = {"TID", 7, 0, true},
    [COL_NAME] = {"NAME", 15, 0, false},  [COL_PIN] = {"PIN", 9, 46, false},
    [COL_CPUS] = {"CPUS", 7, 62, false},  [COL_HELD] = {"HELD", 6, 70, true},
    [COL_RUN] = {"RUN%", 5, 0, true},     [COL_WAIT] = {"WAIT%", 5, 42, true},
    [COL_STATE] = {"STATE", 5, 0, false}, [COL_MIGR] = {"MIGR", 5, 78, true},
    [COL_IN] = {"IN", 12, 120, false},    [COL_AT] = {"AT", 0, 100, false},
};

static void put_column(struct screen *s, enum column c, const char *text, size_t len)
{
	unsigned at = pinw_term_at(&s->term) + (s->term.len ? 1 : 0);

	pinw_term_pad(&s->term, at);
	if (columns[c].width == 0)
		pinw_term_put_foreign(&s->term, text, len);
	else if (columns[c].right && len <= columns[c].width)
		pinw_term_put(&s->term, "%*.*s", (int)columns[c].width, (int)len, text);
	else
		pinw_term_put_cell(&s->term, text, len, columns[c].width);
}

/* Where threads are takes the place of what holds them. */
static bool is_there(const struct screen *s, enum column c)
{
	if (s->view->where && (c == COL_IN || c == COL_AT))
		return true;
	if (s->view->where && (c == COL_PIN || c == COL_CPUS || c == COL_HELD || c == COL_MIGR))
		return is_wide(s, columns[COL_IN].from);
	return is_wide(s, columns[c].from);
}

static void put_words(struct screen *s, enum column c, const char *text)
{
	if (is_there(s, c))
		put_column(s, c, text, strlen(text));
}

__attribute__((format(printf, 3, 4))) static void put_cell(struct screen *s, enum column c,
                                                           const char *format, ...)
{
	char text[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put_words(s, c, text);
}

/* "self", "self+go", "go x2": what holds it. */
static void put_pin(struct screen *s, const struct pinw_top_thread *t)
{
	const char *origin = pinw_origin_name(t->pin_origin);

	if (t->pin_depth && t->golock_depth)
		put_cell(s, COL_PIN, "%.6s+go", origin);
	else if (t->pin_depth)
		put_words(s, COL_PIN, origin);
	else if (t->golock_depth > 1)
		put_cell(s, COL_PIN, "go x%" PRIu32, t->golock_depth);
	else
		put_words(s, COL_PIN, t->golock_depth ? "go" : "-");
}

static void put_share(struct screen *s, enum column c, bool known, double share)
{
	if (known)
		put_cell(s, c, "%.1f", 100 * share);
	else
		put_words(s, c, "-");
}

/* "4m05s" in six columns. */
static void put_held(struct screen *s, const struct pinw_top_thread *t)
{
	uint64_t seconds = t->held_ns / 1000000000u;

	if (!t->held_ns)
		put_words(s, COL_HELD, "-");
	else if (seconds < 60)
		put_cell(s, COL_HELD, "%.1fs", (double)t->held_ns / 1e9);
	else
		put_words(s, COL_HELD, pinw_text_duration(t->held_ns));
}

static void put_call(struct screen *s, const struct pinw_top_thread *t)
{
	const char *name = t->sleep.call >= 0 ? pinw_sleep_call_name(t->sleep.call) : NULL;

	put_words(s, COL_IN,
	          t->sleep.state == 'R' ? "running"
	          : name                ? name
	          : t->sleep.wchan[0]   ? t->sleep.wchan
	                                : "-");
}

static enum pinw_style style_of(const struct pinw_top_thread *t)
{
	switch (t->doing) {
	case PINW_DOING_BUSY:
		return PINW_STYLE_GOOD;
	case PINW_DOING_WAITS:
		return PINW_STYLE_BAD;
	case PINW_DOING_ENDED:
		return PINW_STYLE_DIM;
	default:
		return PINW_STYLE_PLAIN;
	}
}

static void draw_row(struct screen *s, struct pinw_top_thread *t)
{
	pinw_top_detail(s->top, t);
	put_cell(s, COL_ID, "%" PRIu32, t->id);
	put_cell(s, COL_TID, "%" PRIu32, t->tid);
	put_column(s, COL_NAME, t->name, strnlen(t->name, sizeof(t->name)));
	put_pin(s, t);
	put_words(s, COL_CPUS, t->cpus);
	put_held(s, t);
	put_share(s, COL_RUN, t->timed, t->run);
	put_share(s, COL_WAIT, t->timed && t->delays, t->wait);
	put_words(s, COL_STATE, pinw_top_doing_name(t->doing));
	if (t->migrations_known)
		put_cell(s, COL_MIGR, "%" PRIu64, t->migrations);
	else
		put_words(s, COL_MIGR, "-");
	put_call(s, t);
	if (is_there(s, COL_AT)) {
		if (!s->top->stacks)
			pinw_stacks_open(&s->top->stacks);
		put_words(s, COL_AT,
		          s->top->stacks ? pinw_live_site(s->top->live, s->top->stacks, t->site) : "");
	}
	end(s, style_of(t));
}

static void draw_table(struct screen *s, struct pinw_top_view *view)
{
	size_t count = pinw_top_choose(s->top, &view->choice);

	for (unsigned c = 0; c < COLUMNS; c++)
		put_words(s, (enum column)c, columns[c].title);
	end(s, PINW_STYLE_HEADING);
	size_t room = lines_left(s);
	size_t last = count > room ? count - room : 0;
	view->scroll = view->scroll < last ? view->scroll : last;
	for (size_t i = view->scroll; i < count && i - view->scroll < room; i++)
		draw_row(s, &s->top->threads[i]);
	if (count == 0 && room) {
		pinw_term_put(&s->term, view->choice.filter[0] ? "  no thread of that name"
		                        : view->choice.all     ? "  no thread"
		                        : view->rows           ? "  no thread is pinned; a shows all threads"
		                                               : "  no thread is pinned");
		end(s, PINW_STYLE_PLAIN);
	}
}

/* ---- help, and the last line ------------------------------------------------------------------------------ */

static void draw_help(struct screen *s)
{
	static const char *const lines[] = {
	    "  q  quit                       h ?  this page; any key goes back",
	    "  R  sort by RUN%               W    by WAIT%",
	    "  H  by how long it is held     M    by migrations",
	    "  T  by thread id               N    by name            r  reverse",
	    "  a  all threads, or only pinned     f  only names with this text",
	    "  v  where threads are, in place of what holds them (under 120 columns)",
	    "  + -  look less or more often  space  look now         p  pause",
	    "  arrows, page up and down, home, end: scroll",
	    "",
	    "  RUN%   of the time since the last look the thread ran on a CPU",
	    "  WAIT%  it could have run and waited for one; the rest it slept",
	    "  STATE  the largest of the three: busy, waits, idle",
	    "  MIGR   times it was moved to another CPU; - unknown",
	    "  PIN    who pinned it: self, cross, born, inherited, external; go: a Go lock",
	    "  IN AT  what it sleeps in; where it was pinned: the function and its caller",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]) && lines_left(s); i++) {
		pinw_term_put(&s->term, "%s", lines[i]);
		end(s, PINW_STYLE_PLAIN);
	}
}

static void draw_hint(struct screen *s)
{
	const struct pinw_top_view *view = s->view;

	if (view->typing)
		pinw_term_put(&s->term, "names with: ");
	if (view->typing)
		pinw_term_put_foreign(&s->term, view->choice.filter, strlen(view->choice.filter));
	else if (view->message)
		pinw_term_put(&s->term, "%s", view->message);
	else
		pinw_term_put(&s->term, "q quit  h help  sort %s%s  a %s  v columns  f filter ",
		              pinw_top_order_name(view->choice.order),
		              view->choice.reverse ? " reversed" : "",
		              view->choice.all ? "only pinned" : "all threads");
	if (!view->typing && !view->message)
		pinw_term_put_foreign(&s->term, view->choice.filter, strlen(view->choice.filter));
	end(s, PINW_STYLE_DIM);
}

void pinw_top_draw(struct pinw_top *t, struct pinw_top_view *view, FILE *out)
{
	struct screen s = {.top = t, .view = view};

	pinw_term_init(&s.term, out, false);
	if (view->rows)
		fputs("\033[H", out);
	draw_title(&s);
	if (view->help) {
		draw_help(&s);
	} else {
		draw_threads(&s);
		draw_pins(&s);
		draw_latency(&s);
		draw_pinned(&s);
		draw_policy(&s);
		draw_table(&s, view);
	}
	if (view->rows) {
		while (lines_left(&s))
			end(&s, PINW_STYLE_PLAIN);
		draw_hint(&s);
	}
	pinw_term_done(&s.term);
}
