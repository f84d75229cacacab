/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/segment.c kernel/drv/gro.c kernel/drv/loopback.c
   kernel/drv/pci.c kernel/core/cmdline.c kernel/drv/vmxnet3_io.c kernel/core/random.c
   kernel/lib/checksum.c kernel/lib/format.c kernel/lib/strbuf.c */
/* covers: kernel/drv/vmxnet3.c kernel/drv/vmxnet3_io.c */
/* length: 512 */
/* runs: 500 */
/*
 * vmxnet3_fuzz.c - the vmxnet3 driver with a device that does what it likes: completions about
 * entries that it does not have, twice or never, with any length and flags; errors, links and
 * interrupts at any time; commands that fail; shared memory written over; memory that runs out.
 *
 * What must hold: what the driver names is memory of its own, it ends, what it hands up lies inside
 * its packets, and when all is over packets are freed or held by the device.
 */
#include <string.h>

#include "../kernel/drv/netdev.c" /* to forget its devices */
#include "../kernel/drv/vmxnet3.c"
#include "../unit/drv/fake_vmxnet3.h"
#include "fuzz.h"

#define RAM (16u << 20)

static struct fuzz_input in;

static void input(struct pkt *pkt)
{
    uint32_t total = 0;

    for (const struct pkt *piece = pkt; piece; piece = piece->more) {
        FUZZ_CHECK(piece->data >= piece->room &&
                   piece->data + piece->len <= piece->room + piece->size);
        total += piece->len;
    }
    FUZZ_CHECK(total == pkt->total && total >= 14 && total <= PKT_LEN_MAX);
    FUZZ_CHECK(pkt->gso == PKT_GSO_NONE || pkt->gso_size > 0);
    FUZZ_CHECK(pkt->checksum != PKT_CHECKSUM_PARTIAL);
    pkt_free(pkt);
}

/* What an entry names lies in RAM. */
static void check_entry(uint64_t addr, uint32_t len)
{
    FUZZ_CHECK(addr >= FAKE_RAM_PA && addr + len <= FAKE_RAM_PA + RAM);
}

static void send_all(unsigned q)
{
    const struct vmxnet3_desc *desc;
    unsigned index, pieces = 0;

    while ((desc = vmx_tx_next(q, &index))) {
        uint32_t len = desc->word2 & 0x3fff;

        check_entry(desc->addr, len ? len : 16384);
        FUZZ_CHECK(++pieces <= VMXNET3_TX_SIZE);
        if (!(desc->word3 & 1u << 12))
            continue;
        pieces = 0;
        switch (fuzz_u8(&in) % 8) {
        case 0:
            break; /* not yet */
        case 1:    /* another one */
            vmx_complete(&vmx.tx_done[q], fuzz_u16(&in), 0, 0);
            break;
        default:
            vmx_complete(&vmx.tx_done[q], index, 0, 0);
        }
    }
}

static void receive(unsigned q)
{
    uint8_t how = fuzz_u8(&in);
    unsigned which = how & 1, index = 0;
    const struct vmxnet3_desc *desc = vmx_rx_next(q, which, &index);
    uint32_t word0, word2 = fuzz_u16(&in) % 2100;

    if (desc)
        check_entry(desc->addr, desc->word2 & 0x3fff);
    word0 = (how & 2 ? 1u << 15 : 0) | (how & 4 ? 1u << 14 : 0) | (q + which * vmx.rx_count) << 16 |
            index;
    if (how >> 3 == 1)
        word0 ^= fuzz_u32(&in);
    if (how >> 3 == 2)
        word2 ^= fuzz_u32(&in);
    vmx_complete(&vmx.rx_done[q], word0, word2, how & 8 ? fuzz_u32(&in) : 0);
}

static void send_some(struct netdev *dev)
{
    uint32_t len = 60 + fuzz_u16(&in) % 1500;
    uint8_t how = fuzz_u8(&in);
    struct pkt *pkt = pkt_alloc(fuzz_u8(&in), len, ALLOC_DEFAULT);

    if (!pkt)
        return;
    memset(pkt_put(pkt, len), how, len);
    for (unsigned i = 0; i < how % 40u; i++) {
        struct pkt *piece = pkt_alloc(0, 1400, ALLOC_DEFAULT);

        if (piece && pkt_put(piece, 1400))
            pkt_append(pkt, piece);
        else
            pkt_free(piece);
    }
    if (how & 0x80) {
        pkt->checksum = PKT_CHECKSUM_PARTIAL;
        pkt->network = (uint16_t)(pkt_headroom(pkt) + 14);
        pkt->transport = pkt->checksum_start = (uint16_t)(pkt_headroom(pkt) + 34);
        pkt->checksum_field = 16;
        pkt->data[46] = fuzz_u8(&in);
    }
    if (pkt->total > 1514) {
        pkt->gso = PKT_GSO_TCP4;
        pkt->gso_size = 1400;
    }
    (void)netdev_send(dev, pkt);
}

static void scribble(void)
{
    uint8_t *shared = hal_phys_to_virt(vmx.shared);

    /* What it may write: events, and the status of queues. */
    ((struct vmxnet3_shared *)shared)->events = fuzz_u32(&in);
    vmx_rx_conf(0)->tell_filled = fuzz_u8(&in);
    vmx_rx_conf(0)->stopped = 1;
}

static void act(struct netdev *dev)
{
    uint8_t what = fuzz_u8(&in);
    unsigned q = what / 16;

    switch (what % 16) {
    case 0:
    case 1:
    case 2:
        send_some(dev);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        if (vmx.active)
            receive(q % vmx.rx_count);
        break;
    case 7:
        if (vmx.active)
            send_all(q % vmx.tx_count);
        break;
    case 8: /* whatever, about whatever */
        if (vmx.active)
            vmx_complete(q & 1 ? &vmx.tx_done[0] : &vmx.rx_done[0], fuzz_u32(&in), fuzz_u32(&in),
                         fuzz_u32(&in));
        break;
    case 9:
        if (vmx.active)
            scribble();
        break;
    case 10:
        vmx.link = q & 1;
        vmx.refuses = q == 15;
        (void)!netdev_set_mtu(dev, 60 + fuzz_u16(&in) % 9000);
        break;
    case 11:
        alloc_fail_nth(q);
        break;
    case 12:
    case 13:
        vmx_interrupt(q);
        break;
    default:
        fake_work_run(1 + q);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct netdev *dev;

    fake_hal_init(RAM);
    fake_clock_step_ns = 50000000;
    page_init();
    kmalloc_init();
    pkt_init();
    random_init();
    netdev_init();
    in = (struct fuzz_input){data, size, 0};
    fake_cpu_count = 1 + fuzz_u8(&in) % 9;
    vmx_machine_init();
    vmx.revision = fuzz_u8(&in);
    if (fuzz_u8(&in) % 8 == 0)
        vmx.config[1] = 0; /* no MSI-X */
    vmx.on_send = send_all;
    netdev_input = input;
    first = NULL;
    count = 0;
    vmxnet3_start();
    dev = netdev_by_name("eth0");
    if (!dev)
        return 0;
    (void)!netdev_set_up(dev, true);
    while (fuzz_more(&in))
        act(dev);
    alloc_fail_nth(0);
    fake_work_run(100);
    return 0;
}
