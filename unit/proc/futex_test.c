/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched kernel/proc/futex.c kernel/proc/futex_requeue.c kernel/proc/futex_pi.c
   kernel/proc/futex_exit.c kernel/linux/sys_futex.c */
/* include: unit/sched/include */
/* futex_test.c - the futex calls on the simulated machine: errors, keys, timeouts and restarts, and
 * user-level locks built on them that must neither fail to exclude nor hang, over many
 * interleavings. */
#include "futex_sim.h"

/* ---- errors and timeouts ---- */

static void errors_main(void *arg)
{
    (void)arg;
    prepare();
    uint32_t *w = &memory[500];
    struct timespec64 bad = {0, 1000000000}, neg = {-1, 0}, ms = {0, 1000000};
    uint64_t t = (uintptr_t)&ms;
    *w = 1;
    SIM_CHECK(futex(w, WAIT | PRIVATE, 0, 0, NULL, 0) == -EAGAIN);
    SIM_CHECK(futex((uint32_t *)((char *)w + 1), WAIT, 0, 0, NULL, 0) == -EINVAL);
    SIM_CHECK(futex((uint32_t *)64, WAIT | PRIVATE, 0, 0, NULL, 0) == -EFAULT);
    SIM_CHECK(futex((uint32_t *)64, WAKE, 1, 0, NULL, 0) == -EFAULT);
    SIM_CHECK(futex((uint32_t *)64, WAKE | PRIVATE, 1, 0, NULL, 0) == 0); /* as Linux */
    SIM_CHECK(futex(w, WAIT, 1, (uintptr_t)&bad, NULL, 0) == -EINVAL);
    SIM_CHECK(futex(w, WAIT, 1, (uintptr_t)&neg, NULL, 0) == -EINVAL);
    SIM_CHECK(futex(w, WAIT, 1, 8, NULL, 0) == -EFAULT);
    SIM_CHECK(futex(w, WAIT_BITSET, 1, 0, NULL, 0) == -EINVAL);
    SIM_CHECK(futex(w, WAKE_BITSET, 1, 0, NULL, 0) == -EINVAL);
    SIM_CHECK(futex(w, WAKE | REALTIME, 1, 0, NULL, 0) == -ENOSYS);
    for (int op = 0; op < 128; op++)
        if (op == 2 || op > 13)
            SIM_CHECK(futex(w, op | PRIVATE, 1, t, w, 0) == -ENOSYS);
    SIM_CHECK(futex(w, REQUEUE, (uint32_t)-1, 1, w, 0) == -EINVAL);
    SIM_CHECK(futex(w, CMP_REQUEUE, 1, 1, w, 7) == -EAGAIN);
    SIM_CHECK(futex(w, WAKE_OP, 1, 1, w, 5u << 28) == -ENOSYS && *w == 1);
    /* The first word is an object's, the second is none: no reference is left. */
    SIM_CHECK(futex(&memory[3], REQUEUE, 1, 1, (uint32_t *)64, 0) == -EFAULT);
    SIM_CHECK(object_refs[0] == 0);
    struct syscall_args many = {.arg = {8, 1, 0, 0, 1}};
    SIM_CHECK(sys_futex_waitv(&many) == -EFAULT);

    uint64_t start = sim_now();
    SIM_CHECK(futex(w, WAIT, 1, t, NULL, 0) == -ETIMEDOUT && sim_now() >= start + 1000000);
    struct timespec64 at = {0, (int64_t)sim_now() + 2000000};
    SIM_CHECK(futex(w, WAIT_BITSET, 1, (uintptr_t)&at, NULL, 4) == -ETIMEDOUT);
    SIM_CHECK(sim_now() >= (uint64_t)at.nsec && sim_now() < (uint64_t)at.nsec + 1000000);
    uint64_t wall = clock_wall_ns() + 3000000, want = sim_now() + 3000000;
    at = (struct timespec64){(int64_t)(wall / NS_PER_SEC), (int64_t)(wall % NS_PER_SEC)};
    SIM_CHECK(futex(w, WAIT_BITSET | REALTIME, 1, (uintptr_t)&at, NULL, 4) == -ETIMEDOUT);
    SIM_CHECK(sim_now() >= want - 1000 && sim_now() < want + 1000000);
    at = (struct timespec64){1, 0}; /* long ago */
    SIM_CHECK(futex(w, WAIT_BITSET | REALTIME, 1, (uintptr_t)&at, NULL, 4) == -ETIMEDOUT);
    SIM_CHECK(object_refs[0] == 0 && object_refs[1] == 0);
}
static void errors_are_linux(void **state)
{
    (void)state;
    sim_test(1, 1, errors_main, NULL);
    sim_test(2, 2, errors_main, NULL);
}

static long wait_result;
static uint32_t waiter_flags;
static void waiter(void *arg)
{
    struct timespec64 long_time = {1000, 0};
    wait_result =
        futex((uint32_t *)arg, WAIT, 0, waiter_flags ? (uintptr_t)&long_time : 0, NULL, 0);
    finish();
}
static void restart_main(void *arg)
{
    prepare();
    waiter_flags = (uintptr_t)arg != 0;
    struct task *waiter_task = spawn(waiter, (uintptr_t)&memory[500]);
    sim_work(sim_random(10000));
    thread_interrupt(&waiter_task->thread);
    await_all();
    SIM_CHECK(wait_result == (waiter_flags ? -ERESTART_RESTARTBLOCK : -ERESTARTSYS));
    if (waiter_flags)
        SIM_CHECK(waiter_task->restart_deadline_ns >= 1000 * NS_PER_SEC);
}
static void interruptions_restart(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 10; seed++) {
        sim_test(2, seed, restart_main, NULL);
        sim_test(2, seed, restart_main, &seed);
    }
}
static void deadline_main(void *arg)
{
    struct timespec64 long_time = {1000, 0};
    (void)arg;
    prepare();
    task_current()->restart_deadline_ns = sim_now() + 5000000; /* as a restarted call finds it */
    SIM_CHECK(futex(&memory[500], WAIT, 0, (uintptr_t)&long_time, NULL, 0) == -ETIMEDOUT);
    SIM_CHECK(sim_now() < NS_PER_SEC);
}
static void restarted_wait_keeps_deadline(void **state)
{
    (void)state;
    sim_test(1, 1, deadline_main, NULL);
}

/* ---- wake, bitsets, requeue, keys ---- */

static unsigned woken;
static void bit_waiter(void *arg)
{
    uintptr_t where = (uintptr_t)arg; /* index of the word, and which bits */
    SIM_CHECK(futex(&memory[where & 0xffff], WAIT_BITSET, 0, 0, NULL, (uint32_t)(where >> 16)) ==
              0);
    __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
    finish();
}
static void wake_main(void *arg)
{
    (void)arg;
    prepare();
    for (unsigned i = 0; i < 4; i++)
        spawn(bit_waiter, 500 | (i < 3 ? 1 : 2) << 16);
    settle();
    SIM_CHECK(futex(&memory[501], WAKE, 10, 0, NULL, 0) == 0);
    SIM_CHECK(futex(&memory[500], WAKE_BITSET, 10, 0, NULL, 4) == 0);
    SIM_CHECK(futex(&memory[500], WAKE_BITSET, 10, 0, NULL, 2) == 1);
    SIM_CHECK(futex(&memory[500], WAKE_BITSET, 2, 0, NULL, ~0u) == 2);
    SIM_CHECK(futex(&memory[500], WAKE, 0, 0, NULL, 0) == 1); /* Linux wakes one for 0 */
    await_all();
    SIM_CHECK(woken == 4);

    for (unsigned i = 0; i < 5; i++)
        spawn(bit_waiter, 500 | 1 << 16);
    settle();
    SIM_CHECK(futex(&memory[500], CMP_REQUEUE, 1, 2, &memory[600], 0) == 3);
    SIM_CHECK(futex(&memory[600], WAKE, 10, 0, NULL, 0) == 2);
    SIM_CHECK(futex(&memory[500], REQUEUE, 0, 10, &memory[600], 0) == 2);
    SIM_CHECK(futex(&memory[500], WAKE, 10, 0, NULL, 0) == 0);
    /* memory[601] |= 1 << 5; wake 10 on 600, and 10 on 601 if it was != 0 */
    spawn(bit_waiter, 601 | 1 << 16);
    settle();
    SIM_CHECK(futex(&memory[600], WAKE_OP, 10, 10, &memory[601], 10u << 28 | 1 << 24 | 5 << 12) ==
              2);
    SIM_CHECK(memory[601] == 32);
    SIM_CHECK(futex(&memory[600], WAKE_OP, 10, 10, &memory[601],
                    1u << 28 | 4 << 24 | 0xfff << 12 | 31) == 1);
    SIM_CHECK(memory[601] == 31);
    await_all();
}
static void wakes_choose_and_count(void **state)
{
    (void)state;
    sim_test(1, 1, wake_main, NULL);
    sim_test_seeds(4, 10, wake_main);
}

static void shared_main(void *arg)
{
    (void)arg;
    prepare();
    spawn(bit_waiter, 3 | 1 << 16);
    spawn(bit_waiter, 3 | 1 << 16);
    spawn(bit_waiter, (128 + 3) | 1 << 16); /* another object at the same offset */
    settle();
    SIM_CHECK(object_refs[0] == 2 && object_refs[1] == 1);
    SIM_CHECK(futex(&memory[3], WAKE | PRIVATE, 10, 0, NULL, 0) == 0);
    SIM_CHECK(futex(&memory[64 + 3], WAKE, 1, 0, NULL, 0) == 1); /* through the other mapping */
    SIM_CHECK(futex(&memory[64 + 3], REQUEUE, 0, 5, &memory[128 + 9], 0) == 1);
    SIM_CHECK(futex(&memory[128 + 9], WAKE, 10, 0, NULL, 0) == 1);
    SIM_CHECK(futex(&memory[128 + 3], WAKE, 10, 0, NULL, 0) == 1);
    await_all();
}
static void shared_mappings_share(void **state)
{
    (void)state;
    sim_test_seeds(2, 10, shared_main);
}

/* Waiters with little time on two words between which they are moved: as many hear that they were
 * woken as the wakers say. */
static unsigned told;

static void hasty_waiter(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 40; i++) {
        struct timespec64 time = {0, (int64_t)sim_random(20000)};
        uint32_t *w = &memory[500 + 40 * sim_random(2)];
        long result = futex(w, WAIT | PRIVATE, 0, (uintptr_t)&time, NULL, 0);
        SIM_CHECK(result == 0 || result == -ETIMEDOUT);
        if (result == 0)
            __atomic_fetch_add(&told, 1, __ATOMIC_SEQ_CST);
    }
    finish();
}

static void moved_main(void *arg)
{
    unsigned said = 0;
    (void)arg;
    prepare();
    for (unsigned i = 0; i < 5; i++)
        spawn(hasty_waiter, 0);
    while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
        uint32_t *from = &memory[500 + 40 * sim_random(2)], *to = &memory[1040 - (from - memory)];
        long result = futex(from, REQUEUE | PRIVATE, 0, 1 + sim_random(3), to, 0);
        SIM_CHECK(result >= 0);
        result = sim_random(3) ? 0 : futex(to, WAKE | PRIVATE, 1, 0, NULL, 0);
        SIM_CHECK(result >= 0);
        said += (unsigned)result;
        sim_work(sim_random(2000));
    }
    await_all();
    SIM_CHECK(told == said);
}

static void the_moved_are_woken_once(void **state)
{
    (void)state;
    sim_test_seeds(4, SEEDS, moved_main);
}

/* Who is woken may end at once, because its time is up, and be gone before the waker, whose CPU
 * stands still, looks at it again: at any of its steps. */
static void short_lived(void *arg)
{
    struct timespec64 time = {0, 200000};
    long result = futex((uint32_t *)arg, WAIT | PRIVATE, 0, (uintptr_t)&time, NULL, 0);
    SIM_CHECK(result == 0 || result == -ETIMEDOUT);
    finish();
}

static bool over;
static void busy(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST)) {
        sim_work(20000);
        if (sim_random(8) == 0)
            sim_steal(3 * NS_PER_MS); /* more than the reaper waits */
    }
    finish();
}

static void short_lives_main(void *arg)
{
    (void)arg;
    prepare();
    spawn(busy, 0);
    for (unsigned i = 0; i < 60; i++) {
        spawn(short_lived, (uintptr_t)&memory[500]);
        sim_work(sim_random(100000));
        sim_stall_after(1 + i);
        SIM_CHECK(futex(&memory[500], WAKE | PRIVATE, 1, 0, NULL, 0) >= 0);
        sim_stall_after(0);
    }
    __atomic_store_n(&over, true, __ATOMIC_SEQ_CST);
    await_all();
}

static void the_woken_may_be_gone(void **state)
{
    (void)state;
    sim_test_seeds(4, 10, short_lives_main);
}

/* ---- user-level locks ---- */

static unsigned inside, rounds;

static uint32_t swap(uint32_t *w, uint32_t v)
{
    sim_point();
    return __atomic_exchange_n(w, v, __ATOMIC_SEQ_CST);
}
/* Drepper, "Futexes are tricky", the second mutex: 0 free, 1 taken, 2 taken with waiters. */
static void user_lock(uint32_t *w)
{
    uint32_t zero = 0;
    sim_point();
    if (__atomic_compare_exchange_n(w, &zero, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return;
    while (swap(w, 2))
        (void)futex(w, WAIT | PRIVATE, 2, 0, NULL, 0);
}
static void user_unlock(uint32_t *w)
{
    if (swap(w, 0) == 2)
        (void)futex(w, WAKE | PRIVATE, 1, 0, NULL, 0);
}
static void mutex_user(void *arg)
{
    for (unsigned i = 0; i < 40; i++) {
        user_lock(&memory[300]);
        SIM_CHECK(inside++ == 0);
        sim_point();
        SIM_CHECK(--inside == 0);
        user_unlock(&memory[300]);
    }
    (void)arg;
    finish();
}
static void user_mutex_main(void *arg)
{
    (void)arg;
    prepare();
    for (unsigned i = 0; i < THREADS; i++)
        spawn(mutex_user, i);
    await_all();
}
static void a_mutex_never_hangs(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, user_mutex_main);
    sim_test_seeds(4, SEEDS, user_mutex_main);
}

/* A condition variable as glibc had it for long: sequence word 310, mutex 300; a broadcast moves
 * the waiters to the mutex. Rounds: everyone waits until all have arrived. */
static unsigned arrived, generation;
static void cond_wait(void)
{
    uint32_t seq = __atomic_load_n(&memory[310], __ATOMIC_SEQ_CST);
    user_unlock(&memory[300]);
    (void)futex(&memory[310], WAIT | PRIVATE, seq, 0, NULL, 0);
    while (swap(&memory[300], 2)) /* waiters may have been moved here: 2, not 1 */
        (void)futex(&memory[300], WAIT | PRIVATE, 2, 0, NULL, 0);
}
static void cond_broadcast(void)
{
    long r;
    do {
        uint32_t seq = __atomic_add_fetch(&memory[310], 1, __ATOMIC_SEQ_CST);
        r = futex(&memory[310], CMP_REQUEUE | PRIVATE, 1, INT_MAX, &memory[300], seq);
    } while (r == -EAGAIN);
    SIM_CHECK(r >= 0);
}
static void barrier_user(void *arg)
{
    for (unsigned i = 0; i < 15; i++) {
        user_lock(&memory[300]);
        unsigned mine = generation;
        if (++arrived == THREADS) {
            arrived = 0;
            generation++;
            cond_broadcast();
            rounds++;
        } else {
            while (generation == mine)
                cond_wait();
        }
        user_unlock(&memory[300]);
    }
    (void)arg;
    finish();
}
static void cond_main(void *arg)
{
    (void)arg;
    prepare();
    for (unsigned i = 0; i < THREADS; i++)
        spawn(barrier_user, i);
    await_all();
    SIM_CHECK(rounds == 15);
}
static void a_condition_variable_never_hangs(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, cond_main);
    sim_test_seeds(4, SEEDS, cond_main);
}

/* Signals are counted by a sequence; a waiter that was late must not eat another one's wake. */
static void semaphore_user(void *arg)
{
    for (unsigned i = 0; i < 20; i++) {
        for (;;) {
            uint32_t n = __atomic_load_n(&memory[320], __ATOMIC_SEQ_CST);
            if (n && __atomic_compare_exchange_n(&memory[320], &n, n - 1, false, __ATOMIC_SEQ_CST,
                                                 __ATOMIC_SEQ_CST))
                break;
            struct timespec64 t = {0, (int64_t)sim_random(30000)};
            if (n == 0)
                (void)futex(&memory[320], WAIT, 0, sim_random(2) ? (uintptr_t)&t : 0, NULL, 0);
        }
    }
    (void)arg;
    finish();
}
static void semaphore_main(void *arg)
{
    (void)arg;
    prepare();
    for (unsigned i = 0; i < THREADS; i++)
        spawn(semaphore_user, i);
    for (unsigned i = 0; i < THREADS * 20; i++) {
        __atomic_fetch_add(&memory[320], 1, __ATOMIC_SEQ_CST);
        SIM_CHECK(futex(&memory[320], WAKE, 1, 0, NULL, 0) >= 0);
        if (sim_random(4) == 0)
            sim_work(sim_random(10000));
    }
    await_all();
    SIM_CHECK(memory[320] == 0);
}
static void a_semaphore_never_hangs(void **state)
{
    (void)state;
    sim_test_seeds(4, SEEDS, semaphore_main);
}

/* ---- robust lists ---- */

static void held_waiter(void *arg)
{
    SIM_CHECK(futex((uint32_t *)arg, WAIT, 77 | 0x80000000u, 0, NULL, 0) == 0);
    finish();
}

static void robust_main(void *arg)
{
    (void)arg;
    prepare();
    struct robust_node *n = (void *)&memory[700];
    uint64_t *head = (uint64_t *)(void *)&memory[400];
    struct task *me = task_current();
    me->tid = 77;
    for (unsigned i = 0; i < 4; i++)
        n[i].next = (uintptr_t)(i < 3 ? (void *)&n[i + 1] : (void *)head);
    n[0].lock = 77;
    n[1].lock = 77 | 0x80000000u;
    n[2].lock = 78; /* not ours */
    n[3].lock = 77; /* pending: handled once, at the end */
    n[4].lock = 0;
    head[0] = (uintptr_t)&n[0];
    head[1] = offsetof(struct robust_node, lock);
    head[2] = (uintptr_t)&n[3];
    spawn(held_waiter, (uintptr_t)&n[1].lock); /* hears of it */
    settle();
    me->robust_list = uaddr((uintptr_t)head);
    futex_exit(me);
    SIM_CHECK(n[0].lock == 0x40000000u && n[1].lock == 0xc0000000u && n[2].lock == 78);
    SIM_CHECK(n[3].lock == 0x40000000u && me->robust_list.raw == 0);
    await_all();

    /* A pending entry already unlocked: its waiter is woken. */
    head[0] = (uintptr_t)head;
    head[2] = (uintptr_t)&n[4];
    spawn(waiter, (uintptr_t)&n[4].lock);
    settle();
    me->robust_list = uaddr((uintptr_t)head);
    futex_exit(me);
    await_all();
    SIM_CHECK(wait_result == 0);

    /* A ring without the head, and bad addresses: it ends. */
    n[0].next = (uintptr_t)&n[0];
    head[0] = (uintptr_t)&n[0];
    head[2] = 0;
    me->robust_list = uaddr((uintptr_t)head);
    futex_exit(me);
    head[0] = 16;
    me->robust_list = uaddr((uintptr_t)head);
    futex_exit(me);
    me->robust_list = uaddr(8);
    futex_exit(me);
    for (unsigned i = 1; i < 6; i++) {
        head[0] = (uintptr_t)&n[0];
        fault_in = i;
        me->robust_list = uaddr((uintptr_t)head);
        futex_exit(me);
        fault_in = 0;
    }
}
static void robust_locks_are_given_up(void **state)
{
    (void)state;
    sim_test(1, 1, robust_main, NULL);
    sim_test(3, 1, robust_main, NULL);
}

/* ---- the wall clock ---- */

static void wall_waiter(void *arg)
{
    SIM_CHECK(futex(&memory[500], WAIT_BITSET | REALTIME, 0, (uintptr_t)arg, NULL, 1) ==
              -ETIMEDOUT);
    finish();
}
static void clock_main(void *arg)
{
    (void)arg;
    prepare();
    uint64_t wall = clock_wall_ns() + 1000 * NS_PER_SEC;
    struct timespec64 at = {(int64_t)(wall / NS_PER_SEC), (int64_t)(wall % NS_PER_SEC)};
    spawn(wall_waiter, (uintptr_t)&at);
    sim_work(sim_random(20000));
    SIM_CHECK(clock_wall_set(clock_wall_ns() + 2000 * NS_PER_SEC) == 0);
    futex_clock_set();
    await_all();
    SIM_CHECK(sim_now() < 100 * NS_PER_SEC);
}
static void setting_the_clock_ends_waits(void **state)
{
    (void)state;
    sim_test_seeds(2, SEEDS, clock_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_linux),
        cmocka_unit_test(interruptions_restart),
        cmocka_unit_test(restarted_wait_keeps_deadline),
        cmocka_unit_test(wakes_choose_and_count),
        cmocka_unit_test(shared_mappings_share),
        cmocka_unit_test(the_moved_are_woken_once),
        cmocka_unit_test(the_woken_may_be_gone),
        cmocka_unit_test(a_mutex_never_hangs),
        cmocka_unit_test(a_condition_variable_never_hangs),
        cmocka_unit_test(a_semaphore_never_hangs),
        cmocka_unit_test(robust_locks_are_given_up),
        cmocka_unit_test(setting_the_clock_ends_waits),
    };
    futex_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
