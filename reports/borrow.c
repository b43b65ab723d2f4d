/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reports/kept_names.h"
#include "reports/model_private.h"

static int borrow_module(struct pinw_process *p, uint32_t id)
{
	const struct pinw_module *from = pinw_process_module(p->parent, id);
	bool new;

	if (!from || pinw_process_module(p, id))
		return 0;
	struct pinw_module *m = pinw_table_get(&p->modules, id, &new);
	if (!m)
		return -ENOMEM;
	*m = *from;
	m->path = from->path ? strdup(from->path) : NULL;
	return from->path && !m->path ? -ENOMEM : 0;
}

static int borrow_site(struct pinw_process *p, uint32_t id)
{
	const struct pinw_site *from = id ? pinw_process_site(p->parent, id) : NULL;
	const struct pinw_site *known = id ? pinw_process_site(p, id) : NULL;

	if (!from || !from->known || (known && known->known))
		return 0;
	struct pinw_site *s = pinw_table_get(&p->sites, id, NULL);
	if (!s)
		return -ENOMEM;
	if (from->frame_count &&
	    pinw_frames_append(p, s, &p->parent->frames[from->first_frame], from->frame_count) < 0)
		return -ENOMEM;
	s->id = id;
	s->known = true;
	s->flags = from->flags;
	s->uses |= from->uses;
	int error = 0;
	for (size_t i = 0; error == 0 && i < s->frame_count; i++) {
		const struct pinw_rec_frame *frame = &p->frames[s->first_frame + i];

		error = borrow_module(p, frame->module);
		if (error == 0)
			error = pinw_kept_names_copy(p, p->parent, frame->module, pinw_frame_offset(frame));
	}
	return error;
}

int pinw_borrow_sites(struct pinw_process *p)
{
	int error = 0;

	if (p->header.image != PINW_IMAGE_FORK || !p->parent || p->by_exec)
		return 0;
	for (size_t i = 0; error == 0 && i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		const uint32_t ids[] = {t->create_site, t->pin.depth ? t->pin.site : 0,
		                        t->inherited ? t->inherited_site : 0};
		for (size_t k = 0; error == 0 && k < sizeof(ids) / sizeof(ids[0]); k++)
			error = borrow_site(p, ids[k]);
	}
	for (size_t i = 0; error == 0 && p->history && i < p->history->span_count; i++)
		error = borrow_site(p, p->history->spans[i].site);
	return error;
}
