/* SPDX-License-Identifier: MIT
 *
 * A trace that cannot grow: nothing is lost silently, the reason is noted, and no file but its own is touched.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "preload/ledger.h"
#include "preload/trace.h"
#include "tests/trace_rig.h"

TestSuite(trace_growth, .fini = pinw_rig_done);

struct noted {
	unsigned count;
	uint32_t arg;
};

static void find_note(void *arg, const struct pinw_read_record *rec)
{
	struct noted *noted = arg;

	if (rec->type == PINW_REC_NOTE && rec->note->code == PINW_NOTE_NO_GROWTH) {
		noted->count++;
		noted->arg = rec->note->arg;
	}
}

/* After growth failed with `error`: what fitted is there, the rest counted, the reason noted once, slots work on. */
static void expect_no_growth(const char *path, int error)
{
	struct pinw_rig_seen seen;
	struct noted noted = {0, 0};
	uint64_t before;
	const uint64_t one = 1;
	struct pinw_pinner self = {.origin = PINW_ORIGIN_SELF};

	write_until_dropped();
	write_notes(0, 5000);
	cr_expect_geq(counters()->events_dropped, 5000);
	for (uint32_t i = 0; i < 200; i++) {
		struct pinw_thread *t = pinw_rig_thread(i + 1, NULL);

		cr_assert_eq(pinw_ledger_set(t, t->slot->thread, &one, self, i, &before).effect,
		             PINW_EFFECT_OPEN);
	}
	cr_expect_eq(counters()->pins_open, 200);
	pinw_rig_balance();
	if (!path)
		return;
	pinw_rig_read_from(path, find_note, NULL, &noted, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	cr_expect_eq(seen.records[PINW_REC_NOTE] - noted.count, counters()->events_written);
	cr_expect_eq(seen.slots + counters()->slots_unfiled, 200);
	cr_expect_eq(noted.count, 1);
	cr_expect_eq(noted.arg, error, "noted %u", noted.arg);
}

Test(trace_growth, stops_growing_when_its_file_is_gone)
{
	char kept[256];

	bench(1, 16 << 20);
	snprintf(kept, sizeof(kept), "%s", pinw_rig_path("kept"));
	cr_assert_eq(link(pinw_rig_trace(), kept), 0);
	cr_assert_eq(unlink(pinw_rig_trace()), 0);
	expect_no_growth(kept, ENOENT);
}

Test(trace_growth, leaves_a_file_alone_that_took_its_place)
{
	static const char text[] = "somebody else's";
	char moved[256], back[64] = "";

	bench(1, 16 << 20);
	snprintf(moved, sizeof(moved), "%s", pinw_rig_path("moved"));
	cr_assert_eq(rename(pinw_rig_trace(), moved), 0);
	int fd = open(pinw_rig_trace(), O_RDWR | O_CREAT | O_EXCL, 0600);
	cr_assert_eq(write(fd, text, sizeof(text)), (ssize_t)sizeof(text));
	expect_no_growth(moved, ESTALE);
	cr_expect_eq(lseek(fd, 0, SEEK_END), (off_t)sizeof(text));
	cr_assert_eq(pread(fd, back, sizeof(back), 0), (ssize_t)sizeof(text));
	cr_expect_str_eq(back, text);
	close(fd);
}

Test(trace_growth, follows_no_link_that_took_its_place)
{
	char moved[256];

	bench(1, 16 << 20);
	snprintf(moved, sizeof(moved), "%s", pinw_rig_path("moved"));
	cr_assert_eq(rename(pinw_rig_trace(), moved), 0);
	cr_assert_eq(symlink(moved, pinw_rig_trace()), 0);
	expect_no_growth(moved, ESTALE);
}

Test(trace_growth, stops_at_a_directory_or_fifo_in_its_place)
{
	char moved[256];

	bench(1, 16 << 20);
	snprintf(moved, sizeof(moved), "%s", pinw_rig_path("moved"));
	cr_assert_eq(rename(pinw_rig_trace(), moved), 0);
	cr_assert_eq(mkfifo(pinw_rig_trace(), 0600), 0);
	write_until_dropped(); /* and does not wait for a reader */
	cr_assert_eq(unlink(pinw_rig_trace()), 0);
	cr_assert_eq(mkdir(pinw_rig_trace(), 0700), 0);
	write_notes(0, 5000);
	struct pinw_rig_seen seen;
	pinw_rig_read_from(moved, NULL, NULL, NULL, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	cr_expect_eq(seen.all, counters()->events_written + 1, "and one note");
}

Test(trace_growth, goes_on_growing_when_its_file_is_back)
{
	struct pinw_rig_seen seen;
	char moved[256];

	bench(1, 16 << 20);
	snprintf(moved, sizeof(moved), "%s", pinw_rig_path("moved"));
	cr_assert_eq(rename(pinw_rig_trace(), moved), 0);
	write_until_dropped();
	uint64_t written = counters()->events_written;
	cr_assert_eq(rename(moved, pinw_rig_trace()), 0);
	write_notes(0, 5000);
	cr_expect_gt(counters()->events_written, written + 4000, "tried again after 1, 2, 4 ... failures");
	read_all(&seen);
	cr_expect_eq(seen.all, counters()->events_written + 1, "and one note");
}

/* As an ordinary user: root opens anything. */
Test(trace_growth, stops_growing_when_it_may_not_open_its_file)
{
	bench(1, 16 << 20);
	cr_assert_eq(chmod(pinw_rig_dir(), 0755), 0);
	cr_assert_eq(chmod(pinw_rig_trace(), 0), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	write_until_dropped();
	write_notes(0, 5000);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(chmod(pinw_rig_trace(), 0600), 0);
	struct noted noted = {0, 0};
	struct pinw_rig_seen seen;
	pinw_rig_read(find_note, NULL, &noted, &seen);
	cr_expect_eq(seen.problems, 0, "%s", seen.problem);
	cr_expect_eq(noted.count, 1);
	cr_expect_eq(noted.arg, EACCES);
	cr_expect_eq(seen.all, counters()->events_written + 1);
}

/* SIGXFSZ would end the program: the limit is asked for before it is passed. */
Test(trace_growth, stops_growing_at_the_file_size_limit)
{
	struct rlimit limit = {256 << 10, RLIM_INFINITY};

	bench(1, 16 << 20);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(signal(SIGXFSZ, SIG_DFL), SIG_DFL);
	expect_no_growth(pinw_rig_trace(), EFBIG);
	struct stat st;
	cr_assert_eq(stat(pinw_rig_trace(), &st), 0);
	cr_expect_leq(st.st_size, 256 << 10);
}

Test(trace_growth, stops_growing_without_descriptors)
{
	struct rlimit limit, none = {0, 0};

	bench(1, 16 << 20);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none.rlim_max = limit.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	write_until_dropped();
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	struct noted noted = {0, 0};
	struct pinw_rig_seen seen;
	pinw_rig_read(find_note, NULL, &noted, &seen);
	cr_expect_eq(noted.count, 1);
	cr_expect_eq(noted.arg, EMFILE);
}

Test(trace_growth, stops_growing_when_the_target_sealed_itself)
{
	bench(1, 16 << 20);
	pinw_shim.sealed = true;
	write_until_dropped();
	write_notes(0, 100);
	pinw_shim.sealed = false;
	struct pinw_rig_seen seen;
	read_all(&seen);
	cr_expect_geq(seen.all, counters()->events_written);
}

/* A full disk of 512 KiB. Its own mount namespace, so nobody else sees it. */
static void mount_small_disk(const char *at)
{
	if (unshare(CLONE_NEWNS) < 0)
		cr_skip_test("needs root to mount a small disk");
	cr_assert_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	cr_assert_eq(mount("small", at, "tmpfs", 0, "size=512k"), 0);
}

static void fill_disk(const char *name, uint64_t leave)
{
	static const char zeros[4096];
	struct statfs st;
	int fd = open(pinw_rig_path(name), O_WRONLY | O_CREAT, 0600);

	cr_assert_geq(fd, 0);
	while (statfs(pinw_rig_dir(), &st) == 0 && (uint64_t)st.f_bavail * (uint64_t)st.f_bsize > leave)
		cr_assert_eq(write(fd, zeros, sizeof(zeros)), (ssize_t)sizeof(zeros));
	close(fd);
}

Test(trace_growth, stops_growing_on_a_full_disk)
{
	mount_small_disk(pinw_rig_dir());
	bench(1, 16 << 20);
	fill_disk("filler", 160 << 10);
	expect_no_growth(pinw_rig_trace(), ENOSPC);
	umount2(pinw_rig_dir(), MNT_DETACH);
}

Test(trace_growth, leaves_no_file_behind_on_a_full_disk)
{
	mount_small_disk(pinw_rig_dir());
	fill_disk("filler", 20 << 10);
	cr_expect_eq(open_new("no.pwt", 16 << 20), -ENOSPC);
	cr_expect_eq(access(pinw_rig_path("no.pwt"), F_OK), -1);
	umount2(pinw_rig_dir(), MNT_DETACH);
}

Test(trace_growth, leaves_no_file_behind_at_the_file_size_limit)
{
	struct rlimit limit = {16 << 10, RLIM_INFINITY};

	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(signal(SIGXFSZ, SIG_DFL), SIG_DFL);
	cr_expect_eq(open_new("no.pwt", 16 << 20), -EFBIG);
	cr_expect_eq(access(pinw_rig_path("no.pwt"), F_OK), -1);
}
