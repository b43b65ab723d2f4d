/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "reports/check.h"
#include "reports/text_private.h"

static void put_foreign(struct pinw_text *t, const char *text)
{
	pinw_term_put_foreign(&t->term, text, strlen(text));
}

static void print_verdict(struct pinw_text *t, const struct pinw_check *c)
{
	char counts[512];
	size_t new = c->of_state[PINW_CHECK_NEW], known = c->of_state[PINW_CHECK_KNOWN];

	put_foreign(t, pinw_base_name(c->now.file.path));
	if (new + known)
		pinw_term_put(&t->term, ": %s", pinw_text_counted(new + known, "finding", "findings"));
	else
		pinw_term_put(&t->term, ": no findings");
	if (c->has_baseline)
		pinw_term_put(&t->term, "; against the baseline %zu new, %zu known, %zu gone", new, known,
		              c->of_state[PINW_CHECK_GONE]);
	pinw_term_end(&t->term, 2, new ? PINW_STYLE_BAD : PINW_STYLE_GOOD);
	pinw_trial_counts(&c->now, counts, sizeof(counts));
	pinw_term_line(&t->term, 4, PINW_STYLE_PLAIN, "  checked: %s", counts);
}

static void print_limit(void *arg, const char *text)
{
	struct pinw_text *t = arg;

	pinw_term_line(&t->term, 4, PINW_STYLE_DIM, "  - %s", text);
}

static void put_threads(struct pinw_text *t, const struct pinw_check_finding *f)
{
	pinw_term_put(&t->term, f->threads[1] ? "    threads " : "    thread ");
	for (size_t i = 0; i < PINW_FINDING_THREADS && f->threads[i]; i++) {
		pinw_term_put(&t->term, "%s%" PRIu32 " ", i ? ", " : "", f->threads[i]);
		pinw_term_put_foreign(&t->term, f->names[i], strnlen(f->names[i], PINW_NAME_BYTES));
	}
	if (f->count > PINW_FINDING_THREADS && f->threads[PINW_FINDING_THREADS - 1])
		pinw_term_put(&t->term, ", ...");
	pinw_term_put(&t->term, " of pid %" PRIu32 "; %s %s", f->process->header.self.pid,
	              f->count > 1 ? "from" : "at", pinw_text_duration(f->first_ns));
	pinw_term_end(&t->term, 6, PINW_STYLE_PLAIN);
}

static void print_finding(struct pinw_text *t, const struct pinw_check *c, const struct pinw_check_finding *f)
{
	static const char *const states[] = {"NEW ", "known ", "gone "};
	char message[2048];

	pinw_term_end(&t->term, 0, PINW_STYLE_PLAIN);
	pinw_check_message(f, message, sizeof(message));
	pinw_term_put(&t->term, "%s%s ", c->has_baseline ? states[f->state] : "",
	              pinw_check_is_error(f) ? "error" : "warning");
	put_foreign(t, message);
	pinw_term_end(&t->term, 4, f->state == PINW_CHECK_NEW ? PINW_STYLE_BAD : PINW_STYLE_DIM);
	pinw_term_put(&t->term, "    rule at ");
	put_foreign(t, c->now.file.path);
	pinw_term_put(&t->term, ":%" PRIu32 "; key %016" PRIx64, f->rule->line, f->key);
	pinw_term_end(&t->term, 6, PINW_STYLE_DIM);
	if (f->threads[0])
		put_threads(t, f);
	pinw_table_done(&t->shown);
	pinw_table_init(&t->shown, 1);
	t->stacks = f->state == PINW_CHECK_GONE ? c->before.stacks : c->now.stacks;
	pinw_text_stack(t, f->process, pinw_check_stack_title(f), f->site);
}

int pinw_check_text(const struct pinw_check *c, const struct pinw_check_text_options *options, FILE *out)
{
	struct pinw_text t = {.stacks = c->now.stacks, .model = c->now.model, .top = options->top};
	size_t count = c->of_state[PINW_CHECK_NEW] + c->of_state[PINW_CHECK_KNOWN];
	size_t rows = pinw_text_rows(&t, count);

	pinw_term_init(&t.term, out, options->color);
	pinw_table_init(&t.shown, 1);
	print_verdict(&t, c);
	pinw_trial_limits(&c->now, print_limit, &t);
	for (size_t i = 0; i < rows; i++)
		print_finding(&t, c, c->findings[i]);
	pinw_text_cut(&t, rows, count, "finding", "findings");
	pinw_table_done(&t.shown);
	return pinw_term_done(&t.term);
}
