# SPDX-License-Identifier: MIT
# SVT-AV1 pins its own worker threads from the creator; all are joined, most end pinned.
# needs: ffmpeg
# expect: .totals.affinity.cross == 16
# expect: .totals.threads.created >= 20
run ffmpeg -nostdin -loglevel error -f lavfi -i testsrc=size=320x240:rate=10:duration=0.5 -c:v libsvtav1 -preset 12 \
  -svtav1-params lp=1:pin=1 -f null - 2>/dev/null
