/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: fs */
/* covers: kernel/fs/ramfs.c kernel/fs/file.c */
/* length: 200 */
/*
 * contents_fuzz.c - what is in two files: write, pwrite, append, truncate, fallocate, seek, copies
 * from one to the other, a shared mapping of each and system calls whose buffer is one. The model
 * is an array of bytes for each file. An allocation may be told to fail; then a call may do less,
 * but only what it says.
 */
#include <string.h>

#include "fs/fake_fs.h"
#include "machine.h"
#include "mm/area.h"
#include "mm/usercopy.h"

#define FILES 2
#define OPEN 3 /* the first file once more, to append */
#define LIMIT (24 * PAGE_SIZE)
#define MAPPED 20 /* pages of each file */
#define BASE(f) (0x100000ul + (f)*0x100000ul)

static struct content {
    uint8_t data[LIMIT];
    uint64_t size;
} model[FILES];
static struct open {
    struct file *file;
    unsigned content;
    uint64_t pos;
    bool append;
} files[OPEN];
static struct space *space;
static struct fuzz_input in;
static uint8_t buffer[LIMIT];
static bool failing; /* an allocation may fail */

/* Positions where something meets something: around the borders of pages. */
static uint64_t some_offset(void)
{
    uint8_t byte = fuzz_u8(&in);
    uint64_t at = byte % 20 * PAGE_SIZE + (byte / 20 - 4) * 3;

    return byte / 20 < 4 && byte % 20 == 0 ? 0 : at;
}

static size_t some_length(void)
{
    static const size_t lengths[] = {
        1,    7,    100,  2000, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1,
        5000, 8192, 9000, 0,    3 * PAGE_SIZE, 12288 + 5};

    return lengths[fuzz_u8(&in) % ARRAY_COUNT(lengths)];
}

static void fill(size_t len)
{
    static uint8_t next;

    next = (uint8_t)(fuzz_u8(&in) | 1);
    for (size_t i = 0; i < len; i++)
        buffer[i] = (uint8_t)(next + i / 64);
}

/* A failed allocation excuses less than everything, and these errors. */
static bool excused(long result)
{
    return failing && alloc_fail_hit() && (result >= 0 || result == -ENOMEM || result == -ENOSPC);
}

static void grow(struct content *c, uint64_t size)
{
    if (size > c->size) {
        memset(c->data + c->size, 0, size - c->size);
        c->size = size;
    }
}

static void put(struct content *c, uint64_t at, const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return;
    grow(c, at + len);
    memcpy(c->data + at, bytes, len);
}

static size_t readable(const struct content *c, uint64_t at, size_t len)
{
    return at >= c->size ? 0 : (size_t)MIN((uint64_t)len, c->size - at);
}

/* ---- read and write ---- */

static long transfer(struct open *o, void *at, size_t len, uint64_t pos, bool here, bool write)
{
    struct iov one;
    struct iov_iter it;
    off64_t off = (off64_t)pos;

    iov_iter_init_kernel(&it, &one, at, len);
    return write ? file_write_iter(o->file, &it, here ? NULL : &off)
                 : file_read_iter(o->file, &it, here ? NULL : &off);
}

static void step_write(bool here)
{
    struct open *o = &files[fuzz_u8(&in) % OPEN];
    struct content *c = &model[o->content];
    uint64_t at = some_offset();
    size_t len = some_length();

    at = o->append ? c->size : here ? o->pos : at;
    if (at + len > LIMIT)
        return;
    fill(len);
    long n = transfer(o, buffer, len, at, here, true);
    FUZZ_TRACE("write file %u at %lu, %zu: %ld\n", o->content, at, len, n);
    FUZZ_CHECK(n == (long)len || (excused(n) && n < (long)len));
    if (n < 0)
        return;
    put(c, at, buffer, (size_t)n);
    if (here && n > 0)
        o->pos = at + (uint64_t)n;
}

static void step_read(bool here)
{
    struct open *o = &files[fuzz_u8(&in) % OPEN];
    uint64_t at = here ? o->pos : some_offset();
    size_t len = some_length(), want = readable(&model[o->content], at, len);

    memset(buffer, 0xee, len);
    long n = transfer(o, buffer, len, at, here, false);
    FUZZ_TRACE("read file %u at %lu, %zu: %ld\n", o->content, at, len, n);
    FUZZ_CHECK(n == (long)want || excused(n));
    FUZZ_CHECK(n <= 0 || memcmp(buffer, model[o->content].data + at, (size_t)n) == 0);
    if (here && n > 0)
        o->pos = at + (uint64_t)n;
}

static void step_seek(void)
{
    struct open *o = &files[fuzz_u8(&in) % OPEN];
    const struct content *c = &model[o->content];
    int whence = fuzz_u8(&in) % 5;
    uint64_t off = some_offset();
    off64_t got = o->file->ops->seek(o->file, (off64_t)off, whence);
    uint64_t base = whence == SEEK_CUR ? o->pos : whence == SEEK_END ? c->size : 0;

    FUZZ_TRACE("seek file %u: %d %lu: %ld\n", o->content, whence, off, (long)got);
    if (whence < SEEK_DATA) {
        FUZZ_CHECK(got == (off64_t)(base + off));
    } else if (off >= c->size) {
        FUZZ_CHECK(got == -ENXIO);
    } else { /* what it passes over is zero, and holes begin with pages that are */
        uint64_t end = got < 0 ? c->size : (uint64_t)got;

        FUZZ_CHECK(got == -ENXIO ? whence == SEEK_DATA : end >= off && end <= c->size);
        for (uint64_t i = off; i < end && whence == SEEK_DATA; i++)
            FUZZ_CHECK(c->data[i] == 0);
        for (uint64_t i = end; i < c->size && i < (end | (PAGE_SIZE - 1)) && whence == SEEK_HOLE;
             i++)
            FUZZ_CHECK(c->data[i] == 0);
    }
    if (got >= 0)
        o->pos = (uint64_t)got;
}

/* ---- size and space ---- */

static void step_truncate(void)
{
    unsigned f = fuzz_u8(&in) % FILES;
    uint64_t size = MIN(some_offset(), LIMIT);
    int err = inode_truncate(files[f].file->inode, size);

    FUZZ_TRACE("truncate file %u %lu: %d\n", f, size, err);
    FUZZ_CHECK(err == 0 || excused(err));
    if (err)
        return;
    grow(&model[f], size);
    model[f].size = size;
}

static void step_allocate(void)
{
    static const unsigned modes[] = {
        0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    unsigned f = fuzz_u8(&in) % FILES, mode = modes[fuzz_u8(&in) % ARRAY_COUNT(modes)];
    uint64_t at = some_offset();
    size_t len = some_length();
    struct content *c = &model[f];

    if (len == 0 || at + len > LIMIT)
        return;
    struct content before = *c;
    int err = ramfs_fallocate(files[f].file->inode, mode, at, len);
    FUZZ_TRACE("fallocate file %u %u, %lu, %zu: %d\n", f, mode, at, len, err);
    FUZZ_CHECK(err == 0 || excused(err));
    if (!(mode & FALLOC_FL_KEEP_SIZE) && !err)
        grow(c, at + len);
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        memset(c->data + MIN(at, c->size), 0, readable(c, at, len));
    if (!err)
        return;
    /* Half done: each byte is as before, or zero. */
    alloc_fail_nth(0);
    long n = transfer(&files[f], buffer, LIMIT, 0, false, false);
    FUZZ_CHECK(n == (long)before.size);
    for (uint64_t i = 0; i < before.size; i++)
        FUZZ_CHECK(buffer[i] == before.data[i] || (buffer[i] == 0 && i >= at && i < at + len));
    memcpy(c->data, buffer, before.size);
    c->size = before.size;
}

/* ---- mappings ---- */

static int on_fault(vaddr_t addr, enum hal_access access)
{
    return space_fault(space, addr, access, 0);
}

/* How much of the range can be reached: to the end of the page in which the file ends. */
static size_t reachable(const struct content *c, uint64_t at, size_t len)
{
    uint64_t end = MIN(align_up(c->size, PAGE_SIZE), (uint64_t)MAPPED * PAGE_SIZE);

    return at >= end ? 0 : (size_t)MIN((uint64_t)len, end - at);
}

static void step_store(void)
{
    unsigned f = fuzz_u8(&in) % FILES;
    struct content *c = &model[f];
    uint64_t at = some_offset();
    size_t len = readable(c, at, some_length());

    len = reachable(c, at, len); /* behind its end nothing is stored: that is nobody's */
    if (len == 0)
        return;
    fill(len);
    int err = copyout(uaddr(BASE(f) + at), buffer, len);
    FUZZ_TRACE("store file %u at %lu, %zu: %d\n", f, at, len, err);
    FUZZ_CHECK(err == 0 || (failing && alloc_fail_hit()));
    if (err == 0) {
        put(c, at, buffer, len);
        return;
    }
    alloc_fail_nth(0); /* up to some page */
    FUZZ_CHECK(transfer(&files[f], c->data, c->size, 0, false, false) == (long)c->size);
}

static void step_load(void)
{
    unsigned f = fuzz_u8(&in) % FILES;
    const struct content *c = &model[f];
    uint64_t at = some_offset();
    size_t len = MIN(some_length(), LIMIT), there = reachable(c, at, len);

    memset(buffer, 0xee, len);
    int err = copyin(buffer, uaddr(BASE(f) + at), len);
    FUZZ_TRACE("load file %u at %lu, %zu: %d\n", f, at, len, err);
    FUZZ_CHECK(err == (there == len ? 0 : -EFAULT) || (failing && alloc_fail_hit()));
    if (err)
        return;
    size_t inside = readable(c, at, len);
    FUZZ_CHECK(memcmp(buffer, c->data + at, inside) == 0);
    for (size_t i = inside; i < len; i++)
        FUZZ_CHECK(buffer[i] == 0);
}

/* A call whose buffer is the other file's mapping. */
static void step_between(bool write)
{
    struct open *o = &files[fuzz_u8(&in) % FILES];
    struct content *c = &model[o->content], *other = &model[!o->content];
    uint64_t at = some_offset(), from = some_offset();
    size_t len = some_length();
    struct iov one;
    struct iov_iter it;
    off64_t off = (off64_t)at;

    if (at + len > LIMIT || from + len > LIMIT)
        return;
    if (!write)
        len = readable(other, from, len);
    size_t there = reachable(other, from, len), want = write ? there : readable(c, at, there);
    iov_iter_init_user(&it, &one, uaddr(BASE(!o->content) + from), len);
    long n = write ? file_write_iter(o->file, &it, &off) : file_read_iter(o->file, &it, &off);
    FUZZ_TRACE("%s file %u at %lu, %zu, memory of the other at %lu: %ld for %zu\n",
               write ? "write" : "read", o->content, at, len, from, n, want);
    if (failing && alloc_fail_hit()) {
        alloc_fail_nth(0);
        FUZZ_CHECK(n <= (long)want);
        want = n > 0 ? (size_t)n : 0;
    } else if (want == 0 && len > 0 && (write || readable(c, at, len) > 0)) {
        FUZZ_CHECK(n == -EFAULT);
    } else {
        FUZZ_CHECK(n == (long)want);
    }
    if (write && want) {
        memset(buffer, 0, want); /* the page behind the other's end is zero */
        memcpy(buffer, other->data + MIN(from, other->size), readable(other, from, want));
        put(c, at, buffer, want);
    } else if (want) {
        memmove(other->data + from, c->data + at, want);
    }
    if (!write && n < 0) /* a piece of it may be there */
        FUZZ_CHECK(transfer(&files[!o->content], other->data, other->size, 0, false, false) ==
                   (long)other->size);
}

/* ---- */

static void one_step(void)
{
    uint8_t what = fuzz_u8(&in);

    switch (what % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
        step_write(what & 16);
        break;
    case 4:
    case 5:
        step_read(what & 16);
        break;
    case 6:
        step_seek();
        break;
    case 7:
    case 8:
        step_truncate();
        break;
    case 9:
        step_allocate();
        break;
    case 10:
    case 11:
        step_store();
        break;
    case 12:
        step_load();
        break;
    case 13:
    case 14:
        step_between(what & 16);
        break;
    default:
        alloc_fail_nth(what / 16);
        failing = what / 16 != 0;
        break;
    }
}

static void check(void)
{
    alloc_fail_nth(0);
    failing = false;
    for (unsigned f = 0; f < FILES; f++) {
        const struct content *c = &model[f];

        FUZZ_CHECK(inode_size(files[f].file->inode) == c->size);
        FUZZ_CHECK(transfer(&files[f], buffer, LIMIT, 0, false, false) == (long)c->size);
        FUZZ_CHECK(memcmp(buffer, c->data, c->size) == 0);
        size_t mapped = reachable(c, 0, LIMIT);
        FUZZ_CHECK(copyin(buffer, uaddr(BASE(f)), mapped) == 0);
        FUZZ_CHECK(memcmp(buffer, c->data, MIN(mapped, c->size)) == 0);
    }
}

static void begin(void)
{
    static const char *const names[OPEN] = {"a", "b", "a"};

    memset(model, 0, sizeof(model));
    space = space_create();
    FUZZ_CHECK(space);
    fake_user_space = &space->hal;
    fake_user_fault = on_fault;
    for (unsigned i = 0; i < OPEN; i++) {
        uint32_t flags = O_RDWR | O_CREAT | (i == 2 ? O_APPEND : 0);
        vaddr_t out;

        files[i] = (struct open){.content = i % FILES, .append = i == 2};
        FUZZ_CHECK(fs_open(fake_context, names[i], flags, 0644, &files[i].file) == 0);
        if (i == 2)
            continue;
        struct map_request req = {.addr = BASE(i),
                                  .len = MAPPED * PAGE_SIZE,
                                  .prot = PROT_READ | PROT_WRITE,
                                  .flags = MAP_FIXED | MAP_SHARED,
                                  .may_write = true};
        FUZZ_CHECK(files[i].file->ops->mmap(files[i].file, req.prot, req.flags, &req.object) == 0);
        FUZZ_CHECK(space_map(space, &req, &out) == 0);
    }
}

static void end(void)
{
    fake_user_space = NULL;
    space_put(space);
    for (unsigned i = 0; i < OPEN; i++)
        file_put(files[i].file);
    FUZZ_CHECK(vfs_unlink(fake_context, NULL, "a", false) == 0);
    FUZZ_CHECK(vfs_unlink(fake_context, NULL, "b", false) == 0);
    dentry_shrink(1000);
}

static void start(void)
{
    machine_start(32u << 20);
    FUZZ_CHECK(fake_fs_boot(NULL, 0) == 0);
    fake_context->umask = 022;
    begin(); /* what is made once */
    end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;

    if (!started)
        start();
    started = true;
    in = (struct fuzz_input){data, size, 0};
    struct machine_account before = machine_count();
    failing = false;
    begin();
    for (unsigned step = 1; fuzz_more(&in); step++) {
        one_step();
        if (step % 8 == 0)
            check();
    }
    check();
    end();
    machine_check(&before);
    return 0;
}
