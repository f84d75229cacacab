/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs kernel/net/ kernel/drv/pkt.c kernel/drv/netdev.c kernel/drv/segment.c kernel/drv/gro.c kernel/drv/loopback.c kernel/lib/checksum.c kernel/core/cmdline.c unit/fake_rcu.c */
/* covers: kernel/net/netlink.c kernel/net/netlink_route.c kernel/net/netlink_show.c kernel/net/netlink_diag.c kernel/net/inetlist.c kernel/net/route.c kernel/net/ifaddr.c */
/* lines: 95 kernel/net/netlink_route.c kernel/net/netlink_show.c kernel/net/netlink_diag.c */
/* clang-format on */
/* length: 400 */
/* runs: 1000 */
/*
 * netlink_fuzz.c - messages into AF_NETLINK sockets (route, sock_diag, a group's listener), by root
 * and by others, with allocations that fail; the answers read with much room and little.
 *
 * Addresses, routes and neighbours are read back by dumps around each change: a request that was
 * refused has changed nothing; one that was not has done what it says. Whatever is read is whole
 * messages with whole attributes, a dump ends with NLMSG_DONE, a request has its one
 * acknowledgement. In the end everything is taken back, and the dumps are those of the beginning.
 */
#include <string.h>

#include "fs/fcntl.h"
#include "net/netlink_show.h"
#include "stack.h"

#define AF_NETLINK 16
#define SOL_NETLINK 270
#define SEQUENCE 0x4711u /* of what is asked by the target itself */
#define TALKERS 3
#define STEPS_MAX 60

static struct file *talkers[TALKERS], *observer, *listeners[3];
static uint8_t request[1024];
static uint8_t answer[9000];

/* ---- building ---- */

static uint32_t at; /* in `request`: the end of the message */

static void put(const void *data, uint32_t len)
{
    memset(request + at, 0, NETLINK_ALIGN(len));
    memcpy(request + at, data, len);
    at += NETLINK_ALIGN(len);
}

static void put_attribute(uint16_t type, const void *data, uint32_t len)
{
    uint16_t header[2] = {(uint16_t)(4 + len), type};
    put(header, 4);
    put(data, len);
}

static struct net_addr address_from(struct fuzz_input *in, bool v6)
{
    uint8_t which = fuzz_u8(in);
    switch (which & 7) {
    case 0:
        return v6 ? stack_ip6(9) : stack_ip(10, 0, 0, 9);
    case 1:
        return v6 ? stack_ip6(1) : stack_ip(10, 0, 0, 1);
    case 2:
        return v6 ? net_addr_any : net_addr_any_v4;
    case 3:
        return v6 ? (struct net_addr){.bytes = {[15] = 1}} : stack_ip(127, 0, 0, 1);
    case 4:
        return v6 ? (struct net_addr){.bytes = {0xff, 2, [15] = 1}} : stack_ip(224, 0, 0, 1);
    case 5:
        return v6 ? (struct net_addr){.bytes = {0xfe, 0x80, [15] = which >> 3}}
                  : stack_ip(255, 255, 255, 255);
    default:
        return v6 ? (struct net_addr){.bytes = {0xfd, which & 1, [15] = which >> 3}}
                  : stack_ip(10, which & 1, 0, which >> 3);
    }
}

static void attribute_from(struct fuzz_input *in, bool v6)
{
    static const uint16_t numbers[] = {0, 1, 2, 3, 68, 254, 255, 576, 1280, 1500, 9000, 0xffff};
    static const char names[2][5] = {"lo", "eth0"};
    uint8_t how = fuzz_u8(in);
    uint16_t type = how & 0x80 ? fuzz_u8(in) % 40 : 1 + how % 9;
    struct net_addr address;
    uint32_t number, pair[2];
    uint8_t bytes[40];
    if (at > sizeof(request) - 64)
        return;
    switch (fuzz_u8(in) % 8) {
    case 0:
    case 1:
    case 2:
        address = address_from(in, v6);
        put_attribute(type, v6 ? address.bytes : address.bytes + 12, v6 ? 16 : 4);
        break;
    case 3:
        number = numbers[fuzz_u8(in) % ARRAY_COUNT(numbers)];
        put_attribute(type, &number, 4);
        break;
    case 4:
        put_attribute(type, names[how & 1], 5);
        break;
    case 5:
        put_attribute(type, stack_peer_ether, 6);
        break;
    case 6: /* lifetimes; a nested metric */
        pair[0] = how & 1 ? fuzz_u8(in) : (uint32_t)(8 | 2 << 16);
        pair[1] = how & 1 ? fuzz_u16(in) : 1400;
        put_attribute(type, pair, 8);
        break;
    case 7:
        for (unsigned i = 0; i < sizeof(bytes); i++)
            bytes[i] = how & 4 ? fuzz_u8(in) : 0;
        put_attribute(type, bytes, fuzz_u8(in) % sizeof(bytes));
        break;
    }
}

/* The fixed part, with values that mean something more often than not. */
static void fixed_from(struct fuzz_input *in, unsigned kind, bool v6)
{
    uint8_t family = v6 ? AF_INET6 : AF_INET, a = fuzz_u8(in), b = fuzz_u8(in);
    if (kind == 0) {
        struct ifinfomsg info = {
            .index = a % 4, .flags = b & 1 ? NETDEV_UP : 0, .change = b & 2 ? NETDEV_UP : 0};
        put(&info, sizeof(info));
    } else if (kind == 1) {
        struct ifaddrmsg msg = {.family = family,
                                .prefix = v6 ? (a & 1 ? 64 : b % 131) : (a & 1 ? 24 : b % 34),
                                .index = (a >> 1) % 4};
        put(&msg, sizeof(msg));
    } else if (kind == 2) {
        struct rtmsg msg = {.family = family,
                            .dest_len = v6 ? (a & 1 ? 64 : b % 131) : (a & 1 ? 24 : b % 34),
                            .table = a & 2 ? 0 : 254,
                            .protocol = 3,
                            .scope = a & 4 ? 253 : 0,
                            .type = a & 8 ? b % 12 : 1};
        put(&msg, sizeof(msg));
    } else {
        struct ndmsg msg = {.family = family, .index = (a >> 1) % 4, .state = a & 1 ? 0x80 : b};
        put(&msg, sizeof(msg));
    }
}

static void diag_from(struct fuzz_input *in)
{
    struct {
        uint8_t family, protocol, extensions, pad;
        uint32_t states;
        uint8_t id[48];
    } diag = {.family = fuzz_u8(in) & 1 ? AF_INET6 : AF_INET,
              .protocol = fuzz_u8(in) & 1 ? IPPROTO_UDP : IPPROTO_TCP,
              .extensions = fuzz_u8(in),
              .states = fuzz_u8(in) & 1 ? UINT32_MAX : fuzz_u16(in)};
    uint8_t many = fuzz_u8(in) % sizeof(diag.id);
    for (unsigned i = 0; i < many; i++)
        diag.id[i] = fuzz_u8(in);
    put(&diag, sizeof(diag));
}

/* Links, addresses, routes and neighbours; from 64 on rules and what nobody knows; control. */
static uint16_t type_from(uint8_t what)
{
    what &= 0x7f;
    return (uint16_t)(what < 64 ? 16 + (what & 15) : what < 112 ? what - 32 : what - 112);
}

/* One message; its header's place. */
static struct nlmsghdr *message_from(struct fuzz_input *in, bool diag)
{
    uint32_t begin = at;
    uint8_t what = fuzz_u8(in), flags = fuzz_u8(in);
    bool v6 = what & 0x80;
    struct nlmsghdr header = {
        .type = diag ? 20 : type_from(what),
        .flags = (uint16_t)((flags & 1 ? 0 : NLM_F_REQUEST) | (flags & 2 ? 0 : NLM_F_ACK) |
                            (flags & 0x70u) << 4),
        .sequence = 1,
        .port = 0,
    };
    put(&header, sizeof(header));
    if (diag)
        diag_from(in);
    else
        fixed_from(in, header.type / 4 & 3, v6);
    for (uint8_t count = fuzz_u8(in) % 6; !diag && count > 0; count--)
        attribute_from(in, v6);
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)(request + begin);
    h->len = at - begin;
    if (flags & 0x80) { /* the end is elsewhere, and a byte is another */
        h->len += (uint32_t)(int8_t)fuzz_u8(in);
        request[begin + fuzz_u8(in) % (at - begin)] ^= fuzz_u8(in);
    }
    return h;
}

/* ---- talking ---- */

static long send_request(struct file *file)
{
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, request, at);
    struct socket_msg msg = {.data = &it, .flags = MSG_DONTWAIT};
    return socket_send(socket_of_file(file), &msg);
}

static long receive_answer(struct file *file, size_t room, uint32_t flags)
{
    struct iov one;
    struct iov_iter it;
    struct socket_name from = {.len = 0};
    iov_iter_init_kernel(&it, &one, answer, room);
    struct socket_msg msg = {.data = &it, .flags = flags | MSG_DONTWAIT, .name = &from};
    long n = socket_recv(socket_of_file(file), &msg);
    FUZZ_CHECK(n >= 0 || n == -EAGAIN || n == -ENOBUFS);
    return n;
}

static void check_attributes(const uint8_t *list, uint32_t len)
{
    uint32_t next = 0;
    while (next < len) {
        uint16_t header[2];
        FUZZ_CHECK(len - next >= 4);
        memcpy(header, list + next, 4);
        FUZZ_CHECK(header[0] >= 4 && header[0] <= len - next);
        next += NETLINK_ALIGN(header[0]);
    }
}

struct result {
    bool acked, done;
    int err;
    uint32_t acks, messages, hash;
};

static void check_message(const struct nlmsghdr *h, struct result *result)
{
    static const uint32_t fixed[] = {sizeof(struct ifinfomsg), sizeof(struct ifaddrmsg),
                                     sizeof(struct rtmsg), sizeof(struct ndmsg)};
    const uint8_t *body = (const uint8_t *)(h + 1);
    uint32_t len = h->len - (uint32_t)sizeof(*h);
    result->messages++;
    if (h->type == NLMSG_ERROR) {
        FUZZ_CHECK(len >= 4 + sizeof(*h));
        result->acks++;
        memcpy(&result->err, body, 4);
        FUZZ_CHECK(result->err <= 0 && result->err > -600);
        result->acked = true;
    } else if (h->type == NLMSG_DONE) {
        FUZZ_CHECK(h->flags & NLM_F_MULTI);
        result->done = true;
    } else if (h->type >= RTM_NEWLINK && h->type <= RTM_NEWRULE && h->type % 4 != 2 &&
               len != 72) { /* 72: sock_diag's */
        uint32_t skip = h->type == RTM_NEWRULE ? sizeof(struct rtmsg) : fixed[h->type / 4 & 3];
        FUZZ_CHECK(len >= skip);
        check_attributes(body + skip, len - skip);
    }
    for (uint32_t i = 0; i < len; i++)
        result->hash = (result->hash ^ body[i]) * 16777619u;
}

/* All that waits in a socket. */
static struct result drain(struct file *file)
{
    struct result result = {.hash = 2166136261u};
    long n;
    while ((n = receive_answer(file, sizeof(answer), 0)) != -EAGAIN) {
        uint32_t next = 0;
        while (n > 0 && next < (uint32_t)n) {
            const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)(answer + next);
            FUZZ_CHECK((uint32_t)n - next >= sizeof(*h) && h->len >= sizeof(*h) &&
                       h->len <= (uint32_t)n - next);
            check_message(h, &result);
            next += NETLINK_ALIGN(h->len);
        }
    }
    return result;
}

/* ---- what there is ---- */

struct state {
    struct result kind[3]; /* addresses, routes, neighbours */
};

static struct state look(void)
{
    static const uint16_t types[] = {RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH};
    struct state state;
    for (unsigned i = 0; i < 3; i++) {
        struct nlmsghdr header = {
            .type = types[i], .flags = NLM_F_REQUEST | NLM_F_DUMP, .sequence = SEQUENCE};
        uint8_t family = 0;
        at = 0;
        put(&header, sizeof(header));
        put(&family, 1);
        ((struct nlmsghdr *)(void *)request)->len = at;
        FUZZ_CHECK(send_request(observer) == (long)at);
        state.kind[i] = drain(observer);
        FUZZ_CHECK(state.kind[i].done && !state.kind[i].acked);
    }
    return state;
}

static bool same(const struct state *a, const struct state *b)
{
    for (unsigned i = 0; i < 3; i++)
        if (a->kind[i].hash != b->kind[i].hash || a->kind[i].messages != b->kind[i].messages)
            return false;
    return true;
}

/* ---- a step ---- */

static void check_change(const struct nlmsghdr *asked, int err, const struct state *before)
{
    struct state after = look();
    unsigned kind = asked->type / 4 & 3;
    bool get = asked->type % 4 == 2;
    FUZZ_TRACE("request type %u flags %x: %d; messages %u %u %u\n", asked->type, asked->flags, err,
               after.kind[0].messages, after.kind[1].messages, after.kind[2].messages);
    if (err || get || asked->type < 16 || asked->type > RTM_GETNEIGH)
        FUZZ_CHECK(same(before, &after) || (!err && get));
    if (err == 0 && !get && fake_cred.euid)
        FUZZ_CHECK(asked->type < 16);
    if (err == 0 && asked->type == RTM_DELADDR)
        FUZZ_CHECK(after.kind[0].messages + 1 == before->kind[0].messages);
    if (err == 0 && asked->type == RTM_DELROUTE)
        FUZZ_CHECK(after.kind[1].messages + 1 == before->kind[1].messages);
    if (err == 0 && asked->type == RTM_DELNEIGH)
        FUZZ_CHECK(after.kind[2].messages + 1 == before->kind[2].messages);
    if (err == 0 && !get && kind >= 2) /* a route or neighbour changes no address */
        FUZZ_CHECK(before->kind[0].hash == after.kind[0].hash);
}

/* One request; if it wants an acknowledgement, what came of it. */
static void do_one(struct fuzz_input *in, struct file *talker, bool diag, bool fail)
{
    struct state before = look();
    struct nlmsghdr asked;
    (void)drain(talker); /* of several requests, and what a group was told */
    at = 0;
    asked = *message_from(in, diag);
    memcpy(&asked, request, sizeof(asked));
    if (fail)
        alloc_fail_nth(1 + fuzz_u8(in) % 8);
    long n = send_request(talker);
    alloc_fail_nth(0);
    FUZZ_CHECK(n == (long)at || n == -ENOBUFS);
    struct result result = drain(talker);
    bool whole = asked.len >= sizeof(asked) && asked.len <= at && asked.flags & NLM_F_REQUEST;
    if (n < 0 || fail || !whole)
        return;
    bool more = NETLINK_ALIGN(asked.len) + sizeof(asked) <= at; /* read as another message */
    if (more)
        return;
    if (result.done)
        FUZZ_CHECK(!result.acked);
    else if (asked.flags & NLM_F_ACK)
        FUZZ_CHECK(result.acks == 1);
    if (result.acked && !diag)
        check_change(&asked, result.err, &before);
}

static void do_several(struct fuzz_input *in, struct file *talker, bool diag)
{
    at = 0;
    for (unsigned count = 1 + fuzz_u8(in) % 4; count > 0 && at < 600; count--)
        (void)message_from(in, diag);
    (void)!send_request(talker);
}

static void do_setting(struct fuzz_input *in, struct file *talker)
{
    uint8_t how = fuzz_u8(in);
    int32_t value = fuzz_u8(in) % 35;
    struct socket_name name = {.len = 12, .family = AF_NETLINK};
    if (how & 1) {
        (void)!socket_set_option(socket_of_file(talker), SOL_NETLINK, how >> 1 & 15,
                                 uaddr((uintptr_t)&value), 4);
        return;
    }
    put_be32(name.bytes + 4, how >> 1 & 3);
    name.bytes[8] = fuzz_u8(in);
    name.bytes[9] = fuzz_u8(in);
    (void)!socket_bind(socket_of_file(talker), &name);
}

static void step(struct fuzz_input *in)
{
    uint8_t op = fuzz_u8(in);
    unsigned who = op >> 4 & 1 ? 1 : op >> 5 & 1 ? 2 : 0;
    struct file *talker = talkers[who];
    switch (op & 0xf) {
    default:
        do_one(in, talker, who == 1, false);
        break;
    case 9:
        do_one(in, talker, who == 1, true);
        break;
    case 10:
        do_several(in, talker, who == 1);
        break;
    case 11:
        do_setting(in, talker);
        break;
    case 12:
        fake_cred.euid = op & 0x40 ? 1000 : 0;
        break;
    case 13:
        stack_advance((op >> 4) * NS_PER_SEC);
        break;
    case 14: /* little room: a message is cut and gone */
        (void)receive_answer(talker, op >> 4, op & 0x80 ? MSG_PEEK : MSG_TRUNC);
        break;
    }
    stack_run();
}

/* ---- a run ---- */

static struct file *open_netlink(int protocol)
{
    struct socket *socket;
    struct file *file;
    FUZZ_CHECK(socket_create(AF_NETLINK, SOCK_RAW, protocol, &socket) == 0);
    FUZZ_CHECK(socket_file(socket, O_NONBLOCK, &file) == 0);
    return file;
}

/* Neither these nor any other family that is not there. */
static void refused(void)
{
    struct socket *socket;
    for (int protocol = 1; protocol < 32; protocol++)
        if (protocol != 4 && protocol != 15)
            FUZZ_CHECK(socket_create(AF_NETLINK, SOCK_RAW, protocol, &socket) == -EPROTONOSUPPORT);
}

/* As stack_boot made it. */
static void restore(void)
{
    FUZZ_CHECK(netdev_set_up(&loopback, true) == 0 && netdev_set_up(&stack_dev, false) == 0);
    FUZZ_CHECK(netdev_set_mtu(&stack_dev, 1500) == 0 && netdev_set_mtu(&loopback, 65536) == 0);
    for (;;) {
        unsigned token = rcu_read_lock();
        const struct ifaddr *ifa = ifaddr_first();
        const struct net_addr address = ifa ? ifa->address : net_addr_any;
        struct netdev *dev = ifa ? ifa->dev : NULL;
        rcu_read_unlock(token);
        if (!dev)
            break;
        FUZZ_CHECK(ifaddr_remove(dev, &address) == 0);
    }
    route_flush(&stack_dev, 0);
    route_flush(&loopback, 0);
    struct route_entry left;
    while (route_list(&left, 0, 1))
        FUZZ_CHECK(route_remove(&left) == 0);
    FUZZ_CHECK(netdev_set_up(&stack_dev, true) == 0);
    const struct ifaddr_info lo4 = {.dev = &loopback,
                                    .address = stack_ip(127, 0, 0, 1),
                                    .prefix = 8,
                                    .flags = IFADDR_PERMANENT};
    const struct ifaddr_info lo6 = {.dev = &loopback,
                                    .address = {.bytes = {[15] = 1}},
                                    .prefix = 128,
                                    .flags = IFADDR_PERMANENT};
    FUZZ_CHECK(ifaddr_add(&lo4) == 0 && ifaddr_add(&lo6) == 0);
    stack_address(stack_ip(10, 0, 0, 1), 24);
    stack_address(stack_ip6(1), 64);
    stack_advance(20 * NS_PER_SEC);
    struct neigh_view view;
    while (neigh_list(&view, 0, 1))
        FUZZ_CHECK(neigh_remove(view.dev, &view.address) == 0);
    stack_neighbours();
}

static struct state base;

static void boot(void)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_DGRAM};
    stack_boot();
    observer = open_netlink(0);
    refused();
    for (unsigned i = 0; i < ARRAY_COUNT(types); i++) { /* for sock_diag */
        struct socket *socket;
        bool v6 = i == 2;
        struct socket_name name = {.len = v6 ? 28 : 16, .family = v6 ? AF_INET6 : AF_INET};
        put_be16(name.bytes + 2, (uint16_t)(80 + i));
        FUZZ_CHECK(socket_create(name.family, types[i], 0, &socket) == 0);
        FUZZ_CHECK(socket_file(socket, O_NONBLOCK, &listeners[i]) == 0);
        FUZZ_CHECK(socket_bind(socket, &name) == 0);
        if (types[i] == SOCK_STREAM)
            FUZZ_CHECK(socket_listen(socket, 5) == 0);
    }
    restore();
    base = look();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool booted;
    struct fuzz_input in = {data, size, 0};
    if (!booted)
        boot();
    booted = true;
    const struct stack_account before = stack_count();
    for (unsigned i = 0; i < TALKERS; i++)
        talkers[i] = open_netlink(i == 1 ? 4 : 0);
    for (unsigned steps = 0; fuzz_more(&in) && steps < STEPS_MAX; steps++)
        step(&in);
    fake_cred.euid = 0;
    for (unsigned i = 0; i < TALKERS; i++)
        file_put(talkers[i]);
    restore();
    struct state after = look();
    for (unsigned i = 0; i < 3; i++)
        FUZZ_TRACE("kind %u: %u messages %x, were %u %x\n", i, after.kind[i].messages,
                   after.kind[i].hash, base.kind[i].messages, base.kind[i].hash);
    FUZZ_CHECK(same(&base, &after));
    stack_run();
    struct stack_account now = stack_count();
    FUZZ_CHECK(memcmp(&before, &now, sizeof(now)) == 0);
    return 0;
}
