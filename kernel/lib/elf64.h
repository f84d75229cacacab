/* SPDX-License-Identifier: BSD-3-Clause */
/* elf64.h - the headers of a 64-bit ELF file (ELF gABI, "ELF Header", "Program Header"). */
#ifndef SELKIE_LIB_ELF64_H
#define SELKIE_LIB_ELF64_H

#include "lib/types.h"

struct elf_ehdr {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_phdr {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
STATIC_ASSERT(sizeof(struct elf_ehdr) == 64 && sizeof(struct elf_phdr) == 56);

#endif
