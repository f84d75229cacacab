/* SPDX-License-Identifier: BSD-3-Clause */
/* hal_test_user.S - position-independent user code for hal_test_kernel.c, which copies it to a user
 * page. Numbers of its private system calls: see there. */
#define NR_DONE 0x200

.macro DONE value
    movl \value, %edi
    movl $NR_DONE, %eax
    syscall
.endm

    .section .rodata
    .balign 4096
    .globl user_code_begin
user_code_begin:

/* All registers but rax, rcx, r11 and the red zone survive a system call; rdi calls of number 39
 * are made at one site, which the kernel patches after the first. */
    .globl user_syscalls
user_syscalls:
    movq %rdi, %rbx
    movq $0x1111, %rbp
    movq $0x2222, %r12
    movq $0x3333, %r13
    movq $0x4444, %r14
    movq $0x5555, %r15
    movq $0x6666, %rdi
    movq $0x7777, %rsi
    movq $0x8888, %rdx
    movq $0x9999, %r8
    movq $0xaaaa, %r9
    movq $0xbbbb, %r10
    movq $0xcccc, -8(%rsp)
    movq $0xdddd, -128(%rsp)
    movq %rsp, -64(%rsp)
    pcmpeqd %xmm7, %xmm7
1:  movl $39, %eax
    .globl user_syscalls_site
user_syscalls_site:
    syscall
    cmpq $1234, %rax
    jne 9f
    decq %rbx
    jnz 1b
    cmpq $0x1111, %rbp
    jne 9f
    cmpq $0x2222, %r12
    jne 9f
    cmpq $0x3333, %r13
    jne 9f
    cmpq $0x4444, %r14
    jne 9f
    cmpq $0x5555, %r15
    jne 9f
    cmpq $0x6666, %rdi
    jne 9f
    cmpq $0x7777, %rsi
    jne 9f
    cmpq $0x8888, %rdx
    jne 9f
    cmpq $0x9999, %r8
    jne 9f
    cmpq $0xaaaa, %r9
    jne 9f
    cmpq $0xbbbb, %r10
    jne 9f
    cmpq $0xcccc, -8(%rsp)
    jne 9f
    cmpq $0xdddd, -128(%rsp)
    jne 9f
    cmpq %rsp, -64(%rsp)
    jne 9f
    pcmpeqd %xmm6, %xmm6
    pcmpeqd %xmm7, %xmm6
    pmovmskb %xmm6, %eax
    cmpl $0xffff, %eax
    jne 9f
    DONE $1
9:  DONE $0

/* Faults: each site is left by the kernel moving the pc to rbx. */
    .globl user_faults
user_faults:
    leaq 1f(%rip), %rbx
    movq 0x100, %rax /* unmapped */
1:  leaq 2f(%rip), %rbx
    movl $1, user_code_begin(%rip) /* read-only */
2:  leaq 3f(%rip), %rbx
    ud2
3:  leaq 4f(%rip), %rbx
    hlt
4:  leaq 5f(%rip), %rbx
    xorl %ecx, %ecx
    xorl %edx, %edx
    divl %ecx
5:  leaq 6f(%rip), %rbx
    int3
    nop
6:  leaq 7f(%rip), %rbx
    movabsq $0x800000000000, %rax
    movq (%rax), %rax /* non-canonical */
7:  leaq 8f(%rip), %rbx
    movabsq $0x31337000, %rax
    jmp *%rax /* execute a hole */
8:  DONE $1

/* Spin until the kernel moves the pc. */
    .globl user_spin
user_spin:
    pause
    jmp user_spin

/* Keep a pattern made from rdi in vector registers and FS:0 for rsi rounds. */
    .globl user_vectors
user_vectors:
    movq %rdi, %xmm0
    punpcklqdq %xmm0, %xmm0
    movdqa %xmm0, %xmm1
    movdqa %xmm0, %xmm15
    movq %rdi, %r8
1:  movdqa %xmm0, %xmm2
    pcmpeqd %xmm1, %xmm2
    pmovmskb %xmm2, %eax
    cmpl $0xffff, %eax
    jne 9f
    movdqa %xmm15, %xmm2
    pcmpeqd %xmm0, %xmm2
    pmovmskb %xmm2, %eax
    cmpl $0xffff, %eax
    jne 9f
    cmpq %r8, %rdi
    jne 9f
    cmpq %fs:0, %rdi
    jne 9f
    decq %rsi
    jnz 1b
    DONE $1
9:  DONE $0

/* Write one word to each of rsi pages at rdi, rdx times over. */
    .globl user_touch
user_touch:
1:  movq %rdi, %rax
    movq %rsi, %rcx
2:  incq (%rax)
    addq $4096, %rax
    decq %rcx
    jnz 2b
    decq %rdx
    jnz 1b
    DONE $1

/* Raise a signal (system call 0x201), whose handler spoils everything; then check. */
    .globl user_signal
user_signal:
    movq $0x1234, %rbx
    pcmpeqd %xmm3, %xmm3
    movq $0x4321, -8(%rsp)
    stc
    movl $0x201, %eax
    syscall
    cmpq $0x1234, %rbx
    jne 9f
    cmpq $77, %rax
    jne 9f
    cmpq $0x4321, -8(%rsp)
    jne 9f
    pmovmskb %xmm3, %eax
    cmpl $0xffff, %eax
    jne 9f
    DONE $1
9:  DONE $0
    .globl user_handler
user_handler:
    cmpl $10, %edi
    jne 9b
    xorl %ebx, %ebx
    pxor %xmm3, %xmm3
    ret
    .globl user_restorer
user_restorer:
    movq $15, %rax
    syscall

    .balign 4096
    .globl user_code_end
user_code_end:
    .section .note.GNU-stack, "", @progbits
