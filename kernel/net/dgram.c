/* SPDX-License-Identifier: BSD-3-Clause */
/* dgram.c - reading packets as they came. Contract: dgram.h. */
#include "net/dgram.h"

#include "lib/errno.h"
#include "mm/usercopy.h"

#define SIOCINQ 0x541bu
#define SIOCOUTQ 0x5411u

static bool can_receive(void *arg)
{
    struct dgram_sock *dgram = arg;
    const struct socket *base = &dgram->inet.base;
    return dgram->queue.count || (socket_shut(base) & SHUT_RECEIVE) ||
           __atomic_load_n(&base->error, __ATOMIC_RELAXED);
}

/* Wait for a packet: the first of the queue; NULL and 0: shut. The lock is held. */
static int next_locked(struct dgram_sock *dgram, uint64_t deadline, struct pkt **out)
{
    int err = inet_wait(&dgram->inet, can_receive, dgram, deadline);
    if (err == 0)
        err = socket_take_error(&dgram->inet.base);
    *out = err ? NULL : dgram->queue.first;
    /* As Linux: only who would wait is told of the end. */
    return err == 0 && !*out && deadline == 0 ? -EAGAIN : err;
}

static long give(struct inet_sock *sock, struct socket_msg *msg, struct pkt *pkt)
{
    size_t n = MIN((size_t)pkt->total, msg->data->left), whole = pkt->total;
    int err = inet_packet_to(pkt, 0, n, msg->data);
    if (err)
        return err;
    if (n < whole)
        msg->result |= MSG_TRUNC;
    if (msg->name) {
        const struct dgram_info *info = dgram_info(pkt);
        inet_name_put(sock, &info->remote, info->remote_port, pkt->dev ? pkt->dev->index : 0,
                      msg->name);
    }
    inet_control_put(sock, msg, pkt);
    return (long)(msg->flags & MSG_TRUNC ? whole : n);
}

long dgram_recv(struct socket *socket, struct socket_msg *msg)
{
    struct inet_sock *sock = inet_of(socket);
    struct dgram_sock *dgram = dgram_of(sock);
    struct pkt *pkt;
    if (msg->flags & MSG_ERRQUEUE)
        return inet_error_recv(sock, msg);
    if (msg->flags & MSG_OOB && sock->flow.key.protocol != IPPROTO_UDP)
        return -EOPNOTSUPP;
    uint64_t deadline = socket_deadline(&socket->receive_timeout_ns, msg->flags & MSG_DONTWAIT);
    inet_lock(sock);
    long n = next_locked(dgram, deadline, &pkt);
    bool peek = msg->flags & MSG_PEEK;
    if (pkt && peek) {
        n = give(sock, msg, pkt); /* it stays, so nobody may take it meanwhile */
    } else if (pkt) {
        pkt = pkt_queue_take(&dgram->queue);
        channel_discharge(&sock->flow.channel, pkt->truesize);
    }
    inet_unlock(sock);
    if (!pkt || peek)
        return n;
    n = give(sock, msg, pkt);
    pkt_free(pkt);
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
