/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * names.c - what calls that make, remove and move names say of every pair of paths. One line for
 * each call and first path: the errors for all second paths in their order. What is right is what
 * Linux prints (the table runs it there, too): of two bad paths the error says which was looked at
 * first.
 */
#include "guest.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOREPLACE 1
#define EXCHANGE 2

static char name255[256], name256[257], in_dir[300], in_file[300], in_none[300], slash256[300];
static char path4095[4096], path4096[4097];

/* No "/": what is mounted where is the machine's affair. */
static const char *const paths[] = {
    "",         ".",         "..",         "file",        "file/",  "file/.",  "file/x",
    "dir",      "dir/",      "dir/.",      "dir/..",      "full",   "full/",   "full/in",
    "full/new", "full/new/", "dangling",   "dangling/",   "tofile", "new",     "tofile/",
    "todir",    "todir/",    "todir/new",  "loop",        "loop/x", "new/",    "new/.",
    "new/x",    "tofile/x",  "dangling/x", "full/../new", name255,  name256,   slash256,
    in_dir,     in_file,     in_none,      path4095,      path4096, (char *)1,
};

static void make_paths(void)
{
    memset(name255, 'n', 255);
    memset(name256, 'n', 256);
    snprintf(slash256, sizeof(slash256), "%s/", name256);
    snprintf(in_dir, sizeof(in_dir), "dir/%s", name256);
    snprintf(in_file, sizeof(in_file), "file/%s", name256);
    snprintf(in_none, sizeof(in_none), "none/%s", name256);
    for (int i = 0; i < 4094; i += 2)
        memcpy(path4096 + i, "./", 2);
    memcpy(path4095, path4096, 4094);
    path4095[4094] = 'p';
    memcpy(path4096 + 4094, "pp", 2);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return strcmp(path, ".") == 0 ? 0 : remove(path);
}

static void remove_all(void)
{
    REQUIRE(nftw(".", remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static void make_all(void)
{
    remove_all();
    REQUIRE(mknod("file", S_IFREG | 0644, 0) == 0);
    REQUIRE(mkdir("dir", 0755) == 0 && mkdir("full", 0755) == 0);
    REQUIRE(mknod("full/in", S_IFREG | 0644, 0) == 0);
    REQUIRE(symlink("nowhere", "dangling") == 0 && symlink("file", "tofile") == 0);
    REQUIRE(symlink("dir", "todir") == 0 && symlink("loop", "loop") == 0);
}

enum call {
    RENAME,
    RENAME_NOREPLACE_,
    RENAME_EXCHANGE_,
    LINK,
    LINK_FOLLOW,
    SYMLINK,
    CALLS_OF_TWO,
    MKDIR = CALLS_OF_TWO,
    MKFIFO,
    UNLINK,
    RMDIR,
    CREATE,
    CREATE_EXCL,
    CREATE_NOFOLLOW,
    OPEN_DIR,
    STAT,
    LSTAT,
    READLINK,
    TRUNCATE,
    CHMOD,
    CALLS,
};
static const char *const call_names[] = {
    "rename",  "noreplace",   "exchange",        "link",           "link-follow",
    "symlink", "mkdir",       "mkfifo",          "unlink",         "rmdir",
    "create",  "create-excl", "create-nofollow", "open-directory", "stat",
    "lstat",   "readlink",    "truncate",        "chmod",
};

static int opened(const char *path, int flags)
{
    int fd = open(path, flags, 0644);
    return fd < 0 ? fd : close(fd);
}

static long rename_flags(const char *p, const char *q, unsigned flags)
{
    return syscall(SYS_renameat2, AT_FDCWD, p, AT_FDCWD, q, flags);
}

static long call_two(enum call call, const char *p, const char *q)
{
    switch (call) {
    case RENAME:
        return rename_flags(p, q, 0);
    case RENAME_NOREPLACE_:
        return rename_flags(p, q, NOREPLACE);
    case RENAME_EXCHANGE_:
        return rename_flags(p, q, EXCHANGE);
    case LINK:
        return linkat(AT_FDCWD, p, AT_FDCWD, q, 0);
    case LINK_FOLLOW:
        return linkat(AT_FDCWD, p, AT_FDCWD, q, AT_SYMLINK_FOLLOW);
    default:
        return symlink(p, q);
    }
}

static long call_one(enum call call, const char *p)
{
    struct stat st;
    char text[16];
    switch (call) {
    case MKDIR:
        return mkdir(p, 0755);
    case MKFIFO:
        return mknod(p, S_IFIFO | 0644, 0);
    case UNLINK:
        return unlink(p);
    case RMDIR:
        return rmdir(p);
    case CREATE:
        return opened(p, O_CREAT | O_RDONLY);
    case CREATE_EXCL:
        return opened(p, O_CREAT | O_EXCL | O_RDONLY);
    case CREATE_NOFOLLOW:
        return opened(p, O_CREAT | O_NOFOLLOW | O_RDONLY);
    case OPEN_DIR:
        return opened(p, O_DIRECTORY | O_RDONLY);
    case STAT:
        return stat(p, &st);
    case LSTAT:
        return lstat(p, &st);
    case READLINK:
        return readlink(p, text, sizeof(text)) < 0 ? -1 : 0;
    case TRUNCATE:
        return truncate(p, 100);
    default:
        return chmod(p, 0755);
    }
}

static int error_of(long result)
{
    int err = result ? errno : 0;
    if (err == 0)
        make_all();
    return err;
}

/* The directories of the two paths come in between, too. */
static void with_directories(void)
{
    int file = open("file", O_RDONLY), dir = open("dir", O_RDONLY);
    int fds[] = {AT_FDCWD, dir, file, -1};
    const char *const few[] = {"", "file", "none/x", "file/x", name256, path4096, (char *)1};
    REQUIRE(file >= 0 && dir >= 0);
    for (size_t i = 0; i < COUNT(fds) * COUNT(fds); i++) {
        int from = fds[i / COUNT(fds)], to = fds[i % COUNT(fds)];
        printf("at %zu:", i);
        for (size_t j = 0; j < COUNT(few) * COUNT(few); j++) {
            const char *p = few[j / COUNT(few)], *q = few[j % COUNT(few)];
            int renamed = error_of(syscall(SYS_renameat2, from, p, to, q, 0));
            /* A success makes new files, and a descriptor of the old directory is of no use. */
            REQUIRE(renamed || to == AT_FDCWD);
            printf(" %d,%d", renamed, linkat(from, p, to, q, 0) ? errno : 0);
            (void)!unlinkat(to, q, 0);
        }
        printf("\n");
    }
    close(file);
    close(dir);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    /* Where there is one, a file system in memory: names are made and removed by the thousand. */
    char folder[40];
    snprintf(folder, sizeof(folder), "names.%d", (int)getpid());
    if (chdir("/dev/shm"))
        REQUIRE(errno == ENOENT);
    REQUIRE(mkdir(folder, 0755) == 0 && chdir(folder) == 0);
    REQUIRE(mkdir("below", 0755) == 0 && chdir("below") == 0);
    make_paths();
    make_all();
    for (int call = 0; call < CALLS; call++) {
        for (size_t i = 0; i < COUNT(paths); i++) {
            printf("%s %zu %.12s:", call_names[call], i,
                   paths[i] == (char *)1 ? "(fault)" : paths[i]);
            for (size_t j = 0; call < CALLS_OF_TWO && j < COUNT(paths); j++)
                printf(" %d", error_of(call_two((enum call)call, paths[i], paths[j])));
            if (call >= CALLS_OF_TWO)
                printf(" %d", error_of(call_one((enum call)call, paths[i])));
            printf("\n");
        }
    }
    /* Unknown and contradicting flags come before both paths. */
    REQUIRE_ERRNO(rename_flags((char *)1, "", EXCHANGE | NOREPLACE), EINVAL);
    REQUIRE_ERRNO(rename_flags((char *)1, "", 8), EINVAL);
    REQUIRE_ERRNO(linkat(AT_FDCWD, (char *)1, -1, "", 1), EINVAL);
    with_directories();
    remove_all();
    REQUIRE(chdir("..") == 0 && rmdir("below") == 0 && chdir("..") == 0 && rmdir(folder) == 0);
    return guest_pass("names");
}
