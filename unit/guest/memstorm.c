/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memstorm - threads that fault, map, unmap, protect, drop, move and lock memory at the same time,
 * each in places of its own, and all of them in one area that they share. What each finds must be
 * what it left there.
 */
#include "guest.h"

#include <pthread.h>
#include <sys/mman.h>

#define P 4096ul
#define THREADS 4
#define SHARED_PAGES 2048 /* 8 MiB: four page tables */

static char *shared;
static int rounds = 60;

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static char *map(size_t pages, int flags)
{
    char *p = mmap(NULL, pages * P, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    return p;
}

static void fill(char *p, size_t pages, uint32_t tag)
{
    for (size_t i = 0; i < pages; i++)
        ((uint32_t *)(void *)(p + i * P))[i % 16] = tag + (uint32_t)i;
}

static void check(char *p, size_t pages, uint32_t tag)
{
    for (size_t i = 0; i < pages; i++)
        REQUIRE(((uint32_t *)(void *)(p + i * P))[i % 16] == tag + (uint32_t)i);
}

/* A mapping of its own, cut, protected, moved. */
static void private_round(uint32_t *seed)
{
    size_t pages = 8 + next(seed) % 700, cut = 1 + next(seed) % (pages - 2);
    uint32_t tag = next(seed);
    char *p = map(pages, MAP_PRIVATE);
    fill(p, pages, tag);
    REQUIRE(mprotect(p + cut * P, P, PROT_READ) == 0);
    check(p, pages, tag);
    REQUIRE(mprotect(p, pages * P, PROT_READ | PROT_WRITE) == 0);
    if (next(seed) % 2)
        REQUIRE(mlock(p, 4 * P) == 0 && munlock(p, 4 * P) == 0);
    char *q = mremap(p, pages * P, (pages + 100) * P, MREMAP_MAYMOVE);
    REQUIRE(q != MAP_FAILED && q[(pages + 99) * P] == 0);
    check(q, pages, tag);
    REQUIRE(munmap(q + cut * P, P) == 0);
    check(q, cut, tag);
    check(q, 1, tag);
    REQUIRE(munmap(q, (pages + 100) * P) == 0);
}

/* Pages of the shared area whose number is this thread's modulo THREADS: written, dropped, zero. */
static void shared_round(unsigned me, uint32_t *seed)
{
    size_t first = next(seed) % (SHARED_PAGES - 256);
    first += (me + THREADS - first % THREADS) % THREADS;
    for (size_t i = first; i < first + 128; i += THREADS)
        memset(shared + i * P, (int)me + 1, 64);
    for (size_t i = first; i < first + 128; i += THREADS) {
        char *page = shared + i * P;
        REQUIRE(page[0] == (char)(me + 1) && page[63] == (char)(me + 1));
        REQUIRE(madvise(page, P, MADV_DONTNEED) == 0);
        REQUIRE(page[0] == 0 && page[63] == 0);
    }
}

/* Two mappings of the same memory agree, whatever is done to either. */
static void alias_round(uint32_t *seed)
{
    char *p = map(16, MAP_SHARED), *q = mremap(p, 0, 16 * P, MREMAP_MAYMOVE);
    uint32_t tag = next(seed);
    REQUIRE(q != MAP_FAILED && q != p);
    fill(p, 16, tag);
    REQUIRE(madvise(q, 16 * P, MADV_DONTNEED) == 0);
    check(q, 16, tag);
    REQUIRE(munmap(p, 16 * P) == 0);
    check(q, 16, tag);
    REQUIRE(munmap(q, 16 * P) == 0);
}

static void *storm(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    uint32_t seed = me * 7919 + 1;
    for (int i = 0; i < rounds; i++) {
        private_round(&seed);
        shared_round(me, &seed);
        alias_round(&seed);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    if (argc > 1)
        rounds = atoi(argv[1]);
    shared = map(SHARED_PAGES, MAP_PRIVATE);
    /* Large pages where the kernel has them: what a thread drops splits what others write to. */
    (void)madvise(shared, SHARED_PAGES * P, MADV_HUGEPAGE);
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, storm, (void *)i) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    for (size_t i = 0; i < SHARED_PAGES; i++)
        REQUIRE(shared[i * P] == 0);
    return guest_pass("memstorm");
}
