/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gather.c - from a program's name to all files it needs in the image.
 *
 * Files come from layers, in this order: trees of packages (--package), the folder of --root, and
 * the host - the last only where its architecture is the backend's. All but the host are packed as
 * a whole; of the host only what the program names: its interpreter, the closure of DT_NEEDED as
 * ld.so would search it, and, if the program belongs to an installed Debian package, that package's
 * data.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elfscan.h"
#include "gather.h"

#define INTERPRETER_DEPTH 4 /* as Linux for #! */

const char *backend_debian_arch(enum backend backend)
{
    return backend == BACKEND_AARCH64 ? "arm64" : "amd64";
}

unsigned backend_machine(enum backend backend)
{
    return backend == BACKEND_AARCH64 ? EM_AARCH64 : EM_X86_64;
}

/* The node a guest path leads to; a host file is brought in if the layers do not have it. */
const struct node *gather_find(struct gather *g, const char *path)
{
    const struct node *node = tree_resolve(g->tree, path);
    char *host;

    if (node || !g->host_ok)
        return node;
    host = realpath(path, NULL);
    if (!host)
        return NULL;
    list_add(g->inputs, path);
    free(host);
    host = tree_copy(g->tree, "", path);
    return host ? tree_resolve(g->tree, path) : NULL;
}

/* ---- the program and its interpreter ---- */

static void check_elf(struct gather *g, const char *host, const char *wrong,
                      const struct elf_info *info)
{
    unsigned machine = backend_machine(g->options->backend);

    if (info->machine && info->machine != machine)
        fail(EXIT_NOT_EXECUTABLE, "%s: is for %s, the backend %s runs %s programs", host,
             elf_machine_name(info->machine), backend_names[g->options->backend],
             elf_machine_name(machine));
    if (wrong)
        fail(EXIT_NOT_EXECUTABLE, "%s: %s", host, wrong);
    if (!info->executable)
        fail(EXIT_NOT_EXECUTABLE, "%s: is a shared library without an entry point", host);
}

static void gather_interpreter(struct gather *g, const struct node *program, const char *path)
{
    const struct node *node = gather_find(g, path);
    struct elf_info info;
    const char *wrong;

    if (!node || node->kind != NODE_FILE)
        fail(EXIT_NOT_EXECUTABLE, "%s: its interpreter %s is not there", program->source, path);
    wrong = elf_scan(node->source, &info);
    if (wrong)
        fail(EXIT_NOT_EXECUTABLE, "%s: its interpreter %s: %s", program->source, path, wrong);
    if (info.interpreter)
        fail(EXIT_NOT_EXECUTABLE, "%s: its interpreter %s asks for an interpreter itself (%s)",
             program->source, path, info.interpreter);
    check_elf(g, node->source, NULL, &info);
    closure_start(g, node);
}

static void gather_elf(struct gather *g, const struct node *program)
{
    struct elf_info info;
    const char *wrong = elf_scan(program->source, &info);

    check_elf(g, program->source, wrong, &info);
    if (info.interpreter)
        gather_interpreter(g, program, info.interpreter);
    else
        return; /* static programs need nothing, whatever their dynamic section says */
    closure_program(g, program);
}

/* ---- data that belongs to the program ---- */

struct plugins {
    struct gather *gather;
    struct list paths;
};

static void plugin_note(const struct node *node, void *arg)
{
    struct plugins *plugins = arg;

    if (node->kind == NODE_FILE && strstr(node->path, ".so"))
        list_add(&plugins->paths, node->path);
}

/* Installed data of the package that the program belongs to. */
static void gather_data(struct gather *g, const struct node *program)
{
    struct plugins plugins = {g, {0}};
    char *real = realpath(program->source, NULL);
    char *package = real ? dpkg_owner(real) : NULL;

    if (!package)
        return;
    list_add(g->inputs, "/var/lib/dpkg/status");
    if (!dpkg_add_data(g->tree, package))
        return;
    tree_each(g->tree, plugin_note, &plugins);
    for (size_t i = 0; i < plugins.paths.count; i++)
        closure_plugin(g, tree_find(g->tree, plugins.paths.items[i]));
    /* Interpreters set their locale to C.UTF-8 if it is there. */
    if (file_exists("/usr/lib/locale/C.utf8"))
        tree_copy_all(g->tree, "", "/usr/lib/locale/C.utf8", NULL);
}

/* ---- the program ---- */

/* Maintainer scripts do not run when packages are unpacked, so alternatives are not set: convert is
 * only there as convert-im6.q16. If just one file begins so, it is meant. */
struct alternative {
    char *prefix, *found;
    unsigned count;
};

static void alternative_visit(const struct node *node, void *arg)
{
    struct alternative *alternative = arg;
    size_t len = strlen(alternative->prefix);

    if (node->kind == NODE_DIR || strncmp(node->path, alternative->prefix, len) != 0)
        return;
    if ((node->path[len] != '-' && node->path[len] != '.') || strchr(node->path + len, '/'))
        return;
    alternative->found = node->path;
    alternative->count++;
}

static char *alternative_find(struct gather *g, const char *path)
{
    struct alternative alternative = {.prefix = must_alloc(strdup(path))};

    tree_each(g->tree, alternative_visit, &alternative);
    if (alternative.count != 1)
        return NULL;
    tree_link(g->tree, path, alternative.found);
    return alternative.prefix;
}

/* Where a bare name lies: layers first, then the host, there first where distributions put things
 * (a name in PATH is often a wrapper of some version manager). */
static char *program_search(struct gather *g, const char *name)
{
    const char *guest = env_value(g->options, "PATH"), *host = getenv("PATH");
    const char *paths[] = {guest ? guest : GUEST_PATH, GUEST_PATH, host ? host : ""};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct list dirs = {0};

        list_split(&dirs, paths[i], ":");
        for (size_t k = 0; k < dirs.count; k++) {
            char *path = path_clean("/", text("%s/%s", dirs.items[k], name));
            const struct node *node = tree_resolve(g->tree, path);

            if (node && node->kind == NODE_FILE)
                return path;
            if (i > 0 && g->host_ok && access(path, X_OK) == 0) {
                struct stat st;

                if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
                    return path;
            }
        }
    }
    return NULL;
}

static const struct node *program_on_host(struct gather *g, const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        fail(errno == EACCES ? EXIT_NOT_EXECUTABLE : EXIT_NOT_FOUND, "%s: %s", path,
             errno == ENOENT ? "not found" : strerror(errno));
    if (S_ISDIR(st.st_mode))
        fail(EXIT_NOT_EXECUTABLE, "%s: is a directory", path);
    if (!S_ISREG(st.st_mode))
        fail(EXIT_NOT_EXECUTABLE, "%s: not a regular file", path);
    if (access(path, R_OK) < 0)
        fail(EXIT_NOT_EXECUTABLE, "%s: cannot be read: %s", path, strerror(errno));
    if (!(st.st_mode & 0111))
        fail(EXIT_NOT_EXECUTABLE, "%s: is not executable (chmod +x)", path);
    list_add(g->inputs, path);
    if (!tree_copy(g->tree, "", path))
        fail(EXIT_NOT_FOUND, "%s: not found", path);
    return tree_resolve(g->tree, path);
}

/* The interpreter line of a script, split as Linux does: path, at most one argument. */
static bool script_line(const char *host, struct list *words)
{
    char line[256] = {0};
    FILE *file = fopen(host, "re");
    size_t n = file ? fread(line, 1, sizeof(line) - 1, file) : 0;

    if (file)
        fclose(file);
    if (n < 2 || line[0] != '#' || line[1] != '!')
        return false;
    line[strcspn(line, "\n")] = 0;
    list_split(words, line + 2, " \t\r");
    return words->count > 0;
}

/* What "#!/usr/bin/env ..." starts: the first word that is neither an option nor a variable. */
static const char *env_program(const struct list *words)
{
    for (size_t i = 1; i < words->count; i++)
        if (words->items[i][0] != '-' && !strchr(words->items[i], '='))
            return words->items[i];
    return NULL;
}

static void gather_program(struct gather *g, const struct node *program, int depth)
{
    struct list words = {0};

    if (program->kind != NODE_FILE)
        fail(EXIT_NOT_EXECUTABLE, "%s: not a regular file", program->path);
    if (script_line(program->source, &words)) {
        char *name = words.items[0];
        const struct node *interpreter;

        if (depth >= INTERPRETER_DEPTH)
            fail(EXIT_NOT_EXECUTABLE, "%s: a loop of interpreters", program->source);
        interpreter = gather_find(g, name);
        if (!interpreter)
            fail(EXIT_NOT_EXECUTABLE, "%s: its interpreter %s is not there", program->source, name);
        gather_program(g, interpreter, depth + 1);
        if (text_ends(name, "/env") && env_program(&words)) {
            char *path = program_search(g, env_program(&words));

            interpreter = path ? gather_find(g, path) : NULL;
            if (interpreter)
                gather_program(g, interpreter, depth + 1);
        }
        return;
    }
    gather_elf(g, program);
    if (g->host_ok && !g->options->root && g->options->packages.count == 0)
        gather_data(g, program);
}

/* Not for this architecture, but a Debian package here: the same package from the archive. */
static bool foreign_package(struct gather *g, const char *host, struct list *packages)
{
    char *real = realpath(host, NULL), *package;
    struct elf_info info;

    if (!real || elf_scan(real, &info) || info.machine == backend_machine(g->options->backend))
        return false;
    package = dpkg_owner(real);
    if (!package)
        return false;
    dpkg_family(package, packages);
    say("%s: taking the %s package %s for it", host, backend_debian_arch(g->options->backend),
        package);
    /* The name may be a link that another package brings (python3 to python3.11). */
    package = strcmp(host, real) != 0 ? dpkg_owner(host) : NULL;
    if (package && !list_has(packages, package))
        list_add(packages, package);
    return true;
}

/* The path with every name of the host's architecture made the backend's:
 * /usr/lib/jvm/java-17-openjdk-amd64/bin/java lies in java-17-openjdk-arm64 there. */
static char *foreign_name(const char *path)
{
    static const char *const names[][2] = {{"x86_64", "aarch64"}, {"amd64", "arm64"}};
    struct bytes out = {0};

    while (*path) {
        size_t skip = 0;

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (text_starts(path, names[i][0])) {
                bytes_print(&out, "%s", names[i][1]);
                skip = strlen(names[i][0]);
            }
        if (skip == 0)
            bytes_add(&out, path, skip = 1);
        path += skip;
    }
    return out.data;
}

/* A path of this host in the tree of a foreign package: there links of alternatives are not set,
 * and /usr is not merged. */
static char *foreign_path(struct gather *g, const char *path)
{
    char *host = realpath(path, NULL), *real = host ? foreign_name(host) : NULL;

    if (real && tree_resolve(g->tree, real))
        return real;
    if (real && text_starts(real, "/usr/") && tree_resolve(g->tree, real + strlen("/usr")))
        return real + strlen("/usr");
    return NULL;
}

/* `foreign` is where a bare name lies on the host, if its files are of no use. */
static char *gather_path(struct gather *g, const char *foreign)
{
    const char *name = g->options->argv[0];
    char *path = NULL;
    char *cwd = getcwd(NULL, 0);

    if (strchr(name, '/')) {
        if (name[0] != '/' && g->options->cwd) { /* brought there by --file */
            path = path_clean(g->options->cwd, name);
            if (tree_resolve(g->tree, path))
                return path;
        }
        path = path_clean(cwd ? cwd : "/", name);
        if (name[0] == '/' && tree_resolve(g->tree, path))
            return path;
        if (!g->host_ok && foreign_path(g, path))
            return foreign_path(g, path);
        program_on_host(g, path);
        return path;
    }
    path = program_search(g, name);
    if (!path && foreign)
        path = foreign_path(g, foreign);
    if (!path)
        path = alternative_find(g, text("/usr/bin/%s", name));
    if (!path)
        fail(EXIT_NOT_FOUND, "%s: not found%s", name,
             g->options->packages.count || g->options->root
                 ? " in the packages, --root or PATH"
                 : " in PATH (name its Debian package with --package?)");
    if (!tree_resolve(g->tree, path))
        program_on_host(g, path);
    return path;
}

/* ---- the rest of the image ---- */

static void base_text(struct tree *tree, const char *path, const char *content)
{
    if (!tree_resolve(tree, path))
        tree_text(tree, path, content, 0644);
}

static void gather_base(struct tree *tree, const char *hosts)
{
    static const char *const dirs[] = {"/dev", "/proc", "/sys", "/root", "/etc", "/run"};

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        tree_dir(tree, dirs[i]);
    tree_dir_like(tree, "/tmp", &(struct stat){.st_mode = S_IFDIR | 01777});
    tree_dir_like(tree, "/var/tmp", &(struct stat){.st_mode = S_IFDIR | 01777});
    if (!tree_resolve(tree, "/var/run"))
        tree_link(tree, "/var/run", "/run");
    /* With the users that nginx's and tcpdump's packages have them change to. */
    base_text(tree, "/etc/passwd",
              "root:x:0:0:root:/root:/bin/sh\n"
              "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
              "tcpdump:x:100:100::/nonexistent:/usr/sbin/nologin\n"
              "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n");
    base_text(tree, "/etc/group",
              "root:x:0:\ntty:x:5:\nwww-data:x:33:\ntcpdump:x:100:\nnogroup:x:65534:\n");
    base_text(tree, "/etc/hosts",
              text("127.0.0.1 localhost selkie\n::1 localhost\n%s", hosts ? hosts : ""));
    base_text(tree, "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
    base_text(tree, "/etc/resolv.conf", "");
    base_text(tree, "/etc/hostname", "selkie\n");
}

/* Folders that are being taken, by their real names. */
struct taking {
    const struct taking *outer;
    const char *real;
};

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == 0);
}

static void add_host_dir(struct gather *g, const char *host, const char *guest,
                         const struct taking *outer);

/* A link stays one if it leads into what is taken, or nowhere; otherwise what it leads to is taken
 * in its place. */
static void add_host_link(struct gather *g, const char *host, const char *guest,
                          const struct taking *outer)
{
    char target[PATH_MAX], *real = realpath(host, NULL);
    ssize_t len = readlink(host, target, sizeof(target) - 1);
    bool inside = real == NULL;
    struct stat st;

    for (const struct taking *at = outer; at && !inside; at = at->outer)
        inside = is_below(real, at->real) || is_below(at->real, real);
    if (len < 0)
        fail(EXIT_TOOL, "%s: %s", host, strerror(errno));
    target[len] = 0;
    if (inside)
        tree_link(g->tree, guest, target);
    else if (stat(real, &st) == 0 && S_ISDIR(st.st_mode))
        add_host_dir(g, real, guest, outer);
    else if (stat(real, &st) == 0 && S_ISREG(st.st_mode))
        tree_file(g->tree, guest, real);
    list_add(g->inputs, host);
}

static void add_host_entry(struct gather *g, const char *host, const char *guest,
                           const struct taking *outer)
{
    struct stat st;

    if (lstat(host, &st) < 0)
        return; /* gone since the folder was read */
    if (S_ISLNK(st.st_mode)) {
        add_host_link(g, host, guest, outer);
    } else if (S_ISDIR(st.st_mode)) {
        add_host_dir(g, host, guest, outer);
    } else if (S_ISREG(st.st_mode)) {
        list_add(g->inputs, host);
        tree_file(g->tree, guest, host);
    }
}

static void add_host_dir(struct gather *g, const char *host, const char *guest,
                         const struct taking *outer)
{
    struct taking here = {outer, realpath(host, NULL)};
    struct dirent **names;
    int count = scandir(host, &names, NULL, alphasort);
    struct stat st;

    if (count < 0 || !here.real || stat(host, &st) < 0)
        fail(EXIT_TOOL, "%s: %s", host, strerror(errno));
    /* A folder of the user's: names change from run to run, so its own time is an input too. */
    list_add(g->inputs, host);
    tree_dir_like(g->tree, guest, &st);
    for (int i = 0; i < count; i++) {
        const char *name = names[i]->d_name;

        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
            add_host_entry(g, text("%s/%s", host, name),
                           text("%s/%s", strcmp(guest, "/") == 0 ? "" : guest, name), &here);
        free(names[i]);
    }
    free(names);
}

/* --file HOST[:GUEST]; a folder is taken with all that is in it. */
static void gather_file(struct gather *g, const char *option)
{
    const char *colon = strrchr(option, ':');
    char *host =
        colon ? must_alloc(strndup(option, (size_t)(colon - option))) : must_alloc(strdup(option));
    char *cwd = getcwd(NULL, 0);
    const char *guest = colon ? colon + 1 : path_clean(cwd ? cwd : "/", option);
    char *path = path_clean("/", guest);
    struct stat st;

    if (stat(host, &st) < 0)
        fail(EXIT_TOOL, "--file %s: %s: %s", option, host, strerror(errno));
    if (access(host, R_OK) < 0)
        fail(EXIT_TOOL, "--file %s: %s: cannot be read: %s", option, host, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        add_host_dir(g, host, path, NULL);
        return;
    }
    if (text_ends(guest, "/"))
        path = path_clean(path, strrchr(host, '/') ? strrchr(host, '/') + 1 : host);
    list_add(g->inputs, host);
    tree_file(g->tree, path, host);
}

static void gather_root(struct gather *g, const char *root)
{
    char *real = realpath(root, NULL);
    struct stat st;

    if (!real || stat(real, &st) < 0 || !S_ISDIR(st.st_mode))
        fail(EXIT_TOOL, "--root %s: not a folder", root);
    /* Its files may change without the folder's time changing: never cached. */
    list_add(g->inputs, "/proc/self/stat");
    tree_copy_all(g->tree, real, "/", NULL);
}

char *gather(const struct run_options *options, struct tree *tree, struct list *inputs)
{
    struct gather g = {.options = options, .tree = tree, .inputs = inputs};
    const char *arch = backend_debian_arch(options->backend);
    struct list packages = options->packages;
    char *program, *foreign = NULL;

    g.host_ok = options->backend != BACKEND_AARCH64;
    tree_dir(tree, "/");
    if (!g.host_ok) {
        struct gather probe = {.options = options, .tree = tree, .inputs = inputs, .host_ok = true};
        const char *name = options->argv[0];
        char *path = strchr(name, '/') ? must_alloc(strdup(name)) : program_search(&probe, name);
        bool known = packages.count > 0 || options->root;

        if (path && !known)
            known = foreign_package(&g, path, &packages);
        if (path && known && !strchr(name, '/'))
            foreign = path;
    }
    if (packages.count > 0) {
        const char *folder = packages_tree(&packages, arch);

        g.packages = folder;
        list_add(inputs, text("%s.stamp", folder));
        tree_copy_all(tree, folder, "/", package_keep);
    }
    if (options->root)
        gather_root(&g, options->root);
    for (size_t i = 0; i < options->files.count; i++)
        gather_file(&g, options->files.items[i]);
    program = gather_path(&g, foreign);
    gather_program(&g, tree_resolve(tree, program), 0);
    closure_end(&g);
    gather_base(tree, options->hosts);
    if (options->cwd)
        tree_dir(tree, path_clean("/", options->cwd));
    return program;
}
