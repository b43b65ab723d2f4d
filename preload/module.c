/* SPDX-License-Identifier: MIT */
#include "preload/module.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>

#include "preload/arch.h"
#include "preload/elfsym.h"
#include "preload/proc.h"
#include "preload/shim.h"
#include "preload/trace.h"

#define MODULES_MAX 2048u
#define PATHS_BYTES (256u << 10)
#define NOT_INLINED __attribute__((noinline)) /* their locals would add up, on stacks that may be small */

struct module {
	uintptr_t start, end, base;
	struct link_map *map;
	uint32_t checked_gen; /* pinw_module_gen when last compared with the loader's view */
	uint32_t image_gen; /* image whose trace holds its record */
	uint16_t path_len;
	uint16_t build_id_len;
	const char *path;
	uint8_t build_id[PINW_BUILD_ID_MAX];
};

uint32_t pinw_module_gen = 1;

/* Mapped, not .bss: under a tight RLIMIT_AS the loader still finds room for the program. Only what is used costs memory. */
struct room {
	struct module table[MODULES_MAX];
	char paths[PATHS_BYTES];
};

static struct {
	uint32_t count; /* ids are index + 1 */
	struct room *room; /* NULL: there was no memory for it, nothing is known of any module */
	size_t paths_used;
	char exe[PINW_PATH_MAX];
} modules;

void pinw_module_init(const char *exe, uint32_t exe_len)
{
	pinw_put_bytes(modules.exe, sizeof(modules.exe), 0, exe, exe_len);
	if (!modules.room)
		modules.room = pinw_proc_map(sizeof(*modules.room));
}

/* ---- what the loader and the object say ------------------------------------------- */

/* Reads the build id from the object's own mapped headers. */
static void read_build_id(struct module *m)
{
	const ElfW(Ehdr) *ehdr = (const void *)m->start;

	m->build_id_len = 0;
	if (memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0 || ehdr->e_phentsize != sizeof(ElfW(Phdr)) ||
	    ehdr->e_phoff > m->end - m->start || ehdr->e_phnum > 64)
		return;
	const ElfW(Phdr) *phdr = (const void *)(m->start + ehdr->e_phoff);
	for (unsigned i = 0; i < ehdr->e_phnum && !m->build_id_len; i++) {
		uintptr_t at = m->base + phdr[i].p_vaddr;

		if (phdr[i].p_type == PT_NOTE && at >= m->start && at + phdr[i].p_memsz <= m->end)
			m->build_id_len =
			    (uint16_t)pinw_elfsym_build_id((const char *)at, phdr[i].p_memsz, m->build_id);
	}
}

/* The object's path, made absolute. */
static size_t read_path(const struct module *m, char *buf, size_t size)
{
	const char *name = m->map->l_name;
	size_t n = 0;

	if (!name || !*name)
		return pinw_put(buf, size, 0, modules.exe);
	if (strncmp(name, "linux-vdso", 10) == 0)
		return pinw_put(buf, size, 0, "[vdso]");
	if (name[0] != '/') {
		long r = pinw_sys2(SYS_getcwd, buf, size);
		n = r > 1 && buf[0] == '/' ? pinw_put(buf, size, (size_t)r - 1, "/") : 0;
	}
	return pinw_put(buf, size, n, name);
}

/* ---- the table ---------------------------------------------------------------------- */

static NOT_INLINED void emit(uint32_t id, struct module *m)
{
	struct pinw_rec_module record = {
	    .id = id,
	    .path_len = m->path_len,
	    .build_id_len = m->build_id_len,
	    .base = m->base,
	    .start = m->start,
	    .end = m->end,
	};

	memcpy(record.build_id, m->build_id, sizeof(record.build_id));
	pinw_trace_meta(PINW_REC_MODULE, &record, sizeof(record), m->path, m->path_len);
	m->image_gen = pinw_shim.image_gen;
}

/* Does the entry still describe what the loader has mapped there? */
static NOT_INLINED bool is_current(struct module *m, const struct module *seen, uint32_t gen)
{
	static char path[PINW_PATH_MAX]; /* off the stack: it may be small */
	struct module now = *seen;

	if (m->map != seen->map || m->base != seen->base || m->end != seen->end)
		return false;
	if (m->checked_gen == gen)
		return true;
	read_build_id(&now);
	size_t len = read_path(&now, path, sizeof(path));
	if (now.build_id_len != m->build_id_len || memcmp(now.build_id, m->build_id, m->build_id_len) != 0 ||
	    len != m->path_len || memcmp(path, m->path, len) != 0)
		return false;
	m->checked_gen = gen;
	return true;
}

static NOT_INLINED uint32_t add(const struct module *seen, uint32_t gen)
{
	size_t room = PATHS_BYTES - modules.paths_used;

	if (!modules.room || modules.count == MODULES_MAX || room < PINW_PATH_MAX)
		return 0;
	struct module *m = &modules.room->table[modules.count];
	char *path = modules.room->paths + modules.paths_used;
	*m = *seen;
	m->checked_gen = gen;
	read_build_id(m);
	m->path_len = (uint16_t)read_path(m, path, PINW_PATH_MAX);
	m->path = path;
	modules.paths_used += m->path_len + 1u;
	return ++modules.count;
}

/* Newest first: an older module at the same place is gone. */
static uint32_t find(const struct module *seen, uint32_t gen)
{
	for (uint32_t i = modules.count; i--;)
		if (modules.room->table[i].start == seen->start)
			return is_current(&modules.room->table[i], seen, gen) ? i + 1 : 0;
	return 0;
}

void pinw_module_keep(uint32_t id)
{
	if (id && id <= modules.count && modules.room->table[id - 1].image_gen != pinw_shim.image_gen)
		emit(id, &modules.room->table[id - 1]);
}

uint32_t pinw_module_of(uintptr_t pc, uint64_t *ret_offset)
{
	uint32_t gen = __atomic_load_n(&pinw_module_gen, __ATOMIC_ACQUIRE);
	struct dl_find_object object;

	*ret_offset = pc;
	if (_dl_find_object((void *)(pc - 1), &object) != 0)
		return 0;
	struct module seen = {
	    .start = (uintptr_t)object.dlfo_map_start,
	    .end = (uintptr_t)object.dlfo_map_end,
	    .base = object.dlfo_link_map->l_addr,
	    .map = object.dlfo_link_map,
	};
	uint32_t id = find(&seen, gen);
	if (!id)
		id = add(&seen, gen);
	if (!id)
		return 0;
	pinw_module_keep(id);
	*ret_offset = pc - modules.room->table[id - 1].base;
	return id;
}

uintptr_t pinw_module_address(uint32_t id, uint64_t offset)
{
	uint64_t found;

	if (!id || id > modules.count)
		return 0;
	uintptr_t pc = modules.room->table[id - 1].base + offset;
	return pinw_module_of(pc, &found) == id ? pc : 0;
}

const char *pinw_module_path(uint32_t id)
{
	return id && id <= modules.count ? modules.room->table[id - 1].path : NULL;
}

const uint8_t *pinw_module_build_id(uint32_t id, unsigned *ret_len)
{
	if (!id || id > modules.count) {
		*ret_len = 0;
		return NULL;
	}
	*ret_len = modules.room->table[id - 1].build_id_len;
	return modules.room->table[id - 1].build_id;
}
