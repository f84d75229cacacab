/* SPDX-License-Identifier: BSD-3-Clause */
/* sigcontext - what the machine context of a signal frame says of the fault: vector, error code and
 * address on x86-64; fault address and syndrome on arm64. Language runtimes tell reads from writes
 * by it. */
#include "guest.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

static sigjmp_buf recover;
static struct seen {
    int signo;
    uint64_t trap, err, addr;
    int present; /* arm64: is there a syndrome? */
} seen;

#ifdef __x86_64__
#define AT_TRAP 20 /* gregs: REG_TRAPNO, REG_ERR, REG_CR2, which not every libc names */
#define AT_ERR 19
#define AT_CR2 22
static void look(const ucontext_t *uc)
{
    seen.trap = (uint64_t)uc->uc_mcontext.gregs[AT_TRAP];
    seen.err = (uint64_t)uc->uc_mcontext.gregs[AT_ERR];
    seen.addr = (uint64_t)uc->uc_mcontext.gregs[AT_CR2];
}
#else
#define ESR_RECORD 0x45535201u
static void look(const ucontext_t *uc)
{
    const uint8_t *at = (const uint8_t *)uc->uc_mcontext.__reserved;
    seen.addr = uc->uc_mcontext.fault_address;
    for (;;) {
        uint32_t head[2];
        memcpy(head, at, sizeof(head));
        if (head[0] == 0)
            return;
        if (head[0] == ESR_RECORD) {
            REQUIRE(head[1] == 16);
            memcpy(&seen.err, at + 8, 8);
            seen.present = 1;
        }
        at += head[1];
    }
}
#endif

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)info;
    memset(&seen, 0, sizeof(seen));
    seen.signo = signo;
    look(context);
    siglongjmp(recover, 1);
}

#define FAULT(statement) \
    do { \
        memset(&seen, 0, sizeof(seen)); \
        if (sigsetjmp(recover, 1) == 0) { \
            statement; \
            REQUIRE(!"a fault"); \
        } \
    } while (0)

static void __attribute__((noinline)) call(void *code)
{
    ((void (*)(void))code)();
}

static char *pages(int prot)
{
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    p[0] = 1;
    REQUIRE(mprotect(p, 4096, prot) == 0);
    return p;
}

#ifdef __x86_64__
#define PRESENT 1
#define WRITE 2
#define USER 4
#define FETCH 16
static void test_faults(void)
{
    volatile int *volatile null = NULL;
    char *ro = pages(PROT_READ), *nx = pages(PROT_READ | PROT_WRITE);
    FAULT(*null = 1);
    REQUIRE(seen.signo == SIGSEGV && seen.trap == 14 && seen.err == (WRITE | USER) &&
            seen.addr == 0);
    FAULT((void)*(null + 4));
    REQUIRE(seen.trap == 14 && seen.err == USER && seen.addr == 16);
    FAULT(*(volatile char *)(ro + 8) = 1);
    REQUIRE(seen.trap == 14 && seen.err == (PRESENT | WRITE | USER) &&
            seen.addr == (uintptr_t)ro + 8);
    FAULT(call(nx));
    REQUIRE(seen.trap == 14 && (seen.err & ~(uint64_t)PRESENT) == (FETCH | USER) &&
            seen.addr == (uintptr_t)nx);
    /* What is no page fault leaves the address alone. */
    FAULT(__asm__ volatile("ud2"));
    REQUIRE(seen.signo == SIGILL && seen.trap == 6 && seen.err == 0 && seen.addr == (uintptr_t)nx);
    FAULT(__asm__ volatile("int3"));
    REQUIRE(seen.signo == SIGTRAP && seen.trap == 3 && seen.err == 0);
    volatile int zero = 0;
    FAULT(__asm__ volatile("xorl %%edx, %%edx; movl $1, %%eax; idivl %0" ::"m"(zero)
                           : "eax", "edx"));
    REQUIRE(seen.signo == SIGFPE && seen.trap == 0 && seen.err == 0);
    FAULT((void)*(volatile char *)0x8000000000000000);
    REQUIRE(seen.signo == SIGSEGV && seen.trap == 13 && seen.err == 0);
}
#else
#define CLASS (seen.err >> 26)
#define WRITE 64
static void test_faults(void)
{
    volatile int *volatile null = NULL;
    char *ro = pages(PROT_READ), *nx = pages(PROT_READ | PROT_WRITE);
    FAULT(*null = 1);
    REQUIRE(seen.signo == SIGSEGV && seen.present && CLASS == 0x24 && (seen.err & WRITE) &&
            seen.addr == 0);
    FAULT((void)*(null + 4));
    REQUIRE(CLASS == 0x24 && !(seen.err & WRITE) && seen.addr == 16);
    REQUIRE((seen.err & 0x3c) == 4); /* translation fault */
    FAULT(*(volatile char *)(ro + 8) = 1);
    REQUIRE(CLASS == 0x24 && (seen.err & WRITE) && (seen.err & 0x3c) == 12 &&
            seen.addr == (uintptr_t)ro + 8);
    FAULT(call(nx));
    REQUIRE(CLASS == 0x20 && seen.addr == (uintptr_t)nx);
    FAULT(__asm__ volatile(".inst 0"));
    REQUIRE(seen.signo == SIGILL && seen.present && CLASS == 0 && seen.addr == 0);
    FAULT(__asm__ volatile("brk #0x3e8"));
    REQUIRE(seen.signo == SIGTRAP && CLASS == 0x3c && (seen.err & 0xffff) == 0x3e8);
}
#endif

int main(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        REQUIRE(sigaction(signals[i], &sa, NULL) == 0);
    test_faults();
    return guest_pass("sigcontext");
}
