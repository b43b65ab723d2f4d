/* SPDX-License-Identifier: MIT */
#include "preload/clock.h"

#include <dlfcn.h>
#include <string.h>
#include <time.h>

#include "preload/arch.h"
#include "preload/shim.h"

static int (*vdso_gettime)(clockid_t, struct timespec *);
static bool stopped; /* atomic */
static uint64_t stopped_mono_ns, stopped_real_ns;

void pinw_clock_init(void)
{
	void *vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);

	if (vdso)
		*(void **)&vdso_gettime = dlvsym(vdso, "__vdso_clock_gettime", "LINUX_2.6");
}

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts = {0, 0};

	if (pinw_unlikely(__atomic_load_n(&stopped, __ATOMIC_ACQUIRE)))
		return id == CLOCK_REALTIME ? stopped_real_ns : stopped_mono_ns;
	if (!vdso_gettime || vdso_gettime(id, &ts) != 0)
		pinw_sys2(SYS_clock_gettime, id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t pinw_clock_mono(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t pinw_clock_real(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t pinw_now(void)
{
	return read_clock(CLOCK_MONOTONIC) - pinw_shim.start_mono_ns;
}

void pinw_clock_stop(bool stop)
{
	if (stop) {
		stopped_mono_ns = pinw_clock_mono();
		stopped_real_ns = pinw_clock_real();
	}
	__atomic_store_n(&stopped, stop, __ATOMIC_RELEASE);
}

/* Asked by address, without calling it: libfaketime starts itself on the first call. */
bool pinw_clock_is_faked(void)
{
	void *seen = dlsym(RTLD_DEFAULT, "clock_gettime");
	void *libc = dlvsym(RTLD_DEFAULT, "__libc_start_main", "GLIBC_2.34");
	struct dl_find_object a, b;

	return seen && libc && _dl_find_object(seen, &a) == 0 && _dl_find_object(libc, &b) == 0 &&
	       a.dlfo_link_map != b.dlfo_link_map;
}
