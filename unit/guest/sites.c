/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sites.c - x86-64: system-call sites of several shapes, at every alignment, each executed by four
 * threads at once from the first time on, so that some of them are on it while it is being changed.
 * And breakpoints of the program's own, which are its own all the while.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "guest.h"

#if !defined(__x86_64__)
int main(void)
{
    return guest_pass("sites");
}
#else
enum { THREADS = 4, COPIES = 2, ALIGNMENTS = 8, SHAPES = 3, SLOT = 128, LEAD = 64 };
enum { SITES = COPIES * ALIGNMENTS * SHAPES };

/* mov $39, %eax; syscall; ret */
static const uint8_t plain[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
/* An address relative to the instruction: it must be the mark's. Lea to mark: 13 bytes. */
static const uint8_t relative[] = {0xb8, 39,   0,    0,    0,       /* mov $39, %eax */
                                   0x48, 0x8d, 0x35, 0x0d, 0, 0, 0, /* lea mark, %rsi */
                                   0x31, 0xff,                      /* xor %edi, %edi */
                                   0x0f, 0x05,                      /* syscall */
                                   0x80, 0x3e, 0x5a,                /* cmpb $0x5a, (%rsi) */
                                   0x74, 0x02,                      /* je 1f */
                                   0x31, 0xc0,                      /* xor %eax, %eax */
                                   0xc3,                            /* 1: ret */
                                   0x90, 0x5a};                     /* mark */
/* As glibc's read: a variable compared, a conditional jump that is not taken. */
static const uint8_t conditional[] = {0x80, 0x3d, 0x0c, 0, 0, 0, 0x01, /* cmpb $1, flag */
                                      0x75, 0x07,                      /* jne 1f */
                                      0x31, 0xd2,                      /* xor %edx, %edx */
                                      0x89, 0xf8,                      /* mov %edi, %eax */
                                      0x0f, 0x05,                      /* syscall */
                                      0xc3,                            /* ret */
                                      0x31, 0xc0,                      /* 1: xor %eax, %eax */
                                      0xc3, 0x01};                     /* ret; flag */

static const struct {
    const uint8_t *code;
    size_t len;
} shapes[SHAPES] = {
    {plain, sizeof plain}, {relative, sizeof relative}, {conditional, sizeof conditional}};

typedef long (*site_fn)(long nr);
static site_fn sites[SITES];
static int arrived[SITES];
static pid_t self;

static void build(void)
{
    uint8_t *code = mmap(NULL, (size_t)SITES * SLOT, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(code != MAP_FAILED);
    memset(code, 0x90, (size_t)SITES * SLOT);
    for (size_t i = 0; i < SITES; i++) {
        uint8_t *at = code + i * SLOT + LEAD + i / SHAPES % ALIGNMENTS;
        memcpy(at, shapes[i % SHAPES].code, shapes[i % SHAPES].len);
        sites[i] = (site_fn)(uintptr_t)at;
    }
    REQUIRE(mprotect(code, (size_t)SITES * SLOT, PROT_READ | PROT_EXEC) == 0);
}

static void *caller(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < SITES; i++) {
        __atomic_add_fetch(&arrived[i], 1, __ATOMIC_ACQ_REL);
        for (int spins = 0; __atomic_load_n(&arrived[i], __ATOMIC_ACQUIRE) < THREADS; spins++)
            if (spins > 1000)
                sched_yield();
        for (int round = 0; round < 12; round++)
            REQUIRE(sites[i](39) == self);
    }
    return NULL;
}

/* ---- breakpoints ---- */

static int traps;
static bool stop;

static void on_trap(int signo)
{
    (void)signo;
    traps++;
}

static void *breaker(void *arg)
{
    struct sigaction sa = {.sa_handler = on_trap};
    (void)arg;
    REQUIRE(sigaction(SIGTRAP, &sa, NULL) == 0);
    int rounds = 0;
    do {
        __asm__ volatile("int3");
        __asm__ volatile(".byte 0xcd, 3"); /* int $3 */
        rounds++;
    } while (!__atomic_load_n(&stop, __ATOMIC_RELAXED));
    REQUIRE(traps == 2 * rounds);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS], trapper;
    self = getpid();
    build();
    REQUIRE(pthread_create(&trapper, NULL, breaker, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, caller, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    REQUIRE(pthread_join(trapper, NULL) == 0);
    return guest_pass("sites");
}
#endif
