/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_file.h - what the file system calls share: paths and descriptors as arguments. */
#ifndef SELKIE_LINUX_SYS_FILE_H
#define SELKIE_LINUX_SYS_FILE_H

#include "fs/vfs.h"
#include "linux/syscall.h"
#include "mm/usercopy.h"
#include "proc/process.h"

static inline struct fs_context *current_fs(void)
{
    return task_self()->process->fs;
}
static inline struct fdtable *current_files(void)
{
    return task_self()->process->files;
}
/* The file of a descriptor with a reference, or NULL: EBADF. */
static inline struct file *file_arg(uint64_t fd)
{
    return fd_get(current_files(), (int)fd);
}
/* The same, but O_PATH descriptors do not count. */
struct file *file_arg_io(uint64_t fd);
/* Install a fresh file at the lowest free descriptor; drops it on failure. */
long install_file(struct file *file, bool cloexec);

/* A path argument relative to a directory descriptor. */
struct at_path {
    char *text;           /* kernel copy: `brief`, or allocated */
    struct dentry *start; /* reference; NULL: cwd (or the path is absolute) */
    struct file *file;    /* AT_EMPTY_PATH with "": the descriptor itself, reference */
    char brief[96];
};
/* flags: AT_EMPTY_PATH is looked at. On success at_path_put afterwards. */
int must_check at_path_get(struct at_path *p, uint64_t dfd, uint64_t path, uint32_t flags);
void at_path_put(struct at_path *p);
/* Resolve to a dentry (reference) or, with *file, to an open file without one (reference). file
 * NULL: such things are -EBADF/-ENOTSUP. lookup: LOOKUP_*. */
int must_check at_path_resolve(const struct at_path *p, unsigned lookup, struct dentry **dentry,
                               struct file **file);

/* All of it in one: the path argument resolved. */
int must_check at_lookup(uint64_t dfd, uint64_t path, uint32_t flags, unsigned lookup,
                         struct dentry **dentry, struct file **file);

/* struct timespec or timeval of user code -> ns, saturating. -EINVAL, -EFAULT. */
int must_check copyin_timespec(uint64_t addr, uint64_t *ns);
int must_check copyin_timeval(uint64_t addr, uint64_t *ns);
/* now + ns, saturating below "never". */
uint64_t deadline_after(uint64_t ns);

/* ppoll, pselect, epoll_pwait: another signal mask until the call ends. */
int must_check mask_for_call(uint64_t mask_addr, uint64_t size);

/* Kernel copy of an iovec array; `fast` holds small ones. *iov is freed if it is not `fast`. */
#define IOV_FAST 8
int must_check copyin_iovec(uint64_t addr, uint64_t count, struct iov *fast, struct iov **iov,
                            struct iov_iter *it);
/* What a write to the file gave: -EPIPE also sends SIGPIPE to the caller, unless it is a socket of
 * packets. */
long write_result(const struct file *file, long result);

/* sys_file_owner.c: F_SETOWN and its kin, -EINVAL for any other command; the same by ioctl, of
 * sockets. */
long must_check file_owner_fcntl(struct file *file, int cmd, uint64_t arg);
#define FIOSETOWN 0x8901u
#define SIOCSPGRP 0x8902u
#define FIOGETOWN 0x8903u
#define SIOCGPGRP 0x8904u
long must_check file_owner_ioctl(struct file *file, unsigned cmd, uint64_t arg);
/* O_ASYNC of a file whose operations say async; fd: what the signals call it. -ENOMEM. */
int must_check file_set_async(struct file *file, int fd, bool on);

#endif
