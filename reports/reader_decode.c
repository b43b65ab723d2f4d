/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "policy/policy.h"
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
    [PINW_REC_VIOLATION] = {sizeof(struct pinw_rec_violation), 1},
    [PINW_REC_GOLOCK] = {sizeof(struct pinw_rec_golock), 0},
    [PINW_REC_MODULE] = {sizeof(struct pinw_rec_module), 0},
    [PINW_REC_SITE] = {sizeof(struct pinw_rec_site), 0},
    [PINW_REC_POLICY] = {sizeof(struct pinw_rec_policy), 0},
    [PINW_REC_RULE] = {sizeof(struct pinw_rec_rule), 0},
    [PINW_REC_FUNCTION] = {sizeof(struct pinw_rec_function), 0},
};

_Static_assert(sizeof(struct pinw_rec_create) % 8 == 0 && sizeof(struct pinw_rec_start) % 8 == 0 &&
                   sizeof(struct pinw_rec_exit) % 8 == 0 && sizeof(struct pinw_rec_adopt) % 8 == 0 &&
                   sizeof(struct pinw_rec_affinity) % 8 == 0 && sizeof(struct pinw_rec_external) % 8 == 0 &&
                   sizeof(struct pinw_rec_violation) % 8 == 0,
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

/* What a record says about itself and its text's length. Returns NULL, or what is wrong with it. */
static const char *check_policy(const struct pinw_rec_policy *policy, size_t *ret_len)
{
	*ret_len = policy->path_len;
	return policy->rules > PINW_POLICY_RULES_MAX ? "more rules than a policy can have" : NULL;
}

static const char *check_rule(const struct pinw_rec_rule *rule, size_t *ret_len)
{
	*ret_len = rule->label_len;
	if (rule->id == 0 || rule->id > PINW_POLICY_RULES_MAX)
		return "rule with an id that no rule has";
	if (rule->section < PINW_SECTION_POLICY || rule->section > PINW_SECTION_SUPPRESS)
		return "rule of an unknown section";
	return rule->action > PINW_ACTION_CRASH ? "rule with an unknown action" : NULL;
}

static const char *check_module(const struct pinw_rec_module *module, size_t *ret_len)
{
	*ret_len = module->path_len;
	return module->build_id_len > sizeof(module->build_id) ? "build id longer than its field" : NULL;
}

static const char *check_function(const struct pinw_rec_function *function, size_t left, size_t *ret_len)
{
	*ret_len = function->name_len;
	if (function->name_len == 0)
		return "function without a name";
	if (function->name_len > PINW_PATH_MAX || function->file_len > PINW_PATH_MAX ||
	    (size_t)function->name_len + function->file_len > left)
		return "name longer than its record";
	return NULL;
}

static const char *decode_text(struct pinw_read_record *rec, const char *after, size_t left)
{
	const char *what = NULL;
	size_t len;

	switch (rec->type) {
	case PINW_REC_MODULE:
		what = check_module(rec->module, &len);
		break;
	case PINW_REC_POLICY:
		what = check_policy(rec->policy, &len);
		break;
	case PINW_REC_RULE:
		what = check_rule(rec->rule, &len);
		break;
	case PINW_REC_FUNCTION:
		what = check_function(rec->function, left, &len);
		break;
	default:
		len = rec->exec->path_len;
	}
	if (what)
		return what;
	if (len > left || len > PINW_PATH_MAX)
		return rec->type == PINW_REC_RULE ? "label longer than its record"
		                                  : "path longer than its record";
	rec->text = after;
	rec->text_len = len;
	return NULL;
}

static bool has_text(uint8_t type)
{
	return type == PINW_REC_MODULE || type == PINW_REC_EXEC || type == PINW_REC_POLICY ||
	       type == PINW_REC_RULE || type == PINW_REC_FUNCTION;
}

/* Values that index nothing may be anything; a rule's id, and what was done, are looked up by. */
static const char *check_violation(const struct pinw_rec_violation *v)
{
	if (v->rule == 0 || v->rule > PINW_POLICY_RULES_MAX)
		return "violation of a rule that no policy has";
	if (v->action > PINW_ACTION_CRASH || v->done < PINW_DONE_LOGGED || v->done > PINW_DONE_FAILED ||
	    v->attempt < PINW_ATTEMPT_CREATE || v->attempt > PINW_ATTEMPT_LOCK || v->leak > PINW_PLEAKS)
		return "violation that says what cannot be";
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
	if (has_text(rec->type))
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
	return rec->type == PINW_REC_VIOLATION ? check_violation(rec->violation) : NULL;
}
