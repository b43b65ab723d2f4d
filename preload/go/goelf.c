/* SPDX-License-Identifier: MIT */
#include "preload/go/goelf.h"

#include <elf.h>
#include <string.h>

#define CANDIDATES_MAX 16u /* places that look like the runtime's description of a module */

/* Words of that description (runtime.moduledata), the same from Go 1.18 to 1.27. */
#define WORD_NAMES 1u
#define WORD_MINPC 20u
#define WORD_MAXPC 21u
#define WORD_TEXT 22u

struct file {
	const uint8_t *bytes;
	uint64_t size;
	Elf64_Ehdr head;
};

/* ---- the file ------------------------------------------------------------------------------ */

static bool fits(const struct file *f, uint64_t offset, uint64_t bytes)
{
	return offset <= f->size && bytes <= f->size - offset;
}

static bool read_file(struct file *f)
{
	if (!fits(f, 0, sizeof(f->head)))
		return false;
	memcpy(&f->head, f->bytes, sizeof(f->head));
	if (memcmp(f->head.e_ident, ELFMAG, SELFMAG) != 0 || f->head.e_ident[EI_CLASS] != ELFCLASS64 ||
	    f->head.e_ident[EI_DATA] != ELFDATA2LSB || f->head.e_phentsize != sizeof(Elf64_Phdr))
		return false;
	return true;
}

/* Read one at a time: the stacks of threads are small. */
static bool read_segment(const struct file *f, unsigned i, Elf64_Phdr *ret)
{
	uint64_t offset = f->head.e_phoff + i * sizeof(*ret);

	if (i >= f->head.e_phnum || offset < f->head.e_phoff || !fits(f, offset, sizeof(*ret)))
		return false;
	memcpy(ret, f->bytes + offset, sizeof(*ret));
	return true;
}

static bool read_section(const struct file *f, unsigned i, Elf64_Shdr *ret)
{
	uint64_t offset = f->head.e_shoff + i * sizeof(*ret);

	if (i >= f->head.e_shnum || f->head.e_shentsize != sizeof(*ret) || offset < f->head.e_shoff ||
	    !fits(f, offset, sizeof(*ret)))
		return false;
	memcpy(ret, f->bytes + offset, sizeof(*ret));
	return true;
}

/* The section of this name, with its bytes in the file. */
static bool find_section(const struct file *f, const char *name, Elf64_Shdr *ret)
{
	size_t len = strlen(name) + 1;
	Elf64_Shdr strings, section;

	if (!read_section(f, f->head.e_shstrndx, &strings) || !fits(f, strings.sh_offset, strings.sh_size))
		return false;
	for (unsigned i = 0; read_section(f, i, &section); i++)
		if (section.sh_type != SHT_NOBITS && section.sh_name < strings.sh_size &&
		    len <= strings.sh_size - section.sh_name &&
		    memcmp(f->bytes + strings.sh_offset + section.sh_name, name, len) == 0 &&
		    fits(f, section.sh_offset, section.sh_size)) {
			*ret = section;
			return true;
		}
	return false;
}

/* The bytes in the file of what is loaded at `address`: how many follow there in *ret_bytes. NULL: none. */
static const uint8_t *loaded_at(const struct file *f, uint64_t address, uint64_t *ret_bytes)
{
	Elf64_Phdr p;

	for (unsigned i = 0; read_segment(f, i, &p); i++)
		if (p.p_type == PT_LOAD && address - p.p_vaddr < p.p_filesz &&
		    fits(f, p.p_offset, p.p_filesz)) {
			*ret_bytes = p.p_filesz - (address - p.p_vaddr);
			return f->bytes + p.p_offset + (address - p.p_vaddr);
		}
	return NULL;
}

static bool is_code(const struct file *f, uint64_t from, uint64_t to)
{
	Elf64_Phdr p;

	for (unsigned i = 0; read_segment(f, i, &p); i++)
		if (p.p_type == PT_LOAD && p.p_flags & PF_X && from < to && from >= p.p_vaddr &&
		    to - p.p_vaddr <= p.p_memsz)
			return true;
	return false;
}

/* ---- is it Go's? ------------------------------------------------------------------------------ */

/* Go's linker leaves a note of the owner "Go". */
static bool has_go_note(const struct file *f, const Elf64_Phdr *p)
{
	uint64_t at = p->p_offset, left = p->p_filesz;
	Elf64_Nhdr note;

	if (p->p_type != PT_NOTE || !fits(f, at, left))
		return false;
	while (left >= sizeof(note)) {
		memcpy(&note, f->bytes + at, sizeof(note));
		uint64_t name = ((uint64_t)note.n_namesz + 3) & ~UINT64_C(3),
		         bytes = sizeof(note) + name + (((uint64_t)note.n_descsz + 3) & ~UINT64_C(3));

		if (bytes > left)
			return false;
		if (note.n_namesz == 4 && memcmp(f->bytes + at + sizeof(note), "Go\0", 4) == 0)
			return true;
		at += bytes;
		left -= bytes;
	}
	return false;
}

static bool is_go(const struct file *f)
{
	Elf64_Shdr section;
	Elf64_Phdr segment;

	for (unsigned i = 0; read_segment(f, i, &segment); i++)
		if (has_go_note(f, &segment))
			return true;
	return find_section(f, ".go.buildinfo", &section);
}

/* ---- relocations ------------------------------------------------------------------------------- */

static void find_relocations(const struct file *f, const Elf64_Phdr *dynamic, struct pinw_goelf *g)
{
	uint64_t address = 0, bytes = 0, there;
	Elf64_Dyn entry;

	if (!fits(f, dynamic->p_offset, dynamic->p_filesz))
		return;
	for (uint64_t at = 0; dynamic->p_filesz - at >= sizeof(entry); at += sizeof(entry)) {
		memcpy(&entry, f->bytes + dynamic->p_offset + at, sizeof(entry));
		if (entry.d_tag == DT_RELA)
			address = entry.d_un.d_ptr;
		else if (entry.d_tag == DT_RELASZ)
			bytes = entry.d_un.d_val;
		else if (entry.d_tag == DT_NULL)
			break;
	}
	g->relocations = loaded_at(f, address, &there);
	g->relocation_count = g->relocations ? (bytes < there ? bytes : there) / sizeof(Elf64_Rela) : 0;
}

/* Relocation `i` if it puts an address of this object in place. */
static bool read_relocation(const struct pinw_goelf *g, uint64_t i, Elf64_Rela *ret)
{
	memcpy(ret, g->relocations + i * sizeof(*ret), sizeof(*ret));
	return ELF64_R_TYPE(ret->r_info) == R_X86_64_RELATIVE;
}

/* The first relocation at or after `address`, if they are sorted, as linkers leave them. */
static uint64_t first_relocation(const struct pinw_goelf *g, uint64_t address)
{
	uint64_t low = 0, high = g->relocation_count;
	Elf64_Rela r;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (read_relocation(g, middle, &r) && r.r_offset < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The word at `address` as the loader will leave it; 0 when it is not known. */
static uint64_t word_at(const struct file *f, const struct pinw_goelf *g, uint64_t address)
{
	uint64_t bytes, word = 0, i = first_relocation(g, address);
	const uint8_t *at = loaded_at(f, address, &bytes);
	Elf64_Rela r;

	if (at && bytes >= sizeof(word))
		memcpy(&word, at, sizeof(word));
	if (i < g->relocation_count && read_relocation(g, i, &r) && r.r_offset == address)
		return (uint64_t)r.r_addend;
	return word;
}

/* ---- the runtime's description, and what addresses count from -------------------------------------------------------------------- */

/* Does the runtime's description of this table's module lie at `address`? Then it says where the code is, and the table
 * has to agree with it on the first and the last function. */
static bool take_module(const struct file *f, struct pinw_goelf *g, uint64_t address)
{
	if (word_at(f, g, address) != g->address ||
	    word_at(f, g, address + WORD_NAMES * 8) != g->address + g->table.names)
		return false;
	uint64_t text = word_at(f, g, address + WORD_TEXT * 8), was = g->table.text;
	g->table.text = text;
	if (text && pinw_pclntab_entry(&g->table, 0) == word_at(f, g, address + WORD_MINPC * 8) &&
	    pinw_pclntab_entry(&g->table, g->table.count) == word_at(f, g, address + WORD_MAXPC * 8)) {
		g->module = address;
		return true;
	}
	g->table.text = was;
	return false;
}

static bool module_of_relocations(const struct file *f, struct pinw_goelf *g)
{
	unsigned candidates = 0;
	Elf64_Rela r;

	for (uint64_t i = 0; i < g->relocation_count && candidates < CANDIDATES_MAX; i++)
		if (read_relocation(g, i, &r) && (uint64_t)r.r_addend == g->address) {
			if (take_module(f, g, r.r_offset))
				return true;
			candidates++;
		}
	return false;
}

static bool module_of_segment(const struct file *f, const Elf64_Phdr *p, struct pinw_goelf *g)
{
	uint64_t skip = (8 - p->p_vaddr % 8) % 8, word;
	unsigned candidates = 0;

	if (p->p_type != PT_LOAD || !(p->p_flags & PF_W) || !fits(f, p->p_offset, p->p_filesz))
		return false;
	for (uint64_t at = skip; at < p->p_filesz && p->p_filesz - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, f->bytes + p->p_offset + at, sizeof(word));
		if (word != g->address)
			continue;
		if (take_module(f, g, p->p_vaddr + at))
			return true;
		if (++candidates == CANDIDATES_MAX)
			return false;
	}
	return false;
}

static bool find_module(const struct file *f, struct pinw_goelf *g)
{
	Elf64_Phdr segment;

	if (module_of_relocations(f, g))
		return true;
	for (unsigned i = 0; read_segment(f, i, &segment); i++)
		if (module_of_segment(f, &segment, g))
			return true;
	return false;
}

/* The header has it (1.18 to 1.25), with a hole in PIE; from 1.26 on only the runtime's description. */
static bool find_text(const struct file *f, struct pinw_goelf *g)
{
	if (!g->table.text)
		g->table.text = word_at(f, g, g->address + 24);
	return g->table.text || find_module(f, g);
}

/* The address of function `i`'s row of the index, in tables of absolute addresses. */
static uint64_t row_address(const struct pinw_goelf *g, uint64_t i)
{
	return g->address + g->table.index + i * 16;
}

/* Makes the table's addresses known. */
static bool find_addresses(const struct file *f, struct pinw_goelf *g)
{
	const struct pinw_pclntab *t = &g->table;

	if (t->layout == PINW_PCLNTAB_1_18)
		return find_text(f, g) &&
		       is_code(f, pinw_pclntab_entry(t, 0), pinw_pclntab_entry(t, t->count));
	g->in_relocations = pinw_pclntab_entry(t, t->count) == 0;
	if (!g->in_relocations)
		return is_code(f, pinw_pclntab_entry(t, 0), pinw_pclntab_entry(t, t->count));
	return is_code(f, word_at(f, g, row_address(g, 0)), word_at(f, g, row_address(g, t->count)));
}

/* ---- the table -------------------------------------------------------------------------------------- */

static bool open_at(const struct file *f, uint64_t offset, uint64_t bytes, uint64_t address,
                    struct pinw_goelf *g)
{
	g->address = address;
	return pinw_pclntab_open(f->bytes + offset, bytes, &g->table) && find_addresses(f, g);
}

static bool search(const struct file *f, const Elf64_Phdr *p, struct pinw_goelf *g)
{
	uint64_t skip = (8 - p->p_vaddr % 8) % 8;

	if (!fits(f, p->p_offset, p->p_filesz))
		return false;
	for (uint64_t at = skip; at < p->p_filesz && p->p_filesz - at >= PINW_PCLNTAB_HEAD; at += 8)
		if (pinw_pclntab_is_head(f->bytes + p->p_offset + at) &&
		    open_at(f, p->p_offset + at, p->p_filesz - at, p->p_vaddr + at, g))
			return true;
	return false;
}

/* Without a section: in PIE among the data that the loader completes, else among the constants. */
static bool search_all(const struct file *f, struct pinw_goelf *g)
{
	static const uint32_t kinds[] = {PF_R | PF_W, PF_R};
	Elf64_Phdr segment;

	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; read_segment(f, i, &segment); i++)
			if (segment.p_type == PT_LOAD &&
			    (segment.p_flags & (PF_R | PF_W | PF_X)) == kinds[k] && search(f, &segment, g))
				return true;
	return false;
}

bool pinw_goelf_open(const void *file, uint64_t bytes, struct pinw_goelf *ret)
{
	static const char *const names[] = {".gopclntab", ".data.rel.ro.gopclntab"};
	struct file f = {.bytes = file, .size = bytes};
	struct pinw_goelf g = {.file = file, .bytes = bytes};
	Elf64_Shdr section;
	Elf64_Phdr segment;

	if (!read_file(&f) || !is_go(&f))
		return false;
	for (unsigned i = 0; read_segment(&f, i, &segment); i++)
		if (segment.p_type == PT_DYNAMIC)
			find_relocations(&f, &segment, &g);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (find_section(&f, names[i], &section) &&
		    open_at(&f, section.sh_offset, section.sh_size, section.sh_addr, &g)) {
			*ret = g;
			return true;
		}
	if (!search_all(&f, &g))
		return false;
	*ret = g;
	return true;
}

/* ---- lookup ------------------------------------------------------------------------------------------- */

/* Row `i` of an index whose addresses the loader puts in. Rows are neighbours among sorted relocations: `first` is the
 * index's first. */
static uint64_t relocated_entry(const struct pinw_goelf *g, uint64_t first, uint64_t i)
{
	Elf64_Rela r;

	if (first + i >= g->relocation_count || !read_relocation(g, first + i, &r) ||
	    r.r_offset != row_address(g, i))
		return 0;
	return (uint64_t)r.r_addend;
}

static bool find_relocated(const struct pinw_goelf *g, uint64_t address, uint64_t *ret_i, uint64_t *ret_entry)
{
	uint64_t low = 0, high = g->table.count, first = first_relocation(g, row_address(g, 0));

	if (address < relocated_entry(g, first, 0) || address >= relocated_entry(g, first, high))
		return false;
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		if (relocated_entry(g, first, middle) <= address)
			low = middle;
		else
			high = middle;
	}
	*ret_i = low;
	*ret_entry = relocated_entry(g, first, low);
	return *ret_entry != 0;
}

bool pinw_goelf_find(const struct pinw_goelf *g, uint64_t address, uint64_t *ret_i, uint64_t *ret_entry)
{
	if (g->in_relocations)
		return find_relocated(g, address, ret_i, ret_entry);
	if (!pinw_pclntab_find(&g->table, address, ret_i))
		return false;
	*ret_entry = pinw_pclntab_entry(&g->table, *ret_i);
	return true;
}

/* ---- inlined calls --------------------------------------------------------------------------------------- */

bool pinw_goelf_inlined(struct pinw_goelf *g, uint64_t i, uint64_t distance, struct pinw_pclntab_call *ret)
{
	struct file f = {.bytes = g->file, .size = g->bytes};
	const unsigned *words;
	uint64_t offset;

	if (g->has_no_module || !pinw_pclntab_inlined(&g->table, i, distance, &offset) || !read_file(&f))
		return false;
	if (!g->module)
		g->has_no_module = !find_module(&f, g);
	if (!g->module)
		return false;
	unsigned places = pinw_pclntab_places(&g->table, &words);
	for (unsigned w = 0; w < places; w++) {
		uint64_t base = word_at(&f, g, g->module + words[w] * UINT64_C(8)), there;
		const uint8_t *at = base ? loaded_at(&f, base + offset, &there) : NULL;

		if (at && pinw_pclntab_call(&g->table, i, at, there, ret))
			return true;
	}
	return false;
}
