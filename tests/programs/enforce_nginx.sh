# SPDX-License-Identifier: MIT
# nginx's workers may be pinned by their name and nothing else may: they are. Under a policy that allows another name they
# are not, which nginx says in its log, and they serve on.
# needs: /usr/sbin/nginx curl
# expect: .totals.affinity.self == 2
# expect: .totals.pins.inherited >= 4
# expect: [.processes[].violations[]?] | add // 0 == 0
. "$SOURCES/tests/programs/enforced"
policy allowed <<'INI'
[allow "nginx workers"]
thread_name = nginx
[ban "everyone else"]
module = *
INI
policy refused <<'INI'
[allow "another's workers"]
thread_name = apache2
[ban "everyone else"]
call = setaffinity
module = *
INI
nginx_conf 21122
page() { curl -s http://127.0.0.1:21122/common-licenses/GPL-3 | cksum; }
expected=$(cksum </usr/share/common-licenses/GPL-3)
serve /usr/sbin/nginx -c "$dir/nginx.conf" -e "$dir/errors"
await_port 21122
page
stop QUIT
for name in allowed refused; do
  looking || break
  : >errors
  enforce "$name" /usr/sbin/nginx -c "$dir/nginx.conf" -e "$dir/errors"
  await_port 21122
  for _ in 1 2 3; do wants '$(page) = "$expected"'; done
  finish QUIT
  wants '$status = 0'
  if [ "$name" = allowed ]; then
    reports allowed '[.processes[].violations[]?] | add // 0 == 0'
    reports allowed '.totals.affinity.self == 2 and .totals.pins.inherited >= 4'
    wants '$(<"$dir/errors") != *sched_setaffinity*'
  else
    reports refused '[.processes[].violations["ban:everyone else"] // 0] | add == 2'
    reports refused '.totals.pins.opened == 0'
    wants '$(<"$dir/errors") = *"sched_setaffinity() failed (1: Operation not permitted)"*'
  fi
done
