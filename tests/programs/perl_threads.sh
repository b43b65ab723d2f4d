# SPDX-License-Identifier: MIT
# perl's interpreter threads: joined, detached, and a fork.
# needs: perl
# expect: .totals.threads.created == 4
# expect: .totals.threads.joined == 3
# expect: .totals.threads.detached == 1
run perl -Mthreads -Mthreads::shared -e '
my $gone :shared = 0;
my @t = map { my $n = $_; threads->create(sub { $n * 2 }) } 1 .. 3;
print join(",", map { $_->join } @t), "\n";
threads->create(sub { lock($gone); $gone = 1; cond_signal($gone) })->detach;
{ lock($gone); cond_wait($gone) until $gone; }
my $pid = fork; exit 3 if !$pid; waitpid($pid, 0); print $? >> 8, "\n";
select undef, undef, undef, 0.2;'
