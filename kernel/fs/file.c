/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file.c - open file descriptions: life time, positions, scatter lists.
 *
 * Positions: files that can seek have one, guarded by pos_lock (RANK_FILE_POS, the outermost lock
 * of the file system), held over a whole read or write, so threads that share a description never
 * get the same bytes twice. Pipes, ttys and the like have none and take no lock here, or a blocked
 * reader would block writers of the same description.
 */
#include "fs/async.h"
#include "fs/epoll.h"
#include "fs/inotify.h"
#include "fs/locks.h"
#include "fs/vfs.h"

#include "core/assert.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/area.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"

#define RW_MAX 0x7ffff000u /* the most Linux moves in one call */

struct file *file_alloc(const struct file_ops *ops, uint32_t flags, void *private_data)
{
    struct file *file = owner_alloc(OWNER_FILE, sizeof(*file));
    if (!file)
        return NULL;
    ref_init(&file->refs);
    file->flags = flags;
    file->ops = ops;
    file->private_data = private_data;
    mutex_init(&file->pos_lock, RANK_FILE_POS);
    list_init(&file->epoll_items);
    return file;
}

void file_free(struct file *file)
{
    owner_free(OWNER_FILE, file, sizeof(*file));
}

void file_get(struct file *file)
{
    ref_get(&file->refs);
}

static bool can_read(const struct file *file)
{
    uint32_t mode = file_flags(file) & O_ACCMODE;
    return !(file_flags(file) & O_PATH) && (mode == O_RDONLY || mode == O_RDWR);
}

static bool can_write(const struct file *file)
{
    uint32_t mode = file_flags(file) & O_ACCMODE;
    return !(file_flags(file) & O_PATH) && (mode == O_WRONLY || mode == O_RDWR);
}

int file_begin_write(struct file *file)
{
    if (!can_write(file) || !inode_is(file->inode, S_IFREG))
        return 0;
    int err = super_begin_write(file->inode->super);
    file->writing = err == 0;
    return err;
}

static no_inline void file_end(struct file *file)
{
    if (file->epoll_watched)
        epoll_forget_file(file);
    if (file->async)
        file->async->forget(file);
    if (file->opened)
        inotify_file(file, can_write(file) ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    if (file->inode)
        locks_file_closed(file);
    if (file->ops->release)
        file->ops->release(file);
    if (file->async) /* only now: a socket could signal until its release */
        file->async->free(file);
    if (file->inode) {
        if (file->writing)
            super_end_write(file->inode->super);
        super_unuse(file->inode->super);
    }
    dentry_put(file->dentry);
    inode_put(file->inode);
    file_free(file);
}

void file_put(struct file *file)
{
    if (ref_put(&file->refs))
        file_end(file);
}

/* ---- scatter lists ---- */

void iov_iter_init_user(struct iov_iter *it, struct iov *one, uaddr_t base, size_t len)
{
    *one = (struct iov){base.raw, len};
    *it = (struct iov_iter){.iov = one, .count = 1, .left = len};
}

void iov_iter_init_kernel(struct iov_iter *it, struct iov *one, void *base, size_t len)
{
    *one = (struct iov){(uintptr_t)base, len};
    *it = (struct iov_iter){.iov = one, .count = 1, .left = len, .kernel = true};
}

bool iov_iter_piece(const struct iov_iter *it, uintptr_t *base, size_t *len)
{
    const struct iov *iov = it->iov;
    size_t offset = it->offset;
    if (it->left == 0)
        return false;
    for (size_t i = 0; i < it->count; i++, iov++, offset = 0) {
        if (iov->len > offset) {
            *base = iov->base + offset;
            *len = MIN(iov->len - offset, it->left);
            return true;
        }
    }
    return false;
}

void iov_iter_advance(struct iov_iter *it, size_t len)
{
    ASSERT(len <= it->left);
    it->left -= len;
    while (len > 0 && it->count > 0) {
        size_t piece = MIN(it->iov->len - it->offset, len);
        it->offset += piece;
        len -= piece;
        if (it->offset == it->iov->len) {
            it->iov++;
            it->count--;
            it->offset = 0;
        }
    }
}

static long iov_copy(struct iov_iter *it, void *kernel, size_t len, bool to_iov)
{
    size_t done = 0, piece;
    uintptr_t base;
    while (done < len && iov_iter_piece(it, &base, &piece)) {
        char *mine = (char *)kernel + done;
        int err = 0;
        piece = MIN(piece, len - done);
        if (it->kernel)
            memcpy(to_iov ? (char *)base : mine, to_iov ? mine : (char *)base, piece);
        else
            err = to_iov ? copyout(uaddr(base), mine, piece) : copyin(mine, uaddr(base), piece);
        if (err)
            return done ? (long)done : err;
        iov_iter_advance(it, piece);
        done += piece;
    }
    return (long)done;
}

long iov_copy_to(struct iov_iter *it, const void *src, size_t len)
{
    return iov_copy(it, (void *)(uintptr_t)src, len, true);
}

long iov_copy_from(struct iov_iter *it, void *dst, size_t len)
{
    return iov_copy(it, dst, len, false);
}

/* ---- read, write, seek, stat ---- */

off64_t file_seek_endless(struct file *file, off64_t off, int whence)
{
    off64_t base = whence == SEEK_CUR ? file->pos : 0, target;
    if (whence != SEEK_CUR && whence != SEEK_SET)
        return -EINVAL;
    if (add_overflow(base, off, &target))
        return -EOVERFLOW;
    if (target < 0)
        return -EINVAL;
    file->pos = target;
    return target;
}

typedef long (*transfer_fn)(struct file *file, struct iov_iter *it, off64_t *pos);

static long transfer(struct file *file, struct iov_iter *it, off64_t *pos, transfer_fn fn)
{
    if (it->left > RW_MAX)
        it->left = RW_MAX;
    if (pos) {
        if (*pos < 0)
            return -EINVAL;
        if (!file->ops->seek)
            return -ESPIPE;
        return fn(file, it, pos);
    }
    if (!file->ops->seek) {
        off64_t none = 0;
        return fn(file, it, &none);
    }
    mutex_lock(&file->pos_lock);
    long done = fn(file, it, &file->pos);
    mutex_unlock(&file->pos_lock);
    return done;
}

long file_read_iter(struct file *file, struct iov_iter *to, off64_t *pos)
{
    if (!can_read(file))
        return -EBADF;
    if (file->inode && inode_is(file->inode, S_IFDIR))
        return -EISDIR;
    if (!file->ops->read)
        return -EINVAL;
    long done = transfer(file, to, pos, file->ops->read);
    if (done > 0)
        inotify_file(file, IN_ACCESS);
    return done;
}

long file_write_iter(struct file *file, struct iov_iter *from, off64_t *pos)
{
    if (!can_write(file))
        return -EBADF;
    if (!file->ops->write)
        return -EINVAL;
    long done = transfer(file, from, pos, file->ops->write);
    if (done > 0)
        inotify_file(file, IN_MODIFY);
    return done;
}

long file_pread(struct file *file, void *buf, size_t len, off64_t off)
{
    struct iov one;
    struct iov_iter it;
    size_t done = 0;
    while (done < len) {
        iov_iter_init_kernel(&it, &one, (char *)buf + done, len - done);
        off64_t pos = off + (off64_t)done;
        long n = file_read_iter(file, &it, &pos);
        if (n < 0)
            return done ? (long)done : n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (long)done;
}

long file_write(struct file *file, const void *buf, size_t len)
{
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, (void *)(uintptr_t)buf, len);
    return file_write_iter(file, &it, NULL);
}

int file_stat(struct file *file, struct kstat *out)
{
    if (file->ops->stat)
        return file->ops->stat(file, out);
    if (file->inode) {
        inode_stat(file->inode, out);
        return 0;
    }
    /* An anonymous inode as Linux shows it: no type, mode 0600. */
    *out = (struct kstat){.mode = 0600, .nlink = 1, .blksize = PAGE_SIZE, .ino = 1, .dev = 1};
    return 0;
}

int file_object(struct file *file, struct vm_object **out)
{
    struct inode *inode = file->inode;
    if (!inode || !inode_is(inode, S_IFREG))
        return -EACCES;
    if (!file->ops->mmap)
        return -ENODEV;
    *out = &inode->object;
    return 0;
}

uint64_t file_size(struct file *file)
{
    return file->inode ? inode_size(file->inode) : 0;
}

uint32_t file_poll(struct file *file, struct poll_table *table)
{
    if (file->ops->poll)
        return file->ops->poll(file, table);
    return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

/* ---- names for /proc ---- */

long file_path(struct file *file, char *buf, size_t size)
{
    if (file->dentry)
        return dentry_path(file->dentry, NULL, buf, size);
    const char *name = file->ops->name ? file->ops->name : "anon_inode:[file]";
    struct kstat st;
    int len;
    if (strchr(name, ':') || !file->ops->stat || file->ops->stat(file, &st))
        len = snprintf(buf, size, "%s", name);
    else
        len = snprintf(buf, size, "%s:[%llu]", name, (unsigned long long)st.ino);
    return (size_t)len < size ? len : -ENAMETOOLONG;
}

long vfs_object_path(struct vm_object *object, char *buf, size_t size)
{
    struct inode *inode = inode_of_mapping(object);
    if (!inode) { /* Linux's shared anonymous memory is a file without a name, too */
        int len = anon_object_is(object) ? snprintf(buf, size, "/dev/zero (deleted)") : 0;
        return (size_t)len < size ? len : -ENAMETOOLONG;
    }
    struct dentry *dentry = dentry_alias(inode);
    if (!dentry) {
        int len = snprintf(buf, size, "/ (deleted)");
        return (size_t)len < size ? len : -ENAMETOOLONG;
    }
    long len = dentry_path(dentry, NULL, buf, size);
    dentry_put(dentry);
    return len;
}

void vfs_object_id(struct vm_object *object, uint64_t *dev, uint64_t *ino)
{
    struct inode *inode = inode_of_mapping(object);
    *dev = inode ? inode->super->dev : 0;
    *ino = inode ? inode->ino : 0;
}
