/* SPDX-License-Identifier: BSD-3-Clause */
/* host_model.c - see host_model.h. Compiled with the host's headers only. */
#define _GNU_SOURCE
#include "host_model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

static char root[64];

static int result(long r)
{
    return r < 0 ? -errno : 0;
}
int host_begin(void)
{
    struct statfs fs;
    snprintf(root, sizeof root, "/dev/shm/selkie-vfs-%d", (int)getpid());
    if (geteuid() != 0 || statfs("/dev/shm", &fs) || fs.f_type != 0x01021994)
        return 0;
    umask(022);
    if (mkdir(root, 0755) || chdir(root))
        return 0;
    for (int depth = 0; depth < 12; depth++) /* links lead upwards, but not out of here */
        if (mkdir("w", 0755) || chdir("w"))
            return 0;
    return 1;
}
void host_end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    if (chdir("/") || system(command))
        perror(command);
}
/* Is everything below `path` gone, apart from a folder "w" there if keep? */
static int clean_folder(const char *path, int keep)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int err = dir ? 0 : -errno;

    while (dir && !err && (entry = readdir(dir))) {
        char name[4096];
        struct stat st;

        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
            (keep && !strcmp(entry->d_name, "w")))
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (lstat(name, &st) == 0 && S_ISDIR(st.st_mode))
            err = clean_folder(name, 0);
        if (!err)
            err = result(remove(name));
    }
    if (dir)
        closedir(dir);
    return err;
}
int host_clean(unsigned above)
{
    char path[64] = ".";
    int err = clean_folder(path, 0);

    for (unsigned i = 0; i < above && !err; i++) {
        strcat(path, "/..");
        err = clean_folder(path, 1);
    }
    return err;
}
int host_mkdir(const char *path, unsigned mode)
{
    return result(mkdir(path, mode));
}
int host_rmdir(const char *path)
{
    return result(rmdir(path));
}
int host_unlink(const char *path)
{
    return result(unlink(path));
}
int host_rename(const char *from, const char *to, unsigned flags)
{
    return result(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags));
}
int host_link(const char *from, const char *to)
{
    return result(link(from, to));
}
int host_symlink(const char *target, const char *path)
{
    return result(symlink(target, path));
}
int host_open(const char *path, int flags, unsigned mode)
{
    int fd = open(path, flags | O_NONBLOCK, mode);
    int err = result(fd);
    if (fd >= 0)
        close(fd);
    return err;
}
int host_truncate(const char *path, long size)
{
    return result(truncate(path, size));
}
void host_stat(const char *path, char *out, unsigned long size)
{
    struct stat st;
    if (lstat(path, &st))
        snprintf(out, size, "%d", -errno);
    else
        snprintf(out, size, "%o nlink %u size %ld", st.st_mode, (unsigned)st.st_nlink,
                 S_ISDIR(st.st_mode) ? 0 : (long)st.st_size);
}
void host_readlink(const char *path, char *out, unsigned long size)
{
    ssize_t n = readlink(path, out, size - 1);
    if (n < 0)
        snprintf(out, size, "%d", -errno);
    else
        out[n] = '\0';
}
