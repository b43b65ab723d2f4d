/* SPDX-License-Identifier: MIT
 *
 * Texts kept once each and numbered from 0 in the order of their coming.
 */
#ifndef PINW_REPORTS_INTERN_H
#define PINW_REPORTS_INTERN_H

#include "reports/table.h"

struct pinw_intern {
	struct pinw_table rows;
};

void pinw_intern_init(struct pinw_intern *in);
void pinw_intern_done(struct pinw_intern *in);

/* Returns 0 or -ENOMEM. */
int pinw_intern_get(struct pinw_intern *in, const char *text, uint32_t *ret_number);

size_t pinw_intern_count(const struct pinw_intern *in);
const char *pinw_intern_text(const struct pinw_intern *in, uint32_t number);

#endif
