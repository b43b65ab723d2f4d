# SPDX-License-Identifier: MIT
# fio's process jobs: forked, pinned, each with a trace of its own.
# needs: fio
# expect: [.processes[] | select(.parent)] | length >= 2
run fio --name=a --numjobs=2 --cpus_allowed=0,1 --cpus_allowed_policy=split --ioengine=psync \
  --rw=randread --bs=4k --size=1m --io_size=1m --output=/dev/null
