/* SPDX-License-Identifier: MIT
 *
 * Reads one trace file (preload/trace_format.h). The file is hostile: it is read
 * with pread into bounded buffers, never mapped; every count and offset is
 * checked before it is used; whatever is damaged is stepped over and named, and
 * the rest is delivered. A trace that is still being written reads cleanly.
 *
 * Nothing is printed and nothing is kept: records are handed one at a time to a
 * callback, so memory does not grow with the file. Functions return 0 or -errno.
 * A reader is used by one thread at a time.
 */
#ifndef PINW_REPORTS_READER_H
#define PINW_REPORTS_READER_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "preload/trace_format.h"

struct pinw_reader;

/* What pinw_reader_open() returns beyond the errors of open(2): */
#define PINW_READ_NOT_REGULAR (-ENOTBLK) /* directory, FIFO, device, ... */
#define PINW_READ_EMPTY (-ENODATA) /* shorter than a header, or its magic was never written */
#define PINW_READ_NOT_A_TRACE (-EBADMSG) /* other magic */
#define PINW_READ_VERSION (-EPROTONOSUPPORT) /* another format version */
#define PINW_READ_GEOMETRY (-EUCLEAN) /* sizes in the header that cannot be */

/* Opens a trace: a regular file with a header this program can use. Does not block on
 * a FIFO or a terminal. The header's checksum may be wrong: then it is a problem
 * like any other and the rest is still read. `ret_reader` is the caller's. */
int pinw_reader_open(const char *path, struct pinw_reader **ret_reader);

/* The same for an open file; takes `fd` over, also when it fails. */
int pinw_reader_open_fd(int fd, struct pinw_reader **ret_reader);

/* Accepts NULL. */
void pinw_reader_free(struct pinw_reader *r);

/* Why pinw_reader_open() failed, as a phrase ("not a regular file"). Never NULL. */
const char *pinw_reader_strerror(int error);

/* Device and inode of the file, to tell whether two paths are one trace. */
void pinw_reader_file(const struct pinw_reader *r, uint64_t *ret_device, uint64_t *ret_inode);

/* What header.check has to be. */
uint32_t pinw_reader_header_check(const struct pinw_trace_header *h);

/* Its lengths are true: exe_len, cmdline_len and version_len fit their fields, mask_words is in range. */
const struct pinw_trace_header *pinw_reader_header(const struct pinw_reader *r);

/* The live page as it is in the file now (reread by each call). All zero when the file ends before it. */
const struct pinw_trace_live *pinw_reader_live(struct pinw_reader *r);

/* Damage. Only the first PINW_PROBLEMS_MAX are kept, all are counted. */
#define PINW_PROBLEMS_MAX 32u

struct pinw_problem {
	const char *what; /* static text, a phrase: "record check wrong" */
	uint64_t offset; /* in the file */
};

/* Copies up to `max` problems met so far; returns how many were met in all. */
uint64_t pinw_reader_problems(const struct pinw_reader *r, struct pinw_problem *ret_problems, size_t max);

/* What the walks so far met; damaged records are in the problems. */
struct pinw_reader_tally {
	uint64_t records; /* delivered */
	uint64_t unknown; /* of a type this program does not know, or a kind of segment it does not know */
	uint64_t in_flight_cells; /* handed out by the writer and never committed */
};

struct pinw_reader_tally pinw_reader_tally(const struct pinw_reader *r);

/* One committed, checked record. Pointers are valid until the callback returns. */
struct pinw_read_record {
	uint8_t type; /* enum pinw_record: never NONE or CONT, never an unknown one */
	uint32_t segment; /* kind of the segment it is in */
	uint64_t offset; /* of its first cell */
	union {
		const void *payload;
		const struct pinw_event *event; /* any type below PINW_REC_MODULE */
		const struct pinw_rec_create *create;
		const struct pinw_rec_start *start;
		const struct pinw_rec_exit *exit;
		const struct pinw_rec_join *join; /* also DETACH */
		const struct pinw_rec_name *name;
		const struct pinw_rec_adopt *adopt;
		const struct pinw_rec_affinity *affinity;
		const struct pinw_rec_external *external;
		const struct pinw_rec_exec *exec;
		const struct pinw_rec_note *note;
		const struct pinw_rec_violation *violation;
		const struct pinw_rec_golock *golock;
		const struct pinw_rec_module *module;
		const struct pinw_rec_site *site;
		const struct pinw_rec_policy *policy;
		const struct pinw_rec_rule *rule;
		const struct pinw_rec_function *function;
	};
	const uint64_t *masks; /* `mask_count` masks of header.mask_words words, in the record's order */
	unsigned mask_count;
	const char
	    *text; /* MODULE, EXEC, POLICY: the path, RULE: the label, FUNCTION: the name (then the file);
	              `text_len` bytes, not NUL terminated */
	size_t text_len;
	const struct pinw_rec_frame *frames; /* SITE: site->frames of them */
};

typedef void (*pinw_record_fn)(void *arg, const struct pinw_read_record *record);

/* Slots that are not free; `mask` has header.mask_words words. */
typedef void (*pinw_slot_fn)(void *arg, const struct pinw_slot *slot, const uint64_t *mask);

/* Delivers every event, then every slot, then every metadata record: so that, in a trace still being
 * written, what an event names is there when it is looked up. Either callback may be NULL.
 * Events come in file order, which is nearly but not strictly that of time.
 * Returns 0 also when the file is damaged; -EIO or another error of pread(2) ends the walk early and is a problem too. */
int pinw_reader_walk(struct pinw_reader *r, pinw_record_fn on_record, pinw_slot_fn on_slot, void *arg);

/* Delivers the metadata records alone (modules, sites, functions, rules): what the names of a stack need, however many
 * events the trace has. */
int pinw_reader_walk_meta(struct pinw_reader *r, pinw_record_fn on_record, void *arg);

/* What a policy did: the cells of its rules, ids ascending from 1, damaged ones left out. */
typedef void (*pinw_rule_fn)(void *arg, const struct pinw_rule_cell *cell);

/* Delivers the cells; none when the process ran without a policy. Call it after pinw_reader_walk(): then a cell counts at
 * least the violations whose records were delivered, also in a trace still being written. Returns as that does. */
int pinw_reader_rules(struct pinw_reader *r, pinw_rule_fn on_rule, void *arg);

/* ---- the file as a whole ---- */

struct pinw_reader_layout {
	uint64_t bytes; /* of the file */
	struct {
		uint64_t count, bytes;
	} segments[PINW_SEG_RULES + 1]; /* by kind; 0: of kinds this program does not know */
};

/* Returns 0 or -errno. */
int pinw_reader_layout(struct pinw_reader *r, struct pinw_reader_layout *ret_layout);

struct pinw_reader_copied {
	uint64_t bytes; /* of the new file */
	uint64_t records, slots, rules;
};

/* Writes a trace without damage to `out`, a file that can be sought in: the header, the live page, and every record, slot and
 * cell of a rule that checks. What could not be copied is in the problems and in the tally. Returns 0 or -errno. */
int pinw_reader_copy(struct pinw_reader *r, FILE *out, struct pinw_reader_copied *ret_copied);

/* ---- a trace that is still written, read again and again ---- */

/* Delivers the records of one kind, PINW_SEG_EVENTS or PINW_SEG_META, that were committed since the last call, each once; the
 * first call delivers all. What a writer has begun and not committed comes with a later call; of more than 256 such cells the
 * oldest are given up and counted in the tally's in_flight_cells. Returns 0 or -errno. */
int pinw_reader_follow(struct pinw_reader *r, uint32_t kind, pinw_record_fn on_record, void *arg);

/* Delivers the slots as they are now. Returns as pinw_reader_walk(). */
int pinw_reader_slots(struct pinw_reader *r, pinw_slot_fn on_slot, void *arg);

/* Gives back the memory that is only needed while reading, 256 KiB: for readers that stay open in their hundreds. */
void pinw_reader_rest(struct pinw_reader *r);

#endif
