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
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#define IMAGE_VERSION 4                          /* raise it when gathering changes */
#define IMAGE_UNUSED_SECONDS (7l * 24 * 60 * 60) /* an image not used for so long is deleted */

struct writer {
    struct archive *archive;
    const char *path;
};

static void write_bytes(struct writer *writer, const void *data, size_t len)
{
    if (len > 0 && archive_write_data(writer->archive, data, len) < 0)
        fail(EXIT_TOOL, "%s: %s", writer->path, archive_error_string(writer->archive));
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

static void write_node(const struct node *node, void *arg)
{
    struct writer *writer = arg;
    struct archive_entry *entry = must_alloc(archive_entry_new());

    archive_entry_set_pathname(entry, node->path[1] ? node->path + 1 : ".");
    archive_entry_set_mode(entry, node->mode);
    archive_entry_set_mtime(entry, node->mtime, 0);
    archive_entry_set_nlink(entry, 1);
    archive_entry_set_size(entry, 0);
    if (node->kind == NODE_FILE || node->kind == NODE_TEXT)
        archive_entry_set_size(entry, (la_int64_t)node->len);
    if (node->kind == NODE_LINK)
        archive_entry_set_symlink(entry, node->source);
    if (archive_write_header(writer->archive, entry) < ARCHIVE_WARN)
        fail(EXIT_TOOL, "%s: %s", node->path, archive_error_string(writer->archive));
    if (node->kind == NODE_FILE)
        write_file(writer, node);
    else if (node->kind == NODE_TEXT)
        write_bytes(writer, node->source, node->len);
    archive_entry_free(entry);
}

void image_write(struct tree *tree, const char *path)
{
    char *partial = text("%s.%d", path, (int)getpid());
    struct writer writer = {must_alloc(archive_write_new()), partial};

    archive_write_set_format_cpio_newc(writer.archive);
    archive_write_set_bytes_per_block(writer.archive, 1 << 16);
    archive_write_set_bytes_in_last_block(writer.archive, 512);
    if (archive_write_open_filename(writer.archive, partial) != ARCHIVE_OK)
        fail(EXIT_TOOL, "%s: %s", partial, archive_error_string(writer.archive));
    tree_each(tree, write_node, &writer);
    if (archive_write_close(writer.archive) != ARCHIVE_OK)
        fail(EXIT_TOOL, "%s: %s", partial, archive_error_string(writer.archive));
    archive_write_free(writer.archive);
    if (rename(partial, path) < 0)
        fail(EXIT_TOOL, "%s: %s", path, strerror(errno));
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
    if (time(NULL) - st.st_atime > 60 * 60)
        utimensat(AT_FDCWD, image->path,
                  (struct timespec[]){{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}}, 0);
    return true;
}

/* Delete images that nobody used for long. */
static void image_sweep(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    if (!dir)
        return;
    while ((entry = readdir(dir))) {
        struct stat st;

        if (text_starts(entry->d_name, ".") ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (time(NULL) - st.st_atime > IMAGE_UNUSED_SECONDS &&
            time(NULL) - st.st_mtime > IMAGE_UNUSED_SECONDS)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
}

struct image image_get(const struct run_options *options)
{
    char *folder = text("%s/images", cache_dir());
    char *base = text("%s/%016jx", folder, (uintmax_t)image_hash(options));
    struct image image = {0};
    struct list inputs = {0};
    struct bytes lines = {0};
    struct tree tree = {0};
    struct stat st;

    if (image_fresh(base, &image))
        return image;
    make_dirs(folder);
    image_sweep(folder);
    image.program = gather(options, &tree, &inputs);
    /* The list is noted before the files are read: a change in between makes it stale. */
    bytes_print(&lines, "%s\n", image.program);
    for (size_t i = 0; i < inputs.count; i++)
        bytes_print(&lines, "%s\n", input_line(inputs.items[i]));
    unlink(text("%s.inputs", base));
    image_write(&tree, image.path);
    if (stat(image.path, &st) < 0)
        fail(EXIT_TOOL, "%s: %s", image.path, strerror(errno));
    image.size = (uint64_t)st.st_size;
    char *partial = text("%s.inputs.%d", base, (int)getpid());
    if (!file_write(partial, lines.data, lines.len) || rename(partial, text("%s.inputs", base)) < 0)
        fail(EXIT_TOOL, "%s: %s", partial, strerror(errno));
    return image;
}
