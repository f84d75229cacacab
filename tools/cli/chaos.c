/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chaos.c - `selkie chaos`: a program again and again while things fail at random (docs/chaos.md).
 * The kernel fails allocations, delays interrupts and lets devices fail, as boot options of each
 * round say; virtual CPUs are stopped from here (pause.c).
 *
 * The first round is calm: it says what the program prints, how it ends and how long that takes.
 * What came of each other round is one of
 *   as ever   the same exit status, the same output (or --check says that it is right)
 *   gave up   another status: it has met an error and said so, as it may
 *   FAILED    the kernel crashed, complained or leaked, the program hung, was killed by a signal
 *             that stands for a wrong memory access, or ended well with a wrong result
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chaos.h"
#include "child.h"
#include "commands.h"
#include "pause.h"
#include "run.h"

#define TAIL_BYTES 1500

struct round {
    uint64_t seed;
    bool calm, late;
    int status;
    struct bytes out, err, client_out;
    int client_status;    /* 1: it has seen something wrong */
    double seconds, held; /* how long it took; for how long CPUs stood still, in all */
    unsigned stops;
};

struct chaos {
    const struct chaos_options *options;
    struct run_options run; /* as the words are understood */
    struct round first;
    uint64_t same, gave_up, failed;
    double seconds, held; /* sums over the rounds that ended as ever */
    struct list statuses;
};

/* ---- a round ---- */

static void boot(struct list *words, const char *word)
{
    list_add(words, "--boot");
    list_add(words, word);
}

/* What the kernel is to do to itself (docs/boot.md). */
static char *chaos_word(const struct chaos_options *o, uint64_t seed)
{
    struct bytes word = {0};
    static const char *const late[] = {"timer", "ipi", "work"};

    bytes_print(&word, "chaos=seed:%ju", (uintmax_t)seed);
    for (size_t i = 0; o->late_us && i < sizeof(late) / sizeof(late[0]); i++)
        bytes_print(&word, ",%s:%u:%u", late[i], o->late, o->late_us);
    if (o->lost)
        bytes_print(&word, ",lost:%u", o->lost);
    if (o->busy_us)
        bytes_print(&word, ",busy:%u:%u", o->busy, o->busy_us);
    if (o->error)
        bytes_print(&word, ",error:%u", o->error);
    return word.data;
}

/* The value of --net, with this round's bad cable; the words themselves stay as they are. */
static char *net_word(const struct chaos *chaos, const struct round *round, const char *how)
{
    const char *faults = chaos->options->packets;

    if (round->calm || strcmp(faults, "none") == 0)
        return text("%s", how);
    return text("%s,%s,seed=%ju", how, faults, (uintmax_t)round->seed);
}

static struct list command(const struct chaos *chaos, const struct round *round)
{
    const struct chaos_options *o = chaos->options;
    struct list words = {0};

    list_add(&words, text("%s/tools/selkie", top_dir()));
    list_add(&words, "run");
    if (!chaos->run.build) {
        list_add(&words, "--build");
        list_add(&words, chaos->run.backend == BACKEND_HOSTED
                             ? "hosted-asan"
                             : text("%s-debug", backend_names[chaos->run.backend]));
    }
    if (chaos->run.cpus == 0) {
        list_add(&words, "--cpus");
        list_add(&words, "4");
    }
    list_add(&words, "--crash-report");
    boot(&words, "leftover=1");
    if (!round->calm && o->nomem)
        boot(&words, text("nomem=%u:%ju", o->nomem, (uintmax_t)round->seed));
    if (!round->calm && (o->late_us || o->busy_us || o->error))
        boot(&words, chaos_word(o, round->seed));
    /* The last of an option counts, so behind those given: in front of the program. */
    for (int i = 0; i < o->count; i++) {
        if (i == o->count - chaos->run.argc && chaos->run.net.how &&
            strcmp(chaos->run.net.how, "none") != 0) {
            list_add(&words, "--net");
            list_add(&words, net_word(chaos, round, chaos->run.net.how));
        }
        list_add(&words, o->words[i]);
    }
    return words;
}

static int output_file(void)
{
    int fd = memfd_create("chaos", MFD_CLOEXEC);

    if (fd < 0)
        fail(EXIT_TOOL, "memfd_create: %s", strerror(errno));
    return fd;
}

static void take_output(int fd, struct bytes *out)
{
    bytes_add(out, "", 0);
    lseek(fd, 0, SEEK_SET);
    fd_read(fd, out);
    close(fd);
}

/* The command that talks to the program from outside; fd -1: there is none. */
static struct child client_start(const struct chaos *chaos, const struct round *round, int out)
{
    struct child client = {.fd = -1};

    if (!chaos->options->client)
        return client;
    setenv("SELKIE_CHAOS_SEED", text("%ju", (uintmax_t)round->seed), 1);
    if (child_fork(&client, chaos->options->timeout, true)) {
        dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
        execl("/bin/sh", "sh", "-c", chaos->options->client, NULL);
        _exit(EXIT_TOOL);
    }
    return client;
}

/* It is done: so shall the program be. */
static void client_end(struct round *round, struct child *client, const struct child *program)
{
    if (client->fd < 0)
        return;
    round->client_status = child_take(client);
    client->fd = -1;
    if (program)
        kill(program->pid, SIGTERM);
}

/* Until it has ended, or its time is over. */
static void watch(const struct chaos *chaos, struct round *round, const struct child *child,
                  struct child *client)
{
    const struct chaos_options *o = chaos->options;
    struct pauses *pauses = must_alloc(calloc(1, sizeof(*pauses)));
    unsigned cpus = chaos->run.cpus ? chaos->run.cpus : 4;

    pauses->longest_ms = round->calm ? 0 : o->pause_ms;
    pauses->every_ms = o->pause_every_ms;
    pauses->random = round->seed;
    pauses_begin(pauses, child->pid);
    while (now_seconds() < child->deadline) {
        struct pollfd fds[] = {{.fd = child->fd, .events = POLLIN},
                               {.fd = client->fd, .events = POLLIN}};
        double next = pauses_step(pauses, cpus) - now_seconds();

        if (next > 1)
            next = 1;
        if (poll(fds, 2, next <= 0 ? 0 : (int)(next * 1000) + 1) <= 0)
            continue;
        if (fds[0].revents)
            break;
        client_end(round, client, child);
    }
    pauses_end(pauses);
    round->held = pauses->held_seconds;
    round->stops = pauses->done;
    free(pauses);
}

static void run_round(const struct chaos *chaos, struct round *round)
{
    struct list words = command(chaos, round);
    int out = output_file(), err = output_file(), client_out = output_file();
    struct child child, client;
    double began = now_seconds();

    if (child_fork(&child, chaos->options->timeout, true)) {
        int null = open("/dev/null", O_RDONLY);

        dup2(null, STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        execv(words.items[0], words.items);
        dprintf(STDERR_FILENO, "%s: %s\n", words.items[0], strerror(errno));
        _exit(EXIT_TOOL);
    }
    client = client_start(chaos, round, client_out);
    watch(chaos, round, &child, &client);
    round->status = child_wait(&child, &round->late);
    if (client.fd >= 0) { /* it has nobody to talk to any more */
        child_kill(&client);
        client_end(round, &client, NULL);
    }
    round->seconds = now_seconds() - began;
    take_output(out, &round->out);
    take_output(err, &round->err);
    take_output(client_out, &round->client_out);
}

/* ---- what came of it ---- */

/* What kernels and sanitizers say when something is wrong. */
static const char *complaint(const struct round *round)
{
    static const char *const signs[] = {
        "Sanitizer",  "runtime error: ",  "kernel panic",   "watchdog: ",
        "left over:", "assertion failed", "check failed: ",
    };

    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
        if (strstr(round->err.data, signs[i]))
            return text("the kernel said \"%s\"", signs[i]);
    return round->status == EXIT_TOOL ? "the kernel failed" : NULL;
}

static bool allowed(const struct chaos_options *options, int status)
{
    static const int wrong[] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};

    if (list_has(&options->allowed, text("%d", status)))
        return true;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (status == 128 + wrong[i])
            return false;
    /* Nothing but time has gone wrong: no reason to give up. */
    return options->nomem || options->error;
}

/* glibc's dynamic loader takes its first allocation without looking whether it got one, on Linux as
 * here. (Further ones it looks at: that is status 127.) */
static bool loader_died(const struct chaos_options *options, const struct round *round)
{
    const char *place = strstr(round->err.data, "\n  #0 ");

    return options->nomem && round->status == 128 + SIGSEGV && round->out.len == 0 && place &&
           strstr(round->err.data, "\n  address 0, where nothing is mapped\n") &&
           memmem(place + 1, strcspn(place + 1, "\n"), "/ld-linux", 9);
}

/* The text without the lines that the mask names. */
static char *masked(const char *mask, const char *output)
{
    struct bytes rest = {0};
    regex_t regex;

    bytes_add(&rest, "", 0);
    if (mask && regcomp(&regex, mask, REG_EXTENDED | REG_NOSUB) != 0)
        fail(EXIT_TOOL, "--mask %s: not a regular expression", mask);
    while (*output) {
        size_t len = strcspn(output, "\n");
        char *line = text("%.*s", (int)len, output);

        len += output[len] == '\n';
        if (!mask || regexec(&regex, line, 0, NULL, 0) != 0)
            bytes_add(&rest, output, len);
        output += len;
        free(line);
    }
    if (mask)
        regfree(&regex);
    return rest.data;
}

/* The user's own look at a round: his command reads the output. NULL: content. */
static const char *checked(const struct chaos_options *options, const struct round *round)
{
    struct list words = {0};
    struct outcome outcome;

    setenv("SELKIE_CHAOS_STATUS", text("%d", round->status), 1);
    setenv("SELKIE_CHAOS_SEED", text("%ju", (uintmax_t)round->seed), 1);
    list_add(&words, "sh");
    list_add(&words, "-c");
    list_add(&words, options->check);
    outcome_get(&outcome,
                &(struct command_line){.words = &words, .input = round->out.data, .seconds = 60});
    if (outcome.status == 0)
        return NULL;
    return text("--check ended with status %d: %s%s", outcome.status, outcome.out.data,
                outcome.err.data);
}

/* Why the round has failed; NULL: it has not. */
static const char *failure(const struct chaos *chaos, const struct round *round)
{
    const struct chaos_options *o = chaos->options;
    const char *why = complaint(round);

    if (why)
        return why;
    if (round->calm && (round->status == EXIT_NOT_FOUND || round->status == EXIT_NOT_EXECUTABLE))
        return "it cannot be executed";
    if (round->client_status == 1)
        return "the client outside has seen something wrong";
    if (round->late)
        return text("no end within %g s", o->timeout);
    if (round->status != chaos->first.status && !allowed(o, round->status) &&
        !loader_died(o, round))
        return text("exit status %d instead of %d", round->status, chaos->first.status);
    if (o->check)
        return checked(o, round);
    if (!round->calm && round->status == chaos->first.status &&
        strcmp(masked(o->mask, round->out.data), masked(o->mask, chaos->first.out.data)) != 0)
        return "another output than that of the calm round";
    return NULL;
}

static void print_tail(const char *what, const struct bytes *output)
{
    size_t skip = output->len > TAIL_BYTES ? output->len - TAIL_BYTES : 0;

    if (output->len)
        printf("---- %s%s\n%s%s", what, skip ? ", its end" : "", output->data + skip,
               output->data[output->len - 1] == '\n' ? "" : "\n");
}

static void tell(const struct chaos *chaos, const struct round *round, const char *why)
{
    struct list words = command(chaos, round);

    printf("seed %ju: FAILED: %s\n", (uintmax_t)round->seed, why);
    print_tail("standard output", &round->out);
    print_tail("standard error", &round->err);
    print_tail("the client", &round->client_out);
    printf("---- such a round once more: selkie chaos --seed %ju --rounds 1 (and the options "
           "given)\n---- alone: selkie",
           (uintmax_t)round->seed);
    for (size_t i = 1; i < words.count; i++)
        printf(" '%s'", words.items[i]);
    putchar('\n');
}

static void judge(struct chaos *chaos, struct round *round)
{
    const char *why = failure(chaos, round);
    const char *status = text("%d", round->status);

    if (!list_has(&chaos->statuses, status))
        list_add(&chaos->statuses, status);
    if (why) {
        chaos->failed++;
        tell(chaos, round, why);
    } else if (round->status == chaos->first.status) {
        chaos->same++;
        chaos->seconds += round->seconds;
        chaos->held += round->held;
    } else {
        chaos->gave_up++;
    }
    printf("seed %ju: %s, status %d, %.1f s, %u stops of %.1f s in all", (uintmax_t)round->seed,
           why                                    ? "FAILED"
           : round->status == chaos->first.status ? "as ever"
                                                  : "gave up",
           round->status, round->seconds, round->stops, round->held);
    printf(round->client_out.len ? "; client: %.*s\n" : "\n",
           (int)strcspn(round->client_out.data, "\n"), round->client_out.data);
    fflush(stdout);
}

/* ---- all rounds ---- */

/* How much slower may it be than the calm round? A CPU that stands still for a part of the time
 * takes that part of the machine away. Above that comes what others wait for it. */
static void speed(struct chaos *chaos)
{
    unsigned cpus = chaos->run.cpus ? chaos->run.cpus : 4;
    double share, slower;

    if (chaos->same == 0 || chaos->first.seconds <= 0)
        return;
    share = chaos->held / chaos->seconds / cpus;
    slower = chaos->seconds / (double)chaos->same / chaos->first.seconds;
    printf("CPUs stood still for %.1f %% of the time; rounds took %.2f times the calm one's time, "
           "%.2f would be in proportion\n",
           share * 100, slower, 1 / (1 - share));
    if (chaos->options->proportion > 0 && slower * (1 - share) > chaos->options->proportion) {
        printf("FAILED: that is more than %g times what is in proportion\n",
               chaos->options->proportion);
        chaos->failed++;
    }
}

static void calm_round(struct chaos *chaos)
{
    const char *why;

    chaos->first = (struct round){.calm = true};
    /* Once before, if something is to be built or fetched: that takes no part in the time. */
    run_round(chaos, &chaos->first);
    chaos->first = (struct round){.calm = true};
    run_round(chaos, &chaos->first);
    why = failure(chaos, &chaos->first);
    if (why) {
        tell(chaos, &chaos->first, why);
        fail(EXIT_TOOL, "chaos: the program fails without it");
    }
    printf("calm round: status %d, %.1f s\n", chaos->first.status, chaos->first.seconds);
    fflush(stdout);
}

static int run_all(struct chaos *chaos)
{
    const struct chaos_options *o = chaos->options;
    uint64_t n = 0;
    double end;

    printf("seed %ju\n", (uintmax_t)o->seed);
    calm_round(chaos);
    /* Counted from here: the calm round may build an image. There is one round at least. */
    end = now_seconds() + o->seconds;
    while (o->seconds > 0 ? now_seconds() < end : n < o->rounds) {
        struct round round = {.seed = o->seed + n++};

        run_round(chaos, &round);
        judge(chaos, &round);
        free(round.out.data);
        free(round.err.data);
        free(round.client_out.data);
    }
    speed(chaos);
    printf("%ju rounds: %ju as ever, %ju gave up, %ju failed; statuses:", (uintmax_t)n,
           (uintmax_t)chaos->same, (uintmax_t)chaos->gave_up, (uintmax_t)chaos->failed);
    for (size_t i = 0; i < chaos->statuses.count; i++)
        printf(" %s", chaos->statuses.items[i]);
    putchar('\n');
    return chaos->failed > 0 ? 1 : 0;
}

/* ---- the command ---- */

int command_chaos(int argc, char **argv)
{
    struct chaos_options options;
    struct chaos chaos = {.options = &options};
    struct list words = {0};

    chaos_parse(argc, argv, &options);
    list_add(&words, "selkie run");
    for (int i = 0; i < options.count; i++)
        list_add(&words, options.words[i]);
    run_parse((int)words.count, words.items, &chaos.run); /* says what is wrong with them */
    if (!chaos.run.net.how && chaos.run.net.publish.count)
        chaos.run.net.how = "user";
    if (chaos.run.gdb || chaos.run.sim)
        fail(EXIT_TOOL, "chaos: --gdb and --sim are for single runs");
    /* QEMU's threads have names only if it is asked for them. */
    setenv("SELKIE_QEMU_ARGS",
           text("%s -name selkie,debug-threads=on",
                getenv("SELKIE_QEMU_ARGS") ? getenv("SELKIE_QEMU_ARGS") : ""),
           1);
    return run_all(&chaos);
}
