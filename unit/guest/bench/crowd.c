/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench/crowd - what many threads cost each other: `crowd [WHAT]` prints "crowd-WHAT N UNIT".
 *
 *   mutexT-L  T threads (2, 4, 8) on all CPUs in turn, one pthread mutex, L loops inside (0, 100,
 *             500): ns a section, the median of some rounds
 *   wake      with 100 threads that compute, one that sleeps 1 ms again and again: how late it
 *             wakes, us, 99th percentile
 *   fair      64 threads that compute: Jain's index of what they got in 3 s, in thousandths
 *   clock     clock_gettime, ns
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    if (pthread_create(thread, NULL, fn, arg)) {
        perror("pthread_create");
        exit(1);
    }
}

/* ---- a contended mutex ---- */

/* A round is tens of milliseconds: in a short one the first thread is done before the others have
 * been woken, and what is measured is how late that is. */
enum { SECTIONS = 50000, ROUNDS = 5, THREADS_MAX = 8 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t gate;
static int loops;
static cpu_set_t all_cpus;
static int64_t began[THREADS_MAX][ROUNDS], ended[THREADS_MAX][ROUNDS];

static void set_cpus(const cpu_set_t *set)
{
    if (sched_setaffinity(0, sizeof *set, set)) {
        perror("sched_setaffinity");
        exit(1);
    }
}

/* The threads are on all CPUs in turn, so that they do meet. */
static void pin(intptr_t index)
{
    cpu_set_t one;
    int cpu = -1;
    for (index %= CPU_COUNT(&all_cpus); index >= 0; index--)
        do
            cpu++;
        while (!CPU_ISSET(cpu, &all_cpus));
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    set_cpus(&one);
}

static void *contender(void *arg)
{
    intptr_t self = (intptr_t)arg;
    pin(self);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&gate);
        began[self][round] = now();
        for (int i = 0; i < SECTIONS; i++) {
            pthread_mutex_lock(&mutex);
            for (volatile int loop = 0; loop < loops; loop++)
                ;
            pthread_mutex_unlock(&mutex);
        }
        ended[self][round] = now();
    }
    return NULL;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double contended(int threads, int inside)
{
    pthread_t thread[THREADS_MAX];
    int64_t took[ROUNDS];
    loops = inside;
    pthread_barrier_init(&gate, NULL, (unsigned)threads);
    for (int i = 1; i < threads; i++)
        start(&thread[i], contender, (void *)(intptr_t)i);
    contender(NULL);
    for (int i = 1; i < threads; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&gate);
    set_cpus(&all_cpus);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t first = INT64_MAX, last = 0;
        for (int i = 0; i < threads; i++) {
            first = began[i][round] < first ? began[i][round] : first;
            last = ended[i][round] > last ? ended[i][round] : last;
        }
        took[round] = last - first;
    }
    qsort(took, ROUNDS, sizeof took[0], ascending);
    return (double)took[ROUNDS / 2] / ((double)SECTIONS * threads);
}

/* ---- a crowd that computes ---- */

enum { CROWD = 100, FAIR = 64, NAPS = 300 };
static bool stop;
static struct {
    uint64_t rounds __attribute__((aligned(64)));
} got[CROWD];

static void *computer(void *arg)
{
    uint64_t *rounds = arg, mine = 0;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        for (volatile int i = 0; i < 1000; i++)
            ;
        __atomic_store_n(rounds, ++mine, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void crowd_start(pthread_t *threads, int count)
{
    __atomic_store_n(&stop, false, __ATOMIC_RELAXED);
    for (int i = 0; i < count; i++) {
        got[i].rounds = 0;
        start(&threads[i], computer, &got[i].rounds);
    }
}

static void crowd_stop(pthread_t *threads, int count)
{
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static double wake_latency(void)
{
    static pthread_t threads[CROWD];
    static int64_t late[NAPS];
    struct timespec nap = {.tv_nsec = 1000000};
    crowd_start(threads, CROWD);
    for (int i = 0; i < NAPS; i++) {
        int64_t due = now() + nap.tv_nsec;
        nanosleep(&nap, NULL);
        late[i] = now() - due;
    }
    crowd_stop(threads, CROWD);
    qsort(late, NAPS, sizeof late[0], ascending);
    return (double)late[NAPS * 99 / 100] / 1000;
}

static double unfairness(void)
{
    static pthread_t threads[FAIR];
    double before[FAIR], sum = 0, squares = 0;
    crowd_start(threads, FAIR);
    usleep(200000);
    for (int i = 0; i < FAIR; i++)
        before[i] = (double)__atomic_load_n(&got[i].rounds, __ATOMIC_RELAXED);
    sleep(2);
    for (int i = 0; i < FAIR; i++) {
        double part = (double)__atomic_load_n(&got[i].rounds, __ATOMIC_RELAXED) - before[i];
        sum += part;
        squares += part * part;
    }
    crowd_stop(threads, FAIR);
    return 1000 * (1 - sum * sum / (FAIR * squares));
}

/* ---- the clock ---- */

static double clock_cost(void)
{
    enum { CALLS = 10000 };
    int64_t best = INT64_MAX;
    for (int batch = 0; batch < 50; batch++) {
        int64_t begin = now();
        for (int i = 0; i < CALLS; i++)
            (void)now();
        int64_t took = now() - begin;
        best = took < best ? took : best;
    }
    return (double)best / CALLS;
}

/* "mutex" is all mutexes, "few" is all else. */
static bool wanted(const char *only, const char *name)
{
    if (!only || strncmp(only, name, strlen(only)) == 0)
        return true;
    return strcmp(only, "few") == 0 && strncmp(name, "mutex", 5) != 0;
}

int main(int argc, char **argv)
{
    static const int counts[] = {2, 4, 8}, inside[] = {0, 100, 500};
    const char *only = argc > 1 ? argv[1] : NULL;
    if (sched_getaffinity(0, sizeof all_cpus, &all_cpus)) {
        perror("sched_getaffinity");
        return 1;
    }
    for (int i = 0; i < 9; i++) {
        char name[32];
        snprintf(name, sizeof name, "mutex%d-%d", counts[i / 3], inside[i % 3]);
        if (wanted(only, name))
            printf("crowd-%s %.1f ns\n", name, contended(counts[i / 3], inside[i % 3]));
    }
    if (wanted(only, "wake"))
        printf("crowd-wake %.1f us\n", wake_latency());
    if (wanted(only, "unfair"))
        printf("crowd-unfair %.1f thousandths\n", unfairness());
    if (wanted(only, "clock"))
        printf("crowd-clock %.2f ns\n", clock_cost());
    return 0;
}
