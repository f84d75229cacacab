/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * procfs_pid.c - /proc/<pid> and /proc/<pid>/task/<tid>: texts come from the process layer
 * (proc_text), links from its descriptor table and file-system context.
 *
 * Nothing here is cached: every lookup makes an inode that remembers the numbers (key) only, so an
 * inode of a process that has ended answers ESRCH or ENOENT.
 */
#include "fs/procfs.h"

#include "lib/string.h"
#include "mm/kmalloc.h"

typedef bool (*emit_fn)(void *arg, const char *name, size_t len, uint64_t ino, unsigned type,
                        off64_t next);

static int pid_of(const struct inode *inode)
{
    return (int)inode->key[KEY_PID];
}

static int tid_of(const struct inode *inode)
{
    return (int)inode->key[KEY_TID];
}

/* Stable numbers, so that two looks at the same file see the same st_ino. */
static uint64_t make_ino(const struct inode *inode, unsigned item)
{
    uint64_t id = tid_of(inode) ? (uint64_t)tid_of(inode) | 1ull << 40 : (uint64_t)pid_of(inode);
    return id << 16 | item;
}

static struct inode *derive(struct inode *parent, uint32_t mode, const struct inode_ops *ops,
                            uint64_t ino)
{
    struct inode *inode = inode_alloc(parent->super, mode);
    if (!inode)
        return NULL;
    inode->key[KEY_PID] = parent->key[KEY_PID];
    inode->key[KEY_TID] = parent->key[KEY_TID];
    inode->ops = ops;
    inode->ino = ino;
    if ((mode & S_IFMT) == S_IFDIR) {
        inode->file_ops = &dir_file_ops;
        inode->flags |= INODE_VOLATILE;
    }
    return inode;
}

static long give(const char *text, size_t len, char *buf, size_t size)
{
    size_t n = MIN(len, size);
    memcpy(buf, text, n);
    return (long)n;
}

/* ---- exe, cwd, root ---- */

static long exe_readlink(struct inode *inode, char *buf, size_t size)
{
    char path[512];
    int err = proc_exe_path(pid_of(inode), path, sizeof(path));
    return err < 0 ? err : give(path, strlen(path), buf, size);
}

/* cwd, or root. */
static int context_dentry(struct inode *inode, bool root, struct dentry **out)
{
    struct fs_context *ctx = proc_fs_context(pid_of(inode));
    if (!ctx)
        return -ENOENT;
    *out = root ? context_root(ctx) : context_cwd(ctx);
    fs_context_put(ctx);
    return 0;
}

static long dentry_readlink(struct dentry *dentry, char *buf, size_t size)
{
    char *path = kmalloc(PATH_MAX, ALLOC_DEFAULT);
    if (!path)
        return -ENOMEM;
    long len = dentry_path(dentry, NULL, path, PATH_MAX);
    if (len >= 0)
        len = give(path, (size_t)len, buf, size);
    kfree(path);
    return len;
}

static long context_readlink(struct inode *inode, bool root, char *buf, size_t size)
{
    struct dentry *dentry;
    int err = context_dentry(inode, root, &dentry);
    if (err)
        return err;
    long len = dentry_readlink(dentry, buf, size);
    dentry_put(dentry);
    return len;
}

static int cwd_follow(struct inode *inode, struct dentry **dentry, struct file **file)
{
    return context_dentry(inode, false, dentry);
}

static long cwd_readlink(struct inode *inode, char *buf, size_t size)
{
    return context_readlink(inode, false, buf, size);
}

static int root_follow(struct inode *inode, struct dentry **dentry, struct file **file)
{
    return context_dentry(inode, true, dentry);
}

static long root_readlink(struct inode *inode, char *buf, size_t size)
{
    return context_readlink(inode, true, buf, size);
}

static const struct inode_ops exe_ops = {.readlink = exe_readlink, .fixed = true};
static const struct inode_ops cwd_ops = {
    .readlink = cwd_readlink, .follow = cwd_follow, .fixed = true};
static const struct inode_ops root_link_ops = {
    .readlink = root_readlink, .follow = root_follow, .fixed = true};

/* ---- fd, fdinfo ---- */

static struct file *file_of(const struct inode *inode)
{
    struct fdtable *table = proc_fdtable(pid_of(inode));
    if (!table)
        return NULL;
    struct file *file = fd_get(table, (int)inode->key[KEY_FD]);
    fdtable_put(table);
    return file;
}

static int fd_follow(struct inode *inode, struct dentry **dentry, struct file **out)
{
    struct file *file = file_of(inode);
    if (!file)
        return -ENOENT;
    if (!file->dentry) {
        *out = file;
        return 0;
    }
    dentry_get(file->dentry);
    *dentry = file->dentry;
    file_put(file);
    return 0;
}

static long fd_readlink(struct inode *inode, char *buf, size_t size)
{
    struct file *file = file_of(inode);
    if (!file)
        return -ENOENT;
    char *path = kmalloc(PATH_MAX, ALLOC_DEFAULT);
    long len = path ? file_path(file, path, PATH_MAX) : -ENOMEM;
    if (len >= 0)
        len = give(path, (size_t)len, buf, size);
    kfree(path);
    file_put(file);
    return len;
}

static const struct inode_ops fd_link_ops = {
    .readlink = fd_readlink, .follow = fd_follow, .fixed = true};

static int show_fdinfo(struct inode *inode, struct strbuf *sb)
{
    struct file *file = file_of(inode);
    if (!file)
        return -ENOENT;
    struct kstat st = {0};
    int err = file_stat(file, &st);
    uint32_t flags = file_flags(file);
    /* A momentary value: the lock that guards it is held for the fdinfo file itself already.
     * Anonymous files keep other things there. */
    off64_t pos = file->ops->seek ? __atomic_load_n(&file->pos, __ATOMIC_RELAXED) : 0;
    strbuf_printf(sb, "pos:\t%lld\nflags:\t0%o\nmnt_id:\t%u\nino:\t%llu\n", (long long)pos, flags,
                  file->inode ? file->inode->super->mount_id : 1u, (unsigned long long)st.ino);
    file_put(file);
    return err;
}

static const struct pseudo_item fdinfo_item = {.mode = S_IFREG | 0400, .show = show_fdinfo};

static int parse_fd(const char *name, size_t len)
{
    if (len == 1 && name[0] == '0')
        return 0;
    int fd = procfs_number(name, len, FD_MAX_HARD);
    return fd ? fd : -1;
}

static uint32_t link_mode(uint32_t flags)
{
    static const uint32_t mode[] = {[O_RDONLY] = 0500, [O_WRONLY] = 0300, [O_RDWR] = 0700, [3] = 0};
    return S_IFLNK | mode[flags & O_ACCMODE];
}

/* Only peeks at the table: dropping what may be the last reference to a file takes locks that stand
 * before those of a lookup. */
static int fd_inode(struct inode *dir, const char *name, size_t len, bool info, struct inode **out)
{
    int want = parse_fd(name, len), fd = want;
    uint32_t flags;
    struct fdtable *table = want < 0 ? NULL : proc_fdtable(pid_of(dir));
    if (!table)
        return -ENOENT;
    bool open = fd_peek(table, &fd, &flags) && fd == want;
    fdtable_put(table);
    if (!open)
        return -ENOENT;
    uint64_t ino = make_ino(dir, 0) << 24 | (unsigned)fd << 1 | info;
    struct inode *inode;
    if (info) {
        inode = pseudo_inode(dir->super, &fdinfo_item);
        if (inode) {
            inode->key[KEY_PID] = dir->key[KEY_PID];
            inode->ino = ino;
        }
    } else {
        inode = derive(dir, link_mode(flags), &fd_link_ops, ino);
    }
    if (inode)
        inode->key[KEY_FD] = (uint64_t)fd;
    if (inode && !info)
        inode->object.size = 64; /* what Linux says */
    *out = inode;
    return inode ? 0 : -ENOMEM;
}

static int fd_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    return fd_inode(dir, name, len, false, out);
}

static int fdinfo_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    return fd_inode(dir, name, len, true, out);
}

static int fd_list(struct inode *dir, off64_t *pos, emit_fn emit, void *arg)
{
    struct fdtable *table = proc_fdtable(pid_of(dir));
    if (!table)
        return -ENOENT;
    int fd = (int)MIN(*pos, (off64_t)FD_MAX_HARD);
    uint32_t flags;
    while (fd_peek(table, &fd, &flags)) {
        char name[16];
        int len = snprintf(name, sizeof(name), "%d", fd);
        if (!emit(arg, name, (size_t)len, make_ino(dir, 0) << 24 | (unsigned)fd << 1, 10, fd + 1))
            break;
        *pos = ++fd;
    }
    fdtable_put(table);
    return 0;
}

static const struct inode_ops fd_dir_ops = {.lookup = fd_lookup, .list = fd_list, .fixed = true};
static const struct inode_ops fdinfo_dir_ops = {
    .lookup = fdinfo_lookup, .list = fd_list, .fixed = true};

/* ---- task ---- */

static int task_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    int pid = pid_of(dir), tid = procfs_number(name, len, INT32_MAX);
    if (!tid || proc_next_tid(pid, tid) != tid)
        return -ENOENT;
    *out = procfs_task_dir(dir->super, pid, tid);
    return *out ? 0 : -ENOMEM;
}

static int task_list(struct inode *dir, off64_t *pos, emit_fn emit, void *arg)
{
    int tid;
    while (*pos < INT32_MAX && (tid = proc_next_tid(pid_of(dir), (int)*pos + 1)) > 0) {
        char name[16];
        int len = snprintf(name, sizeof(name), "%d", tid);
        if (!emit(arg, name, (size_t)len, ((uint64_t)tid | 1ull << 40) << 16, 4, tid))
            return 0;
        *pos = tid;
    }
    return 0;
}

static const struct inode_ops task_dir_ops = {
    .lookup = task_lookup, .list = task_list, .fixed = true};

/* ---- the directory itself ---- */

struct task_item {
    struct pseudo_item item;     /* path is the name; texts */
    const struct inode_ops *ops; /* links and directories */
    enum proc_text what;
    bool process_only;
};

static int show_text(struct inode *inode, struct strbuf *sb)
{
    const struct task_item *t = inode->data;
    return proc_text(pid_of(inode), tid_of(inode), t->what, sb);
}

static int store_comm(struct inode *inode, char *text, size_t len)
{
    if (len > 0 && text[len - 1] == '\n')
        text[len - 1] = '\0';
    return proc_set_comm(pid_of(inode), tid_of(inode), text);
}

#define PROC_ITEM(name_, what_) \
    { \
        .item = {.path = (name_), .mode = S_IFREG | 0444, .show = show_text}, .what = (what_) \
    }
#define PROC_SECRET(name_, what_) \
    { \
        .item = {.path = (name_), .mode = S_IFREG | 0400, .show = show_text}, .what = (what_) \
    }
#define PROC_CONSTANT(name_, text_) \
    { \
        .item = {.path = (name_), .mode = S_IFREG | 0444, .text = (text_) } \
    }
#define PROC_LINK(name_, ops_) \
    { \
        .item = {.path = (name_), .mode = S_IFLNK | 0777}, .ops = (ops_) \
    }
#define PROC_DIR(name_, mode_, ops_) \
    { \
        .item = {.path = (name_), .mode = S_IFDIR | (mode_)}, .ops = (ops_) \
    }

static const struct task_item task_items[] = {
    PROC_ITEM("maps", PROC_MAPS),
    PROC_ITEM("smaps", PROC_SMAPS),
    PROC_ITEM("status", PROC_STATUS),
    PROC_ITEM("stat", PROC_STAT),
    PROC_ITEM("statm", PROC_STATM),
    PROC_ITEM("cmdline", PROC_CMDLINE),
    {.item = {.path = "comm", .mode = S_IFREG | 0644, .show = show_text, .store = store_comm},
     .what = PROC_COMM},
    PROC_SECRET("environ", PROC_ENVIRON),
    PROC_ITEM("limits", PROC_LIMITS),
    PROC_SECRET("auxv", PROC_AUXV),
    PROC_SECRET("io", PROC_IO),
    PROC_ITEM("cgroup", PROC_CGROUP),
    PROC_ITEM("wchan", PROC_WCHAN),
    PROC_ITEM("oom_score_adj", PROC_OOM_SCORE_ADJ),
    {.item = {.path = "mounts", .mode = S_IFREG | 0444, .show = procfs_show_mounts}},
    {.item = {.path = "mountinfo", .mode = S_IFREG | 0444, .show = procfs_show_mountinfo}},
    PROC_CONSTANT("loginuid", "4294967295"), /* nobody logged in */
    PROC_CONSTANT("sessionid", "4294967295"),
    PROC_CONSTANT("uid_map", "         0          0 4294967295\n"), /* the one user namespace */
    PROC_CONSTANT("gid_map", "         0          0 4294967295\n"),
    PROC_CONSTANT("setgroups", "allow\n"),
    PROC_LINK("exe", &exe_ops),
    PROC_LINK("cwd", &cwd_ops),
    PROC_LINK("root", &root_link_ops),
    PROC_DIR("fd", 0500, &fd_dir_ops),
    PROC_DIR("fdinfo", 0555, &fdinfo_dir_ops),
    {.item = {.path = "task", .mode = S_IFDIR | 0555}, .ops = &task_dir_ops, .process_only = true},
};

static int dir_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    for (unsigned i = 0; i < ARRAY_COUNT(task_items); i++) {
        const struct task_item *t = &task_items[i];
        if (strlen(t->item.path) != len || memcmp(t->item.path, name, len) != 0 ||
            (t->process_only && tid_of(dir)))
            continue;
        STATIC_ASSERT(offsetof(struct task_item, item) == 0); /* inode->data is both */
        struct inode *inode =
            t->ops ? derive(dir, t->item.mode, t->ops, 0) : pseudo_inode(dir->super, &t->item);
        if (!inode)
            return -ENOMEM;
        inode->key[KEY_PID] = dir->key[KEY_PID];
        inode->key[KEY_TID] = dir->key[KEY_TID];
        inode->ino = make_ino(dir, i + 1);
        *out = inode;
        return 0;
    }
    return -ENOENT;
}

static int dir_list(struct inode *dir, off64_t *pos, emit_fn emit, void *arg)
{
    while (*pos < (off64_t)ARRAY_COUNT(task_items)) {
        const struct task_item *t = &task_items[*pos];
        bool skip = t->process_only && tid_of(dir);
        if (!skip &&
            !emit(arg, t->item.path, strlen(t->item.path), make_ino(dir, (unsigned)*pos + 1),
                  (t->item.mode & S_IFMT) >> 12, *pos + 1))
            return 0;
        (*pos)++;
    }
    return 0;
}

static const struct inode_ops dir_ops = {.lookup = dir_lookup, .list = dir_list, .fixed = true};

struct inode *procfs_task_dir(struct super *super, int pid, int tid)
{
    struct inode *inode = inode_alloc(super, S_IFDIR | 0555);
    if (!inode)
        return NULL;
    inode->ops = &dir_ops;
    inode->file_ops = &dir_file_ops;
    inode->flags |= INODE_VOLATILE;
    inode->key[KEY_PID] = (uint64_t)pid;
    inode->key[KEY_TID] = (uint64_t)tid;
    inode->ino = make_ino(inode, 0);
    return inode;
}
