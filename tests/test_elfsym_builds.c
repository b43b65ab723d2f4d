/* SPDX-License-Identifier: MIT
 *
 * Names of the build that a trace is of, and of no other; from its debug file where it is stripped.
 */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "preload/elfsym.h"
#include "tests/elfsym_rig.h"
#include "tests/rig.h"

TestSuite(elfsym_builds, .fini = pinw_rig_done);

/* The build id in the loaded case. */
static uint8_t *case_build_id(unsigned *ret_len)
{
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)library;
	const Elf64_Shdr *sections = (const Elf64_Shdr *)(library + ehdr->e_shoff);

	for (unsigned i = 0; i < ehdr->e_shnum; i++) {
		uint8_t id[PINW_BUILD_ID_MAX];
		unsigned char *notes = library + sections[i].sh_offset;

		if (sections[i].sh_type != SHT_NOTE)
			continue;
		*ret_len = pinw_elfsym_build_id((const char *)notes, sections[i].sh_size, id);
		for (size_t at = 0; *ret_len && at + *ret_len <= sections[i].sh_size; at++)
			if (memcmp(notes + at, id, *ret_len) == 0)
				return notes + at;
	}
	cr_assert_fail("libhost.so has no build id");
	return NULL;
}

Test(elfsym_builds, refuses_a_file_of_another_build)
{
	struct pinw_elfsym_object object = {.path = pinw_rig_host_path("libhost")};
	struct heard heard = {.count = 0};

	load_library();
	struct pinw_elfsym_ask ask = {.address = known_offset};
	object.build_id = case_build_id(&object.build_id_len);
	cr_assert_eq(object.build_id_len, 20);
	cr_expect_eq(pinw_elfsym_each(&object, &ask, 1, hear, &heard), 0);
	cr_expect_eq(times_heard(&heard, 0, "host_call"), 2, "in both tables");
	heard.count = 0;
	case_build_id(&object.build_id_len)[19] ^= 1;
	cr_expect_eq(pinw_elfsym_each(&object, &ask, 1, hear, &heard), -ESTALE);
	object.build_id_len = 19;
	cr_expect_eq(pinw_elfsym_each(&object, &ask, 1, hear, &heard), -ESTALE);
	cr_expect_eq(heard.count, 0);
}

/* Makes the case's debug file in a tree of our own, and strips the case. Returns its path. */
static const char *split(void)
{
	char folder[128], command[256];
	static char path[256];
	unsigned len;
	const uint8_t *id = case_build_id(&len);

	snprintf(folder, sizeof(folder), "%s/.build-id/%02x", pinw_rig_dir(), id[0]);
	snprintf(command, sizeof(command), "mkdir -p '%s'", folder);
	cr_assert_eq(system(command), 0);
	int at = snprintf(path, sizeof(path), "%s/", folder);
	for (unsigned i = 1; i < len; i++)
		at += snprintf(path + at, sizeof(path) - (size_t)at, "%02x", id[i]);
	snprintf(path + at, sizeof(path) - (size_t)at, ".debug");
	FILE *out = fopen(path, "wb");
	cr_assert_not_null(out);
	cr_assert_eq(fwrite(library, 1, library_bytes, out), library_bytes);
	cr_assert_eq(fclose(out), 0);
	pinw_elfsym_debug_root = pinw_rig_dir();
	cr_assert_eq(retype_sections(SHT_SYMTAB, SHT_PROGBITS), 1);
	return path;
}

/* A static function of libhost's, which only the whole symbol table names. */
static uint64_t hidden_function(void)
{
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)library;
	const Elf64_Shdr *sections = (const Elf64_Shdr *)(library + ehdr->e_shoff);

	for (unsigned i = 0; i < ehdr->e_shnum; i++) {
		const Elf64_Sym *symbols = (const Elf64_Sym *)(library + sections[i].sh_offset);
		const char *text = (const char *)library + sections[sections[i].sh_link].sh_offset;

		for (size_t s = 0;
		     sections[i].sh_type == SHT_SYMTAB && s < sections[i].sh_size / sizeof(*symbols); s++)
			if (strncmp(text + symbols[s].st_name, "turn_left", 9) == 0)
				return symbols[s].st_value;
	}
	cr_assert_fail("libhost.so has no turn_left");
	return 0;
}

Test(elfsym_builds, takes_names_from_the_debug_file_of_the_same_build)
{
	char name[64];
	uint64_t offset;
	unsigned len;

	load_library();
	uint64_t address = hidden_function();
	const char *path = split();
	cr_assert_eq(
	    pinw_elfsym_name(write_case(library, library_bytes), address, name, sizeof(name), &offset), 0);
	cr_expect_eq(strncmp(name, "turn_left", 9), 0);
	cr_expect_eq(look_up(write_case(library, library_bytes), known_offset), 0, "an exported one, too");
	/* The same name, but of another build. */
	case_build_id(&len)[7] ^= 1;
	char other[256];
	int at = snprintf(other, sizeof(other), "%.*s/", (int)(strrchr(path, '/') - path), path);
	for (unsigned i = 1; i < len; i++)
		at += snprintf(other + at, sizeof(other) - (size_t)at, "%02x", case_build_id(&len)[i]);
	snprintf(other + at, sizeof(other) - (size_t)at, ".debug");
	cr_assert_eq(rename(path, other), 0);
	cr_expect_eq(look_up(write_case(library, library_bytes), address), -ENOENT);
}

/* Debug files are as hostile as any. */
Test(elfsym_builds, survives_a_damaged_debug_file)
{
	unsigned seed = 2, found = 0;

	load_library();
	uint64_t address = hidden_function();
	const char *path = split();
	unsigned char *whole = malloc(library_bytes);
	cr_assert_not_null(whole);
	for (unsigned round = 0; round < 300; round++) {
		memcpy(whole, library, library_bytes);
		Elf64_Ehdr *ehdr = (Elf64_Ehdr *)whole;
		Elf64_Shdr *sections = (Elf64_Shdr *)(whole + ehdr->e_shoff);
		cr_assert_gt(ehdr->e_shnum, 0);
		for (unsigned i = 0; i < ehdr->e_shnum; i++)
			if (sections[i].sh_type == SHT_PROGBITS &&
			    sections[i].sh_entsize == sizeof(Elf64_Sym))
				sections[i].sh_type = SHT_SYMTAB;
		for (unsigned i = 0; i < round % 8; i++) {
			size_t at =
			    ehdr->e_shoff + (size_t)rand_r(&seed) % (ehdr->e_shnum * sizeof(*sections));

			whole[at] = (unsigned char)rand_r(&seed);
		}
		FILE *out = fopen(path, "wb");
		cr_assert_not_null(out);
		fwrite(whole, 1, round % 5 ? library_bytes : (size_t)rand_r(&seed) % library_bytes, out);
		cr_assert_eq(fclose(out), 0);
		found += look_up(write_case(library, library_bytes), address) == 0;
	}
	cr_expect_gt(found, 10, "some were whole enough");
	cr_expect_lt(found, 300);
	free(whole);
}

/* Reads notes that end where their page does. */
static unsigned build_id_at_the_edge(const void *notes, size_t bytes)
{
	uint8_t id[PINW_BUILD_ID_MAX + 1] = {[PINW_BUILD_ID_MAX] = 0xaa};
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(pages, MAP_FAILED);
	cr_assert_eq(mprotect(pages + 4096, 4096, PROT_NONE), 0);
	memcpy(pages + 4096 - bytes, notes, bytes);
	unsigned len = pinw_elfsym_build_id(pages + 4096 - bytes, bytes, id);
	cr_assert_leq(len, PINW_BUILD_ID_MAX);
	cr_assert_eq(id[PINW_BUILD_ID_MAX], 0xaa);
	cr_assert_eq(munmap(pages, 8192), 0);
	return len;
}

Test(elfsym_builds, believes_no_length_in_a_note)
{
	static const uint32_t lies[] = {
	    1, 3, 4, 5, 20, 21, 100, INT32_MAX, UINT32_MAX - 4, UINT32_MAX - 2, UINT32_MAX};
	struct {
		Elf64_Nhdr other;
		char other_name[4], other_text[8];
		Elf64_Nhdr note;
		char name[4];
		uint8_t id[40];
	} good = {.other = {4, 8, 1}, .other_name = "GNU", .note = {4, 20, NT_GNU_BUILD_ID}, .name = "GNU"},
	  bad;

	cr_expect_eq(build_id_at_the_edge(&good, offsetof(__typeof__(good), id) + 20), 20);
	cr_expect_eq(build_id_at_the_edge(&good, offsetof(__typeof__(good), id) + 19), 0, "cut");
	cr_expect_eq(build_id_at_the_edge(&good, 0), 0);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		for (unsigned field = 0; field < 4; field++) {
			bad = good;
			*(field == 0   ? &bad.other.n_namesz
			  : field == 1 ? &bad.other.n_descsz
			  : field == 2 ? &bad.note.n_namesz
			               : &bad.note.n_descsz) = lies[i];
			for (size_t bytes = 0; bytes <= sizeof(bad); bytes++)
				build_id_at_the_edge(&bad, bytes);
		}
	good.note.n_descsz = 40;
	cr_expect_eq(build_id_at_the_edge(&good, sizeof(good)), PINW_BUILD_ID_MAX, "cut to what is kept");
}
