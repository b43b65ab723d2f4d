/* SPDX-License-Identifier: MIT
 *
 * Names of trace files as `pinwarden run -o` takes them: a directory, taken as it stands, and a last
 * component with conversions (%p %e %h %t %n %%) that the shim expands for each process. Everything is
 * checked before a program is started, because the shim can only do without a trace.
 */
#ifndef PINW_REPORTS_PATTERN_H
#define PINW_REPORTS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PINW_PATTERN_DEFAULT "pinwarden.%e.%p.pwt"

struct pinw_pattern {
	char *text; /* absolute, what PINWARDEN_OUTPUT gets */
	char *directory; /* absolute, without a final slash unless it is "/" */
	char *file; /* the one file it names, absolute; NULL when it has conversions */
};

/* Reads what the user gave; "" and NULL stand for the default. A final slash or an existing directory gets
 * the default name inside it. `cwd` is the absolute current directory. Looks at the file system, changes
 * nothing. Returns 0, or -ENOMEM, -EINVAL, -ENAMETOOLONG, -ENOENT, -ENOTDIR, -EACCES, -EROFS, and then
 * `why` says what is wrong and what to do. */
int pinw_pattern_parse(const char *text, const char *cwd, struct pinw_pattern *ret_pattern, char *why,
                       size_t why_len);
void pinw_pattern_done(struct pinw_pattern *p);

/* Makes a path absolute without resolving it. Returns NULL when out of memory. */
char *pinw_pattern_absolute(const char *path, const char *cwd);

/* Reads a size such as "64M" (K, M, G: powers of 1024). Returns 0, -EINVAL (not a size) or -ERANGE (too
 * large, or less than the 128 KiB a trace needs). */
int pinw_pattern_parse_size(const char *text, uint64_t *ret_bytes);

#endif
