/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core.h - a core file of a machine that has panicked, for gdb (ELF gABI; Linux core(5)).
 *
 * The machine sends the beginning of the file over the framed console: headers, registers of the
 * CPUs, and where in the file each piece of RAM belongs. Whoever started it has the RAM itself, and
 * puts it there (tools/cli/corefile.c). It does so only if the command line has
 * core=PATH, the kernel's own file, which the core names for who opens it.
 */
#ifndef SELKIE_COMMON_CORE_H
#define SELKIE_COMMON_CORE_H

#include "common/bootmem.h"

struct core_image {
    uintptr_t va;
    paddr_t pa;
    size_t len;
    uintptr_t slide; /* how far from where it was linked for */
};
/* Boot: all RAM, used or not, and where the kernel's image lies. */
void core_init(const struct bootmem *ram, const struct core_image *image);

/* From the backend. Store the vector registers that the executing context has live in its memory:
 * each CPU, before it stops for good. And where that is for what CPU `cpu` executes; NULL: it is no
 * program's thread. Panic-safe. */
void core_fp_keep(void);
const void *core_fp_area(unsigned cpu);

#endif
