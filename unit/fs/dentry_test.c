/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: fs */
/* dentry_test.c - attacks on the cache of names: names that are chosen so that they shall meet in
 * one chain of its table, and a reference count that is driven over its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "fake_fs.h"
#include "lib/refcount.h"

#define CHAINS 256 /* of the table as it is at boot */
#define NAMES 64
#define CHAIN_MOST 16 /* of 64 names in 256 chains by chance: not once in 10^20 */

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(64u << 20);
    assert_int_equal(fake_fs_boot(NULL, 0), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_fs_end();
    return 0;
}

static uint32_t hash_of(const char *name, size_t len)
{
    struct dentry *dentry = dentry_alloc(vfs_root, name, len);
    assert_non_null(dentry);
    uint32_t hash = dentry->hash;
    dentry_put(dentry);
    return hash;
}

/* What a stranger can compute who knows the parent's address but no secret. */
static uint32_t guessed(const char *name)
{
    uint32_t hash = 2166136261u ^ (uint32_t)((uintptr_t)vfs_root >> 4);
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash ^ hash >> 15;
}

static void chosen_names_do_not_meet(void **state)
{
    static unsigned chain[CHAINS];
    char name[16];
    unsigned found = 0;
    (void)state;
    for (unsigned i = 0; found < NAMES; i++) {
        snprintf(name, sizeof name, "%u", i);
        if (guessed(name) % CHAINS != 0)
            continue;
        found++;
        assert_true(++chain[hash_of(name, strlen(name)) % CHAINS] <= CHAIN_MOST);
    }
}

/* Nor do two boots have the same hashes: the secret is another. */
static void each_boot_hashes_otherwise(void **state)
{
    uint32_t first[NAMES], same = 0;
    char name[16];
    for (unsigned boot = 0; boot < 2; boot++) {
        for (unsigned i = 0; i < NAMES; i++) {
            uint32_t hash = hash_of(name, (size_t)snprintf(name, sizeof name, "name %u", i));
            same += boot > 0 && hash == first[i];
            first[i] = hash;
        }
        if (boot == 0) {
            tear_down(state);
            set_up(state);
        }
    }
    assert_true(same <= 1);
}

/* Each byte counts, at every length, and so does the length. (One pair of a thousand may meet.) */
static void every_byte_counts(void **state)
{
    char name[33], other[33];
    unsigned met = 0;
    (void)state;
    for (size_t len = 1; len < sizeof name; len++) {
        memset(name, 'a', len);
        uint32_t hash = hash_of(name, len);
        assert_int_equal(hash_of(name, len), hash);
        met += hash_of(name, len - 1) == hash;
        for (size_t i = 0; i < len; i++) {
            memcpy(other, name, len);
            other[i] = 'b';
            met += hash_of(other, len) == hash;
        }
    }
    assert_true(met <= 1);
}

/* As of a bug that takes a reference and forgets it, 2^31 times. */
static void references_saturate(void **state)
{
    struct dentry *dentry = dentry_alloc(vfs_root, "victim", 6);
    uint32_t alive = dentry_count();
    (void)state;
    __atomic_store_n(&dentry->refs, REFCOUNT_SATURATED - 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++)
        dentry_get(dentry);
    for (int i = 0; i < 1000; i++)
        dentry_put(dentry);
    assert_true(dentry->refs >= REFCOUNT_SATURATED);
    __atomic_store_n(&dentry->refs, UINT32_MAX, __ATOMIC_RELAXED);
    dentry_get(dentry);
    dentry_put(dentry);
    assert_true(dentry->refs >= REFCOUNT_SATURATED);
    assert_int_equal(dentry_count(), alive);
    __atomic_store_n(&dentry->refs, 1, __ATOMIC_RELAXED);
    dentry_put(dentry);
    assert_int_equal(dentry_count(), alive - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(chosen_names_do_not_meet),
        TEST(each_boot_hashes_otherwise),
        TEST(every_byte_counts),
        TEST(references_saturate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
