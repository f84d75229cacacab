/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs kernel/net/ kernel/drv/pkt.c kernel/drv/netdev.c kernel/drv/segment.c kernel/drv/gro.c kernel/drv/loopback.c kernel/lib/checksum.c kernel/core/cmdline.c unit/fake_rcu.c */
/* clang-format on */
/*
 * fail_test.c - every allocation of the calls on sockets over the whole network fails once: TCP,
 * UDP, raw, packet and netlink sockets, their options, connections over lo.
 *
 * Each scenario is a function that does some calls, tolerates that memory lacks in any of them,
 * looks that what failed left nothing half done, and cleans up. sweep() runs it with the first,
 * second, ... allocation failing until none is left to fail; after each run, and the time that the
 * protocols need, packets, sockets and files are those of before.
 */
#include "../../fuzz/stack.h"

#include <cmocka.h>

#include "fs/fcntl.h"
#include "lib/errno.h"
#include "net/netlink.h"
#include "net/packet.h"
#include "net/tcp_sock.h"

#define AFTER_NS (300 * NS_PER_SEC) /* retransmissions, TIME-WAIT */

static bool no_memory(long n)
{
    return n == -ENOMEM || n == -ENOBUFS;
}
/* A call that may lack memory, and then has changed nothing: made again it does what it should. */
#define AGAIN(call) \
    do { \
        long again_n = (call); \
        if (no_memory(again_n)) \
            again_n = (call); \
        if (again_n < 0 && again_n != -EINPROGRESS) \
            fail_msg("%s:%d: %s: %ld", __FILE__, __LINE__, #call, again_n); \
    } while (0)
/* One whose packets may be lost on the way, too. */
#define FINE(call) \
    do { \
        long fine_n = (call); \
        if (fine_n < 0 && !no_memory(fine_n) && fine_n != -EAGAIN) \
            fail_msg("%s:%d: %s: %ld", __FILE__, __LINE__, #call, fine_n); \
    } while (0)

static int try_open(int family, int type, int protocol, struct file **out)
{
    struct socket *socket;
    int err = socket_create(family, type, protocol, &socket);
    return err ? err : socket_file(socket, O_NONBLOCK, out);
}
static struct file *open_socket(int family, int type, int protocol)
{
    struct file *file = NULL;
    AGAIN(try_open(family, type, protocol, &file));
    return file;
}
static struct socket *sock(struct file *file)
{
    return socket_of_file(file);
}
static struct socket_name name4(unsigned last, uint16_t port)
{
    struct socket_name name = {.len = 16, .family = AF_INET};
    put_be16(name.bytes + 2, port);
    name.bytes[4] = last ? 10 : 127;
    name.bytes[7] = last ? (uint8_t)last : 1;
    return name;
}
static struct socket_name name6(uint16_t port)
{
    struct socket_name name = {.len = 28, .family = AF_INET6};
    put_be16(name.bytes + 2, port);
    name.bytes[23] = 1;
    return name;
}

static long send_with(struct file *file, const struct socket_name *to, const void *data, size_t len,
                      uint32_t flags)
{
    struct iov one;
    struct iov_iter it;
    struct socket_name name = to ? *to : (struct socket_name){.len = 0};
    struct socket_msg msg = {.data = &it, .flags = flags | MSG_DONTWAIT, .name = to ? &name : NULL};
    iov_iter_init_kernel(&it, &one, (void *)(uintptr_t)data, len);
    long n = socket_send(sock(file), &msg);
    stack_run();
    return n;
}
static long recv_with(struct file *file, void *data, size_t len, uint32_t flags)
{
    struct iov one;
    struct iov_iter it;
    struct socket_name name;
    struct socket_msg msg = {.data = &it, .flags = flags | MSG_DONTWAIT, .name = &name};
    iov_iter_init_kernel(&it, &one, data, len);
    return socket_recv(sock(file), &msg);
}
static int set(struct file *file, int level, int option, const void *value, int len)
{
    return socket_set_option(sock(file), level, option, uaddr((uintptr_t)value), len);
}
static int set_int(struct file *file, int level, int option, int value)
{
    return set(file, level, option, &value, sizeof(value));
}

/* ---- the sweep ---- */

static unsigned sweep(void (*scenario)(void))
{
    scenario();
    stack_advance(AFTER_NS);
    const struct stack_account before = stack_count();
    unsigned n = 0;
    bool hit;
    do {
        alloc_fail_nth(++n);
        scenario();
        hit = alloc_fail_hit();
        alloc_fail_nth(0);
        stack_advance(AFTER_NS);
        const struct stack_account now = stack_count();
        if (memcmp(&before, &now, sizeof(now)) != 0)
            fail_msg("allocation %u: %lld packets, %lld objects of sockets, %lld files more", n,
                     (long long)(now.packets - before.packets),
                     (long long)(now.sockets - before.sockets),
                     (long long)(now.files - before.files));
        assert_true(n < 5000);
    } while (hit);
    assert_true(n > 1);
    return n - 1;
}

/* ---- TCP ---- */

/* All that was said to be sent arrives, in order, once memory is back. */
static void talk(struct file *from, struct file *to)
{
    static uint8_t data[20000], back[sizeof(data)];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + (i >> 8));
    long sent = send_with(from, NULL, data, sizeof(data), 0);
    FINE(sent);
    size_t got = 0;
    for (int tries = 0; sent > 0 && got < (size_t)sent && tries < 100; tries++) {
        long n = recv_with(to, back + got, sizeof(back) - got, 0);
        FINE(n);
        if (n > 0)
            got += (size_t)n;
        else
            stack_advance(NS_PER_SEC);
    }
    if (sent > 0) {
        assert_int_equal(got, sent);
        assert_memory_equal(data, back, got);
    }
}

static struct file *accept_from(struct file *l)
{
    struct file *s;
    for (int i = 0; i < 20; i++) { /* a SYN that was lost comes again */
        stack_advance(i ? NS_PER_SEC : 0);
        if (socket_accept_file(sock(l), true, O_NONBLOCK, &s) == 0)
            return s;
    }
    fail_msg("a connection was lost for want of memory");
    return NULL;
}

static void tcp_between(const struct socket_name *name)
{
    struct file *l = open_socket(name->family, SOCK_STREAM, 0);
    AGAIN(socket_bind(sock(l), name));
    AGAIN(socket_listen(sock(l), 5));
    struct file *c = open_socket(name->family, SOCK_STREAM, 0);
    AGAIN(socket_connect(sock(c), name, true));
    struct file *s = accept_from(l);
    talk(c, s);
    talk(s, c);
    AGAIN(socket_shutdown(sock(c), SHUT_WR));
    stack_run();
    file_put(s);
    file_put(c);
    file_put(l);
    stack_run();
}

static void scenario_tcp4(void)
{
    const struct socket_name name = name4(0, 80);
    tcp_between(&name);
}
static void scenario_tcp6(void)
{
    const struct socket_name name = name6(80);
    tcp_between(&name);
}

/* Attempts that fail, bind, the end of a listener, a client after that. */
static void scenario_tcp_anew(void)
{
    const struct socket_name name = name4(0, 81), none = {.len = 16, .family = AF_UNSPEC};
    struct file *f = open_socket(AF_INET, SOCK_STREAM, 0);
    AGAIN(socket_connect(sock(f), &name, true));
    stack_advance(10 * NS_PER_SEC);
    AGAIN(socket_connect(sock(f), &none, true));
    AGAIN(socket_bind(sock(f), &name));
    AGAIN(socket_listen(sock(f), 3));
    AGAIN(socket_connect(sock(f), &none, true));
    AGAIN(socket_listen(sock(f), 3));
    AGAIN(socket_shutdown(sock(f), SHUT_RD));
    struct file *l = open_socket(AF_INET, SOCK_STREAM, 0);
    const struct socket_name other = name4(0, 82);
    AGAIN(socket_bind(sock(l), &other));
    AGAIN(socket_listen(sock(l), 3));
    AGAIN(socket_connect(sock(f), &other, true));
    file_put(accept_from(l));
    file_put(f);
    file_put(l);
    stack_run();
}

/* The first time it learns a cookie, the second time its SYN carries the data. */
static void scenario_fast_open(void)
{
    const struct socket_name name = name4(0, 84);
    char back[8];
    struct file *l = open_socket(AF_INET, SOCK_STREAM, 0);
    AGAIN(socket_bind(sock(l), &name));
    AGAIN(set_int(l, SOL_TCP, 23, 5)); /* TCP_FASTOPEN */
    AGAIN(socket_listen(sock(l), 5));
    for (int i = 0; i < 2; i++) {
        struct file *c = open_socket(AF_INET, SOCK_STREAM, 0);
        AGAIN(send_with(c, &name, "early", 5, MSG_FASTOPEN));
        struct file *s = accept_from(l);
        stack_advance(5 * NS_PER_SEC);
        long n = recv_with(s, back, sizeof(back), 0);
        assert_true(n == 5 || n == -EAGAIN);
        file_put(s);
        file_put(c);
    }
    file_put(l);
    stack_run();
}

/* ---- datagrams ---- */

static void datagrams(int type, int protocol, const struct socket_name *to)
{
    struct file *a = open_socket(to->family, type, protocol);
    struct file *b = open_socket(to->family, type, protocol);
    static uint8_t data[3000], back[4000];
    data[0] = 8; /* an echo request, to ping sockets */
    if (type == SOCK_DGRAM)
        AGAIN(socket_bind(sock(b), to));
    AGAIN(send_with(a, to, data, 100, 0));
    AGAIN(send_with(a, to, data, 100, MSG_MORE));
    AGAIN(send_with(a, to, data, sizeof(data), 0));
    AGAIN(socket_connect(sock(a), to, true));
    AGAIN(set_int(a, SOL_IP, 11, 1)); /* IP_RECVERR */
    AGAIN(send_with(a, NULL, data, 200, 0));
    while (recv_with(b, back, sizeof(back), 0) >= 0)
        ;
    (void)!recv_with(a, back, sizeof(back), MSG_ERRQUEUE);
    file_put(a);
    file_put(b);
    stack_run();
}

static void scenario_udp(void)
{
    const struct socket_name to = name4(0, 5000);
    datagrams(SOCK_DGRAM, 0, &to);
}
static void scenario_udp6(void)
{
    const struct socket_name to = name6(5000);
    datagrams(SOCK_DGRAM, 0, &to);
}
static void scenario_raw(void)
{
    const struct socket_name to = name4(0, 0);
    datagrams(SOCK_RAW, 200, &to);
}
static void scenario_ping(void)
{
    const struct socket_name to = name4(0, 0);
    datagrams(SOCK_DGRAM, IPPROTO_ICMP, &to);
}
/* Somebody complains; to a neighbour that is looked for. */
static void scenario_errors(void)
{
    const struct socket_name closed = name4(0, 9), away = name4(77, 9);
    struct file *f = open_socket(AF_INET, SOCK_DGRAM, 0);
    uint8_t back[100];
    AGAIN(set_int(f, SOL_IP, 11, 1));
    AGAIN(send_with(f, &closed, "x", 1, 0));
    (void)!recv_with(f, back, sizeof(back), MSG_ERRQUEUE);
    (void)!recv_with(f, back, sizeof(back), 0);
    AGAIN(send_with(f, &away, "y", 1, 0));
    file_put(f);
    stack_advance(60 * NS_PER_SEC);
    struct neigh_view view; /* it is looked for anew each time */
    for (unsigned i = 0; neigh_list(&view, i, 1);)
        if (view.address.bytes[15] == 77)
            assert_int_equal(neigh_remove(view.dev, &view.address), 0);
        else
            i++;
}

/* Cut into fragments and put together again; a datagram may get lost, but not change. */
static void fragments_to(struct socket_name to)
{
    static uint8_t data[20000], back[sizeof(data)];
    struct file *a = open_socket(to.family, SOCK_DGRAM, 0);
    struct file *b = open_socket(to.family, SOCK_DGRAM, 0);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + (i >> 8));
    assert_int_equal(netdev_set_mtu(&loopback, 1500), 0);
    AGAIN(socket_bind(sock(b), &to));
    AGAIN(send_with(a, &to, data, sizeof(data), 0));
    long n = recv_with(b, back, sizeof(back), 0);
    assert_true(n == -EAGAIN || n == (long)sizeof(data));
    if (n > 0)
        assert_memory_equal(data, back, sizeof(data));
    file_put(a);
    file_put(b);
    stack_advance(60 * NS_PER_SEC);
    assert_int_equal(netdev_set_mtu(&loopback, 65536), 0);
}
static void scenario_fragments(void)
{
    fragments_to(name4(0, 5001));
    fragments_to(name6(5001));
}

/* ---- options ---- */

static void scenario_options(void)
{
    struct {
        uint16_t count;
        uint8_t pad[6];
        uint64_t code;
    } program;
    static const uint64_t code[] = {0x0000ffff00000006ull};
    const struct {
        uint8_t group[4], address[4];
        int32_t device;
    } mreq = {{224, 1, 2, 3}, {0}, 2};
    const struct {
        uint8_t group[16];
        int32_t device;
    } mreq6 = {{0xff, 2, [15] = 9}, 2};
    const uint64_t rate = 1000, clock = 1;
    struct file *f = open_socket(AF_INET, SOCK_DGRAM, 0);
    program.count = 1;
    program.code = (uintptr_t)code;
    AGAIN(set(f, SOL_SOCKET, 26, &program, sizeof(program)));
    AGAIN(set(f, SOL_SOCKET, 26, &program, sizeof(program))); /* in its place */
    AGAIN(set(f, SOL_SOCKET, 47, &rate, sizeof(rate)));
    AGAIN(set(f, SOL_SOCKET, 61, &clock, sizeof(clock)));
    AGAIN(set_int(f, SOL_IP, 50, 0x02000000));
    AGAIN(set_int(f, SOL_IP, 51, 40000));
    AGAIN(set_int(f, SOL_SOCKET, SO_REUSEPORT, 1));
    AGAIN(set(f, SOL_SOCKET, 51, &program, sizeof(program)));
    AGAIN(set(f, SOL_IP, 35, &mreq, sizeof(mreq)));
    AGAIN(set(f, SOL_IP, 36, &mreq, sizeof(mreq)));
    AGAIN(set(f, SOL_IP, 35, &mreq, sizeof(mreq)));
    file_put(f);
    f = open_socket(AF_INET6, SOCK_DGRAM, 0);
    AGAIN(set(f, SOL_IPV6, 20, &mreq6, sizeof(mreq6)));
    AGAIN(set(f, SOL_IPV6, 21, &mreq6, sizeof(mreq6)));
    AGAIN(set(f, SOL_IPV6, 20, &mreq6, sizeof(mreq6)));
    file_put(f);
    stack_run();
}

/* ---- AF_PACKET ---- */

static void packets(int version) /* of the ring: TPACKET_V1, TPACKET_V3 */
{
    const struct {
        uint32_t block_size, blocks, frame_size, frames, timeout_ms, private, features;
    } ring = {4096, 2, 2048, 4, 10, 0, 0};
    const struct {
        int32_t device;
        uint16_t kind, len;
        uint8_t address[8];
    } member = {2, 1, 0, {0}};                                          /* PACKET_MR_PROMISC */
    const struct socket_name all = {.len = 20, .bytes = {17, 0, 0, 3}}; /* ETH_P_ALL */
    const struct socket_name to = name4(0, 9);
    struct file *p = open_socket(17, SOCK_RAW, 0), *u = open_socket(AF_INET, SOCK_DGRAM, 0);
    uint8_t back[2000];
    AGAIN(socket_bind(sock(p), &all));
    AGAIN(set(p, 263, 1, &member, sizeof(member)));
    AGAIN(send_with(u, &to, "seen", 4, 0));
    (void)!recv_with(p, back, sizeof(back), 0);
    AGAIN(set_int(p, 263, 10, version));
    AGAIN(set(p, 263, 5, &ring, version == 2 ? sizeof(ring) : sizeof(ring) - 12));
    file_put(u);
    u = open_socket(AF_INET, SOCK_DGRAM, 0);
    AGAIN(send_with(u, &to, "in a ring", 9, 0));
    file_put(u);
    file_put(p);
    stack_run();
}
static void scenario_packet(void)
{
    packets(0);
}
static void scenario_ring3(void)
{
    packets(2);
}

/* ---- AF_NETLINK ---- */

/* The error that it was answered with; -ENOBUFS: the answer had no room. */
static int ask_once(struct file *f, uint16_t type, uint16_t flags, const void *body, uint32_t len)
{
    static uint8_t message[256], back[16384];
    struct nlmsghdr header = {.len = 16 + len, .type = type, .flags = (uint16_t)(1 | flags)};
    int err = -ENOBUFS;
    memcpy(message, &header, sizeof(header));
    memcpy(message + 16, body, len);
    long n = send_with(f, NULL, message, header.len, 0);
    if (n < 0)
        return (int)n;
    while ((n = recv_with(f, back, sizeof(back), 0)) > 0 || no_memory(n)) {
        memcpy(&header, back, sizeof(header));
        if (n > 0 && header.type == NLMSG_ERROR)
            memcpy(&err, back + 16, sizeof(err));
        else if (n > 0)
            err = 0;
    }
    return err;
}
/* already: what it says if it was done, and only the answer was lost; 0: it can be done twice. */
static void ask(struct file *f, uint16_t type, uint16_t flags, const void *body, uint32_t len,
                int already)
{
    int err = ask_once(f, type, flags, body, len);
    if (no_memory(err)) {
        err = ask_once(f, type, flags, body, len);
        if (already && err == already)
            err = 0;
    }
    if (err)
        fail_msg("netlink message %u: %d", type, err);
}

static void scenario_netlink(void)
{
    static const uint16_t dumps[] = {18, 22, 26, 30}; /* RTM_GETLINK, ADDR, ROUTE, NEIGH */
    const uint8_t route[] = {
        2, 24, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0, /* rtmsg: 192.0.2.0/24 */
        8, 0,  1, 0, 192, 0, 2, 0,             /* RTA_DST */
        8, 0,  5, 0, 10,  0, 0, 9,             /* RTA_GATEWAY */
    };
    const uint8_t address[] = {
        2, 24, 0, 0, 2,  0, 0, 0, /* ifaddrmsg: eth0 */
        8, 0,  2, 0, 10, 0, 1, 1, /* IFA_LOCAL */
    };
    const uint8_t neighbour[] = {
        2,  0, 0, 0, 2,  0, 0, 0,  0x80, 0,  0, 0, /* ndmsg: eth0, permanent */
        8,  0, 1, 0, 10, 0, 0, 55,                 /* NDA_DST */
        10, 0, 2, 0, 2,  0, 0, 0,  0,    55, 0, 0, /* NDA_LLADDR */
    };
    const uint8_t any[16] = {0};
    struct {
        uint16_t family, pad;
        uint32_t port, groups;
    } groups = {16, 0, 0, 0xffff};
    struct socket_name name = {.len = sizeof(groups)};
    struct file *hears = open_socket(16, SOCK_RAW, 0), *f = open_socket(16, SOCK_RAW, 0);
    uint8_t back[4096];
    memcpy(name.bytes, &groups, sizeof(groups));
    AGAIN(socket_bind(sock(hears), &name));
    for (unsigned i = 0; i < ARRAY_COUNT(dumps); i++)
        ask(f, dumps[i], 0x300, any, sizeof(any), 0);
    ask(f, 24, 0x604, route, sizeof(route), -EEXIST); /* RTM_NEWROUTE: create, exclusive, ack */
    ask(f, 25, 4, route, sizeof(route), -ESRCH);
    ask(f, 20, 0x604, address, sizeof(address), -EEXIST); /* RTM_NEWADDR */
    stack_advance(10 * NS_PER_SEC);
    ask(f, 21, 4, address, sizeof(address), -EADDRNOTAVAIL);
    ask(f, 28, 0x604, neighbour, sizeof(neighbour), -EEXIST); /* RTM_NEWNEIGH */
    ask(f, 29, 4, neighbour, sizeof(neighbour), -ENOENT);
    while (recv_with(hears, back, sizeof(back), 0) > 0)
        ;
    file_put(f);
    file_put(hears);
    stack_run();
}

static void scenario_diag(void)
{
    uint8_t request[56] = {AF_INET, IPPROTO_TCP, 0xff, 0, 0xff, 0xff, 0xff, 0xff};
    const struct socket_name name = name4(0, 83);
    struct file *l = open_socket(AF_INET, SOCK_STREAM, 0), *f = open_socket(16, SOCK_RAW, 4);
    AGAIN(socket_bind(sock(l), &name));
    AGAIN(socket_listen(sock(l), 1));
    ask(f, 20, 0x300, request, sizeof(request), 0);
    file_put(l);
    file_put(f);
    stack_run();
}

static void everything(void **state)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } scenarios[] = {
        {"tcp4", scenario_tcp4},           {"tcp6", scenario_tcp6},
        {"tcp anew", scenario_tcp_anew},   {"udp", scenario_udp},
        {"udp6", scenario_udp6},           {"raw", scenario_raw},
        {"ping", scenario_ping},           {"errors", scenario_errors},
        {"options", scenario_options},     {"packet", scenario_packet},
        {"ring", scenario_ring3},          {"netlink", scenario_netlink},
        {"diag", scenario_diag},           {"fragments", scenario_fragments},
        {"fast open", scenario_fast_open},
    };
    (void)state;
    stack_boot();
    for (size_t i = 0; i < ARRAY_COUNT(scenarios); i++) {
        printf("%s: ", scenarios[i].name);
        fflush(stdout);
        printf("%u allocations\n", sweep(scenarios[i].run));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
