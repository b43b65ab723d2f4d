/* SPDX-License-Identifier: MIT */
#include "tests/reader_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "policy/policy.h"

void see_record(void *arg, const struct pinw_read_record *rec)
{
	struct seen *s = arg;

	s->records[rec->type]++;
	s->all++;
	for (unsigned i = 0; i < rec->mask_count; i++)
		s->mask_sum += rec->masks[i];
	if (rec->text) {
		memcpy(s->text, rec->text, rec->text_len);
		s->text[rec->text_len] = '\0';
	}
	if (rec->type == PINW_REC_SITE)
		s->frames += rec->site->frames;
	bool event = rec->type < PINW_REC_NOTE; /* notes are kept with the metadata here */
	s->slot_before_event = s->slot_before_event || (event && s->slots);
	s->meta_before_event = s->meta_before_event || (event && s->records[PINW_REC_SITE]);
}

void see_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	struct seen *s = arg;

	cr_assert_neq(slot->thread, 0);
	s->slots++;
	s->mask_sum += mask[0];
	if (s->records[PINW_REC_SITE])
		s->meta_before_slot = true;
}

static void see_rule(void *arg, const struct pinw_rule_cell *cell)
{
	struct seen *s = arg;

	cr_assert_gt(cell->id, s->rules, "ids ascend");
	s->rules = cell->id;
	s->violations += cell->violations;
}

/* A policy of two rules, of which the first was broken once. */
static void tell_policy(struct pinw_builder *b)
{
	struct pinw_rec_violation v = {.e = {9800, 3, 2},
	                               .rule = 1,
	                               .action = PINW_ACTION_DENY,
	                               .done = PINW_DONE_DENIED,
	                               .attempt = PINW_ATTEMPT_PIN,
	                               .target = 3,
	                               .error = EPERM};

	pinw_builder_policy(b, "/etc/staging.ini", PINW_MODE_ENFORCE, 2);
	pinw_builder_rule(b, 4, PINW_SECTION_BAN, PINW_ACTION_DENY, "ban:handlers");
	pinw_builder_rule(b, 9, PINW_SECTION_CAPS, PINW_ACTION_CRASH, "caps:max_threads");
	pinw_builder_violation(b, &v, 4);
}

void tell_every_record(struct pinw_builder *b)
{
	static const uint64_t offsets[PINW_FRAMES_MAX] = {0x1000, 0x2000};
	struct pinw_rec_adopt adopt = {.e = {9000, 4, 0}, .tid = 5004, .name = "adopted"};
	struct pinw_rec_external external = {
	    .e = {9500, 4, 0}, .tid = 5004, .effect = PINW_EFFECT_OPEN, .depth = 1};
	const uint64_t masks[4] = {1, 0, 2, 0};

	pinw_builder_init(b, 2);
	pinw_builder_module(b, 1, "/usr/bin/story");
	pinw_builder_site(b, 1, 1, offsets, 2, 0);
	pinw_builder_site(b, 2, 1, offsets, PINW_FRAMES_MAX, PINW_SITE_TRUNCATED);
	pinw_builder_create(b, 1000, 1, 1, 2, PINW_THREAD_ATTR_AFFINITY);
	pinw_builder_start(b, 2000, 2, PINW_ORIGIN_BORN, 1, 1, 1);
	pinw_builder_name(b, 2500, 1, 2, "worker");
	pinw_builder_pin(b, 3000, 2, 2, 2, PINW_EFFECT_MOVE, 2);
	pinw_builder_exit_pinned(b, 4000, 2, PINW_ORIGIN_BORN, 1, 1, 2000);
	pinw_builder_join(b, 5000, 1, 2);
	pinw_builder_create(b, 6000, 1, 1, 3, 0);
	pinw_builder_detach(b, 7000, 1, 3);
	pinw_builder_event(b, PINW_REC_THREAD_ADOPT, &adopt, sizeof(adopt), masks, 16);
	pinw_builder_event(b, PINW_REC_PIN_EXTERNAL, &external, sizeof(external), masks, 32);
	pinw_builder_exec(b, 10000, "/bin/true", 0, 0);
	pinw_builder_note(b, PINW_NOTE_CHROOT, 0);
	tell_policy(b);
	pinw_builder_slot(b, 1, PINW_SLOT_RUNNING, 3);
	pinw_builder_slot(b, 3, PINW_SLOT_RUNNING, 3);
}

struct pinw_reader *open_bytes(const void *data, size_t bytes, int *ret_error)
{
	struct pinw_reader *r = NULL;
	int fd = pinw_builder_memory_file(data, bytes);

	cr_assert_geq(fd, 0);
	*ret_error = pinw_reader_open_fd(fd, &r);
	return r;
}

uint64_t walk_bytes(const void *data, size_t bytes, struct seen *seen, struct pinw_reader_tally *tally,
                    struct pinw_problem *first)
{
	int error;
	struct pinw_reader *r = open_bytes(data, bytes, &error);

	cr_assert_eq(error, 0);
	memset(seen, 0, sizeof(*seen));
	cr_assert_eq(pinw_reader_walk(r, see_record, see_slot, seen), 0);
	cr_assert_eq(pinw_reader_rules(r, see_rule, seen), 0);
	if (tally)
		*tally = pinw_reader_tally(r);
	struct pinw_problem problems[PINW_PROBLEMS_MAX];
	uint64_t count = pinw_reader_problems(r, problems, PINW_PROBLEMS_MAX);
	if (first && count)
		*first = problems[0];
	pinw_reader_free(r);
	return count;
}

size_t segment_at(const unsigned char *image, size_t bytes, uint32_t kind)
{
	size_t at = PINW_SEGMENTS_OFFSET;
	struct pinw_segment s;

	while (at < bytes) {
		memcpy(&s, image + at, sizeof(s));
		if (s.kind == kind)
			return at;
		at += s.bytes;
	}
	cr_assert_fail("no segment of kind %u", kind);
	return 0;
}
