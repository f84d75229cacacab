/* SPDX-License-Identifier: BSD-3-Clause */
/* run.c - `selkie run` from checked options to a started kernel. */
#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const backend_names[BACKEND_COUNT] = {"hosted", "x64", "aarch64"};

#define MEMORY_DEFAULT (1ull << 30)
#define MEMORY_LEAST (2ull << 20)
#define QEMU_DTB (5ull << 18)

/* What is needed beside the image. A little less may do for the kernel, and where it does not, the
 * kernel says so; this is for a line that says what would be enough. On aarch64 QEMU puts the image
 * behind the first half of the memory (but at 128 MiB at most), and its device tree behind that. */
static uint64_t memory_own(const struct run_options *options)
{
    uint64_t half = options->memory / 2;

    if (options->backend != BACKEND_AARCH64)
        return 2 << 20;
    return (half < (128 << 20) ? half : 128 << 20) + QEMU_DTB;
}

void run_check_memory(const struct run_options *options, uint64_t image_bytes)
{
    uint64_t own = memory_own(options), least = image_bytes + own;

    if (options->memory >= least)
        return;
    if (options->memory < MEMORY_LEAST)
        fail(EXIT_TOOL, "--memory %s: too little: the kernel itself needs %llu MiB",
             options->memory_text, MEMORY_LEAST >> 20);
    fail(EXIT_TOOL, "%s: its image of %ju MiB does not fit into --memory %s", options->argv[0],
         (uintmax_t)(image_bytes + (1 << 20) - 1) >> 20,
         options->memory_text ? options->memory_text : "1G (the default)");
}

struct image run_prepare(struct run_options *options)
{
    struct image image;

    if (!options->memory_text)
        options->memory = MEMORY_DEFAULT;
    if (options->memory < MEMORY_LEAST)
        run_check_memory(options, 0);
    if (options->cpus == 0)
        options->cpus = 1;
    image = image_get(options);
    run_check_memory(options, image.size);
    return image;
}

void run_main(struct run_options *options)
{
    struct image image = run_prepare(options);

    if (options->backend == BACKEND_HOSTED)
        hosted_start(options, &image);
    qemu_start(options, &image);
}
