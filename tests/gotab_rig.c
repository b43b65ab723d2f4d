/* SPDX-License-Identifier: MIT */
#include "tests/gotab_rig.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <string.h>
#include <sys/mman.h>

const uint32_t go_starts[4] = {0, 0x100, 0x180, 0x200};
const char *const go_names[3] = {NAME_0, NAME_1, NAME_2};
const uint32_t go_magics[MAGICS] = {0xfffffffb, 0xfffffffa, 0xfffffff0, 0xfffffff1};

/* ---- making tables --------------------------------------------------------------------------- */

static size_t put(struct bytes *b, const void *data, size_t size)
{
	size_t at = b->size;

	cr_assert_leq(at + size, sizeof(b->at));
	memcpy(b->at + at, data, size);
	b->size += size;
	return at;
}

static size_t put32(struct bytes *b, uint32_t value)
{
	return put(b, &value, sizeof(value));
}

static size_t put64(struct bytes *b, uint64_t value)
{
	return put(b, &value, sizeof(value));
}

static size_t put_text(struct bytes *b, const char *text)
{
	return put(b, text, strlen(text) + 1);
}

static void align(struct bytes *b, size_t to)
{
	while (b->size % to)
		put(b, "", 1);
}

static void set32(struct bytes *b, size_t at, uint64_t value)
{
	memcpy(b->at + at, &value, 4);
}

void set64(struct bytes *b, size_t at, uint64_t value)
{
	memcpy(b->at + at, &value, 8);
}

/* A value along pinHandler: from the start to 0x10, to 0x40, to 0x80. */
static size_t put_steps(struct bytes *b, int first, int second, int third)
{
	const int values[] = {first, second, third};
	const unsigned lengths[] = {0x10, 0x30, 0x40};
	size_t at = b->size;
	int value = -1;

	for (unsigned i = 0; i < 3; i++) {
		if (values[i] == value) { /* a step of nothing would end it */
			b->at[b->size - 1] = (unsigned char)(b->at[b->size - 1] + lengths[i]);
			continue;
		}
		unsigned step = (unsigned)(values[i] - value) << 1;
		unsigned char pair[3] = {0};

		if (values[i] < value)
			step = ~step; /* zigzag: the sign is the lowest bit */
		value = values[i];
		if (step >= 128) { /* in two bytes */
			pair[0] = (unsigned char)(step | 0x80);
			put(b, pair, 1);
			step >>= 7;
		}
		pair[0] = (unsigned char)step;
		pair[1] = (unsigned char)lengths[i];
		put(b, pair, 2);
	}
	put(b, "", 1);
	return at;
}

/* Describes function `i` at the end of the table. `steps` of pinHandler: its files, lines and rows of inlined calls. */
static void put_function(struct bytes *b, unsigned i, uint64_t name, const size_t steps[3])
{
	uint32_t magic;

	memcpy(&magic, b->at, sizeof(magic));
	bool is_18 = magic == 0xfffffff0 || magic == 0xfffffff1, has_calls = is_18 && i == 1;
	uint64_t address = is_18 ? go_starts[i] : TEXT + go_starts[i];
	put(b, &address, is_18 ? 4 : 8);
	put32(b, (uint32_t)name);
	put32(b, 0); /* arguments */
	put32(b, 0); /* deferreturn */
	put32(b, 0); /* pcsp */
	put32(b, i == 1 ? (uint32_t)steps[0] : 0);
	put32(b, i == 1 ? (uint32_t)steps[1] : 0);
	put32(b, has_calls ? 3 : 0); /* more tables of steps */
	if (magic != 0xfffffffb)
		put32(b, 1); /* unit */
	if (magic == 0xfffffff1)
		put32(b, 7); /* the line it starts at */
	put32(b, has_calls ? 4u << 24 : 0); /* kind, flags; tables of other things */
	if (!has_calls)
		return;
	const uint32_t tables[] = {0, 0, (uint32_t)steps[2], UINT32_MAX, UINT32_MAX, UINT32_MAX, CALLS};
	put(b, tables, sizeof(tables));
}

/* As Go 1.2 to 1.15: everything counts from the header. */
static void make_old(struct bytes *b, struct parts *p)
{
	size_t name[3], files, pin_go, main_go;

	put64(b, 3);
	p->index = b->size;
	p->row = 16;
	for (unsigned i = 0; i < 4; i++) {
		put64(b, TEXT + go_starts[i]);
		put64(b, 0);
	}
	files = b->size - 8; /* four bytes, after the end of the last function */
	for (unsigned i = 0; i < 3; i++)
		name[i] = put_text(b, go_names[i]);
	main_go = put_text(b, "/src/main.go");
	pin_go = put_text(b, "/src/pin.go");
	align(b, 4);
	set32(b, files, b->size);
	put32(b, 3);
	put32(b, (uint32_t)main_go);
	put32(b, (uint32_t)pin_go);
	size_t file = put_steps(b, 1, 1, 2), steps[3] = {file, put_steps(b, 112, 114, 9)};
	align(b, 8);
	for (unsigned i = 0; i < 3; i++) {
		p->function[i] = b->size;
		set64(b, p->index + 16 * i + 8, b->size);
		put_function(b, i, name[i], steps);
	}
}

/* As Go 1.16 and later: the header says where the parts are, and addresses count from its text start. */
static void make_new(struct bytes *b, bool is_18, struct parts *p)
{
	const uint64_t nothing = 0;
	size_t offsets, steps[3];

	put64(b, 3);
	put64(b, 2);
	if (is_18)
		put64(b, TEXT);
	offsets = b->size;
	for (unsigned i = 0; i < 5; i++)
		put64(b, 0);
	p->names = b->size;
	put_text(b, "");
	set64(b, offsets, p->names);
	for (unsigned i = 0; i < 3; i++)
		p->name[i] = put_text(b, go_names[i]) - p->names;
	align(b, 4);
	set64(b, offsets + 8, b->size); /* units: that of ours begins one on */
	put32(b, UINT32_MAX);
	put32(b, UINT32_MAX);
	put32(b, 0);
	put32(b, (uint32_t)sizeof("/src/main.go"));
	set64(b, offsets + 16, put_text(b, "/src/main.go"));
	put_text(b, "/src/pin.go");
	set64(b, offsets + 24, put(b, "", 1)); /* a table at offset 0 is none */
	size_t deltas = b->size - 1;
	steps[0] = put_steps(b, 1, 1, 2) - deltas;
	steps[1] = put_steps(b, 112, 114, 9) - deltas;
	steps[2] = put_steps(b, 1, 0, -1) - deltas;
	align(b, 8);
	set64(b, offsets + 32, b->size);
	p->index = b->size;
	p->row = is_18 ? 8 : 16;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t address = is_18 ? go_starts[i] : TEXT + go_starts[i];
		put(b, &address, p->row / 2);
		put(b, &nothing, p->row / 2);
	}
	for (unsigned i = 0; i < 3; i++) {
		p->function[i] = b->size;
		uint64_t offset = b->size - p->index;
		memcpy(b->at + p->index + i * p->row + p->row / 2, &offset, p->row / 2);
		put_function(b, i, p->name[i], steps);
	}
}

struct bytes make_go_table(uint32_t magic, struct parts *ret_parts)
{
	struct bytes b = {.size = 0};
	struct parts p = {0};

	put32(&b, magic);
	put(&b, "\0\0\1\10", 4);
	if (magic == 0xfffffffb)
		make_old(&b, &p);
	else
		make_new(&b, magic != 0xfffffffa, &p);
	if (ret_parts)
		*ret_parts = p;
	return b;
}

/* ---- making files -------------------------------------------------------------------------------- */

#define BASE 0x10000u /* where the file is loaded, but for its code at TEXT */
#define SEGMENTS 4u

struct file {
	struct bytes b;
	Elf64_Rela relocations[40];
	unsigned relocation_count;
	size_t table;
	struct parts parts;
};

/* The loader's work: the word at `at` becomes a hole and a relocation. */
static void make_hole(struct file *f, size_t at, uint64_t value)
{
	set64(&f->b, at, 0);
	f->relocations[f->relocation_count++] =
	    (Elf64_Rela){.r_offset = BASE + at, .r_info = R_X86_64_RELATIVE, .r_addend = (int64_t)value};
}

/* main.F inlined into pinHandler, and main.main into that. */
static void put_calls(struct file *f, uint32_t magic)
{
	const uint32_t name[] = {(uint32_t)f->parts.name[2], (uint32_t)f->parts.name[0]},
	               place[] = {0x50, 0x20};

	for (unsigned row = 0; row < 2; row++) {
		put32(&f->b, magic == 0xfffffff0 ? UINT32_MAX : 0);
		if (magic == 0xfffffff0)
			put64(&f->b, 0);
		put32(&f->b, name[row]);
		put32(&f->b, place[row]);
		if (magic == 0xfffffff1)
			put32(&f->b, 3);
	}
}

static void put_module(struct file *f, const struct kind *kind)
{
	uint64_t words[MODULE_WORDS] = {[0] = BASE + f->table, [1] = BASE + f->table + f->parts.names,
	                                [20] = TEXT,           [21] = TEXT + go_starts[3],
	                                [22] = TEXT,           [23] = TEXT + go_starts[3]};

	align(&f->b, 8);
	if (kind->calls)
		words[kind->calls] = BASE + f->b.size + sizeof(words) - CALLS;
	size_t at = put(&f->b, words, sizeof(words));
	for (unsigned i = 0; kind->module_hole && i < MODULE_WORDS; i++)
		if (words[i])
			make_hole(f, at + i * sizeof(words[0]), words[i]);
	if (kind->calls)
		put_calls(f, kind->magic);
}

static void put_section(struct file *f, const char *name)
{
	size_t len = strlen(name) + 1, at = put(&f->b, "", 1);

	put(&f->b, name, len);
	align(&f->b, 8);
	Elf64_Shdr sections[] = {
	    {.sh_type = SHT_NULL},
	    {.sh_type = SHT_PROGBITS,
	     .sh_name = 1,
	     .sh_addr = BASE + f->table,
	     .sh_offset = f->table,
	     .sh_size = at - f->table},
	    {.sh_type = SHT_STRTAB, .sh_offset = at, .sh_size = len + 1},
	};
	Elf64_Ehdr head;
	memcpy(&head, f->b.at, sizeof(head));
	head.e_shoff = put(&f->b, sections, sizeof(sections));
	head.e_shnum = 3;
	head.e_shstrndx = 2;
	memcpy(f->b.at, &head, sizeof(head));
}

static void put_segments(struct file *f, size_t note, size_t dynamic, bool has_note)
{
	const Elf64_Phdr segments[SEGMENTS] = {
	    {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = TEXT, .p_memsz = 0x1000},
	    {.p_type = PT_LOAD,
	     .p_flags = PF_R | PF_W,
	     .p_vaddr = BASE,
	     .p_filesz = f->b.size,
	     .p_memsz = f->b.size},
	    {.p_type = has_note ? PT_NOTE : PT_NULL, .p_offset = note, .p_filesz = 20},
	    {.p_type = PT_DYNAMIC, .p_offset = dynamic, .p_filesz = 3 * sizeof(Elf64_Dyn)},
	};

	memcpy(f->b.at + sizeof(Elf64_Ehdr), segments, sizeof(segments));
}

struct bytes make_go_file(const struct kind *kind)
{
	const Elf64_Ehdr head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
	                         .e_type = ET_DYN,
	                         .e_phoff = sizeof(head),
	                         .e_phentsize = sizeof(Elf64_Phdr),
	                         .e_phnum = SEGMENTS,
	                         .e_shentsize = sizeof(Elf64_Shdr)};
	const struct {
		Elf64_Nhdr head;
		char name[4], text[4];
	} note = {{4, 4, 4}, "Go\0", "id"};
	struct file f = {.relocation_count = 0};
	struct bytes table = make_go_table(kind->magic, &f.parts);

	put(&f.b, &head, sizeof(head));
	f.b.size += SEGMENTS * sizeof(Elf64_Phdr);
	size_t at_note = put(&f.b, &note, sizeof(note));
	align(&f.b, 32);
	f.table = put(&f.b, table.at, table.size);
	if (kind->header_hole)
		make_hole(&f, f.table + 24, TEXT);
	for (unsigned i = 0; kind->index_hole && i < 4; i++)
		make_hole(&f, f.table + f.parts.index + i * f.parts.row, TEXT + go_starts[i]);
	if (kind->no_text)
		set64(&f.b, f.table + 24, 0);
	if (kind->no_text || kind->calls)
		put_module(&f, kind);
	align(&f.b, 8);
	size_t relocations = put(&f.b, f.relocations, f.relocation_count * sizeof(f.relocations[0]));
	const Elf64_Dyn entries[] = {
	    {.d_tag = DT_RELA, .d_un.d_ptr = BASE + relocations},
	    {.d_tag = DT_RELASZ, .d_un.d_val = f.relocation_count * sizeof(f.relocations[0])},
	    {.d_tag = DT_NULL}};
	size_t dynamic = put(&f.b, entries, sizeof(entries));
	if (kind->section)
		put_section(&f, kind->section);
	put_segments(&f, at_note, dynamic, !kind->no_note);
	return f.b;
}

const struct kind go_kinds[KINDS] = {
    {.magic = 0xfffffffb, .section = ".gopclntab"},
    {.magic = 0xfffffffb},
    {.magic = 0xfffffffb, .index_hole = true},
    {.magic = 0xfffffffa, .section = ".data.rel.ro.gopclntab"},
    {.magic = 0xfffffffa},
    {.magic = 0xfffffffa, .index_hole = true},
    {.magic = 0xfffffff0, .section = ".gopclntab"},
    {.magic = 0xfffffff0, .header_hole = true},
    {.magic = 0xfffffff1},
    {.magic = 0xfffffff1, .section = ".data.rel.ro.gopclntab", .header_hole = true},
    {.magic = 0xfffffff1, .section = ".gopclntab", .no_text = true},
    {.magic = 0xfffffff1, .no_text = true},
    {.magic = 0xfffffff1, .section = ".gopclntab", .no_text = true, .module_hole = true},
    {.magic = 0xfffffff1, .no_text = true, .module_hole = true},
    {.magic = 0xfffffff0, .section = ".gopclntab", .calls = 38},
    {.magic = 0xfffffff1, .header_hole = true, .calls = 40},
    {.magic = 0xfffffff1, .no_text = true, .module_hole = true, .calls = 40},
    {.magic = 0xfffffff1, .section = ".gopclntab", .no_text = true, .calls = 43},
};

/* ---- reading them ---------------------------------------------------------------------- */

static unsigned char *pages; /* one, and one that cannot be read */

const unsigned char *at_edge(const void *bytes, size_t size)
{
	if (!pages) {
		pages = mmap(NULL, 2 * ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		cr_assert_neq(pages, MAP_FAILED);
		cr_assert_eq(mprotect(pages + ROOM, ROOM, PROT_NONE), 0);
	}
	cr_assert_leq(size, ROOM);
	memcpy(pages + ROOM - size, bytes, size);
	return pages + ROOM - size;
}

void read_go_table(const struct pinw_pclntab *t)
{
	for (uint64_t i = 0; i < 4; i++) {
		uint64_t found, address = pinw_pclntab_entry(t, i);
		size_t len;
		const char *name = pinw_pclntab_name(t, i, &len);

		cr_assert(!name || (name[len] == '\0' && strlen(name) == len));
		if (pinw_pclntab_find(t, address, &found))
			cr_assert_lt(found, t->count);
		for (uint64_t distance = 0; distance < 0x90; distance += 0x0f) {
			struct pinw_pclntab_place place = pinw_pclntab_place(t, i, distance);
			cr_assert(!place.file || strlen(place.file) == place.file_len);
		}
	}
}

void expect_place(const struct pinw_pclntab *t, uint64_t distance, const char *file, unsigned line)
{
	struct pinw_pclntab_place place = pinw_pclntab_place(t, 1, distance);

	cr_assert_not_null(place.file, "0x%lx", (unsigned long)distance);
	cr_expect_str_eq(place.file, file);
	cr_expect_eq(place.file_len, strlen(file));
	cr_expect_eq(place.line, line, "0x%lx: %u", (unsigned long)distance, place.line);
}
