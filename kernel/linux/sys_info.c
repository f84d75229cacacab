/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_info.c - what programs ask about the machine and about themselves: names, limits, usage. */
#include "core/log.h"
#include "core/version.h"
#include "isa.h"
#include "lib/counter.h"
#include "lib/format.h"
#include "lib/string.h"
#include "linux/uapi.h"
#include "mm/page.h"
#include "proc/hostname.h"
#include "proc/times.h"

#define UTS_LEN 65

struct uapi_utsname {
    char sysname[UTS_LEN], nodename[UTS_LEN], release[UTS_LEN], version[UTS_LEN], machine[UTS_LEN],
        domainname[UTS_LEN];
};

long sys_uname(const struct syscall_args *a)
{
    struct uapi_utsname u;
    memset(&u, 0, sizeof u);
    strlcpy(u.sysname, SELKIE_OSTYPE, UTS_LEN);
    strlcpy(u.release, SELKIE_OSRELEASE, UTS_LEN);
    strlcpy(u.version, SELKIE_OSVERSION, UTS_LEN);
    strlcpy(u.machine, ISA_UTS_MACHINE, UTS_LEN);
    hostname_get(HOSTNAME_NODE, u.nodename);
    hostname_get(HOSTNAME_DOMAIN, u.domainname);
    return copyout(uaddr(a->arg[0]), &u, sizeof u);
}

static long set_name(const struct syscall_args *a, enum hostname_kind kind)
{
    char name[HOSTNAME_SIZE] = "";
    uint64_t len = a->arg[1];
    if (proc_cred()->euid != 0)
        return -EPERM;
    if ((int)len < 0 || len >= HOSTNAME_SIZE)
        return -EINVAL;
    if (copyin(name, uaddr(a->arg[0]), len))
        return -EFAULT;
    hostname_set(kind, name);
    return 0;
}
long sys_sethostname(const struct syscall_args *a)
{
    return set_name(a, HOSTNAME_NODE);
}
long sys_setdomainname(const struct syscall_args *a)
{
    return set_name(a, HOSTNAME_DOMAIN);
}

struct uapi_sysinfo {
    int64_t uptime;
    uint64_t loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
    uint16_t procs, pad;
    uint64_t totalhigh, freehigh;
    uint32_t mem_unit;
};
STATIC_ASSERT(sizeof(struct uapi_sysinfo) == 112);

long sys_sysinfo(const struct syscall_args *a)
{
    struct uapi_sysinfo si = {
        .uptime = (int64_t)(clock_mono_ns() / NS_PER_SEC),
        .totalram = page_total_count() * PAGE_SIZE,
        .freeram = page_free_count() * PAGE_SIZE,
        .procs = (uint16_t)MIN(thread_count(), (unsigned)UINT16_MAX),
        .mem_unit = 1,
    };
    return copyout(uaddr(a->arg[0]), &si, sizeof si);
}

/* ---- limits ---- */

/* What a limit governs is told at once, under the same lock: of two who set it, the last one's
 * stays in both places. Relaxed: who reads them takes what he finds. */
static void limit_apply_locked(struct process *p, unsigned resource, const struct rlimit64 *limit)
{
    switch (resource) {
    case RLIMIT_NOFILE:
        fdtable_set_limit(p->files, limit->cur);
        break;
    case RLIMIT_STACK:
        __atomic_store_n(&p->space->stack_limit, limit->cur, __ATOMIC_RELAXED);
        break;
    case RLIMIT_AS:
        __atomic_store_n(&p->space->as_limit, limit->cur, __ATOMIC_RELAXED);
        break;
    case RLIMIT_DATA:
        __atomic_store_n(&p->space->data_limit, limit->cur, __ATOMIC_RELAXED);
        break;
    case RLIMIT_CPU:
        itimer_watch_locked(p);
        break;
    default:
        break;
    }
}

static int limit_set(struct process *p, unsigned resource, const struct rlimit64 *in)
{
    bool root = proc_cred()->euid == 0;
    if (in->cur > in->max)
        return -EINVAL;
    if (resource == RLIMIT_NOFILE && in->max > FD_MAX_HARD)
        return -EPERM;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    int err = in->max > p->limits[resource].max && !root ? -EPERM : 0;
    if (!err) {
        __atomic_store_n(&p->limits[resource].cur, in->cur, __ATOMIC_RELAXED);
        __atomic_store_n(&p->limits[resource].max, in->max, __ATOMIC_RELAXED);
        limit_apply_locked(p, resource, in);
    }
    spin_unlock_irqrestore(&p->lock, irq);
    return err;
}

static long limits(unsigned resource, uint64_t new_addr, uint64_t old_addr)
{
    struct process *p = process_current();
    struct rlimit64 in, old;
    if (resource >= RLIMIT_COUNT)
        return -EINVAL;
    if (new_addr && copyin(&in, uaddr(new_addr), sizeof in))
        return -EFAULT;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    old = p->limits[resource];
    spin_unlock_irqrestore(&p->lock, irq);
    int err = new_addr ? limit_set(p, resource, &in) : 0;
    if (err || !old_addr)
        return err;
    return copyout(uaddr(old_addr), &old, sizeof old);
}

long sys_getrlimit(const struct syscall_args *a)
{
    return a->arg[1] ? limits((unsigned)a->arg[0], 0, a->arg[1]) : -EFAULT;
}
long sys_setrlimit(const struct syscall_args *a)
{
    return a->arg[1] ? limits((unsigned)a->arg[0], a->arg[1], 0) : -EFAULT;
}
long sys_prlimit64(const struct syscall_args *a)
{
    struct task *task = task_by_tid((int)a->arg[0]);
    if (!task)
        return -ESRCH;
    thread_put(&task->thread);
    return limits((unsigned)a->arg[1], a->arg[2], a->arg[3]);
}

/* ---- usage ---- */

struct uapi_rusage {
    struct uapi_timeval utime, stime;
    int64_t maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv,
        nsignals, nvcsw, nivcsw;
};
STATIC_ASSERT(sizeof(struct uapi_rusage) == 144);
enum { RUSAGE_CHILDREN = -1, RUSAGE_SELF = 0, RUSAGE_THREAD = 1 };

static void usage_add(struct uapi_rusage *u, const struct task *task)
{
    u->minflt += (int64_t)counter_read(&task->min_flt);
    u->nvcsw += (int64_t)counter_read(&task->thread.switches_voluntary);
    u->nivcsw += (int64_t)counter_read(&task->thread.switches_forced);
}

long sys_getrusage(const struct syscall_args *a)
{
    struct process *p = process_current();
    struct uapi_rusage u = {0};
    struct cpu_times times = {0};
    int who = (int)a->arg[0];
    switch (who) {
    case RUSAGE_CHILDREN:
        break;
    case RUSAGE_THREAD:
        task_cpu_times(task_current(), &times);
        usage_add(&u, task_current());
        break;
    case RUSAGE_SELF:
        process_cpu_times(p, &times);
        u.minflt = (int64_t)p->dead_min_flt;
        u.nvcsw = (int64_t)p->dead_switches[0];
        u.nivcsw = (int64_t)p->dead_switches[1];
        unsigned long irq = spin_lock_irqsave(&p->lock);
        list_for_each (pos, &p->tasks)
            usage_add(&u, list_entry(pos, struct task, process_link));
        spin_unlock_irqrestore(&p->lock, irq);
        break;
    default:
        return -EINVAL;
    }
    u.utime = timeval_of_ns(times.user_ns);
    u.stime = timeval_of_ns(times.system_ns);
    if (who != RUSAGE_CHILDREN) {
        uint64_t pages = MAX(p->dead_resident_peak, space_resident_peak(p->space));
        u.maxrss = (int64_t)(pages * (PAGE_SIZE / 1024));
    }
    return copyout(uaddr(a->arg[1]), &u, sizeof u);
}

long sys_times(const struct syscall_args *a)
{
    const uint64_t tick = NS_PER_SEC / 100;
    struct cpu_times times;
    process_cpu_times(process_current(), &times);
    uint64_t out[4] = {times.user_ns / tick, times.system_ns / tick, 0, 0};
    if (a->arg[0] && copyout(uaddr(a->arg[0]), out, sizeof out))
        return -EFAULT;
    return (long)(clock_mono_ns() / tick);
}
