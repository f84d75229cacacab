/* SPDX-License-Identifier: BSD-3-Clause */
/* chaosoptions.c - the options of `selkie chaos`: what may be said. See chaos.h. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chaos.h"
#include "commands.h"
#include "netfault.h"

#define PACKETS "loss=1,duplicate=1,reorder=2,corrupt=1"

enum {
    KEY_SEED = 256,
    KEY_ROUNDS,
    KEY_SECONDS,
    KEY_TIMEOUT,
    KEY_NOMEM,
    KEY_LATE,
    KEY_LATE_US,
    KEY_LOST,
    KEY_BUSY,
    KEY_BUSY_US,
    KEY_ERROR,
    KEY_PAUSE,
    KEY_PAUSE_EVERY,
    KEY_PROPORTION,
    KEY_CHECK,
    KEY_MASK,
    KEY_ALLOW,
    KEY_CLIENT,
    KEY_PACKETS,
};

static const struct argp_option chaos_option_table[] = {
    {"seed", KEY_SEED, "N", 0, "of the first round, the next one's is one more (default: the time)",
     0},
    {"rounds", KEY_ROUNDS, "N", 0, "how many (default: 10)", 0},
    {"seconds", KEY_SECONDS, "N", 0, "as many rounds as begin in this time", 0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0, "a round that takes longer has failed (default: 120)",
     0},
    {"nomem", KEY_NOMEM, "N", 0, "one of N allocations of the kernel fails (default: 20000)", 0},
    {"late", KEY_LATE, "N", 0, "one of N interrupts of each kind is late (default: 20)", 0},
    {"late-us", KEY_LATE_US, "US", 0, "by up to so long (default: 5000); 0: none is", 0},
    {"lost", KEY_LOST, "N", 0,
     "one of N interrupts of a network's queues is lost (default: 0, none)", 0},
    {"busy", KEY_BUSY, "N", 0, "a device lets one of N requests wait (default: 20)", 0},
    {"busy-us", KEY_BUSY_US, "US", 0, "for up to so long (default: 20000); 0: none does", 0},
    {"error", KEY_ERROR, "N", 0, "a device fails one of N requests (default: 0, none)", 0},
    {"pause", KEY_PAUSE, "MS", 0, "a virtual CPU is stopped for up to so long (default: 200)", 0},
    {"pause-every", KEY_PAUSE_EVERY, "MS", 0, "mean time between two stops (default: 100)", 0},
    {"packets", KEY_PACKETS, "FAULTS", 0,
     "what a network's cable does, as behind a comma of --net (default: " PACKETS "), or none", 0},
    {"client", KEY_CLIENT, "COMMAND", 0,
     "a shell command that talks to each round's program from outside; when it ends, the program "
     "is to end, too (SIGTERM); status 1 says that something was wrong",
     0},
    {"proportion", KEY_PROPORTION, "X", 0,
     "fail if rounds take more than X times what the stops account for", 0},
    {"check", KEY_CHECK, "COMMAND", 0,
     "a shell command that reads each round's output and fails if it is wrong", 0},
    {"mask", KEY_MASK, "REGEX", 0, "lines of the output that differ anyway", 0},
    {"allow", KEY_ALLOW, "STATUS", 0, "an exit status by which the program may give up", 0},
    {0},
};

static uint64_t amount(const char *option, const char *value, uint64_t most)
{
    char *end;
    unsigned long long n;

    errno = 0;
    n = strtoull(value, &end, 0);
    if (errno || end == value || *end || *value == '-' || n > most)
        fail(EXIT_TOOL, "chaos: --%s %s: a number up to %ju is wanted", option, value,
             (uintmax_t)most);
    return n;
}

static void check_packets(const char *value)
{
    struct cable_faults faults;
    char *wrong = strcmp(value, "none") == 0 ? NULL : cable_parse(value, &faults);

    if (wrong)
        fail(EXIT_TOOL, "chaos: --packets %s: %s", value, wrong);
}

static error_t chaos_key(int key, char *value, struct argp_state *state)
{
    struct chaos_options *o = state->input;
    char *end;

    switch (key) {
    case KEY_SEED:
        o->seed = amount("seed", value, UINT64_MAX / 2);
        return 0;
    case KEY_ROUNDS:
        o->rounds = amount("rounds", value, 1000000000);
        return 0;
    case KEY_SECONDS:
        o->seconds = (double)amount("seconds", value, 1000000);
        return 0;
    case KEY_TIMEOUT:
        o->timeout = (double)amount("timeout", value, 1000000);
        return 0;
    case KEY_NOMEM:
        o->nomem = (unsigned)amount("nomem", value, 1000000000);
        return 0;
    case KEY_LATE:
        o->late = (unsigned)amount("late", value, 1000000000);
        return 0;
    case KEY_LATE_US:
        o->late_us = (unsigned)amount("late-us", value, 10000000);
        return 0;
    case KEY_LOST:
        o->lost = (unsigned)amount("lost", value, 1000000000);
        return 0;
    case KEY_BUSY:
        o->busy = (unsigned)amount("busy", value, 1000000000);
        return 0;
    case KEY_BUSY_US:
        o->busy_us = (unsigned)amount("busy-us", value, 10000000);
        return 0;
    case KEY_ERROR:
        o->error = (unsigned)amount("error", value, 1000000000);
        return 0;
    case KEY_PAUSE:
        o->pause_ms = (unsigned)amount("pause", value, 60000);
        return 0;
    case KEY_PAUSE_EVERY:
        o->pause_every_ms = (unsigned)amount("pause-every", value, 60000);
        if (o->pause_every_ms == 0)
            o->pause_every_ms = 1;
        return 0;
    case KEY_PROPORTION:
        o->proportion = strtod(value, &end);
        if (*end || o->proportion < 1)
            fail(EXIT_TOOL, "chaos: --proportion %s: a number from 1 is wanted", value);
        return 0;
    case KEY_CHECK:
        o->check = value;
        return 0;
    case KEY_MASK:
        o->mask = value;
        return 0;
    case KEY_ALLOW:
        list_add(&o->allowed, text("%ju", (uintmax_t)amount("allow", value, 255)));
        return 0;
    case KEY_CLIENT:
        o->client = value;
        return 0;
    case KEY_PACKETS:
        check_packets(value);
        o->packets = value;
        return 0;
    case ARGP_KEY_ARGS:
        o->words = state->argv + state->next;
        o->count = state->argc - state->next;
        return 0;
    default:
        return command_key_default(key, state);
    }
}

static const char chaos_doc[] =
    "Run PROGRAM again and again while the kernel's allocations fail, its interrupts are late, "
    "its devices fail and its CPUs stand still, each at random (docs/chaos.md)."
    "\vRUN-OPTION is any option of selkie run; --cpus is 4 and --build hosted-asan (x64-debug, "
    "aarch64-debug) if not given. Exit status: 0, or 1 if a round failed.\n\nExamples:\n"
    "  selkie chaos --seconds 60 -- ./program\n"
    "  selkie chaos --nomem 0 --proportion 2 --mask . -- sysbench mutex --threads=8 run\n"
    "  selkie chaos --check 'grep -qx ok' -- sqlite3 :memory: 'pragma integrity_check'";

void chaos_parse(int argc, char **argv, struct chaos_options *options)
{
    static const struct argp argp = {chaos_option_table,
                                     chaos_key,
                                     "-- [RUN-OPTION...] PROGRAM [ARG...]",
                                     chaos_doc,
                                     NULL,
                                     NULL,
                                     NULL};

    *options = (struct chaos_options){.rounds = 10,
                                      .timeout = 120,
                                      .seed = (uint64_t)time(NULL),
                                      .nomem = 20000,
                                      .late = 20,
                                      .late_us = 5000,
                                      .busy = 20,
                                      .busy_us = 20000,
                                      .packets = PACKETS,
                                      .pause_ms = 200,
                                      .pause_every_ms = 100};
    command_parse(&argp, argc, argv, options);
}
