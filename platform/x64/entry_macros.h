/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * entry_macros.h - building and loading a frame: what entry.S and ring3.S share. For .S only.
 */
#ifndef SELKIE_X64_ENTRY_MACROS_H
#define SELKIE_X64_ENTRY_MACROS_H

#include "hal_isa.h"
#include "isa/frame_offsets.h"
#include "layout.h"
#include "x64_alt.h"

#define RFLAGS_IF_BIT 9
#define RFLAGS_TF 0x100
#define RFLAGS_IF 0x200
#define RFLAGS_DF 0x400
#define RFLAGS_NT 0x4000
#define RFLAGS_AC 0x40000
#define VECTOR_DB 1
#define VECTOR_PF 14

/* Registers that no stub has touched, into the frame at \base. */
.macro SAVE_REST base
    movq %rbx, FRAME_RBX(\base)
    movq %rsi, FRAME_RSI(\base)
    movq %rdi, FRAME_RDI(\base)
    movq %rbp, FRAME_RBP(\base)
    movq %r8, FRAME_R8(\base)
    movq %r9, FRAME_R9(\base)
    movq %r10, FRAME_R10(\base)
    movq %r11, FRAME_R11(\base)
    movq %r12, FRAME_R12(\base)
    movq %r13, FRAME_R13(\base)
    movq %r14, FRAME_R14(\base)
    movq %r15, FRAME_R15(\base)
.endm

/* All general registers but rsp, from the frame at rsp. */
.macro LOAD_ALL
    movq FRAME_RAX(%rsp), %rax
    movq FRAME_RBX(%rsp), %rbx
    movq FRAME_RCX(%rsp), %rcx
    movq FRAME_RDX(%rsp), %rdx
    movq FRAME_RSI(%rsp), %rsi
    movq FRAME_RDI(%rsp), %rdi
    movq FRAME_RBP(%rsp), %rbp
    movq FRAME_R8(%rsp), %r8
    movq FRAME_R9(%rsp), %r9
    movq FRAME_R10(%rsp), %r10
    movq FRAME_R11(%rsp), %r11
    movq FRAME_R12(%rsp), %r12
    movq FRAME_R13(%rsp), %r13
    movq FRAME_R14(%rsp), %r14
    movq FRAME_R15(%rsp), %r15
.endm

/* An IST stack holds, from rsp: rdx rcx rax | vector | error | rip cs rflags rsp ss */
#define AT_RDX 0
#define AT_RCX 8
#define AT_RAX 16
#define AT_VECTOR 24
#define AT_ERROR 32
#define AT_RIP 40
#define AT_CS 48
#define AT_RFLAGS 56
#define AT_RSP 64
#define AT_SS 72

/* Complete the frame at rcx and continue on it; rdi, rsi, rdx become the C arguments. */
.macro FRAME_FROM_IST
    SAVE_REST %rcx
    movq AT_RAX(%rsp), %rax
    movq %rax, FRAME_RAX(%rcx)
    movq AT_RCX(%rsp), %rax
    movq %rax, FRAME_RCX(%rcx)
    movq AT_RDX(%rsp), %rax
    movq %rax, FRAME_RDX(%rcx)
    movq AT_RIP(%rsp), %rax
    movq %rax, FRAME_RIP(%rcx)
    movq AT_CS(%rsp), %rax
    movq %rax, FRAME_CS(%rcx)
    movq AT_RFLAGS(%rsp), %rax
    movq %rax, FRAME_RFLAGS(%rcx)
    movq AT_RSP(%rsp), %rax
    movq %rax, FRAME_RSP(%rcx)
    movq AT_SS(%rsp), %rax
    movq %rax, FRAME_SS(%rcx)
    movq $FRAME_TRAPPED_FULL, FRAME_TRAPPED(%rcx)
    movq $-1, FRAME_ORIG_RAX(%rcx)
    movl AT_VECTOR(%rsp), %esi
    movl AT_ERROR(%rsp), %edx
    movq %rcx, %rdi
    movq %rcx, %rsp
    cld
.endm

#endif
