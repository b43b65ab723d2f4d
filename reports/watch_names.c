/* SPDX-License-Identifier: MIT
 *
 * Names cost: the metadata of a trace is read, and objects are searched for symbols. So nothing is done before a
 * rule or a block asks, and what comes out is kept with the site.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/spell.h"
#include "reports/model_private.h"
#include "reports/watch_private.h"

#define NAMES_MAX 64u
#define SPELL_BYTES 16384u
#define READ_PAUSE_TICKS 20u

/* ---- metadata -------------------------------------------------------------------------------- */

static void free_process(struct pinw_process *p)
{
	for (size_t i = 0; i < p->modules.count; i++)
		free(((struct pinw_module *)pinw_table_at(&p->modules, i))->path);
	pinw_table_done(&p->sites);
	pinw_table_done(&p->modules);
	free(p->frames);
	free(p);
}

static void free_rules(struct pinw_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(((struct pinw_site_rules *)pinw_table_at(t, i))->ids);
	pinw_table_done(t);
}

void pinw_watch_names_done(struct pinw_watch_names *n)
{
	if (!n->process)
		return;
	free_process(n->process);
	free_rules(&n->sites);
	free_rules(&n->functions);
	pinw_table_done(&n->extents);
}

static int names_init(struct pinw_watch_names *n)
{
	if (n->process)
		return 0;
	n->process = calloc(1, sizeof(*n->process));
	if (!n->process)
		return -ENOMEM;
	pinw_table_init(&n->process->sites, sizeof(struct pinw_site));
	pinw_table_init(&n->process->modules, sizeof(struct pinw_module));
	pinw_table_init(&n->extents, sizeof(struct pinw_rec_module));
	pinw_table_init(&n->sites, sizeof(struct pinw_site_rules));
	pinw_table_init(&n->functions, sizeof(struct pinw_site_rules));
	return 0;
}

static void take_module(struct pinw_watch_names *n, const struct pinw_read_record *rec)
{
	bool fresh;
	struct pinw_module *m = pinw_table_get(&n->process->modules, rec->module->id, &fresh);
	struct pinw_rec_module *extent = pinw_table_get(&n->extents, rec->module->id, NULL);

	if (!m || !extent || !fresh)
		return;
	m->id = rec->module->id;
	m->build_id_len = (uint8_t)rec->module->build_id_len;
	memcpy(m->build_id, rec->module->build_id, sizeof(m->build_id));
	m->path = strndup(rec->text, rec->text_len);
	*extent = *rec->module;
}

static void take_record(void *arg, const struct pinw_read_record *rec)
{
	struct pinw_watch_names *n = arg;

	if (rec->type == PINW_REC_MODULE)
		take_module(n, rec);
	if (rec->type != PINW_REC_SITE)
		return;
	struct pinw_site *s = pinw_table_get(&n->process->sites, rec->site->id, NULL);
	if (!s || s->known || pinw_frames_append(n->process, s, rec->frames, rec->site->frames) < 0)
		return;
	s->id = rec->site->id;
	s->flags = rec->site->flags;
	s->known = true;
}

/* Reads the metadata again, once in a tick at most, and seldom when the last time brought nothing: some stacks found no
 * room in the file and never come. Returns whether it was read now. */
static bool read_again(struct pinw_watch *w, struct pinw_watched *p)
{
	struct pinw_watch_names *n = &p->names;
	struct pinw_reader *reader;
	char path[40];

	if (names_init(n) < 0 || w->tick < n->next_tick)
		return false;
	size_t before = n->process->sites.count + n->process->modules.count;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p->trace.fd);
	n->next_tick = w->tick + READ_PAUSE_TICKS;
	if (pinw_reader_open(path, &reader) < 0)
		return false;
	int r = pinw_reader_walk_meta(reader, take_record, n);
	pinw_reader_free(reader);
	bool brought = n->process->sites.count + n->process->modules.count > before;
	n->next_tick = w->tick + (brought ? 1 : READ_PAUSE_TICKS);
	return r == 0;
}

static const struct pinw_site *known_site(const struct pinw_watched *p, uint32_t id)
{
	const struct pinw_site *s = p->names.process ? pinw_process_site(p->names.process, id) : NULL;

	return s && s->known ? s : NULL;
}

/* A fork child goes on with its parent's numbers and writes only the stacks it meets again. */
static struct pinw_watched *parent_of(const struct pinw_watch *w, const struct pinw_watched *p)
{
	const struct pinw_identity *parent = &p->trace.header.parent;

	if (p->trace.header.image != PINW_IMAGE_FORK)
		return NULL;
	for (struct pinw_watched *q = w->processes; q; q = q->next)
		if (q != p && q->trace.header.self.pid == parent->pid &&
		    memcmp(q->trace.header.self.nonce, parent->nonce, sizeof(parent->nonce)) == 0)
			return q;
	return NULL;
}

/* The site and the process in whose numbers it is known; NULL when in none. */
static const struct pinw_site *find_site(struct pinw_watch *w, struct pinw_watched *p, uint32_t id,
                                         struct pinw_watched **ret_owner)
{
	for (unsigned depth = 0; p && id && depth < 16; depth++) {
		const struct pinw_site *s = known_site(p, id);

		if (!s && read_again(w, p))
			s = known_site(p, id);
		if (s) {
			*ret_owner = p;
			return s;
		}
		p = parent_of(w, p);
	}
	return NULL;
}

static struct pinw_stacks *stacks_of(struct pinw_watch *w)
{
	if (!w->stacks && pinw_stacks_open(&w->stacks) < 0)
		w->stacks = NULL;
	return w->stacks;
}

bool pinw_watch_frames(struct pinw_watch *w, struct pinw_watched *p, uint32_t site, pinw_frame_fn fn,
                       void *arg, bool *ret_truncated)
{
	struct pinw_watched *owner;
	const struct pinw_site *s = find_site(w, p, site, &owner);

	if (!s || !stacks_of(w))
		return false;
	*ret_truncated = s->flags & PINW_SITE_TRUNCATED;
	pinw_stacks_resolve(w->stacks, owner->names.process, s, fn, arg);
	return true;
}

/* ---- which rules a stack satisfies ------------------------------------------------------------- */

/* Lists under way: what the frames so far satisfy, and what the next one does. */
struct gathering {
	const struct pinw_policy *policy;
	uint16_t *rules, *creators, *more_rules, *more_creators;
	unsigned rule_count, creator_count;
};

/* Every spelling of every name a frame's function has. An inlined call has none: inside the program, where the other
 * rules are judged, only symbols are seen. */
static unsigned spell_frame(const struct pinw_frame *frame, char *text, char *spelled, const char **names)
{
	unsigned count = 0;
	size_t room = SPELL_BYTES, len;
	char *save = NULL;

	if (!frame->symbols)
		return 0;
	snprintf(text, SPELL_BYTES, "%s", frame->symbols);
	for (char *line = strtok_r(text, "\n", &save); line && count + PINW_SPELLINGS_MAX <= NAMES_MAX;
	     line = strtok_r(NULL, "\n", &save)) {
		unsigned n = pinw_spell(line, spelled, room, names + count);
		for (unsigned i = 0; i < n; i++) {
			const char *name = names[count + i];
			if (name >= spelled && name < spelled + room) {
				len = (size_t)(name - spelled) + strlen(name) + 1;
				room -= len;
				spelled += len;
			}
		}
		count += n;
	}
	return count;
}

static void gather(void *arg, const struct pinw_frame *frame)
{
	struct gathering *g = arg;
	const char *names[NAMES_MAX];
	char text[SPELL_BYTES], spelled[SPELL_BYTES];
	unsigned more_rules = 0, more_creators = 0;

	if (frame->inlined)
		return;
	unsigned count = spell_frame(frame, text, spelled, names);
	pinw_policy_frame(g->policy, frame->module, names, count, g->more_rules, &more_rules,
	                  g->more_creators, &more_creators);
	g->rule_count = pinw_policy_merge(g->rules, g->rule_count, g->more_rules, more_rules);
	g->creator_count = pinw_policy_merge(g->creators, g->creator_count, g->more_creators, more_creators);
}

static bool gathering_init(struct gathering *g, const struct pinw_policy *policy)
{
	size_t n = policy->rule_count;
	uint16_t *lists = calloc(4 * n + 4, sizeof(*lists));

	*g = (struct gathering){.policy = policy,
	                        .rules = lists,
	                        .creators = lists + n,
	                        .more_rules = lists + 2 * n,
	                        .more_creators = lists + 3 * n};
	return lists != NULL;
}

/* Keeps what was gathered, in lists of the right size. */
static void keep(struct pinw_site_rules *to, const struct gathering *g)
{
	size_t n = (size_t)g->rule_count + g->creator_count;
	uint16_t *ids = malloc((n + 1) * sizeof(*ids));

	if (!ids)
		return;
	memcpy(ids, g->rules, g->rule_count * sizeof(*ids));
	memcpy(ids + g->rule_count, g->creators, g->creator_count * sizeof(*ids));
	to->ids = ids;
	to->match = (struct pinw_stack_match){.rules = ids,
	                                      .creators = ids + g->rule_count,
	                                      .rule_count = (uint16_t)g->rule_count,
	                                      .creator_count = (uint16_t)g->creator_count};
	to->resolved = true;
}

const struct pinw_stack_match *pinw_watch_site(struct pinw_watch *w, struct pinw_watched *p, uint32_t site)
{
	struct gathering g;
	bool truncated;

	if (!site || names_init(&p->names) < 0)
		return NULL;
	struct pinw_site_rules *row = pinw_table_get(&p->names.sites, site, NULL);
	if (!row || row->resolved)
		return row ? &row->match : NULL;
	if (!gathering_init(&g, w->opt.policy))
		return NULL;
	if (pinw_watch_frames(w, p, site, gather, &g, &truncated))
		keep(row, &g);
	free(g.rules);
	return row->resolved ? &row->match : NULL;
}

static const struct pinw_rec_module *module_at(const struct pinw_watch_names *n, uint64_t address)
{
	for (size_t i = n->extents.count; i-- > 0;) {
		const struct pinw_rec_module *m = pinw_table_at(&n->extents, i);
		if (address >= m->start && address < m->end)
			return m;
	}
	return NULL;
}

const struct pinw_stack_match *pinw_watch_function(struct pinw_watch *w, struct pinw_watched *p,
                                                   uint64_t address)
{
	struct pinw_watch_names *n = &p->names;
	struct gathering g;

	if (!address || names_init(n) < 0)
		return NULL;
	struct pinw_site_rules *row = pinw_table_get(&n->functions, address, NULL);
	if (!row || row->resolved)
		return row ? &row->match : NULL;
	const struct pinw_rec_module *extent = module_at(n, address);
	if (!extent && read_again(w, p))
		extent = module_at(n, address);
	const struct pinw_module *m = extent ? pinw_table_find(&n->process->modules, extent->id) : NULL;
	if (!m || !m->path || !stacks_of(w) || !gathering_init(&g, w->opt.policy))
		return NULL;
	pinw_stacks_address(w->stacks, m, address - extent->base, gather, &g);
	keep(row, &g);
	free(g.rules);
	return row->resolved ? &row->match : NULL;
}
