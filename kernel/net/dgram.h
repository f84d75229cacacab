/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dgram.h - what sockets share whose packets wait as they came: UDP, raw and ping sockets; inside
 * net/.
 *
 * Protocol input moves packets from the channel to `queue`, data at what the program reads, and a
 * reader takes them off it; both under the socket's lock. Their bytes stay charged to the channel
 * until they have left the queue, so the receive buffer bounds both together.
 */
#ifndef SELKIE_NET_DGRAM_H
#define SELKIE_NET_DGRAM_H

#include "net/inet.h"

struct dgram_sock {
    struct inet_sock inet; /* first */
    struct pkt_queue queue;
};
static inline struct dgram_sock *dgram_of(struct inet_sock *sock)
{
    return container_of(sock, struct dgram_sock, inet);
}

/* Who sent a packet of the queue: what protocol input leaves in pkt->scratch. */
struct dgram_info {
    struct net_addr remote;
    uint16_t remote_port; /* network order; 0: there are none */
    bool peeked;          /* MSG_PEEK has seen it, and there was nothing in it */
};
STATIC_ASSERT(sizeof(struct dgram_info) <= sizeof(((struct pkt *)NULL)->scratch));
static inline struct dgram_info *dgram_info(struct pkt *pkt)
{
    return (struct dgram_info *)pkt->scratch;
}

/* Operations of struct socket_ops; ioctl: what is not about the queue is inet_ioctl's. */
long must_check dgram_recv(struct socket *socket, struct socket_msg *msg);
int must_check dgram_shutdown(struct socket *socket, unsigned what);
uint32_t dgram_poll(struct socket *socket, struct poll_table *table);
long dgram_ioctl(struct socket *socket, unsigned cmd, uintptr_t arg);
/* The file has gone: out of the tables, the port is free, the file's reference is dropped. */
void dgram_release(struct socket *socket);
/* At the end of its life, before the memory is freed. */
void dgram_fini(struct dgram_sock *dgram);

#endif
