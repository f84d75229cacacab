/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/lib/rbtree.c */
/* define: SELKIE_DEBUG=1 */
/* list_test.c - lists, and links that something has written over: a debug build stops before it
 * follows them. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/list.h"
#include "lib/rbtree.h"

/* Does the machine stop? The undefined instruction is a signal here. */
static bool stops(void (*attack)(void))
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGILL, SIG_DFL);
        signal(SIGTRAP, SIG_DFL);
        attack();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && (WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGTRAP);
}

static struct list head, node[3];

static void three(void)
{
    list_init(&head);
    for (unsigned i = 0; i < 3; i++)
        list_push_back(&head, &node[i]);
}

static void nodes_come_in_order(void **state)
{
    (void)state;
    three();
    list_remove(&node[1]);
    assert_false(list_linked(&node[1]));
    list_push_front(&head, &node[1]);
    assert_ptr_equal(list_pop_front(&head), &node[1]);
    assert_ptr_equal(list_pop_front(&head), &node[0]);
    assert_ptr_equal(list_pop_front(&head), &node[2]);
    assert_null(list_pop_front(&head));
    struct list other;
    list_init(&other);
    three();
    list_splice_back(&other, &head);
    assert_true(list_empty(&head) && other.next == &node[0] && other.prev == &node[2]);
}

static void remove_with_a_wrong_next(void)
{
    three();
    node[1].next = &head; /* as a write behind the end of the object before */
    list_remove(&node[1]);
}

static void remove_with_a_wrong_prev(void)
{
    three();
    node[1].prev = &node[1];
    list_remove(&node[1]);
}

static void insert_twice(void)
{
    three();
    list_insert_after(&node[1], &node[1]);
}

static void insert_behind_a_node_whose_link_is_wrong(void)
{
    static struct list fresh, elsewhere;
    three();
    list_init(&elsewhere);
    node[1].next = &elsewhere;
    list_insert_after(&node[1], &fresh);
}

static void splice_of_a_broken_list(void)
{
    struct list other;
    list_init(&other);
    three();
    head.prev = &node[1];
    list_splice_back(&other, &head);
}

static void broken_links_stop_the_machine(void **state)
{
    (void)state;
    assert_true(stops(remove_with_a_wrong_next));
    assert_true(stops(remove_with_a_wrong_prev));
    assert_true(stops(insert_twice));
    assert_true(stops(insert_behind_a_node_whose_link_is_wrong));
    assert_true(stops(splice_of_a_broken_list));
    assert_false(stops(three));
}

static struct rb_tree tree;
static struct rb_node tree_node[8];

static void tree_make(void)
{
    tree = (struct rb_tree){0};
    for (unsigned i = 0; i < 8; i++)
        rb_insert_last(&tree, &tree_node[i]);
}

static void tree_remove(void)
{
    tree_make();
    rb_remove(&tree, &tree_node[3]);
    if (!rb_valid(&tree))
        _exit(1);
}

static void tree_remove_twice(void)
{
    tree_make();
    rb_remove(&tree, &tree_node[0]);
    rb_remove(&tree, &tree_node[0]);
}

static void tree_remove_with_a_wrong_parent(void)
{
    tree_make();
    tree_node[2].parent = &tree_node[7];
    rb_remove(&tree, &tree_node[2]);
}

static void broken_trees_stop_the_machine(void **state)
{
    (void)state;
    assert_false(stops(tree_remove));
    assert_true(stops(tree_remove_twice));
    assert_true(stops(tree_remove_with_a_wrong_parent));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_come_in_order),
        cmocka_unit_test(broken_links_stop_the_machine),
        cmocka_unit_test(broken_trees_stop_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
