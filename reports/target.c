/* SPDX-License-Identifier: MIT */
#include "reports/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "reports/elf_probe.h"

/* The kernel reads this much of a "#!" line (BINPRM_BUF_SIZE) and follows so many scripts (exec_binprm). */
#define SCRIPT_LINE_BYTES 256
#define SCRIPT_DEPTH_MAX 5
#define SHELL "/bin/sh"

#if defined(__x86_64__)
#	define OUR_MACHINE EM_X86_64
#	define OUR_LINKER "ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#	define OUR_MACHINE EM_AARCH64
#	define OUR_LINKER "ld-linux-aarch64.so.1"
#else
#	error "name the machine and its glibc dynamic linker here"
#endif

struct check {
	struct pinw_target target; /* what is found so far */
	const char *search;
	unsigned depth; /* scripts followed so far */
};

static int judge(struct check *c, const char *path);

/* ---- setting the verdict ------------------------------------------------------------- */

static int set_text(char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

static int verdict(struct check *c, enum pinw_target_verdict v, const char *culprit, const char *detail)
{
	int r = set_text(&c->target.culprit, culprit);

	if (r == 0 && detail)
		r = set_text(&c->target.detail, detail);
	c->target.verdict = v;
	return r;
}

static int refuse_errno(struct check *c, enum pinw_target_verdict v, const char *culprit, int error)
{
	c->target.error = error;
	return verdict(c, v, culprit, NULL);
}

static bool refused(const struct check *c)
{
	return pinw_target_exit_code(c->target.verdict) != 0;
}

/* ---- ELF files ------------------------------------------------------------------------ */

static const char *machine_name(const struct pinw_elf_facts *f, char *buf, size_t len)
{
	const char *bits = f->elf_class == ELFCLASS32 ? "32-bit" : "64-bit";
	const char *name = f->machine == EM_386       ? "x86"
	                   : f->machine == EM_X86_64  ? "x86-64"
	                   : f->machine == EM_ARM     ? "ARM"
	                   : f->machine == EM_AARCH64 ? "ARM"
	                   : f->machine == EM_RISCV   ? "RISC-V"
	                   : f->machine == EM_PPC64   ? "PowerPC"
	                   : f->machine == EM_S390    ? "S/390"
	                                              : NULL;

	if (name)
		snprintf(buf, len, "%s %s", bits, name);
	else
		snprintf(buf, len, "%s, ELF machine %u", bits, f->machine);
	return buf;
}

/* Is this dynamic linker glibc's? Told by its soname; by its name when it cannot be read. */
static bool is_glibc_linker(const char *path, bool *ret_missing)
{
	const char *base = strrchr(path, '/');
	struct pinw_elf_facts facts = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	*ret_missing = fd < 0 && (errno == ENOENT || errno == ENOTDIR);
	if (fd < 0)
		return strcmp(base ? base + 1 : path, OUR_LINKER) == 0;
	r = pinw_elf_probe(fd, &facts);
	close(fd);
	return r == 0 && strcmp(facts.soname, OUR_LINKER) == 0;
}

static int judge_linker(struct check *c, const char *path, const struct pinw_elf_facts *f)
{
	bool missing;
	bool glibc = is_glibc_linker(f->interpreter, &missing);

	if (!glibc)
		return verdict(c, missing ? PINW_TARGET_INTERPRETER_MISSING : PINW_TARGET_LIBC, path,
		               f->interpreter);
	if (missing)
		return verdict(c, PINW_TARGET_INTERPRETER_MISSING, path, f->interpreter);
	if (f->go && !f->names_pthread_create)
		return verdict(c, PINW_TARGET_GO_NO_CGO, path, NULL);
	return verdict(c, PINW_TARGET_OK, path, NULL);
}

/* No dynamic linker is asked for: a static program, the dynamic linker itself (which does honour a preload),
 * or a library. */
static int judge_unlinked(struct check *c, const char *path, const struct pinw_elf_facts *f)
{
	if (f->type == ET_EXEC)
		return verdict(c, PINW_TARGET_STATIC, path, NULL);
	if (strcmp(f->soname, OUR_LINKER) == 0)
		return verdict(c, PINW_TARGET_OK, path, NULL);
	if (f->soname[0])
		return verdict(c, PINW_TARGET_NOT_A_PROGRAM, path, "a shared library");
	return verdict(c, PINW_TARGET_STATIC_PIE, path, NULL);
}

static int judge_elf(struct check *c, const char *path, const struct pinw_elf_facts *f, const struct stat *st)
{
	char text[64];

	if (f->type != ET_EXEC && f->type != ET_DYN)
		return verdict(c, PINW_TARGET_NOT_A_PROGRAM, path,
		               f->type == ET_REL    ? "an object file"
		               : f->type == ET_CORE ? "a core file"
		                                    : "no program");
	if (f->elf_class != ELFCLASS64 || f->data != ELFDATA2LSB || f->machine != OUR_MACHINE)
		return verdict(c, PINW_TARGET_ARCHITECTURE, path, machine_name(f, text, sizeof(text)));
	c->target.go = f->go;
	/* Before linkage: it is what an administrator gave this file on purpose. */
	if (st->st_mode & S_ISUID || (st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		return verdict(c, PINW_TARGET_SETID, path, st->st_mode & S_ISUID ? "setuid" : "setgid");
	if (getxattr(path, "security.capability", NULL, 0) > 0)
		return verdict(c, PINW_TARGET_CAPABILITIES, path, NULL);
	return f->has_interpreter ? judge_linker(c, path, f) : judge_unlinked(c, path, f);
}

/* ---- scripts --------------------------------------------------------------------------- */

/* Finds the executable file `name` in the search path, as execvp(3) does. `*ret_path` is NULL when there
 * is none; then *ret_error says why. Returns 0 or -ENOMEM. */
static int search_path(const char *name, const char *search, char **ret_path, int *ret_error)
{
	const char *path = search ? search : "/bin:/usr/bin";
	char *found = NULL;
	struct stat st;

	*ret_error = ENOENT;
	for (;; path++) {
		size_t n = strcspn(path, ":");
		char *candidate;

		if (asprintf(&candidate, "%.*s%s%s", (int)n, path, n ? "/" : "./", name) < 0)
			return -ENOMEM;
		if (stat(candidate, &st) == 0) {
			if (S_ISREG(st.st_mode) && faccessat(AT_FDCWD, candidate, X_OK, AT_EACCESS) == 0) {
				found = candidate;
				break;
			}
			*ret_error = EACCES;
		} else if (errno == EACCES) {
			*ret_error = EACCES;
		}
		free(candidate);
		path += n;
		if (!*path)
			break;
	}
	*ret_path = found;
	return 0;
}

/* "#!/usr/bin/env PROGRAM": env runs, but what counts is the program. Options but -S and assignments are not
 * followed. A program that is not there is left to env, which says so. */
static int judge_env_argument(struct check *c, char *argument)
{
	char *word = argument + strspn(argument, " \t");
	char *path;
	int r, error;

	if (strncmp(word, "-S", 2) == 0) {
		word += 2;
		word += strspn(word, " \t");
	}
	word[strcspn(word, " \t")] = '\0';
	if (!*word || *word == '-' || strchr(word, '='))
		return 0;
	if (strchr(word, '/'))
		return access(word, X_OK) == 0 ? judge(c, word) : 0;
	r = search_path(word, c->search, &path, &error);
	if (r < 0 || !path)
		return r;
	r = judge(c, path);
	free(path);
	return r;
}

static int judge_script(struct check *c, const char *path, char *line)
{
	char *interpreter = line + strspn(line, " \t");
	char *argument = interpreter + strcspn(interpreter, " \t");
	const char *base;
	int r;

	if (*argument)
		*argument++ = '\0';
	if (++c->depth > SCRIPT_DEPTH_MAX)
		return verdict(c, PINW_TARGET_TOO_NESTED, path, NULL);
	if (!*interpreter)
		return verdict(c, PINW_TARGET_NOT_A_PROGRAM, path,
		               "a script whose first line names no interpreter");
	if (access(interpreter, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
		return verdict(c, PINW_TARGET_INTERPRETER_MISSING, path, interpreter);
	r = judge(c, interpreter);
	base = strrchr(interpreter, '/');
	if (r < 0 || refused(c) || strcmp(base ? base + 1 : interpreter, "env") != 0)
		return r;
	return judge_env_argument(c, argument);
}

/* No ELF file: a "#!" script, or a file that execvp(3) gives to the shell. */
static int judge_text(struct check *c, const char *path, int fd)
{
	char line[SCRIPT_LINE_BYTES + 1];
	ssize_t n;

	do
		n = pread(fd, line, sizeof(line) - 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return refuse_errno(c, PINW_TARGET_NOT_EXECUTABLE, path, errno);
	line[n] = '\0';
	if (n >= 2 && line[0] == '#' && line[1] == '!') {
		line[strcspn(line, "\n")] = '\0';
		return judge_script(c, path, line + 2);
	}
	/* For an interpreter the kernel has no such fallback, but judging the shell does no harm. */
	if (c->depth == 0)
		c->target.script = true;
	return ++c->depth > SCRIPT_DEPTH_MAX ? verdict(c, PINW_TARGET_TOO_NESTED, path, NULL)
	                                     : judge(c, SHELL);
}

/* ---- any file ---------------------------------------------------------------------------- */

static int judge(struct check *c, const char *path)
{
	struct pinw_elf_facts facts;
	struct stat st;
	int fd, r;

	if (stat(path, &st) < 0)
		return refuse_errno(c, errno == EACCES ? PINW_TARGET_NOT_EXECUTABLE : PINW_TARGET_MISSING,
		                    path, errno);
	if (S_ISDIR(st.st_mode))
		return refuse_errno(c, PINW_TARGET_DIRECTORY, path, EISDIR);
	if (!S_ISREG(st.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return refuse_errno(c, PINW_TARGET_NOT_EXECUTABLE, path, EACCES);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return verdict(c, PINW_TARGET_UNCHECKED, path, NULL);
	r = pinw_elf_probe(fd, &facts);
	if (r == 0)
		r = judge_elf(c, path, &facts, &st);
	else if (r == -ENOEXEC)
		r = judge_text(c, path, fd);
	else if (r == -EBADMSG)
		r = verdict(c, PINW_TARGET_NOT_A_PROGRAM, path, "a damaged ELF file");
	else if (r != -ENOMEM)
		r = refuse_errno(c, PINW_TARGET_NOT_EXECUTABLE, path, -r);
	close(fd);
	return r;
}

int pinw_target_check(const char *name, const char *search, struct pinw_target *ret_target)
{
	struct check c = {.search = search};
	char *path = NULL;
	int r = 0, error = ENOENT;

	if (!*name || strchr(name, '/'))
		r = set_text(&path, name);
	else
		r = search_path(name, search, &path, &error);
	if (r == 0 && path) {
		r = judge(&c, path);
	} else if (r == 0) {
		c.target.verdict = error == EACCES ? PINW_TARGET_NOT_EXECUTABLE : PINW_TARGET_MISSING;
		c.target.error = error;
	}
	c.target.path = path;
	if (r < 0)
		pinw_target_done(&c.target);
	else
		*ret_target = c.target;
	return r;
}

void pinw_target_done(struct pinw_target *t)
{
	if (!t)
		return;
	free(t->path);
	free(t->culprit);
	free(t->detail);
	memset(t, 0, sizeof(*t));
}

bool pinw_target_ids_are_secure(uid_t real_uid, uid_t effective_uid, gid_t real_gid, gid_t effective_gid)
{
	return real_uid != effective_uid || real_gid != effective_gid;
}

int pinw_target_exit_code(enum pinw_target_verdict v)
{
	switch (v) {
	case PINW_TARGET_OK:
	case PINW_TARGET_UNCHECKED:
		return 0;
	case PINW_TARGET_MISSING:
	case PINW_TARGET_INTERPRETER_MISSING:
		return 127;
	case PINW_TARGET_DIRECTORY:
	case PINW_TARGET_NOT_EXECUTABLE:
	case PINW_TARGET_NOT_A_PROGRAM:
	case PINW_TARGET_TOO_NESTED:
		return 126;
	default:
		return 125;
	}
}

/* ---- words -------------------------------------------------------------------------------- */

/* Why, and what to do; "%s" is what is said about. */
static const char *reason(const struct pinw_target *t)
{
	switch (t->verdict) {
	case PINW_TARGET_STATIC:
	case PINW_TARGET_STATIC_PIE:
		return t->go ? "is a static Go program: no dynamic linker runs, so a preload is ignored. "
		               "Build it with cgo "
		               "(CGO_ENABLED=1 and a package that uses C) and dynamic linking"
		             : "is statically linked: no dynamic linker runs, so a preload is ignored. Link "
		               "it dynamically "
		               "(without -static or -static-pie)";
	case PINW_TARGET_CAPABILITIES:
		return "has file capabilities: the dynamic linker ignores a preload when they take effect. "
		       "Audit a copy "
		       "without them (cp does not copy them)";
	case PINW_TARGET_GO_NO_CGO:
		return "is a Go program built without cgo: a preload is loaded but cannot work there, as Go "
		       "takes over the "
		       "thread pointer that C code needs. Build it with cgo (CGO_ENABLED=1 and a package "
		       "that uses C)";
	case PINW_TARGET_CREDENTIALS:
		return "would run with differing real and effective ids: the dynamic linker then ignores a "
		       "preload. Start "
		       "pinwarden as the user it is to run as";
	default:
		return NULL;
	}
}

static void explain_not_found(const struct pinw_target *t, const char *name, char *buf, size_t len)
{
	if (strchr(name, '/') || !*name)
		snprintf(buf, len, "%s: %s; check the path", *name ? name : "the empty name",
		         strerror(t->error));
	else if (t->error == EACCES)
		snprintf(buf, len, "%s: found in PATH but not executable; chmod +x it or give another path",
		         name);
	else
		snprintf(buf, len, "%s: not found in PATH; give the program's path, such as ./%s", name,
		         name);
}

static void explain_refusal(const struct pinw_target *t, const char *what, char *buf, size_t len)
{
	const char *detail = t->detail ? t->detail : "";

	switch (t->verdict) {
	case PINW_TARGET_INTERPRETER_MISSING:
		snprintf(buf, len, "%s needs %s to run, and that does not exist%s", what, detail,
		         strchr(detail, '\r') ? "; its first line ends in a carriage return (CRLF)" : "");
		break;
	case PINW_TARGET_DIRECTORY:
		snprintf(buf, len, "%s is a directory; name a program", what);
		break;
	case PINW_TARGET_NOT_EXECUTABLE:
		snprintf(buf, len, "%s cannot be executed: %s%s", what, strerror(t->error),
		         t->error == EACCES ? "; chmod +x it, or name the program that reads it" : "");
		break;
	case PINW_TARGET_NOT_A_PROGRAM:
		snprintf(buf, len, "%s cannot be executed: it is %s", what, detail);
		break;
	case PINW_TARGET_TOO_NESTED:
		snprintf(buf, len, "%s cannot be executed: scripts run by scripts, more than %d deep", what,
		         SCRIPT_DEPTH_MAX);
		break;
	case PINW_TARGET_SETID:
		snprintf(buf, len,
		         "%s is %s: the dynamic linker ignores a preload when that bit takes effect. Audit a "
		         "copy without it "
		         "(cp does not keep it)",
		         what, detail);
		break;
	case PINW_TARGET_ARCHITECTURE:
		snprintf(
		    buf, len,
		    "%s is for another architecture (%s): a preload of this one (%s) cannot be loaded there",
		    what, detail, OUR_MACHINE == EM_X86_64 ? "64-bit x86-64" : "64-bit ARM");
		break;
	case PINW_TARGET_LIBC:
		snprintf(buf, len,
		         "%s is started by %s, which is not glibc's dynamic linker%s: the preload is made "
		         "for glibc",
		         what, detail, strstr(detail, "musl") ? " but musl's" : "");
		break;
	default:
		snprintf(buf, len, "%s %s", what, reason(t));
	}
}

size_t pinw_target_explain(const struct pinw_target *t, const char *name, char *buf, size_t len)
{
	char what[2 * PATH_MAX];

	buf[0] = '\0';
	if (pinw_target_exit_code(t->verdict) == 0)
		return 0;
	if (t->verdict == PINW_TARGET_MISSING || !t->path) {
		explain_not_found(t, name, buf, len);
		return strlen(buf);
	}
	if (t->culprit && strcmp(t->culprit, t->path) != 0)
		snprintf(what, sizeof(what), "%s is a script run by %s, which", t->path, t->culprit);
	else
		snprintf(what, sizeof(what), "%s", t->path);
	explain_refusal(t, what, buf, len);
	return strlen(buf);
}
