/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reports/breaches.h"
#include "tests/report_rig.h"

TestSuite(model_policy, .init = make_folder, .fini = remove_folder);

/* A process under a policy of a ban, a cap and a suppression. */
static void tell_policy(struct pinw_builder *b)
{
	pinw_builder_init(b, 1);
	pinw_builder_policy(b, "/etc/staging.ini", PINW_MODE_ENFORCE, 3);
	pinw_builder_rule(b, 4, PINW_SECTION_BAN, PINW_ACTION_DENY, "ban:handlers");
	pinw_builder_rule(b, 9, PINW_SECTION_CAPS, PINW_ACTION_LOG, "caps:max_pinned");
	pinw_builder_rule(b, 12, PINW_SECTION_SUPPRESS, PINW_ACTION_NONE, "suppress:pool");
	pinw_builder_end(b, PINW_END_EXIT, 0, SECOND);
}

static void tell_denial(struct pinw_builder *b, uint64_t at, uint32_t thread, uint32_t site, uint64_t mask)
{
	struct pinw_rec_violation v = {.e = {at, thread, site},
	                               .rule = 1,
	                               .action = PINW_ACTION_DENY,
	                               .done = PINW_DONE_DENIED,
	                               .attempt = PINW_ATTEMPT_PIN,
	                               .target = thread,
	                               .error = EPERM};

	pinw_builder_violation(b, &v, mask);
}

static void tell_excess(struct pinw_builder *b, uint64_t at, uint64_t value)
{
	struct pinw_rec_violation v = {.e = {at, 9, 5},
	                               .rule = 2,
	                               .action = PINW_ACTION_LOG,
	                               .done = PINW_DONE_LOGGED,
	                               .attempt = PINW_ATTEMPT_PIN,
	                               .value = value,
	                               .limit = 4};

	pinw_builder_violation(b, &v, 0);
}

Test(model_policy, has_no_policy_where_none_was)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	b.live.counters.violations = 3; /* nobody can have counted these */
	struct pinw_model *m = model_of(&b);
	cr_expect_not(only(m)->has_policy);
	cr_expect_eq(only(m)->rules.count, 0);
	cr_expect_eq(pinw_process_violations(only(m)), 0);
	pinw_model_free(m);
}

Test(model_policy, tells_the_policy_and_every_rule)
{
	struct pinw_builder b;

	tell_policy(&b);
	b.rules[2].matched = 2;
	b.rules[2].watch_matched = 3;
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert(p->has_policy);
	cr_expect_str_eq(p->policy.path, "/etc/staging.ini");
	cr_expect_eq(p->policy.mode, PINW_MODE_ENFORCE);
	cr_expect_eq(p->policy.hash, 0x1234);
	cr_expect_eq(p->rules.count, 3);
	cr_expect_eq(p->uncounted_rules, 0);
	const struct pinw_rule_row *ban = pinw_process_rule(p, 1);
	cr_assert_not_null(ban);
	cr_expect_str_eq(ban->label, "ban:handlers");
	cr_expect_eq(ban->line, 4);
	cr_expect_eq(ban->section, PINW_SECTION_BAN);
	cr_expect_eq(ban->action, PINW_ACTION_DENY);
	cr_expect_eq(ban->last_ns, PINW_TIME_UNKNOWN);
	cr_expect_eq(pinw_process_rule(p, 3)->matched, 5, "inside the process and by its watcher");
	cr_expect_null(pinw_process_rule(p, 4));
	cr_expect_eq(p->violation_count, 0);
	pinw_model_free(m);
}

Test(model_policy, groups_violations_by_rule_stack_and_what_was_done)
{
	struct pinw_builder b;

	tell_policy(&b);
	tell_excess(&b, 50, 5);
	tell_excess(&b, 60, 7);
	tell_excess(&b, 70, 6);
	for (uint32_t i = 0; i < 5; i++)
		tell_denial(&b, 100 + i, 2 + i, 3, 2);
	tell_denial(&b, 90, 2, 3, 4);
	tell_denial(&b, 200, 2, 4, 2);
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert_eq(p->violation_count, 3);
	const struct pinw_violation *v = &p->violations[0];
	cr_expect_eq(v->rule, 1, "the strongest action first");
	cr_expect_eq(v->count, 6);
	cr_expect_eq(v->site, 3);
	cr_expect_eq(v->attempt, PINW_ATTEMPT_PIN);
	cr_expect_eq(v->done, PINW_DONE_DENIED);
	cr_expect_eq(v->error, EPERM);
	cr_expect_eq(v->first_ns, 90);
	cr_expect_eq(v->last_ns, 104);
	cr_expect_eq(v->threads[0], 2);
	cr_expect_eq(v->threads[2], 4);
	cr_expect(v->more_threads);
	cr_expect(v->masks_differ);
	cr_expect_eq(pinw_process_mask(p, v->mask)[0], 2);
	cr_expect_eq(p->violations[1].site, 4);
	cr_expect_not(p->violations[1].more_threads);
	cr_expect_not(p->violations[1].masks_differ);
	v = &p->violations[2];
	cr_expect_eq(v->rule, 2);
	cr_expect_eq(v->count, 3);
	cr_expect_eq(v->value, 7, "the largest");
	cr_expect_eq(v->limit, 4);
	cr_expect_eq(v->mask, 0, "no mask");
	cr_expect_eq(v->threads[0], 9, "who acted, when it was about nobody");
	cr_expect_eq(pinw_process_violations(p), 10);
	cr_expect_null(pinw_process_thread(p, 9), "a thread is not there for having been named");
	pinw_model_free(m);
}

Test(model_policy, believes_the_cells_of_rules_when_events_were_dropped)
{
	struct pinw_builder b;

	tell_policy(&b);
	tell_denial(&b, 100, 2, 3, 2);
	b.rules[0].violations = 1000;
	b.rules[0].done = 999;
	b.rules[0].last_ns = 5555;
	b.rules[0].last_thread = 77;
	b.rules[1].watch_violations = 4;
	b.rules[1].watch_ns = 6666;
	b.rules[1].watch_thread = 78;
	b.live.counters.violations = 1000;
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	const struct pinw_rule_row *ban = pinw_process_rule(p, 1), *cap = pinw_process_rule(p, 2);
	cr_expect(ban->counted);
	cr_expect_eq(ban->violations, 1000);
	cr_expect_eq(ban->done, 999);
	cr_expect_eq(ban->told, 1);
	cr_expect_eq(ban->last_ns, 5555);
	cr_expect_eq(ban->last_thread, 77);
	cr_expect_eq(cap->watched, 4);
	cr_expect_eq(cap->last_ns, 6666);
	cr_expect_eq(cap->last_thread, 78);
	cr_expect_eq(pinw_rule_violations(cap), 4);
	cr_expect_eq(pinw_process_violations(p), 1004);
	pinw_model_free(m);
}

Test(model_policy, falls_back_to_events_where_cells_are_lost)
{
	struct pinw_builder b;

	tell_policy(&b);
	tell_denial(&b, 100, 2, 3, 2);
	tell_denial(&b, 300, 3, 3, 2);
	b.rules[0].id = 9; /* damaged */
	b.live.counters.violations = 7;
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_expect(m->damaged);
	cr_expect_eq(p->uncounted_rules, 1);
	const struct pinw_rule_row *ban = pinw_process_rule(p, 1);
	cr_expect_not(ban->counted);
	cr_expect_eq(ban->violations, 2);
	cr_expect_eq(ban->done, 2);
	cr_expect_eq(ban->last_ns, 300);
	cr_expect_eq(ban->last_thread, 3);
	cr_expect_eq(pinw_process_violations(p), 7, "the live page counts them, too");
	pinw_model_free(m);
}

Test(model_policy, names_rules_whose_records_are_lost)
{
	struct pinw_builder b;

	tell_policy(&b);
	tell_denial(&b, 100, 2, 3, 2);
	b.meta.count = 0;
	free(b.rules);
	b.rules = NULL;
	b.rule_count = 0;
	struct pinw_model *m = model_of(&b);
	const struct pinw_process *p = only(m);
	cr_assert(p->has_policy);
	cr_expect_null(p->policy.path);
	cr_assert_eq(p->rules.count, 1);
	cr_expect_str_eq(pinw_process_rule(p, 1)->label, "rule 1");
	cr_expect_eq(pinw_process_rule(p, 1)->action, PINW_ACTION_DENY, "as the violation says");
	cr_expect_eq(p->violations[0].action, PINW_ACTION_DENY);
	pinw_model_free(m);
}

Test(model_policy, makes_no_rule_up_that_a_policy_does_not_announce)
{
	struct pinw_builder b;

	pinw_builder_init(&b, 1);
	pinw_builder_policy(&b, "/etc/x.ini", PINW_MODE_AUDIT, 2);
	struct pinw_model *m = model_of(&b);
	cr_expect_eq(only(m)->rules.count, 2);
	cr_expect_eq(only(m)->uncounted_rules, 2);
	cr_expect_eq(pinw_process_violations(only(m)), 0);
	pinw_model_free(m);
}

/* ---- rules over processes --------------------------------------------------------------- */

static const struct pinw_breach *breach_of(const struct pinw_breaches *b, const char *label)
{
	for (size_t i = 0; i < b->table.count; i++)
		if (strcmp(b->sorted[i]->label, label) == 0)
			return b->sorted[i];
	cr_assert_fail("no rule %s", label);
	return NULL;
}

Test(model_policy, adds_rules_up_over_processes)
{
	struct pinw_breaches breaches;
	struct pinw_builder b;

	tell_policy(&b);
	tell_denial(&b, 100, 2, 3, 2);
	b.rules[0].violations = 5;
	b.rules[0].done = 3;
	b.rules[2].matched = 4;
	write_trace(&b, "a.pwt");
	tell_policy(&b);
	memset(b.header.self.nonce, 7, 16);
	b.header.self.pid = 9;
	tell_excess(&b, 50, 5);
	b.rules[1].watch_violations = 2;
	write_trace(&b, "b.pwt");
	pinw_builder_init(&b, 1); /* and one without a policy */
	b.header.self.pid = 10;
	write_trace(&b, "c.pwt");
	struct pinw_model *m = read_folder();
	pinw_breaches_init(&breaches);
	for (size_t i = 0; i < m->process_count; i++)
		cr_assert_eq(pinw_breaches_add(&breaches, m->processes[i]), 0);
	cr_assert_eq(pinw_breaches_sort(&breaches), 0);
	cr_assert_eq(breaches.table.count, 3);
	cr_expect_eq(breaches.count, 8);
	cr_expect_eq(breaches.suppressed, 4);
	cr_expect_eq(breaches.worst, PINW_ACTION_DENY);
	cr_expect_str_eq(breaches.sorted[0]->label, "ban:handlers");
	const struct pinw_breach *ban = breach_of(&breaches, "ban:handlers");
	cr_expect_eq(ban->by_result[PINW_RESULT_DONE], 3);
	cr_expect_eq(ban->by_result[PINW_RESULT_NOT_DONE], 2, "enforced, and yet not done");
	cr_expect_eq(ban->by_result[PINW_RESULT_WOULD], 0);
	const struct pinw_breach *cap = breach_of(&breaches, "caps:max_pinned");
	cr_expect_eq(cap->by_result[PINW_RESULT_LOGGED], 1);
	cr_expect_eq(cap->by_result[PINW_RESULT_WATCHED], 2);
	cr_expect_eq(cap->count, 3);
	pinw_breaches_done(&breaches);
	pinw_model_free(m);
}

Test(model_policy, keeps_policies_of_one_label_apart)
{
	struct pinw_breaches breaches;
	struct pinw_builder b;

	tell_policy(&b);
	write_trace(&b, "a.pwt");
	pinw_builder_init(&b, 1);
	b.header.self.pid = 9;
	pinw_builder_policy(&b, "/etc/staging.ini", PINW_MODE_AUDIT, 1);
	pinw_builder_rule(&b, 5, PINW_SECTION_BAN, PINW_ACTION_CRASH, "ban:handlers");
	struct pinw_rec_violation v = {
	    .rule = 1, .action = PINW_ACTION_CRASH, .done = PINW_DONE_WOULD, .attempt = PINW_ATTEMPT_CREATE};
	pinw_builder_violation(&b, &v, 0);
	write_trace(&b, "b.pwt");
	struct pinw_model *m = read_folder();
	pinw_breaches_init(&breaches);
	for (size_t i = 0; i < m->process_count; i++)
		cr_assert_eq(pinw_breaches_add(&breaches, m->processes[i]), 0);
	cr_assert_eq(pinw_breaches_sort(&breaches), 0);
	cr_expect_eq(breaches.table.count, 4);
	cr_expect_eq(breaches.worst, PINW_ACTION_CRASH);
	cr_expect_eq(breaches.sorted[0]->line, 5);
	cr_expect_eq(breaches.sorted[0]->by_result[PINW_RESULT_WOULD], 1);
	pinw_breaches_done(&breaches);
	pinw_model_free(m);
}
