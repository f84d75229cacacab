/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * account.h - who in the kernel has the memory: objects and bytes in use, by owner.
 *
 * The allocator knows sizes, not purposes. So the few places that make the kernel's objects say
 * whose they are: owner_alloc and owner_free in place of kzalloc and kfree; owner_add for
 * pages and for what is allocated otherwise. Shown by /proc/slabinfo and by memory_dump. Any
 * context.
 *
 * The counts are relaxed atomics: each is right by itself, a reader sees no common moment of all.
 */
#ifndef SELKIE_MM_ACCOUNT_H
#define SELKIE_MM_ACCOUNT_H

#include "mm/kmalloc.h"

enum memory_owner {
    OWNER_THREAD,       /* struct thread or task, vector registers */
    OWNER_KERNEL_STACK, /* in use or spare */
    OWNER_PROCESS,
    OWNER_AREA, /* of address spaces */
    OWNER_INODE,
    OWNER_DENTRY, /* names, used or remembered */
    OWNER_FILE,   /* open files */
    OWNER_PIPE,   /* with buffered data */
    OWNER_EVENT,  /* epoll, eventfd, inotify, timerfd */
    OWNER_SOCKET, /* with what is in flight */
    OWNER_PACKET, /* drv/pkt.c, by CPU */
    OWNER_COUNT,
};
struct memory_account {
    uint64_t objects, bytes;
};
extern struct memory_account memory_accounts[OWNER_COUNT];
extern const char *const memory_owner_names[OWNER_COUNT];
/* Adds what is counted elsewhere, for owners whose objects are made too often for one counter that
 * all CPUs write; NULL: nothing. */
extern void (*memory_account_more[OWNER_COUNT])(struct memory_account *sum);

static inline void owner_add(enum memory_owner owner, int64_t objects, int64_t bytes)
{
    __atomic_add_fetch(&memory_accounts[owner].objects, (uint64_t)objects, __ATOMIC_RELAXED);
    __atomic_add_fetch(&memory_accounts[owner].bytes, (uint64_t)bytes, __ATOMIC_RELAXED);
}

static inline struct memory_account owner_get(enum memory_owner owner)
{
    struct memory_account sum = {
        __atomic_load_n(&memory_accounts[owner].objects, __ATOMIC_RELAXED),
        __atomic_load_n(&memory_accounts[owner].bytes, __ATOMIC_RELAXED),
    };
    if (memory_account_more[owner])
        memory_account_more[owner](&sum);
    return sum;
}

/* An object of `size` bytes, zeroed; NULL without memory. */
static inline void *owner_alloc(enum memory_owner owner, size_t size)
{
    void *object = kzalloc(size);
    if (object)
        owner_add(owner, 1, (int64_t)size);
    return object;
}

/* NULL does nothing. The size is that of its allocation. */
static inline void owner_free(enum memory_owner owner, void *object, size_t size)
{
    if (object)
        owner_add(owner, -1, -(int64_t)size);
    kfree(object);
}

#endif
