#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Holds the traces of a run against a policy, for any CI:
#
#   check.sh TRACES BASELINE POLICY
#
# TRACES is the folder that `pinwarden run -o TRACES/ -- ...` wrote; BASELINE is the pinwarden.json that this script left after an
# earlier run, or a file that is not there. Leaves pinwarden.sarif, pinwarden.xml (JUnit) and pinwarden.json, prints the findings,
# and ends as `pinwarden check` does: 0 clean, 1 new findings, 2 a wrong policy, 3 nothing could be checked.
set -eu
traces=$1 baseline=$2 policy=$3

chmod go-w "$policy" # a policy that others can write to is not obeyed
set -- "$traces" -p "$policy"
if [ -e "$baseline" ]; then set -- "$@" "--baseline=$baseline"; fi

write() { # a finding is no reason to stop before everything is written
  status=0
  pinwarden check "$@" || status=$?
  [ "$status" -le 1 ] || exit "$status"
}
write "$@" -f sarif -o pinwarden.sarif
write "$@" -f junit -o pinwarden.xml
write "$@" -f json -o pinwarden.json
exec pinwarden check "$@"
