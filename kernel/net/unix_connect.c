/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unix_connect.c - AF_UNIX sockets: listen(2), accept(2), connect(2).
 *
 * A new connection is made by the client: it makes the server's end (an embryo), ties the two
 * together and queues the embryo, all under the listener's lock, so the connection is there before
 * accept(2). The embryo has no file until then; if the listener goes, it goes as if it had been
 * closed.
 */
#include "net/unix.h"

#include "core/assert.h"

/* ---- listen, accept ---- */

static int listen_locked(struct unix_sock *u, unsigned backlog)
{
    if (!u->name || unix_state(u) == UNIX_CONNECTED)
        return -EINVAL;
    __atomic_store_n(&u->backlog, backlog, __ATOMIC_RELAXED);
    if (unix_state(u) == UNIX_FREE) {
        socket_cred_current(&u->peer_cred);
        unix_set_state(u, UNIX_LISTENING);
        __atomic_store_n(&u->base.listening, true, __ATOMIC_RELAXED);
    }
    return 0;
}

int unix_listen(struct socket *socket, unsigned backlog)
{
    struct unix_sock *u = unix_of(socket);
    mutex_lock(&u->op_lock);
    int err = listen_locked(u, backlog);
    mutex_unlock(&u->op_lock);
    if (err == 0)
        unix_wake(u);
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

int unix_accept(struct socket *socket, bool nonblock, struct socket **out)
{
    struct unix_sock *u = unix_of(socket), *embryo;
    if (unix_state(u) != UNIX_LISTENING)
        return -EINVAL;
    uint64_t deadline = socket_deadline(&socket->receive_timeout_ns, nonblock);
    while ((embryo = pop_embryo(u)) == NULL) {
        if (socket_shut(socket) & SHUT_RECEIVE)
            return nonblock ? -EAGAIN : -EINVAL;
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
    unix_set_peer(embryo, client);
    unix_set_state(embryo, UNIX_CONNECTED);
    unix_set_peer(client, embryo);
    unix_set_state(client, UNIX_CONNECTED);
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
            waitq_wake_one(&listener->base.wait, POLLIN | POLLRDNORM);
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

int unix_connect(struct socket *socket, const struct socket_name *name, bool nonblock)
{
    struct unix_sock *u = unix_of(socket), *listener;
    uint64_t deadline = socket_deadline(&socket->send_timeout_ns, nonblock);
    int err = unix_check_name(name);
    if (err == 0)
        err = need_autobind(u);
    if (err)
        return err;
    struct unix_sock *embryo = unix_alloc(socket->type, 0);
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

int unix_dgram_connect(struct socket *socket, const struct socket_name *name, bool nonblock)
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
    old = unix_follow(u, other);
    mutex_unlock(&u->op_lock);
    unix_wake(u);
    if (!old)
        return 0;
    if (old != other)
        unix_turned_away(u, old);
    unix_put(old);
    return 0;
}
