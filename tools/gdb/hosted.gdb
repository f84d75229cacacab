# SPDX-License-Identifier: BSD-3-Clause
# gdb commands for the kernel as a process (selkie run --gdb). These signals are the kernel's daily work, not errors:
# SIGSYS is a system call of the program, SIGSEGV and SIGBUS are page faults, SIGURG and SIG40 (hosted/shared.h) are interrupts.
handle SIGSYS nostop noprint pass
handle SIGSEGV nostop noprint pass
handle SIGBUS nostop noprint pass
handle SIGURG nostop noprint pass
handle SIG40 nostop noprint pass
set breakpoint pending on
set print pretty on
set pagination off
break panic
break kernel_hal_panic
echo \nType "run". Breakpoints are set on kernel panics; docs/debugging.md says how to look at programs.\n
