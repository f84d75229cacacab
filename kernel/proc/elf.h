/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * elf.h - what an ELF file asks for, decided from its bytes alone.
 *
 * elf_validate is pure: bytes in, plan out; no allocation, no lock, no global state. It is
 * the fuzz target for everything an executable can say. A plan that it accepts can be mapped
 * without further checks: no sum in it wraps, and segments ascend.
 */
#ifndef SELKIE_PROC_ELF_H
#define SELKIE_PROC_ELF_H

#include "lib/types.h"

#define ELF_SEGMENTS_MAX 64
#define ELF_INTERP_MAX 4096 /* PATH_MAX */
#define ELF_HEAD_MAX 65536  /* Linux: program headers fit in 64 KiB */

struct elf_segment {
    uint64_t vaddr, memsz; /* as in the file: not aligned */
    uint64_t off, filesz;
    uint32_t prot; /* PROT_* */
};
struct elf_plan {
    bool relocatable; /* ET_DYN: addresses are relative to a base of the loader's choice */
    bool exec_stack;
    uint64_t entry;
    uint64_t lo, hi; /* page-aligned span of all segments */
    uint64_t align;  /* of the base; at least a page */
    uint64_t phdr;   /* address of the program headers in memory, 0 if not loaded */
    unsigned phnum;
    uint64_t interp_off; /* PT_INTERP; len 0: none. The path, its NUL included */
    uint64_t interp_len;
    uint64_t property_off; /* PT_GNU_PROPERTY; len 0: none */
    uint64_t property_len;
    unsigned segment_count;
    struct elf_segment segment[ELF_SEGMENTS_MAX];
};

/* How many bytes of the file elf_validate wants to see, given its first `len`; 0 if that cannot be
 * known (too short, or not ELF). */
size_t elf_head_need(const void *head, size_t len);
/* 0, or -ENOEXEC with *why = a constant phrase. `head`: the first head_len bytes of the file. */
int must_check elf_validate(const void *head, size_t head_len, uint64_t file_size,
                            struct elf_plan *out, const char **why);

/* Does the file promise landing pads for pointers to its code? `note`: its PT_GNU_PROPERTY, as an
 * AArch64 file has it. 0, or -ENOEXEC if it is malformed. */
#define ELF_PROPERTY_MAX 1024
int must_check elf_property_landing(const void *note, size_t len, bool *landing);

#endif
