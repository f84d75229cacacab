/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vmxnet3.h - VMware's paravirtual network device, as QEMU has it, too: what the two files of the
 * driver share. vmxnet3.c finds and sets up devices, vmxnet3_io.c moves packets. There is no
 * specification; names are those of VMware's open drivers, sizes and meanings as they and QEMU's
 * model of the device agree on them. Interface revision 1.
 *
 * The driver describes itself in a shared area: one for the device, one for each queue. Each ring
 * entry has a generation bit: it is the other side's when the bit is that of the ring's current
 * lap, which begins with 1 and changes whenever the ring wraps. There are
 *
 *   to send      a ring of pieces and a ring of completions, one for each packet, by its last piece
 *   to receive   two rings of buffers and a ring of completions, one for each buffer. A packet
 *                begins with a buffer of the first (HEAD); longer ones go on in the second (BODY)
 *
 * Entries are never all given, so that indices that are the same say empty.
 *
 * Interrupts mask themselves (autoMask): a poll unmasks its own at its end, and what came meanwhile
 * interrupts then. `polling` of a receive queue is taken by whoever queues its poll, and by a
 * reset; who has it has the queue. A send queue is its netdev queue's lock's. All work about the
 * device as a whole is done on CPU 0, by one work, so one at a time.
 *
 * Errors. A device that says that a queue has stopped, or something about a queue that cannot be,
 * is reset: polls end early and transmit takes nothing while `resetting`.
 */
#ifndef SELKIE_DRV_VMXNET3_H
#define SELKIE_DRV_VMXNET3_H

#include "drv/netdev.h"
#include "drv/pci.h"

#define VMXNET3_QUEUES_MAX 8u
#define VMXNET3_TX_SIZE 256u
#define VMXNET3_HEADS 256u
#define VMXNET3_BODIES 64u
#define VMXNET3_COMPLETIONS (VMXNET3_HEADS + VMXNET3_BODIES)
/* The most pieces of a packet that the device cuts itself, and of others (what Linux's driver
 * keeps to); what has more is copied. */
#define VMXNET3_PIECES_TSO 24u
#define VMXNET3_PIECES 16u
#define VMXNET3_PIECE_MAX 16384u /* bytes; 0 stands for it */

/* BAR 0. Of each a row, 8 bytes apart. */
enum {
    VMXNET3_IMR = 0x000,
    VMXNET3_TXPROD = 0x600,
    VMXNET3_RXPROD = 0x800,
    VMXNET3_RXPROD2 = 0xa00
};
#define VMXNET3_ROW 8u

struct vmxnet3_desc {
    uint64_t addr;
    uint32_t word2, word3;
};
struct vmxnet3_completion {
    uint32_t word[4]; /* the generation: highest bit of the last */
};
STATIC_ASSERT(sizeof(struct vmxnet3_desc) == 16 && sizeof(struct vmxnet3_completion) == 16);
/* Of a received buffer: words 0 and 2. */
#define RXC_LAST (1u << 14)
#define RXC_FIRST (1u << 15)
#define RXC_QUEUE(c) ((c)->word[0] >> 16 & 0x3ff)
#define RXC_NOT_SUMMED (1u << 30)
#define RXC_LEN(c) ((c)->word[2] & 0x3fff)
#define RXC_ERROR (1u << 14)
/* Word 3. */
#define RXC_TRANSPORT_GOOD (1u << 16)
#define RXC_UDP (1u << 17)
#define RXC_TCP (1u << 18)
#define RXC_IP_GOOD (1u << 19)
#define RXC_V6 (1u << 20)
#define RXC_V4 (1u << 21)
#define RXC_FRAGMENT (1u << 22)

/* What the device reads about a queue, and what it says. */
struct vmxnet3_tx_conf {
    uint32_t deferred, threshold;
    uint64_t reserved1;
    uint64_t ring, data_ring, completions, driver, reserved2;
    uint32_t ring_size, data_size, completion_size, driver_len;
    uint8_t interrupt, pad[7];
    uint8_t stopped, pad2[3];
    uint32_t error;
    uint8_t stats[168];
};
struct vmxnet3_rx_conf {
    uint8_t tell_filled, pad1[15]; /* the device wants to be told of new buffers */
    uint64_t ring[2], completions, driver, reserved;
    uint32_t ring_size[2], completion_size, driver_len;
    uint8_t interrupt, pad[7];
    uint8_t stopped, pad2[3];
    uint32_t error;
    uint8_t stats[168];
};
STATIC_ASSERT(sizeof(struct vmxnet3_tx_conf) == 256 && sizeof(struct vmxnet3_rx_conf) == 256);
STATIC_ASSERT(offsetof(struct vmxnet3_tx_conf, interrupt) == 72);
STATIC_ASSERT(offsetof(struct vmxnet3_rx_conf, interrupt) == 72);

struct vmxnet3;
struct vmxnet3_rx_ring {
    struct vmxnet3_desc *desc;
    struct pkt **buffer; /* one for each entry, always */
    unsigned size, fill; /* fill: the next to give */
    bool gen;
};
struct vmxnet3_rx {
    struct vmxnet3 *net;
    struct work work;
    struct vmxnet3_rx_conf *conf;
    unsigned index, cpu, interrupt;
    bool polling; /* atomic */
    bool broken;  /* the device has lied about it: not looked at again before a reset */
    bool gen;     /* of completions, and the next of them */
    unsigned next;
    struct vmxnet3_completion *completions;
    struct vmxnet3_rx_ring ring[2];
    struct pkt *packet; /* what has come of the next one, */
    unsigned pieces;    /* in so many buffers */
    bool lost;          /* not all of that: it is to be dropped */
    struct pkt *buffers[VMXNET3_COMPLETIONS];
};
struct vmxnet3_tx {
    struct vmxnet3 *net;
    struct work work;
    struct vmxnet3_tx_conf *conf;
    unsigned index, cpu, interrupt;
    bool queued; /* atomic: `work` is */
    bool asked;  /* the interrupt is unmasked */
    bool full;   /* transmit has said -EAGAIN: the stack waits for netdev_wake */
    bool broken;
    bool gen, completion_gen;
    unsigned fill, done, next; /* to give, to get back; of completions */
    unsigned told;             /* what the device was told last */
    struct vmxnet3_desc *desc;
    struct vmxnet3_completion *completions;
    struct pkt *sent[VMXNET3_TX_SIZE]; /* by the packet's last entry */
};

struct vmxnet3 {
    struct netdev dev;
    volatile uint8_t *rows, *regs; /* BAR 0, BAR 1 */
    struct vmxnet3_shared *shared;
    unsigned rx_count, tx_count;
    struct vmxnet3_rx *rx;
    struct vmxnet3_tx *tx;
    struct spinlock command_lock; /* RANK_DEVICE: a command and its answer */
    bool intx;                    /* one interrupt for all: to be asked whether it is this one's */
    unsigned event_interrupt;
    struct work work;  /* the device as a whole */
    bool reset_wanted; /* atomic */
    bool resetting;    /* atomic */
    unsigned held;     /* of the receive queues, by the reset that goes on */
    unsigned resets;
};

/* Find the machine's devices of this kind and register them. */
void vmxnet3_start(void);
/* Something about a queue cannot be. Any context. */
void vmxnet3_want_reset(struct vmxnet3 *net);
static inline void vmxnet3_row(const struct vmxnet3 *net, unsigned row, unsigned at, uint32_t value)
{
    hal_mmio_write32(net->rows + row + VMXNET3_ROW * at, value);
}

/* ---- vmxnet3_io.c ---- */
/* Buffers for all entries. -ENOMEM: those that there are stay. */
int must_check vmxnet3_rx_fill(struct vmxnet3_rx *rx);
/* Rings as they are at the beginning, while the device does not look. */
void vmxnet3_rx_reset(struct vmxnet3_rx *rx);
void vmxnet3_tx_reset(struct vmxnet3_tx *tx); /* packets that it had are freed */
/* From here on the device has the buffers. */
void vmxnet3_rx_go(struct vmxnet3_rx *rx);
void vmxnet3_rx_poll(struct work *work);
void vmxnet3_tx_poll(struct work *work);
int vmxnet3_transmit(struct netdev *dev, unsigned queue, struct pkt *pkt, bool last);
/* Interrupt handlers: of one queue (argument: the queue). */
void vmxnet3_rx_irq(void *arg);
void vmxnet3_tx_irq(void *arg);

#endif
