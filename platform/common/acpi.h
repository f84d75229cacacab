/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * acpi.h - the few facts that the backends need from the ACPI tables (ACPI 6.4, chapter 5): CPUs
 * and interrupt controllers from the MADT, power registers from the FADT, the \_S5 package of the
 * DSDT.
 *
 * Pure code over bytes that firmware wrote: lengths and checksums are checked, broken tables are
 * ignored, nothing is trusted to be aligned. Physical memory is reached through a function of the
 * caller, so that unit tests can feed crafted tables.
 */
#ifndef SELKIE_ACPI_H
#define SELKIE_ACPI_H

#include "hal.h"
#include "lib/types.h"

#define ACPI_IOAPIC_MAX 8
#define ACPI_ISA_IRQS 16

/* A register (generic address structure, 5.2.3.2). */
struct acpi_register {
    bool present;
    bool memory; /* else an I/O port */
    uint64_t addr;
};

struct acpi_info {
    bool found;         /* a valid RSDP and root table */
    paddr_t lapic_addr; /* 0: no MADT */
    uint32_t cpu_apic_id[HAL_CPU_MAX];
    unsigned cpu_count; /* enabled CPUs, in table order; 0: no MADT */
    struct {
        paddr_t addr;
        uint32_t gsi_base;
    } ioapic[ACPI_IOAPIC_MAX];
    unsigned ioapic_count;
    struct {
        uint32_t gsi;
        bool active_low, level;
    } isa_irq[ACPI_ISA_IRQS]; /* overrides applied */
    bool has_fadt;
    bool reduced;                        /* hardware-reduced: no fixed registers */
    uint32_t pm_timer;                   /* I/O port, 0: none */
    bool pm_timer_32;                    /* 32 bits wide, else 24 */
    uint32_t pm1a_control, pm1b_control; /* I/O ports, 0: none */
    struct acpi_register sleep_control, reset;
    uint8_t reset_value;
    uint8_t rtc_century; /* CMOS index, 0: none */
    paddr_t dsdt;
};

/* Returns `len` readable bytes at pa, or NULL. */
typedef const void *acpi_map_fn(paddr_t pa, size_t len);

/* Read the tables from the RSDP at `rsdp`. False if there is nothing usable (out is then zeroed,
 * with identity ISA interrupts). */
bool acpi_read(paddr_t rsdp, acpi_map_fn *map, struct acpi_info *out);

/* Look for an RSDP in [lo, hi), as firmware without a better way leaves it. 0 if none. */
paddr_t acpi_scan_rsdp(paddr_t lo, paddr_t hi, acpi_map_fn *map);

/* The sleep types of \_S5 from the DSDT: *a for PM1a or the sleep control register, *b for PM1b.
 * False if there is no such package. */
bool acpi_s5(paddr_t dsdt, acpi_map_fn *map, uint8_t *a, uint8_t *b);

#endif
