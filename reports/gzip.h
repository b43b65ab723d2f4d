/* SPDX-License-Identifier: MIT
 *
 * A gzip file, written piece by piece. The one place that knows zlib.
 */
#ifndef PINW_REPORTS_GZIP_H
#define PINW_REPORTS_GZIP_H

#include <stddef.h>
#include <stdio.h>

struct pinw_gzip;

/* Returns 0 or -ENOMEM. */
int pinw_gzip_open(FILE *out, struct pinw_gzip **ret_gzip);

/* Returns 0 or -errno of writing. */
int pinw_gzip_write(struct pinw_gzip *g, const void *bytes, size_t len);

/* Ends the file unless `error`, and frees. Returns `error`, or -errno of writing. */
int pinw_gzip_close(struct pinw_gzip *g, int error);

#endif
