/* SPDX-License-Identifier: BSD-3-Clause */
/* main.c - the selkie command: which subcommand. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "run.h"

static int command_run(int argc, char **argv)
{
    struct run_options options = {0};

    run_parse(argc, argv, &options);
    run_main(&options);
}

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"run", command_run, "run a Linux program inside Selkie"},
    {"test", command_test, "run the tests"},
    {"fuzz", command_fuzz, "feed the kernel with inputs made to break it"},
    {"bench", command_bench, "measure speed and size against peers"},
    {"explore", command_explore, "search the orders of events for one in which a program fails"},
    {"sim", command_sim, "run several simulated machines on one virtual clock"},
    {"chaos", command_chaos, "run a program while memory, devices and CPUs fail it"},
    {"sim-diff", command_sim_diff, "show where two traces of simulated runs part"},
    {"core", command_core, "look at a core file of the kernel with gdb"},
    {"doctor", command_doctor, "say what this host can run, and what to do about the rest"},
    {"unpack", command_unpack, "unpack Debian packages into the cache and print where"},
};

static void usage(FILE *out)
{
    fputs("Usage: selkie COMMAND [OPTION...]\n\n"
          "One kernel, three backends: unmodified Linux programs as a process and as a VM.\n\n"
          "Commands:\n",
          out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`selkie COMMAND --help` says more.\n\nExamples:\n"
          "  selkie run /bin/echo hello            in a process\n"
          "  selkie run --on x64 /bin/echo hello   in a virtual machine\n"
          "  selkie test --quick                   the tests that take a few minutes\n",
          out);
}

/* Standard streams that are closed would be given to the first files that are opened. */
static void open_streams(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
            exit(EXIT_TOOL);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    open_streams();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        usage(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0) {
        printf("selkie %s\n", SELKIE_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        argv[1] = text("selkie %s", name); /* argp's name for itself in messages */
        return commands[i].run(argc - 1, argv + 1);
    }
    if (*name)
        fail(EXIT_TOOL, "%s: unknown command; see selkie --help", name);
    usage(stderr);
    return EXIT_TOOL;
}
