/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_sock.h - SOCK_STREAM sockets over TCP; inside net/.
 *
 * A struct tcp_sock is an inet_sock with an engine (tcp.h), or with a listener. Everything of it is
 * guarded by the socket's lock.
 *
 * References (flow.refs): the file's, or the listener's queue's before accept; one while the
 * protocol is at work (`active`: from connect or birth until CLOSED or TIME_WAIT), one while the
 * timer is armed, the flow's own for queued work. The flow is among the connected while active.
 *
 * Files: tcp_sock.c life, packets, timers; tcp_sock_open.c connect, listen, accept, close;
 * tcp_sock_io.c send, recv, poll; tcp_sock_option.c; tcp_sock_tw.c TIME-WAIT and strangers;
 * tcp_sock_fast.c
 * Fast Open; tcp_sock_memory.c the limit of all together.
 */
#ifndef SELKIE_NET_TCP_SOCK_H
#define SELKIE_NET_TCP_SOCK_H

#include "net/inet.h"
#include "net/tcp.h"
#include "sched/timer.h"

#define SOL_TCP 6

struct tcp_sock {
    struct inet_sock inet; /* first */
    struct tcp tp;
    struct timer timer;
    bool timer_due; /* atomic: the handler sets it, protocol input takes it */
    bool active, hashed_once, connecting, orphan;
    bool speaking; /* an orphan, and not all that it has sent is acknowledged */
    bool unlisted; /* has stopped listening: a grace period must pass before it begins anything */
    bool fast_connect; /* TCP_FASTOPEN_CONNECT */

    struct tcp_listener *listener; /* NULL: it is none */
    struct list queue;             /* listener: connections to be accepted. Else: its place there */
    unsigned queued, backlog;
    unsigned segment_device; /* listener: where the segment from a link-local peer came in; or 0 */
    uint32_t defer_s;
    uint32_t unsent_low; /* TCP_NOTSENT_LOWAT; 0: none */
    uint16_t fast_limit; /* TCP_FASTOPEN */
    bool established;    /* connect or accept has said so: a connection, if over, until AF_UNSPEC */
    uint8_t save_syn;    /* TCP_SAVE_SYN */
    struct inet_name
        *deferred; /* connect(2) has left the SYN to the first data; NULL: no; atomic */
};

/* Three in a page (mm/slab.c): a byte more, and each idle connection has 683 more. */
STATIC_ASSERT(sizeof(struct tcp_sock) <= 1360);

static inline struct tcp_sock *tcp_sock_of(struct inet_sock *inet)
{
    return container_of(inet, struct tcp_sock, inet);
}
static inline struct tcp_sock *tcp_sock_of_tp(struct tcp *tp)
{
    return container_of(tp, struct tcp_sock, tp);
}

extern struct tcp_stack tcp_stack; /* values may be changed: /proc/sys/net/ipv4; relaxed */
extern const struct socket_ops tcp_sock_ops;

/* tcp_sock.c */
struct tcp_sock *tcp_sock_new(int family); /* NULL without memory */
/* Take part in the protocol: the flow is hashed, a reference is held. */
void tcp_sock_begin(struct tcp_sock *ts);
void tcp_sock_release_flow(struct tcp_sock *ts); /* undo it */
/* The transport header's checksum, length and options. False: it was dropped. The packet then
 * begins with the TCP header. */
bool must_check tcp_sock_parse(struct pkt *pkt, struct flow_key *key, struct tcp_segment *out);
/* Ports and the pseudo header's sum into a segment of the engine's. */
void tcp_sock_seal(struct pkt *pkt, const struct flow_key *key, uint32_t hash);
uint32_t tcp_sock_path_mss(const struct ip_route *route);
void tcp_sock_sync_options(struct tcp_sock *ts);

/* tcp_sock_fast.c */
#define MSG_FASTOPEN 0x20000000u
void tcp_sock_fast_init(void);
void tcp_sock_fast_learn(struct tcp *tp); /* a cookie came */
/* The cookie for a server, or the wish for one (false). */
bool tcp_sock_fast_cookie(const struct net_addr *remote, struct tcp_fast *out);
/* TCP_FASTOPEN_CONNECT: leave the SYN to the first data. False: it cannot be, connect. */
bool tcp_sock_fast_defer(struct tcp_sock *ts, const struct inet_name *to,
                         const struct tcp_fast *fast);
/* The first send of a socket that is not connected: bytes that are on their way, or 0: connected
 * without, or an error. */
long tcp_sock_fast_send(struct tcp_sock *ts, struct socket_msg *msg);

/* tcp_sock_memory.c */
uint64_t tcp_sock_clock(void); /* the engine's clock, which looks at the memory now and then */
/* Bytes; tcp_mem: where pressure ends (PLENTY), where it begins, the most. */
uint64_t tcp_sock_memory_limit(enum tcp_memory level);
uint64_t tcp_sock_memory_used(void);

/* tcp_sock_open.c */
int tcp_sock_connect(struct socket *socket, const struct socket_name *name, bool nonblock);
/* Connect; consumes pkt. fast: NULL, or what Fast Open knows. Waits, or -EINPROGRESS. */
int tcp_sock_open(struct tcp_sock *ts, const struct inet_name *to, bool nonblock,
                  const struct tcp_fast *fast, struct pkt *pkt);
void tcp_sock_any_is_here(struct net_addr *address); /* the unspecified one is this host */
int tcp_sock_bind(struct socket *socket, const struct socket_name *name);
int tcp_sock_listen(struct socket *socket, unsigned backlog);
int tcp_sock_accept(struct socket *socket, bool nonblock, struct socket **out);
int tcp_sock_shutdown(struct socket *socket, unsigned what);
void tcp_sock_release(struct socket *socket);
void tcp_sock_orphan_gone(struct tcp_sock *ts);
void tcp_sock_orphan_changed(struct tcp_sock *ts); /* its state; under the lock */
uint32_t tcp_sock_speaking(void);                  /* how many orphans do */
struct tcp *tcp_sock_child(struct tcp_listener *listener, const struct flow_key *key);
void tcp_sock_accepted(struct tcp_listener *listener, struct tcp *tp);
struct tcp_sock *tcp_sock_of_listener(struct tcp_listener *listener);

/* tcp_sock_io.c */
long tcp_sock_send(struct socket *socket, struct socket_msg *msg);
long tcp_sock_recv(struct socket *socket, struct socket_msg *msg);
uint32_t tcp_sock_poll(struct socket *socket, struct poll_table *table);
long tcp_sock_ioctl(struct socket *socket, unsigned cmd, uintptr_t arg);
#define TCP_INQ 36 /* an option, and a control message: how much is left to be read */

/* tcp_sock_option.c */
int tcp_sock_set_option(struct socket *socket, int level, int name, uaddr_t value, unsigned len);
int tcp_sock_get_option(struct socket *socket, int level, int name, void *value, unsigned *len);

/* tcp_sock_tw.c */
void tcp_sock_time_wait(struct tcp_sock *ts);
/* A connect of ours wants the place that an object in TIME-WAIT has: true, it has left it, and the
 * new connection must begin with this number. No lock of a socket is held. */
bool tcp_sock_tw_reuse(const struct flow_key *key, unsigned device, uint32_t *iss);
void tcp_sock_no_flow(struct pkt *pkt, const struct classified *about);
/* A reset where one is due (RFC 9293, 3.10.7.1); consumes. */
void tcp_sock_refuse(struct pkt *pkt, const struct flow_key *key, const struct tcp_segment *seg);
/* A segment that belongs to a listener, whoever found it: consumes. The lock is not held. */
void tcp_sock_give_listener(struct flow *flow, struct pkt *pkt, const struct flow_key *key,
                            const struct tcp_segment *segment);
void tcp_sock_listener_segment(struct tcp_sock *ts, struct pkt *pkt, const struct flow_key *key,
                               const struct tcp_segment *segment);

#endif
