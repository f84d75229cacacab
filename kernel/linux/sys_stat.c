/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_stat.c - stat, statx, statfs and relatives. */
#include "isa/abi.h"
#include "lib/string.h"
#include "linux/sys_file.h"

#define CWD ((uint64_t)AT_FDCWD)

static int stat_at(uint64_t dfd, uint64_t path, uint32_t flags, struct kstat *out)
{
    struct dentry *dentry;
    struct file *file;
    int err = at_lookup(dfd, path, flags, (flags & AT_SYMLINK_NOFOLLOW) ? 0 : LOOKUP_FOLLOW,
                        &dentry, &file);
    if (err)
        return err;
    if (dentry)
        inode_stat(dentry->inode, out);
    else
        err = file_stat(file, out);
    dentry_put(dentry);
    if (file)
        file_put(file);
    return err;
}

static int stat_fd(uint64_t fd, struct kstat *out)
{
    struct file *file = file_arg(fd);
    if (!file)
        return -EBADF;
    int err = file_stat(file, out);
    file_put(file);
    return err;
}

static bool path_is_empty(uint64_t path)
{
    char first;
    return copyin(&first, uaddr(path), 1) == 0 && first == '\0';
}

struct split_time {
    int64_t sec;
    uint32_t nsec;
};

/* ns since 1970, as a signed number: the ns part is never negative. */
static struct split_time split(uint64_t ns)
{
    int64_t value = (int64_t)ns, per = (int64_t)NS_PER_SEC;
    int64_t sec = value / per, rest = value % per;
    if (rest < 0) {
        rest += per;
        sec--;
    }
    return (struct split_time){sec, (uint32_t)rest};
}

static long put_stat(uint64_t addr, const struct kstat *st)
{
    struct split_time at = split(st->atime_ns), mt = split(st->mtime_ns), ct = split(st->ctime_ns);
    struct isa_stat out;
    memset(&out, 0, sizeof(out));
    out.dev = st->dev;
    out.ino = st->ino;
    out.nlink = st->nlink;
    out.mode = st->mode;
    out.uid = st->uid;
    out.gid = st->gid;
    out.rdev = st->rdev;
    out.size = (int64_t)st->size;
    out.blksize = (int32_t)st->blksize;
    out.blocks = (int64_t)st->blocks;
    out.atime_sec = (uint64_t)at.sec;
    out.atime_nsec = at.nsec;
    out.mtime_sec = (uint64_t)mt.sec;
    out.mtime_nsec = mt.nsec;
    out.ctime_sec = (uint64_t)ct.sec;
    out.ctime_nsec = ct.nsec;
    return copyout(uaddr(addr), &out, sizeof(out));
}

long sys_stat(const struct syscall_args *a)
{
    struct kstat st;
    int err = stat_at(CWD, a->arg[0], 0, &st);
    return err ? err : put_stat(a->arg[1], &st);
}

long sys_lstat(const struct syscall_args *a)
{
    struct kstat st;
    int err = stat_at(CWD, a->arg[0], AT_SYMLINK_NOFOLLOW, &st);
    return err ? err : put_stat(a->arg[1], &st);
}

long sys_fstat(const struct syscall_args *a)
{
    struct kstat st;
    int err = stat_fd(a->arg[0], &st);
    return err ? err : put_stat(a->arg[1], &st);
}

long sys_newfstatat(const struct syscall_args *a)
{
    struct kstat st;
    uint32_t flags = (uint32_t)a->arg[3];
    if (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
        return -EINVAL;
    int err = (flags & AT_EMPTY_PATH) && (int)a->arg[0] >= 0 && path_is_empty(a->arg[1])
                  ? stat_fd(a->arg[0], &st) /* how a C library does fstat */
                  : stat_at(a->arg[0], a->arg[1], flags, &st);
    return err ? err : put_stat(a->arg[2], &st);
}

/* ---- statx ---- */

struct statx_time {
    int64_t sec;
    uint32_t nsec;
    int32_t pad;
};
struct statx {
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, pad;
    uint64_t ino, size, blocks, attributes_mask;
    struct statx_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t mnt_id;
    uint64_t spare[13];
};
STATIC_ASSERT(sizeof(struct statx) == 256);
STATIC_ASSERT(offsetof(struct statx, atime) == 0x40);
STATIC_ASSERT(offsetof(struct statx, rdev_major) == 0x80);

#define STATX_BASIC_STATS 0x7ffu
#define STATX_BTIME 0x800u
#define STATX_RESERVED 0x80000000u

static struct statx_time statx_time(uint64_t ns)
{
    struct split_time t = split(ns);
    return (struct statx_time){t.sec, t.nsec, 0};
}

static long put_statx(uint64_t addr, const struct kstat *st)
{
    struct statx out = {
        .mask = STATX_BASIC_STATS | STATX_BTIME,
        .blksize = st->blksize,
        .nlink = st->nlink,
        .uid = st->uid,
        .gid = st->gid,
        .mode = (uint16_t)st->mode,
        .ino = st->ino,
        .size = st->size,
        .blocks = st->blocks,
        .atime = statx_time(st->atime_ns),
        .btime = statx_time(st->btime_ns),
        .ctime = statx_time(st->ctime_ns),
        .mtime = statx_time(st->mtime_ns),
        .rdev_major = fs_major(st->rdev),
        .rdev_minor = fs_minor(st->rdev),
        .dev_major = fs_major(st->dev),
        .dev_minor = fs_minor(st->dev),
    };
    return copyout(uaddr(addr), &out, sizeof(out));
}

long sys_statx(const struct syscall_args *a)
{
    struct kstat st;
    uint32_t flags = (uint32_t)a->arg[2], sync = flags & 0x6000; /* AT_STATX_SYNC_TYPE */
    const uint32_t known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | 0x6000;
    if ((flags & ~known) || sync == 0x6000 || (a->arg[3] & STATX_RESERVED))
        return -EINVAL;
    int err = stat_at(a->arg[0], a->arg[1], flags, &st);
    return err ? err : put_statx(a->arg[4], &st);
}

/* ---- statfs ---- */

struct user_statfs {
    int64_t type, bsize;
    uint64_t blocks, bfree, bavail, files, ffree;
    int32_t fsid[2];
    int64_t namelen, frsize, flags, spare[4];
};
STATIC_ASSERT(sizeof(struct user_statfs) == 120);

static long put_statfs(uint64_t addr, struct super *super)
{
    struct kstatfs st;
    int err = vfs_statfs(super, &st);
    if (err)
        return err;
    struct user_statfs out = {
        .type = (int64_t)st.type,
        .bsize = (int64_t)st.bsize,
        .blocks = st.blocks,
        .bfree = st.bfree,
        .bavail = st.bavail,
        .files = st.files,
        .ffree = st.ffree,
        .fsid = {(int32_t)st.fsid, (int32_t)(st.fsid >> 32)},
        .namelen = (int64_t)st.namelen,
        .frsize = (int64_t)st.bsize,
        .flags = (int64_t)st.flags,
    };
    return copyout(uaddr(addr), &out, sizeof(out));
}

long sys_statfs(const struct syscall_args *a)
{
    struct dentry *dentry;
    int err = at_lookup(CWD, a->arg[0], 0, LOOKUP_FOLLOW, &dentry, NULL);
    if (err)
        return err == -ENOTSUP ? -ENOSYS : err;
    long result = put_statfs(a->arg[1], dentry->inode->super);
    dentry_put(dentry);
    return result;
}

long sys_fstatfs(const struct syscall_args *a)
{
    struct file *file = file_arg(a->arg[0]);
    if (!file)
        return -EBADF;
    long result = put_statfs(a->arg[1], file->inode ? file->inode->super : vfs_anon_super);
    file_put(file);
    return result;
}
