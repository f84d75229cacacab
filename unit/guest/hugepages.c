/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugepages - large pages do not show: each part of one can be dropped, protected, unmapped, moved
 * and locked, and the rest keeps its bytes. MAP_HUGETLB is refused or kept; of a pool it takes what
 * was set apart, and no more.
 */
#include "procfile.h"

#include <fcntl.h>
#include <sys/mman.h>

#define P 4096ul
#define BIG (2ul << 20)
#define COUNT 4

static char *area; /* COUNT large pages, aligned */

static void fill(void)
{
    for (size_t i = 0; i < COUNT * BIG / P; i++)
        memcpy(area + i * P, &i, sizeof i);
}

/* Pages [from, to) have their number. */
static void check(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        REQUIRE(memcmp(area + i * P, &i, sizeof i) == 0);
}

static void make(void)
{
    char *p =
        mmap(NULL, (COUNT + 1) * BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    area = (char *)(((uintptr_t)p + BIG - 1) & ~(BIG - 1));
    int err = madvise(area, COUNT * BIG, MADV_HUGEPAGE);
    REQUIRE(err == 0 || errno == EINVAL); /* a Linux may be without */
    fill();
    check(0, 2048);
}

static void test_parts(void)
{
    make();
    REQUIRE(madvise(area + 5 * P, P, MADV_DONTNEED) == 0 && area[5 * P] == 0);
    check(0, 5);
    check(6, 2048);
    REQUIRE(mprotect(area + 512 * P, 3 * P, PROT_READ) == 0);
    REQUIRE(mprotect(area + 515 * P, 3 * P, PROT_NONE) == 0);
    check(6, 515);
    check(518, 2048);
    REQUIRE(mprotect(area + 512 * P, 6 * P, PROT_READ | PROT_WRITE) == 0);
    check(512, 2048);
    REQUIRE(munmap(area + 1023 * P, 2 * P) == 0); /* the end of one, the beginning of the next */
    check(512, 1023);
    check(1025, 2048);
    REQUIRE(mlock(area + 1600 * P, P) == 0);
    REQUIRE_ERRNO(madvise(area + 1600 * P, P, MADV_DONTNEED), EINVAL);
    REQUIRE(munlock(area + 1600 * P, P) == 0);
    check(1025, 2048);
    REQUIRE(munmap(area, COUNT * BIG) == 0);
}

/* Whole ones and parts moved to other places; protected as a whole. */
static void test_move(void)
{
    make();
    REQUIRE(mprotect(area, COUNT * BIG, PROT_NONE) == 0);
    REQUIRE(mprotect(area, COUNT * BIG, PROT_READ | PROT_WRITE) == 0);
    check(0, 2048);
    char *to = mmap(NULL, COUNT * BIG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(to != MAP_FAILED);
    REQUIRE(mremap(area + BIG, BIG, BIG, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    REQUIRE(mremap(to, BIG, BIG, MREMAP_MAYMOVE | MREMAP_FIXED, area + BIG) == area + BIG);
    check(0, 2048);
    char *odd = to + BIG + 3 * P;
    REQUIRE(mremap(area + 2 * BIG, BIG, BIG, MREMAP_MAYMOVE | MREMAP_FIXED, odd) == odd);
    REQUIRE(mremap(odd, BIG, BIG, MREMAP_MAYMOVE | MREMAP_FIXED, area + 2 * BIG) == area + 2 * BIG);
    check(0, 2048);
    REQUIRE(madvise(area, COUNT * BIG, MADV_DONTNEED) == 0);
    for (size_t i = 0; i < 2048; i++)
        REQUIRE(area[i * P] == 0);
    fill();
    check(0, 2048);
    REQUIRE(munmap(area, COUNT * BIG) == 0);
}

static void *map_huge(size_t len, int log)
{
    return mmap(NULL, len, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | log << 26, -1, 0);
}

static void test_hugetlb(void)
{
    int lock = pool_lock(); /* until the end: the page is ours so long */
    (void)lock;
    errno = 0;
    char *p = map_huge(BIG, 0);
    if (p == MAP_FAILED) /* nobody has set pages apart */
        REQUIRE(errno == ENOMEM);
    else
        p[BIG - 1] = 1;
    REQUIRE_ERRNO((long)map_huge(BIG, 13), EINVAL); /* no machine has pages of 8 KiB */
    errno = 0;
    REQUIRE_ERRNO((long)mmap(NULL, BIG, PROT_READ, MAP_PRIVATE | MAP_HUGETLB, 0, 0), EINVAL);
}

/* ---- a pool of our own: in a machine of our own ---- */

static void require_pool(unsigned long total, unsigned long free_, unsigned long rsvd,
                         unsigned long surp)
{
    unsigned long t = number_in("/proc/meminfo", "HugePages_Total:"),
                  f = number_in("/proc/meminfo", "HugePages_Free:"),
                  r = number_in("/proc/meminfo", "HugePages_Rsvd:"),
                  s = number_in("/proc/meminfo", "HugePages_Surp:");
    if (t != total || f != free_ || r != rsvd || s != surp)
        printf("total %lu, free %lu, reserved %lu, surplus %lu\n", t, f, r, s);
    REQUIRE(t == total && f == free_ && r == rsvd && s == surp);
    REQUIRE(number_in("/proc/sys/vm/nr_hugepages", "") == total - surp);
}

static void set_pool(const char *count)
{
    int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY);
    REQUIRE(fd >= 0 && write(fd, count, strlen(count)) == (ssize_t)strlen(count));
    close(fd);
}

static void test_pool(void)
{
    unsigned long free_before = number_in("/proc/meminfo", "MemFree:"), empty;
    require_pool(0, 0, 0, 0);
    set_pool("4\n");
    require_pool(4, 4, 0, 0);
    REQUIRE(number_in("/proc/meminfo", "Hugetlb:") == 4 * BIG / 1024);
    empty = number_in("/proc/meminfo", "MemFree:");
    REQUIRE(free_before - empty >= 4 * BIG / 1024);
    int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY);
    REQUIRE_ERRNO(write(fd, "many", 4), EINVAL);
    close(fd);

    /* Promised with the mapping, taken at the touch; a page that is not promised fails at once. */
    char *p = map_huge(2 * BIG + P, 21); /* rounded up */
    REQUIRE(p != MAP_FAILED && (uintptr_t)p % BIG == 0);
    require_pool(4, 4, 3, 0);
    REQUIRE_ERRNO((long)map_huge(2 * BIG, 0), ENOMEM);
    p[BIG + 5] = 1;
    require_pool(4, 3, 2, 0);
    for (size_t i = 0; i < BIG; i += P)
        REQUIRE(p[BIG + i + 5] == (i == 0));
    REQUIRE(number_in("/proc/self/status", "HugetlbPages:") == BIG / 1024);

    /* Whole pages only. */
    REQUIRE_ERRNO(munmap(p, P), EINVAL);
    REQUIRE_ERRNO(munmap(p + P, BIG), EINVAL);
    REQUIRE_ERRNO(mprotect(p + P, P, PROT_READ), EINVAL);
    REQUIRE_ERRNO((long)mmap(p + P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                  EINVAL);
    REQUIRE_ERRNO((long)mmap(p + P, BIG, PROT_READ,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0),
                  EINVAL);
    REQUIRE_ERRNO(madvise(p, BIG, MADV_FREE), EINVAL);
    REQUIRE_ERRNO(madvise(p + P, BIG, MADV_DONTNEED), EINVAL);
    REQUIRE(madvise(p + BIG, BIG - P, MADV_DONTNEED) == 0 && p[BIG + 5] == 1);
    REQUIRE(mprotect(p + BIG, BIG, PROT_READ) == 0 && p[BIG + 5] == 1);
    REQUIRE(mprotect(p + BIG, BIG, PROT_READ | PROT_WRITE) == 0);
    p[BIG + 6] = 2;
    require_pool(4, 3, 2, 0);
    REQUIRE(madvise(p + BIG, BIG, MADV_DONTNEED) == 0 && p[BIG + 6] == 0);

    /* A smaller pool: what is promised or used stays, as surplus. */
    set_pool("1");
    require_pool(3, 2, 2, 2);
    REQUIRE(munmap(p + 2 * BIG, BIG) == 0);
    set_pool("2");
    require_pool(2, 1, 1, 0); /* the page that was only promised has gone */
    REQUIRE(munmap(p, 2 * BIG) == 0);
    require_pool(2, 2, 0, 0);

    /* Not promised: SIGBUS when the pool is empty (tested by a system call, which gets EFAULT). */
    p = mmap(NULL, 3 * BIG, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);
    REQUIRE(p != MAP_FAILED);
    p[0] = p[BIG] = 1;
    require_pool(2, 0, 0, 0);
    int pipes[2];
    REQUIRE(pipe(pipes) == 0 && write(pipes[1], "x", 1) == 1);
    REQUIRE_ERRNO(read(pipes[0], p + 2 * BIG, 1), EFAULT);
    REQUIRE(munmap(p, 3 * BIG) == 0);
    set_pool("0");
    require_pool(0, 0, 0, 0);
    REQUIRE(number_in("/proc/meminfo", "MemFree:") + 1024 >= free_before);
}

/* Large pages that nobody asked a pool for are counted, too; where there are any. */
static void test_counts(void)
{
    make();
    unsigned long all = number_in("/proc/meminfo", "AnonHugePages:");
    REQUIRE(all == 0 || all >= COUNT * BIG / 1024);
    REQUIRE(munmap(area, COUNT * BIG) == 0);
}

int main(void)
{
    test_parts();
    test_move();
    test_hugetlb();
    if (access("/dev/memory_pressure", F_OK) == 0) { /* not on a Linux */
        test_counts();
        test_pool();
    }
    return guest_pass("hugepages");
}
