# SPDX-License-Identifier: MIT
# search() with a timeout uses timer_create(SIGEV_THREAD): a thread made inside libc, seen by census only.
# needs: /usr/bin/vim.basic
# expect: .totals.threads.created == 0
# expect: .totals.threads.adopted == 1
yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab | head -20000 >text
run vim.basic -u NONE -N -es -c 'call cursor(1,1)' -c "call search('\\(a*\\)*c','W',0,150)" -c 'qa!' text
