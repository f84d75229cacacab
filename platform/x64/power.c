/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * power.c - the ends of the machine: power off with a status, reboot; and names for code addresses.
 *
 * Ways to go off, best first; one that the machine lacks does nothing and the next is tried:
 *   1. QEMU's isa-debug-exit at port 0x501. It cannot say "0", so a bare console that wants status
 *      0 skips it; with a framed console the status has already been announced.
 *   2. ACPI S5: the sleep control register (microvm), or PM1a/PM1b with the types from \_S5.
 *   3. Reset (QEMU runs with -no-reboot): ACPI reset register, chipset, keyboard controller, and
 *      at last a triple fault.
 */
#include "common/symtab.h"
#include "x64.h"

#define DEBUG_EXIT_PORT 0x501
#define DELAY_PORT 0x80
#define SLEEP_ENABLE_PM1 (1u << 13)
#define SLEEP_TYPE_PM1_SHIFT 10
#define SLEEP_ENABLE_REDUCED (1u << 5)
#define SLEEP_TYPE_REDUCED_SHIFT 2
#define ACPI_HEADER_SIZE 36u
#define SETTLE_NS (10 * NS_PER_MS)

extern const char selkie_symtab_begin[], selkie_symtab_end[];

static const struct acpi_info *acpi_info;
static volatile uint8_t *sleep_register, *reset_register;

static volatile uint8_t *map_register(const struct acpi_register *r)
{
    return r->present && r->memory ? x64_mmio_map(r->addr, 1) : NULL;
}

/* Makes a table readable for later, and gives nothing to read now: only its header, so that its
 * length is known. */
static const void *map_only(paddr_t pa, size_t len)
{
    const void *table = x64_phys_map(pa, len);

    return len == ACPI_HEADER_SIZE ? table : NULL;
}

/* Mapping is done here, so that powering off needs no memory. */
void x64_power_init(const struct acpi_info *acpi)
{
    uint8_t type;

    acpi_info = acpi;
    if (!acpi->has_fadt)
        return;
    (void)acpi_s5(acpi->dsdt, map_only, &type, &type);
    if (acpi->reduced) {
        sleep_register = map_register(&acpi->sleep_control);
        reset_register = map_register(&acpi->reset);
    }
}

static void write_register(const struct acpi_register *r, volatile uint8_t *mapped, uint8_t value)
{
    if (mapped)
        *mapped = value;
    else if (r->present && !r->memory && r->addr <= 0xffff)
        x64_out8((uint16_t)r->addr, value);
}

static void acpi_off(void)
{
    uint8_t a = 0, b = 0;
    bool known;

    if (!acpi_info || !acpi_info->has_fadt)
        return;
    known = acpi_s5(acpi_info->dsdt, x64_phys_map, &a, &b);
    if (acpi_info->reduced) {
        /* QEMU's microvm has no \_S5 in its table's usual place; its device takes 5. */
        uint8_t type = known ? a : 5;

        write_register(&acpi_info->sleep_control, sleep_register,
                       (uint8_t)(type << SLEEP_TYPE_REDUCED_SHIFT | SLEEP_ENABLE_REDUCED));
    } else if (known) {
        if (acpi_info->pm1a_control)
            x64_out16((uint16_t)acpi_info->pm1a_control,
                      (uint16_t)(SLEEP_ENABLE_PM1 | (unsigned)a << SLEEP_TYPE_PM1_SHIFT));
        if (acpi_info->pm1b_control)
            x64_out16((uint16_t)acpi_info->pm1b_control,
                      (uint16_t)(SLEEP_ENABLE_PM1 | (unsigned)b << SLEEP_TYPE_PM1_SHIFT));
    }
}

/* A port without a device reads as all ones. QEMU stops a moment after the write. */
static void debug_exit(uint8_t value)
{
    if (x64_in8(DEBUG_EXIT_PORT) == 0xff)
        return;
    x64_out8(DEBUG_EXIT_PORT, value);
    x64_stop();
}

/* Time for the machine to do what a register asked for; port reads rather than a busy loop, which
 * costs an emulator less. */
static void settle(void)
{
    uint64_t end = hal_clock_ns() + SETTLE_NS;

    while (hal_clock_ns() < end)
        (void)x64_in8(DELAY_PORT);
}

_Noreturn void hal_poweroff(int status)
{
    bool announced;

    (void)hal_irq_save();
    announced = x64_console_finish(status);
    if (announced || (status & 0xff) != 0)
        debug_exit(announced ? 0 : (uint8_t)status);
    acpi_off();
    settle();
    hal_reboot();
}

_Noreturn void hal_reboot(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } packed no_idt = {0, 0};

    (void)hal_irq_save();
    if (acpi_info && acpi_info->reset.present) {
        write_register(&acpi_info->reset, reset_register, acpi_info->reset_value);
        settle();
    }
    x64_out8(0xcf9, 6);
    x64_out8(0x64, 0xfe);
    settle();
    if (x64_ring3)
        x64_ring3_gate(0, 0, &no_idt, 0, x64_gate_reset);
    __asm__ volatile("lidt %0; int3" : : "m"(no_idt));
    x64_stop();
}

bool hal_symbol(uintptr_t pc, char name[HAL_SYMBOL_ROOM], uintptr_t *offset)
{
    struct hal_text text = hal_kernel_text();

    if (pc < text.lo || pc >= text.hi)
        return false;
    return symtab_find(selkie_symtab_begin, (size_t)(selkie_symtab_end - selkie_symtab_begin),
                       text.lo, pc, name, HAL_SYMBOL_ROOM, offset);
}

bool hal_suspend(void)
{
    return false;
}
