/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * debuggee - a program for the debugger's tests (tools/tests/gdb): threads that wait in four ways
 * and one that computes. When all do, it asks for its personality: that is where the debugger
 * stops.
 */
#include "procfile.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_int ready, stop, spins;
static int pipe_ends[2];

static pid_t tids[4];

static void named(const char *name)
{
    prctl(PR_SET_NAME, name);
    tids[atomic_fetch_add(&ready, 1)] = (pid_t)syscall(SYS_gettid);
}

/* How many of the threads sleep in their calls. */
static int asleep(void)
{
    int count = 0;

    for (int i = 0; i < 4; i++)
        count += tids[i] && thread_state(tids[i]) == 'S';
    return count;
}

static void *sleeper(void *arg)
{
    struct timespec long_time = {1000, 0};

    named("sleeper");
    nanosleep(&long_time, NULL);
    return arg;
}

static void *reader(void *arg)
{
    char byte;

    named("reader");
    while (read(pipe_ends[0], &byte, 1) != 1)
        ;
    return arg;
}

static void *locker(void *arg)
{
    named("locker");
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    return arg;
}

/* And one of each thread's own. */
static _Thread_local volatile uint64_t own = 0x77aa;

/* A vector register for core files to tell of. */
static inline void vector_set(uint64_t lo, uint64_t hi)
{
    uint64_t value[2] = {lo, hi};

#ifdef __x86_64__
    __asm__ volatile("movups %0, %%xmm7" : : "m"(value));
#else
    __asm__ volatile("ldr q7, %0" : : "Q"(value));
#endif
}

static void *spinner(void *arg)
{
    named("spinner");
    own = 0x515151;
    vector_set(0x5151515151515151, 0x5252525252525252);
    atomic_store(&spins, 1);
    while (!atomic_load(&stop))
        ;
    return arg;
}

__attribute__((noinline)) static void crash_inner(volatile int *at)
{
    own = 0x112233;
    vector_set(0x1122334455667788, 0x99aabbccddeeff00);
    *at = 7;
}

__attribute__((noinline)) static void crash_outer(long number)
{
    crash_inner((volatile int *)(number + 8));
    atomic_fetch_add(&ready, 1);
}

/* A listener, and a pair with three bytes that nobody has read. */
static void make_sockets(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0debuggee"};
    int pair[2], listener = socket(AF_UNIX, SOCK_STREAM, 0);

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && write(pair[0], "abc", 3) == 3);
    /* On Linux another one may have the name for a moment. */
    for (int tries = 0;
         bind(listener, (struct sockaddr *)&name, offsetof(struct sockaddr_un, sun_path) + 9) != 0;
         tries++) {
        REQUIRE(errno == EADDRINUSE && tries < 6000);
        usleep(10000);
    }
    REQUIRE(listen(listener, 4) == 0);
}

/* With "crash" it is killed by a signal. With another argument it stays where it is, for tests of
 * what else may happen then. */
int main(int argc, char **argv)
{
    pthread_t thread[4];
    struct timespec moment = {0, 50000000};
    int fd = open("/tmp/debuggee.txt", O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    REQUIRE(fd >= 0 && write(fd, "12345", 5) == 5);
    REQUIRE(pipe(pipe_ends) == 0);
    make_sockets();
    pthread_mutex_lock(&mutex);
    REQUIRE(pthread_create(&thread[0], NULL, sleeper, NULL) == 0);
    REQUIRE(pthread_create(&thread[1], NULL, reader, NULL) == 0);
    REQUIRE(pthread_create(&thread[2], NULL, locker, NULL) == 0);
    REQUIRE(pthread_create(&thread[3], NULL, spinner, NULL) == 0);
    while (atomic_load(&ready) < 4 || asleep() < 3 || !atomic_load(&spins))
        nanosleep(&moment, NULL);
    nanosleep(&moment, NULL);
    if (argc > 1 && strcmp(argv[1], "crash") == 0)
        crash_outer(0x1230);
    if (argc > 1)
        prctl(PR_SET_NAME, "crash now"); /* kernel/sched/crash.c */
    while (argc > 1)
        pause();
    REQUIRE(personality(0xffffffff) != -1);
    atomic_store(&stop, 1);
    REQUIRE(write(pipe_ends[1], "x", 1) == 1);
    pthread_mutex_unlock(&mutex);
    for (int i = 1; i < 4; i++)
        REQUIRE(pthread_join(thread[i], NULL) == 0);
    return guest_pass("debuggee");
}
