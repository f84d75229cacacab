/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * build.c - building what a command needs. tools/setup does the work; this part only decides, in
 * about a millisecond, whether there is any: a build is fresh if no source or folder of sources is
 * younger than the stamp that tools/setup left behind the last one.
 */
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "run.h"

static bool older(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static bool anything_newer(const char *const *names, const struct timespec *stamp)
{
    char *paths[16];
    size_t count = 0;
    bool newer = false;
    FTSENT *entry;
    FTS *walk;

    for (; names[count]; count++)
        paths[count] = text("%s/%s", top_dir(), names[count]);
    paths[count] = NULL;
    walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    while (walk && !newer && (entry = fts_read(walk)))
        if (entry->fts_info == FTS_F || entry->fts_info == FTS_D)
            newer = older(stamp, &entry->fts_statp->st_mtim);
    if (walk)
        fts_close(walk);
    return newer;
}

static bool build_fresh(const char *preset, const char *file)
{
    static const char *const kernel[] = {
        "CMakeLists.txt", "CMakePresets.json", "cmake", "kernel", "platform", "hosted", NULL};
    static const char *const fuzz[] = {
        "CMakeLists.txt", "CMakePresets.json", "cmake", "kernel", "platform", "unit", "fuzz", NULL};
    static const char *const tools[] = {
        "CMakeLists.txt",    "CMakePresets.json", "cmake/flags.cmake", "tools",
        "hosted/sim_wire.h", "unit/guest",        "unit/ladder",       NULL};
    const char *const *names = strcmp(preset, "tools") == 0 ? tools : kernel;
    struct stat stamp;

    if (stat(text("%s/build/%s/.stamp", top_dir(), preset), &stamp) < 0 || !file_exists(file))
        return false;
    if (strstr(file, "/fuzz/")) /* a target, of whatever preset */
        names = fuzz;
    return !anything_newer(names, &stamp.st_mtim);
}

static void setup(const char *action, const char *what, const char *file)
{
    const char *const argv[] = {text("%s/tools/setup", top_dir()), action, what, file, NULL};
    int status = run_quiet(argv, NULL, STDERR_FILENO);

    if (status != 0)
        exit(EXIT_TOOL); /* setup has said why */
}

char *build_need(const char *preset, const char *what)
{
    char *path = text("%s/build/%s/%s", top_dir(), preset, what);

    if (build_fresh(preset, path))
        return path;
    setup("build", preset, NULL);
    if (!file_exists(path))
        fail(EXIT_TOOL, "%s: the build did not make it", path);
    return path;
}

char *build_one(const char *preset, const char *what)
{
    setup("one", preset, what);
    return text("%s/build/%s/%s", top_dir(), preset, what);
}

void build_packages(const char *group)
{
    struct stat list, stamp;

    if (stat(text("%s/tools/packages.txt", top_dir()), &list) == 0 &&
        stat(text("%s/build/.packages-%s", top_dir(), group), &stamp) == 0 &&
        older(&list.st_mtim, &stamp.st_mtim))
        return;
    setup("packages", group, NULL);
}

char *build_preset(const struct run_options *options)
{
    if (options->build)
        return must_alloc(strdup(options->build));
    if (options->gdb)
        return text("%s-debug", backend_names[options->backend]);
    return must_alloc(strdup(backend_names[options->backend]));
}

char *build_kernel(const struct run_options *options)
{
    static const char *const files[BACKEND_COUNT] = {
        [BACKEND_HOSTED] = "selkie-hosted",
        [BACKEND_X64] = "selkie-x64.stripped",
        [BACKEND_AARCH64] = "selkie-aarch64.img",
    };

    if (getenv("SELKIE_KERNEL"))
        return getenv("SELKIE_KERNEL");
    if (options->backend != BACKEND_HOSTED)
        build_packages(backend_names[options->backend]);
    return build_need(build_preset(options), files[options->backend]);
}
