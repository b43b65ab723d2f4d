# SPDX-License-Identifier: MIT
# Threads without any pin.
# needs: ffmpeg
# expect: .totals.affinity.self == 0
# expect: .totals.pins.opened == 0
# expect: .totals.threads.created >= 4
run ffmpeg -nostdin -loglevel error -threads 4 -f lavfi -i testsrc=size=320x240:rate=10:duration=0.5 -c:v mpeg4 -threads 4 \
  -f framemd5 - 2>/dev/null | grep -v '^#software'
