/* SPDX-License-Identifier: MIT */
#include "reports/creations.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/text_private.h"

static void add(struct pinw_creations *c, const struct pinw_thread *t)
{
	c->site = t->create_site;
	c->created++;
	if (t->ended_ns == PINW_TIME_UNKNOWN || t->started_ns == PINW_TIME_UNKNOWN)
		return;
	uint64_t lived = pinw_since(t->ended_ns, t->started_ns);
	c->ended++;
	c->lived_ns += lived;
	c->short_lived += lived < PINW_SHORT_LIVED_NS;
}

static int by_created(const void *x, const void *y)
{
	const struct pinw_creations *a = x, *b = y;

	if (a->created != b->created)
		return a->created > b->created ? -1 : 1;
	return (a->site > b->site) - (a->site < b->site);
}

static int add_up(const struct pinw_process *p, struct pinw_table *sites)
{
	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		struct pinw_creations *c;

		if (!t->create_site)
			continue;
		c = pinw_table_get(sites, t->create_site, NULL);
		if (!c)
			return -ENOMEM;
		add(c, t);
	}
	return 0;
}

int pinw_creations_of(const struct pinw_process *p, struct pinw_creations **ret_list, size_t *ret_count)
{
	struct pinw_creations *list = NULL;
	struct pinw_table sites;
	int error;

	pinw_table_init(&sites, sizeof(*list));
	error = add_up(p, &sites);
	if (error == 0) {
		list = calloc(sites.count + 1, sizeof(*list));
		error = list ? 0 : -ENOMEM;
	}
	for (size_t i = 0; error == 0 && i < sites.count; i++)
		list[i] = *(struct pinw_creations *)pinw_table_at(&sites, i);
	if (error == 0)
		qsort(list, sites.count, sizeof(*list), by_created);
	*ret_list = list;
	*ret_count = error == 0 ? sites.count : 0;
	pinw_table_done(&sites);
	return error;
}

void pinw_creations_rate(const struct pinw_process *p, const struct pinw_creations *c,
                         char ret[PINW_CREATIONS_RATE_BYTES])
{
	double a_second = p->duration_ns ? (double)c->created * 1e9 / (double)p->duration_ns : 0;

	if (!p->duration_ns)
		ret[0] = '\0';
	else if (a_second >= 100)
		snprintf(ret, PINW_CREATIONS_RATE_BYTES, "%s", pinw_text_count((uint64_t)(a_second + 0.5)));
	else
		snprintf(ret, PINW_CREATIONS_RATE_BYTES, "%.2g", a_second);
}
