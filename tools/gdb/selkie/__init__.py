# SPDX-License-Identifier: BSD-3-Clause
"""
selkie - gdb commands that know the kernel (docs/debugging.md): `selkie help`.

They read memory and nothing else, so that they work on a running kernel, on a machine that stands
at a breakpoint or has panicked, and on a core file.
"""

import gdb

from . import files, kernel, log, memory, sockets, threads

COMMANDS = (
    ("threads", "", "every thread: name, state, CPU, what it waits for", threads.show_threads),
    ("bt", "ALL | THREAD...", "back traces, user code apart", threads.show_traces),
    ("thread", "[THREAD]", "let gdb's commands be about that thread; nothing: about the CPU again", threads.look_at),
    ("locks", "", "who holds and who waits for which lock", threads.show_locks),
    ("runq", "", "what each CPU runs and who waits for it", threads.show_queues),
    ("vmas", "[PID...]", "areas of address spaces", memory.show_vmas),
    ("pages", "", "free lists of the page allocator, what pages are used for", memory.show_pages),
    ("heap", "", "the pools behind kmalloc, by size", memory.show_heap),
    ("files", "[PID...]", "descriptors", files.show_files),
    ("sockets", "", "sockets: address, state, what waits in them", sockets.show_sockets),
    ("trace", "[EVENTS]", "what the CPUs did last", log.show_trace),
    ("log", "[LINES]", "the kernel's messages", log.show_log),
)


def show_help(_=None):
    for name, words, what, _function in COMMANDS:
        print("selkie %-22s %s" % (name + (" " + words if words else ""), what))
    print("THREAD is what `selkie threads` shows first (a tid, or kN), a name, or an address.")


class Selkie(gdb.Command):
    """Commands that know the kernel: selkie help."""

    def __init__(self):
        super().__init__("selkie", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if not words or words[0] == "help":
            show_help()
            return
        function = next((c[3] for c in COMMANDS if c[0] == words[0]), None)
        if function is None:
            raise gdb.GdbError("no such command: selkie help")
        try:
            function(words[1:])
        except kernel.Broken as error:
            raise gdb.GdbError(str(error)) from error

    def complete(self, argument, word):
        return [c[0] for c in COMMANDS if c[0].startswith(word)] if " " not in argument else gdb.COMPLETE_NONE


Selkie()
