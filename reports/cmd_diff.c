/* SPDX-License-Identifier: MIT
 *
 * pinwarden diff: two runs side by side. Exit status: 0 compared; 1 with --fail-on-regression, when there is one; 2 usage, or
 * the output could not be written; 3 a trace was unreadable, or one side had none.
 */
#include "reports/commands.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "reports/diff.h"
#include "reports/inputs.h"
#include "reports/names.h"
#include "reports/output.h"
#include "reports/say.h"
#include "reports/usage.h"
#include "reports/sysroot.h"

#define STATUS_REGRESSION 1
#define STATUS_UNREADABLE 3

static const char help_text[] =
    "Usage: pinwarden diff BASE NEW [options]\n"
    "\n"
    "Compares two recorded runs: totals, and leaks, violations, pins and creations by\n"
    "stack. BASE and NEW are traces, or directories whose *.pwt are read. Stacks are\n"
    "known again by the names on them, so a rebuild makes no difference.\n"
    "\n"
    "  -f, --format=FORMAT       text (default) or json\n"
    "  -o, --output=FILE         write to FILE; - is standard output (default)\n"
    "      --fail-on-regression  end with 1 when NEW has a leak or a violation more\n"
    "      --color=WHEN          auto (default; honours NO_COLOR), always, never\n"
    "      --top=N               rows of each list in text, 0 for all (default 20)\n"
    "      --sysroot=DIR         look for programs and libraries below DIR\n"
    "  -h, --help                this text\n"
    "\n"
    "Example: pinwarden diff main-traces/ traces/ --fail-on-regression\n"
    "\n"
    "Exit status: 0 compared; 1 a regression, when asked for; 2 wrong usage, or the\n"
    "output could not be written; 3 a trace was unreadable, or a side has none.\n";

struct options {
	bool json, fail, help;
	const char *output; /* NULL = standard output */
	enum pinw_color color;
	size_t top;
};

/* ---- options --------------------------------------------------------------------------- */

enum { OPTION_FAIL = UCHAR_MAX + 1, OPTION_COLOR, OPTION_TOP, OPTION_SYSROOT };

static int take_option(struct options *o, int option, char **argv)
{
	switch (option) {
	case 'f':
		o->json = strcmp(optarg, "json") == 0;
		return o->json || strcmp(optarg, "text") == 0
		           ? 0
		           : pinw_usage("diff", "-f %s: the formats are text and json", optarg);
	case 'o':
		o->output = strcmp(optarg, "-") == 0 ? NULL : optarg;
		return 0;
	case OPTION_FAIL:
		o->fail = true;
		return 0;
	case OPTION_COLOR:
		return pinw_usage_color("diff", optarg, &o->color);
	case OPTION_SYSROOT:
		return pinw_sysroot_set("diff", optarg);
	case OPTION_TOP:
		return pinw_usage_top("diff", optarg, &o->top);
	case 'h':
		o->help = true;
		return 0;
	default:
		return pinw_usage_option("diff", option, argv,
		                         "-f, -o, --fail-on-regression, --color, --top, --sysroot and -h");
	}
}

static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option options[] = {{"format", required_argument, NULL, 'f'},
	                                        {"output", required_argument, NULL, 'o'},
	                                        {"fail-on-regression", no_argument, NULL, OPTION_FAIL},
	                                        {"color", required_argument, NULL, OPTION_COLOR},
	                                        {"top", required_argument, NULL, OPTION_TOP},
	                                        {"sysroot", required_argument, NULL, OPTION_SYSROOT},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	int option, error = 0;

	optind = 0;
	opterr = 0;
	while (error == 0 && (option = getopt_long(argc, argv, ":f:o:h", options, NULL)) != -1)
		error = take_option(o, option, argv);
	if (error == 0 && !o->help && argc - optind != 2)
		error = pinw_usage("diff", "%s", "name two runs; type: pinwarden diff BASE NEW");
	return error;
}

/* ---- comparing ------------------------------------------------------------------------- */

static bool has_any(const struct pinw_model *m)
{
	for (size_t i = 0; i < m->process_count; i++)
		if (!m->processes[i]->error)
			return true;
	return false;
}

/* Returns 0, or the exit status of a command that cannot go on, after saying why. */
static int read_side(struct pinw_diff *d, enum pinw_diff_side side, char *path, bool *ret_unreadable)
{
	bool unreadable;

	if (pinw_inputs_read("diff", 1, &path, true, &d->models[side], &unreadable) < 0)
		return STATUS_UNREADABLE;
	*ret_unreadable = *ret_unreadable || unreadable;
	if (has_any(d->models[side]))
		return 0;
	pinw_say("diff: %s: there is no trace to compare", path);
	return STATUS_UNREADABLE;
}

static int write_output(const struct pinw_diff *d, const struct options *o)
{
	struct pinw_output out;

	for (size_t side = 0; side < PINW_DIFF_SIDES; side++)
		if (pinw_model_holds(d->models[side], pinw_output_place(o->output)))
			return pinw_usage("diff", "-o %s: this is one of the traces",
			                  pinw_output_place(o->output));
	int error = pinw_output_open(&out, o->output);
	if (error == 0)
		error = pinw_output_close(&out,
		                          o->json ? pinw_diff_json(d, out.file)
		                                  : pinw_diff_text(d, pinw_color_wanted(o->color, o->output),
		                                                   o->top ? o->top : SIZE_MAX, out.file));
	if (error < 0)
		pinw_say("diff: %s: %s", o->output ? o->output : "standard output", strerror(-error));
	return error;
}

static int compare(struct pinw_diff *d, const struct options *o, char **paths)
{
	bool unreadable = false;
	int status = read_side(d, PINW_DIFF_BASE, paths[0], &unreadable);

	if (status == 0)
		status = read_side(d, PINW_DIFF_NEW, paths[1], &unreadable);
	if (status)
		return status;
	int error = pinw_stacks_open(&d->stacks);
	for (size_t side = 0; error == 0 && side < PINW_DIFF_SIDES; side++)
		error = pinw_names_give(d->models[side], d->stacks);
	if (error == 0)
		error = pinw_diff_collect(d);
	if (error < 0) {
		pinw_say("diff: %s", strerror(-error));
		return STATUS_UNREADABLE;
	}
	if (write_output(d, o) < 0)
		return PINW_EXIT_USAGE;
	if (unreadable)
		return STATUS_UNREADABLE;
	return o->fail && d->regressions ? STATUS_REGRESSION : 0;
}

int pinw_cmd_diff(int argc, char **argv)
{
	struct options o = {.top = 20};
	struct pinw_diff d = {0};

	if (parse_options(&o, argc, argv) < 0)
		return PINW_EXIT_USAGE;
	if (o.help)
		return fputs(help_text, stdout) < 0 || fflush(stdout) != 0 ? PINW_EXIT_USAGE : 0;
	pinw_sysroot_allow_servers(true);
	int status = compare(&d, &o, argv + optind);
	pinw_diff_done(&d);
	return status;
}
