/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file.h - open files, and the table of descriptors that names them.
 *
 * A struct file is an open file description: position, flags, operations. It is shared
 * by dup and by threads; the last file_put releases it. Whatever a program can hold as a descriptor
 * (regular file, pipe, eventfd, epoll, tty, later a socket) is a struct file with its own file_ops.
 */
#ifndef SELKIE_FS_FILE_H
#define SELKIE_FS_FILE_H

#include "core/mutex.h"
#include "lib/errno.h"
#include "lib/refcount.h"
#include "mm/object.h"
#include "sched/wait.h"

struct file;
struct inode;
struct dentry;
struct kstat; /* fs/stat.h: architecture-neutral */

/* A scatter list: user memory (the normal case) or kernel memory (exec, sendfile, tests). */
struct iov {
    uintptr_t base;
    size_t len;
};
struct iov_iter {
    const struct iov *iov; /* kernel copy */
    size_t count;          /* entries left */
    size_t offset;         /* into iov[0] */
    size_t left;           /* bytes left */
    bool kernel;           /* bases are kernel addresses */
};
void iov_iter_init_user(struct iov_iter *it, struct iov *one, uaddr_t base, size_t len);
void iov_iter_init_kernel(struct iov_iter *it, struct iov *one, void *base, size_t len);
/* Copy up to len bytes and advance: bytes done, or -EFAULT if none. */
long must_check iov_copy_to(struct iov_iter *it, const void *src, size_t len);
long must_check iov_copy_from(struct iov_iter *it, void *dst, size_t len);

/* Poll: bits are Linux's POLLIN etc. (equal to EPOLL*). */
struct poll_table {
    /* Called by file_ops->poll for each queue that may announce a change; NULL: only ask the state.
     */
    void (*add)(struct poll_table *table, struct waitq *queue);
};

struct file_ops {
    const char
        *name; /* for /proc/self/fd: "pipe", "anon_inode:[eventfd]"; NULL for files with a path */
    long (*read)(struct file *file, struct iov_iter *to, off64_t *pos);
    long (*write)(struct file *file, struct iov_iter *from, off64_t *pos);
    off64_t (*seek)(struct file *file, off64_t off, int whence); /* NULL: ESPIPE */
    uint32_t (*poll)(struct file *file,
                     struct poll_table *table); /* NULL: always readable and writable */
    long (*ioctl)(struct file *file, unsigned cmd, uintptr_t arg); /* NULL: ENOTTY */
    /* Fill entries through emit until it returns false; *pos is an opaque cookie. */
    int (*readdir)(struct file *file, off64_t *pos,
                   bool (*emit)(void *arg, const char *name, size_t len, uint64_t ino,
                                unsigned type, off64_t next),
                   void *arg);
    /* The object to map, with no extra reference; may refuse with -ENODEV/-EACCES. */
    int (*mmap)(struct file *file, unsigned prot, unsigned flags, struct vm_object **object);
    int (*fsync)(struct file *file, bool data_only);
    int (*truncate)(struct file *file, uint64_t size);
    int (*stat)(struct file *file, struct kstat *out); /* NULL: the inode's */
    void (*release)(struct file *file);                /* last reference gone */
};
struct file {
    struct refcount refs;
    uint32_t flags; /* O_* in the kernel's (generic) values, fs/fcntl.h; O_APPEND, O_NONBLOCK may
                       change: atomic */
    const struct file_ops *ops;
    struct inode *inode;   /* reference, or NULL (anonymous kinds) */
    struct dentry *dentry; /* reference, or NULL */
    struct mutex pos_lock; /* guards pos */
    off64_t pos;
    void *private_data;
};

/* A new file with one reference, no inode. NULL without memory. */
struct file *file_alloc(const struct file_ops *ops, uint32_t flags, void *private_data);
void file_get(struct file *file);
void file_put(struct file *file);
/* Kernel-memory convenience (exec, boot): bytes read, short at end of file, negative errno. */
long must_check file_pread(struct file *file, void *buf, size_t len, off64_t off);
long must_check file_write(struct file *file, const void *buf, size_t len); /* at its position */
int must_check file_object(struct file *file,
                           struct vm_object **out); /* what exec maps; -EACCES, -ENODEV */
uint64_t file_size(struct file *file);
uint32_t file_poll(struct file *file, struct poll_table *table);
/* Path of an open file for /proc and AT_EXECFN: length or -errno. */
long must_check file_path(struct file *file, char *buf, size_t size);

/* Descriptor tables. Shared by all threads of a process; counted. */
#define FD_MAX_DEFAULT 1024
#define FD_MAX_HARD 1048576
struct fdtable;
struct fdtable *fdtable_create(void);
struct fdtable *fdtable_clone(struct fdtable *table); /* fork, unshare: files shared */
void fdtable_get(struct fdtable *table);
void fdtable_put(struct fdtable *table);                       /* last one closes all */
void fdtable_set_limit(struct fdtable *table, uint64_t limit); /* RLIMIT_NOFILE */
/* The file behind fd with a reference, or NULL (EBADF). */
struct file *fd_get(struct fdtable *table, int fd);
/* Lowest free descriptor >= min gets the file (takes over the caller's reference on success).
 * -EMFILE, -ENOMEM. */
int must_check fd_install(struct fdtable *table, struct file *file, int min, bool cloexec);
/* dup2/dup3: replace; closes what was there. */
int must_check fd_install_at(struct fdtable *table, struct file *file, int fd, bool cloexec);
int must_check fd_close(struct fdtable *table, int fd);
int must_check fd_get_cloexec(struct fdtable *table, int fd);
int must_check fd_set_cloexec(struct fdtable *table, int fd, bool cloexec);
void fdtable_close_on_exec(struct fdtable *table);
/* First open fd >= *fd with a reference; sets *fd; NULL at the end. For /proc and close_range. */
struct file *fd_next(struct fdtable *table, int *fd);

#endif
