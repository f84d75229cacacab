/* SPDX-License-Identifier: BSD-3-Clause */
/* hosted.c - starting the kernel as a process: it simply takes this one's place, so that streams,
 * terminal, signals and exit status need no help. With --gdb the debugger does. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

void hosted_start(const struct run_options *options, const struct image *image)
{
    char *kernel = build_kernel(options);
    struct list words = {0};

    if (options->gdb) {
        build_packages("gdb");
        list_add(&words, "gdb");
        list_add(&words, "-q");
        list_add(&words, "-x");
        list_add(&words, text("%s/tools/gdb/hosted.gdb", top_dir()));
        list_add(&words, "--args");
    }
    list_add(&words, kernel);
    list_add(&words, "--memory");
    list_add(&words, text("%ju", (uintmax_t)options->memory));
    list_add(&words, "--cpus");
    list_add(&words, text("%u", options->cpus));
    list_add(&words, "--initrd");
    list_add(&words, image->path);
    list_add(&words, "--log-fd");
    list_add(&words, "2");
    list_add(&words, "--cmdline");
    list_add(&words, cmdline_make(options, "", image->program));
    execvp(words.items[0], words.items);
    fail(EXIT_TOOL, "%s: %s", words.items[0],
         errno == E2BIG ? "the program's arguments are too long" : strerror(errno));
}
