/* SPDX-License-Identifier: BSD-3-Clause */
/* strace.h - the log of system calls (boot option strace=1). */
#ifndef SELKIE_LINUX_STRACE_H
#define SELKIE_LINUX_STRACE_H

#include "linux/syscall.h"

/* One line: "[tid] name(args) = result". After the call, so that buffers it filled can be shown;
 * calls that may not come back are logged before, with result NULL. */
void strace_log(const struct syscall_info *info, uint64_t nr, const uint64_t *arg,
                const long *result);

#endif
