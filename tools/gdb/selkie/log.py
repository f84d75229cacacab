# SPDX-License-Identifier: BSD-3-Clause
"""log.py - the kernel's messages, and the latest events (core/trace.h)."""

import gdb

from . import kernel, threads
from .kernel import Broken, number


def show_log(args):
    """log [N]: all of the ring, or its last N lines"""
    ring, end = kernel.variable("ring", "core/log.c"), number(kernel.variable("ring_end", "core/log.c"))
    size = ring.type.sizeof
    raw = kernel.memory(int(ring.address), size)
    lines = (raw[end % size:] + raw[:end % size] if end > size else raw[:end]).decode("utf-8", "replace").splitlines()
    if end > size and lines:
        lines = lines[1:]  # the first one is cut
    for line in lines[-count_of(args, len(lines)):]:
        print(line)


def count_of(args, default):
    if args and not (args[0].isdigit() and int(args[0]) > 0):
        raise gdb.GdbError("how many?")
    return int(args[0]) if args else default


def events():
    """[(ns, CPU, event)] of all CPUs, the oldest first."""
    found = []
    for cpu in range(kernel.cpu_count()):
        structure = kernel.variable("cpus", "core/percpu.c")[cpu]
        ring, count = structure["trace_ring"], number(structure["trace_count"])
        if not number(ring):
            continue
        size = 4096 // ring.type.target().sizeof
        for i in range(max(0, count - size), count):
            event = kernel.load(ring[i % size])
            found.append((number(event["ns"]), cpu, event))
    return sorted(found, key=lambda item: item[0])


def event_text(event, names):
    kind = kernel.enum_name("enum trace_kind", number(event["kind"]), "TRACE_")
    what, a, b = number(event["number"]), number(event["a"]), number(event["b"])
    who = names.get(a, "%#x" % a)
    if kind == "SWITCH":
        reason = kernel.enum_name("enum switch_reason", what, "SWITCH_").lower()
        return "switch  %s -> %s (%s)" % (who, names.get(b, "%#x" % b), reason)
    if kind == "WAKE":
        return "wake    %s (%s)" % (who, kernel.enum_name("enum thread_state", what, "THREAD_").lower())
    if kind == "FAULT":
        return "fault   %s at %#x, pc %#x" % (kernel.enum_name("enum hal_fault_kind", what, "HAL_FAULT_").lower(), a, b)
    call = kernel.enum_name("enum syscall_id", what, "SC_")
    if kind == "CALL":
        return "call    %s: %s(%#x, ...)" % (who, call, b)
    if kind == "RESULT":
        return "result  %s: %s = %s" % (who, call, b if b < 1 << 47 else b - (1 << 64) if b >> 63 else "%#x" % b)
    return "%s %d %#x %#x" % (kind, what, a, b)


def show_trace(args):
    """trace [N]: the last N events of all CPUs"""
    limit = count_of(args, 40)
    names = {}
    for thread in threads.all_threads()[0]:
        try:
            names[thread.address] = "%s (%s)" % (thread.label, thread.name())
        except Broken:
            pass
    for ns, cpu, event in events()[-limit:]:
        print("%14.6f CPU %d %s" % (ns / 1e9, cpu, event_text(event, names)))
