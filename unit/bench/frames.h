/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * frames.h - the frames of tools/bench/classify: TCP segments without data of N connections
 * to 10.0.0.1:80, as they come by a wire. For programs with the kernel's headers and with lwIP's.
 */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include <stdint.h>
#include <string.h>
#include <time.h>

#define FRAMES 4096u /* in memory: as many as a receive ring and more; each is of another flow */
#define FRAME 64u
#define LOCAL_IP 0x0a000001u
#define LOCAL_PORT 80

static uint64_t frames_state = 88172645463325252ull;
static inline uint32_t frames_draw(void) /* xorshift64 */
{
    frames_state ^= frames_state << 13;
    frames_state ^= frames_state >> 7;
    frames_state ^= frames_state << 17;
    return (uint32_t)(frames_state >> 32);
}

/* The peer of connection n. */
static inline uint32_t remote_ip(uint32_t n)
{
    return 0x0b000000 + n / 50;
}
static inline uint16_t remote_port(uint32_t n)
{
    return (uint16_t)(1024 + n % 50 * 977);
}

static inline void frame_put16(uint8_t *p, uint32_t x)
{
    p[0] = (uint8_t)(x >> 8);
    p[1] = (uint8_t)x;
}
static inline void frame_put32(uint8_t *p, uint32_t x)
{
    frame_put16(p, x >> 16);
    frame_put16(p + 2, x);
}

/* The checksum of `len` bytes, even, and of `start`. */
static inline uint32_t frame_sum(const uint8_t *p, uint32_t len, uint32_t start)
{
    uint32_t sum = start;
    for (uint32_t i = 0; i < len; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    return ~(sum + (sum >> 16)) & 0xffff;
}

static inline void frame_make(uint8_t *f, uint32_t n)
{
    memset(f, 0, FRAME);
    frame_put16(f + 12, 0x0800);
    f[14] = 0x45;
    frame_put16(f + 16, 40);
    f[22] = 64;
    f[23] = 6;
    frame_put32(f + 26, remote_ip(n));
    frame_put32(f + 30, LOCAL_IP);
    frame_put16(f + 24, frame_sum(f + 14, 20, 0));
    frame_put16(f + 34, remote_port(n));
    frame_put16(f + 36, LOCAL_PORT);
    f[46] = 5 << 4;
    f[47] = 0x10;                /* ACK */
    frame_put16(f + 48, 0x1000); /* window */
    frame_put16(f + 50, frame_sum(f + 26, 28, 6 + 20));
}

static inline double frames_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif
