/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/segment.c kernel/drv/gro.c kernel/drv/loopback.c
   kernel/drv/virtio.c kernel/drv/virtio_mmio.c kernel/drv/virtio_pci.c kernel/drv/pci.c
   kernel/core/cmdline.c kernel/core/chaos.c kernel/drv/virtio_net_io.c kernel/core/random.c
   kernel/lib/checksum.c kernel/lib/format.c kernel/lib/strbuf.c */
/*
 * virtio_net_long_test.c - the virtio network driver's long buffers, for long packets.
 */
#include "virtio_net_machine.h"

/* A stream of long packets, until all buffers are long. */
static void until_long(void)
{
    for (unsigned i = 0; i < 10; i++) {
        (void)arrive((struct virtio_net_header){0}, 65000, -1);
        poll_all();
        expect_bytes(received[--received_count], 65000);
        pkt_free(received[received_count]);
    }
}

/* They take fewer buffers then; what is short takes no more memory than it did, and after a while
 * there are as many buffers as before. */
static void long_packets_get_long_buffers(void **state)
{
    unsigned n;
    (void)state;
    assert_int_equal(arrive((struct virtio_net_header){0}, 65000, -1), 33);
    poll_all();
    until_long();
    assert_int_equal(arrive((struct virtio_net_header){0}, 65000, -1), 4);
    assert_int_equal(arrive((struct virtio_net_header){0}, 9000, -1), 1);
    assert_int_equal(arrive((struct virtio_net_header){0}, 17000, -1), 2);
    poll_all();
    assert_int_equal(received_count, 4);
    expect_bytes(received[1], 65000);
    expect_bytes(received[2], 9000);
    expect_bytes(received[3], 17000);
    assert_in_range(received[3]->truesize, 17000, 20000); /* its end is a copy */
    assert_in_range(given(&n), 256 * BUFFER - 4 * PAGE_SIZE, 256 * BUFFER);
    assert_in_range(n, 31, 32);
    for (unsigned i = 0; i < 66; i++) {
        (void)arrive((struct virtio_net_header){0}, 60 + 100 * i, -1);
        poll_all();
        expect_bytes(received[4 + i], 60 + 100 * i);
        assert_true(received[4 + i]->truesize < 2 * received[4 + i]->total + 512);
    }
    for (unsigned i = 0; i < 32; i++) {
        (void)arrive((struct virtio_net_header){0}, 100, -1);
        poll_all();
    }
    assert_int_equal(given(&n), 256 * BUFFER);
    assert_int_equal(n, 256);
}

static void without_memory_long_buffers_stay(void **state)
{
    unsigned n, lost = 0;
    (void)state;
    until_long();
    for (unsigned nth = 1; nth <= 12; nth++) {
        (void)arrive((struct virtio_net_header){0}, nth % 2 ? 60 : 20000, -1);
        net_interrupt();
        alloc_fail_nth(1 + nth / 2);
        fake_work_run(10);
        alloc_fail_nth(0);
        assert_in_range(given(&n), 256 * BUFFER - 4 * PAGE_SIZE, 256 * BUFFER);
    }
    lost = (unsigned)stats().rx_dropped + (unsigned)stats().rx_errors;
    assert_true(lost > 0);
    assert_int_equal(lost + received_count, 12);
}

static void a_queue_that_lies_about_a_long_buffer(void **state)
{
    (void)state;
    until_long();
    int id = net_take(0);
    net_give(0, (uint32_t)id, net_desc(&net_device.ring[0], (unsigned)id)->len + 1);
    poll_all();
    assert_true(net()->rx[0].broken);
    assert_int_equal(received_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(long_packets_get_long_buffers, boot, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_long_buffers_stay, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_queue_that_lies_about_a_long_buffer, boot, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
