/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * futex - waits, wakes, requeues and wake-ops on a few words, private and shared, with timeouts and
 * signals in between. Every call that says it woke N threads must have let N waits return 0, and
 * no other wait may. Beside it locks, conditions and semaphores of the library hand items on:
 * none is lost, and a lost wake-up would stop them.
 */
#include "storm.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>

#define WORDS 4
#define WAITERS 8
#define WAKERS 3
#define PAIRS 2
#define RING 4

struct words {
    uint32_t *word[WORDS]; /* two private; two in shared memory, known by two addresses each */
    uint32_t *alias[WORDS];
    unsigned long woken, told; /* waits that returned 0; wakes that calls said they did */
    unsigned waiting;          /* waiters that have not ended */
    pid_t tid[WAITERS];
};

struct lane {
    pthread_mutex_t lock, plain;
    pthread_cond_t filled, drained;
    sem_t turn;
    uint64_t ring[RING];
    unsigned head, tail;
    unsigned long put, got, counter, locked;
    bool closed;
};

static long futex(uint32_t *word, int op, uint32_t value, const void *timeout, uint32_t *second,
                  uint32_t value3)
{
    long got = syscall(SYS_futex, word, op, value, timeout, second, value3);
    return got < 0 ? -errno : got;
}

static bool is_private(unsigned i)
{
    return i < WORDS / 2;
}

/* The word by one of its addresses. */
static uint32_t *pick(struct words *s, struct rng *rng, unsigned i)
{
    return rng_below(rng, 2) ? s->word[i] : s->alias[i];
}

static void waiter(struct worker *w)
{
    struct words *s = w->arg;
    sigset_t kick;
    sigemptyset(&kick);
    sigaddset(&kick, SIG_KICK);
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &kick, NULL), 0);
    __atomic_store_n(&s->tid[w->index], w->tid, __ATOMIC_RELAXED);
    while (!storm_over()) {
        unsigned i = rng_below(&w->rng, WORDS), kind = rng_below(&w->rng, 4);
        uint32_t *word = pick(s, &w->rng, i), value = __atomic_load_n(word, __ATOMIC_SEQ_CST);
        int private = is_private(i) ? FUTEX_PRIVATE_FLAG : 0;
        struct timespec brief = {0, 1000 + (long)rng_below(&w->rng, 3000000)};
        int64_t end = now_ns(CLOCK_MONOTONIC) + brief.tv_nsec;
        struct timespec at = to_timespec(end);
        long got;
        doing(w, "FUTEX_WAIT");
        if (kind == 0)
            got = futex(word, FUTEX_WAIT | private, value, &brief, NULL, 0);
        else if (kind == 1)
            got = futex(word, FUTEX_WAIT_BITSET | private, value, &at, NULL, 1u << (w->index % 4));
        else
            got = futex(word, FUTEX_WAIT | private, value, NULL, NULL, 0);
        if (got == 0)
            __atomic_fetch_add(&s->woken, 1, __ATOMIC_RELAXED);
        else if (got == -ETIMEDOUT)
            CHECK(kind < 2 && now_ns(CLOCK_MONOTONIC) >= end);
        else
            CHECK(got == -EAGAIN || got == -EINTR);
        step(w);
    }
    __atomic_fetch_sub(&s->waiting, 1, __ATOMIC_RELEASE);
}

/* One random call; how many threads it woke. */
static long wake_somehow(struct words *s, struct rng *rng)
{
    unsigned i = rng_below(rng, WORDS), j = rng_below(rng, WORDS / 2) + (is_private(i) ? 0 : 2);
    uint32_t *word = pick(s, rng, i), *second = pick(s, rng, j);
    int private = is_private(i) ? FUTEX_PRIVATE_FLAG : 0;
    unsigned n = rng_below(rng, 3);
    uintptr_t moved = rng_below(rng, 4);
    uint32_t value = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    long got;
    switch (rng_below(rng, 6)) {
    case 0:
        __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
        __attribute__((fallthrough));
    case 1:
        got = futex(word, FUTEX_WAKE | private, 1 + n, NULL, NULL, 0);
        CHECK(got >= 0 && got <= 1 + (long)n);
        return got;
    case 2:
        got = futex(word, FUTEX_WAKE_BITSET | private, 1 + n, NULL, NULL, 1 + rng_below(rng, 15));
        CHECK(got >= 0 && got <= 1 + (long)n);
        return got;
    case 3: /* returns woken and moved together; the first n of them are woken */
        if (i == j)
            return 0;
        got = futex(word, FUTEX_CMP_REQUEUE | private, n, (void *)moved, second, value);
        CHECK(got == -EAGAIN || (got >= 0 && got <= (long)(n + moved)));
        return got < 0 ? 0 : got < (long)n ? got : (long)n;
    case 4:
        if (i == j)
            return 0;
        got = futex(word, FUTEX_REQUEUE | private, n, (void *)moved, second, 0);
        CHECK(got >= 0 && got <= (long)(n + moved));
        return got < (long)n ? got : (long)n;
    default: /* second += 1; wake there, too, if it was even: not known here, so all count */
        got = futex(word, FUTEX_WAKE_OP | private, 1 + n, (void *)(moved + 1), second,
                    FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_GE, 0));
        CHECK(got >= 0 && got <= 2 + (long)n + (long)moved);
        return got;
    }
}

static void waker(struct worker *w)
{
    struct words *s = w->arg;
    unsigned long told = 0;
    doing(w, "wakes");
    while (!storm_over()) {
        told += (unsigned long)wake_somehow(s, &w->rng);
        if (rng_below(&w->rng, 16) == 0) {
            pid_t tid = __atomic_load_n(&s->tid[rng_below(&w->rng, WAITERS)], __ATOMIC_RELAXED);
            if (tid && __atomic_load_n(&s->waiting, __ATOMIC_ACQUIRE) == WAITERS)
                syscall(SYS_tgkill, getpid(), tid, SIG_KICK);
        }
        if (rng_below(&w->rng, 8) == 0)
            sched_yield();
        step(w);
    }
    doing(w, "the last wakes");
    while (__atomic_load_n(&s->waiting, __ATOMIC_ACQUIRE) > 0) {
        for (unsigned i = 0; i < WORDS; i++)
            told += (unsigned long)futex(s->word[i],
                                         FUTEX_WAKE | (is_private(i) ? FUTEX_PRIVATE_FLAG : 0),
                                         INT_MAX, NULL, NULL, 0);
        usleep(1000);
        step(w);
    }
    __atomic_fetch_add(&s->told, told, __ATOMIC_RELAXED);
}

/* ---- a producer and a consumer ---- */

static void critical(struct lane *lane)
{
    CHECK_EQ(pthread_mutex_lock(&lane->plain), 0);
    lane->counter++;
    CHECK_EQ(pthread_mutex_unlock(&lane->plain), 0);
    __atomic_fetch_add(&lane->locked, 1, __ATOMIC_RELAXED);
}

static void producer(struct worker *w)
{
    struct lane *lane = w->arg;
    for (bool last = false; !last;) {
        last = storm_over();
        CHECK_EQ(pthread_mutex_lock(&lane->lock), 0);
        doing(w, "room in the ring");
        while (lane->head - lane->tail == RING)
            CHECK_EQ(pthread_cond_wait(&lane->drained, &lane->lock), 0);
        lane->ring[lane->head++ % RING] = ++lane->put;
        lane->closed = last;
        if (rng_below(&w->rng, 2))
            CHECK_EQ(pthread_cond_signal(&lane->filled), 0);
        else
            CHECK_EQ(pthread_cond_broadcast(&lane->filled), 0);
        CHECK_EQ(pthread_mutex_unlock(&lane->lock), 0);
        doing(w, "mutex");
        critical(lane);
        if (lane->put % 16 == 0)
            CHECK_EQ(sem_post(&lane->turn), 0);
        step(w);
    }
}

static void consumer(struct worker *w)
{
    struct lane *lane = w->arg;
    for (bool last = false; !last;) {
        CHECK_EQ(pthread_mutex_lock(&lane->lock), 0);
        doing(w, "items in the ring");
        while (lane->head == lane->tail)
            CHECK_EQ(pthread_cond_wait(&lane->filled, &lane->lock), 0);
        while (lane->head != lane->tail)
            CHECK_EQ(lane->ring[lane->tail++ % RING], ++lane->got);
        last = lane->closed;
        CHECK_EQ(pthread_cond_signal(&lane->drained), 0);
        CHECK_EQ(pthread_mutex_unlock(&lane->lock), 0);
        doing(w, "mutex");
        critical(lane);
        while (sem_trywait(&lane->turn) == 0)
            continue;
        CHECK(errno == EAGAIN);
        step(w);
    }
}

static void lane_init(struct lane *lane)
{
    pthread_mutexattr_t attr;
    *lane = (struct lane){0};
    CHECK(pthread_mutexattr_init(&attr) == 0);
    CHECK(pthread_mutex_init(&lane->lock, &attr) == 0);
    CHECK(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK) == 0);
    CHECK(pthread_mutex_init(&lane->plain, &attr) == 0);
    CHECK(pthread_cond_init(&lane->filled, NULL) == 0);
    CHECK(pthread_cond_init(&lane->drained, NULL) == 0 && sem_init(&lane->turn, 0, 0) == 0);
}

static void words_init(struct words *s, char *mem[2])
{
    int fd = (int)syscall(SYS_memfd_create, "words", 0);
    CHECK(fd >= 0 && ftruncate(fd, (long)PAGE) == 0);
    mem[0] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    mem[1] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(mem[0] != MAP_FAILED && mem[1] != MAP_FAILED && close(fd) == 0);
    for (unsigned i = 0; i < WORDS; i++) {
        s->word[i] = (uint32_t *)(void *)(mem[0] + 64 * i);
        s->alias[i] = (uint32_t *)(void *)(mem[is_private(i) ? 0 : 1] + 64 * i);
    }
    s->waiting = WAITERS;
}

void storm_futex(uint64_t seed)
{
    struct worker waiters[WAITERS], wakers[WAKERS], ends[PAIRS][2];
    struct lane lanes[PAIRS];
    struct words s = {0};
    char *mem[2];
    words_init(&s, mem);
    for (unsigned i = 0; i < WAITERS; i++)
        storm_start(&waiters[i], "waiter", i, seed, waiter, &s);
    for (unsigned i = 0; i < WAKERS; i++)
        storm_start(&wakers[i], "waker", i, seed, waker, &s);
    for (unsigned i = 0; i < PAIRS; i++) {
        lane_init(&lanes[i]);
        storm_start(&ends[i][0], "producer", i, seed, producer, &lanes[i]);
        storm_start(&ends[i][1], "consumer", i, seed, consumer, &lanes[i]);
    }
    for (unsigned i = 0; i < WAITERS; i++)
        storm_join(&waiters[i]);
    for (unsigned i = 0; i < WAKERS; i++)
        storm_join(&wakers[i]);
    for (unsigned i = 0; i < PAIRS; i++) {
        storm_join(&ends[i][0]);
        storm_join(&ends[i][1]);
        CHECK_EQ(lanes[i].put, lanes[i].got);
        CHECK_EQ(lanes[i].counter, lanes[i].locked);
        storm_count("items", lanes[i].got);
    }
    CHECK_EQ(s.woken, s.told);
    storm_count("wakes", s.woken);
    CHECK(munmap(mem[0], PAGE) == 0 && munmap(mem[1], PAGE) == 0);
}
