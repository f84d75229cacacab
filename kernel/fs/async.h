/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * async.h - who owns an open file, and is sent SIGIO (O_ASYNC) or SIGURG about it: fcntl(2),
 * "Managing signals". The file system and the network know no processes: what is behind it is
 * linux/sys_file_owner.c.
 */
#ifndef SELKIE_FS_ASYNC_H
#define SELKIE_FS_ASYNC_H

#include "fs/file.h"

/* Made when a program first asks for it; lives as long as the file, which alone refers to it. When
 * the file goes it forgets the file first, so that nothing asks for its state any more; until the
 * file is released it can still be told to signal. Both may sleep. */
struct file_async {
    void (*forget)(struct file *file);
    void (*free)(struct file *file);
    void (*signal)(struct file *file, int signo); /* to the owner, if there is one */
};

/* Send the file's owner this signal, as the kernel's (SI_KERNEL): SIGURG. Any context, also with a
 * socket's lock held and interrupts off; not under RANK_PROCESS or what stands behind it. The
 * caller makes sure that the file stays (a socket's: its lock, until its release). */
static inline void file_signal_owner(struct file *file, int signo)
{
    /* Acquire: what it points to is complete. */
    struct file_async *async = file ? __atomic_load_n(&file->async, __ATOMIC_ACQUIRE) : NULL;
    if (async)
        async->signal(file, signo);
}

#endif
