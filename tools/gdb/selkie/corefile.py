# SPDX-License-Identifier: BSD-3-Clause
"""corefile.py - opening a core file of the kernel or of a program: which file it was, and how far it was moved."""

import os
import struct

import gdb

from . import frames


def notes(path):
    """[(name, type, bytes)] of a 64-bit little-endian core file."""
    with open(path, "rb") as file:
        head = file.read(64)
        offset, = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        segments = file.read(size * count)
        found = []
        for i in range(count):
            kind, _flags, at, _va, _pa, length = struct.unpack_from("<IIQQQQ", segments, i * size)
            if kind != 4:  # PT_NOTE
                continue
            file.seek(at)
            found += parse(file.read(length))
    return found


def parse(data):
    at, found = 0, []
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from("<III", data, at)
        name = data[at + 12:at + 12 + name_size].rstrip(b"\0").decode()
        at += 12 + (name_size + 3 & ~3)
        found.append((name, kind, data[at:at + size]))
        at += size + 3 & ~3
    return found


def show(path):
    own = {kind: data for name, kind, data in notes(path) if name == "SELKIE"}
    kernel, program = (own.get(kind, b"").split(b"\0")[0].decode() for kind in (2, 3))
    if not kernel and not program:
        raise gdb.GdbError("%s: no core file of selkie's" % path)
    for setting in ("confirm off", "pagination off", "print pretty on", "osabi GNU/Linux"):
        gdb.execute("set " + setting)
    if program:
        frames.view.enabled = frames.entry.enabled = frames.signed.enabled = False
        if os.path.exists(program):  # the guest's path; often the host has the same
            gdb.execute("file '%s'" % program)
        gdb.execute("core-file " + path)
        return
    gdb.execute("file '%s'" % kernel)
    slide = struct.unpack("<Q", own[1])[0] if 1 in own else 0
    if slide:
        gdb.execute("symbol-file -o %#x '%s'" % (slide, kernel))
    gdb.execute("core-file " + path)
