/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * futexstorm [requeue|pi|all] [THREADS] [SECONDS] [-v] - many threads on few futexes. Nothing may
 * be lost (the program would hang), and no lock may have two owners.
 *
 * requeue: rounds of a barrier made of a mutex and a condition variable whose broadcast moves its
 * waiters to the mutex; times run out meanwhile. pi: the same with a PI mutex, WAIT_REQUEUE_PI and
 * CMP_REQUEUE_PI; then locks taken in any order (rings are refused), with times, tries and changes
 * of priority, while other threads end as owners of what is on their robust list.
 */
#include "guest.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#define LOCKS 4
#define THREADS_MAX 256

static int threads = 8;
static double seconds = 1;
static int verbose;
static int stop;
static unsigned long operations;

static long futex(uint32_t *addr, int op, uint32_t val, const void *timeout, uint32_t *addr2,
                  uint32_t val3)
{
    long r = syscall(SYS_futex, addr, op | FUTEX_PRIVATE_FLAG, val, timeout, addr2, val3);
    return r < 0 ? -errno : r;
}
static uint32_t load(const uint32_t *w)
{
    return __atomic_load_n(w, __ATOMIC_SEQ_CST);
}
static int swap(uint32_t *w, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(w, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static uint32_t self(void)
{
    static __thread uint32_t tid;
    if (!tid)
        tid = (uint32_t)syscall(SYS_gettid);
    return tid;
}
static unsigned chance(unsigned below)
{
    static __thread uint64_t state;
    if (!state)
        state = self() * 0x9e3779b97f4a7c15ull + 1;
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(state >> 33) % below;
}
static double now(void)
{
    struct timespec t;
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
/* A time soon, on either clock; or NULL. */
static struct timespec *soon(clockid_t clock, struct timespec *t)
{
    if (chance(3))
        return NULL;
    REQUIRE(clock_gettime(clock, t) == 0);
    t->tv_nsec += chance(400000);
    t->tv_sec += t->tv_nsec / 1000000000;
    t->tv_nsec %= 1000000000;
    return t;
}

/* ---- a mutex of either kind ---- */

static int with_pi;
static uint32_t mutex, sequence, inside;

static void enter(void)
{
    REQUIRE(__atomic_exchange_n(&inside, self(), __ATOMIC_SEQ_CST) == 0);
}
static void leave(void)
{
    REQUIRE(__atomic_exchange_n(&inside, 0, __ATOMIC_SEQ_CST) == self());
}
static void lock_plain(uint32_t taken)
{
    if (taken == 1 && swap(&mutex, 0, 1))
        return;
    while (__atomic_exchange_n(&mutex, 2, __ATOMIC_SEQ_CST))
        (void)futex(&mutex, FUTEX_WAIT, 2, NULL, NULL, 0);
}
static void lock(void)
{
    if (!with_pi)
        lock_plain(1);
    else if (!swap(&mutex, 0, self()))
        REQUIRE(futex(&mutex, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
    enter();
}
static void unlock(void)
{
    leave();
    if (with_pi) {
        if (!swap(&mutex, self(), 0))
            REQUIRE(futex(&mutex, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0);
    } else if (__atomic_exchange_n(&mutex, 0, __ATOMIC_SEQ_CST) == 2) {
        REQUIRE(futex(&mutex, FUTEX_WAKE, 1, NULL, NULL, 0) >= 0);
    }
}
/* Gives up the mutex, waits, has it again. */
static void wait_condition(void)
{
    struct timespec t;
    uint32_t seen = load(&sequence);
    unlock();
    if (!with_pi) {
        (void)futex(&sequence, FUTEX_WAIT_BITSET, seen, soon(CLOCK_MONOTONIC, &t), NULL, ~0u);
        lock_plain(2); /* others may have been moved here */
        enter();
        return;
    }
    long r = futex(&sequence, FUTEX_WAIT_REQUEUE_PI, seen, soon(CLOCK_MONOTONIC, &t), &mutex, 0);
    REQUIRE(r == 0 || r == -ETIMEDOUT || r == -EAGAIN);
    if (r == 0)
        enter();
    else
        lock();
}
/* The owner of the mutex moves them all to it. */
static void broadcast(void)
{
    uint32_t value = __atomic_add_fetch(&sequence, 1, __ATOMIC_SEQ_CST);
    int op = with_pi ? FUTEX_CMP_REQUEUE_PI : FUTEX_CMP_REQUEUE;
    REQUIRE(futex(&sequence, op, 1, (void *)(long)INT_MAX, &mutex, value) >= 0);
}

/* ---- the barrier ---- */

static int arrived;
static unsigned long rounds;
static double until;

static void *barrier(void *arg)
{
    lock();
    while (!stop) {
        unsigned long mine = rounds;
        if (++arrived == threads) {
            arrived = 0;
            rounds++;
            stop = now() >= until;
            broadcast();
        }
        while (rounds == mine)
            wait_condition();
    }
    unlock();
    return NULL;
}

/* ---- locks in any order ---- */

struct node {
    uint64_t next;
    uint32_t word, owner;
};
static struct node locks[LOCKS];
struct robust {
    uint64_t next;
    long offset;
    uint64_t pending;
};

static void got(struct node *n)
{
    uint32_t word = load(&n->word);
    REQUIRE((word & FUTEX_TID_MASK) == self());
    if (word & FUTEX_OWNER_DIED) {
        __atomic_fetch_and(&n->word, ~FUTEX_OWNER_DIED, __ATOMIC_SEQ_CST);
        n->owner = 0;
    }
    REQUIRE(n->owner == 0);
    n->owner = self();
    __atomic_fetch_add(&operations, 1, __ATOMIC_RELAXED);
}
static int lock_node(struct node *n)
{
    struct timespec t;
    long r = 0;
    if (!swap(&n->word, 0, self())) {
        if (chance(8) == 0)
            r = futex(&n->word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0);
        else
            r = futex(&n->word, FUTEX_LOCK_PI, 0, soon(CLOCK_REALTIME, &t), NULL, 0);
    }
    if (r) {
        REQUIRE(r == -EDEADLK || r == -ETIMEDOUT || r == -EAGAIN);
        return 0;
    }
    got(n);
    return 1;
}
static void unlock_node(struct node *n)
{
    REQUIRE(n->owner == self());
    n->owner = 0;
    if (!swap(&n->word, self(), 0))
        REQUIRE(futex(&n->word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0);
}

static void *any_order(void *arg)
{
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        struct node *held[3];
        int count = 0, want = 1 + (int)chance(3);
        for (int i = 0; i < want; i++) {
            struct node *n = &locks[chance(LOCKS)];
            if (lock_node(n))
                held[count++] = n;
        }
        if (chance(16) == 0)
            (void)setpriority(PRIO_PROCESS, self(), (int)chance(10));
        if (chance(64) == 0)
            usleep(chance(300));
        while (count)
            unlock_node(held[--count]);
    }
    return NULL;
}

/* Ends as the owner of a lock, which its list names. */
static void *end_as_owner(void *arg)
{
    struct robust *head = arg;
    struct node *n = &locks[chance(LOCKS)];
    head->next = (uintptr_t)head;
    head->offset = offsetof(struct node, word);
    head->pending = (uintptr_t)n | 1;
    REQUIRE(syscall(SYS_set_robust_list, head, sizeof *head) == 0);
    if (!lock_node(n))
        return NULL;
    if (chance(2)) { /* in the list instead */
        n->next = (uintptr_t)head;
        head->next = (uintptr_t)n | 1;
        head->pending = 0;
    }
    return NULL;
}
static void *mortals(void *arg)
{
    static struct robust heads[2];
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        pthread_t t[2];
        for (int i = 0; i < 2; i++)
            REQUIRE(pthread_create(&t[i], NULL, end_as_owner, &heads[i]) == 0);
        for (int i = 0; i < 2; i++)
            REQUIRE(pthread_join(t[i], NULL) == 0);
    }
    return NULL;
}

/* ---- the storms ---- */

static void storm(void *(*fn)(void *), void *(*other)(void *))
{
    pthread_t t[THREADS_MAX], more;
    stop = 0;
    until = now() + seconds;
    for (int i = 0; i < threads; i++)
        REQUIRE(pthread_create(&t[i], NULL, fn, NULL) == 0);
    if (other) {
        REQUIRE(pthread_create(&more, NULL, other, NULL) == 0);
        while (now() < until)
            usleep(1000);
        __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
        REQUIRE(pthread_join(more, NULL) == 0);
    }
    for (int i = 0; i < threads; i++)
        REQUIRE(pthread_join(t[i], NULL) == 0);
}
static void barrier_storm(int pi)
{
    with_pi = pi;
    mutex = sequence = inside = 0;
    arrived = 0;
    rounds = 0;
    storm(barrier, NULL);
    REQUIRE(arrived == 0 && rounds > 0 && inside == 0);
    if (verbose)
        fprintf(stderr, "%s: %lu rounds of %d\n", pi ? "pi" : "requeue", rounds, threads);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    if (argc > 2)
        threads = atoi(argv[2]);
    if (argc > 3)
        seconds = atof(argv[3]);
    verbose = argc > 4;
    REQUIRE(threads > 0 && threads <= THREADS_MAX);
    if (strcmp(what, "pi") != 0)
        barrier_storm(0);
    if (strcmp(what, "requeue") != 0) {
        barrier_storm(1);
        storm(any_order, mortals);
        REQUIRE(operations > 0);
        if (verbose)
            fprintf(stderr, "locks: %lu taken\n", operations);
    }
    return guest_pass("futexstorm");
}
