/* SPDX-License-Identifier: MIT
 *
 * The few facts about an ELF file that decide whether a preload reaches it. Reads the file with
 * pread into bounded buffers and trusts nothing in it; needs no ELF library.
 */
#ifndef PINW_REPORTS_ELF_PROBE_H
#define PINW_REPORTS_ELF_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct pinw_elf_facts {
	uint16_t type; /* ET_* */
	uint16_t machine; /* EM_* */
	uint8_t elf_class; /* ELFCLASS* */
	uint8_t data; /* ELFDATA*: byte order */
	bool has_interpreter; /* PT_INTERP: a dynamic linker starts it */
	bool has_dynamic; /* PT_DYNAMIC */
	bool go; /* made by the Go toolchain */
	bool names_pthread_create; /* its dynamic strings hold that name */
	char interpreter[256]; /* path in PT_INTERP; "" without one */
	char soname[128]; /* "" without one */
};

/* Reads the facts of an open file. Of a file of another class or byte order only the first four are filled.
 * Returns 0, -ENOEXEC (not an ELF file), -EBADMSG (an ELF file that is damaged) or an error of pread(2). */
int pinw_elf_probe(int fd, struct pinw_elf_facts *ret_facts);

#endif
