/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netfault.c - a bad cable: see netfault.h. Each frame gets its times of arrival (wirefault.h); a
 * heap by that time, then by the order of coming, is what is on its way. A seed and the same frames
 * at the same times are the same faults.
 */
#include "netfault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define FRAMES_MOST 200000u /* on their way; what comes then is lost */

/* ---- what is wanted ---- */

static bool seed_of(const char *s, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(s, &end, 10);
    return *s >= '0' && *s <= '9' && !*end && !errno;
}

/* The word's key, but for down=, of which there may be several. */
static bool given_before(const struct list *list, size_t at)
{
    const char *word = list->items[at];
    size_t len = strcspn(word, "=") + 1;

    for (size_t i = 0; i < at; i++)
        if (strncmp(list->items[i], word, len) == 0 && !text_starts(word, "down="))
            return true;
    return false;
}

char *cable_parse(const char *words, struct cable_faults *faults)
{
    struct list list = {0};

    *faults = (struct cable_faults){.wire = {.limit = WIRE_LIMIT_USUAL}, .seed = 1};
    list_split(&list, words, ",");
    for (size_t i = 0; i < list.count; i++) {
        const char *word = list.items[i], *bad;

        if (given_before(&list, i))
            bad = "given twice";
        else if (text_starts(word, "seed="))
            bad = seed_of(word + 5, &faults->seed) ? NULL : "not a number";
        else
            bad = wire_word(&faults->wire, word);
        if (bad)
            return text("%s: %s", word, bad);
        faults->any = true;
    }
    return NULL;
}

/* ---- one direction ---- */

struct carried {
    uint64_t at, number;
    size_t len;
    uint8_t data[];
};
struct cable_way {
    struct wire_faults faults;
    struct wire_port port;
    uint64_t number, counts[WIRE_COUNTS];
    struct carried **heap; /* the first arrives first */
    uint32_t count, room;
};

struct cable_way *cable_way_new(const struct cable_faults *faults, unsigned number)
{
    struct cable_way *way = must_alloc(calloc(1, sizeof(*way)));
    uint64_t seeds = faults->seed * 2 + number;

    way->faults = faults->wire;
    wire_port_start(&way->port, &way->faults, &seeds);
    return way;
}

void cable_way_free(struct cable_way *way)
{
    while (way->count)
        cable_drop(way);
    wire_port_end(&way->port);
    free(way->heap);
    free(way);
}

static bool before(const struct carried *a, const struct carried *b)
{
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static void heap_add(struct cable_way *way, struct carried *c)
{
    uint32_t i = way->count++;

    if (i == way->room) {
        way->room = i ? 2 * i : 64;
        way->heap = must_alloc(realloc(way->heap, way->room * sizeof(*way->heap)));
    }
    for (; i > 0 && before(c, way->heap[(i - 1) / 2]); i = (i - 1) / 2)
        way->heap[i] = way->heap[(i - 1) / 2];
    way->heap[i] = c;
}

void cable_drop(struct cable_way *way)
{
    struct carried *last = way->heap[--way->count];
    uint32_t i = 0, child;

    free(way->heap[0]);
    if (way->count == 0)
        return; /* that was it */
    while ((child = 2 * i + 1) < way->count) {
        if (child + 1 < way->count && before(way->heap[child + 1], way->heap[child]))
            child++;
        if (!before(way->heap[child], last))
            break;
        way->heap[i] = way->heap[child];
        i = child;
    }
    way->heap[i] = last;
}

const uint8_t *cable_first(const struct cable_way *way, uint64_t now, size_t *len, uint64_t *next)
{
    *next = way->count ? way->heap[0]->at : UINT64_MAX;
    if (*next > now)
        return NULL;
    *len = way->heap[0]->len;
    return way->heap[0]->data;
}

static void carry_one(struct cable_way *way, const struct wire_copy *copy, const uint8_t *frame,
                      size_t len)
{
    struct carried *c;

    if (way->count >= FRAMES_MOST)
        return;
    c = must_alloc(malloc(sizeof(*c) + len));
    c->at = copy->time;
    c->number = way->number++;
    c->len = len;
    memcpy(c->data, frame, len);
    wire_flip(c->data, copy);
    heap_add(way, c);
}

void cable_put(struct cable_way *way, uint64_t now, const uint8_t *frame, size_t len)
{
    struct wire_copy copies[2];
    unsigned count = wire_send(&way->faults, &way->port, now, frame, len, copies, way->counts);

    for (unsigned i = 0; i < count; i++)
        carry_one(way, &copies[i], frame, len);
}
