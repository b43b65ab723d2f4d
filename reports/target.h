/* SPDX-License-Identifier: MIT
 *
 * Will a preload be honoured by the program a command names? Finds the program as execvp(3)
 * would, follows scripts to what really runs, and judges that. Only looks: nothing is run.
 */
#ifndef PINW_REPORTS_TARGET_H
#define PINW_REPORTS_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum pinw_target_verdict {
	PINW_TARGET_OK = 0,
	PINW_TARGET_UNCHECKED, /* may be run but not read: nothing speaks against it */
	/* there is no such thing: 127 */
	PINW_TARGET_MISSING,
	PINW_TARGET_INTERPRETER_MISSING,
	/* it is there and cannot be executed: 126 */
	PINW_TARGET_DIRECTORY,
	PINW_TARGET_NOT_EXECUTABLE,
	PINW_TARGET_NOT_A_PROGRAM, /* object file, core, plain shared library, damaged ELF file */
	PINW_TARGET_TOO_NESTED, /* scripts interpreted by scripts, deeper than the kernel goes */
	/* it would run, but the preload would be ignored: 125 */
	PINW_TARGET_STATIC,
	PINW_TARGET_STATIC_PIE,
	PINW_TARGET_SETID,
	PINW_TARGET_CAPABILITIES,
	PINW_TARGET_ARCHITECTURE,
	PINW_TARGET_LIBC, /* another dynamic linker than glibc's */
	PINW_TARGET_GO_NO_CGO, /* a preload would load and crash it */
	PINW_TARGET_CREDENTIALS, /* real and effective ids differ */
};

struct pinw_target {
	enum pinw_target_verdict verdict;
	int error; /* errno behind MISSING, NOT_EXECUTABLE; else 0 */
	bool script; /* no ELF file and no "#!": execvp(3) has /bin/sh read it */
	bool go; /* the culprit is a Go program */
	char *path; /* what to execute; NULL when not found */
	char *culprit; /* the file the verdict is about: `path` or an interpreter; NULL when not found */
	char *detail; /* its dynamic linker, architecture, missing interpreter ...; may be NULL */
};

/* Finds and judges `name`. `search` is $PATH, NULL for the system's default; a name with a slash is not
 * searched. Returns 0 or -ENOMEM; the caller frees the contents with pinw_target_done. */
int pinw_target_check(const char *name, const char *search, struct pinw_target *ret_target);
void pinw_target_done(struct pinw_target *t);

/* Would a program started with these ids run in secure mode, whatever its file says? */
bool pinw_target_ids_are_secure(uid_t real_uid, uid_t effective_uid, gid_t real_gid, gid_t effective_gid);

/* 0 when it may be run, else 125, 126 or 127. */
int pinw_target_exit_code(enum pinw_target_verdict verdict);

/* Writes why it is refused and what to do, as one or two sentences without a final newline, for the
 * command `name`. Paths are copied as they are: escape before printing. Returns the length written; ""
 * when it is not refused. */
size_t pinw_target_explain(const struct pinw_target *t, const char *name, char *buf, size_t len);

#endif
