/* SPDX-License-Identifier: BSD-3-Clause */
/* elfcore.h - the layout of core files (ELF gABI; core(5), linux/elfcore.h), for those of programs
 * (kernel/proc/coredump.c) and of machines (platform/common/core.c). */
#ifndef SELKIE_ELFCORE_H
#define SELKIE_ELFCORE_H

#include "isa.h"
#include "lib/elf64.h"

#define ELFCORE_SEGMENTS_MAX 60000u /* their number has 16 bits */
#define ELFCORE_PT_LOAD 1u
#define ELFCORE_PT_NOTE 4u
#define ELFCORE_NT_PRSTATUS 1

struct elf_note {
    uint32_t name_size, size, type;
    char name[8];
};
struct elf_status { /* struct elf_prstatus */
    int32_t signo, code, error;
    int16_t signal, zero;
    uint64_t pending, held;
    int32_t pid, ppid, pgrp, sid;
    uint64_t times[8];
    uint64_t registers[ISA_CORE_REGISTERS];
    uint32_t fpvalid, pad;
};
STATIC_ASSERT(offsetof(struct elf_status, registers) == 112);

/* The header of a core file with that many segments, which follow it at once. */
static inline struct elf_ehdr elfcore_header(uint32_t segments)
{
    return (struct elf_ehdr){.ident = {0x7f, 'E', 'L', 'F', 2, 1, 1},
                             .type = 4, /* ET_CORE */
                             .machine = ISA_ELF_MACHINE,
                             .version = 1,
                             .phoff = sizeof(struct elf_ehdr),
                             .ehsize = sizeof(struct elf_ehdr),
                             .phentsize = sizeof(struct elf_phdr),
                             .phnum = (uint16_t)segments};
}

#endif
