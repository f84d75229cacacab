/* SPDX-License-Identifier: BSD-3-Clause */
/* memory - mmap, munmap, mprotect, mremap, madvise, mincore, msync, brk: semantics and errors. */
#include "guest.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define P 4096ul

static char *map(size_t len, int prot, int flags)
{
    char *p = mmap(NULL, len, prot, flags | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    return p;
}

static void test_anonymous(void)
{
    char *p = map(64 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    for (size_t i = 0; i < 64 * P; i++)
        REQUIRE(p[i] == 0);
    memset(p, 7, 64 * P);
    REQUIRE(munmap(p + 10 * P, 4 * P) == 0);
    REQUIRE(p[10 * P - 1] == 7 && p[14 * P] == 7);
    REQUIRE(mmap(p + 10 * P, 4 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                 -1, 0) == p + 10 * P);
    REQUIRE(p[10 * P] == 0);
    REQUIRE_ERRNO(
        (long)mmap(p, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
        EEXIST);
    REQUIRE(madvise(p, 5 * P, MADV_DONTNEED) == 0 && p[0] == 0 && p[5 * P] == 7);
    REQUIRE_ERRNO((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    REQUIRE_ERRNO((long)mmap(NULL, P, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
    REQUIRE_ERRNO((long)mmap(NULL, P, PROT_READ, MAP_PRIVATE, -1, 0), EBADF);
    REQUIRE_ERRNO(
        (long)mmap((void *)1, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        EINVAL);
    REQUIRE_ERRNO((long)mmap(NULL, (size_t)-1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                  ENOMEM);
    REQUIRE_ERRNO(munmap(p + 1, P), EINVAL);
    REQUIRE_ERRNO(munmap(p, 0), EINVAL);
    REQUIRE(munmap(p, 64 * P) == 0 && munmap(p, 64 * P) == 0);
    REQUIRE_ERRNO(mprotect(p, P, PROT_READ), ENOMEM);
    REQUIRE_ERRNO(madvise(p, P, MADV_DONTNEED), ENOMEM);
    REQUIRE_ERRNO(madvise((void *)P, P, 12345), EINVAL);
}

static void test_file(void)
{
    char path[] = "/tmp/memoryXXXXXX", buf[16];
    int fd = mkstemp(path);
    REQUIRE(fd >= 0 && unlink(path) == 0);
    for (int i = 0; i < 3; i++) {
        char page[P];
        memset(page, 'a' + i, P);
        REQUIRE(write(fd, page, P) == (long)P);
    }
    char *priv = mmap(NULL, 3 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    char *shared = mmap(NULL, 3 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *second = mmap(NULL, P, PROT_READ, MAP_SHARED, fd, P);
    REQUIRE(priv != MAP_FAILED && shared != MAP_FAILED && second != MAP_FAILED);
    REQUIRE(priv[0] == 'a' && shared[P] == 'b' && second[0] == 'b');
    shared[P] = 'X';
    REQUIRE(second[0] == 'X' && priv[P] == 'X');
    priv[P + 1] = 'Y';
    REQUIRE(second[1] == 'b');
    REQUIRE(pread(fd, buf, 2, P) == 2 && buf[0] == 'X' && buf[1] == 'b');
    REQUIRE(pwrite(fd, "W", 1, 2 * P) == 1 && shared[2 * P] == 'W' && priv[2 * P] == 'W');
    REQUIRE(msync(shared, 3 * P, MS_SYNC) == 0);
    REQUIRE(ftruncate(fd, P) == 0 && ftruncate(fd, 3 * P) == 0);
    REQUIRE(shared[P] == 0 && second[0] == 0);
    int ro = open("/proc/self/exe", O_RDONLY);
    REQUIRE(ro >= 0);
    REQUIRE_ERRNO((long)mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0), EACCES);
    char *exe = mmap(NULL, P, PROT_READ, MAP_SHARED, ro, 0);
    REQUIRE(exe != MAP_FAILED && memcmp(exe, "\177ELF", 4) == 0);
    REQUIRE_ERRNO(mprotect(exe, P, PROT_READ | PROT_WRITE), EACCES);
    close(ro);
    close(fd);
    REQUIRE(shared[0] == 'a');
}

static void test_remap(void)
{
    char *p = map(8 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    memset(p, 5, 8 * P);
    char *q = mremap(p, 8 * P, 64 * P, MREMAP_MAYMOVE);
    REQUIRE(q != MAP_FAILED && q[0] == 5 && q[8 * P - 1] == 5 && q[8 * P] == 0 &&
            q[64 * P - 1] == 0);
    REQUIRE(mremap(q, 64 * P, 2 * P, 0) == q);
    char *target = map(4 * P, PROT_READ, MAP_PRIVATE);
    REQUIRE(mremap(q, 2 * P, 4 * P, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    REQUIRE(target[0] == 5 && target[2 * P - 1] == 5 && target[3 * P] == 0);
    target[0] = 9;
    REQUIRE_ERRNO((long)mremap(target + 1, P, P, 0), EINVAL);
    REQUIRE_ERRNO((long)mremap(q, P, 2 * P, MREMAP_MAYMOVE), EFAULT);
}

static void test_incore(void)
{
    unsigned char vec[8];
    char *p = map(8 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    REQUIRE_ERRNO(mincore(p + 1, P, vec), EINVAL);
    p[0] = 1;
    REQUIRE(mincore(p, 8 * P, vec) == 0 && (vec[0] & 1));
    REQUIRE(munmap(p + 4 * P, P) == 0);
    REQUIRE_ERRNO(mincore(p, 8 * P, vec), ENOMEM);
}

/* The system call itself: musl's sbrk refuses to move the break. */
static char *set_break(char *want)
{
    return (char *)syscall(SYS_brk, want);
}

static void test_brk(void)
{
    char *start = set_break(NULL);
    REQUIRE(start != NULL);
    REQUIRE(set_break(start + 10 * P) == start + 10 * P);
    memset(start, 3, 10 * P);
    REQUIRE(set_break(start) == start);
    REQUIRE(set_break(start + P) == start + P && start[0] == 0);
    REQUIRE(set_break(start + (1l << 46)) == start + P); /* refused: the break stays */
    REQUIRE(set_break(start) == start);
}

int main(void)
{
    test_anonymous();
    test_file();
    test_remap();
    test_incore();
    test_brk();
    char *shared = map(2 * P, PROT_READ | PROT_WRITE, MAP_SHARED);
    shared[0] = 1;
    REQUIRE(madvise(shared, P, MADV_DONTNEED) == 0 && shared[0] == 1);
    return guest_pass("memory");
}
