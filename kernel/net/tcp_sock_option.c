/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_sock_option.c - options of the level IPPROTO_TCP (tcp(7)). */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "net/tcp_sock.h"

enum {
    TCP_NODELAY = 1,
    TCP_MAXSEG = 2,
    TCP_CORK = 3,
    TCP_KEEPIDLE = 4,
    TCP_KEEPINTVL = 5,
    TCP_KEEPCNT = 6,
    TCP_SYNCNT = 7,
    TCP_LINGER2 = 8,
    TCP_DEFER_ACCEPT = 9,
    TCP_WINDOW_CLAMP = 10,
    TCP_INFO = 11,
    TCP_QUICKACK = 12,
    TCP_CONGESTION = 13,
    TCP_USER_TIMEOUT = 18,
    TCP_FASTOPEN = 23,
    TCP_TIMESTAMP = 24,
    TCP_NOTSENT_LOWAT = 25,
    TCP_CC_INFO = 26,
    TCP_SAVE_SYN = 27,
    TCP_SAVED_SYN = 28,
    TCP_FASTOPEN_CONNECT = 30,
    TCP_ULP = 31,
    TCP_FASTOPEN_KEY = 33,
    TCP_IS_MPTCP = 43,
};
#define CONGESTION_NAME_MAX 16u /* TCP_CA_NAME_MAX */
#define KEEP_MAX 32767          /* MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL */
#define LINGER2_MAX 120         /* TCP_FIN_TIMEOUT_MAX, s */

static bool outside(int value, int least, int most)
{
    return value < least || value > most;
}

/* As many whole retransmission times of a SYN as `seconds` need (tcp(7), TCP_DEFER_ACCEPT). */
static uint32_t retransmissions_s(int seconds)
{
    uint32_t sum = 0, next = 1;
    for (unsigned n = 0; (int64_t)sum < seconds && n < 255; n++) {
        sum += next;
        next = MIN(next * 2, 120u);
    }
    return sum;
}

/* Those that count. The lock is held. */
static int set_times(struct tcp_sock *ts, int name, int value)
{
    struct tcp *tp = &ts->tp;
    switch (name) {
    case TCP_KEEPIDLE:
        if (outside(value, 1, KEEP_MAX))
            return -EINVAL;
        tp->keep_idle_s = (uint16_t)value;
        tcp_set_keep_alive(tp, tp->keep_alive);
        return 0;
    case TCP_KEEPINTVL:
        if (outside(value, 1, KEEP_MAX))
            return -EINVAL;
        tp->keep_interval_s = (uint16_t)value;
        return 0;
    case TCP_KEEPCNT:
        if (outside(value, 1, 127))
            return -EINVAL;
        tp->keep_count = (uint8_t)value;
        return 0;
    case TCP_SYNCNT:
        if (outside(value, 1, 127))
            return -EINVAL;
        tp->syn_retries = (uint8_t)value;
        return 0;
    case TCP_LINGER2:
        tp->linger2_s = (int8_t)(value < 0 ? -1 : value > LINGER2_MAX ? 0 : value);
        return 0;
    case TCP_USER_TIMEOUT:
        if (value < 0)
            return -EINVAL;
        tp->user_timeout_ms = (uint32_t)value;
        return 0;
    case TCP_DEFER_ACCEPT:
        ts->defer_s = retransmissions_s(value);
        if (ts->listener)
            ts->listener->defer_s = ts->defer_s;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_number(struct tcp_sock *ts, int name, int value)
{
    struct tcp *tp = &ts->tp;
    switch (name) {
    case TCP_NODELAY:
        tp->no_delay = value != 0;
        if (value)
            tcp_uncork(tp);
        return 0;
    case TCP_CORK:
        tp->cork = value != 0;
        if (!value)
            tcp_uncork(tp);
        return 0;
    case TCP_MAXSEG:
        if (value && outside(value, (int)TCP_MSS_MIN, 32767))
            return -EINVAL;
        tp->mss_user = (uint16_t)value;
        if (ts->listener)
            ts->listener->mss_user = (uint16_t)value;
        return 0;
    case TCP_QUICKACK:
        tcp_quick_ack(tp, value != 0);
        return 0;
    case TCP_WINDOW_CLAMP:
        if (value < 0 || (value == 0 && tp->state != TCP_CLOSED))
            return -EINVAL;
        if (value && (uint32_t)value < tp->rcv_limit) {
            tp->rcv_limit = MAX((uint32_t)value, 2048u);
            tp->limit_fixed = true;
        }
        return 0;
    case TCP_FASTOPEN:
        if (value < 0 || (!ts->listener && (ts->active || ts->connecting)))
            return -EINVAL;
        ts->fast_limit = (uint16_t)MIN((uint32_t)value, SOMAXCONN);
        if (ts->listener)
            ts->listener->fast_limit = ts->fast_limit;
        return 0;
    case TCP_FASTOPEN_CONNECT:
        if (outside(value, 0, 1) || ts->active || ts->connecting || ts->listener)
            return -EINVAL;
        ts->fast_connect = value;
        return 0;
    case TCP_INQ:
        if (outside(value, 0, 1))
            return -EINVAL;
        if (value)
            __atomic_fetch_or(&ts->inet.options, INET_TELL_LEFT, __ATOMIC_RELAXED);
        else
            __atomic_fetch_and(&ts->inet.options, ~(uint32_t)INET_TELL_LEFT, __ATOMIC_RELAXED);
        return 0;
    case TCP_SAVE_SYN:
        if (outside(value, 0, 2))
            return -EINVAL;
        ts->save_syn = (uint8_t)value;
        if (ts->listener)
            ts->listener->save_syn = ts->save_syn;
        return 0;
    case TCP_NOTSENT_LOWAT:
        __atomic_store_n(&ts->unsent_low, (uint32_t)value, __ATOMIC_RELAXED);
        inet_wake(&ts->inet, POLLOUT | POLLWRNORM); /* perhaps there is room now */
        return 0;
    default:
        return set_times(ts, name, value);
    }
}

static int set_congestion(struct tcp_sock *ts, uaddr_t value, unsigned len)
{
    char name[CONGESTION_NAME_MAX] = "";
    if (len < 1)
        return -EINVAL;
    int err = copyin(name, value, MIN(len, CONGESTION_NAME_MAX - 1));
    if (err)
        return err;
    inet_lock(&ts->inet);
    err = tcp_set_congestion(&ts->tp, name);
    inet_unlock(&ts->inet);
    return err;
}

#define FAST_KEY_LEN sizeof(struct siphash_key)

static int set_fast_keys(struct tcp_sock *ts, uaddr_t value, unsigned len)
{
    if (len != FAST_KEY_LEN && len != TCP_FAST_KEYS * FAST_KEY_LEN)
        return -EINVAL;
    struct socket_rare *rare = socket_rare_make(&ts->inet.base);
    struct tcp_fast_keys *keys = kmalloc(sizeof(*keys), ALLOC_DEFAULT), *old;
    int err = keys && rare ? copyin(keys->key, value, len) : -ENOMEM;
    if (err) {
        kfree(keys);
        return err;
    }
    keys->count = len / FAST_KEY_LEN;
    inet_lock(&ts->inet);
    old = rare->fast_keys;
    rare->fast_keys = keys;
    if (ts->listener)
        ts->listener->fast_keys = keys;
    inet_unlock(&ts->inet);
    kfree(old);
    return 0;
}

int tcp_sock_set_option(struct socket *socket, int level, int name, uaddr_t value, unsigned len)
{
    struct tcp_sock *ts = tcp_sock_of(inet_of(socket));
    int number;
    if (level != SOL_TCP)
        return inet_set_option(socket, level, name, value, len);
    if (name == TCP_CONGESTION)
        return set_congestion(ts, value, len);
    if (name == TCP_FASTOPEN_KEY)
        return set_fast_keys(ts, value, len);
    if (name == TCP_ULP) /* there is none (Linux without the module "tls") */
        return len < 1 ? -EINVAL : -ENOENT;
    if (len < sizeof(number))
        return -EINVAL;
    int err = copyin(&number, value, sizeof(number));
    if (err)
        return err;
    inet_lock(&ts->inet);
    err = set_number(ts, name, number);
    inet_unlock(&ts->inet);
    return err;
}

/* ---- get ---- */

static int get_number(struct tcp_sock *ts, int name, int32_t *out)
{
    const struct tcp *tp = &ts->tp;
    switch (name) {
    case TCP_NODELAY:
        *out = tp->no_delay;
        return 0;
    case TCP_CORK:
        *out = tp->cork;
        return 0;
    case TCP_MAXSEG: /* without a connection what was asked for */
        *out = tp->state == TCP_CLOSED ? (tp->mss_user ? tp->mss_user : (int)TCP_MSS_DEFAULT)
                                       : (int32_t)tp->mss;
        return 0;
    case TCP_KEEPIDLE:
        *out = tp->keep_idle_s;
        return 0;
    case TCP_KEEPINTVL:
        *out = tp->keep_interval_s;
        return 0;
    case TCP_KEEPCNT:
        *out = tp->keep_count;
        return 0;
    case TCP_SYNCNT:
        *out = tp->syn_retries;
        return 0;
    case TCP_LINGER2:
        *out = tp->linger2_s ? tp->linger2_s : tp->stack->fin_timeout_s;
        return 0;
    case TCP_DEFER_ACCEPT:
        *out = (int32_t)ts->defer_s;
        return 0;
    case TCP_WINDOW_CLAMP:
        *out = (int32_t)tp->rcv_limit;
        return 0;
    case TCP_QUICKACK:
        *out = !tp->no_quick;
        return 0;
    case TCP_USER_TIMEOUT:
        *out = (int32_t)tp->user_timeout_ms;
        return 0;
    case TCP_FASTOPEN:
        *out = (int32_t)ts->fast_limit;
        return 0;
    case TCP_FASTOPEN_CONNECT:
        *out = ts->fast_connect;
        return 0;
    case TCP_SAVE_SYN:
        *out = ts->save_syn;
        return 0;
    case TCP_NOTSENT_LOWAT:
        *out = (int32_t)ts->unsent_low;
        return 0;
    case TCP_INQ:
        *out = (__atomic_load_n(&ts->inet.options, __ATOMIC_RELAXED) & INET_TELL_LEFT) != 0;
        return 0;
    case TCP_IS_MPTCP: /* what was asked for as MPTCP, and has fallen back, too */
        *out = 0;
        return 0;
    case TCP_TIMESTAMP:
        *out = (int32_t)(clock_mono_ns() / NS_PER_MS + tp->time_offset);
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

/* Once; -EINVAL: there is no room for it. The lock is held. */
static int get_syn(struct tcp_sock *ts, void *value, unsigned *len)
{
    struct socket_rare *rare = socket_rare(&ts->inet.base);
    struct tcp_syn *saved = rare ? rare->saved_syn : NULL;
    unsigned room = *len;
    *len = saved ? saved->len : 0;
    if (*len > room)
        return -EINVAL;
    if (saved) {
        memcpy(value, saved->bytes, *len);
        rare->saved_syn = NULL;
        kfree(saved);
    }
    return 0;
}

int tcp_sock_get_option(struct socket *socket, int level, int name, void *value, unsigned *len)
{
    struct tcp_sock *ts = tcp_sock_of(inet_of(socket));
    union {
        int32_t number;
        char name[CONGESTION_NAME_MAX];
        struct tcp_info info;
    } out;
    unsigned size = sizeof(out.number);
    int err = 0;
    if (level != SOL_TCP)
        return inet_get_option(socket, level, name, value, len);
    memset(&out, 0, sizeof(out));
    inet_lock(&ts->inet);
    if (name == TCP_SAVED_SYN) {
        err = get_syn(ts, value, len);
        inet_unlock(&ts->inet);
        return err;
    }
    if (name == TCP_INFO) {
        size = sizeof(out.info);
        tcp_get_info(&ts->tp, &out.info);
        if (ts->listener) { /* tcp(7): how many wait, and how many may */
            out.info.state = TCP_LISTEN;
            out.info.unacked = ts->queued;
            out.info.sacked = ts->backlog;
        }
    } else if (name == TCP_CONGESTION) {
        size = sizeof(out.name);
        strlcpy(out.name, tcp_congestion_name(&ts->tp), sizeof(out.name));
    } else if (name == TCP_FASTOPEN_KEY) {
        struct socket_rare *rare = socket_rare(socket);
        const struct tcp_fast_keys *keys = rare ? rare->fast_keys : NULL;
        size = keys ? keys->count * (unsigned)FAST_KEY_LEN : 0;
        if (keys)
            memcpy(&out, keys->key, size);
    } else if (name == TCP_CC_INFO || name == TCP_ULP) {
        size = 0; /* neither CUBIC nor NewReno has any (tcp(7)); and there is no ULP */
    } else {
        err = get_number(ts, name, &out.number);
    }
    inet_unlock(&ts->inet);
    if (err)
        return err;
    *len = MIN(*len, size);
    memcpy(value, &out, *len);
    return 0;
}
