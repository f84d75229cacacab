/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_file.c - read, write and relatives, and the helpers of all file system calls. */
#include "linux/sys_file.h"

#include "isa/abi.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "net/socket.h"
#include "sched/timer.h"

#define IOV_MAX 1024

/* ---- helpers ---- */

struct file *file_arg_io(uint64_t fd)
{
    struct file *file = file_arg(fd);
    if (file && (file_flags(file) & O_PATH)) {
        file_put(file);
        return NULL;
    }
    return file;
}

long install_file(struct file *file, bool cloexec)
{
    int fd = fd_install(current_files(), file, 0, cloexec);
    if (fd < 0)
        file_put(file);
    return fd;
}

/* Most paths are short, and need no memory. */
static int copyin_path(struct at_path *p, uint64_t addr)
{
    long len = copyin_str(p->brief, uaddr(addr), sizeof p->brief);
    if (len != -ENAMETOOLONG)
        return len < 0 ? (int)len : 0;
    char *text = kmalloc(PATH_MAX, ALLOC_DEFAULT);
    if (!text)
        return -ENOMEM;
    p->text = text;
    len = copyin_str(text, uaddr(addr), PATH_MAX);
    return len < 0 ? (int)len : 0;
}

/* The directory a relative path starts from. */
static int at_start(struct at_path *p, uint64_t dfd)
{
    if ((int)dfd == AT_FDCWD || p->text[0] == '/')
        return 0;
    struct file *file = file_arg(dfd);
    if (!file)
        return -EBADF;
    int err = 0;
    if (p->text[0] == '\0') {
        p->file = file;
        return 0;
    }
    if (file->dentry && inode_is(file->inode, S_IFDIR)) {
        dentry_get(file->dentry);
        p->start = file->dentry;
    } else {
        err = -ENOTDIR;
    }
    file_put(file);
    return err;
}

int at_path_get(struct at_path *p, uint64_t dfd, uint64_t path, uint32_t flags)
{
    p->text = p->brief;
    p->start = NULL;
    p->file = NULL;
    int err = copyin_path(p, path);
    if (err == 0 && p->text[0] == '\0' && !(flags & AT_EMPTY_PATH))
        err = -ENOENT;
    if (err == 0)
        err = at_start(p, dfd);
    if (err)
        at_path_put(p);
    return err;
}

void at_path_put(struct at_path *p)
{
    if (p->text != p->brief)
        kfree(p->text);
    dentry_put(p->start);
    if (p->file)
        file_put(p->file);
}

static int resolve_file(struct file *from, struct dentry **dentry, struct file **file)
{
    if (from->dentry) {
        dentry_get(from->dentry);
        *dentry = from->dentry;
        return 0;
    }
    if (!file)
        return -ENOTSUP;
    file_get(from);
    *file = from;
    return 0;
}

int at_path_resolve(const struct at_path *p, unsigned lookup, struct dentry **dentry,
                    struct file **file)
{
    *dentry = NULL;
    if (file)
        *file = NULL;
    if (p->file)
        return resolve_file(p->file, dentry, file);
    struct path_walk walk = {
        .ctx = current_fs(), .start = p->start, .flags = lookup | LOOKUP_EMPTY | LOOKUP_BOUNDED};
    int err = path_walk(&walk, p->text);
    if (err == 0 && walk.file && !file)
        err = -ENOTSUP;
    if (err == 0) {
        *dentry = walk.dentry;
        walk.dentry = NULL;
        if (file) {
            *file = walk.file;
            walk.file = NULL;
        }
    }
    path_done(&walk);
    return err;
}

int at_lookup(uint64_t dfd, uint64_t path, uint32_t flags, unsigned lookup, struct dentry **dentry,
              struct file **file)
{
    struct at_path p;
    int err = at_path_get(&p, dfd, path, flags);
    if (err)
        return err;
    err = at_path_resolve(&p, lookup, dentry, file);
    at_path_put(&p);
    return err;
}

static uint64_t saturate_ns(int64_t sec, uint64_t ns)
{
    uint64_t total;
    if (mul_overflow((uint64_t)sec, NS_PER_SEC, &total) || add_overflow(total, ns, &total) ||
        total > INT64_MAX)
        return INT64_MAX;
    return total;
}

int copyin_timespec(uint64_t addr, uint64_t *ns)
{
    struct {
        int64_t sec, nsec;
    } ts;
    int err = copyin(&ts, uaddr(addr), sizeof(ts));
    if (err)
        return err;
    if (ts.sec < 0 || ts.nsec < 0 || ts.nsec >= (int64_t)NS_PER_SEC)
        return -EINVAL;
    *ns = saturate_ns(ts.sec, (uint64_t)ts.nsec);
    return 0;
}

int copyin_timeval(uint64_t addr, uint64_t *ns)
{
    struct {
        int64_t sec, usec;
    } tv;
    int err = copyin(&tv, uaddr(addr), sizeof(tv));
    if (err)
        return err;
    if (tv.sec < 0 || tv.usec < 0)
        return -EINVAL;
    tv.sec += tv.usec / 1000000; /* select(2) takes large microseconds */
    *ns = saturate_ns(tv.sec, (uint64_t)(tv.usec % 1000000) * NS_PER_US);
    return 0;
}

uint64_t deadline_after(uint64_t ns)
{
    uint64_t sum;
    return add_overflow(clock_mono_ns(), ns, &sum) || sum > INT64_MAX ? UINT64_MAX : sum;
}

int mask_for_call(uint64_t mask_addr, uint64_t size)
{
    uint64_t mask;
    if (!mask_addr)
        return 0;
    if (size != sizeof(mask))
        return -EINVAL;
    int err = copyin(&mask, uaddr(mask_addr), sizeof(mask));
    if (err == 0)
        signal_mask_for_call(mask);
    return err;
}

uint64_t proc_file_size_limit(void)
{
    struct process *p = process_current();
    return p ? process_limit(p, RLIMIT_FSIZE) : UINT64_MAX;
}

static void signal_self(int signo)
{
    struct siginfo info;
    signal_info_user(&info, signo, SI_USER);
    signal_send_task(task_current(), &info);
}

void proc_file_too_big(void)
{
    signal_self(SIGXFSZ);
}

void proc_broken_pipe(void)
{
    signal_self(SIGPIPE);
}

long write_result(const struct file *file, long result)
{
    const struct socket *socket = result == -EPIPE ? socket_of_file(file) : NULL;
    if (result == -EPIPE && (!socket || socket_breaks(socket)))
        proc_broken_pipe();
    return result;
}

/* ---- one buffer ---- */

static long do_read(uint64_t fd, uint64_t buf, uint64_t len, off64_t *pos)
{
    struct file *file = file_arg(fd);
    if (!file)
        return -EBADF;
    struct iov one;
    struct iov_iter it;
    iov_iter_init_user(&it, &one, uaddr(buf), len);
    long n = (int64_t)len < 0 ? -EINVAL : file_read_iter(file, &it, pos);
    file_put(file);
    return n;
}

static long do_write(uint64_t fd, uint64_t buf, uint64_t len, off64_t *pos)
{
    struct file *file = file_arg(fd);
    if (!file)
        return -EBADF;
    struct iov one;
    struct iov_iter it;
    iov_iter_init_user(&it, &one, uaddr(buf), len);
    long n = (int64_t)len < 0 ? -EINVAL : write_result(file, file_write_iter(file, &it, pos));
    file_put(file);
    return n;
}

long sys_read(const struct syscall_args *a)
{
    return do_read(a->arg[0], a->arg[1], a->arg[2], NULL);
}

long sys_write(const struct syscall_args *a)
{
    return do_write(a->arg[0], a->arg[1], a->arg[2], NULL);
}

long sys_pread64(const struct syscall_args *a)
{
    off64_t pos = (off64_t)a->arg[3];
    if (pos < 0)
        return -EINVAL;
    return do_read(a->arg[0], a->arg[1], a->arg[2], &pos);
}

long sys_pwrite64(const struct syscall_args *a)
{
    off64_t pos = (off64_t)a->arg[3];
    if (pos < 0)
        return -EINVAL;
    return do_write(a->arg[0], a->arg[1], a->arg[2], &pos);
}

/* ---- scatter lists ---- */

int copyin_iovec(uint64_t addr, uint64_t count, struct iov *fast, struct iov **iov,
                 struct iov_iter *it)
{
    /* struct iovec of user code is two words: what struct iov is. */
    STATIC_ASSERT(sizeof(struct iov) == 16);
    *iov = fast;
    if (count > IOV_MAX)
        return -EINVAL;
    if (count > IOV_FAST) {
        *iov = kmalloc_array(count, sizeof(**iov), ALLOC_DEFAULT);
        if (!*iov) {
            *iov = fast;
            return -ENOMEM;
        }
    }
    int err = copyin(*iov, uaddr(addr), count * sizeof(**iov));
    size_t total = 0;
    for (uint64_t i = 0; i < count && err == 0; i++) {
        if ((int64_t)(*iov)[i].len < 0 || add_overflow(total, (*iov)[i].len, &total) ||
            (int64_t)total < 0)
            err = -EINVAL;
    }
    *it = (struct iov_iter){.iov = *iov, .count = count, .left = total};
    return err;
}

static long do_vector(const struct syscall_args *a, off64_t *pos, bool write)
{
    struct iov fast[IOV_FAST], *iov;
    struct iov_iter it;
    struct file *file = file_arg(a->arg[0]);
    if (!file)
        return -EBADF;
    long n = copyin_iovec(a->arg[1], a->arg[2], fast, &iov, &it);
    if (n == 0)
        n = write ? write_result(file, file_write_iter(file, &it, pos))
                  : file_read_iter(file, &it, pos);
    if (iov != fast)
        kfree(iov);
    file_put(file);
    return n;
}

long sys_readv(const struct syscall_args *a)
{
    return do_vector(a, NULL, false);
}

long sys_writev(const struct syscall_args *a)
{
    return do_vector(a, NULL, true);
}

static long do_vector_at(const struct syscall_args *a, bool write)
{
    off64_t pos = (off64_t)a->arg[3];
    return pos < 0 ? -EINVAL : do_vector(a, &pos, write);
}

long sys_preadv(const struct syscall_args *a)
{
    return do_vector_at(a, false);
}

long sys_pwritev(const struct syscall_args *a)
{
    return do_vector_at(a, true);
}

/* Flags of preadv2: HIPRI, DSYNC, SYNC change nothing in memory; NOWAIT and APPEND would. */
static long do_vector2(const struct syscall_args *a, bool write)
{
    const uint64_t accepted = 1 | 2 | 4;
    if (a->arg[5] & ~accepted)
        return -ENOTSUP;
    return (off64_t)a->arg[3] == -1 ? do_vector(a, NULL, write) : do_vector_at(a, write);
}

long sys_preadv2(const struct syscall_args *a)
{
    return do_vector2(a, false);
}

long sys_pwritev2(const struct syscall_args *a)
{
    return do_vector2(a, true);
}

long sys_lseek(const struct syscall_args *a)
{
    struct file *file = file_arg_io(a->arg[0]);
    int whence = (int)a->arg[2];
    if (!file)
        return -EBADF;
    off64_t result = -ESPIPE;
    if (whence < SEEK_SET || whence > SEEK_HOLE) {
        result = -EINVAL;
    } else if (file->ops->seek) {
        mutex_lock(&file->pos_lock);
        result = file->ops->seek(file, (off64_t)a->arg[1], whence);
        mutex_unlock(&file->pos_lock);
    }
    file_put(file);
    return result;
}
