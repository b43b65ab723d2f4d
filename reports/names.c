/* SPDX-License-Identifier: MIT */
#include "reports/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/goname.h"
#include "reports/functions.h"
#include "reports/model_private.h"
#include "reports/report.h"

void pinw_site_names_free(struct pinw_site_names *n)
{
	if (!n)
		return;
	free(n->function);
	free(n->handler);
	free(n);
}

static bool in_c_library(const struct pinw_frame *f)
{
	const char *name = f->module ? pinw_base_name(f->module) : "";

	return strncmp(name, "libc.so", 7) == 0 || strncmp(name, "libc-", 5) == 0 ||
	       strncmp(name, "libpthread", 10) == 0 || strncmp(name, "ld-linux", 8) == 0;
}

/* From the innermost frame outwards. False when out of memory. */
static bool take_frame(struct pinw_site_names *n, const struct pinw_frame *f)
{
	if (in_c_library(f))
		return true;
	if (!f->function || pinw_function_is_interpreter(f->function))
		n->unnamed = true;
	if (!f->function || pinw_function_is_runtime(f->function))
		return true;
	if (!n->function && !(n->function = pinw_function_owner(f->function)))
		return false;
	if (!n->handler && pinw_function_is_handler(f->function))
		n->handler = pinw_function_owner(f->function);
	return n->handler || !pinw_function_is_handler(f->function);
}

struct naming {
	struct pinw_stacks *stacks;
	struct pinw_process *p;
	struct pinw_stack stack; /* read last */
};

/* ---- sites ------------------------------------------------------------------------------ */

static int name_site(struct naming *g, struct pinw_site *s)
{
	struct pinw_site_names *n = calloc(1, sizeof(*n));
	bool taken = n != NULL;

	if (!n)
		return -ENOMEM;
	pinw_stacks_read(g->stacks, g->p, s, &g->stack);
	for (unsigned i = 0; i < g->stack.count && taken; i++)
		taken = take_frame(n, &g->stack.frames[i]);
	n->unnamed = n->unnamed || !s->known || s->frame_count == 0 || g->stack.left_out ||
	             (s->flags & PINW_SITE_TRUNCATED);
	s->names = n;
	return taken ? 0 : -ENOMEM;
}

static bool wants_names(const struct pinw_site *s)
{
	return !s->names &&
	       ((s->uses & (PINW_USE_PIN | PINW_USE_GOLOCK | PINW_USE_GOUNLOCK)) || s->rate.count);
}

static int name_sites(struct naming *g)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < g->p->sites.count; i++) {
		struct pinw_site *s = pinw_table_at(&g->p->sites, i);
		if (wants_names(s))
			error = name_site(g, s);
	}
	return error;
}

/* ---- Go locks and their unlocks ------------------------------------------------------------- */

/* Names of functions, good as long as `stacks`; up to the first frame that has none, beyond which nothing is compared. */
static unsigned read_names(struct pinw_stacks *stacks, const struct pinw_process *p, uint32_t site,
                           const char *ret_names[PINW_STACK_FRAMES])
{
	const struct pinw_site *s = pinw_process_site(p, site);
	struct pinw_stack stack;
	unsigned count = 0;

	if (!s || !s->known)
		return 0;
	pinw_stacks_read(stacks, p, s, &stack);
	while (count < stack.count && stack.frames[count].function) {
		ret_names[count] = stack.frames[count].function;
		count++;
	}
	return count;
}

bool pinw_names_pair(struct pinw_stacks *stacks, const struct pinw_process *p, uint32_t lock, uint32_t unlock)
{
	const char *locked[PINW_STACK_FRAMES], *unlocked[PINW_STACK_FRAMES];
	unsigned locks = read_names(stacks, p, lock, locked),
	         unlocks = read_names(stacks, p, unlock, unlocked);

	return pinw_goname_pairs(locked, locks, unlocked, unlocks);
}

static int pair_unlocks(struct naming *g, const struct pinw_golock_site *row)
{
	int error = 0;

	for (uint32_t i = 0; error == 0 && i < row->unlock_sites; i++) {
		const struct pinw_golock_unlocks *u = &row->unlocks[i];
		if (pinw_names_pair(g->stacks, g->p, row->site, u->site))
			continue;
		error = pinw_leaks_add(g->p, &(struct pinw_leak){.kind = PINW_LEAK_UNBALANCED,
		                                                 .origin = PINW_ORIGIN_GOLOCK,
		                                                 .pin_site = row->site,
		                                                 .unlock_site = u->site,
		                                                 .count = u->count,
		                                                 .held_min_ns = UINT64_MAX,
		                                                 .threads = {u->example}});
	}
	return error;
}

/* ---- all of it ------------------------------------------------------------------------------ */

int pinw_names_give(struct pinw_model *m, struct pinw_stacks *stacks)
{
	struct naming *g = malloc(sizeof(*g));
	int error = g ? 0 : -ENOMEM;

	for (size_t i = 0; error == 0 && i < m->process_count; i++) {
		if (m->processes[i]->error)
			continue;
		g->stacks = stacks;
		g->p = m->processes[i];
		error = name_sites(g);
		for (size_t k = 0; error == 0 && k < g->p->golock_sites.count; k++)
			error = pair_unlocks(g, &g->p->sorted_golock_sites[k]);
	}
	free(g);
	return error;
}

bool pinw_names_matter(const struct pinw_model *m)
{
	for (size_t i = 0; i < m->process_count; i++) {
		const struct pinw_process *p = m->processes[i];
		for (size_t k = 0; !p->error && k < p->golock_sites.count; k++)
			if (p->sorted_golock_sites[k].unlock_sites)
				return true;
	}
	return false;
}
