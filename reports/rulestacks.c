/* SPDX-License-Identifier: MIT */
#include "reports/rulestacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/spell.h"

#define NAMES_MAX 32u
#define SPELL_BYTES 16384u

/* A row of either table: what a stack or function satisfies, once it was asked. */
struct known {
	bool asked;
	struct pinw_stack_match match;
	uint16_t *ids; /* both lists */
};

/* The union over the frames met so far. */
struct asking {
	struct pinw_rulestacks *s;
	uint16_t *rules, *creators; /* found so far */
	uint16_t *frame_rules, *frame_creators; /* of one frame */
	unsigned rule_count, creator_count;
};

int pinw_rulestacks_init(struct pinw_rulestacks *s, const struct pinw_policy *policy,
                         const struct pinw_process *process, struct pinw_stacks *stacks)
{
	*s = (struct pinw_rulestacks){.policy = policy, .process = process, .stacks = stacks};
	pinw_table_init(&s->sites, sizeof(struct known));
	pinw_table_init(&s->routines, sizeof(struct known));
	s->work = calloc(4u * policy->rule_count + 1, sizeof(*s->work));
	return s->work ? 0 : -ENOMEM;
}

static void forget(struct pinw_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		struct known *k = pinw_table_at(table, i);
		free(k->ids);
		free(k->match.windows);
	}
	pinw_table_done(table);
}

void pinw_rulestacks_done(struct pinw_rulestacks *s)
{
	forget(&s->sites);
	forget(&s->routines);
	free(s->work);
}

/* ---- one frame -------------------------------------------------------------------------- */

static unsigned add_name(const char **names, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return count;
	if (count < NAMES_MAX)
		names[count++] = name;
	return count;
}

/* Every spelling of every symbol of the frame's function. Texts are in `buf`. */
static unsigned spell_frame(const struct pinw_frame *frame, char *buf, size_t size, const char **names)
{
	unsigned count = 0;
	size_t used = 0;

	for (const char *line = frame->symbols; line && *line;) {
		size_t len = strcspn(line, "\n");
		const char *spelt[PINW_SPELLINGS_MAX];
		if (used + 2 * len + 2 > size)
			break;
		char *symbol = memcpy(buf + used, line, len);
		symbol[len] = '\0';
		used += len + 1;
		unsigned n = pinw_spell(symbol, buf + used, size - used, spelt);
		for (unsigned i = 0; i < n; i++) {
			count = add_name(names, count, spelt[i]);
			if (spelt[i] >= buf + used && spelt[i] < buf + size)
				used = (size_t)(spelt[i] - buf) + strlen(spelt[i]) + 1;
		}
		line += len + (line[len] == '\n');
	}
	return count;
}

/* An inlined call has no symbol: the shim does not see it, and a verdict that it would not reach is none. */
static void ask_frame(void *arg, const struct pinw_frame *frame)
{
	struct asking *a = arg;
	char buf[SPELL_BYTES];
	const char *names[NAMES_MAX];
	unsigned rules = 0, creators = 0;

	if (frame->inlined)
		return;
	unsigned count = spell_frame(frame, buf, sizeof(buf), names);
	pinw_policy_frame(a->s->policy, frame->module, names, count, a->frame_rules, &rules,
	                  a->frame_creators, &creators);
	a->rule_count = pinw_policy_merge(a->rules, a->rule_count, a->frame_rules, rules);
	a->creator_count = pinw_policy_merge(a->creators, a->creator_count, a->frame_creators, creators);
}

/* ---- a stack ------------------------------------------------------------------------------ */

static struct asking start(struct pinw_rulestacks *s)
{
	unsigned n = s->policy->rule_count;

	return (struct asking){.s = s,
	                       .rules = s->work,
	                       .creators = s->work + n,
	                       .frame_rules = s->work + 2u * n,
	                       .frame_creators = s->work + 3u * n};
}

static const struct pinw_stack_match *keep(struct asking *a, struct known *k)
{
	size_t rules = a->rule_count, creators = a->creator_count;

	k->ids = malloc((rules + creators + 1) * sizeof(*k->ids));
	if (pinw_policy_keeps_windows(a->s->policy, a->rules, a->rule_count))
		k->match.windows = calloc(rules, sizeof(*k->match.windows));
	if (!k->ids ||
	    (!k->match.windows && pinw_policy_keeps_windows(a->s->policy, a->rules, a->rule_count))) {
		a->s->out_of_memory = true;
		return NULL;
	}
	memcpy(k->ids, a->rules, rules * sizeof(*k->ids));
	memcpy(k->ids + rules, a->creators, creators * sizeof(*k->ids));
	k->match.rules = k->ids;
	k->match.creators = k->ids + rules;
	k->match.rule_count = (uint16_t)rules;
	k->match.creator_count = (uint16_t)creators;
	k->asked = true;
	return &k->match;
}

const struct pinw_stack_match *pinw_rulestacks_site(struct pinw_rulestacks *s, uint32_t site)
{
	const struct pinw_site *stack = site ? pinw_process_site(s->process, site) : NULL;
	struct asking a = start(s);

	if (!stack || !stack->known)
		return NULL;
	struct known *k = pinw_table_get(&s->sites, site, NULL);
	if (!k) {
		s->out_of_memory = true;
		return NULL;
	}
	if (k->asked)
		return &k->match;
	pinw_stacks_resolve(s->stacks, s->process, stack, ask_frame, &a);
	a.rule_count = pinw_policy_stack_always(s->policy, a.rules, a.rule_count);
	return keep(&a, k);
}

const struct pinw_stack_match *pinw_rulestacks_function(struct pinw_rulestacks *s, uint32_t module,
                                                        uint64_t offset)
{
	const struct pinw_module *m = module ? pinw_process_module(s->process, module) : NULL;
	struct asking a = start(s);

	if (!m || !m->path)
		return NULL;
	struct known *k = pinw_table_get(&s->routines, (uint64_t)module << 40 ^ offset, NULL);
	if (!k) {
		s->out_of_memory = true;
		return NULL;
	}
	if (k->asked)
		return &k->match;
	pinw_stacks_address(s->stacks, m, offset, ask_frame, &a);
	return keep(&a, k);
}
