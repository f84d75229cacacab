/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim_link.c - this kernel as one of several on one virtual clock: its half of sim_wire.h.
 *
 * `horizon` is the time up to which nothing can reach this kernel that is not already here. At the
 * first point at or behind it sim.c calls sim_link_wait. Sending draws it nearer: the answer to a
 * message needs two delays, and whoever gave the horizon did not know of the message.
 *
 * What arrives is applied when it is read, which is at its time, so nothing waits here but the
 * bytes of a pipe that the kernel has not taken, at most its window.
 *
 * All work is done on a stack of its own: how many records there are must leave no trace in the
 * kernel's stacks (as in sim_trace.c).
 */
#include "net.h"
#include "sim.h"

#include "lib/errno.h"
#include "lib/string.h"

#include "sim_wire.h"

#if SELKIE_SIM

STATIC_ASSERT(SIM_WIRE_IN == HOSTED_LINK_IN && SIM_WIRE_OUT == HOSTED_LINK_OUT);

static struct {
    uint64_t horizon;
    size_t window; /* of the pipe we write */
    bool gone;     /* its reader is off */
    bool end;      /* the writer of the pipe we read is off */
    bool never;
    size_t at, used, owed; /* unread bytes: a ring; taken since the last credit */
    uint8_t in[SIM_WIRE_WINDOW];
} link;
static struct {
    struct sim_wire head;
    uint8_t data[SIM_WIRE_DATA_MAX];
} record;
static uint8_t stack[16384] cache_aligned;

bool sim_linked(void)
{
    return hosted_config.sim.link_fd >= 0;
}

static bool linked_as(unsigned flag)
{
    return hosted_config.sim.link_flags & flag;
}

/* ---- records ---- */

/* Nobody is there to say it to. */
_Noreturn static void lost(void)
{
    for (;;)
        (void)host_call3(HOST_exit_group, HAL_EXIT_PANIC, 0, 0);
}

static void send(const struct sim_wire *head, const void *data)
{
    long n;

    record.head = *head;
    if (head->len > 0)
        memcpy(record.data, data, head->len);
    do
        n = host_call3(HOST_write, hosted_config.sim.link_fd, (long)&record,
                       (long)(sizeof(record.head) + head->len));
    while (n == -HOST_EINTR);
    if (n < 0)
        lost();
}

static void receive(void)
{
    long n;

    do
        n = host_call3(HOST_read, hosted_config.sim.link_fd, (long)&record, sizeof(record));
    while (n == -HOST_EINTR);
    if (n < (long)sizeof(record.head) || (size_t)n != sizeof(record.head) + record.head.len)
        lost();
}

struct sending {
    struct sim_wire head;
    const void *data;
};

static void send_on_stack(void *argument)
{
    const struct sending *s = argument;

    send(&s->head, s->data);
}

static void send_now(enum sim_wire_kind kind, unsigned port, uint64_t a, const void *data,
                     size_t len)
{
    struct sending s = {
        {.kind = kind, .port = (uint16_t)port, .len = (uint32_t)len, .time = sim_now(), .a = a},
        data};

    uint32_t inside = sim_quiet(1); /* nobody else may come to the stack */

    hosted_call_on(send_on_stack, &s, stack + sizeof(stack));
    sim_quiet(inside);
}

/* A message, to which there may be an answer. */
static void send_message(enum sim_wire_kind kind, unsigned port, uint64_t a, const void *data,
                         size_t len)
{
    uint64_t answer = sim_now() + 2 * hosted_config.sim.link_delay;

    send_now(kind, port, a, data, len);
    if (answer < link.horizon) {
        link.horizon = answer;
        sim_look_by(answer);
    }
}

void sim_link_send(unsigned kind, unsigned port, const void *data, size_t len)
{
    send_message(kind, port, 0, data, len);
}

/* ---- what arrives ---- */

static void take_bytes(void)
{
    size_t len = MIN(record.head.len, sizeof(link.in) - link.used); /* the window says: all */

    for (size_t i = 0; i < len; i++)
        link.in[(link.at + link.used + i) % sizeof(link.in)] = record.data[i];
    link.used += len;
}

static void take_net(void)
{
    if (record.head.kind == SIM_WIRE_DATA)
        sim_net_arrived(record.data, record.head.len);
    else if (record.head.kind == SIM_WIRE_LINK)
        net_link(record.head.a);
    else
        lost();
}

static void take_stream(void)
{
    switch (record.head.kind) {
    case SIM_WIRE_DATA:
        take_bytes();
        break;
    case SIM_WIRE_CREDIT:
        link.window += record.head.a;
        break;
    case SIM_WIRE_CLOSED:
        link.end = true;
        break;
    case SIM_WIRE_GONE:
        link.gone = true;
        break;
    default:
        lost();
    }
    hosted_vcpus[0].pending |= HOSTED_IRQ_CONSOLE;
}

static void take_message(void)
{
    if (record.head.port == SIM_WIRE_NET)
        take_net();
    else
        take_stream();
    sim_note(SIM_ARRIVE, record.head.kind, record.head.len + record.head.a);
}

static void wait_on_stack(void *argument)
{
    uint64_t *time = argument;
    struct sim_wire stop = {.kind = SIM_WIRE_STOP, .time = *time, .a = sim_now()};

    send(&stop, NULL);
    for (;;) {
        receive();
        if (record.head.kind == SIM_WIRE_NEVER)
            link.never = true;
        if (record.head.kind == SIM_WIRE_RUN || record.head.kind == SIM_WIRE_NEVER)
            break;
        take_message();
    }
    *time = record.head.time;
    link.horizon = record.head.a;
}

uint64_t sim_link_wait(uint64_t next, uint64_t *horizon)
{
    hosted_call_on(wait_on_stack, &next, stack + sizeof(stack));
    *horizon = link.horizon;
    return link.never ? UINT64_MAX : next;
}

/* ---- the program's streams ---- */

/* As hal_console_write. */
int sim_link_write(enum hal_stream stream, const uint8_t *buf, size_t len)
{
    size_t n;

    if (stream != HAL_STREAM_OUT || !linked_as(SIM_WIRE_OUT)) {
        for (; len > 0; buf += n, len -= n) {
            n = MIN(len, (size_t)SIM_WIRE_DATA_MAX);
            send_now(SIM_WIRE_SAY, stream, 0, buf, n);
        }
        return 0;
    }
    if (link.gone)
        return -EPIPE;
    n = MIN(len, link.window);
    if (n > 0)
        send_message(SIM_WIRE_DATA, SIM_WIRE_STREAMS, 0, buf, n);
    link.window -= n;
    return (int)(len - n);
}

/* As hal_console_room. */
int sim_link_room(enum hal_stream stream)
{
    if (stream != HAL_STREAM_OUT || !linked_as(SIM_WIRE_OUT))
        return 1;
    return link.gone ? -EPIPE : link.window > 0;
}

/* As hal_console_read. The writer hears of room seldom, but before it has none because of what we
 * have not told. */
long sim_link_read(uint8_t *buf, size_t len)
{
    size_t n = MIN(len, link.used);

    if (n == 0)
        return link.end || !linked_as(SIM_WIRE_IN) ? -EPIPE : 0;
    for (size_t i = 0; i < n; i++)
        buf[i] = link.in[(link.at + i) % sizeof(link.in)];
    link.at = (link.at + n) % sizeof(link.in);
    link.used -= n;
    link.owed += n;
    if (link.owed >= SIM_WIRE_WINDOW / 4 && !link.end) {
        send_message(SIM_WIRE_CREDIT, SIM_WIRE_STREAMS, link.owed, NULL, 0);
        link.owed = 0;
    }
    return (long)n;
}

/* ---- begin and end ---- */

void sim_link_start(void)
{
    link.window = SIM_WIRE_WINDOW;
}

void sim_link_end(int status, uint64_t trace, uint64_t memory)
{
    struct sending s = {{.kind = SIM_WIRE_END,
                         .time = sim_now(),
                         .a = (unsigned)status & 0xff,
                         .b = trace,
                         .c = memory,
                         .lost = sim_net_lost()},
                        NULL};

    hosted_call_on(send_on_stack, &s, stack + sizeof(stack));
}

#endif
