# SPDX-License-Identifier: MIT
# nats-server passes 300 messages from one client to another and answers 300 requests about itself. At SIGTERM its main
# function, with 0, and its handler of signals, with 1, race for the exit: which of them is first is as open bare, and
# the other may be so quick that threads are not counted any more.
# needs: nats-server curl /usr/bin/python3
# expect: .processes | length == 1 and all(.golocks.covered and .dropped == 0)
serve nats-server -a 127.0.0.1 -p 21143 -m 21144 >log 2>&1
await_port 21143
await_port 21144
/usr/bin/python3 -c '
import socket
def client():
  s = socket.create_connection(("127.0.0.1", 21143))
  f = s.makefile("rb")
  f.readline()
  s.sendall(b"CONNECT {\"verbose\":false}\r\nPING\r\n")
  assert f.readline() == b"PONG\r\n"
  return s, f
(listener, heard), (speaker, said) = client(), client()
listener.sendall(b"SUB news 1\r\nPING\r\n")
assert heard.readline() == b"PONG\r\n"
for i in range(300):
  text = b"%d" % i
  speaker.sendall(b"PUB news %d\r\n%s\r\n" % (len(text), text))
lines = [heard.readline() for _ in range(600)]
print(lines[0], sum(int(text) for text in lines[1::2]))'
requests http://127.0.0.1:21144/varz
stop || [ $? = 1 ]
