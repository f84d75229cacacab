/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pseudo.h - files whose text is made when they are read (procfs, sysfs).
 *
 * The text is made whole at the first read, or at a read from position 0, and kept in the open
 * file, so a reader in small steps sees one consistent text.
 */
#ifndef SELKIE_FS_PSEUDO_H
#define SELKIE_FS_PSEUDO_H

#include "fs/vfs.h"
#include "lib/format.h"

struct pseudo_item {
    const char
        *path;     /* below the mount point, "sys/kernel/ostype"; directories come by themselves */
    uint32_t mode; /* S_IFREG | 0444, S_IFLNK | 0777 with `text` as target */
    int (*show)(struct inode *inode, struct strbuf *sb);       /* NULL: text */
    int (*store)(struct inode *inode, char *text, size_t len); /* NULL: writes are EACCES/EIO */
    const char *text;
    const struct file_ops *ops; /* of a file that is not a generated text; NULL otherwise */
};
/* Make the fixed tree of a generated file system. */
int must_check pseudo_add(struct super *super, const struct pseudo_item *items, size_t count);
/* The same below the directory `dir` (a path of at most 80 bytes); the inodes get the key, by which
 * show tells several directories with the same files apart. */
int must_check pseudo_add_below(struct super *super, const char *dir,
                                const struct pseudo_item *items, size_t count, uint64_t key);
/* One inode outside the fixed tree. */
struct inode *pseudo_inode(struct super *super, const struct pseudo_item *item);
extern const struct inode_ops pseudo_inode_ops;

#endif
