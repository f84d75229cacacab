/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load.h - putting a planned ELF file into an address space, and choosing addresses (ASLR).
 */
#ifndef SELKIE_PROC_LOAD_H
#define SELKIE_PROC_LOAD_H

#include "fs/file.h"
#include "mm/space.h"
#include "proc/elf.h"

/* Where things of one program go. Random parts are drawn once per execve. */
struct load_layout {
    vaddr_t image_base; /* for position-independent programs */
    vaddr_t stack_top;
    vaddr_t mmap_top;
    uint64_t brk_gap; /* between the image's end and the start of the heap */
};
void load_layout_choose(struct load_layout *out, uint64_t stack_limit);

/* Map all segments. A relocatable file goes to `base` (0: wherever there is room); *bias is
 * what to add to the file's addresses. `space` need not be active. -ENOMEM; -ENOEXEC: fixed
 * addresses that programs cannot have. On failure the caller drops the space. */
int must_check load_map(struct space *space, const struct elf_plan *plan, struct file *file,
                        vaddr_t base, vaddr_t *bias);
/* Zero what lies behind the file's bytes in the last page of each segment. In the calling thread's
 * space. */
int must_check load_zero_tails(const struct elf_plan *plan, vaddr_t bias);

#endif
