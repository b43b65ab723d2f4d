/* SPDX-License-Identifier: MIT
 *
 * Tells whether a signal was meant for the whole process group or for this process alone.
 *
 * A parent that passes signals on to its child must not pass on those the child has got by itself:
 * Ctrl-C, a shell's `kill %1`, timeout(1). The kernel does not say which they were. So a second
 * child, the witness, sits in the same group with every signal blocked: what was sent to the group
 * is pending there too. (The kernel signals the younger members of a group first, so it is there
 * by the time the parent asks.)
 */
#ifndef PINW_REPORTS_WITNESS_H
#define PINW_REPORTS_WITNESS_H

#include <stdbool.h>
#include <sys/types.h>

struct pinw_witness {
	pid_t pid; /* 0 = none */
	int fd; /* 3 or higher */
};

/* Forks the witness. Call with no other thread running. Returns 0 or -errno, and then every signal counts
 * as ours alone. */
int pinw_witness_start(struct pinw_witness *ret_witness);

/* Did the signal just received go to the whole group? Takes it off the witness's list. */
bool pinw_witness_saw(struct pinw_witness *w, int sig);

/* It ended and was reaped by somebody else. */
void pinw_witness_forget(struct pinw_witness *w);

/* Ends and reaps it. */
void pinw_witness_stop(struct pinw_witness *w);

#endif
