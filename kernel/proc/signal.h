/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * signal.h - Linux signals for tasks and processes.
 *
 * A signal is queued on a task (tgkill, faults) or on the process (kill); the way back to user code
 * (signal_deliver, called by kernel_user_return) takes one that the task does not block and builds
 * its frame. Standard signals are queued once, real-time signals in order.
 */
#ifndef SELKIE_PROC_SIGNAL_H
#define SELKIE_PROC_SIGNAL_H

#include "core/spinlock.h"
#include "isa/frame.h"
#include "lib/list.h"

#define NSIG 64
#define SIG_BIT(n) (1ull << ((n)-1))
enum {
    SIGHUP = 1,
    SIGINT,
    SIGQUIT,
    SIGILL,
    SIGTRAP,
    SIGABRT,
    SIGBUS,
    SIGFPE,
    SIGKILL,
    SIGUSR1,
    SIGSEGV,
    SIGUSR2,
    SIGPIPE,
    SIGALRM,
    SIGTERM,
    SIGSTKFLT,
    SIGCHLD,
    SIGCONT,
    SIGSTOP,
    SIGTSTP,
    SIGTTIN,
    SIGTTOU,
    SIGURG,
    SIGXCPU,
    SIGXFSZ,
    SIGVTALRM,
    SIGPROF,
    SIGWINCH,
    SIGIO,
    SIGPWR,
    SIGSYS,
    SIGRTMIN = 32,
};
#define SIG_DFL 0ul
#define SIG_IGN 1ul
#define SA_NOCLDSTOP 1u
#define SA_NOCLDWAIT 2u
#define SA_SIGINFO 4u
#define SA_RESTORER 0x04000000u
#define SA_ONSTACK 0x08000000u
#define SA_RESTART 0x10000000u
#define SA_NODEFER 0x40000000u
#define SA_RESETHAND 0x80000000u
#define SIG_BLOCK 0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2
#define SS_ONSTACK 1u
#define SS_DISABLE 2u
#define SS_AUTODISARM 0x80000000u
#define MINSIGSTKSZ 2048
/* si_code */
#define SI_USER 0
#define SI_KERNEL 0x80
#define SI_QUEUE (-1)
#define SI_TIMER (-2)
#define SI_TKILL (-6)
#define SI_MESGQ (-3)
#define SI_SIGIO (-5)
#define CLD_EXITED 1
#define ILL_ILLOPN 2
#define ILL_ILLOPC 1
#define FPE_INTDIV 1
#define SEGV_MAPERR 1
#define SEGV_ACCERR 2
#define BUS_ADRALN 1
#define BUS_ADRERR 2
#define TRAP_BRKPT 1
#define TRAP_TRACE 2

/* siginfo_t as user code sees it (uapi asm-generic/siginfo.h): 128 bytes, the same on both
 * architectures. */
struct siginfo {
    int32_t signo, error, code, pad;
    union {
        struct {
            int32_t pid;
            uint32_t uid;
            uint64_t value; /* or status, for SIGCHLD */
        };
        uint64_t addr; /* faults */
        struct {
            int64_t band; /* SIGIO */
            int32_t fd;
        };
        struct {
            int32_t timer_id, overrun;
            uint64_t timer_value;
        };
        uint8_t bytes[112];
    };
};
STATIC_ASSERT(sizeof(struct siginfo) == 128);

struct signal_action {
    uintptr_t handler; /* SIG_DFL, SIG_IGN or an address */
    uint64_t flags;
    uintptr_t restorer;
    uint64_t mask;
};
struct signal_actions {
    struct signal_action action[NSIG + 1];
};
struct signal_pending {
    uint64_t set;      /* bit per signal number - 1 */
    uint64_t bare;     /* those of them that wait without an entry, too: no memory, the limit */
    struct list queue; /* struct queued_signal */
};
struct task;
struct process;
struct queued_signal {
    struct list link;
    struct siginfo info;
    struct signal_pending *pending; /* where it waits, while it is linked */
    /* NULL: an entry that is freed when its signal is taken. Otherwise a timer's own entry, which
     * outlives its signals: called when one is taken (or dropped), to complete *info. Under
     * process->lock. */
    void (*taken)(struct queued_signal *q, struct siginfo *info);
};

void signal_pending_init(struct signal_pending *pending);
void signal_pending_clear(struct signal_pending *pending, uint64_t set);

/* What kill(2) and tgkill(2) (code SI_TKILL) of the calling task say. */
void signal_info_user(struct siginfo *info, int signo, int code);
/* Send. Any context without RANK_PROCESS held. 0, -EAGAIN (queue full). */
int signal_send_process(struct process *process, const struct siginfo *info);
int signal_send_task(struct task *task, const struct siginfo *info);
/* A timer's entry, which is not queued now, for one task or (NULL) the process. process->lock held;
 * the caller wakes process->wait behind it. False: the signal is ignored, or nobody is left. */
bool must_check signal_queue_timer_locked(struct process *process, struct task *task,
                                          struct queued_signal *q);
/* Take it back without its signal being taken. process->lock held. */
void signal_unqueue_timer_locked(struct queued_signal *q);
/* A fault: unblocked and reset to default if blocked or ignored, so it cannot be lost. For the
 * calling task. */
void signal_force(int signo, int code, uintptr_t addr);
/* Called by kernel_user_return with interrupts on: deliver what is deliverable, handle restarts. */
void signal_deliver(struct isa_frame *frame);
bool signal_deliverable(struct task *task);     /* anything pending and not blocked? */
uint64_t signal_pending_set(struct task *task); /* pending for the task or its process */
/* The calling task's temporary mask (sigsuspend, ppoll): the old one comes back when the call ends,
 * or after the handler that ends it. */
void signal_mask_for_call(uint64_t mask);
/* Change the calling task's mask and re-evaluate. SIGKILL and SIGSTOP are never blocked. */
void signal_set_mask(uint64_t mask);
/* Take a pending signal in `set` off the queues: 0 and *out, or -EAGAIN. (sigtimedwait, signalfd)
 */
int must_check signal_take(uint64_t set, struct siginfo *out);
/* rt_sigtimedwait: wait until deadline_ns for a signal in set. The signal's number, -EAGAIN,
 * -EINTR. */
long must_check signal_wait(uint64_t set, uint64_t deadline_ns, struct siginfo *out);
/* rt_sigaction: either may be NULL. -EINVAL. */
int must_check signal_set_action(int signo, const struct signal_action *act,
                                 struct signal_action *old);
/* execve: handlers become SIG_DFL, SIG_IGN stays; the alternate stack is forgotten. */
void signal_reset_for_exec(struct task *task);
/* The task leaves: what it would have taken from its process, others must look at. */
void signal_task_leaves_locked(struct task *task);
/* sigaltstack(2) with Linux's checks. sp: the user stack pointer. */
struct signal_stack {
    uint64_t sp;
    uint32_t flags, pad;
    uint64_t size;
};
void signal_stack_get(const struct task *task, uintptr_t sp, struct signal_stack *out);
int must_check signal_stack_set(struct task *task, uintptr_t sp, const struct signal_stack *stack);
/* rt_sigreturn: frame becomes what the signal frame says. A bad one is SIGSEGV. */
void signal_return(struct isa_frame *frame);
/* While the process is stopped; called with interrupts on. */
void signal_stop_wait(struct process *process);
/* The machine could not be stopped with the process: it goes on as if the terminal's signal had
 * been ignored, which it is for an orphaned process group. A SIGSTOP holds. Any context. */
void signal_stop_refused(struct process *process);

#endif
