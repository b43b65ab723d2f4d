/* SPDX-License-Identifier: MIT */
#include "reports/kept_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t key_of(uint32_t module, uint64_t offset, unsigned depth)
{
	const uint64_t data[] = {module, offset, depth};

	return pinw_table_hash(data, sizeof(data));
}

/* Of names for one place the first is kept. Returns 0 or -ENOMEM. */
static int add(struct pinw_process *p, const struct pinw_kept_name *name, size_t function_len,
               size_t file_len)
{
	bool new;
	struct pinw_kept_name *n =
	    pinw_table_get(&p->kept_names, key_of(name->module, name->offset, name->depth), &new);

	if (!n)
		return -ENOMEM;
	if (!new)
		return 0;
	*n = *name;
	n->function = strndup(name->function, function_len);
	n->file = file_len ? strndup(name->file, file_len) : NULL;
	return n->function && (n->file || !file_len) ? 0 : -ENOMEM;
}

int pinw_kept_names_add(struct pinw_process *p, const struct pinw_read_record *rec)
{
	const struct pinw_rec_function *f = rec->function;
	struct pinw_kept_name name = {
	    .offset = f->offset,
	    .module = f->module,
	    .depth = f->depth,
	    .distance = f->distance,
	    .line = f->line,
	    .inlined = f->flags & PINW_FUNCTION_INLINED,
	    .function = (char *)rec->text,
	    .file = (char *)rec->text + rec->text_len,
	};

	return add(p, &name, rec->text_len, f->file_len);
}

const struct pinw_kept_name *pinw_kept_names_find(const struct pinw_process *p, uint32_t module,
                                                  uint64_t offset, unsigned depth)
{
	const struct pinw_kept_name *n = pinw_table_find(&p->kept_names, key_of(module, offset, depth));

	return n && n->module == module && n->offset == offset && n->depth == depth ? n : NULL;
}

int pinw_kept_names_copy(struct pinw_process *p, const struct pinw_process *from, uint32_t module,
                         uint64_t offset)
{
	const struct pinw_kept_name *n = pinw_kept_names_find(from, module, offset, 0);
	int error = 0;

	for (unsigned depth = 1; n && error == 0; depth++) {
		error = add(p, n, strlen(n->function), n->file ? strlen(n->file) : 0);
		n = n->inlined ? pinw_kept_names_find(from, module, offset, depth) : NULL;
	}
	return error;
}

void pinw_kept_names_done(struct pinw_process *p)
{
	for (size_t i = 0; i < p->kept_names.count; i++) {
		struct pinw_kept_name *n = pinw_table_at(&p->kept_names, i);

		free(n->function);
		free(n->file);
	}
	pinw_table_done(&p->kept_names);
}
