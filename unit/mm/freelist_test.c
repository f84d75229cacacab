/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/* define: SELKIE_ASAN=0 */
/* freelist_test.c - attacks on the allocator's lists of free objects, as of a program or a kernel
 * bug that writes to an object it has freed, or frees it twice. The shipped allocator, without a
 * sanitizer's help. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"
#include "mm/kmalloc.h"
#include "mm/object.h"
#include "mm/page.h"
#include "mm/slab.h"

#define COUNT 8

static int set_up(void **state)
{
    (void)state;
    fake_cpu_count = 2;
    fake_cpu_id = 0;
    fake_hal_init((size_t)32 << 20);
    page_init();
    kmalloc_init();
    return 0;
}

static void *object[COUNT];

static void objects_take(void)
{
    for (int i = 0; i < COUNT; i++)
        assert_non_null(object[i] = kmalloc(64, 0));
}

/* Whichever object was freed before or after it. */
static void second_free_is_found(void **state)
{
    (void)state;
    for (volatile int victim = 0; victim < COUNT; victim++) {
        set_up(NULL);
        objects_take();
        for (int i = 0; i < COUNT; i++)
            kfree(object[i]);
        EXPECT_PANIC(kfree(object[victim]));
    }
}

/* On the way back to the CPU that its slab belongs to: the object that names the slab, and those
 * behind it. */
static void second_free_on_another_cpu_is_found(void **state)
{
    (void)state;
    for (volatile int victim = 0; victim < COUNT; victim++) {
        set_up(NULL);
        fake_cpu_id = 1;
        objects_take();
        fake_cpu_id = 0;
        for (int i = 0; i < COUNT; i++)
            kfree(object[i]);
        EXPECT_PANIC(kfree(object[victim]));
    }
}

/* What was allocated again may be freed again, whatever its owner left in it. */
static void reuse_is_no_second_free(void **state)
{
    (void)state;
    set_up(NULL);
    for (int round = 0; round < 1000; round++) {
        objects_take();
        for (int i = 0; i < COUNT; i++)
            if (round % 2)
                memset(object[i], round, 64);
        for (int i = 0; i < COUNT; i++)
            kfree(object[(i * 3 + round) % COUNT]);
    }
}

/* Where objects begin, and nowhere else: not in one, nor in what is left of the page behind the
 * last. */
static void only_objects_can_be_freed(void **state)
{
    (void)state;
    set_up(NULL);
    for (unsigned c = 0; c < SLAB_CLASSES; c++) {
        const struct pool *pool = &slab_pools[0].pool[c];
        for (uint32_t at = 0; at < PAGE_SIZE; at++)
            assert_int_equal(slab_offset_valid(pool, at),
                             at % pool->bytes == 0 && at / pool->bytes <= pool->others);
    }
    for (volatile unsigned cpu = 0; cpu < 2; cpu++) {
        fake_cpu_id = cpu;
        char *one = kmalloc(1360, 0);
        fake_cpu_id = 0;
        EXPECT_PANIC(kfree((char *)align_down((uintptr_t)one, PAGE_SIZE) + 4080));
    }
}

/* Compaction looks for its mark at pages that may become slabs at the same moment (buddy.c,
 * is_moving): no slab, of whatever class and however full, has it. */
static void slabs_are_not_marked_as_moving(void **state)
{
    (void)state;
    static void *all[256];
    set_up(NULL);
    for (size_t bytes = 1; bytes <= SLAB_SLOT_MAX; bytes += SLAB_UNIT) {
        for (unsigned i = 0; i < 256; i++)
            assert_non_null(all[i] = kmalloc(bytes, 0));
        for (unsigned i = 0; i < 256; i++) {
            const struct page *slab = page_of_virt(all[i]);
            assert_int_equal(slab->type, PAGE_SLAB);
            kfree(all[i]);
            assert_false(slab->flags & PAGE_FLAG_MOVING);
        }
        kmalloc_trim();
    }
}

#define GIVEN 42 /* exit status: the attack got what it wanted */

/* Runs `attack` in a process of its own: was it stopped, by a fault (or a sanitizer that sees it
 * coming)? */
static bool stopped(void (*attack)(void))
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        attack();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) || (WEXITSTATUS(status) != GIVEN && WEXITSTATUS(status) != 0);
}

static struct {
    char bytes[64];
} target __attribute__((aligned(64)));

/* A write to a freed object that is to make the allocator give out `target`. Exit status 1: it did.
 */
static void forge(uintptr_t link)
{
    set_up(NULL);
    objects_take();
    kfree(object[0]);
    kfree(object[1]); /* the next allocation; its link leads on */
    *(volatile uintptr_t *)object[1] = link;
    for (int i = 0; i < 4; i++)
        if (kmalloc(64, 0) == &target)
            _exit(GIVEN);
}

static void forge_plain(void)
{
    forge((uintptr_t)&target);
}

static void forge_zero(void)
{
    forge(0);
}

/* A link of another object, which does decode there, moved here. */
static void forge_copy(void)
{
    set_up(NULL);
    objects_take();
    kfree(object[0]);
    kfree(object[1]);
    kfree(object[2]);
    *(volatile uintptr_t *)object[2] = *(volatile uintptr_t *)object[1];
    for (int i = 0; i < 6; i++)
        for (int j = 3; j < COUNT; j++)
            if (kmalloc(64, 0) == object[j])
                _exit(GIVEN);
}

static void links_cannot_be_forged(void **state)
{
    (void)state;
    assert_true(stopped(forge_plain));
    assert_true(stopped(forge_zero));
    assert_true(stopped(forge_copy));
}

/* Two boots hide their links differently. */
static void secrets_differ(void **state)
{
    (void)state;
    set_up(NULL);
    uintptr_t first = slab_secret;
    assert_true(first != 0);
    set_up(NULL);
    assert_true(slab_secret != first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_free_is_found),
        cmocka_unit_test(second_free_on_another_cpu_is_found),
        cmocka_unit_test(slabs_are_not_marked_as_moving),
        cmocka_unit_test(only_objects_can_be_freed),
        cmocka_unit_test(reuse_is_no_second_free),
        cmocka_unit_test(links_cannot_be_forged),
        cmocka_unit_test(secrets_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
