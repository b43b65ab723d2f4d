/* SPDX-License-Identifier: MIT
 *
 * Symbols of small programs built here and now. Each program prints the addresses of some of its calls, and
 * the tests ask where those are.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reports/demangle.h"
#include "reports/ranges.h"
#include "reports/symbols.h"

#define FRAMES 64
#define CALLS 8
#define ALWAYS "__attribute__((always_inline)) inline "
#define NEVER "__attribute__((noinline)) "

/* clang-format off */
static const char c_source[] =
	"#include <stdio.h>\n"
	"extern const char __ehdr_start[] __attribute__((visibility(\"hidden\")));\n"
	NEVER "void mark(void) {\n"
	"	const char *ret = __builtin_return_address(0);\n"
	"	printf(\"%lx\\n\", (unsigned long)(ret - 1 - __ehdr_start));\n"
	"}\n"
	"static " ALWAYS "void inner(void) {\n"
	"	mark(); /* in inner */\n"
	"	__asm__ volatile(\"\");\n"
	"}\n"
	"static " ALWAYS "void middle(void) {\n"
	"	inner(); /* in middle */\n"
	"}\n"
	NEVER "void outer(void) {\n"
	"	middle(); /* in outer */\n"
	"	__asm__ volatile(\"\");\n"
	"}\n"
	"static " NEVER "void local(void) {\n"
	"	mark(); /* in local */\n"
	"	__asm__ volatile(\"\");\n"
	"}\n"
	"int main(void) {\n"
	"	outer();\n"
	"	local();\n"
	"	return 0;\n"
	"}\n";

static const char cxx_source[] =
	"#include <cstdio>\n"
	"extern \"C\" const char __ehdr_start[] __attribute__((visibility(\"hidden\")));\n"
	NEVER "void mark() {\n"
	"	const char *ret = (const char *)__builtin_return_address(0);\n"
	"	printf(\"%lx\\n\", (unsigned long)(ret - 1 - __ehdr_start));\n"
	"}\n"
	"namespace pool {\n"
	"template <class T> struct Worker {\n"
	"	" ALWAYS "void step(T) {\n"
	"		mark(); /* in step */\n"
	"		__asm__ volatile(\"\");\n"
	"	}\n"
	"	" NEVER "void run(T t) {\n"
	"		step(t); /* in run */\n"
	"		__asm__ volatile(\"\");\n"
	"	}\n"
	"};\n"
	"}\n"
	"int main() { pool::Worker<long> w; w.run(1); }\n";

static const char rust_source[] =
	"extern \"C\" { static __ehdr_start: u8; }\n"
	"mod pool {\n"
	"	pub struct Worker<T>(pub T);\n"
	"	impl<T> Worker<T> {\n"
	"		#[inline(always)] pub fn step(&self) -> usize {\n"
	"			let a: usize;\n"
	"			unsafe { std::arch::asm!(\"lea {}, [rip]\", out(reg) a) }; /* in step */\n"
	"			a - 1 - unsafe { std::ptr::addr_of!(super::__ehdr_start) } as usize\n"
	"		}\n"
	"	}\n"
	"}\n"
	"#[inline(never)] fn run_worker() -> usize {\n"
	"	pool::Worker(1u8).step() /* in run */\n"
	"}\n"
	"fn main() { println!(\"{:x}\", run_worker()); }\n";
/* clang-format on */

static char dir[64];
static unsigned long calls[CALLS]; /* addresses of calls, in order */
static struct pinw_symbols *symbols;
static struct pinw_symbol_frame frames[FRAMES];
static size_t count;

static void setup(void)
{
	strcpy(dir, "/tmp/pinwarden-symbols-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(pinw_symbols_open(&symbols), 0);
}

static void teardown(void)
{
	char command[96];

	pinw_symbols_free(symbols);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(symbols, .init = setup, .fini = teardown);

/* ---- building ------------------------------------------------------------------------- */

static const char *in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static void put(const char *name, const void *data, size_t len)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0755);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

/* Runs a shell command in the directory; fails the test unless it ends with 0. */
__attribute__((format(printf, 1, 2))) static void shell(const char *format, ...)
{
	char text[2048], command[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(command, sizeof(command), "cd %s && { %s; }", dir, text);
	cr_assert_eq(system(command), 0, "%s", text);
}

static void needs(const char *tool)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", tool);
	if (system(command) != 0)
		cr_skip_test("needs %s", tool);
}

/* Runs ./prog and keeps the addresses it prints. */
static void run_prog(void)
{
	char command[128];
	size_t n = 0;
	FILE *f;

	snprintf(command, sizeof(command), "%s/prog", dir);
	f = popen(command, "r");
	cr_assert_not_null(f);
	while (n < CALLS && fscanf(f, "%lx", &calls[n]) == 1)
		n++;
	cr_assert_eq(pclose(f), 0);
	cr_assert_gt(n, 0);
}

static void build(const char *source, const char *name, const char *compile)
{
	put(name, source, strlen(source));
	shell("%s -o prog %s", compile, name);
	run_prog();
}

static unsigned line_of(const char *source, const char *marker)
{
	const char *at = strstr(source, marker);
	unsigned line = 1;

	cr_assert_not_null(at);
	for (const char *p = source; p < at; p++)
		line += *p == '\n';
	return line;
}

/* ---- asking ------------------------------------------------------------------------------ */

static int look(unsigned long address)
{
	return pinw_symbols_lookup(symbols, in_dir("prog"), NULL, 0, address, frames, FRAMES, &count);
}

static void expect_frame(size_t i, const char *function, const char *file, unsigned line, bool inlined)
{
	const struct pinw_symbol_frame *f = &frames[i];

	cr_assert_lt(i, count, "only %zu frames", count);
	cr_expect_str_eq(f->function ? f->function : "(none)", function);
	if (file) {
		cr_expect(f->file && strlen(f->file) >= strlen(file) &&
		              strcmp(f->file + strlen(f->file) - strlen(file), file) == 0,
		          "%s in %s, not %s", function, f->file ? f->file : "no file", file);
		cr_expect_eq(f->line, line, "%s in line %u, not %u", function, f->line, line);
	} else {
		cr_expect_null(f->file);
		cr_expect_eq(f->line, 0);
	}
	cr_expect_eq(f->inlined, inlined, "%s", function);
}

static void expect_c_inlines(void)
{
	cr_assert_eq(look(calls[0]), 0);
	cr_assert_eq(count, 3);
	expect_frame(0, "inner", "/prog.c", line_of(c_source, "/* in inner */"), true);
	expect_frame(1, "middle", "/prog.c", line_of(c_source, "/* in middle */"), true);
	expect_frame(2, "outer", "/prog.c", line_of(c_source, "/* in outer */"), false);
	cr_assert_eq(look(calls[1]), 0);
	cr_assert_eq(count, 1);
	expect_frame(0, "local", "/prog.c", line_of(c_source, "/* in local */"), false);
}

Test(symbols, finds_lines_and_inlined_calls_of_gcc)
{
	build(c_source, "prog.c", "gcc -O2 -g");
	expect_c_inlines();
}

Test(symbols, finds_lines_and_inlined_calls_of_dwarf_4)
{
	build(c_source, "prog.c", "gcc -O2 -gdwarf-4");
	expect_c_inlines();
}

Test(symbols, finds_lines_and_inlined_calls_of_clang)
{
	needs("clang");
	build(c_source, "prog.c", "clang -O2 -g"); /* no .debug_aranges */
	expect_c_inlines();
}

Test(symbols, follows_split_dwarf)
{
	build(c_source, "prog.c", "gcc -O2 -gdwarf-5 -gsplit-dwarf");
	expect_c_inlines();
}

Test(symbols, reads_compressed_sections)
{
	build(c_source, "prog.c", "gcc -O2 -g -gz");
	expect_c_inlines();
}

Test(symbols, finds_lines_of_position_dependent_programs)
{
	/* Its link-time addresses are its runtime ones: the load bias is 0. */
	build(c_source, "prog.c", "gcc -O2 -g -no-pie -Wl,-Ttext-segment=0x400000");
	for (size_t i = 0; i < CALLS; i++)
		calls[i] += 0x400000;
	expect_c_inlines();
}

static void expect_cxx(void)
{
	cr_assert_eq(look(calls[0]), 0);
	cr_assert_eq(count, 2);
	expect_frame(0, "pool::Worker<long>::step(long)", "/prog.cc", line_of(cxx_source, "/* in step */"),
	             true);
	expect_frame(1, "pool::Worker<long>::run(long)", "/prog.cc", line_of(cxx_source, "/* in run */"),
	             false);
}

Test(symbols, hands_out_the_names_the_compiler_wrote)
{
	needs("g++");
	build(cxx_source, "prog.cc", "g++ -O2 -g");
	cr_assert_eq(look(calls[0]), 0);
	cr_assert_eq(count, 2);
	cr_assert_not_null(frames[0].symbols);
	cr_assert_str_eq(frames[0].symbols, "_ZN4pool6WorkerIlE4stepEl", "an inlined call");
	/* A clone for this call may follow as ".isra.0". */
	const char name[] = "_ZN4pool6WorkerIlE3runEl";
	cr_assert_eq(strncmp(frames[1].symbols, name, strlen(name)), 0, "%s", frames[1].symbols);
	cr_assert_eq(frames[1].symbols[strlen(frames[1].symbols) - 1], '\n');
}

Test(symbols, demangles_cxx_of_gcc)
{
	needs("g++");
	build(cxx_source, "prog.cc", "g++ -O2 -g");
	expect_cxx();
}

Test(symbols, demangles_cxx_of_clang)
{
	needs("clang++");
	build(cxx_source, "prog.cc", "clang++ -O2 -g");
	expect_cxx();
}

static void expect_rust(void)
{
	cr_assert_eq(look(calls[0]), 0);
	cr_assert_eq(count, 2);
	/* The older mangling knows no type arguments. */
	const char *step = strchr(frames[0].function, '<') == frames[0].function
	                       ? "<prog::pool::Worker<u8>>::step"
	                       : "prog::pool::Worker<T>::step";
	expect_frame(0, step, "prog.rs", line_of(rust_source, "/* in step */"), true);
	expect_frame(1, "prog::run_worker", "prog.rs", line_of(rust_source, "/* in run */"), false);
}

Test(symbols, demangles_rust)
{
	needs("rustc");
	build(rust_source, "prog.rs", "rustc -O -g");
	expect_rust();
	build(rust_source, "prog.rs", "rustc -O -g -C symbol-mangling-version=v0");
	pinw_symbols_free(symbols);
	cr_assert_eq(pinw_symbols_open(&symbols), 0);
	expect_rust();
}

/* ---- without debug information ------------------------------------------------------------- */

Test(symbols, uses_the_symbol_table_of_programs_without_debug_information)
{
	build(c_source, "prog.c", "gcc -O2");
	cr_assert_eq(look(calls[0]), 0);
	cr_assert_eq(count, 1);
	expect_frame(0, "outer", NULL, 0, false);
	cr_expect_gt(frames[0].function_offset, 0);
	cr_expect_lt(frames[0].function_offset, 64);
	cr_assert_eq(look(calls[1]), 0);
	expect_frame(0, "local", NULL, 0, false);
}

Test(symbols, uses_exported_symbols_of_stripped_programs_and_guesses_no_others)
{
	build(c_source, "prog.c", "gcc -O2 -rdynamic -s");
	cr_assert_eq(look(calls[0]), 0);
	expect_frame(0, "outer", NULL, 0, false);
	cr_assert_eq(look(calls[1]), -ENODATA, "no symbol covers local()");
}

Test(symbols, finds_separate_debug_files)
{
	needs("objcopy");
	build(c_source, "prog.c", "gcc -O2 -g");
	shell("objcopy --only-keep-debug prog prog.debug && strip prog && objcopy "
	      "--add-gnu-debuglink=prog.debug prog");
	expect_c_inlines();
}

Test(symbols, ignores_a_debug_file_of_another_build)
{
	needs("objcopy");
	build(c_source, "prog.c", "gcc -O2 -g -rdynamic");
	shell("objcopy --only-keep-debug prog prog.debug && strip prog && objcopy "
	      "--add-gnu-debuglink=prog.debug prog");
	shell("gcc -O0 -g -o other prog.c && objcopy --only-keep-debug other prog.debug");
	cr_assert_eq(look(calls[0]), 0);
	cr_assert_eq(count, 1);
	expect_frame(0, "outer", NULL, 0, false);
}

Test(symbols, reads_mini_debug_information)
{
	needs("objcopy");
	needs("xz");
	build(c_source, "prog.c", "gcc -O2");
	shell("objcopy -S --only-keep-debug prog mini; nm -f posix --defined-only prog | awk '$2 ~ /^[tT]$/ "
	      "{print $1}' >keep");
	shell("cp prog mini && objcopy -S --keep-symbols=keep mini mini && xz -f mini && strip prog");
	cr_assert_eq(look(calls[1]), -ENODATA);
	shell("cp prog prog2 && objcopy --add-section .gnu_debugdata=mini.xz prog2 && mv prog2 prog");
	pinw_symbols_free(symbols);
	cr_assert_eq(pinw_symbols_open(&symbols), 0);
	cr_assert_eq(look(calls[1]), 0);
	expect_frame(0, "local", NULL, 0, false);
}

/* ---- files that are not what they were ------------------------------------------------------- */

static const uint8_t first_id[4] = {1, 2, 3, 4}, other_id[4] = {1, 2, 3, 5};

static int look_with_id(const uint8_t *id, size_t len)
{
	return pinw_symbols_lookup(symbols, in_dir("prog"), id, len, calls[0], frames, FRAMES, &count);
}

Test(symbols, tells_a_replaced_file_by_its_build_id)
{
	build(c_source, "prog.c", "gcc -O2 -g -Wl,--build-id=0x01020304");
	cr_assert_eq(look_with_id(first_id, 4), 0);
	cr_assert_eq(look_with_id(other_id, 4), -ESTALE);
	cr_assert_eq(look_with_id(first_id, 3), -ESTALE);
	cr_assert_eq(look_with_id(first_id, 4), 0, "one answer does not spoil the other");
	build(c_source, "prog.c", "gcc -O2 -g -Wl,--build-id=none");
	pinw_symbols_free(symbols);
	cr_assert_eq(pinw_symbols_open(&symbols), 0);
	cr_assert_eq(look_with_id(first_id, 4), -ESTALE,
	             "a file without a build id is not the one that had it");
	cr_assert_eq(look_with_id(NULL, 0), 0);
}

Test(symbols, says_what_is_gone_and_what_is_no_program)
{
	char deep[PATH_MAX + 4096];

	cr_expect_eq(look(0x1000), -ENOENT);
	cr_expect_eq(pinw_symbols_lookup(symbols, "[vdso]", NULL, 0, 1, frames, FRAMES, &count), -ENOENT);
	cr_expect_eq(pinw_symbols_lookup(symbols, "", NULL, 0, 1, frames, FRAMES, &count), -ENOENT);
	cr_expect_eq(pinw_symbols_lookup(symbols, "prog", NULL, 0, 1, frames, FRAMES, &count), -ENOENT);
	cr_expect_eq(pinw_symbols_lookup(symbols, dir, NULL, 0, 1, frames, FRAMES, &count), -ENODATA);
	cr_expect_eq(pinw_symbols_lookup(symbols, "/dev/null", NULL, 0, 1, frames, FRAMES, &count), -ENODATA);
	memset(deep, '/', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	cr_expect_eq(pinw_symbols_lookup(symbols, deep, NULL, 0, 1, frames, FRAMES, &count), -ENOENT);
	put("text", "no ELF file", 11);
	cr_expect_eq(pinw_symbols_lookup(symbols, in_dir("text"), NULL, 0, 1, frames, FRAMES, &count),
	             -ENODATA);
	cr_assert_eq(mkfifo(in_dir("fifo"), 0600), 0);
	cr_expect_eq(pinw_symbols_lookup(symbols, in_dir("fifo"), NULL, 0, 1, frames, FRAMES, &count),
	             -ENODATA);
}

Test(symbols, has_no_answer_for_addresses_outside_the_code)
{
	static const unsigned long outside[] = {0, 1, 0x7fffffff, ~0ul};

	build(c_source, "prog.c", "gcc -O2 -g");
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		cr_expect_eq(look(outside[i]), -ENODATA, "%lx", outside[i]);
}

Test(symbols, gives_at_most_what_fits)
{
	build(c_source, "prog.c", "gcc -O2 -g");
	cr_assert_eq(pinw_symbols_lookup(symbols, in_dir("prog"), NULL, 0, calls[0], frames, 2, &count), 0);
	cr_assert_eq(count, 2);
	expect_frame(1, "middle", "/prog.c", line_of(c_source, "/* in middle */"), true);
	cr_assert_eq(pinw_symbols_lookup(symbols, in_dir("prog"), NULL, 0, calls[0], frames, FRAMES, &count),
	             0);
	cr_assert_eq(count, 3);
}

/* ---- robustness ------------------------------------------------------------------------------ */

static pid_t worker(void)
{
	char path[64];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "r");
	if (!f)
		cr_skip_test("needs %s", path);
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}

Test(symbols, survives_the_death_of_its_worker)
{
	pid_t first;

	build(c_source, "prog.c", "gcc -O2 -g");
	cr_assert_eq(look(calls[0]), 0);
	first = worker();
	cr_assert_gt(first, 0);
	cr_assert_eq(kill(first, SIGKILL), 0);
	cr_assert_eq(look(calls[1]), 0);
	expect_frame(0, "local", "/prog.c", line_of(c_source, "/* in local */"), false);
	cr_assert_neq(worker(), first);
	pinw_symbols_free(symbols);
	symbols = NULL;
	cr_assert_eq(worker(), 0, "no child is left behind");
}

Test(symbols, survives_damaged_files)
{
	size_t len;
	static unsigned char good[1 << 20], bad[1 << 20];
	unsigned seed = 1;
	FILE *f;

	build(c_source, "prog.c", "gcc -O2 -g");
	f = fopen(in_dir("prog"), "r");
	cr_assert_not_null(f);
	len = fread(good, 1, sizeof(good), f);
	fclose(f);
	for (unsigned i = 0; i < 300; i++) {
		char name[32];

		memcpy(bad, good, len);
		for (unsigned n = 0; n < 1u << i % 8; n++)
			bad[(unsigned)rand_r(&seed) % len] = (unsigned char)rand_r(&seed);
		snprintf(name, sizeof(name), "bad%u", i);
		put(name, bad, i % 3 ? len : (unsigned)rand_r(&seed) % len);
		for (unsigned c = 0; c < 2; c++) {
			int r = pinw_symbols_lookup(symbols, in_dir(name), NULL, 0, calls[c], frames, FRAMES,
			                            &count);

			cr_expect(r == -ENODATA || (r == 0 && count >= 1 && count <= FRAMES), "%s: %d", name,
			          r);
		}
		unlink(in_dir(name));
	}
	expect_c_inlines();
}

Test(symbols, asks_no_server)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(address);
	char url[64];

	cr_assert_geq(server, 0);
	cr_assert_eq(bind(server, (struct sockaddr *)&address, len), 0);
	cr_assert_eq(getsockname(server, (struct sockaddr *)&address, &len), 0);
	cr_assert_eq(listen(server, 1), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(address.sin_port));
	build(c_source, "prog.c", "gcc -O2 -s -rdynamic");
	cr_assert_eq(setenv("DEBUGINFOD_URLS", url, 1), 0);
	cr_assert_eq(look(calls[0]), 0);
	cr_assert_lt(accept(server, NULL, NULL), 0);
	cr_assert_eq(errno, EAGAIN);
	cr_assert_str_eq(getenv("DEBUGINFOD_URLS"), url, "the caller's environment is its own");
	close(server);
}

/* ---- parts ----------------------------------------------------------------------------------- */

Test(symbols, demangles_only_mangled_names)
{
	static const struct {
		const char *name, *readable;
	} cases[] = {
	    {"_ZN4pool6Worker3runEi", "pool::Worker::run(int)"},
	    {"_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"},
	    {"_RNvC4prog10run_worker", "prog::run_worker"},
	    {"main", NULL},
	    {"_Dmain", NULL},
	    {"_Z", NULL},
	    {"_Release", NULL},
	    {"", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *got = pinw_demangle(cases[i].name);

		cr_expect_eq(got == NULL, cases[i].readable == NULL, "%s", cases[i].name);
		if (got && cases[i].readable)
			cr_expect_str_eq(got, cases[i].readable);
		free(got);
	}
}

Test(symbols, finds_the_innermost_of_overlapping_ranges)
{
	struct pinw_ranges r = {0};

	cr_assert_null(pinw_ranges_find(&r, 5));
	cr_assert_eq(pinw_ranges_add(&r, 10, 100, 1), 0);
	cr_assert_eq(pinw_ranges_add(&r, 200, 300, 3), 0);
	cr_assert_eq(pinw_ranges_add(&r, 20, 30, 2), 0);
	pinw_ranges_sort(&r);
	cr_assert_null(pinw_ranges_find(&r, 9));
	cr_assert_eq(pinw_ranges_find(&r, 10)->owner, 1);
	cr_assert_eq(pinw_ranges_find(&r, 29)->owner, 2);
	cr_assert_eq(pinw_ranges_find(&r, 30)->owner, 1);
	cr_assert_null(pinw_ranges_find(&r, 100));
	cr_assert_null(pinw_ranges_find(&r, 300));
	free(r.items);
}
