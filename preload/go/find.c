/* SPDX-License-Identifier: MIT
 *
 * Finds the Go runtime in the main program as it is mapped. Programs that are not Go's pay for a look at their notes and at
 * no more than 1 MiB of their data.
 */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "preload/go/go.h"
#include "preload/go/pclntab.h"

#define TABLE_ALIGN 8u /* of .gopclntab from Go 1.27 on */
#define TABLE_ALIGN_BEFORE 32u
#define BUILDINFO_ALIGN 16u
#define BUILDINFO_BYTES (1u << 20) /* how far into writable data its mark is looked for */
#define SEGMENTS_MAX 16u
#define HEAD_MAX 128u /* bytes before the names, in a table of any version */
#define HEADERS_MAX 64u /* of a library: they lie in its first page */
#define PAGE 4096u
#define MODULEDATA_TEXT 22u /* words of struct moduledata: .text, .etext from Go 1.18 on */
#define LOOKED_AT 32u /* bytes of a function that are compared, and a few more */

struct segment {
	const uint8_t *start;
	uint64_t bytes; /* mapped from the file */
	uint32_t flags; /* PF_* */
};

struct program {
	bool go; /* it has a note by Go's linker */
	const ElfW(Dyn) * dynamic;
	unsigned count;
	struct segment segments[SEGMENTS_MAX];
};

/* ---- what kind of program -------------------------------------------------------------- */

/* Type 4 of owner "Go": the build id, unless it was linked without. */
static bool has_go_note(const uint8_t *at, uint64_t bytes)
{
	while (bytes >= 16) {
		const ElfW(Nhdr) *note = (const void *)at;
		uint64_t name = (note->n_namesz + UINT64_C(3)) & ~UINT64_C(3);
		uint64_t size = sizeof(*note) + name + ((note->n_descsz + UINT64_C(3)) & ~UINT64_C(3));

		if (note->n_type == 4 && note->n_namesz == 4 && memcmp(note + 1, "Go", 3) == 0)
			return true;
		if (size > bytes)
			break;
		at += size;
		bytes -= size;
	}
	return false;
}

static bool has_go_buildinfo(const struct program *p)
{
	for (unsigned i = 0; i < p->count; i++) {
		const struct segment *s = &p->segments[i];
		uint64_t bytes = s->bytes < BUILDINFO_BYTES ? s->bytes : BUILDINFO_BYTES;
		uint64_t at = -(uintptr_t)s->start & (BUILDINFO_ALIGN - 1);

		for (; (s->flags & PF_W) && at + BUILDINFO_ALIGN <= bytes; at += BUILDINFO_ALIGN)
			if (memcmp(s->start + at, "\xff Go buildinf:", 14) == 0)
				return true;
	}
	return false;
}

static bool imports(const struct program *p, const char *name)
{
	const ElfW(Rela) * tables[2] = {NULL, NULL};
	uint64_t bytes[2] = {0, 0};
	const ElfW(Sym) *symbols = NULL;
	const char *strings = NULL;

	for (const ElfW(Dyn) *d = p->dynamic; d && d->d_tag != DT_NULL; d++)
		switch (d->d_tag) { /* glibc has made the addresses absolute */
		case DT_JMPREL:
			tables[0] = (const void *)d->d_un.d_ptr;
			break;
		case DT_PLTRELSZ:
			bytes[0] = d->d_un.d_val;
			break;
		case DT_RELA:
			tables[1] = (const void *)d->d_un.d_ptr;
			break;
		case DT_RELASZ:
			bytes[1] = d->d_un.d_val;
			break;
		case DT_SYMTAB:
			symbols = (const void *)d->d_un.d_ptr;
			break;
		case DT_STRTAB:
			strings = (const void *)d->d_un.d_ptr;
			break;
		default:
			break;
		}
	for (unsigned t = 0; t < 2 && symbols && strings; t++)
		for (uint64_t i = 0; tables[t] && i < bytes[t] / sizeof(ElfW(Rela)); i++) {
			uint64_t symbol = ELF64_R_SYM(tables[t][i].r_info);

			if (symbol && strcmp(strings + symbols[symbol].st_name, name) == 0)
				return true;
		}
	return false;
}

static void see_headers(struct program *p, uintptr_t base, const ElfW(Phdr) * headers, unsigned count)
{
	*p = (struct program){.go = false};
	for (unsigned i = 0; i < count; i++) {
		const ElfW(Phdr) *phdr = &headers[i];
		const void *at = (const void *)(base + phdr->p_vaddr);

		if (phdr->p_type == PT_NOTE && has_go_note(at, phdr->p_filesz))
			p->go = true;
		else if (phdr->p_type == PT_DYNAMIC)
			p->dynamic = at;
		else if (phdr->p_type == PT_LOAD && (phdr->p_flags & PF_R) && p->count < SEGMENTS_MAX)
			p->segments[p->count++] = (struct segment){at, phdr->p_filesz, phdr->p_flags};
	}
}

/* Called for the main program first, and told to stop. */
static int see_program(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	see_headers(arg, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum);
	return 1;
}

/* By the headers at the object's begin, where linkers put them: nothing that the loader has locked is asked. */
static bool see_library(struct program *p, const void *inside)
{
	struct dl_find_object object;

	if (_dl_find_object((void *)(uintptr_t)inside, &object) != 0)
		return false;
	const ElfW(Ehdr) *head = object.dlfo_map_start;
	uint64_t bytes = (uintptr_t)object.dlfo_map_end - (uintptr_t)head;
	if (bytes < sizeof(*head) || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
	    head->e_phentsize != sizeof(ElfW(Phdr)) || head->e_phnum > HEADERS_MAX ||
	    head->e_phoff > PAGE - head->e_phnum * sizeof(ElfW(Phdr)))
		return false;
	see_headers(p, object.dlfo_link_map->l_addr, (const void *)((const char *)head + head->e_phoff),
	            head->e_phnum);
	return true;
}

/* ---- tables ------------------------------------------------------------------------------ */

/* Where code of the program is: [start, end) of the executable segment that holds `address`. */
static const struct segment *code_at(const struct program *p, uint64_t address)
{
	for (unsigned i = 0; i < p->count; i++) {
		uint64_t start = (uintptr_t)p->segments[i].start;

		if ((p->segments[i].flags & PF_X) && address >= start &&
		    address < start + p->segments[i].bytes)
			return &p->segments[i];
	}
	return NULL;
}

/* From Go 1.26 on the table does not say where the text is; the module's data does, which begins with the table's
 * address and that of its names. */
static uint64_t text_of_moduledata(const struct program *p, const struct pinw_pclntab *t)
{
	uint64_t table = (uintptr_t)t->bytes;

	for (unsigned i = 0; i < p->count; i++) {
		const struct segment *s = &p->segments[i];
		const uint64_t *words = (const void *)s->start;

		if (!(s->flags & PF_W))
			continue;
		for (uint64_t w = 0; w + MODULEDATA_TEXT < s->bytes / 8; w++)
			if (words[w] == table && words[w + 1] == table + t->names)
				return code_at(p, words[w + MODULEDATA_TEXT]) ? words[w + MODULEDATA_TEXT]
				                                              : 0;
	}
	return 0;
}

/* Opens a table whose functions lie in the program's code. */
static bool open_table(const struct program *p, const struct segment *s, uint64_t at,
                       struct pinw_pclntab *ret)
{
	if (!pinw_pclntab_is_head(s->start + at) || !pinw_pclntab_open(s->start + at, s->bytes - at, ret))
		return false;
	if (ret->layout == PINW_PCLNTAB_1_18 && !ret->text)
		ret->text = text_of_moduledata(p, ret);
	uint64_t first = ret->count ? pinw_pclntab_entry(ret, 0) : 0;
	const struct segment *code = code_at(p, first);
	uint64_t end = code ? pinw_pclntab_entry(ret, ret->count) : 0;

	return code && end > first && end <= (uintptr_t)code->start + code->bytes;
}

static bool search(const struct program *p, const struct segment *s, uint64_t align, struct pinw_pclntab *ret)
{
	uint64_t at = -(uintptr_t)s->start & (align - 1);

	for (; at + PINW_PCLNTAB_HEAD <= s->bytes; at += align)
		if (s->start[at + 1] == 0xff && open_table(p, s, at, ret))
			return true;
	return false;
}

/* From Go 1.16 on the module's data begins with the table's address, and that of its names just behind its head, as many as there
 * is room for. Few other words look like that. */
static bool is_module(const uint64_t *words)
{
	return words[1] - words[0] <= HEAD_MAX && words[1] > words[0] && words[2] && words[2] == words[3];
}

static const struct segment *segment_at(const struct program *p, uint64_t address)
{
	for (unsigned i = 0; i < p->count; i++)
		if (address - (uintptr_t)p->segments[i].start < p->segments[i].bytes)
			return &p->segments[i];
	return NULL;
}

static struct pinw_go_bytes rest_of(const struct segment *s, const void *at)
{
	return (struct pinw_go_bytes){at, s->bytes - (uint64_t)((const uint8_t *)at - s->start)};
}

static bool open_at(const struct program *p, uint64_t address, struct pinw_pclntab *ret)
{
	const struct segment *s = segment_at(p, address);
	uint64_t at = s ? address - (uintptr_t)s->start : 0;

	return s && s->bytes - at >= PINW_PCLNTAB_HEAD && open_table(p, s, at, ret);
}

/* Writable data, from its end, where it is and what the loader completes (in PIE: the table) is not. Not a megabyte, most
 * times, where the table lies behind tens of megabytes of constants that nobody else would read now. */
static bool find_by_module(const struct program *p, struct pinw_pclntab *ret,
                           struct pinw_go_bytes *ret_module)
{
	for (unsigned i = p->count; i-- > 0;) {
		const struct segment *s = &p->segments[i];
		const uint64_t *words = (const void *)(((uintptr_t)s->start + 7) & ~(uintptr_t)7);

		for (uint64_t w = s->flags & PF_W ? s->bytes / 8 : 0; w > MODULEDATA_TEXT; w--)
			if (is_module(&words[w - 1 - MODULEDATA_TEXT]) &&
			    open_at(p, words[w - 1 - MODULEDATA_TEXT], ret)) {
				*ret_module = rest_of(s, &words[w - 1 - MODULEDATA_TEXT]);
				return true;
			}
	}
	return false;
}

/* Without a module, read-only data first: what is not code holds it nearly always. */
static bool find_table(const struct program *p, struct pinw_pclntab *ret, struct pinw_go_bytes *ret_module)
{
	if (find_by_module(p, ret, ret_module))
		return true;
	for (unsigned pass = 0; pass < 4; pass++)
		for (unsigned i = 0; i < p->count; i++)
			if (!!(p->segments[i].flags & PF_X) == pass / 2 &&
			    search(p, &p->segments[i], pass % 2 ? TABLE_ALIGN : TABLE_ALIGN_BEFORE, ret))
				return true;
	return false;
}

/* ---- names ---------------------------------------------------------------------------------- */

static bool is(const char *name, size_t len, const char *wanted)
{
	return strlen(wanted) == len && memcmp(name, wanted, len) == 0;
}

/* Go 1.19 to 1.22, 1.23 to 1.25, from 1.26 on. A function of the same name is how assembly calls it. */
static bool is_syscall6(const char *name, size_t len)
{
	return is(name, len, "runtime/internal/syscall.Syscall6") ||
	       is(name, len, "internal/runtime/syscall.Syscall6") ||
	       is(name, len, "internal/runtime/syscall/linux.Syscall6");
}

static void take_function(const struct pinw_pclntab *t, uint64_t i, struct pinw_go_runtime *ret)
{
	size_t len;
	const char *name = pinw_pclntab_name(t, i, &len);

	if (!name || len < 12)
		return;
	/* A damaged table may name any address: only where the code is can something be compared. */
	const unsigned char *entry = (const unsigned char *)(uintptr_t)pinw_pclntab_entry(t, i);
	if (entry < ret->text || entry >= ret->etext || ret->etext - entry < LOOKED_AT)
		return;
	if (is_syscall6(name, len) && pinw_go_is_syscall(entry))
		ret->syscall = entry;
	if (memcmp(name, "runtime.", 8) != 0)
		return;
	if (is(name, len, "runtime.LockOSThread"))
		ret->lock = entry;
	else if (is(name, len, "runtime.mexit"))
		ret->mexit = entry;
	else if (is(name, len, "runtime.exit"))
		ret->exit = entry;
	else if (is(name, len, "runtime.templateThread"))
		ret->template = entry;
	else if (is(name, len, "runtime.ensureSigM.func1")) {
		ret->signal_lock = entry;
		ret->signal_lock_end = (const unsigned char *)(uintptr_t)pinw_pclntab_entry(t, i + 1);
	}
}

static bool has_all(const struct pinw_go_runtime *r)
{
	return r->lock && r->mexit && r->exit && r->signal_lock && r->template;
}

/* A function that is inlined everywhere still has a name, for the lines of its callers. */
static bool has_name(const struct pinw_pclntab *t, const char *name)
{
	return t->units > t->names && t->units <= t->size &&
	       memmem(t->bytes + t->names, t->units - t->names, name, strlen(name) + 1);
}

/* What the module's data says of inlined calls. */
static void take_calls(const struct program *p, const struct pinw_go_bytes *module,
                       struct pinw_go_runtime *ret)
{
	const uint64_t *words = (const void *)module->start;
	const unsigned *places;
	unsigned count = pinw_pclntab_places(&ret->table, &places);

	for (unsigned i = 0; words && i < count; i++) {
		const struct segment *s =
		    places[i] < module->bytes / 8 ? segment_at(p, words[places[i]]) : NULL;

		if (s)
			ret->calls[i] = rest_of(s, (const void *)(uintptr_t)words[places[i]]);
	}
}

/* Returns 0, or a note. */
static int find_runtime(const struct program *p, struct pinw_go_runtime *ret)
{
	struct pinw_go_bytes module = {.start = NULL};
	struct pinw_pclntab table;

	if (!find_table(p, &table, &module))
		return PINW_NOTE_GO_NO_TABLE;
	*ret = (struct pinw_go_runtime){
	    .text = (const unsigned char *)(uintptr_t)pinw_pclntab_entry(&table, 0),
	    .etext = (const unsigned char *)(uintptr_t)pinw_pclntab_entry(&table, table.count),
	    .table = table,
	};
	take_calls(p, &module, ret);
	/* The runtime lies at the beginning of the text: most of a large program need not be looked at. */
	for (uint64_t i = 0; i < table.count && !has_all(ret); i++)
		take_function(&table, i, ret);
	ret->plugins = imports(p, "dlopen") && has_name(&table, "plugin.open");
	ret->inlined = !ret->lock && has_name(&table, "runtime.LockOSThread");
	return ret->inlined ? PINW_NOTE_GO_INLINED : 0;
}

static struct program program; /* too large for a small stack; one at a time */

int pinw_go_find(struct pinw_go_runtime *ret_runtime)
{
	dl_iterate_phdr(see_program, &program);
	if (!program.go && !has_go_buildinfo(&program))
		return -ENOENT;
	if (!imports(&program, "pthread_create"))
		return PINW_NOTE_GO_NO_CGO;
	return find_runtime(&program, ret_runtime);
}

int pinw_go_find_library(const void *routine, struct pinw_go_runtime *ret_runtime)
{
	const unsigned char *code = routine;

	if (!see_library(&program, routine) || (!program.go && !has_go_buildinfo(&program)))
		return -ENOENT;
	int r = find_runtime(&program, ret_runtime);
	if (ret_runtime->text && (code < ret_runtime->text || code >= ret_runtime->etext))
		return -ENOENT; /* a function of C's that looks the same, in an object with Go in it */
	return r;
}
