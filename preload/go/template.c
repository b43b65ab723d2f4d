/* SPDX-License-Identifier: MIT
 *
 * Whose code is that, and whose thread? Questions that rules on Go programs ask.
 *
 * cgo starts each thread with a copy of {g, tls, fn} (runtime/cgo, struct ThreadStart). That g is the g0 of the new M, whose
 * mstartfn, a place that differs from version to version, points to a word with the address of the function to run. The
 * C library starts threads too, whose argument may be anything: all is read as memory that may not be there.
 */
#include <string.h>

#include "preload/go/go.h"
#include "preload/proc.h"

#define M_WORDS 64u /* of struct m, among which mstartfn is */
#define NEAR (UINT64_C(1) << 30) /* a program is smaller */

struct thread_start {
	uintptr_t g, tls, fn;
};

bool pinw_go_is_here(void)
{
	return __atomic_load_n(&pinw_go.runtime_count, __ATOMIC_RELAXED) > 0;
}

bool pinw_go_is_runtime_code(const struct pinw_go_runtime *runtime, uintptr_t pc)
{
	uint64_t i;
	size_t len;
	const char *name = pinw_pclntab_find(&runtime->table, pc - 1, &i)
	                       ? pinw_pclntab_name(&runtime->table, i, &len)
	                       : NULL;

	return name && strncmp(name, "runtime.", 8) == 0;
}

static bool peek(void *to, uintptr_t from, size_t len)
{
	return from && pinw_proc_peek(to, (const void *)from, len) == len;
}

static bool is_near(const struct pinw_go_runtime *runtime, uintptr_t address)
{
	uintptr_t text = (uintptr_t)runtime->text;

	return address % 8 == 0 && (address > text ? address - text : text - address) < NEAR;
}

/* Is one of the M's words a pointer to the function's address? */
static bool starts_template(const struct pinw_go_runtime *runtime, const uintptr_t *m)
{
	uintptr_t function;

	for (unsigned i = 1; i < M_WORDS; i++)
		if (m[i] && is_near(runtime, m[i]) && peek(&function, m[i], sizeof(function)) &&
		    function == (uintptr_t)runtime->template)
			return true;
	return false;
}

static bool is_template_of(struct pinw_go_runtime *runtime, const void *arg)
{
	struct thread_start start;
	uintptr_t at, m[M_WORDS];

	if (!peek(&start, (uintptr_t)arg, sizeof(start)) || start.fn < (uintptr_t)runtime->text ||
	    start.fn >= (uintptr_t)runtime->etext || !peek(&at, start.g + PINW_GO_G_M, sizeof(at)) ||
	    !peek(m, at, sizeof(m)) || m[0] != start.g || !starts_template(runtime, m))
		return false;
	__atomic_store_n(&runtime->template_started, true, __ATOMIC_RELAXED);
	return true;
}

bool pinw_go_is_template(const void *arg)
{
	uint32_t count = __atomic_load_n(&pinw_go.runtime_count, __ATOMIC_RELAXED);

	for (uint32_t i = 0; pinw_unlikely(i < count); i++) {
		struct pinw_go_runtime *runtime = &pinw_go.runtimes[i];

		if (runtime->template && !__atomic_load_n(&runtime->template_started, __ATOMIC_RELAXED) &&
		    is_template_of(runtime, arg))
			return true;
	}
	return false;
}
