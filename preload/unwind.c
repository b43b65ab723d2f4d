/* SPDX-License-Identifier: MIT */
#include "preload/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libunwind.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "preload/arch.h"
#include "preload/go/go.h"
#include "preload/proc.h"
#include "preload/shim.h"

#define STACK_BYTES (512u << 10)
#define OWN_FRAMES_MAX 24u /* frames of ours between the walk and the wrapper's caller */

#define NAME2(x) #x
#define NAME(x) NAME2(x) /* the symbol behind one of libunwind's macros */

/* Exported for tools that find tables themselves, but not declared in libunwind.h. */
#define dwarf_search_unwind_table UNW_ARCH_OBJ(dwarf_search_unwind_table)
typedef int search_table_fn(unw_addr_space_t, unw_word_t, unw_dyn_info_t *, unw_proc_info_t *, int, void *);

/* The unwinder's view of the walk under way. */
struct session {
	struct pinw_walk *walk;
	struct pinw_registers start;
	uintptr_t start_fp_at; /* of the word that start.rbp came from, 0 unknown */
	uintptr_t object_start, object_end; /* of the object whose tables are being read */
	bool no_info; /* the last step met an address without unwind information */
};

static struct {
	bool usable;
	char *stack, *stack_top;
	uintptr_t shim_start, shim_end;
	unw_addr_space_t space;
	unw_addr_space_t (*create_addr_space)(unw_accessors_t *, int);
	int (*init_remote)(unw_cursor_t *, unw_addr_space_t, void *);
	int (*step)(unw_cursor_t *);
	int (*get_reg)(unw_cursor_t *, int, unw_word_t *);
	int (*get_save_loc)(unw_cursor_t *, int, unw_save_loc_t *);
	int (*is_signal_frame)(unw_cursor_t *);
	search_table_fn *search_table;
} unwinder;

/* ---- memory ---------------------------------------------------------------------- */

/* Reads `len` bytes. The known stack, our own stack and the object's tables are read directly; anything else
 * (coroutines, goroutines, a stack whose bounds nobody told) through the kernel, which fails instead of faulting. */
static bool read_memory(const struct pinw_walk *walk, uintptr_t at, void *to, size_t len)
{
	if (at >= walk->stack_lo && at < walk->stack_hi && len <= walk->stack_hi - at) {
		pinw_copy_raw(to, (const void *)at, len);
		return true;
	}
	return pinw_proc_peek(to, (const void *)at, len) == len;
}

static bool is_inside(uintptr_t at, uintptr_t start, uintptr_t end)
{
	return at >= start && at < end && end - at >= sizeof(unw_word_t);
}

static int access_mem(unw_addr_space_t space, unw_word_t at, unw_word_t *word, int write, void *arg)
{
	const struct session *session = arg;

	(void)space;
	if (write)
		return -UNW_EINVAL;
	if (is_inside(at, session->object_start, session->object_end) ||
	    is_inside(at, (uintptr_t)unwinder.stack, (uintptr_t)unwinder.stack_top)) {
		memcpy(word, (const void *)at, sizeof(*word));
		return 0;
	}
	return read_memory(session->walk, at, word, sizeof(*word)) ? 0 : -UNW_EINVAL;
}

static int access_reg(unw_addr_space_t space, unw_regnum_t reg, unw_word_t *value, int write, void *arg)
{
	const struct pinw_registers *start = &((const struct session *)arg)->start;

	(void)space;
	if (write)
		return -UNW_EREADONLYREG;
	switch (reg) {
	case UNW_X86_64_RBX:
		*value = start->rbx;
		return 0;
	case UNW_X86_64_RBP:
		*value = start->rbp;
		return 0;
	case UNW_X86_64_R12:
		*value = start->r12;
		return 0;
	case UNW_X86_64_R13:
		*value = start->r13;
		return 0;
	case UNW_X86_64_R14:
		*value = start->r14;
		return 0;
	case UNW_X86_64_R15:
		*value = start->r15;
		return 0;
	case UNW_X86_64_RSP:
		*value = start->rsp;
		return 0;
	case UNW_X86_64_RIP:
		*value = start->rip;
		return 0;
	default:
		*value = 0; /* not preserved by calls: nothing a caller's frame is found by */
		return 0;
	}
}

/* ---- unwind tables ----------------------------------------------------------------- */

/* The binary search table of .eh_frame_hdr (LSB 5.0, 10.6.2), in the one encoding that linkers write:
 * eh_frame_ptr pcrel sdata4, count udata4, table datarel sdata4. */
struct eh_frame_hdr {
	uint8_t version, eh_frame_ptr_enc, fde_count_enc, table_enc;
	int32_t eh_frame_ptr;
	uint32_t fde_count;
	struct {
		int32_t start, fde;
	} table[];
};

static int search(struct session *session, unw_word_t pc, unw_proc_info_t *info, int need_unwind_info)
{
	struct dl_find_object object;

	if (_dl_find_object((void *)pc, &object) != 0 || !object.dlfo_eh_frame)
		return -UNW_ENOINFO;
	const struct eh_frame_hdr *hdr = object.dlfo_eh_frame;
	if (hdr->version != 1 || hdr->fde_count_enc != 0x03 || hdr->table_enc != 0x3b)
		return -UNW_ENOINFO;
	session->object_start = (uintptr_t)object.dlfo_map_start;
	session->object_end = (uintptr_t)object.dlfo_map_end;
	unw_dyn_info_t table = {
	    .start_ip = session->object_start,
	    .end_ip = session->object_end,
	    .format = UNW_INFO_FORMAT_REMOTE_TABLE,
	    .u.rti =
	        {
	            .segbase = (unw_word_t)hdr,
	            .table_len = hdr->fde_count, /* in words: an entry is one */
	            .table_data = (unw_word_t)hdr->table,
	        },
	};
	return unwinder.search_table(unwinder.space, pc, &table, info, need_unwind_info, session);
}

static int find_proc_info(unw_addr_space_t space, unw_word_t pc, unw_proc_info_t *info, int need_unwind_info,
                          void *arg)
{
	struct session *session = arg;
	int r = search(session, pc, info, need_unwind_info);

	(void)space;
	session->no_info = r < 0;
	return r < 0 ? -UNW_ENOINFO : 0;
}

static void put_unwind_info(unw_addr_space_t space, unw_proc_info_t *info, void *arg)
{
	(void)space, (void)info, (void)arg;
}

static int get_dyn_info_list_addr(unw_addr_space_t space, unw_word_t *list, void *arg)
{
	(void)space, (void)list, (void)arg;
	return -UNW_ENOINFO;
}

static int access_fpreg(unw_addr_space_t space, unw_regnum_t reg, unw_fpreg_t *value, int write, void *arg)
{
	(void)space, (void)reg, (void)value, (void)write, (void)arg;
	return -UNW_EBADREG;
}

static int resume(unw_addr_space_t space, unw_cursor_t *cursor, void *arg)
{
	(void)space, (void)cursor, (void)arg;
	return -UNW_EINVAL;
}

static int get_proc_name(unw_addr_space_t space, unw_word_t pc, char *buf, size_t len, unw_word_t *offset,
                         void *arg)
{
	(void)space, (void)pc, (void)buf, (void)len, (void)offset, (void)arg;
	return -UNW_ENOINFO;
}

static unw_accessors_t accessors = {
    .find_proc_info = find_proc_info,
    .put_unwind_info = put_unwind_info,
    .get_dyn_info_list_addr = get_dyn_info_list_addr,
    .access_mem = access_mem,
    .access_reg = access_reg,
    .access_fpreg = access_fpreg,
    .resume = resume,
    .get_proc_name = get_proc_name,
};

/* ---- open ---------------------------------------------------------------------------- */

/* The library opens the pipe of its local half when first used and keeps it. Our address space never uses it, so
 * it is closed again: no descriptor of ours stays in the host. Constructor only: nobody else is opening
 * files, so the pipe gets the two lowest free numbers. */
static void warm_up(void)
{
	long low = pinw_sys3(SYS_open, "/", O_PATH | O_CLOEXEC, 0);
	long high = pinw_sys3(SYS_open, "/", O_PATH | O_CLOEXEC, 0);
	struct pinw_walk walk = {.cfa = 0};
	struct session session = {.walk = &walk};
	unw_cursor_t cursor;
	struct stat a = {0}, b = {0};

	if (low >= 0)
		pinw_sys1(SYS_close, low);
	if (high >= 0)
		pinw_sys1(SYS_close, high);
	pinw_get_registers(&session.start);
	unwinder.init_remote(&cursor, unwinder.space, &session);
	if (low >= 0 && high >= 0 && pinw_sys2(SYS_fstat, low, &a) == 0 &&
	    pinw_sys2(SYS_fstat, high, &b) == 0 && S_ISFIFO(a.st_mode) && S_ISFIFO(b.st_mode) &&
	    a.st_ino == b.st_ino) {
		pinw_sys1(SYS_close, low);
		pinw_sys1(SYS_close, high);
	}
}

static bool resolve(void *lib)
{
	*(void **)&unwinder.create_addr_space = dlsym(lib, NAME(unw_create_addr_space));
	*(void **)&unwinder.init_remote = dlsym(lib, NAME(unw_init_remote));
	*(void **)&unwinder.step = dlsym(lib, NAME(unw_step));
	*(void **)&unwinder.get_reg = dlsym(lib, NAME(unw_get_reg));
	*(void **)&unwinder.get_save_loc = dlsym(lib, NAME(unw_get_save_loc));
	*(void **)&unwinder.is_signal_frame = dlsym(lib, NAME(unw_is_signal_frame));
	*(void **)&unwinder.search_table = dlsym(lib, NAME(dwarf_search_unwind_table));
	return unwinder.create_addr_space && unwinder.init_remote && unwinder.step && unwinder.get_reg &&
	       unwinder.get_save_loc && unwinder.is_signal_frame && unwinder.search_table;
}

/* Opens a library that calls the C library itself, past every preload and sanitizer: what it does is not the program's doing
 * (ThreadSanitizer took two walks for a race of the target's). By the C library's own dlopen: sanitizers refuse the flag. */
static void *open_apart(const char *name)
{
	void *(*open_library)(const char *, int);

	*(void **)&open_library = dlvsym(RTLD_NEXT, "dlopen", "GLIBC_2.34");
	return open_library ? open_library(name, RTLD_LOCAL | RTLD_NOW | RTLD_DEEPBIND) : NULL;
}

static void take_stack(void)
{
	long p = pinw_sys6(SYS_mmap, 0, STACK_BYTES, PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p <= 0 && p > -4096)
		return;
	unwinder.stack = (char *)p;
	unwinder.stack_top = unwinder.stack + STACK_BYTES;
}

int pinw_unwind_open(void)
{
	struct dl_find_object own;

	take_stack();
	if (_dl_find_object(&unwinder, &own) == 0) {
		unwinder.shim_start = (uintptr_t)own.dlfo_map_start;
		unwinder.shim_end = (uintptr_t)own.dlfo_map_end;
	}
	void *lib = open_apart("libunwind-x86_64.so.8");
	if (!lib || !resolve(lib))
		return -ENOENT;
	unwinder.space = unwinder.create_addr_space(&accessors, 0);
	if (!unwinder.space || !unwinder.stack)
		return -ENOENT;
	warm_up();
	unwinder.usable = true;
	return 0;
}

void pinw_unwind_poison(void)
{
	unwinder.usable = false;
}

bool pinw_on_private_stack(void (*fn)(void *), void *arg)
{
	if (!unwinder.stack)
		return false;
	pinw_on_stack(fn, arg, unwinder.stack_top);
	return true;
}

/* ---- frames --------------------------------------------------------------------------- */

static bool is_own(uintptr_t pc)
{
	return pc >= unwinder.shim_start && pc < unwinder.shim_end;
}

/* Takes a frame unless it is ours. False when the table is full. */
static bool push(struct pinw_walk *walk, struct pinw_frame frame)
{
	if (is_own(frame.pc) && walk->own < OWN_FRAMES_MAX) {
		walk->own++;
		return true;
	}
	if (is_own(frame.pc) || walk->count == PINW_FRAMES_MAX) {
		walk->flags |= PINW_SITE_TRUNCATED;
		return false;
	}
	walk->frames[walk->count++] = frame;
	return true;
}

static bool push_caller(struct pinw_walk *walk)
{
	return push(walk, (struct pinw_frame){.pc = walk->ra, .at = walk->cfa - 8});
}

/* A return address found by frame pointer: code of an object, or (JIT) at least not a small number. */
static bool is_plausible(uintptr_t pc)
{
	return pc >= 65536 && pc < UINT64_C(0x800000000000);
}

/* A frame pointer and the word it was read from. */
struct fp {
	uintptr_t value, at;
};

/* A saved frame pointer and the return address above it. Go's crosscall2 saves its caller's, and in some versions the place of
 * that once more below it, where its own frame pointer points. */
static bool read_pair(const struct pinw_walk *walk, struct fp *fp, uintptr_t pair[2])
{
	if (fp->value & 7 || !read_memory(walk, fp->value, pair, 16))
		return false;
	if (pair[0] != fp->value + 8)
		return true;
	*fp = (struct fp){.value = pair[0], .at = fp->value};
	return read_memory(walk, fp->value, pair, 16);
}

/* Go code was called by what is no code of any object: by C code without a frame pointer, whose register held something
 * else. */
static bool is_beyond_go(const struct pinw_walk *walk, uintptr_t pc)
{
	struct dl_find_object object;

	return walk->count && pinw_go_is_code(walk->frames[walk->count - 1].pc) &&
	       _dl_find_object((void *)(pc - 1), &object) != 0;
}

/* One step from frame pointer *fp. False at the end of the chain; sets TRUNCATED unless the chain ends in the
 * zero that the ABI asks of the outermost frame. */
static bool step_fp(struct pinw_walk *walk, struct fp *fp, struct pinw_registers *ret_frame)
{
	uintptr_t pair[2] = {0, 0};

	if (fp->value == 0)
		return false;
	if (!read_pair(walk, fp, pair) || !is_plausible(pair[1]) || is_beyond_go(walk, pair[1])) {
		walk->flags |= PINW_SITE_TRUNCATED;
		return false;
	}
	*ret_frame = (struct pinw_registers){.rip = pair[1], .rsp = fp->value + 16, .rbp = pair[0]};
	walk->flags |= PINW_SITE_FP;
	if (!push(walk, (struct pinw_frame){.pc = pair[1], .at = fp->value + 8, .fp_at = fp->at}))
		return false;
	/* On one stack the chain only goes up; anything else is garbage unless it changes stacks. */
	if (pair[0] && pair[0] <= fp->value && pair[0] >= walk->cfa - 16) {
		walk->flags |= PINW_SITE_TRUNCATED;
		return false;
	}
	*fp = (struct fp){.value = pair[0], .at = fp->value};
	return true;
}

static void walk_fp(struct pinw_walk *walk)
{
	struct fp fp = {.value = *(uintptr_t *)(walk->cfa - 16), .at = walk->cfa - 16};
	struct pinw_registers frame;

	push_caller(walk);
	while (step_fp(walk, &fp, &frame))
		;
}

/* ---- CFI, then frame pointers, then CFI again -------------------------------------------- */

static uintptr_t reg(unw_cursor_t *cursor, int number)
{
	unw_word_t value = 0;

	return unwinder.get_reg(cursor, number, &value) < 0 ? 0 : value;
}

/* The frame pointer of the cursor's frame, if that is what rbp holds. */
static struct fp frame_pointer(const struct session *session, unw_cursor_t *cursor)
{
	struct fp fp = {.value = reg(cursor, UNW_X86_64_RBP), .at = session->start_fp_at};
	unw_save_loc_t place = {.type = UNW_SLT_NONE};

	if (unwinder.get_save_loc(cursor, UNW_X86_64_RBP, &place) == 0 && place.type == UNW_SLT_MEMORY)
		fp.at = place.u.addr;
	return fp;
}

/* Steps the cursor from here out to the wrapper's caller. */
static bool find_caller(const struct pinw_walk *walk, unw_cursor_t *cursor)
{
	for (unsigned i = 0; i < OWN_FRAMES_MAX; i++) {
		if (reg(cursor, UNW_REG_SP) == walk->cfa && reg(cursor, UNW_REG_IP) == walk->ra)
			return true;
		if (unwinder.step(cursor) <= 0)
			return false;
	}
	return false;
}

/* Walks by frame pointer from `fp` until CFI can take over again, with the cursor on that frame. */
static bool bridge_fp(struct session *session, unw_cursor_t *cursor, struct fp fp)
{
	unw_proc_info_t info;

	while (step_fp(session->walk, &fp, &session->start)) {
		session->start_fp_at = fp.at;
		if (search(session, session->start.rip - 1, &info, 0) < 0)
			continue;
		return unwinder.init_remote(cursor, unwinder.space, session) == 0;
	}
	return false;
}

/* Where a frame's address was read from: the call left it right below the frame's stack pointer. */
static uintptr_t place_of(const struct pinw_walk *walk, uintptr_t pc, uintptr_t sp)
{
	uintptr_t word = 0;

	return read_memory(walk, sp - 8, &word, sizeof(word)) && word == pc ? sp - 8 : 0;
}

/* One frame outwards. False at the end. */
static bool step(struct session *session, unw_cursor_t *cursor)
{
	struct pinw_walk *walk = session->walk;
	struct fp fp = frame_pointer(session, cursor);
	uintptr_t before = reg(cursor, UNW_REG_SP);

	if (unwinder.is_signal_frame(cursor) > 0) {
		/* Where a handler interrupted is chance: the handler's own frames are the site. */
		walk->flags |= PINW_SITE_SIGNAL;
		return false;
	}
	session->no_info = false;
	int r = unwinder.step(cursor);
	if (session->no_info) /* what libunwind guesses without information is not believed */
		return bridge_fp(session, cursor, fp);
	uintptr_t pc = reg(cursor, UNW_REG_IP), sp = reg(cursor, UNW_REG_SP);
	if (r < 0 || (r > 0 && pc && sp == before)) {
		walk->flags |= PINW_SITE_TRUNCATED;
		return false;
	}
	struct pinw_frame frame = {.pc = pc, .at = place_of(walk, pc, sp)};
	if (fp.value + 16 == sp && frame.at) { /* a frame of variable size, perhaps */
		frame.fp_at = fp.at;
		frame.at = fp.at ? frame.at : 0;
	}
	return r > 0 && pc && push(walk, frame);
}

/* The cursor on the wrapper's caller, of which only what a frame pointer tells is known where the wrapper is far. */
static bool start(struct session *session, unw_cursor_t *cursor)
{
	const struct pinw_walk *walk = session->walk;

	if (walk->from_afar) {
		session->start_fp_at = walk->cfa - 16;
		session->start = (struct pinw_registers){
		    .rip = walk->ra, .rsp = walk->cfa, .rbp = *(const uintptr_t *)(walk->cfa - 16)};
	} else
		pinw_get_registers(&session->start);
	return unwinder.init_remote(cursor, unwinder.space, session) == 0 &&
	       (walk->from_afar || find_caller(walk, cursor));
}

static void walk_cfi(void *arg)
{
	struct session session = {.walk = arg};
	unw_cursor_t cursor;

	if (!start(&session, &cursor)) {
		walk_fp(session.walk);
		return;
	}
	push_caller(session.walk);
	while (step(&session, &cursor))
		;
}

void pinw_unwind(struct pinw_walk *walk, bool fp_only)
{
	walk->count = walk->own = 0;
	walk->flags = 0;
	walk->stack_lo =
	    walk->from_afar ? walk->cfa - 16 : pinw_stack_pointer() - 16; /* what pinw_on_stack pushes */
	if (fp_only || !unwinder.usable) {
		pinw_count(unwinds_fp_only, 1);
		walk_fp(walk);
		return;
	}
	pinw_on_stack(walk_cfi, walk, unwinder.stack_top);
}
