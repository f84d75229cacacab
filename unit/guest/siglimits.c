/* SPDX-License-Identifier: BSD-3-Clause */
/* siglimits - what the limit of queued signals refuses and what it lets through, whom kill(2) and
 * sigqueueinfo(2) reach, the rules of sigaltstack(2), clone(2) with bad addresses for thread ids.
 */
#include "guest.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif
#define BAD ((void *)8)

static int tid(void)
{
    return (int)syscall(SYS_gettid);
}

static int take(int signo, siginfo_t *info)
{
    struct timespec zero = {0, 0};
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signo);
    memset(info, 0x55, sizeof(*info));
    return sigtimedwait(&one, info, &zero);
}

/* ---- RLIMIT_SIGPENDING ---- */

static void limit(rlim_t n)
{
    struct rlimit r;
    REQUIRE(getrlimit(RLIMIT_SIGPENDING, &r) == 0);
    r.rlim_cur = n;
    REQUIRE(setrlimit(RLIMIT_SIGPENDING, &r) == 0);
}

static void test_limit(void)
{
    struct rlimit before;
    siginfo_t info;
    timer_t timer, refused;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
    struct itimerspec soon = {{0, 0}, {0, 1}};
    sigset_t set;
    event.sigev_value.sival_int = 77;
    REQUIRE(getrlimit(RLIMIT_SIGPENDING, &before) == 0);
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    limit(0);
    /* A timer has its entry from the start; a new one cannot have one. */
    REQUIRE_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &refused), EAGAIN);
    REQUIRE(timer_settime(timer, 0, &soon, NULL) == 0);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    REQUIRE(sigwaitinfo(&set, &info) == SIGRTMIN + 3 && info.si_code == SI_TIMER &&
            info.si_value.sival_int == 77);
    /* Queued signals of processes are refused, if they are real-time signals. */
    REQUIRE_ERRNO(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1}), EAGAIN);
    REQUIRE_ERRNO(syscall(SYS_tgkill, getpid(), tid(), SIGRTMIN), EAGAIN);
    REQUIRE_ERRNO(take(SIGRTMIN, &info), EAGAIN);
    /* kill of a real-time signal arrives without its details. */
    REQUIRE(kill(getpid(), SIGRTMIN) == 0 && kill(getpid(), SIGRTMIN) == 0);
    REQUIRE(take(SIGRTMIN, &info) == SIGRTMIN && info.si_code == SI_USER && info.si_pid == 0);
    REQUIRE_ERRNO(take(SIGRTMIN, &info), EAGAIN);
    /* Standard signals always arrive; those of kill with their details. */
    REQUIRE(kill(getpid(), SIGUSR1) == 0);
    REQUIRE(take(SIGUSR1, &info) == SIGUSR1 && info.si_code == SI_USER && info.si_pid == getpid());
    REQUIRE(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 5}) == 0);
    REQUIRE(take(SIGUSR1, &info) == SIGUSR1 && info.si_code == SI_USER && info.si_pid == 0 &&
            info.si_value.sival_int == 0);
    REQUIRE(syscall(SYS_tgkill, getpid(), tid(), SIGUSR1) == 0);
    REQUIRE(take(SIGUSR1, &info) == SIGUSR1 && info.si_pid == 0);
    REQUIRE(setrlimit(RLIMIT_SIGPENDING, &before) == 0);
    REQUIRE(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 9}) == 0);
    REQUIRE(take(SIGRTMIN, &info) == SIGRTMIN && info.si_code == SI_QUEUE &&
            info.si_value.sival_int == 9);
    REQUIRE(timer_delete(timer) == 0);
}

/* ---- whom ---- */

static volatile int other_tid;
static int wake_pipe[2];

static void *other(void *arg)
{
    char c;
    siginfo_t info;
    other_tid = tid();
    REQUIRE(write(wake_pipe[1], "r", 1) == 1);
    while (read(wake_pipe[0], &c, 1) == 1 && c != 'q') { /* our own "r" too */
        sched_yield();
        REQUIRE(write(wake_pipe[1], &c, 1) == 1);
    }
    /* As if tgkill had said it: only to oneself. */
    memset(&info, 0, sizeof(info));
    info.si_code = SI_TKILL;
    info.si_signo = SIGUSR2;
    REQUIRE_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, &info), EPERM);
    REQUIRE_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR2, &info), EPERM);
    REQUIRE(syscall(SYS_rt_tgsigqueueinfo, getpid(), tid(), SIGUSR2, &info) == 0);
    REQUIRE(take(SIGUSR2, &info) == SIGUSR2); /* glibc reports the code as SI_USER */
    return arg;
}

static void test_thread_id(void)
{
    pthread_t t;
    siginfo_t info;
    REQUIRE(pipe(wake_pipe) == 0);
    REQUIRE(pthread_create(&t, NULL, other, NULL) == 0);
    while (!other_tid)
        sched_yield();
    /* kill takes the id of any thread and means its process: the main thread sees the signal. */
    REQUIRE(kill(other_tid, 0) == 0 && kill(other_tid, SIGUSR1) == 0);
    REQUIRE(take(SIGUSR1, &info) == SIGUSR1 && info.si_code == SI_USER);
    memset(&info, 0, sizeof(info));
    info.si_code = SI_QUEUE;
    info.si_value.sival_int = 31;
    REQUIRE(syscall(SYS_rt_sigqueueinfo, other_tid, SIGUSR1, &info) == 0);
    REQUIRE(take(SIGUSR1, &info) == SIGUSR1 && info.si_value.sival_int == 31);
    REQUIRE(write(wake_pipe[1], "q", 1) == 1);
    REQUIRE(pthread_join(t, NULL) == 0);
    /* The join ends a moment before the thread does, on Linux, too. */
    while (kill(other_tid, 0) == 0)
        sched_yield();
    REQUIRE(errno == ESRCH);
    close(wake_pipe[0]);
    close(wake_pipe[1]);
}

/* ---- alternate stacks ---- */

static stack_t alt;
static volatile int on_alt_runs, want_flags, nested;

static void on_alt(int signo)
{
    stack_t now, same = alt;
    char here;
    on_alt_runs++;
    REQUIRE(&here > (char *)alt.ss_sp && &here <= (char *)alt.ss_sp + alt.ss_size);
    REQUIRE(sigaltstack(NULL, &now) == 0 && (int)now.ss_flags == want_flags);
    if (want_flags == SS_ONSTACK) {
        REQUIRE_ERRNO(sigaltstack(&same, NULL), EPERM);
        same.ss_flags = SS_DISABLE;
        REQUIRE_ERRNO(sigaltstack(&same, NULL), EPERM);
    } else { /* disarmed: it may be set, and the way back sets what was there before */
        REQUIRE(now.ss_size == 0);
        same.ss_flags = SS_DISABLE;
        REQUIRE(sigaltstack(&same, NULL) == 0);
    }
    if (nested-- > 0)
        raise(signo);
}

static void test_alt_stack(void)
{
    struct sigaction sa = {.sa_flags = SA_ONSTACK | SA_NODEFER};
    stack_t now, odd;
    size_t size = 256 << 10;
    alt.ss_sp = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    alt.ss_size = size;
    REQUIRE(alt.ss_sp != MAP_FAILED);
    sa.sa_handler = on_alt;
    REQUIRE(sigaction(SIGURG, &sa, NULL) == 0);
    odd = alt;
    odd.ss_size = 100;
    REQUIRE_ERRNO(sigaltstack(&odd, NULL), ENOMEM);
    odd.ss_size = size;
    odd.ss_flags = 77;
    REQUIRE_ERRNO(sigaltstack(&odd, NULL), EINVAL);

    REQUIRE(sigaltstack(&alt, NULL) == 0 && sigaltstack(&alt, NULL) == 0);
    want_flags = SS_ONSTACK;
    nested = 1; /* the second handler runs on the same stack, below the first */
    raise(SIGURG);
    REQUIRE(on_alt_runs == 2 && sigaltstack(NULL, &now) == 0 && now.ss_flags == 0);

    alt.ss_flags = (int)SS_AUTODISARM;
    REQUIRE(sigaltstack(&alt, NULL) == 0);
    REQUIRE(sigaltstack(NULL, &now) == 0 && (unsigned)now.ss_flags == SS_AUTODISARM);
    want_flags = SS_DISABLE;
    nested = 0;
    raise(SIGURG);
    REQUIRE(on_alt_runs == 3 && sigaltstack(NULL, &now) == 0 &&
            (unsigned)now.ss_flags == SS_AUTODISARM && now.ss_sp == alt.ss_sp &&
            now.ss_size == size);
    alt.ss_flags = SS_DISABLE;
    REQUIRE(sigaltstack(&alt, NULL) == 0 && sigaltstack(NULL, &now) == 0 &&
            now.ss_flags == SS_DISABLE && now.ss_size == 0);
}

/* ---- clone ---- */

static volatile int clone_ran;

static int clone_body(void *arg)
{
    clone_ran = 1;
    syscall(SYS_exit, 0);
    return arg != NULL;
}

static void test_clone_addresses(void)
{
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    static const int bad[] = {CLONE_PARENT_SETTID, CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID,
                              CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID};
    char *stack = malloc(64 << 10);
    REQUIRE(stack);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        clone_ran = 0;
        int id = clone(clone_body, stack + (64 << 10), flags | bad[i], NULL, BAD, NULL, BAD);
        REQUIRE(id > 0);
        while (!clone_ran || syscall(SYS_tgkill, getpid(), id, 0) == 0)
            sched_yield();
    }
    free(stack);
}

int main(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 3);
    REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    test_limit();
    test_thread_id();
    test_alt_stack();
    test_clone_addresses();
    return guest_pass("siglimits");
}
