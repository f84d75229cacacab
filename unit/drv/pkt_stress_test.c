/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: unit/bench/kmalloc_machine.c kernel/drv/pkt.c kernel/lib/checksum.c kernel/mm/kmalloc.c
   kernel/mm/slab.c kernel/mm/memdebug.c kernel/mm/page.c kernel/mm/buddy.c kernel/mm/pagemap.c
   kernel/mm/hotpages.c kernel/mm/failpoint.c kernel/mm/reclaim.c kernel/mm/account.c
   kernel/core/spinlock.c kernel/core/percpu.c */
/* include: unit/bench/include */
/*
 * pkt_stress_test.c - packets on four CPUs that really run at once: made, cloned, joined, passed on
 * and freed by whoever has them, so that fragments of a page are freed elsewhere while their CPU
 * cuts others from it. Contents stay; in the end nothing is counted any more.
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
#include "drv/pkt.h"
#include "mm/account.h"

#define RAM ((size_t)64 << 20)
#define RAM_ALIGN ((size_t)4 << 20)
#define PLACES 256
#define STEPS 40000

static struct pkt *places[PLACES]; /* atomic */
static pthread_barrier_t all_here;

void bench_fail(const char *why)
{
    fprintf(stderr, "pkt_stress_test: kernel panic: %s\n", why);
    abort();
}

/* All bytes of a piece are the same, the piece's own. */
static struct pkt *make(unsigned *random)
{
    struct pkt *pkt = NULL;
    for (int pieces = 1 + rand_r(random) % 3; pieces > 0; pieces--) {
        uint32_t len = 1 + (uint32_t)rand_r(random) % (rand_r(random) % 3 ? 200 : 1500);
        struct pkt *piece = pkt_alloc((uint32_t)rand_r(random) % 100, len, 0);
        if (!piece)
            bench_fail("no memory");
        memset(pkt_put(piece, len), rand_r(random), len);
        if (pkt)
            pkt_append(pkt, piece);
        else
            pkt = piece;
    }
    return pkt;
}

static void check_and_free(struct pkt *pkt)
{
    uint32_t total = 0;
    for (const struct pkt *piece = pkt; piece; piece = piece->more) {
        total += piece->len;
        for (uint32_t i = 1; i < piece->len; i++)
            if (piece->data[i] != piece->data[0])
                bench_fail("a packet has changed");
    }
    if (pkt && total != pkt->total)
        bench_fail("a packet has lost bytes");
    pkt_free(pkt);
}

static void *run_cpu(void *number)
{
    unsigned id = (unsigned)(uintptr_t)number, random = id + 1;
    bench_cpu_enter(id);
    pthread_barrier_wait(&all_here);
    for (int step = 0; step < STEPS; step++) {
        struct pkt **place = &places[(unsigned)rand_r(&random) % PLACES], *pkt;
        if (rand_r(&random) % 3) {
            pkt = make(&random);
        } else { /* what somebody has, once more; the original goes on elsewhere */
            struct pkt *old = __atomic_exchange_n(place, NULL, __ATOMIC_ACQ_REL);
            if (!old)
                continue;
            pkt = pkt_clone(old, 0, old->total, 64, 0);
            if (!pkt)
                bench_fail("no memory");
            place = &places[(unsigned)rand_r(&random) % PLACES];
            check_and_free(__atomic_exchange_n(place, old, __ATOMIC_ACQ_REL));
            place = &places[(unsigned)rand_r(&random) % PLACES];
        }
        check_and_free(__atomic_exchange_n(place, pkt, __ATOMIC_ACQ_REL));
    }
    pthread_barrier_wait(&all_here);
    for (unsigned i = id; i < PLACES; i += BENCH_CPUS)
        check_and_free(__atomic_exchange_n(&places[i], NULL, __ATOMIC_ACQ_REL));
    return NULL;
}

static void four_cpus_at_once(void **state)
{
    (void)state;
    char *raw = mmap(NULL, RAM + RAM_ALIGN, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(raw != MAP_FAILED);
    bench_machine((void *)(((uintptr_t)raw + RAM_ALIGN - 1) & ~(RAM_ALIGN - 1)), RAM);
    pkt_init();
    uint64_t free_before = page_free_count();
    pthread_t threads[BENCH_CPUS];
    pthread_barrier_init(&all_here, NULL, BENCH_CPUS);
    for (uintptr_t i = 0; i < BENCH_CPUS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_cpu, (void *)i), 0);
    for (unsigned i = 0; i < BENCH_CPUS; i++)
        pthread_join(threads[i], NULL);
    struct memory_account left = owner_get(OWNER_PACKET);
    assert_int_equal(left.objects, 0);
    assert_int_equal(left.bytes, 0);
    /* Each CPU keeps the page that it cuts, and slabs. */
    assert_true(page_free_count() + 4 * 64 >= free_before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(four_cpus_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
