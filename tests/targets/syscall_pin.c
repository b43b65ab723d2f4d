/* SPDX-License-Identifier: MIT
 *
 * Shows: pins through syscall(), of oneself and of another thread, and that syscall() stays itself for
 * every other number: six arguments, results beyond int, errno; and that asking for seccomp's support is not sealing oneself.
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static sem_t ready, go;
static atomic_int tid;

static void *waits(void *arg)
{
	atomic_store(&tid, target_tid());
	sem_post(&ready);
	sem_wait(&go);
	return arg;
}

static void other_numbers(void)
{
	long at = syscall(SYS_mmap, NULL, 4096L, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);

	CHECK(at > INT32_MAX);
	CHECK(syscall(SYS_munmap, at, 4096L) == 0);
	CHECK(syscall(SYS_getpid) == getpid());
	CHECK(syscall(SYS_close, -1L) == -1 && errno == EBADF);
	CHECK(syscall(-1L) == -1 && errno == ENOSYS);
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1L, NULL) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0L, NULL) == -1 && errno == EFAULT);
}

int main(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(0)), other = target_one_cpu(target_cpu(1));
	pthread_t t;

	CHECK(sem_init(&ready, 0, 0) == 0 && sem_init(&go, 0, 0) == 0);
	CHECK(syscall(SYS_sched_setaffinity, 0, sizeof(one), &one) == 0 && target_mask_is(&one));
	CHECK(syscall(SYS_sched_setaffinity, getpid(), sizeof(one), target_all_cpus()) == 0);
	CHECK(pthread_create(&t, NULL, waits, NULL) == 0);
	sem_wait(&ready);
	CHECK(syscall(SYS_sched_setaffinity, atomic_load(&tid), sizeof(other), &other) == 0);
	sem_post(&go);
	CHECK(pthread_join(t, NULL) == 0);
	other_numbers();
	puts("pinned by number");
	return 0;
}
