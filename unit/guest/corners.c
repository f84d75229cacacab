/* SPDX-License-Identifier: BSD-3-Clause */
/* corners.c - small things that a call says or leaves behind in corner cases. */
#include "guest.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
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

int main(void)
{
    test_sleep_clocks();
    test_futex();
    test_pipe();
    test_dumpable();
    return guest_pass("corners");
}
