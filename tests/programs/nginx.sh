# SPDX-License-Identifier: MIT
# nginx workers pin themselves; the threads of their pool inherit that, detached, and leave by pthread_exit.
# needs: /usr/sbin/nginx curl
# expect: .totals.affinity.self == 2
# expect: .totals.threads.created == 4
# expect: .totals.pins.inherited >= 4
mkdir temp
cat >nginx.conf <<CONF
daemon off;
pid $dir/pid;
error_log $dir/errors;
worker_processes 2;
worker_cpu_affinity 01 10;
user nobody nogroup;
thread_pool default threads=2;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path $dir/temp;
  proxy_temp_path $dir/temp/p; fastcgi_temp_path $dir/temp/f; uwsgi_temp_path $dir/temp/u; scgi_temp_path $dir/temp/s;
  server { listen 127.0.0.1:21105; location / { aio threads; sendfile off; root /usr/share; } }
}
CONF
serve /usr/sbin/nginx -c "$dir/nginx.conf" -e "$dir/errors"
await_port 21105
for _ in 1 2 3 4; do curl -s http://127.0.0.1:21105/common-licenses/GPL-3 | cksum; done
stop QUIT
