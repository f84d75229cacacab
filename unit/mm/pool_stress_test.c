/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: unit/bench/kmalloc_machine.c kernel/mm/kmalloc.c kernel/mm/slab.c kernel/mm/memdebug.c
   kernel/mm/page.c kernel/mm/buddy.c kernel/mm/pagemap.c kernel/mm/hotpages.c kernel/mm/failpoint.c
   kernel/mm/reclaim.c kernel/mm/account.c kernel/core/spinlock.c kernel/core/percpu.c */
/* include: unit/bench/include */
/*
 * pool_stress_test.c - the kernel's allocator on four CPUs that really run at once: objects of
 * random sizes are passed on at random and freed by whoever has them, while every CPU trims now and
 * then. Contents stay; in the end nothing is in use and every page is back.
 * tools/bench/kmalloc --tsan runs it under ThreadSanitizer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/mman.h>

#include "bench/kmalloc_bench.h"
#include "mm/kmalloc.h"

#define RAM ((size_t)64 << 20)
#define RAM_ALIGN ((size_t)4 << 20)
#define PLACES 512
#define STEPS 60000

/* What every object holds, as far as it is large enough. */
struct stamp {
    uint32_t size, seed;
};
static struct stamp *places[PLACES]; /* atomic */
static pthread_barrier_t all_here;

void bench_fail(const char *why)
{
    fprintf(stderr, "pool_stress_test: kernel panic: %s\n", why);
    abort();
}

static unsigned char tail_of(const struct stamp *stamp)
{
    return (unsigned char)(stamp->seed ^ stamp->size);
}

static struct stamp *make(unsigned *random)
{
    uint32_t size = (uint32_t)sizeof(struct stamp) +
                    (uint32_t)rand_r(random) % (rand_r(random) % 4 ? 120 : 2040);
    struct stamp *stamp = kmalloc(size, rand_r(random) % 2 ? ALLOC_ZERO : 0);
    if (!stamp)
        bench_fail("no memory");
    *stamp = (struct stamp){size, (uint32_t)rand_r(random)};
    memset(stamp + 1, tail_of(stamp), size - sizeof *stamp);
    return stamp;
}

static void check_and_free(struct stamp *stamp)
{
    if (!stamp)
        return;
    const unsigned char *tail = (const unsigned char *)(stamp + 1);
    for (size_t i = 0; i < stamp->size - sizeof *stamp; i++)
        if (tail[i] != tail_of(stamp))
            bench_fail("an object has changed");
    kfree(stamp);
}

static void *run_cpu(void *number)
{
    unsigned id = (unsigned)(uintptr_t)number, random = id + 1;
    bench_cpu_enter(id);
    pthread_barrier_wait(&all_here);
    for (int step = 0; step < STEPS; step++) {
        /* Now many are out, now few: slabs fill up and become empty. */
        bool fill = (step / 4096) % 2 == 0 || rand_r(&random) % 3 == 0;
        struct stamp *stamp = fill ? make(&random) : NULL;
        struct stamp **place = &places[(unsigned)rand_r(&random) % PLACES];
        check_and_free(__atomic_exchange_n(place, stamp, __ATOMIC_ACQ_REL));
        if (rand_r(&random) % 4096 == 0)
            kmalloc_trim();
    }
    pthread_barrier_wait(&all_here);
    for (unsigned i = id; i < PLACES; i += BENCH_CPUS)
        check_and_free(__atomic_exchange_n(&places[i], NULL, __ATOMIC_ACQ_REL));
    pthread_barrier_wait(&all_here);
    kmalloc_trim(); /* what the others have freed of this CPU's */
    return NULL;
}

static void four_cpus_at_once(void **state)
{
    (void)state;
    char *raw = mmap(NULL, RAM + RAM_ALIGN, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(raw != MAP_FAILED);
    bench_machine((void *)(((uintptr_t)raw + RAM_ALIGN - 1) & ~(RAM_ALIGN - 1)), RAM);
    uint64_t free_before = page_free_count();
    pthread_t threads[BENCH_CPUS];
    pthread_barrier_init(&all_here, NULL, BENCH_CPUS);
    for (uintptr_t i = 0; i < BENCH_CPUS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_cpu, (void *)i), 0);
    for (unsigned i = 0; i < BENCH_CPUS; i++)
        pthread_join(threads[i], NULL);
    struct kmalloc_stats stats;
    kmalloc_get_stats(&stats);
    assert_int_equal(stats.bytes_in_use, 0);
    assert_int_equal(stats.allocs, stats.frees);
    assert_int_equal(stats.bytes_held, 0);
    assert_int_equal(page_free_count(), free_before);
    page_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(four_cpus_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
