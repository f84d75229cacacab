/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * entry.c - where user code meets the kernel: system calls, faults, and the way back.
 *
 * Every way out ends in kernel_user_return with interrupts off. Work that stands between a task and
 * user code - a signal, the end of the process, a stop, another task's execve, a restart - is
 * always announced by thread->interrupted (or by a flag that only the task itself sets), so that
 * way is two loads when there is nothing to do. The flag is cleared first and the work looked for
 * afterwards, so that nothing announced in between is lost.
 */
#include "core/log.h"
#include "core/panic.h"
#include "core/trace.h"
#include "hal_up.h"
#include "isa.h"
#include "lib/counter.h"
#include "linux/strace.h"
#include "linux/syscall.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "proc/internal.h"
#include "proc/rseq.h"
#include "proc/sigset.h"
#include "sched/pressure.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The thread that runs user code is a task: no need to ask. */
static struct task *user_task(void)
{
    return (struct task *)thread_current();
}

/* For the debugger (core/trace.h). Any context. */
static no_inline void note(enum trace_kind kind, int number, uint64_t a, uint64_t b)
{
    unsigned long brief = hal_brief_begin();
    trace_note(this_cpu(), hal_clock_ns(),
               (struct trace_event){.kind = kind, .number = number, .a = a, .b = b});
    hal_brief_end(brief);
}

/* ---- system calls ---- */

static const uint16_t numbers[] = {
#define NR(number, name) [number] = SC_##name,
#include "isa/sysnr.def"
#undef NR
};
STATIC_ASSERT(SC_COUNT <= UINT16_MAX);

/* SC_none if there is no such number. */
static enum syscall_id syscall_of_number(uint64_t nr)
{
    return nr < ARRAY_COUNT(numbers) ? numbers[nr] : SC_none;
}

/* Written out: of a loop gcc makes a jump through a table for each, after a `rep stos`. */
static inline void args_take(struct syscall_args *args, struct isa_frame *frame)
{
    args->arg[0] = isa_frame_arg(frame, 0);
    args->arg[1] = isa_frame_arg(frame, 1);
    args->arg[2] = isa_frame_arg(frame, 2);
    args->arg[3] = isa_frame_arg(frame, 3);
    args->arg[4] = isa_frame_arg(frame, 4);
    args->arg[5] = isa_frame_arg(frame, 5);
    args->frame = frame;
}

/* The warning once per name, or per unknown number. */
static no_inline long absent(const struct syscall_info *info, enum syscall_id id, uint64_t nr)
{
    static uint8_t told[SC_COUNT];
    if (info->status == SYSCALL_IGNORED)
        return info->result;
    if (!__atomic_exchange_n(&told[id], 1, __ATOMIC_RELAXED)) {
        if (id == SC_none)
            log_warn("system call %llu does not exist here", (unsigned long long)nr);
        else
            log_warn("system call %s is not implemented", syscall_name(info));
    }
    return -ENOSYS;
}

static long call(enum syscall_id id, uint64_t nr, const struct syscall_args *args)
{
    const struct syscall_info *info = syscall_info(id);
    if (likely(info->handler))
        return info->handler(args);
    return absent(info, id, nr);
}

static bool may_not_return(enum syscall_id id)
{
    return id == SC_exit || id == SC_exit_group || id == SC_execve || id == SC_rt_sigreturn;
}

static no_inline long call_traced(enum syscall_id id, uint64_t nr, const struct syscall_args *args)
{
    if (may_not_return(id)) {
        strace_log(syscall_info(id), nr, args->arg, NULL);
        return call(id, nr, args);
    }
    long result = call(id, nr, args);
    strace_log(syscall_info(id), nr, args->arg, &result);
    return result;
}

/* The rare ends of a call: interrupted, or with a temporary signal mask. */
static no_inline void finish_special(struct task *task, enum syscall_id id,
                                     const struct syscall_args *args, long result)
{
    if (result == -ERESTART_RESTARTBLOCK && id != SC_restart_syscall) {
        task->restart.id = id;
        for (unsigned i = 0; i < 6; i++)
            task->restart.arg[i] = args->arg[i];
    }
    if (result == -ERESTART_RESTARTBLOCK)
        task->restart.deadline_ns = task->restart_deadline_ns;
    task->restart_deadline_ns = 0;
    bool restart = result == -ERESTARTSYS || result == -ERESTARTNOINTR ||
                   result == -ERESTARTNOHAND || result == -ERESTART_RESTARTBLOCK;
    if (restart) {
        task->in_syscall = true;
        /* The call may have been interrupted by nothing that is left: it must still be restarted.
         */
        thread_interrupt(&task->thread);
    }
    if (task->sig_restore_mask && !restart && result != -EINTR) {
        task->sig_restore_mask = false;
        signal_set_mask(task->sig_saved_mask);
    }
}

static bool was_switched(const struct task *task)
{
    return __atomic_load_n(&task->thread.switched, __ATOMIC_RELAXED);
}

static inline void finish(struct task *task, enum syscall_id id, const struct syscall_args *args,
                          long result)
{
    struct isa_frame *frame = args->frame;
    if (unlikely(task->frame_replaced)) {
        task->frame_replaced = false;
        return;
    }
    isa_frame_set_result(frame, result);
    if (unlikely((result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK) ||
                 task->sig_restore_mask))
        finish_special(task, id, args, result);
    if (unlikely(isa_frame_trapped(frame)))
        patch_site(frame);
    if (was_switched(task))
        rseq_called(task);
}

void kernel_syscall(struct isa_frame *frame)
{
    struct task *task = user_task();
    uint64_t nr = isa_frame_sysno(frame);
    sched_account_entry();
    enum syscall_id id = syscall_of_number(nr);
    struct syscall_args args;
    args_take(&args, frame);
    task->frame = frame;
    if (SELKIE_DEBUG)
        note(TRACE_CALL, (int)id, (uintptr_t)task, args.arg[0]);
    long result = unlikely(syscall_trace) ? call_traced(id, nr, &args) : call(id, nr, &args);
    if (SELKIE_DEBUG)
        note(TRACE_RESULT, (int)id, (uintptr_t)task, (uint64_t)result);
    finish(task, id, &args, result);
}

long sys_restart_syscall(const struct syscall_args *a)
{
    struct task *task = user_task();
    struct syscall_args again = {.frame = a->frame};
    unsigned id = task->restart.id;
    if (!id)
        return -EINTR;
    for (unsigned i = 0; i < 6; i++)
        again.arg[i] = task->restart.arg[i];
    task->restart_deadline_ns = task->restart.deadline_ns;
    long result = syscall_info((enum syscall_id)id)->handler(&again);
    if (result != -ERESTART_RESTARTBLOCK) {
        task->restart.id = 0;
        task->restart_deadline_ns = 0;
    }
    return result;
}

/* ---- the way back ---- */

static inline __attribute__((always_inline)) bool has_work(const struct task *task)
{
    return __atomic_load_n(&task->thread.head.need_resched, __ATOMIC_RELAXED) ||
           __atomic_load_n(&task->thread.interrupted, __ATOMIC_RELAXED) || was_switched(task) ||
           task->sig_restore_mask || task->in_syscall;
}

/* Interrupts on. */
static void do_work(struct task *task, struct isa_frame *frame)
{
    sched_account_entry();
    task->frame = frame;
    sched_poll();
    thread_clear_interrupt();
    if (task_must_leave(task))
        task_exit(0);
    if (__atomic_load_n(&task->process->stopped, __ATOMIC_ACQUIRE))
        signal_stop_wait(task->process);
    if (task_must_leave(task))
        task_exit(0);
    signal_deliver(frame);
    if (was_switched(task))
        rseq_resume(task, frame);
    if (signal_deliverable(task))
        thread_interrupt(&task->thread);
}

static no_inline void do_all_work(struct task *task, struct isa_frame *frame)
{
    if (was_switched(task))
        rseq_resume_quick(task); /* usually all there is to do */
    while (has_work(task)) {
        proc_irq_on();
        do_work(task, frame);
        (void)hal_irq_save();
    }
}

void kernel_user_return(struct isa_frame *frame)
{
    struct task *task = user_task();
    /* Relaxed loads with interrupts off: whoever sets the flags from elsewhere sends an interrupt
     * that is taken right after the return, and comes here again. */
    if (unlikely(has_work(task)))
        do_all_work(task, frame);
    sched_account_return();
}

void kernel_user_delay(void)
{
    sched_account_entry();
}

/* ---- faults ---- */

static void fault_signal_of(int err, const struct hal_fault *fault)
{
    switch (err) {
    case -EACCES:
        signal_force(SIGSEGV, SEGV_ACCERR, fault->addr);
        break;
    case -EIO:
    case -ENXIO:
    case -ENOSPC: /* of a tmpfs that is full */
        signal_force(SIGBUS, BUS_ADRERR, fault->addr);
        break;
    case -ENOMEM:
        process_out_of_memory();
        break;
    default:
        signal_force(SIGSEGV, SEGV_MAPERR, fault->addr);
        break;
    }
}

/* For the frame of the signal that it becomes. */
static void fault_note(struct task *task, const struct hal_fault *fault)
{
    isa_fault_note(&task->fault, fault->kind == HAL_FAULT_PAGE, fault->addr, fault->trap,
                   fault->syndrome);
}

static void user_page_fault(const struct hal_fault *fault)
{
    struct task *task = user_task();
    int err =
        space_fault(task->process->space, fault->addr, fault->access, isa_frame_sp(fault->frame));
    /* After a wait the program simply faults again, unless it is to end. */
    if (err == -ENOMEM && memory_wait())
        err = 0;
    if (!err) {
        counter_step(&task->min_flt);
        return;
    }
    fault_note(task, fault);
    fault_signal_of(err, fault);
}

/* Code at a fixed address that only jumps into the kernel: as a system call, and back to the
 * caller. There it has no way to say EFAULT, so that is a signal (as Linux, emulate_vsyscall). */
static bool vsyscall(const struct hal_fault *fault)
{
    struct isa_frame *frame = fault->frame;
    uint64_t nr, caller;
    if (fault->kind != HAL_FAULT_PAGE || fault->access != HAL_ACCESS_EXEC ||
        likely(!isa_vsyscall(fault->pc, &nr)))
        return false;
    struct syscall_args args;
    args_take(&args, frame);
    long result = -EFAULT;
    if (nr != ISA_NO_SYSCALL && copyin(&caller, uaddr(isa_frame_sp(frame)), sizeof(caller)) == 0)
        result = call(syscall_of_number(nr), nr, &args);
    if (result == -EFAULT) {
        signal_force(SIGSEGV, SI_KERNEL, 0);
        return true;
    }
    isa_frame_set_result(frame, result);
    isa_frame_set_sp(frame, isa_frame_sp(frame) + sizeof(caller));
    isa_frame_set_pc(frame, caller);
    return true;
}

static void user_exception(const struct hal_fault *fault)
{
    if (unlikely(vsyscall(fault)))
        return;
    if (fault->kind != HAL_FAULT_PAGE)
        fault_note(user_task(), fault);
    switch (fault->kind) {
    case HAL_FAULT_PAGE:
        user_page_fault(fault);
        break;
    case HAL_FAULT_ILLEGAL:
        signal_force(SIGILL, fault->code ? fault->code : ILL_ILLOPN, fault->pc);
        break;
    case HAL_FAULT_DIVIDE:
        signal_force(SIGFPE, FPE_INTDIV, fault->pc);
        break;
    case HAL_FAULT_FP:
        signal_force(SIGFPE, fault->code, fault->pc);
        break;
    case HAL_FAULT_BREAKPOINT: /* x86-64 gives no address, arm64 gives a code and the address */
        if (patch_guard_hit(fault->frame))
            break;
        signal_force(SIGTRAP, fault->code ? fault->code : SI_KERNEL, fault->code ? fault->pc : 0);
        break;
    case HAL_FAULT_STEP:
        signal_force(SIGTRAP, TRAP_TRACE, fault->pc);
        break;
    case HAL_FAULT_ALIGN:
        signal_force(SIGBUS, BUS_ADRALN, fault->addr);
        break;
    case HAL_FAULT_PROTECTION:
        signal_force(SIGSEGV, SI_KERNEL, 0);
        break;
    case HAL_FAULT_STACK:
        signal_force(SIGBUS, SI_KERNEL, 0);
        break;
    case HAL_FAULT_SERROR:
        signal_force(SIGBUS, BUS_ADRERR, fault->addr);
        break;
    }
}

/* A fault in the kernel: only the user-access instructions may have one. */
static bool kernel_exception(const struct hal_fault *fault)
{
    struct task *task = task_current();
    bool uaccess =
        fault->pc >= (uintptr_t)isa_uaccess_begin && fault->pc < (uintptr_t)isa_uaccess_end;
    if (!uaccess && fault->kind == HAL_FAULT_PAGE && kstack_is_guard(fault->addr))
        panic_at(fault->regs, fault->pc, fault->fp, "kernel stack overflow, at %#lx",
                 (unsigned long)fault->addr);
    if (!uaccess)
        panic_at(fault->regs, fault->pc, fault->fp,
                 "fault %d in the kernel, access %d, address %#lx", (int)fault->kind,
                 (int)fault->access, (unsigned long)fault->addr);
    /* With a spinlock held nothing may sleep, so no page can be brought: EFAULT (futex.c). */
    if (fault->kind != HAL_FAULT_PAGE || !task || thread_head()->preempt_count ||
        fault->addr >= hal_layout()->user_end)
        return false;
    uintptr_t sp = task->frame ? isa_frame_sp(task->frame) : 0;
    unsigned long irq = hal_irq_save();
    proc_irq_on();
    int err;
    do
        err = space_fault(task->process->space, fault->addr, fault->access, sp);
    while (err == -ENOMEM && !task_must_leave(task) && memory_wait());
    if (err == -ENOMEM && !task_must_leave(task))
        process_out_of_memory();
    hal_irq_restore(irq);
    return err == 0;
}

bool kernel_fault(const struct hal_fault *fault)
{
    note(TRACE_FAULT, (int)fault->kind, fault->addr, fault->pc);
    if (!fault->user)
        return kernel_exception(fault);
    sched_account_entry();
    user_task()->frame = fault->frame;
    user_exception(fault);
    return true;
}

void kernel_shutdown_request(int signo)
{
    /* From an interrupt: as kill(1, signo) by the machine. */
    struct siginfo info = {.signo = signo, .code = SI_KERNEL};
    struct process *p = process_find(1);
    if (signo == 0) {
        if (p)
            signal_stop_refused(p);
        process_put(p);
        return;
    }
    if (!p && (SIG_BIT(signo) & (SIG_DEFAULT_IGNORE | SIG_STOPS)))
        return;
    if (!p)
        hal_poweroff(128 + signo); /* nothing to ask */
    (void)signal_send_process(p, &info);
    process_put(p);
}
