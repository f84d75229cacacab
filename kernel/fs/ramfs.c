/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ramfs.c - files in memory: the root, /tmp, /dev/shm and O_TMPFILE (memfd: memfd.c).
 *
 * Names live in the dentry cache alone (vfs.h); contents in the inode's page cache. A
 * file from the boot archive reads its first bytes from there (inode.c), page by page when they
 * are first wanted. There is no limit but memory: a write that gets no page says ENOSPC.
 *
 * Writes hold inode->lock, reads no lock: a reader that runs beside a write sees old or new
 * bytes, and never bytes beyond the size it read. A write that extends the file sets the size
 * first, so such a reader may see zeroes where the new bytes will be.
 */
#include "fs/devfs.h"
#include "fs/pipe.h"
#include "fs/vfs.h"

#include "core/assert.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "mm/space.h"
#include "mm/usercopy.h"
#include "sched/pressure.h"
#include "sched/thread.h"
#include "sched/timer.h"

#define TMPFS_MAGIC 0x01021994

struct super *vfs_anon_super;

/* ---- regular files ---- */

static bool page_backed(const struct inode *inode, uint64_t index)
{
    return (index << PAGE_SHIFT) < __atomic_load_n(&inode->backing_len, __ATOMIC_RELAXED);
}

/* The first page at or after *index that has been written or comes from the archive. A sparse file
 * may have 2^51 pages: they are not looked at one by one. */
static bool next_data(struct inode *inode, uint64_t *index)
{
    if (page_backed(inode, *index))
        return true;
    mutex_lock(&inode->object.lock);
    bool found = vm_object_next_locked(&inode->object, index) != NULL;
    mutex_unlock(&inode->object.lock);
    return found;
}

/* How much of [off, off + len) is a hole: reading it takes no page. */
static size_t hole_length(struct inode *inode, uint64_t off, size_t len)
{
    uint64_t index = off >> PAGE_SHIFT, first = index;
    if (!next_data(inode, &index))
        return len;
    return index == first ? 0 : (size_t)MIN((uint64_t)len, (index << PAGE_SHIFT) - off);
}

/* User memory may end within: what lies in front of that page counts. */
static long zero_piece(const struct iov_iter *to, uintptr_t base, size_t len)
{
    size_t done = 0;
    if (to->kernel)
        memset((void *)base, 0, len);
    if (to->kernel || user_zero(uaddr(base), len) == 0)
        return (long)len;
    while (done < len) {
        size_t n = MIN(len - done, PAGE_SIZE - ((base + done) & (PAGE_SIZE - 1)));
        if (user_zero(uaddr(base + done), n))
            break;
        done += n;
    }
    return done ? (long)done : -EFAULT;
}

/* Kernel memory goes page by page, so that a copy that runs out of memory tells how far it came. */
static long copy_kernel(struct inode *inode, uint64_t off, char *base, size_t len, bool write)
{
    size_t done = 0;
    while (done < len) {
        size_t n = MIN(len - done, PAGE_SIZE - (size_t)((off + done) % PAGE_SIZE));
        int err = write ? vm_object_write(&inode->object, off + done, base + done, n)
                        : vm_object_read(&inode->object, off + done, base + done, n);
        if (err)
            return done ? (long)done : err;
        done += n;
    }
    return (long)done;
}

static long read_piece(struct inode *inode, struct iov_iter *to, uint64_t off, uintptr_t base,
                       size_t len)
{
    size_t hole = hole_length(inode, off, len);
    if (hole > 0)
        return zero_piece(to, base, hole);
    return to->kernel ? copy_kernel(inode, off, (char *)base, len, false)
                      : vm_object_read_user(&inode->object, off, uaddr(base), len);
}

static long ramfs_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    struct inode *inode = file->inode;
    long done = 0;
    uintptr_t base;
    size_t len;
    while (iov_iter_piece(to, &base, &len)) {
        uint64_t size = inode_size(inode), off = (uint64_t)*pos;
        if (off >= size)
            break;
        len = (size_t)MIN((uint64_t)len, size - off);
        long n = read_piece(inode, to, off, base, len);
        /* No program expects ENOMEM here: it waits as a fault does. */
        if (n == -ENOMEM && !thread_interrupted() && memory_wait())
            continue;
        if (n <= 0) {
            /* -EINVAL: cut short by a concurrent truncation: as if it had come before. */
            if (done == 0 && inode_size(inode) > off)
                done = n;
            break;
        }
        iov_iter_advance(to, (size_t)n);
        *pos += n;
        done += n;
    }
    if (done >= 0)
        inode_accessed(inode, file_flags(file));
    return done;
}

static long write_piece(struct inode *inode, struct iov_iter *from, uint64_t off, uintptr_t base,
                        size_t len)
{
    if (!from->kernel)
        return vm_object_write_user(&inode->object, off, uaddr(base), len);
    return copy_kernel(inode, off, (char *)base, len, true);
}

/* No byte beyond what a file offset or RLIMIT_FSIZE allows: a write that begins before the limit
 * stops there, the next one is EFBIG (write(2), setrlimit(2)). */
static int limit_write(struct iov_iter *from, uint64_t off)
{
    uint64_t limit = MIN(proc_file_size_limit(), (uint64_t)INT64_MAX);
    if (off >= limit) {
        if (limit < INT64_MAX)
            proc_file_too_big();
        return -EFBIG;
    }
    from->left = (size_t)MIN((uint64_t)from->left, limit - off);
    return 0;
}

static long write_locked(struct inode *inode, struct iov_iter *from, uint64_t off)
{
    int err = limit_write(from, off);
    if (err)
        return err;
    uint64_t old = inode_size(inode), end = off + from->left;
    if ((inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) ||
        (end > old && (inode->seals & F_SEAL_GROW)))
        return -EPERM;
    err = end > old ? vm_object_resize(&inode->object, end) : 0;
    if (err)
        return err;
    long done = 0;
    uintptr_t base;
    size_t len;
    while (iov_iter_piece(from, &base, &len)) {
        long n = write_piece(inode, from, off + (uint64_t)done, base, len);
        if (n > 0) {
            iov_iter_advance(from, (size_t)n);
            done += n;
        } else if (done == 0) {
            done = n;
        }
        if (n < (long)len)
            break;
    }
    uint64_t reached = done > 0 ? off + (uint64_t)done : 0;
    if (end > old && reached < end) /* give back what was not written */
        err = vm_object_resize(&inode->object, MAX(old, reached));
    if (done > 0) {
        inode_drop_set_id_locked(inode);
        inode_touch(inode, true, true);
    }
    return done ? done : err;
}

static long ramfs_write(struct file *file, struct iov_iter *from, off64_t *pos)
{
    struct inode *inode = file->inode;
    if (from->left == 0)
        return 0; /* before limits and seals are asked, as on Linux (generic_write_checks) */
    mutex_lock(&inode->lock);
    /* A write that fails leaves the position where it was, one that appends too. */
    off64_t at = file_flags(file) & O_APPEND ? (off64_t)inode_size(inode) : *pos;
    long done = write_locked(inode, from, (uint64_t)at);
    mutex_unlock(&inode->lock);
    if (done > 0)
        *pos = at + done;
    return done == -ENOMEM ? -ENOSPC : done;
}

/* lseek(2) SEEK_DATA and SEEK_HOLE, by pages. The end of the file is a hole. */
static off64_t seek_data_hole(struct inode *inode, off64_t off, bool data)
{
    uint64_t size = inode_size(inode);
    if (off < 0 || (uint64_t)off >= size)
        return -ENXIO;
    uint64_t index = (uint64_t)off >> PAGE_SHIFT, last = (size - 1) >> PAGE_SHIFT;
    if (data) {
        if (!next_data(inode, &index) || index > last)
            return -ENXIO;
    } else {
        while (index <= last &&
               (page_backed(inode, index) || vm_object_cached(&inode->object, index)))
            index++;
        if (index > last)
            return (off64_t)size;
    }
    return (off64_t)MAX((uint64_t)off, index << PAGE_SHIFT);
}

static off64_t ramfs_seek(struct file *file, off64_t off, int whence)
{
    struct inode *inode = file->inode;
    off64_t base = 0, target;
    switch (whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = file->pos;
        break;
    case SEEK_END:
        base = (off64_t)inode_size(inode);
        break;
    case SEEK_DATA:
    case SEEK_HOLE:
        target = seek_data_hole(inode, off, whence == SEEK_DATA);
        if (target >= 0)
            file->pos = target;
        return target;
    default:
        return -EINVAL;
    }
    if (add_overflow(base, off, &target))
        return -EOVERFLOW;
    if (target < 0)
        return -EINVAL;
    file->pos = target;
    return target;
}

int ramfs_mmap(struct file *file, unsigned prot, unsigned flags, struct vm_object **object)
{
    unsigned mode = file_flags(file) & O_ACCMODE;
    bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
    if (mode == O_WRONLY)
        return -EACCES;
    if (shared && (prot & PROT_WRITE)) {
        if (mode != O_RDWR)
            return -EACCES;
        if (__atomic_load_n(&file->inode->seals, __ATOMIC_RELAXED) &
            (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
            return -EPERM;
    }
    inode_accessed(file->inode, file_flags(file));
    *object = &file->inode->object;
    return 0;
}

int ramfs_fsync(struct file *file, bool data_only)
{
    return 0; /* memory is where the data lives */
}

static int ramfs_truncate(struct file *file, uint64_t size)
{
    return inode_truncate(file->inode, size);
}

static const struct file_ops ramfs_file_ops = {
    .read = ramfs_read,
    .write = ramfs_write,
    .seek = ramfs_seek,
    .mmap = ramfs_mmap,
    .fsync = ramfs_fsync,
    .truncate = ramfs_truncate,
};

/* ---- fallocate ---- */

/* Not const: in .bss it takes no room in the image. */
static char zero_page[PAGE_SIZE];

static int zero_bytes(struct inode *inode, uint64_t off, uint64_t end)
{
    end = MIN(end, inode_size(inode));
    while (off < end) {
        uint64_t index = off >> PAGE_SHIFT;
        if (!next_data(inode, &index))
            break;
        off = MAX(off, index << PAGE_SHIFT); /* a hole is zero already */
        if (off >= end)
            break;
        uint64_t next = MIN(end, align_down(off, PAGE_SIZE) + PAGE_SIZE);
        int err = vm_object_write(&inode->object, off, zero_page, (size_t)(next - off));
        if (err)
            return err;
        off = next;
    }
    return 0;
}

/* Whole pages go back to the system, unless the archive would fill them again. */
static int punch(struct inode *inode, uint64_t off, uint64_t len)
{
    uint64_t end = MIN(off + len, inode_size(inode));
    uint64_t first = align_up(off, PAGE_SIZE), last = align_down(end, PAGE_SIZE);
    if (off >= end)
        return 0;
    if (inode->backing || first >= last)
        return zero_bytes(inode, off, end);
    int err = zero_bytes(inode, off, first);
    if (err == 0)
        err = vm_object_punch(&inode->object, first, last - first);
    return err ? err : zero_bytes(inode, last, end);
}

static int populate(struct inode *inode, uint64_t off, uint64_t end)
{
    for (uint64_t at = align_down(off, PAGE_SIZE); at < end; at += PAGE_SIZE) {
        struct page *page;
        int err = vm_object_page(&inode->object, at >> PAGE_SHIFT, true, &page);
        if (err)
            return err == -ENOMEM ? -ENOSPC : err;
        page_put(page);
    }
    return 0;
}

static int allocate_locked(struct inode *inode, unsigned mode, uint64_t off, uint64_t end)
{
    uint64_t old = inode_size(inode);
    bool extend = end > old && !(mode & FALLOC_FL_KEEP_SIZE);
    if (extend && (inode->seals & F_SEAL_GROW))
        return -EPERM;
    if (extend && inode_size_limited(end))
        return -EFBIG;
    if (end > old && (end - old) >> PAGE_SHIFT > page_free_count())
        return -ENOSPC;
    int err = extend ? vm_object_resize(&inode->object, end) : 0;
    if (err)
        return err == -ENOMEM ? -ENOSPC : err;
    if (mode & FALLOC_FL_ZERO_RANGE)
        err = punch(inode, off, end - off);
    /* Memory beyond the size is not kept for KEEP_SIZE: nothing could tell. */
    if (err == 0)
        err = populate(inode, off, MIN(end, inode_size(inode)));
    if (err && extend && vm_object_resize(&inode->object, old))
        return -EIO; /* cannot happen: it shrinks */
    return err;
}

rarely int ramfs_fallocate(struct inode *inode, unsigned mode, uint64_t off, uint64_t len)
{
    uint64_t end;
    if (inode->object.huge_shift)
        return hugetlbfs_fallocate(inode, mode, off, len);
    if (!inode_is(inode, S_IFREG) || inode->ops != &ramfs_inode_ops)
        return inode_is(inode, S_IFIFO) ? -ESPIPE : -ENODEV;
    if (add_overflow(off, len, &end) || end > INT64_MAX)
        return -EFBIG;
    mutex_lock(&inode->lock);
    int err;
    if (mode & FALLOC_FL_PUNCH_HOLE)
        err =
            (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) ? -EPERM : punch(inode, off, len);
    else
        err = allocate_locked(inode, mode, off, end);
    if (err == 0) {
        inode_drop_set_id_locked(inode);
        inode_touch(inode, true, true);
    }
    mutex_unlock(&inode->lock);
    return err;
}

/* ---- inodes and mounts ---- */

static int ramfs_open(struct inode *inode, struct file *file)
{
    switch (inode_mode(inode) & S_IFMT) {
    case S_IFCHR:
        return chardev_open(inode->rdev, file);
    case S_IFIFO:
        return fifo_open(inode, file);
    case S_IFBLK:
        return -ENXIO;
    default:
        return 0;
    }
}

const struct inode_ops ramfs_inode_ops = {.open = ramfs_open};

struct inode *ramfs_inode(struct super *super, uint32_t mode, uint64_t rdev)
{
    struct inode *inode = inode_alloc(super, mode);
    if (!inode)
        return NULL;
    inode->ops = &ramfs_inode_ops;
    if (super_full(super, 0)) { /* counted already: so many at most, whoever else makes some */
        inode_put(inode);
        return NULL;
    }
    switch (mode & S_IFMT) {
    case S_IFREG:
        inode->file_ops = &ramfs_file_ops;
        inode->object.quota = super->quota.max ? &super->quota : NULL;
        if (super->huge_shift)
            hugetlbfs_inode_setup(inode);
        break;
    case S_IFDIR:
        inode->file_ops = &dir_file_ops;
        inode->object.size = PAGE_SIZE; /* what ls shows for a small directory elsewhere */
        break;
    case S_IFCHR:
    case S_IFBLK:
        inode->rdev = rdev;
        break;
    default:
        break;
    }
    return inode;
}

struct super *super_create(const char *type, const char *source, uint64_t magic, uint32_t root_mode)
{
    static uint32_t last_minor; /* atomic */
    struct super *super = kzalloc(sizeof(*super));
    if (!super)
        return NULL;
    ref_init(&super->refs);
    super->type = type;
    super->source = source;
    super->magic = magic;
    super->dev = fs_makedev(0, __atomic_add_fetch(&last_minor, 1, __ATOMIC_RELAXED));
    list_init(&super->link);
    struct inode *inode = ramfs_inode(super, S_IFDIR | root_mode, 0);
    super->root = inode ? dentry_alloc(NULL, "", 0) : NULL;
    if (!super->root) {
        inode_put(inode);
        kfree(super);
        return NULL;
    }
    dentry_set_inode(super->root, inode);
    return super;
}

struct super *ramfs_create(const char *type, const char *source, uint32_t root_mode)
{
    struct super *super = super_create(type, source, TMPFS_MAGIC, root_mode);
    if (super)
        super->writable_tree = true;
    return super;
}

int vfs_statfs(struct super *super, struct kstatfs *out)
{
    *out = (struct kstatfs){.type = super->magic,
                            .bsize = super->block_size ? super->block_size : PAGE_SIZE,
                            .fsid = super->dev,
                            .namelen = NAME_MAX};
    /* ST_RDONLY to ST_NOEXEC and ST_NOATIME have the values of MS_; ST_VALID, ST_RELATIME. */
    uint32_t flags = __atomic_load_n(&super->flags, __ATOMIC_RELAXED);
    out->flags =
        0x20 |
        (flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME));
    if (!(flags & (MS_NOATIME | MS_STRICTATIME)))
        out->flags |= 0x1000;
    uint64_t max = __atomic_load_n(&super->quota.max, __ATOMIC_RELAXED);
    if (max && (max != SUPER_NO_LIMIT || super->magic == TMPFS_MAGIC)) {
        uint64_t used = __atomic_load_n(&super->quota.used, __ATOMIC_RELAXED);
        uint64_t inodes = super->options.inodes ? super->options.inodes : page_total_count();
        out->blocks = max == SUPER_NO_LIMIT ? 0 : max; /* 0: as many as there is memory for */
        out->bfree = out->bavail = out->blocks > used ? out->blocks - used : 0;
        out->files = inodes == SUPER_NO_LIMIT ? 0 : inodes;
        out->ffree = out->files - MIN(out->files, (uint64_t)ref_read(&super->refs) - 1);
    } else if (super->magic == TMPFS_MAGIC) {
        out->blocks = page_total_count();
        out->bfree = out->bavail = page_free_count();
        out->files = out->blocks;
        out->ffree = out->bfree;
    }
    return 0;
}

/* ---- files without a name ---- */

int ramfs_tmpfile(struct super *super, const char *name, uint32_t mode, uint32_t flags,
                  struct file **out)
{
    char text[24];
    struct inode *inode = ramfs_inode(super, mode, 0);
    if (!inode)
        return super_full(super, 1) ? -ENOSPC : -ENOMEM;
    inode->nlink = 0;
    if (!name && !(flags & O_EXCL))
        inode->flags |= INODE_LINKABLE;
    if (!name) {
        snprintf(text, sizeof(text), "#%llu", (unsigned long long)inode->ino);
        name = text;
    }
    struct dentry *dentry = dentry_alloc(NULL, name, strlen(name));
    if (!dentry) {
        inode_put(inode);
        return -ENOMEM;
    }
    dentry->flags |= DENTRY_DELETED;
    dentry_set_inode(dentry, inode);
    uint32_t kept = flags & ~(uint32_t)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    struct file *file = file_alloc(inode->file_ops, kept, NULL);
    if (!file) {
        dentry_put(dentry);
        return -ENOMEM;
    }
    inode_get(inode);
    file->inode = inode;
    file->dentry = dentry;
    super_use(super);
    int err = file_begin_write(file);
    if (err)
        file_put(file);
    else
        *out = file;
    return err;
}
