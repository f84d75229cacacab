/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal.h - the contract between the kernel and the machine.
 *
 * The cut is at the machine, never at the operating system: a backend gives
 * CPUs, interrupts, contexts, mappings, time, a console and power. Threads,
 * locks, allocators, files and timers are kernel code on every backend.
 *
 * Three backends implement this header: hosted/ (a Linux process), platform/x64
 * and platform/aarch64. They are chosen at link time: no ops table, no weak
 * symbol, so a missing function is a link error. Entries marked [inline] are
 * defined in the backend's hal_inline.h; all others in the twin files
 * cpu.c irq.c ctx.c entry.S/c mmu.c time.c console.c mem.c dev.c power.c.
 *
 * Rules that hold for every entry unless it says otherwise:
 *  - it may be called with interrupts off; it never sleeps;
 *  - it takes no kernel lock and calls no up-call (see hal_up.h);
 *  - errors are negative Linux errno values;
 *  - "panic-safe" means it takes no lock at all and allocates nothing;
 *  - one ring: kernel and program run at the same privilege. What separates
 *    user code from kernel code is the address: user code lies below
 *    hal_user_layout()->end, the kernel above it.
 */
#ifndef SELKIE_HAL_H
#define SELKIE_HAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/types.h"

struct isa_frame; /* user registers at kernel entry; isa/frame.h */
struct hal_ctx;   /* a kernel context; complete type in hal_inline.h */
struct hal_space; /* an address space; complete type in hal_inline.h */

/* Pages are 4 KiB on every backend. */
#define HAL_PAGE_SHIFT 12
#define HAL_PAGE_SIZE ((size_t)1 << HAL_PAGE_SHIFT)
#define HAL_CPU_MAX 256 /* bounds per-CPU pointer arrays only, no bit masks */

/* ---- cpu ---------------------------------------------------------------- */

/* Number of CPUs the machine has, 1..HAL_CPU_MAX; fixed at boot. Panic-safe. */
unsigned hal_cpu_count(void);

/* Index of the executing CPU, 0..count-1. Stable only while the caller cannot
 * be moved to another CPU (preemption or interrupts off). Panic-safe. [inline] */
static inline unsigned hal_cpu_id(void);

/* A word of the executing CPU, one instruction away where the machine can; NULL until it is set,
 * before that CPU is started (0: any time). Stable as hal_cpu_id is. [the first inline] */
static inline void *hal_cpu_local(void);
void hal_cpu_local_set(unsigned cpu, void *local);

/*
 * hal_cpu_start - start CPU `cpu` (not 0). It arrives in kernel_cpu_main(cpu)
 * with interrupts off on the stack ending at `stack_top`, hal_thread_get() returning `self`.
 * Context: thread, CPU 0, once per CPU. Returns 0 when the CPU has been told
 * to start (not when it arrived), -EIO when the machine refused.
 */
int must_check hal_cpu_start(unsigned cpu, void *stack_top, void *self);

/*
 * hal_cpu_idle - wait for an interrupt. Context: interrupts off, no spinlock
 * held. Enables interrupts and sleeps as one step: an interrupt that became
 * pending after the caller's last look at its run queue ends the sleep at
 * once. Pending interrupts are delivered (kernel_irq and friends are called)
 * before it returns; returns with interrupts off, possibly for no reason.
 */
void hal_cpu_idle(void);

/* Tell the CPU that this is a spin loop; on hosted it also gives the host CPU
 * away after some hundred calls. Does not deliver interrupts. Panic-safe. [inline] */
static inline void hal_cpu_relax(void);

/*
 * hal_cpu_polling - this CPU is idle and looks for interrupts by itself: a loop of hal_irq_restore
 * and hal_cpu_relax has begun (or ended) in which it takes what devices have for it, so that they
 * need not interrupt it. Context: interrupts off. True: there is a device that such a loop shortens
 * the way of. What comes after the end interrupts the CPU again; what has come before is delivered
 * by the next restore or hal_cpu_idle. Hosted: frames in memory shared with other machines
 * (net_share.h). [inline]
 */
static inline bool hal_cpu_polling(bool on);

/* The thread pointer of this CPU: an opaque word that the scheduler sets at
 * every switch. Reading it is one instruction, so it is valid with preemption
 * on: a thread that migrates reads its own value on either CPU. Panic-safe. [inline] */
static inline void *hal_thread_get(void);
static inline void hal_thread_set(void *self);

/* ---- irq ---------------------------------------------------------------- */

/*
 * Interrupt masking for the executing CPU. save returns the previous state and
 * masks; restore puts it back and, if that enables interrupts, delivers what
 * is pending before it returns. The state is 0 if interrupts were masked, any other value means
 * enabled: hal_irq_restore(HAL_IRQ_ON) enables them. On hosted masking is a flag in memory, not a
 * system call, and interrupts are delivered only in restore, idle and user mode. [inline]
 */
#define HAL_IRQ_ON 1ul
static inline unsigned long hal_irq_save(void);
static inline void hal_irq_restore(unsigned long state);
static inline bool hal_irq_enabled(void);
/* Unmask whatever the state was, as restore does: the first code of a thread. [inline] */
static inline void hal_irq_enable(void);

/*
 * The same for a few instructions that call nothing: no interrupt is delivered between begin and
 * end. Where the kernel is interrupted only at its own calls (hosted) that takes no instruction;
 * there end delivers nothing either, the next restore does. Not nested. [inline]
 */
static inline unsigned long hal_brief_begin(void);
static inline void hal_brief_end(unsigned long state);

/* Raise kernel_ipi() on `cpu` (may be the executing one). Several calls before
 * it runs may be merged into one. Any memory written before the call is
 * visible to the handler. */
void hal_ipi_send(unsigned cpu);

/* ---- context ------------------------------------------------------------ */

/*
 * A context is what the scheduler switches between: callee-saved registers, a
 * stack, the user TLS base and the user vector registers. The kernel itself is
 * compiled without vector registers, so those of the program stay live in the
 * CPU while the kernel runs; the HAL saves them in hal_ctx_switch and reloads
 * them on the way back to user code, only when another context used the CPU.
 *
 * hal_ctx_init - prepare ctx to run fn(arg) on [stack, stack+size). fn never
 * returns; it starts with interrupts off. `fp` is isa_fp_size() bytes, 64-byte aligned, owned by
 * the caller until hal_ctx_destroy, or NULL for a context that never runs user code.
 */
void hal_ctx_init(struct hal_ctx *ctx, void *stack, size_t size, void (*fn)(void *), void *arg,
                  void *fp);

/* Adopt the executing flow of control as ctx (the boot and idle contexts). */
void hal_ctx_adopt(struct hal_ctx *ctx, void *stack, size_t size);

/* Release what ctx holds (sanitizer fibers). Not the executing context. */
void hal_ctx_destroy(struct hal_ctx *ctx);

/* Switch from the executing context to another that is not running. Context:
 * interrupts off. Returns when something switches back to `from`. The caller
 * sets the thread pointer just before (hal_thread_set). `last`: `from` will
 * never run again (its sanitizer state is dropped). */
void hal_ctx_switch(struct hal_ctx *from, struct hal_ctx *to, bool last);

/* A hint: ctx, which is not running, will be switched to soon. The first call brings what ctx
 * itself points to nearer to the CPU; a later one (`close`) what is found there: it touches what
 * the first one has brought. */
void hal_ctx_prefetch(const struct hal_ctx *ctx, bool close);

/* The TLS base (FS base, TPIDR_EL0) of ctx. `ctx` is the executing context, or not running. */
void hal_ctx_set_tls(struct hal_ctx *ctx, uint64_t base);
uint64_t hal_ctx_tls(const struct hal_ctx *ctx);

/* Make ctx's fp memory hold its user vector registers and forget the live ones, so that the
 * caller may read or change the memory; it is reloaded on the next return to user code. */
void hal_ctx_fp_sync(struct hal_ctx *ctx);

/* ---- entry -------------------------------------------------------------- */

/*
 * hal_user_enter - leave the kernel for user code with the registers in
 * *frame. The kernel stack is empty afterwards: the next entry starts at its
 * top. Calls kernel_user_return(frame) first, as every way out does.
 * Context: thread with an fp area, interrupts on or off, no lock held.
 */
_Noreturn void hal_user_enter(struct isa_frame *frame);

/* Where patched system-call sites jump to: the machine half of direct entry (isa/patch.h writes
 * the trampolines). 0 if this backend has no direct entry. */
uintptr_t hal_direct_entry(void);

/* ---- mmu ---------------------------------------------------------------- */

enum hal_prot {
    HAL_PROT_READ = 1,
    HAL_PROT_WRITE = 2,
    HAL_PROT_EXEC = 4,
    /* Calls and jumps through pointers into the page must hit a landing pad, where the machine can
     * tell (AArch64 with BTI); nothing elsewhere. Goes with EXEC. Not one of the bits above,
     * because hal_space_query() has those of HAL_PTE_* beside them. */
    HAL_PROT_LANDING = 64,
    HAL_PROT_ALL = HAL_PROT_READ | HAL_PROT_WRITE | HAL_PROT_EXEC | HAL_PROT_LANDING,
};

/* What user addresses programs may use. Windows are ascending and disjoint. The first one is where
 * fixed-address programs live, the last one where mmap places things (hosted
 * sanitizers own what lies between). A page at 0 is never part of it. */
struct hal_user_window {
    vaddr_t lo, hi;
};
struct hal_layout {
    struct hal_user_window user[2];
    unsigned user_count;
    vaddr_t user_end;             /* every user address is below, every kernel address above */
    vaddr_t kernel_lo, kernel_hi; /* range for the kernel's own mappings (stacks, MMIO) */
    bool large_pages; /* programs' ranges become large pages; hosted: never in its page tables */
};
const struct hal_layout *hal_layout(void);

/*
 * Address spaces. Page tables are the truth about what is mapped; every
 * backend keeps real ones (hosted mirrors them into mmap). All calls work on page-aligned
 * ranges, do their own TLB work on all CPUs, and expect the caller to serialise calls for
 * overlapping ranges of one space. Table pages come from the kernel through hal_up.h.
 *
 * Programs' ranges that are large pages (2 MiB) in address, frames and length are mapped by
 * such where the hardware has them. A call for a part of one splits it (that takes no memory), so
 * calls that change anything in the same aligned 2 MiB count as overlapping.
 */
int must_check hal_space_create(struct hal_space *space);
void hal_space_destroy(struct hal_space *space);  /* not active anywhere; frees tables, not pages */
void hal_space_activate(struct hal_space *space); /* on this CPU; interrupts off */
struct hal_space *hal_space_kernel(void);         /* the kernel's own: for kernel_lo..kernel_hi */

/* Map [va, va+len) to [pa, pa+len), replacing what is there. -ENOMEM leaves
 * the range with the old or new mapping per page, never a mixture within one;
 * the caller unmaps or retries. prot 0 maps nothing accessible but keeps pa. */
int must_check hal_space_map(struct hal_space *space, vaddr_t va, paddr_t pa, size_t len,
                             unsigned prot);
/* Map `count` pages with scattered frames at consecutive addresses. */
int must_check hal_space_map_pages(struct hal_space *space, vaddr_t va, const paddr_t *frames,
                                   size_t count, unsigned prot);
void hal_space_unmap(struct hal_space *space, vaddr_t va, size_t len);
/* Change the protection of pages that are mapped; holes are skipped. */
void hal_space_protect(struct hal_space *space, vaddr_t va, size_t len, unsigned prot);

/*
 * Kernel stacks get their pages when they are touched (mm/kvm.c). The range of a stack lies in one
 * aligned 2 MiB of kernel_lo..kernel_hi, and a page that is not mapped lies below it.
 * hal_stack_map - map `count` frames at the end of [lo, lo+size), and prepare all of it for
 * hal_stack_grow. On -ENOMEM the caller unmaps the range.
 * hal_stack_grow - map one more page of such a range, with no lock and no allocation, whatever was
 * interrupted: for kernel_stack_fault. Nobody else changes the range.
 * HAL_STACKS_GROW [hal_inline.h] - 0 where that cannot be: then stacks are mapped whole.
 */
int must_check hal_stack_map(vaddr_t lo, size_t size, const paddr_t *frames, size_t count);
void hal_stack_grow(vaddr_t va, paddr_t pa);

/* What is mapped at va. Returns false for a hole. *pa, *prot may be NULL.
 * Accessed/dirty bits are reported where the hardware keeps them; hosted reports both as set. */
#define HAL_PTE_ACCESSED 8u
#define HAL_PTE_DIRTY 16u
#define HAL_PTE_LARGE 32u /* part of a larger page; hosted: never reported */
bool hal_space_query(struct hal_space *space, vaddr_t va, paddr_t *pa, unsigned *prot);

/* The first mapped address in [va, end), or end: lets callers walk sparse ranges. */
vaddr_t hal_space_next(struct hal_space *space, vaddr_t va, vaddr_t end);

/* How much of RAM (rounded to what maps it) the kernel reaches by pages of 4 KiB, 2 MiB and 1 GiB
 * at hal_phys_to_virt. All 0 where the machine below decides that and does not tell (hosted). Walks
 * the tables of the direct map: not for a fast path. Panic-safe. */
enum { HAL_DIRECT_4K, HAL_DIRECT_2M, HAL_DIRECT_1G, HAL_DIRECT_SIZES };
void hal_direct_bytes(uint64_t bytes[HAL_DIRECT_SIZES]);

/* Make instructions written through the kernel's alias of [pa, pa+len) visible to execution. */
void hal_icache_sync(paddr_t pa, size_t len);

/* ---- time and entropy --------------------------------------------------- */

/* Nanoseconds, HAL_CLOCK_START_NS at boot; monotonic over all CPUs. Panic-safe. It does not begin
 * at 0 because programs read it (CLOCK_MONOTONIC), and for some of them second 0 is "not yet"
 * (ping, arping): on other systems it is over before the first of them runs. */
#define HAL_CLOCK_START_NS 1000000000ull
uint64_t hal_clock_ns(void);
/* The same clock, but the CPU may read it before instructions that come earlier, other readings
 * too: some tens of ns early. For accounts, where waiting for those costs more than the reading. */
uint64_t hal_clock_rough_ns(void);
/* Nanoseconds since 1970 (UTC) when that clock was 0: wall clock = this + hal_clock_ns(). */
uint64_t hal_wall_base_ns(void);
/* Ask for kernel_timer() on this CPU at the absolute time; UINT64_MAX turns it off. The past fires
 * at once. */
void hal_timer_arm(uint64_t deadline_ns);
/* For how long, since it came up, this CPU has stood still while it had work, because the machine
 * below ran something else; 0 where that is not known. Never goes back. Interrupts off. */
uint64_t hal_stolen_ns(void);
/* Fill buf from the best source the machine has. Returns 0, or -ENODATA if
 * there is none but the clock (the buffer is then filled from jitter). */
int hal_entropy(void *buf, size_t len);

/* How user code can compute hal_clock_ns() itself (vDSO): ns = base_ns + ((counter - base) * mult
 * >> shift). kind 0: it cannot, and must make the system call. */
enum hal_clock_kind { HAL_CLOCK_NONE, HAL_CLOCK_TSC, HAL_CLOCK_CNTVCT };
struct hal_clock_params {
    uint32_t kind;
    uint32_t shift;
    uint64_t mult;
    uint64_t base;
    uint64_t base_ns;
};
void hal_clock_params(struct hal_clock_params *out);

/* ---- console ------------------------------------------------------------ */

/* Byte streams between the machine and whoever started it. LOG carries kernel
 * messages only; IN/OUT/ERR are the program's standard streams. On bare metal
 * all share one UART, framed when the boot command line says so (kernel/lib/conframe.h). */
enum hal_stream { HAL_STREAM_LOG, HAL_STREAM_OUT, HAL_STREAM_ERR, HAL_STREAM_COUNT };

/* Write what there is room for; may spin on the device for a moment, but never waits for whoever
 * reads. Returns how many bytes at the end were not taken, or what is wrong with the stream: -EPIPE
 * when the reader is gone, or another error of the other side's. kernel_console() announces that
 * trying again may help. */
int hal_console_write(enum hal_stream stream, const void *buf, size_t len);
/* 1 if hal_console_write would take something; 0 if not, then kernel_console() announces room; or
 * the error that it would return. */
int hal_console_room(enum hal_stream stream);
/* Last words: all of buf to LOG, waiting for the reader some seconds if need be. Panic-safe. */
void hal_console_panic(const void *buf, size_t len);
/* Read what has arrived, without waiting: a count, 0 if nothing yet, -EPIPE
 * at end of input. kernel_console() announces new input and window changes. */
long hal_console_read(void *buf, size_t len);

/* A program waits for input of the terminal: the machine may be stopped if that is someone else's
 * just now (hosted, in the background). */
void hal_console_want(void);

struct hal_console_info {
    bool in_tty, out_tty, err_tty; /* is that stream a terminal on the other side? */
    uint16_t rows, cols;           /* 0 if unknown */
};
void hal_console_info(struct hal_console_info *out);

/* ---- memory map and boot information -------------------------------------- */

struct hal_region {
    paddr_t base;
    uint64_t len;
};
struct hal_boot_info {
    const struct hal_region
        *ram; /* free RAM: image, initrd, tables already taken out; page aligned */
    size_t ram_count;
    bool ram_zeroed;     /* never-used RAM reads as zero (hosted) */
    const char *cmdline; /* NUL-terminated; see docs/boot.md for its grammar */
    const void *initrd;  /* kernel address; NULL if none */
    size_t initrd_len;
    paddr_t initrd_pa;   /* if the initrd lies in RAM that can be freed, else 0 */
    uint64_t ram_total;  /* bytes of RAM the machine has, for reports */
    const char *command; /* how whoever started the machine starts it again, for reports, if it was
                            told beside the command line; else NULL */
    const char *machine; /* "hosted", "x64", "aarch64": for messages only */
};
const struct hal_boot_info *hal_boot_info(void);

/* The direct map: all RAM is readable and writable by the kernel at a fixed offset. [inline] */
static inline void *hal_phys_to_virt(paddr_t pa);

/* A run of several pages of RAM that nobody has used yet, so that it is zero (ram_zeroed), will be
 * used now: a host that gives memory page by page may give it at once. [inline] */
static inline void hal_ram_prepare(paddr_t pa, size_t len);
static inline paddr_t hal_virt_to_phys(const void *va);

/* ---- devices ------------------------------------------------------------- */

/*
 * Devices that the kernel's drivers may run, as the machine lists them; so far those are the
 * register windows of virtio's MMIO transport, of which many may be empty. Found at boot. x64: the
 * words virtio_mmio.device=SIZE@ADDRESS:IRQ of the command line; aarch64: the device tree; hosted
 * has none. False behind the last one.
 */
struct hal_device {
    paddr_t regs;
    size_t len;
    unsigned irq;
};
bool hal_device(unsigned index, struct hal_device *out);

/* Map device registers, for good. Context: thread, one caller at a time. NULL without memory or
 * room. */
volatile void *hal_mmio_map(paddr_t pa, size_t len);
/* Accesses of this width to what hal_mmio_map returned: in program order among themselves. [inline]
 */
static inline uint8_t hal_mmio_read8(const volatile void *reg);
static inline uint16_t hal_mmio_read16(const volatile void *reg);
static inline void hal_mmio_write8(volatile void *reg, uint8_t value);
static inline void hal_mmio_write16(volatile void *reg, uint16_t value);
static inline uint32_t hal_mmio_read32(const volatile void *reg);
static inline void hal_mmio_write32(volatile void *reg, uint32_t value);
/* Memory and device accesses before it are done before those after it. [inline] */
static inline void hal_device_barrier(void);

/* Let a device's interrupt raise kernel_irq(irq), level-triggered, on a CPU of the machine's
 * choice; calling it again changes nothing. Context: thread. -ENODEV if the machine cannot route
 * it, -ENOSPC if it has no more room for interrupts. */
int must_check hal_irq_unmask(unsigned irq);

/*
 * PCI configuration space of function `function` (bus << 8 | device << 3 | function), 32 bits at an
 * `offset` below 256 that is a multiple of 4. All ones where there is nothing. Context: thread, one
 * caller at a time. hal_pci: has the machine a PCI bus? x64: ports 0xcf8 and 0xcfc; aarch64:
 * memory, as the device tree says; hosted has none.
 */
bool hal_pci(void);
uint32_t hal_pci_read(unsigned function, unsigned offset);
void hal_pci_write(unsigned function, unsigned offset, uint32_t value);
/* Addresses that functions' registers may be given, the same on the bus and for hal_mmio_map, below
 * 4 GiB. False: firmware has given them some. */
bool hal_pci_window(uint64_t *base, uint64_t *size);
/* The interrupt (for hal_irq_unmask) that a function's INTx pin is wired to. x64: what the firmware
 * has noted; aarch64: the device tree's map. -ENODEV: none, or not known. */
int must_check hal_pci_irq(unsigned function);
/* An interrupt that a device raises on `cpu` by writing `data` to `address` (MSI, MSI-X): it calls
 * kernel_irq(irq). For good. Context: thread. -ENOSPC: no more; -ENODEV: the machine has none. */
struct hal_msi {
    uint64_t address;
    uint32_t data;
    unsigned irq;
};
int must_check hal_msi_alloc(unsigned cpu, struct hal_msi *out);

/* ---- power -------------------------------------------------------------- */

/* End the machine. `status` is the exit status for whoever started it:
 * 0..255, program's own or 128+signal; HAL_EXIT_PANIC for a kernel panic. Panic-safe. */
#define HAL_EXIT_PANIC 125
_Noreturn void hal_poweroff(int status);
_Noreturn void hal_reboot(void);
/* The program has been stopped by a signal of the terminal: stop the machine as a job of whoever
 * started it. False if nobody could continue it. Otherwise kernel_shutdown_request follows: with
 * SIGCONT when it goes on, with 0 at once if it was not stopped after all (an orphaned process
 * group). */
bool hal_suspend(void);
/* Stop all other CPUs for good, as far as the machine can, and wait a moment for them: each calls
 * kernel_cpu_stopped. Panic-safe. */
void hal_halt_others(void);

/*
 * Core files, if whoever started the machine wants one: ELF files for a debugger, one per boot.
 *
 * That of the kernel. `registers` gives those of each CPU, or NULL where they are not known.
 * Context: the last part of a panic, the other CPUs stopped. Panic-safe. */
void hal_core_dump(const struct isa_frame *(*registers)(unsigned cpu));
/*
 * That of the program, by the kernel. Between begin (false: none is wanted, or there was one) and
 * end: write gives the next bytes of what stands before the RAM, headers first; ram says, after all
 * that, which RAM belongs at which offset of the file, as a PT_LOAD with this p_paddr also
 * does. It may be read at the end of the machine only, so it must keep its contents. Context:
 * thread; may take long.
 */
bool hal_core_wanted(void);
bool must_check hal_core_begin(void);
void hal_core_write(const void *buf, size_t len);
void hal_core_ram(uint64_t offset, paddr_t pa, size_t len);
void hal_core_end(void);

/* ---- stack traces --------------------------------------------------------- */

/* Kernel text range, for unwinding and for deciding what a code address is. */
struct hal_text {
    uintptr_t lo, hi;
};
struct hal_text hal_kernel_text(void);
/* Where its variables are, perhaps with more: fn is told each range, of mapped memory. */
void hal_kernel_data(void (*fn)(uintptr_t lo, uintptr_t hi));

/* Where a context that is not running gave up its CPU, and the frame pointer there. For reports:
 * panic-safe, but what it reads may be broken. [inline] */
static inline void hal_ctx_where(const struct hal_ctx *ctx, uintptr_t *pc, uintptr_t *fp);

/* Name the kernel code address pc: symbol (cut if it is longer) and offset. False if unknown.
 * Panic-safe. */
#define HAL_SYMBOL_ROOM 64
bool hal_symbol(uintptr_t pc, char name[HAL_SYMBOL_ROOM], uintptr_t *offset);

#include "hal_inline.h"

#endif
