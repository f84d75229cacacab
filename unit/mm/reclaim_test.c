/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/*
 * reclaim_test.c - taking memory back: which file pages go, which stay, what the program sees;
 * levels, shrinkers, the allocator's alarm.
 */
#include "mm/reclaim.h"
#include "mm/space_fixture.h"

static int set_up(void **state)
{
    int err = space_set_up(state);
    vm_object_set_backed(&file.object, &file_ops);
    return err;
}

static void cache_all(void)
{
    struct page *page;
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(vm_object_page(&file.object, i, true, &page), 0);
        page_put(page);
    }
    assert_int_equal(file.object.page_count, 40);
}

static void check_file(void)
{
    unsigned char byte;
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(vm_object_read(&file.object, i * PG + 5, &byte, 1), 0);
        assert_int_equal(byte, (i * 7 + 3) & 255);
    }
}

static void clean_pages_go_and_come_back(void **state)
{
    (void)state;
    cache_all();
    assert_int_equal(vm_cache_pages(), 40);
    assert_int_equal(vm_cache_evict(10, false), 10);
    assert_int_equal(file.object.page_count, 30);
    assert_int_equal(vm_cache_evict(1000, false), 30);
    assert_int_equal(vm_cache_evict(1, true), 0);
    assert_int_equal(file.refs, 0);
    check_file();
}

static void written_and_used_pages_stay(void **state)
{
    (void)state;
    struct page *held;
    unsigned char byte = 0xee;
    cache_all();
    assert_int_equal(vm_object_write(&file.object, 7 * PG, &byte, 1), 0);
    assert_int_equal(vm_object_page(&file.object, 9, true, &held), 0);
    assert_int_equal(vm_cache_evict(1000, true), 38);
    assert_true(vm_object_cached(&file.object, 7) && vm_object_cached(&file.object, 9));
    page_put(held);
    assert_int_equal(vm_cache_evict(1000, false), 1);
    byte = 0;
    assert_int_equal(vm_object_read(&file.object, 7 * PG, &byte, 1), 0);
    assert_int_equal(byte, 0xee);
}

static void mapped_pages_go_only_if_asked(void **state)
{
    (void)state;
    vaddr_t out;
    unsigned char byte;
    assert_int_equal(map_file(BASE_ADDR, 40, RW, MAP_PRIVATE | MAP_FIXED, 0, &out), 0);
    for (vaddr_t i = 0; i < 40; i++)
        assert_int_equal(user_read(BASE_ADDR + i * PG, &byte), 0);
    assert_int_equal(user_write(BASE_ADDR + 3 * PG, 0x55), 0); /* copies page 3 */
    (void)vm_cache_evict(1000, false); /* page 3 of the file is not mapped any more */
    assert_int_equal(file.object.page_count, 39);
    uint64_t resident = space_resident(space);
    assert_int_equal(vm_cache_evict(1000, true), 39);
    assert_int_equal(space_resident(space), resident - 39);
    assert_int_equal(user_read(BASE_ADDR + 3 * PG, &byte), 0);
    assert_int_equal(byte, 0x55);
    for (vaddr_t i = 0; i < 40; i++) {
        assert_int_equal(user_read(BASE_ADDR + i * PG, &byte), 0);
        assert_int_equal(byte, i == 3 ? 0x55 : (i * 7 + 3) & 255);
    }
}

static void locked_pages_stay(void **state)
{
    (void)state;
    vaddr_t out;
    assert_int_equal(map_file(BASE_ADDR, 40, PROT_READ, MAP_PRIVATE | MAP_FIXED, 0, &out), 0);
    assert_int_equal(space_lock_pages(space, BASE_ADDR, 10 * PG, AREA_LOCKED), 0);
    cache_all();
    assert_int_equal(vm_cache_evict(1000, true), 30);
    for (uint64_t i = 0; i < 10; i++)
        assert_true(vm_object_cached(&file.object, i));
}

/* What a shared mapping has written is in the page cache only. */
static void shared_writers_keep_all(void **state)
{
    (void)state;
    vaddr_t out;
    unsigned char byte;
    assert_int_equal(map_file(BASE_ADDR, 40, RW, MAP_SHARED | MAP_FIXED, 0, &out), 0);
    assert_int_equal(user_write(BASE_ADDR + 3 * PG, 0x55), 0);
    assert_int_equal(vm_cache_evict(1000, true), 0);
    assert_int_equal(space_unmap(space, BASE_ADDR, 40 * PG), 0);
    assert_int_equal(vm_cache_evict(1000, true), 0);
    assert_int_equal(vm_object_read(&file.object, 3 * PG, &byte, 1), 0);
    assert_int_equal(byte, 0x55);
}

static uint64_t shrink_gives, shrink_asked;
static uint64_t shrink(uint64_t want)
{
    shrink_asked = want;
    return MIN(want, shrink_gives);
}

static void shrinkers_come_first(void **state)
{
    (void)state;
    static struct shrinker mine = {.name = "mine", .scan = shrink};
    const char *name;
    uint64_t freed;
    shrinker_register(&mine);
    cache_all();
    kmalloc_trim(); /* nothing is left for the shrinker of the slabs */
    shrink_gives = 8;
    assert_int_equal(memory_reclaim(8, true), 8);
    assert_int_equal(file.object.page_count, 40);
    assert_int_equal(memory_reclaim(20, false), 20);
    assert_int_equal(file.object.page_count, 28);
    assert_true(shrinker_get(0, &name, &freed));
    assert_string_equal(name, "slabs");
    assert_true(shrinker_get(1, &name, &freed));
    assert_string_equal(name, "kernel stacks");
    assert_true(shrinker_get(2, &name, &freed));
    assert_string_equal(name, "mine");
    assert_int_equal(freed, 16);
    assert_false(shrinker_get(3, &name, &freed));
    shrink_gives = 0;
    (void)memory_reclaim(1000, false);
}

static unsigned alarms;
static void count_alarm(void)
{
    alarms++;
}

static void levels_and_alarm(void **state)
{
    (void)state;
    uint64_t low = memory_level_pages(MEMORY_LOW), last = page_free_count();
    uint64_t medium = memory_level_pages(MEMORY_MEDIUM),
             worst = memory_level_pages(MEMORY_CRITICAL);
    struct list taken;
    unsigned seen[4] = {0};
    list_init(&taken);
    alarms = 0;
    memory_alarm = count_alarm;
    memory_alarm_set(low);
    shrink_gives = 1u << 20; /* reclaim works: levels go by free pages alone */
    assert_int_equal(memory_reclaim(4, false), 4);
    for (struct page *page; (page = page_alloc(0, PAGE_KERNEL, 0)); last--) {
        list_push_back(&taken, &page->link);
        uint64_t free = page_free_count();
        enum memory_level want = free >= low      ? MEMORY_PLENTY
                                 : free >= medium ? MEMORY_LOW
                                 : free >= worst  ? MEMORY_MEDIUM
                                                  : MEMORY_CRITICAL;
        assert_int_equal(memory_level(), want);
        seen[want]++;
        assert_true((alarms > 0) == (free < low));
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
    assert_false(memory_available(1));
    unsigned before = alarms;
    assert_null(page_alloc(0, PAGE_KERNEL, 0)); /* one that fails rings, too */
    assert_int_equal(alarms, before + 1);
    page_put_list(&taken);
    assert_true(memory_available(1));
    assert_int_equal(memory_level(), MEMORY_PLENTY);
    memory_alarm_set(0);
    memory_alarm = NULL;
    shrink_gives = 0;
}

/* Reclaim that brings little makes the level one worse. */
static void futile_reclaim_is_worse(void **state)
{
    (void)state;
    struct list taken;
    list_init(&taken);
    kmalloc_trim();
    while (memory_level() == MEMORY_PLENTY) {
        struct page *page = page_alloc(0, PAGE_KERNEL, 0);
        list_push_back(&taken, &page->link);
    }
    assert_int_equal(memory_level(), MEMORY_LOW);
    assert_int_equal(memory_reclaim(100, true), 0);
    assert_int_equal(memory_level(), MEMORY_MEDIUM);
    page_put_list(&taken);
    assert_int_equal(memory_level(), MEMORY_PLENTY);
}

/* Code that was evicted and comes back is counted; while the machine thrashes it does not come. */
static void code_that_comes_back(void **state)
{
    (void)state;
    struct page *page;
    vaddr_t a;
    uint64_t before = vm_cache_refaults();
    cache_all();
    assert_int_equal(vm_cache_evict(1000, false), 40);
    cache_all();
    assert_int_equal(vm_cache_refaults(), before); /* data */
    assert_int_equal(map_file(0, 4, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0, &a), 0);
    assert_int_equal(vm_cache_evict(10, false), 10);
    check_file(); /* reading it is no sign of thrashing */
    assert_int_equal(vm_cache_refaults(), before);
    assert_int_equal(vm_cache_evict(10, false), 10);
    cache_all();
    cache_all();
    assert_int_equal(vm_cache_refaults(), before + 10);
    assert_int_equal(vm_cache_evict(10, false), 10);
    memory_set_thrashing(true);
    assert_int_equal(vm_object_page(&file.object, 5, true, &page), -ENOMEM);
    memory_set_thrashing(false);
    cache_all();
    assert_int_equal(vm_cache_refaults(), before + 20);
    /* A page that is filled for the first time does not come back, whatever happened to others. */
    assert_int_equal(vm_object_resize(&file.object, 20 * PG), 0);
    assert_int_equal(vm_cache_evict(1000, false), 20);
    assert_int_equal(vm_object_resize(&file.object, 40 * PG), 0);
    assert_int_equal(vm_object_page(&file.object, 25, true, &page), 0);
    page_put(page);
    assert_int_equal(vm_cache_refaults(), before + 20);
    assert_int_equal(vm_object_page(&file.object, 5, true, &page), 0);
    page_put(page);
    assert_int_equal(vm_cache_refaults(), before + 21);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, space_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(clean_pages_go_and_come_back),  TEST(written_and_used_pages_stay),
        TEST(mapped_pages_go_only_if_asked), TEST(locked_pages_stay),
        TEST(shared_writers_keep_all),       TEST(futile_reclaim_is_worse),
        TEST(shrinkers_come_first),          TEST(levels_and_alarm),
        TEST(code_that_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
