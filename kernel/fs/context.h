/* SPDX-License-Identifier: BSD-3-Clause */
/* context.h - what path resolution needs to know about the caller: root, working directory, umask,
 * identity. */
#ifndef SELKIE_FS_CONTEXT_H
#define SELKIE_FS_CONTEXT_H

#include "fs/file.h"
#include "lib/string.h"

#define PATH_MAX 4096 /* with the NUL, as Linux */
#define NAME_MAX 255

/* Never changed while anybody can see it (proc/cred.c). */
struct fs_cred {
    struct refcount refs;
    uint32_t uid, euid, suid, fsuid, gid, egid, sgid, fsgid;
    uint32_t groups[32];
    unsigned group_count;
};
/* All but the count, which others may be changing. */
static inline void fs_cred_copy(struct fs_cred *to, const struct fs_cred *from)
{
    const size_t start = offsetof(struct fs_cred, uid);
    memcpy((char *)to + start, (const char *)from + start, sizeof(*to) - start);
}
struct fs_context {
    struct refcount refs;
    struct spinlock lock; /* RANK_PROCESS guards cwd, root */
    struct dentry *root, *cwd;
    uint32_t umask;
};
/* The calling task's ids, for the length of this system call; root's in a kernel thread
 * (implemented in proc/cred.c). */
const struct fs_cred *proc_cred(void);
/* At the root of the mounted tree. */
struct fs_context *fs_context_create(void);
struct fs_context *fs_context_clone(struct fs_context *ctx);
void fs_context_get(struct fs_context *ctx);
void fs_context_put(struct fs_context *ctx);
int must_check fs_context_chdir(struct fs_context *ctx, const char *path);
int must_check fs_context_chroot(struct fs_context *ctx, const char *path);

/* Boot: build the root file system from the initrd (cpio newc; NULL: empty), mount /dev, /proc,
 * /tmp as directories in it. Returns a negative errno with the reason logged when the archive is
 * bad. */
int must_check fs_init(const void *initrd, size_t len);
/* Descriptors 0, 1, 2 for the first process: the console tty or host streams, by hal_console_info.
 */
int must_check fs_open_stdio(struct fdtable *table);

/* Open by kernel path. flags as fs/fcntl.h. */
int must_check fs_open(struct fs_context *ctx, const char *path, uint32_t flags, uint32_t mode,
                       struct file **out);

/* procfs asks the process layer through these (implemented in proc/procinfo.c): text into sb.
 * -ESRCH if pid is gone. */
struct strbuf;
enum proc_text {
    PROC_MAPS,
    PROC_SMAPS,
    PROC_STATUS,
    PROC_STAT,
    PROC_STATM,
    PROC_CMDLINE,
    PROC_COMM,
    PROC_ENVIRON,
    PROC_LIMITS,
    PROC_AUXV,
    PROC_IO,
    PROC_CGROUP,
    PROC_WCHAN,
    PROC_OOM_SCORE_ADJ,
};
int must_check proc_text(int pid, int tid, enum proc_text what, struct strbuf *sb);
int proc_current_pid(void);
int proc_current_tid(void);
/* Next existing pid (tid of pid) >= start, or 0. */
int proc_next_pid(int start);
int proc_next_tid(int pid, int start);
/* Executable, root, cwd as paths; fd table with a reference. */
int must_check proc_exe_path(int pid, char *buf, size_t size);
struct fdtable *proc_fdtable(int pid);
struct fs_context *proc_fs_context(int pid);
int must_check proc_set_comm(int pid, int tid, const char *name);
void proc_loadavg(struct strbuf *sb);
void proc_hostname(struct strbuf *sb); /* uname's nodename, no newline */
/* RLIMIT_FSIZE of the caller, in bytes; and SIGXFSZ for who wants more (linux/sys_file.c). */
uint64_t proc_file_size_limit(void);
void proc_file_too_big(void);
/* A write was cut short because its reader has gone: SIGPIPE to the caller, who gets the count.
 * Up-link as the one before. */
void proc_broken_pipe(void);
/* The caller's process is at its end, or it has none: nobody waits for what is done. */
bool proc_exiting(void);
/* Console signals: send signo to the foreground process group (tty). */
void proc_tty_signal(int pgrp, int signo);
/* Is there a process in this process group? */
bool proc_group_lives(int pgrp);

#endif
