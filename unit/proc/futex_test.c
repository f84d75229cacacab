/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/proc/futex.c kernel/proc/futex_requeue.c kernel/proc/futex_pi.c
   kernel/proc/futex_exit.c kernel/linux/sys_futex.c unit/sched/sim.c unit/fake_kmalloc.c
   kernel/sched/sched.c kernel/sched/balance.c kernel/sched/runqueue.c kernel/sched/thread.c
   kernel/sched/reap.c kernel/sched/cpu.c kernel/sched/sleep.c kernel/sched/params.c
   kernel/sched/timer.c kernel/sched/wait.c kernel/sched/mutex.c kernel/sched/rwlock.c
   kernel/sched/clock.c kernel/sched/barrier.c kernel/sched/idle.c kernel/sched/account.c
   kernel/sched/rcu.c kernel/sched/pi.c kernel/core/percpu.c kernel/core/spinlock.c
   kernel/lib/rbtree.c */
/* include: unit/sched/include */
/* futex_test.c - the futex calls on the simulated machine: errors, keys, timeouts and restarts, and
 * user-level locks built on it that must neither fail to exclude nor hang, over many interleavings.
 * User memory is host memory; reading it is a point where anything may happen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/errno.h"
#include "linux/syscall.h"
#include "linux/uapi.h"
#include "mm/area.h"
#include "mm/usercopy.h"
#include "proc/futex.h"
#include "sched/sim.h"
#include "sched/wait.h"

#define WAIT 0
#define WAKE 1
#define REQUEUE 3
#define CMP_REQUEUE 4
#define WAKE_OP 5
#define WAIT_BITSET 9
#define WAKE_BITSET 10
#define PRIVATE 128
#define REALTIME 256
#define SEEDS 40
#define THREADS 5
#define TASKS 64

/* ---- what mm and proc give ---- */

static struct space space;
static struct task task[TASKS]; /* 0: the main thread's, which is not embedded and owns nothing */
static bool in_table[TASKS];
static unsigned task_count = 1;
static bool missing;      /* the page of the latest word */
static unsigned fault_in; /* the nth access of user memory from now fails */

struct task *task_current(void)
{
    struct task *self = (struct task *)thread_current();
    return self >= &task[1] && self < &task[TASKS] ? self : &task[0];
}
struct task *task_find(int tid)
{
    unsigned i = (unsigned)tid - 100;
    if (i == 0 || i >= TASKS || !__atomic_load_n(&in_table[i], __ATOMIC_SEQ_CST))
        return NULL;
    thread_get(&task[i].thread);
    return &task[i];
}
struct task *task_by_tid(int tid)
{
    return task_find(tid);
}

static bool faults(uaddr_t addr)
{
    sim_point();
    return addr.raw < 4096 || (fault_in && --fault_in == 0);
}
bool user_range_ok(uaddr_t addr, size_t len)
{
    return addr.raw < UINTPTR_MAX / 2 && len < UINTPTR_MAX / 2;
}
int user_load_u32(uaddr_t addr, uint32_t *out)
{
    lock_assert_sleepable();
    missing = false;
    if (faults(addr))
        return -EFAULT;
    *out = __atomic_load_n((uint32_t *)addr.raw, __ATOMIC_SEQ_CST);
    sim_point();
    return 0;
}
int user_cmpxchg_u32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *seen)
{
    missing = false;
    if (faults(addr))
        return -EFAULT;
    *seen = expected;
    __atomic_compare_exchange_n((uint32_t *)addr.raw, seen, desired, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    sim_point();
    return 0;
}
int copyin(void *dst, uaddr_t src, size_t len)
{
    if (faults(src))
        return -EFAULT;
    memcpy(dst, (const void *)src.raw, len);
    return 0;
}

/* Every few times the page is not there. Nothing else happens here, as a spinlock is held. */
static bool is_missing(uaddr_t addr)
{
    if (sim_random(8) == 0)
        missing = true;
    return missing || addr.raw < 4096;
}
int user_try_load_u32(uaddr_t addr, uint32_t *out)
{
    if (is_missing(addr))
        return -EFAULT;
    *out = __atomic_load_n((uint32_t *)addr.raw, __ATOMIC_SEQ_CST);
    return 0;
}
int user_try_cmpxchg_u32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *seen)
{
    if (is_missing(addr))
        return -EFAULT;
    *seen = expected;
    __atomic_compare_exchange_n((uint32_t *)addr.raw, seen, desired, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    return 0;
}
int copyout(uaddr_t dst, const void *src, size_t len)
{
    if (faults(dst))
        return -EFAULT;
    memcpy((void *)dst.raw, src, len);
    return 0;
}
int ns_of_timespec(const struct uapi_timespec *ts, uint64_t *ns)
{
    if (ts->sec < 0 || ts->nsec < 0 || ts->nsec >= (int64_t)NS_PER_SEC)
        return -EINVAL;
    *ns = (uint64_t)ts->sec * NS_PER_SEC + (uint64_t)ts->nsec;
    return 0;
}

static unsigned object_refs[2];
static struct vm_object object[2];
static void object_ref(struct vm_object *o)
{
    __atomic_fetch_add(&object_refs[o - object], 1, __ATOMIC_SEQ_CST);
}
static void object_unref(struct vm_object *o)
{
    lock_assert_sleepable();
    __atomic_fetch_sub(&object_refs[o - object], 1, __ATOMIC_SEQ_CST);
}
static const struct vm_object_ops object_ops = {.get = object_ref, .put = object_unref};

/* Words 0-63 and 64-127 of `memory` are two mappings of object 0; then one of object 1; the rest is
 * private. */
static uint32_t memory[1024];
static struct area area[4];
struct area *area_at(const struct space *s, vaddr_t addr)
{
    (void)s;
    for (unsigned i = 0; i < 4; i++)
        if (addr >= area[i].lo && addr < area[i].hi)
            return &area[i];
    return NULL;
}

static void prepare(void)
{
    ref_init(&space.refs);
    rwlock_init(&space.lock, RANK_SPACE);
    for (unsigned i = 0; i < 4; i++) {
        area[i].lo = (vaddr_t)&memory[i * 64];
        area[i].hi = (vaddr_t)&memory[i == 3 ? 1024 : i * 64 + 64];
        area[i].flags = i < 3 ? AREA_SHARED : 0;
        area[i].object = i < 3 ? &object[i / 2] : NULL;
        area[i].off = 8192;
    }
    object[0].ops = object[1].ops = &object_ops;
    for (unsigned i = 0; i < TASKS; i++) {
        task[i].tid = 100 + (int)i;
        mutex_init(&task[i].futex_exit_lock, RANK_FUTEX_EXIT);
    }
    thread_set_space(&space);
}

static long futex(uint32_t *addr, int op, uint32_t val, uint64_t arg, uint32_t *addr2,
                  uint32_t val3)
{
    struct syscall_args a = {
        .arg = {(uintptr_t)addr, (uint64_t)op, val, arg, (uintptr_t)addr2, val3},
    };
    return sys_futex(&a);
}

static unsigned running;
static void no_hook(struct thread *thread)
{
    (void)thread;
}
static struct task *spawn(void (*fn)(void *), uintptr_t arg)
{
    struct thread_attr attr = {.name = "user", .space = &space, .exit_hook = no_hook};
    unsigned i = task_count++;
    SIM_CHECK(i < TASKS && thread_init(&task[i].thread, &attr, fn, (void *)arg) == 0);
    __atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&in_table[i], true, __ATOMIC_SEQ_CST);
    thread_start(&task[i].thread);
    return &task[i];
}
/* The last call of a task. */
static void finish(void)
{
    struct task *self = task_current();
    futex_exit(self);
    __atomic_store_n(&in_table[self - task], false, __ATOMIC_SEQ_CST);
    SIM_CHECK(self->pi_lines == 0 && list_empty(&self->thread.pi_held) && !self->thread.pi_waits);
    __atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
}
static void await_all(void)
{
    while (__atomic_load_n(&running, __ATOMIC_SEQ_CST))
        SIM_CHECK(sleep_until(sim_now() + 50000, false) == 0);
    SIM_CHECK(object_refs[0] == 0 && object_refs[1] == 0);
}

struct timespec64 {
    int64_t sec, nsec;
};

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
static void settle(void)
{
    SIM_CHECK(sleep_until(sim_now() + 10 * NS_PER_MS, false) == 0);
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
            if (n == 0)
                (void)futex(&memory[320], WAIT, 0, 0, NULL, 0);
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

struct robust_node {
    uint64_t next;
    uint32_t lock, pad;
};
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
    spawn(waiter, (uintptr_t)&n[1].lock); /* 0 is expected, so it does not wait */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_linux),
        cmocka_unit_test(interruptions_restart),
        cmocka_unit_test(restarted_wait_keeps_deadline),
        cmocka_unit_test(wakes_choose_and_count),
        cmocka_unit_test(shared_mappings_share),
        cmocka_unit_test(a_mutex_never_hangs),
        cmocka_unit_test(a_condition_variable_never_hangs),
        cmocka_unit_test(a_semaphore_never_hangs),
        cmocka_unit_test(robust_locks_are_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
