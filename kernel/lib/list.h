/* SPDX-License-Identifier: BSD-3-Clause */
/* list.h - circular doubly linked lists, intrusive. A list head and a node are the same type; an
 * empty list points to itself; a removed node does too, so list_linked() tells. */
#ifndef SELKIE_LIB_LIST_H
#define SELKIE_LIB_LIST_H

#include "lib/linkcheck.h"
#include "lib/types.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline bool list_linked(const struct list *node)
{
    return node->next != node;
}
static inline void list_insert_after(struct list *pos, struct list *node)
{
    LINK_CHECK(pos->next->prev == pos && node != pos && node != pos->next);
    node->next = pos->next;
    node->prev = pos;
    pos->next->prev = node;
    pos->next = node;
}
static inline void list_push_front(struct list *l, struct list *node)
{
    list_insert_after(l, node);
}
static inline void list_push_back(struct list *l, struct list *node)
{
    list_insert_after(l->prev, node);
}
static inline void list_remove(struct list *node)
{
    LINK_CHECK(node->prev->next == node && node->next->prev == node);
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
/* First node, unlinked from the list, or NULL. */
static inline struct list *list_pop_front(struct list *l)
{
    struct list *node = l->next;
    if (node == l)
        return NULL;
    list_remove(node);
    return node;
}
/* Move all nodes of `from` to the end of `to`. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    LINK_CHECK(from->next->prev == from && from->prev->next == from && to->prev->next == to);
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_for_each(pos, l) for (struct list *pos = (l)->next; pos != (l); pos = pos->next)
/* The body may remove pos. */
#define list_for_each_safe(pos, next_, l) \
    for (struct list *pos = (l)->next, *next_ = pos->next; pos != (l); \
         pos = next_, next_ = pos->next)

#endif
