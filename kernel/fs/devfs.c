/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devfs.c - character devices, and /dev with one node for each.
 *
 * /dev is an ordinary memory file system that boot fills; a device node anywhere else (mknod, the
 * archive) opens the same devices, by number (Linux's Documentation/admin-guide/devices.txt).
 */
#include "fs/devfs.h"

#include "core/random.h"
#include "fs/console.h"
#include "fs/vfs.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "mm/mman.h"
#include "mm/usercopy.h"

/* ---- null, zero, full ---- */

static long null_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    return 0;
}

static long null_write(struct file *file, struct iov_iter *from, off64_t *pos)
{
    size_t len = from->left;
    iov_iter_advance(from, len);
    return (long)len;
}

static off64_t null_seek(struct file *file, off64_t off, int whence)
{
    file->pos = 0;
    return 0;
}

static long zero_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    long done = 0;
    uintptr_t base;
    size_t len;
    while (iov_iter_piece(to, &base, &len)) {
        int err = 0;
        if (to->kernel)
            memset((void *)base, 0, len);
        else
            err = user_zero(uaddr(base), len);
        if (err)
            return done ? done : err;
        iov_iter_advance(to, len);
        done += (long)len;
    }
    return done;
}

/* A private mapping is anonymous memory: an object without contents. A shared one is an object of
 * its own each time; all of them live until the file is closed. */
static int zero_mmap(struct file *file, unsigned prot, unsigned flags, struct vm_object **object)
{
    struct inode *inode = ramfs_inode(vfs_anon_super, S_IFREG | 0600, 0);
    if (!inode)
        return -ENOMEM;
    inode->object.size = INT64_MAX & ~(uint64_t)(PAGE_SIZE - 1);
    mutex_lock(&file->pos_lock);
    inode->data = file->private_data;
    file->private_data = inode;
    mutex_unlock(&file->pos_lock);
    *object = &inode->object;
    return 0;
}

static void zero_release(struct file *file)
{
    struct inode *inode = file->private_data;
    while (inode) {
        struct inode *next = (struct inode *)(uintptr_t)inode->data;
        inode_put(inode);
        inode = next;
    }
}

static long full_write(struct file *file, struct iov_iter *from, off64_t *pos)
{
    return -ENOSPC;
}

/* ---- random ---- */

static long random_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    uint8_t chunk[256];
    long done = 0;
    while (to->left > 0) {
        size_t len = MIN(to->left, sizeof(chunk));
        random_bytes(chunk, len);
        long n = iov_copy_to(to, chunk, len);
        if (n <= 0)
            return done ? done : n;
        done += n;
    }
    return done;
}

static long random_write(struct file *file, struct iov_iter *from, off64_t *pos)
{
    uint8_t chunk[256];
    long done = 0;
    while (from->left > 0) {
        long n = iov_copy_from(from, chunk, MIN(from->left, sizeof(chunk)));
        if (n <= 0)
            return done ? done : n;
        random_mix(chunk, (size_t)n);
        done += n;
    }
    return done;
}

static long random_ioctl(struct file *file, unsigned cmd, uintptr_t arg)
{
    static const int entropy_bits = 256;
    if (cmd != 0x80045200u) /* RNDGETENTCNT */
        return -EINVAL;
    return copyout(uaddr(arg), &entropy_bits, sizeof(entropy_bits));
}

static const struct file_ops null_ops = {.read = null_read, .write = null_write, .seek = null_seek};
static const struct file_ops zero_ops = {.read = zero_read,
                                         .write = null_write,
                                         .seek = null_seek,
                                         .mmap = zero_mmap,
                                         .release = zero_release};
static const struct file_ops full_ops = {.read = zero_read, .write = full_write, .seek = null_seek};
static const struct file_ops random_ops = {
    .read = random_read, .write = random_write, .seek = null_seek, .ioctl = random_ioctl};

static const struct chardev {
    const char *name;
    uint16_t major, minor;
    uint32_t mode;
    const struct file_ops *ops; /* NULL: open, or the tty */
    int (*open)(struct file *file);
} chardevs[] = {
    {"null", 1, 3, 0666, &null_ops, NULL},
    {"zero", 1, 5, 0666, &zero_ops, NULL},
    {"full", 1, 7, 0666, &full_ops, NULL},
    {"random", 1, 8, 0666, &random_ops, NULL},
    {"urandom", 1, 9, 0666, &random_ops, NULL},
    {"tty", 5, 0, 0666, NULL, NULL},
    {"console", 5, 1, 0600, NULL, NULL},
    {"memory_pressure", 10, 250, 0444, NULL, pressure_open},
};

int chardev_open(uint64_t rdev, struct file *file)
{
    for (size_t i = 0; i < ARRAY_COUNT(chardevs); i++) {
        const struct chardev *dev = &chardevs[i];
        if (rdev != fs_makedev(dev->major, dev->minor))
            continue;
        if (dev->open)
            return dev->open(file);
        if (dev->ops) {
            file->ops = dev->ops;
            return 0;
        }
        if (dev->minor == 0 && !console_has_tty())
            return -ENXIO; /* no controlling terminal */
        tty_open(file, tty_default_stream());
        return 0;
    }
    return -ENXIO;
}

/* ---- /dev ---- */

static int add_link(struct super *super, const char *name, const char *target)
{
    struct inode *inode = ramfs_inode(super, S_IFLNK | 0777, 0);
    if (!inode)
        return -ENOMEM;
    inode->target = (char *)(uintptr_t)target;
    inode->flags |= INODE_STATIC_TARGET;
    inode->object.size = strlen(target);
    int err = vfs_add(super->root, name, strlen(name), inode, NULL);
    inode_put(inode);
    return err;
}

static int add_node(struct super *super, const char *name, uint32_t mode, uint64_t rdev,
                    struct dentry **out)
{
    struct inode *inode = ramfs_inode(super, mode, rdev);
    if (!inode)
        return -ENOMEM;
    int err = vfs_add(super->root, name, strlen(name), inode, out);
    inode_put(inode);
    return err;
}

static int fill(struct super *super)
{
    static const char *const links[][2] = {{"fd", "/proc/self/fd"},
                                           {"stdin", "/proc/self/fd/0"},
                                           {"stdout", "/proc/self/fd/1"},
                                           {"stderr", "/proc/self/fd/2"}};
    int err = 0;
    for (size_t i = 0; i < ARRAY_COUNT(chardevs) && err == 0; i++)
        err = add_node(super, chardevs[i].name, S_IFCHR | chardevs[i].mode,
                       fs_makedev(chardevs[i].major, chardevs[i].minor), NULL);
    for (size_t i = 0; i < ARRAY_COUNT(links) && err == 0; i++)
        err = add_link(super, links[i][0], links[i][1]);
    return err;
}

struct super *devfs_create(const char *source)
{
    struct super *super = ramfs_create("devtmpfs", source, 0755);
    if (super && fill(super)) {
        super_discard(super);
        return NULL;
    }
    return super;
}

int devfs_mount(struct dentry *where)
{
    struct super *dev = devfs_create("dev");
    struct super *shm = ramfs_create("tmpfs", "tmpfs", 01777);
    struct dentry *shm_dir = NULL, *huge_dir = NULL;
    if (!dev || !shm)
        return -ENOMEM; /* boot fails: nothing to give back */
    int err = add_node(dev, "shm", S_IFDIR | 01777, 0, &shm_dir);
    if (err == 0)
        err = add_node(dev, "hugepages", S_IFDIR | 0755, 0, &huge_dir);
    if (err == 0)
        err = super_mount(dev, where);
    if (err == 0)
        err = super_mount(shm, shm_dir);
    if (err == 0)
        err = hugetlbfs_mount(huge_dir);
    dentry_put(shm_dir);
    dentry_put(huge_dir);
    return err;
}
