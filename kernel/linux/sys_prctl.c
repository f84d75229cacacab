/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_prctl.c - prctl, arch_prctl, personality. */
#include "core/log.h"
#include "core/random.h"
#include "isa.h"
#include "lib/string.h"
#include "linux/uapi.h"

enum {
    PR_SET_PDEATHSIG = 1,
    PR_GET_PDEATHSIG = 2,
    PR_GET_DUMPABLE = 3,
    PR_SET_DUMPABLE = 4,
    PR_GET_KEEPCAPS = 7,
    PR_SET_KEEPCAPS = 8,
    PR_GET_TIMING = 13,
    PR_SET_TIMING = 14,
    PR_SET_NAME = 15,
    PR_GET_NAME = 16,
    PR_GET_SECCOMP = 21,
    PR_CAPBSET_READ = 23,
    PR_CAPBSET_DROP = 24,
    PR_GET_SECUREBITS = 27,
    PR_SET_TIMERSLACK = 29,
    PR_GET_TIMERSLACK = 30,
    PR_SET_CHILD_SUBREAPER = 36,
    PR_GET_CHILD_SUBREAPER = 37,
    PR_SET_NO_NEW_PRIVS = 38,
    PR_GET_NO_NEW_PRIVS = 39,
    PR_GET_TID_ADDRESS = 40,
    PR_SET_THP_DISABLE = 41,
    PR_GET_THP_DISABLE = 42,
    PR_CAP_AMBIENT = 47,
    PR_PAC_RESET_KEYS = 54,
    PR_SET_VMA = 0x53564d41,
    PR_SET_PTRACER = 0x59616d61,
};
#define CAP_LAST 40
#define TIMER_SLACK_DEFAULT 50000
#define COMM_SIZE 16

static uint32_t flag_get(const uint32_t *flag)
{
    return __atomic_load_n(flag, __ATOMIC_RELAXED);
}
static long flag_set(uint32_t *flag, uint64_t value, uint64_t max)
{
    if (value > max)
        return -EINVAL;
    __atomic_store_n(flag, (uint32_t)value, __ATOMIC_RELAXED);
    return 0;
}

static long set_name(uint64_t addr)
{
    struct process *p = process_current();
    char name[COMM_SIZE] = "";
    long len = copyin_str(name, uaddr(addr), sizeof name);
    if (len == -EFAULT)
        return len;
    if (len < 0 && copyin(name, uaddr(addr), sizeof name - 1))
        return -EFAULT;
    name[COMM_SIZE - 1] = '\0';
    unsigned long irq = spin_lock_irqsave(&p->lock);
    strlcpy(task_current()->thread.name, name, COMM_SIZE);
    spin_unlock_irqrestore(&p->lock, irq);
    return 0;
}

static long get_name(uint64_t addr)
{
    char name[COMM_SIZE];
    memset(name, 0, sizeof name);
    strlcpy(name, task_current()->thread.name, sizeof name);
    return copyout(uaddr(addr), name, sizeof name);
}

/* New keys for signing addresses, of the kinds that `mask` names (0: all). Those of the calling
 * thread only: the others go on with what they have signed. */
static long reset_keys(uint64_t mask)
{
    struct thread *thread = &task_current()->thread;
    void *key[ISA_KEY_KINDS];
    bool any = false;
    for (unsigned kind = 0; kind < ISA_KEY_KINDS; kind++) {
        key[kind] = isa_fp_key(thread->fp, kind);
        if (!key[kind] && (mask & 1u << kind))
            return -EINVAL;
        any = any || key[kind];
    }
    if (!any || mask >> ISA_KEY_KINDS)
        return -EINVAL;
    hal_ctx_fp_sync(&thread->ctx);
    for (unsigned kind = 0; kind < ISA_KEY_KINDS; kind++)
        if (key[kind] && (mask == 0 || (mask & 1u << kind)))
            random_bytes(key[kind], ISA_KEY_SIZE);
    return 0;
}

/* What belongs to the calling task. *done = false: not one of these. */
static long prctl_task(const struct syscall_args *a, bool *done)
{
    struct task *task = task_current();
    *done = true;
    switch ((int)a->arg[0]) {
    case PR_SET_PDEATHSIG:
        if (a->arg[1] > NSIG)
            return -EINVAL;
        task->pdeath_signal = (int)a->arg[1];
        return 0;
    case PR_GET_PDEATHSIG:
        return user_store_u32(uaddr(a->arg[1]), (uint32_t)task->pdeath_signal);
    case PR_SET_NAME:
        return set_name(a->arg[1]);
    case PR_GET_NAME:
        return get_name(a->arg[1]);
    case PR_SET_TIMERSLACK:
        task->timer_slack_ns = (long)a->arg[1] > 0 ? a->arg[1] : TIMER_SLACK_DEFAULT;
        return 0;
    case PR_GET_TIMERSLACK:
        return (long)task->timer_slack_ns;
    case PR_GET_TID_ADDRESS: {
        uint64_t addr = task->clear_child_tid.raw;
        return copyout(uaddr(a->arg[1]), &addr, sizeof addr);
    }
    case PR_PAC_RESET_KEYS:
        return a->arg[2] || a->arg[3] || a->arg[4] ? -EINVAL : reset_keys(a->arg[1]);
    default:
        *done = false;
        return 0;
    }
}

static long prctl_process(const struct syscall_args *a)
{
    struct process *p = process_current();
    switch ((int)a->arg[0]) {
    case PR_GET_DUMPABLE:
        return flag_get(&p->dumpable);
    case PR_SET_DUMPABLE:
        return flag_set(&p->dumpable, a->arg[1], 1);
    case PR_GET_KEEPCAPS:
        return flag_get(&p->keep_caps);
    case PR_SET_KEEPCAPS:
        return flag_set(&p->keep_caps, a->arg[1], 1);
    case PR_SET_CHILD_SUBREAPER:
        return flag_set(&p->child_subreaper, a->arg[1] != 0, 1);
    case PR_GET_CHILD_SUBREAPER:
        return user_store_u32(uaddr(a->arg[1]), flag_get(&p->child_subreaper));
    case PR_SET_NO_NEW_PRIVS:
        if (a->arg[1] != 1 || a->arg[2] || a->arg[3] || a->arg[4])
            return -EINVAL;
        return flag_set(&p->no_new_privs, 1, 1);
    case PR_GET_NO_NEW_PRIVS:
        if (a->arg[1] || a->arg[2] || a->arg[3] || a->arg[4])
            return -EINVAL;
        return flag_get(&p->no_new_privs);
    case PR_GET_TIMING:
    case PR_GET_SECCOMP:
    case PR_GET_SECUREBITS:
    case PR_GET_THP_DISABLE:
        return 0;
    case PR_SET_TIMING: /* PR_TIMING_STATISTICAL is all there is */
        return a->arg[1] ? -EINVAL : 0;
    case PR_SET_THP_DISABLE: /* there are no huge pages to turn off */
    case PR_SET_PTRACER:     /* nor tracers to admit */
        return 0;
    case PR_CAPBSET_READ:
        return a->arg[1] > CAP_LAST ? -EINVAL : proc_cred()->euid == 0;
    case PR_CAPBSET_DROP:
        if (a->arg[1] > CAP_LAST)
            return -EINVAL;
        return proc_cred()->euid == 0 ? 0 : -EPERM;
    default: /* PR_SET_VMA (names of anonymous memory) as a Linux without CONFIG_ANON_VMA_NAME */
        return -EINVAL;
    }
}

long sys_prctl(const struct syscall_args *a)
{
    bool done;
    long result = prctl_task(a, &done);
    return done ? result : prctl_process(a);
}

/* x86-64 only (arm64 has no such call). */
enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS };

long sys_arch_prctl(const struct syscall_args *a)
{
    struct hal_ctx *ctx = &thread_current()->ctx;
    switch ((int)a->arg[0]) {
    case ARCH_SET_FS:
        if (a->arg[1] >= hal_layout()->user_end)
            return -EPERM;
        hal_ctx_set_tls(ctx, a->arg[1]);
        return 0;
    case ARCH_GET_FS: {
        uint64_t base = hal_ctx_tls(ctx);
        return copyout(uaddr(a->arg[1]), &base, sizeof base);
    }
    case ARCH_SET_GS: /* the kernel's own register here: docs/nongoals.md */
        log_warn("arch_prctl(ARCH_SET_GS) is not possible");
        return -EINVAL;
    default:
        return -EINVAL;
    }
}

#define PERSONALITY_QUERY 0xffffffffu

long sys_personality(const struct syscall_args *a)
{
    struct process *p = process_current();
    uint32_t want = (uint32_t)a->arg[0], old = flag_get(&p->personality);
    if (want != PERSONALITY_QUERY)
        __atomic_store_n(&p->personality, want, __ATOMIC_RELAXED);
    return (long)old;
}
