/* SPDX-License-Identifier: MIT */
#include "reports/symbols_engine.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reports/demangle.h"
#include "reports/ranges.h"
#include "reports/symbols_find.h"
#include "reports/symbols_go.h"
#include "reports/sysroot.h"

/* Files kept open at once; each costs up to three descriptors. */
#define MODULES_MAX 128u
#define INLINE_DEPTH_MAX 256u
#define NAMESPACE_DEPTH_MAX 64u
#define GO_FRAMES_MAX 64u

struct symbol {
	const char *name;
	int rank; /* of two at one place the higher is shown */
	bool visible; /* global or weak: the name by which others call it */
};

/* A compilation unit. Line and file tables belong to `head`, functions to `body`, which differs for split
 * DWARF. */
struct unit {
	Dwarf_Die head, body;
	bool indexed;
	Dwarf_Die *functions;
	size_t function_count, function_room;
	struct pinw_ranges function_ranges;
};

struct module {
	char *path;
	int error; /* why it cannot be used, or 0 */
	uint8_t build_id[PINW_SYMBOLS_ID_MAX];
	size_t build_id_len;
	Dwfl *dwfl;
	Dwfl_Module *mod;
	bool symbols_read, units_read;
	struct symbol *symbols;
	size_t symbol_count, symbol_room;
	struct pinw_ranges symbol_ranges;
	Dwarf_Addr bias; /* DWARF address = module address - bias */
	struct unit *units;
	size_t unit_count, unit_room;
	struct pinw_ranges unit_ranges;
	struct pinw_symbols_go go;
};

struct pinw_engine {
	struct module *modules[MODULES_MAX];
	size_t next; /* the slot to use next: the oldest module goes */
	char *names[INLINE_DEPTH_MAX + 3]; /* made for the last lookup */
	size_t name_count;
	struct pinw_symbols_find find;
};

/* ---- ELF symbols ---------------------------------------------------------------------- */

static int symbol_rank(const char *name, const GElf_Sym *sym)
{
	int rank = GELF_ST_BIND(sym->st_info) == STB_GLOBAL ? 40
	           : GELF_ST_BIND(sym->st_info) == STB_WEAK ? 20
	                                                    : 0;
	size_t underscores = strspn(name, "_");

	return rank - (int)(underscores < 4 ? underscores : 4);
}

static bool is_code_symbol(const char *name, const GElf_Sym *sym)
{
	unsigned type = GELF_ST_TYPE(sym->st_info);

	/* A symbol without a size covers nothing: what follows it may be anything. */
	return name && *name && sym->st_size && sym->st_shndx != SHN_UNDEF &&
	       (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE);
}

static int read_symbols(struct module *m)
{
	int count = dwfl_module_getsymtab(m->mod);

	m->symbols_read = true;
	for (int i = 1; i < count; i++) {
		GElf_Sym sym;
		GElf_Addr address;
		const char *name = dwfl_module_getsym_info(m->mod, i, &sym, &address, NULL, NULL, NULL);

		if (!is_code_symbol(name, &sym))
			continue;
		if (pinw_grow((void **)&m->symbols, m->symbol_count, &m->symbol_room, sizeof(*m->symbols)) <
		        0 ||
		    pinw_ranges_add(&m->symbol_ranges, address, address + sym.st_size, m->symbol_count) < 0)
			return -ENOMEM;
		m->symbols[m->symbol_count++] =
		    (struct symbol){.name = name,
		                    .rank = symbol_rank(name, &sym),
		                    .visible = GELF_ST_BIND(sym.st_info) != STB_LOCAL};
	}
	pinw_ranges_sort(&m->symbol_ranges);
	return 0;
}

/* The symbol that covers `address` and starts last; of several at one place the best known name. */
static const struct symbol *find_symbol(const struct module *m, uint64_t address, uint64_t *ret_start)
{
	const struct pinw_range *r = pinw_ranges_find(&m->symbol_ranges, address);
	const struct symbol *best = NULL;

	if (!r)
		return NULL;
	*ret_start = r->lo;
	for (const struct pinw_range *same = r; same >= m->symbol_ranges.items && same->lo == r->lo; same--)
		if (same->hi > address && (!best || m->symbols[same->owner].rank >= best->rank))
			best = &m->symbols[same->owner];
	return best;
}

/* ---- DWARF: units, functions, inlined calls -------------------------------------------- */

/* Adds the code ranges of a DIE. Ranges at 0 are those of code the linker dropped. */
static int add_die_ranges(struct pinw_ranges *to, Dwarf_Die *die, size_t owner)
{
	Dwarf_Addr base, lo, hi;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(die, at, &base, &lo, &hi)) > 0)
		if (lo && lo < hi && pinw_ranges_add(to, lo, hi, owner) < 0)
			return -ENOMEM;
	return 0;
}

/* Walks the units themselves: .debug_aranges is missing for clang and Go. */
static int read_units(struct module *m)
{
	Dwarf *dwarf = dwfl_module_getdwarf(m->mod, &m->bias);
	Dwarf_CU *cu = NULL;
	Dwarf_Die head, sub;
	uint8_t type;

	m->units_read = true;
	while (dwarf && dwarf_get_units(dwarf, cu, &cu, NULL, &type, &head, &sub) == 0) {
		struct unit unit = {.head = head, .body = head};

		if (type != DW_UT_compile && type != DW_UT_skeleton)
			continue;
		if (type == DW_UT_skeleton && dwarf_tag(&sub) != DW_TAG_invalid)
			unit.body = sub;
		if (pinw_grow((void **)&m->units, m->unit_count, &m->unit_room, sizeof(*m->units)) < 0)
			return -ENOMEM;
		m->units[m->unit_count++] = unit;
		if (add_die_ranges(&m->unit_ranges, &head, m->unit_count - 1) < 0)
			return -ENOMEM;
	}
	pinw_ranges_sort(&m->unit_ranges);
	return 0;
}

static int add_function(struct unit *u, Dwarf_Die *die)
{
	size_t before = u->function_ranges.count;

	if (add_die_ranges(&u->function_ranges, die, u->function_count) < 0)
		return -ENOMEM;
	if (u->function_ranges.count == before)
		return 0; /* a declaration, or the abstract form of an inlined function */
	if (pinw_grow((void **)&u->functions, u->function_count, &u->function_room, sizeof(*u->functions)) <
	    0)
		return -ENOMEM;
	u->functions[u->function_count++] = *die;
	return 0;
}

/* Collects the functions below a DIE, through namespaces, modules and types but not inside functions. */
static int collect_functions(struct unit *u, Dwarf_Die *parent, unsigned depth)
{
	Dwarf_Die child;
	int r = 0;

	if (depth > NAMESPACE_DEPTH_MAX || dwarf_child(parent, &child) != 0)
		return 0;
	do {
		switch (dwarf_tag(&child)) {
		case DW_TAG_subprogram:
			r = add_function(u, &child);
			break;
		case DW_TAG_namespace:
		case DW_TAG_module:
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
		case DW_TAG_enumeration_type:
			r = collect_functions(u, &child, depth + 1);
			break;
		}
	} while (r == 0 && dwarf_siblingof(&child, &child) == 0);
	return r;
}

static int index_unit(struct unit *u)
{
	int r;

	if (u->indexed)
		return 0;
	u->indexed = true;
	r = collect_functions(u, &u->body, 0);
	pinw_ranges_sort(&u->function_ranges);
	return r;
}

/* Finds the block or inlined call inside `parent` that holds `pc`. */
static bool step_into(Dwarf_Die *parent, Dwarf_Addr pc, Dwarf_Die *ret)
{
	Dwarf_Die child;

	if (dwarf_child(parent, &child) != 0)
		return false;
	do {
		int tag = dwarf_tag(&child);

		if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block ||
		     tag == DW_TAG_try_block || tag == DW_TAG_catch_block || tag == DW_TAG_with_stmt) &&
		    dwarf_haspc(&child, pc) > 0) {
			*ret = child;
			return true;
		}
	} while (dwarf_siblingof(&child, &child) == 0);
	return false;
}

/* chain[0] is the function, then the calls inlined at `pc`, outermost first. Returns their number. */
static size_t inline_chain(const Dwarf_Die *function, Dwarf_Addr pc, Dwarf_Die *chain, size_t max)
{
	Dwarf_Die at = *function, next;
	size_t n = 0;

	chain[n++] = at;
	for (unsigned depth = 0; depth < INLINE_DEPTH_MAX && n < max && step_into(&at, pc, &next); depth++) {
		if (dwarf_tag(&next) == DW_TAG_inlined_subroutine)
			chain[n++] = next;
		at = next;
	}
	return n;
}

static struct unit *find_unit(struct module *m, Dwarf_Addr pc)
{
	const struct pinw_range *r = pinw_ranges_find(&m->unit_ranges, pc);

	return r ? &m->units[r->owner] : NULL;
}

/* ---- one frame --------------------------------------------------------------------------- */

/* Keeps a demangled name until the next lookup; a name that is not mangled stays what it is. */
static const char *readable(struct pinw_engine *e, const char *name)
{
	char *text = name ? pinw_demangle(name) : NULL;

	if (!text && name && strchr(name, '@') > name) /* "pthread_create@@GLIBC_2.34" */
		text = strndup(name, (size_t)(strchr(name, '@') - name));
	if (text && e->name_count < sizeof(e->names) / sizeof(e->names[0])) {
		e->names[e->name_count++] = text;
		return text;
	}
	free(text);
	return name;
}

static void forget_names(struct pinw_engine *e)
{
	while (e->name_count)
		free(e->names[--e->name_count]);
}

static void name_die(struct pinw_engine *e, Dwarf_Die *die, struct pinw_symbol_frame *f)
{
	Dwarf_Attribute attr;

	f->symbols = NULL;
	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attr))
		f->symbols = dwarf_formstring(&attr);
	f->function = f->symbols ? readable(e, f->symbols) : dwarf_diename(die);
}

/* Every name of the code that starts where `r` does, one a line and without versions; `go` is Go's own, or NULL. NULL when
 * out of memory. */
static const char *names_of_start(struct pinw_engine *e, const struct module *m, const struct pinw_range *r,
                                  const char *go)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	for (const struct pinw_range *same = r; same >= m->symbol_ranges.items && same->lo == r->lo; same--) {
		const char *name = m->symbols[same->owner].name;
		if (same < r && strcmp(name, m->symbols[same[1].owner].name) == 0)
			continue; /* in the file and in its debug file, or in both symbol tables */
		fprintf(out, "%.*s\n", (int)strcspn(name, "@"), name);
		if (go && strcmp(name, go) == 0)
			go = NULL;
	}
	if (go)
		fprintf(out, "%s\n", go);
	if (fclose(out) != 0 || e->name_count == sizeof(e->names) / sizeof(e->names[0])) {
		free(text);
		return NULL;
	}
	return e->names[e->name_count++] = text;
}

/* Where an inlined call stands in its caller. */
static void call_place(struct unit *u, Dwarf_Die *inlined, struct pinw_symbol_frame *f)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;
	Dwarf_Files *files;
	size_t count;

	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attr), &value) == 0 && value <= UINT32_MAX)
		f->line = (unsigned)value;
	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attr), &value) == 0 &&
	    dwarf_getsrcfiles(&u->head, &files, &count) == 0 && value < count)
		f->file = dwarf_filesrc(files, (size_t)value, NULL, NULL);
}

static void line_place(struct unit *u, Dwarf_Addr pc, struct pinw_symbol_frame *f)
{
	Dwarf_Line *line = dwarf_getsrc_die(&u->head, pc);
	int number = 0;

	if (!line)
		return;
	f->file = dwarf_linesrc(line, NULL, NULL);
	if (dwarf_lineno(line, &number) == 0 && number > 0)
		f->line = (unsigned)number;
}

/* Fills frames from DWARF; the last one is the function that holds the code. Returns their number, 0 when
 * no function is known there. `first` is the place of `pc` itself. */
static size_t dwarf_frames(struct pinw_engine *e, struct unit *u, Dwarf_Addr pc,
                           const struct pinw_symbol_frame *first, struct pinw_symbol_frame *frames,
                           size_t max)
{
	const struct pinw_range *r = pinw_ranges_find(&u->function_ranges, pc);
	Dwarf_Die chain[INLINE_DEPTH_MAX];
	size_t n, count = 0;

	if (!r)
		return 0;
	n = inline_chain(&u->functions[r->owner], pc, chain, INLINE_DEPTH_MAX);
	struct pinw_symbol_frame place = *first;
	for (size_t i = n; i-- > 0 && count < max; count++) {
		frames[count] = place;
		name_die(e, &chain[i], &frames[count]);
		frames[count].function_offset = pc - r->lo;
		frames[count].inlined = i > 0;
		place = (struct pinw_symbol_frame){0};
		if (i > 0)
			call_place(u, &chain[i], &place);
	}
	return count;
}

/* ---- one address ----------------------------------------------------------------------------- */

/* Frames by the debug information; *ret_count 0 when it knows no function there, and then at most the place. */
static int dwarf_lookup(struct pinw_engine *e, struct module *m, uint64_t address,
                        struct pinw_symbol_frame *place, struct pinw_symbol_frame *frames, size_t max,
                        size_t *ret_count)
{
	int r = m->units_read ? 0 : read_units(m);
	struct unit *u = r == 0 ? find_unit(m, address - m->bias) : NULL;

	*ret_count = 0;
	if (!u)
		return r;
	r = index_unit(u);
	if (r < 0)
		return r;
	line_place(u, address - m->bias, place);
	*ret_count = dwarf_frames(e, u, address - m->bias, place, frames, max);
	return 0;
}

static int lookup_address(struct pinw_engine *e, struct module *m, uint64_t address,
                          struct pinw_symbol_frame *frames, size_t max, size_t *ret_count)
{
	struct pinw_symbol_frame place = {0}, go[GO_FRAMES_MAX];
	uint64_t start = 0, go_start = 0;
	size_t count = 0;
	int r = m->symbols_read ? 0 : read_symbols(m);

	if (r < 0)
		return r;
	const struct symbol *symbol = find_symbol(m, address, &start);
	size_t go_count = pinw_symbols_go_frames(&m->go, address, go, GO_FRAMES_MAX, &go_start);
	if (!go_count || !pinw_symbols_go_leads(&m->go))
		r = dwarf_lookup(e, m, address, &place, frames, max, &count);
	if (r < 0)
		return r;
	if (count == 0 && !symbol && !place.file && !go_count)
		return -ENODATA;
	if (count == 0 && go_count) {
		count = go_count < max ? go_count : max;
		memcpy(frames, go, count * sizeof(*frames));
	}
	if (count == 0)
		frames[count++] = place;
	for (size_t i = 0; i < count && symbol; i++)
		frames[i].function_offset = address - start;
	/* "pthread_create" rather than "__pthread_create_2_1", but "work" rather than "work.part.0". */
	struct pinw_symbol_frame *last = &frames[count - 1];
	if (symbol && !last->inlined && (!last->function || symbol->visible))
		last->function = readable(e, symbol->name);
	if (symbol && !last->inlined)
		last->symbols =
		    names_of_start(e, m, pinw_ranges_find(&m->symbol_ranges, address),
		                   go_count && go_start == start ? go[go_count - 1].symbols : NULL);
	*ret_count = count;
	return 0;
}

/* ---- modules ------------------------------------------------------------------------------- */

static void module_free(struct module *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->unit_count; i++) {
		free(m->units[i].functions);
		free(m->units[i].function_ranges.items);
	}
	free(m->units);
	free(m->unit_ranges.items);
	free(m->symbols);
	free(m->symbol_ranges.items);
	if (m->dwfl)
		dwfl_end(m->dwfl);
	pinw_symbols_go_close(&m->go);
	free(m->path);
	free(m);
}

static int find_no_elf(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr base, char **file,
                       Elf **elf)
{
	(void)mod, (void)data, (void)name, (void)base, (void)file, (void)elf;
	return -1; /* every module is reported with its file */
}

/* Hands the file over to libdwfl, at its own addresses. Takes `fd`. */
static int module_load(struct pinw_engine *e, struct module *m, int fd)
{
	static const Dwfl_Callbacks callbacks = {
	    .find_elf = find_no_elf,
	    .find_debuginfo = pinw_symbols_find_debuginfo,
	};

	m->dwfl = dwfl_begin(&callbacks);
	if (!m->dwfl) {
		close(fd);
		return -ENOMEM;
	}
	dwfl_report_begin(m->dwfl);
	m->mod = dwfl_report_elf(m->dwfl, m->path, m->path, fd, 0, true);
	dwfl_report_end(m->dwfl, NULL, NULL);
	if (!m->mod) {
		close(fd);
		return -ENODATA;
	}
	void **data = NULL;
	dwfl_module_info(m->mod, &data, NULL, NULL, NULL, NULL, NULL, NULL);
	*data = &e->find;
	return 0;
}

static int module_open(struct pinw_engine *e, struct module *m)
{
	struct stat st;
	int fd, r;

	if (m->path[0] != '/')
		return -ENOENT; /* "[vdso]" */
	fd = pinw_sysroot_open_file(m->path);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? -ENOENT : -ENODATA;
	r = fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
	        ? pinw_symbols_identity(fd, m->build_id, &m->build_id_len)
	        : -ENODATA;
	if (r == 0) {
		pinw_symbols_go_open(&m->go, fd, (size_t)st.st_size);
		return module_load(e, m, fd);
	}
	close(fd);
	return r;
}

/* Finds the module of a path, opened or with the error it has. Returns NULL when out of memory. */
static struct module *get_module(struct pinw_engine *e, const char *path)
{
	struct module *m;

	for (size_t i = 0; i < MODULES_MAX; i++)
		if (e->modules[i] && strcmp(e->modules[i]->path, path) == 0)
			return e->modules[i];
	m = calloc(1, sizeof(*m));
	if (m)
		m->path = strdup(path);
	if (!m || !m->path) {
		module_free(m);
		return NULL;
	}
	m->error = module_open(e, m);
	module_free(e->modules[e->next]);
	e->modules[e->next] = m;
	e->next = (e->next + 1) % MODULES_MAX;
	return m;
}

int pinw_engine_new(struct pinw_engine **ret_engine)
{
	struct pinw_engine *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	if (pinw_symbols_find_init(&e->find) < 0) {
		free(e);
		return -ENOMEM;
	}
	elf_version(EV_CURRENT);
	*ret_engine = e;
	return 0;
}

void pinw_engine_free(struct pinw_engine *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < MODULES_MAX; i++)
		module_free(e->modules[i]);
	forget_names(e);
	pinw_symbols_find_done(&e->find);
	free(e);
}

int pinw_engine_server_error(const struct pinw_engine *e)
{
	return e->find.error;
}

int pinw_engine_lookup(struct pinw_engine *e, const char *module_path, const uint8_t *build_id,
                       size_t build_id_len, uint64_t module_address, struct pinw_symbol_frame *ret_frames,
                       size_t max, size_t *ret_count)
{
	struct module *m = get_module(e, module_path);

	if (!m)
		return -ENOMEM;
	if (m->error)
		return m->error;
	if (build_id_len &&
	    (build_id_len != m->build_id_len || memcmp(build_id, m->build_id, build_id_len) != 0))
		return -ESTALE;
	if (max == 0)
		return -ENODATA;
	forget_names(e);
	return lookup_address(e, m, module_address, ret_frames, max, ret_count);
}
