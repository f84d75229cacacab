/* SPDX-License-Identifier: BSD-3-Clause */
/* run.c - `selkie run` from checked options to a started kernel. */
#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const backend_names[BACKEND_COUNT] = {"hosted", "x64", "aarch64"};

#define MEMORY_DEFAULT (1ull << 30)
#define MEMORY_OWN \
    (6ull << 20) /* what the kernel and a small program's stack and data need at least */

void run_check_memory(const struct run_options *options, uint64_t image_bytes)
{
    uint64_t least = image_bytes + MEMORY_OWN;

    if (options->memory >= least)
        return;
    if (options->memory < MEMORY_OWN + (1 << 20))
        fail(EXIT_TOOL, "--memory %s: too little: the kernel itself needs %ju MiB",
             options->memory_text, (uintmax_t)(MEMORY_OWN + (1 << 20)) >> 20);
    fail(EXIT_TOOL, "%s: its image of %ju MiB does not fit into --memory %s", options->argv[0],
         (uintmax_t)(image_bytes + (1 << 20) - 1) >> 20,
         options->memory_text ? options->memory_text : "1G (the default)");
}

void run_main(struct run_options *options)
{
    struct image image;

    if (!options->memory_text)
        options->memory = MEMORY_DEFAULT;
    if (options->memory < MEMORY_OWN)
        run_check_memory(options, 0);
    if (options->cpus == 0)
        options->cpus = 1;
    image = image_get(options);
    run_check_memory(options, image.size);
    if (options->backend == BACKEND_HOSTED)
        hosted_start(options, &image);
    qemu_start(options, &image);
}
