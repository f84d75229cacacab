/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pressure - anonymous memory fills the machine to 95 % while a file of the image (/big, if there
 * is one) is read and mapped again and again: its pages are evicted and come back. Every page knows
 * what must be in it. On Linux it fills 64 MiB, for the machine is not ours there.
 */
#include "storm.h"

#include <fcntl.h>
#include <sys/stat.h>

#define FILLERS 3
#define CHUNK_PAGES 64
#define CHUNKS_MAX 4096

struct hoard {
    unsigned chunks; /* for each filler */
    uint64_t seed;
    unsigned char *big; /* mapped, or NULL */
    size_t big_size;
    int big_fd;
    uint64_t sum; /* of the file */
};

struct filler {
    uint64_t *chunk[CHUNKS_MAX];
    uint64_t stamp[CHUNKS_MAX];
};

static void fill(uint64_t *chunk, uint64_t stamp)
{
    for (unsigned page = 0; page < CHUNK_PAGES; page++)
        for (unsigned i = 0; i < 512; i += page % 8 ? 73 : 1)
            chunk[page * 512 + i] = mix(stamp, page * 512 + i);
}

static void verify(const uint64_t *chunk, uint64_t stamp)
{
    for (unsigned page = 0; page < CHUNK_PAGES; page++)
        for (unsigned i = 0; i < 512; i += page % 8 ? 73 : 1)
            if (chunk[page * 512 + i] != mix(stamp, page * 512 + i))
                storm_fail(__FILE__, __LINE__, "a page has lost what was in it",
                           (long)chunk[page * 512 + i], (long)mix(stamp, page * 512 + i));
}

/* A call may say that there is no memory just now; touching pages waits for it. */
static void *map_patiently(struct worker *w, size_t len, int fd)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE;
    void *p;
    while ((p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0)) == MAP_FAILED) {
        CHECK(errno == ENOMEM);
        storm_count("mappings refused", 1);
        usleep(1000 + rng_below(&w->rng, 1000));
    }
    return p;
}

static void fill_slot(struct worker *w, struct filler *f, unsigned i)
{
    f->stamp[i] = rng_next(&w->rng);
    f->chunk[i] = map_patiently(w, CHUNK_PAGES * PAGE, -1);
    fill(f->chunk[i], f->stamp[i]);
}

static void filler(struct worker *w)
{
    struct hoard *h = w->arg;
    struct filler *f =
        mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned long verified = 0;
    CHECK(f != MAP_FAILED);
    while (!storm_over()) {
        unsigned i = rng_below(&w->rng, h->chunks);
        doing(w, "filling");
        if (!f->chunk[i]) {
            fill_slot(w, f, i);
        } else {
            verify(f->chunk[i], f->stamp[i]);
            verified++;
            unsigned act = rng_below(&w->rng, 16);
            if (act == 0) {
                CHECK_EQ(munmap(f->chunk[i], CHUNK_PAGES * PAGE), 0);
                f->chunk[i] = NULL;
            } else if (act == 1) {
                CHECK_EQ(madvise(f->chunk[i], CHUNK_PAGES * PAGE, MADV_DONTNEED), 0);
                CHECK_EQ(f->chunk[i][512 * rng_below(&w->rng, CHUNK_PAGES)], 0);
                f->stamp[i] = rng_next(&w->rng);
                fill(f->chunk[i], f->stamp[i]);
            }
        }
        step(w);
    }
    for (unsigned i = 0; i < h->chunks; i++)
        if (f->chunk[i]) {
            verify(f->chunk[i], f->stamp[i]);
            CHECK_EQ(munmap(f->chunk[i], CHUNK_PAGES * PAGE), 0);
        }
    CHECK_EQ(munmap(f, sizeof(*f)), 0);
    storm_count("chunks verified", verified);
}

static uint64_t sum(const unsigned char *p, size_t len)
{
    uint64_t hash = 0;
    for (size_t i = 0; i + 8 <= len; i += 256)
        hash = mix(hash, *(const uint64_t *)(const void *)(p + i));
    return hash;
}

/* The file through the mapping of all, through one of its own, and through read. */
static void reader(struct worker *w)
{
    struct hoard *h = w->arg;
    unsigned long rounds = 0;
    while (!storm_over()) {
        unsigned char text[512];
        doing(w, "reading the file");
        CHECK_EQ(sum(h->big, h->big_size), h->sum);
        step(w);
        unsigned char *own = map_patiently(w, h->big_size, h->big_fd);
        size_t at = rng_below(&w->rng, (unsigned)(h->big_size / PAGE)) * PAGE;
        own[at] ^= 0xff; /* a copy of its own, which stays */
        CHECK_EQ(pread(h->big_fd, text, sizeof(text), (off_t)at), sizeof(text));
        CHECK(memcmp(text + 1, own + at + 1, sizeof(text) - 1) == 0);
        CHECK_EQ(own[at] ^ 0xff, text[0]);
        own[at] ^= 0xff;
        CHECK_EQ(sum(own, h->big_size), h->sum);
        CHECK_EQ(munmap(own, h->big_size), 0);
        rounds++;
        step(w);
    }
    storm_count("rereads of the file", rounds);
}

static void open_big(struct hoard *h)
{
    struct stat st;
    h->big_fd = open("/big", O_RDONLY | O_CLOEXEC);
    if (h->big_fd < 0)
        return;
    CHECK(fstat(h->big_fd, &st) == 0);
    h->big_size = (size_t)st.st_size;
    h->big = mmap(NULL, h->big_size, PROT_READ, MAP_SHARED, h->big_fd, 0);
    CHECK(h->big != MAP_FAILED);
    h->sum = sum(h->big, h->big_size);
}

/* How much anonymous memory makes 95 % of the machine used, with no page of the file in memory. */
static size_t goal(void)
{
    if (!on_selkie())
        return 64ul << 20;
    size_t total = (size_t)meminfo("MemTotal") << 10, free = (size_t)meminfo("MemAvailable") << 10;
    size_t spare = total / 20 + (storm_share > 1 ? total / 4 : 0);
    return free > spare ? free - spare : 0;
}

void storm_pressure(uint64_t seed)
{
    struct worker fillers[FILLERS], readers[2];
    struct hoard h = {.seed = seed, .big_fd = -1};
    size_t chunks = goal() / (CHUNK_PAGES * PAGE) / FILLERS;
    open_big(&h);
    h.chunks = chunks > CHUNKS_MAX ? CHUNKS_MAX : chunks ? (unsigned)chunks : 1;
    for (unsigned i = 0; i < FILLERS; i++)
        storm_start(&fillers[i], "filler", i, seed, filler, &h);
    for (unsigned i = 0; h.big && i < 2; i++)
        storm_start(&readers[i], "reader", i, seed, reader, &h);
    for (unsigned i = 0; i < FILLERS; i++)
        storm_join(&fillers[i]);
    for (unsigned i = 0; h.big && i < 2; i++)
        storm_join(&readers[i]);
    if (h.big)
        CHECK(munmap(h.big, h.big_size) == 0 && close(h.big_fd) == 0);
}
