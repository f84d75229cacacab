/* SPDX-License-Identifier: BSD-3-Clause */
/* dgram.c - reading packets as they came. Contract: dgram.h. */
#include "net/dgram.h"

#include "lib/errno.h"
#include "mm/usercopy.h"

#define SIOCINQ 0x541bu
#define SIOCOUTQ 0x5411u

struct reading {
    struct dgram_sock *dgram;
    struct pkt *pkt; /* to be read; NULL: none yet */
    uint32_t skip;   /* SO_PEEK_OFF: so much of it was seen before */
    bool peek;
};

/* The first of which MSG_PEEK has not seen everything (Linux: __skb_try_recv_from_queue). */
rarely static struct pkt *first_unseen(struct reading *r)
{
    struct pkt *pkt = r->dgram->queue.first;
    int32_t off = socket_peek_off(&r->dgram->inet.base);
    r->skip = (uint32_t)MAX(off, 0);
    for (; off >= 0 && pkt && r->skip >= pkt->total && (r->skip || dgram_info(pkt)->peeked);
         pkt = pkt->next)
        r->skip -= pkt->total;
    if (pkt && pkt->total == 0)
        dgram_info(pkt)->peeked = true;
    return pkt;
}

static bool can_receive(void *arg)
{
    struct reading *r = arg;
    const struct socket *base = &r->dgram->inet.base;
    r->pkt = r->peek ? first_unseen(r) : r->dgram->queue.first;
    return r->pkt || (socket_shut(base) & SHUT_RECEIVE) ||
           __atomic_load_n(&base->error, __ATOMIC_RELAXED);
}

/* Wait for a packet; NULL and 0: shut. The lock is held. */
static int next_locked(struct reading *r, uint64_t deadline)
{
    int err = inet_wait(&r->dgram->inet, can_receive, r, deadline);
    if (err == 0)
        err = socket_take_error(&r->dgram->inet.base);
    if (err)
        r->pkt = NULL;
    /* As Linux: only who would wait is told of the end. */
    return err == 0 && !r->pkt && deadline == 0 ? -EAGAIN : err;
}

static long give(struct inet_sock *sock, struct socket_msg *msg, const struct reading *r)
{
    struct pkt *pkt = r->pkt;
    size_t whole = pkt->total, n = MIN(whole - r->skip, msg->data->left);
    int err = inet_packet_to(pkt, r->skip, n, msg->data);
    if (err)
        return err;
    if (msg->data->left == 0 && n < whole) /* filled: not at its end, or not from its beginning */
        msg->result |= MSG_TRUNC;
    n = msg->flags & MSG_TRUNC ? whole : n;
    socket_peeked(&sock->base, msg->flags, n);
    if (msg->name) {
        const struct dgram_info *info = dgram_info(pkt);
        inet_name_put(sock, &info->remote, info->remote_port, pkt->dev ? pkt->dev->index : 0,
                      msg->name);
    }
    inet_control_put(sock, msg, pkt);
    return (long)n;
}

long dgram_recv(struct socket *socket, struct socket_msg *msg)
{
    struct inet_sock *sock = inet_of(socket);
    struct reading r = {.dgram = dgram_of(sock), .peek = msg->flags & MSG_PEEK};
    if (msg->flags & MSG_ERRQUEUE)
        return inet_error_recv(sock, msg);
    if (msg->flags & MSG_OOB && sock->flow.key.protocol != IPPROTO_UDP)
        return -EOPNOTSUPP;
    uint64_t deadline = socket_deadline(&socket->receive_timeout_ns, msg->flags & MSG_DONTWAIT);
    inet_lock(sock);
    long n = next_locked(&r, deadline);
    if (r.pkt && r.peek) {
        n = give(sock, msg, &r); /* it stays, so nobody may take it meanwhile */
    } else if (r.pkt) {
        (void)pkt_queue_take(&r.dgram->queue);
        channel_discharge(&sock->flow.channel, r.pkt->truesize);
    }
    inet_unlock(sock);
    if (!r.pkt || r.peek)
        return n;
    n = give(sock, msg, &r);
    pkt_free(r.pkt);
    return n;
}

int dgram_shutdown(struct socket *socket, unsigned what)
{
    struct inet_sock *sock = inet_of(socket);
    inet_lock(sock);
    bool connected = sock->connected;
    /* Without a peer it is an error, and works all the same (Linux: for who sleeps in recv). */
    __atomic_fetch_or(&socket->shut, what, __ATOMIC_RELEASE);
    inet_unlock(sock);
    inet_wake(sock, 0);
    return connected ? 0 : -ENOTCONN;
}

uint32_t dgram_poll(struct socket *socket, struct poll_table *table)
{
    struct inet_sock *sock = inet_of(socket);
    uint32_t events = POLLOUT | POLLWRNORM | POLLWRBAND, shut;
    if (table)
        table->add(table, &socket->wait);
    inet_lock(sock);
    if (dgram_of(sock)->queue.count)
        events |= POLLIN | POLLRDNORM;
    if (__atomic_load_n(&socket->error, __ATOMIC_ACQUIRE) || sock->error_count)
        events |= POLLERR;
    shut = socket_shut(socket);
    inet_unlock(sock);
    if (shut & SHUT_RECEIVE)
        events |= POLLIN | POLLRDNORM | POLLRDHUP;
    return shut == SHUT_BOTH ? events | POLLHUP : events;
}

long dgram_ioctl(struct socket *socket, unsigned cmd, uintptr_t arg)
{
    struct inet_sock *sock = inet_of(socket);
    int value = 0;
    if (cmd != SIOCINQ && cmd != SIOCOUTQ)
        return inet_ioctl(socket, cmd, arg);
    inet_lock(sock);
    const struct pkt *first = dgram_of(sock)->queue.first;
    if (cmd == SIOCINQ && first)
        value = (int)first->total;
    inet_unlock(sock);
    return copyout(uaddr(arg), &value, sizeof(value));
}

void dgram_release(struct socket *socket)
{
    struct inet_sock *sock = inet_of(socket);
    inet_lock(sock);
    sock->dead = true;
    if (sock->flow.hashed)
        flow_remove(&sock->flow);
    if (sock->flow.listening)
        flow_unlisten(&sock->flow);
    port_release(&sock->port);
    inet_groups_leave(sock); /* at once, not when the last reference goes */
    inet_unlock(sock);
    inet_put(sock);
}

void dgram_fini(struct dgram_sock *dgram)
{
    pkt_queue_purge(&dgram->queue);
    inet_sock_fini(&dgram->inet);
}
