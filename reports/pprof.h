/* SPDX-License-Identifier: MIT
 *
 * A profile in the form of github.com/google/pprof/proto/profile.proto while it is written: strings, functions, mappings
 * and locations are met again and again and written once. Ids start at 1. Out of memory and errors of writing are kept
 * in `error`; what is asked for after one is 0 and not written.
 */
#ifndef PINW_REPORTS_PPROF_H
#define PINW_REPORTS_PPROF_H

#include "reports/gzip.h"
#include "reports/intern.h"
#include "reports/process.h"
#include "reports/protobuf.h"
#include "reports/stacks.h"

/* Field numbers. */
enum {
	PINW_PROFILE_SAMPLE_TYPE = 1,
	PINW_PROFILE_SAMPLE = 2,
	PINW_PROFILE_MAPPING = 3,
	PINW_PROFILE_LOCATION = 4,
	PINW_PROFILE_FUNCTION = 5,
	PINW_PROFILE_STRING = 6,
	PINW_PROFILE_TIME_NANOS = 9,
	PINW_PROFILE_DURATION_NANOS = 10,
	PINW_PROFILE_PERIOD_TYPE = 11,
	PINW_PROFILE_PERIOD = 12,
	PINW_PROFILE_COMMENT = 13,
	PINW_PROFILE_DEFAULT_SAMPLE_TYPE = 14,
	PINW_VALUE_TYPE_TYPE = 1,
	PINW_VALUE_TYPE_UNIT = 2,
	PINW_SAMPLE_LOCATION = 1,
	PINW_SAMPLE_VALUE = 2,
	PINW_SAMPLE_LABEL = 3,
	PINW_LABEL_KEY = 1,
	PINW_LABEL_TEXT = 2,
};

struct pinw_pprof {
	struct pinw_gzip *gzip;
	struct pinw_pb out; /* not yet in the file */
	struct pinw_intern strings;
	struct pinw_table mappings, functions, locations;
	int error;
};

/* Returns 0 or -ENOMEM, with nothing to close. */
int pinw_pprof_open(struct pinw_pprof *f, FILE *out);

/* Writes mappings and strings, and ends the file. Returns 0, -ENOMEM or -errno. */
int pinw_pprof_close(struct pinw_pprof *f);

/* Adds one field of the profile. */
void pinw_pprof_put(struct pinw_pprof *f, unsigned field, const struct pinw_pb *message);

/* The number of a text; the same with what is not plain UTF-8 replaced. */
uint32_t pinw_pprof_string(struct pinw_pprof *f, const char *text);
uint32_t pinw_pprof_clean_string(struct pinw_pprof *f, const char *text);

/* The file that code is in. The first one ever asked for is the profile's main program. 0 for NULL. */
uint32_t pinw_pprof_mapping(struct pinw_pprof *f, const struct pinw_module *m);

/* An address of a stack: frames as pinw_stacks_resolve() gives them, an inlined call before its caller. */
uint64_t pinw_pprof_location(struct pinw_pprof *f, const struct pinw_frame *frames, size_t count);

/* A frame that stands for a stack that is not there. */
uint64_t pinw_pprof_placeholder(struct pinw_pprof *f, const char *text);

#endif
