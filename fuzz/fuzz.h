/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz.h - what fuzz targets share: the entry, taking an input apart, and checks.
 *
 * Targets of operation sequences decode their input with struct fuzz_input: behind the end there
 * are zeroes, so that every input means something and a shortened one the beginning of the same.
 */
#ifndef SELKIE_FUZZ_H
#define SELKIE_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The target. Called any number of times; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold. A failure ends the process, which the fuzzer takes for a find. */
#define FUZZ_CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

/* With FUZZ_TRACE in the environment: what the operations of an input are. */
static inline bool fuzz_tracing(void)
{
    static int on = -1;

    if (on < 0)
        on = getenv("FUZZ_TRACE") != NULL;
    return on;
}
#define FUZZ_TRACE(...) \
    do { \
        if (fuzz_tracing()) \
            fprintf(stderr, __VA_ARGS__); \
    } while (0)

struct fuzz_input {
    const uint8_t *data;
    size_t len, at;
};

static inline bool fuzz_more(const struct fuzz_input *in)
{
    return in->at < in->len;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
    return in->at < in->len ? in->data[in->at++] : 0;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
    uint16_t low = fuzz_u8(in);
    return (uint16_t)(low | fuzz_u8(in) << 8);
}

static inline uint32_t fuzz_u32(struct fuzz_input *in)
{
    uint32_t low = fuzz_u16(in);
    return low | (uint32_t)fuzz_u16(in) << 16;
}

static inline uint64_t fuzz_u64(struct fuzz_input *in)
{
    uint64_t low = fuzz_u32(in);
    return low | (uint64_t)fuzz_u32(in) << 32;
}

#endif
