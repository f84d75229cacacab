/* SPDX-License-Identifier: BSD-3-Clause */
/* owners - the kernel's accounts in /proc/slabinfo: each follows what the program makes, and
 * returns to where it was when that is gone. Selkie only: the names and the exactness are its own.
 */
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANY 50

struct account {
    long objects, size;
};

static struct account account_of(const char *name)
{
    struct account a = {-1, -1};
    char line[512], key[64];
    FILE *file = fopen("/proc/slabinfo", "r");

    while (file && fgets(line, sizeof(line), file)) {
        long objects, all, size;

        if (sscanf(line, "%63s %ld %ld %ld", key, &objects, &all, &size) == 4 &&
            strcmp(key, name) == 0)
            a = (struct account){objects, size};
    }
    if (file)
        fclose(file);
    REQUIRE(a.objects >= 0);
    return a;
}

static long objects_of(const char *name)
{
    return account_of(name).objects;
}

static void sockets(void)
{
    long before = objects_of("sock");
    int fd[MANY][2];

    for (int i = 0; i < MANY; i++) {
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fd[i]) == 0);
        REQUIRE(write(fd[i][0], "x", 1) == 1);
    }
    REQUIRE(objects_of("sock") == before + 3 * MANY); /* with the messages */
    for (int i = 0; i < MANY; i++)
        REQUIRE(close(fd[i][0]) == 0 && close(fd[i][1]) == 0);
    REQUIRE(objects_of("sock") == before);
}

static void files_and_pipes(void)
{
    long files = objects_of("filp"), pipes = objects_of("pipe"), events = objects_of("event");
    static char bytes[5000];
    int fd[MANY][2], event[MANY];

    for (int i = 0; i < MANY; i++) {
        REQUIRE(pipe(fd[i]) == 0);
        REQUIRE(write(fd[i][1], bytes, sizeof(bytes)) == sizeof(bytes));
        event[i] = i % 2 ? eventfd(0, 0) : epoll_create1(0);
        REQUIRE(event[i] >= 0);
    }
    REQUIRE(objects_of("filp") == files + 3 * MANY);
    REQUIRE(objects_of("pipe") == pipes + MANY);
    REQUIRE(account_of("pipe").size >= 8192); /* with its two pages */
    REQUIRE(objects_of("event") == events + MANY);
    for (int i = 0; i < MANY; i++)
        REQUIRE(close(fd[i][0]) == 0 && close(fd[i][1]) == 0 && close(event[i]) == 0);
    REQUIRE(objects_of("filp") == files);
    REQUIRE(objects_of("pipe") == pipes);
    REQUIRE(objects_of("event") == events);
}

static void names(void)
{
    long inodes = objects_of("inode_cache");
    char name[64];

    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "/tmp/owners.%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    REQUIRE(objects_of("inode_cache") == inodes + MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "/tmp/owners.%d", i);
        REQUIRE(unlink(name) == 0);
    }
    REQUIRE(objects_of("inode_cache") == inodes);
}

/* Whole file systems go, one that is in use with its last file. */
static void mounts(void)
{
    long inodes = objects_of("inode_cache"), names = objects_of("dentry");

    REQUIRE(mkdir("/tmp/owners", 0700) == 0);
    for (int i = 0; i < MANY; i++) {
        REQUIRE(mount("none", "/tmp/owners", i % 5 ? "tmpfs" : "sysfs", 0, NULL) == 0);
        (void)!mkdir("/tmp/owners/a", 0755);
        int fd = open("/tmp/owners/a/b", O_CREAT | O_RDWR, 0600);
        access("/tmp/owners/a/none", F_OK);
        REQUIRE(umount2("/tmp/owners", i % 2 ? MNT_DETACH : 0) == (i % 2 || fd < 0 ? 0 : -1));
        if (fd >= 0)
            REQUIRE(write(fd, "x", 1) == 1 && close(fd) == 0);
        if (i % 2 == 0 && fd >= 0)
            REQUIRE(umount("/tmp/owners") == 0);
    }
    REQUIRE(rmdir("/tmp/owners") == 0);
    for (int i = 0; i < 10000 && objects_of("inode_cache") > inodes; i++)
        usleep(10000);
    REQUIRE(objects_of("inode_cache") == inodes && objects_of("dentry") <= names);
}

static void areas(void)
{
    long before = objects_of("vm_area_struct");
    char *p = mmap(NULL, 2 * MANY * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(p != MAP_FAILED);
    for (int i = 0; i < MANY; i++)
        REQUIRE(mprotect(p + i * 8192, 4096, PROT_READ | PROT_WRITE) == 0);
    REQUIRE(objects_of("vm_area_struct") >= before + 2 * MANY - 1);
    REQUIRE(munmap(p, 2 * MANY * 4096) == 0);
    REQUIRE(objects_of("vm_area_struct") <= before);
}

static sem_t go;

static void *waits(void *arg)
{
    sem_wait(&go);
    return arg;
}

static void threads(void)
{
    long before = objects_of("thread"), stacks = objects_of("kernel_stack");
    pthread_t thread[MANY];

    sem_init(&go, 0, 0);
    for (int i = 0; i < MANY; i++)
        REQUIRE(pthread_create(&thread[i], NULL, waits, NULL) == 0);
    REQUIRE(objects_of("thread") >= before + MANY);
    REQUIRE(objects_of("kernel_stack") >= MANY);
    for (int i = 0; i < MANY; i++)
        sem_post(&go);
    for (int i = 0; i < MANY; i++)
        REQUIRE(pthread_join(thread[i], NULL) == 0);
    /* The dead are buried a little later; some of their stacks are kept for the next. */
    for (int i = 0; i < 10000 && objects_of("thread") > before; i++)
        usleep(10000);
    REQUIRE(objects_of("thread") == before);
    REQUIRE(objects_of("kernel_stack") <= stacks + 32);
}

int main(void)
{
    (void)objects_of("filp"); /* the names of /proc are made at their first use */
    files_and_pipes();
    sockets();
    names();
    mounts();
    areas();
    threads();
    return guest_pass("owners");
}
