/* SPDX-License-Identifier: BSD-3-Clause */
/* testbuild.c - see testbuild.h. */
#include "testbuild.h"

#include <string.h>

/* The preset is a build of this backend, and not the plain one. */
static bool build_of(const char *preset, const char *backend)
{
    size_t len = strlen(backend);

    return strncmp(preset, backend, len) == 0 && preset[len] == '-';
}

static bool named(const struct tests *tests, const char *name)
{
    for (size_t i = 0; i < tests->count; i++)
        if (strcmp(tests->items[i].name, name) == 0)
            return true;
    return false;
}

/* The test on this preset: a table's own, or its backend's plain one moved there. A test that the
 * table has for the preset anyhow does not come twice. */
static bool on_build(const struct tests *tests, struct test *test, const char *preset)
{
    if (!test->table)
        return false;
    if (test->build)
        return strcmp(test->build, preset) == 0;
    if (!build_of(preset, backend_names[test->backend]))
        return false;
    test->name = text("%.*s@%s", (int)strcspn(test->name, "@"), test->name, preset);
    if (named(tests, test->name))
        return false;
    test->build = test->needs = preset;
    /* Instrumented, and often with more virtual CPUs than the host has: limits end what hangs. */
    test->timeout_seconds *= 3;
    return true;
}

void tests_use_builds(struct tests *tests, const char *presets)
{
    struct list list = {0};
    struct tests all = *tests, kept = {0};

    list_split(&list, presets, ",");
    for (size_t p = 0; p < list.count; p++) {
        for (size_t i = 0; i < all.count; i++) {
            struct test test = all.items[i];

            if (on_build(&all, &test, list.items[p]))
                *tests_add(&kept, test.name, test.run) = test;
        }
    }
    *tests = kept;
}

void tests_use_coverage(struct tests *tests)
{
    size_t kept = 0;

    for (size_t i = 0; i < tests->count; i++) {
        struct test test = tests->items[i];

        if (test.table && (test.backend != BACKEND_HOSTED || test.build))
            continue;
        /* These take a third of the time, and go where the others have been. */
        if (text_starts(test.name, "python/") || text_starts(test.name, "runtime/"))
            continue;
        if (test.needs)
            test.needs = "hosted-cov";
        if (test.table)
            test.build = "hosted-cov";
        if (text_starts(test.name, "unit/"))
            test.words.items[0] = text("%s/build/hosted-cov/%s_test", top_dir(), test.name);
        if (text_starts(test.name, "fuzz/"))
            test.words.items[0] = text("%s/build/hosted-cov/%s_fuzz", top_dir(), test.name);
        tests->items[kept++] = test;
    }
    tests->count = kept;
}

void tests_use_cpus(struct tests *tests, unsigned cpus)
{
    for (size_t i = 0; i < tests->count; i++)
        tests->items[i].cpus = cpus;
}
