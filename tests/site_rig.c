/* SPDX-License-Identifier: MIT */
#include "tests/site_rig.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#include "preload/arch.h"
#include "preload/module.h"

char program_path[PINW_PATH_MAX];
int (*host_without_cfi)(host_fn *, void *);
int (*host_left)(host_fn *, void *);
int (*host_right)(host_fn *, void *);
int (*host_recurse)(unsigned, host_fn *, void *);
int (*host_turns)(unsigned, unsigned, host_fn *, void *);
int (*host_alloca)(size_t, host_fn *, void *);
int (*host_twins)(unsigned, host_fn *, void *);

void make_hosts(void)
{
	pinw_rig_image(NULL);
	cr_assert_gt(readlink("/proc/self/exe", program_path, sizeof(program_path) - 1), 0);
	host_without_cfi = pinw_rig_host("libhost", "host_without_cfi");
	host_left = pinw_rig_host("libhost", "host_left");
	host_right = pinw_rig_host("libhost", "host_right");
	host_recurse = pinw_rig_host("libhost", "host_recurse");
	host_turns = pinw_rig_host("libhost", "host_turns");
	host_alloca = pinw_rig_host("libhost", "host_alloca");
	host_twins = pinw_rig_host("libhost", "host_twins");
}

__attribute__((noinline)) int ask(void *arg)
{
	struct pinw_where where = PINW_WHERE();
	struct asked *asked = arg;
	uint64_t hits = counters()->memo_hits, unwinds = counters()->unwinds;

	asked->id = pinw_site(pinw_tls.thread, where);
	asked->cfa = where.cfa;
	asked->hits = counters()->memo_hits - hits;
	asked->unwinds = counters()->unwinds - unwinds;
	return 0;
}

unsigned frames_of(uint32_t id, const struct pinw_rec_frame **ret_frames, uint16_t *ret_flags)
{
	unsigned count = pinw_site_frames(id, ret_frames, ret_flags);

	cr_assert_gt(count, 0, "site %u", id);
	return count;
}

uint64_t offset_of(const struct pinw_rec_frame *frame)
{
	return frame->offset_low | (uint64_t)frame->offset_high << 32;
}

/* A module's load bias, as the loader has it now. */
static int match_base(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct dl_phdr_info *wanted = arg;
	bool main_program = !*info->dlpi_name && strcmp(wanted->dlpi_name, program_path) == 0;

	(void)size;
	if (!main_program && strcmp(info->dlpi_name, wanted->dlpi_name) != 0)
		return 0;
	wanted->dlpi_addr = info->dlpi_addr;
	return 1;
}

uintptr_t pc_of(const struct pinw_rec_frame *frame)
{
	struct dl_phdr_info info = {.dlpi_name = pinw_module_path(frame->module)};

	if (frame->module)
		cr_assert(dl_iterate_phdr(match_base, &info), "%s is not loaded", info.dlpi_name);
	return info.dlpi_addr + offset_of(frame);
}

/* The function that holds a frame's call. */
static const char *function_of(const struct pinw_rec_frame *frame)
{
	Dl_info info;

	return dladdr((void *)(pc_of(frame) - 1), &info) && info.dli_sname ? info.dli_sname : "?";
}

unsigned count_function(uint32_t id, const char *name)
{
	const struct pinw_rec_frame *frames;
	uint16_t flags;
	unsigned count = frames_of(id, &frames, &flags), found = 0;

	for (unsigned i = 0; i < count; i++)
		found += strcmp(function_of(&frames[i]), name) == 0;
	return found;
}
