/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reports/model_private.h"

/* Processes are compared by what identifies them, then by when their images began. A parent always comes before
 * its children in this last order, so links never form a ring, whatever the traces say. */

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_begin(const struct pinw_process *a, const struct pinw_process *b)
{
	int c = compare_u64(a->header.start_mono_ns, b->header.start_mono_ns);

	return c ? c : compare_u64(a->order, b->order);
}

static int compare_identity(const struct pinw_identity *a, const struct pinw_identity *b)
{
	int c = compare_u64(a->pid, b->pid);

	c = c ? c : compare_u64(a->start_ticks, b->start_ticks);
	c = c ? c : compare_u64(a->pid_ns, b->pid_ns);
	return c ? c : memcmp(a->boot_id, b->boot_id, sizeof(a->boot_id));
}

static int by_identity(const void *x, const void *y)
{
	const struct pinw_process *a = *(struct pinw_process *const *)x,
	                          *b = *(struct pinw_process *const *)y;
	int c = compare_identity(&a->header.self, &b->header.self);

	return c ? c : compare_begin(a, b);
}

/* Readable ones first, later ones first: children are put at the head of their parent's list. */
static int by_start_backwards(const void *x, const void *y)
{
	const struct pinw_process *a = *(struct pinw_process *const *)x,
	                          *b = *(struct pinw_process *const *)y;
	int c = compare_u64(b->header.start_real_ns, a->header.start_real_ns);

	return c ? c : compare_begin(b, a);
}

/* First of `sorted` (by_identity) that is not before `id`. */
static size_t lower_bound(struct pinw_process **sorted, size_t count, const struct pinw_identity *id)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare_identity(&sorted[middle]->header.self, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The image of the parent process that was there when `p` began: the one its nonce names, else the latest. */
static struct pinw_process *find_parent(struct pinw_process **sorted, size_t count,
                                        const struct pinw_process *p)
{
	static const uint8_t unknown[16];
	const struct pinw_identity *id = &p->header.parent;
	bool exact = memcmp(id->nonce, unknown, sizeof(unknown)) != 0;
	struct pinw_process *found = NULL;

	for (size_t i = lower_bound(sorted, count, id); i < count; i++) {
		struct pinw_process *q = sorted[i];
		if (compare_identity(&q->header.self, id) != 0 || compare_begin(q, p) >= 0)
			break;
		found = q;
		if (exact && memcmp(q->header.self.nonce, id->nonce, sizeof(id->nonce)) == 0)
			break;
	}
	return found;
}

static void link_parents(struct pinw_process **sorted, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct pinw_process *p = sorted[i];
		p->by_exec = i > 0 && compare_identity(&sorted[i - 1]->header.self, &p->header.self) == 0;
		p->parent = p->by_exec ? sorted[i - 1] : find_parent(sorted, count, p);
	}
}

static void link_children(struct pinw_process **backwards, size_t count, struct pinw_process **ret_roots)
{
	for (size_t i = 0; i < count; i++) {
		struct pinw_process *p = backwards[i];
		struct pinw_process **head = p->parent ? &p->parent->children : ret_roots;
		p->sibling = *head;
		*head = p;
	}
}

/* The one that comes after `p`: its first child, or the next sibling of it or of the closest ancestor with one. */
static struct pinw_process *next_in_tree(const struct pinw_process *p)
{
	if (p->children)
		return p->children;
	while (p && !p->sibling)
		p = p->parent;
	return p ? p->sibling : NULL;
}

/* Parents before children, without recursion: a chain of images can be as long as there are traces. */
static void flatten(struct pinw_process *roots, struct pinw_process **out)
{
	for (struct pinw_process *p = roots; p; p = next_in_tree(p)) {
		p->tree_depth = p->parent ? p->parent->tree_depth + 1 : 0;
		*out++ = p;
	}
}

int pinw_tree_build(struct pinw_model *m)
{
	if (m->process_count == 0)
		return 0;

	struct pinw_process **sorted = calloc(m->process_count, sizeof(struct pinw_process *));
	struct pinw_process *roots = NULL;
	size_t count = 0;
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < m->process_count; i++)
		if (m->processes[i]->error == 0)
			sorted[count++] = m->processes[i];
	size_t bad = count;
	for (size_t i = 0; i < m->process_count; i++)
		if (m->processes[i]->error != 0)
			sorted[bad++] = m->processes[i];
	if (count)
		qsort(sorted, count, sizeof(struct pinw_process *), by_identity);
	link_parents(sorted, count);
	if (count)
		qsort(sorted, count, sizeof(struct pinw_process *), by_start_backwards);
	link_children(sorted, count, &roots);
	flatten(roots, m->processes);
	memcpy(m->processes + count, sorted + count,
	       (m->process_count - count) * sizeof(struct pinw_process *));
	free(sorted);
	return 0;
}
