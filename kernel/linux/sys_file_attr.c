/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_file_attr.c - system calls that check or change attributes: access, chmod, chown, utimes,
 * truncate, umask. */
#include "fs/inotify.h"
#include "linux/sys_file.h"
#include "sched/timer.h"

#define CWD ((uint64_t)AT_FDCWD)

static unsigned follow_of(uint32_t flags)
{
    return (flags & AT_SYMLINK_NOFOLLOW) ? 0 : LOOKUP_FOLLOW;
}

/* ---- access ---- */

static int check_access(struct fs_context *ctx, const struct at_path *p, unsigned lookup,
                        unsigned mode)
{
    struct path_walk walk = {.ctx = ctx, .start = p->start, .flags = lookup | LOOKUP_EMPTY};
    int err = path_walk(&walk, p->text);
    if (err == 0 && mode && walk.dentry)
        err = inode_permission(proc_cred(), walk.dentry->inode, mode);
    path_done(&walk);
    return err;
}

/* The check is made with the real ids (access(2)), unless AT_EACCESS. */
static int access_as(const struct at_path *p, unsigned lookup, unsigned mode, bool effective)
{
    struct fs_context *ctx = current_fs();
    if (p->file)
        return p->file->inode ? inode_permission(proc_cred(), p->file->inode, mode) : 0;
    if (effective ||
        (proc_cred()->uid == proc_cred()->fsuid && proc_cred()->gid == proc_cred()->fsgid))
        return check_access(ctx, p, lookup, mode);
    struct fs_cred *real = cred_copy();
    if (!real)
        return -ENOMEM;
    real->fsuid = real->uid;
    real->fsgid = real->gid;
    const struct fs_cred *own = cred_swap(real);
    int err = check_access(ctx, p, lookup, mode);
    cred_set(own);
    return err;
}

static long do_access(uint64_t dfd, uint64_t path, uint64_t mode, uint32_t flags)
{
    struct at_path p;
    if ((mode & ~7ull) || (flags & ~(uint32_t)(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
        return -EINVAL;
    int err = at_path_get(&p, dfd, path, flags);
    if (err)
        return err;
    err = access_as(&p, follow_of(flags), (unsigned)mode, flags & AT_EACCESS);
    at_path_put(&p);
    return err;
}

long sys_access(const struct syscall_args *a)
{
    return do_access(CWD, a->arg[0], a->arg[1], 0);
}

long sys_faccessat(const struct syscall_args *a)
{
    return do_access(a->arg[0], a->arg[1], a->arg[2], 0);
}

long sys_faccessat2(const struct syscall_args *a)
{
    return do_access(a->arg[0], a->arg[1], a->arg[2], (uint32_t)a->arg[3]);
}

/* ---- chmod, chown, utimes ---- */

/* utimes of one time counts as an access or a change, anything else as a change of attributes. */
static void report_attr(struct dentry *dentry, const struct inode_attr *attr)
{
    uint32_t event = IN_ATTRIB;
    if (attr->valid & (ATTR_ATIME | ATTR_MTIME))
        event = !(attr->valid & ATTR_MTIME)   ? IN_ACCESS
                : !(attr->valid & ATTR_ATIME) ? IN_MODIFY
                                              : IN_ATTRIB;
    inotify_report(dentry, event);
}

static int set_attr_dentry(struct dentry *dentry, const struct inode_attr *attr)
{
    int err = inode_set_attr(proc_cred(), dentry->inode, attr);
    if (err == 0)
        report_attr(dentry, attr);
    return err;
}

static int set_attr_file(struct file *file, const struct inode_attr *attr)
{
    if (!file->inode)
        return 0; /* a pipe: Linux accepts it and nobody can see it */
    if (file->dentry)
        return set_attr_dentry(file->dentry, attr);
    return inode_set_attr(proc_cred(), file->inode, attr);
}

static long set_attr_at(uint64_t dfd, uint64_t path, uint32_t flags, const struct inode_attr *attr)
{
    struct dentry *dentry;
    struct file *file;
    int err = at_lookup(dfd, path, flags, follow_of(flags), &dentry, &file);
    if (err)
        return err;
    if (dentry && inode_is(dentry->inode, S_IFLNK) && (attr->valid & ATTR_MODE))
        err = -ENOTSUP;
    else
        err = dentry ? set_attr_dentry(dentry, attr) : set_attr_file(file, attr);
    dentry_put(dentry);
    if (file)
        file_put(file);
    return err;
}

static long set_attr_fd(uint64_t fd, const struct inode_attr *attr)
{
    struct file *file = file_arg_io(fd);
    if (!file)
        return -EBADF;
    int err = set_attr_file(file, attr);
    file_put(file);
    return err;
}

static struct inode_attr mode_attr(uint64_t mode)
{
    return (struct inode_attr){.valid = ATTR_MODE, .mode = (uint32_t)mode & 07777};
}

static struct inode_attr owner_attr(uint64_t uid, uint64_t gid)
{
    struct inode_attr attr = {.uid = (uint32_t)uid, .gid = (uint32_t)gid};
    attr.valid = (attr.uid != UINT32_MAX ? ATTR_UID : 0) | (attr.gid != UINT32_MAX ? ATTR_GID : 0);
    return attr;
}

long sys_chmod(const struct syscall_args *a)
{
    struct inode_attr attr = mode_attr(a->arg[1]);
    return set_attr_at(CWD, a->arg[0], 0, &attr);
}

long sys_fchmod(const struct syscall_args *a)
{
    struct inode_attr attr = mode_attr(a->arg[1]);
    return set_attr_fd(a->arg[0], &attr);
}

long sys_fchmodat(const struct syscall_args *a)
{
    struct inode_attr attr = mode_attr(a->arg[2]);
    return set_attr_at(a->arg[0], a->arg[1], 0, &attr);
}

long sys_chown(const struct syscall_args *a)
{
    struct inode_attr attr = owner_attr(a->arg[1], a->arg[2]);
    return set_attr_at(CWD, a->arg[0], 0, &attr);
}

long sys_lchown(const struct syscall_args *a)
{
    struct inode_attr attr = owner_attr(a->arg[1], a->arg[2]);
    return set_attr_at(CWD, a->arg[0], AT_SYMLINK_NOFOLLOW, &attr);
}

long sys_fchown(const struct syscall_args *a)
{
    struct inode_attr attr = owner_attr(a->arg[1], a->arg[2]);
    return set_attr_fd(a->arg[0], &attr);
}

long sys_fchownat(const struct syscall_args *a)
{
    struct inode_attr attr = owner_attr(a->arg[2], a->arg[3]);
    if (a->arg[4] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    return set_attr_at(a->arg[0], a->arg[1], (uint32_t)a->arg[4], &attr);
}

#define UTIME_NOW 0x3fffffffll
#define UTIME_OMIT 0x3ffffffell

static struct inode_attr now_attr(void)
{
    uint64_t now = clock_wall_ns();
    return (struct inode_attr){.valid = ATTR_ATIME | ATTR_MTIME, .atime_ns = now, .mtime_ns = now};
}

/* Seconds before 1970 and beyond the range of 64-bit ns become its ends. */
static uint64_t time_ns(int64_t sec, int64_t nsec)
{
    int64_t ns;
    if (mul_overflow(sec, (int64_t)NS_PER_SEC, &ns) || add_overflow(ns, nsec, &ns))
        ns = sec < 0 ? INT64_MIN : INT64_MAX;
    return (uint64_t)ns;
}

static int times_from_timespec(uint64_t addr, struct inode_attr *attr)
{
    int64_t ts[4];
    *attr = now_attr();
    if (!addr)
        return 0;
    int err = copyin(ts, uaddr(addr), sizeof(ts));
    if (err)
        return err;
    bool both_now = ts[1] == UTIME_NOW && ts[3] == UTIME_NOW;
    for (int i = 0; i < 2; i++) {
        int64_t nsec = ts[2 * i + 1];
        uint32_t bit = i ? ATTR_MTIME : ATTR_ATIME;
        if (nsec == UTIME_OMIT) {
            attr->valid &= ~bit;
        } else if (nsec != UTIME_NOW) {
            if (nsec < 0 || nsec >= (int64_t)NS_PER_SEC)
                return -EINVAL;
            *(i ? &attr->mtime_ns : &attr->atime_ns) = time_ns(ts[2 * i], nsec);
        }
    }
    if (!both_now)
        attr->valid |= ATTR_TIMES_SET;
    return 0;
}

static int times_from_timeval(uint64_t addr, struct inode_attr *attr)
{
    int64_t tv[4];
    *attr = now_attr();
    if (!addr)
        return 0;
    int err = copyin(tv, uaddr(addr), sizeof(tv));
    if (err)
        return err;
    if (tv[1] < 0 || tv[1] >= 1000000 || tv[3] < 0 || tv[3] >= 1000000)
        return -EINVAL;
    attr->atime_ns = time_ns(tv[0], tv[1] * (int64_t)NS_PER_US);
    attr->mtime_ns = time_ns(tv[2], tv[3] * (int64_t)NS_PER_US);
    attr->valid |= ATTR_TIMES_SET;
    return 0;
}

long sys_utimensat(const struct syscall_args *a)
{
    struct inode_attr attr;
    uint32_t flags = (uint32_t)a->arg[3];
    if (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    int err = times_from_timespec(a->arg[2], &attr);
    if (err || !(attr.valid & (ATTR_ATIME | ATTR_MTIME)))
        return err;
    if (!a->arg[1]) /* futimens(3) */
        return flags ? -EINVAL : set_attr_fd(a->arg[0], &attr);
    return set_attr_at(a->arg[0], a->arg[1], flags, &attr);
}

long sys_utime(const struct syscall_args *a)
{
    struct inode_attr attr = now_attr();
    int64_t times[2];
    if (a->arg[1]) {
        int err = copyin(times, uaddr(a->arg[1]), sizeof(times));
        if (err)
            return err;
        attr.valid |= ATTR_TIMES_SET;
        attr.atime_ns = time_ns(times[0], 0);
        attr.mtime_ns = time_ns(times[1], 0);
    }
    return set_attr_at(CWD, a->arg[0], 0, &attr);
}

long sys_utimes(const struct syscall_args *a)
{
    struct inode_attr attr;
    int err = times_from_timeval(a->arg[1], &attr);
    return err ? err : set_attr_at(CWD, a->arg[0], 0, &attr);
}

long sys_futimesat(const struct syscall_args *a)
{
    struct inode_attr attr;
    int err = times_from_timeval(a->arg[2], &attr);
    if (err)
        return err;
    if (!a->arg[1])
        return set_attr_fd(a->arg[0], &attr);
    return set_attr_at(a->arg[0], a->arg[1], 0, &attr);
}

long sys_umask(const struct syscall_args *a)
{
    return __atomic_exchange_n(&current_fs()->umask, (uint32_t)a->arg[0] & 0777, __ATOMIC_RELAXED);
}

/* ---- truncate ---- */

long sys_truncate(const struct syscall_args *a)
{
    struct dentry *dentry;
    if ((int64_t)a->arg[1] < 0)
        return -EINVAL;
    int err = at_lookup(CWD, a->arg[0], 0, LOOKUP_FOLLOW, &dentry, NULL);
    if (err)
        return err == -ENOTSUP ? -EINVAL : err;
    struct inode *inode = dentry->inode;
    if (inode_is(inode, S_IFDIR))
        err = -EISDIR;
    else if (!inode_is(inode, S_IFREG))
        err = -EINVAL;
    else
        err = inode_permission(proc_cred(), inode, MAY_WRITE);
    if (err == 0)
        err = inode->ops == &ramfs_inode_ops ? inode_truncate(inode, a->arg[1]) : 0;
    if (err == 0)
        inotify_report(dentry, IN_MODIFY);
    dentry_put(dentry);
    return err;
}

long sys_ftruncate(const struct syscall_args *a)
{
    if ((int64_t)a->arg[1] < 0)
        return -EINVAL;
    struct file *file = file_arg_io(a->arg[0]);
    if (!file)
        return -EBADF;
    int err = -EINVAL;
    if ((file_flags(file) & O_ACCMODE) != O_RDONLY && file->ops->truncate)
        err = file->ops->truncate(file, a->arg[1]);
    if (err == 0)
        inotify_file(file, IN_MODIFY);
    file_put(file);
    return err;
}
