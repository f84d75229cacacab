/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * syscall.h - the Linux system-call border.
 *
 * linux/syscalls.def has one line per call of any architecture; platform/<isa>/isa/sysnr.def gives
 * each its number. From the two come the dispatch table, the strace log, docs/syscalls.md and the
 * fuzzer's grammar. A handler checks every argument first, then acts through the subsystem; it
 * returns >= 0 or a negative errno (or a restart code, lib/errno.h).
 */
#ifndef SELKIE_LINUX_SYSCALL_H
#define SELKIE_LINUX_SYSCALL_H

#include "isa/frame.h"
#include "lib/errno.h"
#include "lib/types.h"

struct syscall_args {
    uint64_t arg[6];
    struct isa_frame *frame; /* for the few that change registers: clone, execve, sigreturn */
};

enum syscall_status { SYSCALL_DONE, SYSCALL_IGNORED, SYSCALL_ABSENT };

/* One identifier per name in syscalls.def. */
enum syscall_id {
    SC_none,
#define DONE(name, args, note) SC_##name,
#define IGNORED(name, args, result, note) SC_##name,
#define ABSENT(name, args, note) SC_##name,
#include "linux/syscalls.def"
#undef DONE
#undef IGNORED
#undef ABSENT
    SC_COUNT,
};

#define DONE(name, args, note) long sys_##name(const struct syscall_args *a);
#define IGNORED(name, args, result, note)
#define ABSENT(name, args, note)
#include "linux/syscalls.def"
#undef DONE
#undef IGNORED
#undef ABSENT

struct syscall_info {
    long (*handler)(const struct syscall_args *a);
    uint16_t text;  /* where its name and arguments are: syscall_name() */
    int16_t result; /* IGNORED: what it returns */
    uint8_t status; /* enum syscall_status */
};
extern const struct syscall_info syscall_infos[SC_COUNT];
static inline const struct syscall_info *syscall_info(enum syscall_id id)
{
    return &syscall_infos[(unsigned)id < SC_COUNT ? id : SC_none];
}
const char *syscall_name(const struct syscall_info *info);
/* Types of its arguments, comma separated: see the head of syscalls.def. */
const char *syscall_arg_types(const struct syscall_info *info);

/* strace-like log on HAL_STREAM_LOG (boot option strace=1). */
extern bool syscall_trace;

#endif
