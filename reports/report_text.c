/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "reports/notes.h"
#include "reports/text_private.h"

struct sums {
	uint64_t readable;
	uint64_t leaking; /* processes */
	uint64_t leaks[PINW_LEAK_KINDS];
	uint64_t leaks_all;
	uint64_t threads;
	uint64_t pins;
	uint64_t golocks;
	uint64_t dropped;
	uint64_t kernel, seen; /* threads, where a census was taken */
	uint64_t uncounted; /* processes without one */
	uint64_t running;
	uint64_t under_policy; /* processes */
	uint64_t blind; /* processes whose live page is not there */
	uint64_t one_cpu; /* processes on a baseline of one CPU */
	uint64_t damaged; /* traces, unreadable ones included */
};

static struct sums sum_up(const struct pinw_model *m)
{
	struct sums s = {0};

	for (size_t i = 0; i < m->process_count; i++) {
		const struct pinw_process *p = m->processes[i];
		s.damaged += p->error || p->problem_count;
		if (p->error)
			continue;
		s.readable++;
		s.leaking += pinw_process_leaks(p) > 0;
		for (size_t kind = 0; kind < PINW_LEAK_KINDS; kind++)
			s.leaks[kind] += p->leaks_of[kind];
		s.leaks_all += pinw_process_leaks(p);
		s.threads += p->live.counters.threads_created + p->live.counters.threads_adopted;
		s.pins += p->live.counters.pins_opened;
		s.golocks += p->live.counters.golocks;
		s.dropped += p->live.counters.events_dropped;
		s.kernel += p->census ? p->kernel_threads : 0;
		s.seen += p->census ? p->seen_threads : 0;
		s.uncounted += !p->census;
		s.under_policy += p->has_policy;
		s.running += p->how == PINW_HOW_RUNNING;
		s.blind += p->blind;
		s.one_cpu += pinw_notes_one_cpu(p);
	}
	return s;
}

/* ---- the verdict ---------------------------------------------------------------------- */

static void put_where(struct pinw_text *t, const struct sums *s, uint64_t processes)
{
	if (s->readable > 1)
		pinw_term_put(&t->term, " in %s of %s processes", pinw_text_count(processes),
		              pinw_text_count(s->readable));
}

static void print_leak_verdict(struct pinw_text *t, const struct sums *s)
{
	const char *comma = "";

	pinw_term_put(&t->term, "%s", pinw_text_counted(s->leaks_all, "leak", "leaks"));
	put_where(t, s, s->leaking);
	pinw_term_put(&t->term, ": ");
	for (size_t kind = 0; kind < PINW_LEAK_KINDS; kind++) {
		if (!s->leaks[kind])
			continue;
		pinw_term_put(&t->term, "%s%s %s", comma, pinw_text_count(s->leaks[kind]),
		              pinw_leak_kind_name((enum pinw_leak_kind)kind));
		comma = ", ";
	}
	pinw_term_end(&t->term, 2, PINW_STYLE_BAD);
}

static void print_blind_verdict(struct pinw_text *t, const struct sums *s)
{
	if (s->readable == 1)
		pinw_term_line(&t->term, 2, PINW_STYLE_BAD,
		               "Whether anything leaked cannot be told: the trace has no live page.");
	else
		pinw_term_line(
		    &t->term, 2, PINW_STYLE_BAD,
		    "Whether anything leaked cannot be told of %s of %s processes: no live page in "
		    "the trace.",
		    pinw_text_count(s->blind), pinw_text_count(s->readable));
}

static void print_clean_verdict(struct pinw_text *t, const struct sums *s)
{
	pinw_term_put(&t->term, "No leaks%s", s->running ? " so far" : "");
	if (s->threads == 0 && s->pins == 0 && s->golocks == 0)
		pinw_term_put(&t->term, ": no thread was created and nothing was pinned");
	else
		pinw_term_put(&t->term, ": %s, %s", pinw_text_counted(s->threads, "thread", "threads"),
		              pinw_text_counted(s->pins, "pin", "pins"));
	if (s->golocks)
		pinw_term_put(&t->term, ", %s", pinw_text_counted(s->golocks, "Go lock", "Go locks"));
	if (s->readable > 1)
		pinw_term_put(&t->term, " in %s processes", pinw_text_count(s->readable));
	pinw_term_end(&t->term, 2, s->damaged ? PINW_STYLE_PLAIN : PINW_STYLE_GOOD);
}

/* Of many processes at once; what was not seen of each is said beside it. */
static void print_completeness(struct pinw_text *t, const struct sums *s)
{
	pinw_term_put(&t->term, "Coverage: ");
	if (s->uncounted == s->readable)
		pinw_term_put(&t->term, "not compared with the kernel's count of threads");
	else
		pinw_term_put(&t->term, "%s of the kernel's %s seen", pinw_text_count(s->seen),
		              pinw_text_counted(s->kernel, "thread", "threads"));
	if (s->uncounted && s->uncounted < s->readable)
		pinw_term_put(&t->term, " (no count in %s)",
		              pinw_text_counted(s->uncounted, "process", "processes"));
	pinw_term_put(&t->term, "; %s dropped", s->dropped ? "events were" : "nothing was");
	pinw_term_end(&t->term, 2, PINW_STYLE_PLAIN);
}

/* Returns whether something is wrong. */
static bool print_verdict(struct pinw_text *t, const struct sums *s)
{
	if (s->dropped)
		pinw_term_line(
		    &t->term, 2, PINW_STYLE_BAD,
		    "%s dropped for want of room: counts are exact, lists and stacks are not complete "
		    "(run with a larger --max-size)",
		    pinw_text_counted(s->dropped, "event was", "events were"));
	if (s->damaged)
		pinw_term_line(&t->term, 2, PINW_STYLE_BAD,
		               "%s damaged or unreadable: what could be read is shown",
		               pinw_text_counted(s->damaged, "trace is", "traces are"));
	if (s->readable == 0)
		return true;
	if (s->blind)
		print_blind_verdict(t, s);
	if (s->leaks_all)
		print_leak_verdict(t, s);
	else if (s->blind == 0)
		print_clean_verdict(t, s);
	bool per_request = pinw_text_requests_verdict(t) > 0;
	pinw_text_policy_verdict(t);
	if (s->one_cpu == s->readable)
		pinw_term_line(&t->term, 2, PINW_STYLE_PLAIN, "On a baseline of one CPU nothing is a pin.");
	return s->dropped || s->damaged || s->blind || s->leaks_all || t->breaches.count || per_request;
}

static void print_unreadable(struct pinw_text *t)
{
	for (size_t i = 0; i < t->model->process_count; i++) {
		const struct pinw_process *p = t->model->processes[i];
		if (!p->error)
			continue;
		pinw_term_put(&t->term, "  ");
		pinw_term_put_foreign(&t->term, p->path, strlen(p->path));
		pinw_term_put(&t->term, ": %s", pinw_reader_strerror(p->error));
		pinw_term_end(&t->term, 4, PINW_STYLE_PLAIN);
	}
}

/* ---- the tree ------------------------------------------------------------------------- */

#define TREE_DEPTH_MAX 10u
#define TREE_COLUMNS "%-17s %8s %7s %6s %6s"

/* Under a policy there is one column more, and less room for the names. */
struct tree {
	bool violations;
	unsigned name_end; /* column */
	unsigned depth_max;
};

static struct tree tree_layout(const struct sums *s)
{
	if (s->under_policy)
		return (struct tree){.violations = true, .name_end = 22, .depth_max = 4};
	return (struct tree){.name_end = 31, .depth_max = TREE_DEPTH_MAX};
}

static void print_tree_head(struct pinw_text *t, const struct tree *tree)
{
	pinw_term_line(&t->term, 2, PINW_STYLE_DIM, "%-*s " TREE_COLUMNS "%s", (int)tree->name_end,
	               "program pid", "end", "ran", "threads", "pins", "leaks",
	               tree->violations ? " violated" : "");
}

static void print_tree_line(struct pinw_text *t, const struct tree *tree, const struct pinw_process *p)
{
	unsigned depth = p->tree_depth < tree->depth_max ? p->tree_depth : tree->depth_max;
	const struct pinw_counters *n = &p->live.counters;
	uint64_t leaks = pinw_process_leaks(p), violations = pinw_process_violations(p);
	struct pinw_term *term = &t->term;
	char pid[32];
	size_t len;
	const char *program = pinw_text_program(p, &len);

	pinw_term_put(term, "%*s%s", (int)depth * 2, "", p->by_exec ? "=> " : "");
	unsigned taken =
	    (unsigned)snprintf(pid, sizeof(pid), " %" PRIu32, p->header.self.pid) + pinw_term_at(term);
	unsigned room = taken < tree->name_end ? tree->name_end - taken : 0;
	pinw_term_put_cell(term, program, len, len < room ? (unsigned)len : room);
	pinw_term_put(term, "%s", pid);
	pinw_term_pad(term, tree->name_end + 1);
	pinw_term_put(term, TREE_COLUMNS, pinw_text_end_brief(p), pinw_text_lived(p),
	              pinw_text_count(n->threads_created + n->threads_adopted),
	              pinw_text_count(n->pins_opened + n->golocks), leaks ? pinw_text_count(leaks) : "-");
	if (tree->violations)
		pinw_term_put(term, " %8s", violations ? pinw_text_count(violations) : "-");
	pinw_term_end(term, tree->name_end + 1, PINW_STYLE_PLAIN);
}

static void print_tree(struct pinw_text *t, const struct sums *s)
{
	struct tree tree = tree_layout(s);
	size_t listed = 0; /* those that leak or break a rule are, however many there are */

	if (s->readable < 2)
		return;
	pinw_text_heading(t, "PROCESSES");
	print_tree_head(t, &tree);
	for (size_t i = 0; i < t->model->process_count; i++) {
		const struct pinw_process *p = t->model->processes[i];
		if (p->error ||
		    (listed >= t->top && pinw_process_leaks(p) == 0 && pinw_process_violations(p) == 0))
			continue;
		print_tree_line(t, &tree, p);
		listed++;
	}
	pinw_text_cut(t, listed, (size_t)s->readable, "process", "processes");
}

/* ---- all of it ------------------------------------------------------------------------ */

static bool is_in_trouble(const struct pinw_process *p)
{
	return pinw_process_leaks(p) || pinw_process_violations(p) || p->problem_count ||
	       p->live.counters.events_dropped;
}

/* Among many processes, those with something to look into are shown in full, and the ones the tree starts with. */
static bool has_a_story(const struct pinw_text *t, const struct pinw_process *p)
{
	const struct pinw_counters *n = &p->live.counters;

	if (is_in_trouble(p))
		return true;
	if (p->tree_depth > 0 && t->top != SIZE_MAX)
		return false;
	return n->threads_created || n->threads_adopted || n->pins_opened || n->golocks;
}

struct printed {
	uint64_t full, full_cut;
	uint64_t brief, brief_cut; /* nothing to look into, but something was not seen of it */
};

static void print_process(struct pinw_text *t, const struct sums *s, const struct pinw_process *p,
                          struct printed *n)
{
	if (s->readable == 1 || has_a_story(t, p)) {
		if (n->full >= t->top) {
			n->full_cut++;
			return;
		}
		pinw_table_done(&t->shown);
		pinw_text_process(t, p);
		n->full++;
	} else if (pinw_notes_any(p)) {
		if (n->brief >= t->top) {
			n->brief_cut++;
			return;
		}
		pinw_text_process_brief(t, p);
		n->brief++;
	}
}

static void print_processes(struct pinw_text *t, const struct sums *s)
{
	struct printed n = {0};

	/* What matters first: a build has a hundred processes, and the test that leaks is the last of them. */
	for (unsigned pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < t->model->process_count; i++) {
			const struct pinw_process *p = t->model->processes[i];
			if (!p->error && is_in_trouble(p) == (pass == 0))
				print_process(t, s, p, &n);
		}
	uint64_t told = n.full + n.full_cut + n.brief + n.brief_cut;
	if (n.full + n.brief == s->readable)
		return;
	pinw_term_end(&t->term, 0, PINW_STYLE_PLAIN);
	pinw_text_cut(t, 0, n.full_cut, "process in full", "processes in full");
	pinw_text_cut(t, 0, n.brief_cut, "process with notes on coverage",
	              "processes with notes on coverage");
	if (told < s->readable)
		pinw_term_line(
		    &t->term, 2, PINW_STYLE_DIM,
		    "%s nothing to look into: see the tree above, or name a trace to see one in full.",
		    pinw_text_counted(s->readable - told, "process has", "processes have"));
}

static int add_up_breaches(struct pinw_text *t)
{
	int error = 0;

	pinw_breaches_init(&t->breaches);
	for (size_t i = 0; error == 0 && i < t->model->process_count; i++)
		error = pinw_breaches_add(&t->breaches, t->model->processes[i]);
	return error < 0 ? error : pinw_breaches_sort(&t->breaches);
}

static int begin(struct pinw_text *t, FILE *out, bool color)
{
	pinw_term_init(&t->term, out, color);
	pinw_table_init(&t->shown, 1);
	return add_up_breaches(t);
}

static int end(struct pinw_text *t, int error)
{
	pinw_table_done(&t->shown);
	pinw_breaches_done(&t->breaches);
	int write_error = pinw_term_done(&t->term);
	return error < 0 ? error : write_error;
}

int pinw_report_text(const struct pinw_model *m, struct pinw_stacks *stacks,
                     const struct pinw_text_options *options, FILE *out)
{
	struct pinw_text t = {.stacks = stacks,
	                      .model = m,
	                      .top = options->top ? options->top : SIZE_MAX,
	                      .scorecard = options->scorecard,
	                      .by = options->by};
	struct sums s = sum_up(m);
	struct pinw_filter filter = {.count = 0};
	if (options->filter) {
		filter = *options->filter;
		filter.stacks = stacks;
		t.filter = &filter;
	}
	int error = begin(&t, out, options->color);

	if (error == 0) {
		print_verdict(&t, &s);
		if (s.readable > 1)
			print_completeness(&t, &s);
		print_unreadable(&t);
		if (t.filter)
			pinw_term_line(&t.term, 2, PINW_STYLE_DIM,
			               "Filtered: lists have only what matches, counts are of all.");
		print_tree(&t, &s);
		print_processes(&t, &s);
		if (!t.scorecard && t.by == PINW_BY_ALL)
			pinw_text_policies(&t);
	}
	if (filter.out_of_memory && error == 0)
		error = -ENOMEM;
	pinw_filter_done(&filter);
	return end(&t, error);
}

/* For a page, which breaks lines itself. */
#define PAGE_COLUMNS 100000u

int pinw_report_verdict(const struct pinw_model *m, struct pinw_stacks *stacks, FILE *out, bool *ret_bad)
{
	struct pinw_text t = {.stacks = stacks, .model = m, .top = SIZE_MAX};
	struct sums s = sum_up(m);
	int error = begin(&t, out, false);

	t.term.columns = PAGE_COLUMNS;
	if (error == 0) {
		*ret_bad = print_verdict(&t, &s);
		if (s.readable)
			print_completeness(&t, &s);
	}
	return end(&t, error);
}

int pinw_report_facts(const struct pinw_model *m, struct pinw_stacks *stacks, const struct pinw_process *p,
                      FILE *out)
{
	struct pinw_text t = {.stacks = stacks, .model = m, .top = SIZE_MAX};
	int error = begin(&t, out, false);

	t.term.columns = PAGE_COLUMNS;
	if (error == 0)
		pinw_text_facts(&t, p);
	return end(&t, error);
}
