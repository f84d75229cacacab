/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * icmp.c - what both versions of ICMP share: the limit on errors sent, errors that are delivered to
 * flows, neighbours that do not answer.
 *
 * The limit is a token bucket for all errors: 1000 a second, 50 at once. It is one atomic word, the
 * time at which the bucket was last empty, as it were.
 */
#include "core/rcu.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "net/flow.h"
#include "net/ipimpl.h"
#include "net/neigh.h"
#include "sched/timer.h"

#define INTERVAL_NS (NS_PER_SEC / 1000)
#define BURST 50u

bool icmp_rate_ok(void)
{
    static uint64_t empty_ns; /* atomic: each message moves it on by an interval */
    uint64_t now = clock_mono_ns(), old = __atomic_load_n(&empty_ns, __ATOMIC_RELAXED), next;
    do {
        uint64_t floor = now > BURST * INTERVAL_NS ? now - BURST * INTERVAL_NS : 0;
        next = MAX(old, floor) + INTERVAL_NS;
        if (next > now)
            return false;
    } while (!__atomic_compare_exchange_n(&empty_ns, &old, next, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return true;
}

struct pkt *icmp_error_make(const struct pkt *pkt, uint8_t type, uint8_t code, uint32_t info,
                            uint32_t most)
{
    uint32_t quote = MIN(pkt->total, most);
    struct pkt *answer = pkt_alloc(PKT_HEADROOM, ICMP_HEADER + quote, ALLOC_DEFAULT);
    if (!answer)
        return NULL;
    uint8_t *message = pkt_put(answer, ICMP_HEADER + quote);
    message[0] = type;
    message[1] = code;
    put_be32(message + 4, info);
    pkt_read(pkt, 0, message + ICMP_HEADER, quote);
    return answer;
}

/* The flow that a packet of ours with these headers belongs to: ours is the source. */
static bool quoted_key(const uint8_t *quoted, uint32_t len, struct ip_error *error)
{
    struct flow_key *key = &error->key;
    uint32_t at, word;
    memset(key, 0, sizeof(*key));
    if (len >= IP4_HEADER_LEN && quoted[0] >> 4 == 4) {
        at = (quoted[0] & 0xf) * 4u;
        if (at < IP4_HEADER_LEN || get_be16(quoted + 6) & IP4_OFFSET)
            return false;
        key->protocol = quoted[9];
        memcpy(&word, quoted + 12, 4);
        key->local = net_addr_v4(word);
        memcpy(&word, quoted + 16, 4);
        key->remote = net_addr_v4(word);
    } else if (len >= IP6_HEADER_LEN && quoted[0] >> 4 == 6) {
        at = IP6_HEADER_LEN;
        key->protocol = quoted[6];
        memcpy(&key->local, quoted + 8, 16);
        memcpy(&key->remote, quoted + 24, 16);
        if (key->protocol == 44 && len >= at + 8) { /* the first fragment has the ports */
            if (get_be16(quoted + at + 2) & 0xfff8)
                return false;
            key->protocol = quoted[at];
            at += 8;
        }
    } else {
        return false;
    }
    if (len < at + 8)
        return false;
    if (key->protocol != IPPROTO_TCP && key->protocol != IPPROTO_UDP) {
        error->payload = quoted + at;
        error->payload_len = len - at;
        return true;
    }
    memcpy(&key->local_port, quoted + at, 2);
    memcpy(&key->remote_port, quoted + at + 2, 2);
    error->payload = quoted + at + 8;
    error->payload_len = key->protocol == IPPROTO_UDP ? len - at - 8 : 0;
    error->sequence = key->protocol == IPPROTO_TCP ? get_be32(quoted + at + 4) : 0;
    return true;
}

void icmp_deliver_error(const uint8_t *quoted, uint32_t len, struct ip_error *error)
{
    if (!quoted_key(quoted, len, error) || !ip_is_local(&error->key.local, 0))
        return;
    if (net_addr_is_any(&error->offender)) /* ip_unreachable_neighbour's, which did not know it */
        error->offender = error->key.local;
    if (error->key.protocol != IPPROTO_TCP && error->key.protocol != IPPROTO_UDP) {
        if (ip_raw_error)
            ip_raw_error(error);
        return;
    }
    /* As elsewhere (RFC 1122, 4.2.3.9 would wait): an attempt to connect ends whatever it is that
     * does not let it through. Connections that stand are ended by nothing of this. */
    if (error->key.protocol == IPPROTO_TCP && error->error != EMSGSIZE)
        error->hard = true;
    unsigned token = rcu_read_lock();
    struct flow *flow = flow_find(&error->key, flow_hash(&error->key), error->device);
    if (flow && error->error == EMSGSIZE && error->key.protocol == IPPROTO_UDP)
        route_mtu_learn(&error->key.remote, error->mtu);
    if (flow && flow->ops->error)
        flow->ops->error(flow, error);
    rcu_read_unlock(token);
}

/* As if a router had said so. */
void ip_unreachable_neighbour(struct pkt *pkt)
{
    uint8_t quoted[IP6_HEADER_LEN + 16];
    uint32_t len = MIN(pkt->total, (uint32_t)sizeof(quoted));
    struct ip_error error = {.error = EHOSTUNREACH};
    pkt_read(pkt, 0, quoted, len);
    bool v4 = quoted[0] >> 4 == 4;
    error.type = v4 ? ICMP4_UNREACHABLE : ICMP6_UNREACHABLE;
    error.code = v4 ? ICMP4_HOST : ICMP6_ADDRESS;
    icmp_deliver_error(quoted, len, &error);
    pkt_free(pkt);
}
