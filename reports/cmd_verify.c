/* SPDX-License-Identifier: MIT
 *
 * pinwarden verify and pinwarden recover: is a trace file whole, and what can be had of one that is not. Exit status of both: 0
 * whole, 1 damaged (recover: what is left was written), 2 usage, or the output could not be written, 3 unreadable.
 */
#include "reports/commands.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reports/inputs.h"
#include "reports/output.h"
#include "reports/reader.h"
#include "reports/say.h"
#include "reports/text_private.h"
#include "reports/usage.h"

enum { STATUS_WHOLE = 0, STATUS_DAMAGED = 1, STATUS_UNREADABLE = 3 };

static const char verify_help[] =
    "Usage: pinwarden verify TRACE... [options]\n"
    "\n"
    "Checks trace files: sums of header and records, sizes, segments, slots, rules.\n"
    "Of a damaged one it says what and where. A TRACE may be a directory: every *.pwt\n"
    "in it is checked. A process that still writes, or was killed, damages nothing.\n"
    "\n"
    "  -q, --quiet  say nothing of traces without damage\n"
    "  -h, --help   this text\n"
    "\n"
    "Example: pinwarden verify traces/ && tar czf traces.tgz traces/\n"
    "\n"
    "Exit status: 0 no damage; 1 damage; 2 wrong usage, or the output could not be\n"
    "written; 3 a trace was unreadable, or there was none.\n";

static const char recover_help[] =
    "Usage: pinwarden recover TRACE -o FILE\n"
    "\n"
    "Writes to FILE a trace without damage, with everything of TRACE that checks:\n"
    "header, counters, records, live threads, what rules did. Says what was lost.\n"
    "TRACE is only read. (pinwarden report shows damaged traces as they are, too.)\n"
    "\n"
    "  -o, --output=FILE  the new trace\n"
    "  -h, --help         this text\n"
    "\n"
    "Example: pinwarden recover broken.pwt -o mended.pwt\n"
    "\n"
    "Exit status: 0 nothing was lost; 1 something was, and FILE has the rest; 2 wrong\n"
    "usage, or FILE could not be written; 3 TRACE is unreadable.\n";

static int say_help(const char *text)
{
	return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? PINW_EXIT_USAGE : 0;
}

static uint64_t problems_of(const struct pinw_reader *r)
{
	struct pinw_problem one;

	return pinw_reader_problems(r, &one, 1);
}

/* The places of the first ones. */
static void put_problems(struct pinw_term *t, const struct pinw_reader *r)
{
	struct pinw_problem problems[PINW_PROBLEMS_MAX];
	uint64_t count = pinw_reader_problems(r, problems, PINW_PROBLEMS_MAX);

	for (uint64_t i = 0; i < count && i < PINW_PROBLEMS_MAX; i++)
		pinw_term_line(t, 4, PINW_STYLE_PLAIN, "  at offset %" PRIu64 ": %s", problems[i].offset,
		               problems[i].what);
	if (count > PINW_PROBLEMS_MAX)
		pinw_term_line(t, 4, PINW_STYLE_PLAIN, "  and %s more",
		               pinw_text_count(count - PINW_PROBLEMS_MAX));
}

/* What is no damage, but is not delivered either. */
static void put_passed_over(struct pinw_term *t, const struct pinw_reader *r)
{
	struct pinw_reader_tally tally = pinw_reader_tally(r);

	if (tally.in_flight_cells)
		pinw_term_line(t, 4, PINW_STYLE_PLAIN, "  %s begun and never finished by the program",
		               pinw_text_counted(tally.in_flight_cells, "cell was", "cells were"));
	if (tally.unknown)
		pinw_term_line(
		    t, 4, PINW_STYLE_PLAIN, "  %s of a newer version of the format",
		    pinw_text_counted(tally.unknown, "record or segment is", "records or segments are"));
}

/* ---- verify ------------------------------------------------------------------------------ */

struct verify {
	struct pinw_term term;
	bool quiet;
	unsigned files;
	bool damaged, unreadable;
};

static void unreadable(struct verify *v, const char *path, const char *why)
{
	v->unreadable = true;
	pinw_say("verify: %s: %s", path, why);
}

static void ignore_rule(void *arg, const struct pinw_rule_cell *cell)
{
	(void)arg, (void)cell; /* the reader has checked it */
}

static void verify_file(void *arg, const char *path)
{
	struct verify *v = arg;
	struct pinw_reader *r = NULL;
	int error = pinw_reader_open(path, &r);

	v->files++;
	if (error < 0) {
		unreadable(v, path, pinw_reader_strerror(error));
		return;
	}
	error = pinw_reader_walk(r, NULL, NULL, NULL);
	if (error == 0)
		error = pinw_reader_rules(r, ignore_rule, NULL);
	uint64_t problems = problems_of(r);
	if (error < 0)
		unreadable(v, path, strerror(-error));
	v->damaged = v->damaged || problems;
	if (problems || !v->quiet) {
		pinw_term_put_foreign(&v->term, path, strlen(path));
		pinw_term_put(&v->term, ": %s, %s",
		              problems ? pinw_text_counted(problems, "problem", "problems") : "no damage",
		              pinw_text_counted(pinw_reader_tally(r).records, "record", "records"));
		pinw_term_end(&v->term, 2, problems ? PINW_STYLE_BAD : PINW_STYLE_PLAIN);
		put_problems(&v->term, r);
		put_passed_over(&v->term, r);
	}
	pinw_reader_free(r);
}

static int verify_all(struct verify *v, int count, char **paths)
{
	struct pinw_output out;
	int error = pinw_output_open(&out, NULL);

	if (error == 0) {
		pinw_term_init(&v->term, out.file, pinw_color_wanted(PINW_COLOR_AUTO, NULL));
		if (!pinw_inputs_each("verify", count, paths, verify_file, v))
			v->unreadable = true;
		error = pinw_output_close(&out, pinw_term_done(&v->term));
	}
	if (error < 0) {
		pinw_say("verify: standard output: %s", strerror(-error));
		return PINW_EXIT_USAGE;
	}
	if (v->unreadable)
		return STATUS_UNREADABLE;
	return v->damaged ? STATUS_DAMAGED : STATUS_WHOLE;
}

int pinw_cmd_verify(int argc, char **argv)
{
	static const struct option options[] = {
	    {"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct verify v = {0};
	int option;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":qh", options, NULL)) != -1) {
		if (option == 'h')
			return say_help(verify_help);
		if (option != 'q') {
			pinw_usage_option("verify", option, argv, "-q and -h");
			return PINW_EXIT_USAGE;
		}
		v.quiet = true;
	}
	if (optind == argc) {
		pinw_usage("verify", "no trace is named; type: pinwarden verify TRACE");
		return PINW_EXIT_USAGE;
	}
	return verify_all(&v, argc - optind, argv + optind);
}

/* ---- recover ----------------------------------------------------------------------------- */

/* Nothing is written over the trace that is read. */
static bool is_itself(const struct pinw_reader *r, const char *output)
{
	uint64_t device, inode;
	struct stat st;

	pinw_reader_file(r, &device, &inode);
	return stat(output, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static int write_copy(struct pinw_reader *r, const char *output, struct pinw_reader_copied *ret_copied)
{
	struct pinw_output out;
	int error = strcmp(output, "-") == 0 ? -ESPIPE : pinw_output_open(&out, output);

	if (error < 0)
		return error;
	return pinw_output_close(&out, out.temporary ? pinw_reader_copy(r, out.file, ret_copied) : -ESPIPE);
}

/* Returns 0 or -errno of standard output. */
static int tell(const struct pinw_reader *r, const char *output, const struct pinw_reader_copied *copied)
{
	struct pinw_term t;
	uint64_t problems = problems_of(r);

	pinw_term_init(&t, stdout, pinw_color_wanted(PINW_COLOR_AUTO, NULL));
	pinw_term_put_foreign(&t, output, strlen(output));
	pinw_term_put(&t, ": %s, ", pinw_text_counted(copied->records, "record", "records"));
	pinw_term_put(&t, "%s; ", pinw_text_counted(copied->slots, "live thread", "live threads"));
	pinw_term_put(&t, "%s",
	              problems ? pinw_text_counted(problems, "problem", "problems") : "nothing was lost");
	pinw_term_put(&t, problems ? " in the damaged trace, whose records are not in it:" : "");
	pinw_term_end(&t, 2, PINW_STYLE_PLAIN);
	put_problems(&t, r);
	put_passed_over(&t, r);
	return pinw_term_done(&t);
}

static int recover(const char *path, const char *output)
{
	struct pinw_reader *r = NULL;
	struct pinw_reader_copied copied = {0};
	int error = pinw_reader_open(path, &r);

	if (error < 0) {
		pinw_say("recover: %s: %s", path, pinw_reader_strerror(error));
		return STATUS_UNREADABLE;
	}
	if (is_itself(r, output)) {
		pinw_say("recover: -o %s: this is the trace itself; name another file", output);
		pinw_reader_free(r);
		return PINW_EXIT_USAGE;
	}
	error = write_copy(r, output, &copied);
	if (error == -ESPIPE)
		pinw_say("recover: -o %s: a trace goes to a regular file", output);
	else if (error < 0)
		pinw_say("recover: %s: %s", output, strerror(-error));
	if (error == 0 && (error = tell(r, output, &copied)) < 0)
		pinw_say("recover: standard output: %s", strerror(-error));
	bool lost = problems_of(r) || pinw_reader_tally(r).unknown;
	pinw_reader_free(r);
	if (error < 0)
		return PINW_EXIT_USAGE;
	return lost ? STATUS_DAMAGED : STATUS_WHOLE;
}

int pinw_cmd_recover(int argc, char **argv)
{
	static const struct option options[] = {
	    {"output", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	const char *output = NULL;
	int option;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":o:h", options, NULL)) != -1) {
		if (option == 'h')
			return say_help(recover_help);
		if (option != 'o') {
			pinw_usage_option("recover", option, argv, "-o and -h");
			return PINW_EXIT_USAGE;
		}
		output = optarg;
	}
	if (!output || argc - optind != 1) {
		pinw_usage("recover", "name one trace and a new file; type: pinwarden recover TRACE -o FILE");
		return PINW_EXIT_USAGE;
	}
	return recover(argv[optind], output);
}
