/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs kernel/net/ kernel/drv/pkt.c kernel/drv/netdev.c kernel/drv/segment.c kernel/drv/gro.c kernel/drv/loopback.c kernel/lib/checksum.c kernel/core/cmdline.c unit/fake_rcu.c */
/* covers: kernel/net/tcp_sock.c kernel/net/tcp_sock_open.c kernel/net/tcp_sock_io.c kernel/net/tcp_sock_tw.c kernel/net/tcp_sock_option.c kernel/net/udp.c kernel/net/dgram.c kernel/net/raw.c kernel/net/packet.c kernel/net/packet_tap.c kernel/net/inet.c kernel/net/inet_option.c kernel/net/inet_group.c kernel/net/inet_control.c kernel/net/inet_error.c kernel/net/flow.c kernel/net/port.c kernel/net/input.c kernel/net/option.c kernel/net/option_rare.c kernel/drv/gro.c */
/* clang-format on */
/* length: 700 */
/* runs: 500 */
/*
 * netrx_fuzz.c - the whole way from the device to the program: frames into netdev_receive, system
 * calls on sockets of every kind (TCP that listens, connects, closes; UDP; raw; packet), both
 * families and lo, in any order, with a device that is full, allocations that fail, time.
 *
 * Frames are mostly made of what the peer has seen of a connection (netrx_peer.h). What a stream's
 * reader gets are the sender's bytes for that place; a datagram is one that was sent, whole. After
 * each step an epoll instance must say of each socket what the socket says: level-triggered exactly
 * that, edge-triggered at least what is new. In the end all is closed, time passes, and no packet
 * or socket is left.
 */
#include <string.h>

#include "fs/epoll.h"
#include "fs/fcntl.h"
#include "net/packet.h"
#include "net/tcp_impl.h"
#include "netrx_peer.h"

#define SLOTS 10
#define STEPS_MAX 150
#define END_SECONDS 2000 /* after that nothing may be left: the longest retrying there is */

static struct slot {
    struct file *file;
    uint32_t before;   /* what poll said at the last look */
    uint32_t wanted;   /* level-triggered interest; 0: none */
    bool edge;         /* edge-triggered interest in EPOLLIN | EPOLLOUT */
    bool merged;       /* UDP_GRO: several datagrams may come as one */
    uint32_t reported; /* by epoll, at this look */
    uint32_t reported_edge;
} slots[SLOTS];
static struct file *level, *edge; /* epoll instances */
static uint8_t frame[4096], memory[70000];

static struct socket *sock(const struct slot *s)
{
    return s->file ? socket_of_file(s->file) : NULL;
}
static struct tcp_sock *tcp_of(const struct slot *s)
{
    struct socket *socket = sock(s);
    bool is = socket && (socket->family == AF_INET || socket->family == AF_INET6) &&
              socket->type == SOCK_STREAM;
    return is ? tcp_sock_of(inet_of(socket)) : NULL;
}
static struct slot *slot_of(struct fuzz_input *in)
{
    return &slots[fuzz_u8(in) % SLOTS];
}

/* ---- frames ---- */

/* Bytes as they are, then put right so far as a byte says. */
static uint32_t make_strange(struct fuzz_input *in, uint8_t *f)
{
    uint8_t how = fuzz_u8(in), protocol = fuzz_u8(in);
    uint32_t len = fuzz_u8(in);
    bool v6 = how & 1;
    uint8_t *h = f + (v6 ? 54 : 34);
    for (uint32_t i = 0; i < len; i++)
        h[i] = fuzz_u8(in);
    wire.strange = true;
    if (how & 2) {
        static const uint8_t known[] = {
            IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6, IPPROTO_ICMP, 0, 60, 44, 58};
        protocol = known[protocol % ARRAY_COUNT(known)];
    }
    uint32_t field = protocol == IPPROTO_TCP ? 16 : protocol == IPPROTO_UDP ? 6 : 2;
    if (how & 4 && len >= field + 2)
        put_sum(h, len, field, v6, protocol);
    uint32_t all = put_heads(f, v6, protocol, len, how >> 4, how & 8 ? fuzz_u16(in) : 0);
    if (how & 0x80) /* and one byte is another */
        f[fuzz_u8(in) % all] ^= (uint8_t)(1u << (fuzz_u8(in) & 7));
    return all;
}

/* A datagram in two or three fragments, the last one first if asked for. */
static void fragments(struct fuzz_input *in, uint16_t port)
{
    uint32_t all = make_datagram(in, frame, port), head = 34;
    uint8_t how = fuzz_u8(in), part[2048];
    uint32_t cut = how & 0xf8u;
    if (get_be16(frame + 12) != ETHERTYPE_IP4 || all <= head + cut || cut == 0)
        return;
    for (unsigned i = 0; i < 2; i++) {
        bool last = (i == 0) == (how & 1);
        uint32_t len = last ? all - head - cut : cut;
        memcpy(part + head, frame + head + (last ? cut : 0), len);
        uint32_t size =
            put_heads(part, false, IPPROTO_UDP, len, 0, last ? (uint16_t)(cut / 8) : 0x2000u);
        stack_receive(part, size, 0);
    }
}

static void one_frame(struct fuzz_input *in)
{
    static const uint16_t ports[] = {53, 1000, 32768, 80};
    uint8_t op = fuzz_u8(in);
    uint32_t len = 0, piece = 0;
    memset(frame, 0, sizeof(frame));
    if (op & 0x80)
        piece = 20 + fuzz_u8(in);
    switch (op & 0xf) {
    default:
        len = make_segment(in, frame);
        break;
    case 8:
    case 9:
        len = make_datagram(in, frame, ports[op >> 4 & 3]);
        break;
    case 10:
        fragments(in, ports[op >> 4 & 3]);
        break;
    case 11:
        len = make_icmp(in, frame);
        break;
    case 12:
        len = make_strange(in, frame);
        break;
    }
    if (len)
        stack_receive(frame, len, piece);
    if (op & 0x40)
        return; /* the device has more: it may be merged with the next */
    netdev_receive_done(&stack_dev);
}

/* ---- calls ---- */

static struct socket_name name_from(struct fuzz_input *in, bool v6)
{
    static const uint16_t ports[] = {80, 1000, 1001, 53, 0, 81};
    uint8_t which = fuzz_u8(in);
    struct net_addr address;
    uint16_t port = ports[(which >> 4) % ARRAY_COUNT(ports)];
    switch (which & 7) {
    default:
        address = peer_address(v6);
        break;
    case 3:
        address = v6 ? (struct net_addr){.bytes = {[15] = 1}} : stack_ip(127, 0, 0, 1);
        break;
    case 4:
        address = our_address(v6);
        break;
    case 5:
        address = v6 ? net_addr_any : net_addr_any_v4;
        break;
    case 6:
        address = v6 ? (struct net_addr){.bytes = {0xff, 2, [15] = 9}}
                     : stack_ip(which & 8 ? 255 : 239, which & 8 ? 255 : 1, which & 8 ? 255 : 2,
                                which & 8 ? 255 : 3);
        break;
    case 7:
        address = v6 ? peer_address(false) : stack_ip(10, 9, 9, 9); /* mapped; no way there */
        break;
    }
    struct socket_name name = {.len = v6 ? 28 : 16, .family = v6 ? AF_INET6 : AF_INET};
    put_be16(name.bytes + 2, port);
    if (v6)
        memcpy(name.bytes + 8, &address, 16);
    else
        memcpy(name.bytes + 4, address.bytes + 12, 4);
    return name;
}

static void take_file(struct slot *s, struct socket *socket)
{
    struct file *file;
    if (socket_file(socket, O_NONBLOCK, &file))
        return;
    *s = (struct slot){.file = file};
}

static void do_socket(struct fuzz_input *in)
{
    static const struct {
        int family, type, protocol;
    } kinds[] = {
        {AF_INET, SOCK_STREAM, 0},
        {AF_INET6, SOCK_STREAM, 0},
        {AF_INET, SOCK_DGRAM, 0},
        {AF_INET6, SOCK_DGRAM, 0},
        {AF_INET, SOCK_RAW, IPPROTO_ICMP},
        {AF_INET, SOCK_RAW, IPPROTO_TCP},
        {AF_INET6, SOCK_RAW, IPPROTO_ICMPV6},
        {AF_INET, SOCK_RAW, 255},
        {AF_INET, SOCK_DGRAM, IPPROTO_ICMP},
        {AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6},
        {AF_PACKET, SOCK_RAW, 0x0300},
        {AF_PACKET, SOCK_DGRAM, 0x0008},
    };
    struct slot *s = slot_of(in);
    struct socket *socket;
    uint8_t kind = fuzz_u8(in) % ARRAY_COUNT(kinds);
    if (s->file)
        return;
    FUZZ_TRACE("socket %d: kind %u\n", (int)(s - slots), kind);
    if (socket_create(kinds[kind].family, kinds[kind].type, kinds[kind].protocol, &socket) == 0)
        take_file(s, socket);
}

static void do_close(struct slot *s)
{
    struct file *file = s->file;
    if (!file)
        return;
    FUZZ_TRACE("close %d\n", (int)(s - slots));
    *s = (struct slot){.file = NULL};
    file_put(file);
}

static void do_name(struct fuzz_input *in, struct slot *s, bool connect)
{
    struct socket *socket = sock(s);
    struct socket_name name;
    if (socket->family == AF_PACKET) {
        struct sockaddr_ll to = {.family = AF_PACKET,
                                 .protocol = fuzz_u8(in) & 1 ? 0x0300 : 0x0008,
                                 .device = fuzz_u8(in) % 3};
        name = (struct socket_name){.len = sizeof(to)};
        memcpy(name.bytes, &to, sizeof(to));
    } else {
        name = name_from(in, socket->family == AF_INET6);
        if (fuzz_u8(in) >= 0xf0)
            name.family = AF_UNSPEC;
    }
    int err = connect ? socket_connect(socket, &name, true) : socket_bind(socket, &name);
    FUZZ_TRACE("%s %d: %d\n", connect ? "connect" : "bind", (int)(s - slots), err);
}

static void do_accept(struct fuzz_input *in, struct slot *s)
{
    struct slot *to = slot_of(in);
    struct socket *socket;
    if (to->file)
        return;
    int err = socket_accept(sock(s), true, &socket);
    FUZZ_TRACE("accept %d -> %d: %d\n", (int)(s - slots), (int)(to - slots), err);
    if (err == 0)
        take_file(to, socket);
}

static void do_send(struct fuzz_input *in, struct slot *s)
{
    static const uint32_t flags[] = {
        0, 0, 0, MSG_MORE, MSG_OOB, MSG_DONTROUTE, MSG_ZEROCOPY, MSG_FASTOPEN, MSG_EOR};
    static uint64_t control[16];
    struct socket *socket = sock(s);
    struct tcp_sock *ts = tcp_of(s);
    uint8_t how = fuzz_u8(in);
    uint32_t len = how & 0x80 ? fuzz_u16(in) : fuzz_u8(in), at = 0, control_len = 0;
    struct iov one;
    struct iov_iter it;
    struct socket_name name;
    if (socket->type == SOCK_RAW || socket->family == AF_PACKET || socket->protocol == IPPROTO_ICMP)
        wire.free_words = true;
    if (ts && (ts->active || ts->tp.state != TCP_CLOSED))
        at = ts->tp.written - ts->tp.iss - 1;
    for (uint32_t i = 0; i < len; i++)
        memory[i] = ours(at + i);
    iov_iter_init_kernel(&it, &one, memory, len);
    struct socket_msg msg = {.data = &it,
                             .flags = flags[(how & 0xf) % ARRAY_COUNT(flags)] | MSG_DONTWAIT};
    if (how & 0x10 && socket->family != AF_PACKET) {
        name = name_from(in, socket->family == AF_INET6);
        msg.name = &name;
    }
    if (how & 0x20) {
        control_len = 16 + fuzz_u8(in) % 24;
        control[0] = control_len;
        ((int32_t *)control)[2] = (int32_t[]){SOL_IP, SOL_IPV6, SOL_SOCKET, 17}[fuzz_u8(in) & 3];
        ((int32_t *)control)[3] = fuzz_u8(in);
        for (uint32_t i = 16; i < control_len; i++)
            ((uint8_t *)control)[i] = fuzz_u8(in);
        msg.control = uaddr((uintptr_t)control);
        msg.control_len = control_len;
    }
    long n = socket_send(socket, &msg);
    FUZZ_TRACE("send %d: %u bytes: %ld\n", (int)(s - slots), len, n);
    FUZZ_CHECK(n < 0 ? n > -600 : n <= (long)len);
}

static void check_stream(const struct tcp *tp, uint32_t at, const uint8_t *data, long n)
{
    const struct net_addr *from = &tp->key->remote;
    struct net_addr peer4 = peer_address(false), peer6 = peer_address(true);
    bool outside = net_addr_equal(from, &peer4) || net_addr_equal(from, &peer6);
    if (wire.strange || wire.free_words)
        return;
    for (long i = 0; i < n; i++, at++)
        FUZZ_CHECK(data[i] == (outside ? theirs(at) : ours(at - tp->irs - 1)));
}

static void check_datagram(const struct slot *s, const struct socket_name *name, long n,
                           uint32_t room)
{
    bool v6 = name->family == AF_INET6;
    struct net_addr from = net_addr_any, mapped = peer_address(false), peer = peer_address(v6);
    uint16_t port = get_be16(name->bytes + 2);
    if (v6)
        memcpy(&from, name->bytes + 8, 16);
    else
        from = net_addr_v4(*(const uint32_t *)(const void *)(name->bytes + 4));
    bool outside = net_addr_equal(&from, &peer) || net_addr_equal(&from, &mapped);
    if (!outside || wire.strange || wire.free_words || s->merged)
        return;
    for (uint32_t i = 0; i < MIN((uint32_t)n, room); i++)
        FUZZ_CHECK(memory[i] == datagram_byte(port, (uint32_t)n, i));
}

/* While somebody sleeps in a call the wire goes on. */
static struct fuzz_input *asleep;
static void other_thread(void *arg)
{
    (void)arg;
    if (fuzz_more(asleep))
        one_frame(asleep);
    stack_run();
}
static void while_asleep(void)
{
    fake_other_thread(other_thread, NULL);
}

static void do_recv(struct fuzz_input *in, struct slot *s)
{
    static const uint32_t flags[] = {0,           0,       MSG_PEEK,     MSG_TRUNC,
                                     MSG_WAITALL, MSG_OOB, MSG_ERRQUEUE, MSG_PEEK | MSG_TRUNC};
    static uint8_t control[256];
    struct socket *socket = sock(s);
    struct tcp_sock *ts = tcp_of(s);
    uint8_t how = fuzz_u8(in);
    uint32_t len = fuzz_u16(in), at = ts ? ts->tp.read : 0, chosen = flags[how & 7];
    struct iov one;
    struct iov_iter it;
    struct socket_name name = {.len = 0};
    bool urgent = ts && ts->tp.urgent != TCP_URGENT_NONE;
    iov_iter_init_kernel(&it, &one, memory, len);
    struct socket_msg msg = {.data = &it, .flags = chosen | (how & 8 ? 0 : MSG_DONTWAIT)};
    /* A peer's answer is looked at with its sender; MSG_TRUNC says how long it was. */
    msg.name = &name;
    if (!ts && how & 0x10)
        msg.flags |= MSG_TRUNC;
    if (how & 0x20) {
        msg.control = uaddr((uintptr_t)control);
        msg.control_len = fuzz_u8(in);
    }
    asleep = in;
    fake_sleep_hook = how & 8 ? while_asleep : NULL;
    long n = socket_recv(socket, &msg);
    fake_sleep_hook = NULL;
    FUZZ_TRACE("recv %d: %u bytes: %ld\n", (int)(s - slots), len, n);
    FUZZ_CHECK(n < 0 ? n > -600 : n <= (long)len || msg.flags & MSG_TRUNC);
    urgent |= ts && ts->tp.urgent != TCP_URGENT_NONE;
    if (n > 0 && ts && !urgent && !(chosen & (MSG_TRUNC | MSG_OOB | MSG_ERRQUEUE)))
        check_stream(&ts->tp, at, memory, n);
    if (n > 0 && socket->type == SOCK_DGRAM && socket->protocol != IPPROTO_ICMP &&
        socket->protocol != IPPROTO_ICMPV6 && socket->family != AF_PACKET &&
        msg.flags & MSG_TRUNC && !(chosen & MSG_ERRQUEUE))
        check_datagram(s, &name, n, len);
}

static void do_option(struct fuzz_input *in, struct slot *s)
{
    static const int levels[] = {SOL_SOCKET, SOL_IP, SOL_IPV6, SOL_TCP, 17, 255, SOL_PACKET, 58};
    static uint64_t value[16];
    uint8_t which = fuzz_u8(in), name = fuzz_u8(in), how = fuzz_u8(in);
    int level_of = levels[which & 7];
    int32_t small[] = {0, 1, -1, fuzz_u8(in), 70000};
    uint32_t len = how & 0x80 ? how & 0x7f : 4, len_out = how & 0x7f;
    memcpy(value, &small[how % ARRAY_COUNT(small)], 4);
    for (uint32_t i = 4; i < len; i++)
        ((uint8_t *)value)[i] = fuzz_u8(in);
    if (level_of == SOL_SOCKET && (name == 26 || name == 51)) { /* a pointer in it */
        for (unsigned i = 2; i < 10; i++)
            value[i] = fuzz_u64(in);
        value[0] = how % 8;
        value[1] = (uintptr_t)(value + 2);
        len = 16;
    }
    if (which & 0x80) {
        long err = socket_get_option(sock(s), level_of, name, uaddr((uintptr_t)value),
                                     uaddr((uintptr_t)&len_out));
        FUZZ_CHECK(err <= 0 && err > -600);
        return;
    }
    s->merged |= level_of == 17 && name == 104;
    int err = socket_set_option(sock(s), level_of, name, uaddr((uintptr_t)value), (int)len);
    FUZZ_TRACE("set %d: level %d option %d: %d\n", (int)(s - slots), level_of, name, err);
    FUZZ_CHECK(err <= 0 && err > -600);
}

static void do_watch(struct fuzz_input *in, struct slot *s)
{
    uint8_t how = fuzz_u8(in);
    uint64_t number = (uint64_t)(s - slots);
    uint32_t events = how & 1 ? POLLIN : how & 2 ? POLLOUT : POLLIN | POLLOUT | POLLRDHUP;
    if (how & 4) {
        int op = s->edge ? EPOLL_CTL_DEL : EPOLL_CTL_ADD;
        if (epoll_control(edge, op, (int)number, s->file, POLLIN | POLLOUT | EPOLLET, number) == 0)
            s->edge = !s->edge;
        s->before = 0;
        return;
    }
    int op = !s->wanted ? EPOLL_CTL_ADD : how & 8 ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    if (epoll_control(level, op, (int)number, s->file, events, number) == 0)
        s->wanted = op == EPOLL_CTL_DEL ? 0 : events;
}

static void do_call(struct fuzz_input *in, uint8_t op)
{
    struct slot *s = slot_of(in);
    int unread = 0;
    uint8_t how;
    if (!s->file)
        return;
    switch (op) {
    case 0:
        do_name(in, s, false);
        break;
    case 1:
        do_name(in, s, true);
        break;
    case 2:
        (void)!socket_listen(sock(s), fuzz_u8(in) % 5);
        break;
    case 3:
        do_accept(in, s);
        break;
    case 4:
        do_send(in, s);
        break;
    case 5:
        do_recv(in, s);
        break;
    case 6:
        (void)!socket_shutdown(sock(s), fuzz_u8(in) % 3);
        break;
    case 7:
        do_option(in, s);
        break;
    case 8:
        do_watch(in, s);
        break;
    case 9:
        how = fuzz_u8(in);
        if (sock(s)->ops->ioctl)
            (void)sock(s)->ops->ioctl(sock(s),
                                      how & 1   ? 0x541b
                                      : how & 2 ? 0x5411
                                                : 0x8905,
                                      (uintptr_t)&unread);
        break;
    }
}

/* ---- what epoll says ---- */

static bool emit(void *arg, uint32_t events, uint64_t number)
{
    FUZZ_CHECK(number < SLOTS && slots[number].file);
    if (arg)
        slots[number].reported_edge |= events;
    else
        slots[number].reported |= events;
    return true;
}

static void look(void)
{
    stack_run();
    for (unsigned i = 0; i < SLOTS; i++)
        slots[i].reported = slots[i].reported_edge = 0;
    FUZZ_CHECK(epoll_wait_events(level, SLOTS, 0, emit, NULL) >= 0);
    FUZZ_CHECK(epoll_wait_events(edge, SLOTS, 0, emit, edge) >= 0);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &slots[i];
        if (!s->file)
            continue;
        uint32_t now = file_poll(s->file, NULL);
        if (s->wanted)
            FUZZ_CHECK(s->reported == (now & (s->wanted | POLLERR | POLLHUP)));
        if (s->edge)
            FUZZ_CHECK((now & ~s->before & (POLLIN | POLLOUT) & ~s->reported_edge) == 0);
        s->before = now;
    }
}

/* ---- a run ---- */

static void step(struct fuzz_input *in)
{
    static const uint32_t times_ms[] = {1, 50, 300, 1100, 5000, 61000};
    uint8_t op = fuzz_u8(in);
    switch (op & 0x1f) {
    default: /* 16 and more */
        one_frame(in);
        break;
    case 10:
        do_socket(in);
        break;
    case 11:
        do_close(slot_of(in));
        break;
    case 12:
        stack_advance(times_ms[(op >> 5) % ARRAY_COUNT(times_ms)] * NS_PER_MS);
        break;
    case 13:
        alloc_fail_nth(1 + (op >> 5) + fuzz_u8(in) % 8);
        return; /* in the next step */
    case 14:
        stack_full = op & 0x20;
        if (!stack_full)
            netdev_wake(&stack_dev, 0);
        break;
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
        do_call(in, op & 0x1f);
        break;
    }
    alloc_fail_nth(0);
    look();
}

/* What most inputs begin with: two listeners, a UDP socket of each family, watched. */
static void open_some(uint8_t which)
{
    static const struct {
        int family, type;
        uint16_t port;
    } some[] = {{AF_INET, SOCK_STREAM, 80},
                {AF_INET6, SOCK_STREAM, 81},
                {AF_INET, SOCK_DGRAM, 53},
                {AF_INET6, SOCK_DGRAM, 1000}};
    for (unsigned i = 0; i < ARRAY_COUNT(some); i++) {
        struct socket *socket;
        bool v6 = some[i].family == AF_INET6;
        struct socket_name name = {.len = v6 ? 28 : 16, .family = (uint16_t)some[i].family};
        if (which >> i & 1)
            continue;
        put_be16(name.bytes + 2, some[i].port);
        FUZZ_CHECK(socket_create(some[i].family, some[i].type, 0, &socket) == 0);
        take_file(&slots[i], socket);
        FUZZ_CHECK(slots[i].file && socket_bind(socket, &name) == 0);
        if (some[i].type == SOCK_STREAM)
            FUZZ_CHECK(socket_listen(socket, 4) == 0);
        slots[i].wanted = POLLIN;
        slots[i].edge = true;
        FUZZ_CHECK(epoll_control(level, EPOLL_CTL_ADD, (int)i, slots[i].file, POLLIN, i) == 0);
        FUZZ_CHECK(epoll_control(edge, EPOLL_CTL_ADD, (int)i, slots[i].file,
                                 POLLIN | POLLOUT | EPOLLET, i) == 0);
    }
}

static void finish(const struct stack_account *before)
{
    alloc_fail_nth(0);
    for (unsigned i = 0; i < SLOTS; i++)
        do_close(&slots[i]);
    file_put(level);
    file_put(edge);
    stack_full = false;
    netdev_wake(&stack_dev, 0);
    netdev_receive_done(&stack_dev);
    wire.free_words = true;
    stack_advance(65 * NS_PER_SEC);
    struct stack_account now = stack_count();
    for (unsigned s = 65; memcmp(before, &now, sizeof(now)) != 0 && s < END_SECONDS; s += 60) {
        stack_advance(60 * NS_PER_SEC);
        now = stack_count();
    }
    FUZZ_TRACE("left: packets %ld sockets %ld files %ld\n", (long)(now.packets - before->packets),
               (long)(now.sockets - before->sockets), (long)(now.files - before->files));
    FUZZ_CHECK(memcmp(before, &now, sizeof(now)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool booted;
    struct fuzz_input in = {data, size, 0};
    if (!booted)
        stack_boot();
    booted = true;
    memset(&wire, 0, sizeof(wire));
    stack_sent = look_at_frame;
    const struct stack_account before = stack_count();
    FUZZ_CHECK(epoll_create_file(0, &level) == 0 && epoll_create_file(0, &edge) == 0);
    open_some(fuzz_u8(&in));
    for (unsigned steps = 0; fuzz_more(&in) && steps < STEPS_MAX; steps++)
        step(&in);
    finish(&before);
    return 0;
}
