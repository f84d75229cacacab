# SPDX-License-Identifier: BSD-3-Clause
"""
frames.py - back traces of threads that are not on a CPU, and across the entry into the kernel.

gdb sees CPUs, not the kernel's threads. Unwinders change that without writing a register, so it
works on a core file, too:

  View   while a thread is looked at (`selkie thread N`), the caller of gdb's frame 0 is where that
         thread gave up its CPU: its registers are on its kernel stack (hal_ctx_switch).
  Entry  code of entry.S has no unwind information. Where it calls C code, the stack pointer is at
         a struct isa_frame: the interrupted registers. In user code frame pointers are followed.
  Signed on AArch64 return addresses of the kernel are signed, and this gdb does not know the masks that
         take the signature off. So the kernel's frame records are followed, and registers that a
         function keeps for its caller are found where its first instructions have put them.

No unwinder may ask gdb anything that involves the selected frame: an expression's value, a command.
gdb asks the unwinders while it looks for just that frame (after `thread apply`, by its number and
id), would ask for the id of a frame whose id it is finding out, and abort.
"""

import gdb
from gdb.unwinder import Unwinder

from . import kernel
from .kernel import Broken, number

X64_SAVED = ("r15", "r14", "r13", "r12", "rbx", "rbp", "rip")
A64_SAVED = tuple("x%d" % i for i in range(19, 31))
X64_FRAME = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13",
             "r14", "r15", "rip", "rsp")
FRAMES_MAX = 64


def switched_out(thread):
    """Registers of a thread that is not on a CPU."""
    sp = number(thread["ctx"]["sp"])
    if not sp:
        raise Broken("its stack pointer was never saved")
    names = A64_SAVED if kernel.aarch64() else X64_SAVED
    raw = kernel.memory(sp, 8 * len(names))
    regs = {name: int.from_bytes(raw[8 * i:8 * i + 8], "little") for i, name in enumerate(names)}
    if kernel.aarch64():
        regs["pc"] = kernel.canonical(regs["x30"])
        regs["sp"] = sp + 96
    else:
        regs["rsp"] = sp + 8 * len(names)
    return regs


def isa_frame(at):
    """The registers in a struct isa_frame."""
    frame = kernel.load(kernel.pointer(at, "struct isa_frame").dereference())
    if kernel.aarch64():
        regs = {"x%d" % i: number(frame["x"][i]) for i in range(31)}
        regs["sp"], regs["pc"] = number(frame["sp"]), number(frame["pc"])
        return regs
    return {name: number(frame[name]) for name in X64_FRAME}


def pc_of(regs):
    return regs["pc"] if "pc" in regs else regs["rip"]


def sp_of(regs):
    return regs["sp"] if "sp" in regs else regs["rsp"]


def fp_of(regs):
    return regs["x29"] if "x29" in regs else regs["rbp"]


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = (gdb.Value(at & 2**64 - 1).cast(gdb.lookup_type("unsigned long")) for at in (sp, pc))


def unwind_to(pending, regs, frame_id):
    info = pending.create_unwind_info(frame_id)
    for name, value in regs.items():
        size = pending.read_register(name)
        info.add_saved_register(name, gdb.Value(value & 2**64 - 1).cast(size.type))
    return info


class View(Unwinder):
    """The thread that is looked at instead of what gdb's selected thread does."""

    def __init__(self):
        super().__init__("selkie-view")
        self.regs = self.of = None

    def show(self, regs):
        self.regs, self.of = regs, gdb.selected_thread().ptid
        gdb.invalidate_cached_frames()

    def drop(self, *_):
        if self.regs is not None:
            self.regs = self.of = None
            gdb.invalidate_cached_frames()

    def __call__(self, pending):
        if self.regs is None or pending.level() != 0:
            return None
        thread = gdb.selected_thread()
        if thread is None or thread.ptid != self.of:
            return None
        return unwind_to(pending, self.regs, FrameId(sp_of(self.regs) - 8, pc_of(self.regs)))


class Careful(Unwinder):
    """What cannot be read ends the back trace."""

    def __call__(self, pending):
        try:
            return self.unwind(pending)
        except (Broken, gdb.error):
            return None


class Entry(Careful):
    """From the C code that entry.S has called to what was interrupted, and on through user code."""

    def __init__(self):
        super().__init__("selkie-entry")

    def unwind(self, pending):
        a64 = kernel.aarch64()
        pc = number(pending.read_register("pc" if a64 else "rip")) & 2**64 - 1
        if kernel.in_user(pc):
            # With the program's symbols (add-symbol-file) gdb knows better.
            return None if kernel.has_symbol(pc) else self.user(pending, pc, a64)
        if pending.level() == 0 or pc == 0 or not in_entry(pc):
            return None
        sp = number(pending.read_register("sp" if a64 else "rsp")) & 2**64 - 1
        at = sp
        if a64 and number(pending.read_register("x29")) & 2**64 - 1 == sp:
            at += 16  # KERNEL_FRAME has put a frame record below it
        return unwind_to(pending, isa_frame(at), FrameId(sp, pc))

    def user(self, pending, pc, a64):
        """A leaf, or a function that has not set its frame up yet, hides its caller."""
        names = ("x29", "pc", "sp") if a64 else ("rbp", "rip", "rsp")
        fp, sp = (number(pending.read_register(n)) for n in (names[0], names[2]))
        regs = {names[0]: 0, names[1]: 0, names[2]: sp}
        if sp <= fp < sp + 2**20 and fp % 8 == 0:
            try:
                regs = {names[0]: kernel.word(fp), names[1]: kernel.word(fp + 8), names[2]: fp + 16}
            except Broken:
                pass
        return unwind_to(pending, regs, FrameId(sp, pc))


class Signed(Careful):
    """Kernel code on AArch64."""

    def __init__(self):
        super().__init__("selkie-signed")

    def unwind(self, pending):
        if not kernel.aarch64():
            return None
        pc, sp, fp = (number(pending.read_register(name)) & 2**64 - 1 for name in ("pc", "sp", "x29"))
        inner = pending.level() == 0
        if pc == 0 or kernel.in_user(pc) or in_entry(pc if inner else pc - 1):
            return None
        block = gdb.block_for_pc(pc if inner else pc - 1)
        while block is not None and (block.function is None or block.superblock.function is not None):
            block = block.superblock
        if block is None:
            return None
        base, saved = saved_registers(block.start, pc)
        if base is None:  # no frame (yet): a leaf, or the first instructions
            regs = {"pc": kernel.canonical(number(pending.read_register("x30")) & 2**64 - 1), "sp": sp, "x29": fp}
            regs.update({"x%d" % i: number(pending.read_register("x%d" % i)) & 2**64 - 1 for i in range(19, 29)})
            return unwind_to(pending, regs, FrameId(sp, block.start))
        ahead, back = kernel.word(fp), kernel.canonical(kernel.word(fp + 8))
        if back == 0:
            return None
        regs = {"pc": back, "x29": ahead, "x30": back, "sp": ahead if ahead > fp else fp + 16}
        for i in range(19, 29):
            name = "x%d" % i
            regs[name] = kernel.word(fp - base + saved[i]) if i in saved else number(pending.read_register(name)) & 2**64 - 1
        return unwind_to(pending, regs, FrameId(fp, block.start))


def saved_registers(start, pc):
    """(where the frame record is, {register: where it is}), from the stack pointer behind the prologue, by the
    instructions of the function up to pc; (None, {}): it has made no frame (Arm DDI 0487, C6.2: STP, STR)."""
    raw = kernel.memory(start, max(0, min(pc - start, 64 * 4)))
    base, saved = None, {}
    for at in range(0, len(raw) - 3, 4):
        insn = int.from_bytes(raw[at:at + 4], "little")
        first, second = insn & 31, insn >> 10 & 31
        offset = (insn >> 15 & 127) * 8
        offset -= 1024 if offset >= 512 else 0
        if insn & 0xffc07fff == 0xa9807bfd:  # stp x29, x30, [sp, #-n]!
            base = 0
        elif insn & 0xffc07fff == 0xa9007bfd:  # stp x29, x30, [sp, #n]
            base = offset
        elif insn & 0xffc003e0 == 0xa90003e0:  # stp first, second, [sp, #n]
            saved.setdefault(first, offset)
            saved.setdefault(second, offset + 8)
        elif insn & 0xffc003e0 == 0xf90003e0:  # str first, [sp, #n]
            saved.setdefault(first, (insn >> 10 & 4095) * 8)
    return base, saved


def in_entry(pc):
    symtab = gdb.find_pc_line(pc - 1).symtab
    return symtab is not None and symtab.filename.endswith(("/entry.S", "/ring3.S"))


view, signed, entry = View(), Signed(), Entry()
for unwinder in (signed, entry, view):  # the last one is asked first
    gdb.unwinder.register_unwinder(None, unwinder, True)
for event in (gdb.events.cont, gdb.events.exited):
    event.connect(view.drop)


def chain(regs, read, limit=FRAMES_MAX):
    """Program counters by frame pointers: the first is where it is, the others return addresses."""
    pc, fp = pc_of(regs), fp_of(regs)
    yield pc
    for _ in range(limit):
        if fp < 4096 or fp % 8:
            return
        try:
            raw = read(fp, 16)
        except Broken:
            return
        ahead, pc = int.from_bytes(raw[:8], "little"), kernel.canonical(int.from_bytes(raw[8:], "little"))
        if pc < 4096:
            return
        yield pc - 1
        if not fp < ahead <= fp + 2**20:
            return
        fp = ahead


def kernel_frames(first):
    """gdb's frames from `first` on, as long as they are the kernel's."""
    frame, out = first, []
    while frame is not None and len(out) < FRAMES_MAX:
        try:
            pc = frame.pc()
            if kernel.in_user(pc) or pc == 0:
                break
            out.append(frame)
            frame = frame.older()
        except gdb.error as error:
            raise Broken("the back trace ends: %s" % error) from error
    return out


def describe(index, frame):
    name = frame.name() or kernel.symbol_at(frame.pc()) or "??"
    sal = frame.find_sal()
    where = " at %s:%d" % (kernel.short_file(sal.symtab.filename), sal.line) if sal and sal.symtab and sal.line else ""
    inline = " (inlined)" if frame.type() == gdb.INLINE_FRAME else ""
    return "  #%-2d %#018x %s%s%s" % (index, frame.pc(), name, inline, where)
