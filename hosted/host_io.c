/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host_io.c - the outer threads after boot. The main one watches standard input, a second one waits
 * for the signals sent to the process; both turn what they see into interrupts of virtual CPU 0.
 * SIGCONT is the main thread's, by a handler: whoever returns from a stop has run it before he does
 * anything else, so stop_job knows whether it was one.
 * See console.c for how input is handed over.
 *
 * Jobs. The terminal is ours only in the foreground. There it is raw, for the guest's terminal does
 * the line discipline; when the job is stopped it is put back, and made raw again when it goes on
 * in the foreground. In the background nothing is read; a program that wants input makes us do an
 * empty read, with which the host stops the job as it would a native one (SIGTTIN). Becoming the
 * foreground job without having been stopped is announced by nobody: we look from time to time.
 *
 * Not signalfd: while anyone polls one, Linux wakes him for every signal of the process, and each
 * trapped system call and page fault of the program is one, on a virtual CPU's thread.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "outer.h"

#define KERNEL_TCGETS 0x5401
#define KERNEL_TCSETS 0x5402

#define LOOK_MS 200 /* in the background */

static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU, SIGWINCH, SIGTSTP};
static bool continued; /* atomic: somebody may have changed the terminal */
static bool resumed;   /* on_continue ran; main thread */
static sigset_t watched_set;

static void read_window(void)
{
    const int fds[] = {hosted_config.fd_out, hosted_config.fd_in, hosted_config.fd_err};
    struct winsize ws;

    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (ioctl(fds[i], TIOCGWINSZ, &ws) == 0) {
            __atomic_store_n(&hosted_config.window, (uint32_t)ws.ws_row << 16 | ws.ws_col,
                             __ATOMIC_RELAXED);
            return;
        }
}

static void restore_tty(void)
{
    if (__atomic_exchange_n(&hosted_config.restore_tty, false, __ATOMIC_ACQ_REL))
        ioctl(hosted_config.fd_in, KERNEL_TCSETS, &hosted_config.tty);
}

static bool foreground(void)
{
    pid_t group = hosted_config.in_tty ? tcgetpgrp(hosted_config.fd_in) : -1;

    /* One that does not control us (setsid, a container's init) cannot put us in the background. */
    return group < 0 || group == getpgrp();
}

/* The guest's terminal does the line discipline; ours only passes bytes. Not in the background:
 * the terminal is someone else's then. Whoever stopped us may have left it raw. */
static void make_tty_raw(void)
{
    struct hosted_config *c = &hosted_config;
    static struct hosted_termios raw;
    struct hosted_termios now;

    if (!c->in_tty || ioctl(c->fd_in, KERNEL_TCGETS, &now) < 0)
        return;
    if (memcmp(&now, &raw, sizeof(now)) != 0)
        c->tty = raw = now;
    raw.iflag &= ~(uint32_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.oflag &= ~(uint32_t)OPOST;
    raw.lflag &= ~(uint32_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    raw.cflag = (raw.cflag & ~(uint32_t)(CSIZE | PARENB)) | CS8;
    raw.cc[VMIN] = 1;
    raw.cc[VTIME] = 0;
    if (ioctl(c->fd_in, KERNEL_TCSETS, &raw) == 0)
        __atomic_store_n(&c->restore_tty, true, __ATOMIC_RELEASE);
}

/* Whose is the terminal now? */
static void look_at_job(void)
{
    bool ours = SELKIE_SIM || foreground();
    bool changed = __atomic_exchange_n(&continued, false, __ATOMIC_ACQ_REL);

    /* A simulation reads no terminal. */
    if (ours && !SELKIE_SIM &&
        (changed || !__atomic_load_n(&hosted_config.restore_tty, __ATOMIC_ACQUIRE)))
        make_tty_raw();
    if (!ours)
        __atomic_store_n(&hosted_config.restore_tty, false, __ATOMIC_RELEASE);
    __atomic_store_n(&hosted_config.in_ours, ours, __ATOMIC_RELEASE);
}

/* A standard stream that is closed stays so: its number goes to a descriptor that can neither be
 * read nor written (EBADF), and not to the machine's memory. */
void host_setup_descriptors(void)
{
    int fd;

    do {
        fd = open("/", O_PATH | O_CLOEXEC);
        if (fd < 0)
            host_fail("cannot open a descriptor: %s", strerror(errno));
    } while (fd <= STDERR_FILENO);
    close(fd);
}

static bool is_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

/* A terminal opened once more, so that our not waiting for it is nobody else's; as it is if that
 * cannot be. */
static int own(int fd, bool tty, int mode)
{
    char path[32];
    int again;

    if (!tty)
        return fd;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return again < 0 ? fd : again;
}

static void setup_streams(int log_fd)
{
    struct hosted_config *c = &hosted_config;

    c->in_tty = isatty(STDIN_FILENO);
    c->out_tty = isatty(STDOUT_FILENO);
    c->err_tty = isatty(STDERR_FILENO);
    c->out_file = is_file(STDOUT_FILENO);
    c->err_file = is_file(STDERR_FILENO);
    c->log_file = is_file(log_fd);
    c->fd_in = own(STDIN_FILENO, c->in_tty, O_RDONLY);
    c->fd_out = own(STDOUT_FILENO, c->out_tty, O_WRONLY);
    c->fd_err = own(STDERR_FILENO, c->err_tty, O_WRONLY);
    c->fd_log = log_fd == STDERR_FILENO ? c->fd_err : own(log_fd, isatty(log_fd), O_WRONLY);
}

/* By whoever started us (nohup, a shell's background job): so it stays. */
static bool ignored(int signo)
{
    struct sigaction now;

    return sigaction(signo, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

extern void __gcov_exit(void) __attribute__((weak));

void host_setup_io(const struct host_options *options)
{
    struct hosted_config *c = &hosted_config;
    sigset_t blocked;

    setup_streams(options->log_fd);
    read_window();
    atexit(restore_tty);
    look_at_job();

    /* Blocked in every thread; one waits for them. */
    sigemptyset(&watched_set);
    for (unsigned i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        if (!ignored(watched[i]))
            sigaddset(&watched_set, watched[i]);
    blocked = watched_set;
    if (!ignored(SIGCONT))
        sigaddset(&blocked, SIGCONT);       /* until host_io_loop */
    sigaddset(&blocked, HOSTED_IRQ_SIGNAL); /* not for threads outside the machine */
    sigaddset(&blocked, HOSTED_TIMER_SIGNAL);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTTOU, SIG_IGN); /* the terminal is restored from wherever we are */
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake_fd < 0)
        host_fail("no eventfd: %s", strerror(errno));
    /* Run-time libraries that have something to say or to write at the end. */
    c->exit_outside = SELKIE_SANITIZE || &__gcov_exit != NULL;
}

static void wake_main(void)
{
    const uint64_t one = 1;

    if (write(hosted_config.wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        host_fail("eventfd: %s", strerror(errno));
}

static void tell(uint32_t request)
{
    __atomic_fetch_or(&hosted_shutdown_signals, request, __ATOMIC_RELEASE);
    hosted_raise(0, HOSTED_IRQ_SHUTDOWN);
}

/* In the main thread. Stopped by force, the terminal is not as we left it: the loop looks. */
static void on_continue(int signo)
{
    int error = errno;

    __atomic_store_n(&continued, true, __ATOMIC_RELEASE);
    __atomic_store_n(&resumed, true, __ATOMIC_RELAXED);
    wake_main();
    tell(1u << (signo - 1));
    errno = error;
}

static void take_continue(void)
{
    struct sigaction action = {.sa_handler = on_continue, .sa_flags = SA_RESTART};
    sigset_t set;

    if (ignored(SIGCONT))
        return;
    sigaction(SIGCONT, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGCONT);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* What stop_job sends to the whole group, this process included. It may come here or not: SIGCONT
 * takes it back, and the thread that stops the job may take it as well. */
static bool from_stop_job(const siginfo_t *info)
{
    return info->si_signo == SIGTSTP && info->si_code == SI_USER && info->si_pid == getpid();
}

static void *take_signals(void *arg)
{
    siginfo_t info;
    int signo;

    (void)arg;
    while ((signo = sigwaitinfo(&watched_set, &info)) > 0 || errno == EINTR) {
        if (signo <= 0 || from_stop_job(&info))
            continue;
        if (signo == SIGWINCH) {
            read_window();
            hosted_raise(0, HOSTED_IRQ_CONSOLE);
            continue;
        }
        tell(1u << (signo - 1));
    }
    return NULL;
}

/* Before the kernel runs: a failure here is one line, too. */
void host_start_signals(void)
{
    pthread_t thread;
    int err = pthread_create(&thread, NULL, take_signals, NULL);

    if (err)
        host_fail("cannot create a thread: %s", strerror(err));
}

/* The whole job stops, as it does natively when the terminal says so. Our own thread takes the
 * default action, which the host leaves out where nobody could continue us. */
static void stop_job(void)
{
    sigset_t set;

    __atomic_store_n(&resumed, false, __ATOMIC_RELAXED);
    restore_tty();
    kill(0, SIGTSTP);
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    pthread_kill(pthread_self(), SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* here */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    look_at_job();
    read_window();
    if (!__atomic_load_n(&resumed, __ATOMIC_RELAXED))
        tell(HOSTED_NOT_STOPPED);
    hosted_raise(0, HOSTED_IRQ_CONSOLE);
}

static void tend_job(void)
{
    uint32_t job = __atomic_exchange_n(&hosted_job, 0, __ATOMIC_ACQUIRE);
    bool was = hosted_config.in_ours;
    char none;

    if (job & HOSTED_JOB_STOP)
        stop_job();
    look_at_job();
    /* EIO: nobody could continue us, so we go on without input. */
    if ((job & HOSTED_JOB_READ) && !hosted_config.in_ours &&
        read(hosted_config.fd_in, &none, 0) == 0)
        look_at_job();
    if (!was && hosted_config.in_ours)
        hosted_raise(0, HOSTED_IRQ_CONSOLE);
}

enum { WAKE, INPUT, OUTPUT, FD_COUNT = OUTPUT + HOSTED_STREAM_COUNT };

/* Which streams to look at for room; the loss of a reader is always told, once. */
static void watch_output(struct pollfd *fds)
{
    const struct hosted_config *c = &hosted_config;
    const int streams[HOSTED_STREAM_COUNT] = {c->fd_log, c->fd_out, c->fd_err};
    uint32_t wanted = __atomic_load_n(&hosted_room_wanted, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; i < HOSTED_STREAM_COUNT; i++) {
        bool want = wanted & 1u << i;

        fds[OUTPUT + i].events = want ? POLLOUT : 0;
        /* A pipe with a name may have a reader again. A file, which is not looked at otherwise, has
         * room at once: for being told what is wrong with it. */
        if (want)
            fds[OUTPUT + i].fd = streams[i];
    }
}

static void tell_output(struct pollfd *fds)
{
    for (unsigned i = 0; i < HOSTED_STREAM_COUNT; i++) {
        struct pollfd *p = &fds[OUTPUT + i];

        if (p->fd < 0 || !p->revents)
            continue;
        if (p->revents & (POLLERR | POLLHUP | POLLNVAL))
            p->fd = -1;
        /* Before the interrupt: the kernel may want room again at once. */
        __atomic_fetch_and(&hosted_room_wanted, ~(1u << i), __ATOMIC_SEQ_CST);
        hosted_raise(0, HOSTED_IRQ_CONSOLE);
    }
}

_Noreturn void host_io_loop(void)
{
    const struct hosted_config *c = &hosted_config;
    struct pollfd fds[FD_COUNT] = {
        [WAKE] = {.fd = c->wake_fd, .events = POLLIN},
        [INPUT] = {.fd = c->fd_in, .events = POLLIN},
        [OUTPUT] = {.fd = c->log_file ? -1 : c->fd_log},
        {.fd = c->out_file ? -1 : c->fd_out},
        {.fd = c->err_file ? -1 : c->fd_err},
    };

    take_continue();
    for (;;) {
        uint64_t count;
        int32_t status;
        /* A negative descriptor is not looked at. */
        bool idle;

        if (c->in_tty)
            tend_job();
        idle = !c->in_ours || __atomic_load_n(&hosted_input_idle, __ATOMIC_ACQUIRE);
        fds[INPUT].fd = idle ? -1 : c->fd_in;
        watch_output(fds);
        if (poll(fds, FD_COUNT, c->in_ours ? -1 : LOOK_MS) < 0)
            continue;
        if (fds[WAKE].revents && read(fds[WAKE].fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
            host_fail("eventfd: %s", strerror(errno));
        host_core_write();
        status = __atomic_load_n(&hosted_exit_status, __ATOMIC_ACQUIRE);
        if (status >= 0)
            exit(status);
        if (!idle && fds[INPUT].revents) {
            /* Before the interrupt: the kernel may drain the input at once. */
            __atomic_store_n(&hosted_input_idle, 1, __ATOMIC_SEQ_CST);
            hosted_raise(0, HOSTED_IRQ_CONSOLE);
        }
        tell_output(fds);
    }
}
