/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * corefile.c - core files of machines: the kernel sends headers and registers when it panics
 * (platform/common/core.c), and the RAM, which is a memory file of ours, is put behind them. And
 * `selkie core`: gdb on such a file, or on one that the hosted kernel has written itself.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "commands.h"
#include "run.h"

#define RAM_FD_MIN 10 /* above what QEMU's command line names otherwise */
#define AARCH64_RAM (1ull << 30)
#define GIB_4 (4ull << 30)

void core_machine_words(const struct run_options *options, struct list *words, int *ram)
{
    int fd = memfd_create("selkie-ram", MFD_CLOEXEC);

    *ram = fd < 0 ? -1 : fcntl(fd, F_DUPFD, RAM_FD_MIN); /* QEMU shall inherit this one */
    if (*ram < 0 || ftruncate(*ram, (off_t)options->memory) < 0)
        fail(EXIT_TOOL, "--core: no memory file: %s", strerror(errno));
    close(fd);
    list_add(words, "-object");
    list_add(words, text("memory-backend-file,id=ram,share=on,size=%juk,mem-path=/proc/self/fd/%d",
                         (uintmax_t)options->memory / 1024, *ram));
    list_add(words, "-machine");
    list_add(words, "memory-backend=ram");
}

/* How much RAM lies below 4 GiB; the rest begins there (QEMU: hw/i386/microvm.c, pc_piix.c,
 * pc_q35.c). */
static uint64_t low_ram(const struct run_options *options)
{
    const char *machine = options->machine ? options->machine : "microvm";
    uint64_t hole = strcmp(machine, "q35") == 0  ? 0xb0000000
                    : strcmp(machine, "pc") == 0 ? 0xe0000000
                                                 : 0xc0000000;

    if (options->memory < hole)
        return options->memory;
    return strcmp(machine, "q35") == 0 ? 0x80000000 : 0xc0000000;
}

/* Where in the memory file the byte at physical address pa is. */
static uint64_t ram_offset(const struct run_options *options, uint64_t pa)
{
    if (options->backend == BACKEND_AARCH64)
        return pa - AARCH64_RAM;
    return pa < GIB_4 ? pa : pa - GIB_4 + low_ram(options);
}

static bool copy_range(int from, int to, off_t at, off_t len, off_t target)
{
    static char buf[1 << 20];

    while (len > 0) {
        size_t want = len < (off_t)sizeof(buf) ? (size_t)len : sizeof(buf);
        ssize_t n = pread(from, buf, want, at);

        if (n <= 0 || pwrite(to, buf, (size_t)n, target) != n)
            return false;
        at += n;
        target += n;
        len -= n;
    }
    return true;
}

/* Only what was ever written: the rest stays a hole. */
static bool copy_ram(int from, int to, off_t at, off_t len, off_t target)
{
    off_t start = at, end = at + len;

    while ((at = lseek(from, at, SEEK_DATA)) >= 0 && at < end) {
        off_t hole = lseek(from, at, SEEK_HOLE);

        if (hole < 0 || hole > end)
            hole = end;
        if (!copy_range(from, to, at, hole - at, target + at - start))
            return false;
        at = hole;
    }
    return true;
}

/* The segments of the direct map come first and hold all RAM; the others show parts of them. */
static bool fill(const struct run_options *options, int fd, const struct bytes *head, int ram)
{
    Elf64_Ehdr e;
    uint64_t done = 0;

    if (head->len < sizeof(e))
        return false;
    memcpy(&e, head->data, sizeof(e));
    if (memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 || e.e_phentsize != sizeof(Elf64_Phdr) ||
        e.e_phoff + e.e_phnum * sizeof(Elf64_Phdr) > head->len)
        return false;
    for (unsigned i = 0; i < e.e_phnum; i++) {
        Elf64_Phdr p;
        uint64_t from;

        memcpy(&p, head->data + e.e_phoff + i * sizeof(p), sizeof(p));
        from = ram_offset(options, p.p_paddr);
        if (p.p_type != PT_LOAD || p.p_offset < done)
            continue;
        if (p.p_offset < head->len || from + p.p_filesz > options->memory ||
            ftruncate(fd, (off_t)(p.p_offset + p.p_filesz)) < 0 ||
            !copy_ram(ram, fd, (off_t)from, (off_t)p.p_filesz, (off_t)p.p_offset))
            return false;
        done = p.p_offset + p.p_filesz;
    }
    return done > 0;
}

void core_write(const struct run_options *options, const struct bytes *head, int ram)
{
    int fd;

    if (head->len == 0)
        return; /* no panic */
    fd = open(options->core, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || pwrite(fd, head->data, head->len, 0) != (ssize_t)head->len)
        warn("%s: no core file: %s", options->core, strerror(errno));
    else if (!fill(options, fd, head, ram))
        warn("%s: the core file is not complete", options->core);
    else
        warn("core file: %s (selkie core %s)", options->core, options->core);
    close(fd);
}

/* ---- selkie core ---- */

int command_core(int argc, char **argv)
{
    struct list words = {0};
    Elf64_Ehdr e;
    int fd;

    if (argc < 2 || argv[1][0] == '-') {
        fputs("Usage: selkie core FILE [GDB-OPTION...]\n"
              "Open a core file (selkie run --core FILE) in gdb, with the commands that know the "
              "kernel.\n",
              argc > 1 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
        return argc > 1 && strcmp(argv[1], "--help") == 0 ? 0 : EXIT_TOOL;
    }
    fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, &e, sizeof(e)) != sizeof(e))
        fail(EXIT_TOOL, "%s: %s", argv[1], errno ? strerror(errno) : "too short");
    if (memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 || e.e_type != ET_CORE)
        fail(EXIT_TOOL, "%s: not a core file", argv[1]);
    build_packages("gdb");
    list_add(&words, e.e_machine == EM_AARCH64 ? "gdb-multiarch" : "gdb");
    list_add(&words, "-q");
    list_add(&words, "-ex");
    list_add(&words, text("python import os, sys; sys.dont_write_bytecode = True; "
                          "sys.path.insert(0, '%s/tools/gdb'); import selkie.corefile; "
                          "selkie.corefile.show(os.environ['SELKIE_CORE'])",
                          top_dir()));
    for (int i = 2; i < argc; i++)
        list_add(&words, argv[i]);
    setenv("SELKIE_CORE", argv[1], 1);
    execvp(words.items[0], words.items);
    fail(EXIT_TOOL, "%s: %s", words.items[0], strerror(errno));
}
