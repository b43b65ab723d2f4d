/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "reports/metrics.h"
#include "reports/report.h"

/* Boundaries of histograms: 2^FIRST to 2^LAST nanoseconds, 1 us to 1.07 s or to 1,100 s. */
#define FIRST_BUCKET 10u
#define LAST_BUCKET 30u
#define LAST_LIFE_BUCKET 40u

struct metric {
	const char *name, *type, *help;
};

static void head(FILE *out, const struct metric *m)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
}

/* A metric with one sample for each process. */
static void simple(const struct pinw_metrics_page *page, FILE *out, const struct metric *metric,
                   double (*value)(const struct pinw_metered *m))
{
	head(out, metric);
	for (size_t i = 0; i < page->count; i++)
		fprintf(out, "%s{%s} %.15g\n", metric->name, page->processes[i]->labels,
		        value(page->processes[i]));
}

static const struct pinw_counters *counters(const struct pinw_metered *m)
{
	return &m->live->process->live.counters;
}

static bool runs(const struct pinw_metered *m)
{
	return m->live->process->how == PINW_HOW_RUNNING;
}

/* ---- single figures ------------------------------------------------------------------------------ */

static double threads(const struct pinw_metered *m)
{
	return runs(m) ? (double)counters(m)->threads_live : 0;
}

static double peak(const struct pinw_metered *m)
{
	return (double)counters(m)->threads_peak;
}

static double unjoined(const struct pinw_metered *m)
{
	return runs(m) ? (double)m->unjoined : 0;
}

static double created(const struct pinw_metered *m)
{
	return (double)counters(m)->threads_created;
}

static double adopted(const struct pinw_metered *m)
{
	return (double)counters(m)->threads_adopted;
}

static double create_failed(const struct pinw_metered *m)
{
	return (double)counters(m)->threads_create_failed;
}

static double dropped(const struct pinw_metered *m)
{
	return (double)counters(m)->events_dropped;
}

static double running(const struct pinw_metered *m)
{
	return runs(m) && !m->live->process->elsewhere;
}

static double start_time(const struct pinw_metered *m)
{
	return (double)m->live->process->header.start_real_ns / 1e9;
}

static double cpu_seconds(const struct pinw_metered *m)
{
	return (double)m->times.cpu_ns / 1e9;
}

static void write_threads(const struct pinw_metrics_page *page, FILE *out)
{
	simple(page, out,
	       &(struct metric){"pinwarden_process_running", "gauge",
	                        "Whether this process image runs: 1, or 0 when it ended."},
	       running);
	simple(page, out,
	       &(struct metric){"pinwarden_process_start_time_seconds", "gauge",
	                        "When the image was started, in seconds since 1970."},
	       start_time);
	simple(page, out,
	       &(struct metric){"pinwarden_threads", "gauge", "Threads alive now, the main thread included."},
	       threads);
	simple(page, out,
	       &(struct metric){"pinwarden_threads_peak", "gauge", "Most threads that were alive at once."},
	       peak);
	simple(page, out,
	       &(struct metric){"pinwarden_unjoined_threads", "gauge",
	                        "Threads that ended and that nobody has joined or detached yet."},
	       unjoined);
	simple(page, out,
	       &(struct metric){"pinwarden_threads_created_total", "counter",
	                        "Threads created by pthread_create or thrd_create."},
	       created);
	simple(page, out,
	       &(struct metric){"pinwarden_threads_adopted_total", "counter",
	                        "Threads whose creation was not seen."},
	       adopted);
	simple(page, out,
	       &(struct metric){"pinwarden_thread_create_failures_total", "counter",
	                        "Creations of threads that failed, denied ones included."},
	       create_failed);
	simple(page, out,
	       &(struct metric){"pinwarden_events_dropped_total", "counter",
	                        "Events that found no room in the trace; other counters stay exact."},
	       dropped);
}

/* ---- pins, leaks, violations ----------------------------------------------------------------------- */

static const char *const kinds[PINW_METRIC_KINDS] = {
    [PINW_METRIC_CPU] = "cpu",
    [PINW_METRIC_GO] = "go",
};

static void write_pins(const struct pinw_metrics_page *page, FILE *out)
{
	static const struct metric now = {"pinwarden_pinned_threads", "gauge",
	                                  "Open pins: threads on a CPU mask (cpu), Go locks (go)."};
	static const struct metric total = {
	    "pinwarden_pins_total", "counter",
	    "Pins opened and Go locks taken, by the function that did it and its caller."};

	head(out, &now);
	for (size_t i = 0; i < page->count; i++) {
		const struct pinw_metered *m = page->processes[i];
		const struct pinw_counters *n = counters(m);
		uint64_t open[PINW_METRIC_KINDS] = {n->pins_open, n->golocks_open};
		for (unsigned kind = 0; kind < PINW_METRIC_KINDS; kind++)
			fprintf(out, "%s{%s,kind=\"%s\"} %" PRIu64 "\n", now.name, m->labels, kinds[kind],
			        runs(m) ? open[kind] : 0);
	}
	head(out, &total);
	for (size_t i = 0; i < page->count; i++) {
		const struct pinw_metered *m = page->processes[i];
		for (size_t s = 0; s < m->site_count; s++)
			fprintf(out, "%s{%s,kind=\"%s\",site=\"%s\"} %" PRIu64 "\n", total.name, m->labels,
			        kinds[m->sites[s].kind], m->sites[s].name, m->sites[s].count);
		for (unsigned kind = 0; kind < PINW_METRIC_KINDS; kind++)
			if (m->other[kind])
				fprintf(out, "%s{%s,kind=\"%s\",site=\"other\"} %" PRIu64 "\n", total.name,
				        m->labels, kinds[kind], m->other[kind]);
	}
}

static void write_leaks(const struct pinw_metrics_page *page, FILE *out)
{
	static const struct metric metric = {
	    "pinwarden_leaked_threads_total", "counter",
	    "Leaks by kind; pinned-at-end and unjoined are known at the end."};
	static const enum pinw_leak_kind leaks[] = {PINW_LEAK_EXIT_WHILE_PINNED, PINW_LEAK_INHERITED,
	                                            PINW_LEAK_PINNED_AT_END, PINW_LEAK_UNJOINED,
	                                            PINW_LEAK_UNBALANCED};

	head(out, &metric);
	for (size_t i = 0; i < page->count; i++)
		for (size_t k = 0; k < sizeof(leaks) / sizeof(leaks[0]); k++)
			fprintf(out, "%s{%s,kind=\"%s\"} %" PRIu64 "\n", metric.name,
			        page->processes[i]->labels, pinw_leak_kind_name(leaks[k]),
			        pinw_metered_leaks(page->processes[i], leaks[k]));
}

static void write_violations(const struct pinw_metrics_page *page, FILE *out)
{
	static const struct metric metric = {"pinwarden_violations_total", "counter",
	                                     "Violations of each rule of the policy, by the rule's action."};

	head(out, &metric);
	for (size_t i = 0; i < page->count; i++) {
		const struct pinw_metered *m = page->processes[i];
		const struct pinw_table *rules = &m->live->process->rules;
		for (size_t r = 0; r < rules->count; r++) {
			const struct pinw_rule_row *row = pinw_table_at(rules, r);
			char *rule = row->label && row->section != PINW_SECTION_ALLOW &&
			                     row->section != PINW_SECTION_SUPPRESS
			                 ? pinw_metric_label(row->label, strlen(row->label))
			                 : NULL;
			if (rule)
				fprintf(out, "%s{%s,rule=\"%s\",action=\"%s\"} %" PRIu64 "\n", metric.name,
				        m->labels, rule, pinw_action_name((enum pinw_action)row->action),
				        pinw_rule_violations(row));
			free(rule);
		}
	}
}

/* ---- histograms ------------------------------------------------------------------------------------ */

/* Bucket b holds durations below 2^(b+1) ns. The count is that of the buckets: a process that runs changes them one by one. */
static void put_histogram(FILE *out, const char *name, const char *labels, const struct pinw_histogram *h,
                          unsigned last)
{
	uint64_t below = 0;

	for (unsigned b = 0; b < PINW_HIST_BUCKETS; b++) {
		below += h->bucket[b];
		if (b + 1 >= FIRST_BUCKET && b + 1 <= last)
			fprintf(out, "%s_bucket{%s,le=\"%.9g\"} %" PRIu64 "\n", name, labels,
			        (double)(UINT64_C(2) << b) / 1e9, below);
	}
	fprintf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n%s_sum{%s} %.15g\n%s_count{%s} %" PRIu64 "\n",
	        name, labels, below, name, labels, (double)h->sum_ns / 1e9, name, labels, below);
}

static void histogram(const struct pinw_metrics_page *page, FILE *out, const struct metric *metric,
                      const struct pinw_histogram *(*of)(const struct pinw_metered *m), unsigned last)
{
	head(out, metric);
	for (size_t i = 0; i < page->count; i++)
		put_histogram(out, metric->name, page->processes[i]->labels, of(page->processes[i]), last);
}

static const struct pinw_histogram *create_ns(const struct pinw_metered *m)
{
	return &m->live->process->live.create_ns;
}

static const struct pinw_histogram *exit_ns(const struct pinw_metered *m)
{
	return &m->live->process->live.exit_ns;
}

static const struct pinw_histogram *affinity_ns(const struct pinw_metered *m)
{
	return &m->live->process->live.affinity_ns;
}

static const struct pinw_histogram *lifetime(const struct pinw_metered *m)
{
	return &m->lifetime;
}

static void write_histograms(const struct pinw_metrics_page *page, FILE *out)
{
	histogram(page, out,
	          &(struct metric){"pinwarden_thread_create_seconds", "histogram",
	                           "How long creating a thread took, call to return."},
	          create_ns, LAST_BUCKET);
	histogram(page, out,
	          &(struct metric){"pinwarden_thread_exit_seconds", "histogram",
	                           "From a thread's end to the return of the join that waited for it."},
	          exit_ns, LAST_BUCKET);
	histogram(page, out,
	          &(struct metric){"pinwarden_affinity_seconds", "histogram",
	                           "How long affinity calls took, call to return."},
	          affinity_ns, LAST_BUCKET);
	histogram(
	    page, out,
	    &(struct metric){"pinwarden_thread_lifetime_seconds", "histogram",
	                     "How long threads lived that ended; those whose start and end were recorded."},
	    lifetime, LAST_LIFE_BUCKET);
}

/* ---- pinned threads as the scheduler treats them ---------------------------------------------------- */

static void write_times(const struct pinw_metrics_page *page, FILE *out)
{
	static const struct metric delay = {"pinwarden_run_delay_seconds", "summary",
	                                    "How long pinned threads waited for a CPU while they could have "
	                                    "run; the count is that of turns on a CPU."};

	head(out, &delay);
	for (size_t i = 0; i < page->count; i++) {
		const struct pinw_metered *m = page->processes[i];
		if (m->timed)
			fprintf(out, "%s_sum{%s} %.15g\n%s_count{%s} %" PRIu64 "\n", delay.name, m->labels,
			        (double)m->times.delay_ns / 1e9, delay.name, m->labels, m->times.slices);
	}
	simple(page, out,
	       &(struct metric){"pinwarden_pinned_cpu_seconds_total", "counter",
	                        "CPU time of pinned threads, from when they were first looked at."},
	       cpu_seconds);
}

void pinw_metrics_write(const struct pinw_metrics_page *page, FILE *out)
{
	static const struct metric unreadable = {"pinwarden_unreadable_traces", "gauge",
	                                         "Traces that are there and cannot be read."};

	write_threads(page, out);
	write_pins(page, out);
	write_leaks(page, out);
	write_violations(page, out);
	write_histograms(page, out);
	if (page->times)
		write_times(page, out);
	head(out, &unreadable);
	fprintf(out, "%s %" PRIu64 "\n", unreadable.name, page->unreadable);
}
