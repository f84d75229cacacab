/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/lib/checksum.c */
/* pkt_test.c - packet buffers: fragments of pages, pieces, clones, the Internet checksum;
 * everything is freed. Random operations are compared with an array of bytes. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drv/pkt.h"
#include "fake.h"
#include "lib/checksum.h"
#include "mm/account.h"
#include "mm/kmalloc.h"

static uint64_t free_pages;

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(16u << 20);
    page_init();
    kmalloc_init();
    pkt_init();
    pkt_free(pkt_alloc(0, 64, 0)); /* pools and the CPU's page are there */
    free_pages = page_free_count();
    return 0;
}

static struct memory_account used(void)
{
    return owner_get(OWNER_PACKET);
}

static struct pkt *filled(uint32_t headroom, uint32_t len, uint8_t from)
{
    struct pkt *pkt = pkt_alloc(headroom, len, 0);
    assert_non_null(pkt);
    uint8_t *to = pkt_put(pkt, len);
    assert_non_null(to);
    for (uint32_t i = 0; i < len; i++)
        to[i] = (uint8_t)(from + i);
    return pkt;
}

static void all_memory_comes_back(void **state)
{
    (void)state;
    static struct pkt *pkts[3000];
    assert_int_equal(used().objects, 0);
    for (unsigned i = 0; i < 3000; i++) {
        pkts[i] = pkt_alloc(PKT_HEADROOM, 60 + i % 1500, i % 2 ? ALLOC_ATOMIC : 0);
        assert_non_null(pkts[i]);
        assert_true(pkts[i]->truesize >= sizeof(struct pkt) + PKT_HEADROOM + 60 + i % 1500);
        memset(pkts[i]->room, (int)i, pkts[i]->size);
    }
    assert_int_equal(used().objects, 3000);
    for (unsigned i = 0; i < 3000; i++) {
        assert_int_equal(pkts[i]->room[0], (uint8_t)i);
        assert_int_equal(pkts[i]->room[pkts[i]->size - 1], (uint8_t)i);
        pkt_free(pkts[i]);
    }
    assert_int_equal(used().objects, 0);
    assert_int_equal(used().bytes, 0);
    pkt_free(pkt_alloc(0, 4096, 0)); /* the page that is being cut is given up */
    assert_in_range(page_free_count(), free_pages - 64, free_pages + 2); /* slabs may be kept */
    pkt_free(NULL);
}

static void a_page_is_cut_again_when_its_fragments_are_free(void **state)
{
    (void)state;
    uint64_t before = page_free_count();
    for (unsigned i = 0; i < 1000; i++)
        pkt_free(pkt_alloc(PKT_HEADROOM, 1500, 0));
    assert_in_range(page_free_count(), before - 2, before + 2);
    struct pkt *a = pkt_alloc(0, 1000, 0), *b = pkt_alloc(0, 1000, 0);
    if (!SELKIE_ASAN)
        assert_ptr_equal((uintptr_t)a->room & PAGE_MASK, (uintptr_t)b->room & PAGE_MASK);
    assert_true(a->room + a->size <= b->room || b->room + b->size <= a->room);
    pkt_free(a);
    pkt_free(b);
}

static void sizes_that_no_piece_has(void **state)
{
    (void)state;
    assert_null(pkt_alloc(1, PKT_PIECE_MAX, 0));
    assert_null(pkt_alloc(PKT_PIECE_MAX + 1, 0, 0));
    assert_null(pkt_alloc(UINT32_MAX, UINT32_MAX, 0));
    struct pkt *pkt = pkt_alloc(0, PAGE_SIZE, 0);
    assert_non_null(pkt);
    assert_non_null(pkt_put(pkt, PAGE_SIZE));
    assert_null(pkt_put(pkt, 1));
    pkt_free(pkt);
    pkt = pkt_alloc(0, 0, 0);
    assert_non_null(pkt);
    assert_ptr_equal(pkt_pull(pkt, 0), pkt->data);
    assert_null(pkt_pull(pkt, 1));
    pkt_free(pkt);
}

/* More than a page is a block; clones and what is cut off keep all of it. */
static void long_pieces(void **state)
{
    (void)state;
    uint64_t before = page_free_count();
    struct pkt *pkt = pkt_alloc(18, 3 * PAGE_SIZE, 0);
    assert_non_null(pkt);
    assert_int_equal(pkt->size, 4 * PAGE_SIZE);
    assert_int_equal(pkt->truesize, sizeof(*pkt) + 4 * PAGE_SIZE);
    uint8_t *to = pkt_put(pkt, 4 * PAGE_SIZE - 18);
    assert_non_null(to);
    assert_null(pkt_put(pkt, 1));
    for (uint32_t i = 0; i < pkt->len; i++)
        to[i] = (uint8_t)(i % 251);
    struct pkt *clone = pkt_clone(pkt, 5000, 9000, 64, 0), *tail = pkt_split(pkt, 100, 0);
    assert_non_null(clone);
    assert_non_null(tail);
    pkt_free(pkt);
    uint8_t bytes[3];
    pkt_read(tail, 12000, bytes, 3);
    assert_memory_equal(bytes, ((uint8_t[]){12100 % 251, 12101 % 251, 12102 % 251}), 3);
    pkt_free(tail);
    pkt_read(clone, 8997, bytes, 3);
    assert_memory_equal(bytes, ((uint8_t[]){13997 % 251, 13998 % 251, 13999 % 251}), 3);
    pkt_free(clone);
    pkt = pkt_alloc(0, PKT_PIECE_MAX, 0);
    assert_non_null(pkt);
    pkt_free(pkt);
    assert_int_equal(used().objects, 0);
    assert_int_equal(used().bytes, 0);
    assert_in_range(page_free_count(), before - 4, before + 2); /* slabs may be kept */
}

static void headers_go_in_front(void **state)
{
    (void)state;
    struct pkt *pkt = filled(40, 10, 0);
    memcpy(pkt_push(pkt, 4), "abcd", 4);
    assert_int_equal(pkt->total, 14);
    assert_int_equal(pkt_headroom(pkt), 36);
    assert_memory_equal(pkt->data, "abcd\0\1\2", 7);
    pkt_skip(pkt, 5);
    assert_int_equal(pkt->data[0], 1);
    pkt_trim(pkt, 3);
    assert_int_equal(pkt->total, 3);
    EXPECT_PANIC(pkt_push(pkt, 46));
    EXPECT_PANIC(pkt_skip(pkt, 4));
    EXPECT_PANIC(pkt_trim(pkt, 4));
    pkt_free(pkt);
}

static unsigned told;
static void tell(struct pkt_done *done)
{
    (void)done;
    told++;
}

static void clones_share_pages_and_outlive_the_original(void **state)
{
    (void)state;
    struct pkt_done done = {.fn = tell};
    struct page *page = page_alloc(0, PAGE_KERNEL, 0);
    memset(page_virt(page), 'x', PAGE_SIZE);
    struct pkt *pkt = filled(0, 100, 0), *tail = pkt_of_page(page, 1000, 2000, 0);
    ref_init(&done.refs);
    tail->done = &done;
    told = 0;
    page_put(page);
    pkt_append(pkt, tail);
    assert_int_equal(pkt->total, 2100);
    struct pkt *clone = pkt_clone(pkt, 50, 1050, 64, 0);
    assert_int_equal(clone->total, 1050);
    assert_int_equal(clone->len, 0);
    assert_true(clone->shared);
    assert_null(pkt_put(clone, 1)); /* there is somebody else's memory behind it */
    pkt_free(pkt);
    assert_int_equal(told, 0);
    uint8_t got[1050];
    pkt_read(clone, 0, got, sizeof got);
    for (unsigned i = 0; i < 1050; i++)
        assert_int_equal(got[i], i < 50 ? 50 + i : 'x');
    memcpy(pkt_push(clone, 2), "hd", 2);
    assert_memory_equal(pkt_pull(clone, 60), "hd23456789", 10);
    pkt_free(clone);
    assert_int_equal(told, 1);
    assert_int_equal(used().objects, 0);
    assert_int_equal(used().bytes, 0);
}

static void without_memory_nothing_is_left_behind(void **state)
{
    (void)state;
    struct pkt *pkt = filled(16, 3000, 0);
    pkt_append(pkt, filled(0, 3000, 9));
    for (unsigned n = 1; n < 7; n++) {
        alloc_fail_nth(n);
        struct pkt *clone = pkt_clone(pkt, 0, 6000, 64, 0);
        alloc_fail_nth(0);
        pkt_free(clone);
        assert_int_equal(used().objects, 2);
    }
    /* More than a piece can hold together. */
    assert_null(pkt_pull(pkt, 5000));
    assert_int_equal(pkt->total, 6000);
    pkt_free(pkt);
    assert_int_equal(used().bytes, 0);
}

/* Random chains against bytes. */
static void as_an_array_of_bytes(void **state)
{
    (void)state;
    srand(7);
    for (unsigned round = 0; round < 3000; round++) {
        uint8_t model[20000], *begin = model + 8000;
        struct pkt *pkt = pkt_alloc(64, 0, 0);
        uint32_t len = 0;
        for (unsigned pieces = 1 + (unsigned)rand() % 5; pieces; pieces--) {
            uint32_t part = (uint32_t)rand() % (rand() % 3 ? 90 : 1200);
            struct pkt *more = filled((uint32_t)rand() % 70, part, (uint8_t)rand());
            pkt_read(more, 0, begin + len, part);
            len += part;
            pkt_append(pkt, more);
        }
        for (unsigned step = 0; step < 12; step++) {
            uint32_t n = len ? (uint32_t)rand() % (len + 1) : 0, at = (uint32_t)rand() % (len + 1);
            uint8_t bytes[4096];
            switch (rand() % 9) {
            case 8: /* cut in two, and together again */
                if (at > 0 && at < len) {
                    struct pkt *tail = pkt_split(pkt, at, 0);
                    assert_non_null(tail);
                    assert_int_equal(pkt->total, at);
                    assert_int_equal(tail->total, len - at);
                    assert_int_equal(used().bytes, pkt->truesize + tail->truesize);
                    for (uint32_t i = 0; i < len - at; i += 61)
                        pkt_read(tail, i, bytes, 1), assert_int_equal(bytes[0], begin[at + i]);
                    if (pkt_put(tail, 1)) /* room behind it is nobody else's */
                        pkt_trim(tail, len - at);
                    pkt_append(pkt, tail);
                }
                break;
            case 0:
                n = MIN(n, 100);
                pkt_skip(pkt, n);
                begin += n, len -= n;
                break;
            case 1:
                n = MIN(n, 100);
                pkt_trim(pkt, len - n);
                len -= n;
                break;
            case 2: {
                void *data = pkt_pull(pkt, n);
                assert_true(data || n > 2000);
                if (data)
                    assert_memory_equal(data, begin, n);
                break;
            }
            case 3:
                n = MIN(len - at, 900);
                memset(bytes, rand(), n);
                pkt_write(pkt, at, bytes, n);
                memcpy(begin + at, bytes, n);
                break;
            case 4: {
                n = (uint32_t)rand() % (len - at + 1);
                struct pkt *clone = pkt_clone(pkt, at, n, 32, 0), *copy;
                copy = pkt_clone(clone, 0, n, 0, 0);
                pkt_free(clone);
                for (uint32_t i = 0; i < n; i += 97)
                    pkt_read(copy, i, bytes + i % 4096, 1),
                        assert_int_equal(bytes[i % 4096], begin[at + i]);
                pkt_free(copy);
                break;
            }
            case 5:
                if (pkt_headroom(pkt) >= 3) {
                    begin -= 3, len += 3;
                    memcpy(begin, "xyz", 3);
                    memcpy(pkt_push(pkt, 3), "xyz", 3);
                }
                break;
            default: {
                uint32_t sum = 0;
                n = len - at;
                for (uint32_t i = 0; i < n; i++)
                    sum += i % 2 ? (uint32_t)begin[at + i] << 8 : begin[at + i];
                assert_int_equal(pkt_checksum(pkt, at, n, 0) % 0xffff, checksum_fold(sum) % 0xffff);
                break;
            }
            }
            uint32_t total = 0, truesize = 0;
            for (struct pkt *piece = pkt; piece; piece = piece->more) {
                total += piece->len;
                truesize += (uint32_t)sizeof(*piece) + piece->size;
            }
            assert_int_equal(total, len);
            assert_int_equal(pkt->total, len);
            assert_int_equal(pkt->truesize, truesize);
        }
        assert_int_equal(used().bytes, pkt->truesize);
        pkt_free(pkt);
    }
    assert_int_equal(used().objects, 0);
    assert_int_equal(used().bytes, 0);
}

static void checksums(void **state)
{
    (void)state;
    /* RFC 1071, 3: 0001 f203 f4f5 f6f7 sum to ddf2. */
    static const uint8_t example[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    uint16_t sum = checksum_add(example, 8, 0);
    assert_memory_equal(&sum, "\xdd\xf2", 2);
    uint8_t bytes[300];
    for (unsigned round = 0; round < 2000; round++) {
        uint32_t slow = 0, len = (uint32_t)rand() % 200, at = (uint32_t)rand() % 9;
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = rand() % 3 ? 0xff : (uint8_t)rand();
        for (uint32_t i = 0; i < len; i++)
            slow += i % 2 ? (uint32_t)bytes[at + i] << 8 : bytes[at + i];
        assert_int_equal(checksum_add(bytes + at, len, 0) % 0xffff, checksum_fold(slow) % 0xffff);
    }
    /* RFC 1624, 4: dd2f with m = 5555 become 3285. */
    assert_int_equal(checksum_change(0xdd2f, 0x5555, 0x3285), 0x0000);
    assert_int_equal(checksum_odd(0x1234), 0x3412);
}

static void queues(void **state)
{
    (void)state;
    struct pkt_queue queue = {0};
    struct pkt *a = filled(0, 5, 0), *b = filled(0, 6, 0);
    assert_null(pkt_queue_take(&queue));
    pkt_queue_add(&queue, a);
    pkt_queue_add(&queue, b);
    assert_int_equal(queue.count, 2);
    assert_int_equal(queue.bytes, a->truesize + b->truesize);
    assert_ptr_equal(pkt_queue_take(&queue), a);
    pkt_queue_add(&queue, a);
    assert_ptr_equal(pkt_queue_take(&queue), b);
    pkt_free(b);
    pkt_queue_purge(&queue);
    assert_int_equal(queue.bytes, 0);
    assert_int_equal(queue.count, 0);
    a = filled(0, 5, 0);
    a->next = filled(0, 5, 0);
    pkt_free_list(a);
    assert_int_equal(used().objects, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_memory_comes_back, set_up),
        cmocka_unit_test_setup(a_page_is_cut_again_when_its_fragments_are_free, set_up),
        cmocka_unit_test_setup(sizes_that_no_piece_has, set_up),
        cmocka_unit_test_setup(long_pieces, set_up),
        cmocka_unit_test_setup(headers_go_in_front, set_up),
        cmocka_unit_test_setup(clones_share_pages_and_outlive_the_original, set_up),
        cmocka_unit_test_setup(without_memory_nothing_is_left_behind, set_up),
        cmocka_unit_test_setup(as_an_array_of_bytes, set_up),
        cmocka_unit_test_setup(checksums, set_up),
        cmocka_unit_test_setup(queues, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
