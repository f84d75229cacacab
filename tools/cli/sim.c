/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim.c - `selkie sim`: several simulated kernels on one virtual clock (docs/simulation.md).
 *
 * Each kernel is a process; this one holds the clock. It works in rounds. In between all kernels
 * stand still, and of each is known `due`: the time before which it does nothing. Whatever one of
 * them sends takes `delay` at least, so nothing that is not already here can reach kernel i before
 * the least `due` of the others plus `delay`: so far it may run, all such at the same time. Then
 * what they sent is put in order of its arrival (time, sender, number), which does not depend on
 * which of them the host let run first.
 */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "commands.h"

#define NEVER UINT64_MAX

static uint64_t later(uint64_t time, uint64_t by)
{
    return time > NEVER - by ? NEVER : time + by;
}

/* ---- records in order ---- */

static bool before(const struct sim_record *a, const struct sim_record *b)
{
    if (a->time != b->time)
        return a->time < b->time;
    return a->source != b->source ? a->source < b->source : a->order < b->order;
}

/* Most belong at the end. */
static void insert(struct sim_list *list, struct sim_record *record)
{
    struct sim_record *at = list->last;

    while (at && before(record, at))
        at = at->previous;
    record->previous = at;
    record->next = at ? at->next : list->first;
    *(at ? &at->next : &list->first) = record;
    *(record->next ? &record->next->previous : &list->last) = record;
}

static void drop_first(struct sim_list *list)
{
    struct sim_record *record = list->first;

    list->first = record->next;
    *(list->first ? &list->first->previous : &list->last) = NULL;
    free(record->data);
    free(record);
}

static struct sim_record *record_make(struct sim_node *node, unsigned source, uint64_t time,
                                      const struct sim_wire *head, const void *data)
{
    struct sim_record *record = must_alloc(calloc(1, sizeof(*record)));

    record->time = time;
    record->source = source;
    record->order = node->order++;
    record->head = *head;
    if (head->len > 0) {
        record->data = must_alloc(malloc(head->len));
        memcpy(record->data, data, head->len);
    }
    return record;
}

/* ---- what the nodes say ---- */

/* Whole lines, each with the node's name: the order of the lines says when they were said. */
static void print(struct sim_node *node, unsigned stream, bool end)
{
    struct bytes *lines = &node->lines[stream];
    FILE *out = stream == 1 ? stdout : stderr;
    char *at = lines->data, *stop;

    while (at && (stop = strchr(at, '\n'))) {
        fprintf(out, "%s: %.*s\n", node->name, (int)(stop - at), at);
        at = stop + 1;
    }
    if (at && *at && end) {
        fprintf(out, "%s: %s\n", node->name, at);
        at += strlen(at);
    }
    if (at && at != lines->data) {
        lines->len -= (size_t)(at - lines->data);
        memmove(lines->data, at, lines->len + 1);
    }
    fflush(out);
}

/* Nobody can say anything earlier than `time` any more. */
static void print_until(struct sim *sim, uint64_t time)
{
    while (sim->said.first && (sim->said.first->time < time || time == NEVER)) {
        struct sim_record *record = sim->said.first;
        struct sim_node *node = &sim->nodes[record->source];
        unsigned stream = record->head.port < 3 ? record->head.port : 0;

        for (size_t i = 0; i < record->head.len; i++)
            if (record->data[i]) /* a terminal would show nothing either */
                bytes_add(&node->lines[stream], &record->data[i], 1);
        print(node, stream, false);
        drop_first(&sim->said);
    }
}

/* ---- messages ---- */

void sim_post(struct sim *sim, unsigned from, unsigned to, uint64_t arrival,
              const struct sim_wire *head, const void *data)
{
    if (sim->nodes[to].over) /* it takes nothing any more */
        return;
    insert(&sim->nodes[to].inbox, record_make(&sim->nodes[from], from, arrival, head, data));
}

/* Along a pipe, behind what is already on the way. */
static void post_forward(struct sim *sim, struct sim_pipe *pipe, const struct sim_wire *head,
                         const void *data)
{
    uint64_t extra = pipe->jitter ? random_next(&pipe->chance) % (pipe->jitter + 1) : 0;
    uint64_t arrival = later(later(head->time, pipe->delay), extra);

    pipe->last = arrival > pipe->last ? arrival : pipe->last;
    sim_post(sim, pipe->from, pipe->to, pipe->last, head, data);
}

static void post_back(struct sim *sim, struct sim_pipe *pipe, const struct sim_wire *head)
{
    sim_post(sim, pipe->to, pipe->from, later(head->time, pipe->delay), head, NULL);
}

static void node_over(struct sim *sim, struct sim_node *node, const struct sim_wire *head)
{
    struct sim_wire message = {.time = head->time};

    node->running = false;
    node->over = true;
    node->status = (int)head->a;
    node->trace = head->b;
    node->memory = head->c;
    if (node->net)
        node->net->counts[SIM_UNREAD] += head->lost;
    message.kind = SIM_WIRE_CLOSED;
    if (node->out >= 0)
        post_forward(sim, &sim->pipes[node->out], &message, NULL);
    message.kind = SIM_WIRE_GONE;
    if (node->in >= 0)
        post_back(sim, &sim->pipes[node->in], &message);
}

static void take(struct sim *sim, struct sim_node *node, const struct sim_wire *head,
                 const void *data)
{
    unsigned self = (unsigned)(node - sim->nodes);

    switch (head->kind) {
    case SIM_WIRE_STOP:
        node->running = false;
        node->next = head->time;
        node->clock = head->a;
        return;
    case SIM_WIRE_END:
        node_over(sim, node, head);
        break;
    case SIM_WIRE_SAY:
        insert(&sim->said, record_make(node, self, head->time, head, data));
        break;
    case SIM_WIRE_DATA:
        if (head->port == SIM_WIRE_NET)
            sim_net_take(sim, self, head, data);
        else
            post_forward(sim, &sim->pipes[node->out], head, data);
        break;
    case SIM_WIRE_CREDIT:
        post_back(sim, &sim->pipes[node->in], head);
        break;
    default:
        fail(EXIT_TOOL, "%s: a record of unknown kind %u", node->name, head->kind);
    }
    node->clock = head->time;
}

/* ---- rounds ---- */

static void put(struct sim_node *node, const struct sim_wire *head, const void *data)
{
    struct iovec parts[] = {{(void *)(uintptr_t)head, sizeof(*head)},
                            {(void *)(uintptr_t)data, head->len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n;

    do
        n = sendmsg(node->fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    /* Whether it is still there shows when it is read from. */
    if (n < 0 && errno != EPIPE && errno != ECONNRESET)
        fail(EXIT_TOOL, "%s: %s", node->name, strerror(errno));
}

_Noreturn static void node_lost(struct sim *sim, struct sim_node *node)
{
    int status = child_take(&node->child);

    print_until(sim, NEVER);
    for (unsigned i = 0; i < sim->node_count; i++)
        for (unsigned stream = 0; stream < 3; stream++)
            print(&sim->nodes[i], stream, true);
    fail(EXIT_TOOL, "node %s: its process ended before its machine was off (status %d)", node->name,
         status);
}

static void listen_to(struct sim *sim, struct sim_node *node)
{
    static struct {
        struct sim_wire head;
        uint8_t data[SIM_WIRE_DATA_MAX];
    } record;
    ssize_t n;

    do
        n = read(node->fd, &record, sizeof(record));
    while (n < 0 && errno == EINTR);
    if (n < (ssize_t)sizeof(record.head) ||
        (size_t)n != sizeof(record.head) + (size_t)record.head.len)
        node_lost(sim, node);
    take(sim, node, &record.head, record.data);
}

/* Before this time it does nothing. */
static uint64_t due(const struct sim_node *node)
{
    uint64_t time = node->next;

    if (node->over)
        return NEVER;
    if (node->running)
        return node->clock;
    if (node->inbox.first && node->inbox.first->time < time)
        time = node->inbox.first->time;
    return time > node->clock ? time : node->clock;
}

static uint64_t first_due(const struct sim *sim, const struct sim_node *except)
{
    uint64_t first = NEVER;

    for (unsigned i = 0; i < sim->node_count; i++)
        if (&sim->nodes[i] != except && due(&sim->nodes[i]) < first)
            first = due(&sim->nodes[i]);
    return first;
}

static void let_run(struct sim *sim, struct sim_node *node, uint64_t time, uint64_t bound)
{
    struct sim_wire run = {.kind = SIM_WIRE_RUN, .time = time, .a = bound};

    while (node->inbox.first && node->inbox.first->time <= time) {
        const struct sim_wire *head = &node->inbox.first->head;

        put(node, head, node->inbox.first->data);
        if (head->kind == SIM_WIRE_LINK)
            sim_net_link(sim, (unsigned)(node - sim->nodes), node->inbox.first->time);
        drop_first(&node->inbox);
    }
    if (node->inbox.first && node->inbox.first->time < bound)
        run.a = node->inbox.first->time;
    put(node, &run, NULL);
}

/* Until all stand still again. */
static void wait_for_all(struct sim *sim)
{
    struct pollfd fds[SIM_NODE_MAX];
    unsigned running;

    for (;;) {
        running = 0;
        for (unsigned i = 0; i < sim->node_count; i++) {
            fds[i] = (struct pollfd){.fd = sim->nodes[i].running ? sim->nodes[i].fd : -1,
                                     .events = POLLIN};
            running += sim->nodes[i].running;
        }
        if (running == 0)
            return;
        if (poll(fds, sim->node_count, -1) < 0 && errno != EINTR)
            fail(EXIT_TOOL, "poll: %s", strerror(errno));
        for (unsigned i = 0; i < sim->node_count; i++)
            if (fds[i].fd >= 0 && fds[i].revents)
                listen_to(sim, &sim->nodes[i]);
        print_until(sim, first_due(sim, NULL));
    }
}

/* False when all are off. */
static bool play_round(struct sim *sim)
{
    uint64_t times[SIM_NODE_MAX], bounds[SIM_NODE_MAX];
    bool stuck = first_due(sim, NULL) == NEVER, any = false;

    for (unsigned i = 0; i < sim->node_count; i++) {
        times[i] = due(&sim->nodes[i]);
        bounds[i] = later(first_due(sim, &sim->nodes[i]), sim->delay);
    }
    for (unsigned i = 0; i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        const struct sim_wire never = {.kind = SIM_WIRE_NEVER};

        if (stuck && !any && !node->over)
            warn("sim: every node is idle, no timer is set and nothing is on its way: nothing can "
                 "ever happen again");
        any = any || !node->over;
        if (node->over || (!stuck && times[i] >= bounds[i]))
            continue;
        node->running = true;
        node->clock = stuck ? node->clock : times[i];
        if (stuck)
            put(node, &never, NULL);
        else
            let_run(sim, node, times[i], bounds[i]);
    }
    wait_for_all(sim);
    return any;
}

/* ---- begin and end ---- */

static void node_prepare(struct sim *sim, struct sim_node *node, uint64_t seed)
{
    struct list words = {0};

    list_add(&words, text("selkie sim: node %s", node->name));
    list_add(&words, "--sim");
    list_add(&words, text("%ju", (uintmax_t)seed));
    for (size_t i = 0; i < sim->options.count; i++)
        list_add(&words, sim->options.items[i]);
    for (size_t i = 0; i < node->words.count; i++)
        list_add(&words, node->words.items[i]);
    run_parse((int)words.count, words.items, &node->options);
    if (node->options.gdb || node->options.sim_trace || node->options.sim_replay)
        fail(EXIT_TOOL, "node %s: --gdb, --sim-trace and --sim-replay are for single runs",
             node->name);
    if (sim->trace)
        node->options.sim_trace = text("%s.%s", sim->trace, node->name);
}

static void node_image(struct sim_node *node)
{
    node->image = run_prepare(&node->options);
    build_kernel(&node->options);
}

static void node_start(struct sim *sim, struct sim_node *node)
{
    struct sim_wire setup = {.kind = SIM_WIRE_SETUP, .b = sim->delay};
    int pair[2], null;

    setup.a = (node->in >= 0 ? SIM_WIRE_IN : 0) | (node->out >= 0 ? SIM_WIRE_OUT : 0);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        fail(EXIT_TOOL, "socketpair: %s", strerror(errno));
    node->fd = pair[0];
    node->running = true; /* its first words are STOP */
    if (child_fork(&node->child, 0, true)) {
        null = open("/dev/null", O_RDONLY);
        dup2(null, STDIN_FILENO);
        fcntl(pair[1], F_SETFD, 0);
        node->options.sim_link = text("%d", pair[1]);
        hosted_start(&node->options, &node->image);
    }
    close(pair[1]);
    put(node, &setup, NULL);
}

static int finish(struct sim *sim)
{
    uint64_t hash = HASH_START, time = 0;
    int status = 0;

    print_until(sim, NEVER);
    for (unsigned i = 0; i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        uint64_t words[] = {node->clock, (uint64_t)node->status, node->trace, node->memory};

        for (unsigned stream = 0; stream < 3; stream++)
            print(node, stream, true);
        child_wait(&node->child, NULL);
        hash = hash_add(hash, words, sizeof(words));
        time = node->clock > time ? node->clock : time;
        if (status == 0 || node->status == EXIT_TOOL)
            status = node->status;
    }
    if (sim->verbose)
        sim_net_report(sim);
    if (sim->verbose)
        fprintf(stderr, "selkie-sim nodes=%u seed=%ju status=%d time=%ju hash=%jx\n",
                sim->node_count, (uintmax_t)sim->seed, status, (uintmax_t)time, (uintmax_t)hash);
    return status;
}

enum { KEY_SEED = 256, KEY_SET, KEY_TRACE, KEY_VERBOSE };

static const struct argp_option sim_option_table[] = {
    {"seed", KEY_SEED, "SEED", 0, "the same seed, the same run (default: 1)", 0},
    {"sim-set", KEY_SET, "NAME=VALUE", 0, "a knob for all nodes, see docs/simulation.md", 0},
    {"sim-trace", KEY_TRACE, "PREFIX", 0, "write what happens in node NAME to PREFIX.NAME", 0},
    {"verbose", KEY_VERBOSE, NULL, 0, "show the kernels' messages, and the hashes at the end", 0},
    {0},
};

struct sim_command {
    struct sim sim;
    const char *file;
};

static error_t sim_key(int key, char *value, struct argp_state *state)
{
    struct sim_command *command = state->input;
    char *end;

    switch (key) {
    case KEY_SEED:
        command->sim.seed = strtoull(value, &end, 0);
        if (*value < '0' || *value > '9' || *end)
            fail(EXIT_TOOL, "--seed %s: a number is wanted", value);
        return 0;
    case KEY_SET:
        list_add(&command->sim.options, "--sim-set");
        list_add(&command->sim.options, value);
        return 0;
    case KEY_TRACE:
        command->sim.trace = value;
        return 0;
    case KEY_VERBOSE:
        command->sim.verbose = true;
        list_add(&command->sim.options, "--verbose");
        return 0;
    case ARGP_KEY_ARG:
        if (command->file)
            fail(EXIT_TOOL, "sim: one FILE, not also %s", value);
        command->file = value;
        return 0;
    case ARGP_KEY_NO_ARGS:
        fail(EXIT_TOOL, "which FILE? See selkie sim --help");
    default:
        return command_key_default(key, state);
    }
}

static const char sim_doc[] =
    "Run several simulated machines on one virtual clock (docs/simulation.md)."
    "\vFILE has a line for each machine and for each pipe between two of them:\n\n"
    "  node NAME [RUN-OPTION...] PROGRAM [ARG...]\n"
    "  pipe FROM TO [delay=TIME] [jitter=TIME]\n"
    "  net NAME NAME... [delay=TIME] [jitter=TIME] [loss=%] [duplicate=%] [reorder=%] "
    "[corrupt=%] [rate=BITS] [limit=FRAMES] [mtu=BYTES] [down=TIME..TIME] "
    "[down=TIME/TIME]\n\n"
    "A pipe leads from the standard output of one to the standard input of another; what programs "
    "write otherwise is shown with the node's name. The nodes of a net are on one switch, as "
    "10.0.0.1, 10.0.0.2, ... and by their names. The exit status is 0 if that of every node is, "
    "125 if a kernel failed or nothing could ever happen again, otherwise the first node's that is "
    "not 0.\n\n"
    "Example:\n"
    "  node a busybox sh -c 'echo hello; read answer; echo \"$answer\" >&2'\n"
    "  node b busybox tr a-z A-Z\n"
    "  pipe a b\n"
    "  pipe b a delay=20ms";

int command_sim(int argc, char **argv)
{
    static const struct argp argp = {sim_option_table, sim_key, "FILE", sim_doc, NULL, NULL, NULL};
    static struct sim_command command = {.sim.seed = 1};
    struct sim *sim = &command.sim;
    uint64_t seeds;

    command_parse(&argp, argc, argv, &command);
    sim_file_read(sim, command.file);
    seeds = sim->seed;
    for (unsigned i = 0; i < sim->node_count; i++)
        node_prepare(sim, &sim->nodes[i], random_next(&seeds));
    sim_net_prepare(sim);
    for (unsigned i = 0; i < sim->node_count; i++)
        node_image(&sim->nodes[i]);
    for (unsigned i = 0; i < sim->pipe_count; i++)
        sim->pipes[i].chance = random_next(&seeds);
    sim_net_start(sim, &seeds);
    for (unsigned i = 0; i < sim->node_count; i++)
        node_start(sim, &sim->nodes[i]);
    wait_for_all(sim);
    while (play_round(sim))
        ;
    return finish(sim);
}
