# SPDX-License-Identifier: MIT
# memcached never joins its threads: alive at the end, and no pin.
# needs: memcached /usr/bin/python3
# expect: .totals.affinity.self == 0
# expect: .totals.pins.opened == 0
# expect: .totals.threads.unjoined == .totals.threads.created
# expect: .totals.threads.created >= 8
serve memcached -u nobody -l 127.0.0.1 -p 21104 -t 4
await_port 21104
/usr/bin/python3 -c '
import socket
s = socket.create_connection(("127.0.0.1", 21104))
s.sendall(b"set a 0 0 1\r\nx\r\nget a\r\nquit\r\n")
print(b"".join(iter(lambda: s.recv(200), b"")))'
stop
