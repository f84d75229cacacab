# SPDX-License-Identifier: BSD-3-Clause
"""memory.py - areas of address spaces, the page allocator, and the pools behind kmalloc."""

import gdb

from . import files, kernel
from .kernel import Broken, number

AREA_FLAGS = ((1, "shared"), (2, "growsdown"), (4, "stack"), (8, "locked"), (16, "special"), (32, "noreserve"),
              (4096, "huge"), (8192, "nohuge"), (16384, "hugetlb"))


def processes(args):
    """The processes that `args` names (pids), or all."""
    wanted = {int(word) for word in args if word.isdigit()}
    if len(wanted) != len(args):
        raise gdb.GdbError("a pid?")
    for process in kernel.list_entries(kernel.variable("processes", "proc/process.c"), "struct process", "all_link"):
        if not wanted or number(process["pid"]) in wanted:
            yield process


def title(process):
    return "process %d %s" % (number(process["pid"]), kernel.text(process["exe"]))


def areas(space):
    return kernel.tree_entries(space["areas"], "struct area", "node")


def area_at(space, address):
    node = number(space["areas"]["root"])
    left, right = kernel.offset("struct rb_node", "left"), kernel.offset("struct rb_node", "right")
    for _ in range(100):
        if not node:
            return None
        area = kernel.container(node, "struct area", "node")
        if address < number(area["lo"]):
            node = kernel.word(node + left)
        elif address >= number(area["hi"]):
            node = kernel.word(node + right)
        else:
            return area
    raise Broken("the tree of areas has no end")


def area_label(area):
    name = kernel.text(area["name"])
    if name or not number(area["object"]):
        return name
    return files.object_path(area["object"])


def protection(area):
    bits = number(area["prot"])
    return "".join(c if bits & bit else "-" for bit, c in ((1, "r"), (2, "w"), (4, "x")))


def show_vmas(args):
    for process in processes(args):
        try:
            print(title(process))
            if not number(process["space"]):
                print("  it has no address space any more")
                continue
            space = process["space"].dereference()
            print("  brk %#x, %d areas, %d pages mapped, %d locked" % (
                number(space["brk"]), number(space["area_count"]), number(space["pages_mapped"]),
                number(space["pages_locked"])))
            for area in areas(space):
                flags = ",".join(name for bit, name in AREA_FLAGS if number(area["flags"]) & bit)
                try:
                    label = area_label(area)
                except Broken as error:
                    label = "(%s)" % error
                print("  %#014x-%#014x %s %8x %s%s" % (number(area["lo"]), number(area["hi"]), protection(area),
                                                       number(area["off"]), label, " [%s]" % flags if flags else ""))
        except Broken as error:
            print("  %s" % error)


# ---- pages ----------------------------------------------------------------------------------------


def kib(pages):
    return "%d pages (%d KiB)" % (pages, pages * 4)


def listed(head, count):
    """Is the free list as long as it says? A text about what is wrong, or ''."""
    try:
        found = sum(1 for _ in kernel.list_entries(head, "struct page", "link"))
    except Broken as error:
        return " (%s)" % error
    return "" if found == count else " (the list has %d!)" % found


def show_pages(_):
    total, free = (number(kernel.variable(name, "mm/buddy.c")) for name in ("page_total", "buddy_free_pages"))
    lists, counts = kernel.variable("free_list", "mm/buddy.c"), kernel.variable("free_by_order", "mm/buddy.c")
    kinds = [f.name[5:].lower() for f in kernel.type_of("enum page_kind").fields()][:-1]
    hots, cpus = kernel.variable("hots", "mm/hotpages.c"), kernel.cpu_count()
    orders = counts.type.target().range()[1] + 1
    print("RAM: %s; free: %s, of which %d kept back" % (kib(total), kib(free), number(kernel.variable("buddy_reserve", "mm/buddy.c"))))
    print("%-6s %s" % ("order", "".join("%12s" % k for k in kinds)))
    for order in range(orders):
        row = [number(counts[k][order]) for k in range(len(kinds))]
        wrong = "".join(listed(lists[k][order], row[k]) for k in range(len(kinds)))
        print("%-6d %s%s" % (order, "".join("%12d" % n for n in row), wrong))
    chunks, opened = (number(kernel.variable(n, "mm/buddy.c")) for n in ("chunk_count", "chunk_next"))
    print("%d of %d chunks of 4 MiB opened" % (opened, chunks))
    for cpu in range(cpus):
        row = [number(hots[cpu]["list"][k]["count"]) for k in range(len(kinds))]
        print("CPU %d keeps %s" % (cpu, ", ".join("%d for %s" % pair for pair in zip(row, kinds))))
    used = kernel.variable("used_by_type", "mm/buddy.c")
    for field in kernel.type_of("enum page_type").fields():
        count = number(used[field.enumval]) + sum(number(hots[c]["used"][field.enumval]) for c in range(cpus))
        if count and field.name not in ("PAGE_FREE", "PAGE_TAIL"):
            print("used as %-8s %s" % (field.name[5:].lower(), kib(count)))
    accounts, names = kernel.variable("memory_accounts"), kernel.variable("memory_owner_names")
    low, high = accounts.type.range()
    for owner in range(low, high + 1):
        print("owner %-16s %6d objects %10d bytes" % (kernel.text(names[owner]), number(accounts[owner]["objects"]),
                                                     number(accounts[owner]["bytes"])))


# ---- kmalloc --------------------------------------------------------------------------------------


def ready_count(pool):
    return number(pool["limit"]) - number(pool["room"])


def show_heap(_):
    base, cpus = kernel.variable("slab_pools"), kernel.cpu_count()
    classes = kernel.type_of("struct pools")["pool"].type.range()[1] + 1
    print("%6s %8s %8s %8s %10s %10s" % ("bytes", "slabs", "in use", "ready", "allocated", "freed"))
    for c in range(classes):
        try:
            pools = [kernel.load(base[cpu]["pool"][c]) for cpu in range(cpus)]
            taken, given = (sum(number(p[n]) for p in pools) for n in ("taken", "given"))
            ready = sum(ready_count(p) for p in pools)
            print("%6d %8d %8d %8d %10d %10d" % (number(pools[0]["bytes"]), sum(number(p["slabs"]) for p in pools),
                                               taken - ready - given, ready, taken - ready, given))
            for cpu, pool in enumerate(pools):
                check_ready(cpu, pool)
        except Broken as error:
            print("  class %d: %s" % (c, error))


def check_ready(cpu, pool):
    """Follow the list of ready objects: an overwritten free object breaks it."""
    at, count, expected = number(pool["ready"]), 0, ready_count(pool)
    secret = number(kernel.variable("slab_secret"))
    while at and count <= expected:
        try:
            # link_read in mm/slab.h: hidden by the secret and the object's address, bytes turned round.
            key = secret ^ int.from_bytes(at.to_bytes(8, "little"), "big")
            at, count = kernel.word(at) ^ key, count + 1
        except Broken as error:
            raise Broken("CPU %d, the list of ready objects of %d bytes breaks after %d: %s" % (
                cpu, number(pool["bytes"]), count, error)) from error
    if count != expected:
        print("  CPU %d: %d objects of %d bytes are ready, %d should be" % (cpu, count, number(pool["bytes"]), expected))
