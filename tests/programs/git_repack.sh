# SPDX-License-Identifier: MIT
# git repack: a chain of child processes, some with threads.
# needs: git
# expect: (.processes | length) >= 2
# expect: [.totals.leaks[]] | add == 0
export HOME=$dir GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='2020-01-01 00:00:00 +0000' GIT_COMMITTER_DATE='2020-01-01 00:00:00 +0000'
git init -q repository 2>/dev/null
cd repository || exit
for i in {1..200}; do seq "$i" 400 >"f$i"; done
git add .
git -c user.name=n -c user.email=e commit -qm one
run git -c pack.threads=2 repack -adq
git count-objects -v | grep in-pack
