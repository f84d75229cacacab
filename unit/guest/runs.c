/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runs - fresh memory is zero and keeps what is written, in whatever runs and gaps it is touched,
 * before and after it was used and given back; so does a heap that grows and shrinks.
 */
#include "guest.h"

#include <sys/mman.h>

#define P 4096ul
#define AREA (24ul << 20)
#define STEP (64ul << 10)

static uint64_t stamp(size_t page, unsigned round)
{
    return page * 0x9e3779b97f4a7c15ull + round + 1;
}

/* Every word of the page is `want`. */
static void check_page(const char *page, uint64_t want)
{
    uint64_t word;
    for (size_t at = 0; at < P; at += sizeof word) {
        memcpy(&word, page + at, sizeof word);
        REQUIRE(word == want);
    }
}

static void fill_page(char *page, uint64_t value)
{
    check_page(page, 0);
    for (size_t at = 0; at < P; at += sizeof value)
        memcpy(page + at, &value, sizeof value);
}

static void use(size_t run, size_t gap, unsigned round)
{
    char *p = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t pages = AREA / P, step = run + gap;
    REQUIRE(p != MAP_FAILED);
    for (size_t i = 0; i < pages; i++)
        if (i % step < run)
            fill_page(p + i * P, stamp(i, round));
    for (size_t i = 0; i < pages; i++)
        check_page(p + i * P, i % step < run ? stamp(i, round) : 0);
    REQUIRE(munmap(p, AREA) == 0);
}

static void grow(unsigned round)
{
    char *start = sbrk(0);
    REQUIRE(start != (void *)-1);
    for (size_t k = 0; k < 64; k++) {
        char *p = sbrk(STEP);
        REQUIRE(p == start + k * STEP);
        for (size_t at = 0; at < STEP; at += P)
            fill_page(p + at, stamp(k + at, round));
    }
    for (size_t k = 0; k < 64; k++)
        for (size_t at = 0; at < STEP; at += P)
            check_page(start + k * STEP + at, stamp(k + at, round));
    REQUIRE(brk(start) == 0);
}

int main(void)
{
    static const struct {
        size_t run, gap;
    } shapes[] = {{1, 0}, {16, 16}, {1, 31}, {3, 17}, {64, 16}, {700, 100}, {512, 512}};
    /* Whole pages of the heap, so that nothing else is on them. */
    REQUIRE(sbrk((intptr_t)(P - (uintptr_t)sbrk(0) % P)) != (void *)-1);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            use(shapes[i].run, shapes[i].gap, round);
        grow(round);
    }
    return guest_pass("runs");
}
