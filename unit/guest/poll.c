/* SPDX-License-Identifier: BSD-3-Clause */
/* poll - pipes, eventfd, poll, select, epoll (level, edge, one-shot), blocking and waking between
 * threads. */
#include "procfile.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

static int p[2];

static void *late_writer(void *arg)
{
    usleep(20000);
    REQUIRE(write(*(int *)arg, "12345678", 8) == 8);
    return NULL;
}

static void *drain(void *arg)
{
    char buf[5000];
    long total = 0, n;
    while ((n = read(*(int *)arg, buf, sizeof(buf))) > 0)
        total += n;
    return (void *)total;
}

static void test_pipe(void)
{
    char c, big[70000];
    pthread_t t;
    void *total;
    REQUIRE(pipe2(p, O_NONBLOCK) == 0);
    REQUIRE_ERRNO(read(p[0], &c, 1), EAGAIN);
    memset(big, 1, sizeof(big));
    REQUIRE(write(p[1], big, sizeof(big)) == 65536);
    REQUIRE_ERRNO(write(p[1], big, 1), EAGAIN);
    REQUIRE(fcntl(p[0], F_SETFL, 0) == 0 && fcntl(p[1], F_SETFL, 0) == 0);
    REQUIRE(pthread_create(&t, NULL, drain, &p[0]) == 0);
    for (int i = 0; i < 20; i++)
        REQUIRE(write(p[1], big, sizeof(big)) == (long)sizeof(big));
    close(p[1]);
    REQUIRE(pthread_join(t, &total) == 0 && (long)total == 65536 + 20 * (long)sizeof(big));
    close(p[0]);
    REQUIRE(pipe(p) == 0 && close(p[0]) == 0);
    signal(SIGPIPE, SIG_IGN);
    REQUIRE_ERRNO(write(p[1], "x", 1), EPIPE);
    struct pollfd err = {p[1], POLLOUT, 0};
    REQUIRE(poll(&err, 1, 0) == 1 && (err.revents & POLLERR));
    close(p[1]);
}

static void test_poll(void)
{
    pthread_t t;
    REQUIRE(pipe(p) == 0);
    struct pollfd fds[3] = {{p[0], POLLIN, 0}, {-1, POLLIN, 0}, {999, POLLIN, 0}};
    REQUIRE(poll(fds, 1, 10) == 0);
    REQUIRE(poll(fds, 3, 0) == 1 && fds[2].revents == POLLNVAL && fds[1].revents == 0);
    REQUIRE(pthread_create(&t, NULL, late_writer, &p[1]) == 0);
    REQUIRE(poll(fds, 1, -1) == 1 && fds[0].revents == POLLIN);
    pthread_join(t, NULL);
    fd_set r;
    struct timeval tv = {0, 10000};
    FD_ZERO(&r);
    FD_SET(p[0], &r);
    REQUIRE(select(p[0] + 1, &r, NULL, NULL, &tv) == 1 && FD_ISSET(p[0], &r));
    char buf[16];
    REQUIRE(read(p[0], buf, 16) == 8);
    FD_SET(p[0], &r);
    REQUIRE(select(p[0] + 1, &r, NULL, NULL, &tv) == 0 && !FD_ISSET(p[0], &r));
    close(p[1]);
    REQUIRE(poll(fds, 1, -1) == 1 && (fds[0].revents & POLLHUP));
    close(p[0]);
}

static void test_eventfd(void)
{
    uint64_t v = 5;
    int fd = eventfd(3, EFD_NONBLOCK);
    REQUIRE(fd >= 0 && write(fd, &v, 8) == 8 && read(fd, &v, 8) == 8 && v == 8);
    REQUIRE_ERRNO(read(fd, &v, 8), EAGAIN);
    REQUIRE_ERRNO(read(fd, &v, 4), EINVAL);
    v = UINT64_MAX;
    REQUIRE_ERRNO(write(fd, &v, 8), EINVAL);
    close(fd);
    fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    REQUIRE(read(fd, &v, 8) == 8 && v == 1 && read(fd, &v, 8) == 8 && v == 1);
    REQUIRE_ERRNO(read(fd, &v, 8), EAGAIN);
    close(fd);
}

static void test_epoll(void)
{
    int ep = epoll_create1(0), ev = eventfd(0, EFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 77}, out[4];
    uint64_t one = 1;
    REQUIRE(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) == 0);
    REQUIRE_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e), EEXIST);
    REQUIRE_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e), EINVAL);
    int other = eventfd(0, 0);
    REQUIRE_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, other, &e), ENOENT);
    REQUIRE_ERRNO(epoll_wait(ep, out, 0, 0), EINVAL);
    REQUIRE(epoll_wait(ep, out, 4, 0) == 0);
    REQUIRE(write(ev, &one, 8) == 8);
    REQUIRE(epoll_wait(ep, out, 4, -1) == 1 && out[0].data.u64 == 77 && out[0].events == EPOLLIN);
    REQUIRE(epoll_wait(ep, out, 4, 0) == 1); /* level: still ready */
    e.events = EPOLLIN | EPOLLET;
    REQUIRE(epoll_ctl(ep, EPOLL_CTL_MOD, ev, &e) == 0);
    REQUIRE(epoll_wait(ep, out, 4, 0) == 1 && epoll_wait(ep, out, 4, 0) == 0); /* edge: once */
    REQUIRE(write(ev, &one, 8) == 8 && epoll_wait(ep, out, 4, 0) == 1);
    e.events = EPOLLIN | EPOLLONESHOT;
    REQUIRE(epoll_ctl(ep, EPOLL_CTL_MOD, ev, &e) == 0);
    REQUIRE(epoll_wait(ep, out, 4, 0) == 1 && epoll_wait(ep, out, 4, 0) == 0);
    REQUIRE(write(ev, &one, 8) == 8 && epoll_wait(ep, out, 4, 0) == 0);
    int outer = epoll_create1(0);
    e.events = EPOLLIN;
    REQUIRE(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &e) == 0 && epoll_wait(outer, out, 4, 0) == 0);
    REQUIRE(epoll_ctl(ep, EPOLL_CTL_MOD, ev, &e) == 0 && epoll_wait(outer, out, 4, 20000) == 1);
    REQUIRE(epoll_ctl(ep, EPOLL_CTL_DEL, ev, NULL) == 0 && epoll_wait(ep, out, 4, 0) == 0);
    REQUIRE_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, ev, NULL), ENOENT);
    int file = open("/proc/self/exe", O_RDONLY);
    REQUIRE_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, file, &e), EPERM);
    pthread_t t;
    REQUIRE(pipe(p) == 0 && epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e) == 0);
    REQUIRE(pthread_create(&t, NULL, late_writer, &p[1]) == 0);
    REQUIRE(epoll_wait(ep, out, 4, 20000) == 1 && pthread_join(t, NULL) == 0);
    close(p[0]); /* a closed file leaves the set */
    REQUIRE(epoll_wait(ep, out, 4, 0) == 0);
}

/* Bytes that the target of a splice refuses stay in the pipe. */
static void test_splice(void)
{
    int q[2];
    char buf[128];
    REQUIRE(pipe(p) == 0 && pipe(q) == 0 && write(p[1], "0123456789", 10) == 10);
    int full = memfd_create("sealed", MFD_ALLOW_SEALING);
    REQUIRE(full >= 0 && fcntl(full, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    REQUIRE_ERRNO(splice(p[0], NULL, full, NULL, 10, 0), EPERM);
    REQUIRE(tee(p[0], q[1], 4, 0) == 4 && read(q[0], buf, sizeof buf) == 4);
    REQUIRE(splice(p[0], NULL, q[1], NULL, 3, 0) == 3 && read(q[0], buf, sizeof buf) == 3);
    REQUIRE(memcmp(buf, "012", 3) == 0 && read(p[0], buf, sizeof buf) == 7);
    REQUIRE(memcmp(buf, "3456789", 7) == 0);
    REQUIRE_ERRNO(splice(p[0], NULL, q[1], NULL, 3, SPLICE_F_NONBLOCK), EAGAIN);
    REQUIRE_ERRNO(tee(p[0], q[1], 3, SPLICE_F_NONBLOCK), EAGAIN);
    REQUIRE_ERRNO(tee(p[0], p[1], 3, 0), EINVAL);
    struct iovec v[2] = {{"ab", 2}, {"cde", 3}}, in = {buf, sizeof buf};
    REQUIRE(vmsplice(p[1], v, 2, 0) == 5 && vmsplice(p[0], &in, 1, 0) == 5);
    REQUIRE(memcmp(buf, "abcde", 5) == 0);
    REQUIRE_ERRNO(vmsplice(full, v, 2, 0), EBADF);
    int path = open("/", O_PATH);
    struct pollfd fd = {path, POLLIN, 0};
    REQUIRE(poll(&fd, 1, 0) == 1 && fd.revents == POLLNVAL);
    close(full);
    close(path);
    for (int i = 0; i < 2; i++)
        REQUIRE(close(p[i]) == 0 && close(q[i]) == 0);
}

/* A socket cannot take back what it gave: splice asks it for no more than the pipe has room for. */
static void test_splice_socket(void)
{
    static char data[131072];
    int s[2], q[2];
    loff_t offset = 0;
    signal(SIGPIPE, SIG_IGN);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && pipe(q) == 0);
    REQUIRE(write(q[1], data, 40000) == 40000 && write(s[0], data, 60000) == 60000);
    REQUIRE_ERRNO(splice(s[1], &offset, q[1], NULL, 10, 0), EINVAL);
    REQUIRE_ERRNO(splice(q[0], NULL, s[1], &offset, 10, 0), EINVAL);
    long n = 0, all = 0;
    while ((n = splice(s[1], NULL, q[1], NULL, sizeof data, SPLICE_F_NONBLOCK)) > 0)
        all += n;
    REQUIRE(n == -1 && errno == EAGAIN && all > 0);
    REQUIRE(read(q[0], data, sizeof data) == 40000 + all);
    REQUIRE(splice(s[1], NULL, q[1], NULL, 1, SPLICE_F_NONBLOCK) == 1);
    close(q[0]);
    REQUIRE_ERRNO(splice(s[1], NULL, q[1], NULL, 1, 0), EPIPE);
    close(s[0]), close(s[1]), close(q[1]);
}

static int exclusive_event, exclusive_end, exclusive_woken; /* woken: atomic */

static void *exclusive_waiter(void *tid)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u32 = 1},
                       end = {EPOLLIN, {0}};
    int ep = epoll_create1(0);
    REQUIRE(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, exclusive_event, &e) == 0);
    REQUIRE(epoll_ctl(ep, EPOLL_CTL_ADD, exclusive_end, &end) == 0);
    __atomic_store_n((pid_t *)tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    REQUIRE(epoll_wait(ep, &e, 1, -1) == 1);
    __atomic_fetch_add(&exclusive_woken, (int)e.data.u32, __ATOMIC_SEQ_CST);
    close(ep);
    return NULL;
}

/* Four instances wait for one file: the event goes to one of them. Returns what `cause` has. */
static int test_exclusive(int event, int (*cause)(int event))
{
    pthread_t t[4];
    pid_t tid[4] = {0};
    uint64_t one = 1;
    exclusive_event = event, exclusive_end = eventfd(0, 0), exclusive_woken = 0;
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&t[i], NULL, exclusive_waiter, &tid[i]) == 0);
    for (int i = 0; i < 4; i++)
        await_sleep(&tid[i]);
    int made = cause(event);
    while (!__atomic_load_n(&exclusive_woken, __ATOMIC_SEQ_CST))
        usleep(1000);
    usleep(100000); /* for those that should not */
    REQUIRE(write(exclusive_end, &one, 8) == 8);
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_join(t[i], NULL) == 0);
    /* "One or more" (epoll_ctl(2)): all of them would be none the wiser. */
    REQUIRE(exclusive_woken >= 1 && exclusive_woken < 4);
    close(event), close(exclusive_end);
    return made;
}

static int raise_count(int event)
{
    uint64_t one = 1;
    REQUIRE(write(event, &one, 8) == 8);
    return -1;
}

static int raise_connection(int listener)
{
    struct sockaddr_storage to;
    socklen_t len = sizeof to;
    REQUIRE(getsockname(listener, (struct sockaddr *)&to, &len) == 0);
    int fd = socket(to.ss_family, SOCK_STREAM, 0);
    REQUIRE(fd >= 0 && connect(fd, (struct sockaddr *)&to, len) == 0);
    return fd;
}

static void test_exclusives(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX}; /* a name of the kernel's choice */
    int tcp = socket(AF_INET, SOCK_STREAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(bind(tcp, (struct sockaddr *)&in, sizeof in) == 0 && listen(tcp, 4) == 0);
    REQUIRE(bind(local, (struct sockaddr *)&un, sizeof(sa_family_t)) == 0 && listen(local, 4) == 0);
    test_exclusive(eventfd(0, 0), raise_count);
    close(test_exclusive(tcp, raise_connection));
    close(test_exclusive(local, raise_connection));
}

int main(void)
{
    test_exclusives();
    test_splice();
    test_splice_socket();
    test_pipe();
    test_poll();
    test_eventfd();
    test_epoll();
    return guest_pass("poll");
}
