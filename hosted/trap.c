/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trap.c - host signals become system calls, faults and interrupts.
 *
 * The handler runs on the virtual CPU's alternate stack and does next to nothing: it looks at what
 * was interrupted, copies the registers to where the kernel wants them, and changes the signal's
 * context so that sigreturn continues in entry.S on a kernel stack. So kernel code never runs
 * inside a signal handler, and the program's vector registers are live again when it does.
 *
 *   interrupted          signal          continues
 *   user code            SIGSYS          hosted_entry_syscall
 *   user code            fault           hosted_entry_fault
 *   user code            interrupt       hosted_entry_irq
 *   hosted_exit_*        interrupt       hosted_exit_begin: looks for pending interrupts again
 *   hosted_exit_*        fault           hosted_entry_fault: the program's new pc is no address
 *   kernel, anywhere     interrupt       where it was; the bit is pending
 *   kernel, anywhere     its stack grows hosted_entry_stack_fault, on the panic stack
 *   kernel, anywhere     other fault     hosted_entry_kernel_fault
 *   anything             one of those    hosted_entry_sent, on the panic stack: somebody has sent
 *                        that was sent   it (outside.c)
 *
 * The handler may find the program's FS base loaded: so it and all it calls is no_sanitize.
 */
#include "hosted.h"
#include "sim.h"

#define TRAP_DEBUG 1
#define TRAP_BREAKPOINT 3
#define TRAP_ALIGN 17
#define ERR_PRESENT 1u
#define ERR_WRITE 2u
#define ERR_EXEC 16u
#define RFLAGS_PLAIN (ISA_RFLAGS_FIXED | ISA_RFLAGS_IF)

/* The executable's text holds all code of the kernel. Sanitizer builds also run code of shared
 * libraries on this thread, but never while `selector` is set outside entry.S. */
static no_sanitize bool in_user(const struct vcpu *v, uintptr_t rip)
{
    if (rip - hosted_config.text_lo < hosted_config.text_hi - hosted_config.text_lo)
        return false;
    return !SELKIE_SANITIZE || v->selector;
}

/* Kernel code that jumped through a wild pointer is no user code. */
static no_sanitize bool on_kernel_stack(const struct vcpu *v, uintptr_t rsp)
{
    return v->ctx && rsp - v->ctx->stack <= v->ctx->size;
}

static no_sanitize bool is_irq(int signo)
{
    return signo == HOSTED_IRQ_SIGNAL || signo == HOSTED_TIMER_SIGNAL;
}

static no_sanitize bool in_exit(uintptr_t rip)
{
    return rip >= (uintptr_t)hosted_exit_begin && rip < (uintptr_t)hosted_exit_end;
}

static no_sanitize void frame_fill(struct isa_frame *f, const struct host_ucontext *uc)
{
    f->rax = uc->rax;
    f->rbx = uc->rbx;
    f->rcx = uc->rcx;
    f->rdx = uc->rdx;
    f->rsi = uc->rsi;
    f->rdi = uc->rdi;
    f->rbp = uc->rbp;
    f->r8 = uc->r8;
    f->r9 = uc->r9;
    f->r10 = uc->r10;
    f->r11 = uc->r11;
    f->r12 = uc->r12;
    f->r13 = uc->r13;
    f->r14 = uc->r14;
    f->r15 = uc->r15;
    f->trapped = FRAME_TRAPPED_FULL;
    f->orig_rax = ISA_NO_SYSCALL;
    f->rip = uc->rip;
    f->cs = uc->cs;
    f->rflags = uc->rflags;
    f->rsp = uc->rsp;
    f->ss = uc->ss;
}

static no_sanitize struct isa_frame *frame_below(uintptr_t sp, const struct host_ucontext *uc)
{
    struct isa_frame *frame = (struct isa_frame *)((sp & ~(uintptr_t)15) - sizeof(*frame));

    frame_fill(frame, uc);
    return frame;
}

/* A panic that faults goes on below itself. */
no_sanitize struct isa_frame *hosted_panic_frame(struct vcpu *v, const struct host_ucontext *uc)
{
    uintptr_t top = (uintptr_t)v->panic_stack_top;

    return frame_below(top - uc->rsp < HOSTED_PANIC_STACK_SIZE ? uc->rsp : top, uc);
}

/* Sigreturn shall continue at `entry` with the stack pointer at `frame`. */
no_sanitize void hosted_resume_at(struct host_ucontext *uc, const char *entry,
                                  struct isa_frame *frame)
{
    uc->rip = (uintptr_t)entry;
    uc->rsp = (uintptr_t)frame;
    uc->rflags = RFLAGS_PLAIN;
    uc->cs = HAL_USER_CS; /* the program may have jumped to 32-bit code */
    uc->ss = HAL_USER_SS;
}

/* The signal says it, not the trap number: the host leaves that one as it was when it raises the
 * signal itself (SI_KERNEL: after #GP, for its own reasons). */
static no_sanitize enum hal_fault_kind fault_kind(int signo, const struct host_siginfo *info,
                                                  const struct host_ucontext *uc)
{
    switch (signo) {
    case HOST_SIGSEGV: /* with a protection key it is no page fault that mapping could mend */
        return info->code == HOST_SEGV_MAPERR || info->code == HOST_SEGV_ACCERR
                   ? HAL_FAULT_PAGE
                   : HAL_FAULT_PROTECTION;
    case HOST_SIGBUS:
        if (info->code == HOST_BUS_ADRALN)
            return HAL_FAULT_ALIGN;
        /* #SS; or the host has no memory for the page, or it is poisoned. */
        return info->code == HOST_SI_KERNEL ? HAL_FAULT_STACK : HAL_FAULT_SERROR;
    case HOST_SIGILL:
        return HAL_FAULT_ILLEGAL;
    case HOST_SIGFPE:
        return info->code == HOST_FPE_INTDIV ? HAL_FAULT_DIVIDE : HAL_FAULT_FP;
    case HOST_SIGTRAP:
        return uc->trapno == TRAP_BREAKPOINT ? HAL_FAULT_BREAKPOINT : HAL_FAULT_STEP;
    default:
        return HAL_FAULT_PROTECTION;
    }
}

static no_sanitize void fault_fill(struct hal_fault *fault, int signo,
                                   const struct host_siginfo *info, const struct host_ucontext *uc)
{
    fault->kind = fault_kind(signo, info, uc);
    fault->access = HAL_ACCESS_READ;
    if (uc->err & ERR_EXEC)
        fault->access = HAL_ACCESS_EXEC;
    else if (uc->err & ERR_WRITE)
        fault->access = HAL_ACCESS_WRITE;
    fault->present = false;
    fault->code = fault->kind == HAL_FAULT_BREAKPOINT ? 0 : info->code;
    fault->trap = (uint32_t)uc->trapno;
    fault->syndrome = uc->err;
    fault->addr = fault->kind == HAL_FAULT_PAGE ? info->addr : 0;
    fault->pc = uc->rip;
    fault->fp = uc->rbp;
}

/* The host itself may do what is called at this address. Whatever it cannot do - because it will
 * not, or a page is not in its mappings just now - it reports in its own way. */
static no_sanitize void fault_in_vsyscall(struct hal_fault *fault)
{
    uint64_t nr;

    if (!isa_vsyscall(fault->pc, &nr))
        return;
    fault->kind = HAL_FAULT_PAGE;
    fault->access = HAL_ACCESS_EXEC;
    fault->addr = fault->pc;
}

static no_sanitize void pending_add(struct vcpu *v, uint32_t bits)
{
    __asm__ volatile("lock orl %1, %0" : "+m"(v->pending) : "r"(bits) : "memory", "cc");
}

/* For a core file. The host has given the handler fresh vector registers: the live ones are in its
 * frame, in the layout that areas have. */
static no_sanitize void fp_keep(const struct vcpu *v, const struct host_ucontext *uc)
{
    const uint8_t *from = (const uint8_t *)uc->fpstate;
    uint8_t *to = v->ctx ? v->ctx->fp : NULL;

    if (!from || !to || !v->ctx->fp_live)
        return;
    for (size_t i = 0; i < isa_fp_size(); i++)
        to[i] = from[i];
}

/* hal_halt_others: everyone but one CPU stops here. */
static no_sanitize void halt_if_told(const struct vcpu *v, const struct host_ucontext *uc)
{
    uint32_t halted = *(volatile uint32_t *)&hosted_halted;
    struct isa_frame regs;

    if (halted == 0 || halted == v->id + 1)
        return;
    frame_fill(&regs, uc);
    kernel_cpu_stopped(v->id, &regs);
    fp_keep(v, uc);
    __atomic_fetch_add(&hosted_stopped, 1, __ATOMIC_RELEASE);
    for (;;)
        host_call3(HOST_pause, 0, 0, 0);
}

static no_sanitize void signal_in_user(struct vcpu *v, int signo, const struct host_siginfo *info,
                                       struct host_ucontext *uc)
{
    struct isa_frame *frame = v->frame;
    const char *entry = hosted_entry_fault;

    frame_fill(frame, uc);
    if (is_irq(signo)) {
        entry = hosted_entry_irq;
    } else if (signo == HOST_SIGSYS && info->sys.arch == HOST_AUDIT_ARCH_X86_64) {
        frame->orig_rax = (uint64_t)(uint32_t)info->sys.syscall;
        frame->trapped = FRAME_TRAPPED_SYSCALL | FRAME_TRAPPED_FULL;
        entry = hosted_entry_syscall;
    } else {
        /* SIGSYS is int $0x80: there are no 32-bit system calls here. */
        fault_fill(&v->fault, signo, info, uc);
        fault_in_vsyscall(&v->fault);
        v->fault.user = true;
        v->fault.frame = frame;
    }
    hosted_resume_at(uc, entry, frame);
}

static no_sanitize bool fault_on_stack(int signo, const struct host_siginfo *info)
{
    return HAL_STACKS_GROW && signo == HOST_SIGSEGV &&
           (info->code == HOST_SEGV_MAPERR || info->code == HOST_SEGV_ACCERR) &&
           info->addr >= hosted_config.kernel_lo && info->addr < hosted_config.kernel_hi;
}

static no_sanitize void fault_in_kernel(struct vcpu *v, int signo, const struct host_siginfo *info,
                                        struct host_ucontext *uc)
{
    const bool stack = fault_on_stack(signo, info);
    struct hal_fault *fault = stack ? &v->stack_fault : &v->fault;
    /* Kernel code has no red zone, and isa/uaccess.S has made room for the frame. If it is not an
     * access to user memory but a bug, or the stack has no such page yet: on another stack. */
    const bool here =
        !stack && uc->rip >= (uintptr_t)isa_uaccess_begin && uc->rip < (uintptr_t)isa_uaccess_end;
    struct isa_frame *frame = here ? frame_below(uc->rsp, uc) : hosted_panic_frame(v, uc);

    fault_fill(fault, signo, info, uc);
    fault->user = false;
    fault->frame = NULL;
    hosted_resume_at(uc, stack ? hosted_entry_stack_fault : hosted_entry_kernel_fault, frame);
}

/* What hosted_direct_entry does, for a program that traps before the first instruction of it. */
static no_sanitize void direct_entry_stepped(struct vcpu *v, struct host_ucontext *uc)
{
    struct isa_frame *frame = v->frame;

    frame_fill(frame, uc);
    frame->orig_rax = uc->rax;
    frame->rip = uc->rcx;
    frame->r11 = uc->rflags;
    hosted_resume_at(uc, hosted_entry_syscall, frame);
}

static no_sanitize void signal_in_kernel(struct vcpu *v, int signo, const struct host_siginfo *info,
                                         struct host_ucontext *uc)
{
    bool exiting = in_exit(uc->rip);

    if (is_irq(signo)) {
        if (exiting)
            hosted_resume_at(uc, hosted_exit_begin, v->frame);
        return;
    }
    /* A program that single-steps or checks alignment does so until its flags are reset here. */
    if (signo == HOST_SIGTRAP && uc->trapno == TRAP_DEBUG) {
        if (uc->rip == (uintptr_t)hosted_direct_entry)
            direct_entry_stepped(v, uc);
        uc->rflags &= ~ISA_RFLAGS_TF;
        return;
    }
    if (signo == HOST_SIGBUS && uc->trapno == TRAP_ALIGN) {
        uc->rflags &= ~ISA_RFLAGS_AC;
        return;
    }
    if (!exiting) {
        fault_in_kernel(v, signo, info, uc);
        return;
    }
    fault_fill(&v->fault, signo, info, uc);
    v->fault.kind = HAL_FAULT_PROTECTION;
    v->fault.user = true;
    v->fault.frame = v->frame;
    v->fault.pc = v->frame->rip;
    v->frame->trapped |= FRAME_TRAPPED_FULL;
    hosted_resume_at(uc, hosted_entry_fault, v->frame);
}

no_sanitize void hosted_signal(int signo, const struct host_siginfo *info, struct host_ucontext *uc)
{
    struct vcpu *v;

    /* The host leaves this flag of the program's, and compilers do access unaligned data. */
    if (uc->rflags & ISA_RFLAGS_AC)
        __asm__ volatile("pushq %0; popfq" : : "i"(RFLAGS_PLAIN) : "memory", "cc");
    if (info->code <= 0 && !is_irq(signo)) { /* perhaps on a thread that is no virtual CPU */
        hosted_sent(signo, info, uc);
        return;
    }
    v = vcpu_self();
    if (is_irq(signo))
        halt_if_told(v, uc);
    if (SELKIE_SIM) {
        enum sim_verdict verdict =
            sim_signal(signo, info, uc, in_user(v, uc->rip) && !on_kernel_stack(v, uc->rsp));

        if (verdict == SIM_DONE)
            return;
        if (verdict == SIM_TAKE) {
            signal_in_user(v, HOSTED_IRQ_SIGNAL, info, uc);
            return;
        }
    }
    if (signo == HOSTED_TIMER_SIGNAL)
        pending_add(v, HOSTED_IRQ_TIMER);
    if (in_user(v, uc->rip) && !on_kernel_stack(v, uc->rsp))
        signal_in_user(v, signo, info, uc);
    else
        signal_in_kernel(v, signo, info, uc);
}

/* ---- what entry.S calls; the kernel's world again ---- */

void hosted_user_fault(struct isa_frame *frame)
{
    struct vcpu *v = vcpu_self();
    struct hal_fault fault = v->fault;

    (void)frame;
    if (SELKIE_SIM)
        sim_note(SIM_FAULT, fault.kind, fault.addr);
    if (fault.kind == HAL_FAULT_PAGE && hosted_mmu_refill(fault.addr, fault.access, &fault.present))
        return;
    /* The host does not know all that the page tables map. */
    if (fault.kind == HAL_FAULT_PAGE)
        fault.syndrome =
            (fault.syndrome & ~(uint64_t)ERR_PRESENT) | (fault.present ? ERR_PRESENT : 0);
    hal_irq_enable();
    (void)kernel_fault(&fault);
    (void)hal_irq_save();
}

void hosted_user_irq(struct isa_frame *frame)
{
    if (SELKIE_SIM)
        sim_taken(frame);
    (void)hosted_irq_run();
}

void hosted_kernel_fault(struct isa_frame *frame)
{
    struct vcpu *v = vcpu_self();
    struct hal_fault fault = v->fault;

    fault.regs = frame;
#if SELKIE_ASAN
    if (hosted_mmu_is_shadow(fault.addr))
        kernel_hal_panic("asan: user memory outside copy-in/copy-out", fault.pc, fault.fp);
#endif
    if (fault.kind == HAL_FAULT_PAGE && hosted_mmu_refill(fault.addr, fault.access, &fault.present))
        return;
    if (!kernel_fault(&fault))
        frame->rip = (uintptr_t)isa_uaccess_fault;
}

/* v->fault may be on its way to hosted_kernel_fault meanwhile. */
void hosted_stack_fault(struct isa_frame *frame)
{
    struct vcpu *v = vcpu_self();

    if (kernel_stack_fault(v->stack_fault.addr, frame->rsp))
        return;
    v->fault = v->stack_fault;
    hosted_kernel_fault(frame);
}

/* ---- set-up ---- */

void hosted_signals_install(void)
{
    static const uint8_t signals[] = {HOST_SIGILL, HOST_SIGTRAP,      HOST_SIGABRT,
                                      HOST_SIGBUS, HOST_SIGFPE,       HOST_SIGSEGV,
                                      HOST_SIGSYS, HOSTED_IRQ_SIGNAL, HOSTED_TIMER_SIGNAL};
    struct host_sigaction sa = {
        .handler = (uintptr_t)hosted_signal,
        /* Restart: the idle futex looks at `pending` again, everyone else wants to go on. */
        .flags = HOST_SA_SIGINFO | HOST_SA_ONSTACK | HOST_SA_RESTORER | HOST_SA_RESTART,
        .restorer = (uintptr_t)hosted_sigreturn,
        /* Handlers do not nest. */
        .mask = UINT64_MAX,
    };

    for (unsigned i = 0; i < sizeof(signals); i++)
        (void)host_call4(HOST_rt_sigaction, signals[i], (long)&sa, 0, sizeof(sa.mask));
}
