# SPDX-License-Identifier: BSD-3-Clause
"""threads - threading and concurrent.futures: locks, conditions, barriers, queues, timers, pools."""
import concurrent.futures as futures
import hashlib
import queue
import threading

total = 0
lock = threading.Lock()


def add(times):
    global total
    for _ in range(times):
        with lock:
            total += 1


threads = [threading.Thread(target=add, args=(200,)) for _ in range(64)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("lock", total)

work, results = queue.Queue(8), queue.Queue()


def consumer():
    while (item := work.get()) is not None:
        results.put(item * item)


consumers = [threading.Thread(target=consumer) for _ in range(8)]
for thread in consumers:
    thread.start()
for item in range(500):
    work.put(item)
for thread in consumers:
    work.put(None)
for thread in consumers:
    thread.join()
print("queue", sum(results.queue))

barrier = threading.Barrier(8)
order = []


def meet():
    for turn in range(10):
        if barrier.wait(60) == 0:
            order.append(turn)


crowd = [threading.Thread(target=meet) for _ in range(8)]
for thread in crowd:
    thread.start()
for thread in crowd:
    thread.join()
print("barrier", order)

condition, state = threading.Condition(), []


def sleeper(number):
    with condition:
        condition.wait_for(lambda: len(state) == number, 60)
        state.append(number)
        condition.notify_all()


chain = [threading.Thread(target=sleeper, args=(n,)) for n in reversed(range(20))]
for thread in chain:
    thread.start()
for thread in chain:
    thread.join()
print("condition", state)

fired = threading.Event()
threading.Timer(0.01, fired.set).start()
print("timer", fired.wait(60))

with futures.ThreadPoolExecutor(max_workers=16) as pool:
    digests = list(pool.map(lambda n: hashlib.sha256(bytes([n]) * 100000).hexdigest()[:8], range(40)))
    late = pool.submit(lambda: 1 / 0)
    done, rest = futures.wait([pool.submit(pow, 3, n, 1000003) for n in range(50)])
    print("pool", hashlib.sha256("".join(digests).encode()).hexdigest()[:16])
    print("futures", sorted(f.result() for f in done)[:5], len(rest), type(late.exception()).__name__)
raise SystemExit(3)
