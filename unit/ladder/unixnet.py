# SPDX-License-Identifier: BSD-3-Clause
"""unixnet - Python over AF_UNIX sockets: asyncio's streams with many clients, socketserver with
threads and with datagrams, and files passed on. Prints what it has counted."""
import asyncio
import os
import socket
import socketserver
import tempfile
import threading

folder = tempfile.mkdtemp(prefix="unixnet-")
name = os.path.join(folder, "sock")


async def echo(reader, writer):
    while data := await reader.read(10000):
        writer.write(data)
        await writer.drain()
    writer.close()


async def client(number):
    reader, writer = await asyncio.open_unix_connection(name)
    out = bytes((number + i * 31) & 255 for i in range(1 + number * 7919 % 60000))

    async def send():
        writer.write(out)
        await writer.drain()
        writer.write_eof()

    _, got = await asyncio.gather(send(), reader.read())
    assert got == out
    writer.close()
    return len(got)


async def streams():
    server = await asyncio.start_unix_server(echo, name)
    sizes = await asyncio.gather(*(client(i) for i in range(40)))
    print("asyncio:", len(sizes), "clients,", sum(sizes), "bytes")
    server.close()
    await server.wait_closed()
    os.unlink(name)
    try:
        await asyncio.open_unix_connection(name)
    except FileNotFoundError as e:
        print("after close:", e.strerror)


class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


class Count(socketserver.DatagramRequestHandler):
    def handle(self):
        self.wfile.write(b"%d" % len(self.rfile.read()))


def ask(number, answers):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(name)
        with s.makefile("rw") as f:
            print("line", number, file=f, flush=True)
            answers[number] = f.readline().strip()


def servers():
    with socketserver.ThreadingUnixStreamServer(name, Upper) as server:
        threading.Thread(target=server.serve_forever).start()
        answers = {}
        threads = [threading.Thread(target=ask, args=(i, answers)) for i in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        print("socketserver:", all(answers[i] == f"LINE {i}" for i in range(20)))
        server.shutdown()
    os.unlink(name)
    with socketserver.UnixDatagramServer(name, Count) as server:
        threading.Thread(target=server.serve_forever).start()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(name + ".client")
            for size in (0, 1, 1000, 8000):
                s.sendto(b"x" * size, name)
                print("datagram:", s.recv(100))
        server.shutdown()


def files():
    a, b = socket.socketpair()
    with open(os.path.join(folder, "file"), "w+") as f:
        print("through a socket", file=f, flush=True)
        socket.send_fds(a, [b"x"], [f.fileno()])
    _, (fd,), _, _ = socket.recv_fds(b, 1, 1)
    with os.fdopen(fd) as f:
        f.seek(0)
        print("file:", f.read().strip())


asyncio.run(streams())
servers()
files()
