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
python
import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(gdb.current_progspace().filename)), "../../tools/gdb"))
import selkie
if gdb.lookup_global_symbol("sim_idle"):  # the simulation: a deadlock, a program about to end badly
    gdb.execute("break nothing_left")
    gdb.execute("break process_exit_group if wait_status != 0")
end
echo \nType "run". Breakpoints are set on kernel panics; \"selkie help\" shows commands that know the kernel.\n
