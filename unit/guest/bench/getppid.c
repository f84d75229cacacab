/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/getppid - cost of the emptiest system call, as an unmodified static program sees it. Prints
 * "getppid N ns". The fastest of many batches is reported: on a shared machine the minimum is the
 * cost, the rest is noise. Where a call is slow, fewer batches are run. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

int main(void)
{
    enum { BATCH = 10000, BATCHES = 200, ENOUGH_NS = 1000000000 };
    int64_t best = INT64_MAX, begin = now();
    for (int b = 0; b < BATCHES && (b < 2 || now() - begin < ENOUGH_NS); b++) {
        int64_t start = now();
        for (int i = 0; i < BATCH; i++)
            (void)getppid();
        int64_t took = now() - start;
        best = took < best ? took : best;
    }
    printf("getppid %.1f ns\n", (double)best / BATCH);
    return 0;
}
