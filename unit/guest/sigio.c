/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sigio.c - O_ASYNC, F_SETOWN, F_SETOWN_EX, F_SETSIG, FIOASYNC (fcntl(2), "Managing signals") on
 * sockets of several families, pipes and inotify: who is signalled, about what, and how.
 */
#include "guest.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define RT (SIGRTMIN + 3)

static sigset_t set_of(int signo)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signo);
    return set;
}

/* The next such signal, or 0 if none comes for a while. */
static int next(int signo, siginfo_t *info, int wait_ms)
{
    sigset_t set = set_of(signo);
    struct timespec t = {wait_ms / 1000, wait_ms % 1000 * 1000000L};
    memset(info, 0, sizeof *info);
    int got = sigtimedwait(&set, info, &t);
    return got < 0 ? 0 : got;
}

#define EXPECT(fd, code, band) expect(__LINE__, fd, code, band)
static void expect(int line, int fd, int code, long band)
{
    siginfo_t info;
    int got = next(RT, &info, 20000);
    if (got != RT || info.si_code != code || info.si_fd != fd || info.si_band != band) {
        printf("FAIL line %d: signal %d code %d fd %d band %#lx, wanted code %d fd %d band %#lx\n",
               line, got, info.si_code, info.si_fd, info.si_band, code, fd, band);
        fflush(stdout);
        _exit(1);
    }
}

static void nothing(int signo)
{
    siginfo_t info;
    REQUIRE(next(signo, &info, 30) == 0);
}

/* Linux says some things twice. */
static void drain(void)
{
    siginfo_t info;
    while (next(RT, &info, 30))
        ;
}

static void arm(int fd, int signo)
{
    REQUIRE(fcntl(fd, F_SETOWN, getpid()) == 0);
    REQUIRE(fcntl(fd, F_SETSIG, signo) == 0);
    REQUIRE(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC) == 0);
}

static const long IN = POLL_IN, OUT = POLL_OUT;
#define BAND_IN 0x41
#define BAND_OUT 0x304
#define BAND_ERR 0x8
#define BAND_HUP 0x18

static void owners(void)
{
    int p[2], pid = getpid(), on = 1;
    struct f_owner_ex ex = {-1, -1};
    uid_t ids[2] = {77, 77};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
    REQUIRE(syscall(SYS_fcntl, p[0], F_GETOWN) == 0 && fcntl(p[0], F_GETSIG) == 0);
    REQUIRE(fcntl(p[0], F_GETOWN_EX, &ex) == 0 && ex.pid == 0);
    REQUIRE(fcntl(p[0], F_SETOWN, pid) == 0 && fcntl(p[0], F_GETOWN) == pid);
    REQUIRE(fcntl(p[0], F_GETOWN_EX, &ex) == 0 && ex.type == F_OWNER_PID && ex.pid == pid);
    REQUIRE(fcntl(p[0], 17 /* F_GETOWNER_UIDS */, ids) == 0 && ids[0] == getuid() &&
            ids[1] == geteuid());
    REQUIRE(fcntl(p[0], F_SETOWN, -getpgrp()) == 0);
    REQUIRE(syscall(SYS_fcntl, p[0], F_GETOWN) == -getpgrp() || errno);
    REQUIRE(fcntl(p[0], F_GETOWN_EX, &ex) == 0 && ex.type == F_OWNER_PGRP && ex.pid == getpgrp());
    ex = (struct f_owner_ex){F_OWNER_TID, (int)syscall(SYS_gettid)};
    REQUIRE(fcntl(p[0], F_SETOWN_EX, &ex) == 0);
    ex = (struct f_owner_ex){-1, -1};
    REQUIRE(fcntl(p[0], F_GETOWN_EX, &ex) == 0 && ex.type == F_OWNER_TID && ex.pid == pid);
    ex.type = 3;
    REQUIRE_ERRNO(fcntl(p[0], F_SETOWN_EX, &ex), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_fcntl, p[0], F_SETOWN_EX, 8), EFAULT);
    REQUIRE_ERRNO(fcntl(p[0], F_SETOWN, 0x80000000), EINVAL);
    REQUIRE_ERRNO(fcntl(p[0], F_SETOWN, 0x3ffffff0), ESRCH);
    REQUIRE_ERRNO(fcntl(p[0], F_SETSIG, 65), EINVAL);
    REQUIRE(fcntl(p[0], F_SETSIG, 64) == 0 && fcntl(p[0], F_GETSIG) == 64);
    REQUIRE(ioctl(p[0], 0x8903 /* FIOGETOWN */, &on) == 0 && on == pid);
    on = 0;
    REQUIRE(ioctl(p[0], 0x8902 /* SIOCSPGRP */, &on) == 0);
    REQUIRE(fcntl(p[0], F_GETOWN) == 0);
    REQUIRE(fcntl(p[0], F_SETOWN, 0) == 0);
    close(p[0]), close(p[1]);
    REQUIRE(pipe(p) == 0);
    REQUIRE_ERRNO(ioctl(p[0], 0x8903, &on), ENOTTY);
    on = 1;
    REQUIRE(ioctl(p[0], FIOASYNC, &on) == 0 && fcntl(p[0], F_GETFL) & O_ASYNC);
    on = 0;
    REQUIRE(ioctl(p[0], FIOASYNC, &on) == 0 && !(fcntl(p[0], F_GETFL) & O_ASYNC));
    close(p[0]), close(p[1]);
    int e = eventfd(0, 0);
    REQUIRE(ioctl(e, FIOASYNC, &on) == 0);
    on = 1;
    REQUIRE_ERRNO(ioctl(e, FIOASYNC, &on), ENOTTY);
    REQUIRE(fcntl(e, F_SETFL, O_ASYNC) == 0);
    close(e);
}

/* Without F_SETSIG it is SIGIO, as from the kernel, and once. */
static void plain(void)
{
    int p[2];
    siginfo_t info;
    char c[8];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, p) == 0);
    arm(p[0], 0);
    REQUIRE(write(p[1], "x", 1) == 1);
    REQUIRE(next(SIGIO, &info, 20000) == SIGIO && info.si_code == SI_KERNEL);
    nothing(SIGIO);
    REQUIRE(fcntl(p[0], F_SETFL, 0) == 0);
    REQUIRE(write(p[1], "x", 1) == 1);
    nothing(SIGIO);
    REQUIRE(read(p[0], c, 8) == 1 && read(p[0], c, 8) == 1);
    arm(p[0], 0); /* what is there already is not told */
    REQUIRE(fcntl(p[0], F_SETOWN, 0) == 0);
    REQUIRE(write(p[1], "x", 1) == 1);
    nothing(SIGIO);
    close(p[0]), close(p[1]);
}

static void unix_sockets(void)
{
    int p[2];
    char c[8];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
    arm(p[0], RT);
    REQUIRE(write(p[1], "x", 1) == 1);
    EXPECT(p[0], IN, BAND_IN);
    REQUIRE(read(p[0], c, 8) == 1);
    nothing(RT);
    REQUIRE(write(p[1], "x", 1) == 1);
    EXPECT(p[0], IN, BAND_IN);
    REQUIRE(shutdown(p[1], SHUT_WR) == 0);
    EXPECT(p[0], IN, BAND_IN);
    close(p[1]);
    EXPECT(p[0], POLL_HUP, BAND_HUP);
    close(p[0]);
}

static void pipes(void)
{
    int p[2];
    static char page[4096];
    REQUIRE(pipe2(p, O_NONBLOCK) == 0);
    arm(p[0], RT);
    REQUIRE(write(p[1], "x", 1) == 1);
    EXPECT(p[0], IN, BAND_IN);
    while (write(p[1], page, sizeof page) > 0)
        ;
    drain();
    arm(p[1], RT);
    REQUIRE(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
    while (read(p[0], page, sizeof page) > 0)
        ;
    EXPECT(p[1], OUT, BAND_OUT);
    drain();
    REQUIRE(fcntl(p[0], F_SETFL, O_NONBLOCK | O_ASYNC) == 0);
    REQUIRE(fcntl(p[1], F_SETFL, O_NONBLOCK) == 0);
    close(p[1]);
    EXPECT(p[0], IN, BAND_IN);
    close(p[0]);
}

static struct sockaddr_in here;
static int bound(int type, int more)
{
    socklen_t len = sizeof here;
    int fd = socket(AF_INET, type | more, 0);
    here = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    REQUIRE(bind(fd, (struct sockaddr *)&here, len) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&here, &len) == 0);
    return fd;
}
#define HERE (struct sockaddr *)&here, sizeof here

static void udp(void)
{
    int fd = bound(SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
    arm(fd, RT);
    REQUIRE(sendto(other, "x", 1, 0, HERE) == 1);
    EXPECT(fd, IN, BAND_IN);
    nothing(RT);
    REQUIRE(connect(other, HERE) == 0);
    close(fd);
    arm(other, RT);
    REQUIRE(send(other, "x", 1, 0) == 1); /* nobody is there: ICMP */
    EXPECT(other, POLL_ERR, BAND_ERR);
    close(other);
}

static void tcp(void)
{
    int l = bound(SOCK_STREAM, 0);
    char c[8];
    REQUIRE(listen(l, 4) == 0);
    arm(l, RT);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE_ERRNO(connect(fd, HERE), EINPROGRESS);
    EXPECT(l, IN, BAND_IN);
    int to = accept(l, NULL, NULL);
    REQUIRE(to >= 0 && !(fcntl(to, F_GETFL) & O_ASYNC));
    close(l);
    arm(to, RT);
    nothing(RT);
    REQUIRE(send(fd, "x", 1, 0) == 1);
    EXPECT(to, IN, BAND_IN);
    REQUIRE(read(to, c, 8) == 1);
    REQUIRE(shutdown(fd, SHUT_WR) == 0);
    EXPECT(to, IN, BAND_IN);
    siginfo_t info;
    while (next(RT, &info, 30)) /* Linux says it twice */
        REQUIRE(info.si_fd == to && info.si_code == POLL_IN);
    arm(fd, RT);
    close(to);
    EXPECT(fd, POLL_HUP, BAND_HUP);
    drain();
    close(fd);
}

static void watches(void)
{
    char name[] = "/tmp/sigioXXXXXX";
    int file = mkstemp(name), fd = inotify_init();
    REQUIRE(file >= 0 && inotify_add_watch(fd, name, IN_MODIFY) >= 0);
    arm(fd, RT);
    REQUIRE(write(file, "x", 1) == 1);
    EXPECT(fd, IN, BAND_IN);
    drain();
    close(fd), close(file), unlink(name);
}

/* F_OWNER_TID: that thread alone. */
static int tid_of_other;
static pthread_barrier_t met;
static void *other_thread(void *arg)
{
    siginfo_t info;
    __atomic_store_n(&tid_of_other, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    pthread_barrier_wait(&met);
    REQUIRE(next(RT, &info, 20000) == RT && info.si_fd == *(int *)arg);
    return NULL;
}
static void to_a_thread(void)
{
    int p[2];
    pthread_t thread;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
    REQUIRE(pthread_barrier_init(&met, NULL, 2) == 0);
    REQUIRE(pthread_create(&thread, NULL, other_thread, &p[0]) == 0);
    pthread_barrier_wait(&met);
    arm(p[0], RT);
    struct f_owner_ex ex = {F_OWNER_TID, __atomic_load_n(&tid_of_other, __ATOMIC_ACQUIRE)};
    REQUIRE(fcntl(p[0], F_SETOWN_EX, &ex) == 0);
    REQUIRE(write(p[1], "x", 1) == 1);
    REQUIRE(pthread_join(thread, NULL) == 0);
    nothing(RT);
    REQUIRE(fcntl(p[0], F_GETOWN_EX, &ex) == 0 && ex.pid == 0);
    REQUIRE(write(p[1], "x", 1) == 1); /* to nobody */
    nothing(RT);
    close(p[0]), close(p[1]);
}

/* Files that come and go while events are on their way. */
static void *closer(void *arg)
{
    for (int i = 0; i < 400; i++) {
        int p[2];
        (void)arg;
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
        arm(p[0], 0);
        arm(p[1], 0);
        REQUIRE(write(p[1], "x", 1) == 1);
        close(p[i & 1]);
        close(p[!(i & 1)]);
    }
    return NULL;
}
static void churn(void)
{
    pthread_t thread[3];
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&thread[i], NULL, closer, NULL) == 0);
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_join(thread[i], NULL) == 0);
    siginfo_t info;
    while (next(SIGIO, &info, 30))
        ;
}

int main(void)
{
    sigset_t set = set_of(SIGIO);
    sigaddset(&set, RT);
    REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    owners();
    plain();
    unix_sockets();
    pipes();
    udp();
    tcp();
    watches();
    to_a_thread();
    churn();
    return guest_pass("sigio");
}
