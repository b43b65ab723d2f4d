/* SPDX-License-Identifier: MIT
 *
 * Blocks in the form of those that the shim writes (preload/log.c), so that a log reads as one; with files and
 * lines, which only this side can tell.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/mask.h"
#include "reports/idle.h"
#include "reports/report.h"
#include "reports/say.h"
#include "reports/watch_private.h"
#include "reports/watch_proc.h"

#define FRAMES_SHOWN 16u
#define THREADS_SHOWN 1024u
#define WORD_BYTES 8192u

/* ---- words ------------------------------------------------------------------------------------- */

/* Names and paths come from outside: nothing that a terminal would obey. */
static void put_escaped(FILE *out, const char *text, size_t len)
{
	char plain[PINW_PATH_MAX + 1], word[WORD_BYTES];

	snprintf(plain, sizeof(plain), "%.*s", (int)(len < PINW_PATH_MAX ? len : PINW_PATH_MAX), text);
	pinw_say_escape(plain, word, sizeof(word));
	fputs(word, out);
}

/* "1.203 s" */
static void put_duration(FILE *out, uint64_t ns)
{
	if (ns >= 1000000000u)
		fprintf(out, "%llu.%03u s", (unsigned long long)(ns / 1000000000u),
		        (unsigned)(ns % 1000000000u / 1000000u));
	else if (ns >= 1000000u)
		fprintf(out, "%u.%03u ms", (unsigned)(ns / 1000000u), (unsigned)(ns % 1000000u / 1000u));
	else
		fprintf(out, "%u.%03u us", (unsigned)(ns / 1000u), (unsigned)(ns % 1000u));
}

static void put_thread(FILE *out, const struct pinw_slot *slot)
{
	fputs("thread \"", out);
	put_escaped(out, slot->name, sizeof(slot->name));
	fprintf(out, "\" (#%u, tid %u)", slot->thread, slot->tid);
}

/* ---- stacks ---------------------------------------------------------------------------------------- */

struct frame_list {
	FILE *out;
	unsigned number;
};

static void put_frame(void *arg, const struct pinw_frame *frame)
{
	struct frame_list *list = arg;
	const char *reason = pinw_stacks_reason(frame);

	if (list->number++ >= FRAMES_SHOWN)
		return;
	fprintf(list->out, "    #%u ", list->number - 1);
	if (frame->function) {
		put_escaped(list->out, frame->function, PINW_PATH_MAX);
		if (frame->inlined)
			fputs(" (inlined)", list->out);
		else
			fprintf(list->out, "+%#llx", (unsigned long long)frame->function_offset);
	} else
		fprintf(list->out, "%#llx", (unsigned long long)frame->offset);
	if (frame->file && frame->line) {
		fputs(" at ", list->out);
		put_escaped(list->out, frame->file, PINW_PATH_MAX);
		fprintf(list->out, ":%u", frame->line);
	}
	fputs(" (", list->out);
	put_escaped(list->out, frame->module ? frame->module : "no object: generated code", PINW_PATH_MAX);
	if (reason && frame->module)
		fprintf(list->out, ": %s", reason);
	fputs(")\n", list->out);
}

static void put_stack(struct pinw_watch *w, struct pinw_watched *p, FILE *out, const char *title,
                      uint32_t site)
{
	char *text = NULL;
	size_t bytes = 0;
	struct frame_list list = {.out = open_memstream(&text, &bytes)};
	bool truncated = false;

	if (!list.out)
		return;
	bool known = site && pinw_watch_frames(w, p, site, put_frame, &list, &truncated);
	fclose(list.out);
	fprintf(out, "  %s%s", title, known && list.number ? ":\n" : ": unknown\n");
	fputs(text ? text : "", out);
	if (known && (list.number > FRAMES_SHOWN || truncated))
		fputs("    ... the stack goes on\n", out);
	free(text);
}

static const char *origin_words(uint32_t origin)
{
	switch (origin) {
	case PINW_ORIGIN_SELF:
		return "by itself";
	case PINW_ORIGIN_CROSS:
		return "by another thread";
	case PINW_ORIGIN_BORN:
		return "by its attribute";
	case PINW_ORIGIN_INHERITED:
		return "by inheritance";
	default:
		return "from outside";
	}
}

static void put_stacks(struct pinw_watch *w, struct pinw_watched *p, FILE *out, const struct pinw_slot *slot,
                       const uint64_t *mask)
{
	char cpus[512];

	if (slot->pin_depth) {
		pinw_mask_print(cpus, sizeof(cpus), mask, p->trace.header.mask_words);
		fprintf(out, "  pinned %s to CPU %s, held ", origin_words(slot->pin_origin), cpus);
		put_duration(out, pinw_since(p->now_ns, slot->pin_since_ns));
		fprintf(out, ", depth %u\n", slot->pin_depth);
		put_stack(w, p, out, "pinned at", slot->pin_site);
	}
	if (slot->golock_depth) {
		fprintf(out, "  locked by goroutine %llu, held ", (unsigned long long)slot->golock_goid);
		put_duration(out, pinw_since(p->now_ns, slot->golock_since_ns));
		fprintf(out, ", depth %u%s\n", slot->golock_depth,
		        slot->pin_depth ? "" : "; not bound to a CPU");
		put_stack(w, p, out, "locked at", slot->golock_site);
	}
	if (slot->create_site || !(slot->flags & PINW_THREAD_MAIN))
		put_stack(w, p, out, "created at", slot->create_site);
	else
		fputs("  the main thread\n", out);
}

/* ---- where it sleeps ----------------------------------------------------------------------------------- */

static void put_sleep(FILE *out, const struct pinw_watched *p, const struct pinw_slot *slot)
{
	struct pinw_sleep sleep;

	if (p->task < 0 || p->other_tids)
		return;
	pinw_task_sleep(p->task, slot->tid, &sleep);
	const char *call = pinw_sleep_call_name(sleep.call);
	fprintf(out, "  now: %s (%c)", pinw_state_words(sleep.state), sleep.state);
	if (sleep.wchan[0]) {
		fputs(", in the kernel's ", out);
		put_escaped(out, sleep.wchan, sizeof(sleep.wchan));
	}
	if (call)
		fprintf(out, ", called by %s()", call);
	else if (sleep.call >= 0)
		fprintf(out, ", called by system call %d", sleep.call);
	fputc('\n', out);
}

static void put_present_frames(struct pinw_watch *w, FILE *out, const struct pinw_idle_stack *s)
{
	struct frame_list list = {.out = out};

	for (unsigned i = 0; i < s->count; i++) {
		const struct pinw_idle_frame *f = &s->frames[i];
		struct pinw_module m = {.path = f->path};
		struct pinw_frame unnamed = {
		    .module = f->path, .offset = f->offset, .error = f->changed ? -ESTALE : -ENODATA};

		if (f->path && !f->changed && w->stacks)
			pinw_stacks_address(w->stacks, &m, f->offset - 1, put_frame, &list);
		else
			put_frame(&list, &unnamed);
	}
	if (s->truncated || list.number > FRAMES_SHOWN)
		fputs("    ... the stack goes on\n", out);
}

static void put_present_stack(struct pinw_watch *w, struct pinw_watched *p, FILE *out,
                              const struct pinw_slot *slot)
{
	struct pinw_idle_stack stack;

	if (!w->opt.idle_stacks)
		return;
	int r = p->other_tids ? -EXDEV : pinw_idle_stack_take(p->pid, (pid_t)slot->tid, &stack);
	if (r < 0) {
		fprintf(out, "  present stack: unknown: %s\n", pinw_idle_strerror(r));
		return;
	}
	fputs("  present stack, ", out);
	if (stack.stopped) {
		fputs("for which it stood still for ", out);
		put_duration(out, stack.stopped_ns);
	} else
		fputs("read while it slept", out);
	fputs(":\n", out);
	if (!w->stacks && pinw_stacks_open(&w->stacks) < 0)
		w->stacks = NULL;
	put_present_frames(w, out, &stack);
	pinw_idle_stack_done(&stack);
}

/* ---- the block ----------------------------------------------------------------------------------------- */

static void put_rule(struct pinw_watch *w, FILE *out, const struct pinw_finding *f)
{
	put_escaped(out, f->rule->label, PINW_PATH_MAX);
	fputs(" (", out);
	put_escaped(out, w->opt.policy_path ? w->opt.policy_path : w->opt.policy->path, PINW_PATH_MAX);
	fprintf(out, ":%u): ", f->rule->line);
	if (f->crash)
		fputs("the process is aborted\n", out);
	else if (f->rule->action > PINW_ACTION_LOG)
		fprintf(out, "would %s (audit)\n", pinw_action_name((enum pinw_action)f->rule->action));
	else
		fputs("logged\n", out);
}

static void put_required(FILE *out, const struct pinw_watched *p, const struct pinw_finding *f)
{
	const struct pinw_rule *rule = f->rule;
	char cpus[512];

	if (!rule->pinned && f->slot && !f->slot->pin_depth && f->slot->golock_depth)
		fputs(" is locked by Go and should not be, ", out);
	else if (!rule->pinned)
		fputs(" is pinned and should not be, ", out);
	else if (rule->kinds == PINW_KINDS_GO)
		fputs(" is not locked by Go and should be, ", out);
	else if (f->slot && f->slot->pin_depth)
		fputs(" is pinned elsewhere than it should be, ", out);
	else
		fputs(" is not pinned and should be, ", out);
	put_duration(out, f->for_ns);
	fputs(" after its start; the rule gives it ", out);
	put_duration(out, rule->within_ns);
	if (rule->cpus) {
		pinw_mask_print(cpus, sizeof(cpus), rule->cpus, p->trace.header.mask_words);
		fprintf(out, " to be on CPU %s", cpus);
	}
}

static void put_finding(FILE *out, const struct pinw_watched *p, const struct pinw_finding *f)
{
	fputs("  ", out);
	if (f->leak >= 0)
		fprintf(out, "%s: ", pinw_policy_leak_name((enum pinw_policy_leak)f->leak));
	if (f->slot) {
		put_thread(out, f->slot);
		fprintf(out, " of ");
	}
	fprintf(out, "process %u", p->trace.header.self.pid);
	switch (f->leak) {
	case PINW_PLEAK_PINNED_IDLE:
		fputs(f->golock ? " holds a Go lock and used no CPU time for "
		                : " holds a pin and used no CPU time for ",
		      out);
		put_duration(out, f->for_ns);
		break;
	case PINW_PLEAK_UNJOINED:
		fputs(" ended and nobody joined or detached it for ", out);
		put_duration(out, f->for_ns);
		break;
	case PINW_PLEAK_GROWTH:
		fprintf(out, ": live threads rise steadily, from %llu to %llu, for ",
		        (unsigned long long)f->first, (unsigned long long)f->last);
		put_duration(out, f->for_ns);
		break;
	default:
		put_required(out, p, f);
	}
	fputc('\n', out);
	if (f->rule->message) {
		fputs("  ", out);
		put_escaped(out, f->rule->message, PINW_PATH_MAX);
		fputc('\n', out);
	}
}

static void put_block(struct pinw_watch *w, struct pinw_watched *p, FILE *out, const struct pinw_finding *f,
                      uint64_t count)
{
	fputs("pinwarden: violation: ", out);
	put_rule(w, out, f);
	put_finding(out, p, f);
	if (f->slot && f->leak == PINW_PLEAK_PINNED_IDLE) {
		put_sleep(out, p, f->slot);
		put_present_stack(w, p, out, f->slot);
	}
	if (f->slot)
		put_stacks(w, p, out, f->slot, f->mask);
	if (count > 1)
		fprintf(out, "  number %llu from this site, %llu not shown\n", (unsigned long long)count,
		        (unsigned long long)pinw_watch_hidden(count));
}

/* ---- writing ------------------------------------------------------------------------------------------- */

/* A log that cannot be written is said once; what happens is counted in the trace all the same. */
static void write_block(struct pinw_watch *w, const char *text, size_t len)
{
	const char *log = w->opt.log;

	if (!log || strcmp(log, "stderr") == 0) {
		pinw_write_all(STDERR_FILENO, text, len);
		return;
	}
	int fd =
	    open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0) {
		if (!w->log_failed)
			pinw_say("cannot write the log %s: %s; violations are counted in the traces", log,
			         strerror(errno));
		w->log_failed = true;
		return;
	}
	pinw_write_all(fd, text, len);
	close(fd);
}

void pinw_watch_log(struct pinw_watch *w, struct pinw_watched *p, const struct pinw_finding *f)
{
	uint32_t site = !f->slot             ? 0
	                : f->golock          ? f->slot->golock_site
	                : f->slot->pin_depth ? f->slot->pin_site
	                                     : f->slot->create_site;
	uint64_t *count = pinw_table_get(&p->shown, (uint64_t)f->rule->id << 32 | site, NULL);
	char *text = NULL;
	size_t bytes = 0;

	if (!count || (!pinw_watch_is_shown(++*count) && !f->crash))
		return;
	FILE *out = open_memstream(&text, &bytes);
	if (!out)
		return;
	put_block(w, p, out, f, *count);
	if (fclose(out) == 0)
		write_block(w, text, bytes);
	free(text);
}

void pinw_watch_say(struct pinw_watch *w, const char *format, ...)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	va_list args;

	if (!out)
		return;
	va_start(args, format);
	fputs("pinwarden: ", out);
	vfprintf(out, format, args);
	fputc('\n', out);
	va_end(args);
	if (fclose(out) == 0)
		write_block(w, text, bytes);
	free(text);
}

/* ---- before a crash ------------------------------------------------------------------------------------ */

struct thread_list {
	struct pinw_watch *w;
	struct pinw_watched *p;
	FILE *out;
	unsigned count;
};

static bool put_live_thread(void *arg, uint64_t index, const struct pinw_slot *slot, const uint64_t *mask)
{
	struct thread_list *list = arg;

	(void)index;
	if (slot->state != PINW_SLOT_RUNNING)
		return true;
	if (list->count++ >= THREADS_SHOWN)
		return true;
	put_thread(list->out, slot);
	fputc('\n', list->out);
	put_stacks(list->w, list->p, list->out, slot, mask);
	return true;
}

void pinw_watch_log_threads(struct pinw_watch *w, struct pinw_watched *p)
{
	char *text = NULL;
	size_t bytes = 0;
	struct thread_list list = {.w = w, .p = p, .out = open_memstream(&text, &bytes)};

	if (!list.out)
		return;
	fprintf(list.out, "pinwarden: threads of process %u:\n", p->trace.header.self.pid);
	pinw_live_walk(&p->trace, put_live_thread, &list);
	if (list.count > THREADS_SHOWN)
		fprintf(list.out, "... and %u threads more\n", list.count - THREADS_SHOWN);
	if (fclose(list.out) == 0)
		write_block(w, text, bytes);
	free(text);
}
