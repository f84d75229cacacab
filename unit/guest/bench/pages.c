/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench/pages - what memory and the page cache cost, in ns:
 *
 *   pages-one     one fresh 4 KiB page mapped, touched, unmapped
 *   pages-run64k  a page of fresh memory touched in runs of 64 KiB
 *   pages-run4m   the same in runs of 4 MiB
 *   pages-map2m   2 MiB mapped and unmapped, untouched
 *   pages-use2m   2 MiB mapped, every page touched, unmapped
 *   pages-brk     a page of the heap when it grows by 64 KiB at a time, and shrinks at the end
 *   pages-read4k  4 KiB read from a file in the page cache
 *   pages-read64k 64 KiB read from it
 *   pages-clock   clock_gettime(CLOCK_MONOTONIC)
 *   pages-call    getppid
 */
#include "bench.h"

#include <fcntl.h>

enum { PAGE = 4096, BUDGET = 100000000 };

static char *map(size_t len)
{
    char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        fail("mmap");
    return p;
}

static void touch(char *p, size_t len)
{
    for (size_t i = 0; i < len; i += PAGE)
        *(volatile char *)(p + i) = 1;
}

static void one_pages(void)
{
    for (int i = 0; i < 50; i++) {
        char *p = map(PAGE);
        touch(p, PAGE);
        munmap(p, PAGE);
    }
}

static double one(void)
{
    return least(one_pages, 50, BUDGET);
}

/* Only the touching counts. Every other run stays untouched, so that each is one of its own. */
static double touch_runs(size_t run)
{
    size_t total = 32 << 20;
    int64_t best = INT64_MAX, begin = now();
    for (int round = 0; round < 3 || now() - begin < BUDGET; round++) {
        char *p = map(total);
        madvise(p, total, MADV_NOHUGEPAGE);
        int64_t start = now();
        for (size_t at = 0; at < total; at += 2 * run)
            touch(p + at, run);
        int64_t took = now() - start;
        best = took < best ? took : best;
        munmap(p, total);
    }
    return (double)best / ((double)total / 2 / PAGE);
}

static double run64k(void)
{
    return touch_runs(64 << 10);
}

static double run4m(void)
{
    return touch_runs(4 << 20);
}

static void two_mib(bool used)
{
    for (int i = 0; i < 20; i++) {
        char *p = map(2 << 20);
        if (used)
            touch(p, 2 << 20);
        munmap(p, 2 << 20);
    }
}

static void map_two(void)
{
    two_mib(false);
}

static void use_two(void)
{
    two_mib(true);
}

static double map2m(void)
{
    return least(map_two, 20, BUDGET);
}

static double use2m(void)
{
    return least(use_two, 20, BUDGET);
}

static void grow(void)
{
    char *start = sbrk(0);
    for (int i = 0; i < 64; i++) {
        char *p = sbrk(64 << 10);
        if (p == (void *)-1)
            fail("sbrk");
        touch(p, 64 << 10);
    }
    if (brk(start))
        fail("brk");
}

static double heap(void)
{
    return least(grow, 64 * 16, BUDGET);
}

/* ---- the page cache ---- */

static int file = -1;
static char block[64 << 10];
enum { FILE_BYTES = 4 << 20 };

static void file_make(void)
{
    char name[] = "/tmp/selkie-bench-XXXXXX";
    if (file >= 0)
        return;
    file = mkstemp(name);
    if (file < 0)
        fail(name);
    unlink(name);
    for (int i = 0; i < FILE_BYTES; i += (int)sizeof block)
        if (write(file, block, sizeof block) != (ssize_t)sizeof block)
            fail("write");
}

static void read_blocks(size_t size)
{
    for (off_t at = 0; at < FILE_BYTES; at += (off_t)size)
        if (pread(file, block, size, at) != (ssize_t)size)
            fail("pread");
}

static void read_4k(void)
{
    read_blocks(4 << 10);
}

static void read_64k(void)
{
    read_blocks(64 << 10);
}

static double read4k(void)
{
    file_make();
    return least(read_4k, FILE_BYTES / (4 << 10), BUDGET);
}

static double read64k(void)
{
    file_make();
    return least(read_64k, FILE_BYTES / (64 << 10), BUDGET);
}

/* ---- calls ---- */

enum { CALLS = 1000 };

static void clocks(void)
{
    struct timespec ts;
    for (int i = 0; i < CALLS; i++)
        clock_gettime(CLOCK_MONOTONIC, &ts);
}

static void calls(void)
{
    for (int i = 0; i < CALLS; i++)
        (void)getppid();
}

static double clock_cost(void)
{
    return least(clocks, CALLS, BUDGET / 2);
}

static double call(void)
{
    return least(calls, CALLS, BUDGET / 2);
}

int main(int argc, char **argv)
{
    static const struct bench_row rows[] = {
        {"pages-one", "ns", one},          {"pages-run64k", "ns", run64k},
        {"pages-run4m", "ns", run4m},      {"pages-map2m", "ns", map2m},
        {"pages-use2m", "ns", use2m},      {"pages-brk", "ns", heap},
        {"pages-read4k", "ns", read4k},    {"pages-read64k", "ns", read64k},
        {"pages-clock", "ns", clock_cost}, {"pages-call", "ns", call},
    };
    return bench_main(argc, argv, rows, sizeof rows / sizeof rows[0]);
}
