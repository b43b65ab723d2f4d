# SPDX-License-Identifier: MIT
# prometheus answers 300 queries on loopback and leaves at SIGTERM.
# needs: prometheus curl
# expect: .processes | length == 1 and all(.golocks.covered and .dropped == 0 and .coverage.notes == [])
# expect: .processes | all(.coverage.kernel_threads == .coverage.seen_threads and .coverage.seen_threads >= 4)
# expect: .processes[0].end.how == "exit" and .processes[0].golocks.runtime == 1 and .processes[0].golocks.open == 0
echo 'global: {scrape_interval: 1h}' >prometheus.yml
serve prometheus --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address=127.0.0.1:21140 2>log
await_port 21140
until curl -sf http://127.0.0.1:21140/-/ready >/dev/null; do sleep 0.05; done
requests http://127.0.0.1:21140/api/v1/query -d 'query=vector(7)&time=0'
curl -s http://127.0.0.1:21140/api/v1/query -d 'query=vector(7)&time=0' && echo
stop
