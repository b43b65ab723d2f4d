/* SPDX-License-Identifier: MIT */
#include "preload/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/elfsym.h"
#include "preload/image.h"
#include "preload/lock.h"
#include "preload/module.h"
#include "preload/proc.h"
#include "preload/shim.h"
#include "preload/site.h"
#include "preload/trace.h"

#define LOCK_WAIT_NS 200000000u
#define COUNTERS 1024u
#define SHOWN_FIRST 3u /* of each site; then each time the count doubles */
#define FRAMES_SHOWN 16u

static struct {
	struct pinw_lock lock;
	uint32_t counts[COUNTERS]; /* leaks by hash of kind and site, atomic */
	bool failed; /* the log could not be written: noted once */
	char block[16384];
	size_t len;
} leak_log;

/* ---- the block ---------------------------------------------------------------------- */

static void put(const char *text)
{
	leak_log.len = pinw_put(leak_log.block, sizeof(leak_log.block), leak_log.len, text);
}

static void put_number(uint64_t value)
{
	leak_log.len = pinw_put_number(leak_log.block, sizeof(leak_log.block), leak_log.len, value);
}

static void put_hex(uint64_t value)
{
	leak_log.len = pinw_put_hex(leak_log.block, sizeof(leak_log.block), leak_log.len, value);
}

/* Names and paths come from outside: nothing that a terminal would obey. */
static void put_escaped(const char *text, size_t max)
{
	size_t len = strnlen(text, max);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		char plain[2] = {(char)c, '\0'};

		put(c < ' ' || c >= 127 ? "?" : plain);
	}
}

/* "1.203 s" */
static void put_duration(uint64_t ns)
{
	static const struct {
		uint64_t unit;
		const char *name;
	} units[] = {{1000000000, " s"}, {1000000, " ms"}, {1000, " us"}};
	unsigned u = 0;

	while (u < 2 && ns < units[u].unit)
		u++;
	uint64_t thousandths = ns % units[u].unit * 1000 / units[u].unit;
	put_number(ns / units[u].unit);
	put(thousandths < 10 ? ".00" : thousandths < 100 ? ".0" : ".");
	put_number(thousandths);
	put(units[u].name);
}

static void put_frame(unsigned number, const struct pinw_rec_frame *frame)
{
	char name[160];
	uint64_t call = (frame->offset_low | (uint64_t)frame->offset_high << 32) - 1, offset;
	const char *path = pinw_module_path(frame->module);

	put("    #");
	put_number(number);
	put(" ");
	if (path && pinw_elfsym_name(path, call, name, sizeof(name), &offset) == 0) {
		put_escaped(name, sizeof(name));
		put("+");
		put_hex(offset + 1);
	} else
		put_hex(call + 1);
	put(" (");
	put_escaped(path ? path : "no object: generated code", PINW_PATH_MAX);
	put(")\n");
}

static void put_stack(const char *title, uint32_t site)
{
	const struct pinw_rec_frame *frames;
	uint16_t flags = 0;
	unsigned count = site ? pinw_site_frames(site, &frames, &flags) : 0;

	put("  ");
	put(title);
	put(count ? ":\n" : ": unknown\n");
	for (unsigned i = 0; i < count && i < FRAMES_SHOWN; i++)
		put_frame(i, &frames[i]);
	if (count > FRAMES_SHOWN || flags & PINW_SITE_TRUNCATED)
		put("    ... the stack goes on\n");
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

static void put_leak(const char *kind, const struct pinw_slot *slot, uint64_t now_ns, uint32_t count,
                     uint32_t hidden)
{
	char cpus[128];

	put("pinwarden: leak: ");
	put(kind);
	put(": thread \"");
	put_escaped(slot->name, sizeof(slot->name));
	put("\" (#");
	put_number(slot->thread);
	put(", tid ");
	put_number(slot->tid);
	put(") of process ");
	put_number(pinw_shim.pid);
	put("\n");
	if (slot->pin_depth) {
		pinw_mask_print(cpus, sizeof(cpus), (const uint64_t *)(slot + 1), pinw_shim.mask_words);
		put("  pinned ");
		put(origin_words(slot->pin_origin));
		put(" to CPU ");
		put(cpus);
		put(", held ");
		put_duration(now_ns - slot->pin_since_ns);
		put(", depth ");
		put_number(slot->pin_depth);
		put("\n");
		put_stack("pinned at", slot->pin_site);
	}
	put_stack(slot->flags & PINW_THREAD_MAIN ? "the main thread, created at" : "created at",
	          slot->create_site);
	if (count > 1) {
		put("  number ");
		put_number(count);
		put(" from this site, ");
		put_number(hidden);
		put(" not shown\n");
	}
}

/* ---- writing ----------------------------------------------------------------------------- */

static long write_block(void)
{
	if (strcmp(pinw_config.log, "stderr") == 0) {
		pinw_proc_stderr(leak_log.block, leak_log.len);
		return 0;
	}
	long fd =
	    pinw_sys3(SYS_open, pinw_config.log,
	              O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0)
		return fd;
	long r = pinw_proc_write((int)fd, leak_log.block, leak_log.len);
	pinw_sys1(SYS_close, fd);
	return r;
}

void pinw_log_child(void)
{
	pinw_lock_reset(&leak_log.lock);
}

static bool is_shown(uint32_t count)
{
	return count <= SHOWN_FIRST || (count & (count - 1)) == 0;
}

/* How many of the first `count` were not shown. */
static uint32_t hidden_before(uint32_t count)
{
	uint32_t shown = 0;

	for (uint32_t i = 1; i <= SHOWN_FIRST && i <= count; i++)
		shown++;
	for (uint32_t p = 4; p && p <= count; p *= 2)
		shown++;
	return count - shown;
}

void pinw_log_leak(const char *kind, const struct pinw_slot *slot, uint64_t now_ns)
{
	uint32_t site = slot->pin_depth ? slot->pin_site : slot->create_site;
	struct pinw_lock_state state;

	if (!pinw_config.log[0] || __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return;
	uint32_t *counter =
	    &leak_log.counts[(site * 31u + (unsigned char)kind[0] + (unsigned char)kind[7]) % COUNTERS];
	uint32_t count = __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
	if (!is_shown(count) || pinw_lock_take(&leak_log.lock, LOCK_WAIT_NS, &state) < 0) {
		pinw_count(log_suppressed, 1);
		return;
	}
	leak_log.len = 0;
	put_leak(kind, slot, now_ns, count, hidden_before(count));
	leak_log.block[leak_log.len - 1] = '\n'; /* also of a block that was cut */
	long r = write_block();
	pinw_lock_give(&leak_log.lock, &state);
	if (r >= 0)
		pinw_count(logged, 1);
	else if (!__atomic_exchange_n(&leak_log.failed, true, __ATOMIC_RELAXED))
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_LOG_FAILED, (uint32_t)-r);
}
