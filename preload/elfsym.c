/* SPDX-License-Identifier: MIT */
#include "preload/elfsym.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "preload/arch.h"
#include "preload/go/goelf.h"
#include "preload/proc.h"

#define DEBUG_PATH_BYTES 160u

const char *pinw_elfsym_debug_root = "/usr/lib/debug";

/* ---- a file, mapped for reading -------------------------------------------------------- */

struct view {
	const char *bytes;
	uint64_t size;
};

static int open_view(const char *path, struct view *ret_view)
{
	struct stat st = {0};
	long fd = pinw_sys3(SYS_open, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);

	if (fd < 0)
		return (int)fd;
	long p = pinw_sys2(SYS_fstat, fd, &st);
	if (p == 0)
		p = S_ISREG(st.st_mode) && st.st_size > 0
		        ? pinw_sys6(SYS_mmap, 0, st.st_size, PROT_READ, MAP_PRIVATE, (int)fd, 0)
		        : -EINVAL;
	pinw_sys1(SYS_close, fd);
	if (p < 0 && p > -4096)
		return (int)p;
	*ret_view = (struct view){(const char *)p, (uint64_t)st.st_size};
	return 0;
}

static void close_view(const struct view *view)
{
	if (view->bytes)
		pinw_sys2(SYS_munmap, view->bytes, view->size);
}

/* `count` elements of `each` bytes at `offset`, or NULL if they are not all in the file or (unless bytes) not aligned. */
static const void *at(const struct view *view, uint64_t offset, uint64_t count, uint64_t each)
{
	if (offset > view->size || (count && each > (view->size - offset) / count) ||
	    (each > 1 && offset & 7))
		return NULL;
	return view->bytes + offset;
}

static const Elf64_Shdr *sections_of(const struct view *view, unsigned *ret_count)
{
	const Elf64_Ehdr *ehdr = at(view, 0, 1, sizeof(*ehdr));

	*ret_count = 0;
	if (!ehdr || memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0 || ehdr->e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr->e_shentsize != sizeof(Elf64_Shdr))
		return NULL;
	const Elf64_Shdr *sections = at(view, ehdr->e_shoff, ehdr->e_shnum, sizeof(*sections));
	if (sections)
		*ret_count = ehdr->e_shnum;
	return sections;
}

/* ---- build ids --------------------------------------------------------------------------- */

unsigned pinw_elfsym_build_id(const char *notes, size_t bytes, uint8_t ret_id[PINW_BUILD_ID_MAX])
{
	Elf64_Nhdr note;

	while (bytes >= sizeof(note)) {
		memcpy(&note, notes, sizeof(note));
		size_t name = ((size_t)note.n_namesz + 3) & ~(size_t)3,
		       text = ((size_t)note.n_descsz + 3) & ~(size_t)3;

		if (name > bytes - sizeof(note) || text > bytes - sizeof(note) - name)
			return 0;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    memcmp(notes + sizeof(note), "GNU", 4) == 0) {
			unsigned len = note.n_descsz < PINW_BUILD_ID_MAX ? note.n_descsz : PINW_BUILD_ID_MAX;
			memcpy(ret_id, notes + sizeof(note) + name, len);
			return len;
		}
		notes += sizeof(note) + name + text;
		bytes -= sizeof(note) + name + text;
	}
	return 0;
}

/* The build id that the file itself holds. */
static unsigned read_build_id(const struct view *view, uint8_t ret_id[PINW_BUILD_ID_MAX])
{
	unsigned count, len = 0;
	const Elf64_Shdr *sections = sections_of(view, &count);

	for (unsigned i = 0; i < count && !len; i++) {
		const char *notes = sections[i].sh_type == SHT_NOTE
		                        ? at(view, sections[i].sh_offset, sections[i].sh_size, 1)
		                        : NULL;
		if (notes)
			len = pinw_elfsym_build_id(notes, sections[i].sh_size, ret_id);
	}
	return len;
}

static bool has_build_id(const struct view *view, const uint8_t *id, unsigned id_len)
{
	uint8_t own[PINW_BUILD_ID_MAX];

	return read_build_id(view, own) == id_len && memcmp(own, id, id_len) == 0;
}

/* Maps the separate debug file of the object, if there is one and it is of the same build. */
static void open_debug_view(const struct view *object, struct view *ret_view)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t id[PINW_BUILD_ID_MAX];
	char path[DEBUG_PATH_BYTES];
	unsigned len = read_build_id(object, id);
	struct view view;

	if (len < 2)
		return;
	size_t end = pinw_put(path, sizeof(path), 0, pinw_elfsym_debug_root);
	end = pinw_put(path, sizeof(path), end, "/.build-id/");
	for (unsigned i = 0; i < len; i++) {
		const char pair[] = {digits[id[i] >> 4], digits[id[i] & 15], '/'};

		end = pinw_put_bytes(path, sizeof(path), end, pair, i == 0 ? 3 : 2);
	}
	pinw_put(path, sizeof(path), end, ".debug");
	if (open_view(path, &view) < 0)
		return;
	if (has_build_id(&view, id, len))
		*ret_view = view;
	else
		close_view(&view);
}

/* ---- symbols ------------------------------------------------------------------------------ */

/* A symbol table and its strings, all inside their file. symbols NULL: none. */
struct table {
	const Elf64_Sym *symbols;
	uint64_t count;
	const char *text;
	uint64_t text_bytes;
};

static struct table find_table(const struct view *view, uint32_t kind)
{
	unsigned count;
	const Elf64_Shdr *sections = sections_of(view, &count);

	for (unsigned i = 0; i < count; i++) {
		const Elf64_Shdr *s = &sections[i];

		if (s->sh_type != kind || s->sh_link >= count)
			continue;
		const Elf64_Shdr *strings = &sections[s->sh_link];
		struct table table = {
		    .count = s->sh_size / sizeof(Elf64_Sym),
		    .symbols = at(view, s->sh_offset, s->sh_size / sizeof(Elf64_Sym), sizeof(Elf64_Sym)),
		    .text_bytes = strings->sh_size,
		    .text = strings->sh_type == SHT_NOBITS
		                ? NULL
		                : at(view, strings->sh_offset, strings->sh_size, 1),
		};
		if (table.symbols && table.text)
			return table;
	}
	return (struct table){.symbols = NULL};
}

/* Sorted by address. Few, and usually sorted already. */
static void sort(struct pinw_elfsym_ask *asks, unsigned count)
{
	for (unsigned i = 1; i < count; i++) {
		struct pinw_elfsym_ask ask = asks[i];
		unsigned k = i;

		for (; k && asks[k - 1].address > ask.address; k--)
			asks[k] = asks[k - 1];
		asks[k] = ask;
	}
}

/* The first ask at or after `address`. */
static unsigned first_at(const struct pinw_elfsym_ask *asks, unsigned count, uint64_t address)
{
	unsigned low = 0;

	while (low < count) {
		unsigned middle = low + (count - low) / 2;

		if (asks[middle].address < address)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

static bool is_function(const Elf64_Sym *s)
{
	return ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_shndx != SHN_UNDEF && s->st_size;
}

/* The asks that a function covers: from *ret_first on; returns the end. Nearly all functions cover none, which the
 * outermost asks tell. */
static unsigned covered(const struct pinw_elfsym_ask *asks, unsigned count, const Elf64_Sym *s,
                        unsigned *ret_first)
{
	uint64_t first = asks[0].address, last = asks[count - 1].address;

	*ret_first = 0;
	if (s->st_value > last || (s->st_value <= first && first - s->st_value >= s->st_size))
		return 0;
	unsigned i = first_at(asks, count, s->st_value);
	*ret_first = i;
	while (i < count && asks[i].address - s->st_value < s->st_size)
		i++;
	return i;
}

/* First reading: where the nearest function of each ask starts. */
static void find_starts(const struct table *table, struct pinw_elfsym_ask *asks, unsigned count)
{
	for (uint64_t n = 0; n < table->count; n++) {
		const Elf64_Sym *s = &table->symbols[n];
		unsigned i, end;

		if (!is_function(s))
			continue;
		for (end = covered(asks, count, s, &i); i < end; i++)
			if (!asks[i].found || s->st_value > asks[i].start) {
				asks[i].found = true;
				asks[i].start = s->st_value;
			}
	}
}

/* Gives out a symbol's name, which ends before its version ("pthread_create@@GLIBC_2.34"). */
static void give_name(const struct table *table, const Elf64_Sym *s, const struct pinw_elfsym_ask *ask,
                      pinw_elfsym_fn *fn, void *arg)
{
	if (s->st_name >= table->text_bytes)
		return;
	const char *name = table->text + s->st_name;
	size_t len = strnlen(name, table->text_bytes - s->st_name);
	const char *version = len ? memchr(name + 1, '@', len - 1) : NULL;
	if (version)
		len = (size_t)(version - name);
	if (len)
		fn(arg, ask, name, len, ELF64_ST_BIND(s->st_info) == STB_GLOBAL);
}

/* Second reading: every name of what was found. */
static void give_names(const struct table *table, const struct pinw_elfsym_ask *asks, unsigned count,
                       pinw_elfsym_fn *fn, void *arg)
{
	for (uint64_t n = 0; n < table->count; n++) {
		const Elf64_Sym *s = &table->symbols[n];
		unsigned i, end;

		if (!is_function(s))
			continue;
		for (end = covered(asks, count, s, &i); i < end; i++)
			if (asks[i].start == s->st_value)
				give_name(table, s, &asks[i], fn, arg);
	}
}

/* The name that Go's own table has for each function, stripped or not: without what symbol tables add to it
 * ("main.F[...]" for "main.F[go.shape.int]"). Where a symbol was found, the table has to mean the same function. */
static void give_go_names(const struct view *view, struct pinw_elfsym_ask *asks, unsigned count,
                          pinw_elfsym_fn *fn, void *arg)
{
	struct pinw_goelf go;
	uint64_t function, start;
	size_t len;

	if (!pinw_goelf_open(view->bytes, view->size, &go))
		return;
	for (unsigned i = 0; i < count; i++) {
		if (!pinw_goelf_find(&go, asks[i].address, &function, &start) ||
		    (asks[i].found && asks[i].start != start))
			continue;
		const char *name = pinw_pclntab_name(&go.table, function, &len);
		if (!name)
			continue;
		asks[i].found = true;
		asks[i].start = start;
		fn(arg, &asks[i], name, len, false);
	}
}

int pinw_elfsym_each(const struct pinw_elfsym_object *object, struct pinw_elfsym_ask *asks, unsigned count,
                     pinw_elfsym_fn *fn, void *arg)
{
	struct view view = {NULL, 0}, debug = {NULL, 0};
	int r = open_view(object->path, &view);

	if (r < 0)
		return r;
	if (object->build_id_len && !has_build_id(&view, object->build_id, object->build_id_len)) {
		close_view(&view);
		return -ESTALE;
	}
	struct table tables[2] = {find_table(&view, SHT_SYMTAB), find_table(&view, SHT_DYNSYM)};
	if (!tables[0].symbols) {
		open_debug_view(&view, &debug);
		tables[0] = find_table(&debug, SHT_SYMTAB);
	}
	sort(asks, count);
	for (unsigned i = 0; i < count; i++) {
		asks[i].found = false;
		asks[i].start = 0;
	}
	for (unsigned t = 0; t < 2 && count; t++)
		find_starts(&tables[t], asks, count);
	for (unsigned t = 0; t < 2 && count; t++)
		give_names(&tables[t], asks, count, fn, arg);
	if (count)
		give_go_names(&view, asks, count, fn, arg);
	close_view(&debug);
	close_view(&view);
	return 0;
}

int pinw_elfsym_go(const char *path, void (*fn)(struct pinw_goelf *go, void *arg), void *arg)
{
	struct view view;
	struct pinw_goelf go;
	int r = open_view(path, &view);

	if (r < 0)
		return r;
	bool opened = pinw_goelf_open(view.bytes, view.size, &go);
	if (opened)
		fn(&go, arg);
	close_view(&view);
	return opened ? 0 : -ENOENT;
}

/* ---- one name ------------------------------------------------------------------------------ */

struct best {
	char *name;
	size_t size;
	bool found, is_global;
};

static void take_best(void *arg, const struct pinw_elfsym_ask *ask, const char *name, size_t len,
                      bool is_global)
{
	struct best *best = arg;

	(void)ask;
	if (best->found && (best->is_global || !is_global))
		return;
	pinw_put_bytes(best->name, best->size, 0, name, len);
	best->found = true;
	best->is_global = is_global;
}

int pinw_elfsym_name(const char *path, uint64_t address, char *name, size_t size, uint64_t *ret_offset)
{
	struct pinw_elfsym_object object = {.path = path};
	struct pinw_elfsym_ask ask = {.address = address};
	struct best best = {.name = name, .size = size};
	int r = pinw_elfsym_each(&object, &ask, 1, take_best, &best);

	if (r < 0)
		return r;
	if (!best.found)
		return -ENOENT;
	*ret_offset = address - ask.start;
	return 0;
}
