/* SPDX-License-Identifier: MIT
 *
 * Shows: a process that becomes another, again and again, each time through another function of the exec family, from main or
 * from a second thread, with a pin that crosses. execs [STEPS]
 */
#include "tests/targets/common/common.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SELF "/proc/self/exe"

extern char **environ;

static char steps[16];

static void become(int step)
{
	char *argv[] = {"execs", steps, NULL};
	int self = open(SELF, O_RDONLY | O_CLOEXEC);

	CHECK(execve("/nonexistent", argv, environ) == -1);
	switch (step % 8) {
	case 0:
		execv(SELF, argv);
		break;
	case 1:
		execve(SELF, argv, environ);
		break;
	case 2:
		execvp(SELF, argv);
		break;
	case 3:
		execvpe(SELF, argv, environ);
		break;
	case 4:
		execl(SELF, "execs", steps, NULL);
		break;
	case 5:
		execlp(SELF, "execs", steps, NULL);
		break;
	case 6:
		fexecve(self, argv, environ);
		break;
	default:
		execveat(AT_FDCWD, SELF, argv, environ, 0);
	}
	CHECK(!"exec came back");
}

static void *becomes(void *arg)
{
	become(*(int *)arg);
	return arg;
}

int main(int argc, char **argv)
{
	int step = (int)target_arg(argc, argv, 1, 8);
	cpu_set_t one = target_one_cpu(target_cpu(0));
	pthread_t t;

	if (step == 0) {
		CHECK(target_mask_is(&one));
		puts("the last image");
		return 6;
	}
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	snprintf(steps, sizeof(steps), "%d", step - 1);
	if (step % 2) {
		CHECK(pthread_create(&t, NULL, becomes, &step) == 0);
		pthread_join(t, NULL);
	}
	become(step);
}
