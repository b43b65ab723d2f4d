# SPDX-License-Identifier: MIT
# nginx workers pin themselves; the threads of their pool inherit that, detached, and leave by pthread_exit.
# needs: /usr/sbin/nginx curl
# expect: .totals.affinity.self == 2
# expect: .totals.threads.created == 4
# expect: .totals.pins.inherited >= 4
nginx_conf 21105
serve /usr/sbin/nginx -c "$dir/nginx.conf" -e "$dir/errors"
await_port 21105
for _ in 1 2 3 4; do curl -s http://127.0.0.1:21105/common-licenses/GPL-3 | cksum; done
stop QUIT
