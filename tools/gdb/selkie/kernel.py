# SPDX-License-Identifier: BSD-3-Clause
"""
kernel.py - reading the kernel's data: variables, lists, trees, user memory.

The kernel may be broken when somebody looks: everything here raises Broken, which says what could
not be read, or stops at a limit. Commands catch it per line, so that one bad pointer costs one line.
"""

import gdb

LIST_LIMIT = 100000


class Broken(Exception):
    """Something could not be read; the text says what."""


def number(value):
    try:
        return int(value)
    except (gdb.error, OverflowError) as error:
        raise Broken(str(error)) from error


def type_of(name):
    try:
        return gdb.lookup_type(name)
    except gdb.error as error:
        raise Broken("no type %s: is this a selkie kernel with debug information?" % name) from error


def variable(name, where=None):
    """A global or static variable; `where`: the end of its file's name, if others have it, too."""
    try:
        for symbol in gdb.lookup_static_symbols(name):
            if symbol.is_variable and (where is None or symbol.symtab.filename.endswith(where)):
                return symbol.value()
        symbol = gdb.lookup_global_symbol(name)
        if symbol is not None:
            return symbol.value()
    except gdb.error as error:
        raise Broken("variable %s: %s" % (name, error)) from error
    raise Broken("no variable %s" % name)


def exists(name):
    return gdb.lookup_global_symbol(name) is not None or bool(gdb.lookup_static_symbols(name))


def address_of(name):
    """Of a function or assembly label; None if there is none."""
    try:
        return int(gdb.parse_and_eval("(unsigned long)&'%s'" % name))
    except gdb.error:
        return None


def pointer(address, type_name):
    return gdb.Value(address & (2**64 - 1)).cast(type_of(type_name).pointer())


def load(value):
    """Fetch now, so that what is unreadable is known now."""
    try:
        value.fetch_lazy()
        return value
    except gdb.error as error:
        raise Broken(str(error)) from error


def memory(address, size):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except (gdb.error, OverflowError) as error:
        raise Broken("cannot read %d bytes at %#x" % (size, address)) from error


def word(address):
    return int.from_bytes(memory(address, 8), "little")


def text(value, limit=255):
    """A char array or a char pointer as text."""
    try:
        if value.type.strip_typedefs().code == gdb.TYPE_CODE_ARRAY:
            raw = memory(int(value.address), value.type.sizeof)
            return raw.split(b"\0")[0].decode("utf-8", "replace")
        if int(value) == 0:
            return ""
        return value.string("utf-8", "replace", length=-1)[:limit]
    except (gdb.error, UnicodeError) as error:
        raise Broken(str(error)) from error


def container(address, type_name, member):
    """container_of."""
    return pointer(address - offset(type_name, member), type_name).dereference()


def offset(type_name, member):
    at = offset_in(type_of(type_name), member)
    if at is None:
        raise Broken("%s has no member %s" % (type_name, member))
    return at


def offset_in(structure, member):
    """In bytes, also inside members without a name; None if there is none."""
    for field in structure.strip_typedefs().fields():
        if field.name == member:
            return field.bitpos // 8
        if not field.name and (inner := offset_in(field.type, member)) is not None:
            return field.bitpos // 8 + inner
    return None


def list_entries(head, type_name, member):
    """The structures on a struct list. Ends with Broken where the list does."""
    if head.address is None:
        raise Broken("a list without an address")
    start, seen = int(head.address), 0
    back, at = start, number(head["next"])
    while at != start:
        if seen >= LIST_LIMIT:
            raise Broken("more than %d entries: the list at %#x runs in a ring" % (LIST_LIMIT, start))
        try:
            ahead, prev = word(at), word(at + 8)
        except Broken as error:
            raise Broken("the list at %#x breaks after %#x: %s" % (start, back, error)) from error
        if prev != back:
            raise Broken("the list at %#x: %#x does not point back to %#x" % (start, at, back))
        yield container(at, type_name, member)
        back, at, seen = at, ahead, seen + 1


def tree_entries(tree, type_name, member):
    """The structures in a struct rb_tree, in order."""
    stack, node, seen = [], number(tree["root"]), 0
    left, right = offset("struct rb_node", "left"), offset("struct rb_node", "right")
    while stack or node:
        while node:
            if seen > LIST_LIMIT or len(stack) > 200:
                raise Broken("a tree that has no end at %#x" % node)
            stack.append(node)
            node = word(node + left)
        node = stack.pop()
        seen += 1
        yield container(node, type_name, member)
        node = word(node + right)


def enum_name(type_name, value, prefix=""):
    for field in type_of(type_name).fields():
        if field.enumval == value:
            return field.name[len(prefix):] if field.name.startswith(prefix) else field.name
    return str(value)


def symbol_at(address):
    """A name for an address in the kernel, or ''."""
    try:
        line = gdb.execute("info symbol %#x" % address, to_string=True)
    except gdb.error:
        return ""
    return "" if line.startswith("No symbol") else line.split(" in section ")[0].strip()


def has_symbol(pc):
    return "<" in gdb.format_address(pc)


def functions_at(pc):
    """[(name, file)] of the functions whose code is at pc: the inlined ones, then who they are in."""
    try:
        block, found = gdb.block_for_pc(pc), []
    except gdb.error:
        return []
    while block is not None and not block.is_global:
        if block.function is not None:
            found.append((block.function.name, block.function.symtab.filename))
        block = block.superblock
    return found


def short_file(name):
    for top in ("/kernel/", "/platform/", "/hosted/"):
        if top in name:
            return top[1:] + name.rsplit(top, 1)[1]
    return name


# ---- the machine ----------------------------------------------------------------------------------


def aarch64():
    return "aarch64" in gdb.selected_inferior().architecture().name()


def hosted():
    return exists("hosted_vcpus")


def canonical(pc):
    """Without the signature that a return address may have (pointer authentication)."""
    return pc | 0xffff << 48 if aarch64() and pc >> 55 & 1 else pc


def cpu_count():
    if hosted():
        return number(variable("hosted_config")["cpu_count"])
    machine = variable("aarch64_cpus" if aarch64() else "x64_cpus")
    low, high = machine.type.range()
    count = 0
    while count <= high - low and number(machine[count]):
        count += 1
    return count


def machine_cpu(cpu):
    """The backend's own structure of a CPU."""
    if hosted():
        return variable("hosted_vcpus")[cpu]
    array = variable("aarch64_cpus" if aarch64() else "x64_cpus")
    if not number(array[cpu]):
        raise Broken("CPU %d has not come up" % cpu)
    return array[cpu].dereference()


def gdb_thread(cpu):
    """gdb's thread that shows what the CPU does; None if it has none."""
    threads = sorted(gdb.selected_inferior().threads(), key=lambda t: t.num)
    if hosted():
        tid = number(machine_cpu(cpu)["tid"])
        return next((t for t in threads if t.ptid[1] == tid), None)
    # QEMU and our own core files count from 1.
    return next((t for t in threads if t.ptid[1] == cpu + 1), threads[cpu] if cpu < len(threads) else None)


def in_user(pc):
    """Is it an address of program code?"""
    if hosted():
        config = variable("hosted_config")
        return not number(config["text_lo"]) <= pc < number(config["text_hi"]) and pc < 0x500000000000
    return 0 < pc < 1 << (48 if aarch64() else 47)


def physical(pa, size):
    """Bytes of RAM at a physical address, through the direct map."""
    return memory(direct_map() + pa, size)


def direct_map():
    if hosted():
        return number(variable("hosted_direct_map"))
    return 0xffff000000000000 if aarch64() else 0xffff888000000000


def page_walk(space, va):
    """(address of the byte in RAM, bits of the entry) of a user address, or None: not mapped."""
    table = number(space["hal"]["pt"]["root"])
    for level in (3, 2, 1, 0):
        entry = int.from_bytes(physical(table + (va >> 12 + 9 * level & 511) * 8, 8), "little")
        low = 1 << 12 + 9 * level
        if not entry & 1:
            return None
        mask = 0x0000fffffffff000 if aarch64() else 0x000ffffffffff000
        table = entry & mask
        is_table = level > 0 and (bool(entry & 2) if aarch64() else not entry & 0x80)
        if not is_table:
            return (table & ~(low - 1)) + (va & low - 1), entry
    return None


def user_memory(space, va, size):
    """Memory of a program, whether its address space is loaded or not."""
    out = b""
    while size > 0:
        part = min(size, 4096 - va % 4096)
        found = page_walk(space, va)
        if found is None:
            raise Broken("user address %#x is not mapped" % va)
        out += physical(found[0], part)
        va, size = va + part, size - part
    return out
