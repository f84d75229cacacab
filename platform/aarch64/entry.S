/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * entry.S - every way into the kernel and back.
 *
 * Program and kernel share EL1. What separates them is the stack pointer: programs run with
 * SPSel = 0 (SP_EL0), the kernel with SPSel = 1 (SP_EL1), and an exception always selects SP_EL1.
 * So the vector tells who was interrupted (Arm DDI 0487, D1.4.2):
 *   "current EL with SP_EL0"   user code; SP_EL1 is the top of the thread's kernel stack
 *   "current EL with SP_ELx"   kernel code; the frame goes right below its stack pointer
 *
 * The way out leaves SP_EL1 at the top again, because the frame is the only thing on the stack.
 *
 * A kernel stack that runs into its guard page faults again and again while a frame is pushed, and
 * so does one that has no page there yet (mm/kvm.c). So exceptions of the kernel look first whether
 * SP lies on the executing context's stack (struct aarch64_cpu has its bounds), and whether there
 * is room for a frame; if not, the stack grows on the CPU's emergency stack. SP_EL0 is free as a
 * scratch register in the kernel: user code's is in the frame.
 *
 * TPIDR_EL1 is the thread (hal_thread_get), TPIDRRO_EL0 this CPU's struct aarch64_cpu. A frame is
 * struct isa_frame for both kinds of interrupted code.
 */
#include "isa/frame_offsets.h"
#include "layout.h"

#define EC_SHIFT 26
#define EC_SVC64 0x15
#define STACK_RESERVE 512 /* room the handling of a fault needs at least, frame included */

/* ---- frames ---- */

/* All but x16 and x17. */
.macro SAVE_REGISTERS
    stp x0, x1, [sp, #FRAME_X(0)]
    stp x2, x3, [sp, #FRAME_X(2)]
    stp x4, x5, [sp, #FRAME_X(4)]
    stp x6, x7, [sp, #FRAME_X(6)]
    stp x8, x9, [sp, #FRAME_X(8)]
    stp x10, x11, [sp, #FRAME_X(10)]
    stp x12, x13, [sp, #FRAME_X(12)]
    stp x14, x15, [sp, #FRAME_X(14)]
    stp x18, x19, [sp, #FRAME_X(18)]
    stp x20, x21, [sp, #FRAME_X(20)]
    stp x22, x23, [sp, #FRAME_X(22)]
    stp x24, x25, [sp, #FRAME_X(24)]
    stp x26, x27, [sp, #FRAME_X(26)]
    stp x28, x29, [sp, #FRAME_X(28)]
.endm

/* A frame of user code from an exception. Leaves the syndrome in x20. */
.macro USER_FRAME
    sub sp, sp, #FRAME_SIZE
    stp x16, x17, [sp, #FRAME_X(16)]
    SAVE_REGISTERS
    mrs x21, sp_el0
    mrs x22, elr_el1
    mrs x23, spsr_el1
    mrs x20, esr_el1
    stp x30, x21, [sp, #FRAME_X(30)]
    stp x22, x23, [sp, #FRAME_PC]
    mov x24, #-1
    stp x0, x24, [sp, #FRAME_ORIG_X0]
    str xzr, [sp, #FRAME_TRAPPED]
    mov x29, xzr /* back traces end here */
    mov x30, xzr
.endm

/* A frame of kernel code, and below it a frame record {x29, pc} for back traces: x29 points there,
 * the frame is at sp + 16. Leaves the syndrome in x20. */
.macro KERNEL_FRAME
    sub sp, sp, #FRAME_SIZE
    stp x16, x17, [sp, #FRAME_X(16)]
    SAVE_REGISTERS
    add x21, sp, #FRAME_SIZE
    mrs x22, elr_el1
    mrs x23, spsr_el1
    mrs x20, esr_el1
    stp x30, x21, [sp, #FRAME_X(30)]
    stp x22, x23, [sp, #FRAME_PC]
    stp x29, x22, [sp, #-16]!
    mov x29, sp
.endm

/* Load all registers from the frame at sp, and drop it. ELR and SPSR are set. */
.macro RESTORE_REGISTERS
    ldp x0, x1, [sp, #FRAME_X(0)]
    ldp x2, x3, [sp, #FRAME_X(2)]
    ldp x4, x5, [sp, #FRAME_X(4)]
    ldp x6, x7, [sp, #FRAME_X(6)]
    ldp x8, x9, [sp, #FRAME_X(8)]
    ldp x10, x11, [sp, #FRAME_X(10)]
    ldp x12, x13, [sp, #FRAME_X(12)]
    ldp x14, x15, [sp, #FRAME_X(14)]
    ldp x16, x17, [sp, #FRAME_X(16)]
    ldp x18, x19, [sp, #FRAME_X(18)]
    ldp x20, x21, [sp, #FRAME_X(20)]
    ldp x22, x23, [sp, #FRAME_X(22)]
    ldp x24, x25, [sp, #FRAME_X(24)]
    ldp x26, x27, [sp, #FRAME_X(26)]
    ldp x28, x29, [sp, #FRAME_X(28)]
    ldr x30, [sp, #FRAME_X(30)]
    add sp, sp, #FRAME_SIZE
.endm

/* ---- vectors ---- */

.macro VECTOR target
    .balign 128
    b \target
.endm

    .section .text.vectors, "ax"
    .globl aarch64_vectors
    .balign 2048
aarch64_vectors:
    VECTOR user_sync
    VECTOR user_irq
    VECTOR user_irq /* FIQ: a GIC without security may signal group 0 so */
    VECTOR user_serror
    VECTOR kernel_sync
    VECTOR kernel_irq_entry
    VECTOR kernel_irq_entry
    VECTOR kernel_serror
    .rept 8 /* lower exception levels: nothing runs there */
    VECTOR bad_vector
    .endr
    .balign 128

    .text
    .balign 64

/* ---- from user code ---- */

user_sync:
    USER_FRAME
    lsr x21, x20, #EC_SHIFT
    cmp x21, #EC_SVC64
    b.ne 1f
    mov w24, w8
    mov x25, #1
    stp x24, x25, [sp, #FRAME_SYSNO]
system_call:
    msr daifclr, #6
    mov x0, sp
    bl kernel_syscall
    b aarch64_user_return
1:  mov x0, sp
    mov x1, x20
    bl aarch64_trap_user
    b aarch64_user_return

user_irq:
    USER_FRAME
    mov x0, sp
    bl aarch64_irq_dispatch
    b aarch64_user_return

user_serror:
    USER_FRAME
    mov x0, sp
    bl aarch64_serror_user
    b aarch64_user_return

/*
 * Direct entry: isa/patch.c's trampoline has masked interrupts, selected SP_EL1, made room for the
 * frame, saved x16 and x17 in it and put the address behind the call into x17. The flags are as the
 * program left them; its other status bits are always those of FRAME_PSTATE_USER.
 */
    .globl aarch64_direct_entry
aarch64_direct_entry:
    A64_BTI_C
    SAVE_REGISTERS
    mrs x21, sp_el0
    mrs x22, nzcv
    orr x22, x22, #FRAME_PSTATE_USER
    mov w24, w8
    stp x30, x21, [sp, #FRAME_X(30)]
    stp x17, x22, [sp, #FRAME_PC]
    stp x0, x24, [sp, #FRAME_ORIG_X0]
    str xzr, [sp, #FRAME_TRAPPED]
    mov x29, xzr
    mov x30, xzr
    b system_call

/* ---- to user code: the frame is at sp, nothing else on the stack ---- */

    .globl aarch64_user_return
aarch64_user_return:
    msr daifset, #6
    mov x0, sp
    bl kernel_user_return
    ldp x22, x23, [sp, #FRAME_PC]
    lsr x24, x22, #A64_USER_END_BIT
    cbnz x24, 3f
    mrs x25, tpidrro_el0
    ldrb w26, [x25, #CPU_FP_STALE]
    cbnz w26, 2f
1:  ldr x21, [sp, #FRAME_SP]
    msr elr_el1, x22
    msr spsr_el1, x23
    msr sp_el0, x21
    RESTORE_REGISTERS
    eret
2:  bl aarch64_fp_load
    b 1b
    /* The program counter is no user address: that is the program's fault. */
3:  mov x0, sp
    bl aarch64_return_wild
    b aarch64_user_return

/* _Noreturn void aarch64_user_enter(struct isa_frame *frame, uintptr_t stack_top): copy the frame
 * to the top of the (otherwise abandoned) kernel stack and leave through it. The two may overlap,
 * so the copy goes through aarch64_frame_move. Interrupts are off. */
    .globl aarch64_user_enter
aarch64_user_enter:
    sub x2, x1, #FRAME_SIZE
    /* Run the copy below both frames. */
    mov x3, sp
    cmp x3, x2
    csel x3, x3, x2, lo
    sub x3, x3, #FRAME_SIZE
    and sp, x3, #~15
    mov x19, x2
    mov x1, x0
    mov x0, x2
    mov x2, #FRAME_SIZE
    bl memmove
    mov sp, x19
    mov x29, xzr
    mov x30, xzr
    b aarch64_user_return

/* ---- from kernel code ---- */

/* x0 and x1 are needed for the look; flags are in SPSR. What is mapped of a stack is one piece that
 * ends at its end, so the lowest address says it all. Interrupts are masked: PAR_EL1 is ours. */
.macro STACK_ROOM
    msr sp_el0, x0
    mrs x0, tpidrro_el0
    str x1, [x0, #CPU_SCRATCH]
    mov x1, sp
    ldr x0, [x0, #CPU_STACK_LO]
    sub x1, x1, x0
    subs x1, x1, #STACK_RESERVE
    b.lo kernel_off_stack
    mrs x0, tpidrro_el0
    ldr x0, [x0, #CPU_STACK_SIZE]
    cmp x1, x0
    b.hi kernel_off_stack
    sub x0, sp, #STACK_RESERVE
    at s1e1w, x0
    isb
    mrs x1, par_el1
    tbz x1, #0, 1f
    adr x1, 1f
    b kernel_stack_grow
1:  mrs x0, tpidrro_el0
    ldr x1, [x0, #CPU_SCRATCH]
    mrs x0, sp_el0
.endm

kernel_sync:
    STACK_ROOM
    KERNEL_FRAME
    mrs x2, far_el1 /* from here on another fault may change it */
    add x0, sp, #16
    mov x1, x20
    bl aarch64_trap_kernel
    b kernel_return

/* The room is not mapped. On this CPU's own stack, all registers but x0 and x1 kept, back to x1.
 * No exception comes in between, so ESR, ELR, SPSR and FAR stay. */
kernel_stack_grow:
    mrs x0, tpidrro_el0
    ldr x0, [x0, #CPU_EMERGENCY]
    sub x0, x0, #176
    stp x1, x2, [x0, #0]
    stp x3, x4, [x0, #16]
    stp x5, x6, [x0, #32]
    stp x7, x8, [x0, #48]
    stp x9, x10, [x0, #64]
    stp x11, x12, [x0, #80]
    stp x13, x14, [x0, #96]
    stp x15, x16, [x0, #112]
    stp x17, x18, [x0, #128]
    mov x1, sp
    stp x30, x1, [x0, #144]
    mov sp, x0
    sub x0, x1, #STACK_RESERVE
    bl kernel_stack_fault
    mov x1, sp
    ldp x30, x2, [x1, #144]
    mov sp, x2
    tbz w0, #0, kernel_off_stack
    mov x0, x1
    ldp x1, x2, [x0, #0]
    ldp x3, x4, [x0, #16]
    ldp x5, x6, [x0, #32]
    ldp x7, x8, [x0, #48]
    ldp x9, x10, [x0, #64]
    ldp x11, x12, [x0, #80]
    ldp x13, x14, [x0, #96]
    ldp x15, x16, [x0, #112]
    ldp x17, x18, [x0, #128]
    ret x1

    /* Off the stack: report on this CPU's own and never come back. */
kernel_off_stack:
    mov x0, sp
    mrs x1, tpidrro_el0
    ldr x2, [x1, #CPU_EMERGENCY]
    mov sp, x2
    mov x1, x29
    bl aarch64_stack_overflow

kernel_irq_entry:
    STACK_ROOM
    KERNEL_FRAME
    add x0, sp, #16
    bl aarch64_irq_dispatch
    ldr x0, [sp, #16 + FRAME_PSTATE]
    tbnz x0, #7, kernel_return /* a wait with interrupts masked cannot get here; be safe */
    bl kernel_preempt
kernel_return:
    msr daifset, #6
    add sp, sp, #16
    ldp x22, x23, [sp, #FRAME_PC]
    msr elr_el1, x22
    msr spsr_el1, x23
    RESTORE_REGISTERS
    eret

kernel_serror:
    STACK_ROOM
    KERNEL_FRAME
    add x0, sp, #16
    bl aarch64_serror_kernel

bad_vector:
    KERNEL_FRAME
    add x0, sp, #16
    bl aarch64_bad_vector

/* ---- contexts ---- */

/* void aarch64_switch(uintptr_t *save_sp, uintptr_t load_sp). hal_ctx_init signs a new context's return address as it is
 * signed here. */
    .globl aarch64_switch
aarch64_switch:
    A64_PACIBSP
    sub sp, sp, #96
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    mov x2, sp
    str x2, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    add sp, sp, #96
    A64_AUTIBSP
    ret

/* The first code of a context: fn in x19, its argument in x20. */
    .globl aarch64_ctx_start
aarch64_ctx_start:
    mov x29, xzr
    mov x30, xzr
    mov x0, x20
    blr x19
    brk #1

    .section .note.GNU-stack, "", %progbits
