/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlink.h - AF_NETLINK sockets (RFC 3549, netlink(7)): requests to the kernel and its answers;
 * inside net/.
 *
 * A request is answered while it is sent, in the sender's context: the answers wait in the socket's
 * queue as buffers of up to NETLINK_BUFFER bytes, each with whole messages.
 */
#ifndef SELKIE_NET_NETLINK_H
#define SELKIE_NET_NETLINK_H

#include "lib/types.h"

/* What a program may switch (netlink(7)); the number is the bit's. */
enum {
    NETLINK_PKTINFO = 3,
    NETLINK_NO_ENOBUFS = 5,
    NETLINK_CAP_ACK = 10,
    NETLINK_EXT_ACK = 11,
    NETLINK_GET_STRICT_CHK = 12,
};
struct netlink_choice { /* atomic, relaxed */
    uint32_t groups;
    uint16_t switches;
};
static inline bool netlink_switch(const struct netlink_choice *choice, int name)
{
    return __atomic_load_n(&choice->switches, __ATOMIC_RELAXED) >> name & 1;
}
/* netlink_option.c: setsockopt, getsockopt. *len: of the room, then of the value. */
int must_check netlink_choose(struct netlink_choice *choice, int level, int name, uaddr_t value,
                              unsigned len);
int must_check netlink_chosen(const struct netlink_choice *choice, int level, int name, void *value,
                              unsigned *len);

struct nlmsghdr { /* as user code has it */
    uint32_t len;
    uint16_t type, flags;
    uint32_t sequence, port;
};
enum { NLMSG_NOOP = 1, NLMSG_ERROR = 2, NLMSG_DONE = 3, NLMSG_MIN_TYPE = 16 };
enum {
    NLM_F_REQUEST = 1,
    NLM_F_MULTI = 2,
    NLM_F_ACK = 4,
    NLM_F_DUMP_INTR = 0x10,
    NLM_F_ROOT = 0x100,
    NLM_F_MATCH = 0x200,
    NLM_F_DUMP = 0x300,
    NLM_F_REPLACE = 0x100, /* of requests that make something */
    NLM_F_EXCL = 0x200,
    NLM_F_CREATE = 0x400,
    NLM_F_CAPPED = 0x100, /* of acknowledgements */
    NLM_F_ACK_TLVS = 0x200,
};
#define NLMSGERR_ATTR_MSG 1
#define NETLINK_ALIGN(len) (((len) + 3u) & ~3u)

/* A request: the header, then `len` bytes in all, in kernel memory. */
struct netlink_request {
    const struct nlmsghdr *header;
    const uint8_t *body; /* behind the header */
    uint32_t body_len;
    bool root; /* the sender may change things */
};

/* Answers under way. Errors are kept until the end: without memory what follows does nothing. */
struct netlink_sock;
struct netlink_buffer;
struct netlink_out {
    struct netlink_sock *to; /* NULL: a notification */
    unsigned group;          /* of a notification: RTNLGRP_* */
    const struct nlmsghdr *request;
    const char *why;      /* an error in words (extended acknowledgement); NULL: none */
    bool dump;            /* ends with NLMSG_DONE */
    uint16_t interrupted; /* NLM_F_DUMP_INTR: what was dumped changed meanwhile */
    struct netlink_buffer *buffer;
    struct nlmsghdr *message; /* the one being written; NULL: none */
    int err;
};
/* Begin a message with a fixed part of `len` bytes, which is copied. */
void netlink_begin(struct netlink_out *out, uint16_t type, uint16_t flags, const void *fixed,
                   uint32_t len);
void netlink_put(struct netlink_out *out, uint16_t attribute, const void *data, uint32_t len);
void netlink_put_u32(struct netlink_out *out, uint16_t attribute, uint32_t value);
void netlink_put_string(struct netlink_out *out, uint16_t attribute, const char *text);
void netlink_end(struct netlink_out *out);

/* Does anybody listen to this group? Then begin, put and end messages in a netlink_out of it, and
 * tell them. Any context but an interrupt's; spinlocks above RANK_PACKET may be held. */
bool netlink_wanted(unsigned group);
void netlink_notify(struct netlink_out *out);

/* The attribute of a type in a list of them; NULL: not there, or shorter than `least`. */
const void *netlink_find(const uint8_t *list, uint32_t list_len, uint16_t type, uint32_t least,
                         uint32_t *len);

/* netlink_route.c: NETLINK_ROUTE. 0 or a negative errno for the sender. */
int must_check netlink_route(const struct netlink_request *request, struct netlink_out *out);
/* The same for NETLINK_SOCK_DIAG (netlink_diag.c). */
int must_check netlink_diag(const struct netlink_request *request, struct netlink_out *out);
/* Boot: tell the groups of NETLINK_ROUTE of changes of links, addresses, routes, neighbours. */
struct netdev;
void netlink_route_init(void);
void netlink_link_changed(struct netdev *dev);

#endif
