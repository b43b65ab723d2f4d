# Takes out of what Pinwarden prints what differs from run to run and from machine to machine.
# Paths: the policy's as a reader would type it, programs and traces by their names; functions without offsets.
s#[^ ("'=]*/([a-z_-]+\.ini)#examples/policies/\1#g
s#[^ ("']*(pinwarden\.[a-z_]+)\.[0-9]+\.pwt#\1.PID.pwt#g
s#\+0x[0-9a-f]+##g
/^ *#[0-9]+ /s#\(/[^)]*/#(#
# Frames before main, and of libc, have names where its symbols are installed.
/^ *#[0-9]+ (_start |.*\((libc|ld-linux))/d
# Process and thread numbers, times, addresses; how many threads there happened to be at once.
s#\b(process|pid|tid) [0-9]+#\1 N#g
s#\(\#[0-9]+, #(\#N, #g
s#\bnumber [0-9]+ from#number N from#g
s#\bpeak [0-9]+#peak N#g
s#[0-9]+(\.[0-9]+)? (ns|us|ms|s)\b#TIME#g
s#0x[0-9a-f]+#ADDRESS#g
# CPUs that are the first and second of this machine's.
s#\bCPUs? [0-9]+(-[0-9]+)?(,[0-9]+)*#CPU N#g
