/* SPDX-License-Identifier: BSD-3-Clause */
/* inotify.h - tell programs what happens to files (inotify(7)), and the hooks that say it. */
#ifndef SELKIE_FS_INOTIFY_H
#define SELKIE_FS_INOTIFY_H

#include "fs/vfs.h"

#define IN_ACCESS 0x001u
#define IN_MODIFY 0x002u
#define IN_ATTRIB 0x004u
#define IN_CLOSE_WRITE 0x008u
#define IN_CLOSE_NOWRITE 0x010u
#define IN_OPEN 0x020u
#define IN_MOVED_FROM 0x040u
#define IN_MOVED_TO 0x080u
#define IN_CREATE 0x100u
#define IN_DELETE 0x200u
#define IN_DELETE_SELF 0x400u
#define IN_MOVE_SELF 0x800u
#define IN_ALL_EVENTS 0xfffu
#define IN_Q_OVERFLOW 0x4000u
#define IN_IGNORED 0x8000u
#define IN_ONLYDIR 0x01000000u
#define IN_DONT_FOLLOW 0x02000000u
#define IN_EXCL_UNLINK 0x04000000u
#define IN_MASK_CREATE 0x10000000u
#define IN_MASK_ADD 0x20000000u
#define IN_ISDIR 0x40000000u
#define IN_ONESHOT 0x80000000u

#define INOTIFY_WATCHES_MAX 65536u /* /proc/sys/fs/inotify */
#define INOTIFY_QUEUE_MAX 16384u

void inotify_init(void);
int must_check inotify_create(uint32_t flags, struct file **out); /* flags: O_NONBLOCK */
bool file_is_inotify(const struct file *file);
/* Watch inode, or change the watch that is there: the watch's number, -EEXIST, -ENOSPC, -ENOMEM. */
int must_check inotify_add(struct file *file, struct inode *inode, uint32_t mask);
int must_check inotify_remove(struct file *file, int wd); /* -EINVAL */

/*
 * Hooks: thread context; any lock of fs but the last may be held. They cost one load while nothing
 * is watched.
 */
extern uint32_t inotify_watches; /* atomic */
static inline bool inotify_used(void)
{
    return __atomic_load_n(&inotify_watches, __ATOMIC_RELAXED) != 0;
}
/* Something happened to the file behind a name: its watches hear it, and with the name those of its
 * directory. */
void inotify_report(struct dentry *dentry, uint32_t event);
/* The same to the file's own watches only. */
void inotify_report_inode(struct inode *inode, uint32_t event);
/* A name came to or went from a directory. */
void inotify_report_name(struct inode *dir, uint32_t event, uint32_t cookie, const char *name,
                         size_t len, bool is_dir);
uint32_t inotify_cookie(void); /* joins the two halves of a move */
/* The last name and the last user of a name of the file are gone. */
void inotify_inode_gone(struct inode *inode);

static inline void inotify_file(struct file *file, uint32_t event)
{
    if (inotify_used() && file->dentry && !(file_flags(file) & O_PATH))
        inotify_report(file->dentry, event);
}

#endif
