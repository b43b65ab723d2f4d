/* SPDX-License-Identifier: MIT
 *
 * Objects that come and go: what was known of one is not taken for another that came to the same place.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preload/module.h"
#include "tests/site_rig.h"

TestSuite(site_objects, .init = make_hosts, .fini = pinw_rig_done);

/* The bytes of libhost.so's build id in a copy of it. */
static size_t find_build_id(const unsigned char *file, size_t size)
{
	for (size_t i = 0; i + 36 < size; i += 4) {
		const Elf64_Nhdr *note = (const void *)(file + i);

		if (note->n_namesz == 4 && note->n_descsz == 20 && note->n_type == NT_GNU_BUILD_ID &&
		    memcmp(file + i + sizeof(*note), "GNU", 4) == 0)
			return i + sizeof(*note) + 4;
	}
	cr_assert_fail("libhost.so has no build id");
	return 0;
}

/* Another build of libhost at `path`: its first byte of the build id is `mark`. */
static void install_build(const char *path, unsigned char mark)
{
	char new_path[256];
	unsigned char *file = malloc(1 << 20);
	FILE *in = fopen(pinw_rig_host_path("libhost"), "rb");

	cr_assert(file && in);
	size_t size = fread(file, 1, 1 << 20, in);
	fclose(in);
	file[find_build_id(file, size)] = mark;
	snprintf(new_path, sizeof(new_path), "%s.new", path);
	FILE *out = fopen(new_path, "wb");
	cr_assert_not_null(out);
	cr_assert_eq(fwrite(file, 1, size, out), size);
	cr_assert_eq(fclose(out), 0);
	cr_assert_eq(rename(new_path, path), 0);
	free(file);
}

struct loaded {
	struct asked asked;
	uintptr_t base;
	uint32_t module;
};

/* Loads an object, pins from it, unloads it; as the dlclose wrapper does, says that code went away. */
static struct loaded use_object(const char *path)
{
	struct loaded loaded = {.module = 0};
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	struct link_map *map;
	int (*call)(host_fn *, void *);
	uint64_t offset;

	cr_assert_not_null(handle, "%s", dlerror());
	cr_assert_eq(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	call = (int (*)(host_fn *, void *))dlsym(handle, "host_left");
	call(ask, &loaded.asked);
	loaded.base = map->l_addr;
	loaded.module = pinw_module_of((uintptr_t)call + 1, &offset);
	cr_assert_eq(offset, (uintptr_t)call + 1 - map->l_addr);
	cr_assert_eq(dlclose(handle), 0);
	__atomic_fetch_add(&pinw_module_gen, 1, __ATOMIC_RELEASE);
	return loaded;
}

Test(site_objects, takes_another_object_at_the_same_place_for_another)
{
	char a[256], b[256];

	snprintf(a, sizeof(a), "%s", pinw_rig_path("liba.so"));
	snprintf(b, sizeof(b), "%s", pinw_rig_path("libb.so"));
	install_build(a, 1);
	install_build(b, 1);
	struct loaded first = use_object(a), second = use_object(b);
	if (first.base != second.base)
		cr_skip_test("the loader chose another address");
	cr_expect_neq(second.asked.id, first.asked.id);
	cr_expect_neq(second.module, first.module);
	cr_expect_str_eq(pinw_module_path(first.module), a);
	cr_expect_str_eq(pinw_module_path(second.module), b);
}

/* A plug-in rebuilt and loaded again, under the same name, at the same address. */
Test(site_objects, takes_another_build_at_the_same_place_for_another)
{
	char a[256];

	snprintf(a, sizeof(a), "%s", pinw_rig_path("liba.so"));
	install_build(a, 1);
	struct loaded first = use_object(a);
	install_build(a, 2);
	struct loaded second = use_object(a);
	if (first.base != second.base)
		cr_skip_test("the loader chose another address");
	cr_expect_neq(second.module, first.module);
	cr_expect_neq(second.asked.id, first.asked.id);
}

struct module_seen {
	char path[256];
	uint8_t build_id[3]; /* first bytes, in order of id */
	unsigned count;
};

static void see_module(void *arg, const struct pinw_read_record *rec)
{
	struct module_seen *seen = arg;

	if (rec->type != PINW_REC_MODULE || rec->text_len != strlen(seen->path) ||
	    memcmp(rec->text, seen->path, rec->text_len) != 0)
		return;
	cr_assert_lt(seen->count, 3);
	cr_expect_eq(rec->module->build_id_len, 20);
	seen->build_id[seen->count++] = rec->module->build_id[0];
}

Test(site_objects, records_each_build_with_its_own_id)
{
	struct module_seen seen = {.count = 0};
	struct pinw_rig_seen all;

	snprintf(seen.path, sizeof(seen.path), "%s", pinw_rig_path("liba.so"));
	install_build(seen.path, 0x11);
	use_object(seen.path);
	install_build(seen.path, 0x22);
	use_object(seen.path);
	pinw_rig_read(see_module, NULL, &seen, &all);
	cr_expect_eq(all.problems, 0, "%s", all.problem);
	cr_assert_eq(seen.count, 2);
	cr_expect_eq(seen.build_id[0], 0x11);
	cr_expect_eq(seen.build_id[1], 0x22);
}

/* What was learnt of objects that stayed is still good. */
Test(site_objects, keeps_its_sites_when_another_object_goes)
{
	char a[256];
	struct asked before, after, again;

	snprintf(a, sizeof(a), "%s", pinw_rig_path("liba.so"));
	install_build(a, 1);
	for (unsigned i = 0; i < 4; i++) {
		if (i == 1)
			use_object(a);
		host_left(ask, i == 0 ? &before : i == 1 ? &after : &again);
	}
	cr_expect_eq(after.id, before.id);
	cr_expect_eq(after.unwinds, 1, "checked once after something was unloaded");
	cr_expect_eq(again.unwinds, 0);
	cr_expect_eq(again.id, before.id);
}
