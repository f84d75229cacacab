/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lwip_bench.c - the peer of flow_bench.c: Debian's liblwip gets the same frames by its netif's
 * input function. lwIP has no function that only looks a connection up, so what is measured is all
 * of ethernet_input for a segment without data or news on an established connection: classifying,
 * the walk over the list of pcbs (the one that is found goes to its head), and very little
 * afterwards.
 *
 *     lwip_bench N     "lwip N  Mpps  ns a packet"; the best of some rounds
 */
#include <stdio.h>
#include <stdlib.h>

#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcpip.h>
#include <netif/ethernet.h>

#include "bench/frames.h"

#define ROUNDS 5
#define ROUND_SECONDS 0.2

static uint8_t (*frames)[FRAME];
static struct netif netif;

static err_t no_output(struct netif *self, struct pbuf *p, const ip4_addr_t *to)
{
    (void)self, (void)p, (void)to;
    return ERR_OK;
}
static err_t no_link_output(struct netif *self, struct pbuf *p)
{
    (void)self, (void)p;
    return ERR_OK;
}
static err_t make_netif(struct netif *self)
{
    self->output = no_output;
    self->linkoutput = no_link_output;
    self->mtu = 1500;
    self->hwaddr_len = 6;
    self->flags = NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

static void make_connection(uint32_t n)
{
    struct tcp_pcb *pcb = tcp_new();
    if (!pcb)
        abort();
    IP_ADDR4(&pcb->local_ip, 10, 0, 0, 1);
    ip_addr_set_ip4_u32_val(pcb->remote_ip, lwip_htonl(remote_ip(n)));
    pcb->local_port = LOCAL_PORT;
    pcb->remote_port = remote_port(n);
    pcb->state = ESTABLISHED;
    pcb->rcv_nxt = pcb->snd_nxt = pcb->lastack = 0; /* as in the frames */
    pcb->snd_wnd = pcb->snd_wnd_max = 0x1000;
    TCP_REG(&tcp_active_pcbs, pcb);
}

static void ignore(struct pbuf *p)
{
    (void)p;
}

/* One frame as a driver gives it; in a buffer of its own, because lwIP turns the numbers of headers
 * where they are. */
static void input(const uint8_t *frame)
{
    static struct pbuf_custom custom;
    static uint8_t buffer[FRAME];
    custom.custom_free_function = ignore;
    memcpy(buffer, frame, FRAME);
    struct pbuf *p = pbuf_alloced_custom(PBUF_RAW, FRAME, PBUF_REF, &custom, buffer, FRAME);
    if (!p || netif.input(p, &netif) != ERR_OK)
        abort();
}

static void set_up(uint32_t count)
{
    ip4_addr_t address, mask, gateway = {0};
    IP4_ADDR(&address, 10, 0, 0, 1);
    IP4_ADDR(&mask, 255, 0, 0, 0);
    tcpip_init(NULL, NULL);
    LOCK_TCPIP_CORE();
    if (!netif_add(&netif, &address, &mask, &gateway, NULL, make_netif, ethernet_input))
        abort();
    netif_set_up(&netif);
    for (uint32_t i = 0; i < count; i++)
        make_connection(i);
    frames = calloc(FRAMES, FRAME);
    for (uint32_t i = 0; i < FRAMES; i++)
        frame_make(frames[i], frames_draw() % count);
}

/* A frame that comes leaves its connection at the head of the list. */
static void check(uint32_t count)
{
    for (uint32_t i = 0; i < 5; i++) {
        input(frames[i]);
        struct tcp_pcb *pcb = tcp_active_pcbs;
        uint32_t n = 0;
        while (n < count && !(lwip_htonl(ip_addr_get_ip4_u32(&pcb->remote_ip)) == remote_ip(n) &&
                              pcb->remote_port == remote_port(n)))
            n++;
        uint8_t wanted[FRAME];
        frame_make(wanted, n);
        if (n == count || memcmp(wanted, frames[i], FRAME) != 0 || pcb->state != ESTABLISHED) {
            fprintf(stderr, "lwip_bench: frame %u did not reach its connection\n", i);
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return fprintf(stderr, "usage: lwip_bench CONNECTIONS\n"), 2;
    uint32_t count = (uint32_t)strtoul(argv[1], NULL, 10), at = 0;
    double best = 1e9;
    set_up(count);
    check(count);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t packets = 0, batch = count > 1000 ? 16 : FRAMES;
        double start = frames_seconds(), took;
        do {
            for (uint32_t k = 0; k < batch; k++)
                input(frames[at++ % FRAMES]);
            packets += batch;
            took = frames_seconds() - start;
        } while (took < ROUND_SECONDS);
        best = took / packets < best ? took / packets : best;
    }
    printf("lwip %u %.4f %.1f\n", count, 1 / best / 1e6, best * 1e9);
    UNLOCK_TCPIP_CORE();
    return 0;
}
