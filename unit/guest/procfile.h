/* SPDX-License-Identifier: BSD-3-Clause */
/* procfile.h - numbers out of /proc for several tests. */
#ifndef SELKIE_GUEST_PROCFILE_H
#define SELKIE_GUEST_PROCFILE_H

#include "guest.h"

#include <fcntl.h>

/* The number behind `what` in a file that has it. */
static inline unsigned long number_in(const char *path, const char *what)
{
    static char text[8192];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    REQUIRE(n > 0);
    text[n] = 0;
    close(fd);
    char *at = strstr(text, what);
    REQUIRE(at);
    return strtoul(at + strlen(what), NULL, 10);
}

/* Objects in one of the kernel's accounts; -1: it has none of this name (Linux). */
static inline long account(const char *name)
{
    char line[512], key[64];
    long objects, found = -1;
    FILE *file = fopen("/proc/slabinfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%63s %ld", key, &objects) == 2 && strcmp(key, name) == 0)
            found = objects;
    if (file)
        fclose(file);
    return found;
}

#endif
