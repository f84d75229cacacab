/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sys_cred.c - user and group ids, process groups and sessions, capabilities.
 *
 * Ids are a task's (proc/cred.c), as on Linux; libcs change those of all threads, each by a call of
 * its own. Privilege is euid 0; there is no finer division, so capget shows all or none.
 */
#include "fs/context.h"
#include "lib/string.h"
#include "linux/uapi.h"

#define KEEP UINT32_MAX /* -1: leave this id */

static const struct fs_cred *cred(void)
{
    return proc_cred();
}
static bool privileged(void)
{
    return cred()->euid == 0;
}

long sys_getuid(const struct syscall_args *a)
{
    (void)a;
    return cred()->uid;
}
long sys_geteuid(const struct syscall_args *a)
{
    (void)a;
    return cred()->euid;
}
long sys_getgid(const struct syscall_args *a)
{
    (void)a;
    return cred()->gid;
}
long sys_getegid(const struct syscall_args *a)
{
    (void)a;
    return cred()->egid;
}

/* ---- setting: r, e, s = real, effective, saved; KEEP leaves one alone ---- */

struct ids {
    uint32_t r, e, s;
};

static bool one_of(uint32_t id, const struct ids *have)
{
    return id == KEEP || id == have->r || id == have->e || id == have->s;
}

static struct ids ids_uid(void)
{
    return (struct ids){cred()->uid, cred()->euid, cred()->suid};
}
static struct ids ids_gid(void)
{
    return (struct ids){cred()->gid, cred()->egid, cred()->sgid};
}

static void merge(struct ids *have, const struct ids *want)
{
    have->r = want->r == KEEP ? have->r : want->r;
    have->e = want->e == KEEP ? have->e : want->e;
    have->s = want->s == KEEP ? have->s : want->s;
}

static long put_uid(const struct ids *want)
{
    struct ids have = ids_uid();
    struct fs_cred *next = cred_copy();
    if (!next)
        return -ENOMEM;
    merge(&have, want);
    next->uid = have.r;
    next->euid = next->fsuid = have.e;
    next->suid = have.s;
    cred_change(next);
    return 0;
}

static long put_gid(const struct ids *want)
{
    struct ids have = ids_gid();
    struct fs_cred *next = cred_copy();
    if (!next)
        return -ENOMEM;
    merge(&have, want);
    next->gid = have.r;
    next->egid = next->fsgid = have.e;
    next->sgid = have.s;
    cred_change(next);
    return 0;
}

/* setuid: the privileged set all three. */
static int set_check(uint32_t id, const struct ids *have, struct ids *want)
{
    if (id == KEEP)
        return -EINVAL;
    *want = privileged() ? (struct ids){id, id, id} : (struct ids){KEEP, id, KEEP};
    return privileged() || id == have->r || id == have->s ? 0 : -EPERM;
}

/* setreuid: the saved id follows the effective one when the real one is set, or when it changes to
 * something other than the real one. */
static int setre_check(uint32_t r, uint32_t e, const struct ids *have, struct ids *want)
{
    *want = (struct ids){r, e, KEEP};
    if (!privileged() && ((r != KEEP && r != have->r && r != have->e) || !one_of(e, have)))
        return -EPERM;
    if (r != KEEP || (e != KEEP && e != have->r))
        want->s = e == KEEP ? have->e : e;
    return 0;
}

static int setres_check(const struct ids *have, const struct ids *want)
{
    bool known = one_of(want->r, have) && one_of(want->e, have) && one_of(want->s, have);
    return privileged() || known ? 0 : -EPERM;
}

long sys_setuid(const struct syscall_args *a)
{
    struct ids have = ids_uid(), want;
    int err = set_check((uint32_t)a->arg[0], &have, &want);
    return err ? err : put_uid(&want);
}
long sys_setgid(const struct syscall_args *a)
{
    struct ids have = ids_gid(), want;
    int err = set_check((uint32_t)a->arg[0], &have, &want);
    return err ? err : put_gid(&want);
}
long sys_setreuid(const struct syscall_args *a)
{
    struct ids have = ids_uid(), want;
    int err = setre_check((uint32_t)a->arg[0], (uint32_t)a->arg[1], &have, &want);
    return err ? err : put_uid(&want);
}
long sys_setregid(const struct syscall_args *a)
{
    struct ids have = ids_gid(), want;
    int err = setre_check((uint32_t)a->arg[0], (uint32_t)a->arg[1], &have, &want);
    return err ? err : put_gid(&want);
}
long sys_setresuid(const struct syscall_args *a)
{
    struct ids have = ids_uid();
    struct ids want = {(uint32_t)a->arg[0], (uint32_t)a->arg[1], (uint32_t)a->arg[2]};
    int err = setres_check(&have, &want);
    return err ? err : put_uid(&want);
}
long sys_setresgid(const struct syscall_args *a)
{
    struct ids have = ids_gid();
    struct ids want = {(uint32_t)a->arg[0], (uint32_t)a->arg[1], (uint32_t)a->arg[2]};
    int err = setres_check(&have, &want);
    return err ? err : put_gid(&want);
}

static long get_three(const struct syscall_args *a, const struct ids *ids)
{
    if (user_store_u32(uaddr(a->arg[0]), ids->r) || user_store_u32(uaddr(a->arg[1]), ids->e) ||
        user_store_u32(uaddr(a->arg[2]), ids->s))
        return -EFAULT;
    return 0;
}
long sys_getresuid(const struct syscall_args *a)
{
    struct ids ids = ids_uid();
    return get_three(a, &ids);
}
long sys_getresgid(const struct syscall_args *a)
{
    struct ids ids = ids_gid();
    return get_three(a, &ids);
}

/* These two report the old value and never fail. */
long sys_setfsuid(const struct syscall_args *a)
{
    uint32_t id = (uint32_t)a->arg[0], old = cred()->fsuid;
    struct ids have = ids_uid();
    struct fs_cred *next;
    if (id == KEEP || id == old || (!privileged() && !one_of(id, &have)))
        return old;
    next = cred_copy();
    if (next) {
        next->fsuid = id;
        cred_change(next);
    }
    return old;
}
long sys_setfsgid(const struct syscall_args *a)
{
    uint32_t id = (uint32_t)a->arg[0], old = cred()->fsgid;
    struct ids have = ids_gid();
    struct fs_cred *next;
    if (id == KEEP || id == old || (!privileged() && !one_of(id, &have)))
        return old;
    next = cred_copy();
    if (next) {
        next->fsgid = id;
        cred_change(next);
    }
    return old;
}

long sys_getgroups(const struct syscall_args *a)
{
    int size = (int)a->arg[0];
    unsigned count = cred()->group_count;
    if (size < 0 || (size && (unsigned)size < count))
        return -EINVAL;
    if (size && copyout(uaddr(a->arg[1]), cred()->groups, count * sizeof cred()->groups[0]))
        return -EFAULT;
    return count;
}

long sys_setgroups(const struct syscall_args *a)
{
    uint32_t groups[ARRAY_COUNT(cred()->groups)];
    uint64_t count = (uint32_t)a->arg[0];
    if (!privileged())
        return -EPERM;
    if (count > ARRAY_COUNT(groups))
        return -EINVAL;
    if (copyin(groups, uaddr(a->arg[1]), count * sizeof groups[0]))
        return -EFAULT;
    struct fs_cred *next = cred_copy();
    if (!next)
        return -ENOMEM;
    memcpy(next->groups, groups, count * sizeof groups[0]);
    next->group_count = (unsigned)count;
    cred_change(next);
    return 0;
}

/* ---- capabilities (uapi linux/capability.h) ---- */

#define CAP_VERSION_1 0x19980330u
#define CAP_VERSION_2 0x20071026u
#define CAP_VERSION_3 0x20080522u
#define CAP_ALL 0x1ffffffffffull /* 41 of them: CAP_CHECKPOINT_RESTORE is the last */

struct cap_header {
    uint32_t version;
    int32_t pid;
};
struct cap_data {
    uint32_t effective, permitted, inheritable;
};

/* Words of data for the header's version; an unknown one is answered with the newest. */
static int cap_header_read(uint64_t addr, struct cap_header *header, unsigned *words)
{
    if (copyin(header, uaddr(addr), sizeof *header))
        return -EFAULT;
    switch (header->version) {
    case CAP_VERSION_1:
        *words = 1;
        return 0;
    case CAP_VERSION_2:
    case CAP_VERSION_3:
        *words = 2;
        return 0;
    default:
        return user_store_u32(uaddr(addr), CAP_VERSION_3) ? -EFAULT : -EINVAL;
    }
}

long sys_capget(const struct syscall_args *a)
{
    struct cap_header header;
    struct cap_data data[2];
    unsigned words;
    int err = cap_header_read(a->arg[0], &header, &words);
    if (err)
        return err == -EINVAL && !a->arg[1] ? 0 : err;
    if (header.pid < 0)
        return -EINVAL;
    if (header.pid && header.pid != process_current()->pid) {
        struct task *task = task_by_tid(header.pid);
        if (!task)
            return -ESRCH;
        thread_put(&task->thread);
    }
    uint64_t caps = privileged() ? CAP_ALL : 0;
    for (unsigned i = 0; i < words; i++)
        data[i] = (struct cap_data){(uint32_t)(caps >> 32 * i), (uint32_t)(caps >> 32 * i), 0};
    return a->arg[1] ? copyout(uaddr(a->arg[1]), data, words * sizeof data[0]) : 0;
}

/* Giving capabilities up is accepted (they go with euid 0); taking new ones is not. */
long sys_capset(const struct syscall_args *a)
{
    struct cap_header header;
    struct cap_data data[2];
    unsigned words;
    int err = cap_header_read(a->arg[0], &header, &words);
    if (err)
        return err;
    if (header.pid && header.pid != process_current()->pid && header.pid != task_current()->tid)
        return -EPERM;
    if (copyin(data, uaddr(a->arg[1]), words * sizeof data[0]))
        return -EFAULT;
    for (unsigned i = 0; i < words; i++)
        if ((data[i].effective & ~data[i].permitted) ||
            (!privileged() && (data[i].effective | data[i].permitted | data[i].inheritable)))
            return -EPERM;
    return 0;
}

/* ---- processes, groups, sessions ---- */

long sys_getpid(const struct syscall_args *a)
{
    (void)a;
    return process_current()->pid;
}
long sys_getppid(const struct syscall_args *a)
{
    (void)a;
    return process_current()->ppid;
}
long sys_gettid(const struct syscall_args *a)
{
    (void)a;
    return task_current()->tid;
}
long sys_getpgrp(const struct syscall_args *a)
{
    (void)a;
    return process_current()->pgid;
}

/* One number of a process. */
static long of_process(int pid, bool session)
{
    if (pid == 0)
        return session ? process_current()->sid : process_current()->pgid;
    struct process *p = process_of_task(pid);
    if (!p)
        return -ESRCH;
    long id = session ? p->sid : p->pgid;
    process_put(p);
    return id;
}
long sys_getpgid(const struct syscall_args *a)
{
    return of_process((int)a->arg[0], false);
}
long sys_getsid(const struct syscall_args *a)
{
    return of_process((int)a->arg[0], true);
}

long sys_setpgid(const struct syscall_args *a)
{
    struct process *p = process_current();
    int pid = (int)a->arg[0], pgid = (int)a->arg[1];
    pid = pid ? pid : p->pid;
    pgid = pgid ? pgid : pid;
    if (pgid < 0)
        return -EINVAL;
    struct task *task = pid == p->pid ? NULL : task_by_tid(pid);
    if (task) {
        thread_put(&task->thread);
        return -EINVAL; /* not the process's own number */
    }
    if (pid != p->pid)
        return -ESRCH; /* no children */
    if (p->sid == p->pid || (pgid != p->pid && pgid != p->pgid))
        return -EPERM; /* a session leader stays; other groups do not exist in the session */
    p->pgid = pgid;
    return 0;
}

long sys_setsid(const struct syscall_args *a)
{
    struct process *p = process_current();
    (void)a;
    if (p->pgid == p->pid)
        return -EPERM;
    p->sid = p->pgid = p->pid;
    return p->sid;
}
