/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rseq - restartable sequences: registration, the CPU's number in the thread's area, and critical
 * sections that are left for their abort address when the thread loses the CPU, takes a signal, or
 * another thread asks for it (membarrier). Counters of CPUs lose no addition.
 *
 * `rseq signature`, `rseq flags`, `rseq gone`: a bad area ends the program by SIGSEGV.
 */
#include "guest.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef SYS_rseq
#ifdef __x86_64__
#define SYS_rseq 334
#else
#define SYS_rseq 293
#endif
#endif
#define SIGNATURE 0x53053053 /* on aarch64 no instruction, which is what it is for */
#define UNREGISTER 1
#define PRIVATE_EXPEDITED_RSEQ 128
#define REGISTER_PRIVATE_EXPEDITED_RSEQ 256

struct section {
    uint32_t version, flags;
    uint64_t start, length, abort;
};
struct area {
    uint32_t cpu_id_start, cpu_id;
    uint64_t section;
    uint32_t flags, node_id, mm_cid, pad;
} __attribute__((aligned(32)));

static __thread struct area area;
static volatile int stop; /* ends a section that nothing has aborted */

static long rseq(void *at, uint32_t len, int flags, uint32_t signature)
{
    return syscall(SYS_rseq, at, len, flags, signature);
}

/* The C library may have registered an area of its own (glibc 2.35 on). */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));
static void library_off(void)
{
    if (!&__rseq_size || !__rseq_size)
        return;
    char *at = (char *)__builtin_thread_pointer() + __rseq_offset;
    if (((struct area *)(void *)at)->cpu_id >= CPU_SETSIZE)
        return; /* not (any more) */
#ifdef __x86_64__
    uint32_t signature = 0x53053053;
#else
    uint32_t signature = 0xd428bc00;
#endif
    REQUIRE(rseq(at, 32, UNREGISTER, signature) == 0);
}
static void on(void)
{
    library_off();
    REQUIRE(rseq(&area, sizeof area, 0, SIGNATURE) == 0);
}
static void off(void)
{
    REQUIRE(rseq(&area, sizeof area, UNREGISTER, SIGNATURE) == 0);
    REQUIRE(area.cpu_id == (uint32_t)-1 && area.cpu_id_start == 0);
}

/* ---- sections; the area's address is an operand, and the section's is stored last before it ----
 */

#ifdef __x86_64__
#define SECTION(flags, signature) \
    ".pushsection .data.rseq, \"aw\"\n.balign 32\n30: .long 0, " #flags "\n" \
    ".quad 31f, 32f - 31f, 34f\n.popsection\n" \
    ".pushsection .text.rseq, \"ax\"\n.long " #signature "\n34: jmp %l[aborted]\n.popsection\n" \
    "leaq 30b(%%rip), %%rax\nmovq %%rax, 8(%[area])\n31:\n"
#define SPIN "1: movl (%[stop]), %%eax\nmovl $1, (%[entered])\ntestl %%eax, %%eax\njz 1b\n32:\n"
#define ADD \
    "cmpl %[cpu], 4(%[area])\njne %l[aborted]\nmovq (%[counter]), %%rax\nmovl %[delay], %%ecx\n" \
    "1: decl %%ecx\njnz 1b\nincq %%rax\nmovq %%rax, (%[counter])\n32:\n"
#define CLOBBER "memory", "cc", "rax", "rcx"
#else
#define SECTION(flags, signature) \
    ".pushsection .data.rseq, \"aw\"\n.balign 32\n30: .long 0, " #flags "\n" \
    ".quad 31f, 32f - 31f, 34f\n.popsection\n" \
    ".pushsection .text.rseq, \"ax\"\n.long " #signature "\n34: b %l[aborted]\n.popsection\n" \
    "adrp x9, 30b\nadd x9, x9, :lo12:30b\nstr x9, [%[area], #8]\n31:\n"
#define SPIN "mov w10, #1\n1: ldr w9, [%[stop]]\nstr w10, [%[entered]]\ncbz w9, 1b\n32:\n"
#define ADD \
    "ldr w9, [%[area], #4]\ncmp w9, %w[cpu]\nb.ne %l[aborted]\nldr x9, [%[counter]]\n" \
    "mov w10, %w[delay]\n1: subs w10, w10, #1\nb.ne 1b\nadd x9, x9, #1\nstr x9, " \
    "[%[counter]]\n32:\n"
#define CLOBBER "memory", "cc", "x9", "x10"
#endif

/* Stay inside until something aborts it: true. */
#define SPINNER(name, flags, signature) \
    static __attribute__((noinline)) bool name(int *entered) \
    { \
        __asm__ goto(SECTION(flags, signature) SPIN \
                     : \
                     : [area] "r"(&area), [stop] "r"(&stop), [entered] "r"(entered) \
                     : CLOBBER \
                     : aborted); \
        return false; \
    aborted: \
        return true; \
    }
SPINNER(spin, 0, 0x53053053)
SPINNER(spin_signature, 0, 0x12345678)
SPINNER(spin_flags, 1, 0x53053053)

static __attribute__((noinline)) bool try_add(uint64_t *counter, uint32_t cpu, uint32_t delay)
{
    __asm__ goto(SECTION(0, 0x53053053) ADD
                 :
                 : [area] "r"(&area), [cpu] "r"(cpu), [counter] "r"(counter), [delay] "r"(delay)
                 : CLOBBER
                 : aborted);
    return true;
aborted:
    return false;
}

/* ---- registration ---- */

static void test_register(void)
{
    static struct area other;
    library_off();
    REQUIRE_ERRNO(rseq(&area, 0, UNREGISTER, SIGNATURE), EINVAL);
    REQUIRE_ERRNO(rseq((char *)&area + 4, 32, 0, SIGNATURE), EINVAL);
    REQUIRE_ERRNO(rseq(&area, 31, 0, SIGNATURE), EINVAL);
    REQUIRE_ERRNO(rseq(&area, 32, 2, SIGNATURE), EINVAL);
    REQUIRE_ERRNO(rseq((void *)-4096, 32, 0, SIGNATURE), EFAULT);
    REQUIRE(rseq(&area, 32, 0, SIGNATURE) == 0);
    REQUIRE_ERRNO(rseq(&area, 32, 0, SIGNATURE), EBUSY);
    REQUIRE_ERRNO(rseq(&area, 32, 0, 1), EPERM);
    REQUIRE_ERRNO(rseq(&area, 64, 0, SIGNATURE), EINVAL);
    REQUIRE_ERRNO(rseq(&other, 32, 0, SIGNATURE), EINVAL);
    REQUIRE_ERRNO(rseq(&area, 32, UNREGISTER, 1), EPERM);
    REQUIRE_ERRNO(rseq(&area, 64, UNREGISTER, SIGNATURE), EINVAL);
    REQUIRE_ERRNO(rseq(&other, 32, UNREGISTER, SIGNATURE), EINVAL);
    REQUIRE_ERRNO(rseq(&area, 32, UNREGISTER | 4, SIGNATURE), EINVAL);
    REQUIRE(area.cpu_id < CPU_SETSIZE && area.cpu_id_start == area.cpu_id && area.node_id == 0);
    off();
    REQUIRE_ERRNO(rseq(&area, 32, UNREGISTER, SIGNATURE), EINVAL);
    on();
}

static cpu_set_t allowed;
static void pin(int cpu)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
}

static void test_number(void)
{
    for (int turn = 0; turn < 3; turn++)
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (!CPU_ISSET(cpu, &allowed))
                continue;
            pin(cpu);
            REQUIRE(area.cpu_id == (uint32_t)cpu && area.cpu_id_start == (uint32_t)cpu);
            REQUIRE(sched_getcpu() == cpu);
        }
    REQUIRE(sched_setaffinity(0, sizeof allowed, &allowed) == 0);
}

/* ---- what aborts ---- */

static volatile int handled;
static void on_signal(int signo)
{
    handled = signo;
}

struct spinner {
    int cpu; /* to be bound to, or -1 */
    int entered;
    pthread_t thread;
};
static void *spinner(void *arg)
{
    struct spinner *s = arg;
    on();
    if (s->cpu >= 0)
        pin(s->cpu);
    REQUIRE(spin(&s->entered));
    REQUIRE(area.section == 0);
    off();
    return NULL;
}
static void spinner_start(struct spinner *s, int cpu)
{
    *s = (struct spinner){.cpu = cpu};
    REQUIRE(pthread_create(&s->thread, NULL, spinner, s) == 0);
    while (!__atomic_load_n(&s->entered, __ATOMIC_SEQ_CST))
        sched_yield();
}
/* It ends without anybody setting `stop`. */
static void spinner_ends(struct spinner *s)
{
    struct timespec until;
    REQUIRE(clock_gettime(CLOCK_REALTIME, &until) == 0);
    until.tv_sec += 60;
    if (pthread_timedjoin_np(s->thread, NULL, &until) == 0)
        return;
    stop = 1;
    REQUIRE(!"the section was not aborted");
}

static void test_signal(void)
{
    struct spinner s;
    struct sigaction action = {.sa_handler = on_signal};
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    /* Preemption may come before the signal, and then the thread may be gone. */
    for (int tries = 0; tries < 1000 && handled == 0; tries++) {
        spinner_start(&s, -1);
        int err = pthread_kill(s.thread, SIGUSR1);
        REQUIRE(err == 0 || err == ESRCH);
        spinner_ends(&s); /* the handler's frame does not lead back into it */
    }
    REQUIRE(handled == SIGUSR1);
}

/* Two of them on one CPU: each loses it to the other, in the end. */
static void test_preemption(void)
{
    struct spinner a, b;
    int cpu = sched_getcpu();
    spinner_start(&a, cpu);
    spinner_start(&b, cpu);
    spinner_ends(&a);
    struct timespec nap = {0, 1000000};
    pin(cpu);
    for (int i = 0; i < 50; i++) /* b needs somebody to lose the CPU to */
        nanosleep(&nap, NULL);
    spinner_ends(&b);
    REQUIRE(sched_setaffinity(0, sizeof allowed, &allowed) == 0);
}

static void test_membarrier(void)
{
    struct spinner s;
    long known = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    if (!(known & PRIVATE_EXPEDITED_RSEQ)) {
        REQUIRE(!(known & REGISTER_PRIVATE_EXPEDITED_RSEQ));
        return;
    }
    REQUIRE_ERRNO(syscall(SYS_membarrier, PRIVATE_EXPEDITED_RSEQ, 0, 0), EPERM);
    REQUIRE(syscall(SYS_membarrier, REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0);
    REQUIRE_ERRNO(syscall(SYS_membarrier, PRIVATE_EXPEDITED_RSEQ, 2, 0), EINVAL);
    for (int i = 0; i < 20; i++) {
        spinner_start(&s, -1);
        REQUIRE(syscall(SYS_membarrier, PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0);
        spinner_ends(&s);
    }
}

/* ---- counters of CPUs ---- */

#define ADDERS 6
#define ADDITIONS 3000
static struct {
    uint64_t n;
} __attribute__((aligned(64))) counter[CPU_SETSIZE];

static void *adder(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg + 1;
    on();
    for (int i = 0; i < ADDITIONS; i++) {
        for (;;) {
            random = random * 1664525 + 1013904223;
            uint32_t cpu = *(volatile uint32_t *)&area.cpu_id_start;
            if (try_add(&counter[cpu].n, cpu, 1 + random % (i % 64 ? 64 : 60000)))
                break;
        }
        if (i % 256 == 0)
            sched_yield();
    }
    off();
    return NULL;
}

static void test_counters(void)
{
    pthread_t thread[ADDERS];
    uint64_t sum = 0;
    for (uintptr_t i = 0; i < ADDERS; i++)
        REQUIRE(pthread_create(&thread[i], NULL, adder, (void *)i) == 0);
    for (unsigned i = 0; i < ADDERS; i++)
        REQUIRE(pthread_join(thread[i], NULL) == 0);
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        sum += counter[i].n;
    REQUIRE(sum == ADDERS * ADDITIONS);
}

/* ---- bad areas ---- */

static void *kicker(void *arg)
{
    struct timespec nap = {0, 1000000};
    for (int i = 0; i < 60000; i++) {
        nanosleep(&nap, NULL);
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
    }
    return NULL;
}

static int bad(const char *how)
{
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t self = pthread_self(), thread;
    int entered;
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    library_off();
    if (strcmp(how, "gone") == 0) {
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(p != MAP_FAILED && rseq(p, 32, 0, SIGNATURE) == 0 && munmap(p, 4096) == 0);
        kicker(&self);
        return 1;
    }
    REQUIRE(rseq(&area, sizeof area, 0, SIGNATURE) == 0);
    REQUIRE(pthread_create(&thread, NULL, kicker, &self) == 0);
    if (strcmp(how, "signature") == 0)
        spin_signature(&entered);
    else
        spin_flags(&entered);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return bad(argv[1]);
    REQUIRE(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    test_register();
    test_number();
    test_signal();
    test_preemption();
    test_membarrier();
    test_counters();
    return guest_pass("rseq");
}
