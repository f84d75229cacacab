/* SPDX-License-Identifier: BSD-3-Clause */
/* eintr - every call that may block, interrupted by a handler: without SA_RESTART all give EINTR;
 * with it some go on, the others give EINTR nevertheless (signal(7)). What has moved some bytes
 * returns them. */
#include "guest.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>

static int fd[4]; /* of the call under test; closed behind it */
static int epoll_fd, word;
static char buf[300000], path[64], other[80];
static const struct timespec hour = {3600, 0};

/* ---- calls and what lets them go on ---- */

static void make_pipe(void)
{
    REQUIRE(pipe(fd) == 0);
}
static void make_full_pipe(void)
{
    make_pipe();
    REQUIRE(fcntl(fd[1], F_SETFL, O_NONBLOCK) == 0);
    while (write(fd[1], buf, 4096) > 0)
        continue;
    REQUIRE(errno == EAGAIN && fcntl(fd[1], F_SETFL, 0) == 0);
}
static void make_two_pipes(void)
{
    REQUIRE(pipe(fd) == 0 && pipe(fd + 2) == 0);
}
static void make_full_and_file(void)
{
    make_full_pipe();
    fd[2] = open("/proc/self/exe", O_RDONLY);
    REQUIRE(fd[2] >= 0);
}
static void fill(void)
{
    REQUIRE(write(fd[1], "x", 1) == 1);
}
static void drain(void)
{
    REQUIRE(read(fd[0], buf, 16384) > 0);
}
static long do_read(void)
{
    return read(fd[0], buf, 100);
}
static long do_readv(void)
{
    struct iovec v = {buf, 100};
    return readv(fd[0], &v, 1);
}
static long do_write(void)
{
    return write(fd[1], buf, 10);
}
static long do_writev(void)
{
    struct iovec v = {buf, 10};
    return writev(fd[1], &v, 1);
}
static long do_write_long(void)
{
    return write(fd[1], buf, sizeof(buf)) > 0 ? 1 : -1;
}
static long do_splice(void)
{
    return splice(fd[0], NULL, fd[3], NULL, 10, 0);
}
static long do_tee(void)
{
    return tee(fd[0], fd[3], 10, 0);
}
static long do_vmsplice(void)
{
    struct iovec v = {buf, 10};
    return vmsplice(fd[1], &v, 1, 0);
}
static long do_sendfile(void)
{
    return sendfile(fd[1], fd[2], NULL, 10);
}

static void make_eventfd(void)
{
    fd[0] = fd[1] = eventfd(0, 0);
    REQUIRE(fd[0] >= 0);
}
static void make_full_eventfd(void)
{
    uint64_t most = UINT64_MAX - 1;
    make_eventfd();
    REQUIRE(write(fd[1], &most, 8) == 8);
}
static void add_event(void)
{
    uint64_t one = 1;
    REQUIRE(write(fd[1], &one, 8) == 8);
}
static void take_event(void)
{
    uint64_t value;
    REQUIRE(read(fd[0], &value, 8) == 8);
}
static long write_event(void)
{
    uint64_t one = 1;
    return write(fd[1], &one, 8);
}

static void make_timerfd(void)
{
    fd[0] = timerfd_create(CLOCK_MONOTONIC, 0);
    REQUIRE(fd[0] >= 0);
}
static void start_timer(void)
{
    struct itimerspec now = {{0, 0}, {0, 1}};
    REQUIRE(timerfd_settime(fd[0], 0, &now, NULL) == 0);
}
static void make_signalfd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    fd[0] = signalfd(-1, &set, 0);
    REQUIRE(fd[0] >= 0);
}
static void send_signal(void)
{
    REQUIRE(kill(getpid(), SIGUSR1) == 0);
}
static long read_signal(void)
{
    return read(fd[0], buf, 128);
}
static void make_inotify(void)
{
    fd[0] = inotify_init();
    REQUIRE(fd[0] >= 0 && mkdir(path, 0700) == 0 && inotify_add_watch(fd[0], path, IN_CREATE) >= 0);
}
static void make_file(void)
{
    int file = open(other, O_CREAT | O_WRONLY, 0600);
    REQUIRE(file >= 0 && close(file) == 0);
}
static long read_inotify(void)
{
    return read(fd[0], buf, 4096);
}
static void make_fifo(void)
{
    REQUIRE(mkfifo(path, 0600) == 0);
}
static void open_fifo(void)
{
    fd[1] = open(path, O_RDWR | O_NONBLOCK);
    REQUIRE(fd[1] >= 0);
}
static long do_open(void)
{
    fd[0] = open(path, O_RDONLY);
    return fd[0];
}
static void make_locked(void)
{
    fd[0] = open(path, O_CREAT | O_RDWR, 0600);
    fd[1] = open(path, O_RDWR);
    REQUIRE(fd[0] >= 0 && fd[1] >= 0 && flock(fd[0], LOCK_EX) == 0);
}
static void unlock(void)
{
    REQUIRE(flock(fd[0], LOCK_UN) == 0);
}
static long do_flock(void)
{
    return flock(fd[1], LOCK_EX);
}
static void make_ofd_locked(void)
{
    struct flock whole = {.l_type = F_WRLCK};
    fd[0] = open(path, O_CREAT | O_RDWR, 0600);
    fd[1] = open(path, O_RDWR);
    REQUIRE(fd[0] >= 0 && fd[1] >= 0 && fcntl(fd[0], F_OFD_SETLK, &whole) == 0);
}
static void ofd_unlock(void)
{
    struct flock whole = {.l_type = F_UNLCK};
    REQUIRE(fcntl(fd[0], F_OFD_SETLK, &whole) == 0);
}
static long do_ofd_lock(void)
{
    struct flock whole = {.l_type = F_WRLCK};
    return fcntl(fd[1], F_OFD_SETLKW, &whole);
}

static void clear_word(void)
{
    word = 0;
}
static void change_word(void)
{
    word = 1;
}
/* That it looks at the word again shows that it was called again. */
static long do_futex(void)
{
    long err = syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
    return err == -1 && errno == EAGAIN ? 0 : err;
}
static long do_futex_timeout(void)
{
    return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &hour, NULL, 0);
}
static long do_futex_bitset(void)
{
    struct timespec ts;
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    ts.tv_sec += 3600;
    return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &ts, NULL, 1);
}

static long do_poll(void)
{
    struct pollfd p = {fd[0], POLLIN, 0};
    return poll(&p, 1, 3600000);
}
static long do_poll_forever(void)
{
    struct pollfd p = {fd[0], POLLIN, 0};
    return poll(&p, 1, -1);
}
static long do_ppoll(void)
{
    struct pollfd p = {fd[0], POLLIN, 0};
    return ppoll(&p, 1, &hour, NULL);
}
static long do_select(void)
{
    struct timeval tv = {3600, 0};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd[0], &set);
    return select(fd[0] + 1, &set, NULL, NULL, &tv);
}
static long do_pselect(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd[0], &set);
    return pselect(fd[0] + 1, &set, NULL, NULL, NULL, NULL);
}
static void make_epoll(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    make_pipe();
    epoll_fd = fd[2] = epoll_create1(0);
    REQUIRE(epoll_fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd[0], &e) == 0);
}
static long do_epoll(void)
{
    struct epoll_event e;
    return epoll_wait(epoll_fd, &e, 1, 3600000);
}
static long do_epoll_forever(void)
{
    struct epoll_event e;
    sigset_t none;
    sigemptyset(&none);
    return epoll_pwait(epoll_fd, &e, 1, -1, &none);
}

static void nothing(void)
{
}
static long do_suspend(void)
{
    sigset_t none;
    sigemptyset(&none);
    return sigsuspend(&none);
}
static long do_pause(void)
{
    return pause();
}
static long do_sigwaitinfo(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigtimedwait(&set, NULL, &hour);
}
static long do_sigwait_forever(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 8); /* a libc may call it again */
}
static long do_nanosleep(void)
{
    struct timespec rem = {0, 0};
    long err = nanosleep(&hour, &rem);
    REQUIRE(rem.tv_sec > 3500 && rem.tv_sec < 3600);
    return err;
}
static long clock_sleep(clockid_t clock, int flags)
{
    struct timespec ts, rem = {0, 0};
    REQUIRE(clock_gettime(clock, &ts) == 0);
    ts.tv_sec = flags ? ts.tv_sec + 3600 : 3600;
    errno = clock_nanosleep(clock, flags, &ts, &rem);
    REQUIRE(flags ? rem.tv_sec == 0 : rem.tv_sec > 3500);
    return errno ? -1 : 0;
}
static long do_sleep_monotonic(void)
{
    return clock_sleep(CLOCK_MONOTONIC, 0);
}
static long do_sleep_until(void)
{
    return clock_sleep(CLOCK_MONOTONIC, TIMER_ABSTIME);
}
static long do_sleep_until_wall(void)
{
    return clock_sleep(CLOCK_REALTIME, TIMER_ABSTIME);
}
static long do_sleep_cpu(void)
{
    return clock_sleep(CLOCK_PROCESS_CPUTIME_ID, 0);
}
static long do_sleep_until_cpu(void)
{
    return clock_sleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME);
}

enum kind { RESTARTS, EINTRS, PARTIAL };
static const struct call {
    const char *name;
    void (*make)(void);
    long (*call)(void);
    void (*release)(void);
    enum kind kind;
} calls[] = {
    {"read of a pipe", make_pipe, do_read, fill, RESTARTS},
    {"readv of a pipe", make_pipe, do_readv, fill, RESTARTS},
    {"write to a pipe", make_full_pipe, do_write, drain, RESTARTS},
    {"writev to a pipe", make_full_pipe, do_writev, drain, RESTARTS},
    {"long write to a pipe", make_pipe, do_write_long, nothing, PARTIAL},
    {"splice", make_two_pipes, do_splice, fill, RESTARTS},
    {"tee", make_two_pipes, do_tee, fill, RESTARTS},
    {"vmsplice", make_full_pipe, do_vmsplice, drain, RESTARTS},
    {"sendfile", make_full_and_file, do_sendfile, drain, RESTARTS},
    {"read of an eventfd", make_eventfd, do_read, add_event, RESTARTS},
    {"write to an eventfd", make_full_eventfd, write_event, take_event, RESTARTS},
    {"read of a timerfd", make_timerfd, do_read, start_timer, RESTARTS},
    {"read of a signalfd", make_signalfd, read_signal, send_signal, RESTARTS},
    {"read of an inotify", make_inotify, read_inotify, make_file, RESTARTS},
    {"open of a FIFO", make_fifo, do_open, open_fifo, RESTARTS},
    {"flock", make_locked, do_flock, unlock, RESTARTS},
    {"F_OFD_SETLKW", make_ofd_locked, do_ofd_lock, ofd_unlock, RESTARTS},
    {"futex", clear_word, do_futex, change_word, RESTARTS},
    {"futex with a timeout", clear_word, do_futex_timeout, nothing, EINTRS},
    {"futex until a time", clear_word, do_futex_bitset, nothing, EINTRS},
    {"poll", make_pipe, do_poll, nothing, EINTRS},
    {"poll for ever", make_pipe, do_poll_forever, nothing, EINTRS},
    {"ppoll", make_pipe, do_ppoll, nothing, EINTRS},
    {"select", make_pipe, do_select, nothing, EINTRS},
    {"pselect", make_pipe, do_pselect, nothing, EINTRS},
    {"epoll_wait", make_epoll, do_epoll, nothing, EINTRS},
    {"epoll_pwait", make_epoll, do_epoll_forever, nothing, EINTRS},
    {"pause", nothing, do_pause, nothing, EINTRS},
    {"sigsuspend", nothing, do_suspend, nothing, EINTRS},
    {"sigtimedwait", nothing, do_sigwaitinfo, nothing, EINTRS},
    {"sigtimedwait for ever", nothing, do_sigwait_forever, nothing, EINTRS},
    {"nanosleep", nothing, do_nanosleep, nothing, EINTRS},
    {"clock_nanosleep", nothing, do_sleep_monotonic, nothing, EINTRS},
    {"clock_nanosleep until", nothing, do_sleep_until, nothing, EINTRS},
    {"clock_nanosleep until a wall time", nothing, do_sleep_until_wall, nothing, EINTRS},
    {"clock_nanosleep of CPU time", nothing, do_sleep_cpu, nothing, EINTRS},
    {"clock_nanosleep until a CPU time", nothing, do_sleep_until_cpu, nothing, EINTRS},
};

/* ---- the walk ---- */

static volatile sig_atomic_t ticks;
static void (*volatile release)(void);

/* The third signal lets the call go on: it was interrupted by then, or has not begun. */
static void on_tick(int signo)
{
    int saved = errno;
    (void)signo;
    if (++ticks == 3 && release)
        release();
    errno = saved;
}

static void run(const struct call *c, int flags)
{
    struct sigaction sa = {.sa_handler = on_tick, .sa_flags = flags};
    struct itimerval tick = {{0, 3000}, {0, 3000}}, off = {{0, 0}, {0, 0}};
    int restarts = flags && c->kind == RESTARTS;
    fd[0] = fd[1] = fd[2] = fd[3] = -1;
    c->make();
    ticks = 0;
    release = restarts ? c->release : NULL;
    REQUIRE(sigaction(SIGALRM, &sa, NULL) == 0 && setitimer(ITIMER_REAL, &tick, NULL) == 0);
    errno = 0;
    long result = c->call();
    int err = errno;
    REQUIRE(setitimer(ITIMER_REAL, &off, NULL) == 0);
    int good = restarts || c->kind == PARTIAL ? result >= 0 : result == -1 && err == EINTR;
    if (!good || !ticks || (restarts && ticks < 3)) {
        printf("FAIL: %s, flags %#x: %ld, errno %d, after %d signals\n", c->name, (unsigned)flags,
               result, err, (int)ticks);
        exit(1);
    }
    for (int i = 0; i < 4; i++)
        if (fd[i] >= 0 && (i == 0 || fd[i] != fd[i - 1]))
            close(fd[i]);
    unlink(other);
    if (unlink(path) != 0)
        rmdir(path);
}

int main(void)
{
    snprintf(path, sizeof(path), "/tmp/eintr.%d", (int)getpid());
    snprintf(other, sizeof(other), "%s/file", path);
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        run(&calls[i], 0);
        run(&calls[i], SA_RESTART);
    }
    return guest_pass("eintr");
}
