/* SPDX-License-Identifier: MIT
 *
 * pinwarden run: looks at everything that could go wrong, then starts the program with the shim, waits,
 * and says what was recorded.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/trace_format.h"
#include "reports/commands.h"
#include "reports/find_shim.h"
#include "reports/run_private.h"
#include "reports/say.h"
#include "reports/summary.h"

#define LEAST_TRACE_BYTES (128u << 10)
#define WHY_BYTES (4 * PATH_MAX)

/* ---- what could go wrong --------------------------------------------------------------------- */

static int fail_memory(void)
{
	pinw_say("out of memory");
	return PINW_EXIT_RUN_FAILED;
}

static int check_target(struct pinw_run_plan *p)
{
	char why[WHY_BYTES];
	int code;

	if (pinw_target_check(p->opt.command[0], getenv("PATH"), &p->target) < 0)
		return fail_memory();
	if (pinw_target_exit_code(p->target.verdict) == 0 &&
	    pinw_target_ids_are_secure(getuid(), geteuid(), getgid(), getegid()))
		p->target.verdict = PINW_TARGET_CREDENTIALS;
	code = pinw_target_exit_code(p->target.verdict);
	if (code == 0)
		return 0;
	pinw_target_explain(&p->target, p->opt.command[0], why, sizeof(why));
	pinw_say("%s", why);
	if (code == PINW_EXIT_RUN_FAILED)
		pinw_say("nothing was started, as nothing could be audited");
	return code;
}

/* Can files be made there? Permissions say yes to root even in /proc. A full disk is left to the shim: it
 * says so, and the program runs all the same. Returns 0 or -errno. */
static int try_directory(const char *directory)
{
	char *name = NULL;
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int error = fd < 0 ? errno : 0;

	if (error == EOPNOTSUPP || error == EISDIR || error == EINVAL) {
		if (asprintf(&name, "%s/.pinwarden.XXXXXX", directory) < 0)
			return -ENOMEM;
		fd = mkostemp(name, O_CLOEXEC);
		error = fd < 0 ? errno : 0;
		if (fd >= 0)
			unlink(name);
		free(name);
	}
	if (fd >= 0)
		close(fd);
	return error == ENOSPC || error == EDQUOT ? 0 : -error;
}

/* A name given with -o is meant to be used again; one from the environment may be that of a run around
 * this one. */
static int check_output(struct pinw_run_plan *p)
{
	const char *from_env = getenv("PINWARDEN_OUTPUT");
	char why[WHY_BYTES];
	int r;

	if (pinw_pattern_parse(p->opt.output ? p->opt.output : from_env, p->cwd, &p->pattern, why,
	                       sizeof(why)) < 0) {
		pinw_say("%s%s", p->opt.output || !from_env || !*from_env ? "" : "PINWARDEN_OUTPUT: ", why);
		return PINW_EXIT_RUN_FAILED;
	}
	r = try_directory(p->pattern.directory);
	if (r < 0) {
		pinw_say("cannot write traces into %s: %s; choose another place with -o",
		         p->pattern.directory, strerror(-r));
		return PINW_EXIT_RUN_FAILED;
	}
	r = p->opt.output && p->pattern.file ? pinw_session_clear(p->pattern.file) : 0;
	if (r == -EEXIST)
		pinw_say("%s exists and is no trace of yours; it is left alone: choose another name with -o",
		         p->pattern.file);
	else if (r == -EBUSY)
		pinw_say("%s is the trace of a process that still runs; choose another name with -o",
		         p->pattern.file);
	else if (r < 0)
		pinw_say("cannot replace %s: %s; choose another name with -o", p->pattern.file, strerror(-r));
	return r < 0 ? PINW_EXIT_RUN_FAILED : 0;
}

/* The shim opens the log inside the program, where nobody could be told that it cannot. */
static int check_log(struct pinw_run_plan *p)
{
	const char *where = p->opt.log ? p->opt.log : pinw_run_policy_log(p);
	struct stat st;
	char *dir;
	int r;

	if (!where)
		return 0;
	p->log = strcmp(where, "stderr") == 0 ? strdup("stderr") : pinw_pattern_absolute(where, p->cwd);
	if (!p->log)
		return fail_memory();
	if (p->log[0] != '/')
		return 0;
	if (!*where || strlen(p->log) >= PINW_PATH_MAX) {
		pinw_say(
		    "the log needs to be \"stderr\" or the name of a file, of at most %u bytes; see --log",
		    PINW_PATH_MAX - 1);
		return PINW_EXIT_RUN_FAILED;
	}
	dir = strndup(p->log, (size_t)(strrchr(p->log, '/') - p->log) + 1);
	if (!dir)
		return fail_memory();
	if (lstat(p->log, &st) == 0 && S_ISLNK(st.st_mode)) {
		pinw_say(
		    "the log %s is a symbolic link, which is not followed; name the file itself, or stderr",
		    p->log);
		free(dir);
		return PINW_EXIT_RUN_FAILED;
	}
	if (lstat(p->log, &st) == 0)
		r = S_ISDIR(st.st_mode) ? -EISDIR : eaccess(p->log, W_OK) < 0 ? -errno : 0;
	else
		r = errno != ENOENT ? -errno : eaccess(dir, W_OK | X_OK) < 0 ? -errno : 0;
	free(dir);
	if (r < 0)
		pinw_say("cannot write the log %s: %s; choose another place with --log", p->log,
		         strerror(-r));
	return r < 0 ? PINW_EXIT_RUN_FAILED : 0;
}

static int check_size(struct pinw_run_plan *p)
{
	int r = p->opt.max_size ? pinw_pattern_parse_size(p->opt.max_size, &p->max_bytes) : 0;

	if (r == -EINVAL)
		pinw_say("--max-size %s is not a size; write a number with K, M or G, such as 64M",
		         p->opt.max_size);
	else if (r < 0)
		pinw_say("--max-size %s is out of range; a trace needs 128K and can have 512G",
		         p->opt.max_size);
	return r < 0 ? PINW_EXIT_RUN_FAILED : 0;
}

static int locate_shim(struct pinw_run_plan *p)
{
	char why[WHY_BYTES] = "";
	char *dir = NULL;
	int r = pinw_find_own_dir(&dir);

	if (r < 0) {
		pinw_say("cannot tell where this program is (/proc/self/exe): %s; is /proc mounted?",
		         strerror(-r));
		return PINW_EXIT_RUN_FAILED;
	}
	r = pinw_find_shim(dir, PINW_LIBDIR, &p->shim, why, sizeof(why));
	free(dir);
	if (r == -ENOMEM)
		return fail_memory();
	if (r < 0)
		pinw_say("%s", why);
	return r < 0 ? PINW_EXIT_RUN_FAILED : 0;
}

/* ---- the environment of the program ---------------------------------------------------------- */

/* Where execve's copy of the pid goes; room for any. */
#define PID_ROOM "0000000000"

/* A program built with gcc's -fsanitize=address ends at once when another library comes before the
 * sanitizer's, unless told that this is meant. Any program may start such a one, so all are told; the
 * variable means nothing to others. */
static int allow_sanitizer(struct pinw_child_env *env)
{
	static const char option[] = "verify_asan_link_order";
	const char *before = pinw_child_env_get(env, "ASAN_OPTIONS");
	char *value;
	int r;

	if (before && strstr(before, option))
		return 0;
	if (asprintf(&value, "%s%s%s=0", before ? before : "", before && *before ? ":" : "", option) < 0)
		return -ENOMEM;
	r = pinw_child_env_set(env, "ASAN_OPTIONS", value);
	free(value);
	return r;
}

static int set_variables(struct pinw_run_plan *p)
{
	struct pinw_child_env *env = &p->env;
	char *preload = pinw_preload_value(p->shim, pinw_child_env_get(env, "LD_PRELOAD"));
	char size[24];
	int r = preload ? pinw_child_env_set(env, "LD_PRELOAD", preload) : -ENOMEM;

	free(preload);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)p->max_bytes);
	if (r == 0)
		r = allow_sanitizer(env);
	if (r == 0)
		r = pinw_child_env_set(env, "PINWARDEN_OUTPUT", p->pattern.text);
	if (r == 0)
		r = pinw_child_env_set(env, "PINWARDEN_SESSION", p->session.text);
	if (r == 0 && p->opt.log)
		r = pinw_child_env_set(env, "PINWARDEN_LOG", p->log);
	if (r == 0)
		r = pinw_run_policy_set_variables(p);
	if (r == 0 && p->max_bytes)
		r = pinw_child_env_set(env, "PINWARDEN_MAX_SIZE", size);
	if (r == 0)
		r = pinw_child_env_set(env, "PINWARDEN_FOLLOW", p->opt.no_follow ? "0" : NULL);
	if (r == 0)
		r = pinw_child_env_set(env, "PINWARDEN_ROOT", p->opt.no_follow ? PID_ROOM : NULL);
	return r;
}

static int prepare(struct pinw_run_plan *p)
{
	int r, code;

	p->cwd = getcwd(NULL, 0);
	if (!p->cwd || p->cwd[0] != '/') {
		pinw_say("cannot tell the current directory: %s; change to one that exists",
		         strerror(p->cwd ? ENOENT : errno));
		return PINW_EXIT_RUN_FAILED;
	}
	if ((code = pinw_run_policy_read(p)) || (code = check_size(p)) || (code = check_target(p)) ||
	    (code = locate_shim(p)) || (code = check_log(p)) || (code = check_output(p)))
		return code;
	if (!p->opt.quiet)
		pinw_run_policy_warn_of_target(&p->policy, &p->target);
	r = pinw_session_new(&p->session);
	if (r == 0)
		r = pinw_child_env_init(&p->env, environ);
	if (r == 0)
		r = set_variables(p);
	if (r < 0)
		pinw_say("cannot prepare the run: %s", strerror(-r));
	return r < 0 ? PINW_EXIT_RUN_FAILED : 0;
}

static void plan_done(struct pinw_run_plan *p)
{
	pinw_run_policy_done(&p->policy);
	pinw_pattern_done(&p->pattern);
	pinw_target_done(&p->target);
	pinw_child_env_done(&p->env);
	free(p->shim);
	free(p->log);
	free(p->cwd);
}

/* ---- afterwards ------------------------------------------------------------------------------ */

static int say_exec_error(const struct pinw_run_plan *p, int error)
{
	pinw_say("cannot execute %s: %s", p->target.path, strerror(error));
	return error == ENOENT ? 127 : 126;
}

/* Why the shim left nothing behind, as far as it can be told from here. */
static const char *why_nothing(const struct pinw_run_plan *p)
{
	struct statvfs fs;
	struct rlimit size;

	if (access(p->pattern.directory, F_OK) < 0)
		return "the directory for the traces is gone";
	if (statvfs(p->pattern.directory, &fs) == 0 && fs.f_blocks &&
	    (uint64_t)fs.f_bavail * fs.f_bsize < LEAST_TRACE_BYTES)
		return "the file system of the traces is full";
	if (getrlimit(RLIMIT_FSIZE, &size) == 0 && size.rlim_cur < LEAST_TRACE_BYTES)
		return "the limit on file sizes (ulimit -f) leaves no room for a trace";
	if (p->target.verdict == PINW_TARGET_UNCHECKED)
		return "the program cannot be read, so nobody could check that it takes a preload: it may be "
		       "static or privileged";
	return "the shim was not loaded or could not write; a message above may say why";
}

/* The shim ends the program with 2 when the policy, by then, is wrong. */
static int conclude_nothing(const struct pinw_run_plan *p, int status, const char *why)
{
	if (p->policy.name && WIFEXITED(status) && WEXITSTATUS(status) == PINW_EXIT_USAGE) {
		pinw_say("nothing was audited: the program ended with status 2 before it left a trace; a "
		         "message above "
		         "says why if the policy %s was refused when it was loaded",
		         p->policy.path);
		return PINW_EXIT_USAGE;
	}
	pinw_say("nothing was audited, no trace came into being in %s: %s", p->pattern.directory,
	         why ? why : why_nothing(p));
	return PINW_EXIT_RUN_FAILED;
}

/* What a run with --fail-on ends with; `code` is the program's own status. A policy that was not seen to be kept was not. */
static int judge(const struct pinw_run_plan *p, const struct pinw_summary_result *result, int code)
{
	if (pinw_run_is_breach(p->opt.fail_on, result->worst)) {
		if (!p->opt.quiet)
			pinw_say(
			    "exit status %d: the policy was broken (--fail-on %s); the program's own was %d",
			    PINW_EXIT_BREACH, p->opt.fail_on == PINW_FAIL_ERROR ? "error" : "warning", code);
		return PINW_EXIT_BREACH;
	}
	if (p->opt.fail_on == PINW_FAIL_NEVER || !result->unjudged)
		return code;
	pinw_say("exit status %d: whether the policy was kept cannot be told of every process, and --fail-on "
	         "was given; "
	         "the program's own status was %d",
	         PINW_EXIT_RUN_FAILED, code);
	return PINW_EXIT_RUN_FAILED;
}

static int sum_up(const struct pinw_run_plan *p, const struct pinw_traces *traces, int status)
{
	struct pinw_summary_options options = {.directory = p->pattern.directory,
	                                       .cwd = p->cwd,
	                                       .policy = p->policy.name != NULL,
	                                       .policy_on_golocks = pinw_run_policy_is_on_golocks(&p->policy),
	                                       .quiet = p->opt.quiet,
	                                       .verbose = p->opt.verbose};
	struct pinw_summary_result result = {0};
	int code = pinw_launch_exit_status(status);

	if (p->opt.quiet && p->opt.fail_on == PINW_FAIL_NEVER)
		return code;
	if (pinw_summary_print(traces, &options, &result) < 0) {
		pinw_say("out of memory for the summary; the traces are in %s", p->pattern.directory);
		return p->opt.fail_on == PINW_FAIL_NEVER ? code : PINW_EXIT_RUN_FAILED;
	}
	return judge(p, &result, code);
}

static int conclude(const struct pinw_run_plan *p, const struct pinw_outcome *outcome)
{
	struct pinw_traces traces = {0};
	int r, code;

	if (outcome->exec_error)
		return say_exec_error(p, outcome->exec_error);
	r = pinw_session_find(&p->session, p->pattern.directory, outcome, &traces);
	if (r < 0 || traces.count == 0) {
		pinw_traces_done(&traces);
		return conclude_nothing(p, outcome->status, r < 0 ? strerror(-r) : NULL);
	}
	r = pinw_session_write_end(&traces, outcome);
	if (r < 0)
		pinw_say("cannot record in %s how the program ended: %s", traces.paths[traces.root],
		         strerror(-r));
	code = sum_up(p, &traces, outcome->status);
	pinw_traces_done(&traces);
	return code;
}

static int launch(struct pinw_run_plan *p)
{
	struct pinw_outcome outcome;
	struct pinw_launch launch = {.path = p->target.path,
	                             .argv = p->opt.command,
	                             .envp = p->env.vars,
	                             .script = p->target.script,
	                             .pid_text = (char *)pinw_child_env_get(&p->env, "PINWARDEN_ROOT")};

	if (pinw_run_policy_watch(p, &launch) < 0)
		return fail_memory();
	int r = pinw_launch_run(&launch, &outcome);
	if (r < 0) {
		pinw_say("cannot start a process: %s", strerror(-r));
		return PINW_EXIT_RUN_FAILED;
	}
	return conclude(p, &outcome);
}

int pinw_cmd_run(int argc, char **argv)
{
	struct pinw_run_plan p = {0};
	int code = pinw_run_parse_options(argc, argv, &p.opt);

	if (code)
		return code < 0 ? 0 : code;
	code = prepare(&p);
	if (code == 0)
		code = launch(&p);
	plan_done(&p);
	return code;
}
