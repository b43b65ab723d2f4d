/* SPDX-License-Identifier: MIT */
#include "reports/lost_names.h"

#include <stdio.h>

#include "reports/say.h"

static void look_at(void *arg, const struct pinw_frame *frame)
{
	struct pinw_lost_names *found = arg;
	const char *reason = frame->module && !frame->function ? pinw_stacks_reason(frame) : NULL;

	if (!reason)
		return;
	found->stacks = 1;
	found->module = frame->module;
	found->reason = reason;
}

struct pinw_lost_names pinw_lost_names_of(const struct pinw_model *m, struct pinw_stacks *stacks)
{
	struct pinw_lost_names lost = {0};

	for (size_t i = 0; i < m->process_count; i++) {
		const struct pinw_process *p = m->processes[i];
		for (size_t k = 0; !p->error && k < p->sites.count; k++) {
			struct pinw_lost_names found = {0};
			pinw_stacks_resolve(stacks, p, pinw_table_at(&p->sites, k), look_at, &found);
			found.stacks += lost.stacks;
			lost = found.module ? found : lost;
		}
	}
	return lost;
}

void pinw_lost_names_words(const struct pinw_lost_names *lost, char *buf, size_t size)
{
	char module[256];

	pinw_say_escape(lost->module, module, sizeof(module));
	snprintf(buf, size, "the names on %zu %s are not all known (%s: %s)", lost->stacks,
	         lost->stacks == 1 ? "stack" : "stacks", module, lost->reason);
}
