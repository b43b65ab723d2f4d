/* SPDX-License-Identifier: MIT
 *
 * A baseline that needs neither traces nor programs: the keys of the findings that an earlier `pinwarden check -f json` wrote.
 */
#ifndef PINW_REPORTS_BASELINE_H
#define PINW_REPORTS_BASELINE_H

#include <stdbool.h>

#include "reports/table.h"

/* Does it begin as JSON does? */
bool pinw_baseline_is_document(const char *path);

/* Adds the keys of findings that were there when it was written to `keys`, whose rows are bool. Returns 0, -EBADMSG when it is not
 * what `check` writes, -EFBIG, -ENOMEM or -errno. */
int pinw_baseline_read(const char *path, struct pinw_table *keys);

#endif
