/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sys_file_owner.c - the owner of an open file, and SIGIO: fcntl(2), "Managing signals".
 *
 * A file with O_ASYNC has callbacks on the wait queues that its poll names. A callback, which may
 * run in an interrupt and under the queue's lock, notes what has happened and queues a work; the
 * work asks the file for its state and sends one signal for each kind of event: so what comes in a
 * burst is told once, and the signal a moment behind the event.
 *
 * 1. file->async is set once and goes with the file. What is queued has a reference of its own.
 * 2. `lock` (RANK_EPOLL) guards the callbacks and `file`; forget() takes the callbacks off and
 *    clears `file` under it, so that a work that runs later asks nobody.
 * 3. The owner is words that anyone may read while another changes them: relaxed atomics. Who is
 *    meant is a number, and when what has this number began: another one that gets the number later
 *    is told nothing.
 */
#include "core/assert.h"
#include "fs/async.h"
#include "fs/fcntl.h"
#include "lib/string.h"
#include "linux/sys_file.h"
#include "mm/account.h"
#include "net/socket.h"
#include "sched/work.h"

/* Types of owners, as F_SETOWN_EX has them. */
enum { F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP };

/* What has happened; POLL_IN and so on of siginfo are one more than the bit's number. */
enum { GOT_IN, GOT_OUT, GOT_MSG, GOT_ERR, GOT_PRI, GOT_HUP, GOT_CHANGE };
#define GOT_BIT(n) (1u << (n))

#define QUEUES_MAX 3

struct async_waiter {
    struct waiter waiter;
    struct owned *owned;
};
struct owned {
    struct file_async async; /* first */
    struct refcount refs;
    struct mutex lock;
    struct file *file; /* lock; NULL: gone */
    int fd;            /* lock; si_fd */
    unsigned queue_count;
    struct async_waiter queues[QUEUES_MAX];
    int err; /* lock: of attaching */
    struct poll_table table;
    struct work work;
    uint32_t got;  /* GOT_BIT; atomic */
    uint64_t whom; /* type << 32 | id; 0: nobody; relaxed atomic, as the next three */
    uint64_t born; /* birth() of it */
    uint64_t cred; /* who said so: uid << 32 | euid */
    int32_t signo; /* F_SETSIG */
};

static void owned_put(struct owned *o)
{
    if (ref_put(&o->refs))
        owner_free(OWNER_EVENT, o, sizeof(*o));
}

/* ---- sending ---- */

struct notice {
    int signo;
    int reason; /* GOT_*, for signals chosen by F_SETSIG; -1: none */
    int fd;
};

static bool code_is_its_own(int signo)
{
    const uint64_t own = SIG_BIT(SIGILL) | SIG_BIT(SIGFPE) | SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) |
                         SIG_BIT(SIGTRAP) | SIG_BIT(SIGCHLD) | SIG_BIT(SIGSYS);
    return SIG_BIT(signo) & own;
}

/* fs/fcntl.c of Linux, send_sigio_to_task: the signal that was chosen, with what has happened. */
static struct siginfo info_of(const struct notice *n)
{
    static const uint16_t bands[] = {
        [GOT_IN] = POLLIN | POLLRDNORM,
        [GOT_OUT] = POLLOUT | POLLWRNORM | POLLWRBAND,
        [GOT_MSG] = POLLIN | POLLRDNORM | POLLMSG,
        [GOT_ERR] = POLLERR,
        [GOT_PRI] = POLLPRI | POLLRDBAND,
        [GOT_HUP] = POLLHUP | POLLERR,
    };
    struct siginfo info = {.signo = n->signo, .code = SI_KERNEL};
    if (n->reason >= 0) {
        info.code = code_is_its_own(n->signo) ? SI_SIGIO : n->reason + 1;
        info.band = bands[n->reason];
        info.fd = n->fd;
    }
    return info;
}

/* May who made this the owner signal it? (Linux: sigio_perm) */
static bool may_tell(struct process *p, uint64_t cred)
{
    uint32_t uid = (uint32_t)(cred >> 32), euid = (uint32_t)cred;
    struct fs_cred to;
    return cred_of_process(p, &to) &&
           (euid == 0 || euid == to.suid || euid == to.uid || uid == to.suid || uid == to.uid);
}

static void tell(struct process *p, struct task *task, uint64_t cred, const struct notice *n)
{
    struct siginfo info = info_of(n);
    if (!may_tell(p, cred))
        return;
    int err = task ? signal_send_task(task, &info) : signal_send_process(p, &info);
    if (err && n->reason >= 0) { /* no room for what it should say: the plain one */
        info = info_of(&(struct notice){SIGIO, -1, -1});
        err = task ? signal_send_task(task, &info) : signal_send_process(p, &info);
    }
    (void)err; /* a standard signal that waits already is told by that */
}

static void tell_task(int tid, uint64_t cred, const struct notice *n)
{
    struct task *task = task_find(tid);
    if (!task)
        return;
    tell(task->process, task, cred, n);
    thread_put(&task->thread);
}

static void tell_group(int pgid, uint64_t cred, const struct notice *n)
{
    struct process *p;
    for (int pid = 1; (p = process_next(pid)) != NULL;) {
        pid = p->pid + 1;
        if (p->pgid == pgid)
            tell(p, NULL, cred, n);
        process_put(p);
    }
}

/* When the thread, process or group began, which tells it from others of the same number; 0: there
 * is none. A process's first thread counts as the process: execve in another thread changes it. */
static uint64_t birth(int type, int id)
{
    uint64_t when = 0;
    if (type == F_OWNER_PGRP)
        return proc_group_lives(id); /* not taken by others while a process has it */
    struct process *p = process_find(id);
    struct task *task = type == F_OWNER_TID && !p ? task_find(id) : NULL;
    if (p)
        when = p->start_ns + 1;
    process_put(p);
    if (task) {
        when = task->start_ns + 1;
        thread_put(&task->thread);
    }
    return when;
}

static bool is_meant(const struct owned *o, uint64_t whom)
{
    uint64_t born = __atomic_load_n(&o->born, __ATOMIC_RELAXED);
    return born && birth((int)(whom >> 32), (int)(uint32_t)whom) == born;
}

static void tell_owner(const struct owned *o, const struct notice *n)
{
    uint64_t whom = __atomic_load_n(&o->whom, __ATOMIC_RELAXED);
    uint64_t cred = __atomic_load_n(&o->cred, __ATOMIC_RELAXED);
    int id = (int)(uint32_t)whom;
    if (!is_meant(o, whom))
        return;
    if (whom >> 32 == F_OWNER_TID) {
        tell_task(id, cred, n);
    } else if (whom >> 32 == F_OWNER_PGRP) {
        tell_group(id, cred, n);
    } else {
        struct process *p = process_find(id);
        if (!p)
            return;
        tell(p, NULL, cred, n);
        process_put(p);
    }
}

static struct owned *owned_of(const struct file *file)
{
    /* Acquire: pairs with owned_get's exchange. */
    return (struct owned *)__atomic_load_n(&file->async, __ATOMIC_ACQUIRE);
}

static void owned_signal(struct file *file, int signo)
{
    tell_owner(owned_of(file), &(struct notice){signo, -1, -1});
}

/* ---- events ---- */

static void on_event(struct waiter *w, uint32_t events)
{
    struct owned *o = container_of(w, struct async_waiter, waiter)->owned;
    const uint32_t in = POLLIN | POLLRDNORM | POLLHUP | POLLRDHUP, out = POLLOUT | POLLWRNORM;
    uint32_t got = 0;
    if (!events || (events & in && events & out)) {
        got = GOT_BIT(GOT_CHANGE);
    } else {
        got |= events & in ? GOT_BIT(GOT_IN) : 0;
        got |= events & out ? GOT_BIT(GOT_OUT) : 0;
        got |= events & POLLERR ? GOT_BIT(GOT_ERR) : 0;
        got |= events & POLLPRI ? GOT_BIT(GOT_PRI) : 0;
    }
    /* Release, with the work's exchange: what has happened is seen by who asks for the state. A
     * callback runs while its waiter is linked, and so before the file's reference is put. */
    __atomic_fetch_or(&o->got, got, __ATOMIC_RELEASE);
    ref_get(&o->refs);
    if (!work_queue(&o->work) && ref_put(&o->refs))
        panic("sys_file_owner: an event of a file that is gone");
}

static void send_reason(const struct owned *o, int reason)
{
    int signo = __atomic_load_n(&o->signo, __ATOMIC_RELAXED);
    tell_owner(o, &(struct notice){signo ? signo : SIGIO, signo ? reason : -1, o->fd});
}

/* A queue that does not say what has happened, or much at once: the one word for it. */
static int reason_of_change(uint32_t state, bool socket)
{
    if (state & POLLERR)
        return GOT_ERR;
    if (socket && state & POLLHUP)
        return GOT_HUP;
    if (state & (POLLIN | POLLHUP | POLLRDHUP))
        return GOT_IN;
    return !socket && state & POLLOUT ? GOT_OUT : -1;
}

static void tell_events(const struct owned *o, uint32_t got)
{
    uint32_t state = file_poll(o->file, NULL);
    bool socket = socket_of_file(o->file) != NULL;
    if (got & GOT_BIT(GOT_ERR) && state & POLLERR)
        send_reason(o, GOT_ERR);
    if (got & GOT_BIT(GOT_PRI) && state & POLLPRI)
        send_reason(o, GOT_PRI);
    if (got & GOT_BIT(GOT_IN) && state & (POLLIN | POLLHUP | POLLRDHUP))
        send_reason(o, socket && state & POLLHUP ? GOT_HUP : GOT_IN);
    if (got & GOT_BIT(GOT_OUT) && state & POLLOUT)
        send_reason(o, GOT_OUT);
    int reason = got & GOT_BIT(GOT_CHANGE) ? reason_of_change(state, socket) : -1;
    if (reason >= 0)
        send_reason(o, reason);
}

static void owned_work(struct work *work)
{
    struct owned *o = container_of(work, struct owned, work);
    mutex_lock(&o->lock);
    uint32_t got = __atomic_exchange_n(&o->got, 0, __ATOMIC_ACQUIRE);
    if (o->file && o->queue_count)
        tell_events(o, got);
    mutex_unlock(&o->lock);
    owned_put(o);
}

static void detach_locked(struct owned *o)
{
    /* After waitq_remove no callback runs or will run. */
    for (unsigned i = 0; i < o->queue_count; i++)
        waitq_remove(&o->queues[i].waiter);
    o->queue_count = 0;
}

static void owned_forget(struct file *file)
{
    struct owned *o = owned_of(file);
    mutex_lock(&o->lock);
    detach_locked(o);
    o->file = NULL;
    mutex_unlock(&o->lock);
}

static void owned_free(struct file *file)
{
    owned_put(owned_of(file));
}

/* ---- making ---- */

static struct owned *owned_get(struct file *file)
{
    struct owned *o = owned_of(file);
    if (o)
        return o;
    o = owner_alloc(OWNER_EVENT, sizeof(*o));
    if (!o)
        return NULL;
    *o = (struct owned){.async = {owned_forget, owned_free, owned_signal}, .file = file};
    ref_init(&o->refs);
    mutex_init(&o->lock, RANK_EPOLL);
    work_init(&o->work, owned_work);
    struct file_async *other = NULL;
    /* Release: complete for who finds it. */
    if (__atomic_compare_exchange_n(&file->async, &other, &o->async, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return o;
    owner_free(OWNER_EVENT, o, sizeof(*o));
    return (struct owned *)other;
}

static void add_queue(struct poll_table *table, struct waitq *queue)
{
    struct owned *o = container_of(table, struct owned, table);
    if (o->queue_count == QUEUES_MAX) {
        o->err = -ENOSPC;
        return;
    }
    struct async_waiter *w = &o->queues[o->queue_count++];
    w->owned = o;
    waitq_add(queue, &w->waiter, on_event);
}

/* Linux: __tty_fasync. A terminal without an owner tells the process group. */
static void own_tty(struct owned *o)
{
    const struct fs_cred *cred = proc_cred();
    uint64_t none = 0, group = (uint64_t)F_OWNER_PGRP << 32 | (uint32_t)process_current()->pgid;
    if (!__atomic_compare_exchange_n(&o->whom, &none, group, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&o->born, birth(F_OWNER_PGRP, (int)(uint32_t)group), __ATOMIC_RELAXED);
    __atomic_store_n(&o->cred, (uint64_t)cred->uid << 32 | cred->euid, __ATOMIC_RELAXED);
}

int file_set_async(struct file *file, int fd, bool on)
{
    struct owned *o = on ? owned_get(file) : owned_of(file);
    int err = 0;
    if (!o)
        return on ? -ENOMEM : 0;
    mutex_lock(&o->lock);
    o->fd = fd;
    if (on && !o->queue_count) {
        o->err = 0;
        o->table.add = add_queue;
        file_poll(file, &o->table);
        err = o->err;
    }
    if (on && !err) {
        __atomic_fetch_or(&file->flags, O_ASYNC, __ATOMIC_RELAXED);
        if (file->inode && inode_is(file->inode, S_IFCHR))
            own_tty(o);
    } else {
        detach_locked(o);
        __atomic_fetch_and(&file->flags, ~O_ASYNC, __ATOMIC_RELAXED);
    }
    mutex_unlock(&o->lock);
    return err;
}

/* ---- fcntl ---- */

struct owner_ex { /* struct f_owner_ex of user code */
    int32_t type, pid;
};

static long set_owner(struct file *file, int type, int id)
{
    const struct fs_cred *cred = proc_cred();
    /* Any number that means anything will do, as on Linux; one of another kind gets no signals. */
    if (id && !birth(F_OWNER_TID, id) && !birth(F_OWNER_PGRP, id))
        return -ESRCH;
    struct owned *o = owned_get(file);
    if (!o)
        return -ENOMEM;
    __atomic_store_n(&o->cred, (uint64_t)cred->uid << 32 | cred->euid, __ATOMIC_RELAXED);
    __atomic_store_n(&o->born, birth(type, id), __ATOMIC_RELAXED);
    __atomic_store_n(&o->whom, (uint64_t)type << 32 | (uint32_t)id, __ATOMIC_RELAXED);
    return 0;
}

static struct owner_ex get_owner(const struct file *file)
{
    const struct owned *o = owned_of(file);
    uint64_t whom = o ? __atomic_load_n(&o->whom, __ATOMIC_RELAXED) : 0;
    struct owner_ex owner = {o ? (int32_t)(whom >> 32) : F_OWNER_TID, (int32_t)(uint32_t)whom};
    if (!o || !is_meant(o, whom))
        owner.pid = 0;
    return owner;
}

static long set_plain(struct file *file, int32_t who)
{
    if (who == INT32_MIN)
        return -EINVAL;
    return set_owner(file, who < 0 ? F_OWNER_PGRP : F_OWNER_PID, who < 0 ? -who : who);
}

static int32_t get_plain(const struct file *file)
{
    struct owner_ex owner = get_owner(file);
    return owner.type == F_OWNER_PGRP ? -owner.pid : owner.pid;
}

static long set_extended(struct file *file, uint64_t arg)
{
    struct owner_ex owner;
    int err = copyin(&owner, uaddr(arg), sizeof(owner));
    if (err)
        return err;
    if (owner.type < F_OWNER_TID || owner.type > F_OWNER_PGRP)
        return -EINVAL;
    return set_owner(file, owner.type, owner.pid);
}

static long set_signal(struct file *file, uint64_t arg)
{
    if (arg > NSIG)
        return -EINVAL;
    struct owned *o = arg ? owned_get(file) : owned_of(file);
    if (o)
        __atomic_store_n(&o->signo, (int32_t)arg, __ATOMIC_RELAXED);
    return o || !arg ? 0 : -ENOMEM;
}

long file_owner_fcntl(struct file *file, int cmd, uint64_t arg)
{
    const struct owned *o = owned_of(file);
    struct owner_ex owner;
    uint64_t cred = o ? __atomic_load_n(&o->cred, __ATOMIC_RELAXED) : 0;
    switch (cmd) {
    case F_SETOWN:
        return set_plain(file, (int32_t)arg);
    case F_GETOWN:
        return get_plain(file);
    case F_SETOWN_EX:
        return set_extended(file, arg);
    case F_GETOWN_EX:
        owner = get_owner(file);
        return copyout(uaddr(arg), &owner, sizeof(owner));
    case F_GETOWNER_UIDS:
        return copyout(uaddr(arg), (uint32_t[]){(uint32_t)(cred >> 32), (uint32_t)cred}, 8);
    case F_SETSIG:
        return set_signal(file, arg);
    case F_GETSIG:
        return o ? __atomic_load_n(&o->signo, __ATOMIC_RELAXED) : 0;
    default:
        return -EINVAL;
    }
}

long file_owner_ioctl(struct file *file, unsigned cmd, uint64_t arg)
{
    int32_t pid;
    if (!socket_of_file(file))
        return -ENOTTY;
    if (cmd == FIOGETOWN || cmd == SIOCGPGRP) {
        pid = get_plain(file);
        return copyout(uaddr(arg), &pid, sizeof(pid));
    }
    int err = copyin(&pid, uaddr(arg), sizeof(pid));
    return err ? err : set_plain(file, pid);
}
