/* SPDX-License-Identifier: BSD-3-Clause */
/* host_setup.c - check what this host can do; lay out memory. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "outer.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define DISPATCH_OFF 0
#define HWCAP2_FSGSBASE_BIT 2ul
/* Any address that is not 0 will do; a 4 MiB boundary suits the kernel's chunks. */
#define RAM_BASE (4ull << 20)
#define KERNEL_WINDOW (16ull << 30)
#define KERNEL_WINDOW_SMALL (256ull << 20)
#define REEXEC_MARK "SELKIE_HOSTED_REEXEC"

/* mmap itself: a sanitizer's wrapper would set up shadow for the whole range at once. */
static void *map(void *at, size_t len, int prot, int flags, int fd)
{
    return (void *)syscall(SYS_mmap, at, len, (long)prot, (long)flags, (long)fd, 0L);
}

/* Faults are the kernel's business, so is the exit status; its memory is never "leaked". */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:allow_user_segv_handler="
           "1:"
           "detect_leaks=0:detect_stack_use_after_return=0:use_sigaltstack=0:exitcode=125";
}
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:report_signal_unsafe=0:exitcode=125";
}

void host_check(void)
{
    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT))
        host_fail("this CPU or kernel has no FSGSBASE instructions (Linux 5.9 or later enables "
                  "them); use --on x64");
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_OFF, 0, 0, 0) < 0)
        host_fail("this kernel has no Syscall User Dispatch (Linux 5.11 or later); use --on x64");
}

static int find_text(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct hosted_config *c = arg;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

        if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W)) {
            c->data_lo = info->dlpi_addr + ph->p_vaddr;
            c->data_hi = c->data_lo + ph->p_memsz;
        }
        if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
            continue;
        c->load_bias = info->dlpi_addr;
        c->text_lo = info->dlpi_addr + ph->p_vaddr;
        c->text_hi = c->text_lo + ph->p_memsz;
    }
    return 1; /* the first object is the executable */
}

void host_setup_text(void)
{
    dl_iterate_phdr(find_text, &hosted_config);
    if (!hosted_config.text_hi)
        host_fail("cannot find my own text segment");
}

static void map_initrd(const char *path)
{
    struct stat st;
    void *at;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        host_fail("%s: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0)
        host_fail("%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        host_fail("%s: not a regular file", path);
    if (st.st_size > 0) {
        at = mmap(host_sim_place((size_t)st.st_size), (size_t)st.st_size, PROT_READ, MAP_PRIVATE,
                  fd, 0);
        if (at == MAP_FAILED)
            host_fail("%s: %s", path, strerror(errno));
        hosted_config.initrd = at;
        hosted_config.initrd_size = (size_t)st.st_size;
    }
    close(fd);
}

/* The memory file counts as one that is written: as long as may be, and a word instead of a signal
 * if that is too short. */
static void lift_file_size_limit(void)
{
    struct rlimit size;

    signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_FSIZE, &size) == 0 && size.rlim_cur != size.rlim_max) {
        size.rlim_cur = size.rlim_max;
        setrlimit(RLIMIT_FSIZE, &size);
    }
}

static int ram_file(void)
{
    /* Programs execute from it: ask for that where the host wants to be asked. */
    int fd = (int)syscall(SYS_memfd_create, "selkie-ram", MFD_CLOEXEC | 0x10ul /* MFD_EXEC */);

    if (fd < 0)
        fd = (int)syscall(SYS_memfd_create, "selkie-ram", (long)MFD_CLOEXEC);
    return fd;
}

/* Map the file as the host's large pages need it: addresses congruent to offsets. */
static void *map_ram(size_t size, int fd)
{
    char *at = map(host_sim_place(size + HOSTED_LARGE_PAGE), size + HOSTED_LARGE_PAGE, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    char *to;

    if (at == MAP_FAILED)
        return at;
    to = (char *)(((uintptr_t)at + HOSTED_LARGE_PAGE - 1) & ~(HOSTED_LARGE_PAGE - 1));
    if (to > at)
        munmap(at, (size_t)(to - at));
    munmap(to + size, (size_t)(at + HOSTED_LARGE_PAGE - to));
    return map(to, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd);
}

/*
 * The kernel's own variables join the memory file, behind RAM: another process that maps the file
 * has all of the kernel's state, at the same addresses (planned for fork). Nothing else lies in
 * these pages (cmake/inner.ld). Before any other thread and before the kernel runs. Sanitizer
 * builds have no such section: their kernel's data stays private.
 */
extern char __start_selkie_data[] __attribute__((weak)), __stop_selkie_data[] __attribute__((weak));

static void share_kernel_data(int fd, uint64_t offset)
{
    char *data = __start_selkie_data;
    size_t size = (size_t)(__stop_selkie_data - data);

    if (!data)
        return;
    if (pwrite(fd, data, size, (off_t)offset) != (ssize_t)size ||
        mmap(data, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) != data)
        host_fail("cannot share the kernel's data: %s", strerror(errno));
}

void host_setup_memory(const struct host_options *options)
{
    struct hosted_config *c = &hosted_config;
    size_t window = KERNEL_WINDOW;
    void *at;

    c->cpu_count = options->cpus;
    c->cmdline = options->cmdline;
    c->command = options->command;
    c->core = options->core;
    if (options->initrd)
        map_initrd(options->initrd);
    c->ram_base = RAM_BASE;
    c->ram_size = options->memory;
    lift_file_size_limit();
    c->ram_fd = ram_file();
    if (c->ram_fd < 0 || ftruncate(c->ram_fd, (off_t)c->ram_size) < 0)
        host_fail("cannot make %llu bytes of memory: %s", (unsigned long long)c->ram_size,
                  strerror(errno));
    at = map_ram(c->ram_size, c->ram_fd);
    if (at == MAP_FAILED)
        host_fail("cannot map %llu bytes of memory: %s", (unsigned long long)c->ram_size,
                  strerror(errno));
    c->direct_map = (uintptr_t)at - RAM_BASE;
    at = map(host_sim_place(window), window, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
             -1);
    if (at == MAP_FAILED) {
        window = KERNEL_WINDOW_SMALL;
        at = map(NULL, window, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    }
    if (at == MAP_FAILED)
        host_fail("cannot reserve addresses: %s", strerror(errno));
    c->kernel_lo = (uintptr_t)at;
    c->kernel_hi = c->kernel_lo + window;
    share_kernel_data(c->ram_fd, c->ram_size);
}

void host_setup_guard(void)
{
    uintptr_t guard;

    if (getrandom(&guard, sizeof(guard), 0) != (ssize_t)sizeof(guard))
        host_fail("getrandom: %s", strerror(errno));
    /* A NUL byte stops string overruns. */
    __stack_chk_guard = guard & ~(uintptr_t)0xff;
}

/* Is anything of this process mapped in the user windows? Fills a line of /proc/self/maps. */
static bool windows_taken(char *line, int size)
{
    FILE *f = fopen("/proc/self/maps", "re");
    bool taken = false;

    if (!f)
        host_fail("/proc/self/maps: %s", strerror(errno));
    while (!taken && fgets(line, size, f)) {
        unsigned long from, to;
        uintptr_t lo, hi;

        if (sscanf(line, "%lx-%lx", &from, &to) != 2)
            continue;
        for (unsigned i = 0; hosted_window(i, &lo, &hi); i++)
            taken = taken || (from < hi && to > lo);
    }
    fclose(f);
    line[strcspn(line, "\n")] = '\0';
    return taken;
}

/* With an unlimited stack Linux maps libraries bottom-up, in the middle of the address space. A
 * limit puts them back to the top; it takes effect at exec. */
void host_check_windows(char **argv)
{
    struct rlimit stack;
    char line[256];

    if (!windows_taken(line, sizeof(line)))
        return;
    if (!getenv(REEXEC_MARK) && getrlimit(RLIMIT_STACK, &stack) == 0 &&
        stack.rlim_cur == RLIM_INFINITY) {
        stack.rlim_cur = 8 << 20;
        setenv(REEXEC_MARK, "1", 1);
        if (setrlimit(RLIMIT_STACK, &stack) == 0)
            execv("/proc/self/exe", argv);
    }
    host_fail("addresses that programs need are taken: %s", line);
}
