/* SPDX-License-Identifier: MIT */
#include "reports/alerts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "reports/say.h"

/* Where a policy sets no limit. */
#define BUFFER 16u /* threads above the baseline */
#define CLIMB 8u /* threads more than two hours ago */
#define THREAD_RATE 10.0 /* creations a second */
#define PIN_RATE 10.0 /* pins a second at one site */
#define NEAR 0.8 /* of a limit */

#define EXPR_BYTES 512u
#define COLUMNS 76u

struct alert {
	const char *name;
	const char *severity;
	const char *hold; /* how long it must hold, `for` */
	const char *expr;
	const char *summary, *description, *runbook;
};

/* ---- YAML -------------------------------------------------------------------------------- */

/* A folded block: its lines are joined by spaces again. Words must not start with a space. */
static void put_block(FILE *out, const char *indent, const char *key, const char *text)
{
	size_t at = 0;

	fprintf(out, "%s%s: >-", indent, key);
	while (*text) {
		size_t word = strcspn(text, " ");
		if (at == 0 || at + 1 + word > COLUMNS) {
			fprintf(out, "\n%s  ", indent);
			at = strlen(indent) + 2;
		} else {
			fputc(' ', out);
			at++;
		}
		fwrite(text, 1, word, out);
		at += word;
		text += word + (text[word] == ' ');
	}
	fputc('\n', out);
}

static void put_alert(FILE *out, const struct alert *a)
{
	fprintf(out, "      - alert: %s\n", a->name);
	put_block(out, "        ", "expr", a->expr);
	fprintf(out, "        for: %s\n        labels:\n          severity: %s\n        annotations:\n",
	        a->hold, a->severity);
	put_block(out, "          ", "summary", a->summary);
	put_block(out, "          ", "description", a->description);
	put_block(out, "          ", "runbook", a->runbook);
}

__attribute__((format(printf, 2, 3))) static const char *expr(char buf[EXPR_BYTES], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(buf, EXPR_BYTES, format, args);
	va_end(args);
	return buf;
}

/* ---- limits -------------------------------------------------------------------------------- */

static const struct pinw_rule *rule_of(const struct pinw_policy *p, const uint16_t *ids, enum pinw_cap cap)
{
	return p && ids[cap] ? &p->rules[ids[cap] - 1] : NULL;
}

static const struct pinw_rule *cap_of(const struct pinw_policy *p, enum pinw_cap cap)
{
	return p ? rule_of(p, p->caps, cap) : NULL;
}

static const struct pinw_rule *warning_of(const struct pinw_policy *p, enum pinw_cap cap)
{
	return p ? rule_of(p, p->warns, cap) : NULL;
}

static double per_second(const struct pinw_rate *rate)
{
	return rate->window_ns ? (double)rate->count * 1e9 / (double)rate->window_ns : 0;
}

/* ---- threads --------------------------------------------------------------------------------- */

#define DIAGNOSIS                                                                                            \
	"First see whether the load rose too: that would be natural growth. If not, run `pinwarden report` " \
	"on the trace (or `pinwarden top`): the creation sites with the most living threads, and pins that " \
	"are held and never released. In a Go program look at pprof goroutine?debug=2 for stacks in cgo or " \
	"under LockOSThread; a flat goroutine count with a rising thread count is threads that leak. Look "  \
	"for locks without an unlock, for calls into C without a bound (bound them with a semaphore), for "  \
	"blocking reads, and for pins per request (give the work to a pool of pinned workers)."

static void above_baseline(FILE *out, const struct pinw_policy *p)
{
	const struct pinw_rule *warn = warning_of(p, PINW_CAP_MAX_THREADS);
	char buf[EXPR_BYTES];

	if (warn)
		fprintf(out, "      # The policy's max_threads_warn_at.\n");
	else
		fprintf(out,
		        "      # The baseline is the median of the last day, the buffer %u: tune it to your "
		        "service, or "
		        "set\n      # max_threads_warn_at. Pinned threads are expected and do not count.\n",
		        BUFFER);
	put_alert(out,
	          &(struct alert){
	              .name = "PinwardenThreadsAboveBaseline",
	              .severity = "warning",
	              .hold = "5m",
	              .expr = warn ? expr(buf, "pinwarden_threads >= %" PRIu64, warn->limit)
	                           : expr(buf,
	                                  "pinwarden_threads > quantile_over_time(0.5, "
	                                  "pinwarden_threads[1d]) + (sum without "
	                                  "(kind) (pinwarden_pinned_threads) or pinwarden_threads * 0) + %u",
	                                  BUFFER),
	              .summary =
	                  "{{ $labels.instance }}: {{ $value }} threads, above the baseline for five minutes",
	              .description =
	                  "The process has more threads than its baseline, its pinned threads and a "
	                  "buffer account for.",
	              .runbook = DIAGNOSIS,
	          });
}

static void climbing(FILE *out)
{
	char buf[EXPR_BYTES];

	fprintf(out, "      # A slow climb over hours, as a leak makes it: the floor rises, whatever the "
	             "spikes do.\n");
	put_alert(
	    out,
	    &(struct alert){
	        .name = "PinwardenThreadsClimbing",
	        .severity = "warning",
	        .hold = "15m",
	        .expr = expr(buf,
	                     "min_over_time(pinwarden_threads[15m]) > min_over_time(pinwarden_threads[15m] "
	                     "offset 1h) + %u and min_over_time(pinwarden_threads[15m] offset 1h) > "
	                     "min_over_time(pinwarden_threads[15m] offset 2h)",
	                     CLIMB),
	        .summary = "{{ $labels.instance }}: the thread count has been rising for two hours",
	        .description = "The least number of threads in a quarter of an hour is higher than one "
	                       "hour ago, and was then higher than two hours ago. Threads are left behind.",
	        .runbook = DIAGNOSIS,
	    });
}

static void spike(FILE *out)
{
	char buf[EXPR_BYTES];

	fprintf(
	    out,
	    "      # Per-request pinning: the count follows the traffic, far past what the CPUs can use.\n");
	put_alert(
	    out,
	    &(struct alert){
	        .name = "PinwardenThreadSpike",
	        .severity = "warning",
	        .hold = "1m",
	        .expr =
	            expr(buf, "pinwarden_threads > 2 * quantile_over_time(0.5, pinwarden_threads[1h]) + %u",
	                 BUFFER),
	        .summary =
	            "{{ $labels.instance }}: {{ $value }} threads, twice as many as usual in this hour",
	        .description = "The thread count shot up, as it does when each request pins a thread for its "
	                       "duration (runtime.LockOSThread or an affinity call in a handler).",
	        .runbook = "Find out whether a handler pins: `pinwarden report` lists pins by site. Find "
	                   "what state needs the pin, give it to one long-lived pinned worker for each "
	                   "resource, and let handlers submit to its queue. Ban the pin on handlers' "
	                   "stacks in a policy, so that it cannot come back.",
	    });
}

static void near_the_cap(FILE *out, const struct pinw_policy *p)
{
	const struct pinw_rule *cap = cap_of(p, PINW_CAP_MAX_THREADS);
	char buf[EXPR_BYTES];

	if (!cap)
		return;
	fprintf(out, "      # Within a fifth of the policy's max_threads, which is %" PRIu64 ".\n",
	        cap->limit);
	put_alert(
	    out,
	    &(struct alert){
	        .name = "PinwardenThreadsNearLimit",
	        .severity = "critical",
	        .hold = "1m",
	        .expr = expr(buf, "pinwarden_threads > %.15g", NEAR * (double)cap->limit),
	        .summary = "{{ $labels.instance }}: {{ $value }} threads, near the policy's limit",
	        .description = cap->action == PINW_ACTION_CRASH
	                           ? "At max_threads an enforcing policy ends the program with every "
	                             "thread's stacks, as Go's debug.SetMaxThreads does."
	                       : cap->action == PINW_ACTION_DENY
	                           ? "At max_threads an enforcing policy lets no further thread be created."
	                           : "At max_threads each further thread is a violation that is logged.",
	        .runbook = "Take load off the process or restart it in good order now, then: " DIAGNOSIS,
	    });
}

static void created_too_fast(FILE *out, const struct pinw_policy *p)
{
	const struct pinw_rule *warn = warning_of(p, PINW_CAP_THREAD_RATE);
	const struct pinw_rule *rule = warn ? warn : cap_of(p, PINW_CAP_THREAD_RATE);
	char buf[EXPR_BYTES];

	if (rule)
		fprintf(out, "      # The policy's %s, a second.\n", rule->name);
	else
		fprintf(out, "      # A pool makes its threads once; a thread for each request makes them "
		             "all the time.\n");
	put_alert(
	    out,
	    &(struct alert){
	        .name = "PinwardenThreadChurn",
	        .severity = "warning",
	        .hold = "5m",
	        .expr = expr(buf, "rate(pinwarden_threads_created_total[5m]) > %.15g",
	                     rule ? per_second(&rule->rate) : THREAD_RATE),
	        .summary = "{{ $labels.instance }}: {{ $value | humanize }} threads created a second",
	        .description = "Threads are created, and end, all the time. A goroutine that ends while "
	                       "locked takes its thread with it, and the next one needs a new thread.",
	        .runbook = "Find the creation site in `pinwarden report`. Reuse threads: a pool of pinned "
	                   "workers instead of a pin for each request; release a pin before the thread "
	                   "goes back.",
	    });
}

/* ---- pins ------------------------------------------------------------------------------------ */

static void pinned_per_site(FILE *out, const struct pinw_policy *p)
{
	double rate = PIN_RATE;
	const char *from = NULL;
	char buf[EXPR_BYTES];

	for (uint32_t i = 0; p && i < p->rule_count && !from; i++)
		if (p->rules[i].section == PINW_SECTION_BAN && p->rules[i].rate.count) {
			rate = per_second(&p->rules[i].rate);
			from = p->rules[i].label;
		}
	fprintf(out, from ? "      # The site_rate of the policy's first ban that has one, a second.\n"
	                  : "      # Long-lived workers pin once each.\n");
	put_alert(
	    out,
	    &(struct alert){
	        .name = "PinwardenPinsPerRequest",
	        .severity = "warning",
	        .hold = "5m",
	        .expr = expr(buf, "rate(pinwarden_pins_total[5m]) > %.15g", rate),
	        .summary = "{{ $labels.instance }}: site {{ $labels.site }} pins {{ $value | humanize }} "
	                   "threads a second",
	        .description = "One place in the program pins threads all the time: a pin for each request, "
	                       "not for each worker.",
	        .runbook = "Give the work to a long-lived pinned worker's queue. Until then a policy can "
	                   "deny it: `[ban]` with function = *Handler, or with site_rate.",
	    });
}

static void too_many_pinned(FILE *out, const struct pinw_policy *p)
{
	const struct pinw_rule *warn = warning_of(p, PINW_CAP_MAX_PINNED);
	const struct pinw_rule *rule = warn ? warn : cap_of(p, PINW_CAP_MAX_PINNED);
	char buf[EXPR_BYTES];

	if (!rule)
		return;
	fprintf(out, "      # The policy's %s.\n", rule->name);
	put_alert(
	    out,
	    &(struct alert){
	        .name = "PinwardenPinnedThreads",
	        .severity = "warning",
	        .hold = "5m",
	        .expr = expr(buf, "sum without (kind) (pinwarden_pinned_threads) >= %" PRIu64, rule->limit),
	        .summary = "{{ $labels.instance }}: {{ $value }} pinned threads",
	        .description = "More threads are pinned than the policy expects; each takes CPUs, or an M "
	                       "of the Go runtime, from all others.",
	        .runbook =
	            "One worker for each resource that needs it, no more. `pinwarden report` lists who "
	            "pinned them, and where.",
	    });
}

/* ---- leaks and violations ---------------------------------------------------------------------- */

static void leaked_locked(FILE *out)
{
	fprintf(out, "      # A thread that ends while locked or pinned is lost: Go destroys it. The second "
	             "half sees a counter that\n"
	             "      # begins above 0, which increase() does not.\n");
	put_alert(out,
	          &(struct alert){
	              .name = "PinwardenLeakedLockedThreads",
	              .severity = "warning",
	              .hold = "0m",
	              .expr =
	                  "increase(pinwarden_leaked_threads_total{kind=\"exit-while-pinned\"}[10m]) > 0 or "
	                  "(pinwarden_leaked_threads_total{kind=\"exit-while-pinned\"} > 0 unless "
	                  "pinwarden_leaked_threads_total{kind=\"exit-while-pinned\"} offset 10m)",
	              .summary = "{{ $labels.instance }}: threads ended with an open pin",
	              .description =
	                  "A worker ended without releasing its pin (LockOSThread without "
	                  "UnlockOSThread, an affinity mask never widened). In Go its thread is destroyed "
	                  "and a new one must be made.",
	              .runbook =
	                  "`pinwarden report` shows the pin's stack and the creation's. Pair the lock with a "
	                  "deferred unlock in the same function, or keep the worker alive.",
	          });
}

static void leaked_others(FILE *out)
{
	put_alert(
	    out,
	    &(struct alert){
	        .name = "PinwardenLeakedThreads",
	        .severity = "warning",
	        .hold = "0m",
	        .expr = "increase(pinwarden_leaked_threads_total{kind!=\"exit-while-pinned\"}[1h]) > 0 or "
	                "(pinwarden_leaked_threads_total{kind!=\"exit-while-pinned\"} > 0 unless "
	                "pinwarden_leaked_threads_total{kind!=\"exit-while-pinned\"} offset 1h)",
	        .summary = "{{ $labels.instance }}: threads leaked within this hour ({{ $labels.kind }})",
	        .description =
	            "Threads idle with a pin, ended and never joined, on a mask they inherited, or "
	            "ever more of them.",
	        .runbook = "`pinwarden report` lists leaks by kind with their stacks. What is known and "
	                   "accepted belongs into a [suppress] of the policy, with a reason.",
	    });
}

static void violations(FILE *out)
{
	static const char query[] = "increase(pinwarden_violations_total{action%s\"log\"}[10m]) > 0 or "
	                            "(pinwarden_violations_total{action%s\"log\"} > 0 unless "
	                            "pinwarden_violations_total{action%s\"log\"} offset 10m)";
	char hard[EXPR_BYTES], soft[EXPR_BYTES];

	snprintf(hard, sizeof(hard), query, "!=", "!=", "!=");
	snprintf(soft, sizeof(soft), query, "=", "=", "=");
	put_alert(out,
	          &(struct alert){
	              .name = "PinwardenViolation",
	              .severity = "critical",
	              .hold = "0m",
	              .expr = hard,
	              .summary = "{{ $labels.instance }}: rule {{ $labels.rule }} of the policy was broken "
	                         "({{ $labels.action }})",
	              .description =
	                  "A call was denied, a mask reset or the program stopped by the policy; in audit "
	                  "mode it would have been.",
	              .runbook =
	                  "The log has a block for each violation: rule and line, what was attempted, and "
	                  "the stack. `pinwarden policy explain RULE -p FILE` says what the rule means.",
	          });
	put_alert(
	    out,
	    &(struct alert){
	        .name = "PinwardenLoggedViolation",
	        .severity = "info",
	        .hold = "0m",
	        .expr = soft,
	        .summary = "{{ $labels.instance }}: rule {{ $labels.rule }} of the policy was broken (log)",
	        .description = "A rule that only logs was broken.",
	        .runbook =
	            "The log has a block for each violation. `pinwarden policy explain RULE -p FILE` says "
	            "what the rule means.",
	    });
}

/* ---- the file ------------------------------------------------------------------------------------ */

static void put_head(FILE *out, const struct pinw_policy *p, unsigned cpus)
{
	char path[1024];

	fputs("# Alerting rules for Prometheus, made by: pinwarden policy alerts\n", out);
	if (p) {
		pinw_say_escape(p->path, path, sizeof(path));
		fprintf(out,
		        "# Limits are those of %s, with its \"cpus\" counted on a machine of %u.\n"
		        "# Where it sets none, defaults hold that each rule explains.\n",
		        path, cpus);
	} else {
		fputs("# Without a policy: the limits are defaults that each rule explains.\n", out);
	}
	fputs("#\n"
	      "# The metrics are those of `pinwarden metrics`, over HTTP or by node-exporter's\n"
	      "# textfile collector. What other texts call process_threads_total is pinwarden_threads:\n"
	      "# a number that falls again is a gauge, and only counters end in _total. Go's own\n"
	      "# count of threads is /sched/threads/total:threads of runtime/metrics (Go 1.26).\n"
	      "#\n"
	      "# An alert comes late. The same limits stop a change before it is merged: let a test\n"
	      "# under load assert the thread count (pinwarden run --fail-on error), and ban pins in\n"
	      "# handlers.\n"
	      "groups:\n",
	      out);
}

int pinw_alerts_print(const struct pinw_policy *policy, unsigned cpus, FILE *out)
{
	put_head(out, policy, cpus);
	fputs("  - name: pinwarden-threads\n    rules:\n", out);
	above_baseline(out, policy);
	climbing(out);
	spike(out);
	near_the_cap(out, policy);
	created_too_fast(out, policy);
	fputs("  - name: pinwarden-pins\n    rules:\n", out);
	pinned_per_site(out, policy);
	too_many_pinned(out, policy);
	fputs("  - name: pinwarden-leaks\n    rules:\n", out);
	leaked_locked(out);
	leaked_others(out);
	fputs("  - name: pinwarden-policy\n    rules:\n", out);
	violations(out);
	if (fflush(out) != 0)
		return -errno;
	return ferror(out) ? -EIO : 0;
}
