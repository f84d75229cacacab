/* SPDX-License-Identifier: BSD-3-Clause */
/* locks.h - advisory locks: flock(2), fcntl(2) record locks of processes and of open files. */
#ifndef SELKIE_FS_LOCKS_H
#define SELKIE_FS_LOCKS_H

#include "fs/file.h"

#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8

struct lock_request {
    int type;          /* F_RDLCK, F_WRLCK, F_UNLCK */
    bool ofd;          /* owned by the open file, not by the process */
    const void *owner; /* the descriptor table of a process */
    int pid;
    uint64_t start, end; /* bytes, end inclusive */
};
void locks_init(void);
/* F_SETLK, F_SETLKW: -EAGAIN if taken and !wait, -ERESTARTSYS, -ENOMEM. */
int must_check locks_set(struct file *file, const struct lock_request *req, bool wait);
/* F_GETLK: req becomes the first lock in the way, or its type F_UNLCK. */
void locks_test(struct file *file, struct lock_request *req);
/* flock(2): op is LOCK_SH, LOCK_EX or LOCK_UN. */
int must_check locks_flock(struct file *file, int op, bool wait);
/* A descriptor of the process was closed: its record locks on the file go (POSIX). */
void locks_fd_closed(struct file *file, const void *owner);
/* The last reference to the open file went: its own locks go. */
void locks_file_closed(struct file *file);

#endif
