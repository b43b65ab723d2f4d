/* SPDX-License-Identifier: MIT */
#include "preload/elfsym.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "preload/arch.h"
#include "preload/proc.h"

/* A file mapped for reading. */
struct view {
	const char *bytes;
	uint64_t size;
};

static int open_view(const char *path, struct view *ret_view)
{
	struct stat st = {0};
	long fd = pinw_sys3(SYS_open, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);

	if (fd < 0)
		return (int)fd;
	long p = pinw_sys2(SYS_fstat, fd, &st);
	if (p == 0)
		p = S_ISREG(st.st_mode) && st.st_size > 0
		        ? pinw_sys6(SYS_mmap, 0, st.st_size, PROT_READ, MAP_PRIVATE, (int)fd, 0)
		        : -EINVAL;
	pinw_sys1(SYS_close, fd);
	if (p < 0 && p > -4096)
		return (int)p;
	*ret_view = (struct view){(const char *)p, (uint64_t)st.st_size};
	return 0;
}

/* `count` elements of `each` bytes at `offset`, or NULL if they are not all in the file or (unless bytes) not aligned. */
static const void *at(const struct view *view, uint64_t offset, uint64_t count, uint64_t each)
{
	if (offset > view->size || (count && each > (view->size - offset) / count) ||
	    (each > 1 && offset & 7))
		return NULL;
	return view->bytes + offset;
}

static bool covers(const Elf64_Sym *s, uint64_t address)
{
	return ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_shndx != SHN_UNDEF && s->st_value <= address &&
	       address - s->st_value < s->st_size;
}

/* The later start is nearer; of two names for one function the global one is what its author called it. */
static bool is_better(const Elf64_Sym *s, const Elf64_Sym *than)
{
	if (!than || s->st_value != than->st_value)
		return !than || s->st_value > than->st_value;
	return ELF64_ST_BIND(s->st_info) == STB_GLOBAL && ELF64_ST_BIND(than->st_info) != STB_GLOBAL;
}

/* The best function symbol of one table that covers `address`. */
static bool search(const struct view *view, const Elf64_Shdr *table, const Elf64_Shdr *strings,
                   uint64_t address, char *name, size_t size, uint64_t *ret_offset)
{
	uint64_t count = table->sh_size / sizeof(Elf64_Sym);
	const Elf64_Sym *symbols = at(view, table->sh_offset, count, sizeof(*symbols)), *found = NULL;
	const char *text = at(view, strings->sh_offset, strings->sh_size, 1);

	if (!symbols || !text)
		return false;
	for (uint64_t i = 0; i < count; i++)
		if (covers(&symbols[i], address) && is_better(&symbols[i], found))
			found = &symbols[i];
	if (!found || found->st_name >= strings->sh_size)
		return false;
	pinw_put_bytes(name, size, 0, text + found->st_name,
	               strnlen(text + found->st_name, strings->sh_size - found->st_name));
	*ret_offset = address - found->st_value;
	return true;
}

static bool search_all(const struct view *view, uint64_t address, char *name, size_t size,
                       uint64_t *ret_offset)
{
	const Elf64_Ehdr *ehdr = at(view, 0, 1, sizeof(*ehdr));

	if (!ehdr || memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0 || ehdr->e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr->e_shentsize != sizeof(Elf64_Shdr))
		return false;
	const Elf64_Shdr *sections = at(view, ehdr->e_shoff, ehdr->e_shnum, sizeof(*sections));
	if (!sections)
		return false;
	static const uint32_t kinds[] = {SHT_SYMTAB, SHT_DYNSYM};
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < ehdr->e_shnum; i++)
			if (sections[i].sh_type == kinds[k] && sections[i].sh_link < ehdr->e_shnum &&
			    search(view, &sections[i], &sections[sections[i].sh_link], address, name, size,
			           ret_offset))
				return true;
	return false;
}

int pinw_elfsym_name(const char *path, uint64_t address, char *name, size_t size, uint64_t *ret_offset)
{
	struct view view = {NULL, 0};
	int r = open_view(path, &view);

	if (r < 0)
		return r;
	r = search_all(&view, address, name, size, ret_offset) ? 0 : -ENOENT;
	pinw_sys2(SYS_munmap, view.bytes, view.size);
	return r;
}
