/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "preload/elfsym.h"
#include "tests/elfsym_rig.h"
#include "tests/rig.h"

TestSuite(elfsym, .fini = pinw_rig_done);

/* ---- what it finds ------------------------------------------------------------------------ */

static __attribute__((noinline, used)) int a_static_function(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x * 3;
}

static uint64_t bias_of_this_program(void)
{
	struct link_map *map = NULL;
	void *self = dlopen(NULL, RTLD_NOW);

	cr_assert_eq(dlinfo(self, RTLD_DI_LINKMAP, &map), 0);
	return map->l_addr;
}

Test(elfsym, names_a_function_of_this_program)
{
	uint64_t address = (uint64_t)(uintptr_t)a_static_function - bias_of_this_program(), offset = 0;
	char name[64];

	for (uint64_t at = 0; at < 3; at++) {
		cr_assert_eq(pinw_elfsym_name("/proc/self/exe", address + at, name, sizeof(name), &offset),
		             0);
		cr_expect_str_eq(name, "a_static_function");
		cr_expect_eq(offset, at);
	}
}

Test(elfsym, names_a_function_of_a_library)
{
	char name[64];
	uint64_t offset;

	load_library();
	cr_assert_eq(
	    pinw_elfsym_name(pinw_rig_host_path("libhost"), known_offset + 1, name, sizeof(name), &offset),
	    0);
	cr_expect_str_eq(name, "host_call");
	cr_expect_eq(offset, 1);
}

Test(elfsym, uses_exported_symbols_of_a_stripped_library)
{
	char name[64];
	uint64_t offset;

	load_library();
	cr_assert_eq(retype_sections(SHT_SYMTAB, SHT_PROGBITS), 1);
	cr_assert_eq(
	    pinw_elfsym_name(write_case(library, library_bytes), known_offset, name, sizeof(name), &offset),
	    0);
	cr_expect_str_eq(name, "host_call");
	cr_assert_eq(retype_sections(SHT_DYNSYM, SHT_PROGBITS), 1);
	cr_expect_eq(look_up(write_case(library, library_bytes), known_offset), -ENOENT);
}

Test(elfsym, cuts_names_to_the_buffer)
{
	char name[16];
	uint64_t offset;

	load_library();
	for (size_t size = 1; size <= sizeof(name); size++) {
		memset(name, 'x', sizeof(name));
		cr_assert_eq(
		    pinw_elfsym_name(pinw_rig_host_path("libhost"), known_offset, name, size, &offset), 0);
		cr_assert_lt(strlen(name), size);
		cr_assert_eq(strncmp(name, "host_call", strlen(name)), 0);
	}
}

Test(elfsym, names_nothing_where_no_function_is)
{
	load_library();
	const char *path = pinw_rig_host_path("libhost");

	cr_expect_eq(look_up(path, 0), -ENOENT);
	cr_expect_eq(look_up(path, library_bytes), -ENOENT);
	cr_expect_eq(look_up(path, UINT64_MAX), -ENOENT);
}

Test(elfsym, keeps_no_descriptor_and_no_mapping)
{
	unsigned before = pinw_rig_descriptors();

	load_library();
	for (unsigned i = 0; i < 100; i++)
		look_up(pinw_rig_host_path("libhost"), known_offset);
	cr_expect_eq(pinw_rig_descriptors(), before);
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned mapped = 0;
	while (fgets(line, sizeof(line), maps))
		mapped += strstr(line, "/libhost.so") != NULL;
	fclose(maps);
	cr_expect_lt(mapped, 10, "only what the loader mapped");
}

/* ---- what is no object ----------------------------------------------------------------------- */

Test(elfsym, refuses_what_is_no_file)
{
	const char *fifo = pinw_rig_path("fifo");

	cr_expect_eq(look_up(pinw_rig_dir(), 0), -EINVAL);
	cr_expect_eq(look_up(pinw_rig_path("missing"), 0), -ENOENT);
	cr_expect_eq(look_up("/dev/zero", 0), -EINVAL);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	cr_expect_eq(look_up(fifo, 0), -EINVAL, "and without waiting for a writer");
}

Test(elfsym, refuses_what_is_no_elf_file)
{
	unsigned char bytes[4096];

	cr_expect_lt(look_up(write_case("", 0), 0), 0);
	memset(bytes, 0xff, sizeof(bytes));
	cr_expect_eq(look_up(write_case(bytes, sizeof(bytes)), 0), -ENOENT);
	for (unsigned i = 0; i < SELFMAG; i++)
		bytes[i] = (unsigned char)ELFMAG[i];
	for (size_t size = 1; size <= sizeof(bytes); size += 63)
		cr_expect_eq(look_up(write_case(bytes, size), 0), -ENOENT);
}

/* ---- damage -------------------------------------------------------------------------------------- */

Test(elfsym, survives_a_cut_at_any_place)
{
	load_library();
	for (size_t size = 0; size < library_bytes; size += size < 256 ? 1 : 97)
		look_up(write_case(library, size), known_offset);
	cr_expect_eq(look_up(write_case(library, library_bytes), known_offset), 0);
}

/* Changes one place, looks up, changes it back. */
static void with_byte(size_t at, unsigned char value)
{
	unsigned char was = library[at];

	library[at] = value;
	look_up(write_case(library, library_bytes), known_offset);
	library[at] = was;
}

Test(elfsym, survives_any_bit_of_its_headers)
{
	load_library();
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)library;
	size_t sections = ehdr->e_shoff, end = sections + (size_t)ehdr->e_shnum * sizeof(Elf64_Shdr);

	cr_assert_leq(end, library_bytes);
	for (size_t at = 0; at < sizeof(Elf64_Ehdr); at++)
		for (unsigned bit = 0; bit < 8; bit++)
			with_byte(at, (unsigned char)(library[at] ^ 1u << bit));
	for (size_t at = sections; at < end; at++) {
		with_byte(at, (unsigned char)(library[at] ^ 1u << at % 8));
		with_byte(at, 0xff);
		with_byte(at, 0);
	}
}

Test(elfsym, survives_random_damage)
{
	unsigned seed = 1;

	load_library();
	unsigned char *whole = malloc(library_bytes);
	cr_assert_not_null(whole);
	memcpy(whole, library, library_bytes);
	for (unsigned round = 0; round < 1500; round++) {
		for (unsigned i = 0; i < 1u << round % 10; i++)
			library[(size_t)rand_r(&seed) % library_bytes] = (unsigned char)rand_r(&seed);
		memcpy(library, whole, round % 2 ? EI_NIDENT : 0); /* else most are no ELF file any more */
		look_up(write_case(library, library_bytes), known_offset);
		memcpy(library, whole, library_bytes);
	}
	free(whole);
}

/* ---- lies: each in a file of a header, a symbol table and its strings ------------------------------ */

struct small_elf {
	Elf64_Ehdr ehdr;
	Elf64_Shdr sections[3]; /* none, symbols, strings */
	Elf64_Sym symbols[2];
	char strings[16];
};

static struct small_elf small(void)
{
	struct small_elf e = {
	    .ehdr = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
	             .e_shoff = offsetof(struct small_elf, sections),
	             .e_shentsize = sizeof(Elf64_Shdr),
	             .e_shnum = 3},
	    .sections = {{.sh_type = SHT_NULL},
	                 {.sh_type = SHT_SYMTAB,
	                  .sh_offset = offsetof(struct small_elf, symbols),
	                  .sh_size = sizeof(e.symbols),
	                  .sh_link = 2},
	                 {.sh_type = SHT_STRTAB,
	                  .sh_offset = offsetof(struct small_elf, strings),
	                  .sh_size = 16}},
	    .symbols = {{.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
	                 .st_shndx = 1,
	                 .st_name = 1,
	                 .st_value = 0x100,
	                 .st_size = 0x10}},
	    .strings = "\0right",
	};

	return e;
}

Test(elfsym, reads_the_small_file_the_lies_are_made_of)
{
	struct small_elf e = small();

	cr_expect_eq(look_up(write_case(&e, sizeof(e)), 0x100), 0);
	cr_expect_eq(look_up(write_case(&e, sizeof(e)), 0x10f), 0);
	cr_expect_eq(look_up(write_case(&e, sizeof(e)), 0x110), -ENOENT);
	cr_expect_eq(look_up(write_case(&e, sizeof(e)), 0xff), -ENOENT);
}

Test(elfsym, believes_no_offset_size_or_index)
{
	static const uint64_t lies[] = {
	    1,         7,          4095,           1 << 20,         UINT32_MAX,
	    INT64_MAX, UINT64_MAX, UINT64_MAX - 7, UINT64_MAX / 24, UINT64_MAX / 64};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct small_elf cases[7];

		for (unsigned c = 0; c < 7; c++)
			cases[c] = small();
		cases[0].ehdr.e_shoff = lies[i];
		cases[1].ehdr.e_shnum = (uint16_t)(lies[i] | 8);
		cases[2].sections[1].sh_offset = lies[i];
		cases[3].sections[1].sh_link = (uint32_t)(lies[i] | 3);
		cases[4].sections[2].sh_offset = lies[i] | 4096;
		cases[5].sections[2].sh_size = lies[i] | 4096;
		cases[6].symbols[0].st_name = (uint32_t)(lies[i] | 16);
		for (unsigned c = 0; c < 7; c++)
			cr_expect_eq(look_up(write_case(&cases[c], sizeof(cases[c])), 0x100), -ENOENT,
			             "lie %zu, case %u", i, c);
		struct small_elf longer = small();
		longer.sections[1].sh_size = lies[i]; /* more symbols than there are, or fewer */
		look_up(write_case(&longer, sizeof(longer)), 0x100);
	}
}

/* A name without an end is cut where its table ends. */
Test(elfsym, ends_a_name_with_its_table)
{
	struct small_elf e = small();
	char name[64];
	uint64_t offset;

	memset(e.strings, 'n', sizeof(e.strings));
	e.symbols[0].st_name = 10;
	cr_assert_eq(pinw_elfsym_name(write_case(&e, sizeof(e)), 0x105, name, sizeof(name), &offset), 0);
	cr_expect_str_eq(name, "nnnnnn");
	cr_expect_eq(offset, 5);
}

/* Compilers give functions local names of their own beside the one in the source. */
Test(elfsym, prefers_the_global_one_of_two_names)
{
	struct small_elf e = small();
	char name[16];
	uint64_t offset;

	memcpy(e.strings, "\0right\0alias", 13);
	for (unsigned global = 0; global < 2; global++) {
		for (unsigned i = 0; i < 2; i++) {
			e.symbols[i] = small().symbols[0];
			e.symbols[i].st_info = ELF64_ST_INFO(i == global ? STB_GLOBAL : STB_LOCAL, STT_FUNC);
			e.symbols[i].st_name = i == global ? 1 : 7;
		}
		cr_assert_eq(pinw_elfsym_name(write_case(&e, sizeof(e)), 0x101, name, sizeof(name), &offset),
		             0);
		cr_expect_str_eq(name, "right");
		cr_expect_eq(offset, 1);
	}
	e.symbols[1].st_value = 0x101; /* nearer, if local */
	e.symbols[1].st_name = 7;
	cr_assert_eq(pinw_elfsym_name(write_case(&e, sizeof(e)), 0x101, name, sizeof(name), &offset), 0);
	cr_expect_str_eq(name, "alias");
}

/* Symbols that wrap around the address space, have no size or are no functions cover nothing. */
Test(elfsym, takes_only_functions_that_cover_the_address)
{
	struct small_elf e = small();

	e.symbols[1] =
	    (Elf64_Sym){.st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC), .st_shndx = 1, .st_name = 3};
	e.symbols[1].st_value = UINT64_MAX - 4;
	e.symbols[1].st_size = UINT64_MAX;
	cr_expect_eq(look_up(write_case(&e, sizeof(e)), 0x200), -ENOENT);
	e.symbols[0].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
	cr_expect_eq(look_up(write_case(&e, sizeof(e)), 0x100), -ENOENT);
	e = small();
	e.symbols[0].st_shndx = SHN_UNDEF;
	cr_expect_eq(look_up(write_case(&e, sizeof(e)), 0x100), -ENOENT);
	e = small();
	e.symbols[0].st_size = 0;
	cr_expect_eq(look_up(write_case(&e, sizeof(e)), 0x100), -ENOENT);
}

/* ---- many addresses, every name ------------------------------------------------------------------------ */

static struct heard ask_one(const char *path, uint64_t address)
{
	struct pinw_elfsym_object object = {.path = path};
	struct pinw_elfsym_ask ask = {.address = address, .key = 7};
	struct heard heard = {.count = 0};

	cr_assert_eq(pinw_elfsym_each(&object, &ask, 1, hear, &heard), 0);
	cr_assert_eq(ask.found, heard.count != 0);
	return heard;
}

static __attribute__((noinline, used)) int aliased_function(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x * 5;
}

int another_name(int x) __attribute__((alias("aliased_function")));

Test(elfsym, gives_every_name_of_a_function)
{
	struct heard heard =
	    ask_one("/proc/self/exe", (uint64_t)(uintptr_t)aliased_function - bias_of_this_program() + 1);

	cr_expect_eq(times_heard(&heard, 7, "aliased_function"), 1);
	cr_expect_eq(times_heard(&heard, 7, "another_name"), 1);
	cr_expect_eq(heard.count, 2);
}

/* As a stack brings them: unsorted, several in one function, some in none. */
Test(elfsym, answers_many_addresses_in_one_reading)
{
	static const char *const names[] = {"host_twins", "host_call", "host_recurse", "host_left",
	                                    "host_right"};
	struct pinw_elfsym_object object = {.path = pinw_rig_host_path("libhost")};
	struct pinw_elfsym_ask asks[11];
	struct heard heard = {.count = 0};
	struct link_map *map = NULL;
	void *handle = dlopen(object.path, RTLD_NOW);

	cr_assert_eq(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	for (uint32_t i = 0; i < 10; i++) {
		uintptr_t function = (uintptr_t)dlsym(handle, names[i / 2]);

		asks[i] = (struct pinw_elfsym_ask){.address = function - map->l_addr + i % 2, .key = i};
	}
	asks[10] = (struct pinw_elfsym_ask){.address = 1, .key = 10};
	struct pinw_elfsym_ask in_none[2] = {asks[10], {.address = UINT64_MAX, .key = 11}};
	cr_assert_eq(pinw_elfsym_each(&object, asks, 11, hear, &heard), 0);
	for (uint32_t i = 0; i < 10; i++)
		cr_expect_geq(times_heard(&heard, i, names[i / 2]), 1, "ask %u", i);
	for (unsigned i = 0; i < heard.count; i++)
		cr_expect_eq(
		    strncmp(heard.names[i], names[heard.keys[i] / 2], strlen(names[heard.keys[i] / 2])), 0,
		    "%s", heard.names[i]); /* the compiler gives recursive ones a ".localalias" */
	for (unsigned i = 0; i < 11; i++)
		cr_expect_eq(asks[i].found, asks[i].key != 10);
	heard.count = 0;
	cr_assert_eq(pinw_elfsym_each(&object, in_none, 2, hear, &heard), 0);
	cr_assert_eq(pinw_elfsym_each(&object, in_none, 0, hear, &heard), 0);
	cr_expect_eq(heard.count, 0);
}

/* A file with both tables: .symtab may know a nearer start, .dynsym may know more names. */
struct two_tables {
	Elf64_Ehdr ehdr;
	Elf64_Shdr sections[4]; /* none, symbols, dynamic symbols, strings */
	Elf64_Sym symbols[1], dynamic[2];
	char strings[64];
};

static struct two_tables both(void)
{
	struct two_tables e = {
	    .ehdr = small().ehdr,
	    .sections = {{.sh_type = SHT_NULL},
	                 {.sh_type = SHT_SYMTAB,
	                  .sh_offset = offsetof(struct two_tables, symbols),
	                  .sh_size = sizeof(e.symbols),
	                  .sh_link = 3},
	                 {.sh_type = SHT_DYNSYM,
	                  .sh_offset = offsetof(struct two_tables, dynamic),
	                  .sh_size = sizeof(e.dynamic),
	                  .sh_link = 3},
	                 {.sh_type = SHT_STRTAB,
	                  .sh_offset = offsetof(struct two_tables, strings),
	                  .sh_size = sizeof(e.strings)}},
	    .symbols = {small().symbols[0]},
	    .dynamic = {small().symbols[0], small().symbols[0]},
	    .strings = "\0inner\0public\0old@V1\0new@@V2\0@odd",
	};

	e.ehdr.e_shoff = offsetof(struct two_tables, sections);
	e.ehdr.e_shnum = 4;
	e.dynamic[0].st_name = 7;
	e.dynamic[1].st_value = 0x90; /* also covers 0x100, but starts earlier */
	e.dynamic[1].st_size = 0x90;
	e.dynamic[1].st_name = 14;
	return e;
}

Test(elfsym, takes_names_from_both_tables)
{
	struct two_tables e = both();
	struct heard heard = ask_one(write_case(&e, sizeof(e)), 0x105);

	cr_expect_eq(heard.count, 2);
	cr_expect_eq(times_heard(&heard, 7, "inner"), 1);
	cr_expect_eq(times_heard(&heard, 7, "public"), 1);
	cr_expect_eq(heard.starts[0], 0x100);
	e.symbols[0].st_value = 0x80; /* covers it no more: now the exported one is nearest */
	heard = ask_one(write_case(&e, sizeof(e)), 0x105);
	cr_expect_eq(heard.count, 1);
	cr_expect_eq(times_heard(&heard, 7, "public"), 1);
}

/* Linkers append them; nobody writes them in a policy, and a log should show what a policy says. */
Test(elfsym, leaves_versions_out_of_names)
{
	struct two_tables e = both();

	e.dynamic[0].st_name = 21;
	e.symbols[0].st_name = 14;
	struct heard heard = ask_one(write_case(&e, sizeof(e)), 0x100);
	cr_expect_eq(times_heard(&heard, 7, "old"), 1);
	cr_expect_eq(times_heard(&heard, 7, "new"), 1);
	e.symbols[0].st_name = 29;
	heard = ask_one(write_case(&e, sizeof(e)), 0x100);
	cr_expect_eq(times_heard(&heard, 7, "@odd"), 1, "no name is empty");
}
