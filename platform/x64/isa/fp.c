/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fp.c - the vector and x87 registers of programs: XSAVE in its standard format, FXSAVE on CPUs
 * without it.
 *
 * Saved are x87, SSE, AVX and AVX-512. Left out: MPX (dead), PKRU (no protection keys here), AMX
 * (needs an arch_prctl permission that the kernel does not grant). The area is laid out as Linux
 * lays out a signal frame's, so sigframe.c copies it.
 *
 * Nothing here may be instrumented: hosted saves and restores around sanitized code.
 */
#include "isa/fp.h"

#include "isa.h"
#include "lib/string.h"

#define CPUID1_ECX_OSXSAVE (1u << 27)
#define FP_WANTED (FP_X87 | FP_SSE | 4ull /* AVX */ | 0xe0ull /* AVX-512 */)
#define FP_EXTENDED_FIRST 2
#define FP_EXTENDED_LAST 7

struct isa_fp_info isa_fp_info;

static void fp_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(subleaf));
}

static uint64_t fp_xcr0(void)
{
    uint32_t lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* End of the last wanted component (SDM vol. 1, 13.4.3: offsets in the standard format). */
static size_t fp_area_size(uint64_t features)
{
    size_t size = FP_LEGACY_SIZE + FP_HEADER_SIZE;

    for (unsigned i = FP_EXTENDED_FIRST; i <= FP_EXTENDED_LAST; i++) {
        uint32_t r[4];

        if (!(features & (1ull << i)))
            continue;
        fp_cpuid(0xd, i, r);
        size = MAX(size, (size_t)r[0] + r[1]);
    }
    return size;
}

/* FXSAVE reports which bits of MXCSR exist; 0 means the first processors' 0xffbf. */
static uint32_t fp_mxcsr_mask(void)
{
    uint8_t area[FP_LEGACY_SIZE] __attribute__((aligned(16))) = {0};
    uint32_t mask;

    __asm__ volatile("fxsave64 %0" : "+m"(area));
    memcpy(&mask, area + FP_MXCSR_MASK, sizeof(mask));
    return mask ? mask : 0xffbf;
}

void isa_fp_setup(void)
{
    struct isa_fp_info info = {.size = FP_LEGACY_SIZE, .features = FP_X87 | FP_SSE};
    uint32_t r[4];

    /* All CPUs are alike; later callers find the work done. */
    if (__atomic_load_n(&isa_fp_info.size, __ATOMIC_ACQUIRE))
        return;
    info.mxcsr_mask = fp_mxcsr_mask();
    fp_cpuid(1, 0, r);
    if (r[2] & CPUID1_ECX_OSXSAVE) {
        info.xsave = true;
        info.features = fp_xcr0() & FP_WANTED;
        info.size = fp_area_size(info.features);
    }
    isa_fp_info.xsave = info.xsave;
    isa_fp_info.mxcsr_mask = info.mxcsr_mask;
    isa_fp_info.features = info.features;
    /* Release: the other fields before the one that says they are there. */
    __atomic_store_n(&isa_fp_info.size, info.size, __ATOMIC_RELEASE);
}

size_t isa_fp_size(void)
{
    return isa_fp_info.size;
}

void isa_fp_init(void *area)
{
    uint8_t *p = area;
    const uint16_t fcw = FP_FCW_INIT;
    const uint32_t mxcsr = FP_MXCSR_INIT;

    memset(p, 0, isa_fp_info.size);
    memcpy(p + FP_FCW, &fcw, sizeof(fcw));
    memcpy(p + FP_MXCSR, &mxcsr, sizeof(mxcsr));
    memcpy(p + FP_MXCSR_MASK, &isa_fp_info.mxcsr_mask, sizeof(isa_fp_info.mxcsr_mask));
    if (isa_fp_info.xsave)
        p[FP_XSTATE_BV] = FP_X87 | FP_SSE;
}

no_sanitize void isa_fp_save(void *area)
{
    if (isa_fp_info.xsave)
        __asm__ volatile("xsave64 (%0)"
                         :
                         : "r"(area), "a"((uint32_t)isa_fp_info.features), "d"(0)
                         : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

no_sanitize void isa_fp_restore(const void *area)
{
    if (isa_fp_info.xsave)
        __asm__ volatile("xrstor64 (%0)"
                         :
                         : "r"(area), "a"((uint32_t)isa_fp_info.features), "d"(0)
                         : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

/* AT_HWCAP is CPUID.1:EDX. AT_HWCAP2 stays 0: FSGSBASE (bit 1) would invite programs to change GS,
 * which is the kernel's here. */
void isa_hwcap(uint64_t *hwcap, uint64_t *hwcap2)
{
    uint32_t r[4];

    fp_cpuid(1, 0, r);
    *hwcap = r[3];
    *hwcap2 = 0;
}
