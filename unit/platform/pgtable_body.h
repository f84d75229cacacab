/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pgtable_body.h - the tests of the page-table walker, compiled once for each real encoding by
 * pgtable_x64_test.c and pgtable_aarch64_test.c, which include pte.h and pgtable.c before it.
 *
 * Table pages come from an arena that counts, can be told to fail, and poisons freed pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARENA_PAGES 512u
#define PAGE HAL_PAGE_SIZE
#define RW (HAL_PROT_READ | HAL_PROT_WRITE)
#define RX (HAL_PROT_READ | HAL_PROT_EXEC)
#define RWX 7u
#define MIB (1ull << 20)
#define GIB (1ull << 30)

uintptr_t fake_ram_base;
void *fake_self;
bool fake_irqs_off;

void kernel_hal_panic(const char *what, uintptr_t pc, uintptr_t fp)
{
    (void)pc, (void)fp;
    print_error("%s\n", what);
    abort();
}

static uint8_t *arena;
static bool arena_used[ARENA_PAGES];
static unsigned arena_count, fail_after;
static unsigned flush_count;

static paddr_t arena_alloc(void)
{
    if (fail_after && --fail_after == 0)
        return HAL_NO_PAGE;
    /* Page 0 is never handed out: a chain of detached pages ends with it. */
    for (unsigned i = 1; i < ARENA_PAGES; i++)
        if (!arena_used[i]) {
            arena_used[i] = true;
            arena_count++;
            memset(arena + i * PAGE, 0, PAGE);
            return i * PAGE;
        }
    return HAL_NO_PAGE;
}

static void arena_free(paddr_t pa)
{
    size_t i = pa / PAGE;

    assert_true(i > 0 && i < ARENA_PAGES && arena_used[i]);
    memset(arena + i * PAGE, 0xa5, PAGE);
    arena_used[i] = false;
    arena_count--;
}

static void arena_flush(struct pgtable *pt, vaddr_t va, size_t len)
{
    unsigned level;

    /* Break before make: what is being replaced must be gone by now. */
    assert_true(!pte_is_live(entry_find(pt, va, &level)));
    assert_true(len >= PAGE);
    flush_count++;
}

static const struct pgtable_ops ops = {arena_alloc, arena_free, arena_flush};
static struct pgtable pt;
static struct pgtable_change change;

static int setup(void **state)
{
    (void)state;
    arena = aligned_alloc(PAGE, ARENA_PAGES * PAGE);
    fake_ram_base = (uintptr_t)arena;
    memset(arena_used, 0, sizeof(arena_used));
    arena_count = fail_after = flush_count = 0;
    change = (struct pgtable_change){0};
    return pgtable_init(&pt, &ops);
}

/* Whatever a test did, nothing leaks. */
static int teardown(void **state)
{
    (void)state;
    fail_after = 0;
    pgtable_release(&pt, &change);
    pgtable_destroy(&pt, 0, 1ull << 47);
    assert_int_equal(arena_count, 0);
    free(arena);
    return 0;
}

static void check_page(vaddr_t va, paddr_t pa, unsigned prot)
{
    paddr_t seen;
    unsigned bits;

    assert_true(pgtable_query(&pt, va, &seen, &bits));
    assert_int_equal(seen, pa);
    assert_int_equal(bits & RWX, prot);
}

static void one_page_and_its_neighbours(void **state)
{
    vaddr_t va = 0x7fffdeadb000;

    (void)state;
    assert_int_equal(pgtable_map(&pt, va, 0x123000, PAGE, RW, 0, &change), 0);
    assert_false(change.stale);
    check_page(va, 0x123000, RW);
    check_page(va + 0x123, 0x123123, RW);
    assert_false(pgtable_query(&pt, va - 1, NULL, NULL));
    assert_false(pgtable_query(&pt, va + PAGE, NULL, NULL));
    assert_int_equal(pgtable_next(&pt, 0, 1ull << 47), va);
    assert_int_equal(pgtable_next(&pt, va + PAGE, 1ull << 47), 1ull << 47);
    assert_int_equal(pgtable_next(&pt, 0, va), va);
    assert_int_equal(pgtable_unmap(&pt, va, PAGE, &change), 0);
    assert_true(change.stale && change.lo <= va && change.hi >= va + PAGE);
    assert_false(pgtable_query(&pt, va, NULL, NULL));
}

static void every_protection_survives(void **state)
{
    const unsigned prots[] = {HAL_PROT_READ, RW, RX, RWX};

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(prots); i++)
        for (unsigned j = 0; j < ARRAY_COUNT(prots); j++) {
            assert_int_equal(pgtable_map(&pt, 0x400000, 0x9000, PAGE, prots[i], 0, &change), 0);
            check_page(0x400000, 0x9000, prots[i]);
            assert_int_equal(pgtable_protect(&pt, 0x400000, PAGE, prots[j], &change), 0);
            check_page(0x400000, 0x9000, prots[j]);
        }
}

static void no_access_keeps_the_frame(void **state)
{
    unsigned level;

    (void)state;
    /* Frame 0 too: its entry must not look like a hole. */
    for (paddr_t pa = 0; pa <= 0x5000; pa += 0x5000) {
        assert_int_equal(pgtable_map(&pt, 0x10000, pa, PAGE, 0, 0, &change), 0);
        check_page(0x10000, pa, 0);
        assert_false(pte_is_live(entry_find(&pt, 0x10000, &level)));
        assert_int_equal(pgtable_next(&pt, 0, GIB), 0x10000);
        assert_int_equal(pgtable_protect(&pt, 0x10000, PAGE, RX, &change), 0);
        check_page(0x10000, pa, RX);
        change = (struct pgtable_change){0};
        assert_int_equal(pgtable_protect(&pt, 0x10000, PAGE, 0, &change), 0);
        assert_true(change.stale);
        check_page(0x10000, pa, 0);
    }
}

static void scattered_frames_across_a_table_border(void **state)
{
    const paddr_t frames[4] = {0x1000, 0xabc000, 0x7000, 0xfffff000};
    vaddr_t va = 2 * MIB - 2 * PAGE;

    (void)state;
    assert_int_equal(pgtable_map_pages(&pt, va, frames, 4, RW, &change), 0);
    for (unsigned i = 0; i < 4; i++)
        check_page(va + i * PAGE, frames[i], RW);
}

static void large_leaves_where_aligned(void **state)
{
    (void)state;
    assert_int_equal(pgtable_map(&pt, GIB - 2 * MIB - PAGE, 3 * GIB - 2 * MIB - PAGE, GIB + 4 * MIB,
                                 RW, 2, &change),
                     0);
    for (vaddr_t at = 0; at < GIB + 4 * MIB; at += 2 * MIB - PAGE)
        check_page(GIB - 2 * MIB - PAGE + at, 3 * GIB - 2 * MIB - PAGE + at, RW);
    /* Root and one table per level on each side of the border, no more. */
    assert_true(arena_count <= 7);
}

static void unmapping_a_part_splits(void **state)
{
    (void)state;
    assert_int_equal(pgtable_map(&pt, 4 * GIB, 2 * GIB, GIB, RX, 2, &change), 0);
    assert_int_equal(pgtable_unmap(&pt, 4 * GIB + 6 * MIB + PAGE, PAGE, &change), 0);
    assert_false(pgtable_query(&pt, 4 * GIB + 6 * MIB + PAGE, NULL, NULL));
    check_page(4 * GIB, 2 * GIB, RX);
    check_page(4 * GIB + 6 * MIB, 2 * GIB + 6 * MIB, RX);
    check_page(4 * GIB + 6 * MIB + 2 * PAGE, 2 * GIB + 6 * MIB + 2 * PAGE, RX);
    check_page(5 * GIB - PAGE, 3 * GIB - PAGE, RX);
}

static void check_bytes(vaddr_t lo, vaddr_t hi, uint64_t small, uint64_t mid, uint64_t large)
{
    uint64_t bytes[PGTABLE_LEAF_LEVELS] = {0};

    pgtable_leaf_bytes(&pt, lo, hi, bytes);
    assert_int_equal(bytes[0], small);
    assert_int_equal(bytes[1], mid);
    assert_int_equal(bytes[2], large);
}

/* As the direct map: 3 GiB, of which the image's constants are read-only and a page is a guard. */
static void a_gib_splits_no_more_than_it_must(void **state)
{
    const vaddr_t va = 512 * GIB;

    (void)state;
    assert_int_equal(pgtable_map(&pt, va, 0, 3 * GIB, RW, 2, &change), 0);
    assert_int_equal(arena_count, 2); /* the root and the table of its leaves */
    check_bytes(va, va + 512 * GIB, 0, 0, 3 * GIB);
    assert_int_equal(
        pgtable_map(&pt, va + GIB + 16 * MIB, GIB + 16 * MIB, 3 * MIB, HAL_PROT_READ, 0, &change),
        0);
    check_bytes(va, va + 3 * GIB, 4 * MIB, GIB - 4 * MIB, 2 * GIB);
    check_page(va + GIB + 16 * MIB - PAGE, GIB + 16 * MIB - PAGE, RW);
    check_page(va + GIB + 16 * MIB, GIB + 16 * MIB, HAL_PROT_READ);
    check_page(va + GIB + 19 * MIB - PAGE, GIB + 19 * MIB - PAGE, HAL_PROT_READ);
    check_page(va + GIB + 19 * MIB, GIB + 19 * MIB, RW);
    assert_int_equal(pgtable_unmap(&pt, va + 3 * GIB - PAGE, PAGE, &change), 0);
    check_bytes(va, va + 3 * GIB, 6 * MIB - PAGE, 2 * GIB - 6 * MIB, GIB);
    check_page(va + 3 * GIB - 2 * PAGE, 3 * GIB - 2 * PAGE, RW);
    /* A GiB as a whole changes without a table. */
    assert_int_equal(pgtable_protect(&pt, va, GIB, HAL_PROT_READ, &change), 0);
    check_bytes(va, va + GIB, 0, 0, GIB);
    check_page(va + GIB - PAGE, GIB - PAGE, HAL_PROT_READ);
    check_bytes(va + MIB, va + 3 * MIB, 0, 0, 2 * MIB); /* clipped to the range */
    /* Without memory for the tables nothing changes. */
    fail_after = 2;
    assert_int_equal(pgtable_map(&pt, va + PAGE, PAGE, PAGE, RW, 0, &change), -ENOMEM);
    fail_after = 0;
    check_page(va, 0, HAL_PROT_READ);
    check_page(va + PAGE, PAGE, HAL_PROT_READ);
    check_page(va + GIB - PAGE, GIB - PAGE, HAL_PROT_READ);
}

static void protecting_a_part_splits(void **state)
{
    (void)state;
    assert_int_equal(pgtable_map(&pt, 2 * MIB, 8 * MIB, 2 * MIB, RW, 1, &change), 0);
    assert_int_equal(pgtable_protect(&pt, 3 * MIB, MIB / 2, HAL_PROT_READ, &change), 0);
    check_page(3 * MIB - PAGE, 9 * MIB - PAGE, RW);
    check_page(3 * MIB, 9 * MIB, HAL_PROT_READ);
    check_page(3 * MIB + MIB / 2, 9 * MIB + MIB / 2, RW);
    assert_true(change.stale || flush_count);
}

static void no_access_large_leaf_splits(void **state)
{
    (void)state;
    assert_int_equal(pgtable_map(&pt, 2 * MIB, 8 * MIB, 2 * MIB, 0, 1, &change), 0);
    check_page(2 * MIB + PAGE, 8 * MIB + PAGE, 0);
    assert_int_equal(pgtable_protect(&pt, 2 * MIB, PAGE, RW, &change), 0);
    check_page(2 * MIB, 8 * MIB, RW);
    check_page(2 * MIB + PAGE, 8 * MIB + PAGE, 0);
}

static void a_large_leaf_replaces_tables(void **state)
{
    unsigned before;

    (void)state;
    assert_int_equal(pgtable_map(&pt, 2 * MIB, 0x1000, 2 * MIB, RW, 0, &change), 0);
    before = arena_count;
    assert_int_equal(pgtable_map(&pt, 2 * MIB, 4 * MIB, 2 * MIB, RX, 1, &change), 0);
    assert_true(change.stale && change.tables && change.freed != 0);
    pgtable_release(&pt, &change);
    assert_int_equal(arena_count, before - 1);
    check_page(2 * MIB + 5 * PAGE, 4 * MIB + 5 * PAGE, RX);
}

static void whole_tables_are_given_back(void **state)
{
    unsigned before = arena_count;

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(pgtable_map(&pt, 512 * GIB + i * 64 * MIB, 0x1000, PAGE, RW, 0, &change),
                         0);
    assert_int_equal(pgtable_unmap(&pt, 512 * GIB, 512 * GIB, &change), 0);
    assert_true(change.tables);
    pgtable_release(&pt, &change);
    assert_int_equal(arena_count, before);
    assert_int_equal(pgtable_next(&pt, 0, 1ull << 47), 1ull << 47);
}

static void kernel_half_addresses(void **state)
{
    vaddr_t va = 0xffffc90000000000;

    (void)state;
    assert_int_equal(pgtable_populate_root(&pt, va, va + 512 * GIB), 0);
    assert_int_equal(pgtable_map(&pt, va + PAGE, 0x8000, 2 * PAGE, RW, 0, &change), 0);
    check_page(va + 2 * PAGE, 0x9000, RW);
    assert_int_equal(pgtable_next(&pt, va, va + GIB), va + PAGE);
    assert_int_equal(pgtable_unmap(&pt, va + PAGE, 2 * PAGE, &change), 0);
    assert_int_equal(pgtable_next(&pt, va, va + GIB), va + GIB);
    /* The root's slot is shared with other roots and goes with the kernel's only. */
    pgtable_release(&pt, &change);
    pgtable_destroy(&pt, va, va + 512 * GIB);
    assert_int_equal(pgtable_init(&pt, &ops), 0);
}

static void replacing_a_frame_flushes(void **state)
{
    (void)state;
    assert_int_equal(pgtable_map(&pt, 0x10000, 0x1000, PAGE, RW, 0, &change), 0);
    assert_int_equal(pgtable_map(&pt, 0x10000, 0x2000, PAGE, RW, 0, &change), 0);
    /* Once: what break-before-make has flushed is not flushed again. */
    assert_int_equal(change.stale, !PTE_BREAK_BEFORE_MAKE);
    assert_int_equal(flush_count, PTE_BREAK_BEFORE_MAKE);
    change = (struct pgtable_change){0};
    assert_int_equal(pgtable_protect(&pt, 0x10000, PAGE, HAL_PROT_READ, &change), 0);
    assert_true(change.stale);
    /* Mapping the same again changes nothing. */
    change = (struct pgtable_change){0};
    assert_int_equal(pgtable_map(&pt, 0x10000, 0x2000, PAGE, HAL_PROT_READ, 0, &change), 0);
    check_page(0x10000, 0x2000, HAL_PROT_READ);
}

static void out_of_memory_leaves_old_or_new(void **state)
{
    const size_t len = 4 * MIB + 4 * PAGE;
    const vaddr_t va = GIB - 2 * MIB;

    (void)state;
    for (unsigned nth = 1; nth < 8; nth++) {
        int err;

        fail_after = nth;
        err = pgtable_map(&pt, va, 16 * MIB, len, RW, 0, &change);
        fail_after = 0;
        assert_true(err == 0 || err == -ENOMEM);
        for (size_t at = 0; at < len; at += PAGE) {
            paddr_t pa;

            if (pgtable_query(&pt, va + at, &pa, NULL))
                assert_int_equal(pa, 16 * MIB + at);
            else
                assert_int_equal(err, -ENOMEM);
        }
        assert_int_equal(pgtable_unmap(&pt, 0, 512 * GIB, &change), 0);
        pgtable_release(&pt, &change);
        assert_int_equal(arena_count, 1);
    }
    assert_int_equal(pgtable_map(&pt, 0, 0, 2 * MIB, RW, 1, &change), 0);
    fail_after = 1;
    assert_int_equal(pgtable_unmap(&pt, PAGE, PAGE, &change), -ENOMEM);
    check_page(PAGE, PAGE, RW);
}

/* Random operations against an array: three tables' worth of pages around a 1 GiB border. */
#define MODEL_PAGES 1536u
static struct {
    bool mapped;
    paddr_t pa;
    unsigned prot;
} model[MODEL_PAGES];

static void model_check(vaddr_t base)
{
    vaddr_t next = pgtable_next(&pt, base, base + MODEL_PAGES * PAGE);
    unsigned first = MODEL_PAGES;

    for (unsigned i = MODEL_PAGES; i-- > 0;) {
        if (!model[i].mapped) {
            assert_false(pgtable_query(&pt, base + i * PAGE, NULL, NULL));
            continue;
        }
        first = i;
        check_page(base + i * PAGE, model[i].pa, model[i].prot);
    }
    assert_int_equal(next, base + first * PAGE);
}

/* One table page waits for every large leaf. */
static void deposits_check(vaddr_t base)
{
    uint64_t leaves = 0, pages = 0;

    for (vaddr_t va = base; va < base + MODEL_PAGES * PAGE; va += 2 * MIB) {
        unsigned level;
        leaves += pte_is_mapped(entry_find(&pt, va, &level)) && level == 1;
    }
    for (paddr_t page = pt.deposit; page; page = table_at(page)[0])
        pages++;
    assert_int_equal(leaves, pages);
    assert_int_equal(leaves, pt.large);
}

static void random_operations_match_a_model(void **state)
{
    const unsigned prots[] = {0, HAL_PROT_READ, RW, RX};
    const vaddr_t base = 7 * GIB - 4 * MIB;

    (void)state;
    srand(4711);
    memset(model, 0, sizeof(model));
    for (unsigned round = 0; round < 600; round++) {
        unsigned from = (unsigned)rand() % MODEL_PAGES;
        unsigned count = 1 + (unsigned)rand() % (MODEL_PAGES - from);
        unsigned prot = prots[rand() % 4], kind = (unsigned)rand() % 4;
        paddr_t pa = ((paddr_t)rand() % 4096) * 2 * MIB + (from % 512) * PAGE;
        bool live = false;

        for (unsigned i = from; i < from + count; i++) {
            live |= model[i].mapped && model[i].prot && kind == 2;
            if (kind < 2 || (kind == 3 && model[i].mapped))
                model[i].prot = prot;
            if (kind < 2)
                model[i].pa = pa + (i - from) * PAGE;
            if (kind != 3)
                model[i].mapped = kind < 2;
        }
        change = (struct pgtable_change){0};
        if (kind < 2)
            assert_int_equal(
                pgtable_map(&pt, base + from * PAGE, pa, count * PAGE, prot, kind, &change), 0);
        else if (kind == 2)
            assert_int_equal(pgtable_unmap(&pt, base + from * PAGE, count * PAGE, &change), 0);
        else
            assert_int_equal(pgtable_protect(&pt, base + from * PAGE, count * PAGE, prot, &change),
                             0);
        if (live)
            assert_true(change.stale);
        pgtable_release(&pt, &change);
        if (round % 8 == 0)
            model_check(base);
        if (pt.deposits)
            deposits_check(base);
    }
    model_check(base);
}

static void random_operations_with_deposits(void **state)
{
    pt.deposits = true;
    random_operations_match_a_model(state);
}

/* With deposits nothing that takes away or splits needs memory; without memory for the deposit the
 * leaves are small. */
static void deposits_make_splitting_safe(void **state)
{
    unsigned level;

    (void)state;
    pt.deposits = true;
    assert_int_equal(pgtable_map(&pt, 0, 0, 6 * MIB, RW, 1, &change), 0);
    assert_int_equal(pt.large, 3);
    for (unsigned i = 0; i < 3; i++) {
        fail_after = 1;
        if (i < 2)
            assert_int_equal(pgtable_unmap(&pt, PAGE, 2 * MIB, &change), 0);
        else
            assert_int_equal(pgtable_protect(&pt, 4 * MIB, PAGE, RX, &change), 0);
        fail_after = 0;
    }
    assert_int_equal(pt.large, 0);
    assert_int_equal(pt.deposit, 0);
    check_page(0, 0, RW);
    assert_false(pgtable_query(&pt, 2 * MIB, NULL, NULL));
    check_page(2 * MIB + PAGE, 2 * MIB + PAGE, RW);
    check_page(4 * MIB, 4 * MIB, RX);
    assert_int_equal(pgtable_map(&pt, 8 * MIB, 0, PAGE, RW, 1, &change), 0);
    /* A table stays, for others may be looking into it. */
    assert_int_equal(pgtable_map(&pt, 8 * MIB, 8 * MIB, 2 * MIB, RW, 1, &change), 0);
    assert_true(pte_is_mapped(entry_find(&pt, 8 * MIB, &level)));
    assert_int_equal(level, 0);
    fail_after = 1;
    assert_int_equal(pgtable_map(&pt, 10 * MIB, 10 * MIB, 2 * MIB, RW, 1, &change), 0);
    fail_after = 0;
    assert_int_equal(pt.large, 0);
    check_page(11 * MIB, 11 * MIB, RW);
    /* Whole leaves go with their deposits, by whatever covers them. */
    assert_int_equal(pgtable_map(&pt, GIB, GIB, 8 * MIB, RW, 1, &change), 0);
    assert_int_equal(pgtable_map(&pt, GIB, 2 * GIB, 2 * MIB, RX, 1, &change), 0);
    check_page(GIB + PAGE, 2 * GIB + PAGE, RX);
    assert_int_equal(pt.large, 4);
    assert_int_equal(pgtable_unmap(&pt, GIB, 2 * MIB, &change), 0);
    assert_int_equal(pt.large, 3);
    assert_int_equal(pgtable_unmap(&pt, GIB, GIB, &change), 0);
    assert_int_equal(pt.large, 0);
    assert_int_equal(pgtable_map(&pt, GIB, GIB, 8 * MIB, 0, 1, &change), 0); /* for the teardown */
    assert_int_equal(pt.large, 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_page_and_its_neighbours),       TEST(every_protection_survives),
        TEST(no_access_keeps_the_frame),         TEST(scattered_frames_across_a_table_border),
        TEST(large_leaves_where_aligned),        TEST(unmapping_a_part_splits),
        TEST(a_gib_splits_no_more_than_it_must), TEST(protecting_a_part_splits),
        TEST(no_access_large_leaf_splits),       TEST(a_large_leaf_replaces_tables),
        TEST(whole_tables_are_given_back),       TEST(kernel_half_addresses),
        TEST(replacing_a_frame_flushes),         TEST(out_of_memory_leaves_old_or_new),
        TEST(random_operations_match_a_model),   TEST(random_operations_with_deposits),
        TEST(deposits_make_splitting_safe),      TEST(entries_are_what_the_manual_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
