# SPDX-License-Identifier: BSD-3-Clause
"""threads.py - threads, their back traces, the run queues, and who holds or waits for locks."""

import gdb

from . import frames, kernel
from .kernel import Broken, number

SCHEDULER = ("kernel/sched/", "/ctx.c", "kernel/core/", "entry.S", "ring3.S", "hal_inline.h")


class Thread:
    """A struct thread, with what the commands want to know of it. `label` is what people call it by."""

    def __init__(self, value, ordinal):
        self.value = value
        self.address = int(value.address)
        self.task = None
        self.cpu = None  # the CPU that executes it
        self.label = "k%d" % ordinal
        try:
            if number(value["fp_block"]):
                self.task = kernel.pointer(self.address, "struct task").dereference()
                self.label = str(number(self.task["tid"]))
        except Broken:
            pass

    def name(self):
        return kernel.text(self.value["name"])

    def home(self):
        cpu = number(self.value["head"]["cpu"])
        return number(kernel.pointer(cpu, "struct cpu")["id"]) if cpu else None

    def state(self):
        if self.cpu is not None:
            return "running"
        state = kernel.enum_name("enum thread_state", number(self.value["state"]), "THREAD_").lower()
        if state == "sleeping":
            return "sleeping" if number(self.value["interruptible"]) else "sleeping!"
        if number(self.value["queued"]):
            return "ready"
        return state

    def registers(self):
        """Where its kernel code is; None on a CPU: gdb's thread of that CPU says it."""
        return None if self.cpu is not None else frames.switched_out(self.value)

    def user_registers(self):
        """As they were at the entry into the kernel; None if it is no program's thread."""
        if self.task is None:
            return None
        context = self.value["ctx"]
        if kernel.hosted():
            top = number(context["stack"]) + number(context["size"]) & ~15
        else:
            top = number(context["stack_top"])
        regs = frames.isa_frame(top - kernel.type_of("struct isa_frame").sizeof)
        return regs if kernel.in_user(frames.pc_of(regs)) else None


def all_threads():
    """[Thread] and a line about what could not be read, or None."""
    found, complaint, seen, ordinal = [], None, set(), 0
    contexts = {}
    for cpu in range(kernel.cpu_count()):
        try:
            contexts[number(kernel.machine_cpu(cpu)["ctx"])] = cpu
        except Broken:
            pass

    def add(value):
        nonlocal ordinal
        if int(value.address) in seen:
            return
        seen.add(int(value.address))
        thread = Thread(value, ordinal)
        ordinal += thread.task is None
        thread.cpu = contexts.get(int(value["ctx"].address))
        found.append(thread)

    try:
        for cpu in range(kernel.cpu_count()):
            idle = number(kernel.variable("cpus", "core/percpu.c")[cpu]["idle"])
            if idle:
                add(kernel.pointer(idle, "struct thread").dereference())
        for value in kernel.list_entries(kernel.variable("all_threads"), "struct thread", "all_link"):
            add(value)
    except Broken as error:
        complaint = "not all threads can be listed: %s" % error
    return found, complaint


def find(word):
    """The thread that `word` names: a tid, kN, an address, or a name."""
    threads, _ = all_threads()
    for thread in threads:
        if thread.label == word:
            return thread
    for thread in threads:
        try:
            if thread.name() == word or "%#x" % thread.address == word:
                return thread
        except Broken:
            pass
    raise gdb.GdbError("no thread %s; `selkie threads` lists them" % word)


# ---- what it waits for ----------------------------------------------------------------------------


def kernel_chain(thread):
    """Program counters of its kernel code; a thread on a CPU: by gdb's frames."""
    if thread.cpu is None:
        return list(frames.chain(thread.registers(), kernel.memory))
    with OnCpu(thread.cpu):
        return [f.pc() - (i > 0) for i, f in enumerate(frames.kernel_frames(gdb.newest_frame()))]


def place(thread):
    """Functions outside the scheduler, the innermost and the system call's: where it waits."""
    names = []
    for pc in kernel_chain(thread):
        names += [n for n, where in kernel.functions_at(pc) if not any(part in where for part in SCHEDULER)]
    if not names:
        return kernel.symbol_at(number(thread.value["fn"])).split(" ")[0]
    call = next((n for n in names if n.startswith("sys_")), names[-1])
    return names[0] if call == names[0] else "%s < %s" % (names[0], call)


def mutex_of_pi(pi):
    """The struct mutex around a struct pi, or None: a futex, for instance."""
    mutex = kernel.container(pi, "struct mutex", "pi")
    rank, owner = number(mutex["rank"]), number(mutex["owner"]) & ~1
    known = 0 < rank < number(gdb.parse_and_eval("RANK_SLEEP_LAST")) + 1
    return mutex if known and owner in (0, number(mutex["pi"]["owner"])) else None


def thread_label(address, threads):
    match = next((t for t in threads if t.address == address), None)
    if match is None:
        return "%#x (no thread)" % address
    return "%s (%s)" % (match.label, match.name())


def waits_for(thread, threads):
    words = []
    waiter = number(thread.value["pi_waits"])
    if waiter:
        pi = number(kernel.pointer(waiter, "struct pi_waiter")["pi"])
        mutex = mutex_of_pi(pi)
        owner = number(kernel.pointer(pi, "struct pi")["owner"])
        words.append("%s%s" % (lock_text(int(mutex.address)) if mutex is not None else "futex",
                               " of " + thread_label(owner, threads) if owner else ""))
    if thread.cpu is None and number(thread.value["state"]) == number(gdb.parse_and_eval("THREAD_SLEEPING")):
        words.append(place(thread))
        if number(thread.value["sleep_timer"]["queue"]):
            words.append("until %.6f s" % (number(thread.value["sleep_timer"]["deadline_ns"]) / 1e9))
    elif thread.cpu is not None:
        words.append("CPU %d" % thread.cpu)
    return ", ".join(w for w in words if w)


def show_threads(_):
    threads, complaint = all_threads()
    print("  %-7s %-16s %-10s %3s  %s" % ("tid", "name", "state", "CPU", "waits for, or runs on"))
    for thread in threads:
        try:
            home = thread.home()
            line = "%-16s %-10s %3s  " % (thread.name(), thread.state(), "-" if home is None else home)
            try:
                line += waits_for(thread, threads)
            except Broken as error:
                line += "(%s)" % error
        except Broken as error:
            line = "%#x: %s" % (thread.address, error)
        print("%s %-7s %s" % ("*" if thread.cpu is not None else " ", thread.label, line))
    if complaint:
        print(complaint)


# ---- back traces ----------------------------------------------------------------------------------


class OnCpu:
    """gdb's thread of a CPU selected for a while, and no view."""

    def __init__(self, cpu):
        self.thread, self.before = kernel.gdb_thread(cpu), gdb.selected_thread()
        if self.thread is None:
            raise Broken("gdb does not see CPU %d" % cpu)

    def __enter__(self):
        frames.view.drop()
        self.thread.switch()

    def __exit__(self, *_):
        if self.before is not None and self.before.is_valid():
            self.before.switch()


class Viewing:
    """The view of a thread for a while."""

    def __init__(self, thread):
        self.regs = thread.registers()

    def __enter__(self):
        self.before = (frames.view.regs, frames.view.of)
        frames.view.show(self.regs)

    def __exit__(self, *_):
        frames.view.regs, frames.view.of = self.before
        gdb.invalidate_cached_frames()


def print_kernel(first):
    for index, frame in enumerate(frames.kernel_frames(first)):
        print(frames.describe(index, frame))


def area_name(space, pc):
    from . import memory
    area = memory.area_at(space, pc)
    if area is None:
        return "?"
    name = memory.area_label(area)
    return "%s+%#x" % (name or "[anonymous]", pc - number(area["lo"]) + number(area["off"]))


def print_user(thread, regs):
    if not number(thread.value["space"]):
        return
    space = thread.value["space"].dereference()
    print("  -- user code")
    for index, pc in enumerate(frames.chain(regs, lambda at, size: kernel.user_memory(space, at, size))):
        try:
            where = area_name(space, pc)
        except Broken as error:
            where = "(%s)" % error
        if where == "?" and index:
            break  # no frame pointers here: this was data
        print("  #%-2d %#018x %s" % (index, pc, where))


def gdb_registers():
    frame = gdb.newest_frame()
    names = ("pc", "sp", "x29") if kernel.aarch64() else ("rip", "rsp", "rbp")
    return {name: number(frame.read_register(name)) for name in names}


def trace(thread):
    if thread.cpu is None:
        with Viewing(thread):
            print_kernel(gdb.newest_frame().older())
        user = thread.user_registers()
    else:
        with OnCpu(thread.cpu):
            regs = gdb_registers()
            if kernel.in_user(frames.pc_of(regs)):
                user = regs
            else:
                print_kernel(gdb.newest_frame())
                user = thread.user_registers()
    if user:
        print_user(thread, user)


def show_traces(args):
    """bt ALL | bt [THREAD...]"""
    if not args:
        raise gdb.GdbError("selkie bt ALL, or selkie bt THREAD...")
    complaint = None
    if args == ["ALL"]:
        threads, complaint = all_threads()
    else:
        threads = [find(word) for word in args]
    for thread in threads:
        try:
            print("thread %s %s (%s)" % (thread.label, thread.name(), thread.state()))
            trace(thread)
        except (Broken, gdb.error) as error:
            print("  cannot go on: %s" % error)
    if complaint:
        print(complaint)


def look_at(args):
    """thread N: gdb's own commands (bt, up, info locals ...) are about that thread from now on."""
    if not args:
        frames.view.drop()
        return
    thread = find(args[0])
    frames.view.drop()
    try:
        if thread.cpu is not None:
            on = kernel.gdb_thread(thread.cpu)
            if on is None:
                raise Broken("gdb does not see CPU %d" % thread.cpu)
            on.switch()
            print("thread %s %s runs on CPU %d" % (thread.label, thread.name(), thread.cpu))
        else:
            frames.view.show(thread.registers())
            print("thread %s %s: frame 1 is where it gave up its CPU (frame 0 is what the CPU does); "
                  "`selkie thread` ends the view" % (thread.label, thread.name()))
            gdb.newest_frame().older().select()
        gdb.execute("frame")
    except Broken as error:
        raise gdb.GdbError(str(error)) from error


# ---- run queues -----------------------------------------------------------------------------------


def queue_line(thread, threads):
    return "%s vruntime %d ns" % (thread_label(int(thread.address), threads), number(thread["vruntime"]))


def show_cpu_queue(cpu, threads):
    structure = kernel.variable("cpus", "core/percpu.c")[cpu]
    at = number(structure["rq"])
    if not at:
        print("CPU %d: not up" % cpu)
        return
    queue = structure["rq"].dereference()
    print("CPU %d: runs %s; %d waiting, %d switches%s%s" % (
        cpu, thread_label(number(queue["current"]), threads), number(queue["queued"]), number(queue["switches"]),
        ", in an interrupt" if number(structure["irq_depth"]) else "", ", idle" if number(queue["idling"]) else ""))
    bits = [number(queue["rt_bits"][i]) for i in (0, 1)]
    for priority in range(99, -1, -1):
        if bits[priority // 64] >> priority % 64 & 1:
            for thread in kernel.list_entries(queue["rt"][priority], "struct thread", "run_link"):
                print("  real time %2d: %s" % (priority, thread_label(int(thread.address), threads)))
    for thread in kernel.tree_entries(queue["fair"], "struct thread", "run_node"):
        print("  fair: %s" % queue_line(thread, threads))
    waiting, seen = number(queue["inbox"]) & ~1, 0
    while waiting and seen < kernel.LIST_LIMIT:
        print("  in its inbox: %s" % thread_label(waiting, threads))
        waiting, seen = number(kernel.pointer(waiting, "struct thread")["wake_next"]), seen + 1


def show_queues(_):
    threads, complaint = all_threads()
    for cpu in range(kernel.cpu_count()):
        try:
            show_cpu_queue(cpu, threads)
        except Broken as error:
            print("CPU %d: %s" % (cpu, error))
    if complaint:
        print(complaint)


# ---- locks ----------------------------------------------------------------------------------------


def lock_text(address, rank=None):
    name = kernel.symbol_at(address)
    if rank is None:
        rank = number(kernel.pointer(address, "struct mutex")["rank"])
    rank = kernel.enum_name("enum lock_rank", rank, "RANK_")
    return "%s %s" % (rank, name if name else "%#x" % address)


def held_by(thread):
    """Debug builds note every lock; otherwise only those that somebody waits for are known."""
    head = thread.value["head"]
    for i in range(min(number(head["held_count"]), 16)):
        yield lock_text(number(head["held"][i]), number(head["held_rank"][i]))
    if number(head["held_count"]):
        return
    for pi in kernel.list_entries(thread.value["pi_held"], "struct pi", "held"):
        mutex = mutex_of_pi(int(pi.address))
        yield lock_text(int(mutex.address)) if mutex is not None else "futex"


def waiters_of(pi, threads):
    for waiter in kernel.list_entries(pi["waiters"], "struct pi_waiter", "link"):
        yield thread_label(number(waiter["thread"]), threads)


def show_locks(_):
    threads, complaint = all_threads()
    any_lock = False
    for thread in threads:
        try:
            lines = ["  holds %s" % text for text in held_by(thread)]
            if number(thread.value["pi_waits"]):
                lines.append("  waits for %s" % waits_for(thread, threads))
            for pi in kernel.list_entries(thread.value["pi_held"], "struct pi", "held"):
                lines.append("  is waited for by %s" % ", ".join(waiters_of(pi, threads)))
        except Broken as error:
            lines = ["  (%s)" % error]
        if lines:
            any_lock = True
            print("thread %s %s" % (thread.label, thread.name()))
            print("\n".join(lines))
    if not any_lock:
        print("no thread holds a lock that is known, or waits for one")
    if not debug_build():
        print("(this build does not note held locks: only those that somebody waits for are known)")
    if complaint:
        print(complaint)


def debug_build():
    """Are locks noted? Then core/spinlock.c has code for it."""
    return kernel.address_of("lock_check_acquire") is not None
