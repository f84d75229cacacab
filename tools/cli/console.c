/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console.c - the launcher's end of the framed console (kernel/lib/conframe.h): one serial
 * line carries the program's three streams, the kernel's log and the exit status. Where the machine
 * has a virtio console (the port), that carries the program's streams and everything that goes
 * in; the log and the exit status stay on the line.
 *
 * One poll loop, no threads. Nothing waits behind anything else: output that our own standard
 * output or error does not take at once is kept, and the kernel is told to stop that stream; input
 * is sent as far as the kernel has said that it has room. A terminal on standard input is put into
 * raw mode (the guest has its own line discipline) and put back at every exit, killing signals
 * included.
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
#define STREAM_CORE 3   /* CONFRAME_CORE */
#define ESCAPE_KEY 0x1d /* Ctrl-], pressed ESCAPE_COUNT times in a row ends the machine */
#define ESCAPE_COUNT 3
#define REQUEST_SECONDS 3
#define REQUEST_COUNT 3 /* so many SIGINT, SIGTERM, SIGHUP or SIGQUIT end it as well */

enum { STATE_PLAIN, STATE_DLE, STATE_NUMBER };
#define KEPT_MAX (16u << 20) /* of a stream that the kernel does not stop: kernel messages */

/* One direction of bytes from the kernel. */
struct channel {
    int fd; /* -1: not there */
    int state, number;
    char kind;   /* of message the number is for */
    int stream;  /* the kernel's number of the stream selected; -1 before the first frame */
    size_t room; /* the kernel's, for input */
    struct bytes pending; /* framed, not yet sent */
};

/* Our standard output or error. */
struct out {
    int fd;            /* ours, or another opening of the same terminal */
    bool dead;         /* the kernel knows that nobody reads it */
    bool stopped;      /* and this, too */
    bool unwatched;    /* it always has something to say */
    struct bytes data; /* not yet written */
};

struct console {
    struct channel line, port;
    struct out out[3]; /* by our descriptors' numbers; 0 is not used */
    int signals, errors;
    int status;
    bool input_open;
    unsigned escapes;
    unsigned requests; /* to stop, by signals, shortly after one another */
    double requested;
    int last_request;
    bool broken; /* QEMU says that the machine cannot go on */
    struct bytes *complaint, *core;
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

static bool given_up(const struct console *c)
{
    return c->escapes >= ESCAPE_COUNT || c->requests >= REQUEST_COUNT;
}

/* The channel that takes input. */
static struct channel *input_channel(struct console *c)
{
    return c->port.fd >= 0 ? &c->port : &c->line;
}

/* ---- output ---- */

/* A terminal is opened once more: our not waiting for it is then nobody else's. */
static void out_open(struct out *out, int fd)
{
    char *path = text("/proc/self/fd/%d", fd);
    int again = isatty(fd) ? open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;

    *out = (struct out){.fd = again < 0 ? fd : again};
}

/* Tell the kernel about a stream: 'F' flow, 'B' broken. Kernel messages, which always go over the
 * line, share standard error with the program. */
static void out_tell(struct console *c, int fd, char kind, int value)
{
    bytes_print(&input_channel(c)->pending, "%c%c%d,%d;", DLE, kind, fd, value);
    if (fd == STDERR_FILENO)
        bytes_print(&c->line.pending, "%c%c0,%d;", DLE, kind, value);
}

static void out_broken(struct console *c, int fd, int err)
{
    if (err != EPIPE)
        warn("standard %s: %s", fd == STDOUT_FILENO ? "output" : "error", strerror(err));
    c->out[fd].dead = true;
    c->out[fd].data.len = 0;
    out_tell(c, fd, 'B', err);
}

/* Write what there is room for. A pipe that poll() calls writable takes PIPE_BUF bytes without
 * blocking. */
static void out_push(struct console *c, int fd)
{
    struct out *out = &c->out[fd];
    struct pollfd room = {.fd = out->fd, .events = POLLOUT};
    size_t done = 0;

    while (done < out->data.len && poll(&room, 1, 0) > 0) {
        size_t left = out->data.len - done;
        ssize_t n = write(out->fd, out->data.data + done, left < PIPE_BUF ? left : PIPE_BUF);

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            break;
        if (n < 0) {
            out_broken(c, fd, errno);
            return;
        }
        done += (size_t)n;
    }
    if (done)
        memmove(out->data.data, out->data.data + done, out->data.len - done);
    out->data.len -= done;
    if (out->stopped != (out->data.len > 0)) {
        out->stopped = !out->stopped;
        out_tell(c, fd, 'F', out->stopped);
    }
}

static void put_out(struct console *c, int stream, const char *data, size_t len)
{
    int fd = stream == STDOUT_FILENO ? STDOUT_FILENO : STDERR_FILENO;
    struct out *out = &c->out[fd];

    if (stream == STREAM_CORE) {
        bytes_add(c->core, data, len);
        return;
    }
    if (stream < 0 || len == 0 || out->dead || out->data.len > KEPT_MAX)
        return;
    bytes_add(&out->data, data, len);
    out_push(c, fd);
}

/* poll() had something to say. */
static void out_event(struct console *c, int fd, short events)
{
    if (c->out[fd].data.len > 0)
        out_push(c, fd);
    else if (events & POLLERR)
        out_broken(c, fd, EPIPE);
    else if (events)
        c->out[fd].unwatched = true;
}

static struct pollfd out_watch(const struct out *out)
{
    bool some = out->data.len > 0;

    return (struct pollfd){.fd = out->dead || (out->unwatched && !some) ? -1 : out->fd,
                           .events = some ? POLLOUT : 0};
}

static void take_escape(struct console *c, struct channel *from, unsigned char byte)
{
    from->state = STATE_PLAIN;
    switch (byte) {
    case '0':
    case '1':
    case '2':
    case '0' + STREAM_CORE:
        from->stream = byte - '0';
        break;
    case 'X':
    case 'I':
        from->state = STATE_NUMBER;
        from->kind = (char)byte;
        from->number = 0;
        break;
    case DLE:
        put_out(c, from->stream, (const char[]){DLE}, 1);
        break;
    default:
        break;
    }
}

static void take_number(struct console *c, struct channel *from, unsigned char byte)
{
    if (byte >= '0' && byte <= '9') {
        from->number = (from->number * 10 + (byte - '0')) & 0xfffff;
        return;
    }
    from->state = STATE_PLAIN;
    if (byte == ';' && from->kind == 'X')
        c->status = from->number & 0xff;
    else if (byte == ';')
        from->room += (size_t)from->number;
}

/* Demultiplex what the kernel sent. Firmware may print before the first frame: dropped. */
static void take_bytes(struct console *c, struct channel *from, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)data[i];

        if (from->state == STATE_PLAIN) {
            const char *dle = memchr(data + i, DLE, len - i);
            size_t run = dle ? (size_t)(dle - (data + i)) : len - i;

            put_out(c, from->stream, data + i, run);
            i += run;
            if (dle)
                from->state = STATE_DLE;
        } else if (from->state == STATE_DLE) {
            take_escape(c, from, byte);
        } else {
            take_number(c, from, byte);
        }
    }
}

/* ---- input ---- */

static void take_input(struct console *c)
{
    char buf[1024];
    struct channel *in = input_channel(c);
    ssize_t n = read(STDIN_FILENO, buf, in->room < sizeof(buf) ? in->room : sizeof(buf));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        c->input_open = false;
        bytes_print(&in->pending, "%cE", DLE);
        return;
    }
    in->room -= (size_t)n;
    for (ssize_t i = 0; i < n; i++) {
        c->escapes = termios_changed && buf[i] == ESCAPE_KEY ? c->escapes + 1 : 0;
        if (buf[i] == DLE)
            bytes_add(&in->pending, (const char[]){DLE}, 1);
        bytes_add(&in->pending, &buf[i], 1);
    }
}

/* Nothing is sent before the kernel can receive it and has said so (CONFRAME_READY): what arrives
 * earlier would be lost. */
static bool can_push(const struct channel *to)
{
    return to->fd >= 0 && to->stream >= 0 && to->pending.len > 0;
}

static void push_pending(struct channel *to)
{
    ssize_t n;

    if (!can_push(to))
        return;
    n = send(to->fd, to->pending.data, to->pending.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n <= 0)
        return;
    memmove(to->pending.data, to->pending.data + n, to->pending.len - (size_t)n);
    to->pending.len -= (size_t)n;
}

static void take_signal(struct console *c)
{
    struct signalfd_siginfo info;
    struct winsize size;

    if (read(c->signals, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo != SIGWINCH) {
        bytes_print(&input_channel(c)->pending, "%cS%u;", DLE, info.ssi_signo);
        /* Whoever is in a hurry repeats himself at once. */
        if (now_seconds() - c->requested > REQUEST_SECONDS)
            c->requests = 0;
        c->requested = now_seconds();
        c->last_request = (int)info.ssi_signo;
        c->requests++;
        return;
    }
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        bytes_print(&input_channel(c)->pending, "%cW%u,%u;", DLE, size.ws_row, size.ws_col);
}

static int catch_signals(void)
{
    static const int caught[] = {SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction now;
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
        if (sigaction(caught[i], NULL, &now) != 0 || now.sa_handler != SIG_IGN) /* nohup */
            sigaddset(&set, caught[i]);
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

/* Take what is there. False when the channel is closed. */
static bool channel_take(struct console *c, struct channel *from)
{
    char buf[65536];
    ssize_t n = recv(from->fd, buf, sizeof(buf), MSG_DONTWAIT);

    if (n > 0)
        take_bytes(c, from, buf, (size_t)n);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* When the exit status is there, the program's last words are in the port's socket. */
static void port_drain(struct console *c)
{
    struct pollfd wait = {.fd = c->port.fd, .events = POLLIN};

    while (c->port.fd >= 0 && poll(&wait, 1, 0) > 0 && channel_take(c, &c->port))
        ;
}

static struct pollfd channel_watch(const struct channel *channel)
{
    return (struct pollfd){.fd = channel->fd,
                           .events = (short)(POLLIN | (can_push(channel) ? POLLOUT : 0))};
}

/* One turn of the loop; false when the line is closed. */
static bool console_turn(struct console *c)
{
    enum { LINE, PORT, SIGNALS, INPUT, ERRORS, OUT, ERR, COUNT };
    const struct channel *in = input_channel(c);
    bool input = in->stream >= 0 && c->input_open && in->pending.len == 0 && in->room > 0;
    struct pollfd fds[COUNT] = {
        [LINE] = channel_watch(&c->line),
        [PORT] = channel_watch(&c->port),
        [SIGNALS] = {.fd = c->signals, .events = POLLIN},
        [INPUT] = {.fd = input ? STDIN_FILENO : -1, .events = POLLIN},
        [ERRORS] = {.fd = c->errors, .events = POLLIN},
        [OUT] = out_watch(&c->out[STDOUT_FILENO]),
        [ERR] = out_watch(&c->out[STDERR_FILENO]),
    };

    if (poll(fds, COUNT, -1) < 0)
        return errno == EINTR;
    if (fds[ERRORS].revents)
        take_errors(c);
    if (fds[SIGNALS].revents)
        take_signal(c);
    if (fds[INPUT].revents)
        take_input(c);
    if (fds[OUT].revents)
        out_event(c, STDOUT_FILENO, fds[OUT].revents);
    if (fds[ERR].revents)
        out_event(c, STDERR_FILENO, fds[ERR].revents);
    push_pending(&c->line);
    push_pending(&c->port);
    /* The line's end is the machine's end; the port may go first. */
    if (fds[PORT].revents & ~POLLOUT && !channel_take(c, &c->port))
        c->port.fd = -1;
    return !(fds[LINE].revents & ~POLLOUT) || channel_take(c, &c->line);
}

/* The machine is off; what it wrote is still to be read by whoever reads us, unless somebody has
 * had enough: a signal of ours has ended the program, or comes now. */
static void out_finish(struct console *c)
{
    double before = c->requested;
    bool none = c->requests == 0;

    while (c->requested == before && (none || c->status != 128 + c->last_request)) {
        struct pollfd fds[] = {out_watch(&c->out[STDOUT_FILENO]),
                               out_watch(&c->out[STDERR_FILENO]),
                               {.fd = c->signals, .events = POLLIN}};

        if (c->out[STDOUT_FILENO].data.len + c->out[STDERR_FILENO].data.len == 0)
            return;
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            return;
        if (fds[2].revents)
            take_signal(c);
        out_push(c, STDOUT_FILENO);
        out_push(c, STDERR_FILENO);
    }
}

int console_carry(int line, int port, int errors, struct bytes *complaint, struct bytes *core)
{
    struct console c = {.line = {.fd = line, .stream = -1},
                        .port = {.fd = port, .stream = -1},
                        .errors = errors,
                        .complaint = complaint,
                        .core = core,
                        .status = -1,
                        .input_open = true};
    bool open = true;

    c.signals = catch_signals();
    out_open(&c.out[STDOUT_FILENO], STDOUT_FILENO);
    out_open(&c.out[STDERR_FILENO], STDERR_FILENO);
    terminal_raw();
    while (open && c.status < 0 && !given_up(&c) && !c.broken)
        open = console_turn(&c);
    port_drain(&c);
    if (!given_up(&c))
        out_finish(&c);
    terminal_restore();
    while (c.errors >= 0 && !open)
        take_errors(&c);
    if (c.status >= 0 || !given_up(&c))
        return c.status;
    /* The machine is ended as a process is that takes no notice. */
    warn("the machine was ended by %s",
         c.escapes >= ESCAPE_COUNT ? "Ctrl-] three times" : "repeated signals");
    return 128 + (c.escapes >= ESCAPE_COUNT ? SIGKILL : c.last_request);
}
