/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simnet.c - the networks of `selkie sim`: what becomes of a frame between two kernels.
 *
 * A network is a switch with a port for each of its nodes. All that happens to a frame happens at
 * the port of its sender (wirefault.h), in the order in which that has sent, by generators of that
 * port: so nothing depends on which of several kernels the host lets run first.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define PAIRS_MAX 8u

/* ---- set-up ---- */

/* Addresses that --ip or --boot ip= have given. */
static unsigned addresses(const struct sim_node *node, struct bytes *hosts)
{
    unsigned count = 0;

    for (size_t i = 0; i < node->options.boot.count; i++) {
        const char *value = node->options.boot.items[i];

        if (!text_starts(value, "ip=") || value[3] < '0')
            continue;
        value += 3;
        count += !strchr(value, ':');
        bytes_print(hosts, "%.*s %s\n", (int)strcspn(value, "/"), value, node->name);
    }
    return count;
}

void sim_net_prepare(struct sim *sim)
{
    for (unsigned n = 0; n < sim->net_count; n++) {
        struct sim_net *net = &sim->nets[n];
        struct bytes hosts = {0};

        for (unsigned i = 0; i < net->node_count; i++) {
            struct sim_node *node = &sim->nodes[net->nodes[i]];
            struct net_options *o = &node->options.net;
            struct bytes given = {0};
            unsigned m[6];

            if (!o->mac)
                o->mac = text("02:00:00:00:%02x:%02x", n, i + 1);
            sscanf(o->mac, "%2x:%2x:%2x:%2x:%2x:%2x", m, m + 1, m + 2, m + 3, m + 4, m + 5);
            for (unsigned byte = 0; byte < 6; byte++)
                node->port.mac[byte] = (unsigned char)m[byte];
            o->how = "sim";
            o->mtu = net->wire.mtu;
            if (addresses(node, &given) == 0)
                list_add(&node->options.boot, text("ip=10.0.%u.%u/24", n, i + 1));
            addresses(node, &hosts);
        }
        for (unsigned i = 0; i < net->node_count; i++)
            sim->nodes[net->nodes[i]].options.hosts = hosts.data;
    }
}

/* The next change of a node's link is on its way to it; of what repeats, those of the first hour.
 */
void sim_net_link(struct sim *sim, unsigned self, uint64_t time)
{
    const struct wire_faults *f = &sim->nodes[self].net->wire;
    struct sim_wire link = {.kind = SIM_WIRE_LINK, .port = SIM_WIRE_NET};
    uint64_t next = wire_link_change(f, time);

    if (next > WIRE_TIME_MOST)
        return;
    link.a = wire_link(f, next);
    sim_post(sim, self, self, next, &link, NULL);
}

void sim_net_start(struct sim *sim, uint64_t *seeds)
{
    for (unsigned i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].net) {
            const struct wire_faults *f = &sim->nodes[i].net->wire;
            const struct sim_wire none = {.kind = SIM_WIRE_LINK, .port = SIM_WIRE_NET};

            wire_port_start(&sim->nodes[i].port.wire, f, seeds);
            if (wire_link(f, 0))
                sim_net_link(sim, i, 0);
            else
                sim_post(sim, i, i, 0, &none, NULL);
        }
}

/* ---- a frame ---- */

/* To the node that has the address, or to all others. */
static void deliver(struct sim *sim, unsigned from, uint64_t arrival, const struct sim_wire *head,
                    const uint8_t *frame)
{
    struct sim_net *net = sim->nodes[from].net;
    int only = -1;

    for (unsigned i = 0; i < net->node_count; i++)
        if (memcmp(sim->nodes[net->nodes[i]].port.mac, frame, 6) == 0)
            only = (int)net->nodes[i];
    for (unsigned i = 0; i < net->node_count; i++)
        if (net->nodes[i] != from && (only < 0 || net->nodes[i] == (unsigned)only))
            sim_post(sim, from, net->nodes[i], arrival, head, frame);
}

void sim_net_take(struct sim *sim, unsigned from, const struct sim_wire *head, const uint8_t *data)
{
    struct sim_node *node = &sim->nodes[from];
    struct sim_net *net = node->net;
    struct wire_copy copies[2];
    uint8_t frame[SIM_WIRE_DATA_MAX];
    unsigned count;

    if (!net || head->len < 14)
        return;
    count =
        wire_send(&net->wire, &node->port.wire, head->time, data, head->len, copies, net->counts);
    for (unsigned i = 0; i < count; i++) {
        memcpy(frame, data, head->len);
        wire_flip(frame, &copies[i]);
        deliver(sim, from, copies[i].time, head, frame);
    }
}

/* ---- at the end ---- */

void sim_net_report(const struct sim *sim)
{
    static const char *const names[SIM_COUNTS] = {
        [WIRE_SENT] = "frames",       [WIRE_LOSS] = "lost",         [WIRE_DUPLICATE] = "duplicated",
        [WIRE_REORDER] = "reordered", [WIRE_CORRUPT] = "corrupted", [WIRE_DOWN] = "down",
        [WIRE_FULL] = "full",         [WIRE_LONG] = "long",         [SIM_UNREAD] = "unread",
    };

    for (unsigned n = 0; n < sim->net_count; n++) {
        fprintf(stderr, "selkie-sim net=%u", n);
        for (unsigned kind = 0; kind < SIM_COUNTS; kind++)
            if (names[kind])
                fprintf(stderr, " %s=%ju", names[kind], (uintmax_t)sim->nets[n].counts[kind]);
        fprintf(stderr, "\n");
    }
}

/* The word for selkie-hosted (net.c). */
char *sim_net_word(const struct run_options *options)
{
    return text("sim=%u", options->cpus < PAIRS_MAX ? options->cpus : PAIRS_MAX);
}
