/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_signal.c - system calls on signals: decode and check, then proc/signal.h. */
#include "lib/string.h"
#include "linux/pidfd.h"
#include "linux/uapi.h"

#define SIGSET_SIZE 8
#define SA_KNOWN \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_RESTART | \
     SA_NODEFER | SA_RESETHAND)

/* struct sigaction as the kernel takes it: the same on x86-64 and, with an unused restorer, arm64.
 */
struct uapi_sigaction {
    uint64_t handler, flags, restorer, mask;
};

static int copyin_sigset(uint64_t addr, uint64_t size, uint64_t *set)
{
    if (size != SIGSET_SIZE)
        return -EINVAL;
    return copyin(set, uaddr(addr), sizeof *set);
}

long sys_rt_sigaction(const struct syscall_args *a)
{
    struct uapi_sigaction in, out;
    struct signal_action act, old;
    if (a->arg[3] != SIGSET_SIZE)
        return -EINVAL;
    if (a->arg[1]) {
        if (copyin(&in, uaddr(a->arg[1]), sizeof in))
            return -EFAULT;
        act = (struct signal_action){
            .handler = in.handler,
            .flags = in.flags & SA_KNOWN, /* unknown bits read back as 0: programs probe so */
            .restorer = in.restorer,
            .mask = in.mask,
        };
    }
    int err = signal_set_action((int)a->arg[0], a->arg[1] ? &act : NULL, &old);
    if (err || !a->arg[2])
        return err;
    out = (struct uapi_sigaction){old.handler, old.flags, old.restorer, old.mask};
    return copyout(uaddr(a->arg[2]), &out, sizeof out);
}

long sys_rt_sigprocmask(const struct syscall_args *a)
{
    struct task *task = task_current();
    uint64_t old = task->sig_mask, set;
    if (a->arg[3] != SIGSET_SIZE)
        return -EINVAL;
    if (a->arg[1]) {
        if (copyin(&set, uaddr(a->arg[1]), sizeof set))
            return -EFAULT;
        switch ((int)a->arg[0]) {
        case SIG_BLOCK:
            signal_set_mask(old | set);
            break;
        case SIG_UNBLOCK:
            signal_set_mask(old & ~set);
            break;
        case SIG_SETMASK:
            signal_set_mask(set);
            break;
        default:
            return -EINVAL;
        }
    }
    return a->arg[2] ? copyout(uaddr(a->arg[2]), &old, sizeof old) : 0;
}

long sys_rt_sigpending(const struct syscall_args *a)
{
    struct task *task = task_current();
    uint64_t set = signal_pending_set(task) & task->sig_mask;
    if (a->arg[1] > SIGSET_SIZE)
        return -EINVAL;
    return copyout(uaddr(a->arg[0]), &set, a->arg[1]);
}

long sys_rt_sigsuspend(const struct syscall_args *a)
{
    uint64_t set;
    int err = copyin_sigset(a->arg[0], a->arg[1], &set);
    if (err)
        return err;
    signal_mask_for_call(set);
    (void)!sleep_until(UINT64_MAX, true);
    return -ERESTARTNOHAND;
}

long sys_pause(const struct syscall_args *a)
{
    (void)a;
    (void)!sleep_until(UINT64_MAX, true);
    return -ERESTARTNOHAND;
}

long sys_rt_sigtimedwait(const struct syscall_args *a)
{
    uint64_t set, ns, deadline = UINT64_MAX;
    struct uapi_timespec ts;
    struct siginfo info;
    int err = copyin_sigset(a->arg[0], a->arg[3], &set);
    if (err)
        return err;
    if (a->arg[2]) {
        if (copyin(&ts, uaddr(a->arg[2]), sizeof ts))
            return -EFAULT;
        err = ns_of_timespec(&ts, &ns);
        if (err)
            return err;
        deadline = ns_add(clock_mono_ns(), ns);
    }
    long signo = signal_wait(set, deadline, &info);
    if (signo > 0 && a->arg[1] && copyout(uaddr(a->arg[1]), &info, sizeof info))
        return -EFAULT;
    return signo;
}

/* ---- sending ---- */

static bool may_signal(struct process *target)
{
    const struct fs_cred *me = proc_cred();
    struct fs_cred to;
    if (target == process_current() || me->euid == 0)
        return true;
    return cred_of_process(target, &to) &&
           (me->euid == to.uid || me->euid == to.suid || me->uid == to.uid || me->uid == to.suid);
}

/* As on Linux the number is looked at when there is somebody to get it. */
static int check_signal(struct process *target, const struct siginfo *info)
{
    if (info->signo < 0 || info->signo > NSIG)
        return -EINVAL;
    return may_signal(target) ? 0 : -EPERM;
}

static int send_to(struct process *p, const struct siginfo *info)
{
    if (!p->fs || __atomic_load_n(&p->ended, __ATOMIC_ACQUIRE))
        return -ESRCH;
    int err = check_signal(p, info);
    return err || !info->signo ? err : signal_send_process(p, info);
}

/* kill to a group (or, with 0, to all but the caller and process 1). */
static int send_many(int pgid, const struct siginfo *info)
{
    int err = -ESRCH;
    struct process *p;
    for (int pid = 1; (p = process_next(pid)) != NULL;) {
        bool meant = pgid ? p->pgid == pgid : p->pid != 1 && p != process_current();
        pid = p->pid + 1;
        if (meant) {
            int one = send_to(p, info);
            err = one == 0 || err == -ESRCH ? one : err;
        }
        process_put(p);
    }
    return err;
}

struct process *process_of_task(int id)
{
    struct process *p = process_find(id);
    struct task *task = p ? NULL : task_find(id);
    if (task) {
        p = task->process;
        process_get(p);
        thread_put(&task->thread);
    }
    return p;
}

long sys_kill(const struct syscall_args *a)
{
    int pid = (int)a->arg[0], signo = (int)a->arg[1];
    struct siginfo info;
    signal_info_user(&info, signo, SI_USER);
    if (pid == INT_MIN)
        return -ESRCH;
    if (pid <= 0)
        return send_many(pid == 0 ? process_current()->pgid : pid == -1 ? 0 : -pid, &info);
    struct process *p = process_of_task(pid);
    if (!p)
        return -ESRCH;
    int err = send_to(p, &info);
    process_put(p);
    return err;
}

/* tgid 0: any. */
static long send_to_task(int tgid, int tid, const struct siginfo *info)
{
    struct task *task = task_find(tid);
    long err = -ESRCH;
    if (!task)
        return err;
    if (!tgid || task->process->pid == tgid) {
        err = check_signal(task->process, info);
        if (!err && info->signo)
            err = signal_send_task(task, info);
    }
    thread_put(&task->thread);
    return err;
}

static long tgkill(int tgid, int tid, int signo)
{
    struct siginfo info;
    if (tid <= 0)
        return -EINVAL;
    signal_info_user(&info, signo, SI_TKILL);
    return send_to_task(tgid, tid, &info);
}

long sys_tkill(const struct syscall_args *a)
{
    return tgkill(0, (int)a->arg[0], (int)a->arg[1]);
}

long sys_tgkill(const struct syscall_args *a)
{
    if ((int)a->arg[0] <= 0)
        return -EINVAL;
    return tgkill((int)a->arg[0], (int)a->arg[1], (int)a->arg[2]);
}

/* id: whom it is sent to. */
static int copyin_siginfo(uint64_t addr, int signo, int id, struct siginfo *info)
{
    if (copyin(info, uaddr(addr), sizeof *info))
        return -EFAULT;
    info->signo = signo;
    /* Nobody may pretend to be the kernel or kill(2), except to himself. */
    if ((info->code >= 0 || info->code == SI_TKILL) && id != task_current()->tid)
        return -EPERM;
    return 0;
}

long sys_rt_sigqueueinfo(const struct syscall_args *a)
{
    struct siginfo info;
    int pid = (int)a->arg[0];
    int err = copyin_siginfo(a->arg[2], (int)a->arg[1], pid, &info);
    if (err)
        return err;
    struct process *p = process_of_task(pid);
    if (!p)
        return -ESRCH;
    err = send_to(p, &info);
    process_put(p);
    return err;
}

long sys_rt_tgsigqueueinfo(const struct syscall_args *a)
{
    struct siginfo info;
    int tgid = (int)a->arg[0], tid = (int)a->arg[1];
    if (tgid <= 0 || tid <= 0)
        return -EINVAL;
    int err = copyin_siginfo(a->arg[3], (int)a->arg[2], tid, &info);
    return err ? err : send_to_task(tgid, tid, &info);
}

/* PIDFD_SIGNAL_THREAD, _THREAD_GROUP, _PROCESS_GROUP: one of them, or as the descriptor says. */
enum { TO_THREAD = 1, TO_PROCESS = 2, TO_GROUP = 4 };

static long send_by_pidfd(const struct pidfd *to, unsigned scope, const struct siginfo *info)
{
    if (scope == TO_THREAD)
        return send_to_task(to->process->pid, to->task ? to->task->tid : to->process->pid, info);
    if (scope == TO_GROUP)
        return send_many(to->process->pid, info); /* the group of that number */
    return __atomic_load_n(&to->process->ended, __ATOMIC_ACQUIRE) ? -ESRCH
                                                                  : send_to(to->process, info);
}

long sys_pidfd_send_signal(const struct syscall_args *a)
{
    struct siginfo info;
    struct file *file;
    int signo = (int)a->arg[1], err = 0;
    uint32_t scope = (uint32_t)a->arg[3];
    if (scope > TO_GROUP || (scope & (scope - 1)))
        return -EINVAL;
    const struct pidfd *to = pidfd_get(a->arg[0], &file);
    if (!to)
        return -EBADF;
    if (scope == 0)
        scope = to->task ? TO_THREAD : TO_PROCESS;
    int id = to->task ? to->task->tid : to->process->pid;
    if (!a->arg[2])
        signal_info_user(&info, signo, scope == TO_THREAD ? SI_TKILL : SI_USER);
    else if (copyin(&info, uaddr(a->arg[2]), sizeof info))
        err = -EFAULT;
    else if (info.signo != signo)
        err = -EINVAL;
    else if ((info.code >= 0 || info.code == SI_TKILL) && id != task_current()->tid)
        err = -EPERM;
    long result = err ? err : send_by_pidfd(to, scope, &info);
    file_put(file);
    return result;
}

/* ---- stacks and return ---- */

long sys_sigaltstack(const struct syscall_args *a)
{
    struct task *task = task_current();
    uintptr_t sp = isa_frame_sp(a->frame);
    struct signal_stack stack, old;
    signal_stack_get(task, sp, &old);
    if (a->arg[0]) {
        if (copyin(&stack, uaddr(a->arg[0]), sizeof stack))
            return -EFAULT;
        int err = signal_stack_set(task, sp, &stack);
        if (err)
            return err;
    }
    return a->arg[1] ? copyout(uaddr(a->arg[1]), &old, sizeof old) : 0;
}

long sys_rt_sigreturn(const struct syscall_args *a)
{
    signal_return(a->frame);
    return 0;
}
