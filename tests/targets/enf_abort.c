/* SPDX-License-Identifier: MIT
 *
 * Shows: a program that would survive abort's signal: it handles it and jumps out, ignores it, or blocks it. Then main
 * pins itself by pin_in_main, and says so if it gets that far.
 *
 *   enf_abort handled|ignored|blocked|plain
 */
#include "tests/targets/common/common.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static sigjmp_buf out;

static void jump_out(int signal)
{
	siglongjmp(out, signal);
}

__attribute__((noinline)) static void pin_in_main(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0));

	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "plain";
	sigset_t set;

	target_cpu(1);
	sigemptyset(&set);
	sigaddset(&set, SIGABRT);
	if (strcmp(how, "handled") == 0)
		CHECK(signal(SIGABRT, jump_out) != SIG_ERR);
	if (strcmp(how, "ignored") == 0)
		CHECK(signal(SIGABRT, SIG_IGN) != SIG_ERR);
	if (strcmp(how, "blocked") == 0)
		CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	if (sigsetjmp(out, 1) == 0)
		pin_in_main();
	puts("went on");
	return 0;
}
