# SPDX-License-Identifier: MIT
# git grep: a thread pool, all joined.
# needs: git
# expect: .totals.threads.created == 4
# expect: [.totals.leaks[]] | add == 0
export HOME=$dir GIT_CONFIG_NOSYSTEM=1
git init -q repository 2>/dev/null
cd repository || exit
for i in {1..200}; do echo "int main$i" >"f$i.c"; done
git add .
run git -c grep.threads=4 grep -c main150
