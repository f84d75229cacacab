/* SPDX-License-Identifier: BSD-3-Clause */
/* wirefault.c - what may happen to a frame on a wire: see wirefault.h. */
#include "wirefault.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

#define BYTE_BITS 8
#define NS_PER_SEC 1000000000ull
#define LINK_HEAD 14u
#define ETHER_HEAD 18u /* with a VLAN's tag */
#define ETHER_WIRE 24u /* preamble, check sequence, gap: what a frame takes on a wire besides */
#define LATE_LEAST 1000000u /* a frame out of order is up to so much later, or up to the delay */

#define RATE_LEAST 1000
#define RATE_MOST 1000000000000ull
#define LIMIT_MOST 1000000
#define MTU_LEAST 576
#define MTU_MOST 9000

/* ---- words ---- */

struct unit {
    const char *name;
    double factor;
};

/* A number and one of the units, the last of which has no name. */
static bool with_unit(const char *text, const struct unit *units, uint64_t most, uint64_t *out)
{
    char *end;
    double value = strtod(text, &end);

    while (units->name && strcmp(end, units->name) != 0)
        units++;
    value *= units->factor;
    if (!units->name || *text < '0' || *text > '9' || !(value >= 0 && value <= (double)most))
        return false;
    *out = (uint64_t)(value + 0.5);
    return true;
}

bool wire_time(const char *text, uint64_t *ns)
{
    static const struct unit units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 1}};

    return with_unit(text, units, WIRE_TIME_MOST, ns);
}

static const char *time_word(const char *value, uint64_t *out)
{
    return wire_time(value, out) ? NULL : "not a time such as 50us or 20ms, an hour at most";
}

/* 10mbit, as tc(8). */
static const char *rate_word(const char *value, uint64_t *out)
{
    static const struct unit units[] = {
        {"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {NULL, 1}};

    return with_unit(value, units, RATE_MOST, out) && *out >= RATE_LEAST
               ? NULL
               : "not a rate such as 100mbit, a kbit at least";
}

/* 0.1 or 0.1%. */
static const char *chance_word(const char *value, uint32_t *out)
{
    char *end;
    double percent = strtod(value, &end);

    if (*value < '0' || *value > '9' || (*end && strcmp(end, "%") != 0) || !(percent <= 100))
        return "not a percentage such as 0.1";
    *out = percent == 100 ? UINT32_MAX : (uint32_t)(percent / 100 * 4294967296.0);
    return NULL;
}

static const char *number_word(const char *value, unsigned least, unsigned most, unsigned *out)
{
    char *end;
    unsigned long n = strtoul(value, &end, 10);

    if (*value < '0' || *value > '9' || *end || n < least || n > most)
        return text("not a number from %u to %u", least, most);
    *out = (unsigned)n;
    return NULL;
}

/* FROM..TO, or TIME/TIME. */
static const char *down_word(struct wire_faults *f, const char *value)
{
    char *first = text("%s", value), *dots = strstr(first, ".."), *slash = strchr(first, '/');
    char *second = dots ? dots + 2 : slash ? slash + 1 : NULL;
    const char *bad;
    uint64_t a, b;

    if (!second)
        return "down=TIME..TIME or down=TIME/TIME is wanted";
    second[dots ? -2 : -1] = 0;
    if ((bad = time_word(first, &a)) || (bad = time_word(second, &b)))
        return bad;
    if (a >= b)
        return dots ? "the link is up before it is down" : "the link is never up";
    if (slash) {
        f->down_ns = a;
        f->of_ns = b;
        return NULL;
    }
    if (f->down_count == WIRE_DOWN_MAX)
        return "too often down";
    f->down[f->down_count].from = a;
    f->down[f->down_count++].to = b;
    return NULL;
}

const char *wire_word(struct wire_faults *f, const char *word)
{
    static const char *const chances[] = {[WIRE_LOSS] = "loss=",
                                          [WIRE_DUPLICATE] = "duplicate=",
                                          [WIRE_REORDER] = "reorder=",
                                          [WIRE_CORRUPT] = "corrupt="};
    const char *value = strchr(word, '=');

    value = value ? value + 1 : word;
    for (unsigned i = 0; i < sizeof(chances) / sizeof(chances[0]); i++)
        if (text_starts(word, chances[i]))
            return chance_word(value, &f->chance[i]);
    if (text_starts(word, "delay="))
        return time_word(value, &f->delay);
    if (text_starts(word, "jitter="))
        return time_word(value, &f->jitter);
    if (text_starts(word, "rate="))
        return rate_word(value, &f->rate);
    if (text_starts(word, "limit="))
        return number_word(value, 1, LIMIT_MOST, &f->limit);
    if (text_starts(word, "mtu="))
        return number_word(value, MTU_LEAST, MTU_MOST, &f->mtu);
    if (text_starts(word, "down="))
        return down_word(f, value);
    return "delay=, jitter=, loss=, duplicate=, reorder=, corrupt=, rate=, limit=, mtu= or down= "
           "is wanted";
}

/* ---- the link ---- */

bool wire_link(const struct wire_faults *f, uint64_t time)
{
    for (unsigned i = 0; i < f->down_count; i++)
        if (time >= f->down[i].from && time < f->down[i].to)
            return false;
    return !f->of_ns || time % f->of_ns < f->of_ns - f->down_ns;
}

/* The least of what is behind `time`. */
static void sooner(uint64_t *least, uint64_t at, uint64_t time)
{
    if (at > time && at < *least)
        *least = at;
}

uint64_t wire_link_change(const struct wire_faults *f, uint64_t time)
{
    bool link = wire_link(f, time);

    while (f->down_count || f->of_ns) { /* an edge of one may be inside another */
        uint64_t next = WIRE_NEVER;

        for (unsigned i = 0; i < f->down_count; i++) {
            sooner(&next, f->down[i].from, time);
            sooner(&next, f->down[i].to, time);
        }
        if (f->of_ns) {
            sooner(&next, time - time % f->of_ns + f->of_ns - f->down_ns, time);
            sooner(&next, time - time % f->of_ns + f->of_ns, time);
        }
        if (next == WIRE_NEVER || wire_link(f, next) != link)
            return next;
        time = next;
    }
    return WIRE_NEVER;
}

/* ---- a frame ---- */

void wire_port_start(struct wire_port *port, const struct wire_faults *faults, uint64_t *seeds)
{
    *port = (struct wire_port){.left = must_alloc(calloc(faults->limit, sizeof(*port->left)))};
    for (unsigned kind = 0; kind < WIRE_CHANCES; kind++)
        port->chance[kind] = random_next(seeds);
}

void wire_port_end(struct wire_port *port)
{
    free(port->left);
}

/* Counted if so. */
static bool happens(const struct wire_faults *f, struct wire_port *port, enum wire_chance kind,
                    uint64_t *counts)
{
    bool so = random_next(&port->chance[kind]) >> 32 < f->chance[kind];

    counts[kind] += so;
    return so;
}

/* When its last bit has left the sender. False: the queue in front of the wire is full. */
static bool leaves(const struct wire_faults *f, struct wire_port *port, size_t len, uint64_t *time)
{
    uint64_t *left = &port->left[port->sent % f->limit];
    uint64_t bits = (uint64_t)(len + ETHER_WIRE) * BYTE_BITS;

    if (f->rate == 0)
        return true;
    if (*left > *time)
        return false;
    port->free = port->free > *time ? port->free : *time;
    port->free += bits * NS_PER_SEC / f->rate;
    *time = *left = port->free;
    port->sent++;
    return true;
}

static bool is_ip(const uint8_t *frame, size_t len)
{
    return len > LINK_HEAD &&
           ((frame[12] == 0x08 && frame[13] == 0x00) || (frame[12] == 0x86 && frame[13] == 0xdd));
}

/* One copy. A change is behind the link's header, of IP: a real link drops what it finds changed,
 * so this stands for what changes where nobody looks but the checksums above, and ARP has none. */
static bool carry(const struct wire_faults *f, struct wire_port *port, uint64_t time,
                  const uint8_t *frame, size_t len, struct wire_copy *copy, uint64_t *counts)
{
    time += f->delay;
    if (f->jitter)
        time += random_next(&port->chance[WIRE_JITTER]) % (f->jitter + 1);
    if (time < port->last)
        time = port->last;
    if (happens(f, port, WIRE_REORDER, counts))
        time += 1 + random_next(&port->chance[WIRE_REORDER]) %
                        (f->delay > LATE_LEAST ? f->delay : LATE_LEAST);
    else
        port->last = time;
    if (!wire_link(f, time)) {
        counts[WIRE_DOWN]++;
        return false;
    }
    *copy = (struct wire_copy){.time = time};
    if (is_ip(frame, len) && happens(f, port, WIRE_CORRUPT, counts))
        copy->flip = LINK_HEAD * BYTE_BITS + random_next(&port->chance[WIRE_CORRUPT]) %
                                                 ((uint64_t)(len - LINK_HEAD) * BYTE_BITS);
    return true;
}

unsigned wire_send(const struct wire_faults *f, struct wire_port *port, uint64_t time,
                   const uint8_t *frame, size_t len, struct wire_copy copies[2],
                   uint64_t counts[WIRE_COUNTS])
{
    unsigned count = 0;

    counts[WIRE_SENT]++;
    if (f->mtu && len > f->mtu + ETHER_HEAD)
        counts[WIRE_LONG]++;
    else if (!wire_link(f, time))
        counts[WIRE_DOWN]++;
    else if (!leaves(f, port, len, &time))
        counts[WIRE_FULL]++;
    else if (!happens(f, port, WIRE_LOSS, counts)) {
        count = carry(f, port, time, frame, len, &copies[0], counts);
        if (happens(f, port, WIRE_DUPLICATE, counts))
            count += carry(f, port, time, frame, len, &copies[count], counts);
    }
    return count;
}

void wire_flip(uint8_t *frame, const struct wire_copy *copy)
{
    if (copy->flip)
        frame[copy->flip / BYTE_BITS] ^= (uint8_t)(1u << copy->flip % BYTE_BITS);
}
