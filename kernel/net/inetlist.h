/* SPDX-License-Identifier: BSD-3-Clause */
/* inetlist.h - AF_INET and AF_INET6 sockets, one after the other: for /proc/net and sock_diag. */
#ifndef SELKIE_NET_INETLIST_H
#define SELKIE_NET_INETLIST_H

#include "net/inet.h"
#include "net/tcp.h"

struct inet_view {
    struct flow_key key;
    uint64_t ino;
    uint32_t rqueue, wqueue, uid, device;
    uint32_t expires_ms;                   /* of the timer */
    uint8_t family, state, timer, retries; /* state: enum tcp_state; timer: as /proc/net/tcp */
    bool orphan;                           /* closed, and not at its end yet */
    bool has_info;                         /* a connection of TCP's */
    struct tcp_info info;
};

/* Calls fn for each socket of a protocol that has a local port, each TIME-WAIT and each connection
 * that is not accepted yet; until it returns false. Thread context without locks; fn may sleep. */
void inet_list(uint8_t protocol, bool (*fn)(const struct inet_view *view, void *arg), void *arg);
/* TCP: connections in ESTABLISHED or CLOSE-WAIT (RFC 4022, tcpCurrEstab). Thread context. */
unsigned inet_established(void);
/* Boot: /proc/net/{tcp,tcp6,udp,udp6,raw,raw6,sockstat,sockstat6,...}. */
int must_check inetlist_init(void);

#endif
