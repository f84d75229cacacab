/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet.h - AF_PACKET sockets (packet(7)): between packet.c, packet_option.c and packet_ring.c.
 * docs/sockets.md has the design.
 */
#ifndef SELKIE_NET_PACKET_H
#define SELKIE_NET_PACKET_H

#include "core/mutex.h"
#include "core/spinlock.h"
#include "drv/netdev.h"
#include "net/bpf.h"
#include "net/socket.h"
#include "sched/timer.h"

#define AF_PACKET 17
#define SOL_PACKET 263
#define ETH_P_802_2 4 /* what a frame with a length in place of a type counts as */
#define ETH_P_ALL 3
enum { PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST, PACKET_OTHERHOST, PACKET_OUTGOING };
enum { TPACKET_V1, TPACKET_V2, TPACKET_V3 };

enum { /* tp_status */
       TP_STATUS_KERNEL = 0,
       TP_STATUS_USER = 1,
       TP_STATUS_LOSING = 4,
       TP_STATUS_CSUMNOTREADY = 8,
       TP_STATUS_BLK_TMO = 32,
       TP_STATUS_CSUM_VALID = 128,
};

struct sockaddr_ll {
    uint16_t family;
    uint16_t protocol; /* network order */
    int32_t device;
    uint16_t hardware;
    uint8_t kind, address_len;
    uint8_t address[8];
};
STATIC_ASSERT(sizeof(struct sockaddr_ll) == 20);
#define SOCKADDR_LL_MIN 12u /* without an address */

/* What is known about a frame, in the tap and in the queue. */
struct packet_about {
    uint64_t wall_ns;
    uint32_t device;
    uint32_t len;     /* as it was, of what the socket sees */
    uint32_t network; /* offset of the network header in that */
    uint16_t protocol, hardware;
    uint8_t kind, status; /* status: TP_STATUS_* of the checksum */
    uint8_t source[ETHER_ADDR_LEN];
};
STATIC_ASSERT(sizeof(struct packet_about) <= sizeof(((struct pkt *)NULL)->scratch));

/* tpacket_req3 of user code; V1 and V2 have the first four. */
struct packet_ring_request {
    uint32_t block_size, block_count, frame_size, frame_count;
    uint32_t timeout_ms, private_size, features;
};
#define PACKET_REQUEST_OLD 16u

struct packet_stats {
    uint32_t packets, drops, freezes;
};

struct packet_member { /* PACKET_ADD_MEMBERSHIP */
    struct packet_member *next;
    struct netdev *dev;
    uint32_t count;
    uint16_t type;
    uint8_t address_len, address[8];
};

struct packet_ring;
struct packet_sock {
    struct socket base;       /* first */
    struct packet_sock *next; /* list of all; atomic */
    struct refcount refs;     /* the file's, the work's */
    struct rcu_head rcu;
    /* What the tap looks at; relaxed atomics. */
    uint32_t protocol; /* host order; 0: nothing is received */
    uint32_t device;   /* 0: of any */
    bool ignore_outgoing;
    bool auxdata; /* for recv; relaxed atomic */
    /* The mutex, RANK_SOCK: bind, options, sends one at a time. */
    struct mutex lock;
    struct thread *sender; /* inside netdev_send: does not see its own frame; atomic */
    struct packet_member *members;
    struct packet_ring *old_rings; /* that mmap may be about to map: freed with the socket */
    uint32_t reserve;
    uint8_t version; /* TPACKET_V*; atomic */
    /* The spinlock, RANK_PACKET. */
    struct spinlock spin;
    struct pkt_queue queue;
    uint32_t waiting;         /* packets of it; atomic to look */
    struct packet_ring *ring; /* NULL: packets go to the queue */
    bool ring_shown;          /* mmap has asked for it */
    struct packet_stats stats;
    uint64_t last_ns; /* wall time of what was read last (SIOCGSTAMP) */
    struct timer timer;
    struct work work; /* a block of the ring has waited long enough */
};

static inline struct packet_sock *packet_of(struct socket *socket)
{
    return container_of(socket, struct packet_sock, base);
}

static inline bool packet_is_raw(const struct packet_sock *sock)
{
    return sock->base.type == SOCK_RAW;
}
/* Under the spinlock, after each change of the queue. */
static inline void packet_count_waiting(struct packet_sock *sock)
{
    __atomic_store_n(&sock->waiting, sock->queue.count, __ATOMIC_RELEASE);
}

/* packet_tap.c */
/* From now on, until packet_end, it gets frames. Drops nothing: the file's reference stays. */
void packet_begin(struct packet_sock *sock);
void packet_end(struct packet_sock *sock);
void packet_sock_put(struct packet_sock *sock);
/* Show a frame to all; head: the link header of one that has none of its own (lo). */
void packet_show(struct netdev *dev, const struct pkt *pkt, bool outgoing, const uint8_t *head);

/* packet_option.c */
int must_check packet_set_option(struct socket *socket, int level, int name, uaddr_t value,
                                 unsigned len);
int must_check packet_get_option(struct socket *socket, int level, int name, void *value,
                                 unsigned *len);
void packet_members_drop(struct packet_sock *sock);

/* packet_ring.c. The socket's spinlock is held where `locked` is said. */
uint32_t packet_header_len(unsigned version); /* of struct tpacket*_hdr */
/* -EINVAL, -ENOMEM. */
int must_check packet_ring_create(const struct packet_ring_request *request, unsigned version,
                                  uint32_t reserve, struct packet_ring **out);
void packet_ring_put(struct packet_ring *ring); /* NULL does nothing */
/* In front of a list, and all of that. */
void packet_ring_push(struct packet_ring **list, struct packet_ring *ring);
void packet_ring_put_all(struct packet_ring *list);
bool packet_ring_mapped(const struct packet_ring *ring);
struct vm_object *packet_ring_object(struct packet_ring *ring);
/* `keep` bytes of a frame; counts it or its loss. True: readers are to be woken. When a block has
 * been begun, *deadline_ns is when it has to be handed over; else it is left alone. */
bool packet_ring_store_locked(struct packet_ring *ring, const struct bpf_view *view,
                              const struct packet_about *about, uint32_t keep, bool raw,
                              struct packet_stats *stats, uint64_t *deadline_ns);
bool packet_ring_readable_locked(const struct packet_ring *ring);
/* Time is up: hand over a block that has anything. True: readers are to be woken. */
bool packet_ring_retire_locked(struct packet_ring *ring, const struct packet_stats *stats);

#endif
