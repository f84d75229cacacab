/* SPDX-License-Identifier: BSD-3-Clause */
/* procfile.h - what several tests read in /proc. */
#ifndef SELKIE_GUEST_PROCFILE_H
#define SELKIE_GUEST_PROCFILE_H

#include "guest.h"

#include <fcntl.h>
#include <sys/file.h>

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

/* The state of one of this program's threads, as proc(5) calls it: R, S ... */
static inline char thread_state(pid_t tid)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    FILE *file = fopen(path, "r");
    REQUIRE(file && fgets(text, sizeof text, file));
    fclose(file);
    return strrchr(text, ')')[2];
}

/* Until the thread has written its number there, and then sleeps in its call: nothing before that
 * call may sleep. */
static inline void await_sleep(const pid_t *tid)
{
    while (!__atomic_load_n(tid, __ATOMIC_SEQ_CST))
        usleep(100);
    do
        usleep(200);
    while (thread_state(*tid) != 'S');
}

/* The lock of the machine's pool of huge pages, for on a Linux two tests may be at work at the same
 * time: held until it is closed or the program ends. Negative: none, where others own the file. */
static inline int pool_lock(void)
{
    int lock = open("/tmp/hugepool.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    REQUIRE(lock < 0 || flock(lock, LOCK_EX) == 0);
    return lock;
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

/* A counter of /proc/net/snmp or netstat: two lines of a group, names and values. -1: it has none
 * of this name. */
static inline long net_counter(const char *file, const char *group, const char *name)
{
    static char names[8192], values[8192];
    char *n, *v, *save_n, *save_v;
    long value = -1;
    FILE *f = fopen(file, "r");
    REQUIRE(f != NULL);
    while (fgets(names, sizeof names, f) && fgets(values, sizeof values, f)) {
        if (strncmp(names, group, strlen(group)) != 0 || names[strlen(group)] != ':')
            continue;
        n = strtok_r(names, " \n", &save_n);
        v = strtok_r(values, " \n", &save_v);
        for (; n && v; n = strtok_r(NULL, " \n", &save_n), v = strtok_r(NULL, " \n", &save_v))
            if (strcmp(n, name) == 0)
                value = atol(v);
    }
    fclose(f);
    return value;
}

#endif
