/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <string.h>

#include "reports/diff.h"
#include "reports/json_private.h"
#include "reports/text_private.h"

static void put_sides(struct pinw_json *j, const uint64_t counts[PINW_DIFF_SIDES])
{
	pinw_json_number(j, "base", counts[PINW_DIFF_BASE]);
	pinw_json_number(j, "new", counts[PINW_DIFF_NEW]);
}

static void put_optional(struct pinw_json *j, const char *key, const char *text)
{
	if (text)
		pinw_json_text(j, key, text);
	else
		pinw_json_null(j, key);
}

static void put_row(struct pinw_json *j, const struct pinw_diff *d, const struct pinw_diff_row *row)
{
	enum pinw_diff_side side = row->process[PINW_DIFF_NEW] ? PINW_DIFF_NEW : PINW_DIFF_BASE;
	const struct pinw_process *p = row->process[side];
	const struct pinw_site *site = row->site[side] ? pinw_process_site(p, row->site[side]) : NULL;
	struct pinw_stack stack = {.count = 0};
	size_t len;
	const char *program = pinw_text_program(p, &len);

	pinw_json_begin_object(j, NULL);
	pinw_json_text(j, "kind", pinw_diff_kind_name((enum pinw_diff_kind)row->kind));
	pinw_json_bool(j, "regression", pinw_diff_is_regression(d, row));
	put_sides(j, row->counts);
	pinw_json_bytes(j, "program", program, len);
	put_optional(j, "rule", row->label);
	put_optional(j, "leak",
	             row->kind == PINW_DIFF_LEAKS ? pinw_leak_kind_name((enum pinw_leak_kind)row->leak)
	                                          : NULL);
	put_optional(j, "origin", row->origin ? pinw_origin_name(row->origin) : NULL);
	if (site && site->known)
		pinw_stacks_read(d->stacks, p, site, &stack);
	pinw_json_begin_array(j, "stack");
	for (unsigned i = 0; i < stack.count; i++)
		pinw_json_frame(j, &stack.frames[i]);
	pinw_json_end_array(j);
	pinw_json_end_object(j);
}

/* "Go locks" as "go_locks". */
static void put_total(struct pinw_json *j, const struct pinw_diff_total *total)
{
	char key[64];
	size_t len = 0;

	for (const char *c = total->name; *c && len + 1 < sizeof(key); c++)
		if (isalnum((unsigned char)*c) || *c == '-')
			key[len++] = (char)tolower((unsigned char)*c);
		else if (len && key[len - 1] != '_')
			key[len++] = '_';
	key[len] = '\0';
	pinw_json_begin_line_object(j, key);
	put_sides(j, total->counts);
	pinw_json_end_object(j);
}

static void put_limit(void *arg, const char *text)
{
	pinw_json_text(arg, NULL, text);
}

int pinw_diff_json(const struct pinw_diff *d, FILE *out)
{
	struct pinw_json j;

	pinw_json_init(&j, out);
	pinw_json_begin_object(&j, NULL);
	pinw_json_text(&j, "pinwarden", PINW_VERSION);
	pinw_json_number(&j, "regressions", d->regressions);
	pinw_json_begin_array(&j, "limits");
	pinw_diff_limits(d, put_limit, &j);
	pinw_json_end_array(&j);
	pinw_json_begin_object(&j, "totals");
	for (size_t i = 0; i < d->total_count; i++)
		put_total(&j, &d->totals[i]);
	pinw_json_end_object(&j);
	pinw_json_begin_array(&j, "changes");
	for (size_t i = 0; i < d->changed; i++)
		put_row(&j, d, d->sorted[i]);
	pinw_json_end_array(&j);
	pinw_json_end_object(&j);
	return pinw_json_done(&j);
}
