/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim_trace.c - the record of a simulated run: a line per event, a hash of all of them, and at the
 * end one of the memory. With a file to compare with (--sim-replay) the first line that differs
 * ends the run.
 *
 * All of it runs on a stack of its own: the kernel's stacks are part of the memory, and what is
 * left there must not depend on whether a trace is written or compared.
 */
#include "sim.h"

#include "lib/string.h"

#if SELKIE_SIM

#define LSEEK_DATA 3
#define LSEEK_HOLE 4
#define HASH_PRIME 0x9e3779b97f4a7c15ull

static const char *const names[SIM_EVENTS] = {
    [SIM_BOOT] = "boot", [SIM_CALL] = "call",     [SIM_FAULT] = "fault",   [SIM_LEAVE] = "leave",
    [SIM_TURN] = "turn", [SIM_RAISE] = "raise",   [SIM_ARM] = "arm",       [SIM_DUE] = "due",
    [SIM_IDLE] = "idle", [SIM_JUMP] = "jump",     [SIM_RANDOM] = "random", [SIM_WRITE] = "write",
    [SIM_READ] = "read", [SIM_ARRIVE] = "arrive", [SIM_HOLD] = "hold",     [SIM_STEP] = "step",
    [SIM_SPIN] = "spin", [SIM_TORN] = "torn",     [SIM_END] = "end",       [SIM_FRAME] = "frame",
};

static char out[1 << 16];
static size_t out_used;
static uint64_t hash;
/* What the trace itself says on the log is no event, and its stack is in use then. */
static bool closed;
static const char *compare, *compare_end; /* what is left of the file to compare with */

static uint64_t mix(uint64_t state, uint64_t word)
{
    state = (state ^ word) * HASH_PRIME;
    return state ^ state >> 29;
}

static void flush(void)
{
    const char *p = out;

    while (out_used > 0) {
        long n = host_call3(HOST_write, hosted_config.sim.trace_fd, (long)p, (long)out_used);

        if (n < 0 && n != -HOST_EINTR && n != -HOST_EAGAIN)
            break; /* the run goes on without its record */
        if (n > 0) {
            p += n;
            out_used -= (size_t)n;
        }
    }
    out_used = 0;
}

static void put_text(char **at, const char *text)
{
    while (*text)
        *(*at)++ = *text++;
}

static void put_number(char **at, uint64_t n, unsigned base)
{
    char digits[24];
    unsigned len = 0;

    do {
        digits[len++] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n);
    while (len > 0)
        *(*at)++ = digits[--len];
}

_Noreturn static void diverged(const char *line, size_t len)
{
    static const char here[] = "selkie: simulation: this run parts from the recorded one; now: ",
                      there[] = "selkie: simulation: recorded: ",
                      same[] = "selkie: simulation: every event is as recorded: user code has "
                               "seen something that is not simulated, or another CPU\n",
                      last[] = "selkie-sim status=";
    const char *end = compare;

    closed = true;
    while (end < compare_end && *end != '\n')
        end++;
    (void)hal_console_write(HAL_STREAM_LOG, here, sizeof(here) - 1);
    (void)hal_console_write(HAL_STREAM_LOG, line, len);
    (void)hal_console_write(HAL_STREAM_LOG, there, sizeof(there) - 1);
    (void)hal_console_write(HAL_STREAM_LOG, compare, (size_t)(end - compare));
    (void)hal_console_write(HAL_STREAM_LOG, "\n", 1);
    if (len >= sizeof(last) && (size_t)(end - compare) >= sizeof(last) &&
        memcmp(line, last, sizeof(last) - 1) == 0 && memcmp(compare, last, sizeof(last) - 1) == 0)
        (void)hal_console_write(HAL_STREAM_LOG, same, sizeof(same) - 1);
    flush();
    for (;;)
        (void)host_call3(HOST_exit_group, HAL_EXIT_PANIC, 0, 0);
}

static void line_out(const char *line, size_t len)
{
    if (compare) {
        if ((size_t)(compare_end - compare) < len || memcmp(compare, line, len) != 0)
            diverged(line, len);
        compare += len;
    }
    if (hosted_config.sim.trace_fd < 0)
        return;
    if (out_used + len > sizeof(out))
        flush();
    memcpy(out + out_used, line, len);
    out_used += len;
}

static uint8_t stack[32768] cache_aligned;

struct event_line {
    uint64_t number, now;
    unsigned cpu;
    enum sim_event event;
    uint64_t a, b;
};

static void event_out(void *argument)
{
    const struct event_line *e = argument;
    char line[128], *at = line;

    hash = mix(mix(mix(mix(hash, e->now), e->cpu << 8 | e->event), e->a), e->b);
    if (hosted_config.sim.trace_fd < 0 && !compare)
        return;
    put_number(&at, e->number, 10);
    *at++ = ' ';
    put_number(&at, e->now, 10);
    *at++ = ' ';
    put_number(&at, e->cpu, 10);
    *at++ = ' ';
    put_text(&at, names[e->event]);
    *at++ = ' ';
    put_number(&at, e->a,
               e->event == SIM_CALL || e->event == SIM_ARM || e->event == SIM_JUMP ? 10 : 16);
    *at++ = ' ';
    put_number(&at, e->b, 16);
    *at++ = '\n';
    line_out(line, (size_t)(at - line));
}

void trace_event(uint64_t number, uint64_t now, unsigned cpu, enum sim_event event, uint64_t a,
                 uint64_t b)
{
    struct event_line line = {number, now, cpu, event, a, b};

    if (closed)
        return;
    hosted_call_on(event_out, &line, stack + sizeof(stack));
}

static void header_out(void *argument)
{
    const struct hosted_sim *s = &hosted_config.sim;
    char line[512], *at = line;

    (void)argument;
    compare = s->compare;
    compare_end = s->compare + s->compare_size;
    put_text(&at, "selkie-sim seed=");
    put_number(&at, s->seed, 10);
    put_text(&at, " cpus=");
    put_number(&at, hosted_config.cpu_count, 10);
    for (unsigned i = 0; i < HOSTED_KNOB_STOP; i++) {
        *at++ = ' ';
        put_text(&at, hosted_knob_names[i]);
        *at++ = '=';
        put_number(&at, s->knob[i], 10);
    }
    *at++ = '\n';
    line_out(line, (size_t)(at - line));
}

void trace_start(void)
{
    hosted_call_on(header_out, NULL, stack + sizeof(stack));
}

/* Pages that are all zero do not count: whether the host has given one its own memory is not ours
 * to say. */
static uint64_t page_hash(uint64_t state, uint64_t pa)
{
    const uint64_t *words = hal_phys_to_virt(pa);
    uint64_t sum = 0;
    bool any = false;

    for (unsigned i = 0; i < HAL_PAGE_SIZE / 8; i++) {
        any = any || words[i];
        sum = mix(sum, words[i]);
    }
    return any ? mix(mix(state, pa), sum) : state;
}

static uint64_t memory_hash(void)
{
    const struct hosted_config *c = &hosted_config;
    uint64_t state = 0;
    long at = 0, end;

    while ((uint64_t)at < c->ram_size) {
        at = host_call3(HOST_lseek, c->ram_fd, at, LSEEK_DATA);
        if (at < 0 || (uint64_t)at >= c->ram_size)
            break;
        end = host_call3(HOST_lseek, c->ram_fd, at, LSEEK_HOLE);
        if (end < 0 || (uint64_t)end > c->ram_size)
            end = (long)c->ram_size;
        for (; at < end; at += (long)HAL_PAGE_SIZE)
            state = page_hash(state, c->ram_base + (uint64_t)at);
    }
    return state;
}

struct last_line {
    int status;
    uint64_t events, boot, points, now;
};

static void last_out(void *argument)
{
    const struct last_line *e = argument;
    uint64_t memory = memory_hash();
    char line[256], *at = line;

    put_text(&at, "selkie-sim status=");
    put_number(&at, (uint64_t)(unsigned)e->status, 10);
    put_text(&at, " events=");
    put_number(&at, e->events, 10);
    put_text(&at, " boot=");
    put_number(&at, e->boot, 10);
    put_text(&at, " points=");
    put_number(&at, e->points, 10);
    put_text(&at, " time=");
    put_number(&at, e->now, 10);
    put_text(&at, " trace=");
    put_number(&at, hash, 16);
    put_text(&at, " memory=");
    put_number(&at, memory, 16);
    *at++ = '\n';
    line_out(line, (size_t)(at - line));
    flush();
    closed = true;
    if (hosted_config.sim.report)
        (void)hal_console_write(HAL_STREAM_LOG, line, (size_t)(at - line));
    if (sim_linked())
        sim_link_end(e->status, hash, memory);
}

void trace_end(int status, uint64_t events, uint64_t boot, uint64_t points, uint64_t now)
{
    struct last_line line = {status, events, boot, points, now};

    hosted_call_on(last_out, &line, stack + sizeof(stack));
}

#endif
