/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - selkie-hosted: the kernel as a Linux process. Command line and the order of set-up.
 *
 *   selkie-hosted --memory BYTES --cpus N --initrd FILE --cmdline STRING [--log-fd FD]
 *                 [--command STRING]
 *
 * The outer world (see shared.h): everything here may use libc. The main thread ends as the one
 * that waits for input and signals (host_io.c); the kernel runs on its virtual CPUs (host_vcpu.c).
 * Every failure is one line on standard error and status 125.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outer.h"

void host_fail(const char *fmt, ...)
{
    va_list ap;

    fputs("selkie-hosted: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(HOSTED_EXIT_FAILURE);
}

static const char usage[] =
    "usage: selkie-hosted --memory BYTES --cpus N --initrd FILE --cmdline STRING [--log-fd FD]\n"
    "\n"
    "Run the Selkie kernel as this process. `selkie run` prepares the archive and the command\n"
    "line; start this program by hand to debug the kernel itself:\n"
    "  gdb --args selkie-hosted --memory 268435456 --cpus 1 --initrd image.cpio --cmdline '...'\n"
    "\n"
    "  --memory BYTES    size of the machine's RAM (whole 4 KiB pages)\n"
    "  --cpus N          number of virtual CPUs, 1 to 256 (default 1)\n"
    "  --initrd FILE     cpio archive with the root file system\n"
    "  --cmdline STRING  boot command line (docs/boot.md)\n"
    "  --log-fd FD       where kernel messages go (default: standard error)\n"
    "  --command STRING  what a panic says should be typed to see it again\n"
    "  --net fd=N,...    the network device's outside: tap or record socket, mac=, offloads=, "
    "mtu=,\n"
    "                    pcap=N, share=N (host_net.c)\n"
    "  --core FILE       where a panic writes a core file for gdb\n"
    "Builds for simulation only (docs/simulation.md):\n"
    "  --sim SEED --sim-set NAME=VALUE --sim-trace FILE --sim-replay FILE --sim-report --sim-link "
    "FD\n";

static uint64_t number(const char *name, const char *text, uint64_t lo, uint64_t hi)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 0);
    if (errno || end == text || *end || text[0] == '-' || value < lo || value > hi)
        host_fail("%s: '%s' is not a number from %llu to %llu", name, text, (unsigned long long)lo,
                  (unsigned long long)hi);
    return value;
}

static void parse(int argc, char **argv, struct host_options *out)
{
    static const struct option options[] = {
        {"memory", required_argument, NULL, 'm'},
        {"cpus", required_argument, NULL, 'c'},
        {"initrd", required_argument, NULL, 'i'},
        {"cmdline", required_argument, NULL, 'l'},
        {"log-fd", required_argument, NULL, 'f'},
        {"command", required_argument, NULL, 'C'},
        {"core", required_argument, NULL, 'D'},
        {"net", required_argument, NULL, 'N'},
        {"sim", required_argument, NULL, 'S'},
        {"sim-set", required_argument, NULL, 'K'},
        {"sim-trace", required_argument, NULL, 'T'},
        {"sim-replay", required_argument, NULL, 'R'},
        {"sim-report", no_argument, NULL, 'P'},
        {"sim-link", required_argument, NULL, 'L'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    *out = (struct host_options){.cpus = 1, .log_fd = STDERR_FILENO, .sim.link = -1};
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'm':
            out->memory = number("--memory", optarg, 4096, 1ull << 46) & ~4095ull;
            break;
        case 'c':
            out->cpus = (unsigned)number("--cpus", optarg, 1, HOSTED_CPU_MAX);
            break;
        case 'i':
            out->initrd = optarg;
            break;
        case 'l':
            out->cmdline = optarg;
            break;
        case 'f':
            out->log_fd = (int)number("--log-fd", optarg, 0, 1 << 20);
            break;
        case 'C':
            out->command = optarg;
            break;
        case 'D':
            out->core = optarg;
            break;
        case 'N':
            host_net_set(optarg);
            break;
        case 'S':
            out->sim.seed = optarg;
            break;
        case 'K':
            host_sim_set(optarg);
            break;
        case 'T':
            out->sim.trace = optarg;
            break;
        case 'R':
            out->sim.replay = optarg;
            break;
        case 'P':
            out->sim.report = true;
            break;
        case 'L':
            out->sim.link = (int)number("--sim-link", optarg, 0, 1 << 20);
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs(usage, stderr);
            exit(HOSTED_EXIT_FAILURE);
        }
    }
    if (optind < argc)
        host_fail("unexpected argument '%s'", argv[optind]);
    if (!out->memory || !out->cmdline)
        host_fail("--memory and --cmdline are needed (--help shows how)");
}

int main(int argc, char **argv)
{
    struct host_options options;

    host_setup_descriptors(); /* before anything is opened */
    parse(argc, argv, &options);
    host_sim_exact(argv);
    host_check();      /* what the CPU and the host kernel must have */
    host_setup_text(); /* where our own code lies */
    host_setup_memory(&options);
    host_check_windows(argv); /* user addresses must be free; may start the process anew */
    host_setup_clock();
    host_setup_io(&options); /* terminal, process signals */
    host_setup_guard();      /* stack protector; main never returns through a check of it */
    host_sim_setup(&options);
    hosted_inner_init();
    host_start_signals();
    host_net_start(); /* who looks at the network device's wire */
    host_start_vcpus();
    host_io_loop();
}
