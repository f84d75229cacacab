/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vector.c - each thread keeps its own vector registers and rounding mode, as wide as the CPU has
 * them, over yields, preemption and signal handlers that use them too.
 *
 * One block of assembly fills all registers, spins or yields, and stores them again, so that the
 * compiler has no part in what is compared.
 */
#include <pthread.h>
#include <signal.h>

#include "guest.h"

#define THREADS 4
#define ROUNDS 60
#define YIELDS 20
#define SPINS 300000
#define REGISTERS 16
#define WIDTH_MAX 64

#if defined(__x86_64__)
#define SYS_YIELD 24
#define EACH(op, suffix) \
    op(0, suffix) op(1, suffix) op(2, suffix) op(3, suffix) op(4, suffix) op(5, suffix) \
        op(6, suffix) op(7, suffix) op(8, suffix) op(9, suffix) op(10, suffix) op(11, suffix) \
            op(12, suffix) op(13, suffix) op(14, suffix) op(15, suffix)
#define LOAD_X(n, w) "movdqu " #n "*16(%[in]), %%xmm" #n "\n"
#define SAVE_X(n, w) "movdqu %%xmm" #n ", " #n "*16(%[out])\n"
#define LOAD_Y(n, w) "vmovdqu " #n "*32(%[in]), %%ymm" #n "\n"
#define SAVE_Y(n, w) "vmovdqu %%ymm" #n ", " #n "*32(%[out])\n"
#define LOAD_Z(n, w) "vmovdqu64 " #n "*64(%[in]), %%zmm" #n "\n"
#define SAVE_Z(n, w) "vmovdqu64 %%zmm" #n ", " #n "*64(%[out])\n"
#define KEEP(load, save) \
    __asm__ volatile(EACH(load, ) "1: testl %[yield], %[yield]\njz 2f\nmovl %[nr], %%eax\n" \
                                  "syscall\n2: decl %[count]\njnz 1b\n" EACH(save, ) \
                     : [count] "+r"(count) \
                     : [in] "r"(in), [out] "r"(out), [yield] "r"(yield), [nr] "i"(SYS_YIELD) \
                     : "rax", "rcx", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", \
                       "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
                       "xmm13", "xmm14", "xmm15")

static unsigned width(void)
{
    return __builtin_cpu_supports("avx512f") ? 64 : __builtin_cpu_supports("avx") ? 32 : 16;
}

static void keep(const uint8_t *in, uint8_t *out, int yield, unsigned count)
{
    switch (width()) {
    case 64:
        KEEP(LOAD_Z, SAVE_Z);
        break;
    case 32:
        KEEP(LOAD_Y, SAVE_Y);
        break;
    default:
        KEEP(LOAD_X, SAVE_X);
        break;
    }
}

/* MXCSR, bits 13 and 14. */
static unsigned round_get(void)
{
    return __builtin_ia32_stmxcsr() >> 13 & 3;
}

static void round_set(unsigned mode)
{
    __builtin_ia32_ldmxcsr((__builtin_ia32_stmxcsr() & ~(3u << 13)) | mode << 13);
}
#else
#define SYS_YIELD 124

/* FPCR, bits 22 and 23. */
static unsigned round_get(void)
{
    unsigned long fpcr;

    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr >> 22 & 3;
}

static void round_set(unsigned mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"((unsigned long)mode << 22));
}

static unsigned width(void)
{
    return 16;
}

#define PAIRS(op) \
    op " q0, q1, [%[p]]\n" op " q2, q3, [%[p], #32]\n" op " q4, q5, [%[p], #64]\n" op \
       " q6, q7, [%[p], #96]\n" op " q8, q9, [%[p], #128]\n" op " q10, q11, [%[p], #160]\n" op \
       " q12, q13, [%[p], #192]\n" op " q14, q15, [%[p], #224]\n"

static void keep(const uint8_t *in, uint8_t *out, int yield, unsigned count)
{
    const uint8_t *p = in;

    __asm__ volatile(PAIRS("ldp") "1: cbz %w[yield], 2f\nmov x8, %[nr]\nsvc #0\n"
                                  "2: subs %w[count], %w[count], #1\nb.ne 1b\n"
                                  "mov %[p], %[out]\n" PAIRS("stp")
                     : [count] "+r"(count), [p] "+r"(p)
                     : [out] "r"(out), [yield] "r"(yield), [nr] "i"(SYS_YIELD)
                     : "x0", "x8", "memory", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7",
                       "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15");
}
#endif

static volatile sig_atomic_t signals;
static volatile int stop; /* all signals have been sent */

static void fill(uint8_t *buf, unsigned seed)
{
    for (unsigned i = 0; i < REGISTERS * WIDTH_MAX; i++)
        buf[i] = (uint8_t)(seed * 37 + i * 11 + (i >> 8));
}

/* What the handler leaves in the registers must not be seen by what it interrupted. */
static void handler(int signo)
{
    uint8_t in[REGISTERS * WIDTH_MAX], out[REGISTERS * WIDTH_MAX];

    (void)signo;
    memset(in, 0x5a, sizeof(in));
    keep(in, out, 0, 1);
    signals = 1;
}

static void *body(void *arg)
{
    unsigned id = (unsigned)(uintptr_t)arg;
    uint8_t in[REGISTERS * WIDTH_MAX], out[REGISTERS * WIDTH_MAX];

    round_set(id % 4);
    for (unsigned round = 0; round < ROUNDS || !stop; round++) {
        int yield = round % 2 == 0;

        fill(in, id * ROUNDS + round);
        memset(out, 0, sizeof(out));
        keep(in, out, yield, yield ? YIELDS : SPINS);
        REQUIRE(memcmp(in, out, (size_t)REGISTERS * width()) == 0);
        REQUIRE(round_get() == id % 4);
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    pthread_t thread[THREADS];

    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&thread[i], NULL, body, (void *)i) == 0);
    for (unsigned i = 0; i < 200; i++) {
        REQUIRE(pthread_kill(thread[i % THREADS], SIGUSR1) == 0);
        usleep(200);
    }
    stop = 1;
    for (unsigned i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(thread[i], NULL) == 0);
    REQUIRE(signals == 1);
    return guest_pass("vector");
}
