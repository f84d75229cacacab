/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * threads - threads are made and end in every way: return, pthread_exit, cancelled in a sleep,
 * holding a robust mutex, and bare ones by clone(). All made are joined, with their own result; no
 * two that live have the same id.
 */
#include "storm.h"

#include <linux/futex.h>
#include <sched.h>

#define SPAWNERS 4
#define BATCH 24
#define BARE_MAX 8
#define TID_MAX (1u << 22)

enum way { WAY_RETURN, WAY_EXIT, WAY_CANCEL, WAY_ROBUST, WAY_DEEP, WAYS };

struct shared {
    unsigned char *alive; /* by thread id */
    pthread_mutex_t robust;
    unsigned long started, ended, cancelled, dead_owners, robust_deaths, guarded;
};

struct child {
    struct shared *shared;
    pthread_t thread;
    void *stack;
    enum way way;
    uint64_t value;
    bool made;
};

struct bare {
    struct shared *shared;
    void *stack;
    pid_t parent_tid, child_tid; /* the kernel sets both, and clears the second at the end */
    unsigned long result;
};

static __thread uint64_t tls_value = 77;

static void add(unsigned long *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void born(struct shared *s, pid_t tid)
{
    CHECK(tid > 0 && (unsigned)tid < TID_MAX);
    CHECK_EQ(__atomic_exchange_n(&s->alive[tid], 1, __ATOMIC_RELAXED), 0);
    add(&s->started);
}

static void dies(struct shared *s, pid_t tid)
{
    CHECK_EQ(__atomic_exchange_n(&s->alive[tid], 0, __ATOMIC_RELAXED), 1);
    add(&s->ended);
}

static void on_cancel(void *arg)
{
    struct child *c = arg;
    add(&c->shared->cancelled);
    dies(c->shared, (pid_t)syscall(SYS_gettid));
}

static uint64_t deep(uint64_t value, unsigned depth)
{
    volatile char room[1024];
    room[depth % sizeof(room)] = (char)value;
    uint64_t below = depth ? deep(value, depth - 1) : value;
    return below + (uint64_t)(room[depth % sizeof(room)] != (char)value);
}

/* Lock the robust mutex; whoever died with it has left it to us. */
static void robust_lock(struct shared *s)
{
    int err = pthread_mutex_lock(&s->robust);
    if (err == EOWNERDEAD) {
        s->dead_owners++;
        err = pthread_mutex_consistent(&s->robust);
    }
    CHECK_EQ(err, 0);
    s->guarded++;
}

static void *child_main(void *arg)
{
    struct child *c = arg;
    pid_t tid = (pid_t)syscall(SYS_gettid);
    CHECK_EQ(tls_value, 77);
    tls_value = c->value;
    born(c->shared, tid);
    if (c->value % 3 == 0)
        sched_yield();
    switch (c->way) {
    case WAY_CANCEL:
        pthread_cleanup_push(on_cancel, c);
        for (;;)
            usleep(1000000);
        pthread_cleanup_pop(0);
        break;
    case WAY_ROBUST:
        robust_lock(c->shared);
        if (c->value % 2)
            CHECK_EQ(pthread_mutex_unlock(&c->shared->robust), 0);
        else
            c->shared->robust_deaths++;
        break;
    case WAY_DEEP:
        CHECK_EQ(deep(c->value, 60), c->value);
        break;
    default:
        break;
    }
    CHECK_EQ(tls_value, c->value);
    dies(c->shared, tid);
    if (c->way == WAY_EXIT)
        pthread_exit((void *)(uintptr_t)~c->value);
    return (void *)(uintptr_t)~c->value;
}

static void batch(struct worker *w, struct shared *s)
{
    struct child children[BATCH];
    unsigned n = 1 + rng_below(&w->rng, BATCH);
    for (unsigned i = 0; i < n; i++) {
        pthread_attr_t attr;
        struct child *c = &children[i];
        *c = (struct child){.shared = s,
                            .stack = stack_new(STACK_SIZE),
                            .way = (enum way)rng_below(&w->rng, WAYS),
                            .value = rng_next(&w->rng)};
        CHECK(pthread_attr_init(&attr) == 0 &&
              pthread_attr_setstack(&attr, c->stack, STACK_SIZE) == 0);
        CHECK_EQ(pthread_create(&c->thread, &attr, child_main, c), 0);
        pthread_attr_destroy(&attr);
        step(w);
    }
    for (unsigned i = 0; i < n; i++) {
        struct child *c = &children[i];
        void *result;
        if (c->way == WAY_CANCEL)
            CHECK_EQ(pthread_cancel(c->thread), 0);
        doing(w, "join");
        CHECK_EQ(pthread_join(c->thread, &result), 0);
        CHECK_EQ(result, c->way == WAY_CANCEL ? (uintptr_t)PTHREAD_CANCELED : ~c->value);
        stack_free(c->stack, STACK_SIZE);
        doing(w, "create");
        step(w);
    }
    storm_count("threads", n);
}

static int bare_main(void *arg)
{
    struct bare *b = arg;
    pid_t tid = (pid_t)syscall(SYS_gettid);
    if (tid == b->child_tid)
        __atomic_store_n(&b->result, (unsigned long)tid * 3, __ATOMIC_RELEASE);
    return 0;
}

/* Threads that no library knows: the kernel tells of their end by clearing a word and waking. */
static void bares(struct worker *w, struct shared *s)
{
    struct bare b[BARE_MAX] = {0};
    unsigned n = 1 + rng_below(&w->rng, BARE_MAX);
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    for (unsigned i = 0; i < n; i++) {
        b[i].shared = s;
        b[i].stack = stack_new(STACK_SIZE);
        int tid = clone(bare_main, (char *)b[i].stack + STACK_SIZE, flags, &b[i], &b[i].parent_tid,
                        NULL, &b[i].child_tid);
        CHECK(tid > 0);
        CHECK_EQ(b[i].parent_tid, tid);
        step(w);
    }
    for (unsigned i = 0; i < n; i++) {
        pid_t tid;
        doing(w, "wait for a bare thread");
        /* The word is set by the child, so it may still be 0 at first: the result tells. */
        while (!__atomic_load_n(&b[i].result, __ATOMIC_ACQUIRE))
            sched_yield();
        while ((tid = __atomic_load_n(&b[i].child_tid, __ATOMIC_ACQUIRE)) != 0)
            syscall(SYS_futex, &b[i].child_tid, FUTEX_WAIT, tid, NULL, NULL, 0);
        CHECK_EQ(b[i].result, (unsigned long)b[i].parent_tid * 3);
        stack_free(b[i].stack, STACK_SIZE);
        step(w);
    }
    doing(w, "create");
    storm_count("bare threads", n);
}

static void spawner(struct worker *w)
{
    while (!storm_over()) {
        if (rng_below(&w->rng, 4) == 0)
            bares(w, w->arg);
        else
            batch(w, w->arg);
    }
}

void storm_threads(uint64_t seed)
{
    struct worker workers[SPAWNERS];
    struct shared s = {0};
    pthread_mutexattr_t attr;
    s.alive = mmap(NULL, TID_MAX, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(s.alive != MAP_FAILED);
    CHECK(pthread_mutexattr_init(&attr) == 0 &&
          pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0 &&
          pthread_mutex_init(&s.robust, &attr) == 0);
    for (unsigned i = 0; i < SPAWNERS; i++)
        storm_start(&workers[i], "spawner", i, seed, spawner, &s);
    for (unsigned i = 0; i < SPAWNERS; i++)
        storm_join(&workers[i]);
    robust_lock(&s);
    CHECK_EQ(pthread_mutex_unlock(&s.robust), 0);
    CHECK_EQ(s.dead_owners, s.robust_deaths);
    CHECK_EQ(s.started, s.ended);
    CHECK(munmap(s.alive, TID_MAX) == 0);
}
