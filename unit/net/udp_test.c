/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs kernel/net/socket.c kernel/net/option.c kernel/net/option_rare.c kernel/net/bpf.c kernel/net/bpf_socket.c kernel/net/control.c kernel/net/inet.c kernel/net/inet_option.c kernel/net/inet_group.c kernel/net/inet_control.c kernel/net/inet_error.c kernel/net/port.c kernel/net/udp.c kernel/net/dgram.c kernel/net/flow.c kernel/net/classify.c kernel/drv/pkt.c kernel/lib/checksum.c unit/fake_rcu.c */
/* clang-format on */
/*
 * udp_test.c - UDP sockets: names, who may have which port, who gets what, errors, options, control
 * messages. Connecting is in udp_connect_test.c.
 */
#include "net/udp_world.h"

/* ---- tests ---- */

static void there_and_back(void **state)
{
    struct file *a = bound(AF_INET, v4(10, 0, 0, 1), 5000), *b = make(AF_INET);
    struct socket_name to = name4(v4(10, 0, 0, 1), 5000), from;
    char buf[64];
    (void)state;
    assert_int_equal(recv_from(a, buf, sizeof buf, 0, NULL), -EAGAIN);
    assert_int_equal(file_poll(a, NULL) & POLLIN, 0);
    assert_int_equal(send_to(b, NULL, "x", 1, 0), -EDESTADDRREQ);
    assert_int_equal(send_to(b, &to, "hello", 5, 0), 5);
    assert_true(file_poll(a, NULL) & POLLIN);
    int unread = 0;
    assert_int_equal(sock(a)->ops->ioctl(sock(a), 0x541b, (uintptr_t)&unread), 0);
    assert_int_equal(unread, 5);
    assert_int_equal(recv_from(a, buf, sizeof buf, MSG_PEEK, NULL), 5);
    assert_int_equal(recv_from(a, buf, 3, MSG_PEEK | MSG_TRUNC, &from), 5);
    assert_true(last.result & MSG_TRUNC);
    assert_int_equal(recv_from(a, buf, sizeof buf, 0, &from), 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(port_of(&from), local_port(b));
    assert_true(local_port(b) >= PORT_EPHEMERAL_FIRST && local_port(b) <= PORT_EPHEMERAL_LAST);
    assert_int_equal(send_to(a, &from, "", 0, 0), 0); /* an empty datagram is one */
    assert_int_equal(recv_from(b, buf, sizeof buf, 0, NULL), 0);
    static char large[65507], got[65507];
    memset(large, 'q', sizeof large);
    large[40000] = 'z';
    assert_int_equal(send_to(b, &to, large, 65508, 0), -EMSGSIZE);
    assert_int_equal(send_to(b, &to, large, sizeof large, 0), sizeof large);
    assert_int_equal(recv_from(a, got, sizeof got, 0, NULL), sizeof got);
    assert_memory_equal(large, got, sizeof got);
    assert_int_equal(recv_from(a, buf, sizeof buf, 0, NULL), -EAGAIN);
    file_put(a);
    file_put(b);
}

static unsigned polled;
static void note_poll(struct waiter *w, uint32_t events)
{
    (void)w;
    polled += (events & POLLIN) != 0;
}

static void send_one(void *file)
{
    struct socket_name to = name4(v4(10, 0, 0, 1), 5000);
    assert_int_equal(send_to(file, &to, "x", 1, 0), 1); /* and its works */
}

/* Who delivers while somebody has the lock leaves the packet to him. */
static void what_comes_under_the_lock_is_told(void **state)
{
    struct file *a = bound(AF_INET, v4(10, 0, 0, 1), 5000), *b = make(AF_INET);
    struct waiter w;
    (void)state;
    polled = 0;
    waitq_add(&sock(a)->wait, &w, note_poll);
    inet_lock(inet_of(sock(a)));
    fake_other_thread(send_one, b);
    assert_int_equal(polled, 0);
    inet_unlock(inet_of(sock(a)));
    assert_int_equal(polled, 1);
    waitq_remove(&w);
    file_put(a);
    file_put(b);
}

static void who_may_have_a_port(void **state)
{
    struct net_addr any = net_addr_any_v4, one = v4(10, 0, 0, 1), lo = v4(127, 0, 0, 1);
    (void)state;
    static const struct {
        uint8_t first, second; /* 0: any, 1: 10.0.0.1, 2: 127.0.0.1, 3: ::, 4: :: v6 only */
        uint8_t reuse;         /* 1: both SO_REUSEADDR, 2: both SO_REUSEPORT, 4: the first only */
        bool ok;
    } cases[] = {
        {1, 1, 0, false}, {1, 2, 0, true},  {0, 1, 0, false}, {1, 0, 0, false}, {1, 1, 1, true},
        {1, 1, 2, true},  {1, 1, 4, false}, {0, 0, 1, true},  {3, 1, 0, false}, {1, 3, 0, false},
        {4, 1, 0, true},  {1, 4, 0, true},  {3, 3, 0, false}, {3, 4, 0, false}, {0, 4, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct file *file[2];
        int result[2];
        for (int j = 0; j < 2; j++) {
            uint8_t kind = j ? cases[i].second : cases[i].first;
            struct socket_name name = kind >= 3 ? name6(net_addr_any, 700)
                                                : name4(kind == 0   ? any
                                                        : kind == 1 ? one
                                                                    : lo,
                                                        700);
            file[j] = make(kind >= 3 ? AF_INET6 : AF_INET);
            if (kind == 4)
                assert_int_equal(set_int(file[j], SOL_IPV6, 26, 1), 0);
            if (cases[i].reuse == 1 || (cases[i].reuse == 4 && j == 0))
                assert_int_equal(set_int(file[j], SOL_SOCKET, SO_REUSEADDR, 1), 0);
            if (cases[i].reuse == 2)
                assert_int_equal(set_int(file[j], SOL_SOCKET, SO_REUSEPORT, 1), 0);
            result[j] = socket_bind(sock(file[j]), &name);
        }
        assert_int_equal(result[0], 0);
        if (result[1] != (cases[i].ok ? 0 : -EADDRINUSE))
            fail_msg("case %zu: %d", i, result[1]);
        file_put(file[0]);
        file_put(file[1]);
    }
    struct file *f = make(AF_INET);
    struct socket_name bad = name4(v4(8, 8, 8, 8), 1000), wrong = name6(net_addr_any, 1000);
    assert_int_equal(socket_bind(sock(f), &bad), -EADDRNOTAVAIL);
    assert_int_equal(socket_bind(sock(f), &wrong), -EAFNOSUPPORT);
    bad.len = 8;
    assert_int_equal(socket_bind(sock(f), &bad), -EINVAL);
    struct socket_name good = name4(any, 0);
    assert_int_equal(socket_bind(sock(f), &good), 0);
    assert_int_equal(socket_bind(sock(f), &good), -EINVAL); /* twice */
    file_put(f);
}

static void both_families(void **state)
{
    struct file *six = bound(AF_INET6, net_addr_any, 80), *c = make(AF_INET), *c6 = make(AF_INET6);
    struct socket_name to4 = name4(v4(10, 0, 0, 1), 80), to6 = name6(v6(1), 80), from;
    char buf[8];
    (void)state;
    assert_int_equal(send_to(c, &to4, "4", 1, 0), 1);
    assert_int_equal(recv_from(six, buf, 8, 0, &from), 1);
    assert_int_equal(from.len, 28);
    assert_memory_equal(from.bytes + 8, ((uint8_t[16]){[10] = 0xff, 0xff, 10, 0, 0, 1}), 16);
    assert_int_equal(send_to(six, &from, "r", 1, 0), 1); /* and back through the mapped address */
    assert_int_equal(recv_from(c, buf, 8, 0, &from), 1);
    assert_int_equal(from.len, 16);
    assert_int_equal(send_to(c6, &to6, "6", 1, 0), 1);
    assert_int_equal(recv_from(six, buf, 8, 0, &from), 1);
    assert_int_equal(buf[0], '6');
    assert_int_equal(set_int(c6, SOL_IPV6, 26, 1), -EINVAL); /* bound already */
    file_put(c6);
    c6 = make(AF_INET6);
    assert_int_equal(set_int(c6, SOL_IPV6, 26, 1), 0);
    struct socket_name mapped = name6(v4(10, 0, 0, 1), 80);
    assert_int_equal(send_to(c6, &mapped, "m", 1, 0), -ENETUNREACH);
    assert_int_equal(send_to(c, &to6, "m", 1, 0), -EAFNOSUPPORT);
    file_put(six);
    file_put(c);
    file_put(c6);
}

static void buffers_are_bounded(void **state)
{
    struct file *a = bound(AF_INET, v4(10, 0, 0, 1), 5000), *b = make(AF_INET);
    struct socket_name to = name4(v4(10, 0, 0, 1), 5000);
    char buf[600];
    unsigned got = 0;
    (void)state;
    memset(buf, 1, sizeof buf);
    assert_int_equal(set_int(a, SOL_SOCKET, 8, 4096), 0); /* SO_RCVBUF: 8192 */
    for (int i = 0; i < 100; i++)
        assert_int_equal(send_to(b, &to, buf, sizeof buf, 0), sizeof buf);
    while (recv_from(a, buf, sizeof buf, 0, NULL) > 0)
        got++;
    assert_true(got >= 4 && got < 14 && got == delivered);
    assert_int_equal(inet_of(sock(a))->flow.channel.bytes, 0);
    assert_int_equal(send_to(b, &to, buf, sizeof buf, 0), sizeof buf); /* there is room again */
    assert_int_equal(recv_from(a, buf, sizeof buf, 0, NULL), sizeof buf);
    file_put(a);
    file_put(b);
}

/* A datagram may be shorter than the packet that brings it. What is cut off is given back, too. */
static void what_is_cut_off_is_not_charged(void **state)
{
    struct file *a = bound(AF_INET, v4(10, 0, 0, 1), 5000), *b = make(AF_INET);
    struct socket_name to = name4(v4(10, 0, 0, 1), 5000);
    char buf[8];
    (void)state;
    tail = 2000;
    assert_int_equal(send_to(b, &to, "abc", 3, 0), 3);
    tail = 0;
    assert_int_equal(recv_from(a, buf, sizeof buf, 0, NULL), 3);
    assert_int_equal(inet_of(sock(a))->flow.channel.bytes, 0);
    file_put(a);
    file_put(b);
}

static void corked(void **state)
{
    struct file *a = bound(AF_INET, v4(10, 0, 0, 1), 5000), *b = make(AF_INET);
    struct socket_name to = name4(v4(10, 0, 0, 1), 5000);
    char buf[64];
    (void)state;
    assert_int_equal(send_to(b, &to, "one ", 4, MSG_MORE), 4);
    assert_int_equal(send_to(b, &to, "two ", 4, MSG_MORE), 4);
    assert_int_equal(recv_from(a, buf, sizeof buf, 0, NULL), -EAGAIN);
    assert_int_equal(send_to(b, &to, "three", 5, 0), 5);
    assert_int_equal(recv_from(a, buf, sizeof buf, 0, NULL), 13);
    assert_memory_equal(buf, "one two three", 13);
    assert_int_equal(set_int(b, 17, 1, 1), 0); /* UDP_CORK */
    assert_int_equal(send_to(b, &to, "x", 1, 0), 1);
    assert_int_equal(recv_from(a, buf, sizeof buf, 0, NULL), -EAGAIN);
    assert_int_equal(set_int(b, 17, 1, 0), 0);
    run_works();
    assert_int_equal(recv_from(a, buf, sizeof buf, 0, NULL), 1);
    assert_int_equal(send_to(b, &to, "left over", 9, MSG_MORE), 9); /* freed with the socket */
    file_put(a);
    file_put(b);
}

static void segments(void **state)
{
    struct file *b = make(AF_INET);
    struct socket_name to = name4(v4(10, 0, 0, 7), 5000);
    static char buf[30000];
    (void)state;
    assert_int_equal(set_int(b, 17, 103, 1400), 0); /* UDP_SEGMENT */
    assert_int_equal(send_to(b, &to, buf, 4000, 0), 4000);
    assert_non_null(sent);
    assert_int_equal(sent->gso, PKT_GSO_UDP);
    assert_int_equal(sent->gso_size, 1400);
    assert_int_equal(send_to(b, &to, buf, 1400, 0), 1400);
    assert_int_equal(sent->gso, PKT_GSO_NONE);
    assert_int_equal(set_int(b, 17, 103, 1473), 0); /* more than the path takes */
    assert_int_equal(send_to(b, &to, buf, 4000, 0), -EINVAL);
    assert_int_equal(set_int(b, 17, 103, 100), 0); /* 300 segments */
    assert_int_equal(send_to(b, &to, buf, sizeof buf, 0), -EINVAL);
    assert_int_equal(set_int(b, 17, 103, 70000), -EINVAL);
    file_put(b);
}

static void errors_come_back(void **state)
{
    struct file *c = make(AF_INET), *u = make(AF_INET);
    struct socket_name to = name4(v4(10, 0, 0, 7), 9), from;
    char buf[8];
    (void)state;
    assert_int_equal(socket_connect(sock(c), &to, true), 0);
    assert_int_equal(send_to(u, &to, "x", 1, 0), 1);
    struct ip_error error = {.key = inet_of(sock(c))->flow.key,
                             .error = 111,
                             .hard = true,
                             .type = 3,
                             .code = 3,
                             .offender = v4(10, 0, 0, 7)};
    tell(c, &error);
    assert_true(file_poll(c, NULL) & POLLERR);
    assert_int_equal(recv_from(c, buf, 8, 0, NULL), -111);
    assert_int_equal(recv_from(c, buf, 8, 0, NULL), -EAGAIN); /* told once */
    tell(c, &error);
    assert_int_equal(send_to(c, NULL, "x", 1, 0), -111);
    error.hard = false; /* a network that is unreachable for now */
    tell(c, &error);
    assert_int_equal(send_to(c, NULL, "x", 1, 0), 1);
    error.hard = true; /* without a peer nobody is told, unless it asks */
    tell(u, &error);
    assert_int_equal(recv_from(u, buf, 8, 0, NULL), -EAGAIN);
    assert_int_equal(set_int(u, SOL_IP, 11, 1), 0); /* IP_RECVERR */
    tell(u, &error);
    assert_true(file_poll(u, NULL) & POLLERR);
    struct {
        uint64_t len;
        int32_t level, type;
        uint32_t err;
        uint8_t origin, icmp_type, icmp_code, pad;
        uint32_t info, data;
        uint8_t offender[16];
    } control;
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, buf, sizeof buf);
    struct socket_msg msg = {.data = &it,
                             .flags = MSG_ERRQUEUE,
                             .name = &from,
                             .control = uaddr((uintptr_t)&control),
                             .control_len = sizeof control};
    assert_int_equal(socket_recv(sock(u), &msg), 0);
    assert_true(msg.result & MSG_ERRQUEUE);
    assert_int_equal(port_of(&from), 9);
    assert_int_equal(control.len, 48);
    assert_int_equal(control.err, 111);
    assert_int_equal(control.origin, 2);
    assert_int_equal(control.icmp_type, 3);
    assert_memory_equal(control.offender + 4, ((uint8_t[]){10, 0, 0, 7}), 4);
    assert_int_equal(socket_recv(sock(u), &msg), -EAGAIN);
    assert_int_equal(file_poll(u, NULL) & POLLERR, 0);
    /* Who asks for a message when there is none takes no other error away. */
    tell(c, &error);
    assert_int_equal(socket_recv(sock(c), &msg), -EAGAIN);
    assert_int_equal(recv_from(c, buf, 8, 0, NULL), -111);
    file_put(c);
    file_put(u);
}

/* A full device is told to who asked for it, and counted. */
static void what_is_not_sent_is_counted(void **state)
{
    struct file *file = bound(AF_INET, v4(10, 0, 0, 1), 5000);
    struct socket_name there = name4(v4(10, 0, 0, 2), 9), nowhere = name4(v4(99, 0, 0, 2), 9);
    uint64_t out = counted[MIB_Udp_OutDatagrams], full = counted[MIB_Udp_SndbufErrors];
    uint64_t no_route = counted[MIB_Ip_OutNoRoutes];
    (void)state;
    output_error = -ENOBUFS;
    assert_int_equal(send_to(file, &there, "x", 1, 0), 1);
    assert_int_equal(set_int(file, SOL_IP, 11 /* IP_RECVERR */, 1), 0);
    assert_int_equal(send_to(file, &there, "x", 1, 0), -ENOBUFS);
    output_error = 0;
    assert_int_equal(counted[MIB_Udp_SndbufErrors], full + 2);
    assert_int_equal(counted[MIB_Udp_OutDatagrams], out);
    assert_int_equal(send_to(file, &there, "x", 1, 0), 1);
    assert_int_equal(counted[MIB_Udp_OutDatagrams], out + 1);
    assert_int_equal(send_to(file, &nowhere, "x", 1, 0), -ENETUNREACH);
    assert_int_equal(counted[MIB_Ip_OutNoRoutes], no_route + 1);
    assert_int_equal(counted[MIB_Udp_OutDatagrams], out + 1);
    file_put(file);
}

static void told_about_packets(void **state)
{
    struct file *a = bound(AF_INET, net_addr_any_v4, 5000), *b = make(AF_INET);
    struct socket_name to = name4(v4(10, 0, 0, 1), 5000);
    struct {
        uint64_t len;
        int32_t level, type;
        uint8_t data[16];
    } got[3];
    char buf[8];
    (void)state;
    memset(got, 0, sizeof got);
    assert_int_equal(set_int(a, SOL_IP, 8, 1), 0);  /* IP_PKTINFO */
    assert_int_equal(set_int(a, SOL_IP, 12, 1), 0); /* IP_RECVTTL */
    assert_int_equal(set_int(b, SOL_IP, 2, 33), 0); /* IP_TTL */
    assert_int_equal(set_int(b, SOL_IP, 2, 256), -EINVAL);
    assert_int_equal(send_to(b, &to, "x", 1, 0), 1);
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, buf, sizeof buf);
    struct socket_msg msg = {
        .data = &it, .control = uaddr((uintptr_t)got), .control_len = sizeof got};
    assert_int_equal(socket_recv(sock(a), &msg), 1);
    assert_int_equal(got[0].type, 8);
    assert_int_equal(got[0].len, 28);
    assert_int_equal(got[0].data[0], wire.index);
    assert_memory_equal(got[0].data + 8, ((uint8_t[]){10, 0, 0, 1}), 4);
    assert_int_equal(got[1].type, 2);
    assert_int_equal(got[1].data[0], 33);
    assert_int_equal(msg.control_len, sizeof got - 32 - 24);
    file_put(a);
    file_put(b);
}

/* IP_PKTINFO chooses a device for one datagram, whatever way the last one went. */
static void device_of_one_datagram(void **state)
{
    struct file *b = make(AF_INET);
    struct socket_name to = name4(v4(10, 0, 0, 7), 9);
    struct {
        uint64_t len;
        int32_t level, type, device;
        uint32_t local, dest, pad;
    } control = {.len = 28, .level = SOL_IP, .type = 8, .device = 2};
    struct iov one;
    struct iov_iter it;
    char byte = 'x';
    (void)state;
    assert_int_equal(send_to(b, &to, "x", 1, 0), 1);
    assert_int_equal(asked_device, 0);
    iov_iter_init_kernel(&it, &one, &byte, 1);
    struct socket_msg msg = {.data = &it,
                             .flags = MSG_DONTWAIT,
                             .name = &to,
                             .control = uaddr((uintptr_t)&control),
                             .control_len = sizeof control};
    assert_int_equal(socket_send(sock(b), &msg), 1);
    assert_int_equal(asked_device, 2);
    assert_int_equal(send_to(b, &to, "x", 1, 0), 1);
    assert_int_equal(asked_device, 0);
    file_put(b);
    /* The device of a link-local peer is kept with it. */
    b = make(AF_INET6);
    to = name6((struct net_addr){.bytes = {0xfe, 0x80, [15] = 7}}, 9);
    memcpy(to.bytes + 24, &(uint32_t){2}, 4);
    assert_int_equal(socket_connect(sock(b), &to, true), 0);
    asked_device = 0;
    route_generation++;
    assert_int_equal(send_to(b, NULL, "x", 1, 0), 1);
    assert_int_equal(asked_device, 2);
    file_put(b);
}

static void groups(void **state)
{
    struct file *a = make(AF_INET);
    struct {
        uint8_t group[4], address[4];
        int32_t device;
    } mreq = {{224, 0, 0, 251}, {0, 0, 0, 0}, 2};
    (void)state;
    uaddr_t value = uaddr((uintptr_t)&mreq);
    assert_int_equal(socket_set_option(sock(a), SOL_IP, 35, value, 12), 0);
    assert_int_equal(socket_set_option(sock(a), SOL_IP, 35, value, 12), -EADDRINUSE);
    mreq.device = 5;
    assert_int_equal(socket_set_option(sock(a), SOL_IP, 35, value, 12), -ENODEV);
    mreq.device = 2;
    assert_int_equal(socket_set_option(sock(a), SOL_IP, 36, value, 12), 0);
    assert_int_equal(socket_set_option(sock(a), SOL_IP, 36, value, 12), -EADDRNOTAVAIL);
    mreq.group[0] = 10;
    assert_int_equal(socket_set_option(sock(a), SOL_IP, 35, value, 12), -EINVAL);
    assert_int_equal(socket_set_option(sock(a), SOL_IP, 35, value, 7), -EINVAL);
    mreq.group[0] = 224; /* left when the socket closes */
    for (uint8_t i = 0; i < 21; i++) {
        mreq.group[3] = i;
        assert_int_equal(socket_set_option(sock(a), SOL_IP, 35, value, 12), i < 20 ? 0 : -ENOBUFS);
    }
    file_put(a);
}

static void shut(void **state)
{
    struct file *a = bound(AF_INET, v4(10, 0, 0, 1), 5000), *b = make(AF_INET);
    struct socket_name to = name4(v4(10, 0, 0, 1), 5000);
    char buf[8];
    (void)state;
    assert_int_equal(socket_shutdown(sock(b), SHUT_RD), -ENOTCONN);
    assert_int_equal(socket_connect(sock(b), &to, true), 0);
    assert_int_equal(socket_shutdown(sock(b), SHUT_WR), 0);
    assert_int_equal(send_to(b, NULL, "x", 1, 0), -EPIPE);
    assert_int_equal(socket_shutdown(sock(b), SHUT_RD), 0);
    assert_int_equal(recv_from(b, buf, 8, 0, NULL), -EAGAIN); /* who would wait is told */
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, buf, 8);
    last = (struct socket_msg){.data = &it};
    assert_int_equal(socket_recv(sock(b), &last), 0);
    assert_true(file_poll(b, NULL) & POLLHUP);
    file_put(a);
    file_put(b);
}

/* What a send with MSG_ZEROCOPY counted stays counted until its completion has been read, or has
 * become part of a range: so entries that nobody reads are bounded by the sends (zerocopy.c). */
static void completions_are_counted(void **state)
{
    struct file *a = make(AF_INET);
    struct inet_sock *sock_a = inet_of(sock(a));
    struct iov one;
    struct iov_iter it;
    (void)state;
    sock_a->zerocopy_pending = 5;
    static const uint32_t ids[] = {0, 2, 1, 4}; /* out of order: no range */
    for (unsigned i = 0; i < ARRAY_COUNT(ids); i++)
        inet_error_zerocopy(sock_a, inet_error_new(), ids[i], false);
    assert_int_equal(sock_a->zerocopy_pending, 5);
    inet_error_zerocopy(sock_a, inet_error_new(), 5, false); /* behind the last */
    assert_int_equal(sock_a->zerocopy_pending, 4);
    for (unsigned left = 4; left-- > 1;) {
        iov_iter_init_kernel(&it, &one, NULL, 0);
        last = (struct socket_msg){.data = &it};
        assert_int_equal(inet_error_recv(sock_a, &last), 0);
        assert_int_equal(sock_a->zerocopy_pending, left);
    }
    inet_error_purge(sock_a);
    assert_int_equal(sock_a->zerocopy_pending, 0);
    file_put(a);
}

/* Each allocation failing in turn: nothing is lost but what was to be sent. */
static void without_memory(void **state)
{
    struct file *a = bound(AF_INET, v4(10, 0, 0, 1), 5000), *b = bound(AF_INET, net_addr_any_v4, 0);
    struct socket_name to = name4(v4(10, 0, 0, 1), 5000);
    static char buf[9000];
    (void)state;
    for (uint64_t n = 1;; n++) {
        alloc_fail_nth(n);
        long sent_bytes = send_to(b, &to, buf, sizeof buf, 0);
        bool hit = alloc_fail_hit();
        alloc_fail_nth(0);
        if (!hit)
            break;
        assert_true(sent_bytes == -ENOMEM || sent_bytes == (long)sizeof buf);
        while (recv_from(a, buf, sizeof buf, 0, NULL) > 0)
            ;
        assert_true(n < 100);
    }
    assert_int_equal(recv_from(a, buf, sizeof buf, 0, NULL), sizeof buf);
    file_put(a);
    file_put(b);
    struct socket *socket;
    alloc_fail_nth(1);
    assert_int_equal(socket_create(AF_INET, SOCK_DGRAM, 0, &socket), -ENOMEM);
    alloc_fail_nth(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_comes_under_the_lock_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_may_have_a_port, set_up, tear_down),
        cmocka_unit_test_setup_teardown(both_families, set_up, tear_down),
        cmocka_unit_test_setup_teardown(buffers_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_cut_off_is_not_charged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(corked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(segments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_sent_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(told_about_packets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(device_of_one_datagram, set_up, tear_down),
        cmocka_unit_test_setup_teardown(groups, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(completions_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
