/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_sock_open.c - TCP sockets: connect, listen, accept, shutdown, close.
 *
 * A listener's queue holds connections that are established; each is a reference. A child is made
 * under the listener's lock and is nobody else's until its flow is inserted; from then on its own
 * lock guards it, and the listener touches only its place in the queue.
 */
#include "core/assert.h"
#include "fs/context.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "net/tcp_sock.h"

/* ---- connect ---- */

static bool opening(const struct tcp_sock *ts)
{
    return ts->tp.state == TCP_SYN_SENT || ts->tp.state == TCP_SYN_RCVD;
}

static bool opened(void *arg)
{
    return !opening(arg);
}

static int insert(void *arg)
{
    struct inet_sock *inet = arg;
    inet->flow.key.local_port = net16(inet->port.port);
    return flow_insert(&inet->flow);
}

/* A local port, and a place among the connected. */
static int take_place(struct tcp_sock *ts)
{
    struct inet_sock *inet = &ts->inet;
    struct flow_key *key = &inet->flow.key;
    if (inet->port.port) {
        int err = flow_insert(&inet->flow);
        return err == -EADDRINUSE ? -EADDRNOTAVAIL : err;
    }
    inet->port = (struct port_use){
        .local = key->local,
        .uid = inet->base.owner_uid,
        .device = inet->flow.device,
        .protocol = IPPROTO_TCP,
        .reuse_address = socket_switch(&inet->base, SO_REUSEADDR),
        .reuse_port = socket_switch(&inet->base, SO_REUSEPORT),
        .v6_only = inet->flow.v6_only,
    };
    return port_connect(&inet->port, &key->remote, key->remote_port, inet_port_range(inet), insert,
                        inet);
}

static void forget_peer(struct inet_sock *inet)
{
    struct flow_key *key = &inet->flow.key;
    bool v4 = inet->base.family == AF_INET;
    key->remote = v4 ? net_addr_any_v4 : net_addr_any;
    key->remote_port = 0;
    if (!inet->bound_address)
        key->local = key->remote;
    route_release(&inet->route);
}

/* The lock is held; it is closed, its flow in no table, and nobody stands on it. */
static int begin(struct tcp_sock *ts, const struct inet_name *to, const struct tcp_fast *fast,
                 struct pkt *pkt, struct flow_key *wanted)
{
    struct inet_sock *inet = &ts->inet;
    struct flow_key *key = &inet->flow.key;
    if (to->scope) /* a link-local peer: whatever route is asked for later leads there, too */
        __atomic_store_n(&inet->flow.device, to->scope, __ATOMIC_RELAXED);
    int err = inet_route_locked(inet, &to->address, to->scope);
    if (err)
        return err;
    if (inet->route.broadcast || inet->route.multicast)
        return -ENETUNREACH;
    if (net_addr_is_any(&key->local))
        key->local = inet->route.source;
    key->remote = to->address;
    key->remote_port = to->port;
    err = take_place(ts);
    if (err) {
        *wanted = *key;
        forget_peer(inet);
        return err;
    }
    tcp_sock_begin(ts);
    inet_set_error(inet, 0); /* of the connection before (Linux: tcp_connect_init) */
    inet->connected = true;
    ts->connecting = true;
    ts->tp.key = &ts->inet.flow.key;
    tcp_sock_sync_options(ts);
    tcp_set_path(&ts->tp, tcp_sock_path_mss(&inet->route));
    if (fast)
        ts->tp.fast = *fast;
    tcp_connect_with(&ts->tp, pkt);
    return 0;
}

/* A socket whose attempt failed, or that was disconnected, may try again: as new. op_lock is held,
 * the lock is not. */
static void renew(struct tcp_sock *ts)
{
    struct inet_sock *inet = &ts->inet;
    if (!ts->hashed_once && !ts->unlisted)
        return;
    rcu_synchronize(); /* lookups stand on the flow no more */
    inet_lock(inet);
    if (!ts->active) {
        struct tcp keep = ts->tp;
        tcp_destroy(&ts->tp);
        tcp_init(&ts->tp, &tcp_stack);
        ts->tp.no_delay = keep.no_delay;
        ts->tp.cork = keep.cork;
        ts->tp.mss_user = keep.mss_user;
        ts->tp.keep_idle_s = keep.keep_idle_s;
        ts->tp.keep_interval_s = keep.keep_interval_s;
        ts->tp.keep_count = keep.keep_count;
        ts->tp.syn_retries = keep.syn_retries;
        ts->tp.user_timeout_ms = keep.user_timeout_ms;
        ts->tp.linger2_s = keep.linger2_s;
        ts->tp.no_quick = keep.no_quick;
        ts->tp.cong.reno = keep.cong.reno;
        __atomic_store_n(&inet->base.shut, 0, __ATOMIC_RELEASE);
        if (inet->port.shared || !inet->port_chosen) { /* as Linux: another one next time */
            port_release(&inet->port);
            inet->flow.key.local_port = 0;
        }
        forget_peer(inet);
        ts->hashed_once = ts->connecting = ts->unlisted = ts->established = false;
    }
    inet_unlock(inet);
}

static void stop_listening(struct tcp_sock *ts, struct list *children);
static void drop_children(struct list *children);

/* connect(2), AF_UNSPEC: also the end of a listener. */
static void disconnect(struct tcp_sock *ts)
{
    struct list children;
    list_init(&children);
    inet_lock(&ts->inet);
    kfree(ts->deferred);
    __atomic_store_n(&ts->deferred, NULL, __ATOMIC_RELAXED);
    if (ts->listener)
        stop_listening(ts, &children);
    else if (ts->active)
        tcp_abort(&ts->tp, ECONNRESET); /* what SO_ERROR says then, as on Linux */
    inet_wake(&ts->inet, POLLIN | POLLRDNORM | POLLOUT | POLLRDHUP);
    inet_unlock(&ts->inet);
    drop_children(&children);
    renew(ts);
}

/* An attempt that has failed has given its port back (Linux: tcp_done): it may be bound. */
int tcp_sock_bind(struct socket *socket, const struct socket_name *name)
{
    struct inet_sock *inet = inet_of(socket);
    struct tcp_sock *ts = tcp_sock_of(inet);
    mutex_lock(inet_op_lock(inet));
    inet_lock(inet);
    bool failed = ts->hashed_once && !ts->active && !tcp_synchronized(&ts->tp) &&
                  !ts->established && !ts->listener;
    inet_unlock(inet);
    if (failed) {
        bool untold = ts->connecting; /* under op_lock: the next connect says how the last went */
        renew(ts);
        inet_lock(inet);
        ts->connecting = untold;
        inet_unlock(inet);
    }
    mutex_unlock(inet_op_lock(inet));
    return inet_bind(socket, name);
}

/* The lock is held. 1: it is time to begin. */
static int ready(struct tcp_sock *ts)
{
    struct socket *base = &ts->inet.base;
    if (ts->listener)
        return -EISCONN;
    if (ts->deferred)
        return -EALREADY;
    if (ts->connecting) {
        if (opening(ts))
            return -EALREADY;
        ts->connecting = false;
        ts->established = tcp_synchronized(&ts->tp);
        if (ts->established)
            return 0; /* the first call that asks how it went */
        int err = socket_take_error(base);
        return err ? err : -ECONNABORTED;
    }
    /* Also when it is over: connect(2) needs AF_UNSPEC before. */
    return ts->active || ts->established ? -EISCONN : 1;
}

static int wait_opened(struct tcp_sock *ts, bool nonblock)
{
    struct inet_sock *inet = &ts->inet;
    int err = 0;
    if (opening(ts) && nonblock)
        return -EINPROGRESS;
    if (opening(ts))
        err = inet_wait(inet, opened, ts, socket_deadline(&inet->base.send_timeout_ns, false));
    if (err == -EAGAIN)
        return -EINPROGRESS; /* SO_SNDTIMEO: socket(7) */
    if (err)
        return err;
    ts->connecting = false;
    ts->established = tcp_synchronized(&ts->tp);
    if (ts->established)
        return 0;
    err = socket_take_error(&inet->base);
    return err ? err : -ECONNABORTED;
}

/* Its place was taken: perhaps by what waits in TIME-WAIT. Only where bind(2) chose the port: else
 * another one was found. */
static int take_over(struct tcp_sock *ts, const struct inet_name *to, const struct tcp_fast *fast,
                     struct pkt *pkt, struct flow_key *wanted)
{
    uint32_t iss;
    if (!tcp_sock_tw_reuse(wanted, ts->inet.flow.device, &iss))
        return -EADDRNOTAVAIL;
    inet_lock(&ts->inet);
    ts->tp.iss = iss;
    int err = begin(ts, to, fast, pkt, wanted);
    if (err)
        ts->tp.iss = 0;
    inet_unlock(&ts->inet);
    return err;
}

int tcp_sock_open(struct tcp_sock *ts, const struct inet_name *to, bool nonblock,
                  const struct tcp_fast *fast, struct pkt *pkt)
{
    struct inet_sock *inet = &ts->inet;
    mutex_lock(inet_op_lock(inet));
    inet_lock(inet);
    int err = ready(ts);
    inet_unlock(inet);
    bool begun = err == 1;
    if (begun) {
        struct flow_key wanted = {.protocol = 0};
        renew(ts);
        inet_lock(inet);
        err = begin(ts, to, fast, pkt, &wanted);
        inet_unlock(inet);
        if (err == -EADDRNOTAVAIL && inet->port.port) /* under op_lock */
            err = take_over(ts, to, fast, pkt, &wanted);
    }
    mutex_unlock(inet_op_lock(inet));
    begun = begun && err == 0;
    if (!begun)
        pkt_free(pkt);
    if (begun && nonblock)
        return -EINPROGRESS; /* even if it is over already, as on Linux: programs expect that */
    if (begun || (err == -EALREADY && !nonblock)) {
        inet_lock(inet);
        int waited = wait_opened(ts, nonblock);
        inet_unlock(inet);
        /* Whose time is over says what it was before. */
        err = waited == -EINPROGRESS && !begun ? -EALREADY : waited;
    }
    return err;
}

int tcp_sock_connect(struct socket *socket, const struct socket_name *name, bool nonblock)
{
    struct inet_sock *inet = inet_of(socket);
    struct tcp_sock *ts = tcp_sock_of(inet);
    struct tcp_fast fast;
    struct inet_name to;
    if (name->len < sizeof(name->family))
        return -EINVAL;
    bool leave = name->family == AF_UNSPEC;
    int err = leave ? 0 : inet_name_get(inet, name, &to);
    if (err)
        return err;
    if (leave) {
        mutex_lock(inet_op_lock(inet));
        disconnect(ts);
        mutex_unlock(inet_op_lock(inet));
        return 0;
    }
    err = net_addr_is_multicast(&to.address) ? -ENETUNREACH : inet_check_scope(inet, &to);
    if (err)
        return err == -ENODEV ? -ENETUNREACH : err;
    tcp_sock_any_is_here(&to.address);
    if (!ts->fast_connect)
        return tcp_sock_open(ts, &to, nonblock, NULL, NULL);
    (void)tcp_sock_fast_cookie(&to.address, &fast);
    return tcp_sock_fast_defer(ts, &to, &fast) ? 0 : tcp_sock_open(ts, &to, nonblock, &fast, NULL);
}

/* ---- listen ---- */

struct listening {
    struct tcp_listener listener; /* first */
    struct tcp_sock *ts;
};

struct tcp_sock *tcp_sock_of_listener(struct tcp_listener *listener)
{
    return container_of(listener, struct listening, listener)->ts;
}

static int start(struct tcp_sock *ts, unsigned backlog)
{
    struct inet_sock *inet = &ts->inet;
    if (ts->active || ts->connecting || ts->established || tcp_synchronized(&ts->tp))
        return -EINVAL;
    int err = inet_autobind_locked(inet);
    if (err == 0)
        err = port_listen(&inet->port);
    if (err)
        return err;
    struct listening *l = kmalloc(sizeof(*l), ALLOC_ZERO);
    err = l ? tcp_listener_init(&l->listener, &tcp_stack, backlog) : -ENOMEM;
    if (err) {
        kfree(l);
        port_unlisten(&inet->port);
        return err;
    }
    l->ts = ts;
    l->listener.defer_s = ts->defer_s;
    l->listener.fast_limit = ts->fast_limit;
    l->listener.mss_user = ts->tp.mss_user;
    l->listener.save_syn = ts->save_syn;
    struct socket_rare *rare = socket_rare(&inet->base);
    l->listener.fast_keys = rare ? rare->fast_keys : NULL;
    ts->listener = &l->listener;
    inet_set_error(inet, 0);
    tcp_sock_sync_options(ts);
    __atomic_store_n(&inet->base.listening, true, __ATOMIC_RELAXED);
    flow_listen(&inet->flow, &inet->flow.key.local);
    return 0;
}

/* Another connection waits, or one less, or more may. */
static void count_queued(struct tcp_sock *parent, int more)
{
    parent->queued += (unsigned)more;
    parent->listener->full = parent->queued > parent->backlog; /* one more, as since 4.2BSD */
}

int tcp_sock_listen(struct socket *socket, unsigned backlog)
{
    struct inet_sock *inet = inet_of(socket);
    struct tcp_sock *ts = tcp_sock_of(inet);
    int err = 0;
    mutex_lock(inet_op_lock(inet));
    inet_lock(inet);
    bool used =
        !ts->active && !ts->connecting && !ts->established && (ts->hashed_once || ts->unlisted);
    inet_unlock(inet);
    if (used)
        renew(ts); /* a connection that has ended, or a listener that was shut down */
    inet_lock(inet);
    if (ts->listener)
        tcp_listener_resize(ts->listener, backlog);
    else
        err = start(ts, backlog);
    if (err == 0) {
        ts->backlog = backlog;
        count_queued(ts, 0);
    }
    inet_unlock(inet);
    mutex_unlock(inet_op_lock(inet));
    return err;
}

/* ---- children ---- */

/* What an accepted socket has from its listener (socket(7), tcp(7)). */
static void inherit(struct tcp_sock *child, const struct tcp_sock *parent)
{
    struct socket *to = &child->inet.base;
    const struct socket *from = &parent->inet.base;
    to->send_buffer = from->send_buffer;
    to->receive_buffer = from->receive_buffer;
    to->receive_low = from->receive_low;
    to->send_timeout_ns = from->send_timeout_ns;
    to->receive_timeout_ns = from->receive_timeout_ns;
    to->linger_s = from->linger_s;
    to->priority = from->priority;
    to->mark = from->mark;
    to->switches = from->switches;
    to->stamping = from->stamping;
    to->owner_uid = from->owner_uid;
    to->owner_gid = from->owner_gid;
    child->inet.options = parent->inet.options;
    child->inet.tos = parent->inet.tos;
    child->inet.traffic_class = parent->inet.traffic_class;
    child->inet.ttl = parent->inet.ttl;
    child->inet.hop_limit = parent->inet.hop_limit;
    child->inet.mtu_discover = parent->inet.mtu_discover;
    child->inet.flow.device =
        parent->segment_device ? parent->segment_device : parent->inet.flow.device;
    child->inet.flow.v6_only = parent->inet.flow.v6_only;
    child->inet.min_ttl = parent->inet.min_ttl;
    child->unsent_low = parent->unsent_low;
    child->save_syn = parent->save_syn;
    child->tp.no_delay = parent->tp.no_delay;
    child->tp.cork = parent->tp.cork;
    child->tp.no_quick = parent->tp.no_quick;
    child->tp.mss_user = parent->tp.mss_user;
    child->tp.keep_idle_s = parent->tp.keep_idle_s;
    child->tp.keep_interval_s = parent->tp.keep_interval_s;
    child->tp.keep_count = parent->tp.keep_count;
    child->tp.user_timeout_ms = parent->tp.user_timeout_ms;
    child->tp.linger2_s = parent->tp.linger2_s;
    child->tp.cong.reno = parent->tp.cong.reno;
}

struct tcp *tcp_sock_child(struct tcp_listener *listener, const struct flow_key *key)
{
    struct tcp_sock *parent = tcp_sock_of_listener(listener);
    if (listener->full)
        return NULL;
    struct tcp_sock *ts = tcp_sock_new(parent->inet.base.family);
    if (!ts)
        return NULL;
    inherit(ts, parent);
    ts->inet.flow.key = *key;
    ts->inet.flow.hash = flow_hash(key);
    ts->inet.connected = ts->established = true;
    ts->tp.key = &ts->inet.flow.key;
    port_inherit(&ts->inet.port, &parent->inet.port);
    tcp_sock_begin(ts);
    return &ts->tp;
}

void tcp_sock_accepted(struct tcp_listener *listener, struct tcp *tp)
{
    struct tcp_sock *parent = tcp_sock_of_listener(listener), *ts = tcp_sock_of_tp(tp);
    tcp_sock_sync_options(ts);
    struct socket_rare *rare = listener->saved ? socket_rare_make(&ts->inet.base) : NULL;
    if (rare) {
        rare->saved_syn = listener->saved;
        listener->saved = NULL;
    }
    bool armed = tp->armed_ns != UINT64_MAX; /* in name only; from the insertion on tp is others' */
    if (tp->state != TCP_CLOSED && flow_insert(&ts->inet.flow)) {
        /* Somebody has connected to the same address and port from here meanwhile. */
        ts->inet.dead = true;
        tcp_abort(tp, 0);
        inet_put(&ts->inet);
        return;
    }
    if (armed) { /* under its lock */
        __atomic_store_n(&ts->timer_due, true, __ATOMIC_RELEASE);
        flow_kick(&ts->inet.flow);
    }
    list_push_back(&parent->queue, &ts->queue);
    count_queued(parent, 1);
    inet_wake(&parent->inet, POLLIN | POLLRDNORM);
}

/* ---- accept ---- */

static bool can_accept(void *arg)
{
    const struct tcp_sock *ts = arg;
    return ts->queued || !ts->listener;
}

int tcp_sock_accept(struct socket *socket, bool nonblock, struct socket **out)
{
    struct inet_sock *inet = inet_of(socket);
    struct tcp_sock *ts = tcp_sock_of(inet);
    inet_lock(inet);
    int err = ts->listener ? 0 : -EINVAL;
    if (err == 0)
        err =
            inet_wait(inet, can_accept, ts, socket_deadline(&socket->receive_timeout_ns, nonblock));
    if (err == 0 && !ts->listener)
        err = -EINVAL; /* shut down meanwhile */
    if (err == 0) {
        struct list *node = list_pop_front(&ts->queue);
        count_queued(ts, -1);
        *out = &list_entry(node, struct tcp_sock, queue)->inet.base;
        ts->segment_device = 0; /* nothing is held of link-local peers */
        tcp_listener_room(ts->listener);
    }
    inet_unlock(inet);
    return err;
}

/* ---- the end ---- */

/* Nobody will accept these: reset them. No lock is held. */
static void drop_children(struct list *children)
{
    struct list *node;
    while ((node = list_pop_front(children))) {
        struct tcp_sock *ts = list_entry(node, struct tcp_sock, queue);
        inet_lock(&ts->inet);
        ts->inet.dead = true;
        tcp_abort(&ts->tp, 0);
        if (!ts->active)
            port_release(&ts->inet.port);
        inet_unlock(&ts->inet);
        inet_put(&ts->inet);
    }
}

/* The lock is held. */
static void stop_listening(struct tcp_sock *ts, struct list *children)
{
    struct listening *l = container_of(ts->listener, struct listening, listener);
    flow_unlisten(&ts->inet.flow);
    ts->unlisted = true;
    port_unlisten(&ts->inet.port);
    __atomic_store_n(&ts->inet.base.listening, false, __ATOMIC_RELAXED);
    if (timer_cancel(&ts->timer))
        inet_put(&ts->inet);
    tcp_listener_destroy(ts->listener);
    ts->listener = NULL;
    ts->queued = 0;
    list_splice_back(children, &ts->queue);
    kfree(l);
}

int tcp_sock_shutdown(struct socket *socket, unsigned what)
{
    struct inet_sock *inet = inet_of(socket);
    struct tcp_sock *ts = tcp_sock_of(inet);
    struct list children;
    int err = 0;
    list_init(&children);
    inet_lock(inet);
    if (ts->listener) {
        if (what & SHUT_RECEIVE) /* tcp(7): that ends listening */
            stop_listening(ts, &children);
    } else if (ts->tp.state == TCP_CLOSED || ts->tp.state == TCP_TIME_WAIT) {
        /* An error, and shut all the same, as on Linux. */
        __atomic_fetch_or(&socket->shut, what, __ATOMIC_RELEASE);
        inet_wake(inet, POLLIN | POLLRDNORM | POLLOUT | POLLRDHUP);
        err = -ENOTCONN;
    } else if (ts->tp.state == TCP_SYN_SENT) {
        ts->connecting = false; /* whoever waits for it hears of it, whoever asks may begin anew */
        tcp_abort(&ts->tp, ECONNRESET);
    } else {
        __atomic_fetch_or(&socket->shut, what, __ATOMIC_RELEASE);
        ts->tp.deaf = socket_shut(socket) == SHUT_BOTH;
        if (what & SHUT_SEND)
            tcp_shutdown(&ts->tp);
    }
    if (err == 0)
        inet_wake(inet, POLLIN | POLLRDNORM | POLLOUT | POLLRDHUP);
    inet_unlock(inet);
    drop_children(&children);
    return err;
}

static bool sent_all(void *arg)
{
    const struct tcp *tp = &((const struct tcp_sock *)arg)->tp;
    return tp->state == TCP_CLOSED || tp->state == TCP_TIME_WAIT || tp->state == TCP_FIN_WAIT2;
}

/* Connections whose program has gone; beyond tcp_stack.max_orphans they are reset (tcp(7)). */
static uint32_t orphans, speaking; /* atomic, relaxed */

static void speak_no_more(struct tcp_sock *ts)
{
    if (ts->speaking)
        __atomic_fetch_sub(&speaking, 1, __ATOMIC_RELAXED);
    ts->speaking = false;
}

void tcp_sock_orphan_gone(struct tcp_sock *ts)
{
    speak_no_more(ts);
    __atomic_fetch_sub(&orphans, 1, __ATOMIC_RELAXED);
}

void tcp_sock_orphan_changed(struct tcp_sock *ts)
{
    if (sent_all(ts))
        speak_no_more(ts);
}

uint32_t tcp_sock_speaking(void)
{
    return __atomic_load_n(&speaking, __ATOMIC_RELAXED);
}

static void become_orphan(struct tcp_sock *ts)
{
    ts->orphan = true;
    if (!sent_all(ts)) {
        ts->speaking = true;
        __atomic_fetch_add(&speaking, 1, __ATOMIC_RELAXED);
    }
    /* What it still has to send is kept for nobody, so it is the first to go (Linux's
     * tcp_check_oom). */
    bool out = ts->tp.written != ts->tp.una && tcp_stack.memory >= TCP_MEMORY_OUT;
    uint32_t most = __atomic_load_n(&tcp_stack.max_orphans, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&orphans, 1, __ATOMIC_RELAXED) > most || out) {
        tcp_stack.count(TCP_N_TCPAbortOnMemory);
        tcp_abort(&ts->tp, 0);
    }
}

void tcp_sock_release(struct socket *socket)
{
    struct inet_sock *inet = inet_of(socket);
    struct tcp_sock *ts = tcp_sock_of(inet);
    struct list children;
    int32_t linger = __atomic_load_n(&socket->linger_s, __ATOMIC_RELAXED);
    list_init(&children);
    inet_lock(inet);
    inet->dead = true;
    if (ts->listener)
        stop_listening(ts, &children);
    else if (linger == 0 && ts->active)
        tcp_abort(&ts->tp, 0); /* SO_LINGER with no time: reset */
    else
        tcp_close(&ts->tp);
    if (linger > 0 && ts->active && !proc_exiting()) {
        /* Until all is acknowledged, or the time is over: close(2) then succeeds all the same. */
        int err = inet_wait(inet, sent_all, ts, clock_mono_ns() + (uint64_t)linger * NS_PER_SEC);
        (void)err;
    }
    if (ts->active)
        become_orphan(ts);
    else
        port_release(&inet->port);
    inet_unlock(inet);
    drop_children(&children);
    inet_put(inet);
}
