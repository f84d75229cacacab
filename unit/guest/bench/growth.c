/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench/growth - how costs grow with the number of threads:
 *
 *   growth-switch-N  ns of a sched_yield that runs another of N threads, all runnable on one CPU;
 *                    the median
 */
#include "bench.h"

static pthread_attr_t attr;
static int stop;

static void attr_make(void)
{
    if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, 128 << 10))
        fail("pthread_attr");
}

/* How many of `count` threads could be started. */
static unsigned start(pthread_t *threads, unsigned count, void *(*run)(void *))
{
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], &attr, run, NULL))
            return i;
    return count;
}

/* ---- switches ---- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held until all are there */

/* Every thread takes the time when it gets its turn: that is one switch since the turn before.
 * The median of single switches is not moved by what else the machine does. All is touched by the
 * thread that has its turn only, on one CPU. */
enum { GRAIN_NS = 4, GRAINS = 16384, SAMPLES = 50000 };
static uint32_t histogram[GRAINS];
static uint64_t turns, turns_first, turns_last; /* counted are those between */
static int64_t turn_ended;

static void turn(void)
{
    int64_t took = (now() - turn_ended) / GRAIN_NS;
    turns++;
    /* Negative: it lost the CPU after it took the time. */
    if (turns > turns_first && turns <= turns_last && took >= 0)
        histogram[took < GRAINS ? took : GRAINS - 1]++;
    if (turns == turns_last)
        __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    turn_ended = now();
    sched_yield();
}

static void *yielder(void *arg)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        turn();
    return arg;
}

static double clock_cost(void)
{
    int64_t best = INT64_MAX;
    for (int batch = 0; batch < 50; batch++) {
        int64_t begin = now();
        for (int i = 0; i < 99; i++)
            now();
        int64_t took = now() - begin;
        best = took < best ? took : best;
    }
    return (double)best / 100;
}

static double median(void)
{
    uint64_t sum = 0;
    int i = 0;
    while ((sum += histogram[i]) < (turns_last - turns_first) / 2 && i < GRAINS - 1)
        i++;
    return (i + 0.5) * GRAIN_NS - clock_cost();
}

static double switches(unsigned count)
{
    pthread_t *threads = calloc(count, sizeof *threads);
    double cost = -1;
    cpu_set_t all, one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    attr_make();
    if (sched_getaffinity(0, sizeof all, &all) || sched_setaffinity(0, sizeof one, &one))
        fail("sched_setaffinity"); /* threads inherit it */
    stop = 0;
    turns = 0;
    turns_first = 3 * count; /* until all have begun */
    turns_last = turns_first + (10 * count > SAMPLES ? 10 * count : SAMPLES);
    memset(histogram, 0, sizeof histogram);
    pthread_mutex_lock(&gate);
    unsigned there = threads ? start(threads, count, yielder) : 0;
    if (there < count)
        stop = 1;
    pthread_mutex_unlock(&gate);
    for (unsigned i = 0; i < there; i++)
        pthread_join(threads[i], NULL);
    if (there == count)
        cost = median();
    free(threads);
    sched_setaffinity(0, sizeof all, &all);
    return cost;
}

static double switch10(void)
{
    return switches(10);
}

static double switch100(void)
{
    return switches(100);
}

static double switch1000(void)
{
    return switches(1000);
}

static double switch10000(void)
{
    return switches(10000);
}

int main(int argc, char **argv)
{
    static const struct bench_row rows[] = {
        {"growth-switch-10", "ns", switch10},
        {"growth-switch-100", "ns", switch100},
        {"growth-switch-1000", "ns", switch1000},
        {"growth-switch-10000", "ns", switch10000},
    };
    return bench_main(argc, argv, rows, sizeof rows / sizeof rows[0]);
}
