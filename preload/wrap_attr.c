/* SPDX-License-Identifier: MIT
 *
 * The attributes that threads are born pinned by: pthread_attr_setaffinity_np and
 * pthread_setattr_default_np. The real call decides; what is remembered here is
 * only where it was made. Neither was or becomes async-signal-safe.
 */
#include <errno.h>
#include <sched.h>

#include "policy/mask.h"
#include "preload/attr.h"
#include "preload/real.h"
#include "preload/shim.h"
#include "preload/site.h"
#include "preload/wrap.h"

#define REMEMBERED 256u

/* What pthread_setattr_default_np last set, for threads created without an attribute. */
static struct {
	bool has_mask; /* atomic */
	size_t stack_bytes;
	uint64_t mask[PINW_MASK_WORDS_MAX];
} default_attr;

/* Where masks were set: tag << 32 | site, by attribute address; atomic, overwritten by whoever comes next. */
static uint64_t remembered[REMEMBERED];

/* ---- reading an attribute ----------------------------------------------------------------- */

/* A mask of any size, cut to what this machine can have, as the kernel does. */
static bool __attribute__((noinline)) read_large_mask(const pthread_attr_t *attr, uint64_t *ret_mask)
{
	uint64_t large[PINW_MASK_WORDS_MAX];

	if (pinw_real.pthread_attr_getaffinity_np(attr, sizeof(large), (cpu_set_t *)large) != 0)
		return false;
	pinw_mask_copy(ret_mask, large, pinw_shim.mask_words);
	return true;
}

/* An attribute without a mask answers with every bit set (pthread_attr_getaffinity_np(3)). */
bool pinw_attr_mask(const pthread_attr_t *attr, uint64_t *ret_mask)
{
	unsigned words = pinw_shim.mask_words;

	if (!attr) {
		pinw_mask_copy(ret_mask, default_attr.mask, words);
		return __atomic_load_n(&default_attr.has_mask, __ATOMIC_ACQUIRE);
	}
	if (!pinw_real.pthread_attr_getaffinity_np)
		return false;
	int r = pinw_real.pthread_attr_getaffinity_np(attr, words * 8u, (cpu_set_t *)ret_mask);
	if (r == EINVAL) /* it names CPUs that this machine cannot have */
		return read_large_mask(attr, ret_mask);
	if (r != 0)
		return false;
	for (unsigned i = 0; i < words; i++)
		if (~ret_mask[i])
			return true;
	return false;
}

size_t pinw_attr_stack(const pthread_attr_t *attr)
{
	pthread_attr_t plain;
	size_t bytes = 0;

	if (attr) {
		pthread_attr_getstacksize(attr, &bytes);
		return bytes;
	}
	/* An attribute fresh from its initialiser answers with the process's default. */
	if (!default_attr.stack_bytes && pthread_attr_init(&plain) == 0)
		pthread_attr_getstacksize(&plain, &default_attr.stack_bytes);
	return default_attr.stack_bytes;
}

/* ---- where it was set ------------------------------------------------------------------------ */

static uint32_t tag_of(const pthread_attr_t *attr, const uint64_t *mask)
{
	uint64_t hash = (uintptr_t)attr;

	for (unsigned i = 0; i < pinw_shim.mask_words; i++)
		hash = (hash ^ mask[i]) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(hash >> 32);
}

static uint64_t *place_of(const pthread_attr_t *attr)
{
	return &remembered[((uintptr_t)attr >> 3) % REMEMBERED];
}

uint32_t pinw_attr_site(const pthread_attr_t *attr, const uint64_t *mask)
{
	uint64_t entry = attr ? __atomic_load_n(place_of(attr), __ATOMIC_RELAXED) : 0;

	return entry >> 32 == tag_of(attr, mask) ? (uint32_t)entry : 0;
}

static void remember(const pthread_attr_t *attr, struct pinw_where where)
{
	struct pinw_thread *self = pinw_enter();
	uint64_t mask[pinw_shim.mask_words + 1];

	if (self && pinw_attr_mask(attr, mask))
		__atomic_store_n(place_of(attr), (uint64_t)tag_of(attr, mask) << 32 | pinw_site(self, where),
		                 __ATOMIC_RELAXED);
}

static int set_affinity(pthread_attr_t *attr, size_t cpusetsize, const cpu_set_t *mask,
                        struct pinw_where where)
{
	(void)pinw_enter();
	if (!pinw_real.pthread_attr_setaffinity_np)
		return ENOSYS;
	int r = pinw_real.pthread_attr_setaffinity_np(attr, cpusetsize, mask);
	if (r == 0) {
		int saved = errno;
		remember(attr, where);
		errno = saved;
	}
	return r;
}

PINW_WRAPPER("pthread_attr_setaffinity_np@@GLIBC_2.32")
int pthread_attr_setaffinity_np_232(pthread_attr_t *attr, size_t cpusetsize, const cpu_set_t *mask)
{
	return set_affinity(attr, cpusetsize, mask, PINW_WHERE());
}
PINW_ALSO(pthread_attr_setaffinity_np_232, v234, "pthread_attr_setaffinity_np@GLIBC_2.3.4");

/* The first version had no size: 128 bytes are meant. */
PINW_WRAPPER("pthread_attr_setaffinity_np@GLIBC_2.3.3")
int pthread_attr_setaffinity_np_233(pthread_attr_t *attr, const cpu_set_t *mask)
{
	return set_affinity(attr, 128, mask, PINW_WHERE());
}

/* ---- the default attribute ------------------------------------------------------------------- */

/* Asks the C library what the default has become: whether an attribute without a mask takes an earlier
 * default's mask away has changed between versions. */
static void read_default(void)
{
	uint64_t mask[pinw_shim.mask_words];
	pthread_attr_t attr;

	if (!pinw_real.pthread_getattr_default_np || pinw_real.pthread_getattr_default_np(&attr) != 0)
		return;
	bool has_mask = pinw_attr_mask(&attr, mask);
	if (has_mask)
		pinw_mask_copy(default_attr.mask, mask, pinw_shim.mask_words);
	__atomic_store_n(&default_attr.has_mask, has_mask, __ATOMIC_RELEASE);
	pthread_attr_getstacksize(&attr, &default_attr.stack_bytes);
	pthread_attr_destroy(&attr);
}

PINW_WRAPPER("pthread_setattr_default_np@@GLIBC_2.34")
int pthread_setattr_default_np_234(const pthread_attr_t *attr)
{
	struct pinw_thread *self = pinw_enter();

	if (!pinw_real.pthread_setattr_default_np)
		return ENOSYS;
	int r = pinw_real.pthread_setattr_default_np(attr);
	if (r == 0 && self) {
		int saved = errno;
		read_default();
		errno = saved;
	}
	return r;
}
PINW_ALSO(pthread_setattr_default_np_234, v218, "pthread_setattr_default_np@GLIBC_2.18");
