/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vsyscall - x86: the three functions of the page at 0xffffffffff600000, which programs older than
 * the vDSO call: they work, also for results on pages that were never touched; a bad pointer and
 * every other address on the page are SIGSEGV. Elsewhere, and on a Linux without the page, there is
 * nothing to test.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

#include "guest.h"

#if defined(__x86_64__)
#define PAGE 0xffffffffff600000ul

static sigjmp_buf back;

static void handler(int signo)
{
    siglongjmp(back, signo);
}

static long call(unsigned long offset, void *a, void *b)
{
    return ((long (*)(void *, void *, void *))(PAGE + offset))(a, b, NULL);
}

/* The signal that the call gives. */
static int signal_of(unsigned long offset, void *a, void *b)
{
    int signo = sigsetjmp(back, 1);

    if (signo == 0)
        (void)call(offset, a, b);
    return signo;
}

static char *fresh(void)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(page != MAP_FAILED);
    return page;
}

static void works(void)
{
    struct timeval *tv = (void *)fresh();
    time_t *seconds = (void *)fresh(), before = time(NULL);
    unsigned *cpu = (void *)fresh(), *node = (void *)fresh();
    char *none = fresh();

    REQUIRE(call(0, tv, NULL) == 0);
    REQUIRE(tv->tv_sec >= before && tv->tv_sec <= before + 10 && tv->tv_usec < 1000000);
    REQUIRE(call(0x400, seconds, NULL) == *seconds);
    REQUIRE(*seconds >= before && *seconds <= before + 10);
    REQUIRE(call(0x400, NULL, NULL) >= *seconds);
    REQUIRE(call(0x800, cpu, node) == 0);
    REQUIRE(*cpu < 1024 && *node < 1024);

    REQUIRE(mprotect(none, 4096, PROT_NONE) == 0);
    REQUIRE(signal_of(0, none, NULL) == SIGSEGV);
    REQUIRE(signal_of(0x400, none, NULL) == SIGSEGV);
    REQUIRE(signal_of(0x800, none, NULL) == SIGSEGV);
}

int main(void)
{
    static const unsigned long nothing[] = {0x10, 0x200, 0x401, 0xc00, 0xfff, 0x1000};
    struct sigaction action = {.sa_handler = handler};

    REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
    if (signal_of(0x400, NULL, NULL) == 0)
        works();
    else
        REQUIRE(access("/proc/sys/abi/vsyscall32", F_OK) == 0); /* Linux with vsyscall=none */
    for (unsigned i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
        REQUIRE(signal_of(nothing[i], NULL, NULL) == SIGSEGV);
    return guest_pass("vsyscall");
}
#else
int main(void)
{
    return guest_pass("vsyscall");
}
#endif
