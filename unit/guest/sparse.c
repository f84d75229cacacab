/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sparse - pages mapped and unmapped at random places of the whole address space leave nothing
 * behind: neither memory (the page tables of each place would add up to gigabytes), nor a table
 * that keeps a place from large pages.
 *
 * Mapped at most at once: LIVE pages. Where the machine is our own (little memory), its figures
 * must be back to what they were. An argument is the number of turns, for machines that are slow.
 */
#include "guest.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define P 4096ul
#define BIG (2ul << 20)
#define LIVE 64
#define TURNS 200000
#define SMALL_KIB (512ul << 10) /* a machine of our own */
#define TOLERANCE_KIB 2048      /* what CPUs and slabs keep at hand */

static uint64_t state = 88172645463325252ull;
static int file;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* Where pages go: the first of these whose end can be mapped. The hosted kernel under a sanitizer
 * has less than 2^45 bytes for programs (docs/debugging.md). */
static const struct range {
    uintptr_t lo, size;
} ranges[] = {
    {0x100000000, (1ul << 45) - 0x200000000},
    {0x200000000000, 1ul << 43}, /* asan */
    {0x100000000, 0x7000000000}, /* tsan */
};
static const struct range *range;

static char *random_place(void)
{
    return (char *)(range->lo + next_random() % (range->size / P) * P);
}

static void find_range(void)
{
    for (range = ranges; range < ranges + sizeof ranges / sizeof *ranges; range++) {
        char *end = (char *)(range->lo + range->size - P);
        char *p = mmap(end, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (p != MAP_FAILED) {
            REQUIRE(p == end && munmap(p, P) == 0);
            return;
        }
    }
    REQUIRE(!"there is room for pages far apart");
}

static unsigned long meminfo(const char *what)
{
    static char text[8192];
    int fd = open("/proc/meminfo", O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    REQUIRE(n > 0);
    text[n] = 0;
    close(fd);
    char *at = strstr(text, what);
    return at ? strtoul(at + strlen(what) + 1, NULL, 10) : 0;
}

static char *map_at(char *where, int fd)
{
    int flags = MAP_FIXED_NOREPLACE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
    char *p = mmap(where, P, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (p == MAP_FAILED) {
        REQUIRE(errno == EEXIST); /* something was there already */
        return NULL;
    }
    REQUIRE(p == where);
    return p;
}

/* One turn: what was in the slot goes, in one of the ways there are, and another page comes. */
static void turn(char **slot, unsigned i)
{
    char *to;
    if (*slot && i % 4 == 1) {
        REQUIRE(madvise(*slot, P, MADV_DONTNEED) == 0); /* an empty table is one, too */
    } else if (*slot && i % 4 == 2) {
        to = random_place();
        if (mremap(*slot, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to)
            *slot = to;
    }
    if (*slot)
        REQUIRE(munmap(*slot, P) == 0);
    *slot = map_at(random_place(), i % 8 == 3 ? file : -1);
    if (*slot) {
        REQUIRE(**slot == 0);
        **slot = i % 8 == 3 ? 0 : 1;
    }
}

static void turns(unsigned count)
{
    static char *slots[LIVE];
    for (unsigned i = 0; i < count; i++)
        turn(&slots[next_random() % LIVE], i);
    for (unsigned i = 0; i < LIVE; i++) {
        if (slots[i])
            REQUIRE(munmap(slots[i], P) == 0);
        slots[i] = NULL;
    }
}

static unsigned long large_kib(const char *area)
{
    char line[256];
    unsigned long lo, kib = 0;
    int inside = 0;
    FILE *f = fopen("/proc/self/smaps", "r");
    REQUIRE(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-", &lo) == 1 && strchr(line, '-') < strchr(line, ' '))
            inside = lo == (unsigned long)area;
        if (inside && sscanf(line, "AnonHugePages: %lu", &kib) == 1)
            break;
    }
    fclose(f);
    return kib;
}

/* Does a place where small pages were get a large one? `large`: it would without them. */
static void test_large(int expected)
{
    char *p = mmap(NULL, 2 * BIG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    char *area = (char *)(((uintptr_t)p + BIG - 1) & ~(BIG - 1));
    REQUIRE(munmap(p, 2 * BIG) == 0);
    for (int used = 0; used < 2; used++) {
        REQUIRE(mmap(area, BIG, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == area);
        if (madvise(area, BIG, MADV_HUGEPAGE))
            expected = 0; /* a Linux may be without */
        area[BIG / 2] = 1;
        unsigned long kib = large_kib(area);
        if (!used)
            expected = expected && kib > 0;
        REQUIRE(!expected || kib == BIG / 1024);
        REQUIRE(munmap(area, BIG) == 0);
        /* Two small neighbours, the lower one first. */
        REQUIRE(map_at(area + 7 * P, -1) && map_at(area + 8 * P, -1));
        area[7 * P] = area[8 * P] = 1;
        REQUIRE(munmap(area + 7 * P, P) == 0 && munmap(area + 8 * P, P) == 0);
    }
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : TURNS;
    file = (int)syscall(SYS_memfd_create, "sparse", 0);
    REQUIRE(file >= 0 && ftruncate(file, P) == 0);
    find_range();
    int own = meminfo("MemTotal:") < SMALL_KIB;
    test_large(own);
    turns(1000);
    unsigned long tables = meminfo("PageTables:"), available = meminfo("MemAvailable:");
    turns(count);
    if (own) {
        unsigned long tables_now = meminfo("PageTables:"), now = meminfo("MemAvailable:");
        if (tables_now > tables + 64 || now + TOLERANCE_KIB < available)
            printf("page tables %lu, then %lu KiB; available %lu, then %lu KiB\n", tables,
                   tables_now, available, now);
        REQUIRE(tables_now <= tables + 64 && now + TOLERANCE_KIB >= available);
    }
    return guest_pass("sparse");
}
