/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host_core.c - a core file of this process for gdb, when the kernel has panicked (core(5)).
 *
 * Threads are the virtual CPUs, with the registers they stopped with. Memory is what the kernel
 * works with: RAM, its window, the executable, stacks. Mappings of programs are left out: they show
 * RAM, and the page tables, which are in RAM, say where. So are shared libraries. Of the memory
 * file only what was ever used takes room in the core.
 */
#define _GNU_SOURCE /* SEEK_DATA */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "outer.h"

#define LOADS_MAX 60000u
#define ANONYMOUS_MAX (64ul << 20) /* more is a run-time library's reserve */
#define PAGE 4096ul
#define NOTE_KERNEL 2 /* of the name "SELKIE": the executable's path */
#define NOTES_MAX (1024u << 10)

struct load {
    unsigned long lo, hi, file_offset;
    bool ram; /* of the memory file */
};
static struct load loads[LOADS_MAX];
static unsigned load_count;
static char notes[NOTES_MAX];
static size_t notes_size;

static void note(const char *name, uint32_t type, const void *data, size_t size)
{
    Elf64_Nhdr head = {
        .n_namesz = (uint32_t)strlen(name) + 1, .n_descsz = (uint32_t)size, .n_type = type};
    size_t name_room = (head.n_namesz + 3) & ~3ul, room = (size + 3) & ~3ul;

    if (notes_size + sizeof(head) + name_room + room > NOTES_MAX)
        return;
    memcpy(notes + notes_size, &head, sizeof(head));
    memcpy(notes + notes_size + sizeof(head), name, head.n_namesz);
    memcpy(notes + notes_size + sizeof(head) + name_room, data, size);
    notes_size += sizeof(head) + name_room + room;
}

static void note_vectors(unsigned cpu)
{
    static char data[HOSTED_CORE_FP_MAX];
    const char *name;
    uint32_t type;
    size_t size;

    for (unsigned i = 0; (size = hosted_core_fp(cpu, i, &type, &name, data)) > 0; i++)
        note(name, type, data, size);
}

static void make_notes(const char *kernel)
{
    char auxv[2048];
    FILE *f = fopen("/proc/self/auxv", "re");
    size_t n = f ? fread(auxv, 1, sizeof(auxv), f) : 0;

    /* Debuggers start with the first: the one that panicked. */
    for (unsigned i = 0; i < hosted_config.cpu_count; i++) {
        unsigned number = (hosted_core_first + i) % hosted_config.cpu_count;
        const struct hosted_core_cpu *cpu = &hosted_core_cpus[number];
        struct elf_prstatus status = {.pr_pid = cpu->tid};

        _Static_assert(sizeof(status.pr_reg) == sizeof(cpu->registers), "as isa.h");
        memcpy(&status.pr_reg, cpu->registers, sizeof(status.pr_reg));
        note("CORE", NT_PRSTATUS, &status, sizeof(status));
        note_vectors(number);
    }
    note("CORE", NT_AUXV, auxv, n); /* says where the executable was moved to */
    note("SELKIE", NOTE_KERNEL, kernel, strlen(kernel) + 1);
    if (f)
        fclose(f);
}

static bool in_windows(unsigned long lo)
{
    uintptr_t from, to;

    for (unsigned i = 0; hosted_window(i, &from, &to); i++)
        if (lo >= from && lo < to)
            return true;
    return false;
}

static void take_mapping(const char *line, const char *kernel)
{
    unsigned long lo, hi, offset;
    char rights[8], path[4096] = "";
    bool ram;

    if (load_count == LOADS_MAX ||
        sscanf(line, "%lx-%lx %7s %lx %*s %*s %4095[^\n]", &lo, &hi, rights, &offset, path) < 4)
        return;
    ram = strstr(path, "/memfd:selkie-ram") != NULL;
    if (rights[0] != 'r' || in_windows(lo) || strcmp(path, "[vvar]") == 0)
        return;
    if (!ram && hi - lo > ANONYMOUS_MAX)
        return;
    if (!ram && path[0] == '/' && strcmp(path, kernel) != 0)
        return;
    loads[load_count++] = (struct load){lo, hi, offset, ram};
}

static bool read_mappings(const char *kernel)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[4600];

    if (!f)
        return false;
    while (fgets(line, sizeof(line), f))
        take_mapping(line, kernel);
    fclose(f);
    return true;
}

/* What cannot be read stays a hole. Not by libc's function: a sanitizer would look at the bytes,
 * which may be poisoned. */
static void put(int fd, unsigned long from, unsigned long len, unsigned long offset)
{
    while (len > 0) {
        ssize_t n = syscall(SYS_pwrite64, fd, from, len < 1 << 20 ? len : 1 << 20, offset);

        if (n < 0 && errno == ENOSPC)
            return;
        if (n <= 0)
            n = PAGE;
        from += (unsigned long)n;
        offset += (unsigned long)n;
        len -= (unsigned long)n < len ? (unsigned long)n : len;
    }
}

/* Only what is in the memory file: looking at its holes would fill them. */
static void put_ram(int fd, const struct load *l, unsigned long offset)
{
    off_t at = (off_t)l->file_offset, end = at + (off_t)(l->hi - l->lo), hole;

    while ((at = lseek(hosted_config.ram_fd, at, SEEK_DATA)) >= 0 && at < end) {
        hole = lseek(hosted_config.ram_fd, at, SEEK_HOLE);
        if (hole < 0 || hole > end)
            hole = end;
        put(fd, l->lo + (unsigned long)at - l->file_offset, (unsigned long)(hole - at),
            offset + (unsigned long)at - l->file_offset);
        at = hole;
    }
}

static void write_all(int fd)
{
    Elf64_Ehdr head = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(head),
        .e_ehsize = sizeof(head),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)(load_count + 1),
    };
    unsigned long at = sizeof(head) + head.e_phnum * sizeof(Elf64_Phdr);
    Elf64_Phdr p = {.p_type = PT_NOTE, .p_offset = at, .p_filesz = notes_size, .p_align = 4};

    put(fd, (unsigned long)&head, sizeof(head), 0);
    put(fd, (unsigned long)&p, sizeof(p), sizeof(head));
    put(fd, (unsigned long)notes, notes_size, at);
    at = (at + notes_size + PAGE - 1) & ~(PAGE - 1);
    for (unsigned i = 0; i < load_count; i++) {
        const struct load *l = &loads[i];
        unsigned long size = l->hi - l->lo;

        p = (Elf64_Phdr){.p_type = PT_LOAD,
                         .p_flags = PF_R | PF_W | PF_X,
                         .p_offset = at,
                         .p_vaddr = l->lo,
                         .p_filesz = size,
                         .p_memsz = size,
                         .p_align = PAGE};
        put(fd, (unsigned long)&p, sizeof(p), sizeof(head) + (i + 1) * sizeof(p));
        if (l->ram)
            put_ram(fd, l, at);
        else
            put(fd, l->lo, size, at);
        at += size;
    }
    if (ftruncate(fd, (off_t)at) < 0)
        fprintf(stderr, "selkie-hosted: %s: %s\n", hosted_config.core, strerror(errno));
}

void host_core_write(void)
{
    static char kernel[4096];
    int fd;

    if (__atomic_load_n(&hosted_core_state, __ATOMIC_ACQUIRE) != HOSTED_CORE_WANTED)
        return;
    fd = open(hosted_config.core, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || readlink("/proc/self/exe", kernel, sizeof(kernel) - 1) < 0 ||
        !read_mappings(kernel)) {
        fprintf(stderr, "selkie-hosted: %s: no core file: %s\n", hosted_config.core,
                strerror(errno));
    } else {
        make_notes(kernel);
        write_all(fd);
        fprintf(stderr, "selkie: core file: %s\n", hosted_config.core);
    }
    __atomic_store_n(&hosted_core_state, HOSTED_CORE_WRITTEN, __ATOMIC_RELEASE);
}
