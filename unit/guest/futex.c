/* SPDX-License-Identifier: BSD-3-Clause */
/* futex - the raw operations: wait, wake, bitsets, requeue, wake-op, timeouts, errors, between
 * processes' mappings. */
#include "guest.h"

#include <linux/futex.h>
#include <pthread.h>
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

/* Wait until n threads wait on &word, without disturbing them: requeue to themselves counts them.
 */
static void settle(long n)
{
    while (futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)1000l, &word, 0) < n)
        usleep(1000);
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

int main(void)
{
    pthread_t t[6];
    struct timespec ms = {0, 2000000}, bad = {0, 1000000000}, now;
    (void)settle;
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
    return guest_pass("futex");
}
