/* SPDX-License-Identifier: MIT
 *
 * Getting ready: in the constructor, or earlier in the first wrapper that a
 * dependency's constructor calls; and again in each fork child. Before the
 * constructor nothing that may allocate is done, so libunwind and the vDSO clock
 * come with the constructor.
 */
#include "preload/shim.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/enforce.h"
#include "preload/go/go.h"
#include "preload/image.h"
#include "preload/life.h"
#include "preload/log.h"
#include "preload/module.h"
#include "preload/proc.h"
#include "preload/process.h"
#include "preload/real.h"
#include "preload/registry.h"
#include "preload/site.h"
#include "preload/trace.h"
#include "preload/unwind.h"

#define MADV_WIPEONFORK_ 18 /* Linux 4.14 */

extern void *__libc_stack_end; /* of ld.so: where the kernel put the number of arguments */

static struct pinw_trace_live spare_live; /* counters while there is no trace */
static struct pinw_trace_setup setup; /* too large for a small stack */
static struct pinw_identity own_identity;
static struct pinw_thread_copy fork_copy;
static uint32_t image_flags; /* PINW_HDR_* that hold for fork children too */

struct pinw_shim pinw_shim = {.image_gen = 1, .live = &spare_live};
__thread struct pinw_tls pinw_tls;

_Static_assert(sizeof(struct pinw_tls) <= 64, "the shim may take 64 bytes of static TLS");

/* ---- off ---------------------------------------------------------------------------- */

void pinw_off(const char *why, int error)
{
	static char line[PINW_PATH_MAX + 256];
	size_t n;

	__atomic_store_n(&pinw_shim.status, PINW_STATUS_OFF, __ATOMIC_RELEASE);
	n = pinw_put(line, sizeof(line), 0, "pinwarden: recording is off: ");
	for (; *why; why++) /* paths come from outside */
		n = pinw_put_bytes(line, sizeof(line), n,
		                   (unsigned char)*why < ' ' || *why == 127 ? "?" : why, 1);
	n = pinw_put(line, sizeof(line), n, ": ");
	const char *name = strerrordesc_np(error);
	n = pinw_put(line, sizeof(line), n, name ? name : "unknown error");
	n = pinw_put(line, sizeof(line), n, "\n");
	pinw_proc_stderr(line, n);
}

/* ---- start -------------------------------------------------------------------------- */

/* A word that the kernel zeroes in every fork child, whatever way it was forked. */
static int make_canary(void)
{
	long p = pinw_sys6(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p < 0 && p > -4096)
		return (int)p;
	long r = pinw_sys3(SYS_madvise, p, 4096, MADV_WIPEONFORK_);
	if (r < 0)
		return (int)r;
	pinw_shim.fork_canary = (uint32_t *)p;
	return 0;
}

/* Opens this image's trace; that of a fork child which cannot have one but must be judged is memory that nobody reads. */
static int open_trace(const struct pinw_identity *parent, bool is_child, struct pinw_trace_live **ret_live)
{
	int r = pinw_image_create(&setup, parent);

	setup.header.flags |= image_flags;
	if (r == 0)
		r = pinw_trace_open(&setup, ret_live);
	if (r < 0 && is_child && pinw_enforce_unrecorded(-r)) {
		setup.fd = -1;
		setup.path[0] = '\0';
		r = pinw_trace_open(&setup, ret_live);
	}
	return r;
}

/* Opens this image's trace and makes its main thread. */
static int start_image(const struct pinw_identity *parent, const struct pinw_thread_copy *inherit)
{
	struct pinw_trace_live *live = NULL;
	int r = open_trace(parent, inherit != NULL, &live);

	if (r < 0 || !live)
		return r < 0 ? r : -ENOMEM;
	pinw_shim.start_mono_ns = setup.header.start_mono_ns;
	own_identity = setup.header.self;
	live->next_thread = 1;
	pinw_shim.live = live;
	r = pinw_registry_init();
	if (r < 0)
		return r;
	pinw_enforce_start_image();
	live->counters.golocks_covered = pinw_go_covered();
	pinw_life_main(inherit);
	return 0;
}

static void off_for_image(int error)
{
	static char why[PINW_PATH_MAX + 32]; /* off the stack: a fork child's may be small */
	size_t n = pinw_put(why, sizeof(why), 0, "cannot create ");

	pinw_put(why, sizeof(why), n, setup.path[0] ? setup.path : pinw_config.output);
	pinw_off(why, -error);
}

/* The C library has its environment from its own constructor on, and a program's .preinit_array runs before that: then it
 * is found where the kernel left it, behind the arguments (x86-64 psABI, 3.4.1). */
static char **first_environ(void)
{
	const long *argc = __libc_stack_end;

	return environ ? environ : (char **)(argc + 1 + *argc + 1);
}

static void start_first_image(void)
{
	unsigned missing_index = 0;
	unsigned missing = pinw_real_resolve(&missing_index);

	pinw_shim.pid = pinw_proc_pid();
	pinw_proc_stderr_init();
	if (getauxval(AT_SECURE) || !pinw_image_configure(first_environ())) {
		__atomic_store_n(&pinw_shim.status, PINW_STATUS_OFF, __ATOMIC_RELEASE);
		return;
	}
	pinw_shim.mask_words = pinw_proc_mask_words();
	pinw_proc_affinity(0, pinw_shim.baseline, pinw_shim.mask_words);
	int r = make_canary();
	if (r < 0) {
		pinw_off("no MADV_WIPEONFORK", -r);
		return;
	}
	pinw_life_init();
	if (pinw_clock_is_faked())
		image_flags |= PINW_HDR_CLOCK_MISMATCH;
	pinw_enforce_load();
	r = start_image(NULL, NULL);
	if (r < 0) {
		off_for_image(r);
		pinw_enforce_lost(true);
		return;
	}
	pinw_module_init(setup.header.exe, setup.header.exe_len);
	*pinw_shim.fork_canary = pinw_shim.image_gen;
	if (missing)
		pinw_trace_note(1, PINW_NOTE_SYMBOL_MISSING, missing_index);
	__atomic_store_n(&pinw_shim.status, PINW_STATUS_ON, __ATOMIC_RELEASE);
}

void pinw_ensure_init(void)
{
	int status = PINW_STATUS_NEW;

	if (!__atomic_compare_exchange_n(&pinw_shim.status, &status, PINW_STATUS_STARTING, false,
	                                 __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
		while (status == PINW_STATUS_STARTING && !pinw_tls.starting) {
			pinw_sys0(SYS_sched_yield);
			status = __atomic_load_n(&pinw_shim.status, __ATOMIC_ACQUIRE);
		}
		return;
	}
	pinw_tls.starting = 1;
	start_first_image();
	pinw_tls.starting = 0;
}

/* ---- fork ---------------------------------------------------------------------------- */

/* What the child keeps of the thread that forked. Its slot is the parent's, who may have changed its pin since: depth and
 * site are in private memory, the mask is the kernel's. */
static const struct pinw_thread_copy *copy_forker(void)
{
	const struct pinw_thread *thread = pinw_tls.thread;

	memset(&fork_copy, 0, sizeof(fork_copy));
	pinw_mask_copy(fork_copy.mask, pinw_shim.baseline, pinw_shim.mask_words);
	if (!thread)
		return &fork_copy;
	memcpy(fork_copy.name, thread->slot->name, sizeof(fork_copy.name));
	fork_copy.stack_hi = thread->stack_hi;
	fork_copy.stack_lo = thread->stack_lo;
	fork_copy.pin_depth = thread->pin_depth;
	fork_copy.pin_site = thread->pin_site;
	if (thread->pin_depth && !pinw_shim.sealed)
		pinw_proc_affinity(0, fork_copy.mask, pinw_shim.mask_words);
	return &fork_copy;
}

/* Leaves the parent's trace and starts the child's own. A sealed child may not open one: it goes unrecorded. */
static void restart_image(void)
{
	const struct pinw_thread_copy *copy = copy_forker();
	struct pinw_identity parent = own_identity;
	int status = PINW_STATUS_OFF;

	pinw_trace_abandon();
	pinw_shim.live = &spare_live;
	pinw_shim.shared_vm = false;
	pinw_shim.image_gen++;
	pinw_site_child();
	pinw_log_child();
	pinw_go_child();
	pinw_tls.thread = NULL;
	pinw_tls.in_vfork = 0;
	if (pinw_config.follow && !pinw_shim.sealed) {
		pinw_shim.pid = pinw_proc_pid();
		int r = start_image(&parent, copy);
		if (r < 0) {
			off_for_image(r);
			pinw_enforce_lost(false);
		} else
			status = PINW_STATUS_ON;
	}
	*pinw_shim.fork_canary = pinw_shim.image_gen;
	__atomic_store_n(&pinw_shim.status, status, __ATOMIC_RELEASE);
}

void pinw_child_init(void)
{
	uint64_t all = ~UINT64_C(0), before = 0;
	bool sealed = pinw_shim.sealed;

	if (__atomic_load_n(&pinw_shim.status, __ATOMIC_ACQUIRE) != PINW_STATUS_ON || *pinw_shim.fork_canary)
		return;
	/* A handler that forks halfway would have a child that believes it is us. */
	if (!sealed)
		pinw_sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	pinw_tls.starting = 1;
	__atomic_store_n(&pinw_shim.status, PINW_STATUS_STARTING, __ATOMIC_RELEASE);
	restart_image();
	pinw_tls.starting = 0;
	if (!sealed)
		pinw_sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof(before));
}

/* ---- the way in ------------------------------------------------------------------------ */

struct pinw_thread *__attribute__((noinline)) pinw_enter_slow(void)
{
	if (__atomic_load_n(&pinw_shim.status, __ATOMIC_ACQUIRE) < PINW_STATUS_ON)
		pinw_ensure_init();
	if (__atomic_load_n(&pinw_shim.status, __ATOMIC_ACQUIRE) != PINW_STATUS_ON)
		return NULL;
	if (!*pinw_shim.fork_canary)
		pinw_child_init();
	if (__atomic_load_n(&pinw_shim.status, __ATOMIC_ACQUIRE) != PINW_STATUS_ON)
		return NULL;
	if (pinw_tls.thread)
		return pinw_tls.thread;
	if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED)) {
		pinw_count(events_dropped, 1); /* a stranger that may not be asked who it is */
		return NULL;
	}
	return pinw_life_adopt_self();
}

bool pinw_is_own_process(void)
{
	if (pinw_tls.in_vfork) /* even in a pid namespace of its own, where it may have our pid */
		return false;
	if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return !__atomic_load_n(&pinw_shim.shared_vm, __ATOMIC_RELAXED);
	return pinw_proc_pid() == pinw_shim.pid && pinw_proc_tid() == pinw_tls.tid;
}

/* ---- what may allocate ------------------------------------------------------------------ */

static void at_exit(int status, void *unused)
{
	(void)unused;
	if (pinw_enter())
		pinw_image_end(PINW_END_EXIT, (uint32_t)status & 0xff);
}

/* The main thread's stack ends above its arguments. */
static void know_main_stack(char **argv)
{
	struct pinw_thread *main_thread = pinw_tls.thread;
	uint64_t limit[2] = {0, 0};

	if (!main_thread || !(main_thread->slot->flags & PINW_THREAD_MAIN))
		return;
	if (pinw_sys4(SYS_prlimit64, 0, 3 /* RLIMIT_STACK */, 0, limit) < 0 || limit[0] == 0 ||
	    limit[0] > UINT64_C(1) << 30)
		limit[0] = UINT64_C(1) << 30;
	main_thread->stack_hi = (uintptr_t)argv;
	main_thread->stack_lo = (uintptr_t)argv - limit[0];
}

void pinw_construct(char **argv)
{
	pinw_ensure_init();
	if (pinw_shim.status != PINW_STATUS_ON)
		return;
	know_main_stack(argv);
	pinw_clock_init();
	pinw_site_init();
	if (pinw_unwind_open() < 0) {
		image_flags |= PINW_HDR_NO_UNWINDER;
		pinw_trace_set_flags(PINW_HDR_NO_UNWINDER);
	}
	pthread_atfork(NULL, NULL, pinw_child_init);
	on_exit(at_exit, NULL);
	pinw_go_start();
}
