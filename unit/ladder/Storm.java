// SPDX-License-Identifier: BSD-3-Clause
// Storm - 200 threads that take locks in turn, a bounded queue with conditions, parallel streams, and
// garbage enough for many collections of a small heap. Every total is checked, so the text is the same
// wherever it runs.
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

public final class Storm {
    static final int THREADS = 200, TURNS = 50;

    static final class Queue {
        private final ArrayDeque<Integer> items = new ArrayDeque<>();
        private final ReentrantLock lock = new ReentrantLock();
        private final Condition room = lock.newCondition(), filled = lock.newCondition();

        void put(int item) throws InterruptedException {
            lock.lock();
            try {
                while (items.size() == 16)
                    room.await();
                items.add(item);
                filled.signal();
            } finally {
                lock.unlock();
            }
        }

        int take() throws InterruptedException {
            lock.lock();
            try {
                while (items.isEmpty())
                    filled.await();
                room.signal();
                return items.remove();
            } finally {
                lock.unlock();
            }
        }
    }

    static int monitor;
    static final Object gate = new Object();

    static void locks() throws Exception {
        List<Thread> threads = new ArrayList<>();
        CountDownLatch ready = new CountDownLatch(THREADS);
        AtomicLong atomic = new AtomicLong();

        for (int i = 0; i < THREADS; i++) {
            Thread thread = new Thread(() -> {
                ready.countDown();
                try {
                    ready.await();
                } catch (InterruptedException e) {
                    return;
                }
                for (int turn = 0; turn < TURNS; turn++) {
                    synchronized (gate) {
                        monitor++;
                    }
                    atomic.incrementAndGet();
                    if (turn % 16 == 0)
                        Thread.yield();
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads)
            thread.join();
        System.out.println("locks " + monitor + " " + atomic);
    }

    static void conditions() throws Exception {
        Queue queue = new Queue();
        AtomicLong sum = new AtomicLong();
        List<Thread> threads = new ArrayList<>();

        for (int i = 0; i < THREADS; i++) {
            int number = i;
            Thread thread = new Thread(() -> {
                try {
                    for (int turn = 0; turn < TURNS; turn++) {
                        if (number % 2 == 0)
                            queue.put(turn);
                        else
                            sum.addAndGet(queue.take());
                    }
                } catch (InterruptedException e) {
                    sum.set(-1);
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads)
            thread.join();
        System.out.println("conditions " + sum);
    }

    static void streams() {
        System.out.println("streams " + IntStream.range(0, 200_000).parallel().filter(i -> i % 7 == 0).asLongStream().sum() + " "
                + LongStream.rangeClosed(1, 20).parallel().reduce(1, (a, b) -> a * b));
    }

    /* Some 200 MiB of short-lived objects, and a few that live on. */
    static void garbage() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<Long>> results = new ArrayList<>();
        long sum = 0;

        for (int job = 0; job < 32; job++) {
            int seed = job;
            results.add(pool.submit(() -> {
                List<byte[]> kept = new ArrayList<>();
                long total = 0;
                for (int i = 0; i < 2000; i++) {
                    byte[] bytes = new byte[3000 + (i * 31 + seed) % 500];
                    bytes[i % bytes.length] = (byte) i;
                    total += bytes.length;
                    if (i % 100 == 0)
                        kept.add(bytes);
                }
                return total + kept.size();
            }));
        }
        for (Future<Long> result : results)
            sum += result.get();
        pool.shutdown();
        System.out.println("garbage " + sum + " " + pool.awaitTermination(60, TimeUnit.SECONDS));
    }

    public static void main(String[] args) throws Exception {
        locks();
        conditions();
        streams();
        garbage();
        Thread thread = new Thread(() -> {
            throw new IllegalStateException("on purpose");
        }, "last");
        thread.setUncaughtExceptionHandler((t, e) -> System.out.println(t.getName() + ": " + e.getMessage()));
        thread.start();
        thread.join();
        System.exit(7);
    }
}
