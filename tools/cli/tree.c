/* SPDX-License-Identifier: BSD-3-Clause */
/* tree.c - see tree.h. Nodes live in a search tree ordered by path, so parents come before what
 * they hold: just the order an archive needs. */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINK_DEPTH 40 /* as Linux: more links than that is ELOOP */

char *path_clean(const char *base, const char *path)
{
    struct list parts = {0};
    struct bytes out = {0};
    size_t keep = 0;

    if (path[0] != '/')
        list_split(&parts, base, "/");
    list_split(&parts, path, "/");
    for (size_t i = 0; i < parts.count; i++) {
        if (strcmp(parts.items[i], ".") == 0)
            continue;
        if (strcmp(parts.items[i], "..") == 0)
            keep -= keep > 0;
        else
            parts.items[keep++] = parts.items[i];
    }
    for (size_t i = 0; i < keep; i++)
        bytes_print(&out, "/%s", parts.items[i]);
    return out.data ? out.data : text("/");
}

char *path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash > path ? must_alloc(strndup(path, (size_t)(slash - path))) : text("/");
}

static int node_compare(const void *a, const void *b)
{
    const struct node *x = a, *y = b;

    return strcmp(x->path, y->path);
}

const struct node *tree_find(struct tree *tree, const char *path)
{
    struct node key = {.path = (char *)(uintptr_t)path};
    struct node **found = tfind(&key, &tree->nodes, node_compare);

    return found ? *found : NULL;
}

/* The node for path, new or to be overwritten; NULL if a directory stands there. */
static struct node *tree_node(struct tree *tree, const char *path)
{
    struct node *fresh = must_alloc(calloc(1, sizeof(*fresh)));
    struct node **slot;

    fresh->path = must_alloc(strdup(path));
    slot = must_alloc(tsearch(fresh, &tree->nodes, node_compare));
    if (*slot == fresh) {
        tree->count++;
        if (strcmp(path, "/") != 0)
            tree_dir(tree, path_dir(path));
        return fresh;
    }
    free(fresh->path);
    free(fresh);
    if ((*slot)->kind == NODE_DIR)
        return NULL;
    if ((*slot)->kind == NODE_FILE)
        tree->file_bytes -= (*slot)->len;
    return *slot;
}

void tree_dir(struct tree *tree, const char *path)
{
    const struct node *old = tree_find(tree, path);
    struct node *node;

    if (old && (old->kind == NODE_DIR || old->kind == NODE_LINK))
        return;
    node = tree_node(tree, path);
    if (!node)
        return;
    node->kind = NODE_DIR;
    node->mode = S_IFDIR | 0755;
}

void tree_dir_like(struct tree *tree, const char *path, const struct stat *st)
{
    struct node key = {.path = (char *)(uintptr_t)path}, **node;

    tree_dir(tree, path);
    node = tfind(&key, &tree->nodes, node_compare);
    if ((*node)->kind != NODE_DIR)
        return;
    (*node)->mode = S_IFDIR | (st->st_mode & 07777);
    (*node)->mtime = st->st_mtime;
}

/* A folder of the host's system or of a package. Its own time says when somebody installed
 * something else there: the image must not depend on that. */
static void tree_dir_derived(struct tree *tree, const char *path, const struct stat *st)
{
    struct stat like = *st;
    struct node key = {.path = (char *)(uintptr_t)path}, **node;

    node = tfind(&key, &tree->nodes, node_compare);
    like.st_mtime = node && (*node)->derived ? (*node)->mtime : 0;
    tree_dir_like(tree, path, &like);
    node = tfind(&key, &tree->nodes, node_compare);
    (*node)->derived = (*node)->kind == NODE_DIR;
}

/* A file with this time has come to path. */
static void tree_raise_times(struct tree *tree, const char *path, int64_t mtime)
{
    char *dir = path_dir(path);

    for (;; dir = path_dir(dir)) {
        struct node key = {.path = dir}, **node = tfind(&key, &tree->nodes, node_compare);

        if (node && (*node)->derived && (*node)->mtime < mtime)
            (*node)->mtime = mtime;
        if (strcmp(dir, "/") == 0)
            return;
    }
}

void tree_text(struct tree *tree, const char *path, const char *content, mode_t mode)
{
    struct node *node = tree_node(tree, path);

    if (!node)
        fail(EXIT_TOOL, "%s: is a directory in the image", path);
    node->kind = NODE_TEXT;
    node->source = must_alloc(strdup(content));
    node->len = strlen(content);
    node->mode = S_IFREG | mode;
}

void tree_link(struct tree *tree, const char *path, const char *target)
{
    struct node *node = tree_node(tree, path);

    if (!node)
        return;
    node->kind = NODE_LINK;
    node->source = must_alloc(strdup(target));
    node->mode = S_IFLNK | 0777;
}

static void tree_file_stat(struct tree *tree, const char *path, const char *host,
                           const struct stat *st)
{
    struct node *node = tree_node(tree, path);

    if (!node)
        fail(EXIT_TOOL, "%s: is a directory in the image", path);
    node->kind = NODE_FILE;
    node->source = must_alloc(strdup(host));
    node->len = (size_t)st->st_size;
    node->mode = S_IFREG | (st->st_mode & 07777);
    node->mtime = st->st_mtime;
    tree->file_bytes += node->len;
    tree_raise_times(tree, path, node->mtime);
}

void tree_file(struct tree *tree, const char *path, const char *host)
{
    struct stat st;

    if (stat(host, &st) < 0)
        fail(EXIT_TOOL, "%s: %s", host, strerror(errno));
    if (!S_ISREG(st.st_mode))
        fail(EXIT_TOOL, "%s: not a regular file", host);
    tree_file_stat(tree, path, host, &st);
}

/* Add one entry that lstat described; links, files and directories only. */
static void tree_entry(struct tree *tree, const char *path, const char *host, const struct stat *st)
{
    char target[PATH_MAX];
    ssize_t n;

    if (S_ISDIR(st->st_mode)) {
        tree_dir_derived(tree, path, st);
    } else if (S_ISREG(st->st_mode)) {
        tree_file_stat(tree, path, host, st);
    } else if (S_ISLNK(st->st_mode)) {
        n = readlink(host, target, sizeof(target) - 1);
        if (n < 0)
            return;
        target[n] = 0;
        tree_link(tree, path, target);
    }
}

char *tree_copy(struct tree *tree, const char *root, const char *path)
{
    char *rest = path_clean("/", path), *at = must_alloc(strdup(""));

    for (int depth = 0; depth <= LINK_DEPTH;) {
        size_t len = strcspn(rest + 1, "/");
        char *here = text("%s/%.*s", at, (int)len, rest + 1);
        char *host = text("%s%s", root, here);
        const char *more = rest + 1 + len;
        const struct node *node;
        struct stat st;

        if (lstat(host, &st) < 0)
            return NULL;
        /* What the tool itself put here (a package's link, say) stays. */
        node = tree_find(tree, here);
        if (!node || node->kind != NODE_LINK || S_ISLNK(st.st_mode))
            tree_entry(tree, here, host, &st);
        node = tree_find(tree, here);
        if (S_ISLNK(st.st_mode) && node && node->kind == NODE_LINK) {
            char *target = path_clean(*at ? at : "/", node->source);

            rest = text("%s%s", strcmp(target, "/") == 0 ? "" : target, more);
            at = must_alloc(strdup(""));
            depth++;
            continue;
        }
        if (!*more)
            return here;
        at = here;
        rest = must_alloc(strdup(more));
    }
    return NULL;
}

void tree_copy_all(struct tree *tree, const char *root, const char *path,
                   bool (*keep)(const char *guest_path))
{
    char *host = text("%s%s", root, strcmp(path, "/") == 0 ? "" : path);
    DIR *dir = opendir(*host ? host : "/");
    struct dirent *entry;

    if (!dir)
        fail(EXIT_TOOL, "%s: %s", host, strerror(errno));
    while ((entry = readdir(dir))) {
        char *name, *source;
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        name = text("%s/%s", strcmp(path, "/") == 0 ? "" : path, entry->d_name);
        source = text("%s/%s", host, entry->d_name);
        if ((!keep || keep(name)) && lstat(source, &st) == 0) {
            const struct node *old = tree_find(tree, name);

            /* A link of one layer that is a directory in another: the link stays, the files go
             * where it leads (a merged /usr over a package's /lib). */
            if (S_ISDIR(st.st_mode) && old && old->kind == NODE_LINK) {
                /* nothing to add for the directory itself */
            } else {
                tree_entry(tree, name, source, &st);
            }
            if (S_ISDIR(st.st_mode))
                tree_copy_all(tree, root, name, keep);
        }
        free(name);
        free(source);
    }
    closedir(dir);
    free(host);
}

const struct node *tree_resolve(struct tree *tree, const char *path)
{
    char *rest = path_clean("/", path), *at = must_alloc(strdup(""));

    for (int depth = 0; depth <= LINK_DEPTH;) {
        size_t len = strcspn(rest + 1, "/");
        char *here = text("%s/%.*s", at, (int)len, rest + 1);
        const char *more = rest + 1 + len;
        const struct node *node = tree_find(tree, here);

        if (!node)
            return NULL;
        if (node->kind == NODE_LINK) {
            char *target = path_clean(*at ? at : "/", node->source);

            rest = text("%s%s", strcmp(target, "/") == 0 ? "" : target, more);
            at = must_alloc(strdup(""));
            depth++;
            continue;
        }
        if (!*more)
            return node;
        if (node->kind != NODE_DIR)
            return NULL;
        at = here;
        rest = must_alloc(strdup(more));
    }
    return NULL;
}

struct visit {
    void (*visit)(const struct node *node, void *arg);
    void *arg;
};

static void visit_node(const void *nodep, VISIT which, void *closure)
{
    struct node *const *node = nodep;
    struct visit *visit = closure;

    if (which == postorder || which == leaf)
        visit->visit(*node, visit->arg);
}

void tree_each(struct tree *tree, void (*visit)(const struct node *node, void *arg), void *arg)
{
    struct visit closure = {visit, arg};

    twalk_r(tree->nodes, visit_node, &closure);
}
