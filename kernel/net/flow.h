/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flow.h - who gets a packet: the table of flows, and the channel of each.
 *
 * The table is a hash in RCU sections, keyed by a secret (SipHash). It grows with the number of
 * flows, without a pause for readers. It holds no references: docs/network.md, Life of a flow.
 *
 * Lookup order: the connected flow (all five of the key), then what is bound or listens at the
 * local address and port, then at the port with any address. Several sockets on one port
 * (SO_REUSEPORT) form a group; the packet's hash chooses one.
 */
#ifndef SELKIE_NET_FLOW_H
#define SELKIE_NET_FLOW_H

#include "core/rcu.h"
#include "drv/pkt.h"
#include "lib/list.h"
#include "lib/refcount.h"
#include "net/classify.h"
#include "sched/work.h"

struct channel {
    struct pkt *packets; /* atomic; the newest first */
    uint32_t bytes;      /* truesize of what was pushed and not discharged; atomic */
    uint32_t limit;      /* beyond: dropped; atomic */
};

enum flow_kind {
    FLOW_SOCKET, /* of a struct inet_sock */
    FLOW_EMBRYO, /* a connection that nobody has accepted yet */
    FLOW_TIME_WAIT,
};

struct flow;
struct ip_error;
struct flow_ops {
    /* Protocol input of what is in the channel, under the socket's lock; a work function in
     * disguise: called by the CPU's work thread, with a reference. */
    void (*input)(struct flow *flow);
    /* True: nobody waits for an event, and what is in the channel may stay there until somebody
     * asks (under the socket's lock he takes it). Any context; NULL: no. */
    bool (*unwatched)(struct flow *flow);
    /* Wake who sleeps in a call on this socket (readers > 0). Any context. */
    void (*wake)(struct flow *flow);
    /* An ICMP error about it (net/ip.h); NULL: ignored. In an RCU section, without locks. */
    void (*error)(struct flow *flow, const struct ip_error *error);
    /* A packet that was pushed when the flow had left the table already: its sender may wait for an
     * answer. Consumes; thread context. NULL: freed. */
    void (*late)(struct flow *flow, struct pkt *pkt);
    /* The last reference has gone and a grace period passed: free the container. */
    void (*free)(struct flow *flow);
};

struct flow {
    /* What a lookup reads, together. */
    struct flow_key key;    /* fixed while hashed */
    struct flow *hash_next; /* connected flows; atomic */
    uint32_t hash;          /* of key; fixed while hashed */
    unsigned device;        /* index; 0: any (SO_BINDTODEVICE); atomic */
    uint8_t kind;           /* enum flow_kind */
    bool hashed;            /* among the connected; its changer's lock */
    bool listening;         /* among those bound without a peer */
    bool reuse_port, v6_only;
    int16_t incoming_cpu; /* SO_INCOMING_CPU: wanted, or of the last packet; -1: none; atomic */
    const struct flow_ops *ops;
    struct flow *listen_next; /* bound ones; atomic */
    struct net_addr bound;    /* whose packets it takes while it listens; fixed meanwhile */
    struct channel channel;
    uint32_t readers; /* threads that sleep in a call and will take the channel; atomic */
    struct refcount refs;
    struct work work;
    struct rcu_head rcu;
};

int must_check flow_table_init(void); /* boot; -ENOMEM */
void flow_init(struct flow *flow, enum flow_kind kind, const struct flow_ops *ops); /* one ref */
/* Among the connected. -EADDRINUSE: an equal key is there and they do not share it (reuse_port,
 * but for TCP). Thread context; RANK_FLOW. */
int must_check flow_insert(struct flow *flow);
/* No lookup that begins now finds it. Before it is inserted again, or its key changes, a grace
 * period must pass: lookups may still stand on it. */
void flow_remove(struct flow *flow);
/* `new` stands where `old` stood among the connected: lookups find one or the other. Same key. */
void flow_replace(struct flow *old, struct flow *new);
/* Among those that take what comes to a local port (key.local, key.local_port, key.protocol). The
 * same rule holds; it may be in both at once, while a bound socket connects: local is then what it
 * is bound to, and key that of the connection, which lookups of strangers do not look at. */
void flow_listen(struct flow *flow, const struct net_addr *local);
void flow_unlisten(struct flow *flow);
void flow_get(struct flow *flow);
void flow_put(struct flow *flow);

/* In an RCU section: who gets this packet, or NULL. `device`: it came in by. */
struct flow *flow_find(const struct flow_key *key, uint32_t hash, unsigned device);
/* In an RCU section: the flows that fit as well as `like`, which was found, in the order in which
 * they came; how many (at most `max`). */
unsigned flow_group(const struct flow *like, const struct flow_key *key, unsigned device,
                    struct flow **out, unsigned max);
/* Another one of the group that was found, if a program says so (reuseport.c). Set at boot; NULL:
 * no. In an RCU section. */
struct classified;
extern struct flow *(*ip_choose)(struct flow *flow, const struct pkt *pkt,
                                 const struct classified *about);
void reuseport_init(void);
/* To each socket bound to the port of a packet that is for many (broadcast, multicast): a clone.
 * Consumes. How many took it. In an RCU section. */
unsigned flow_deliver_all(const struct flow_key *key, unsigned device, struct pkt *pkt);
/* Each flow of the table, connected, then bound, until fn returns false; an RCU section, in which
 * fn may sleep. Some may come twice or not while the table grows. */
void flow_walk(bool (*fn)(struct flow *flow, void *arg), void *arg);
/* Of a key, with the table's secret; also spreads packets over CPUs and listeners. */
uint32_t flow_hash(const struct flow_key *key);

/* Is the machine short of memory (mm/reclaim.h)? Set at boot; NULL: never. */
extern bool (*flow_memory_short)(void);
/* Consumes: into the channel, and see to it that somebody takes it. False: there was no room, it
 * was dropped. In an RCU section, any context. */
bool flow_deliver(struct flow *flow, struct pkt *pkt);
/* Have the flow's input called by this CPU's work thread. Any context; in an RCU section or with a
 * reference. */
void flow_kick(struct flow *flow);
/* Take all there is, oldest first, linked by next. The socket's lock is held. The bytes stay
 * charged until channel_discharge: a protocol that queues packets for its reader discharges them
 * when they have been read. */
struct pkt *channel_take(struct channel *channel);
static inline void channel_discharge(struct channel *channel, uint32_t truesize)
{
    __atomic_fetch_sub(&channel->bytes, truesize, __ATOMIC_RELAXED);
}
static inline bool channel_empty(const struct channel *channel)
{
    return __atomic_load_n(&channel->packets, __ATOMIC_SEQ_CST) == NULL;
}

#endif
