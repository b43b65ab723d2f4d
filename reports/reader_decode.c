/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "reports/reader.h"
#include "reports/reader_private.h"

/* The fixed part of each record type. What follows it (masks, text, frames) is checked below. */
static const struct {
	uint16_t bytes; /* 0 = unknown type */
	uint8_t masks; /* always present */
} shapes[256] = {
    [PINW_REC_THREAD_CREATE] = {sizeof(struct pinw_rec_create), 0},
    [PINW_REC_THREAD_START] = {sizeof(struct pinw_rec_start), 1},
    [PINW_REC_THREAD_EXIT] = {sizeof(struct pinw_rec_exit), 1},
    [PINW_REC_THREAD_JOIN] = {sizeof(struct pinw_rec_join), 0},
    [PINW_REC_THREAD_DETACH] = {sizeof(struct pinw_rec_join), 0},
    [PINW_REC_THREAD_NAME] = {sizeof(struct pinw_rec_name), 0},
    [PINW_REC_THREAD_ADOPT] = {sizeof(struct pinw_rec_adopt), 1},
    [PINW_REC_AFFINITY] = {sizeof(struct pinw_rec_affinity), 2},
    [PINW_REC_PIN_EXTERNAL] = {sizeof(struct pinw_rec_external), 2},
    [PINW_REC_EXEC] = {sizeof(struct pinw_rec_exec), 0},
    [PINW_REC_NOTE] = {sizeof(struct pinw_rec_note), 0},
    [PINW_REC_MODULE] = {sizeof(struct pinw_rec_module), 0},
    [PINW_REC_SITE] = {sizeof(struct pinw_rec_site), 0},
};

_Static_assert(sizeof(struct pinw_rec_create) % 8 == 0 && sizeof(struct pinw_rec_start) % 8 == 0 &&
                   sizeof(struct pinw_rec_exit) % 8 == 0 && sizeof(struct pinw_rec_adopt) % 8 == 0 &&
                   sizeof(struct pinw_rec_affinity) % 8 == 0 && sizeof(struct pinw_rec_external) % 8 == 0,
               "masks follow their record on a word boundary");

bool pinw_reader_knows(uint8_t type)
{
	return shapes[type].bytes != 0;
}

static unsigned masks_of(const struct pinw_read_record *rec)
{
	unsigned masks = shapes[rec->type].masks;

	if (rec->type == PINW_REC_AFFINITY && (rec->affinity->flags & PINW_AFF_REQUESTED))
		masks++;
	return masks;
}

static const char *decode_text(struct pinw_read_record *rec, const char *after, size_t left)
{
	size_t len = rec->type == PINW_REC_MODULE ? rec->module->path_len : rec->exec->path_len;

	if (len > left || len > PINW_PATH_MAX)
		return "path longer than its record";
	if (rec->type == PINW_REC_MODULE && rec->module->build_id_len > sizeof(rec->module->build_id))
		return "build id longer than its field";
	rec->text = after;
	rec->text_len = len;
	return NULL;
}

const char *pinw_reader_decode(const struct pinw_reader *r, const uint64_t *payload, size_t bytes,
                               struct pinw_read_record *rec)
{
	size_t fixed = shapes[rec->type].bytes;

	if (bytes < fixed)
		return "record too short for its type";
	rec->payload = payload;

	const char *after = (const char *)payload + fixed;
	size_t left = bytes - fixed;
	if (rec->type == PINW_REC_MODULE || rec->type == PINW_REC_EXEC)
		return decode_text(rec, after, left);
	if (rec->type == PINW_REC_SITE) {
		if (rec->site->frames > PINW_FRAMES_MAX ||
		    rec->site->frames * sizeof(struct pinw_rec_frame) > left)
			return "more frames than fit their record";
		rec->frames = (const struct pinw_rec_frame *)after;
		return NULL;
	}
	rec->mask_count = masks_of(rec);
	if (rec->type == PINW_REC_THREAD_CREATE) /* the attribute's mask, when the writer could get at it */
		rec->mask_count = left >= (size_t)r->header.mask_words * 8;
	if ((size_t)rec->mask_count * r->header.mask_words * 8 > left)
		return "record too short for its masks";
	rec->masks = (const uint64_t *)after;
	return NULL;
}
