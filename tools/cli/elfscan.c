/* SPDX-License-Identifier: BSD-3-Clause */
/* elfscan.c - see elfscan.h. Every number of the file is checked against the file's size before
 * libelf is asked for the bytes behind it. */
#include "elfscan.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char elf_foreign[] = "not an ELF program";

struct scan {
    Elf *elf;
    GElf_Ehdr header;
    uint64_t size;
    size_t segment_count;
    struct elf_info *info;
};

const char *elf_machine_name(unsigned machine)
{
    switch (machine) {
    case EM_X86_64:
        return "x86-64";
    case EM_AARCH64:
        return "AArch64";
    case EM_386:
        return "32-bit x86";
    case EM_ARM:
        return "32-bit Arm";
    case EM_RISCV:
        return "RISC-V";
    default:
        return "another architecture";
    }
}

static const char *scan_header(struct scan *scan)
{
    const GElf_Ehdr *h = &scan->header;

    if (!gelf_getehdr(scan->elf, &scan->header))
        return "truncated: no complete ELF header";
    scan->info->machine = h->e_machine;
    if (h->e_ident[EI_CLASS] != ELFCLASS64)
        return "is a 32-bit program";
    if (h->e_ident[EI_DATA] != ELFDATA2LSB)
        return "is a big-endian program";
    if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
        return h->e_type == ET_REL    ? "is an object file, not a program"
               : h->e_type == ET_CORE ? "is a core dump, not a program"
                                      : "corrupt: unknown ELF type";
    if (h->e_phentsize != sizeof(Elf64_Phdr))
        return "corrupt: wrong size of program headers";
    if (h->e_phoff > scan->size ||
        (uint64_t)h->e_phnum * sizeof(Elf64_Phdr) > scan->size - h->e_phoff)
        return "truncated: program headers lie behind its end";
    if (elf_getphdrnum(scan->elf, &scan->segment_count) < 0 || scan->segment_count == 0)
        return "corrupt: no program headers";
    return NULL;
}

static const char *scan_segment(struct scan *scan, const GElf_Phdr *segment, size_t index)
{
    if (segment->p_type != PT_LOAD && segment->p_type != PT_INTERP && segment->p_type != PT_DYNAMIC)
        return NULL;
    if (segment->p_offset > scan->size || segment->p_filesz > scan->size - segment->p_offset)
        return text("truncated: segment %zu ends at byte %ju of %ju", index,
                    (uintmax_t)(segment->p_offset + segment->p_filesz), (uintmax_t)scan->size);
    if (segment->p_type == PT_LOAD && segment->p_filesz > segment->p_memsz)
        return "corrupt: a segment is longer in the file than in memory";
    return NULL;
}

static char *scan_text(struct scan *scan, uint64_t offset, uint64_t limit)
{
    Elf_Data *data;

    if (offset >= limit || limit > scan->size)
        return NULL;
    data = elf_getdata_rawchunk(scan->elf, (int64_t)offset, limit - offset, ELF_T_BYTE);
    if (!data || !memchr(data->d_buf, 0, data->d_size))
        return NULL;
    return must_alloc(strdup(data->d_buf));
}

/* File offset of a virtual address, and where its segment ends in the file. */
static bool scan_offset(struct scan *scan, uint64_t addr, uint64_t *offset, uint64_t *limit)
{
    for (size_t i = 0; i < scan->segment_count; i++) {
        GElf_Phdr segment;

        if (!gelf_getphdr(scan->elf, (int)i, &segment) || segment.p_type != PT_LOAD)
            continue;
        if (addr < segment.p_vaddr || addr - segment.p_vaddr >= segment.p_filesz)
            continue;
        *offset = segment.p_offset + (addr - segment.p_vaddr);
        *limit = segment.p_offset + segment.p_filesz;
        return true;
    }
    return false;
}

/* What the names of an object's symbols say of files that glibc loads for it at run time. */
static void scan_names(struct elf_info *info, const char *strings, size_t len)
{
    static const char *const unwinding[] = {"pthread_exit", "pthread_cancel", "backtrace"};

    for (size_t i = 0; i < sizeof(unwinding) / sizeof(unwinding[0]); i++)
        if (memmem(strings, len, unwinding[i], strlen(unwinding[i]) + 1))
            info->wants_unwinder = true;
    info->wants_iconv = memmem(strings, len, "iconv_open", sizeof("iconv_open")) != NULL;
}

static const char *scan_dynamic(struct scan *scan, const GElf_Phdr *segment)
{
    size_t count = segment->p_filesz / sizeof(Elf64_Dyn);
    Elf_Data *data = count ? elf_getdata_rawchunk(scan->elf, (int64_t)segment->p_offset,
                                                  count * sizeof(Elf64_Dyn), ELF_T_DYN)
                           : NULL;
    uint64_t table = 0, table_len = 0, offset, limit;
    GElf_Dyn dyn;

    if (!data)
        return "corrupt: empty dynamic section";
    for (size_t i = 0; i < count && gelf_getdyn(data, (int)i, &dyn) && dyn.d_tag != DT_NULL; i++) {
        if (dyn.d_tag == DT_STRTAB)
            table = dyn.d_un.d_ptr;
        if (dyn.d_tag == DT_STRSZ)
            table_len = dyn.d_un.d_val;
    }
    if (!scan_offset(scan, table, &offset, &limit))
        return "corrupt: its dynamic section names no string table";
    if (table_len < limit - offset)
        limit = offset + table_len;
    for (size_t i = 0; i < count && gelf_getdyn(data, (int)i, &dyn) && dyn.d_tag != DT_NULL; i++) {
        char *s;

        if (dyn.d_tag != DT_NEEDED && dyn.d_tag != DT_RPATH && dyn.d_tag != DT_RUNPATH)
            continue;
        if (dyn.d_un.d_val >= limit - offset)
            return "corrupt: a name lies outside its string table";
        s = scan_text(scan, offset + dyn.d_un.d_val, limit);
        if (!s)
            return "corrupt: a name lies outside its string table";
        if (dyn.d_tag == DT_NEEDED)
            list_add(&scan->info->needed, s);
        else if (dyn.d_tag == DT_RPATH)
            scan->info->rpath = s;
        else
            scan->info->runpath = s;
    }
    data = limit > offset
               ? elf_getdata_rawchunk(scan->elf, (int64_t)offset, limit - offset, ELF_T_BYTE)
               : NULL;
    if (data)
        scan_names(scan->info, data->d_buf, data->d_size);
    return NULL;
}

static const char *scan_segments(struct scan *scan)
{
    bool loads = false;

    for (size_t i = 0; i < scan->segment_count; i++) {
        const char *wrong;
        GElf_Phdr segment;

        if (!gelf_getphdr(scan->elf, (int)i, &segment))
            return "corrupt: unreadable program header";
        wrong = scan_segment(scan, &segment, i);
        if (wrong)
            return wrong;
        loads |= segment.p_type == PT_LOAD;
        if (segment.p_type == PT_INTERP) {
            scan->info->interpreter =
                scan_text(scan, segment.p_offset, segment.p_offset + segment.p_filesz);
            if (!scan->info->interpreter || scan->info->interpreter[0] != '/')
                return "corrupt: the name of its interpreter is no absolute path";
        }
    }
    if (!loads)
        return "corrupt: nothing to load";
    for (size_t i = 0; i < scan->segment_count; i++) {
        const char *wrong;
        GElf_Phdr segment;

        if (!gelf_getphdr(scan->elf, (int)i, &segment) || segment.p_type != PT_DYNAMIC)
            continue;
        wrong = scan_dynamic(scan, &segment);
        if (wrong)
            return wrong;
    }
    return NULL;
}

const char *elf_scan(const char *host_path, struct elf_info *info)
{
    struct scan scan = {.info = info};
    char magic[SELFMAG] = {0};
    const char *wrong;
    struct stat st;
    int fd = open(host_path, O_RDONLY | O_CLOEXEC);

    memset(info, 0, sizeof(*info));
    if (fd < 0 || fstat(fd, &st) < 0)
        return strerror(errno);
    scan.size = (uint64_t)st.st_size;
    if (pread(fd, magic, SELFMAG, 0) != SELFMAG || memcmp(magic, ELFMAG, SELFMAG) != 0) {
        close(fd);
        return elf_foreign;
    }
    elf_version(EV_CURRENT);
    scan.elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    wrong = scan.elf && elf_kind(scan.elf) == ELF_K_ELF ? scan_header(&scan)
                                                        : "truncated: no complete ELF header";
    if (!wrong)
        wrong = scan_segments(&scan);
    info->executable = scan.header.e_type == ET_EXEC || scan.header.e_entry != 0;
    elf_end(scan.elf);
    close(fd);
    return wrong;
}
