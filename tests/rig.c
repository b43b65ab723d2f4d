/* SPDX-License-Identifier: MIT */
#include "tests/rig.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/image.h"
#include "preload/ledger.h"
#include "preload/proc.h"
#include "preload/real.h"
#include "preload/registry.h"
#include "preload/trace.h"

#define TOGETHER_MAX 64u

static char dir[128];
static char trace_path[PINW_PATH_MAX];
static struct pinw_trace_setup setup;

/* ---- files ------------------------------------------------------------------------- */

const char *pinw_rig_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	if (!dir[0]) {
		snprintf(dir, sizeof(dir), "%s/pinwarden-rig.XXXXXX", tmp && *tmp ? tmp : "/tmp");
		cr_assert_not_null(mkdtemp(dir), "no directory %s", dir);
	}
	return dir;
}

const char *pinw_rig_path(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", pinw_rig_dir(), name);
	return path;
}

void pinw_rig_done(void)
{
	char command[sizeof(dir) + 16];

	if (!dir[0])
		return;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_assert_eq(system(command), 0);
	dir[0] = '\0';
}

void pinw_rig_copy(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC),
	    out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n;

	cr_assert(in >= 0 && out >= 0, "%s to %s", from, to);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		cr_assert_eq(write(out, buf, (size_t)n), n);
	cr_assert_eq(n, 0);
	close(in);
	close(out);
}

unsigned pinw_rig_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned count = 0;

	cr_assert_not_null(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

/* ---- start ---------------------------------------------------------------------------- */

const char *pinw_rig_trace(void)
{
	return trace_path;
}

void pinw_rig_bench(unsigned words, const uint64_t *baseline, uint64_t max_bytes)
{
	cr_assert_eq(pinw_shim.status, PINW_STATUS_NEW, "one recorder a test");
	snprintf(trace_path, sizeof(trace_path), "%s/bench.pwt", pinw_rig_dir());
	memset(&setup, 0, sizeof(setup));
	snprintf(setup.path, sizeof(setup.path), "%s", trace_path);
	setup.fd = open(trace_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	cr_assert_geq(setup.fd, 0);
	setup.max_bytes = max_bytes;
	setup.header.mask_words = words;
	pinw_mask_copy(setup.header.baseline, baseline, words);
	pinw_shim.mask_words = words;
	pinw_mask_copy(pinw_shim.baseline, baseline, words);
	pinw_shim.pid = (uint32_t)getpid();
	pinw_shim.start_mono_ns = setup.header.start_mono_ns = pinw_clock_mono();
	cr_assert_eq(pinw_trace_open(&setup, &pinw_shim.live), 0);
	pinw_shim.live->next_thread = 1;
	cr_assert_eq(pinw_registry_init(), 0);
	pinw_shim.status = PINW_STATUS_ON;
}

void pinw_rig_bench_small(void)
{
	const uint64_t baseline = 0xf;

	pinw_rig_bench(1, &baseline, UINT64_C(64) << 20);
}

static void find_trace(void)
{
	struct dirent *entry;
	DIR *d = opendir(dir);

	cr_assert_not_null(d);
	while ((entry = readdir(d)))
		if (strstr(entry->d_name, ".image.pwt"))
			snprintf(trace_path, sizeof(trace_path), "%s/%.64s", dir, entry->d_name);
	closedir(d);
}

void pinw_rig_image(const char *const *settings)
{
	char pattern[sizeof(dir) + 32];
	uintptr_t above_stack =
	    getauxval(AT_RANDOM) & ~UINT64_C(7); /* 16 bytes that lie beyond the arguments */

	snprintf(pattern, sizeof(pattern), "%s/%%p.image.pwt", pinw_rig_dir());
	setenv("PINWARDEN_OUTPUT", pattern, 1);
	for (; settings && *settings; settings++)
		putenv((char *)*settings);
	pinw_construct((char **)above_stack);
	cr_assert_eq(pinw_shim.status, PINW_STATUS_ON);
	find_trace();
}

/* ---- threads ---------------------------------------------------------------------------- */

struct pinw_thread *pinw_rig_thread(uint32_t tid, const uint64_t *mask)
{
	struct pinw_thread *thread = pinw_registry_take();

	cr_assert_not_null(thread);
	pinw_mask_copy(thread->mask, mask ? mask : pinw_shim.baseline, pinw_shim.mask_words);
	pinw_registry_set_tid(thread, tid);
	thread->birth = 1;
	pinw_ledger_live();
	__atomic_store_n(&thread->slot->state, PINW_SLOT_RUNNING, __ATOMIC_RELEASE);
	return thread;
}

/* As the pthread_create wrapper does it. */
struct pinw_thread *pinw_rig_spawn(void *(*routine)(void *), void *arg, const pthread_attr_t *attr)
{
	struct pinw_thread *thread = pinw_registry_take(), *self = pinw_tls.thread;
	pthread_attr_t plain;
	size_t stack = 0;
	pthread_t *out = calloc(1, sizeof(*out));

	cr_assert(thread && self && out);
	cr_assert_eq(pthread_attr_init(&plain), 0);
	pthread_attr_getstacksize(attr ? attr : &plain, &stack);
	pinw_mask_copy(thread->mask, self->mask, pinw_shim.mask_words);
	thread->birth_origin = self->slot->pin_depth ? PINW_ORIGIN_INHERITED : PINW_ORIGIN_NONE;
	thread->birth_site = self->slot->pin_site;
	thread->birth_by = pinw_tls.seq;
	thread->stack_lo = stack;
	thread->start = routine;
	thread->arg = arg;
	thread->out = out;
	pinw_ledger_peak(pinw_ledger_live());
	cr_assert_eq(pthread_create(&thread->handle, attr, (void *(*)(void *))pinw_trampoline, thread), 0);
	return thread;
}

void *pinw_rig_join(struct pinw_thread *thread)
{
	pthread_t *out = thread->out;
	void *result;

	cr_assert_eq(pthread_join(thread->handle, &result), 0);
	pinw_registry_let_go(thread, PINW_LIFE_CREATOR);
	pinw_registry_let_go(thread, PINW_LIFE_RELEASED);
	free(out);
	return result;
}

static struct {
	pthread_barrier_t start;
	void (*routine)(unsigned);
} together;

static void *run_together(void *arg)
{
	pthread_barrier_wait(&together.start);
	together.routine((unsigned)(uintptr_t)arg);
	return NULL;
}

void pinw_rig_together(unsigned count, void (*routine)(unsigned index))
{
	pthread_t threads[TOGETHER_MAX];

	cr_assert_leq(count, TOGETHER_MAX);
	together.routine = routine;
	cr_assert_eq(pthread_barrier_init(&together.start, NULL, count), 0);
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, run_together, (void *)(uintptr_t)i), 0);
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	pthread_barrier_destroy(&together.start);
}

/* ---- reading back ------------------------------------------------------------------------- */

struct reading {
	struct pinw_rig_seen *seen;
	pinw_record_fn on_record;
	pinw_slot_fn on_slot;
	void *arg;
};

static void see_record(void *arg, const struct pinw_read_record *record)
{
	struct reading *reading = arg;

	reading->seen->records[record->type]++;
	reading->seen->all++;
	if (reading->on_record)
		reading->on_record(reading->arg, record);
}

static void see_slot(void *arg, const struct pinw_slot *slot, const uint64_t *mask)
{
	struct reading *reading = arg;

	reading->seen->slots++;
	if (reading->on_slot)
		reading->on_slot(reading->arg, slot, mask);
}

void pinw_rig_read_from(const char *path, pinw_record_fn on_record, pinw_slot_fn on_slot, void *arg,
                        struct pinw_rig_seen *ret_seen)
{
	struct reading reading = {.on_record = on_record, .on_slot = on_slot, .arg = arg};
	struct pinw_problem problem = {.what = "none"};
	struct pinw_reader *reader = NULL;

	memset(ret_seen, 0, sizeof(*ret_seen));
	reading.seen = ret_seen;
	cr_assert_eq(pinw_reader_open(path, &reader), 0, "%s", path);
	cr_assert_eq(pinw_reader_walk(reader, see_record, see_slot, &reading), 0);
	ret_seen->problems = pinw_reader_problems(reader, &problem, 1);
	ret_seen->problem = problem.what;
	ret_seen->tally = pinw_reader_tally(reader);
	ret_seen->live = *pinw_reader_live(reader);
	ret_seen->header = *pinw_reader_header(reader);
	pinw_reader_free(reader);
}

void pinw_rig_read(pinw_record_fn on_record, pinw_slot_fn on_slot, void *arg, struct pinw_rig_seen *ret_seen)
{
	pinw_rig_read_from(trace_path, on_record, on_slot, arg, ret_seen);
}

const struct pinw_counters *counters(void)
{
	return &pinw_shim.live->counters;
}

void pinw_rig_balance(void)
{
	const struct pinw_counters *c = &pinw_shim.live->counters;

	cr_assert_eq(c->pins_opened, c->pins_released + c->pins_open + c->pins_lost,
	             "opened %lu, released %lu, open %lu, lost %lu", c->pins_opened, c->pins_released,
	             c->pins_open, c->pins_lost);
}

/* ---- the host ------------------------------------------------------------------------------- */

const char *pinw_rig_host_path(const char *library)
{
	const char *build = getenv("PINW_BUILD");
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/targets/%s.so", build ? build : "build", library);
	return path;
}

void *pinw_rig_host(const char *library, const char *symbol)
{
	void *handle = dlopen(pinw_rig_host_path(library), RTLD_NOW | RTLD_LOCAL);

	cr_assert_not_null(handle, "%s", dlerror());
	void *address = dlsym(handle, symbol);
	cr_assert_not_null(address, "no %s in %s", symbol, library);
	return address;
}
