/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packages.c - Debian packages for the guest, of any architecture, without touching the host's own.
 *
 * apt resolves and downloads into a private root under the cache: its own package lists, its own
 * archive folder, and an empty dpkg status, so that a package's whole dependency closure is
 * fetched. Sources, keys and proxies are the host's. The packages are unpacked (their maintainer
 * scripts do not run) into one tree for each set of names.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "run.h"

#define LISTS_OLD_SECONDS (14 * 24 * 60 * 60) /* package lists are fetched again when older */

struct apt {
    const char *arch;
    char *folder; /* the private root */
    struct list words;
    int log; /* where apt's chatter goes */
    char *log_path;
};

static void apt_open(struct apt *apt, const char *arch)
{
    apt->arch = arch;
    apt->folder = text("%s/apt-%s", cache_dir(), arch);
    make_dirs(text("%s/state/lists/partial", apt->folder));
    make_dirs(text("%s/cache/archives/partial", apt->folder));
    make_dirs(text("%s/cache/nothing/partial", apt->folder));
    apt->log_path = text("%s/log", apt->folder);
    apt->log = open(apt->log_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (apt->log < 0 || flock(apt->log, LOCK_EX) < 0)
        fail(EXIT_TOOL, "%s: %s", apt->log_path, strerror(errno));
    if (ftruncate(apt->log, 0) < 0)
        fail(EXIT_TOOL, "%s: %s", apt->log_path, strerror(errno));
    if (!file_write(text("%s/status", apt->folder), "", 0))
        fail(EXIT_TOOL, "%s/status: %s", apt->folder, strerror(errno));
}

static void apt_command(struct apt *apt, const char *command)
{
    apt->words = (struct list){0};
    /* apt-get download puts archives where it stands; all others do not care where that is. */
    list_add(&apt->words, "env");
    list_add(&apt->words, "-C");
    list_add(&apt->words, text("%s/cache/archives", apt->folder));
    list_add(&apt->words, "apt-get");
    list_add(&apt->words, "-qq");
    list_add(&apt->words, "-y");
    const char *settings[] = {
        text("APT::Architecture=%s", apt->arch),
        text("APT::Architectures::=%s", apt->arch),
        text("Dir::State=%s/state", apt->folder),
        text("Dir::State::status=%s/status", apt->folder),
        text("Dir::Cache=%s/cache", apt->folder),
        "Dir::Cache::archives=archives",
        "Debug::NoLocking=1",
        "APT::Sandbox::User=root",
        "APT::Install-Recommends=0",
        "APT::Install-Suggests=0",
        "Acquire::Languages=none",
        "Acquire::Retries=3",
    };
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        list_add(&apt->words, "-o");
        list_add(&apt->words, settings[i]);
    }
    list_add(&apt->words, command);
}

/* Run what apt_command and list_add have put together; false with a line of the log otherwise. */
static int apt_run(struct apt *apt, struct bytes *out)
{
    return run_quiet((const char *const *)apt->words.items, out, apt->log);
}

static const char *apt_reason(struct apt *apt)
{
    struct bytes bytes = {0};
    struct list lines = {0};

    file_read(apt->log_path, &bytes);
    list_split(&lines, bytes.data ? bytes.data : "", "\n");
    for (size_t i = lines.count; i-- > 0;)
        if (text_starts(lines.items[i], "E: "))
            return lines.items[i] + 3;
    return "apt-get failed";
}

static void apt_update(struct apt *apt)
{
    char *stamp = text("%s/state/updated", apt->folder);
    struct stat st;

    if (stat(stamp, &st) == 0 && time(NULL) - st.st_mtime < LISTS_OLD_SECONDS)
        return;
    say("fetching the package lists for %s", apt->arch);
    apt_command(apt, "update");
    if (apt_run(apt, NULL) != 0)
        fail(EXIT_TOOL, "package lists for %s: %s", apt->arch, apt_reason(apt));
    file_write(stamp, "", 0);
}

/* The file name apt gives an archive, from a line of --print-uris: 'URI' NAME SIZE HASH. */
static void apt_plan(struct apt *apt, const struct list *packages, struct list *files)
{
    struct bytes out = {0};
    struct list lines = {0};

    apt_command(apt, "install");
    /* What is in the archive folder already would not be listed: show apt an empty one. */
    list_add(&apt->words, "-o");
    list_add(&apt->words, "Dir::Cache::archives=nothing");
    list_add(&apt->words, "--print-uris");
    for (size_t i = 0; i < packages->count; i++)
        list_add(&apt->words, packages->items[i]);
    if (apt_run(apt, &out) != 0)
        fail(EXIT_TOOL, "--package: %s", apt_reason(apt));
    list_split(&lines, out.data ? out.data : "", "\n");
    for (size_t i = 0; i < lines.count; i++) {
        struct list words = {0};

        list_split(&words, lines.items[i], " ");
        if (words.count >= 3 && text_ends(words.items[1], ".deb"))
            list_add(files, words.items[1]);
    }
}

static void apt_download(struct apt *apt, const struct list *packages, size_t count, bool only)
{
    struct bytes names = {0};

    for (size_t i = 0; i < packages->count; i++)
        bytes_print(&names, " %s", packages->items[i]);
    if (only)
        say("fetching%s", names.data);
    else
        say("fetching%s and what it depends on: %zu %s packages", names.data, count, apt->arch);
    apt_command(apt, only ? "download" : "install");
    if (!only)
        list_add(&apt->words, "--download-only");
    for (size_t i = 0; i < packages->count; i++)
        list_add(&apt->words, packages->items[i]);
    if (apt_run(apt, NULL) != 0)
        fail(EXIT_TOOL, "--package: %s", apt_reason(apt));
}

/* Already downloaded? apt keeps archives under the names that --print-uris gives (URI-escaped). */
static bool archives_there(struct apt *apt, const struct list *files)
{
    for (size_t i = 0; i < files->count; i++)
        if (!file_exists(text("%s/cache/archives/%s", apt->folder, files->items[i])))
            return false;
    return true;
}

static void unpack(struct apt *apt, const struct list *files, const char *folder)
{
    remove_tree(folder);
    make_dirs(folder);
    for (size_t i = 0; i < files->count; i++) {
        char *deb = text("%s/cache/archives/%s", apt->folder, files->items[i]);
        const char *const argv[] = {"dpkg-deb", "-x", deb, folder, NULL};

        if (run_quiet(argv, NULL, apt->log) != 0)
            fail(EXIT_TOOL, "%s: cannot be unpacked (see %s)", deb, apt->log_path);
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check_name(const char *name)
{
    if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.:") != strlen(name) ||
        name[0] == '-')
        fail(EXIT_TOOL, "--package %s: not the name of a Debian package", name);
}

/* Archives that the names stand for; with a prefix only those of packages whose name begins so
 * (what the names depend on is then left out). */
static void apt_archives(struct apt *apt, struct list *names, const char *prefix,
                         struct list *files)
{
    struct list all = {0};

    apt_plan(apt, names, &all);
    if (prefix)
        *names = (struct list){0};
    for (size_t i = 0; i < all.count; i++) {
        if (prefix && !text_starts(all.items[i], prefix))
            continue;
        list_add(files, all.items[i]);
        if (prefix)
            list_add(names, text("%.*s", (int)strcspn(all.items[i], "_"), all.items[i]));
    }
}

/* The tree of these packages, fetched and unpacked if it is not there. */
static const char *tree_of(struct list *names, const char *prefix, const char *arch)
{
    uint64_t hash = HASH_START;
    struct list files = {0};
    struct apt apt;
    char *folder, *stamp;

    qsort(names->items, names->count, sizeof(*names->items), compare_names);
    for (size_t i = 0; i < names->count; i++)
        hash = hash_text(hash, names->items[i]);
    if (prefix)
        hash = hash_text(hash_text(hash, "only"), prefix);
    folder = text("%s/packages/%s-%016jx", cache_dir(), arch, (uintmax_t)hash);
    stamp = text("%s.stamp", folder);
    if (file_exists(stamp))
        return folder;

    apt_open(&apt, arch);
    if (!file_exists(stamp)) { /* nobody made it while we waited for the lock */
        apt_update(&apt);
        apt_archives(&apt, names, prefix, &files);
        if (!archives_there(&apt, &files))
            apt_download(&apt, names, files.count, prefix != NULL);
        unpack(&apt, &files, folder);
        if (!file_write(stamp, "", 0))
            fail(EXIT_TOOL, "%s: %s", stamp, strerror(errno));
    }
    close(apt.log);
    return folder;
}

const char *packages_tree(const struct list *packages, const char *arch)
{
    struct list names = {0};

    for (size_t i = 0; i < packages->count; i++) {
        check_name(packages->items[i]);
        if (!list_has(&names, packages->items[i]))
            list_add(&names, packages->items[i]);
    }
    return tree_of(&names, NULL, arch);
}

const char *packages_one(const char *package, const char *prefix, const char *arch)
{
    struct list names = {0};

    list_add(&names, package);
    return tree_of(&names, prefix, arch);
}

bool package_keep(const char *path)
{
    static const char *const folders[] = {
        "/usr/share/doc",           "/usr/share/man",     "/usr/share/info",
        "/usr/share/locale",        "/usr/share/lintian", "/usr/share/bug",
        "/usr/share/doc-base",      "/usr/share/menu",    "/usr/share/applications",
        "/usr/share/pixmaps",       "/usr/include",       "/usr/share/bash-completion",
        "/usr/share/debconf",       "/usr/share/icons",   "/usr/share/common-licenses",
        "/usr/share/zsh",           "/usr/share/fish",    "/usr/lib/x86_64-linux-gnu/gconv",
        "/usr/share/perl5/Debconf", "/lib/systemd",       "/usr/lib/aarch64-linux-gnu/gconv",
        "/usr/lib/systemd",         "/var/lib/dpkg",
    };

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        size_t len = strlen(folders[i]);

        if (strncmp(path, folders[i], len) == 0 && (path[len] == 0 || path[len] == '/'))
            return false;
    }
    return !text_ends(path, ".a") && !text_ends(path, ".h");
}
