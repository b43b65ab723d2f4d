/* SPDX-License-Identifier: MIT
 *
 * What a reader of a report has to know about how complete it is: what the shim
 * did not see and why, what was dropped, what is damaged. One sentence each,
 * the same in every format.
 */
#ifndef PINW_REPORTS_NOTES_H
#define PINW_REPORTS_NOTES_H

#include <stdbool.h>

#include "reports/model.h"

/* `text` may hold foreign bytes (paths). */
typedef void (*pinw_note_fn)(void *arg, const char *text);

/* Most important first. */
void pinw_notes_each(const struct pinw_process *p, pinw_note_fn fn, void *arg);

/* Is there any on what was recorded? A name that is cut is none. */
bool pinw_notes_any(const struct pinw_process *p);

/* A baseline of one CPU holds nothing smaller: no mask can be a pin. */
bool pinw_notes_one_cpu(const struct pinw_process *p);

#endif
