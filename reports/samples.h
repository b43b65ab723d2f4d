/* SPDX-License-Identifier: MIT
 *
 * A process as weighed stacks, for profiles: how many threads were created, live, were pinned and leaked at
 * each stack, and for how long pins were held.
 */
#ifndef PINW_REPORTS_SAMPLES_H
#define PINW_REPORTS_SAMPLES_H

#include "reports/export.h"

/* Things are one sample when all that comes before `values` is the same. */
struct pinw_sample {
	uint32_t site; /* 0 when there is no stack */
	uint32_t mask; /* of a pin when it began, 0 none or unknown */
	uint8_t origin; /* enum pinw_origin of a pin or lock; 0: of threads, created or alive */
	uint8_t leak; /* 1 + enum pinw_leak_kind, 0: no leak */
	uint8_t thread_kind; /* of threads without a site: enum pinw_thread_kind */
	char thread_name[PINW_NAME_BYTES]; /* NUL padded */
	uint64_t values[PINW_WEIGHTS];
};

/* Why a thread has no creation stack. */
enum pinw_thread_kind {
	PINW_THREAD_KIND_CREATED, /* its creation was seen; the stack was not recorded */
	PINW_THREAD_KIND_MAIN,
	PINW_THREAD_KIND_ADOPTED,
};

struct pinw_samples {
	struct pinw_table rows; /* struct pinw_sample, by hash, while they are collected */
	const struct pinw_sample **sorted; /* by site, then by the other fields */
	size_t count;
};

/* Returns 0 or -ENOMEM; the caller frees with pinw_samples_done in either case. */
int pinw_samples_collect(const struct pinw_process *p, struct pinw_samples *ret_samples);
void pinw_samples_done(struct pinw_samples *s);

/* Do they have the same stack? All that do come together in `sorted`. */
bool pinw_sample_same_stack(const struct pinw_sample *a, const struct pinw_sample *b);

/* What to show of a sample whose site has no frames: "(main thread)", ... Static. */
const char *pinw_sample_stackless(const struct pinw_sample *sample);

#endif
