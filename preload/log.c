/* SPDX-License-Identifier: MIT */
#include "preload/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "preload/arch.h"
#include "preload/image.h"
#include "preload/proc.h"
#include "preload/shim.h"
#include "preload/trace.h"

#define LOCK_WAIT_NS 200000000u
#define REPORT_WAIT_NS 2000000000u
#define COUNTERS 1024u
#define SHOWN_FIRST 3u /* of each key; then each time the count doubles */

static char block_bytes[16384];
static char report_bytes
    [16384]; /* of its own: the report goes ahead without the log's lock when that is not to be had */
static struct pinw_logtext report_text = {.bytes = report_bytes, .size = sizeof(report_bytes)};

static struct {
	struct pinw_lock lock;
	uint32_t counts[COUNTERS]; /* blocks by hash of their key, atomic */
	bool failed; /* the log could not be written: noted once */
	struct pinw_logtext text;
} leak_log = {.text = {.bytes = block_bytes, .size = sizeof(block_bytes)}};

/* ---- writing ----------------------------------------------------------------------------- */

static bool is_stderr(void)
{
	return strcmp(pinw_config.log, "stderr") == 0;
}

static long write_file(const struct pinw_logtext *text)
{
	long fd =
	    pinw_sys3(SYS_open, pinw_config.log,
	              O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0)
		return fd;
	long r = pinw_proc_write((int)fd, text->bytes, text->len);
	pinw_sys1(SYS_close, fd);
	return r;
}

static void note_failure(long r)
{
	if (r < 0 && !__atomic_exchange_n(&leak_log.failed, true, __ATOMIC_RELAXED))
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_LOG_FAILED, (uint32_t)-r);
}

void pinw_log_child(void)
{
	pinw_lock_reset(&leak_log.lock);
}

/* ---- blocks ------------------------------------------------------------------------------- */

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

bool pinw_log_begin(struct pinw_log_block *block, uint32_t key)
{
	if (!pinw_config.log[0] || __atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return false;
	block->count = __atomic_add_fetch(&leak_log.counts[key % COUNTERS], 1, __ATOMIC_RELAXED);
	if (!is_shown(block->count) || pinw_lock_take(&leak_log.lock, LOCK_WAIT_NS, &block->lock) < 0) {
		pinw_count(log_suppressed, 1);
		return false;
	}
	block->text = &leak_log.text;
	block->text->len = 0;
	return true;
}

void pinw_log_end(struct pinw_log_block *block)
{
	struct pinw_logtext *text = block->text;

	if (block->count > 1) {
		pinw_logtext_put(text, "  number ");
		pinw_logtext_number(text, block->count);
		pinw_logtext_put(text, " from this site, ");
		pinw_logtext_number(text, hidden_before(block->count));
		pinw_logtext_put(text, " not shown\n");
	}
	text->bytes[text->len - 1] = '\n'; /* also of a block that was cut */
	long r = is_stderr() ? pinw_proc_stderr(text->bytes, text->len) : write_file(text);
	pinw_lock_give(&leak_log.lock, &block->lock);
	if (r >= 0)
		pinw_count(logged, 1);
	else if (r == -EAGAIN)
		pinw_count(log_suppressed, 1);
	note_failure(r);
}

void pinw_log_report_begin(struct pinw_log_block *block)
{
	pinw_lock_take(&leak_log.lock, REPORT_WAIT_NS, &block->lock);
	block->text = &report_text;
	block->text->len = 0;
}

void pinw_log_report_flush(struct pinw_log_block *block)
{
	struct pinw_logtext *text = block->text;

	if (!text->len)
		return;
	text->bytes[text->len - 1] = '\n';
	pinw_proc_stderr(text->bytes, text->len);
	if (pinw_config.log[0] && !is_stderr())
		note_failure(write_file(text));
	text->len = 0;
}

/* ---- leaks -------------------------------------------------------------------------------- */

/* False: nothing is to be written. */
static bool begin_leak(struct pinw_log_block *block, const char *kind, const struct pinw_slot *slot,
                       uint32_t site)
{
	if (!pinw_config.log_leaks ||
	    !pinw_log_begin(block, site * 31u + (unsigned char)kind[0] + (unsigned char)kind[7]))
		return false;
	pinw_logtext_put(block->text, "pinwarden: leak: ");
	pinw_logtext_put(block->text, kind);
	pinw_logtext_put(block->text, ": ");
	pinw_logtext_thread(block->text, slot);
	pinw_logtext_put(block->text, " of process ");
	pinw_logtext_number(block->text, pinw_shim.pid);
	return true;
}

void pinw_log_leak(const char *kind, const struct pinw_slot *slot, uint64_t now_ns)
{
	struct pinw_log_block block;

	if (!begin_leak(&block, kind, slot, slot->pin_depth ? slot->pin_site : slot->create_site))
		return;
	pinw_logtext_put(block.text, "\n");
	pinw_logtext_pin(block.text, slot, now_ns);
	pinw_log_end(&block);
}

void pinw_log_golock_leak(const char *kind, const char *how, const struct pinw_slot *slot, uint64_t now_ns)
{
	struct pinw_log_block block;

	if (!begin_leak(&block, kind, slot, slot->golock_site))
		return;
	pinw_logtext_put(block.text, how);
	pinw_logtext_put(block.text, "\n");
	pinw_logtext_golock(block.text, slot, now_ns);
	pinw_log_end(&block);
}
