/* SPDX-License-Identifier: MIT
 *
 * Shows: pins on another process. The parent pins its fork child, the child pins its parent; each
 * sees its own mask changed by no call of its own, and leaves it so.
 */
#include "tests/targets/common/common.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	cpu_set_t first = target_one_cpu(target_cpu(0)), second = target_one_cpu(target_cpu(1));
	int down[2], up[2], status;
	char byte;
	pid_t child;

	CHECK(pipe(down) == 0 && pipe(up) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(read(down[0], &byte, 1) == 1);
		CHECK(target_mask_is(&first));
		CHECK(sched_setaffinity(getppid(), sizeof(second), &second) == 0);
		CHECK(write(up[1], "x", 1) == 1);
		return 0;
	}
	CHECK(sched_setaffinity(child, sizeof(first), &first) == 0);
	CHECK(write(down[1], "x", 1) == 1);
	CHECK(read(up[0], &byte, 1) == 1);
	CHECK(target_mask_is(&second));
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	puts("each pinned the other");
	return 0;
}
