# SPDX-License-Identifier: BSD-3-Clause
# gdb commands for a machine that waits (selkie run --on x64|aarch64 --gdb).
set print pretty on
set pagination off
set confirm off
target remote 127.0.0.1:1234
hbreak kernel_boot
hbreak panic
echo \nType "continue": the first stop is kernel_boot.\n
