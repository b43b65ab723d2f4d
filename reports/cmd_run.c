/* SPDX-License-Identifier: MIT
 *
 * pinwarden run: looks at everything that could go wrong, then starts the program with the shim, waits,
 * and says what was recorded.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "preload/trace_format.h"
#include "reports/child_env.h"
#include "reports/commands.h"
#include "reports/find_shim.h"
#include "reports/launch.h"
#include "reports/pattern.h"
#include "reports/say.h"
#include "reports/session.h"
#include "reports/summary.h"
#include "reports/target.h"

#define LEAST_TRACE_BYTES (128u << 10)
#define WHY_BYTES (4 * PATH_MAX)

struct options {
	const char *output;
	const char *log;
	const char *max_size;
	bool no_follow, quiet, verbose;
	char **command; /* NULL-terminated */
};

/* All that is prepared before the program is started. */
struct plan {
	struct options opt;
	char *cwd;
	struct pinw_pattern pattern;
	struct pinw_target target;
	struct pinw_session session;
	struct pinw_child_env env;
	char *shim;
	char *log; /* absolute, or "stderr"; NULL = none asked for */
	uint64_t max_bytes; /* 0 = not given */
};

void pinw_cmd_run_help(FILE *out)
{
	fputs("usage: pinwarden run [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
	      "\n"
	      "Runs PROGRAM and records its threads and pins into a trace for each process.\n"
	      "\n"
	      "  -o, --output FILE    where traces go: a file name, which may hold %p (pid),\n"
	      "                       %e (program), %h (host), %t (time), %n (number), or a\n"
	      "                       directory; default " PINW_PATTERN_DEFAULT "\n"
	      "      --log WHERE      report leaks as they happen, to a file or to \"stderr\"\n"
	      "      --max-size N     bound on each trace, such as 64M (the default)\n"
	      "      --no-follow      record PROGRAM only, not the processes it starts\n"
	      "  -q, --quiet          no summary at the end\n"
	      "  -v, --verbose        a line for each process before the summary\n"
	      "  -h, --help           this text\n"
	      "\n"
	      "Exit status: PROGRAM's own, 128 + N when signal N killed it; 125 when pinwarden\n"
	      "itself failed, 126 when PROGRAM cannot be executed, 127 when it is not found.\n"
	      "\n"
	      "Next: pinwarden report FILE.  More: man pinwarden-run\n",
	      out);
}

/* ---- options --------------------------------------------------------------------------------- */

enum { OPT_LOG = 256, OPT_MAX_SIZE, OPT_NO_FOLLOW };

static int usage_error(void)
{
	pinw_say("see: pinwarden run --help");
	return PINW_EXIT_RUN_FAILED;
}

static int bad_option(int c, char *const *argv)
{
	const char *word = argv[optind - 1];

	if (optopt > 0 && optopt < 256 && !(word[0] == '-' && word[1] == '-'))
		pinw_say(c == ':' ? "option -%c needs a value" : "unknown option -%c", optopt);
	else
		pinw_say(c == ':' ? "option %s needs a value"
		                  : "option %s is unknown, ambiguous or takes no value",
		         word);
	return usage_error();
}

/* Returns 0 when the program is to be run, -1 when all is done, else the exit status. */
static int parse_options(int argc, char **argv, struct options *ret)
{
	static const struct option longs[] = {
	    {"output", required_argument, NULL, 'o'},
	    {"log", required_argument, NULL, OPT_LOG},
	    {"max-size", required_argument, NULL, OPT_MAX_SIZE},
	    {"no-follow", no_argument, NULL, OPT_NO_FOLLOW},
	    {"quiet", no_argument, NULL, 'q'},
	    {"verbose", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	struct options o = {0};
	int c;

	optind = 0; /* scan anew: main has used getopt, or a test has */
	while ((c = getopt_long(argc, argv, "+:o:qvh", longs, NULL)) != -1) {
		switch (c) {
		case 'o':
			o.output = optarg;
			break;
		case OPT_LOG:
			o.log = optarg;
			break;
		case OPT_MAX_SIZE:
			o.max_size = optarg;
			break;
		case OPT_NO_FOLLOW:
			o.no_follow = true;
			break;
		case 'q':
			o.quiet = true;
			break;
		case 'v':
			o.verbose = true;
			break;
		case 'h':
			pinw_cmd_run_help(stdout);
			return -1;
		default:
			return bad_option(c, argv);
		}
	}
	o.command = argv + optind;
	if (optind == argc) {
		pinw_say("no program to run; type: pinwarden run -- PROGRAM ARGUMENTS");
		return usage_error();
	}
	if (o.output && !*o.output) {
		pinw_say("-o needs the name of a file or a directory, not an empty one");
		return usage_error();
	}
	*ret = o;
	return 0;
}

/* ---- what could go wrong --------------------------------------------------------------------- */

static int fail_memory(void)
{
	pinw_say("out of memory");
	return PINW_EXIT_RUN_FAILED;
}

static int check_target(struct plan *p)
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
static int check_output(struct plan *p)
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
static int check_log(struct plan *p)
{
	struct stat st;
	char *dir;
	int r;

	if (!p->opt.log)
		return 0;
	p->log =
	    strcmp(p->opt.log, "stderr") == 0 ? strdup("stderr") : pinw_pattern_absolute(p->opt.log, p->cwd);
	if (!p->log)
		return fail_memory();
	if (p->log[0] != '/')
		return 0;
	if (!*p->opt.log || strlen(p->log) >= PINW_PATH_MAX) {
		pinw_say("--log needs \"stderr\" or the name of a file, of at most %u bytes",
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

static int check_size(struct plan *p)
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

static int locate_shim(struct plan *p)
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

static int set_variables(struct plan *p)
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
	if (r == 0 && p->log)
		r = pinw_child_env_set(env, "PINWARDEN_LOG", p->log);
	if (r == 0 && p->max_bytes)
		r = pinw_child_env_set(env, "PINWARDEN_MAX_SIZE", size);
	if (r == 0)
		r = pinw_child_env_set(env, "PINWARDEN_FOLLOW", p->opt.no_follow ? "0" : NULL);
	if (r == 0)
		r = pinw_child_env_set(env, "PINWARDEN_ROOT", p->opt.no_follow ? PID_ROOM : NULL);
	return r;
}

static int prepare(struct plan *p)
{
	int r, code;

	p->cwd = getcwd(NULL, 0);
	if (!p->cwd || p->cwd[0] != '/') {
		pinw_say("cannot tell the current directory: %s; change to one that exists",
		         strerror(p->cwd ? ENOENT : errno));
		return PINW_EXIT_RUN_FAILED;
	}
	if ((code = check_size(p)) || (code = check_target(p)) || (code = locate_shim(p)) ||
	    (code = check_log(p)) || (code = check_output(p)))
		return code;
	r = pinw_session_new(&p->session);
	if (r == 0)
		r = pinw_child_env_init(&p->env, environ);
	if (r == 0)
		r = set_variables(p);
	if (r < 0)
		pinw_say("cannot prepare the run: %s", strerror(-r));
	return r < 0 ? PINW_EXIT_RUN_FAILED : 0;
}

static void plan_done(struct plan *p)
{
	pinw_pattern_done(&p->pattern);
	pinw_target_done(&p->target);
	pinw_child_env_done(&p->env);
	free(p->shim);
	free(p->log);
	free(p->cwd);
}

/* ---- afterwards ------------------------------------------------------------------------------ */

static int say_exec_error(const struct plan *p, int error)
{
	pinw_say("cannot execute %s: %s", p->target.path, strerror(error));
	return error == ENOENT ? 127 : 126;
}

/* Why the shim left nothing behind, as far as it can be told from here. */
static const char *why_nothing(const struct plan *p)
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

static int conclude(const struct plan *p, const struct pinw_outcome *outcome)
{
	struct pinw_traces traces = {0};
	int r;

	if (outcome->exec_error)
		return say_exec_error(p, outcome->exec_error);
	r = pinw_session_find(&p->session, p->pattern.directory, outcome, &traces);
	if (r < 0 || traces.count == 0) {
		pinw_say("nothing was audited, no trace came into being in %s: %s", p->pattern.directory,
		         r < 0 ? strerror(-r) : why_nothing(p));
		pinw_traces_done(&traces);
		return PINW_EXIT_RUN_FAILED;
	}
	r = pinw_session_write_end(&traces, outcome);
	if (r < 0)
		pinw_say("cannot record in %s how the program ended: %s", traces.paths[traces.root],
		         strerror(-r));
	if (!p->opt.quiet && pinw_summary_print(&traces, p->pattern.directory, p->cwd, p->opt.verbose) < 0)
		pinw_say("out of memory for the summary; the traces are in %s", p->pattern.directory);
	pinw_traces_done(&traces);
	return pinw_launch_exit_status(outcome->status);
}

int pinw_cmd_run(int argc, char **argv)
{
	struct plan p = {0};
	struct pinw_outcome outcome;
	int code = parse_options(argc, argv, &p.opt);

	if (code)
		return code < 0 ? 0 : code;
	code = prepare(&p);
	if (code == 0) {
		const char *root = pinw_child_env_get(&p.env, "PINWARDEN_ROOT");
		struct pinw_launch launch = {.path = p.target.path,
		                             .argv = p.opt.command,
		                             .envp = p.env.vars,
		                             .script = p.target.script,
		                             .pid_text = (char *)root};
		int r = pinw_launch_run(&launch, &outcome);

		if (r < 0)
			pinw_say("cannot start a process: %s", strerror(-r));
		code = r < 0 ? PINW_EXIT_RUN_FAILED : conclude(&p, &outcome);
	}
	plan_done(&p);
	return code;
}
