/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/touch - cost of a first touch of anonymous memory. Prints "cold N ns/page" for the first
 * mapping of MIB mebibytes (first argument, default 256) and "warm N ns/page" for the best of four
 * more, each a fresh mapping of memory that the program gave back. Small pages only. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define WARM_ROUNDS 4

static int64_t now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static double touch_round(size_t len)
{
    char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int64_t start, took;

    if (p == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    madvise(p, len, MADV_NOHUGEPAGE);
    start = now();
    for (size_t i = 0; i < len; i += 4096)
        ((volatile char *)p)[i] = 1;
    took = now() - start;
    munmap(p, len);
    return (double)took / ((double)len / 4096);
}

int main(int argc, char **argv)
{
    size_t len = (argc > 1 ? strtoul(argv[1], NULL, 10) : 256) << 20;
    double best;

    printf("cold %.1f ns/page\n", touch_round(len));
    best = touch_round(len);
    for (int round = 1; round < WARM_ROUNDS; round++) {
        double took = touch_round(len);

        best = took < best ? took : best;
    }
    printf("warm %.1f ns/page\n", best);
    return 0;
}
