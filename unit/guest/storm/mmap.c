/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mmap - eight threads, each with a stretch of the address space of its own and a model of it: what
 * is mapped, with which rights, and what its pages hold. Every access does what the model says, a
 * refused one with the exact si_addr and si_code. Four more threads add to counters in pages whose
 * rights, mappings and contents change under them all the time: no addition is lost.
 */
#include "storm.h"

#include <sched.h>
#include <setjmp.h>

#define MAPPERS 8
#define ADDERS 4
#define PAGES 96      /* of each stretch */
#define FILE_PAGES 64 /* of each thread's part of the one file */
#define SHAKEN 8      /* pages behind those parts, and as many private ones */
#define FILE_END ((off_t)((MAPPERS * FILE_PAGES + SHAKEN) * PAGE))
/* Holes must stay holes: the stretches lie where no kernel puts anything of its own accord. */
#define STRETCHES 0x40000000ul

enum kind { HOLE, ANON, PRIVATE_FILE, SHARED_FILE, KINDS };

struct page_model {
    enum kind kind;
    int prot;
    unsigned file_page; /* of the thread's part */
    bool own;           /* a private page that was written: value is its own */
    uint64_t value;
};

struct mapper {
    struct arena *arena;
    unsigned char *base;
    struct page_model page[PAGES];
    uint64_t file[FILE_PAGES]; /* what the file's pages hold */
};

struct arena {
    int fd;
    struct mapper mapper[MAPPERS];
    unsigned char *shaken[2]; /* two views of shared pages, and one of private ones */
    unsigned char *shaken_own;
    unsigned long added[ADDERS];
};

/* An access that may fail, and how it did. */
struct probe {
    sigjmp_buf back;
    bool armed, retry;
    int signo, code;
    void *addr;
};

static __thread struct probe probe;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    if (probe.retry) { /* somebody is about to give the right back */
        CHECK_EQ(signo, SIGSEGV);
        CHECK_EQ(info->si_code, SEGV_ACCERR);
        return;
    }
    if (!probe.armed) {
        signal(signo, SIG_DFL); /* a bug of this program, or of the kernel: die of it */
        return;
    }
    probe.signo = signo;
    probe.code = info->si_code;
    probe.addr = info->si_addr;
    siglongjmp(probe.back, 1);
}

/* 0, or the signal of reading or writing there. */
static int touch(volatile uint64_t *p, bool write, uint64_t *value)
{
    probe.signo = 0;
    if (sigsetjmp(probe.back, 1) == 0) {
        probe.armed = true;
        if (write)
            *p = *value;
        else
            *value = *p;
    }
    probe.armed = false;
    return probe.signo;
}

static off_t file_offset(const struct worker *w, unsigned file_page)
{
    return (off_t)((w->index * FILE_PAGES + file_page) * PAGE);
}

static uint64_t expected(const struct mapper *m, unsigned i)
{
    const struct page_model *p = &m->page[i];
    return p->kind == ANON || p->own ? p->value : m->file[p->file_page];
}

static void access_one(struct worker *w, struct mapper *m)
{
    unsigned i = rng_below(&w->rng, PAGES);
    struct page_model *p = &m->page[i];
    bool write = rng_below(&w->rng, 2) != 0;
    uint64_t *at = (uint64_t *)(void *)(m->base + i * PAGE + 8 * rng_below(&w->rng, 512));
    uint64_t *first = (uint64_t *)(void *)(m->base + i * PAGE), value = rng_next(&w->rng);
    if (write) /* only the first word is in the model */
        at = first;
    int got = touch(at, write, &value);
    if (p->kind == HOLE || !(p->prot & (write ? PROT_WRITE : PROT_READ))) {
        CHECK_EQ(got, SIGSEGV);
        CHECK_EQ(probe.code, p->kind == HOLE ? SEGV_MAPERR : SEGV_ACCERR);
        CHECK_EQ(probe.addr, at);
        return;
    }
    CHECK_EQ(got, 0);
    if (!write) {
        CHECK_EQ(value, at == first ? expected(m, i) : 0);
    } else if (p->kind == SHARED_FILE) {
        m->file[p->file_page] = value;
    } else {
        p->own = true;
        p->value = value;
    }
}

struct range {
    unsigned first, count;
};

static struct range some_pages(struct worker *w)
{
    unsigned count = 1 + rng_below(&w->rng, rng_below(&w->rng, 4) ? 6 : 40);
    return (struct range){rng_below(&w->rng, PAGES - count + 1), count};
}

static const int prots[] = {PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE};

static void map_some(struct worker *w, struct mapper *m)
{
    struct range r = some_pages(w);
    enum kind kind = (enum kind)(ANON + rng_below(&w->rng, KINDS - ANON));
    int prot = prots[rng_below(&w->rng, 4)], flags = MAP_FIXED;
    unsigned file_page = rng_below(&w->rng, FILE_PAGES);
    if (kind == PRIVATE_FILE || kind == SHARED_FILE) {
        if (r.count > FILE_PAGES - file_page)
            r.count = FILE_PAGES - file_page;
        flags |= kind == SHARED_FILE ? MAP_SHARED : MAP_PRIVATE;
    } else {
        flags |= MAP_PRIVATE | MAP_ANONYMOUS;
    }
    /* Linux copies pages when it populates private ones that may be written: not what we model. */
    if (rng_below(&w->rng, 4) == 0 && (kind != PRIVATE_FILE || !(prot & PROT_WRITE)))
        flags |= MAP_POPULATE;
    void *want = m->base + r.first * PAGE;
    void *got = mmap(want, r.count * PAGE, prot, flags, kind == ANON ? -1 : m->arena->fd,
                     kind == ANON ? 0 : file_offset(w, file_page));
    CHECK_EQ(got, want);
    for (unsigned i = 0; i < r.count; i++)
        m->page[r.first + i] =
            (struct page_model){.kind = kind, .prot = prot, .file_page = file_page + i};
}

static void unmap_some(struct worker *w, struct mapper *m)
{
    struct range r = some_pages(w);
    CHECK_EQ(munmap(m->base + r.first * PAGE, r.count * PAGE), 0);
    memset(&m->page[r.first], 0, r.count * sizeof(m->page[0]));
}

/* The range without holes: what it begins with. */
static struct range mapped_pages(struct worker *w, const struct mapper *m)
{
    struct range r = some_pages(w);
    unsigned n = 0;
    while (n < r.count && m->page[r.first + n].kind != HOLE)
        n++;
    return (struct range){r.first, n};
}

static void protect_some(struct worker *w, struct mapper *m)
{
    struct range r = some_pages(w);
    int prot = prots[rng_below(&w->rng, 4)];
    unsigned n = 0;
    /* The pages before a hole have changed even if the call fails. */
    while (n < r.count && m->page[r.first + n].kind != HOLE)
        m->page[r.first + n++].prot = prot;
    int got = mprotect(m->base + r.first * PAGE, r.count * PAGE, prot);
    CHECK_EQ(got, n == r.count ? 0 : -1);
    CHECK(got == 0 || errno == ENOMEM);
}

static void forget_some(struct worker *w, struct mapper *m)
{
    struct range r = mapped_pages(w, m);
    if (r.count == 0)
        return;
    CHECK_EQ(madvise(m->base + r.first * PAGE, r.count * PAGE, MADV_DONTNEED), 0);
    for (unsigned i = r.first; i < r.first + r.count; i++) {
        m->page[i].value = 0;
        m->page[i].own = false;
    }
}

/* Move pages of one mapping to another place of the stretch. */
static void move_some(struct worker *w, struct mapper *m)
{
    struct range r = mapped_pages(w, m);
    unsigned n = 1;
    if (r.count == 0)
        return;
    const struct page_model *p = &m->page[r.first];
    while (n < r.count && p[n].kind == p->kind && p[n].prot == p->prot &&
           p[n].file_page == p->file_page + (p->kind == ANON ? 0 : n))
        n++;
    unsigned to = rng_below(&w->rng, PAGES - n + 1);
    if (to + n > r.first && to < r.first + n)
        return; /* they may not overlap */
    unsigned char *target = m->base + to * PAGE;
    void *got =
        mremap(m->base + r.first * PAGE, n * PAGE, n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    /* Two neighbours that look the same need not be one mapping: then Linux refuses. */
    if (got == MAP_FAILED) {
        CHECK(errno == EFAULT);
        memset(&m->page[to], 0, n * sizeof(*p)); /* the target was unmapped first */
        CHECK_EQ(munmap(target, n * PAGE), 0);
        return;
    }
    CHECK_EQ(got, target);
    memcpy(&m->page[to], p, n * sizeof(*p));
    memset(&m->page[r.first], 0, n * sizeof(*p));
}

/* The file itself: what shared mappings wrote is there, what is written there they show. */
static void file_access(struct worker *w, struct mapper *m)
{
    unsigned i = rng_below(&w->rng, FILE_PAGES);
    uint64_t value = rng_next(&w->rng), found;
    CHECK_EQ(pread(m->arena->fd, &found, 8, file_offset(w, i)), 8);
    CHECK_EQ(found, m->file[i]);
    if (rng_below(&w->rng, 2)) {
        CHECK_EQ(pwrite(m->arena->fd, &value, 8, file_offset(w, i)), 8);
        m->file[i] = value;
    }
}

/* Memory at an address of the kernel's choice: it is zero and takes what is written. */
static void elsewhere(struct worker *w, struct mapper *m)
{
    size_t pages = 1 + rng_below(&w->rng, rng_below(&w->rng, 8) ? 32 : 1024 / storm_share);
    uint64_t *p =
        mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)m;
    CHECK(p != MAP_FAILED);
    for (size_t i = 0; i < pages; i++) {
        CHECK_EQ(p[i * 512 + 511], 0);
        p[i * 512 + 511] = i ^ (uintptr_t)p;
    }
    for (size_t i = 0; i < pages; i++)
        CHECK_EQ(p[i * 512 + 511], i ^ (uintptr_t)p);
    if (pages > 8) { /* grow, from within */
        uint64_t *q = mremap(p, pages * PAGE, 2 * pages * PAGE, MREMAP_MAYMOVE);
        CHECK(q != MAP_FAILED);
        for (size_t i = 0; i < pages; i++)
            CHECK_EQ(q[i * 512 + 511], i ^ (uintptr_t)p);
        CHECK_EQ(q[2 * pages * 512 - 1], 0);
        CHECK_EQ(munmap(q + pages * 512, pages * PAGE), 0);
        CHECK_EQ(munmap(q, pages * PAGE), 0);
    } else {
        CHECK_EQ(munmap(p, pages * PAGE), 0);
    }
}

/* Past the end of the file: SIGBUS. */
static void past_the_end(struct worker *w, struct mapper *m)
{
    unsigned char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
                            rng_below(&w->rng, 2) ? MAP_SHARED : MAP_PRIVATE, m->arena->fd,
                            FILE_END - (off_t)PAGE);
    uint64_t value = 1;
    CHECK(p != MAP_FAILED);
    CHECK_EQ(touch((uint64_t *)(void *)(p + PAGE + 8), rng_below(&w->rng, 2) != 0, &value), SIGBUS);
    CHECK_EQ(probe.code, BUS_ADRERR);
    CHECK_EQ(probe.addr, p + PAGE + 8);
    CHECK_EQ(munmap(p, 2 * PAGE), 0);
}

static void mapper(struct worker *w)
{
    static const struct {
        void (*act)(struct worker *, struct mapper *);
        const char *name;
        unsigned weight;
    } acts[] = {
        {access_one, "access", 40},        {map_some, "mmap", 8},
        {unmap_some, "munmap", 4},         {protect_some, "mprotect", 10},
        {forget_some, "madvise", 5},       {move_some, "mremap", 6},
        {file_access, "file", 6},          {elsewhere, "elsewhere", 3},
        {past_the_end, "past the end", 2},
    };
    struct mapper *m = w->arg;
    unsigned total = 0;
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
        total += acts[i].weight;
    while (!storm_over()) {
        unsigned pick = rng_below(&w->rng, total), i = 0;
        while (pick >= acts[i].weight)
            pick -= acts[i++].weight;
        doing(w, acts[i].name);
        acts[i].act(w, m);
        step(w);
    }
    storm_count("operations on memory", w->steps);
    CHECK_EQ(munmap(m->base, PAGES * PAGE), 0);
}

/* ---- counters in pages that change under their users ---- */

static unsigned long *counter(unsigned char *base, unsigned page, unsigned adder)
{
    return (unsigned long *)(void *)(base + page * PAGE + 256 * adder);
}

static void adder(struct worker *w)
{
    struct arena *a = w->arg;
    unsigned long added = 0;
    probe.retry = true;
    doing(w, "adding");
    while (!storm_over()) {
        unsigned page = rng_below(&w->rng, SHAKEN), view = rng_below(&w->rng, 3);
        unsigned char *base = view < 2 ? a->shaken[view] : a->shaken_own;
        /* A word of its own (not atomic), and one that all use. */
        ++*(volatile unsigned long *)counter(base, page, w->index);
        __atomic_fetch_add(counter(base, page, ADDERS), 1, __ATOMIC_RELAXED);
        if (++added % 64 == 0)
            sched_yield(); /* the others have more to do */
        step(w);
    }
    probe.retry = false;
    a->added[w->index] = added;
}

static void shaker(struct worker *w)
{
    struct arena *a = w->arg;
    while (!storm_over()) {
        unsigned page = rng_below(&w->rng, SHAKEN), n = 1 + rng_below(&w->rng, SHAKEN - page);
        unsigned view = rng_below(&w->rng, 3);
        unsigned char *at = (view < 2 ? a->shaken[view] : a->shaken_own) + page * PAGE;
        size_t len = n * PAGE;
        unsigned act = rng_below(&w->rng, 5);
        if (view == 2 && act > 1)
            act = 0; /* contents of private pages must stay */
        doing(w, "shaking");
        switch (act) {
        case 0:
            CHECK_EQ(mprotect(at, len, PROT_READ), 0);
            break;
        case 1:
            CHECK_EQ(mprotect(at, len, PROT_NONE), 0);
            break;
        case 2:
            CHECK_EQ(madvise(at, len, MADV_DONTNEED), 0);
            break;
        case 3: /* another mapping of the same pages in its place */
            CHECK_EQ(mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, a->fd,
                          (off_t)((MAPPERS * FILE_PAGES + page) * PAGE)),
                     at);
            break;
        default:
            CHECK_EQ(msync(at, len, MS_SYNC), 0);
            break;
        }
        CHECK_EQ(mprotect(at, len, PROT_READ | PROT_WRITE), 0);
        if (rng_below(&w->rng, 4) == 0)
            usleep(rng_below(&w->rng, 300));
        step(w);
    }
}

static void check_counters(struct arena *a)
{
    unsigned long all = 0, shared = 0;
    for (unsigned i = 0; i < ADDERS; i++) {
        unsigned long own = 0;
        for (unsigned page = 0; page < SHAKEN; page++)
            own += *counter(a->shaken[0], page, i) + *counter(a->shaken_own, page, i);
        CHECK_EQ(own, a->added[i]);
        all += own;
    }
    for (unsigned page = 0; page < SHAKEN; page++)
        shared += *counter(a->shaken[0], page, ADDERS) + *counter(a->shaken_own, page, ADDERS);
    CHECK_EQ(shared, all);
    storm_count("additions under changes", all);
}

static void *map_shaken(struct arena *a, bool own)
{
    void *p = mmap(NULL, SHAKEN * PAGE, PROT_READ | PROT_WRITE,
                   own ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, own ? -1 : a->fd,
                   own ? 0 : (off_t)(MAPPERS * FILE_PAGES * PAGE));
    CHECK(p != MAP_FAILED);
    return p;
}

static void arena_init(struct arena *a)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigemptyset(&sa.sa_mask);
    CHECK(sigaction(SIGSEGV, &sa, NULL) == 0 && sigaction(SIGBUS, &sa, NULL) == 0);
    a->fd = (int)syscall(SYS_memfd_create, "arena", 0);
    CHECK(a->fd >= 0);
    CHECK_EQ(ftruncate(a->fd, FILE_END), 0);
    a->shaken[0] = map_shaken(a, false);
    a->shaken[1] = map_shaken(a, false);
    a->shaken_own = map_shaken(a, true);
    for (unsigned i = 0; i < MAPPERS; i++) {
        struct mapper *m = &a->mapper[i];
        m->arena = a;
        void *want = (void *)(STRETCHES + i * PAGES * PAGE); /* one beside the other */
        m->base = mmap(want, PAGES * PAGE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        CHECK_EQ(m->base, want);
        for (unsigned page = 0; page < PAGES; page++)
            m->page[page] = (struct page_model){.kind = ANON, .prot = PROT_NONE};
    }
}

void storm_mmap(uint64_t seed)
{
    static struct arena arena; /* too large for a stack */
    struct worker mappers[MAPPERS], adders[ADDERS], shakers[2];
    struct arena *a = &arena;
    memset(a, 0, sizeof(*a));
    arena_init(a);
    for (unsigned i = 0; i < MAPPERS; i++)
        storm_start(&mappers[i], "mapper", i, seed, mapper, &a->mapper[i]);
    for (unsigned i = 0; i < ADDERS; i++)
        storm_start(&adders[i], "adder", i, seed, adder, a);
    for (unsigned i = 0; i < 2; i++)
        storm_start(&shakers[i], "shaker", i, seed, shaker, a);
    for (unsigned i = 0; i < MAPPERS; i++)
        storm_join(&mappers[i]);
    /* The adders may stand at a page without rights until the shaker has given them back. */
    for (unsigned i = 0; i < ADDERS; i++)
        storm_join(&adders[i]);
    for (unsigned i = 0; i < 2; i++)
        storm_join(&shakers[i]);
    check_counters(a);
    CHECK(munmap(a->shaken[0], SHAKEN * PAGE) == 0 && munmap(a->shaken[1], SHAKEN * PAGE) == 0);
    CHECK(munmap(a->shaken_own, SHAKEN * PAGE) == 0 && close(a->fd) == 0);
}
