/* SPDX-License-Identifier: BSD-3-Clause */
/* kptr.c - no file of /proc and /sys tells a program where the kernel is: no hexadecimal number in
 * them is an address of the upper half. (On Linux with kptr_restrict, or for files that only root
 * may read, they say 0.) */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "guest.h"

static unsigned files, bytes;

static int is_hex(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* 16 digits that begin with ffff, not in a line about signals or the vsyscall page, which is where
 * it is on every machine. */
static void line_check(const char *path, const char *line)
{
    if (strncmp(line, "Sig", 3) == 0 || strncmp(line, "Shd", 3) == 0 ||
        strncmp(line, "Cap", 3) == 0 || strstr(line, "vsyscall"))
        return;
    for (const char *at = line; *at; at++) {
        size_t digits = 0;

        if (at > line && is_hex(at[-1]))
            continue;
        while (is_hex(at[digits]))
            digits++;
        if (digits == 16 && strncmp(at, "ffff", 4) == 0) {
            printf("FAIL %s: %s\n", path, line);
            exit(1);
        }
    }
}

static void file_check(const char *path)
{
    static char text[1 << 20];
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    size_t len = 0;
    ssize_t n;
    char *save, *line;

    if (fd < 0)
        return;
    while (len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    text[len] = '\0';
    files++;
    bytes += (unsigned)len;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        line_check(path, line);
}

static void folder_check(const char *folder, int depth)
{
    static const char *const skipped[] = {".",  "..",     "mem", "kmsg", "kcore",    "pagemap",
                                          "fd", "fdinfo", "cwd", "root", "map_files"};
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        char path[512];
        struct stat st;
        int skip = 0;

        for (size_t i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++)
            skip |= strcmp(entry->d_name, skipped[i]) == 0;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (skip || lstat(path, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode) && depth > 0)
            folder_check(path, depth - 1);
        else if (S_ISREG(st.st_mode))
            file_check(path);
    }
    if (dir)
        closedir(dir);
}

int main(void)
{
    folder_check("/proc/self", 3);
    folder_check("/proc", 0);
    folder_check("/proc/sys", 3);
    folder_check("/sys", 3);
    REQUIRE(files > 20 && bytes > 2000);
    return guest_pass("kptr");
}
