/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * icmp6.c - ICMPv6: RFC 4443. Echo, errors both ways; neighbour discovery goes to nd6.c.
 */
#include "lib/errno.h"
#include "net/ether.h"
#include "net/ipimpl.h"
#include "net/mib.h"

/* A message in place: sum it up and send. Consumes. */
static void send(struct pkt *pkt, const struct net_addr *source, const struct net_addr *to,
                 unsigned device)
{
    struct ip_route route = {0};
    const struct ip_params params = {.protocol = IPPROTO_ICMPV6};
    uint8_t *message = pkt->data;
    uint8_t type = message[0];
    int err = route_lookup(&route, to, source, net_addr_is_link_local(to) ? device : 0);
    if (err == 0) {
        message[2] = message[3] = 0;
        uint32_t pseudo = ip_pseudo_sum(&route.source, to, IPPROTO_ICMPV6, pkt->total);
        uint16_t sum = (uint16_t)~pkt_checksum(pkt, 0, pkt->total, checksum_fold(pseudo));
        memcpy(message + 2, &sum, sizeof(sum));
        err = ip_output(&route, pkt, NULL, &params);
    } else {
        pkt_free(pkt);
    }
    route_release(&route);
    if (err)
        return;
    mib_count(MIB_Icmp6_OutMsgs);
    if (type == ICMP6_ECHO_REPLY)
        mib_count(MIB_Icmp6_OutEchoReplies);
    if (type == ICMP6_UNREACHABLE)
        mib_count(MIB_Icmp6_OutDestUnreachs);
}

/* RFC 4443, 2.4 (e). */
static bool may_answer(const struct pkt *pkt, uint8_t type, const struct net_addr *source,
                       const struct net_addr *dest, uint8_t code)
{
    /* (e.3): to a group only about what is too big, or an option that wants it. */
    bool about_option = type == ICMP6_PARAMETER && code == 2;
    if (net_addr_is_multicast(dest) && !about_option)
        return false;
    if (net_addr_is_multicast(source) || net_addr_is_any(source))
        return false;
    if (!about_option && pkt->dev && pkt->dev->type == ARPHRD_ETHER &&
        pkt_headroom(pkt) >= ETHER_HEADER_LEN && pkt->room[pkt->link] & 1)
        return false;
    /* (e.1): whatever may be an error. transport was set by make_ready. */
    uint32_t at = pkt->transport - pkt->network;
    uint8_t message_type = 0;
    if (pkt->data[6] != IPPROTO_ICMPV6)
        return true;
    if (at >= pkt->total)
        return false;
    pkt_read(pkt, at, &message_type, 1);
    return message_type >= 128 && message_type != 137; /* nor redirects */
}

void icmp6_error(const struct pkt *pkt, uint8_t type, uint8_t code, uint32_t info)
{
    struct net_addr source, dest;
    memcpy(&source, pkt->data + 8, 16);
    memcpy(&dest, pkt->data + 24, 16);
    if (!may_answer(pkt, type, &source, &dest, code))
        return;
    if (!icmp_rate_ok()) {
        mib_count(MIB_Icmp6_OutRateLimitHost);
        return;
    }
    struct pkt *answer =
        icmp_error_make(pkt, type, code, info, IP6_MTU_MIN - IP6_HEADER_LEN - ICMP_HEADER);
    if (answer)
        send(answer, net_addr_is_multicast(&dest) ? NULL : &dest, &source,
             pkt->dev ? pkt->dev->index : 0);
}

static void echo(struct pkt *pkt, const struct classified *about)
{
    mib_count(MIB_Icmp6_InEchos);
    pkt_skip(pkt, pkt->transport - pkt->network);
    uint32_t len = pkt->total;
    struct pkt *answer =
        pkt_clone(pkt, ICMP_HEADER, len - ICMP_HEADER, PKT_HEADROOM + ICMP_HEADER, ALLOC_DEFAULT);
    if (answer) {
        uint8_t *message = pkt_push(answer, ICMP_HEADER);
        pkt_read(pkt, 0, message, ICMP_HEADER);
        message[0] = ICMP6_ECHO_REPLY;
        /* RFC 4443, 4.2: to a group it is answered from an address of ours. */
        send(answer, net_addr_is_multicast(&about->key.local) ? NULL : &about->key.local,
             &about->key.remote, pkt->dev->index);
    }
    pkt_free(pkt);
}

static void error_input(const struct pkt *pkt, const struct classified *about,
                        const uint8_t *message, uint32_t len)
{
    /* RFC 4443, 3.1: no route, prohibited, beyond scope, address, port, policy, reject. */
    static const uint8_t unreachable[] = {ENETUNREACH,  EACCES, EHOSTUNREACH, EHOSTUNREACH,
                                          ECONNREFUSED, EACCES, EACCES};
    struct ip_error error = {
        .type = message[0],
        .code = message[1],
        .offender = about->key.remote,
        .device = pkt->dev == &loopback ? 0 : pkt->dev->index,
    };
    switch (message[0]) {
    case ICMP6_UNREACHABLE:
        mib_count(MIB_Icmp6_InDestUnreachs);
        error.error =
            message[1] < ARRAY_COUNT(unreachable) ? unreachable[message[1]] : EHOSTUNREACH;
        error.hard = message[1] == ICMP6_PORT || error.error == EACCES;
        break;
    case ICMP6_TOO_BIG:
        mib_count(MIB_Icmp6_InPktTooBigs);
        error.error = EMSGSIZE;
        error.mtu = MAX(get_be32(message + 4), IP6_MTU_MIN); /* RFC 8201, 4 */
        break;
    case ICMP6_TIME_EXCEEDED:
        mib_count(MIB_Icmp6_InTimeExcds);
        error.error = EHOSTUNREACH;
        break;
    case ICMP6_PARAMETER:
        mib_count(MIB_Icmp6_InParmProblems);
        error.error = EPROTO;
        error.hard = true;
        break;
    default:
        return; /* RFC 4443, 2.4 (a): an unknown error is for the upper layer, which has no use */
    }
    icmp_deliver_error(message + ICMP_HEADER, len - ICMP_HEADER, &error);
}

/* The longest message of neighbour discovery that is looked at. */
#define ND_MAX 1500u

static void discovery(struct pkt *pkt, const struct classified *about, uint32_t at)
{
    uint32_t len = MIN(pkt->total - at, ND_MAX);
    uint8_t hops = pkt->data[7];
    const uint8_t *bytes = pkt_pull(pkt, at + len);
    if (bytes)
        nd6_input(pkt->dev, &about->key.remote, &about->key.local, hops, bytes + at, len);
}

void icmp6_input(struct pkt *pkt, const struct classified *about)
{
    uint32_t at = pkt->transport - pkt->network, len = pkt->total - at;
    mib_count(MIB_Icmp6_InMsgs);
    bool good = len >= ICMP_HEADER &&
                ip_checksum_ok(pkt, at, len, &about->key.remote, &about->key.local, IPPROTO_ICMPV6);
    if (!good) {
        mib_count(len >= ICMP_HEADER ? MIB_Icmp6_InCsumErrors : MIB_Icmp6_InErrors);
        pkt_free(pkt);
        return;
    }
    uint8_t message[ICMP_HEADER + IP6_HEADER_LEN + 16];
    uint32_t copied = MIN(len, (uint32_t)sizeof(message));
    pkt_read(pkt, at, message, copied);
    if (message[0] == ICMP6_ECHO) {
        echo(pkt, about);
        return;
    }
    if (message[0] == ICMP6_ECHO_REPLY)
        mib_count(MIB_Icmp6_InEchoReplies);
    else if (message[0] < 128)
        error_input(pkt, about, message, copied);
    else if (message[0] == ICMP6_MLD_QUERY && net_addr_is_link_local(&about->key.remote))
        mld_query(pkt->dev, message, copied);
    else if (message[0] >= ICMP6_ROUTER_SOLICIT && message[0] <= ICMP6_NEIGHBOUR_ADVERT)
        discovery(pkt, about, at);
    pkt_free(pkt);
}
