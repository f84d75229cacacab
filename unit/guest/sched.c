/* SPDX-License-Identifier: BSD-3-Clause */
/* sched - scheduling calls: what is set is read back as Linux does, what is wrong is refused, and
 * membarrier orders other threads. */
#include "guest.h"
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t more[2];
};

static void only(int cpu)
{
    cpu_set_t set, got;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    REQUIRE(sched_setaffinity(0, sizeof set, &set) == 0);
    REQUIRE(sched_getaffinity(0, sizeof got, &got) == 0 && CPU_EQUAL(&set, &got));
    REQUIRE(sched_getcpu() == cpu);
}

/* A mask that names more CPUs than there are reads back without them. */
static void affinity(void)
{
    cpu_set_t all, got, before;
    REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
    memset(&all, 0xff, sizeof all);
    REQUIRE(sched_setaffinity(0, sizeof all, &all) == 0);
    REQUIRE(sched_getaffinity(0, sizeof got, &got) == 0);
    REQUIRE(CPU_COUNT(&got) <= sysconf(_SC_NPROCESSORS_CONF));
    CPU_ZERO(&all);
    CPU_SET(CPU_SETSIZE - 1, &all);
    REQUIRE_ERRNO(sched_setaffinity(0, sizeof all, &all), EINVAL);
    int first = 0, last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(first, &before))
        first++;
    while (!CPU_ISSET(last, &before))
        last--;
    only(first);
    only(last); /* among more than 64 in another word of the mask */
    unsigned long words[CPU_SETSIZE / 64];
    size_t need = (size_t)last / 64 * 8;
    REQUIRE(syscall(SYS_sched_getaffinity, 0, sizeof words, words) >= (long)need + 8);
    REQUIRE(words[last / 64] == 1ul << last % 64);
    if (need > 0) /* a mask that has no room for all CPUs */
        REQUIRE_ERRNO(syscall(SYS_sched_getaffinity, 0, need, words), EINVAL);
    REQUIRE(sched_setaffinity(0, sizeof before, &before) == 0);
}

static void attributes(void)
{
    struct attr attr = {.size = 47};
    REQUIRE_ERRNO(syscall(SYS_sched_setattr, 0, &attr, 0), E2BIG);
    REQUIRE(attr.size >= 48); /* the kernel's own size comes back */
    attr = (struct attr){.size = 4097};
    REQUIRE_ERRNO(syscall(SYS_sched_setattr, 0, &attr, 0), E2BIG);
    attr = (struct attr){.size = sizeof attr, .flags = 1ull << 40};
    REQUIRE_ERRNO(syscall(SYS_sched_setattr, 0, &attr, 0), EINVAL);
    attr = (struct attr){.size = 48, .policy = SCHED_BATCH, .nice = 3};
    REQUIRE(syscall(SYS_sched_setattr, 0, &attr, 0) == 0);
    memset(&attr, 0, sizeof attr);
    REQUIRE(syscall(SYS_sched_getattr, 0, &attr, 48, 0) == 0);
    REQUIRE(attr.policy == SCHED_BATCH && attr.nice == 3 && attr.flags == 0);
    REQUIRE(getpriority(PRIO_PROCESS, 0) == 3);
}

static void *child_policy(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)sched_getscheduler((int)syscall(SYS_gettid));
}

static void reset_on_fork(void)
{
    struct sched_param param = {0};
    void *policy;
    pthread_t thread;
    REQUIRE(sched_setscheduler(0, SCHED_IDLE | SCHED_RESET_ON_FORK, &param) == 0);
    REQUIRE(sched_getscheduler(0) == (SCHED_IDLE | SCHED_RESET_ON_FORK));
    REQUIRE(pthread_create(&thread, NULL, child_policy, NULL) == 0);
    REQUIRE(pthread_join(thread, &policy) == 0);
    REQUIRE((intptr_t)policy == SCHED_IDLE); /* not real time: inherited; the flag is not */
}

/* Dekker's exchange: without the barrier on the other side both may read 0. */
static int x, y, stop, fast_saw;
static void *fast_side(void *arg)
{
    (void)arg;
    int round = 0;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        round = __atomic_load_n(&x, __ATOMIC_ACQUIRE);
        __atomic_store_n(&y, round, __ATOMIC_RELAXED);
        __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the compiler only */
        __atomic_store_n(&fast_saw, __atomic_load_n(&x, __ATOMIC_RELAXED), __ATOMIC_RELEASE);
    }
    return NULL;
}

static void membarrier(void)
{
    pthread_t thread;
    long known = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0);
    REQUIRE(known > 0 && (known & MEMBARRIER_CMD_PRIVATE_EXPEDITED));
    REQUIRE_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 1), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), EPERM);
    REQUIRE(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) == 0);
    cpu_set_t before, after;
    REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
    REQUIRE(pthread_create(&thread, NULL, fast_side, NULL) == 0);
    for (int i = 1; i <= 200; i++) {
        __atomic_store_n(&x, i, __ATOMIC_RELAXED);
        REQUIRE(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) == 0);
        (void)__atomic_load_n(&y, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE(fast_saw <= 200);
    REQUIRE(sched_getaffinity(0, sizeof after, &after) == 0 && CPU_EQUAL(&before, &after));
}

/* ---- user and system time ---- */

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    REQUIRE(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct usage {
    uint64_t user_us, system_us;
};
static struct usage usage(int who)
{
    struct rusage u;
    REQUIRE(getrusage(who, &u) == 0);
    return (struct usage){(uint64_t)u.ru_utime.tv_sec * 1000000u + (uint64_t)u.ru_utime.tv_usec,
                          (uint64_t)u.ru_stime.tv_sec * 1000000u + (uint64_t)u.ru_stime.tv_usec};
}

#define SPAN_NS 250000000ull

static void in_user_code(void)
{
    uint64_t end = cpu_ns() + SPAN_NS;
    while (cpu_ns() < end)
        for (volatile int i = 0; i < 1000000; i++)
            ;
}

static void in_system_calls(void)
{
    static char buf[1 << 20];
    int fd = open("/dev/zero", O_RDONLY);
    REQUIRE(fd >= 0);
    uint64_t end = cpu_ns() + SPAN_NS;
    while (cpu_ns() < end)
        REQUIRE(read(fd, buf, sizeof buf) > 0);
    close(fd);
}

static volatile sig_atomic_t virtual_alarms;
static void on_virtual(int signo)
{
    (void)signo;
    virtual_alarms++;
}

static void kinds_of_time(void)
{
    struct itimerval timer = {.it_value.tv_usec = 100000};
    struct tms tms;
    signal(SIGVTALRM, on_virtual);
    in_system_calls();
    struct usage a = usage(RUSAGE_SELF), thread = usage(RUSAGE_THREAD);
    /* On a busy host few samples come in time. */
    for (int i = 0; i < 16 && (a.system_us <= a.user_us || thread.system_us <= thread.user_us);
         i++) {
        in_system_calls();
        a = usage(RUSAGE_SELF), thread = usage(RUSAGE_THREAD);
    }
    REQUIRE(a.system_us > a.user_us && a.system_us > 100000);
    REQUIRE(thread.system_us > thread.user_us);
    REQUIRE(setitimer(ITIMER_VIRTUAL, &timer, NULL) == 0);
    in_system_calls();
    REQUIRE(!virtual_alarms);                        /* it counts user time only */
    for (int i = 0; i < 200 && !virtual_alarms; i++) /* samples: it may take a little longer */
        in_user_code();
    REQUIRE(virtual_alarms == 1);
    uint64_t before = cpu_ns() / 1000;
    struct usage b = usage(RUSAGE_SELF);
    uint64_t after = cpu_ns() / 1000, sum = b.user_us + b.system_us;
    REQUIRE(b.user_us >= a.user_us + 90000 && b.system_us >= a.system_us);
    REQUIRE(sum <= after + 20000 && sum + 20000 >= before);
    REQUIRE(times(&tms) != (clock_t)-1);
    REQUIRE((uint64_t)tms.tms_utime * 10000 + 20000 >= b.user_us);
    REQUIRE((uint64_t)tms.tms_stime * 10000 + 20000 >= b.system_us);
}

int main(void)
{
    kinds_of_time();
    affinity();
    membarrier();
    attributes();
    reset_on_fork();
    return guest_pass("sched");
}
