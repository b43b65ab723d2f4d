/* SPDX-License-Identifier: MIT */
#include "tests/elfsym_rig.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/rig.h"

unsigned char *library;
size_t library_bytes;
uint64_t known_offset;

void load_library(void)
{
	FILE *in = fopen(pinw_rig_host_path("libhost"), "rb");
	struct link_map *map = NULL;
	void *call = pinw_rig_host("libhost", "host_call"),
	     *handle = dlopen(pinw_rig_host_path("libhost"), RTLD_NOW);

	library = malloc(1 << 20);
	cr_assert(in && library && handle);
	library_bytes = fread(library, 1, 1 << 20, in);
	fclose(in);
	cr_assert_eq(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	known_offset = (uint64_t)(uintptr_t)call - map->l_addr;
}

const char *write_case(const void *bytes, size_t size)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("case", MFD_CLOEXEC);
	cr_assert_geq(fd, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	cr_assert_eq(pwrite(fd, bytes, size, 0), (ssize_t)size);
	return path;
}

int look_up(const char *path, uint64_t address)
{
	char name[48];
	uint64_t offset = 42;

	memset(name, 'x', sizeof(name));
	int r = pinw_elfsym_name(path, address, name, sizeof(name) - 8, &offset);
	cr_assert_leq(r, 0);
	for (size_t i = sizeof(name) - 8; i < sizeof(name); i++)
		cr_assert_eq(name[i], 'x', "written past the end");
	if (r == 0) {
		cr_assert_not_null(memchr(name, '\0', sizeof(name) - 8));
	} else {
		cr_assert_eq(name[0], 'x', "untouched on failure");
		cr_assert_eq(offset, 42);
	}
	return r;
}

unsigned retype_sections(uint32_t from, uint32_t to)
{
	Elf64_Ehdr *ehdr = (Elf64_Ehdr *)library;
	Elf64_Shdr *sections = (Elf64_Shdr *)(library + ehdr->e_shoff);
	unsigned found = 0;

	for (unsigned i = 0; i < ehdr->e_shnum; i++)
		if (sections[i].sh_type == from) {
			sections[i].sh_type = to;
			found++;
		}
	return found;
}

void hear(void *arg, const struct pinw_elfsym_ask *ask, const char *name, size_t len, bool is_global)
{
	struct heard *heard = arg;

	(void)is_global;
	cr_assert_lt(heard->count, 64);
	cr_assert(ask->found);
	snprintf(heard->names[heard->count], sizeof(heard->names[0]), "%.*s", (int)len, name);
	heard->keys[heard->count] = ask->key;
	heard->starts[heard->count++] = ask->start;
}

unsigned times_heard(const struct heard *heard, uint32_t key, const char *name)
{
	unsigned times = 0;

	for (unsigned i = 0; i < heard->count; i++)
		times += heard->keys[i] == key && strcmp(heard->names[i], name) == 0;
	return times;
}
