/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * deliver.c - the way of a signal into user code and back: default actions, handler frames,
 * restart of interrupted system calls, rt_sigreturn, stopping.
 *
 * signal_deliver starts at most one handler; kernel_user_return calls it until nothing is
 * deliverable, so several signals nest their frames as on Linux.
 *
 * Restarting (Linux: handle_signal, arch_do_signal_or_restart). A call that was interrupted left a
 * code in its result. With a handler: -ERESTARTSYS restarts if SA_RESTART, -ERESTARTNOINTR always,
 * everything else becomes EINTR. Without: all restart, -ERESTART_RESTARTBLOCK through
 * restart_syscall.
 */
#include "core/log.h"
#include "isa.h"
#include "lib/errno.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "proc/crash.h"
#include "proc/internal.h"
#include "proc/rseq.h"
#include "proc/sigset.h"
#include "sched/pressure.h"

struct delivery {
    int signo;
    struct siginfo info;
    struct signal_action action;
};

/* What comes next: nothing, a handler, a stop of the process or its end. */
enum picked { PICKED_NONE, PICKED_HANDLER, PICKED_STOP, PICKED_FATAL };

/* A signal without a handler. */
static enum picked default_action_locked(struct process *p, int signo)
{
    uint64_t bit = SIG_BIT(signo);
    if (bit & SIG_DEFAULT_IGNORE)
        return PICKED_NONE;
    if (!(bit & SIG_STOPS))
        return PICKED_FATAL;
    /* POSIX: an orphaned process group, which this is if no job control of the host's could
     * continue it, is not stopped by the terminal's signals. */
    if (!hal_suspend() && signo != SIGSTOP)
        return PICKED_NONE;
    p->stopped_by = signo;
    __atomic_store_n(&p->stopped, true, __ATOMIC_RELEASE);
    list_for_each (pos, &p->tasks)
        thread_interrupt(&list_entry(pos, struct task, process_link)->thread);
    return PICKED_STOP;
}

static enum picked pick(struct task *task, struct delivery *d)
{
    struct process *p = task->process;
    enum picked found = PICKED_NONE;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    while (!p->exiting && found == PICKED_NONE) {
        d->signo = signal_dequeue_locked(task, ~task->sig_mask, &d->info);
        if (!d->signo)
            break;
        struct signal_action *action = &p->actions.action[d->signo];
        if (action->handler == SIG_IGN)
            continue;
        if (action->handler == SIG_DFL) {
            found = default_action_locked(p, d->signo);
            continue;
        }
        d->action = *action;
        if (action->flags & SA_RESETHAND)
            action->handler = SIG_DFL;
        found = PICKED_HANDLER;
    }
    spin_unlock_irqrestore(&p->lock, irq);
    return found;
}

static bool is_restart_code(long result)
{
    return result == -ERESTARTSYS || result == -ERESTARTNOINTR || result == -ERESTARTNOHAND ||
           result == -ERESTART_RESTARTBLOCK;
}

static void restart_for_handler(struct task *task, struct isa_frame *frame, uint64_t sa_flags)
{
    if (!task->in_syscall)
        return;
    task->in_syscall = false;
    long code = isa_frame_result(frame);
    if (code == -ERESTARTNOINTR || (code == -ERESTARTSYS && (sa_flags & SA_RESTART))) {
        isa_frame_restart(frame);
    } else if (is_restart_code(code)) {
        task->restart.id = 0;
        isa_frame_set_result(frame, -EINTR);
    }
}

static void restart_without_handler(struct task *task, struct isa_frame *frame)
{
    if (task->in_syscall) {
        task->in_syscall = false;
        long code = isa_frame_result(frame);
        if (code == -ERESTART_RESTARTBLOCK)
            isa_frame_set_sysno_restart(frame);
        else if (is_restart_code(code))
            isa_frame_restart(frame);
    }
    if (task->sig_restore_mask) {
        task->sig_restore_mask = false;
        signal_set_mask(task->sig_saved_mask);
    }
}

/* The free end of the stack that the handler will run on; 0: its frame would not fit. */
static uintptr_t handler_stack(const struct task *task, const struct isa_frame *frame,
                               uint64_t sa_flags)
{
    uintptr_t sp = isa_frame_sp(frame), lo = task->alt_stack.raw;
    size_t need = isa_sigframe_size();
    bool on_alt = task->alt_stack_size && signal_on_alt_stack(task, sp);
    if (on_alt)
        return sp - lo >= need ? sp : 0; /* nested too deep */
    if ((sa_flags & SA_ONSTACK) && task->alt_stack_size)
        return task->alt_stack_size >= need ? lo + task->alt_stack_size : 0;
    return sp;
}

/* Kernel memory for an image of a signal frame. A program cannot be told that there is none: it
 * waits and, in the end, dies as of a page that it does not get. NULL: the task leaves. */
static void *image_alloc(struct task *task, size_t size)
{
    void *buf;
    do
        buf = kmalloc(size, ALLOC_ZERO);
    while (!buf && !task_must_leave(task) && memory_wait());
    if (!buf && !task_must_leave(task))
        process_out_of_memory();
    return buf;
}

/* Build the frame on the user stack; *frame is changed only on success. -ENOMEM: the task leaves.
 */
static int frame_push(struct task *task, struct isa_frame *frame, const struct delivery *d,
                      uint64_t old_mask)
{
    uintptr_t sp = handler_stack(task, frame, d->action.flags), at;
    if (!sp)
        return -EFAULT;
    void *buf = image_alloc(task, isa_sigframe_size());
    if (!buf)
        return -ENOMEM;
    struct isa_frame next = *frame;
    struct isa_signal sig = {
        .signo = d->signo,
        .info = &d->info,
        .handler = d->action.handler,
        .restorer =
            d->action.flags & SA_RESTORER ? d->action.restorer : vdso_restorer(task->process),
        .flags = d->action.flags,
        .mask = old_mask,
        .alt_stack = task->alt_stack.raw,
        .alt_stack_size = task->alt_stack_size,
        .alt_stack_flags = task->alt_stack_flags,
        .fault = task->fault,
    };
    hal_ctx_fp_sync(&task->thread.ctx);
    size_t size = isa_sigframe_build(&next, task->thread.fp, &sig, sp, buf, &at);
    int err = copyout(uaddr(at), buf, size);
    kfree(buf);
    if (!err)
        *frame = next;
    return err;
}

static void handler_start(struct task *task, struct isa_frame *frame, const struct delivery *d)
{
    uint64_t old_mask = task->sig_restore_mask ? task->sig_saved_mask : task->sig_mask;
    restart_for_handler(task, frame, d->action.flags);
    patch_leave(frame);
    int err = rseq_signal(task, frame);
    if (!err)
        err = frame_push(task, frame, d, old_mask);
    if (err == -ENOMEM)
        return; /* the task leaves */
    if (err) {
        /* No stack for a handler, or a bad rseq(2) area: not even one for SIGSEGV if that was it.
         */
        if (d->signo == SIGSEGV)
            (void)!signal_set_action(SIGSEGV, &(struct signal_action){.handler = SIG_DFL}, NULL);
        signal_force(SIGSEGV, SI_KERNEL, 0);
        return;
    }
    if (task->alt_stack_flags & SS_AUTODISARM) {
        task->alt_stack = uaddr(0);
        task->alt_stack_size = 0;
        task->alt_stack_flags = SS_DISABLE;
    }
    task->sig_restore_mask = false;
    uint64_t mask = task->sig_mask | d->action.mask;
    if (!(d->action.flags & SA_NODEFER))
        mask |= SIG_BIT(d->signo);
    signal_set_mask(mask);
}

void signal_deliver(struct isa_frame *frame)
{
    struct task *task = task_current();
    struct delivery d;
    switch (pick(task, &d)) {
    case PICKED_HANDLER:
        handler_start(task, frame, &d);
        break;
    case PICKED_FATAL:
        patch_leave(frame);
        crash(task, frame, &d.info);
        log_info("%s[%d]: killed by signal %d, code %d, address %#lx, at %#lx", task->thread.name,
                 task->tid, d.signo, d.info.code, (unsigned long)d.info.addr,
                 (unsigned long)isa_frame_pc(frame));
        process_exit_group(d.signo);
        break;
    case PICKED_STOP:
        break; /* it comes here again: whether a call goes on may be up to SIGCONT's handler */
    case PICKED_NONE:
        restart_without_handler(task, frame);
        break;
    }
}

void signal_stop_wait(struct process *process)
{
    struct waiter w;
    waitq_prepare(&process->wait, &w, false);
    while (__atomic_load_n(&process->stopped, __ATOMIC_ACQUIRE) &&
           !__atomic_load_n(&process->exiting, __ATOMIC_ACQUIRE) &&
           !__atomic_load_n(&process->exec_task, __ATOMIC_ACQUIRE))
        (void)!waitq_sleep(&w, UINT64_MAX);
    waitq_finish(&w);
}

void signal_stop_refused(struct process *process)
{
    unsigned long irq = spin_lock_irqsave(&process->lock);
    if (process->stopped_by != SIGSTOP)
        __atomic_store_n(&process->stopped, false, __ATOMIC_RELEASE);
    spin_unlock_irqrestore(&process->lock, irq);
    waitq_wake_all(&process->wait, 0);
}

/* ---- the way back ---- */

/* As much of the image as there is: a frame at the very end of a mapping may be shorter than ours.
 */
static size_t image_copyin(uintptr_t at, void *buf, size_t size)
{
    if (copyin(buf, uaddr(at), size) == 0)
        return size;
    size_t to_page = PAGE_SIZE - (at & (PAGE_SIZE - 1)), done = 0;
    while (done < size) {
        size_t n = MIN(size - done, to_page);
        if (copyin((char *)buf + done, uaddr(at + done), n))
            break;
        done += n;
        to_page = PAGE_SIZE;
    }
    return done;
}

static int frame_pop(struct task *task, struct isa_frame *frame)
{
    uintptr_t at = isa_sigframe_addr(frame);
    size_t size = isa_sigframe_image_size();
    struct isa_sigreturn ret;
    void *buf = image_alloc(task, size);
    if (!buf)
        return -ENOMEM;
    size = image_copyin(at, buf, size);
    hal_ctx_fp_sync(&task->thread.ctx);
    int err = isa_sigframe_restore(frame, task->thread.fp, buf, size, at, &ret);
    kfree(buf);
    if (err)
        return err;
    struct signal_stack stack = {
        .sp = ret.alt_stack, .flags = ret.alt_stack_flags, .size = ret.alt_stack_size};
    (void)!signal_stack_set(task, isa_frame_sp(frame), &stack); /* Linux ignores it, too */
    signal_set_mask(ret.mask);
    return 0;
}

void signal_return(struct isa_frame *frame)
{
    struct task *task = task_current();
    task->restart.id = 0;
    task->frame_replaced = true;
    int err = frame_pop(task, frame);
    if (err && err != -ENOMEM)
        signal_force(SIGSEGV, SI_KERNEL, 0);
}
