/* SPDX-License-Identifier: BSD-3-Clause */
/* efault - every system call that takes a pointer refuses a bad one with EFAULT and lives. */
#include "guest.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define BAD_COUNT 4

int main(void)
{
    char *hole = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long bad[BAD_COUNT] = {8, (long)(uintptr_t)hole, (long)0xffffffff80001000ul, 0x7ffffffff000l};
    int p[2], null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY);
    REQUIRE(hole != MAP_FAILED && null >= 0 && zero >= 0 && pipe(p) == 0 &&
            write(p[1], "abc", 3) == 3);
    int file = open("/proc/self/exe", O_RDONLY);
    for (int i = 0; i < BAD_COUNT; i++) {
        long b = bad[i];
        REQUIRE_ERRNO(syscall(SYS_read, p[0], b, 3), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_read, zero, b, 3), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_read, file, b, 3), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_write, p[1], b, 3), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_openat, AT_FDCWD, b, 0, 0), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, "/", b, 0), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_getcwd, b, 100), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_pipe2, b, 0), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_clock_gettime, 0, b), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_nanosleep, b, 0), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_rt_sigaction, 10, b, 0, 8), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_rt_sigaction, 10, 0, b, 8), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_rt_sigprocmask, 0, b, 0, 8), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_uname, b), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_getrandom, b, 16, 0), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_execve, b, b, b), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_readv, zero, b, 1), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_futex, b & ~3l, 0, 0, 0, 0, 0), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_ppoll, b, 1, 0, 0, 8), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_sysinfo, b), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_prlimit64, 0, 7, 0, b), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_sched_getaffinity, 0, 128, b), EFAULT);
        REQUIRE_ERRNO(syscall(SYS_getgroups, 65536, b) >= 0 ? (errno = EFAULT, -1) : -1, EFAULT);
    }
    /* Half good: what fits is transferred. */
    char *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(munmap(edge + 4096, 4096) == 0);
    REQUIRE(read(file, edge + 4094, 10) == 2 || errno == EFAULT);
    REQUIRE(syscall(SYS_openat, AT_FDCWD, edge + 4095, 0) == -1);
    memset(edge, 'a', 4096);
    REQUIRE_ERRNO(syscall(SYS_openat, AT_FDCWD, edge + 4090, 0), EFAULT);
    /* But not into a pipe: a small write is one piece or nothing. */
    int left;
    struct iovec parts[2] = {{edge, 1000}, {edge + 4000, 1000}};
    REQUIRE(read(p[0], edge, 16) == 3);
    REQUIRE_ERRNO(write(p[1], edge + 4090, 20), EFAULT);
    REQUIRE_ERRNO(writev(p[1], parts, 2), EFAULT);
    REQUIRE(ioctl(p[0], FIONREAD, &left) == 0 && left == 0);
    REQUIRE(write(p[1], edge, 100) == 100);
    REQUIRE_ERRNO(writev(p[1], parts, 2), EFAULT);
    REQUIRE(ioctl(p[0], FIONREAD, &left) == 0 && left == 100);
    return guest_pass("efault");
}
