/* SPDX-License-Identifier: MIT
 *
 * runtime.LockOSThread and its end, counted in Go programs as they were built: cgo executables and shared libraries on x86-64,
 * stripped or not.
 *
 *     start.c   when is one looked for?
 *     find.c    where is the Go runtime of a program?            names → addresses
 *     stretch.c where can inlined locks and unlocks be?          parts of the text
 *     patch_x86_64.c   does it look as it must, to the byte?      jumps to stubs on a page of ours nearby
 *     hook_x86_64.S    from a goroutine's stack to ours and back  → pinw_go_hook
 *     stack.c   where was it called from?                         goroutine's frames → site
 *     memo.c    and is that a stack that came by before?          the site, without its frames' being resolved again
 *     locks.c   what does it do to this thread's lock?            counters, slot, one record
 *     raw.c     whose affinity does it change?                    made and booked like the wrappers' calls
 *
 * Everything is found and written before a runtime's first instruction: by the constructor, or for shared libraries when their
 * first thread is created (start.c). What does not verify is left as it is, the program runs on, and a note in the trace says
 * what is not covered.
 *
 * What is patched: the entry of runtime.LockOSThread; the second of the two stores that end an unlock (UnlockOSThread is
 * inlined everywhere, and only the last of nested unlocks comes by here); the entry of runtime.mexit, where a locked M
 * is destroyed; the entry of runtime.exit, by which Go leaves without the C library; the entry of Syscall6, through which
 * all system calls of Go code go that are not the runtime's own: its stub lets every number but one pass.
 *
 * The runtime's own m.lockedExt says how deep a lock is. It is read, never written. An unlock that the runtime finishes later
 * (the thread was locked by the runtime itself as well, in init functions and in callbacks from C) is counted when it is finished,
 * or when the next lock shows that it came.
 *
 * A hook runs on a stack of the thread's own, since a goroutine's is small, and a stop-the-world waits for the goroutine that
 * is in it. What bounds it: most hooks (pinw_go_quick) wait for nobody, make no system call but what reading the clock may need, and
 * take less than 0.1 us. Of those that fill three quarters of a segment of the trace, one makes the next: some 0.3 ms, more
 * where the disk holds up a write to its cache. Those that find the segment full meanwhile wait for that one, 20 ms at most; then
 * their record is dropped and counted. A stack that is seen for the first time is learnt under a lock, for which others that are new
 * wait, 10 ms at most; with a policy 1 s, since a ban must not be missed, though names are looked up in the program's file in
 * 1 to 3 ms, once. A violation waits for its turn to write to the log. Hooks that a signal handler comes by while one is on the stack
 * do nothing, and are counted as dropped.
 */
#ifndef PINW_GO_H
#define PINW_GO_H

/* For hook_x86_64.S: places in struct pinw_go_area. */
#define PINW_GO_AREA_BUSY 0
#define PINW_GO_AREA_RSP 8
#define PINW_GO_AREA_MISSED 16

/* Of pinw_go_quick: pinw_go_hook has to do it. */
#define PINW_GO_LONG 2

/* struct g begins with its stack's bounds, struct m with its g0, in every version; m as LockOSThread's own code says, and
 * after it what the runtime saves of a g that is left: its stack pointer first. */
#define PINW_GO_G_STACK_LO 0x00
#define PINW_GO_G_STACK_HI 0x08
#define PINW_GO_G_M 0x30
#define PINW_GO_G_SP 0x38
#define PINW_GO_M_G0 0x00

#ifndef __ASSEMBLER__

#	include <stdbool.h>
#	include <stddef.h>
#	include <stdint.h>

#	include "preload/go/pclntab.h"
#	include "preload/shim.h"
#	include "preload/site.h"

/* Finds and patches the Go runtime of the main program. Constructor only; nothing happens in any other program. */
void pinw_go_start(void);

/* A thread is about to be created that begins at `routine`. When that is how a Go runtime in a shared library begins, it is
 * found and patched. In the creator, whose stack may be small. */
void pinw_go_creates(const void *routine);

/* In a fork child. */
void pinw_go_child(void);

/* How many places are watched for locks and unlocks, in all runtimes. */
uint64_t pinw_go_covered(void);

/* Is there a Go program or library in this process? */
bool pinw_go_is_here(void);

/* Is a thread about to be created with this argument the template thread of a Go runtime, on which it starts threads when
 * the present one is locked? It is the runtime's own, started once. */
bool pinw_go_is_template(const void *arg);

/* The end of the image: unlocks that nobody saw are booked. */
void pinw_go_image_end(uint64_t now_ns);

/* A thread starts, in itself: it gets what hooks need. Ends: a lock that is still open is booked as destroyed with it. */
void pinw_go_thread_begin(void);
void pinw_go_thread_end(uint64_t now_ns);

/* Is this code of a Go runtime that was found, or of what is linked with it? */
bool pinw_go_is_code(uintptr_t pc);

/* A chain of frame pointers, as Go keeps it. */
struct pinw_go_path {
	uintptr_t fp; /* where it goes on; where it has come */
	uintptr_t low, high; /* stack of the thread's own, which may be read; elsewhere memory is asked for */
	uintptr_t pc; /* set: a return address in C code, on the thread's own stack; 0: it came to an end */
};

/* Follows the chain from a goroutine's stack up to its first function, or to the C code that called back into Go there, for at
 * most `room` return addresses. Returns their number; -1: it leads nowhere. */
int pinw_go_follow(struct pinw_go_path *path, uintptr_t *ret_pcs, unsigned room);

/* Records what Go calls the functions of a stack's frames, those of its code that this image's trace does not have yet: a
 * trace is read when the program's file may be gone, as that of a test is. Needs the site lock. */
void pinw_go_names(const struct pinw_rec_frame *frames, unsigned count);

/* ---- within preload/go --------------------------------------------------------------------- */

/* What was verified. */
struct pinw_go_layout {
	uint32_t m_locked_ext; /* of m: LockOSThread calls not undone */
	uint32_t m_locked_g; /* of m */
	uint32_t g_locked_m; /* of g */
	uint32_t g_goid;
};

/* Memory of the program that may be read; start NULL: none. */
struct pinw_go_bytes {
	const uint8_t *start;
	uint64_t bytes;
};

/* Where a runtime is. Addresses are those of this process. */
struct pinw_go_runtime {
	const unsigned char *text; /* Go's own code, [text, etext) */
	const unsigned char *etext;
	const unsigned char *lock; /* runtime.LockOSThread, NULL: not linked */
	const unsigned char *mexit; /* runtime.mexit */
	const unsigned char *exit; /* runtime.exit */
	const unsigned char
	    *syscall; /* Syscall6 of the runtime's package for system calls, from Go 1.19 on */
	const unsigned char
	    *signal_lock; /* runtime.ensureSigM.func1, [signal_lock, signal_lock_end): the runtime's own */
	const unsigned char *signal_lock_end;
	const unsigned char *template; /* runtime.templateThread; NULL: unknown */
	bool template_started; /* atomic */
	struct pinw_pclntab table; /* of functions, as the program has it in its memory */
	struct pinw_go_bytes calls[PINW_PCLNTAB_PLACES]; /* what tables of inlined calls may be in */
	bool inlined; /* LockOSThread is in its callers only */
	bool plugins; /* it can load Go code that is not looked at */
	struct pinw_go_layout layout; /* once it is verified */
};

#	define PINW_GO_RUNTIMES_MAX 8u /* a process has as many as it has Go programs and libraries */
#	define PINW_GO_FIRST_BYTES 19u

/* Finds the runtime of the main program, or of the object that `routine`, its first thread's, is in. Returns 0; -ENOENT: no Go
 * program; else the note that says why (enum pinw_note). One at a time. */
int pinw_go_find(struct pinw_go_runtime *ret_runtime);
int pinw_go_find_library(const void *routine, struct pinw_go_runtime *ret_runtime);

/* Are these PINW_GO_FIRST_BYTES bytes the function that a runtime's first thread in a library begins with? */
bool pinw_go_is_first(const unsigned char *code);

/* The runtime whose code is at `address`; NULL: none. */
const struct pinw_go_runtime *pinw_go_runtime_at(uintptr_t address);

/* Is this return address in a function of package runtime? */
bool pinw_go_is_runtime_code(const struct pinw_go_runtime *runtime, uintptr_t pc);

/* Calls fn for every stretch of the text, [start, end), that may have code of the functions that lock and unlock. One at a time. */
typedef void (*pinw_go_stretch_fn)(const unsigned char *start, const unsigned char *end);
void pinw_go_each_stretch(const struct pinw_go_runtime *runtime, pinw_go_stretch_fn fn);

enum pinw_go_patch_kind {
	PINW_GO_LOCK = 1,
	PINW_GO_UNLOCK = 2,
	PINW_GO_MEXIT = 3,
	PINW_GO_EXIT = 4,
	PINW_GO_SYSCALL = 5,
};

struct pinw_go_patch {
	uint32_t kind; /* enum pinw_go_patch_kind */
	bool
	    frameless; /* in a function without a frame of its own: the return address is on top of the stack */
	uintptr_t address; /* of the first displaced instruction */
	uintptr_t next; /* after the displaced ones */
	const struct pinw_go_runtime *runtime; /* whose code it is in */
};

#	define PINW_GO_PATCHES_MAX 4096u
#	define PINW_GO_PLACES_MAX 1024u /* in one runtime */

/* Grows only: what a patch names is complete before a jump to its stub is written. */
struct pinw_go_state {
	bool on; /* atomic: hooks are in place */
	uint32_t runtime_count;
	uint32_t patch_count;
	uint32_t covered; /* atomic: patches of runtimes whose locks are counted */
	struct pinw_go_runtime runtimes[PINW_GO_RUNTIMES_MAX];
	struct pinw_go_patch patches[PINW_GO_PATCHES_MAX];
};

extern struct pinw_go_state pinw_go;

/* Verifies and patches a runtime, whose code no thread may be in; adds to pinw_go. Makes the notes about what it leaves
 * alone. One at a time. */
void pinw_go_patch(struct pinw_go_runtime *runtime);

/* What a thread has for its hooks, at the top of the stack they run on. */
struct pinw_go_area {
	uint32_t busy; /* a hook is on the stack */
	uint32_t depth; /* atomic: of the open lock, as far as seen; 0: none is open */
	uint64_t host_rsp; /* of the goroutine, meanwhile */
	uint32_t missed; /* hooks that passed by because one was on the stack, not yet counted */
	uint32_t reserved;
	uint64_t since_ns;
	uint64_t goid;
	uint32_t site; /* of the outermost lock */
	uint32_t next_free; /* number + 1 of the next free area */
	uint32_t number;
	uint32_t image_gen; /* image that the open lock was booked in */
	const struct pinw_go_runtime *runtime; /* that the open lock is of */
	uintptr_t m; /* that the open lock is of */
	struct pinw_thread *thread; /* likewise */
	uint32_t seq; /* its start sequence */
	bool lent; /* a callback from a thread of C's: the M is lent to it, and the runtime keeps it locked */
};

#	define PINW_GO_AREA_HEAD 128u /* bytes of the area's memory above the stack */

/* The calling thread's; NULL: hooks pass by. */
extern __thread struct pinw_go_area *pinw_go_area __attribute__((tls_model("initial-exec")));

/* An area for the calling thread, or NULL without memory. Lock-free. */
struct pinw_go_area *pinw_go_area_take(void);
void pinw_go_area_give(struct pinw_go_area *area);

/* The same for a thread that was there before the first runtime, and comes to its first hook. Called by the entries in
 * hook_x86_64.S, on a stack for that; pinw_go_missed counts, atomically, the hooks that could not wait for it; pinw_go_first_busy is
 * 1 while a thread is in there. */
struct pinw_go_area *pinw_go_area_first(void);
extern uint32_t pinw_go_missed, pinw_go_first_busy;

/* Calls fn for each area that was ever taken. */
void pinw_go_area_each(void (*fn)(struct pinw_go_area *, void *), void *arg);

/* The registers of Go code that tell where it is. */
struct pinw_go_regs {
	uintptr_t pc; /* a return address, or what follows the patched instructions */
	uintptr_t ra; /* of a function that has no frame, and is in none of the chain's; else 0 */
	uintptr_t rbp;
	uintptr_t g;
};

/* The site of a stack at a hook, called from Go code by a thread that is known to the shim: of the goroutine's frames, those
 * of C code that called them, and what called that. Lock-free when it is known. */
struct pinw_site_ref pinw_go_site(const struct pinw_go_runtime *runtime, const struct pinw_go_regs *regs);

/* The same as pinw_go_site, which it asks; the next time that stack comes by, on any goroutine, pinw_go_known_site knows it. */
struct pinw_site_ref pinw_go_learn_site(const struct pinw_go_runtime *runtime,
                                        const struct pinw_go_regs *regs);

/* The site of a stack that was learnt; 0: ask pinw_go_learn_site. For pinw_go_quick. */
uint32_t pinw_go_known_site(const struct pinw_go_regs *regs);

/* What a stub leaves on the goroutine's stack, from pinw_go_enter on. */
struct pinw_go_frame {
	uint64_t flags; /* as lahf and seto have them in ax; not at an entry */
	uint64_t rax;
	uint64_t stub;
	uint64_t patch; /* index in pinw_go.patches */
	uint64_t top[]; /* the stack as the patched code has it; at an entry: the return address first */
};

/* What comes after a hook. */
enum pinw_go_then {
	PINW_GO_ON = 0, /* the patched code, as if there were no hook */
	PINW_GO_RETURN =
	    1, /* the function returns at once. At its entry only, and only where that is a call that did nothing */
};

/* Called by the entries below on the area's stack. `rbp` and `g` are the registers of the patched code. pinw_go_quick does
 * what comes again and again, and has done nothing where it says PINW_GO_LONG: then pinw_go_hook is called, which may use
 * every register and call everything. */
int pinw_go_quick(const struct pinw_go_frame *frame, uintptr_t rbp, uintptr_t g);
enum pinw_go_then pinw_go_hook(const struct pinw_go_frame *frame, uintptr_t rbp, uintptr_t g);

/* What the stub of Syscall6 leaves there. */
struct pinw_go_call {
	uint64_t stub;
	uint64_t patch;
	uint64_t caller; /* the return address */
};

/* sched_setaffinity, asked for at Syscall6. Called on the area's stack, instead of that function. Returns the kernel's
 * result. */
long pinw_go_raw(uint32_t pid, size_t cpusetsize, const void *mask, const struct pinw_go_call *call,
                 uintptr_t rbp, uintptr_t g);

/* Do system calls go through this function, with number and arguments where pinw_go_enter_syscall takes them from? */
bool pinw_go_is_syscall(const unsigned char *entry);

/* Before the first hook. */
void pinw_go_enter_init(void);

/* In hook_x86_64.S: where stubs call. At the entry of a Go function without arguments, anywhere, and at Syscall6. */
extern const char pinw_go_enter_function[];
extern const char pinw_go_enter_anywhere[];
extern const char pinw_go_enter_syscall[];

#endif /* __ASSEMBLER__ */
#endif
