/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * closure.c - the libraries of a program, found as its dynamic linker will find them.
 *
 * glibc's order (ld.so(8)): breadth first over DT_NEEDED; a name that an earlier object brought in
 * is taken from there. Otherwise: DT_RPATH of the object and of those that led to it (an object
 * with DT_RUNPATH has no say in either), LD_LIBRARY_PATH, DT_RUNPATH of the object, the directories
 * of ld.so.conf, the built-in ones. musl's order: LD_LIBRARY_PATH, both kinds of path of the object
 * and of those that led to it, the built-in ones.
 */
#include <elf.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elfscan.h"
#include "gather.h"

#define CONF_DEPTH 4 /* of includes in ld.so.conf */

struct object {
    const struct node *node;
    const struct object *user; /* who needed it first; NULL for the program and plug-ins */
    struct elf_info info;
    struct list origins; /* what $ORIGIN stands for: its folder as found, and as it really is */
    struct object *next;
};

/* Objects whose needs are still to be met, in the order they were found. */
struct queue {
    struct object *first, **last;
};

static const char *multiarch(enum backend backend)
{
    return backend == BACKEND_AARCH64 ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
}

/* ---- directories ---- */

/* A directory of a search path with $ORIGIN, $LIB and $PLATFORM (or ${...}) put in. */
static char *expand(struct gather *g, const char *dir, const char *origin)
{
    const struct {
        const char *name, *value;
    } tokens[] = {
        {"ORIGIN", origin},
        {"LIB", text("lib/%s", multiarch(g->options->backend))},
        {"PLATFORM", g->options->backend == BACKEND_AARCH64 ? "aarch64" : "x86_64"},
    };
    struct bytes out = {0};

    bytes_add(&out, "", 0);
    while (*dir) {
        bool braced = dir[0] == '$' && dir[1] == '{';
        const char *name = dir + 1 + braced;
        size_t i = 0, count = sizeof(tokens) / sizeof(tokens[0]);

        for (; dir[0] == '$' && i < count; i++)
            if (text_starts(name, tokens[i].name) &&
                (!braced || name[strlen(tokens[i].name)] == '}'))
                break;
        if (dir[0] != '$' || i == count) {
            bytes_add(&out, dir++, 1);
            continue;
        }
        bytes_print(&out, "%s", tokens[i].value);
        dir = name + strlen(tokens[i].name) + braced;
    }
    return out.data;
}

/* The directories of ld.so.conf, includes followed. */
static void read_conf(struct list *dirs, const char *file, int depth)
{
    struct bytes bytes = {0};
    struct list lines = {0};

    if (depth > CONF_DEPTH || !file_read(file, &bytes))
        return;
    list_split(&lines, bytes.data, "\n");
    for (size_t i = 0; i < lines.count; i++) {
        char *line = lines.items[i];
        struct list words = {0};
        glob_t found;

        line[strcspn(line, "#")] = 0;
        list_split(&words, line, " \t:,");
        if (words.count > 1 && strcmp(words.items[0], "include") == 0) {
            if (glob(words.items[1], 0, NULL, &found) == 0)
                for (size_t k = 0; k < found.gl_pathc; k++)
                    read_conf(dirs, found.gl_pathv[k], depth + 1);
            continue;
        }
        for (size_t k = 0; k < words.count; k++)
            list_add(dirs, words.items[k]);
    }
}

static void musl_dirs(struct gather *g)
{
    const char *arch = g->options->backend == BACKEND_AARCH64 ? "aarch64" : "x86_64";
    const struct node *node = gather_find(g, text("/etc/ld-musl-%s.path", arch));
    struct bytes bytes = {0};

    if (node && node->kind == NODE_FILE && file_read(node->source, &bytes))
        list_split(&g->default_dirs, bytes.data, ":\n");
    else
        list_split(&g->default_dirs, "/lib:/usr/local/lib:/usr/lib", ":");
}

static void glibc_dirs(struct gather *g)
{
    const char *triple = multiarch(g->options->backend);

    list_add(&g->default_dirs, text("/lib/%s", triple));
    list_add(&g->default_dirs, text("/usr/lib/%s", triple));
    list_split(&g->default_dirs, "/lib64:/usr/lib64:/lib:/usr/lib", ":");
    if (!g->host_ok)
        return;
    read_conf(&g->conf_dirs, "/etc/ld.so.conf", 0);
}

void closure_start(struct gather *g, const struct node *interpreter)
{
    const char *name = strrchr(interpreter->path, '/') + 1;

    if (g->default_dirs.count > 0) /* a script's interpreter after another: the same again */
        return;
    g->musl = strstr(name, "ld-musl") || strcmp(name, "libc.so") == 0;
    list_add(&g->done, interpreter->path);
    list_add(&g->names, name);
    if (g->musl)
        musl_dirs(g);
    else
        glibc_dirs(g);
}

/* ---- finding one library ---- */

/* The guest path dir/name if a library of the right architecture is there; NULL. */
static char *library_at(struct gather *g, const char *dir, const char *name)
{
    char *path = path_clean("/", text("%s/%s", dir, name));
    const struct node *node = tree_resolve(g->tree, path);
    const char *host = node && node->kind == NODE_FILE ? node->source : path;
    struct elf_info info;

    if (!node && (!g->host_ok || access(path, R_OK) != 0))
        return NULL;
    if (elf_scan(host, &info) || info.machine != backend_machine(g->options->backend))
        return NULL;
    return gather_find(g, path) ? path : NULL;
}

static char *library_in(struct gather *g, const struct list *dirs, const char *name)
{
    char *path = NULL;

    for (size_t i = 0; !path && i < dirs->count; i++)
        if (dirs->items[i][0] == '/') /* others stand for the directory it is started in */
            path = library_at(g, dirs->items[i], name);
    return path;
}

/* In the directories of a colon-separated path of this object. */
static char *library_in_path(struct gather *g, const struct object *owner, const char *path,
                             const char *name)
{
    struct list raw = {0}, dirs = {0};

    list_split(&raw, path ? path : "", ":");
    for (size_t i = 0; i < raw.count; i++)
        for (size_t k = 0; k < owner->origins.count; k++) {
            char *dir = expand(g, raw.items[i], owner->origins.items[k]);

            if (!list_has(&dirs, dir))
                list_add(&dirs, dir);
        }
    return library_in(g, &dirs, name);
}

static char *library_find_musl(struct gather *g, const struct object *user, const char *name)
{
    char *path = library_in_path(g, user, env_value(g->options, "LD_LIBRARY_PATH"), name);

    for (const struct object *o = user; !path && o; o = o->user)
        path = library_in_path(g, o, o->info.runpath ? o->info.runpath : o->info.rpath, name);
    return path ? path : library_in(g, &g->default_dirs, name);
}

static char *library_find(struct gather *g, const struct object *user, const char *name)
{
    char *path = NULL;

    if (strchr(name, '/'))
        return gather_find(g, name) ? path_clean("/", name) : NULL;
    if (g->musl)
        return library_find_musl(g, user, name);
    for (const struct object *o = user; !user->info.runpath && !path && o; o = o->user)
        if (!o->info.runpath)
            path = library_in_path(g, o, o->info.rpath, name);
    if (!path)
        path = library_in_path(g, user, env_value(g->options, "LD_LIBRARY_PATH"), name);
    if (!path)
        path = library_in_path(g, user, user->info.runpath, name);
    if (path)
        return path;
    path = library_in(g, &g->conf_dirs, name);
    if (!path)
        return library_in(g, &g->default_dirs, name);
    /* Where only ld.so.conf says to look, the guest's linker needs the cache made from it. */
    g->odd_place |= !list_has(&g->default_dirs, path_dir(path));
    return path;
}

/* ---- the closure ---- */

/* Note an object that was found under `path`. Not what cannot be read: the linker will say so. */
static void push(struct gather *g, struct queue *queue, const struct object *user, const char *path)
{
    const struct node *node = tree_resolve(g->tree, path);
    struct object *object;

    if (!node || node->kind != NODE_FILE || list_has(&g->done, node->path))
        return;
    list_add(&g->done, node->path);
    object = must_alloc(calloc(1, sizeof(*object)));
    if (elf_scan(node->source, &object->info))
        return;
    object->node = node;
    object->user = user;
    list_add(&object->origins, path_dir(path));
    if (strcmp(path_dir(path), path_dir(node->path)) != 0)
        list_add(&object->origins, path_dir(node->path));
    if (!text_ends(node->path, "/libc.so.6")) { /* it names what it defines */
        g->unwinder |= object->info.wants_unwinder;
        g->iconv |= object->info.wants_iconv;
    }
    *queue->last = object;
    queue->last = &object->next;
}

/* Meet the needs of all objects in the queue. `names` are those met already. */
static void closure(struct gather *g, struct queue *queue, struct list *names, bool missing_ok)
{
    for (const struct object *object = queue->first; object; object = object->next)
        for (size_t i = 0; i < object->info.needed.count; i++) {
            const char *name = object->info.needed.items[i];
            char *path;

            if (list_has(names, name) || (g->musl && strcmp(name, "libc.so") == 0))
                continue; /* musl's interpreter is its libc */
            list_add(names, name);
            path = library_find(g, object, name);
            if (path)
                push(g, queue, object, path);
            else if (!missing_ok)
                fail(EXIT_NOT_EXECUTABLE, "%s: needs the library %s, which is not there",
                     object->node->source, name);
        }
}

void closure_program(struct gather *g, const struct node *program)
{
    struct queue queue = {.last = &queue.first};
    const char *preload = env_value(g->options, "LD_PRELOAD");
    struct list names = {0};

    push(g, &queue, NULL, program->path);
    if (!queue.first)
        return;
    if (!g->program)
        g->program = queue.first;
    closure(g, &queue, &g->names, false);
    list_split(&names, preload ? preload : "", " :");
    for (size_t i = 0; i < names.count; i++) {
        char *path = library_find(g, queue.first, names.items[i]);
        struct queue more = {.last = &more.first};

        if (!path)
            continue; /* the linker says so, and goes on */
        push(g, &more, queue.first, path);
        closure(g, &more, &g->names, true);
    }
}

void closure_plugin(struct gather *g, const struct node *plugin)
{
    struct queue queue = {.last = &queue.first};
    struct list names = {0};

    for (size_t i = 0; i < g->names.count; i++)
        list_add(&names, g->names.items[i]);
    push(g, &queue, g->program, plugin->path);
    closure(g, &queue, &names, true);
}

/* Which of some 250 modules a program will ask for, nobody knows: all (8 MiB; 20 MiB on aarch64).
 */
static void gather_iconv(struct gather *g)
{
    char *folder = text("/usr/lib/%s/gconv", multiarch(g->options->backend));
    const char *root = g->packages ? g->packages : "";

    if (!g->iconv || g->musl)
        return;
    if (!file_exists(text("%s%s", root, folder)) && g->host_ok)
        root = "";
    if (!file_exists(text("%s%s", root, folder)))
        return;
    if (!*root)
        list_add(g->inputs, text("%s/gconv-modules.cache", folder));
    tree_copy_all(g->tree, root, folder, NULL);
}

void closure_end(struct gather *g)
{
    struct queue queue = {.last = &queue.first};
    char *path;

    if (g->unwinder && !g->musl && g->program) {
        path = library_find(g, g->program, "libgcc_s.so.1");
        if (path)
            push(g, &queue, g->program, path);
        closure(g, &queue, &g->names, true);
    }
    gather_iconv(g);
    if (g->odd_place && g->host_ok)
        gather_find(g, "/etc/ld.so.cache");
}
