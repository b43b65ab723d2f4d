/* SPDX-License-Identifier: MIT
 *
 * Running a program and staying out of its way: status, signals, job control, descriptors.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reports/launch.h"
#include "reports/witness.h"

static char dir[64];

static void setup(void)
{
	strcpy(dir, "/tmp/pinwarden-run-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void teardown(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

static const char *in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static void put(const char *name, const void *data, size_t len, mode_t mode)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(in_dir(name), &st) == 0;
}

/* Waits up to 20 s for a condition. */
#define AWAIT(condition)                                                                                     \
	do {                                                                                                 \
		for (int tries = 0; tries < 4000 && !(condition); tries++)                                   \
			usleep(5000);                                                                        \
		cr_assert(condition, "waited in vain for: " #condition);                                     \
	} while (0)

/* The launcher lets go of all descriptors: each test has it do so in a child, and shares this with it. */
struct shared {
	int r;
	struct pinw_outcome outcome;
	bool childless;
	_Atomic int ticks;
};

static struct shared *shared;

static void setup_launch(void)
{
	setup();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(shared, MAP_FAILED);
}

TestSuite(launch, .init = setup_launch, .fini = teardown);

/* Starts a child, leader of a process group of its own, that launches a program. */
static pid_t start(struct pinw_launch launch, void (*before)(void))
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		setpgid(0, 0);
		if (chdir(dir) < 0)
			_exit(99);
		if (before)
			before();
		launch.envp = environ;
		shared->r = pinw_launch_run(&launch, &shared->outcome);
		shared->childless = waitpid(-1, NULL, 0) < 0 && errno == ECHILD;
		_exit(0);
	}
	setpgid(pid, pid);
	return pid;
}

static void finish(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the launcher ended with %x",
	          (unsigned)status);
	cr_assert_eq(shared->r, 0);
	cr_expect(shared->childless, "a child was left behind");
}

static int run_shell(const char *script, void (*before)(void))
{
	char *argv[] = {"sh", "-c", (char *)script, NULL};

	finish(start((struct pinw_launch){.path = "/bin/sh", .argv = argv}, before));
	cr_assert_eq(shared->outcome.exec_error, 0);
	return shared->outcome.status;
}

Test(launch, brings_back_status_and_signal)
{
	cr_assert_eq(pinw_launch_exit_status(run_shell("exit 7", NULL)), 7);
	cr_assert_gt(shared->outcome.pid, 0);
	cr_assert_gt(shared->outcome.start_ticks, 0);
	cr_assert_gt(shared->outcome.ended_ns, 0);
	cr_assert_eq(pinw_launch_exit_status(run_shell("kill -SEGV $$", NULL)), 128 + SIGSEGV);
	cr_assert_eq(pinw_launch_exit_status(run_shell("kill -KILL $$", NULL)), 128 + SIGKILL);
}

Test(launch, tells_why_exec_failed)
{
	char *argv[] = {"x", NULL};

	finish(start((struct pinw_launch){.path = "/no/such/file", .argv = argv}, NULL));
	cr_assert_eq(shared->outcome.exec_error, ENOENT);
	finish(start((struct pinw_launch){.path = dir, .argv = argv}, NULL));
	cr_assert_eq(shared->outcome.exec_error, EACCES);
}

Test(launch, has_the_shell_read_a_text)
{
	char *argv[] = {"text", "one", "two", NULL};

	put("text", "exit $(($# + 40))\n", 18, 0755);
	finish(start((struct pinw_launch){.path = in_dir("text"), .argv = argv, .script = true}, NULL));
	cr_assert_eq(pinw_launch_exit_status(shared->outcome.status), 42);
	finish(start((struct pinw_launch){.path = in_dir("text"), .argv = argv}, NULL));
	cr_assert_eq(pinw_launch_exit_status(shared->outcome.status), 42, "also when exec finds it out");
}

Test(launch, writes_the_pid_of_the_child)
{
	char text[] = "0000000000";
	char *argv[] = {"true", NULL};

	/* The slot is written in the child; here it must stay as it was. */
	finish(start((struct pinw_launch){.path = "/bin/true", .argv = argv, .pid_text = text}, NULL));
	cr_assert_eq(shared->outcome.status, 0);
	cr_assert_str_eq(text, "0000000000");
}

/* The signal comes while this goes on, and it does not come back before the program has got it. */
static void await_signal(void *arg)
{
	(void)arg;
	put("ticking", "", 0, 0600);
	for (int i = 0; i < 4000 && !exists("signalled"); i++)
		usleep(1000);
	shared->ticks += exists("signalled") ? 1 : -1000;
}

Test(launch, passes_signals_on_while_a_tick_takes_its_time)
{
	char script[3 * PATH_MAX];
	char *argv[] = {"sh", "-c", script, NULL};

	snprintf(script, sizeof(script),
	         "trap 'touch %s; exit 9' TERM; while [ ! -e %s ]; do sleep 0.01; done; kill -TERM $PPID; "
	         "while :; do sleep 0.05; done",
	         in_dir("signalled"), in_dir("ticking"));
	finish(start(
	    (struct pinw_launch){.path = "/bin/sh", .argv = argv, .tick = await_signal, .tick_ns = 1}, NULL));
	cr_expect_eq(pinw_launch_exit_status(shared->outcome.status), 9);
	cr_expect_gt(shared->ticks, 0);
}

static void fork_and_wait(void *arg)
{
	int status;
	pid_t pid = fork();

	(void)arg;
	if (pid == 0)
		_exit(3);
	if (waitpid(pid, &status, 0) != pid || status != 0x300)
		shared->ticks = -1000000;
	shared->ticks++;
}

/* Its children are its own to wait for, also while this process waits for any. */
Test(launch, leaves_the_children_of_a_tick_to_it)
{
	char *argv[] = {"sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.02; (exit 0); done", NULL};

	finish(
	    start((struct pinw_launch){.path = "/bin/sh", .argv = argv, .tick = fork_and_wait, .tick_ns = 1},
	          NULL));
	cr_expect_eq(shared->outcome.status, 0);
	cr_expect_gt(shared->ticks, 0);
}

static void hang(void *arg)
{
	(void)arg;
	shared->ticks++;
	for (;;)
		pause();
}

Test(launch, ends_although_a_tick_never_does)
{
	char *argv[] = {"sh", "-c", "sleep 0.3; exit 5", NULL};

	finish(
	    start((struct pinw_launch){.path = "/bin/sh", .argv = argv, .tick = hang, .tick_ns = 1}, NULL));
	cr_expect_eq(pinw_launch_exit_status(shared->outcome.status), 5);
	cr_expect_eq(shared->ticks, 1);
}

static void ignore_child_signal(void)
{
	signal(SIGCHLD, SIG_IGN);
}

Test(launch, gets_the_status_although_sigchld_is_ignored)
{
	/* And the program inherits that, as it would without us: bit 16 of SigIgn. */
	char *argv[] = {"grep", "-q", "^SigIgn:.*[13579bdf]....$", "/proc/self/status", NULL};

	finish(start((struct pinw_launch){.path = "/bin/grep", .argv = argv}, ignore_child_signal));
	cr_assert_eq(shared->outcome.exec_error, 0);
	cr_assert_eq(shared->outcome.status, 0);
}

static void block_usr1(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

Test(launch, leaves_the_signal_mask_as_it_was)
{
	cr_assert_eq(run_shell("exec grep -q '^SigBlk:.0*200$' /proc/self/status", block_usr1), 0);
}

static void close_standard(void)
{
	close(0);
	close(1);
	close(2);
}

Test(launch, leaves_closed_descriptors_closed)
{
	static const char script[] = "for f in 0 1 2; do [ -e /proc/$$/fd/$f ] && exit 1; done; exit 0";

	cr_assert_eq(run_shell(script, close_standard), 0);
}

static void close_others(void)
{
	close_range(3, ~0U, 0);
}

Test(launch, passes_no_descriptors_of_its_own)
{
	static const char script[] =
	    "for f in 3 4 5 6 7 8 9 10 11 12 13 14 15; do [ -e /proc/$$/fd/$f ] && exit 1; done; exit 0";

	cr_assert_eq(run_shell(script, close_others), 0);
}

/* ---- signals --------------------------------------------------------------------------------- */

/* Counts the signals it gets; on SIGTERM writes "USR1 WINCH CONT" counts into the file named and leaves
 * with 7. */
static const char counter_source[] =
    "#include <signal.h>\n#include <stdio.h>\n#include <unistd.h>\n"
    "static volatile sig_atomic_t seen[65];\n"
    "static void count(int sig) { seen[sig]++; }\n"
    "int main(int argc, char **argv) {\n"
    "	sigset_t all, none;\n"
    "	sigfillset(&all); sigemptyset(&none); sigprocmask(SIG_SETMASK, &all, 0);\n"
    "	signal(SIGUSR1, count); signal(SIGWINCH, count);\n"
    "	signal(SIGCONT, count); signal(SIGTERM, count);\n"
    "	FILE *f = fopen(argv[1], \"w\"); fprintf(f, \"%d\\n\", (int)getpid()); fclose(f);\n"
    "	rename(argv[1], \"ready\");\n"
    "	while (!seen[SIGTERM]) {\n"
    "		sigsuspend(&none);\n"
    "		f = fopen(argv[1], \"w\");\n"
    "		fprintf(f, \"%d %d %d\\n\", seen[SIGUSR1], seen[SIGWINCH], seen[SIGCONT]); fclose(f);\n"
    "		rename(argv[1], \"counts\");\n"
    "	}\n"
    "	(void)argc; return 7;\n}\n";

static char *counter_argv[] = {"counter", "new", NULL};
static pid_t launcher, counter;

static void start_counter(void)
{
	char command[2 * PATH_MAX];
	FILE *f;
	int pid = 0;

	put("counter.c", counter_source, strlen(counter_source), 0600);
	snprintf(command, sizeof(command), "cd %s && gcc -o counter counter.c", dir);
	cr_assert_eq(system(command), 0);
	launcher = start((struct pinw_launch){.path = "./counter", .argv = counter_argv}, NULL);
	AWAIT(exists("ready"));
	f = fopen(in_dir("ready"), "r");
	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "%d", &pid), 1);
	fclose(f);
	counter = pid;
}

static bool counts_are(int usr1, int winch, int cont)
{
	int a = -1, b = -1, c = -1;
	FILE *f = fopen(in_dir("counts"), "r");

	if (!f)
		return false;
	if (fscanf(f, "%d %d %d", &a, &b, &c) != 3)
		a = -1;
	fclose(f);
	return a == usr1 && b == winch && c == cont;
}

static char state_of(pid_t pid)
{
	char path[64], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return '?';
	if (fscanf(f, "%*d %*s %c", &state) != 1)
		state = '?';
	fclose(f);
	return state;
}

static void end_counter(void)
{
	cr_assert_eq(kill(launcher, SIGTERM), 0);
	finish(launcher);
	cr_assert_eq(pinw_launch_exit_status(shared->outcome.status), 7);
}

Test(launch, passes_on_signals_sent_to_itself)
{
	start_counter();
	kill(launcher, SIGUSR1);
	AWAIT(counts_are(1, 0, 0));
	kill(launcher, SIGWINCH);
	AWAIT(counts_are(1, 1, 0));
	end_counter();
	cr_assert(counts_are(1, 1, 0));
}

Test(launch, passes_on_no_signal_the_group_has_got)
{
	start_counter();
	kill(-launcher, SIGUSR1); /* as a shell's kill %1 or the terminal's keys */
	AWAIT(counts_are(1, 0, 0));
	kill(-launcher, SIGWINCH);
	AWAIT(counts_are(1, 1, 0));
	end_counter(); /* passed on after anything that came before */
	cr_assert(counts_are(1, 1, 0));
}

Test(launch, stops_and_continues_with_the_group)
{
	int status;

	start_counter();
	kill(-launcher, SIGTSTP);
	cr_assert_eq(waitpid(launcher, &status, WUNTRACED), launcher);
	cr_assert(WIFSTOPPED(status), "the shell has to see the job stop");
	cr_assert_eq(state_of(counter), 'T');
	kill(-launcher, SIGCONT);
	AWAIT(counts_are(0, 0, 1));
	AWAIT(state_of(launcher) == 'S');
	end_counter();
	cr_assert(counts_are(0, 0, 1));
}

Test(launch, stops_when_told_to_alone)
{
	int status;

	start_counter();
	kill(launcher, SIGTSTP);
	cr_assert_eq(waitpid(launcher, &status, WUNTRACED), launcher);
	cr_assert(WIFSTOPPED(status));
	cr_assert_eq(state_of(counter), 'T');
	kill(launcher, SIGCONT);
	AWAIT(counts_are(0, 0, 1));
	end_counter();
}

Test(launch, does_not_stop_when_only_the_program_is_stopped)
{
	start_counter();
	kill(counter, SIGSTOP);
	AWAIT(state_of(counter) == 'T');
	kill(launcher, SIGUSR1); /* it is awake, and passes on */
	kill(counter, SIGCONT);
	AWAIT(counts_are(1, 0, 1));
	cr_assert_neq(state_of(launcher), 'T');
	end_counter();
}

Test(launch, holds_no_pipe_open_that_the_program_closed)
{
	char *argv[] = {"sh", "-c", "exec >&-; read line <hold; exit 3", NULL};
	int fds[2], hold;
	char byte;
	pid_t pid;

	cr_assert_eq(mkfifo(in_dir("hold"), 0600), 0);
	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	int saved = dup(STDOUT_FILENO);
	dup2(fds[1], STDOUT_FILENO);
	pid = start((struct pinw_launch){.path = "/bin/sh", .argv = argv}, NULL);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(fds[1]);
	cr_assert_eq(read(fds[0], &byte, 1), 0, "the end of the pipe is seen while the program runs");
	hold = open(in_dir("hold"), O_WRONLY);
	cr_assert_eq(write(hold, "\n", 1), 1);
	close(hold);
	close(fds[0]);
	finish(pid);
	cr_assert_eq(pinw_launch_exit_status(shared->outcome.status), 3);
}

Test(witness, tells_the_group_from_the_one)
{
	struct pinw_witness w;
	sigset_t set;

	setpgid(0, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	cr_assert_eq(pinw_witness_start(&w), 0);
	kill(getpid(), SIGUSR1);
	cr_assert_not(pinw_witness_saw(&w, SIGUSR1));
	kill(0, SIGUSR1);
	cr_assert(pinw_witness_saw(&w, SIGUSR1));
	cr_assert_not(pinw_witness_saw(&w, SIGUSR1), "each is taken once");
	pinw_witness_stop(&w);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	cr_assert_not(pinw_witness_saw(&w, SIGUSR1), "without a witness nothing is known");
}
