# SPDX-License-Identifier: MIT
#
# Sourced before every case by tests/programs/run. A case is a short workload on a packaged program; what it
# prints and its status must not depend on time, pids or the order of threads.
#
#   run CMD...          the program in the foreground
#   serve CMD...        the program in the background: its own pid in $server
#   await_port PORT     until it listens on loopback
#   stop [SIGNAL]       ends the server (TERM), returns its status
#   requests URL [..]   300 of them by curl, eight at a time: how many were answered with which status; options of curl may
#                       follow
#   nginx_conf PORT     writes nginx.conf: two workers, each pinned to a CPU of its own; errors go to $dir/errors
#   cni_namespace       a network namespace for CNI plugins to work in ($namespace: a process there), their environment but for the
#                       command, and `conf`, a configuration of the loopback plugin
#   lo                  how that namespace's loopback device is
#   $under              a policy that run and serve start programs under, enforced; empty: none
#   $dir                an empty directory of the case's own
#   $SOURCES            the project
#
# MODE says how programs are started: bare, audit (under `pinwarden run`) or truth (under strace, the shim
# preloaded by hand). Traces go to $TRACES, strace's logs to $LOGS.

server= wrapper= logs=0 under=

# The command line that goes before a program's, in the array `prefix`.
set_prefix() {
  case $MODE in
    bare) prefix=() ;;
    audit) prefix=("$PINW_BUILD/pinwarden" run -q ${under:+-p "$under" --enforce} -o "$TRACES/" --) ;;
    truth)
      logs=$((logs + 1))
      prefix=(strace -f -q -v -s 0 -e signal=none -e "trace=$CALLS" -o "$LOGS/$logs"
        -E "LD_PRELOAD=$PINW_BUILD/libpinwarden.so" -E "PINWARDEN_OUTPUT=$TRACES/%e.%p.pwt"
        ${under:+-E "PINWARDEN_POLICY=$under" -E PINWARDEN_MODE=enforce})
      ;;
  esac
}

run() {
  set_prefix
  "${prefix[@]}" "$@"
}

# The wrapper's child that has become another program (strace first forks copies of itself, to probe the kernel).
child_of() {
  local child program
  for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
    program=$(readlink "/proc/$child/exe") || continue
    [ "$program" != "$(readlink "/proc/$1/exe")" ] && echo "$child" && return
  done
  return 1
}

serve() {
  set_prefix
  "${prefix[@]}" "$@" &
  wrapper=$!
  server=$wrapper
  [ "$MODE" = bare ] && return
  for _ in {1..500}; do
    server=$(child_of "$wrapper") && return
    kill -0 "$wrapper" 2>/dev/null || break
    sleep 0.02
  done
  echo "the server did not start"
}

# Looks into the kernel's tables: a probing connection would be work for the server.
await_port() {
  local listens
  listens=$(printf ':%04X [0-9A-F]*:0000 0A' "$1")
  for _ in {1..500}; do
    grep -q "$listens" /proc/net/tcp /proc/net/tcp6 && return
    kill -0 "$wrapper" 2>/dev/null || break
    sleep 0.02
  done
  echo "nothing listens on port $1"
}

stop() {
  local pid=$server
  # `pinwarden run` passes signals on; strace is told nothing.
  [ "$MODE" = audit ] && pid=$wrapper
  kill "-${1:-TERM}" "$pid"
  wait "$wrapper"
}

requests() {
  curl -s -Z --parallel-max 8 -o /dev/null -w '%{http_code}\n' "$1?[1-300]" "${@:2}" 2>/dev/null | sort | uniq -c
}

leave() {
  status=$?
  trap - EXIT
  [ -n "$server" ] && kill -KILL "$server" "$wrapper" 2>/dev/null
  exit "$status"
}
trap leave EXIT

nginx_conf() {
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
  server { listen 127.0.0.1:$1; location / { aio threads; sendfile off; root /usr/share; } }
}
CONF
}

cni_namespace() {
  unshare -n sleep 80 &
  server=$! wrapper=$! namespace=$!
  for _ in {1..500}; do
    [ "$(readlink "/proc/$namespace/ns/net")" != "$(readlink /proc/self/ns/net)" ] && break
    sleep 0.02
  done
  export CNI_CONTAINERID=case CNI_NETNS=/proc/$namespace/ns/net CNI_IFNAME=lo CNI_PATH=/usr/lib/cni
  echo '{"cniVersion":"1.0.0","name":"case","type":"loopback"}' >conf
}

lo() {
  nsenter -t "$namespace" -n ip -br address show lo
}
