/* SPDX-License-Identifier: MIT
 *
 * JUnit's XML as Jenkins reads it (jenkinsci/xunit-plugin, junit-10.xsd): a test case for each rule that can be broken. Without
 * a baseline it fails when there is any finding, with one when there is a new finding.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "reports/check.h"
#include "reports/markup.h"
#include "reports/text_private.h"

/* ---- rules ------------------------------------------------------------------------------ */

static bool can_be_broken(const struct pinw_rule *rule)
{
	return rule->section == PINW_SECTION_BAN || rule->section == PINW_SECTION_CAPS ||
	       rule->section == PINW_SECTION_REQUIRE || rule->section == PINW_SECTION_LEAK;
}

static size_t new_findings(const struct pinw_check *c, const struct pinw_rule *rule)
{
	size_t count = 0;

	for (size_t i = 0; i < c->of_state[PINW_CHECK_NEW]; i++)
		count += c->findings[i]->rule == rule;
	return count;
}

/* A trace does not hold the CPU time of threads: only `pinwarden run` can have seen idleness. */
static bool is_unobservable(const struct pinw_check *c, const struct pinw_rule *rule)
{
	return rule->section == PINW_SECTION_LEAK && rule->leak == PINW_PLEAK_PINNED_IDLE &&
	       !new_findings(c, rule);
}

static void put_frame(FILE *out, unsigned number, const struct pinw_frame *f)
{
	fprintf(out, "    #%-2u ", number);
	if (f->function)
		pinw_markup_text(out, f->function);
	else
		fprintf(out, "0x%" PRIx64, f->offset);
	if (f->file) {
		fputs(" at ", out);
		pinw_markup_text(out, f->file);
		fprintf(out, ":%u", f->line);
	}
	if (f->module) {
		fputs(" (", out);
		pinw_markup_text(out, pinw_base_name(f->module));
		fputs(")", out);
	}
	fputs("\n", out);
}

static void put_finding(FILE *out, const struct pinw_check_finding *f)
{
	char message[2048];

	pinw_check_message(f, message, sizeof(message));
	pinw_markup_text(out, message);
	fprintf(out, "\n  key %016" PRIx64 "; pid %" PRIu32 "\n", f->key, f->process->header.self.pid);
	if (f->frame_count)
		fprintf(out, "  %s:\n", pinw_check_stack_title(f));
	for (unsigned i = 0; i < f->frame_count; i++)
		put_frame(out, i, &f->frames[i]);
}

static void put_failure(FILE *out, const struct pinw_check *c, const struct pinw_rule *rule, size_t count)
{
	fprintf(out, "      <failure type=\"%s\" message=\"%s\">",
	        rule->action >= PINW_ACTION_DENY ? "error" : "warning",
	        pinw_text_counted(count, "finding", "findings"));
	for (size_t i = 0; i < c->of_state[PINW_CHECK_NEW]; i++)
		if (c->findings[i]->rule == rule)
			put_finding(out, c->findings[i]);
	fputs("</failure>\n", out);
}

static void put_case(FILE *out, const struct pinw_check *c, const struct pinw_rule *rule)
{
	size_t count = new_findings(c, rule);

	fputs("    <testcase classname=\"pinwarden\" name=\"", out);
	pinw_markup_text(out, rule->label);
	fputs("\">\n", out);
	if (count)
		put_failure(out, c, rule, count);
	else if (is_unobservable(c, rule))
		fputs("      <skipped message=\"a trace does not hold the CPU time of threads\"/>\n", out);
	fputs("    </testcase>\n", out);
}

/* ---- the document ------------------------------------------------------------------------ */

int pinw_check_junit(const struct pinw_check *c, FILE *out)
{
	unsigned tests = 0, failures = 0, skipped = 0;

	for (uint32_t i = 0; i < c->policy->rule_count; i++) {
		const struct pinw_rule *rule = &c->policy->rules[i];
		tests += can_be_broken(rule);
		failures += can_be_broken(rule) && new_findings(c, rule);
		skipped += is_unobservable(c, rule);
	}
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"", out);
	pinw_markup_text(out, c->now.file.path);
	fprintf(out, "\" tests=\"%u\" failures=\"%u\" errors=\"0\" skipped=\"%u\">\n", tests, failures,
	        skipped);
	for (uint32_t i = 0; i < c->policy->rule_count; i++)
		if (can_be_broken(&c->policy->rules[i]))
			put_case(out, c, &c->policy->rules[i]);
	fputs("  </testsuite>\n</testsuites>\n", out);
	errno = 0;
	if (fflush(out) != 0 || ferror(out))
		return errno ? -errno : -EIO;
	return 0;
}
