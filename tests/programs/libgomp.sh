# SPDX-License-Identifier: MIT
# GOMP_CPU_AFFINITY: libgomp's constructor pins the main thread before the shim's constructor, and the team's
# threads are born pinned.
# needs: gcc
# expect: .totals.threads.created == 3
# expect: .totals.affinity.attr == 3
# expect: .totals.affinity.self == 1
cat >team.c <<'C'
#include <stdio.h>
int main(void)
{
	int sum = 0;
	#pragma omp parallel for num_threads(4) reduction(+:sum)
	for (int i = 0; i < 1000; i++)
		sum += i;
	printf("%d\n", sum);
	return 0;
}
C
gcc -fopenmp -o team team.c || exit
export GOMP_CPU_AFFINITY=0,1
run ./team
