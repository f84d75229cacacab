/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_test_user_x64.S - the program that hal_test_kernel.c runs as user code at 0x400000.
 * Exits with 42 if all went well, otherwise with the number of the failed check.
 */
/* void test_clobber(void): what a call may change is changed. */
    .text
    .globl test_clobber
test_clobber:
    movabsq $0x5e1c1e5e1c1e0000, %rax
    movabsq $0x5e1c1e5e1c1e0001, %rcx
    movabsq $0x5e1c1e5e1c1e0002, %rdx
    movabsq $0x5e1c1e5e1c1e0003, %rsi
    movabsq $0x5e1c1e5e1c1e0004, %rdi
    movabsq $0x5e1c1e5e1c1e0005, %r8
    movabsq $0x5e1c1e5e1c1e0006, %r9
    movabsq $0x5e1c1e5e1c1e0007, %r10
    movabsq $0x5e1c1e5e1c1e0008, %r11
    ret

    .section .rodata.test_user, "a"
    .globl test_user_begin, test_user_end, test_user_resume
test_user_begin:
    /* 1: six arguments, result, preserved registers */
    movq $1, %rdi
    movq $2, %rsi
    movq $3, %rdx
    movq $4, %r10
    movq $5, %r8
    movq $6, %r9
    movq $0x1111, %rbx
    movq $0x2222, %rbp
    movq $0x3333, %r12
    movl $1, %eax
    stc
    syscall
    movl $1, %edi
    jnc fail /* flags are kept */
    cmpq $654321, %rax
    jne fail
    cmpq $0x1111, %rbx
    jne fail
    cmpq $0x2222, %rbp
    jne fail
    cmpq $0x3333, %r12
    jne fail
    cmpq $3, %rdx
    jne fail
    /* 2: a page that the fault handler maps */
    movl $2, %edi
    movq $0x77, 0x600000
    cmpq $0x77, 0x600000
    jne fail
    /* 3: an illegal instruction, resumed behind it */
    movl $3, %edi
    ud2
    jmp fail
test_user_resume:
    /* 4: red zone, vector registers and all others survive interrupts */
    movq $1, %rdi
    movl $1, %eax
    syscall
    movl $4, %edi
    movq $0x123456789, %rax
    movl $2000000, %ecx
    movq %rax, %xmm5
    movl $100, %ebx
    movl $101, %edx
    movl $102, %esi
    movl $103, %ebp
    movl $104, %r8d
    movl $105, %r9d
    movl $106, %r10d
    movl $107, %r11d
    movl $108, %r12d
    movl $109, %r13d
    movl $110, %r14d
    movl $111, %r15d
    movq %rax, -8(%rsp)
    movq %rax, -128(%rsp)
    movq %rax, -64(%rsp)
1:  cmpq %rax, -8(%rsp)
    jne fail
    cmpq %rax, -128(%rsp)
    jne fail
    decl %ecx
    jnz 1b
    cmpq %rax, -64(%rsp)
    jne fail
    cmpq $100, %rbx
    jne fail
    cmpq $101, %rdx
    jne fail
    cmpq $102, %rsi
    jne fail
    cmpq $103, %rbp
    jne fail
    cmpq $104, %r8
    jne fail
    cmpq $105, %r9
    jne fail
    cmpq $106, %r10
    jne fail
    cmpq $107, %r11
    jne fail
    cmpq $108, %r12
    jne fail
    cmpq $109, %r13
    jne fail
    cmpq $110, %r14
    jne fail
    cmpq $111, %r15
    jne fail
    movq %xmm5, %rdx
    cmpq %rax, %rdx
    jne fail
    /* 5: an unknown call */
    movl $5, %edi
    movl $999, %eax
    syscall
    cmpq $-38, %rax
    jne fail
    movl $42, %edi
fail:
    movl $2, %eax
    syscall
    ud2
test_user_end:
    .section .note.GNU-stack, "", @progbits
