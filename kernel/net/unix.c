/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unix.c - AF_UNIX sockets: life, peers, state. Connections are made in unix_connect.c.
 *
 * A connection is two sockets that hold references to each other; each breaks its own when its
 * file closes. A stream's peer is set once, so who has the file may use it without a reference;
 * datagram sockets change theirs under op_lock and lock, and stand on the peer's list of followers,
 * by which it tells them that there is room in its queue.
 */
#include "net/unix.h"
#include "net/bpf.h"

#include "core/assert.h"
#include "fs/vfs.h"
#include "mm/account.h"
#include "mm/usercopy.h"

#define FIONREAD 0x541bu
#define TIOCOUTQ 0x5411u

static const struct socket_ops stream_ops, dgram_ops, seqpacket_ops;

/* ---- life ---- */

struct unix_sock *unix_alloc(int type, int protocol)
{
    struct unix_sock *u = owner_alloc(OWNER_SOCKET, sizeof(*u));
    if (!u)
        return NULL;
    const struct socket_ops *ops = type == SOCK_STREAM  ? &stream_ops
                                   : type == SOCK_DGRAM ? &dgram_ops
                                                        : &seqpacket_ops;
    socket_init(&u->base, ops, AF_UNIX, type, protocol);
    ref_init(&u->refs);
    mutex_init(&u->op_lock, RANK_SOCK_NAME);
    mutex_init(&u->read_lock, RANK_SOCK_READ);
    mutex_init(&u->lock, RANK_SOCK);
    waitq_init(&u->room_wait);
    list_init(&u->queue);
    list_init(&u->embryos);
    list_init(&u->followers);
    list_init(&u->embryo_link);
    list_init(&u->follow_link);
    list_init(&u->hash_link);
    list_init(&u->flight_link);
    list_init(&u->all_link);
    unix_list_add(u);
    return u;
}

void unix_put(struct unix_sock *u)
{
    if (!ref_put(&u->refs))
        return;
    ASSERT(u->charged == 0 && !u->peer && list_empty(&u->queue) && u->in_flight == 0);
    unix_list_remove(u);
    bpf_free(&u->base);
    unix_name_put(u->name);
    owner_free(OWNER_SOCKET, u, sizeof(*u));
}

static int unix_create(int type, int protocol, struct socket **out)
{
    if (protocol != 0 && protocol != AF_UNIX)
        return -EPROTONOSUPPORT;
    if (type == SOCK_RAW) /* as BSD and Linux have it */
        type = SOCK_DGRAM;
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return -ESOCKTNOSUPPORT;
    struct unix_sock *u = unix_alloc(type, 0);
    if (!u)
        return -ENOMEM;
    *out = &u->base;
    return 0;
}

static void fail(struct unix_sock *u, int error)
{
    __atomic_store_n(&u->base.error, error, __ATOMIC_RELEASE);
}

/* ---- followers: datagram sockets and their peers ---- */

/* The lock is for datagram sockets. A stream that is just being connected gets its peer without it,
 * once, and keeps it while the caller has the file. */
struct unix_sock *unix_peer_get(struct unix_sock *u)
{
    mutex_lock(&u->lock);
    struct unix_sock *peer = unix_peer(u);
    if (peer)
        ref_get(&peer->refs);
    mutex_unlock(&u->lock);
    return peer;
}

void unix_wake_followers(struct unix_sock *u)
{
    mutex_lock(&u->lock);
    list_for_each (node, &u->followers)
        waitq_wake_all(&list_entry(node, struct unix_sock, follow_link)->base.wait,
                       POLLOUT | POLLWRNORM | POLLWRBAND);
    mutex_unlock(&u->lock);
}

struct unix_sock *unix_follow(struct unix_sock *u, struct unix_sock *peer)
{
    struct unix_sock *old = u->peer;
    if (old) {
        mutex_lock(&old->lock);
        list_remove(&u->follow_link);
        mutex_unlock(&old->lock);
    }
    mutex_lock(&u->lock);
    unix_set_peer(u, peer);
    unix_set_state(u, peer ? UNIX_CONNECTED : UNIX_FREE);
    mutex_unlock(&u->lock);
    if (peer) {
        mutex_lock(&peer->lock);
        list_push_back(&peer->followers, &u->follow_link);
        mutex_unlock(&peer->lock);
    }
    return old;
}

static void take_queue(struct unix_sock *u, struct list *msgs)
{
    mutex_lock(&u->lock);
    list_splice_back(msgs, &u->queue);
    __atomic_store_n(&u->waiting, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&u->unread, 0, __ATOMIC_RELEASE);
    mutex_unlock(&u->lock);
}

void unix_turned_away(struct unix_sock *u, struct unix_sock *old)
{
    struct list msgs;
    list_init(&msgs);
    if (unix_waiting(u) == 0)
        return;
    mutex_lock(&u->read_lock); /* nobody is looking at the messages */
    take_queue(u, &msgs);
    mutex_unlock(&u->read_lock);
    waitq_wake_all(&u->room_wait, 0);
    unix_wake_followers(u);
    mutex_lock(&old->lock);
    bool told = !old->dead && old->peer == u;
    if (told)
        fail(old, ECONNRESET);
    mutex_unlock(&old->lock);
    if (told)
        unix_wake(old);
    unix_drain(&msgs);
}

void unix_lost_peer(struct unix_sock *u, struct unix_sock *peer)
{
    struct unix_sock *old = NULL;
    mutex_lock(&u->op_lock);
    if (u->peer == peer)
        old = unix_follow(u, NULL);
    mutex_unlock(&u->op_lock);
    if (!old)
        return;
    unix_turned_away(u, old);
    unix_put(old);
}

/* ---- the end ---- */

static void release_sock(struct unix_sock *u, bool embryo);

/* The other end of a connection sees its end. `lost`: something was not read. */
static void end_peer(struct unix_sock *u, bool lost)
{
    mutex_lock(&u->lock);
    struct unix_sock *peer = u->peer;
    unix_set_peer(u, NULL);
    mutex_unlock(&u->lock);
    if (!peer)
        return;
    if (lost)
        fail(peer, ECONNRESET);
    __atomic_fetch_or(&peer->base.shut, SHUT_BOTH, __ATOMIC_RELEASE);
    unix_wake(peer);
    unix_put(peer);
}

static void end_dgram(struct unix_sock *u)
{
    mutex_lock(&u->op_lock);
    struct unix_sock *old = unix_follow(u, NULL);
    mutex_unlock(&u->op_lock);
    if (old)
        unix_put(old);
}

/* Nobody will come into the lists any more. */
static void mark_dead(struct unix_sock *u, struct list *msgs, struct list *embryos)
{
    mutex_lock(&u->lock);
    u->dead = true;
    __atomic_fetch_or(&u->base.shut, SHUT_BOTH, __ATOMIC_RELEASE);
    list_splice_back(msgs, &u->queue);
    list_splice_back(embryos, &u->embryos);
    __atomic_store_n(&u->waiting, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&u->unread, 0, __ATOMIC_RELEASE);
    mutex_unlock(&u->lock);
}

static void release_sock(struct unix_sock *u, bool embryo)
{
    struct list msgs, embryos, *node;
    list_init(&msgs);
    list_init(&embryos);
    unix_unhash(u);
    mark_dead(u, &msgs, &embryos);
    unix_wake(u);
    unix_wake_followers(u);
    if (unix_is_dgram(u))
        end_dgram(u);
    else
        end_peer(u, embryo || !list_empty(&msgs));
    while ((node = list_pop_front(&embryos)) != NULL) /* have none of their own */
        release_sock(list_entry(node, struct unix_sock, embryo_link), true);
    unix_drain(&msgs);
    unix_put(u);
}

static void unix_release(struct socket *socket)
{
    release_sock(unix_of(socket), false);
}

static int unix_shutdown(struct socket *socket, unsigned what)
{
    struct unix_sock *u = unix_of(socket);
    __atomic_fetch_or(&socket->shut, what, __ATOMIC_RELEASE);
    struct unix_sock *peer = unix_is_dgram(u) ? NULL : unix_peer_get(u);
    if (peer) {
        unsigned other =
            (what & SHUT_RECEIVE ? SHUT_SEND : 0) | (what & SHUT_SEND ? SHUT_RECEIVE : 0);
        __atomic_fetch_or(&peer->base.shut, other, __ATOMIC_RELEASE);
        unix_wake(peer);
        unix_put(peer);
    }
    unix_wake(u);
    unix_wake_followers(u);
    return 0;
}

/* ---- pairs ---- */

static int unix_pair(struct socket *sa, struct socket *sb)
{
    struct unix_sock *a = unix_of(sa), *b = unix_of(sb);
    ref_get(&a->refs);
    ref_get(&b->refs);
    socket_cred_current(&a->peer_cred);
    b->peer_cred = a->peer_cred;
    if (unix_is_dgram(a)) {
        (void)unix_follow(a, b);
        (void)unix_follow(b, a);
    } else {
        unix_set_peer(a, b);
        unix_set_peer(b, a);
        unix_set_state(a, UNIX_CONNECTED);
        unix_set_state(b, UNIX_CONNECTED);
    }
    return 0;
}

/* ---- names, options, state ---- */

static int unix_get_name(struct socket *socket, bool peer, struct socket_name *out)
{
    struct unix_sock *u = unix_of(socket), *of = u;
    if (peer) {
        of = unix_peer_get(u);
        if (!of)
            return -ENOTCONN;
    }
    struct unix_name *name = unix_name(of);
    if (name)
        *out = name->name;
    else
        *out = (struct socket_name){.len = UNIX_PATH_OFFSET, .family = AF_UNIX};
    if (peer)
        unix_put(of);
    return 0;
}

static void unix_peer_cred(struct socket *socket, struct socket_cred *out)
{
    struct unix_sock *u = unix_of(socket);
    if (unix_state(u) != UNIX_FREE && u->peer_cred.pid)
        *out = u->peer_cred;
}

static long unix_ioctl(struct socket *socket, unsigned cmd, uintptr_t arg)
{
    struct unix_sock *u = unix_of(socket);
    int value = 0;
    switch (cmd) {
    case TIOCOUTQ:
        value = (int)MIN(__atomic_load_n(&u->charged, __ATOMIC_RELAXED), (int64_t)INT32_MAX);
        break;
    case FIONREAD:
        if (unix_state(u) == UNIX_LISTENING)
            return -EINVAL;
        if (unix_is_dgram(u)) {
            mutex_lock(&u->lock);
            if (!list_empty(&u->queue))
                value = (int)list_entry(u->queue.next, struct unix_msg, link)->len;
            mutex_unlock(&u->lock);
        } else {
            value = (int)MIN(__atomic_load_n(&u->unread, __ATOMIC_RELAXED), (uint64_t)INT32_MAX);
        }
        break;
    default:
        return -ENOTTY;
    }
    return copyout(uaddr(arg), &value, sizeof(value));
}

/* ---- poll ---- */

/* Errors and what can be read, the same for all types (Linux: unix_poll). */
static uint32_t poll_in(struct unix_sock *u)
{
    uint32_t shut = socket_shut(&u->base), events = 0;
    if (__atomic_load_n(&u->base.error, __ATOMIC_ACQUIRE))
        events |= POLLERR;
    if (shut == SHUT_BOTH)
        events |= POLLHUP;
    if (shut & SHUT_RECEIVE)
        events |= POLLRDHUP | POLLIN | POLLRDNORM;
    if (unix_waiting(u) > 0)
        events |= POLLIN | POLLRDNORM;
    if (!unix_is_dgram(u) && unix_state(u) == UNIX_FREE)
        events |= POLLHUP;
    return events;
}

static uint32_t unix_poll(struct socket *socket, struct poll_table *table)
{
    struct unix_sock *u = unix_of(socket);
    if (table)
        table->add(table, &socket->wait);
    uint32_t events = poll_in(u);
    if (unix_state(u) != UNIX_LISTENING && unix_writable(u))
        events |= POLLOUT | POLLWRNORM | POLLWRBAND;
    return events;
}

/* Is there no room in the queue of the peer, which does not talk to u alone? */
static bool peer_full(struct unix_sock *u)
{
    mutex_lock(&u->lock); /* so the peer stays */
    struct unix_sock *peer = u->peer;
    bool full = peer && unix_peer(peer) != u && unix_waiting(peer) > UNIX_DGRAM_QUEUE;
    mutex_unlock(&u->lock);
    return full;
}

static uint32_t unix_dgram_poll(struct socket *socket, struct poll_table *table)
{
    uint32_t events = unix_poll(socket, table);
    if ((events & POLLOUT) && peer_full(unix_of(socket)))
        events &= ~(POLLOUT | POLLWRNORM | POLLWRBAND);
    return events;
}

#define UNIX_COMMON_OPS \
    .release = unix_release, .bind = unix_bind, .pair = unix_pair, .get_name = unix_get_name, \
    .shutdown = unix_shutdown, .ioctl = unix_ioctl, .peer_cred = unix_peer_cred, .filters = true, \
    .peeks = true

static const struct socket_ops stream_ops = {
    UNIX_COMMON_OPS,       .listen = unix_listen,    .connect = unix_connect,
    .accept = unix_accept, .send = unix_stream_send, .recv = unix_stream_recv,
    .poll = unix_poll,
};

static const struct socket_ops dgram_ops = {
    UNIX_COMMON_OPS,          .connect = unix_dgram_connect, .send = unix_packet_send,
    .recv = unix_packet_recv, .poll = unix_dgram_poll,
};

static const struct socket_ops seqpacket_ops = {
    UNIX_COMMON_OPS,       .listen = unix_listen,    .connect = unix_connect,
    .accept = unix_accept, .send = unix_packet_send, .recv = unix_packet_recv,
    .poll = unix_poll,
};

const struct socket_family unix_family = {AF_UNIX, unix_create};

int unix_init(void)
{
    unix_files_init();
    return unix_proc_init();
}
