/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symtab.c - look up an address in the embedded symbol table. Format: symtab.h.
 *
 * The table is made by our own build, yet a panic must not fault because of it, so nothing is read
 * behind its end, and no code expands for ever: what a pair stands for is less than itself.
 */
#include "common/symtab.h"

#include "lib/string.h"

struct codes {
    const uint8_t *letters, *pairs;
    unsigned letter_count, pair_count;
};

/* Behind the table's head; NULL if it is cut off. */
static const uint8_t *read_codes(struct codes *codes, const uint8_t *at, const uint8_t *end)
{
    if (at >= end || *at >= end - at - 1)
        return NULL;
    codes->letter_count = *at++;
    codes->letters = at;
    at += codes->letter_count;
    codes->pair_count = *at++;
    codes->pairs = at;
    return codes->pair_count * 2 <= end - at ? at + codes->pair_count * 2 : NULL;
}

/* Put what `code` stands for behind the *len characters there are, as far as there is room.
 * 1: the name goes on, 0: it ends here, -1: no such code. */
static int expand(const struct codes *codes, unsigned code, char *name, size_t room, size_t *len)
{
    uint8_t open[UINT8_MAX + 1]; /* each less than the one below, or beside it */
    unsigned depth = 0;
    open[depth++] = (uint8_t)code;
    while (depth > 0) {
        code = open[--depth];
        if (code == 0 || code > codes->letter_count + codes->pair_count)
            return -1;
        if (code > codes->letter_count) {
            const uint8_t *pair = codes->pairs + (code - codes->letter_count - 1) * 2;
            if (pair[0] >= code || pair[1] >= code)
                return -1;
            open[depth++] = pair[1];
            open[depth++] = pair[0];
            continue;
        }
        char c = (char)codes->letters[code - 1];
        if (c == 0)
            return 0;
        if (*len + 1 < room)
            name[(*len)++] = c;
    }
    return 1;
}

/* Behind the name at `at`; NULL if it has no end. */
static const uint8_t *read_name(const struct codes *codes, const uint8_t *at, const uint8_t *end,
                                char *name, size_t room)
{
    size_t len = 0;
    int more = 1;
    while (at < end && more > 0)
        more = expand(codes, *at++, name, room, &len);
    if (room > 0)
        name[len] = 0;
    return more == 0 ? at : NULL;
}

bool symtab_find(const void *table, size_t size, uintptr_t base, uintptr_t pc, char *name,
                 size_t room, uintptr_t *offset)
{
    const uint8_t *end = (const uint8_t *)table + size, *found = NULL;
    struct codes codes;
    const uint8_t *at = read_codes(&codes, table, end);
    uintptr_t address = base;

    while (at && at < end) {
        uintptr_t distance = 0;
        unsigned shift = 0;

        do
            distance |= (uintptr_t)(*at & 0x7f) << shift;
        while (*at++ & 0x80 && (shift += 7) < 64 && at < end);
        address += distance;
        if (address > pc)
            break;
        const uint8_t *text = at;
        at = read_name(&codes, at, end, NULL, 0);
        if (at) {
            found = text;
            *offset = pc - address;
        }
    }
    return found && read_name(&codes, found, end, name, room);
}
