/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * option.c - getsockopt and setsockopt at SOL_SOCKET (socket(7)).
 *
 * Switches are kept in one word whether or not the family looks at them, as Linux does: programs
 * set SO_REUSEADDR, SO_KEEPALIVE or SO_BROADCAST on whatever socket they have and read them back.
 */
#include "fs/vfs.h"
#include "net/bpf.h"
#include "net/inet.h"
#include "net/socket.h"

#include "lib/string.h"
#include "mm/usercopy.h"
#include "sched/timer.h"

enum {
    SO_DEBUG = 1,
    SO_TYPE = 3,
    SO_ERROR = 4,
    SO_DONTROUTE = 5,
    SO_SNDBUF = 7,
    SO_RCVBUF = 8,
    SO_PRIORITY = 12,
    SO_LINGER = 13,
    SO_BSDCOMPAT = 14,
    SO_PEERCRED = 17,
    SO_RCVLOWAT = 18,
    SO_SNDLOWAT = 19,
    SO_RCVTIMEO = 20,
    SO_SNDTIMEO = 21,
    SO_BINDTODEVICE = 25,
    SO_GET_FILTER = 26,
    SO_PEERNAME = 28,
    SO_ACCEPTCONN = 30,
    SO_SNDBUFFORCE = 32,
    SO_RCVBUFFORCE = 33,
    SO_MARK = 36,
    SO_PROTOCOL = 38,
    SO_DOMAIN = 39,
    SO_COOKIE = 57,
    SO_ZEROCOPY = 60,
    SO_RCVTIMEO_NEW = 66, /* the same as the old on 64-bit machines */
    SO_SNDTIMEO_NEW = 67,
    SO_TXREHASH = 74,
};
#define SEND_BUFFER_MIN 4608 /* Linux: SOCK_MIN_SNDBUF */
#define RECEIVE_BUFFER_MIN 2304

/* Switches that a program may set. */
#define SWITCHES \
    (1u << SO_DEBUG | 1u << SO_REUSEADDR | 1u << SO_DONTROUTE | 1u << SO_BROADCAST | \
     1u << SO_KEEPALIVE | 1u << SO_OOBINLINE | 1u << SO_NO_CHECK | 1u << SO_REUSEPORT | \
     1u << SO_PASSCRED)

/* What cannot be switched on and says so, from 40 on: SO_RXQ_OVFL, WIFI_STATUS, NOFCS,
 * SELECT_ERR_QUEUE, BUSY_POLL, INCOMING_NAPI_ID, PREFER_BUSY_POLL, RESERVE_MEM, RCVMARK,
 * RCVPRIORITY. */
#define ALWAYS_OFF \
    (1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 5 | 1ull << 6 | 1ull << 16 | 1ull << 29 | \
     1ull << 33 | 1ull << 35 | 1ull << 42)

struct timeval {
    int64_t sec, usec;
};

bool socket_switch(const struct socket *socket, int option)
{
    return __atomic_load_n(&socket->switches, __ATOMIC_RELAXED) >> option & 1;
}

static bool is_switch(int name)
{
    return name > 0 && name < 32 && (SWITCHES >> name & 1);
}

static int32_t load(const int32_t *value)
{
    return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static void store(int32_t *value, int32_t to)
{
    __atomic_store_n(value, to, __ATOMIC_RELAXED);
}

/* ---- set ---- */

static bool privileged(void)
{
    return proc_cred()->euid == 0;
}

/* The kernel doubles what is asked for, for its own overhead (socket(7)). */
static void set_buffer(struct socket *socket, int32_t *buffer, int value, int min, bool force)
{
    const uint32_t *most =
        buffer == &socket->send_buffer ? &socket_limits.send : &socket_limits.receive;
    int limit = force ? INT32_MAX / 2 : (int)__atomic_load_n(most, __ATOMIC_RELAXED);
    if (value < 0 && force)
        value = 0;
    /* A negative one is a large one, as Linux has it (min_t(u32)). */
    value = (unsigned)value > (unsigned)limit ? limit : value;
    store(buffer, MAX(value * 2, min));
    unsigned locked = buffer == &socket->send_buffer ? SOCKET_SEND_LOCKED : SOCKET_RECEIVE_LOCKED;
    __atomic_fetch_or(&socket->switches, 1u << locked, __ATOMIC_RELAXED);
    if (socket->ops->buffers_changed)
        socket->ops->buffers_changed(socket);
}

static int set_timeout(uint64_t *timeout_ns, uaddr_t value, int len)
{
    struct timeval tv;
    uint64_t ns;
    if (len < (int)sizeof(tv))
        return -EINVAL;
    int err = copyin(&tv, value, sizeof(tv));
    if (err)
        return err;
    if (tv.usec < 0 || tv.usec >= 1000000)
        return -EDOM;
    if (tv.sec < 0)
        ns = 0;
    else if (tv.sec == 0 && tv.usec == 0)
        ns = UINT64_MAX;
    else if (mul_overflow((uint64_t)tv.sec, NS_PER_SEC, &ns) ||
             add_overflow(ns, (uint64_t)tv.usec * NS_PER_US, &ns))
        ns = UINT64_MAX;
    __atomic_store_n(timeout_ns, ns, __ATOMIC_RELAXED);
    return 0;
}

static int set_linger(struct socket *socket, uaddr_t value, int len)
{
    struct {
        int32_t on, seconds;
    } linger;
    if (len < (int)sizeof(linger))
        return -EINVAL;
    int err = copyin(&linger, value, sizeof(linger));
    if (err == 0)
        store(&socket->linger_s, linger.on ? linger.seconds & INT32_MAX : -1);
    return err;
}

static int set_switch(struct socket *socket, int name, bool on)
{
    if (name == SO_DEBUG && on && !privileged())
        return -EACCES;
    if (on)
        __atomic_fetch_or(&socket->switches, 1u << name, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&socket->switches, ~(1u << name), __ATOMIC_RELAXED);
    if ((name == SO_KEEPALIVE || name == SO_OOBINLINE) && socket->ops->buffers_changed)
        socket->ops->buffers_changed(socket); /* a protocol acts on them at once */
    return 0;
}

/* Linux: sk_setsockopt. Only what has an error queue that tells of completion. */
static int set_zerocopy(struct socket *socket, int value)
{
    bool inet = socket->family == AF_INET || socket->family == AF_INET6;
    if (!inet || !(socket->type == SOCK_STREAM || socket->type == SOCK_DGRAM) ||
        socket->protocol == IPPROTO_ICMP || socket->protocol == IPPROTO_ICMPV6)
        return -EOPNOTSUPP;
    if (value < 0 || value > 1)
        return -EINVAL;
    __atomic_store_n(&socket->zerocopy, value != 0, __ATOMIC_RELAXED);
    return 0;
}

static int set_number(struct socket *socket, int name, int value)
{
    if (is_switch(name))
        return set_switch(socket, name, value != 0);
    switch (name) {
    case SO_SNDBUF:
        set_buffer(socket, &socket->send_buffer, value, SEND_BUFFER_MIN, false);
        return 0;
    case SO_RCVBUF:
        set_buffer(socket, &socket->receive_buffer, value, RECEIVE_BUFFER_MIN, false);
        return 0;
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
        if (!privileged())
            return -EPERM;
        if (name == SO_SNDBUFFORCE)
            set_buffer(socket, &socket->send_buffer, value, SEND_BUFFER_MIN, true);
        else
            set_buffer(socket, &socket->receive_buffer, value, RECEIVE_BUFFER_MIN, true);
        return 0;
    case SO_RCVLOWAT:
        store(&socket->receive_low, value < 0 ? INT32_MAX : MAX(value, 1));
        return 0;
    case SO_PRIORITY:
        if ((value < 0 || value > 6) && !privileged())
            return -EPERM;
        store(&socket->priority, value);
        return 0;
    case SO_MARK:
        if (!privileged())
            return -EPERM;
        store(&socket->mark, value);
        return 0;
    case SO_BSDCOMPAT:
        return 0; /* obsolete, no effect */
    case SO_ZEROCOPY:
        return set_zerocopy(socket, value);
    default:
        return -ENOPROTOOPT;
    }
}

int socket_set_option(struct socket *socket, int level, int name, uaddr_t value, int len)
{
    int number, err;
    if (len < 0)
        return -EINVAL;
    if (level != SOL_SOCKET)
        return socket->ops->set_option
                   ? socket->ops->set_option(socket, level, name, value, (unsigned)len)
                   : -EOPNOTSUPP;
    if (name == SO_RCVTIMEO || name == SO_RCVTIMEO_NEW)
        return set_timeout(&socket->receive_timeout_ns, value, len);
    if (name == SO_SNDTIMEO || name == SO_SNDTIMEO_NEW)
        return set_timeout(&socket->send_timeout_ns, value, len);
    if (name == SO_LINGER)
        return set_linger(socket, value, len);
    if (name == SO_BINDTODEVICE && socket->ops->set_option) /* a name, of any length */
        return socket->ops->set_option(socket, level, name, value, (unsigned)len);
    if (len < (int)sizeof(number))
        return -EINVAL;
    err = copyin(&number, value, sizeof(number));
    if (err)
        return err;
    err = set_number(socket, name, number);
    if (err == -ENOPROTOOPT)
        err = socket_set_rare(socket, name, value, (unsigned)len);
    if (err == -ENOPROTOOPT)
        err = bpf_set_option(socket, name, value, (unsigned)len);
    if (err == -ENOPROTOOPT && socket->ops->set_option)
        err = socket->ops->set_option(socket, level, name, value, (unsigned)len);
    return err;
}

/* ---- get ---- */

union value {
    int32_t number;
    uint64_t number64;
    struct timeval time;
    struct {
        int32_t on, seconds;
    } linger;
    struct socket_cred cred;
    struct socket_name name;
    uint8_t bytes[240]; /* the longest: TCP_INFO */
};

static struct timeval timeval_of(const uint64_t *timeout_ns)
{
    uint64_t ns = __atomic_load_n(timeout_ns, __ATOMIC_RELAXED);
    if (ns == UINT64_MAX)
        return (struct timeval){0, 0};
    return (struct timeval){(int64_t)(ns / NS_PER_SEC), (int64_t)(ns % NS_PER_SEC / NS_PER_US)};
}

/* Those that are one number. */
static int get_number(struct socket *socket, int name, int32_t *out)
{
    if (is_switch(name)) {
        *out = socket_switch(socket, name);
        return 0;
    }
    switch (name) {
    case SO_TYPE:
        *out = socket->type;
        return 0;
    case SO_ERROR:
        *out = -socket_take_error(socket);
        return 0;
    case SO_SNDBUF:
        *out = load(&socket->send_buffer);
        return 0;
    case SO_RCVBUF:
        *out = load(&socket->receive_buffer);
        return 0;
    case SO_PRIORITY:
        *out = load(&socket->priority);
        return 0;
    case SO_MARK:
        *out = load(&socket->mark);
        return 0;
    case SO_RCVLOWAT:
        *out = load(&socket->receive_low);
        return 0;
    case SO_SNDLOWAT:
        *out = 1;
        return 0;
    case SO_BSDCOMPAT:
        *out = 0;
        return 0;
    case SO_ACCEPTCONN:
        *out = __atomic_load_n(&socket->listening, __ATOMIC_RELAXED);
        return 0;
    case SO_PROTOCOL:
        *out = socket->protocol;
        return 0;
    case SO_DOMAIN:
        *out = socket->family;
        return 0;
    case SO_ZEROCOPY:
        *out = __atomic_load_n(&socket->zerocopy, __ATOMIC_RELAXED);
        return 0;
    case SO_TXREHASH:
        *out = 1;
        return 0;
    default:
        *out = 0;
        return name >= 40 && name < 40 + 64 && ALWAYS_OFF >> (name - 40) & 1
                   ? 0
                   : bpf_get_option(socket, name, out);
    }
}

/* Those that are more. *len: the room; becomes the size of what there is. */
static int get_structure(struct socket *socket, int name, union value *v, unsigned *len)
{
    int32_t linger = load(&socket->linger_s);
    int err;
    switch (name) {
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
        v->time = timeval_of(&socket->receive_timeout_ns);
        *len = sizeof(v->time);
        return 0;
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW:
        v->time = timeval_of(&socket->send_timeout_ns);
        *len = sizeof(v->time);
        return 0;
    case SO_LINGER:
        v->linger.on = linger >= 0;
        v->linger.seconds = MAX(linger, 0);
        *len = sizeof(v->linger);
        return 0;
    case SO_PEERCRED:
        v->cred = (struct socket_cred){0, UINT32_MAX, UINT32_MAX};
        if (socket->ops->peer_cred)
            socket->ops->peer_cred(socket, &v->cred);
        *len = sizeof(v->cred);
        return 0;
    case SO_COOKIE:
        if (*len < sizeof(v->number64))
            return -EINVAL;
        v->number64 = socket->ino;
        *len = sizeof(v->number64);
        return 0;
    case SO_PEERNAME:
        err = socket_get_name(socket, true, &v->name);
        if (err)
            return -ENOTCONN;
        if (v->name.len < *len)
            return -EINVAL;
        memmove(v->bytes, v->name.bytes, v->name.len);
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int get_any(struct socket *socket, int level, int name, union value *v, unsigned *len)
{
    int err = -ENOPROTOOPT;
    if (level == SOL_SOCKET) {
        err = get_number(socket, name, &v->number);
        if (err == 0)
            *len = sizeof(v->number);
        else
            err = get_structure(socket, name, v, len);
        if (err == -ENOPROTOOPT)
            err = socket_get_rare(socket, name, v, len);
    }
    if (err == -ENOPROTOOPT && socket->ops->get_option) {
        *len = MIN(*len, (unsigned)sizeof(*v));
        err = socket->ops->get_option(socket, level, name, v, len);
    } else if (level != SOL_SOCKET && !socket->ops->get_option) {
        err = -EOPNOTSUPP;
    }
    return err;
}

int socket_get_option(struct socket *socket, int level, int name, uaddr_t value, uaddr_t len)
{
    union value v = {0};
    int room;
    int err = copyin(&room, len, sizeof(room));
    if (err)
        return err;
    if (room < 0)
        return -EINVAL;
    unsigned size = (unsigned)room;
    if (level == SOL_SOCKET && name == SO_GET_FILTER) {
        err = bpf_get_filter(socket, value, &size);
        room = (int)size; /* instructions, not bytes (Linux: sk_get_filter) */
        return err ? err : copyout(len, &room, sizeof(room));
    }
    /* Some say in the value which one is meant (PACKET_HDRLEN). A bad address is told of below. */
    if (level != SOL_SOCKET && copyin(&v, value, MIN(size, (unsigned)sizeof(v.number))))
        v.number = 0;
    err = get_any(socket, level, name, &v, &size);
    if (err)
        return err;
    int given = (int)MIN(size, (unsigned)room);
    err = copyout(value, &v, (size_t)given);
    if (level == SOL_NETLINK) /* NETLINK_LIST_MEMBERSHIPS: what there is, not what fits */
        given = (int)size;
    if (err == 0)
        err = copyout(len, &given, sizeof(given));
    return err;
}
