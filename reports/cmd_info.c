/* SPDX-License-Identifier: MIT
 *
 * pinwarden info: what a trace file is, before anybody asks what happened in it. Exit status: 0 shown, 2 usage, or the output could
 * not be written, 3 a trace was unreadable or damaged.
 */
#include "reports/commands.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/policy.h"
#include "reports/inputs.h"
#include "reports/json.h"
#include "reports/output.h"
#include "reports/reader.h"
#include "reports/say.h"
#include "reports/text_private.h"
#include "reports/usage.h"

#define STATUS_UNREADABLE 3
#define COLUMN 12u /* where the values begin */

static const char help_text[] =
    "Usage: pinwarden info TRACE... [options]\n"
    "\n"
    "Shows what trace files are: version, program, process, machine, policy, how it\n"
    "ended, segments and records. What happened is in: pinwarden report\n"
    "A TRACE may be a directory: every *.pwt in it is shown.\n"
    "\n"
    "  -f, --format=FORMAT  text (default) or json\n"
    "  -o, --output=FILE    write to FILE; - is standard output (default)\n"
    "  -h, --help           this text\n"
    "\n"
    "Example: pinwarden info -f json trace.pwt | jq '.traces[].records'\n"
    "\n"
    "Exit status: 0; 2 wrong usage, or the output could not be written; 3 a trace was\n"
    "unreadable or damaged.\n";

static const char *const segment_names[] = {"unknown", "slots", "metadata", "events", "rules"};
static const struct {
	uint8_t type;
	const char *name;
} record_names[] = {
    {PINW_REC_THREAD_CREATE, "create"},
    {PINW_REC_THREAD_START, "start"},
    {PINW_REC_THREAD_EXIT, "exit"},
    {PINW_REC_THREAD_JOIN, "join"},
    {PINW_REC_THREAD_DETACH, "detach"},
    {PINW_REC_THREAD_NAME, "name"},
    {PINW_REC_THREAD_ADOPT, "adopt"},
    {PINW_REC_AFFINITY, "affinity"},
    {PINW_REC_PIN_EXTERNAL, "external"},
    {PINW_REC_EXEC, "exec"},
    {PINW_REC_NOTE, "note"},
    {PINW_REC_VIOLATION, "violation"},
    {PINW_REC_GOLOCK, "golock"},
    {PINW_REC_MODULE, "module"},
    {PINW_REC_SITE, "site"},
    {PINW_REC_POLICY, "policy"},
    {PINW_REC_RULE, "rule"},
    {PINW_REC_FUNCTION, "function"},
};
#define RECORDS (sizeof(record_names) / sizeof(record_names[0]))

/* One trace, read once. */
struct info {
	const char *path;
	const struct pinw_trace_header *header;
	const struct pinw_trace_live *live;
	struct pinw_reader_layout layout;
	struct pinw_reader_tally tally;
	uint64_t records[256]; /* by type */
	uint64_t slots, rules;
	bool has_policy;
	struct pinw_rec_policy policy;
	char policy_path[PINW_PATH_MAX];
	size_t policy_path_len;
	struct pinw_problem problems[PINW_PROBLEMS_MAX];
	uint64_t problem_count;
};

static void see_record(void *arg, const struct pinw_read_record *rec)
{
	struct info *i = arg;

	i->records[rec->type]++;
	if (rec->type != PINW_REC_POLICY)
		return;
	i->has_policy = true;
	i->policy = *rec->policy;
	i->policy_path_len = rec->text_len;
	memcpy(i->policy_path, rec->text, rec->text_len);
}

static void see_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	(void)slot, (void)mask;
	((struct info *)arg)->slots++;
}

static void see_rule(void *arg, const struct pinw_rule_cell *cell)
{
	(void)cell;
	((struct info *)arg)->rules++;
}

/* Returns 0 or -errno. */
static int read_info(struct pinw_reader *r, struct info *i)
{
	int error = pinw_reader_layout(r, &i->layout);

	if (error == 0)
		error = pinw_reader_walk(r, see_record, see_slot, i);
	if (error == 0)
		error = pinw_reader_rules(r, see_rule, i);
	i->header = pinw_reader_header(r);
	i->live = pinw_reader_live(r);
	i->tally = pinw_reader_tally(r);
	i->problem_count = pinw_reader_problems(r, i->problems, PINW_PROBLEMS_MAX);
	return error;
}

static const char *end_name(const struct info *i)
{
	static const char *const names[] = {"not recorded", "exit", "signal", "exec"};

	return i->live->end_how < sizeof(names) / sizeof(names[0]) ? names[i->live->end_how] : "unknown";
}

static const char *mode_of(const struct info *i)
{
	return i->policy.mode == PINW_MODE_AUDIT || i->policy.mode == PINW_MODE_ENFORCE
	           ? pinw_mode_name((enum pinw_mode)i->policy.mode)
	           : "unknown";
}

static const char *hex(const uint8_t id[16])
{
	static char text[33];

	for (size_t i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
	return text;
}

static const char *when(uint64_t real_ns)
{
	static char text[64];
	time_t seconds = (time_t)(real_ns / 1000000000u);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return text;
}

/* ---- text -------------------------------------------------------------------------------- */

static void field(struct pinw_term *t, const char *name)
{
	pinw_term_put(t, "  %s", name);
	pinw_term_pad(t, COLUMN);
}

static void end_field(struct pinw_term *t)
{
	pinw_term_end(t, COLUMN, PINW_STYLE_PLAIN);
}

static void text_process(struct pinw_term *t, const struct info *i)
{
	static const uint8_t none[sizeof(i->header->session)];
	const struct pinw_trace_header *h = i->header;

	field(t, "program");
	pinw_term_put_foreign(t, h->exe, h->exe_len);
	end_field(t);
	field(t, "process");
	pinw_term_put(t, "pid %" PRIu32 ", parent %" PRIu32 ", user %" PRIu32 ", %s", h->self.pid,
	              h->parent.pid, h->uid, h->image == PINW_IMAGE_FORK ? "forked" : "executed");
	end_field(t);
	field(t, "session");
	pinw_term_put(t, "%s", memcmp(h->session, none, sizeof(none)) == 0 ? "none" : hex(h->session));
	end_field(t);
	field(t, "started");
	pinw_term_put(t, "%s", when(h->start_real_ns));
	end_field(t);
	field(t, "ended");
	pinw_term_put(t, "%s", end_name(i));
	if (i->live->end_how == PINW_END_EXIT || i->live->end_how == PINW_END_SIGNAL)
		pinw_term_put(t, " %" PRIu32, i->live->end_status);
	if (i->live->end_how != PINW_END_NONE)
		pinw_term_put(t, " after %s", pinw_text_duration(i->live->end_ns));
	end_field(t);
	field(t, "machine");
	pinw_term_put(t, "boot %s, %s online, masks of %s", hex(h->self.boot_id),
	              pinw_text_counted(h->cpus_online, "CPU", "CPUs"),
	              pinw_text_counted((uint64_t)h->mask_words * 64, "CPU", "CPUs"));
	end_field(t);
}

static void text_policy(struct pinw_term *t, const struct info *i)
{
	field(t, "policy");
	if (i->has_policy) {
		pinw_term_put_foreign(t, i->policy_path, i->policy_path_len);
		pinw_term_put(t, ", %s, %s", mode_of(i), pinw_text_counted(i->policy.rules, "rule", "rules"));
	} else {
		pinw_term_put(t, "none");
	}
	end_field(t);
}

static void text_content(struct pinw_term *t, const struct info *i)
{
	const char *between = "";

	field(t, "segments");
	for (size_t kind = 0; kind <= PINW_SEG_RULES; kind++)
		if (i->layout.segments[kind].count) {
			pinw_term_put(t, "%s%s %s (%s bytes)", between, segment_names[kind],
			              pinw_text_count(i->layout.segments[kind].count),
			              pinw_text_count(i->layout.segments[kind].bytes));
			between = ", ";
		}
	end_field(t);
	field(t, "records");
	pinw_term_put(t, "%s", pinw_text_count(i->tally.records));
	for (size_t n = 0; n < RECORDS; n++)
		if (i->records[record_names[n].type])
			pinw_term_put(t, ", %s %s", pinw_text_count(i->records[record_names[n].type]),
			              record_names[n].name);
	end_field(t);
	field(t, "dropped");
	pinw_term_put(t, "%s; ", pinw_text_counted(i->live->counters.events_dropped, "record", "records"));
	pinw_term_put(t, "%s; ",
	              pinw_text_counted(i->tally.in_flight_cells, "cell in flight", "cells in flight"));
	pinw_term_put(t, "%s", pinw_text_counted(i->tally.unknown, "unknown part", "unknown parts"));
	end_field(t);
	field(t, "alive");
	pinw_term_put(t, "%s", pinw_text_counted(i->slots, "thread", "threads"));
	end_field(t);
}

static void text_info(struct pinw_term *t, const struct info *i)
{
	pinw_term_put_foreign(t, i->path, strlen(i->path));
	pinw_term_end(t, 2, PINW_STYLE_HEADING);
	field(t, "format");
	pinw_term_put(t, "version %" PRIu32 ", written by ", i->header->version);
	pinw_term_put_foreign(t, i->header->writer, i->header->version_len);
	pinw_term_put(t, ", %s bytes", pinw_text_count(i->layout.bytes));
	end_field(t);
	text_process(t, i);
	text_policy(t, i);
	text_content(t, i);
	field(t, "damage");
	if (i->problem_count)
		pinw_term_put(t, "%s; see: pinwarden verify",
		              pinw_text_counted(i->problem_count, "problem", "problems"));
	else
		pinw_term_put(t, "none");
	pinw_term_end(t, COLUMN, i->problem_count ? PINW_STYLE_BAD : PINW_STYLE_PLAIN);
}

/* ---- JSON -------------------------------------------------------------------------------- */

static void json_process(struct pinw_json *j, const struct info *i)
{
	const struct pinw_trace_header *h = i->header;

	pinw_json_bytes(j, "program", h->exe, h->exe_len);
	pinw_json_number(j, "pid", h->self.pid);
	pinw_json_number(j, "parent_pid", h->parent.pid);
	pinw_json_number(j, "uid", h->uid);
	pinw_json_text(j, "image", h->image == PINW_IMAGE_FORK ? "fork" : "exec");
	pinw_json_text(j, "session", hex(h->session));
	pinw_json_text(j, "boot_id", hex(h->self.boot_id));
	pinw_json_number(j, "cpus_online", h->cpus_online);
	pinw_json_number(j, "mask_words", h->mask_words);
	pinw_json_text(j, "started", when(h->start_real_ns));
	pinw_json_text(j, "end", end_name(i));
	pinw_json_number(j, "end_status", i->live->end_status);
	pinw_json_number(j, "end_ns", i->live->end_ns);
	if (!i->has_policy) {
		pinw_json_null(j, "policy");
		return;
	}
	pinw_json_begin_line_object(j, "policy");
	pinw_json_bytes(j, "path", i->policy_path, i->policy_path_len);
	pinw_json_text(j, "mode", mode_of(i));
	pinw_json_number(j, "rules", i->policy.rules);
	pinw_json_end_object(j);
}

static void json_content(struct pinw_json *j, const struct info *i)
{
	pinw_json_begin_object(j, "segments");
	for (size_t kind = 0; kind <= PINW_SEG_RULES; kind++) {
		pinw_json_begin_line_object(j, segment_names[kind]);
		pinw_json_number(j, "count", i->layout.segments[kind].count);
		pinw_json_number(j, "bytes", i->layout.segments[kind].bytes);
		pinw_json_end_object(j);
	}
	pinw_json_end_object(j);
	pinw_json_begin_object(j, "records");
	for (size_t n = 0; n < RECORDS; n++)
		pinw_json_number(j, record_names[n].name, i->records[record_names[n].type]);
	pinw_json_end_object(j);
	pinw_json_number(j, "dropped", i->live->counters.events_dropped);
	pinw_json_number(j, "in_flight_cells", i->tally.in_flight_cells);
	pinw_json_number(j, "unknown", i->tally.unknown);
	pinw_json_number(j, "threads_alive", i->slots);
	pinw_json_number(j, "rule_cells", i->rules);
	pinw_json_number(j, "problem_count", i->problem_count);
	pinw_json_begin_array(j, "problems");
	for (size_t n = 0; n < i->problem_count && n < PINW_PROBLEMS_MAX; n++) {
		pinw_json_begin_line_object(j, NULL);
		pinw_json_number(j, "offset", i->problems[n].offset);
		pinw_json_text(j, "what", i->problems[n].what);
		pinw_json_end_object(j);
	}
	pinw_json_end_array(j);
}

static void json_info(struct pinw_json *j, const struct info *i)
{
	pinw_json_begin_object(j, NULL);
	pinw_json_text(j, "path", i->path);
	pinw_json_number(j, "format_version", i->header->version);
	pinw_json_bytes(j, "writer", i->header->writer, i->header->version_len);
	pinw_json_number(j, "bytes", i->layout.bytes);
	json_process(j, i);
	json_content(j, i);
	pinw_json_end_object(j);
}

/* ---- the command --------------------------------------------------------------------------- */

struct options {
	bool json, help;
	const char *output; /* NULL = standard output */
};

static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option options[] = {{"format", required_argument, NULL, 'f'},
	                                        {"output", required_argument, NULL, 'o'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	int option;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":f:o:h", options, NULL)) != -1) {
		if (option == 'f')
			o->json = strcmp(optarg, "json") == 0;
		if (option == 'f' && !o->json && strcmp(optarg, "text") != 0)
			return pinw_usage("info", "-f %s: the formats are text and json", optarg);
		if (option == 'o')
			o->output = strcmp(optarg, "-") == 0 ? NULL : optarg;
		if (option == 'h')
			o->help = true;
		if (option == ':' || option == '?')
			return pinw_usage_option("info", option, argv, "-f, -o and -h");
	}
	if (!o->help && optind == argc)
		return pinw_usage("info", "%s", "no trace is named; type: pinwarden info TRACE");
	return 0;
}

struct showing {
	struct pinw_term t;
	struct pinw_json j;
	bool json;
	bool whole; /* all could be read and none is damaged */
};

static void show(void *arg, const char *path)
{
	struct showing *s = arg;
	struct pinw_reader *r = NULL;
	int error = pinw_reader_open(path, &r);
	struct info *i = error == 0 ? calloc(1, sizeof(*i)) : NULL;
	bool whole = false;

	if (error == 0)
		error = i ? read_info(r, i) : -ENOMEM;
	if (error < 0)
		pinw_say("info: %s: %s", path, pinw_reader_strerror(error));
	if (error == 0 && i) {
		i->path = path;
		whole = i->problem_count == 0;
		if (s->json)
			json_info(&s->j, i);
		else
			text_info(&s->t, i);
	}
	s->whole = s->whole && whole;
	free(i);
	pinw_reader_free(r);
}

/* Nothing is written over a trace that is read. */
struct sought {
	struct stat to;
	bool found;
};

static void compare(void *arg, const char *path)
{
	struct sought *s = arg;
	struct stat from;

	if (stat(path, &from) == 0 && from.st_dev == s->to.st_dev && from.st_ino == s->to.st_ino)
		s->found = true;
}

static bool is_one_of(const char *output, int count, char **paths)
{
	struct sought s = {.found = false};

	if (output && stat(output, &s.to) == 0 && S_ISREG(s.to.st_mode))
		pinw_inputs_each(NULL, count, paths, compare, &s);
	return s.found;
}

static int show_all(const struct options *o, int count, char **paths, bool *ret_whole)
{
	struct pinw_output out;
	struct showing s = {.json = o->json, .whole = true};
	int error = pinw_output_open(&out, o->output);

	*ret_whole = true;
	if (error < 0)
		return error;
	pinw_term_init(&s.t, out.file, pinw_color_wanted(PINW_COLOR_AUTO, o->output));
	if (o->json) {
		pinw_json_init(&s.j, out.file);
		pinw_json_begin_object(&s.j, NULL);
		pinw_json_begin_array(&s.j, "traces");
	}
	*ret_whole = pinw_inputs_each("info", count, paths, show, &s) && s.whole;
	error = pinw_term_done(&s.t);
	if (o->json) {
		pinw_json_end_array(&s.j);
		pinw_json_end_object(&s.j);
		error = pinw_json_done(&s.j);
	}
	return pinw_output_close(&out, error);
}

int pinw_cmd_info(int argc, char **argv)
{
	struct options o = {0};
	bool whole;

	if (parse_options(&o, argc, argv) < 0)
		return PINW_EXIT_USAGE;
	if (o.help)
		return fputs(help_text, stdout) < 0 || fflush(stdout) != 0 ? PINW_EXIT_USAGE : 0;
	if (is_one_of(o.output, argc - optind, argv + optind)) {
		pinw_usage("info", "-o %s: this is one of the traces", o.output);
		return PINW_EXIT_USAGE;
	}
	int error = show_all(&o, argc - optind, argv + optind, &whole);
	if (error < 0) {
		pinw_say("info: %s: %s", o.output ? o.output : "standard output", strerror(-error));
		return PINW_EXIT_USAGE;
	}
	return whole ? 0 : STATUS_UNREADABLE;
}
