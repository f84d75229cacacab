/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_sock_fast.c - TCP sockets: Fast Open for clients (RFC 7413; tcp(7): MSG_FASTOPEN and
 * TCP_FASTOPEN_CONNECT), and the cookies of servers that have given one.
 *
 * The cookies stand in a small table by address, where a new one takes the place of the old
 * (RFC 7413, 4.1.3). Only the socket's lock is held outside.
 */
#include "core/spinlock.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "net/tcp_sock.h"

#define COOKIES 64u

static struct {
    struct spinlock lock; /* RANK_PORT */
    struct {
        struct net_addr remote;
        uint8_t len; /* 0: none */
        uint8_t bytes[TCP_COOKIE_MAX];
    } entry[COOKIES];
} cookies;

void tcp_sock_fast_init(void)
{
    spin_init(&cookies.lock, RANK_PORT);
}

static unsigned place_of(const struct net_addr *remote)
{
    uint64_t mix = (remote->half[0] ^ remote->half[1] * 3) * 0x9e3779b97f4a7c15ull;
    return (unsigned)(mix >> 58) % COOKIES;
}

void tcp_sock_fast_learn(struct tcp *tp)
{
    unsigned i = place_of(&tp->key->remote);
    spin_lock(&cookies.lock);
    cookies.entry[i].remote = tp->key->remote;
    cookies.entry[i].len = tp->fast.len;
    memcpy(cookies.entry[i].bytes, tp->fast.cookie, tp->fast.len);
    spin_unlock(&cookies.lock);
    tp->fast.fresh = false;
}

bool tcp_sock_fast_cookie(const struct net_addr *remote, struct tcp_fast *out)
{
    unsigned i = place_of(remote);
    *out = (struct tcp_fast){.ask = true};
    spin_lock(&cookies.lock);
    if (cookies.entry[i].len && net_addr_equal(&cookies.entry[i].remote, remote)) {
        *out = (struct tcp_fast){.len = cookies.entry[i].len};
        memcpy(out->cookie, cookies.entry[i].bytes, out->len);
    }
    spin_unlock(&cookies.lock);
    return out->len > 0;
}

/* TCP_FASTOPEN_CONNECT: the SYN waits for data, if there is a cookie to send both with. */
bool tcp_sock_fast_defer(struct tcp_sock *ts, const struct inet_name *to,
                         const struct tcp_fast *fast)
{
    struct inet_name *name = fast->len ? kmalloc(sizeof(*name), ALLOC_DEFAULT) : NULL;
    if (!name)
        return false;
    *name = *to;
    inet_lock(&ts->inet);
    bool may = !ts->active && !ts->connecting && !ts->listener && !ts->deferred;
    if (may)
        __atomic_store_n(&ts->deferred, name, __ATOMIC_RELAXED); /* read again under the lock */
    inet_unlock(&ts->inet);
    if (!may)
        kfree(name);
    return may;
}

void tcp_sock_any_is_here(struct net_addr *address)
{
    if (net_addr_is_any(address))
        *address = net_addr_is_v4(address) ? net_addr_v4(net32(0x7f000001))
                                           : (struct net_addr){.bytes = {[15] = 1}};
}

/* To whom: what connect(2) was told, or the message's name. 1: another thread has begun. */
static int target(struct tcp_sock *ts, const struct socket_msg *msg, struct inet_name *to)
{
    inet_lock(&ts->inet);
    struct inet_name *deferred = ts->deferred;
    if (deferred)
        *to = *deferred;
    __atomic_store_n(&ts->deferred, NULL, __ATOMIC_RELAXED); /* others only ask whether it is one */
    inet_unlock(&ts->inet);
    kfree(deferred);
    if (deferred)
        return 0;
    if (!msg->name)
        return 1;
    int err = inet_name_get(&ts->inet, msg->name, to);
    if (err == 0)
        tcp_sock_any_is_here(&to->address);
    return err;
}

long tcp_sock_fast_send(struct tcp_sock *ts, struct socket_msg *msg)
{
    bool nonblock = msg->flags & MSG_DONTWAIT;
    struct tcp_fast fast;
    struct inet_name to;
    struct pkt *pkt = NULL;
    size_t n = 0;
    int err = target(ts, msg, &to);
    if (err == 0 && tcp_sock_fast_cookie(&to.address, &fast)) {
        n = MIN(msg->data->left, (size_t)TCP_SEND_MAX);
        err = n ? inet_packet_from(msg->data, 0, n, &pkt) : 0;
    }
    if (err)
        return MIN(err, 0);
    err = tcp_sock_open(ts, &to, nonblock, &fast, pkt);
    /* With a cookie the bytes are on their way. */
    return err == 0 || (err == -EINPROGRESS && n) ? (long)n : err;
}
