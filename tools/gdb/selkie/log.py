# SPDX-License-Identifier: BSD-3-Clause
"""log.py - the kernel's messages."""

import gdb

from . import kernel
from .kernel import number


def show_log(args):
    """log [N]: all of the ring, or its last N lines"""
    ring, end = kernel.variable("ring", "core/log.c"), number(kernel.variable("ring_end", "core/log.c"))
    size = ring.type.sizeof
    raw = kernel.memory(int(ring.address), size)
    lines = (raw[end % size:] + raw[:end % size] if end > size else raw[:end]).decode("utf-8", "replace").splitlines()
    if end > size and lines:
        lines = lines[1:]  # the first one is cut
    if args and not args[0].isdigit():
        raise gdb.GdbError("selkie log [LINES]")
    for line in lines[-int(args[0]):] if args else lines:
        print(line)
