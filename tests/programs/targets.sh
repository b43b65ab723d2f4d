# SPDX-License-Identifier: MIT
# The small programs of tests/targets, whose every pin a shim can see, against the kernel's count.
# needs: nproc
# expect: .totals.affinity.other_process == 2
for target in create_join detach exit_ways join_forms thrd_family unjoined main_exits names deep_stack 'pin_self 40' \
  pin_cross pin_process pin_attr pin_default_attr pin_inherited pin_exit pin_failed mask_sizes old_abi syscall_pin \
  raw_clone sigev_thread internal_threads early_call dlopen_pin 'children fork' 'children _Fork' 'children vfork' \
  'children spawn' 'children system' 'children popen' 'children exec' 'children chain' 'signal_storm 300' \
  'pin_at_end return' 'confined closefrom' cxx_unwind; do
  # shellcheck disable=SC2086
  run "$PINW_BUILD"/targets/$target
  echo "$target: $?"
done
