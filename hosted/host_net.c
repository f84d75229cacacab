/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host_net.c - the outside of the network device (dev_net.c): the option that describes it, and a
 * thread that looks at its descriptors when the device has found them empty or full.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "outer.h"

static unsigned long number_of(const char *name, const char *value, unsigned long most)
{
    char *end;
    unsigned long n = value ? strtoul(value, &end, 0) : 0;

    if (!value || end == value || *end || n > most)
        host_fail("--net: %s=%s: not a number up to %lu", name, value ? value : "", most);
    return n;
}

static void take_fd(struct hosted_net *net, const char *value)
{
    if (net->pairs == HOSTED_NET_PAIRS)
        host_fail("--net: more than %d descriptors", HOSTED_NET_PAIRS);
    net->fd[net->pairs++] = (int)number_of("fd", value, 1 << 20);
}

static void take_mac(struct hosted_net *net, const char *value)
{
    unsigned m[6];

    if (!value ||
        sscanf(value, "%2x:%2x:%2x:%2x:%2x:%2x", m, m + 1, m + 2, m + 3, m + 4, m + 5) != 6)
        host_fail("--net: mac=%s: not an address", value ? value : "");
    for (unsigned i = 0; i < 6; i++)
        net->mac[i] = (uint8_t)m[i];
}

/* fd=N[,fd=N...]|sim=PAIRS[,mac=XX:XX:XX:XX:XX:XX][,offloads=MASK][,mtu=N][,pcap=N][,share=N] */
void host_net_set(const char *text)
{
    enum { FD, MAC, OFFLOADS, MTU, PCAP, SHARE, SIM, NAMES };
    static char words[NAMES][12] = {"fd", "mac", "offloads", "mtu", "pcap", "share", "sim"};
    char *const names[] = {words[FD],   words[MAC],   words[OFFLOADS], words[MTU],
                           words[PCAP], words[SHARE], words[SIM],      NULL};
    struct hosted_net *net = &hosted_config.net;
    char *copy = strdup(text), *at = copy, *value;

    net->pcap_fd = net->share_fd = -1;
    while (at && *at)
        switch (getsubopt(&at, names, &value)) {
        case FD:
            take_fd(net, value);
            break;
        case MAC:
            take_mac(net, value);
            break;
        case OFFLOADS:
            net->offloads = number_of("offloads", value, ~0ul);
            break;
        case MTU:
            net->mtu = (unsigned)number_of("mtu", value, 65535);
            break;
        case PCAP:
            net->pcap_fd = (int)number_of("pcap", value, 1 << 20);
            break;
        case SHARE:
            net->share_fd = (int)number_of("share", value, 1 << 20);
            break;
        case SIM:
            net->pairs = (unsigned)number_of("sim", value, SELKIE_SIM ? HOSTED_NET_PAIRS : 0);
            break;
        default:
            host_fail("--net: %s: unknown", value);
        }
    free(copy);
}

static void *look(void *arg)
{
    const struct hosted_net *net = &hosted_config.net;
    struct epoll_event events[2 * HOSTED_NET_PAIRS + 1];

    (void)arg;
    for (;;) {
        int n = epoll_wait(net->epoll_fd, events, 2 * HOSTED_NET_PAIRS + 1, -1);

        if (n < 0 && errno != EINTR)
            host_fail("epoll: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            unsigned pair = (unsigned)(events[i].data.u64 >> 32);

            if (events[i].data.u64 == HOST_SHARE_EVENT) {
                host_share_event();
                continue;
            }
            /* What it was asked for, whatever has happened (the other side may have gone). */
            __atomic_fetch_or(&hosted_net_events[pair], (uint32_t)events[i].data.u64,
                              __ATOMIC_RELEASE);
            hosted_raise(pair % hosted_config.cpu_count, HOSTED_IRQ_NET);
        }
    }
    return NULL;
}

static void add(int fd)
{
    struct epoll_event none = {.events = EPOLLONESHOT};
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        epoll_ctl(hosted_config.net.epoll_fd, EPOLL_CTL_ADD, fd, &none) < 0)
        host_fail("--net: fd=%d: %s", fd, strerror(errno));
}

void host_net_start(void)
{
    struct hosted_net *net = &hosted_config.net;
    pthread_t thread;
    int err;

    if (net->pairs == 0 || SELKIE_SIM)
        return;
    net->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (net->epoll_fd < 0)
        host_fail("epoll: %s", strerror(errno));
    for (unsigned i = 0; i < net->pairs; i++) {
        /* Twice, so that reading and writing can be asked for by themselves. */
        net->fd_out[i] = fcntl(net->fd[i], F_DUPFD_CLOEXEC, 0);
        if (net->fd_out[i] < 0)
            host_fail("--net: fd=%d: %s", net->fd[i], strerror(errno));
        add(net->fd[i]);
        add(net->fd_out[i]);
    }
    if (net->share_fd >= 0)
        host_share_start(net->share_fd);
    err = pthread_create(&thread, NULL, look, NULL);
    if (err)
        host_fail("cannot create a thread: %s", strerror(err));
}
