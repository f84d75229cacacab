/* SPDX-License-Identifier: BSD-3-Clause */
/* procfs.h - shared by the two halves of procfs. */
#ifndef SELKIE_FS_PROCFS_H
#define SELKIE_FS_PROCFS_H

#include "fs/pseudo.h"

/* inode->key of everything below /proc/<pid> */
enum { KEY_PID, KEY_TID, KEY_FD };

/* procfs_pid.c: the directory of a process (tid 0) or thread; NULL without memory. */
struct inode *procfs_task_dir(struct super *super, int pid, int tid);
/* A number as a file name: > 0, or 0 if it is none. */
int procfs_number(const char *name, size_t len, int max);
/* pressure.c */
extern const struct file_ops procfs_pressure_ops;
/* procfs.c */
int procfs_show_mounts(struct inode *inode, struct strbuf *sb);
int procfs_show_mountinfo(struct inode *inode, struct strbuf *sb);

#endif
