/* SPDX-License-Identifier: MIT
 *
 * The commands below `pinwarden policy`, from their arguments to what they print and return.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reports/commands.h"
#include "tests/trace_builder.h"

#define SECOND UINT64_C(1000000000)

static char folder[] = "/tmp/pinw-policy-XXXXXX";
static char out[64 * 1024], err[16 * 1024]; /* of the last command */

static void make_folder(void)
{
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(chdir(folder), 0);
}

static void remove_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
}

TestSuite(policy_cmd, .init = make_folder, .fini = remove_folder);

/* ---- helpers ------------------------------------------------------------------------------ */

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "we");

	cr_assert_not_null(f);
	fputs(text, f);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(chmod(name, 0644), 0);
}

static void read_back(const char *name, char *buf, size_t size)
{
	FILE *f = fopen(name, "re");

	cr_assert_not_null(f);
	buf[fread(buf, 1, size - 1, f)] = '\0';
	fclose(f);
}

/* Runs `pinwarden policy WORD...`, at most seven of them, NULL at the end. */
static int policy(const char *const *words)
{
	char copies[8][256], *argv[9] = {copies[0]};
	int argc = 1;

	strcpy(copies[0], "policy");
	for (; words[argc - 1]; argc++) {
		snprintf(copies[argc], sizeof(copies[argc]), "%s", words[argc - 1]);
		argv[argc] = copies[argc];
	}
	argv[argc] = NULL;
	fflush(stdout);
	int old_out = dup(1), old_err = dup(2);
	int new_out = open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int new_err = open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(new_out, 1);
	dup2(new_err, 2);
	int status = pinw_cmd_policy(argc, argv);
	fflush(stdout);
	dup2(old_out, 1);
	dup2(old_err, 2);
	close(old_out), close(old_err), close(new_out), close(new_err);
	read_back("out", out, sizeof(out));
	read_back("err", err, sizeof(err));
	return status;
}

#define POLICY(...) policy((const char *const[]){__VA_ARGS__, NULL})

static void expect_has(const char *text, const char *part)
{
	cr_expect_not_null(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

static void expect_narrow(const char *text)
{
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		cr_expect_leq(strcspn(line, "\n"), 80u, "a line is too long: %.100s", line);
}

static const char good[] = "[policy]\nmode = enforce\n"
                           "[ban \"per-request\"]\nfunction = *Handler\n"
                           "[caps]\nmax_threads = 3\nmax_threads_action = log\n"
                           "[suppress \"pool\"]\nleak = unjoined\n";

/* ---- the group of commands -------------------------------------------------------------------- */

Test(policy_cmd, names_its_commands)
{
	cr_expect_eq(POLICY("--help"), 0);
	expect_has(out, "pinwarden policy lint");
	cr_expect_eq(POLICY("lnit"), 2);
	expect_has(err, "did you mean: pinwarden policy lint");
	for (size_t i = 0; i < 4; i++) {
		static const char *const names[] = {"lint", "explain", "test", "alerts"};
		cr_expect_eq(POLICY(names[i], "--help"), 0);
		expect_has(out, "Exit status:");
		expect_narrow(out);
		cr_expect_eq(POLICY(names[i], "--nonsense"), 2);
		expect_has(err, "--nonsense is no option here");
	}
}

/* ---- lint ---------------------------------------------------------------------------------------- */

Test(policy_cmd, lint_sums_up_a_valid_policy)
{
	put("good.ini", good);
	cr_expect_eq(POLICY("lint", "good.ini"), 0, "%s", err);
	cr_expect_str_eq(out, "good.ini: valid, enforce, 1 ban, 1 cap, 1 suppression\n");
	cr_expect_str_eq(err, "");
	cr_expect_eq(POLICY("lint", "-q", "good.ini"), 0);
	cr_expect_str_eq(out, "");
}

Test(policy_cmd, lint_warns_of_what_is_probably_not_meant)
{
	put("bare.ini", "[ban \"all\"]\n");
	cr_expect_eq(POLICY("lint", "bare.ini"), 1);
	expect_has(out, "bare.ini:1: warning: ");
	expect_has(out, "bare.ini: valid");
}

Test(policy_cmd, lint_counts_no_finding_in_what_is_for_go_programs)
{
	put("go.ini", "[ban \"locks\"]\ncall = golock\naction = log\n"
	              "[caps]\nmax_threads = 9\nmax_threads_action = deny\n");
	cr_expect_eq(POLICY("lint", "go.ini"), 0, "%s%s", out, err);
	expect_has(out, "go.ini:1: note: only Go programs ");
	expect_has(out, "go.ini:5: note: a Go program aborts ");
	expect_has(out, "go.ini: valid");
	cr_expect_eq(POLICY("lint", "-q", "go.ini"), 0);
	cr_expect_str_eq(out, "");
}

Test(policy_cmd, lint_names_file_line_and_key_of_what_is_wrong)
{
	put("good.ini", good);
	put("bad.ini", "[caps]\n\nmax_thread = 3\n");
	cr_expect_eq(POLICY("lint", "bad.ini", "good.ini"), 2, "one bad policy is enough");
	expect_has(err, "bad.ini:3: max_thread: ");
	expect_has(err, "max_threads");
	expect_has(out, "good.ini: valid");
}

Test(policy_cmd, lint_trusts_no_file_that_others_can_write)
{
	put("good.ini", good);
	cr_assert_eq(chmod("good.ini", 0666), 0);
	cr_expect_eq(POLICY("lint", "good.ini"), 2);
	expect_has(err, "good.ini: is writable by other users");
	cr_expect_eq(POLICY("lint", folder), 2);
	expect_has(err, "is a directory");
	cr_expect_eq(POLICY("lint", "missing.ini"), 2);
	expect_has(err, "missing.ini: No such file");
	cr_expect_eq(POLICY("lint"), 2);
	expect_has(err, "type: pinwarden policy lint FILE");
}

/* ---- explain --------------------------------------------------------------------------------------- */

Test(policy_cmd, explains_a_rule_by_label_name_key_and_line)
{
	static const char *const names[] = {"ban:per-request", "per-request", "3", "4"};

	put("good.ini", good);
	for (size_t i = 0; i < 4; i++) {
		cr_expect_eq(POLICY("explain", names[i], "good.ini"), 0, "%s: %s", names[i], err);
		expect_has(out, "ban:per-request (line 3)");
		expect_has(out, "*Handler");
		cr_expect_null(strstr(out, "max_threads"), "%s", out);
	}
	cr_expect_eq(POLICY("explain", "max_threads", "-p", "good.ini"), 0);
	expect_has(out, "at most 3 threads may be alive");
	cr_expect_eq(POLICY("explain", "good.ini"), 0);
	expect_has(out, "ban:per-request");
	expect_has(out, "caps:max_threads");
	expect_has(out, "suppress:pool");
	expect_narrow(out);
}

Test(policy_cmd, explain_names_the_nearest_rules)
{
	put("good.ini", good);
	cr_expect_eq(POLICY("explain", "per-requst", "good.ini"), 2);
	expect_has(err, "the nearest: ban:per-request");
	cr_expect_eq(POLICY("explain", "something else entirely", "good.ini"), 2);
	expect_has(err, "type: pinwarden policy explain good.ini");
	cr_expect_eq(POLICY("explain", "10", "good.ini"), 2, "the file has 9 lines: %s", out);
}

Test(policy_cmd, explains_keys_of_the_format)
{
	cr_expect_eq(POLICY("explain", "site_rate"), 0);
	expect_has(out, "site_rate in [ban \"name\"]");
	expect_has(out, "10/s");
	cr_expect_eq(POLICY("explain", "cpus"), 0);
	expect_has(out, "cpus in [allow");
	expect_has(out, "cpus in [require");
	cr_expect_eq(POLICY("explain", "caps"), 0);
	expect_has(out, "reserve_cpus");
	expect_narrow(out);
	cr_expect_eq(POLICY("explain", "site_rat"), 2);
	expect_has(err, "did you mean site_rate");
	cr_expect_eq(POLICY("explain", "[caps]"), 0);
	expect_has(out, "reserve_cpus");
}

Test(policy_cmd, explain_says_what_to_type_for_a_word_that_is_no_key)
{
	cr_expect_eq(POLICY("explain", "golock"), 2);
	expect_has(err, "type: pinwarden policy explain call\n");
	expect_has(err, "type: pinwarden policy explain golock FILE");
	cr_expect_eq(POLICY("explain", "my rule"), 2);
	expect_has(err, "type: pinwarden policy explain 'my rule' FILE");
	cr_expect_eq(POLICY("explain", "caps", "a", "b"), 2);
	expect_has(err, "type: pinwarden policy explain FILE");
}

/* ---- test ---------------------------------------------------------------------------------------------- */

static void put_trace(const char *name)
{
	struct pinw_builder b;
	uint64_t offset = 0x1000;

	pinw_builder_init(&b, 1);
	pinw_builder_module(&b, 1, "/opt/libplugin.so");
	pinw_builder_site(&b, 1, 1, &offset, 1, 0);
	for (uint32_t i = 2; i <= 4; i++) {
		pinw_builder_create(&b, i * SECOND, 1, 1, i, 0);
		pinw_builder_start(&b, i * SECOND + 1000, i, PINW_ORIGIN_NONE, 0, 0, 0xf);
	}
	pinw_builder_end(&b, PINW_END_EXIT, 0, 10 * SECOND);
	cr_assert_eq(pinw_builder_write(&b, name), 0);
	pinw_builder_done(&b);
}

Test(policy_cmd, test_tells_what_would_have_been_done)
{
	put("good.ini", good);
	put_trace("run.pwt");
	cr_expect_eq(POLICY("test", "run.pwt", "-p", "good.ini"), 1, "%s", err);
	expect_has(out, "good.ini: 1 violation by 1 rule\n");
	expect_has(out, "judged: 3 creations, 0 pins");
	expect_has(out, "caps:max_threads (good.ini:6): 1 would be logged");
	expect_has(out, "1 x creating a thread; 4 counted, limit 3; thread 4 story; at 4 s");
	expect_has(out, "libplugin.so+0x1000");
	expect_has(out, "Rules that never matched: ban:per-request (line 3)");
	expect_has(out, "Suppressions that nothing needed: suppress:pool (line 8)");
	expect_narrow(out);
}

Test(policy_cmd, test_is_clean_where_nothing_would_fire)
{
	put("wide.ini", "[caps]\nmax_threads = 4\n[leak]\npinned_idle = log\n");
	put_trace("run.pwt");
	cr_expect_eq(POLICY("test", ".", "-p", "wide.ini"), 0, "%s", err);
	expect_has(out, "wide.ini: nothing would have fired");
	expect_has(out, "leak:pinned_idle is not observable");
}

Test(policy_cmd, test_says_what_it_could_not_read)
{
	put("good.ini", good);
	put("bad.ini", "[caps]\nmax_threads = many\n");
	put("junk.pwt", "no trace at all");
	put_trace("run.pwt");
	cr_expect_eq(POLICY("test", "junk.pwt", "-p", "good.ini"), 3);
	cr_expect_eq(POLICY("test", "junk.pwt", "run.pwt", "-p", "good.ini"), 3);
	expect_has(out, "caps:max_threads"); /* the other is judged all the same */
	cr_expect_eq(POLICY("test", "run.pwt", "-p", "bad.ini"), 2);
	expect_has(err, "bad.ini:2: max_threads: ");
	cr_expect_eq(POLICY("test", "run.pwt"), 2);
	cr_expect_eq(POLICY("test", "-p", "good.ini"), 2);
}

/* ---- alerts ---------------------------------------------------------------------------------------------- */

Test(policy_cmd, alerts_take_a_policy_or_none)
{
	put("good.ini", good);
	cr_expect_eq(POLICY("alerts"), 0);
	expect_has(out, "groups:\n");
	cr_expect_eq(POLICY("alerts", "good.ini"), 0);
	expect_has(out, "alert: PinwardenThreadsNearLimit");
	put("bad.ini", "[cap]\n");
	cr_expect_eq(POLICY("alerts", "bad.ini"), 2);
	expect_has(err, "bad.ini:1: [cap]: ");
	cr_expect_str_eq(out, "");
	cr_expect_eq(POLICY("alerts", "good.ini", "bad.ini"), 2);
}
