/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/lib/ring.c */
/* ring_test.c - the rings alone (full, empty, order, positions that wrap around), then between host
 * threads, where the thread sanitizer watches. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/ring.h"

#define SLOTS 8
#define ITEMS 20000
#define PRODUCERS 3

static void *item(uintptr_t n)
{
    return (void *)(n + 1);
}

static void spsc_alone(void **state)
{
    void *slots[SLOTS];
    struct spsc_ring ring;
    (void)state;
    spsc_init(&ring, slots, SLOTS);
    ring.head = ring.tail = ring.head_seen = ring.tail_seen = SIZE_MAX - 3; /* soon wraps */
    assert_null(spsc_pop(&ring));
    for (uintptr_t round = 0; round < 5; round++) {
        for (uintptr_t i = 0; i < SLOTS; i++)
            assert_true(spsc_push(&ring, item(i)));
        assert_false(spsc_push(&ring, item(99)));
        assert_ptr_equal(spsc_pop(&ring), item(0));
        assert_true(spsc_push(&ring, item(SLOTS)));
        assert_false(spsc_push(&ring, item(99)));
        for (uintptr_t i = 1; i <= SLOTS; i++)
            assert_ptr_equal(spsc_pop(&ring), item(i));
        assert_null(spsc_pop(&ring));
    }
}

static void mpsc_alone(void **state)
{
    struct mpsc_slot slots[SLOTS];
    struct mpsc_ring ring;
    (void)state;
    mpsc_init(&ring, slots, SLOTS);
    assert_null(mpsc_pop(&ring));
    for (uintptr_t round = 0; round < 5; round++) {
        for (uintptr_t i = 0; i < SLOTS; i++)
            assert_true(mpsc_push(&ring, item(i)));
        assert_false(mpsc_push(&ring, item(99)));
        assert_ptr_equal(mpsc_pop(&ring), item(0));
        assert_true(mpsc_push(&ring, item(SLOTS)));
        for (uintptr_t i = 1; i <= SLOTS; i++)
            assert_ptr_equal(mpsc_pop(&ring), item(i));
        assert_null(mpsc_pop(&ring));
    }
    /* A producer that has claimed its slot and not filled it hides what comes behind, loses
     * nothing. */
    size_t claimed = ring.tail++;
    assert_true(mpsc_push(&ring, item(2)));
    assert_null(mpsc_pop(&ring));
    slots[claimed & ring.mask].entry = item(1);
    slots[claimed & ring.mask].turn = claimed + 1;
    assert_ptr_equal(mpsc_pop(&ring), item(1));
    assert_ptr_equal(mpsc_pop(&ring), item(2));
}

static struct spsc_ring spsc;
static struct mpsc_ring mpsc;
static uintptr_t data[PRODUCERS][ITEMS]; /* written before the push, read after the pop */

static void *produce_one(void *arg)
{
    (void)arg;
    for (uintptr_t i = 0; i < ITEMS; i++) {
        data[0][i] = i;
        while (!spsc_push(&spsc, &data[0][i]))
            sched_yield();
    }
    return NULL;
}
static void spsc_between_threads(void **state)
{
    void *slots[SLOTS];
    pthread_t thread;
    (void)state;
    spsc_init(&spsc, slots, SLOTS);
    assert_int_equal(pthread_create(&thread, NULL, produce_one, NULL), 0);
    for (uintptr_t i = 0; i < ITEMS;) {
        const uintptr_t *got = spsc_pop(&spsc);
        if (!got) {
            sched_yield();
            continue;
        }
        assert_true(got == &data[0][i] && *got == i);
        i++;
    }
    pthread_join(thread, NULL);
}

static void *produce_many(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    for (uintptr_t i = 0; i < ITEMS; i++) {
        data[me][i] = i;
        while (!mpsc_push(&mpsc, &data[me][i]))
            sched_yield();
    }
    return NULL;
}
static void mpsc_between_threads(void **state)
{
    struct mpsc_slot slots[SLOTS];
    pthread_t thread[PRODUCERS];
    uintptr_t next[PRODUCERS] = {0};
    (void)state;
    mpsc_init(&mpsc, slots, SLOTS);
    for (uintptr_t i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, produce_many, (void *)i), 0);
    for (size_t count = 0; count < (size_t)PRODUCERS * ITEMS;) {
        const uintptr_t *got = mpsc_pop(&mpsc);
        if (!got) {
            sched_yield();
            continue;
        }
        size_t who = (size_t)(got - data[0]) / ITEMS;
        assert_true(got == &data[who][next[who]] && *got == next[who]);
        next[who]++;
        count++;
    }
    assert_null(mpsc_pop(&mpsc));
    for (uintptr_t i = 0; i < PRODUCERS; i++)
        pthread_join(thread[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spsc_alone),
        cmocka_unit_test(mpsc_alone),
        cmocka_unit_test(spsc_between_threads),
        cmocka_unit_test(mpsc_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
