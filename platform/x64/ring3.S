/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring3.S - ways into the kernel and back where everything runs in ring 3 (ring3.c).
 *
 * Exceptions arrive as in entry.S, on an interrupt stack, but through trap gates into ring 3, where
 * the interrupt flag stays set for ever. Interrupts go through gates into ring 0: a few
 * instructions there either send the interrupted code to ring3_irq or, while cpu->irq_on is 0, note
 * the vector in cpu->irq_noted and go back. (By the book the local APIC would send no second one
 * then, as it has not seen the end of the first; the hypervisor that all this is for does.) Whoever
 * sets irq_on looks at irq_noted afterwards, and so does every way out that sets it.
 *
 * Code here runs where no frame could be built (on the program's stack, on an interrupt stack)
 * or between the look at irq_noted and the program, so its place decides too, whatever irq_on is:
 *
 *   x64_ring3_begin ..     the vector is noted
 *   ring3_exit_user ..     noted, and the way out to user code starts again: ring3_user_again
 *   ring3_exit_kernel ..   noted, and the way out to kernel code starts again: ring3_kernel_again
 *   x64_ring3_end
 *
 * The frame of a way out stays whole until its last instruction, which is why starting again works.
 * In frames of kernel code the interrupt flag stands for irq_on.
 */
#include "entry_macros.inc"

/* Flags of the interrupted program that kernel code must not run with: in ring 3 AC makes
 * unaligned accesses fault, and NT makes IRETQ fault. IF cannot change. */
.macro CLEAN_FLAGS
    pushq $RFLAGS_IF | 2
    popfq
.endm

    .text
    .balign 16
    .globl x64_ring3_begin
x64_ring3_begin:

/* ---- system calls ---- */

/* LSTAR. By the book in ring 0 with interrupts off; a hypervisor that runs nothing but ring 3 may
 * come here in ring 3. (FMASK is 0 then: IF, once clear in ring 3, would stay so.) */
    .globl x64_ring3_syscall
x64_ring3_syscall:
    movq %rsp, %gs:CPU_USER_SP
    movq %gs:CPU_KSTACK, %rsp
    movq %rax, FRAME_RAX(%rsp)
    movl %cs, %eax
    testb $3, %al
    jnz 1f
    movq %rsp, %rax
    pushq $X64_USER_DS
    pushq %rax
    pushq $RFLAGS_IF | 2
    pushq $X64_USER_CS
    leaq 1f(%rip), %rax
    pushq %rax
    iretq
1:  movq FRAME_RAX(%rsp), %rax
    movb $0, %gs:CPU_IRQ_ON + 1
    movq $FRAME_TRAPPED_SYSCALL, FRAME_TRAPPED(%rsp)
    CLEAN_FLAGS
    jmp x64_syscall_common

/* As x64_direct_entry; the trampoline has not touched interrupts. */
    .globl x64_ring3_direct_entry
x64_ring3_direct_entry:
    movq %rsp, %gs:CPU_USER_SP
    movq %gs:CPU_KSTACK, %rsp
    movb $0, %gs:CPU_IRQ_ON + 1
    pushfq
    popq %r11
    movq $0, FRAME_TRAPPED(%rsp)
    CLEAN_FLAGS
    jmp x64_syscall_common

/* ---- exceptions ---- */

ring3_trap:
    pushq %rax
    pushq %rcx
    pushq %rdx
    movl $X64_USER_DS, %eax /* an interrupt stack may come with a null SS */
    movl %eax, %ss
    movl %gs:CPU_IRQ_ON, %eax
    andq $~RFLAGS_IF, AT_RFLAGS(%rsp)
    orq %rax, AT_RFLAGS(%rsp)
    movb $0, %gs:CPU_IRQ_ON + 1
    CLEAN_FLAGS
    cmpl $VECTOR_PF, AT_VECTOR(%rsp)
    je ring3_trap_cr2
ring3_trap_where:
    IF_KERNEL_RIP AT_RIP(%rsp), %rcx, ring3_trap_kernel
    movq %gs:CPU_KSTACK, %rcx
    FRAME_FROM_IST
    xorl %ebp, %ebp
    call x64_trap_user
    jmp x64_user_return

ring3_trap_kernel:
    /* Where the frame goes: see trap_kernel in entry.S. */
    movl AT_VECTOR(%rsp), %eax
    cmpl $VECTOR_DB, %eax
    je ring3_trap_stay
    cmpl $VECTOR_PF, %eax
    jne 1f
    IF_NOT_UACCESS AT_RIP(%rsp), %rcx, ring3_trap_stay
    movq %gs:CPU_CR2, %rcx
    shrq $X64_USER_END_BIT, %rcx
    jnz ring3_trap_stay
1:  movq AT_RSP(%rsp), %rcx
    andq $-16, %rcx
    subq $FRAME_SIZE, %rcx
ring3_trap_frame:
    FRAME_FROM_IST
    movq %gs:CPU_CR2, %rcx
    call x64_trap_kernel
    jmp ring3_return_kernel

/* CR2 is to be read in ring 0, and only once, as going there takes long. */
ring3_trap_cr2:
    pushq %r8
    leaq x64_gate_read_cr2(%rip), %r8
    call x64_ring3_gate
    popq %r8
    movq %rax, %gs:CPU_CR2
    jmp ring3_trap_where

ring3_trap_stay:
    leaq -FRAME_SIZE(%rsp), %rcx
    andq $-16, %rcx
    jmp ring3_trap_frame

.macro TRAP3 vector, error
    .balign 16
x64_ring3_trap_\vector:
    .if \error == 0
    pushq $0
    .endif
    pushq $\vector
    jmp ring3_trap
.endm
    .irp vector, 0,1,3,4,5,6,7,9,15,16,19,20,22,23,24,25,26,27,28,31
    TRAP3 \vector, 0
    .endr
    .irp vector, 10,11,12,13,14,17,21,29,30
    TRAP3 \vector, 1
    .endr

/* ---- interrupts ---- */

/* From ring3_irq0: all registers are those of the interrupted code, the rest is in cpu->int_*. */
ring3_irq:
    movq %rax, %gs:CPU_INT_RAX
    IF_KERNEL_RIP %gs:CPU_INT_RIP, %rax, 1f
    movq %gs:CPU_KSTACK, %rsp
    jmp 2f
1:  andq $-16, %rsp
    subq $FRAME_SIZE, %rsp
2:  movq %gs:CPU_INT_RIP, %rax
    movq %rax, FRAME_RIP(%rsp)
    movq %gs:CPU_INT_RAX, %rax
    movq %rax, FRAME_RAX(%rsp)
    movq %rcx, FRAME_RCX(%rsp)
    movq %rdx, FRAME_RDX(%rsp)
    SAVE_REST %rsp
    movq %gs:CPU_INT_RSP, %rax
    movq %rax, FRAME_RSP(%rsp)
    movq %gs:CPU_INT_RFLAGS, %rax
    movq %rax, FRAME_RFLAGS(%rsp)
    movq $X64_USER_CS, FRAME_CS(%rsp)
    movq $X64_USER_DS, FRAME_SS(%rsp)
    movq $FRAME_TRAPPED_FULL, FRAME_TRAPPED(%rsp)
    movq $-1, FRAME_ORIG_RAX(%rsp)
    movq %rsp, %rdi
    movl %gs:CPU_INT_VECTOR, %esi
    xorl %edx, %edx
    IF_KERNEL_RIP FRAME_RIP(%rsp), %rax, 3f
    xorl %ebp, %ebp
    call x64_trap_user
    jmp x64_user_return
3:  call x64_trap_kernel

/* ---- the ways out ---- */

/* To kernel code: rsp = the frame. */
ring3_return_kernel:
    testl $RFLAGS_IF, FRAME_RFLAGS(%rsp)
    jz 1f
    movb $RFLAGS_IF >> 8, %gs:CPU_IRQ_ON + 1
    jmp ring3_exit_kernel
1:  LOAD_ALL
    addq $FRAME_RIP, %rsp
    iretq

ring3_kernel_again:
    movb $0, %gs:CPU_IRQ_ON + 1
    CLEAN_FLAGS
    movq %rsp, %rdi
    movl $X64_VECTOR_NOTED, %esi
    xorl %edx, %edx
    call x64_trap_kernel
    jmp ring3_return_kernel

ring3_user_again:
    movq %gs:CPU_KSTACK, %rsp
    movb $0, %gs:CPU_IRQ_ON + 1
    CLEAN_FLAGS
    xorl %ebp, %ebp
    movq %rsp, %rdi
    movl $X64_VECTOR_NOTED, %esi
    xorl %edx, %edx
    call x64_trap_user
    jmp x64_user_return

/* To user code, in place of the end of x64_user_return (entry.S, which explains it). */
    .globl x64_ring3_return
x64_ring3_return:
    movq FRAME_RIP(%rsp), %rcx
    movq %rcx, %rax
    shrq $X64_USER_END_BIT, %rax
    jnz x64_user_return_wild
    movq FRAME_RFLAGS(%rsp), %rax
    testb $FRAME_TRAPPED_FULL, FRAME_TRAPPED(%rsp)
    jnz ring3_return_full
    cmpq %rcx, FRAME_RCX(%rsp)
    jne ring3_return_full
    testl $RFLAGS_TF, %eax
    jnz ring3_return_full
    movb $RFLAGS_IF >> 8, %gs:CPU_IRQ_ON + 1
    jmp ring3_exit_user

ring3_return_full:
    movq $X64_USER_CS, FRAME_CS(%rsp)
    movq $X64_USER_DS, FRAME_SS(%rsp)
    movb $RFLAGS_IF >> 8, %gs:CPU_IRQ_ON + 1
    jmp ring3_exit_full

ring3_exit_user:
    cmpl $0, %gs:CPU_IRQ_NOTED
    jne ring3_user_again
    pushq %rax
    popfq
    LOAD_ALL
    movq FRAME_RSP(%rsp), %rsp
    jmp *%rcx

ring3_exit_full:
    cmpl $0, %gs:CPU_IRQ_NOTED
    jne ring3_user_again
    LOAD_ALL
    addq $FRAME_RIP, %rsp
    iretq

ring3_exit_kernel:
    cmpl $0, %gs:CPU_IRQ_NOTED
    jne ring3_kernel_again
    LOAD_ALL
    addq $FRAME_RIP, %rsp
ring3_iret_kernel:
    iretq
    .globl x64_ring3_end
x64_ring3_end:

/* hal_irq_enable() in ring 3: keeps all registers but the flags. The thread may be moved to another
 * CPU between the two instructions; the way out of the interrupt that did so has looked here. */
    .globl x64_ring3_irq_on
x64_ring3_irq_on:
    movb $RFLAGS_IF >> 8, %gs:CPU_IRQ_ON + 1
    cmpl $0, %gs:CPU_IRQ_NOTED
    jne 1f
    ret
1:  pushq %rbp
    movq %rsp, %rbp
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    andq $-16, %rsp
    call x64_ring3_drain
    leaq -72(%rbp), %rsp
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    popq %rbp
    ret

/* ---- ring 0 ---- */

/* From rsp: rax | vector | rip cs rflags rsp ss */
#define AT0_VECTOR 8
#define AT0_RIP 16
#define AT0_CS 24
#define AT0_RFLAGS 32
#define AT0_RSP 40
#define AT0_SS 48

ring3_irq0:
    pushq %rax
    movq AT0_RIP(%rsp), %rax
    testb $3, AT0_CS(%rsp)
    jz 5f
    movq $X64_USER_DS, AT0_SS(%rsp) /* see ring3_trap */
    cmpb $0, %gs:CPU_IRQ_ON + 1
    je 4f
    subq $x64_ring3_begin, %rax
    cmpq $x64_ring3_end - x64_ring3_begin, %rax
    jae 6f
    cmpq $ring3_exit_user - x64_ring3_begin, %rax
    jb 4f
    cmpq $ring3_exit_kernel - x64_ring3_begin, %rax
    jb 2f
    cmpq $ring3_iret_kernel - x64_ring3_begin, %rax
    jne 1f
    subq $FRAME_RIP, AT0_RSP(%rsp)
1:  leaq ring3_kernel_again(%rip), %rax
    jmp 3f
2:  leaq ring3_user_again(%rip), %rax
3:  movq %rax, AT0_RIP(%rsp)
    andl $~(RFLAGS_TF | RFLAGS_NT | RFLAGS_AC), AT0_RFLAGS(%rsp)
4:  movl AT0_VECTOR(%rsp), %eax
    subl $X64_VECTOR_TIMER, %eax
    btsl %eax, %gs:CPU_IRQ_NOTED
    popq %rax
    addq $8, %rsp
    iretq
    /* Ring 0 has interrupts on in ring3_gate_idle only: end that. */
5:  leaq ring3_idle_end(%rip), %rax
    movq %rax, AT0_RIP(%rsp)
    andl $~RFLAGS_IF, AT0_RFLAGS(%rsp)
    jmp 4b
6:  movq AT0_RIP(%rsp), %rax
    movq %rax, %gs:CPU_INT_RIP
    movq AT0_RSP(%rsp), %rax
    movq %rax, %gs:CPU_INT_RSP
    movl AT0_RFLAGS(%rsp), %eax
    movq %rax, %gs:CPU_INT_RFLAGS
    movl AT0_VECTOR(%rsp), %eax
    movl %eax, %gs:CPU_INT_VECTOR
    movb $0, %gs:CPU_IRQ_ON + 1
    leaq ring3_irq(%rip), %rax
    movq %rax, AT0_RIP(%rsp)
    andl $~(RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC), AT0_RFLAGS(%rsp)
    popq %rax
    addq $8, %rsp
    iretq

.macro IRQ0 vector
    .balign 16
x64_ring3_trap_\vector:
    pushq $\vector
    jmp ring3_irq0
.endm
    .irp vector, 32,33,34,35,36,37,38,39,40,41,42,43,44,45,46
    IRQ0 \vector
    .endr
    /* Spurious: nothing to do and no end to signal. */
x64_ring3_trap_47:
    iretq

/* int3. From x64_ring3_gate: a request, answered by the code at r8, which ends in iretq. From
 * anywhere else a break point: on as if its gate had led to ring 3. */
ring3_int3:
    pushq %rax
    leaq ring3_gate_int3(%rip), %rax
    cmpq %rax, 8(%rsp)
    jne 1f
    popq %rax
    jmp *%r8
1:  pushq %rcx
    movq %gs:CPU_TRAP_TOP, %rcx
    .irp word, 0,8,16,24,32
    movq 16 + \word(%rsp), %rax
    movq %rax, \word - 40(%rcx)
    .endr
    subq $40, %rcx
    movq %rcx, 16 + 24(%rsp)
    leaq x64_ring3_trap_3(%rip), %rax
    movq %rax, 16(%rsp)
    andl $~(RFLAGS_TF | RFLAGS_NT), 16 + 16(%rsp)
    popq %rcx
    popq %rax
    iretq

/* uint64_t x64_ring3_gate(uint64_t a, uint64_t b, void *c, uint64_t unused, const char *code)
 * Also called in ring 0, before x64_ring3_drop and after what stops the machine: then without the
 * int3, which the interpreter does not know. */
    .globl x64_ring3_gate
x64_ring3_gate:
    movl %cs, %eax
    testb $3, %al
    jz 1f
    int3
ring3_gate_int3:
    ret
1:  movq %rsp, %rax
    pushq $X64_DS
    pushq %rax
    pushfq
    pushq $X64_CS
    leaq ring3_gate_int3(%rip), %rax
    pushq %rax
    jmp *%r8

.macro GATE name
    .globl x64_gate_\name
x64_gate_\name:
.endm
GATE rdmsr
    movl %edi, %ecx
    rdmsr
    shlq $32, %rdx
    orq %rdx, %rax
    iretq
GATE wrmsr
    movl %edi, %ecx
    movl %esi, %eax
    movq %rsi, %rdx
    shrq $32, %rdx
    wrmsr
    iretq
GATE cpuid /* c = struct x64_cpuid * */
    pushq %rbx
    movq %rdx, %r9
    movl %edi, %eax
    movl %esi, %ecx
    cpuid
    movl %eax, (%r9)
    movl %ebx, 4(%r9)
    movl %ecx, 8(%r9)
    movl %edx, 12(%r9)
    popq %rbx
    iretq
GATE read_cr2
    movq %cr2, %rax
    iretq
GATE read_cr3
    movq %cr3, %rax
    iretq
GATE write_cr3
    movq %rdi, %cr3
    iretq
GATE flush_global
    movq %cr4, %rax
    movq %rax, %rcx
    andl $~0x80, %ecx
    movq %rcx, %cr4
    movq %rax, %cr4
    iretq
GATE invlpg /* [a, b) */
1:  invlpg (%rdi)
    addq $4096, %rdi
    cmpq %rsi, %rdi
    jne 1b
    iretq
/* Sleep unless an interrupt has been noted. What ends the sleep is noted too, by ring3_irq0. */
GATE idle
    cmpl $0, %gs:CPU_IRQ_NOTED
    jne ring3_idle_end
    sti
    hlt
    cli
ring3_idle_end:
    iretq
GATE stop
    cli
    hlt
    jmp x64_gate_stop
GATE reset /* c = an empty table register */
    lidt (%rdx)
    int3

/* bool x64_ring3_fsgsbase(void): does RDFSBASE work? trap.c mends the fault. */
    .globl x64_ring3_fsgsbase, x64_ring3_no_fsgsbase
x64_ring3_fsgsbase:
    rdfsbase %rax
    movl $1, %eax
    ret
x64_ring3_no_fsgsbase:
    xorl %eax, %eax
    ret

/* bool x64_ring3_syscall_stays(void): with x64_ring3_probe in LSTAR and no interrupt that could
 * come, does SYSCALL lead to ring 3? */
    .globl x64_ring3_syscall_stays, x64_ring3_probe
x64_ring3_syscall_stays:
    syscall
    ret
x64_ring3_probe:
    movl %cs, %eax
    andl $3, %eax
    jz 1f
    movl $1, %eax
    jmp *%rcx
1:  movq %rsp, %rdx
    pushq $X64_USER_DS
    pushq %rdx
    pushq %r11
    pushq $X64_USER_CS
    pushq %rcx
    iretq

/* void x64_ring3_drop(void): from ring 0 to ring 3, where it returns. */
    .globl x64_ring3_drop
x64_ring3_drop:
    popq %rcx
    movq %rsp, %rax
    pushq $X64_USER_DS
    pushq %rax
    pushq $RFLAGS_IF | 2
    pushq $X64_USER_CS
    pushq %rcx
    iretq

    .section .rodata
    .globl x64_ring3_trap_table
    .balign 8
x64_ring3_trap_table:
    .irp vector, 0,1
    .quad x64_ring3_trap_\vector
    .endr
    .quad 0
    .quad ring3_int3
    .irp vector, 4,5,6,7
    .quad x64_ring3_trap_\vector
    .endr
    .quad 0
    .irp vector, 9,10,11,12,13,14,15,16,17
    .quad x64_ring3_trap_\vector
    .endr
    .quad 0
    .irp vector, 19,20,21,22,23,24,25,26,27,28,29,30,31
    .quad x64_ring3_trap_\vector
    .endr
    .irp vector, 32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47
    .quad x64_ring3_trap_\vector
    .endr

    .section .note.GNU-stack, "", @progbits
