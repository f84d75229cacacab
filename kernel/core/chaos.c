/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chaos.c - see chaos.h. All sites draw from one generator (splitmix64), whose state is a counter:
 * CPUs that draw at the same time get different numbers. Which CPU gets which is a matter of the
 * real clock, so a seed repeats how often things go wrong, not when.
 */
#include "core/chaos.h"

#include "lib/errno.h"
#include "lib/string.h"

#define DELAY_US 1000u
#define DELAY_US_MAX 10000000u

/* Written before chaos_start's release, read after the acquire in chaos_draw. */
static struct {
    uint64_t mean, delay_us; /* mean 0: never */
} sites[CHAOS_COUNT];
static uint64_t state, hits[CHAOS_COUNT]; /* relaxed atomics */
bool chaos_on;

static const char *const names[CHAOS_COUNT] = {
#define SITE(id, name) [id] = name,
#include "core/chaos.def"
#undef SITE
};

/* A number up to `most` behind a colon; *text moves behind it. */
static int read_number(const char **text, uint64_t most, uint64_t *out)
{
    if (**text != ':')
        return -EINVAL;
    int err = str_to_u64(*text + 1, text, out);
    return err ? err : *out > most ? -EINVAL : 0;
}

/* One word of the list, up to its comma or end. */
static int read_word(const char **text)
{
    size_t len = 0;
    while ((*text)[len] >= 'a' && (*text)[len] <= 'z')
        len++;
    const char *name = *text;
    *text += len;
    if (len == 4 && memcmp(name, "seed", len) == 0)
        return read_number(text, UINT64_MAX, &state);
    for (unsigned i = 0; i < CHAOS_COUNT; i++) {
        if (strlen(names[i]) != len || memcmp(name, names[i], len) != 0)
            continue;
        sites[i].delay_us = DELAY_US;
        int err = read_number(text, UINT64_MAX, &sites[i].mean);
        if (!err && **text == ':')
            err = read_number(text, DELAY_US_MAX, &sites[i].delay_us);
        return err ? err : sites[i].delay_us == 0 ? -EINVAL : 0;
    }
    return -EINVAL;
}

int chaos_configure(const char *text)
{
    for (;;) {
        int err = read_word(&text);
        if (err)
            return err;
        if (*text == '\0')
            return 0;
        if (*text++ != ',')
            return -EINVAL;
    }
}

void chaos_start(void)
{
    __atomic_store_n(&chaos_on, true, __ATOMIC_RELEASE);
}

void chaos_stop(void)
{
    __atomic_store_n(&chaos_on, false, __ATOMIC_RELAXED);
}

bool chaos_wanted(enum chaos_site site)
{
    return sites[site].mean != 0;
}

uint64_t chaos_hits(enum chaos_site site)
{
    return __atomic_load_n(&hits[site], __ATOMIC_RELAXED);
}

const char *chaos_name(enum chaos_site site)
{
    return names[site];
}

static uint64_t draw(void)
{
    uint64_t z = __atomic_add_fetch(&state, 0x9e3779b97f4a7c15, __ATOMIC_RELAXED);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

bool chaos_draw(enum chaos_site site, uint64_t *delay_ns)
{
    /* Acquire: pairs with chaos_start. */
    if (!__atomic_load_n(&chaos_on, __ATOMIC_ACQUIRE) || sites[site].mean == 0 ||
        draw() % sites[site].mean != 0)
        return false;
    __atomic_add_fetch(&hits[site], 1, __ATOMIC_RELAXED);
    if (delay_ns)
        *delay_ns = 1 + draw() % (sites[site].delay_us * NS_PER_US);
    return true;
}
