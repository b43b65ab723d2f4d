# SPDX-License-Identifier: MIT
# search() with a timeout uses timer_create(SIGEV_THREAD): a thread made inside libc, seen by census only. The search
# is over long before its time is, or libc would make a second thread, gone before anybody could see it.
# needs: /usr/bin/vim.basic
# expect: .totals.threads.created == 0
# expect: .totals.threads.adopted == 1
yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab | head -20 >text
run vim.basic -u NONE -N -es -c 'call cursor(1,1)' -c "call search('\\(a*\\)*c','W',0,60000)" -c 'qa!' text
