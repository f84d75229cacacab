/* SPDX-License-Identifier: BSD-3-Clause */
/* mapflags - what mmap's less usual flags do: places, stacks that grow, sealed memory files,
 * /dev/shm. */
#include "guest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define P 4096ul
#define RW (PROT_READ | PROT_WRITE)

static void *map_at(void *at, size_t len, int prot, int flags)
{
    return mmap(at, len, prot, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void test_places(void)
{
#ifdef MAP_32BIT
    for (int i = 0; i < 20; i++) {
        char *p = map_at(NULL, 64 * P, RW, MAP_32BIT);
        REQUIRE(p != MAP_FAILED && (uintptr_t)p + 64 * P <= 1ul << 31);
        p[0] = 1;
    }
#endif
    char *p = map_at(NULL, 8 * P, RW, 0);
    REQUIRE(p != MAP_FAILED && munmap(p + 2 * P, 2 * P) == 0);
    REQUIRE(map_at(p + 2 * P, 2 * P, RW, MAP_FIXED_NOREPLACE) == p + 2 * P);
    REQUIRE_ERRNO((long)map_at(p + P, 2 * P, RW, MAP_FIXED_NOREPLACE), EEXIST);
    REQUIRE_ERRNO((long)map_at(p + 1, P, RW, MAP_FIXED_NOREPLACE), EINVAL);
    /* A hint that is taken is only a hint. */
    char *q = map_at(p, P, RW, 0);
    REQUIRE(q != MAP_FAILED && q != p);
    REQUIRE(munmap(p + 4 * P, P) == 0);
    REQUIRE(map_at(p + 4 * P, P, RW, 0) == p + 4 * P);
}

static sigjmp_buf caught;
static volatile int code;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)context;
    code = sig * 100 + info->si_code;
    siglongjmp(caught, 1);
}

/* The signal and code that an access gives, or 0. */
static int access_result(volatile char *at, int write)
{
    code = 0;
    if (sigsetjmp(caught, 1) == 0) {
        if (write)
            *at = 1;
        else
            (void)*at;
    }
    return code;
}

static void test_grows_down(void)
{
    char *room = map_at(NULL, 4096 * P, PROT_NONE, 0);
    REQUIRE(room != MAP_FAILED && munmap(room, 4096 * P) == 0);
    char *p = map_at(room + 4080 * P, 4 * P, RW, MAP_GROWSDOWN | MAP_FIXED);
    REQUIRE(p == room + 4080 * P);
    p[0] = 1;
    p[-(long)P] = 2; /* the page below */
    p[-(long)(100 * P)] = 3;
    REQUIRE(p[-(long)(50 * P)] == 0);
    int fd = open("/proc/self/exe", O_RDONLY);
    REQUIRE(fd >= 0);
    REQUIRE_ERRNO((long)mmap(NULL, P, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0),
                  EINVAL);
    close(fd);
}

static void test_seals(void)
{
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    REQUIRE(fd >= 0 && ftruncate(fd, 4 * P) == 0);
    char *w = mmap(NULL, 4 * P, RW, MAP_SHARED, fd, 0);
    REQUIRE(w != MAP_FAILED);
    w[0] = 7;
    REQUIRE_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    REQUIRE(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    w[1] = 8; /* what was mapped before may be written */
    REQUIRE_ERRNO((long)mmap(NULL, P, RW, MAP_SHARED, fd, 0), EPERM);
    char *r = mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(r != MAP_FAILED && r[0] == 7 && r[1] == 8);
    REQUIRE_ERRNO(mprotect(r, P, RW), EACCES); /* the seal holds later, too */
    char *c = mmap(NULL, P, RW, MAP_PRIVATE, fd, 0);
    REQUIRE(c != MAP_FAILED);
    c[0] = 9;
    REQUIRE(r[0] == 7 && w[0] == 7);
    REQUIRE_ERRNO(ftruncate(fd, P), EPERM);
    REQUIRE_ERRNO(ftruncate(fd, 8 * P), EPERM);
    REQUIRE_ERRNO(write(fd, "x", 1), EPERM);
    REQUIRE_ERRNO(madvise(r, P, MADV_REMOVE), EACCES);
    REQUIRE(munmap(w, 4 * P) == 0 && munmap(r, P) == 0);
    REQUIRE(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
    REQUIRE(fcntl(fd, F_GET_SEALS) ==
            (F_SEAL_WRITE | F_SEAL_SEAL | F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
    REQUIRE_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), EPERM);
    close(fd);
}

/* MFD_NOEXEC_SEAL and MFD_EXEC are newer (6.3) than what we say we are, but accepted. */
static void test_exec_seal(void)
{
    struct stat st;
    REQUIRE_ERRNO(memfd_create("both", 8 | 16), EINVAL);
    int fd = memfd_create("data", 8);
    if (fd < 0)
        return;
    REQUIRE(fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0666);
    REQUIRE(fcntl(fd, F_GET_SEALS) == 32);
    REQUIRE_ERRNO(fchmod(fd, 0755), EPERM);
    REQUIRE(fchmod(fd, 0640) == 0 && write(fd, "x", 1) == 1);
    close(fd);
    fd = memfd_create("code", MFD_ALLOW_SEALING | 16);
    REQUIRE(fd >= 0 && fcntl(fd, F_ADD_SEALS, 32) == 0);
    REQUIRE(fcntl(fd, F_GET_SEALS) ==
            (32 | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
    REQUIRE_ERRNO(write(fd, "x", 1), EPERM);
    REQUIRE_ERRNO(fchmod(fd, 0666), EPERM);
    REQUIRE(fchmod(fd, 0777) == 0);
    close(fd);
}

static void test_shm(void)
{
    char name[64];
    snprintf(name, sizeof name, "/dev/shm/selkie-test-%d", (int)getpid());
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    REQUIRE(fd >= 0 && ftruncate(fd, 2 * P) == 0);
    char *a = mmap(NULL, 2 * P, RW, MAP_SHARED, fd, 0);
    char *b = mmap(NULL, 2 * P, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(a != MAP_FAILED && b != MAP_FAILED);
    a[P] = 5;
    REQUIRE(b[P] == 5 && unlink(name) == 0);
    close(fd);
    a[0] = 6;
    REQUIRE(b[0] == 6);
    REQUIRE(madvise(a + P, P, MADV_REMOVE) == 0 && b[P] == 0 && b[0] == 6);
    int ro = open("/proc/self/exe", O_RDONLY);
    REQUIRE(ro >= 0);
    REQUIRE_ERRNO((long)mmap(NULL, P, RW, MAP_SHARED, ro, 0), EACCES);
    REQUIRE_ERRNO((long)mmap(NULL, P, PROT_READ, MAP_SHARED, ro, 1), EINVAL);
    REQUIRE_ERRNO((long)mmap(NULL, 2 * P, PROT_READ, MAP_SHARED, ro, (off_t)(INT64_MAX & ~0xfffl)),
                  EOVERFLOW);
    close(ro);
}

static void test_past_end(void)
{
    int fd = memfd_create("short", 0);
    REQUIRE(fd >= 0 && ftruncate(fd, P + 10) == 0);
    char *p = mmap(NULL, 3 * P, RW, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED);
    REQUIRE(access_result(p + P + 100, 1) == 0); /* the last page is whole */
    REQUIRE(access_result(p + 2 * P, 0) == SIGBUS * 100 + BUS_ADRERR);
    REQUIRE(ftruncate(fd, 3 * P) == 0 && access_result(p + 2 * P, 1) == 0);
    REQUIRE(ftruncate(fd, P) == 0);
    REQUIRE(access_result(p + P, 0) == SIGBUS * 100 + BUS_ADRERR);
    REQUIRE(mprotect(p, P, PROT_NONE) == 0);
    REQUIRE(access_result(p, 0) == SIGSEGV * 100 + SEGV_ACCERR);
    REQUIRE(munmap(p, 3 * P) == 0);
    REQUIRE(access_result(p, 0) == SIGSEGV * 100 + SEGV_MAPERR);
    close(fd);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    REQUIRE(sigaction(SIGBUS, &action, NULL) == 0 && sigaction(SIGSEGV, &action, NULL) == 0);
    test_places();
    test_grows_down();
    test_seals();
    test_exec_seal();
    test_shm();
    test_past_end();
    return guest_pass("mapflags");
}
