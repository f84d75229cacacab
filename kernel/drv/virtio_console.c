/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_console.c - the standard streams over one port of a virtio console (Virtual I/O Device
 * 1.2, 5.3), framed as on a serial line (lib/conframe.h). A UART under an emulator costs a system
 * call per byte; here it is one for thousands.
 *
 * Port 1 is used where the device has several ports, because QEMU throws away what port 0's reader
 * does not take at once, and makes the writers of other ports wait. Ports other than 0 must be
 * opened by messages on the control queues (5.3.6.2).
 *
 * Output: one buffer, guarded by a mutex together with the framing state. A writer waits until the
 * device has taken it: most devices have before the notification returns, so it looks some times
 * before it sleeps. When `write` returns, the bytes are on the other side, but those that it gives
 * back because the other side has stopped the stream.
 * Input: the device fills RX_COUNT pages. They are decoded into a ring, in the interrupt handler
 * because signals must come through when nobody reads. The other side sends what it has been told
 * that there is room for; if it does not keep to that, what does not fit stays in its page, so the
 * device runs out of pages and the sender waits.
 */
#include "drv/virtio_console.h"

#include "core/log.h"
#include "core/mutex.h"
#include "drv/virtio.h"
#include "hal_up.h"
#include "lib/conframe.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/page.h"
#include "sched/wait.h"

/* Queue numbers (5.3.2): two for port 0, two for control, two for port 1, and so on. */
#define QUEUE_CONTROL_RX 2u
#define QUEUE_CONTROL_TX 3u
#define QUEUE_RX(port) ((port) == 0 ? 0u : 2 + 2 * (port))
#define FEATURE_MULTIPORT (1ull << 1)
#define CONFIG_MAX_PORTS 4u
/* Control events (5.3.6.2). */
enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, PORT_OPEN = 6 };
struct control {
    uint32_t port;
    uint16_t event, value;
};
#define CONTROL_COUNT 4u  /* messages in, on the way at once */
#define CONTROL_SIZE 128u /* a name may follow one */
#define CONTROL_WAIT_NS NS_PER_SEC
#define RX_COUNT 4u
#define TX_ORDER 3u
#define TX_SIZE (PAGE_SIZE << TX_ORDER)
#define TX_LOOKS 200u /* before sleeping */
#define RING_SIZE 16384u
#define INPUT_ROOM (RING_SIZE - 1) /* for the sender: a full ring hears no controls either */

static struct {
    struct virtio_device dev;
    unsigned port;
    uint8_t *control; /* a page: CONTROL_COUNT messages in, then one out */

    struct mutex out_lock; /* RANK_SLEEP_LAST: the next four */
    struct virtio_queue tx;
    struct conframe_out out;
    uint8_t *tx_buffer;
    bool broken; /* the device does not do what it should: everything is -EPIPE */
    struct waitq tx_wait;

    struct spinlock in_lock; /* RANK_DEVICE: the rest */
    struct virtio_queue rx, control_rx, control_tx;
    uint8_t *page[RX_COUNT];
    int current; /* page being decoded, -1: none */
    uint32_t at, len;
    struct conframe_in in;
    struct hal_console_info info;
    uint8_t ring[RING_SIZE];
    uint32_t head, tail; /* free-running */
    uint32_t taken;      /* read, and its room not yet given to the sender again */
} console;

/* ---- output ---- */

static void wait_sent(void)
{
    struct waiter w;
    for (unsigned i = 0; i < TX_LOOKS; i++) {
        if (virtio_queue_ready(&console.tx))
            return;
        hal_cpu_relax();
    }
    waitq_prepare(&console.tx_wait, &w, false);
    while (!virtio_queue_ready(&console.tx))
        (void)!waitq_sleep(&w, UINT64_MAX); /* not interruptible: 0 */
    waitq_finish(&w);
}

/* Send what is in the buffer. out_lock held. */
static int send(size_t len)
{
    uint32_t none;
    virtio_queue_add(&console.tx, 0, hal_virt_to_phys(console.tx_buffer), (uint32_t)len, false);
    virtio_queue_kick(&console.dev, &console.tx);
    wait_sent();
    console.broken = virtio_queue_take(&console.tx, &none) != 0;
    return console.broken ? -EPIPE : 0;
}

static int console_write(enum hal_stream stream, const void *buf, size_t len)
{
    const uint8_t *from = buf;
    int err = 0;
    mutex_lock(&console.out_lock);
    if (console.broken)
        err = -EPIPE;
    while (len > 0 && err == 0) {
        size_t used;
        int room = conframe_room(&console.in, stream);
        if (room <= 0) {
            err = room ? room : (int)len;
            break;
        }
        size_t n =
            conframe_encode(&console.out, stream, from, len, &used, console.tx_buffer, TX_SIZE);
        err = send(n);
        from += used;
        len -= used;
    }
    mutex_unlock(&console.out_lock);
    return err;
}

static int console_room(enum hal_stream stream)
{
    return conframe_room(&console.in, stream);
}

/* There is room for so many bytes of input more. */
static int send_credit(uint32_t bytes)
{
    mutex_lock(&console.out_lock);
    int err = console.broken ? -EPIPE : send(conframe_encode_credit(bytes, console.tx_buffer));
    mutex_unlock(&console.out_lock);
    return err;
}

/* ---- control ---- */

static void control_give(unsigned id)
{
    virtio_queue_add(&console.control_rx, id, hal_virt_to_phys(console.control + id * CONTROL_SIZE),
                     CONTROL_SIZE, true);
}

/* Look at what came; true if it was `event` for our port. in_lock held, or not started yet. As many
 * messages as can have been on their way: a device that answers each kick with another one must not
 * keep us here, and for those it interrupts again. */
static bool control_take(unsigned event)
{
    struct control message;
    uint32_t len;
    bool found = false;
    for (unsigned i = 0; i < CONTROL_COUNT; i++) {
        int id = virtio_queue_take(&console.control_rx, &len);
        if (id < 0)
            break;
        memcpy(&message, console.control + (unsigned)id * CONTROL_SIZE, sizeof(message));
        found |= len >= sizeof(message) && message.event == event && message.port == console.port;
        control_give((unsigned)id);
        virtio_queue_kick(&console.dev, &console.control_rx);
    }
    return found;
}

/* Send a message and wait until the device has it. */
static int control_send(uint32_t port, uint16_t event, uint16_t value)
{
    struct control *message = (struct control *)(console.control + CONTROL_COUNT * CONTROL_SIZE);
    uint64_t until = hal_clock_ns() + CONTROL_WAIT_NS;
    uint32_t none;
    *message = (struct control){port, event, value};
    virtio_queue_add(&console.control_tx, 0, hal_virt_to_phys(message), sizeof(*message), false);
    virtio_queue_kick(&console.dev, &console.control_tx);
    while (!virtio_queue_ready(&console.control_tx) && hal_clock_ns() < until)
        hal_cpu_relax();
    return virtio_queue_take(&console.control_tx, &none) < 0 ? -EIO : 0;
}

/* Hear that there is our port, and open it. The device works already. */
static int port_open(void)
{
    uint64_t until = hal_clock_ns() + CONTROL_WAIT_NS;
    int err = control_send(0, DEVICE_READY, 1);
    while (!err && !control_take(PORT_ADD))
        err = hal_clock_ns() < until ? 0 : -ENODEV;
    if (!err)
        err = control_send(console.port, PORT_READY, 1);
    return err ? err : control_send(console.port, PORT_OPEN, 1);
}

/* ---- input ---- */

struct news {
    bool any;
    int signo;
};

/* Plain bytes go in one piece; anything else byte by byte. Room for one byte at least. */
static void decode(struct news *news)
{
    const uint8_t *from = console.page[console.current] + console.at;
    uint32_t place = console.head % RING_SIZE;
    uint32_t room = MIN(RING_SIZE - (console.head - console.tail), RING_SIZE - place);
    size_t n = conframe_plain(&console.in, from, MIN(console.len - console.at, room));
    if (n > 0) {
        memcpy(console.ring + place, from, n);
        console.head += (uint32_t)n;
        console.at += (uint32_t)n;
        news->any = true;
        return;
    }
    console.at++;
    switch (conframe_decode(&console.in, *from)) {
    case CONFRAME_BYTE:
        console.ring[console.head++ % RING_SIZE] = console.in.byte;
        news->any = true;
        break;
    case CONFRAME_WINDOW:
        console.info.rows = console.in.rows;
        console.info.cols = console.in.cols;
        news->any = true;
        break;
    case CONFRAME_SIGNAL:
        news->signo = console.in.signo;
        break;
    case CONFRAME_EOF:
    case CONFRAME_OUTPUT:
        news->any = true;
        break;
    default:
        break;
    }
}

static void page_give(unsigned id)
{
    virtio_queue_add(&console.rx, id, hal_virt_to_phys(console.page[id]), PAGE_SIZE, true);
}

/* The next page that the device has filled. A device that lies about one loses it. */
static bool page_next(void)
{
    uint32_t len;
    int id = virtio_queue_take(&console.rx, &len);
    if (id < 0)
        return false;
    console.current = id;
    console.at = 0;
    console.len = MIN(len, (uint32_t)PAGE_SIZE);
    return true;
}

/* Decode until the ring is full, input ends, or a signal must be dealt with. in_lock held. */
static void pump(struct news *news)
{
    bool given = false;
    while (news->signo == 0 && console.head - console.tail < RING_SIZE) {
        if (console.current < 0 && !page_next())
            break;
        if (console.at < console.len) {
            decode(news);
            continue;
        }
        page_give((unsigned)console.current);
        console.current = -1;
        given = true;
    }
    if (given)
        virtio_queue_kick(&console.dev, &console.rx);
}

static void tell(const struct news *news)
{
    if (news->any)
        kernel_console();
    if (news->signo)
        kernel_shutdown_request(news->signo);
}

static void take_input(void)
{
    struct news news;
    do {
        news = (struct news){0};
        unsigned long irq = spin_lock_irqsave(&console.in_lock);
        pump(&news);
        if (console.port > 0)
            (void)control_take(PORT_ADD); /* nothing that matters later */
        spin_unlock_irqrestore(&console.in_lock, irq);
        tell(&news);
    } while (news.signo);
}

static long console_read(void *buf, size_t len)
{
    uint8_t *to = buf;
    size_t done = 0;
    struct news news = {0};
    unsigned long irq = spin_lock_irqsave(&console.in_lock);
    while (done < len && console.tail != console.head) {
        uint32_t place = console.tail % RING_SIZE;
        size_t n = MIN(MIN(len - done, (size_t)(console.head - console.tail)),
                       (size_t)(RING_SIZE - place));
        memcpy(to + done, console.ring + place, n);
        console.tail += (uint32_t)n;
        done += n;
    }
    bool end = done == 0 && len > 0 && console.in.eof;
    pump(&news); /* what waited for room; the reader comes again until there is nothing */
    console.taken += (uint32_t)done;
    uint32_t credit = console.taken >= RING_SIZE / 4 ? console.taken : 0;
    console.taken -= credit;
    spin_unlock_irqrestore(&console.in_lock, irq);
    if (credit)
        (void)send_credit(credit);
    if (news.any || news.signo)
        tell(&news);
    if (news.signo)
        take_input();
    return end ? -EPIPE : (long)done;
}

static void console_info(struct hal_console_info *out)
{
    unsigned long irq = spin_lock_irqsave(&console.in_lock);
    *out = console.info;
    spin_unlock_irqrestore(&console.in_lock, irq);
}

static void on_irq(void *arg)
{
    (void)arg;
    if (!(virtio_irq_reason(&console.dev) & VIRTIO_IRQ_QUEUE))
        return;
    take_input();
    waitq_wake_all(&console.tx_wait, 0);
}

/* ---- set-up ---- */

/* All the memory; a machine that has too little for it keeps what it got, and does not get far. */
static int buffers_alloc(void)
{
    struct page *page = page_alloc(TX_ORDER, PAGE_KERNEL, ALLOC_DEFAULT);
    if (!page)
        return -ENOMEM;
    console.tx_buffer = page_virt(page);
    for (unsigned i = 0; i <= RX_COUNT; i++) {
        page = page_alloc(0, PAGE_KERNEL, ALLOC_DEFAULT);
        if (!page)
            return -ENOMEM;
        *(i < RX_COUNT ? &console.page[i] : &console.control) = page_virt(page);
    }
    return 0;
}

static int queues_init(void)
{
    unsigned rx = QUEUE_RX(console.port);
    int err = virtio_queue_init(&console.dev, &console.rx, rx, RX_COUNT);
    if (!err)
        err = virtio_queue_init(&console.dev, &console.tx, rx + 1, 1);
    if (!err && console.port > 0)
        err = virtio_queue_init(&console.dev, &console.control_rx, QUEUE_CONTROL_RX, CONTROL_COUNT);
    if (!err && console.port > 0)
        err = virtio_queue_init(&console.dev, &console.control_tx, QUEUE_CONTROL_TX, 1);
    return err;
}

/* The device may use the queues; buffers are there from the beginning. */
static void device_start(void)
{
    for (unsigned i = 0; i < console.rx.size; i++)
        page_give(i);
    for (unsigned i = 0; console.port > 0 && i < console.control_rx.size; i++)
        control_give(i);
    virtio_start(&console.dev);
    if (console.port > 0)
        virtio_queue_kick(&console.dev, &console.control_rx);
}

static int start(void)
{
    uint64_t features;
    int err = virtio_features(&console.dev, FEATURE_MULTIPORT, &features);
    if (!err)
        err = buffers_alloc();
    if (err)
        return err;
    if ((features & FEATURE_MULTIPORT) && virtio_config32(&console.dev, CONFIG_MAX_PORTS) > 1)
        console.port = 1;
    err = queues_init();
    if (err)
        return err;
    device_start();
    if (console.port > 0)
        err = port_open();
    /* Only now: a device may look for room when it is told, and not take input before the port is
     * open. */
    virtio_queue_kick(&console.dev, &console.rx);
    if (!err)
        err = virtio_attach(&console.dev, on_irq, NULL);
    if (err)
        return err;
    memcpy(console.tx_buffer, CONFRAME_READY, CONFRAME_READY_LEN);
    console.out.stream = HAL_STREAM_LOG;
    err = send(CONFRAME_READY_LEN);
    return err ? err : send_credit(INPUT_ROOM);
}

const struct stdio_device *virtio_console_open(void)
{
    static const struct stdio_device device = {console_write, console_room, console_read,
                                               console_info};
    unsigned at = 0;
    if (virtio_find(&console.dev, VIRTIO_CONSOLE, &at))
        return NULL;
    memset(&console.in, 0, sizeof(console.in));
    console.head = console.tail = console.taken = console.port = 0;
    console.broken = false;
    mutex_init(&console.out_lock, RANK_SLEEP_LAST);
    spin_init(&console.in_lock, RANK_DEVICE);
    waitq_init(&console.tx_wait);
    console.current = -1;
    hal_console_info(&console.info);
    int err = start();
    if (err) {
        virtio_reset(&console.dev);
        log_warn("the virtio console does not work (%d)", err);
        return NULL;
    }
    return &device;
}
