/* SPDX-License-Identifier: MIT
 *
 * Who this process image is, and where its trace goes: the environment, the
 * identity from /proc, the output name. Runs once per image, in init or in a
 * fork child; allocates nothing.
 */
#ifndef PINW_IMAGE_H
#define PINW_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/trace.h"

#define PINW_EXE_NAME_MAX 64u

/* What PINWARDEN_* asked for, kept for fork children. */
struct pinw_config {
	char output[PINW_PATH_MAX]; /* absolute pattern */
	char exe_name[PINW_EXE_NAME_MAX + 1]; /* what %e stands for */
	char log[PINW_PATH_MAX]; /* "" none, "stderr", else an absolute path */
	bool log_leaks; /* PINWARDEN_LOG was given: leaks go there too, not violations alone */
	char policy[PINW_PATH_MAX]; /* "" none, else an absolute path */
	uint32_t
	    mode; /* enum pinw_mode asked for by PINWARDEN_MODE, 0 = the policy's own, PINW_MODE_UNKNOWN */
	uint64_t max_bytes;
	uint8_t session[16];
	bool untimed; /* PINWARDEN_HOLD_TIMES=0: no clock is read when a Go lock ends */
	bool follow; /* false: only process `root` records */
	uint32_t root;
};

#define PINW_MODE_UNKNOWN 99u /* PINWARDEN_MODE has a value that is none */

extern struct pinw_config pinw_config;

/* Where the log goes when PINWARDEN_LOG does not say: "stderr" or a path. Returns 0 or -errno, and then there is none. */
int pinw_image_set_log(const char *value);

/* Reads the environment into pinw_config. A value that cannot be understood is named on stderr and the
 * default is used. Returns false when this process is not to be recorded (PINWARDEN_FOLLOW=0). */
bool pinw_image_configure(char **envp);

/* Fills setup->header (all but what the trace writer knows) and creates the file, setup->fd.
 * `parent` is the identity of the recorded parent for a fork child, else NULL.
 * Returns 0 or -errno; setup->path then says what could not be created. */
int pinw_image_create(struct pinw_trace_setup *setup, const struct pinw_identity *parent);

#endif
