/* SPDX-License-Identifier: BSD-3-Clause */
/* futex - the raw operations: wait, wake, bitsets, requeue, wake-op, timeouts, errors; keys of
 * shared mappings that change; futex_waitv and the calls of "futex2", where there are any. */
#include "procfile.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

static uint32_t word, second;
static long woken;

static long futex(uint32_t *addr, int op, uint32_t val, const void *timeout, uint32_t *addr2,
                  uint32_t val3)
{
    return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}

static void *waiter(void *arg)
{
    long r = futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (uint32_t)(uintptr_t)arg);
    REQUIRE(r == 0);
    __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void start(pthread_t *t, int n, uint32_t bits)
{
    woken = 0;
    for (int i = 0; i < n; i++)
        REQUIRE(pthread_create(&t[i], NULL, waiter, (void *)(uintptr_t)bits) == 0);
    usleep(50000);
}
static void join(pthread_t *t, int n)
{
    for (int i = 0; i < n; i++)
        REQUIRE(pthread_join(t[i], NULL) == 0);
}

/* ---- FUTEX_WAKE_OP ---- */

static void wake_ops(void)
{
    static const struct {
        uint32_t op, arg, before, after;
    } ops[] = {
        {FUTEX_OP_SET, 7, 100, 7},      {FUTEX_OP_ADD, 7, 100, 107},
        {FUTEX_OP_ADD, 0xfff, 100, 99}, /* -1 */
        {FUTEX_OP_OR, 6, 9, 15},        {FUTEX_OP_ANDN, 6, 15, 9},
        {FUTEX_OP_XOR, 5, 6, 3},        {FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 31, 0, 0x80000000u},
    };
    for (unsigned i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        second = ops[i].before;
        REQUIRE(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1l, &second,
                      ops[i].op << 28 | ops[i].arg << 12) == 0);
        REQUIRE(second == ops[i].after);
    }
    REQUIRE_ERRNO(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1l, &second, 5u << 28), ENOSYS);
    REQUIRE_ERRNO(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1l, (uint32_t *)64, 0), EFAULT);
    second = 0;
}

/* ---- keys ---- */

struct shared_waiter {
    uint32_t *word;
    pid_t tid;
};
static void *shared_wait(void *arg)
{
    struct shared_waiter *w = arg;
    __atomic_store_n(&w->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    return (void *)futex(w->word, FUTEX_WAIT, 0, NULL, NULL, 0);
}
/* A waiter through `a` is woken through `b`, which is the same byte of the same object. */
static void wake_across(uint32_t *a, uint32_t *b, void (*meanwhile)(void *), void *arg)
{
    struct shared_waiter w = {a, 0};
    pthread_t t;
    void *result;
    REQUIRE(pthread_create(&t, NULL, shared_wait, &w) == 0);
    await_sleep(&w.tid);
    REQUIRE(futex(a, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0) == 0);
    REQUIRE(futex(b + 1, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
    if (meanwhile)
        meanwhile(arg);
    REQUIRE(futex(b, FUTEX_WAKE, 1, NULL, NULL, 0) == 1);
    REQUIRE(pthread_join(t, &result) == 0 && result == NULL);
}
static void unmap(void *page)
{
    REQUIRE(munmap(page, 4096) == 0);
}
static void cut_and_grow(void *fd)
{
    REQUIRE(ftruncate((int)(intptr_t)fd, 0) == 0);
    REQUIRE(ftruncate((int)(intptr_t)fd, 8192) == 0);
}
static uint32_t *map(int fd, off_t off)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, off);
    REQUIRE(p != MAP_FAILED);
    return p;
}
static void keys(void)
{
    char name[] = "/tmp/futex-XXXXXX";
    int files[2] = {memfd_create("futex", 0), mkstemp(name)};
    REQUIRE(files[0] >= 0 && files[1] >= 0 && unlink(name) == 0);
    for (int i = 0; i < 2; i++) {
        REQUIRE(ftruncate(files[i], 8192) == 0);
        uint32_t *a = map(files[i], 4096), *b = map(files[i], 4096);
        wake_across(a + 5, b + 5, NULL, NULL);
        wake_across(b + 5, a + 5, cut_and_grow, (void *)(intptr_t)files[i]);
        wake_across(a + 5, b + 5, unmap, a);
        unmap(b);
        close(files[i]);
    }
    uint32_t *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    uint32_t *moved = mremap(shared, 0, 8192, MREMAP_MAYMOVE); /* a second mapping of it */
    REQUIRE(moved != MAP_FAILED && moved != shared);
    wake_across(shared + 1030, moved + 1030, NULL, NULL);
    wake_across(moved, shared, unmap, moved);
    REQUIRE_ERRNO(futex(moved, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
    REQUIRE(munmap(shared, 8192) == 0 && munmap(moved + 1024, 4096) == 0);
}

/* ---- futex_waitv, futex2 ---- */

#define SIZE_U32 2u
struct waitv {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};
static uint32_t many[128];

static long waitv(struct waitv *v, unsigned count, unsigned flags, const void *timeout, int clock)
{
    return syscall(449, v, count, flags, timeout, clock);
}
static void *waitv_thread(void *arg)
{
    struct waitv v[128];
    for (unsigned i = 0; i < 128; i++)
        v[i] = (struct waitv){i, (uintptr_t)&many[i], SIZE_U32 | (i % 2 ? 128 : 0), 0};
    __atomic_store_n((pid_t *)arg, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    return (void *)waitv(v, 128, 0, NULL, 0);
}
static void waits_for_many(void)
{
    struct waitv v[2] = {{0, (uintptr_t)&word, SIZE_U32 | 128, 0},
                         {0, (uintptr_t)&second, SIZE_U32 | 128, 0}};
    struct timespec past = {1, 0}, bad = {0, -1};
    pthread_t t;
    void *result;
    if (waitv(v, 0, 0, NULL, 0) == -1 && errno == ENOSYS)
        return;
    word = second = 0;
    REQUIRE_ERRNO(waitv(v, 0, 0, NULL, 0), EINVAL);
    REQUIRE_ERRNO(waitv(v, 129, 0, NULL, 0), EINVAL);
    REQUIRE_ERRNO(waitv(NULL, 2, 0, NULL, 0), EINVAL);
    REQUIRE_ERRNO(waitv(v, 2, 1, NULL, 0), EINVAL);
    REQUIRE_ERRNO(waitv(v, 2, 0, &past, CLOCK_BOOTTIME), EINVAL);
    REQUIRE_ERRNO(waitv(v, 2, 0, &bad, CLOCK_MONOTONIC), EINVAL);
    REQUIRE_ERRNO(waitv(v, 2, 0, (void *)64, CLOCK_MONOTONIC), EFAULT);
    REQUIRE_ERRNO(waitv((void *)64, 2, 0, NULL, CLOCK_MONOTONIC), EFAULT);
    REQUIRE_ERRNO(waitv(v, 2, 0, &past, CLOCK_MONOTONIC), ETIMEDOUT);
    REQUIRE_ERRNO(waitv(v, 2, 0, &past, CLOCK_REALTIME), ETIMEDOUT);
    v[1].val = 1;
    REQUIRE_ERRNO(waitv(v, 2, 0, &past, CLOCK_MONOTONIC), EAGAIN);
    v[1].reserved = 1;
    REQUIRE_ERRNO(waitv(v, 2, 0, &past, CLOCK_MONOTONIC), EINVAL);
    v[1] = (struct waitv){0, 64, SIZE_U32, 0};
    REQUIRE_ERRNO(waitv(v, 2, 0, NULL, 0), EFAULT);
    v[1] = (struct waitv){0, (uintptr_t)&second, SIZE_U32 | 0x10, 0};
    REQUIRE_ERRNO(waitv(v, 2, 0, NULL, 0), EINVAL);
    v[1].flags = 128; /* 8 bits */
    REQUIRE_ERRNO(waitv(v, 2, 0, NULL, 0), EINVAL);
    for (unsigned i = 0; i < 128; i++)
        many[i] = i;
    for (unsigned i = 0; i < 128; i += 127) {
        pid_t tid = 0;
        REQUIRE(pthread_create(&t, NULL, waitv_thread, &tid) == 0);
        await_sleep(&tid);
        REQUIRE(futex(&many[i], FUTEX_WAKE | (i % 2 ? FUTEX_PRIVATE_FLAG : 0), 1, NULL, NULL, 0) ==
                1);
        REQUIRE(pthread_join(t, &result) == 0 && (unsigned long)result == i);
        REQUIRE(futex(&many[64], FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
    }
}

struct single {
    uint32_t mask;
    pid_t tid;
};
static void *wait2(void *arg)
{
    struct single *s = arg;
    __atomic_store_n(&s->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    return (void *)syscall(455, &word, 0ul, (unsigned long)s->mask, SIZE_U32 | 128, NULL, 0);
}
static void futex2(void)
{
    struct single s[3] = {{1, 0}, {2, 0}, {2, 0}};
    struct timespec past = {1, 0};
    pthread_t t[3];
    void *result;
    if (syscall(454, &word, 1ul, 1, SIZE_U32 | 128) == -1 && errno == ENOSYS)
        return;
    REQUIRE_ERRNO(syscall(454, &word, 1ul, 1, 0x40), EINVAL);
    REQUIRE_ERRNO(syscall(454, &word, 1ul << 32, 1, SIZE_U32), EINVAL);
    REQUIRE_ERRNO(syscall(454, &word, 0ul, 1, SIZE_U32), EINVAL);
    REQUIRE_ERRNO(syscall(455, &word, 0ul, 0ul, SIZE_U32, NULL, 0), EINVAL);
    REQUIRE_ERRNO(syscall(455, &word, 1ul, 1ul, SIZE_U32, NULL, 0), EAGAIN);
    REQUIRE_ERRNO(syscall(455, &word, 0ul, 1ul, SIZE_U32, &past, CLOCK_MONOTONIC), ETIMEDOUT);
    REQUIRE_ERRNO(syscall(455, &word, 0ul, 1ul, SIZE_U32, &past, CLOCK_BOOTTIME), EINVAL);
    for (int i = 0; i < 3; i++) {
        REQUIRE(pthread_create(&t[i], NULL, wait2, &s[i]) == 0);
        await_sleep(&s[i].tid);
    }
    REQUIRE(syscall(454, &word, 2ul, 0, SIZE_U32 | 128) == 0);
    REQUIRE(syscall(454, &word, 2ul, 1, SIZE_U32 | 128) == 1);
    struct waitv v[2] = {{0, (uintptr_t)&word, SIZE_U32 | 128, 0},
                         {0, (uintptr_t)&second, SIZE_U32 | 128, 0}};
    REQUIRE_ERRNO(syscall(456, v, 1, 0, 9), EINVAL);
    REQUIRE_ERRNO(syscall(456, NULL, 0, 0, 9), EINVAL);
    REQUIRE(syscall(456, v, 0, 0, 9) == 2);
    v[0].val = 5;
    REQUIRE_ERRNO(syscall(456, v, 0, 0, 9), EAGAIN);
    REQUIRE(syscall(454, &second, 3ul, 9, SIZE_U32 | 128) == 2);
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_join(t[i], &result) == 0 && result == NULL);
}

int main(void)
{
    pthread_t t[6];
    struct timespec ms = {0, 2000000}, bad = {0, 1000000000}, now;
    REQUIRE_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0), EAGAIN);
    REQUIRE_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &ms, NULL, 0), ETIMEDOUT);
    REQUIRE_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &bad, NULL, 0), EINVAL);
    REQUIRE_ERRNO(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0),
                  EINVAL);
    REQUIRE_ERRNO(futex((uint32_t *)64, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EFAULT);
    REQUIRE_ERRNO(futex(&word, 99, 0, NULL, NULL, 0), ENOSYS);
    REQUIRE_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0), EINVAL);
    REQUIRE(clock_gettime(CLOCK_REALTIME, &now) == 0);
    REQUIRE_ERRNO(
        futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &now, NULL, ~0u),
        ETIMEDOUT);
    REQUIRE(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0) == 0);

    start(t, 4, 1);
    REQUIRE(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 2) == 0);
    long total = 0;
    while (total < 1)
        total += futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 3);
    while (total < 4)
        total += futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0);
    join(t, 4);
    REQUIRE(woken == 4);

    start(t, 5, ~0u);
    REQUIRE_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10l, &second, 7), EAGAIN);
    total = 0;
    while (total < 5) /* wakes one and moves the others; late comers in later rounds */
        total += futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)10l, &second, 0);
    REQUIRE(total == 5 && futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0) == 0);
    /* second = second + 1; wake 5 on word if ... and 10 on second as the old value was 0 */
    REQUIRE(futex(&word, FUTEX_WAKE_OP_PRIVATE, 5, (void *)10l, &second,
                  FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0)) == 5);
    REQUIRE(second == 1);
    join(t, 5);

    uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    REQUIRE(futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
    REQUIRE_ERRNO(futex(shared, FUTEX_WAIT, 0, &ms, NULL, 0), ETIMEDOUT);
    word = second = 0;
    wake_ops();
    keys();
    waits_for_many();
    futex2();
    return guest_pass("futex");
}
