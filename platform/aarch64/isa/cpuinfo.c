/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpuinfo.c - a processor's block of /proc/cpuinfo, AArch64: the features that programs are told in
 * AT_HWCAP and AT_HWCAP2, by Linux's names, and MIDR_EL1 (Arm ARM, D17.2).
 */
#include "isa.h"
#include "lib/format.h"

/* Of bits 0, 1, ... (uapi asm/hwcap.h). */
static const char names[] =
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm "
    "jscvt fcma lrcpc dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc "
    "flagm ssbs sb paca pacg";
static const char names2[] =
    "dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint svei8mm "
    "svef32mm svef64mm svebf16 i8mm bf16 dgh rng bti mte ecv afp rpres mte3";

static void put_features(struct strbuf *sb, const char *name, uint64_t bits)
{
    for (unsigned bit = 0; *name; bit++) {
        size_t len = 0;

        while (name[len] && name[len] != ' ')
            len++;
        if (bits & 1ull << bit) {
            strbuf_append(sb, " ", 1);
            strbuf_append(sb, name, len);
        }
        name += len + (name[len] == ' ');
    }
}

void isa_cpuinfo(struct strbuf *sb, unsigned cpu, unsigned count)
{
    uint64_t midr, hz, hwcap, hwcap2;

    (void)count;
    __asm__("mrs %0, midr_el1" : "=r"(midr));
    __asm__("mrs %0, cntfrq_el0" : "=r"(hz));
    isa_hwcap(&hwcap, &hwcap2);
    strbuf_printf(sb, "processor\t: %u\nBogoMIPS\t: %llu.%02llu\nFeatures\t:", cpu,
                  (unsigned long long)(hz / 500000), (unsigned long long)(hz / 5000 % 100));
    put_features(sb, names, hwcap);
    put_features(sb, names2, hwcap2);
    strbuf_printf(sb,
                  "\nCPU implementer\t: 0x%02x\nCPU architecture: 8\nCPU variant\t: 0x%x\n"
                  "CPU part\t: 0x%03x\nCPU revision\t: %u\n\n",
                  (unsigned)(midr >> 24 & 0xff), (unsigned)(midr >> 20 & 15),
                  (unsigned)(midr >> 4 & 0xfff), (unsigned)(midr & 15));
}
