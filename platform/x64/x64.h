/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * x64.h - what the files of the bare-metal x86-64 backend share. No other folder includes it.
 *
 * Boot order: features, place of the image (kaslr.c) -> (boot.c:) memory map -> console -> page
 * tables -> ACPI -> interrupt controller -> CPUs -> clock -> kernel_boot.
 */
#ifndef SELKIE_X64_H
#define SELKIE_X64_H

#include "common/acpi.h"
#include "common/bootmem.h"
#include "hal_up.h"
#include "isa.h"

/* ---- instructions ---- */

static inline void x64_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline void x64_out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}
static inline void x64_out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}
static inline uint8_t x64_in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint16_t x64_in16(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint32_t x64_in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* What only ring 0 may do, when everything runs in ring 3 (ring3.S): code there does it. */
uint64_t x64_ring3_gate(uint64_t a, uint64_t b, void *c, uint64_t unused, const char *code);
extern const char x64_gate_rdmsr[], x64_gate_wrmsr[], x64_gate_cpuid[], x64_gate_read_cr3[],
    x64_gate_write_cr3[], x64_gate_flush_global[], x64_gate_invlpg[], x64_gate_idle[],
    x64_gate_stop[], x64_gate_reset[];

static inline uint64_t x64_rdmsr(uint32_t msr)
{
    uint32_t lo, hi;

    if (x64_ring3)
        return x64_ring3_gate(msr, 0, NULL, 0, x64_gate_rdmsr);

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}
static inline void x64_wrmsr(uint32_t msr, uint64_t value)
{
    if (x64_ring3) {
        x64_ring3_gate(msr, value, NULL, 0, x64_gate_wrmsr);
        return;
    }
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

/* Unordered: the callers need no more than "about now". */
static inline uint64_t x64_rdtsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}
/* Not before earlier loads are done (SDM vol. 2, RDTSC): clocks compared between CPUs need it. */
static inline uint64_t x64_rdtsc_ordered(void)
{
    uint32_t lo, hi;

    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (uint64_t)hi << 32 | lo;
}

struct x64_cpuid {
    uint32_t eax, ebx, ecx, edx;
};
static inline struct x64_cpuid x64_cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct x64_cpuid r = {0}; /* touched: the gate's code must not fault */

    if (x64_ring3) {
        x64_ring3_gate(leaf, subleaf, &r, 0, x64_gate_cpuid);
        return r;
    }
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

/* ---- cpu.c ---- */

struct x64_tss { /* SDM vol. 3, 8.7 */
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
} packed;
STATIC_ASSERT(sizeof(struct x64_tss) == 104);

#define X64_IO_MAP_SIZE (65536 / 8 + 1) /* SDM vol. 1, 19.5.2 */

#define X64_IST_TRAP 1 /* all gates but the following */
#define X64_IST_NMI 2
#define X64_IST_FATAL 3 /* double fault, machine check */
#define X64_IST_FAULT 4 /* page fault: may come while a frame is built from the trap stack */

struct x64_cpu {
    /* Known to assembly by offset (layout.h). */
    struct x64_cpu *self;
    void *thread;
    unsigned id;
    uint8_t tlb_pending; /* atomic: other CPUs set it, x64_tlb_serve clears it */
    uint8_t fp_stale;    /* the executing context's vector registers must be loaded */
    uintptr_t kstack;    /* where the next entry from user code builds its frame */
    uintptr_t user_sp;   /* scratch of the system-call entry */
    /* Only where everything runs in ring 3 (ring3.S): */
    uint32_t irq_on;    /* X64_FLAGS_IF, or 0: interrupts are noted, not handled */
    uint32_t irq_noted; /* bit n: vector 0x20 + n came meanwhile */
    uint64_t int_rip, int_rsp, int_rflags, int_vector, int_rax; /* an interrupt on its way */
    uintptr_t trap_top;                                         /* end of trap_stack */
    uintptr_t cr2; /* of the page fault being entered */
    void *local;   /* hal_cpu_local */

    struct hal_ctx *ctx;      /* executing; NULL until adopted */
    struct hal_ctx *fp_owner; /* whose registers the CPU holds, as far as ctx->fp_cpu agrees */
    struct hal_space *space;  /* atomic: read by CPUs that want to flush */
    uint64_t deadline_ns;
    uint32_t apic_id;
    bool arrived; /* atomic: has left the trampoline */
    bool online;  /* atomic: takes flush requests */

    uint64_t gdt[9];
    struct x64_tss tss;
    uint8_t io_map[X64_IO_MAP_SIZE]; /* right behind tss; all zero: ring 3 may use all ports */
    uint8_t gate_stack[1024] __attribute__((aligned(16))); /* ring 0, entered from ring 3 */
    /* Whole pages, because they are used where they are mapped between guard pages
     * (x64_cpu_stacks). */
    uint8_t trap_stack[X64_TRAP_STACK_SIZE] __attribute__((aligned(4096)));
    uint8_t nmi_stack[X64_FATAL_STACK_SIZE] __attribute__((aligned(4096)));
    uint8_t fatal_stack[X64_FATAL_STACK_SIZE] __attribute__((aligned(4096)));
    uint8_t fault_stack[X64_FAULT_STACK_SIZE] __attribute__((aligned(4096)));
};

static inline struct x64_cpu *x64_this_cpu(void)
{
    struct x64_cpu *cpu;

    __asm__ volatile("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}
extern struct x64_cpu *x64_cpus[HAL_CPU_MAX]; /* [0, hal_cpu_count()) */

struct x64_features {
    bool interpreted; /* ring 0 is interpreted (cpu.c) */
    bool xsave, fsgsbase, umip, x2apic, tsc_deadline, rdrand, rdseed, gib_pages;
    bool hypervisor;
};
extern struct x64_features x64_features; /* set by x64_cpu_features on CPU 0 */
void x64_cpu_features(void);
void x64_cpu_idt(void); /* fill the IDT that all CPUs share */
void x64_cpu_syscall_entry(const char *entry, bool mask_flags);
void x64_cpu_control(void);            /* control registers and MSRs of the executing CPU */
void x64_cpu_tables(struct x64_cpu *); /* GDT, IDT, TSS, GS base of the executing CPU */
void x64_cpu_boot_init(void);          /* CPU 0, before the others are known */
void x64_cpu_boot_stacks(void);        /* CPU 0, once the final page tables are there */
void x64_cpu_enumerate(const struct acpi_info *acpi, struct bootmem *bm);

/* ---- irq.c ---- */

void x64_irq_init(const struct acpi_info *acpi); /* legacy controller off, I/O APICs, this LAPIC */
void x64_irq_init_cpu(void);                     /* this CPU's LAPIC */
uint32_t x64_apic_id(void);
void x64_apic_send(uint32_t apic_id, uint32_t command); /* ICR; waits until it is sent */
void x64_irq_dispatch(unsigned vector);
/* Route an ISA interrupt to `vector` on CPU 0. -ENODEV without an I/O APIC for it. */
int must_check x64_irq_route(unsigned isa_irq, unsigned vector);
#define X64_APIC_INIT 0x4500u
#define X64_APIC_STARTUP 0x4600u
#define X64_APIC_NMI 0x4400u
/* The timer's raw count-down register, for calibration. */
void x64_apic_timer_start(uint32_t count);
uint32_t x64_apic_timer_count(void);
void x64_apic_timer_mode(bool deadline);

/* ---- mmu.c ---- */

void x64_mmu_init(struct bootmem *bm, const struct bootmem *ram);
void x64_mmu_activate_kernel(void); /* on this CPU */
/* Map a stack (whole pages) once more, behind a page that is not mapped; its end there. Before
 * kernel_boot. */
uintptr_t x64_stack_map(const void *stack, size_t size);
/* Map device registers for good. NULL when the window is full. */
volatile void *x64_mmio_map(paddr_t pa, size_t len);
/* Reach firmware tables through the direct map, which is extended if it must be. NULL: not RAM-like
 * or no memory. Boot only. */
const void *x64_phys_map(paddr_t pa, size_t len);
void x64_tlb_irq(void);
/* Root for the trampoline: the kernel's mappings and `page` at its own address. Boot only;
 * HAL_NO_PAGE if there is no memory. */
paddr_t x64_mmu_trampoline_root(struct bootmem *bm, paddr_t page);

/* ---- mem.c ---- */

extern struct hal_boot_info x64_boot_info;
extern struct bootmem x64_bootmem;
extern paddr_t x64_rsdp;
extern paddr_t x64_trampoline_page; /* HAL_NO_PAGE if there is none */
void x64_mem_init(paddr_t start_info, struct bootmem *ram);
/* Its command line; NULL if there is none, or it is not one that we can trust. Boot page tables. */
const char *x64_start_cmdline(paddr_t start_info);
void x64_mem_finish(void);

/* ---- time.c, console.c, power.c ---- */

void x64_time_init(const struct acpi_info *acpi);
void x64_time_init_cpu(void);
void x64_timer_irq(void);
void x64_spin_ns(uint64_t ns);

void x64_console_init(void);
void x64_console_irq_init(void);
void x64_console_irq(void);
/* For poweroff: announce the status if framed (true), and wait until the line is empty. */
bool x64_console_finish(int status);

void x64_power_init(const struct acpi_info *acpi);

/* ---- trap.c, entry.S ---- */

void x64_trap_user(struct isa_frame *frame, unsigned vector, unsigned error);
void x64_trap_kernel(struct isa_frame *frame, unsigned vector, unsigned error, uintptr_t cr2);
void x64_return_wild(struct isa_frame *frame);
void x64_fp_load(void);
extern bool x64_halting;     /* hal_halt_others was called: NMIs mean "stop" */
extern uint32_t x64_stopped; /* atomic: CPUs that did */

/* ---- ring3.c, ring3.S ---- */

struct x64_alt { /* x64_alt.h */
    int32_t site, code;
    uint8_t site_len, code_len, zero[2];
};
STATIC_ASSERT(sizeof(struct x64_alt) == 12);
extern const struct x64_alt x64_alt_begin[], x64_alt_end[];

/* CPU 0, before the final page tables: if this machine wants it, or the command line. */
void x64_ring3_choose(void);
void x64_ring3_drop(void);     /* each CPU, once its tables are loaded */
void x64_ring3_dispatch(void); /* the interrupts that were noted */
void x64_ring3_drain(void);    /* dispatch until none is noted, and set irq_on */
extern bool x64_ring3_stays;   /* SYSCALL leads to ring 3, not 0 */
bool x64_ring3_syscall_stays(void);
bool x64_ring3_fsgsbase(void);
extern const char x64_ring3_no_fsgsbase[], x64_ring3_probe[], x64_ring3_syscall[],
    x64_ring3_direct_entry[], x64_ring3_begin[], x64_ring3_end[];
extern const uintptr_t x64_ring3_trap_table[X64_VECTOR_COUNT];
_Noreturn void x64_stop(void); /* sleep for ever */

extern const uintptr_t x64_trap_table[X64_VECTOR_COUNT];
extern const char x64_syscall_entry[], x64_syscall_common[], x64_direct_entry[], x64_ctx_start[];
void x64_switch(uintptr_t *save_sp, uintptr_t load_sp);
extern const char x64_trampoline_begin[], x64_trampoline_end[], x64_trampoline_64[];

/* ---- kaslr.c, boot.S ---- */

uintptr_t x64_kaslr(paddr_t start_info);
extern uint64_t x64_boot_pml4[];
extern uint64_t x64_boot_pml4[512], x64_boot_image_pd[512], x64_boot_image_pt[3 * 512];

_Noreturn void x64_boot(uintptr_t start_info, void *stack, size_t size);

/* linker.ld */
extern const char x64_boot_guard[];
extern const char x64_image_begin[], x64_image_end[], x64_text_begin[], x64_text_end[],
    x64_rodata_begin[], x64_data_begin[];

#endif
