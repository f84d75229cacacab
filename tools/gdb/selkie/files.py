# SPDX-License-Identifier: BSD-3-Clause
"""files.py - descriptor tables, open files, and names of files."""

from . import kernel, memory
from .kernel import Broken, number

ACCESS = ("read", "write", "read/write", "path")
DEPTH_MAX = 64


def dentry_path(dentry):
    """The path of a struct dentry *, mount points crossed."""
    parts = []
    for _ in range(DEPTH_MAX):
        if not number(dentry):
            break
        parent = number(dentry["parent"])
        if parent != int(dentry):
            parts.append(kernel.text(dentry["name"]))
            if number(dentry["flags"]) & 4:
                parts[-1] += " (deleted)"
            dentry = dentry["parent"]
            continue
        covered = number(dentry["inode"]) and number(dentry["inode"]["super"]["covered"])
        if not covered:
            return "/" + "/".join(reversed(parts))
        dentry = kernel.pointer(covered, "struct dentry")
    raise Broken("a path without an end")


def object_path(vm_object):
    """The name of the file whose memory it is, or ''."""
    ops = kernel.symbol_at(number(vm_object["ops"]))
    if not ops.startswith(("memory_object_ops", "backed_object_ops")):
        return ""
    inode = kernel.container(int(vm_object), "struct inode", "object")
    for dentry in kernel.list_entries(inode["aliases"], "struct dentry", "alias_link"):
        return dentry_path(dentry.address)
    return "inode %d" % number(inode["ino"])


def file_name(file):
    if number(file["dentry"]):
        return dentry_path(file["dentry"])
    name = number(file["ops"]) and kernel.text(file["ops"]["name"])
    return name or "?"


def file_line(file):
    flags = number(file["flags"])
    words = [ACCESS[flags & 3]]
    words += [name for bit, name in ((0o2000, "append"), (0o4000, "nonblock")) if flags & bit]
    return "%-10s pos %-8d refs %-2d %s" % (",".join(words), number(file["pos"]),
                                          number(file["refs"]["count"]), file_name(file))


def show_table(table):
    capacity = number(table["capacity"])
    if capacity > 1 << 20:
        raise Broken("a table of %d descriptors" % capacity)
    for block in range(capacity // 64):
        bits, cloexec = number(table["open"][block]), number(table["cloexec"][block])
        for fd in range(64):
            if not bits >> fd & 1:
                continue
            file = table["files"][block * 64 + fd]
            try:
                line = file_line(file.dereference()) if number(file) else "reserved: being opened"
            except Broken as error:
                line = "%#x: %s" % (int(file), error)
            print("  %4d%s %s" % (block * 64 + fd, "x" if cloexec >> fd & 1 else " ", line))


def show_files(args):
    for process in memory.processes(args):
        try:
            print(memory.title(process))
            if number(process["files"]):
                show_table(process["files"].dereference())
            else:
                print("  its files are closed")
        except Broken as error:
            print("  %s" % error)
