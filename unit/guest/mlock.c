/* SPDX-License-Identifier: BSD-3-Clause */
/* mlock - mlock, mlock2, munlock, mlockall, MAP_LOCKED, populating: semantics, counts, limits. */
#include "guest.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef MADV_DONTNEED_LOCKED /* Linux 5.18 */
#define MADV_DONTNEED_LOCKED 24
#endif
#define P 4096ul
#define POPULATE_READ 22
#define POPULATE_WRITE 23
#define ONFAULT 1     /* MLOCK_ONFAULT */
#define ALL_ONFAULT 4 /* MCL_ONFAULT */

static char *map(size_t len, int prot, int flags)
{
    char *p = mmap(NULL, len, prot, flags | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    return p;
}

/* A line "NAME: n kB" of /proc/self/status, in pages; -1 if there is none. */
static long status_pages(const char *name)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    REQUIRE(f != NULL);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            kib = atol(line + strlen(name) + 1);
    fclose(f);
    return kib < 0 ? -1 : kib / 4;
}

static int resident(char *p)
{
    unsigned char vec;
    REQUIRE(mincore(p, P, &vec) == 0);
    return vec & 1;
}

/* The C library's mlock2 may be missing or emulated. */
static int lock2(void *p, size_t len, unsigned flags)
{
    return (int)syscall(SYS_mlock2, p, len, flags);
}

static void test_mlock(void)
{
    char *p = map(40 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    REQUIRE(status_pages("VmLck") == 0);
    REQUIRE(mlock(p + 1, 2 * P) == 0 && status_pages("VmLck") == 3); /* rounded outwards */
    REQUIRE(resident(p) && resident(p + 2 * P));
    REQUIRE(mlock(p, 4 * P) == 0 && status_pages("VmLck") == 4);
    REQUIRE_ERRNO(madvise(p, P, MADV_DONTNEED), EINVAL);
    REQUIRE_ERRNO(madvise(p, P, MADV_FREE), EINVAL);
    p[0] = p[P] = 1; /* still locked, and empty */
    REQUIRE(madvise(p, P, MADV_DONTNEED_LOCKED) == 0 && status_pages("VmLck") == 4);
    REQUIRE(!resident(p) && p[0] == 0 && p[P] == 1);
    REQUIRE_ERRNO(msync(p, P, MS_INVALIDATE), EBUSY);
    REQUIRE(munlock(p, 2 * P) == 0 && status_pages("VmLck") == 2);
    REQUIRE(madvise(p, P, MADV_DONTNEED) == 0);
    REQUIRE(munmap(p + 2 * P, P) == 0 && status_pages("VmLck") == 1);
    REQUIRE_ERRNO(mlock(p, 10 * P), ENOMEM); /* the hole; what is before it is locked */
    REQUIRE(status_pages("VmLck") == 3);
    REQUIRE_ERRNO(lock2(p, P, 2), EINVAL);
    REQUIRE_ERRNO(mlock((void *)-P, 2 * P), EINVAL);
    REQUIRE(mlock(p, 0) == 0);
    REQUIRE(munlockall() == 0 && status_pages("VmLck") == 0);
    REQUIRE(lock2(p + 16 * P, 16 * P, ONFAULT) == 0 && status_pages("VmLck") == 16);
    REQUIRE(!resident(p + 31 * P));
    p[16 * P] = 1;
    REQUIRE(lock2(p + 16 * P, 16 * P, 0) == 0 && resident(p + 31 * P));
    REQUIRE(mprotect(p + 34 * P, P, PROT_NONE) == 0);
    REQUIRE_ERRNO(mlock(p + 34 * P, P), ENOMEM); /* nobody may bring it in */
    REQUIRE(munmap(p, 40 * P) == 0 && status_pages("VmLck") == 0);
}

static void test_all(void)
{
    REQUIRE_ERRNO(mlockall(0), EINVAL);
    REQUIRE_ERRNO(mlockall(ALL_ONFAULT), EINVAL);
    REQUIRE_ERRNO(mlockall(8), EINVAL);
    char *old = map(32 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    REQUIRE(mlockall(MCL_FUTURE) == 0 && status_pages("VmLck") == 0);
    char *p = map(32 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    REQUIRE(status_pages("VmLck") == 32 && resident(p + 31 * P) && !resident(old + 31 * P));
    char *end = (char *)syscall(SYS_brk, 0);
    REQUIRE((char *)syscall(SYS_brk, end + 20 * P) == end + 20 * P);
    REQUIRE(resident((char *)((uintptr_t)end & ~(P - 1)) + 19 * P));
    REQUIRE(status_pages("VmLck") >= 51);
    REQUIRE(mlockall(MCL_CURRENT) == 0); /* and nothing in the future */
    REQUIRE(resident(old + 31 * P));
    REQUIRE_ERRNO(madvise(old, P, MADV_DONTNEED), EINVAL);
    long locked = status_pages("VmLck");
    REQUIRE(locked >= 84);
    char *q = map(32 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    REQUIRE(!resident(q + 31 * P));
    REQUIRE(munlockall() == 0 && status_pages("VmLck") == 0);
    REQUIRE(mlockall(MCL_CURRENT | MCL_FUTURE | ALL_ONFAULT) == 0 && !resident(q + 31 * P));
    char *r = map(32 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    REQUIRE(!resident(r + 31 * P));
    REQUIRE(munlockall() == 0 && status_pages("VmLck") == 0);
    REQUIRE((char *)syscall(SYS_brk, end) == end);
    munmap(old, 32 * P), munmap(p, 32 * P), munmap(q, 32 * P), munmap(r, 32 * P);
}

static void test_populate(void)
{
    char *p = map(64 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE);
    REQUIRE(resident(p) && resident(p + 63 * P));
    p = map(64 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_LOCKED);
    REQUIRE(resident(p + 63 * P) && status_pages("VmLck") == 64);
    char *q = mremap(p, 64 * P, 128 * P, MREMAP_MAYMOVE);
    REQUIRE(q != MAP_FAILED && status_pages("VmLck") == 128 && resident(q + 127 * P));
    REQUIRE(munmap(q, 128 * P) == 0 && status_pages("VmLck") == 0);
    p = map(64 * P, PROT_READ, MAP_PRIVATE);
    REQUIRE(madvise(p, 32 * P, POPULATE_READ) == 0 && resident(p + 31 * P));
    REQUIRE_ERRNO(madvise(p, P, POPULATE_WRITE), EINVAL);
    REQUIRE(mprotect(p, P, PROT_NONE) == 0);
    REQUIRE_ERRNO(madvise(p, P, POPULATE_READ), EINVAL);
    REQUIRE(munmap(p + P, P) == 0);
    REQUIRE_ERRNO(madvise(p + P, P, POPULATE_READ), ENOMEM);
    char path[] = "/tmp/mlockXXXXXX";
    int fd = mkstemp(path);
    REQUIRE(fd >= 0 && unlink(path) == 0 && ftruncate(fd, P) == 0);
    char *f = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    REQUIRE(f != MAP_FAILED && mlock(f, P) == 0);
    REQUIRE_ERRNO(madvise(f, 2 * P, POPULATE_READ), EFAULT); /* past the end of the file */
    REQUIRE_ERRNO(mlock(f, 2 * P), ENOMEM);
    munmap(f, 2 * P);
    close(fd);
}

/* Last, for the rights do not come back. Without them the limit holds. */
static void test_limit(void)
{
    if (geteuid() != 0) {
        printf("not privileged\n");
        return;
    }
    struct rlimit limit = {8 * P, 8 * P};
    REQUIRE(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    char *p = map(64 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    REQUIRE(mlock(p, 16 * P) == 0 && munlockall() == 0); /* root may */
    REQUIRE(setresuid(1234, 1234, 1234) == 0);
    REQUIRE_ERRNO(mlock(p, 9 * P), ENOMEM);
    REQUIRE(mlock(p, 8 * P) == 0 && mlock(p, 8 * P) == 0);
    REQUIRE_ERRNO(mlock(p + 8 * P, P), ENOMEM);
    REQUIRE_ERRNO((long)mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0),
                  EAGAIN);
    REQUIRE_ERRNO((long)mremap(p, 8 * P, 80 * P, MREMAP_MAYMOVE), EAGAIN);
    REQUIRE_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
    REQUIRE(mlockall(MCL_FUTURE) == 0);
    REQUIRE_ERRNO((long)mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EAGAIN);
    REQUIRE(munlockall() == 0);
    limit = (struct rlimit){0, 0};
    REQUIRE(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    REQUIRE_ERRNO(mlock(p, P), EPERM);
    REQUIRE_ERRNO(mlockall(MCL_FUTURE), EPERM);
    REQUIRE_ERRNO((long)mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0),
                  EPERM);
    REQUIRE(munlock(p, P) == 0);
}

int main(void)
{
    test_mlock();
    test_all();
    test_populate();
    test_limit();
    return guest_pass("mlock");
}
