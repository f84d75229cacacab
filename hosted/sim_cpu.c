/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim_cpu.c - the CPU that simulated programs see: the time stamp counter, and CPUID where the host
 * can fault it (arch_prctl(2), ARCH_SET_CPUID). Both arrive as SIGSEGV.
 *
 * The CPU is the same on every host: x86-64-v2 without XSAVE, so that nobody looks for wider
 * registers. The kernel's own CPUID instructions (isa/fp.c, isa/cpuinfo.c) are answered as well, so
 * AT_HWCAP, /proc/cpuinfo and the context switch agree with what programs find. Bits as in the
 * SDM, vol. 2, CPUID. Whoever has FSGSBASE, which the hosted backend needs, has all of it.
 */
#include "sim.h"

#if SELKIE_SIM

#define TSC_NS 20 /* the time that reading the counter takes; the counter runs at 1 GHz */

struct leaf {
    uint32_t number, eax, ebx, ecx, edx;
};

/* FPU, TSC, CX8, CMOV, CLFSH, MMX, FXSR, SSE, SSE2; SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT. */
static const struct leaf leaves[] = {
    {0, 1, 0x6b6c6553, 0x5550436d, 0x69536569}, /* "SelkieSimCPU" in ebx, edx, ecx */
    {1, 0x600, 0x10800, 0x982201, 0x7888111},
    {0x80000000, 0x80000008, 0, 0, 0},
    {0x80000001, 0, 0, 1, 0x20100800}, /* LAHF; SYSCALL, NX, LM */
    {0x80000008, 0x3028, 0, 0, 0},     /* 48 bits of address, 40 of memory */
};

static void cpuid_answer(struct host_ucontext *uc)
{
    struct leaf answer = {0};

    for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
        if (leaves[i].number == (uint32_t)uc->rax)
            answer = leaves[i];
    uc->rax = answer.eax;
    uc->rbx = answer.ebx;
    uc->rcx = answer.ecx;
    uc->rdx = answer.edx;
}

bool sim_cpu_asked(int signo, const struct host_siginfo *info, struct host_ucontext *uc)
{
    const uint8_t *code = (const uint8_t *)uc->rip;
    unsigned length = 2;
    uint64_t now;

    if (signo != HOST_SIGSEGV || info->code != HOST_SI_KERNEL || code[0] != 0x0f)
        return false;
    if (code[1] == 0xa2) { /* cpuid */
        cpuid_answer(uc);
        uc->rip += length;
        return true;
    }
    if (code[1] == 0x01 && code[2] == 0xf9) { /* rdtscp */
        length = 3;
        uc->rcx = vcpu_self()->id;
    } else if (code[1] != 0x31) { /* rdtsc */
        return false;
    }
    sim_pass(TSC_NS);
    now = sim_now();
    uc->rax = (uint32_t)now;
    uc->rdx = now >> 32;
    uc->rip += length;
    return true;
}

#endif
