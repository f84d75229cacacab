/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console.c - the launcher's end of the framed console (platform/common/conframe.h): one serial
 * line carries the program's three streams, the kernel's log and the exit status.
 *
 * One poll loop, no threads. Output is written as it comes: if our own standard output blocks, the
 * line fills and the guest waits, as it would on a pipe. Input goes in small portions, so that a
 * signal or a window change overtakes most of it. A terminal on standard input is put into raw mode
 * (the guest has its own line discipline) and put back at every exit, killing signals included.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#define DLE 0x10
#define ESCAPE_KEY 0x1d /* Ctrl-], pressed ESCAPE_COUNT times in a row ends the machine */
#define ESCAPE_COUNT 3
#define REQUEST_COUNT 3 /* so many SIGINT, SIGTERM, SIGHUP or SIGQUIT end it as well */

enum { STATE_PLAIN, STATE_DLE, STATE_STATUS };

struct console {
    int line, signals, errors;
    int state;
    int stream; /* the host's file descriptor of the stream selected on the line */
    int status, number;
    bool dead[3]; /* that stream's reader is gone */
    bool input_open;
    unsigned escapes;
    unsigned requests; /* to stop, by signals */
    int last_request;
    bool broken;          /* QEMU says that the machine cannot go on */
    struct bytes pending; /* framed input not yet on the line */
    struct bytes *complaint;
};

static struct termios saved_termios;
static bool termios_changed;

static void terminal_restore(void)
{
    if (termios_changed)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved_termios);
    termios_changed = false;
}

static void terminal_raw(void)
{
    struct termios raw;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved_termios) < 0)
        return;
    /* A background job must not touch the terminal. */
    if (tcgetpgrp(STDIN_FILENO) != getpgrp())
        return;
    raw = saved_termios;
    cfmakeraw(&raw);
    /* The guest's line discipline already wrote CR LF where it is wanted. */
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0) {
        termios_changed = true;
        atexit(terminal_restore);
    }
}

char *console_words(void)
{
    struct winsize size;
    char types[4];

    for (int i = 0; i < 3; i++)
        types[i] = isatty(i) ? 't' : 'p';
    types[3] = 0;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
        return text("stdio=%s", types);
    return text("stdio=%s winsize=%ux%u", types, size.ws_row, size.ws_col);
}

static void take_signal(struct console *c);
static void push_pending(struct console *c);

static bool given_up(const struct console *c)
{
    return c->escapes >= ESCAPE_COUNT || c->requests >= REQUEST_COUNT;
}

/* Wait until the stream takes a portion. Signals are still heard: a reader that has stopped reading
 * must not make us deaf. False if the user gave up. */
static bool wait_writable(struct console *c)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = c->stream, .events = POLLOUT},
                               {.fd = c->signals, .events = POLLIN}};

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return true; /* write() will say what is wrong */
        if (fds[1].revents) {
            take_signal(c);
            push_pending(c);
        }
        if (given_up(c))
            return false;
        if (fds[0].revents)
            return true;
    }
}

static void put_out(struct console *c, const char *data, size_t len)
{
    while (len > 0 && c->stream >= 0 && !c->dead[c->stream] && wait_writable(c)) {
        /* A pipe that poll() calls writable takes PIPE_BUF bytes without blocking. */
        ssize_t n = write(c->stream, data, len < PIPE_BUF ? len : PIPE_BUF);

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0) {
            c->dead[c->stream] = true;
            /* As the program would die natively when its reader is gone. */
            bytes_print(&c->pending, "%cS%d;", DLE, SIGPIPE);
            return;
        }
        data += n;
        len -= (size_t)n;
    }
}

static void take_escape(struct console *c, unsigned char byte)
{
    c->state = STATE_PLAIN;
    switch (byte) {
    case '0':
        c->stream = STDERR_FILENO;
        break;
    case '1':
        c->stream = STDOUT_FILENO;
        break;
    case '2':
        c->stream = STDERR_FILENO;
        break;
    case 'X':
        c->state = STATE_STATUS;
        c->number = 0;
        break;
    case DLE:
        put_out(c, (const char[]){DLE}, 1);
        break;
    default:
        break;
    }
}

/* Demultiplex what the kernel sent. Firmware may print before the first frame: dropped. */
static void take_line(struct console *c, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)data[i];

        if (c->state == STATE_PLAIN) {
            const char *dle = memchr(data + i, DLE, len - i);
            size_t run = dle ? (size_t)(dle - (data + i)) : len - i;

            put_out(c, data + i, run);
            i += run;
            if (dle)
                c->state = STATE_DLE;
        } else if (c->state == STATE_DLE) {
            take_escape(c, byte);
        } else if (byte >= '0' && byte <= '9') {
            c->number = c->number * 10 + (byte - '0');
            c->number &= 0xffff;
        } else {
            if (byte == ';')
                c->status = c->number & 0xff;
            c->state = STATE_PLAIN;
        }
    }
}

static void take_input(struct console *c)
{
    char buf[1024];
    ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        c->input_open = false;
        bytes_print(&c->pending, "%cE", DLE);
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        c->escapes = termios_changed && buf[i] == ESCAPE_KEY ? c->escapes + 1 : 0;
        if (buf[i] == DLE)
            bytes_add(&c->pending, (const char[]){DLE}, 1);
        bytes_add(&c->pending, &buf[i], 1);
    }
}

static void push_pending(struct console *c)
{
    ssize_t n = send(c->line, c->pending.data, c->pending.len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n <= 0)
        return;
    memmove(c->pending.data, c->pending.data + n, c->pending.len - (size_t)n);
    c->pending.len -= (size_t)n;
}

static void take_signal(struct console *c)
{
    struct signalfd_siginfo info;
    struct winsize size;

    if (read(c->signals, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo != SIGWINCH) {
        bytes_print(&c->pending, "%cS%u;", DLE, info.ssi_signo);
        c->last_request = (int)info.ssi_signo;
        c->requests++;
        return;
    }
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        bytes_print(&c->pending, "%cW%u,%u;", DLE, size.ws_row, size.ws_col);
}

static int catch_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* QEMU's standard error: kept for a message. After an internal error of KVM the machine stands
 * still, but QEMU goes on waiting. */
static void take_errors(struct console *c)
{
    char buf[4096];
    ssize_t n = read(c->errors, buf, sizeof(buf));

    if (n <= 0) {
        c->errors = -1;
        return;
    }
    if (c->complaint->len < 65536)
        bytes_add(c->complaint, buf, (size_t)n);
    c->broken |= strstr(c->complaint->data, "KVM internal error") != NULL;
}

/* One turn of the loop; false when the line is closed. */
static bool console_turn(struct console *c)
{
    char buf[65536];
    /* Nothing is sent before the kernel has set its UART up and said so (CONFRAME_READY): what
     * arrives earlier would be lost. */
    bool ready = c->stream >= 0;
    struct pollfd fds[4] = {
        {.fd = c->line, .events = (short)(POLLIN | (ready && c->pending.len ? POLLOUT : 0))},
        {.fd = c->signals, .events = POLLIN},
        {.fd = ready && c->input_open && c->pending.len == 0 ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = c->errors, .events = POLLIN},
    };
    ssize_t n;

    if (poll(fds, 4, -1) < 0)
        return errno == EINTR;
    if (fds[3].revents)
        take_errors(c);
    if (fds[1].revents)
        take_signal(c);
    if (fds[2].revents)
        take_input(c);
    if (c->pending.len)
        push_pending(c);
    if (!fds[0].revents)
        return true;
    n = recv(c->line, buf, sizeof(buf), MSG_DONTWAIT);
    if (n > 0)
        take_line(c, buf, (size_t)n);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

int console_carry(int fd, int errors, struct bytes *complaint)
{
    struct console c = {.line = fd,
                        .errors = errors,
                        .complaint = complaint,
                        .stream = -1,
                        .status = -1,
                        .input_open = true};
    bool open = true;

    c.signals = catch_signals();
    terminal_raw();
    while (open && c.status < 0 && !given_up(&c) && !c.broken)
        open = console_turn(&c);
    terminal_restore();
    while (c.errors >= 0 && !open)
        take_errors(&c);
    if (c.status >= 0 || !given_up(&c))
        return c.status;
    /* The machine is ended as a process is that takes no notice. */
    say("the machine was ended by %s",
        c.escapes >= ESCAPE_COUNT ? "Ctrl-] three times" : "repeated signals");
    return 128 + (c.escapes >= ESCAPE_COUNT ? SIGKILL : c.last_request);
}
