/* SPDX-License-Identifier: BSD-3-Clause */
/* pidfd.h - descriptors of processes and threads, for the calls that take one. */
#ifndef SELKIE_LINUX_PIDFD_H
#define SELKIE_LINUX_PIDFD_H

#include "proc/process.h"

struct pidfd {
    struct process *process; /* references, both */
    struct task *task;       /* PIDFD_THREAD; else NULL */
};
/* Of the calling process's descriptor; *file (a reference) keeps it. NULL: it is none. */
const struct pidfd *pidfd_get(uint64_t fd, struct file **file);

#endif
