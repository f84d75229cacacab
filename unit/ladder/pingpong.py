# SPDX-License-Identifier: BSD-3-Clause
"""pingpong.py ROLE ROUNDS - one of two machines, "ping" and "pong", whose standard streams are connected: questions and checked answers, then
much data in both directions at once, then an hour of sleep."""
import hashlib
import os
import sys
import threading
import time

role, rounds = sys.argv[1], int(sys.argv[2])
out, inp = os.fdopen(os.dup(1), "wb", 0), os.fdopen(os.dup(0), "rb")


def say(*words):
    print(*words, file=sys.stderr, flush=True)


# Ping-pong: each answer is the hash of what came.
text = b"start"
began = time.monotonic()
for turn in range(rounds):
    if role == "ping":
        out.write(text.hex().encode() + b"\n")
        want = hashlib.sha256(text).digest()
        text = bytes.fromhex(inp.readline().decode())
        assert text == want, turn
    else:
        text = bytes.fromhex(inp.readline().decode())
        out.write(hashlib.sha256(text).digest().hex().encode() + b"\n")
if role == "ping":
    say("rounds", rounds, text.hex()[:16], "us", int((time.monotonic() - began) * 1e6))
# Both send a lot at the same time: more than fits into the pipes.
block = bytes(range(256)) * 37


def send():
    for _ in range(100):
        out.write(block)


thread = threading.Thread(target=send)
thread.start()
got = inp.read(100 * len(block))
thread.join()
say("got", len(got), got == block * 100)
time.sleep(3600)
say("woke", int(time.monotonic() - began) // 3600)
