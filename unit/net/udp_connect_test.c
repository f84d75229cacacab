/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs kernel/net/socket.c kernel/net/option.c kernel/net/option_rare.c kernel/net/bpf.c kernel/net/bpf_socket.c kernel/net/control.c kernel/net/inet.c kernel/net/inet_option.c kernel/net/inet_group.c kernel/net/inet_control.c kernel/net/inet_error.c kernel/net/port.c kernel/net/udp.c kernel/net/dgram.c kernel/net/flow.c kernel/net/classify.c kernel/drv/pkt.c kernel/lib/checksum.c unit/fake_rcu.c */
/* clang-format on */
/*
 * udp_connect_test.c - UDP sockets with a peer: who reaches them, what is lost while they change it
 * (nothing), what becomes of their port, and of packets that come when they have gone.
 */
#include "net/udp_world.h"

static void connected_sockets(void **state)
{
    struct file *server = bound(AF_INET, net_addr_any_v4, 53), *other;
    struct file *c = bound(AF_INET, net_addr_any_v4, 5353);
    struct socket_name to = name4(v4(10, 0, 0, 1), 53), peer, none = {.len = 2};
    char buf[16];
    (void)state;
    assert_int_equal(socket_get_name(sock(c), true, &peer), -ENOTCONN);
    assert_int_equal(socket_connect(sock(c), &to, true), 0);
    assert_int_equal(socket_get_name(sock(c), true, &peer), 0);
    assert_int_equal(port_of(&peer), 53);
    assert_int_equal(send_to(c, NULL, "q", 1, 0), 1);
    struct socket_name from;
    assert_int_equal(recv_from(server, buf, sizeof buf, 0, &from), 1);
    /* Only its peer reaches it. */
    other = bound(AF_INET, v4(10, 0, 0, 1), 54);
    assert_int_equal(send_to(other, &from, "z", 1, 0), 1);
    assert_int_equal(send_to(server, &from, "a", 1, 0), 1);
    assert_int_equal(recv_from(c, buf, sizeof buf, 0, NULL), 1);
    assert_int_equal(buf[0], 'a');
    assert_int_equal(recv_from(c, buf, sizeof buf, 0, NULL), -EAGAIN);
    /* Another peer, then none. */
    to = name4(v4(10, 0, 0, 1), 54);
    assert_int_equal(socket_connect(sock(c), &to, true), 0);
    assert_int_equal(send_to(other, &from, "y", 1, 0), 1);
    assert_int_equal(recv_from(c, buf, sizeof buf, 0, NULL), 1);
    uint16_t port = local_port(c);
    assert_int_equal(socket_connect(sock(c), &none, true), 0);
    assert_int_equal(socket_get_name(sock(c), true, &peer), -ENOTCONN);
    assert_int_equal(local_port(c), port);
    assert_int_equal(send_to(server, &from, "b", 1, 0), 1);
    assert_int_equal(recv_from(c, buf, sizeof buf, 0, NULL), 1);
    struct socket_name nowhere = name4(v4(99, 0, 0, 1), 1);
    assert_int_equal(socket_connect(sock(c), &nowhere, true), -ENETUNREACH);
    assert_int_equal(send_to(server, &from, "c", 1, 0), 1); /* still there */
    assert_int_equal(recv_from(c, buf, sizeof buf, 0, NULL), 1);
    file_put(server);
    file_put(c);
    file_put(other);
}

/* connect(2), AF_UNSPEC: a port that was not asked for is given back, as on Linux. */
static void port_of_a_moment(void **state)
{
    struct file *c = make(AF_INET), *kept = bound(AF_INET, net_addr_any_v4, 0);
    struct socket_name to = name4(v4(10, 0, 0, 1), 53), none = {.len = 2},
                       any = name4(v4(0, 0, 0, 0), 0);
    (void)state;
    assert_int_equal(socket_connect(sock(c), &to, true), 0);
    assert_int_not_equal(local_port(c), 0);
    assert_int_equal(socket_bind(sock(c), &any), -EINVAL);
    assert_int_equal(socket_connect(sock(c), &none, true), 0);
    assert_int_equal(local_port(c), 0);
    assert_int_equal(socket_bind(sock(c), &any), 0);
    assert_int_equal(socket_connect(sock(kept), &to, true), 0);
    assert_int_equal(socket_connect(sock(kept), &none, true), 0);
    assert_int_equal(local_port(kept), 0);
    assert_int_equal(send_to(kept, &to, "x", 1, 0), 1);
    assert_int_not_equal(local_port(kept), 0);
    assert_int_equal(socket_connect(sock(kept), &none, true), 0);
    assert_int_equal(local_port(kept), 0);
    file_put(c);
    file_put(kept);
}

/* While a socket changes its peer a grace period passes: what its new peer sends then is received,
 * what strangers send is not. */
extern void (*fake_rcu_hook)(void);
static struct {
    struct file *peer, *stranger;
    struct socket_name to;
    unsigned times;
} meanwhile;
static void send_meanwhile(void)
{
    meanwhile.times++;
    assert_int_equal(send_to(meanwhile.peer, &meanwhile.to, "p", 1, 0), 1);
    assert_int_equal(send_to(meanwhile.stranger, &meanwhile.to, "s", 1, 0), 1);
}
static void nothing_is_lost_while_it_connects(void **state)
{
    struct file *c = bound(AF_INET, net_addr_any_v4, 5353);
    struct file *a = bound(AF_INET, v4(10, 0, 0, 1), 1), *b = bound(AF_INET, v4(10, 0, 0, 1), 2);
    struct socket_name to[2] = {name4(v4(10, 0, 0, 1), 1), name4(v4(10, 0, 0, 1), 2)};
    struct socket_name nowhere = name4(v4(99, 0, 0, 1), 1), none = {.len = 2}, from;
    char buf[8];
    (void)state;
    fake_rcu_hook = send_meanwhile;
    for (unsigned i = 0; i < 4; i++) {
        meanwhile.peer = i % 2 ? b : a;
        meanwhile.stranger = i % 2 ? a : b;
        meanwhile.to = name4(v4(10, 0, 0, 1), 5353);
        meanwhile.times = 0;
        assert_int_equal(socket_connect(sock(c), &to[i % 2], true), 0);
        assert_true(i == 0 || meanwhile.times > 0);
        send_meanwhile();
        /* As long as it is among the bound ones: the last grace period at least. */
        assert_int_equal(recv_from(c, buf, 8, 0, &from), 1);
        for (unsigned n = 1; n < MIN(meanwhile.times, 2u); n++)
            assert_int_equal(recv_from(c, buf, 8, 0, &from), 1);
        assert_int_equal(buf[0], 'p');
        assert_int_equal(recv_from(c, buf, 8, 0, &from), -EAGAIN);
    }
    /* An attempt that fails changes nothing. */
    assert_int_equal(socket_connect(sock(c), &nowhere, true), -ENETUNREACH);
    assert_int_equal(socket_get_name(sock(c), true, &from), 0);
    assert_int_equal(port_of(&from), 2);
    send_meanwhile();
    assert_int_equal(recv_from(c, buf, 8, 0, &from), 1);
    assert_int_equal(recv_from(c, buf, 8, 0, &from), -EAGAIN);
    /* And to none: both are received. */
    meanwhile.times = 0;
    assert_int_equal(socket_connect(sock(c), &none, true), 0);
    fake_rcu_hook = NULL;
    assert_true(meanwhile.times > 0);
    assert_int_equal(recv_from(c, buf, 8, 0, &from), 1);
    assert_int_equal(recv_from(c, buf, 8, 0, &from), 1);
    for (struct file **f = (struct file *[]){a, b, c, NULL}; *f; f++)
        file_put(*f);
}

/* A lookup that began before the end may push behind it. */
static void late_packets_go_back(void **state)
{
    struct file *a = bound(AF_INET, v4(10, 0, 0, 1), 5000);
    struct flow *flow = &inet_of(sock(a))->flow;
    struct pkt *pkt = pkt_alloc(0, 10, 0);
    (void)state;
    again = 0;
    file_put(a);
    assert_non_null(pkt);
    assert_true(flow_deliver(flow, pkt));
    rcu_synchronize();
    assert_int_equal(again, 1);
}

/* IP_MULTICAST_LOOP: whether this host gets a copy. */
static void own_copies(void **state)
{
    struct file *f = bound(AF_INET, net_addr_any_v4, 77);
    struct socket_name to = name4(v4(224, 1, 2, 3), 9);
    (void)state;
    assert_int_equal(send_to(f, &to, "x", 1, 0), 1);
    assert_false(sent_no_loop);
    assert_int_equal(set_int(f, SOL_IP, 34, 0), 0);
    assert_int_equal(send_to(f, &to, "x", 1, 0), 1);
    assert_true(sent_no_loop);
    file_put(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connected_sockets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(port_of_a_moment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_lost_while_it_connects, set_up, tear_down),
        cmocka_unit_test_setup_teardown(own_copies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(late_packets_go_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
