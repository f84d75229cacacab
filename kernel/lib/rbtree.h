/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rbtree.h - intrusive red-black tree (Cormen et al., chapter 13), for areas, timers and run
 * queues. The caller compares; the tree keeps the shape. No allocation, no locking, no recursion.
 */
#ifndef SELKIE_LIB_RBTREE_H
#define SELKIE_LIB_RBTREE_H

#include "lib/types.h"

struct rb_node {
    struct rb_node *parent, *left, *right;
    bool red;
};
struct rb_tree {
    struct rb_node *root;
    /* Called bottom-up for every node whose subtree changed, to keep augmented data; may be NULL.
     */
    void (*update)(struct rb_node *node);
};

/* Insert node; less(a, b) orders strictly. Equal elements go after existing ones. */
void rb_insert(struct rb_tree *tree, struct rb_node *node,
               bool (*less)(const struct rb_node *, const struct rb_node *));
void rb_remove(struct rb_tree *tree, struct rb_node *node);
struct rb_node *rb_first(const struct rb_tree *tree);
struct rb_node *rb_last(const struct rb_tree *tree);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);
/* Recompute augmented data from node up to the root. */
void rb_update(struct rb_tree *tree, struct rb_node *node);
/* Check colours, balance and parent links; for tests and debug builds. */
bool rb_valid(const struct rb_tree *tree);

#endif
