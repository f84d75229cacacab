/* SPDX-License-Identifier: BSD-3-Clause */
/* corners.c - small things that a call says or leaves behind in corner cases. */
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

/* The call itself, not libc's wrapper, which has an opinion. */
static void test_sleep_clocks(void)
{
    struct timespec ts = {0, 1000};
    long own = ((long)~gettid() << 3) | 4 | 2;
    REQUIRE_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL), EOPNOTSUPP);
    REQUIRE_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, NULL, NULL), EOPNOTSUPP);
    REQUIRE_ERRNO(syscall(SYS_clock_nanosleep, own, 0, &ts, NULL), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_clock_nanosleep, own, 0, NULL, NULL), EFAULT);
    REQUIRE_ERRNO(syscall(SYS_clock_nanosleep, 12, 0, NULL, NULL), EINVAL);
}

static void test_futex(void)
{
    uint32_t word = 0;
    char *const none = NULL;
    REQUIRE(syscall(SYS_futex, none, 1 | 128, 1, NULL, NULL, 0) == 0);
    REQUIRE_ERRNO(syscall(SYS_futex, none, 1, 1, NULL, NULL, 0), EFAULT);
    REQUIRE_ERRNO(syscall(SYS_futex, none, 0 | 128, 0, NULL, NULL, 0), EFAULT);
    REQUIRE_ERRNO(syscall(SYS_futex, none + 2, 1 | 128, 1, NULL, NULL, 0), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_futex, (char *)-8, 1 | 128, 1, NULL, NULL, 0), EFAULT);
    for (int op = 14; op < 128; op++)
        REQUIRE_ERRNO(syscall(SYS_futex, &word, op, 1, NULL, NULL, 0), ENOSYS);
    REQUIRE_ERRNO(syscall(SYS_futex, &word, 0x201, 1, NULL, NULL, 0), ENOSYS);
}

/* Shared and private are two names of private memory, and two futexes. What is no memory to write
 * to, or behind the end of a file, is none. */
static pthread_barrier_t ready;
static uint32_t private_word;

static void *wait_private(void *arg)
{
    struct timespec long_time = {20, 0};
    pthread_barrier_wait(&ready);
    return (void *)syscall(SYS_futex, &private_word, 0 | 128, 0, &long_time, NULL, 0);
}

static void test_futex_names(void)
{
    pthread_t thread;
    void *result;
    long woken;
    const int protections[] = {PROT_NONE, PROT_READ};
    REQUIRE(pthread_barrier_init(&ready, NULL, 2) == 0);
    REQUIRE(pthread_create(&thread, NULL, wait_private, NULL) == 0);
    pthread_barrier_wait(&ready);
    do {
        REQUIRE(syscall(SYS_futex, &private_word, 1, 1, NULL, NULL, 0) == 0);
        woken = syscall(SYS_futex, &private_word, 1 | 128, 1, NULL, NULL, 0);
    } while (woken == 0);
    REQUIRE(woken == 1 && pthread_join(thread, &result) == 0 && result == NULL);
    for (int i = 0; i < 2; i++) {
        char *p = mmap(NULL, 4096, protections[i], MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(p != MAP_FAILED);
        REQUIRE_ERRNO(syscall(SYS_futex, p, 1, 1, NULL, NULL, 0), EFAULT);
        REQUIRE(syscall(SYS_futex, p, 1 | 128, 1, NULL, NULL, 0) == 0);
        REQUIRE_ERRNO(syscall(SYS_futex, &private_word, 3, 1, 1, p, 0), EFAULT);
        REQUIRE(munmap(p, 4096) == 0);
    }
    int fd = memfd_create("word", 0);
    REQUIRE(fd >= 0 && ftruncate(fd, 100) == 0);
    char *p = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED && close(fd) == 0);
    REQUIRE(syscall(SYS_futex, p + 4092, 1, 1, NULL, NULL, 0) == 0);
    REQUIRE_ERRNO(syscall(SYS_futex, p + 4096, 1, 1, NULL, NULL, 0), EFAULT);
    REQUIRE(munmap(p, 8192) == 0);
}

static void test_pipe(void)
{
    int *const none = NULL, before = dup(0), after;
    close(before);
    REQUIRE_ERRNO(syscall(SYS_pipe2, none, 0), EFAULT);
    after = dup(0);
    REQUIRE(before >= 0 && after == before && fcntl(after + 1, F_GETFD) == -1);
    close(after);
}

/* Other effective ids: whoever may look into the process changes. */
static void test_dumpable(void)
{
    static const struct {
        long call, a, b, c;
        bool other;
    } steps[] = {
        {SYS_setresuid, -1, -1, -1, false}, {SYS_setresuid, 1000, -1, -1, false},
        {SYS_setresgid, -1, -1, 5, false},  {SYS_setresgid, -1, 7, -1, true},
        {SYS_setfsgid, 9, 0, 0, true},      {SYS_setresuid, -1, 1000, -1, true},
        {SYS_setresuid, -1, 0, -1, true},
    };
    if (geteuid() != 0)
        return;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int signo = -1;
        REQUIRE(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
        REQUIRE(prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0) == 0);
        REQUIRE(syscall(steps[i].call, steps[i].a, steps[i].b, steps[i].c) >= 0);
        REQUIRE(prctl(PR_GET_PDEATHSIG, &signo, 0, 0, 0) == 0);
        REQUIRE(signo == (steps[i].other ? 0 : SIGUSR1));
        REQUIRE(!steps[i].other == prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    }
}

/* ---- threads beyond the limit ---- */

static void *nothing(void *arg)
{
    return arg;
}

static int thread_makes(void)
{
    pthread_t thread;
    int err = pthread_create(&thread, NULL, nothing, NULL);
    if (!err)
        REQUIRE(pthread_join(thread, NULL) == 0);
    return err;
}

static void test_thread_limit(void)
{
    struct rlimit none = {0, 0}, old;
    uint32_t tid = 77;
    if (geteuid() != 0 || getuid() != 0)
        return;
    REQUIRE(getrlimit(RLIMIT_NPROC, &old) == 0);
    none.rlim_max = old.rlim_max;
    REQUIRE(setrlimit(RLIMIT_NPROC, &none) == 0);
    REQUIRE(thread_makes() == 0); /* root has none */
    REQUIRE(syscall(SYS_setresuid, 1000, 1000, 0) == 0);
    REQUIRE(thread_makes() == EAGAIN);
    /* What fails leaves nothing behind: CLONE_VM, FS, FILES, SIGHAND, THREAD, PARENT_SETTID. */
    REQUIRE_ERRNO(syscall(SYS_clone, 0x110f00, NULL, &tid, NULL, NULL), EAGAIN);
    REQUIRE(tid == 77);
    REQUIRE(syscall(SYS_setresuid, 0, 0, 0) == 0 && setrlimit(RLIMIT_NPROC, &old) == 0);
}

int main(void)
{
    test_sleep_clocks();
    test_futex();
    test_futex_names();
    test_pipe();
    test_thread_limit();
    test_dumpable();
    return guest_pass("corners");
}
