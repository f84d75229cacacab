/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cred.c - who a task is: user and group ids.
 *
 * As on Linux every task has ids of its own; libcs change them in all tasks of a process. A struct
 * fs_cred is never changed once it is a task's, only replaced, and only by the task itself. So a
 * task reads its own without a lock or a reference for the length of a system call. Others read a
 * task's under its process's lock, where it is replaced, and copy what they need.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "proc/internal.h"

/* Kernel threads, and the first task. */
static struct fs_cred root_cred = {.refs = {REFCOUNT_SATURATED}};

const struct fs_cred *proc_cred(void)
{
    struct task *task = task_of_thread(thread_current()); /* each step of a path asks: no call */
    return task ? task->cred : &root_cred;
}

struct fs_cred *cred_get(const struct fs_cred *cred)
{
    struct fs_cred *c = (struct fs_cred *)(uintptr_t)cred; /* the count is not part of the value */
    ref_get(&c->refs);
    return c;
}

void cred_put(const struct fs_cred *cred)
{
    struct fs_cred *c = (struct fs_cred *)(uintptr_t)cred;
    if (c && ref_put(&c->refs))
        kfree(c);
}

struct fs_cred *cred_copy(void)
{
    struct fs_cred *copy = kmalloc(sizeof *copy, ALLOC_DEFAULT);
    if (!copy)
        return NULL;
    const struct fs_cred *old = proc_cred();
    fs_cred_copy(copy, old);
    ref_init(&copy->refs);
    return copy;
}

const struct fs_cred *cred_swap(const struct fs_cred *cred)
{
    struct task *task = task_current();
    unsigned long irq = spin_lock_irqsave(&task->process->lock);
    const struct fs_cred *old = task->cred;
    task->cred = cred;
    spin_unlock_irqrestore(&task->process->lock, irq);
    return old;
}

void cred_set(const struct fs_cred *cred)
{
    cred_put(cred_swap(cred));
}

/* Linux, commit_creds: what others may do to a task that had other rights before ends. */
void cred_change(const struct fs_cred *cred)
{
    struct task *task = task_current();
    const struct fs_cred *old = task->cred;
    bool other = old->euid != cred->euid || old->egid != cred->egid || old->fsuid != cred->fsuid ||
                 old->fsgid != cred->fsgid;
    cred_set(cred);
    if (!other)
        return;
    task->pdeath_signal = 0;
    __atomic_store_n(&task->process->dumpable, 0, __ATOMIC_RELAXED);
}

bool cred_of_process(struct process *process, struct fs_cred *out)
{
    unsigned long irq = spin_lock_irqsave(&process->lock);
    const struct task *task = process_leader_locked(process);
    if (task)
        fs_cred_copy(out, task->cred);
    spin_unlock_irqrestore(&process->lock, irq);
    return task != NULL;
}
