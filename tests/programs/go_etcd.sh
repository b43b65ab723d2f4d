# SPDX-License-Identifier: MIT
# etcd takes 300 writes of one key through its gateway. SIGTERM ends it by that signal.
# needs: /usr/bin/etcd curl
# expect: .processes | length == 1 and all(.golocks.covered and .dropped == 0)
# expect: .processes[0].end == {how: "signal", status: 15} and .processes[0].golocks.open == 0
url=http://127.0.0.1
serve etcd --data-dir data --listen-client-urls $url:21141 --advertise-client-urls $url:21141 --listen-peer-urls $url:21142 \
  --initial-advertise-peer-urls $url:21142 --initial-cluster default=$url:21142 >log 2>&1
await_port 21141
until curl -sf $url:21141/health >/dev/null; do sleep 0.05; done
requests $url:21141/v3/kv/put -d '{"key": "a2V5", "value": "dmFsdWU="}'
curl -s -d '{"key": "a2V5"}' $url:21141/v3/kv/range | jq -c '.kvs[] | [.value, .version]'
stop
