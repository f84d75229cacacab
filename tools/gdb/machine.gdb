# SPDX-License-Identifier: BSD-3-Clause
# gdb commands for a machine that waits (selkie run --on x64|aarch64 --gdb), which is already attached to.
set print pretty on
set pagination off
set confirm off
hbreak kernel_boot
hbreak panic
python
import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(gdb.current_progspace().filename)), "../../tools/gdb"))
import selkie
end
echo \nType "continue": the first stop is kernel_boot. \"selkie help\" shows commands that know the kernel.\n
