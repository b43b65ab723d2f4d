/* SPDX-License-Identifier: MIT
 *
 * Debug information that is not in the file itself: found below the sysroot, on this machine, or with a debuginfod server. It is
 * taken only with the build id (without one: the checksum) of the file it is for. Part of the engine (symbols_engine.h), under
 * whose protection it runs; libdebuginfod is loaded when a server is asked for the first time, and never needed otherwise.
 */
#ifndef PINW_REPORTS_SYMBOLS_FIND_H
#define PINW_REPORTS_SYMBOLS_FIND_H

#include <elfutils/libdwfl.h>
#include <stddef.h>
#include <stdint.h>

#define PINW_SYMBOLS_ID_MAX 64u

/* The build id of an open file; *ret_len 0: it has none. Returns 0, or -ENODATA when it is no program or library at all. */
int pinw_symbols_identity(int fd, uint8_t ret_id[PINW_SYMBOLS_ID_MAX], size_t *ret_len);

struct pinw_symbols_find {
	char *urls; /* servers to ask; NULL: none */
	int error; /* what came of asking the servers, which then are not asked again */
	void *library, *client; /* libdebuginfod's */
};

/* Takes DEBUGINFOD_URLS out of the environment, so that nobody else asks. Returns 0 or -ENOMEM. */
int pinw_symbols_find_init(struct pinw_symbols_find *f);
void pinw_symbols_find_done(struct pinw_symbols_find *f);

/* Of libdwfl's callbacks the one that finds debug information. The module's own data are the struct pinw_symbols_find. */
int pinw_symbols_find_debuginfo(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr base,
                                const char *file, const char *link, GElf_Word link_crc, char **ret_name);

#endif
