/* SPDX-License-Identifier: MIT
 *
 * pinwarden report: traces in, one document out. Exit status: 0 everything was read and written; 2 usage, or the
 * output could not be written; 3 a trace was unreadable or damaged (what could be read is shown).
 */
#include "reports/commands.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reports/filter.h"
#include "reports/inputs.h"
#include "reports/names.h"
#include "reports/output.h"
#include "reports/report.h"
#include "reports/database.h"
#include "reports/export.h"
#include "reports/say.h"
#include "reports/usage.h"
#include "reports/sysroot.h"

enum status {
	STATUS_READ = 0,
	STATUS_USAGE = PINW_EXIT_USAGE,
	STATUS_UNREADABLE = 3,
};

enum format {
	FORMAT_TEXT,
	FORMAT_JSON,
	FORMAT_HTML,
	FORMAT_JSONL,
	FORMAT_FOLDED,
	FORMAT_PPROF,
	FORMAT_CHROME,
	FORMAT_SQLITE,
	FORMATS
};

static const struct {
	const char *name;
	bool history; /* shows single pins, locks and violations */
	bool complete; /* says itself what was dropped */
} formats[FORMATS] = {
    [FORMAT_TEXT] = {"text", true, true},      [FORMAT_JSON] = {"json", false, true},
    [FORMAT_HTML] = {"html", true, true},      [FORMAT_JSONL] = {"jsonl", true, true},
    [FORMAT_FOLDED] = {"folded", true, false}, [FORMAT_PPROF] = {"pprof", true, true},
    [FORMAT_CHROME] = {"chrome", true, false}, [FORMAT_SQLITE] = {"sqlite", true, true},
};

struct options {
	enum format format;
	enum pinw_weight weight;
	const char *output; /* NULL = stdout */
	enum pinw_color color;
	size_t top;
	bool scorecard;
	enum pinw_text_by by;
	struct pinw_filter filter; /* of no terms: none */
	bool help;
};

static const char help_text[] =
    "Usage: pinwarden report TRACE... [options]        such as: pinwarden report .\n"
    "\n"
    "Shows what traces recorded: who created which thread, who pinned what and from\n"
    "where, what was released and what leaked. A TRACE may be a directory: every\n"
    "*.pwt in it is read. Parents and children are joined to a tree.\n"
    "\n"
    "  -f, --format=FORMAT  text (default), json, html (one page for a browser); for\n"
    "                       tools: jsonl (an object a line), folded (flame graphs),\n"
    "                       pprof (go tool pprof), chrome (Perfetto), sqlite\n"
    "  -o, --output=FILE    write to FILE; - is standard output (default)\n"
    "      --color=WHEN     auto (default), always or never; auto honours NO_COLOR\n"
    "      --by=WHAT        site, thread or cpu: tables by these alone; text only\n"
    "      --filter=EXPR    rows with WORD, function:, module:, thread:NAME, kind:go,\n"
    "                       leak:any, cpu:0; text only\n"
    "      --scorecard      checklists with PASS, FAIL or NOT OBSERVABLE, capacity,\n"
    "                       advice; text and json\n"
    "      --top=N          rows of lists in text and html (default 20), 0 for all\n"
    "      --weight=WEIGHT  what folded counts and pprof shows first: creations\n"
    "                       (default), threads alive, pins, hold (time) or leaks\n"
    "      --sysroot=DIR    programs and libraries are below DIR (another machine's)\n"
    "  -h, --help           this text\n"
    "\n"
    "Exit status: 0 everything was read; 2 wrong usage, or the output could not be\n"
    "written; 3 a trace was unreadable or damaged (what could be read is shown).\n";

/* ---- options -------------------------------------------------------------------------- */

static int refuse_format(const char *value)
{
	char text[512];
	size_t len =
	    (size_t)snprintf(text, sizeof(text), "-f %.100s: the formats are %s", value, formats[0].name);

	for (size_t i = 1; i < FORMATS; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
		                        i + 1 < FORMATS ? ", " : " and ", formats[i].name);
	return pinw_usage("report", "%s", text);
}

static int parse_format(struct options *o, const char *value)
{
	for (size_t i = 0; i < FORMATS; i++)
		if (strcmp(value, formats[i].name) == 0) {
			o->format = (enum format)i;
			return 0;
		}
	return refuse_format(value);
}

static int parse_weight(struct options *o, const char *value)
{
	for (size_t i = 0; i < PINW_WEIGHTS; i++)
		if (strcmp(value, pinw_weight_name((enum pinw_weight)i)) == 0) {
			o->weight = (enum pinw_weight)i;
			return 0;
		}
	return pinw_usage("report", "--weight=%s: expected creations, threads, pins, hold or leaks", value);
}

static int parse_by(struct options *o, const char *value)
{
	static const char *const words[] = {
	    [PINW_BY_SITE] = "site", [PINW_BY_THREAD] = "thread", [PINW_BY_CPU] = "cpu"};

	for (size_t i = PINW_BY_SITE; i <= PINW_BY_CPU; i++)
		if (strcmp(value, words[i]) == 0) {
			o->by = (enum pinw_text_by)i;
			return 0;
		}
	return pinw_usage("report", "--by=%s: expected site, thread or cpu", value);
}

static int parse_filter(struct options *o, const char *value)
{
	char why[256], text[512];

	if (pinw_filter_parse(value, &o->filter, why, sizeof(why)) == 0)
		return 0;
	snprintf(text, sizeof(text), "--filter=%.120s: %s", value, why);
	return pinw_usage("report", "%s", text);
}

enum {
	OPTION_COLOR = UCHAR_MAX + 1,
	OPTION_TOP,
	OPTION_WEIGHT,
	OPTION_SYSROOT,
	OPTION_SCORECARD,
	OPTION_BY,
	OPTION_FILTER
};

static const struct option long_options[] = {
    {"format", required_argument, NULL, 'f'},
    {"output", required_argument, NULL, 'o'},
    {"color", required_argument, NULL, OPTION_COLOR},
    {"top", required_argument, NULL, OPTION_TOP},
    {"weight", required_argument, NULL, OPTION_WEIGHT},
    {"sysroot", required_argument, NULL, OPTION_SYSROOT},
    {"by", required_argument, NULL, OPTION_BY},
    {"filter", required_argument, NULL, OPTION_FILTER},
    {"scorecard", no_argument, NULL, OPTION_SCORECARD},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int parse_options(struct options *o, int argc, char **argv)
{
	int option, error = 0;

	*o = (struct options){.top = 20};
	optind = 0; /* a fresh start: main may have parsed options of its own */
	opterr = 0;
	while (error == 0 && (option = getopt_long(argc, argv, ":f:o:h", long_options, NULL)) != -1) {
		switch (option) {
		case 'f':
			error = parse_format(o, optarg);
			break;
		case 'o':
			o->output = strcmp(optarg, "-") == 0 ? NULL : optarg;
			break;
		case OPTION_COLOR:
			error = pinw_usage_color("report", optarg, &o->color);
			break;
		case OPTION_TOP:
			error = pinw_usage_top("report", optarg, &o->top);
			break;
		case OPTION_SYSROOT:
			error = pinw_sysroot_set("report", optarg);
			break;
		case OPTION_WEIGHT:
			error = parse_weight(o, optarg);
			break;
		case OPTION_BY:
			error = parse_by(o, optarg);
			break;
		case OPTION_FILTER:
			error = parse_filter(o, optarg);
			break;
		case OPTION_SCORECARD:
			o->scorecard = true;
			break;
		case 'h':
			o->help = true;
			break;
		default:
			error = pinw_usage_option(
			    "report", option, argv,
			    "-f, -o, --by, --color, --filter, --scorecard, --top, --weight, --sysroot and "
			    "--help");
			break;
		}
	}
	if (error == 0 && o->scorecard && o->format != FORMAT_TEXT && o->format != FORMAT_JSON)
		error = pinw_usage("report", "--scorecard is in text and json, not in %s",
		                   formats[o->format].name);
	if (error == 0 && o->by != PINW_BY_ALL && (o->format != FORMAT_TEXT || o->scorecard))
		error = pinw_usage("report", "%s", "--by is a view of text, without --scorecard");
	if (error == 0 && o->filter.count && (o->format != FORMAT_TEXT || o->scorecard))
		error = pinw_usage("report", "%s", "--filter is for the lists of text; in json use jq");
	if (error == 0 && !o->help && optind == argc)
		error = pinw_usage(
		    "report", "%s",
		    "name a trace, or a directory with traces in it; type: pinwarden report traces/");
	return error;
}

/* ---- writing -------------------------------------------------------------------------- */

/* In formats that have no place for it. */
static void say_dropped(const struct pinw_model *m)
{
	uint64_t dropped = 0;

	for (size_t i = 0; i < m->process_count; i++)
		dropped += m->processes[i]->error ? 0 : m->processes[i]->live.counters.events_dropped;
	if (dropped)
		pinw_say("report: %" PRIu64
		         " records were dropped and are not in this; exact counts: -f text",
		         dropped);
}

static int write_folded(const struct pinw_model *m, struct pinw_stacks *stacks, const struct options *o,
                        FILE *out)
{
	uint64_t total;
	int error = pinw_export_folded(m, stacks, o->weight, out, &total);

	if (error == 0 && total == 0)
		pinw_say("report: nothing to fold by %s; there are also other weights: --weight",
		         pinw_weight_name(o->weight));
	return error;
}

static int write_document(struct pinw_model *m, const struct options *o, const struct pinw_output *to)
{
	struct pinw_text_options text = {.color = pinw_color_wanted(o->color, o->output),
	                                 .top = o->top,
	                                 .scorecard = o->scorecard,
	                                 .by = o->by,
	                                 .filter = o->filter.count ? &o->filter : NULL};
	struct pinw_stacks *stacks;
	FILE *out = to->file;
	int error = pinw_stacks_open(&stacks);

	if (error < 0)
		return error;
	error = pinw_names_give(m, stacks);
	if (error < 0) {
		pinw_stacks_free(stacks);
		return error;
	}
	if (!formats[o->format].complete)
		say_dropped(m);
	switch (o->format) {
	case FORMAT_JSON:
		error = pinw_report_json(m, stacks, o->scorecard, out);
		break;
	case FORMAT_HTML:
		error = pinw_export_html(m, stacks, o->top, out);
		break;
	case FORMAT_JSONL:
		error = pinw_export_jsonl(m, stacks, out);
		break;
	case FORMAT_FOLDED:
		error = write_folded(m, stacks, o, out);
		break;
	case FORMAT_PPROF:
		error = pinw_export_pprof(m, stacks, o->weight, out);
		break;
	case FORMAT_CHROME:
		error = pinw_export_chrome(m, stacks, out);
		break;
	case FORMAT_SQLITE:
		error = pinw_database_write(m, stacks, to);
		break;
	default:
		error = pinw_report_text(m, stacks, &text, out);
		break;
	}
	pinw_stacks_free(stacks);
	return error;
}

static int write_report(struct pinw_model *m, const struct options *o)
{
	struct pinw_output out;

	if (pinw_model_holds(m, pinw_output_place(o->output))) {
		pinw_usage("report", "-o %s: this is one of the traces", pinw_output_place(o->output));
		return -EINVAL;
	}
	int error = pinw_output_open(&out, o->output);
	if (error == 0)
		error = pinw_output_close(&out, write_document(m, o, &out));
	if (error == PINW_DATABASE_NO_FILE && o->format == FORMAT_SQLITE)
		pinw_say("report: -f sqlite: a database goes to a file: -o FILE, or > FILE that is empty");
	else if (error < 0)
		pinw_say("report: %s: %s", o->output ? o->output : "standard output", strerror(-error));
	return error;
}

int pinw_cmd_report(int argc, char **argv)
{
	struct pinw_model *m;
	struct options o;
	bool unreadable;

	if (parse_options(&o, argc, argv) < 0)
		return STATUS_USAGE;
	if (o.help)
		return fputs(help_text, stdout) < 0 || fflush(stdout) != 0 ? STATUS_USAGE : STATUS_READ;
	pinw_sysroot_allow_servers(true);
	if (pinw_inputs_read("report", argc - optind, argv + optind, formats[o.format].history || o.scorecard,
	                     &m, &unreadable) < 0) {
		pinw_model_free(m);
		return STATUS_UNREADABLE;
	}
	int status = unreadable ? STATUS_UNREADABLE : STATUS_READ;
	if ((m->process_count || o.format != FORMAT_TEXT) && write_report(m, &o) < 0)
		status = STATUS_USAGE;
	pinw_model_free(m);
	return status;
}
