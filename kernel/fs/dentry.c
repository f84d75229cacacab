/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dentry.c - the cache of names: (parent, name) -> dentry.
 *
 * Invariants, under vfs_dentry_lock:
 *  1. a hashed dentry can be found; at most one hashed dentry has a given (parent, name);
 *  2. a pinned dentry is hashed, stands in its parent's list of children and holds one reference to
 *     itself: it is an entry of a memory file system and goes only by dentry_remove;
 *  3. refs == 0 <=> the dentry is on the LRU (hashed, and only cached) or is being freed;
 *  4. a dentry holds a reference to its parent, so ancestors outlive it;
 *  5. `cookie` grows along the list of children from back to front: a listing that remembers
 *     the last cookie continues correctly whatever is added or removed meanwhile.
 * refs goes from 0 to 1 and from 1 to 0 only under the lock; other changes are plain atomic adds.
 * It saturates as a struct refcount does (lib/refcount.h), which cannot come back from 0 as this
 * one.
 *
 * One lock for the whole cache: sections are some tens of instructions.
 */
#include "fs/inotify.h"
#include "fs/vfs.h"

#include "core/assert.h"
#include "core/random.h"
#include "lib/fold.h"
#include "lib/format.h"
#include "lib/refcount.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/kmalloc.h"

#define HASH_FIRST 256
#define LRU_MAX 2048 /* unused cached names */

struct spinlock vfs_dentry_lock = SPINLOCK_INIT(RANK_DENTRY);

static struct {
    struct dentry **buckets;
    size_t size; /* power of two */
    size_t count;
    struct list lru; /* oldest first */
    size_t lru_count;
    uint64_t next_cookie;
} cache;
static struct dentry *first_buckets[HASH_FIRST];
static uint64_t hash_secret[2];
static uint32_t dentries_alive; /* atomic; for tests */

void dentry_init_cache(void)
{
    memset(first_buckets, 0, sizeof(first_buckets));
    cache.buckets = first_buckets;
    cache.size = HASH_FIRST;
    cache.count = 0;
    list_init(&cache.lru);
    cache.lru_count = 0;
    cache.next_cookie = 3; /* 1 and 2 are "." and ".." in a listing */
    random_bytes(hash_secret, sizeof(hash_secret));
}

uint32_t dentry_count(void)
{
    return __atomic_load_n(&dentries_alive, __ATOMIC_RELAXED);
}

/* Up to eight bytes; different ones of the same length give different words. */
static uint64_t last_word(const char *name, size_t len)
{
    uint32_t first, last;
    if (len < sizeof(first))
        return len == 0
                   ? 0
                   : (uint8_t)name[0] | (uint8_t)name[len / 2] << 8 | (uint8_t)name[len - 1] << 16;
    memcpy(&first, name, sizeof(first));
    memcpy(&last, name + len - sizeof(last), sizeof(last));
    return first | (uint64_t)last << 32;
}

/* Strangers choose names: who asks a server for a file. So the hash depends on a secret, by folded
 * products as that of flows does (net/flow.c says why they do). */
static inline __attribute__((always_inline)) uint32_t name_hash(const struct dentry *parent,
                                                                const char *name, size_t len)
{
    uint64_t hash = ((uintptr_t)parent ^ hash_secret[0]) + ((uint64_t)len << 56), word;
    for (;; name += sizeof(word), len -= sizeof(word)) {
        bool last = len <= sizeof(word);
        if (last)
            word = last_word(name, len);
        else
            memcpy(&word, name, sizeof(word));
        hash = fold_product(hash ^ word, hash_secret[1] | 1);
        if (last)
            return (uint32_t)hash;
    }
}

/* Of the same length. */
static inline bool same_name(const char *a, const char *b, size_t len)
{
    return len <= sizeof(uint64_t) ? last_word(a, len) == last_word(b, len)
                                   : memcmp(a, b, len) == 0;
}

static struct dentry **bucket(uint32_t hash)
{
    return &cache.buckets[hash & (cache.size - 1)];
}

struct dentry *dentry_alloc(struct dentry *parent, const char *name, size_t len)
{
    ASSERT(len <= NAME_MAX);
    struct dentry *dentry = owner_alloc(OWNER_DENTRY, sizeof(*dentry));
    if (!dentry)
        return NULL;
    dentry->name = dentry->short_name;
    if (len >= sizeof(dentry->short_name)) {
        dentry->name = kmalloc(len + 1, ALLOC_DEFAULT);
        if (!dentry->name) {
            owner_free(OWNER_DENTRY, dentry, sizeof(*dentry));
            return NULL;
        }
    }
    memcpy(dentry->name, name, len);
    dentry->name[len] = '\0';
    dentry->name_len = (uint16_t)len;
    dentry->refs = 1;
    dentry->parent = parent ? parent : dentry;
    if (parent)
        dentry_get(parent);
    dentry->hash = name_hash(dentry->parent, name, len);
    list_init(&dentry->sibling);
    list_init(&dentry->children);
    list_init(&dentry->alias_link);
    list_init(&dentry->lru);
    __atomic_fetch_add(&dentries_alive, 1, __ATOMIC_RELAXED);
    return dentry;
}

/* How many there were. */
static uint32_t ref_take(struct dentry *dentry)
{
    uint32_t old = __atomic_fetch_add(&dentry->refs, 1, __ATOMIC_RELAXED);
    if (__builtin_expect(old >= REFCOUNT_SATURATED - 1, 0))
        __atomic_store_n(&dentry->refs, REFCOUNT_SATURATED, __ATOMIC_RELAXED);
    return old;
}

void dentry_get(struct dentry *dentry)
{
    /* Relaxed: the caller already has a reference (or holds the lock and saw a non-zero count). */
    uint32_t old unused = ref_take(dentry);
    ASSERT(old > 0);
}

/* ---- hash and LRU; lock held ---- */

static void hash_insert_locked(struct dentry *dentry)
{
    struct dentry **head = bucket(dentry->hash);
    dentry->hash_next = *head;
    *head = dentry;
    dentry->flags |= DENTRY_HASHED;
    __atomic_fetch_add(&cache.count, 1, __ATOMIC_RELAXED); /* read without the lock */
}

static void hash_remove_locked(struct dentry *dentry)
{
    if (!(dentry->flags & DENTRY_HASHED))
        return;
    struct dentry **at = bucket(dentry->hash);
    while (*at != dentry)
        at = &(*at)->hash_next;
    *at = dentry->hash_next;
    dentry->flags &= ~DENTRY_HASHED;
    __atomic_fetch_sub(&cache.count, 1, __ATOMIC_RELAXED);
}

static struct dentry *hash_find_locked(struct dentry *parent, const char *name, size_t len)
{
    uint32_t hash = name_hash(parent, name, len);
    for (struct dentry *d = *bucket(hash); d; d = d->hash_next)
        if (d->hash == hash && d->parent == parent && d->name_len == len &&
            same_name(d->name, name, len))
            return d;
    return NULL;
}

/* Double the table when chains get long. Allocation happens outside the lock; failure only means
 * longer chains. */
static void maybe_grow(void)
{
    size_t size = __atomic_load_n(&cache.size, __ATOMIC_RELAXED);
    if (__atomic_load_n(&cache.count, __ATOMIC_RELAXED) <= 2 * size)
        return;
    struct dentry **fresh = kmalloc_array(size * 2, sizeof(*fresh), ALLOC_ZERO);
    if (!fresh)
        return;
    struct dentry **old = fresh;
    spin_lock(&vfs_dentry_lock);
    if (cache.size == size) {
        old = cache.buckets;
        cache.buckets = fresh;
        __atomic_store_n(&cache.size, size * 2, __ATOMIC_RELAXED);
        for (size_t i = 0; i < size; i++) {
            for (struct dentry *d = old[i], *next; d; d = next) {
                next = d->hash_next;
                struct dentry **head = bucket(d->hash);
                d->hash_next = *head;
                *head = d;
            }
        }
    }
    spin_unlock(&vfs_dentry_lock);
    if (old != first_buckets)
        kfree(old);
}

static void revive_locked(struct dentry *dentry)
{
    if (ref_take(dentry) == 0) {
        list_remove(&dentry->lru);
        cache.lru_count--;
    }
}

/* Take a dentry with refs == 0 out of every list; the caller frees it after unlocking. */
static void unlink_dead_locked(struct dentry *dentry)
{
    hash_remove_locked(dentry);
    list_remove(&dentry->alias_link);
    if (list_linked(&dentry->lru)) {
        list_remove(&dentry->lru);
        cache.lru_count--;
    }
}

/* Free an unlinked dentry; returns its parent, whose reference passes to the caller. */
static struct dentry *free_dead(struct dentry *dentry)
{
    struct dentry *parent = dentry->parent == dentry ? NULL : dentry->parent;
    if ((dentry->flags & DENTRY_DELETED) && inotify_used() && dentry->inode &&
        __atomic_load_n(&dentry->inode->nlink, __ATOMIC_RELAXED) == 0)
        inotify_inode_gone(dentry->inode);
    inode_put(dentry->inode);
    if (dentry->name != dentry->short_name)
        kfree(dentry->name);
    owner_free(OWNER_DENTRY, dentry, sizeof(*dentry));
    __atomic_fetch_sub(&dentries_alive, 1, __ATOMIC_RELAXED);
    return parent;
}

/* Drop a reference if it is not the last. */
static inline bool drop_shared(struct dentry *dentry)
{
    uint32_t refs = __atomic_load_n(&dentry->refs, __ATOMIC_RELAXED);
    while (refs > 1) /* release: what we did with it happens before its end on another CPU */
        if (refs >= REFCOUNT_SATURATED ||
            __atomic_compare_exchange_n(&dentry->refs, &refs, refs - 1, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

/* True if it was the last and the dentry must be freed. */
static bool drop_ref(struct dentry *dentry)
{
    if (drop_shared(dentry))
        return false;
    spin_lock(&vfs_dentry_lock);
    bool last = __atomic_sub_fetch(&dentry->refs, 1, __ATOMIC_ACQ_REL) == 0;
    if (last && (dentry->flags & DENTRY_HASHED)) { /* keep it, cached */
        list_push_back(&cache.lru, &dentry->lru);
        cache.lru_count++;
        last = false;
    }
    if (last)
        unlink_dead_locked(dentry);
    bool full = cache.lru_count > LRU_MAX;
    spin_unlock(&vfs_dentry_lock);
    if (full)
        dentry_shrink(LRU_MAX / 8);
    return last;
}

/* Not inline: usually there are others, and dentry_put saves no registers then. */
static no_inline void put_last(struct dentry *dentry)
{
    while (dentry && drop_ref(dentry))
        dentry = free_dead(dentry);
}

void dentry_put(struct dentry *dentry)
{
    if (dentry && !drop_shared(dentry))
        put_last(dentry);
}

size_t dentry_shrink(size_t count)
{
    size_t done = 0;
    for (; done < count; done++) {
        spin_lock(&vfs_dentry_lock);
        struct list *node = list_empty(&cache.lru) ? NULL : cache.lru.next;
        struct dentry *dentry = node ? list_entry(node, struct dentry, lru) : NULL;
        if (dentry)
            unlink_dead_locked(dentry);
        spin_unlock(&vfs_dentry_lock);
        if (!dentry)
            break;
        dentry_put(free_dead(dentry));
    }
    return done;
}

/* ---- names ---- */

struct dentry *dentry_lookup(struct dentry *parent, const char *name, size_t len)
{
    spin_lock(&vfs_dentry_lock);
    struct dentry *dentry = hash_find_locked(parent, name, len);
    if (dentry)
        revive_locked(dentry);
    spin_unlock(&vfs_dentry_lock);
    return dentry;
}

struct dentry *dentry_alias(struct inode *inode)
{
    struct dentry *dentry = NULL;
    spin_lock(&vfs_dentry_lock);
    if (!list_empty(&inode->aliases)) {
        dentry = list_entry(inode->aliases.next, struct dentry, alias_link);
        revive_locked(dentry);
    }
    spin_unlock(&vfs_dentry_lock);
    return dentry;
}

static void set_inode_locked(struct dentry *dentry, struct inode *inode)
{
    ASSERT(!dentry->inode);
    /* Release: a walker that sees the inode (atomically, without the lock) sees its fields. */
    __atomic_store_n(&dentry->inode, inode, __ATOMIC_RELEASE);
    if (inode)
        list_push_back(&inode->aliases, &dentry->alias_link);
}

static void pin_locked(struct dentry *dentry)
{
    dentry->flags |= DENTRY_PINNED;
    dentry->cookie = cache.next_cookie++;
    list_push_front(&dentry->parent->children, &dentry->sibling);
    dentry_get(dentry);
}

void dentry_set_inode(struct dentry *dentry, struct inode *inode)
{
    spin_lock(&vfs_dentry_lock);
    set_inode_locked(dentry, inode);
    spin_unlock(&vfs_dentry_lock);
}

void dentry_add(struct dentry *dentry, struct inode *inode, bool pin)
{
    maybe_grow();
    spin_lock(&vfs_dentry_lock);
    set_inode_locked(dentry, inode);
    hash_insert_locked(dentry);
    if (pin)
        pin_locked(dentry);
    spin_unlock(&vfs_dentry_lock);
}

void dentry_instantiate(struct dentry *dentry, struct inode *inode)
{
    spin_lock(&vfs_dentry_lock);
    set_inode_locked(dentry, inode);
    if (!(dentry->flags & DENTRY_HASHED))
        hash_insert_locked(dentry);
    pin_locked(dentry);
    spin_unlock(&vfs_dentry_lock);
}

void dentry_remove(struct dentry *dentry)
{
    spin_lock(&vfs_dentry_lock);
    ASSERT(dentry->flags & DENTRY_PINNED);
    hash_remove_locked(dentry);
    list_remove(&dentry->sibling);
    dentry->flags = (dentry->flags & ~DENTRY_PINNED) | DENTRY_DELETED;
    spin_unlock(&vfs_dentry_lock);
    dentry_put(dentry);
}

/* Swap the names (and nothing else) of two dentries. A short name lives inside its dentry, so
 * contents move there. */
static void swap_names_locked(struct dentry *a, struct dentry *b)
{
    char text[sizeof(a->short_name)];
    bool a_short = a->name == a->short_name, b_short = b->name == b->short_name;
    char *a_name = a->name, *b_name = b->name;
    memcpy(text, a->short_name, sizeof(text));
    memcpy(a->short_name, b->short_name, sizeof(text));
    memcpy(b->short_name, text, sizeof(text));
    a->name = b_short ? a->short_name : b_name;
    b->name = a_short ? b->short_name : a_name;
    uint16_t len = a->name_len;
    a->name_len = b->name_len;
    b->name_len = len;
}

static void relist_locked(struct dentry *dentry)
{
    list_remove(&dentry->sibling);
    dentry->cookie = cache.next_cookie++;
    list_push_front(&dentry->parent->children, &dentry->sibling);
    dentry->hash = name_hash(dentry->parent, dentry->name, dentry->name_len);
    hash_insert_locked(dentry);
}

void dentry_move(struct dentry *dentry, struct dentry *spare)
{
    spin_lock(&vfs_dentry_lock);
    ASSERT(dentry->flags & DENTRY_PINNED);
    hash_remove_locked(dentry);
    hash_remove_locked(spare); /* it may have been a cached negative name */
    swap_names_locked(dentry, spare);
    struct dentry *parent = dentry->parent; /* each keeps one parent reference: swap them */
    dentry->parent = spare->parent;
    spare->parent = parent;
    relist_locked(dentry);
    spin_unlock(&vfs_dentry_lock);
}

void dentry_exchange(struct dentry *a, struct dentry *b)
{
    spin_lock(&vfs_dentry_lock);
    hash_remove_locked(a);
    hash_remove_locked(b);
    swap_names_locked(a, b);
    struct dentry *parent = a->parent;
    a->parent = b->parent;
    b->parent = parent;
    relist_locked(a);
    relist_locked(b);
    spin_unlock(&vfs_dentry_lock);
}

bool dentry_has_children(struct dentry *dentry)
{
    spin_lock(&vfs_dentry_lock);
    bool has = !list_empty(&dentry->children);
    spin_unlock(&vfs_dentry_lock);
    return has;
}

bool dentry_is_ancestor(struct dentry *ancestor, struct dentry *dentry)
{
    spin_lock(&vfs_dentry_lock);
    struct dentry *d = dentry;
    while (d != ancestor && d->parent != d)
        d = d->parent;
    spin_unlock(&vfs_dentry_lock);
    return d == ancestor;
}

struct dentry *dentry_next_child(struct dentry *parent, struct dentry *prev, uint64_t *cookie)
{
    struct dentry *found = NULL;
    spin_lock(&vfs_dentry_lock);
    /* Oldest (smallest cookie) stands last. Go on from prev if it is still there, else search. */
    struct list *node = parent->children.prev;
    if (prev && (prev->flags & DENTRY_PINNED) && prev->parent == parent && prev->cookie < *cookie)
        node = prev->sibling.prev;
    for (; node != &parent->children; node = node->prev) {
        struct dentry *child = list_entry(node, struct dentry, sibling);
        if (child->cookie >= *cookie) {
            found = child;
            *cookie = child->cookie;
            dentry_get(child);
            break;
        }
    }
    spin_unlock(&vfs_dentry_lock);
    return found;
}

struct dentry *dentry_parent(struct dentry *dentry)
{
    spin_lock(&vfs_dentry_lock);
    struct dentry *parent = dentry->parent;
    dentry_get(parent);
    spin_unlock(&vfs_dentry_lock);
    return parent;
}

struct dentry *dentry_above(struct dentry *dentry, struct dentry *bound, bool *crossed)
{
    struct dentry *d = dentry;
    spin_lock(&vfs_dentry_lock);
    while (d != bound && d->inode && d->inode->super->root == d && d->inode->super->covered)
        d = d->inode->super->covered;
    *crossed = d != dentry;
    if (d != bound)
        d = d->parent;
    dentry_get(d);
    spin_unlock(&vfs_dentry_lock);
    return d;
}

struct dentry *dentry_where(struct dentry *dentry, char *name, size_t *len, bool *removed)
{
    spin_lock(&vfs_dentry_lock);
    struct dentry *parent = dentry->parent;
    dentry_get(parent);
    *len = dentry->name_len;
    memcpy(name, dentry->name, *len + 1);
    *removed = dentry->flags & DENTRY_DELETED;
    spin_unlock(&vfs_dentry_lock);
    return parent;
}

/* ---- paths ---- */

struct path_out {
    char *buf;
    size_t at; /* text is buf[at..) */
};

static bool put_front(struct path_out *out, const char *text, size_t len)
{
    if (len > out->at)
        return false;
    out->at -= len;
    memcpy(out->buf + out->at, text, len);
    return true;
}

/* Write the components from dentry up to root in front of each other. Returns false if they do not
 * fit; *reached: the walk ended at `root`. */
static bool path_up_locked(struct dentry *dentry, struct dentry *root, struct path_out *out,
                           bool *reached)
{
    struct dentry *d = dentry;
    *reached = true;
    while (d != root) {
        if (d->parent == d) {
            struct super *super = d->inode ? d->inode->super : NULL;
            if (super && super->root == d && super->covered) {
                d = super->covered;
                continue;
            }
            *reached = d == vfs_root;
            /* A nameless file: memfd, O_TMPFILE. */
            if (!*reached && d->name_len > 0) {
                *reached = true;
                return put_front(out, d->name, d->name_len) && put_front(out, "/", 1);
            }
            return true;
        }
        if (!put_front(out, d->name, d->name_len) || !put_front(out, "/", 1))
            return false;
        d = d->parent;
    }
    return true;
}

long dentry_path(struct dentry *dentry, struct dentry *root, char *buf, size_t size)
{
    static const char deleted[] = " (deleted)", unreachable[] = "(unreachable)";
    struct path_out out = {buf, size};
    bool fits = size > 0 && put_front(&out, "", 1), reached = true;
    spin_lock(&vfs_dentry_lock);
    if (dentry->flags & DENTRY_DELETED)
        fits = fits && put_front(&out, deleted, sizeof(deleted) - 1);
    size_t end = out.at;
    fits = fits && path_up_locked(dentry, root ? root : vfs_root, &out, &reached);
    spin_unlock(&vfs_dentry_lock);
    if (fits && out.at == end)
        fits = put_front(&out, "/", 1);
    if (fits && !reached)
        fits = put_front(&out, unreachable, sizeof(unreachable) - 1);
    if (!fits)
        return -ENAMETOOLONG;
    size_t len = size - out.at - 1;
    memmove(buf, buf + out.at, len + 1);
    return (long)len;
}
