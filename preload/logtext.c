/* SPDX-License-Identifier: MIT */
#include "preload/logtext.h"

#include <errno.h>
#include <string.h>

#include "policy/mask.h"
#include "preload/elfsym.h"
#include "preload/module.h"
#include "preload/proc.h"
#include "preload/shim.h"
#include "preload/site.h"

#define FRAMES_SHOWN 16u

void pinw_logtext_put(struct pinw_logtext *text, const char *words)
{
	text->len = pinw_put(text->bytes, text->size, text->len, words);
}

void pinw_logtext_number(struct pinw_logtext *text, uint64_t value)
{
	text->len = pinw_put_number(text->bytes, text->size, text->len, value);
}

static void put_hex(struct pinw_logtext *text, uint64_t value)
{
	text->len = pinw_put_hex(text->bytes, text->size, text->len, value);
}

void pinw_logtext_escaped(struct pinw_logtext *text, const char *bytes, size_t max)
{
	size_t len = strnlen(bytes, max);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];
		char plain[2] = {(char)c, '\0'};

		pinw_logtext_put(text, c < ' ' || c >= 127 ? "?" : plain);
	}
}

/* "1.203 s" */
static void duration(struct pinw_logtext *text, uint64_t ns)
{
	static const struct {
		uint64_t unit;
		const char *name;
	} units[] = {{1000000000, " s"}, {1000000, " ms"}, {1000, " us"}};
	unsigned u = 0;

	while (u < 2 && ns < units[u].unit)
		u++;
	uint64_t thousandths = ns % units[u].unit * 1000 / units[u].unit;
	pinw_logtext_number(text, ns / units[u].unit);
	pinw_logtext_put(text, thousandths < 10 ? ".00" : thousandths < 100 ? ".0" : ".");
	pinw_logtext_number(text, thousandths);
	pinw_logtext_put(text, units[u].name);
}

void pinw_logtext_cpus(struct pinw_logtext *text, const uint64_t *mask)
{
	char cpus[128];

	pinw_mask_print(cpus, sizeof(cpus), mask, pinw_shim.mask_words);
	pinw_logtext_put(text, "CPU ");
	pinw_logtext_put(text, cpus);
}

void pinw_logtext_thread(struct pinw_logtext *text, const struct pinw_slot *slot)
{
	pinw_logtext_put(text, "thread \"");
	pinw_logtext_escaped(text, slot->name, sizeof(slot->name));
	pinw_logtext_put(text, "\" (#");
	pinw_logtext_number(text, slot->thread);
	pinw_logtext_put(text, ", tid ");
	pinw_logtext_number(text, slot->tid);
	pinw_logtext_put(text, ")");
}

void pinw_logtext_errno(struct pinw_logtext *text, int error)
{
	const char *name = strerrorname_np(error); /* a table of constants: safe in a signal handler */

	if (name)
		pinw_logtext_put(text, name);
	else {
		pinw_logtext_put(text, "errno ");
		pinw_logtext_number(text, (uint64_t)error);
	}
}

/* ---- stacks --------------------------------------------------------------------------- */

static void put_frame(struct pinw_logtext *text, unsigned number, const struct pinw_rec_frame *frame)
{
	char name[160];
	uint64_t call = pinw_frame_offset(frame) - 1, offset;
	const char *path = pinw_module_path(frame->module);

	pinw_logtext_put(text, "    #");
	pinw_logtext_number(text, number);
	pinw_logtext_put(text, " ");
	if (path && pinw_elfsym_name(path, call, name, sizeof(name), &offset) == 0) {
		pinw_logtext_escaped(text, name, sizeof(name));
		pinw_logtext_put(text, "+");
		put_hex(text, offset + 1);
	} else
		put_hex(text, call + 1);
	pinw_logtext_put(text, " (");
	pinw_logtext_escaped(text, path ? path : "no object: generated code", PINW_PATH_MAX);
	pinw_logtext_put(text, ")\n");
}

void pinw_logtext_stack(struct pinw_logtext *text, const char *title, uint32_t site)
{
	const struct pinw_rec_frame *frames;
	uint16_t flags = 0;
	unsigned count = site ? pinw_site_frames(site, &frames, &flags) : 0;

	pinw_logtext_put(text, "  ");
	pinw_logtext_put(text, title);
	pinw_logtext_put(text, count ? ":\n" : ": unknown\n");
	for (unsigned i = 0; i < count && i < FRAMES_SHOWN; i++)
		put_frame(text, i, &frames[i]);
	if (count > FRAMES_SHOWN || flags & PINW_SITE_TRUNCATED)
		pinw_logtext_put(text, "    ... the stack goes on\n");
}

/* ---- pins ----------------------------------------------------------------------------- */

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

void pinw_logtext_creation(struct pinw_logtext *text, const struct pinw_slot *slot)
{
	if (slot->flags & PINW_THREAD_MAIN)
		pinw_logtext_put(text, "  the main thread\n");
	else
		pinw_logtext_stack(text, "created at", slot->create_site);
}

static void put_held(struct pinw_logtext *text, uint64_t since_ns, uint64_t now_ns, uint32_t depth)
{
	pinw_logtext_put(text, ", held ");
	duration(text, now_ns > since_ns ? now_ns - since_ns : 0);
	pinw_logtext_put(text, ", depth ");
	pinw_logtext_number(text, depth);
	pinw_logtext_put(text, "\n");
}

void pinw_logtext_golock(struct pinw_logtext *text, const struct pinw_slot *slot, uint64_t now_ns)
{
	if (!slot->golock_depth)
		return;
	pinw_logtext_put(text, "  locked by goroutine ");
	pinw_logtext_number(text, slot->golock_goid);
	put_held(text, slot->golock_since_ns, now_ns, slot->golock_depth);
	pinw_logtext_stack(text, "locked at", slot->golock_site);
}

void pinw_logtext_pin(struct pinw_logtext *text, const struct pinw_slot *slot, uint64_t now_ns)
{
	if (slot->pin_depth) {
		pinw_logtext_put(text, "  pinned ");
		pinw_logtext_put(text, origin_words(slot->pin_origin));
		pinw_logtext_put(text, " to ");
		pinw_logtext_cpus(text, (const uint64_t *)(slot + 1));
		put_held(text, slot->pin_since_ns, now_ns, slot->pin_depth);
		pinw_logtext_stack(text, "pinned at", slot->pin_site);
	}
	pinw_logtext_golock(text, slot, now_ns);
	pinw_logtext_creation(text, slot);
}
