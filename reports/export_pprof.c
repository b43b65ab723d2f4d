/* SPDX-License-Identifier: MIT
 *
 * A profile for `go tool pprof`. Promises that stacks keep their addresses and mappings where they have no names, that
 * addresses are those in the file (so that profiles of several runs and processes add up and compare, wherever things
 * were loaded), and that a stack that is not there is a frame in parentheses. Values: PINW_WEIGHT_*, held times in
 * nanoseconds. Labels are strings: pprof drops a number that is 0, and there is a CPU 0.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "reports/notes.h"
#include "reports/pprof.h"
#include "reports/report.h"
#include "reports/samples.h"

struct writer {
	struct pinw_pprof profile;
	struct pinw_stacks *stacks;
	const struct pinw_process *p; /* the one at hand */
	uint64_t locations[PINW_FRAMES_MAX + 1]; /* of the site at hand */
	size_t location_count;
	struct pinw_frame frames[PINW_STACK_FRAMES]; /* of one address */
	size_t frame_count;
	struct pinw_pb sample, label;
};

/* ---- stacks ------------------------------------------------------------------------------- */

static void end_location(struct writer *w)
{
	if (w->frame_count && w->location_count < PINW_FRAMES_MAX)
		w->locations[w->location_count++] =
		    pinw_pprof_location(&w->profile, w->frames, w->frame_count);
	w->frame_count = 0;
}

/* Frames of one address are one location. */
static void take_frame(void *arg, const struct pinw_frame *frame)
{
	struct writer *w = arg;

	if (w->frame_count && w->frames[0].at != frame->at)
		end_location(w);
	if (w->frame_count < PINW_STACK_FRAMES)
		w->frames[w->frame_count++] = *frame;
}

static void take_stack(struct writer *w, const struct pinw_sample *sample)
{
	const struct pinw_site *site = sample->site ? pinw_process_site(w->p, sample->site) : NULL;

	w->location_count = w->frame_count = 0;
	if (site)
		pinw_stacks_resolve(w->stacks, w->p, site, take_frame, w);
	end_location(w);
	if (w->location_count == 0)
		w->locations[w->location_count++] =
		    pinw_pprof_placeholder(&w->profile, pinw_sample_stackless(sample));
}

/* ---- samples ------------------------------------------------------------------------------ */

static void put_label(struct writer *w, const char *key, const char *text)
{
	if (!*text)
		return;
	pinw_pb_reset(&w->label);
	pinw_pb_number(&w->label, PINW_LABEL_KEY, pinw_pprof_string(&w->profile, key));
	pinw_pb_number(&w->label, PINW_LABEL_TEXT, pinw_pprof_string(&w->profile, text));
	pinw_pb_message(&w->sample, PINW_SAMPLE_LABEL, &w->label);
}

static void put_labels(struct writer *w, const struct pinw_sample *s)
{
	char text[PINW_EXPORT_TEXT];

	pinw_export_program(w->p, text);
	put_label(w, "process", text);
	snprintf(text, sizeof(text), "%" PRIu32, w->p->header.self.pid);
	put_label(w, "pid", text);
	pinw_export_thread(s->thread_name, text);
	put_label(w, "thread", text);
	if (s->origin) {
		put_label(w, "kind", s->origin == PINW_ORIGIN_GOLOCK ? "go" : "cpu");
		put_label(w, "origin", s->origin == PINW_ORIGIN_GOLOCK ? "" : pinw_origin_name(s->origin));
	}
	pinw_export_mask(w->p, s->mask, text);
	put_label(w, "cpu", text);
	if (s->leak)
		put_label(w, "leak", pinw_leak_kind_name((enum pinw_leak_kind)(s->leak - 1)));
}

static void put_sample(struct writer *w, const struct pinw_sample *s)
{
	pinw_pb_reset(&w->sample);
	pinw_pb_numbers(&w->sample, PINW_SAMPLE_LOCATION, w->locations, w->location_count);
	pinw_pb_numbers(&w->sample, PINW_SAMPLE_VALUE, s->values, PINW_WEIGHTS);
	put_labels(w, s);
	pinw_pprof_put(&w->profile, PINW_PROFILE_SAMPLE, &w->sample);
}

/* pprof takes the first mapping for the main program. */
static void name_program(struct writer *w)
{
	for (size_t i = 0; i < w->p->modules.count; i++) {
		const struct pinw_module *m = pinw_table_at(&w->p->modules, i);
		if (m->path && strlen(m->path) == w->p->header.exe_len &&
		    memcmp(m->path, w->p->header.exe, w->p->header.exe_len) == 0)
			pinw_pprof_mapping(&w->profile, m);
	}
}

/* Samples of one stack come together. */
static int put_process(struct writer *w)
{
	struct pinw_samples samples;
	int error = pinw_samples_collect(w->p, &samples);

	name_program(w);
	for (size_t i = 0; error == 0 && i < samples.count; i++) {
		if (i == 0 || !pinw_sample_same_stack(samples.sorted[i - 1], samples.sorted[i]))
			take_stack(w, samples.sorted[i]);
		put_sample(w, samples.sorted[i]);
		error = w->profile.error;
	}
	pinw_samples_done(&samples);
	return error;
}

/* ---- the profile -------------------------------------------------------------------------- */

static void put_value_type(struct writer *w, unsigned field, enum pinw_weight weight)
{
	struct pinw_pb type = {0};
	const char *unit = weight == PINW_WEIGHT_HOLD ? "nanoseconds" : "count";

	pinw_pb_number(&type, PINW_VALUE_TYPE_TYPE, pinw_pprof_string(&w->profile, pinw_weight_name(weight)));
	pinw_pb_number(&type, PINW_VALUE_TYPE_UNIT, pinw_pprof_string(&w->profile, unit));
	pinw_pprof_put(&w->profile, field, &type);
	pinw_pb_done(&type);
}

/* From the start of the first process to the end of the last. */
static void put_times(struct writer *w, const struct pinw_model *m)
{
	uint64_t begin = UINT64_MAX, end = 0;

	for (size_t i = 0; i < m->process_count; i++) {
		const struct pinw_process *p = m->processes[i];
		if (p->error)
			continue;
		begin = p->header.start_real_ns < begin ? p->header.start_real_ns : begin;
		end = p->header.start_real_ns + p->duration_ns > end
		          ? p->header.start_real_ns + p->duration_ns
		          : end;
	}
	if (begin > end)
		return;
	pinw_pb_number(&w->profile.out, PINW_PROFILE_TIME_NANOS, begin);
	pinw_pb_number(&w->profile.out, PINW_PROFILE_DURATION_NANOS, end - begin);
}

static void put_comment(void *arg, const char *text)
{
	struct writer *w = arg;
	char program[PINW_EXPORT_TEXT], comment[2 * PINW_EXPORT_TEXT];

	pinw_export_program(w->p, program);
	snprintf(comment, sizeof(comment), "%s %" PRIu32 ": %s", program, w->p->header.self.pid, text);
	pinw_pb_element(&w->profile.out, PINW_PROFILE_COMMENT, pinw_pprof_clean_string(&w->profile, comment));
}

static void put_head(struct writer *w, const struct pinw_model *m, enum pinw_weight weight)
{
	for (size_t i = 0; i < PINW_WEIGHTS; i++)
		put_value_type(w, PINW_PROFILE_SAMPLE_TYPE, (enum pinw_weight)i);
	put_value_type(w, PINW_PROFILE_PERIOD_TYPE, PINW_WEIGHT_CREATIONS);
	pinw_pb_number(&w->profile.out, PINW_PROFILE_PERIOD, 1);
	pinw_pb_number(&w->profile.out, PINW_PROFILE_DEFAULT_SAMPLE_TYPE,
	               pinw_pprof_string(&w->profile, pinw_weight_name(weight)));
	put_times(w, m);
}

int pinw_export_pprof(const struct pinw_model *m, struct pinw_stacks *stacks, enum pinw_weight weight,
                      FILE *out)
{
	struct writer *w = calloc(1, sizeof(*w));
	int error = w ? pinw_pprof_open(&w->profile, out) : -ENOMEM;

	if (error < 0) {
		free(w);
		return error;
	}
	w->stacks = stacks;
	put_head(w, m, weight);
	for (size_t i = 0; error == 0 && i < m->process_count; i++) {
		w->p = m->processes[i];
		if (w->p->error)
			continue;
		error = put_process(w);
		pinw_notes_each(w->p, put_comment, w);
	}
	if (w->profile.error == 0)
		w->profile.error = error;
	error = pinw_pprof_close(&w->profile);
	pinw_pb_done(&w->sample);
	pinw_pb_done(&w->label);
	free(w);
	return error;
}
