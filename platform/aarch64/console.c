/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console.c - all streams over a PL011, framed if the command line says so (common/conframe.h).
 *
 * Output: console_lock guards the line and the selected stream for one FIFO's worth of bytes, with
 * interrupts off. A panic must get through even if the lock's owner was stopped, so LOG writes give
 * up waiting after a while and go on without it.
 * Input: the interrupt (CPU 0) decodes bytes into a ring; hal_console_read empties it. The ring has
 * its own lock. When it is full the receive interrupt is turned off, and the sender feels the full
 * UART.
 */
#include "aarch64.h"
#include "common/conframe.h"
#include "common/pl011.h"
#include "lib/errno.h"
#include "lib/string.h"

#define RING_SIZE 4096u /* a power of two */
#define LOG_TRIES 20000000u
#define DRAIN_NS (10 * NS_PER_SEC)

unsigned aarch64_console_intid;

static volatile void *uart; /* NULL: none */
static struct conframe_options options;
static uint32_t console_lock;
static struct conframe_out out_state = {.stream = -1};

static uint32_t ring_lock; /* guards everything below */
static uint8_t ring[RING_SIZE];
static uint32_t ring_head, ring_tail; /* free-running; head - tail bytes are in it */
static struct conframe_in in_state;
static bool rx_stopped;

static unsigned long lock(uint32_t *word)
{
    unsigned long irq = hal_irq_save();

    while (__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE))
        hal_cpu_relax();
    return irq;
}

static void unlock(uint32_t *word, unsigned long irq)
{
    __atomic_store_n(word, 0, __ATOMIC_RELEASE);
    hal_irq_restore(irq);
}

/* ---- output ---- */

/*
 * Get the line with room for PL011_FIFO bytes, interrupts off. Between tries interrupts are as the
 * caller had them: whoever reads the other end may take any time. Only the log does not wait for
 * ever; false then says that it goes on without the lock.
 */
static bool take_line(enum hal_stream stream, unsigned long *irq)
{
    for (unsigned tries = 0;; tries++) {
        *irq = hal_irq_save();
        if (!__atomic_exchange_n(&console_lock, 1, __ATOMIC_ACQUIRE)) {
            if (pl011_ready(uart))
                return true;
            __atomic_store_n(&console_lock, 0, __ATOMIC_RELEASE);
        }
        if (stream == HAL_STREAM_LOG && tries == LOG_TRIES)
            return false;
        hal_irq_restore(*irq);
        hal_cpu_relax();
    }
}

/* Kernel messages on a bare line go to a terminal that nobody prepared: end lines as it wants. */
static size_t encode_log(const uint8_t *from, size_t len, size_t *used, uint8_t *to, size_t size)
{
    size_t put = 0, taken = 0;

    while (taken < len && size - put >= 2) {
        if (from[taken] == '\n')
            to[put++] = '\r';
        to[put++] = from[taken++];
    }
    *used = taken;
    return put;
}

/* As much of [from, from+len) as fits into the UART at once; returns what was taken. */
static size_t write_piece(enum hal_stream stream, const uint8_t *from, size_t len)
{
    uint8_t piece[PL011_FIFO];
    size_t used = MIN(len, PL011_FIFO), n;

    if (options.framed) {
        n = conframe_encode(&out_state, stream, from, len, &used, piece, sizeof(piece));
        pl011_put(uart, piece, n);
    } else if (stream == HAL_STREAM_LOG) {
        n = encode_log(from, len, &used, piece, sizeof(piece));
        pl011_put(uart, piece, n);
    } else {
        pl011_put(uart, from, used);
    }
    return used;
}

int hal_console_write(enum hal_stream stream, const void *buf, size_t len)
{
    const uint8_t *from = buf;

    while (uart && len > 0) {
        unsigned long irq;
        bool locked = take_line(stream, &irq);
        size_t used = write_piece(stream, from, len);

        if (locked)
            __atomic_store_n(&console_lock, 0, __ATOMIC_RELEASE);
        hal_irq_restore(irq);
        from += used;
        len -= used;
    }
    return 0;
}

/* Wait until the UART has room, or for everything to have left it; not for ever. */
static void wait_line(bool (*state)(volatile void *regs))
{
    uint64_t start = hal_clock_ns();

    while (!state(uart) && hal_clock_ns() - start < DRAIN_NS)
        __asm__ volatile("yield");
}

void aarch64_console_finish(int status)
{
    uint8_t frame[CONFRAME_EXIT_MAX];

    if (!uart)
        return;
    wait_line(pl011_ready);
    if (options.framed)
        pl011_put(uart, frame, conframe_encode_exit(status, frame));
    wait_line(pl011_idle);
}

/* ---- input ---- */

/* One received byte. Returns true if the kernel has something new to look at. */
static bool receive(uint8_t byte, int *signo)
{
    enum conframe_event event = CONFRAME_BYTE;

    if (options.framed)
        event = conframe_decode(&in_state, byte);
    else
        in_state.byte = byte;
    switch (event) {
    case CONFRAME_BYTE:
        ring[ring_head++ % RING_SIZE] = in_state.byte;
        return true;
    case CONFRAME_WINDOW:
        options.info.rows = in_state.rows;
        options.info.cols = in_state.cols;
        return true;
    case CONFRAME_SIGNAL:
        *signo = in_state.signo;
        return false;
    case CONFRAME_EOF:
        return true;
    default:
        return false;
    }
}

/* Move what the UART has into the ring; ring_lock held. */
static bool drain_uart(int *signo)
{
    bool news = false;

    while (ring_head - ring_tail < RING_SIZE && *signo == 0) {
        int byte = pl011_read(uart);

        if (byte < 0)
            return news;
        news |= receive((uint8_t)byte, signo);
    }
    if (*signo == 0) {
        pl011_rx_interrupt(uart, false);
        rx_stopped = true;
    }
    return news;
}

void aarch64_console_irq(void)
{
    bool news;
    int signo;

    do {
        unsigned long irq = lock(&ring_lock);

        signo = 0;
        news = drain_uart(&signo);
        unlock(&ring_lock, irq);
        if (news)
            kernel_console();
        if (signo)
            kernel_shutdown_request(signo);
    } while (signo);
}

long hal_console_read(void *buf, size_t len)
{
    uint8_t *to = buf;
    size_t n = 0;
    unsigned long irq = lock(&ring_lock);
    bool eof;

    while (n < len && ring_tail != ring_head)
        to[n++] = ring[ring_tail++ % RING_SIZE];
    eof = n == 0 && len > 0 && in_state.eof;
    if (rx_stopped && ring_head - ring_tail <= RING_SIZE / 2) {
        rx_stopped = false;
        pl011_rx_interrupt(uart, true); /* raises one at once if bytes wait */
    }
    unlock(&ring_lock, irq);
    return eof ? -EPIPE : (long)n;
}

void hal_console_info(struct hal_console_info *out)
{
    unsigned long irq = lock(&ring_lock);

    *out = options.info;
    unlock(&ring_lock, irq);
}

/* ---- set-up ---- */

/* The node that /chosen names as stdout, by path or alias, if it is a PL011; else the first PL011.
 */
static dtb_node find_uart(const struct dtb *dtb)
{
    const char *path = dtb_string(dtb, dtb_path(dtb, "/chosen", 7), "stdout-path");
    dtb_node node = DTB_NONE;

    if (path && path[0] != '/')
        path = dtb_string(dtb, dtb_path(dtb, "/aliases", 8), path);
    if (path) {
        const char *colon = strchr(path, ':');

        node = dtb_path(dtb, path, colon ? (size_t)(colon - path) : strlen(path));
    }
    if (node != DTB_NONE && dtb_lists(dtb, node, "compatible", "arm,pl011"))
        return node;
    node = DTB_NONE;
    do
        node = dtb_compatible(dtb, node, "arm,pl011");
    while (node != DTB_NONE && !dtb_enabled(dtb, node));
    return node;
}

void aarch64_console_init(const struct dtb *dtb)
{
    dtb_node node = find_uart(dtb);
    uint64_t base, size;
    int early, signo = 0;

    conframe_options(aarch64_boot_info.cmdline, &options);
    if (node == DTB_NONE || !dtb_reg(dtb, node, 0, &base, &size))
        return;
    uart = aarch64_mmio_map(base, HAL_PAGE_SIZE);
    early = pl011_init(uart);
    if (early >= 0)
        (void)receive((uint8_t)early, &signo); /* one byte is never a whole signal */
    if (options.framed) {
        pl011_put(uart, (const uint8_t *)CONFRAME_READY, CONFRAME_READY_LEN);
        out_state.stream = HAL_STREAM_LOG;
    }
    (void)aarch64_irq_of(dtb, node, 0, &aarch64_console_intid);
}

void aarch64_console_irq_init(void)
{
    if (!uart || aarch64_console_intid == 0)
        return;
    aarch64_irq_enable(aarch64_console_intid);
    pl011_rx_interrupt(uart, true);
}
