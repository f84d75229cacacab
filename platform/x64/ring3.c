/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring3.c - running kernel and programs in ring 3.
 *
 * Some hypervisors without hardware support run guest ring 3 on the CPU itself and interpret
 * guest ring 0, some thousand cycles for an instruction (is_interpreted in cpu.c). There everything
 * moves to ring 3, right after the first look at the machine, but a few dozen instructions that
 * only ring 0 may execute (the gates at the end of ring3.S). It stays one ring for kernel and
 * program. What changes:
 *
 *  1. Interrupts cannot be masked, as CLI and STI belong to ring 0: cpu->irq_on is the flag, and
 *     interrupts that come while it is 0 are noted and handled when it is set (ring3.S).
 *  2. The places in the image that deal with the interrupt flag are overwritten (x64_alt.h).
 *  3. MSRs, CR3, INVLPG, CR2 and HLT are reached by an int3 that leads to ring 0.
 *  4. Selectors are those of Linux, since such a hypervisor runs ring 3 against the host's
 *     descriptor table.
 *
 * CPUID in ring 3 may be the CPU's own, and then says more than the same in ring 0: what programs
 * will find there. So vector registers and the like are looked at after the move.
 *
 * `ring=3` on the command line asks for it on any machine.
 */
#include "lib/conframe.h"
#include "lib/string.h"
#include "x64.h"

STATIC_ASSERT(X64_VECTOR_TIMER == 0x20 && X64_VECTOR_COUNT - X64_VECTOR_TIMER <= 32);

#define NOP 0x90
#define CALL_REL32 0xe8
#define JMP_REL32 0xe9
#define REL32_LEN 5

bool x64_ring3, x64_ring3_stays;

/* Before the final page tables the image is writable. */
static void patch(const struct x64_alt *alt)
{
    uint8_t *site = (uint8_t *)(uintptr_t)((uintptr_t)&alt->site + (intptr_t)alt->site);
    const uint8_t *code = (const uint8_t *)((uintptr_t)&alt->code + (intptr_t)alt->code);

    if (alt->code_len > alt->site_len)
        kernel_hal_panic("a replacement does not fit", (uintptr_t)site, 0);
    memcpy(site, code, alt->code_len);
    memset(site + alt->code_len, NOP, (size_t)(alt->site_len - alt->code_len));
    if (alt->code_len == REL32_LEN && (code[0] == CALL_REL32 || code[0] == JMP_REL32)) {
        int32_t distance;

        memcpy(&distance, code + 1, sizeof(distance));
        distance += (int32_t)(code - site);
        memcpy(site + 1, &distance, sizeof(distance));
    }
}

static bool wanted(void)
{
    size_t len;
    const char *value = cmdline_find(x64_boot_info.cmdline, "ring", &len);

    return x64_features.interpreted || (value && len == 1 && *value == '3');
}

/* Not x64_cpuid(), which asks ring 0. */
static struct x64_cpuid own_cpuid(uint32_t leaf)
{
    struct x64_cpuid r;

    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(0));
    return r;
}

/* The local APIC's registers in memory are much cheaper than its MSRs. */
static void features(void)
{
    struct x64_features *f = &x64_features;

    f->x2apic = f->tsc_deadline = false;
    f->rdrand = own_cpuid(1).ecx & (1u << 30);
    f->rdseed = own_cpuid(0).eax >= 7 && (own_cpuid(7).ebx & (1u << 18));
    f->fsgsbase = x64_ring3_fsgsbase();
}

rarely void x64_ring3_choose(void)
{
    if (!wanted())
        return;
    x64_out8(0x21, 0xff); /* both 8259s masked: ring 3 cannot keep their interrupts out */
    x64_out8(0xa1, 0xff);
    for (const struct x64_alt *alt = x64_alt_begin; alt < x64_alt_end; alt++)
        patch(alt);
    x64_ring3 = true;
    x64_cpu_idt();
    x64_cpu_tables(x64_this_cpu());
    x64_cpu_syscall_entry(x64_ring3_probe, false);
    x64_ring3_drop();
    x64_ring3_stays = x64_ring3_syscall_stays();
    x64_cpu_syscall_entry(x64_ring3_syscall, !x64_ring3_stays);
    features();
}

/* Interrupts off. The bits are taken at once: those that come meanwhile are for the next time. */
void x64_ring3_dispatch(void)
{
    uint32_t noted = 0;

    __asm__ volatile("xchgl %0, %%gs:%c1" : "+r"(noted) : "i"(CPU_IRQ_NOTED) : "memory");
    for (; noted; noted &= noted - 1)
        x64_irq_dispatch(X64_VECTOR_TIMER + (unsigned)__builtin_ctz(noted));
}

/* As interrupts of kernel code with interrupts on. One that comes between dispatch and the store is
 * seen by the look behind the store. */
void x64_ring3_drain(void)
{
    unsigned char noted;

    do {
        x64_irq_off();
        x64_ring3_dispatch();
        kernel_preempt();
        __asm__ volatile("movb %2, %%gs:%c3\n\tcmpl $0, %%gs:%c1\n\tsetne %0"
                         : "=q"(noted)
                         : "i"(CPU_IRQ_NOTED), "i"(X64_FLAGS_IF >> 8), "i"(CPU_IRQ_ON + 1)
                         : "memory", "cc");
    } while (noted);
}
