/* SPDX-License-Identifier: BSD-3-Clause */
/* pifutex - priority-inheriting futexes: the raw operations with their errors, the word seen from
 * user space, owners that end, hand-over by priority, rings, times, signals, requeues; then mutexes
 * and condition variables of the C library with PTHREAD_PRIO_INHERIT. */
#include "procfile.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif
#define PRIVATE FUTEX_PRIVATE_FLAG

static uint32_t word, second;

static long futex(uint32_t *addr, int op, uint32_t val, const void *timeout, uint32_t *addr2,
                  uint32_t val3)
{
    return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}
static long lock(uint32_t *w)
{
    return futex(w, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0);
}
static long unlock(uint32_t *w)
{
    return futex(w, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0);
}
static uint32_t load(uint32_t *w)
{
    return __atomic_load_n(w, __ATOMIC_SEQ_CST);
}
static uint32_t self(void)
{
    return (uint32_t)syscall(SYS_gettid);
}
static struct start {
    void *(*fn)(void *);
    void *arg;
    pid_t tid;
} started;
static void *begin(void *arg)
{
    struct start s = *(struct start *)arg;
    __atomic_store_n(&started.tid, (pid_t)self(), __ATOMIC_SEQ_CST);
    return s.fn(s.arg);
}
static pthread_t start(void *(*fn)(void *), void *arg)
{
    pthread_t t;
    started = (struct start){fn, arg, 0};
    REQUIRE(pthread_create(&t, NULL, begin, &started) == 0);
    while (!__atomic_load_n(&started.tid, __ATOMIC_SEQ_CST))
        usleep(100);
    return t;
}
static pthread_t start_sleeper(void *(*fn)(void *), void *arg)
{
    pthread_t t = start(fn, arg);
    await_sleep(&started.tid);
    return t;
}
static void *join(pthread_t t)
{
    void *result;
    REQUIRE(pthread_join(t, &result) == 0);
    return result;
}
static struct timespec after_ms(clockid_t clock, long ms)
{
    struct timespec t;
    REQUIRE(clock_gettime(clock, &t) == 0);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}
static void await_bit(uint32_t *w)
{
    while (!(load(w) & FUTEX_WAITERS))
        usleep(200);
}

/* ---- one thread ---- */

static void errors(void)
{
    struct timespec bad = {0, 1000000000}, past = {1, 0};
    uint32_t me = self();
    word = 0;
    REQUIRE(lock(&word) == 0 && word == me);
    REQUIRE_ERRNO(lock(&word), EDEADLK);
    REQUIRE_ERRNO(futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, NULL, NULL, 0), EDEADLK);
    REQUIRE(unlock(&word) == 0 && word == 0);
    REQUIRE_ERRNO(unlock(&word), EPERM);
    REQUIRE(futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, NULL, NULL, 0) == 0 && word == me);
    REQUIRE(unlock(&word) == 0);
    word = 0x3ffffffe; /* nobody */
    REQUIRE_ERRNO(lock(&word), ESRCH);
    REQUIRE(word == (0x3ffffffe | FUTEX_WAITERS));
    REQUIRE_ERRNO(futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, NULL, NULL, 0), ESRCH);
    word = FUTEX_OWNER_DIED | FUTEX_WAITERS;
    REQUIRE(lock(&word) == 0 && word == (me | FUTEX_OWNER_DIED));
    REQUIRE(unlock(&word) == 0 && word == 0);
    REQUIRE_ERRNO(futex((uint32_t *)((char *)&word + 1), FUTEX_LOCK_PI, 0, NULL, NULL, 0), EINVAL);
    REQUIRE_ERRNO(lock((uint32_t *)64), EFAULT);
    REQUIRE_ERRNO(unlock((uint32_t *)64), EFAULT);
    word = 0x3ffffffe;
    REQUIRE_ERRNO(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, &bad, NULL, 0), EINVAL);
    word = 0;
    REQUIRE(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, &past, NULL, 0) == 0);
    REQUIRE(unlock(&word) == 0);
    REQUIRE_ERRNO(futex(&word, FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0), ENOSYS);
    REQUIRE_ERRNO(futex(&word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &past, NULL, 0), ENOSYS);
    REQUIRE_ERRNO(futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, NULL, &word, 0), EINVAL);
    REQUIRE_ERRNO(futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 1, NULL, &second, 0), EAGAIN);
    REQUIRE_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, (void *)1, &word, 0), EINVAL);
    REQUIRE_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 2, (void *)1, &second, 0), EINVAL);
    REQUIRE_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, (void *)1, &second, 1), EAGAIN);
    REQUIRE(futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, (void *)1, &second, 0) == 0);
    /* Read-only memory cannot be locked. */
    uint32_t *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(constant != MAP_FAILED);
    REQUIRE_ERRNO(lock(constant), EFAULT);
    REQUIRE(munmap(constant, 4096) == 0);
}

/* ---- waiting and handing over ---- */

static int order[8], order_count;

static void *lock_and_note(void *arg)
{
    REQUIRE(lock(&word) == 0);
    REQUIRE((load(&word) & FUTEX_TID_MASK) == self());
    order[order_count++] = (int)(intptr_t)arg;
    REQUIRE(unlock(&word) == 0);
    return NULL;
}

static void *plain_waiter(void *arg)
{
    return (void *)futex(&second, FUTEX_WAIT_PRIVATE, 5, NULL, NULL, 0);
}

static void hand_over(void)
{
    pthread_t t[4];
    REQUIRE(lock(&word) == 0);
    for (int i = 0; i < 4; i++)
        t[i] = start_sleeper(lock_and_note, (void *)(intptr_t)i);
    REQUIRE(word == (self() | FUTEX_WAITERS));
    REQUIRE_ERRNO(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), EINVAL);
    REQUIRE_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)1, &second, word), EINVAL);
    REQUIRE(order_count == 0 && unlock(&word) == 0);
    for (int i = 0; i < 4; i++)
        join(t[i]);
    for (int i = 0; i < 4; i++)
        REQUIRE(order[i] == i);
    REQUIRE(word == 0);
    /* A word with plain waiters is not one to lock. */
    second = 5;
    t[0] = start_sleeper(plain_waiter, NULL);
    REQUIRE_ERRNO(lock(&second), EINVAL);
    REQUIRE(futex(&second, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1);
    join(t[0]);
    second = 0;
}

/* Real-time waiters come before the others and among themselves by priority, if we may. */
static void *lock_urgently(void *arg)
{
    struct sched_param p = {.sched_priority = (int)(intptr_t)arg};
    if (p.sched_priority)
        REQUIRE(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &p) == 0);
    return lock_and_note(arg);
}

static void by_priority(void)
{
    static const int priority[5] = {0, 3, 9, 0, 5}, expected[5] = {9, 5, 3, 0, 0};
    struct sched_param p = {.sched_priority = 1}, normal = {0};
    pthread_t t[5];
    if (syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &p))
        return; /* not as an ordinary user */
    REQUIRE(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &normal) == 0);
    order_count = 0;
    REQUIRE(lock(&word) == 0);
    for (int i = 0; i < 5; i++)
        t[i] = start_sleeper(lock_urgently, (void *)(intptr_t)priority[i]);
    REQUIRE(unlock(&word) == 0);
    for (int i = 0; i < 5; i++)
        join(t[i]);
    for (int i = 0; i < 5; i++)
        REQUIRE(order[i] == expected[i]);
}

/* ---- time and signals ---- */

static volatile sig_atomic_t signals;
static void handler(int signo)
{
    signals++;
}
static void *lock_with_signals(void *arg)
{
    REQUIRE(lock(&word) == 0); /* restarted, without SA_RESTART too */
    REQUIRE(unlock(&word) == 0);
    return NULL;
}
static void *lock_until(void *arg)
{
    struct timespec t = after_ms(CLOCK_REALTIME, 10);
    REQUIRE_ERRNO(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, &t, NULL, 0), ETIMEDOUT);
    t = after_ms(CLOCK_MONOTONIC, 10);
    if (futex(&word, FUTEX_LOCK_PI2 | PRIVATE, 0, &t, NULL, 0) != -1 || errno != ENOSYS)
        REQUIRE(errno == ETIMEDOUT);
    t = after_ms(CLOCK_REALTIME, 10);
    REQUIRE_ERRNO(futex(&word, FUTEX_LOCK_PI2 | PRIVATE | FUTEX_CLOCK_REALTIME, 0, &t, NULL, 0),
                  ETIMEDOUT);
    REQUIRE_ERRNO(futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, NULL, NULL, 0), EAGAIN);
    REQUIRE_ERRNO(unlock(&word), EPERM);
    return NULL;
}
static void times_and_signals(void)
{
    struct sigaction act = {.sa_handler = handler};
    REQUIRE(sigaction(SIGUSR1, &act, NULL) == 0);
    REQUIRE(lock(&word) == 0);
    join(start(lock_until, NULL));
    pthread_t t = start(lock_with_signals, NULL);
    for (int i = 1; i <= 3; i++) {
        await_sleep(&started.tid);
        REQUIRE(syscall(SYS_tgkill, getpid(), started.tid, SIGUSR1) == 0);
        while (signals < i)
            usleep(200);
    }
    REQUIRE(unlock(&word) == 0);
    join(t);
    REQUIRE(word == 0);
}

/* ---- rings ---- */

static void *ring_other(void *arg)
{
    REQUIRE(lock(&second) == 0);
    REQUIRE(lock(&word) == 0); /* waits for the main thread */
    REQUIRE(unlock(&word) == 0 && unlock(&second) == 0);
    return NULL;
}
static void ring(void)
{
    REQUIRE(lock(&word) == 0);
    pthread_t t = start_sleeper(ring_other, NULL);
    REQUIRE_ERRNO(lock(&second), EDEADLK);
    REQUIRE(unlock(&word) == 0);
    join(t);
    REQUIRE(lock(&second) == 0 && unlock(&second) == 0);
}

/* ---- owners that end ---- */

static uint32_t may_end;
static void *end_with_lock(void *arg)
{
    REQUIRE(lock(&word) == 0);
    while (!load(&may_end))
        usleep(200);
    return NULL;
}
static void *lock_after_death(void *arg)
{
    REQUIRE(lock(&word) == 0);
    uint32_t seen = load(&word);
    REQUIRE((seen & FUTEX_TID_MASK) == self() && (seen & FUTEX_OWNER_DIED));
    if (arg) /* the next one ends, too */
        return NULL;
    REQUIRE(unlock(&word) == 0);
    return NULL;
}
static void owner_ends(void)
{
    pthread_t t[3];
    t[0] = start(end_with_lock, NULL);
    while (!load(&word))
        usleep(200);
    t[1] = start_sleeper(lock_after_death, (void *)1);
    t[2] = start_sleeper(lock_after_death, NULL);
    __atomic_store_n(&may_end, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++)
        join(t[i]);
    REQUIRE(word == 0);
}

/* ---- requeue ---- */

static int requeued;
static uint32_t moved; /* by the main thread, while the other one waited */
static void *wait_requeue(void *arg)
{
    uint32_t *cond = arg;
    REQUIRE(futex(cond, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, NULL, &second, 0) == 0);
    REQUIRE((load(&second) & FUTEX_TID_MASK) == self());
    requeued++; /* under the lock */
    REQUIRE(unlock(&second) == 0);
    return NULL;
}
static void *wait_requeue_until(void *arg)
{
    struct timespec t = after_ms(CLOCK_MONOTONIC, 10);
    REQUIRE_ERRNO(futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, &t, &second, 0), ETIMEDOUT);
    do {
        t = after_ms(CLOCK_MONOTONIC, 200); /* moved long before, but on a busy host */
        REQUIRE_ERRNO(futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, &t, &second, 0), ETIMEDOUT);
    } while (!load(&moved));
    return NULL;
}
static void requeue(void)
{
    pthread_t t[5];
    word = second = 0;
    for (int round = 0; round < 2; round++) { /* free; owned by us */
        requeued = 0;
        for (int i = 0; i < 5; i++)
            t[i] = start_sleeper(wait_requeue, &word);
        REQUIRE_ERRNO(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), EINVAL);
        REQUIRE_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, (void *)9, &second + 1, 0),
                      EINVAL);
        if (round)
            REQUIRE(lock(&second) == 0);
        REQUIRE(futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, (void *)2, &second, 0) == 3);
        REQUIRE(futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, (void *)2, &second, 0) == 2);
        if (round)
            REQUIRE(requeued == 0 && unlock(&second) == 0);
        for (int i = 0; i < 5; i++)
            join(t[i]);
        REQUIRE(requeued == 5 && load(&second) == 0);
    }
    /* Too late before and after it was moved. */
    REQUIRE(lock(&second) == 0);
    t[0] = start(wait_requeue_until, NULL);
    while (futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, (void *)0, &second, 0) == 0)
        usleep(1000);
    __atomic_store_n(&moved, 1, __ATOMIC_SEQ_CST);
    join(t[0]);
    REQUIRE(unlock(&second) == 0 && second == 0);
}

/* ---- the C library ---- */

static pthread_mutex_t mutex;
static pthread_cond_t cond;
static long counter, turns;

static int make_mutex(int robust)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    if (pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT))
        return 0;
    if (robust)
        REQUIRE(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST) == 0);
    REQUIRE(pthread_mutex_init(&mutex, &a) == 0);
    pthread_mutexattr_destroy(&a);
    return 1;
}
static void *count_up(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        REQUIRE(pthread_mutex_lock(&mutex) == 0);
        counter++;
        REQUIRE(pthread_mutex_unlock(&mutex) == 0);
    }
    return NULL;
}
static void *take_turns(void *arg)
{
    long mine = (intptr_t)arg;
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    for (int i = 0; i < 100; i++) {
        while (turns % 4 != mine)
            REQUIRE(pthread_cond_wait(&cond, &mutex) == 0);
        turns++;
        REQUIRE(pthread_cond_broadcast(&cond) == 0);
    }
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
    return NULL;
}
static void *end_with_mutex(void *arg)
{
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    if (arg)
        await_bit((uint32_t *)arg);
    return NULL;
}
static void *lock_robust(void *arg)
{
    int err = pthread_mutex_lock(&mutex);
    REQUIRE(err == EOWNERDEAD);
    REQUIRE(pthread_mutex_consistent(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0);
    return NULL;
}
static void library(void)
{
    pthread_t t[4];
    if (!make_mutex(0))
        return;
    for (int i = 0; i < 4; i++)
        t[i] = start(count_up, NULL);
    for (int i = 0; i < 4; i++)
        join(t[i]);
    REQUIRE(counter == 8000);
    REQUIRE(pthread_cond_init(&cond, NULL) == 0);
    for (int i = 0; i < 4; i++)
        t[i] = start(take_turns, (void *)(intptr_t)i);
    for (int i = 0; i < 4; i++)
        join(t[i]);
    REQUIRE(turns == 400);
    struct timespec until = after_ms(CLOCK_REALTIME, 10);
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    REQUIRE(pthread_cond_timedwait(&cond, &mutex, &until) == ETIMEDOUT);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0 && pthread_mutex_destroy(&mutex) == 0);
    /* An owner that ends: nobody waits, and somebody waits. */
    REQUIRE(make_mutex(1));
    join(start(end_with_mutex, NULL));
    lock_robust(NULL);
    uint32_t *inside = (uint32_t *)&mutex;
    int lock_at = 0;
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    while (lock_at < 8 && inside[lock_at] != self())
        lock_at++;
    REQUIRE(lock_at < 8 && pthread_mutex_unlock(&mutex) == 0);
    for (int i = 0; i < 20; i++) {
        t[0] = start(end_with_mutex, &inside[lock_at]);
        while (!load(&inside[lock_at]))
            usleep(100);
        t[1] = start(lock_robust, NULL);
        join(t[0]);
        join(t[1]);
    }
    REQUIRE(pthread_mutex_lock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0);
}

int main(void)
{
    errors();
    hand_over();
    by_priority();
    times_and_signals();
    ring();
    owner_ends();
    requeue();
    library();
    return guest_pass("pifutex");
}
