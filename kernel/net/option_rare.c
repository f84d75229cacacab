/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * option_rare.c - options of SOL_SOCKET that few programs set: time stamps (Linux's
 * Documentation/networking/timestamping), SO_MAX_PACING_RATE, SO_TXTIME, SO_BUF_LOCK, SO_MEMINFO,
 * SO_PEEK_OFF.
 *
 * Their numbers lie in an object that the first of them makes, so that a socket without them has
 * but a pointer. It is never exchanged; its end is left to RCU, because who chooses a member of a
 * group (reuseport.c) may look at it.
 */
#include "drv/pkt.h"
#include "fs/vfs.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "net/inet.h"
#include "sched/timer.h"

enum {
    SO_TIMESTAMPING = 37,
    SO_PEEK_OFF = 42,
    SO_MAX_PACING_RATE = 47,
    SO_CNX_ADVICE = 53,
    SO_MEMINFO = 55,
    SO_TXTIME = 61,
    SO_TIMESTAMP_NEW = 63,
    SO_TIMESTAMPNS_NEW = 64,
    SO_TIMESTAMPING_NEW = 65,
    SO_BUF_LOCK = 72,
    SO_RESERVE_MEM = 73,
};
/* SOF_TIMESTAMPING_* */
enum {
    STAMP_RX_SOFTWARE = 1 << 3,
    STAMP_SOFTWARE = 1 << 4,
    STAMP_OPT_ID = 1 << 7,
    STAMP_OPT_TSONLY = 1 << 11,
    STAMP_OPT_STATS = 1 << 12,
    STAMP_BIND_PHC = 1 << 15,
    STAMP_OPT_ID_TCP = 1 << 16,
    STAMP_ALL = (1 << 19) - 1,
};
enum { TXTIME_ALL = 3, TXTIME_MONOTONIC = 1 /* the only clock that needs no privilege */ };
enum { MEM_RECEIVED, MEM_RECEIVE_BUFFER, MEM_SENT, MEM_SEND_BUFFER, MEM_COUNT = 9 };

struct txtime { /* struct sock_txtime of user code */
    int32_t clock;
    uint32_t flags;
};
struct timestamping { /* struct so_timestamping */
    uint32_t flags;
    int32_t clock;
};

/* ---- the object ---- */

struct socket_rare *socket_rare_make(struct socket *socket)
{
    struct socket_rare *rare = socket_rare(socket);
    if (rare)
        return rare;
    struct socket_rare *new = owner_alloc(OWNER_SOCKET, sizeof(*new));
    if (!new)
        return NULL;
    new->pacing_rate = UINT64_MAX;
    new->peek_off = -1;
    /* Release: it is whole. Another thread may have been first. */
    if (__atomic_compare_exchange_n(&socket->rare, &rare, new, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return new;
    owner_free(OWNER_SOCKET, new, sizeof(*new));
    return rare;
}

static void rare_free(struct rcu_head *head)
{
    struct socket_rare *rare = container_of(head, struct socket_rare, rcu);
    kfree(rare->saved_syn);
    kfree(rare->fast_keys);
    owner_free(OWNER_SOCKET, rare, sizeof(*rare));
}

void socket_rare_free(struct socket *socket)
{
    struct socket_rare *rare = __atomic_exchange_n(&socket->rare, NULL, __ATOMIC_ACQ_REL);
    if (rare)
        rcu_call(&rare->rcu, rare_free);
}

static void change(struct socket *socket, unsigned which, bool on)
{
    if (on)
        __atomic_fetch_or(&socket->switches, 1u << which, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&socket->switches, ~(1u << which), __ATOMIC_RELAXED);
}

/* ---- time stamps ---- */

/* Linux: sock_set_timestamp. One of the four is on; whoever switches one off switches all. */
static void set_stamp(struct socket *socket, int name, bool on)
{
    if (on) {
        change(socket, SOCKET_STAMP_NEW, name == SO_TIMESTAMP_NEW || name == SO_TIMESTAMPNS_NEW);
        __atomic_store_n(&pkt_stamps, true, __ATOMIC_RELAXED);
    }
    change(socket, SOCKET_STAMP_NS, on && (name == SO_TIMESTAMPNS || name == SO_TIMESTAMPNS_NEW));
    change(socket, SO_TIMESTAMP, on);
}

static int32_t get_stamp(const struct socket *socket, int name)
{
    bool on = socket_switch(socket, SO_TIMESTAMP), nano = socket_switch(socket, SOCKET_STAMP_NS);
    bool new = socket_switch(socket, SOCKET_STAMP_NEW);
    switch (name) {
    case SO_TIMESTAMP:
        return on && !nano && !new;
    case SO_TIMESTAMP_NEW:
        return on && new;
    case SO_TIMESTAMPNS:
        return nano && !new;
    default:
        return nano && new;
    }
}

/* Linux: sock_set_timestamping. Hardware's are accepted and never come; there are no clocks to
 * bind to. */
static int set_stamping(struct socket *socket, int name, uaddr_t value, unsigned len)
{
    struct timestamping to = {0, 0};
    int err = copyin(&to, value, len == sizeof(to) ? sizeof(to) : sizeof(to.flags));
    if (err)
        return err;
    uint32_t f = to.flags, before = __atomic_load_n(&socket->stamping, __ATOMIC_RELAXED);
    bool first_id = (f & STAMP_OPT_ID) && !(before & STAMP_OPT_ID);
    if (f & ~(uint32_t)STAMP_ALL || f & STAMP_BIND_PHC ||
        ((f & STAMP_OPT_ID_TCP) && !(f & STAMP_OPT_ID)) ||
        ((f & STAMP_OPT_STATS) && !(f & STAMP_OPT_TSONLY)))
        return -EINVAL;
    /* Bytes of a stream are counted from here on: there must be one. */
    if (first_id && socket->type == SOCK_STREAM && socket->protocol == IPPROTO_TCP) {
        struct socket_name peer;
        if (socket_get_name(socket, true, &peer))
            return -EINVAL;
    }
    change(socket, SOCKET_STAMP_NEW, name == SO_TIMESTAMPING_NEW);
    __atomic_store_n(&socket->stamping, f, __ATOMIC_RELAXED);
    if (f & STAMP_RX_SOFTWARE)
        __atomic_store_n(&pkt_stamps, true, __ATOMIC_RELAXED);
    return 0;
}

void control_put_time(struct socket_msg *msg, const struct socket *socket, uint64_t wall_ns)
{
    uint32_t stamping = __atomic_load_n(&socket->stamping, __ATOMIC_RELAXED);
    bool new = socket_switch(socket, SOCKET_STAMP_NEW);
    bool nano = socket_switch(socket, SOCKET_STAMP_NS);
    /* struct timespec, two more of which are hardware's: struct scm_timestamping. */
    uint64_t stamp[6] = {wall_ns / NS_PER_SEC, wall_ns % NS_PER_SEC};
    uint64_t time[2] = {stamp[0], nano ? stamp[1] : stamp[1] / NS_PER_US};
    int plain = nano ? SO_TIMESTAMPNS : SO_TIMESTAMP;
    int renamed = nano ? SO_TIMESTAMPNS_NEW : SO_TIMESTAMP_NEW;
    if (socket_switch(socket, SO_TIMESTAMP))
        control_add(msg, SOL_SOCKET, new ? renamed : plain, time, sizeof(time));
    if ((stamping & (STAMP_SOFTWARE | STAMP_RX_SOFTWARE)) == (STAMP_SOFTWARE | STAMP_RX_SOFTWARE))
        control_add(msg, SOL_SOCKET, new ? SO_TIMESTAMPING_NEW : SO_TIMESTAMPING, stamp,
                    sizeof(stamp));
}

/* ---- set ---- */

static int set_pacing(struct socket *socket, uaddr_t value, unsigned len)
{
    uint32_t narrow;
    uint64_t rate;
    int err;
    if (len == sizeof(rate)) {
        err = copyin(&rate, value, sizeof(rate));
    } else {
        err = copyin(&narrow, value, sizeof(narrow));
        rate = narrow == UINT32_MAX ? UINT64_MAX : narrow;
    }
    if (err)
        return err;
    struct socket_rare *rare = socket_rare_make(socket);
    if (!rare)
        return -ENOMEM;
    __atomic_store_n(&rare->pacing_rate, rate, __ATOMIC_RELAXED);
    return 0;
}

static int set_txtime(struct socket *socket, uaddr_t value, unsigned len)
{
    struct txtime to;
    if (len != sizeof(to))
        return -EINVAL;
    int err = copyin(&to, value, sizeof(to));
    if (err)
        return err;
    if (to.flags & ~(uint32_t)TXTIME_ALL)
        return -EINVAL;
    if (to.clock != TXTIME_MONOTONIC && proc_cred()->euid != 0)
        return -EPERM;
    struct socket_rare *rare = socket_rare_make(socket);
    if (!rare)
        return -ENOMEM;
    __atomic_store_n(&rare->txtime_clock, (uint32_t)to.clock, __ATOMIC_RELAXED);
    __atomic_store_n(&rare->txtime_flags, to.flags, __ATOMIC_RELAXED);
    change(socket, SOCKET_TXTIME, true);
    return 0;
}

static int set_buf_lock(struct socket *socket, int32_t locks)
{
    if (locks & ~3)
        return -EINVAL;
    change(socket, SOCKET_SEND_LOCKED, locks & 1);
    change(socket, SOCKET_RECEIVE_LOCKED, locks & 2);
    if (socket->ops->buffers_changed)
        socket->ops->buffers_changed(socket);
    return 0;
}

/* Linux: sk_set_peek_off. */
static int set_peek_off(struct socket *socket, int32_t off)
{
    struct socket_rare *rare = socket->ops->peeks ? socket_rare_make(socket) : NULL;
    if (!rare)
        return socket->ops->peeks ? -ENOMEM : -EOPNOTSUPP;
    __atomic_store_n(&rare->peek_off, off, __ATOMIC_RELAXED);
    return 0;
}

int32_t socket_peek_off(const struct socket *socket)
{
    const struct socket_rare *rare = socket_rare(socket);
    return rare ? __atomic_load_n(&rare->peek_off, __ATOMIC_RELAXED) : -1;
}

/* Readers of one socket may disturb each other here, as on Linux. */
void socket_move_peek(struct socket_rare *rare, uint32_t flags, size_t bytes)
{
    int64_t off = __atomic_load_n(&rare->peek_off, __ATOMIC_RELAXED);
    if (off < 0)
        return;
    off += flags & MSG_PEEK ? (int64_t)bytes : -(int64_t)bytes;
    __atomic_store_n(&rare->peek_off, (int32_t)MIN(MAX(off, 0), INT32_MAX), __ATOMIC_RELAXED);
}

int socket_set_rare(struct socket *socket, int name, uaddr_t value, unsigned len)
{
    int32_t number;
    int err = copyin(&number, value, sizeof(number)); /* there is room: the caller has looked */
    if (err)
        return err;
    switch (name) {
    case SO_TIMESTAMP:
    case SO_TIMESTAMPNS:
    case SO_TIMESTAMP_NEW:
    case SO_TIMESTAMPNS_NEW:
        set_stamp(socket, name, number != 0);
        return 0;
    case SO_TIMESTAMPING:
    case SO_TIMESTAMPING_NEW:
        return set_stamping(socket, name, value, len);
    case SO_MAX_PACING_RATE:
        return set_pacing(socket, value, len);
    case SO_TXTIME:
        return set_txtime(socket, value, len);
    case SO_BUF_LOCK:
        return set_buf_lock(socket, number);
    case SO_PEEK_OFF:
        return set_peek_off(socket, number);
    case SO_CNX_ADVICE: /* another route is not to be had */
        return 0;
    case SO_RESERVE_MEM: /* Linux without memory control groups */
        return number < 0 ? -EINVAL : -EOPNOTSUPP;
    default:
        return -ENOPROTOOPT;
    }
}

/* ---- get ---- */

/* SK_MEMINFO_*: what waits to be read and to be acknowledged as SIOCINQ and SIOCOUTQ count it. */
static void get_memory(const struct socket *socket, uint32_t *memory)
{
    memory[MEM_RECEIVE_BUFFER] =
        (uint32_t)__atomic_load_n(&socket->receive_buffer, __ATOMIC_RELAXED);
    memory[MEM_SEND_BUFFER] = (uint32_t)__atomic_load_n(&socket->send_buffer, __ATOMIC_RELAXED);
    if (socket->family == AF_INET || socket->family == AF_INET6)
        memory[MEM_RECEIVED] = __atomic_load_n(
            &container_of(socket, struct inet_sock, base)->flow.channel.bytes, __ATOMIC_RELAXED);
}

int socket_get_rare(struct socket *socket, int name, void *value, unsigned *len)
{
    const struct socket_rare *rare = socket_rare(socket);
    union {
        int32_t number;
        uint64_t rate;
        struct txtime txtime;
        struct timestamping stamping;
        uint32_t memory[MEM_COUNT];
    } v;
    unsigned size = sizeof(v.number);
    memset(&v, 0, sizeof(v));
    switch (name) {
    case SO_TIMESTAMP:
    case SO_TIMESTAMPNS:
    case SO_TIMESTAMP_NEW:
    case SO_TIMESTAMPNS_NEW:
        v.number = get_stamp(socket, name);
        break;
    case SO_TIMESTAMPING:
    case SO_TIMESTAMPING_NEW:
        if (name == SO_TIMESTAMPING || socket_switch(socket, SOCKET_STAMP_NEW))
            v.stamping.flags = __atomic_load_n(&socket->stamping, __ATOMIC_RELAXED);
        size = sizeof(v.stamping);
        break;
    case SO_MAX_PACING_RATE:
        v.rate = rare ? __atomic_load_n(&rare->pacing_rate, __ATOMIC_RELAXED) : UINT64_MAX;
        if (*len >= sizeof(v.rate))
            size = sizeof(v.rate);
        else if (v.rate > UINT32_MAX) /* what does not fit is the most that does */
            v.rate = UINT32_MAX;
        break;
    case SO_TXTIME:
        if (rare && socket_switch(socket, SOCKET_TXTIME)) {
            v.txtime.clock = (int32_t)__atomic_load_n(&rare->txtime_clock, __ATOMIC_RELAXED);
            v.txtime.flags = __atomic_load_n(&rare->txtime_flags, __ATOMIC_RELAXED);
        }
        size = sizeof(v.txtime);
        break;
    case SO_BUF_LOCK:
        v.number = socket_switch(socket, SOCKET_SEND_LOCKED) |
                   socket_switch(socket, SOCKET_RECEIVE_LOCKED) << 1;
        break;
    case SO_PEEK_OFF:
        if (!socket->ops->peeks)
            return -EOPNOTSUPP;
        v.number = socket_peek_off(socket);
        break;
    case SO_MEMINFO:
        get_memory(socket, v.memory);
        size = sizeof(v.memory);
        break;
    default:
        return -ENOPROTOOPT;
    }
    memcpy(value, &v, size);
    *len = size;
    return 0;
}
