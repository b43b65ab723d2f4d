/* SPDX-License-Identifier: MIT
 *
 * Recognises stacks of goroutines that came by before, by the words of their chain of frame pointers: the return addresses, and
 * each frame's distance from the innermost one, at the places where they were the last time. All of them are compared, so an
 * answer is as good as a walk; but they are read side by side, where a walk waits for each frame to tell of the next one, and
 * nothing is hashed and looked up. Memos are shared by all threads, and immutable but for their generations once published.
 *
 * Only chains that end where Go's do are learnt: with a frame pointer of 0, below which a goroutine has nothing, or with the last
 * frame that is recorded. pinw_go_known_site is part of pinw_go_quick and calls nothing.
 */
#include "preload/arena.h"
#include "preload/enforce.h"
#include "preload/go/go.h"
#include "preload/intern.h"
#include "preload/module.h"

#define BUCKETS 1024u
#define CHAIN_MAX 16u /* memos of one bucket; further stacks are looked up by their frames */

struct memo {
	struct memo *next; /* of the same bucket, atomic */
	uintptr_t pc, ra;
	uint32_t site; /* atomic */
	uint32_t image_gen; /* atomic: image whose trace holds the site's record */
	uint32_t module_gen; /* atomic */
	uint32_t count;
	bool truncated; /* there are more frames than are recorded */
	struct {
		uintptr_t pc; /* return address */
		uintptr_t offset; /* of the frame pointer from the first one */
	} frames[];
};

static struct memo *memos[BUCKETS]; /* atomic */

static uint64_t word_at(uintptr_t at, uint32_t offset)
{
	return *(const uint64_t *)(at + offset);
}

static bool is_frame(uintptr_t rbp, uintptr_t low, uintptr_t high)
{
	return rbp >= low && rbp + 16 <= high && !(rbp & 7);
}

/* Of a stack whose first frame is there. */
static struct memo **bucket_of(const struct pinw_go_regs *regs)
{
	return &memos[(regs->pc ^ word_at(regs->rbp, 8) << 7) * UINT64_C(0x9e3779b97f4a7c15) >> 54];
}

_Static_assert(BUCKETS == 1u << (64 - 54), "the bucket is the hash's top bits");

static bool matches(const struct memo *memo, const struct pinw_go_regs *regs, uintptr_t high)
{
	uint32_t last = memo->count - 1;

	if (memo->pc != regs->pc || memo->ra != regs->ra || regs->rbp + memo->frames[last].offset + 16 > high)
		return false;
	for (uint32_t i = 0; i < last; i++) {
		uintptr_t at = regs->rbp + memo->frames[i].offset;

		if (word_at(at, 8) != memo->frames[i].pc ||
		    word_at(at, 0) != regs->rbp + memo->frames[i + 1].offset)
			return false;
	}
	uintptr_t at = regs->rbp + memo->frames[last].offset;
	return word_at(at, 8) == memo->frames[last].pc && (word_at(at, 0) != 0) == memo->truncated;
}

/* The memo of this stack, and how many its bucket has. */
static struct memo *find(const struct pinw_go_regs *regs, unsigned *ret_same)
{
	uintptr_t low = word_at(regs->g, PINW_GO_G_STACK_LO), high = word_at(regs->g, PINW_GO_G_STACK_HI);
	unsigned same = 0;

	*ret_same = 0;
	if (pinw_unlikely(!is_frame(regs->rbp, low, high)))
		return NULL;
	struct memo *memo = __atomic_load_n(bucket_of(regs), __ATOMIC_ACQUIRE);
	for (; memo; memo = __atomic_load_n(&memo->next, __ATOMIC_ACQUIRE), same++)
		if (pinw_likely(matches(memo, regs, high)))
			return memo;
	*ret_same = same;
	return NULL;
}

uint32_t pinw_go_known_site(const struct pinw_go_regs *regs)
{
	unsigned same;
	const struct memo *memo = find(regs, &same);

	if (pinw_unlikely(!memo) ||
	    pinw_unlikely(__atomic_load_n(&memo->image_gen, __ATOMIC_ACQUIRE) != pinw_shim.image_gen) ||
	    pinw_unlikely(__atomic_load_n(&memo->module_gen, __ATOMIC_ACQUIRE) !=
	                  __atomic_load_n(&pinw_module_gen, __ATOMIC_RELAXED)))
		return 0;
	return __atomic_load_n(&memo->site, __ATOMIC_RELAXED);
}

/* ---- learning ------------------------------------------------------------------------------------ */

/* How many frames the chain has, when it is one that can be learnt; else 0. */
static uint32_t count_frames(const struct pinw_go_regs *regs, bool *ret_truncated)
{
	uintptr_t low = word_at(regs->g, PINW_GO_G_STACK_LO), high = word_at(regs->g, PINW_GO_G_STACK_HI);
	uintptr_t rbp = regs->rbp;
	uint32_t count = 0;

	for (; is_frame(rbp, low, high) && count < PINW_FRAMES_MAX - 1; count++) {
		low = rbp + 16;
		rbp = word_at(rbp, 0);
	}
	*ret_truncated = rbp != 0;
	return rbp == 0 || count == PINW_FRAMES_MAX - 1 ? count : 0;
}

/* What the memo says when it holds again: the site last, which nobody takes for good before. */
static void renew(struct memo *memo, uint32_t site, uint32_t module_gen)
{
	__atomic_store_n(&memo->site, site, __ATOMIC_RELAXED);
	__atomic_store_n(&memo->module_gen, module_gen, __ATOMIC_RELEASE);
	__atomic_store_n(&memo->image_gen, pinw_shim.image_gen, __ATOMIC_RELEASE);
}

/* Lock held. */
static void add(const struct pinw_go_regs *regs, uint32_t site, uint32_t module_gen)
{
	bool truncated;
	unsigned same;
	uint32_t count = count_frames(regs, &truncated);
	struct memo *memo = find(regs, &same);

	if (memo) {
		renew(memo, site, module_gen);
		return;
	}
	memo = same < CHAIN_MAX ? pinw_arena_take(sizeof(*memo) + count * sizeof(memo->frames[0])) : NULL;
	if (!memo)
		return;
	memo->pc = regs->pc;
	memo->ra = regs->ra;
	memo->count = count;
	memo->truncated = truncated;
	for (uintptr_t rbp = regs->rbp, i = 0; i < count; i++) {
		memo->frames[i].offset = rbp - regs->rbp;
		memo->frames[i].pc = word_at(rbp, 8);
		rbp = word_at(rbp, 0);
	}
	renew(memo, site, module_gen);
	struct memo **bucket = bucket_of(regs);
	memo->next = *bucket;
	__atomic_store_n(bucket, memo, __ATOMIC_RELEASE);
}

/* Does the chain end as it must, and is this the site of its frames and of none beyond them? */
static bool can_be_learnt(const struct pinw_go_regs *regs, uint32_t site)
{
	const struct pinw_rec_frame *frames;
	uint16_t flags;
	bool truncated;
	uint32_t count = count_frames(regs, &truncated);

	return count && pinw_site_frames(site, &frames, &flags) == count + 1 + (regs->ra != 0);
}

struct pinw_site_ref pinw_go_learn_site(const struct pinw_go_runtime *runtime,
                                        const struct pinw_go_regs *regs)
{
	uint32_t module_gen = __atomic_load_n(&pinw_module_gen, __ATOMIC_ACQUIRE);
	struct pinw_site_ref ref = pinw_go_site(runtime, regs);
	struct pinw_lock_state state;
	unsigned same;

	/* What a policy has a word in goes the long way, each time. */
	if (!ref.id || pinw_enforce.asks_each_golock ||
	    (pinw_enforce.asks_golocks && !pinw_intern_is_free(ref.id)))
		return ref;
	if (pinw_go_known_site(regs) == ref.id || !can_be_learnt(regs, ref.id) ||
	    (!find(regs, &same) && same >= CHAIN_MAX) || pinw_site_try_lock(&state) < 0)
		return ref;
	add(regs, ref.id, module_gen);
	pinw_site_unlock(&state);
	return ref;
}
