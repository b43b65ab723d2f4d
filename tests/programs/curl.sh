# SPDX-License-Identifier: MIT
# curl's resolver thread, and python3's http.server serving each request on a thread.
# needs: curl /usr/bin/python3
# expect: .totals.pins.opened == 0
# expect: .totals.threads.created >= 3
echo hello >page
serve /usr/bin/python3 -m http.server --bind 127.0.0.1 21107 >/dev/null 2>&1
await_port 21107
for _ in 1 2 3; do run curl -s http://localhost:21107/page; done
stop
