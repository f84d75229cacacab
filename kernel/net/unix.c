/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unix.c - AF_UNIX sockets: life, connections, state.
 *
 * A connection is two sockets that hold references to each other; each breaks its own when its
 * file closes. A stream's peer is set once, so who has the file may use it without a reference;
 * datagram sockets change theirs under op_lock and lock, and stand on the peer's list of followers,
 * by which it tells them that there is room in its queue.
 *
 * A new connection is made by the client: it makes the server's end (an embryo), ties the two
 * together and queues the embryo, all under the listener's lock, so the connection is there before
 * accept(2). The embryo has no file until then; if the listener goes, it goes as if it had been
 * closed.
 */
#include "net/unix.h"

#include "core/assert.h"
#include "fs/vfs.h"
#include "mm/account.h"
#include "mm/usercopy.h"

#define FIONREAD 0x541bu
#define TIOCOUTQ 0x5411u

static const struct socket_ops stream_ops, dgram_ops, seqpacket_ops;

/* ---- life ---- */

static struct unix_sock *sock_alloc(int type, int protocol)
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
    struct unix_sock *u = sock_alloc(type, 0);
    if (!u)
        return -ENOMEM;
    *out = &u->base;
    return 0;
}

static void set_state(struct unix_sock *u, enum unix_state state)
{
    __atomic_store_n(&u->state, state, __ATOMIC_RELEASE);
}

static void set_peer(struct unix_sock *u, struct unix_sock *peer)
{
    __atomic_store_n(&u->peer, peer, __ATOMIC_RELEASE);
}

/* Everyone who waits for something of u looks again. */
static void wake(struct unix_sock *u)
{
    waitq_wake_all(&u->base.wait, 0);
    waitq_wake_all(&u->room_wait, 0);
}

static void fail(struct unix_sock *u, int error)
{
    __atomic_store_n(&u->base.error, error, __ATOMIC_RELEASE);
}

/* ---- followers: datagram sockets and their peers ---- */

struct unix_sock *unix_peer_get(struct unix_sock *u)
{
    mutex_lock(&u->lock);
    struct unix_sock *peer = u->peer;
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

/* Another peer (a reference, which is taken over; or NULL). u->op_lock held, or u is unseen. The
 * old one comes back with its reference. */
static struct unix_sock *follow(struct unix_sock *u, struct unix_sock *peer)
{
    struct unix_sock *old = u->peer;
    if (old) {
        mutex_lock(&old->lock);
        list_remove(&u->follow_link);
        mutex_unlock(&old->lock);
    }
    mutex_lock(&u->lock);
    set_peer(u, peer);
    set_state(u, peer ? UNIX_CONNECTED : UNIX_FREE);
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

/* What old had sent is not for u any more; if old sends to u, it is told that u has turned away
 * (Linux: unix_dgram_disconnected). */
static void turned_away(struct unix_sock *u, struct unix_sock *old)
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
        wake(old);
    unix_drain(&msgs);
}

void unix_lost_peer(struct unix_sock *u, struct unix_sock *peer)
{
    struct unix_sock *old = NULL;
    mutex_lock(&u->op_lock);
    if (u->peer == peer)
        old = follow(u, NULL);
    mutex_unlock(&u->op_lock);
    if (!old)
        return;
    turned_away(u, old);
    unix_put(old);
}

/* ---- the end ---- */

static void release_sock(struct unix_sock *u, bool embryo);

/* The other end of a connection sees its end. `lost`: something was not read. */
static void end_peer(struct unix_sock *u, bool lost)
{
    mutex_lock(&u->lock);
    struct unix_sock *peer = u->peer;
    set_peer(u, NULL);
    mutex_unlock(&u->lock);
    if (!peer)
        return;
    if (lost)
        fail(peer, ECONNRESET);
    __atomic_fetch_or(&peer->base.shut, SHUT_BOTH, __ATOMIC_RELEASE);
    wake(peer);
    unix_put(peer);
}

static void end_dgram(struct unix_sock *u)
{
    mutex_lock(&u->op_lock);
    struct unix_sock *old = follow(u, NULL);
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
    wake(u);
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
        wake(peer);
        unix_put(peer);
    }
    wake(u);
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
        (void)follow(a, b);
        (void)follow(b, a);
    } else {
        set_peer(a, b);
        set_peer(b, a);
        set_state(a, UNIX_CONNECTED);
        set_state(b, UNIX_CONNECTED);
    }
    return 0;
}

/* ---- listen, accept ---- */

static int listen_locked(struct unix_sock *u, unsigned backlog)
{
    if (!u->name || unix_state(u) == UNIX_CONNECTED)
        return -EINVAL;
    __atomic_store_n(&u->backlog, backlog, __ATOMIC_RELAXED);
    if (unix_state(u) == UNIX_FREE) {
        socket_cred_current(&u->peer_cred);
        set_state(u, UNIX_LISTENING);
        __atomic_store_n(&u->base.listening, true, __ATOMIC_RELAXED);
    }
    return 0;
}

static int unix_listen(struct socket *socket, unsigned backlog)
{
    struct unix_sock *u = unix_of(socket);
    mutex_lock(&u->op_lock);
    int err = listen_locked(u, backlog);
    mutex_unlock(&u->op_lock);
    if (err == 0)
        wake(u);
    return err;
}

static bool backlog_full(const struct unix_sock *u)
{
    return unix_waiting(u) > __atomic_load_n(&u->backlog, __ATOMIC_RELAXED);
}

static bool can_accept(void *arg)
{
    struct unix_sock *u = arg;
    return unix_waiting(u) > 0 || (socket_shut(&u->base) & SHUT_RECEIVE);
}

static struct unix_sock *pop_embryo(struct unix_sock *u)
{
    mutex_lock(&u->lock);
    struct list *node = list_pop_front(&u->embryos);
    if (node)
        __atomic_store_n(&u->waiting, u->waiting - 1, __ATOMIC_RELEASE);
    mutex_unlock(&u->lock);
    return node ? list_entry(node, struct unix_sock, embryo_link) : NULL;
}

static int unix_accept(struct socket *socket, bool nonblock, struct socket **out)
{
    struct unix_sock *u = unix_of(socket), *embryo;
    if (unix_state(u) != UNIX_LISTENING)
        return -EINVAL;
    uint64_t deadline = socket_deadline(&socket->receive_timeout_ns, nonblock);
    while ((embryo = pop_embryo(u)) == NULL) {
        if (socket_shut(socket) & SHUT_RECEIVE)
            return -EINVAL;
        int err = socket_wait(&socket->wait, can_accept, u, deadline);
        if (err)
            return err;
    }
    waitq_wake_all(&u->room_wait, 0);
    *out = &embryo->base;
    return 0;
}

/* ---- connect ---- */

static bool can_connect(void *arg)
{
    struct unix_sock *listener = arg;
    return !backlog_full(listener) || (socket_shut(&listener->base) & SHUT_RECEIVE);
}

/* client and embryo become the ends of a connection. */
static void tie(struct unix_sock *client, struct unix_sock *listener, struct unix_sock *embryo)
{
    ref_get(&client->refs);
    ref_get(&embryo->refs);
    embryo->name = listener->name;
    ref_get(&embryo->name->refs);
    socket_cred_current(&embryo->peer_cred);
    client->peer_cred = listener->peer_cred;
    set_peer(embryo, client);
    set_state(embryo, UNIX_CONNECTED);
    set_peer(client, embryo);
    set_state(client, UNIX_CONNECTED);
}

/* -EAGAIN: no room. client->op_lock held. */
static int try_connect_locked(struct unix_sock *client, struct unix_sock *listener,
                              struct unix_sock *embryo)
{
    int err = 0;
    mutex_lock(&listener->lock);
    if (listener->dead || unix_state(listener) != UNIX_LISTENING ||
        (socket_shut(&listener->base) & SHUT_RECEIVE))
        err = -ECONNREFUSED;
    else if (backlog_full(listener))
        err = -EAGAIN;
    else if (unix_state(client) != UNIX_FREE)
        err = unix_state(client) == UNIX_CONNECTED ? -EISCONN : -EINVAL;
    if (err == 0) {
        tie(client, listener, embryo);
        list_push_back(&listener->embryos, &embryo->embryo_link);
        __atomic_store_n(&listener->waiting, listener->waiting + 1, __ATOMIC_RELEASE);
    }
    mutex_unlock(&listener->lock);
    return err;
}

static int connect_to(struct unix_sock *u, struct unix_sock *listener, struct unix_sock *embryo,
                      uint64_t deadline)
{
    for (;;) {
        mutex_lock(&u->op_lock);
        int err = try_connect_locked(u, listener, embryo);
        mutex_unlock(&u->op_lock);
        if (err == 0)
            waitq_wake_all(&listener->base.wait, POLLIN | POLLRDNORM);
        if (err == -EAGAIN)
            err = socket_wait(&listener->room_wait, can_connect, listener, deadline);
        else
            return err;
        if (err)
            return err;
    }
}

static int need_autobind(struct unix_sock *u)
{
    return socket_switch(&u->base, SO_PASSCRED) && !unix_name(u) ? unix_autobind(u) : 0;
}

static int unix_connect(struct socket *socket, const struct socket_name *name, bool nonblock)
{
    struct unix_sock *u = unix_of(socket), *listener;
    uint64_t deadline = socket_deadline(&socket->send_timeout_ns, nonblock);
    int err = unix_check_name(name);
    if (err == 0)
        err = need_autobind(u);
    if (err)
        return err;
    struct unix_sock *embryo = sock_alloc(socket->type, 0);
    if (!embryo)
        return -ENOMEM;
    err = unix_find(name, socket->type, &listener);
    if (err == 0) {
        err = connect_to(u, listener, embryo, deadline);
        unix_put(listener);
    }
    if (err)
        unix_put(embryo);
    return err;
}

/* ---- connect, datagrams ---- */

/* May u send to other: has it no peer but u? */
static int check_dgram_peer(struct unix_sock *u, struct unix_sock *other)
{
    mutex_lock(&other->lock);
    int err = 0;
    if (other->dead)
        err = -ECONNREFUSED;
    else if (other->peer && other->peer != u)
        err = -EPERM;
    mutex_unlock(&other->lock);
    return err;
}

static int unix_dgram_connect(struct socket *socket, const struct socket_name *name, bool nonblock)
{
    struct unix_sock *u = unix_of(socket), *other = NULL, *old;
    if (name->len < UNIX_PATH_OFFSET)
        return -EINVAL;
    if (name->family != AF_UNSPEC) {
        int err = unix_check_name(name);
        if (err == 0)
            err = need_autobind(u);
        if (err == 0)
            err = unix_find(name, SOCK_DGRAM, &other);
        if (err)
            return err;
        err = check_dgram_peer(u, other);
        if (err) {
            unix_put(other);
            return err;
        }
    }
    mutex_lock(&u->op_lock);
    old = follow(u, other);
    mutex_unlock(&u->op_lock);
    wake(u);
    if (!old)
        return 0;
    if (old != other)
        turned_away(u, old);
    unix_put(old);
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
    .shutdown = unix_shutdown, .ioctl = unix_ioctl, .peer_cred = unix_peer_cred

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
