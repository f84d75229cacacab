/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfs.h - inodes, names and mounted file systems: the inside of kernel/fs.
 *
 * An inode is a file itself; a dentry is one name of it in one directory. Dentries form the tree
 * that path walks go through; they are cached in a hash by (parent, name), names that are known not
 * to exist (negative dentries) included.
 *
 * In the memory file systems (ramfs, devfs, the fixed part of procfs and sysfs) the dentry tree
 * *is* the directory: a name holds one extra reference to its dentry (DENTRY_PINNED), so the cache
 * never drops it. Other directories answer inode_ops->lookup.
 *
 * Locks, outermost first:
 *   vfs_tree (rwlock, RANK_RENAME)  read: one directory changes or is listed; write: rename, rmdir
 *   inode->lock of a directory (RANK_DIR)   its entries, its attributes
 *   inode->lock of another file (RANK_INODE) writes, truncation, attributes
 *   vfs_dentry_lock (spin, RANK_DENTRY)  hash, child lists, LRU, parent pointers, inode of a dentry
 * inode->mode, uid, gid and nlink are also read without the lock by permission checks: atomic.
 */
#ifndef SELKIE_FS_VFS_H
#define SELKIE_FS_VFS_H

#include "fs/context.h"
#include "fs/fcntl.h"
#include "fs/file.h"
#include "fs/stat.h"
#include "lib/list.h"
#include "mm/object.h"

struct super;
struct pipe;
struct strbuf;

struct inode_ops {
    /* Find a name that the dentry cache does not know. -ENOENT if there is none. dir->lock held.
     * NULL: the cache knows all. */
    int (*lookup)(struct inode *dir, const char *name, size_t len, struct inode **out);
    /* After the cached children: list what lookup finds. *pos counts from 0. */
    int (*list)(struct inode *dir, off64_t *pos,
                bool (*emit)(void *arg, const char *name, size_t len, uint64_t ino, unsigned type,
                             off64_t next),
                void *arg);
    /* Symbolic link text: its length, not more than size. NULL: inode->target. */
    long (*readlink)(struct inode *inode, char *buf, size_t size);
    /* A link that leads to an object rather than to a path (/proc/self/fd/N): give the dentry, or
     * the open file if it has none; with a reference. */
    int (*follow)(struct inode *inode, struct dentry **dentry, struct file **file);
    /* Called for each open; may set file->ops and private_data. */
    int (*open)(struct inode *inode, struct file *file);
    /* Inode is going away. */
    void (*destroy)(struct inode *inode);
    /* Attribute change of the generic kind is refused with -EPERM. */
    bool fixed;
};

struct inode {
    struct refcount refs;
    const struct inode_ops *ops;
    const struct file_ops *file_ops; /* of an open file of this inode */
    struct super *super;
    uint64_t ino;
    uint32_t mode, uid, gid, nlink; /* see the head of the file */
    uint64_t rdev;                  /* devices */
    struct mutex lock;
    uint64_t atime_ns, mtime_ns, ctime_ns, btime_ns; /* atomic */
    struct vm_object object; /* regular files; size also of links and directories */
    /* Regular files of an archive: first bytes come from here (inode->lock to change, object->lock
     * to read in fill). */
    const uint8_t *backing;
    uint64_t backing_len;
    char *target;        /* symbolic link: text, owned unless INODE_STATIC_TARGET */
    struct pipe *pipe;   /* FIFO: while open anywhere; lock */
    struct list aliases; /* dentry.alias_link; vfs_dentry_lock */
    struct list locks;   /* advisory locks; locks.c */
    struct list watches; /* inotify.c */
    struct list xattrs;  /* extended attributes, xattr.c; lock */
    bool locked_ever;    /* atomic: locks may have something */
    uint32_t seals;      /* F_SEAL_*; INODE_SEALABLE */
    uint32_t flags;      /* INODE_* fixed at creation */
    uint64_t key[3];     /* procfs and other generated file systems: what this is */
    const void *data;
};
#define INODE_STATIC_TARGET 1u /* target points into the archive or a constant */
#define INODE_VOLATILE 2u      /* its children are never cached: lookup is asked every time */
#define INODE_SEALABLE 4u
#define INODE_LINKABLE 16u /* O_TMPFILE without O_EXCL: linkat may give it a first name */
#define INODE_DEAD 8u      /* removed directory: nothing can be created in it; dir lock; atomic */

struct dentry {
    uint32_t refs;         /* atomic; 0: on the LRU or being freed */
    uint32_t flags;        /* DENTRY_*; vfs_dentry_lock */
    struct dentry *parent; /* reference; itself for a root */
    struct inode *inode;   /* reference; NULL: negative */
    struct super
        *mounted; /* a file system is mounted here; vfs_dentry_lock, also read atomically */
    struct dentry *hash_next;
    struct list sibling;  /* parent's children */
    struct list children; /* newest first */
    struct list alias_link;
    struct list lru;
    uint64_t cookie; /* position in a listing: ascending within the parent */
    uint32_t hash;
    uint16_t name_len;
    char *name; /* short_name, or kmalloc */
    char short_name[32];
};
#define DENTRY_HASHED 1u
#define DENTRY_PINNED 2u
#define DENTRY_DELETED 4u

/* A size or number of inodes of tmpfs that was given as 0. */
#define SUPER_NO_LIMIT UINT64_MAX
/* What mount(2) was told about a file system, and /proc/mounts tells. */
struct super_options {
    uint64_t size, min_size; /* bytes, 0: not given; min_size: hugetlbfs */
    uint64_t inodes;         /* 0: not given, as many as there is memory for */
    uint32_t mode, uid, gid; /* of the root */
    uint8_t huge_shift;      /* hugetlbfs */
};

/* A file system and its one mount. Life: mount.c. */
struct super {
    struct refcount refs; /* one of each inode, one while it is mounted or in use */
    const char *type;     /* "ramfs" ... as in /proc/mounts */
    const char *source;
    char *own_source; /* kmalloc: what source points to, or NULL */
    struct super_options options;
    struct vm_quota quota; /* of regular files */
    uint64_t magic;
    uint32_t block_size; /* 0: PAGE_SIZE */
    uint8_t huge_shift;  /* regular files have pages of so many bits; 0: ordinary ones */
    bool writable_tree;  /* names may be created and removed */
    bool expiring;       /* MNT_EXPIRE has been asked for, and nobody came by since; atomic */
    bool detached;       /* no longer in the tree; atomic */
    uint32_t flags;      /* MS_RDONLY and the like; atomic */
    uint32_t users;      /* open files, working directories, mappings; atomic */
    uint32_t writers;    /* files open for writing, mappings that could write; atomic */
    uint64_t dev;
    uint64_t next_ino; /* atomic */
    struct dentry *root;
    struct dentry *covered; /* where it is mounted, with a reference; NULL for the root.
                               vfs_dentry_lock */
    unsigned mount_id;
    struct list link; /* vfs_supers, in mount order; vfs_tree */
};

extern struct rwlock vfs_tree;
extern struct spinlock vfs_dentry_lock;
extern struct list vfs_supers;

/* ---- inode.c ---- */
struct inode *inode_alloc(struct super *super, uint32_t mode);
void inode_get(struct inode *inode);
void inode_put(struct inode *inode);
/* The inode whose memory an object is; NULL for what programs map that is no file. */
struct inode *inode_of_mapping(struct vm_object *object);
/* Boot: the first len bytes of a regular file nobody has opened come from memory that stays. */
void inode_set_backing(struct inode *inode, const uint8_t *data, uint64_t len);
void inode_touch(struct inode *inode, bool mtime, bool ctime);
void inode_accessed(struct inode *inode, uint32_t file_flags);
void inode_stat(struct inode *inode, struct kstat *out);
/* Always inline: of two instructions files compiled for size would make a function. */
static inline __attribute__((always_inline)) uint32_t inode_mode(const struct inode *inode)
{
    return __atomic_load_n(&inode->mode, __ATOMIC_RELAXED);
}
static inline bool inode_is(const struct inode *inode, uint32_t type)
{
    return (inode_mode(inode) & S_IFMT) == type;
}
static inline uint64_t inode_size(const struct inode *inode)
{
    /* Acquire: bytes written before the size grew are visible to who sees the size. */
    return __atomic_load_n(&inode->object.size, __ATOMIC_ACQUIRE);
}
static inline uint32_t inode_flags(const struct inode *inode)
{
    return __atomic_load_n(&inode->flags, __ATOMIC_RELAXED);
}
#define MAY_EXEC 1u
#define MAY_WRITE 2u
#define MAY_READ 4u
int must_check inode_permission(const struct fs_cred *cred, struct inode *inode, unsigned want);
bool cred_in_group(const struct fs_cred *cred, uint32_t gid);
/* The owner of something new in dir, as the caller's credentials and dir's set-group-id bit say.
 * Its own set-group-id bit stays only if the caller may have made a file of that group. Nobody else
 * sees the inode yet. */
void inode_set_owner(struct inode *inode, const struct inode *dir);
static inline bool cred_owns(const struct fs_cred *cred, const struct inode *inode)
{
    return cred->fsuid == 0 || cred->fsuid == __atomic_load_n(&inode->uid, __ATOMIC_RELAXED);
}
/* chmod, chown, utimens: what to change. */
#define ATTR_MODE 1u
#define ATTR_UID 2u
#define ATTR_GID 4u
#define ATTR_ATIME 8u
#define ATTR_MTIME 16u
#define ATTR_TIMES_SET 32u /* explicit times: only the owner may */
struct inode_attr {
    uint32_t valid, mode, uid, gid;
    uint64_t atime_ns, mtime_ns;
};
int must_check inode_set_attr(const struct fs_cred *cred, struct inode *inode,
                              const struct inode_attr *attr);
/* May a file not grow to this size? Then the caller gets SIGXFSZ. */
bool inode_size_limited(uint64_t size);
/* The set-user-id and set-group-id bits go when somebody without privilege changes the contents
 * (write(2)). Lock held. */
void inode_drop_set_id_locked(struct inode *inode);
/* Truncate or extend; checks seals and type, not permission. */
int must_check inode_truncate(struct inode *inode, uint64_t size);

/* ---- dentry.c ---- */
void dentry_init_cache(void);
/* A new dentry below parent (takes a reference on it), not hashed. NULL without memory. */
struct dentry *dentry_alloc(struct dentry *parent, const char *name, size_t len);
void dentry_get(struct dentry *dentry);
void dentry_put(struct dentry *dentry); /* NULL allowed; may free inodes: no spinlock held */
/* Cached child with a reference, or NULL if the cache does not know. */
struct dentry *dentry_lookup(struct dentry *parent, const char *name, size_t len);
/* Give the dentry its inode (reference is taken over; NULL: negative) and make it findable. `pin`:
 * the name itself holds a reference, and it is listed. */
void dentry_add(struct dentry *dentry, struct inode *inode, bool pin);
/* As dentry_add without making it findable. */
void dentry_set_inode(struct dentry *dentry, struct inode *inode);
/* Turn a cached negative dentry into a name. */
void dentry_instantiate(struct dentry *dentry, struct inode *inode);
/* Take the name out of the tree; the pin goes with it. */
void dentry_remove(struct dentry *dentry);
/* Move to another parent and name. `spare` holds the new name (dentry_alloc), its storage is
 * swapped. */
void dentry_move(struct dentry *dentry, struct dentry *spare);
void dentry_exchange(struct dentry *a, struct dentry *b);
struct dentry *dentry_alias(struct inode *inode); /* any name of it, with a reference, or NULL */
/* Where dentry stands now: its parent, with a reference; name (NAME_MAX + 1 bytes) and length; is
 * it removed? */
struct dentry *dentry_where(struct dentry *dentry, char *name, size_t *len, bool *removed);
bool dentry_has_children(struct dentry *dentry);                         /* pinned ones */
bool dentry_is_ancestor(struct dentry *ancestor, struct dentry *dentry); /* or the same */
/* Free up to `count` unused cached names. Returns how many. */
size_t dentry_shrink(size_t count);
/* The first pinned child with cookie >= *cookie, with a reference; sets *cookie to its cookie.
 * `prev` (borrowed, may be NULL): where the last call stopped, saves the search. */
struct dentry *dentry_next_child(struct dentry *parent, struct dentry *prev, uint64_t *cookie);
struct dentry *dentry_parent(struct dentry *dentry); /* with a reference */
/* "..", with a reference: out of mounted file systems (several may be mounted on each other), not
 * beyond bound. */
struct dentry *dentry_above(struct dentry *dentry, struct dentry *bound, bool *crossed);
/* Path from `root` (NULL: the global root): length, or -ENAMETOOLONG. " (deleted)" is appended to
 * removed names, "(unreachable)" put before those outside root. */
long must_check dentry_path(struct dentry *dentry, struct dentry *root, char *buf, size_t size);
uint32_t dentry_count(void);

/* ---- path.c ---- */
#define LOOKUP_FOLLOW 1u    /* follow a symbolic link in the last component */
#define LOOKUP_DIRECTORY 2u /* must be a directory */
#define LOOKUP_EMPTY 4u     /* "" means the start itself (AT_EMPTY_PATH) */
#define LOOKUP_PARENT 8u    /* stop before the last component, put it in walk->last */
#define LOOKUP_NO_MAGIC 16u
#define LOOKUP_NO_SYMLINKS 32u /* openat2 RESOLVE_* */
#define LOOKUP_NO_XDEV 64u
#define LOOKUP_BENEATH 128u
#define LOOKUP_IN_ROOT 256u
#define LOOKUP_EXPIRE 1024u  /* umount(2): coming here is no use of the mount (MNT_EXPIRE) */
#define LOOKUP_BOUNDED 2048u /* the path is shorter than PATH_MAX: whoever copied it has looked */
#define LOOKUP_CREATE 512u   /* with PARENT: a trailing slash makes EISDIR later, follow links */

struct path_walk {
    struct fs_context *ctx;
    struct dentry *start; /* where relative paths begin, borrowed; NULL: cwd */
    unsigned flags;       /* LOOKUP_* */
    unsigned links;       /* symbolic links followed so far */
    /* results */
    struct dentry *dentry; /* reference; with LOOKUP_PARENT the directory */
    struct file *file;     /* a magic link led to a file without a dentry: reference */
    const char *last;      /* LOOKUP_PARENT: last component, in the caller's path or in buf */
    size_t last_len;
    bool last_slash; /* it had a trailing slash */
    bool last_dots;  /* it is "." or "..", or the path is "/" (last_len 0) */
    char *buf;       /* the path after links were put in; owned */
};
/* Resolve; path_done afterwards in any case. */
int must_check path_walk(struct path_walk *walk, const char *path);
void path_done(struct path_walk *walk);
/* The existing thing at path, with a reference. */
int must_check path_lookup(struct fs_context *ctx, struct dentry *start, const char *path,
                           unsigned flags, struct dentry **out);
/* One name in a directory; *out may be negative. vfs_tree is held, and dir's lock unless held for
 * writing. */
int must_check path_child_locked(struct dentry *dir, const char *name, size_t len,
                                 struct dentry **out);
/* Root or cwd of a context, with a reference. */
struct dentry *context_root(struct fs_context *ctx);
struct dentry *context_cwd(struct fs_context *ctx);
/* chdir to a directory that was found; checks type and permission. */
int must_check context_set_cwd(struct fs_context *ctx, struct dentry *dir);

/* ---- namei.c: the name operations behind the system calls ---- */
int must_check vfs_open(struct fs_context *ctx, struct dentry *start, const char *path,
                        uint32_t flags, uint32_t mode, unsigned resolve, struct file **out);
/* A program, to be read by the kernel: what is asked for is the right to execute it (-EACCES, also
 * for all that is no regular file). path NULL: `start` itself. */
int must_check vfs_open_exec(struct fs_context *ctx, struct dentry *start, const char *path,
                             struct file **out);
int must_check vfs_make(struct fs_context *ctx, struct dentry *start, const char *path,
                        uint32_t mode, uint64_t rdev); /* mkdir, mknod by type in mode */
/* The same; *out gets the inode with a reference. */
int must_check vfs_make_inode(struct fs_context *ctx, struct dentry *start, const char *path,
                              uint32_t mode, uint64_t rdev, struct inode **out);
int must_check vfs_symlink(struct fs_context *ctx, const char *target, struct dentry *start,
                           const char *path);
int must_check vfs_unlink(struct fs_context *ctx, struct dentry *start, const char *path, bool dir);
int must_check vfs_link(struct fs_context *ctx, struct dentry *old, struct dentry *start,
                        const char *path);
#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE 2u
#define RENAME_WHITEOUT 4u
int must_check vfs_rename(struct fs_context *ctx, struct dentry *old_start, const char *old_path,
                          struct dentry *new_start, const char *new_path, unsigned flags);
long must_check vfs_readlink(struct dentry *dentry, char *buf, size_t size);
/* Make a name in a memory file system without checks: boot, devfs, procfs. *out may be NULL. */
int must_check vfs_add(struct dentry *dir, const char *name, size_t len, struct inode *inode,
                       struct dentry **out);

/* ---- ramfs.c ---- */
struct super *super_create(const char *type, const char *source, uint64_t magic,
                           uint32_t root_mode);
struct super *ramfs_create(const char *type, const char *source, uint32_t root_mode);
/* An inode of the ramfs kind with its operations set by type. */
struct inode *ramfs_inode(struct super *super, uint32_t mode, uint64_t rdev);
int ramfs_mmap(struct file *file, unsigned prot, unsigned flags, struct vm_object **object);
int ramfs_fsync(struct file *file, bool data_only);
extern const struct file_ops dir_file_ops;
extern const struct inode_ops ramfs_inode_ops;
#define FALLOC_FL_KEEP_SIZE 1u
#define FALLOC_FL_PUNCH_HOLE 2u
#define FALLOC_FL_ZERO_RANGE 16u
int must_check ramfs_fallocate(struct inode *inode, unsigned mode, uint64_t off, uint64_t len);
/* A file without a name: memfd and O_TMPFILE. `name` for /proc, NULL: "#ino". */
int must_check ramfs_tmpfile(struct super *super, const char *name, uint32_t mode, uint32_t flags,
                             struct file **out);
#define F_SEAL_SEAL 1u
#define F_SEAL_SHRINK 2u
#define F_SEAL_GROW 4u
#define F_SEAL_WRITE 8u
#define F_SEAL_FUTURE_WRITE 16u
#define F_SEAL_EXEC 32u

/* ---- memfd.c ---- */
int must_check memfd_init(void); /* at boot */
/* huge_shift: 0, or the size of its huge pages as a power of two; -ENODEV: there are no such. */
int must_check memfd_create_file(const char *name, bool sealable, bool exec, unsigned huge_shift,
                                 struct file **out);
int memfd_get_seals(struct file *file);
int must_check memfd_add_seals(struct file *file, uint32_t seals);

/* ---- hugetlbfs.c: files of huge pages ---- */
struct super *hugetlbfs_create(const char *source, unsigned shift, uint32_t root_mode);
int must_check hugetlbfs_mount(struct dentry *where);
/* The same with what `options` says. */
int must_check hugetlbfs_make(const char *source, const struct super_options *options,
                              struct super **out);
void hugetlbfs_inode_setup(struct inode *inode);   /* a fresh regular file */
unsigned hugetlbfs_shift(const struct file *file); /* 0: it is not such a file */
/* It has been mapped for writing up to byte `end`: it is at least as long then. */
int must_check hugetlbfs_mapped(struct file *file, uint64_t end);
int must_check hugetlbfs_fallocate(struct inode *inode, unsigned mode, uint64_t off, uint64_t len);

/* ---- mount.c: the tree of mounts ---- */
#define MS_RDONLY 1u
#define MS_NOSUID 2u
#define MS_NODEV 4u
#define MS_NOEXEC 8u
#define MS_NOSYMFOLLOW 256u
#define MS_NOATIME 1024u
#define MS_NODIRATIME 2048u
#define MS_STRICTATIME (1u << 24)
static inline bool super_has(const struct super *super, uint32_t flag)
{
    return __atomic_load_n(&super->flags, __ATOMIC_RELAXED) & flag;
}
/* At `where` (NULL: it is the root), which must be a directory. */
int must_check super_mount(struct super *super, struct dentry *where);
void super_put(struct super *super); /* the last reference frees it */
/* Never mounted: away with it and all its files. */
void super_discard(struct super *super);
/* Somebody uses an inode of it, as umount(2) sees it: an open file, a working directory, a mapping.
 * The caller has a reference on the inode, also when the use ends. */
void super_use(struct super *super);
void super_unuse(struct super *super);
void super_came_by(struct super *super); /* a path led here */
/* Files open for writing. -EROFS: it may not be written. */
int must_check super_begin_write(struct super *super);
void super_end_write(struct super *super);
/* Would `more` inodes be more than nr_inodes? With 1: what ramfs_inode refused was no lack of
 * memory. */
bool super_full(const struct super *super, unsigned more);
/* The root of what is mounted at the dentry, with a reference, or NULL. */
struct dentry *dentry_mounted_root(struct dentry *dentry);
/* The topmost root at the dentry, or the dentry; its reference goes over into the result's. */
struct dentry *dentry_topmost(struct dentry *dentry);
int must_check vfs_mount(struct fs_context *ctx, const char *source, const char *target,
                         const char *type, uint32_t flags, const char *data);
int must_check vfs_umount(struct fs_context *ctx, const char *target, uint32_t flags);
void mounts_init(void); /* at boot */

/* ---- mountopt.c: types and options ---- */
/* Change `options` by mount(2)'s data. -EINVAL. */
int must_check super_parse(const char *type, const char *data, struct super_options *options);
/* -ENODEV, -EINVAL, -ENOMEM. */
int must_check super_make(const char *type, const char *source, const char *data,
                          struct super **out);
/* What regular files may take; -EINVAL: they have more. */
int must_check super_resize(struct super *super, uint64_t size);
int must_check mounts_show(struct strbuf *sb, bool info); /* /proc/self/mounts; mountinfo */

int must_check vfs_statfs(struct super *super, struct kstatfs *out);
extern struct dentry *vfs_root;      /* the global root, set by fs_init */
extern struct super *vfs_anon_super; /* memfd and other nameless inodes */

/* ---- initrd.c ---- */
int must_check initrd_unpack(const void *data, size_t len, struct dentry *root);

/* ---- devfs.c, pseudo.c, procfs.c, sysfs.c ---- */
int must_check devfs_mount(struct dentry *where);
/* File systems that are not mounted yet; NULL: no memory. */
struct super *devfs_create(const char *source);
struct super *procfs_create(const char *source);
struct super *sysfs_create(const char *source);
extern const struct inode_ops device_inode_ops;

#endif
