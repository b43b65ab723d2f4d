/* SPDX-License-Identifier: MIT
 *
 * Where Go code was called from: by the chain of frame pointers, which Go keeps in all of its functions but those
 * without a frame. What lies beyond a callback from C is not followed.
 */
#include "preload/go/go.h"

static uint64_t word_at(uintptr_t at, uint32_t offset)
{
	return *(const uint64_t *)(at + offset);
}

static bool is_text(const struct pinw_go_runtime *runtime, uintptr_t pc)
{
	return pc > (uintptr_t)runtime->text && pc <= (uintptr_t)runtime->etext;
}

/* Within the goroutine's stack and Go's code. */
struct pinw_site_ref pinw_go_site(const struct pinw_go_runtime *runtime, const struct pinw_go_regs *regs)
{
	uintptr_t pcs[PINW_FRAMES_MAX], rbp = regs->rbp;
	uintptr_t low = word_at(regs->g, PINW_GO_G_STACK_LO), high = word_at(regs->g, PINW_GO_G_STACK_HI);
	unsigned count;

	if (regs->ra)
		pcs[1] = regs->ra;
	pcs[0] = regs->pc;
	for (count = regs->ra ? 2 : 1;
	     rbp >= low && rbp + 16 <= high && !(rbp & 7) && count < PINW_FRAMES_MAX; count++) {
		pcs[count] = word_at(rbp, 8);
		if (!is_text(runtime, pcs[count]))
			break;
		low = rbp + 16;
		rbp = word_at(rbp, 0);
	}
	return pinw_site_of(pcs, count, (uint16_t)(PINW_SITE_FP | (rbp ? PINW_SITE_TRUNCATED : 0)));
}
