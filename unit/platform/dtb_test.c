/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/common/dtb.c platform/common/pcihost.c */
/*
 * dtb_test.c - the device tree reader with a crafted tree, every truncation of it, and every single
 * byte of it damaged (run under the address sanitizer: no read may leave the blob).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/dtb.h"
#include "common/pcihost.h"

static uint8_t blob[4096];
static size_t blob_len;
static char names[512];
static size_t names_len;
static size_t struct_off;

static void put32(size_t at, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        blob[at + i] = (uint8_t)(v >> (24 - 8 * i));
}

static void word(uint32_t v)
{
    put32(blob_len, v);
    blob_len += 4;
}

static void bytes(const void *p, size_t n)
{
    memcpy(blob + blob_len, p, n);
    blob_len += (n + 3) & ~(size_t)3;
}

static void begin(const char *name)
{
    word(1);
    bytes(name, strlen(name) + 1);
}

static void prop(const char *name, const void *value, size_t len)
{
    word(3);
    word((uint32_t)len);
    word((uint32_t)names_len);
    memcpy(names + names_len, name, strlen(name) + 1);
    names_len += strlen(name) + 1;
    bytes(value, len);
}

static void prop_cells(const char *name, const uint32_t *cells, size_t count)
{
    uint8_t be[128];

    for (size_t i = 0; i < count; i++)
        for (unsigned b = 0; b < 4; b++)
            be[4 * i + b] = (uint8_t)(cells[i] >> (24 - 8 * b));
    prop(name, be, 4 * count);
}
#define CELLS(name, ...) \
    prop_cells(name, (const uint32_t[]){__VA_ARGS__}, \
               sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* Header, one reservation, structure, strings. */
static void finish(void)
{
    size_t struct_len = blob_len - struct_off, strings_off = blob_len;

    memcpy(blob + blob_len, names, names_len);
    blob_len += names_len;
    put32(0, 0xd00dfeed);
    put32(4, (uint32_t)blob_len);
    put32(8, (uint32_t)struct_off);
    put32(12, (uint32_t)strings_off);
    put32(16, 40);
    put32(20, 17);
    put32(24, 16);
    put32(32, (uint32_t)names_len);
    put32(36, (uint32_t)struct_len);
}

static void start(void)
{
    memset(blob, 0, sizeof(blob));
    names_len = 0;
    blob_len = 40;
    word(0), word(0x80000000), word(0), word(0x1000); /* reserved */
    word(0), word(0), word(0), word(0);
    struct_off = blob_len;
}

static void make_tree(void)
{
    start();
    begin("");
    CELLS("#address-cells", 2);
    CELLS("#size-cells", 2);
    begin("memory@40000000");
    prop("device_type", "memory", 7);
    CELLS("reg", 0, 0x40000000, 1, 0x2000, 2, 0, 0, 0x1000);
    word(2);
    begin("soc");
    CELLS("#address-cells", 1);
    CELLS("#size-cells", 1);
    CELLS("ranges", 0x1000, 0, 0x9000000, 0x10000);
    begin("uart@1000");
    prop("compatible", "other,uart\0arm,pl011", 21);
    CELLS("reg", 0x1010, 0x100);
    CELLS("interrupts", 0, 1, 4);
    word(2);
    begin("far@20000");
    CELLS("reg", 0x20000, 0x100);
    prop("status", "disabled", 9);
    word(2);
    word(2);
    word(4);
    begin("chosen");
    prop("bootargs", "a b", 4);
    prop("unterminated", "abcd", 4);
    CELLS("number64", 1, 2);
    word(2);
    word(2);
    word(9);
    finish();
}

static int open_copy(struct dtb *dtb, size_t len, uint8_t **copy)
{
    *copy = malloc(len ? len : 1);
    memcpy(*copy, blob, len);
    return dtb_open(dtb, *copy, len);
}

static void test_walk(void **state)
{
    struct dtb dtb;
    uint8_t *copy;
    uint64_t base, size, number;
    uint32_t cell;
    dtb_node node, uart;

    (void)state;
    make_tree();
    assert_int_equal(open_copy(&dtb, blob_len, &copy), 0);
    node = dtb_path(&dtb, "/memory", 7);
    assert_true(node != DTB_NONE);
    assert_string_equal(dtb_name(&dtb, node), "memory@40000000");
    assert_true(dtb_reg(&dtb, node, 0, &base, &size));
    assert_true(base == 0x40000000 && size == 0x100002000);
    assert_true(dtb_reg(&dtb, node, 1, &base, &size) && base == 0x200000000 && size == 0x1000);
    assert_false(dtb_reg(&dtb, node, 2, &base, &size));
    uart = dtb_compatible(&dtb, DTB_NONE, "arm,pl011");
    assert_string_equal(dtb_name(&dtb, uart), "uart@1000");
    assert_int_equal(uart, dtb_path(&dtb, "/soc/uart", 9));
    assert_int_equal(uart, dtb_path(&dtb, "/soc/uart@1000", 14));
    assert_int_equal(dtb_compatible(&dtb, uart, "arm,pl011"), DTB_NONE);
    assert_true(dtb_reg(&dtb, uart, 0, &base, &size) && base == 0x9000010 && size == 0x100);
    assert_true(dtb_cell(&dtb, uart, "interrupts", 2, &cell) && cell == 4);
    assert_false(dtb_cell(&dtb, uart, "interrupts", 3, &cell));
    node = dtb_sibling(&dtb, uart);
    assert_string_equal(dtb_name(&dtb, node), "far@20000");
    assert_false(dtb_enabled(&dtb, node));
    assert_true(dtb_enabled(&dtb, uart));
    assert_false(dtb_reg(&dtb, node, 0, &base, &size)); /* outside of the bus's ranges */
    assert_int_equal(dtb_sibling(&dtb, node), DTB_NONE);
    assert_int_equal(dtb_child(&dtb, node), DTB_NONE);
    assert_string_equal(dtb_name(&dtb, dtb_parent(&dtb, uart)), "soc");
    assert_int_equal(dtb_parent(&dtb, dtb_root(&dtb)), DTB_NONE);
    node = dtb_path(&dtb, "/chosen", 7);
    assert_string_equal(dtb_string(&dtb, node, "bootargs"), "a b");
    assert_null(dtb_string(&dtb, node, "unterminated"));
    assert_null(dtb_string(&dtb, node, "absent"));
    assert_true(dtb_number(&dtb, node, "number64", &number) && number == 0x100000002);
    assert_false(dtb_number(&dtb, DTB_NONE, "number64", &number));
    assert_int_equal(dtb_path(&dtb, "/nothing/at/all", 15), DTB_NONE);
    assert_true(dtb_reserved(&dtb, 0, &base, &size) && base == 0x80000000 && size == 0x1000);
    assert_false(dtb_reserved(&dtb, 1, &base, &size));
    free(copy);
}

/* Look at everything that can be looked at. */
static void use(const struct dtb *dtb)
{
    unsigned count = 0;

    for (dtb_node n = dtb_root(dtb); n != DTB_NONE && count < 1000; n = dtb_next(dtb, n), count++) {
        uint64_t base, size;
        uint32_t cell;

        (void)dtb_name(dtb, n);
        (void)dtb_parent(dtb, n);
        (void)dtb_child(dtb, n);
        (void)dtb_sibling(dtb, n);
        for (unsigned i = 0; i < 3; i++)
            (void)dtb_reg(dtb, n, i, &base, &size);
        (void)dtb_cell(dtb, n, "interrupts", 2, &cell);
        (void)dtb_string(dtb, n, "bootargs");
        (void)dtb_lists(dtb, n, "compatible", "nothing");
    }
    assert_true(count < 1000);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t base, size;

        if (!dtb_reserved(dtb, i, &base, &size))
            break;
    }
}

static void test_truncated(void **state)
{
    (void)state;
    make_tree();
    for (size_t len = 0; len < blob_len; len++) {
        struct dtb dtb;
        uint8_t *copy;

        assert_int_not_equal(open_copy(&dtb, len, &copy), 0);
        free(copy);
    }
}

static void test_damaged(void **state)
{
    static const uint8_t values[] = {0x00, 0x01, 0x03, 0x09, 0x7f, 0x80, 0xff};

    (void)state;
    make_tree();
    for (size_t at = 0; at < blob_len; at++)
        for (size_t v = 0; v < sizeof(values); v++) {
            uint8_t old = blob[at], *copy;
            struct dtb dtb;

            blob[at] = values[v];
            if (open_copy(&dtb, blob_len, &copy) == 0)
                use(&dtb);
            free(copy);
            blob[at] = old;
        }
}

static void test_structure(void **state)
{
    struct dtb dtb;
    uint8_t *copy;

    (void)state;
    start(); /* two roots */
    begin(""), word(2), begin(""), word(2), word(9);
    finish();
    assert_int_not_equal(open_copy(&dtb, blob_len, &copy), 0);
    free(copy);
    start(); /* a property behind a child */
    begin(""), begin("a"), word(2);
    prop("late", "x", 2);
    word(2), word(9);
    finish();
    assert_int_not_equal(open_copy(&dtb, blob_len, &copy), 0);
    free(copy);
    start(); /* too deep */
    for (unsigned i = 0; i <= DTB_DEPTH_MAX; i++)
        begin("");
    for (unsigned i = 0; i <= DTB_DEPTH_MAX; i++)
        word(2);
    word(9);
    finish();
    assert_int_not_equal(open_copy(&dtb, blob_len, &copy), 0);
    free(copy);
    for (uint32_t more = 1; more <= 8; more++) { /* a property that reaches into the strings */
        start();
        begin("");
        prop("last", "ab", 2);
        put32(blob_len - 12, 4 + more);
        finish();
        assert_int_not_equal(open_copy(&dtb, blob_len, &copy), 0);
        free(copy);
    }
    start(); /* a name that has no end */
    begin("");
    prop("unnamed", "ab", 2);
    word(2), word(9);
    names_len--;
    finish();
    assert_int_not_equal(open_copy(&dtb, blob_len, &copy), 0);
    free(copy);
    start(); /* not closed */
    begin(""), word(9);
    finish();
    assert_int_not_equal(open_copy(&dtb, blob_len, &copy), 0);
    free(copy);
}

/* As QEMU's virt has one; `cells` and `type` are the interrupt controller's. */
static void make_host(uint32_t cells, uint32_t type)
{
    start();
    begin("");
    CELLS("#address-cells", 2);
    CELLS("#size-cells", 2);
    begin("intc@8000000");
    CELLS("phandle", 0x8002);
    CELLS("#address-cells", 2);
    CELLS("#interrupt-cells", cells);
    word(2);
    begin("pcie@10000000");
    prop("compatible", "pci-host-ecam-generic", 22);
    CELLS("reg", 0x40, 0x10000000, 0, 0x10000000);
    CELLS("ranges", 0x1000000, 0, 0, 0, 0x3eff0000, 0, 0x10000, 0x2000000, 0, 0x10000000, 0,
          0x10000000, 0, 0x2eff0000);
    CELLS("interrupt-map-mask", 0x1800, 0, 0, 7);
    CELLS("interrupt-map", 0, 0, 0, 1, 0x8002, 0, 0, type, 3, 4, 0x800, 0, 0, 1, 0x8002, 0, 0, type,
          4, 4);
    word(2);
    word(2);
    word(9);
    finish();
}

static void test_pci_host(void **state)
{
    struct dtb dtb;
    struct pci_host host;
    uint8_t *copy;
    unsigned irq;

    (void)state;
    make_host(3, 0);
    assert_int_equal(open_copy(&dtb, blob_len, &copy), 0);
    assert_true(pci_host_find(&dtb, &host));
    assert_true(host.ecam == 0x4010000000 && host.ecam_size == 0x10000000);
    assert_true(host.window == 0x10000000 && host.window_size == 0x2eff0000);
    assert_true(
        pci_host_irq(&dtb, &host, 4 << 3, 1, &irq)); /* every fourth device is wired alike */
    assert_int_equal(irq, 35);
    assert_true(pci_host_irq(&dtb, &host, 1 << 3 | 5, 1, &irq));
    assert_int_equal(irq, 36);
    assert_false(pci_host_irq(&dtb, &host, 2 << 3, 1, &irq));
    assert_false(pci_host_irq(&dtb, &host, 1 << 3, 0, &irq));
    free(copy);
    make_host(3, 1); /* private to a CPU */
    assert_int_equal(open_copy(&dtb, blob_len, &copy), 0);
    assert_true(pci_host_find(&dtb, &host));
    assert_false(pci_host_irq(&dtb, &host, 0, 1, &irq));
    free(copy);
    make_host(1, 0); /* another controller */
    assert_int_equal(open_copy(&dtb, blob_len, &copy), 0);
    assert_true(pci_host_find(&dtb, &host));
    assert_false(pci_host_irq(&dtb, &host, 0, 1, &irq));
    free(copy);
    make_tree();
    assert_int_equal(open_copy(&dtb, blob_len, &copy), 0);
    assert_false(pci_host_find(&dtb, &host));
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk),     cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),  cmocka_unit_test(test_structure),
        cmocka_unit_test(test_pci_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
