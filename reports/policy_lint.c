/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "reports/policy_cmds.h"
#include "reports/policy_file.h"
#include "reports/say.h"
#include "reports/term.h"

static const char help_text[] =
    "Usage: pinwarden policy lint FILE...\n"
    "\n"
    "Reads policies as `pinwarden run -p` does: on this machine, with its CPUs,\n"
    "today. For each it says what is in it and what it probably does not mean. The\n"
    "first thing that is wrong is said as FILE:LINE: KEY: TEXT.\n"
    "\n"
    "  -q, --quiet  say only what is wrong\n"
    "  -h, --help   this text\n"
    "\n"
    "Example: pinwarden policy lint policies/*.ini\n"
    "\n"
    "Exit status: 0 clean; 1 valid, with warnings; 2 not valid, or wrong usage.\n";

static void put_counts(struct pinw_term *t, const struct pinw_policy *p)
{
	static const struct {
		enum pinw_section section;
		const char *one, *many;
	} words[] = {
	    {PINW_SECTION_ALLOW, "allow", "allows"},
	    {PINW_SECTION_BAN, "ban", "bans"},
	    {PINW_SECTION_CAPS, "cap", "caps"},
	    {PINW_SECTION_REQUIRE, "require", "requires"},
	    {PINW_SECTION_LEAK, "leak rule", "leak rules"},
	    {PINW_SECTION_SUPPRESS, "suppression", "suppressions"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		unsigned count = 0, warnings = 0;
		for (uint32_t r = 0; r < p->rule_count; r++) {
			bool here = p->rules[r].section == words[i].section;
			count += here && !p->rules[r].is_warning;
			warnings += here && p->rules[r].is_warning;
		}
		if (count)
			pinw_term_put(t, ", %u %s", count, count == 1 ? words[i].one : words[i].many);
		if (warnings)
			pinw_term_put(t, ", %u warn_at", warnings);
	}
}

static void print_summary(struct pinw_term *t, const struct pinw_policy *p)
{
	pinw_term_put_foreign(t, p->path, strlen(p->path));
	pinw_term_put(t, ": valid, %s", pinw_mode_name(p->mode));
	if (p->pin_width)
		pinw_term_put(t, ", pins of at most %u CPU%s", p->pin_width, p->pin_width == 1 ? "" : "s");
	if (p->rule_count)
		put_counts(t, p);
	else
		pinw_term_put(t, ", no rules");
	pinw_term_end(t, 2, PINW_STYLE_PLAIN);
}

/* Returns how many of them are findings. */
static unsigned print_warnings(struct pinw_term *t, const struct pinw_policy *p, bool quiet)
{
	unsigned findings = 0;

	for (uint32_t i = 0; i < p->warning_count; i++) {
		const struct pinw_policy_warning *w = &p->warnings[i];
		findings += !w->is_note;
		if (w->is_note && quiet)
			continue;
		pinw_term_put_foreign(t, p->path, strlen(p->path));
		if (w->line)
			pinw_term_put(t, ":%u", w->line);
		pinw_term_put(t, w->is_note ? ": note: " : ": warning: ");
		pinw_term_put_foreign(t, w->text, strlen(w->text));
		pinw_term_end(t, 2, PINW_STYLE_PLAIN);
	}
	return findings;
}

static int lint(const char *path, const struct pinw_policy_here *here, bool quiet, struct pinw_term *t)
{
	struct pinw_policy_file file;
	struct pinw_policy_parsed parsed = {0};
	struct pinw_policy_error wrong = {0};
	int status = PINW_POLICY_BAD;
	int error = pinw_policy_file_read(&file, path, &wrong);

	if (error == 0)
		error = pinw_policy_file_parse(&file, &here->host, &parsed, &wrong);
	if (error == 0) {
		bool clean = print_warnings(t, parsed.policy, quiet) == 0;
		status = clean ? PINW_POLICY_CLEAN : PINW_POLICY_FINDINGS;
		if (!quiet)
			print_summary(t, parsed.policy);
	} else if (wrong.text[0]) {
		pinw_policy_file_complain(path, &wrong);
	} else {
		pinw_say("policy lint: %s: %s", path, strerror(-error));
	}
	pinw_policy_parsed_done(&parsed);
	pinw_policy_file_done(&file);
	return status;
}

int pinw_policy_lint(int argc, char **argv)
{
	static const struct option options[] = {
	    {"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct pinw_policy_here here;
	struct pinw_term term;
	bool quiet = false;
	int option, worst = PINW_POLICY_CLEAN;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":qh", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(help_text, stdout);
			return fflush(stdout) == 0 ? PINW_POLICY_CLEAN : PINW_POLICY_BAD;
		}
		if (option != 'q')
			return pinw_policy_usage("lint", option, argv, "-q and -h");
		quiet = true;
	}
	if (optind == argc) {
		pinw_say("policy lint: no policy is named; type: pinwarden policy lint FILE");
		return PINW_POLICY_BAD;
	}
	pinw_policy_here(&here);
	pinw_term_init(&term, stdout, false);
	for (int i = optind; i < argc; i++) {
		int status = lint(argv[i], &here, quiet, &term);
		worst = status > worst ? status : worst;
	}
	int error = pinw_term_done(&term);
	if (error < 0)
		pinw_say("policy lint: standard output: %s", strerror(-error));
	return error < 0 ? PINW_POLICY_BAD : worst;
}
