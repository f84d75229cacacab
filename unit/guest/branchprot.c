/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * branchprot.c - pointer authentication and landing pads as arm64 Linux gives them to programs:
 * keys per process, new ones for a thread on demand and at execve; PROT_BTI; BTYPE in signal
 * frames. On a CPU that has both (QEMU's max); elsewhere, and on x86-64, there is nothing to try.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include "guest.h"

#ifndef __aarch64__
int main(void)
{
    return guest_pass("branchprot");
}
#else

#ifndef PR_PAC_RESET_KEYS
#define PR_PAC_RESET_KEYS 54
#endif
#ifndef PROT_BTI
#define PROT_BTI 0x10
#endif
#define BIT_PACA (1ul << 30)
#define BIT_PACG (1ul << 31)
#define BIT2_BTI (1ul << 17)
#define KEY_IA 1
#define KEY_IB 2
#define KEY_DA 4
#define PSTATE_BTYPE 0xc00u

static uint64_t sign(uint64_t pointer, uint64_t modifier)
{
    __asm__ volatile(".arch armv8.3-a\n pacia %0, %1" : "+r"(pointer) : "r"(modifier));
    return pointer;
}

static uint64_t check(uint64_t pointer, uint64_t modifier)
{
    __asm__ volatile(".arch armv8.3-a\n autia %0, %1" : "+r"(pointer) : "r"(modifier));
    return pointer;
}

/* What each key (IA, DA, DB, the generic one) makes of many modifiers, in a word each: a signature
 * has as few as seven bits, so that two keys agree about one of them in every 128. */
static void sign_all(uint64_t pointer, uint64_t out[4])
{
    memset(out, 0, 4 * sizeof(out[0]));
    for (uint64_t modifier = 0; modifier < 32; modifier++) {
        uint64_t signature[4] = {sign(pointer, modifier), pointer, pointer, 0};

        __asm__ volatile(".arch armv8.3-a\n pacda %0, %1" : "+r"(signature[1]) : "r"(modifier));
        __asm__ volatile(".arch armv8.3-a\n pacdb %0, %1" : "+r"(signature[2]) : "r"(modifier));
        __asm__ volatile(".arch armv8.3-a\n pacga %0, %1, %2"
                         : "=r"(signature[3])
                         : "r"(pointer), "r"(modifier));
        for (int i = 0; i < 4; i++)
            out[i] = (out[i] ^ signature[i] >> 32) * 0x100000001b3u;
    }
}

static sigjmp_buf back;
static volatile int got_signal, got_code, times;
static volatile uint64_t got_btype;

static void caught(int signo, siginfo_t *info, void *context)
{
    (void)context;
    got_signal = signo;
    got_code = info->si_code;
    siglongjmp(back, 1);
}

/* Go on at the same place: with what the frame says the first time, as if no branch had led there
 * the second. */
static void caught_at_pad(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    got_signal = signo;
    got_code = info->si_code;
    got_btype = uc->uc_mcontext.pstate & PSTATE_BTYPE;
    if (++times == 2)
        uc->uc_mcontext.pstate &= ~(uint64_t)PSTATE_BTYPE;
}

static void handle(int signo, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER};

    REQUIRE(sigaction(signo, &sa, NULL) == 0);
}

static char object[64];

static void signatures(void)
{
    uint64_t pointer = (uint64_t)object, signature = sign(pointer, 1);
    int distinct = 0;

    for (uint64_t modifier = 0; modifier < 64; modifier++)
        distinct += sign(pointer, modifier) != signature;
    REQUIRE(distinct >= 48); /* of 63: of seven bits each, less than 60 are in one run of 600 */
    REQUIRE(check(signature, 1) == pointer);
}

/* An address whose signature is wrong cannot be used, whether the CPU says so at the check or at
 * the use. */
static void forged(void)
{
    uint64_t pointer = (uint64_t)object, forged_pointer = sign(pointer, 1) ^ 1ull << 50;

    handle(SIGSEGV, caught);
    handle(SIGILL, caught);
    handle(SIGBUS, caught);
    if (sigsetjmp(back, 1) == 0) {
        *(volatile char *)check(forged_pointer, 1) = 1;
        REQUIRE(!"a forged address worked");
    }
    REQUIRE(got_signal == SIGSEGV || got_signal == SIGILL);
}

static void *thread_body(void *arg)
{
    uint64_t *want = arg, mine[4], after[4];

    sign_all((uint64_t)object, mine);
    REQUIRE(memcmp(want, mine, sizeof(mine)) == 0); /* one process, the same keys */
    REQUIRE(prctl(PR_PAC_RESET_KEYS, KEY_IA | KEY_DA, 0, 0, 0) == 0);
    sign_all((uint64_t)object, after);
    REQUIRE(after[0] != mine[0] && after[1] != mine[1]);
    REQUIRE(after[2] == mine[2] && after[3] == mine[3]);
    for (int i = 0; i < 200; i++) { /* they stay over switches and calls */
        usleep(10);
        sign_all((uint64_t)object, mine);
        REQUIRE(memcmp(after, mine, sizeof(mine)) == 0);
    }
    return NULL;
}

static void threads(void)
{
    uint64_t mine[4], later[4];
    pthread_t thread[6];

    sign_all((uint64_t)object, mine);
    for (int i = 0; i < 6; i++)
        REQUIRE(pthread_create(&thread[i], NULL, thread_body, mine) == 0);
    for (int i = 0; i < 200; i++) {
        usleep(10);
        sign_all((uint64_t)object, later);
        REQUIRE(memcmp(later, mine, sizeof(mine)) == 0);
    }
    for (int i = 0; i < 6; i++)
        pthread_join(thread[i], NULL);
    REQUIRE_ERRNO(prctl(PR_PAC_RESET_KEYS, 1 << 5, 0, 0, 0), EINVAL);
    REQUIRE_ERRNO(prctl(PR_PAC_RESET_KEYS, KEY_IA, 1, 0, 0), EINVAL);
    REQUIRE(prctl(PR_PAC_RESET_KEYS, 0, 0, 0, 0) == 0);
    sign_all((uint64_t)object, later);
    for (int i = 0; i < 4; i++)
        REQUIRE(later[i] != mine[i]);
}

#define INSN_NOP 0xd503201fu
#define INSN_BTI_C 0xd503245fu
#define INSN_RET 0xd65f03c0u
#define INSN_SVC 0xd4000001u
#define INSN_MOV_X8_GETPID 0xd2801588u /* mov x8, #172 */

/* Not asked for, no matter. (A page of its own: QEMU goes on with what it has translated once.) */
static void unguarded(long page)
{
    uint32_t *code =
        mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(code != MAP_FAILED);
    code[0] = INSN_NOP;
    code[1] = INSN_RET;
    __builtin___clear_cache((char *)code, (char *)(code + 2));
    REQUIRE(mprotect(code, (size_t)page, PROT_READ | PROT_EXEC) == 0);
    ((void (*)(void))code)();
}

static void landing_pads(void)
{
    long page = sysconf(_SC_PAGESIZE);
    uint32_t *code =
        mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void (*with)(void), (*without)(void);
    long (*call)(void);

    REQUIRE(code != MAP_FAILED);
    code[0] = INSN_BTI_C;
    code[1] = INSN_RET;
    code[2] = INSN_NOP;
    code[3] = INSN_RET;
    code[4] = INSN_BTI_C;
    code[5] = INSN_MOV_X8_GETPID;
    code[6] = INSN_SVC;
    code[7] = INSN_RET;
    __builtin___clear_cache((char *)code, (char *)(code + 8));
    with = (void (*)(void))code;
    without = (void (*)(void))(code + 2);
    call = (long (*)(void))(code + 4);
    REQUIRE(mprotect(code, (size_t)page, PROT_READ | PROT_EXEC | PROT_BTI) == 0);
    with();
    for (int i = 0; i < 5; i++) /* also by the way that the kernel makes itself */
        REQUIRE(call() == getpid());
    handle(SIGILL, caught);
    got_signal = 0;
    if (sigsetjmp(back, 1) == 0)
        without();
    REQUIRE(got_signal == SIGILL && got_code == ILL_ILLOPC);

    handle(SIGILL, caught_at_pad);
    times = 0;
    without();
    REQUIRE(times == 2 && got_btype == 0x800); /* reached by a call */
    unguarded(page);
    REQUIRE(times == 2);
    REQUIRE_ERRNO(mprotect(code, (size_t)page, PROT_READ | 0x40), EINVAL);
}

int main(int argc, char **argv)
{
    char text[32];
    uint64_t signatures_of[4], before = argc > 1 ? strtoull(argv[1], NULL, 16) : 0;

    if (!(getauxval(AT_HWCAP) & BIT_PACA) || !(getauxval(AT_HWCAP2) & BIT2_BTI)) {
        REQUIRE(!"the machine has no pointer authentication or no BTI");
    }
    REQUIRE(getauxval(AT_HWCAP) & BIT_PACG);
    sign_all(0x123450, signatures_of);
    if (argc > 1) { /* another program has other keys */
        REQUIRE(signatures_of[0] != before);
        return guest_pass("branchprot");
    }
    signatures();
    forged();
    threads();
    landing_pads();
    snprintf(text, sizeof(text), "%llx", (unsigned long long)signatures_of[0]);
    execl("/proc/self/exe", argv[0], text, NULL);
    REQUIRE(!"execl");
}
#endif
