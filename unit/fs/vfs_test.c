/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs unit/fs/host_model.c */
/* clang-format on */
/*
 * vfs_test.c - names and paths. The main test runs random sequences of name operations on our ramfs
 * and on the host's tmpfs and compares every result and the state of every path afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "fake_fs.h"
#include "fs/locks.h"
#include "host_model.h"
#include "lib/string.h"
#include "mm/area.h"
#include "mm/kmalloc.h"

static struct dentry *start; /* the directory that stands for the host's */

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(64u << 20);
    assert_int_equal(fake_fs_boot(NULL, 0), 0);
    fake_context->umask = 022;
    assert_int_equal(vfs_make(fake_context, NULL, "/w", S_IFDIR | 0755, 0), 0);
    assert_int_equal(fs_context_chdir(fake_context, "/w"), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dentry_put(start);
    start = NULL;
    fake_fs_end();
    return 0;
}

static int our_open(const char *path, uint32_t flags, uint32_t mode)
{
    struct file *file;
    int err = fs_open(fake_context, path, flags, mode, &file);
    if (err == 0)
        file_put(file);
    return err;
}

static const char *const paths[] = {"a",     "b",     "c",    "a/b",      "a/c",  "b/a",   "c/a/b",
                                    "a/b/c", "a/",    "b/",   "a/.",      "a/..", "./b/.", "../w/a",
                                    "c/a",   "b/../", "a/b/", "c/../b/a", ".",    "b/c/"};
#define PATHS (sizeof paths / sizeof paths[0])

static const char *pick(void)
{
    return paths[(size_t)rand() % PATHS];
}

static void one_operation(unsigned step)
{
    static const uint32_t open_flags[] = {O_RDONLY,
                                          O_WRONLY,
                                          O_RDWR | O_CREAT,
                                          O_WRONLY | O_CREAT | O_EXCL,
                                          O_RDONLY | O_DIRECTORY,
                                          O_RDONLY | O_NOFOLLOW,
                                          O_WRONLY | O_CREAT | O_TRUNC,
                                          O_RDONLY | O_CREAT | O_NOFOLLOW,
                                          O_PATH,
                                          O_PATH | O_NOFOLLOW,
                                          O_PATH | O_DIRECTORY};
    static const unsigned rename_flags[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    const char *p = pick(), *q = pick(), *what = "";
    unsigned choice = (unsigned)rand() % 9;
    uint32_t flags = 0;
    int ours = 0, host = 0;
    switch (choice) {
    case 0:
        what = "mkdir";
        ours = vfs_make(fake_context, start, p, S_IFDIR | 0755, 0);
        host = host_mkdir(p, 0755);
        break;
    case 1:
        what = "rmdir";
        ours = vfs_unlink(fake_context, start, p, true);
        host = host_rmdir(p);
        break;
    case 2:
        what = "unlink";
        ours = vfs_unlink(fake_context, start, p, false);
        host = host_unlink(p);
        break;
    case 3:
    case 4:
        what = "rename";
        flags = rename_flags[(size_t)rand() % 5];
        ours = vfs_rename(fake_context, start, p, start, q, flags);
        host = host_rename(p, q, flags);
        break;
    case 5: {
        struct dentry *old = NULL;
        what = "link";
        ours = path_lookup(fake_context, start, p, 0, &old);
        if (ours == 0)
            ours = vfs_link(fake_context, old, start, q);
        dentry_put(old);
        host = host_link(p, q);
        break;
    }
    case 6:
        what = "symlink";
        ours = vfs_symlink(fake_context, p, start, q);
        host = host_symlink(p, q);
        break;
    case 7:
        what = "open";
        flags = open_flags[(size_t)rand() % (sizeof open_flags / sizeof open_flags[0])];
        ours = our_open(p, flags, 0644);
        host = host_open(p, (int)flags, 0644);
        break;
    default:
        what = "truncate";
        ours = our_truncate(p, (unsigned)rand() % 20000);
        host = host_truncate(p, 0);
        host_truncate(p, 0);
        if (ours == 0)
            ours = our_truncate(p, 0);
        break;
    }
    if (ours != host)
        fail_msg("step %u: %s %s %s flags %o: ours %d, host %d", step, what, p, q, flags, ours,
                 host);
}

static void compare_all(unsigned step)
{
    char ours[300], host[300];
    for (size_t i = 0; i < PATHS; i++) {
        our_stat(paths[i], ours, sizeof ours);
        host_stat(paths[i], host, sizeof host);
        if (strcmp(ours, host) != 0)
            fail_msg("step %u: stat %s: ours %s, host %s", step, paths[i], ours, host);
        our_readlink(paths[i], ours, sizeof ours);
        host_readlink(paths[i], host, sizeof host);
        if (strcmp(ours, host) != 0)
            fail_msg("step %u: readlink %s: ours %s, host %s", step, paths[i], ours, host);
    }
}

static void random_against_host(void **state)
{
    (void)state;
    if (!host_begin())
        skip();
    for (int depth = 0; depth < 12; depth++) {
        assert_int_equal(vfs_make(fake_context, NULL, "w", S_IFDIR | 0755, 0), 0);
        assert_int_equal(fs_context_chdir(fake_context, "w"), 0);
    }
    srand(42);
    for (unsigned step = 0; step < 20000; step++) {
        one_operation(step);
        if (step % 4 == 0)
            compare_all(step);
        if (step % 500 == 0)
            dentry_shrink((size_t)rand() % 50);
    }
    host_end();
}

/* Whatever can be mapped may be asked for its file: /proc/self/maps does. */
static void objects_without_a_file(void **state)
{
    (void)state;
    char text[64];
    uint64_t dev = 1, ino = 1;
    struct vm_object *anon = anon_object_create(PAGE_SIZE), other;
    assert_non_null(anon);
    assert_int_equal(vfs_object_path(anon, text, sizeof text), 19);
    assert_string_equal(text, "/dev/zero (deleted)");
    vfs_object_id(anon, &dev, &ino);
    assert_true(dev == 0 && ino == 0);
    static const struct vm_object_ops other_ops;
    vm_object_init(&other, &other_ops, PAGE_SIZE);
    assert_int_equal(vfs_object_path(&other, text, sizeof text), 0);
    vm_object_destroy(&other);
    anon->ops->put(anon);
}

static void path_errors(void **state)
{
    (void)state;
    static char longname[300], longpath[5000];
    memset(longname, 'n', 299);
    memset(longpath, '/', 4999);
    assert_int_equal(our_open("", O_RDONLY, 0), -ENOENT);
    assert_int_equal(our_open(longname, O_RDONLY, 0), -ENAMETOOLONG);
    assert_int_equal(our_open(longname, O_CREAT | O_RDWR, 0), -ENAMETOOLONG);
    assert_int_equal(our_open(longpath, O_RDONLY, 0), -ENAMETOOLONG);
    /* Both ways are walked before the last names are looked at, the old one first. */
    assert_int_equal(vfs_rename(fake_context, NULL, longname, NULL, "", 0), -ENOENT);
    assert_int_equal(vfs_rename(fake_context, NULL, longname, NULL, ".", 0), -EBUSY);
    assert_int_equal(vfs_rename(fake_context, NULL, longname, NULL, "new", 0), -ENAMETOOLONG);
    assert_int_equal(vfs_rename(fake_context, NULL, "none", NULL, longname, 0), -ENOENT);
    longpath[4095] = '\0';
    assert_int_equal(our_open(longpath, O_RDONLY, 0), 0);
    longname[255] = '\0';
    assert_int_equal(our_open(longname, O_CREAT | O_RDWR, 0644), 0);
    assert_int_equal(vfs_symlink(fake_context, "loop2", NULL, "loop1"), 0);
    assert_int_equal(vfs_symlink(fake_context, "loop1", NULL, "loop2"), 0);
    assert_int_equal(our_open("loop1", O_RDONLY, 0), -ELOOP);
    assert_int_equal(our_open("loop1", O_RDWR | O_CREAT, 0644), -ELOOP);
    assert_int_equal(our_open("loop1/x", O_RDONLY, 0), -ELOOP);
    assert_int_equal(our_open("/../../w/./", O_RDONLY, 0), 0);
    assert_int_equal(our_open("/dev/null", O_RDWR, 0), 0);
    assert_int_equal(our_open("/dev/../w", O_RDONLY | O_DIRECTORY, 0), 0);
    assert_int_equal(our_open("/dev/tty", O_RDWR, 0), -ENXIO);
    assert_int_equal(vfs_unlink(fake_context, NULL, "/proc", true), -EBUSY);
    assert_int_equal(vfs_unlink(fake_context, NULL, "/proc/cpuinfo", false), -EPERM);
    assert_int_equal(our_open("/proc/new", O_CREAT | O_RDWR, 0644), -EACCES);
    assert_int_equal(vfs_rename(fake_context, NULL, "/w", NULL, "/tmp/w", 0), 0);
    assert_int_equal(vfs_rename(fake_context, NULL, "/tmp/w", NULL, "/dev/w", 0), -EXDEV);
    /* Out of a directory that is gone: this was its last user. */
    struct dentry *home = fake_context->cwd;
    assert_int_equal(vfs_make(fake_context, NULL, "/gone", S_IFDIR | 0755, 0), 0);
    dentry_get(home);
    assert_int_equal(fs_context_chdir(fake_context, "/gone"), 0);
    assert_int_equal(vfs_unlink(fake_context, NULL, "/gone", true), 0);
    assert_int_equal(fs_context_chdir(fake_context, "/tmp/w"), 0);
    assert_ptr_equal(fake_context->cwd, home);
    dentry_put(home);
    char path[64];
    assert_int_equal(dentry_path(fake_context->cwd, NULL, path, sizeof path), 6);
    assert_string_equal(path, "/tmp/w");
    assert_int_equal(dentry_path(fake_context->cwd, NULL, path, 6), -ENAMETOOLONG);
}

static void restricted_walks(void **state)
{
    (void)state;
    struct file *file;
    assert_int_equal(vfs_symlink(fake_context, "/etc", NULL, "abs"), 0);
    assert_int_equal(vfs_symlink(fake_context, ".", NULL, "rel"), 0);
    assert_int_equal(vfs_open(fake_context, NULL, "../w", O_RDONLY, 0, LOOKUP_BENEATH, &file),
                     -EXDEV);
    assert_int_equal(vfs_open(fake_context, NULL, "abs", O_RDONLY, 0, LOOKUP_BENEATH, &file),
                     -EXDEV);
    assert_int_equal(vfs_open(fake_context, NULL, "rel", O_RDONLY, 0, LOOKUP_NO_SYMLINKS, &file),
                     -ELOOP);
    assert_int_equal(vfs_open(fake_context, NULL, "/dev/null", O_RDONLY, 0, LOOKUP_NO_XDEV, &file),
                     -EXDEV);
    assert_int_equal(vfs_open(fake_context, NULL, "/rel/../..", O_RDONLY, 0, LOOKUP_IN_ROOT, &file),
                     0);
    assert_ptr_equal(file->dentry, fake_context->cwd);
    file_put(file);
}

static void permissions(void **state)
{
    (void)state;
    assert_int_equal(our_open("f", O_CREAT | O_RDWR, 0640), 0);
    assert_int_equal(vfs_make(fake_context, NULL, "sticky", S_IFDIR | 01777, 0), 0);
    assert_int_equal(vfs_make(fake_context, NULL, "closed", S_IFDIR | 0700, 0), 0);
    struct dentry *dentry;
    assert_int_equal(path_lookup(fake_context, NULL, "sticky", 0, &dentry), 0);
    dentry->inode->mode |= 0022;
    dentry_put(dentry);
    assert_int_equal(our_open("sticky/mine", O_CREAT | O_RDWR, 0666), 0);
    assert_int_equal(path_lookup(fake_context, NULL, "f", 0, &dentry), 0);
    assert_int_equal(inode_permission(&fake_cred, dentry->inode, MAY_EXEC), -EACCES);
    assert_int_equal(inode_permission(&fake_cred, dentry->inode, MAY_WRITE), 0);
    fake_cred.fsuid = fake_cred.fsgid = 1000;
    assert_int_equal(our_open("f", O_RDONLY, 0), -EACCES);
    assert_int_equal(our_open("new", O_CREAT | O_RDWR, 0640), -EACCES);
    assert_int_equal(our_open("closed/x", O_RDONLY, 0), -EACCES);
    assert_int_equal(vfs_unlink(fake_context, NULL, "sticky/mine", false), -EPERM);
    struct inode_attr attr = {.valid = ATTR_MODE, .mode = 0777};
    assert_int_equal(inode_set_attr(&fake_cred, dentry->inode, &attr), -EPERM);
    fake_cred.groups[0] = dentry->inode->gid;
    fake_cred.group_count = 1;
    assert_int_equal(our_open("f", O_RDONLY, 0), 0);
    /* One class alone decides, the first that fits: the group has no more than it, the owner too.
     */
    uint32_t mode = dentry->inode->mode, uid = dentry->inode->uid;
    dentry->inode->mode = S_IFREG | 0606;
    assert_int_equal(inode_permission(&fake_cred, dentry->inode, MAY_READ), -EACCES);
    fake_cred.group_count = 0;
    assert_int_equal(inode_permission(&fake_cred, dentry->inode, MAY_READ | MAY_WRITE), 0);
    fake_cred.group_count = 1;
    dentry->inode->mode = S_IFREG | 0066;
    dentry->inode->uid = 1000;
    assert_int_equal(inode_permission(&fake_cred, dentry->inode, MAY_READ), -EACCES);
    dentry->inode->mode = mode;
    dentry->inode->uid = uid;
    fake_cred.fsuid = 0;
    attr = (struct inode_attr){.valid = ATTR_MODE, .mode = 06755};
    assert_int_equal(inode_set_attr(&fake_cred, dentry->inode, &attr), 0);
    attr = (struct inode_attr){.valid = ATTR_UID, .uid = 5};
    assert_int_equal(inode_set_attr(&fake_cred, dentry->inode, &attr), 0);
    assert_int_equal(dentry->inode->mode, S_IFREG | 0755); /* chown drops the set-id bits */
    dentry_put(dentry);
}

static long file_text(struct file *file, const char *text)
{
    return file_write(file, text, strlen(text));
}

static void regular_files(void **state)
{
    (void)state;
    struct file *file;
    char buf[64];
    assert_int_equal(fs_open(fake_context, "f", O_CREAT | O_RDWR | O_APPEND, 0644, &file), 0);
    assert_int_equal(file_text(file, "hello "), 6);
    file->pos = 0;
    assert_int_equal(file_text(file, "world"), 5);
    assert_int_equal(file_pread(file, buf, sizeof buf, 0), 11);
    assert_memory_equal(buf, "hello world", 11);
    file->pos = 1;
    assert_int_equal(file_text(file, ""), 0); /* appending nothing is no move */
    assert_int_equal(file->pos, 1);
    __atomic_fetch_and(&file->flags, ~(uint32_t)O_APPEND, __ATOMIC_RELAXED);
    file->pos = 3 * 4096 + 5; /* a hole */
    assert_int_equal(file_text(file, "end"), 3);
    assert_int_equal(file_size(file), 3 * 4096 + 8);
    assert_int_equal(file->ops->seek(file, 0, SEEK_HOLE), 4096);
    assert_int_equal(file->ops->seek(file, 4096, SEEK_DATA), 3 * 4096);
    assert_int_equal(file->ops->seek(file, 3 * 4096, SEEK_HOLE), 3 * 4096 + 8);
    assert_int_equal(file->ops->seek(file, 99999, SEEK_DATA), -ENXIO);
    assert_int_equal(file->ops->seek(file, -1, SEEK_SET), -EINVAL);
    assert_int_equal(file->ops->seek(file, INT64_MAX, SEEK_END), -EOVERFLOW);
    assert_int_equal(
        ramfs_fallocate(file->inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 2 * 4096), 0);
    assert_int_equal(file_pread(file, buf, 11, 0), 11);
    assert_memory_equal(buf, "he\0\0\0\0\0\0\0\0\0", 11);
    assert_int_equal(ramfs_fallocate(file->inode, 0, 0, 5 * 4096), 0);
    assert_int_equal(file_size(file), 5 * 4096);
    assert_int_equal(ramfs_fallocate(file->inode, 0, 0, 1ull << 40), -ENOSPC);
    assert_int_equal(file_size(file), 5 * 4096);
    assert_int_equal(vfs_unlink(fake_context, NULL, "f", false), 0); /* open, and usable */
    assert_int_equal(file_pread(file, buf, 2, 0), 2);
    assert_true(file_path(file, buf, sizeof buf) > 0);
    assert_string_equal(buf, "/w/f (deleted)");
    assert_int_equal(file->inode->nlink, 0);
    file_put(file);
}

static void seals(void **state)
{
    (void)state;
    struct file *file;
    char buf[40];
    assert_int_equal(memfd_create_file("box", true, true, 0, &file), 0);
    assert_int_equal(file_text(file, "12345"), 5);
    assert_int_equal(memfd_add_seals(file, F_SEAL_GROW), 0);
    assert_int_equal(file_text(file, "6"), -EPERM);
    assert_int_equal(inode_truncate(file->inode, 3), 0);
    assert_int_equal(memfd_add_seals(file, F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL), 0);
    assert_int_equal(inode_truncate(file->inode, 1), -EPERM);
    file->pos = 0;
    assert_int_equal(file_text(file, "x"), -EPERM);
    assert_int_equal(file_text(file, ""), 0);
    assert_int_equal(memfd_add_seals(file, F_SEAL_GROW), -EPERM);
    assert_int_equal(memfd_get_seals(file), 15);
    assert_true(file_path(file, buf, sizeof buf) > 0);
    assert_string_equal(buf, "/memfd:box (deleted)");
    file_put(file);
}

static void tmpfile_gets_a_name(void **state)
{
    (void)state;
    struct file *file;
    char buf[8];
    assert_int_equal(fs_open(fake_context, "/w", O_TMPFILE | O_RDWR, 0600, &file), 0);
    assert_int_equal(file_text(file, "text"), 4);
    assert_int_equal(vfs_link(fake_context, file->dentry, NULL, "named"), 0);
    file_put(file);
    assert_int_equal(fs_open(fake_context, "named", O_RDONLY, 0, &file), 0);
    assert_int_equal(file_pread(file, buf, 8, 0), 4);
    assert_int_equal(file->inode->nlink, 1);
    file_put(file);
    assert_int_equal(fs_open(fake_context, "/w", O_TMPFILE | O_RDONLY, 0600, &file), -EINVAL);
}

/* ---- listings ---- */

struct listing {
    char text[8192];
    int left; /* entries to take before stopping */
};

static bool collect(void *arg, const char *name, size_t len, uint64_t ino, unsigned type,
                    off64_t next)
{
    struct listing *l = arg;
    (void)ino, (void)type, (void)next;
    if (l->left-- <= 0)
        return false;
    strncat(l->text, name, len);
    strcat(l->text, " ");
    return true;
}

static void listing_in_pieces(void **state)
{
    (void)state;
    struct file *dir;
    char name[16];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(our_open(name, O_CREAT | O_RDWR, 0644), 0);
    }
    assert_int_equal(fs_open(fake_context, ".", O_RDONLY | O_DIRECTORY, 0, &dir), 0);
    struct listing l = {.left = 0};
    off64_t pos = 0;
    for (int round = 0; round < 30; round++) {
        l.left = 3;
        assert_int_equal(dir->ops->readdir(dir, &pos, collect, &l), 0);
        if (round == 2) { /* changes during the listing: the rest still comes exactly once */
            assert_int_equal(vfs_unlink(fake_context, NULL, "f3", false), 0);
            assert_int_equal(vfs_unlink(fake_context, NULL, "f20", false), 0);
        }
    }
    assert_true(str_starts(l.text, ". .. f0 f1 f2 f3 f4 f5 f6 f7 f8 "));
    assert_null(strstr(l.text, "f20 "));
    assert_non_null(strstr(l.text, " f39 "));
    char *first = strstr(l.text, " f21 ");
    assert_non_null(first);
    assert_null(strstr(first + 1, " f21 "));
    file_put(dir);
}

static void list_dir(const char *path, struct listing *l)
{
    struct file *dir;
    off64_t pos = 0;
    assert_int_equal(fs_open(fake_context, path, O_RDONLY | O_DIRECTORY, 0, &dir), 0);
    l->left = 1000;
    l->text[0] = '\0';
    assert_int_equal(dir->ops->readdir(dir, &pos, collect, l), 0);
    file_put(dir);
}

static void read_text(const char *path, char *buf, size_t size)
{
    struct file *file;
    assert_int_equal(fs_open(fake_context, path, O_RDONLY, 0, &file), 0);
    long n = file_pread(file, buf, size - 1, 0);
    assert_true(n >= 0);
    buf[n] = '\0';
    file_put(file);
}

static void procfs_and_sysfs(void **state)
{
    (void)state;
    struct listing l;
    char buf[4096];
    struct file *file;
    read_text("/proc/sys/kernel/ostype", buf, sizeof buf);
    assert_string_equal(buf, "Linux\n");
    read_text("/proc/mounts", buf, sizeof buf);
    assert_non_null(strstr(buf, "proc /proc proc rw"));
    assert_non_null(strstr(buf, "rootfs / ramfs rw"));
    assert_non_null(strstr(buf, "/dev/shm"));
    read_text("/proc/self/status", buf, sizeof buf);
    assert_string_equal(buf, "text 2 of 1/0\n");
    read_text("/proc/thread-self/stat", buf, sizeof buf);
    assert_string_equal(buf, "text 3 of 1/1\n");
    read_text("/proc/self/task/7/comm", buf, sizeof buf);
    assert_string_equal(buf, "text 6 of 1/7\n");
    read_text("/proc/meminfo", buf, sizeof buf);
    assert_true(str_starts(buf, "MemTotal: "));
    read_text("/sys/devices/system/cpu/online", buf, sizeof buf);
    assert_string_equal(buf, "0\n");
    list_dir("/proc", &l);
    assert_non_null(strstr(l.text, " cpuinfo "));
    assert_non_null(strstr(l.text, " self "));
    assert_non_null(strstr(l.text, " 1 "));
    list_dir("/proc/self", &l);
    assert_non_null(strstr(l.text, " maps "));
    list_dir("/proc/self/task", &l);
    assert_string_equal(l.text, ". .. 1 7 ");
    our_readlink("/proc/self", buf, sizeof buf);
    assert_string_equal(buf, "1");
    our_readlink("/proc/self/cwd", buf, sizeof buf);
    assert_string_equal(buf, "/w");
    assert_int_equal(our_open("/proc/99", O_RDONLY, 0), -ENOENT);
    assert_int_equal(our_open("/proc/self/fd/0", O_RDONLY, 0), -ENOENT);
    assert_int_equal(fs_open(fake_context, "deleted", O_CREAT | O_RDWR, 0644, &file), 0);
    assert_int_equal(file_text(file, "still"), 5);
    assert_int_equal(fd_install(fake_fdtable, file, 0, false), 0);
    assert_int_equal(vfs_unlink(fake_context, NULL, "deleted", false), 0);
    read_text("/dev/fd/0", buf, sizeof buf); /* the magic link leads to the file, not to a path */
    assert_string_equal(buf, "still");
    our_readlink("/proc/self/fd/0", buf, sizeof buf);
    assert_string_equal(buf, "/w/deleted (deleted)");
    list_dir("/proc/self/fd", &l);
    assert_string_equal(l.text, ". .. 0 ");
    read_text("/proc/self/fdinfo/0", buf, sizeof buf);
    assert_true(str_starts(buf, "pos:\t5\nflags:\t0100002\n"));
}

static void record_locks(void **state)
{
    (void)state;
    struct file *file;
    int me, other;
    assert_int_equal(fs_open(fake_context, "l", O_CREAT | O_RDWR, 0644, &file), 0);
    struct lock_request req = {.type = F_WRLCK, .owner = &me, .pid = 1, .start = 10, .end = 19};
    assert_int_equal(locks_set(file, &req, false), 0);
    struct lock_request theirs = {.type = F_RDLCK, .owner = &other, .start = 0, .end = UINT64_MAX};
    assert_int_equal(locks_set(file, &theirs, false), -EAGAIN);
    req.type = F_UNLCK; /* cut a hole: [10,12] and [16,19] stay */
    req.start = 13;
    req.end = 15;
    assert_int_equal(locks_set(file, &req, false), 0);
    theirs = (struct lock_request){.type = F_WRLCK, .owner = &other, .start = 13, .end = 15};
    assert_int_equal(locks_set(file, &theirs, false), 0);
    theirs.start = 15;
    theirs.end = 16;
    locks_test(file, &theirs);
    assert_int_equal(theirs.type, F_WRLCK);
    assert_int_equal(theirs.start, 16);
    assert_int_equal(theirs.end, 19);
    struct lock_request ofd = {.type = F_RDLCK, .ofd = true, .start = 12, .end = 12};
    assert_int_equal(locks_set(file, &ofd, false), -EAGAIN);
    locks_fd_closed(file, &me);
    assert_int_equal(locks_set(file, &ofd, false), 0);
    assert_int_equal(locks_flock(file, LOCK_EX, false), 0);
    locks_fd_closed(file, &other);
    file_put(file); /* takes the rest away */
    struct dentry *dentry;
    assert_int_equal(path_lookup(fake_context, NULL, "l", 0, &dentry), 0);
    assert_true(list_empty(&dentry->inode->locks));
    dentry_put(dentry);
}

static void busy_sequence(void)
{
    static const char *const names[] = {"short", "a-name-that-does-not-fit-into-the-short-one"};
    struct file *file, *dir;
    char buf[256];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vfs_make(fake_context, NULL, "d", S_IFDIR | 0755, 0), 0);
        assert_int_equal(fs_open(fake_context, "d", O_RDONLY, 0, &dir), 0);
        assert_int_equal(
            vfs_open(fake_context, dir->dentry, names[i], O_CREAT | O_RDWR, 0644, 0, &file), 0);
        assert_int_equal(file_text(file, "contents"), 8);
        assert_int_equal(inode_truncate(file->inode, 100000), 0);
        assert_int_equal(vfs_rename(fake_context, dir->dentry, names[i], NULL, names[!i], 0), 0);
        assert_int_equal(vfs_symlink(fake_context, names[!i], NULL, "link"), 0);
        assert_int_equal(our_open("link", O_RDWR | O_CREAT, 0), 0);
        assert_int_equal(vfs_unlink(fake_context, NULL, "d", true), 0);
        assert_int_equal(our_open("missing", O_RDONLY, 0), -ENOENT);
        assert_int_equal(vfs_open(fake_context, dir->dentry, "x", O_CREAT | O_RDWR, 0644, 0, &file),
                         -ENOENT);
        assert_int_equal(vfs_unlink(fake_context, NULL, "link", false), 0);
        assert_int_equal(vfs_unlink(fake_context, NULL, names[!i], false), 0);
        read_text("/proc/self/task/7/status", buf, sizeof buf);
        file_put(dir);
        file_put(file);
    }
}

static void nothing_leaks(void **state)
{
    (void)state;
    struct kmalloc_stats before, after;
    busy_sequence();
    dentry_shrink(SIZE_MAX);
    kmalloc_get_stats(&before);
    uint32_t names = dentry_count();
    for (int i = 0; i < 50; i++)
        busy_sequence();
    dentry_shrink(SIZE_MAX);
    kmalloc_get_stats(&after);
    assert_int_equal(dentry_count(), names);
    assert_int_equal(after.bytes_in_use, before.bytes_in_use);
}

/* A hole of 2^61 bytes is found at once, and RLIMIT_FSIZE stops what grows. */
static void sparse_and_limited(void **state)
{
    (void)state;
    struct file *file;
    char buf[8];
    assert_int_equal(fs_open(fake_context, "f", O_CREAT | O_RDWR, 0644, &file), 0);
    assert_int_equal(inode_truncate(file->inode, 1ull << 62), 0);
    assert_int_equal(file->ops->seek(file, 0, SEEK_DATA), -ENXIO);
    file->pos = 1ll << 61;
    assert_int_equal(file_text(file, "data"), 4);
    assert_int_equal(file->ops->seek(file, 5, SEEK_DATA), 1ll << 61);
    assert_int_equal(file->ops->seek(file, 5, SEEK_HOLE), 5);
    assert_int_equal(ramfs_fallocate(file->inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1,
                                     (1ull << 62) - 2),
                     0);
    assert_int_equal(file_pread(file, buf, 4, 1ll << 61), 4);
    assert_memory_equal(buf, "\0\0\0\0", 4);
    file->pos = INT64_MAX - 2;
    assert_int_equal(file_text(file, "data"), 2); /* the last offset there is */
    assert_int_equal(file_text(file, "data"), -EFBIG);
    assert_int_equal(inode_truncate(file->inode, 10), 0);
    fake_file_size_limit = 12;
    fake_too_big = 0;
    file->pos = 10;
    assert_int_equal(file_text(file, "data"), 2);
    assert_int_equal(fake_too_big, 0);
    assert_int_equal(file_text(file, "data"), -EFBIG);
    assert_int_equal(inode_truncate(file->inode, 13), -EFBIG);
    assert_int_equal(ramfs_fallocate(file->inode, 0, 0, 13), -EFBIG);
    assert_int_equal(fake_too_big, 3);
    assert_int_equal(inode_truncate(file->inode, 12), 0);
    assert_int_equal(file_size(file), 12);
    fake_file_size_limit = UINT64_MAX;
    assert_int_equal(file->ops->seek(file, INT64_MAX, SEEK_SET), INT64_MAX);
    assert_int_equal(file->ops->seek(file, 1, SEEK_CUR), -EOVERFLOW);
    file_put(file);
    assert_int_equal(fs_open(fake_context, "/proc/uptime", O_RDONLY, 0, &file), 0);
    assert_int_equal(file->ops->seek(file, INT64_MAX, SEEK_SET), INT64_MAX);
    assert_int_equal(file->ops->seek(file, 1, SEEK_CUR), -EOVERFLOW);
    file_put(file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_against_host),
        TEST(objects_without_a_file),
        TEST(path_errors),
        TEST(restricted_walks),
        TEST(permissions),
        TEST(regular_files),
        TEST(seals),
        TEST(tmpfile_gets_a_name),
        TEST(listing_in_pieces),
        TEST(procfs_and_sysfs),
        TEST(record_locks),
        TEST(nothing_leaks),
        TEST(sparse_and_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
