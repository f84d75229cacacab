/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fp.c - the vector registers of programs: q0..q31, FPSR, FPCR; and what programs are told about
 * the CPU.
 *
 * SVE and SME stay trapped and are not advertised, because their registers are not saved. Nor are
 * DIT, SSBS and MTE: their state in PSTATE or in system registers is not kept per program.
 *
 * Pointer authentication: all keys but instruction key B, with which the kernel signs its return
 * addresses, are the program's and stand behind its vector registers. A program that signs with key
 * B can do so; it cannot have a new one.
 */
#include "fp.h"

#include "isa.h"
#include "lib/string.h"

bool isa_has_bti, isa_pointer_auth; /* the same on all CPUs */

bool isa_has_pointer_auth(void)
{
    uint64_t isar1, isar2;

    __asm__("mrs %0, id_aa64isar1_el1" : "=r"(isar1));
    __asm__("mrs %0, s3_0_c0_c6_2" : "=r"(isar2)); /* ID_AA64ISAR2_EL1 */
    return (isar1 & 0xff0) || (isar2 & 0xf000);    /* APA, API; APA3 */
}

/* The machine's set-up has opened the registers (CPACR_EL1). */
void isa_fp_setup(void)
{
    uint64_t pfr1;

    __asm__("mrs %0, id_aa64pfr1_el1" : "=r"(pfr1));
    isa_has_bti = pfr1 & 15;
    isa_pointer_auth = isa_has_pointer_auth();
}

size_t isa_fp_size(void)
{
    return FP_SIZE;
}

void isa_fp_init(void *area)
{
    memset(area, 0, FP_SIZE);
}

void *isa_fp_key(void *area, unsigned kind)
{
    /* Kinds: APIA, APIB, APDA, APDB, APGA (uapi linux/prctl.h). */
    if (!isa_pointer_auth || kind >= ISA_KEY_KINDS || kind == 1)
        return NULL;
    return (uint8_t *)area + FP_KEYS + (kind > 1 ? kind - 1 : 0) * ISA_KEY_SIZE;
}

void isa_fp_prefetch(const void *area, bool close)
{
    if (!close)
        isa_prefetch(area, FP_SIZE);
}

/* One row per feature: where the ID register says so, from which value on, and the bit of AT_HWCAP
 * or AT_HWCAP2 (uapi asm/hwcap.h; DDI 0487, D17.2). */
enum id_register { ISAR0, ISAR1, ISAR2, PFR0, PFR1, MMFR2, ID_COUNT };
struct feature {
    uint8_t reg, shift, min, word, bit;
};
static const struct feature features[] = {
    {ISAR0, 4, 1, 0, 3},   /* AES */
    {ISAR0, 4, 2, 0, 4},   /* PMULL */
    {ISAR0, 8, 1, 0, 5},   /* SHA1 */
    {ISAR0, 12, 1, 0, 6},  /* SHA2 */
    {ISAR0, 12, 2, 0, 21}, /* SHA512 */
    {ISAR0, 16, 1, 0, 7},  /* CRC32 */
    {ISAR0, 20, 2, 0, 8},  /* ATOMICS */
    {ISAR0, 28, 1, 0, 12}, /* ASIMDRDM */
    {ISAR0, 32, 1, 0, 17}, /* SHA3 */
    {ISAR0, 36, 1, 0, 18}, /* SM3 */
    {ISAR0, 40, 1, 0, 19}, /* SM4 */
    {ISAR0, 44, 1, 0, 20}, /* ASIMDDP */
    {ISAR0, 48, 1, 0, 23}, /* ASIMDFHM */
    {ISAR0, 52, 1, 0, 27}, /* FLAGM */
    {ISAR0, 52, 2, 1, 7},  /* FLAGM2 */
    {ISAR0, 60, 1, 1, 16}, /* RNG */
    {ISAR1, 0, 1, 0, 16},  /* DCPOP */
    {ISAR1, 12, 1, 0, 13}, /* JSCVT */
    {ISAR1, 16, 1, 0, 14}, /* FCMA */
    {ISAR1, 20, 1, 0, 15}, /* LRCPC */
    {ISAR1, 20, 2, 0, 26}, /* ILRCPC */
    {ISAR1, 32, 1, 1, 8},  /* FRINT */
    {ISAR1, 36, 1, 0, 29}, /* SB */
    {ISAR1, 44, 1, 1, 14}, /* BF16 */
    {ISAR1, 52, 1, 1, 13}, /* I8MM */
    {ISAR1, 4, 1, 0, 30},  /* PACA: one of three algorithms */
    {ISAR1, 8, 1, 0, 30},  {ISAR2, 12, 1, 0, 30}, {ISAR1, 24, 1, 0, 31}, /* PACG: likewise */
    {ISAR1, 28, 1, 0, 31}, {ISAR2, 8, 1, 0, 31},  {PFR1, 0, 1, 1, 17},   /* BTI */
    {MMFR2, 32, 1, 0, 25},                                               /* USCAT */
};
#define HWCAP_FP (1ull << 0)
#define HWCAP_ASIMD (1ull << 1)
#define HWCAP_FPHP (1ull << 9)
#define HWCAP_ASIMDHP (1ull << 10)
#define HWCAP_CPUID (1ull << 11)
#define PFR0_FP_SHIFT 16
#define PFR0_ASIMD_SHIFT 20
#define FIELD_ABSENT 15u /* these two are signed: -1 is "not there" */

static unsigned field(uint64_t reg, unsigned shift)
{
    return (unsigned)(reg >> shift) & 15;
}

void isa_hwcap(uint64_t *hwcap, uint64_t *hwcap2)
{
    uint64_t id[ID_COUNT], word[2] = {HWCAP_CPUID, 0};

    __asm__("mrs %0, id_aa64isar0_el1" : "=r"(id[ISAR0]));
    __asm__("mrs %0, id_aa64isar1_el1" : "=r"(id[ISAR1]));
    __asm__("mrs %0, s3_0_c0_c6_2" : "=r"(id[ISAR2])); /* ID_AA64ISAR2_EL1 */
    __asm__("mrs %0, id_aa64pfr0_el1" : "=r"(id[PFR0]));
    __asm__("mrs %0, id_aa64pfr1_el1" : "=r"(id[PFR1]));
    __asm__("mrs %0, s3_0_c0_c7_2" : "=r"(id[MMFR2])); /* ID_AA64MMFR2_EL1 */
    if (field(id[PFR0], PFR0_FP_SHIFT) != FIELD_ABSENT)
        word[0] |= HWCAP_FP | (field(id[PFR0], PFR0_FP_SHIFT) >= 1 ? HWCAP_FPHP : 0);
    if (field(id[PFR0], PFR0_ASIMD_SHIFT) != FIELD_ABSENT)
        word[0] |= HWCAP_ASIMD | (field(id[PFR0], PFR0_ASIMD_SHIFT) >= 1 ? HWCAP_ASIMDHP : 0);
    for (unsigned i = 0; i < ARRAY_COUNT(features); i++)
        if (field(id[features[i].reg], features[i].shift) >= features[i].min)
            word[features[i].word] |= 1ull << features[i].bit;
    *hwcap = word[0];
    *hwcap2 = word[1];
}
