# SPDX-License-Identifier: MIT
# caddy hands out 300 files and leaves at SIGTERM.
# needs: caddy curl
# expect: .processes | length == 1 and all(.golocks.covered and .dropped == 0 and .coverage.notes == [])
export HOME=$dir XDG_DATA_HOME=$dir XDG_CONFIG_HOME=$dir
cat >Caddyfile <<'CONF'
{
  admin off
}
http://127.0.0.1:21145 {
  root * /usr/share/common-licenses
  file_server
}
CONF
serve caddy run --adapter caddyfile --config Caddyfile 2>log
await_port 21145
requests http://127.0.0.1:21145/GPL-3
curl -s http://127.0.0.1:21145/GPL-3 | cksum
stop
