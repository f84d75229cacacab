/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * task.c - tasks: creation, the way into user code, exit.
 *
 * References: a task holds its process until its memory goes; its memory goes with the last thread
 * reference, after it is off its CPU. A process's task list and the tid table hold no reference:
 * task_exit takes the task out of both first.
 */
#include "core/log.h"
#include "isa.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "mm/reclaim.h"
#include "mm/usercopy.h"
#include "net/socket.h"
#include "proc/futex.h"
#include "proc/internal.h"

void task_release(struct thread *thread)
{
    struct task *task = (struct task *)thread;
    ASSERT(!list_linked(&task->process_link) && !list_linked(&task->tid_link));
    signal_pending_clear(&task->pending, UINT64_MAX);
    cred_put(task->cred);
    process_put(task->process);
    owner_free(OWNER_THREAD, task, sizeof *task);
}

struct task *task_current(void)
{
    return task_of_thread(thread_current());
}

struct process *process_current(void)
{
    struct task *task = task_current();
    return task ? task->process : NULL;
}

struct task *task_create(struct process *process, int tid, const char *name, void (*fn)(void *))
{
    STATIC_ASSERT(offsetof(struct task, thread) == 0);
    struct task *task = owner_alloc(OWNER_THREAD, sizeof *task);
    if (!task)
        return NULL;
    struct thread_attr attr = {
        .name = name,
        .user = true,
        .space = process->space,
        .exit_hook = task_release,
    };
    if (thread_init(&task->thread, &attr, fn, task)) {
        owner_free(OWNER_THREAD, task, sizeof *task);
        return NULL;
    }
    process_get(process);
    task->process = process;
    task->tid = tid;
    task->cred = cred_get(proc_cred()); /* its maker's */
    task->alt_stack_flags = SS_DISABLE;
    task->timer_slack_ns = 50000;
    task->start_ns = clock_mono_ns();
    mutex_init(&task->futex_exit_lock, RANK_FUTEX_EXIT);
    list_init(&task->process_link);
    list_init(&task->tid_link);
    signal_pending_init(&task->pending);
    return task;
}

void task_discard(struct task *task)
{
    thread_fini(&task->thread);
    cred_put(task->cred);
    process_put(task->process);
    owner_free(OWNER_THREAD, task, sizeof *task);
}

void task_join_process_locked(struct task *task)
{
    ASSERT(spin_held(&task->process->lock));
    list_push_back(&task->process->tasks, &task->process_link);
    task->process->task_count++;
    posix_timers_task_joined_locked(task->process);
}

void task_main(void *arg)
{
    struct task *task = arg;
    proc_irq_on();
    task->frame = &task->start_frame;
    hal_user_enter(&task->start_frame);
}

/* ---- exit ---- */

/* What user memory must hear: robust mutexes, then the tid word that pthread_join waits for. */
static void task_exit_user(struct task *task)
{
    futex_exit(task);
    if (task->clear_child_tid.raw == 0)
        return;
    /* A bad address is the program's loss only. */
    task->thread.departing = true; /* who joins it need not go elsewhere */
    if (user_store_u32(task->clear_child_tid, 0) == 0)
        (void)futex_wake(task->clear_child_tid, 1, UINT32_MAX);
    task->clear_child_tid = uaddr(0);
}

/* Take the task out of its process; true if it was the last. */
static bool task_leave(struct task *task, int code)
{
    struct process *p = task->process;
    /* First: a task that waits to be alone (execve) may take this one's number then. */
    task_table_remove(task);
    unsigned long irq = spin_lock_irqsave(&p->lock);
    list_remove(&task->process_link);
    bool last = --p->task_count == 0;
    cpu_times_add(&p->dead_times, &task->thread);
    p->dead_min_flt += task->min_flt;
    p->dead_switches[0] += task->thread.switches_voluntary;
    p->dead_switches[1] += task->thread.switches_forced;
    if (last && !p->exiting) {
        __atomic_store_n(&p->exiting, true, __ATOMIC_RELEASE);
        p->exit_status = (code & 0xff) << 8;
    }
    signal_task_leaves_locked(task);
    spin_unlock_irqrestore(&p->lock, irq);
    return last;
}

bool proc_exiting(void)
{
    const struct task *task = task_current();
    return !task || task_must_leave(task);
}

/* The last task is leaving: nothing can start in this process any more. */
static void process_end(struct process *p)
{
    itimer_stop(p);
    posix_timers_stop(p);
    struct fdtable *files = p->files;
    struct fs_context *fs = p->fs;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    p->files = NULL;
    p->fs = NULL;
    spin_unlock_irqrestore(&p->lock, irq);
    if (files) {
        fdtable_put(files); /* closes: buffers are flushed, pipes end */
        socket_files_closed();
    }
    if (fs)
        fs_context_put(fs);
    /* Pairs with the acquire load of who waits: exit_status is final. */
    __atomic_store_n(&p->ended, true, __ATOMIC_RELEASE);
    waitq_wake_all(&p->end_wait, 0);
}

void task_exit(int code)
{
    struct task *task = task_current();
    ASSERT(task);
    struct process *p = task->process;
    task_exit_user(task);
    /* The process must outlive the wake-up below; the task's own reference may go any time later.
     */
    if (task_leave(task, code)) {
        task->thread.departing = false; /* it has something left to do */
        process_end(p);
    }
    waitq_wake_all(&p->wait, 0);
    thread_exit();
}

void process_exit_group(int wait_status)
{
    struct process *p = task_self()->process;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    if (!p->exiting) {
        p->exit_status = wait_status;
        /* Release: a task that sees it also sees the status. */
        __atomic_store_n(&p->exiting, true, __ATOMIC_RELEASE);
        list_for_each (pos, &p->tasks)
            thread_interrupt(&list_entry(pos, struct task, process_link)->thread);
    }
    spin_unlock_irqrestore(&p->lock, irq);
    waitq_wake_all(&p->wait, 0);
}

void process_out_of_memory(void)
{
    const struct task *task = task_current();
    ASSERT(task);
    memory_dump();
    log_error("%s[%d]: killed: out of memory", task->thread.name, task->tid);
    process_exit_group(SIGKILL);
}
