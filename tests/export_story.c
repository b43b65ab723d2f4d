/* SPDX-License-Identifier: MIT */
#include "tests/export_story.h"

#include <errno.h>

#include "policy/policy.h"

static void golock(struct pinw_builder *b, uint64_t time_ns, uint32_t thread, uint32_t kind, uint32_t site,
                   uint32_t lock_site, uint64_t held_ns)
{
	struct pinw_rec_golock rec = {
	    .e = {.time_ns = time_ns, .thread = thread, .site = site},
	    .kind = kind,
	    .depth = 1,
	    .goid = 16 + thread,
	    .held_ns = held_ns,
	    .lock_site = lock_site,
	};

	pinw_builder_event(b, PINW_REC_GOLOCK, &rec, sizeof(rec), NULL, 0);
}

static void tell_pins(struct pinw_builder *b)
{
	pinw_builder_create(b, 100, 1, 1, 2, 0);
	pinw_builder_start(b, 110, 2, PINW_ORIGIN_NONE, 0, 0, 0xf);
	pinw_builder_name(b, 120, 2, 2, STORY_NAME);
	pinw_builder_pin(b, 1000, 2, 2, 2, PINW_EFFECT_OPEN, 2);
	pinw_builder_pin(b, 3000, 2, 2, 3, PINW_EFFECT_RELEASE, 0xf);
	pinw_builder_pin_failed(b, 3500, 2, 2, EINVAL);
	pinw_builder_pin(b, 4000, 2, 2, 2, PINW_EFFECT_OPEN, 4);
	pinw_builder_exit_pinned(b, 5000, 2, PINW_ORIGIN_SELF, 2, 2, 1000);
	pinw_builder_join(b, 5100, 1, 2);
}

static void tell_locks(struct pinw_builder *b)
{
	pinw_builder_create(b, 200, 1, 1, 3, PINW_THREAD_BORN_DETACHED | PINW_THREAD_ATTR_AFFINITY);
	pinw_builder_start(b, 210, 3, PINW_ORIGIN_BORN, 1, 1, 1);
	golock(b, 300, 3, PINW_GOLOCK_LOCK, 5, 0, 0);
	golock(b, 800, 3, PINW_GOLOCK_UNLOCK, 3, 5, 500);
	golock(b, 900, 3, PINW_GOLOCK_LOCK, 5, 0, 0);
	golock(b, 1900, 3, PINW_GOLOCK_DESTROYED, 0, 5, 1000);
	golock(b, 2000, 1, PINW_GOLOCK_LOCK, 5, 0, 0);
	b->live.counters.golocks = 3;
	b->live.counters.gounlocks = b->live.counters.golocks_lost = b->live.counters.golocks_open = 1;
}

static void tell_others(struct pinw_builder *b)
{
	struct pinw_rec_adopt adopt = {.e = {700, 5, 0}, .tid = 5005, .flags = PINW_THREAD_CENSUS};
	struct pinw_rec_external external = {
	    .e = {750, 5, 0}, .tid = 5005, .seen_at = PINW_SEEN_CALL, .effect = PINW_EFFECT_OPEN, .depth = 1};
	struct pinw_rec_violation violation = {.e = {1000, 2, 2},
	                                       .action = PINW_ACTION_DENY,
	                                       .done = PINW_DONE_DENIED,
	                                       .attempt = PINW_ATTEMPT_PIN,
	                                       .target = 2,
	                                       .error = EPERM,
	                                       .value = 4,
	                                       .limit = 3};
	const uint64_t all = 0xf, change[2] = {0xf, 8};

	pinw_builder_create(b, 400, 1, 4, 4, 0);
	pinw_builder_start(b, 410, 4, PINW_ORIGIN_NONE, 0, 0, 0xf);
	pinw_builder_exit(b, 600, 4, PINW_EXIT_RETURN, 0xf);
	pinw_builder_event(b, PINW_REC_THREAD_ADOPT, &adopt, sizeof(adopt), &all, sizeof(all));
	b->live.counters.threads_adopted = 1;
	b->live.counters.threads_live++;
	pinw_builder_event(b, PINW_REC_PIN_EXTERNAL, &external, sizeof(external), change, sizeof(change));
	b->live.counters.pins_opened++;
	b->live.counters.pins_external++;
	b->live.counters.pins_open++;
	pinw_builder_policy(b, "/etc/\xffpolicy.ini", PINW_MODE_ENFORCE, 1);
	violation.rule =
	    pinw_builder_rule(b, 7, PINW_SECTION_BAN, PINW_ACTION_DENY, "ban:a;b\"\n\xff\xf3\xa0\x80\x81");
	pinw_builder_violation(b, &violation, 2);
	pinw_builder_exec(b, 6000, "/bin/\xfftrue", PINW_EXEC_FAILED, ENOENT);
	pinw_builder_note(b, PINW_NOTE_CHROOT, 0);
}

static void tell_slots(struct pinw_builder *b)
{
	struct pinw_slot *slot = pinw_builder_slot(b, 1, PINW_SLOT_RUNNING, 0xf);

	slot->golock_depth = 1;
	slot->golock_since_ns = 2001;
	slot->golock_site = 5;
	slot->golock_goid = 17;
	slot = pinw_builder_slot(b, 3, PINW_SLOT_RUNNING, 1);
	slot->pin_depth = 1;
	slot->pin_origin = PINW_ORIGIN_BORN;
	slot->pin_site = 1;
	slot->pin_by = 1;
	slot->pin_since_ns = 210;
	slot = pinw_builder_slot(b, 4, PINW_SLOT_EXITED, 0xf);
	slot->exit_ns = 600;
	slot->exit_how = PINW_EXIT_RETURN;
	slot = pinw_builder_slot(b, 5, PINW_SLOT_RUNNING, 8);
	slot->pin_depth = 1;
	slot->pin_origin = PINW_ORIGIN_EXTERNAL;
	slot->pin_since_ns = 750;
}

void tell_all(struct pinw_builder *b)
{
	static const uint64_t offsets[] = {0x1111, 0x2222, 0x3333};

	pinw_builder_init(b, 1);
	pinw_builder_set_exe(b, STORY_EXE);
	pinw_builder_module(b, 1, "/opt/<b>;\"\n\xff/li;b.so");
	for (uint32_t id = 1; id <= 5; id++)
		if (id != 4)
			pinw_builder_site(b, id, 1, offsets, id == 5 ? 1 : 3, 0);
	tell_pins(b);
	tell_locks(b);
	tell_others(b);
	tell_slots(b);
	pinw_builder_end(b, PINW_END_EXIT, 3, STORY_END);
}
