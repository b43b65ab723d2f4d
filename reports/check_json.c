/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "reports/check.h"
#include "reports/json_private.h"
#include "reports/text_private.h"

static const char *const states[] = {
    [PINW_CHECK_NEW] = "new", [PINW_CHECK_KNOWN] = "known", [PINW_CHECK_GONE] = "gone"};

static void put_threads(struct pinw_json *j, const struct pinw_check_finding *f)
{
	pinw_json_begin_line_array(j, "threads");
	for (size_t i = 0; i < PINW_FINDING_THREADS && f->threads[i]; i++) {
		pinw_json_begin_object(j, NULL);
		pinw_json_number(j, "id", f->threads[i]);
		pinw_json_bytes(j, "name", f->names[i], strnlen(f->names[i], PINW_NAME_BYTES));
		pinw_json_end_object(j);
	}
	pinw_json_end_array(j);
}

static void put_finding(struct pinw_json *j, const struct pinw_check_finding *f)
{
	char text[2048];
	size_t len;
	const char *program = pinw_text_program(f->process, &len);

	pinw_json_begin_object(j, NULL);
	snprintf(text, sizeof(text), "%016" PRIx64, f->key);
	pinw_json_text(j, "key", text);
	pinw_json_text(j, "state", states[f->state]);
	pinw_json_text(j, "rule", f->rule->label);
	pinw_json_number(j, "line", f->rule->line);
	pinw_json_text(j, "level", pinw_check_is_error(f) ? "error" : "warning");
	pinw_json_text(j, "action", pinw_action_name((enum pinw_action)f->rule->action));
	pinw_json_text(j, "outcome", pinw_check_outcome(f));
	pinw_check_message(f, text, sizeof(text));
	pinw_json_text(j, "message", text);
	pinw_json_bytes(j, "program", program, len);
	pinw_json_number(j, "pid", f->process->header.self.pid);
	pinw_json_text(j, "trace", f->process->path);
	pinw_json_number(j, "processes", f->processes);
	pinw_json_number(j, "count", f->count);
	pinw_json_number(j, "first_ns", f->first_ns);
	pinw_json_known(j, "value", f->value, f->value != 0);
	pinw_json_known(j, "limit", f->limit, f->value != 0);
	put_threads(j, f);
	pinw_json_begin_array(j, "stack");
	for (unsigned i = 0; i < f->frame_count; i++)
		pinw_json_frame(j, &f->frames[i]);
	pinw_json_end_array(j);
	pinw_json_end_object(j);
}

static void put_limit(void *arg, const char *text)
{
	pinw_json_text(arg, NULL, text);
}

int pinw_check_json(const struct pinw_check *c, FILE *out)
{
	const struct pinw_rehearsal *r = &c->now.rehearsal;
	struct pinw_json j;

	pinw_json_init(&j, out);
	pinw_json_begin_object(&j, NULL);
	pinw_json_text(&j, "pinwarden", PINW_VERSION);
	pinw_json_text(&j, "policy", c->now.file.path);
	pinw_json_bool(&j, "baseline", c->has_baseline);
	pinw_json_begin_line_object(&j, "checked");
	pinw_json_number(&j, "processes", r->processes);
	pinw_json_number(&j, "creations", r->creations);
	pinw_json_number(&j, "pins", r->pins);
	pinw_json_number(&j, "golocks", r->golocks);
	pinw_json_number(&j, "ends", r->ends);
	pinw_json_number(&j, "suppressed", r->suppressed);
	pinw_json_number(&j, "dropped", r->dropped);
	pinw_json_bool(&j, "unreadable", c->now.unreadable || c->before.unreadable);
	pinw_json_end_object(&j);
	pinw_json_begin_array(&j, "limits");
	pinw_trial_limits(&c->now, put_limit, &j);
	pinw_json_end_array(&j);
	pinw_json_begin_line_object(&j, "summary");
	for (unsigned state = 0; state < 3; state++)
		pinw_json_number(&j, states[state], c->of_state[state]);
	pinw_json_end_object(&j);
	pinw_json_begin_array(&j, "findings");
	for (size_t i = 0; i < c->count; i++)
		put_finding(&j, c->findings[i]);
	pinw_json_end_array(&j);
	pinw_json_end_object(&j);
	return pinw_json_done(&j);
}
