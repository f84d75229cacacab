/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_sock_io.c - TCP sockets: send, receive, poll, ioctl (tcp(7), socket(7)).
 *
 * What is sent is copied from the program without the lock, in pieces of at most TCP_SEND_MAX, each
 * of which goes into the stream as a whole, but a little that fits behind what is queued; what is
 * received is copied to the program under it.
 */
#include "lib/errno.h"
#include "mm/usercopy.h"
#include "net/tcp_sock.h"
#include "sched/wait.h"

#define FIRST_ROOM 1536u /* of a small piece that more will follow: a segment of Ethernet's */
#define MEMORY_WAIT_NS (20 * NS_PER_MS)
#define SIOCINQ 0x541bu
#define SIOCOUTQ 0x5411u
#define SIOCOUTQNSD 0x894bu
#define SIOCATMARK 0x8905u

/* ---- sending ---- */

static bool opening(const struct tcp_sock *ts)
{
    return ts->tp.state == TCP_SYN_SENT || ts->tp.state == TCP_SYN_RCVD;
}

/* TCP_NOTSENT_LOWAT: is little enough unsent? Else acknowledgements tell when it is. */
static bool tcp_sock_unsent_low(struct tcp_sock *ts)
{
    uint32_t low = ts->unsent_low;
    if (low == 0 || ts->tp.written - ts->tp.nxt < low)
        return true;
    ts->tp.room_wanted = true;
    return false;
}

/* Data may be queued while the connection opens, but the program waits for it (as on Linux). Who
 * must wait for room waits for a third of the buffer, not to send crumbs. */
static bool can_send(void *arg)
{
    struct tcp_sock *ts = arg;
    if (__atomic_load_n(&ts->inet.base.error, __ATOMIC_RELAXED))
        return true;
    if (opening(ts))
        return false;
    return !tcp_can_send(&ts->tp) ||
           (tcp_send_room(&ts->tp) >= ts->tp.send_limit / 3 && tcp_sock_unsent_low(ts));
}

/* `begun`: the call has sent something, which it will tell; the error stays for the next one. */
static int send_error(struct tcp_sock *ts, bool begun)
{
    struct socket *base = &ts->inet.base;
    int err = begun ? -__atomic_load_n(&base->error, __ATOMIC_RELAXED) : socket_take_error(base);
    if (err)
        return err;
    /* Not connected yet, never, or no more: EPIPE (send(2)). */
    return tcp_can_send(&ts->tp) ? 0 : -EPIPE;
}

/* Room for how much? The lock is held. */
static long wait_room(struct tcp_sock *ts, bool begun, uint64_t deadline)
{
    bool now = !opening(ts) && tcp_can_send(&ts->tp) && tcp_send_room(&ts->tp) > 0 &&
               tcp_sock_unsent_low(ts);
    int err = now ? 0 : inet_wait(&ts->inet, can_send, ts, deadline);
    if (err == 0)
        err = send_error(ts, begun);
    return err ? err : (long)MIN(tcp_send_room(&ts->tp), TCP_SEND_MAX);
}

/* Lack of memory is lack of room: a program that may wait does, another one tries again when what
 * is on its way has been acknowledged (as on Linux: send(2) on a connection knows no ENOMEM). 0:
 * try again. */
static int wait_memory(struct tcp_sock *ts, uint64_t deadline)
{
    uint64_t soon = clock_mono_ns() + MEMORY_WAIT_NS;
    if (deadline > 0) {
        int err = sleep_until(MIN(soon, deadline), true);
        return err == 0 ? (soon < deadline ? 0 : -EAGAIN) : (deadline == UINT64_MAX ? err : -EINTR);
    }
    inet_lock(&ts->inet);
    if (ts->tp.una != ts->tp.written)
        ts->tp.room_wanted = true;
    else
        inet_wake(&ts->inet, POLLOUT | POLLWRNORM); /* nothing else will */
    inet_unlock(&ts->inet);
    return -EAGAIN;
}

static void push_piece(struct tcp_sock *ts, const struct socket_msg *msg)
{
    bool last = msg->data->left == 0;
    tcp_push(&ts->tp, !last || (msg->flags & MSG_MORE), last && (msg->flags & MSG_OOB));
}

/* Behind what waits in the queue for more, if it fits there: no packet, and the lock once. It is
 * held while the program's memory is read, as it is for what is received. 0: it does not fit. */
static long send_behind(struct tcp_sock *ts, struct socket_msg *msg, size_t n)
{
    void *to = n == msg->data->left && !msg->zerocopy ? tcp_tail(&ts->tp, (uint32_t)n) : NULL;
    if (!to)
        return 0;
    if (iov_copy_from(msg->data, to, n) != (long)n)
        return -EFAULT;
    tcp_send_tail(&ts->tp, (uint32_t)n);
    push_piece(ts, msg);
    return (long)n;
}

/* A small piece that more will follow: with room for that. */
static int packet_with_room(struct iov_iter *from, size_t n, struct pkt **out)
{
    struct pkt *pkt = pkt_alloc(0, FIRST_ROOM, ALLOC_DEFAULT);
    if (!pkt)
        return -ENOMEM;
    if (iov_copy_from(from, pkt_put(pkt, (uint32_t)n), n) != (long)n) {
        pkt_free(pkt);
        return -EFAULT;
    }
    *out = pkt;
    return 0;
}

/* One piece: bytes, or an error. */
static long send_piece(struct tcp_sock *ts, struct socket_msg *msg, bool begun, uint64_t deadline)
{
    struct inet_sock *inet = &ts->inet;
    const struct iov_iter unsent = *msg->data;
    struct pkt *pkt;
    inet_lock(inet);
    long room = wait_room(ts, begun, deadline);
    size_t n = MIN((size_t)MAX(room, 0), msg->data->left);
    long done = room > 0 ? send_behind(ts, msg, n) : room;
    bool first = (ts->tp.cork || msg->flags & MSG_MORE) && n <= FIRST_ROOM / 2 && !msg->zerocopy &&
                 list_empty(&ts->tp.unsent);
    inet_unlock(inet);
    if (done == -EFAULT)
        *msg->data = unsent;
    if (done || room <= 0)
        return done;
    int err = first ? packet_with_room(msg->data, n, &pkt) : inet_packet_of(msg, 0, n, &pkt);
    if (err) {
        *msg->data = unsent;
        return err;
    }
    inet_lock(inet);
    err = send_error(ts, begun);
    if (err) {
        pkt_free(pkt);
    } else {
        tcp_send(&ts->tp, pkt);
        push_piece(ts, msg);
    }
    inet_unlock(inet);
    return err ? err : (long)n;
}

/* What was held back for a next piece that does not come. */
static void push_rest(struct tcp_sock *ts, const struct socket_msg *msg)
{
    if (msg->flags & MSG_MORE)
        return;
    inet_lock(&ts->inet);
    if (tcp_can_send(&ts->tp))
        tcp_push(&ts->tp, false, false);
    inet_unlock(&ts->inet);
}

long tcp_sock_send(struct socket *socket, struct socket_msg *msg)
{
    struct tcp_sock *ts = tcp_sock_of(inet_of(socket));
    uint64_t deadline = socket_deadline(&socket->send_timeout_ns, msg->flags & MSG_DONTWAIT);
    long done = 0, n = 0;
    /* A name is ignored where there is a connection (tcp(7)), but for Fast Open. */
    if ((msg->flags & MSG_FASTOPEN && msg->name) ||
        __atomic_load_n(&ts->deferred, __ATOMIC_RELAXED)) {
        done = tcp_sock_fast_send(ts, msg);
        if (done < 0 || (done > 0 && (msg->data->left == 0 || msg->flags & MSG_DONTWAIT)))
            return done;
    }
    do {
        size_t before = msg->data->left;
        n = before ? send_piece(ts, msg, done > 0, deadline) : 0;
        if (n > 0)
            done += n;
        else if (n == -ENOMEM)
            n = wait_memory(ts, deadline);
    } while (n >= 0 && msg->data->left > 0);
    if (n < 0 && done > 0)
        push_rest(ts, msg);
    if (done == 0 && n == 0 && msg->data->left == 0) {
        inet_lock(&ts->inet);
        n = opening(ts) ? inet_wait(&ts->inet, can_send, ts, deadline) : 0;
        if (n == 0)
            n = send_error(ts, false);
        inet_unlock(&ts->inet);
    }
    return done > 0 ? done : n;
}

/* ---- receiving ---- */

struct reading {
    struct tcp_sock *ts;
    uint32_t want; /* bytes that must be there */
};

static bool at_end(const struct tcp_sock *ts)
{
    const struct socket *base = &ts->inet.base;
    return ts->tp.fin_received || (socket_shut(base) & SHUT_RECEIVE) ||
           (ts->tp.state == TCP_CLOSED && !opening(ts)) || ts->tp.state == TCP_TIME_WAIT;
}

/* Nothing more will come, or an error waits to be told. */
static bool stopped(const struct tcp_sock *ts)
{
    return at_end(ts) || __atomic_load_n(&ts->inet.base.error, __ATOMIC_RELAXED);
}

static bool can_receive(void *arg)
{
    const struct reading *r = arg;
    const struct tcp_sock *ts = r->ts;
    return (!opening(ts) && tcp_readable(&ts->tp) >= r->want) || stopped(ts);
}

/* How far reading may go: not across the urgent byte (RFC 9293, 3.8.5 as BSD has it), which is
 * skipped when it comes first. */
static uint32_t before_mark(struct tcp_sock *ts)
{
    uint32_t n = tcp_readable(&ts->tp);
    int64_t mark = tcp_urgent_distance(&ts->tp);
    if (mark == 0 && n > 0 && !ts->tp.oob_inline) {
        tcp_consume(&ts->tp, 1);
        n = tcp_readable(&ts->tp);
    } else if (mark > 0 && mark < n) {
        n = (uint32_t)mark;
    }
    return n;
}

/* Copy bytes [offset, offset + len) of what is queued. 0 or -EFAULT. */
static int copy(const struct tcp_sock *ts, uint32_t offset, uint32_t len, struct iov_iter *to)
{
    const struct pkt *pkt = tcp_first(&ts->tp);
    for (; len > 0; pkt = pkt->next) {
        if (offset >= pkt->total) {
            offset -= pkt->total;
            continue;
        }
        uint32_t n = MIN(len, pkt->total - offset);
        int err = inet_packet_to(pkt, offset, n, to);
        if (err)
            return err;
        len -= n;
        offset = 0;
    }
    return 0;
}

static long recv_urgent(struct tcp_sock *ts, struct socket_msg *msg)
{
    uint8_t byte;
    inet_lock(&ts->inet);
    int err = tcp_read_urgent(&ts->tp, &byte, (msg->flags & MSG_PEEK) != 0);
    inet_unlock(&ts->inet);
    if (err)
        return err;
    msg->result |= MSG_OOB;
    if (msg->data->left == 0) {
        msg->result |= MSG_TRUNC;
        return 0;
    }
    if (msg->flags & MSG_TRUNC)
        return 1;
    return iov_copy_to(msg->data, &byte, 1) == 1 ? 1 : -EFAULT;
}

/* What there is, up to the mark: bytes; 0: nothing now. The lock is held. */
static long take(struct tcp_sock *ts, struct socket_msg *msg, uint32_t offset, size_t left)
{
    uint32_t ready = before_mark(ts);
    if (ready <= offset)
        return 0;
    uint32_t n = (uint32_t)MIN((size_t)(ready - offset), left);
    if (!(msg->flags & MSG_TRUNC)) { /* tcp(7): with it the bytes are thrown away */
        int err = copy(ts, offset, n, msg->data);
        if (err)
            return err;
    }
    if (!(msg->flags & MSG_PEEK))
        tcp_consume(&ts->tp, n);
    socket_peeked(&ts->inet.base, msg->flags, n);
    return n;
}

/* Nothing to read: why, or wait. 1: look again; 0: the end. */
static int wait_data(struct tcp_sock *ts, uint32_t want, uint64_t deadline)
{
    struct reading r = {ts, want};
    if (ts->tp.fin_received) /* the end, whatever came behind it: a reset of what we sent since */
        return 0;
    int err = socket_take_error(&ts->inet.base);
    if (err)
        return err;
    if (at_end(ts))
        return ts->hashed_once || socket_shut(&ts->inet.base) & SHUT_RECEIVE ? 0 : -ENOTCONN;
    err = inet_wait(&ts->inet, can_receive, &r, deadline);
    return err ? err : 1;
}

static long receive_locked(struct tcp_sock *ts, struct socket_msg *msg, uint64_t deadline)
{
    size_t len = msg->data->left, target = (size_t)MAX(ts->inet.base.receive_low, 1), done = 0;
    bool peek = (msg->flags & MSG_PEEK) != 0;
    uint32_t off = peek ? (uint32_t)MAX(socket_peek_off(&ts->inet.base), 0) : 0;
    /* What was read is told first: an error, or the end, is the next call's. */
    target = msg->flags & MSG_WAITALL ? len : MIN(len, target);
    if (len == 0 && tcp_readable(&ts->tp) == 0) { /* waits for a byte, too, and leaves it */
        int more = wait_data(ts, 1, deadline);
        return MIN(more, 0);
    }
    while (done < len) {
        uint32_t seen = peek ? off + (uint32_t)done : 0;
        long n = take(ts, msg, seen, len - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 && done < target && !(done && stopped(ts)))
            n = wait_data(ts, seen + 1, deadline);
        if (n <= 0)
            return done ? (long)done : n;
        /* Not across the mark in one call. */
        if ((done && done >= target) ||
            (done && tcp_urgent_distance(&ts->tp) == (int64_t)(peek ? off + done : 0)))
            break;
    }
    return (long)done;
}

long tcp_sock_recv(struct socket *socket, struct socket_msg *msg)
{
    struct inet_sock *inet = inet_of(socket);
    struct tcp_sock *ts = tcp_sock_of(inet);
    if (msg->flags & MSG_ERRQUEUE)
        return inet_error_recv(inet, msg);
    if (msg->flags & MSG_OOB)
        return recv_urgent(ts, msg);
    uint64_t deadline = socket_deadline(&socket->receive_timeout_ns, msg->flags & MSG_DONTWAIT);
    inet_lock(inet);
    long n = ts->listener ? -ENOTCONN : receive_locked(ts, msg, deadline);
    if (__atomic_load_n(&inet->options, __ATOMIC_RELAXED) & INET_TELL_LEFT && n >= 0) {
        uint32_t left = tcp_readable(&ts->tp);
        if (left == 0) /* the end is something to be read, too (Linux: tcp_inq_hint) */
            left = ts->tp.fin_received;
        control_add(msg, SOL_TCP, TCP_INQ, &left, sizeof(left));
    }
    inet_unlock(inet);
    return n;
}

/* ---- poll ---- */

/* As much as SO_RCVLOWAT says, or as much as there will be: the window is used up (Linux:
 * tcp_epollin_ready). */
static bool enough(const struct tcp_sock *ts)
{
    const struct tcp *tp = &ts->tp;
    uint32_t low = (uint32_t)MAX(__atomic_load_n(&ts->inet.base.receive_low, __ATOMIC_RELAXED), 1);
    uint32_t ready = tcp_readable(tp), urgent = tcp_urgent_distance(tp) == 0 && !tp->oob_inline;
    if (ready <= urgent) /* that byte is read otherwise */
        return false;
    return ready - urgent >= low || tp->rcv_edge - tp->rcv_nxt <= tp->rcv_mss;
}

static uint32_t poll_connection(struct tcp_sock *ts)
{
    uint32_t events = 0, shut = socket_shut(&ts->inet.base);
    struct tcp *tp = &ts->tp;
    if (ts->deferred)
        return POLLOUT | POLLWRNORM; /* that opens it */
    if (shut == SHUT_BOTH || tp->state == TCP_CLOSED || tp->state == TCP_TIME_WAIT)
        events |= POLLHUP;
    if (shut & SHUT_RECEIVE)
        events |= POLLIN | POLLRDNORM | POLLRDHUP;
    if (opening(ts))
        return events;
    if (enough(ts))
        events |= POLLIN | POLLRDNORM;
    if (!tcp_can_send(tp) || (tcp_send_room(tp) >= tp->send_limit / 3 && tcp_sock_unsent_low(ts)))
        events |= POLLOUT | POLLWRNORM;
    if (tp->urgent == TCP_URGENT_VALID ||
        (tp->urgent == TCP_URGENT_AWAITED && tcp_urgent_distance(tp) < tcp_readable(tp) &&
         tcp_urgent_distance(tp) >= 0))
        events |= POLLPRI;
    return events;
}

uint32_t tcp_sock_poll(struct socket *socket, struct poll_table *table)
{
    struct inet_sock *inet = inet_of(socket);
    struct tcp_sock *ts = tcp_sock_of(inet);
    uint32_t events;
    if (table)
        table->add(table, &socket->wait);
    inet_lock(inet);
    if (ts->listener)
        events = ts->queued ? POLLIN | POLLRDNORM : 0;
    else
        events = poll_connection(ts);
    if (__atomic_load_n(&socket->error, __ATOMIC_ACQUIRE) || inet->error_count)
        events |= POLLERR;
    inet_unlock(inet);
    return events;
}

/* ---- ioctl ---- */

static int ioctl_value(struct tcp_sock *ts, unsigned cmd, int *value)
{
    const struct tcp *tp = &ts->tp;
    if (ts->listener)
        return cmd == SIOCATMARK ? 0 : -EINVAL;
    bool none = opening(ts) || tp->state == TCP_CLOSED;
    switch (cmd) {
    case SIOCINQ: {
        int64_t mark = tcp_urgent_distance(tp);
        *value = opening(ts) ? 0 : (int)tcp_readable(tp);
        if (mark > 0 && mark < *value && !tp->oob_inline)
            *value = (int)mark;
        break;
    }
    case SIOCOUTQ:
        *value = none ? 0 : (int)(tp->written - tp->una);
        break;
    case SIOCOUTQNSD:
        *value = none ? 0 : (int)(tp->written - tp->nxt);
        break;
    default:
        *value = tcp_urgent_distance(tp) == 0;
        break;
    }
    *value = MAX(*value, 0); /* a FIN that is acknowledged */
    return 0;
}

long tcp_sock_ioctl(struct socket *socket, unsigned cmd, uintptr_t arg)
{
    struct inet_sock *inet = inet_of(socket);
    int value = 0;
    if (cmd != SIOCINQ && cmd != SIOCOUTQ && cmd != SIOCOUTQNSD && cmd != SIOCATMARK)
        return inet_ioctl(socket, cmd, arg);
    inet_lock(inet);
    int err = ioctl_value(tcp_sock_of(inet), cmd, &value);
    inet_unlock(inet);
    return err ? err : copyout(uaddr(arg), &value, sizeof(value));
}
