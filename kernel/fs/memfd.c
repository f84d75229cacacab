/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memfd.c - memfd_create(2): files without a name that can be sealed. They are files of ramfs in
 * every other respect, or (MFD_HUGETLB) of hugetlbfs.
 */
#include "fs/devfs.h"
#include "fs/vfs.h"

#include "lib/format.h"
#include "lib/string.h"
#include "mm/hugetlb.h"
#include "mm/space.h"

#define SEALS_CONTENT (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

static struct super *huge_2m, *huge_1g; /* what fstatfs tells of such files */

int memfd_init(void)
{
    huge_2m = hugetlbfs_create("none", HUGETLB_SHIFT, 0700);
    huge_1g = hugetlbfs_create("none", HUGETLB_SHIFT_1G, 0700);
    return huge_2m && huge_1g ? 0 : -ENOMEM;
}

int memfd_create_file(const char *name, bool sealable, bool exec, unsigned huge_shift,
                      struct file **out)
{
    char text[NAME_MAX + 1];
    int len = snprintf(text, sizeof(text), "memfd:%s", name);
    struct super *super = vfs_anon_super;
    if (len < 0 || (size_t)len >= sizeof(text))
        return -EINVAL;
    if (huge_shift)
        super = huge_shift == HUGETLB_SHIFT      ? huge_2m
                : huge_shift == HUGETLB_SHIFT_1G ? huge_1g
                                                 : NULL;
    if (!super)
        return -ENODEV;
    int err = ramfs_tmpfile(super, text, S_IFREG | (exec ? 0777 : 0666), O_RDWR | O_LARGEFILE, out);
    if (err)
        return err;
    (*out)->inode->flags |= INODE_SEALABLE;
    (*out)->inode->seals = exec ? (sealable ? 0 : F_SEAL_SEAL) : F_SEAL_EXEC;
    return 0;
}

int memfd_get_seals(struct file *file)
{
    if (!file->inode || !(inode_flags(file->inode) & INODE_SEALABLE))
        return -EINVAL;
    return (int)__atomic_load_n(&file->inode->seals, __ATOMIC_RELAXED);
}

static bool mapped_writable(struct vm_object *object)
{
    bool found = false;
    spin_lock(&object->areas_lock);
    list_for_each (node, &object->areas) {
        struct area *area = list_entry(node, struct area, object_link);
        if ((area->flags & AREA_SHARED) && (area->flags & AREA_MAYWRITE))
            found = true;
    }
    spin_unlock(&object->areas_lock);
    return found;
}

int memfd_add_seals(struct file *file, uint32_t seals)
{
    struct inode *inode = file->inode;
    if (!inode || !(inode_flags(inode) & INODE_SEALABLE))
        return -EINVAL;
    if (seals & ~(F_SEAL_SEAL | SEALS_CONTENT | F_SEAL_EXEC))
        return -EINVAL;
    if ((file_flags(file) & O_ACCMODE) == O_RDONLY)
        return -EPERM;
    mutex_lock(&inode->lock);
    int err = 0;
    if (inode->seals & F_SEAL_SEAL)
        err = -EPERM;
    else if ((seals & ~inode->seals & F_SEAL_WRITE) && mapped_writable(&inode->object))
        err = -EBUSY;
    /* As on Linux: a program that stays one does not change either, except by maps there are. */
    if ((seals & F_SEAL_EXEC) && (inode_mode(inode) & 0111))
        seals |= SEALS_CONTENT;
    if (!err)
        __atomic_store_n(&inode->seals, inode->seals | seals, __ATOMIC_RELAXED);
    mutex_unlock(&inode->lock);
    return err;
}
