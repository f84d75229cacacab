/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * socket.h - sockets: what all address families share.
 *
 * A socket is a struct file (socket_file_ops) in front of a struct socket, which an address family
 * embeds in its own structure. kernel/linux decodes the calls and knows no family; a family is
 * registered once at boot (socket_family_register) and gives each socket its operations.
 * See docs/sockets.md.
 */
#ifndef SELKIE_NET_SOCKET_H
#define SELKIE_NET_SOCKET_H

#include "core/rcu.h"
#include "fs/file.h"

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_MAX 46

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_SEQPACKET 5
#define SOCK_MAX 11
#define SOCK_TYPE_MASK 0xf

#define MSG_OOB 1u
#define MSG_PEEK 2u
#define MSG_DONTROUTE 4u
#define MSG_CTRUNC 8u
#define MSG_TRUNC 0x20u
#define MSG_DONTWAIT 0x40u
#define MSG_EOR 0x80u
#define MSG_WAITALL 0x100u
#define MSG_ERRQUEUE 0x2000u
#define MSG_NOSIGNAL 0x4000u
#define MSG_MORE 0x8000u
#define MSG_WAITFORONE 0x10000u
#define MSG_ZEROCOPY 0x4000000u
#define MSG_CMSG_CLOEXEC 0x40000000u

#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2
/* What is shut, socket.shut: how + 1 of shutdown(2). */
#define SHUT_RECEIVE 1u
#define SHUT_SEND 2u
#define SHUT_BOTH 3u

#define SOL_SOCKET 1
#define SOL_NETLINK 270
#define SOMAXCONN 4096                     /* core/somaxconn at first */
#define SOCKET_IO_MAX ((size_t)0x7ffff000) /* the most one call moves */
#define SOCKET_BUFFER_MAX 212992           /* wmem_max, rmem_max at first; the default */

/* /proc/sys/net/core: what programs may ask for at most; relaxed atomics. */
struct socket_limits {
    uint32_t backlog, receive, send;
};
extern struct socket_limits socket_limits;

/* An address in user code's own form (struct sockaddr): the family, then what it says. */
#define SOCKET_NAME_MAX 128 /* struct sockaddr_storage */
struct socket_name {
    unsigned len;
    union {
        uint16_t family;
        uint8_t bytes[SOCKET_NAME_MAX];
    };
};

/* struct ucred of user code. */
struct socket_cred {
    int32_t pid;
    uint32_t uid, gid;
};
void socket_cred_current(struct socket_cred *out);

struct pkt;
struct socket_msg;
/* One send with MSG_ZEROCOPY (zerocopy.c). */
struct socket_zerocopy {
    /* A packet of the next `len` bytes of msg->data, as inet_packet_from, or -ENOBUFS. */
    int (*fill)(struct socket_msg *msg, uint32_t headroom, size_t len, struct pkt **out);
};
/* One sendmsg or recvmsg. */
struct socket_msg {
    struct iov_iter *data;
    uint32_t flags;           /* MSG_*; O_NONBLOCK of the file comes as MSG_DONTWAIT */
    uint32_t result;          /* recv: MSG_TRUNC, MSG_CTRUNC, MSG_EOR */
    struct socket_name *name; /* send: to whom; recv: filled in; NULL: not asked for */
    uaddr_t control;          /* send: control messages; recv: room for them */
    uint64_t control_len;     /* recv: bytes of that room; control.c takes off what it uses */
    struct socket_zerocopy *zerocopy; /* send: MSG_ZEROCOPY is to be done; NULL: not */
};

struct bpf_program;
struct socket;
/* NULL: EOPNOTSUPP, but where something else is said. Called without locks, in thread context, with
 * a reference to the file held. nonblock: EAGAIN (connect: EINPROGRESS where that is its way)
 * rather than wait. */
struct socket_ops {
    void (*release)(struct socket *socket); /* the file has gone; the socket may live on inside */
    int (*bind)(struct socket *socket, const struct socket_name *name);
    int (*listen)(struct socket *socket, unsigned backlog);
    int (*connect)(struct socket *socket, const struct socket_name *name, bool nonblock);
    int (*accept)(struct socket *socket, bool nonblock, struct socket **out);
    int (*pair)(struct socket *a, struct socket *b); /* socketpair(2): both are fresh */
    int (*get_name)(struct socket *socket, bool peer, struct socket_name *out);
    long (*send)(struct socket *socket, struct socket_msg *msg);
    long (*recv)(struct socket *socket, struct socket_msg *msg);
    int (*shutdown)(struct socket *socket, unsigned what); /* SHUT_RECEIVE, SHUT_SEND */
    uint32_t (*poll)(struct socket *socket, struct poll_table *table);
    long (*ioctl)(struct socket *socket, unsigned cmd, uintptr_t arg); /* NULL: ENOTTY */
    /* Levels other than SOL_SOCKET, and what of SOL_SOCKET the common part leaves to the family.
     * *len: of the room, then of the value. NULL: ENOPROTOOPT. */
    int (*set_option)(struct socket *socket, int level, int name, uaddr_t value, unsigned len);
    int (*get_option)(struct socket *socket, int level, int name, void *value, unsigned *len);
    /* SO_SNDBUF or SO_RCVBUF has changed; NULL: looked at when needed. */
    void (*buffers_changed)(struct socket *socket);
    /* SO_PEERCRED. NULL: nobody. */
    void (*peer_cred)(struct socket *socket, struct socket_cred *out);
    /* What mmap(2) maps, no extra reference; NULL: ENODEV. */
    int (*mmap)(struct socket *socket, struct vm_object **object);
    bool filters; /* SO_ATTACH_FILTER: its packets go through bpf_filter, its end calls bpf_free */
    bool peeks;   /* SO_PEEK_OFF: recv looks at socket_peek_off and tells socket_peeked */
};

struct socket {
    const struct socket_ops *ops;
    int family, type, protocol;
    uint32_t stamping; /* SO_TIMESTAMPING: SOF_TIMESTAMPING_*; atomic, relaxed */
    uint64_t ino;
    uint64_t time_ns;              /* when it was made */
    uint32_t owner_uid, owner_gid; /* for fstat; set with the file */
    struct file *file; /* its open file, no reference; set once. NULL: not accepted yet */
    struct waitq wait; /* readers, writers and polls */
    /* Options and what anyone reads without a lock: relaxed atomics, but for the next three. */
    uint32_t shut;      /* SHUT_*; atomic, release: what was sent before is there */
    int32_t error;      /* SO_ERROR: positive errno, taken by who reports it; atomic */
    bool listening;     /* atomic */
    bool filter_locked; /* SO_LOCK_FILTER; atomic */
    bool zerocopy;      /* SO_ZEROCOPY; atomic */
    int32_t send_buffer, receive_buffer;          /* bytes */
    int32_t receive_low;                          /* SO_RCVLOWAT */
    uint64_t send_timeout_ns, receive_timeout_ns; /* UINT64_MAX: none; 0: do not wait */
    int32_t linger_s;                             /* -1: off */
    int32_t priority, mark;
    uint32_t switches;          /* 1 << SO_* or SOCKET_* of those that are on or off */
    struct bpf_program *filter; /* bpf_socket.c; atomic, RCU. NULL: none */
    struct socket_rare *rare;   /* made by the first that needs it; atomic, RCU. NULL: not yet */
};

/* Options that few programs set (option_rare.c). Relaxed atomics, but for the program. */
struct socket_rare {
    struct rcu_head rcu;
    struct bpf_program *steering; /* SO_ATTACH_REUSEPORT_CBPF; atomic, RCU. NULL: none */
    uint64_t pacing_rate;         /* SO_MAX_PACING_RATE, bytes a second; UINT64_MAX: no limit */
    uint32_t txtime_clock, txtime_flags;      /* SO_TXTIME */
    uint32_t unicast_device, unicast6_device; /* IP_UNICAST_IF, IPV6_UNICAST_IF; 0: by the route */
    uint16_t port_first, port_last;           /* IP_LOCAL_PORT_RANGE; 0: the system's */
    int32_t peek_off;                         /* SO_PEEK_OFF; negative: off */
    struct tcp_syn *saved_syn;                /* TCP_SAVED_SYN, until it is read; kmalloc */
    struct tcp_fast_keys *fast_keys;          /* TCP_FASTOPEN_KEY; kmalloc */
};

struct socket_family {
    int family;
    /* A new socket, or -ESOCKTNOSUPPORT, -EPROTONOSUPPORT, -ENOMEM, ... It calls socket_init. */
    int (*create)(int type, int protocol, struct socket **out);
};
/* A process has closed all its files; may sleep. Files that only messages keep open, which nobody
 * can receive any more, are closed, too. */
void socket_files_closed(void);
/* netdevice(7): what any socket is asked about devices. Set at boot. */
extern long (*socket_device_ioctl)(struct socket *socket, unsigned cmd, uintptr_t arg);
/* MSG_ZEROCOPY on a socket that has SO_ZEROCOPY: ops->send with msg->zerocopy. Set at boot. */
extern long (*socket_zerocopy_send)(struct socket *socket, struct socket_msg *msg);
/* Boot only. */
void socket_family_register(const struct socket_family *family);
/* Boot: registers the families, makes /proc/net. */
int must_check net_init(void);
/* The program has ended: until what it has sent is with its peers. Thread context. */
void net_farewell(void);

/* The common part of a fresh socket: defaults. */
void socket_init(struct socket *socket, const struct socket_ops *ops, int family, int type,
                 int protocol);

/* socket(2): a new one without a file, to be given to socket_file or to ops->release. */
int must_check socket_create(int family, int type, int protocol, struct socket **out);
/* The file of a socket; flags: O_NONBLOCK. On failure the socket has been released. */
int must_check socket_file(struct socket *socket, uint32_t flags, struct file **out);
/* accept(2). The file is made first: no connection is lost for want of its memory. */
int must_check socket_accept_file(struct socket *listener, bool nonblock, uint32_t flags,
                                  struct file **out);
/* How many have a file. */
unsigned socket_count(void);
/* The socket behind a file, or NULL (ENOTSOCK). */
struct socket *socket_of_file(const struct file *file);

/* The calls; each with the errors of its manual page. */
int must_check socket_pair(int family, int type, int protocol, struct socket *out[2]);
int must_check socket_bind(struct socket *socket, const struct socket_name *name);
int must_check socket_listen(struct socket *socket, int backlog);
int must_check socket_connect(struct socket *socket, const struct socket_name *name, bool nonblock);
int must_check socket_accept(struct socket *socket, bool nonblock, struct socket **out);
int must_check socket_get_name(struct socket *socket, bool peer, struct socket_name *out);
int must_check socket_shutdown(struct socket *socket, int how);
/* Bytes, or a negative errno. -EPIPE: the caller is due a SIGPIPE if socket_breaks says so. */
long must_check socket_send(struct socket *socket, struct socket_msg *msg);
long must_check socket_recv(struct socket *socket, struct socket_msg *msg);
/* Only what is connected by a stream of bytes raises SIGPIPE. */
static inline bool socket_breaks(const struct socket *socket)
{
    return socket->type == SOCK_STREAM;
}
/* option.c */
int must_check socket_set_option(struct socket *socket, int level, int name, uaddr_t value,
                                 int len);
int must_check socket_get_option(struct socket *socket, int level, int name, uaddr_t value,
                                 uaddr_t len);
bool socket_switch(const struct socket *socket, int option);
/* option_rare.c: SO_TIMESTAMP and its kin, SO_MAX_PACING_RATE, SO_TXTIME, SO_BUF_LOCK, SO_MEMINFO,
 * SO_PEEK_OFF.
 * -ENOPROTOOPT: another option. *len: of the room, then of the value. */
int must_check socket_set_rare(struct socket *socket, int name, uaddr_t value, unsigned len);
int must_check socket_get_rare(struct socket *socket, int name, void *value, unsigned *len);
/* The object, which is made if there is none yet; NULL without memory. */
struct socket_rare *socket_rare_make(struct socket *socket);
static inline struct socket_rare *socket_rare(const struct socket *socket)
{
    return __atomic_load_n(&socket->rare, __ATOMIC_ACQUIRE); /* it is whole */
}
void socket_rare_free(struct socket *socket); /* at the end of its life */
/* SO_PEEK_OFF: how far MSG_PEEK looks behind the beginning; negative: there is no such thing. */
int32_t socket_peek_off(const struct socket *socket);
/* So much was read from the beginning, or seen by MSG_PEEK: the offset goes back, or on. */
void socket_move_peek(struct socket_rare *rare, uint32_t flags, size_t bytes);
static inline void socket_peeked(const struct socket *socket, uint32_t flags, size_t bytes)
{
    struct socket_rare *rare = socket_rare(socket);
    if (rare)
        socket_move_peek(rare, flags, bytes);
}

/* ---- for families ---- */

/* Switches that families look at. */
#define SO_REUSEADDR 2
#define SO_BROADCAST 6
#define SO_KEEPALIVE 9
#define SO_OOBINLINE 10
#define SO_NO_CHECK 11
#define SO_REUSEPORT 15
#define SO_PASSCRED 16
#define SO_TIMESTAMP 29
/* Switches whose SO_* does not fit into the word: their places there. */
enum {
    SOCKET_STAMP_NS = 3,  /* with SO_TIMESTAMP: SO_TIMESTAMPNS */
    SOCKET_STAMP_NEW = 4, /* asked for by the names of 2019 (SO_TIMESTAMP_NEW, ...) */
    SOCKET_SEND_LOCKED = 7,
    SOCKET_RECEIVE_LOCKED = 8, /* SO_BUF_LOCK */
    SOCKET_TXTIME = 12,
};
/* SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING: tell the receiver; wall_ns: when it came. */
void control_put_time(struct socket_msg *msg, const struct socket *socket, uint64_t wall_ns);

static inline uint32_t socket_shut(const struct socket *socket)
{
    return __atomic_load_n(&socket->shut, __ATOMIC_ACQUIRE);
}
/* The pending error, negative, which is taken by this; 0: none. */
static inline int socket_take_error(struct socket *socket)
{
    if (!__atomic_load_n(&socket->error, __ATOMIC_RELAXED))
        return 0;
    return -__atomic_exchange_n(&socket->error, 0, __ATOMIC_ACQ_REL);
}
/* When a wait that begins now ends, by SO_RCVTIMEO or SO_SNDTIMEO; 0: it must not wait. */
uint64_t socket_deadline(const uint64_t *timeout_ns, bool nonblock);
/* Sleep until cond(arg), which looks at atomics only. 0; -EAGAIN at the deadline; interrupted:
 * -ERESTARTSYS, or -EINTR if there is a deadline (signal(7)). */
int must_check socket_wait(struct waitq *queue, bool (*cond)(void *arg), void *arg,
                           uint64_t deadline_ns);

/* control.c: files and credentials on their way (unix(7)). */
#define SCM_MAX_FD 253
struct socket_files {
    unsigned count;
    struct file *file[]; /* references */
};
struct socket_scm {
    struct socket_files *files; /* NULL: none */
    struct socket_cred cred;
};
/* One control message of a sender's. */
struct control {
    int32_t level, type;
    uaddr_t data;
    uint64_t len;
};
/* fn for each, until one of them fails. -EINVAL, -EFAULT, -ENOBUFS, or what fn returned. */
int must_check control_walk(const struct socket_msg *msg,
                            int (*fn)(const struct control *c, void *arg), void *arg);
/* Tell a receiver; MSG_CTRUNC if there is no room. */
#define CONTROL_ADD_MAX 64u
void control_add(struct socket_msg *msg, int level, int type, const void *data, size_t len);
/* What a sender attaches: the caller's credentials unless it says others that it may claim. `files`
 * allowed: SCM_RIGHTS. On success files is the caller's. */
int must_check control_get(const struct socket_msg *msg, bool rights, struct socket_scm *out);
/* Tell the receiver: cred (NULL: not asked for) and files, which get descriptors. The references
 * stay the caller's. */
void control_put(struct socket_msg *msg, const struct socket_cred *cred,
                 const struct socket_files *files);
struct socket_files *files_alloc(unsigned count); /* NULL without memory */
/* Another reference to each; NULL without memory. */
struct socket_files *files_copy(const struct socket_files *files);
void files_put(struct socket_files *files); /* NULL does nothing. No lock held */

struct pseudo_item;
/* Boot: files of a family in /proc. */
int must_check socket_proc_add(const struct pseudo_item *items, size_t count);

/* netlink.c */
extern const struct socket_family netlink_family;
struct strbuf;
int netlink_show_all(struct inode *inode, struct strbuf *sb); /* /proc/net/netlink, packet */
int packet_show_all(struct inode *inode, struct strbuf *sb);
/* packet.c */
extern const struct socket_family packet_family;
/* unix.c */
extern const struct socket_family unix_family;
int must_check unix_init(void);

#endif
