# SPDX-License-Identifier: MIT
# needs: x264
# expect: .totals.pins.opened == 0
# expect: [.totals.leaks[]] | add == 0
head -c 3456000 /dev/zero >in.yuv
run x264 --quiet --threads 4 --input-res 320x240 --fps 25 -o out.264 in.yuv 2>/dev/null
