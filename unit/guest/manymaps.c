/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * manymaps - a page of a file mapped at tens of thousands of places: truncating the file takes it
 * from all of them, in a time that grows with their number (and not with its square, which would
 * outlast the test); growing it again brings a fresh page to all.
 */
#include "guest.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define P 4096ul
#define PLACES 60000u /* of 65,530 */
#define STEP 97u

static sigjmp_buf back;

static void on_bus(int sig)
{
    siglongjmp(back, sig);
}

static int faults(volatile char *p)
{
    if (sigsetjmp(back, 1))
        return 1;
    (void)*p;
    return 0;
}

int main(void)
{
    static char *place[PLACES];
    int fd = (int)syscall(SYS_memfd_create, "manymaps", 0);
    REQUIRE(fd >= 0 && signal(SIGBUS, on_bus) != SIG_ERR);
    REQUIRE(ftruncate(fd, P) == 0);
    for (unsigned i = 0; i < PLACES; i++) {
        place[i] = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        REQUIRE(place[i] != MAP_FAILED);
    }
    place[0][7] = 1;
    for (unsigned i = 0; i < PLACES; i += STEP)
        REQUIRE(place[i][7] == 1);
    for (int round = 0; round < 20; round++) {
        REQUIRE(ftruncate(fd, 0) == 0);
        for (unsigned i = 0; i < PLACES; i += STEP)
            REQUIRE(faults(place[i]));
        REQUIRE(ftruncate(fd, P) == 0);
        for (unsigned i = 0; i < PLACES; i += STEP)
            REQUIRE(place[i][7] == 0);
        place[round][7] = 1;
        REQUIRE(place[PLACES - 1][7] == 1);
    }
    for (unsigned i = 0; i < PLACES; i++)
        REQUIRE(munmap(place[i], P) == 0);
    return guest_pass("manymaps");
}
