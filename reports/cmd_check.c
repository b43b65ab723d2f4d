/* SPDX-License-Identifier: MIT
 *
 * pinwarden check: recorded runs against a policy, for continuous integration. Exit status: 0 no findings, or with a baseline
 * no new ones; 1 findings; 2 usage, a policy that is not valid, or the output could not be written; 3 a trace was unreadable,
 * or nothing was checked.
 */
#include "reports/commands.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "reports/baseline.h"
#include "reports/check.h"
#include "reports/lost_names.h"
#include "reports/output.h"
#include "reports/policy_cmds.h"
#include "reports/say.h"
#include "reports/usage.h"
#include "reports/sysroot.h"

static const char help_text[] =
    "Usage: pinwarden check TRACE... -p POLICY [options]\n"
    "\n"
    "Holds recorded runs against a policy, and fails when it finds something. A TRACE\n"
    "may be a directory: every *.pwt in it is read. Findings are known again by the\n"
    "names on their stacks, so a rebuild does not make them new.\n"
    "\n"
    "  -p, --policy=FILE      the policy; its mode does not matter\n"
    "  -f, --format=FORMAT    text (default), sarif, junit or json\n"
    "  -o, --output=FILE      write to FILE; - is standard output (default)\n"
    "      --baseline=OLD     what check -f json wrote of an earlier run, or its\n"
    "                         traces: only what is new fails; may be given again\n"
    "      --color=WHEN       auto (default), always or never; auto honours NO_COLOR\n"
    "      --top=N            findings shown in text, 0 for all (default 20)\n"
    "      --sysroot=DIR      look for programs and libraries below DIR\n"
    "  -h, --help             this text\n"
    "\n"
    "Example: pinwarden check traces/ -p ci.ini -f sarif -o pinwarden.sarif\n"
    "\n"
    "Exit status: 0 no (new) findings; 1 findings; 2 wrong usage, a policy that is\n"
    "not valid, or the output could not be written; 3 a trace was unreadable, or\n"
    "nothing was checked.\n";

enum format { FORMAT_TEXT, FORMAT_SARIF, FORMAT_JUNIT, FORMAT_JSON };

struct options {
	const char *policy;
	enum format format;
	const char *output; /* NULL = standard output */
	enum pinw_color color;
	size_t top;
	char **baselines; /* documents, then traces */
	int baseline_count, document_count;
	bool help;
};

/* ---- options --------------------------------------------------------------------------- */

static int parse_format(struct options *o, const char *value)
{
	static const char *const names[] = {[FORMAT_TEXT] = "text",
	                                    [FORMAT_SARIF] = "sarif",
	                                    [FORMAT_JUNIT] = "junit",
	                                    [FORMAT_JSON] = "json"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(value, names[i]) == 0) {
			o->format = (enum format)i;
			return 0;
		}
	return pinw_usage("check", "-f %s: the formats are text, sarif, junit and json", value);
}

static void take_baseline(struct options *o, char *value)
{
	int at = o->baseline_count++;

	if (pinw_baseline_is_document(value)) {
		o->baselines[at] = o->baselines[o->document_count];
		at = o->document_count++;
	}
	o->baselines[at] = value;
}

enum { OPTION_BASELINE = UCHAR_MAX + 1, OPTION_COLOR, OPTION_TOP, OPTION_SYSROOT };

static int take_option(struct options *o, int option, char **argv)
{
	switch (option) {
	case 'p':
		o->policy = optarg;
		return 0;
	case 'f':
		return parse_format(o, optarg);
	case 'o':
		o->output = strcmp(optarg, "-") == 0 ? NULL : optarg;
		return 0;
	case OPTION_BASELINE:
		take_baseline(o, optarg);
		return 0;
	case OPTION_COLOR:
		return pinw_usage_color("check", optarg, &o->color);
	case OPTION_SYSROOT:
		return pinw_sysroot_set("check", optarg);
	case OPTION_TOP:
		return pinw_usage_top("check", optarg, &o->top);
	case 'h':
		o->help = true;
		return 0;
	default:
		return pinw_usage_option("check", option, argv,
		                         "-p, -f, -o, --baseline, --color, --top, --sysroot and -h");
	}
}

static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option options[] = {{"policy", required_argument, NULL, 'p'},
	                                        {"format", required_argument, NULL, 'f'},
	                                        {"output", required_argument, NULL, 'o'},
	                                        {"baseline", required_argument, NULL, OPTION_BASELINE},
	                                        {"color", required_argument, NULL, OPTION_COLOR},
	                                        {"top", required_argument, NULL, OPTION_TOP},
	                                        {"sysroot", required_argument, NULL, OPTION_SYSROOT},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	int option, error = 0;

	optind = 0;
	opterr = 0;
	while (error == 0 && (option = getopt_long(argc, argv, ":p:f:o:h", options, NULL)) != -1)
		error = take_option(o, option, argv);
	if (error < 0 || o->help)
		return error;
	if (!o->policy)
		return pinw_usage("check", "%s", "no policy is named; type: pinwarden check TRACE -p POLICY");
	if (optind == argc)
		return pinw_usage("check", "%s", "no trace is named; type: pinwarden check TRACE -p POLICY");
	return 0;
}

/* ---- checking -------------------------------------------------------------------------- */

static int write_findings(const struct pinw_check *c, const struct options *o, FILE *out)
{
	const struct pinw_check_text_options text = {.color = pinw_color_wanted(o->color, o->output),
	                                             .top = o->top ? o->top : SIZE_MAX};

	switch (o->format) {
	case FORMAT_SARIF:
		return pinw_check_sarif(c, out);
	case FORMAT_JUNIT:
		return pinw_check_junit(c, out);
	case FORMAT_JSON:
		return pinw_check_json(c, out);
	default:
		return pinw_check_text(c, &text, out);
	}
}

/* Nothing is written over what was read. */
static bool is_input(const struct pinw_check *c, const struct options *o)
{
	for (int i = 0; i < o->document_count; i++)
		if (pinw_output_replaces(pinw_output_place(o->output), o->baselines[i]))
			return true;
	const char *to = pinw_output_place(o->output);
	return pinw_output_replaces(to, o->policy) || pinw_model_holds(c->now.model, to) ||
	       (c->has_traces && pinw_model_holds(c->before.model, to));
}

static int write_output(const struct pinw_check *c, const struct options *o)
{
	struct pinw_output out;

	if (is_input(c, o))
		return pinw_usage("check", "-o %s: this is the policy, or one of the traces or baselines",
		                  pinw_output_place(o->output));
	int error = pinw_output_open(&out, o->output);
	if (error == 0)
		error = pinw_output_close(&out, write_findings(c, o, out.file));
	if (error < 0)
		pinw_say("check: %s: %s", o->output ? o->output : "standard output", strerror(-error));
	return error;
}

static int read_documents(struct pinw_check *c, const struct options *o)
{
	pinw_table_init(&c->keys, sizeof(bool));
	for (int i = 0; i < o->document_count; i++) {
		int error = pinw_baseline_read(o->baselines[i], &c->keys);

		if (error == -EBADMSG)
			pinw_say("check: baseline %s: not what check -f json writes", o->baselines[i]);
		else if (error < 0)
			pinw_say("check: baseline %s: %s", o->baselines[i], strerror(-error));
		if (error < 0)
			return PINW_POLICY_UNREADABLE;
	}
	return 0;
}

/* Its findings have no names then, and all there is now looks new. */
static void say_lost_names(const struct pinw_check *c)
{
	struct pinw_lost_names lost = pinw_lost_names_of(c->before.model, c->before.stacks);
	char words[512];

	if (!lost.stacks)
		return;
	pinw_lost_names_words(&lost, words, sizeof(words));
	pinw_say("check: baseline: %s: what was known looks new. Keep what check -f json wrote as the "
	         "baseline",
	         words);
}

/* A baseline in which nothing could be read would make every finding new, or hide that there is none to compare with. */
static int judge(struct pinw_check *c, const struct options *o, int count, char **traces)
{
	int status = pinw_trial_run(&c->now, "check", o->policy, count, traces);

	if (status == 0 && c->now.rehearsal.processes == 0) {
		pinw_say("check: nothing was checked: no trace could be read");
		status = PINW_POLICY_UNREADABLE;
	}
	if (status || !o->baseline_count)
		return status;
	c->has_baseline = true;
	c->has_traces = o->baseline_count > o->document_count;
	status = read_documents(c, o);
	if (status || !c->has_traces)
		return status;
	status = pinw_trial_run(&c->before, "check: baseline", o->policy,
	                        o->baseline_count - o->document_count, o->baselines + o->document_count);
	if (status == 0 && c->before.rehearsal.processes == 0) {
		pinw_say("check: no trace of the baseline could be read");
		status = PINW_POLICY_UNREADABLE;
	}
	if (status == 0)
		say_lost_names(c);
	return status;
}

static int check(struct pinw_check *c, const struct options *o, int count, char **traces)
{
	int status = judge(c, o, count, traces);

	if (status)
		return status;
	if (pinw_check_collect(c) < 0) {
		pinw_say("check: %s", strerror(ENOMEM));
		return PINW_POLICY_UNREADABLE;
	}
	if (write_output(c, o) < 0)
		return PINW_EXIT_USAGE;
	if (c->now.unreadable || c->before.unreadable)
		return PINW_POLICY_UNREADABLE;
	return c->of_state[PINW_CHECK_NEW] ? PINW_POLICY_FINDINGS : PINW_POLICY_CLEAN;
}

int pinw_cmd_check(int argc, char **argv)
{
	struct options o = {.top = 20, .baselines = calloc((size_t)argc + 1, sizeof(char *))};
	struct pinw_check c = {0};
	int status = PINW_EXIT_USAGE;

	if (!o.baselines) {
		pinw_say("check: %s", strerror(ENOMEM));
		return PINW_POLICY_UNREADABLE;
	}
	pinw_sysroot_allow_servers(true);
	if (parse_options(&o, argc, argv) == 0) {
		if (o.help)
			status = fputs(help_text, stdout) < 0 || fflush(stdout) != 0 ? PINW_EXIT_USAGE : 0;
		else
			status = check(&c, &o, argc - optind, argv + optind);
	}
	pinw_check_done(&c);
	free(o.baselines);
	return status;
}
