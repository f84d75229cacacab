/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dtb.c - device tree reader. Contract: dtb.h. Section numbers are those of the Devicetree
 * Specification v0.4.
 *
 * The one place that understands tokens is token_next(); it checks all bounds each time, so that
 * nothing depends on dtb_open() having been right.
 */
#include "common/dtb.h"

#include "lib/errno.h"
#include "lib/string.h"

#define MAGIC 0xd00dfeedu
#define VERSION_MIN 16u /* version 16 lacks only size_dt_struct, which we then infer */
#define VERSION_COMPATIBLE 17u

enum { TOKEN_BEGIN = 1, TOKEN_END_NODE = 2, TOKEN_PROP = 3, TOKEN_NOP = 4, TOKEN_END = 9 };

/* Header fields (5.2), word index. */
enum {
    HEADER_MAGIC,
    HEADER_TOTAL,
    HEADER_STRUCT_OFF,
    HEADER_STRINGS_OFF,
    HEADER_RESERVED_OFF,
    HEADER_VERSION,
    HEADER_LAST_COMPATIBLE,
    HEADER_BOOT_CPU,
    HEADER_STRINGS_SIZE,
    HEADER_STRUCT_SIZE,
};

struct token {
    uint32_t kind;
    uint32_t at, next; /* offsets in the structure block */
    const char *name;  /* of a node or property */
    const void *value; /* of a property */
    uint32_t value_len;
};

static uint32_t be32(const void *at)
{
    const uint8_t *p = at;

    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const void *at)
{
    return (uint64_t)be32(at) << 32 | be32((const uint8_t *)at + 4);
}

static uint32_t header_word(const void *blob, unsigned index)
{
    return be32((const uint8_t *)blob + 4 * index);
}

/* Length of the string at `s` with its NUL, 0 if it does not end within `max` bytes. */
static uint32_t string_size(const char *s, uint32_t max)
{
    size_t len = strnlen(s, max);

    return len == max ? 0 : (uint32_t)len + 1;
}

static bool token_prop(const struct dtb *dtb, struct token *t)
{
    uint32_t at = t->at + 4, left = dtb->nodes_len - at, name;

    if (left < 8)
        return false;
    t->value_len = be32(dtb->nodes + at);
    name = be32(dtb->nodes + at + 4);
    /* Padding to four bytes must not wrap either. */
    if (t->value_len > left - 8 || left - 8 - t->value_len < (-t->value_len & 3u) ||
        name >= dtb->strings_len || !string_size(dtb->strings + name, dtb->strings_len - name))
        return false;
    t->value = dtb->nodes + at + 8;
    t->name = dtb->strings + name;
    t->next = at + 8 + ((t->value_len + 3) & ~3u);
    return true;
}

/* Read the token at offset `at`, skipping NOPs. False if there is no well-formed one. */
static bool token_next(const struct dtb *dtb, uint32_t at, struct token *t)
{
    uint32_t size;

    for (;; at += 4) {
        if (at > dtb->nodes_len || dtb->nodes_len - at < 4)
            return false;
        t->kind = be32(dtb->nodes + at);
        if (t->kind != TOKEN_NOP)
            break;
    }
    t->at = at;
    t->next = at + 4;
    switch (t->kind) {
    case TOKEN_BEGIN:
        t->name = (const char *)dtb->nodes + at + 4;
        size = string_size(t->name, dtb->nodes_len - at - 4);
        if (size == 0)
            return false;
        t->next = at + 4 + ((size + 3) & ~3u);
        return true;
    case TOKEN_PROP:
        return token_prop(dtb, t);
    case TOKEN_END_NODE:
    case TOKEN_END:
        return true;
    default:
        return false;
    }
}

/* ---- opening ---- */

uint32_t dtb_total_size(const void *blob)
{
    uint32_t total = header_word(blob, HEADER_TOTAL);

    if (header_word(blob, HEADER_MAGIC) != MAGIC || total < DTB_HEADER_SIZE || total > DTB_SIZE_MAX)
        return 0;
    return total;
}

static bool block_fits(uint32_t offset, uint32_t len, uint32_t total)
{
    return offset >= DTB_HEADER_SIZE && offset <= total && len <= total - offset;
}

/* One root; properties before children (5.4.2); everything closed; then the end token. */
static bool structure_valid(const struct dtb *dtb)
{
    struct token t = {0};
    unsigned depth = 0;
    bool began = false, children[DTB_DEPTH_MAX + 1] = {false};

    for (uint32_t at = 0; token_next(dtb, at, &t); at = t.next) {
        switch (t.kind) {
        case TOKEN_BEGIN:
            if (depth == DTB_DEPTH_MAX || (depth == 0 && began))
                return false;
            children[depth] = true;
            began = true;
            children[++depth] = false;
            break;
        case TOKEN_END_NODE:
            if (depth == 0)
                return false;
            depth--;
            break;
        case TOKEN_PROP:
            if (depth == 0 || children[depth])
                return false;
            break;
        default:
            return depth == 0 && began;
        }
    }
    return false;
}

int dtb_open(struct dtb *dtb, const void *blob, size_t size)
{
    uint32_t total, nodes_off, strings_off;

    if (size < DTB_HEADER_SIZE)
        return -EINVAL;
    total = dtb_total_size(blob);
    if (total == 0 || total > size || header_word(blob, HEADER_VERSION) < VERSION_MIN ||
        header_word(blob, HEADER_LAST_COMPATIBLE) > VERSION_COMPATIBLE)
        return -EINVAL;
    nodes_off = header_word(blob, HEADER_STRUCT_OFF);
    strings_off = header_word(blob, HEADER_STRINGS_OFF);
    if (nodes_off > total)
        return -EINVAL;
    *dtb = (struct dtb){
        .base = blob,
        .total = total,
        .nodes = (const uint8_t *)blob + nodes_off,
        .nodes_len = header_word(blob, HEADER_VERSION) > VERSION_MIN
                         ? header_word(blob, HEADER_STRUCT_SIZE)
                         : total - nodes_off,
        .strings = (const char *)blob + strings_off,
        .strings_len = header_word(blob, HEADER_STRINGS_SIZE),
        .reserved_off = header_word(blob, HEADER_RESERVED_OFF),
    };
    if (!block_fits(nodes_off, dtb->nodes_len, total) ||
        !block_fits(strings_off, dtb->strings_len, total) || nodes_off % 4 != 0 ||
        !structure_valid(dtb))
        return -EINVAL;
    return 0;
}

/* ---- walking ---- */

dtb_node dtb_root(const struct dtb *dtb)
{
    struct token t;

    return token_next(dtb, 0, &t) && t.kind == TOKEN_BEGIN ? (dtb_node)t.at : DTB_NONE;
}

dtb_node dtb_next(const struct dtb *dtb, dtb_node node)
{
    struct token t;

    if (!token_next(dtb, (uint32_t)node, &t))
        return DTB_NONE;
    while (token_next(dtb, t.next, &t) && t.kind != TOKEN_END)
        if (t.kind == TOKEN_BEGIN)
            return (dtb_node)t.at;
    return DTB_NONE;
}

/* The first node that begins after `node`; `down` says whether it may be inside or must be a
 * sibling. */
static dtb_node walk(const struct dtb *dtb, dtb_node node, bool down)
{
    struct token t;
    int depth = 0;

    if (!token_next(dtb, (uint32_t)node, &t))
        return DTB_NONE;
    for (; token_next(dtb, t.next, &t) && t.kind != TOKEN_END;) {
        if (t.kind == TOKEN_BEGIN && (down ? depth == 0 : depth == -1))
            return (dtb_node)t.at;
        if (t.kind == TOKEN_BEGIN)
            depth++;
        else if (t.kind == TOKEN_END_NODE && --depth < (down ? 0 : -1))
            return DTB_NONE;
    }
    return DTB_NONE;
}

dtb_node dtb_child(const struct dtb *dtb, dtb_node node)
{
    return walk(dtb, node, true);
}

dtb_node dtb_sibling(const struct dtb *dtb, dtb_node node)
{
    return walk(dtb, node, false);
}

dtb_node dtb_parent(const struct dtb *dtb, dtb_node node)
{
    dtb_node path[DTB_DEPTH_MAX];
    unsigned depth = 0;
    struct token t = {0};

    for (uint32_t at = 0; token_next(dtb, at, &t) && t.kind != TOKEN_END; at = t.next) {
        if (t.kind == TOKEN_BEGIN) {
            if ((dtb_node)t.at == node)
                return depth > 0 ? path[depth - 1] : DTB_NONE;
            if (depth == DTB_DEPTH_MAX)
                return DTB_NONE;
            path[depth++] = (dtb_node)t.at;
        } else if (t.kind == TOKEN_END_NODE) {
            if (depth == 0)
                return DTB_NONE;
            depth--;
        }
    }
    return DTB_NONE;
}

/* Does a path component name this node, with or without its unit address? */
static bool component_matches(const char *name, const char *component, size_t len)
{
    return strncmp(name, component, len) == 0 && (name[len] == '\0' || name[len] == '@');
}

dtb_node dtb_path(const struct dtb *dtb, const char *path, size_t len)
{
    dtb_node node = dtb_root(dtb);
    size_t at = 0;

    while (node != DTB_NONE && at < len) {
        size_t n;

        if (path[at] != '/')
            return DTB_NONE;
        at++;
        for (n = 0; at + n < len && path[at + n] != '/'; n++)
            ;
        if (n == 0)
            continue;
        node = dtb_child(dtb, node);
        while (node != DTB_NONE && !component_matches(dtb_name(dtb, node), path + at, n))
            node = dtb_sibling(dtb, node);
        at += n;
    }
    return node;
}

dtb_node dtb_compatible(const struct dtb *dtb, dtb_node after, const char *name)
{
    dtb_node node = after == DTB_NONE ? dtb_root(dtb) : dtb_next(dtb, after);

    while (node != DTB_NONE && !dtb_lists(dtb, node, "compatible", name))
        node = dtb_next(dtb, node);
    return node;
}

/* ---- properties ---- */

const char *dtb_name(const struct dtb *dtb, dtb_node node)
{
    struct token t;

    return node >= 0 && token_next(dtb, (uint32_t)node, &t) && t.kind == TOKEN_BEGIN ? t.name : "";
}

const void *dtb_prop(const struct dtb *dtb, dtb_node node, const char *name, uint32_t *len)
{
    struct token t;

    if (node < 0 || !token_next(dtb, (uint32_t)node, &t) || t.kind != TOKEN_BEGIN)
        return NULL;
    while (token_next(dtb, t.next, &t) && t.kind == TOKEN_PROP)
        if (strcmp(t.name, name) == 0) {
            *len = t.value_len;
            return t.value;
        }
    return NULL;
}

const char *dtb_string(const struct dtb *dtb, dtb_node node, const char *name)
{
    uint32_t len;
    const char *value = dtb_prop(dtb, node, name, &len);

    return value && string_size(value, len) ? value : NULL;
}

bool dtb_cell(const struct dtb *dtb, dtb_node node, const char *name, unsigned index, uint32_t *out)
{
    uint32_t len;
    const uint8_t *value = dtb_prop(dtb, node, name, &len);

    if (!value || index >= len / 4)
        return false;
    *out = be32(value + 4 * (size_t)index);
    return true;
}

bool dtb_number(const struct dtb *dtb, dtb_node node, const char *name, uint64_t *out)
{
    uint32_t len;
    const uint8_t *value = dtb_prop(dtb, node, name, &len);

    if (!value || (len != 4 && len != 8))
        return false;
    *out = len == 4 ? be32(value) : be64(value);
    return true;
}

bool dtb_lists(const struct dtb *dtb, dtb_node node, const char *name, const char *value)
{
    uint32_t len, size;
    const char *at = dtb_prop(dtb, node, name, &len);

    for (; at && len > 0; at += size, len -= size) {
        size = string_size(at, len);
        if (size == 0)
            return false;
        if (strcmp(at, value) == 0)
            return true;
    }
    return false;
}

bool dtb_enabled(const struct dtb *dtb, dtb_node node)
{
    const char *status = dtb_string(dtb, node, "status");

    return !status || strcmp(status, "okay") == 0 || strcmp(status, "ok") == 0;
}

/* ---- addresses ---- */

struct cells {
    uint32_t address, size;
};

/* #address-cells and #size-cells of a bus node (2.3.5); false for what does not fit in 64 bits. */
static bool bus_cells(const struct dtb *dtb, dtb_node bus, struct cells *out)
{
    *out = (struct cells){2, 1};
    (void)dtb_cell(dtb, bus, "#address-cells", 0, &out->address);
    (void)dtb_cell(dtb, bus, "#size-cells", 0, &out->size);
    return out->address >= 1 && out->address <= 2 && out->size <= 2;
}

static uint64_t read_cells(const uint8_t *at, uint32_t count)
{
    return count == 0 ? 0 : count == 1 ? be32(at) : be64(at);
}

/* Translate one address from the bus `bus` to its parent (2.3.8). */
static bool translate(const struct dtb *dtb, dtb_node bus, dtb_node parent, uint64_t *addr)
{
    struct cells in, out;
    uint32_t len, entry;
    const uint8_t *ranges = dtb_prop(dtb, bus, "ranges", &len);

    if (!ranges || !bus_cells(dtb, bus, &in) || !bus_cells(dtb, parent, &out))
        return false;
    if (len == 0)
        return true;
    entry = 4 * (in.address + out.address + in.size);
    for (; len >= entry; ranges += entry, len -= entry) {
        uint64_t from = read_cells(ranges, in.address);
        uint64_t to = read_cells(ranges + 4 * in.address, out.address);
        uint64_t size = read_cells(ranges + 4 * (in.address + out.address), in.size);

        if (*addr >= from && *addr - from < size)
            return !add_overflow(to, *addr - from, addr);
    }
    return false;
}

bool dtb_reg(const struct dtb *dtb, dtb_node node, unsigned index, uint64_t *base, uint64_t *size)
{
    struct cells cells;
    dtb_node bus = dtb_parent(dtb, node);
    uint32_t len, entry;
    const uint8_t *reg = dtb_prop(dtb, node, "reg", &len);

    if (!reg || bus == DTB_NONE || !bus_cells(dtb, bus, &cells))
        return false;
    entry = 4 * (cells.address + cells.size);
    if (index >= len / entry)
        return false;
    reg += (size_t)entry * index;
    *base = read_cells(reg, cells.address);
    *size = read_cells(reg + 4 * cells.address, cells.size);
    for (;;) {
        dtb_node parent = dtb_parent(dtb, bus);

        if (parent == DTB_NONE)
            return true;
        if (!translate(dtb, bus, parent, base))
            return false;
        bus = parent;
    }
}

bool dtb_reserved(const struct dtb *dtb, unsigned index, uint64_t *base, uint64_t *size)
{
    uint64_t at = (uint64_t)dtb->reserved_off + 16ull * index;

    if (at + 16 > dtb->total)
        return false;
    *base = be64(dtb->base + at);
    *size = be64(dtb->base + at + 8);
    return *base != 0 || *size != 0;
}
