/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console.c - the hal_console_ entries over one UART: see console.h.
 *
 * Output: console_lock guards the line and the selected stream for one FIFO's worth of bytes, with
 * interrupts off. A line that takes nothing for longer than one FIFO needs (LINE_TRIES), or a
 * stream that the other side has stopped, is not waited for: the line's interrupt or the other
 * side's message tells when to try again. A panic must get through even if the lock's owner was
 * stopped, so it gives up waiting after a while and goes on without it; from then on it does not
 * wait that long again. Input: the interrupt (CPU 0) decodes bytes into a ring; hal_console_read
 * empties it. The ring has its own lock. The sender of a framed line knows how much room it has;
 * with another the receive interrupt is turned off when it is full, and he feels the full UART.
 */
#include "common/console.h"

#include "hal_up.h"
#include "lib/conframe.h"
#include "lib/errno.h"
#include "lib/string.h"

#define RING_SIZE 4096u            /* a power of two */
#define INPUT_ROOM (RING_SIZE - 2) /* for the sender: a full ring hears no controls either */
#define PANIC_TRIES 20000000u
#define PANIC_TRIES_AGAIN 10000u
/* A look at a register of a serial port takes from 0.1 us (memory) to 1 us (port) on a machine and
 * more in a virtual one; 16 bytes take 1.4 ms at 115200 baud. */
#define LINE_TRIES 20000u
#define DRAIN_NS (10 * NS_PER_SEC)

static bool present;
static struct conframe_options options;
static uint32_t console_lock;
static bool panic_gave_up;  /* atomic, relaxed: only shortens waiting */
static bool has_interrupts; /* set once at boot, on the CPU that takes them */
static struct conframe_out out_state = {.stream = -1};

static uint32_t ring_lock; /* guards everything below, and options.info */
static uint8_t ring[RING_SIZE];
static uint32_t ring_head, ring_tail; /* free-running; head - tail bytes are in it */
static struct conframe_in in_state;
static uint32_t ring_taken; /* read, and its room not yet given to the sender again */
static bool rx_stopped, tx_wanted;

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

/*
 * Get the line with room for CONSOLE_LINE_FIFO bytes, interrupts off. Between tries interrupts are
 * as the caller had them. False after that many tries, without the lock.
 */
static bool take_line(unsigned max, unsigned long *irq)
{
    for (unsigned tries = 0;; tries++) {
        *irq = hal_irq_save();
        if (!__atomic_exchange_n(&console_lock, 1, __ATOMIC_ACQUIRE)) {
            if (console_line_ready())
                return true;
            __atomic_store_n(&console_lock, 0, __ATOMIC_RELEASE);
        }
        if (tries >= max)
            return false;
        hal_irq_restore(*irq);
        hal_cpu_relax();
    }
}

static void release_line(unsigned long irq)
{
    __atomic_store_n(&console_lock, 0, __ATOMIC_RELEASE);
    hal_irq_restore(irq);
}

/* With the lock or, after a while, without. */
static bool take_line_in_panic(unsigned long *irq)
{
    bool again = __atomic_load_n(&panic_gave_up, __ATOMIC_RELAXED);

    if (take_line(again ? PANIC_TRIES_AGAIN : PANIC_TRIES, irq))
        return true;
    __atomic_store_n(&panic_gave_up, true, __ATOMIC_RELAXED);
    return false;
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

/* Ring_lock held. */
static void line_interrupts(void)
{
    if (has_interrupts)
        console_line_interrupts(!rx_stopped, tx_wanted);
}

/* An interrupt shall tell when the line takes something; at once if it does by now. */
static void want_line(void)
{
    unsigned long irq = lock(&ring_lock);

    tx_wanted = true;
    line_interrupts();
    unlock(&ring_lock, irq);
}

int hal_console_write(enum hal_stream stream, const void *buf, size_t len)
{
    const uint8_t *from = buf;
    int room = conframe_room(&in_state, stream);

    if (!present)
        return 0;
    if (room <= 0)
        return room ? room : (int)len;
    while (len > 0) {
        unsigned long irq;
        size_t used;

        if (!take_line(LINE_TRIES, &irq)) {
            hal_irq_restore(irq);
            if (!has_interrupts)
                continue; /* nothing would announce room */
            want_line();
            return (int)len;
        }
        used = write_piece(stream, from, len);
        release_line(irq);
        from += used;
        len -= used;
    }
    return 0;
}

int hal_console_room(enum hal_stream stream)
{
    int room = conframe_room(&in_state, stream);
    unsigned long irq;

    if (!present)
        return 1;
    if (room <= 0)
        return room;
    if (!has_interrupts)
        return 1;
    if (take_line(LINE_TRIES, &irq)) {
        release_line(irq);
        return 1;
    }
    hal_irq_restore(irq);
    want_line();
    return 0;
}

/* All of it, waiting for the line. */
static void write_in_panic(int stream, const void *buf, size_t len)
{
    const uint8_t *from = buf;

    while (present && len > 0) {
        unsigned long irq;
        bool locked = take_line_in_panic(&irq);
        size_t used = write_piece((enum hal_stream)stream, from, len);

        if (locked)
            release_line(irq);
        else
            hal_irq_restore(irq);
        from += used;
        len -= used;
    }
}

void hal_console_panic(const void *buf, size_t len)
{
    write_in_panic(HAL_STREAM_LOG, buf, len);
}

void console_core(const void *buf, size_t len)
{
    if (options.framed)
        write_in_panic(CONFRAME_CORE, buf, len);
}

/* The line stays taken: what other CPUs still write must not get into or behind the exit status. */
bool console_finish(int status)
{
    uint64_t start;
    unsigned long irq;

    if (!present)
        return false;
    (void)take_line_in_panic(&irq);
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

/* Tell the sender that there is room for so many bytes more. False if the line takes nothing. */
static bool send_credit(uint32_t bytes)
{
    uint8_t message[CONFRAME_CREDIT_MAX];
    size_t n = conframe_encode_credit(bytes, message);
    unsigned long irq;
    bool taken = take_line(LINE_TRIES, &irq);

    if (!taken) {
        hal_irq_restore(irq);
        want_line();
        return false;
    }
    console_line_put(message, n);
    release_line(irq);
    return true;
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
    case CONFRAME_OUTPUT:
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
        rx_stopped = true;
        line_interrupts();
    }
    return news;
}

/* Has room come that somebody waits for? ring_lock held. */
static bool line_has_room(void)
{
    if (!tx_wanted || !console_line_ready())
        return false;
    tx_wanted = false;
    line_interrupts();
    return true;
}

void console_interrupt(void)
{
    bool news;
    int signo;

    do {
        unsigned long irq = lock(&ring_lock);

        signo = 0;
        news = drain_line(&signo);
        news |= line_has_room();
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
    uint32_t credit = 0;
    bool eof;

    while (n < len && ring_tail != ring_head)
        to[n++] = ring[ring_tail++ % RING_SIZE];
    eof = n == 0 && len > 0 && in_state.eof;
    if (rx_stopped && ring_head - ring_tail <= RING_SIZE / 2) {
        rx_stopped = false;
        line_interrupts(); /* raises one at once if bytes wait */
    }
    ring_taken += (uint32_t)n;
    if (options.framed && ring_taken >= RING_SIZE / 4) {
        credit = ring_taken;
        ring_taken = 0;
    }
    unlock(&ring_lock, irq);
    if (credit && !send_credit(credit)) { /* when room is announced somebody reads again */
        irq = lock(&ring_lock);
        ring_taken += credit;
        unlock(&ring_lock, irq);
    }
    return eof ? -EPIPE : (long)n;
}

/* The launcher reads the terminal, and is stopped for it. */
void hal_console_want(void)
{
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
        uint8_t credit[CONFRAME_CREDIT_MAX];

        _Static_assert(CONFRAME_READY_LEN + CONFRAME_CREDIT_MAX <= CONSOLE_LINE_FIFO, "at once");
        console_line_put((const uint8_t *)CONFRAME_READY, CONFRAME_READY_LEN);
        console_line_put(credit, conframe_encode_credit(INPUT_ROOM, credit));
        out_state.stream = HAL_STREAM_LOG;
    }
    present = true;
}

void console_start_interrupts(void)
{
    unsigned long irq = lock(&ring_lock);

    has_interrupts = true;
    line_interrupts();
    unlock(&ring_lock, irq);
}
