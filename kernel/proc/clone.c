/* SPDX-License-Identifier: BSD-3-Clause */
/* clone.c - new tasks: clone(2), clone3(2) for threads. New processes (fork) are not made yet. */
#include "proc/clone.h"

#include "core/log.h"
#include "isa.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/usercopy.h"
#include "proc/internal.h"

#define CLONE_THREAD_SET (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)

/* Linux's own rules come first (kernel/fork.c, copy_process). */
static int flags_check(uint64_t flags)
{
    if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
        return -EINVAL;
    if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM))
        return -EINVAL;
    if ((flags & (CLONE_PIDFD | CLONE_THREAD)) == (CLONE_PIDFD | CLONE_THREAD))
        return -EINVAL;
    if (flags & CLONE_NAMESPACES)
        return -EPERM;
    if ((flags & CLONE_THREAD_SET) != CLONE_THREAD_SET) {
        static bool told;
        if (!__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
            log_warn("clone of a process: there is no fork yet");
        return -ENOSYS;
    }
    /* A thread with its own descriptors or directory: rare, and not possible here. */
    if ((flags & (CLONE_FS | CLONE_FILES)) != (CLONE_FS | CLONE_FILES)) {
        log_warn("clone: a thread that does not share files and directories is not possible");
        return -EINVAL;
    }
    return 0;
}

/* As ARCH_SET_FS: a base that the register would not take. */
static bool tls_valid(const struct clone_args *args)
{
    return !(args->flags & CLONE_SETTLS) || args->tls < hal_layout()->user_end;
}

/* The child starts as a copy of the parent, vector registers included, and returns 0. */
static void registers_copy(struct task *child, const struct clone_args *args,
                           const struct isa_frame *frame)
{
    struct task *parent = task_current();
    child->start_frame = *frame;
    isa_frame_set_result(&child->start_frame, 0);
    /* Mark it as redirected, so that the way out restores every register. */
    isa_frame_set_pc(&child->start_frame, isa_frame_pc(frame));
    if (args->stack)
        isa_frame_set_sp(&child->start_frame, args->stack);
    hal_ctx_fp_sync(&parent->thread.ctx);
    memcpy(child->thread.fp, parent->thread.fp, isa_fp_size());
    hal_ctx_set_tls(&child->thread.ctx,
                    args->flags & CLONE_SETTLS ? args->tls : hal_ctx_tls(&parent->thread.ctx));
}

static void attributes_copy(struct task *child, const struct clone_args *args)
{
    struct task *parent = task_current();
    child->sig_mask = parent->sig_mask;
    child->timer_slack_ns = parent->timer_slack_ns;
    if (args->flags & CLONE_CHILD_CLEARTID)
        child->clear_child_tid = args->child_tid;
}

/* -ERESTARTSYS: the process is ending or executing another program. A process that is stopped
 * already has told those whom it had: the new one is told here. */
static int join(struct task *child)
{
    struct process *p = child->process;
    bool unlimited = child->cred->uid == 0 || child->cred->euid == 0;
    int err = 0;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    if (p->exiting || p->exec_task)
        err = -ERESTARTSYS;
    else if (p->task_count >= process_limit(p, RLIMIT_NPROC) && !unlimited)
        err = -EAGAIN;
    else
        task_join_process_locked(child);
    if (!err && p->stopped)
        thread_interrupt(&child->thread);
    spin_unlock_irqrestore(&p->lock, irq);
    return err;
}

long process_clone(const struct clone_args *args, const struct isa_frame *frame)
{
    struct process *p = process_current();
    int err = flags_check(args->flags);
    if (err)
        return err;
    if (!tls_valid(args))
        return -EPERM;
    int tid = pid_alloc();
    uint32_t word = (uint32_t)tid;
    struct task *child = task_create(p, tid, thread_current()->name, task_main);
    if (!child)
        return -EAGAIN;
    registers_copy(child, args, frame);
    attributes_copy(child, args);
    err = join(child);
    if (err) {
        task_discard(child);
        return err;
    }
    task_table_add(child);
    fdtable_has_threads(p->files);
    /* A bad address is the program's loss only (Linux: copy_process, schedule_tail). The address
     * space is one: the child's word is ours. It has joined, so the space stays. */
    if (args->flags & CLONE_PARENT_SETTID)
        (void)!user_store_u32(args->parent_tid, word);
    if (args->flags & CLONE_CHILD_SETTID)
        (void)!user_store_u32(args->child_tid, word);
    thread_start(&child->thread);
    return tid;
}
