/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unpack.c - `selkie unpack`: the tree that `selkie run --package` would take its files from, for
 * those who want to look at it or to build against it. The tree lies in the cache and is shared.
 */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "run.h"

struct unpack_options {
    const char *arch;
    struct list packages;
};

static error_t unpack_key(int key, char *word, struct argp_state *state)
{
    struct unpack_options *options = state->input;

    switch (key) {
    case 'a':
        if (strcmp(word, "amd64") != 0 && strcmp(word, "arm64") != 0)
            fail(EXIT_TOOL, "--arch %s: amd64 or arm64", word);
        options->arch = word;
        return 0;
    case ARGP_KEY_ARG:
        list_add(&options->packages, word);
        return 0;
    case ARGP_KEY_NO_ARGS:
        fail(EXIT_TOOL, "the name of a Debian package is missing; see selkie unpack --help");
    default:
        return command_key_default(key, state);
    }
}

int command_unpack(int argc, char **argv)
{
    static const struct argp_option keys[] = {
        {.name = "arch", .key = 'a', .arg = "ARCH", .doc = "amd64 (default) or arm64"},
        {0},
    };
    static const struct argp argp = {
        .options = keys,
        .parser = unpack_key,
        .args_doc = "PACKAGE...",
        .doc = "Fetch Debian packages and what they depend on, unpack them into the cache and print"
               " the folder. Nothing is installed.\v"
               "Example: ls $(selkie unpack --arch arm64 musl-dev)/usr/include",
    };
    struct unpack_options options = {.arch = "amd64"};

    command_parse(&argp, argc, argv, &options);
    puts(packages_tree(&options.packages, options.arch));
    return 0;
}
