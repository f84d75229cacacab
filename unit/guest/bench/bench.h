/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/bench.h - what the benchmark programs share: the clock, CPUs, windows of time, and a main()
 * that runs the rows that are named, or all. A program prints "KEY NUMBER UNIT" lines. */
#ifndef SELKIE_BENCH_GUEST_H
#define SELKIE_BENCH_GUEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static inline int64_t now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

_Noreturn static inline void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* ns of one of `count` things that `run` does: the least of batches until `budget` has passed, at
 * least three. On a shared machine the least disturbed batch is the cost. */
static inline double least(void (*run)(void), int count, int64_t budget)
{
    int64_t best = INT64_MAX, begin = now();
    for (int batch = 0; batch < 3 || now() - begin < budget; batch++) {
        int64_t start = now();
        run();
        int64_t took = now() - start;
        best = took < best ? took : best;
    }
    return (double)best / count;
}

struct bench_row {
    const char *name, *unit;
    double (*run)(void); /* less than 0: not possible here */
};

static inline int bench_main(int argc, char **argv, const struct bench_row *rows, size_t count)
{
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        bool named = argc < 2;
        for (int k = 1; k < argc; k++)
            named |= strncmp(rows[i].name, argv[k], strlen(argv[k])) == 0;
        if (!named)
            continue;
        found = true;
        double value = rows[i].run();
        if (value >= 0)
            printf("%s %.4g %s\n", rows[i].name, value, rows[i].unit);
        fflush(stdout);
    }
    if (!found)
        fprintf(stderr, "no such row; they are the words that stand before the figures\n");
    return found ? 0 : 1;
}

#endif
