/* SPDX-License-Identifier: MIT
 *
 * What the stacks of pins and of Go locks are called, kept with the model's sites for whoever asks by name rather
 * than by number; and the leaks that only names show: Go locks undone in another function than they were taken in.
 */
#ifndef PINW_REPORTS_NAMES_H
#define PINW_REPORTS_NAMES_H

#include "reports/model.h"
#include "reports/stacks.h"

/* Of a finished model, once. Returns 0 or -ENOMEM. */
int pinw_names_give(struct pinw_model *m, struct pinw_stacks *stacks);

/* Did one function take a Go lock, at site `lock`, and undo it, at site `unlock`? Also when that cannot be told. */
bool pinw_names_pair(struct pinw_stacks *stacks, const struct pinw_process *p, uint32_t lock,
                     uint32_t unlock);

/* Would it find leaks that are not known yet? Else they need not be given for their sake. */
bool pinw_names_matter(const struct pinw_model *m);

#endif
