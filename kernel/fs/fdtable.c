/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fdtable.c - descriptors: small numbers for open files.
 *
 * An array of files and two bitmaps (open, close-on-exec) grow together, by doubling, up to
 * RLIMIT_NOFILE. One spinlock (RANK_FDTABLE) guards them; files are released after it is dropped,
 * because closing may sleep. A bit in `open` without a file is a reserved number (fd_reserve):
 * nobody can use it yet, and dup2 onto it is EBUSY.
 *
 * The only task of a process reads the table without the lock: nobody else changes it (`threads`
 * is set before a second one begins), and whoever looks at it from elsewhere has a reference.
 */
#include "fs/file.h"

#include "core/assert.h"
#include "fs/locks.h"
#include "lib/string.h"
#include "mm/kmalloc.h"

#define FD_FIRST 64

struct fdtable {
    struct refcount refs;
    struct spinlock lock;
    struct file **files;
    uint64_t *open, *cloexec; /* bitmaps of `capacity` bits */
    unsigned capacity;        /* multiple of 64 */
    unsigned limit;           /* atomic: set without the lock */
    unsigned hint;            /* no free descriptor below */
    bool threads;             /* several tasks use it, or have done so; atomic */
};

static int alloc_arrays(unsigned capacity, struct file ***files, uint64_t **bits)
{
    *files = kmalloc_array(capacity, sizeof(**files), ALLOC_ZERO);
    *bits = kmalloc_array(capacity / 32, sizeof(**bits), ALLOC_ZERO); /* both bitmaps */
    if (*files && *bits)
        return 0;
    kfree(*files);
    kfree(*bits);
    return -ENOMEM;
}

/* Relaxed: a call that runs while the limit is changed has the old one or the new one. */
static unsigned limit_of(const struct fdtable *table)
{
    return __atomic_load_n(&table->limit, __ATOMIC_RELAXED);
}

static struct fdtable *create(unsigned capacity, unsigned limit)
{
    struct fdtable *table = kzalloc(sizeof(*table));
    if (!table)
        return NULL;
    if (alloc_arrays(capacity, &table->files, &table->open)) {
        kfree(table);
        return NULL;
    }
    ref_init(&table->refs);
    spin_init(&table->lock, RANK_FDTABLE);
    table->cloexec = table->open + capacity / 64;
    table->capacity = capacity;
    table->limit = limit;
    return table;
}

struct fdtable *fdtable_create(void)
{
    return create(FD_FIRST, FD_MAX_DEFAULT);
}

static bool bit_get(const uint64_t *bits, unsigned i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

static inline __attribute__((always_inline)) void bit_put(uint64_t *bits, unsigned i, bool value)
{
    uint64_t mask = 1ull << (i % 64);
    bits[i / 64] = value ? bits[i / 64] | mask : bits[i / 64] & ~mask;
}

/* Make room for descriptor fd. Called and returns without the lock. */
static int grow(struct fdtable *table, unsigned fd)
{
    unsigned capacity = FD_FIRST;
    while (capacity <= fd)
        capacity *= 2;
    struct file **files;
    uint64_t *bits;
    int err = alloc_arrays(capacity, &files, &bits);
    if (err)
        return err;
    struct file **old_files = files;
    uint64_t *old_bits = bits;
    spin_lock(&table->lock);
    if (table->capacity < capacity) {
        old_files = table->files;
        old_bits = table->open;
        memcpy(files, old_files, table->capacity * sizeof(*files));
        memcpy(bits, table->open, table->capacity / 8);
        memcpy(bits + capacity / 64, table->cloexec, table->capacity / 8);
        table->files = files;
        table->open = bits;
        table->cloexec = bits + capacity / 64;
        table->capacity = capacity;
    }
    spin_unlock(&table->lock);
    kfree(old_files);
    kfree(old_bits);
    return 0;
}

struct fdtable *fdtable_clone(struct fdtable *table)
{
    struct fdtable *copy;
    for (;;) {
        unsigned capacity = __atomic_load_n(&table->capacity, __ATOMIC_RELAXED);
        copy = create(capacity, limit_of(table));
        if (!copy)
            return NULL;
        spin_lock(&table->lock);
        if (table->capacity == capacity)
            break;
        spin_unlock(&table->lock); /* it grew meanwhile */
        fdtable_put(copy);
    }
    memcpy(copy->files, table->files, table->capacity * sizeof(*table->files));
    memcpy(copy->open, table->open, table->capacity / 4);
    for (unsigned i = 0; i < copy->capacity; i++) {
        if (copy->files[i])
            file_get(copy->files[i]);
        else /* a number reserved by a call of another thread is free in the copy */
            copy->open[i / 64] &= ~(1ull << (i % 64));
    }
    spin_unlock(&table->lock);
    return copy;
}

void fdtable_get(struct fdtable *table)
{
    ref_get(&table->refs);
}

static void close_file(struct fdtable *table, struct file *file)
{
    locks_fd_closed(file, table);
    file_put(file);
}

void fdtable_put(struct fdtable *table)
{
    if (!table || !ref_put(&table->refs))
        return;
    for (unsigned i = 0; i < table->capacity; i++)
        if (table->files[i])
            close_file(table, table->files[i]);
    kfree(table->files);
    kfree(table->open);
    kfree(table);
}

void fdtable_set_limit(struct fdtable *table, uint64_t limit)
{
    __atomic_store_n(&table->limit, (unsigned)MIN(limit, (uint64_t)FD_MAX_HARD), __ATOMIC_RELAXED);
}

static struct file *slot_locked(struct fdtable *table, int fd)
{
    return fd >= 0 && (unsigned)fd < table->capacity ? table->files[fd] : NULL;
}

void fdtable_has_threads(struct fdtable *table)
{
    /* Relaxed: the task that makes another one sets it, and that one's start publishes it. */
    __atomic_store_n(&table->threads, true, __ATOMIC_RELAXED);
}

static no_inline struct file *fd_get_shared(struct fdtable *table, int fd)
{
    spin_lock(&table->lock);
    struct file *file = slot_locked(table, fd);
    if (file)
        ref_get(&file->refs);
    spin_unlock(&table->lock);
    return file;
}

struct file *fd_get(struct fdtable *table, int fd)
{
    if (__atomic_load_n(&table->threads, __ATOMIC_RELAXED) || ref_read(&table->refs) != 1)
        return fd_get_shared(table, fd);
    struct file *file = slot_locked(table, fd);
    if (file)
        ref_get(&file->refs);
    return file;
}

/* Lowest clear bit >= min, or capacity. */
static unsigned find_free_locked(struct fdtable *table, unsigned min)
{
    unsigned fd = MAX(min, table->hint);
    while (fd < table->capacity) {
        uint64_t free = ~table->open[fd / 64] & (UINT64_MAX << (fd % 64));
        if (free)
            return (fd & ~63u) + (unsigned)__builtin_ctzll(free);
        fd = (fd & ~63u) + 64;
    }
    return fd;
}

static void put_slot_locked(struct fdtable *table, unsigned fd, struct file *file, bool cloexec)
{
    table->files[fd] = file;
    bit_put(table->open, fd, file != NULL);
    bit_put(table->cloexec, fd, file && cloexec);
    if (!file && fd < table->hint)
        table->hint = fd;
    if (file && fd == table->hint)
        table->hint = fd + 1;
}

/* Give the lowest free number >= min to file; NULL: only reserve it. */
static int take_slot(struct fdtable *table, struct file *file, int min, bool cloexec)
{
    for (;;) {
        spin_lock(&table->lock);
        unsigned limit = limit_of(table);
        unsigned fd = find_free_locked(table, (unsigned)min);
        if (fd < limit && fd < table->capacity) {
            put_slot_locked(table, fd, file, cloexec);
            bit_put(table->open, fd, true);
            spin_unlock(&table->lock);
            return (int)fd;
        }
        spin_unlock(&table->lock);
        if (fd >= limit)
            return -EMFILE;
        int err = grow(table, fd);
        if (err)
            return err;
    }
}

int fd_install(struct fdtable *table, struct file *file, int min, bool cloexec)
{
    ASSERT(file);
    return take_slot(table, file, min, cloexec);
}

int fd_reserve(struct fdtable *table)
{
    return take_slot(table, NULL, 0, false);
}

void fd_fill(struct fdtable *table, int fd, struct file *file, bool cloexec)
{
    spin_lock(&table->lock);
    ASSERT(!table->files[fd] && bit_get(table->open, (unsigned)fd));
    put_slot_locked(table, (unsigned)fd, file, cloexec);
    spin_unlock(&table->lock);
}

void fd_unreserve(struct fdtable *table, int fd)
{
    fd_fill(table, fd, NULL, false);
}

int fd_install_at(struct fdtable *table, struct file *file, int fd, bool cloexec)
{
    struct file *old = NULL;
    for (;;) {
        spin_lock(&table->lock);
        bool allowed = fd >= 0 && (unsigned)fd < limit_of(table);
        bool room = allowed && (unsigned)fd < table->capacity;
        bool reserved = room && !table->files[fd] && bit_get(table->open, (unsigned)fd);
        if (room && !reserved) {
            old = table->files[fd];
            put_slot_locked(table, (unsigned)fd, file, cloexec);
        }
        spin_unlock(&table->lock);
        if (!allowed)
            return -EBADF;
        if (reserved)
            return -EBUSY; /* dup(2): a race with open in another thread */
        if (room)
            break;
        int err = grow(table, (unsigned)fd);
        if (err)
            return err;
    }
    if (old)
        close_file(table, old);
    return fd;
}

int fd_close(struct fdtable *table, int fd)
{
    spin_lock(&table->lock);
    struct file *file = slot_locked(table, fd);
    if (file)
        put_slot_locked(table, (unsigned)fd, NULL, false);
    spin_unlock(&table->lock);
    if (!file)
        return -EBADF;
    close_file(table, file);
    return 0;
}

int fd_get_cloexec(struct fdtable *table, int fd)
{
    spin_lock(&table->lock);
    int result = slot_locked(table, fd) ? bit_get(table->cloexec, (unsigned)fd) : -EBADF;
    spin_unlock(&table->lock);
    return result;
}

int fd_set_cloexec(struct fdtable *table, int fd, bool cloexec)
{
    int err = -EBADF;
    spin_lock(&table->lock);
    if (slot_locked(table, fd)) {
        bit_put(table->cloexec, (unsigned)fd, cloexec);
        err = 0;
    }
    spin_unlock(&table->lock);
    return err;
}

void fdtable_close_on_exec(struct fdtable *table)
{
    for (unsigned fd = 0;; fd++) {
        spin_lock(&table->lock);
        while (fd < table->capacity && !bit_get(table->cloexec, fd))
            fd++;
        bool end = fd >= table->capacity;
        struct file *file = end ? NULL : table->files[fd];
        if (file)
            put_slot_locked(table, fd, NULL, false);
        spin_unlock(&table->lock);
        if (end)
            return;
        if (file)
            close_file(table, file);
    }
}

/* First open slot at or after *fd. */
static struct file *next_locked(struct fdtable *table, int *fd)
{
    if (*fd < 0)
        *fd = 0;
    while ((unsigned)*fd < table->capacity && !table->files[*fd])
        (*fd)++;
    return (unsigned)*fd < table->capacity ? table->files[*fd] : NULL;
}

bool fd_peek(struct fdtable *table, int *fd, uint32_t *flags)
{
    spin_lock(&table->lock);
    struct file *file = next_locked(table, fd);
    if (file)
        *flags = file_flags(file);
    spin_unlock(&table->lock);
    return file != NULL;
}

struct file *fd_next(struct fdtable *table, int *fd)
{
    spin_lock(&table->lock);
    struct file *file = next_locked(table, fd);
    if (file)
        file_get(file);
    spin_unlock(&table->lock);
    return file;
}
