/* SPDX-License-Identifier: BSD-3-Clause */
/* threads - creation, join, thread-local storage, mutex, condition, barrier, robust mutex, many at
 * once, ids. `threads quiet`: how many changes of threads a creation and a join are. */
#include "procfile.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#define THREADS 8
#define ROUNDS 2000

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static long counter, turn;
static __thread long tls_value = 42;
static long tids[THREADS];

static void *work(void *arg)
{
    long id = (long)arg;
    REQUIRE(tls_value == 42);
    tls_value = id;
    tids[id] = syscall(SYS_gettid);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
        if (i % 100 == 0)
            sched_yield();
    }
    for (int i = 0; i < 50; i++) { /* pass a token round */
        pthread_mutex_lock(&mutex);
        while (turn % THREADS != id)
            pthread_cond_wait(&cond, &mutex);
        turn++;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&mutex);
    }
    REQUIRE(tls_value == id);
    return (void *)(id * 3);
}

static pthread_mutex_t robust;
static void *die_with_lock(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&robust);
    return NULL;
}

static void test_robust(void)
{
    pthread_mutexattr_t attr;
    pthread_t t;
    pthread_mutexattr_init(&attr);
    REQUIRE(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
    REQUIRE(pthread_mutex_init(&robust, &attr) == 0);
    REQUIRE(pthread_create(&t, NULL, die_with_lock, NULL) == 0 && pthread_join(t, NULL) == 0);
    REQUIRE(pthread_mutex_lock(&robust) == EOWNERDEAD);
    REQUIRE(pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
}

static void *tiny(void *arg)
{
    __atomic_fetch_add((long *)arg, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void test_many(void)
{
    long done = 0;
    pthread_attr_t attr;
    pthread_t t[200];
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++)
            REQUIRE(pthread_create(&t[i], &attr, tiny, &done) == 0);
        for (int i = 0; i < 200; i++)
            REQUIRE(pthread_join(t[i], NULL) == 0);
    }
    REQUIRE(done == 600);
}

static void *spin(void *arg)
{
    volatile int *flag = arg;
    while (!*flag) {
    }
    return NULL;
}

static void *nothing(void *arg)
{
    return arg;
}

/* To the thread and back: its end wakes nobody but who joins it. Some pairs meet the reaper or a
 * turn's end; on a slow machine that may be most of them. If each woke somebody, none would be
 * undisturbed. */
static void test_quiet(void)
{
    int undisturbed = 0;
    for (int i = 0; i < 2000 && undisturbed < 5; i++) {
        pthread_t t;
        unsigned long before = number_in("/proc/stat", "\nctxt ");
        REQUIRE(pthread_create(&t, NULL, nothing, NULL) == 0 && pthread_join(t, NULL) == 0);
        undisturbed += number_in("/proc/stat", "\nctxt ") - before <= 2;
    }
    REQUIRE(undisturbed == 5);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "quiet") == 0) {
        test_quiet();
        return guest_pass("threads");
    }
    pthread_t t[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (long i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&t[i], NULL, work, (void *)i) == 0);
    for (long i = 0; i < THREADS; i++) {
        void *result;
        REQUIRE(pthread_join(t[i], &result) == 0 && result == (void *)(i * 3));
    }
    REQUIRE(counter == (long)THREADS * ROUNDS && turn == THREADS * 50);
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < i; j++)
            REQUIRE(tids[i] != tids[j] && tids[i] != getpid());
    test_robust();
    test_many();
    /* Preemption: more spinning threads than CPUs do not stop the one that ends them. */
    volatile int flag = 0;
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&t[i], NULL, spin, (void *)&flag) == 0);
    usleep(10000);
    flag = 1;
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(t[i], NULL) == 0);
    return guest_pass("threads");
}
