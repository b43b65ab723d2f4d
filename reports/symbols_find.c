/* SPDX-License-Identifier: MIT */
#include "reports/symbols_find.h"

#include <dlfcn.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <gelf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reports/sysroot.h"

/* A download that stands still, and one in all: both less than what the worker is given for an answer. */
#define SERVER_SILENT_S "10"
#define SERVER_WAIT_S "40"

int pinw_symbols_identity(int fd, uint8_t ret_id[PINW_SYMBOLS_ID_MAX], size_t *ret_len)
{
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP_PRIVATE, NULL);
	const void *id = NULL;
	GElf_Ehdr ehdr;
	int r = -ENODATA;

	*ret_len = 0;
	if (elf && gelf_getehdr(elf, &ehdr) && (ehdr.e_type == ET_EXEC || ehdr.e_type == ET_DYN)) {
		ssize_t n = dwelf_elf_gnu_build_id(elf, &id);

		if (n > 0 && (size_t)n <= PINW_SYMBOLS_ID_MAX) {
			memcpy(ret_id, id, (size_t)n);
			*ret_len = (size_t)n;
		}
		r = 0;
	}
	if (elf)
		elf_end(elf);
	return r;
}

int pinw_symbols_find_init(struct pinw_symbols_find *f)
{
	const char *urls = getenv("DEBUGINFOD_URLS");

	if (urls && *urls && pinw_sysroot_servers()) {
		f->urls = strdup(urls);
		if (!f->urls)
			return -ENOMEM;
	}
	unsetenv("DEBUGINFOD_URLS");
	return 0;
}

static void forget_servers(struct pinw_symbols_find *f, int error)
{
	free(f->urls);
	f->urls = NULL;
	f->error = error;
}

void pinw_symbols_find_done(struct pinw_symbols_find *f)
{
	void (*end)(void *) = f->client ? (void (*)(void *))dlsym(f->library, "debuginfod_end") : NULL;

	if (end)
		end(f->client);
	forget_servers(f, 0);
}

/* ---- below the sysroot ------------------------------------------------------------------ */

/* Hands `fd` back if it is a file with this build id, else closes it and returns -1. */
static int checked(int fd, const unsigned char *id, int id_len)
{
	uint8_t found[PINW_SYMBOLS_ID_MAX];
	size_t len = 0;

	if (fd < 0)
		return -1;
	if (id_len > 0 && pinw_symbols_identity(fd, found, &len) == 0 && len == (size_t)id_len &&
	    memcmp(found, id, len) == 0)
		return fd;
	close(fd);
	return -1;
}

static int by_build_id(const unsigned char *id, int id_len)
{
	char path[64 + 2 * PINW_SYMBOLS_ID_MAX] = "/usr/lib/debug/.build-id/";
	size_t at = strlen(path);

	if (id_len < 2 || id_len > (int)PINW_SYMBOLS_ID_MAX)
		return -1;
	for (int i = 0; i < id_len; i++)
		at += (size_t)snprintf(path + at, sizeof(path) - at, i == 0 ? "%02x/" : "%02x", id[i]);
	snprintf(path + at, sizeof(path) - at, ".debug");
	return checked(pinw_sysroot_open_file(path), id, id_len);
}

static int by_link(const char *file, const char *link, const unsigned char *id, int id_len)
{
	static const struct {
		const char *before, *after;
	} places[] = {{"", "/"}, {"", "/.debug/"}, {"/usr/lib/debug", "/"}};
	const char *slash = strrchr(file, '/');
	int fd = -1;

	for (size_t i = 0; fd < 0 && slash && i < sizeof(places) / sizeof(places[0]); i++) {
		char path[PATH_MAX];
		int n = snprintf(path, sizeof(path), "%s%.*s%s%s", places[i].before, (int)(slash - file),
		                 file, places[i].after, link);

		if (n < (int)sizeof(path))
			fd = checked(pinw_sysroot_open_file(path), id, id_len);
	}
	return fd;
}

/* ---- servers ------------------------------------------------------------------------------ */

static void *start_client(struct pinw_symbols_find *f)
{
	void *(*begin)(void);

	f->library = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
	begin = f->library ? (void *(*)(void))dlsym(f->library, "debuginfod_begin") : NULL;
	if (!begin) {
		forget_servers(f, -ELIBACC);
		return NULL;
	}
	setenv("DEBUGINFOD_TIMEOUT", SERVER_SILENT_S, 0);
	setenv("DEBUGINFOD_MAXTIME", SERVER_WAIT_S, 1);
	setenv("DEBUGINFOD_RETRY_LIMIT", "0", 1);
	f->client = begin();
	if (!f->client)
		forget_servers(f, -ENOMEM);
	return f->client;
}

/* What they do not have is no error. */
static int from_servers(struct pinw_symbols_find *f, const unsigned char *id, int id_len)
{
	int (*find)(void *, const unsigned char *, int, char **);

	if (!f->urls || id_len <= 0 || (!f->client && !start_client(f)))
		return -1;
	find = (int (*)(void *, const unsigned char *, int, char **))dlsym(f->library,
	                                                                   "debuginfod_find_debuginfo");
	if (!find) {
		forget_servers(f, -ELIBACC);
		return -1;
	}
	setenv("DEBUGINFOD_URLS", f->urls, 1);
	int fd = find(f->client, id, id_len, NULL);
	unsetenv("DEBUGINFOD_URLS");
	if (fd < 0 && fd != -ENOENT)
		forget_servers(f, fd);
	return checked(fd, id, id_len);
}

/* ---- beside the file ------------------------------------------------------------------------ */

static bool is_file_or_nothing(const char *directory, int len, const char *between, const char *name,
                               const char *after)
{
	char path[PATH_MAX];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%.*s%s%s%s", len, directory, between, name, after);

	return n < (int)sizeof(path) && (stat(path, &st) < 0 || S_ISREG(st.st_mode));
}

/* libdwfl opens what the link names beside the file, or the file's name with .debug; a pipe there would never answer, and a device
 * may do anything. `link` NULL: there is none. */
static bool may_be_opened(const char *file, const char *link)
{
	const char *slash = file ? strrchr(file, '/') : NULL;
	const char *name = link ? link : slash ? slash + 1 : "", *after = link ? "" : ".debug";
	int len = slash ? (int)(slash - file) : 0;

	return !slash || (is_file_or_nothing(file, len, "/", name, after) &&
	                  is_file_or_nothing(file, len, "/.debug/", name, after));
}

/* ---- all of them ---------------------------------------------------------------------------- */

int pinw_symbols_find_debuginfo(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr base,
                                const char *file, const char *link, GElf_Word link_crc, char **ret_name)
{
	const unsigned char *id = NULL;
	GElf_Addr at;
	int id_len = dwfl_module_build_id(mod, &id, &at);
	int fd = -1;

	if (link && strchr(link, '/'))
		link = NULL; /* the name of a file, says the format: a path leads anywhere */
	if (pinw_sysroot()) {
		fd = by_build_id(id, id_len);
		if (fd < 0 && link && file)
			fd = by_link(file, link, id, id_len);
	}
	if (fd < 0 && may_be_opened(file, link))
		fd = dwfl_standard_find_debuginfo(mod, data, name, base, file, link, link_crc, ret_name);
	return fd < 0 ? from_servers(*data, id, id_len) : fd;
}
