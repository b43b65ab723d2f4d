# SPDX-License-Identifier: MIT
# node: libuv's pool and two worker threads on 31 KiB of stack to spare.
# needs: node
# expect: .totals.pins.opened == 0
# expect: .totals.threads.created >= 10
run node -e '
const {Worker} = require("worker_threads"), fs = require("fs");
let ended = 0;
for (let i = 0; i < 2; i++)
  new Worker("require(\"fs\").readFileSync(\"/etc/hostname\")", {eval: true}).on("exit", () => {
    if (++ended == 2) require("dns").lookup("localhost", () => console.log("looked up"));
  });
for (let i = 0; i < 6; i++) fs.readFile("/etc/hostname", () => {});'
