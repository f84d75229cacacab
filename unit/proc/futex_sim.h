/* SPDX-License-Identifier: BSD-3-Clause */
/* futex_sim.h - tasks, user memory and the call for tests of the futexes on the simulated machine.
 * User memory is host memory; reading it is a point where anything may happen, and its pages come
 * and go.
 */
#ifndef SELKIE_UNIT_FUTEX_SIM_H
#define SELKIE_UNIT_FUTEX_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sanitizer/asan_interface.h>

#include "lib/errno.h"
#include "linux/syscall.h"
#include "linux/uapi.h"
#include "mm/area.h"
#include "mm/kmalloc.h"
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
        area[i].prot = PROT_READ | PROT_WRITE;
    }
    object[0].ops = object[1].ops = &object_ops;
    object[0].size = object[1].size = 1 << 20;
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
/* The last reference is gone: nobody looks at it any more. */
static void no_hook(struct thread *thread)
{
    ASAN_POISON_MEMORY_REGION(thread, sizeof(*thread));
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
    SIM_CHECK(list_empty(&self->thread.pi_held));
    /* Who has just found it by its TID takes back what it has counted. */
    uint64_t limit = sim_now() + NS_PER_SEC;
    while (__atomic_load_n(&self->pi_lines, __ATOMIC_SEQ_CST)) {
        SIM_CHECK(sleep_until(sim_now() + 1000, false) == 0);
        SIM_CHECK(sim_now() < limit);
    }
    SIM_CHECK(!self->thread.pi_waits);
    __atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
}
/* Who is not through by then sleeps for ever. */
static void await_all(void)
{
    uint64_t limit = sim_now() + 5 * NS_PER_SEC;
    while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
        SIM_CHECK(sleep_until(sim_now() + 50000, false) == 0);
        SIM_CHECK(sim_now() < limit);
    }
    SIM_CHECK(object_refs[0] == 0 && object_refs[1] == 0);
}

struct timespec64 {
    int64_t sec, nsec;
};

static void settle(void)
{
    SIM_CHECK(sleep_until(sim_now() + 10 * NS_PER_MS, false) == 0);
}

struct robust_node {
    uint64_t next;
    uint32_t lock, pad;
};

#endif
