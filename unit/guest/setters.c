/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * setters.c - resource limits, scheduling parameters and peers of sockets that threads set while
 * others ask for them or make calls that they govern: for the sanitizers. The last one of several
 * threads that set the same limit is the one that is enforced.
 */
#include "guest.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define ROUNDS 300
#define LOW 40
#define SPREAD 8

static int connecting = -1;
static char name[16]; /* of this run's own: on Linux another one may be at work at the same time */

static void set(int resource, rlim_t cur)
{
    struct rlimit limit;

    REQUIRE(getrlimit(resource, &limit) == 0);
    limit.rlim_cur = cur == RLIM_INFINITY ? limit.rlim_max : cur;
    REQUIRE(setrlimit(resource, &limit) == 0);
}

static void *setter(void *arg)
{
    const struct sched_param none = {0};
    uintptr_t id = (uintptr_t)arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        set(RLIMIT_NOFILE, LOW + (i + id) % SPREAD);
        set(RLIMIT_STACK, (8ul + i % 2) << 20);
        set(RLIMIT_AS, i % 2 ? RLIM_INFINITY : 64ul << 30);
        set(RLIMIT_DATA, i % 2 ? RLIM_INFINITY : 32ul << 30);
        set(RLIMIT_SIGPENDING, 100 + i % 2);
        REQUIRE(syscall(SYS_sched_setscheduler, getpid(), i % 2 ? SCHED_BATCH : SCHED_OTHER,
                        &none) == 0);
        REQUIRE(setpriority(PRIO_PROCESS, getpid(), 0) == 0);
    }
    return NULL;
}

/* Sockets are connected while others ask for their peers' names. */
static void *connector(void *unused)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    socklen_t len = (socklen_t)(sizeof(sa_family_t) + 1 + strlen(name));
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    memcpy(to.sun_path + 1, name, strlen(name));
    REQUIRE(bind(listener, (struct sockaddr *)&to, len) == 0 && listen(listener, 5) == 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0), other;

        __atomic_store_n(&connecting, fd, __ATOMIC_SEQ_CST);
        REQUIRE(fd >= 0 && connect(fd, (struct sockaddr *)&to, len) == 0);
        other = accept(listener, NULL, NULL);
        REQUIRE(other >= 0 && close(other) == 0 && close(fd) == 0);
    }
    close(listener);
    return unused;
}

static void ask_peer(void)
{
    struct sockaddr_un at;
    socklen_t len = sizeof(at);

    if (getpeername(__atomic_load_n(&connecting, __ATOMIC_SEQ_CST), (struct sockaddr *)&at, &len))
        REQUIRE(errno == ENOTCONN || errno == EBADF || errno == ENOTSOCK);
    else
        REQUIRE(len == 3 + strlen(name) && memcmp(at.sun_path + 1, name, strlen(name)) == 0);
}

static void *caller(void *unused)
{
    struct pollfd fd = {.fd = -1};
    const long tid = syscall(SYS_gettid);
    siginfo_t info = {.si_code = SI_QUEUE};
    struct sched_param param;
    struct timespec interval;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        int copy = fcntl(0, F_DUPFD, 10);
        void *at = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        REQUIRE(copy >= 10 && close(copy) == 0);
        REQUIRE(at != MAP_FAILED && munmap(at, 65536) == 0);
        REQUIRE(poll(&fd, 1, 0) == 0);
        REQUIRE(syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGRTMIN, &info) == 0);
        REQUIRE(sigwaitinfo(&set, NULL) == SIGRTMIN);
        ask_peer();
        int policy = (int)syscall(SYS_sched_getscheduler, getpid());
        REQUIRE(policy == SCHED_OTHER || policy == SCHED_BATCH);
        REQUIRE(syscall(SYS_sched_getparam, getpid(), &param) == 0 && param.sched_priority == 0);
        REQUIRE(sched_rr_get_interval(getpid(), &interval) == 0);
        REQUIRE(getpriority(PRIO_PROCESS, getpid()) == 0);
    }
    return unused;
}

int main(void)
{
    pthread_t threads[5];
    struct rlimit limit;
    int last = -1, fd;

    snprintf(name, sizeof(name), "set%d", (int)getpid());
    (void)setpriority(PRIO_PROCESS, 0, 0); /* whoever started us may be nice */
    for (uintptr_t i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, i < 2 ? setter : caller, (void *)(i * 3)) == 0);
    REQUIRE(pthread_create(&threads[4], NULL, connector, NULL) == 0);
    for (unsigned i = 0; i < 5; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    while ((fd = dup(0)) >= 0)
        last = fd;
    REQUIRE(errno == EMFILE && last == (int)limit.rlim_cur - 1);
    return guest_pass("setters");
}
