/* SPDX-License-Identifier: BSD-3-Clause */
/* net.c - what the options of the guest's network become: see net.h. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "netshare.h"
#include "run.h"

/* Virtio's feature bits (1.2, 5.1.3): checksums, segmentation, both ways. */
#define OFFLOAD_CHECKSUM (1ull << 0 | 1ull << 1)
#define OFFLOAD_TSO (1ull << 7 | 1ull << 8 | 1ull << 9 | 1ull << 11 | 1ull << 12 | 1ull << 13)
#define OFFLOAD_USO (1ull << 56) /* to send; Selkie takes datagrams one by one */
#define HEADER_SIZE 12
#define PAIRS_MAX 8
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* ---- the outside ---- */

bool net_wanted(struct run_options *options, bool by_default)
{
    struct net_options *net = &options->net;

    if (!net->how && by_default && !net_user_there() && options->verbose)
        warn("no network: built without libslirp");
    if (!net->how)
        net->how = net->publish.count > 0 || (by_default && net_user_there()) ? "user" : "none";
    if (strcmp(net->how, "user") != 0 && net->publish.count > 0)
        fail(EXIT_TOOL, "--publish %s: only with --net user", net->publish.items[0]);
    net_check(net);
    if (strcmp(net->how, "none") == 0)
        return false;
    if (!net->mac) {
        unsigned char m[5];

        if (getrandom(m, sizeof(m), 0) != sizeof(m))
            fail(EXIT_TOOL, "getrandom: %s", strerror(errno));
        net->mac = text("02:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4]);
    }
    return true;
}

/* ---- --pcap ---- */

/* A file with its header (nanoseconds, Ethernet), to which frames are appended. */
static int pcap_open(const char *path)
{
    static const uint32_t head[] = {0xa1b23c4d, 2 | 4 << 16, 0, 0, 262144, 1};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);

    if (fd < 0 || write(fd, head, sizeof(head)) != sizeof(head))
        fail(EXIT_TOOL, "--pcap %s: %s", path, strerror(errno));
    return fd;
}

/* ---- tap ---- */

/* One queue; -1 (errno) if it cannot be had. */
static int tap_queue(const char *name, short flags)
{
    struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags)};
    int fd = open("/dev/net/tun", O_RDWR), size = HEADER_SIZE, err;

    if (fd < 0)
        return -1;
    memcpy(request.ifr_name, name, strlen(name) + 1); /* net_set_how has looked at its length */
    if (ioctl(fd, TUNSETIFF, &request) == 0 && ioctl(fd, TUNSETVNETHDRSZ, &size) == 0)
        return fd;
    err = errno;
    close(fd);
    errno = err;
    return -1;
}

/* What the tap may give us is set, what it can take is found out on the way. */
static uint64_t tap_offloads(int fd)
{
    unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    bool uso = ioctl(fd, TUNSETOFFLOAD, tso | TUN_F_USO4 | TUN_F_USO6) == 0;

    if (ioctl(fd, TUNSETOFFLOAD, tso) < 0)
        return 0;
    return OFFLOAD_CHECKSUM | OFFLOAD_TSO | (uso ? OFFLOAD_USO : 0);
}

/* Up to `most` queues; more than one only where the device has been made for several. */
static unsigned tap_open(const char *name, unsigned most, int fds[PAIRS_MAX])
{
    unsigned want = most < PAIRS_MAX ? most : PAIRS_MAX, count;
    short flags = want > 1 ? (short)IFF_MULTI_QUEUE : 0;

    fds[0] = tap_queue(name, flags);
    if (fds[0] < 0 && errno == EINVAL) {
        /* A device says no to the other kind: one queue of whichever it is. */
        want = 1;
        fds[0] = tap_queue(name, (short)(flags ^ IFF_MULTI_QUEUE));
    }
    if (fds[0] < 0)
        fail(EXIT_TOOL, "--net tap:%s: %s", name, strerror(errno));
    for (count = 1; count < want; count++) {
        fds[count] = tap_queue(name, flags);
        if (fds[count] < 0)
            break;
    }
    return count;
}

/* ---- for the backends ---- */

/* A socket that keeps records. */
static int wire_open(struct run_options *options, uint64_t *offloads)
{
    if (!text_starts(options->net.how, "switch:"))
        return net_user_start(options, HEADER_SIZE);
    *offloads = OFFLOAD_CHECKSUM | OFFLOAD_TSO;
    return switch_join(options->net.how + 7);
}

/* Through a bad cable, which cuts segments and completes checksums as a device would. */
static int faulty_wire(struct run_options *options, uint64_t *offloads)
{
    const struct net_options *net = &options->net;
    int fds[PAIRS_MAX];

    bool tells = options->backend == BACKEND_HOSTED;

    if (!text_starts(net->how, "tap:"))
        return cable_lay(wire_open(options, offloads), false, &net->faults, tells);
    (void)tap_open(net->how + 4, 1, fds);
    *offloads = tap_offloads(fds[0]);
    return cable_lay(fds[0], true, &net->faults, tells);
}

void net_hosted_words(struct run_options *options, struct list *words)
{
    struct net_options *net = &options->net;
    struct bytes out = {0};
    uint64_t offloads = 0;

    if (!net_wanted(options, !options->sim && !options->sim_replay))
        return;
    if (net->faults.any) {
        bytes_print(&out, "fd=%d", faulty_wire(options, &offloads));
    } else if (text_starts(net->how, "tap:")) {
        int fds[PAIRS_MAX];
        unsigned count = tap_open(net->how + 4, options->cpus, fds);

        for (unsigned i = 0; i < count; i++)
            bytes_print(&out, "%sfd=%d", i ? "," : "", fds[i]);
        offloads = tap_offloads(fds[0]);
    } else if (strcmp(net->how, "sim") == 0) {
        bytes_print(&out, "%s", sim_net_word(options));
    } else {
        int fd = wire_open(options, &offloads);
        int share = text_starts(net->how, "switch:") ? share_offer(fd) : -1;

        bytes_print(&out, "fd=%d", fd);
        if (share >= 0)
            bytes_print(&out, ",share=%d", share);
    }
    bytes_print(&out, ",mac=%s,offloads=%ju", net->mac, (uintmax_t)offloads);
    if (net->mtu)
        bytes_print(&out, ",mtu=%u", net->mtu);
    if (net->pcap)
        bytes_print(&out, ",pcap=%d", pcap_open(net->pcap));
    list_add(words, "--net");
    list_add(words, out.data);
}

/* A queue for each CPU where both the tap and the device can; *more is what the device is told. */
static char *qemu_tap(const struct run_options *options, const char *device, const char **more)
{
    bool several = text_starts(device, "virtio-net-pci");
    struct bytes out = {0};
    int fds[PAIRS_MAX];
    unsigned count = tap_open(options->net.how + 4, several ? options->cpus : 1, fds);

    bytes_print(&out, "tap,id=net,%s=", count > 1 ? "fds" : "fd");
    for (unsigned i = 0; i < count; i++) {
        /* Out of the way of PORT_FD. */
        bytes_print(&out, "%s%d", i ? ":" : "", fcntl(fds[i], F_DUPFD, 10));
        close(fds[i]);
    }
    if (count > 1) /* an interrupt for each queue, each way; for the device; for its commands */
        *more = text(",mq=on,vectors=%u", 2 * count + 2);
    return out.data;
}

void net_qemu_words(struct run_options *options, struct list *words, const char *device)
{
    const struct net_options *net = &options->net;
    const char *queues = "";

    list_add(words, "-netdev");
    if (!net->faults.any && text_starts(net->how, "tap:")) {
        list_add(words, qemu_tap(options, device, &queues));
    } else if (net->faults.any || text_starts(net->how, "switch:")) {
        uint64_t offloads;
        int fd = net_stream(net->faults.any ? faulty_wire(options, &offloads)
                                            : wire_open(options, &offloads));

        list_add(words, text("socket,id=net,fd=%d", fcntl(fd, F_DUPFD, 10)));
        close(fd);
    } else {
        int fd = net_user_start(options, 0);

        /* A socket that keeps records does for datagrams, and tells each side of the other's end.
         */
        list_add(words, text("dgram,id=net,local.type=fd,local.str=%d", fcntl(fd, F_DUPFD, 10)));
        close(fd);
    }
    list_add(words, "-device");
    list_add(
        words,
        text("%s,netdev=net,mac=%s%s%s", device, net->mac, queues,
             net->mtu && text_starts(device, "virtio-net") ? text(",host_mtu=%u", net->mtu) : ""));
    if (net->pcap) {
        list_add(words, "-object");
        list_add(words, text("filter-dump,id=pcap,netdev=net,file=%s", net->pcap));
    }
}
