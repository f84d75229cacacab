/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * isa.h - the instruction-set half of the platform: what depends on the CPU and its Linux ABI, not
 * on the machine. Each platform/<isa>/isa/ implements it for hosted and bare metal alike.
 *
 * Files of an ISA: frame.h (struct isa_frame and inline accessors), abi.h (constants and structure
 * layouts of the Linux ABI), sysnr.def (system-call numbers), pte.h (page-table entries),
 * context.S, uaccess.S, fp.c, sigframe.c, patch.c, vdso.S.
 */
#ifndef SELKIE_ISA_H
#define SELKIE_ISA_H

#include "isa/abi.h"
#include "isa/frame.h"
#include "lib/types.h"

/*
 * isa/frame.h defines struct isa_frame, all general registers of user code, and inline (f: frame):
 *   uintptr_t isa_frame_pc(f), isa_frame_sp(f), isa_frame_fp(f) (frame pointer)
 *   void isa_frame_set_pc(f, uintptr_t), isa_frame_set_sp(f, uintptr_t)
 *   uint64_t isa_frame_sysno(f), isa_frame_arg(f, i)
 *   void isa_frame_set_result(f, long); long isa_frame_result(f)
 *   void isa_frame_init(f, pc, sp)
 *       A fresh program: other registers zero.
 *   bool isa_frame_trapped(f)
 *       The system call came by the trap path: its instruction is at pc - ISA_SYSCALL_LEN.
 *   void isa_frame_restart(f)
 *       Make the system call happen again on return: pc back to the instruction, number and first
 *       argument restored (on x64 the frame keeps the number in orig_rax as Linux does; on arm64
 *       orig_x0).
 *   void isa_frame_set_sysno_restart(f)
 *       The same, but call restart_syscall instead.
 *   bool isa_vsyscall(uintptr_t pc, uint64_t *nr)
 *       A system call made by jumping to a fixed address.
 *
 * isa/abi.h defines ISA_ELF_MACHINE, ISA_CORE_REGISTERS, ISA_PLATFORM ("x86_64"), ISA_UTS_MACHINE,
 * ISA_SYSCALL_LEN, ISA_MINSIGSTKSZ, struct isa_stat, ISA_EPOLL_PACKED, ISA_O_* translation:
 * uint32_t isa_open_flags_in(uint32_t), isa_open_flags_out(uint32_t); and unsigned
 * isa_prot_landing(void): the PROT_ bit of HAL_PROT_LANDING, 0 if there is none.
 */

/*
 * A return address as it was before the function that saved it signed it: for back traces. inline,
 * isa/frame.h: uintptr_t isa_return_address(uintptr_t saved)
 */

/* User-memory access: the only instructions that may fault on user addresses. On a fault that
 * cannot be mended execution goes to isa_uaccess_fault, which makes the function return -EFAULT. */
extern const char isa_uaccess_begin[], isa_uaccess_end[], isa_uaccess_fault[];
int isa_user_copy(void *dst, const void *src, size_t len); /* either side may be user memory */
int isa_user_zero(void *dst, size_t len);
/* Copy up to and including the NUL, at most `size` bytes; returns the bytes copied (size: no NUL
 * found) or -EFAULT. */
long isa_user_strcpy(char *dst, const char *src, size_t size);
int isa_user_load_u32(const uint32_t *addr, uint32_t *out);
int isa_user_store_u32(uint32_t *addr, uint32_t value);
int isa_user_cmpxchg_u32(uint32_t *addr, uint32_t expected, uint32_t desired, uint32_t *seen);

/* Vector registers. The area is isa_fp_size() bytes, 64-byte aligned; isa_fp_init fills it with the
 * state of a fresh program. What an area looks like is the ISA's: only what is in use is stored. */
void isa_fp_setup(void); /* once per CPU, before any of the others */
size_t isa_fp_size(void);
void isa_fp_init(void *area);
void isa_fp_save(void *area);
void isa_fp_restore(const void *area);
/* The program's keys for signing addresses, by the bits of PR_PAC_RESET_KEYS (0..4); NULL for those
 * that it has not. Beside the vector registers, because they come and go with them; to be filled
 * with ISA_KEY_SIZE random bytes. */
#define ISA_KEY_KINDS 5u
#define ISA_KEY_SIZE 16u
void *isa_fp_key(void *area, unsigned kind);
/* A hint: the area will be saved to or restored from soon. First without, later with `close`
 * (hal_ctx_prefetch). */
void isa_fp_prefetch(const void *area, bool close);
/* The same for any memory, which need not exist. Inlined by force: gcc thinks that a function which
 * does only this does nothing, and drops the call. */
static inline __attribute__((always_inline)) void isa_prefetch(const void *at, size_t size)
{
    for (size_t i = 0; i < size; i += 64)
        __builtin_prefetch((const void *)((uintptr_t)at + i), 1);
}

/* For reports: name and value of general register `i` of a frame; NULL behind the last. Panic-safe.
 */
const char *isa_frame_register(const struct isa_frame *frame, unsigned i, uint64_t *value);

/* A frame as the registers of a core file (elf_gregset_t of Linux), ISA_CORE_REGISTERS words.
 * Panic-safe. */
void isa_core_registers(const struct isa_frame *frame, uint64_t *out);
/* Into the same: the thread pointer, where it is one of them. */
void isa_core_tls(uint64_t tls, uint64_t *out);
/* The notes of a core file with the vector registers of a saved area: writes what note `i` (0, 1,
 * ...) contains to out, which has isa_fp_size() bytes, and returns how many those are, a multiple
 * of 4; 0: there are no more. Panic-safe. */
size_t isa_core_fp(const void *area, unsigned i, uint32_t *type, const char **name, void *out);
/* The other notes of a core file for a thread of a program: as above, at most ISA_CORE_NOTE_MAX
 * bytes each and ISA_CORE_NOTES of them. */
#define ISA_CORE_NOTE_MAX 16
#define ISA_CORE_NOTES 2
size_t isa_core_note(uint64_t tls, unsigned i, uint32_t *type, const char **name, void *out);
/* Where the caller will go on when this returns, with what it keeps in registers over calls. */
void isa_frame_here(struct isa_frame *frame);

/* AT_HWCAP, AT_HWCAP2 for programs. */
void isa_hwcap(uint64_t *hwcap, uint64_t *hwcap2);

/* CPU `cpu` of `count`, all of a kind, as a block of /proc/cpuinfo. */
struct strbuf;
void isa_cpuinfo(struct strbuf *sb, unsigned cpu, unsigned count);

/*
 * Signal frames. The kernel asks for the size, chooses where, lets the ISA fill a kernel buffer,
 * copies it out, and later gives back what it copied in from the stack pointer at rt_sigreturn.
 */
/* What the frame's machine context says of the latest fault of the thread that became a signal. */
struct isa_fault {
    uintptr_t addr; /* cr2 / far */
    uint64_t syndrome;
    uint32_t trap;
};
/* Note a fault as Linux of this architecture does; memory: an access that addr belongs to. */
void isa_fault_note(struct isa_fault *record, bool memory, uintptr_t addr, uint32_t trap,
                    uint64_t syndrome);
struct siginfo;
struct isa_signal {
    int signo;
    const struct siginfo *info;
    uintptr_t handler, restorer; /* restorer: SA_RESTORER or the vDSO's */
    uint64_t flags, mask;        /* SA_*, mask to restore */
    uintptr_t alt_stack;         /* for uc_stack */
    uint64_t alt_stack_size;
    uint32_t alt_stack_flags;
    struct isa_fault fault;
};
size_t isa_sigframe_size(
    void); /* bytes to reserve below the stack pointer, alignment and red zone included */
size_t isa_sigframe_image_size(void); /* bytes of the image itself: what to copy in for restore */
/* Build the frame image for a stack whose free end is `sp`; *at = its user address, returns its
 * size (<= isa_sigframe_size()). Changes *frame so that the handler runs next. `fp`: saved vector
 * registers (hal_ctx_fp_sync was called). */
size_t isa_sigframe_build(struct isa_frame *frame, const void *fp, const struct isa_signal *sig,
                          uintptr_t sp, void *buf, uintptr_t *at);
/* Where the frame starts when rt_sigreturn is called with these registers. */
uintptr_t isa_sigframe_addr(const struct isa_frame *frame);
/* Restore registers from an image of `size` bytes. Validates: what user code must not set is not
 * taken. -EINVAL for a bad image. */
struct isa_sigreturn {
    uint64_t mask;
    uintptr_t alt_stack;
    uint64_t alt_stack_size;
    uint32_t alt_stack_flags;
};
int must_check isa_sigframe_restore(struct isa_frame *frame, void *fp, const void *buf, size_t size,
                                    uintptr_t at, struct isa_sigreturn *out);

/*
 * Patching of system-call sites. `code` is a kernel copy of user code around the trapping
 * instruction: code[0..len) starts at user address `va`; `site` is the address of the system-call
 * instruction. If the site can be patched: fills *out and returns true.
 */
#define ISA_TRAMPOLINE_MAX 112
struct isa_patch {
    uintptr_t patch_va; /* where the site changes: one instruction, by another */
    uint8_t patch[16];  /* new bytes */
    size_t patch_len;
    uint8_t tramp[ISA_TRAMPOLINE_MAX]; /* trampoline for address tramp_va */
    size_t tramp_len;
};
/* How many bytes before the site the plan may want to see. */
#define ISA_PATCH_BEFORE 88
bool isa_patch_plan(const uint8_t *code, size_t len, uintptr_t va, uintptr_t site,
                    uintptr_t tramp_va, uintptr_t entry, struct isa_patch *out);
/* The patch that belongs to the trampoline at tramp_va, of which tramp is a copy of
 * ISA_TRAMPOLINE_MAX bytes: fills patch_va, patch, patch_len. */
void isa_patch_of(const uint8_t *tramp, uintptr_t tramp_va, struct isa_patch *out);
/* The thread stands `at` bytes behind the beginning of a trampoline, of which tramp is a copy of
 * ISA_TRAMPOLINE_MAX bytes. If it can as well stand in the program's own code: makes the frame do
 * that. There is always such a place but after interrupts have been masked, when nobody looks. */
void isa_patch_leave(struct isa_frame *frame, const uint8_t *tramp, size_t at);
/* May these bytes of one instruction change by one store while other CPUs fetch it? */
bool isa_patch_one_store(uintptr_t va, size_t len);
/* Are instructions executed by an emulator that may miss a store made while it reads them, and
 * execute what was there before, or a mixture, until the next store there? */
bool isa_patch_translated(void);
/* How far from the site a trampoline may be. */
extern const uintptr_t isa_patch_reach;
/* A byte that, as the first of the instruction that changes, makes it a breakpoint: user code that
 * comes there stops with HAL_FAULT_BREAKPOINT behind that byte. Not used where a patch always lies
 * in one aligned word (0). */
extern const uint8_t isa_patch_guard;

/* The vDSO image: an ELF shared object, page aligned. Its data page is mapped right below it;
 * layout struct isa_vdso_data (isa/vdso.h is shared by both). */
extern const uint8_t isa_vdso_start[], isa_vdso_end[];

#endif
