/* SPDX-License-Identifier: BSD-3-Clause */
/* fake_fs.h - what the tests of kernel/fs control: sleeping, timers, the process layer. */
#ifndef SELKIE_UNIT_FAKE_FS_H
#define SELKIE_UNIT_FAKE_FS_H

#include "fs/vfs.h"

/* Called when the code under test would sleep; it should make the awaited thing happen. NULL, or a
 * hook that wakes nobody: the sleep ends with -ERESTARTSYS (or -ETIMEDOUT if there is a deadline,
 * which becomes the time). */
extern void (*fake_sleep_hook)(void);
extern unsigned fake_sleeps;
/* Move the clock and run timers that expire. */
void fake_advance(uint64_t ns);
uint64_t fake_timer_next(void); /* when the next one expires; UINT64_MAX: none is armed */
extern struct fdtable *fake_fdtable;
extern struct fs_cred fake_cred; /* the caller */
extern struct fs_context *fake_context;
extern int fake_pressure_watchers;    /* programs that watch the memory pressure */
extern unsigned fake_memory_waits;    /* so often memory_wait says that there is some */
extern int fake_tty_signal;           /* last signal of the tty */
extern uint64_t fake_file_size_limit; /* RLIMIT_FSIZE */
extern unsigned fake_too_big;         /* SIGXFSZ sent */
/* Boot a file system from an archive (may be NULL) and make fake_context. Returns fs_init's result.
 */
int fake_fs_boot(const void *archive, size_t len);
void fake_fs_end(void);

/* What the kernel does or says, in the words of host_model.h. */
int our_truncate(const char *path, uint64_t size);
void our_stat(const char *path, char *out, size_t size);
void our_readlink(const char *path, char *out, size_t size);

#endif
