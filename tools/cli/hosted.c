/* SPDX-License-Identifier: BSD-3-Clause */
/* hosted.c - starting the kernel as a process: it simply takes this one's place, so that streams,
 * terminal, signals and exit status need no help. With --gdb the debugger does. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

static void add(struct list *words, const char *option, const char *value)
{
    if (!value)
        return;
    list_add(words, option);
    list_add(words, value);
}

static void sim_words(const struct run_options *options, struct list *words)
{
    add(words, "--sim", options->sim);
    add(words, "--sim-trace", options->sim_trace);
    add(words, "--sim-replay", options->sim_replay);
    add(words, "--sim-link", options->sim_link);
    /* At an event that never comes: the knob says that a debugger is there (hosted/sim_spin.c). */
    if (options->gdb && (options->sim || options->sim_replay))
        add(words, "--sim-set", text("stop=%ju", (uintmax_t)UINT64_MAX));
    for (size_t i = 0; i < options->sim_set.count; i++)
        add(words, "--sim-set", options->sim_set.items[i]);
    /* From `selkie explore`: unlike --verbose this changes nothing in the kernel. */
    if ((options->verbose || getenv("SELKIE_SIM_REPORT")) && (options->sim || options->sim_replay))
        list_add(words, "--sim-report");
}

void hosted_start(struct run_options *options, const struct image *image)
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
    add(&words, "--command", options->command);
    add(&words, "--core", options->core);
    net_hosted_words(options, &words);
    list_add(&words, "--cmdline");
    list_add(&words, cmdline_make(options, "", image->program));
    sim_words(options, &words);
    execvp(words.items[0], words.items);
    fail(EXIT_TOOL, "%s: %s", words.items[0],
         errno == E2BIG ? "the program's arguments are too long" : strerror(errno));
}
