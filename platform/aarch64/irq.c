/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * irq.c - Generic Interrupt Controller, versions 2 (Arm IHI 0048) and 3 (IHI 0069), IPIs, and
 * dispatch.
 *
 * All interrupts have one group and one priority and are level-sensitive, but for messages of PCI
 * devices (GICv2m). Shared ones go to CPU 0, a message to the CPU that its queue is for.
 * SGI 0 is kernel_ipi(), SGI 1 stops the CPU. An interrupt is acknowledged and ended before its
 * handler runs, because a handler may switch to another thread; a level that is still up is then
 * pending again, which does not matter while interrupts are masked.
 */
#include "aarch64.h"
#include "common/console.h"
#include "common/core.h"
#include "lib/errno.h"

/* Distributor. */
#define GICD_CTLR 0x000
#define GICD_TYPER 0x004
#define GICD_IGROUPR 0x080
#define GICD_ISENABLER 0x100
#define GICD_ICENABLER 0x180
#define GICD_IPRIORITYR 0x400
#define GICD_ITARGETSR 0x800
#define GICD_ICFGR 0xc00
#define GICD_SGIR 0xf00
#define GICD_IROUTER 0x6000
#define GICD_CTLR_GROUP1 (1u << 1)
#define GICD_CTLR_V2_ENABLE 3u
#define GICD_CTLR_ARE (1u << 4)
#define GICD_CTLR_RWP (1u << 31)
/* Version 2 CPU interface. */
#define GICC_CTLR 0x00
#define GICC_PMR 0x04
#define GICC_IAR 0x0c
#define GICC_EOIR 0x10
/* Version 3 redistributor: control frame, and 64 KiB above it the frame for SGIs and PPIs, which
 * has the distributor's offsets. */
/* GICv2m (SBSA, appendix E): a write raises the interrupt whose number is written. */
#define V2M_TYPER 0x008
#define V2M_SETSPI 0x040
#define V2M_SIZE 0x1000

#define GICR_TYPER 0x008
#define GICR_TYPER_HI 0x00c
#define GICR_WAKER 0x014
#define GICR_SGI_FRAME 0x10000
#define GICR_STRIDE 0x20000
#define GICR_STRIDE_VLPI 0x40000
#define GICR_TYPER_VLPIS (1u << 1)
#define GICR_TYPER_LAST (1u << 4)
#define GICR_WAKER_SLEEP (1u << 1)
#define GICR_WAKER_ASLEEP (1u << 2)
#define GICR_REGIONS_MAX 8

#define PRIORITY 0xa0u
#define PRIORITY_ALL 0xf0u
#define INTID_SPI 32u
#define INTID_SPECIAL 1020u
#define SGI_IPI 0u
#define SGI_HALT 1u
#define WAIT_LIMIT 1000000u
#define STOP_WAIT_NS 500000000ull /* for CPUs that were told to stop */

static uint32_t stopped; /* atomic: CPUs that did what SGI_HALT says */
static unsigned version; /* 2 or 3 */
static volatile void *gicd, *gicc;
static struct {
    volatile void *base;
    size_t len;
} gicr[GICR_REGIONS_MAX];
static unsigned line_count; /* interrupts the distributor has */
static struct {
    uint64_t base;         /* physical; 0: no frame */
    unsigned next, behind; /* interrupts that nobody has */
} v2m;

/* ---- device tree ---- */

/* Cells: type (0 SPI, 1 PPI), number, flags (Linux bindings, arm,gic.yaml). */
bool aarch64_irq_of(const struct dtb *dtb, dtb_node node, unsigned index, unsigned *intid)
{
    uint32_t type, number;

    if (!dtb_cell(dtb, node, "interrupts", 3 * index, &type) ||
        !dtb_cell(dtb, node, "interrupts", 3 * index + 1, &number) || type > 1 || number >= 988)
        return false;
    *intid = number + (type == 0 ? INTID_SPI : 16);
    return true;
}

static volatile void *map_reg(const struct dtb *dtb, dtb_node node, unsigned index, size_t *len)
{
    uint64_t base, size;

    if (!dtb_reg(dtb, node, index, &base, &size) || size == 0 || size > (256u << 20))
        return NULL;
    *len = size;
    return aarch64_mmio_map(base, size);
}

static bool find_v3(const struct dtb *dtb)
{
    dtb_node node = dtb_compatible(dtb, DTB_NONE, "arm,gic-v3");
    uint32_t regions = 1;
    size_t len;

    if (node == DTB_NONE)
        return false;
    version = 3;
    gicd = map_reg(dtb, node, 0, &len);
    (void)dtb_cell(dtb, node, "#redistributor-regions", 0, &regions);
    for (unsigned i = 0; i < MIN(regions, GICR_REGIONS_MAX); i++)
        gicr[i].base = map_reg(dtb, node, 1 + i, &gicr[i].len);
    return gicd != NULL;
}

static bool find_v2(const struct dtb *dtb)
{
    static const char *const names[] = {"arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a9-gic",
                                        "arm,cortex-a7-gic"};
    size_t len;

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        dtb_node node = dtb_compatible(dtb, DTB_NONE, names[i]);

        if (node == DTB_NONE)
            continue;
        version = 2;
        gicd = map_reg(dtb, node, 0, &len);
        gicc = map_reg(dtb, node, 1, &len);
        return gicd && gicc;
    }
    return false;
}

/* Messages that raise interrupts of the distributor. (Those of version 3 would go through an ITS,
 * which nobody drives here.) */
static void find_v2m(const struct dtb *dtb)
{
    dtb_node node = dtb_compatible(dtb, DTB_NONE, "arm,gic-v2m-frame");
    uint64_t base, size;
    volatile void *frame;
    uint32_t type;

    if (node == DTB_NONE || !dtb_reg(dtb, node, 0, &base, &size) || size < V2M_SIZE)
        return;
    frame = aarch64_mmio_map(base, V2M_SIZE);
    if (!frame)
        return;
    type = a64_mmio_get(frame, V2M_TYPER);
    v2m.next = MAX(type >> 16 & 0x3ff, INTID_SPI);
    v2m.behind = MIN((type >> 16 & 0x3ff) + (type & 0x3ff), line_count);
    v2m.base = base;
}

/* ---- distributor ---- */

static void wait_writes(void)
{
    for (unsigned i = 0; i < WAIT_LIMIT && a64_mmio_get(gicd, GICD_CTLR) & GICD_CTLR_RWP; i++)
        ;
}

/* Version 2 acknowledges group 1 through GICC_IAR only with AckCtl, so everything is group 0 there;
 * seen from the non-secure side of a secure machine these registers read as zero and all is well.
 */
static uint32_t group_bits(void)
{
    return version == 3 ? UINT32_MAX : 0;
}

void aarch64_irq_init(const struct dtb *dtb)
{
    if (!find_v3(dtb) && !find_v2(dtb))
        kernel_hal_panic("no interrupt controller (GICv2 or GICv3) in the device tree", 0, 0);
    a64_mmio_put(gicd, GICD_CTLR, 0);
    line_count = MIN(32 * ((a64_mmio_get(gicd, GICD_TYPER) & 31) + 1), INTID_SPECIAL);
    for (unsigned i = INTID_SPI; i < line_count; i += 32) {
        a64_mmio_put(gicd, GICD_ICENABLER + i / 8, UINT32_MAX);
        a64_mmio_put(gicd, GICD_IGROUPR + i / 8, group_bits());
    }
    if (version == 3) {
        wait_writes();
        a64_mmio_put(gicd, GICD_CTLR, GICD_CTLR_ARE);
        wait_writes();
        a64_mmio_put(gicd, GICD_CTLR, GICD_CTLR_ARE | GICD_CTLR_GROUP1);
        wait_writes();
    } else {
        a64_mmio_put(gicd, GICD_CTLR, GICD_CTLR_V2_ENABLE);
        find_v2m(dtb);
    }
}

/* The frame with this CPU's enable and priority registers. */
static volatile void *private_frame(void)
{
    return version == 3 ? (volatile char *)aarch64_this_cpu()->redistributor + GICR_SGI_FRAME
                        : gicd;
}

/* An interrupt of a device goes to `to`. */
static void enable(unsigned intid, const struct aarch64_cpu *to)
{
    volatile void *frame = intid < INTID_SPI ? private_frame() : gicd;

    if (intid >= line_count)
        return;
    *((volatile uint8_t *)frame + GICD_IPRIORITYR + intid) = PRIORITY;
    if (intid >= INTID_SPI && version == 3)
        *(volatile uint64_t *)((volatile char *)gicd + GICD_IROUTER + 8 * (size_t)intid) =
            to->mpidr;
    else if (intid >= INTID_SPI)
        *((volatile uint8_t *)gicd + GICD_ITARGETSR + intid) = to->gic2_mask;
    a64_mmio_put(frame, GICD_ISENABLER + intid / 32 * 4, 1u << intid % 32);
}

void aarch64_irq_enable(unsigned intid)
{
    enable(intid, aarch64_cpus[0]);
}

/* Raised by an edge, for what is written is over at once. */
int hal_msi_alloc(unsigned cpu, struct hal_msi *out)
{
    static uint32_t lock; /* the registers have two bits for each of 16 interrupts */
    unsigned intid, at;

    if (!v2m.base)
        return -ENODEV;
    if (!aarch64_cpus[cpu]->gic2_mask)
        cpu = 0; /* not started */
    unsigned long flags = hal_irq_save();
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        hal_cpu_relax();
    intid = v2m.next;
    at = GICD_ICFGR + intid / 16 * 4;
    if (intid < v2m.behind) {
        v2m.next++;
        a64_mmio_put(gicd, at, a64_mmio_get(gicd, at) | 2u << intid % 16 * 2);
        enable(intid, aarch64_cpus[cpu]);
    }
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    hal_irq_restore(flags);
    if (intid >= v2m.behind)
        return -ENOSPC;
    *out = (struct hal_msi){.address = v2m.base + V2M_SETSPI, .data = intid, .irq = intid};
    return 0;
}

int hal_irq_unmask(unsigned irq)
{
    if (irq < INTID_SPI || irq >= line_count)
        return -ENODEV;
    aarch64_irq_enable(irq);
    return 0;
}

/* ---- per CPU ---- */

/* MPIDR affinities in the order of GICR_TYPER and GICD_SGIR: 3.2.1.0 in 32 bits. */
static uint32_t affinity32(uint64_t mpidr)
{
    return (uint32_t)(mpidr >> 32 & 0xff) << 24 | ((uint32_t)mpidr & 0xffffff);
}

static volatile void *find_redistributor(uint64_t mpidr)
{
    for (unsigned i = 0; i < GICR_REGIONS_MAX && gicr[i].base; i++) {
        size_t at = 0;

        while (at + GICR_STRIDE <= gicr[i].len) {
            volatile void *frame = (volatile char *)gicr[i].base + at;
            uint32_t type = a64_mmio_get(frame, GICR_TYPER);

            if (a64_mmio_get(frame, GICR_TYPER_HI) == affinity32(mpidr))
                return frame;
            if (type & GICR_TYPER_LAST)
                break;
            at += type & GICR_TYPER_VLPIS ? GICR_STRIDE_VLPI : GICR_STRIDE;
        }
    }
    return NULL;
}

static void init_cpu_v3(struct aarch64_cpu *cpu)
{
    cpu->redistributor = find_redistributor(cpu->mpidr);
    if (!cpu->redistributor)
        kernel_hal_panic("no GIC redistributor for this CPU", 0, 0);
    a64_mmio_put(cpu->redistributor, GICR_WAKER,
                 a64_mmio_get(cpu->redistributor, GICR_WAKER) & ~GICR_WAKER_SLEEP);
    for (unsigned i = 0;
         i < WAIT_LIMIT && a64_mmio_get(cpu->redistributor, GICR_WAKER) & GICR_WAKER_ASLEEP; i++)
        ;
    a64_write(s3_0_c12_c12_5, a64_read(s3_0_c12_c12_5) | 1); /* ICC_SRE_EL1.SRE */
    a64_isb();
    a64_write(s3_0_c4_c6_0, PRIORITY_ALL); /* ICC_PMR_EL1 */
    a64_write(s3_0_c12_c12_4, 0);          /* ICC_CTLR_EL1: one-step end of interrupt */
    a64_write(s3_0_c12_c12_7, 1);          /* ICC_IGRPEN1_EL1 */
    a64_isb();
}

static void init_cpu_v2(struct aarch64_cpu *cpu)
{
    uint32_t word = a64_mmio_get(gicd, GICD_ITARGETSR);

    /* These read-only bytes name the reading CPU. A controller for one CPU has zeros. */
    cpu->gic2_mask = (uint8_t)(word | word >> 8 | word >> 16 | word >> 24);
    if (cpu->gic2_mask == 0)
        cpu->gic2_mask = 1;
    a64_mmio_put(gicc, GICC_PMR, PRIORITY_ALL);
    a64_mmio_put(gicc, GICC_CTLR, 3); /* both groups: without security only one is there */
}

void aarch64_irq_init_cpu(void)
{
    struct aarch64_cpu *cpu = aarch64_this_cpu();
    volatile void *frame;

    if (version == 3)
        init_cpu_v3(cpu);
    else
        init_cpu_v2(cpu);
    frame = private_frame();
    a64_mmio_put(frame, GICD_ICENABLER, UINT32_MAX);
    a64_mmio_put(frame, GICD_IGROUPR, group_bits());
    aarch64_irq_enable(SGI_IPI);
    aarch64_irq_enable(SGI_HALT);
}

/* ---- IPIs ---- */

static void send_sgi(const struct aarch64_cpu *cpu, unsigned sgi)
{
    uint64_t mpidr = cpu->mpidr;

    /* Memory written before is visible to the handler. */
    __asm__ volatile("dsb ishst" : : : "memory");
    if (version == 2) {
        a64_mmio_put(gicd, GICD_SGIR, (uint32_t)cpu->gic2_mask << 16 | sgi);
        return;
    }
    /* ICC_SGI1R_EL1: affinities 3, 2, 1; the range of 16 that affinity 0 is in, and its bit. */
    a64_write(s3_0_c12_c11_5, (mpidr >> 32 & 0xff) << 48 | (mpidr >> 4 & 0xf) << 44 |
                                  (mpidr >> 16 & 0xff) << 32 | (uint64_t)sgi << 24 |
                                  (mpidr >> 8 & 0xff) << 16 | 1ull << (mpidr & 15));
    a64_isb();
}

void hal_ipi_send(unsigned cpu)
{
    send_sgi(aarch64_cpus[cpu], SGI_IPI);
}

/* CPUs that have interrupts masked for good do not hear it; the GIC has no NMI here. */
void hal_halt_others(void)
{
    unsigned self = hal_cpu_id(), told = 0;
    uint64_t start;

    if (version == 0)
        return;
    for (unsigned i = 0; i < hal_cpu_count(); i++)
        /* The first was there from the beginning. */
        if (i != self && (i == 0 || __atomic_load_n(&aarch64_cpus[i]->arrived, __ATOMIC_ACQUIRE))) {
            send_sgi(aarch64_cpus[i], SGI_HALT);
            told++;
        }
    /* Acquire: the registers that they have left are there. */
    start = hal_clock_ns();
    while (__atomic_load_n(&stopped, __ATOMIC_ACQUIRE) < told &&
           hal_clock_ns() - start < STOP_WAIT_NS)
        hal_cpu_relax();
}

/* ---- dispatch ---- */

static _Noreturn void halt_cpu(const struct isa_frame *frame)
{
    kernel_cpu_stopped(hal_cpu_id(), frame);
    core_fp_keep();
    __atomic_fetch_add(&stopped, 1, __ATOMIC_RELEASE);
    __asm__ volatile("msr daifset, #0xf");
    for (;;)
        __asm__ volatile("wfi");
}

/* What another CPU wrote before its IPI is read by the handler after this: one exception may
 * acknowledge several interrupts, so its own synchronisation is not enough. */
static void barrier_after_acknowledge(void)
{
    __asm__ volatile("dsb sy" : : : "memory");
}

static unsigned acknowledge(void)
{
    uint32_t iar;

    if (version == 2) {
        iar = a64_mmio_get(gicc, GICC_IAR);
        barrier_after_acknowledge();
        if ((iar & 0x3ff) < INTID_SPECIAL)
            a64_mmio_put(gicc, GICC_EOIR, iar);
        return iar & 0x3ff;
    }
    iar = (uint32_t)a64_read(s3_0_c12_c12_0); /* ICC_IAR1_EL1 */
    barrier_after_acknowledge();
    if (iar < INTID_SPECIAL) {
        a64_write(s3_0_c12_c12_1, iar); /* ICC_EOIR1_EL1 */
        a64_isb();
    }
    return iar;
}

void aarch64_irq_dispatch(const struct isa_frame *frame)
{
    for (;;) {
        unsigned intid = acknowledge();

        if (intid >= INTID_SPECIAL)
            return;
        if (intid == SGI_IPI)
            kernel_ipi();
        else if (intid == SGI_HALT)
            halt_cpu(frame);
        else if (intid == aarch64_timer_intid)
            aarch64_timer_irq();
        else if (intid == aarch64_console_intid)
            console_interrupt();
        else
            kernel_irq(intid);
    }
}
