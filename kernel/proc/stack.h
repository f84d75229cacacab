/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stack.h - the stack that a program finds when it starts.
 *
 * From the stack pointer upwards (System V ABI, x86-64 3.4.1; the same on arm64): argc, argv[],
 * NULL, envp[], NULL, auxv pairs, AT_NULL; then the bytes they point to: random, platform, argument
 * strings, environment strings, the program's file name, a word of zero.
 */
#ifndef SELKIE_PROC_STACK_H
#define SELKIE_PROC_STACK_H

#include "lib/types.h"

enum {
    AT_NULL = 0,
    AT_PHDR = 3,
    AT_PHENT = 4,
    AT_PHNUM = 5,
    AT_PAGESZ = 6,
    AT_BASE = 7,
    AT_FLAGS = 8,
    AT_ENTRY = 9,
    AT_UID = 11,
    AT_EUID = 12,
    AT_GID = 13,
    AT_EGID = 14,
    AT_PLATFORM = 15,
    AT_HWCAP = 16,
    AT_CLKTCK = 17,
    AT_SECURE = 23,
    AT_RANDOM = 25,
    AT_HWCAP2 = 26,
    AT_RSEQ_FEATURE_SIZE = 27,
    AT_RSEQ_ALIGN = 28,
    AT_EXECFN = 31,
    AT_SYSINFO_EHDR = 33,
    AT_MINSIGSTKSZ = 51,
};

#define STACK_AUXV_MAX 28 /* pairs that the caller may give */
struct stack_spec {
    char *const *argv, *const *envp; /* NULL-terminated */
    const char *exec_name;
    uint8_t random[16];
    /* Pairs; AT_RANDOM, AT_PLATFORM, AT_EXECFN and AT_NULL are added. */
    uint64_t auxv[2 * STACK_AUXV_MAX];
    unsigned auxv_count; /* pairs */
};
struct stack_image {
    size_t argc, envc;
    uintptr_t sp, strings; /* strings: the lowest byte of the texts */
    uintptr_t arg_lo, arg_hi, env_lo, env_hi, exec_name, platform, random;
    uint64_t auxv[2 * (STACK_AUXV_MAX + 4)]; /* as written, AT_NULL included */
    unsigned auxv_count;
};

/* Bytes of an argument list: the limit is Linux's (MAX_ARG_STRLEN per string, a quarter of the
 * stack limit in all). -E2BIG. */
#define STACK_STRING_MAX 131072
/* Decide every address for a stack ending at `top`. -E2BIG: more than limit bytes. */
int must_check stack_plan(const struct stack_spec *spec, uintptr_t top, size_t limit,
                          struct stack_image *out);
/* Write it. -EFAULT. */
int must_check stack_write(const struct stack_spec *spec, struct stack_image *image);

#endif
