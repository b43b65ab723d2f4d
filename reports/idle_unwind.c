/* SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libunwind-ptrace.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reports/idle_private.h"

#define UNWIND_WAIT_NS UINT64_C(5000000000)

/* For the callbacks, in the unwinding process alone: the pointer that they are handed is libunwind-ptrace's own. */
static struct {
	const struct snapshot *s;
	int fd; /* the file read last */
	const struct mapping *of;
} reading = {.fd = -1};

#define SYMBOL_TEXT(name) #name
#define SYMBOL(name) SYMBOL_TEXT(name)

/* libunwind, opened in the unwinding process alone: where it is loaded its _Unwind_* functions stand in for the
 * compiler's, so nothing else is to meet it. */
static struct {
	unw_addr_space_t (*create_addr_space)(unw_accessors_t *, int);
	int (*init_remote)(unw_cursor_t *, unw_addr_space_t, void *);
	int (*get_reg)(unw_cursor_t *, int, unw_word_t *);
	int (*step)(unw_cursor_t *);
	void *(*upt_create)(pid_t);
	int (*find_proc_info)(unw_addr_space_t, unw_word_t, unw_proc_info_t *, int, void *);
	void (*put_unwind_info)(unw_addr_space_t, unw_proc_info_t *, void *);
} lib;

static bool take_symbol(void *handle, const char *name, void *to)
{
	void *symbol = handle ? dlsym(handle, name) : NULL;

	memcpy(to, &symbol, sizeof(symbol));
	return symbol != NULL;
}

/* The second library names the first one nowhere, hence RTLD_GLOBAL. */
static bool open_library(void)
{
	void *unw = dlopen("libunwind-x86_64.so.8", RTLD_NOW | RTLD_GLOBAL);
	void *upt = unw ? dlopen("libunwind-ptrace.so.0", RTLD_NOW) : NULL;

	return take_symbol(unw, SYMBOL(unw_create_addr_space), &lib.create_addr_space) &&
	       take_symbol(unw, SYMBOL(unw_init_remote), &lib.init_remote) &&
	       take_symbol(unw, SYMBOL(unw_get_reg), &lib.get_reg) &&
	       take_symbol(unw, SYMBOL(unw_step), &lib.step) &&
	       take_symbol(upt, "_UPT_create", &lib.upt_create) &&
	       take_symbol(upt, "_UPT_find_proc_info", &lib.find_proc_info) &&
	       take_symbol(upt, "_UPT_put_unwind_info", &lib.put_unwind_info);
}

static int no_list(unw_addr_space_t as, unw_word_t *address, void *arg)
{
	(void)as, (void)address, (void)arg;
	return -UNW_ENOINFO;
}

/* The stack is in the copy; everything else an unwinder needs is constant and in files. */
static int access_mem(unw_addr_space_t as, unw_word_t address, unw_word_t *value, int write, void *arg)
{
	const struct snapshot *s = reading.s;

	(void)as, (void)arg;
	if (write)
		return -UNW_EREADONLYREG;
	if (address >= s->base && s->bytes >= sizeof(*value) &&
	    address - s->base <= s->bytes - sizeof(*value)) {
		memcpy(value, s->stack + (address - s->base), sizeof(*value));
		return 0;
	}
	const struct mapping *m = pinw_idle_mapping(s, address);
	if (!m || !m->constant || !m->path)
		return -UNW_EINVAL;
	if (reading.of != m) {
		if (reading.fd >= 0)
			close(reading.fd);
		reading.fd = open(m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		reading.of = m;
	}
	off_t at = (off_t)(address - m->start + m->offset);
	return reading.fd >= 0 && pread(reading.fd, value, sizeof(*value), at) == sizeof(*value)
	           ? 0
	           : -UNW_EINVAL;
}

static int access_reg(unw_addr_space_t as, unw_regnum_t reg, unw_word_t *value, int write, void *arg)
{
	const struct snapshot *s = reading.s;

	(void)as, (void)arg;
	if (write)
		return -UNW_EREADONLYREG;
	if (reg < 0 || (unsigned)reg >= PINW_IDLE_REGISTERS || !(s->known >> reg & 1))
		return -UNW_EBADREG;
	*value = s->reg[reg];
	return 0;
}

static int access_fpreg(unw_addr_space_t as, unw_regnum_t reg, unw_fpreg_t *value, int write, void *arg)
{
	(void)as, (void)reg, (void)value, (void)write, (void)arg;
	return -UNW_EBADREG;
}

static int no_resume(unw_addr_space_t as, unw_cursor_t *cursor, void *arg)
{
	(void)as, (void)cursor, (void)arg;
	return -UNW_EINVAL;
}

static int no_name(unw_addr_space_t as, unw_word_t address, char *name, size_t size, unw_word_t *offset,
                   void *arg)
{
	(void)as, (void)address, (void)name, (void)size, (void)offset, (void)arg;
	return -UNW_ENOINFO;
}

static void unwind(struct snapshot *s, struct walk *walk)
{
	unw_accessors_t accessors = {.find_proc_info = lib.find_proc_info,
	                             .put_unwind_info = lib.put_unwind_info,
	                             .get_dyn_info_list_addr = no_list,
	                             .access_mem = access_mem,
	                             .access_reg = access_reg,
	                             .access_fpreg = access_fpreg,
	                             .resume = no_resume,
	                             .get_proc_name = no_name};
	void *upt = lib.upt_create(s->tid);
	unw_addr_space_t as = lib.create_addr_space(&accessors, 0);
	unw_cursor_t cursor;

	reading.s = s;
	int r = upt && as ? lib.init_remote(&cursor, as, upt) : -UNW_ENOMEM;

	while (r >= 0 && walk->count < PINW_IDLE_FRAMES) {
		unw_word_t pc;
		if (lib.get_reg(&cursor, UNW_REG_IP, &pc) < 0 || !pc)
			break;
		walk->pc[walk->count++] = pc;
		r = lib.step(&cursor);
		if (r == 0)
			break;
	}
	walk->truncated = r != 0;
	walk->done = true;
}

/* A hostile object may bring the unwinder down or keep it busy: that costs this stack and nothing else. */
int pinw_idle_unwind(struct snapshot *s, struct walk *walk)
{
	uint64_t until = pinw_idle_now() + UNWIND_WAIT_NS;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child == 0) {
		struct rlimit none = {0, 0};
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setrlimit(RLIMIT_CORE, &none);
		walk->no_library = !open_library();
		if (!walk->no_library)
			unwind(s, walk);
		_exit(0);
	}
	while (waitpid(child, NULL, WNOHANG) == 0) {
		if (pinw_idle_now() > until)
			kill(child, SIGKILL);
		pinw_idle_pause(200000);
	}
	if (walk->no_library)
		return -ELIBACC;
	return walk->count ? 0 : -ENODATA;
}
