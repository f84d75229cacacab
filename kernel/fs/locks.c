/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * locks.c - advisory locks.
 *
 * Three families that ignore each other except that both record kinds conflict: flock (owner: the
 * open file, whole file), POSIX record locks (owner: the process, that is its descriptor table) and
 * open file description locks (owner: the open file). Locks hang on the inode.
 *
 * One mutex guards all lists: locks are rare. Who must wait sleeps until the generation, which
 * counts releases anywhere, has moved, and tries again. There is no deadlock detection (EDEADLK):
 * with one process, POSIX locks never wait for each other.
 *
 * Invariant: the ranges of one owner and family on one inode are disjoint.
 */
#include "fs/locks.h"

#include "core/assert.h"
#include "fs/vfs.h"
#include "mm/kmalloc.h"
#include "sched/wait.h"

struct file_lock {
    struct list link; /* inode->locks */
    const void *owner;
    bool flock, ofd;
    int type, pid;
    uint64_t start, end;
};

static struct mutex locks_mutex;
static struct waitq locks_wait;
static uint32_t locks_generation; /* atomic */

void locks_init(void)
{
    mutex_init(&locks_mutex, RANK_SLEEP_LAST);
    waitq_init(&locks_wait);
}

static void released(void)
{
    /* Release: who sees the new generation also sees the list (it takes the mutex anyway). */
    __atomic_fetch_add(&locks_generation, 1, __ATOMIC_RELEASE);
    waitq_wake_all(&locks_wait, 0);
}

static bool conflicts(const struct file_lock *have, const struct file_lock *want)
{
    return have->flock == want->flock && have->owner != want->owner && have->start <= want->end &&
           want->start <= have->end && (have->type == F_WRLCK || want->type == F_WRLCK);
}

static struct file_lock *find_conflict(struct inode *inode, const struct file_lock *want)
{
    list_for_each (node, &inode->locks) {
        struct file_lock *have = list_entry(node, struct file_lock, link);
        if (conflicts(have, want))
            return have;
    }
    return NULL;
}

/* Cut [want->start, want->end] out of the owner's own locks. `spare` is used when one is split in
 * two; returns true if it was used. */
static bool carve(struct inode *inode, const struct file_lock *want, struct file_lock *spare)
{
    bool used = false;
    list_for_each_safe (node, next, &inode->locks) {
        struct file_lock *have = list_entry(node, struct file_lock, link);
        if (have->flock != want->flock || have->owner != want->owner || have->start > want->end ||
            want->start > have->end)
            continue;
        bool left = have->start<want->start, right = have->end> want->end;
        if (left && right) {
            ASSERT(!used);
            *spare = *have;
            spare->start = want->end + 1;
            list_insert_after(&have->link, &spare->link);
            have->end = want->start - 1;
            used = true;
        } else if (left) {
            have->end = want->start - 1;
        } else if (right) {
            have->start = want->end + 1;
        } else {
            list_remove(&have->link);
            kfree(have);
        }
    }
    return used;
}

/* One try, locks_mutex held. *fresh and *spare are consumed (set to NULL) if they were used. */
static int apply(struct inode *inode, const struct file_lock *want, struct file_lock **fresh,
                 struct file_lock **spare)
{
    if (want->type != F_UNLCK && find_conflict(inode, want))
        return -EAGAIN;
    if (carve(inode, want, *spare))
        *spare = NULL;
    if (want->type != F_UNLCK) {
        **fresh = *want;
        list_push_back(&inode->locks, &(*fresh)->link);
        __atomic_store_n(&inode->locked_ever, true, __ATOMIC_RELAXED);
        *fresh = NULL;
    }
    released(); /* unlocked, or weakened from write to read */
    return 0;
}

static int wait_generation(uint32_t seen)
{
    struct waiter w;
    int err = 0;
    waitq_prepare(&locks_wait, &w, true);
    while (err == 0 && __atomic_load_n(&locks_generation, __ATOMIC_ACQUIRE) == seen)
        err = waitq_sleep(&w, UINT64_MAX);
    waitq_finish(&w);
    return err;
}

static int set_lock(struct inode *inode, const struct file_lock *want, bool wait)
{
    struct file_lock *fresh = kzalloc(sizeof(*fresh)), *spare = kzalloc(sizeof(*spare));
    int err = -ENOMEM;
    if (!fresh || !spare)
        goto out;
    do {
        mutex_lock(&locks_mutex);
        uint32_t seen = __atomic_load_n(&locks_generation, __ATOMIC_RELAXED);
        err = apply(inode, want, &fresh, &spare);
        mutex_unlock(&locks_mutex);
        if (err != -EAGAIN || !wait)
            break;
        err = wait_generation(seen);
    } while (err == 0);
out:
    kfree(fresh);
    kfree(spare);
    return err;
}

static struct file_lock lock_of(struct file *file, const struct lock_request *req)
{
    return (struct file_lock){
        .owner = req->ofd ? (const void *)file : req->owner,
        .ofd = req->ofd,
        .type = req->type,
        .pid = req->pid,
        .start = req->start,
        .end = req->end,
    };
}

int locks_set(struct file *file, const struct lock_request *req, bool wait)
{
    struct file_lock want = lock_of(file, req);
    return set_lock(file->inode, &want, wait);
}

void locks_test(struct file *file, struct lock_request *req)
{
    struct file_lock want = lock_of(file, req);
    mutex_lock(&locks_mutex);
    struct file_lock *have = find_conflict(file->inode, &want);
    req->type = have ? have->type : F_UNLCK;
    if (have) {
        req->start = have->start;
        req->end = have->end;
        req->pid = have->ofd ? -1 : have->pid;
    }
    mutex_unlock(&locks_mutex);
}

int locks_flock(struct file *file, int op, bool wait)
{
    struct file_lock want = {
        .owner = file,
        .flock = true,
        .type = op == LOCK_EX   ? F_WRLCK
                : op == LOCK_SH ? F_RDLCK
                                : F_UNLCK,
        .end = UINT64_MAX,
    };
    return set_lock(file->inode, &want, wait);
}

static void drop_owner(struct inode *inode, const void *owner)
{
    bool any = false;
    mutex_lock(&locks_mutex);
    list_for_each_safe (node, next, &inode->locks) {
        struct file_lock *have = list_entry(node, struct file_lock, link);
        if (have->owner == owner) {
            list_remove(&have->link);
            kfree(have);
            any = true;
        }
    }
    mutex_unlock(&locks_mutex);
    if (any)
        released();
}

/* An owner that holds locks here set the mark itself, before; a stale mark only costs the mutex. */
static bool maybe_locked(const struct inode *inode)
{
    return __atomic_load_n(&inode->locked_ever, __ATOMIC_RELAXED);
}

void locks_fd_closed(struct file *file, const void *owner)
{
    if (file->inode && maybe_locked(file->inode))
        drop_owner(file->inode, owner);
}

void locks_file_closed(struct file *file)
{
    if (maybe_locked(file->inode))
        drop_owner(file->inode, file);
}
