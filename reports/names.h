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

/* Would it find leaks that are not known yet? Else they need not be given for their sake. */
bool pinw_names_matter(const struct pinw_model *m);

#endif
