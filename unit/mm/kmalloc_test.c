/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/* kmalloc_test.c - the kernel allocator and kernel stacks: contents, alignment, statistics, leaks,
 * failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/percpu.h"
#include "fake.h"
#include "hal_up.h"
#include "mm/account.h"
#include "mm/hotpages.h"
#include "mm/kmalloc.h"
#include "mm/object.h"
#include "mm/reclaim.h"
#include "mm/slab.h"

#define MIB ((size_t)1 << 20)

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(32 * MIB);
    page_init();
    kmalloc_init();
    kvm_init();
    return 0;
}

static void random_use(void **state)
{
    (void)state;
    struct {
        unsigned char *p;
        size_t size;
        unsigned char tag;
    } held[300];
    size_t count = 0;
    uint64_t free_before = page_free_count();
    srand(6);
    for (int step = 0; step < 40000; step++) {
        if (count < 300 && rand() % 2) {
            size_t size = (size_t)rand() % (rand() % 10 ? 300 : 20000);
            bool zero = rand() % 2;
            unsigned char *p = kmalloc(size, zero ? ALLOC_ZERO : 0);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            if (size && (size & (size - 1)) == 0)
                assert_int_equal((uintptr_t)p % (size < PAGE_SIZE ? size : PAGE_SIZE), 0);
            assert_true(kmalloc_size(p) >= size);
            for (size_t i = 0; zero && i < size; i++)
                assert_int_equal(p[i], 0);
            held[count].p = p;
            held[count].size = size;
            held[count].tag = (unsigned char)rand();
            memset(p, held[count].tag, size);
            count++;
        } else if (count) {
            size_t i = (size_t)rand() % count;
            for (size_t k = 0; k < held[i].size; k++)
                assert_int_equal(held[i].p[k], held[i].tag);
            if (rand() % 4 == 0) {
                size_t size = (size_t)rand() % 5000;
                unsigned char *p = krealloc(held[i].p, size, 0);
                assert_non_null(p);
                for (size_t k = 0; k < size && k < held[i].size; k++)
                    assert_int_equal(p[k], held[i].tag);
                memset(p, held[i].tag, size);
                held[i].p = p;
                held[i].size = size;
                continue;
            }
            kfree(held[i].p);
            held[i] = held[--count];
        }
    }
    while (count)
        kfree(held[--count].p);
    struct kmalloc_stats stats;
    kmalloc_get_stats(&stats);
    assert_int_equal(stats.bytes_in_use, 0);
    /* Empty slabs may stay, and those that objects at hand lie in. */
    assert_true(free_before - page_free_count() <= 64);
    kmalloc_trim();
    assert_int_equal(page_free_count(), free_before);
    page_check();
}

static void limits(void **state)
{
    (void)state;
    assert_null(kmalloc_array(SIZE_MAX / 2, 3, 0));
    assert_null(kmalloc_array(SIZE_MAX / 16 + 3, 16, 0)); /* the product wraps to 32 */
    assert_null(kmalloc(64 * MIB, 0));
    assert_null(kmalloc(SIZE_MAX / 2 - 5, 0));
    void *a = kmalloc(0, 0), *b = kmalloc(0, 0);
    assert_true(a && b && a != b);
    kfree(a);
    kfree(b);
    kfree(NULL);
    char *s = kstrdup("selkie", 0);
    assert_string_equal(s, "selkie");
    kfree(s);
    char *big = kmalloc(4 * MIB, ALLOC_ZERO);
    assert_non_null(big);
    assert_int_equal(big[4 * MIB - 1], 0);
    kfree(big);
}

static void failing_on_request(void **state)
{
    (void)state;
    char *p = kmalloc(100, 0);
    alloc_fail_nth(1);
    assert_null(krealloc(p, 5000, 0));
    assert_true(alloc_fail_hit());
    assert_non_null(p = krealloc(p, 5000, 0));
    kfree(p);
}

/* Which of `count` small allocations fail, as a sum of their numbers; how many, in *failures. */
static uint64_t failing(uint64_t seed, unsigned count, unsigned flags, unsigned *failures)
{
    uint64_t sum = 0;
    *failures = 0;
    alloc_fail_rate(10, seed);
    for (unsigned i = 0; i < count; i++) {
        void *p = kmalloc(100, flags);
        if (!p) {
            sum += (uint64_t)i * i;
            ++*failures;
        }
        kfree(p);
    }
    assert_int_equal(alloc_fail_hits(), *failures);
    alloc_fail_rate(0, 0);
    return sum;
}

static void failing_by_chance(void **state)
{
    (void)state;
    unsigned n, m;
    uint64_t first = failing(7, 10000, 0, &n);
    assert_in_range(n, 800, 1200);
    assert_true(failing(7, 10000, 0, &m) == first && m == n);
    assert_true(failing(8, 10000, 0, &m) != first);
    (void)failing(7, 1000, ALLOC_ATOMIC, &n);
    assert_int_equal(n, 0);
}

/* What interrupt handlers allocate (queued signals) may come from the reserve, small or large. */
static void atomic_takes_the_reserve(void **state)
{
    (void)state;
    while (page_alloc(0, PAGE_ANON, 0))
        ;
    while (kmalloc(512, 0))
        ;
    assert_null(kmalloc(5000, 0));
    uint64_t left = page_free_count();
    assert_true(left > 8);
    for (int i = 0; i < 40; i++)
        assert_non_null(kmalloc(512, ALLOC_ATOMIC));
    assert_non_null(kmalloc(5000, ALLOC_ATOMIC));
    assert_int_equal(left - page_free_count(), SELKIE_ASAN ? 10 + 2 : 5 + 2);
    page_check();
}

static int four_cpus(void **state)
{
    fake_cpu_count = 4;
    return set_up(state);
}

static int one_cpu(void **state)
{
    (void)state;
    fake_cpu_count = 1;
    fake_cpu_id = 0;
    return 0;
}

static uint64_t held_bytes(void)
{
    struct kmalloc_stats stats;
    kmalloc_get_stats(&stats);
    return stats.bytes_held;
}

/* Objects are freed on any CPU; contents, counts and pages stay right. What stays in the caches of
 * two CPUs is less than 1 MiB, and nothing after a trim. */
static void cpus_free_for_each_other(void **state)
{
    (void)state;
    static struct {
        unsigned char *p;
        size_t size;
        unsigned char tag;
    } held[2000];
    size_t count = 0;
    uint64_t free_before = page_free_count();
    srand(7);
    for (int step = 0; step < 100000; step++) {
        fake_cpu_id = (unsigned)rand() % 4;
        if (count < 2000 && rand() % 100 < (step / 10000 % 2 ? 30 : 70)) {
            size_t size = 1 + (size_t)rand() % (rand() % 4 ? 200 : 2048);
            unsigned char *p = kmalloc(size, 0);
            assert_non_null(p);
            held[count].p = p;
            held[count].size = size;
            held[count].tag = (unsigned char)rand();
            memset(p, held[count++].tag, size);
        } else if (count) {
            size_t i = (size_t)rand() % count;
            for (size_t k = 0; k < held[i].size; k++)
                assert_int_equal(held[i].p[k], held[i].tag);
            kfree(held[i].p);
            held[i] = held[--count];
        }
    }
    fake_cpu_id = 3;
    while (count)
        kfree(held[--count].p);
    struct kmalloc_stats stats;
    kmalloc_get_stats(&stats);
    assert_int_equal(stats.bytes_in_use, 0);
    assert_int_equal(stats.allocs, stats.frees);
    for (unsigned round = 0; round < 2; round++)
        for (fake_cpu_id = 0; fake_cpu_id < 4; fake_cpu_id++)
            kmalloc_trim();
    assert_int_equal(held_bytes(), 0);
    assert_int_equal(page_free_count(), free_before);
    page_check();
}

/* One CPU allocates, another frees: the memory comes round and does not pile up. */
static void producer_and_consumer(void **state)
{
    (void)state;
    void *ring[64] = {NULL};
    uint64_t most = 0;
    for (int i = 0; i < 20000; i++) {
        fake_cpu_id = 1;
        void *p = kmalloc(100, 0);
        assert_non_null(p);
        fake_cpu_id = 0;
        kfree(ring[i % 64]);
        ring[i % 64] = p;
        most = MAX(most, held_bytes());
    }
    assert_true(most <= 8 * PAGE_SIZE);
    for (int i = 0; i < 64; i++)
        kfree(ring[i]);
    if (!SELKIE_ASAN) /* which finds it first */
        EXPECT_PANIC(kfree(ring[63]));
}

/* Whoever frees and allocates in turn neither takes slabs nor gives any back, whichever objects. */
static void turns_keep_the_slabs(void **state)
{
    (void)state;
    static void *held[1000];
    fake_cpu_id = 0;
    for (int i = 0; i < 1000; i++)
        assert_non_null(held[i] = kmalloc(200, 0));
    uint64_t bytes = held_bytes(), pages = page_free_count();
    srand(8);
    for (int i = 0; i < 20000; i++) {
        int which[8];
        for (int k = 0; k < 8; k++) {
            which[k] = rand() % 1000;
            kfree(held[which[k]]);
            held[which[k]] = NULL; /* kfree(NULL) if it is drawn again */
        }
        for (int k = 0; k < 8; k++)
            if (!held[which[k]])
                assert_non_null(held[which[k]] = kmalloc(200, 0));
        assert_int_equal(held_bytes(), bytes);
    }
    assert_int_equal(page_free_count(), pages);
    for (int i = 0; i < 1000; i++)
        kfree(held[i]);
    kmalloc_trim();
    assert_int_equal(held_bytes(), 0);
}

/* What another CPU has freed while its owner does nothing is given back on request. */
static void idle_cpus_are_trimmed(void **state)
{
    (void)state;
    static void *all[4000];
    uint64_t free_before = page_free_count();
    fake_cpu_id = 2;
    for (int i = 0; i < 4000; i++)
        assert_non_null(all[i] = kmalloc(200, 0));
    fake_cpu_id = 0;
    for (int i = 0; i < 4000; i++)
        kfree(all[i]);
    assert_true(free_before - page_free_count() >= 190);
    fake_cpu_id = 2;
    kmalloc_serve(); /* nobody has asked */
    assert_true(free_before - page_free_count() >= 190);
    fake_cpu_id = 0;
    fake_ipis = 0;
    vm_cache_init();
    for (unsigned i = 0; i < 4; i++)
        cpu_get(i)->online = true;
    (void)memory_reclaim(1000, false);
    assert_true(fake_ipis > 0);
    fake_cpu_id = 2;
    unsigned interrupts = 0;
    do { /* it asks for another one while there is more to do */
        fake_ipis = 0;
        kmalloc_serve();
        interrupts++;
    } while (fake_ipis > 0);
    assert_true(interrupts > 1 && interrupts < 5);
    assert_int_equal(page_free_count(), free_before);
    fake_cpu_id = 0;
    page_check();
    for (unsigned i = 0; i < 4; i++)
        cpu_get(i)->online = false;
}

/* A CPU that does not answer at once: what it gives back later is told later, once. */
static void a_late_answer_counts(void **state)
{
    (void)state;
    enum { OBJECTS = 2000 };
    static void *all[OBJECTS];
    uint64_t free_before = page_free_count();
    fake_cpu_id = 2;
    for (int i = 0; i < OBJECTS; i++)
        assert_non_null(all[i] = kmalloc(1000, 0));
    uint64_t slabs = free_before - page_free_count(), told;
    fake_cpu_id = 0;
    for (int i = 0; i < OBJECTS; i++)
        kfree(all[i]);
    cpu_get(2)->online = true;
    assert_int_equal(slab_trim_all(), 0);
    assert_true(slab_trim_pending());
    fake_cpu_id = 2;
    kmalloc_serve();
    assert_true(slab_trim_pending()); /* not all at once */
    told = slab_trim_late();
    assert_true(told > 0 && told < slabs);
    fake_cpu_id = 0;
    slab_trim_ask(); /* meanwhile another one asks */
    fake_cpu_id = 2;
    while (slab_trim_pending())
        kmalloc_serve();
    told += slab_trim_late();
    assert_int_equal(told, slabs);
    assert_int_equal(slab_trim_late(), 0);
    fake_cpu_id = 0;
    cpu_get(2)->online = false;
}

/* Each slab that other CPUs have given many objects back to costs a walk over them: an interrupt
 * does not do many of these. */
static void trimming_is_done_in_short_steps(void **state)
{
    (void)state;
    enum { SLABS = 40, OBJECTS = 256 };
    static void *all[SLABS * OBJECTS];
    for (int i = 0; i < SLABS * OBJECTS; i++)
        assert_non_null(all[i] = kmalloc(16, 0));
    for (int i = 0; i < SLABS * OBJECTS; i += 64) /* more than stay ready: slabs are partial */
        kfree(all[i]);
    fake_cpu_id = 2;
    for (int i = 0; i < SLABS * OBJECTS; i++)
        if (i % 64)
            kfree(all[i]);
    cpu_get(0)->online = true;
    slab_trim_ask();
    fake_cpu_id = 0;
    unsigned interrupts = 0;
    for (; slab_trim_pending(); interrupts++)
        kmalloc_serve();
    assert_true(interrupts > 10);
    cpu_get(0)->online = false;
    page_check();
}

/* The slab that frees are quick for may be gone, and its page somebody else's. */
static void the_nearest_slab_goes(void **state)
{
    (void)state;
    static void *small[2000], *block[200];
    uint64_t free_before = page_free_count();
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 2000; i++)
            assert_non_null(small[i] = kmalloc(64, 0));
        for (int i = 0; i < 2000; i++)
            kfree(small[round % 2 ? 1999 - i : i]);
        kmalloc_trim();
        for (int i = 0; i < 200; i++) {
            assert_non_null(block[i] = kmalloc(PAGE_SIZE, 0));
            memset(block[i], 0xa5, PAGE_SIZE);
        }
        for (int i = 0; i < 200; i++)
            kfree(block[i]);
        assert_int_equal(page_free_count(), free_before);
    }
    assert_int_equal(held_bytes(), 0);
}

/* Two CPUs that have used every size and freed it all keep less than 1 MiB. */
static void caches_of_two_cpus(void **state)
{
    (void)state;
    static void *all[14 * 100];
    fake_cpu_count = 2;
    fake_hal_init(256 * MIB);
    page_init();
    kmalloc_init();
    for (fake_cpu_id = 0; fake_cpu_id < 2; fake_cpu_id++) {
        size_t n = 0;
        for (size_t size = 16; size <= 2048 && n < 1300; size += size / 2)
            for (int i = 0; i < 100; i++)
                assert_non_null(all[n++] = kmalloc(size, 0));
        while (n)
            kfree(all[--n]);
        static struct page *pages[1000];
        for (int i = 0; i < 1000; i++)
            assert_non_null(pages[i] = page_alloc(0, PAGE_ANON, 0));
        for (int i = 0; i < 1000; i++)
            page_put(pages[i]);
    }
    assert_true(hot_count() >= 64);
    assert_true(hot_count() * PAGE_SIZE + held_bytes() < MIB);
}

static bool stack_page(vaddr_t at)
{
    return hal_space_query(hal_space_kernel(), at, NULL, NULL);
}

static void stacks_have_guards(void **state)
{
    (void)state;
    char *stacks[250]; /* of several page tables */
    uint64_t before = page_free_count();
    struct memory_account account = owner_get(OWNER_KERNEL_STACK);
    for (int i = 0; i < 250; i++) {
        stacks[i] = kstack_alloc();
        assert_non_null(stacks[i]);
        vaddr_t lo = (vaddr_t)stacks[i], mapped = lo + KSTACK_SIZE - KSTACK_MAPPED;
        assert_int_equal((lo - 1) >> 21, (lo + KSTACK_SIZE - 1) >> 21);
        assert_false(stack_page(lo - 1));
        assert_true(kstack_is_guard(lo - 1));
        assert_false(kstack_is_guard(lo));
        for (vaddr_t at = lo; at < lo + KSTACK_SIZE; at += PAGE_SIZE)
            assert_int_equal(stack_page(at), at >= mapped);
        assert_false(stack_page(lo + KSTACK_SIZE));
        for (int j = 0; j < i; j++)
            assert_true(lo >= (vaddr_t)stacks[j] + KSTACK_SIZE + PAGE_SIZE ||
                        lo + KSTACK_SIZE + PAGE_SIZE <= (vaddr_t)stacks[j]);
    }
    assert_int_equal(before - page_free_count(), 250 * KSTACK_MAPPED / PAGE_SIZE);
    assert_int_equal(owner_get(OWNER_KERNEL_STACK).objects - account.objects, 250);
    assert_int_equal(owner_get(OWNER_KERNEL_STACK).bytes - account.bytes, 250 * KSTACK_MAPPED);
    assert_false(kstack_is_guard(0x1000));
    /* Stacks are not host memory in this program, so they cannot be put into the cache of free
     * ones, whose links lie in them: fill it with failures instead. */
    for (int i = 0; i < 12; i++) {
        uint64_t free = page_free_count();
        fake_map_fail_nth(1);
        assert_null(kstack_alloc());
        assert_int_equal(free, page_free_count());
    }
    for (int n = 1; n <= 3; n++) {
        uint64_t free = page_free_count();
        alloc_fail_nth((uint64_t)n);
        void *stack = kstack_alloc();
        bool hit = alloc_fail_hit();
        alloc_fail_nth(0);
        assert_true(stack || (hit && free == page_free_count()));
    }
    page_check();
}

/* From the top on, without holes, for its own stack pointer only, never the guard page. */
static void stacks_grow_when_touched(void **state)
{
    (void)state;
    vaddr_t lo = (vaddr_t)kstack_alloc(), other = (vaddr_t)kstack_alloc();
    vaddr_t top = lo + KSTACK_SIZE, pages = KSTACK_SIZE / PAGE_SIZE;
    assert_true(lo && other && pages >= 4);
    kstack_refill(0);
    assert_true(kstack_reserve_full(0));
    uint64_t free = page_free_count(), grown = kstack_grown();
    assert_false(kernel_stack_fault(lo, other + KSTACK_SIZE - 64)); /* someone else's */
    assert_false(kernel_stack_fault(lo - 1, lo + 8));               /* guard */
    assert_false(kernel_stack_fault(lo + 8, lo - 8)); /* the pointer has left the stack */
    assert_false(kernel_stack_fault(top + 3 * (KSTACK_SIZE + PAGE_SIZE), top)); /* no stack */
    assert_false(kernel_stack_fault(0x1000, top));
    assert_int_equal(kstack_grown(), grown);
    /* The second page from below: all above it come, too; the end of a stack is no stack pointer
     * of the next one. */
    assert_true(kernel_stack_fault(lo + PAGE_SIZE + 123, top));
    for (vaddr_t at = lo; at < top; at += PAGE_SIZE)
        assert_int_equal(stack_page(at), at > lo);
    assert_int_equal(kstack_grown() - grown, pages - 2);
    assert_true(kernel_stack_fault(lo + PAGE_SIZE, top - 64)); /* it is there: nothing to do */
    assert_int_equal(kstack_grown() - grown, pages - 2);
    assert_false(kstack_reserve_full(0));
    /* What two stacks may need is there without a page from the allocator. */
    assert_true(kernel_stack_fault(lo, lo + 64));
    assert_true(kernel_stack_fault(other, other + 64));
    assert_int_equal(free, page_free_count());
    vaddr_t third = (vaddr_t)kstack_alloc();
    /* The reserve is empty now. (On this CPU: a second one would wait for the first one's panic.)
     */
    EXPECT_PANIC(kernel_stack_fault(third, third + 64));
    /* Without memory the reserve stays as it is, and the next try fills it. */
    alloc_fail_nth(1);
    kstack_refill(0);
    assert_false(kstack_reserve_full(0));
    alloc_fail_nth(0);
    kstack_refill(0);
    assert_true(kstack_reserve_full(0));
    page_check();
}

#if !SELKIE_ASAN
static void use_after_free_is_found(void **state)
{
    (void)state;
    char *p = kmalloc(64, 0), *volatile stale = p;
    kfree(p);
    stale[20] = 1;
    if (SELKIE_MEMORY_DEBUG)
        EXPECT_PANIC(kmalloc(64, 0));
}
static void double_free_is_found(void **state)
{
    (void)state;
    char *p = kmalloc(64, 0), *volatile stale = p;
    kfree(p);
    EXPECT_PANIC(kfree(stale));
}

/* Frees that no list of free objects begins with, here and on another CPU. */
static void bad_frees_are_found(void **state)
{
    (void)state;
    static char *all[200];
    char *p = kmalloc(96, 0);
    EXPECT_PANIC(kfree(p + 16));
    EXPECT_PANIC(kfree(p + 8));
    char *block = kmalloc(5000, 0);
    EXPECT_PANIC(kfree(block + 4096));
    if (SELKIE_MEMORY_DEBUG)
        return; /* it has its own tests, and a quarantine */
    kfree(p);
    fake_cpu_id = 1; /* its objects, freed by CPU 0 */
    p = kmalloc(96, 0);
    fake_cpu_id = 0;
    EXPECT_PANIC(kfree(p + 16));
    kfree(p);
    EXPECT_PANIC(kfree(p)); /* the object that names the slab */
    for (unsigned cpu = 2; cpu-- > 0;) {
        fake_cpu_id = cpu;
        for (int i = 0; i < 200; i++)
            assert_non_null(all[i] = kmalloc(512, 0));
        for (int i = 0; i < 200; i++)
            kfree(all[i]);
        /* Slabs that are empty, here and on CPU 1. */
        fake_cpu_id = 0;
        char *volatile stale = all[100];
        EXPECT_PANIC(kfree(stale));
        EXPECT_PANIC(kfree((void *)((uintptr_t)stale ^ 512)));
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(random_use, set_up),
        cmocka_unit_test_setup(limits, set_up),
        cmocka_unit_test_setup(failing_on_request, set_up),
        cmocka_unit_test_setup(failing_by_chance, set_up),
        cmocka_unit_test_setup(atomic_takes_the_reserve, set_up),
        cmocka_unit_test_setup_teardown(cpus_free_for_each_other, four_cpus, one_cpu),
        cmocka_unit_test_setup_teardown(producer_and_consumer, four_cpus, one_cpu),
        cmocka_unit_test_setup_teardown(turns_keep_the_slabs, four_cpus, one_cpu),
        cmocka_unit_test_setup(the_nearest_slab_goes, set_up),
        cmocka_unit_test_setup_teardown(idle_cpus_are_trimmed, four_cpus, one_cpu),
        cmocka_unit_test_setup_teardown(a_late_answer_counts, four_cpus, one_cpu),
        cmocka_unit_test_setup_teardown(trimming_is_done_in_short_steps, four_cpus, one_cpu),
        cmocka_unit_test_setup_teardown(caches_of_two_cpus, four_cpus, one_cpu),
        cmocka_unit_test_setup(stacks_have_guards, set_up),
        cmocka_unit_test_setup(stacks_grow_when_touched, set_up),
#if !SELKIE_ASAN
        cmocka_unit_test_setup(use_after_free_is_found, set_up),
        cmocka_unit_test_setup(double_free_is_found, set_up),
        cmocka_unit_test_setup_teardown(bad_frees_are_found, four_cpus, one_cpu),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
