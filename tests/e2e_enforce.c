/* SPDX-License-Identifier: MIT
 *
 * Pins that a policy judges: bans, births, predicates, allows. The figures are those of the targets' sources
 * (tests/targets/enf_*.c).
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/enforce_scene.h"

TestSuite(deny, .fini = e2e_done);
TestSuite(births, .fini = e2e_done);
TestSuite(predicates, .fini = e2e_done);
TestSuite(allow, .fini = e2e_done);

/* ---- deny: the call is not made ------------------------------------------------------ */

Test(deny, by_function_with_eperm)
{
	policy("[ban \"b\"]\nfunction = pin_by_*\n");
	enforced("@enf_pin", "sched 1 free\npthread 1 free\nsyscall 1 free\n", "{\"ban:b\": 3}");
	e2e_true(".totals.pins.opened == 0");
	e2e_true(
	    ".processes[0].policy | .mode == \"enforce\" and .rules[0].matched == 3 and .rules[0].done == 3");
	e2e_true("[.processes[0].violation_list[] | select(.done == \"denied\" and .errno == 1 and .attempt "
	         "== \"pin\") | "
	         ".count] | add == 3");
}

Test(deny, only_the_function_that_is_named)
{
	policy("[ban \"b\"]\nfunction = pin_by_pthread\n");
	enforced("@enf_pin", "sched 0 pinned\npthread 1 free\nsyscall 0 pinned\n", "{\"ban:b\": 1}");
	e2e_true(".totals.pins.opened == 2");
	policy("[ban \"b\"]\nfunction = pin_by_sch?d\nfunction = pin_*_syscall\n");
	enforced("@enf_pin", "sched 1 free\npthread 0 pinned\nsyscall 1 free\n", "{\"ban:b\": 2}");
}

Test(deny, with_the_errno_given)
{
	policy("[ban \"b\"]\nfunction = pin_by_*\nerrno = EINVAL\n");
	enforced("@enf_pin", "sched 22 free\npthread 22 free\nsyscall 22 free\n", "{\"ban:b\": 3}");
	policy("[ban \"b\"]\nfunction = pin_by_*\nerrno = EBUSY\naction = deny\n");
	enforced("@enf_pin", "sched 16 free\npthread 16 free\nsyscall 16 free\n", "{\"ban:b\": 3}");
}

Test(deny, by_the_outermost_function_as_well)
{
	policy("[ban \"b\"]\nfunction = main\n");
	enforced("@enf_pin", "sched 1 free\npthread 1 free\nsyscall 1 free\n", "{\"ban:b\": 3}");
}

Test(deny, by_call)
{
	policy("[ban \"b\"]\ncall = setaffinity\n");
	enforced("@enf_pin", "sched 1 free\npthread 0 pinned\nsyscall 1 free\n", "{\"ban:b\": 2}");
	policy("[ban \"b\"]\ncall = pthread_setaffinity\n");
	enforced("@enf_pin", "sched 0 pinned\npthread 1 free\nsyscall 0 pinned\n", "{\"ban:b\": 1}");
	policy("[ban \"b\"]\ncall = setaffinity, pthread_setaffinity\n");
	enforced("@enf_pin", "sched 1 free\npthread 1 free\nsyscall 1 free\n", "{\"ban:b\": 3}");
	policy("[ban \"b\"]\ncall = cross\n");
	enforced("@enf_pin", ALL_PINNED, "{}");
}

/* pin_cross counts on its calls: it says (status 1) that the first was refused, and the mask is as it was. */
Test(deny, one_thread_pinning_another)
{
	policy("[ban \"b\"]\ncall = cross\n");
	under("--enforce", "@pin_cross");
	cr_assert_eq(last.status, 1, "status %d\n%s", last.status, last.err);
	e2e_true(".totals.pins.opened == 0");
	violations("{\"ban:b\": 1}");
}

Test(deny, says_what_was_done_and_by_which_rule)
{
	policy("# one\n# two\n[ban \"quiet handlers\"]\nfunction = pin_by_pthread\nmessage = ask the owner "
	       "instead\n");
	under("--enforce", "@enf_pin");
	says("ban:quiet handlers");
	says("policy.ini:3");
	says("EPERM");
	says("ask the owner instead");
	says("pin_by_pthread");
	says("show");
	says_not("pin_by_syscall");
}

/* ---- threads and processes born pinned ------------------------------------------------- */

Test(births, through_an_attribute_are_denied)
{
	policy("[ban \"b\"]\ncall = attr\n");
	enforced("@enf_born attr inherit", "attr 1 none\ninherit 0 pinned\n", "{\"ban:b\": 1}");
	e2e_true(
	    ".totals.threads.created == 1 and .totals.threads.joined == 1 and .totals.threads.peak == 2");
	policy("[ban \"b\"]\ncall = attr\nerrno = EAGAIN\nfunction = make_born\n");
	enforced("@enf_born attr", "attr 11 none\n", "{\"ban:b\": 1}");
}

Test(births, by_inheritance_are_denied)
{
	policy("[ban \"b\"]\ncall = inherit\n");
	enforced("@enf_born inherit attr", "inherit 1 none\nattr 0 pinned\n", "{\"ban:b\": 1}");
	e2e_true(".totals.threads.created == 1 and .totals.pins.inherited == 0");
	policy("[ban \"b\"]\ncall = inherit\nfunction = make_heir\nerrno = EAGAIN\n");
	enforced("@enf_born inherit", "inherit 11 none\n", "{\"ban:b\": 1}");
	policy("[ban \"b\"]\ncall = inherit\nfunction = nobody\n");
	enforced("@enf_born inherit", "inherit 0 pinned\n", "{}");
}

Test(births, denied_leave_no_trace_of_the_thread)
{
	policy("[ban \"b\"]\ncall = attr, inherit\n");
	enforced("@enf_born attr inherit attr", "attr 1 none\ninherit 1 none\nattr 1 none\n",
	         "{\"ban:b\": 3}");
	e2e_true(".totals.threads.created == 0 and .processes[0].threads.peak == 1");
	e2e_true(".processes[0].thread_list | length == 1");
	e2e_true(".processes[0].coverage | .kernel_threads == .seen_threads");
}

Test(births, inherited_pins_are_reset_by_a_ban)
{
	policy("[ban \"b\"]\ncall = inherit\naction = reset\n");
	enforced("@enf_born inherit", "inherit 0 free\n", "{\"ban:b\": 1}");
	e2e_true(".totals.threads.created == 1 and .totals.leaks.inherited == 0");
	says("reset");
}

Test(births, inherited_pins_are_reset_by_the_leak_rule)
{
	policy("[leak]\ninherited = reset\n");
	enforced("@enf_born inherit attr", "inherit 0 free\nattr 0 pinned\n", "{\"leak:inherited\": 1}");
	/* The heir of one that was reset inherits no pin. */
	enforced("@enf_born chain", "chain 0 free free\n", "{\"leak:inherited\": 1}");
}

Test(births, a_fork_child_is_reset)
{
	policy("[leak]\ninherited = reset\n");
	enforced("@enf_born fork", "fork free\n", "{\"leak:inherited\": 1}");
	e2e_true(".processes | length == 2");
}

Test(births, inherited_pins_are_logged)
{
	policy("[leak]\ninherited = log\n");
	enforced("@enf_born inherit", "inherit 0 pinned\n", "{\"leak:inherited\": 1}");
	enforced("@enf_born chain", "chain 0 pinned pinned\n", "{\"leak:inherited\": 2}");
	enforced("@enf_born fork", "fork pinned\n", "{\"leak:inherited\": 1}");
	policy("[leak]\ninherited = off\n");
	enforced("@enf_born inherit fork", "inherit 0 pinned\nfork pinned\n", "{}");
}

/* ---- predicates ------------------------------------------------------------------------ */

Test(predicates, thread_name)
{
	policy("[ban \"b\"]\nthread_name = worker-*\n");
	enforced("@enf_workers 4 apart", "worker-0 1\nother-1 0\nworker-2 1\nother-3 0\n", "{\"ban:b\": 2}");
	policy("[ban \"b\"]\nthread_name = worker-2\nthread_name = other-3\n");
	enforced("@enf_workers 4 apart", "worker-0 0\nother-1 0\nworker-2 1\nother-3 1\n", "{\"ban:b\": 2}");
}

Test(predicates, created_by)
{
	policy("[ban \"b\"]\ncreated_by = make_other\n");
	enforced("@enf_workers 4 apart", "worker-0 0\nother-1 1\nworker-2 0\nother-3 1\n", "{\"ban:b\": 2}");
	/* The main thread has no creator. */
	policy("[ban \"b\"]\ncreated_by = *\n");
	enforced("@enf_pin", ALL_PINNED, "{}");
}

Test(predicates, module)
{
	policy("[ban \"b\"]\nmodule = enf_workers\n");
	enforced("@enf_workers 4 apart", "worker-0 1\nother-1 1\nworker-2 1\nother-3 1\n", "{\"ban:b\": 4}");
	policy("[ban \"b\"]\nmodule = */enf_workers\n");
	enforced("@enf_workers 2 apart", "worker-0 1\nother-1 1\n", "{\"ban:b\": 2}");
	policy("[ban \"b\"]\nmodule = libnothing.so*\n");
	enforced("@enf_workers 4 apart", ALL_WORK, "{}");
}

Test(predicates, module_and_function_of_one_frame)
{
	/* Frames of libc are on the stack, and so is pin_here: but that is not libc's. */
	policy("[ban \"b\"]\nmodule = libc.so*\n");
	enforced("@enf_workers 2 apart", "worker-0 1\nother-1 1\n", "{\"ban:b\": 2}");
	policy("[ban \"b\"]\nmodule = libc.so*\nfunction = pin_here\n");
	enforced("@enf_workers 2 apart", "worker-0 0\nother-1 0\n", "{}");
	policy("[ban \"b\"]\nmodule = enf_workers\nfunction = pin_here\n");
	enforced("@enf_workers 2 apart", "worker-0 1\nother-1 1\n", "{\"ban:b\": 2}");
}

/* The library is loaded long after the policy was read, and again after it was unloaded. */
Test(predicates, module_loaded_later)
{
	policy("[ban \"b\"]\nmodule = libpinner.so\naction = log\n");
	enforced("@dlopen_pin 3", "3 loads\n", "{\"ban:b\": 3}");
	says("libpinner.so");
}

Test(predicates, cpus)
{
	policy("[ban \"b\"]\ncpus = %d\n", cpu_number(1));
	enforced("@enf_workers 4 apart", "worker-0 0\nother-1 1\nworker-2 0\nother-3 1\n", "{\"ban:b\": 2}");
}

Test(predicates, all_that_are_given_must_hold)
{
	policy("[ban \"b\"]\nthread_name = worker-*\ncreated_by = make_other\n");
	enforced("@enf_workers 4 apart", ALL_WORK, "{}");
	policy("[ban \"b\"]\nthread_name = worker-*\ncpus = %d\ncall = pthread_setaffinity\nkind = cpu\n",
	       cpu_number(0));
	enforced("@enf_workers 4 apart", "worker-0 1\nother-1 0\nworker-2 1\nother-3 0\n", "{\"ban:b\": 2}");
	policy("[ban \"b\"]\nkind = go\nthread_name = *\naction = log\n");
	enforced("@enf_workers 4 apart", ALL_WORK, "{}");
}

/* As the source spells them, with arguments or without, and as the compiler does. */
Test(predicates, function_names_of_cxx)
{
	static const struct {
		const char *function, *out;
		int violations;
	} cases[] = {
	    {"web::HttpServer::handle*", "method 1\ntemplate 0\nlambda 0\n", 1},
	    {"web::HttpServer::handleRequest", "method 1\ntemplate 0\nlambda 0\n", 1},
	    {"*::handleRequest*", "method 1\ntemplate 0\nlambda 0\n", 1},
	    {"*HttpServer13handleRequest*", "method 1\ntemplate 0\nlambda 0\n", 1},
	    {"web::Pool<long>::run*", "method 0\ntemplate 1\nlambda 0\n", 1},
	    {"web::serve*", "method 0\ntemplate 0\nlambda 1\n", 1},
	    {"web::*", "method 1\ntemplate 1\nlambda 1\n", 3},
	    {"HttpServer::*", "method 0\ntemplate 0\nlambda 0\n", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expected[64];

		snprintf(expected, sizeof(expected), cases[i].violations ? "{\"ban:b\": %d}" : "{}",
		         cases[i].violations);
		policy("[ban \"b\"]\nfunction = %s\n", cases[i].function);
		enforced("@enf_cxx", cases[i].out, expected);
	}
}

Test(predicates, after_a_warm_up)
{
	policy("[ban \"b\"]\nfunction = pin_by_*\nafter = 1h\n");
	enforced("@enf_pin", ALL_PINNED, "{}");
	policy("[ban \"b\"]\nfunction = pin_by_*\nafter = 1us\n");
	enforced("@enf_pin", "sched 1 free\npthread 1 free\nsyscall 1 free\n", "{\"ban:b\": 3}");
}

Test(predicates, the_first_ban_in_the_file_wins)
{
	policy("[ban \"first\"]\nfunction = pin_by_sched\nerrno = EBUSY\n[ban \"second\"]\nfunction = "
	       "pin_by_*\n");
	enforced("@enf_pin", "sched 16 free\npthread 1 free\nsyscall 1 free\n",
	         "{\"ban:first\": 1, \"ban:second\": 2}");
}

Test(predicates, pin_width)
{
	policy("[policy]\npin_width = 1\n[ban \"b\"]\nfunction = *\n");
	enforced("@enf_pin", "sched 1 free\npthread 1 free\nsyscall 1 free\n", "{\"ban:b\": 3}");
}

/* ---- allow ------------------------------------------------------------------------------- */

Test(allow, beats_ban)
{
	policy("[ban \"b\"]\nfunction = pin_here\n[allow \"a\"]\nthread_name = worker-*\n");
	enforced("@enf_workers 4 apart", "worker-0 0\nother-1 1\nworker-2 0\nother-3 1\n", "{\"ban:b\": 2}");
}

Test(allow, max)
{
	policy("[allow \"a\"]\nthread_name = worker-*\nmax = 1\n[ban \"b\"]\nfunction = pin_here\n");
	enforced("@enf_workers 4 apart", "worker-0 0\nother-1 1\nworker-2 1\nother-3 1\n", "{\"ban:b\": 3}");
	/* What was released is there again: three pins one after the other, one at a time. */
	policy("[allow \"a\"]\nfunction = pin_by_*\nmax = 1\n[ban \"b\"]\nfunction = *\n");
	enforced("@enf_pin", ALL_PINNED, "{}");
}

Test(allow, cpus)
{
	policy("[allow \"a\"]\ncpus = %d\n[ban \"b\"]\nfunction = pin_here\n", cpu_number(0));
	enforced("@enf_workers 4 apart", "worker-0 0\nother-1 1\nworker-2 0\nother-3 1\n", "{\"ban:b\": 2}");
}

Test(allow, beats_caps)
{
	policy("[allow \"a\"]\nthread_name = worker-*\n[caps]\nmax_pinned = 1\n");
	enforced("@enf_workers 4 apart", "worker-0 0\nother-1 1\nworker-2 0\nother-3 1\n",
	         "{\"caps:max_pinned\": 2}");
}

Test(allow, by_creator_function_and_module)
{
	policy("[allow \"a\"]\ncreated_by = make_worker\nfunction = pin_here\nmodule = enf_workers\n"
	       "[ban \"b\"]\nfunction = *\n");
	enforced("@enf_workers 4 apart", "worker-0 0\nother-1 1\nworker-2 0\nother-3 1\n", "{\"ban:b\": 2}");
}
