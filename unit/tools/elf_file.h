/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * elf_file.h - the smallest ELF files that the command takes for programs and libraries: a header,
 * program headers, a dynamic section and its strings; no code.
 */
#ifndef SELKIE_ELF_FILE_H
#define SELKIE_ELF_FILE_H

#include <elf.h>
#include <string.h>

#include "util.h"

#define ELF_ADDR 0x1000u

struct elf_file {
    const char *interpreter, *rpath, *runpath;
    const char *needed[4];
    unsigned machine; /* 0: x86-64 */
};

struct elf_image {
    Elf64_Ehdr header;
    Elf64_Phdr segments[3]; /* LOAD, DYNAMIC, INTERP */
    Elf64_Dyn dynamic[12];
    char interpreter[64];
    char strings[512];
};

static inline uint64_t elf_string(struct elf_image *image, size_t *used, const char *s)
{
    uint64_t at = *used;

    strcpy(image->strings + at, s);
    *used += strlen(s) + 1;
    return at;
}

static inline void elf_segment(struct elf_image *image, unsigned index, unsigned type, size_t at,
                               size_t len)
{
    image->segments[index] = (Elf64_Phdr){.p_type = type,
                                          .p_flags = PF_R,
                                          .p_offset = at,
                                          .p_vaddr = ELF_ADDR + at,
                                          .p_filesz = len,
                                          .p_memsz = len,
                                          .p_align = 8};
}

static inline void elf_build(struct elf_image *image, const struct elf_file *file)
{
    size_t used = 1, count = 0;

    memset(image, 0, sizeof(*image));
    image->header = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_machine = (uint16_t)(file->machine ? file->machine : EM_X86_64),
        .e_version = EV_CURRENT,
        .e_entry = ELF_ADDR,
        .e_phoff = offsetof(struct elf_image, segments),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = file->interpreter ? 3 : 2};
    elf_segment(image, 0, PT_LOAD, 0, sizeof(*image));
    elf_segment(image, 1, PT_DYNAMIC, offsetof(struct elf_image, dynamic), sizeof(image->dynamic));
    if (file->interpreter) {
        strcpy(image->interpreter, file->interpreter);
        elf_segment(image, 2, PT_INTERP, offsetof(struct elf_image, interpreter),
                    strlen(file->interpreter) + 1);
    }
    for (size_t i = 0; i < 4 && file->needed[i]; i++)
        image->dynamic[count++] = (Elf64_Dyn){
            .d_tag = DT_NEEDED, .d_un.d_val = elf_string(image, &used, file->needed[i])};
    if (file->rpath)
        image->dynamic[count++] =
            (Elf64_Dyn){.d_tag = DT_RPATH, .d_un.d_val = elf_string(image, &used, file->rpath)};
    if (file->runpath)
        image->dynamic[count++] =
            (Elf64_Dyn){.d_tag = DT_RUNPATH, .d_un.d_val = elf_string(image, &used, file->runpath)};
    image->dynamic[count++] = (Elf64_Dyn){
        .d_tag = DT_STRTAB, .d_un.d_ptr = ELF_ADDR + offsetof(struct elf_image, strings)};
    image->dynamic[count++] = (Elf64_Dyn){.d_tag = DT_STRSZ, .d_un.d_val = used};
}

static inline void elf_write(const char *path, const struct elf_file *file)
{
    struct elf_image image;

    elf_build(&image, file);
    if (!file_write(path, &image, sizeof(image)) || chmod(path, 0755) < 0)
        fail(EXIT_TOOL, "%s: cannot be written", path);
}

#endif
