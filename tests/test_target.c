/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
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

#include "reports/target.h"

#define LINKER "/lib64/ld-linux-x86-64.so.2"

static char dir[64];

static void setup(void)
{
	strcpy(dir, "/tmp/pinwarden-target-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 0755), 0);
}

static void teardown(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(target, .init = setup, .fini = teardown);

/* ---- made to measure files ------------------------------------------------------------ */

struct made {
	unsigned type; /* ET_*, 0 = ET_DYN */
	unsigned machine; /* 0 = EM_X86_64 */
	unsigned elf_class; /* 0 = ELFCLASS64 */
	const char *linker; /* NULL = no PT_INTERP */
	const char *soname; /* NULL = none */
	const char *imports; /* a name in the dynamic strings, NULL = none */
	bool go;
};

struct image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[4];
	char linker[256];
	Elf64_Dyn dynamic[4];
	char strings[256];
	struct {
		Elf64_Nhdr head;
		char name[4];
		char id[8];
	} note;
};

static const char *in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static const char *put(const char *name, const void *data, size_t len, mode_t mode)
{
	const char *path = in_dir(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static const char *put_text(const char *name, const char *text, mode_t mode)
{
	return put(name, text, strlen(text), mode);
}

static void add_segment(struct image *im, unsigned type, size_t offset, size_t len)
{
	im->phdrs[im->ehdr.e_phnum++] =
	    (Elf64_Phdr){.p_type = type, .p_offset = offset, .p_vaddr = offset, .p_filesz = len};
}

static void make_image(struct image *im, const struct made *m)
{
	size_t soname_at = 1, import_at = soname_at + (m->soname ? strlen(m->soname) + 1 : 0);

	memset(im, 0, sizeof(*im));
	memcpy(im->ehdr.e_ident, ELFMAG, SELFMAG);
	im->ehdr.e_ident[EI_CLASS] = (unsigned char)(m->elf_class ? m->elf_class : ELFCLASS64);
	im->ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	im->ehdr.e_type = (Elf64_Half)(m->type ? m->type : ET_DYN);
	im->ehdr.e_machine = (Elf64_Half)(m->machine ? m->machine : EM_X86_64);
	im->ehdr.e_phoff = offsetof(struct image, phdrs);
	im->ehdr.e_phentsize = sizeof(Elf64_Phdr);
	add_segment(im, PT_LOAD, 0, sizeof(*im));
	if (m->linker) {
		strcpy(im->linker, m->linker);
		add_segment(im, PT_INTERP, offsetof(struct image, linker), strlen(m->linker) + 1);
	}
	add_segment(im, PT_DYNAMIC, offsetof(struct image, dynamic), sizeof(im->dynamic));
	im->dynamic[0] = (Elf64_Dyn){.d_tag = DT_STRTAB, .d_un.d_ptr = offsetof(struct image, strings)};
	im->dynamic[1] = (Elf64_Dyn){.d_tag = DT_STRSZ, .d_un.d_val = sizeof(im->strings)};
	if (m->soname) {
		im->dynamic[2] = (Elf64_Dyn){.d_tag = DT_SONAME, .d_un.d_val = soname_at};
		strcpy(im->strings + soname_at, m->soname);
	}
	if (m->imports)
		strcpy(im->strings + import_at, m->imports);
	if (m->go) {
		im->note.head = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 8, .n_type = 4};
		memcpy(im->note.name, "Go\0", 4);
		add_segment(im, PT_NOTE, offsetof(struct image, note), sizeof(im->note));
	}
}

static const char *put_elf(const char *name, struct made m)
{
	struct image im;

	make_image(&im, &m);
	return put(name, &im, sizeof(im), 0755);
}

/* ---- asking ------------------------------------------------------------------------------ */

static char why[4 * PATH_MAX];

static enum pinw_target_verdict ask(const char *name, const char *search)
{
	enum pinw_target_verdict verdict;
	struct pinw_target t;

	cr_assert_eq(pinw_target_check(name, search, &t), 0);
	verdict = t.verdict;
	size_t n = pinw_target_explain(&t, name, why, sizeof(why));
	cr_expect_eq(n, strlen(why));
	cr_expect_eq(n > 0, pinw_target_exit_code(verdict) != 0, "\"%s\" for verdict %d", why, verdict);
	cr_expect_null(strchr(why, '\n'));
	pinw_target_done(&t);
	return verdict;
}

static void expect(enum pinw_target_verdict verdict, const char *name, int exit_code, const char *words)
{
	enum pinw_target_verdict got = ask(name, NULL);

	cr_expect_eq(got, verdict, "%s: verdict %d, not %d (%s)", name, got, verdict, why);
	cr_expect_eq(pinw_target_exit_code(got), exit_code, "%s", name);
	cr_expect_not_null(strstr(why, words), "\"%s\" does not say \"%s\"", why, words);
}

Test(target, accepts_dynamic_programs)
{
	expect(PINW_TARGET_OK, "/bin/sh", 0, "");
	expect(PINW_TARGET_OK, put_elf("pie", (struct made){.linker = LINKER}), 0, "");
	expect(PINW_TARGET_OK, put_elf("exec", (struct made){.type = ET_EXEC, .linker = LINKER}), 0, "");
}

Test(target, accepts_the_dynamic_linker_itself)
{
	expect(PINW_TARGET_OK, LINKER, 0, "");
}

Test(target, refuses_static_programs)
{
	expect(PINW_TARGET_STATIC, put_elf("static", (struct made){.type = ET_EXEC}), 125,
	       "statically linked");
	expect(PINW_TARGET_STATIC_PIE, put_elf("static-pie", (struct made){0}), 125, "statically linked");
	expect(PINW_TARGET_STATIC, put_elf("go", (struct made){.type = ET_EXEC, .go = true}), 125,
	       "CGO_ENABLED=1");
}

Test(target, refuses_libraries_and_objects)
{
	expect(PINW_TARGET_NOT_A_PROGRAM, put_elf("lib", (struct made){.soname = "libx.so.1"}), 126,
	       "shared library");
	expect(PINW_TARGET_NOT_A_PROGRAM, put_elf("obj", (struct made){.type = ET_REL}), 126, "object file");
	expect(PINW_TARGET_NOT_A_PROGRAM, put_elf("core", (struct made){.type = ET_CORE}), 126, "core file");
}

Test(target, refuses_other_architectures)
{
	expect(PINW_TARGET_ARCHITECTURE,
	       put_elf("arm", (struct made){.machine = EM_AARCH64, .linker = LINKER}), 125, "64-bit ARM");
	expect(PINW_TARGET_ARCHITECTURE,
	       put_elf("x86", (struct made){.elf_class = ELFCLASS32, .machine = EM_386, .linker = LINKER}),
	       125, "32-bit x86");
	/* x32: the machine is right, the class is not. */
	expect(PINW_TARGET_ARCHITECTURE,
	       put_elf("x32", (struct made){.elf_class = ELFCLASS32, .linker = LINKER}), 125, "32-bit");
}

Test(target, tells_the_c_library_by_its_linker_and_not_by_its_name)
{
	char musl[PATH_MAX], other[PATH_MAX];

	strcpy(musl, put_elf("ld-musl-x86_64.so.1", (struct made){0}));
	expect(PINW_TARGET_LIBC, put_elf("a", (struct made){.linker = musl}), 125, "musl");
	strcpy(other, put_elf("my-loader.so", (struct made){.soname = "ld-linux-x86-64.so.2"}));
	expect(PINW_TARGET_OK, put_elf("b", (struct made){.linker = other}), 0, "");
	strcpy(other, put_elf("ld-linux-x86-64.so.2", (struct made){.soname = "something-else.so"}));
	expect(PINW_TARGET_LIBC, put_elf("c", (struct made){.linker = other}), 125, "glibc");
}

Test(target, says_which_linker_is_missing)
{
	expect(PINW_TARGET_INTERPRETER_MISSING, put_elf("a", (struct made){.linker = "/nowhere/ld.so"}), 127,
	       "/nowhere/ld.so");
	expect(PINW_TARGET_INTERPRETER_MISSING,
	       put_elf("b", (struct made){.linker = "/nowhere/ld-linux-x86-64.so.2"}), 127,
	       "/nowhere/ld-linux-x86-64.so.2");
}

Test(target, refuses_go_programs_without_cgo)
{
	expect(PINW_TARGET_GO_NO_CGO, put_elf("pure", (struct made){.linker = LINKER, .go = true}), 125,
	       "cgo");
	expect(PINW_TARGET_GO_NO_CGO,
	       put_elf("near", (struct made){.linker = LINKER, .go = true, .imports = "pthread_create_like"}),
	       125, "cgo");
	expect(PINW_TARGET_OK,
	       put_elf("cgo", (struct made){.linker = LINKER, .go = true, .imports = "pthread_create"}), 0,
	       "");
	/* A linker keeps a name that ends another only once. */
	expect(PINW_TARGET_OK,
	       put_elf("merged",
	               (struct made){.linker = LINKER, .go = true, .imports = "_cgo_try_pthread_create"}),
	       0, "");
}

Test(target, refuses_setuid_and_setgid_files)
{
	const char *path = put_elf("raised", (struct made){.linker = LINKER});

	cr_assert_eq(chmod(path, 04755), 0);
	expect(PINW_TARGET_SETID, path, 125, "setuid");
	cr_assert_eq(chmod(path, 02755), 0);
	expect(PINW_TARGET_SETID, path, 125, "setgid");
	cr_assert_eq(chmod(path, 02745), 0); /* without group execute: mandatory locking, no new group */
	expect(PINW_TARGET_OK, path, 0, "");
}

Test(target, refuses_file_capabilities)
{
	/* struct vfs_cap_data, revision 2: CAP_NET_RAW permitted and effective */
	static const unsigned char caps[20] = {1, 0, 0, 2, 0, 0x20};
	const char *path = put_elf("able", (struct made){.linker = LINKER});

	if (setxattr(path, "security.capability", caps, sizeof(caps), 0) < 0)
		cr_skip_test("cannot set file capabilities here: %s", strerror(errno));
	expect(PINW_TARGET_CAPABILITIES, path, 125, "capabilities");
}

Test(target, knows_when_ids_make_a_process_secure)
{
	cr_assert_not(pinw_target_ids_are_secure(1, 1, 2, 2));
	cr_assert(pinw_target_ids_are_secure(1, 0, 2, 2));
	cr_assert(pinw_target_ids_are_secure(1, 1, 2, 0));
	cr_assert_eq(pinw_target_exit_code(PINW_TARGET_CREDENTIALS), 125);
}

Test(target, follows_scripts_to_their_interpreter)
{
	char text[2 * PATH_MAX], inner[PATH_MAX];

	expect(PINW_TARGET_OK, put_text("sh", "#!/bin/sh\nexit 0\n", 0755), 0, "");
	expect(PINW_TARGET_OK, put_text("blank", "#!  \t/bin/sh -e\n", 0755), 0, "");
	snprintf(text, sizeof(text), "#!%s\n", put_elf("static", (struct made){.type = ET_EXEC}));
	strcpy(inner, put_text("inner", text, 0755));
	expect(PINW_TARGET_STATIC, inner, 125, "/static, which is statically linked");
	snprintf(text, sizeof(text), "#! %s option\n", inner);
	expect(PINW_TARGET_STATIC, put_text("outer", text, 0755), 125, "script run by");
}

Test(target, follows_env_to_the_program_it_starts)
{
	char text[2 * PATH_MAX], script[PATH_MAX];

	put_elf("static", (struct made){.type = ET_EXEC});
	put_elf("fine", (struct made){.linker = LINKER});
	strcpy(script, put_text("script", "#!/usr/bin/env static\n", 0755));
	cr_assert_eq(ask(script, dir), PINW_TARGET_STATIC);
	put_text("script", "#!/usr/bin/env -S static -x\n", 0755);
	cr_assert_eq(ask(script, dir), PINW_TARGET_STATIC);
	put_text("script", "#!/usr/bin/env fine\n", 0755);
	cr_assert_eq(ask(script, dir), PINW_TARGET_OK);
	put_text("script", "#!/usr/bin/env not-there\n", 0755); /* env says so, in its own words */
	cr_assert_eq(ask(script, dir), PINW_TARGET_OK);
	snprintf(text, sizeof(text), "#!/usr/bin/env %s/static\n", dir);
	put_text("script", text, 0755);
	cr_assert_eq(ask(script, NULL), PINW_TARGET_STATIC);
}

Test(target, bounds_scripts_run_by_scripts)
{
	char text[PATH_MAX + 8];

	snprintf(text, sizeof(text), "#!%s/loop\n", dir);
	expect(PINW_TARGET_TOO_NESTED, put_text("loop", text, 0755), 126, "deep");
}

Test(target, names_a_missing_interpreter)
{
	expect(PINW_TARGET_INTERPRETER_MISSING, put_text("a", "#!/no/such/shell -e\n", 0755), 127,
	       "/no/such/shell");
	expect(PINW_TARGET_INTERPRETER_MISSING, put_text("b", "#!/bin/sh\r\nexit\r\n", 0755), 127, "CRLF");
	expect(PINW_TARGET_NOT_A_PROGRAM, put_text("c", "#! \n", 0755), 126, "names no interpreter");
}

Test(target, gives_other_text_to_the_shell_as_execvp_does)
{
	struct pinw_target t;

	cr_assert_eq(pinw_target_check(put_text("plain", "echo hello\n", 0755), NULL, &t), 0);
	cr_expect_eq(t.verdict, PINW_TARGET_OK);
	cr_expect(t.script);
	pinw_target_done(&t);
	cr_assert_eq(pinw_target_check(put_text("empty", "", 0755), NULL, &t), 0);
	cr_expect(t.script);
	pinw_target_done(&t);
	cr_assert_eq(pinw_target_check(put_text("marked", "#!/bin/sh\n", 0755), NULL, &t), 0);
	cr_expect_not(t.script);
	pinw_target_done(&t);
}

Test(target, tells_missing_from_not_executable)
{
	expect(PINW_TARGET_MISSING, in_dir("nothing"), 127, "No such file");
	expect(PINW_TARGET_MISSING, "", 127, "empty name");
	expect(PINW_TARGET_MISSING, "no-such-program-anywhere", 127, "PATH");
	expect(PINW_TARGET_DIRECTORY, dir, 126, "is a directory");
	expect(PINW_TARGET_NOT_EXECUTABLE, put_text("text", "x", 0644), 126, "chmod +x");
	expect(PINW_TARGET_NOT_EXECUTABLE, "/dev/null", 126, "cannot be executed");
	expect(PINW_TARGET_MISSING, "/dev/null/x", 127, "Not a directory");
}

Test(target, searches_the_path_as_execvp_does)
{
	char search[3 * PATH_MAX], sub[PATH_MAX];
	struct pinw_target t;

	strcpy(sub, in_dir("sub"));
	cr_assert_eq(mkdir(sub, 0755), 0);
	put_text("tool", "not executable", 0644);
	put_elf("sub/tool", (struct made){.linker = LINKER});
	snprintf(search, sizeof(search), "/no/such/dir:%s:%s", dir, sub);
	cr_assert_eq(pinw_target_check("tool", search, &t), 0);
	cr_expect_eq(t.verdict, PINW_TARGET_OK);
	cr_expect_str_eq(t.path, in_dir("sub/tool"), "the file that cannot be executed is passed over");
	pinw_target_done(&t);
	cr_expect_eq(ask("tool", dir), PINW_TARGET_NOT_EXECUTABLE);
	cr_expect_eq(ask("sub", dir), PINW_TARGET_NOT_EXECUTABLE, "a directory in PATH is no program");
	cr_assert_eq(chdir(sub), 0);
	cr_expect_eq(ask("tool", "/no/such/dir:"), PINW_TARGET_OK, "an empty entry is the current directory");
	cr_expect_eq(ask("tool", ""), PINW_TARGET_OK);
	cr_expect_eq(ask("sh", NULL), PINW_TARGET_OK, "without PATH the system's default is searched");
}

Test(target, lets_unreadable_programs_pass_unchecked)
{
	const char *path = put_elf("secret", (struct made){.type = ET_EXEC});

	cr_assert_eq(chmod(path, 0111), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	enum pinw_target_verdict got = ask(path, NULL);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(got, PINW_TARGET_UNCHECKED);
}

Test(target, survives_any_damage)
{
	struct made m = {.linker = LINKER, .soname = "x.so", .imports = "pthread_create", .go = true};
	struct image im;

	for (size_t at = 0; at < sizeof(im); at++) {
		make_image(&im, &m);
		((unsigned char *)&im)[at] ^= 0xff;
		ask(put("flipped", &im, sizeof(im), 0755), NULL);
		make_image(&im, &m);
		enum pinw_target_verdict got = ask(put("cut", &im, at, 0755), NULL);
		/* Too short for an ELF file it is text; without its note it is a program, not Go's. */
		bool passes = at < 20 || at >= offsetof(struct image, note);
		cr_expect_eq(got, passes ? PINW_TARGET_OK : PINW_TARGET_NOT_A_PROGRAM,
		             "cut at %zu: verdict %d", at, got);
	}
}
