/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * process.c - processes: life, lookup by number, the first one.
 *
 * Two global tables, both under pid_lock: a list of all processes and a hash of all tasks by tid.
 * An entry holds no reference; it is removed before its object's last reference can go, so whoever
 * finds an entry under the lock may take one. pid_lock has the same rank as process->lock: they do
 * not nest.
 */
#include "core/log.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "proc/internal.h"

#define TASK_HASH 1024
#define PID_MAX 4194304 /* Linux's on 64-bit machines */

static struct spinlock pid_lock = SPINLOCK_INIT(RANK_PROCESS);
static struct list processes = {&processes, &processes}; /* process.all_link, ascending pid */
static struct list task_hash[TASK_HASH];                 /* task.tid_link */
static int pid_last;

static unsigned long irq_state_on;

void proc_irq_on(void)
{
    hal_irq_restore(irq_state_on);
}

/* ---- numbers and tables ---- */

static struct list *bucket(int tid)
{
    return &task_hash[(unsigned)tid % TASK_HASH];
}

static struct task *task_lookup_locked(int tid)
{
    struct list *l = bucket(tid);
    list_for_each (pos, l) {
        struct task *task = list_entry(pos, struct task, tid_link);
        if (task->tid == tid)
            return task;
    }
    return NULL;
}

static bool pid_taken_locked(int pid)
{
    if (task_lookup_locked(pid))
        return true;
    /* The number of a process stays in use when its first task has left. */
    list_for_each (pos, &processes) {
        const struct process *p = list_entry(pos, struct process, all_link);
        if (p->pid == pid || p->pgid == pid || p->sid == pid)
            return true;
    }
    return false;
}

int pid_alloc(void)
{
    unsigned long irq = spin_lock_irqsave(&pid_lock);
    do
        pid_last = pid_last >= PID_MAX - 1 ? 2 : pid_last + 1;
    while (pid_taken_locked(pid_last));
    int pid = pid_last;
    spin_unlock_irqrestore(&pid_lock, irq);
    return pid;
}

void task_table_add(struct task *task)
{
    unsigned long irq = spin_lock_irqsave(&pid_lock);
    list_push_back(bucket(task->tid), &task->tid_link);
    spin_unlock_irqrestore(&pid_lock, irq);
}

void task_table_remove(struct task *task)
{
    unsigned long irq = spin_lock_irqsave(&pid_lock);
    list_remove(&task->tid_link);
    spin_unlock_irqrestore(&pid_lock, irq);
}

struct task *task_find(int tid)
{
    unsigned long irq = spin_lock_irqsave(&pid_lock);
    struct task *task = task_lookup_locked(tid);
    if (task)
        thread_get(&task->thread);
    spin_unlock_irqrestore(&pid_lock, irq);
    return task;
}

struct process *process_find(int pid)
{
    struct process *found = NULL;
    unsigned long irq = spin_lock_irqsave(&pid_lock);
    list_for_each (pos, &processes) {
        struct process *p = list_entry(pos, struct process, all_link);
        if (p->pid == pid && ref_get_live(&p->refs)) {
            found = p;
            break;
        }
    }
    spin_unlock_irqrestore(&pid_lock, irq);
    return found;
}

int proc_next_pid(int start)
{
    int best = 0;
    unsigned long irq = spin_lock_irqsave(&pid_lock);
    list_for_each (pos, &processes) {
        const struct process *p = list_entry(pos, struct process, all_link);
        if (p->pid >= start && (best == 0 || p->pid < best))
            best = p->pid;
    }
    spin_unlock_irqrestore(&pid_lock, irq);
    return best;
}

struct process *process_next(int start)
{
    struct process *p;
    int pid;
    while ((pid = proc_next_pid(start)) != 0) {
        p = process_find(pid);
        if (p)
            return p;
        start = pid + 1;
    }
    return NULL;
}

/* ---- life ---- */

static void limits_init(struct process *p)
{
    static const struct rlimit64 limits[RLIMIT_COUNT] = {
        [RLIMIT_CPU] = {RLIM_INFINITY, RLIM_INFINITY},
        [RLIMIT_FSIZE] = {RLIM_INFINITY, RLIM_INFINITY},
        [RLIMIT_DATA] = {RLIM_INFINITY, RLIM_INFINITY},
        [RLIMIT_STACK] = {8ull << 20, RLIM_INFINITY},
        [RLIMIT_CORE] = {0, RLIM_INFINITY},
        [RLIMIT_RSS] = {RLIM_INFINITY, RLIM_INFINITY},
        [RLIMIT_NPROC] = {32768, 32768},
        [RLIMIT_NOFILE] = {FD_MAX_DEFAULT, FD_MAX_HARD},
        [RLIMIT_MEMLOCK] = {8ull << 20, 8ull << 20},
        [RLIMIT_AS] = {RLIM_INFINITY, RLIM_INFINITY},
        [RLIMIT_LOCKS] = {RLIM_INFINITY, RLIM_INFINITY},
        [RLIMIT_SIGPENDING] = {32768, 32768},
        [RLIMIT_MSGQUEUE] = {819200, 819200},
        [RLIMIT_NICE] = {0, 0},
        [RLIMIT_RTPRIO] = {0, 0},
        [RLIMIT_RTTIME] = {RLIM_INFINITY, RLIM_INFINITY},
    };
    memcpy(p->limits, limits, sizeof limits);
}

struct process *process_create(struct space *space, struct fdtable *files, struct fs_context *fs)
{
    struct process *p = owner_alloc(OWNER_PROCESS, sizeof *p);
    if (!p)
        return NULL;
    ref_init(&p->refs);
    spin_init(&p->lock, RANK_PROCESS);
    mutex_init(&p->exec_lock, RANK_EXEC);
    mutex_init(&p->patch_lock, RANK_EXEC);
    list_init(&p->tasks);
    list_init(&p->timers);
    list_init(&p->all_link);
    signal_pending_init(&p->shared_pending);
    waitq_init(&p->wait);
    waitq_init(&p->end_wait);
    p->space = space;
    p->files = files;
    p->fs = fs;
    p->start_ns = clock_mono_ns();
    p->dumpable = 1;
    limits_init(p);
    itimer_init(p);
    return p;
}

static void process_publish(struct process *p)
{
    unsigned long irq = spin_lock_irqsave(&pid_lock);
    list_push_back(&processes, &p->all_link);
    spin_unlock_irqrestore(&pid_lock, irq);
}

void process_get(struct process *process)
{
    ref_get(&process->refs);
}

void process_put(struct process *process)
{
    if (!process || !ref_put(&process->refs))
        return;
    unsigned long irq = spin_lock_irqsave(&pid_lock);
    list_remove(&process->all_link);
    spin_unlock_irqrestore(&pid_lock, irq);
    ASSERT(list_empty(&process->tasks));
    signal_pending_clear(&process->shared_pending, UINT64_MAX);
    patch_forget(process);
    if (process->files)
        fdtable_put(process->files);
    if (process->fs)
        fs_context_put(process->fs);
    if (process->space)
        space_put(process->space);
    owner_free(OWNER_PROCESS, process, sizeof *process);
}

struct task *process_leader_locked(struct process *process)
{
    ASSERT(spin_held(&process->lock));
    return list_empty(&process->tasks) ? NULL
                                       : list_entry(process->tasks.next, struct task, process_link);
}

/* ---- the first process ---- */

static struct {
    struct process *process; /* a reference for process_wait_first */
    const struct program *program;
    char *why;
    size_t why_size;
    long result;
    bool loaded; /* result is valid: release store by the new task */
} first;

/* The first task: becomes the program as execve would do it. */
static void first_main(void *arg)
{
    struct task *task = arg;
    const struct program *program = first.program;
    struct exec_request req = {
        .path = program->path,
        .argv = program->argv,
        .envp = program->envp,
    };
    proc_irq_on();
    task->frame = &task->start_frame;
    isa_frame_init(&task->start_frame, 0, 0);
    first.result = exec_program(&req, &task->start_frame, first.why, first.why_size);
    bool failed = first.result != 0;
    task->frame_replaced = false;
    /* Pairs with the acquire load in process_start_first: result and why are complete. */
    __atomic_store_n(&first.loaded, true, __ATOMIC_RELEASE);
    waitq_wake_all(&task->process->wait, 0);
    if (failed)
        task_exit(0);
    if (SELKIE_FAILPOINTS && program->begin)
        program->begin();
    hal_user_enter(&task->start_frame);
}

static struct process *first_process_create(const struct program *program, char *why,
                                            size_t why_size, int *err)
{
    struct space *space = space_create();
    struct fdtable *files = fdtable_create();
    struct fs_context *fs = fs_context_create();
    struct process *p = NULL;
    *err = -ENOMEM;
    if (!space || !files || !fs)
        goto out;
    *err = program->cwd ? fs_context_chdir(fs, program->cwd) : 0;
    if (*err) {
        snprintf(why, why_size, "its working directory %s cannot be entered", program->cwd);
        goto out;
    }
    *err = fs_open_stdio(files);
    if (*err)
        goto out;
    *err = -ENOMEM;
    p = process_create(space, files, fs);
    if (p)
        return p;
out:
    if (fs)
        fs_context_put(fs);
    if (files)
        fdtable_put(files);
    if (space)
        space_put(space);
    return NULL;
}

int process_start_first(const struct program *program, char *why, size_t why_size)
{
    int err;
    irq_state_on = hal_irq_save();
    hal_irq_restore(irq_state_on);
    for (unsigned i = 0; i < TASK_HASH; i++)
        list_init(&task_hash[i]);
    snprintf(why, why_size, "there is not enough memory");
    struct process *p = first_process_create(program, why, why_size, &err);
    if (!p)
        return err;
    p->pid = p->pgid = p->sid = pid_alloc();
    struct task *task = task_create(p, p->pid, "init", first_main);
    if (!task) {
        process_put(p);
        return -ENOMEM;
    }
    first.process = p;
    first.program = program;
    first.why = why;
    first.why_size = why_size;
    process_publish(p);
    unsigned long irq = spin_lock_irqsave(&p->lock);
    task_join_process_locked(task);
    spin_unlock_irqrestore(&p->lock, irq);
    task_table_add(task);

    struct waiter w;
    waitq_prepare(&p->wait, &w, false);
    thread_start(&task->thread);
    while (!__atomic_load_n(&first.loaded, __ATOMIC_ACQUIRE))
        (void)!waitq_sleep(&w, UINT64_MAX);
    waitq_finish(&w);
    return (int)first.result;
}

int process_wait_first(void)
{
    struct process *p = first.process;
    struct waiter w;
    waitq_prepare(&p->end_wait, &w, false);
    while (!__atomic_load_n(&p->ended, __ATOMIC_ACQUIRE))
        (void)!waitq_sleep(&w, UINT64_MAX);
    waitq_finish(&w);
    int status = p->exit_status;
    first.process = NULL;
    process_put(p);
    return status;
}
