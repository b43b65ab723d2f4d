/* SPDX-License-Identifier: MIT */
#include "reports/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct row {
	char *text;
	uint32_t number;
};

void pinw_intern_init(struct pinw_intern *in)
{
	pinw_table_init(&in->rows, sizeof(struct row));
}

void pinw_intern_done(struct pinw_intern *in)
{
	for (size_t i = 0; i < in->rows.count; i++)
		free(((struct row *)pinw_table_at(&in->rows, i))->text);
	pinw_table_done(&in->rows);
}

/* Another text with the same hash takes the next key. */
int pinw_intern_get(struct pinw_intern *in, const char *text, uint32_t *ret_number)
{
	for (uint64_t key = pinw_table_hash(text, strlen(text));; key++) {
		struct row *row = pinw_table_find(&in->rows, key);
		if (!row) {
			char *copy = strdup(text);
			row = copy ? pinw_table_get(&in->rows, key, NULL) : NULL;
			if (!row) {
				free(copy);
				return -ENOMEM;
			}
			*row = (struct row){.text = copy, .number = (uint32_t)(in->rows.count - 1)};
		}
		if (strcmp(row->text, text) == 0) {
			*ret_number = row->number;
			return 0;
		}
	}
}

size_t pinw_intern_count(const struct pinw_intern *in)
{
	return in->rows.count;
}

const char *pinw_intern_text(const struct pinw_intern *in, uint32_t number)
{
	return ((const struct row *)pinw_table_at(&in->rows, number))->text;
}
