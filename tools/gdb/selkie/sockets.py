# SPDX-License-Identifier: BSD-3-Clause
"""sockets.py - sockets of all address families; so far there is AF_UNIX (kernel/net/unix.h)."""

from . import kernel
from .kernel import Broken, number

TYPES = {1: "stream", 2: "dgram", 5: "seqpacket"}
SHUT = ("", " shut for receiving", " shut for sending", " shut")


def unix_address(name):
    """A struct unix_name *: a path, or @ and the bytes of an abstract one."""
    if not number(name):
        return "-"
    length, raw = number(name["name"]["len"]), kernel.memory(int(name["name"]["bytes"].address), 110)
    raw = raw[2:length]
    if raw[:1] == b"\0":
        return "@" + raw[1:].decode("utf-8", "replace")
    return raw.split(b"\0")[0].decode("utf-8", "replace")


def socket_line(sock):
    base = sock["base"]
    state = kernel.enum_name("enum unix_state", number(sock["state"]), "UNIX_").lower()
    words = "%6d %-9s %-10s %s" % (number(base["ino"]), TYPES.get(number(base["type"]), "?"), state, unix_address(sock["name"]))
    if number(sock["waiting"]):
        words += ", %d %s, %d bytes unread" % (number(sock["waiting"]), "connections" if state == "listening" else "messages",
                                              number(sock["unread"]))
    if number(sock["peer"]):
        words += ", peer %d" % number(sock["peer"]["base"]["ino"])
    if number(sock["charged"]):
        words += ", %d bytes on their way" % number(sock["charged"])
    if number(base["error"]):
        words += ", error %d" % number(base["error"])
    return words + SHUT[number(base["shut"]) & 3] + (", closed" if number(sock["dead"]) else "")


def show_sockets(_):
    print("%6s %-9s %-10s %s" % ("inode", "type", "state", "address"))
    for sock in kernel.list_entries(kernel.variable("all", "net/unix_name.c"), "struct unix_sock", "all_link"):
        try:
            print(socket_line(sock))
        except Broken as error:
            print("%#x: %s" % (int(sock.address), error))
