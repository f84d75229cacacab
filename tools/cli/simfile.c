/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simfile.c - the file that `selkie sim` runs: a line per node, pipe and network, words as a shell
 * has them ('...', "...", \, # to the end of the line). Quotes may go over several lines.
 *
 *   node NAME [RUN-OPTION...] PROGRAM [ARG...]
 *   pipe FROM TO [delay=TIME] [jitter=TIME]
 *   net NAME NAME... [WORD=VALUE...]
 *
 * A net's words are wirefault.h's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define DELAY_USUAL 100000
#define DELAY_LEAST 1000

struct reader {
    const char *path, *at;
    unsigned line, first; /* where we are; where the statement began */
};

_Noreturn static void wrong(const struct reader *r, const char *what, const char *word)
{
    fail(EXIT_TOOL, "%s:%u: %s%s%s", r->path, r->first, what, *word ? ": " : "", word);
}

static char take(struct reader *r)
{
    r->line += *r->at == '\n';
    return *r->at++;
}

static void take_quoted(struct reader *r, char quote, struct bytes *word)
{
    for (;;) {
        char c;

        if (!*r->at)
            wrong(r, "a quote has no end", "");
        c = take(r);
        if (c == quote)
            return;
        if (c == '\\' && quote == '"' && *r->at && strchr("\"\\$`\n", *r->at)) {
            c = take(r);
            if (c == '\n')
                continue;
        }
        bytes_add(word, &c, 1);
    }
}

/* One word; false at the end of the line or file. */
static bool take_word(struct reader *r, struct bytes *word)
{
    bool any = false;

    *word = (struct bytes){0};
    bytes_add(word, "", 0);
    while (*r->at == ' ' || *r->at == '\t' || (r->at[0] == '\\' && r->at[1] == '\n'))
        if (take(r) == '\\')
            take(r);
    if (*r->at == '#')
        while (*r->at && *r->at != '\n')
            r->at++;
    while (*r->at && !strchr(" \t\n", *r->at)) {
        char c = take(r);

        any = true;
        if (c == '\'' || c == '"') {
            take_quoted(r, c, word);
            continue;
        }
        if (c == '\\' && *r->at && (c = take(r)) == '\n')
            continue;
        bytes_add(word, &c, 1);
    }
    return any;
}

static void take_statement(struct reader *r, struct list *words)
{
    struct bytes word;

    *words = (struct list){0};
    r->first = r->line;
    while (take_word(r, &word))
        list_add(words, word.data);
    if (*r->at)
        take(r);
}

static uint64_t time_value(const struct reader *r, const char *word)
{
    uint64_t ns;

    if (!wire_time(strchr(word, '=') + 1, &ns))
        wrong(r, "not a time such as 50us or 20ms, an hour at most", word);
    return ns;
}

static unsigned find_node(const struct sim *sim, const struct reader *r, const char *name)
{
    for (unsigned i = 0; i < sim->node_count; i++)
        if (strcmp(sim->nodes[i].name, name) == 0)
            return i;
    wrong(r, "no node has this name (nodes stand before pipes and nets)", name);
}

static void add_node(struct sim *sim, const struct reader *r, const struct list *words)
{
    struct sim_node *node = &sim->nodes[sim->node_count];

    if (sim->node_count == SIM_NODE_MAX)
        wrong(r, "too many nodes", "");
    if (words->count < 3)
        wrong(r, "node NAME [RUN-OPTION...] PROGRAM [ARG...]", "");
    *node = (struct sim_node){.name = words->items[1], .in = -1, .out = -1, .fd = -1};
    if (!*node->name || strspn(node->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                           "0123456789-_") != strlen(node->name))
        wrong(r, "a node's name has letters, digits, - and _", node->name);
    for (unsigned i = 0; i < sim->node_count; i++)
        if (strcmp(sim->nodes[i].name, node->name) == 0)
            wrong(r, "two nodes have this name", node->name);
    for (size_t i = 2; i < words->count; i++)
        list_add(&node->words, words->items[i]);
    sim->node_count++;
}

static void add_pipe(struct sim *sim, const struct reader *r, const struct list *words)
{
    struct sim_pipe *pipe = &sim->pipes[sim->pipe_count];

    if (words->count < 3)
        wrong(r, "pipe FROM TO [delay=TIME] [jitter=TIME]", "");
    *pipe = (struct sim_pipe){.from = find_node(sim, r, words->items[1]),
                              .to = find_node(sim, r, words->items[2]),
                              .delay = DELAY_USUAL};
    if (pipe->from == pipe->to)
        wrong(r, "a pipe leads to another node", words->items[2]);
    if (sim->nodes[pipe->from].out >= 0)
        wrong(r, "its standard output has a pipe already", words->items[1]);
    if (sim->nodes[pipe->to].in >= 0)
        wrong(r, "its standard input has a pipe already", words->items[2]);
    for (size_t i = 3; i < words->count; i++) {
        if (text_starts(words->items[i], "delay="))
            pipe->delay = time_value(r, words->items[i]);
        else if (text_starts(words->items[i], "jitter="))
            pipe->jitter = time_value(r, words->items[i]);
        else
            wrong(r, "delay=TIME or jitter=TIME is wanted", words->items[i]);
    }
    if (pipe->delay < DELAY_LEAST)
        wrong(r, "a pipe's delay is 1us at least", words->items[1]);
    sim->nodes[pipe->from].out = sim->nodes[pipe->to].in = (int)sim->pipe_count++;
}

static void add_net(struct sim *sim, const struct reader *r, const struct list *words)
{
    struct sim_net *net = &sim->nets[sim->net_count];
    size_t i;

    if (sim->net_count == SIM_NODE_MAX)
        wrong(r, "too many nets", "");
    *net = (struct sim_net){.wire = {.delay = DELAY_USUAL, .limit = WIRE_LIMIT_USUAL}};
    for (i = 1; i < words->count && !strchr(words->items[i], '='); i++) {
        unsigned found = find_node(sim, r, words->items[i]);

        if (sim->nodes[found].net)
            wrong(r, "it has a network already", words->items[i]);
        sim->nodes[found].net = net;
        net->nodes[net->node_count++] = found;
    }
    if (net->node_count < 2)
        wrong(r, "net NAME NAME... [WORD=VALUE...]", "");
    for (; i < words->count; i++) {
        const char *bad = wire_word(&net->wire, words->items[i]);

        if (bad)
            wrong(r, bad, words->items[i]);
    }
    if (net->wire.delay < DELAY_LEAST)
        wrong(r, "a net's delay is 1us at least", "");
    sim->net_count++;
}

static void find_delay(struct sim *sim)
{
    sim->delay = UINT64_MAX;
    for (unsigned i = 0; i < sim->pipe_count; i++)
        if (sim->pipes[i].delay < sim->delay)
            sim->delay = sim->pipes[i].delay;
    for (unsigned i = 0; i < sim->net_count; i++)
        if (sim->nets[i].wire.delay < sim->delay)
            sim->delay = sim->nets[i].wire.delay;
}

void sim_file_read(struct sim *sim, const char *path)
{
    struct reader r = {.path = path, .line = 1};
    struct bytes text = {0};
    struct list words;

    if (!file_read(path, &text))
        fail(EXIT_TOOL, "%s: %s", path, strerror(errno));
    if (strlen(text.data) != text.len)
        fail(EXIT_TOOL, "%s: not a text file", path);
    r.at = text.data;
    while (*r.at) {
        take_statement(&r, &words);
        if (words.count == 0)
            continue;
        if (strcmp(words.items[0], "node") == 0)
            add_node(sim, &r, &words);
        else if (strcmp(words.items[0], "pipe") == 0)
            add_pipe(sim, &r, &words);
        else if (strcmp(words.items[0], "net") == 0)
            add_net(sim, &r, &words);
        else
            wrong(&r, "neither node, pipe nor net", words.items[0]);
    }
    if (sim->node_count == 0)
        fail(EXIT_TOOL, "%s: no node", path);
    find_delay(sim);
}
