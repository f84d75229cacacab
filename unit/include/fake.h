/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake.h - what a unit test controls of the fake machine (unit/fake_hal.c).
 *
 * Typical use:
 *     fake_hal_init(16 << 20);      16 MiB of RAM; before page_init()
 *     ... kernel code ...
 *     EXPECT_PANIC(page_put(page)); the expression must end in panic() or hal_poweroff()
 *
 * User memory: with fake_user_space == NULL a user address is a host address; otherwise it is
 * translated through that space, and a missing page calls fake_user_fault (if set).
 */
#ifndef SELKIE_UNIT_FAKE_H
#define SELKIE_UNIT_FAKE_H

#include <setjmp.h>

#include "hal_up.h"

struct mutex;

/* Make RAM (zeroed, one region unless fake_set_regions is called), a thread and a CPU. May be
 * called again: everything starts afresh. */
void fake_hal_init(size_t ram_bytes);
void fake_hal_fini(void);
/* Physical address of the first byte of fake RAM. */
#define FAKE_RAM_PA 0x40000000ull
/* Describe the RAM by these regions instead (they lie in the fake RAM). */
void fake_set_regions(const struct hal_region *regions, size_t count, bool zeroed);
void fake_set_cmdline(const char *cmdline);

extern struct hal_layout fake_layout; /* may be changed by the test */
extern unsigned fake_cpu_count;       /* hal_cpu_count; fake_cpu_id is the executing one */
extern uint64_t fake_now_ns;          /* hal_clock_ns */
extern uint64_t fake_clock_step_ns;   /* it goes on by this each time it is looked at */

/* The nth hal_space_map call from now fails with -ENOMEM after mapping half of its range. 0: off.
 */
void fake_map_fail_nth(unsigned n);
extern unsigned fake_ipis;                                            /* hal_ipi_send calls */
extern unsigned fake_map_calls, fake_unmap_calls, fake_protect_calls; /* statistics */
/* Called for each page that is about to be unmapped; NULL: nobody looks. */
extern void (*fake_unmap_hook)(struct hal_space *space, vaddr_t va, paddr_t pa);
/* Called before a mutex is taken: here another thread may be faster. Not while it runs itself. */
extern void (*fake_lock_hook)(struct mutex *m);
extern void (*fake_write_lock_hook)(void); /* before a read/write lock is taken for writing */
/* Run it as another thread, which holds no locks. */
void fake_other_thread(void (*fn)(void *), void *arg);
size_t fake_space_mapped(const struct hal_space *space); /* pages */
/* An instruction cache that hears of stores by hal_icache_sync only: would it fetch something else
 * than what is in memory? */
bool fake_icache_stale(paddr_t pa, size_t len);

extern struct hal_space *fake_user_space;
extern int (*fake_user_fault)(vaddr_t addr, enum hal_access access); /* 0: retry */

/* Console output of the kernel is collected here, one buffer per stream. */
extern char fake_console[HAL_STREAM_COUNT][65536];
extern size_t fake_console_len[HAL_STREAM_COUNT];
void fake_console_reset(void);
void fake_console_input(const void *data, size_t len, bool end);
extern struct hal_console_info fake_console_state;
extern size_t fake_console_takes; /* bytes that the reader will still take; SIZE_MAX: any number */
extern int fake_console_error;    /* what every write fails with */

/* hal_poweroff: jumps back if a test expects it, otherwise prints the log and aborts. */
extern jmp_buf fake_poweroff_jump;
extern bool fake_poweroff_expected;
extern int fake_poweroff_status;
extern int fake_entropy_error;  /* what hal_entropy returns */
void fake_poweroff_reset(void); /* after a caught panic: interrupts on, no lock held */

#define EXPECT_PANIC(expression) \
    do { \
        fake_poweroff_expected = true; \
        if (setjmp(fake_poweroff_jump) == 0) { \
            (void)(expression); \
            fake_poweroff_expected = false; \
            fail_msg("no panic: %s", #expression); \
        } \
        fake_poweroff_reset(); \
    } while (0)

/* A PCI bus, if there is one. */
extern uint64_t fake_pci_window_size; /* 0: firmware has given addresses */
extern uint32_t (*fake_pci_read)(unsigned function, unsigned offset);
extern void (*fake_pci_write)(unsigned function, unsigned offset, uint32_t value);

#endif
