# SPDX-License-Identifier: BSD-3-Clause
# gdb commands for a machine that waits (selkie run --on x64|aarch64 --gdb), which is already attached to.
set print pretty on
set pagination off
set confirm off
hbreak kernel_boot
hbreak panic
echo \nType "continue": the first stop is kernel_boot.\n
