/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * random.c - a ChaCha20 generator with fast key erasure.
 *
 * The state is a 256-bit key. A request runs ChaCha20 (RFC 8439, 2.3) with that key; the first half
 * of the first block replaces the key before a byte is given out, so a later leak of the state does
 * not reveal earlier output. Fresh entropy of the machine is mixed in every RESEED_BYTES.
 *
 * Lock: RANK_ENTROPY, held only to step the key; long outputs are made from a key of their own.
 */
#include "core/random.h"

#include "core/log.h"
#include "core/spinlock.h"
#include "lib/string.h"

#define KEY_WORDS 8
#define BLOCK_BYTES 64
#define RESEED_BYTES (1u << 20)

static struct spinlock random_lock = SPINLOCK_INIT(RANK_ENTROPY);
static uint32_t random_key[KEY_WORDS];
static uint64_t bytes_since_seed;
static bool seeded;
static size_t (*source)(void *buf, size_t size);

static uint32_t rotate(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static void quarter_round(uint32_t *x, unsigned a, unsigned b, unsigned c, unsigned d)
{
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 7);
}

/* RFC 8439, 2.3: the block function; the nonce is zero because every key is used once. */
static void chacha_block(const uint32_t key[KEY_WORDS], uint64_t counter, uint32_t out[16])
{
    uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    memcpy(in + 4, key, KEY_WORDS * sizeof key[0]);
    in[12] = (uint32_t)counter;
    in[13] = (uint32_t)(counter >> 32);
    memcpy(out, in, sizeof in);
    for (unsigned i = 0; i < 10; i++) {
        quarter_round(out, 0, 4, 8, 12);
        quarter_round(out, 1, 5, 9, 13);
        quarter_round(out, 2, 6, 10, 14);
        quarter_round(out, 3, 7, 11, 15);
        quarter_round(out, 0, 5, 10, 15);
        quarter_round(out, 1, 6, 11, 12);
        quarter_round(out, 2, 7, 8, 13);
        quarter_round(out, 3, 4, 9, 14);
    }
    for (unsigned i = 0; i < 16; i++)
        out[i] += in[i];
}

/* Forget a key on the stack: what leaks from there later must not tell what was given out. The
 * barrier keeps the compiler from dropping stores that nobody reads. */
static void forget(void *words, size_t size)
{
    memset(words, 0, size);
    __asm__ volatile("" : : "r"(words) : "memory");
}

/* The key absorbs 32 bytes: XOR, then one step, so that what went in cannot be cancelled out. */
static void key_absorb(const uint32_t data[KEY_WORDS])
{
    uint32_t block[16];
    for (unsigned i = 0; i < KEY_WORDS; i++)
        random_key[i] ^= data[i];
    chacha_block(random_key, 0, block);
    memcpy(random_key, block, sizeof random_key);
    forget(block, sizeof block);
}

/* -ENODATA says that the bytes are jitter only: still better than what was there. */
static int reseed(void)
{
    uint32_t seed[KEY_WORDS] = {0};
    int err = hal_entropy(seed, sizeof seed);
    seed[0] ^= (uint32_t)hal_clock_ns();
    key_absorb(seed);
    if (source && source(seed, sizeof seed) == sizeof seed) {
        key_absorb(seed);
        seeded = true;
    }
    forget(seed, sizeof seed);
    seeded = seeded || !err;
    bytes_since_seed = 0;
    return err;
}

void random_init(void)
{
    unsigned long irq = spin_lock_irqsave(&random_lock);
    int err = reseed();
    spin_unlock_irqrestore(&random_lock, irq);
    if (err)
        log_warn("no source of random numbers but the clock's jitter: keys can be guessed");
}

bool random_seeded(void)
{
    unsigned long irq = spin_lock_irqsave(&random_lock);
    bool result = seeded;
    spin_unlock_irqrestore(&random_lock, irq);
    return result;
}

/* What comes later than now is asked for by the next request. */
void random_source(size_t (*fn)(void *buf, size_t size))
{
    unsigned long irq = spin_lock_irqsave(&random_lock);
    bool before = seeded;
    source = fn;
    (void)reseed();
    bool after = seeded;
    bytes_since_seed = RESEED_BYTES;
    spin_unlock_irqrestore(&random_lock, irq);
    if (after && !before)
        log_warn("but a device has given some: keys cannot be guessed");
}

void random_mix(const void *data, size_t len)
{
    const char *bytes = data;
    for (size_t at = 0; at < len; at += sizeof random_key) {
        uint32_t chunk[KEY_WORDS] = {0};
        memcpy(chunk, bytes + at, MIN(sizeof chunk, len - at));
        unsigned long irq = spin_lock_irqsave(&random_lock);
        key_absorb(chunk);
        spin_unlock_irqrestore(&random_lock, irq);
    }
}

void random_bytes(void *buf, size_t len)
{
    uint32_t block[16], key[KEY_WORDS];
    unsigned long irq = spin_lock_irqsave(&random_lock);
    bytes_since_seed += len;
    if (bytes_since_seed > RESEED_BYTES)
        (void)reseed();
    chacha_block(random_key, 0, block);
    memcpy(random_key, block, sizeof random_key);
    memcpy(key, block + KEY_WORDS, sizeof key);
    spin_unlock_irqrestore(&random_lock, irq);

    char *out = buf;
    for (uint64_t counter = 1; len; counter++) {
        size_t n = MIN(len, (size_t)BLOCK_BYTES);
        chacha_block(key, counter, block);
        memcpy(out, block, n);
        out += n;
        len -= n;
    }
    forget(key, sizeof key);
    forget(block, sizeof block);
}

uint64_t random_u64(void)
{
    uint64_t value;
    random_bytes(&value, sizeof value);
    return value;
}
