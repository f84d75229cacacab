/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpkg.c - what the host's package database says about a program: which package owns it, and which
 * data that package and its dependencies brought along.
 *
 * A program's libraries are found through DT_NEEDED; what cannot be found so are the modules of an
 * interpreter, configuration, plug-ins. Those come from the packages. Taken are: the owner, other
 * packages built from the same source (python3.11-minimal alone has no json module), and their
 * dependencies but the C library. Left out are programs, libraries in the standard folders, and
 * everything package_keep() and skip_file() drop, so that small programs stay small.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

#define DPKG "/var/lib/dpkg"

struct stanza {
    char *name, *source, *depends, *provides;
    bool taken;
};

struct database {
    struct stanza *items;
    size_t count;
};

/* The value of "Key: value" inside a stanza, one line; NULL if absent. */
static char *field(const char *stanza, const char *key)
{
    size_t len = strlen(key);

    for (const char *line = stanza; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && line[len] == ':') {
            line += len + 1;
            line += strspn(line, " ");
            return must_alloc(strndup(line, strcspn(line, "\n")));
        }
    }
    return NULL;
}

static void database_add(struct database *db, const char *stanza)
{
    char *name = field(stanza, "Package"), *status = field(stanza, "Status");
    char *pre = field(stanza, "Pre-Depends"), *depends = field(stanza, "Depends");
    struct stanza *item;

    if (!name || !status || !text_ends(status, " installed"))
        return;
    if (db->count % 256 == 0)
        db->items = must_alloc(realloc(db->items, (db->count + 256) * sizeof(*db->items)));
    item = &db->items[db->count++];
    *item = (struct stanza){
        .name = name, .source = field(stanza, "Source"), .provides = field(stanza, "Provides")};
    if (item->source)
        item->source[strcspn(item->source, " (")] = 0;
    else
        item->source = name;
    item->depends = text("%s,%s", pre ? pre : "", depends ? depends : "");
}

static bool database_read(struct database *db)
{
    struct bytes bytes = {0};
    char *at;

    if (!file_read(DPKG "/status", &bytes))
        return false;
    for (at = bytes.data; at && *at;) {
        char *end = strstr(at, "\n\n");

        if (end)
            *end = 0;
        database_add(db, at);
        at = end ? end + 2 : NULL;
    }
    return db->count > 0;
}

/* Is `path` (or its other name in a merged /usr) a line of the file list? */
static bool list_owns(const struct bytes *list, const char *path)
{
    char *line = text("\n%s\n", path);

    if (strstr(list->data, line))
        return true;
    if (!text_starts(path, "/usr/"))
        return false;
    line = text("\n%s\n", path + strlen("/usr"));
    return strstr(list->data, line) != NULL;
}

char *dpkg_owner(const char *path)
{
    char *owner = NULL;
    DIR *dir = opendir(DPKG "/info");
    struct dirent *entry;

    while (dir && !owner && (entry = readdir(dir))) {
        struct bytes bytes = {0};

        if (!text_ends(entry->d_name, ".list"))
            continue;
        if (file_read(text(DPKG "/info/%s", entry->d_name), &bytes) && bytes.len > 0 &&
            list_owns(&bytes, path)) {
            owner = must_alloc(strdup(entry->d_name));
            owner[strcspn(owner, ":")] = 0;
            if (text_ends(owner, ".list"))
                owner[strlen(owner) - strlen(".list")] = 0;
        }
        free(bytes.data);
    }
    if (dir)
        closedir(dir);
    return owner;
}

static bool provides(const struct stanza *item, const char *name)
{
    struct list words = {0};

    if (!item->provides || !strstr(item->provides, name))
        return false;
    list_split(&words, item->provides, ", ()=");
    return list_has(&words, name);
}

static struct stanza *find_package(struct database *db, const char *name)
{
    for (size_t i = 0; i < db->count; i++)
        if (strcmp(db->items[i].name, name) == 0)
            return &db->items[i];
    for (size_t i = 0; i < db->count; i++)
        if (provides(&db->items[i], name))
            return &db->items[i];
    return NULL;
}

/* Packages whose data a program does not need: the C library's and the package system's own. */
static bool is_plumbing(const char *name)
{
    static const char *const names[] = {"libc6",
                                        "libc-bin",
                                        "dpkg",
                                        "tar",
                                        "debconf",
                                        "debianutils",
                                        "install-info",
                                        "libgcc-s1",
                                        "gcc-12-base",
                                        "base-files",
                                        "sensible-utils",
                                        "ucf",
                                        "init-system-helpers",
                                        "hicolor-icon-theme",
                                        "python3-pip",
                                        "ghostscript"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void take(struct database *db, const char *name)
{
    struct stanza *item = find_package(db, name);
    struct list groups = {0};

    if (!item || item->taken || is_plumbing(item->name))
        return;
    item->taken = true;
    list_split(&groups, item->depends, ",");
    for (size_t i = 0; i < groups.count; i++) {
        struct list choices = {0};

        list_split(&choices, groups.items[i], "|");
        for (size_t k = 0; k < choices.count; k++) {
            char *choice = choices.items[k] + strspn(choices.items[k], " ");

            choice[strcspn(choice, " (:")] = 0;
            if (*choice && find_package(db, choice)) {
                take(db, choice);
                break;
            }
        }
    }
}

static bool is_extra(const char *name)
{
    static const char *const parts[] = {"-dev",     "-dbg",  "-doc", "-test",
                                        "-example", "-venv", "idle"};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strstr(name, parts[i]))
            return true;
    return false;
}

static bool has_prefix(const char *path, const char *const *prefixes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (text_starts(path, prefixes[i]))
            return true;
    return false;
}

static bool skip_file(const char *path)
{
    static const char *const programs[] = {
        "/bin/",  "/sbin/",       "/usr/bin/", "/usr/sbin/",        "/usr/games/",
        "/boot/", "/etc/init.d/", "/etc/cron", "/etc/alternatives", "/var/"};
    static const char *const libraries[] = {"/lib/", "/usr/lib/", "/lib/x86_64-linux-gnu/",
                                            "/usr/lib/x86_64-linux-gnu/", "/lib64/"};

    if (!package_keep(path) || has_prefix(path, programs, sizeof(programs) / sizeof(programs[0])))
        return true;
    if (!strstr(path, ".so"))
        return false;
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
        if (text_starts(path, libraries[i]) && !strchr(path + strlen(libraries[i]), '/'))
            return true;
    return false;
}

/* Compiled Python modules belong to no package, but a start without them is slow:
 * /usr/lib/python3.11/x.py is also __pycache__/x.cpython-311.pyc. */
static void add_compiled(struct tree *tree, const char *path)
{
    static const char folder[] = "/usr/lib/python3.";
    const char *slash = strrchr(path, '/');
    char *compiled;
    int minor;

    if (!text_starts(path, folder) || !text_ends(path, ".py"))
        return;
    minor = atoi(path + strlen(folder));
    compiled = text("%.*s/__pycache__/%.*s.cpython-3%d.pyc", (int)(slash - path), path,
                    (int)(strlen(slash) - 4), slash + 1, minor);
    if (file_exists(compiled))
        tree_copy(tree, "", compiled);
    free(compiled);
}

static bool add_package(struct tree *tree, const char *name)
{
    struct bytes bytes = {0};
    struct list lines = {0};
    bool any = false;

    if (!file_read(text(DPKG "/info/%s.list", name), &bytes) &&
        !file_read(text(DPKG "/info/%s:amd64.list", name), &bytes))
        return false;
    list_split(&lines, bytes.data, "\n");
    for (size_t i = 0; i < lines.count; i++) {
        const char *path = lines.items[i];
        struct stat st;

        if (strcmp(path, "/.") == 0 || skip_file(path) || lstat(path, &st) < 0 ||
            S_ISDIR(st.st_mode) || access(path, R_OK) < 0)
            continue;
        tree_copy(tree, "", path);
        add_compiled(tree, path);
        any = true;
    }
    return any;
}

/* Is the package one of the owner's family: built from the same source, with something to run or
 * to load in it? */
static bool is_family(const struct stanza *item, const struct stanza *owner)
{
    if (item == owner)
        return true;
    return !is_plumbing(owner->name) && strcmp(item->source, owner->source) == 0 &&
           !is_extra(item->name);
}

bool dpkg_family(const char *package, struct list *names)
{
    struct database db = {0};
    struct stanza *owner;

    if (!database_read(&db) || !(owner = find_package(&db, package)))
        return false;
    for (size_t i = 0; i < db.count; i++)
        if (is_family(&db.items[i], owner) && !list_has(names, db.items[i].name))
            list_add(names, db.items[i].name);
    return true;
}

bool dpkg_add_data(struct tree *tree, const char *package)
{
    struct database db = {0};
    struct stanza *owner;
    bool any = false;

    if (!database_read(&db) || !(owner = find_package(&db, package)))
        return false;
    for (size_t i = 0; i < db.count; i++)
        if (is_family(&db.items[i], owner))
            take(&db, db.items[i].name);
    for (size_t i = 0; i < db.count; i++)
        if (db.items[i].taken)
            any |= add_package(tree, db.items[i].name);
    return any;
}
