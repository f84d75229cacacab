/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/common/acpi.c kernel/lib/string.c kernel/lib/strutil.c */
/* acpi_test.c - ACPI tables made by hand, whole and broken. "Physical memory" is one buffer of
 * exactly the size that the reader may touch, so that asan sees any step outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../platform/common/acpi.h"

void *fake_self;
bool fake_irqs_off;
uintptr_t fake_ram_base;

#define BASE 0x1000u
#define SIZE 0x3000u
#define RSDP 0x1000u
#define RSDT 0x1100u
#define XSDT 0x1200u
#define MADT 0x1400u
#define FADT 0x1800u
#define DSDT 0x2000u

static uint8_t memory[SIZE];
static struct acpi_info info;

static const void *map(paddr_t pa, size_t len)
{
    if (pa < BASE || pa - BASE > SIZE || len > SIZE - (pa - BASE))
        return NULL;
    return memory + (pa - BASE);
}

static uint8_t *at(paddr_t pa)
{
    return memory + (pa - BASE);
}

static void put(paddr_t pa, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at(pa)[i] = (uint8_t)(value >> 8 * i);
}

static void fix_sum(paddr_t pa, size_t len, size_t sum_at)
{
    uint8_t sum = 0;

    at(pa)[sum_at] = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + at(pa)[i]);
    at(pa)[sum_at] = (uint8_t)-sum;
}

static void header(paddr_t pa, const char *name, uint32_t len)
{
    memcpy(at(pa), name, 4);
    put(pa + 4, len, 4);
}

#define MADT_SIZE (44 + 8 + 8 + 16 + 12 + 10 + 12)

static void build_madt(void)
{
    paddr_t e = MADT + 44;

    header(MADT, "APIC", MADT_SIZE);
    put(MADT + 36, 0xfee00000, 4);
    memcpy(at(e), "\x00\x08\x00\x00\x01\x00\x00\x00", 8);     /* CPU, id 0, enabled */
    memcpy(at(e + 8), "\x00\x08\x01\x05\x00\x00\x00\x00", 8); /* id 5, disabled */
    memcpy(at(e + 16), "\x09\x10\x00\x00\x34\x12\x00\x00\x01\x00\x00\x00", 12); /* x2APIC 0x1234 */
    memcpy(at(e + 32), "\x01\x0c\x00\x00\x00\x00\xc0\xfe\x18\x00\x00\x00", 12); /* I/O APIC */
    memcpy(at(e + 44), "\x02\x0a\x00\x04\x13\x00\x00\x00\x0f\x00", 10); /* IRQ 4 -> 19, low level */
    memcpy(at(e + 54), "\x05\x0c\x00\x00\x00\x00\x00\xfe\x01\x00\x00\x00", 12);
    fix_sum(MADT, MADT_SIZE, 9);
}

static void build(void)
{
    memset(memory, 0, sizeof(memory));
    memcpy(at(RSDP), "RSD PTR ", 8);
    at(RSDP)[15] = 2;
    put(RSDP + 16, RSDT, 4);
    put(RSDP + 20, 36, 4);
    put(RSDP + 24, XSDT, 8);
    fix_sum(RSDP, 20, 8);
    fix_sum(RSDP, 36, 32);
    header(RSDT, "RSDT", 44);
    put(RSDT + 36, MADT, 4);
    put(RSDT + 40, FADT, 4);
    fix_sum(RSDT, 44, 9);
    header(XSDT, "XSDT", 52);
    put(XSDT + 36, MADT, 8);
    put(XSDT + 44, FADT, 8);
    fix_sum(XSDT, 52, 9);
    build_madt();
    header(FADT, "FACP", 244);
    put(FADT + 40, DSDT, 4);
    put(FADT + 64, 0x604, 4);
    put(FADT + 76, 0x608, 4);
    at(FADT)[108] = 0x32;
    put(FADT + 112, 1u << 10, 4);
    at(FADT)[116] = 1;
    put(FADT + 120, 0xcf9, 8);
    at(FADT)[128] = 6;
    fix_sum(FADT, 244, 9);
    header(DSDT, "DSDT", 64);
    memcpy(at(DSDT + 40), "\x08\\_S5_\x12\x08\x04\x0a\x05\x0a\x07\x00\x00", 14);
}

static void reads_a_whole_set(void **state)
{
    uint8_t a, b;

    (void)state;
    build();
    assert_true(acpi_read(RSDP, map, &info));
    assert_int_equal(info.cpu_count, 2);
    assert_int_equal(info.cpu_apic_id[0], 0);
    assert_int_equal(info.cpu_apic_id[1], 0x1234);
    assert_int_equal(info.lapic_addr, 0x1fe000000);
    assert_int_equal(info.ioapic_count, 1);
    assert_int_equal(info.ioapic[0].addr, 0xfec00000);
    assert_int_equal(info.ioapic[0].gsi_base, 0x18);
    assert_int_equal(info.isa_irq[4].gsi, 0x13);
    assert_true(info.isa_irq[4].active_low && info.isa_irq[4].level);
    assert_int_equal(info.isa_irq[1].gsi, 1);
    assert_true(info.has_fadt && !info.reduced);
    assert_int_equal(info.pm1a_control, 0x604);
    assert_int_equal(info.pm_timer, 0x608);
    assert_true(info.reset.present && !info.reset.memory);
    assert_int_equal(info.reset.addr, 0xcf9);
    assert_int_equal(info.rtc_century, 0x32);
    assert_true(acpi_s5(info.dsdt, map, &a, &b));
    assert_int_equal(a, 5);
    assert_int_equal(b, 7);
}

static void revision_0_uses_the_rsdt(void **state)
{
    (void)state;
    build();
    at(RSDP)[15] = 0;
    memset(at(XSDT), 0, 52);
    fix_sum(RSDP, 20, 8);
    assert_true(acpi_read(RSDP, map, &info));
    assert_int_equal(info.cpu_count, 2);
}

static void a_bad_checksum_drops_the_table(void **state)
{
    (void)state;
    build();
    at(MADT)[50] ^= 1;
    assert_true(acpi_read(RSDP, map, &info));
    assert_int_equal(info.cpu_count, 0);
    assert_true(info.has_fadt);
    build();
    at(RSDP)[3] ^= 1;
    assert_false(acpi_read(RSDP, map, &info));
    assert_int_equal(info.isa_irq[15].gsi, 15);
    build();
    at(XSDT)[20] ^= 1;
    assert_false(acpi_read(RSDP, map, &info));
    assert_false(acpi_read(0, map, &info));
}

static void absurd_lengths(void **state)
{
    const uint32_t lengths[] = {0, 35, 36, 43, 44, 45, 46, 0x2000, 0x100000, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        build();
        put(MADT + 4, lengths[i], 4);
        if (lengths[i] >= 36 && lengths[i] <= SIZE - (MADT - BASE))
            fix_sum(MADT, lengths[i], 9);
        assert_true(acpi_read(RSDP, map, &info));
        assert_true(info.cpu_count <= HAL_CPU_MAX);
    }
    /* Entries of length 0, 1, and beyond the end. */
    for (unsigned len = 0; len < 256; len++) {
        build();
        at(MADT + 44)[1] = (uint8_t)len;
        fix_sum(MADT, MADT_SIZE, 9);
        assert_true(acpi_read(RSDP, map, &info));
    }
}

static void random_damage_is_survived(void **state)
{
    uint8_t a, b;

    (void)state;
    srand(7);
    for (unsigned round = 0; round < 20000; round++) {
        build();
        for (unsigned i = 0; i < 4; i++)
            memory[(unsigned)rand() % SIZE] = (uint8_t)rand();
        /* Make the damage pass the checksums as often as not. */
        fix_sum(MADT, MADT_SIZE, 9);
        fix_sum(FADT, 244, 9);
        (void)acpi_read(RSDP, map, &info);
        (void)acpi_s5(info.dsdt, map, &a, &b);
    }
}

static void s5_variants(void **state)
{
    uint8_t a, b;

    (void)state;
    build();
    memcpy(at(DSDT + 40), "\x08_S5_\x12\x06\x04\x00\x01\x00\x00\x00", 13);
    assert_true(acpi_s5(DSDT, map, &a, &b));
    assert_int_equal(a, 0);
    assert_int_equal(b, 1);
    /* A reference to the name is not its definition. */
    memcpy(at(DSDT + 40), "\x70_S5_\x12\x06\x04\x00\x01\x00\x00\x00", 13);
    assert_false(acpi_s5(DSDT, map, &a, &b));
    /* Cut off at every place. */
    for (uint32_t len = 36; len < 56; len++) {
        build();
        put(DSDT + 4, len, 4);
        (void)acpi_s5(DSDT, map, &a, &b);
    }
    assert_false(acpi_s5(0, map, &a, &b));
}

static void scan_finds_an_aligned_rsdp(void **state)
{
    (void)state;
    build();
    memset(at(RSDP), 0, 36);
    memcpy(at(0x2ff0), "RSD PTR ", 8);
    fix_sum(0x2ff0, 20, 8);
    assert_int_equal(acpi_scan_rsdp(0x1000, 0x4000, map), 0x2ff0);
    assert_int_equal(acpi_scan_rsdp(0x1000, 0x2ff0, map), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_whole_set),
        cmocka_unit_test(revision_0_uses_the_rsdt),
        cmocka_unit_test(a_bad_checksum_drops_the_table),
        cmocka_unit_test(absurd_lengths),
        cmocka_unit_test(random_damage_is_survived),
        cmocka_unit_test(s5_variants),
        cmocka_unit_test(scan_finds_an_aligned_rsdp),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
