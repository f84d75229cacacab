/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * signal.c - sending signals, masks, actions, and taking signals off the queues.
 *
 * Whoever makes a signal deliverable calls thread_interrupt on one task that may take it; that ends
 * the task's interruptible sleep, or makes it pass through kernel_user_return, where signal_deliver
 * looks again at everything. So the rule is: after each change that could make a signal deliverable
 * (send, unblock, exit of the chosen task), some task that can take it has been interrupted since.
 *
 * Everything here is under process->lock, with interrupts off: timers send signals.
 */
#include "isa/abi.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "proc/internal.h"
#include "proc/sigset.h"

/* ---- queues ---- */

void signal_pending_init(struct signal_pending *pending)
{
    pending->set = pending->bare = 0;
    list_init(&pending->queue);
}

/* Off the queue; the entry's life ends, or its timer goes on. Returns how many entries less count
 * against the limit: a timer's counts for as long as the timer exists. */
static unsigned entry_finish(struct queued_signal *q, struct siginfo *info)
{
    list_remove(&q->link);
    *info = q->info;
    if (q->taken) {
        q->taken(q, info);
        return 0;
    }
    kfree(q);
    return 1;
}

/* Free the entries in set; returns how many. */
static unsigned pending_drop(struct signal_pending *pending, uint64_t set)
{
    unsigned count = 0;
    struct siginfo info;
    list_for_each_safe (pos, next, &pending->queue) {
        struct queued_signal *q = list_entry(pos, struct queued_signal, link);
        if (SIG_BIT(q->info.signo) & set)
            count += entry_finish(q, &info);
    }
    pending->set &= ~set;
    pending->bare &= ~set;
    return count;
}

void signal_pending_clear(struct signal_pending *pending, uint64_t set)
{
    (void)pending_drop(pending, set);
}

/* Drop the signals in set that wait anywhere in the process. */
static void drop_everywhere_locked(struct process *p, uint64_t set)
{
    p->signals_queued -= pending_drop(&p->shared_pending, set);
    list_for_each (pos, &p->tasks) {
        struct task *task = list_entry(pos, struct task, process_link);
        p->signals_queued -= pending_drop(&task->pending, set);
    }
}

static void entry_queue(struct signal_pending *pending, struct queued_signal *q)
{
    q->pending = pending;
    list_push_back(&pending->queue, &q->link);
    pending->set |= SIG_BIT(q->info.signo);
}

/* NULL: only the number can be kept. The limit is for real-time signals and what processes queue;
 * kill(2) of a standard signal and the kernel's own are never without their details (Linux,
 * __send_signal_locked: override_rlimit). */
static struct queued_signal *entry_alloc(struct process *p, const struct siginfo *info)
{
    bool limited = info->signo >= SIGRTMIN || info->code < 0;
    if (limited && p->signals_queued >= process_limit(p, RLIMIT_SIGPENDING))
        return NULL;
    struct queued_signal *q = kmalloc(sizeof *q, ALLOC_ATOMIC);
    if (!q)
        return NULL;
    q->info = *info;
    q->taken = NULL;
    list_init(&q->link);
    p->signals_queued++;
    return q;
}

static int queue_locked(struct process *p, struct signal_pending *pending,
                        const struct siginfo *info)
{
    uint64_t bit = SIG_BIT(info->signo);
    if (info->signo < SIGRTMIN && (pending->set & bit))
        return 0; /* standard signals wait once */
    struct queued_signal *q = entry_alloc(p, info);
    if (q)
        entry_queue(pending, q);
    else if (info->signo >= SIGRTMIN && info->code != SI_USER)
        return -EAGAIN;
    else
        pending->set |= bit, pending->bare |= bit;
    return 0;
}

static void dequeue_locked(struct process *p, struct signal_pending *pending, int signo,
                           struct siginfo *out)
{
    struct queued_signal *found = NULL;
    bool more = false;
    list_for_each (pos, &pending->queue) {
        struct queued_signal *q = list_entry(pos, struct queued_signal, link);
        if (q->info.signo != signo)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = q;
    }
    if (!more) { /* one without an entry is told with the last that has one, as on Linux */
        pending->set &= ~SIG_BIT(signo);
        pending->bare &= ~SIG_BIT(signo);
    }
    memset(out, 0, sizeof *out);
    out->signo = signo;
    if (found)
        p->signals_queued -= entry_finish(found, out);
}

int signal_dequeue_locked(struct task *task, uint64_t set, struct siginfo *out)
{
    struct process *p = task->process;
    struct signal_pending *pending = &task->pending;
    uint64_t ready = pending->set & set;
    if (!ready) {
        pending = &p->shared_pending;
        ready = pending->set & set;
    }
    if (!ready)
        return 0;
    if (ready &
        SIG_SYNCHRONOUS) /* a fault's own signal first, so that its frame is the innermost */
        ready &= SIG_SYNCHRONOUS;
    int signo = __builtin_ctzll(ready) + 1;
    dequeue_locked(p, pending, signo, out);
    return signo;
}

/* ---- who takes it ---- */

static bool task_wants(const struct task *task, uint64_t bit)
{
    return !(task->sig_mask & bit) || (task->sig_wait_set & bit);
}

/* Interrupt a task that may take one of the signals in set from the process. */
static void notify_locked(struct process *p, uint64_t set, const struct task *except)
{
    list_for_each (pos, &p->tasks) {
        struct task *task = list_entry(pos, struct task, process_link);
        uint64_t wants = set & (~task->sig_mask | task->sig_wait_set);
        if (task == except || !wants)
            continue;
        thread_interrupt(&task->thread);
        set &= ~wants;
        if (!set)
            return;
    }
}

static bool handler_ignores(const struct process *p, int signo)
{
    uintptr_t handler = p->actions.action[signo].handler;
    return handler == SIG_IGN || (handler == SIG_DFL && (SIG_BIT(signo) & SIG_DEFAULT_IGNORE));
}

/* Does anybody block it? Then it is kept even if it is ignored now: sigwait may want it. */
static bool blocked_somewhere(const struct process *p, uint64_t bit)
{
    list_for_each (pos, &p->tasks) {
        const struct task *task = list_entry(pos, struct task, process_link);
        if (task->sig_mask & bit)
            return true;
    }
    return false;
}

/* SIGKILL needs no delivery: everyone leaves. */
static void kill_locked(struct process *p)
{
    if (!p->exiting) {
        p->exit_status = SIGKILL;
        __atomic_store_n(&p->exiting, true, __ATOMIC_RELEASE);
    }
    list_for_each (pos, &p->tasks)
        thread_interrupt(&list_entry(pos, struct task, process_link)->thread);
}

/* What stop and continue do at the moment they are sent. */
static void job_control_locked(struct process *p, int signo)
{
    if (signo == SIGCONT) {
        drop_everywhere_locked(p, SIG_STOPS);
        __atomic_store_n(&p->stopped, false, __ATOMIC_RELEASE);
    } else if (SIG_BIT(signo) & SIG_STOPS) {
        drop_everywhere_locked(p, SIG_BIT(SIGCONT));
    }
}

/* What a signal does at once, whoever takes it. True: it is to be queued. task NULL: for the
 * process. */
static bool prepare_locked(struct process *p, struct task *task, int signo)
{
    uint64_t bit = SIG_BIT(signo);
    if (p->exiting || p->task_count == 0 || (task && !list_linked(&task->process_link)))
        return false; /* nobody is left to take it */
    job_control_locked(p, signo);
    if (signo == SIGKILL) {
        kill_locked(p);
        return false;
    }
    bool blocked = task ? (task->sig_mask & bit) != 0 : blocked_somewhere(p, bit);
    return blocked || !handler_ignores(p, signo);
}

static void announce_locked(struct process *p, struct task *task, int signo)
{
    uint64_t bit = SIG_BIT(signo);
    if (!task)
        notify_locked(p, bit, NULL);
    else if (task_wants(task, bit))
        thread_interrupt(&task->thread);
}

static int send_locked(struct process *p, struct task *task, const struct siginfo *info)
{
    if (!prepare_locked(p, task, info->signo))
        return 0;
    int err = queue_locked(p, task ? &task->pending : &p->shared_pending, info);
    if (!err)
        announce_locked(p, task, info->signo);
    return err;
}

bool signal_queue_timer_locked(struct process *p, struct task *task, struct queued_signal *q)
{
    ASSERT(spin_held(&p->lock) && !list_linked(&q->link));
    if (!prepare_locked(p, task, q->info.signo))
        return false;
    entry_queue(task ? &task->pending : &p->shared_pending, q);
    announce_locked(p, task, q->info.signo);
    return true;
}

void signal_unqueue_timer_locked(struct queued_signal *q)
{
    if (!list_linked(&q->link))
        return;
    list_remove(&q->link);
    if (q->pending->bare & SIG_BIT(q->info.signo))
        return;
    list_for_each (pos, &q->pending->queue)
        if (list_entry(pos, struct queued_signal, link)->info.signo == q->info.signo)
            return;
    q->pending->set &= ~SIG_BIT(q->info.signo);
}

static int send(struct process *p, struct task *task, const struct siginfo *info)
{
    ASSERT(info->signo >= 1 && info->signo <= NSIG);
    unsigned long irq = spin_lock_irqsave(&p->lock);
    int err = send_locked(p, task, info);
    spin_unlock_irqrestore(&p->lock, irq);
    waitq_wake_all(&p->wait, 0); /* sigtimedwait, signalfd, stopped tasks */
    return err;
}

int signal_send_process(struct process *process, const struct siginfo *info)
{
    return send(process, NULL, info);
}

int signal_send_task(struct task *task, const struct siginfo *info)
{
    return send(task->process, task, info);
}

void signal_info_user(struct siginfo *info, int signo, int code)
{
    struct process *p = process_current();
    memset(info, 0, sizeof *info);
    info->signo = signo;
    info->code = code;
    info->pid = p->pid;
    info->uid = proc_cred()->uid;
}

void signal_force(int signo, int code, uintptr_t addr)
{
    struct task *task = task_current();
    struct process *p = task->process;
    struct siginfo info = {.signo = signo, .code = code, .addr = addr};
    uint64_t bit = SIG_BIT(signo);
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct signal_action *action = &p->actions.action[signo];
    if ((task->sig_mask & bit) || action->handler == SIG_IGN) {
        action->handler = SIG_DFL;
        task->sig_mask &= ~bit;
    }
    (void)queue_locked(p, &task->pending, &info);
    thread_interrupt(&task->thread);
    spin_unlock_irqrestore(&p->lock, irq);
}

/* ---- masks ---- */

bool signal_deliverable(struct task *task)
{
    unsigned long irq = spin_lock_irqsave(&task->process->lock);
    bool any = (task->pending.set | task->process->shared_pending.set) & ~task->sig_mask;
    spin_unlock_irqrestore(&task->process->lock, irq);
    return any;
}

uint64_t signal_pending_set(struct task *task)
{
    unsigned long irq = spin_lock_irqsave(&task->process->lock);
    uint64_t set = task->pending.set | task->process->shared_pending.set;
    spin_unlock_irqrestore(&task->process->lock, irq);
    return set;
}

static void set_mask_locked(struct task *task, uint64_t mask)
{
    struct process *p = task->process;
    mask &= ~SIG_UNBLOCKABLE;
    uint64_t newly_blocked = mask & ~task->sig_mask;
    task->sig_mask = mask;
    /* A signal that was meant for this task must find another. */
    if (p->shared_pending.set & newly_blocked)
        notify_locked(p, p->shared_pending.set & newly_blocked, task);
    if ((task->pending.set | p->shared_pending.set) & ~mask)
        thread_interrupt(&task->thread);
}

void signal_set_mask(uint64_t mask)
{
    struct task *task = task_current();
    unsigned long irq = spin_lock_irqsave(&task->process->lock);
    set_mask_locked(task, mask);
    spin_unlock_irqrestore(&task->process->lock, irq);
}

void signal_mask_for_call(uint64_t mask)
{
    struct task *task = task_current();
    unsigned long irq = spin_lock_irqsave(&task->process->lock);
    task->sig_saved_mask = task->sig_mask;
    task->sig_restore_mask = true;
    set_mask_locked(task, mask);
    spin_unlock_irqrestore(&task->process->lock, irq);
}

void signal_task_leaves_locked(struct task *task)
{
    struct process *p = task->process;
    p->signals_queued -= pending_drop(&task->pending, UINT64_MAX);
    if (p->shared_pending.set & ~task->sig_mask)
        notify_locked(p, p->shared_pending.set & ~task->sig_mask, task);
}

/* ---- taking without a handler ---- */

int signal_take(uint64_t set, struct siginfo *out)
{
    struct task *task = task_current();
    unsigned long irq = spin_lock_irqsave(&task->process->lock);
    int signo = signal_dequeue_locked(task, set & ~SIG_UNBLOCKABLE, out);
    spin_unlock_irqrestore(&task->process->lock, irq);
    return signo ? 0 : -EAGAIN;
}

/* Anything that the task must go back to user code for? A stop, too: it takes place there. */
static bool leave_wait(struct task *task)
{
    const struct process *p = task->process;
    return signal_deliverable(task) || __atomic_load_n(&p->exiting, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&p->exec_task, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&p->stopped, __ATOMIC_ACQUIRE);
}

long signal_wait(uint64_t set, uint64_t deadline_ns, struct siginfo *out)
{
    struct task *task = task_current();
    struct process *p = task->process;
    struct waiter w;
    int err = 0, signo = 0;
    set &= ~SIG_UNBLOCKABLE;
    waitq_prepare(&p->wait, &w, true);
    for (;;) {
        unsigned long irq = spin_lock_irqsave(&p->lock);
        signo = signal_dequeue_locked(task, set, out);
        task->sig_wait_set = signo || err ? 0 : set;
        /* Of what was left to this task while it waited, it takes no more: others may. */
        if (signo || err)
            notify_locked(p, p->shared_pending.set & set & task->sig_mask, task);
        spin_unlock_irqrestore(&p->lock, irq);
        if (signo || err)
            break;
        /* Interrupted only to be told of a signal in set? Then look again. */
        err = deadline_ns <= clock_mono_ns() ? -ETIMEDOUT : waitq_sleep(&w, deadline_ns);
        if (err == -ERESTARTSYS && !leave_wait(task)) {
            thread_clear_interrupt();
            /* What came between the look and the clearing must not be lost. */
            if (leave_wait(task))
                thread_interrupt(&task->thread);
            err = 0;
        }
    }
    waitq_finish(&w);
    if (signo)
        return signo;
    return err == -ETIMEDOUT ? -EAGAIN : -EINTR;
}

/* ---- actions ---- */

int signal_set_action(int signo, const struct signal_action *act, struct signal_action *old)
{
    struct process *p = process_current();
    if (signo < 1 || signo > NSIG || (act && (SIG_BIT(signo) & SIG_UNBLOCKABLE)))
        return -EINVAL;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct signal_action *slot = &p->actions.action[signo];
    if (old)
        *old = *slot;
    if (act) {
        *slot = *act;
        slot->mask &= ~SIG_UNBLOCKABLE;
        if (handler_ignores(p, signo)) /* POSIX 3.3.1.3: what waits is discarded */
            drop_everywhere_locked(p, SIG_BIT(signo));
    }
    spin_unlock_irqrestore(&p->lock, irq);
    return 0;
}

void signal_reset_for_exec(struct task *task)
{
    struct process *p = task->process;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    for (int i = 1; i <= NSIG; i++) {
        struct signal_action *slot = &p->actions.action[i];
        *slot = (struct signal_action){.handler = slot->handler == SIG_IGN ? SIG_IGN : SIG_DFL};
    }
    task->alt_stack = uaddr(0);
    task->alt_stack_size = 0;
    task->alt_stack_flags = SS_DISABLE;
    spin_unlock_irqrestore(&p->lock, irq);
}

/* ---- alternate stack ---- */

bool signal_on_alt_stack(const struct task *task, uintptr_t sp)
{
    /* With SS_AUTODISARM the stack is free again as soon as a handler runs. */
    if (task->alt_stack_flags & SS_AUTODISARM)
        return false;
    return sp > task->alt_stack.raw && sp - task->alt_stack.raw <= task->alt_stack_size;
}

void signal_stack_get(const struct task *task, uintptr_t sp, struct signal_stack *out)
{
    uint32_t state = SS_DISABLE;
    if (task->alt_stack_size)
        state = signal_on_alt_stack(task, sp) ? SS_ONSTACK : 0;
    *out = (struct signal_stack){
        .sp = task->alt_stack.raw,
        .flags = state | (task->alt_stack_flags & SS_AUTODISARM),
        .size = task->alt_stack_size,
    };
}

int signal_stack_set(struct task *task, uintptr_t sp, const struct signal_stack *stack)
{
    uint32_t mode = stack->flags & ~SS_AUTODISARM;
    if (signal_on_alt_stack(task, sp))
        return -EPERM;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
        return -EINVAL;
    if (mode == SS_DISABLE) {
        task->alt_stack = uaddr(0);
        task->alt_stack_size = 0;
    } else {
        if (stack->size < ISA_MINSIGSTKSZ)
            return -ENOMEM;
        task->alt_stack = uaddr(stack->sp);
        task->alt_stack_size = stack->size;
    }
    task->alt_stack_flags = stack->flags;
    return 0;
}
