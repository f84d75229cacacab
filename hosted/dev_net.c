/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dev_net.c - the device side of a virtio network device (Virtual I/O Device 1.2, 4.2, 5.1), whose
 * wire are descriptors that the launcher has opened: a tap or a socket that keeps records. Both
 * take and give whole frames behind a virtio header (12 bytes), so offloads pass through.
 *
 * Everything runs on virtual CPUs, with interrupts off, and never waits: a frame is written in the
 * context of whoever notifies the device, and read in the interrupt of the CPU that the pair of
 * queues belongs to, or when its driver gives buffers. If the descriptor has nothing, or no room,
 * an outer thread looks at it (host_net.c) and raises HOSTED_IRQ_NET; it looks once each time it is
 * asked, so a busy queue costs it nothing.
 *
 * A queue is run by one CPU at a time: whoever finds it taken counts himself in `wanted`, and the
 * one that has it goes on until it has seen all of them.
 *
 * On a switch frames to and from other hosted machines go through shared memory (net_share.h); the
 * descriptor has the rest, and is read only when it is known to have something.
 *
 * The driver is the kernel's: what it says is checked all the same, for bugs and for fuzzing, and a
 * queue with nonsense in it stops (STATUS_NEEDS_RESET).
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "net.h"
#include "net_ring.h"
#include "net_share.h"
#include "sim.h"

#define MAGIC 0x74726976u
#define VERSION 2u
#define ID_NET 1u
#define VENDOR 0x4b4c4553u
#define QUEUE_MAX 1024u
#define STATUS_DRIVER_OK 4u
#define STATUS_NEEDS_RESET 64u
#define ISR_QUEUE 1u
#define ISR_CONFIG 2u

#define F_MTU (1ull << 3)
#define F_MAC (1ull << 5)
#define F_MERGE (1ull << 15)
#define F_STATUS (1ull << 16)
#define F_CONTROL (1ull << 17)
#define F_CONTROL_RX (1ull << 18)
#define F_PAIRS (1ull << 22)
#define F_EVENTS (1ull << 29)
#define F_VERSION_1 (1ull << 32)
#define F_GUEST_TSO (1ull << 7 | 1ull << 8)

#define DESC_NEXT 1u
#define DESC_WRITE 2u
#define HEADER 12u
#define HEADER_BUFFERS 10u /* offset of the count of buffers */
#define PIECES 64u         /* of one frame */
#define FRAME_MAX (65535u + 64u + HEADER)
#define FRAME_PLAIN 2048u /* without segmentation */
#define FRAME_AROUND 64u  /* beside what the MTU counts */
#define BUDGET 64u        /* frames read at a time */
#define CONTROL_CLASS_RX 0u
#define CONTROL_CLASS_PAIRS 4u

struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};
struct used {
    uint32_t id, len;
};

struct queue {
    uint32_t num, ready;
    uint64_t desc_pa, avail_pa, used_pa;
    const struct desc *desc;
    uint16_t *avail; /* flags, index, ring, used_event */
    uint16_t *used;  /* flags, index, ring, avail_event */
    uint16_t seen;   /* taken from the available ring */
    uint16_t given;  /* put into the used ring */
    uint32_t wanted; /* atomic */
};

static struct {
    uint32_t select, feature_select;
    uint64_t features;
    uint32_t status, isr;         /* atomic */
    bool unmasked;                /* the interrupt; atomic */
    bool link_down;               /* the other side has gone; atomic */
    bool asked[HOSTED_NET_PAIRS]; /* the outer thread waits for the descriptor; atomic */
    bool peer_full;               /* of the send queue, with shared memory: why it stops */
    struct queue queues[2 * HOSTED_NET_PAIRS + 1];
} net;

/* By pair: what the outer thread has seen. Atomic. */
uint32_t hosted_net_events[HOSTED_NET_PAIRS];

static const struct hosted_net *config(void)
{
    return &hosted_config.net;
}

bool net_present(void)
{
    return config()->pairs > 0;
}

static unsigned queue_count(void)
{
    return 2 * config()->pairs + 1;
}

/* ---- memory and rings ---- */

/* `len` bytes of RAM at pa. NULL: they are not. */
static void *ram(uint64_t pa, uint64_t len)
{
    uint64_t base = hosted_config.ram_base, size = hosted_config.ram_size;

    if (pa < base || len > size || pa - base > size - len)
        return NULL;
    return hal_phys_to_virt(pa);
}

static void broken(void)
{
    __atomic_fetch_or(&net.status, STATUS_NEEDS_RESET, __ATOMIC_RELAXED);
}

static bool is_broken(void)
{
    return __atomic_load_n(&net.status, __ATOMIC_RELAXED) & STATUS_NEEDS_RESET;
}

static bool enable(struct queue *q)
{
    uint32_t num = q->num;

    if (num == 0 || num > QUEUE_MAX || (num & (num - 1)) || q->desc_pa % 16 || q->avail_pa % 2 ||
        q->used_pa % 4)
        return false;
    q->desc = ram(q->desc_pa, num * sizeof(struct desc));
    q->avail = ram(q->avail_pa, 6 + 2 * num);
    q->used = ram(q->used_pa, 6 + sizeof(struct used) * num);
    q->seen = q->given = 0;
    return q->desc && q->avail && q->used;
}

/* Buffers that the driver has given and we have not taken. */
static uint16_t available(struct queue *q)
{
    /* Acquire: the descriptors that the index covers. */
    uint16_t count = (uint16_t)(__atomic_load_n(&q->avail[1], __ATOMIC_ACQUIRE) - q->seen);

    if (count <= q->num)
        return count;
    broken();
    return 0;
}

/* Number `ahead` of those: its first descriptor. */
static uint32_t head_at(const struct queue *q, uint16_t ahead)
{
    return q->avail[2 + (uint16_t)(q->seen + ahead) % q->num];
}

static bool events(void)
{
    return net.features & F_EVENTS;
}

/* The driver need not tell us of buffers. */
static void notify_off(struct queue *q)
{
    if (events())
        __atomic_store_n(&q->used[2 + 4 * q->num], (uint16_t)(q->seen - 1), __ATOMIC_RELAXED);
    else
        __atomic_store_n(&q->used[0], 1, __ATOMIC_RELAXED);
}

/* It is to tell us of the next one. False: one has come meanwhile, perhaps without its telling. */
static bool notify_on(struct queue *q)
{
    uint16_t index = __atomic_load_n(&q->avail[1], __ATOMIC_RELAXED);

    if (events())
        __atomic_store_n(&q->used[2 + 4 * q->num], index, __ATOMIC_RELAXED);
    else
        __atomic_store_n(&q->used[0], 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our word before the look at the driver's */
    return __atomic_load_n(&q->avail[1], __ATOMIC_RELAXED) == index;
}

/* In the used ring, not yet told: `number` buffers behind those that have been. */
static void put_used(struct queue *q, uint16_t number, uint32_t id, uint32_t len)
{
    struct used *ring = (struct used *)(q->used + 2);

    ring[(uint16_t)(q->given + number) % q->num] = (struct used){id, len};
}

static void interrupt(uint32_t reason)
{
    __atomic_fetch_or(&net.isr, reason, __ATOMIC_RELAXED);
    /* To ourselves no signal is needed: restore looks. */
    __atomic_fetch_or(&vcpu_self()->pending, HOSTED_IRQ_NET, __ATOMIC_SEQ_CST);
}

/* `count` more buffers are the driver's. */
static void publish(struct queue *q, uint16_t count)
{
    q->given = (uint16_t)(q->given + count);
    q->seen = (uint16_t)(q->seen + count);
    /* Release: the elements and the bytes. */
    __atomic_store_n(&q->used[1], q->given, __ATOMIC_RELEASE);
}

/* Tell the driver of what came since `before`, if it wants to be told. */
static void tell(struct queue *q, uint16_t before)
{
    bool wanted;

    if (q->given == before)
        return;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our index before the look at the driver's word */
    if (events()) {
        uint16_t event = __atomic_load_n(&q->avail[2 + q->num], __ATOMIC_RELAXED);

        wanted = (uint16_t)(q->given - event - 1) < (uint16_t)(q->given - before);
    } else {
        wanted = !(__atomic_load_n(&q->avail[0], __ATOMIC_RELAXED) & 1);
    }
    if (wanted)
        interrupt(ISR_QUEUE);
}

/* ---- the wire ---- */

static long wire(long call, int fd, const struct host_iovec *iov, unsigned count)
{
    long n;

    do
        n = host_call3(call, fd, (long)iov, count);
    while (n == -HOST_EINTR);
    return n;
}

/* In a simulation frames come and go as messages. */
static long wire_send(unsigned pair, const struct host_iovec *iov, unsigned count, uint32_t total)
{
#if SELKIE_SIM
    (void)pair, (void)total;
    return sim_net_send(iov, count);
#else
    int shared = share_send(iov, count, total);

    net.peer_full = shared < 0;
    return shared ? shared : wire(HOST_writev, config()->fd[pair], iov, count);
#endif
}

static long wire_receive(unsigned pair, const struct host_iovec *iov, unsigned count)
{
#if SELKIE_SIM
    return sim_net_receive(pair, iov, count);
#else
    return wire(HOST_readv, config()->fd[pair], iov, count);
#endif
}

/* The outer thread looks at it once more; what a simulation brings tells of itself. */
static void watch(int fd, uint32_t what, unsigned pair)
{
    struct {
        uint32_t events;
        uint64_t data;
    } packed event = {what | HOST_EPOLLONESHOT, (uint64_t)pair << 32 | what};

    if (!SELKIE_SIM)
        (void)host_call4(HOST_epoll_ctl, config()->epoll_fd, HOST_EPOLL_CTL_MOD, fd, (long)&event);
}

/* A frame into the --pcap file: one write, so that frames of several CPUs do not mix. */
static void record(const struct host_iovec *iov, unsigned count, uint32_t len)
{
    struct host_iovec out[PIECES + 1];
    uint64_t now = hal_clock_ns() + hal_wall_base_ns();
    uint32_t head[4] = {(uint32_t)(now / NS_PER_SEC), (uint32_t)(now % NS_PER_SEC), len - HEADER,
                        len - HEADER};
    uint32_t skip = HEADER;
    unsigned n = 1;

    out[0] = (struct host_iovec){head, sizeof(head)};
    for (unsigned i = 0; i < count && len > 0; i++) {
        uint32_t take = MIN((uint32_t)iov[i].len, len), cut = MIN(take, skip);

        len -= take;
        skip -= cut;
        out[n++] = (struct host_iovec){(const uint8_t *)iov[i].base + cut, take - cut};
    }
    (void)wire(HOST_writev, config()->pcap_fd, out, n);
}

/* ---- sending ---- */

/* The pieces of the chain that begins at `head`: how many; 0: it is not one. */
static unsigned chain(const struct queue *q, uint32_t head, struct host_iovec *iov, uint32_t *total)
{
    uint32_t at = head;

    *total = 0;
    for (unsigned count = 0; count < PIECES; count++) {
        const struct desc *d = &q->desc[at];

        if (at >= q->num)
            return 0;
        iov[count] = (struct host_iovec){ram(d->addr, d->len), d->len};
        if (!iov[count].base || (d->flags & DESC_WRITE) || d->len > FRAME_MAX)
            return 0;
        *total += d->len;
        if (!(d->flags & DESC_NEXT))
            return *total > HEADER && *total <= FRAME_MAX ? count + 1 : 0;
        at = d->next;
    }
    return 0;
}

/* One frame. False: the wire has no room. */
static bool send_one(struct queue *q, unsigned pair)
{
    struct host_iovec iov[PIECES];
    uint32_t total, head = head_at(q, 0);
    unsigned count = chain(q, head, iov, &total);
    long n;

    if (count == 0) {
        broken();
        return false;
    }
    n = wire_send(pair, iov, count, total);
    if (n == -HOST_EAGAIN)
        return false;
    /* Any other error is a frame lost on the wire. */
    if (n > 0 && config()->pcap_fd >= 0)
        record(iov, count, total);
    put_used(q, 0, head, 0);
    publish(q, 1);
    return true;
}

static void send_all(struct queue *q, unsigned pair)
{
    uint16_t before = q->given;
    bool room = true;

    notify_off(q);
    do
        while (room && available(q) > 0)
            room = send_one(q, pair);
    while (room && !notify_on(q));
    if (!room && !is_broken() && !net.peer_full)
        watch(config()->fd_out[pair], HOST_EPOLLOUT, pair);
    share_sent();
    tell(q, before);
}

/* ---- receiving ---- */

struct batch {
    struct host_iovec iov[PIECES];
    uint16_t id[PIECES];
    unsigned count;
    uint32_t room;
};

/* The longest frame that may come. */
static uint32_t frame_most(void)
{
    uint32_t plain = MAX(FRAME_PLAIN, config()->mtu + FRAME_AROUND);

    return net.features & F_GUEST_TSO ? FRAME_MAX : plain;
}

/* The buffers for one frame of `need` bytes, the first of those available. False: too few. */
static bool gather(struct queue *q, struct batch *b, uint32_t need)
{
    uint16_t there = available(q);

    b->room = b->count = 0;
    while (b->count < there && b->count < PIECES && b->room < need) {
        uint32_t head = head_at(q, (uint16_t)b->count);
        const struct desc *d = &q->desc[head];
        void *base = head < q->num ? ram(d->addr, d->len) : NULL;

        if (!base || d->flags != DESC_WRITE || d->len < HEADER) {
            broken();
            return false;
        }
        b->id[b->count] = (uint16_t)head;
        b->iov[b->count++] = (struct host_iovec){base, d->len};
        b->room += d->len;
        if (!(net.features & F_MERGE))
            break;
    }
    return b->room >= need || (!(net.features & F_MERGE) && b->count > 0);
}

static void deliver(struct queue *q, const struct batch *b, uint32_t len)
{
    uint16_t used = 0;

    if (config()->pcap_fd >= 0)
        record(b->iov, b->count, len);
    for (uint32_t left = len; left > 0; used++) {
        uint32_t n = MIN(left, (uint32_t)b->iov[used].len);

        put_used(q, used, b->id[used], n);
        left -= n;
    }
    memcpy((uint8_t *)(uintptr_t)b->iov[0].base + HEADER_BUFFERS, &used, sizeof(used));
    publish(q, used);
}

static bool net_link_down(void)
{
    return __atomic_load_n(&net.link_down, __ATOMIC_RELAXED);
}

void net_link(bool up)
{
    if (__atomic_exchange_n(&net.link_down, !up, __ATOMIC_RELAXED) == up)
        interrupt(ISR_CONFIG);
}

/* One frame. False: the wire is empty, or has ended. */
static bool receive_one(struct queue *q, unsigned pair, const struct batch *b)
{
    long n = wire_receive(pair, b->iov, b->count);

    if ((uint32_t)n > HEADER && n > 0) {
        deliver(q, b, (uint32_t)n);
        return true;
    }
    if (n == 1) /* a bad cable (tools/cli/netcable.c) comes or goes; no frame is so short */
        net_link(*(const uint8_t *)b->iov[0].base != 0);
    if (n > 0) /* a record that is no frame */
        return true;
    if (n == -HOST_EAGAIN || n == -HOST_EIO) { /* EIO: a tap that is down */
        /* Before the thread is asked, whose answer takes it back. */
        __atomic_store_n(&net.asked[pair], true, __ATOMIC_RELAXED);
        watch(config()->fd[pair], HOST_EPOLLIN, pair);
    } else {
        net_link(false);
    }
    return false;
}

/* From the descriptor. False: it is empty. Where most comes by shared memory it is not asked again
 * and again. */
static bool receive_wire(struct queue *q, unsigned pair, unsigned *budget)
{
    struct batch b;
    bool more = true;

    if (share_used() && (__atomic_load_n(&net.asked[pair], __ATOMIC_RELAXED) || net_link_down()))
        return false;
    for (; *budget > 0 && more && gather(q, &b, frame_most()); --*budget)
        more = receive_one(q, pair, &b);
    return more;
}

/* The records of one ring. True: there was one. */
static bool receive_ring(struct queue *q, struct ring_reader *r, unsigned *budget, bool *any)
{
    uint32_t len;
    bool taken = false;

    for (; *budget > 0 && (len = ring_next(r, FRAME_MAX)) != 0; --*budget) {
        struct batch b = {.count = 0};
        bool frame = len > HEADER && len <= frame_most();

        *any = true;
        if (frame && !gather(q, &b, len))
            break;
        frame = frame && b.room >= len; /* without merging, one buffer is all there is */
        ring_take(r, b.iov, frame ? b.count : 0);
        if (frame)
            deliver(q, &b, len);
        taken = true;
    }
    return taken;
}

/* From all rings. False: they are empty, and tell of what comes. */
static bool receive_shared(struct queue *q, unsigned *budget)
{
    bool any = false;

    if (!share_used())
        return false;
    do
        for (uint64_t set = share_set(), left = set; left && *budget > 0; left &= left - 1) {
            unsigned place = (unsigned)__builtin_ctzll(left);
            struct ring_reader *r = share_reader(place);

            if (r)
                share_reader_done(place, receive_ring(q, r, budget, &any));
        }
    while (!any && *budget > 0 && share_arm());
    return any || *budget == 0;
}

/* Read until there is nothing, the budget is used up or buffers lack. In the last two cases, and
 * after any frame from shared memory, the driver, which is told of what has come, gives buffers and
 * so continues. */
static void receive_all(struct queue *q, unsigned pair)
{
    uint16_t before = q->given;
    unsigned budget = BUDGET;
    bool more;

    notify_off(q);
    do {
        more = receive_wire(q, pair, &budget);
        more |= receive_shared(q, &budget);
    } while (more && !is_broken() && !notify_on(q));
    tell(q, before);
}

/* ---- running queues ---- */

static void control_some(struct queue *q)
{
    for (; available(q) > 0; publish(q, 1)) {
        uint32_t head = head_at(q, 0), at = head;
        const uint8_t *command = NULL;
        uint8_t *answer = NULL;

        for (unsigned i = 0; i < q->num && at < q->num; i++) {
            const struct desc *d = &q->desc[at];

            if (i == 0 && d->len >= 2)
                command = ram(d->addr, d->len);
            if ((d->flags & DESC_WRITE) && d->len >= 1)
                answer = ram(d->addr, d->len);
            if (!(d->flags & DESC_NEXT))
                break;
            at = d->next;
        }
        if (head >= q->num || !command || !answer) {
            broken();
            return;
        }
        /* All frames come anyhow, and all pairs are always looked at. */
        *answer = command[0] == CONTROL_CLASS_RX || command[0] == CONTROL_CLASS_PAIRS ? 0 : 1;
        put_used(q, 0, head, 1);
    }
}

/* Without the word that notify_on leaves, a driver that keeps event indexes would not tell us of
 * its second command. */
static void control_run(struct queue *q)
{
    uint16_t before = q->given;

    do
        control_some(q);
    while (!is_broken() && !notify_on(q));
    tell(q, before);
}

static void run_once(unsigned index)
{
    struct queue *q = &net.queues[index];
    unsigned pair = index / 2;

    uint32_t status = __atomic_load_n(&net.status, __ATOMIC_RELAXED);

    if (!q->ready || !(status & STATUS_DRIVER_OK) || (status & STATUS_NEEDS_RESET))
        return;
    if (pair == config()->pairs)
        control_run(q);
    else if (index % 2)
        send_all(q, pair);
    else
        receive_all(q, pair);
}

static void run(unsigned index)
{
    struct queue *q = &net.queues[index];
    uint32_t seen = 1;

    /* Acquire and release: one CPU after the other. */
    if (__atomic_fetch_add(&q->wanted, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    do {
        seen = __atomic_load_n(&q->wanted, __ATOMIC_ACQUIRE);
        run_once(index);
    } while (__atomic_sub_fetch(&q->wanted, seen, __ATOMIC_ACQ_REL) != 0);
}

void net_interrupt(struct vcpu *v)
{
    /* A single pair is any CPU's. */
    for (unsigned pair = config()->pairs == 1 ? 0 : v->id; pair < config()->pairs;
         pair += hosted_config.cpu_count) {
        /* Acquire: pairs with the outer thread's release. */
        uint32_t seen = __atomic_exchange_n(&hosted_net_events[pair], 0, __ATOMIC_ACQUIRE);

        if (seen & HOST_EPOLLIN)
            __atomic_store_n(&net.asked[pair], false, __ATOMIC_RELAXED);
        if (seen & HOST_EPOLLOUT)
            run(2 * pair + 1);
        if (seen & ~HOST_EPOLLOUT)
            run(2 * pair);
    }
    if (v->net_look) { /* it has seen something in shared memory */
        v->net_look = false;
        run(0);
    }
    if (__atomic_load_n(&net.isr, __ATOMIC_RELAXED) &&
        __atomic_load_n(&net.unmasked, __ATOMIC_RELAXED))
        kernel_irq(NET_IRQ);
}

void net_irq_unmask(void)
{
    __atomic_store_n(&net.unmasked, true, __ATOMIC_RELAXED);
    /* Level: what came before. */
    __atomic_fetch_or(&vcpu_self()->pending, HOSTED_IRQ_NET, __ATOMIC_SEQ_CST);
}

/* ---- registers (4.2.2) ---- */

static uint64_t offered(void)
{
    return F_VERSION_1 | F_EVENTS | F_MAC | F_MERGE | F_STATUS | F_CONTROL | F_CONTROL_RX |
           (config()->mtu ? F_MTU : 0) | (config()->pairs > 1 ? F_PAIRS : 0) | config()->offloads;
}

static uint32_t config_read(unsigned offset, unsigned width)
{
    const struct hosted_net *c = config();
    uint8_t bytes[16] = {0};
    uint32_t value = 0;

    memcpy(bytes, c->mac, 6);
    bytes[6] = !__atomic_load_n(&net.link_down, __ATOMIC_RELAXED);
    bytes[8] = (uint8_t)c->pairs;
    bytes[10] = (uint8_t)c->mtu;
    bytes[11] = (uint8_t)(c->mtu >> 8);
    if (offset + width <= sizeof(bytes))
        memcpy(&value, bytes + offset, width);
    return value;
}

uint32_t net_read(unsigned offset, unsigned width)
{
    const struct queue *q = net.select < queue_count() ? &net.queues[net.select] : NULL;

    if (offset >= 0x100)
        return config_read(offset - 0x100, width);
    switch (offset) {
    case 0x000:
        return MAGIC;
    case 0x004:
        return VERSION;
    case 0x008:
        return ID_NET;
    case 0x00c:
        return VENDOR;
    case 0x010:
        return (uint32_t)(net.feature_select ? offered() >> 32 : offered());
    case 0x034:
        return q ? QUEUE_MAX : 0;
    case 0x044:
        return q ? q->ready : 0;
    case 0x060:
        return __atomic_load_n(&net.isr, __ATOMIC_RELAXED);
    case 0x070:
        return __atomic_load_n(&net.status, __ATOMIC_RELAXED);
    default:
        return 0;
    }
}

/* The driver lets go of the device, or takes it (again). */
static void set_status(uint32_t value)
{
    if (value == 0) {
        for (unsigned i = 0; i < queue_count(); i++)
            net.queues[i].ready = net.queues[i].num = 0;
        net.features = 0;
        __atomic_store_n(&net.isr, 0, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&net.status, value, __ATOMIC_RELAXED);
}

static void half(uint64_t *to, bool high, uint32_t value)
{
    *to = high ? (*to & UINT32_MAX) | (uint64_t)value << 32 : (*to & ~(uint64_t)UINT32_MAX) | value;
}

static void queue_write(struct queue *q, unsigned offset, uint32_t value)
{
    switch (offset) {
    case 0x038:
        q->num = value;
        break;
    case 0x044:
        q->ready = value && enable(q);
        break;
    case 0x080:
    case 0x084:
        half(&q->desc_pa, offset & 4, value);
        break;
    case 0x090:
    case 0x094:
        half(&q->avail_pa, offset & 4, value);
        break;
    case 0x0a0:
    case 0x0a4:
        half(&q->used_pa, offset & 4, value);
        break;
    default:
        break;
    }
}

void net_write(unsigned offset, uint32_t value, unsigned width)
{
    (void)width;
    switch (offset) {
    case 0x014:
        net.feature_select = value;
        return;
    case 0x020:
        half(&net.features, net.feature_select, value);
        return;
    case 0x024:
        net.feature_select = value;
        return;
    case 0x030:
        net.select = value;
        return;
    case 0x050:
        if (value < queue_count())
            run(value);
        return;
    case 0x064:
        __atomic_fetch_and(&net.isr, ~value, __ATOMIC_RELAXED);
        return;
    case 0x070:
        /* Features that are not ours are not agreed on. */
        if (net.features & ~offered())
            value &= ~8u;
        set_status(value);
        return;
    default:
        /* A queue that is in use stays as it is. */
        if (net.select < queue_count() && !net.queues[net.select].ready)
            queue_write(&net.queues[net.select], offset, value);
        return;
    }
}
