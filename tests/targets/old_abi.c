/* SPDX-License-Identifier: MIT
 *
 * Shows: programs linked long ago. sched_setaffinity@GLIBC_2.3.3 takes two arguments, so does
 * pthread_setaffinity_np@GLIBC_2.3.3; the thread calls have versions from before 2.34.
 */
#include "tests/targets/common/common.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

int set_two(pid_t pid, const cpu_set_t *mask);
int set_three(pid_t pid, size_t bytes, const cpu_set_t *mask);
int thread_set_two(pthread_t thread, const cpu_set_t *mask);
int thread_set_three(pthread_t thread, size_t bytes, const cpu_set_t *mask);
int attr_set_two(pthread_attr_t *attr, const cpu_set_t *mask);
int old_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int old_join(pthread_t thread, void **ret);
int old_detach(pthread_t thread);
__asm__(".symver set_two, sched_setaffinity@GLIBC_2.3.3");
__asm__(".symver set_three, sched_setaffinity@GLIBC_2.3.4");
__asm__(".symver thread_set_two, pthread_setaffinity_np@GLIBC_2.3.3");
__asm__(".symver thread_set_three, pthread_setaffinity_np@GLIBC_2.3.4");
__asm__(".symver attr_set_two, pthread_attr_setaffinity_np@GLIBC_2.3.3");
__asm__(".symver old_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver old_join, pthread_join@GLIBC_2.2.5");
__asm__(".symver old_detach, pthread_detach@GLIBC_2.2.5");

static void *is_on(void *mask)
{
	CHECK(target_mask_is(mask));
	return mask;
}

int main(void)
{
	cpu_set_t one = target_one_cpu(target_cpu(1)), none;
	pthread_attr_t attr;
	pthread_t t;
	void *got;

	CPU_ZERO(&none);
	CHECK(set_two(0, &one) == 0 && target_mask_is(&one));
	CHECK(set_two(0, target_all_cpus()) == 0 && target_mask_is(target_all_cpus()));
	CHECK(set_two(0, &none) == -1 && errno == EINVAL);
	CHECK(set_three(0, sizeof(one), &one) == 0 && target_mask_is(&one));
	CHECK(thread_set_two(pthread_self(), target_all_cpus()) == 0 && target_mask_is(target_all_cpus()));
	CHECK(thread_set_two(pthread_self(), &none) == EINVAL);
	CHECK(thread_set_three(pthread_self(), sizeof(one), &one) == 0 && target_mask_is(&one));
	CHECK(thread_set_two(pthread_self(), target_all_cpus()) == 0);

	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(attr_set_two(&attr, &one) == 0);
	CHECK(old_create(&t, &attr, is_on, &one) == 0);
	CHECK(old_join(t, &got) == 0 && got == &one);
	CHECK(old_create(&t, NULL, is_on, (void *)target_all_cpus()) == 0);
	CHECK(old_detach(t) == 0);
	target_wait_threads(1);
	puts("two old threads");
	return 0;
}
