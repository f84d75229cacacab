/* SPDX-License-Identifier: BSD-3-Clause */
/* hugepool.h - what the tests of huge pages share: the pool, its books, and signals for touching.
 */
#ifndef SELKIE_GUEST_HUGEPOOL_H
#define SELKIE_GUEST_HUGEPOOL_H

#include "procfile.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define P 4096ul
#define BIG (2ul << 20)
#define RW (PROT_READ | PROT_WRITE)

static unsigned long base_total, base_free, base_rsvd;

static inline int set_pool(unsigned long count)
{
    char text[24];
    int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY);
    if (fd < 0)
        return -1;
    snprintf(text, sizeof text, "%lu", count);
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n > 0 && number_in("/proc/sys/vm/nr_hugepages", "") == count ? 0 : -1;
}

/* Pages in use and promised but not used, beside what others have. */
static inline void require_pool(long used, long promised)
{
    long u = (long)(base_free - number_in("/proc/meminfo", "HugePages_Free:"));
    long r = (long)(number_in("/proc/meminfo", "HugePages_Rsvd:") - base_rsvd);
    if (u != used || r != promised)
        printf("used %ld, promised %ld; expected %ld, %ld\n", u, r, used, promised);
    REQUIRE(u == used && r == promised);
}

static sigjmp_buf back;

static inline void on_bus(int sig)
{
    siglongjmp(back, sig);
}

/* The signal that touching it gives, or 0. */
static inline int touch(volatile char *p, int write)
{
    int sig = sigsetjmp(back, 1);
    if (sig)
        return sig;
    if (write)
        *p = 1;
    else
        (void)*p;
    return 0;
}

/* From here to pool_end the pool has so many pages, and to the end of the program it is ours alone.
 * 0: there are no huge pages, which only a Linux may say. */
static inline int pool_begin(unsigned long count)
{
    (void)pool_lock();
    base_total = number_in("/proc/sys/vm/nr_hugepages", "");
    if (set_pool(count)) {
        printf("no huge pages here\n");
        REQUIRE(access("/dev/memory_pressure", F_OK) != 0);
        return 0;
    }
    base_free = number_in("/proc/meminfo", "HugePages_Free:");
    base_rsvd = number_in("/proc/meminfo", "HugePages_Rsvd:");
    return 1;
}
static inline void pool_end(void)
{
    REQUIRE(set_pool(base_total) == 0);
}

#endif
