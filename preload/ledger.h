/* SPDX-License-Identifier: MIT
 *
 * What a change of mask does to a thread's pins (design: one open pin per thread,
 * further narrowing raises its depth, covering the baseline again releases it).
 *
 * pinw_pin_change is pure. The pinw_ledger_* functions apply it to a thread's slot
 * and keep the counters exact; they write no record, take no lock that a handler can
 * wait for and touch no errno.
 */
#ifndef PINW_LEDGER_H
#define PINW_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/shim.h"

/* The effect of going from mask `before`, held with pin depth `depth` (0 = not pinned), to mask `after`. */
enum pinw_effect pinw_pin_change(uint32_t depth, const uint64_t *before, const uint64_t *after,
                                 const uint64_t *baseline, unsigned words);

struct pinw_trial;

/* Who pins, from where. */
struct pinw_pinner {
	uint32_t origin; /* enum pinw_origin */
	uint32_t site;
	uint32_t by; /* start sequence, 0 unknown */
	struct pinw_trial *trial; /* of the policy, which reserved for this pin; may be NULL */
};

/* What pinw_ledger_set did. */
struct pinw_booking {
	enum pinw_effect effect;
	uint32_t depth; /* after */
	bool contended; /* another change of the same slot was under way: nothing was booked */
};

/* Books that the mask of the thread with start sequence `seq` is now `after`. Copies the mask known before to
 * `ret_before`. Books nothing when the struct serves another thread by now, or its thread's end is booked. */
struct pinw_booking pinw_ledger_set(struct pinw_thread *thread, uint32_t seq, const uint64_t *after,
                                    struct pinw_pinner by, uint64_t now_ns, uint64_t *ret_before);

/* Books, once, the pin that the thread with start sequence `seq` gets from its creator or its attribute: the slot's
 * mask as set at creation, with birth_origin. Called by whoever comes first, the thread itself or somebody who changes
 * its mask. Does nothing when the struct serves another thread by now. */
void pinw_ledger_birth(struct pinw_thread *thread, uint32_t seq, uint64_t now_ns);

/* Has the birth of a thread not been booked? Then nobody books it until pinw_ledger_let_go. */
bool pinw_ledger_hold_unborn(struct pinw_thread *thread);
void pinw_ledger_let_go(struct pinw_thread *thread);

/* Books the end of a thread's life: no pin is booked on it from now on. The slot keeps its last pin for the record. */
void pinw_ledger_end(struct pinw_thread *thread, enum pinw_exit how, uint64_t now_ns);

/* One more live thread. Returns how many there are now, for pinw_ledger_peak once the thread is sure to exist. */
uint64_t pinw_ledger_live(void);
void pinw_ledger_peak(uint64_t live);

/* Counts a duration in a log2 histogram of the live page. */
void pinw_ledger_histogram(struct pinw_histogram *histogram, uint64_t ns);

#endif
