/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file.h - open files, and the table of descriptors that names them.
 *
 * A struct file is an open file description: position, flags, operations. It is shared
 * by dup and by threads; the last file_put releases it. Whatever a program can hold as a descriptor
 * (regular file, pipe, eventfd, epoll, tty, socket) is a struct file with its own file_ops.
 */
#ifndef SELKIE_FS_FILE_H
#define SELKIE_FS_FILE_H

#include "core/mutex.h"
#include "lib/errno.h"
#include "lib/refcount.h"
#include "mm/object.h"
#include "sched/wait.h"

struct file;
struct file_async;
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

/* The next contiguous piece (false at the end), and stepping over bytes that were handled there. */
bool iov_iter_piece(const struct iov_iter *it, uintptr_t *base, size_t *len);
void iov_iter_advance(struct iov_iter *it, size_t len);

/* Poll: bits are Linux's POLLIN etc. (equal to EPOLL*). */
#define POLLIN 0x001u
#define POLLPRI 0x002u
#define POLLOUT 0x004u
#define POLLERR 0x008u
#define POLLHUP 0x010u
#define POLLNVAL 0x020u
#define POLLRDNORM 0x040u
#define POLLRDBAND 0x080u
#define POLLWRNORM 0x100u
#define POLLWRBAND 0x200u
#define POLLMSG 0x400u
#define POLLRDHUP 0x2000u
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
    bool nameless; /* a socket: /proc/self/fd/N cannot be opened */
    bool async;    /* O_ASYNC means something; its poll names at most three queues */
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
    struct list epoll_items;  /* epoll interests in this file; epoll's mutex */
    bool writing;             /* one of its super's writers; fixed once it is open */
    bool opened;              /* by a name, for inotify; set before others see the file */
    bool epoll_watched;       /* ever; set by holders of a reference, so the last put sees it */
    struct file_async *async; /* fs/async.h; set once, atomic, release. NULL: no owner, no SIGIO */
};

static inline uint32_t file_flags(const struct file *file)
{
    return __atomic_load_n(&file->flags, __ATOMIC_RELAXED);
}

/* file_ops.seek of files whose end means nothing: from the start or the position, never below 0. */
off64_t file_seek_endless(struct file *file, off64_t off, int whence);
/* A new file with one reference, no inode. NULL without memory. */
struct file *file_alloc(const struct file_ops *ops, uint32_t flags, void *private_data);
/* Free one that nobody has seen yet, without releasing what is behind it; NULL does nothing. */
void file_free(struct file *file);
void file_get(struct file *file);
void file_put(struct file *file);
/* The file of a regular inode, open for writing, becomes one of its file system's writers (else
 * nothing happens). -EROFS. */
int must_check file_begin_write(struct file *file);
/* Kernel-memory convenience (exec, boot): bytes read, short at end of file, negative errno. */
long must_check file_pread(struct file *file, void *buf, size_t len, off64_t off);
long must_check file_write(struct file *file, const void *buf, size_t len); /* at its position */
int must_check file_object(struct file *file,
                           struct vm_object **out); /* what exec maps; -EACCES, -ENODEV */
uint64_t file_size(struct file *file);
uint32_t file_poll(struct file *file, struct poll_table *table);
/* read(2)/write(2) at the file's position (pos NULL) or at *pos: checks the access mode, handles
 * O_APPEND and position locking. Bytes done or a negative errno; a write to a closed pipe is -EPIPE
 * and the system-call border sends SIGPIPE. */
long must_check file_read_iter(struct file *file, struct iov_iter *to, off64_t *pos);
long must_check file_write_iter(struct file *file, struct iov_iter *from, off64_t *pos);
/* fstat(2): every kind of file has an answer. */
int must_check file_stat(struct file *file, struct kstat *out);
/* For /proc/self/maps: the file behind a mapped object. Length of the path, 0 if it is no file, or
 * -errno. The caller keeps the object alive. Takes only spinlocks. */
long must_check vfs_object_path(struct vm_object *object, char *buf, size_t size);
void vfs_object_id(struct vm_object *object, uint64_t *dev, uint64_t *ino);
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
void fdtable_has_threads(struct fdtable *table); /* before a second task that uses it begins */
struct file *fd_get(struct fdtable *table, int fd);
/* Lowest free descriptor >= min gets the file (takes over the caller's reference on success).
 * -EMFILE, -ENOMEM. */
int must_check fd_install(struct fdtable *table, struct file *file, int min, bool cloexec);
/* Take a number before the file exists, so that an open that succeeds has one; fd_fill or
 * fd_unreserve ends it. -EMFILE, -ENOMEM. */
int must_check fd_reserve(struct fdtable *table);
void fd_fill(struct fdtable *table, int fd, struct file *file, bool cloexec);
void fd_unreserve(struct fdtable *table, int fd);
/* dup2/dup3: replace; closes what was there. -EBADF, -ENOMEM, -EBUSY: the number is reserved. */
int must_check fd_install_at(struct fdtable *table, struct file *file, int fd, bool cloexec);
int must_check fd_close(struct fdtable *table, int fd);
int must_check fd_get_cloexec(struct fdtable *table, int fd);
int must_check fd_set_cloexec(struct fdtable *table, int fd, bool cloexec);
void fdtable_close_on_exec(struct fdtable *table);
/* Is there an open fd >= *fd? Sets *fd and the file's flags. Takes no reference, so it can be
 * called where dropping one could not. */
bool fd_peek(struct fdtable *table, int *fd, uint32_t *flags);
/* First open fd >= *fd with a reference; sets *fd; NULL at the end. For /proc and close_range. */
struct file *fd_next(struct fdtable *table, int *fd);

#endif
