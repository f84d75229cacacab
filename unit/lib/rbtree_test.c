/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/lib/rbtree.c */
/* rbtree_test.c - random insertions and removals against a plain array as the model, with a subtree
 * sum as augmented data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/rbtree.h"

#define KEYS 300

struct item {
    struct rb_node node;
    int key;
    unsigned long sum; /* of the keys in the subtree */
    bool in;
};
static struct item items[KEYS];
static struct rb_tree tree;

static struct item *item_of(const struct rb_node *node)
{
    return node ? container_of(node, struct item, node) : NULL;
}
static unsigned long sum_of(const struct rb_node *node)
{
    return node ? item_of(node)->sum : 0;
}
static bool update(struct rb_node *node)
{
    unsigned long before = item_of(node)->sum;
    item_of(node)->sum =
        (unsigned long)item_of(node)->key + sum_of(node->left) + sum_of(node->right);
    return item_of(node)->sum != before;
}
static bool less(const struct rb_node *a, const struct rb_node *b)
{
    return item_of(a)->key < item_of(b)->key;
}

/* The tree holds exactly the items marked `in`, in order, with exact sums. */
static void compare(void)
{
    assert_true(rb_valid(&tree));
    struct rb_node *node = rb_first(&tree), *last = NULL;
    unsigned long total = 0;
    for (int i = 0; i < KEYS; i++) {
        if (!items[i].in)
            continue;
        assert_ptr_equal(item_of(node), &items[i]);
        assert_ptr_equal(rb_prev(node), last);
        assert_int_equal(items[i].sum,
                         (unsigned long)items[i].key + sum_of(node->left) + sum_of(node->right));
        total += (unsigned long)items[i].key;
        last = node;
        node = rb_next(node);
    }
    assert_null(node);
    assert_ptr_equal(rb_last(&tree), last);
    assert_int_equal(sum_of(tree.root), total);
}

/* By the end where it belongs, if that is where it does. */
static void insert(struct item *item)
{
    const struct item *first = item_of(rb_first(&tree)), *last = item_of(rb_last(&tree));
    if (!last || item->key >= last->key)
        rb_insert_last(&tree, &item->node);
    else if (item->key < first->key)
        rb_insert_first(&tree, &item->node);
    else
        rb_insert(&tree, &item->node, less);
}

static void random_operations_match_model(void **state)
{
    (void)state;
    srand(1);
    tree = (struct rb_tree){.update = update};
    for (int i = 0; i < KEYS; i++)
        items[i] = (struct item){.key = i};
    for (int step = 0; step < 6000; step++) {
        struct item *item = &items[rand() % (step < 3000 ? KEYS : 40)];
        if (item->in)
            rb_remove(&tree, &item->node);
        else if (step & 1)
            insert(item);
        else
            rb_insert(&tree, &item->node, less);
        item->in = !item->in;
        if (step % 7 == 0)
            compare();
    }
    compare();
}

static void ascending_and_descending(void **state)
{
    (void)state;
    tree = (struct rb_tree){.update = update};
    for (int i = 0; i < KEYS; i++) {
        items[i] = (struct item){.key = i, .in = true};
        rb_insert(&tree, &items[i].node, less);
    }
    compare();
    for (int i = KEYS; i-- > 0;) {
        rb_remove(&tree, &items[i].node);
        items[i].in = false;
        if (i % 16 == 0)
            compare();
    }
    assert_null(tree.root);
    assert_true(rb_valid(&tree));
}

/* As a run queue is used: taken from the front, put to the end, and now and then to the front. */
static void taken_from_the_front_put_to_an_end(void **state)
{
    (void)state;
    tree = (struct rb_tree){.update = update};
    for (int i = 0; i < KEYS; i++)
        items[i] = (struct item){.key = i};
    for (int i = 0; i < 100; i++) {
        insert(&items[i]);
        items[i].in = true;
    }
    for (int i = 0; i < 150; i++) {
        struct item *item = item_of(rb_first(&tree));
        rb_remove(&tree, &item->node);
        item->in = false;
        compare();
        if (i % 3 == 0) {
            insert(item);
            item->in = true;
        }
        insert(&items[100 + i]);
        items[100 + i].in = true;
        compare();
    }
}

static void equal_keys_stay_in_insertion_order(void **state)
{
    (void)state;
    tree = (struct rb_tree){0};
    for (int i = 0; i < 50; i++) {
        items[i] = (struct item){.key = 7};
        rb_insert(&tree, &items[i].node, less);
    }
    struct rb_node *node = rb_first(&tree);
    for (int i = 0; i < 50; i++, node = rb_next(node))
        assert_ptr_equal(node, &items[i].node);
}

static void valid_finds_a_broken_tree(void **state)
{
    (void)state;
    tree = (struct rb_tree){0};
    for (int i = 0; i < 20; i++) {
        items[i] = (struct item){.key = i};
        rb_insert(&tree, &items[i].node, less);
    }
    assert_true(rb_valid(&tree));
    tree.root->red = true;
    assert_false(rb_valid(&tree));
    tree.root->red = false;
    struct rb_node *first = rb_first(&tree);
    first->red = !first->red;
    assert_false(rb_valid(&tree));
    first->red = !first->red;
    assert_true(rb_valid(&tree));
    tree.first = rb_next(first);
    assert_false(rb_valid(&tree));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_match_model),
        cmocka_unit_test(ascending_and_descending),
        cmocka_unit_test(taken_from_the_front_put_to_an_end),
        cmocka_unit_test(equal_keys_stay_in_insertion_order),
        cmocka_unit_test(valid_finds_a_broken_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
