/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console.c - the hal_console_ entries over one UART: see console.h.
 *
 * Output: console_lock guards the line and the selected stream for one FIFO's worth of bytes, with
 * interrupts off. A panic must get through even if the lock's owner was stopped, so LOG writes give
 * up waiting after a while and go on without it; from then on they do not wait that long again.
 * Input: the interrupt (CPU 0) decodes bytes into a ring; hal_console_read empties it. The ring has
 * its own lock. When it is full the receive interrupt is turned off, and the sender feels the full
 * UART.
 */
#include "common/console.h"

#include "hal_up.h"
#include "lib/conframe.h"
#include "lib/errno.h"
#include "lib/string.h"

#define RING_SIZE 4096u /* a power of two */
#define LOG_TRIES 20000000u
#define LOG_TRIES_AGAIN 10000u
#define DRAIN_NS (10 * NS_PER_SEC)

static bool present;
static struct conframe_options options;
static uint32_t console_lock;
static bool log_gave_up; /* atomic, relaxed: only shortens waiting */
static struct conframe_out out_state = {.stream = -1};

static uint32_t ring_lock; /* guards everything below, and options.info */
static uint8_t ring[RING_SIZE];
static uint32_t ring_head, ring_tail; /* free-running; head - tail bytes are in it */
static struct conframe_in in_state;
static bool rx_stopped;

/* Acquire and release pair up: what one owner wrote, the next one sees. */
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

static bool log_gives_up(unsigned tries)
{
    bool again = __atomic_load_n(&log_gave_up, __ATOMIC_RELAXED);

    if (tries < (again ? LOG_TRIES_AGAIN : LOG_TRIES))
        return false;
    __atomic_store_n(&log_gave_up, true, __ATOMIC_RELAXED);
    return true;
}

/*
 * Get the line with room for CONSOLE_LINE_FIFO bytes, interrupts off. Between tries interrupts are
 * as the caller had them: whoever reads the other end may take any time. Only the log does not wait
 * for ever; false then says that it goes on without the lock.
 */
static bool take_line(enum hal_stream stream, unsigned long *irq)
{
    for (unsigned tries = 0;; tries++) {
        *irq = hal_irq_save();
        if (!__atomic_exchange_n(&console_lock, 1, __ATOMIC_ACQUIRE)) {
            if (console_line_ready())
                return true;
            __atomic_store_n(&console_lock, 0, __ATOMIC_RELEASE);
        }
        if (stream == HAL_STREAM_LOG && log_gives_up(tries))
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
    uint8_t piece[CONSOLE_LINE_FIFO];
    size_t used = MIN(len, CONSOLE_LINE_FIFO), n;

    if (options.framed) {
        n = conframe_encode(&out_state, stream, from, len, &used, piece, sizeof(piece));
        console_line_put(piece, n);
    } else if (stream == HAL_STREAM_LOG) {
        n = encode_log(from, len, &used, piece, sizeof(piece));
        console_line_put(piece, n);
    } else {
        console_line_put(from, used);
    }
    return used;
}

int hal_console_write(enum hal_stream stream, const void *buf, size_t len)
{
    const uint8_t *from = buf;

    while (present && len > 0) {
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

/* The line stays taken: what other CPUs still write must not get into or behind the exit status. */
bool console_finish(int status)
{
    uint64_t start;
    unsigned long irq;

    if (!present)
        return false;
    (void)take_line(HAL_STREAM_LOG, &irq);
    start = hal_clock_ns();
    if (options.framed) {
        uint8_t frame[CONFRAME_EXIT_MAX];

        while (!console_line_ready() && hal_clock_ns() - start < DRAIN_NS)
            hal_cpu_relax();
        console_line_put(frame, conframe_encode_exit(status, frame));
    }
    while (!console_line_idle() && hal_clock_ns() - start < DRAIN_NS)
        hal_cpu_relax();
    return options.framed;
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
static bool drain_line(int *signo)
{
    bool news = false;

    while (ring_head - ring_tail < RING_SIZE && *signo == 0) {
        int byte = console_line_get();

        if (byte < 0)
            return news;
        news |= receive((uint8_t)byte, signo);
    }
    if (*signo == 0) {
        console_line_rx_interrupt(false);
        rx_stopped = true;
    }
    return news;
}

void console_rx(void)
{
    bool news;
    int signo;

    do {
        unsigned long irq = lock(&ring_lock);

        signo = 0;
        news = drain_line(&signo);
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
        console_line_rx_interrupt(true); /* raises one at once if bytes wait */
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

void console_start(const char *cmdline, int early)
{
    int signo = 0;

    conframe_options(cmdline, &options);
    if (early >= 0)
        (void)receive((uint8_t)early, &signo); /* one byte is never a whole signal */
    if (options.framed) {
        console_line_put((const uint8_t *)CONFRAME_READY, CONFRAME_READY_LEN);
        out_state.stream = HAL_STREAM_LOG;
    }
    present = true;
}
