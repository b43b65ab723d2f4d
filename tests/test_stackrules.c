/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/match.h"
#include "preload/enforce.h"
#include "preload/module.h"
#include "preload/site.h"
#include "preload/stackrules.h"
#include "tests/rig.h"

typedef int host_fn(void *arg);
typedef int host_caller(host_fn *fn, void *arg);
typedef int host_recurser(unsigned depth, host_fn *fn, void *arg);

/* A copy of the host that a test can take away. */
static char copy_path[PATH_MAX];

static void setup(void)
{
	pinw_rig_image(NULL);
	snprintf(copy_path, sizeof(copy_path), "%s", pinw_rig_path("libcopy.so"));
	pinw_rig_copy(pinw_rig_host_path("libhost"), copy_path);
}

TestSuite(stackrules, .init = setup, .fini = pinw_rig_done);

static uint64_t unknown(void)
{
	return pinw_shim.live->counters.stack_rules_unknown;
}

/* A function of the copy. */
static void *copy_function(const char *name)
{
	void *handle = dlopen(copy_path, RTLD_NOW | RTLD_LOCAL);

	cr_assert_not_null(handle, "%s", dlerror());
	void *function = dlsym(handle, name);
	cr_assert_not_null(function);
	return function;
}

/* ---- policies ---------------------------------------------------------------------------- */

static const struct pinw_policy *parse(const char *text)
{
	static const uint64_t baseline = 0xff;
	struct pinw_policy_host host = {.baseline = &baseline, .mask_words = 1};
	size_t size = pinw_policy_memory_needed(strlen(text), 1);
	struct pinw_policy_memory memory = {.bytes = malloc(size), .size = size};
	const struct pinw_policy *policy = NULL;
	struct pinw_policy_error error = {.line = 0};

	cr_assert_not_null(memory.bytes);
	cr_assert_eq(pinw_policy_parse(text, strlen(text), "test.ini", &host, &memory, &policy, &error), 0,
	             "line %u: %s", error.line, error.text);
	return policy;
}

static void obey(const char *text)
{
	const struct pinw_policy *policy = parse(text);

	pinw_enforce.state_memory =
	    calloc(1, pinw_policy_state_bytes(policy)); /* a fork child starts it anew */
	cr_assert_not_null(pinw_enforce.state_memory);
	pinw_enforce_use(policy);
}

static bool is_in(const uint16_t *ids, unsigned count, const char *label)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(pinw_enforce.policy->rules[ids[i] - 1].label, label) == 0)
			return true;
	return false;
}

static bool satisfies(const struct pinw_stack_match *match, const char *label)
{
	cr_assert_not_null(match);
	return is_in(match->rules, match->rule_count, label);
}

static bool is_created_by(const struct pinw_stack_match *match, const char *label)
{
	cr_assert_not_null(match);
	return is_in(match->creators, match->creator_count, label);
}

static __attribute__((noinline)) int ask(void *arg)
{
	struct pinw_where where = PINW_WHERE();

	*(struct pinw_site_ref *)arg = pinw_site_ref(pinw_tls.thread, where);
	return 0;
}

static struct pinw_site_ref ask_in(void *caller)
{
	struct pinw_site_ref ref = {0, NULL};

	((host_caller *)caller)(ask, &ref);
	cr_assert_neq(ref.id, 0);
	return ref;
}

static struct pinw_site_ref ask_at_depth(void *recurser, unsigned depth)
{
	struct pinw_site_ref ref = {0, NULL};

	((host_recurser *)recurser)(depth, ask, &ref);
	cr_assert_neq(ref.id, 0);
	return ref;
}

/* ---- which rules ---------------------------------------------------------------------------- */

Test(stackrules, a_stack_satisfies_the_rules_of_all_its_functions)
{
	obey("[allow \"call\"]\nfunction = nothing_here\nfunction = host_c?ll\n"
	     "[ban \"both\"]\nfunction = host_left\nmodule = */targets/libhost.so\n"
	     "[ban \"other object\"]\nfunction = host_left\nmodule = libc.so.6\n"
	     "[ban \"left\"]\nfunction = host_left\n"
	     "[ban \"right\"]\nfunction = host_right\n"
	     "[ban \"object\"]\nmodule = libhost.so\n"
	     "[ban \"no object\"]\nmodule = libho.so\n");
	struct pinw_site_ref left = ask_in(pinw_rig_host("libhost", "host_left")),
	                     right = ask_in(pinw_rig_host("libhost", "host_right"));

	cr_expect(satisfies(left.match, "ban:left"));
	cr_expect_not(satisfies(left.match, "ban:right"));
	cr_expect(satisfies(left.match, "ban:both"));
	cr_expect(satisfies(right.match, "ban:right"));
	cr_expect_not(satisfies(right.match, "ban:left"));
	cr_expect_not(satisfies(right.match, "ban:both"));
	for (unsigned i = 0; i < 2; i++) {
		const struct pinw_stack_match *match = i ? left.match : right.match;

		cr_expect(satisfies(match, "allow:call"));
		cr_expect(satisfies(match, "ban:object"));
		cr_expect_not(satisfies(match, "ban:no object"));
		cr_expect_not(satisfies(match, "ban:other object"));
		cr_expect_null(match->windows);
		cr_expect_eq(match->creator_count, 0);
	}
	cr_expect_eq(unknown(), 0);
}

Test(stackrules, creators_are_told_from_other_rules)
{
	obey("[ban \"made\"]\ncreated_by = host_left\n[ban \"called\"]\nfunction = host_left\n");
	const struct pinw_stack_match *match = ask_in(pinw_rig_host("libhost", "host_left")).match;

	cr_expect_not(satisfies(match, "ban:made"));
	cr_expect(is_created_by(match, "ban:made"));
	cr_expect(satisfies(match, "ban:called"));
	cr_expect_not(is_created_by(match, "ban:called"));
}

Test(stackrules, functions_of_cxx_match_by_any_spelling)
{
	obey("[ban \"raw\"]\nfunction = _ZN4host5outerEPFiPvES0_\n"
	     "[ban \"plain\"]\nfunction = host::inner\n"
	     "[ban \"whole\"]\nfunction = host::inner(int (*)(void*), void*)\n"
	     "[ban \"glob\"]\nfunction = host::*\nmodule = libhost_cxx.so\n"
	     "[ban \"half\"]\nfunction = inner\n");
	const struct pinw_stack_match *match = ask_in(pinw_rig_host("libhost_cxx", "host_cxx")).match;

	cr_expect(satisfies(match, "ban:raw"));
	cr_expect(satisfies(match, "ban:plain"));
	cr_expect(satisfies(match, "ban:whole"));
	cr_expect(satisfies(match, "ban:glob"));
	cr_expect_not(satisfies(match, "ban:half"));
}

/* Rule ids are kept as bits, in words. */
Test(stackrules, many_rules_come_out_in_order)
{
	enum { RULES = 200 };
	static char text[RULES * 80];
	size_t len = 0;

	for (unsigned i = 1; i <= RULES; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		                        "[ban \"%u\"]\nthread_name = t%u\nfunction = %s\n", i, i,
		                        i % 64 < 2 || i == RULES ? "host_*" : "not_this");
	obey(text);
	const struct pinw_stack_match *match = ask_in(pinw_rig_host("libhost", "host_left")).match;
	static const uint16_t expected[] = {1, 64, 65, 128, 129, 192, 193, 200};

	cr_assert_eq(match->rule_count, sizeof(expected) / sizeof(expected[0]));
	cr_expect_eq(memcmp(match->rules, expected, sizeof(expected)), 0);
}

Test(stackrules, a_policy_without_names_reads_none)
{
	struct rlimit before, none;
	void *left = pinw_rig_host("libhost", "host_left");

	obey("[caps]\nmax_threads = 10\n[ban \"by thread\"]\nthread_name = worker\n");
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){0, before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0); /* a file that cannot be opened would be missed */
	const struct pinw_stack_match *match = ask_in(left).match;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_assert_not_null(match);
	cr_expect_eq(match->rule_count, 0);
	cr_expect_eq(unknown(), 0);
}

/* ---- kept with the site ------------------------------------------------------------------------ */

Test(stackrules, a_stack_met_again_has_the_same_match)
{
	obey("[ban \"left\"]\nfunction = host_left\n");
	void *left = pinw_rig_host("libhost", "host_left");
	struct pinw_site_ref first = {0, NULL}, again = {0, NULL};

	for (unsigned i = 0; i < 2; i++)
		((host_caller *)left)(ask, i ? &again : &first);
	cr_expect_eq(again.id, first.id);
	cr_expect_eq(again.match, first.match);
	cr_expect_eq(pinw_shim.live->counters.memo_hits, 1);
	cr_expect_eq(pinw_site_match(first.id), first.match);
	cr_expect_null(pinw_site_match(0));
	cr_expect_null(pinw_site_match(first.id + 1));
	cr_expect_null(pinw_site_match(UINT32_MAX));
}

Test(stackrules, a_site_older_than_the_policy_is_matched_when_asked_for)
{
	void *callers[2] = {pinw_rig_host("libhost", "host_left"), pinw_rig_host("libhost", "host_right")};
	struct pinw_site_ref before[2], after[2];

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 2; i++)
			((host_caller *)callers[i])(ask, round ? &after[i] : &before[i]);
		if (round)
			break;
		cr_expect_null(before[0].match);
		cr_expect_null(pinw_site_match(before[0].id));
		obey("[ban \"left\"]\nfunction = host_left\n[ban \"right\"]\nfunction = host_right\n");
		cr_expect(satisfies(pinw_site_match(before[0].id), "ban:left"));
	}
	cr_expect_eq(after[0].id, before[0].id);
	cr_expect_eq(after[1].id, before[1].id);
	cr_expect(satisfies(after[0].match, "ban:left"));
	cr_expect(satisfies(after[1].match, "ban:right"));
}

/* A new stack made of frames met before needs no file. */
Test(stackrules, frames_are_remembered)
{
	void *recurse = copy_function("host_recurse"), *right = copy_function("host_right");

	obey("[ban \"recursion\"]\nfunction = host_recurse\n[ban \"object\"]\nmodule = libcopy.so\n"
	     "[ban \"right\"]\nfunction = host_right\n");
	uint32_t first = ask_at_depth(recurse, 2).id;
	cr_assert_eq(unlink(copy_path), 0);
	struct pinw_site_ref deeper = ask_at_depth(recurse, 9);
	cr_expect_neq(deeper.id, first);
	cr_expect(satisfies(deeper.match, "ban:recursion"));
	cr_expect(satisfies(deeper.match, "ban:object"));
	cr_expect_eq(unknown(), 0);
	struct pinw_site_ref other = ask_in(right);
	cr_expect_not(satisfies(other.match, "ban:right"), "its file is gone");
	cr_expect(satisfies(other.match, "ban:object"));
	cr_expect_eq(unknown(), 1);
	ask_in(right);
	cr_expect_eq(unknown(), 1, "once for each stack");
}

/* ---- what cannot be read ------------------------------------------------------------------------ */

Test(stackrules, a_file_of_another_build_names_nothing)
{
	void *left = copy_function("host_left");

	obey("[ban \"left\"]\nfunction = host_left\n[ban \"object\"]\nmodule = libcopy.so\n");
	cr_assert_eq(unlink(copy_path), 0);
	pinw_rig_copy(pinw_rig_host_path("libhost_cxx"), copy_path);
	const struct pinw_stack_match *match = ask_in(left).match;
	cr_expect_not(satisfies(match, "ban:left"));
	cr_expect(satisfies(match, "ban:object"));
	cr_expect_eq(unknown(), 1);
}

Test(stackrules, a_sealed_target_is_judged_by_what_is_known)
{
	void *left = pinw_rig_host("libhost", "host_left");
	int (*other)(size_t, host_fn *, void *) = pinw_rig_host("libhost", "host_alloca");
	struct pinw_site_ref known, fresh;

	obey("[ban \"call\"]\nfunction = host_call\n[ban \"other\"]\nfunction = host_alloca\n"
	     "[ban \"object\"]\nmodule = libhost.so\n");
	ask_in(left);
	pinw_shim.sealed = true;
	known = ask_in(left); /* another stack: by frame pointers it is shorter */
	other(64, ask, &fresh);
	pinw_shim.sealed = false;
	cr_expect(satisfies(known.match, "ban:call"));
	cr_expect(satisfies(fresh.match, "ban:object"));
	cr_expect_not(satisfies(fresh.match, "ban:other"));
	cr_expect_geq(unknown(), 1);
}

/* No free descriptor: the next time there may be one. */
Test(stackrules, what_may_pass_is_tried_again)
{
	struct rlimit before, none;
	struct pinw_site_ref ref[4];
	void *left = pinw_rig_host("libhost", "host_left");

	obey("[ban \"left\"]\nfunction = host_left\n[ban \"object\"]\nmodule = libhost.so\n");
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){0, before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (unsigned i = 0; i < 4; i++) {
		if (i == 2)
			cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
		ref[i] = (struct pinw_site_ref){0, NULL};
		((host_caller *)left)(ask, &ref[i]);
	}
	for (unsigned i = 0; i < 4; i++) {
		cr_expect_eq(satisfies(ref[i].match, "ban:left"), i >= 2, "round %u", i);
		cr_expect(satisfies(ref[i].match, "ban:object"));
		cr_expect_eq(ref[i].id, ref[0].id);
	}
	cr_expect_eq(ref[1].match, ref[0].match, "no memory for the same");
	cr_expect_eq(ref[3].match, ref[2].match);
	cr_expect_eq(unknown(), 1);
}

/* ---- site rates ------------------------------------------------------------------------------------ */

Test(stackrules, each_site_has_windows_of_its_own)
{
	obey("[ban \"left\"]\nfunction = host_left\n[ban \"often\"]\nsite_rate = 10/s\n");
	struct pinw_site_ref left = ask_in(pinw_rig_host("libhost", "host_left")),
	                     right = ask_in(pinw_rig_host("libhost", "host_right"));

	cr_expect_eq(left.match->rule_count, 2);
	cr_expect_eq(right.match->rule_count, 1);
	cr_expect(satisfies(left.match, "ban:often"));
	cr_expect(satisfies(right.match, "ban:often"));
	cr_assert_not_null(left.match->windows);
	cr_assert_not_null(right.match->windows);
	for (unsigned i = 0; i < 2; i++)
		cr_expect_eq(left.match->windows[i], 0);
	cr_expect(left.match->windows + 2 <= right.match->windows ||
	          right.match->windows + 1 <= left.match->windows);
}

/* Runs the body in a fork child, which starts an image of its own; returns its exit status. */
static int in_child(int (*body)(void))
{
	int status;
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0)
		_exit(body());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + status;
}

static struct pinw_site_ref parents;

static int look_at_windows(void)
{
	if (pinw_shim.image_gen != 2)
		return 1;
	if (pinw_site_match(parents.id) != parents.match)
		return 2;
	return parents.match->windows[0] == 0 && parents.match->windows[1] == 0 ? 0 : 3;
}

Test(stackrules, windows_start_anew_in_a_fork_child)
{
	obey("[ban \"left\"]\nfunction = host_left\nsite_rate = 1/s\n[ban \"often\"]\nsite_rate = 10/s\n");
	parents = ask_in(pinw_rig_host("libhost", "host_left"));
	ask_in(pinw_rig_host("libhost", "host_right"));
	cr_assert_eq(parents.match->rule_count, 2);
	parents.match->windows[0] = parents.match->windows[1] = 42;
	cr_expect_eq(in_child(look_at_windows), 0);
	cr_expect_eq(parents.match->windows[1], 42);
}

/* ---- single functions ---------------------------------------------------------------------------------- */

Test(stackrules, a_start_routine_satisfies_rules_on_its_own)
{
	obey("[require \"left\"]\nfunction = host_left\npinned = yes\nwithin = 1s\n"
	     "[ban \"object\"]\nmodule = libcopy.so\n[ban \"often\"]\nsite_rate = 10/s\n");
	uintptr_t left = (uintptr_t)copy_function("host_left"),
	          right = (uintptr_t)copy_function("host_right");
	const struct pinw_stack_match *match = pinw_stackrules_function(left),
	                              *other = pinw_stackrules_function(right);

	cr_expect(satisfies(match, "require:left"));
	cr_expect(satisfies(match, "ban:object"));
	cr_expect_not(satisfies(other, "require:left"));
	cr_expect_not(satisfies(match, "ban:often"), "it is no site");
	cr_expect_null(match->windows);
	cr_assert_eq(unlink(copy_path), 0);
	cr_expect_eq(pinw_stackrules_function(left), match);
	__atomic_fetch_add(&pinw_module_gen, 1,
	                   __ATOMIC_RELEASE); /* some object went away, but not this one */
	cr_expect(satisfies(pinw_stackrules_function(left), "require:left"));
	cr_expect_eq(unknown(), 0);
}

Test(stackrules, of_generated_code_nothing_is_known)
{
	void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	obey("[ban \"any\"]\nfunction = *\n");
	cr_assert_neq(code, MAP_FAILED);
	const struct pinw_stack_match *match = pinw_stackrules_function((uintptr_t)code);
	cr_assert_not_null(match);
	cr_expect_eq(match->rule_count, 0);
	cr_expect_eq(unknown(), 0);
	cr_expect(satisfies(ask_in(pinw_rig_host("libhost", "host_left")).match, "ban:any"));
}

/* ---- threads ------------------------------------------------------------------------------------------------ */

static void *ask_on_small_stack(void *arg)
{
	static void *recurse;

	(void)arg;
	if (!recurse)
		recurse = pinw_rig_host("libhost_cxx", "host_cxx");
	return (void *)(uintptr_t)ask_in(recurse).match;
}

/* The demangler needs more than such a stack has; what is met for the first time on it is named all the same. */
Test(stackrules, names_are_read_off_a_small_stack)
{
	pthread_attr_t attr;

	obey("[ban \"inner\"]\nfunction = host::inner\n");
	pinw_rig_host("libhost_cxx", "host_cxx"); /* loading it takes a larger stack */
	cr_assert_eq(pthread_attr_init(&attr), 0);
	cr_assert_eq(pthread_attr_setstacksize(&attr, 24 << 10), 0);
	const struct pinw_stack_match *match = pinw_rig_join(pinw_rig_spawn(ask_on_small_stack, NULL, &attr));
	cr_expect(satisfies(match, "ban:inner"));
}

static void *ask_all_depths(void *arg)
{
	const struct pinw_stack_match **found = arg;
	void *recurse = pinw_rig_host("libhost", "host_recurse");

	for (unsigned depth = 1; depth <= 40; depth++)
		found[depth] = ask_at_depth(recurse, depth).match;
	return arg;
}

Test(stackrules, eight_threads_get_the_same_matches)
{
	static const struct pinw_stack_match *found[8][41];
	struct pinw_thread *threads[8];

	obey("[ban \"recursion\"]\nfunction = host_recurse\n[ban \"often\"]\nsite_rate = 10/s\n");
	for (unsigned i = 0; i < 8; i++)
		threads[i] = pinw_rig_spawn(ask_all_depths, found[i], NULL);
	for (unsigned i = 0; i < 8; i++)
		cr_assert_not_null(pinw_rig_join(threads[i]));
	for (unsigned depth = 1; depth <= 40; depth++)
		for (unsigned i = 0; i < 8; i++) {
			cr_assert_eq(found[i][depth], found[0][depth]);
			cr_assert(satisfies(found[i][depth], "ban:recursion"));
			cr_assert(satisfies(found[i][depth], "ban:often"));
		}
	cr_expect_eq(unknown(), 0);
}
