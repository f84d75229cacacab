/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlink.c - AF_NETLINK: the sockets. Contract: netlink.h.
 *
 * Lock: one spinlock per socket (RANK_PACKET) over its queue; requests are answered without it and
 * queued at the end. Notifications (netlink_notify) may come from under a socket's lock or a
 * spinlock: they take what memory there is at once, and who has none, or no room, gets ENOBUFS. The
 * list of sockets is read in RCU sections. There is nobody but the kernel to talk to: programs do
 * not reach each other.
 */
#include "net/netlink.h"
#include "net/bpf.h"

#include "core/assert.h"
#include "core/rcu.h"
#include "core/spinlock.h"
#include "fs/vfs.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/usercopy.h"
#include "net/socket.h"

#define AF_NETLINK 16
enum { NETLINK_ROUTE = 0, NETLINK_SOCK_DIAG = 4, NETLINK_KOBJECT_UEVENT = 15 };
#define NETLINK_BUFFER 4096u /* of answers; what programs read at once is larger */
#define REQUEST_MAX 65536u
/* Answers to a program's own requests: a dump is made whole, at one time, whatever SO_RCVBUF is. */
#define ANSWERS_MAX (8u << 20)

struct sockaddr_nl {
    uint16_t family, pad;
    uint32_t port, groups;
};

struct netlink_buffer {
    struct list link;
    uint32_t len, group; /* 0: an answer */
    uint8_t data[NETLINK_BUFFER - 32];
};

struct netlink_sock {
    struct socket base;        /* first */
    struct netlink_sock *next; /* list of all; atomic */
    struct rcu_head rcu;
    uint32_t port; /* atomic; changed under the lock of all */
    struct netlink_choice choice;
    struct spinlock lock;
    struct list queue; /* struct netlink_buffer */
    uint32_t waiting;  /* how many; atomic to look */
    uint32_t charged;  /* bytes of the queue */
};

static struct {
    struct netlink_sock *first; /* atomic */
    struct spinlock lock;
} all = {.lock = SPINLOCK_INIT(RANK_PACKET)};

static struct netlink_sock *netlink_of(struct socket *socket)
{
    return container_of(socket, struct netlink_sock, base);
}

/* ---- writing answers ---- */

static struct netlink_buffer *buffer_alloc(unsigned flags)
{
    struct netlink_buffer *buffer = kmalloc(sizeof(*buffer), flags);
    if (!buffer)
        return NULL;
    owner_add(OWNER_SOCKET, 1, sizeof(*buffer));
    buffer->len = buffer->group = 0;
    return buffer;
}

static void buffer_free(struct netlink_buffer *buffer)
{
    owner_free(OWNER_SOCKET, buffer, sizeof(*buffer));
}

/* To the socket's queue; consumes. Beyond the limit the reader has lost something (netlink(7):
 * ENOBUFS), as without memory (buffer NULL). */
static void push(struct netlink_sock *to, struct netlink_buffer *buffer, uint32_t limit)
{
    if (buffer) {
        const struct bpf_view view = {
            .head = buffer->data, .head_len = buffer->len, .len = buffer->len};
        uint32_t keep = bpf_filter(&to->base, &view);
        if (keep == 0) {
            buffer_free(buffer);
            return;
        }
        buffer->len = MIN(buffer->len, keep);
    }
    spin_lock(&to->lock);
    bool room = buffer && to->charged < limit;
    if (room) {
        list_push_back(&to->queue, &buffer->link);
        to->charged += (uint32_t)sizeof(*buffer);
        __atomic_store_n(&to->waiting, to->waiting + 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&to->lock);
    if (!room) {
        if (buffer)
            buffer_free(buffer);
        if (!netlink_switch(&to->choice, NETLINK_NO_ENOBUFS))
            __atomic_store_n(&to->base.error, ENOBUFS, __ATOMIC_RELEASE);
    }
    waitq_wake_all(&to->base.wait, POLLIN | POLLRDNORM);
}

/* A copy to each socket of the group; consumes. Any context but an interrupt's. */
static void netlink_spread(unsigned group, struct netlink_buffer *buffer)
{
    unsigned token = rcu_read_lock();
    for (struct netlink_sock *sock = __atomic_load_n(&all.first, __ATOMIC_ACQUIRE); sock;
         sock = __atomic_load_n(&sock->next, __ATOMIC_ACQUIRE)) {
        if (sock->base.protocol != NETLINK_ROUTE ||
            !(__atomic_load_n(&sock->choice.groups, __ATOMIC_RELAXED) >> (group - 1) & 1))
            continue;
        struct netlink_buffer *copy = buffer_alloc(ALLOC_ATOMIC);
        if (copy) {
            copy->len = buffer->len;
            copy->group = group;
            memcpy(copy->data, buffer->data, buffer->len);
        }
        push(sock, copy, (uint32_t)__atomic_load_n(&sock->base.receive_buffer, __ATOMIC_RELAXED));
    }
    rcu_read_unlock(token);
    buffer_free(buffer);
}

bool netlink_wanted(unsigned group)
{
    bool any = false;
    unsigned token = rcu_read_lock();
    for (struct netlink_sock *sock = __atomic_load_n(&all.first, __ATOMIC_ACQUIRE); sock && !any;
         sock = __atomic_load_n(&sock->next, __ATOMIC_ACQUIRE))
        any = __atomic_load_n(&sock->choice.groups, __ATOMIC_RELAXED) >> (group - 1) & 1;
    rcu_read_unlock(token);
    return any;
}

static void flush(struct netlink_out *out)
{
    if (out->buffer && out->to)
        push(out->to, out->buffer, ANSWERS_MAX);
    else if (out->buffer)
        netlink_spread(out->group, out->buffer);
    out->buffer = NULL;
}

/* `len` more bytes, padded with zeroes; NULL: no memory, or too much for one message. */
static void *extend(struct netlink_out *out, uint32_t len)
{
    struct netlink_buffer *buffer = out->buffer;
    if (out->err)
        return NULL;
    uint32_t padded = NETLINK_ALIGN(len);
    if (padded > sizeof(buffer->data) - buffer->len) {
        out->err = -EMSGSIZE;
        return NULL;
    }
    void *at = buffer->data + buffer->len;
    memset(at, 0, padded);
    buffer->len += padded;
    return at;
}

/* No message of ours is longer. */
#define MESSAGE_MAX 1024u

void netlink_begin(struct netlink_out *out, uint16_t type, uint16_t flags, const void *fixed,
                   uint32_t len)
{
    ASSERT(!out->message);
    if (out->buffer && sizeof(out->buffer->data) - out->buffer->len < MESSAGE_MAX)
        flush(out);
    if (!out->buffer && !out->err) {
        out->buffer = buffer_alloc(out->to ? ALLOC_DEFAULT : ALLOC_ATOMIC);
        if (!out->buffer)
            out->err = -ENOMEM;
    }
    out->message = extend(out, sizeof(*out->message));
    if (!out->message)
        return;
    *out->message = (struct nlmsghdr){
        .type = type,
        .flags = flags,
        .sequence = out->request ? out->request->sequence : 0,
        .port = out->to ? __atomic_load_n(&out->to->port, __ATOMIC_RELAXED) : 0,
    };
    void *at = extend(out, len);
    if (at)
        memcpy(at, fixed, len);
}

void netlink_put(struct netlink_out *out, uint16_t attribute, const void *data, uint32_t len)
{
    struct {
        uint16_t len, type;
    } header = {(uint16_t)(sizeof(header) + len), attribute};
    uint8_t *at = extend(out, (uint32_t)sizeof(header) + len);
    if (!at)
        return;
    memcpy(at, &header, sizeof(header));
    memcpy(at + sizeof(header), data, len);
}

void netlink_put_u32(struct netlink_out *out, uint16_t attribute, uint32_t value)
{
    netlink_put(out, attribute, &value, sizeof(value));
}

void netlink_put_string(struct netlink_out *out, uint16_t attribute, const char *text)
{
    netlink_put(out, attribute, text, (uint32_t)strlen(text) + 1);
}

void netlink_end(struct netlink_out *out)
{
    if (!out->err)
        out->message->len =
            (uint32_t)(out->buffer->data + out->buffer->len - (uint8_t *)out->message);
    out->message = NULL;
}

void netlink_notify(struct netlink_out *out)
{
    flush(out);
}

/* ---- requests ---- */

/* The acknowledgement of a request or an error. What it is about follows: all of it, for an error
 * that may say so and is not too long, else its header; then, if asked for, why in words. */
static void acknowledge(struct netlink_out *out, int err, const char *why)
{
    const struct nlmsghdr *request = out->request;
    bool cap = err == 0 || netlink_switch(&out->to->choice, NETLINK_CAP_ACK) ||
               request->len > MESSAGE_MAX / 2;
    bool words = why && netlink_switch(&out->to->choice, NETLINK_EXT_ACK);
    uint16_t flags = (uint16_t)((cap ? NLM_F_CAPPED : 0) | (words ? NLM_F_ACK_TLVS : 0));
    int32_t error = err;
    netlink_begin(out, NLMSG_ERROR, flags, &error, sizeof(error));
    uint32_t len = cap ? (uint32_t)sizeof(*request) : request->len;
    void *at = extend(out, len);
    if (at)
        memcpy(at, request, len);
    if (words)
        netlink_put_string(out, NLMSGERR_ATTR_MSG, why);
    netlink_end(out);
}

/* The end of an answer: an error, or that it worked if that was asked for, or that a dump is over.
 */
static void conclude(struct netlink_out *out, int err)
{
    const int32_t none = 0;
    if (out->dump && err == 0) {
        netlink_begin(out, NLMSG_DONE, (uint16_t)(NLM_F_MULTI | out->interrupted), &none,
                      sizeof(none));
        netlink_end(out);
    } else if (err || out->request->flags & NLM_F_ACK) {
        out->err = 0; /* what failed may have been the answer */
        acknowledge(out, err, out->why);
    }
    flush(out);
}

/* What was written so far of an answer that failed is not sent. */
static void forget(struct netlink_out *out)
{
    if (out->buffer)
        buffer_free(out->buffer);
    out->buffer = NULL;
    out->message = NULL;
}

static int answer(struct netlink_sock *sock, const struct nlmsghdr *header)
{
    struct netlink_out out = {.to = sock, .request = header};
    struct netlink_request request = {
        .header = header,
        .body = (const uint8_t *)(header + 1),
        .body_len = header->len - (uint32_t)sizeof(*header),
        .root = proc_cred()->euid == 0,
    };
    if (!(header->flags & NLM_F_REQUEST))
        return 0;
    if (header->type < NLMSG_MIN_TYPE) { /* control: nothing to do but to say so */
        if (header->flags & NLM_F_ACK)
            acknowledge(&out, 0, NULL);
        flush(&out);
        return 0;
    }
    int err = sock->base.protocol == NETLINK_ROUTE       ? netlink_route(&request, &out)
              : sock->base.protocol == NETLINK_SOCK_DIAG ? netlink_diag(&request, &out)
                                                         : -ECONNREFUSED;
    err = err ? err : out.err;
    if (err)
        forget(&out);
    conclude(&out, err);
    return out.err == -ENOMEM ? -ENOBUFS : 0;
}

static int answer_all(struct netlink_sock *sock, const uint8_t *data, uint32_t len)
{
    int err = 0;
    for (uint32_t at = 0; err == 0 && len - at >= sizeof(struct nlmsghdr);) {
        const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)(data + at);
        if (header->len < sizeof(*header) || header->len > len - at)
            return 0; /* Linux: the rest is ignored */
        err = answer(sock, header);
        at += MIN(NETLINK_ALIGN(header->len), len - at);
    }
    return err;
}

static bool port_taken_locked(const struct netlink_sock *sock, uint32_t port)
{
    const struct netlink_sock *other = all.first;
    while (other && (other->port != port || other->base.protocol != sock->base.protocol))
        other = other->next;
    return other;
}

/* 0: a port of its own (netlink(7)), the process's id, or if another socket has that one a number
 * above all ids. -EINVAL: it has one; -EADDRINUSE. */
static int take_port(struct netlink_sock *sock, uint32_t port)
{
    static uint32_t next = 0xf0000000u; /* under the lock */
    uint32_t own = (uint32_t)proc_current_pid();
    int err = 0;
    spin_lock(&all.lock);
    if (sock->port)
        err = port && port != sock->port ? -EINVAL : 0;
    else if (port && port_taken_locked(sock, port))
        err = -EADDRINUSE;
    else
        __atomic_store_n(&sock->port,
                         port                           ? port
                         : port_taken_locked(sock, own) ? next++
                                                        : own,
                         __ATOMIC_RELAXED);
    spin_unlock(&all.lock);
    return err;
}

static int autobind(struct netlink_sock *sock)
{
    return __atomic_load_n(&sock->port, __ATOMIC_RELAXED) ? 0 : take_port(sock, 0);
}

static int check_name(const struct socket_name *name, struct sockaddr_nl *out)
{
    if (name->len < sizeof(*out))
        return -EINVAL;
    memcpy(out, name->bytes, sizeof(*out));
    return out->family == AF_NETLINK ? 0 : -EINVAL;
}

static long netlink_send(struct socket *socket, struct socket_msg *msg)
{
    struct netlink_sock *sock = netlink_of(socket);
    struct sockaddr_nl to;
    size_t len = msg->data->left;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    int err = msg->name ? check_name(msg->name, &to) : 0;
    if (err == 0 && msg->name && to.port != 0)
        err = -ECONNREFUSED; /* nobody but the kernel */
    if (err == 0 && len > REQUEST_MAX)
        err = -EMSGSIZE;
    if (err)
        return err;
    uint8_t *data = owner_alloc(OWNER_SOCKET, MAX(len, (size_t)1));
    if (!data)
        return -ENOBUFS;
    if (len && iov_copy_from(msg->data, data, len) != (long)len)
        err = -EFAULT;
    if (err == 0)
        err = autobind(sock);
    if (err == 0)
        err = answer_all(sock, data, (uint32_t)len);
    owner_free(OWNER_SOCKET, data, MAX(len, (size_t)1));
    return err ? err : (long)len;
}

/* ---- receiving ---- */

static bool can_receive(void *arg)
{
    struct netlink_sock *sock = arg;
    return __atomic_load_n(&sock->waiting, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&sock->base.error, __ATOMIC_ACQUIRE);
}

/* The first buffer, taken off the queue; NULL: somebody else had it. */
static struct netlink_buffer *take(struct netlink_sock *sock)
{
    spin_lock(&sock->lock);
    struct list *node = list_pop_front(&sock->queue);
    if (node) {
        sock->charged -= (uint32_t)sizeof(struct netlink_buffer);
        __atomic_store_n(&sock->waiting, sock->waiting - 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&sock->lock);
    return node ? list_entry(node, struct netlink_buffer, link) : NULL;
}

static void put_back(struct netlink_sock *sock, struct netlink_buffer *buffer)
{
    spin_lock(&sock->lock);
    list_push_front(&sock->queue, &buffer->link);
    sock->charged += (uint32_t)sizeof(*buffer);
    __atomic_store_n(&sock->waiting, sock->waiting + 1, __ATOMIC_RELEASE);
    spin_unlock(&sock->lock);
    waitq_wake_all(&sock->base.wait, POLLIN | POLLRDNORM); /* who saw nothing meanwhile */
}

static long give(struct socket_msg *msg, const struct netlink_buffer *buffer)
{
    size_t n = MIN((size_t)buffer->len, msg->data->left);
    if (n && iov_copy_to(msg->data, buffer->data, n) != (long)n)
        return -EFAULT;
    if (n < buffer->len)
        msg->result |= MSG_TRUNC;
    if (msg->name) {
        uint32_t group = buffer->group;
        struct sockaddr_nl kernel = {AF_NETLINK, 0, 0, group ? 1u << (group - 1) : 0};
        *msg->name = (struct socket_name){.len = sizeof(kernel)};
        memcpy(msg->name->bytes, &kernel, sizeof(kernel));
    }
    return (long)(msg->flags & MSG_TRUNC ? buffer->len : n);
}

static long netlink_recv(struct socket *socket, struct socket_msg *msg)
{
    struct netlink_sock *sock = netlink_of(socket);
    uint64_t deadline = socket_deadline(&socket->receive_timeout_ns, msg->flags & MSG_DONTWAIT);
    struct netlink_buffer *buffer = NULL;
    if (msg->flags & (MSG_OOB | MSG_ERRQUEUE))
        return -EOPNOTSUPP;
    while (!buffer) {
        int err = can_receive(sock) ? 0 : socket_wait(&socket->wait, can_receive, sock, deadline);
        if (err == 0)
            err = socket_take_error(socket);
        if (err)
            return err;
        buffer = take(sock);
    }
    long n = give(msg, buffer);
    if (n >= 0 && netlink_switch(&sock->choice, NETLINK_PKTINFO))
        control_add(msg, SOL_NETLINK, NETLINK_PKTINFO, &buffer->group, sizeof(buffer->group));
    if (msg->flags & MSG_PEEK)
        put_back(sock, buffer);
    else
        buffer_free(buffer);
    return n;
}

/* ---- the rest ---- */

static int netlink_bind(struct socket *socket, const struct socket_name *name)
{
    struct netlink_sock *sock = netlink_of(socket);
    struct sockaddr_nl to;
    int err = check_name(name, &to);
    if (err)
        return err;
    err = take_port(sock, to.port);
    if (err == 0)
        __atomic_store_n(&sock->choice.groups, to.groups, __ATOMIC_RELAXED);
    return err;
}

static int netlink_connect(struct socket *socket, const struct socket_name *name, bool nonblock)
{
    struct sockaddr_nl to;
    (void)nonblock;
    int err = name->family == AF_UNSPEC ? 0 : check_name(name, &to);
    return err ? err : autobind(netlink_of(socket));
}

static int netlink_get_name(struct socket *socket, bool peer, struct socket_name *out)
{
    struct netlink_sock *sock = netlink_of(socket);
    struct sockaddr_nl name = {AF_NETLINK, 0, 0, 0};
    if (!peer) {
        name.port = __atomic_load_n(&sock->port, __ATOMIC_RELAXED);
        name.groups = __atomic_load_n(&sock->choice.groups, __ATOMIC_RELAXED);
    }
    *out = (struct socket_name){.len = sizeof(name)};
    memcpy(out->bytes, &name, sizeof(name));
    return 0;
}

static uint32_t netlink_poll(struct socket *socket, struct poll_table *table)
{
    struct netlink_sock *sock = netlink_of(socket);
    uint32_t events = POLLOUT | POLLWRNORM | POLLWRBAND;
    if (table)
        table->add(table, &socket->wait);
    if (__atomic_load_n(&sock->waiting, __ATOMIC_ACQUIRE))
        events |= POLLIN | POLLRDNORM;
    if (__atomic_load_n(&socket->error, __ATOMIC_ACQUIRE))
        events |= POLLERR;
    return events;
}

static int netlink_set_option(struct socket *socket, int level, int name, uaddr_t value,
                              unsigned len)
{
    return netlink_choose(&netlink_of(socket)->choice, level, name, value, len);
}

static int netlink_get_option(struct socket *socket, int level, int name, void *value,
                              unsigned *len)
{
    return netlink_chosen(&netlink_of(socket)->choice, level, name, value, len);
}

static void sock_free(struct rcu_head *head)
{
    struct netlink_sock *sock = container_of(head, struct netlink_sock, rcu);
    struct netlink_buffer *buffer;
    while ((buffer = take(sock)) != NULL)
        buffer_free(buffer);
    bpf_free(&sock->base);
    owner_free(OWNER_SOCKET, sock, sizeof(*sock));
}

static void netlink_release(struct socket *socket)
{
    struct netlink_sock *sock = netlink_of(socket);
    spin_lock(&all.lock);
    struct netlink_sock **link = &all.first;
    while (*link != sock)
        link = &(*link)->next;
    __atomic_store_n(link, sock->next, __ATOMIC_RELEASE);
    spin_unlock(&all.lock);
    rcu_call(&sock->rcu, sock_free);
}

static const struct socket_ops netlink_ops = {
    .release = netlink_release,
    .filters = true,
    .bind = netlink_bind,
    .connect = netlink_connect,
    .get_name = netlink_get_name,
    .send = netlink_send,
    .recv = netlink_recv,
    .poll = netlink_poll,
    .set_option = netlink_set_option,
    .get_option = netlink_get_option,
};

static int netlink_create(int type, int protocol, struct socket **out)
{
    if (type != SOCK_RAW && type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    if (protocol != NETLINK_ROUTE && protocol != NETLINK_SOCK_DIAG &&
        protocol != NETLINK_KOBJECT_UEVENT)
        return -EPROTONOSUPPORT;
    struct netlink_sock *sock = owner_alloc(OWNER_SOCKET, sizeof(*sock));
    if (!sock)
        return -ENOMEM;
    socket_init(&sock->base, &netlink_ops, AF_NETLINK, type, protocol);
    spin_init(&sock->lock, RANK_PACKET);
    list_init(&sock->queue);
    spin_lock(&all.lock);
    __atomic_store_n(&sock->next, all.first, __ATOMIC_RELAXED);
    __atomic_store_n(&all.first, sock, __ATOMIC_RELEASE);
    spin_unlock(&all.lock);
    *out = &sock->base;
    return 0;
}

int netlink_show_all(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb,
                  "%-16s Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    "
                  "Inode\n",
                  "sk");
    unsigned token = rcu_read_lock();
    for (struct netlink_sock *sock = __atomic_load_n(&all.first, __ATOMIC_ACQUIRE); sock;
         sock = __atomic_load_n(&sock->next, __ATOMIC_ACQUIRE))
        strbuf_printf(sb, "%016x %-3d %-10u %08x %-8u %-8d %-5d %-8d %-8d %-8llu\n", 0,
                      sock->base.protocol, __atomic_load_n(&sock->port, __ATOMIC_RELAXED),
                      __atomic_load_n(&sock->choice.groups, __ATOMIC_RELAXED),
                      __atomic_load_n(&sock->waiting, __ATOMIC_RELAXED) *
                          (uint32_t)sizeof(struct netlink_buffer),
                      0, 0, 2, 0, (unsigned long long)sock->base.ino);
    rcu_read_unlock(token);
    return 0;
}

const struct socket_family netlink_family = {AF_NETLINK, netlink_create};
