/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * readdir.c - reading a directory: what the dentry cache has of it, then what its file system
 * lists.
 *
 * Positions: 0 and 1 are "." and "..", then come the cookies of the children that are in the cache,
 * from LIST_BASE on the positions of inode_ops->list.
 */
#include "fs/vfs.h"

#define LIST_BASE ((off64_t)1 << 62)

struct list_emit {
    bool (*emit)(void *arg, const char *name, size_t len, uint64_t ino, unsigned type,
                 off64_t next);
    void *arg;
};

static bool emit_listed(void *arg, const char *name, size_t len, uint64_t ino, unsigned type,
                        off64_t next)
{
    struct list_emit *list = arg;
    return list->emit(list->arg, name, len, ino, type, LIST_BASE + next);
}

static unsigned type_of(const struct inode *inode)
{
    return (inode_mode(inode) & S_IFMT) >> 12; /* DT_* are the file type bits */
}

static bool emit_children(struct dentry *dir, off64_t *pos, const struct list_emit *out)
{
    uint64_t cookie = (uint64_t)*pos;
    struct dentry *prev = NULL, *child;
    bool more = true;
    while (more && (child = dentry_next_child(dir, prev, &cookie)) != NULL) {
        struct inode *inode = child->inode;
        more = out->emit(out->arg, child->name, child->name_len, inode->ino, type_of(inode),
                         (off64_t)cookie + 1);
        if (more)
            *pos = (off64_t)++cookie;
        dentry_put(prev);
        prev = child;
    }
    dentry_put(prev);
    return more;
}

static int emit_all(struct file *file, off64_t *pos, const struct list_emit *out)
{
    struct dentry *dir = file->dentry;
    struct inode *inode = file->inode;
    if (*pos == 0) {
        if (!out->emit(out->arg, ".", 1, inode->ino, 4, 1))
            return 0;
        *pos = 1;
    }
    if (*pos == 1) {
        struct dentry *parent = dentry_parent(dir);
        bool more = out->emit(out->arg, "..", 2, parent->inode->ino, 4, 2);
        dentry_put(parent);
        if (!more)
            return 0;
        *pos = 2;
    }
    if (*pos < LIST_BASE && !emit_children(dir, pos, out))
        return 0;
    if (!inode->ops->list)
        return 0;
    off64_t at = *pos < LIST_BASE ? 0 : *pos - LIST_BASE;
    int err = inode->ops->list(inode, &at, emit_listed, (void *)(uintptr_t)out);
    *pos = LIST_BASE + at;
    return err;
}

static int dir_readdir(struct file *file, off64_t *pos,
                       bool (*emit)(void *arg, const char *name, size_t len, uint64_t ino,
                                    unsigned type, off64_t next),
                       void *arg)
{
    struct list_emit out = {emit, arg};
    if (inode_flags(file->inode) & INODE_DEAD)
        return -ENOENT;
    rwlock_read_lock(&vfs_tree); /* against renames: names stay what they are */
    int err = emit_all(file, pos, &out);
    rwlock_read_unlock(&vfs_tree);
    inode_accessed(file->inode, file_flags(file));
    return err;
}

const struct file_ops dir_file_ops = {
    .seek = file_seek_endless,
    .readdir = dir_readdir,
    .fsync = ramfs_fsync,
};
