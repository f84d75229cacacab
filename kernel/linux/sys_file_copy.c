/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sys_file_copy.c - moving data between files (sendfile, copy_file_range, splice, tee, vmsplice)
 * and the calls about storage: fsync, sync, fallocate, fadvise, readahead.
 *
 * Data goes through a kernel buffer. The source position advances by what the target has taken, and
 * a pipe gets back what the target refused.
 */
#include "fs/inotify.h"
#include "fs/pipe.h"
#include "lib/string.h"
#include "linux/sys_file.h"
#include "mm/kmalloc.h"

#define CHUNK 32768u

/* A file and the position to use: its own, or one in user memory. */
struct end {
    struct file *file;
    uint64_t addr; /* 0: the file's own position */
    off64_t pos;
};

static int end_open(struct end *e, uint64_t addr)
{
    e->addr = addr;
    e->pos = 0;
    if (addr) {
        int err = copyin(&e->pos, uaddr(addr), sizeof(e->pos));
        if (err)
            return err;
        return e->pos < 0 ? -EINVAL : 0;
    }
    if (e->file->ops->seek) {
        mutex_lock(&e->file->pos_lock);
        e->pos = e->file->pos;
        mutex_unlock(&e->file->pos_lock);
    }
    return 0;
}

static int end_close(struct end *e)
{
    if (e->addr)
        return copyout(uaddr(e->addr), &e->pos, sizeof(e->pos));
    if (e->file->ops->seek) {
        mutex_lock(&e->file->pos_lock);
        e->file->pos = e->pos;
        mutex_unlock(&e->file->pos_lock);
    }
    return 0;
}

static long end_io(struct end *e, void *buf, size_t len, bool write)
{
    struct iov one;
    struct iov_iter it;
    off64_t pos = e->pos, *at = e->file->ops->seek ? &pos : NULL;
    iov_iter_init_kernel(&it, &one, buf, len);
    return write ? file_write_iter(e->file, &it, at) : file_read_iter(e->file, &it, at);
}

/* Copy up to len bytes. */
static long copy_ends(struct end *in, struct end *out, uint64_t len)
{
    size_t size = (size_t)MIN(len, (uint64_t)CHUNK);
    uint8_t *buf = kmalloc(MAX(size, (size_t)1), ALLOC_DEFAULT);
    if (!buf)
        return -ENOMEM;
    long done = 0;
    while ((uint64_t)done < len) {
        long got = end_io(in, buf, (size_t)MIN(len - (uint64_t)done, (uint64_t)size), false);
        long put = got > 0 ? end_io(out, buf, (size_t)got, true) : got;
        if (put <= 0) {
            done = done ? done : put;
            break;
        }
        in->pos += put;
        out->pos += put;
        done += put;
        if (put < got)
            break;
    }
    kfree(buf);
    return done;
}

static long finish(struct end *in, struct end *out, long done)
{
    if (done > 0 && (end_close(in) || end_close(out)))
        return -EFAULT;
    return write_result(out->file, done);
}

static int get_ends(uint64_t in_fd, uint64_t out_fd, struct end *in, struct end *out)
{
    in->file = file_arg_io(in_fd);
    out->file = file_arg_io(out_fd);
    return in->file && out->file ? 0 : -EBADF;
}

static void put_ends(struct end *in, struct end *out)
{
    if (in->file)
        file_put(in->file);
    if (out->file)
        file_put(out->file);
}

static bool readable(const struct file *file)
{
    return (file_flags(file) & O_ACCMODE) != O_WRONLY;
}

static bool writable(const struct file *file)
{
    return (file_flags(file) & O_ACCMODE) != O_RDONLY;
}

static int sendfile_check(const struct end *in, const struct end *out)
{
    if (!readable(in->file) || !writable(out->file))
        return -EBADF;
    if (!in->file->ops->read || !in->file->ops->seek || !out->file->ops->write ||
        (file_flags(out->file) & O_APPEND))
        return -EINVAL;
    return 0;
}

long sys_sendfile(const struct syscall_args *a)
{
    struct end in, out;
    long done = get_ends(a->arg[1], a->arg[0], &in, &out);
    if (done == 0)
        done = sendfile_check(&in, &out);
    if (done == 0)
        done = end_open(&in, a->arg[2]);
    if (done == 0)
        done = end_open(&out, 0);
    if (done == 0)
        done = finish(&in, &out, copy_ends(&in, &out, MIN(a->arg[3], 0x7ffff000ull)));
    put_ends(&in, &out);
    return done;
}

static int copy_range_check(const struct end *in, const struct end *out, uint64_t len)
{
    if (!in->file->inode || !out->file->inode)
        return -EINVAL;
    if (inode_is(in->file->inode, S_IFDIR) || inode_is(out->file->inode, S_IFDIR))
        return -EISDIR;
    if (!inode_is(in->file->inode, S_IFREG) || !inode_is(out->file->inode, S_IFREG))
        return -EINVAL;
    if (!readable(in->file) || !writable(out->file) || (file_flags(out->file) & O_APPEND))
        return -EBADF;
    uint64_t a = (uint64_t)in->pos, b = (uint64_t)out->pos;
    if (in->file->inode == out->file->inode && a < b + len && b < a + len)
        return -EINVAL;
    return 0;
}

long sys_copy_file_range(const struct syscall_args *a)
{
    struct end in, out;
    uint64_t len = MIN(a->arg[4], 0x7ffff000ull);
    if (a->arg[5])
        return -EINVAL;
    long done = get_ends(a->arg[0], a->arg[2], &in, &out);
    if (done == 0)
        done = end_open(&in, a->arg[1]);
    if (done == 0)
        done = end_open(&out, a->arg[3]);
    if (done == 0)
        done = copy_range_check(&in, &out, len);
    if (done == 0)
        done = finish(&in, &out, copy_ends(&in, &out, len));
    put_ends(&in, &out);
    return done;
}

/* ---- splice, tee, vmsplice ---- */

#define SPLICE_F_NONBLOCK 2u
#define SPLICE_F_ALL 15u

static int splice_check(const struct syscall_args *a, const struct end *in, const struct end *out)
{
    bool from_pipe = file_is_pipe(in->file), to_pipe = file_is_pipe(out->file);
    if (!readable(in->file) || !writable(out->file))
        return -EBADF;
    if (!from_pipe && !to_pipe)
        return -EINVAL;
    if ((from_pipe && a->arg[1]) || (to_pipe && a->arg[3]))
        return -ESPIPE;
    if ((a->arg[1] && !in->file->ops->seek) || (a->arg[3] && !out->file->ops->seek) ||
        !in->file->ops->read || !out->file->ops->write ||
        (!to_pipe && (file_flags(out->file) & O_APPEND)) || in->file == out->file ||
        (from_pipe && to_pipe && pipe_same(in->file, out->file)))
        return -EINVAL;
    return 0;
}

/* What the target does not take goes back into the pipe. */
static long splice_from_pipe(struct end *in, struct end *out, uint8_t *buf, size_t len,
                             bool nonblock)
{
    long got = pipe_take(in->file, buf, len, nonblock);
    if (got <= 0)
        return got;
    long put = file_is_pipe(out->file) ? pipe_put_some(out->file, buf, (size_t)got, nonblock)
                                       : end_io(out, buf, (size_t)got, true);
    pipe_settle(in->file, buf, (size_t)got, put > 0 ? (size_t)put : 0);
    if (put > 0)
        out->pos += put;
    return put;
}

/* A source without a position cannot take back what it gave: no more is asked for than fits, and
 * all of it is written. */
static long splice_to_pipe(struct end *in, struct end *out, uint8_t *buf, size_t len, bool nonblock)
{
    bool again = in->file->ops->seek != NULL;
    long room = again ? CHUNK : pipe_room(out->file, nonblock);
    if (room < 0)
        return room;
    long got = end_io(in, buf, MIN(len, (size_t)room), false);
    if (got <= 0)
        return got;
    long put = again ? pipe_put_some(out->file, buf, (size_t)got, nonblock)
                     : end_io(out, buf, (size_t)got, true);
    if (put > 0)
        in->pos += put;
    return put;
}

static long do_splice(struct end *in, struct end *out, uint64_t len, bool nonblock)
{
    size_t size = (size_t)MIN(len, (uint64_t)CHUNK);
    uint8_t *buf = kmalloc(size, ALLOC_DEFAULT);
    if (!buf)
        return -ENOMEM;
    long done = file_is_pipe(in->file) ? splice_from_pipe(in, out, buf, size, nonblock)
                                       : splice_to_pipe(in, out, buf, size, nonblock);
    kfree(buf);
    return done;
}

long sys_splice(const struct syscall_args *a)
{
    struct end in, out;
    if (a->arg[5] & ~(uint64_t)SPLICE_F_ALL)
        return -EINVAL;
    if (a->arg[4] == 0)
        return 0;
    long done = get_ends(a->arg[0], a->arg[2], &in, &out);
    if (done == 0)
        done = splice_check(a, &in, &out);
    if (done == 0)
        done = end_open(&in, a->arg[1]);
    if (done == 0)
        done = end_open(&out, a->arg[3]);
    if (done == 0)
        done = finish(&in, &out, do_splice(&in, &out, a->arg[4], a->arg[5] & SPLICE_F_NONBLOCK));
    put_ends(&in, &out);
    return done;
}

static long do_tee(struct file *in, struct file *out, uint64_t len, bool nonblock)
{
    size_t size = (size_t)MIN(len, (uint64_t)CHUNK);
    uint8_t *buf = kmalloc(size, ALLOC_DEFAULT);
    if (!buf)
        return -ENOMEM;
    long n = pipe_peek(in, buf, size, nonblock);
    if (n > 0)
        n = pipe_put_some(out, buf, (size_t)n, nonblock);
    kfree(buf);
    return n;
}

long sys_tee(const struct syscall_args *a)
{
    struct end in, out;
    if (a->arg[3] & ~(uint64_t)SPLICE_F_ALL)
        return -EINVAL;
    if (a->arg[2] == 0)
        return 0;
    long done = get_ends(a->arg[0], a->arg[1], &in, &out);
    if (done == 0 && (!readable(in.file) || !writable(out.file)))
        done = -EBADF;
    if (done == 0 &&
        (!file_is_pipe(in.file) || !file_is_pipe(out.file) || pipe_same(in.file, out.file)))
        done = -EINVAL;
    if (done == 0)
        done = write_result(out.file,
                            do_tee(in.file, out.file, a->arg[2], a->arg[3] & SPLICE_F_NONBLOCK));
    put_ends(&in, &out);
    return done;
}

/* Pages are copied: the caller's may change afterwards, which vmsplice(2) lets it do at its own
 * risk. */
static long do_vmsplice(struct file *file, struct iov_iter *it, bool nonblock)
{
    bool write = writable(file);
    uint32_t ready = write ? POLLOUT | POLLERR : POLLIN | POLLHUP;
    if (nonblock && !(file_poll(file, NULL) & ready))
        return -EAGAIN;
    if (nonblock && write && it->left > PIPE_BUF) /* as much as surely fits */
        it->left = PIPE_BUF;
    return write ? write_result(file, file_write_iter(file, it, NULL))
                 : file_read_iter(file, it, NULL);
}

long sys_vmsplice(const struct syscall_args *a)
{
    struct iov fast[IOV_FAST], *iov;
    struct iov_iter it;
    if (a->arg[3] & ~(uint64_t)SPLICE_F_ALL)
        return -EINVAL;
    struct file *file = file_arg_io(a->arg[0]);
    if (!file)
        return -EBADF;
    long n = -EBADF;
    if (file_is_pipe(file)) {
        n = copyin_iovec(a->arg[1], a->arg[2], fast, &iov, &it);
        if (n == 0)
            n = do_vmsplice(file, &it, a->arg[3] & SPLICE_F_NONBLOCK);
        if (iov != fast)
            kfree(iov);
    }
    file_put(file);
    return n;
}

/* ---- storage ---- */

static long do_fsync(uint64_t fd, bool data_only)
{
    struct file *file = file_arg_io(fd);
    if (!file)
        return -EBADF;
    int err = file->ops->fsync ? file->ops->fsync(file, data_only) : -EINVAL;
    file_put(file);
    return err;
}

long sys_fsync(const struct syscall_args *a)
{
    return do_fsync(a->arg[0], false);
}

long sys_fdatasync(const struct syscall_args *a)
{
    return do_fsync(a->arg[0], true);
}

long sys_sync(const struct syscall_args *a)
{
    return 0; /* no file system has anything to write back */
}

long sys_syncfs(const struct syscall_args *a)
{
    struct file *file = file_arg_io(a->arg[0]);
    if (!file)
        return -EBADF;
    file_put(file);
    return 0;
}

long sys_sync_file_range(const struct syscall_args *a)
{
    if ((a->arg[3] & ~7ull) || (int64_t)a->arg[1] < 0 || (int64_t)a->arg[2] < 0)
        return -EINVAL;
    struct file *file = file_arg_io(a->arg[0]);
    if (!file)
        return -EBADF;
    bool regular =
        file->inode && (inode_is(file->inode, S_IFREG) || inode_is(file->inode, S_IFDIR));
    file_put(file);
    return regular ? 0 : -ESPIPE;
}

long sys_fallocate(const struct syscall_args *a)
{
    const uint32_t known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    uint32_t mode = (uint32_t)a->arg[1];
    if ((int64_t)a->arg[2] < 0 || (int64_t)a->arg[3] <= 0)
        return -EINVAL;
    if ((mode & ~known) ||
        ((mode & FALLOC_FL_PUNCH_HOLE) && mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)))
        return -ENOTSUP;
    struct file *file = file_arg_io(a->arg[0]);
    if (!file)
        return -EBADF;
    long err = -EBADF;
    if (writable(file))
        err = file->inode          ? ramfs_fallocate(file->inode, mode, a->arg[2], a->arg[3])
              : file_is_pipe(file) ? -ESPIPE
                                   : -ENODEV;
    if (err == 0)
        inotify_file(file, IN_MODIFY);
    file_put(file);
    return err;
}

long sys_fadvise64(const struct syscall_args *a)
{
    struct file *file = file_arg_io(a->arg[0]);
    if (!file)
        return -EBADF;
    long err = 0; /* advice about a cache that holds everything */
    if (file_is_pipe(file))
        err = -ESPIPE;
    else if (a->arg[3] > 5 || (int64_t)a->arg[2] < 0)
        err = -EINVAL;
    file_put(file);
    return err;
}

long sys_readahead(const struct syscall_args *a)
{
    struct file *file = file_arg_io(a->arg[0]);
    if (!file)
        return -EBADF;
    long err = -EINVAL;
    if (!readable(file))
        err = -EBADF;
    else if (file->inode && inode_is(file->inode, S_IFREG))
        err = 0;
    file_put(file);
    return err;
}
