/* SPDX-License-Identifier: MIT
 *
 * When a Go runtime is looked for, and patched: before its first instruction, when nobody can be in its code.
 *
 * The main program's by our constructor, which comes before the program's own entry. A shared library's (c-shared; loaded
 * at start or by dlopen) when its constructor creates the runtime's first thread, which it does through our pthread_create:
 * constructors of libraries that the program is linked with may well run before ours. At that time only that constructor
 * is in the library's code, in two functions that are not patched (_rt0_amd64_lib, runtime.libpreinit) and in C: nobody else
 * has been given the library, for the loader holds its lock until the constructor is through, and its exported functions
 * first wait for the runtime to be ready (_cgo_wait_runtime_init_done).
 *
 * The thread is known by its start routine, three instructions that no compiler makes of C. That is all that a program
 * without Go pays for. Go's libraries are never unloaded (DF_1_NODELETE): what is patched stays.
 */
#include <dlfcn.h>

#include "preload/enforce.h"
#include "preload/go/go.h"
#include "preload/lock.h"
#include "preload/trace.h"

#define WAIT_NS UINT64_C(1000000000) /* for another library to be patched */

static struct pinw_lock lock; /* all that changes pinw_go */

/* Patches what was found; makes the note about what was not. */
static void take_runtime(struct pinw_go_runtime *runtime, int found)
{
	uint64_t covered = pinw_go_covered();

	if (found > 0) {
		pinw_trace_note(pinw_tls.seq, (uint32_t)found, 0);
		pinw_enforce_golocks_unseen();
	}
	if (found < 0 || !runtime->text)
		return;
	__atomic_fetch_add(&pinw_go.runtime_count, 1, __ATOMIC_RELEASE);
	if (runtime->plugins)
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_GO_PLUGINS, 0);
	pinw_go_enter_init();
	pinw_go_patch(runtime);
	if (runtime->lock && pinw_go_covered() == covered)
		pinw_enforce_golocks_unseen();
	pinw_shim.live->counters.golocks_covered = pinw_go_covered();
	if (pinw_go.on && !pinw_go_area)
		pinw_go_area = pinw_go_area_take();
}

void pinw_go_start(void)
{
	struct pinw_go_runtime *runtime = &pinw_go.runtimes[pinw_go.runtime_count];
	struct pinw_lock_state state;

	if (pinw_lock_take(&lock, WAIT_NS, &state) < 0)
		return;
	take_runtime(runtime, pinw_go_find(runtime));
	pinw_lock_give(&lock, &state);
}

/* ---- libraries --------------------------------------------------------------------------- */

static void take_library(const void *routine)
{
	struct pinw_go_runtime *runtime = &pinw_go.runtimes[pinw_go.runtime_count];

	if (pinw_go_runtime_at((uintptr_t)routine))
		return; /* a thread that could not be created is tried again */
	if (pinw_go.runtime_count == PINW_GO_RUNTIMES_MAX) {
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_GO_LIBRARY, PINW_GO_RUNTIMES_MAX);
		pinw_enforce_golocks_unseen();
		return;
	}
	take_runtime(runtime, pinw_go_find_library(routine, runtime));
}

/* Apart: not on the stack of every pthread_create. */
static void __attribute__((noinline)) see_library(const void *routine)
{
	struct pinw_lock_state state;

	if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED) ||
	    pinw_lock_take(&lock, WAIT_NS, &state) < 0) {
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_GO_LIBRARY, 0);
		pinw_enforce_golocks_unseen();
		return;
	}
	take_library(routine);
	pinw_lock_give(&lock, &state);
}

void pinw_go_creates(const void *routine)
{
	struct dl_find_object object;

	/* Is it code of an object's? A start routine may lie where nothing can be read. */
	if (_dl_find_object((void *)(uintptr_t)routine, &object) == 0 &&
	    (uintptr_t)object.dlfo_map_end - (uintptr_t)routine >= PINW_GO_FIRST_BYTES &&
	    pinw_unlikely(pinw_go_is_first(routine)))
		see_library(routine);
}

void pinw_go_child(void)
{
	__atomic_store_n(&pinw_go_first_busy, 0,
	                 __ATOMIC_RELAXED); /* who was in there stayed with the parent */
	pinw_lock_reset(&lock);
}
