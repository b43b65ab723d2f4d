/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "preload/image.h"
#include "preload/proc.h"
#include "tests/rig.h"

static struct pinw_trace_setup image;
static char said[8192]; /* on stderr by the configure() before */

TestSuite(image, .fini = pinw_rig_done);

/* Reads the settings, "NAME=value" up to a NULL; keeps what is said on stderr. */
static bool configure(const char *const *settings)
{
	int real_stderr = dup(2), file = open(pinw_rig_path("stderr"), O_RDWR | O_CREAT | O_TRUNC, 0600);

	cr_assert(real_stderr >= 0 && file >= 0);
	memset(&pinw_config, 0, sizeof(pinw_config));
	dup2(file, 2);
	pinw_proc_stderr_init();
	bool record = pinw_image_configure((char **)(uintptr_t)settings);
	dup2(real_stderr, 2);
	close(real_stderr);
	ssize_t n = pread(file, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(file);
	return record;
}

static bool configure_one(const char *name, const char *value)
{
	char setting[4096];
	const char *const settings[] = {setting, NULL};

	snprintf(setting, sizeof(setting), "%s=%s", name, value);
	return configure(settings);
}

/* Creates the file that the settings ask for; its path, or "" with errno. Left open in image.fd. */
static const char *create(void)
{
	pinw_shim.mask_words = 1;
	pinw_shim.pid = (uint32_t)getpid();
	memset(&image, 0, sizeof(image));
	image.fd = -1;
	int r = pinw_image_create(&image, NULL);
	errno = -r;
	if (r < 0)
		return "";
	struct stat by_fd, by_path;
	cr_assert_eq(fstat(image.fd, &by_fd), 0);
	cr_assert_eq(lstat(image.path, &by_path), 0);
	cr_assert_eq(by_fd.st_ino, by_path.st_ino, "the descriptor is the file's");
	cr_assert_eq(by_path.st_mode, S_IFREG | 0600);
	close(image.fd);
	return image.path;
}

/* The last component of the path that the pattern makes in the scratch directory. */
static const char *name_of(const char *pattern)
{
	configure_one("PINWARDEN_OUTPUT", pinw_rig_path(pattern));
	const char *path = create();

	cr_assert(*path, "%s: %s", pattern, strerror(errno));
	cr_assert_eq(strncmp(path, pinw_rig_dir(), strlen(pinw_rig_dir())), 0);
	return path + strlen(pinw_rig_dir()) + 1;
}

static const char *with_pid(const char *format)
{
	static char text[PATH_MAX];

	snprintf(text, sizeof(text), format, getpid());
	return text;
}

/* What %e stands for in this program. */
static const char *exe_name(void)
{
	const char *path = (const char *)getauxval(AT_EXECFN), *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* ---- names ------------------------------------------------------------------------------ */

Test(image, expands_the_conversions_of_a_name)
{
	char expected[PATH_MAX], host[256] = "";
	time_t before = time(NULL);

	cr_expect_str_eq(name_of("p%p.pwt"), with_pid("p%d.pwt"));
	snprintf(expected, sizeof(expected), "e%s.pwt", exe_name());
	cr_expect_str_eq(name_of("e%e.pwt"), expected);
	cr_assert_eq(gethostname(host, sizeof(host) - 1), 0);
	snprintf(expected, sizeof(expected), "h%.64s.pwt", host);
	cr_expect_str_eq(name_of("h%h.pwt"), expected);
	cr_expect_str_eq(name_of("100%%.pwt"), "100%.pwt");
	cr_expect_str_eq(name_of("n%n.pwt"), "n1.pwt");
	long started = strtol(name_of("%t.pwt"), NULL, 10);
	/* time() reads a coarser clock, which lags by up to a tick. */
	cr_expect(started >= before && started <= time(NULL) + 1, "%ld", started);
	cr_expect_str_eq(name_of("plain"), "plain");
}

Test(image, keeps_what_is_no_conversion)
{
	cr_expect_str_eq(name_of("%x%P%E.pwt"), "%x%P%E.pwt");
	cr_expect_str_eq(name_of("half%"), "half%");
	cr_expect_str_eq(name_of("%%p"), "%p");
	cr_expect_str_eq(name_of("%%%p"), with_pid("%%%d"));
	cr_expect_str_eq(said, "");
}

Test(image, expands_the_last_component_only)
{
	cr_assert_eq(mkdir(pinw_rig_path("d%p%n"), 0700), 0);
	cr_expect_str_eq(name_of("d%p%n/x%p"), with_pid("d%%p%%n/x%d"));
}

Test(image, inserts_a_number_before_pwt_when_the_name_exists)
{
	cr_expect_str_eq(name_of("t.pwt"), "t.pwt");
	cr_expect_str_eq(name_of("t.pwt"), "t-2.pwt");
	cr_expect_str_eq(name_of("t.pwt"), "t-3.pwt");
	cr_expect_str_eq(name_of("t.trace"), "t.trace");
	cr_expect_str_eq(name_of("t.trace"), "t.trace-2");
	cr_expect_str_eq(name_of("%p.pwt"), with_pid("%d.pwt"));
	cr_expect_str_eq(name_of("%p.pwt"), with_pid("%d-2.pwt"));
	cr_expect_str_eq(name_of("x.pwt.pwt"), "x.pwt.pwt");
	cr_expect_str_eq(name_of("x.pwt.pwt"), "x.pwt-2.pwt");
}

Test(image, counts_with_n_to_the_first_name_that_is_new)
{
	cr_expect_str_eq(name_of("r%n.pwt"), "r1.pwt");
	cr_expect_str_eq(name_of("r%n.pwt"), "r2.pwt");
	cr_assert_eq(unlink(pinw_rig_path("r1.pwt")), 0);
	cr_expect_str_eq(name_of("r%n.pwt"), "r1.pwt");
	cr_expect_str_eq(name_of("r%n.pwt"), "r3.pwt");
	cr_expect_str_eq(name_of("%n-%n"), "1-1");
	cr_expect_str_eq(name_of("%n-%n"), "2-2");
}

Test(image, numbers_many_traces_of_one_name)
{
	char expected[64];

	cr_expect_str_eq(name_of("m.pwt"), "m.pwt");
	for (unsigned i = 2; i <= 300; i++) {
		snprintf(expected, sizeof(expected), "m-%u.pwt", i);
		cr_assert_str_eq(name_of("m.pwt"), expected);
	}
}

/* Whatever stands at the name is left alone: links, also dangling ones, directories, pipes. */
Test(image, never_follows_or_replaces_what_was_planted)
{
	const char *victim = pinw_rig_path("victim");
	struct stat st;

	int fd = open(victim, O_WRONLY | O_CREAT, 0600);
	cr_assert_eq(write(fd, "mine", 4), 4);
	close(fd);
	cr_assert_eq(symlink(victim, pinw_rig_path("a.pwt")), 0);
	cr_assert_eq(symlink(pinw_rig_path("nowhere"), pinw_rig_path("a-2.pwt")), 0);
	cr_assert_eq(mkfifo(pinw_rig_path("a-3.pwt"), 0600), 0);
	cr_assert_eq(link(victim, pinw_rig_path("a-4.pwt")), 0);
	cr_expect_str_eq(name_of("a.pwt"), "a-5.pwt");
	cr_assert_eq(stat(victim, &st), 0);
	cr_expect_eq(st.st_size, 4);
	cr_expect_eq(access(pinw_rig_path("nowhere"), F_OK), -1);
}

Test(image, puts_the_default_name_into_a_directory)
{
	char expected[PATH_MAX];

	cr_assert_eq(mkdir(pinw_rig_path("dir"), 0700), 0);
	snprintf(expected, sizeof(expected), "dir/pinwarden.%s.%d.pwt", exe_name(), getpid());
	cr_expect_str_eq(name_of("dir"), expected);
	cr_assert_eq(unlink(pinw_rig_path(expected)), 0);
	cr_expect_str_eq(name_of("dir/"), expected);
	cr_assert_eq(unlink(pinw_rig_path(expected)), 0);
	cr_assert_eq(symlink("dir", pinw_rig_path("link")), 0);
	snprintf(expected, sizeof(expected), "link/pinwarden.%s.%d.pwt", exe_name(), getpid());
	cr_expect_str_eq(name_of("link"), expected);
}

Test(image, makes_no_directory)
{
	configure_one("PINWARDEN_OUTPUT", pinw_rig_path("missing/"));
	cr_expect_str_eq(create(), "");
	cr_expect_eq(errno, ENOENT);
	cr_expect(strstr(image.path, "missing/pinwarden."), "%s", image.path);
	cr_expect_eq(access(pinw_rig_path("missing"), F_OK), -1);
}

/* The program may change its directory: the path is the one at the start. */
Test(image, takes_relative_names_from_where_it_started)
{
	cr_assert_eq(chdir(pinw_rig_dir()), 0);
	configure_one("PINWARDEN_OUTPUT", "sub/../r.pwt");
	cr_assert_eq(mkdir(pinw_rig_path("sub"), 0700), 0);
	cr_assert_eq(chdir("/"), 0);
	cr_assert_neq(*create(), '\0');
	cr_expect_eq(image.path[0], '/');
	cr_expect_eq(access(pinw_rig_path("r.pwt"), F_OK), 0);
}

Test(image, has_a_default_name_in_the_current_directory)
{
	static const char *const none[] = {NULL}, *const empty[] = {"PINWARDEN_OUTPUT=", NULL};
	char expected[PATH_MAX];

	cr_assert_eq(chdir(pinw_rig_dir()), 0);
	snprintf(expected, sizeof(expected), "%s/pinwarden.%s.%d.pwt", pinw_rig_dir(), exe_name(), getpid());
	cr_assert(configure(none));
	cr_expect_str_eq(create(), expected);
	cr_assert_eq(unlink(expected), 0);
	cr_assert(configure(empty));
	cr_expect_str_eq(create(), expected);
}

/* In a directory that is gone, or was never ours to see, there is no path: said, not guessed. */
Test(image, says_when_the_current_directory_is_gone)
{
	cr_assert_eq(mkdir(pinw_rig_path("gone"), 0700), 0);
	cr_assert_eq(chdir(pinw_rig_path("gone")), 0);
	cr_assert_eq(rmdir(pinw_rig_path("gone")), 0);
	configure_one("PINWARDEN_OUTPUT", "r.pwt");
	cr_expect_str_eq(create(), "");
	cr_assert_eq(chdir("/"), 0);
}

/* A path of `n` bytes in the scratch directory that ends in `tail`. */
static const char *path_of(size_t n, const char *tail)
{
	static char path[2 * PINW_PATH_MAX];
	size_t at = (size_t)snprintf(path, sizeof(path), "%s", pinw_rig_dir());

	while (at < n - strlen(tail))
		path[at] = (at - strlen(pinw_rig_dir())) % 200 ? 'd' : '/', at++;
	snprintf(path + at, sizeof(path) - at, "%s", tail);
	return path;
}

Test(image, refuses_names_that_are_too_long)
{
	static const size_t lengths[] = {PINW_PATH_MAX - 1, PINW_PATH_MAX, PINW_PATH_MAX + 300,
	                                 2 * PINW_PATH_MAX - 1};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		configure_one("PINWARDEN_OUTPUT", path_of(lengths[i], "/x"));
		cr_expect_str_eq(create(), "", "%zu bytes", lengths[i]);
		cr_expect(errno == ENAMETOOLONG || errno == ENOENT, "%zu bytes: %s", lengths[i],
		          strerror(errno));
	}
	cr_expect_neq(strlen(said), 0, "and said so");
}

/* Too long only once it is expanded. */
Test(image, refuses_names_that_become_too_long)
{
	char name[512] = "";

	for (unsigned i = 0; i < 100; i++)
		strcat(name, "%h%e");
	configure_one("PINWARDEN_OUTPUT", pinw_rig_path(name));
	cr_expect_str_eq(create(), "");
	cr_expect_eq(errno, ENAMETOOLONG);
}

Test(image, says_why_a_file_cannot_be_created)
{
	int fd = open(pinw_rig_path("file"), O_WRONLY | O_CREAT, 0600);

	close(fd);
	configure_one("PINWARDEN_OUTPUT", pinw_rig_path("file/x.pwt"));
	cr_expect_str_eq(create(), "");
	cr_expect_eq(errno, ENOTDIR);
	cr_expect_str_eq(image.path, pinw_rig_path("file/x.pwt"), "what could not be created");
}

/* ---- sizes ------------------------------------------------------------------------------------ */

Test(image, understands_sizes)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
	    {"131072", 131072},
	    {"128K", 128 << 10},
	    {"128k", 128 << 10},
	    {"1M", 1 << 20},
	    {"64m", 64 << 20},
	    {"2G", UINT64_C(2) << 30},
	    {"100g", UINT64_C(100) << 30},
	    {"999999999999", UINT64_C(999999999999)},
	    {"000128K", 128 << 10},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		configure_one("PINWARDEN_MAX_SIZE", cases[i].text);
		cr_expect_eq(pinw_config.max_bytes, cases[i].bytes, "%s: %lu", cases[i].text,
		             pinw_config.max_bytes);
		cr_expect_str_eq(said, "", "%s", cases[i].text);
	}
}

Test(image, names_a_size_it_cannot_use_and_takes_the_default)
{
	static const char *const bad[] = {"",
	                                  "K",
	                                  "-1",
	                                  "64MB",
	                                  "1.5G",
	                                  " 64M",
	                                  "0x100000",
	                                  "64 M",
	                                  "127K",
	                                  "1",
	                                  "131071",
	                                  "M64",
	                                  "9999999999999",
	                                  "0",
	                                  "inf",
	                                  "1T",
	                                  "99999999999999999999M",
	                                  "999999999999G",
	                                  "17179869184G",
	                                  "8589934592G"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		configure_one("PINWARDEN_MAX_SIZE", bad[i]);
		cr_expect_eq(pinw_config.max_bytes, UINT64_C(64) << 20, "\"%s\": %lu", bad[i],
		             pinw_config.max_bytes);
		cr_expect(strstr(said, "PINWARDEN_MAX_SIZE"), "\"%s\": %s", bad[i], said);
	}
}

Test(image, has_a_default_size)
{
	static const char *const none[] = {NULL};

	configure(none);
	cr_expect_eq(pinw_config.max_bytes, UINT64_C(64) << 20);
	cr_expect_str_eq(said, "");
}

/* ---- sessions, the log, who is recorded ---------------------------------------------------------- */

Test(image, takes_a_session_of_32_digits)
{
	static const uint8_t expected[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
	                                     0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

	configure_one("PINWARDEN_SESSION", "00112233445566778899aabbccddeeff");
	cr_expect_arr_eq(pinw_config.session, expected, 16);
	configure_one("PINWARDEN_OUTPUT", pinw_rig_path("s.pwt"));
	static const uint8_t none[16];
	create();
	cr_expect_arr_eq(image.header.session, none, 16);
	memcpy(pinw_config.session, expected, 16);
	create();
	cr_expect_arr_eq(image.header.session, expected, 16);
}

Test(image, names_a_session_that_is_none)
{
	static const char *const bad[] = {"",
	                                  "0",
	                                  "00112233445566778899aabbccddeef",
	                                  "00112233445566778899aabbccddeeff0",
	                                  "00112233445566778899aabbccddeefg",
	                                  "0011223344556677 8899aabbccddeef"};
	static const uint8_t none[16];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		configure_one("PINWARDEN_SESSION", bad[i]);
		cr_expect_arr_eq(pinw_config.session, none, 16, "%s", bad[i]);
		cr_expect(strstr(said, "PINWARDEN_SESSION"), "%s", bad[i]);
	}
}

Test(image, takes_a_log_on_stderr_or_by_path)
{
	configure_one("PINWARDEN_LOG", "stderr");
	cr_expect_str_eq(pinw_config.log, "stderr");
	configure_one("PINWARDEN_LOG", "/tmp/x.log");
	cr_expect_str_eq(pinw_config.log, "/tmp/x.log");
	configure_one("PINWARDEN_LOG", "");
	cr_expect_str_eq(pinw_config.log, "");
	cr_assert_eq(chdir(pinw_rig_dir()), 0);
	configure_one("PINWARDEN_LOG", "x.log");
	cr_expect_str_eq(pinw_config.log, pinw_rig_path("x.log"));
	configure_one("PINWARDEN_LOG", path_of(PINW_PATH_MAX + 50, "/x"));
	cr_expect_str_eq(pinw_config.log, "");
	cr_expect(strstr(said, "PINWARDEN_LOG"));
}

Test(image, records_the_root_alone_when_it_is_not_to_follow)
{
	char root[64];
	const char *const ours[] = {"PINWARDEN_FOLLOW=0", root, NULL};
	static const char *const others[] = {"PINWARDEN_FOLLOW=0", "PINWARDEN_ROOT=1", NULL};
	static const char *const nobodys[] = {"PINWARDEN_FOLLOW=0", "PINWARDEN_ROOT=x", NULL};
	static const char *const all[] = {"PINWARDEN_FOLLOW=1", "PINWARDEN_ROOT=1", NULL};

	snprintf(root, sizeof(root), "PINWARDEN_ROOT=%d", getpid());
	cr_expect(configure(ours));
	cr_expect_not(pinw_config.follow);
	cr_expect_not(configure(others));
	cr_expect_not(configure(nobodys));
	cr_expect(configure(all));
	cr_expect(pinw_config.follow);
}

Test(image, measures_how_long_locks_are_held_unless_told_not_to)
{
	configure_one("PINWARDEN_HOLD_TIMES", "0");
	cr_expect(pinw_config.untimed);
	configure_one("PINWARDEN_HOLD_TIMES", "1");
	cr_expect_not(pinw_config.untimed);
}

/* Names that only begin alike are other variables; of two the first counts, as for getenv. */
Test(image, reads_its_own_variables_only)
{
	static const char *const settings[] = {"PINWARDEN_MAX_SIZES=1M", "XPINWARDEN_MAX_SIZE=2M",
	                                       "PINWARDEN_MAX_SIZE",     "PINWARDEN_MAX_SIZE=256K",
	                                       "PINWARDEN_MAX_SIZE=1M",  NULL};

	configure(settings);
	cr_expect_eq(pinw_config.max_bytes, 256 << 10);
	cr_expect(pinw_image_configure(NULL), "no environment at all is one without settings");
}

/* Values come from outside: nothing that a terminal would obey is repeated. */
Test(image, repeats_no_control_bytes)
{
	configure_one("PINWARDEN_MAX_SIZE", "\033[31m\n\r\t\001\177red");
	cr_expect(strstr(said, "?[31m?????red"), "%s", said);
	cr_expect_eq(strchr(said, '\n') + 1 - said, (long)strlen(said), "one line");
}

/* ---- the header ------------------------------------------------------------------------------------ */

Test(image, says_who_it_is)
{
	struct pinw_identity none = {.pid = 0};

	configure_one("PINWARDEN_OUTPUT", pinw_rig_path("i.pwt"));
	cr_assert_neq(*create(), '\0');
	const struct pinw_trace_header *h = &image.header;
	char exe[PATH_MAX] = "";

	cr_expect_eq(h->self.pid, (uint32_t)getpid());
	cr_expect_eq(h->parent.pid, (uint32_t)getppid());
	cr_expect_gt(h->self.start_ticks, 0);
	cr_expect_gt(h->parent.start_ticks, 0);
	cr_expect_leq(h->parent.start_ticks, h->self.start_ticks);
	cr_expect(memcmp(h->self.nonce, none.nonce, sizeof(none.nonce)));
	cr_expect(memcmp(h->self.boot_id, none.boot_id, sizeof(none.boot_id)));
	cr_expect_eq(h->image, PINW_IMAGE_START);
	cr_expect_eq(h->uid, getuid());
	cr_expect_eq(h->cpus_online, sysconf(_SC_NPROCESSORS_ONLN));
	cr_assert_gt(readlink("/proc/self/exe", exe, sizeof(exe) - 1), 0);
	cr_expect_eq(h->exe_len, strlen(exe));
	cr_expect_eq(memcmp(h->exe, exe, h->exe_len), 0);
	cr_expect_gt(h->cmdline_len, 0);
	cr_expect_eq(h->version_len, strlen(PINW_VERSION));
	cr_expect_eq(memcmp(h->writer, PINW_VERSION, h->version_len), 0);
	uint64_t now = (uint64_t)time(NULL) * 1000000000u;
	cr_expect_leq(h->start_real_ns, now + 1000000000u);
	cr_expect_gt(h->start_real_ns, now - 60 * UINT64_C(1000000000));
}

Test(image, is_told_from_every_other_by_its_nonce)
{
	struct pinw_identity first;

	configure_one("PINWARDEN_OUTPUT", pinw_rig_path("i.pwt"));
	create();
	first = image.header.self;
	create();
	cr_expect(memcmp(first.nonce, image.header.self.nonce, sizeof(first.nonce)));
	cr_expect_eq(memcmp(first.boot_id, image.header.self.boot_id, sizeof(first.boot_id)), 0);
	cr_expect_eq(first.start_ticks, image.header.self.start_ticks);
}

Test(image, keeps_the_identity_of_a_recorded_parent)
{
	struct pinw_identity parent = {.pid = 77, .start_ticks = 88, .nonce = {9}};

	configure_one("PINWARDEN_OUTPUT", pinw_rig_path("i.pwt"));
	memset(&image, 0, sizeof(image));
	cr_assert_eq(pinw_image_create(&image, &parent), 0);
	close(image.fd);
	cr_expect_eq(image.header.image, PINW_IMAGE_FORK);
	cr_expect_eq(memcmp(&image.header.parent, &parent, sizeof(parent)), 0);
}
