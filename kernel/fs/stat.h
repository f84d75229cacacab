/* SPDX-License-Identifier: BSD-3-Clause */
/* stat.h - file attributes in a form that no architecture's struct stat dictates. */
#ifndef SELKIE_FS_STAT_H
#define SELKIE_FS_STAT_H

#include "lib/types.h"

struct kstat {
    uint64_t ino, size, blocks; /* blocks of 512 bytes */
    uint64_t dev, rdev;         /* fs_makedev */
    uint32_t mode, nlink, uid, gid, blksize;
    uint64_t atime_ns, mtime_ns, ctime_ns, btime_ns; /* since 1970 */
};

struct kstatfs {
    uint64_t type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen, flags;
};

/* Linux's 64-bit dev_t as user code sees it (glibc gnu_dev_makedev). */
static inline uint64_t fs_makedev(uint32_t major, uint32_t minor)
{
    return ((uint64_t)(major & 0xfffu) << 8) | ((uint64_t)(major & ~0xfffu) << 32) |
           (minor & 0xffu) | ((uint64_t)(minor & ~0xffu) << 12);
}
static inline uint32_t fs_major(uint64_t dev)
{
    return (uint32_t)(((dev >> 8) & 0xfffu) | ((dev >> 32) & ~0xfffull));
}
static inline uint32_t fs_minor(uint64_t dev)
{
    return (uint32_t)((dev & 0xffu) | ((dev >> 12) & ~0xffull));
}

#endif
