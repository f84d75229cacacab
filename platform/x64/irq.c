/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * irq.c - local APIC (x2APIC or memory-mapped), I/O APIC, IPIs, and the dispatch of vectors.
 *
 * The legacy interrupt controllers are masked for good. All device interrupts go to CPU 0.
 * References: SDM vol. 3, chapter 11 (APIC); Intel 82093AA (I/O APIC).
 */
#include "lib/errno.h"
#include "x64.h"

#define STOP_WAIT_NS 500000000ull /* for CPUs that were told to stop */
#define MSR_APIC_BASE 0x1b
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_X2 (1u << 10)
#define MSR_X2APIC 0x800

/* Register numbers: byte offset / 16, which is also the x2APIC MSR index. */
enum {
    APIC_ID = 0x02,
    APIC_TPR = 0x08,
    APIC_EOI = 0x0b,
    APIC_SVR = 0x0f,
    APIC_ESR = 0x28,
    APIC_ICR = 0x30,
    APIC_ICR_HI = 0x31,
    APIC_LVT_TIMER = 0x32,
    APIC_LVT_LINT0 = 0x35,
    APIC_LVT_LINT1 = 0x36,
    APIC_LVT_ERROR = 0x37,
    APIC_TIMER_INITIAL = 0x38,
    APIC_TIMER_CURRENT = 0x39,
    APIC_TIMER_DIVIDE = 0x3e,
};
#define SVR_ENABLE 0x100u
#define LVT_MASKED 0x10000u
#define LVT_NMI 0x400u
#define LVT_TSC_DEADLINE 0x40000u
#define ICR_PENDING 0x1000u
#define DIVIDE_BY_1 0xbu
#define DEFAULT_APIC 0xfee00000u

#define IOAPIC_VERSION 1
#define IOAPIC_REDIRECTION 0x10
#define IOAPIC_MASKED 0x10000u
#define IOAPIC_LEVEL 0x8000u
#define IOAPIC_LOW 0x2000u

static volatile uint32_t *apic; /* NULL: x2APIC */
static struct {
    volatile uint32_t *regs;
    uint32_t gsi_base, count;
} ioapic[ACPI_IOAPIC_MAX];
static unsigned ioapic_count;
static const struct acpi_info *acpi_info;

static uint32_t apic_read(unsigned reg)
{
    return apic ? apic[reg * 4] : (uint32_t)x64_rdmsr(MSR_X2APIC + reg);
}

static void apic_write(unsigned reg, uint32_t value)
{
    if (apic)
        apic[reg * 4] = value;
    else
        x64_wrmsr(MSR_X2APIC + reg, value);
}

uint32_t x64_apic_id(void)
{
    return apic ? apic_read(APIC_ID) >> 24 : apic_read(APIC_ID);
}

void x64_apic_send(uint32_t apic_id, uint32_t command)
{
    unsigned long irq;

    if (!apic) {
        /* WRMSR to the x2APIC does not order earlier stores (SDM vol. 3, 11.12.3). */
        __asm__ volatile("mfence" : : : "memory");
        x64_wrmsr(MSR_X2APIC + APIC_ICR, (uint64_t)apic_id << 32 | command);
        return;
    }
    /* The two halves must not be torn apart by an interrupt that sends. */
    irq = hal_irq_save();
    while (apic[APIC_ICR * 4] & ICR_PENDING)
        __asm__ volatile("pause");
    apic[APIC_ICR_HI * 4] = apic_id << 24;
    apic[APIC_ICR * 4] = command;
    hal_irq_restore(irq);
}

void hal_ipi_send(unsigned cpu)
{
    x64_apic_send(x64_cpus[cpu]->apic_id, X64_VECTOR_IPI);
}

/* NMIs, because the others may have interrupts off. */
void hal_halt_others(void)
{
    unsigned self = hal_cpu_id(), told = 0;
    uint64_t start;

    __atomic_store_n(&x64_halting, true, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < hal_cpu_count(); i++)
        if (i != self && __atomic_load_n(&x64_cpus[i]->online, __ATOMIC_RELAXED)) {
            x64_apic_send(x64_cpus[i]->apic_id, X64_APIC_NMI);
            told++;
        }
    /* Acquire: the registers that they have left are there. */
    start = hal_clock_ns();
    while (__atomic_load_n(&x64_stopped, __ATOMIC_ACQUIRE) < told &&
           hal_clock_ns() - start < STOP_WAIT_NS)
        __asm__ volatile("pause");
}

/* ---- timer registers, for time.c ---- */

void x64_apic_timer_start(uint32_t count)
{
    apic_write(APIC_TIMER_INITIAL, count);
}

uint32_t x64_apic_timer_count(void)
{
    return apic_read(APIC_TIMER_CURRENT);
}

void x64_apic_timer_mode(bool deadline)
{
    apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    apic_write(APIC_LVT_TIMER, X64_VECTOR_TIMER | (deadline ? LVT_TSC_DEADLINE : 0));
    /* The mode before the first write of the deadline MSR (SDM vol. 3, 11.5.4.1). */
    __asm__ volatile("mfence" : : : "memory");
}

/* ---- I/O APIC ---- */

static uint32_t ioapic_read(unsigned i, unsigned reg)
{
    ioapic[i].regs[0] = reg;
    return ioapic[i].regs[4];
}

static void ioapic_write(unsigned i, unsigned reg, uint32_t value)
{
    ioapic[i].regs[0] = reg;
    ioapic[i].regs[4] = value;
}

/* Mapped when a route through it is wanted; pins are masked after reset. */
static bool ioapic_map(unsigned i)
{
    if (!ioapic[i].regs) {
        ioapic[i].regs = x64_mmio_map(acpi_info->ioapic[i].addr, HAL_PAGE_SIZE);
        if (!ioapic[i].regs)
            return false;
        ioapic[i].count = (ioapic_read(i, IOAPIC_VERSION) >> 16 & 0xff) + 1;
    }
    return true;
}

static int route(uint32_t gsi, uint32_t flags, unsigned vector)
{
    for (unsigned i = 0; i < ioapic_count; i++) {
        uint32_t pin = gsi - ioapic[i].gsi_base;

        if (gsi < ioapic[i].gsi_base || !ioapic_map(i) || pin >= ioapic[i].count)
            continue;
        ioapic_write(i, IOAPIC_REDIRECTION + 2 * pin, IOAPIC_MASKED);
        ioapic_write(i, IOAPIC_REDIRECTION + 2 * pin + 1, x64_cpus[0]->apic_id << 24);
        ioapic_write(i, IOAPIC_REDIRECTION + 2 * pin, vector | flags);
        return 0;
    }
    return -ENODEV;
}

int x64_irq_route(unsigned isa_irq, unsigned vector)
{
    uint32_t flags = (acpi_info->isa_irq[isa_irq].level ? IOAPIC_LEVEL : 0) |
                     (acpi_info->isa_irq[isa_irq].active_low ? IOAPIC_LOW : 0);

    return route(acpi_info->isa_irq[isa_irq].gsi, flags, vector);
}

/* ---- device interrupts ---- */

#define DEVICE_MAX (X64_VECTOR_SPURIOUS - X64_VECTOR_DEVICE)

static unsigned device_irq[DEVICE_MAX]; /* by vector */
static unsigned device_count;           /* atomic */

/* Each gets a vector of its own. A number below 16 is an ISA interrupt, with its overrides. */
int hal_irq_unmask(unsigned irq)
{
    unsigned i = device_count, vector = X64_VECTOR_DEVICE + i;
    int err;

    for (unsigned j = 0; j < i; j++)
        if (device_irq[j] == irq)
            return 0;
    if (i == DEVICE_MAX)
        return -ENOSPC;
    device_irq[i] = irq;
    /* Release: the number before the interrupt that looks it up. */
    __atomic_store_n(&device_count, i + 1, __ATOMIC_RELEASE);
    err = irq < ACPI_ISA_IRQS ? x64_irq_route(irq, vector) : route(irq, IOAPIC_LEVEL, vector);
    if (err)
        __atomic_store_n(&device_count, i, __ATOMIC_RELEASE);
    return err;
}

#define MSI_IRQ 0x10000u /* behind all global system interrupts */
#define MSI_ADDRESS 0xfee00000u
#define MSI_APIC_MAX 255u /* what the address has room for (SDM vol. 3, 11.11.1) */

/* Fixed delivery, edge-triggered, to one CPU. */
int hal_msi_alloc(unsigned cpu, struct hal_msi *out)
{
    unsigned i = device_count;
    uint32_t apic_id = x64_cpus[cpu]->apic_id;

    if (i == DEVICE_MAX || apic_id >= MSI_APIC_MAX)
        return -ENOSPC;
    *out = (struct hal_msi){MSI_ADDRESS | apic_id << 12, X64_VECTOR_DEVICE + i, MSI_IRQ + i};
    device_irq[i] = out->irq;
    /* Release: as in hal_irq_unmask. */
    __atomic_store_n(&device_count, i + 1, __ATOMIC_RELEASE);
    return 0;
}

static void device_dispatch(unsigned vector)
{
    unsigned i = vector - X64_VECTOR_DEVICE;

    if (i < __atomic_load_n(&device_count, __ATOMIC_ACQUIRE))
        kernel_irq(device_irq[i]);
}

/* ---- set-up ---- */

rarely void x64_irq_init_cpu(void)
{
    uint64_t base = x64_rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

    x64_wrmsr(MSR_APIC_BASE, base);
    if (!apic)
        x64_wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LVT_LINT0, LVT_MASKED);
    apic_write(APIC_LVT_LINT1, LVT_NMI);
    apic_write(APIC_LVT_ERROR, LVT_MASKED);
    apic_write(APIC_SVR, SVR_ENABLE | X64_VECTOR_SPURIOUS);
}

void x64_irq_init(const struct acpi_info *acpi)
{
    acpi_info = acpi;
    x64_out8(0x21, 0xff); /* both 8259s: all inputs masked */
    x64_out8(0xa1, 0xff);
    if (!x64_features.x2apic) {
        apic = x64_mmio_map(acpi->lapic_addr ? acpi->lapic_addr : DEFAULT_APIC, HAL_PAGE_SIZE);
        if (!apic)
            kernel_hal_panic("no room to map the local APIC", 0, 0);
    }
    ioapic_count = acpi->ioapic_count;
    for (unsigned i = 0; i < ioapic_count; i++)
        ioapic[i].gsi_base = acpi->ioapic[i].gsi_base;
    x64_irq_init_cpu();
}

/* Of a device the end of interrupt comes last: a line that is up until the handler has spoken with
 * the device would interrupt once more. */
void x64_irq_dispatch(unsigned vector)
{
    if (vector >= X64_VECTOR_SPURIOUS) {
        if (vector == X64_VECTOR_NOTED)
            x64_ring3_dispatch();
        return;
    }
    if (vector >= X64_VECTOR_DEVICE) {
        device_dispatch(vector);
        apic_write(APIC_EOI, 0);
        return;
    }
    apic_write(APIC_EOI, 0);
    switch (vector) {
    case X64_VECTOR_TIMER:
        x64_timer_irq();
        break;
    case X64_VECTOR_IPI:
        kernel_ipi();
        break;
    case X64_VECTOR_TLB:
        x64_tlb_irq();
        break;
    case X64_VECTOR_SERIAL:
        x64_console_irq();
        break;
    default:
        break;
    }
}
