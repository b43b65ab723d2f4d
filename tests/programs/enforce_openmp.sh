# SPDX-License-Identifier: MIT
# A team of four bound to two CPUs by GOMP_CPU_AFFINITY under max_pinned_per_cpu: logged, the sum is the same; denied, libgomp
# says that it could not create the second thread of the first CPU.
# needs: gcc
# expect: .totals.affinity.attr == 3
# expect: [.processes[].violations[]?] | add // 0 == 0
. "$SOURCES/tests/programs/enforced"
policy logged <<'INI'
[caps]
max_pinned_per_cpu = 1
max_pinned_per_cpu_action = log
INI
policy denied <<'INI'
[caps]
max_pinned_per_cpu = 1
max_pinned_per_cpu_action = deny
INI
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
enforced logged ./team
wants '$status = 0'
wants '$(<"$dir/logged.out") = 499500'
reports logged '.processes[0].violations == {"caps:max_pinned_per_cpu": 2}'
reports logged '.totals.threads.created == 3'
enforced denied ./team
wants '$status = 1'
wants '$(<"$dir/denied.err") = *"Thread creation failed"*'
reports denied '.processes[0].violations == {"caps:max_pinned_per_cpu": 1}'
reports denied '.totals.threads.created == 0'
