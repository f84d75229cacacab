/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_sched.c - scheduling parameters, affinity, and what depends on the CPU a task runs on. */
#include "core/percpu.h"
#include "lib/string.h"
#include "linux/uapi.h"
#include "mm/kmalloc.h"
#include "proc/rseq.h"

#define MASK_WORDS (HAL_CPU_MAX / 64)
#define SCHED_RESET_ON_FORK 0x40000000
#define SCHED_FLAG_RESET_ON_FORK 1u
#define SCHED_FLAG_KEEP_POLICY 8u
#define SCHED_FLAG_KEEP_PARAMS 16u
#define RR_INTERVAL_NS (100 * NS_PER_MS)

long sys_sched_yield(const struct syscall_args *a)
{
    (void)a;
    sched_yield();
    return 0;
}

long sys_getcpu(const struct syscall_args *a)
{
    uint32_t cpu = hal_cpu_id();
    if (a->arg[0] && user_store_u32(uaddr(a->arg[0]), cpu))
        return -EFAULT;
    return a->arg[1] && user_store_u32(uaddr(a->arg[1]), 0) ? -EFAULT : 0;
}

/* ---- affinity ---- */

static size_t mask_words(void)
{
    return (hal_cpu_count() + 63) / 64;
}

long sys_sched_setaffinity(const struct syscall_args *a)
{
    uint64_t mask[MASK_WORDS] = {0};
    size_t len = MIN((uint64_t)(uint32_t)a->arg[1], sizeof mask);
    if (copyin(mask, uaddr(a->arg[2]), len))
        return -EFAULT;
    struct task *task = task_by_tid((int)a->arg[0]);
    if (!task)
        return -ESRCH;
    int err = sched_set_affinity(&task->thread, mask);
    thread_put(&task->thread);
    return err;
}

long sys_sched_getaffinity(const struct syscall_args *a)
{
    uint64_t mask[MASK_WORDS] = {0}, len = (uint32_t)a->arg[1];
    if (len < mask_words() * 8 || len % 8)
        return -EINVAL;
    struct task *task = task_by_tid((int)a->arg[0]);
    if (!task)
        return -ESRCH;
    sched_get_affinity(&task->thread, mask);
    thread_put(&task->thread);
    size_t out = mask_words() * 8; /* what Linux reports: the size of its own mask */
    return copyout(uaddr(a->arg[2]), mask, out) ? -EFAULT : (long)out;
}

/* ---- policy and priority ---- */

static bool is_real_time(int policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

static int policy_check(int policy, int priority)
{
    if (is_real_time(policy))
        return priority >= 1 && priority <= 99 ? 0 : -EINVAL;
    if (policy != SCHED_OTHER && policy != SCHED_BATCH && policy != SCHED_IDLE)
        return -EINVAL;
    return priority == 0 ? 0 : -EINVAL;
}

static bool may_raise(void)
{
    return proc_cred()->euid == 0;
}

/* What another thread may be changing. Relaxed: either value is true at some time of the call. */
static int policy_of(const struct thread *thread)
{
    return __atomic_load_n(&thread->policy, __ATOMIC_RELAXED);
}

static int nice_of(const struct thread *thread)
{
    return __atomic_load_n(&thread->nice, __ATOMIC_RELAXED);
}

static int rt_priority_of(const struct thread *thread, int policy)
{
    return is_real_time(policy) ? __atomic_load_n(&thread->rt_priority, __ATOMIC_RELAXED) : 0;
}

/* Taking the flag away needs privilege (sched_setscheduler(2)). */
static int set_reset_on_fork(struct thread *thread, bool reset)
{
    if (!reset && __atomic_load_n(&thread->reset_on_fork, __ATOMIC_RELAXED) && !may_raise())
        return -EPERM;
    /* Relaxed: only clone by the thread itself goes by it. */
    __atomic_store_n(&thread->reset_on_fork, reset, __ATOMIC_RELAXED);
    return 0;
}

static bool resets_on_fork(const struct thread *thread)
{
    return __atomic_load_n(&thread->reset_on_fork, __ATOMIC_RELAXED);
}

/* policy < 0, reset < 0: keep it. */
static long set_scheduler(int tid, int policy, int reset, uint64_t param)
{
    int32_t priority;
    if (!param || tid < 0)
        return -EINVAL;
    if (copyin(&priority, uaddr(param), sizeof priority))
        return -EFAULT;
    struct task *task = task_by_tid(tid);
    if (!task)
        return -ESRCH;
    if (policy < 0)
        policy = policy_of(&task->thread);
    int err = policy_check(policy, priority);
    if (!err && is_real_time(policy) && !may_raise())
        err = -EPERM;
    if (!err && reset >= 0)
        err = set_reset_on_fork(&task->thread, reset);
    if (!err)
        sched_set_policy(&task->thread, (enum sched_policy)policy, priority);
    thread_put(&task->thread);
    return err;
}

long sys_sched_setscheduler(const struct syscall_args *a)
{
    int policy = (int)a->arg[1];
    if (policy < 0)
        return -EINVAL;
    return set_scheduler((int)a->arg[0], policy & ~SCHED_RESET_ON_FORK,
                         (policy & SCHED_RESET_ON_FORK) != 0, a->arg[2]);
}

long sys_sched_setparam(const struct syscall_args *a)
{
    return set_scheduler((int)a->arg[0], -1, -1, a->arg[1]);
}

long sys_sched_getscheduler(const struct syscall_args *a)
{
    if ((int)a->arg[0] < 0)
        return -EINVAL;
    struct task *task = task_by_tid((int)a->arg[0]);
    if (!task)
        return -ESRCH;
    long policy = policy_of(&task->thread);
    if (resets_on_fork(&task->thread))
        policy |= SCHED_RESET_ON_FORK;
    thread_put(&task->thread);
    return policy;
}

long sys_sched_getparam(const struct syscall_args *a)
{
    if (!a->arg[1] || (int)a->arg[0] < 0)
        return -EINVAL;
    struct task *task = task_by_tid((int)a->arg[0]);
    if (!task)
        return -ESRCH;
    int32_t priority = rt_priority_of(&task->thread, policy_of(&task->thread));
    thread_put(&task->thread);
    return copyout(uaddr(a->arg[1]), &priority, sizeof priority);
}

static long priority_bound(int policy, long bound)
{
    if (is_real_time(policy))
        return bound;
    return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE ? 0 : -EINVAL;
}
long sys_sched_get_priority_max(const struct syscall_args *a)
{
    return priority_bound((int)a->arg[0], 99);
}
long sys_sched_get_priority_min(const struct syscall_args *a)
{
    return priority_bound((int)a->arg[0], 1);
}

long sys_sched_rr_get_interval(const struct syscall_args *a)
{
    if ((int)a->arg[0] < 0)
        return -EINVAL;
    struct task *task = task_by_tid((int)a->arg[0]);
    if (!task)
        return -ESRCH;
    int policy = policy_of(&task->thread);
    uint64_t ns = policy == SCHED_RR ? RR_INTERVAL_NS : policy == SCHED_FIFO ? 0 : 4 * NS_PER_MS;
    thread_put(&task->thread);
    struct uapi_timespec ts = timespec_of_ns(ns);
    return copyout(uaddr(a->arg[1]), &ts, sizeof ts);
}

struct uapi_sched_attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};
STATIC_ASSERT(sizeof(struct uapi_sched_attr) == 48); /* SCHED_ATTR_SIZE_VER0 */

/* sched_setattr(2): a program may know a longer structure, if what we do not know of it is zero. */
static int attr_read(struct uapi_sched_attr *attr, uint64_t addr)
{
    uint32_t size, ours = sizeof *attr;
    if (copyin(&size, uaddr(addr), sizeof size))
        return -EFAULT;
    size = size ? size : ours;
    if (size < ours || size > PAGE_SIZE)
        goto wrong_size;
    for (uint32_t at = ours; at < size; at++) {
        uint8_t byte;
        if (copyin(&byte, uaddr(addr + at), 1))
            return -EFAULT;
        if (byte)
            goto wrong_size;
    }
    return copyin(attr, uaddr(addr), sizeof *attr) ? -EFAULT : 0;
wrong_size:
    return copyout(uaddr(addr), &ours, sizeof ours) ? -EFAULT : -E2BIG;
}

static int attr_check(struct uapi_sched_attr *attr, const struct thread *thread)
{
    const uint64_t known =
        SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_KEEP_POLICY | SCHED_FLAG_KEEP_PARAMS;
    if (attr->flags & ~known)
        return -EINVAL;
    if (attr->flags & SCHED_FLAG_KEEP_POLICY)
        attr->policy = (uint32_t)policy_of(thread);
    if (attr->flags & SCHED_FLAG_KEEP_PARAMS) {
        attr->priority = (uint32_t)rt_priority_of(thread, (int)attr->policy);
        attr->nice = nice_of(thread);
    }
    int err = policy_check((int)attr->policy, (int)attr->priority);
    if (err || may_raise())
        return err;
    return is_real_time((int)attr->policy) || attr->nice < nice_of(thread) ? -EPERM : 0;
}

long sys_sched_setattr(const struct syscall_args *a)
{
    struct uapi_sched_attr attr;
    if (!a->arg[1] || (int)a->arg[0] < 0 || a->arg[2])
        return -EINVAL;
    int err = attr_read(&attr, a->arg[1]);
    if (err)
        return err;
    struct task *task = task_by_tid((int)a->arg[0]);
    if (!task)
        return -ESRCH;
    err = attr_check(&attr, &task->thread);
    if (!err)
        err = set_reset_on_fork(&task->thread, attr.flags & SCHED_FLAG_RESET_ON_FORK);
    if (!err) {
        sched_set_policy(&task->thread, (enum sched_policy)attr.policy, (int)attr.priority);
        if (!is_real_time((int)attr.policy))
            sched_set_nice(&task->thread, attr.nice);
    }
    thread_put(&task->thread);
    return err;
}

long sys_sched_getattr(const struct syscall_args *a)
{
    struct uapi_sched_attr attr = {.size = sizeof attr};
    if (!a->arg[1] || (int)a->arg[0] < 0 || a->arg[2] < sizeof attr || a->arg[2] > PAGE_SIZE ||
        a->arg[3])
        return -EINVAL;
    struct task *task = task_by_tid((int)a->arg[0]);
    if (!task)
        return -ESRCH;
    attr.policy = (uint32_t)policy_of(&task->thread);
    attr.flags = resets_on_fork(&task->thread) ? SCHED_FLAG_RESET_ON_FORK : 0;
    attr.nice = nice_of(&task->thread);
    attr.priority = (uint32_t)rt_priority_of(&task->thread, (int)attr.policy);
    thread_put(&task->thread);
    return copyout(uaddr(a->arg[1]), &attr, sizeof attr);
}

/* ---- nice ---- */

enum { PRIO_PROCESS, PRIO_PGRP, PRIO_USER };

/* All that which/who names: a thread, or all threads of the process. Calls fn under its lock. */
static int for_priority(int which, int who, void (*fn)(struct task *, void *), void *arg)
{
    struct process *p = process_current();
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    if (which == PRIO_PROCESS) {
        struct task *task = task_by_tid(who);
        if (!task)
            return -ESRCH;
        fn(task, arg);
        thread_put(&task->thread);
        return 0;
    }
    if (who && (which == PRIO_PGRP ? who != p->pgid : (uint32_t)who != proc_cred()->uid))
        return -ESRCH;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    list_for_each (pos, &p->tasks)
        fn(list_entry(pos, struct task, process_link), arg);
    spin_unlock_irqrestore(&p->lock, irq);
    return 0;
}

static void nice_least(struct task *task, void *arg)
{
    int *least = arg;
    *least = MIN(*least, nice_of(&task->thread));
}
static void nice_set(struct task *task, void *arg)
{
    sched_set_nice(&task->thread, *(int *)arg);
}

long sys_getpriority(const struct syscall_args *a)
{
    int nice = 19;
    int err = for_priority((int)a->arg[0], (int)a->arg[1], nice_least, &nice);
    return err ? err : 20 - nice; /* the raw call is biased: getpriority(2) */
}

long sys_setpriority(const struct syscall_args *a)
{
    int nice = (int)a->arg[2], least = 19;
    nice = nice < -20 ? -20 : nice > 19 ? 19 : nice;
    int err = for_priority((int)a->arg[0], (int)a->arg[1], nice_least, &least);
    if (err)
        return err;
    if (nice < least && !may_raise())
        return -EACCES;
    return for_priority((int)a->arg[0], (int)a->arg[1], nice_set, &nice);
}

/* ---- membarrier ---- */

enum {
    MEMBARRIER_QUERY = 0,
    MEMBARRIER_GLOBAL = 1,
    MEMBARRIER_GLOBAL_EXPEDITED = 2,
    MEMBARRIER_REGISTER_GLOBAL_EXPEDITED = 4,
    MEMBARRIER_PRIVATE_EXPEDITED = 8,
    MEMBARRIER_REGISTER_PRIVATE_EXPEDITED = 16,
    MEMBARRIER_PRIVATE_EXPEDITED_RSEQ = 128,
    MEMBARRIER_REGISTER_PRIVATE_EXPEDITED_RSEQ = 256,
    MEMBARRIER_FLAG_CPU = 1,
};
#define MEMBARRIER_ALL \
    (MEMBARRIER_GLOBAL | MEMBARRIER_GLOBAL_EXPEDITED | MEMBARRIER_REGISTER_GLOBAL_EXPEDITED | \
     MEMBARRIER_PRIVATE_EXPEDITED | MEMBARRIER_REGISTER_PRIVATE_EXPEDITED | \
     MEMBARRIER_PRIVATE_EXPEDITED_RSEQ | MEMBARRIER_REGISTER_PRIVATE_EXPEDITED_RSEQ)

/* Those commands, in membarrier_registered: the expedited ones need a registration. */
static bool membarrier_registered(struct process *p, uint32_t command)
{
    return __atomic_load_n(&p->membarrier_registered, __ATOMIC_RELAXED) & command;
}

long sys_membarrier(const struct syscall_args *a)
{
    struct process *p = process_current();
    int cmd = (int)a->arg[0];
    uint32_t flags = (uint32_t)a->arg[1];
    /* A CPU may be named there: then all do it, too. */
    if (flags & ~(uint32_t)(cmd == MEMBARRIER_PRIVATE_EXPEDITED_RSEQ ? MEMBARRIER_FLAG_CPU : 0))
        return -EINVAL;
    switch (cmd) {
    case MEMBARRIER_QUERY:
        return MEMBARRIER_ALL;
    case MEMBARRIER_REGISTER_GLOBAL_EXPEDITED:
        return 0;
    case MEMBARRIER_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_REGISTER_PRIVATE_EXPEDITED_RSEQ:
        __atomic_or_fetch(&p->membarrier_registered, (uint32_t)cmd >> 1, __ATOMIC_RELAXED);
        return 0;
    case MEMBARRIER_PRIVATE_EXPEDITED:
    case MEMBARRIER_PRIVATE_EXPEDITED_RSEQ:
        if (!membarrier_registered(p, (uint32_t)cmd))
            return -EPERM;
        if (cmd == MEMBARRIER_PRIVATE_EXPEDITED_RSEQ)
            rseq_barrier(p);
        else
            sched_barrier();
        return 0;
    case MEMBARRIER_GLOBAL:
    case MEMBARRIER_GLOBAL_EXPEDITED:
        sched_barrier();
        return 0;
    default:
        return -EINVAL;
    }
}

/* ---- rseq ---- */

#define RSEQ_FLAG_UNREGISTER 1

long sys_rseq(const struct syscall_args *a)
{
    uaddr_t area = uaddr(a->arg[0]);
    uint32_t len = (uint32_t)a->arg[1], flags = (uint32_t)a->arg[2],
             signature = (uint32_t)a->arg[3];
    if (flags == RSEQ_FLAG_UNREGISTER)
        return rseq_unregister(area, len, signature);
    return flags ? -EINVAL : rseq_register(area, len, signature);
}
