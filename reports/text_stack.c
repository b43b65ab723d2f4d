/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "reports/text_private.h"

#define TITLE_COLUMN 4u
#define FRAME_COLUMN 6u
#define NAME_MAX_BYTES 200u /* C++ names can be pages long: the start tells which one it is */

static void put_name(struct pinw_term *term, const char *name)
{
	size_t len = strlen(name);

	if (len <= NAME_MAX_BYTES) {
		pinw_term_put_foreign(term, name, len);
		return;
	}
	pinw_term_put_foreign(term, name, NAME_MAX_BYTES);
	pinw_term_put(term, "...");
}

static void put_place(struct pinw_term *term, const struct pinw_frame *f)
{
	const char *reason = pinw_stacks_reason(f);

	if (f->function) {
		put_name(term, f->function);
		if (!f->inlined)
			pinw_term_put(term, "+0x%" PRIx64, f->function_offset);
	} else if (f->module) {
		put_name(term, pinw_base_name(f->module));
		pinw_term_put(term, "+0x%" PRIx64, f->offset);
	} else {
		pinw_term_put(term, "0x%" PRIx64, f->offset);
	}
	if (f->file) {
		pinw_term_put(term, " at ");
		put_name(term, f->file);
		if (f->line)
			pinw_term_put(term, ":%u", f->line);
	}
	if (f->inlined) {
		pinw_term_put(term, " (inlined)");
	} else if (f->function && f->module) {
		pinw_term_put(term, " (");
		put_name(term, pinw_base_name(f->module));
		pinw_term_put(term, ")");
	}
	if (reason)
		pinw_term_put(term, " (%s)", reason);
}

static void print_frame(struct pinw_term *term, unsigned number, const struct pinw_frame *f)
{
	pinw_term_pad(term, FRAME_COLUMN);
	pinw_term_put(term, "#%-2u ", number);
	put_place(term, f);
	pinw_term_end(term, FRAME_COLUMN + 6, PINW_STYLE_PLAIN);
}

static void print_frames(struct pinw_text *t, const struct pinw_site *site, const struct pinw_stack *s)
{
	for (unsigned i = 0; i < s->count; i++)
		print_frame(&t->term, i, &s->frames[i]);
	if (site->frame_count == 0)
		pinw_term_line(&t->term, FRAME_COLUMN, PINW_STYLE_DIM, "      (no frame could be walked)");
	if (s->left_out)
		pinw_term_line(&t->term, FRAME_COLUMN, PINW_STYLE_DIM, "      ... and %u more frames",
		               s->left_out);
	if (site->flags & PINW_SITE_TRUNCATED)
		pinw_term_line(&t->term, FRAME_COLUMN, PINW_STYLE_DIM,
		               "      (truncated: the stack goes on)");
}

void pinw_text_stack(struct pinw_text *t, const struct pinw_process *p, const char *title, uint32_t id)
{
	const struct pinw_site *site = pinw_process_site(p, id);

	pinw_term_pad(&t->term, TITLE_COLUMN);
	if (id == 0 || !site || !site->known) {
		pinw_term_put(&t->term, "%s: %s", title,
		              id == 0 ? "no call was seen" : "the stack is not in the trace");
		pinw_term_end(&t->term, FRAME_COLUMN, PINW_STYLE_PLAIN);
		return;
	}
	bool first = true;
	if (!pinw_table_get(&t->shown, id, &first))
		t->term.out_of_memory = true;
	struct pinw_stack s;
	pinw_stacks_read(t->stacks, p, site, &s);
	pinw_term_put(&t->term, "%s (site %" PRIu32 "%s):", title, id, first ? "" : ", above");
	if (!first && s.count) {
		char label[PINW_STACK_LABEL_BYTES];
		pinw_stacks_label(s.frames, s.count, label, sizeof(label));
		pinw_term_put(&t->term, " ");
		pinw_term_put_foreign(&t->term, label, strlen(label));
	}
	pinw_term_end(&t->term, FRAME_COLUMN, PINW_STYLE_PLAIN);
	if (first)
		print_frames(t, site, &s);
}
