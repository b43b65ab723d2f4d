/* SPDX-License-Identifier: MIT
 *
 * What survives: a process killed at any moment, one that takes its own surroundings away, a full file system.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e.h"

#define ROUNDS 20

TestSuite(durable, .fini = e2e_done);

/* Reads `least` acknowledgements, kills, reads what else had been written. Returns how many there were. */
static long kill_after(const char *command, long least)
{
	char bytes[4096];
	long acked = 0;
	int out, status;
	pid_t pid = e2e_start(command, &out);
	ssize_t n;

	while (acked < least &&
	       (n = read(out, bytes, least - acked < 4096 ? (size_t)(least - acked) : 4096)) > 0)
		acked += n;
	cr_assert_geq(acked, least, "ended by itself");
	cr_assert_eq(kill(pid, SIGKILL), 0);
	while ((n = read(out, bytes, sizeof(bytes))) > 0)
		acked += n;
	close(out);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return acked;
}

/* The shim preloaded by hand: nobody tells the trace how the process ended. */
static void preload_by_hand(char *command, size_t size, const char *target)
{
	const char *build = getenv("PINW_BUILD");
	char path[4096];

	cr_assert_not_null(realpath(build ? build : "build", path));
	snprintf(command, size, "env LD_PRELOAD=%s/libpinwarden.so PINWARDEN_OUTPUT=%s/%%e.%%p.pwt %s", path,
	         e2e_traces(), target);
}

Test(durable, every_acknowledged_call_is_there_after_kill_9)
{
	char command[8192], expression[512], remove[4096];

	preload_by_hand(command, sizeof(command), "@acked");
	for (int i = 0; i < ROUNDS; i++) {
		long acked = kill_after(command, 1 + random() % 20000);

		/* Each of two threads may have one call done and not yet acknowledged. */
		snprintf(expression, sizeof(expression),
		         ".totals.affinity.self as $n | $n >= %ld and $n <= %ld + 2 and "
		         ".processes[0].dropped == 0",
		         acked, acked);
		e2e_reread();
		e2e_true(expression);
		e2e_true(".processes | length == 1 and .[0].end.how == \"violent\"");
		snprintf(remove, sizeof(remove), "%s", e2e_trace("acked"));
		cr_assert_eq(unlink(remove), 0);
	}
}

Test(durable, run_says_which_signal_killed)
{
	cr_assert_eq(e2e_same("@pin_at_end kill")->status, 137);
	e2e_true(".processes[0].end == {how: \"signal\", status: 9}");
}

Test(durable, a_running_process_can_be_reported)
{
	char command[8192];
	int out, status;
	char byte;
	pid_t pid;

	preload_by_hand(command, sizeof(command), "@acked");
	pid = e2e_start(command, &out);
	cr_assert_eq(read(out, &byte, 1), 1);
	e2e_true(".processes[0].end.how == \"running\"");
	e2e_true(".processes[0].threads.created == 1 and .processes[0].threads.alive_at_end == 2");
	e2e_true(".processes[0].affinity.self >= 1");
	e2e_true(".processes[0].coverage | .kernel_threads == 2 and .seen_threads == 2");
	e2e_true(".totals.leaks[\"pinned-at-end\"] == 0");
	cr_assert_eq(kill(pid, SIGKILL), 0);
	close(out);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
}

/* What "@confined" does in its surroundings: 200 threads that pin and release, and a forked child that does,
 * whose trace may find no place: then one line on stderr says so, and the program goes on. */
static void worked_on(void)
{
	e2e_true(".processes[0].threads.created == 200 and .processes[0].threads.joined == 200");
	e2e_true(
	    "[.processes[] | select(.parent == null)][0] | .affinity.self == 400 and .pins.released == 200");
}

Test(durable, without_descriptors_of_its_own)
{
	e2e_same("@confined closefrom");
	worked_on();
	e2e_true("[.processes[] | select(.parent)][0].affinity.self == 2");
}

Test(durable, when_no_file_may_grow)
{
	e2e_same_output("@confined fsize");
	worked_on();
}

Test(durable, when_no_descriptor_is_left)
{
	e2e_same_output("@confined nofile");
	worked_on();
}

Test(durable, in_a_chroot)
{
	char jail[4096];

	e2e_needs(getuid() == 0, "needs root for chroot");
	snprintf(jail, sizeof(jail), "%s/jail", e2e_dir());
	cr_assert_eq(mkdir(jail, 0755), 0);
	e2e_same_output("@confined chroot %d/jail");
	worked_on();
}

Test(durable, bounded_in_size_and_exact_in_counts)
{
	struct stat st;

	e2e_status(0, "@@ run -q --max-size 128K -o %d/t/ -- @create_join 1 20000");
	cr_assert_eq(stat(e2e_trace(NULL), &st), 0);
	cr_assert_leq(st.st_size, 128 * 1024);
	e2e_true(".totals.threads.created == 20000 and .totals.threads.joined == 20000");
	e2e_true(".processes[0].dropped > 0 and .processes[0].threads.alive_at_end == 1");
}

/* A file system of `size`, filled until nothing more fits, seen by the script's children only. */
static const char full_disk[] = "set -e\n"
                                "mount -t tmpfs -o size=$1 none \"$2\" || exit 77\n"
                                "mkdir \"$2/t\"\n"
                                "[ -z \"$5\" ] || head -c 100M /dev/zero >\"$2/filler\" 2>/dev/null || true\n"
                                "set +e\n"
                                "\"$3\" run -q -o \"$2/t/\" -- \"$4\" 20 100 2>\"$2/../said\"\n"
                                "status=$?\n"
                                "cp \"$2\"/t/* \"$2/../t/\" 2>/dev/null\n"
                                "exit $status\n";

static void write_script(const char *name, const char *text)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", e2e_dir(), name);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/disk", e2e_dir());
	cr_assert_eq(mkdir(path, 0755), 0);
}

static void prepare_disk(void)
{
	struct e2e_result r;

	e2e_run(&r, "unshare -m true");
	e2e_needs(r.status == 0, "needs the right to a mount namespace");
	write_script("full", full_disk);
}

Test(durable, on_a_disk_that_fills_up)
{
	struct e2e_result r;

	prepare_disk();
	e2e_run(&r, "unshare -m sh %d/full 160K %d/disk @@ @create_join");
	e2e_needs(r.status != 77, "may not mount a tmpfs here");
	cr_assert_eq(r.status, 0, "%s", r.err);
	cr_assert_str_eq(r.out, "2000 threads\n");
	e2e_true(".totals.threads.created == 2000 and .totals.threads.joined == 2000");
	e2e_true(".processes[0].dropped > 0");
}

Test(durable, on_a_disk_that_is_full)
{
	struct e2e_result r;

	prepare_disk();
	e2e_run(&r, "unshare -m sh %d/full 160K %d/disk @@ @create_join fill");
	e2e_needs(r.status != 77, "may not mount a tmpfs here");
	cr_assert_str_eq(r.out, "2000 threads\n", "the program ran on untouched");
	cr_assert_eq(r.status, 125, "nothing was audited");
	cr_assert_eq(e2e_trace_count(), 0);
}
