/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * elfscan.h - what the tool must know of an ELF file: can the backend run it, which interpreter
 * and libraries does it name. Only program headers and the dynamic section are read; the kernel
 * checks again, this is for a message that says more than ENOEXEC.
 */
#ifndef SELKIE_ELFSCAN_H
#define SELKIE_ELFSCAN_H

#include "util.h"

struct elf_info {
    unsigned machine; /* EM_X86_64, EM_AARCH64, ... */
    bool executable;  /* ET_EXEC, or ET_DYN with an entry point */
    char *interpreter;
    struct list needed;
    char *rpath, *runpath;
    bool wants_unwinder; /* calls something for which glibc loads libgcc_s.so.1 */
    bool wants_iconv;    /* calls iconv_open, for which glibc loads modules */
};

/* Returns NULL and fills *info, or says what is wrong with the file: "truncated: ...". A file that
 * is not ELF at all gives elf_foreign. */
extern const char elf_foreign[];
const char *elf_scan(const char *host_path, struct elf_info *info);

const char *elf_machine_name(unsigned machine);

#endif
