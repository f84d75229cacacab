/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.h - the inner world's view of the host: Linux system calls made directly, and the few
 * structures and numbers they need (x86-64, uapi headers). Results are >= 0 or a negative errno.
 */
#ifndef SELKIE_HOSTED_HOST_H
#define SELKIE_HOSTED_HOST_H

#include "lib/types.h"

#define HOST_read 0
#define HOST_write 1
#define HOST_open 2
#define HOST_close 3
#define HOST_fstat 5
#define HOST_poll 7
#define HOST_lseek 8
#define HOST_mmap 9
#define HOST_mprotect 10
#define HOST_munmap 11
#define HOST_rt_sigaction 13
#define HOST_rt_sigprocmask 14
#define HOST_rt_sigreturn 15
#define HOST_ioctl 16
#define HOST_pwrite64 18
#define HOST_readv 19
#define HOST_writev 20
#define HOST_sched_yield 24
#define HOST_madvise 28
#define HOST_pause 34
#define HOST_nanosleep 35
#define HOST_getpid 39
#define HOST_sigaltstack 131
#define HOST_prctl 157
#define HOST_arch_prctl 158
#define HOST_gettid 186
#define HOST_futex 202
#define HOST_timer_create 222
#define HOST_timer_settime 223
#define HOST_clock_gettime 228
#define HOST_exit_group 231
#define HOST_epoll_ctl 233
#define HOST_tgkill 234
#define HOST_getrandom 318
#define HOST_preadv2 327
#define HOST_pwritev2 328
#define HOST_futex_waitv 449

#define HOST_EINTR 4
#define HOST_EIO 5
#define HOST_EAGAIN 11
#define HOST_ENOMEM 12
#define HOST_EINVAL 22
#define HOST_ENOSYS 38
#define HOST_EOPNOTSUPP 95

#define HOST_PROT_READ 1
#define HOST_PROT_WRITE 2
#define HOST_PROT_EXEC 4
#define HOST_MAP_SHARED 1
#define HOST_MAP_PRIVATE 2
#define HOST_MAP_FIXED 0x10
#define HOST_MAP_ANONYMOUS 0x20
#define HOST_MAP_NORESERVE 0x4000
#define HOST_MAP_POPULATE 0x8000
#define HOST_MADV_POPULATE_WRITE 23
#define HOST_MADV_COLLAPSE 25

#define HOST_FUTEX_WAIT_PRIVATE 128
#define HOST_FUTEX_WAKE_PRIVATE 129

#define HOST_SIGILL 4
#define HOST_SIGTRAP 5
#define HOST_SIGABRT 6
#define HOST_SIGBUS 7
#define HOST_SIGFPE 8
#define HOST_SIGSEGV 11
#define HOST_SIGSYS 31

struct host_timespec {
    int64_t sec, nsec;
};
struct host_itimerspec {
    struct host_timespec interval, value;
};
struct host_iovec {
    const void *base;
    size_t len;
};
#define HOST_RWF_NOWAIT 8
#define HOST_PIPE_BUF 4096
struct host_pollfd {
    int32_t fd;
    int16_t events, revents;
};
#define HOST_EPOLL_CTL_MOD 3
#define HOST_EPOLLIN 1u
#define HOST_EPOLLOUT 4u
#define HOST_EPOLLONESHOT 0x40000000u
#define HOST_POLLIN 1
#define HOST_POLLOUT 4
#define HOST_POLLERR 8
#define HOST_POLLHUP 0x10
#define HOST_POLLNVAL 0x20

struct host_sigaction {
    uintptr_t handler;
    uint64_t flags;
    uintptr_t restorer;
    uint64_t mask;
};
#define HOST_SA_SIGINFO 4u
#define HOST_SA_RESTORER 0x04000000u
#define HOST_SA_ONSTACK 0x08000000u
#define HOST_SA_RESTART 0x10000000u

struct host_stack {
    void *sp;
    int32_t flags;
    size_t size;
};

struct host_sigevent {
    uint64_t value;
    int32_t signo, notify;
    int32_t tid;
    int32_t pad[11];
};
STATIC_ASSERT(sizeof(struct host_sigevent) == 64);
#define HOST_SIGEV_THREAD_ID 4

struct host_siginfo {
    int32_t signo, error, code, pad;
    union {
        uint64_t addr;
        struct {
            uint64_t call_addr;
            int32_t syscall;
            uint32_t arch;
        } sys;
        struct {
            int32_t pid;
            uint32_t uid;
        } sender; /* of a signal that was sent: code <= 0 */
    };
};
#define HOST_SI_KERNEL 128
#define HOST_SEGV_MAPERR 1
#define HOST_SEGV_ACCERR 2
#define HOST_BUS_ADRALN 1
#define HOST_FPE_INTDIV 1
#define HOST_AUDIT_ARCH_X86_64 0xc000003eu

/* struct ucontext and sigcontext, as delivered (uapi asm/ucontext.h, asm/sigcontext.h). */
struct host_ucontext {
    uint64_t flags, link;
    struct host_stack stack;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2;
    const uint64_t *fpstate; /* FXSAVE area, perhaps the beginning of an XSAVE area */
};
STATIC_ASSERT(offsetof(struct host_ucontext, r8) == 40);
STATIC_ASSERT(offsetof(struct host_ucontext, cr2) == 40 + 176);

static inline __attribute__((always_inline)) long host_call6(long nr, long a, long b, long c,
                                                             long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}
static inline __attribute__((always_inline)) long host_call3(long nr, long a, long b, long c)
{
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "0"(nr), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return ret;
}
static inline __attribute__((always_inline)) long host_call4(long nr, long a, long b, long c,
                                                             long d)
{
    return host_call6(nr, a, b, c, d, 0, 0);
}

#endif
