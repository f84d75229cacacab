/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugetlbfs.c - files of huge pages: /dev/hugepages, and what memfd_create makes with MFD_HUGETLB.
 *
 * Names, directories, owners and everything but the contents are ramfs's; each regular file of such
 * a file system (super->huge_shift) is one of huge pages, as Linux's fs/hugetlbfs/inode.c has it:
 * mapped and read, but not written; its size is a multiple of its pages, except where
 * fallocate says otherwise; a writable mapping makes it as long as it reaches. Its contents:
 * mm/hugeobj.c. Without size= there is no limit but the pool, and statfs tells of no blocks.
 */
#include "fs/vfs.h"

#include "mm/hugetlb.h"
#include "mm/space.h"
#include "sched/thread.h"

#define HUGETLBFS_MAGIC 0x958458f6

/* Up to the end of the huge page; a hole is zeroes and stays one. */
static long huge_read_piece(struct inode *inode, struct iov_iter *to, uint64_t off, size_t len)
{
    static char zeroes[PAGE_SIZE]; /* not const: in .bss it takes no room in the image */
    uint64_t unit = 1ull << inode->object.huge_shift, at = off & (unit - 1);
    struct page *page;
    int err = hugeobj_page(&inode->object, off / unit, false, &page);
    if (err)
        return err == -ENXIO ? 0 : err; /* cut off meanwhile */
    len = (size_t)MIN((uint64_t)len, unit - at);
    if (!page)
        return iov_copy_to(to, zeroes, MIN(len, sizeof(zeroes)));
    long n = iov_copy_to(to, (char *)page_virt(page) + at, len);
    page_put(page);
    return n;
}

static long huge_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    struct inode *inode = file->inode;
    long done = 0;
    while (to->left > 0 && !thread_interrupted()) {
        uint64_t size = inode_size(inode), off = (uint64_t)*pos;
        if (off >= size)
            break;
        long n = huge_read_piece(inode, to, off, (size_t)MIN((uint64_t)to->left, size - off));
        if (n <= 0)
            return done ? done : n;
        *pos += n;
        done += n;
    }
    if (done == 0 && to->left > 0 && (uint64_t)*pos < inode_size(inode))
        return -EINTR;
    inode_accessed(inode, file_flags(file));
    return done;
}

static off64_t huge_seek(struct file *file, off64_t off, int whence)
{
    off64_t size = (off64_t)inode_size(file->inode), target;
    if (whence == SEEK_DATA || whence == SEEK_HOLE) { /* default_llseek: all of it is data */
        if (off < 0 || off >= size)
            return -ENXIO;
        target = whence == SEEK_DATA ? off : size;
    } else if (whence == SEEK_SET || whence == SEEK_CUR || whence == SEEK_END) {
        off64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file->pos : size;
        if (add_overflow(base, off, &target))
            return -EOVERFLOW;
    } else {
        return -EINVAL;
    }
    if (target < 0)
        return -EINVAL;
    file->pos = target;
    return target;
}

static int huge_truncate(struct file *file, uint64_t size)
{
    return inode_truncate(file->inode, size);
}

static const struct file_ops huge_file_ops = {
    .read = huge_read,
    .seek = huge_seek,
    .mmap = ramfs_mmap,
    .fsync = ramfs_fsync,
    .truncate = huge_truncate,
};

unsigned hugetlbfs_shift(const struct file *file)
{
    return file->ops == &huge_file_ops ? file->inode->object.huge_shift : 0;
}

int hugetlbfs_mapped(struct file *file, uint64_t end)
{
    struct inode *inode = file->inode;
    int err = 0;
    mutex_lock(&inode->lock);
    if (end > inode_size(inode))
        err = vm_object_resize(&inode->object, end);
    mutex_unlock(&inode->lock);
    return err;
}

static int huge_allocate_locked(struct inode *inode, uint64_t off, uint64_t end, bool keep_size)
{
    unsigned shift = inode->object.huge_shift;
    uint64_t old = inode_size(inode);
    if (end > old && inode_size_limited(end))
        return -EFBIG;
    if (end > old && (inode->seals & F_SEAL_GROW))
        return -EPERM;
    /* The pages first, then the size: what is beyond it cannot be seen. */
    for (uint64_t i = off >> shift; i <= (end - 1) >> shift; i++) {
        int err = thread_interrupted() ? -EINTR : hugeobj_allocate(&inode->object, i);
        if (err)
            return err == -EIO ? -ENOSPC : err;
    }
    return end > old && !keep_size ? vm_object_resize(&inode->object, end) : 0;
}

int hugetlbfs_fallocate(struct inode *inode, unsigned mode, uint64_t off, uint64_t len)
{
    uint64_t end;
    int err;
    if (mode & FALLOC_FL_ZERO_RANGE)
        return -EOPNOTSUPP;
    if (add_overflow(off, len, &end) || end > INT64_MAX)
        return -EFBIG;
    mutex_lock(&inode->lock);
    if (!(mode & FALLOC_FL_PUNCH_HOLE))
        err = huge_allocate_locked(inode, off, end, mode & FALLOC_FL_KEEP_SIZE);
    else if (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        err = -EPERM;
    else
        err = vm_object_punch(&inode->object, off, len);
    if (!err)
        inode_touch(inode, true, true);
    mutex_unlock(&inode->lock);
    return err;
}

/* ---- the file system ---- */

void hugetlbfs_inode_setup(struct inode *inode)
{
    hugeobj_init(&inode->object, inode->super->huge_shift);
    inode->file_ops = &huge_file_ops;
    inode->flags |= INODE_SEALABLE; /* as Linux's, which says: not any more */
    inode->seals = F_SEAL_SEAL;
}

struct super *hugetlbfs_create(const char *source, unsigned shift, uint32_t root_mode)
{
    struct super *super = super_create("hugetlbfs", source, HUGETLBFS_MAGIC, root_mode);
    if (!super)
        return NULL;
    super->huge_shift = (uint8_t)shift;
    super->block_size = 1u << shift;
    return super;
}

int hugetlbfs_make(const char *source, const struct super_options *o, struct super **out)
{
    unsigned shift = o->huge_shift;
    struct super *super = hugetlbfs_create(source, shift, o->mode);
    if (!super)
        return -ENOMEM;
    super->writable_tree = true;
    super->quota.max = o->size ? o->size >> shift : UINT64_MAX;
    int err = super->quota.max && (!o->size || o->min_size <= o->size) ? 0 : -EINVAL;
    if (!err && o->min_size)
        err = shift == HUGETLB_SHIFT ? hugetlb_quota_begin(&super->quota, o->min_size >> shift)
                                     : -ENOMEM;
    if (err)
        super_discard(super);
    else
        *out = super;
    return err;
}

int hugetlbfs_mount(struct dentry *where)
{
    struct super *super;
    struct super_options options = {.mode = 0755, .huge_shift = HUGETLB_SHIFT};
    int err = hugetlbfs_make("hugetlbfs", &options, &super);
    if (err)
        return err;
    super->options = options;
    return super_mount(super, where);
}
