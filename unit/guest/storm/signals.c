/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * signals - queued signals with values from several threads to threads that take them by handler,
 * by sigwaitinfo and by a signalfd, and to the process. Each value arrives once, and from one
 * sender under one number in the order of sending. The receivers are interrupted in system calls
 * and in computations, which must not notice.
 */
#include "storm.h"

#include <poll.h>
#include <sched.h>
#include <sys/signalfd.h>

#define SENDERS 3
#define TARGETS 4 /* two with handlers, one in sigwaitinfo, one with a signalfd */
#define SHARERS 2
#define NUMBERS 2 /* signal numbers of a target */
#define TAKEN 4096
#define WINDOW 64 /* values of one sender and number that may be on their way */

struct stream {
    unsigned long sent, got; /* atomic */
};

struct office {
    struct stream to[TARGETS][SENDERS][NUMBERS];
    struct stream shared[SENDERS];   /* any of the sharers takes them */
    uint32_t taken[SENDERS][TAKEN];  /* the latest that came, by its last digits; atomic */
    unsigned long kicked, coalesced; /* SIGUSR1: any number becomes one */
    pid_t tid[TARGETS];
    unsigned senders; /* that still send */
    int pipe[2];
};

static struct office *office; /* handlers need it */
static __thread unsigned self;

static unsigned long get(const unsigned long *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static uintptr_t value_of(unsigned sender, unsigned long n)
{
    return (uintptr_t)sender << 24 | (n & 0xffffff);
}

/* A signal has come to target `self`. */
static void take(unsigned number, int code, pid_t pid, uintptr_t value)
{
    unsigned sender = (unsigned)(value >> 24);
    CHECK(sender < SENDERS && number < NUMBERS);
    CHECK_EQ(code, SI_QUEUE);
    CHECK_EQ(pid, getpid());
    struct stream *s = &office->to[self][sender][number];
    CHECK_EQ(value, value_of(sender, s->got));
    __atomic_store_n(&s->got, s->got + 1, __ATOMIC_RELEASE);
}

static void on_value(int signo, siginfo_t *info, void *context)
{
    int err = errno;
    take((unsigned)(signo - SIG_HANDLED), info->si_code, info->si_pid,
         (uintptr_t)info->si_value.sival_ptr);
    errno = err;
}

static void on_usr1(int signo)
{
    __atomic_fetch_add(&office->coalesced, 1, __ATOMIC_RELAXED);
}

static int number_of(unsigned target, unsigned n)
{
    return target < 2 ? SIG_HANDLED + (int)n : target == 2 ? SIG_WAITED + (int)n : SIG_FD;
}

static void send_one(struct worker *w, unsigned target)
{
    unsigned n = target == 3 ? 0 : rng_below(&w->rng, NUMBERS);
    struct stream *s = &office->to[target][w->index][n];
    pid_t tid = __atomic_load_n(&office->tid[target], __ATOMIC_ACQUIRE);
    siginfo_t info = {.si_code = SI_QUEUE};
    if (!tid || s->sent - get(&s->got) >= WINDOW) {
        sched_yield();
        return;
    }
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)value_of(w->index, s->sent);
    s->sent++; /* only we send here */
    CHECK_EQ(syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, number_of(target, n), &info), 0);
}

static void send_shared(struct worker *w)
{
    struct stream *s = &office->shared[w->index];
    if (s->sent - get(&s->got) >= WINDOW) {
        sched_yield();
        return;
    }
    union sigval value = {.sival_ptr = (void *)value_of(w->index, s->sent)};
    s->sent++;
    CHECK_EQ(sigqueue(getpid(), SIG_SHARED, value), 0);
}

static void sender(struct worker *w)
{
    while (!storm_over()) {
        unsigned target = rng_below(&w->rng, TARGETS + 2);
        doing(w, "send");
        if (target < TARGETS) {
            send_one(w, target);
        } else if (target == TARGETS) {
            send_shared(w);
        } else if (rng_below(&w->rng, 8) == 0) {
            pid_t tid = __atomic_load_n(&office->tid[rng_below(&w->rng, 2)], __ATOMIC_ACQUIRE);
            if (tid) {
                __atomic_fetch_add(&office->kicked, 1, __ATOMIC_RELAXED);
                CHECK_EQ(syscall(SYS_tgkill, getpid(), tid, SIGUSR1), 0);
            }
        }
        step(w);
    }
    __atomic_fetch_sub(&office->senders, 1, __ATOMIC_RELEASE);
}

static bool all_came(unsigned target)
{
    if (__atomic_load_n(&office->senders, __ATOMIC_ACQUIRE) > 0)
        return false;
    for (unsigned i = 0; i < SENDERS; i++)
        for (unsigned n = 0; n < NUMBERS; n++)
            if (office->to[target][i][n].sent != get(&office->to[target][i][n].got))
                return false;
    return true;
}

static void unblock(int signo)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signo);
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
}

/* Blocking calls that signals interrupt: bytes through a pipe, sleeps, masks. */
static void interrupted_calls(struct worker *w, unsigned char *next)
{
    unsigned char out[3] = {*next, (unsigned char)(*next + 1), (unsigned char)(*next + 2)}, in[3];
    int64_t start = now_ns(CLOCK_MONOTONIC);
    struct timespec brief = {0, 100000}, rest;
    size_t got = 0;
    CHECK_EQ(write(office->pipe[1], out, 3), 3);
    while (got < 3) { /* SA_RESTART, so no EINTR */
        ssize_t n = read(office->pipe[0], in + got, 3 - got);
        CHECK(n > 0);
        got += (size_t)n;
    }
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(in[i], (*next)++);
    while (nanosleep(&brief, &rest) < 0) {
        /* Linux adds the slack of its timers, 50 us, to what is left. */
        CHECK(errno == EINTR && rest.tv_sec == 0 && rest.tv_nsec <= brief.tv_nsec + 50000);
        brief = rest.tv_nsec < brief.tv_nsec ? rest : brief;
    }
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 100000);
    struct pollfd p = {.fd = office->pipe[0], .events = POLLIN};
    int ready = poll(&p, 1, 0);
    CHECK(ready == 0 || (ready < 0 && errno == EINTR));
}

/* Sums in floating point and integer registers over a time in which handlers run. */
static void interrupted_sums(void)
{
    double a = 1, b = 0.5, c = 0.25, d = 0.125;
    uint64_t x = 1, y = 3;
    for (unsigned i = 0; i < 20000; i++) {
        a += 1, b += 0.5, c += 0.25, d += 0.125;
        x = x * 3 + 1, y += x;
        __asm__ volatile("" : "+r"(x), "+r"(y)); /* in registers all the time */
    }
    uint64_t want_x = 1, want_y = 3;
    for (unsigned i = 0; i < 20000; i++)
        want_x = want_x * 3 + 1, want_y += want_x;
    CHECK(a == 20001 && b == 10000.5 && c == 5000.25 && d == 2500.125);
    CHECK(x == want_x && y == want_y);
}

static void handled_target(struct worker *w)
{
    unsigned char next = 0;
    stack_t alternate = {.ss_sp = stack_new(STACK_SIZE), .ss_size = STACK_SIZE};
    self = w->index;
    CHECK_EQ(sigaltstack(&alternate, NULL), 0);
    unblock(SIG_HANDLED);
    unblock(SIG_HANDLED + 1);
    unblock(SIGUSR1);
    __atomic_store_n(&office->tid[self], w->tid, __ATOMIC_RELEASE);
    while (!all_came(self)) {
        doing(w, "calls");
        if (w->index == 0) {
            interrupted_calls(w, &next);
        } else {
            doing(w, "sums");
            interrupted_sums();
        }
        step(w);
    }
    alternate.ss_flags = SS_DISABLE;
    CHECK_EQ(sigaltstack(&alternate, NULL), 0);
    stack_free(alternate.ss_sp, STACK_SIZE);
}

static void waiting_target(struct worker *w)
{
    sigset_t set;
    self = w->index;
    sigemptyset(&set);
    sigaddset(&set, SIG_WAITED);
    sigaddset(&set, SIG_WAITED + 1);
    __atomic_store_n(&office->tid[self], w->tid, __ATOMIC_RELEASE);
    while (!all_came(self)) {
        struct timespec limit = {0, 20000000};
        siginfo_t info;
        doing(w, "sigtimedwait");
        int got = sigtimedwait(&set, &info, &limit);
        if (got < 0)
            CHECK(errno == EAGAIN);
        else
            take((unsigned)(got - SIG_WAITED), info.si_code, info.si_pid,
                 (uintptr_t)info.si_value.sival_ptr);
        step(w);
    }
}

static void reading_target(struct worker *w)
{
    struct signalfd_siginfo info[4];
    sigset_t set;
    self = w->index;
    sigemptyset(&set);
    sigaddset(&set, SIG_FD);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    CHECK(fd >= 0);
    __atomic_store_n(&office->tid[self], w->tid, __ATOMIC_RELEASE);
    while (!all_came(self)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        doing(w, "poll of a signalfd");
        CHECK(poll(&p, 1, 20) >= 0);
        ssize_t n = read(fd, info, sizeof(info));
        CHECK(n < 0 ? errno == EAGAIN : n > 0 && n % (ssize_t)sizeof(info[0]) == 0);
        for (ssize_t i = 0; i < n / (ssize_t)sizeof(info[0]); i++)
            take(0, info[i].ssi_code, (pid_t)info[i].ssi_pid, (uintptr_t)info[i].ssi_ptr);
        step(w);
    }
    CHECK_EQ(close(fd), 0);
}

static void sharer(struct worker *w)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIG_SHARED);
    for (;;) {
        struct timespec limit = {0, 20000000};
        siginfo_t info;
        bool done = __atomic_load_n(&office->senders, __ATOMIC_ACQUIRE) == 0;
        for (unsigned i = 0; done && i < SENDERS; i++)
            done = office->shared[i].sent == get(&office->shared[i].got);
        if (done)
            return;
        doing(w, "sigtimedwait of the process");
        step(w);
        if (sigtimedwait(&set, &info, &limit) < 0) {
            CHECK(errno == EAGAIN || errno == EINTR); /* the other one was faster */
            continue;
        }
        uintptr_t value = (uintptr_t)info.si_value.sival_ptr;
        unsigned from = (unsigned)(value >> 24);
        CHECK(from < SENDERS && info.si_code == SI_QUEUE);
        /* None comes twice; the sum of `got` says that none is missing. */
        uint32_t mark = (uint32_t)(value & 0xffffff) + 1;
        CHECK(__atomic_exchange_n(&office->taken[from][value % TAKEN], mark, __ATOMIC_RELAXED) !=
              mark);
        __atomic_fetch_add(&office->shared[from].got, 1, __ATOMIC_RELEASE);
    }
}

static void office_close(void)
{
    unsigned long all = 0;
    for (unsigned i = 0; i < SENDERS; i++) {
        for (unsigned t = 0; t < TARGETS; t++)
            for (unsigned n = 0; n < NUMBERS; n++) {
                CHECK_EQ(office->to[t][i][n].sent, office->to[t][i][n].got);
                all += office->to[t][i][n].got;
            }
        CHECK_EQ(office->shared[i].sent, office->shared[i].got);
        all += office->shared[i].got;
    }
    /* One that is sent as its thread ends may be lost with it. */
    CHECK(office->coalesced <= office->kicked && (office->coalesced > 0 || office->kicked < 8));
    storm_count("queued signals", all);
    CHECK(close(office->pipe[0]) == 0 && close(office->pipe[1]) == 0);
    CHECK(munmap(office, sizeof(*office)) == 0);
    office = NULL;
}

void storm_signals(uint64_t seed)
{
    static void (*const targets[TARGETS])(struct worker *) = {handled_target, handled_target,
                                                              waiting_target, reading_target};
    struct worker senders[SENDERS], receivers[TARGETS], sharers[SHARERS];
    struct sigaction sa = {.sa_sigaction = on_value,
                           .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    struct sigaction usr1 = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
    office =
        mmap(NULL, sizeof(*office), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(office != MAP_FAILED && pipe(office->pipe) == 0);
    CHECK(sigaction(SIG_HANDLED, &sa, NULL) == 0 && sigaction(SIG_HANDLED + 1, &sa, NULL) == 0);
    CHECK(sigaction(SIGUSR1, &usr1, NULL) == 0);
    office->senders = SENDERS;
    for (unsigned i = 0; i < TARGETS; i++)
        storm_start(&receivers[i], "receiver", i, seed, targets[i], NULL);
    for (unsigned i = 0; i < SHARERS; i++)
        storm_start(&sharers[i], "sharer", i, seed, sharer, NULL);
    for (unsigned i = 0; i < SENDERS; i++)
        storm_start(&senders[i], "sender", i, seed, sender, NULL);
    for (unsigned i = 0; i < SENDERS; i++)
        storm_join(&senders[i]);
    for (unsigned i = 0; i < TARGETS; i++)
        storm_join(&receivers[i]);
    for (unsigned i = 0; i < SHARERS; i++)
        storm_join(&sharers[i]);
    office_close();
}
