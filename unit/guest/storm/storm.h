/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * storm.h - stress: `storm KIND SECONDS [SEED]`.
 *
 * A kind is a function that starts threads, lets them do random things until storm_over(), joins
 * them and checks that nothing was lost: every count is exact. The time is cut into waves. After
 * each wave the process is as quiet as before, so memory, areas, threads, descriptors and queued
 * signals must be what they were after the first wave (main.c). Random numbers come from SEED
 * only; what the kernel's scheduler makes of them is not repeatable, but often similar.
 *
 * Each worker counts its steps; a watchdog ends the program when one has made none for a minute and
 * tells where its thread stands.
 */
#ifndef SELKIE_STORM_H
#define SELKIE_STORM_H

#include "../guest.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define PAGE 4096ul
#define STACK_SIZE (128 * 1024ul)

/* Which real-time signals belong to whom; all are blocked except where a storm wants them. */
#define SIG_HANDLED (SIGRTMIN + 1) /* and the next one: signals to threads with a handler */
#define SIG_WAITED (SIGRTMIN + 3)  /* and the next one: to threads in sigwaitinfo */
#define SIG_FD (SIGRTMIN + 5)      /* to readers of a signalfd */
#define SIG_SHARED (SIGRTMIN + 6)  /* to the process */
#define SIG_TIMER (SIGRTMIN + 7)   /* from timers, to their thread */
#define SIG_KICK (SIGRTMIN + 8)    /* interrupts calls of the futex storm */

struct rng {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline unsigned rng_below(struct rng *rng, unsigned n)
{
    return (unsigned)(rng_next(rng) >> 32) % n;
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    struct rng rng = {a * 0x2545f4914f6cdd1du + b};
    return rng_next(&rng);
}

static inline int64_t now_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static inline struct timespec to_timespec(int64_t ns)
{
    return (struct timespec){ns / 1000000000, ns % 1000000000};
}

/* A thread of a storm, and what the watchdog sees of it. */
struct worker {
    pthread_t thread;
    const char *name;
    void (*run)(struct worker *worker);
    void *arg;
    unsigned index;
    pid_t tid;
    struct rng rng;
    unsigned long steps; /* atomic; changed by its thread, read by the watchdog */
    const char *doing;   /* atomic; a word for the watchdog's report */
    bool running;        /* atomic */
    void *stack;
};

static inline void step(struct worker *worker)
{
    __atomic_store_n(&worker->steps, worker->steps + 1, __ATOMIC_RELAXED);
}

static inline void doing(struct worker *worker, const char *what)
{
    __atomic_store_n(&worker->doing, what, __ATOMIC_RELAXED);
}

/* Is the wave's time over? Also true once a check has failed. */
bool storm_over(void);
/* A worker of this storm's wave, on a stack of its own that storm_join gives back. */
void storm_start(struct worker *worker, const char *name, unsigned index, uint64_t seed,
                 void (*run)(struct worker *), void *arg);
void storm_join(struct worker *worker);
/* The same for threads that the watchdog does not know. */
void *stack_new(size_t size);
void stack_free(void *stack, size_t size);
/* Print what failed, the seed and the state of all workers; end the program. */
_Noreturn void storm_fail(const char *file, int line, const char *what, long a, long b);
/* Count something for the summary. */
void storm_count(const char *what, unsigned long n);
/* On Selkie, not on Linux. */
bool on_selkie(void);
long meminfo(const char *key);
/* Part of the machine that this storm may fill: 1 alone, more when others run beside it. */
extern unsigned storm_share;

#define CHECK(cond) \
    do { \
        if (!(cond)) \
            storm_fail(__FILE__, __LINE__, #cond, errno, 0); \
    } while (0)
#define CHECK_EQ(a, b) \
    do { \
        long a_ = (long)(a), b_ = (long)(b); \
        if (a_ != b_) \
            storm_fail(__FILE__, __LINE__, #a " == " #b, a_, b_); \
    } while (0)

void storm_threads(uint64_t seed);
void storm_futex(uint64_t seed);
void storm_mmap(uint64_t seed);
void storm_signals(uint64_t seed);
void storm_timers(uint64_t seed);
void storm_pressure(uint64_t seed);
void storm_sockets(uint64_t seed);

#endif
