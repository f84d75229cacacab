/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * process.h - processes and their tasks: what Linux calls a thread group and its threads.
 *
 * A task is a scheduler thread that runs user code. A process owns what tasks share: address
 * space, descriptors, file-system context, signal actions, limits, ids. Nothing here assumes that
 * there is one process; fork is planned.
 *
 * Locks: process->lock (RANK_PROCESS) guards the task list, all signal state of the
 * process and its tasks, and exit state. process->exec_lock (RANK_EXEC) serialises execve.
 */
#ifndef SELKIE_PROC_PROCESS_H
#define SELKIE_PROC_PROCESS_H

#include "fs/context.h"
#include "isa.h"
#include "lib/refcount.h"
#include "mm/space.h"
#include "proc/signal.h"
#include "sched/thread.h"
#include "sched/wait.h"

enum {
    RLIMIT_CPU,
    RLIMIT_FSIZE,
    RLIMIT_DATA,
    RLIMIT_STACK,
    RLIMIT_CORE,
    RLIMIT_RSS,
    RLIMIT_NPROC,
    RLIMIT_NOFILE,
    RLIMIT_MEMLOCK,
    RLIMIT_AS,
    RLIMIT_LOCKS,
    RLIMIT_SIGPENDING,
    RLIMIT_MSGQUEUE,
    RLIMIT_NICE,
    RLIMIT_RTPRIO,
    RLIMIT_RTTIME,
    RLIMIT_COUNT,
};
#define RLIM_INFINITY UINT64_MAX
struct rlimit64 {
    uint64_t cur, max;
};

/* ITIMER_VIRTUAL and ITIMER_PROF: a deadline in CPU time, looked at on the ways out of the kernel.
 */
struct cpu_timer {
    uint64_t deadline_ns; /* of process CPU time; 0: off */
    uint64_t interval_ns;
};

#define PATCH_REFUSED_COUNT 256
#define PATCH_AREAS 16
/* Trampolines of system calls, proc/patch.c. */
struct patch_area {
    vaddr_t base;   /* 0: none yet; atomic */
    uint32_t used;  /* slots taken so far; patch_lock */
    int32_t *sites; /* of each slot: its system-call instruction, from base; patch_lock */
};
struct process {
    struct refcount refs;
    int pid, ppid, pgid, sid;
    struct spinlock lock;
    struct mutex exec_lock;
    struct list tasks; /* task.process_link */
    unsigned task_count;
    struct space *space;
    struct fdtable *files;
    struct fs_context *fs;
    struct signal_actions actions;
    struct signal_pending shared_pending; /* signals sent to the process */
    bool exiting; /* exit_group or a fatal signal: every task leaves at its next way out; atomic */
    int exit_status;       /* as wait4 reports it: code << 8, or signal number */
    struct waitq wait;     /* woken when a task leaves or a signal comes (execve, sigtimedwait) */
    struct waitq end_wait; /* woken when the last one has left: `ended` */
    struct rlimit64 limits[RLIMIT_COUNT];   /* set under `lock`, atomic: process_limit */
    char exe[256];                          /* path of the program */
    vaddr_t arg_lo, arg_hi, env_lo, env_hi; /* on the stack, for /proc */
    uint64_t auxv[2 * 32];
    unsigned auxv_count;
    vaddr_t vdso; /* 0: none */
    uint64_t start_ns;
    struct cpu_times dead_times; /* CPU time of tasks that have ended; lock */
    struct cpu_times told_times; /* what was last said of the whole process; lock */
    struct timer alarm;          /* ITIMER_REAL */
    uint64_t alarm_interval_ns;
    uint64_t alarm_due_ns;          /* lock; 0: off */
    struct cpu_timer cpu_timers[2]; /* lock */
    struct timer cpu_tick;          /* makes a task look at them */
    struct list timers;             /* timer_create; lock; proc/posix_timer.c */
    int next_timer_id;              /* lock */
    struct patch_area patch_areas[PATCH_AREAS];
    unsigned patch_hand;                          /* where slots are looked for again; patch_lock */
    struct mutex patch_lock;                      /* RANK_EXEC */
    uintptr_t patch_refused[PATCH_REFUSED_COUNT]; /* sites not to try again; relaxed atomics */
    uint8_t patch_traps[PATCH_REFUSED_COUNT]; /* of sites seen, or costly to change; patch_lock */
    struct list all_link;
    /* guarded by lock */
    bool stopped;            /* SIGSTOP: every task waits in kernel_user_return; atomic */
    int stopped_by;          /* the signal */
    bool ended;              /* the last task has left; atomic */
    struct task *exec_task;  /* every other task must leave: it runs execve; atomic */
    unsigned signals_queued; /* entries in all queues: RLIMIT_SIGPENDING */
    uint64_t dead_min_flt, dead_switches[2]; /* of tasks that have ended: voluntary, forced */
    uint64_t dead_resident_peak; /* of the spaces before execve; pages, changed by the only task */
    /* prctl, personality; relaxed atomics */
    uint32_t dumpable, no_new_privs, keep_caps, child_subreaper, personality;
    uint32_t membarrier_registered;
    uint32_t oom_score_adj;
};

/* May the task own PI futexes that others wait for? */
enum futex_task_state {
    FUTEX_TASK_OK,
    FUTEX_TASK_EXITING, /* it gives them up: wait for futex_exit_lock */
    FUTEX_TASK_DEAD,
};

struct task {
    struct thread thread; /* first */
    /* Read at each system call: in the cache line behind what a switch touches. */
    struct isa_frame
        *frame; /* the user registers of the current kernel entry; valid in the kernel */
    struct process *process; /* reference */
    bool in_syscall;         /* frame holds the result of a system call, and it is a restart code */
    bool frame_replaced;     /* execve, rt_sigreturn: the call has no result */
    bool sig_restore_mask;   /* see sig_saved_mask */
    int tid;
    struct list process_link;
    /* signals; guarded by process->lock unless own */
    uint64_t sig_mask;       /* written by the task itself only, under the lock */
    uint64_t sig_saved_mask; /* to restore after sigsuspend, ppoll: valid if sig_restore_mask */
    struct signal_pending pending;
    uaddr_t alt_stack;
    size_t alt_stack_size;
    uint32_t alt_stack_flags;
    uint64_t sig_wait_set;  /* sigtimedwait: blocked signals that it waits for */
    struct isa_fault fault; /* the latest that became a signal, for signal frames; own */
    /*
     * Restart of an interrupted call; own. A call with a relative timeout that is interrupted
     * stores its absolute deadline in restart_deadline_ns and returns -ERESTART_RESTARTBLOCK. If no
     * handler runs, it is called again with the same arguments and with restart_deadline_ns as it
     * left it; in every other call restart_deadline_ns is 0.
     */
    uint64_t restart_deadline_ns;
    struct {
        unsigned id; /* enum syscall_id; 0: nothing to restart */
        uint64_t deadline_ns;
        uint64_t arg[6];
    } restart;
    const struct fs_cred *cred; /* a reference; replaced by the task under the lock (cred.c) */
    /* exit and threads; own */
    uaddr_t clear_child_tid;
    uaddr_t robust_list; /* atomic: get_robust_list(2) of others */
    uaddr_t rseq;        /* 0: none; own, as the next three; proc/rseq.c */
    uint32_t rseq_len, rseq_signature;
    uint32_t rseq_cpu; /* what it was told last */
    /* PI futexes (proc/futex_pi.c) */
    uint32_t futex_state;         /* enum futex_task_state, atomic */
    uint32_t pi_lines;            /* lines that it owns, or is about to; atomic */
    struct mutex futex_exit_lock; /* RANK_FUTEX_EXIT: held while EXITING */
    uint64_t min_flt, maj_flt;
    struct isa_frame start_frame; /* what a new task begins with */
    struct list tid_link;         /* table of all tasks; proc/process.c */
    int pdeath_signal;
    uint64_t timer_slack_ns;
    uint64_t start_ns;
};

/* The calling task; NULL in a kernel thread. */
struct task *task_current(void);
struct process *process_current(void);
/* The calling task where nobody else comes: in its system calls and faults. */
static inline struct task *task_self(void)
{
    ASSERT(task_current());
    return (struct task *)thread_current();
}

struct program {
    const char *path;
    char *const *argv, *const *envp; /* NULL-terminated kernel strings */
    const char *cwd;
    void (*begin)(void); /* builds with SELKIE_FAILPOINTS: by its first thread, before its code */
};
/* Make process 1 from the program and run it. 0, or -ENOENT, -EACCES, -ENOEXEC, -ENOMEM, ... with a
 * one-line reason in `why`. */
int must_check process_start_first(const struct program *program, char *why, size_t why_size);
/* Blocks until process 1 has ended; returns its wait status. */
int process_wait_first(void);

/* The soft limit as it just is. Relaxed: a call that runs while it is changed has either. */
static inline uint64_t process_limit(const struct process *p, unsigned resource)
{
    return __atomic_load_n(&p->limits[resource].cur, __ATOMIC_RELAXED);
}
struct process *process_find(int pid); /* with a reference */
/* The first process with pid >= start, with a reference, or NULL. */
struct process *process_next(int start);
void process_get(struct process *process);
void process_put(struct process *process); /* NULL is allowed */
struct task *task_find(int tid);           /* with a thread reference */

/* clone(2) for threads, parsed; frame = the parent's registers. Returns the new tid. */
struct clone_args {
    uint64_t flags;
    uaddr_t pidfd, child_tid, parent_tid;
    int exit_signal;
    uintptr_t stack, tls;
};
long must_check process_clone(const struct clone_args *args, const struct isa_frame *frame);
_Noreturn void task_exit(int code); /* exit(2): this task only; the last one ends the process */
void process_exit_group(int wait_status); /* all tasks leave; the caller at its next way out */
/* The policy: the program that needs memory for a page, or a signal's frame, and cannot have it
 * ends by SIGKILL. The calling task's; returns. */
void process_out_of_memory(void);
/* The process ends, or another of its tasks executes another program. */
static inline bool task_must_leave(const struct task *task)
{
    const struct process *p = task->process;
    /* Acquire: the status that goes with it is visible. */
    const struct task *exec = __atomic_load_n(&p->exec_task, __ATOMIC_ACQUIRE);
    return __atomic_load_n(&p->exiting, __ATOMIC_ACQUIRE) || (exec && exec != task);
}
/* execve in place. On success the caller's frame is the new program's. argv/envp are kernel copies.
 */
long must_check process_exec(const char *path, char *const *argv, char *const *envp,
                             struct isa_frame *frame);

/* cred.c */
struct fs_cred *cred_get(const struct fs_cred *cred);
void cred_put(const struct fs_cred *cred); /* NULL is allowed */
/* Of the caller's, to be changed before it is given to cred_set. NULL without memory. */
struct fs_cred *must_check cred_copy(void);
/* The caller's ids from now on; the references change owners. cred_swap returns the old ones. */
void cred_set(const struct fs_cred *cred);
/* The same for set*id(2): with other effective or file system ids the process is not dumpable any
 * more, and the task has no parent-death signal. */
void cred_change(const struct fs_cred *cred);
const struct fs_cred *must_check cred_swap(const struct fs_cred *cred);
/* What another process's first task is. False: it has none any more. */
bool must_check cred_of_process(struct process *process, struct fs_cred *out);

/* patch.c: turn the system-call instruction that `frame` has just trapped from into a direct entry,
 * if possible. */
void patch_site(struct isa_frame *frame);
/* User code has stopped at a breakpoint: was it one that stands where a site is being changed? Then
 * the frame is back in front of it. Called with interrupts on. */
bool patch_guard_hit(struct isa_frame *frame);
/* The frame of user code that is shown to the program: one in a trampoline becomes one in the code
 * that the trampoline stands for. */
void patch_leave(struct isa_frame *frame);
/* Was the last entry of this frame through a trap? Set by the HAL entry code in frame->trapped
 * (isa/frame.h). */

#endif
