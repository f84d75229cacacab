/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dhcp.h - the DHCP client: RFC 2131, 2132, classless routes of RFC 3442.
 */
#ifndef SELKIE_NET_DHCP_H
#define SELKIE_NET_DHCP_H

#include "drv/netdev.h"
#include "net/classify.h"

#define DHCP_SERVERS_MAX 4u
#define DHCP_ROUTES_MAX 8u
enum { DHCP_DISCOVER = 1, DHCP_OFFER, DHCP_REQUEST, DHCP_DECLINE, DHCP_ACK, DHCP_NAK };

/* What a server says: pure, of any bytes. */
struct dhcp_message {
    uint8_t type;
    uint32_t xid;
    uint8_t ether[ETHER_ADDR_LEN];
    uint32_t address, server, gateway; /* as in packets; 0: not said */
    uint32_t lease_s, renew_s, rebind_s;
    uint16_t mtu;   /* 0: not said */
    uint8_t prefix; /* of the subnet mask; 0: not said */
    uint8_t server_count, route_count;
    uint32_t servers[DHCP_SERVERS_MAX]; /* of names */
    struct {
        uint32_t dest, gateway;
        uint8_t prefix;
    } routes[DHCP_ROUTES_MAX];
    char domain[64]; /* "": not said */
};
/* The payload of a UDP datagram. False: no answer of a DHCP server. */
bool must_check dhcp_parse(const uint8_t *bytes, size_t len, struct dhcp_message *out);

/* Get an address for the device, and keep it. At most one device. Thread context. */
void dhcp_start(struct netdev *dev);
/* Wait until there is an address; without any answer of a server only until silent_ns. */
bool dhcp_wait(uint64_t silent_ns, uint64_t deadline_ns);
/* Somebody else on the link has this IPv4 address, or wants it (RFC 5227, 2.1.1). Thread context.
 */
void dhcp_claimed(const struct netdev *dev, const struct net_addr *address);
/* Is a datagram that is no socket's for the client? It then gets it, data at the IP header; does
 * not consume. */
bool dhcp_wants(const struct netdev *dev, const struct classified *about);
void dhcp_input(const struct pkt *pkt, const struct classified *about);

#endif
