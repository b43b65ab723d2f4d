/* SPDX-License-Identifier: MIT
 *
 * Shows: narrowing within a pin raises its depth; one widening back to all CPUs releases everything.
 * Needs three CPUs: on two, a narrower pin within a pin does not exist.
 */
#include "tests/targets/common/common.h"

#include <stdio.h>

int main(void)
{
	cpu_set_t two = target_one_cpu(target_cpu(0)), one;

	CPU_SET(target_cpu(1), &two);
	target_cpu(2);
	one = target_one_cpu(target_cpu(1));
	CHECK(sched_setaffinity(0, sizeof(two), &two) == 0);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(sched_setaffinity(0, sizeof(cpu_set_t), target_all_cpus()) == 0);
	puts("nested");
	return 0;
}
