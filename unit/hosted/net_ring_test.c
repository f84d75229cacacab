/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: hosted/net_ring.c kernel/lib/string.c */
/*
 * net_ring_test.c - the ring of records between two processes: order and contents of what passes,
 * at its end and over the end of its counts, however pieces lie; full and empty; two threads that
 * stream through it and sleep as the devices do (seconds under tsan); a peer that writes rubbish
 * into all it can.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "../../hosted/net_ring.h"

#define MOST 65611u
#define STREAM_RECORDS 8000u
#define PATTERNS 251u

static uint8_t pattern[70000 + PATTERNS];
static uint8_t *region;
static struct ring_writer w;
static struct ring_reader r;
static struct ring_reader unused_in;
static struct ring_writer unused_out;

static int setup(void **state)
{
    (void)state;
    /* With a page behind it that may not be touched. */
    region = mmap(NULL, SHARE_SIZE + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(region, MAP_FAILED);
    assert_int_equal(mprotect(region, SHARE_SIZE, PROT_READ | PROT_WRITE), 0);
    ring_open(region, 1, &w, &unused_in);
    ring_open(region, 0, &unused_out, &r);
    for (uint32_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 2654435761u >> 17);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return munmap(region, SHARE_SIZE + 4096);
}

/* Both sides' counts as if so many bytes had passed. */
static void wind(uint32_t count)
{
    w.tail = w.head = r.head = r.tail = w.shared->tail = w.shared->head = count;
}

static uint32_t length_of(uint32_t i)
{
    return i % 7 == 0 ? 65536 - i % 1000 : 1 + i * 131 % 3000;
}

/* What record i has in it: no two neighbours are alike, nor two places of one. */
static const uint8_t *bytes_of(uint32_t i)
{
    return pattern + i % PATTERNS;
}

static int put(uint32_t i)
{
    const uint8_t *bytes = bytes_of(i);
    uint32_t len = length_of(i), cut = len * (i % 4) / 4;
    struct host_iovec iov[] = {{(void *)(uintptr_t)bytes, cut},
                               {(void *)(uintptr_t)(bytes + cut), len - cut}};

    return ring_write(&w, iov, 2, len);
}

static void check_next(uint32_t i)
{
    static _Thread_local uint8_t bytes[70000];
    uint32_t len = ring_next(&r, MOST), cut = len * (i % 3) / 3;
    struct host_iovec iov[] = {{bytes, cut}, {bytes + cut, sizeof(bytes) - cut}};

    if (len != length_of(i))
        fail_msg("record %u has %u bytes", i, len);
    ring_take(&r, iov, 2);
    if (memcmp(bytes, bytes_of(i), len) != 0)
        fail_msg("record %u is wrong", i);
}

static void all_of_it_passes(void **state)
{
    uint32_t in = 0, out = 0;

    (void)state;
    wind(0u - 3 * SHARE_RING + 4096); /* over the end of the counts, too */
    while (out < 2000) {
        for (unsigned n = in % 23; n > 0 && put(in) == 0; n--)
            in++;
        if (in == out && put(in) == 0)
            in++;
        for (unsigned n = 1 + in % 19; n > 0 && out < in; n--)
            check_next(out++);
        (void)ring_release(&r);
    }
    while (out < in)
        check_next(out++);
    assert_int_equal(ring_next(&r, MOST), 0);
    assert_false(ring_filled(&r));
}

/* Long pieces are copied by lines, however they lie, and no further than they go. */
static void pieces_lie_anyhow(void **state)
{
    static uint8_t bytes[2048];

    (void)state;
    for (uint32_t i = 0; i < 2000; i++) {
        uint32_t before = i % 67, len = 1000 + i % 131, at = i % 61;
        const uint8_t *from = pattern + i;
        struct host_iovec in[] = {{(void *)(uintptr_t)from, before},
                                  {(void *)(uintptr_t)(from + before), len}};
        struct host_iovec out[] = {{bytes + at, before}, {bytes + at + before, len}};

        wind((i % 3 ? i : 0u - i) * RING_ALIGN); /* over the ring's end, too */
        assert_int_equal(ring_write(&w, in, 2, before + len), 0);
        memset(bytes, 0xee, sizeof(bytes));
        assert_int_equal(ring_next(&r, MOST), before + len);
        ring_take(&r, out, 2);
        assert_memory_equal(bytes + at, from, before + len);
        assert_true(at == 0 || bytes[at - 1] == 0xee);
        assert_int_equal(bytes[at + before + len], 0xee);
    }
}

static void full_and_empty(void **state)
{
    uint32_t in = 0, out = 0;

    (void)state;
    assert_int_equal(ring_next(&r, MOST), 0);
    while (put(in) == 0)
        in++;
    assert_int_equal(put(in), -EAGAIN);
    assert_true(SHARE_RING - (w.tail - w.head) < length_of(in) + RING_LENGTH + RING_ALIGN);
    assert_false(ring_want_room(&w, length_of(in)));
    check_next(out++);
    assert_true(ring_release(&r));  /* it waits for room */
    assert_false(ring_release(&r)); /* has been told */
    assert_true(ring_want_room(&w, length_of(0)));
    while (out < in)
        check_next(out++);
    assert_int_equal(ring_next(&r, MOST), 0);
    assert_false(r.broken || w.broken);
}

static void left_out(void **state)
{
    (void)state;
    put(1), put(2);
    assert_int_equal(ring_next(&r, MOST), length_of(1));
    ring_take(&r, NULL, 0);
    check_next(2);
}

static void telling(void **state)
{
    (void)state;
    put(1);
    assert_int_equal(ring_tell(&w), SHARE_LOOKS);
    ring_set_wake(&r, SHARE_BELL);
    assert_true(ring_filled(&r)); /* nobody will tell of it */
    check_next(1);
    ring_set_wake(&r, SHARE_SLEEPS);
    assert_false(ring_filled(&r));
    put(2);
    assert_int_equal(ring_tell(&w), SHARE_SLEEPS);
    put(3);
    assert_int_equal(ring_tell(&w), SHARE_LOOKS); /* told already */
}

/* ---- two threads ---- */

static uint32_t bell, room_bell; /* atomic: rung */

static void wait_for(uint32_t *which)
{
    while (!__atomic_exchange_n(which, 0, __ATOMIC_ACQUIRE))
        sched_yield();
}

static void *stream(void *arg)
{
    for (uint32_t i = 0; i < STREAM_RECORDS; i++) {
        while (put(i) == -EAGAIN)
            if (!ring_want_room(&w, length_of(i)))
                wait_for(&room_bell); /* for ever, if it is not told */
        if (ring_tell(&w) != SHARE_LOOKS)
            __atomic_store_n(&bell, 1, __ATOMIC_RELEASE);
    }
    return arg;
}

static void stress(void **state)
{
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, stream, NULL), 0);
    for (uint32_t i = 0; i < STREAM_RECORDS; i++) {
        while (ring_next(&r, MOST) == 0) {
            if (i % 3) /* sometimes it looks by itself for a while */
                sched_yield();
            ring_set_wake(&r, SHARE_BELL);
            if (!ring_filled(&r))
                wait_for(&bell);
            assert_false(r.broken);
        }
        ring_set_wake(&r, SHARE_LOOKS);
        check_next(i);
        if (ring_release(&r))
            __atomic_store_n(&room_bell, 1, __ATOMIC_RELEASE);
    }
    pthread_join(thread, NULL);
    assert_int_equal(ring_next(&r, MOST), 0);
    assert_false(w.broken);
}

/* ---- a peer that lies ---- */

static void length_lies(void **state)
{
    static const uint32_t lies[] = {0, MOST + 1, UINT32_MAX, SHARE_RING, 4000};

    (void)state;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        ring_open(region, 0, &unused_out, &r);
        ring_open(region, 1, &w, &unused_in);
        wind(16 * i);
        put(1); /* 132 bytes */
        memcpy(w.data + 16 * i, &lies[i], 4);
        assert_int_equal(ring_next(&r, MOST), 0);
        assert_true(r.broken);
        assert_false(ring_filled(&r)); /* nobody looks for ever */
    }
}

static void counts_lie(void **state)
{
    static const uint32_t lies[] = {SHARE_RING + 16, 1, 15, 0x80000000u, 0u - 16};

    (void)state;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        ring_open(region, 0, &unused_out, &r);
        wind(4096);
        w.shared->tail = 4096 + lies[i];
        assert_int_equal(ring_next(&r, MOST), 0);
        assert_true(r.broken);
        ring_open(region, 1, &w, &unused_in);
        wind(4096);
        while (put(1) == 0) /* until it looks */
            w.shared->head = lies[i] == 0u - 16 ? w.tail + 16 : 4096 - lies[i];
        assert_true(w.broken);
        assert_int_equal(put(1), -EIO);
    }
}

/* Whatever stands there at whatever time: both ends stay within the ring, and end. */
static void rubbish(void **state)
{
    static uint8_t bytes[70000];
    struct host_iovec iov = {bytes, sizeof(bytes)};
    unsigned taken = 0;

    (void)state;
    srandom(1);
    for (unsigned round = 0; round < 3000; round++) {
        uint32_t *words = (uint32_t *)(void *)region;

        if (r.broken || w.broken) {
            ring_open(region, 0, &unused_out, &r);
            ring_open(region, 1, &w, &unused_in);
            wind((uint32_t)random() & ~15u);
        }
        for (unsigned i = 0; i < 3; i++) {
            words[random() % 128] = (uint32_t)random();
            words[(SHARE_DATA + SHARE_RING) / 4 + (unsigned)random() % (SHARE_RING / 4)] =
                (uint32_t)random() % 70000;
        }
        if (random() % 2)
            w.shared->tail = r.head + ((uint32_t)random() % (SHARE_RING + 64) & ~15u);
        if (random() % 2)
            w.shared->head = w.tail - ((uint32_t)random() % (SHARE_RING + 64) & ~15u);
        (void)put((uint32_t)random());
        for (unsigned i = 0; i < 100; i++) {
            uint32_t len = ring_next(&r, MOST);

            if (len == 0)
                break;
            assert_true(len <= MOST);
            ring_take(&r, &iov, 1);
            taken++;
        }
        (void)ring_release(&r);
    }
    assert_true(taken > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_of_it_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces_lie_anyhow, setup, teardown),
        cmocka_unit_test_setup_teardown(full_and_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(telling, setup, teardown),
        cmocka_unit_test_setup_teardown(stress, setup, teardown),
        cmocka_unit_test_setup_teardown(length_lies, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_lie, setup, teardown),
        cmocka_unit_test_setup_teardown(rubbish, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
