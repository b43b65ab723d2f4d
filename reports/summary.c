/* SPDX-License-Identifier: MIT */
#include "reports/summary.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/breaches.h"
#include "reports/model.h"
#include "reports/names.h"
#include "reports/notes.h"
#include "reports/say.h"
#include "reports/text_private.h"

/* So many traces are named one by one. */
#define NAMED_MAX 3u

struct figures {
	uint64_t created, adopted, peak, alive;
	uint64_t opened, released, open;
	uint64_t golocks, gounlocks, golocks_lost, golocks_open;
	uint64_t leaks_of[PINW_LEAK_KINDS];
	uint64_t dropped;
	uint64_t kernel, seen; /* threads, where a census was taken */
	size_t processes, without_census, running, unreadable;
	size_t readable, one_cpu; /* images; those on a baseline of one CPU */
	size_t under_policy,
	    blind_to_rules; /* images; those whose counts of rules are not all in the trace */
};

/* ---- figures --------------------------------------------------------------------------------- */

static void add_process(struct figures *f, const struct pinw_process *p,
                        const struct pinw_summary_options *options)
{
	const struct pinw_counters *n = &p->live.counters;

	if (p->error) {
		f->unreadable++;
		return;
	}
	f->readable++;
	f->under_policy += p->has_policy;
	f->blind_to_rules +=
	    p->has_policy && (p->uncounted_rules || p->blind ||
	                      (options->policy_on_golocks && pinw_process_misses_golocks(p)));
	f->one_cpu += pinw_notes_one_cpu(p);
	f->processes += p->how != PINW_HOW_EXEC; /* else the next image is the same process */
	f->created += n->threads_created;
	f->adopted += n->threads_adopted;
	if (n->threads_peak > f->peak)
		f->peak = n->threads_peak;
	if (p->how != PINW_HOW_EXEC)
		f->alive += n->threads_live;
	f->opened += n->pins_opened;
	f->released += n->pins_released;
	f->open += pinw_process_open_at_end(p);
	f->golocks += n->golocks;
	f->gounlocks += n->gounlocks;
	f->golocks_lost += n->golocks_lost;
	f->golocks_open += n->golocks_open;
	for (size_t i = 0; i < PINW_LEAK_KINDS; i++)
		f->leaks_of[i] += p->leaks_of[i];
	f->dropped += n->events_dropped;
	if (p->census) {
		f->kernel += p->kernel_threads;
		f->seen += p->seen_threads;
	} else {
		f->without_census++;
	}
	f->running += p->how == PINW_HOW_RUNNING;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void say_threads(const struct figures *f)
{
	const char *adopted = f->adopted ? ", " : "";

	pinw_say_folded("threads: %s created%s%s%s, peak %s%s, %s at the end", pinw_text_count(f->created),
	                adopted, f->adopted ? pinw_text_count(f->adopted) : "", f->adopted ? " adopted" : "",
	                pinw_text_count(f->peak), f->processes > 1 ? " in one process" : "",
	                pinw_text_count(f->alive));
}

static void say_pins(const struct figures *f)
{
	pinw_say_folded("pins: %s opened, %s released, %s never released", pinw_text_count(f->opened),
	                pinw_text_count(f->released), pinw_text_count(f->open));
}

static void say_golocks(const struct figures *f)
{
	if (f->golocks)
		pinw_say_folded("Go locks: %s taken, %s unlocked, %s destroyed with their thread, %s open",
		                pinw_text_count(f->golocks), pinw_text_count(f->gounlocks),
		                pinw_text_count(f->golocks_lost), pinw_text_count(f->golocks_open));
}

static void say_leaks(const struct figures *f)
{
	char kinds[256] = "";
	size_t at = 0;

	for (size_t i = 0; i < PINW_LEAK_KINDS; i++)
		if (f->leaks_of[i] && at < sizeof(kinds))
			at += (size_t)snprintf(kinds + at, sizeof(kinds) - at, "%s%s %s", at ? ", " : "",
			                       pinw_text_count(f->leaks_of[i]),
			                       pinw_leak_kind_name((enum pinw_leak_kind)i));
	pinw_say_folded("leaks: %s", at ? kinds : "none");
}

/* So many rules, and ways in which they were broken, are named. */
#define BREACHES_MAX 6u

static int put_breaches(FILE *out, const struct pinw_breaches *b)
{
	uint64_t named = 0;
	unsigned parts = 0;

	for (size_t i = 0; i < b->table.count; i++) {
		const struct pinw_breach *rule = b->sorted[i];
		for (unsigned k = 0; k < PINW_RESULTS && parts < BREACHES_MAX; k++) {
			if (!rule->by_result[k])
				continue;
			fprintf(out, "%s%" PRIu64 " %s by %s", parts ? ", " : "", rule->by_result[k],
			        pinw_result_words((enum pinw_result)k, (enum pinw_action)rule->action),
			        rule->label);
			named += rule->by_result[k];
			parts++;
		}
	}
	if (b->count > named)
		fprintf(out, "%s%" PRIu64 " more", parts ? ", " : "", b->count - named);
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

/* Processes of which it cannot be told whether the policy was kept: the shim did not load it, or what it did is lost. */
static size_t count_unjudged(const struct figures *f)
{
	return f->readable - f->under_policy + f->blind_to_rules + f->unreadable;
}

static int say_breaches(const struct figures *f, const struct pinw_breaches *b)
{
	char *text = NULL, suppressed[64] = "", unjudged[96] = "";
	size_t len;
	FILE *out;

	if (count_unjudged(f))
		snprintf(unjudged, sizeof(unjudged), "; of %zu of %zu images it cannot be told",
		         count_unjudged(f), f->readable + f->unreadable);
	if (b->suppressed)
		snprintf(suppressed, sizeof(suppressed), "; leaks suppressed: %" PRIu64, b->suppressed);
	if (b->count == 0) {
		pinw_say_folded("violations: none%s%s%s", count_unjudged(f) ? " seen" : "", unjudged,
		                suppressed);
		return 0;
	}
	out = open_memstream(&text, &len);
	int r = out ? put_breaches(out, b) : -ENOMEM;
	if (r == 0)
		pinw_say_folded("violations: %s%s%s", text, unjudged, suppressed);
	free(text);
	return r;
}

/* A process that a rule aborted was not killed by a fault of its own. */
static void say_aborted(const struct pinw_process *p)
{
	for (size_t i = 0; i < p->rules.count; i++) {
		const struct pinw_rule_row *rule = pinw_table_at(&p->rules, i);
		if (rule->action == PINW_ACTION_CRASH && p->policy.mode == PINW_MODE_ENFORCE &&
		    (rule->done || rule->watched))
			pinw_say_folded("process %u was aborted by the rule %s (%s:%u)", p->header.self.pid,
			                rule->label, p->policy.path ? p->policy.path : "policy", rule->line);
	}
}

static void say_coverage(const struct figures *f, const struct pinw_traces *traces)
{
	char counted[160], blind[64] = "", running[64] = "", processes[64] = "";
	const char *root = "", *one_cpu = "";

	if (f->processes > 1)
		snprintf(processes, sizeof(processes), " in %s processes", pinw_text_count(f->processes));
	if (f->without_census == 0 || f->kernel)
		snprintf(counted, sizeof(counted), "%s of the kernel's %s threads seen%s",
		         pinw_text_count(f->seen), pinw_text_count(f->kernel), processes);
	else
		snprintf(counted, sizeof(counted),
		         "threads%s were not counted against the kernel's at the end", processes);
	if (f->without_census && f->kernel)
		snprintf(blind, sizeof(blind), " (no count in %zu)", f->without_census);
	if (f->running)
		snprintf(running, sizeof(running), "; %zu still running", f->running);
	if (traces->root == traces->count)
		root = "; the program itself left no trace";
	else if (traces->root_execs)
		root = "; what it became by exec left no trace";
	if (f->readable && f->one_cpu == f->readable)
		one_cpu = "; on a baseline of one CPU nothing is a pin";
	pinw_say_folded("coverage: %s%s; %s dropped%s%s%s%s", counted, blind,
	                f->dropped ? "records" : "nothing", running, one_cpu, root,
	                f->unreadable ? "; some traces are unreadable" : "");
}

static void describe_end(const struct pinw_process *p, char *buf, size_t len)
{
	switch (p->how) {
	case PINW_HOW_EXIT:
		snprintf(buf, len, "exited with status %u", p->end_status);
		break;
	case PINW_HOW_SIGNAL:
		snprintf(buf, len, "killed by signal %u (%s)", p->end_status, strsignal((int)p->end_status));
		break;
	case PINW_HOW_EXEC:
		snprintf(buf, len, "replaced by exec");
		break;
	case PINW_HOW_RUNNING:
		snprintf(buf, len, "still running");
		break;
	default:
		snprintf(buf, len, "ended without a word");
	}
}

struct note_context {
	uint32_t pid;
};

static void say_note(void *arg, const char *text)
{
	const struct note_context *c = arg;

	pinw_say_folded("process %u: %s", c->pid, text);
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void say_process(const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;
	struct note_context context = {.pid = p->header.self.pid};
	char end[96];

	if (p->error) {
		pinw_say_folded("%s: %s", p->path, pinw_reader_strerror(p->error));
		return;
	}
	describe_end(p, end, sizeof(end));
	pinw_say_folded("process %u, %.*s: %s; %" PRIu64 " thread%s created, %" PRIu64 " pin%s, %" PRIu64
	                " leak%s; %s",
	                p->header.self.pid, (int)p->header.exe_len, p->header.exe, end, n->threads_created,
	                plural(n->threads_created), n->pins_opened, plural(n->pins_opened),
	                pinw_process_leaks(p), plural(pinw_process_leaks(p)), p->path);
	pinw_notes_each(p, say_note, &context);
}

/* ---- the next command ------------------------------------------------------------------------ */

static bool all_end_in_pwt(const struct pinw_traces *t)
{
	for (size_t i = 0; i < t->count; i++) {
		size_t n = strlen(t->paths[i]);
		if (n < 4 || strcmp(t->paths[i] + n - 4, ".pwt") != 0)
			return false;
	}
	return true;
}

/* As the user would write it: without the directory when standing in it. */
static const char *short_path(const char *path, const char *directory, const char *cwd)
{
	return strcmp(directory, cwd) == 0 ? strrchr(path, '/') + 1 : path;
}

static void put_quoted(FILE *out, const char *word)
{
	char *buf = malloc(4 * strlen(word) + 8);

	if (!buf)
		return;
	pinw_say_quote(word, buf, 4 * strlen(word) + 8);
	fprintf(out, " %s%s", *word == '-' ? "./" : "", buf);
	free(buf);
}

/* All names share a beginning, which a shell completes. */
static void put_common_prefix(FILE *out, const struct pinw_traces *t, const char *directory, const char *cwd)
{
	const char *first = short_path(t->paths[0], directory, cwd);
	char prefix[PATH_MAX];
	size_t n = strlen(first);

	for (size_t i = 1; i < t->count; i++) {
		const char *other = short_path(t->paths[i], directory, cwd);
		size_t same = 0;

		while (same < n && other[same] == first[same])
			same++;
		n = same;
	}
	snprintf(prefix, sizeof(prefix), "%.*s", (int)n, first);
	if (n)
		put_quoted(out, prefix);
	fputs(n ? "*" : " *", out);
}

char *pinw_summary_command(const struct pinw_traces *t, const char *directory, const char *cwd)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fputs("pinwarden report", out);
	if (t->count > 1 && t->foreign == 0 && all_end_in_pwt(t)) {
		put_quoted(out, strcmp(directory, cwd) == 0 ? "." : directory);
	} else if (t->count > NAMED_MAX) {
		put_common_prefix(out, t, directory, cwd);
	} else {
		for (size_t i = 0; i < t->count; i++)
			put_quoted(out, short_path(t->paths[i], directory, cwd));
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* Some leaks show by the names of functions alone. */
static int find_named_leaks(struct pinw_model *model)
{
	struct pinw_stacks *stacks;
	int r = pinw_names_matter(model) ? pinw_stacks_open(&stacks) : 1;

	if (r != 0)
		return r < 0 ? r : 0;
	r = pinw_names_give(model, stacks);
	pinw_stacks_free(stacks);
	return r;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int load(const struct pinw_traces *traces, struct pinw_model **ret_model)
{
	struct pinw_model *model = NULL;
	int r = pinw_model_new(&model);

	for (size_t i = 0; r == 0 && i < traces->count; i++)
		r = pinw_model_add(model, traces->paths[i]);
	if (r == 0)
		r = pinw_model_finish(model);
	if (r == 0)
		r = find_named_leaks(model);
	if (r == 0)
		*ret_model = model;
	else
		pinw_model_free(model);
	return r;
}

static int say_all(const struct pinw_model *model, const struct figures *f, const struct pinw_traces *traces,
                   const struct pinw_summary_options *options, const struct pinw_breaches *breaches)
{
	int r = 0;

	if (options->verbose)
		for (size_t i = 0; i < model->process_count; i++)
			say_process(model->processes[i]);
	if (f->dropped)
		pinw_say_folded("%" PRIu64
		                " records were dropped for want of room: counts are exact, details are "
		                "missing; raise --max-size",
		                f->dropped);
	for (size_t i = 0; i < model->process_count; i++)
		say_aborted(model->processes[i]);
	say_threads(f);
	say_pins(f);
	say_golocks(f);
	say_leaks(f);
	if (options->policy)
		r = say_breaches(f, breaches);
	say_coverage(f, traces);
	char *command = pinw_summary_command(traces, options->directory, options->cwd);
	if (command)
		pinw_say("next: %s", command);
	free(command);
	return command ? r : -ENOMEM;
}

static int add_up(const struct pinw_model *model, const struct pinw_summary_options *options,
                  struct figures *f, struct pinw_breaches *breaches)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < model->process_count; i++) {
		add_process(f, model->processes[i], options);
		r = pinw_breaches_add(breaches, model->processes[i]);
	}
	return r < 0 ? r : pinw_breaches_sort(breaches);
}

int pinw_summary_print(const struct pinw_traces *traces, const struct pinw_summary_options *options,
                       struct pinw_summary_result *ret_result)
{
	struct pinw_model *model = NULL;
	struct pinw_breaches breaches;
	struct figures f = {0};
	int r = load(traces, &model);

	if (r < 0 || !model)
		return r;
	pinw_breaches_init(&breaches);
	r = add_up(model, options, &f, &breaches);
	if (r == 0 && !options->quiet)
		r = say_all(model, &f, traces, options, &breaches);
	if (r == 0)
		*ret_result = (struct pinw_summary_result){.worst = (enum pinw_action)breaches.worst,
		                                           .unjudged = options->policy && count_unjudged(&f)};
	pinw_breaches_done(&breaches);
	pinw_model_free(model);
	return r;
}
