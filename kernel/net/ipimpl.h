/* SPDX-License-Identifier: BSD-3-Clause */
/* ipimpl.h - between the files of IP: input.c, output.c, icmp.c, icmp4.c, icmp6.c, nd6.c, igmp.c.
 */
#ifndef SELKIE_NET_IPIMPL_H
#define SELKIE_NET_IPIMPL_H

#include "net/ip.h"

enum { IP4_FLAG_DF = 0x4000, IP4_FLAG_MF = 0x2000, IP4_OFFSET = 0x1fff };
enum { IPPROTO_IGMP = 2 };
enum { /* RFC 792 */
       ICMP4_ECHO_REPLY = 0,
       ICMP4_UNREACHABLE = 3,
       ICMP4_SOURCE_QUENCH = 4,
       ICMP4_REDIRECT = 5,
       ICMP4_ECHO = 8,
       ICMP4_TIME_EXCEEDED = 11,
       ICMP4_PARAMETER = 12,
};
enum {
    ICMP4_NET,
    ICMP4_HOST,
    ICMP4_PROTOCOL,
    ICMP4_PORT,
    ICMP4_TOO_BIG
};     /* codes of unreachable */
enum { /* RFC 4443, 4861, 2710, 3810 */
       ICMP6_UNREACHABLE = 1,
       ICMP6_TOO_BIG = 2,
       ICMP6_TIME_EXCEEDED = 3,
       ICMP6_PARAMETER = 4,
       ICMP6_ECHO = 128,
       ICMP6_ECHO_REPLY = 129,
       ICMP6_MLD_QUERY = 130,
       ICMP6_ROUTER_SOLICIT = 133,
       ICMP6_ROUTER_ADVERT = 134,
       ICMP6_NEIGHBOUR_SOLICIT = 135,
       ICMP6_NEIGHBOUR_ADVERT = 136,
       ICMP6_MLD2_REPORT = 143,
};
enum { ICMP6_NO_ROUTE = 0, ICMP6_ADDRESS = 3, ICMP6_PORT = 4 }; /* codes of unreachable */

/* Received packets from here on: data at the IP header, nothing behind the packet's end,
 * pkt->network and pkt->transport set, the headers lie in the first piece. All consume. */
void arp_input(struct pkt *pkt, uint32_t at); /* data at the link header, ARP at `at` */
void icmp4_input(struct pkt *pkt, const struct classified *about);
void icmp6_input(struct pkt *pkt, const struct classified *about);
void igmp_input(struct pkt *pkt, const struct classified *about);
void mld_query(struct netdev *dev, const uint8_t *message, uint32_t len);
/* Neighbour discovery, with a good checksum; message: `len` bytes from the ICMP header on. */
void nd6_input(struct netdev *dev, const struct net_addr *source, const struct net_addr *dest,
               uint8_t hops, const uint8_t *message, uint32_t len);
/* A frame for the slow path, later, by this CPU's work thread: data at the link header. */
void ip_input_later(struct pkt *pkt);

/* Answer a received packet (data at the IP header) with an ICMP error, if the rules and the rate
 * allow. Does not consume. info: second word of the message. v4: type and code of RFC 792, v6: RFC
 * 4443. */
void icmp4_error(const struct pkt *pkt, uint8_t type, uint8_t code, uint32_t info);
void icmp6_error(const struct pkt *pkt, uint8_t type, uint8_t code, uint32_t info);
/* May one more be sent now? 1000 a second, 50 at once (as Linux's icmp_msgs_per_sec). */
bool icmp_rate_ok(void);
#define ICMP_HEADER 8u
/* An error about `pkt`, quoting at most so much of it; NULL: no memory. */
struct pkt *icmp_error_make(const struct pkt *pkt, uint8_t type, uint8_t code, uint32_t info,
                            uint32_t most);
/* An error about a packet of ours: `quoted` begins with our IP header. To the flow it is about. */
void icmp_deliver_error(const uint8_t *quoted, uint32_t len, struct ip_error *error);

/* The end of output: IP header in place, to the link. Consumes. */
int ip_output_link(const struct ip_route *route, struct pkt *pkt);

/* ARP, neighbour discovery when an address or a device comes (RFC 5227, 4862). */
void arp_announce(struct netdev *dev, const struct net_addr *address);
void arp_probe(struct netdev *dev, const struct net_addr *address);
void nd6_changed(struct netdev *dev);
int must_check nd6_init(void);

#endif
