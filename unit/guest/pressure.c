/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pressure - a program that needs more memory than is free: pages of files that nobody has changed
 * make room and come back when they are needed; the pressure is told in /proc/pressure/memory. With
 * the argument "oom" it goes on until the kernel ends it; with "thrash", too, though it asks for no
 * more. The image has a large file as /big;
 * natively only the interfaces are tested.
 */
#include "guest.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE 4096

static long meminfo(const char *key)
{
    char line[128];
    long kib = -1;
    FILE *f = fopen("/proc/meminfo", "r");
    REQUIRE(f);
    while (kib < 0 && fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
            kib = strtol(line + strlen(key) + 1, NULL, 10);
    fclose(f);
    return kib;
}

static uint64_t sum(const unsigned char *p, size_t len)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a of every 64th byte */
    for (size_t i = 0; i < len; i += 64)
        hash = (hash ^ p[i]) * 1099511628211u;
    return hash;
}

static void interfaces(void)
{
    static const char *const bad[] = {"some",
                                      "some 1",
                                      "some 0 1000000",
                                      "any 1 1000000",
                                      "some 1 1000",
                                      "some 2000000 1000000",
                                      "some 1 20000000",
                                      "some x 1000000"};
    char text[512];
    int fd = open("/proc/pressure/memory", O_RDWR | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == EOPNOTSUPP || errno == EACCES))
        return; /* a Linux without it */
    REQUIRE(fd >= 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    REQUIRE(n > 0);
    text[n] = '\0';
    REQUIRE(strncmp(text, "some avg10=", 11) == 0 && strstr(text, "\nfull avg10=") &&
            strstr(text, " total="));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        REQUIRE_ERRNO(write(fd, bad[i], strlen(bad[i]) + 1), EINVAL);
    struct pollfd p = {.fd = fd, .events = POLLPRI};
    REQUIRE(poll(&p, 1, 0) == 1 && (p.revents & POLLERR)); /* no trigger is set */
    /* So much that on a Linux with many programs it does not come either. */
    REQUIRE(write(fd, "some 1990000 2000000", 21) == 21);
    REQUIRE_ERRNO(write(fd, "some 1990000 2000000", 21), EBUSY);
    REQUIRE(poll(&p, 1, 10) == 0);
    REQUIRE(close(fd) == 0);
}

static int level_open(void)
{
    char text[32];
    int fd = open("/dev/memory_pressure", O_RDONLY | O_NONBLOCK);
    REQUIRE(fd >= 0);
    REQUIRE(read(fd, text, sizeof(text)) == 5 && memcmp(text, "none\n", 5) == 0);
    REQUIRE_ERRNO(read(fd, text, sizeof(text)), EAGAIN);
    return fd;
}

static unsigned char *touch(size_t len)
{
    unsigned char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    for (size_t i = 0; i < len; i += PAGE)
        p[i] = 1;
    return p;
}

static void *nothing(void *arg)
{
    return arg;
}

static void eviction(const char *path, bool to_the_end)
{
    struct stat st;
    char text[32];
    pthread_t threads[40];
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && fstat(fd, &st) == 0);
    size_t len = (size_t)st.st_size;
    unsigned char *read_only = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    unsigned char *own = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    REQUIRE(read_only != MAP_FAILED && own != MAP_FAILED);
    for (int i = 0; i < 40; i++) /* their stacks are kept for the next ones */
        REQUIRE(pthread_create(&threads[i], NULL, nothing, NULL) == 0);
    for (int i = 0; i < 40; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    uint64_t want = sum(read_only, len);
    long cached = meminfo("Cached");
    REQUIRE(cached >= (long)(len >> 10));
    own[0] ^= 0xff; /* a private copy is not the file's: it stays */
    unsigned char first = own[0];
    int level = to_the_end ? -1 : level_open();

    /* All that is free and half of what the file's pages have. */
    size_t need = ((size_t)meminfo("MemFree") << 10) + len / 2;
    unsigned char *p = touch(need);
    REQUIRE(meminfo("Cached") < cached);
    REQUIRE(own[0] == first);
    REQUIRE(munmap(p, need) == 0);
    REQUIRE(sum(read_only, len) == want); /* read again */
    REQUIRE(own[0] == first);
    if (to_the_end) {
        printf("until the end\n");
        fflush(stdout);
        for (;;)
            touch(1 << 20);
    }
    struct pollfd news = {.fd = level, .events = POLLIN};
    REQUIRE(poll(&news, 1, 60000) == 1);
    REQUIRE(read(level, text, sizeof(text)) > 0 && close(level) == 0 && close(fd) == 0);
}

/* Code that does not fit: each page of it is there for a moment only. That would go on for ever. */
static void thrash(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && fstat(fd, &st) == 0);
    size_t len = (size_t)st.st_size;
    unsigned char *code = mmap(NULL, len, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    REQUIRE(code != MAP_FAILED);
    uint64_t want = sum(code, len);
    touch(((size_t)meminfo("MemFree") << 10) + len / 4 * 3);
    printf("until the end\n");
    fflush(stdout);
    for (;;)
        REQUIRE(sum(code, len) == want);
}

int main(int argc, char **argv)
{
    interfaces();
    if (argc > 1 && strcmp(argv[1], "thrash") == 0)
        thrash("/big");
    if (access("/big", R_OK) == 0)
        eviction("/big", argc > 1 && strcmp(argv[1], "oom") == 0);
    return guest_pass("pressure");
}
