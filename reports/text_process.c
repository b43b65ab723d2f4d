/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "policy/mask.h"
#include "reports/notes.h"
#include "reports/text_private.h"

#define COMMAND_MAX_BYTES 480u

static void begin_field(struct pinw_text *t, const char *name)
{
	pinw_term_put(&t->term, "  %s", name);
	pinw_term_pad(&t->term, PINW_TEXT_FIELD);
}

static void end_field(struct pinw_text *t)
{
	pinw_term_end(&t->term, PINW_TEXT_FIELD, PINW_STYLE_PLAIN);
}

/* ---- what ran ------------------------------------------------------------------------- */

static bool needs_quotes(const char *arg, size_t len)
{
	if (len == 0)
		return true;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)arg[i]) && !strchr("%+,-./:=@^_", arg[i]) &&
		    (unsigned char)arg[i] < 0x80)
			return true;
	return false;
}

/* Arguments as one could type them, if there is nothing unprintable in them. */
static void put_command(struct pinw_text *t, const struct pinw_trace_header *h)
{
	const char *p = h->cmdline, *end = h->cmdline + h->cmdline_len;
	bool cut = h->flags & PINW_HDR_CMDLINE_CUT;

	if (h->cmdline_len > COMMAND_MAX_BYTES) {
		end = p + COMMAND_MAX_BYTES;
		cut = true;
	}
	while (end > p && end[-1] == '\0') /* a rewritten title leaves a tail of them */
		end--;
	while (p < end) {
		size_t len = strnlen(p, (size_t)(end - p));
		const char *quote = needs_quotes(p, len) ? "'" : "";
		pinw_term_put(&t->term, "%s%s", p == h->cmdline ? "" : " ", quote);
		pinw_term_put_foreign(&t->term, p, len);
		pinw_term_put(&t->term, "%s", quote);
		p += len + 1;
	}
	if (cut)
		pinw_term_put(&t->term, " ...");
}

static void put_started(struct pinw_text *t, uint64_t real_ns)
{
	char text[64];
	time_t seconds = (time_t)(real_ns / 1000000000u);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	pinw_term_put(&t->term, "%s.%03u UTC", text, (unsigned)(real_ns / 1000000u % 1000));
}

static void put_program(struct pinw_text *t, const struct pinw_process *p)
{
	size_t len;
	const char *program = pinw_text_program(p, &len);

	pinw_term_put_foreign(&t->term, program, len);
	pinw_term_put(&t->term, " (pid %" PRIu32 ")", p->header.self.pid);
}

static void print_title(struct pinw_text *t, const struct pinw_process *p)
{
	pinw_term_end(&t->term, 0, PINW_STYLE_PLAIN);
	put_program(t, p);
	bool known = p->how != PINW_HOW_VIOLENT || p->duration_ns > 0;
	pinw_term_put(&t->term, ": %s%s %s", pinw_text_end(p),
	              p->how == PINW_HOW_RUNNING            ? " for"
	              : p->how == PINW_HOW_VIOLENT && known ? " after at least"
	                                                    : " after",
	              pinw_text_lived(p));
	pinw_term_end(&t->term, 2, PINW_STYLE_HEADING);
}

static void print_origin(struct pinw_text *t, const struct pinw_process *p)
{
	const struct pinw_trace_header *h = &p->header;

	begin_field(t, "command");
	put_command(t, h);
	end_field(t);
	begin_field(t, "program");
	pinw_term_put_foreign(&t->term, h->exe, h->exe_len);
	end_field(t);
	begin_field(t, "started");
	put_started(t, h->start_real_ns);
	if (p->parent) {
		pinw_term_put(&t->term, p->by_exec                    ? ", by exec from "
		                        : h->image == PINW_IMAGE_FORK ? ", forked by "
		                                                      : ", by ");
		put_program(t, p->parent);
	}
	end_field(t);
	begin_field(t, "trace");
	pinw_term_put_foreign(&t->term, p->path, strlen(p->path));
	end_field(t);
}

/* ---- how it went ---------------------------------------------------------------------- */

static void print_baseline(struct pinw_text *t, const struct pinw_process *p)
{
	char cpus[1024];

	pinw_mask_print(cpus, sizeof(cpus), p->header.baseline, p->header.mask_words);
	begin_field(t, "baseline");
	pinw_term_put(&t->term, "CPUs %s; %" PRIu32 " online", cpus, p->header.cpus_online);
	end_field(t);
}

static void print_threads(struct pinw_text *t, const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;

	begin_field(t, "threads");
	pinw_term_put(&t->term, "%s created", pinw_text_count(n->threads_created));
	if (n->threads_create_failed)
		pinw_term_put(&t->term, " (%s more failed)", pinw_text_count(n->threads_create_failed));
	if (n->threads_denied)
		pinw_term_put(&t->term, " (%s denied)", pinw_text_count(n->threads_denied));
	pinw_term_put(&t->term, ", %s adopted; peak %s, alive %s %s (main included)",
	              pinw_text_count(n->threads_adopted), pinw_text_count(n->threads_peak),
	              p->how == PINW_HOW_RUNNING ? "now" : "at the end", pinw_text_count(n->threads_live));
	end_field(t);
	if (n->threads_created == 0)
		return;
	pinw_term_pad(&t->term, PINW_TEXT_FIELD);
	pinw_term_put(&t->term, "%s joined, %s detached, %s neither", pinw_text_count(n->threads_joined),
	              pinw_text_count(n->threads_detached), pinw_text_count(pinw_process_unjoined(p)));
	end_field(t);
}

static void put_part(struct pinw_text *t, uint64_t count, const char *what, const char **comma)
{
	if (count == 0)
		return;
	pinw_term_put(&t->term, "%s%s %s", *comma, pinw_text_count(count), what);
	*comma = ", ";
}

static void print_pins(struct pinw_text *t, const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;
	uint64_t called = pinw_since(n->pins_opened, n->pins_born + n->pins_inherited + n->pins_external);
	const char *comma = " (";

	begin_field(t, "pins");
	pinw_term_put(&t->term, "%s opened", pinw_text_count(n->pins_opened));
	if (called != n->pins_opened) {
		put_part(t, called, "by calls", &comma);
		put_part(t, n->pins_born, "born", &comma);
		put_part(t, n->pins_inherited, "inherited", &comma);
		put_part(t, n->pins_external, "external", &comma);
		pinw_term_put(&t->term, ")");
	}
	if (n->pins_opened)
		pinw_term_put(&t->term, "; %s released, %s left by threads that ended, %s open %s",
		              pinw_text_count(n->pins_released), pinw_text_count(n->pins_lost),
		              pinw_text_count(n->pins_open),
		              p->how == PINW_HOW_RUNNING ? "now" : "at the end");
	if (n->pins_reset)
		pinw_term_put(&t->term, "; %s reset",
		              pinw_text_counted(n->pins_reset, "inherited one", "inherited ones"));
	end_field(t);
}

static void print_golocks(struct pinw_text *t, const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;
	const char *comma = " (";

	if (!n->golocks_covered && !n->golocks && !n->golocks_denied)
		return;
	begin_field(t, "Go locks");
	pinw_term_put(&t->term, "%s", pinw_text_count(n->golocks));
	put_part(t, n->golocks_nested, "more nested in them", &comma);
	if (n->golock_max_depth > 1)
		pinw_term_put(&t->term, "%sdepth up to %s", comma, pinw_text_count(n->golock_max_depth));
	if (n->golocks_nested || n->golock_max_depth > 1)
		pinw_term_put(&t->term, ")");
	if (n->golocks)
		pinw_term_put(&t->term, "; %s unlocked, %s destroyed with their thread, %s open %s",
		              pinw_text_count(n->gounlocks), pinw_text_count(n->golocks_lost),
		              pinw_text_count(n->golocks_open),
		              p->how == PINW_HOW_RUNNING ? "now" : "at the end");
	if (n->golocks_denied)
		pinw_term_put(&t->term, "; %s denied", pinw_text_count(n->golocks_denied));
	if (n->golocks_runtime)
		pinw_term_put(&t->term, "; %s of the Go runtime's own", pinw_text_count(n->golocks_runtime));
	end_field(t);
}

static void print_calls(struct pinw_text *t, const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;
	uint64_t calls = n->affinity_self + n->affinity_cross + n->affinity_other_process +
	                 n->affinity_failed + n->affinity_denied;
	const char *comma = ": ";

	begin_field(t, "affinity");
	pinw_term_put(&t->term, "%s", pinw_text_counted(calls, "call", "calls"));
	put_part(t, n->affinity_self, "self", &comma);
	put_part(t, n->affinity_cross, "cross", &comma);
	put_part(t, n->affinity_other_process, "on other processes", &comma);
	put_part(t, n->affinity_failed, "failed", &comma);
	put_part(t, n->affinity_denied, "denied", &comma);
	comma = "; ";
	put_part(t, n->affinity_attr, n->affinity_attr == 1 ? "attribute" : "attributes", &comma);
	put_part(t, n->affinity_external,
	         n->affinity_external == 1 ? "change no call explains" : "changes no call explains", &comma);
	end_field(t);
}

static void print_policy(struct pinw_text *t, const struct pinw_process *p)
{
	uint64_t violations = pinw_process_violations(p), suppressed = 0;

	if (!p->has_policy)
		return;
	for (size_t i = 0; i < p->rules.count; i++) {
		const struct pinw_rule_row *rule = pinw_table_at(&p->rules, i);
		suppressed += rule->section == PINW_SECTION_SUPPRESS ? rule->matched : 0;
	}
	if (p->live.counters.leaks_suppressed > suppressed)
		suppressed = p->live.counters.leaks_suppressed;
	begin_field(t, "policy");
	if (p->policy.path)
		pinw_term_put_foreign(&t->term, p->policy.path, strlen(p->policy.path));
	else
		pinw_term_put(&t->term, "its name is not in the trace");
	pinw_term_put(&t->term, ", %s: %s", pinw_text_mode(p),
	              pinw_text_counted(violations, "violation", "violations"));
	if (suppressed)
		pinw_term_put(&t->term, ", %s suppressed", pinw_text_counted(suppressed, "leak", "leaks"));
	end_field(t);
}

/* ---- what was seen of it -------------------------------------------------------------- */

static void print_note(void *arg, const char *text)
{
	struct pinw_text *t = arg;

	pinw_term_pad(&t->term, PINW_TEXT_FIELD);
	pinw_term_put(&t->term, "- ");
	pinw_term_put_foreign(&t->term, text, strlen(text));
	pinw_term_end(&t->term, PINW_TEXT_FIELD + 2, PINW_STYLE_PLAIN);
}

static void print_coverage(struct pinw_text *t, const struct pinw_process *p)
{
	begin_field(t, "coverage");
	if (!p->census)
		pinw_term_put(&t->term, "not compared with the kernel's count of threads");
	else if (p->seen_threads == p->kernel_threads)
		pinw_term_put(&t->term, "complete: %s listed by the kernel, all seen",
		              pinw_text_counted(p->kernel_threads, "thread", "threads"));
	else
		pinw_term_put(&t->term, "%s listed by the kernel, %s seen before it was asked",
		              pinw_text_counted(p->kernel_threads, "thread", "threads"),
		              pinw_text_count(p->seen_threads));
	end_field(t);
	pinw_notes_each(p, print_note, t);
}

void pinw_text_process_brief(struct pinw_text *t, const struct pinw_process *p)
{
	print_title(t, p);
	print_origin(t, p);
	print_baseline(t, p);
	print_coverage(t, p);
}

void pinw_text_facts(struct pinw_text *t, const struct pinw_process *p)
{
	print_origin(t, p);
	print_baseline(t, p);
	print_threads(t, p);
	print_pins(t, p);
	print_golocks(t, p);
	print_calls(t, p);
	pinw_text_requests_field(t, p);
	print_policy(t, p);
	print_coverage(t, p);
}

static void print_by(struct pinw_text *t, const struct pinw_process *p)
{
	if (t->by == PINW_BY_THREAD) {
		pinw_text_by_thread(t, p);
	} else if (t->by == PINW_BY_CPU) {
		pinw_text_by_cpu(t, p);
	} else {
		pinw_text_pins(t, p);
		pinw_text_golocks(t, p);
		pinw_text_churn(t, p);
	}
}

void pinw_text_process(struct pinw_text *t, const struct pinw_process *p)
{
	print_title(t, p);
	if (t->scorecard) {
		pinw_text_scorecard(t, p);
		pinw_text_advice(t, p);
		return;
	}
	if (t->by != PINW_BY_ALL) {
		print_by(t, p);
		return;
	}
	pinw_text_facts(t, p);
	pinw_text_leaks(t, p);
	pinw_text_violations(t, p);
	pinw_text_requests(t, p);
	pinw_text_advice(t, p);
	pinw_text_pins(t, p);
	pinw_text_golocks(t, p);
	pinw_text_churn(t, p);
	pinw_text_threads(t, p);
	pinw_text_latency(t, p);
}
