/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: fs kernel/net/port.c */
/*
 * port_test.c - ephemeral ports: how long the search for one takes when many are taken, and that it
 * ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "fs/fake_fs.h"
#include "lib/errno.h"
#include "net/inet.h"

#define SPAN (PORT_EPHEMERAL_LAST - PORT_EPHEMERAL_FIRST + 1)
#define BUSY (SPAN / 2)

static bool busy[65536];
static unsigned tries;

const struct net_addr net_addr_any_v4 = {.bytes = {[10] = 0xff, 0xff}};

static int not_busy(void *arg)
{
    const struct port_use *use = arg;
    tries++;
    return busy[use->port] ? -EADDRINUSE : 0;
}

static int connect_from(struct port_use *use, uint8_t last_byte)
{
    struct net_addr to = net_addr_v4(last_byte);
    *use = (struct port_use){.protocol = IPPROTO_TCP, .local = net_addr_v4(1)};
    return port_connect(use, &to, 80, (struct port_range){0, 0}, not_busy, use);
}

/* A stretch of ports that is taken is gone through once in a round, not by each connection. */
static void a_stretch_of_busy_ports(void **state)
{
    static struct port_use uses[2 * SPAN];
    unsigned count = 0;
    (void)state;
    port_table_init();
    for (unsigned i = 0; i < BUSY; i++)
        busy[PORT_EPHEMERAL_FIRST + i] = true;
    tries = 0;
    for (; count < 2 * (SPAN - BUSY); count++)
        assert_int_equal(connect_from(&uses[count], 2), 0);
    assert_true(tries <= 3 * SPAN);
    /* They were spread over all that are free. */
    unsigned seen[65536] = {0};
    for (unsigned i = 0; i < count; i++)
        assert_true(++seen[uses[i].port] <= 3 && !busy[uses[i].port]);
    for (unsigned i = 0; i < count; i++)
        port_release(&uses[i]);
}

static void none_is_left(void **state)
{
    struct port_use use;
    (void)state;
    port_table_init();
    memset(busy, 1, sizeof busy);
    tries = 0;
    assert_int_equal(connect_from(&use, 2), -EADDRNOTAVAIL);
    assert_int_equal(tries, SPAN);
    assert_int_equal(use.port, 0);
    busy[40000] = false;
    assert_int_equal(connect_from(&use, 3), 0);
    assert_int_equal(use.port, 40000);
    port_release(&use);
}

int main(void)
{
    fake_hal_init(64u << 20);
    if (fake_fs_boot(NULL, 0))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stretch_of_busy_ports),
        cmocka_unit_test(none_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
