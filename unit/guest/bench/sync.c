/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench/sync - what threads cost: `sync [WHAT]` prints "sync-WHAT N ns", the fastest of many
 * batches (the median where that says more).
 *
 *   futex1   a round trip between two threads through two futexes, both on one CPU
 *   futex2   the same, each thread on its own CPU
 *   yield    sched_yield with two threads on one CPU, for each change of threads (Linux 6.1 goes
 *            on with the same one, dozens of times)
 *   create   pthread_create and pthread_join of a thread that does nothing
 *   lock     an uncontended pthread mutex, lock and unlock
 *   mutex    two threads, one pthread mutex, 100 loops inside: per section
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static cpu_set_t all_cpus;

static void unpin(void)
{
    if (sched_setaffinity(0, sizeof all_cpus, &all_cpus))
        fail("sched_setaffinity");
}

static void pin(int index)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all_cpus) && index-- == 0)
            CPU_SET(cpu, &one);
    if (CPU_COUNT(&one) == 0 || sched_setaffinity(0, sizeof one, &one))
        fail("sched_setaffinity");
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* ---- futex round trips ---- */

/* Short: a batch should fit between two interruptions by other programs of the host. */
enum { TRIPS = 200, BATCHES = 40, WINDOWS = 16, PAUSE_US = 20000 };
#define WINDOWS_NS 1000000000ll
static struct {
    int word __attribute__((aligned(128)));
} ball[2];
static int second_cpu, stop;

static void post(int *word)
{
    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void await(int *word)
{
    while (!__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void *echo(void *arg)
{
    (void)arg;
    pin(second_cpu);
    for (;;) {
        await(&ball[0].word);
        if (__atomic_load_n(&stop, __ATOMIC_RELAXED))
            return NULL;
        post(&ball[1].word);
    }
}

/* The median: in the fastest batches the two happen to run in step and never sleep. */
static double window(void)
{
    static int64_t took[BATCHES];
    for (int batch = 0; batch < BATCHES; batch++) {
        int64_t start = now();
        for (int i = 0; i < TRIPS; i++) {
            post(&ball[0].word);
            await(&ball[1].word);
        }
        took[batch] = now() - start;
    }
    qsort(took, BATCHES, sizeof took[0], ascending);
    return (double)took[BATCHES / 2] / TRIPS;
}

/* The least of several windows, some time apart: what shares the host's core (the other
 * hyperthread) comes and goes within tenths of a second. */
static double futex_trip(void)
{
    double best = 1e9;
    int64_t end = now() + WINDOWS_NS;
    pthread_t thread;
    pin(0);
    if (pthread_create(&thread, NULL, echo, NULL))
        fail("pthread_create");
    for (int i = 0; i < WINDOWS && now() < end; i++) {
        double trip = window();
        best = trip < best ? trip : best;
        usleep(PAUSE_US);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    post(&ball[0].word);
    pthread_join(thread, NULL);
    return best;
}

static double futex1(void)
{
    second_cpu = 0;
    return futex_trip();
}

static double futex2(void)
{
    second_cpu = 1;
    return futex_trip();
}

/* ---- yield ---- */

static void *yielder(void *arg)
{
    (void)arg;
    pin(0);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        sched_yield();
    return NULL;
}

/* How often this process has changed threads. */
static long switches(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage))
        fail("getrusage");
    return usage.ru_nvcsw + usage.ru_nivcsw;
}

static double yield(void)
{
    enum { CALLS = 500 }; /* short, to be undisturbed at least once */
    pthread_t thread;
    double best = 1e9, uncounted = 0;
    pin(0);
    if (pthread_create(&thread, NULL, yielder, NULL))
        fail("pthread_create");
    for (int batch = 0; batch < 200; batch++) {
        long before = switches();
        int64_t start = now();
        for (int i = 0; i < CALLS; i++)
            sched_yield();
        int64_t took = now() - start;
        double made = (double)(switches() - before);
        if (made > 0)
            best = (double)took / made < best ? (double)took / made : best;
        else /* not one, or the kernel does not count: then the other one yields as often */
            uncounted = (double)took / (2 * CALLS);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    return best < 1e9 ? best : uncounted;
}

/* ---- create and join ---- */

static void *nothing(void *arg)
{
    return arg;
}

static double create(void)
{
    enum { THREADS = 200 };
    int64_t best = INT64_MAX;
    for (int batch = 0; batch < 20; batch++) {
        int64_t start = now();
        for (int i = 0; i < THREADS; i++) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL))
                fail("pthread_create");
        }
        int64_t took = now() - start;
        best = took < best ? took : best;
    }
    return (double)best / THREADS;
}

/* ---- mutexes ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static double lock(void)
{
    enum { LOCKS = 100000 };
    int64_t best = INT64_MAX;
    for (int batch = 0; batch < 20; batch++) {
        int64_t start = now();
        for (int i = 0; i < LOCKS; i++) {
            pthread_mutex_lock(&mutex);
            pthread_mutex_unlock(&mutex);
        }
        int64_t took = now() - start;
        best = took < best ? took : best;
    }
    return (double)best / LOCKS;
}

enum { SECTIONS = 5000, ROUNDS = 40 };
static pthread_barrier_t gate;

/* From the first thread's start to the last one's end. */
static void *contender(void *arg)
{
    int64_t *best = arg;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&gate);
        int64_t start = now();
        for (int i = 0; i < SECTIONS; i++) {
            pthread_mutex_lock(&mutex);
            for (volatile int loop = 0; loop < 100; loop++)
                ;
            pthread_mutex_unlock(&mutex);
        }
        pthread_barrier_wait(&gate);
        int64_t took = now() - start;
        *best = took < *best ? took : *best;
    }
    return NULL;
}

static double contended(void)
{
    pthread_t thread;
    int64_t best[2] = {INT64_MAX, INT64_MAX};
    pthread_barrier_init(&gate, NULL, 2);
    if (pthread_create(&thread, NULL, contender, &best[1]))
        fail("pthread_create");
    contender(&best[0]);
    pthread_join(thread, NULL);
    return (double)(best[0] > best[1] ? best[0] : best[1]) / (2 * SECTIONS);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        double (*run)(void);
    } what[] = {{"futex1", futex1}, {"futex2", futex2}, {"yield", yield},
                {"create", create}, {"lock", lock},     {"mutex", contended}};
    bool found = false;
    if (sched_getaffinity(0, sizeof all_cpus, &all_cpus))
        fail("sched_getaffinity");
    for (size_t i = 0; i < sizeof what / sizeof what[0]; i++) {
        if (argc > 1 && strcmp(argv[1], what[i].name) != 0)
            continue;
        stop = 0;
        printf("sync-%s %.1f ns\n", what[i].name, what[i].run());
        unpin();
        found = true;
    }
    if (!found)
        fprintf(stderr, "usage: sync [futex1|futex2|yield|create|lock|mutex]\n");
    return found ? 0 : 1;
}
