/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched kernel/proc/futex.c kernel/proc/futex_requeue.c kernel/proc/futex_pi.c
   kernel/proc/futex_exit.c kernel/linux/sys_futex.c */
/* include: unit/sched/include */
/* futex_pi_test.c - PI futexes on the simulated machine: who inherits, and locks, ends of owners
 * and requeues over many interleavings. */
#include "futex_sim.h"

static unsigned inside, rounds, arrived, generation;

#define LOCK_PI 6
#define UNLOCK_PI 7
#define TRYLOCK_PI 8
#define WAIT_REQUEUE_PI 11
#define CMP_REQUEUE_PI 12
#define WAITERS 0x80000000u
#define DIED 0x40000000u
#define TID_BITS 0x3fffffffu

static uint32_t my_tid(void)
{
    return (uint32_t)task_current()->tid;
}
static bool user_swap(uint32_t *w, uint32_t from, uint32_t to)
{
    sim_point();
    return __atomic_compare_exchange_n(w, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
/* A call that is interrupted is restarted. */
static long lock_pi(uint32_t *w, int op, uint64_t time)
{
    if (user_swap(w, 0, my_tid()))
        return 0;
    for (;;) {
        long r = futex(w, op | PRIVATE, 0, time, NULL, 0);
        if (r != -ERESTARTNOINTR)
            return r;
        thread_clear_interrupt();
    }
}
static void unlock_pi(uint32_t *w)
{
    if (!user_swap(w, my_tid(), 0))
        SIM_CHECK(futex(w, UNLOCK_PI | PRIVATE, 0, 0, NULL, 0) == 0);
}

static uint32_t *const pi_word = &memory[400], *const pi_other = &memory[402];
static bool let_go;

static void low_owner(void *arg)
{
    (void)arg;
    SIM_CHECK(lock_pi(pi_word, LOCK_PI, 0) == 0);
    while (!__atomic_load_n(&let_go, __ATOMIC_SEQ_CST))
        SIM_CHECK(sleep_until(sim_now() + 100000, false) == 0);
    unlock_pi(pi_word);
    SIM_CHECK(thread_urgency(thread_current()) == 20);
    finish();
}
/* Owns pi_other meanwhile. */
static void middle(void *arg)
{
    (void)arg;
    SIM_CHECK(lock_pi(pi_other, LOCK_PI, 0) == 0);
    SIM_CHECK(lock_pi(pi_word, LOCK_PI, 0) == 0);
    unlock_pi(pi_word);
    unlock_pi(pi_other);
    finish();
}
static void urgent(void *arg)
{
    uint64_t wall = clock_wall_ns() + 20 * NS_PER_MS;
    struct timespec64 at = {(int64_t)(wall / NS_PER_SEC), (int64_t)(wall % NS_PER_SEC)};
    sched_set_policy(thread_current(), SCHED_FIFO, 30);
    SIM_CHECK(lock_pi(pi_other, LOCK_PI, arg ? (uintptr_t)&at : 0) == (arg ? -ETIMEDOUT : 0));
    if (!arg)
        unlock_pi(pi_other);
    finish();
}
static void boost_main(void *arg)
{
    (void)arg;
    prepare();
    struct task *low = spawn(low_owner, 0);
    settle();
    (void)spawn(middle, 0);
    settle();
    (void)spawn(urgent, 1); /* runs out of time */
    settle();
    SIM_CHECK(thread_urgency(&low->thread) == 70 && low->pi_lines == 1);
    settle();
    settle();
    SIM_CHECK(thread_urgency(&low->thread) == 20);
    (void)spawn(urgent, 0);
    settle();
    SIM_CHECK(thread_urgency(&low->thread) == 70);
    SIM_CHECK(*pi_word == ((uint32_t)low->tid | WAITERS));
    __atomic_store_n(&let_go, true, __ATOMIC_SEQ_CST);
    await_all();
    SIM_CHECK(*pi_word == 0 && *pi_other == 0);
}
static void owners_inherit_along_chains(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, boost_main);
    sim_test_seeds(4, 10, boost_main);
}

/* Waits for a requeue to pi_word, and then has it. */
static void requeued(void *arg)
{
    uint32_t *word = arg;
    SIM_CHECK(futex(word, WAIT_REQUEUE_PI | PRIVATE, *word, 0, pi_word, 0) == 0);
    SIM_CHECK((*pi_word & TID_BITS) == my_tid());
    unlock_pi(pi_word);
    finish();
}
/* Comes when there is a line already. */
static void refused_once(void *arg)
{
    (void)arg;
    alloc_fail_nth(1);
    SIM_CHECK(futex(pi_word, LOCK_PI | PRIVATE, 0, 0, NULL, 0) == -ENOMEM);
    SIM_CHECK(lock_pi(pi_word, LOCK_PI, 0) == 0);
    unlock_pi(pi_word);
    finish();
}
static void memory_main(void *arg)
{
    (void)arg;
    uint32_t *word = &memory[310], before;
    prepare();
    *pi_word = 5;
    alloc_fail_nth(1);
    SIM_CHECK(futex(pi_word, LOCK_PI, 0, 0, NULL, 0) == -ENOMEM && *pi_word == 5);
    SIM_CHECK(futex(pi_word, LOCK_PI, 0, 0, NULL, 0) == -ESRCH && *pi_word == (5 | WAITERS));
    *pi_word = 0;
    __atomic_store_n(&let_go, false, __ATOMIC_SEQ_CST);
    struct task *low = spawn(low_owner, 0);
    settle();
    (void)spawn(requeued, (uintptr_t)word);
    settle();
    before = *pi_word;
    alloc_fail_nth(1);
    SIM_CHECK(futex(word, CMP_REQUEUE_PI | PRIVATE, 1, INT_MAX, pi_word, *word) == -ENOMEM);
    SIM_CHECK(alloc_fail_hit() && *pi_word == before && low->pi_lines == 0 && running == 2);
    SIM_CHECK(futex(word, CMP_REQUEUE_PI | PRIVATE, 1, INT_MAX, pi_word, *word) == 1);
    SIM_CHECK(*pi_word == (before | WAITERS) && low->pi_lines == 1);
    (void)spawn(refused_once, 0);
    settle();
    SIM_CHECK(alloc_fail_hit() && low->pi_lines == 1 && running == 3);
    __atomic_store_n(&let_go, true, __ATOMIC_SEQ_CST);
    await_all();
    SIM_CHECK(*pi_word == 0);
}
/* Two are to be requeued, and memory lacks when the call has to begin again: what was moved until
 * then stays moved, and the same call moves the rest. */
static void partial_main(void *arg)
{
    (void)arg;
    uint32_t *word = &memory[310];
    prepare();
    *pi_word = 0;
    __atomic_store_n(&let_go, false, __ATOMIC_SEQ_CST);
    struct task *low = spawn(low_owner, 0);
    settle();
    (void)spawn(requeued, (uintptr_t)word);
    (void)spawn(requeued, (uintptr_t)word);
    settle();
    alloc_fail_nth(2);
    long r = futex(word, CMP_REQUEUE_PI | PRIVATE, 1, INT_MAX, pi_word, *word);
    SIM_CHECK(r == 2 || (r == -ENOMEM && alloc_fail_hit()));
    alloc_fail_nth(0);
    long rest = futex(word, CMP_REQUEUE_PI | PRIVATE, 1, INT_MAX, pi_word, *word);
    SIM_CHECK(r == 2 ? rest == 0 : rest == 1 || rest == 2);
    SIM_CHECK(low->pi_lines == 1 && running == 3);
    __atomic_store_n(&let_go, true, __ATOMIC_SEQ_CST);
    await_all();
    SIM_CHECK(*pi_word == 0);
}
static void without_memory_nothing_changes(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, memory_main);
    sim_test_seeds(4, 10, memory_main);
    sim_test_seeds(1, 40, partial_main);
}

/* Two robust locks, taken in any order, with times that run out, signals, and ends as owner. */
static struct robust_node pi_node[2];
static void pi_user(void *arg)
{
    struct task *self = task_current();
    static uint64_t heads[TASKS][3];
    uint64_t *head = heads[self - task];
    struct timespec64 at;
    for (unsigned i = 0; i < 12; i++) {
        struct robust_node *n = &pi_node[sim_random(2)], *m = &pi_node[sim_random(2)];
        uint64_t wall = clock_wall_ns() + sim_random(20000);
        at = (struct timespec64){(int64_t)(wall / NS_PER_SEC), (int64_t)(wall % NS_PER_SEC)};
        long r = lock_pi(&n->lock, sim_random(4) ? LOCK_PI : TRYLOCK_PI,
                         sim_random(2) ? (uintptr_t)&at : 0);
        SIM_CHECK(r == 0 || r == -ETIMEDOUT || r == -EAGAIN);
        if (r)
            continue;
        SIM_CHECK((n->lock & TID_BITS) == my_tid());
        if (n->lock & DIED)
            n->pad = 0, __atomic_fetch_and(&n->lock, ~DIED, __ATOMIC_SEQ_CST);
        SIM_CHECK(n->pad++ == 0);
        sim_work(sim_random(2000));
        r = lock_pi(&m->lock, LOCK_PI, 0);
        SIM_CHECK(r == 0 || r == -EDEADLK);
        if (r == 0) {
            if (m->lock & DIED)
                m->pad = 0, __atomic_fetch_and(&m->lock, ~DIED, __ATOMIC_SEQ_CST);
            SIM_CHECK(m->pad++ == 0);
            sim_point();
            SIM_CHECK(--m->pad == 0);
            unlock_pi(&m->lock);
        }
        if (i == 11 && (uintptr_t)arg % 2) { /* ends as its owner, in the list or about to be */
            bool listed = sim_random(2);
            n->next = (uintptr_t)head;
            head[0] = listed ? (uintptr_t)n | 1 : (uintptr_t)head;
            head[1] = offsetof(struct robust_node, lock);
            head[2] = listed ? 0 : (uintptr_t)n | 1;
            self->robust_list = uaddr((uintptr_t)head);
            break;
        }
        SIM_CHECK(--n->pad == 0);
        unlock_pi(&n->lock);
    }
    finish();
}
static void pi_storm_main(void *arg)
{
    struct task *user[6];
    (void)arg;
    prepare();
    for (unsigned i = 0; i < 6; i++)
        user[i] = spawn(pi_user, i);
    for (unsigned i = 0; i < 20 && __atomic_load_n(&running, __ATOMIC_SEQ_CST); i++) {
        unsigned who = (unsigned)sim_random(6);
        thread_interrupt(&user[who]->thread);
        sched_set_nice(&user[(who + 1) % 6]->thread, (int)sim_random(10));
        SIM_CHECK(sleep_until(sim_now() + sim_random(20000), false) == 0);
    }
    await_all();
    for (unsigned i = 0; i < 2; i++)
        SIM_CHECK((pi_node[i].lock & TID_BITS) == 0);
}
static void pi_locks_never_hang(void **state)
{
    (void)state;
    sim_test_seeds(1, 10, pi_storm_main);
    sim_test_seeds(4, 2 * SEEDS, pi_storm_main);
}

/* The condition variable again, with requeues to a PI mutex. */
static void pi_lock_again(void)
{
    SIM_CHECK(lock_pi(&memory[300], LOCK_PI, 0) == 0);
}
static void pi_cond_wait(void)
{
    uint32_t seq = __atomic_load_n(&memory[310], __ATOMIC_SEQ_CST);
    struct timespec64 at;
    unlock_pi(&memory[300]);
    uint64_t when = sim_now() + sim_random(50000);
    at = (struct timespec64){0, (int64_t)when};
    long r = futex(&memory[310], WAIT_REQUEUE_PI | PRIVATE, seq, sim_random(2) ? (uintptr_t)&at : 0,
                   &memory[300], 0);
    SIM_CHECK(r == 0 || r == -ETIMEDOUT || r == -EAGAIN);
    if (r)
        pi_lock_again();
    SIM_CHECK((memory[300] & TID_BITS) == my_tid());
}
static void pi_barrier_user(void *arg)
{
    for (unsigned i = 0; i < 10; i++) {
        pi_lock_again();
        unsigned mine = generation;
        SIM_CHECK(inside++ == 0);
        bool last = ++arrived == THREADS;
        if (last) {
            arrived = 0;
            generation++;
            rounds++;
            uint32_t seq = __atomic_add_fetch(&memory[310], 1, __ATOMIC_SEQ_CST);
            SIM_CHECK(
                futex(&memory[310], CMP_REQUEUE_PI | PRIVATE, 1, INT_MAX, &memory[300], seq) >= 0);
        }
        SIM_CHECK(--inside == 0);
        while (!last && generation == mine)
            pi_cond_wait();
        unlock_pi(&memory[300]);
    }
    (void)arg;
    finish();
}
static void pi_cond_main(void *arg)
{
    (void)arg;
    prepare();
    for (unsigned i = 0; i < THREADS; i++)
        spawn(pi_barrier_user, i);
    await_all();
    SIM_CHECK(rounds == 10 && memory[300] == 0);
}
static void a_pi_condition_variable_never_hangs(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, pi_cond_main);
    sim_test_seeds(4, 2 * SEEDS, pi_cond_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_inherit_along_chains),
        cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(pi_locks_never_hang),
        cmocka_unit_test(a_pi_condition_variable_never_hangs),
    };
    futex_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
