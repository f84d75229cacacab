/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * acpi.c - read ACPI tables. What and why: acpi.h. Section numbers are those of ACPI 6.4.
 *
 * Every multi-byte field is assembled from bytes: tables are packed and may lie anywhere.
 */
#include "common/acpi.h"

#include "lib/string.h"

#define HEADER_SIZE 36u /* 5.2.6 */
#define RSDP_V1_SIZE 20u
#define RSDP_V2_SIZE 36u
#define TABLE_MAX (1u << 20)

static uint32_t get16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static bool checksum_ok(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    return sum == 0;
}

/* Map a whole table; NULL if its length is absurd or (when asked for) its checksum wrong. */
static const uint8_t *table_map(paddr_t pa, acpi_map_fn *map, bool checked, uint32_t *len)
{
    const uint8_t *header = pa ? map(pa, HEADER_SIZE) : NULL, *table;

    if (!header)
        return NULL;
    *len = get32(header + 4);
    if (*len < HEADER_SIZE || *len > TABLE_MAX)
        return NULL;
    table = map(pa, *len);
    if (!table || (checked && !checksum_ok(table, *len)))
        return NULL;
    return table;
}

/* 5.2.12: each entry is a type byte, a length byte, and the rest. */
static void madt_entry(const uint8_t *e, unsigned len, struct acpi_info *out)
{
    const uint32_t enabled = 1;

    switch (e[0]) {
    case 0: /* processor local APIC */
        if (len >= 8 && (get32(e + 4) & enabled) && out->cpu_count < HAL_CPU_MAX)
            out->cpu_apic_id[out->cpu_count++] = e[3];
        break;
    case 9: /* processor local x2APIC */
        if (len >= 16 && (get32(e + 8) & enabled) && out->cpu_count < HAL_CPU_MAX)
            out->cpu_apic_id[out->cpu_count++] = get32(e + 4);
        break;
    case 1: /* I/O APIC */
        if (len >= 12 && out->ioapic_count < ACPI_IOAPIC_MAX) {
            out->ioapic[out->ioapic_count].addr = get32(e + 4);
            out->ioapic[out->ioapic_count].gsi_base = get32(e + 8);
            out->ioapic_count++;
        }
        break;
    case 2: /* interrupt source override: polarity 3 = low, trigger 3 = level */
        if (len >= 10 && e[3] < ACPI_ISA_IRQS) {
            out->isa_irq[e[3]].gsi = get32(e + 4);
            out->isa_irq[e[3]].active_low = (e[8] & 3) == 3;
            out->isa_irq[e[3]].level = (e[8] >> 2 & 3) == 3;
        }
        break;
    case 5: /* 64-bit local APIC address */
        if (len >= 12)
            out->lapic_addr = get64(e + 4);
        break;
    default:
        break;
    }
}

static void madt_read(const uint8_t *t, uint32_t len, struct acpi_info *out)
{
    if (len < 44 || out->lapic_addr)
        return;
    out->lapic_addr = get32(t + 36);
    for (uint32_t at = 44; at + 2 <= len;) {
        unsigned entry = t[at + 1];

        if (entry < 2 || entry > len - at)
            break;
        madt_entry(t + at, entry, out);
        at += entry;
    }
}

static struct acpi_register register_read(const uint8_t *p)
{
    struct acpi_register r = {.memory = p[0] == 0, .addr = get64(p + 4)};

    r.present = r.addr != 0 && p[0] <= 1;
    return r;
}

/* 5.2.9. Fields beyond the table's length are absent. */
static void fadt_read(const uint8_t *t, uint32_t len, struct acpi_info *out)
{
    uint32_t flags;

    if (len < 116 || out->has_fadt)
        return;
    out->has_fadt = true;
    flags = get32(t + 112);
    out->dsdt = get32(t + 40);
    out->rtc_century = t[108];
    out->pm_timer_32 = flags & (1u << 8);
    out->reduced = flags & (1u << 20);
    if (!out->reduced) {
        out->pm1a_control = get32(t + 64);
        out->pm1b_control = get32(t + 68);
        out->pm_timer = get32(t + 76);
    }
    if (len >= 129 && (flags & (1u << 10))) {
        out->reset = register_read(t + 116);
        out->reset_value = t[128];
    }
    if (len >= 148 && get64(t + 140) != 0)
        out->dsdt = get64(t + 140);
    if (len >= 256)
        out->sleep_control = register_read(t + 244);
}

static void table_read(paddr_t pa, acpi_map_fn *map, struct acpi_info *out)
{
    const uint8_t *header = pa ? map(pa, HEADER_SIZE) : NULL, *table;
    bool madt, fadt;
    uint32_t len;

    if (!header)
        return;
    madt = memcmp(header, "APIC", 4) == 0;
    fadt = memcmp(header, "FACP", 4) == 0;
    if (!madt && !fadt)
        return;
    table = table_map(pa, map, true, &len);
    if (!table)
        return;
    if (madt)
        madt_read(table, len, out);
    else
        fadt_read(table, len, out);
}

/* The root table's address and entry size (4 or 8). 0 if the RSDP is no good. */
static paddr_t rsdp_read(paddr_t rsdp, acpi_map_fn *map, unsigned *entry)
{
    const uint8_t *p = rsdp ? map(rsdp, RSDP_V1_SIZE) : NULL;

    if (!p || memcmp(p, "RSD PTR ", 8) != 0 || !checksum_ok(p, RSDP_V1_SIZE))
        return 0;
    *entry = 4;
    if (p[15] >= 2) {
        const uint8_t *v2 = map(rsdp, RSDP_V2_SIZE);

        if (v2 && checksum_ok(v2, RSDP_V2_SIZE) && get64(v2 + 24) != 0) {
            *entry = 8;
            return get64(v2 + 24);
        }
    }
    return get32(p + 16);
}

bool acpi_read(paddr_t rsdp, acpi_map_fn *map, struct acpi_info *out)
{
    unsigned entry = 4;
    uint32_t len;
    paddr_t root;
    const uint8_t *table;

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < ACPI_ISA_IRQS; i++)
        out->isa_irq[i].gsi = i;
    root = rsdp_read(rsdp, map, &entry);
    table = table_map(root, map, true, &len);
    if (!table || memcmp(table, entry == 8 ? "XSDT" : "RSDT", 4) != 0)
        return false;
    out->found = true;
    for (uint32_t at = HEADER_SIZE; at + entry <= len; at += entry)
        table_read(entry == 8 ? get64(table + at) : get32(table + at), map, out);
    return true;
}

paddr_t acpi_scan_rsdp(paddr_t lo, paddr_t hi, acpi_map_fn *map)
{
    for (paddr_t pa = align_up(lo, 16); pa + RSDP_V1_SIZE <= hi; pa += 16) {
        const uint8_t *p = map(pa, RSDP_V1_SIZE);

        if (p && memcmp(p, "RSD PTR ", 8) == 0 && checksum_ok(p, RSDP_V1_SIZE))
            return pa;
    }
    return 0;
}

/* An integer constant in AML (20.2.3): ZeroOp, OneOp, BytePrefix, WordPrefix, DWordPrefix. Only the
 * low byte matters. Returns its length in bytes, 0 if it is none. */
static size_t aml_integer(const uint8_t *p, size_t len, uint8_t *out)
{
    if (len == 0)
        return 0;
    switch (p[0]) {
    case 0x00:
    case 0x01:
        *out = p[0];
        return 1;
    case 0x0a:
    case 0x0b:
    case 0x0c: {
        size_t n = p[0] == 0x0a ? 1 : p[0] == 0x0b ? 2 : 4;

        if (len < 1 + n)
            return 0;
        *out = p[1];
        return 1 + n;
    }
    default:
        return 0;
    }
}

/* At the name "_S5_": PackageOp, PkgLength (1..4 bytes), element count, integers (20.2.5.4). */
static bool s5_package(const uint8_t *p, size_t len, uint8_t *a, uint8_t *b)
{
    size_t at = 5, n;

    if (len < 7 || p[4] != 0x12)
        return false;
    at += 1u + (p[at] >> 6); /* PkgLength */
    if (at + 1 >= len || p[at] == 0)
        return false;
    n = p[at++];
    *b = 0;
    p += at;
    len -= at;
    at = aml_integer(p, len, a);
    if (at == 0)
        return false;
    if (n > 1)
        (void)aml_integer(p + at, len - at, b);
    return true;
}

bool acpi_s5(paddr_t dsdt, acpi_map_fn *map, uint8_t *a, uint8_t *b)
{
    uint32_t len;
    const uint8_t *t = table_map(dsdt, map, false, &len);

    if (!t || memcmp(t, "DSDT", 4) != 0)
        return false;
    /* A name object: NameOp 0x08, perhaps a root prefix, "_S5_". */
    for (uint32_t at = HEADER_SIZE + 1; at + 4 <= len; at++) {
        if (t[at] != '_' || memcmp(t + at, "_S5_", 4) != 0)
            continue;
        if (t[at - 1] != 0x08 && !(t[at - 1] == '\\' && t[at - 2] == 0x08))
            continue;
        if (s5_package(t + at, len - at, a, b))
            return true;
    }
    return false;
}
