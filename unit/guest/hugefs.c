/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugefs - files of huge pages with names (hugetlbfs) and System V segments of them (SHM_HUGETLB):
 * what they tell, mappings, promises, ends.
 *
 * On a Linux it needs root: to set huge pages apart, and to mount a hugetlbfs where there is none.
 */
#include "hugepool.h"

#include <dirent.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#define MAGIC 0x958458f6
#ifndef SHM_HUGETLB
#define SHM_HUGETLB 04000
#endif
#ifndef SHM_NORESERVE
#define SHM_NORESERVE 010000
#endif
#define SHM_2M (SHM_HUGETLB | 21u << 26)
#define SHM_1G (SHM_HUGETLB | 30u << 26)

static char folder[64] = "/dev/hugepages";
static int mounted;

static void find_folder(void)
{
    struct statfs fs;
    if (statfs(folder, &fs) == 0 && fs.f_type == MAGIC)
        return;
    strcpy(folder, "/tmp/hugefs.XXXXXX");
    REQUIRE(mkdtemp(folder) && mount("hugetlbfs", folder, "hugetlbfs", 0, "pagesize=2M") == 0);
    mounted = 1;
}
static void leave_folder(void)
{
    if (mounted)
        REQUIRE(umount(folder) == 0 && rmdir(folder) == 0);
}
static const char *in(const char *name)
{
    static char path[2][128];
    static unsigned next;
    char *p = path[next++ % 2];
    snprintf(p, sizeof path[0], "%s/%s.%d", folder, name, getpid());
    return p;
}

/* The line of the mount in /proc/mounts. */
static void test_mount(void)
{
    char line[512], want[128];
    int found = 0;
    FILE *f = fopen("/proc/mounts", "r");
    REQUIRE(f);
    snprintf(want, sizeof want, "hugetlbfs %s hugetlbfs rw,", folder);
    while (fgets(line, sizeof line, f))
        found |= strncmp(line, want, strlen(want)) == 0 && strstr(line, "pagesize=2M");
    fclose(f);
    REQUIRE(found);
    struct statfs fs;
    REQUIRE(statfs(folder, &fs) == 0 && fs.f_bsize == (long)BIG && fs.f_blocks == 0);
    REQUIRE(fs.f_namelen == 255);
}

static void test_names(void)
{
    struct stat st;
    char text[8];
    int fd = open(in("file"), O_RDWR | O_CREAT | O_EXCL, 0640);
    REQUIRE(fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0640);
    REQUIRE(st.st_size == 0 && st.st_blksize == (long)BIG && st.st_nlink == 1);
    REQUIRE_ERRNO(write(fd, "x", 1), EINVAL);
    REQUIRE(read(fd, text, 8) == 0);
    REQUIRE_ERRNO(ftruncate(fd, 4096), EINVAL);
    REQUIRE(ftruncate(fd, 2 * BIG) == 0 && stat(in("file"), &st) == 0 && st.st_size == 2 * BIG);
    REQUIRE_ERRNO(fsetxattr(fd, "user.a", "b", 1, 0), EOPNOTSUPP);
    REQUIRE(fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL);
    REQUIRE_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    REQUIRE(mkdir(in("dir"), 0700) == 0 && rename(in("file"), in("name")) == 0);
    REQUIRE(link(in("name"), in("link")) == 0 && fstat(fd, &st) == 0 && st.st_nlink == 2);
    REQUIRE(unlink(in("link")) == 0 && rmdir(in("dir")) == 0);
    close(fd);
    fd = open(in("name"), O_RDWR | O_TRUNC);
    REQUIRE(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 0);
    close(fd);
    REQUIRE(unlink(in("name")) == 0);
    fd = open(folder, O_TMPFILE | O_RDWR, 0600);
    REQUIRE(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_blksize == (long)BIG);
    close(fd);
}

/* The contents stay with the name; they and what they were promised go with it. */
static void test_contents(void)
{
    int fd = open(in("data"), O_RDWR | O_CREAT, 0600);
    REQUIRE(fd >= 0);
    char *p = mmap(NULL, 2 * BIG, RW, MAP_SHARED, fd, 0), *q;
    REQUIRE(p != MAP_FAILED && (uintptr_t)p % BIG == 0);
    require_pool(0, 2);
    strcpy(p + 5 * P, "contents");
    require_pool(1, 1);
    REQUIRE(munmap(p, 2 * BIG) == 0 && close(fd) == 0);
    require_pool(1, 1);
    fd = open(in("data"), O_RDONLY);
    REQUIRE(fd >= 0);
    char text[9];
    REQUIRE(pread(fd, text, 9, 5 * P) == 9 && strcmp(text, "contents") == 0);
    q = mmap(NULL, BIG, RW, MAP_PRIVATE, fd, 0);
    REQUIRE(q != MAP_FAILED && strcmp(q + 5 * P, "contents") == 0);
    require_pool(1, 2);
    q[5 * P] = 'C';
    require_pool(2, 1);
    REQUIRE(unlink(in("data")) == 0 && close(fd) == 0);
    REQUIRE(strcmp(q + 5 * P, "Contents") == 0 && munmap(q, BIG) == 0);
    require_pool(0, 0);
}

static void test_segment(unsigned long pool)
{
    struct shmid_ds ds;
    int id = shmget(IPC_PRIVATE, BIG + 5, SHM_HUGETLB | 0600);
    REQUIRE(id >= 0);
    require_pool(0, 2); /* promised to the segment, mapped or not */
    char *p = shmat(id, NULL, 0), *q;
    REQUIRE(p != (void *)-1 && (uintptr_t)p % BIG == 0);
    p[BIG + P] = 'x';
    require_pool(1, 1);
    q = shmat(id, NULL, SHM_RDONLY);
    REQUIRE(q != (void *)-1 && q != p && q[BIG + P] == 'x' && touch(q, 1) == SIGSEGV);
    REQUIRE_ERRNO((long)shmat(id, p + 5 * BIG + P, 0), EINVAL);
    REQUIRE(shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_segsz == BIG + 5 && ds.shm_nattch == 2);
    REQUIRE(shmdt(p) == 0 && shmctl(id, IPC_RMID, NULL) == 0 && q[BIG + P] == 'x');
    require_pool(1, 1);
    REQUIRE(shmdt(q) == 0);
    require_pool(0, 0);
    REQUIRE_ERRNO(shmget(IPC_PRIVATE, (pool + 1) * BIG, SHM_2M | 0600), ENOMEM);
    REQUIRE_ERRNO(shmget(IPC_PRIVATE, 1ul << 30, SHM_1G | 0600), ENOMEM);
    require_pool(0, 0);
    id = shmget(IPC_PRIVATE, (pool + 1) * BIG, SHM_2M | SHM_NORESERVE | 0600);
    REQUIRE(id >= 0);
    p = shmat(id, NULL, 0);
    REQUIRE(p != (void *)-1);
    require_pool(0, 0);
    for (unsigned long i = 0; i < pool; i++)
        REQUIRE(touch(p + i * BIG, 1) == 0);
    REQUIRE(touch(p + pool * BIG, 1) == SIGBUS);
    REQUIRE(shmctl(id, IPC_RMID, NULL) == 0 && shmdt(p) == 0);
    require_pool(0, 0);
}

int main(void)
{
    struct sigaction sa = {.sa_handler = on_bus};
    REQUIRE(sigaction(SIGBUS, &sa, NULL) == 0 && sigaction(SIGSEGV, &sa, NULL) == 0);
    REQUIRE_ERRNO(shmget(IPC_PRIVATE, BIG, SHM_HUGETLB | 13u << 26 | 0600), EINVAL);
    REQUIRE_ERRNO(shmget(IPC_PRIVATE, 0, SHM_HUGETLB | 0600), EINVAL);
    if (pool_begin(4)) {
        find_folder();
        test_mount();
        test_names();
        test_contents();
        test_segment(4);
        leave_folder();
        pool_end();
    }
    return guest_pass("hugefs");
}
