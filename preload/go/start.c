/* SPDX-License-Identifier: MIT
 *
 * When a Go runtime is looked for: in the main program by the constructor, before its first instruction.
 */
#include "preload/enforce.h"
#include "preload/go/go.h"
#include "preload/trace.h"

/* Patches what was found; makes the note about what was not. */
static void take_runtime(struct pinw_go_runtime *runtime, int found)
{
	uint64_t covered = pinw_go_covered();

	if (found > 0) {
		pinw_trace_note(1, (uint32_t)found, 0);
		pinw_enforce_golocks_unseen();
	}
	if (found < 0 || !runtime->text)
		return;
	pinw_go.runtime_count++;
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
	struct pinw_go_runtime *runtime = &pinw_go.runtimes[0];

	take_runtime(runtime, pinw_go_find(runtime));
}
