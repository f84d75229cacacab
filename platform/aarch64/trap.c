/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trap.c - the C half of entry.S: what an exception means (ESR_EL1, DDI 0487 D17.2.37), and who
 * must hear of it. Frames come here with interrupts off.
 */
#include "aarch64.h"
#include "common/kasan.h"

enum {
    EC_FPAC = 0x1c, /* an address whose signature is wrong */
    EC_INSTRUCTION_LOWER = 0x20,
    EC_INSTRUCTION = 0x21,
    EC_PC_ALIGN = 0x22,
    EC_DATA_LOWER = 0x24,
    EC_DATA = 0x25,
    EC_SP_ALIGN = 0x26,
    EC_FP = 0x2c,
    EC_SERROR = 0x2f,
    EC_BREAKPOINT_LOWER = 0x30, /* hardware breakpoint; also for the same level */
    EC_STEP_LOWER = 0x32,
    EC_WATCHPOINT = 0x35,
    EC_BRK = 0x3c,
};
#define ESR_EC(esr) ((unsigned)((esr) >> 26) & 0x3f)
#define ESR_EC_SHIFT 26
#define ESR_CLASS_MASK (0x3full << ESR_EC_SHIFT)
#define ESR_IL (1ull << 25)
#define ESR_LOW_MASK (ESR_IL | (ESR_IL - 1))
#define ISS_WRITE (1u << 6)
#define ISS_CACHE_MAINTENANCE (1u << 8)
#define ISS_FAR_INVALID (1u << 10)
/* Fault status (ISS bits 5:0) without the level. */
#define FSC_MASK 0x3cu
#define FSC_ADDRESS_SIZE 0x00u
#define FSC_TRANSLATION 0x04u
#define FSC_ACCESS_FLAG 0x08u
#define FSC_PERMISSION 0x0cu
#define FSC_ALIGNMENT 0x21u
#define PSTATE_I 0x80u
/* With TBI0 the hardware ignores the top byte of user addresses; bit 55 says which half. */
#define FAR_TAG_MASK 0xff00000000000000ull
#define FAR_HALF_BIT 55

/* si_code values (Linux ABI) that the kernel does not choose itself. */
#define ILL_ILLOPC 1
#define ILL_ILLOPN 2
#define TRAP_BRKPT 1
enum { FPE_FLTDIV = 3, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES, FPE_FLTINV };

static uintptr_t fault_address(uintptr_t far)
{
    return far >> FAR_HALF_BIT & 1 ? far : far & ~FAR_TAG_MASK;
}

static void abort_fault(struct hal_fault *fault, uint32_t iss, bool fetch, uintptr_t far)
{
    unsigned status = iss & 0x3f;

    fault->addr = iss & ISS_FAR_INVALID ? 0 : fault_address(far);
    if (!fault->user)
        fault->addr = kasan_origin(fault->addr);
    /* Cache maintenance reports itself as a write; it needs no more than read access. */
    fault->access = fetch                                                      ? HAL_ACCESS_EXEC
                    : (iss & (ISS_WRITE | ISS_CACHE_MAINTENANCE)) == ISS_WRITE ? HAL_ACCESS_WRITE
                                                                               : HAL_ACCESS_READ;
    if (status == FSC_ALIGNMENT) {
        fault->kind = HAL_FAULT_ALIGN;
        return;
    }
    switch (status & FSC_MASK) {
    case FSC_TRANSLATION:
    case FSC_ADDRESS_SIZE:
        fault->kind = HAL_FAULT_PAGE;
        break;
    case FSC_PERMISSION:
    case FSC_ACCESS_FLAG:
        fault->kind = HAL_FAULT_PAGE;
        fault->present = true;
        break;
    default:
        fault->kind = HAL_FAULT_SERROR;
        break;
    }
}

/* Cumulative bits of the trapped exception: IOF, DZF, OFF, UFF, IXF. */
static int fp_code(uint32_t iss)
{
    if (iss & 1)
        return FPE_FLTINV;
    if (iss & 2)
        return FPE_FLTDIV;
    if (iss & 4)
        return FPE_FLTOVF;
    return iss & 8 ? FPE_FLTUND : FPE_FLTRES;
}

/* The syndrome as from EL0: programs run at EL1 here, and their aborts and debug exceptions have
 * other classes there. Of addresses that are not the program's it tells no more than that (Linux,
 * set_thread_esr). */
static uint64_t syndrome_of(uint64_t esr, uintptr_t addr)
{
    unsigned class = ESR_EC(esr);
    bool fetch = class == EC_INSTRUCTION || class == EC_INSTRUCTION_LOWER;
    bool data = class == EC_DATA || class == EC_DATA_LOWER;

    if (class == EC_INSTRUCTION || class == EC_DATA ||
        (class >= EC_BREAKPOINT_LOWER && class <= EC_WATCHPOINT))
        class &= ~1u;
    esr = (esr & ESR_LOW_MASK) | (uint64_t) class << ESR_EC_SHIFT;
    if ((fetch || data) && addr >> FAR_HALF_BIT)
        esr = (esr & (ESR_CLASS_MASK | ESR_IL | (data ? ISS_WRITE | ISS_CACHE_MAINTENANCE : 0))) |
              FSC_TRANSLATION;
    return esr;
}

/* Fill in what the exception says. Reads CPU state, so interrupts are still off. */
static void describe(struct hal_fault *fault, uint64_t esr, uintptr_t far)
{
    uint32_t iss = (uint32_t)esr & 0x1ffffff;

    switch (ESR_EC(esr)) {
    case EC_DATA:
    case EC_DATA_LOWER:
        abort_fault(fault, iss, false, far);
        break;
    case EC_INSTRUCTION:
    case EC_INSTRUCTION_LOWER:
        abort_fault(fault, iss, true, far);
        break;
    case EC_PC_ALIGN:
        fault->kind = HAL_FAULT_ALIGN;
        fault->addr = fault->pc;
        break;
    case EC_SP_ALIGN:
        fault->kind = HAL_FAULT_ALIGN;
        fault->addr = fault->frame ? fault->frame->sp : 0;
        break;
    case EC_FP:
        fault->kind = HAL_FAULT_FP;
        fault->code = fp_code(iss);
        break;
    case EC_BRK:
    case EC_BREAKPOINT_LOWER:
    case EC_BREAKPOINT_LOWER + 1:
        fault->kind = HAL_FAULT_BREAKPOINT;
        fault->code = TRAP_BRKPT;
        break;
    case EC_STEP_LOWER:
    case EC_STEP_LOWER + 1:
        fault->kind = HAL_FAULT_STEP;
        break;
    case EC_FPAC:
        fault->kind = HAL_FAULT_ILLEGAL;
        fault->code = ILL_ILLOPN;
        break;
    default:
        /* Unknown instructions, trapped SVE and SME, pointer authentication, BTI. */
        fault->kind = HAL_FAULT_ILLEGAL;
        fault->code = ILL_ILLOPC;
        break;
    }
    fault->syndrome = syndrome_of(esr, fault->addr);
}

static void report_user(struct hal_fault *fault)
{
    hal_irq_enable();
    (void)kernel_fault(fault);
    (void)hal_irq_save();
}

void aarch64_trap_user(struct isa_frame *frame, uint64_t esr)
{
    struct hal_fault fault = {.user = true, .pc = frame->pc, .fp = frame->x[29], .frame = frame};

    /* The stack's upper end is there: this function's frame has changed nothing. */
    describe(&fault, esr, a64_read(far_el1));
    report_user(&fault);
}

void aarch64_serror_user(struct isa_frame *frame)
{
    struct hal_fault fault = {.kind = HAL_FAULT_SERROR,
                              .user = true,
                              .pc = frame->pc,
                              .fp = frame->x[29],
                              .frame = frame};

    report_user(&fault);
}

/* The frame's program counter is not in user space (a bad pointer in a signal frame): the program
 * gets the fault that fetching there would be. */
void aarch64_return_wild(struct isa_frame *frame)
{
    struct hal_fault fault = {.kind = HAL_FAULT_PAGE,
                              .access = HAL_ACCESS_EXEC,
                              .user = true,
                              .syndrome = (uint64_t)EC_INSTRUCTION_LOWER << ESR_EC_SHIFT | ESR_IL |
                                          FSC_TRANSLATION,
                              .addr = frame->pc,
                              .pc = frame->pc,
                              .fp = frame->x[29],
                              .frame = frame};

    report_user(&fault);
}

/* Has kernel code touched a page that its stack has not got yet? */
static bool stack_grows(const struct isa_frame *frame, uint64_t esr, uintptr_t far)
{
    return ESR_EC(esr) == EC_DATA && (esr & FSC_MASK) == FSC_TRANSLATION &&
           !(esr & ISS_FAR_INVALID) && far >> FAR_HALF_BIT & 1 &&
           kernel_stack_fault(far, frame->sp);
}

void aarch64_trap_kernel(struct isa_frame *frame, uint64_t esr, uintptr_t far)
{
    struct hal_fault fault = {.pc = frame->pc, .fp = frame->x[29], .regs = frame};
    bool retry;

    if (stack_grows(frame, esr, far))
        return;
    describe(&fault, esr, far);
    if (!(frame->pstate & PSTATE_I))
        hal_irq_enable();
    retry = kernel_fault(&fault);
    (void)hal_irq_save();
    if (!retry)
        frame->pc = (uintptr_t)isa_uaccess_fault;
}

/* An asynchronous error in the kernel: what was lost is unknown. */
_Noreturn void aarch64_serror_kernel(const struct isa_frame *frame)
{
    kernel_hal_panic("SError interrupt", frame->pc, frame->x[29]);
}

_Noreturn void aarch64_bad_vector(const struct isa_frame *frame)
{
    kernel_hal_panic("exception from a lower exception level", frame->pc, frame->x[29]);
}

/* On this CPU's emergency stack. ELR_EL1 is the code that ran off its stack, or the vector that
 * tried to push a frame for it. */
_Noreturn void aarch64_stack_overflow(uintptr_t sp, uintptr_t fp)
{
    (void)sp;
    kernel_hal_panic("kernel stack overflow", a64_read(elr_el1), fp);
}

uintptr_t hal_direct_entry(void)
{
    return (uintptr_t)aarch64_direct_entry;
}

_Noreturn void hal_user_enter(struct isa_frame *frame)
{
    (void)hal_irq_save();
    aarch64_user_enter(frame, aarch64_this_cpu()->ctx->stack_top);
}
