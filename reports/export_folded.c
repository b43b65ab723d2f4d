/* SPDX-License-Identifier: MIT
 *
 * Folded stacks, as flamegraph.pl, inferno and speedscope read them: "process;outermost;...;innermost weight". Promises
 * that a line is a line: a frame holds no semicolon, no line break, nothing that is not UTF-8. Equal stacks are one line,
 * of all processes together; lines are in the order of their text.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "reports/intern.h"
#include "reports/samples.h"

struct folding {
	struct pinw_intern stacks;
	uint64_t *weights; /* by number of the stack */
	size_t room;
};

/* ---- one stack ------------------------------------------------------------------------- */

static void put_word(const char *text, FILE *out)
{
	for (; *text; text++)
		putc_unlocked(*text == ';' ? ':' : *text, out);
}

static void put_frames(const struct pinw_stack *stack, FILE *out)
{
	char text[PINW_EXPORT_TEXT];

	if (stack->left_out)
		fputs(";(frames left out)", out);
	for (unsigned i = stack->count; i; i--) {
		pinw_export_frame(&stack->frames[i - 1], text);
		putc_unlocked(';', out);
		put_word(text, out);
	}
}

/* The text of a sample's stack. The caller frees it. NULL when out of memory. */
static char *fold(const struct pinw_process *p, struct pinw_stacks *stacks, const struct pinw_sample *sample)
{
	const struct pinw_site *site = sample->site ? pinw_process_site(p, sample->site) : NULL;
	struct pinw_stack stack = {.count = 0};
	char program[PINW_EXPORT_TEXT], *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	pinw_export_program(p, program);
	put_word(program, out);
	if (site)
		pinw_stacks_read(stacks, p, site, &stack);
	if (stack.count)
		put_frames(&stack, out);
	else
		fprintf(out, ";%s", pinw_sample_stackless(sample));
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- all of them ----------------------------------------------------------------------- */

static int add_weight(struct folding *f, const char *stack, uint64_t weight)
{
	uint32_t number;
	int error = pinw_intern_get(&f->stacks, stack, &number);

	if (error < 0)
		return error;
	if (number >= f->room) {
		size_t room = f->room ? f->room * 2 : 64;
		uint64_t *grown = realloc(f->weights, room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		memset(grown + f->room, 0, (room - f->room) * sizeof(*grown));
		f->weights = grown;
		f->room = room;
	}
	f->weights[number] += weight;
	return 0;
}

static int fold_process(struct folding *f, const struct pinw_process *p, struct pinw_stacks *stacks,
                        enum pinw_weight weight)
{
	struct pinw_samples samples;
	int error = pinw_samples_collect(p, &samples);

	for (size_t i = 0, next; error == 0 && i < samples.count; i = next) {
		uint64_t sum = 0;
		for (next = i;
		     next < samples.count && pinw_sample_same_stack(samples.sorted[i], samples.sorted[next]);
		     next++)
			sum += samples.sorted[next]->values[weight];
		if (sum == 0)
			continue;
		char *stack = fold(p, stacks, samples.sorted[i]);
		error = stack ? add_weight(f, stack, sum) : -ENOMEM;
		free(stack);
	}
	pinw_samples_done(&samples);
	return error;
}

static int by_text(const void *x, const void *y, void *stacks)
{
	return strcmp(pinw_intern_text(stacks, *(const uint32_t *)x),
	              pinw_intern_text(stacks, *(const uint32_t *)y));
}

static int put_lines(struct folding *f, enum pinw_weight weight, FILE *out, uint64_t *ret_total)
{
	size_t count = pinw_intern_count(&f->stacks);
	uint64_t unit = weight == PINW_WEIGHT_HOLD ? 1000 : 1, total = 0;
	uint32_t *order = calloc(count + 1, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	qsort_r(order, count, sizeof(*order), by_text, &f->stacks);
	for (size_t i = 0; i < count; i++) {
		uint64_t value = f->weights[order[i]] / unit;
		if (value)
			fprintf(out, "%s %" PRIu64 "\n", pinw_intern_text(&f->stacks, order[i]), value);
		total += value;
	}
	free(order);
	*ret_total = total;
	return fflush(out) != 0 || ferror(out) ? (errno ? -errno : -EIO) : 0;
}

int pinw_export_folded(const struct pinw_model *m, struct pinw_stacks *stacks, enum pinw_weight weight,
                       FILE *out, uint64_t *ret_total)
{
	struct folding f = {0};
	int error = 0;

	pinw_intern_init(&f.stacks);
	for (size_t i = 0; error == 0 && i < m->process_count; i++)
		if (m->processes[i]->error == 0)
			error = fold_process(&f, m->processes[i], stacks, weight);
	if (error == 0)
		error = put_lines(&f, weight, out, ret_total);
	pinw_intern_done(&f.stacks);
	free(f.weights);
	return error;
}
