/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/lib/radix.c */
/* radix_test.c - the radix map against a sorted array, with failing allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/errno.h"
#include "lib/radix.h"

static int live, fail_in;
static void *node_alloc(size_t size)
{
    if (fail_in && --fail_in == 0)
        return NULL;
    live++;
    return calloc(1, size);
}
static void node_free(void *ptr)
{
    live--;
    free(ptr);
}
static const struct radix_alloc alloc = {node_alloc, node_free};

#define SLOTS 200
static uint64_t keys[SLOTS];
static bool in[SLOTS];
static struct radix map;

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void make_keys(void)
{
    for (int i = 0; i < SLOTS; i++) {
        uint64_t r = ((uint64_t)rand() << 40) ^ ((uint64_t)rand() << 20) ^ (uint64_t)rand();
        keys[i] = r >> (rand() % 64);
    }
    keys[0] = 0;
    keys[1] = UINT64_MAX;
    keys[2] = 63;
    keys[3] = 64;
    keys[4] = UINT64_MAX - 1;
    qsort(keys, SLOTS, sizeof keys[0], compare_keys);
    for (int i = 1; i < SLOTS; i++) /* distinct */
        if (keys[i] <= keys[i - 1] && keys[i - 1] != UINT64_MAX)
            keys[i] = keys[i - 1] + 1;
    for (int i = SLOTS - 1; i > 0; i--)
        if (keys[i - 1] >= keys[i])
            keys[i - 1] = keys[i] - 1;
}

static void compare(void)
{
    uint64_t at = 0;
    for (int i = 0; i < SLOTS; i++) {
        assert_ptr_equal(radix_get(&map, keys[i]), in[i] ? &keys[i] : NULL);
        if (!in[i])
            continue;
        void *value = radix_next(&map, &at);
        assert_ptr_equal(value, &keys[i]);
        assert_true(at == keys[i]);
        if (at == UINT64_MAX)
            return;
        at++;
    }
    assert_null(radix_next(&map, &at));
}

static void random_operations_match_model(void **state)
{
    (void)state;
    srand(2);
    make_keys();
    radix_init(&map, &alloc);
    for (int step = 0; step < 8000; step++) {
        int i = rand() % (step % 2000 < 1000 ? SLOTS : 5);
        if (in[i]) {
            assert_ptr_equal(radix_remove(&map, keys[i]), &keys[i]);
            in[i] = false;
        } else {
            fail_in = rand() % 4 == 0 ? 1 + rand() % 8 : 0;
            int before = live;
            int err = radix_set(&map, keys[i], &keys[i]);
            if (err) {
                assert_int_equal(err, -ENOMEM);
                assert_int_equal(live, before);
            }
            in[i] = err == 0;
            fail_in = 0;
        }
        if (step % 50 == 0)
            compare();
    }
    for (int i = 0; i < SLOTS; i++) {
        (void)radix_remove(&map, keys[i]);
        in[i] = false;
    }
    assert_int_equal(map.height, 0);
    assert_int_equal(live, 0);
}

static void removing_what_is_absent(void **state)
{
    (void)state;
    uint64_t at = 0;
    radix_init(&map, &alloc);
    assert_null(radix_remove(&map, 5));
    assert_null(radix_next(&map, &at));
    assert_int_equal(radix_set(&map, 5, &at), 0);
    assert_null(radix_remove(&map, 6));
    assert_null(radix_remove(&map, 1ull << 40));
    assert_null(radix_get(&map, 1ull << 40));
    at = 1ull << 40;
    assert_null(radix_next(&map, &at));
    assert_int_equal(radix_set(&map, 5, &live), 0); /* replace */
    assert_ptr_equal(radix_get(&map, 5), &live);
    radix_clear(&map);
    assert_int_equal(live, 0);
}

static void clear_frees_everything(void **state)
{
    (void)state;
    radix_init(&map, &alloc);
    for (uint64_t i = 0; i < 5000; i++)
        assert_int_equal(radix_set(&map, i * i * 977, &live), 0);
    radix_clear(&map);
    assert_int_equal(live, 0);
    assert_null(radix_get(&map, 977));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_match_model),
        cmocka_unit_test(removing_what_is_absent),
        cmocka_unit_test(clear_frees_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
