/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/common/dtb.c */
/* length: 768 */
/* runs: 20000 */
/* covers: platform/common/dtb.c */
/* lines: 95 */
/*
 * dtb_fuzz.c - a device tree: opened, walked in every way, every property asked for with every
 * type. A walk must end, go in document order, and know of each child its parent.
 */
#include <string.h>

#include "common/dtb.h"
#include "fuzz.h"

static volatile unsigned sink; /* reads must happen */

static void touch(const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sink += ((const uint8_t *)data)[i];
}

static void ask(const struct dtb *dtb, dtb_node node)
{
    static const char *const names[] = {"reg", "compatible", "status", "#address-cells", "nosuch"};
    uint64_t a = 0, b = 0;
    uint32_t cell, len;

    touch(dtb_name(dtb, node), strlen(dtb_name(dtb, node)));
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        const void *value = dtb_prop(dtb, node, names[i], &len);
        const char *string = dtb_string(dtb, node, names[i]);

        if (value)
            touch(value, len);
        if (string)
            touch(string, strlen(string) + 1);
        FUZZ_CHECK(!string || (value && strlen(string) < len));
        for (unsigned k = 0; k < 2; k++)
            FUZZ_CHECK(!dtb_cell(dtb, node, names[i], k, &cell) || (k + 1) * 4 <= len);
        dtb_number(dtb, node, names[i], &a);
        FUZZ_CHECK(!dtb_lists(dtb, node, names[i], "arm,psci-1.0") || value);
    }
    dtb_enabled(dtb, node);
    for (unsigned k = 0; k < 8 && dtb_reg(dtb, node, k, &a, &b); k++)
        sink += (unsigned)(a + b);
}

/* Nodes are bounded by the blob (a token each), so the double walks are too. */
static void walk(const struct dtb *dtb)
{
    dtb_node last = DTB_NONE;
    unsigned count = 0, limit = dtb->nodes_len / 4;

    for (dtb_node n = dtb_root(dtb); n != DTB_NONE && count < 32; n = dtb_next(dtb, n)) {
        FUZZ_CHECK(n > last && count <= limit);
        last = n;
        count++;
        ask(dtb, n);
        dtb_node parent = dtb_parent(dtb, n), child = dtb_child(dtb, n);
        FUZZ_CHECK((parent == DTB_NONE) == (n == dtb_root(dtb)));
        FUZZ_CHECK(child == DTB_NONE || dtb_parent(dtb, child) == n);
        dtb_node sibling = dtb_sibling(dtb, n);
        FUZZ_CHECK(sibling == DTB_NONE || (sibling > n && dtb_parent(dtb, sibling) == parent));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"/",    "/chosen", "/cpus/cpu", "/memory",
                                        "/a/b", "",        "x",         "//cpus/"};
    struct dtb dtb;
    uint64_t base, len;

    if ((size >= DTB_HEADER_SIZE && dtb_total_size(data) > DTB_SIZE_MAX) ||
        dtb_open(&dtb, data, size) != 0)
        return 0;
    FUZZ_CHECK(size >= DTB_HEADER_SIZE && dtb_total_size(data) <= size);
    walk(&dtb);
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        dtb_node node = dtb_path(&dtb, paths[i], strlen(paths[i]));

        FUZZ_CHECK(node == DTB_NONE || dtb_name(&dtb, node));
    }
    dtb_node at = DTB_NONE;
    for (unsigned i = 0; i < 64 && (at = dtb_compatible(&dtb, at, "arm,cortex-a53")) != DTB_NONE;
         i++)
        FUZZ_CHECK(dtb_lists(&dtb, at, "compatible", "arm,cortex-a53"));
    for (unsigned i = 0; i <= dtb.total / 16; i++)
        if (!dtb_reserved(&dtb, i, &base, &len))
            break;
    return 0;
}
