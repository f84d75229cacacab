/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unix.h - the inside of AF_UNIX (docs/sockets.md).
 *
 * Locks, outermost first:
 *   op_lock (RANK_SOCK_NAME)    one bind, connect, listen of a socket at a time; changes of state,
 *                               name, peer; path walks run under it
 *   read_lock (RANK_SOCK_READ)  one receiver at a time; held while bytes go to user memory
 *   unix_files_lock (RANK_SOCK_FILES)  what is in flight; queueing of messages with files
 *   lock (RANK_SOCK)            queue, embryos, followers, dead. Never two of them at once; short,
 *                               without allocation and user memory
 *   unix_table_lock (RANK_SOCK_TABLE)  names, the list of all, drains
 */
#ifndef SELKIE_NET_UNIX_H
#define SELKIE_NET_UNIX_H

#include "lib/list.h"
#include "net/socket.h"

#define UNIX_PATH_OFFSET 2u
#define UNIX_NAME_MAX 110u     /* sizeof(struct sockaddr_un) */
#define UNIX_DGRAM_QUEUE 10u   /* /proc/sys/net/unix/max_dgram_qlen */
#define UNIX_FLIGHT_MAX 65536u /* files on their way, of all sockets together */

enum unix_state { UNIX_FREE, UNIX_LISTENING, UNIX_CONNECTED };

/* An address; never changes. Shared by a listener and what it accepts. */
struct unix_name {
    struct refcount refs;
    struct socket_name name;
};

/* What is sent with one call, or a part of it (stream). */
struct unix_msg {
    struct list link;
    struct unix_sock *sender; /* a reference: who is charged */
    size_t charged;           /* bytes of memory */
    size_t len, done;         /* bytes in data; of these read */
    struct socket_cred cred;
    bool peeked;                /* MSG_PEEK has seen it, and there was nothing in it */
    struct socket_files *files; /* NULL: none, or taken */
    uint8_t data[];
};

struct unix_sock {
    struct socket base;   /* first */
    struct refcount refs; /* its file (or the listener's queue), its peer, followers, messages */
    struct mutex op_lock, read_lock, lock;
    /* Changed under op_lock, read by all: atomic, release. */
    uint32_t state;         /* enum unix_state */
    struct unix_name *name; /* set once */
    /* A reference. Streams: set once. Others: changed under op_lock and lock. */
    struct unix_sock *peer;
    struct socket_cred peer_cred; /* set before the state says CONNECTED or LISTENING */
    uint32_t backlog;             /* atomic */
    /* lock */
    bool dead;             /* its file has gone */
    struct list queue;     /* messages received */
    struct list embryos;   /* listening: connections not accepted yet, by embryo_link */
    struct list followers; /* datagram sockets whose peer this is, by follow_link */
    /* Changed under lock, read by all: atomic. */
    uint32_t waiting;        /* messages, or embryos */
    uint64_t unread;         /* bytes in the queue */
    struct list embryo_link; /* the listener's lock */
    struct list follow_link; /* the peer's lock */
    struct waitq room_wait;  /* who waits for room in this queue, or to be a connection */
    int64_t charged;         /* memory of messages sent and not yet received; atomic */
    bool starved;            /* someone waits for `charged` to shrink; atomic, see unix_room */
    /* unix_table_lock */
    struct list hash_link, all_link;
    struct inode *inode; /* a reference, while its path is in the table */
    /* unix_files_lock */
    struct list flight_link;
    unsigned in_flight; /* messages that carry its file */
    unsigned found;     /* the search: of these not yet accounted for */
    enum { FLIGHT_NO, FLIGHT_CANDIDATE, FLIGHT_ALIVE } flight_state;
};

static inline struct unix_sock *unix_of(struct socket *socket)
{
    return (struct unix_sock *)socket;
}
static inline enum unix_state unix_state(const struct unix_sock *u)
{
    /* Acquire: peer and peer_cred stand. */
    return (enum unix_state)__atomic_load_n(&u->state, __ATOMIC_ACQUIRE);
}
static inline struct unix_name *unix_name(const struct unix_sock *u)
{
    return __atomic_load_n(&u->name, __ATOMIC_ACQUIRE);
}
static inline struct unix_sock *unix_peer(const struct unix_sock *u)
{
    return __atomic_load_n(&u->peer, __ATOMIC_ACQUIRE);
}
static inline uint32_t unix_waiting(const struct unix_sock *u)
{
    return __atomic_load_n(&u->waiting, __ATOMIC_ACQUIRE);
}
static inline bool unix_is_dgram(const struct unix_sock *u)
{
    return u->base.type == SOCK_DGRAM;
}

static inline void unix_set_state(struct unix_sock *u, enum unix_state state)
{
    __atomic_store_n(&u->state, state, __ATOMIC_RELEASE);
}

static inline void unix_set_peer(struct unix_sock *u, struct unix_sock *peer)
{
    __atomic_store_n(&u->peer, peer, __ATOMIC_RELEASE);
}

/* Everyone who waits for something of u looks again. */
static inline void unix_wake(struct unix_sock *u)
{
    waitq_wake_all(&u->base.wait, 0);
    waitq_wake_all(&u->room_wait, 0);
}

/* ---- unix.c ---- */
struct unix_sock *unix_alloc(int type, int protocol); /* one reference; NULL without memory */
void unix_put(struct unix_sock *u);
/* The peer with a reference, or NULL. */
struct unix_sock *unix_peer_get(struct unix_sock *u);
/* A datagram socket's peer has gone. */
void unix_lost_peer(struct unix_sock *u, struct unix_sock *peer);
/* Tell the datagram sockets that send to u that there is room, or an end. */
void unix_wake_followers(struct unix_sock *u);

/* Another peer (a reference, which is taken over; or NULL). u->op_lock held, or u is unseen. The
 * old one comes back with its reference. */
struct unix_sock *unix_follow(struct unix_sock *u, struct unix_sock *peer);
/* What old had sent is not for u any more; if old sends to u, it is told that u has turned away
 * (Linux: unix_dgram_disconnected). */
void unix_turned_away(struct unix_sock *u, struct unix_sock *old);

/* ---- unix_connect.c ---- */
int unix_listen(struct socket *socket, unsigned backlog);
int unix_accept(struct socket *socket, bool nonblock, struct socket **out);
int unix_connect(struct socket *socket, const struct socket_name *name, bool nonblock);
int unix_dgram_connect(struct socket *socket, const struct socket_name *name, bool nonblock);

/* ---- unix_name.c ---- */
/* Is it an address of this family to connect or send to? */
int must_check unix_check_name(const struct socket_name *name);
int unix_bind(struct socket *socket, const struct socket_name *name);
int must_check unix_autobind(struct unix_sock *u); /* if it has no name yet */
/* The socket of that name and type, with a reference. -ECONNREFUSED, -EPROTOTYPE, those of a path
 * walk. */
int must_check unix_find(const struct socket_name *name, int type, struct unix_sock **out);
void unix_unhash(struct unix_sock *u); /* its name is free again */
void unix_list_add(struct unix_sock *u);
void unix_list_remove(struct unix_sock *u);
void unix_name_put(struct unix_name *name); /* NULL does nothing */
int must_check unix_proc_init(void);

/* ---- unix_io.c ---- */
long unix_stream_send(struct socket *socket, struct socket_msg *msg);
long unix_stream_recv(struct socket *socket, struct socket_msg *msg);
long unix_packet_send(struct socket *socket, struct socket_msg *msg);
long unix_packet_recv(struct socket *socket, struct socket_msg *msg);
/* Is there so much room that poll(2) says POLLOUT? If not, there will be a wake. */
bool unix_writable(struct unix_sock *u);
/* Give back a message that nobody sees any more, and its charge; its files have been taken. */
void unix_msg_free(struct unix_msg *m);

/* What a receiver waits for: more than it has seen. */
struct unix_wanting {
    struct unix_sock *u;
    bool peeks;    /* SO_PEEK_OFF: not just any message */
    uint32_t seen; /* messages that were passed over */
    size_t skip;   /* of the next message so many bytes were seen */
};
/* ---- unix_peek.c: MSG_PEEK with SO_PEEK_OFF ---- */
/* The first message, from m on, of which not all was seen, or NULL; read_lock is held. */
struct unix_msg *unix_pass_seen(struct unix_wanting *w, struct unix_msg *m);
bool unix_peek_more(const struct unix_wanting *w);

/* ---- unix_files.c ---- */
/* Before a message with files is queued, under unix_files_lock: they are in flight.
 * -ETOOMANYREFS. */
extern struct mutex unix_files_lock;
int must_check unix_files_depart_locked(struct socket_files *files);
/* They have been taken off the queue. */
void unix_files_land(struct socket_files *files);
/* Free messages of a socket that has gone; then look for sockets that nobody can reach any more. No
 * lock held. */
void unix_drain(struct list *msgs);
void unix_files_init(void);

#endif
