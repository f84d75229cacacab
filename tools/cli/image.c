/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.c - the archive that the kernel unpacks at boot, and its cache.
 *
 * Making an image means reading package databases and copying files: too slow to do at every run.
 * An image is kept under a name that hashes all options that shape it. Beside it lies a list of the
 * host files that went in, each with size, inode and times; the image is used again only if every
 * line still holds. Files of installed packages are represented by dpkg's database: it changes
 * whenever they do.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#define IMAGE_VERSION 9             /* raise it when gathering changes */
#define IMAGE_ALL_BYTES (4ll << 30) /* more than that is not kept */
#define IMAGE_FRESH_SECONDS 60
#define IMAGE_UNUSED_SECONDS (7l * 24 * 60 * 60) /* an image not used for so long is deleted */

/* ---- cpio, "newc" (cpio(5)): a header of hexadecimal numbers, the name, the contents; name and
 * contents are filled up to multiples of 4 bytes ---- */

struct writer {
    FILE *file;
    const char *path;
    uint64_t written;
    unsigned entries;
};

static void write_bytes(struct writer *writer, const void *data, size_t len)
{
    if (len > 0 && fwrite(data, 1, len, writer->file) != len)
        fail(EXIT_TOOL, "%s: %s", writer->path, strerror(errno));
    writer->written += len;
}

static void write_padding(struct writer *writer, unsigned unit)
{
    static const char zeroes[512];

    write_bytes(writer, zeroes, (unit - writer->written % unit) % unit);
}

static void write_file(struct writer *writer, const struct node *node)
{
    int fd = open(node->source, O_RDONLY | O_CLOEXEC);
    size_t left = node->len;
    char buf[65536];

    if (fd < 0)
        fail(EXIT_TOOL, "%s: %s", node->source, strerror(errno));
    while (left > 0) {
        ssize_t n = read(fd, buf, left < sizeof(buf) ? left : sizeof(buf));

        if (n < 0)
            fail(EXIT_TOOL, "%s: %s", node->source, strerror(errno));
        if (n == 0)
            fail(EXIT_TOOL, "%s: became shorter while it was read", node->source);
        write_bytes(writer, buf, (size_t)n);
        left -= (size_t)n;
    }
    close(fd);
}

static void write_header(struct writer *writer, const char *name, unsigned mode, time_t mtime,
                         size_t len)
{
    char header[6 + 13 * 8 + 1];

    if (len > UINT32_MAX)
        fail(EXIT_TOOL, "%s: 4 GiB or more do not fit into an image", name);
    snprintf(header, sizeof(header), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
             ++writer->entries, mode, 0, 0, 1, (unsigned)mtime, (unsigned)len, 0, 0, 0, 0,
             (unsigned)strlen(name) + 1, 0);
    write_bytes(writer, header, sizeof(header) - 1);
    write_bytes(writer, name, strlen(name) + 1);
    write_padding(writer, 4);
}

static void write_node(const struct node *node, void *arg)
{
    struct writer *writer = arg;
    bool link = node->kind == NODE_LINK, file = node->kind == NODE_FILE || node->kind == NODE_TEXT;
    size_t len = link ? strlen(node->source) : file ? node->len : 0;

    write_header(writer, node->path[1] ? node->path + 1 : ".", node->mode, node->mtime, len);
    if (node->kind == NODE_FILE)
        write_file(writer, node);
    else if (len > 0)
        write_bytes(writer, node->source, len);
    write_padding(writer, 4);
}

/* The file being made. However this process ends - but by SIGKILL: then image_sweep finds it - it
 * leaves no half of one. */
static char *partial;

static void partial_remove(void)
{
    if (partial)
        unlink(partial);
}

static void partial_begin(const char *path)
{
    static bool registered;

    if (!registered)
        atexit(partial_remove);
    registered = true;
    partial = text("%s.%d", path, (int)getpid());
}

static void partial_finish(const char *path)
{
    if (rename(partial, path) < 0)
        fail(EXIT_TOOL, "%s: %s", path, strerror(errno));
    partial = NULL;
}

void image_write(struct tree *tree, const char *path)
{
    struct writer writer = {.path = path};

    partial_begin(path);
    writer.file = fopen(partial, "wbe");
    if (!writer.file)
        fail(EXIT_TOOL, "%s: %s", path, strerror(errno));
    tree_each(tree, write_node, &writer);
    write_header(&writer, "TRAILER!!!", 0, 0, 0);
    write_padding(&writer, 512);
    if (fclose(writer.file) != 0)
        fail(EXIT_TOOL, "%s: %s", path, strerror(errno));
    partial_finish(path);
}

/* One line of an image's input list. */
static char *input_line(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return text("- %s", path);
    return text("%ju.%ju.%jd.%09ld.%jd.%09ld %s", (uintmax_t)st.st_ino, (uintmax_t)st.st_size,
                (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (intmax_t)st.st_ctim.tv_sec,
                st.st_ctim.tv_nsec, path);
}

static uint64_t image_hash(const struct run_options *options)
{
    uint64_t hash = HASH_START;
    int version = IMAGE_VERSION;
    char *cwd = getcwd(NULL, 0);

    hash = hash_add(hash, &version, sizeof(version));
    hash = hash_add(hash, &options->backend, sizeof(options->backend));
    for (size_t i = 0; i < options->packages.count; i++)
        hash = hash_text(hash, options->packages.items[i]);
    for (size_t i = 0; i < options->files.count; i++)
        hash = hash_text(hash_text(hash, "f"), options->files.items[i]);
    for (size_t i = 0; i < options->env.count; i++)
        if (text_starts(options->env.items[i], "LD_LIBRARY_PATH=") ||
            text_starts(options->env.items[i], "PATH="))
            hash = hash_text(hash, options->env.items[i]);
    hash = hash_text(hash, options->root ? options->root : "");
    hash = hash_text(hash, options->cwd ? options->cwd : "");
    hash = hash_text(hash, options->argv[0]);
    hash = hash_text(hash, options->hosts ? options->hosts : "");
    hash = hash_text(hash, cwd ? cwd : "");
    if (!strchr(options->argv[0], '/') && getenv("PATH"))
        hash = hash_text(hash, getenv("PATH"));
    return hash;
}

/* Is the image under this name still what would be made now? The first line of the list is the
 * program's guest path. */
static bool image_fresh(const char *base, struct image *image)
{
    struct bytes bytes = {0};
    struct list lines = {0};
    struct stat st;

    image->path = text("%s.cpio", base);
    if (stat(image->path, &st) < 0 || !file_read(text("%s.inputs", base), &bytes))
        return false;
    list_split(&lines, bytes.data, "\n");
    if (lines.count == 0)
        return false;
    for (size_t i = 1; i < lines.count; i++) {
        const char *space = strchr(lines.items[i], ' ');

        if (!space || strcmp(lines.items[i], input_line(space + 1)) != 0)
            return false;
    }
    image->program = lines.items[0];
    image->size = (uint64_t)st.st_size;
    if (time(NULL) - st.st_atime > IMAGE_FRESH_SECONDS / 2) /* image_sweep goes by it */
        utimensat(AT_FDCWD, image->path,
                  (struct timespec[]){{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}}, 0);
    return true;
}

/* ---- keeping the cache small ---- */

struct kept {
    char *name;
    off_t size;
    time_t used;
};

static int compare_kept(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;

    return (x->used > y->used) - (x->used < y->used);
}

/* Half a file, left by a process that is gone: NAME.cpio.PID or NAME.inputs.PID. */
static bool is_orphan(const char *name)
{
    const char *number = strrchr(name, '.') + 1;
    char *end;
    long pid = strtol(number, &end, 10);

    return end != number && *end == 0 && pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* Delete what processes left behind that are gone, images that nobody used for long, and the
 * longest unused ones if all together are too large. Not one used a minute ago: its user may be
 * about to open it. */
static void image_sweep(const char *folder)
{
    DIR *dir = opendir(folder);
    struct kept *kept = NULL;
    struct dirent *entry;
    size_t count = 0;
    off_t total = 0;

    if (!dir)
        return;
    while ((entry = readdir(dir))) {
        struct stat st;

        if (text_starts(entry->d_name, ".") || !strchr(entry->d_name, '.') ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (count % 64 == 0)
            kept = must_alloc(realloc(kept, (count + 64) * sizeof(*kept)));
        kept[count++] = (struct kept){must_alloc(strdup(entry->d_name)), st.st_size,
                                      st.st_atime > st.st_mtime ? st.st_atime : st.st_mtime};
        total += st.st_size;
    }
    if (count > 0)
        qsort(kept, count, sizeof(*kept), compare_kept);
    for (size_t i = 0; i < count; i++) {
        time_t unused = time(NULL) - kept[i].used;

        if (!is_orphan(kept[i].name) && unused <= IMAGE_UNUSED_SECONDS &&
            (total <= IMAGE_ALL_BYTES || unused <= IMAGE_FRESH_SECONDS))
            continue;
        if (unlinkat(dirfd(dir), kept[i].name, 0) == 0)
            total -= kept[i].size;
    }
    closedir(dir);
}

/* ---- the image of a run ---- */

/* Only one process at a time makes the image of this name. Returns what to close. */
static int image_lock(const char *base)
{
    char *path = text("%s.lock", base);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        fail(EXIT_TOOL, "%s: %s", path, strerror(errno));
    return fd;
}

static void image_make(const struct run_options *options, const char *base, struct image *image)
{
    char *inputs_path = text("%s.inputs", base);
    struct list inputs = {0};
    struct bytes lines = {0};
    struct tree tree = {0};
    struct stat st;

    image->program = gather(options, &tree, &inputs);
    run_check_memory(options, tree.file_bytes); /* before the disk is filled in vain */
    /* The list is noted before the files are read: a change in between makes it stale. */
    bytes_print(&lines, "%s\n", image->program);
    for (size_t i = 0; i < inputs.count; i++)
        bytes_print(&lines, "%s\n", input_line(inputs.items[i]));
    unlink(inputs_path);
    image_write(&tree, image->path);
    if (stat(image->path, &st) < 0)
        fail(EXIT_TOOL, "%s: %s", image->path, strerror(errno));
    image->size = (uint64_t)st.st_size;
    partial_begin(inputs_path);
    if (!file_write(partial, lines.data, lines.len))
        fail(EXIT_TOOL, "%s: %s", inputs_path, strerror(errno));
    partial_finish(inputs_path);
}

struct image image_get(const struct run_options *options)
{
    char *folder = text("%s/images", cache_dir());
    char *base = text("%s/%016jx", folder, (uintmax_t)image_hash(options));
    struct image image = {0};
    int lock;

    if (image_fresh(base, &image))
        return image;
    make_dirs(folder);
    lock = image_lock(base);
    if (!image_fresh(base, &image)) { /* otherwise another process has made it meanwhile */
        image_sweep(folder);
        image_make(options, base, &image);
    }
    close(lock); /* the machine that runs it may live for long */
    return image;
}
