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
    struct rb_node *first, *last; /* the ends, so that a queue need not walk to them */
    /* Called bottom-up for nodes whose subtree changed, to keep augmented data; may be NULL. False:
     * what it computed is what was there, so nothing above changes either. */
    bool (*update)(struct rb_node *node);
};

/* Insert node; less(a, b) orders strictly. Equal elements go after existing ones. */
void rb_insert(struct rb_tree *tree, struct rb_node *node,
               bool (*less)(const struct rb_node *, const struct rb_node *));
/* The same for a node that belongs before the first, or not before the last: touches no others than
 * the neighbours whose balance changes. */
void rb_insert_first(struct rb_tree *tree, struct rb_node *node);
void rb_insert_last(struct rb_tree *tree, struct rb_node *node);
void rb_remove(struct rb_tree *tree, struct rb_node *node);
static inline struct rb_node *rb_first(const struct rb_tree *tree)
{
    return tree->first;
}
static inline struct rb_node *rb_last(const struct rb_tree *tree)
{
    return tree->last;
}
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);
/* The node's own data changed: recompute augmented data from it up, as far as it changes. */
void rb_update(struct rb_tree *tree, struct rb_node *node);
/* Check colours, balance, parent links and ends; for tests and debug builds. */
bool rb_valid(const struct rb_tree *tree);

#endif
