/* SPDX-License-Identifier: MIT
 *
 * Where Go code was called from: by the chain of frame pointers, which Go keeps in all of its functions but those
 * without a frame. A goroutine that C code called back into goes on, by the same chain, on the stack of its thread; what
 * is C there is site.c's.
 */
#include "preload/go/go.h"
#include "preload/proc.h"

#define WINDOW_WORDS 96u
#define TWICE                                                                                                \
	8u /* crosscall2's own frame pointer points that far below what it saved of its caller's, in some versions */

static uint64_t word_at(uintptr_t at, uint32_t offset)
{
	return *(const uint64_t *)(at + offset);
}

static bool is_text(const struct pinw_go_runtime *runtime, uintptr_t pc)
{
	return pc > (uintptr_t)runtime->text && pc <= (uintptr_t)runtime->etext;
}

const struct pinw_go_runtime *pinw_go_runtime_at(uintptr_t address)
{
	uint32_t count = __atomic_load_n(&pinw_go.runtime_count, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < count; i++)
		if (is_text(&pinw_go.runtimes[i], address + 1))
			return &pinw_go.runtimes[i];
	return NULL;
}

bool pinw_go_is_code(uintptr_t pc)
{
	return pinw_unlikely(__atomic_load_n(&pinw_go.on, __ATOMIC_ACQUIRE)) && pinw_go_runtime_at(pc - 1);
}

/* ---- a goroutine's stack, seen from C ---------------------------------------------------- */

/* A piece of a stack that is not the thread's own. */
struct window {
	uintptr_t start;
	size_t bytes;
	uintptr_t words[WINDOW_WORDS];
};

static const uintptr_t *pair_at(struct window *w, uintptr_t at)
{
	if (at & 7)
		return NULL;
	if (at < w->start || at - w->start + 16 > w->bytes) {
		w->start = at;
		w->bytes = pinw_proc_peek(w->words, (const void *)at, sizeof(w->words));
	}
	return w->bytes < 16 ? NULL : &w->words[(at - w->start) / 8];
}

int pinw_go_follow(struct pinw_go_path *path, uintptr_t *ret_pcs, unsigned room)
{
	struct window window = {.bytes = 0};
	unsigned n = 0;

	path->pc = 0;
	while (path->fp && n < room) {
		bool is_own = path->fp >= path->low && path->fp + 24 <= path->high && !(path->fp & 7);
		const uintptr_t *pair = is_own ? (const uintptr_t *)path->fp : pair_at(&window, path->fp);

		if (!pair)
			return -1;
		if (is_own && pair[0] == path->fp + TWICE) {
			path->fp += TWICE;
			pair++;
		}
		if (is_own && !pinw_go_is_code(pair[1])) {
			path->pc = pair[1];
			break;
		}
		ret_pcs[n++] = pair[1];
		path->fp = pair[0];
	}
	return (int)n;
}

/* ---- a hook ------------------------------------------------------------------------------- */

/* Where a chain has come. */
struct chain {
	uintptr_t fp;
	uintptr_t pc; /* of C code, where it came there */
	unsigned count;
	uintptr_t pcs[PINW_FRAMES_MAX];
};

/* Follows the chain within one stack and Go's code. False: it has come to other code, with its frame pointer on the frame of the
 * function that was called from there. */
static bool follow(struct chain *chain, const struct pinw_go_runtime *runtime, uintptr_t low, uintptr_t high)
{
	while (chain->fp >= low && chain->fp + 16 <= high && !(chain->fp & 7) &&
	       chain->count < PINW_FRAMES_MAX) {
		if (word_at(chain->fp, 0) == chain->fp + TWICE && chain->fp + 24 <= high)
			chain->fp += TWICE;
		uintptr_t pc = word_at(chain->fp, 8);
		if (!is_text(runtime, pc)) {
			chain->pc = pc;
			return false;
		}
		chain->pcs[chain->count++] = pc;
		low = chain->fp + 16;
		chain->fp = word_at(chain->fp, 0);
	}
	return true;
}

/* From a goroutine onto the stack that its thread came from, as far as that is in use: the runtime keeps where. */
static bool follow_thread(struct chain *chain, const struct pinw_go_runtime *runtime, uintptr_t g)
{
	const struct pinw_thread *self = pinw_tls.thread;
	uintptr_t low = word_at(word_at(word_at(g, PINW_GO_G_M), PINW_GO_M_G0), PINW_GO_G_SP);

	return low <= self->stack_lo || low >= self->stack_hi || follow(chain, runtime, low, self->stack_hi);
}

struct pinw_site_ref pinw_go_site(const struct pinw_go_runtime *runtime, const struct pinw_go_regs *regs)
{
	struct chain chain = {.fp = regs->rbp, .count = regs->ra ? 2 : 1, .pcs = {regs->pc, regs->ra}};
	bool ends = follow(&chain, runtime, word_at(regs->g, PINW_GO_G_STACK_LO),
	                   word_at(regs->g, PINW_GO_G_STACK_HI));

	if (pinw_unlikely(ends && chain.fp && chain.count < PINW_FRAMES_MAX))
		ends = follow_thread(&chain, runtime, regs->g);
	if (pinw_unlikely(!ends))
		return pinw_site_through(chain.pcs, chain.count, PINW_SITE_FP, pinw_tls.thread,
		                         (struct pinw_where){chain.pc, chain.fp + 16});
	return pinw_site_of(chain.pcs, chain.count,
	                    (uint16_t)(PINW_SITE_FP | (chain.fp ? PINW_SITE_TRUNCATED : 0)));
}
