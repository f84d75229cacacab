/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpu.c - CPUs: system registers, discovery in the device tree, start through PSCI, idle.
 *
 * Each CPU has one struct aarch64_cpu. CPU 0's is static; the others are cut from boot memory for
 * as many CPUs as the device tree names, CPU 0 first and the rest in its order.
 */
#include "aarch64.h"
#include "common/psci.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "protect.h"

#define CPACR_FPEN (3ull << 20)   /* no traps of floating point and SIMD */
#define CNTKCTL_EL0_ACCESS 0x3ull /* programs run at EL1; set for completeness */
#define MDSCR_NONE 0ull

STATIC_ASSERT(offsetof(struct aarch64_cpu, id) == CPU_ID);
STATIC_ASSERT(offsetof(struct aarch64_cpu, local) == CPU_LOCAL);
STATIC_ASSERT(offsetof(struct aarch64_cpu, fp_stale) == CPU_FP_STALE);
STATIC_ASSERT(offsetof(struct aarch64_cpu, stack_lo) == CPU_STACK_LO);
STATIC_ASSERT(offsetof(struct aarch64_cpu, stack_size) == CPU_STACK_SIZE);
STATIC_ASSERT(offsetof(struct aarch64_cpu, scratch) == CPU_SCRATCH);
STATIC_ASSERT(offsetof(struct aarch64_cpu, emergency) == CPU_EMERGENCY);
STATIC_ASSERT(offsetof(struct aarch64_cpu, start_sp) == CPU_START_SP);
STATIC_ASSERT(offsetof(struct aarch64_cpu, start_thread) == CPU_START_THREAD);
STATIC_ASSERT(offsetof(struct aarch64_secondary, ttbr0) == SECONDARY_TTBR0);
STATIC_ASSERT(offsetof(struct aarch64_secondary, ttbr1) == SECONDARY_TTBR1);
STATIC_ASSERT(offsetof(struct aarch64_secondary, tcr) == SECONDARY_TCR);

static struct aarch64_cpu boot_cpu;
struct aarch64_cpu *aarch64_cpus[HAL_CPU_MAX] = {&boot_cpu};
static unsigned cpu_count = 1;

unsigned hal_cpu_count(void)
{
    return cpu_count;
}

static void cpu_reset(struct aarch64_cpu *cpu, unsigned id, uint64_t mpidr)
{
    memset(cpu, 0, offsetof(struct aarch64_cpu, emergency_stack));
    cpu->id = id;
    cpu->mpidr = mpidr;
    cpu->stack_size = UINTPTR_MAX;
    cpu->emergency = (uintptr_t)cpu->emergency_stack + A64_EMERGENCY_SIZE;
    cpu->deadline_ns = UINT64_MAX;
}

/*
 * SVE and SME stay trapped, because their registers are not saved (CPACR_EL1.ZEN, SMEN = 0).
 * SCTLR_EL1 was set by boot.S; the caches and the MMU are on.
 */
void aarch64_cpu_control(void)
{
    a64_write(cpacr_el1, CPACR_FPEN);
    a64_write(mdscr_el1, MDSCR_NONE);
    a64_write(cntkctl_el1, CNTKCTL_EL0_ACCESS);
    a64_write(vbar_el1, (uintptr_t)aarch64_vectors);
    a64_write(tpidr_el0, 0);
    a64_isb();
}

void aarch64_cpu_boot_init(void *stack, size_t size)
{
    cpu_reset(&boot_cpu, 0, a64_read(mpidr_el1) & A64_MPIDR_AFFINITY);
    boot_cpu.stack_lo = (uintptr_t)stack;
    boot_cpu.stack_size = size;
    a64_write(tpidrro_el0, (uintptr_t)&boot_cpu);
    aarch64_cpu_control();
    isa_fp_setup();
}

/* ---- the other CPUs ---- */

static void add_cpu(uint64_t mpidr, struct bootmem *bm)
{
    size_t size = align_up(sizeof(struct aarch64_cpu), HAL_PAGE_SIZE);
    paddr_t pa = bootmem_alloc(bm, size, HAL_PAGE_SIZE, A64_DIRECT_SIZE);
    struct aarch64_cpu *cpu;

    if (pa == HAL_NO_PAGE)
        return;
    cpu = hal_phys_to_virt(pa);
    cpu_reset(cpu, cpu_count, mpidr);
    aarch64_cpus[cpu_count++] = cpu;
}

void aarch64_cpu_enumerate(const struct dtb *dtb, struct bootmem *bm)
{
    dtb_node node = dtb_child(dtb, dtb_path(dtb, "/cpus", 5));

    for (; node != DTB_NONE && cpu_count < HAL_CPU_MAX; node = dtb_sibling(dtb, node)) {
        uint64_t mpidr;

        if (!dtb_lists(dtb, node, "device_type", "cpu") ||
            !dtb_lists(dtb, node, "enable-method", "psci") || !dtb_number(dtb, node, "reg", &mpidr))
            continue;
        mpidr &= A64_MPIDR_AFFINITY;
        if (mpidr != boot_cpu.mpidr)
            add_cpu(mpidr, bm);
    }
}

/* First C code of another CPU, on the stack that hal_cpu_start was given. */
_Noreturn void aarch64_secondary_main(struct aarch64_cpu *cpu)
{
    a64_pointer_auth_on();
    aarch64_cpu_control();
    aarch64_mmu_init_cpu();
    isa_fp_setup();
    aarch64_irq_init_cpu();
    aarch64_time_init_cpu();
    __atomic_store_n(&cpu->arrived, true, __ATOMIC_RELEASE);
    kernel_cpu_main(cpu->id);
}

void hal_cpu_local_set(unsigned cpu, void *local)
{
    aarch64_cpus[cpu]->local = local;
}

int hal_cpu_start(unsigned cpu_id, void *stack_top, void *self)
{
    struct aarch64_cpu *cpu = aarch64_cpus[cpu_id];

    cpu->start_sp = (uintptr_t)stack_top & ~(uintptr_t)15;
    cpu->start_thread = self;
    /* The CPU's first reads of *cpu are made with caches on, so this is ordinary shared memory. */
    __asm__ volatile("dsb ish" : : : "memory");
    return psci_cpu_on(cpu->mpidr, hal_virt_to_phys(aarch64_secondary_entry), (uintptr_t)cpu);
}

/* wfi ends when an interrupt is pending, masked or not (DDI 0487, D1.6.2): nothing can slip in
 * between. The interrupt is taken while they are enabled for a moment. */
void hal_cpu_idle(void)
{
    __asm__ volatile("dsb sy; wfi; msr daifclr, #6; isb; msr daifset, #6" : : : "memory");
}
