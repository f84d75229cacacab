/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs */
/* clang-format on */
/*
 * fail_test.c - every allocation of every operation of kernel/fs fails once.
 *
 * Each scenario is a function that does some operations, tolerates -ENOMEM (and the -ENOSPC that a
 * file makes of it) from any of them, checks that what failed left nothing half done, and cleans
 * up. sweep() runs it with the first, second, ... allocation failing until none is left to fail;
 * after each run the objects and pages in use are those of before.
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
#include "fs/console.h"
#include "fs/epoll.h"
#include "fs/eventfd.h"
#include "fs/inotify.h"
#include "fs/locks.h"
#include "fs/pipe.h"
#include "fs/pollwait.h"
#include "fs/xattr.h"
#include "mm/kmalloc.h"

#define LONG_NAME "a-name-that-does-not-fit-into-the-short-one"

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(64u << 20);
    fake_console_state = (struct hal_console_info){true, true, true, 24, 80};
    return fake_fs_boot(NULL, 0);
}

static int tear_down(void **state)
{
    (void)state;
    fake_fs_end();
    return 0;
}

/* ---- the sweep ---- */

struct usage {
    uint64_t bytes, files, kernel, names;
};

static struct usage usage_now(void)
{
    struct kmalloc_stats km;
    struct page_stats pages;
    dentry_shrink(SIZE_MAX);
    kmalloc_get_stats(&km);
    page_get_stats(&pages);
    return (struct usage){km.bytes_in_use, pages.by_type[PAGE_FILE],
                          (pages.by_type[PAGE_KERNEL] + pages.by_type[PAGE_SLAB]) * PAGE_SIZE -
                              km.bytes_held,
                          dentry_count()};
}

static void sweep(void (*scenario)(void))
{
    scenario(); /* tables that grow once and stay */
    struct usage before = usage_now();
    unsigned n = 0;
    bool hit;
    do {
        alloc_fail_nth(++n);
        scenario();
        hit = alloc_fail_hit();
        alloc_fail_nth(0);
        struct usage after = usage_now();
        if (memcmp(&before, &after, sizeof(before)) != 0)
            fail_msg("allocation %u: bytes %lld files %lld kernel %lld names %d more", n,
                     (long long)(after.bytes - before.bytes),
                     (long long)(after.files - before.files),
                     (long long)(after.kernel - before.kernel), (int)(after.names - before.names));
    } while (hit);
    assert_true(n > 1);
    printf("%u allocations failed\n", n - 1);
}

/* Success, or no memory: nothing else. */
static bool worked(long result)
{
    if (result < 0 && (!alloc_fail_hit() || (result != -ENOMEM && result != -ENOSPC)))
        fail_msg("result %ld", result);
    return result >= 0;
}

/* For checks and cleaning up: nothing fails here. */
static uint64_t exists(const char *path)
{
    bool hit = alloc_fail_hit();
    struct dentry *dentry;
    uint64_t ino = 0;
    if (!hit)
        return 1;
    if (path_lookup(fake_context, NULL, path, 0, &dentry) == 0) {
        ino = dentry->inode->ino;
        dentry_put(dentry);
    }
    return ino;
}

static void gone(const char *path, bool dir)
{
    int err = vfs_unlink(fake_context, NULL, path, dir);
    if (err == -ENOMEM) /* it was this allocation's turn: the next one works */
        err = vfs_unlink(fake_context, NULL, path, dir);
    assert_true(err == 0 || err == -ENOENT);
}

static bool opened(const char *path, uint32_t flags, struct file **file)
{
    return worked(fs_open(fake_context, path, flags, 0644, file));
}

/* ---- scenarios ---- */

static void names(void)
{
    if (worked(vfs_make(fake_context, NULL, "/d", S_IFDIR | 0755, 0))) {
        struct file *file;
        if (opened("/d/" LONG_NAME, O_CREAT | O_RDWR, &file)) {
            file_put(file);
            if (!worked(vfs_rename(fake_context, NULL, "/d/" LONG_NAME, NULL, "/d/x", 0)))
                assert_true(exists("/d/" LONG_NAME) && !exists("/d/x"));
        } else {
            assert_false(exists("/d/" LONG_NAME));
        }
    } else {
        assert_false(exists("/d"));
    }
    if (!worked(vfs_symlink(fake_context, "/d/" LONG_NAME, NULL, "/s")))
        assert_false(exists("/s"));
    if (!worked(vfs_make(fake_context, NULL, "/fifo", S_IFIFO | 0644, 0)))
        assert_false(exists("/fifo"));
    gone("/s", false);
    gone("/fifo", false);
    gone("/d/" LONG_NAME, false);
    gone("/d/x", false);
    gone("/d", true);
}

/* A rename onto a name that exists: one of the two files stands there, and the other name agrees.
 */
static void replacing(void)
{
    struct file *a, *b;
    uint64_t ino = 0;
    if (opened("/a-" LONG_NAME, O_CREAT | O_RDWR, &a)) {
        ino = a->inode->ino;
        file_put(a);
    }
    if (opened("/b-" LONG_NAME, O_CREAT | O_RDWR, &b)) {
        uint64_t other = b->inode->ino;
        file_put(b);
        int err =
            ino ? vfs_rename(fake_context, NULL, "/a-" LONG_NAME, NULL, "/b-" LONG_NAME, 0) : 0;
        if (ino && worked(err) && alloc_fail_hit())
            assert_true(exists("/b-" LONG_NAME) == ino && !exists("/a-" LONG_NAME));
        else if (ino && err)
            assert_true(exists("/b-" LONG_NAME) == other && exists("/a-" LONG_NAME) == ino);
    }
    struct dentry *dentry;
    if (worked(path_lookup(fake_context, NULL, "/dev/null", LOOKUP_FOLLOW, &dentry)))
        dentry_put(dentry);
    gone("/a-" LONG_NAME, false);
    gone("/b-" LONG_NAME, false);
}

/* An open that fails has neither made nor cut the file. */
static void opening(void)
{
    static char text[5000];
    struct file *file;
    if (opened("/cut", O_CREAT | O_RDWR, &file)) {
        long wrote = file_write(file, text, sizeof text);
        uint64_t size = file_size(file);
        assert_int_equal(size, worked(wrote) ? wrote : 0);
        struct file *again;
        if (opened("/cut", O_RDWR | O_TRUNC, &again)) {
            assert_int_equal(file_size(file), 0);
            file_put(again);
        } else {
            assert_int_equal(file_size(file), size);
        }
        file_put(file);
    }
    if (opened("/" LONG_NAME, O_CREAT | O_EXCL | O_WRONLY, &file))
        file_put(file);
    else
        assert_false(exists("/" LONG_NAME));
    if (opened("/tmp", O_TMPFILE | O_RDWR, &file)) {
        if (!worked(vfs_link(fake_context, file->dentry, NULL, "/linked")))
            assert_int_equal(file->inode->nlink, 0);
        file_put(file);
    }
    if (worked(vfs_symlink(fake_context, "target-of-" LONG_NAME, NULL, "/via")) &&
        opened("/via", O_CREAT | O_WRONLY, &file))
        file_put(file);
    gone("/cut", false);
    gone("/" LONG_NAME, false);
    gone("/linked", false);
    gone("/via", false);
    gone("/target-of-" LONG_NAME, false);
}

static void contents(void)
{
    static char text[20000];
    struct file *file;
    memset(text, 'x', sizeof text);
    if (!opened("/c", O_CREAT | O_RDWR, &file))
        return;
    long n = file_write(file, text, sizeof text);
    if (worked(n))
        assert_int_equal(file_size(file), n); /* a short write: as much as it says */
    else
        assert_int_equal(file_size(file), 0);
    uint64_t size = file_size(file);
    if (!worked(ramfs_fallocate(file->inode, 0, 0, 9 * PAGE_SIZE)))
        assert_int_equal(file_size(file), size);
    size = file_size(file);
    if (!worked(inode_truncate(file->inode, 100000000)))
        assert_int_equal(file_size(file), size);
    (void)worked(ramfs_fallocate(file->inode, FALLOC_FL_ZERO_RANGE, 5000, 9000));
    (void)worked(
        ramfs_fallocate(file->inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 9999));
    (void)worked(file_pread(file, text, sizeof text, 0));
    file_put(file);
    gone("/c", false);
}

static void pipes(void)
{
    static uint8_t buf[70000], back[70000];
    struct file *end[2];
    if (!worked(pipe_create(end, O_NONBLOCK)))
        return;
    for (size_t i = 0; i < sizeof buf; i++)
        buf[i] = (uint8_t)(i * 11);
    long wrote = file_write(end[1], buf, sizeof buf);
    size_t have = worked(wrote) ? (size_t)wrote : 0;
    (void)worked(pipe_set_size(end[0], 2 * PIPE_SIZE_DEFAULT));
    long took = pipe_take(end[0], back, 30000, true);
    if (took > 0)
        pipe_settle(end[0], back, (size_t)took, 0);
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, back, sizeof back);
    long got = file_read_iter(end[0], &it, NULL);
    assert_int_equal(got, have ? (long)have : -EAGAIN);
    assert_memory_equal(buf, back, have);
    file_put(end[0]);
    file_put(end[1]);
    struct file *fifo;
    if (worked(vfs_make(fake_context, NULL, "/p", S_IFIFO | 0644, 0)) &&
        opened("/p", O_RDWR | O_NONBLOCK, &fifo)) {
        (void)worked(file_write(fifo, buf, 10));
        file_put(fifo);
    }
    gone("/p", false);
}

static bool emit_nothing(void *arg, uint32_t events, uint64_t data)
{
    (void)arg;
    (void)events;
    (void)data;
    return true;
}

static void events(void)
{
    struct file *outer = NULL, *inner = NULL, *event = NULL, *timer = NULL;
    bool all = worked(epoll_create_file(0, &outer));
    all = worked(epoll_create_file(0, &inner)) && all;
    all = worked(eventfd_create(1, false, O_NONBLOCK, &event)) && all;
    all = worked(timerfd_create_file(1, O_NONBLOCK, &timer)) && all;
    if (all) {
        bool in = worked(epoll_control(outer, EPOLL_CTL_ADD, 3, inner, POLLIN, 1));
        bool ev = worked(epoll_control(inner, EPOLL_CTL_ADD, 4, event, POLLIN, 2));
        (void)worked(epoll_control(inner, EPOLL_CTL_ADD, 5, timer, POLLIN, 3));
        /* What could not be added is not there. */
        assert_int_equal(epoll_control(outer, EPOLL_CTL_MOD, 3, inner, POLLIN, 1),
                         in ? 0 : -ENOENT);
        assert_int_equal(epoll_wait_events(inner, 4, 0, emit_nothing, NULL), ev ? 1 : 0);
        struct poll_wait pw;
        poll_wait_init(&pw);
        for (int i = 0; i < 50; i++) { /* more queues than fit inside */
            uint32_t ready = file_poll(timer, poll_wait_table(&pw, POLLIN));
            assert_int_equal(ready, 0);
        }
        int err = poll_wait_sleep(&pw, fake_now_ns + 1);
        assert_true(err == -ETIMEDOUT || (alloc_fail_hit() && err == -ENOMEM));
        poll_wait_done(&pw);
    }
    struct file *files[] = {outer, inner, event, timer};
    for (int i = 0; i < 4; i++)
        if (files[i])
            file_put(files[i]);
}

static void descriptors(void)
{
    struct fdtable *table = fdtable_create(), *copy;
    if (!table)
        return;
    for (int fd = 0; fd < 300; fd += 37) {
        struct file *file;
        if (!worked(eventfd_create(0, false, 0, &file)))
            continue;
        int got = fd_install(table, file, fd, false);
        if (!worked(got))
            file_put(file);
        else
            assert_int_equal(got, fd);
    }
    int reserved = fd_reserve(table);
    assert_true(worked(reserved));
    copy = fdtable_clone(table);
    fd_unreserve(table, reserved);
    fdtable_put(table);
    if (copy) {
        int fd = fd_reserve(copy); /* the number that was only reserved is free in the copy */
        assert_int_equal(fd, reserved);
        fd_unreserve(copy, fd);
    }
    fdtable_put(copy);
    struct fs_context *ctx = fs_context_clone(fake_context);
    fs_context_put(ctx);
}

static void locks(void)
{
    struct file *file;
    if (!opened("/l", O_CREAT | O_RDWR, &file))
        return;
    struct lock_request all = {F_WRLCK, false, &all, 1, 0, 99},
                        hole = {F_UNLCK, false, &all, 1, 40, 49};
    struct lock_request test = {F_WRLCK, false, &test, 2, 45, 45};
    if (worked(locks_set(file, &all, false))) {
        bool cut = worked(locks_set(file, &hole, false));
        locks_test(file, &test);
        assert_int_equal(test.type, cut ? F_UNLCK : F_WRLCK);
    }
    (void)worked(locks_flock(file, LOCK_EX, false));
    locks_fd_closed(file, &all);
    file_put(file);
    gone("/l", false);
}

static void terminal(void)
{
    struct file *file;
    char buf[64];
    if (!opened("/dev/tty", O_RDWR | O_NONBLOCK, &file))
        return;
    (void)worked(file_write(file, "text\n", 5));
    tty_input((const uint8_t *)"line\n", 5);
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, buf, sizeof buf);
    assert_int_equal(file_read_iter(file, &it, NULL), 5);
    file_put(file);
    struct fdtable *table = fdtable_create();
    if (table)
        (void)worked(fs_open_stdio(table));
    fdtable_put(table);
}

static void memory_files(void)
{
    struct file *file;
    if (worked(memfd_create_file(LONG_NAME, true, false, 0, &file))) {
        (void)worked(file_write(file, "x", 1));
        assert_int_equal(memfd_add_seals(file, F_SEAL_WRITE), 0);
        file_put(file);
    }
    if (opened("/dev/zero", O_RDWR, &file)) {
        struct vm_object *object;
        (void)worked(file->ops->mmap(file, 3, 1, &object));
        file_put(file);
    }
}

/* A value that cannot be set leaves the old one. */
static void attributes(void)
{
    struct file *file;
    char buf[64];
    const struct fs_cred *cred = &fake_cred;
    if (!opened("/x", O_CREAT | O_RDWR, &file))
        return;
    bool old = worked(xattr_set(cred, file->inode, "user.a", "old", 3, 0));
    bool new = worked(xattr_set(cred, file->inode, "user.a", "fresh", 5, 0));
    assert_int_equal(xattr_get(cred, file->inode, "user.a", buf, sizeof buf), new   ? 5
                                                                              : old ? 3
                                                                                    : -ENODATA);
    file_put(file); /* takes the attributes along */
    gone("/x", false);
}

/* An event for which there is no memory becomes an overflow: never silence. */
static void notifications(void)
{
    struct file *in, *file;
    char buf[512];
    if (!worked(inotify_create(O_NONBLOCK, &in)))
        return;
    int wd = inotify_add(in, vfs_root->inode, IN_CREATE | IN_DELETE);
    if (worked(wd) && opened("/" LONG_NAME, O_CREAT | O_RDWR, &file)) {
        file_put(file);
        gone("/" LONG_NAME, false);
        struct iov one;
        struct iov_iter it;
        iov_iter_init_kernel(&it, &one, buf, sizeof buf);
        long n = file_read_iter(in, &it, NULL);
        /* Two events with 48 bytes of name, or one and the overflow. */
        assert_true(n == 128 || (alloc_fail_hit() && n == 80));
        assert_int_equal(inotify_remove(in, wd), 0);
    }
    file_put(in);
    assert_int_equal(inotify_watches, 0);
}

/* ---- procfs, sysfs: read everything ---- */

struct listing {
    char names[200][48];
    unsigned count;
};

static bool keep_name(void *arg, const char *name, size_t len, uint64_t ino, unsigned type,
                      off64_t next)
{
    struct listing *list = arg;
    (void)ino;
    (void)type;
    (void)next;
    if (name[0] != '.' && list->count < 200 && len < 48)
        snprintf(list->names[list->count++], 48, "%.*s", (int)len, name);
    return true;
}

static void read_tree(const char *path, int depth)
{
    static char text[9000];
    struct file *file;
    struct dentry *dentry;
    int err = path_lookup(fake_context, NULL, path, 0, &dentry);
    if (!worked(err))
        return;
    uint32_t type = inode_mode(dentry->inode) & S_IFMT;
    dentry_put(dentry);
    if (type == S_IFLNK) {
        if (worked(path_lookup(fake_context, NULL, path, 0, &dentry))) {
            (void)worked(vfs_readlink(dentry, text, sizeof text));
            dentry_put(dentry);
        }
        return;
    }
    if (!opened(path, O_RDONLY, &file))
        return;
    if (type == S_IFDIR && depth > 0) {
        struct listing *list = calloc(1, sizeof(*list));
        assert_non_null(list);
        (void)worked(file->ops->readdir(file, &file->pos, keep_name, list));
        for (unsigned i = 0; i < list->count; i++) {
            char below[256];
            snprintf(below, sizeof below, "%s/%s", path, list->names[i]);
            read_tree(below, depth - 1);
        }
        free(list);
    } else if (type == S_IFREG) {
        (void)worked(file_pread(file, text, sizeof text, 0));
    }
    file_put(file);
}

static void generated(void)
{
    struct file *file;
    if (fake_fdtable && worked(eventfd_create(0, false, 0, &file))) {
        int fd = fd_install(fake_fdtable, file, 0, false);
        if (!worked(fd))
            file_put(file);
        read_tree("/proc/self/fd", 1);
        read_tree("/proc/self/fdinfo", 1);
        if (fd >= 0)
            assert_int_equal(fd_close(fake_fdtable, fd), 0);
    }
    read_tree("/proc/1", 1);
    read_tree("/proc/mounts", 0);
    read_tree("/proc/meminfo", 0);
    read_tree("/proc/self/task", 1);
    read_tree("/sys/devices/system/cpu/online", 0);
}

/* ---- the archive ---- */

static char archive[8192];
static size_t archive_len;

static void add(unsigned ino, unsigned mode, unsigned nlink, const char *name, const char *body)
{
    archive_len += (size_t)sprintf(archive + archive_len,
                                   "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x"
                                   "%08x%08x%08zx%08x%s",
                                   ino, mode, 0u, 0u, nlink, 0u, strlen(body), 0u, 0u, 1u, 3u,
                                   strlen(name) + 1, 0u, name) +
                   1;
    archive_len = (archive_len + 3) & ~(size_t)3;
    memcpy(archive + archive_len, body, strlen(body));
    archive_len = (archive_len + strlen(body) + 3) & ~(size_t)3;
}

static void unpacking(void)
{
    struct dentry *root;
    if (!worked(vfs_make(fake_context, NULL, "/tree", S_IFDIR | 0755, 0)))
        return;
    if (worked(path_lookup(fake_context, NULL, "/tree", 0, &root))) {
        (void)worked(initrd_unpack(archive, archive_len, root));
        dentry_put(root);
    }
    static const char *const files[] = {"/tree/d/e/file", ("/tree/d/" LONG_NAME), "/tree/d/hard",
                                        "/tree/link"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        gone(files[i], false);
    gone("/tree/d/e", true);
    gone("/tree/d", true);
    gone("/tree", true);
}

/* ---- tests ---- */

#define SWEEP(scenario) \
    static void sweep_##scenario(void **state) \
    { \
        (void)state; \
        sweep(scenario); \
    }
SWEEP(names)
SWEEP(replacing)
SWEEP(opening)
SWEEP(contents)
SWEEP(pipes)
SWEEP(events)
SWEEP(descriptors)
SWEEP(locks)
SWEEP(terminal)
SWEEP(memory_files)
SWEEP(notifications)
SWEEP(attributes)
SWEEP(generated)

static void sweep_unpacking(void **state)
{
    (void)state;
    archive_len = 0;
    add(1, 0100644, 1, "d/e/file", "text");
    add(2, 0100644, 2, "d/" LONG_NAME, "");
    add(2, 0100644, 2, "d/hard", "body");
    add(3, 0120777, 1, "link", "d/e/file");
    add(4, 0100600, 1, "link", "replaced");
    add(0, 0, 1, "TRAILER!!!", "");
    sweep(unpacking);
}

/* A read waits for memory, as long as that makes sense. */
static void reading_waits(void **state)
{
    (void)state;
    char byte;
    struct file *file;
    struct dentry *root;
    archive_len = 0;
    add(1, 0100644, 1, "packed", "text"); /* its page comes when it is read */
    add(0, 0, 1, "TRAILER!!!", "");
    assert_int_equal(path_lookup(fake_context, NULL, "/", 0, &root), 0);
    assert_int_equal(initrd_unpack(archive, archive_len, root), 0);
    dentry_put(root);
    assert_int_equal(fs_open(fake_context, "/packed", O_RDWR, 0, &file), 0);
    alloc_fail_nth(1);
    assert_int_equal(file_pread(file, &byte, 1, 0), -ENOMEM);
    assert_true(alloc_fail_hit());
    fake_memory_waits = 1;
    alloc_fail_nth(1);
    assert_int_equal(file_pread(file, &byte, 1, 0), 1);
    assert_true(alloc_fail_hit());
    alloc_fail_nth(0);
    assert_int_equal(fake_memory_waits, 0);
    file_put(file);
    assert_int_equal(vfs_unlink(fake_context, NULL, "/packed", false), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(sweep_##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names),
        TEST(replacing),
        TEST(opening),
        TEST(contents),
        TEST(pipes),
        TEST(events),
        TEST(descriptors),
        TEST(locks),
        TEST(terminal),
        TEST(memory_files),
        TEST(generated),
        TEST(notifications),
        TEST(attributes),
        TEST(unpacking),
        cmocka_unit_test_setup_teardown(reading_waits, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
