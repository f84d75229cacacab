/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netcable.c - a process that is a bad cable (netfault.h) between the guest's device and what is
 * behind it, both of which keep records.
 *
 * Records are made into the frames that a wire carries (netframe.h), so that a fault meets a
 * segment and not 64 KiB of them. An end that takes no more for now stops the reading at the other
 * one, as without a cable: only what the faults say is lost, and what is late beyond their limit.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "net.h"
#include "netframe.h"

#define RECORD_MAX (NET_HEADER + NET_FRAME_MAX)
#define BATCH 64
#define KERNEL 3 /* the fd of the end that the device has */

/* From fd `in` to fd `out`. */
struct line {
    struct cable_way *way;
    int in, out;
    bool in_tap, out_tap;
    bool full; /* `out` takes no more for now */
    bool end;  /* nothing will come in any more */
};

static uint64_t start_ns;

/* Since the cable was laid. */
static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec - start_ns;
}

/* What is down again and again is so at the same times for all cables of a host. */
static void start_clock(const struct wire_faults *faults)
{
    uint64_t now = now_ns();

    start_ns = faults->of_ns ? now - now % faults->of_ns : now;
}

/* The device hears of its carrier by a record of a byte (hosted/dev_net.c). When it changes next.
 */
static uint64_t tell_link(const struct wire_faults *faults, bool *told)
{
    uint64_t now = now_ns();
    uint8_t up = wire_link(faults, now);

    if (up != *told && send(KERNEL, &up, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN)
        return now + 1000000; /* it has much to read */
    *told = up;
    return wire_link_change(faults, now);
}

static void put(void *arg, const uint8_t *frame, size_t len)
{
    static uint8_t copy[NET_FRAME_MAX];
    struct line *line = arg;

    memcpy(copy, frame, len);
    cable_put(line->way, now_ns(), copy, len);
}

static ssize_t line_recv(const struct line *line, uint8_t *record)
{
    return line->in_tap ? read(line->in, record, RECORD_MAX)
                        : recv(line->in, record, RECORD_MAX, MSG_DONTWAIT);
}

/* What has arrived; when there will be more. */
static uint64_t give(struct line *line)
{
    static uint8_t record[RECORD_MAX]; /* its header stays zero: nothing is left to the device */
    const uint8_t *frame;
    uint64_t next;
    size_t len;

    line->full = false;
    while ((frame = cable_first(line->way, now_ns(), &len, &next))) {
        ssize_t n;

        memcpy(record + NET_HEADER, frame, len);
        n = line->out_tap ? write(line->out, record, NET_HEADER + len)
                          : send(line->out, record, NET_HEADER + len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            line->full = true;
            return UINT64_MAX;
        }
        cable_drop(line->way); /* any other error is a frame lost */
    }
    return next;
}

static void take(struct line *line)
{
    static uint8_t record[RECORD_MAX];

    for (int n = 0; n < BATCH; n++) {
        ssize_t len = line_recv(line, record);

        if (len < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (len <= 0) {
            line->end = true;
            return;
        }
        if (len > NET_HEADER)
            net_frames(record, (size_t)len, put, line);
        give(line);
        if (line->full)
            return;
    }
}

/* Until one end has gone, and what came from it has arrived. */
static _Noreturn void run(struct line lines[2], const struct wire_faults *faults, bool tells)
{
    bool told = true;

    for (;;) {
        struct pollfd fds[2];
        struct timespec wait, *limit = NULL;
        uint64_t first[] = {give(&lines[0]), give(&lines[1])}, now;
        uint64_t next = first[0] < first[1] ? first[0] : first[1];
        uint64_t change = tells ? tell_link(faults, &told) : UINT64_MAX;

        next = change < next ? change : next;
        for (int i = 0; i < 2; i++)
            if (lines[i].end && (lines[!i].end || (first[i] == UINT64_MAX && !lines[i].full)))
                _exit(0);
        for (int i = 0; i < 2; i++) /* end i is read by line i and written by the other */
            fds[i] = (struct pollfd){
                .fd = lines[i].end ? -1 : lines[i].in,
                .events = (short)((lines[i].full ? 0 : POLLIN) | (lines[!i].full ? POLLOUT : 0))};
        now = now_ns();
        if (next != UINT64_MAX) {
            next = next > now ? next - now : 0;
            wait = (struct timespec){(time_t)(next / 1000000000u), (long)(next % 1000000000u)};
            limit = &wait;
        }
        if (ppoll(fds, 2, limit, NULL) <= 0)
            continue;
        for (int i = 0; i < 2; i++)
            if (fds[i].revents & ~POLLOUT)
                take(&lines[i]);
    }
}

int cable_lay(int wire, bool is_tap, const struct cable_faults *faults, bool tells)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0)
        fail(EXIT_TOOL, "--net: %s", strerror(errno));
    socket_enlarge(ends[0]);
    socket_enlarge(ends[1]);
    if (is_tap)
        fcntl(wire, F_SETFL, O_RDWR | O_NONBLOCK);
    if (child_detach()) {
        struct line lines[2] = {{.in = KERNEL, .out = 4, .out_tap = is_tap},
                                {.in = 4, .out = KERNEL, .in_tap = is_tap}};
        int kernel = fcntl(ends[1], F_DUPFD, 10), outside = fcntl(wire, F_DUPFD, 10);

        dup2(kernel, KERNEL);
        dup2(outside, 4);
        closefrom(5);
        for (unsigned i = 0; i < 2; i++)
            lines[i].way = cable_way_new(faults, i);
        start_clock(&faults->wire);
        run(lines, &faults->wire, tells);
    }
    close(ends[1]);
    close(wire);
    return ends[0];
}
