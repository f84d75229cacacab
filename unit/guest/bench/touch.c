/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/touch - cost of a first touch of anonymous memory. Prints "touch N ns/page": the best of
 * five rounds over MIB mebibytes (first argument, default 256), each on a fresh mapping. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static int64_t now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

int main(int argc, char **argv)
{
    size_t len = (argc > 1 ? strtoul(argv[1], NULL, 10) : 256) << 20;
    int64_t best = INT64_MAX;
    for (int round = 0; round < 5; round++) {
        char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            perror("mmap");
            return 1;
        }
        madvise(p, len, MADV_NOHUGEPAGE);
        int64_t start = now();
        for (size_t i = 0; i < len; i += 4096)
            p[i] = 1;
        int64_t took = now() - start;
        best = took < best ? took : best;
        munmap(p, len);
    }
    printf("touch %.1f ns/page\n", (double)best / ((double)len / 4096));
    return 0;
}
