/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unix_io.c - sending and receiving on AF_UNIX sockets.
 *
 * Every type queues messages; a stream reader takes bytes from the front of its queue and need not
 * see where they were cut. A message is filled from user memory before any lock is taken, then
 * queued in a short section under the receiver's lock. Receivers of one socket take turns
 * (read_lock), because the bytes of the first message are copied out while it stands in the queue;
 * a receiver that waits holds no lock.
 *
 * Memory in flight is the sender's: a message charges what it takes of the heap to its sender and
 * gives it back when it is freed; who is above SO_SNDBUF waits. Datagrams may come from many
 * senders, so a queue of more than UNIX_DGRAM_QUEUE makes senders wait, too, unless the receiver is
 * connected to the sender.
 */
#include "net/bpf.h"
#include "net/unix.h"

#include "core/assert.h"
#include "fs/fcntl.h"
#include "mm/account.h"

#define PIECE_MAX (32768u - sizeof(struct unix_msg)) /* of a stream, in one message */

/* ---- room: what the sender may have in flight ---- */

/*
 * Is less than `limit` in flight? If not, `starved` asks for a wake. Seq_cst, both here and in
 * discharge: either the one who waits sees the charge shrink, or the one who shrinks it sees that
 * somebody waits.
 */
static bool below(struct unix_sock *u, int64_t limit)
{
    if (__atomic_load_n(&u->charged, __ATOMIC_SEQ_CST) < limit)
        return true;
    __atomic_store_n(&u->starved, true, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&u->charged, __ATOMIC_SEQ_CST) < limit;
}

static int64_t send_buffer(const struct unix_sock *u)
{
    return __atomic_load_n(&u->base.send_buffer, __ATOMIC_RELAXED);
}

bool unix_writable(struct unix_sock *u)
{
    return below(u, send_buffer(u) / 4 + 1);
}

/* Waiters are woken when three quarters are free, so that they do not run for every message. */
static void discharge(struct unix_sock *u, size_t bytes)
{
    int64_t left = __atomic_sub_fetch(&u->charged, (int64_t)bytes, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&u->starved, __ATOMIC_SEQ_CST) || left > send_buffer(u) / 4)
        return;
    __atomic_store_n(&u->starved, false, __ATOMIC_SEQ_CST);
    waitq_wake_all(&u->base.wait, POLLOUT | POLLWRNORM | POLLWRBAND);
}

static bool can_send(void *arg)
{
    struct unix_sock *u = arg;
    return below(u, send_buffer(u)) || (socket_shut(&u->base) & SHUT_SEND) ||
           __atomic_load_n(&u->base.error, __ATOMIC_ACQUIRE);
}

static int wait_for_room(struct unix_sock *u, uint64_t deadline)
{
    for (;;) {
        int err = socket_take_error(&u->base);
        if (err == 0 && (socket_shut(&u->base) & SHUT_SEND))
            err = -EPIPE;
        if (err || below(u, send_buffer(u)))
            return err;
        err = socket_wait(&u->base.wait, can_send, u, deadline);
        if (err)
            return err;
    }
}

/* ---- messages ---- */

static struct unix_msg *msg_alloc(struct unix_sock *sender, size_t len,
                                  const struct socket_cred *cred)
{
    struct unix_msg *m = kmalloc(sizeof(*m) + len, ALLOC_DEFAULT);
    if (!m)
        return NULL;
    *m = (struct unix_msg){.sender = sender, .charged = kmalloc_size(m), .len = len, .cred = *cred};
    list_init(&m->link);
    ref_get(&sender->refs);
    owner_add(OWNER_SOCKET, 1, (int64_t)m->charged);
    __atomic_add_fetch(&sender->charged, (int64_t)m->charged, __ATOMIC_SEQ_CST);
    return m;
}

void unix_msg_free(struct unix_msg *m)
{
    ASSERT(!m->files && !list_linked(&m->link));
    discharge(m->sender, m->charged);
    unix_put(m->sender);
    owner_add(OWNER_SOCKET, -1, -(int64_t)m->charged);
    kfree(m);
}

/* A message with the next len bytes, or an errno. */
static int msg_make(struct unix_sock *u, struct iov_iter *from, size_t len, uint64_t deadline,
                    const struct socket_cred *cred, struct unix_msg **out)
{
    int err = wait_for_room(u, deadline);
    if (err)
        return err;
    struct unix_msg *m = msg_alloc(u, len, cred);
    if (!m)
        return -ENOBUFS;
    if (len > 0 && iov_copy_from(from, m->data, len) != (long)len) {
        unix_msg_free(m);
        return -EFAULT;
    }
    *out = m;
    return 0;
}

/* At the end of `to`'s queue; to->lock held. */
static void append_locked(struct unix_sock *to, struct unix_msg *m)
{
    list_push_back(&to->queue, &m->link);
    __atomic_store_n(&to->unread, to->unread + m->len, __ATOMIC_RELEASE);
    __atomic_store_n(&to->waiting, to->waiting + 1, __ATOMIC_RELEASE);
}

/* Why may u not put a message into to's queue now? -EAGAIN: it is full; -ECONNREFUSED: gone. */
static int check_locked(struct unix_sock *u, struct unix_sock *to)
{
    if (unix_is_dgram(to) && to->peer && to->peer != u)
        return -EPERM;
    if (to->dead)
        return unix_is_dgram(to) ? -ECONNREFUSED : -EPIPE;
    if (socket_shut(&to->base) & SHUT_RECEIVE)
        return -EPIPE;
    if (unix_is_dgram(to) && to->peer != u && unix_waiting(to) > UNIX_DGRAM_QUEUE)
        return -EAGAIN;
    return 0;
}

/* Queue it, or say why not. Messages with files are counted in the same section: unix_files.c. */
static int deliver(struct unix_sock *u, struct unix_sock *to, struct unix_msg *m)
{
    struct socket_files *files = m->files;
    if (files)
        mutex_lock(&unix_files_lock);
    mutex_lock(&to->lock);
    int err = check_locked(u, to);
    if (err == 0 && files)
        err = unix_files_depart_locked(files);
    if (err == 0)
        append_locked(to, m);
    mutex_unlock(&to->lock);
    if (files)
        mutex_unlock(&unix_files_lock);
    if (err == 0)
        waitq_wake_one(&to->base.wait, POLLIN | POLLRDNORM);
    return err;
}

/* ---- send: streams ---- */

static int stream_check(struct unix_sock *u, const struct socket_msg *msg)
{
    bool connected = unix_state(u) == UNIX_CONNECTED;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (msg->name)
        return connected ? -EISCONN : -EOPNOTSUPP;
    if (!connected)
        return -ENOTCONN;
    return socket_shut(&u->base) & SHUT_SEND ? -EPIPE : 0;
}

/* One message with up to PIECE_MAX bytes, the first with the files. Bytes, or an errno. */
static long stream_piece(struct unix_sock *u, struct iov_iter *from, uint64_t deadline,
                         struct socket_scm *scm)
{
    struct unix_msg *m;
    size_t half = (size_t)send_buffer(u) / 2 - 64; /* at least two in flight */
    size_t len = MIN(MIN(from->left, PIECE_MAX), half);
    int err = msg_make(u, from, len, deadline, &scm->cred, &m);
    if (err)
        return err;
    m->files = scm->files;
    err = deliver(u, unix_peer(u), m);
    if (err) {
        m->files = NULL;
        unix_msg_free(m);
        return err;
    }
    scm->files = NULL; /* they are the message's */
    return (long)len;
}

long unix_stream_send(struct socket *socket, struct socket_msg *msg)
{
    struct unix_sock *u = unix_of(socket);
    struct socket_scm scm;
    long done = 0;
    int err = control_get(msg, true, &scm);
    if (err)
        return err;
    err = stream_check(u, msg);
    uint64_t deadline = socket_deadline(&socket->send_timeout_ns, msg->flags & MSG_DONTWAIT);
    while (err == 0 && msg->data->left > 0) {
        long n = stream_piece(u, msg->data, deadline, &scm);
        if (n < 0)
            err = (int)n;
        else
            done += n;
    }
    files_put(scm.files);
    return done ? done : err;
}

/* ---- send: datagrams and packets ---- */

static bool has_space(void *arg)
{
    struct unix_sock *to = arg;
    return unix_waiting(to) <= UNIX_DGRAM_QUEUE || (socket_shut(&to->base) & SHUT_RECEIVE);
}

/* To whom? With a reference. */
static int packet_target(struct unix_sock *u, const struct socket_msg *msg, struct unix_sock **to)
{
    if (unix_is_dgram(u) && msg->name) {
        int err = unix_check_name(msg->name);
        return err ? err : unix_find(msg->name, SOCK_DGRAM, to);
    }
    if (!unix_is_dgram(u) && unix_state(u) != UNIX_CONNECTED)
        return -ENOTCONN;
    *to = unix_peer_get(u);
    return *to ? 0 : -ENOTCONN;
}

/* SO_ATTACH_FILTER of the receiver: false: it does not want the message; or it wants its beginning.
 */
static bool wanted(const struct unix_sock *to, struct unix_msg *m)
{
    const struct bpf_view view = {
        .head = m->data, .head_len = (uint32_t)m->len, .len = (uint32_t)m->len};
    uint32_t keep = bpf_filter(&to->base, &view);
    m->len = MIN(m->len, (size_t)keep);
    return keep > 0;
}

/* Until there is room, and through a name's change of owner. 1: the receiver's filter threw it
 * away.
 */
static int packet_deliver(struct unix_sock *u, const struct socket_msg *msg, struct unix_msg *m,
                          uint64_t deadline)
{
    for (;;) {
        struct unix_sock *to;
        int err = packet_target(u, msg, &to);
        if (err)
            return err;
        bool named = unix_is_dgram(u) && msg->name;
        err = wanted(to, m) ? deliver(u, to, m) : 1;
        if (err == -EAGAIN)
            err = socket_wait(&to->room_wait, has_space, to, deadline);
        else if (err == -ECONNREFUSED && named)
            err = 0; /* gone since it was found: who has the name now? */
        else if (err == -ECONNREFUSED)
            unix_lost_peer(u, to);
        else {
            unix_put(to);
            return err;
        }
        unix_put(to);
        if (err)
            return err;
    }
}

static int packet_check(struct unix_sock *u, const struct socket_msg *msg)
{
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (!unix_is_dgram(u) && unix_state(u) != UNIX_CONNECTED)
        return -ENOTCONN;
    if (unix_is_dgram(u) && (socket_shut(&u->base) & SHUT_SEND))
        return -EPIPE;
    if (unix_is_dgram(u) && !msg->name && !unix_peer(u))
        return -ENOTCONN;
    if (unix_is_dgram(u) && socket_switch(&u->base, SO_PASSCRED) && !unix_name(u)) {
        int err = unix_autobind(u);
        if (err)
            return err;
    }
    return msg->data->left > (size_t)send_buffer(u) - 32 ? -EMSGSIZE : 0;
}

long unix_packet_send(struct socket *socket, struct socket_msg *msg)
{
    struct unix_sock *u = unix_of(socket);
    struct socket_scm scm;
    struct unix_msg *m = NULL;
    uint64_t deadline = socket_deadline(&socket->send_timeout_ns, msg->flags & MSG_DONTWAIT);
    size_t len = msg->data->left;
    int err = control_get(msg, true, &scm);
    if (err)
        return err;
    err = packet_check(u, msg);
    if (err == 0)
        err = msg_make(u, msg->data, len, deadline, &scm.cred, &m);
    if (err == 0) {
        m->files = scm.files;
        err = packet_deliver(u, msg, m, deadline);
        if (err == 0)
            return (long)len;
        m->files = NULL;
        unix_msg_free(m);
    }
    files_put(scm.files);
    return err > 0 ? (long)len : err; /* the sender is not told */
}

/* ---- receive: what both kinds do ---- */

static no_inline bool has_more(const struct unix_wanting *w)
{
    return w->peeks ? unix_peek_more(w) : unix_waiting(w->u) > 0;
}

static bool can_receive(void *arg)
{
    const struct unix_wanting *w = arg;
    return has_more(w) || (socket_shut(&w->u->base) & SHUT_RECEIVE) ||
           __atomic_load_n(&w->u->base.error, __ATOMIC_ACQUIRE);
}

/* read_lock held: nobody else takes messages off the queue. The one after m; NULL: the first. */
static struct unix_msg *next_msg(struct unix_sock *u, struct unix_msg *m)
{
    mutex_lock(&u->lock);
    struct list *next = m ? m->link.next : u->queue.next;
    struct unix_msg *found = next == &u->queue ? NULL : list_entry(next, struct unix_msg, link);
    mutex_unlock(&u->lock);
    return found;
}

/* How many are left. */
static uint32_t take_msg(struct unix_sock *u, struct unix_msg *m, struct list *to)
{
    mutex_lock(&u->lock);
    list_remove(&m->link);
    uint32_t left = u->waiting - 1;
    __atomic_store_n(&u->unread, u->unread - (m->len - m->done), __ATOMIC_RELEASE);
    __atomic_store_n(&u->waiting, left, __ATOMIC_RELEASE);
    mutex_unlock(&u->lock);
    list_push_back(to, &m->link);
    return left;
}

static void free_taken(struct list *msgs)
{
    struct list *node;
    while ((node = list_pop_front(msgs)) != NULL)
        unix_msg_free(list_entry(node, struct unix_msg, link));
}

static void name_of_sender(const struct unix_msg *m, struct socket_msg *msg)
{
    if (!msg->name)
        return;
    struct unix_name *name = unix_name(m->sender);
    if (name)
        *msg->name = name->name;
}

/* The message's files for the receiver: all of them, or (peek) a copy. read_lock held. -ENOMEM */
static int get_files(struct unix_msg *m, bool peek, struct socket_files **out)
{
    if (!m->files)
        return 0;
    if (!peek) {
        *out = m->files;
        m->files = NULL;
        return 0;
    }
    mutex_lock(&unix_files_lock); /* the references do not rise while it is held */
    *out = files_copy(m->files);
    mutex_unlock(&unix_files_lock);
    return *out ? 0 : -ENOMEM;
}

/* The end of a receive: no lock held. */
static void give_control(struct unix_sock *u, struct socket_msg *msg,
                         const struct socket_cred *cred, struct socket_files *files)
{
    if (files && !(msg->flags & MSG_PEEK))
        unix_files_land(files);
    bool wanted = cred && socket_switch(&u->base, SO_PASSCRED);
    control_put(msg, wanted ? cred : NULL, files);
    files_put(files);
}

/* ---- receive: streams ---- */

struct stream_read {
    struct unix_wanting *wanting;
    struct unix_sock *u;
    struct socket_msg *msg;
    long done;
    bool started; /* cred and name are those of the first message */
    struct socket_cred cred;
    struct socket_files *files;
    struct list taken; /* messages that are used up */
};

/* Does m belong to another sender than what was read before, and does it matter? */
static bool foreign(const struct stream_read *r, const struct unix_msg *m)
{
    return r->started && socket_switch(&r->u->base, SO_PASSCRED) &&
           (m->cred.pid != r->cred.pid || m->cred.uid != r->cred.uid || m->cred.gid != r->cred.gid);
}

/* The bytes of m that are wanted. False: read no further. */
static bool read_msg(struct stream_read *r, struct unix_msg *m, int *err)
{
    bool peek = r->msg->flags & MSG_PEEK, had_files = m->files != NULL;
    const size_t at = m->done + r->wanting->skip, len = MIN(m->len - at, r->msg->data->left);
    if (iov_copy_to(r->msg->data, m->data + at, len) != (long)len) {
        *err = -EFAULT;
        return false;
    }
    if (!r->started) {
        r->started = true;
        r->cred = m->cred;
        name_of_sender(m, r->msg);
    }
    r->done += (long)len;
    r->wanting->skip = 0;
    socket_peeked(&r->u->base, r->msg->flags, len);
    *err = get_files(m, peek, &r->files);
    if (*err || peek)
        return *err == 0 && !had_files;
    mutex_lock(&r->u->lock);
    m->done += len;
    __atomic_store_n(&r->u->unread, r->u->unread - len, __ATOMIC_RELEASE);
    mutex_unlock(&r->u->lock);
    if (m->done == m->len)
        (void)take_msg(r->u, m, &r->taken);
    return !had_files;
}

/* What is in the queue. 1: read no further; 0: the queue has no more; or an errno. */
static int read_queue(struct stream_read *r)
{
    int err = 0;
    bool more = true, peek = r->msg->flags & MSG_PEEK;
    struct unix_msg *m = NULL;
    mutex_lock(&r->u->read_lock);
    r->wanting->peeks = false;
    while (more && r->msg->data->left > 0) {
        struct unix_msg *before = peek ? m : NULL;
        m = next_msg(r->u, before);
        if (peek && !before && m)
            m = unix_pass_seen(r->wanting, m);
        if (!m)
            break;
        more = !foreign(r, m) && read_msg(r, m, &err);
    }
    mutex_unlock(&r->u->read_lock);
    free_taken(&r->taken);
    if (err)
        return err;
    /* Who wants nothing waits for something all the same. */
    return !more || (r->msg->data->left == 0 && (r->done || has_more(r->wanting)));
}

enum stream_end { STREAM_WAIT, STREAM_AGAIN, STREAM_DONE };

/* The queue was empty: what now? Or an errno. */
static int stream_end(struct stream_read *r, long target)
{
    struct socket *socket = &r->u->base;
    if (r->done >= target)
        return STREAM_DONE;
    /* The end first, the queue behind it: what came before the end is not overlooked. */
    bool end = socket_shut(socket) & SHUT_RECEIVE;
    bool error = __atomic_load_n(&socket->error, __ATOMIC_ACQUIRE);
    if (has_more(r->wanting))
        return STREAM_AGAIN;
    int err = error && !r->done ? socket_take_error(socket) : 0;
    if (err)
        return err;
    return end || (error && r->done) ? STREAM_DONE : STREAM_WAIT;
}

static int stream_loop(struct stream_read *r, long target, uint64_t deadline)
{
    for (;;) {
        int step = read_queue(r);
        if (step)
            return step;
        if ((r->msg->flags & MSG_PEEK) && r->done) /* what there is was seen */
            return 0;
        step = stream_end(r, target);
        if (step == STREAM_WAIT)
            step = socket_wait(&r->u->base.wait, can_receive, r->wanting, deadline);
        if (step < 0)
            return step;
        if (step == STREAM_DONE)
            return 0;
    }
}

long unix_stream_recv(struct socket *socket, struct socket_msg *msg)
{
    struct unix_sock *u = unix_of(socket);
    struct unix_wanting wanting = {.u = u};
    struct stream_read r = {.wanting = &wanting, .u = u, .msg = msg};
    list_init(&r.taken);
    if (unix_state(u) != UNIX_CONNECTED)
        return -EINVAL;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (msg->name)
        msg->name->len = 0;
    long low = __atomic_load_n(&socket->receive_low, __ATOMIC_RELAXED);
    long target = MIN((long)msg->data->left, msg->flags & MSG_WAITALL ? INT64_MAX : low);
    target = MAX(target, 1l);
    uint64_t deadline = socket_deadline(&socket->receive_timeout_ns, msg->flags & MSG_DONTWAIT);
    int err = stream_loop(&r, target, deadline);
    give_control(u, msg, r.started ? &r.cred : NULL, r.files);
    return r.done || err >= 0 ? r.done : err;
}

/* ---- receive: datagrams and packets ---- */

struct packet_read {
    struct unix_wanting *wanting;
    struct unix_sock *u;
    struct unix_msg *m; /* NULL: the end */
    bool peek;          /* m is still in the queue, and read_lock held */
    bool room;          /* it was one too many: there is room now */
};

static void packet_next(struct packet_read *r, struct list *taken)
{
    mutex_lock(&r->u->read_lock);
    r->wanting->peeks = false;
    r->m = next_msg(r->u, NULL);
    if (r->m && r->peek)
        r->m = unix_pass_seen(r->wanting, r->m);
    if (r->m && !r->peek)
        r->room = take_msg(r->u, r->m, taken) == UNIX_DGRAM_QUEUE;
    if (!r->m || !r->peek)
        mutex_unlock(&r->u->read_lock);
}

static int packet_wait(struct packet_read *r, bool nonblock, struct list *taken)
{
    struct unix_sock *u = r->u;
    uint64_t deadline = socket_deadline(&u->base.receive_timeout_ns, nonblock);
    for (;;) {
        int err = socket_take_error(&u->base);
        if (err)
            return err;
        bool end = socket_shut(&u->base) & SHUT_RECEIVE; /* before the look at the queue */
        packet_next(r, taken);
        if (r->m)
            return 0;
        if (end)
            return unix_is_dgram(u) && deadline == 0 ? -EAGAIN : 0;
        err = socket_wait(&u->base.wait, can_receive, r->wanting, deadline);
        if (err)
            return err;
    }
}

/* Copy r->m out; how long it is. */
static long packet_copy(const struct packet_read *r, struct socket_msg *msg,
                        struct socket_files **files)
{
    struct unix_msg *m = r->m;
    size_t whole = m->len - r->wanting->skip, len = MIN(whole, msg->data->left);
    if (len > 0 && iov_copy_to(msg->data, m->data + r->wanting->skip, len) != (long)len)
        return -EFAULT;
    int err = get_files(m, msg->flags & MSG_PEEK, files);
    if (err)
        return err;
    name_of_sender(m, msg);
    if (len < whole)
        msg->result |= MSG_TRUNC;
    socket_peeked(&r->u->base, msg->flags, r->peek ? len : m->len);
    return (long)(msg->flags & MSG_TRUNC ? whole : len);
}

static void packet_done(struct packet_read *r, struct list *taken)
{
    if (r->peek) {
        mutex_unlock(&r->u->read_lock);
        return;
    }
    if (unix_is_dgram(r->u) && r->room) { /* who waits for it? */
        waitq_wake_all(&r->u->room_wait, 0);
        unix_wake_followers(r->u);
    }
    if (r->m->files) /* it could not be given to the program, and is lost */
        unix_drain(taken);
    else
        free_taken(taken);
}

long unix_packet_recv(struct socket *socket, struct socket_msg *msg)
{
    struct unix_sock *u = unix_of(socket);
    struct unix_wanting wanting = {.u = u};
    struct packet_read r = {.wanting = &wanting, .u = u, .peek = msg->flags & MSG_PEEK};
    struct socket_files *files = NULL;
    struct list taken;
    list_init(&taken);
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (!unix_is_dgram(u) && unix_state(u) != UNIX_CONNECTED)
        return -ENOTCONN;
    if (msg->name)
        msg->name->len = 0;
    long n = packet_wait(&r, msg->flags & MSG_DONTWAIT, &taken);
    if (!r.m)
        return n;
    struct socket_cred cred = r.m->cred;
    n = packet_copy(&r, msg, &files);
    packet_done(&r, &taken);
    if (n >= 0)
        give_control(u, msg, &cred, files);
    return n;
}
