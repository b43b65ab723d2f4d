/* SPDX-License-Identifier: MIT */
#include "reports/notes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/mask.h"

struct notes {
	const struct pinw_process *p;
	pinw_note_fn fn;
	void *arg;
};

static void note(const struct notes *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(const struct notes *n, const char *format, ...)
{
	char text[PINW_PATH_MAX + 256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	n->fn(n->arg, text);
}

/* "1 thread", "2 threads" */
static const char *counted(uint64_t count, const char *one, const char *many, char *buf, size_t size)
{
	snprintf(buf, size, "%" PRIu64 " %s", count, count == 1 ? one : many);
	return buf;
}

#define COUNTED(count, one, many) counted(count, one, many, (char[96]){0}, 96)

static void damage_notes(const struct notes *n)
{
	const struct pinw_process *p = n->p;
	uint64_t kept = p->problem_count < PINW_PROBLEMS_MAX ? p->problem_count : PINW_PROBLEMS_MAX;

	for (uint64_t i = 0; i < kept; i++)
		note(n, "damaged: %s, at byte %" PRIu64, p->problems[i].what, p->problems[i].offset);
	if (p->problem_count > kept)
		note(n, "damaged: %" PRIu64 " more places", p->problem_count - kept);
	if (p->tally.unknown)
		note(n, "%s of a kind this version does not know",
		     COUNTED(p->tally.unknown, "record is", "records are"));
}

static void lost_notes(const struct notes *n)
{
	const struct pinw_counters *c = &n->p->live.counters;

	if (c->events_dropped)
		note(n, "%s found no room: counts are exact, lists and stacks are not complete",
		     COUNTED(c->events_dropped, "event", "events"));
	if (c->sites_dropped)
		note(n, "%s found no room and %s shown as unknown",
		     COUNTED(c->sites_dropped, "stack", "stacks"), c->sites_dropped == 1 ? "is" : "are");
	if (c->slots_unfiled)
		note(n, "%s found no room for live state: counted, but not in the lists",
		     COUNTED(c->slots_unfiled, "thread", "threads"));
	if (n->p->tally.in_flight_cells && n->p->how != PINW_HOW_RUNNING)
		note(n, "%s being written when the process ended, and %s lost",
		     COUNTED(n->p->tally.in_flight_cells, "cell was", "cells were"),
		     n->p->tally.in_flight_cells == 1 ? "is" : "are");
}

static void end_notes(const struct notes *n)
{
	const struct pinw_process *p = n->p;
	uint64_t open = p->live.counters.pins_open;

	if (p->how == PINW_HOW_EXEC && !pinw_process_next_image(p))
		note(n, "%s",
		     p->with_siblings ? "what it became by exec left no trace"
		                      : "its next image, by exec, is not among these traces");
	if (p->blind)
		note(n, "the live page is not there: what was created, pinned and leaked, and how it ended, "
		        "cannot be told");
	else if (p->how == PINW_HOW_VIOLENT && p->elsewhere)
		note(n,
		     "no end was recorded, and this is not the machine, or not the boot, it was recorded on: "
		     "whether it still runs cannot be told here");
	else if (p->how == PINW_HOW_VIOLENT)
		note(n, "no end was recorded: SIGKILL, a raw exit_group or a crash; the duration is that of "
		        "the last record");
	if (p->how == PINW_HOW_RUNNING && open)
		note(n, "%s open now: no leak unless the thread or the process ends with it",
		     COUNTED(open, "pin is", "pins are"));
	if (p->how == PINW_HOW_EXEC && open)
		note(n, "%s open across exec: the next image goes on with it, and it is no leak",
		     COUNTED(open, "pin stayed", "pins stayed"));
}

static void exec_notes(const struct notes *n)
{
	const struct pinw_process *p = n->p;
	uint64_t unnamed = pinw_since(p->live.counters.exec_unfollowed, p->unfollowed_count);

	for (size_t i = 0; i < p->unfollowed_count; i++)
		note(n, "not followed: %s was started without the preload in its environment",
		     p->unfollowed[i]);
	if (unnamed)
		note(n, "not followed: %s without the preload in their environment",
		     COUNTED(unnamed, "program was started", "programs were started"));
}

static void coverage_notes(const struct notes *n)
{
	const struct pinw_process *p = n->p;
	const struct pinw_counters *c = &p->live.counters;

	if (!p->census)
		note(n, "the kernel's threads were not counted: the process ended before a census");
	else if (p->kernel_threads > p->seen_threads)
		note(n, "%s the kernel lists had not been seen: made by libc itself or by a raw clone",
		     COUNTED(p->kernel_threads - p->seen_threads, "thread", "threads"));
	if (c->threads_adopted)
		note(n, "%s adopted: no call that creates %s was seen",
		     COUNTED(c->threads_adopted, "thread was", "threads were"),
		     c->threads_adopted == 1 ? "it" : "them");
	if (c->raw_clones)
		note(n, "%s through syscall()",
		     COUNTED(c->raw_clones, "clone, clone3 or fork was made",
		             "clones, clone3s or forks were made"));
	if (pinw_notes_one_cpu(p))
		note(n, "the baseline is one CPU: nothing can be a pin");
	if (p->header.flags & PINW_HDR_NO_UNWINDER)
		note(n, "libunwind.so.8 was not there: stacks by frame pointers only, often short");
	else if (c->unwinds_fp_only)
		note(n, "%" PRIu64 " of %s by frame pointers only, and may be short", c->unwinds_fp_only,
		     COUNTED(c->unwinds, "stack was walked", "stacks were walked"));
	if (p->header.flags & PINW_HDR_CLOCK_MISMATCH)
		note(n, "clock_gettime is faked in this process; times here are the kernel's");
	if (c->late_events)
		note(n, "%s after its thread's recorded end",
		     COUNTED(c->late_events, "event came", "events came"));
	if (c->log_suppressed)
		note(n, "%s not written to the log: too many from one place",
		     COUNTED(c->log_suppressed, p->has_policy ? "leak or violation was" : "leak was",
		             p->has_policy ? "leaks and violations were" : "leaks were"));
}

static void policy_notes(const struct notes *n)
{
	const struct pinw_process *p = n->p;

	if (!p->has_policy)
		return;
	if (!p->policy.path)
		note(n, "the record of the policy is not in the trace: its name and mode are unknown");
	if (p->uncounted_rules)
		note(n,
		     "the counts of %s not in the trace: their violations are counted from events, as far as "
		     "these "
		     "are there",
		     COUNTED(p->uncounted_rules, "rule are", "rules are"));
	if (pinw_process_misses_golocks(p))
		note(n, "whether rules on Go locks were kept cannot be told");
	if (p->live.counters.stack_rules_unknown)
		note(n, "%s not wholly named: rules on functions may have missed some of their frames",
		     COUNTED(p->live.counters.stack_rules_unknown, "stack was", "stacks were"));
}

static void recorded_note(const struct notes *n, const struct pinw_noted *noted)
{
	const char *why = strerror((int)(noted->arg & 0xffff));

	switch (noted->code) {
	case PINW_NOTE_SECCOMP:
		note(n, "the process sealed itself with seccomp: from then on stacks by frame pointers only, "
		        "no growth of the file");
		break;
	case PINW_NOTE_NO_GROWTH:
		note(n, "the trace could not grow: %s", why);
		break;
	case PINW_NOTE_CENSUS_FAILED:
		note(n, "the kernel's threads could not be listed: %s", why);
		break;
	case PINW_NOTE_SYMBOL_MISSING:
		note(n, "an interposed function does not exist in this libc (number %" PRIu32 ")",
		     noted->arg);
		break;
	case PINW_NOTE_LOG_FAILED:
		note(n, "the log could not be opened: %s", why);
		break;
	case PINW_NOTE_CHROOT:
		note(n, "the process changed its root directory");
		break;
	case PINW_NOTE_GO_NO_CGO:
		note(n, "Go locks are not counted: the program is built without cgo");
		break;
	case PINW_NOTE_GO_NO_TABLE:
		note(n, "Go locks are not counted: the runtime's table of functions was not found");
		break;
	case PINW_NOTE_GO_INLINED:
		note(n, "Go locks are not counted: runtime.LockOSThread is inlined wherever it is called");
		break;
	case PINW_NOTE_GO_UNKNOWN:
		note(n,
		     "Go locks are not counted: runtime.LockOSThread is not as in any version that is known");
		break;
	case PINW_NOTE_GO_UNLOCKS:
		note(n, "Go locks are not counted: %s",
		     noted->arg ? "there are too many unlocks" : "no unlock was found in the code");
		break;
	case PINW_NOTE_GO_MEMORY:
		note(n, "Go locks are not counted: the code could not be changed: %s",
		     noted->arg ? why : "no free page near it");
		break;
	case PINW_NOTE_GO_LIBRARY:
		if (noted->arg)
			note(n, "Go locks in a shared library are not counted: it is one more than %" PRIu32,
			     noted->arg);
		else
			note(n, "Go locks in a shared library are not counted: it came after the process had "
			        "sealed itself");
		break;
	case PINW_NOTE_GO_COPIES:
		note(n,
		     "Go locks are not counted at %" PRIu32
		     " %s of the code, where runtime.LockOSThread is inlined",
		     noted->arg, noted->arg == 1 ? "place" : "places");
		break;
	case PINW_NOTE_GO_PLUGINS:
		note(
		    n,
		    "Go locks in plugins, which the program can load, are not counted, and unlocks there not "
		    "seen as they happen");
		break;
	case PINW_NOTE_GO_MEXIT:
		note(
		    n,
		    "runtime.mexit is not as known: a main thread that ends locked is shown as still locked");
		break;
	case PINW_NOTE_GO_EXIT:
		note(n, "runtime.exit is not as known: how the Go program ended is not seen from inside");
		break;
	case PINW_NOTE_GO_STACK:
		note(n, "Go locks of some threads are not counted: there was no memory to do it in");
		break;
	case PINW_NOTE_GO_RAW:
		note(n,
		     "raw affinity calls by Go code are not seen: Syscall6 is not as in Go 1.19 and later");
		break;
	default:
		note(n, "note %" PRIu32 " (%" PRIu32 ") of a later version", noted->code, noted->arg);
		break;
	}
}

static void header_notes(const struct notes *n)
{
	if (n->p->header.flags & PINW_HDR_EXE_CUT)
		note(n, "the path of the program is cut");
	if (n->p->header.flags & PINW_HDR_CMDLINE_CUT)
		note(n, "the command line is cut");
}

/* On what was recorded; the others are on what the process is called. */
static void recording_notes(const struct notes *n)
{
	lost_notes(n);
	damage_notes(n);
	end_notes(n);
	exec_notes(n);
	policy_notes(n);
	coverage_notes(n);
	for (size_t i = 0; i < n->p->note_count; i++)
		recorded_note(n, &n->p->notes[i]);
}

void pinw_notes_each(const struct pinw_process *p, pinw_note_fn fn, void *arg)
{
	struct notes n = {.p = p, .fn = fn, .arg = arg};

	recording_notes(&n);
	header_notes(&n);
}

static void remember(void *arg, const char *text)
{
	(void)text;
	*(bool *)arg = true;
}

bool pinw_notes_any(const struct pinw_process *p)
{
	bool any = false;
	struct notes n = {.p = p, .fn = remember, .arg = &any};

	recording_notes(&n);
	return any;
}

bool pinw_notes_one_cpu(const struct pinw_process *p)
{
	return pinw_mask_width(p->header.baseline, p->header.mask_words) == 1;
}
