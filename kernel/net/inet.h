/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inet.h - what AF_INET and AF_INET6 sockets share; inside net/.
 *
 * A protocol (UDP, TCP, raw) embeds struct inet_sock, gives it struct socket_ops, and builds them
 * of the pieces declared here: names, binding and ports (inet.c, port.c), options of the levels
 * IPPROTO_IP and IPPROTO_IPV6 (inet_option.c), control messages (inet_control.c), the error queue
 * (inet_error.c).
 *
 * The lock (inet_lock) guards everything of a socket but what says otherwise. Who unlocks looks at
 * the channel again (docs/network.md, Channels): so use inet_unlock, never mutex_unlock.
 *
 * References: one is the file's (or, before accept, the listener's); release drops it. Works,
 * timers and lookups have their own. flow.refs counts them all.
 */
#ifndef SELKIE_NET_INET_H
#define SELKIE_NET_INET_H

#include "core/mutex.h"
#include "net/flow.h"
#include "net/ip.h"
#include "net/socket.h"

#define AF_INET 2
#define AF_INET6 10
#define SOL_IP 0
#define SO_TIMESTAMPNS 35
#define SOL_IPV6 41
#define INADDR_NAME_LEN 16u  /* struct sockaddr_in */
#define INADDR6_NAME_LEN 28u /* struct sockaddr_in6 */

/* ---- ports (port.c) ---- */

/* A local port in use; ports in host order. Fixed while it is in the table, but for `listening`. */
struct port_use {
    struct list link;      /* RANK_PORT */
    struct net_addr local; /* or any */
    uint32_t uid;
    unsigned device;
    uint16_t port; /* 0: not in the table */
    uint8_t protocol;
    bool reuse_address, reuse_port, v6_only;
    bool listening; /* TCP */
    bool shared;    /* chosen by connect, or inherited from a listener: others may share it whose
                       connections differ */
};
#define PORT_EPHEMERAL_FIRST 32768u /* at first */
#define PORT_EPHEMERAL_LAST 60999u
/* /proc/sys/net/ipv4: ip_local_port_range, ip_unprivileged_port_start; relaxed atomics. */
struct port_limits {
    uint16_t first, last, unprivileged;
};
extern struct port_limits port_limits;
void port_table_init(void);
/* Of the ephemeral ports those that a socket wants (IP_LOCAL_PORT_RANGE); 0: from the first, to the
 * last. */
struct port_range {
    uint16_t first, last;
};
/* Take `port`, or with 0 an ephemeral one. -EADDRINUSE, -EACCES (below 1024, not root). */
int must_check port_bind(struct port_use *use, uint16_t port, struct port_range range);
/* An ephemeral port for a connection: the first, in an order that strangers cannot predict (RFC
 * 6056, algorithm 3), that nobody has bound and for which `try` (called with use->port set, under
 * RANK_PORT) returns 0. -EADDRNOTAVAIL: none is left; other errors of try end the search, but
 * -EADDRINUSE goes on. */
int must_check port_connect(struct port_use *use, const struct net_addr *remote,
                            uint16_t remote_port, struct port_range range, int (*try)(void *arg),
                            void *arg);
/* A listener's port was bound under weaker rules: check again. -EADDRINUSE. */
int must_check port_listen(struct port_use *use);
void port_unlisten(struct port_use *use); /* it listens no more, or could not begin */
/* The same port as `parent` has, for a connection that it accepted, or its TIME-WAIT. */
void port_inherit(struct port_use *use, const struct port_use *parent);
void port_release(struct port_use *use);                     /* nothing if it has none */
void port_set_device(struct port_use *use, unsigned device); /* SO_BINDTODEVICE of what is bound */

/* ---- sockets ---- */

struct inet_sock;
struct inet_protocol {
    bool lazy; /* what comes can stay in the channel while nobody waits for it: datagrams */
    /* Protocol input: takes the channel (channel_take) and does what is to be done. The lock is
     * held. */
    void (*input)(struct inet_sock *sock);
    /* An ICMP error; the lock is held. */
    void (*error)(struct inet_sock *sock, const struct ip_error *error);
    /* Nobody has a reference any more. */
    void (*free)(struct inet_sock *sock);
};

/* Switches of inet_sock.options. */
enum {
    INET_RECVERR = 1u << 0, /* IP_RECVERR */
    INET_PKTINFO = 1u << 1,
    INET_RECVTTL = 1u << 2,
    INET_RECVTOS = 1u << 3,
    INET_RECVOPTS = 1u << 4,
    INET_RECVORIGDST = 1u << 5,
    INET_FREEBIND = 1u << 6,
    INET_TRANSPARENT = 1u << 7,
    INET_HDRINCL = 1u << 8,
    INET_MULTICAST_LOOP = 1u << 9,
    INET_MULTICAST_ALL = 1u << 10,
    INET_RECVERR6 = 1u << 11,
    INET_PKTINFO6 = 1u << 12,
    INET_RECVHOPLIMIT = 1u << 13,
    INET_RECVTCLASS = 1u << 14,
    INET_AUTOFLOWLABEL = 1u << 15,
    INET_BIND_NO_PORT = 1u << 16,
    INET_RFC4884 = 1u << 17,
    INET_DONTFRAG6 = 1u << 18,
    /* Kept for who asks; nothing here comes of them (docs/sockets.md). */
    INET_ROUTER_ALERT = 1u << 19,
    INET_PASSSEC = 1u << 20,
    INET_NODEFRAG = 1u << 21,
    INET_CHECKSUM = 1u << 22,
    INET_RECVFRAGSIZE = 1u << 23,
    /* RFC 2292's forms of INET_PKTINFO6 and INET_RECVHOPLIMIT. */
    INET_PKTINFO_2292 = 1u << 24,
    INET_HOPLIMIT_2292 = 1u << 25,
    INET_MULTICAST_ALL6 = 1u << 26,
    INET_RECVORIGDST6 = 1u << 27,
    INET_TELL_LEFT = 1u << 28, /* TCP_INQ */
};
enum {
    PMTUDISC_DONT,
    PMTUDISC_WANT,
    PMTUDISC_DO,
    PMTUDISC_PROBE,
    PMTUDISC_INTERFACE,
    PMTUDISC_OMIT
};

struct inet_group; /* inet_group.c: a multicast group joined */
struct inet_error; /* inet_error.c: a message of the error queue */
struct inet_sock {
    struct socket base; /* first */
    struct flow flow;   /* key: our address and port, the peer's; key.local is any: not bound */
    struct mutex lock;
    struct waitq sleepers; /* in calls on this socket (inet_wait); base.wait is for polls */
    const struct inet_protocol *protocol;
    struct port_use port;
    struct ip_route route; /* to the peer, or where was last sent to */
    unsigned route_device; /* that was asked for it; 0: any */
    unsigned peer_scope;   /* datagrams: device of a link-local peer; 0: none */
    uint32_t options;      /* INET_*; atomic, relaxed */
    unsigned multicast_device;
    struct net_addr multicast_source;
    struct inet_group *groups;
    struct inet_error *errors; /* the oldest first; atomic to look whether there is one */
    uint32_t zerocopy_next;    /* number of the next send with MSG_ZEROCOPY */
    uint16_t zerocopy_pending; /* those not complete, or told one by one; lock, as the one before */
    uint16_t error_count;
    uint8_t tos, traffic_class;
    int16_t ttl, hop_limit; /* -1: the default */
    uint8_t multicast_ttl, multicast_hops;
    uint8_t min_ttl;      /* of received segments (RFC 5082); TCP; 0: any */
    uint8_t mtu_discover; /* PMTUDISC_* */
    bool bound_address;   /* the address was chosen by bind(2) */
    bool port_chosen;     /* and the port, which stays when the socket is disconnected */
    bool connected;       /* datagrams: has a peer */
    bool dead;            /* the file has gone */
};

static inline struct inet_sock *inet_of(struct socket *socket)
{
    return container_of(socket, struct inet_sock, base);
}
static inline struct inet_sock *inet_of_flow(struct flow *flow)
{
    return container_of(flow, struct inet_sock, flow);
}

/* Boot: tables, families AF_INET and AF_INET6. */
int must_check inet_init(void);
/* The common part of a fresh, zeroed socket: one reference. */
void inet_sock_init(struct inet_sock *sock, const struct socket_ops *ops,
                    const struct inet_protocol *protocol, int family, int type, int number);
/* RANK_SOCK_NAME: bind, connect, listen of a socket one at a time. It may wait for a grace period,
 * which inet_lock must not. One of a few for all sockets: who has one takes no other socket's. */
struct mutex *inet_op_lock(const struct inet_sock *sock);
/* Undo at the end of its life, before the memory is freed: groups, errors, route, port. */
void inet_sock_fini(struct inet_sock *sock);
static inline void inet_get(struct inet_sock *sock)
{
    flow_get(&sock->flow);
}
static inline void inet_put(struct inet_sock *sock)
{
    flow_put(&sock->flow);
}

/* Thread context. Takes what is in the channel first, so that whoever has the lock sees it. */
void inet_lock(struct inet_sock *sock);
void inet_unlock(struct inet_sock *sock);
/* Sleep until cond(arg) or the deadline, without the lock, as a reader of the channel; the lock is
 * held at call and return, and cond is asked under it. Errors as socket_wait's. */
int must_check inet_wait(struct inet_sock *sock, bool (*cond)(void *arg), void *arg,
                         uint64_t deadline_ns);
/* Tell readers, writers, polls. Any context. */
void inet_wake(struct inet_sock *sock, uint32_t events);
void inet_set_error(struct inet_sock *sock, int error); /* positive errno; no wake */

/* ---- names ---- */

struct inet_name {
    struct net_addr address; /* IPv4 mapped; an IPv4 socket's any is ::ffff:0.0.0.0 */
    uint16_t port;           /* network order */
    unsigned scope;          /* device of a link-local address; 0: none */
    uint32_t flow_info;
};
/* A sockaddr of the program's, for this socket. -EAFNOSUPPORT, -EINVAL (too short), -ENETUNREACH
 * (IPv4-mapped on a socket that is IPv6 only). AF_UNSPEC: -EAFNOSUPPORT; ask before. */
int must_check inet_name_get(const struct inet_sock *sock, const struct socket_name *name,
                             struct inet_name *out);
void inet_name_put(const struct inet_sock *sock, const struct net_addr *address, uint16_t port,
                   unsigned scope, struct socket_name *out);

/* ---- operations that protocols use as they are, or build on ---- */

int must_check inet_bind(struct socket *socket, const struct socket_name *name);
int must_check inet_get_name(struct socket *socket, bool peer, struct socket_name *out);
int must_check inet_set_option(struct socket *socket, int level, int name, uaddr_t value,
                               unsigned len);
int must_check inet_get_option(struct socket *socket, int level, int name, void *value,
                               unsigned *len);
/* SO_RCVBUF or SO_SNDBUF has changed. */
void inet_buffers_changed(struct socket *socket);
long inet_ioctl(struct socket *socket, unsigned cmd, uintptr_t arg);
/* The lock is held. Take a local port (0: an ephemeral one) with the address in flow.key.local;
 * `open`: packets to it are this socket's from now on. -EADDRINUSE, -EACCES. */
int must_check inet_bind_port_locked(struct inet_sock *sock, uint16_t port, bool open);
/* The same, if it has none yet. */
int must_check inet_autobind_locked(struct inet_sock *sock);
/* IP_LOCAL_PORT_RANGE. */
struct port_range inet_port_range(const struct inet_sock *sock);
/* A link-local IPv6 address needs a device: -EINVAL without, or with another than the socket's;
 * -ENODEV: there is none. */
int must_check inet_check_scope(const struct inet_sock *sock, const struct inet_name *name);
/* sock->route leads to this address (asks again if need be). The lock is held. */
int must_check inet_route_locked(struct inet_sock *sock, const struct net_addr *remote,
                                 unsigned scope);
/* Asks anew; source: ours (NULL: choose), where the socket's flow must not be changed yet. */
int must_check inet_route_from_locked(struct inet_sock *sock, const struct net_addr *remote,
                                      unsigned scope, const struct net_addr *source);
/* What goes into the IP header by the options. */
struct ip_params inet_params(const struct inet_sock *sock, const struct net_addr *remote);

/* ---- packets and user memory ---- */

/* A packet of `headroom` and the next `len` bytes of the iterator. -ENOMEM, -EFAULT. Thread
 * context, no lock that a page fault may take. */
int must_check inet_packet_from(struct iov_iter *from, uint32_t headroom, size_t len,
                                struct pkt **out);
/* The same for a message that may be MSG_ZEROCOPY; then also -ENOBUFS. */
static inline int must_check inet_packet_of(struct socket_msg *msg, uint32_t headroom, size_t len,
                                            struct pkt **out)
{
    return msg->zerocopy ? msg->zerocopy->fill(msg, headroom, len, out)
                         : inet_packet_from(msg->data, headroom, len, out);
}
/* To user memory: bytes [offset, offset + len). 0 or -EFAULT. */
int must_check inet_packet_to(const struct pkt *pkt, uint32_t offset, size_t len,
                              struct iov_iter *to);

/* ---- control messages (inet_control.c) ---- */

/* What a sender asks for a single message. */
struct inet_control {
    struct net_addr source; /* any: not said */
    unsigned device;
    int ttl, tos;     /* -1: not said */
    uint16_t segment; /* UDP_SEGMENT; 0: none */
};
int must_check inet_control_get(const struct inet_sock *sock, const struct socket_msg *msg,
                                struct inet_control *out);
/* What the receiver asked for, about a received packet (headers at pkt->network). */
void inet_control_put(const struct inet_sock *sock, struct socket_msg *msg, const struct pkt *pkt);

/* ---- the error queue (inet_error.c; IP_RECVERR, MSG_ERRQUEUE) ---- */

/* The lock is held. An error without an offender is our own. */
void inet_error_add(struct inet_sock *sock, const struct ip_error *error);
/* The same of sockets of datagrams (struct inet_protocol). */
void inet_dgram_error(struct inet_sock *sock, const struct ip_error *error);
/* What became of a datagram to there, which is returned: that it was too long for sock->route is
 * told by the error queue, too (ip(7)). The lock is held. */
int inet_sent(struct inet_sock *sock, const struct inet_name *to, int err);
/* Completion of a send with MSG_ZEROCOPY, which is counted in zerocopy_pending until somebody has
 * read it; takes over the entry, which was made before. The lock is held. */
struct inet_error *inet_error_new(void);        /* NULL without memory */
void inet_error_free(struct inet_error *error); /* NULL does nothing */
void inet_error_zerocopy(struct inet_sock *sock, struct inet_error *entry, uint32_t id,
                         bool copied);
void zerocopy_init(void); /* boot */
long must_check inet_error_recv(struct inet_sock *sock, struct socket_msg *msg);
void inet_error_purge(struct inet_sock *sock);
void inet_groups_leave(struct inet_sock *sock); /* inet_group.c: all it has joined */
/* Has it joined, for what this one sends, or does it take groups of others (IP_MULTICAST_ALL)? The
 * lock is held. */
bool inet_group_wanted(const struct inet_sock *sock, const struct net_addr *group, unsigned device,
                       const struct net_addr *source);
/* Options of the levels SOL_IP and SOL_IPV6 that are about groups. -ENOPROTOOPT: another one. */
int inet_group_option(struct inet_sock *sock, int level, int name, uaddr_t value, unsigned len);

/* The protocols' sockets. protocol 0: the default of the type. */
int must_check udp_create(int family, int type, int protocol, struct socket **out);
int must_check raw_create(int family, int type, int protocol, struct socket **out);
void raw_init(void); /* boot */
/* Each raw socket that is open, with a reference; fn may sleep. */
void raw_walk(void (*fn)(struct inet_sock *sock, void *arg), void *arg);
int must_check tcp_create(int family, int type, int protocol, struct socket **out);
void tcp_sock_init(void); /* boot, before the first packet */

#endif
