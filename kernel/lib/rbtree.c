/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rbtree.c - red-black trees after Cormen, Leiserson, Rivest, Stein, "Introduction to Algorithms",
 * chapter 13, with NULL in place of the sentinel.
 *
 * Invariants: (1) the root is black; (2) a red node has black children; (3) every path from a node
 * down to NULL passes the same number of black nodes. NULL counts as black.
 *
 * Augmentation: rotations recompute the two nodes they move; insertion and removal recompute the
 * path from the lowest changed node up, before they rebalance, until a node comes out as it was. A
 * node that is in a new place has nothing to compare with, so its path always goes on above it. A
 * rotation keeps the set of nodes of its subtree, so nothing above it changes.
 */
#include "lib/rbtree.h"

#include "lib/linkcheck.h"

static bool is_red(const struct rb_node *node)
{
    return node && node->red;
}

static void update_node(struct rb_tree *tree, struct rb_node *node)
{
    if (tree->update)
        (void)tree->update(node);
}

/* From node up; `moved` (maybe NULL) is on that path, in a new place. */
static void update_path(struct rb_tree *tree, struct rb_node *node, const struct rb_node *moved)
{
    if (!tree->update)
        return;
    for (; node; node = node->parent) {
        bool changed = tree->update(node);
        if (!changed && !moved)
            return;
        if (node == moved)
            moved = NULL;
    }
}

void rb_update(struct rb_tree *tree, struct rb_node *node)
{
    update_path(tree, node, NULL);
}

/* Put `to` (may be NULL) in the place of `from` below from's parent. */
static void replace_child(struct rb_tree *tree, struct rb_node *from, struct rb_node *to)
{
    struct rb_node *parent = from->parent;
    if (!parent)
        tree->root = to;
    else if (parent->left == from)
        parent->left = to;
    else
        parent->right = to;
    if (to)
        to->parent = parent;
}

static void rotate_left(struct rb_tree *tree, struct rb_node *x)
{
    struct rb_node *y = x->right;
    x->right = y->left;
    if (y->left)
        y->left->parent = x;
    replace_child(tree, x, y);
    y->left = x;
    x->parent = y;
    update_node(tree, x);
    update_node(tree, y);
}

static void rotate_right(struct rb_tree *tree, struct rb_node *x)
{
    struct rb_node *y = x->left;
    x->left = y->right;
    if (y->right)
        y->right->parent = x;
    replace_child(tree, x, y);
    y->right = x;
    x->parent = y;
    update_node(tree, x);
    update_node(tree, y);
}

/* RB-INSERT-FIXUP: the only possible violation is that node and its parent are both red. */
static void insert_fixup(struct rb_tree *tree, struct rb_node *node)
{
    while (is_red(node->parent)) {
        struct rb_node *parent = node->parent;
        struct rb_node *grand = parent->parent; /* exists: the root is black */
        bool left = grand->left == parent;
        struct rb_node *uncle = left ? grand->right : grand->left;
        if (is_red(uncle)) {
            parent->red = uncle->red = false;
            grand->red = true;
            node = grand;
            continue;
        }
        if (left && node == parent->right) {
            rotate_left(tree, parent);
            parent = node;
        } else if (!left && node == parent->left) {
            rotate_right(tree, parent);
            parent = node;
        }
        parent->red = false;
        grand->red = true;
        if (left)
            rotate_right(tree, grand);
        else
            rotate_left(tree, grand);
        break;
    }
    tree->root->red = false;
}

static void insert_at(struct rb_tree *tree, struct rb_node *node, struct rb_node *parent,
                      struct rb_node **link)
{
    node->parent = parent;
    node->left = node->right = NULL;
    node->red = true;
    *link = node;
    update_path(tree, node, node);
    insert_fixup(tree, node);
}

void rb_insert_first(struct rb_tree *tree, struct rb_node *node)
{
    struct rb_node *first = tree->first;
    tree->first = node;
    if (!first)
        tree->last = node;
    insert_at(tree, node, first, first ? &first->left : &tree->root);
}

void rb_insert_last(struct rb_tree *tree, struct rb_node *node)
{
    struct rb_node *last = tree->last;
    tree->last = node;
    if (!last)
        tree->first = node;
    insert_at(tree, node, last, last ? &last->right : &tree->root);
}

void rb_insert(struct rb_tree *tree, struct rb_node *node,
               bool (*less)(const struct rb_node *, const struct rb_node *))
{
    struct rb_node *parent = NULL, **link = &tree->root;
    bool first = true, last = true;
    while (*link) {
        parent = *link;
        bool left = less(node, parent);
        link = left ? &parent->left : &parent->right;
        first = first && left;
        last = last && !left;
    }
    if (first)
        tree->first = node;
    if (last)
        tree->last = node;
    insert_at(tree, node, parent, link);
}

/* One side of RB-DELETE-FIXUP's loop: the paths through node (a child of parent, maybe NULL) lack
 * one black node. Returns true when the tree is right again. */
static bool remove_fixup_left(struct rb_tree *tree, struct rb_node *parent)
{
    struct rb_node *sibling = parent->right; /* exists: its side has more black nodes */
    if (sibling->red) {
        sibling->red = false;
        parent->red = true;
        rotate_left(tree, parent);
        sibling = parent->right;
    }
    if (!is_red(sibling->left) && !is_red(sibling->right)) {
        sibling->red = true;
        return false;
    }
    if (!is_red(sibling->right)) {
        sibling->left->red = false;
        sibling->red = true;
        rotate_right(tree, sibling);
        sibling = parent->right;
    }
    sibling->red = parent->red;
    parent->red = false;
    sibling->right->red = false;
    rotate_left(tree, parent);
    return true;
}

static bool remove_fixup_right(struct rb_tree *tree, struct rb_node *parent)
{
    struct rb_node *sibling = parent->left;
    if (sibling->red) {
        sibling->red = false;
        parent->red = true;
        rotate_right(tree, parent);
        sibling = parent->left;
    }
    if (!is_red(sibling->left) && !is_red(sibling->right)) {
        sibling->red = true;
        return false;
    }
    if (!is_red(sibling->left)) {
        sibling->right->red = false;
        sibling->red = true;
        rotate_left(tree, sibling);
        sibling = parent->left;
    }
    sibling->red = parent->red;
    parent->red = false;
    sibling->left->red = false;
    rotate_right(tree, parent);
    return true;
}

static void remove_fixup(struct rb_tree *tree, struct rb_node *node, struct rb_node *parent)
{
    while (parent && !is_red(node)) {
        bool done = parent->left == node ? remove_fixup_left(tree, parent)
                                         : remove_fixup_right(tree, parent);
        if (done)
            return;
        node = parent;
        parent = node->parent;
    }
    if (node)
        node->red = false;
}

/* Is the node where its parent and its children think it is? */
static unused bool linked_right(const struct rb_tree *tree, const struct rb_node *node)
{
    const struct rb_node *parent = node->parent;
    return (parent ? parent->left == node || parent->right == node : tree->root == node) &&
           (!node->left || node->left->parent == node) &&
           (!node->right || node->right->parent == node);
}

void rb_remove(struct rb_tree *tree, struct rb_node *node)
{
    struct rb_node *child, *parent; /* what moved up, and its new parent */
    struct rb_node *moved = NULL;   /* what took the node's place */
    bool lost_red;
    LINK_CHECK(linked_right(tree, node));
    if (!node->parent && !node->left && !node->right) { /* two threads that yield: often */
        tree->root = tree->first = tree->last = NULL;
        return;
    }
    if (node == tree->first)
        tree->first = rb_next(node);
    if (node == tree->last)
        tree->last = rb_prev(node);
    if (node->left && node->right) {
        /* The successor takes the node's place and colour; it has no left child. */
        struct rb_node *next = node->right;
        while (next->left)
            next = next->left;
        child = next->right;
        lost_red = next->red;
        if (next == node->right) {
            parent = next;
        } else {
            parent = next->parent;
            replace_child(tree, next, child);
            next->right = node->right;
            next->right->parent = next;
        }
        replace_child(tree, node, next);
        next->left = node->left;
        next->left->parent = next;
        next->red = node->red;
        moved = next;
    } else {
        child = node->left ? node->left : node->right;
        parent = node->parent;
        lost_red = node->red;
        replace_child(tree, node, child);
    }
    update_path(tree, parent, moved);
    if (!lost_red)
        remove_fixup(tree, child, parent);
    node->parent = node->left = node->right = NULL;
}

struct rb_node *rb_next(const struct rb_node *node)
{
    if (node->right) {
        struct rb_node *next = node->right;
        while (next->left)
            next = next->left;
        return next;
    }
    while (node->parent && node->parent->right == node)
        node = node->parent;
    return node->parent;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
    if (node->left) {
        struct rb_node *prev = node->left;
        while (prev->right)
            prev = prev->right;
        return prev;
    }
    while (node->parent && node->parent->left == node)
        node = node->parent;
    return node->parent;
}

/* Black nodes from a leaf-most node up to the root, NULL child included. */
static unsigned black_depth(const struct rb_node *node)
{
    unsigned depth = 0;
    for (; node; node = node->parent)
        depth += !node->red;
    return depth;
}

static const struct rb_node *end_of(const struct rb_tree *tree, bool left)
{
    const struct rb_node *node = tree->root, *end = NULL;
    for (; node; node = left ? node->left : node->right)
        end = node;
    return end;
}

bool rb_valid(const struct rb_tree *tree)
{
    if (is_red(tree->root) || (tree->root && tree->root->parent))
        return false;
    if (tree->first != end_of(tree, true) || tree->last != end_of(tree, false))
        return false;
    unsigned depth = 0; /* of the first node with a NULL child */
    for (const struct rb_node *n = rb_first(tree); n; n = rb_next(n)) {
        if ((n->left && n->left->parent != n) || (n->right && n->right->parent != n))
            return false;
        if (n->red && (is_red(n->left) || is_red(n->right)))
            return false;
        if (n->left && n->right)
            continue;
        unsigned here = black_depth(n);
        if (depth && here != depth)
            return false;
        depth = here;
    }
    return true;
}
