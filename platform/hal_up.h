/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_up.h - the up-calls: all that a backend may call in the kernel.
 *
 * Contexts: "irq" means interrupts off, on a stack the HAL chose, no user
 * registers live but those in a frame; such a handler must not sleep. After
 * the last handler of an interrupt the HAL calls kernel_preempt() if the
 * interrupted code was the kernel's with interrupts on, or
 * kernel_user_return() if it was user code.
 */
#ifndef SELKIE_HAL_UP_H
#define SELKIE_HAL_UP_H

#include "hal.h"

/* First kernel code on CPU 0: interrupts off, direct map and hal_boot_info ready, on a boot stack
 * [stack, stack+size). Never returns. */
_Noreturn void kernel_boot(void *stack, size_t size);

/* First kernel code on every other CPU. Interrupts off, thread pointer set by hal_cpu_start. */
_Noreturn void kernel_cpu_main(unsigned cpu);

/* The armed time has come (irq). */
void kernel_timer(void);
/* Another CPU called hal_ipi_send (irq). */
void kernel_ipi(void);
/* Only from a backend that can know it (simulation): all CPUs are in hal_cpu_idle, none has an
 * interrupt pending, and none runs while this does. Panics if that cannot be right. */
void kernel_all_idle(void);
/* A device that hal_irq_unmask was called for wants attention, or possibly not any more (irq). */
void kernel_irq(unsigned irq);
/* Console input, end of input, a new window size, room for output or the loss of its reader (irq).
 */
void kernel_console(void);
/* The machine asks for an orderly stop: SIGTERM to the hosted process, ACPI power button (irq).
 * `signo` is the Linux signal that the program should get (SIGINT, SIGTERM, ...), or 0: see
 * hal_suspend. */
void kernel_shutdown_request(int signo);

/* Between kernel_user_return and user code interrupts are taken that came in the kernel: their
 * handlers must not believe that they interrupt user code. kernel_user_return follows if any was.
 * Only from a backend that defers interrupts so; interrupts off. */
void kernel_user_delay(void);
/* A scheduling point in kernel code, interrupts off; may switch threads and return later. */
void kernel_preempt(void);

/* A system call: number and arguments in *frame, result is put there. Thread
 * context, interrupts on, on the thread's kernel stack. */
void kernel_syscall(struct isa_frame *frame);

/* Last call before user code runs. Thread context; called with interrupts off
 * and returns with them off; in between it may enable them, switch threads,
 * deliver a signal (change *frame), or end the thread. After it returns the HAL resumes *frame at
 * once. */
void kernel_user_return(struct isa_frame *frame);

/* A synchronous exception. */
enum hal_fault_kind {
    HAL_FAULT_PAGE,       /* addr, access, present are valid */
    HAL_FAULT_ILLEGAL,    /* undefined or privileged instruction */
    HAL_FAULT_DIVIDE,     /* integer divide error */
    HAL_FAULT_FP,         /* floating-point exception; code is the FPE_ si_code */
    HAL_FAULT_BREAKPOINT, /* int3, brk: pc is after (x64) or at (aarch64) it, as Linux reports */
    HAL_FAULT_STEP,       /* single step */
    HAL_FAULT_ALIGN,      /* misaligned access; addr valid */
    HAL_FAULT_PROTECTION, /* x64 #GP: non-canonical address and the like; no addr */
    HAL_FAULT_STACK,      /* x64 #SS: the same through rsp or rbp; no addr */
    HAL_FAULT_SERROR,     /* hardware error */
};
enum hal_access { HAL_ACCESS_READ, HAL_ACCESS_WRITE, HAL_ACCESS_EXEC };
struct hal_fault {
    enum hal_fault_kind kind;
    enum hal_access access;
    bool present; /* page fault on a mapped page: a protection fault */
    bool user;    /* raised by user code; frame is then the user frame */
    int code;
    /* The machine's own words for the signal frame, as a processor that has a user mode says them:
     * x64: vector and error code; aarch64: 0 and ESR_EL1. */
    uint32_t trap;
    uint64_t syndrome;
    vaddr_t addr;
    uintptr_t pc, fp;             /* where, and the frame pointer for a back trace */
    struct isa_frame *frame;      /* user registers, or NULL if raised in the kernel */
    const struct isa_frame *regs; /* raised in the kernel: its registers, for a report; or NULL */
};
/*
 * Thread context for user faults (interrupts on): the kernel mends the page or posts a signal and
 * returns; the HAL then goes through kernel_user_return. For faults in kernel
 * code: interrupts as they were; true means retry the instruction, false means continue at
 * isa_uaccess_fault (only if pc lies in isa_uaccess_begin..end); anything else panics and does not
 * return.
 */
bool kernel_fault(const struct hal_fault *fault);

/*
 * Kernel code has touched `addr`, where nothing is mapped; sp is its stack pointer, or an address
 * of the stack it was about to use. True: that stack has grown, try again. On a stack that is all
 * there (hosted: the panic stack); no interrupt is delivered; any lock may be held, it takes none.
 */
bool kernel_stack_fault(vaddr_t addr, uintptr_t sp);

/* Page-table pages: zeroed, page aligned, or HAL_NO_PAGE. Callable wherever hal_space_map is. */
#define HAL_NO_PAGE UINT64_MAX
paddr_t kernel_table_alloc(void);
void kernel_table_free(paddr_t pa);

/* This CPU was told to stop (hal_halt_others) and will; `regs`, which stay, are what it did. Called
 * in the interrupt that told it. Panic-safe, and never sanitized. */
void kernel_cpu_stopped(unsigned cpu, const struct isa_frame *regs);

/* The HAL found something impossible; prints and never returns. Panic-safe. */
_Noreturn void kernel_hal_panic(const char *what, uintptr_t pc, uintptr_t fp);
/* The same when the machine is ended from outside: `what` says by whom. `regs`, which stay, are
 * what this CPU did, of user code too; fp: their frame pointer, if it is the kernel's, or 0. */
_Noreturn void kernel_killed(const char *what, const struct isa_frame *regs, uintptr_t fp);

#endif
