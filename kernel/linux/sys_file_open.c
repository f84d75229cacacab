/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_file_open.c - making and closing descriptors: open, close, dup. */
#include "fs/console.h"
#include "fs/locks.h"
#include "fs/pipe.h"
#include "isa/abi.h"
#include "lib/string.h"
#include "linux/sys_file.h"

static long do_open(uint64_t dfd, uint64_t path, uint32_t flags, uint32_t mode, unsigned resolve)
{
    struct at_path p;
    struct file *file;
    struct fdtable *table = current_files();
    int err = at_path_get(&p, dfd, path, 0);
    if (err)
        return err;
    /* The number first: an open that fails with EMFILE has not made or cut the file. */
    int fd = fd_reserve(table);
    if (fd >= 0) {
        err = vfs_open(current_fs(), p.start, p.text, flags, mode, resolve | LOOKUP_BOUNDED, &file);
        if (err)
            fd_unreserve(table, fd);
        else
            fd_fill(table, fd, file, flags & O_CLOEXEC);
    }
    at_path_put(&p);
    return err ? err : fd;
}

long sys_open(const struct syscall_args *a)
{
    return do_open((uint64_t)AT_FDCWD, a->arg[0], isa_open_flags_in((uint32_t)a->arg[1]),
                   (uint32_t)a->arg[2], 0);
}

long sys_openat(const struct syscall_args *a)
{
    return do_open(a->arg[0], a->arg[1], isa_open_flags_in((uint32_t)a->arg[2]),
                   (uint32_t)a->arg[3], 0);
}

long sys_creat(const struct syscall_args *a)
{
    return do_open((uint64_t)AT_FDCWD, a->arg[0], O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)a->arg[1],
                   0);
}

struct user_open_how {
    uint64_t flags, mode, resolve;
};

/* openat2(2): larger structures are fine if what we do not know is zero. */
static int copyin_open_how(struct user_open_how *how, uint64_t addr, uint64_t size)
{
    uint8_t tail[64];
    if (size < sizeof(*how))
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    for (uint64_t at = sizeof(*how); at < size;) {
        size_t len = (size_t)MIN(size - at, (uint64_t)sizeof(tail));
        int err = copyin(tail, uaddr(addr + at), len);
        if (err)
            return err;
        for (size_t i = 0; i < len; i++)
            if (tail[i])
                return -E2BIG;
        at += len;
    }
    return copyin(how, uaddr(addr), sizeof(*how));
}

static int resolve_flags(uint64_t resolve, unsigned *out)
{
    static const unsigned lookup[] = {LOOKUP_NO_XDEV, LOOKUP_NO_MAGIC, LOOKUP_NO_SYMLINKS,
                                      LOOKUP_BENEATH, LOOKUP_IN_ROOT};
    if (resolve & ~0x3full) /* bit 5, RESOLVE_CACHED: everything is */
        return -EINVAL;
    if ((resolve & 0x18) == 0x18)
        return -EINVAL;
    *out = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(lookup); i++)
        if (resolve & (1u << i))
            *out |= lookup[i];
    return 0;
}

long sys_openat2(const struct syscall_args *a)
{
    const uint32_t known = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND |
                           O_NONBLOCK | O_SYNC | O_ASYNC | O_DIRECT | O_LARGEFILE | O_NOFOLLOW |
                           O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE;
    struct user_open_how how;
    unsigned resolve;
    int err = copyin_open_how(&how, a->arg[2], a->arg[3]);
    if (err)
        return err;
    uint32_t flags = isa_open_flags_in((uint32_t)how.flags);
    bool makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    if (how.flags > UINT32_MAX || (flags & ~known) || how.mode > 07777 || (how.mode && !makes))
        return -EINVAL;
    err = resolve_flags(how.resolve, &resolve);
    if (err)
        return err;
    return do_open(a->arg[0], a->arg[1], flags, (uint32_t)how.mode, resolve);
}

long sys_close(const struct syscall_args *a)
{
    return fd_close(current_files(), (int)a->arg[0]);
}

#define CLOSE_RANGE_UNSHARE 2u
#define CLOSE_RANGE_CLOEXEC 4u

long sys_close_range(const struct syscall_args *a)
{
    uint32_t first = (uint32_t)a->arg[0], last = (uint32_t)a->arg[1];
    uint32_t flags = (uint32_t)a->arg[2];
    struct fdtable *table = current_files();
    struct file *file;
    /* UNSHARE: the table belongs to one process here, so there is nothing to unshare. */
    if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) || first > last)
        return -EINVAL;
    int fd = (int)MIN(first, (uint32_t)FD_MAX_HARD);
    while ((file = fd_next(table, &fd)) != NULL) {
        file_put(file);
        if ((uint32_t)fd > last)
            break;
        /* Another thread may have closed it: fine. */
        int err =
            (flags & CLOSE_RANGE_CLOEXEC) ? fd_set_cloexec(table, fd, true) : fd_close(table, fd);
        (void)err;
        fd++;
    }
    return 0;
}

static long do_dup(uint64_t fd, int min, bool cloexec)
{
    struct file *file = file_arg(fd);
    if (!file)
        return -EBADF;
    int result = fd_install(current_files(), file, min, cloexec);
    if (result < 0)
        file_put(file);
    return result;
}

long sys_dup(const struct syscall_args *a)
{
    return do_dup(a->arg[0], 0, false);
}

static long do_dup_at(uint64_t from, uint64_t to, bool cloexec)
{
    struct file *file = file_arg(from);
    if (!file)
        return -EBADF;
    int result = fd_install_at(current_files(), file, (int)to, cloexec);
    if (result < 0)
        file_put(file);
    return result;
}

long sys_dup2(const struct syscall_args *a)
{
    if ((int)a->arg[0] == (int)a->arg[1]) {
        struct file *file = file_arg(a->arg[0]);
        if (!file)
            return -EBADF;
        file_put(file);
        return (int)a->arg[1];
    }
    return do_dup_at(a->arg[0], a->arg[1], false);
}

long sys_dup3(const struct syscall_args *a)
{
    uint32_t flags = isa_open_flags_in((uint32_t)a->arg[2]);
    if ((flags & ~(uint32_t)O_CLOEXEC) || (int)a->arg[0] == (int)a->arg[1])
        return -EINVAL;
    return do_dup_at(a->arg[0], a->arg[1], flags & O_CLOEXEC);
}

/* ---- fcntl ---- */

struct user_flock {
    int16_t type, whence;
    int64_t start, len;
    int32_t pid;
};
STATIC_ASSERT(sizeof(struct user_flock) == 32);

/* l_whence, l_start, l_len -> first and last byte (fcntl(2), "Advisory record locking"). */
static int lock_range(struct file *file, const struct user_flock *user, struct lock_request *req)
{
    int64_t start = user->start, base = 0;
    if (user->whence == SEEK_CUR) {
        mutex_lock(&file->pos_lock);
        base = file->pos;
        mutex_unlock(&file->pos_lock);
    } else if (user->whence == SEEK_END) {
        base = (int64_t)file_size(file);
    } else if (user->whence != SEEK_SET) {
        return -EINVAL;
    }
    if (add_overflow(start, base, &start))
        return -EOVERFLOW;
    int64_t end = INT64_MAX;
    if (user->len > 0 && add_overflow(start, user->len - 1, &end))
        return -EOVERFLOW;
    if (user->len < 0) {
        end = start - 1;
        if (add_overflow(start, user->len, &start))
            return -EINVAL;
    }
    if (start < 0 || end < start)
        return -EINVAL;
    req->start = (uint64_t)start;
    req->end = end == INT64_MAX ? UINT64_MAX : (uint64_t)end;
    return 0;
}

static int lock_request(struct file *file, uint64_t addr, bool ofd, struct user_flock *user,
                        struct lock_request *req)
{
    int err = copyin(user, uaddr(addr), sizeof(*user));
    if (err)
        return err;
    if (!file->inode || user->type < F_RDLCK || user->type > F_UNLCK || (ofd && user->pid))
        return -EINVAL;
    *req = (struct lock_request){
        .type = user->type, .ofd = ofd, .owner = current_files(), .pid = process_current()->pid};
    return lock_range(file, user, req);
}

static long fcntl_get_lock(struct file *file, uint64_t addr, bool ofd)
{
    struct user_flock user;
    struct lock_request req;
    int err = lock_request(file, addr, ofd, &user, &req);
    if (err)
        return err;
    if (user.type == F_UNLCK)
        return -EINVAL;
    locks_test(file, &req);
    user.type = (int16_t)req.type;
    if (req.type != F_UNLCK) {
        user.whence = SEEK_SET;
        user.start = (int64_t)req.start;
        user.len = req.end == UINT64_MAX ? 0 : (int64_t)(req.end - req.start + 1);
        user.pid = req.pid;
    }
    return copyout(uaddr(addr), &user, sizeof(user));
}

static long fcntl_set_lock(struct file *file, int fd, uint64_t addr, bool ofd, bool wait)
{
    struct user_flock user;
    struct lock_request req;
    int err = lock_request(file, addr, ofd, &user, &req);
    if (err)
        return err;
    uint32_t mode = file_flags(file) & O_ACCMODE;
    if ((user.type == F_RDLCK && mode == O_WRONLY) || (user.type == F_WRLCK && mode == O_RDONLY))
        return -EBADF;
    err = locks_set(file, &req, wait);
    if (err || ofd || user.type == F_UNLCK)
        return err;
    /* If another thread has closed the descriptor meanwhile, its close came too early to see the
     * lock, which would then outlive it. */
    struct file *now = fd_get(current_files(), fd);
    if (now != file) {
        locks_fd_closed(file, current_files());
        err = -EBADF;
    }
    if (now)
        file_put(now);
    return err;
}

static long fcntl_set_flags(struct file *file, int fd, uint64_t arg)
{
    const uint32_t settable = O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME;
    uint32_t want = isa_open_flags_in((uint32_t)arg) & settable;
    uint32_t flags = file_flags(file);
    if ((flags ^ want) & O_ASYNC && file->ops->async) {
        int err = file_set_async(file, fd, want & O_ASYNC);
        if (err)
            return err;
    }
    /* Relaxed: the flags order nothing. FIONBIO may change one of them at the same time. */
    while (!__atomic_compare_exchange_n(&file->flags, &flags, (flags & ~settable) | want, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return 0;
}

/* Commands that need a file open for I/O. */
static long fcntl_io(struct file *file, int fd, int cmd, uint64_t arg)
{
    switch (cmd) {
    case F_SETFL:
        return fcntl_set_flags(file, fd, arg);
    case F_GETLK:
    case F_OFD_GETLK:
        return fcntl_get_lock(file, arg, cmd == F_OFD_GETLK);
    case F_SETLK:
    case F_SETLKW:
        return fcntl_set_lock(file, fd, arg, false, cmd == F_SETLKW);
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return fcntl_set_lock(file, fd, arg, true, cmd == F_OFD_SETLKW);
    case F_GETPIPE_SZ:
        return pipe_get_size(file);
    case F_SETPIPE_SZ:
        return pipe_set_size(file, arg);
    case F_GET_SEALS:
        return memfd_get_seals(file);
    case F_ADD_SEALS:
        return memfd_add_seals(file, (uint32_t)arg);
    default:
        return file_owner_fcntl(file, cmd, arg);
    }
}

static long do_fcntl(struct file *file, int fd, int cmd, uint64_t arg)
{
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        if (arg >= process_limit(process_current(), RLIMIT_NOFILE) || arg > FD_MAX_HARD)
            return -EINVAL;
        return do_dup((uint64_t)fd, (int)arg, cmd == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return fd_get_cloexec(current_files(), fd);
    case F_SETFD:
        return fd_set_cloexec(current_files(), fd, arg & FD_CLOEXEC);
    case F_GETFL:
        return isa_open_flags_out(file_flags(file));
    default:
        return (file_flags(file) & O_PATH) ? -EBADF : fcntl_io(file, fd, cmd, arg);
    }
}

long sys_fcntl(const struct syscall_args *a)
{
    struct file *file = file_arg(a->arg[0]);
    if (!file)
        return -EBADF;
    long result = do_fcntl(file, (int)a->arg[0], (int)a->arg[1], a->arg[2]);
    file_put(file);
    return result;
}

long sys_flock(const struct syscall_args *a)
{
    int op = (int)a->arg[1] & ~LOCK_NB;
    if (op != LOCK_SH && op != LOCK_EX && op != LOCK_UN)
        return -EINVAL;
    struct file *file = file_arg_io(a->arg[0]);
    if (!file)
        return -EBADF;
    long err = file->inode ? locks_flock(file, op, !(a->arg[1] & LOCK_NB)) : -EBADF;
    file_put(file);
    return err;
}

/* ---- ioctl: what is the same for every file ---- */

#define FIONBIO 0x5421u
#define FIONCLEX 0x5450u
#define FIOCLEX 0x5451u
#define FIOASYNC 0x5452u
#define FIGETBSZ 2u

static long ioctl_nonblock(struct file *file, uint64_t arg)
{
    int on;
    int err = copyin(&on, uaddr(arg), sizeof(on));
    if (err)
        return err;
    if (on)
        __atomic_fetch_or(&file->flags, O_NONBLOCK, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&file->flags, ~O_NONBLOCK, __ATOMIC_RELAXED);
    return 0;
}

static long ioctl_async(struct file *file, int fd, uint64_t arg)
{
    int on;
    int err = copyin(&on, uaddr(arg), sizeof(on));
    if (err || !on == !(file_flags(file) & O_ASYNC))
        return err;
    return file->ops->async ? file_set_async(file, fd, on) : -ENOTTY;
}

static long ioctl_regular(struct file *file, unsigned cmd, uint64_t arg)
{
    int value;
    if (cmd == FIGETBSZ) {
        value = (int)PAGE_SIZE;
    } else if (cmd == FIONREAD && inode_is(file->inode, S_IFREG)) {
        mutex_lock(&file->pos_lock);
        off64_t left = (off64_t)inode_size(file->inode) - file->pos;
        mutex_unlock(&file->pos_lock);
        value = (int)MAX(MIN(left, (off64_t)INT32_MAX), (off64_t)INT32_MIN);
    } else {
        return -ENOTTY;
    }
    return copyout(uaddr(arg), &value, sizeof(value));
}

static long do_ioctl(struct file *file, int fd, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case FIOCLEX:
    case FIONCLEX:
        return fd_set_cloexec(current_files(), fd, cmd == FIOCLEX);
    case FIONBIO:
        return ioctl_nonblock(file, arg);
    case FIOASYNC:
        return ioctl_async(file, fd, arg);
    case FIOSETOWN:
    case SIOCSPGRP:
    case FIOGETOWN:
    case SIOCGPGRP:
        return file_owner_ioctl(file, cmd, arg);
    default:
        if (file->ops->ioctl)
            return file->ops->ioctl(file, cmd, (uintptr_t)arg);
        return file->inode ? ioctl_regular(file, cmd, arg) : -ENOTTY;
    }
}

long sys_ioctl(const struct syscall_args *a)
{
    struct file *file = file_arg_io(a->arg[0]);
    if (!file)
        return -EBADF;
    long result = do_ioctl(file, (int)a->arg[0], (unsigned)a->arg[1], a->arg[2]);
    file_put(file);
    return result;
}
