/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fp.c - the vector and x87 registers of programs, in XSAVE's standard format; FXSAVE on CPUs
 * without it.
 *
 * Saved are x87, SSE, AVX and AVX-512. Left out: MPX (dead), PKRU (no protection keys here), AMX
 * (needs an arch_prctl permission that the kernel does not grant). The area is laid out as Linux
 * lays out a signal frame's, so sigframe.c copies it.
 *
 * A pair of XSAVE and XRSTOR takes 150 ns where 2 KiB of plain stores and loads take 20 (AMD Zen
 * 5): it was half of a thread switch. So where XGETBV tells which components are in use (XINUSE,
 * SDM vol. 1, 13.6), those are moved by hand:
 *  - save: what is in use is stored, and XSTATE_BV says so. SSE always is: moving it costs less
 * than to ask. Components not in use have their initial values; they are not stored.
 *  - restore: what XSTATE_BV names is loaded, and what is in use besides is cleared. The CPU may
 *    then still count a component of zeros as used; that costs time only.
 *  - x87 is moved by FXSAVE and FXRSTOR, and only if used; nothing but XRSTOR takes it out of use.
 *    Where the CPU does not tell (QEMU's TCG), it is moved always, by XSAVE and XRSTOR of x87
 * alone: there they take half as long, because the others are moved by plain code. An area is the
 * same to XRSTOR and to the restore by hand.
 *
 * AMD CPUs before Zen (no XSAVEERPTR, APM vol. 2, 11.4.4) leave the x87 exception pointers as they
 * are, on saving and loading, unless an exception is pending: they would show a thread where
 * another one has computed. So there they are set to something harmless before each restore.
 *
 * Nothing here may be instrumented: hosted saves and restores around sanitized code.
 */
#include "isa/fp.h"

#include "isa.h"
#include "lib/string.h"

#define CPUID1_ECX_OSXSAVE (1u << 27)
#define CPUID7_EBX_AVX512BW (1u << 30) /* 64-bit mask registers */
#define CPUIDD1_EAX_XGETBV1 (1u << 2)
#define CPUID0_EBX_AMD 0x68747541u   /* "Auth" */
#define CPUID0_EBX_HYGON 0x6f677948u /* "Hygo" */
#define CPUIDX_ADDRESS_SIZES 0x80000008u
#define CPUIDX8_EBX_XSAVEERPTR (1u << 2)
#define FP_AVX512 (FP_OPMASK | FP_HI256 | FP_HI16)
#define FP_WANTED (FP_X87 | FP_SSE | FP_AVX | FP_AVX512)
#define FP_ST 32   /* 8 registers of 16 bytes */
#define FP_XMM 160 /* 16 of 16 bytes */

/* Component numbers. */
enum { AVX = 2, OPMASK = 5, HI256 = 6, HI16 = 7 };

struct isa_fp_info isa_fp_info;

static void fp_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(subleaf));
}

/* 0: XCR0, the enabled components. 1: of those, the ones in use. */
static inline __attribute__((always_inline)) no_sanitize uint64_t fp_xgetbv(uint32_t which)
{
    uint32_t lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(which));
    return (uint64_t)hi << 32 | lo;
}

/* Where the components are, and the end of the last one (SDM vol. 1, 13.4.3: standard format). */
static void fp_layout(struct isa_fp_info *info)
{
    info->size = FP_LEGACY_SIZE + FP_HEADER_SIZE;
    for (unsigned i = FP_EXTENDED_FIRST; i <= FP_EXTENDED_LAST; i++) {
        uint32_t r[4];

        if (!(info->features & (1ull << i)))
            continue;
        fp_cpuid(0xd, i, r);
        info->length[i] = (uint16_t)r[0];
        info->offset[i] = (uint16_t)r[1];
        info->size = MAX(info->size, (size_t)r[0] + r[1]);
    }
}

/* Are all components of the kinds that the code below knows, with its sizes? */
static bool fp_by_hand(const struct isa_fp_info *info)
{
    uint64_t avx512 = info->features & FP_AVX512;
    uint32_t r[4];

    fp_cpuid(0xd, 1, r);
    if (!(r[0] & CPUIDD1_EAX_XGETBV1))
        return false;
    if ((info->features & FP_AVX) && info->length[AVX] != 256)
        return false;
    if (!avx512)
        return true;
    fp_cpuid(7, 0, r);
    return avx512 == FP_AVX512 && (info->features & FP_AVX) && (r[1] & CPUID7_EBX_AVX512BW) &&
           info->length[OPMASK] == 64 && info->length[HI256] == 512 && info->length[HI16] == 1024;
}

static bool fp_pointers_leak(void)
{
    uint32_t r[4];

    fp_cpuid(0, 0, r);
    if (r[1] != CPUID0_EBX_AMD && r[1] != CPUID0_EBX_HYGON)
        return false;
    fp_cpuid(0x80000000u, 0, r);
    if (r[0] < CPUIDX_ADDRESS_SIZES)
        return true;
    fp_cpuid(CPUIDX_ADDRESS_SIZES, 0, r);
    return !(r[1] & CPUIDX8_EBX_XSAVEERPTR);
}

static inline __attribute__((always_inline)) no_sanitize void fp_xsave(void *area, uint32_t what)
{
    __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(what), "d"(0) : "memory");
}

static inline __attribute__((always_inline)) no_sanitize void fp_xrstor(const void *area,
                                                                        uint32_t what)
{
    __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(what), "d"(0) : "memory");
}

/* Is x87 in use still after it was given its initial state? The program's is not there yet. */
rarely static bool fp_x87_untracked(void)
{
    uint8_t initial[FP_LEGACY_SIZE + FP_HEADER_SIZE] __attribute__((aligned(64))) = {0};

    fp_xrstor(initial, FP_X87);
    return fp_xgetbv(1) & FP_X87;
}

/* What every x86-64 CPU has: in the simulation programs and the kernel's memory see no more of the
 * host's. CPUID.1:EDX: FPU, TSC, CX8, CMOV, CLFSH, MMX, FXSR, SSE, SSE2, as hosted/sim_cpu.c. */
#define COMMON_HWCAP 0x7888111u
#define COMMON_MXCSR 0xffffu /* without AMD's misaligned mode */

/* FXSAVE reports which bits of MXCSR exist; 0 means the first processors' 0xffbf. */
static uint32_t fp_mxcsr_mask(void)
{
    uint8_t area[FP_LEGACY_SIZE] __attribute__((aligned(16))) = {0};
    uint32_t mask;

    __asm__ volatile("fxsave64 %0" : "+m"(area));
    memcpy(&mask, area + FP_MXCSR_MASK, sizeof(mask));
    if (!mask)
        return 0xffbf;
    return SELKIE_SIM ? mask & COMMON_MXCSR : mask;
}

rarely void isa_fp_setup(void)
{
    struct isa_fp_info info = {.size = FP_LEGACY_SIZE, .features = FP_X87 | FP_SSE};
    uint32_t r[4];
    size_t size;

    /* All CPUs are alike; later callers find the work done. */
    if (__atomic_load_n(&isa_fp_info.size, __ATOMIC_ACQUIRE))
        return;
    info.mxcsr_mask = fp_mxcsr_mask();
    info.pointers_leak = fp_pointers_leak();
    fp_cpuid(1, 0, r);
    if (r[2] & CPUID1_ECX_OSXSAVE) {
        info.xsave = true;
        info.features = fp_xgetbv(0) & FP_WANTED;
        fp_layout(&info);
        info.by_hand = !info.pointers_leak && fp_by_hand(&info);
        info.x87_untracked = info.by_hand && fp_x87_untracked();
    }
    size = info.size;
    info.size = 0;
    isa_fp_info = info;
    /* Release: the other fields before the one that says they are there. */
    __atomic_store_n(&isa_fp_info.size, size, __ATOMIC_RELEASE);
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
    /* x87 is not in use until the program uses it. */
    if (isa_fp_info.xsave)
        p[FP_XSTATE_BV] = FP_SSE;
}

void isa_fp_complete(void *area)
{
    const uint16_t fcw = FP_FCW_INIT;
    uint8_t *p = area;
    uint64_t held;

    if (!isa_fp_info.xsave)
        return;
    memcpy(&held, p + FP_XSTATE_BV, sizeof(held));
    if (!(held & FP_X87)) {
        memset(p, 0, FP_MXCSR);
        memcpy(p + FP_FCW, &fcw, sizeof(fcw));
        memset(p + FP_ST, 0, FP_XMM - FP_ST);
    }
    if (!(held & FP_SSE))
        memset(p + FP_XMM, 0, 256);
    for (unsigned i = FP_EXTENDED_FIRST; i <= FP_EXTENDED_LAST; i++)
        if (!(held & (1ull << i)) && isa_fp_info.length[i])
            memset(p + isa_fp_info.offset[i], 0, isa_fp_info.length[i]);
}

/* ---- moving registers; `%0` is where the component's memory begins ---- */

#define EACH(list, insn) ".irp n," list "\n\t" insn "\n\t.endr\n\t"
#define LOW8 "0,1,2,3,4,5,6,7"
#define LOW16 LOW8 ",8,9,10,11,12,13,14,15"
#define HIGH16 "16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
/* No clobbers are named: the compiler has no use for these registers here. */
#define MOVE(insns, at) __asm__ volatile(insns : : "r"(at) : "memory")

static inline __attribute__((always_inline)) no_sanitize void fp_save_by_hand(uint8_t *p)
{
    const struct isa_fp_info *info = &isa_fp_info;
    uint64_t used = fp_xgetbv(1) & info->features;

    if (info->x87_untracked)
        fp_xsave(p, FP_X87);
    if ((used & FP_X87) && !info->x87_untracked)
        __asm__ volatile("fxsave64 (%0)" : : "r"(p) : "memory");
    else
        MOVE("stmxcsr 24(%0)\n\t" EACH(LOW16, "movaps %%xmm\\n, 160+16*\\n(%0)"), p);
    if (used & FP_AVX)
        MOVE(EACH(LOW16, "vextractf128 $1, %%ymm\\n, 16*\\n(%0)"), p + info->offset[AVX]);
    if (used & FP_OPMASK)
        MOVE(EACH(LOW8, "kmovq %%k\\n, 8*\\n(%0)"), p + info->offset[OPMASK]);
    if (used & FP_HI256)
        MOVE(EACH(LOW16, "vextractf64x4 $1, %%zmm\\n, 32*\\n(%0)"), p + info->offset[HI256]);
    if (used & FP_HI16)
        MOVE(EACH(HIGH16, "vmovups %%zmm\\n, 64*\\n-1024(%0)"), p + info->offset[HI16]);
    *(uint64_t *)(p + FP_XSTATE_BV) = used | FP_SSE;
}

/* False: this needs XRSTOR. */
static inline __attribute__((always_inline)) no_sanitize bool fp_restore_by_hand(const uint8_t *p)
{
    const struct isa_fp_info *info = &isa_fp_info;
    uint64_t held = *(const uint64_t *)(p + FP_XSTATE_BV);
    uint64_t used = fp_xgetbv(1);

    if (!(held & FP_SSE) || ((used & ~held & FP_X87) && !info->x87_untracked))
        return false;
    if (info->x87_untracked)
        fp_xrstor(p, FP_X87);
    if ((held & FP_X87) && !info->x87_untracked)
        __asm__ volatile("fxrstor64 (%0)" : : "r"(p) : "memory");
    else
        MOVE("ldmxcsr 24(%0)\n\t" EACH(LOW16, "movaps 160+16*\\n(%0), %%xmm\\n"), p);
    if (used & (FP_AVX | FP_HI256))
        __asm__ volatile("vzeroupper");
    /* Each clears the register beyond what it loads, so in this order. */
    if (held & FP_AVX)
        MOVE(EACH(LOW16, "vinsertf128 $1, 16*\\n(%0), %%ymm\\n, %%ymm\\n"), p + info->offset[AVX]);
    if (held & FP_HI256)
        MOVE(EACH(LOW16, "vinsertf64x4 $1, 32*\\n(%0), %%zmm\\n, %%zmm\\n"),
             p + info->offset[HI256]);
    if (held & FP_OPMASK)
        MOVE(EACH(LOW8, "kmovq 8*\\n(%0), %%k\\n"), p + info->offset[OPMASK]);
    else if (used & FP_OPMASK)
        __asm__ volatile(EACH(LOW8, "kxorq %%k\\n, %%k\\n, %%k\\n") : :);
    if (held & FP_HI16)
        MOVE(EACH(HIGH16, "vmovups 64*\\n-1024(%0), %%zmm\\n"), p + info->offset[HI16]);
    else if (used & FP_HI16)
        __asm__ volatile(EACH(HIGH16, "vpxord %%zmm\\n, %%zmm\\n, %%zmm\\n") : :);
    return true;
}

no_sanitize void isa_fp_save(void *area)
{
    if (isa_fp_info.by_hand)
        fp_save_by_hand(area);
    else if (isa_fp_info.xsave)
        fp_xsave(area, (uint32_t)isa_fp_info.features);
    else
        __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

no_sanitize void isa_fp_restore(const void *area)
{
    if (isa_fp_info.by_hand && fp_restore_by_hand(area))
        return;
    /* Without a pending exception, and with an empty register: the load cannot fail. Its own
     * address and operand are what the pointers show. */
    if (isa_fp_info.pointers_leak)
        __asm__ volatile("fnclex\n\temms\n\tfildl (%0)" : : "r"(area) : "memory");
    if (isa_fp_info.xsave)
        fp_xrstor(area, (uint32_t)isa_fp_info.features);
    else
        __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

no_sanitize void isa_fp_prefetch(const void *area, bool close)
{
    const struct isa_fp_info *info = &isa_fp_info;
    const uint8_t *p = area;

    if (!close) {
        isa_prefetch(p, FP_XMM + 256);
        isa_prefetch(p + FP_XSTATE_BV, 8);
        return;
    }
    for (unsigned i = FP_EXTENDED_FIRST; i <= FP_EXTENDED_LAST; i++)
        if (*(const uint64_t *)(p + FP_XSTATE_BV) & 1ull << i)
            isa_prefetch(p + info->offset[i], info->length[i]);
}

/* AT_HWCAP is CPUID.1:EDX. AT_HWCAP2 stays 0: FSGSBASE (bit 1) would invite programs to change GS,
 * which is the kernel's here. */
void isa_hwcap(uint64_t *hwcap, uint64_t *hwcap2)
{
    uint32_t r[4];

    fp_cpuid(1, 0, r);
    *hwcap = SELKIE_SIM ? r[3] & COMMON_HWCAP : r[3];
    *hwcap2 = 0;
}

void *isa_fp_key(void *area, unsigned kind)
{
    (void)area, (void)kind;
    return NULL;
}
