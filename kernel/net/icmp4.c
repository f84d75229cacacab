/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * icmp4.c - ICMP for IPv4: RFC 792, RFC 1122 (3.2.2).
 *
 * Echo requests are answered, not those to all (against amplification). Errors about our packets go
 * to the flow whose packet is quoted, which decides what it believes (RFC 5927). Redirects and
 * source quenches are counted and ignored (RFC 6633).
 */
#include "lib/errno.h"
#include "net/ether.h"
#include "net/ipimpl.h"
#include "net/mib.h"
#include "net/sysctl.h"

#define ERROR_MAX 576u /* RFC 1812, 4.3.2.3: as much of the packet as fits */

/* A message in place: send it. consumes. */
static void send(struct pkt *pkt, const struct net_addr *source, const struct net_addr *to,
                 uint8_t tos)
{
    struct ip_route route = {0};
    const struct ip_params params = {.protocol = IPPROTO_ICMP, .tos = tos};
    uint8_t *message = pkt->data;
    message[2] = message[3] = 0;
    uint16_t sum = (uint16_t)~pkt_checksum(pkt, 0, pkt->total, 0);
    memcpy(message + 2, &sum, sizeof(sum));
    uint8_t type = message[0];
    int err = route_lookup(&route, to, source, 0);
    if (err == 0)
        err = ip_output(&route, pkt, NULL, &params);
    else
        pkt_free(pkt);
    route_release(&route);
    if (err) {
        mib_count(MIB_Icmp_OutErrors);
        return;
    }
    mib_count(MIB_Icmp_OutMsgs);
    mib_count(type == ICMP4_ECHO_REPLY    ? MIB_Icmp_OutEchoReps
              : type == ICMP4_UNREACHABLE ? MIB_Icmp_OutDestUnreachs
                                          : MIB_Icmp_OutTimeExcds);
}

/* RFC 1122, 3.2.2: about what no error is sent. */
static bool may_answer(const struct pkt *pkt, const struct net_addr *source,
                       const struct net_addr *dest)
{
    const uint8_t *h = pkt->data;
    uint32_t at = (h[0] & 0xf) * 4u;
    if (get_be16(h + 6) & IP4_OFFSET)
        return false;
    if (net_addr_is_multicast(dest) || ip_is_broadcast(dest, 0) || net_addr_is_multicast(source) ||
        net_addr_is_any(source) || ip_is_broadcast(source, 0))
        return false;
    if (pkt->dev && pkt->dev->type == ARPHRD_ETHER && pkt_headroom(pkt) >= ETHER_HEADER_LEN &&
        pkt->room[pkt->link] & 1)
        return false;
    if (h[9] != IPPROTO_ICMP)
        return true;
    if (pkt->total < at + 1)
        return false;
    uint8_t type;
    pkt_read(pkt, at, &type, 1);
    return type == ICMP4_ECHO || type == ICMP4_ECHO_REPLY;
}

void icmp4_error(const struct pkt *pkt, uint8_t type, uint8_t code, uint32_t info)
{
    uint32_t word;
    memcpy(&word, pkt->data + 12, 4);
    struct net_addr source = net_addr_v4(word);
    memcpy(&word, pkt->data + 16, 4);
    struct net_addr dest = net_addr_v4(word);
    if (!may_answer(pkt, &source, &dest))
        return;
    if (!icmp_rate_ok()) {
        mib_count(MIB_Icmp_OutRateLimitHost);
        return;
    }
    struct pkt *answer =
        icmp_error_make(pkt, type, code, info, ERROR_MAX - IP4_HEADER_LEN - ICMP_HEADER);
    if (answer)
        send(answer, &dest, &source, 0xc0); /* RFC 1812, 4.3.2.5 */
}

bool icmp_echo_ignore_all;

static void echo(struct pkt *pkt, const struct classified *about)
{
    uint8_t tos = pkt->data[1];
    mib_count(MIB_Icmp_InEchos);
    if (!ip_is_local(&about->key.local, 0)) {
        pkt_free(pkt);
        return;
    }
    pkt_skip(pkt, pkt->transport - pkt->network);
    /* A packet of its own: what was received may be somebody else's pages, and has no headroom. */
    uint32_t len = pkt->total;
    struct pkt *answer =
        pkt_clone(pkt, ICMP_HEADER, len - ICMP_HEADER, PKT_HEADROOM + ICMP_HEADER, ALLOC_DEFAULT);
    if (answer) {
        uint8_t *message = pkt_push(answer, ICMP_HEADER);
        pkt_read(pkt, 0, message, ICMP_HEADER);
        message[0] = ICMP4_ECHO_REPLY;
        send(answer, &about->key.local, &about->key.remote, tos);
    }
    pkt_free(pkt);
}

/* RFC 1191, 7.1: a router that does not say how much fits. */
static uint32_t plateau(uint32_t total)
{
    static const uint16_t plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296};
    for (unsigned i = 0; i < ARRAY_COUNT(plateaus); i++)
        if (plateaus[i] < total)
            return plateaus[i];
    return IP4_MTU_MIN;
}

static void unreachable(struct ip_error *error, const uint8_t *message)
{
    /* RFC 1122, 4.2.3.9; 3.2.2.1. */
    static const uint8_t errors[] = {ENETUNREACH,  EHOSTUNREACH, ENOPROTOOPT,  ECONNREFUSED,
                                     EMSGSIZE,     EOPNOTSUPP,   ENETUNREACH,  EHOSTDOWN,
                                     ENONET,       ENETUNREACH,  EHOSTUNREACH, ENETUNREACH,
                                     EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH};
    uint8_t code = message[1];
    error->error = code < ARRAY_COUNT(errors) ? errors[code] : EHOSTUNREACH;
    error->hard = code == ICMP4_PROTOCOL || code == ICMP4_PORT || code == 5;
    if (code == ICMP4_TOO_BIG) {
        uint32_t mtu = get_be16(message + 6);
        error->mtu = mtu ? mtu : plateau(get_be16(message + ICMP_HEADER + 2));
    }
}

static void error_input(const struct pkt *pkt, const struct classified *about,
                        const uint8_t *message, uint32_t len)
{
    struct ip_error error = {
        .type = message[0],
        .code = message[1],
        .offender = about->key.remote,
        .device = pkt->dev == &loopback ? 0 : pkt->dev->index,
    };
    if (len < ICMP_HEADER + IP4_HEADER_LEN) {
        mib_count(MIB_Icmp_InErrors);
        return;
    }
    switch (message[0]) {
    case ICMP4_UNREACHABLE:
        mib_count(MIB_Icmp_InDestUnreachs);
        unreachable(&error, message);
        break;
    case ICMP4_TIME_EXCEEDED:
        mib_count(MIB_Icmp_InTimeExcds);
        error.error = EHOSTUNREACH;
        break;
    case ICMP4_PARAMETER:
        mib_count(MIB_Icmp_InParmProbs);
        error.error = EPROTO;
        error.hard = true;
        break;
    default:
        mib_count(message[0] == ICMP4_REDIRECT ? MIB_Icmp_InRedirects : MIB_Icmp_InSrcQuenchs);
        return;
    }
    icmp_deliver_error(message + ICMP_HEADER, len - ICMP_HEADER, &error);
}

void icmp4_input(struct pkt *pkt, const struct classified *about)
{
    uint32_t at = pkt->transport - pkt->network, len = pkt->total - at;
    mib_count(MIB_Icmp_InMsgs);
    if (len < ICMP_HEADER) {
        mib_count(MIB_Icmp_InErrors);
        pkt_free(pkt);
        return;
    }
    if (pkt->checksum != PKT_CHECKSUM_GOOD && pkt_checksum(pkt, at, len, 0) != 0xffff) {
        mib_count(MIB_Icmp_InCsumErrors);
        mib_count(MIB_Icmp_InErrors);
        pkt_free(pkt);
        return;
    }
    uint8_t message[ICMP_HEADER + 60 + 8]; /* the quoted header, and 64 bits (RFC 792) */
    uint32_t copied = MIN(len, (uint32_t)sizeof(message));
    pkt_read(pkt, at, message, copied);
    switch (message[0]) {
    case ICMP4_ECHO:
        if (__atomic_load_n(&icmp_echo_ignore_all, __ATOMIC_RELAXED))
            break;
        echo(pkt, about);
        return;
    case ICMP4_ECHO_REPLY:
        mib_count(MIB_Icmp_InEchoReps);
        break;
    case ICMP4_UNREACHABLE:
    case ICMP4_TIME_EXCEEDED:
    case ICMP4_PARAMETER:
    case ICMP4_REDIRECT:
    case ICMP4_SOURCE_QUENCH:
        error_input(pkt, about, message, copied);
        break;
    default:
        mib_count(MIB_Icmp_InErrors);
    }
    pkt_free(pkt);
}
