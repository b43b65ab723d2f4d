/* SPDX-License-Identifier: MIT
 *
 * SARIF 2.1.0 (OASIS, docs.oasis-open.org/sarif/sarif/v2.1.0): what code hosts show beside the source. A result is placed where
 * its stack has a source line, the innermost one; without any, at its rule in the policy.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "reports/check.h"
#include "reports/json_private.h"

#define SCHEMA "https://json.schemastore.org/sarif-2.1.0.json"
#define URI_BYTES 16384u

/* ---- places ------------------------------------------------------------------------------ */

/* A path as RFC 3986 wants it: absolute ones as file URIs, others as relative references. */
static void print_uri(char *buf, size_t size, const char *path)
{
	size_t at = (size_t)snprintf(buf, size, "%s", path[0] == '/' ? "file://" : "");

	for (; *path && at + 4 < size; path++) {
		unsigned char c = (unsigned char)*path;

		if (isascii(c) && (isalnum(c) || strchr("-._~/+@", c)))
			buf[at++] = (char)c;
		else
			at += (size_t)snprintf(buf + at, size - at, "%%%02X", c);
	}
	buf[at] = '\0';
}

static void put_physical(struct pinw_json *j, const char *path, unsigned line)
{
	char uri[URI_BYTES];

	print_uri(uri, sizeof(uri), path);
	pinw_json_begin_object(j, "physicalLocation");
	pinw_json_begin_line_object(j, "artifactLocation");
	pinw_json_text(j, "uri", uri);
	pinw_json_end_object(j);
	if (line) {
		pinw_json_begin_line_object(j, "region");
		pinw_json_number(j, "startLine", line);
		pinw_json_end_object(j);
	}
	pinw_json_end_object(j);
}

static void put_function(struct pinw_json *j, const char *function)
{
	pinw_json_begin_line_array(j, "logicalLocations");
	pinw_json_begin_object(j, NULL);
	pinw_json_text(j, "fullyQualifiedName", function);
	pinw_json_text(j, "kind", "function");
	pinw_json_end_object(j);
	pinw_json_end_array(j);
}

static void put_frame(struct pinw_json *j, const struct pinw_frame *f)
{
	char text[64];

	pinw_json_begin_object(j, NULL);
	if (f->module)
		pinw_json_text(j, "module", f->module);
	pinw_json_begin_object(j, "location");
	if (f->file)
		put_physical(j, f->file, f->line);
	if (f->function)
		put_function(j, f->function);
	pinw_json_begin_line_object(j, "message");
	snprintf(text, sizeof(text), "0x%" PRIx64, f->offset);
	pinw_json_text(j, "text", f->function ? f->function : text);
	pinw_json_end_object(j);
	pinw_json_end_object(j);
	pinw_json_end_object(j);
}

static void put_stack(struct pinw_json *j, const struct pinw_check_finding *f)
{
	if (!f->frame_count)
		return;
	pinw_json_begin_array(j, "stacks");
	pinw_json_begin_object(j, NULL);
	pinw_json_begin_line_object(j, "message");
	pinw_json_text(j, "text", pinw_check_stack_title(f));
	pinw_json_end_object(j);
	pinw_json_begin_array(j, "frames");
	for (unsigned i = 0; i < f->frame_count; i++)
		put_frame(j, &f->frames[i]);
	pinw_json_end_array(j);
	pinw_json_end_object(j);
	pinw_json_end_array(j);
}

static void put_location(struct pinw_json *j, const struct pinw_check *c, const struct pinw_check_finding *f)
{
	const struct pinw_frame *placed = NULL;

	for (unsigned i = 0; i < f->frame_count && !placed; i++)
		placed = f->frames[i].file && f->frames[i].line ? &f->frames[i] : NULL;
	pinw_json_begin_array(j, "locations");
	pinw_json_begin_object(j, NULL);
	if (placed)
		put_physical(j, placed->file, placed->line);
	else
		put_physical(j, c->now.file.path, f->rule->line);
	if (placed && placed->function)
		put_function(j, placed->function);
	else if (f->frame_count && f->frames[0].function)
		put_function(j, f->frames[0].function);
	pinw_json_end_object(j);
	pinw_json_end_array(j);
}

/* ---- rules and results --------------------------------------------------------------------- */

static const char *level_of(unsigned action)
{
	return action >= PINW_ACTION_DENY ? "error" : action == PINW_ACTION_LOG ? "warning" : "none";
}

static void put_message(struct pinw_json *j, const char *key, const char *text)
{
	pinw_json_begin_line_object(j, key);
	pinw_json_text(j, "text", text);
	pinw_json_end_object(j);
}

static void put_rule(struct pinw_json *j, const struct pinw_policy *policy, const struct pinw_rule *rule)
{
	char words[4096];

	pinw_policy_explain(policy, rule, words, sizeof(words));
	pinw_json_begin_object(j, NULL);
	pinw_json_text(j, "id", rule->label);
	put_message(j, "fullDescription", words);
	if (rule->message)
		put_message(j, "help", rule->message);
	pinw_json_begin_line_object(j, "defaultConfiguration");
	pinw_json_text(j, "level", level_of(rule->action));
	pinw_json_end_object(j);
	pinw_json_end_object(j);
}

static void put_tool(struct pinw_json *j, const struct pinw_check *c)
{
	pinw_json_begin_object(j, "tool");
	pinw_json_begin_object(j, "driver");
	pinw_json_text(j, "name", "pinwarden");
	pinw_json_text(j, "version", PINW_VERSION);
	pinw_json_begin_array(j, "rules");
	for (uint32_t i = 0; i < c->policy->rule_count; i++)
		put_rule(j, c->policy, &c->policy->rules[i]);
	pinw_json_end_array(j);
	pinw_json_end_object(j);
	pinw_json_end_object(j);
}

static void put_result(struct pinw_json *j, const struct pinw_check *c, const struct pinw_check_finding *f)
{
	static const char *const states[] = {
	    [PINW_CHECK_NEW] = "new", [PINW_CHECK_KNOWN] = "unchanged", [PINW_CHECK_GONE] = "absent"};
	char text[2048];

	pinw_json_begin_object(j, NULL);
	pinw_json_text(j, "ruleId", f->rule->label);
	pinw_json_number(j, "ruleIndex", f->rule->id - 1u);
	pinw_json_text(j, "level", level_of(f->rule->action));
	pinw_check_message(f, text, sizeof(text));
	put_message(j, "message", text);
	put_location(j, c, f);
	put_stack(j, f);
	snprintf(text, sizeof(text), "%016" PRIx64, f->key);
	pinw_json_begin_line_object(j, "partialFingerprints");
	pinw_json_text(j, "pinwardenStack/v1", text);
	pinw_json_end_object(j);
	if (c->has_baseline)
		pinw_json_text(j, "baselineState", states[f->state]);
	pinw_json_number(j, "occurrenceCount", f->count ? f->count : 1);
	pinw_json_end_object(j);
}

/* What the check cannot tell. */
static void put_limit(void *arg, const char *text)
{
	pinw_json_begin_line_object(arg, NULL);
	pinw_json_text(arg, "level", "note");
	put_message(arg, "message", text);
	pinw_json_end_object(arg);
}

int pinw_check_sarif(const struct pinw_check *c, FILE *out)
{
	struct pinw_json j;

	pinw_json_init(&j, out);
	pinw_json_begin_object(&j, NULL);
	pinw_json_text(&j, "$schema", SCHEMA);
	pinw_json_text(&j, "version", "2.1.0");
	pinw_json_begin_array(&j, "runs");
	pinw_json_begin_object(&j, NULL);
	put_tool(&j, c);
	pinw_json_begin_array(&j, "invocations");
	pinw_json_begin_object(&j, NULL);
	pinw_json_bool(&j, "executionSuccessful", !c->now.unreadable && !c->before.unreadable);
	pinw_json_begin_array(&j, "toolExecutionNotifications");
	pinw_trial_limits(&c->now, put_limit, &j);
	pinw_json_end_array(&j);
	pinw_json_end_object(&j);
	pinw_json_end_array(&j);
	pinw_json_begin_array(&j, "results");
	for (size_t i = 0; i < c->count; i++)
		put_result(&j, c, c->findings[i]);
	pinw_json_end_array(&j);
	pinw_json_end_object(&j);
	pinw_json_end_array(&j);
	pinw_json_end_object(&j);
	return pinw_json_done(&j);
}
