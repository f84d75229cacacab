/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugepages - large pages do not show: each part of one can be dropped, protected, unmapped, moved
 * and locked, and the rest keeps its bytes. MAP_HUGETLB is refused or kept.
 */
#include "guest.h"

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

int main(void)
{
    test_parts();
    test_move();
    test_hugetlb();
    return guest_pass("hugepages");
}
