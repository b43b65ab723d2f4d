/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "reports/text_private.h"

#define BUFFER_BYTES 64u

static char *next_buffer(void)
{
	static char buffers[12][BUFFER_BYTES];
	static unsigned at;

	return buffers[at++ % (sizeof(buffers) / sizeof(buffers[0]))];
}

const char *pinw_text_count(uint64_t count)
{
	char *end = next_buffer() + BUFFER_BYTES - 1;
	unsigned digits = 0;

	*end = '\0';
	do {
		if (digits && digits % 3 == 0)
			*--end = ',';
		*--end = (char)('0' + count % 10);
		count /= 10;
		digits++;
	} while (count);
	return end;
}

const char *pinw_text_counted(uint64_t count, const char *one, const char *many)
{
	char *buf = next_buffer();

	snprintf(buf, BUFFER_BYTES, "%s %s", pinw_text_count(count), count == 1 ? one : many);
	return buf;
}

const char *pinw_text_duration(uint64_t ns)
{
	char *buf = next_buffer();
	uint64_t s = ns / 1000000000u;

	if (ns < 1000)
		snprintf(buf, BUFFER_BYTES, "%" PRIu64 " ns", ns);
	else if (ns < 999500) /* what rounds to 1,000 is one of the next unit */
		snprintf(buf, BUFFER_BYTES, "%.3g us", (double)ns / 1e3);
	else if (ns < 999500000)
		snprintf(buf, BUFFER_BYTES, "%.3g ms", (double)ns / 1e6);
	else if (s < 60)
		snprintf(buf, BUFFER_BYTES, "%.3g s", (double)ns / 1e9);
	else if (s < 3600)
		snprintf(buf, BUFFER_BYTES, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, BUFFER_BYTES, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(buf, BUFFER_BYTES, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
	return buf;
}

const char *pinw_text_lived(const struct pinw_process *p)
{
	bool unknown = p->how == PINW_HOW_VIOLENT && p->duration_ns == 0;

	return unknown ? "?" : pinw_text_duration(p->duration_ns);
}

const char *pinw_text_end(const struct pinw_process *p)
{
	char *buf = next_buffer();
	const char *signal_name = p->end_status <= INT32_MAX ? sigabbrev_np((int)p->end_status) : NULL;

	switch (p->how) {
	case PINW_HOW_EXIT:
		snprintf(buf, BUFFER_BYTES, "exit status %" PRIu32, p->end_status);
		break;
	case PINW_HOW_SIGNAL:
		snprintf(buf, BUFFER_BYTES, "killed by %s%s (%" PRIu32 ")", signal_name ? "SIG" : "signal",
		         signal_name ? signal_name : "", p->end_status);
		break;
	case PINW_HOW_EXEC:
		return "replaced by exec";
	case PINW_HOW_RUNNING:
		return "still running";
	default:
		return "violent end";
	}
	return buf;
}

const char *pinw_text_end_brief(const struct pinw_process *p)
{
	char *buf = next_buffer();
	const char *signal_name = p->end_status <= INT32_MAX ? sigabbrev_np((int)p->end_status) : NULL;

	if (p->how != PINW_HOW_SIGNAL && (p->how != PINW_HOW_EXIT || p->end_status <= 99999))
		return pinw_text_end(p);
	if (p->how == PINW_HOW_EXIT)
		snprintf(buf, BUFFER_BYTES, "exit %" PRIu32, p->end_status);
	else if (signal_name)
		snprintf(buf, BUFFER_BYTES, "SIG%s", signal_name);
	else
		snprintf(buf, BUFFER_BYTES, "signal %" PRIu32, p->end_status);
	return buf;
}

const char *pinw_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

const char *pinw_attempt_words(unsigned attempt)
{
	static const char *const words[] = {
	    [PINW_ATTEMPT_CREATE] = "creating a thread",
	    [PINW_ATTEMPT_PIN] = "pinning",
	    [PINW_ATTEMPT_BORN] = "creating a thread with a mask",
	    [PINW_ATTEMPT_INHERIT] = "a mask inherited at creation",
	    [PINW_ATTEMPT_EXIT] = "end of a thread",
	    [PINW_ATTEMPT_END] = "end of the process",
	    [PINW_ATTEMPT_RUN] = "time passed",
	    [PINW_ATTEMPT_LOCK] = "locking a goroutine to its thread",
	};

	return attempt < sizeof(words) / sizeof(words[0]) && words[attempt] ? words[attempt] : "?";
}

static const char *base_name(const char *path, size_t len, size_t *ret_len)
{
	const char *slash = memrchr(path, '/', len);
	const char *base = slash ? slash + 1 : path;

	*ret_len = (size_t)(path + len - base);
	return base;
}

/* What was typed says more than where links led: redis-server is a link to redis-check-rdb. A first argument may
 * have been rewritten ("nginx: worker process") or begin with a dash (a login shell). */
const char *pinw_text_program(const struct pinw_process *p, size_t *ret_len)
{
	const struct pinw_trace_header *h = &p->header;
	size_t len = strnlen(h->cmdline, h->cmdline_len);
	const char *space = memchr(h->cmdline, ' ', len);
	const char *name = base_name(h->cmdline, space ? (size_t)(space - h->cmdline) : len, &len);

	if (len && name[0] == '-') {
		name++;
		len--;
	}
	if (len && name[len - 1] == ':')
		len--;
	if (len == 0)
		name = base_name(h->exe, h->exe_len, &len);
	*ret_len = len ? len : 1;
	return len ? name : "?";
}

const char *pinw_thread_how_name(enum pinw_thread_how how)
{
	switch (how) {
	case PINW_THOW_RETURN:
		return "return";
	case PINW_THOW_PTHREAD_EXIT:
		return "pthread_exit";
	case PINW_THOW_CANCEL:
		return "cancel";
	case PINW_THOW_PROCESS_END:
		return "process-end";
	case PINW_THOW_KILLED:
		return "killed";
	case PINW_THOW_UNKNOWN:
		return "unknown";
	default:
		return NULL;
	}
}

const char *pinw_origin_name(unsigned origin)
{
	static const char *const names[] = {
	    [PINW_ORIGIN_SELF] = "self",         [PINW_ORIGIN_CROSS] = "cross",
	    [PINW_ORIGIN_BORN] = "born",         [PINW_ORIGIN_INHERITED] = "inherited",
	    [PINW_ORIGIN_EXTERNAL] = "external", [PINW_ORIGIN_GOLOCK] = "go",
	};

	if (origin >= sizeof(names) / sizeof(names[0]) || !names[origin])
		return "unknown";
	return names[origin];
}
