/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mounts - mount(2) and umount2(2): file systems of every kind, their options and limits, who keeps
 * them busy, read-only ones, what /proc and statfs tell. As root; natively also in a mount
 * namespace of its own (`unshare -m`). Argument: rounds of the storm at the end.
 */
#include "hugepool.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <utime.h>

static int rounds = 100; /* of the storm */
static char base[64] = "/tmp/mounts.XXXXXX", dir[96];

static const char *in(const char *name)
{
    static _Thread_local char path[4][160];
    static _Thread_local unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static int make_file(const char *path, size_t size)
{
    static char block[4096];
    int fd = open(path, O_CREAT | O_RDWR, 0644);
    for (size_t done = 0; fd >= 0 && done < size; done += sizeof block)
        if (write(fd, block, sizeof block) != (ssize_t)sizeof block) {
            int err = errno;
            close(fd);
            errno = err;
            return -1;
        }
    return fd;
}

/* The line of a file in /proc that tells of the mount at `path`; NULL: none. */
static const char *line_of(const char *file, const char *path)
{
    static char line[1024];
    char want[200];
    snprintf(want, sizeof want, " %s ", path);
    FILE *f = fopen(file, "r");
    REQUIRE(f);
    const char *found = NULL;
    while (!found && fgets(line, sizeof line, f))
        found = strstr(line, want) ? line : NULL;
    fclose(f);
    return found;
}

static void test_simple(void)
{
    struct statfs fs;
    struct stat outside, inside;
    REQUIRE(close(make_file(in("below"), 10)) == 0 && stat(dir, &outside) == 0);
    REQUIRE(mount("none", dir, "tmpfs", 0, NULL) == 0);
    REQUIRE_ERRNO(access(in("below"), F_OK), ENOENT);
    REQUIRE(stat(dir, &inside) == 0 && inside.st_dev != outside.st_dev);
    REQUIRE((inside.st_mode & 07777) == 01777);
    REQUIRE(statfs(dir, &fs) == 0 && fs.f_type == 0x01021994 && fs.f_bsize == 4096);
    REQUIRE(fs.f_blocks > 0 && fs.f_bfree == fs.f_blocks && fs.f_files > 0);
    const char *line = line_of("/proc/self/mounts", dir);
    REQUIRE(line && strncmp(line, "none ", 5) == 0 && strstr(line, " tmpfs rw,relatime"));
    line = line_of("/proc/self/mountinfo", dir);
    REQUIRE(line && strstr(line, " - tmpfs none rw"));
    REQUIRE_ERRNO(rename(dir, "/tmp/mounts.other"), EBUSY);
    REQUIRE_ERRNO(rename(base, in("x")), EXDEV);
    REQUIRE_ERRNO(rmdir(dir), EBUSY);
    REQUIRE(stat(in(".."), &inside) == 0 && inside.st_dev == outside.st_dev);
    /* Another one on top; what is above goes first. */
    REQUIRE(close(make_file(in("first"), 10)) == 0);
    REQUIRE(mount("again", dir, "tmpfs", MS_NOSUID, "") == 0);
    REQUIRE_ERRNO(access(in("first"), F_OK), ENOENT);
    REQUIRE(umount(dir) == 0 && access(in("first"), F_OK) == 0);
    REQUIRE(umount(dir) == 0 && access(in("below"), F_OK) == 0);
    REQUIRE(unlink(in("below")) == 0 && !line_of("/proc/self/mounts", dir));
}

static void test_errors(void)
{
    REQUIRE(close(make_file(in("file"), 1)) == 0);
    REQUIRE_ERRNO(mount("none", in("none"), "tmpfs", 0, NULL), ENOENT);
    REQUIRE_ERRNO(mount("none", dir, "nosuchfs", 0, NULL), ENODEV);
    REQUIRE_ERRNO(mount("none", dir, NULL, 0, NULL), EINVAL);
    REQUIRE_ERRNO(mount("none", in("file"), "tmpfs", 0, NULL), ENOTDIR);
    REQUIRE_ERRNO(mount("none", dir, "tmpfs", 0, "size=x"), EINVAL);
    REQUIRE_ERRNO(mount("none", dir, "tmpfs", 0, "nosuch=1"), EINVAL);
    REQUIRE_ERRNO(mount("none", dir, "tmpfs", 0, "mode=888"), EINVAL);
    REQUIRE_ERRNO(mount((char *)8, dir, "tmpfs", 0, NULL), EFAULT);
    REQUIRE_ERRNO(mount("none", dir, "tmpfs", MS_REMOUNT, NULL), EINVAL);
    REQUIRE_ERRNO(umount(dir), EINVAL);
    REQUIRE_ERRNO(umount(in("none")), ENOENT);
    REQUIRE_ERRNO(umount(in("file")), EINVAL);
    REQUIRE_ERRNO(umount2(dir, 64), EINVAL);
    REQUIRE_ERRNO(umount2(dir, MNT_DETACH | MNT_EXPIRE), EINVAL);
    REQUIRE(unlink(in("file")) == 0);
    REQUIRE(seteuid(1000) == 0);
    REQUIRE_ERRNO(mount("none", "/tmp", "tmpfs", 0, NULL), EPERM);
    REQUIRE_ERRNO(umount("/tmp"), EPERM);
    REQUIRE(seteuid(0) == 0);
}

static void test_limits(void)
{
    struct statfs fs;
    REQUIRE(mount("small", dir, "tmpfs", 0, "size=64k,nr_inodes=4,mode=750,uid=7,gid=8") == 0);
    struct stat st;
    REQUIRE(stat(dir, &st) == 0 && st.st_uid == 7 && st.st_gid == 8);
    REQUIRE((st.st_mode & 07777) == 0750);
    const char *line = line_of("/proc/mounts", dir);
    REQUIRE(line && strstr(line, ",size=64k,nr_inodes=4,mode=750,uid=7,gid=8"));
    REQUIRE(statfs(dir, &fs) == 0 && fs.f_blocks == 16 && fs.f_bfree == 16 && fs.f_files == 4);
    int fd = make_file(in("a"), 60 << 10);
    REQUIRE(fd >= 0 && statfs(dir, &fs) == 0 && fs.f_bfree == 1);
    REQUIRE_ERRNO(make_file(in("b"), 8192), ENOSPC);
    struct stat partial;
    REQUIRE(stat(in("b"), &partial) == 0 && partial.st_size == 4096);
    REQUIRE(ftruncate(fd, 0) == 0 && statfs(dir, &fs) == 0 && fs.f_bfree == 15);
    REQUIRE_ERRNO(fallocate(fd, 0, 0, 128 << 10), ENOSPC);
    REQUIRE(unlink(in("b")) == 0);
    /* A mapping of what there is no room for: SIGBUS. */
    REQUIRE(ftruncate(fd, 20 * 4096) == 0);
    char *p = mmap(NULL, 20 * 4096, RW, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED);
    volatile int touched = 0;
    signal(SIGBUS, on_bus);
    if (sigsetjmp(back, 1) == 0)
        for (; touched < 20; touched++)
            ((volatile char *)p)[touched * 4096] = 1;
    signal(SIGBUS, SIG_DFL);
    REQUIRE(touched == 16);
    REQUIRE(munmap(p, 20 * 4096) == 0 && ftruncate(fd, 0) == 0 && close(fd) == 0);
    /* Inodes: the root, a, and two more. */
    REQUIRE(mkdir(in("d"), 0755) == 0 && symlink("x", in("l")) == 0);
    REQUIRE_ERRNO(mkdir(in("e"), 0755), ENOSPC);
    REQUIRE_ERRNO(open(in("f"), O_CREAT | O_RDWR, 0600), ENOSPC);
    REQUIRE_ERRNO(symlink("x", in("m")), ENOSPC);
    REQUIRE(rmdir(in("d")) == 0 && mkdir(in("e"), 0755) == 0);
    /* More of both; not less than there is. */
    REQUIRE((fd = make_file(in("a"), 16 << 10)) >= 0 && close(fd) == 0);
    REQUIRE_ERRNO(mount("x", dir, "tmpfs", MS_REMOUNT, "size=8k"), EINVAL);
    REQUIRE_ERRNO(mount("x", dir, "tmpfs", MS_REMOUNT, "nr_inodes=2"), EINVAL);
    REQUIRE(mount("x", dir, "tmpfs", MS_REMOUNT, "size=1M,nr_inodes=10") == 0);
    REQUIRE(statfs(dir, &fs) == 0 && fs.f_blocks == 256 && fs.f_bfree == 252 && fs.f_files == 10);
    REQUIRE((fd = make_file(in("f"), 512 << 10)) >= 0 && close(fd) == 0);
    REQUIRE(umount(dir) == 0);
}

static void test_busy(void)
{
    REQUIRE(mount("none", dir, "tmpfs", 0, "size=1m") == 0);
    int fd = make_file(in("a"), 8192);
    REQUIRE_ERRNO(umount(dir), EBUSY);
    char *p = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED && close(fd) == 0);
    REQUIRE_ERRNO(umount(dir), EBUSY);
    REQUIRE(munmap(p, 8192) == 0);
    REQUIRE((fd = open(dir, O_PATH)) >= 0);
    REQUIRE_ERRNO(umount(dir), EBUSY);
    REQUIRE(close(fd) == 0 && chdir(dir) == 0);
    REQUIRE_ERRNO(umount(dir), EBUSY);
    REQUIRE(chdir("/") == 0 && mkdir(in("sub"), 0755) == 0);
    REQUIRE(mount("none", in("sub"), "ramfs", 0, NULL) == 0);
    REQUIRE_ERRNO(umount(dir), EBUSY);
    REQUIRE(umount2(in("sub"), UMOUNT_NOFOLLOW) == 0);
    REQUIRE_ERRNO(umount2(dir, MNT_EXPIRE), EAGAIN);
    REQUIRE(access(in("a"), F_OK) == 0); /* a use */
    REQUIRE_ERRNO(umount2(dir, MNT_EXPIRE), EAGAIN);
    REQUIRE((fd = open(in("a"), O_RDONLY)) >= 0);
    REQUIRE_ERRNO(umount2(dir, MNT_EXPIRE), EBUSY);
    REQUIRE(close(fd) == 0 && access(base, F_OK) == 0);
    REQUIRE_ERRNO(umount2(dir, MNT_EXPIRE), EAGAIN);
    REQUIRE(umount2(dir, MNT_EXPIRE) == 0);
    REQUIRE(!line_of("/proc/self/mounts", dir));
}

/* 0 means none; a limit does not come later, and a remount that fails has changed nothing. */
static void test_no_limits(void)
{
    struct statfs fs;
    REQUIRE(mount("x", dir, "tmpfs", 0, "size=0,nr_inodes=0") == 0);
    REQUIRE(statfs(dir, &fs) == 0 && fs.f_blocks == 0 && fs.f_bfree == 0);
    REQUIRE(fs.f_files == 0 && fs.f_ffree == 0);
    const char *line = line_of("/proc/mounts", dir);
    REQUIRE(line && strstr(line, ",size=0k,nr_inodes=0"));
    REQUIRE(close(make_file(in("a"), 64 << 10)) == 0);
    REQUIRE_ERRNO(mount("x", dir, "tmpfs", MS_REMOUNT, "size=1m"), EINVAL);
    REQUIRE_ERRNO(mount("x", dir, "tmpfs", MS_REMOUNT, "nr_inodes=9"), EINVAL);
    REQUIRE(mount("x", dir, "tmpfs", MS_REMOUNT, "size=0") == 0 && umount(dir) == 0);
    REQUIRE(mount("x", dir, "tmpfs", 0, "nr_blocks=4,nr_inodes=9") == 0);
    int fd = make_file(in("a"), 8192);
    REQUIRE_ERRNO(mount("x", dir, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1m"), EBUSY);
    REQUIRE(statfs(dir, &fs) == 0 && fs.f_blocks == 4);
    REQUIRE_ERRNO(mount("x", dir, "tmpfs", MS_REMOUNT, "size=1m,nr_inodes=1"), EINVAL);
    REQUIRE(statfs(dir, &fs) == 0 && fs.f_blocks == 4 && fs.f_files == 9);
    REQUIRE(mount("x", dir, "tmpfs", MS_REMOUNT, "size=0,nr_inodes=0") == 0);
    REQUIRE(statfs(dir, &fs) == 0 && fs.f_blocks == 0 && fs.f_files == 0);
    REQUIRE(close(fd) == 0 && close(make_file(in("a"), 64 << 10)) == 0 && umount(dir) == 0);
    REQUIRE(mount("x", dir, "tmpfs", 0, "size=4097") == 0); /* whole pages */
    line = line_of("/proc/mounts", dir);
    REQUIRE(line && strstr(line, ",size=8k") && umount(dir) == 0);
}

static void test_detach(void)
{
    char text[64];
    REQUIRE(mount("none", dir, "tmpfs", 0, NULL) == 0 && mkdir(in("sub"), 0755) == 0);
    REQUIRE(mount("none", in("sub"), "tmpfs", 0, NULL) == 0);
    int fd = make_file(in("sub/a"), 8192), top = make_file(in("t"), 4096);
    int at = open(dir, O_RDONLY | O_DIRECTORY);
    REQUIRE(fd >= 0 && top >= 0 && at >= 0 && chdir(dir) == 0);
    REQUIRE(umount2(dir, MNT_DETACH) == 0);
    REQUIRE(!line_of("/proc/self/mounts", dir) && !line_of("/proc/self/mounts", in("sub")));
    REQUIRE(write(fd, "still", 5) == 5 && pread(fd, text, 5, 8192) == 5);
    REQUIRE(memcmp(text, "still", 5) == 0);
    REQUIRE(access("t", F_OK) == 0 && faccessat(at, "t", F_OK, 0) == 0);
    REQUIRE(access(in("t"), F_OK) != 0 && close(make_file("new", 4096)) == 0);
    REQUIRE(chdir("/") == 0 && faccessat(at, "new", F_OK, 0) == 0);
    REQUIRE(close(at) == 0 && close(top) == 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
    REQUIRE(mount("none", dir, "tmpfs", 0, NULL) == 0 && umount(dir) == 0);
}

static void test_readonly(void)
{
    struct statvfs vfs;
    REQUIRE(mount("none", dir, "tmpfs", 0, NULL) == 0);
    int fd = make_file(in("a"), 4096);
    REQUIRE_ERRNO(mount("none", dir, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), EBUSY);
    REQUIRE(close(fd) == 0);
    REQUIRE(mount("none", dir, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL) == 0);
    const char *line = line_of("/proc/self/mounts", dir);
    REQUIRE(line && strstr(line, " tmpfs ro,relatime"));
    REQUIRE(statvfs(dir, &vfs) == 0 && (vfs.f_flag & ST_RDONLY));
    REQUIRE_ERRNO(open(in("a"), O_RDWR), EROFS);
    REQUIRE_ERRNO(open(in("a"), O_RDONLY | O_TRUNC), EROFS);
    REQUIRE_ERRNO(open(in("b"), O_CREAT | O_RDONLY, 0600), EROFS);
    REQUIRE_ERRNO(mkdir(in("d"), 0755), EROFS);
    REQUIRE_ERRNO(unlink(in("a")), EROFS);
    REQUIRE_ERRNO(rename(in("a"), in("c")), EROFS);
    REQUIRE_ERRNO(link(in("a"), in("c")), EROFS);
    REQUIRE_ERRNO(chmod(in("a"), 0600), EROFS);
    REQUIRE_ERRNO(utime(in("a"), NULL), EROFS);
    REQUIRE_ERRNO(truncate(in("a"), 0), EROFS);
    REQUIRE_ERRNO(access(in("a"), W_OK), EROFS);
    REQUIRE_ERRNO(setxattr(in("a"), "trusted.x", "y", 1, 0), EROFS);
    REQUIRE_ERRNO(open(dir, O_TMPFILE | O_RDWR, 0600), EROFS);
    REQUIRE((fd = open(in("a"), O_RDONLY | O_CREAT, 0600)) >= 0 && close(fd) == 0);
    REQUIRE(mount("none", dir, "tmpfs", MS_REMOUNT, NULL) == 0);
    /* A mapping that could write is a writer, without its descriptor and read-only, too. */
    REQUIRE((fd = open(in("a"), O_RDWR)) >= 0 && ftruncate(fd, 8192) == 0);
    char *p = mmap(NULL, 8192, RW, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED && close(fd) == 0 && mprotect(p, 4096, PROT_READ) == 0);
    REQUIRE_ERRNO(mount("none", dir, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), EBUSY);
    REQUIRE(munmap(p + 4096, 4096) == 0);
    REQUIRE_ERRNO(mount("none", dir, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), EBUSY);
    REQUIRE(munmap(p, 4096) == 0 && (fd = open(in("a"), O_RDONLY)) >= 0);
    p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED && close(fd) == 0);
    REQUIRE(mount("none", dir, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL) == 0);
    REQUIRE(munmap(p, 4096) == 0 && umount(dir) == 0);
}

static void test_flags(void)
{
    struct statvfs vfs;
    unsigned long flags = MS_NOEXEC | MS_NODEV | MS_NOSUID | MS_NOATIME;
    REQUIRE(mount("a b", dir, "tmpfs", flags, NULL) == 0);
    const char *line = line_of("/proc/self/mounts", dir);
    REQUIRE(line && strncmp(line, "a\\040b ", 7) == 0);
    REQUIRE(strstr(line, " rw,nosuid,nodev,noexec,noatime"));
    REQUIRE(statvfs(dir, &vfs) == 0 && (vfs.f_flag & 0xe) == 0xe && (vfs.f_flag & 1024));
    int fd = make_file(in("a"), 4096);
    REQUIRE(fchmod(fd, 0755) == 0);
    REQUIRE_ERRNO((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0), EPERM);
    REQUIRE(close(fd) == 0);
    REQUIRE_ERRNO(execl(in("a"), "a", NULL), EACCES);
    REQUIRE(mknod(in("null"), S_IFCHR | 0666, makedev(1, 3)) == 0);
    REQUIRE_ERRNO(open(in("null"), O_RDWR), EACCES);
    REQUIRE(umount(dir) == 0);
}

static void test_move(void)
{
    REQUIRE(mkdir(in("from"), 0755) == 0 && mkdir(in("to"), 0755) == 0);
    REQUIRE(mount("none", in("from"), "tmpfs", 0, NULL) == 0);
    REQUIRE(close(make_file(in("from/a"), 1)) == 0);
    REQUIRE(mkdir(in("from/sub"), 0755) == 0);
    REQUIRE_ERRNO(mount(in("from"), in("from/sub"), NULL, MS_MOVE, NULL), ELOOP);
    REQUIRE_ERRNO(mount(in("to"), in("from"), NULL, MS_MOVE, NULL), EINVAL);
    REQUIRE(mount(in("from"), in("to"), NULL, MS_MOVE, NULL) == 0);
    REQUIRE(access(in("to/a"), F_OK) == 0 && access(in("from/a"), F_OK) != 0);
    REQUIRE(umount(in("to")) == 0 && rmdir(in("from")) == 0 && rmdir(in("to")) == 0);
    REQUIRE(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) == 0);
}

static void test_others(void)
{
    struct statfs fs;
    char text[32];
    REQUIRE(mount("proc", dir, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0);
    REQUIRE(statfs(dir, &fs) == 0 && fs.f_type == 0x9fa0 && fs.f_blocks == 0);
    ssize_t n = readlink(in("self"), text, sizeof text - 1);
    REQUIRE(n > 0 && atoi((text[n] = 0, text)) == getpid());
    REQUIRE(access(in("self/maps"), R_OK) == 0 && umount(dir) == 0);
    REQUIRE(mount("sysfs", dir, "sysfs", 0, NULL) == 0);
    REQUIRE(access(in("devices/system/cpu/online"), R_OK) == 0 && umount(dir) == 0);
    REQUIRE(mount("dev", dir, "devtmpfs", 0, NULL) == 0);
    int fd = open(in("zero"), O_RDONLY);
    REQUIRE(fd >= 0 && read(fd, text, 8) == 8 && close(fd) == 0 && umount(dir) == 0);
    REQUIRE(mount("ram", dir, "ramfs", 0, "mode=711") == 0);
    struct stat st;
    REQUIRE(stat(dir, &st) == 0 && (st.st_mode & 07777) == 0711);
    REQUIRE(statfs(dir, &fs) == 0 && fs.f_type == (long)0x858458f6);
    REQUIRE((fd = make_file(in("a"), 8192)) >= 0 && close(fd) == 0 && umount(dir) == 0);
}

static void test_huge(void)
{
    struct statfs fs;
    int lock = pool_lock();
    if (number_in("/proc/meminfo", "HugePages_Total:") != 0 || set_pool(4) != 0) {
        close(lock); /* somebody else's, or no memory for them */
        return;
    }
    base_free = 4;
    REQUIRE_ERRNO(mount("h", dir, "hugetlbfs", 0, "pagesize=3M"), EINVAL);
    REQUIRE_ERRNO(mount("h", dir, "hugetlbfs", 0, "min_size=64M"), ENOMEM);
    REQUIRE_ERRNO(mount("h", dir, "hugetlbfs", 0, "size=2M,min_size=4M"), EINVAL);
    REQUIRE(mount("h", dir, "hugetlbfs", 0, "size=4M,min_size=4M") == 0 && umount(dir) == 0);
    REQUIRE(mount("h", dir, "hugetlbfs", 0, "size=6M,min_size=4M,nr_inodes=3,mode=700") == 0);
    const char *line = line_of("/proc/mounts", dir);
    REQUIRE(line && strstr(line, "pagesize=2M") && strstr(line, "size=6291456"));
    REQUIRE(strstr(line, "min_size=4194304") && strstr(line, "nr_inodes=3"));
    REQUIRE(statfs(dir, &fs) == 0 && fs.f_bsize == (long)BIG && fs.f_blocks == 3);
    REQUIRE(fs.f_files == 3);
    require_pool(0, 2);
    int a = open(in("a"), O_CREAT | O_RDWR, 0600), b = open(in("b"), O_CREAT | O_RDWR, 0600);
    REQUIRE(a >= 0 && b >= 0);
    REQUIRE_ERRNO(open(in("c"), O_CREAT | O_RDWR, 0600), ENOSPC);
    REQUIRE(fallocate(a, 0, 0, (long)BIG) == 0);
    require_pool(1, 1);
    char *p = mmap(NULL, 2 * BIG, RW, MAP_SHARED, b, 0);
    REQUIRE(p != MAP_FAILED);
    require_pool(1, 2);
    REQUIRE_ERRNO((long)mmap(NULL, BIG, RW, MAP_SHARED, a, (long)BIG), ENOMEM);
    REQUIRE_ERRNO(fallocate(a, 0, (long)BIG, (long)BIG), ENOSPC);
    p[0] = p[BIG] = 1;
    require_pool(3, 0);
    REQUIRE(statfs(dir, &fs) == 0 && fs.f_bfree == 0);
    REQUIRE(munmap(p, 2 * BIG) == 0 && ftruncate(b, 0) == 0);
    require_pool(1, 1);
    REQUIRE(ftruncate(a, 0) == 0);
    require_pool(0, 2);
    REQUIRE(close(a) == 0 && close(b) == 0);
    REQUIRE(umount(dir) == 0);
    require_pool(0, 0);
    REQUIRE(set_pool(0) == 0);
    close(lock);
}

static void test_chroot(void)
{
    char text[64];
    REQUIRE(mount("none", dir, "tmpfs", 0, NULL) == 0 && mkdir(in("etc"), 0755) == 0);
    REQUIRE(close(make_file(in("etc/x"), 1)) == 0);
    int out = open("/", O_RDONLY | O_DIRECTORY);
    REQUIRE_ERRNO(chroot(in("none")), ENOENT);
    REQUIRE_ERRNO(chroot(in("etc/x")), ENOTDIR);
    REQUIRE(seteuid(1000) == 0);
    REQUIRE_ERRNO(chroot("/"), EPERM);
    REQUIRE(seteuid(0) == 0 && chroot(dir) == 0);
    REQUIRE(access("/etc/x", F_OK) == 0 && access("/../../etc/x", F_OK) == 0);
    REQUIRE(chdir("/etc") == 0 && getcwd(text, sizeof text) && strcmp(text, "/etc") == 0);
    REQUIRE(fchdir(out) == 0 && chroot(".") == 0 && close(out) == 0);
    REQUIRE(umount(dir) == 0);
}

/* Walks, listings and the tables in /proc beside mounts that come and go. */
static volatile int stop;

static void *walker(void *arg)
{
    struct stat st;
    char text[4096];
    for (unsigned i = (unsigned)(uintptr_t)arg; !stop; i++) {
        stat(in("x/../.."), &st);
        int fd = open(in(i % 2 ? "x" : "sub/y"), O_CREAT | O_RDWR, 0600);
        if (fd >= 0) {
            (void)!write(fd, text, sizeof text);
            struct statfs fs;
            fstatfs(fd, &fs);
            close(fd);
        }
        if ((fd = open(i % 3 ? "/proc/self/mountinfo" : "/proc/self/mounts", O_RDONLY)) >= 0) {
            while (read(fd, text, sizeof text) > 0)
                ;
            close(fd);
        }
        mkdir(in("sub"), 0755);
        rename(in("x"), in("sub/z"));
    }
    return NULL;
}

static void test_storm(void)
{
    pthread_t threads[3];
    int busy = 0;
    for (uintptr_t i = 0; i < 3; i++)
        REQUIRE(pthread_create(&threads[i], NULL, walker, (void *)i) == 0);
    for (int round = 0; round < rounds; round++) {
        REQUIRE(mount("none", dir, "tmpfs", 0, "size=1m") == 0);
        sched_yield();
        for (int i = 0; i < round % 8; i++)
            busy += mount("none", in("sub"), "tmpfs", 0, NULL) != 0;
        while (round % 2 && umount(dir) != 0 && errno == EBUSY && busy++ < 100000)
            umount2(in("sub"), MNT_DETACH);
        if (round % 2 == 0)
            REQUIRE(umount2(dir, MNT_DETACH) == 0);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    while (umount(dir) == 0)
        ;
    REQUIRE(errno == EINVAL);
    unlink(in("x"));
    unlink(in("sub/y"));
    unlink(in("sub/z"));
    rmdir(in("sub"));
}

int main(int argc, char **argv)
{
    struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"simple", test_simple},     {"errors", test_errors},       {"limits", test_limits},
        {"busy", test_busy},         {"no limits", test_no_limits}, {"detach", test_detach},
        {"readonly", test_readonly}, {"flags", test_flags},         {"move", test_move},
        {"others", test_others},     {"huge", test_huge},           {"chroot", test_chroot},
        {"storm", test_storm}};
    if (argc > 1)
        rounds = atoi(argv[1]);
    setvbuf(stdout, NULL, _IONBF, 0);
    umask(022);
    REQUIRE(mkdtemp(base));
    snprintf(dir, sizeof dir, "%s/m", base);
    REQUIRE(mkdir(dir, 0755) == 0);
    for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++)
        tests[i].run();
    REQUIRE(rmdir(dir) == 0 && rmdir(base) == 0);
    return guest_pass("mounts");
}
