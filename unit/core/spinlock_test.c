/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/core/spinlock.c kernel/core/panic.c kernel/core/log.c kernel/core/percpu.c
   kernel/lib/strutil.c kernel/mm/usercopy.c unit/fake_hal.c unit/fake_sched.c */
/* spinlock_test.c - what debug builds report about locks. Apart from core_test.c, because only the
 * first two panics of a program print anything. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/percpu.h"
#include "core/spinlock.h"
#include "fake.h"
#include "mm/usercopy.h"

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(1 << 20);
    return 0;
}

/* A lock that nobody gives back is reported once; the test then gives it back. */
static struct spinlock stuck = SPINLOCK_INIT(RANK_PAGE);
static unsigned reports;
static uint64_t reported_ns;
static void watch(const struct spinlock *lock, uint64_t waited_ns)
{
    assert_ptr_equal(lock, &stuck);
    reports++;
    reported_ns = waited_ns;
    __atomic_store_n(&stuck.word, 0, __ATOMIC_RELEASE);
}
static void long_waits_are_reported(void **state)
{
    (void)state;
    spin_watch = watch;
    spin_watch_ns = 3 * NS_PER_SEC;
    stuck.word = 1;
    fake_clock_step_ns = NS_PER_MS;
    spin_lock(&stuck);
    assert_int_equal(reports, 1);
    assert_in_range(reported_ns, 3 * NS_PER_SEC, 3 * NS_PER_SEC + NS_PER_MS);
    spin_unlock(&stuck);
    /* A CPU that stood still has not waited: of an hour between two looks 10 ms count. */
    stuck.word = 1;
    fake_clock_step_ns = 3600 * NS_PER_SEC;
    uint64_t began = fake_now_ns;
    spin_lock(&stuck);
    assert_int_equal(reports, 2);
    assert_true(fake_now_ns - began >= 300 * 3600 * NS_PER_SEC);
    spin_unlock(&stuck);
    fake_clock_step_ns = 0;
    spin_watch = NULL;
}

static void wrong_order_panics(void **state)
{
    (void)state;
    struct spinlock a = SPINLOCK_INIT(RANK_HOTPAGES), b = SPINLOCK_INIT(RANK_PAGE);
    spin_lock(&b);
    EXPECT_PANIC(spin_lock(&a));
    assert_non_null(strstr(fake_console[HAL_STREAM_LOG], "rank"));
}

static void recursion_panics(void **state)
{
    (void)state;
    struct spinlock a = SPINLOCK_INIT(RANK_HOTPAGES);
    spin_lock(&a);
    EXPECT_PANIC(spin_lock(&a));
}

static void equal_ranks_panic(void **state)
{
    (void)state;
    struct spinlock a = SPINLOCK_INIT(RANK_HOTPAGES), b = SPINLOCK_INIT(RANK_HOTPAGES);
    spin_lock(&a);
    EXPECT_PANIC(spin_lock(&b));
}

static void foreign_unlock_panics(void **state)
{
    (void)state;
    struct spinlock a = SPINLOCK_INIT(RANK_HOTPAGES);
    EXPECT_PANIC(spin_unlock(&a));
}

static struct spinlock handler_lock = SPINLOCK_INIT(RANK_LOG);
static unsigned interrupts;

static void sleeping_with_a_spinlock_panics(void **state)
{
    (void)state;
    struct spinlock a = SPINLOCK_INIT(RANK_HOTPAGES);
    lock_assert_sleepable();
    spin_lock(&a);
    EXPECT_PANIC(lock_assert_sleepable());
}

/* Locks before the one that may be taken are allowed, it and those behind it are not. */
static void what_may_be_taken(void **state)
{
    (void)state;
    lock_note_acquire(&interrupts, RANK_PIPE);
    lock_assert_may_take(RANK_SPACE);
    lock_note_acquire(&handler_lock, RANK_SPACE);
    EXPECT_PANIC(lock_assert_may_take(RANK_SPACE));
    lock_note_acquire(&handler_lock, RANK_PAGECACHE);
    EXPECT_PANIC(lock_assert_may_take(RANK_SPACE));
}

static void sleeping_in_a_handler_panics(void **state)
{
    (void)state;
    irq_enter();
    EXPECT_PANIC(lock_assert_sleepable());
    irq_exit();
    lock_assert_sleepable();
}

static void sleeping_without_preemption_panics(void **state)
{
    (void)state;
    preempt_disable();
    EXPECT_PANIC(lock_assert_sleepable()); /* which ends with a fresh thread */
    lock_assert_sleepable();
}

/* Copying from and to user memory may wait for a page. */
static void user_memory_with_a_spinlock_panics(void **state)
{
    struct spinlock a[4];
    char here = 0;
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        spin_init(&a[i], RANK_PAGE);
    EXPECT_PANIC((spin_lock(&a[0]), (void)!copyin(&here, uaddr(0x10000), 1)));
    EXPECT_PANIC((spin_lock(&a[1]), (void)!copyout(uaddr(0x10000), &here, 1)));
    EXPECT_PANIC((spin_lock(&a[2]), (void)!user_zero(uaddr(0x10000), 1)));
    EXPECT_PANIC((spin_lock(&a[3]), (void)!copyin_str(&here, uaddr(0x10000), 1)));
}

/* A sleeping lock stands before every spinlock. */
static void sleeping_lock_under_a_spinlock_panics(void **state)
{
    struct spinlock a = SPINLOCK_INIT(RANK_FUTEX);
    int mutex;
    (void)state;
    spin_lock(&a);
    EXPECT_PANIC(lock_note_acquire(&mutex, RANK_SLEEP_LAST));
}

static void too_many_locks_panic(void **state)
{
    static struct spinlock many[LOCK_HELD_MAX + 1];
    (void)state;
    STATIC_ASSERT(RANK_NONE + 2 + LOCK_HELD_MAX < RANK_COUNT);
    for (unsigned i = 0; i <= LOCK_HELD_MAX; i++) {
        spin_init(&many[i], RANK_NONE + 1 + i);
        if (i < LOCK_HELD_MAX)
            spin_lock(&many[i]);
    }
    EXPECT_PANIC(spin_lock(&many[LOCK_HELD_MAX]));
}

/* An interrupt that takes a lock after every single instruction (the processor's trap flag). */
static void interrupt(int signo)
{
    (void)signo;
    if (fake_irqs_off)
        return;
    interrupts++;
    spin_unlock_irqrestore(&handler_lock, spin_lock_irqsave(&handler_lock));
}

static void interrupts_do_not_disturb_the_list(void **state)
{
    const unsigned long trap = 0x100;
    struct spinlock a = SPINLOCK_INIT(RANK_HOTPAGES), b = SPINLOCK_INIT(RANK_PAGE);
    (void)state;
    assert_true(signal(SIGTRAP, interrupt) != SIG_ERR);
    interrupts = 0;
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | trap);
    spin_lock(&a);
    spin_lock(&b);
    spin_unlock(&a);
    spin_unlock(&b);
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~trap);
    signal(SIGTRAP, SIG_DFL);
    assert_true(interrupts > 50);
    assert_int_equal(thread_head()->held_count, 0);
    assert_int_equal(thread_head()->preempt_count, 0);
}

int main(void)
{
    if (!SELKIE_DEBUG)
        return 0; /* the checks are not compiled in */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(long_waits_are_reported, set_up),
        cmocka_unit_test_setup(wrong_order_panics, set_up),
        cmocka_unit_test_setup(recursion_panics, set_up),
        cmocka_unit_test_setup(equal_ranks_panic, set_up),
        cmocka_unit_test_setup(foreign_unlock_panics, set_up),
        cmocka_unit_test_setup(sleeping_with_a_spinlock_panics, set_up),
        cmocka_unit_test_setup(what_may_be_taken, set_up),
        cmocka_unit_test_setup(sleeping_in_a_handler_panics, set_up),
        cmocka_unit_test_setup(sleeping_without_preemption_panics, set_up),
        cmocka_unit_test_setup(user_memory_with_a_spinlock_panics, set_up),
        cmocka_unit_test_setup(sleeping_lock_under_a_spinlock_panics, set_up),
        cmocka_unit_test_setup(too_many_locks_panic, set_up),
        cmocka_unit_test_setup(interrupts_do_not_disturb_the_list, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
