# SPDX-License-Identifier: MIT
# fio's thread jobs pin themselves; two of its threads are detached.
# needs: fio
# expect: .totals.threads.created >= 3
run fio --name=a --thread --numjobs=2 --cpus_allowed=0 --cpus_allowed_policy=shared --ioengine=psync \
  --rw=randread --bs=4k --size=1m --runtime=1 --time_based --output=/dev/null
