/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * idlecaches - the free pages that CPUs keep at hand are less than 1 MiB on two CPUs however much
 * was freed, and go back when the machine is idle. On a Linux, which does not tell, only the load
 * runs.
 */
#include "guest.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>

#define P 4096ul
#define PAGES 500
#define BOUND (1024 / 4)
#define AT_REST 32 /* one refill by this program's own looking */
#define LOOKS 20

static long cached(void)
{
    static char text[4096];
    int fd = open("/proc/vmstat", O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    REQUIRE(n > 0);
    text[n] = 0;
    close(fd);
    char *at = strstr(text, "nr_cpu_cached_pages ");
    return at ? strtol(at + 20, NULL, 10) : -1;
}

/* Single pages of all kinds come and go on the CPU. */
static void load(unsigned cpu)
{
    cpu_set_t set;
    char name[] = "/tmp/idlecaches.XXXXXX", page[P] = {1};
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set); /* there may be one CPU only */
    int fd = mkstemp(name);
    REQUIRE(fd >= 0 && unlink(name) == 0);
    char *p = mmap(NULL, PAGES * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED && madvise(p, PAGES * P, MADV_RANDOM) == 0);
    for (unsigned i = 0; i < PAGES; i++) {
        p[i * P] = 1;
        REQUIRE(write(fd, page, P) == (ssize_t)P);
    }
    for (unsigned i = 0; i < PAGES; i++)
        REQUIRE(madvise(p + i * P, P, MADV_DONTNEED) == 0);
    REQUIRE(munmap(p, PAGES * P) == 0);
    close(fd);
}

int main(void)
{
    load(0);
    load(1);
    long most = cached(), now = most;
    if (most >= 0) {
        REQUIRE(most < BOUND);
        for (int i = 0; i < LOOKS && now > AT_REST; i++) {
            usleep(3000000); /* each look itself may fill a cache: long enough to be idle before */
            now = cached();
        }
        if (now > AT_REST)
            printf("%ld pages in caches, then %ld\n", most, now);
        REQUIRE(now <= AT_REST && most > now);
    }
    return guest_pass("idlecaches");
}
