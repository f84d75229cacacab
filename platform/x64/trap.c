/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trap.c - the C half of entry.S: what an exception means, and who must hear of it.
 *
 * Frames come here with interrupts off, on the stack where handling may go on (entry.S).
 */
#include "common/core.h"
#include "common/kasan.h"
#include "x64.h"

enum {
    VECTOR_DE = 0,
    VECTOR_DB = 1,
    VECTOR_NMI = 2,
    VECTOR_BP = 3,
    VECTOR_OF = 4,
    VECTOR_BR = 5,
    VECTOR_UD = 6,
    VECTOR_DF = 8,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_MF = 16,
    VECTOR_AC = 17,
    VECTOR_MC = 18,
    VECTOR_XM = 19,
    VECTOR_IRQ = 32,
};
#define PF_PRESENT 1u
#define PF_WRITE 2u
#define PF_FETCH 16u
#define FLAGS_TF 0x100u
#define FLAGS_IF 0x200u
#define FLAGS_DF 0x400u
#define FLAGS_NT 0x4000u
#define FLAGS_AC 0x40000u

/* si_code values of SIGFPE (Linux ABI). */
enum { FPE_INTDIV = 1, FPE_INTOVF, FPE_FLTDIV, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES, FPE_FLTINV };

bool x64_halting;
uint32_t x64_stopped;

static uintptr_t read_cr2(void)
{
    uintptr_t value;

    if (x64_ring3)
        return x64_this_cpu()->cr2;
    __asm__ volatile("movq %%cr2, %0" : "=r"(value));
    return value;
}

/* Exception bits have the same order in the x87 status word and in MXCSR: invalid, denormal, zero
 * divide, overflow, underflow, precision. Only unmasked ones count. */
static int fp_code(unsigned status)
{
    if (status & 1)
        return FPE_FLTINV;
    if (status & 4)
        return FPE_FLTDIV;
    if (status & 8)
        return FPE_FLTOVF;
    if (status & (16 | 2))
        return FPE_FLTUND;
    return status & 32 ? FPE_FLTRES : FPE_FLTINV;
}

static int x87_code(void)
{
    uint16_t control, status;

    __asm__ volatile("fnstcw %0; fnstsw %1" : "=m"(control), "=a"(status));
    return fp_code(status & ~(unsigned)control);
}

static int sse_code(void)
{
    uint32_t mxcsr;

    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return fp_code(mxcsr & ~(mxcsr >> 7) & 0x3f);
}

static void page_fault(struct hal_fault *fault, unsigned error, uintptr_t cr2)
{
    fault->kind = HAL_FAULT_PAGE;
    fault->addr = fault->user ? cr2 : kasan_origin(cr2);
    fault->present = error & PF_PRESENT;
    fault->access = (error & PF_FETCH)   ? HAL_ACCESS_EXEC
                    : (error & PF_WRITE) ? HAL_ACCESS_WRITE
                                         : HAL_ACCESS_READ;
}

/* Fill in what the exception says. Reads CPU state, so interrupts are still off. */
static void describe(struct hal_fault *fault, unsigned vector, unsigned error, uintptr_t cr2)
{
    fault->trap = vector;
    fault->syndrome = error;
    switch (vector) {
    case VECTOR_PF:
        page_fault(fault, error, cr2);
        break;
    case VECTOR_DE:
        fault->kind = HAL_FAULT_DIVIDE;
        fault->code = FPE_INTDIV;
        break;
    case VECTOR_UD:
        fault->kind = HAL_FAULT_ILLEGAL;
        break;
    case VECTOR_BP:
        fault->kind = HAL_FAULT_BREAKPOINT;
        break;
    case VECTOR_DB:
        fault->kind = HAL_FAULT_STEP;
        break;
    case VECTOR_MF:
        fault->kind = HAL_FAULT_FP;
        fault->code = x87_code();
        break;
    case VECTOR_XM:
        fault->kind = HAL_FAULT_FP;
        fault->code = sse_code();
        break;
    case VECTOR_AC:
        fault->kind = HAL_FAULT_ALIGN;
        break;
    case VECTOR_SS:
        fault->kind = HAL_FAULT_STACK;
        break;
    default:
        fault->kind = HAL_FAULT_PROTECTION;
        break;
    }
}

/* A "user" frame whose stack pointer is this thread's kernel stack: kernel code that jumped through
 * a wild pointer. A call has left its return address there, which tells more than the target. */
static void check_wild_jump(const struct isa_frame *frame)
{
    const struct x64_cpu *cpu = x64_this_cpu();
    uintptr_t caller;

    if (!cpu->ctx)
        kernel_hal_panic("jump to an address outside the kernel", frame->rip, frame->rbp);
    if (frame->rsp >= cpu->ctx->stack_top || frame->rsp <= cpu->ctx->stack_lo)
        return;
    caller = *(const uintptr_t *)frame->rsp;
    kernel_hal_panic("call or jump to an address outside the kernel",
                     caller >= (uintptr_t)x64_text_begin && caller < (uintptr_t)x64_text_end
                         ? caller
                         : frame->rip,
                     frame->rbp);
}

void x64_trap_user(struct isa_frame *frame, unsigned vector, unsigned error)
{
    struct hal_fault fault = {.user = true, .pc = frame->rip, .fp = frame->rbp, .frame = frame};

    if (vector >= VECTOR_IRQ) {
        x64_irq_dispatch(vector);
        return;
    }
    check_wild_jump(frame);
    describe(&fault, vector, error, vector == VECTOR_PF ? read_cr2() : 0);
    hal_irq_enable();
    (void)kernel_fault(&fault);
    x64_irq_off();
}

/* NMI, double fault, machine check: on their own stacks, from user or kernel code alike. */
static void fatal_trap(const struct isa_frame *frame, unsigned vector)
{
    if (vector == VECTOR_NMI && __atomic_load_n(&x64_halting, __ATOMIC_RELAXED)) {
        kernel_cpu_stopped(hal_cpu_id(), frame);
        core_fp_keep();
        __atomic_fetch_add(&x64_stopped, 1, __ATOMIC_RELEASE);
        for (;;)
            __asm__ volatile("cli; hlt"); /* in ring 0, always */
    }
    kernel_hal_panic(vector == VECTOR_NMI  ? "non-maskable interrupt"
                     : vector == VECTOR_MC ? "machine check"
                                           : "double fault",
                     frame->rip, frame->rbp);
}

/* Has kernel code touched a page that its stack has not got yet? While a frame is built from the
 * trap stack, the stack that it goes to is the executing context's. */
static bool stack_grows(const struct isa_frame *frame, unsigned error, uintptr_t cr2)
{
    const struct x64_cpu *cpu = x64_this_cpu();
    uintptr_t trap_lo = cpu->trap_top - sizeof(cpu->trap_stack);
    uintptr_t sp = frame->rsp;

    if (error & PF_PRESENT || !(cr2 >> X64_USER_END_BIT))
        return false;
    if (cpu->ctx && sp - trap_lo <= sizeof(cpu->trap_stack))
        sp = cpu->ctx->stack_top;
    return kernel_stack_fault(cr2, sp);
}

static bool on_fault_stack(const struct isa_frame *frame)
{
    uintptr_t end = x64_this_cpu()->tss.ist[X64_IST_FAULT - 1];

    return end - (uintptr_t)frame <= sizeof(x64_this_cpu()->fault_stack);
}

static void kernel_exception(struct isa_frame *frame, unsigned vector, unsigned error,
                             uintptr_t cr2)
{
    struct hal_fault fault = {.pc = frame->rip, .fp = frame->rbp, .regs = frame};
    bool retry;

    describe(&fault, vector, error, cr2);
    /* Interrupts are put back as they were, unless we are on the fault stack (entry.S), which the
     * next page fault would reuse. */
    if ((frame->rflags & FLAGS_IF) && !on_fault_stack(frame))
        hal_irq_enable();
    retry = kernel_fault(&fault);
    x64_irq_off();
    if (!retry)
        frame->rip = (uintptr_t)isa_uaccess_fault;
}

/* A program that single-steps into the kernel: go on without. Before the first instruction of the
 * direct entry its flag would be lost, for that is where they are read: do what stands there. */
static void stepped(struct isa_frame *frame)
{
    struct x64_cpu *cpu = x64_this_cpu();

    if (frame->rip == hal_direct_entry()) {
        ((struct isa_frame *)cpu->kstack)->trapped = 0;
        cpu->user_sp = frame->rsp;
        frame->r11 = frame->rflags | FLAGS_IF;
        frame->rsp = cpu->kstack;
        frame->rip = (uintptr_t)x64_syscall_common;
        frame->rflags &= ~(uint64_t)(FLAGS_IF | FLAGS_DF | FLAGS_NT | FLAGS_AC);
    }
    frame->rflags &= ~(uint64_t)FLAGS_TF;
}

void x64_trap_kernel(struct isa_frame *frame, unsigned vector, unsigned error, uintptr_t cr2)
{
    if (vector >= VECTOR_IRQ) {
        x64_irq_dispatch(vector);
        if (frame->rflags & FLAGS_IF)
            kernel_preempt();
    } else if (vector == VECTOR_PF && stack_grows(frame, error, cr2)) {
        return;
    } else if (vector == VECTOR_NMI || vector == VECTOR_DF || vector == VECTOR_MC) {
        fatal_trap(frame, vector);
    } else if (vector == VECTOR_DB) {
        stepped(frame);
    } else if (vector == VECTOR_UD && frame->rip == (uintptr_t)x64_ring3_fsgsbase) {
        frame->rip = (uintptr_t)x64_ring3_no_fsgsbase;
    } else {
        kernel_exception(frame, vector, error, cr2);
    }
}

/* The frame's program counter is not in user space (a bad pointer in a signal frame or a jump):
 * what iretq would make a fault in the kernel becomes the program's own. */
void x64_return_wild(struct isa_frame *frame)
{
    struct hal_fault fault = {.kind = HAL_FAULT_PROTECTION,
                              .user = true,
                              .trap = VECTOR_GP,
                              .pc = frame->rip,
                              .fp = frame->rbp,
                              .frame = frame};

    hal_irq_enable();
    (void)kernel_fault(&fault);
    x64_irq_off();
}

uintptr_t hal_direct_entry(void)
{
    return (uintptr_t)(x64_ring3 ? x64_ring3_direct_entry : x64_direct_entry);
}
