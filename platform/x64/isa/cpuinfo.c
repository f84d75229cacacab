/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpuinfo.c - a processor's block of /proc/cpuinfo, x86-64: what CPUID says (SDM vol. 2; AMD APM
 * vol. 3, appendix E), in Linux's words and order. Programs decide by `flags` what code to run, so
 * what needs registers that are not saved is not there, nor is fsgsbase: GS is the kernel's
 * (isa_hwcap).
 */
#include "hal.h"
#include "isa.h"
#include "isa/fp.h"
#include "lib/format.h"
#include "lib/string.h"

enum reg { EAX, EBX, ECX, EDX };
struct cpuid {
    uint32_t reg[4];
};

static const struct flag_word {
    uint32_t leaf, sub;
    enum reg reg;
    const char *names; /* of bits 0, 1, ...; "-": none */
} flag_words[] = {
    {1, 0, EDX,
     "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn "
     "clflush - dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe"},
    {0x80000001, 0, EDX,
     "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb "
     "rdtscp - lm 3dnowext 3dnow"},
    {1, 0, ECX,
     "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr "
     "pdcm - pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - "
     "avx f16c rdrand hypervisor"},
    {0x80000001, 0, ECX,
     "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch "
     "osvw ibs xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core "
     "perfctr_nb - bpext ptsc perfctr_llc mwaitx"},
    {7, 0, EBX,
     "- tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx "
     "rdt_a avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt "
     "avx512pf avx512er avx512cd sha_ni avx512bw avx512vl"},
    {7, 1, EAX, "- - - - avx_vnni avx512_bf16"},
    {0xd, 1, EAX, "xsaveopt xsavec xgetbv1 xsaves"},
    {0x80000008, 0, EBX, "clzero irperf xsaveerptr - rdpru - - - - wbnoinvd"},
    {7, 0, ECX,
     "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq "
     "avx512_vnni avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid - "
     "bus_lock_detect cldemote - movdiri movdir64b enqcmd"},
    {7, 0, EDX,
     "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - "
     "serialize - tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile "
     "amx_int8 - - flush_l1d arch_capabilities"},
};
#define EXTENDED 0x80000000u
#define STATES_AVX512 (FP_AVX | FP_OPMASK | FP_HI256 | FP_HI16)

static struct cpuid cpuid(uint32_t leaf, uint32_t sub)
{
    struct cpuid r;

    __asm__ volatile("cpuid"
                     : "=a"(r.reg[EAX]), "=b"(r.reg[EBX]), "=c"(r.reg[ECX]), "=d"(r.reg[EDX])
                     : "0"(leaf), "2"(sub));
    return r;
}

/* Zeroes for a leaf that the processor does not have. */
static struct cpuid leaf_of(uint32_t leaf, uint32_t sub)
{
    if (leaf > cpuid(leaf & EXTENDED, 0).reg[EAX])
        return (struct cpuid){0};
    return cpuid(leaf, sub);
}

static bool begins(const char *name, size_t len, const char *prefix)
{
    return len >= strlen(prefix) && memcmp(name, prefix, strlen(prefix)) == 0;
}

static bool is(const char *name, size_t len, const char *other)
{
    return len == strlen(other) && memcmp(name, other, len) == 0;
}

/* Does the machine save the registers that this needs? */
static bool usable(const char *name, size_t len, uint64_t states)
{
    if (begins(name, len, "avx512"))
        return (states & STATES_AVX512) == STATES_AVX512;
    if (begins(name, len, "amx_"))
        return false;
    if (begins(name, len, "avx") || is(name, len, "fma") || is(name, len, "f16c") ||
        is(name, len, "vaes") || is(name, len, "vpclmulqdq") || is(name, len, "xop") ||
        is(name, len, "fma4"))
        return states & FP_AVX;
    return true;
}

static void put_flags(struct strbuf *sb, const struct flag_word *word, uint64_t states)
{
    uint32_t bits = leaf_of(word->leaf, word->sub).reg[word->reg];
    const char *name = word->names;

    for (unsigned bit = 0; *name; bit++) {
        size_t len = 0;

        while (name[len] && name[len] != ' ')
            len++;
        if ((bits & 1u << bit) && *name != '-' && usable(name, len, states)) {
            strbuf_append(sb, " ", 1);
            strbuf_append(sb, name, len);
        }
        name += len + (name[len] == ' ');
    }
}

/* The brand string is 48 bytes, padded with blanks on either side. */
static void put_name(struct strbuf *sb)
{
    char name[49] = "";
    const char *from = name;
    size_t len;

    for (uint32_t i = 0; i < 3; i++) {
        struct cpuid r = leaf_of(EXTENDED + 2 + i, 0);
        memcpy(name + i * sizeof(r), &r, sizeof(r));
    }
    while (*from == ' ')
        from++;
    for (len = strlen(from); len > 0 && from[len - 1] == ' ';)
        len--;
    strbuf_printf(sb, "model name\t: ");
    strbuf_append(sb, len ? from : "unknown", len ? len : strlen("unknown"));
}

static void put_model(struct strbuf *sb)
{
    struct cpuid zero = cpuid(0, 0);
    uint32_t sign = cpuid(1, 0).reg[EAX], family = sign >> 8 & 15, model = sign >> 4 & 15;
    char vendor[13] = "";

    memcpy(vendor, &zero.reg[EBX], 4);
    memcpy(vendor + 4, &zero.reg[EDX], 4);
    memcpy(vendor + 8, &zero.reg[ECX], 4);
    if (family == 6 || family == 15)
        model |= sign >> 12 & 0xf0;
    if (family == 15)
        family += sign >> 20 & 0xff;
    strbuf_printf(sb, "vendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", vendor, family, model);
    put_name(sb);
    strbuf_printf(sb, "\nstepping\t: %u\n", sign & 15);
}

/* The time-stamp counter's rate, as what ticks of it are worth is known. */
static uint64_t tsc_khz(void)
{
    struct hal_clock_params clock;

    hal_clock_params(&clock);
    return clock.kind == HAL_CLOCK_TSC && clock.mult && clock.shift <= 40
               ? ((uint64_t)1000000 << clock.shift) / clock.mult
               : 0;
}

void isa_cpuinfo(struct strbuf *sb, unsigned cpu, unsigned count)
{
    uint64_t states = isa_fp_info.features, khz = tsc_khz();
    uint32_t cache = leaf_of(EXTENDED + 6, 0).reg[ECX] >> 16;
    uint32_t widths = leaf_of(EXTENDED + 8, 0).reg[EAX];
    uint32_t line = cpuid(1, 0).reg[EBX] >> 8 & 0xff;

    strbuf_printf(sb, "processor\t: %u\n", cpu);
    put_model(sb);
    if (khz)
        strbuf_printf(sb, "cpu MHz\t\t: %llu.%03llu\n", (unsigned long long)(khz / 1000),
                      (unsigned long long)(khz % 1000));
    if (cache)
        strbuf_printf(sb, "cache size\t: %u KB\n", cache);
    strbuf_printf(sb,
                  "physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\n"
                  "apicid\t\t: %u\ninitial apicid\t: %u\nfpu\t\t: yes\nfpu_exception\t: yes\n"
                  "cpuid level\t: %u\nwp\t\t: yes\nflags\t\t:",
                  count, cpu, count, cpu, cpu, cpuid(0, 0).reg[EAX]);
    for (size_t i = 0; i < ARRAY_COUNT(flag_words); i++)
        put_flags(sb, &flag_words[i], states);
    if (leaf_of(EXTENDED + 7, 0).reg[EDX] & 1u << 8)
        strbuf_printf(sb, " constant_tsc nonstop_tsc");
    strbuf_printf(sb, "\nbugs\t\t:\n");
    if (khz) /* twice the counter's rate, as Linux has it where it does not measure */
        strbuf_printf(sb, "bogomips\t: %llu.%02llu\n", (unsigned long long)(khz / 500),
                      (unsigned long long)(khz % 500 / 5));
    strbuf_printf(sb,
                  "clflush size\t: %u\ncache_alignment\t: %u\n"
                  "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n",
                  line * 8, line * 8, widths & 0xff, widths >> 8 & 0xff);
}
