/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugefile - memfd_create with MFD_HUGETLB: sizes, mappings, promises, holes, seals, as on Linux.
 *
 * It sets huge pages apart itself (/proc/sys/vm/nr_hugepages). On a Linux that needs root, and six
 * free blocks of 2 MiB; without, only what needs no page is tried.
 */
#include "hugepool.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define MFD_2M (MFD_HUGETLB | 21u << 26)
#define MFD_1G (MFD_HUGETLB | 30u << 26)

static int make(unsigned long pages)
{
    int fd = memfd_create("big", MFD_2M | MFD_ALLOW_SEALING);
    REQUIRE(fd >= 0);
    if (pages)
        REQUIRE(ftruncate(fd, (off_t)(pages * BIG)) == 0);
    return fd;
}

static void test_flags(void)
{
    struct statfs fs;
    struct stat st;
    int fd = memfd_create("x", MFD_HUGETLB | MFD_CLOEXEC);
    REQUIRE(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    REQUIRE(fstatfs(fd, &fs) == 0 && fs.f_type == 0x958458f6 && fs.f_bsize == (long)BIG);
    REQUIRE(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0);
    REQUIRE(st.st_blksize == (long)BIG && st.st_blocks == 0 && st.st_nlink == 0);
    REQUIRE(fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL);
    REQUIRE_ERRNO(ftruncate(fd, 5), EINVAL);
    REQUIRE_ERRNO(ftruncate(fd, P), EINVAL);
    REQUIRE(ftruncate(fd, 3 * BIG) == 0 && fstat(fd, &st) == 0 && st.st_size == 3 * BIG);
    REQUIRE(st.st_blocks == 0);
    REQUIRE_ERRNO(write(fd, "x", 1), EINVAL);
    REQUIRE_ERRNO(pwrite(fd, "x", 1, 0), EINVAL);
    char text[16] = "abc";
    REQUIRE(pread(fd, text, sizeof text, BIG - 8) == 16 && text[0] == 0 && text[15] == 0);
    REQUIRE(pread(fd, text, sizeof text, 3 * BIG - 8) == 8);
    REQUIRE(pread(fd, text, sizeof text, 3 * BIG) == 0);
    REQUIRE(lseek(fd, -4, SEEK_END) == (off_t)(3 * BIG - 4) && read(fd, text, 16) == 4);
    REQUIRE_ERRNO((long)mmap(NULL, BIG, PROT_READ, MAP_SHARED, fd, P), EINVAL);
    REQUIRE_ERRNO((long)mmap((void *)0x10001000, BIG, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0),
                  EINVAL);
    REQUIRE_ERRNO((long)mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0), EINVAL);
    REQUIRE_ERRNO(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, BIG), EOPNOTSUPP);
    close(fd);

    REQUIRE_ERRNO(memfd_create("x", 21u << 26), EINVAL);               /* a size without the flag */
    REQUIRE_ERRNO(memfd_create("x", MFD_HUGETLB | 13u << 26), ENODEV); /* no such pages */
    REQUIRE_ERRNO(memfd_create("x", MFD_HUGETLB | 0x100), EINVAL);
    /* An ordinary file does not become huge. */
    fd = memfd_create("x", 0);
    REQUIRE(fd >= 0 && ftruncate(fd, BIG) == 0);
    REQUIRE_ERRNO((long)mmap(NULL, BIG, PROT_READ, MAP_SHARED | MAP_HUGETLB, fd, 0), EINVAL);
    close(fd);
}

/* Nobody sets pages of 1 GiB apart here. */
static void test_gib(void)
{
    struct statfs fs;
    int fd = memfd_create("x", MFD_1G);
    if (fd < 0) {
        REQUIRE(errno == ENODEV); /* a machine without */
        return;
    }
    REQUIRE(fstatfs(fd, &fs) == 0 && fs.f_bsize == 1l << 30);
    REQUIRE_ERRNO(ftruncate(fd, BIG), EINVAL);
    REQUIRE(ftruncate(fd, 1l << 30) == 0);
    REQUIRE_ERRNO((long)mmap(NULL, 1ul << 30, RW, MAP_SHARED, fd, 0), ENOMEM);
    REQUIRE_ERRNO(fallocate(fd, 0, 0, 1l << 30), ENOSPC);
    close(fd);
}

/* The file, not the mapping, is promised its pages; both see the same memory. */
static void test_shared(void)
{
    struct stat st;
    int fd = make(0);
    char *p =
        mmap(NULL, 2 * BIG - 5, RW, MAP_SHARED, fd, 0); /* rounded up; makes the file as long */
    REQUIRE(p != MAP_FAILED && (uintptr_t)p % BIG == 0);
    REQUIRE(fstat(fd, &st) == 0 && st.st_size == 2 * BIG && st.st_blocks == 0);
    require_pool(0, 2);
    char *q = mmap(NULL, 2 * BIG, RW, MAP_SHARED | MAP_HUGETLB, fd, 0);
    REQUIRE(q != MAP_FAILED);
    require_pool(0, 2);
    p[BIG + 7] = 'a';
    require_pool(1, 1);
    REQUIRE(q[BIG + 7] == 'a' && q[BIG + 8] == 0);
    char c = 0;
    REQUIRE(pread(fd, &c, 1, BIG + 7) == 1 && c == 'a');
    REQUIRE(fstat(fd, &st) == 0 && st.st_blocks == BIG / 512);
    REQUIRE(madvise(p, 2 * BIG, MADV_DONTNEED) == 0 && p[BIG + 7] == 'a');
    REQUIRE_ERRNO(munmap(p, P), EINVAL);
    REQUIRE(munmap(p, 2 * BIG) == 0 && munmap(q, 2 * BIG) == 0);
    require_pool(1, 1); /* it stays the file's */
    REQUIRE_ERRNO((long)mmap(NULL, 64 * BIG, RW, MAP_SHARED, fd, 0), ENOMEM);
    require_pool(1, 1);
    REQUIRE(fstat(fd, &st) == 0 && st.st_size == 2 * BIG);
    p = mmap(NULL, BIG, RW, MAP_SHARED, fd, BIG);
    REQUIRE(p != MAP_FAILED && p[7] == 'a');
    REQUIRE(ftruncate(fd, 0) == 0);
    require_pool(0, 0);
    REQUIRE(touch(p, 0) == SIGBUS);
    REQUIRE(munmap(p, BIG) == 0);
    close(fd);
    require_pool(0, 0);
}

/* Its own pages where it has written, promised to the mapping; the file's elsewhere. */
static void test_private(void)
{
    int fd = make(3);
    REQUIRE(fallocate(fd, 0, 0, BIG) == 0);
    require_pool(1, 0);
    char *s = mmap(NULL, BIG, RW, MAP_SHARED, fd, 0);
    REQUIRE(s != MAP_FAILED);
    strcpy(s + P, "file");
    char *p = mmap(NULL, 2 * BIG, RW, MAP_PRIVATE, fd, 0);
    REQUIRE(p != MAP_FAILED);
    require_pool(1, 2);
    REQUIRE(strcmp(p + P, "file") == 0);
    require_pool(1, 2);
    strcpy(p + 2 * P, "mine");
    require_pool(2, 1);
    REQUIRE(strcmp(p + P, "file") == 0 && s[2 * P] == 0);
    strcpy(s + P, "FILE");
    REQUIRE(strcmp(p + P, "file") == 0); /* it is a copy */
    REQUIRE(p[BIG] == 0);                /* a hole: a page of its own */
    require_pool(3, 0);
    p[BIG] = 1;
    require_pool(3, 0);
    REQUIRE(mprotect(p, BIG, PROT_READ) == 0 && strcmp(p + 2 * P, "mine") == 0);
    REQUIRE(mprotect(p, BIG, RW) == 0);
    p[0] = 1;
    REQUIRE(strcmp(p + 2 * P, "mine") == 0 && s[0] == 0);
    REQUIRE(munmap(p, 2 * BIG) == 0);
    require_pool(1, 0);
    REQUIRE(munmap(s, BIG) == 0);
    close(fd);
    require_pool(0, 0);
}

/* Without a promise: SIGBUS when the pool is empty. */
static void test_empty(unsigned long pool)
{
    int fd = make(pool + 1);
    char *p = mmap(NULL, (pool + 1) * BIG, RW, MAP_SHARED | MAP_NORESERVE, fd, 0);
    REQUIRE(p != MAP_FAILED);
    require_pool(0, 0);
    for (unsigned long i = 0; i < pool; i++)
        REQUIRE(touch(p + i * BIG, 1) == 0);
    REQUIRE(touch(p + pool * BIG, 1) == SIGBUS);
    REQUIRE_ERRNO(fallocate(fd, 0, 0, (off_t)((pool + 1) * BIG)), ENOSPC);
    /* What is given back is there for others. */
    REQUIRE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BIG) == 0);
    REQUIRE(touch(p + pool * BIG, 1) == 0 && touch(p, 1) == SIGBUS);
    /* A private mapping cannot copy, either. */
    char *q = mmap(NULL, BIG, RW, MAP_PRIVATE | MAP_NORESERVE, fd, BIG);
    REQUIRE(q != MAP_FAILED && touch(q, 0) == 0 && touch(q, 1) == SIGBUS && q[0] == 1);
    REQUIRE(munmap(q, BIG) == 0);
    REQUIRE(munmap(p, (pool + 1) * BIG) == 0);
    close(fd);
    require_pool(0, 0);
}

static void test_allocate(void)
{
    struct stat st;
    int fd = make(1);
    REQUIRE(fallocate(fd, 0, BIG / 2, BIG) == 0); /* touches two pages; so long, and not rounded */
    REQUIRE(fstat(fd, &st) == 0 && st.st_size == (off_t)(BIG + BIG / 2));
    require_pool(2, 0);
    REQUIRE(ftruncate(fd, 2 * BIG) == 0);
    char *p = mmap(NULL, 2 * BIG, RW, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED);
    require_pool(2, 0); /* nothing is left to promise */
    memset(p, 'x', 2 * BIG);
    /* Parts are zeroed, whole pages go. */
    REQUIRE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, P, 2 * P) == 0);
    REQUIRE(p[P - 1] == 'x' && p[P] == 0 && p[3 * P - 1] == 0 && p[3 * P] == 'x');
    require_pool(2, 0);
    REQUIRE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BIG - P, BIG + P) == 0);
    require_pool(1, 0);
    REQUIRE(p[BIG - P - 1] == 'x' && p[BIG - P] == 0 && p[BIG] == 0);
    REQUIRE(fallocate(fd, FALLOC_FL_KEEP_SIZE, 2 * BIG, BIG) == 0); /* beyond the end */
    REQUIRE(fstat(fd, &st) == 0 && st.st_size == 2 * BIG);
    require_pool(3, 0);
    REQUIRE(madvise(p, BIG, MADV_REMOVE) == 0 && p[0] == 0);
    REQUIRE(munmap(p, 2 * BIG) == 0);
    close(fd);
    require_pool(0, 0);
}

/* Who does not know of huge pages: sendfile copies or does not, a program cannot be one. */
static void test_unaware(void)
{
    int fd = make(1), pipes[2], out = memfd_create("out", 0);
    char *p = mmap(NULL, BIG, RW, MAP_SHARED, fd, 0), text[8] = "", *args[] = {"x", NULL};
    REQUIRE(p != MAP_FAILED && pipe(pipes) == 0 && out >= 0);
    /* The beginning of this program: enough to be taken for one. */
    int self = open("/proc/self/exe", O_RDONLY);
    REQUIRE(self >= 0 && read(self, p, 1 << 20) > 1000);
    strcpy(p + (1 << 20), "hugely");
    REQUIRE(lseek(fd, 1 << 20, SEEK_SET) == 1 << 20);
    long n = sendfile(out, fd, NULL, 7); /* Linux refuses it */
    REQUIRE((n == -1 && errno == EINVAL) ||
            (n == 7 && pread(out, text, 8, 0) == 7 && strcmp(text, "hugely") == 0));
    if (access("/dev/memory_pressure", F_OK) == 0) /* Linux finds out too late, and kills it */
        REQUIRE(fexecve(fd, args, args + 1) == -1);
    REQUIRE(munmap(p, BIG) == 0);
    close(self), close(out), close(pipes[0]), close(pipes[1]), close(fd);
    require_pool(0, 0);
}

static void test_seals(void)
{
    int fd = make(2);
    REQUIRE(fcntl(fd, F_GET_SEALS) == 0);
    REQUIRE(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0);
    REQUIRE_ERRNO(ftruncate(fd, 3 * BIG), EPERM);
    REQUIRE_ERRNO(ftruncate(fd, BIG), EPERM);
    REQUIRE_ERRNO(fallocate(fd, 0, 0, 3 * BIG), EPERM);
    char *p = mmap(NULL, BIG, RW, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED);
    REQUIRE_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    p[0] = 'z';
    REQUIRE(munmap(p, BIG) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    REQUIRE_ERRNO((long)mmap(NULL, BIG, RW, MAP_SHARED, fd, 0), EPERM);
    REQUIRE_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BIG), EPERM);
    p = mmap(NULL, BIG, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED && p[0] == 'z');
    REQUIRE_ERRNO(mprotect(p, BIG, RW), EACCES);
    REQUIRE(munmap(p, BIG) == 0);
    close(fd);
    require_pool(0, 0);
}

/* What a mapping replaces gives its promise to it. */
static void test_replaced(unsigned long pool)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
    char *p = mmap(NULL, pool * BIG, RW, flags, -1, 0);
    REQUIRE(p != MAP_FAILED);
    memset(p, 1, BIG + 1);
    require_pool(2, (long)pool - 2);
    REQUIRE(mmap(p, pool * BIG, RW, flags | MAP_FIXED, -1, 0) == p);
    require_pool(0, (long)pool);
    REQUIRE(p[0] == 0);
    REQUIRE(munmap(p, pool * BIG) == 0);
    require_pool(0, 0);
}

int main(void)
{
    struct sigaction sa = {.sa_handler = on_bus};
    REQUIRE(sigaction(SIGBUS, &sa, NULL) == 0);
    test_flags();
    test_gib();
    if (pool_begin(6)) {
        test_shared();
        test_private();
        test_empty(6);
        test_allocate();
        test_unaware();
        test_seals();
        test_replaced(6);
        pool_end();
    }
    return guest_pass("hugefile");
}
